//! Why a token is refused.

use crate::{MAX_CONTENT_LENGTH, MAX_TOKEN_LENGTH};

/// Why a token is refused or cannot be decoded.
///
/// [`kind`](Self::kind) is what a client is told; the variant and its text are for the log of the
/// server and for whoever explains a token. No text holds the token or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is no token: the text is empty.
    #[error("the token is empty")]
    Missing,
    /// The text is longer than [`MAX_TOKEN_LENGTH`].
    #[error("the token has {length} bytes, at most {MAX_TOKEN_LENGTH} are read")]
    TooLong {
        /// Length of the text in bytes.
        length: usize,
    },
    /// It starts neither with 006 nor with 007.
    #[error("the token starts neither with 006 nor with 007")]
    BadPrefix,
    /// What stands at the place of the App ID is not 32 ASCII letters and digits.
    #[error("the token's App ID is not 32 letters and digits")]
    BadAppId,
    /// It was made for another App ID.
    #[error("the token is for another App ID")]
    OtherAppId,
    /// The part after the prefix is not standard Base64.
    #[error("the token is not valid Base64")]
    BadBase64,
    /// The content of a 007 token is not one whole zlib stream.
    #[error("the token is not a valid zlib stream")]
    BadCompression,
    /// The content of a 007 token inflates to more than [`MAX_CONTENT_LENGTH`].
    #[error("the token inflates to more than {MAX_CONTENT_LENGTH} bytes")]
    InflatesTooFar,
    /// It ends in the middle of a field, or a length in it points behind its end.
    #[error("the token ends inside its {field}")]
    Truncated {
        /// What was being read.
        field: &'static str,
    },
    /// Bytes follow after its last field.
    #[error("{count} bytes follow after the token's end")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// Its signature is not 32 bytes long.
    #[error("the token's signature has {length} bytes instead of 32")]
    SignatureLength {
        /// The length that the token gives.
        length: u16,
    },
    /// A text in it is not UTF-8.
    #[error("the token's {field} is not UTF-8")]
    NotUtf8 {
        /// Which text.
        field: &'static str,
    },
    /// It is checked for nobody: the user id is empty.
    #[error("the user id is empty")]
    EmptyUid,
    /// No certificate of the project made its signature.
    #[error("the token's signature is not valid")]
    WrongSignature,
    /// The signature holds for this user, but a checksum beside it was changed (006).
    #[error("the token's checksum of the user id is wrong")]
    WrongChecksum,
    /// It lets another user log in.
    #[error("the token is for another user")]
    AnotherUser,
    /// It holds no privilege to log in to RTM; it may be a media token.
    #[error("the token has no privilege to log in to RTM")]
    NoLoginPrivilege,
    /// A 006 token ends further ahead than 24 hours and the tolerated clock difference.
    #[error("the token is valid for too long: it expires at {ends_at}, more than 24 hours from now")]
    LivesTooLong {
        /// The unix second at which it says to end.
        ends_at: u64,
    },
    /// A 007 token was issued later than now and the tolerated clock difference.
    #[error("the token was issued in the future, at {issued_at}")]
    IssuedInFuture {
        /// The unix second of its issue.
        issued_at: u64,
    },
    /// It is well-made and signed, and over.
    #[error("the token expired at {ended_at}")]
    Expired {
        /// The first unix second at which it was no longer valid.
        ended_at: u64,
    },
}

/// What the vendor's codes distinguish about a refused token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenErrorKind {
    /// It never was, or is not yet, a token for this user and project.
    Invalid,
    /// It was valid and is over; a new one heals.
    Expired,
}

impl TokenError {
    /// Whether the token is wrong or only too old.
    pub const fn kind(&self) -> TokenErrorKind {
        match self {
            Self::Missing
            | Self::TooLong { .. }
            | Self::BadPrefix
            | Self::BadAppId
            | Self::OtherAppId
            | Self::BadBase64
            | Self::BadCompression
            | Self::InflatesTooFar
            | Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::SignatureLength { .. }
            | Self::NotUtf8 { .. }
            | Self::EmptyUid
            | Self::WrongSignature
            | Self::WrongChecksum
            | Self::AnotherUser
            | Self::NoLoginPrivilege
            | Self::LivesTooLong { .. }
            | Self::IssuedInFuture { .. } => TokenErrorKind::Invalid,
            Self::Expired { .. } => TokenErrorKind::Expired,
        }
    }
}
