//! HMAC-SHA256, compared in constant time.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The signature of `parts`, one after the other, under `key`.
pub(crate) fn sign(key: &[u8], parts: &[&[u8]]) -> [u8; SIGNATURE_LENGTH] {
    hmac(key, parts).finalize().into_bytes().into()
}

/// Whether `signature` is that of `parts` under `key`, in a time that does not tell how much of it fits.
pub(crate) fn holds(signature: &[u8; SIGNATURE_LENGTH], key: &[u8], parts: &[&[u8]]) -> bool {
    hmac(key, parts).verify_slice(signature).is_ok()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac
}

/// Length of a signature in bytes.
pub(crate) const SIGNATURE_LENGTH: usize = 32;
