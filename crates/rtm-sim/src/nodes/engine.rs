//! The engine: conditional writes are decided once for all, and nothing else about it can be relied on.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use rtm_core::cluster::{EngineKey, EngineOp, Outcome, Stored};

use crate::rng::Rng;

/// How an engine lies, so many times in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lies {
    /// A read at the leader is answered by one that is not any more.
    pub(super) stale: u32,
    /// The answer to a write that was done gets lost.
    pub(super) lost: u32,
    /// It comes late.
    pub(super) late: u32,
    /// A write that was done is taken for a conflict: it met itself.
    pub(super) own_conflict: u32,
    /// A write reaches the engine only when it is long given up.
    pub(super) delayed: u32,
}

/// Keys, their revisions, and what they held before.
#[derive(Debug, Default)]
pub(super) struct Engine {
    keys: BTreeMap<EngineKey, Vec<Version>>,
    revision: u64,
    pub(super) lies: Lies,
    /// Until then there is no leader.
    pub(super) leaderless_until: Duration,
}

#[derive(Debug)]
struct Version {
    at: Duration,
    stored: Stored,
}

/// What came of a question, and how long the way back takes.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// `None` if it never comes.
    pub(super) after: Option<Duration>,
    /// What was written.
    pub(super) written: Option<(EngineKey, Stored)>,
}

impl Engine {
    /// What a key holds, in truth.
    pub(super) fn get(&self, key: &EngineKey) -> Option<&Stored> {
        self.keys.get(key)?.last().map(|version| &version.stored)
    }

    /// All keys, in truth.
    pub(super) fn all(&self) -> impl Iterator<Item = (&EngineKey, &Stored)> {
        self.keys.iter().filter_map(|(key, versions)| Some((key, &versions.last()?.stored)))
    }

    /// A question arrives.
    pub(super) fn ask(&mut self, now: Duration, op: EngineOp, rng: &mut Rng) -> Answer {
        let after = Some(rng.between(&WAY));
        if now < self.leaderless_until {
            return Answer { outcome: Outcome::NoResponders, after, written: None };
        }
        match op {
            EngineOp::Read { key } => {
                let found = if rng.chance(self.lies.stale) { self.get_before(&key, now) } else { self.get(&key) };
                Answer { outcome: Outcome::Found(found.cloned()), after, written: None }
            }
            EngineOp::Write { key, value, expected } => {
                if self.get(&key).map_or(0, |stored| stored.revision) != expected {
                    return Answer { outcome: Outcome::Conflict, after, written: None };
                }
                self.revision += 1;
                let stored = Stored { revision: self.revision, value };
                self.keys.entry(key.clone()).or_default().push(Version { at: now, stored: stored.clone() });
                let (outcome, after) = if rng.chance(self.lies.own_conflict) {
                    (Outcome::Conflict, after)
                } else if rng.chance(self.lies.lost) {
                    (Outcome::TimedOut, None)
                } else if rng.chance(self.lies.late) {
                    (Outcome::Written(self.revision), Some(rng.between(&LATE)))
                } else {
                    (Outcome::Written(self.revision), after)
                };
                Answer { outcome, after, written: Some((key, stored)) }
            }
        }
    }

    /// What a key held a moment ago.
    fn get_before(&self, key: &EngineKey, now: Duration) -> Option<&Stored> {
        let versions = self.keys.get(key)?;
        let before = versions.iter().rev().find(|version| version.at + STALE < now);
        before.map(|version| &version.stored)
    }
}

/// How long a question or an answer is on its way.
pub(super) const WAY: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_millis(5);

/// How long an answer takes that is late: some come when nobody waits any more.
const LATE: RangeInclusive<Duration> = Duration::from_millis(300)..=Duration::from_millis(3000);

/// How old an old answer is.
const STALE: Duration = Duration::from_millis(1500);
