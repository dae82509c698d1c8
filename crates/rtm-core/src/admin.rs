//! What an operator does and sees: draining, figures; and what goes by itself from time to time.

use std::{fmt, time::Duration};

use rtm_codec::UserId;

use super::{ConnId, Core, Counters, EventTypes, LogKind, Now, Stats, StoreWork, timer::Due};

impl Core {
    /// Refuses logins from now on, telling clients to come back later or elsewhere: those that a refusal would be the
    /// end of are let in first, and closed at once. The connections that are there go on: the shell [`close`](Self::close)s them with
    /// [`CloseReason::Draining`](rtm_codec::CloseReason::Draining), spread over time.
    pub fn drain(&mut self, now: Now) {
        self.announce_drain(now);
        self.is_draining = true;
    }

    /// Writes into the log of events that the server is about to go down, though it lets clients in for a while.
    pub fn announce_drain(&mut self, now: Now) {
        let now = self.time(now);
        self.log_draining(now);
    }

    /// The open connections, in the order of their slots.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnId> {
        self.hub.conns.keys().collect()
    }

    /// Who is logged in over a connection.
    #[must_use]
    pub fn user_of(&self, conn: ConnId) -> Option<UserId> {
        self.user_id_of(self.hub.conns.get(conn)?.session?)
    }

    /// Whether an operator has ended the session that a connection had.
    #[must_use]
    pub fn is_kicked(&self, conn: ConnId) -> bool {
        self.hub.conns.get(conn).is_some_and(|conn| conn.is_kicked)
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
            self.jobs.tell(StoreWork::Expire { kind, before, keep: None, max_bytes: None, written: EventTypes::ALL });
        }
        self.expire_events(now);
        self.keep_forgotten_revision();
        self.look_after_all_subscriptions(now);
        self.hub.forget_absent(now.instant);
        self.forget_old_restrictions(now);
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

pub(super) const EXPIRY_EVERY: Duration = Duration::from_secs(60 * 60);
