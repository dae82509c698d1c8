//! Access tokens of RTM: build, verify and explain versions 006 and 007.
//!
//! A *project* is an App ID with an optional *certificate*, a secret of 32 characters. Whoever holds
//! the certificate signs a token that lets one user log in for at most 24 hours ([`MAX_TTL`]); the
//! server checks it with the same certificate.
//!
//! * [`Builder`] makes a token.
//! * [`verify()`] decides whether a token lets a user log in now, and until when.
//! * [`explain()`] decodes a token without judging it, for people who look into why one is refused.
//!
//! | | 006 | 007 |
//! |---|---|---|
//! | names its user | only as a CRC-32; the user id is part of what is signed | in clear text |
//! | clocks | two absolute seconds: 24 h after issue, and the login privilege's own | seconds after issue, for the token and for the privilege |
//! | text | Base64 | zlib, then Base64 |
//!
//! The crate is pure: the current time (unix seconds) and the salt are arguments, and no input,
//! however hostile, makes it panic or allocate more than a small multiple of [`MAX_CONTENT_LENGTH`].
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
