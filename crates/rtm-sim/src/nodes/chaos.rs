//! What a seed makes of a world of nodes: how many there are, and what goes wrong, for a while; then everything is well.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use rtm_core::cluster::PostConfig;

use super::{
    bus::Badness,
    check::{Ledger, NodesInvariant, NodesViolation},
    engine::Lies,
    ways::Ways,
    world::{AGREED_WITHIN, NodesCounts, NodesWorld, Step},
};
use crate::rng::Rng;

/// What came of a seed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodesOutcome {
    /// The seed.
    pub seed: u64,
    /// What happened, in figures.
    pub counts: NodesCounts,
    /// What was violated.
    pub fault: Option<NodesViolation>,
    /// What happened, line by line, if that was wanted.
    pub trace: Vec<String>,
}

/// What goes wrong with nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    ShortFreeze,
    LongFreeze,
    Kill,
    KillAll,
    Election,
    AllAway,
    EngineCut,
    Cut,
    PairCut,
    OneWayCut,
    WatchHangs,
    ClockJumps,
    Drain,
}

impl Mishap {
    pub(crate) const ALL: [Self; 13] = [
        Self::ShortFreeze,
        Self::LongFreeze,
        Self::Kill,
        Self::KillAll,
        Self::Election,
        Self::AllAway,
        Self::EngineCut,
        Self::Cut,
        Self::PairCut,
        Self::OneWayCut,
        Self::WatchHangs,
        Self::ClockJumps,
        Self::Drain,
    ];

    /// How long it lasts; for a process that ends, how long it is gone.
    pub(crate) fn time(self, rng: &mut Rng) -> Duration {
        let (from, to) = match self {
            Self::ShortFreeze => (0, 9),
            Self::LongFreeze => (20, 45),
            Self::Kill => (0, 20),
            Self::KillAll | Self::Drain => (0, 10),
            Self::Election => (4, 8),
            Self::AllAway | Self::EngineCut | Self::Cut | Self::PairCut | Self::OneWayCut => (1, 50),
            Self::WatchHangs => (1, 60),
            Self::ClockJumps => return Duration::ZERO,
        };
        rng.between(&(Duration::from_secs(from)..=Duration::from_secs(to)))
    }
}

/// Makes up a world of nodes from `seed`, lets them talk for a minute or two while things go wrong, makes everything
/// well, and looks it over. There are so many nodes; one to five, seldom more, if that is left to the seed.
#[must_use]
pub fn run_nodes(seed: u64, nodes: Option<usize>, trace: bool) -> NodesOutcome {
    let mut rng = Rng::new(seed ^ SALT);
    let made_up = if rng.chance(20) { 6 + rng.below(27) } else { 1 + rng.below(5) };
    let mut world = NodesWorld::new(seed, nodes.unwrap_or(made_up));
    if trace {
        world.trace.start();
    }
    let result = catch_unwind(AssertUnwindSafe(|| run(&mut world, &mut rng)));
    let fault = match result {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let detail = text.unwrap_or_default();
            Some(NodesViolation { invariant: NodesInvariant::NoPanic, at: world.now, detail })
        }
    };
    NodesOutcome { seed, counts: world.counts, fault, trace: world.trace.lines().to_vec() }
}

fn run(world: &mut NodesWorld, rng: &mut Rng) -> Result<(), NodesViolation> {
    let often = |rng: &mut Rng, most: usize| if rng.chance(400) { rng.below(most) as u32 } else { 0 };
    world.engine.lies = Lies {
        stale: often(rng, 300),
        lost: often(rng, 50),
        late: often(rng, 50),
        own_conflict: often(rng, 100),
        delayed: often(rng, 30),
    };
    world.ways.bus.badness = Badness { lost: often(rng, 60), repeated: often(rng, 100), late: often(rng, 50) };
    world.gives_up = rng.chance(500);
    world.mishaps = Mishap::ALL.into_iter().filter(|_| rng.chance(350)).collect();
    world.mishap_every = Duration::from_secs(2 + rng.below(30) as u64);
    world.talks_every = Duration::from_millis(300 + rng.below(2700) as u64);
    if rng.chance(500) {
        let mut small = PostConfig::default();
        (small.urgent_bytes, small.bulk_bytes, small.payload_bytes) = (30_000, 60_000, 64 * 1024);
        world.post = small;
    }
    for node in 0..world.places.len() {
        let at = if rng.chance(700) { rng.about(Duration::from_secs(1)) } else { rng.about(Duration::from_secs(15)) };
        world.agenda.plan(at, Step::Starts { node });
    }
    world.agenda.plan(Duration::from_secs(10), Step::Mishap);
    world.run_for(Duration::from_secs(40 + rng.below(60) as u64))?;
    world.heal();
    world.run_for(AGREED_WITHIN)?;
    world.check_agreed()?;
    world.run_for(Duration::from_secs(20))?;
    world.check_agreed()?;
    if rng.chance(200) {
        world.run_for(Duration::from_secs(70))?;
        world.check_agreed()?;
        world.check_homes()?;
    }
    Ok(())
}

