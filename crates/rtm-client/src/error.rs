//! Why a client could not be built, and the parts of errors: what exactly was wrong with an address, an id, a value or a
//! certificate. Calls fail with [`RtmError`].

use rtm_connection::RtmError;

pub use rtm_codec::{Family, IdFault, InvalidId, Refusal, UnknownWire, ValueError, ValueErrorKind};

pub use crate::{address::AddressFault, proxy::ProxyFault, tls::CertificateFault};

/// Why [`ClientBuilder::build`](crate::ClientBuilder::build) failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// [`gateway`](crate::ClientBuilder::gateway) was not called.
    #[error("the builder has no gateway: set the URL of the server")]
    NoGateway,
    /// The gateway is not a valid address.
    #[error("the gateway {gateway:?} cannot be used: {fault}")]
    #[non_exhaustive]
    Gateway {
        /// The gateway, without user and password.
        gateway: String,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// What was given to [`proxy`](crate::ClientBuilder::proxy) is no proxy.
    #[error("the proxy {proxy:?} cannot be used: {fault}")]
    Proxy {
        /// What was given, without its user and password.
        proxy: String,
        /// What is wrong with it.
        fault: ProxyFault,
    },
    /// [`app_id`](crate::ClientBuilder::app_id) was not called.
    #[error("the builder has no App ID: set it")]
    NoAppId,
    /// The App ID is not valid.
    #[error(transparent)]
    AppId(InvalidId),
    /// A certificate in [`root_certificates`](crate::ClientBuilder::root_certificates) is not valid.
    #[error("the root certificates cannot be used: {0}")]
    Certificates(CertificateFault),
    /// A setting is out of range.
    #[error("{setting} must be {bounds}")]
    #[non_exhaustive]
    Setting {
        /// The method of the builder.
        setting: &'static str,
        /// The valid range.
        bounds: &'static str,
    },
    /// `build` was called outside a tokio runtime, so the client's task has nowhere to run.
    #[error("there is no tokio runtime: build the client inside one")]
    NoRuntime,
}

/// Why [`connect`](crate::connect) failed.
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
