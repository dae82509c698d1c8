//! Why a server does not start.

use std::{io, path::PathBuf};

use rtm_core::store::BackendError;

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
