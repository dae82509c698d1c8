//! The world of nodes: its clock, its agenda, and what happens in it.

mod processes;
mod talk;
mod ways;

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtm_core::{
    Now,
    cluster::{
        EngineKey, EngineOp, Left, MembershipEvent, Node, NodeId, NodeName, NodeOutput, OpId, Outcome, PROTO,
        PostConfig, PostEvent, Stored, Ticket,
    },
};

pub(super) use self::talk::AGREED_WITHIN;
use super::{
    chaos::Mishap,
    check::{Ledger, NodesViolation},
    engine::Engine,
    ways::{WAY, Ways},
};
use crate::{agenda::Agenda, rng::Rng, trace::Trace};

/// What happened in a world of nodes, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NodesCounts {
    /// Steps of the simulation.
    pub steps: u64,
    /// Views that the engine took.
    pub views: u64,
    /// Nodes that were put out.
    pub put_out: u64,
    /// Nodes that were isolated.
    pub isolated: u64,
    /// Parcels that arrived.
    pub parcels: u64,
    /// Payloads on the bus.
    pub payloads: u64,
    /// Things that went wrong.
    pub mishaps: u64,
}

impl NodesCounts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            views: self.views + other.views,
            put_out: self.put_out + other.put_out,
            isolated: self.isolated + other.isolated,
            parcels: self.parcels + other.parcels,
            payloads: self.payloads + other.payloads,
            mishaps: self.mishaps + other.mishaps,
        }
    }
}

/// One thing that happens. A process is named by its place and the number of its start.
#[derive(Debug)]
pub(super) enum Step {
    /// A process's timer.
    Timer { node: usize, run: u64, at: Duration },
    /// A question reaches the engine.
    Asked { node: usize, run: u64, id: OpId, op: EngineOp, is_delayed: bool },
    /// Its answer comes back.
    Answered { node: usize, run: u64, id: OpId, outcome: Outcome },
    /// The watch tells of a key.
    Watched { node: usize, run: u64, key: EngineKey, stored: Stored },
    /// A payload arrives, whoever is there now.
    Arrives { node: usize, payload: Bytes },
    /// The bus says that nobody listens.
    NobodyThere { node: usize, run: u64, to: NodeId },
    /// A node has something to say to another.
    Talks { node: usize, run: u64 },
    /// A process that stood still goes on.
    Thaws { node: usize, freeze: u64 },
    /// A process starts.
    Starts { node: usize },
    /// A process that drains leaves.
    Leaves { node: usize, run: u64 },
    /// A process that was isolated for too long gives up.
    GivesUp { node: usize, run: u64 },
    /// A process that leaves has had enough time.
    Ends { node: usize, run: u64 },
    /// The way between two nodes is whole again.
    Mends { from: usize, to: usize },
    /// Everything is looked over.
    Look,
    /// Something goes wrong.
    Mishap,
}

impl Step {
    /// Whose process does it.
    fn of_process(&self) -> Option<usize> {
        match self {
            Self::Timer { node, .. }
            | Self::Answered { node, .. }
            | Self::Watched { node, .. }
            | Self::Arrives { node, .. }
            | Self::NobodyThere { node, .. }
            | Self::Talks { node, .. }
            | Self::Leaves { node, .. }
            | Self::GivesUp { node, .. } => Some(*node),
            Self::Asked { .. }
            | Self::Thaws { .. }
            | Self::Starts { .. }
            | Self::Ends { .. }
            | Self::Mends { .. }
            | Self::Look
            | Self::Mishap => None,
        }
    }
}

/// A place for a process, with its clocks and its ways to the engine.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: NodeName,
    /// The version that its next process speaks.
    pub(super) proto: u16,
    pub(super) node: Option<Node>,
    pub(super) run: u64,
    timer_at: Option<Duration>,
    /// Since when it stands still, and the number of that.
    pub(super) frozen: Option<(Duration, u64)>,
    freezes: u64,
    put_off: Vec<Step>,
    /// How far its steady clock is behind: the times in which its whole computer stood still.
    behind: Duration,
    pub(super) wall_ahead_ms: i64,
    /// Since when it runs and reaches the engine.
    well_since: Duration,
    pub(super) is_draining: bool,
    pub(super) leaves: bool,
    tickets: u64,
}

