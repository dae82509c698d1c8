//! Version 006: `"006" App-ID base64(content)`.
//!
//! ```text
//! content   bytes(signature)  u32 CRC-32(A)  u32 CRC-32(B)  bytes(message)
//! message   u32 salt  u32 end  { u16 privilege → u32 end }
//! signature HMAC-SHA256(certificate, App-ID A B message)
//! ```
//! Integers are little-endian, `bytes` is a 16-bit length and the bytes, times are unix seconds.
//! In a token for RTM A is the user id and B is empty; in one for media they name channel and user.

use std::collections::BTreeMap;

use crate::{
    Certificate, MAX_TTL_SECONDS, TokenError, Version,
    bytes::{Reader, decode_base64, encode_base64, put_bytes, put_privilege},
    is_app_id, signature,
    signature::SIGNATURE_LENGTH,
};

/// A decoded token whose signature was not checked yet.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) app_id: String,
    signature: [u8; SIGNATURE_LENGTH],
    crc_a: u32,
    crc_b: u32,
    message: Vec<u8>,
}

/// What the signature protects besides App ID and user.
pub(crate) struct Message {
    /// Written by every published builder as the issue time and 24 hours.
    pub(crate) ends_at: u32,
    pub(crate) privileges: BTreeMap<u16, u32>,
}

/// Signs a token whose own clock ends at `ends_at` and its login privilege at `login_ends_at`.
pub(crate) fn build(
    app_id: &str,
    certificate: &Certificate,
    uid: &str,
    salt: u32,
    ends_at: u32,
    login_ends_at: u32,
) -> String {
    let mut message = Vec::new();
    message.extend_from_slice(&salt.to_le_bytes());
    message.extend_from_slice(&ends_at.to_le_bytes());
    put_privilege(&mut message, LOGIN, login_ends_at);

    let signature = signature::sign(certificate.as_bytes(), &signed(app_id, uid, &message));
    let mut content = Vec::new();
    put_bytes(&mut content, &signature);
    content.extend_from_slice(&crc32fast::hash(uid.as_bytes()).to_le_bytes());
    content.extend_from_slice(&CRC_OF_NOTHING.to_le_bytes());
    put_bytes(&mut content, &message);
    format!("{}{app_id}{}", Version::V006.as_str(), encode_base64(&content))
}

impl Token {
    /// Decodes what follows after "006".
    pub(crate) fn parse(body: &str) -> Result<Self, TokenError> {
        const APP_ID: &str = "App ID";
        if body.len() < crate::APP_ID_LENGTH {
            return Err(TokenError::Truncated { field: APP_ID });
        }
        let (app_id, encoded) = body
            .split_at_checked(crate::APP_ID_LENGTH)
            .filter(|(app_id, _)| is_app_id(app_id.as_bytes()))
            .ok_or(TokenError::BadAppId)?;

        let content = decode_base64(encoded)?;
        let mut reader = Reader::new(&content);
        let token = Self {
            app_id: app_id.to_owned(),
            signature: reader.signature()?,
            crc_a: reader.u32("checksum of the user")?,
            crc_b: reader.u32("second checksum")?,
            message: reader.bytes("signed message")?.to_vec(),
        };
        reader.finish()?;
        Ok(token)
    }

    pub(crate) fn message(&self) -> Result<Message, TokenError> {
        let mut reader = Reader::new(&self.message);
        reader.u32("salt")?;
        let message = Message { ends_at: reader.u32("end time")?, privileges: reader.privileges()? };
        reader.finish()?;
        Ok(message)
    }

    /// Whether `certificate` made this token for a login of `uid`.
    pub(crate) fn is_signed_by(&self, certificate: &Certificate, uid: &str) -> bool {
        signature::holds(&self.signature, certificate.as_bytes(), &signed(&self.app_id, uid, &self.message))
    }

    /// Whether the checksums are those of a token for `uid`; another user's fit once in 2³² cases.
    pub(crate) fn may_be_for(&self, uid: &str) -> bool {
        self.uid_crc32() == Some(crc32fast::hash(uid.as_bytes()))
    }

    /// CRC-32 of the user id, or nothing for a media token.
    pub(crate) fn uid_crc32(&self) -> Option<u32> {
        (self.crc_b == CRC_OF_NOTHING).then_some(self.crc_a)
    }
}

impl Message {
    /// Every published builder adds 24 hours to the issue time, which itself is not written down.
    pub(crate) fn issued_at(&self) -> u64 {
        u64::from(self.ends_at.saturating_sub(MAX_TTL_SECONDS))
    }

    /// When the login privilege ends, if there is one; its 0 means that it has no clock of its own.
    pub(crate) fn login_ends_at(&self, honour_privilege_expiry: bool) -> Option<u64> {
        let login = *self.privileges.get(&LOGIN)?;
        let ends_at = match login {
            0 => self.ends_at,
            _ if !honour_privilege_expiry => self.ends_at,
            _ => self.ends_at.min(login),
        };
        Some(ends_at.into())
    }
}

/// What is signed; B, which would follow after the user id, is empty.
fn signed<'a>(app_id: &'a str, uid: &'a str, message: &'a [u8]) -> [&'a [u8]; 3] {
    [app_id.as_bytes(), uid.as_bytes(), message]
}

const CRC_OF_NOTHING: u32 = 0;

/// The privilege to log in to RTM. The builders for media write others into the same table.
pub(crate) const LOGIN: u16 = 1000;
