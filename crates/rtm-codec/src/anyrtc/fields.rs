//! The kinds of values that the wire's objects have. Reading is lenient: a value of the wrong kind counts as absent, so
//! that the request can be refused, and the refusal names the field.

use std::{borrow::Cow, collections::BTreeMap};

use super::reader::{Kind, Reader};
use crate::{AttributeKey, DecodeErrorKind, ErrorKind, Refusal, RtmMessage, Text, json::Writer, value};

/// A value of an object's field.
pub(super) trait Field<'a>: Default {
    /// Reads the value that comes next, of whatever kind it is.
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind>;

    /// Writes the value.
    fn write(&self, to: &mut Writer);

    /// Whether the field is left out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// A string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Str<'a>(pub(super) Option<Cow<'a, str>>);

impl<'a> Str<'a> {
    /// The string, or an empty one.
    pub(super) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Str<'a> {
    fn from(text: &'a T) -> Self {
        Self(Some(Cow::Borrowed(text.as_ref())))
    }
}

impl<'a> Field<'a> for Str<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        from.string().map(Self)
    }

    fn write(&self, to: &mut Writer) {
        to.string(self.as_str());
    }

    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

/// A string that a request may do without. A value of another kind is not taken for its absence, which may mean
/// something else altogether.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Optional<'a> {
    text: Str<'a>,
    is_other: bool,
}

impl Optional<'_> {
    /// The string; none where it is absent, null or empty.
    ///
    /// # Errors
    ///
    /// Of this kind, where there is something else; it says so of the field with this name.
    pub(super) fn text(&self, name: &str, kind: ErrorKind) -> Result<Option<&str>, Refusal> {
        if self.is_other {
            return Err(Refusal::new(kind, &format!("{name} is not a text")));
        }
        Ok(Some(self.text.as_str()).filter(|text| !text.is_empty()))
    }
}

impl<'a> From<&'a str> for Optional<'a> {
    fn from(text: &'a str) -> Self {
        Self { text: Str::from(text), is_other: false }
    }
}

impl<'a> Field<'a> for Optional<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        let is_other = !matches!(from.kind()?, Kind::String | Kind::Null);
        Ok(Self { text: Str::read(from)?, is_other })
    }

    fn write(&self, to: &mut Writer) {
        self.text.write(to);
    }
}

/// A whole number, which some clients write as a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) Option<u64>);

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self(Some(number))
    }
}

impl<'a> Field<'a> for Number {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        from.unsigned().map(Self)
    }

    fn write(&self, to: &mut Writer) {
        to.number(self.0.unwrap_or_default());
    }

    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

/// A place to go on from: written as a string, since JavaScript rounds a number of that size, and read as either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cursor(pub(super) Option<u64>);

impl<'a> Field<'a> for Cursor {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        from.unsigned().map(Self)
    }

    fn write(&self, to: &mut Writer) {
        to.string(&self.0.unwrap_or_default().to_string());
    }

    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

/// A whole number that may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signed(pub(super) Option<i64>);

impl<'a> Field<'a> for Signed {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        match from.kind()? {
            Kind::Number => from.number().map(|digits| Self(digits.parse().ok())),
            _ => from.skip().map(|()| Self(None)),
        }
    }

    fn write(&self, to: &mut Writer) {
        to.number(self.0.unwrap_or_default());
    }
}

/// Yes or no; no where it is not said. Numbers count as they do in JavaScript.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl<'a> Field<'a> for Flag {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        match from.kind()? {
            kind @ (Kind::True | Kind::False | Kind::Null) => from.literal(kind).map(|()| Self(kind == Kind::True)),
            Kind::Number => from.number().map(|digits| Self(digits != "0")),
            _ => from.skip().map(|()| Self(false)),
        }
    }

    fn write(&self, to: &mut Writer) {
        to.raw(if self.0 { "true" } else { "false" });
    }
}

/// A yes that is left out otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark(pub(super) bool);

impl<'a> Field<'a> for Mark {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        Flag::read(from).map(|flag| Self(flag.0))
    }

    fn write(&self, to: &mut Writer) {
        Flag(self.0).write(to);
    }

    fn is_absent(&self) -> bool {
        !self.0
    }
}

/// A list. Reading keeps at most `MAX` of its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List<T, const MAX: usize> {
    pub(super) items: Option<Vec<T>>,
    /// There were more.
    pub(super) overflow: bool,
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self { items: None, overflow: false }
    }
}

