//! The engine: conditional writes are decided once for all, and nothing else about it can be relied on.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use rtm_core::cluster::{EngineKey, EngineOp, Outcome, Stored};

use super::ways::WAY;
use crate::rng::Rng;

/// How an engine lies, so many times in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lies {
    /// A read at the leader is answered by one that is not any more.
    pub(crate) stale: u32,
    /// The answer to a write that was done gets lost.
    pub(crate) lost: u32,
    /// It comes late.
    pub(crate) late: u32,
    /// A write that was done is taken for a conflict: it met itself.
    pub(crate) own_conflict: u32,
    /// A write reaches the engine only when it is long given up.
    pub(crate) delayed: u32,
}

/// Keys, their revisions, and what they held before.
#[derive(Debug)]
pub(crate) struct Engine<K = EngineKey, V = Bytes> {
    keys: BTreeMap<K, Vec<Version<V>>>,
    revision: u64,
    pub(crate) lies: Lies,
    /// Until then there is no leader.
    pub(crate) leaderless_until: Duration,
}

#[derive(Debug)]
struct Version<V> {
    at: Duration,
    kept: Kept<V>,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept<V> {
    pub(crate) revision: u64,
    pub(crate) value: V,
}

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said<V> {
    /// It is written, under this revision.
    Written(u64),
    /// The key holds this.
    Found(Option<Kept<V>>),
    /// The key has another revision.
    Conflict,
    /// Nobody is there who could.
    NoLeader,
}

/// What came of a question, and how long the way back takes.
#[derive(Debug)]
pub(crate) struct Answer<V> {
    pub(crate) said: Said<V>,
    /// `None` if it never comes.
    pub(crate) after: Option<Duration>,
    /// What was written.
    pub(crate) written: Option<Kept<V>>,
}

impl<K: Ord, V> Default for Engine<K, V> {
    fn default() -> Self {
        Self { keys: BTreeMap::new(), revision: 0, lies: Lies::default(), leaderless_until: Duration::ZERO }
    }
}

impl<K: Ord + Clone, V: Clone> Engine<K, V> {
    /// What a key holds, in truth.
    pub(crate) fn get(&self, key: &K) -> Option<&Kept<V>> {
        self.keys.get(key)?.last().map(|version| &version.kept)
    }

    /// All keys, in truth.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&K, &Kept<V>)> {
        self.keys.iter().filter_map(|(key, versions)| Some((key, &versions.last()?.kept)))
    }

    /// The keys that held such a value at some time since then, in truth.
    pub(crate) fn held_since(&self, since: Duration, is_it: impl Fn(&V) -> bool) -> impl Iterator<Item = &K> {
        let held = move |versions: &Vec<Version<V>>| {
            let ends = versions.iter().skip(1).map(|version| version.at).chain([Duration::MAX]);
            versions.iter().zip(ends).any(|(version, end)| end >= since && is_it(&version.kept.value))
        };
        self.keys.iter().filter(move |(_, versions)| held(versions)).map(|(key, _)| key)
    }

    /// Whether a write comes when it is long given up.
    pub(crate) fn delays(&self, rng: &mut Rng) -> Option<Duration> {
        rng.chance(self.lies.delayed).then(|| rng.about(Duration::from_secs(3)))
    }

    /// A question for what a key holds arrives.
    pub(crate) fn read(&mut self, now: Duration, key: &K, rng: &mut Rng) -> Answer<V> {
        let after = Some(rng.between(&WAY));
        if now < self.leaderless_until {
            return Answer { said: Said::NoLeader, after, written: None };
        }
        let found = if rng.chance(self.lies.stale) { self.get_before(key, now) } else { self.get(key) };
        Answer { said: Said::Found(found.cloned()), after, written: None }
    }

    /// A write arrives, of a key that has to have this revision.
    pub(crate) fn write(&mut self, now: Duration, key: &K, value: V, expected: u64, rng: &mut Rng) -> Answer<V> {
        let after = Some(rng.between(&WAY));
        if now < self.leaderless_until {
            return Answer { said: Said::NoLeader, after, written: None };
        }
        if self.get(key).map_or(0, |kept| kept.revision) != expected {
            return Answer { said: Said::Conflict, after, written: None };
        }
        self.revision += 1;
        let kept = Kept { revision: self.revision, value };
        self.keys.entry(key.clone()).or_default().push(Version { at: now, kept: kept.clone() });
        let (said, after) = if rng.chance(self.lies.own_conflict) {
            (Said::Conflict, after)
        } else if rng.chance(self.lies.lost) {
            (Said::Written(self.revision), None)
        } else if rng.chance(self.lies.late) {
            (Said::Written(self.revision), Some(rng.between(&LATE)))
        } else {
            (Said::Written(self.revision), after)
        };
        Answer { said, after, written: Some(kept) }
    }

    /// All is well from now on.
    pub(crate) fn heal(&mut self, now: Duration) {
        self.lies = Lies::default();
        self.leaderless_until = self.leaderless_until.min(now);
    }

    /// What a key held a moment ago.
    fn get_before(&self, key: &K, now: Duration) -> Option<&Kept<V>> {
        let versions = self.keys.get(key)?;
        let before = versions.iter().rev().find(|version| version.at + STALE < now);
        before.map(|version| &version.kept)
    }
}

impl Engine {
    /// A node's question arrives.
    pub(crate) fn ask(&mut self, now: Duration, op: &EngineOp, rng: &mut Rng) -> Answer<Bytes> {
        match op {
            EngineOp::Read { key } => self.read(now, key, rng),
            EngineOp::Write { key, value, expected } => self.write(now, key, value.clone(), *expected, rng),
        }
    }
}

impl From<Kept<Bytes>> for Stored {
    fn from(Kept { revision, value }: Kept<Bytes>) -> Self {
        Self { revision, value }
    }
}

impl From<Said<Bytes>> for Outcome {
    fn from(said: Said<Bytes>) -> Self {
        match said {
            Said::Written(revision) => Self::Written(revision),
            Said::Found(found) => Self::Found(found.map(Into::into)),
            Said::Conflict => Self::Conflict,
            Said::NoLeader => Self::NoResponders,
        }
    }
}

/// The key of a question.
pub(crate) fn key_of(op: &EngineOp) -> &EngineKey {
    match op {
        EngineOp::Read { key } | EngineOp::Write { key, .. } => key,
    }
}

/// How long an answer takes that is late: some come when nobody waits any more.
const LATE: RangeInclusive<Duration> = Duration::from_millis(300)..=Duration::from_millis(3000);

/// How old an old answer is.
const STALE: Duration = Duration::from_millis(1500);
