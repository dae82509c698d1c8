//! The sessions that are elsewhere: a core knows them by the keys under which they were here, or will be.

use std::{collections::BTreeMap, time::Instant};

use rtm_codec::SessionId;

use super::arena::SessionKey;

/// The keys that are kept for sessions which are not here, and until when.
#[derive(Debug, Default)]
pub(super) struct Absent {
    keys: BTreeMap<[u8; 16], (SessionKey, Instant)>,
    ids: BTreeMap<SessionKey, [u8; 16]>,
}

impl Absent {
    pub(super) fn key(&self, id: SessionId) -> Option<SessionKey> {
        self.keys.get(&id.0).map(|(key, _)| *key)
    }

    pub(super) fn id(&self, key: SessionKey) -> Option<SessionId> {
        self.ids.get(&key).copied().map(SessionId)
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= ABSENT_SESSIONS
    }

    pub(super) fn keep(&mut self, id: SessionId, key: SessionKey, until: Instant) {
        self.keys.insert(id.0, (key, until));
        self.ids.insert(key, id.0);
    }

    /// A session is waited for until then at least.
    pub(super) fn wait_for(&mut self, id: SessionId, until: Instant) {
        if let Some((_, present)) = self.keys.get_mut(&id.0) {
            *present = until.max(*present);
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        if let Some((key, _)) = self.keys.remove(&id.0) {
            self.ids.remove(&key);
        }
    }

    /// Forgets sessions for which nobody waits any more, and gives their keys.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<SessionKey> {
        let mut forgotten = Vec::new();
        self.keys.retain(|_, (key, until)| {
            let is_over = *until <= now;
            if is_over {
                forgotten.push(*key);
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
