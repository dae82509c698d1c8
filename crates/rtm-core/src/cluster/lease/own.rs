//! The node's own key: taken, renewed each second, read back when nobody knows what came of that, given up in the end.

use std::time::{Duration, Instant};

use super::{Asked, EngineKey, EngineOp, Left, Membership, MembershipEvent, Op, Outcome, Phase, Stored};
use crate::cluster::kept::{Lease, LeaseEntry};

/// What a node knows of its own key.
#[derive(Debug)]
pub(super) struct Own {
    /// The revision that the next write is to replace.
    revision: u64,
    counter: u64,
    /// When the last renewal was sent.
    tried_at: Instant,
    /// When the last renewal was sent that was acknowledged.
    renewed_at: Option<Instant>,
    next_at: Instant,
    /// Nobody knows what came of the last write.
    has_to_read: bool,
    /// The life of this process before.
    last_life: Option<u64>,
    /// A key of another life, and since when it stands still.
    found: Option<(u64, Instant)>,
    isolated_since: Option<Instant>,
    was_told: bool,
}

impl Own {
    pub(super) fn new(now: Instant, last_life: Option<u64>) -> Self {
        Self {
            revision: 0,
            counter: 0,
            tried_at: now,
            renewed_at: None,
            next_at: now,
            has_to_read: true,
            last_life,
            found: None,
            isolated_since: None,
            was_told: false,
        }
    }

    /// Whether nobody can have gone on without this node yet.
    pub(super) fn is_certain(&self, now: Instant) -> bool {
        self.certain_until().is_some_and(|until| now < until)
    }

    /// Whether its renewals are acknowledged as they should be.
    fn is_answered(&self, now: Instant) -> bool {
        self.renewed_at.is_some_and(|at| now < at + ANSWERED_WITHIN)
    }

    /// When the last renewal was sent that was acknowledged.
    pub(super) fn renewed_at(&self) -> Option<Instant> {
        self.renewed_at
    }

    /// Until when that is so.
    pub(super) fn certain_until(&self) -> Option<Instant> {
        self.renewed_at.map(|at| at + CERTAIN)
    }

    /// Time passed that nobody knows of: it asks before anything else.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.renewed_at = None;
        self.next_at = now;
        if let Some((_, since)) = &mut self.found {
            *since = now;
        }
    }
}

impl Membership {
    pub(super) fn tend_own(&mut self) {
        if self.phase == Phase::Inside {
            if !self.own.is_answered(self.now) {
                // Who is out of touch blames nobody for being silent: the whole network may be away. What it writes to put others out
                // waits in the client of NATS, and would be done after the outage.
                self.contacts.begin_anew(self.now);
            }
            if !self.own.is_certain(self.now) {
                self.tell_isolation();
            }
        }
        let is_asking =
            self.is_asking(|asked| matches!(asked, Asked::Take | Asked::Renew | Asked::ReadOwn | Asked::Resign));
        if self.own.next_at <= self.now && !is_asking {
            match self.phase {
                _ if self.own.has_to_read => {
                    self.own.next_at = self.now + TRY_AGAIN;
                    let key = EngineKey::Node(self.id.name.clone());
                    self.ask(Asked::ReadOwn, EngineOp::Read { key });
                }
                Phase::Looking => self.look(),
                Phase::Outside | Phase::Inside | Phase::Leaving => self.renew(),
                Phase::Over => {}
            }
        }
    }

    /// The node is not certain of its place. Tells that once, and once more when it has lasted too long.
    pub(super) fn tell_isolation(&mut self) {
        let since = match self.own.isolated_since {
            Some(since) => since,
            None => {
                self.event(MembershipEvent::Isolated);
                *self.own.isolated_since.insert(self.now)
            }
        };
        if self.now >= since + self.config.isolated_for && !self.own.was_told {
            self.own.was_told = true;
            self.event(MembershipEvent::IsolatedTooLong);
        }
    }

    pub(super) fn own_outcome(&mut self, op: Op, outcome: Outcome) {
        if matches!(outcome, Outcome::TimedOut | Outcome::NoResponders) {
            // It may be this node that reaches nobody: that others are silent says something from its next answer on.
            self.contacts.begin_anew(self.now);
        }
        match (op.what, outcome) {
            (Asked::Take, Outcome::Written(revision)) => self.taken(revision, op.sent_at),
            (Asked::Renew, Outcome::Written(revision)) => self.renewed(revision, op.sent_at),
            (Asked::Resign, Outcome::Written(_)) => self.end(Left::Asked),
            (Asked::ReadOwn, Outcome::Found(found)) => self.read_back(found.as_ref()),
            (Asked::ReadOwn, _) => {
                self.keys.break_row();
                // While the engine answers nobody, a key that lives stands still too.
                if let Some((_, since)) = &mut self.own.found {
                    *since = self.now;
                }
                self.own.next_at = self.now + TRY_AGAIN;
            }
            // The node that it was has nothing to lose any more: whoever starts under this name takes the key anyway.
            (Asked::Resign, _) => self.end(Left::Asked),
            (Asked::Take | Asked::Renew, Outcome::NoResponders) => {
                self.keys.break_row();
                self.own.next_at = self.now + TRY_AGAIN;
            }
            (Asked::Take | Asked::Renew, _) => {
                self.keys.break_row();
                self.own.has_to_read = true;
                self.own.next_at = self.now;
                self.tend_own();
            }
            _ => {}
        }
    }

