//! One node's membership: its lease, what it knows of the others, and the views that it proposes.

mod contacts;
mod duties;
mod engine;
mod keys;
mod own;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{contacts::Contacts, duties::Duties, keys::Keys, own::Own};
use super::{
    envelope::Frame,
    kept::PROTO,
    names::{NodeId, NodeName},
    view::View,
};
use crate::Now;

pub use self::engine::{EngineKey, EngineOp, OpId, Outcome, Stored};

/// How a node is a member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MembershipConfig {
    /// Its name, which no other node has.
    pub name: NodeName,
    /// The newest version of what nodes say that it understands.
    pub proto: u16,
    /// How many cores of each project it has.
    pub workers: u16,
    /// How long it goes on alone before it says so ([`MembershipEvent::IsolatedTooLong`]). 30 s.
    pub isolated_for: Duration,
}

impl MembershipConfig {
    /// The usual settings.
    #[must_use]
    pub fn new(name: NodeName) -> Self {
        Self { name, proto: PROTO, workers: 1, isolated_for: Duration::from_secs(30) }
    }
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// In no view: it serves nobody.
    Outside,
    /// In the view, for certain: no view without it can be there yet.
    Member,
    /// In the view that it knows, but there may be another one without it: what it decides must reach nobody else.
    Isolated,
}

/// Why the life of a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Left {
    /// The others went on without it.
    PutOut,
    /// It was to leave.
    Asked,
    /// It was isolated for too long, and gave up.
    GaveUp,
}

/// What a node's membership tells the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipEvent {
    /// The node is a member of this view, which is newer than the one before. The first of a life says that it joined.
    View(Arc<View>),
    /// This life is over: close all clients with a code that makes them return, and forget everything. Unless it was
    /// [asked](Left::Asked), the node joins again, as another incarnation.
    LeftOut(Left),
    /// Out of touch with the engine, or it has to ask first where it stands.
    Isolated,
    /// In touch again, and still a member.
    Reachable,
    /// Isolated for as long as it may be: send the clients to another node if one is a member, and
    /// [give up](Membership::give_up).
    IsolatedTooLong,
    /// All members say what this version does not understand: it cannot join.
    TooOld {
        /// What they say.
        proto: u16,
    },
    /// Another node with this name lives: this one cannot join. The last event.
    NameTaken,
}

/// What comes out of a node's membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipOutput {
    /// Ask the engine, and report with [`handle_outcome`](Membership::handle_outcome). What is not reported within 2 s
    /// is taken as timed out.
    Engine(OpId, EngineOp),
    /// Send this frame, ahead of everything else.
    Send(NodeId, Frame),
    /// For the layer above.
    Event(MembershipEvent),
    /// There is nothing to do until the next input, or until then.
    Wait(Option<Instant>),
}

/// The membership of one node.
///
/// The rules rest on conditional writes alone. A node is put out by a write over its lease, which fails if it has
/// renewed that meanwhile; so no stale read, slow watch or clock puts out a node that lives. Whoever was put out has
/// stopped before others go on without it: the next view comes 5 s after that write at the earliest, and a node counts
/// itself as a member for 4 s after it sent a renewal that was acknowledged.
///
/// It is fed by the engine ([`handle_outcome`](Self::handle_outcome), [`handle_watched`](Self::handle_watched)), by the
/// bus ([`handle_frame`](Self::handle_frame), [`handle_no_responders`](Self::handle_no_responders)), and by time. What
/// is to be done comes from [`poll_output`](Self::poll_output), until it says [`MembershipOutput::Wait`].
#[derive(Debug)]
pub struct Membership {
    config: MembershipConfig,
    rng: Rng,
    start: Now,
    now: Instant,
    /// How far the wall clock was ahead of the other one, less what it was at the start.
    wall_ahead_ms: i64,
    phase: Phase,
    id: NodeId,
    view: Arc<View>,
    /// The revision of the view's key, if that is known to hold this view.
    view_revision: Option<u64>,
    own: Own,
    keys: Keys,
    contacts: Contacts,
    duties: Duties,
    ops: BTreeMap<OpId, Op>,
    ops_made: u64,
    tick_at: Instant,
    out: VecDeque<MembershipOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It looks whether its name is free, and takes it.
    Looking,
    /// It holds its name's key, and wants to join.
    Outside,
    /// It is in the view.
    Inside,
    /// It leaves by itself.
    Leaving,
    /// It has left, or may not join.
    Over,
}