/// Nodes, an engine and a bus, in virtual time.
#[derive(Debug)]
pub(super) struct NodesWorld {
    pub(super) now: Duration,
    base: Instant,
    pub(super) rng: Rng,
    pub(super) agenda: Agenda<Step>,
    pub(super) places: Vec<Place>,
    pub(super) engine: Engine,
    pub(super) ways: Ways,
    pub(super) post: PostConfig,
    pub(super) ledger: Ledger,
    pub(super) trace: Trace,
    pub(super) counts: NodesCounts,
    /// How often a node says something.
    pub(super) talks_every: Duration,
    /// Whether isolated nodes give up when they may.
    pub(super) gives_up: bool,
    /// What goes wrong, and how often.
    pub(super) mishaps: Vec<Mishap>,
    pub(super) mishap_every: Duration,
    /// Since when nothing goes wrong any more.
    pub(super) well_since: Option<Duration>,
}

impl NodesWorld {
    pub(super) fn new(seed: u64, nodes: usize) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs some instant to start from")]
        let base = Instant::now();
        let mut world = Self {
            now: Duration::ZERO,
            base,
            rng: Rng::new(seed),
            agenda: Agenda::default(),
            places: (0..nodes).map(Place::new).collect(),
            engine: Engine::default(),
            ways: Ways::new(nodes),
            post: PostConfig::default(),
            ledger: Ledger::default(),
            trace: Trace::default(),
            counts: NodesCounts::default(),
            talks_every: Duration::from_millis(500),
            gives_up: false,
            mishaps: Vec::new(),
            mishap_every: Duration::from_secs(10),
            well_since: None,
        };
        world.agenda.plan(Duration::from_secs(1), Step::Look);
        world
    }

    /// Lets time pass.
    pub(super) fn run_for(&mut self, time: Duration) -> Result<(), NodesViolation> {
        let until = self.now + time;
        while let Some((at, step)) = self.agenda.next(until) {
            self.now = self.now.max(at);
            self.counts.steps += 1;
            self.step(step);
            if let Some(violation) = self.ledger.violation() {
                return Err(violation.clone());
            }
        }
        self.now = until;
        Ok(())
    }

    /// Time as a process sees it.
    pub(super) fn clock(&self, node: usize) -> Now {
        let place = &self.places[node];
        let wall = WALL_START_MS.saturating_add_signed(place.wall_ahead_ms);
        Now {
            instant: self.base + STEADY_START + self.now - place.behind,
            unix_ms: wall + u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn line(&mut self, node: usize, text: impl FnOnce() -> String) {
        self.trace.line(self.now, self.places[node].name.as_str(), text);
    }

    fn step(&mut self, step: Step) {
        if let Some(node) = step.of_process()
            && self.places[node].frozen.is_some()
        {
            return self.places[node].put_off.push(step);
        }
        match step {
            Step::Timer { node, run, at } => {
                if self.places[node].run == run && self.places[node].timer_at == Some(at) {
                    self.places[node].timer_at = None;
                    let clock = self.clock(node);
                    self.input(node, |it| it.handle_timeout(clock));
                }
            }
            Step::Asked { node, run, id, op, is_delayed } => self.asked(node, run, id, op, is_delayed),
            Step::Answered { node, run, id, outcome } => {
                if self.places[node].run == run && !self.ways.is_cut(self.now, node) {
                    let clock = self.clock(node);
                    self.input(node, |it| it.handle_outcome(clock, id, outcome));
                }
            }
            Step::Watched { node, run, key, stored } => {
                if self.places[node].run != run {
                    return;
                }
                if self.ways.watches_from(self.now, node) > self.now {
                    return self.plan_watched(node, key, stored);
                }
                let clock = self.clock(node);
                self.input(node, |it| it.handle_watched(clock, &key, &stored));
            }
            Step::Arrives { node, payload } => {
                let clock = self.clock(node);
                self.input(node, |it| it.handle_payload(clock, payload));
            }
            Step::NobodyThere { node, run, to } => {
                if self.places[node].run == run {
                    let clock = self.clock(node);
                    self.input(node, |it| it.handle_no_responders(clock, &to));
                }
            }
            Step::Talks { node, run } => {
                if self.places[node].run == run {
                    self.talk(node);
                }
            }
            Step::Thaws { node, freeze } => {
                if self.places[node].frozen.is_some_and(|(_, number)| number == freeze) {
                    let is_snapshot = self.rng.chance(300);
                    self.thaw(node, is_snapshot);
                }
            }
            Step::Starts { node } => self.start(node),
            Step::Leaves { node, run } => {
                if self.places[node].run == run {
                    self.leave(node);
                }
            }
            Step::Ends { node, run } => {
                if self.places[node].run == run && self.places[node].node.is_some() {
                    self.kill(node);
                    self.agenda.plan(self.now, Step::Starts { node });
                }
            }
            Step::GivesUp { node, run } => {
                if self.places[node].run == run {
                    let clock = self.clock(node);
                    self.input(node, |it| it.give_up(clock));
                }
            }
            Step::Mends { from, to } => self.ways.bus.mend(from, to),
            Step::Look => self.look(),
            Step::Mishap => self.mishap(),
        }
    }

    /// Hands something to a process, if there is one, and takes what comes of it.
    fn input(&mut self, node: usize, give: impl FnOnce(&mut Node)) {
        if let Some(it) = &mut self.places[node].node {
            give(it);
            self.drive(node);
        }
    }

    fn drive(&mut self, node: usize) {
        loop {
            let place = &mut self.places[node];
            let run = place.run;
            let Some(it) = &mut place.node else { return };
            match it.poll_output() {
                NodeOutput::Engine(id, op) => {
                    let after = self.rng.between(&WAY);
                    self.agenda.plan(self.now + after, Step::Asked { node, run, id, op, is_delayed: false });
                }
                NodeOutput::Publish { to, payload, is_urgent } => self.publish(node, &to, &payload, is_urgent),
                NodeOutput::Membership(event) => self.membership(node, &event),
                NodeOutput::Post(event) => self.posted(node, event),
                NodeOutput::Wait(at) => {
                    self.plan_timer(node, at);
                    break;
                }
            }
        }
        self.check_standing(node);
    }

    fn check_standing(&mut self, node: usize) {
        let clock = self.clock(node);
        if let Some(it) = &self.places[node].node {
            let (id, standing) = (it.id().clone(), it.standing(clock));
            self.ledger.stands(self.now, node, &id, standing);
        }
    }

    fn plan_timer(&mut self, node: usize, at: Option<Instant>) {
        let Some(at) = at else { return };
        let place = &mut self.places[node];
        let at = (at.saturating_duration_since(self.base + STEADY_START) + place.behind).max(self.now);
        if place.timer_at != Some(at) {
            place.timer_at = Some(at);
            let run = place.run;
            self.agenda.plan(at, Step::Timer { node, run, at });
        }
    }

    fn membership(&mut self, node: usize, event: &MembershipEvent) {
        self.line(node, || format!("{event:?}"));
        let run = self.places[node].run;
        self.ledger.told(self.now, node, &self.places[node].name, run, event);
        match event {
            MembershipEvent::LeftOut(Left::PutOut) => self.counts.put_out += 1,
            MembershipEvent::LeftOut(Left::Asked) => {
                self.kill(node);
                let pause = self.rng.about(Duration::from_secs(1));
                self.agenda.plan(self.now + pause, Step::Starts { node });
            }
            MembershipEvent::Isolated => self.counts.isolated += 1,
            MembershipEvent::IsolatedTooLong if self.gives_up => {
                let pause = self.rng.about(Duration::from_secs(1));
                self.agenda.plan(self.now + pause, Step::GivesUp { node, run });
            }
            MembershipEvent::NameTaken => {
                self.kill(node);
                self.agenda.plan(self.now + Duration::from_secs(1), Step::Starts { node });
            }
            _ => {}
        }
    }

    fn posted(&mut self, node: usize, event: PostEvent) {
        let Some(it) = &self.places[node].node else { return };
        let me = it.id().clone();
        match event {
            PostEvent::Received { from, priority, parcel } => {
                self.counts.parcels += 1;
                let number = talk::number(&parcel);
                self.ledger.came(self.now, (from, me, priority), number);
            }
            PostEvent::Settled(Ticket(ticket), settled) => {
                let run = self.places[node].run;
                self.ledger.settled(self.now, node, run, ticket, settled);
            }
            PostEvent::Restarted { from, priority } => self.ledger.restarted((from, me, priority)),
            PostEvent::Refused { .. } | PostEvent::Condition(..) => self.line(node, || format!("{event:?}")),
        }
    }
}

impl Place {
    fn new(number: usize) -> Self {
        Self {
            name: NodeName::new(&format!("n{number:02}")).expect("letters and digits"),
            proto: PROTO,
            node: None,
            run: 0,
            timer_at: None,
            frozen: None,
            freezes: 0,
            put_off: Vec::new(),
            behind: Duration::ZERO,
            wall_ahead_ms: 0,
            well_since: Duration::ZERO,
            is_draining: false,
            leaves: false,
            tickets: 0,
        }
    }
}

/// Some day in 2023.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// So that the steady clock of a computer that stood still is not before that of the world's start.
const STEADY_START: Duration = Duration::from_secs(86_400);