    /// What the key holds, after a conflict or a time-out, or at the start. Anything older than what this node wrote
    /// itself is an old answer.
    fn read_back(&mut self, found: Option<&Stored>) {
        let entry = found.and_then(|stored| LeaseEntry::decode(&stored.value).ok());
        let revision = found.map_or(0, |stored| stored.revision);
        if self.phase == Phase::Looking {
            return self.read_at_start(revision, entry.as_ref());
        }
        if found.is_some() && revision < self.own.revision {
            self.own.next_at = self.now + TRY_AGAIN;
            return;
        }
        self.own.has_to_read = false;
        match entry {
            Some(LeaseEntry::Lease(lease)) if lease.incarnation == self.id.incarnation => {
                if lease.counter == self.own.counter {
                    return self.renewed(revision, self.own.tried_at);
                }
                self.own.revision = revision;
            }
            // A write decides whether that is true.
            None if found.is_none() => self.own.revision = 0,
            _ => return self.put_out(),
        }
        self.own.next_at = self.now;
        self.tend_own();
    }

    fn read_at_start(&mut self, revision: u64, entry: Option<&LeaseEntry>) {
        let is_mine = entry.is_some_and(|entry| self.id.incarnation != 0 && entry.incarnation() == self.id.incarnation);
        if let (true, Some(LeaseEntry::Lease(_))) = (is_mine, entry) {
            return self.taken(revision, self.own.tried_at);
        }
        let is_free = match entry {
            Some(LeaseEntry::Lease(lease)) => self.own.last_life == Some(lease.incarnation),
            Some(LeaseEntry::Tombstone { .. }) | None => true,
        };
        if is_free {
            self.own.revision = revision;
            self.own.has_to_read = false;
            return self.look();
        }
        match self.own.found {
            Some((known, since)) if known == revision => {
                if self.now >= since + NAME_WATCHED {
                    self.own.revision = revision;
                    self.own.has_to_read = false;
                    return self.look();
                }
            }
            Some((known, _)) if known < revision => return self.refuse_to_join(MembershipEvent::NameTaken),
            Some(_) => {}
            None => self.own.found = Some((revision, self.now)),
        }
        self.own.next_at = self.now + TRY_AGAIN;
    }

    /// Takes the key. Later lives of a name have higher numbers, and no two have the same one.
    fn look(&mut self) {
        self.id.incarnation = ((self.own.revision + 1) << 16) | (self.rng.next() & 0xffff);
        self.own.counter = 1;
        self.own.tried_at = self.now;
        self.write_own(Asked::Take);
    }

    fn taken(&mut self, revision: u64, sent_at: Instant) {
        self.phase = Phase::Outside;
        self.contacts.see_view(&self.view, &self.id, self.now);
        self.keys.see_view(&self.view);
        self.own.has_to_read = false;
        self.renewed(revision, sent_at);
        self.read_view();
    }

    fn renew(&mut self) {
        self.own.counter += 1;
        self.own.tried_at = self.now;
        self.write_own(Asked::Renew);
    }

    fn write_own(&mut self, asked: Asked) {
        self.own.next_at = self.now + RENEW_EVERY;
        let lease = Lease {
            incarnation: self.id.incarnation,
            counter: self.own.counter,
            proto: self.config.proto,
            workers: self.config.workers,
            epoch: self.view.epoch(),
            deaf: self.contacts.deaf(&self.view, &self.id, self.now),
        };
        let key = EngineKey::Node(self.id.name.clone());
        let op = EngineOp::Write { key, value: LeaseEntry::Lease(lease).encode(), expected: self.own.revision };
        self.ask(asked, op);
    }

    fn renewed(&mut self, revision: u64, sent_at: Instant) {
        self.own.revision = revision;
        self.own.renewed_at = Some(sent_at);
        self.own.next_at = (sent_at + RENEW_EVERY).max(self.now);
        self.keys.count_renewal();
        if self.own.is_certain(self.now) && self.own.isolated_since.take().is_some() {
            self.own.was_told = false;
            if self.phase == Phase::Inside {
                self.event(MembershipEvent::Reachable);
            }
        }
    }

    /// Somebody else wrote this node's key.
    pub(super) fn watched_own(&mut self, stored: &Stored) {
        let is_after = stored.revision > self.own.revision;
        let Ok(entry) = LeaseEntry::decode(&stored.value) else { return };
        let is_mine = matches!(&entry, LeaseEntry::Lease(lease) if lease.incarnation == self.id.incarnation);
        if is_after && !is_mine && matches!(self.phase, Phase::Outside | Phase::Inside | Phase::Leaving) {
            self.put_out();
        }
    }

    fn put_out(&mut self) {
        let why = if self.phase == Phase::Leaving { Left::Asked } else { Left::PutOut };
        self.end(why);
    }

    /// Overwrites the key at the end, so that nobody waits for this node.
    pub(super) fn resign(&mut self) {
        let key = EngineKey::Node(self.id.name.clone());
        let value = LeaseEntry::Tombstone { incarnation: self.id.incarnation }.encode();
        let op = EngineOp::Write { key, value, expected: self.own.revision };
        self.ops.clear();
        self.phase = Phase::Leaving;
        self.ask(Asked::Resign, op);
    }
}

/// How often a node renews its lease.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// So old may the last acknowledged renewal be of a node that blames others: less than the silence for which they are put out.
const ANSWERED_WITHIN: Duration = Duration::from_millis(2400);

/// For so long after it sent a renewal that was acknowledged, a node is certain to be a member: less than
/// [`LAST_MOMENTS`](super::keys::LAST_MOMENTS).
const CERTAIN: Duration = Duration::from_secs(4);

/// The pause before the engine is asked again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The key of a name stands still for so long before another process takes it.
const NAME_WATCHED: Duration = Duration::from_secs(3);