impl<'a, const MAX: usize> List<Str<'a>, MAX> {
    /// Identifiers as a list.
    pub(super) fn of<T: AsRef<str>>(ids: &'a [T]) -> Self {
        ids.iter().map(Str::from).collect()
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// All items.
    ///
    /// # Errors
    ///
    /// When there were more than are kept.
    pub(super) fn whole(&self) -> Result<&[T], DecodeErrorKind> {
        if self.overflow {
            return Err(DecodeErrorKind::TooMany { limit: MAX });
        }
        Ok(self.items.as_deref().unwrap_or_default())
    }
}

impl<T, const MAX: usize> FromIterator<T> for List<T, MAX> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { items: Some(items.into_iter().collect()), overflow: false }
    }
}

impl<'a, T: Field<'a>, const MAX: usize> Field<'a> for List<T, MAX> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        if from.kind()? != Kind::Array {
            return from.skip().map(|()| Self::default());
        }
        let mut items = Vec::new();
        let mut overflow = false;
        from.array(|from| {
            overflow = items.len() == MAX;
            if overflow {
                return from.skip();
            }
            items.push(T::read(from)?);
            Ok(())
        })?;
        Ok(Self { items: Some(items), overflow })
    }

    fn write(&self, to: &mut Writer) {
        to.raw("[");
        for (i, item) in self.items.iter().flatten().enumerate() {
            if i > 0 {
                to.raw(",");
            }
            item.write(to);
        }
        to.raw("]");
    }

    fn is_absent(&self) -> bool {
        self.items.is_none()
    }
}

/// An object of strings, as attributes are written. No more than `MAX` of them are kept when it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entries<'a, const MAX: usize> {
    pub(super) entries: Option<Vec<(Cow<'a, str>, Str<'a>)>>,
    /// There were more.
    pub(super) overflow: bool,
}

impl<'a, const MAX: usize> Entries<'a, MAX> {
    /// All entries.
    ///
    /// # Errors
    ///
    /// When there were more than are kept.
    pub(super) fn whole(&self) -> Result<&[(Cow<'a, str>, Str<'a>)], DecodeErrorKind> {
        if self.overflow {
            return Err(DecodeErrorKind::TooMany { limit: MAX });
        }
        Ok(self.entries.as_deref().unwrap_or_default())
    }

    /// Attributes as an object.
    pub(super) fn of(attributes: &'a BTreeMap<AttributeKey, Text>) -> Self {
        let entry = |(key, value): (&'a AttributeKey, &'a Text)| (Cow::Borrowed(key.as_str()), Str::from(value));
        Self { entries: Some(attributes.iter().map(entry).collect()), overflow: false }
    }
}

impl<'a, const MAX: usize> Field<'a> for Entries<'a, MAX> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        if from.kind()? != Kind::Object {
            return from.skip().map(|()| Self::default());
        }
        let mut entries = Vec::new();
        let mut overflow = false;
        from.object(|key, from| {
            overflow = entries.len() == MAX;
            if overflow {
                return from.skip();
            }
            entries.push((Cow::Owned(key.to_owned()), Str::read(from)?));
            Ok(())
        })?;
        Ok(Self { entries: Some(entries), overflow })
    }

    fn write(&self, to: &mut Writer) {
        to.raw("{");
        for (i, (key, value)) in self.entries.iter().flatten().enumerate() {
            if i > 0 {
                to.raw(",");
            }
            to.string(key);
            to.raw(":");
            value.write(to);
        }
        to.raw("}");
    }

    fn is_absent(&self) -> bool {
        self.entries.is_none()
    }
}

/// JSON serialized once more into a string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Nested<T>(pub(super) T);

impl<'a, T: Field<'a>> Field<'a> for Nested<T> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        if from.kind()? != Kind::String {
            return from.skip().map(|()| Self::default());
        }
        from.nested(T::read).map(|inner| Self(inner.unwrap_or_default()))
    }

    fn write(&self, to: &mut Writer) {
        to.nested(|to| self.0.write(to));
    }

    fn is_absent(&self) -> bool {
        self.0.is_absent()
    }
}

/// A message's body: always a string on the wire. A typed value is written as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Body<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// MessagePack.
    Value(&'a [u8]),
}

impl<'a> Body<'a> {
    /// The body that a message has on this wire; `None` when it cannot have one.
    pub(super) fn of(message: &'a RtmMessage) -> Option<Self> {
        match message {
            RtmMessage::Text(text) => Some(Self::Text(Cow::Borrowed(text.as_str()))),
            RtmMessage::Value(bytes) => value::is_value(bytes).then_some(Self::Value(bytes)),
            RtmMessage::Binary(_) => None,
        }
    }

    /// About how many bytes it takes to write.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Text(text) => text.len() + text.len() / 16,
            Self::Value(bytes) => bytes.len() * 2,
        }
    }
}

impl<'a> Field<'a> for Body<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
        Ok(Str::read(from)?.0.map_or(Self::Absent, Self::Text))
    }

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Absent => to.string(""),
            Self::Text(text) => to.string(text),
            Self::Value(bytes) => to.nested(|to| value::write(bytes, to)),
        }
    }
}