impl NodesWorld {
    /// Something goes wrong with somebody.
    pub(super) fn mishap(&mut self) {
        if self.well_since.is_some() {
            return;
        }
        let pause = self.rng.about(self.mishap_every);
        self.agenda.plan(self.now + pause, Step::Mishap);
        let Some(mishap) = self.rng.pick(&self.mishaps).copied() else { return };
        let node = self.rng.below(self.places.len());
        self.happen(mishap, node);
    }

    pub(super) fn happen(&mut self, mishap: Mishap, node: usize) {
        let (now, other) = (self.now, self.rng.below(self.places.len()));
        self.counts.mishaps += 1;
        self.line(node, || format!("{mishap:?}"));
        let time = mishap.time(&mut self.rng);
        match mishap {
            Mishap::ShortFreeze | Mishap::LongFreeze => self.freeze(node, time),
            Mishap::Kill => {
                self.kill(node);
                self.agenda.plan(now + time, Step::Starts { node });
            }
            Mishap::KillAll => {
                for node in 0..self.places.len() {
                    let pause = mishap.time(&mut self.rng);
                    self.kill(node);
                    self.agenda.plan(now + pause, Step::Starts { node });
                }
            }
            Mishap::Election => self.engine.leaderless_until = now + time,
            Mishap::ClockJumps => self.places[node].wall_ahead_ms += 10_000 - self.rng.below(20_000) as i64,
            Mishap::Drain => self.drain(node, time),
            Mishap::AllAway
            | Mishap::EngineCut
            | Mishap::Cut
            | Mishap::PairCut
            | Mishap::OneWayCut
            | Mishap::WatchHangs => {
                let trouble = Trouble { mishap, now, until: now + time, node, other };
                for (from, to) in trouble.happen(&mut self.ways, &mut self.ledger, &mut self.rng) {
                    self.agenda.plan(now + time, Step::Mends { from, to });
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn cut_until(&mut self, from: usize, to: usize, until: Duration) {
        self.ways.bus.cut(from, to);
        self.agenda.plan(until, Step::Mends { from, to });
    }
}

/// Something goes wrong with the ways of a node, or with those between two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trouble {
    pub(crate) mishap: Mishap,
    pub(crate) now: Duration,
    pub(crate) until: Duration,
    pub(crate) node: usize,
    pub(crate) other: usize,
}

impl Trouble {
    /// It happens. Gives the ways that are to be mended when it is over.
    pub(crate) fn happen(self, ways: &mut Ways, ledger: &mut Ledger, rng: &mut Rng) -> Vec<(usize, usize)> {
        let Self { mishap, now, until, node, other } = self;
        match mishap {
            Mishap::AllAway => {
                ways.away_until = until;
                // They do not all come back at once.
                for place in &mut ways.places {
                    place.cut = (now, until + rng.between(&(Duration::ZERO..=Duration::from_secs(4))));
                }
            }
            Mishap::EngineCut => ways.places[node].engine_cut_until = until,
            Mishap::Cut => {
                ways.places[node].cut = (now, until);
                ledger.excuse(node, until);
            }
            Mishap::WatchHangs => ways.places[node].watch_hangs_until = until,
            Mishap::PairCut | Mishap::OneWayCut => {
                ledger.excuse(node, until);
                ledger.excuse(other, until);
                ways.bus.cut(node, other);
                if mishap == Mishap::PairCut {
                    ways.bus.cut(other, node);
                    return vec![(node, other), (other, node)];
                }
                return vec![(node, other)];
            }
            _ => {}
        }
        Vec::new()
    }
}

/// So that what a world is made of and what happens in it are drawn apart.
const SALT: u64 = 0x6e6f_6465_7300_0001;
