//! What a seed makes of a world of nodes: how many there are, and what goes wrong, for a while; then everything is well.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use rtm_core::cluster::PostConfig;

use super::{
    bus::Badness,
    check::{NodesInvariant, NodesViolation},
    engine::Lies,
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
pub(super) enum Mishap {
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
    pub(super) const ALL: [Self; 13] = [
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
    world.bus.badness = Badness { lost: often(rng, 60), repeated: often(rng, 100), late: often(rng, 50) };
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
        let secs = |rng: &mut Rng, from: usize, to: usize| {
            Duration::from_millis((1000 * from + rng.below(1000 * (to - from))) as u64)
        };
        let (now, other) = (self.now, self.rng.below(self.places.len()));
        self.counts.mishaps += 1;
        self.line(node, || format!("{mishap:?}"));
        match mishap {
            Mishap::ShortFreeze => {
                let time = secs(&mut self.rng, 0, 9);
                self.freeze(node, time);
            }
            Mishap::LongFreeze => {
                let time = secs(&mut self.rng, 20, 45);
                self.freeze(node, time);
            }
            Mishap::Kill => {
                let pause = secs(&mut self.rng, 0, 20);
                self.kill(node);
                self.agenda.plan(now + pause, Step::Starts { node });
            }
            Mishap::KillAll => {
                for node in 0..self.places.len() {
                    let pause = secs(&mut self.rng, 0, 10);
                    self.kill(node);
                    self.agenda.plan(now + pause, Step::Starts { node });
                }
            }
            Mishap::Election => self.engine.leaderless_until = now + secs(&mut self.rng, 4, 8),
            Mishap::AllAway => {
                self.away_until = now + secs(&mut self.rng, 1, 50);
                // They do not all come back at once.
                for node in 0..self.places.len() {
                    let later = secs(&mut self.rng, 0, 4);
                    self.places[node].cut = (now, self.away_until + later);
                }
            }
            Mishap::EngineCut => self.places[node].engine_cut_until = now + secs(&mut self.rng, 1, 50),
            Mishap::Cut => {
                let until = now + secs(&mut self.rng, 1, 50);
                self.places[node].cut = (now, until);
                self.ledger.excuse(node, until);
            }
            Mishap::PairCut | Mishap::OneWayCut => {
                let until = now + secs(&mut self.rng, 1, 50);
                self.ledger.excuse(node, until);
                self.ledger.excuse(other, until);
                self.cut_until(node, other, until);
                if mishap == Mishap::PairCut {
                    self.cut_until(other, node, until);
                }
            }
            Mishap::WatchHangs => self.places[node].watch_hangs_until = now + secs(&mut self.rng, 1, 60),
            Mishap::ClockJumps => self.places[node].wall_ahead_ms += 10_000 - self.rng.below(20_000) as i64,
            Mishap::Drain => {
                let pause = secs(&mut self.rng, 0, 10);
                self.drain(node, pause);
            }
        }
    }

    pub(super) fn cut_until(&mut self, from: usize, to: usize, until: Duration) {
        self.bus.cut(from, to);
        self.agenda.plan(until, Step::Mends { from, to });
    }
}

/// So that what a world is made of and what happens in it are drawn apart.
const SALT: u64 = 0x6e6f_6465_7300_0001;
