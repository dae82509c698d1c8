//! Why a server does not start, and why it does not serve a connection.

use std::{fmt, io, path::PathBuf};

use rtm_core::store::BackendError;

#[cfg(feature = "cluster")]
use crate::cluster::error::ClusterError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot listen at an address.
    #[error("cannot listen at {address}")]
    #[non_exhaustive]
    Listen {
        /// The address, or the name that has none.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The TLS certificate or its key cannot be used.
    #[error("{key}: cannot use {}: {what}", .path.display())]
    #[non_exhaustive]
    Tls {
        /// The key of the configuration that names the file, such as `tls.certificate`.
        key: String,
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The durable store cannot be opened.
    #[error(transparent)]
    Store(#[from] BackendError),
    /// It cannot be a node of its cluster.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl ServerError {
    /// The same, with the section of the configuration that a key of it belongs to, as it is to be written in front.
    pub(crate) fn within(self, section: &str) -> Self {
        match self {
            Self::Tls { key, path, what } => Self::Tls { key: format!("{section}{key}"), path, what },
            other => other,
        }
    }
}

/// Why a server goes on with the configuration that it has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// Nobody has said how the configuration is read ([`ServerBuilder::config_source`](crate::ServerBuilder::config_source)).
    #[error("this server was not told where its configuration is")]
    NoSource,
    /// The configuration cannot be read.
    #[error("{0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The configuration cannot be used.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Why a server does not serve a connection that the application gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NotServed {
    /// The client's address has as many connections as one may have, or connected too often.
    #[error("there are too many connections from this address")]
    TooMany,
    /// The server is shutting down, or gone.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Why nothing was changed for a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotChanged {
    /// The server has no such project.
    #[error("there is no such project")]
    NoProject,
    /// The server could not do it, or not store it.
    #[error("{0}")]
    #[non_exhaustive]
    Failed(Box<str>),
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
    /// It cannot be a node of its cluster.
    #[cfg(feature = "cluster")]
    Cluster,
}

/// What is wrong with a configuration: which key, where in the file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub(crate) kind: ConfigErrorKind,
    pub(crate) key: String,
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
}

/// The ways in which a configuration is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// It is not TOML.
    Syntax,
    /// There is no such key.
    UnknownKey,
    /// A value is missing, has the wrong type, or breaks the key's rules.
    Value,
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
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => ServerErrorKind::Cluster,
        }
    }
}

impl ConfigError {
    /// A bad value of `key`.
    pub(crate) fn value(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind: ConfigErrorKind::Value, key: key.into(), line: None, what: what.into() }
    }

    /// In which way the configuration is wrong.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// The key that is unknown or has a bad value, as `project[0].app_id`; empty for what is not TOML.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The line of the file, counted from 1, where it is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.key.is_empty() { "the configuration" } else { &self.key })?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ConfigError {}