#[derive(Debug)]
struct Op {
    what: Asked,
    sent_at: Instant,
}

/// What the engine was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// To take the name's key.
    Take,
    Renew,
    ReadOwn,
    ReadView,
    ReadNode(NodeName),
    Propose(Arc<View>),
    Tombstone(NodeId),
    /// To overwrite one's own key at the end.
    Resign,
}

impl Membership {
    /// A node that is to join. `seed` decides its incarnations and the pauses between what it does.
    #[must_use]
    pub fn new(config: MembershipConfig, seed: u64, now: Now) -> Self {
        let id = NodeId { name: config.name.clone(), incarnation: 0 };
        Self {
            config,
            rng: Rng(seed),
            start: now,
            now: now.instant,
            wall_ahead_ms: 0,
            phase: Phase::Looking,
            id,
            view: Arc::new(View::empty(0)),
            view_revision: None,
            own: Own::new(now.instant, None),
            keys: Keys::default(),
            contacts: Contacts::default(),
            duties: Duties::default(),
            ops: BTreeMap::new(),
            ops_made: 0,
            tick_at: now.instant,
            out: VecDeque::new(),
        }
    }

    /// The node's name and its present life, which is 0 until it has taken its key.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// The newest view that it knows.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Where it stands at `now`. To be asked before anything is decided that reaches others.
    #[must_use]
    pub fn standing(&self, now: Now) -> Standing {
        match self.phase {
            Phase::Inside if self.own.is_certain(now.instant) && !self.has_jumped(now) => Standing::Member,
            Phase::Inside | Phase::Leaving => Standing::Isolated,
            Phase::Looking | Phase::Outside | Phase::Over => Standing::Outside,
        }
    }

    /// When the last renewal of its lease was sent that was acknowledged.
    #[must_use]
    pub fn renewed_at(&self) -> Option<Instant> {
        self.own.renewed_at()
    }

    /// Until when it is certain to be a [`Member`](Standing::Member), as far as it is known at `now`.
    #[must_use]
    pub fn certain_until(&self, now: Now) -> Option<Instant> {
        self.own.certain_until().filter(|_| self.standing(now) == Standing::Member)
    }

    /// Whether it is in touch with another node, in both directions.
    #[must_use]
    pub fn hears(&self, node: &NodeId) -> bool {
        self.contacts.hears(node, self.now)
    }

    /// What the engine answered. An answer that comes after its time is passed over.
    pub fn handle_outcome(&mut self, now: Now, id: OpId, outcome: Outcome) {
        self.pass_time(now);
        if let Some(op) = self.ops.remove(&id) {
            self.outcome(op, outcome);
        }
    }

    /// The engine's watch tells of a key. It may be old.
    pub fn handle_watched(&mut self, now: Now, key: &EngineKey, stored: &Stored) {
        self.pass_time(now);
        self.learn(key, stored);
    }

    /// A frame came from a node with this epoch, to this life of this node. Frames that are not about membership are
    /// passed over, but their epoch tells something.
    pub fn handle_frame(&mut self, now: Now, from: &NodeId, epoch: u64, frame: &Frame) {
        self.pass_time(now);
        match frame {
            Frame::Heartbeat { n, heard } => self.heartbeat(from, *n, *heard),
            // Of a node that is no member, a higher epoch only makes this one read the view itself.
            Frame::View(view) if self.view.has(from) => self.adopt(view.clone(), None),
            Frame::View(_) | Frame::Data(_) | Frame::Ack(_) | Frame::Reset { .. } => {}
        }
        if epoch > self.view.epoch() {
            self.read_view();
        } else if epoch < self.view.epoch() && self.contacts.may_be_told(from, self.now) {
            self.out.push_back(MembershipOutput::Send(from.clone(), Frame::View((*self.view).clone())));
        }
    }

