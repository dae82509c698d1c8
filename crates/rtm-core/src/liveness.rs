//! Silence, absence and the end of sessions.

use rtm_codec::{CloseReason, PeerOnlineState, ServerFrame, UserId};

use super::{
    Core, Now, Outgoing,
    arena::{ChannelKey, SessionKey},
    away::gap,
    invitations::Leaving,
    session::Session,
    stream::Note,
};

impl Core {
    /// Does what is due for a session.
    pub(super) fn session_due(&mut self, now: Now, key: SessionKey) {
        let settings = self.config.settings;
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let silence = now.instant.saturating_duration_since(session.heard);
        match session.state {
            PeerOnlineState::Offline if silence >= settings.resume_within => {
                return self.end_session(now, key, CloseReason::KeepAliveTimeout);
            }
            PeerOnlineState::Offline => {}
            _ if silence >= settings.offline_after => return self.lapse(now, key),
            PeerOnlineState::Online if silence >= session.unreachable_after(&settings) => {
                self.set_state(now, key, PeerOnlineState::Unreachable);
            }
            _ => {}
        }
        if let Some(session) = self.hub.sessions.get_mut(key)
            && let Some(conn) = session.conn
        {
            session.tidy(&self.config, now.instant, now.instant.saturating_duration_since(self.start));
            if let Some(conn) = self.hub.conns.get_mut(conn) {
                conn.tidy();
            }
            if session.token.is_some_and(|token| token.ends_at <= now.instant) {
                return self.end_session(now, key, CloseReason::TokenExpired);
            }
            if let Some(at) = session.ping_at.filter(|at| *at <= now.instant) {
                session.ping_at = Some(session.next_ping(at, now.instant));
                self.hub.send(conn, ServerFrame::Ping);
            }
            self.warn_of_token(now, key);
            self.tell_changes(now, key);
        }
        self.expire_receipts(now, key);
        self.hub.arm(key);
    }

    /// The user is offline: nothing was heard from it for too long. Its client may still resume the session.
    fn lapse(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        let heard = session.heard;
        if let Some(conn) = session.conn {
            self.hub.close(now, conn, Outgoing::Close(CloseReason::KeepAliveTimeout));
        }
        self.merge_away(key);
        let channels = self.leave_all(now, key);
        self.set_state(now, key, PeerOnlineState::Offline);
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        // Its silence began before the socket was closed just now.
        session.heard = heard;
        session.has_lapsed = true;
        session.attributes.clear();
        let user = session.user;
        for channel_id in channels {
            self.hub.push(key, gap(channel_id, None));
        }
        self.end_invitations(user, Leaving::Lapsed);
        self.hub.arm(key);
    }

    /// Ends a session for good, and tells its connection why.
    pub(super) fn end_session(&mut self, now: Now, key: SessionKey, reason: CloseReason) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        let (user, was_there) = (session.user, session.is_there());
        if let Some(conn) = session.conn {
            self.hub.close(now, conn, Outgoing::Close(reason));
        }
        if was_there {
            self.leave_all(now, key);
        }
        // The user may be gone with its session, before its senders are answered.
        let user_id = self.user_id_of(key);
        let Some(session) = self.hub.sessions.remove(key) else { return };
        if let Some(user) = self.users.get_mut(user) {
            user.session = None;
        }
        for (watched, _) in &session.subscriptions {
            if let Some(user) = self.users.get_mut(*watched) {
                user.watchers.swap_remove(&key);
            }
            self.users.release(*watched);
        }
        if was_there {
            let leaving = match reason {
                CloseReason::RemoteLogin => Leaving::Replaced,
                _ => Leaving::Ended,
            };
            self.end_invitations(user, leaving);
            self.state_changed(now, user);
        }
        if let Some(user_id) = user_id {
            self.return_receipts(&user_id, session);
        }
        self.users.release(user);
    }

    /// Tells the senders of what the session's device has not received what becomes of it.
    fn return_receipts(&mut self, user_id: &UserId, session: Session) {
        for queued in session.stream.into_events().into_iter().chain(session.held) {
            if let Note::Receipt { asker, store, .. } = queued.note {
                self.give_up_receipt(user_id, asker, store, &queued.event, None);
            }
        }
    }

    /// Puts what was kept of the channels of a session that was away where it belongs in its stream.
    pub(super) fn merge_away(&mut self, key: SessionKey) {
        let channels = &self.channels;
        self.hub.merge_away(key, |channel: ChannelKey| channels.get(channel).map(|channel| &channel.id));
    }
}
