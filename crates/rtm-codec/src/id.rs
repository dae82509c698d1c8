//! Identifiers: parsed once on creation and bounded, so that nothing later has to check them again. Their rules are in
//! `docs/rtm.md#ids`.

use std::{borrow::Borrow, fmt, str::FromStr};

use compact_str::CompactString;

use crate::{DecodeError, DecodeErrorKind, IdFault, InvalidId};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(CompactString);

        impl $name {
            /// Checks `text` and keeps a copy of it.
            ///
            /// # Errors
            ///
            /// [`InvalidId`] when the text breaks the rules of this identifier; its
            /// [`kind`](InvalidId::kind) says which.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let check: fn(&str) -> Result<(), IdFault> = $check;
                check(text).map_err(|fault| InvalidId::new($what, fault))?;
                Ok(Self(CompactString::new(text)))
            }

            /// The same for a decoder, whose faults are small.
            #[inline]
            pub(crate) fn parse(text: &str) -> Result<Self, DecodeError> {
                let check: fn(&str) -> Result<(), IdFault> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(CompactString::new(text))),
                    Err(fault) => Err(DecodeError::new($what, DecodeErrorKind::Id(fault))),
                }
            }

            /// The same of bytes.
            pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
                match str::from_utf8(bytes) {
                    Ok(text) => Self::parse(text),
                    Err(_) => Err(DecodeError::new("", DecodeErrorKind::Utf8)),
                }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;

            fn try_from(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                self.as_str() == text
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                self.as_str() == *text
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into_string()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.as_str())
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// The id of a project: 32 ASCII letters and digits. Case matters.
    AppId, "app id", |text| {
        if text.is_empty() {
            return Err(IdFault::Empty);
        }
        if let Some(at) = text.bytes().position(|b| !b.is_ascii_alphanumeric()) {
            return Err(character(text, at));
        }
        if text.len() == AppId::LEN { Ok(()) } else { Err(IdFault::Length { exact: AppId::LEN }) }
    }
}

text_id! {
    /// The id of a user: 1 to 64 bytes, not the word `null`, of these characters: letters `a`–`z` and `A`–`Z`, digits, the space, and
    /// ``! # $ % & ( ) + - : ; < = . > ? @ [ ] ^ _ { } | ~ ,``. Case matters.
    UserId, "user id", name
}

text_id! {
    /// The id of a channel, with the same rules as a [`UserId`].
    ChannelId, "channel id", name
}

macro_rules! frequent_id {
    ($($name:ident)*) => {$(
        impl $name {
            /// The identifier in `bytes`, if they are one. Always inline, so that it is made where it is kept.
            #[inline(always)]
            pub(crate) fn valid(bytes: &[u8]) -> Option<Self> {
                let text = str::from_utf8(bytes).ok()?;
                name(text).ok()?;
                Some(Self(CompactString::new(text)))
            }
        }
    )*};
}

frequent_id! { UserId ChannelId }

text_id! {
    /// The key of an attribute: 1 to 32 bytes of visible characters, without white space.
    AttributeKey, "attribute key", |text| {
        bounded(text, AttributeKey::MAX_LEN)?;
        match text.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace()) {
            Some((at, character)) => Err(IdFault::Character { at, character }),
            None => Ok(()),
        }
    }
}

text_id! {
    /// The id of an invitation, unique for its caller: 1 to 64 visible ASCII characters.
    CallId, "call id", visible
}

text_id! {
    /// The id of a client object, for its whole life: with it the server can tell a client that returns from a second client with
    /// the same user id. 1 to 64 visible ASCII characters, hard to guess.
    InstanceId, "instance id", visible
}

impl AppId {
    /// Its length in bytes.
    pub const LEN: usize = 32;
}

impl UserId {
    /// The most bytes a user id has.
    pub const MAX_LEN: usize = 64;
}

impl AttributeKey {
    /// The most bytes an attribute key has.
    pub const MAX_LEN: usize = 32;
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[expect(clippy::exhaustive_structs, reason = "it is a number, and will be nothing else")]
        pub struct $name(pub u64);

