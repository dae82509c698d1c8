//! Sessions that move: one is packed into bytes, and another core, or the same one, goes on with it.

pub(super) mod format;
pub(super) mod open;
pub(super) mod packer;
pub(super) mod times;

use rtm_codec::{CloseReason, SessionId, UserId};

use self::{
    open::{Opened, UnpackedEvent},
    packer::Packer,
};
use super::{Core, Now, Outgoing, arena::SessionKey, notes::Queued, session::Session};

/// Why a session cannot be packed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPackable {
    /// The user has no session.
    #[error("the user has no session")]
    NoSession,
    /// The store has yet to do something that the session asked for, or that is stored for it or read for it.
    /// Once the store has caught up, the session can be packed.
    #[error("the store is at work for the session")]
    StoreAtWork,
    /// Messages that it sent are on their way to other nodes, and have no receiver's session yet; or a call of it waits for
    /// another node.
    #[error("messages or calls of the session are on their way")]
    OnTheirWay,
    /// It holds more than a pack may hold.
    #[error("the session holds too much")]
    TooLarge,
}

/// A pack that was not taken in. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packed session cannot be taken in: {kind}")]
pub struct UnpackError {
    kind: UnpackErrorKind,
}

impl UnpackError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> UnpackErrorKind {
        self.kind
    }
}

/// What is wrong with a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackErrorKind {
    /// It has a version that this server does not know.
    #[error("version {0} is unknown")]
    Version(u8),
    /// It is larger than a pack may be.
    #[error("it is too large")]
    TooLarge,
    /// Its bytes make no sense.
    #[error("it is damaged")]
    Damaged,
    /// Its parts contradict each other, or it holds more than a session may.
    #[error("it contradicts itself, or holds too much")]
    Inconsistent,
    /// It belongs to another project.
    #[error("it is of another project")]
    OtherProject,
    /// The user has a session here.
    #[error("its user has a session here")]
    UserHasSession,
}

impl Core {
    /// Takes a user's session out of this core, as bytes from which [`unpack_session`](Self::unpack_session) of this
    /// or another core goes on. Its connection, if it has one, is closed with [`CloseReason::Draining`]: the client
    /// comes back and resumes, where the session is then.
    ///
    /// Nobody is told that the session has gone, but it has: until it is unpacked, its user counts as offline for
    /// whoever asks, and what is sent to it or to its channels misses it. So let nothing happen in between that
    /// concerns it. This core remembers for [`Settings::resume_within`](super::Settings::resume_within) which session
    /// it was: whatever waits for it here goes on when it comes back.
    ///
    /// A pack holds the stream of events, with who waits for each; requests under way, and the answers that the client
    /// may ask for again; message ids; channels, and what was missed of them; subscriptions; attributes; what was
    /// agreed at the login, with the end of the token; how far stored messages were read; calls that count for limits;
    /// the sessions that this one put an end to; and the open invitations that the user sent. Moments are in it as
    /// distances from now; users, channels and other sessions by their ids.
    ///
    /// # Errors
    ///
    /// [`NotPackable`]. The session stays as it is then, but when it is too large it has lost its connection.
    pub fn pack_session(&mut self, now: Now, user_id: &UserId) -> Result<Vec<u8>, NotPackable> {
        let now = self.time(now);
        self.pack_out(now, user_id)
    }

    /// Packs a session and takes it out.
    pub(super) fn pack_out(&mut self, now: Now, user_id: &UserId) -> Result<Vec<u8>, NotPackable> {
        let key = self.session_of(user_id).ok_or(NotPackable::NoSession)?;
        let subscriber = self.subscriber(key);
        let is_subscribing = subscriber.is_some_and(|subscriber| self.subscriptions.is_busy(&subscriber));
        let awaits_log = self.event_log.promises.concern(key);
        if self.jobs.concern(key) || self.writes.concern(key) || awaits_log || is_subscribing {
            return Err(NotPackable::StoreAtWork);
        }
        let session = self.hub.sessions.get(key);
        let has_unsettled =
            session.and_then(|session| session.lanes.as_ref()).is_some_and(|lanes| lanes.are_unsettled());
        let has_to_say = self
            .edge
            .as_ref()
            .is_some_and(|edge| edge.calls.has_from(user_id) || edge.is_telling(key) || edge.rereading.concern(key));
        if has_unsettled || has_to_say || self.awaits_first_states(key) {
            return Err(NotPackable::OnTheirWay);
        }
        if !self.are_channels_settled(key) {
            return Err(NotPackable::OnTheirWay);
        }
        if let Some(conn) = self.hub.sessions.get(key).and_then(|session| session.conn) {
            self.hub.close(now, conn, Outgoing::Close(CloseReason::Draining));
        }
        self.put_received_on_lanes(now, key);
        let pack = Packer::new(self, now).pack(key).ok_or(NotPackable::StoreAtWork)?;
        let bytes = format::encode(&pack).ok_or(NotPackable::TooLarge)?;
        self.take_out(now, key);
        Ok(bytes)
    }

