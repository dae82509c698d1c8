//! Access tokens of RTM: make, verify and explain versions 006 and 007.
//!
//! A *project* is an App ID with an optional *certificate*, a secret of 32 characters (not a TLS certificate). Your back end signs
//! a token with the certificate. The token lets one user log in for at most 24 hours ([`MAX_TTL`]); the server verifies it with
//! the same certificate.
//!
//! ```
//! use std::time::Duration;
//!
//! use rtm_token::{Builder, Certificate};
//!
//! let certificate: Certificate = "5CFd2fd1755d40ecb72977518be15d3b".parse()?; // keep it on the back end
//! let token = Builder::for_now("970CA35de60c44645bbae8a215061b33", &certificate, "alice")
//!     .ttl(Duration::from_secs(3600))
//!     .build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`Builder`] makes a token.
//! * [`verify()`] decides whether a token lets a user log in now, and until when.
//! * [`explain()`] decodes a token without verifying it, to find out why a server refuses it.
//!
//! | | 006 | 007 |
//! |---|---|---|
//! | user id | only its CRC-32; the signature depends on the user id | in clear text |
//! | expiry | two absolute times: 24 h after the issue, and that of the login privilege | seconds after the issue, for the token and for the privilege |
//! | encoding | Base64 | zlib, then Base64 |
//!
//! The crate does no IO. Except in [`Builder::for_now`], the current time (Unix seconds) and the salt are arguments, so tests can
//! choose them. No input makes it panic or allocate more than a small multiple of [`MAX_CONTENT_LENGTH`].
//!
//! ```
//! use std::time::Duration;
//!
//! use rtm_token::{Builder, Certificate, Policy, TokenErrorKind, Version, verify};
//!
//! let app_id = "970CA35de60c44645bbae8a215061b33";
//! let certificate: Certificate = "5CFd2fd1755d40ecb72977518be15d3b".parse()?;
//! let now = 1_700_000_000;
//!
//! let token = Builder::new(app_id, &certificate, "alice", now, 42)
//!     .version(Version::V007)
//!     .ttl(Duration::from_secs(600))
//!     .build()?;
//!
//! let certificates = [certificate];
//! let verified = verify(&token, app_id, &certificates, "alice", now, &Policy::new())?;
//! assert_eq!(verified.ends_at, now + 600);
//!
//! let late = verify(&token, app_id, &certificates, "alice", now + 600, &Policy::new());
//! assert_eq!(late.unwrap_err().kind(), TokenErrorKind::Expired);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::iter_over_hash_type)]

use std::time::Duration;

mod builder;
mod bytes;
mod certificate;
mod error;
mod explain;
mod service;
mod signature;
mod v006;
mod v007;
mod verify;
mod version;

pub use builder::{BuildError, Builder};
pub use certificate::{Certificate, CertificateError};
pub use error::{TokenError, TokenErrorKind};
pub use explain::{Explained, Grant, Holder, Privilege, Signature, explain};
pub use service::{Permission, Service};
pub use verify::{Policy, Verified, verify};
pub use version::{UnknownVersion, Version};

/// The longest life of a token: 24 hours from its issue.
///
/// Every published builder of 006 writes it; a 007 token that claims more is cut to it.
pub const MAX_TTL: Duration = Duration::from_secs(MAX_TTL_SECONDS as u64);

/// The longest token text that is looked at, in bytes. A usual token has 130 to 300.
pub const MAX_TOKEN_LENGTH: usize = 16 * 1024;

/// The most bytes that the compressed content of a 007 token may inflate to.
pub const MAX_CONTENT_LENGTH: usize = 64 * 1024;

/// [`MAX_TTL`] in the unit of the tokens.
const MAX_TTL_SECONDS: u32 = 86_400;

/// Length of an App ID in characters.
const APP_ID_LENGTH: usize = 32;

/// Whether `text` has the form of an App ID: 32 ASCII letters and digits.
fn is_app_id(text: &[u8]) -> bool {
    text.len() == APP_ID_LENGTH && text.iter().all(u8::is_ascii_alphanumeric)
}
