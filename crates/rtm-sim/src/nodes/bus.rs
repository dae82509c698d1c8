//! The bus: it carries payloads from node to node, unless it loses, repeats or delays them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::rng::Rng;

/// How badly the bus carries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Badness {
    /// So many payloads in a thousand get lost.
    pub(crate) lost: u32,
    /// So many come a second time, later.
    pub(crate) repeated: u32,
    /// So many come late, after others.
    pub(crate) late: u32,
}

/// Who reaches whom.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    pub(crate) badness: Badness,
    /// From whom to whom nothing passes.
    cuts: BTreeSet<(usize, usize)>,
    /// When the last payload arrives on each way: what is not late comes in order.
    last: BTreeMap<(usize, usize, bool), Duration>,
}

impl Bus {
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn mend(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.badness = Badness::default();
        self.cuts.clear();
    }

    /// When a payload arrives: never, once, or twice.
    pub(crate) fn arrivals(
        &mut self,
        now: Duration,
        from: usize,
        to: usize,
        is_urgent: bool,
        rng: &mut Rng,
    ) -> Vec<Duration> {
        if self.cuts.contains(&(from, to)) || rng.chance(self.badness.lost) {
            return Vec::new();
        }
        let mut at = now + rng.between(&(Duration::from_micros(100)..=Duration::from_millis(2)));
        if rng.chance(self.badness.late) {
            at += rng.about(Duration::from_millis(300));
        } else {
            let last = self.last.entry((from, to, is_urgent)).or_default();
            at = at.max(*last);
            *last = at;
        }
        let mut arrivals = vec![at];
        if rng.chance(self.badness.repeated) {
            arrivals.push(at + rng.about(Duration::from_secs(1)));
        }
        arrivals
    }
}
