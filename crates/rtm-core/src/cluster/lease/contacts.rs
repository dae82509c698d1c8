//! Whom a node hears: heartbeats, each of which says what it answers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{Membership, MembershipOutput, Phase};
use crate::cluster::{envelope::Frame, kept::Deaf, names::NodeId, view::View};

/// Nodes that are sent heartbeats: all other members, and those that want to join.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    nodes: BTreeMap<NodeId, Contact>,
    /// The number of the last heartbeat: it never falls, also to a node that was forgotten meanwhile.
    n: u64,
    next_at: Option<Instant>,
    /// When somebody who is no contact was told of the view.
    told_stranger: Option<Instant>,
}

#[derive(Debug)]
struct Contact {
    is_member: bool,
    /// Heartbeats that were sent, by number and time.
    sent: VecDeque<(u64, Instant)>,
    /// The highest number that came.
    heard: u64,
    heard_at: Instant,
    /// When the newest heartbeat was sent that the other node has answered. What it says without an answer to that may
    /// have lain somewhere for long.
    answered: Option<Instant>,
    /// Since when it could have answered.
    since: Instant,
    /// Nobody listens to its subject, from when to when.
    unreachable: Option<(Instant, Instant)>,
    told_view: Option<Instant>,
}

impl Contact {
    fn new(is_member: bool, now: Instant) -> Self {
        Self {
            is_member,
            sent: VecDeque::new(),
            heard: 0,
            heard_at: now,
            answered: None,
            since: now,
            unreachable: None,
            told_view: None,
        }
    }

    fn is_heard(&self, now: Instant) -> bool {
        self.answered.is_some_and(|at| now < at + SILENT)
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.answered.map_or(self.since, |at| at.max(self.since)))
    }
}

impl Contacts {
    pub(super) fn hears(&self, node: &NodeId, now: Instant) -> bool {
        self.nodes.get(node).is_some_and(|contact| contact.is_heard(now))
    }

    /// Nodes that want to join, and are in touch.
    pub(super) fn joiners(&self, now: Instant) -> impl Iterator<Item = &NodeId> {
        self.nodes.iter().filter(move |(_, contact)| !contact.is_member && contact.is_heard(now)).map(|(id, _)| id)
    }

    /// For how long it is not in touch with a member; zero if it is.
    pub(super) fn silent_for(&self, node: &NodeId, now: Instant) -> Duration {
        let Some(contact) = self.nodes.get(node).filter(|contact| !contact.is_heard(now)) else {
            return Duration::ZERO;
        };
        contact.silent_for(now)
    }

    /// For how long nobody has listened to a member's subject.
    pub(super) fn unreachable_for(&self, node: &NodeId, now: Instant) -> Duration {
        match self.nodes.get(node).and_then(|contact| contact.unreachable) {
            Some((since, last)) if now < last + SILENT => last.saturating_duration_since(since),
            _ => Duration::ZERO,
        }
    }

    pub(super) fn no_responders(&mut self, node: &NodeId, now: Instant) {
        let Some(contact) = self.nodes.get_mut(node) else { return };
        let since = contact.unreachable.filter(|(_, last)| now < *last + SILENT).map_or(now, |(since, _)| since);
        contact.unreachable = Some((since, now));
    }

    /// The members with which this node is not in touch.
    pub(super) fn deaf(&self, view: &View, me: &NodeId, now: Instant) -> Vec<Deaf> {
        let others = view.members().iter().filter(|member| member.id != *me && !self.hears(&member.id, now));
        let deaf = others.map(|member| Deaf {
            node: member.id.name.clone(),
            seconds: u16::try_from(self.silent_for(&member.id, now).as_secs()).unwrap_or(u16::MAX),
        });
        deaf.collect()
    }

