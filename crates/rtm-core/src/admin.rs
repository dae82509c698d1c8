//! What an operator does and sees: draining, bans, figures; and what goes by itself from time to time.

use std::{fmt, time::Duration};

use rtm_codec::{CloseReason, UserId};

use super::{ConnId, Core, Counters, LogKind, Now, Stats, StoreWork, timer::Due};

impl Core {
    /// Refuses logins from now on, telling clients to come back later or elsewhere: those that a refusal would be the
    /// end of are let in first, and closed at once. The connections that are there go on: the shell [`close`](Self::close)s them with [`CloseReason::Draining`], spread over time.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// The open connections, in the order of their slots.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnId> {
        self.hub.conns.keys().collect()
    }

    /// Ends a user's session with [`CloseReason::Banned`] and refuses its logins until `until_unix_ms`; 0 only
    /// ends the session. Says whether there was one.
    pub fn ban(&mut self, now: Now, user_id: &UserId, until_unix_ms: u64) -> bool {
        let now = self.time(now);
        if until_unix_ms > now.unix_ms {
            let lasts = Duration::from_millis(until_unix_ms - now.unix_ms);
            self.bans.insert(user_id.clone(), now.instant + lasts.min(LONGEST_BAN));
        }
        let session = self.session_of(user_id);
        if let Some(key) = session {
            self.end_session(now, key, CloseReason::Banned);
        }
        self.forget_subscriptions_of(now, user_id);
        session.is_some()
    }

    /// Lets a banned user log in again. Says whether it was banned.
    pub fn unban(&mut self, user_id: &UserId) -> bool {
        self.bans.remove(user_id).is_some()
    }

    /// Figures of the project. Counting the users takes a look at every session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { users: self.hub.sessions.values().filter(|session| session.is_there()).count(), ..self.figures() }
    }

    /// The same without the users.
    #[must_use]
    pub fn figures(&self) -> Stats {
        Stats {
            connections: self.hub.conns.len(),
            sessions: self.hub.sessions.len(),
            channels: self.channels.len(),
            invitations: self.invitations.len(),
            ..self.hub.stats
        }
    }

    /// Counters since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.hub.counters
    }

    /// Has the store drop what is too old, from time to time.
    pub(super) fn expire_stored(&mut self, now: Now) {
        let (stored, history) = (self.oldest_offline(now), self.oldest_history(now));
        for (kind, before) in [(LogKind::Stored, stored), (LogKind::History, history)] {
            self.jobs.tell(StoreWork::Expire { kind, before });
        }
        self.keep_forgotten_revision();
        self.look_after_all_subscriptions(now);
        self.hub.forget_absent(now.instant);
        self.bans.retain(|_, until| now.instant < *until);
        self.hub.timers.push(now.instant + EXPIRY_EVERY, Due::Expiry);
    }
}

/// Shows no user and no secret.
impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, .. } = self;
        f.debug_struct("Core").field("app_id", &config.app_id).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// No clock counts longer than that.
const LONGEST_BAN: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
pub(super) const EXPIRY_EVERY: Duration = Duration::from_secs(60 * 60);