    /// Nobody listens to the subject of a node.
    pub fn handle_no_responders(&mut self, now: Now, to: &NodeId) {
        self.pass_time(now);
        self.contacts.no_responders(to, self.now);
    }

    /// A clock jumped which the machine is not given, such as the one that counts while the computer sleeps.
    pub fn handle_jump(&mut self, now: Now) {
        self.pass_time(now);
        self.jump();
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        self.pass_time(now);
        let expired: Vec<OpId> =
            self.ops.iter().filter(|(_, op)| op.sent_at + ANSWER <= self.now).map(|(id, _)| *id).collect();
        for id in expired {
            if let Some(op) = self.ops.remove(&id) {
                self.outcome(op, Outcome::TimedOut);
            }
        }
        if self.tick_at > self.now || self.phase == Phase::Over {
            return;
        }
        self.tick_at = self.now + TICK;
        self.tend_own();
        self.tend_contacts();
        self.tend_view();
    }

    /// It is going to leave: its partitions go to others, while it stays a member.
    pub fn drain(&mut self, now: Now) {
        self.pass_time(now);
        self.duties.is_draining = true;
        self.tend_view();
    }

    /// It leaves, now. [`MembershipEvent::LeftOut`] says when it has; without the engine that takes until it is back.
    pub fn leave(&mut self, now: Now) {
        self.pass_time(now);
        match self.phase {
            Phase::Inside => {
                self.phase = Phase::Leaving;
                self.tend_view();
            }
            Phase::Outside => self.resign(),
            Phase::Looking => self.end(Left::Asked),
            Phase::Leaving | Phase::Over => {}
        }
    }

