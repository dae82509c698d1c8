//! The sessions that are elsewhere: a core knows them by the keys under which they were here, or will be.

use std::{collections::BTreeMap, time::Instant};

use rtm_codec::SessionId;

use super::arena::SessionKey;

/// The keys that are kept for sessions which are not here, and until when.
#[derive(Debug, Default)]
pub(super) struct Absent(BTreeMap<[u8; 16], (SessionKey, Instant)>);

impl Absent {
    pub(super) fn key(&self, id: SessionId) -> Option<SessionKey> {
        self.0.get(&id.0).map(|(key, _)| *key)
    }

    pub(super) fn id(&self, key: SessionKey) -> Option<SessionId> {
        self.0.iter().find(|(_, (absent, _))| *absent == key).map(|(id, _)| SessionId(*id))
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= ABSENT_SESSIONS
    }

    pub(super) fn keep(&mut self, id: SessionId, key: SessionKey, until: Instant) {
        self.0.insert(id.0, (key, until));
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        self.0.remove(&id.0);
    }

    /// Forgets sessions for which nobody waits any more, and gives their keys.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<SessionKey> {
        let mut forgotten = Vec::new();
        self.0.retain(|_, (key, until)| {
            let is_over = *until <= now;
            if is_over {
                forgotten.push(*key);
            }
            !is_over
        });
        forgotten
    }
}

/// How many sessions that are elsewhere are known.
const ABSENT_SESSIONS: usize = 16 * 1024;
