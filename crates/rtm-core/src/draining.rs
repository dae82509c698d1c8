//! A node that is about to leave its cluster: its clients are sent away in waves and come back elsewhere, and sessions that
//! nobody comes for go to other nodes without a client.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtm_codec::{CloseReason, InstanceId, SessionTicket, UserId};

use super::{
    Core, Now, Outgoing,
    arena::SessionKey,
    cluster::{NodeId, ProjectParcel, Role, partition},
    timer::Due,
};

/// A drain that is under way.
#[derive(Debug)]
pub(super) struct Draining {
    since: Instant,
    /// How many clients are sent away at a time.
    wave: usize,
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

impl Core {
    /// This node is about to leave its cluster: its role in the view is [`Draining`](Role::Draining), or will be. No client
    /// comes in any more, as after [`drain`](Self::drain), and those that are here are sent away with
    /// [`CloseReason::Draining`], in waves over about 8 s, up to 2,000 a second. Each session moves to where its client
    /// comes back, and one that nobody has come for in 10 s moves to another node without it. Until then all that a session
    /// misses is kept, up to [`Settings::session_bytes`](super::Settings::session_bytes).
    ///
    /// [`remaining`](Self::remaining) says when the node may leave.
    pub fn drain_cluster(&mut self, now: Now) {
        let now = self.time(now);
        self.is_draining = true;
        self.log_draining(now);
        let wave = self.hub.sessions.len().div_ceil(WAVES).clamp(1, MOST_AT_ONCE);
        let Some(edge) = self.edge.as_mut().filter(|edge| edge.draining.is_none()) else { return };
        edge.draining = Some(Draining { since: now.instant, wave, offered: BTreeMap::new() });
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

    /// The next wave.
    pub(super) fn drain_due(&mut self, now: Now) {
        let Some(draining) = self.edge.as_mut().and_then(|edge| edge.draining.as_mut()) else { return };
        let (since, wave) = (draining.since, draining.wave);
        let sessions = &self.hub.sessions;
        draining.offered.retain(|key, at| sessions.get(*key).is_some() && now.instant < *at + OFFERED_AGAIN);
        let mut conns = Vec::new();
        let mut unfetched = Vec::new();
        for key in sessions.keys() {
            let Some(session) = sessions.get(key) else { continue };
            match session.conn {
                Some(conn) if conns.len() < wave => conns.push(conn),
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
/// So many waves a drain has, about.
const WAVES: usize = 160;
const WAVE_EVERY: Duration = Duration::from_millis(50);
/// A wave has no more clients: all of them log in elsewhere.
const MOST_AT_ONCE: usize = 100;
/// How long a client may take to come back elsewhere.
const FETCHED_WITHIN: Duration = Duration::from_secs(10);
/// So many sessions are offered at a time.
const MOST_OFFERS: usize = 64;
/// How long another node may take to fetch a session before it is offered again.
const OFFERED_AGAIN: Duration = Duration::from_secs(5);