    pub(super) fn see_view(&mut self, view: &View, me: &NodeId, now: Instant) {
        for (id, contact) in &mut self.nodes {
            contact.is_member = view.has(id);
        }
        self.nodes.retain(|id, contact| contact.is_member || view.named(&id.name).is_none_or(|it| it.id < *id));
        for member in view.members().iter().filter(|member| member.id != *me) {
            self.nodes.entry(member.id.clone()).or_insert_with(|| Contact::new(true, now));
        }
    }

    /// Nobody is blamed for a silence that this node slept through.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        for contact in self.nodes.values_mut() {
            contact.since = now;
            contact.unreachable = None;
        }
    }

    /// Whether a node with an older view is told of the newer one now: not at each of its frames.
    pub(super) fn may_be_told(&mut self, node: &NodeId, now: Instant) -> bool {
        let (told, pause) = match self.nodes.get_mut(node) {
            Some(contact) => (&mut contact.told_view, TOLD_AGAIN),
            None => (&mut self.told_stranger, TOLD_STRANGER),
        };
        let may = told.is_none_or(|at| now >= at + pause);
        if may {
            *told = Some(now);
        }
        may
    }
}

impl Membership {
    /// Sends heartbeats.
    pub(super) fn tend_contacts(&mut self) {
        if self.contacts.next_at.is_some_and(|at| at > self.now)
            || !matches!(self.phase, Phase::Outside | Phase::Inside)
        {
            return;
        }
        self.contacts.next_at = Some(self.now + HEARTBEAT_EVERY);
        let now = self.now;
        self.contacts.nodes.retain(|_, contact| contact.is_member || now < contact.heard_at + JOINER_FORGOTTEN);
        self.contacts.n += 1;
        let n = self.contacts.n;
        for (id, contact) in &mut self.contacts.nodes {
            contact.sent.push_back((n, now));
            if contact.sent.len() > HEARTBEATS_KNOWN {
                contact.sent.pop_front();
            }
            let frame = Frame::Heartbeat { n, heard: contact.heard };
            self.out.push_back(MembershipOutput::Send(id.clone(), frame));
        }
    }

    pub(super) fn heartbeat(&mut self, from: &NodeId, n: u64, heard: u64) {
        let now = self.now;
        if !self.contacts.nodes.contains_key(from) {
            let is_newer = self.view.named(&from.name).is_none_or(|member| member.id < *from);
            let joiners = self.contacts.nodes.values().filter(|contact| !contact.is_member).count();
            if self.phase != Phase::Inside || !is_newer || joiners >= JOINERS {
                return;
            }
            self.contacts.nodes.insert(from.clone(), Contact::new(false, now));
        }
        let Some(contact) = self.contacts.nodes.get_mut(from) else { return };
        let is_joiner = !contact.is_member;
        contact.heard_at = now;
        contact.heard = contact.heard.max(n);
        while contact.sent.front().is_some_and(|(n, _)| *n < heard) {
            contact.sent.pop_front();
        }
        if let Some((_, sent_at)) = contact.sent.front().filter(|(n, _)| *n == heard) {
            contact.answered = contact.answered.max(Some(*sent_at));
            if now < *sent_at + SILENT {
                contact.unreachable = None;
            }
        }
        // The watch may hang: who wants to join is looked for.
        if is_joiner && !self.keys.knows_life(from) {
            self.read_node(&from.name);
        }
    }
}

/// How often a heartbeat is sent: two ticks.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);

/// Without an answer to a heartbeat of the last 3 s, nodes are not in touch.
const SILENT: Duration = Duration::from_secs(3);

/// So many heartbeats are remembered: older ones tell nothing.
const HEARTBEATS_KNOWN: usize = 16;

/// The most nodes at a time that want to join.
const JOINERS: usize = 64;

/// Who wants to join, and is silent for so long, is forgotten.
const JOINER_FORGOTTEN: Duration = Duration::from_secs(5);

/// How often a node is told of a newer view.
const TOLD_AGAIN: Duration = Duration::from_secs(1);
const TOLD_STRANGER: Duration = Duration::from_millis(200);
