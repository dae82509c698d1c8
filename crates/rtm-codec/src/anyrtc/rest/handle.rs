//! Where the result of a search is: the search itself as text, so that no server has to remember it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::HistorySearch;
use crate::UserId;

/// A search, and when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryHandle {
    /// What is searched.
    pub search: HistorySearch,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub asked_ms: u64,
}

impl HistoryHandle {
    /// How long a handle is good, in milliseconds: 10 min.
    pub const GOOD_FOR_MS: u64 = 10 * 60 * 1000;

    /// As text, without a slash. It names nothing that its holder did not ask for.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { search, asked_ms } = self;
        let HistorySearch { source, destination, from_ts, until_ts, offset, limit, newest_first } = search;
        let id = |id: &Option<UserId>| id.as_ref().map_or_else(String::new, ToString::to_string);
        let text = format!(
            "1\n{asked_ms}\n{from_ts}\n{until_ts}\n{offset}\n{limit}\n{}\n{}\n{}",
            u8::from(*newest_first),
            id(source),
            id(destination)
        );
        URL_SAFE_NO_PAD.encode(text)
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > HANDLE_BYTES {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?).ok()?;
        let mut parts = text.split('\n');
        let mut next = || parts.next();
        if next()? != "1" {
            return None;
        }
        let (asked_ms, from_ts, until_ts) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
        let (offset, limit, newest_first) = (next()?.parse().ok()?, next()?.parse().ok()?, next()? == "1");
        let mut id = || match next()? {
            "" => Some(None),
            id => UserId::new(id).ok().map(Some),
        };
        let (source, destination) = (id()?, id()?);
        let search = HistorySearch { source, destination, from_ts, until_ts, offset, limit, newest_first };
        (search.is_good() && parts.next().is_none()).then_some(Self { search, asked_ms })
    }

    /// Whether the time of a handle is over.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.asked_ms) >= Self::GOOD_FOR_MS
    }
}

/// Two ids and seven numbers, in Base64.
const HANDLE_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

    use super::*;

    #[test]
    fn a_handle_says_what_was_asked_for_and_nothing_else_is_one() {
        let search = HistorySearch {
            source: Some(UserId::new("a/b? c".replace('/', "+")).unwrap()),
            destination: None,
            from_ts: 5,
            until_ts: 7,
            offset: 100,
            limit: 20,
            newest_first: true,
        };
        let handle = HistoryHandle { search, asked_ms: 1000 };
        let text = handle.encode();
        assert!(!text.contains('/'), "{text}");
        assert_eq!(HistoryHandle::decode(&text), Some(handle.clone()));
        assert_eq!(HistoryHandle::decode(&format!("{text}==")), Some(handle.clone()));
        assert!(!handle.is_over(1000 + HistoryHandle::GOOD_FOR_MS - 1));
        assert!(handle.is_over(1000 + HistoryHandle::GOOD_FOR_MS));
        for other in ["", "=", "MjIzMDA3OjEyODA5MzkyOQ==", "x".repeat(600).as_str(), &text[..text.len() - 4]] {
            let read = HistoryHandle::decode(other);
            assert_ne!(read, Some(handle.clone()), "{other}");
        }
    }
}
