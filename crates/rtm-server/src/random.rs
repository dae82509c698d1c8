//! Random numbers of the system.

use rtm_core::store::BackendError;

/// So many random bytes.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], BackendError> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| BackendError::new("get random numbers", "the system has none"))?;
    Ok(bytes)
}

/// A number that nobody else has.
#[cfg(feature = "cluster")]
pub(crate) fn random() -> Result<u64, BackendError> {
    random_bytes().map(u64::from_le_bytes)
}
