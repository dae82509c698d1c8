//! The settings of the admin listener: where it is, and who may do what.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rtm_codec::AppId;
use rtm_core::store::BackendError;
use sha2::{Digest as _, Sha256};

use super::log::LogControl;
use crate::{address::ListenAddress, random::random_bytes, tls::TlsConfig};

/// A listener for those who run the server: health, metrics and, with a key, the admin API.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AdminConfig {
    /// The addresses to listen on. By default it listens nowhere.
    pub listen: Vec<ListenAddress>,
    /// The names by which it is reached, beside `localhost` and addresses: a page in a browser could reach it by any
    /// other name.
    pub hosts: Vec<String>,
    /// Who may use the API. Without a key nobody may.
    pub keys: Vec<AdminKey>,
    /// How it speaks TLS. By default it does not.
    pub tls: Option<TlsConfig>,
    /// What sets the level of the program's log. Without it the API does not.
    pub log: Option<LogControl>,
    /// What the program is built from, for `rtm_build_info`.
    pub build: BuildInfo,
}

/// What a program is built from, in its own words; empty where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildInfo {
    /// The commit.
    pub commit: String,
    /// The version of the compiler.
    pub rustc: String,
}

impl BuildInfo {
    /// Of this commit, by this version of the compiler.
    #[must_use]
    pub fn new(commit: impl Into<String>, rustc: impl Into<String>) -> Self {
        Self { commit: commit.into(), rustc: rustc.into() }
    }
}

/// A key of the admin API: what is known of it is its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdminKey {
    /// Whose it is: it stands in the audit log.
    pub name: String,
    /// What it may do.
    pub role: AdminRole,
    /// The SHA-256 of its text.
    pub sha256: [u8; 32],
    /// The projects that it is for. `None`: all of them, and the server itself.
    pub projects: Option<Vec<AppId>>,
}

/// What a key may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AdminRole {
    /// See everything.
    Read,
    /// Act on users and channels.
    Operate,
    /// Act on the server.
    Admin,
}

impl AdminKey {
    /// A new key, and its text, which is nowhere else.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the system has no random numbers.
    pub fn generate(name: impl Into<String>, role: AdminRole) -> Result<(Self, String), BackendError> {
        let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>()?));
        Ok((Self::new(name, role, &text), text))
    }

    /// The key with this text.
    #[must_use]
    pub fn new(name: impl Into<String>, role: AdminRole, text: &str) -> Self {
        Self { name: name.into(), role, sha256: Sha256::digest(text).into(), projects: None }
    }

    /// Whether this is its text, found out in a time that does not tell how much of it is right.
    pub(super) fn is(&self, text: &str) -> bool {
        let other: [u8; 32] = Sha256::digest(text).into();
        self.sha256.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
    }

    /// The hash, in hexadecimal digits.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl AdminRole {
    /// Its name, in small letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for AdminRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AdminRole {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "read" => Ok(Self::Read),
            "operate" => Ok(Self::Operate),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole),
        }
    }
}

/// The text is the name of no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is \"read\", \"operate\" or \"admin\"")]
#[non_exhaustive]
pub struct UnknownRole;

/// Reads a hash in hexadecimal digits.
pub(crate) fn sha256(text: &str) -> Result<[u8; 32], String> {
    let fault = || "it is not a SHA-256 in 64 hexadecimal digits".to_owned();
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>().ok_or_else(fault)?;
    let bytes: Vec<_> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + *digit as u8)).collect();
    if digits.len() == 64 { bytes.try_into().map_err(|_| fault()) } else { Err(fault()) }
}

/// What every key begins with, so that one that got somewhere by mistake is found.
const PREFIX: &str = "rtm_admin_";
