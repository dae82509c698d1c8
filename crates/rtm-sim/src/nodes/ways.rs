//! The ways between nodes and to the engine, and what is wrong with them.

use std::{ops::RangeInclusive, time::Duration};

use super::bus::Bus;
use crate::rng::Rng;

/// The ways of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    pub(crate) bus: Bus,
    /// Until when the engine and the bus are away, for all.
    pub(crate) away_until: Duration,
    pub(crate) places: Vec<Reach>,
}

/// What a node reaches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    /// Until when it does not reach the engine.
    pub(crate) engine_cut_until: Duration,
    /// From when to when it reaches nothing at all.
    pub(crate) cut: (Duration, Duration),
    pub(crate) watch_hangs_until: Duration,
    last_watched: Duration,
}

/// What becomes of a question to the engine on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToEngine {
    /// It is there.
    Arrives,
    /// It fails, and that is known so much later.
    FailsAfter(Duration),
    /// It waits in a queue: some writes are done when nobody waits for them any more.
    Waits(Duration),
    /// It is lost.
    Lost,
}

/// What becomes of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carried {
    /// It arrives at these times: never, once or twice.
    Arrives(Vec<Duration>),
    /// The sender hears then that nobody is there.
    NobodyThere(Duration),
}

impl Ways {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { places: vec![Reach::default(); nodes], ..Self::default() }
    }

    /// When a node reaches the engine again.
    pub(crate) fn back_at(&self, now: Duration, node: usize) -> Duration {
        let place = &self.places[node];
        let cut_until = if place.cut.0 <= now { place.cut.1 } else { Duration::ZERO };
        self.away_until.max(place.engine_cut_until).max(cut_until)
    }

    /// Whether a node does not reach the engine.
    pub(crate) fn is_cut(&self, now: Duration, node: usize) -> bool {
        now < self.back_at(now, node)
    }

    /// Whether a node has no way to the bus.
    fn is_off_bus(&self, now: Duration, node: usize) -> bool {
        let cut = self.places[node].cut;
        now < self.away_until || (cut.0 <= now && now < cut.1)
    }

    /// A node asks the engine.
    pub(crate) fn to_engine(&self, now: Duration, node: usize, rng: &mut Rng) -> ToEngine {
        if !self.is_cut(now, node) {
            return ToEngine::Arrives;
        }
        match rng.below(3) {
            0 => ToEngine::FailsAfter(*WAY.end()),
            1 => ToEngine::Waits(self.back_at(now, node) + rng.between(&WAY)),
            _ => ToEngine::Lost,
        }
    }

    /// From when on a node's watch tells something.
    pub(crate) fn watches_from(&self, now: Duration, node: usize) -> Duration {
        self.places[node].watch_hangs_until.max(self.back_at(now, node))
    }

    /// When a node's watch tells of what was written now: in order.
    pub(crate) fn watched_at(&mut self, now: Duration, node: usize, rng: &mut Rng) -> Duration {
        let at = (now + rng.between(&WAY)).max(self.watches_from(now, node));
        let last = &mut self.places[node].last_watched;
        *last = at.max(*last);
        *last
    }

    /// A node publishes a payload to another, whose process is there or not, and may stand still since a time.
    pub(crate) fn carry(
        &mut self,
        now: Duration,
        (from, to): (usize, usize),
        is_urgent: bool,
        is_there: bool,
        stands_since: Option<Duration>,
        rng: &mut Rng,
    ) -> Carried {
        if self.is_off_bus(now, from) {
            // The queue of a connection that is away: some of it is sent when it is back.
            let is_kept = rng.chance(300);
            let at = self.away_until.max(self.places[from].cut.1);
            return Carried::Arrives(if is_kept { vec![at + rng.between(&WAY)] } else { Vec::new() });
        }
        let is_off = self.is_off_bus(now, to);
        let silent_since = stands_since.or_else(|| is_off.then_some(self.places[to].cut.0));
        if !is_there || silent_since.is_some_and(|since| now > since + NOTICED) {
            return Carried::NobodyThere(now + rng.between(&WAY));
        }
        if is_off {
            return Carried::Arrives(Vec::new());
        }
        Carried::Arrives(self.bus.arrivals(now, from, to, is_urgent, rng))
    }

    /// All is well from now on.
    pub(crate) fn heal(&mut self, now: Duration) {
        self.bus.heal();
        self.away_until = self.away_until.min(now);
        for place in &mut self.places {
            place.engine_cut_until = place.engine_cut_until.min(now);
            place.cut.1 = place.cut.1.min(now);
            place.watch_hangs_until = place.watch_hangs_until.min(now);
            place.last_watched = place.last_watched.min(now);
        }
    }
}

/// How long a question or an answer is on its way.
pub(crate) const WAY: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_millis(5);

/// After so long the bus notices that a process takes nothing any more.
const NOTICED: Duration = Duration::from_millis(5500);
