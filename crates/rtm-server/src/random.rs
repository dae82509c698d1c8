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

/// Puts a list into any order, so that clients which came together do not come back together.
pub(crate) fn shuffle<T>(list: &mut [T]) {
    // Without random numbers the order is as good as any other.
    let mut state = random_bytes().map(u64::from_le_bytes).unwrap_or_default();
    for left in (1..list.len()).rev() {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let other = usize::try_from(mixed % (left as u64 + 1)).unwrap_or_default();
        list.swap(left, other);
    }
}

/// A number that nobody else has.
#[cfg(feature = "cluster")]
pub(crate) fn random() -> Result<u64, BackendError> {
    random_bytes().map(u64::from_le_bytes)
}
