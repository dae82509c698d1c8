//! Why a load could not be put on a server.

use rtm_client::{BuildError, ErrorKind, RtmError};

/// Why a load could not be put on a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A client could not be set up.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A call failed.
    #[error("{what}")]
    #[non_exhaustive]
    Call {
        /// Which call.
        what: &'static str,
        /// How it failed.
        source: RtmError,
    },
    /// A message to an online user was not received within the server's time.
    #[error("a message was sent but not received")]
    NotReceived,
    /// The stream of events ended, or has a gap, before all messages came.
    #[error("the events ended or have a gap before all messages came")]
    Lost,
}

impl LoadError {
    /// The kind of the failed call; `None` if no call failed.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Call { source, .. } => Some(source.kind()),
            Self::Build(_) | Self::NotReceived | Self::Lost => None,
        }
    }

    pub(crate) fn call(what: &'static str) -> impl FnOnce(RtmError) -> Self {
        move |source| Self::Call { what, source }
    }
}