        impl $name {
            /// The next number.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.wrapping_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u64(self.0)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u64::deserialize(deserializer).map(Self)
            }
        }
    };
}

number_id! {
    /// A request of one client: rises by one with each, over reconnects too. The first is 1.
    RequestId
}

number_id! {
    /// A message, chosen by its sender and unique for it. On the vendor's wire it has at most 13 decimal digits.
    MessageId
}

number_id! {
    /// The position of an event in a session's stream within an [`Epoch`]. The first event is 1.
    Seq
}

number_id! {
    /// Which stream of a session a [`Seq`] counts in: it changes whenever the stream begins anew.
    Epoch
}

number_id! {
    /// How often a channel's attributes were changed: the handle of a compare-and-set.
    Revision
}

/// A session of a user, given by the server and hard to guess: who knows it may resume the session.
///
/// `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "it is these bytes, and will be nothing else")]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

fn bounded(text: &str, max: usize) -> Result<(), IdFault> {
    match text.len() {
        0 => Err(IdFault::Empty),
        len if len > max => Err(IdFault::TooLong { max }),
        _ => Ok(()),
    }
}

fn visible(text: &str) -> Result<(), IdFault> {
    bounded(text, UserId::MAX_LEN)?;
    match text.bytes().position(|b| !b.is_ascii_graphic()) {
        Some(at) => Err(character(text, at)),
        None => Ok(()),
    }
}

/// The fault of the character that starts there.
#[cold]
fn character(text: &str, at: usize) -> IdFault {
    let character = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or(char::REPLACEMENT_CHARACTER);
    IdFault::Character { at, character }
}

fn name(text: &str) -> Result<(), IdFault> {
    bounded(text, UserId::MAX_LEN)?;
    if let Some(at) = text.bytes().position(|b| !NAME_BYTES[usize::from(b)]) {
        return Err(character(text, at));
    }
    if text == "null" { Err(IdFault::Reserved) } else { Ok(()) }
}

const NAME_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let set = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !#$%&()+-:;<=.>?@[]^_{}|~,";
    let mut i = 0;
    while i < set.len() {
        allowed[set[i] as usize] = true;
        i += 1;
    }
    allowed
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_takes_the_89_characters_and_no_other() {
        let allowed = (0..=255u8).filter(|b| b.is_ascii() && UserId::new(char::from(*b).to_string()).is_ok());
        assert_eq!(allowed.count(), 89);
        assert_eq!(UserId::new("").unwrap_err().kind(), IdFault::Empty);
        assert_eq!(UserId::new("null").unwrap_err().kind(), IdFault::Reserved);
        assert_eq!(UserId::new("a'b").unwrap_err().kind(), IdFault::Character { at: 1, character: '\'' });
        assert!(UserId::new("x".repeat(64)).is_ok());
        assert_eq!(UserId::new("x".repeat(65)).unwrap_err().kind(), IdFault::TooLong { max: 64 });
    }

    #[test]
    fn an_app_id_is_32_letters_and_digits() {
        assert!(AppId::new("0123456789abcdefABCDEFghijklmnop").is_ok());
        assert_eq!(AppId::new("short").unwrap_err().kind(), IdFault::Length { exact: 32 });
        assert_eq!(
            AppId::new("0123456789abcdef-BCDEFghijklmnop").unwrap_err().kind(),
            IdFault::Character { at: 16, character: '-' }
        );
    }

    #[test]
    fn an_attribute_key_has_at_most_32_visible_bytes() {
        assert!(AttributeKey::new("城市").is_ok());
        assert!(AttributeKey::new("k".repeat(32)).is_ok());
        assert_eq!(AttributeKey::new("k".repeat(33)).unwrap_err().kind(), IdFault::TooLong { max: 32 });
        assert_eq!(AttributeKey::new("a b").unwrap_err().kind(), IdFault::Character { at: 1, character: ' ' });
    }

    #[test]
    fn a_session_id_is_not_shown() {
        assert_eq!(format!("{:?}", SessionId([7; 16])), "SessionId(..)");
    }
}
