//! The one source of chance: everything random in a world comes from its seed.

use std::{ops::RangeInclusive, time::Duration};

/// A seeded generator, with the few draws that a world makes.
#[derive(Debug)]
pub(crate) struct Rng(fastrand::Rng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// From 0 to `end`, which is left out and is at least 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end.max(1))
    }

    /// So many times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.0.u32(..1000) < per_mille
    }

    pub(crate) fn between(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let (start, end) = (nanos(*range.start()), nanos(*range.end()));
        Duration::from_nanos(if start >= end { start } else { self.0.u64(start..=end) })
    }

    /// Anything up to twice `mean`.
    pub(crate) fn about(&mut self, mean: Duration) -> Duration {
        self.between(&(Duration::ZERO..=mean * 2))
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        self.0.shuffle(list);
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