    /// Its clients are gone, after it was isolated for too long: it forgets everything, and joins anew when it can.
    pub fn give_up(&mut self, now: Now) {
        self.pass_time(now);
        if self.phase == Phase::Inside && !self.own.is_certain(self.now) {
            self.end(Left::GaveUp);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> MembershipOutput {
        self.out.pop_front().unwrap_or_else(|| MembershipOutput::Wait(self.next_timeout()))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        (self.phase != Phase::Over).then_some(self.tick_at)
    }

    /// Every input begins with this. A time that is missing, by any clock, is a time in which others may have gone on.
    fn pass_time(&mut self, now: Now) {
        let has_jumped = self.has_jumped(now);
        let ahead = self.wall_ahead_of(now) - self.wall_ahead_ms;
        // A clock that is slowly set does not jump.
        self.wall_ahead_ms += if ahead.abs() > JUMP_MS { ahead } else { ahead.signum() };
        self.now = self.now.max(now.instant);
        if has_jumped && self.phase != Phase::Over {
            self.jump();
        }
    }

    /// Whether time is missing before `now`.
    fn has_jumped(&self, now: Now) -> bool {
        let ahead = self.wall_ahead_of(now) - self.wall_ahead_ms;
        ahead.abs() > JUMP_MS || now.instant > self.tick_at + LATE
    }

    fn wall_ahead_of(&self, now: Now) -> i64 {
        let millis = |ms: u128| i64::try_from(ms).unwrap_or(i64::MAX);
        let lived = millis(now.instant.saturating_duration_since(self.start.instant).as_millis());
        millis(now.unix_ms.into()).saturating_sub(millis(self.start.unix_ms.into())).saturating_sub(lived)
    }

    /// Time passed that this node does not know of: it may have been put out, and what it waited for may be long there.
    fn jump(&mut self) {
        self.ops.clear();
        self.own.doubt(self.now);
        self.keys.break_row();
        self.contacts.begin_anew(self.now);
        self.duties.begin_anew(self.now);
        self.tick_at = self.now;
        if self.phase == Phase::Inside {
            self.tell_isolation();
        }
    }

    fn ask(&mut self, what: Asked, op: EngineOp) {
        self.ops_made += 1;
        let id = OpId(self.ops_made);
        self.ops.insert(id, Op { what, sent_at: self.now });
        self.out.push_back(MembershipOutput::Engine(id, op));
    }

    fn is_asking(&self, which: impl Fn(&Asked) -> bool) -> bool {
        self.ops.values().any(|op| which(&op.what))
    }

    fn outcome(&mut self, op: Op, outcome: Outcome) {
        match op.what {
            Asked::Take | Asked::Renew | Asked::ReadOwn | Asked::Resign => self.own_outcome(op, outcome),
            Asked::ReadView => match outcome {
                Outcome::Found(Some(stored)) => self.learn(&EngineKey::View, &stored),
                Outcome::Found(None) => self.no_view(),
                _ => {}
            },
            Asked::ReadNode(name) => {
                if let Outcome::Found(Some(stored)) = outcome {
                    self.learn(&EngineKey::Node(name), &stored);
                }
            }
            Asked::Propose(view) => match outcome {
                Outcome::Written(revision) => self.adopt((*view).clone(), Some(revision)),
                _ => self.read_view(),
            },
            Asked::Tombstone(node) => match outcome {
                Outcome::Written(revision) => self.buried(&node, revision),
                _ => self.read_node(&node.name),
            },
        }
    }

    fn event(&mut self, event: MembershipEvent) {
        self.out.push_back(MembershipOutput::Event(event));
    }

    /// A view, from wherever. A lower epoch than the one that is known is old, whoever says it.
    fn adopt(&mut self, view: View, revision: Option<u64>) {
        if view.epoch() <= self.view.epoch() {
            if view.epoch() == self.view.epoch() && revision.is_some() {
                self.view_revision = revision.max(self.view_revision);
            }
            return;
        }
        self.view_revision = revision;
        let view = Arc::new(view);
        let before = std::mem::replace(&mut self.view, Arc::clone(&view));
        self.duties.see_view(&before, &view, self.now);
        self.keys.see_view(&view);
        self.contacts.see_view(&view, &self.id, self.now);
        match (self.phase, view.has(&self.id)) {
            (Phase::Outside, true) => {
                self.phase = Phase::Inside;
                self.duties.joined_at = Some(self.now);
                self.event(MembershipEvent::View(view));
                if !self.own.is_certain(self.now) {
                    self.tell_isolation();
                }
            }
            (Phase::Inside, true) => self.event(MembershipEvent::View(view)),
            (Phase::Inside, false) => self.end(Left::PutOut),
            (Phase::Leaving, false) => self.resign(),
            _ => {}
        }
    }

    /// This life is over.
    fn end(&mut self, why: Left) {
        let last = self.id.incarnation;
        self.ops.clear();
        self.contacts = Contacts::default();
        self.keys = Keys::default();
        self.duties = Duties::default();
        self.view_revision = None;
        self.own = Own::new(self.now, Some(last));
        self.id.incarnation = 0;
        self.phase = if why == Left::Asked { Phase::Over } else { Phase::Looking };
        self.event(MembershipEvent::LeftOut(why));
    }

    fn refuse_to_join(&mut self, event: MembershipEvent) {
        self.phase = Phase::Over;
        self.ops.clear();
        self.event(event);
    }
}

/// `SplitMix64`: small, fast, and good enough for pauses and incarnations.
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// How often a node looks at what it has to do.
const TICK: Duration = Duration::from_millis(250);

/// A node that is called so much too late stood still.
const LATE: Duration = Duration::from_secs(1);

/// A wall clock that moves so far away from the other one in one turn jumped.
const JUMP_MS: i64 = 1000;

/// How long the engine has for an answer.
const ANSWER: Duration = Duration::from_secs(2);
