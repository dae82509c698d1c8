//! What can be wrong before there is a connection.

use rtm_codec::InvalidId;
use rtm_connection::RtmError;

pub use crate::{address::AddressFault, tls::CertificateFault};

/// Why [`ClientBuilder::build`](crate::ClientBuilder::build) made no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// [`gateway`](crate::ClientBuilder::gateway) was not called.
    #[error("no gateway is given: where is the server?")]
    NoGateway,
    /// The gateway is not an address.
    #[error("the gateway {gateway:?} cannot be used: {fault}")]
    Gateway {
        /// What was given, without its user and password.
        gateway: String,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// [`app_id`](crate::ClientBuilder::app_id) was not called.
    #[error("no App ID is given")]
    NoAppId,
    /// The App ID breaks its rules.
    #[error(transparent)]
    AppId(InvalidId),
    /// What was given to [`root_certificates`](crate::ClientBuilder::root_certificates) cannot be used.
    #[error("the root certificates cannot be used: {0}")]
    Certificates(CertificateFault),
    /// A setting is outside its bounds.
    #[error("{setting} must be {bounds}")]
    Setting {
        /// The method of the builder.
        setting: &'static str,
        /// What it takes.
        bounds: &'static str,
    },
    /// `build` was called outside a tokio runtime, so the client's task has nowhere to run.
    #[error("there is no tokio runtime here: build the client inside one")]
    NoRuntime,
}

/// Why [`connect`](crate::connect) gave no client that is logged in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The client could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The login failed.
    #[error("the login failed")]
    Login(#[source] RtmError),
}
