//! A node that is about to leave its cluster: its clients are sent away at a pace and come back elsewhere, and sessions that
//! nobody comes for go to other nodes without a client.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtm_codec::{CloseReason, InstanceId, SessionTicket, UserId};

use super::{
    ConnId, Core, Now, Outgoing,
    arena::SessionKey,
    cluster::{NodeId, ProjectParcel, Role, partition},
    timer::Due,
};

/// A drain that is under way.
#[derive(Debug)]
pub(super) struct Draining {
    since: Instant,
    /// The clients that are yet to be sent away, the next one last.
    waiting: Vec<ConnId>,
    /// How many there were at first, and over how long they are sent away.
    count: usize,
    over: Duration,
    /// The sessions that other nodes are to fetch, and when these were told so.
    offered: BTreeMap<SessionKey, Instant>,
}

/// What is left of a project on a node that is about to leave its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Remaining {
    /// Sessions that are here, come here, or stand still here until it is decided where they go on.
    pub sessions: usize,
    /// What others wait for: channel messages that are not known to have come, members for whom this node forwards what
    /// comes, words of invitations, and what the store and the engine have not answered.
    pub unsettled: usize,
}

impl Remaining {
    /// Whether the node may leave, and nobody loses anything by it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.sessions == 0 && self.unsettled == 0
    }
}

impl Draining {
    /// Takes out those who are to be sent away by now. The first one goes at once.
    fn due(&mut self, now: Instant) -> Vec<ConnId> {
        let since = now.saturating_duration_since(self.since);
        let due = match since < self.over {
            true => 1 + (self.count as f64 * since.as_secs_f64() / self.over.as_secs_f64()) as usize,
            false => self.count,
        };
        self.waiting.split_off(self.count.saturating_sub(due).min(self.waiting.len()))
    }
}

impl Core {
    /// This node is about to leave its cluster: its role in the view is [`Draining`](Role::Draining), or will be. No client
    /// comes in any more, as after [`drain`](Self::drain), and those that are here are sent away with
    /// [`CloseReason::Draining`], spread evenly over this time, in the order that `shuffle` gives them. Each session moves to
    /// where its client comes back, and one that nobody has come for in 10 s moves to another node without it. Until then all
    /// that a session misses is kept, up to [`Settings::session_bytes`](super::Settings::session_bytes).
    ///
    /// [`remaining`](Self::remaining) says when the node may leave.
    pub fn drain_cluster(&mut self, now: Now, over: Duration, shuffle: impl FnOnce(&mut [ConnId])) {
        let now = self.time(now);
        self.is_draining = true;
        self.log_draining(now);
        let Some(edge) = self.edge.as_mut().filter(|edge| edge.draining.is_none()) else { return };
        let mut waiting: Vec<ConnId> = self.hub.sessions.values().filter_map(|session| session.conn).collect();
        shuffle(&mut waiting);
        waiting.reverse();
        let count = waiting.len();
        edge.draining = Some(Draining { since: now.instant, waiting, count, over, offered: BTreeMap::new() });
        self.hub.settings.away_channel_messages = ALL;
        self.drain_due(now);
    }

    /// What is left here.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        let at_store = self.jobs.open() + self.event_log.promises.len();
        let Some(edge) = &self.edge else {
            return Remaining { sessions: self.hub.sessions.len(), unsettled: at_store };
        };
        Remaining {
            sessions: self.hub.sessions.len() + edge.frozen.len() + edge.claims.len(),
            unsettled: edge.unsettled() + at_store + self.hub.back_end.unsettled(),
        }
    }

    /// Sends away who is next, and sees to the sessions that nobody comes for.
    pub(super) fn drain_due(&mut self, now: Now) {
        let Some(draining) = self.edge.as_mut().and_then(|edge| edge.draining.as_mut()) else { return };
        let since = draining.since;
        // Who has come after the beginning goes when all others have.
        let are_all_away = draining.waiting.is_empty();
        let mut conns = draining.due(now.instant);
        let sessions = &self.hub.sessions;
        draining.offered.retain(|key, at| sessions.get(*key).is_some() && now.instant < *at + OFFERED_AGAIN);
        let mut unfetched = Vec::new();
        for key in sessions.keys() {
            let Some(session) = sessions.get(key) else { continue };
            match session.conn {
                Some(conn) if are_all_away => conns.push(conn),
                Some(_) => {}
                None => {
                    let is_due = session.liveness.heard().max(since) + FETCHED_WITHIN <= now.instant;
                    if is_due && unfetched.len() < MOST_OFFERS && !draining.offered.contains_key(&key) {
                        unfetched.push(key);
                    }
                }
            }
        }
        draining.offered.extend(unfetched.iter().map(|key| (*key, now.instant)));
        unfetched.into_iter().for_each(|key| self.offer_session(key));
        for conn in conns {
            self.hub.close(now, conn, Outgoing::Close(CloseReason::Draining));
        }
        self.hub.timers.push(now.instant + WAVE_EVERY, Due::Drain);
    }

    /// Has another node fetch a session.
    fn offer_session(&mut self, key: SessionKey) {
        let Some(user_id) = self.user_id_of(key) else { return };
        let Some(session) = self.hub.sessions.get(key) else { return };
        let instance = session.terms.instance().clone();
        let ticket = SessionTicket::new(session.id, session.stream.epoch);
        if let Some(node) = self.successor(&user_id) {
            self.tell(&node, ProjectParcel::Fetch { user_id, instance, ticket });
        }
    }

    /// The node that a user's session is to go to: its home, or another one if that is about to leave too.
    fn successor(&self, user_id: &UserId) -> Option<NodeId> {
        let edge = self.edge.as_ref()?;
        let number = partition(self.config.app_id.as_str(), user_id.as_str());
        let stays = |id: &NodeId, role: Role| *id != edge.node && role != Role::Draining;
        if let Some(home) = edge.view.home(number).filter(|home| stays(&home.id, home.role)) {
            return Some(home.id.clone());
        }
        let others: Vec<_> = edge.view.members().iter().filter(|member| stays(&member.id, member.role)).collect();
        others.get(usize::from(number) % others.len().max(1)).map(|member| member.id.clone())
    }

    /// Another node is about to leave, and nobody comes for a session there.
    pub(super) fn asked_to_fetch(&mut self, now: Now, user_id: UserId, instance: InstanceId, ticket: SessionTicket) {
        if self.is_draining || self.session_of(&user_id).is_some() {
            return;
        }
        self.claim_for_absent(now, user_id, instance, ticket);
    }
}

/// How many messages of each channel are kept in a drain for a member that is away.
pub(super) const ALL: usize = usize::MAX;
/// How often clients are sent away.
const WAVE_EVERY: Duration = Duration::from_millis(50);
/// How long a client may take to come back elsewhere.
const FETCHED_WITHIN: Duration = Duration::from_secs(10);
/// So many sessions are offered at a time.
const MOST_OFFERS: usize = 64;
/// How long another node may take to fetch a session before it is offered again.
const OFFERED_AGAIN: Duration = Duration::from_secs(5);
