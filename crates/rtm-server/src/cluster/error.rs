//! Why a server cannot be a node of its cluster.

use super::requests::NoAnswer;

/// Why a server cannot be a node of its cluster, or why nothing can be said of that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ClusterError {
    kind: ClusterErrorKind,
    what: String,
}

/// What kind of thing keeps a server out of its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClusterErrorKind {
    /// A file with credentials or certificates cannot be used.
    Credentials,
    /// NATS refuses the credentials, or what they allow is not enough.
    Refused,
    /// NATS is older than 2.12, has no JetStream, or takes too small payloads.
    Unsuitable,
    /// A stream of the cluster's name is there and is not what it should be.
    Streams,
    /// NATS cannot be reached, or has no leader. A node waits for that.
    Unreachable,
    /// Another node with this name lives.
    NameTaken,
    /// The members of the cluster say what this version does not understand.
    TooOld,
    /// No member of the cluster has the project.
    NoProject,
}

impl ClusterError {
    pub(crate) fn new(kind: ClusterErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> ClusterErrorKind {
        self.kind
    }
}

/// Why something that NATS was asked was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    /// It cannot be.
    #[error(transparent)]
    Never(#[from] ClusterError),
    /// It may be done later.
    #[error("{0}")]
    NotNow(String),
}

impl From<NoAnswer> for NotDone {
    fn from(why: NoAnswer) -> Self {
        Self::NotNow(why.to_string())
    }
}
