//! Which of the two token formats a text is in.

use std::{fmt, str::FromStr};

use crate::{MAX_TOKEN_LENGTH, TokenError};

/// A token format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// "006", the vendor's AccessToken; every SDK and server takes it.
    #[default]
    V006,
    /// "007", AccessToken2: names its user, and its life can be chosen exactly.
    V007,
}

/// The text names no token version: it is neither "006" nor "007".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown token version: use 006 or 007")]
#[non_exhaustive]
pub struct UnknownVersion;

impl Version {
    /// The three digits that a token of this version starts with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V006 => "006",
            Self::V007 => "007",
        }
    }

    /// Splits a token into its version and the text after the three digits.
    pub(crate) fn split(token: &str) -> Result<(Self, &str), TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(TokenError::TooLong { length: token.len() });
        }
        let (prefix, rest) = token.split_at_checked(3).ok_or(TokenError::BadPrefix)?;
        let version = prefix.parse().map_err(|UnknownVersion| TokenError::BadPrefix)?;
        Ok((version, rest))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        [Self::V006, Self::V007].into_iter().find(|version| version.as_str() == text).ok_or(UnknownVersion)
    }
}
