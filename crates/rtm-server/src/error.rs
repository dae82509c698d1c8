//! Why a server does not start.

use std::{fmt, io, path::PathBuf};

use crate::config::ConfigError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot listen at an address.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address, or the name that has none.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The TLS certificate or its key cannot be used.
    #[error("cannot use {}: {what}", .path.display())]
    Tls {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The durable store cannot be opened.
    #[error(transparent)]
    Store(#[from] BackendError),
}

/// What kind of thing keeps a server from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerErrorKind {
    /// The configuration is wrong.
    Config,
    /// It cannot listen at an address.
    Listen,
    /// The TLS certificate or its key cannot be used.
    Tls,
    /// The durable store cannot be opened.
    Store,
}

impl ServerError {
    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> ServerErrorKind {
        match self {
            Self::Config(_) => ServerErrorKind::Config,
            Self::Listen { .. } => ServerErrorKind::Listen,
            Self::Tls { .. } => ServerErrorKind::Tls,
            Self::Store(_) => ServerErrorKind::Store,
        }
    }
}

/// A [`Backend`](crate::backend::Backend) that failed: what it was doing, and why that went wrong.
#[derive(Debug)]
pub struct BackendError {
    doing: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl BackendError {
    /// An error in `doing` something ("open /var/lib/rtm/store.redb").
    pub fn new(doing: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { doing: doing.into(), source: source.into() }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.source)
    }
}

impl std::error::Error for BackendError {}
