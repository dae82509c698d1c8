//! The byte layout both versions share: little-endian integers, length-prefixed bytes, Base64.

use std::collections::BTreeMap;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{TokenError, signature::SIGNATURE_LENGTH};

/// Reads fields off the front of a token's content; every read is checked against what is left.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(content: &'a [u8]) -> Self {
        Self { rest: content }
    }

    /// Everything that was not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, TokenError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, TokenError> {
        self.array(field).map(i16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, TokenError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Bytes behind a 16-bit length.
    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], TokenError> {
        let length = self.u16(field)?;
        let (head, rest) = self.rest.split_at_checked(length.into()).ok_or(TokenError::Truncated { field })?;
        self.rest = rest;
        Ok(head)
    }

    /// UTF-8 text behind a 16-bit length.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, TokenError> {
        let bytes = self.bytes(field)?;
        let text = str::from_utf8(bytes).map_err(|_| TokenError::NotUtf8 { field })?;
        Ok(text.to_owned())
    }

    /// The signature both versions start with.
    pub(crate) fn signature(&mut self) -> Result<[u8; SIGNATURE_LENGTH], TokenError> {
        let length = self.u16("signature")?;
        if usize::from(length) != SIGNATURE_LENGTH {
            return Err(TokenError::SignatureLength { length });
        }
        self.array("signature")
    }

    /// A table of privilege number to time. Keys may come in any order; of a key that comes twice
    /// the last value counts, as in the published parsers.
    pub(crate) fn privileges(&mut self) -> Result<BTreeMap<u16, u32>, TokenError> {
        let count = self.u16("privileges")?;
        (0..count).map(|_| Ok((self.u16("privileges")?, self.u32("privileges")?))).collect()
    }

    /// Errors unless everything was read.
    pub(crate) const fn finish(self) -> Result<(), TokenError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(TokenError::TrailingBytes { count }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], TokenError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(TokenError::Truncated { field })?;
        self.rest = rest;
        Ok(*head)
    }
}

/// Appends `bytes` behind their 16-bit length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("the builder bounds every field by 255 bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a privilege table with its one entry.
pub(crate) fn put_privilege(out: &mut Vec<u8>, number: u16, time: u32) {
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&time.to_le_bytes());
}

pub(crate) fn encode_base64(content: &[u8]) -> String {
    BASE64.encode(content)
}

pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, TokenError> {
    BASE64.decode(text).map_err(|_| TokenError::BadBase64)
}

/// Always writes padding, and reads texts that lost it on their way through a URL or a shell.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
