//! Where events of the log come from: what each says is read when it happens.

use rtm_codec::{
    ChannelId, CloseReason, Event, LocalInvitationFailureReason, MessageId, PeerOnlineState, SharedEvent, UserId,
};

use super::{
    Core, EventType, Moment, Now, ProjectEvent, Restriction, SessionName,
    arena::{InvitationKey, SessionKey},
};

impl Core {
    /// A session is new. By a takeover its user stays there.
    pub(super) fn log_session(&mut self, now: Now, key: SessionKey, takeover: bool) {
        self.event_log.is_takeover = takeover;
        self.log(now, EventType::SessionStarted, |core| {
            let (user_id, session) = core.named(key)?;
            let server = core.event_log.server.clone();
            Some(ProjectEvent::SessionStarted { user_id, session, takeover, server })
        });
    }

    /// A client came back to its session.
    pub(super) fn log_return(&mut self, now: Now, key: SessionKey) {
        self.log(now, EventType::SessionResumed, |core| {
            let (user_id, session) = core.named(key)?;
            let server = core.event_log.server.clone();
            Some(ProjectEvent::SessionResumed { user_id, session, server })
        });
    }

    /// A session has come from another node.
    pub(super) fn log_move(&mut self, now: Now, user_id: &UserId) {
        self.log(now, EventType::SessionMoved, |core| {
            let (user_id, session) = core.named(core.session_of(user_id)?)?;
            let server = core.event_log.server.clone();
            Some(ProjectEvent::SessionMoved { user_id, session, server })
        });
    }

    /// A session's user is seen in another state.
    pub(super) fn log_state(&mut self, now: Now, key: SessionKey, before: PeerOnlineState, state: PeerOnlineState) {
        if !self.event_log.is_on() || self.event_log.is_takeover {
            return;
        }
        let Some((user_id, session)) = self.named(key) else { return };
        let event = match (before, state) {
            (PeerOnlineState::Offline, PeerOnlineState::Online) => ProjectEvent::UserOnline { user_id, session },
            (_, PeerOnlineState::Online) => ProjectEvent::UserReachable { user_id, session },
            (_, PeerOnlineState::Offline) => {
                ProjectEvent::UserOffline { user_id, session, reason: CloseReason::KeepAliveTimeout.name().into() }
            }
            _ => ProjectEvent::UserUnreachable { user_id, session },
        };
        self.log(now, event.event_type(), |_| Some(event));
    }

    /// A session is about to end for good, and has left its channels.
    pub(super) fn log_end(&mut self, now: Now, key: SessionKey, reason: CloseReason) {
        if !self.event_log.is_on() {
            return;
        }
        let is_there = self.hub.sessions.get(key).is_some_and(|session| session.is_there());
        let name = self.end_name(now, key, reason);
        // The session that takes its place keeps the user there.
        if is_there && reason != CloseReason::RemoteLogin {
            self.log(now, EventType::UserOffline, |core| {
                let (user_id, session) = core.named(key)?;
                Some(ProjectEvent::UserOffline { user_id, session, reason: name.into() })
            });
        }
        self.log(now, EventType::SessionEnded, |core| {
            let (user_id, session) = core.named(key)?;
            Some(ProjectEvent::SessionEnded { user_id, session, reason: name.into() })
        });
    }

