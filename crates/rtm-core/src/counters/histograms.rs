//! How values are spread: sizes over powers of two, times over the bounds that people expect.

use std::time::Duration;

use super::Counts;

/// How many values there were of each size. The upper bound of each class is twice that of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// One for each length of a number in bits: so no value needs a look at the bounds.
    counts: Counts<{ u64::BITS as usize + 1 }>,
    sum: u64,
}

impl Histogram {
    /// How many classes are shown. The last bound is 2^26.
    pub const CLASSES: usize = 28;

    /// The values by class: how many were below the bound of the class, and not below that of the one before. Bounds are
    /// 1, 2, 4 and so on; what is above all of them is in the last class.
    #[must_use]
    pub fn counts(&self) -> [u64; Self::CLASSES] {
        let (below, above) = self.counts.0.split_at(Self::CLASSES - 1);
        let mut counts = [above.iter().sum(); Self::CLASSES];
        counts[..Self::CLASSES - 1].copy_from_slice(below);
        counts
    }

    /// What all values are together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Counts a value.
    #[inline]
    pub fn add(&mut self, value: u64) {
        self.counts.add(bits(value));
        self.sum = self.sum.wrapping_add(value);
    }

    /// Adds the values of another one.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// How long something took each time, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latencies {
    counts: Counts<{ Self::CLASSES }>,
    micros: u64,
}

impl Latencies {
    /// The upper bounds of the classes, in microseconds: in steps of about 2.5 from 10 µs to 10 s, then 30 s and a minute. After
    /// 9 s a device's receipt is late.
    pub const BOUNDS: [u64; 22] = [
        10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000, 9_000_000, 10_000_000, 30_000_000, 60_000_000,
    ];

    /// How many classes there are: the last has no bound.
    pub const CLASSES: usize = Self::BOUNDS.len() + 1;

    /// The times by class: how many were below the bound of the class, and not below that of the one before.
    #[must_use]
    pub fn counts(&self) -> [u64; Self::CLASSES] {
        self.counts.0
    }

    /// What all times are together, in microseconds.
    #[must_use]
    pub fn micros(&self) -> u64 {
        self.micros
    }

    /// Counts a time.
    #[inline]
    pub fn add(&mut self, time: Duration) {
        let micros = time.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(time.subsec_micros()));
        self.counts.add(class(micros));
        self.micros = self.micros.wrapping_add(micros);
    }

    /// Adds the times of another one.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.micros = self.micros.wrapping_add(other.micros);
    }
}

/// The length of a number.
#[inline]
fn bits(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

/// The class of a time. It is found without a search: this runs for each message.
#[inline]
fn class(micros: u64) -> usize {
    let Some(Octave { below, within: [one, other] }) = OCTAVES.get(bits(micros)) else { return Latencies::CLASSES - 1 };
    let class = below + usize::from(micros >= *one) + usize::from(micros >= *other);
    // The greatest number is as great as what stands where there is no bound.
    class.min(Latencies::CLASSES - 1)
}

/// Of all numbers of one length: how many bounds are below them, and the bounds among them.
#[derive(Clone, Copy)]
struct Octave {
    below: usize,
    within: [u64; 2],
}

/// By the lengths of numbers.
static OCTAVES: [Octave; u64::BITS as usize + 1] = {
    let mut octaves = [Octave { below: 0, within: [u64::MAX; 2] }; u64::BITS as usize + 1];
    let mut bits = 0;
    while bits < octaves.len() {
        let (mut at, mut within) = (0, 0);
        while at < Latencies::BOUNDS.len() {
            let bound = Latencies::BOUNDS[at];
            let length = (u64::BITS - bound.leading_zeros()) as usize;
            if length < bits {
                octaves[bits].below += 1;
            } else if length == bits {
                octaves[bits].within[within] = bound;
                within += 1;
            }
            at += 1;
        }
        bits += 1;
    }
    octaves
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_class_whose_bound_is_the_first_above_it() {
        let bounds = Latencies::BOUNDS;
        let near = bounds.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        let all = near.chain((0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit])).chain([u64::MAX]);
        for micros in all {
            assert_eq!(class(micros), bounds.partition_point(|bound| *bound <= micros), "{micros}");
        }
        let mut times = Latencies::default();
        times.add(Duration::from_micros(9));
        times.add(Duration::from_millis(1));
        times.add(Duration::MAX);
        let counts = times.counts();
        assert_eq!((counts[0], counts[7], counts[Latencies::CLASSES - 1]), (1, 1, 1), "{counts:?}");
    }
}
