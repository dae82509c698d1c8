//! One box: what waits for a node, what is on its way to it, and when that is sent again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{FIRST_POST, PostEvent, Settled, Ticket};
use crate::cluster::envelope::Sealed;

#[derive(Debug)]
pub(super) struct Outbox {
    number: u64,
    /// The number of the first parcel that is not acknowledged, which is the first of `parcels`.
    base: u64,
    parcels: VecDeque<(Sealed, Option<Ticket>)>,
    bytes: usize,
    /// So many of `parcels` are on their way.
    sent: usize,
    sent_bytes: usize,
    /// So many of `parcels` were sent at least once: only those can be acknowledged.
    sent_ever: usize,
    resend_at: Option<Instant>,
    resend_after: Duration,
    /// Something was sent again: until that is acknowledged, one payload at a time goes out.
    is_careful: bool,
    /// The other node is to learn of this number though there is no parcel.
    is_announcing: bool,
    /// When it last acknowledged something, or when something began to wait.
    progress_at: Instant,
}

impl Outbox {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            number: FIRST_POST,
            base: 0,
            parcels: VecDeque::new(),
            bytes: 0,
            sent: 0,
            sent_bytes: 0,
            sent_ever: 0,
            resend_at: None,
            resend_after: RESEND_AFTER,
            is_careful: false,
            is_announcing: false,
            progress_at: now,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn resend_at(&self) -> Option<Instant> {
        self.resend_at
    }

    /// Since when something waits for the other node's acknowledgement.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        (!self.parcels.is_empty()).then_some(self.progress_at)
    }

    pub(super) fn push(&mut self, now: Instant, parcel: Sealed, ticket: Option<Ticket>) {
        if self.parcels.is_empty() {
            self.progress_at = now;
        }
        self.bytes += parcel.bytes();
        self.parcels.push_back((parcel, ticket));
    }

    /// Begins anew, under the next number.
    pub(super) fn restart(&mut self, now: Instant, settled: Settled, out: &mut VecDeque<PostEvent>) {
        let tickets = self.parcels.iter().filter_map(|(_, ticket)| *ticket);
        out.extend(tickets.map(|ticket| PostEvent::Settled(ticket, settled)));
        *self = Self { number: self.number + 1, ..Self::new(now) };
    }

    pub(super) fn announce(&mut self) {
        self.is_announcing = true;
    }

    /// The next parcels to send, with the number of the first.
    pub(super) fn batch(&mut self, now: Instant, most: usize) -> Option<(u64, Vec<Sealed>)> {
        let is_new = self.sent < self.parcels.len() && (self.sent == 0 || !self.is_careful) && self.sent_bytes < WINDOW;
        if !is_new && !std::mem::take(&mut self.is_announcing) {
            return None;
        }
        let first = self.base + self.sent as u64;
        let mut parcels = Vec::new();
        let mut bytes = 0;
        for (parcel, _) in self.parcels.range(self.sent..) {
            let with_it = bytes + parcel.bytes();
            if with_it > most || (with_it > BATCH && !parcels.is_empty()) {
                break;
            }
            bytes = with_it;
            parcels.push(parcel.clone());
        }
        self.sent += parcels.len();
        self.sent_ever = self.sent_ever.max(self.sent);
        self.sent_bytes += bytes;
        self.is_announcing = false;
        self.resend_at.get_or_insert(now + self.resend_after);
        Some((first, parcels))
    }

    /// The other node has everything before `next`. Gives whether more may be sent now.
    pub(super) fn acknowledge(&mut self, now: Instant, post: u64, next: u64, out: &mut VecDeque<PostEvent>) -> bool {
        if post != self.number {
            return false;
        }
        let Some(taken) = next.checked_sub(self.base).and_then(|taken| usize::try_from(taken).ok()) else {
            return false;
        };
        if taken > self.sent_ever {
            return false;
        }
        if self.parcels.is_empty() {
            self.resend_at = None;
        }
        if taken == 0 {
            return false;
        }
        for (at, (parcel, ticket)) in self.parcels.drain(..taken).enumerate() {
            self.bytes -= parcel.bytes();
            if at < self.sent {
                self.sent_bytes -= parcel.bytes();
            }
            out.extend(ticket.map(|ticket| PostEvent::Settled(ticket, Settled::Taken)));
        }
        self.base = next;
        self.sent = self.sent.saturating_sub(taken);
        self.sent_ever -= taken;
        self.is_careful = false;
        self.resend_after = RESEND_AFTER;
        self.progress_at = now;
        self.resend_at = (self.sent > 0).then(|| now + RESEND_AFTER);
        self.sent < self.parcels.len()
    }

    /// Gives whether something is to be sent again.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.resend_at.is_none_or(|at| at > now) {
            return false;
        }
        self.resend_after = (self.resend_after * 2).min(RESEND_AT_MOST);
        self.resend_at = None;
        self.is_careful = true;
        self.is_announcing = self.parcels.is_empty();
        (self.sent, self.sent_bytes) = (0, 0);
        true
    }
}

/// How long an acknowledgement may take before everything without one is sent again, at first and in the end.
const RESEND_AFTER: Duration = Duration::from_millis(200);
const RESEND_AT_MOST: Duration = Duration::from_secs(2);

/// As much may be on its way to a node at a time.
const WINDOW: usize = 2 * 1024 * 1024;

/// Small parcels share payloads up to this: many times cheaper than one each, and still short enough that nothing
/// urgent waits long behind one.
const BATCH: usize = 64 * 1024;