    /// How the log names the end of a session. A kicked client is told what a banned one is told; back ends are not.
    fn end_name(&self, now: Now, key: SessionKey, reason: CloseReason) -> &'static str {
        let is_banned =
            || self.user_id_of(key).is_some_and(|user_id| self.restrictions.is_banned(now.instant, &user_id));
        if reason == CloseReason::Banned && !is_banned() { "kicked" } else { reason.name() }
    }

    /// A session joined a channel, which has so many members now.
    pub(super) fn log_join(&mut self, now: Now, key: SessionKey, channel_id: &ChannelId, count: u32) {
        if count == 1 {
            let channel_id = || channel_id.clone();
            self.log(now, EventType::ChannelOccupied, |_| {
                Some(ProjectEvent::ChannelOccupied { channel_id: channel_id() })
            });
        }
        self.log(now, EventType::MemberJoined, |core| {
            let (user_id, session) = core.named(key)?;
            Some(ProjectEvent::MemberJoined { channel_id: channel_id.clone(), user_id, session })
        });
    }

    /// A session left a channel, which has so many members now.
    pub(super) fn log_leave(&mut self, now: Now, key: SessionKey, channel_id: &ChannelId, count: u32) {
        self.log(now, EventType::MemberLeft, |core| {
            let (user_id, session) = core.named(key)?;
            Some(ProjectEvent::MemberLeft { channel_id: channel_id.clone(), user_id, session })
        });
        if count == 0 {
            self.log(now, EventType::ChannelVacated, |_| {
                Some(ProjectEvent::ChannelVacated { channel_id: channel_id.clone() })
            });
        }
    }

    /// A user sent a message to another one.
    #[cold]
    pub(super) fn log_peer_message(&mut self, now: Now, from: &UserId, to: &UserId, message_id: MessageId) {
        self.log(now, EventType::PeerMessage, |_| {
            Some(ProjectEvent::PeerMessage { from: from.clone(), to: to.clone(), message_id })
        });
    }

    /// A user sent a message to a channel.
    #[cold]
    pub(super) fn log_channel_message(
        &mut self,
        now: Now,
        from: &UserId,
        channel_id: &ChannelId,
        message_id: MessageId,
    ) {
        self.log(now, EventType::ChannelMessage, |_| {
            Some(ProjectEvent::ChannelMessage { from: from.clone(), channel_id: channel_id.clone(), message_id })
        });
    }

    /// A message was stored, unless its receiver has it already; for it, so many older ones went. Says whether anything is written.
    pub(super) fn log_stored(
        &mut self,
        now: Now,
        to: &UserId,
        event: &SharedEvent,
        evicted: u64,
        is_received: bool,
    ) -> bool {
        let Event::MessageFromPeer(message) = event.event() else { return false };
        let is_stored = !is_received
            && self.log(now, EventType::MessageStored, |_| {
                let (from, message_id) = (message.peer_id.clone(), message.message_id);
                Some(ProjectEvent::MessageStored { from, to: to.clone(), message_id })
            });
        let is_evicted = evicted > 0
            && self.log(now, EventType::MessagesEvicted, |_| {
                Some(ProjectEvent::MessagesEvicted { to: to.clone(), messages: evicted })
            });
        is_stored || is_evicted
    }

    /// Something happened to an open invitation.
    pub(super) fn log_invitation(&mut self, now: Now, event_type: EventType, key: InvitationKey) {
        self.log(now, event_type, |core| {
            let (call_id, caller_id, callee_id) = core.parties(key)?;
            Some(match event_type {
                EventType::InvitationSent => ProjectEvent::InvitationSent { call_id, caller_id, callee_id },
                EventType::InvitationReceived => ProjectEvent::InvitationReceived { call_id, caller_id, callee_id },
                EventType::InvitationAccepted => ProjectEvent::InvitationAccepted { call_id, caller_id, callee_id },
                EventType::InvitationRefused => ProjectEvent::InvitationRefused { call_id, caller_id, callee_id },
                EventType::InvitationCancelled => ProjectEvent::InvitationCancelled { call_id, caller_id, callee_id },
                _ => return None,
            })
        });
    }

    /// An open invitation is about to end without an answer.
    pub(super) fn log_failed_invitation(
        &mut self,
        now: Now,
        key: InvitationKey,
        reason: Option<LocalInvitationFailureReason>,
    ) {
        self.log(now, EventType::InvitationFailed, |core| {
            let (call_id, caller_id, callee_id) = core.parties(key)?;
            let reason = match reason {
                Some(LocalInvitationFailureReason::PeerOffline) => "callee_offline",
                Some(LocalInvitationFailureReason::PeerNoResponse) => "no_response",
                Some(LocalInvitationFailureReason::InvitationExpire) => "expired",
                // The caller is not told of an end that comes with its own.
                _ => "caller_gone",
            };
            Some(ProjectEvent::InvitationFailed { call_id, caller_id, callee_id, reason: reason.into() })
        });
    }

    /// Something is refused to a user, or not any more. Says whether that is written.
    pub(super) fn log_restriction(&mut self, now: Now, user_id: Option<&UserId>, change: Restriction) -> bool {
        let event = match (user_id.cloned(), change) {
            (Some(user_id), Restriction::BannedUntil(until)) => {
                ProjectEvent::UserBanned { user_id, until: Moment(until) }
            }
            (Some(user_id), Restriction::Unbanned) => ProjectEvent::UserUnbanned { user_id },
            (Some(user_id), Restriction::TokensFrom(from)) => {
                ProjectEvent::TokensRevoked { user_id, issued_before: Moment(from) }
            }
            (None, Restriction::TokensFrom(from)) => ProjectEvent::AllTokensRevoked { issued_before: Moment(from) },
            // Nobody bans all users.
            (None, Restriction::BannedUntil(_) | Restriction::Unbanned) => return false,
        };
        self.log(now, event.event_type(), |_| Some(event))
    }

    /// A user has other attributes.
    pub(super) fn log_user_attributes(&mut self, now: Now, key: SessionKey) {
        self.log(now, EventType::UserAttributesChanged, |core| {
            Some(ProjectEvent::UserAttributesChanged { user_id: core.user_id_of(key)? })
        });
    }

    /// A channel has other attributes.
    pub(super) fn log_channel_attributes(&mut self, now: Now, channel_id: &ChannelId, by: &UserId) {
        self.log(now, EventType::ChannelAttributesChanged, |_| {
            Some(ProjectEvent::ChannelAttributesChanged { channel_id: channel_id.clone(), user_id: by.clone() })
        });
    }

    fn named(&self, key: SessionKey) -> Option<(UserId, SessionName)> {
        Some((self.user_id_of(key)?, self.hub.sessions.get(key)?.id.into()))
    }
}
