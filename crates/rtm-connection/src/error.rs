//! Why a call failed.

use std::{fmt, time::Duration};

use rtm_codec::{ErrorKind, Family, Refusal, Text};

/// Why a call failed: the [`kind`](Self::kind), the family of calls, and a [detail](Self::detail) for people.
///
/// ```
/// use rtm_codec::{ErrorKind, Family};
/// use rtm_connection::RtmError;
///
/// let error = RtmError::new(ErrorKind::NotInChannel, Family::ChannelMessage);
/// assert_eq!(error.to_string(), "the client is not in the channel: join it first (code 5)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RtmError {
    kind: ErrorKind,
    family: Family,
    detail: Text,
}

impl RtmError {
    /// An error of a call of `family`, without a detail.
    #[must_use]
    pub fn new(kind: ErrorKind, family: Family) -> Self {
        Self { kind, family, detail: Text::default() }
    }

    /// Adds what exactly was wrong.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Text>) -> Self {
        self.detail = detail.into();
        self
    }

    /// A refusal, as the error of a call of `family`.
    #[must_use]
    pub fn from_refusal(refusal: Refusal, family: Family) -> Self {
        Self { kind: refusal.kind, family, detail: refusal.detail }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The family of calls. It determines the vendor's error number.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The vendor's error number, if there is one for this kind in this family.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.family.code(self.kind)
    }

    /// How long to wait before calling again, if a call limit was reached and the wait is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        Refusal::new(self.kind, self.detail.as_str()).retry_after()
    }

    /// What exactly was wrong, for people. Can be empty.
    #[must_use]
    pub fn detail(&self) -> &str {
        self.detail.as_str()
    }
}

impl RtmError {
    /// The error as a part of a sentence that ends with the code of another.
    pub(crate) fn without_code(&self) -> impl fmt::Display + '_ {
        WithoutCode(self)
    }
}

struct WithoutCode<'a>(&'a RtmError);

impl fmt::Display for WithoutCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RtmError { kind, family: _, detail } = self.0;
        if detail.is_empty() { kind.fmt(f) } else { write!(f, "{kind}: {detail}") }
    }
}

/// Shows the detail: it is a sentence of this library or of the server, and of no user.
impl fmt::Debug for RtmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, family, detail } = self;
        let detail = detail.as_str();
        f.debug_struct("RtmError").field("kind", kind).field("family", family).field("detail", &detail).finish()
    }
}

impl fmt::Display for RtmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.without_code().fmt(f)?;
        match self.code() {
            Some(code) => write!(f, " (code {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RtmError {}

#[cfg(feature = "serde")]
impl serde::Serialize for RtmError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let mut fields = serializer.serialize_struct("RtmError", 2)?;
        fields.serialize_field("code", &self.code())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}
