//! What the data of events is made of: as bytes in the log, and as values that readers are shown.

use std::{borrow::Cow, fmt};

use rtm_codec::{CallId, ChannelId, MessageId, SessionId, UserId};
use sha2::{Digest as _, Sha256};

/// A session, as the log names it: what is sent instead of its id, which would open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionName(u64);

impl From<SessionId> for SessionName {
    fn from(SessionId(id): SessionId) -> Self {
        let digest = Sha256::digest(id);
        let first: [u8; 8] = std::array::from_fn(|at| digest[at]);
        Self(u64::from_be_bytes(first))
    }
}

impl SessionName {
    /// The name that is written so.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// As 16 hexadecimal digits.
impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why something ended, or failed: a word in small letters.
pub type Reason = Cow<'static, str>;

/// A value in the data of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows events shows all values")]
pub enum EventValue<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A time, in milliseconds since the Unix epoch.
    Time(u64),
}

/// A time in the data of an event, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a time is a number")]
pub struct Moment(pub u64);

/// A field of an event: its bytes, and the value that is shown.
pub(super) trait Field: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(bytes: &mut &[u8]) -> Option<Self>;
    fn value(&self) -> EventValue<'_>;
    fn from_value(value: EventValue<'_>) -> Option<Self>;
}

macro_rules! text_fields {
    ($($type:ty: $text:expr, $new:expr;)*) => {$(
        impl Field for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let text: &str = $text(self);
                // Every id is shorter, and every word.
                let mut len = text.len().min(usize::from(u8::MAX));
                while !text.is_char_boundary(len) {
                    len -= 1;
                }
                out.push(len as u8);
                out.extend_from_slice(&text.as_bytes()[..len]);
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let (&len, rest) = bytes.split_first()?;
                let (text, rest) = rest.split_at_checked(len.into())?;
                *bytes = rest;
                $new(std::str::from_utf8(text).ok()?)
            }

            fn value(&self) -> EventValue<'_> {
                EventValue::Text($text(self).into())
            }

            fn from_value(value: EventValue<'_>) -> Option<Self> {
                match value {
                    EventValue::Text(text) => $new(&*text),
                    _ => None,
                }
            }
        }
    )*};
}

text_fields! {
    UserId: UserId::as_str, |text: &str| UserId::new(text).ok();
    ChannelId: ChannelId::as_str, |text: &str| ChannelId::new(text).ok();
    CallId: CallId::as_str, |text: &str| CallId::new(text).ok();
    Reason: AsRef::as_ref, |text: &str| Some(Cow::Owned(text.to_owned()));
}

impl Field for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(Self::from_le_bytes(*number))
    }

    fn value(&self) -> EventValue<'_> {
        EventValue::Number(*self)
    }

    fn from_value(value: EventValue<'_>) -> Option<Self> {
        match value {
            EventValue::Number(number) => Some(number),
            _ => None,
        }
    }
}

impl Field for Moment {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        u64::read(bytes).map(Self)
    }

    fn value(&self) -> EventValue<'_> {
        EventValue::Time(self.0)
    }

    fn from_value(value: EventValue<'_>) -> Option<Self> {
        match value {
            EventValue::Time(ms) | EventValue::Number(ms) => Some(Self(ms)),
            _ => None,
        }
    }
}

impl Field for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (&flag, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(flag != 0)
    }

    fn value(&self) -> EventValue<'_> {
        EventValue::Flag(*self)
    }

    fn from_value(value: EventValue<'_>) -> Option<Self> {
        match value {
            EventValue::Flag(flag) => Some(flag),
            _ => None,
        }
    }
}

/// As text: programs read numbers of JSON as floating point, which has no room for all of them.
impl Field for MessageId {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        u64::read(bytes).map(Self)
    }

    fn value(&self) -> EventValue<'_> {
        EventValue::Text(self.0.to_string().into())
    }

    fn from_value(value: EventValue<'_>) -> Option<Self> {
        match value {
            EventValue::Text(text) => text.parse().ok().map(Self),
            _ => None,
        }
    }
}

impl Field for SessionName {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        u64::read(bytes).map(Self)
    }

    fn value(&self) -> EventValue<'_> {
        EventValue::Text(self.to_string().into())
    }

    fn from_value(value: EventValue<'_>) -> Option<Self> {
        match value {
            EventValue::Text(text) => Self::from_text(&text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_does_not_show_what_opens_a_session() {
        let name = SessionName::from(SessionId([7; 16])).to_string();
        assert_eq!(name.len(), 16);
        assert!(!"07070707070707070707070707070707".contains(&name));
    }
}
