//! The only randomness here: a seeded generator, so that the same inputs give the same outputs.

use std::time::Duration;

/// SplitMix64: small, fast, and good enough for ids and jitter.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Anything from zero to `most`, to the microsecond.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.next() % (micros + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_within_its_bound_and_uses_all_of_it() {
        let mut rng = Rng::new(7);
        let most = Duration::from_millis(100);
        let pauses: Vec<_> = (0..1000).map(|_| rng.up_to(most)).collect();
        assert!(pauses.iter().all(|&pause| pause <= most));
        assert!(pauses.iter().any(|&pause| pause < most / 10) && pauses.iter().any(|&pause| pause > most * 9 / 10));
        assert_eq!(rng.up_to(Duration::ZERO), Duration::ZERO);
    }
}
