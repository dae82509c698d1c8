//! Signatures as the Standard Webhooks have them: a receiver knows by one who sent a request, and that nobody changed it.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// A secret that the server and a receiver share: `whsec_` and 24 to 64 bytes in base64.
///
/// While a secret is changed an endpoint has two, and each request is signed with both.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// The secret with this text. Its `whsec_` may be left out.
    ///
    /// # Errors
    ///
    /// [`InvalidSecret`] unless it is 24 to 64 bytes in base64.
    pub fn new(text: &str) -> Result<Self, InvalidSecret> {
        let text = text.strip_prefix(PREFIX).unwrap_or(text);
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| InvalidSecret)?;
        if BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidSecret) }
    }

    /// What tells it from others, and does not give it away.
    pub(crate) fn fingerprint(&self) -> String {
        Sha256::digest(&self.0).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    fn sign(&self, parts: &[&[u8]]) -> Option<String> {
        // A key of any length will do.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    }
}

/// Shows no secret.
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// The text is no secret for webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret for webhooks is whsec_ and 24 to 64 bytes in base64")]
#[non_exhaustive]
pub struct InvalidSecret;

/// The header `webhook-signature`: one signature for each secret.
pub(crate) fn signature(secrets: &[WebhookSecret], id: &str, timestamp: &str, body: &[u8]) -> String {
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    secrets.iter().filter_map(|secret| secret.sign(&parts)).collect::<Vec<_>>().join(" ")
}

const PREFIX: &str = "whsec_";
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_with_either_secret_finds_its_signature() {
        let texts = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD2FVsBQIhrscC"];
        let secrets = texts.map(|text| WebhookSecret::new(text).unwrap());
        let body = br#"{"type":"user.online"}"#;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
        let signature = signature(&secrets, "msg-1", &now, body);
        for text in texts {
            let mut headers = http::HeaderMap::new();
            for (name, value) in
                [("webhook-id", "msg-1"), ("webhook-timestamp", &now), ("webhook-signature", &signature)]
            {
                headers.insert(name, value.parse().unwrap());
            }
            let receiver = standardwebhooks::Webhook::new(text).unwrap();
            receiver.verify(body, &headers).unwrap();
            assert!(receiver.verify(b"{}", &headers).is_err());
        }
    }

    #[test]
    fn only_secrets_of_the_standard_are_taken() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", &BASE64_STANDARD.encode([7; 65])] {
            assert_eq!(WebhookSecret::new(text), Err(InvalidSecret), "{text}");
        }
        assert!(!format!("{:?}", WebhookSecret::new(&BASE64_STANDARD.encode([7; 24])).unwrap()).contains('7'));
    }
}
