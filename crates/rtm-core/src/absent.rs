//! Sessions that are elsewhere: a core knows them by the keys under which they were here, or will be.

use std::{collections::BTreeMap, time::Instant};

use rtm_codec::SessionId;

use super::{arena::SessionKey, hub::Hub, session::Session};

/// The keys that are kept for sessions which are not here, and until when.
#[derive(Debug, Default)]
pub(super) struct Absent(BTreeMap<[u8; 16], (SessionKey, Instant)>);

impl Hub {
    /// Takes a session out. Its key is kept for it, so that what refers to it here finds it when it comes back.
    pub(super) fn take_out(&mut self, now: Instant, key: SessionKey) -> Option<Session> {
        let session = self.sessions.take(key)?;
        self.keep_key(now, session.id, key);
        Some(session)
    }

    /// Puts a session in under the key that was kept for it.
    pub(super) fn put_in(&mut self, now: Instant, session: Session) -> SessionKey {
        let key = self.absent_key(now, session.id);
        self.absent.0.remove(&session.id.0);
        match self.sessions.put(key, session) {
            Ok(()) => key,
            // Too many sessions are elsewhere, so no key was kept.
            Err(session) => self.sessions.insert(session),
        }
    }

    /// A key that no session has.
    pub(super) fn nobody(&mut self) -> SessionKey {
        let key = self.sessions.reserve();
        self.sessions.give_up(key);
        key
    }

    /// The key of a session that is not here.
    pub(super) fn absent_key(&mut self, now: Instant, id: SessionId) -> SessionKey {
        if let Some((key, _)) = self.absent.0.get(&id.0) {
            return *key;
        }
        let key = self.sessions.reserve();
        self.keep_key(now, id, key);
        key
    }

    /// The session that a key means, here or elsewhere.
    pub(super) fn session_id(&self, key: SessionKey) -> Option<SessionId> {
        let here = self.sessions.get(key).map(|session| session.id);
        here.or_else(|| {
            let (id, _) = self.absent.0.iter().find(|(_, (absent, _))| *absent == key)?;
            Some(SessionId(*id))
        })
    }

    /// Forgets sessions that have not come for longer than anybody waits for them.
    pub(super) fn forget_absent(&mut self, now: Instant) {
        let Self { absent, sessions, .. } = self;
        absent.0.retain(|_, (key, until)| {
            let is_awaited = *until > now;
            if !is_awaited {
                sessions.give_up(*key);
            }
            is_awaited
        });
    }

    fn keep_key(&mut self, now: Instant, id: SessionId, key: SessionKey) {
        if self.absent.0.len() >= ABSENT_SESSIONS {
            self.forget_absent(now);
        }
        // Of too many, those that come last are waited for in vain.
        if self.absent.0.len() >= ABSENT_SESSIONS {
            return self.sessions.give_up(key);
        }
        self.absent.0.insert(id.0, (key, now + self.settings.resume_within));
    }
}

/// How many sessions that are elsewhere are known.
const ABSENT_SESSIONS: usize = 16 * 1024;
