//! The words for types of events, as people write them into configurations and calls.

use super::{EventType, EventTypes};

/// A word that stands for no type of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no type of events is called {word:?}{}: there are {}", did_you_mean(nearest.as_deref()), words().join(", "))]
#[non_exhaustive]
pub struct UnknownEventTypes {
    /// The word, of a long one the beginning.
    pub word: String,
    /// The word that it is most like, if there is one.
    pub nearest: Option<String>,
}

impl EventTypes {
    /// The types that a word stands for: the name of one, `user.*` for all whose names begin like that, `usual` for those
    /// that are written unless somebody says otherwise, or `all`.
    ///
    /// # Errors
    ///
    /// [`UnknownEventTypes`] for any other word.
    pub fn from_word(word: &str) -> Result<Self, UnknownEventTypes> {
        let begin = match word {
            "all" => return Ok(Self::ALL),
            "usual" => return Ok(Self::usual()),
            _ => word.strip_suffix('*').filter(|begin| begin.ends_with('.')),
        };
        let is_meant = |event_type: &EventType| match begin {
            Some(begin) => event_type.name().starts_with(begin),
            None => event_type.name() == word,
        };
        let types: Self = EventType::ALL.iter().copied().filter(is_meant).collect();
        if types != Self::NONE {
            return Ok(types);
        }
        let word: String = word.chars().take(SHOWN).collect();
        let nearest = nearest(&word);
        Err(UnknownEventTypes { word, nearest })
    }
}

/// All words: for one type, for those that begin alike, and for many.
fn words() -> Vec<String> {
    let names = EventType::ALL.iter().map(|event_type| event_type.name());
    let mut begins: Vec<_> = names.clone().filter_map(|name| name.split_once('.')).map(|(begin, _)| begin).collect();
    begins.sort_unstable();
    begins.dedup();
    let alike = begins.into_iter().map(|begin| format!("{begin}.*"));
    names.map(str::to_owned).chain(alike).chain(["usual", "all"].map(str::to_owned)).collect()
}

/// The word that needs the fewest changes, at most one for every two letters.
fn nearest(word: &str) -> Option<String> {
    let most = word.chars().count() / 2;
    let changes = words().into_iter().map(|other| (strsim::levenshtein(word, &other), other));
    changes.filter(|(changes, _)| *changes <= most).min_by_key(|(changes, _)| *changes).map(|(_, other)| other)
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(" (did you mean {nearest:?}?)")).unwrap_or_default()
}

/// How many letters of a word are shown and compared.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_for_one_type_or_several() {
        let has = |word: &str, event_type| EventTypes::from_word(word).unwrap().has(event_type);
        assert!(has("user.online", EventType::UserOnline) && !has("user.online", EventType::UserOffline));
        assert!(has("user.*", EventType::UserUnreachable) && !has("user.*", EventType::UserAttributesChanged));
        assert!(has("usual", EventType::SessionEnded) && !has("usual", EventType::PeerMessage));
        assert!(has("all", EventType::PeerMessage));
        for word in ["", "*", "user", "user*", ".*", "users.*", "user.online.*"] {
            assert!(EventTypes::from_word(word).is_err(), "{word:?}");
        }
    }

    #[test]
    fn of_another_word_it_is_said_which_is_like_it_and_which_there_are() {
        let nearest = |word: &str| EventTypes::from_word(word).unwrap_err().nearest;
        for (word, wanted) in [
            ("user.onlin", Some("user.online")),
            ("user_online", Some("user.online")),
            ("users.*", Some("user.*")),
            ("user", Some("user.*")),
            ("mesage.*", Some("message.*")),
            ("al", Some("all")),
            ("", None),
            ("*", None),
            ("xyzzy", None),
        ] {
            assert_eq!(nearest(word).as_deref(), wanted, "{word:?}");
        }
        let said = EventTypes::from_word("user.onlin").unwrap_err().to_string();
        let begin =
            "no type of events is called \"user.onlin\" (did you mean \"user.online\"?): there are server.started, ";
        assert!(said.starts_with(begin), "{said}");
        assert!(words().iter().all(|word| said.contains(word.as_str()) && EventTypes::from_word(word).is_ok()));
        assert!(EventTypes::from_word(&"x".repeat(1_000_000)).unwrap_err().to_string().len() < 1000);
    }
}
