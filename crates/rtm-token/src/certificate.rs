//! The App Certificate, a project's secret: kept out of every printed form.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

/// An App Certificate: the 32 visible ASCII characters that sign and check a project's tokens.
///
/// It is used as it is written, never hex-decoded. `Debug` does not show it, there is no `Display`,
/// and it cannot be read back.
///
/// ```
/// use rtm_token::Certificate;
///
/// let certificate: Certificate = "5CFd2fd1755d40ecb72977518be15d3b".parse()?;
/// assert!(certificate.is_hex());
/// assert_eq!(format!("{certificate:?}"), "Certificate(<redacted>)");
/// # Ok::<(), rtm_token::CertificateError>(())
/// ```
#[derive(Clone)]
pub struct Certificate([u8; Self::LENGTH]);

/// The text is not an App Certificate. Says what is wrong with its form, without showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It has another length.
    #[error("a certificate has 32 characters, this one has {length} bytes")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// It holds a space, a control character or something that is not ASCII.
    #[error("character {} of the certificate is not a visible ASCII character", .index + 1)]
    Character {
        /// Where, counted from 0, in bytes.
        index: usize,
    },
}

impl Certificate {
    /// How many characters a certificate has.
    pub const LENGTH: usize = 32;

    /// Checks the form of `text` and keeps a copy.
    ///
    /// # Errors
    /// If it is not 32 visible ASCII characters.
    pub fn new(text: &str) -> Result<Self, CertificateError> {
        let bytes: [u8; Self::LENGTH] =
            text.as_bytes().try_into().map_err(|_| CertificateError::Length { length: text.len() })?;
        match bytes.iter().position(|byte| !byte.is_ascii_graphic()) {
            Some(index) => Err(CertificateError::Character { index }),
            None => Ok(Self(bytes)),
        }
    }

    /// Whether all characters are hexadecimal digits.
    ///
    /// The vendor's certificates are, and some of its builders sign with no other, so a server may
    /// warn when this is false.
    pub fn is_hex(&self) -> bool {
        self.0.iter().all(u8::is_ascii_hexdigit)
    }

    /// Eight hexadecimal digits of its SHA-256, by which two servers or a log tell certificates apart. They do not lead back
    /// to it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        Sha256::digest(self.0).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Certificate {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, CertificateError> {
        Self::new(text)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(<redacted>)")
    }
}
