//! Deadlines: one heap for the project, and an alarm in each thing that has some.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use super::{
    ConnId, HttpId,
    arena::{ChannelKey, InvitationKey, SessionKey},
};

/// What a deadline belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Session(SessionKey),
    Channel(ChannelKey),
    Invitation(InvitationKey),
    Http(HttpId),
    BackEnd,
    Login(ConnId),
    Edge,
    Presence,
    Drain,
    Expiry,
    Events,
    EventExpiry,
    Subscriptions,
    Restrictions,
    Admin(HttpId),
}

/// All deadlines. An entry may be stale: its owner's [`Alarm`] knows. Those of one instant come up in the order in which
/// they were set, which does not depend on where their owners are kept: a session that moved makes no difference.
#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    pushed: u64,
}

impl Timers {
    pub(super) fn push(&mut self, at: Instant, due: Due) {
        self.pushed += 1;
        self.entries.push(Reverse((at, self.pushed, due)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Due)> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop().map(|Reverse((at, _, due))| (at, due))
    }
}

/// Which entries of its owner are in the heap. An owner's deadline usually moves away (each packet moves it), so an
/// entry is left where it is, and the owner looks again when it comes up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Alarm {
    next: Option<Instant>,
    /// An entry after `next` that is in the heap too.
    later: Option<Instant>,
}

impl Alarm {
    /// Sees to it that the owner is called at `at` or before.
    pub(super) fn set(&mut self, timers: &mut Timers, at: Instant, due: Due) {
        match self.next {
            Some(next) if next <= at => return,
            Some(next) => self.later = Some(next),
            None => {}
        }
        self.next = Some(at);
        timers.push(at, due);
    }

    /// Takes an entry that came up at `at`; `false` if it is stale.
    pub(super) fn take(&mut self, at: Instant) -> bool {
        if self.next != Some(at) {
            return false;
        }
        self.next = self.later.take();
        true
    }
}
