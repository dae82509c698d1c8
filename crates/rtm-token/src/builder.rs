//! Making a token.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{Certificate, MAX_TTL, MAX_TTL_SECONDS, Version, is_app_id, v006, v007};

/// Makes an access token that lets one user log in to RTM.
///
/// Only who holds the project's certificate can; keep it on a server and hand tokens to clients.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder<'a> {
    app_id: &'a str,
    certificate: &'a Certificate,
    uid: &'a str,
    issued_at: u64,
    salt: u32,
    version: Version,
    ttl: Duration,
}

/// What cannot be put in a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The App ID is not 32 ASCII letters and digits.
    #[error("an App ID has 32 ASCII letters and digits")]
    AppId,
    /// The user id is empty or longer than 64 bytes.
    #[error("a user id has 1 to 64 bytes, this one has {length}")]
    UidLength {
        /// Its length in bytes.
        length: usize,
    },
    /// The life is shorter than a second or longer than [`MAX_TTL`].
    #[error("a token is valid for 1 second to 24 hours, not {}", shown(.ttl))]
    Ttl {
        /// The life that was asked for.
        ttl: Duration,
    },
    /// The token would end after the year 2106, which its 32 bits cannot express.
    #[error("the issue time {issued_at} is too late for a token")]
    IssuedAt {
        /// The issue time that was asked for, in unix seconds.
        issued_at: u64,
    },
}

impl<'a> Builder<'a> {
    /// A token for the user `uid` of project `app_id`, signed with `certificate`; version 006 and a
    /// life of 24 hours unless changed.
    ///
    /// `issued_at` is the unix second at which its life begins, normally now. `salt` should be
    /// random; it makes two tokens of the same second differ and guards nothing.
    pub const fn new(app_id: &'a str, certificate: &'a Certificate, uid: &'a str, issued_at: u64, salt: u32) -> Self {
        Self { app_id, certificate, uid, issued_at, salt, version: Version::V006, ttl: MAX_TTL }
    }

    /// The same for a token whose life begins now, with a random salt. This alone reads the system's clock.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use rtm_token::{Builder, Certificate};
    ///
    /// let certificate: Certificate = "5CFd2fd1755d40ecb72977518be15d3b".parse()?;
    /// let token = Builder::for_now("0123456789abcdef0123456789abcdef", &certificate, "alice").build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[expect(clippy::disallowed_methods, reason = "it is what this is for; all else takes the time as an argument")]
    pub fn for_now(app_id: &'a str, certificate: &'a Certificate, uid: &'a str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Keyed by the system's randomness.
        let salt = RandomState::new().hash_one(now) as u32;
        Self::new(app_id, certificate, uid, now.as_secs(), salt)
    }

    /// Chooses the format.
    pub const fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Chooses how long the token lives: 1 second to [`MAX_TTL`], in whole seconds (a fraction is
    /// dropped).
    ///
    /// In a 006 token this is the expiry of its login privilege, which the vendor's own service may
    /// ignore and let it live 24 hours.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Signs the token and returns its text.
    ///
    /// # Errors
    /// If an argument has not the form that a token can hold; see [`BuildError`].
    pub fn build(&self) -> Result<String, BuildError> {
        if !is_app_id(self.app_id.as_bytes()) {
            return Err(BuildError::AppId);
        }
        if !(1..=MAX_UID_LENGTH).contains(&self.uid.len()) {
            return Err(BuildError::UidLength { length: self.uid.len() });
        }
        let too_late = BuildError::IssuedAt { issued_at: self.issued_at };
        let Ok(issued_at) = u32::try_from(self.issued_at) else {
            return Err(too_late);
        };
        let Some(longest_until) = issued_at.checked_add(MAX_TTL_SECONDS) else {
            return Err(too_late);
        };
        let ttl = match self.ttl.as_secs() {
            seconds if seconds >= 1 && self.ttl <= MAX_TTL => seconds as u32,
            _ => return Err(BuildError::Ttl { ttl: self.ttl }),
        };
        Ok(match self.version {
            Version::V006 => {
                v006::build(self.app_id, self.certificate, self.uid, self.salt, longest_until, issued_at + ttl)
            }
            Version::V007 => v007::build(self.app_id, self.certificate, self.uid, self.salt, issued_at, ttl),
        })
    }
}

/// A life in seconds, as far as it is whole.
fn shown(ttl: &Duration) -> String {
    match ttl.subsec_nanos() {
        0 => format!("{} s", ttl.as_secs()),
        _ => format!("{ttl:?}"),
    }
}

/// The rule of RTM for user ids.
const MAX_UID_LENGTH: usize = 64;
