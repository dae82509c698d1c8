//! This server as a node of a cluster on NATS.

pub(crate) mod error;
pub(crate) mod names;
pub(crate) mod streams;

pub use error::{ClusterError, ClusterErrorKind};