    /// Takes in a session that [`pack_session`](Self::pack_session) took out. It has no connection: its client may
    /// come back and resume it as long as it could have before.
    ///
    /// Sessions may be unpacked in any order, also before those that they wait for.
    ///
    /// # Errors
    ///
    /// [`UnpackError`] if the bytes are no such session, or none that can be here. Nothing has changed then.
    pub fn unpack_session(&mut self, now: Now, pack: &[u8]) -> Result<(), UnpackError> {
        let now = self.time(now);
        let user_id = self.unpack_in(now, pack)?;
        // It may have been packed before its user was banned.
        self.enforce_on(now, &user_id);
        Ok(())
    }

    /// Unpacks a session and puts it in. Gives whose it is.
    pub(super) fn unpack_in(&mut self, now: Now, pack: &[u8]) -> Result<UserId, UnpackError> {
        let opened = Opened::read(self, now, pack).map_err(|kind| UnpackError { kind })?;
        let user_id = opened.user_id.clone();
        self.put_in(now, opened);
        Ok(user_id)
    }

    /// Which session a pack is of, if it is good.
    pub(super) fn packed_session(&self, now: Now, pack: &[u8]) -> Option<SessionId> {
        Opened::read(self, now, pack).ok().map(|opened| opened.id)
    }

    /// Takes a session out, and tells nobody.
    pub(super) fn take_out(&mut self, now: Now, key: SessionKey) {
        if let Some(subscriber) = self.subscriber(key) {
            // What the store has of it is looked after where the session is.
            self.subscriptions.remove(&subscriber);
        }
        let Some(mut session) = self.hub.take_out(now.instant, key) else { return };
        let user_id = self.user_id(session.user);
        for channel in session.memberships.take_all() {
            let left = self.remove_member(now, key, channel);
            if let (Some((channel_id, _)), Some(user_id), Some(edge)) = (left, &user_id, &mut self.edge) {
                edge.moves.forget_caught(&channel_id, key);
                self.move_out(&channel_id, user_id, session.id);
            }
        }
        if let Some(user) = self.users.get_mut(session.user) {
            user.session = None;
        }
        if let Some(user_id) = self.user_id(session.user) {
            self.take_given(&user_id);
        }
        self.stop_watching(key, &session.watching);
        self.forget_sent_invitations(session.user);
        self.users.release(session.user);
    }

    /// Puts a session in whose pack is good.
    fn put_in(&mut self, now: Now, opened: Opened) {
        let (invitations, seen_ms) = (opened.invitations, opened.subscriptions_seen_ms);
        let Opened { user_id, id, parts, events, held, memberships, away_order, watching, channels, given, .. } =
            opened;
        let user = self.users.intern(&user_id);
        let session = Session::unpack(id, user, parts, self.hasher.clone(), &self.config.settings);
        let key = self.hub.put_in(now.instant, session);
        if let Some(user) = self.users.get_mut(user) {
            user.session = Some(key);
        }
        for event in events {
            let queued = self.unpack_event(now, event);
            if let Some(session) = self.hub.sessions.get_mut(key) {
                session.stream.push(queued);
            }
        }
        for event in held {
            let queued = self.unpack_event(now, event);
            if let Some(session) = self.hub.sessions.get_mut(key) {
                session.mail.hold(queued);
            }
        }
        let memberships = self.unpack_memberships(now, key, memberships, away_order);
        let moved = memberships.channels().collect::<Vec<_>>();
        let watching = self.unpack_watching(now, key, watching);
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.memberships = memberships;
            session.watching = watching;
        }
        if let Some((from, heard)) = channels {
            self.unpacked_memberships(now, key, &moved, &from, heard);
        }
        self.unpack_subscriptions(now, key, seen_ms);
        self.unpacked_lanes(now, key);
        for invitation in invitations {
            self.unpack_invitation(now, user, invitation);
        }
        self.unpack_given(now, key, given);
        self.report_state(now, user);
        self.tell_if_told_otherwise(now, user);
        self.hub.arm(key);
    }

    /// The key of a user's session by which this core knows it, or will know it when it comes.
    pub(super) fn session_key(&mut self, now: Now, user_id: &UserId, id: SessionId) -> SessionKey {
        match self.sender_of(id, user_id) {
            Some(key) => key,
            None => self.hub.absent_key(now.instant, id),
        }
    }

    fn unpack_event(&mut self, now: Now, unpacked: UnpackedEvent) -> Queued {
        let UnpackedEvent { event, bytes, note } = unpacked;
        Queued { note: self.unpack_note(now, event.event(), note), event, bytes }
    }
}

/// So many calls that count for limits are packed: more than the usual limits let a session make in their windows.
const COUNTED_CALLS: usize = 4096;
