//! Why a call failed.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use rtm_codec::{ErrorKind, Family, Refusal, Text};

use crate::failure::{Failure, Sources};

/// Why a call failed: the [`kind`](Self::kind), the family of calls, a [detail](Self::detail) for people, and the
/// [source](Error::source) if another error is behind it.
///
/// `{error}` does not say what the source says; `{error:#}` shows the error and its sources in one line. `==` leaves the
/// source out.
///
/// | what failed | `source()` |
/// |---|---|
/// | connecting to the server, or to a proxy | [`std::io::Error`] |
/// | TLS | `rustls::Error` |
/// | the token provider | the error that it returned |
///
/// ```
/// use rtm_codec::{ErrorKind, Family};
/// use rtm_connection::RtmError;
///
/// let error = RtmError::new(ErrorKind::NotInChannel, Family::ChannelMessage);
/// assert_eq!(error.to_string(), "the client is not in the channel: join it first (code 5)");
/// ```
#[derive(Clone)]
pub struct RtmError {
    kind: ErrorKind,
    family: Family,
    detail: Text,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl RtmError {
    /// An error of a call of `family`, without a detail.
    #[must_use]
    pub fn new(kind: ErrorKind, family: Family) -> Self {
        Self { kind, family, detail: Text::default(), source: None }
    }

    /// Adds what exactly was wrong.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Text>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds the error behind this one.
    #[must_use]
    pub fn with_source(mut self, source: Arc<dyn Error + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// A refusal, as the error of a call of `family`.
    #[must_use]
    pub fn from_refusal(refusal: Refusal, family: Family) -> Self {
        Self { kind: refusal.kind, family, detail: refusal.detail, source: None }
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
    /// The error as what led to another one, whose code is said, and whose source is this one's.
    pub(crate) fn into_cause(self, what: &str) -> Failure {
        Failure { detail: Text::from(format!("{what}: {}", WithoutCode(&self))), source: self.source }
    }
}

struct WithoutCode<'a>(&'a RtmError);

impl fmt::Display for WithoutCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RtmError { kind, family: _, detail, source: _ } = self.0;
        if detail.is_empty() { kind.fmt(f) } else { write!(f, "{kind}: {detail}") }
    }
}

/// Shows the detail: it is a sentence of this library or of the server, and of no user.
impl fmt::Debug for RtmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, family, detail, source } = self;
        let detail = detail.as_str();
        let mut shown = f.debug_struct("RtmError");
        shown.field("kind", kind).field("family", family).field("detail", &detail);
        if let Some(source) = source {
            shown.field("source", source);
        }
        shown.finish()
    }
}

impl fmt::Display for RtmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        WithoutCode(self).fmt(f)?;
        if let Some(code) = self.code() {
            write!(f, " (code {code})")?;
        }
        if f.alternate() { write!(f, "{}", Sources(self.source())) } else { Ok(()) }
    }
}

impl Error for RtmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}

impl PartialEq for RtmError {
    fn eq(&self, other: &Self) -> bool {
        let Self { kind, family, detail, source: _ } = self;
        (kind, family, detail) == (&other.kind, &other.family, &other.detail)
    }
}

impl Eq for RtmError {}

#[cfg(feature = "serde")]
impl serde::Serialize for RtmError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let mut fields = serializer.serialize_struct("RtmError", 2)?;
        fields.serialize_field("code", &self.code())?;
        fields.serialize_field("message", &format!("{self:#}"))?;
        fields.end()
    }
}
