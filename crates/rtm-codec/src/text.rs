//! Text that shares the bytes of the frame it was received in, and secrets that are never shown.

use std::{borrow::Cow, cmp::Ordering, fmt, hash, ops::Deref, sync::Arc};

use bytes::Bytes;
use compact_str::CompactString;
use yoke::Yoke;

/// An immutable UTF-8 text. A long one received in a frame shares that frame's bytes, so that
/// decoding copies nothing; cloning is cheap.
///
/// `Debug` shows its length only, so that what users write does not reach logs by accident.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Owned(CompactString),
    Shared(Yoke<&'static str, Arc<Bytes>>),
}

/// The bytes are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text is not valid UTF-8")]
#[non_exhaustive]
pub struct InvalidUtf8;

impl Text {
    /// The text as `&str`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Owned(text) => text.as_str(),
            Repr::Shared(text) => text.get(),
        }
    }

    /// The bytes `range` of `frame` as text, validated; a long one keeps `frame` alive instead of copying.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] when the bytes are not UTF-8, or when the range lies outside the frame.
    pub fn from_frame(frame: &Arc<Bytes>, range: std::ops::Range<usize>) -> Result<Self, InvalidUtf8> {
        if range.len() < SHARE_FROM {
            return Self::from_utf8(frame.get(range).ok_or(InvalidUtf8)?);
        }
        let text = Yoke::try_attach_to_cart(Arc::clone(frame), |bytes: &Bytes| {
            simdutf8::basic::from_utf8(bytes.get(range).ok_or(InvalidUtf8)?).map_err(|_| InvalidUtf8)
        })?;
        Ok(Self(Repr::Shared(text)))
    }

    /// The same text with bytes of its own, for one that is kept for long: a text that shares its
    /// frame's bytes keeps the whole frame alive.
    #[must_use]
    pub fn detach(self) -> Self {
        match self.0 {
            Repr::Owned(_) => self,
            Repr::Shared(text) => Self::from(*text.get()),
        }
    }

    /// A text whose clones share its bytes, however short it is.
    pub(crate) fn shared(text: String) -> Self {
        let bytes = Arc::new(Bytes::from(text));
        let text = Yoke::try_attach_to_cart(bytes, |bytes: &Bytes| simdutf8::basic::from_utf8(bytes))
            .expect("a String is UTF-8");
        Self(Repr::Shared(text))
    }

    /// A copy of `bytes`, validated.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] when the bytes are not UTF-8.
    #[inline]
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, InvalidUtf8> {
        if bytes.len() <= INLINE {
            return Self::inline(bytes);
        }
        let text = if bytes.len() < SIMD_FROM {
            // Checked after the copy, which is aligned for it.
            String::from_utf8(bytes.to_vec()).map_err(|_| InvalidUtf8)?
        } else {
            simdutf8::basic::from_utf8(bytes).map_err(|_| InvalidUtf8)?.to_owned()
        };
        Ok(Self(Repr::Owned(CompactString::from(text))))
    }

    /// `bytes` as text, validated; a long one is not copied.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidUtf8> {
        if bytes.len() < SHARE_FROM {
            return Self::from_utf8(&bytes);
        }
        let bytes = Arc::new(Bytes::from(bytes));
        Self::from_frame(&bytes, 0..bytes.len())
    }

    fn inline(bytes: &[u8]) -> Result<Self, InvalidUtf8> {
        CompactString::from_utf8(bytes).map(|text| Self(Repr::Owned(text))).map_err(|_| InvalidUtf8)
    }
}

impl Default for Text {
    fn default() -> Self {
        Self(Repr::Owned(CompactString::default()))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Repr::Owned(CompactString::new(text)))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.len() < SHARE_FROM { Self(Repr::Owned(CompactString::from(text))) } else { Self::shared(text) }
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Self(Repr::Owned(CompactString::from(text)))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl hash::Hash for Text {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.len())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An access token as a client presents it: at most [`Token::MAX_LEN`] bytes. `Debug` does not show it,
/// and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Text);

/// The text is longer than a token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token is longer than {} bytes", Token::MAX_LEN)]
#[non_exhaustive]
pub struct TokenTooLong;

impl Token {
    /// The most bytes that a token may have.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Takes the text of a token. Whether it is valid is for the server to say.
    ///
    /// # Errors
    ///
    /// [`TokenTooLong`] over [`Token::MAX_LEN`] bytes.
    pub fn new(text: impl Into<Text>) -> Result<Self, TokenTooLong> {
        let text = text.into();
        if text.len() > Self::MAX_LEN { Err(TokenTooLong) } else { Ok(Self(text)) }
    }

    /// The token's text, to send or to verify it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The longest beginning of a text that has at most `max` bytes.
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Texts shorter than this are copied out of the frame: the copy costs less than sharing does, and
/// a short text does not keep a whole frame alive.
pub(crate) const SHARE_FROM: usize = 1024;
/// The longest text that needs no memory of its own.
const INLINE: usize = 24;
/// Shorter texts are too short for vector instructions.
const SIMD_FROM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_ends_where_a_character_does() {
        assert_eq!([0, 1, 2, 3, 4, 9].map(|max| prefix("a上b", max)), ["", "a", "a", "a", "a上", "a上b"]);
    }

    #[test]
    fn a_long_text_shares_its_frame_and_a_short_one_does_not_keep_it() {
        let frame = Arc::new(Bytes::from("字".repeat(1000)));
        let long = Text::from_frame(&frame, 0..3000).unwrap();
        assert_eq!(long.as_str().as_ptr(), frame.as_ptr());
        assert_eq!(Arc::strong_count(&frame), 2);
        let short = Text::from_frame(&frame, 0..3).unwrap();
        assert_eq!((short.as_str(), Arc::strong_count(&frame)), ("字", 2));
    }

    #[test]
    fn what_is_not_utf8_or_not_there_is_refused() {
        let frame = Arc::new(Bytes::from("字".repeat(1000)));
        assert_eq!(Text::from_frame(&frame, 1..3000), Err(InvalidUtf8));
        assert_eq!(Text::from_frame(&frame, 0..3001), Err(InvalidUtf8));
        assert_eq!(Text::from_frame(&frame, 0..2), Err(InvalidUtf8));
    }

    #[test]
    fn what_users_write_is_not_shown() {
        assert_eq!(format!("{:?}", Text::from("secret")), "Text(6 bytes)");
        assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(..)");
    }
}
