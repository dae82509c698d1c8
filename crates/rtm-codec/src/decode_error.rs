//! Why a packet cannot be read, and why a text is not an identifier.

use std::fmt;

/// Why a packet is not one of the protocol. It names the place, and shows nothing of what users wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Fault>); // Boxed, so that reading a number returns in registers.

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    what: &'static str,
    kind: DecodeErrorKind,
}

impl DecodeError {
    /// `what` is the part that was read, as in "user id".
    #[cold]
    pub(crate) fn new(what: &'static str, kind: DecodeErrorKind) -> Self {
        Self(Box::new(Fault { what, kind }))
    }

    /// The same fault with the name of the part it is in, if it has none yet.
    #[cold]
    #[must_use]
    pub(crate) fn named(mut self, what: &'static str) -> Self {
        if self.0.what.is_empty() {
            self.0.what = what;
        }
        self
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// The part of the packet that was wrong.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.0.what
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({:?})", self.to_string())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what(), self.kind())
    }
}

impl std::error::Error for DecodeError {}

impl From<InvalidId> for DecodeError {
    fn from(error: InvalidId) -> Self {
        Self::new(error.what(), DecodeErrorKind::Id(error.kind()))
    }
}

/// The ways in which a packet fails to be one of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A text message on the binary wire, or the reverse.
    MessageType,
    /// Longer than allowed.
    TooLarge {
        /// The most bytes it may have.
        limit: usize,
    },
    /// More entries than allowed.
    TooMany {
        /// The most it may have.
        limit: usize,
    },
    /// Nested deeper than allowed.
    TooDeep {
        /// The most levels it may have.
        limit: usize,
    },
    /// The packet's version is not known here.
    Version,
    /// It ends too early, or a length in it says more than there is.
    Truncated,
    /// Something follows where it should end.
    TrailingBytes,
    /// A number that stands for a kind of thing stands for none that is known here.
    UnknownTag {
        /// The number.
        tag: u32,
    },
    /// Text that is not UTF-8.
    Utf8,
    /// An identifier that breaks its rules.
    Id(IdFault),
    /// Not the syntax of the wire (on the vendor's, not JSON).
    Syntax,
    /// Well formed, but no value that could stand there.
    Value,
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageType => f.write_str("is not of the message type that this wire uses"),
            Self::TooLarge { limit } => write!(f, "is longer than {limit} bytes"),
            Self::TooMany { limit } => write!(f, "has more than {limit} entries"),
            Self::TooDeep { limit } => write!(f, "is nested deeper than {limit} levels"),
            Self::Version => f.write_str("has a version that is not known here"),
            Self::Truncated => f.write_str("ends too early"),
            Self::TrailingBytes => f.write_str("is followed by bytes that belong to nothing"),
            Self::UnknownTag { tag } => write!(f, "has the unknown tag {tag}"),
            Self::Utf8 => f.write_str("is not valid UTF-8"),
            Self::Id(fault) => fault.fmt(f),
            Self::Syntax => f.write_str("is malformed"),
            Self::Value => f.write_str("has a value that is not allowed"),
        }
    }
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {fault}")]
pub struct InvalidId {
    what: &'static str,
    fault: IdFault,
}

impl InvalidId {
    /// `what` is the identifier that it should have been, as in "user id".
    pub(crate) fn new(what: &'static str, fault: IdFault) -> Self {
        Self { what, fault }
    }

    /// What was wrong with the text.
    #[must_use]
    pub fn kind(&self) -> IdFault {
        self.fault
    }

    /// Which identifier it should have been, as in "user id".
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }
}

/// The ways in which a text fails to be an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdFault {
    /// It is empty.
    Empty,
    /// It has more bytes than the identifier may have.
    TooLong {
        /// The most bytes it may have.
        max: usize,
    },
    /// Its length is wrong.
    Length {
        /// The length in bytes.
        exact: usize,
    },
    /// It holds a character outside the allowed set.
    Character {
        /// Where the character starts, in bytes.
        at: usize,
        /// The character.
        character: char,
    },
    /// It is the reserved word `null`.
    Reserved,
}

impl fmt::Display for IdFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { max } => write!(f, "is longer than {max} bytes"),
            Self::Length { exact } => write!(f, "is not exactly {exact} bytes long"),
            Self::Character { at, character } => write!(f, "has {character:?} at byte {at}, which is not allowed"),
            Self::Reserved => f.write_str("is the reserved word \"null\""),
        }
    }
}
