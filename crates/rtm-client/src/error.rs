//! Why a client could not be built, and the parts of errors: what exactly was wrong with an address, an id, a value or a
//! certificate. Calls fail with [`RtmError`].

use rtm_connection::RtmError;

pub use rtm_codec::{Family, IdFault, InvalidId, InvalidUtf8, Refusal, UnknownWire};
#[cfg(feature = "typed")]
pub use rtm_codec::{ValueError, ValueErrorKind};

pub use crate::{address::AddressFault, proxy::ProxyFault};

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
    /// The argument of [`proxy`](crate::ClientBuilder::proxy) is not a valid proxy.
    #[error("the proxy {proxy:?} cannot be used: {fault}")]
    Proxy {
        /// The argument, without user and password.
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
    /// The certificate or key in [`client_certificate`](crate::ClientBuilder::client_certificate) is not valid.
    #[error("the client's certificate cannot be used: {0}")]
    ClientCertificate(CertificateFault),
    /// The setting needs a feature of this crate that is not enabled.
    #[error("{what} is not built in: enable the feature {feature} of rtm-client")]
    NotBuiltIn {
        /// What needs it.
        what: &'static str,
        /// The feature.
        feature: &'static str,
    },
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

/// Why a PEM text has no usable certificate or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// A PEM section is damaged.
    #[error("a PEM section is damaged")]
    Pem,
    /// There is no certificate in it.
    #[error("there is no certificate in it")]
    None,
    /// A certificate is not valid for this purpose.
    #[error("a certificate in it is not valid for this purpose")]
    Invalid,
    /// There is no private key, or it is encrypted.
    #[error("there is no private key in it that is not encrypted")]
    NoKey,
    /// The key is not that of the certificate, or of a kind that cannot be used.
    #[error("the private key is not that of the certificate")]
    WrongKey,
    /// No cryptography is built in, and the program has chosen none for rustls.
    #[error("no cryptography is built in: enable the feature ring or aws-lc-rs of rtm-client")]
    NoProvider,
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
