//! The sessions that are elsewhere: a core knows them by the keys under which they were here, or will be.

use std::{collections::BTreeMap, time::Instant};

use rtm_codec::SessionId;

use super::{arena::SessionKey, cluster::NodeId};

/// The keys that are kept for sessions which are not here.
#[derive(Debug, Default)]
pub(super) struct Absent {
    sessions: BTreeMap<[u8; 16], AbsentSession>,
    ids: BTreeMap<SessionKey, [u8; 16]>,
}

#[derive(Debug)]
struct AbsentSession {
    key: SessionKey,
    /// It is waited for until then.
    until: Instant,
    /// The node from which a message of it came last.
    node: Option<NodeId>,
}

impl Absent {
    pub(super) fn key(&self, id: SessionId) -> Option<SessionKey> {
        self.sessions.get(&id.0).map(|session| session.key)
    }

    pub(super) fn id(&self, key: SessionKey) -> Option<SessionId> {
        self.ids.get(&key).copied().map(SessionId)
    }

    /// The node from which a message of a session came last.
    pub(super) fn node(&self, id: SessionId) -> Option<&NodeId> {
        self.sessions.get(&id.0)?.node.as_ref()
    }

    pub(super) fn is_full(&self) -> bool {
        self.sessions.len() >= ABSENT_SESSIONS
    }

    pub(super) fn keep(&mut self, id: SessionId, key: SessionKey, until: Instant) {
        self.sessions.insert(id.0, AbsentSession { key, until, node: None });
        self.ids.insert(key, id.0);
    }

    /// A session is waited for until then at least.
    pub(super) fn wait_for(&mut self, id: SessionId, until: Instant) {
        if let Some(session) = self.sessions.get_mut(&id.0) {
            session.until = until.max(session.until);
        }
    }

    /// A message of a session came from this node.
    pub(super) fn came_from(&mut self, id: SessionId, node: &NodeId) {
        if let Some(session) = self.sessions.get_mut(&id.0) {
            session.node = Some(node.clone());
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id.0) {
            self.ids.remove(&session.key);
        }
    }

    /// Forgets sessions for which nobody waits any more, and gives their keys.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<SessionKey> {
        let mut forgotten = Vec::new();
        self.sessions.retain(|_, session| {
            let is_over = session.until <= now;
            if is_over {
                forgotten.push(session.key);
            }
            !is_over
        });
        for key in &forgotten {
            self.ids.remove(key);
        }
        forgotten
    }
}

/// How many sessions that are elsewhere are known.
const ABSENT_SESSIONS: usize = 16 * 1024;
