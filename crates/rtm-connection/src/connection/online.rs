//! Having a session, losing its link, coming back to it, and its end.

use std::time::{Duration, Instant};

use rtm_codec::{Answer, CloseReason, ErrorKind, Resumption, Text, Welcome};

use crate::{
    ConnectionChangeReason as Reason, ConnectionState as State, GapReason, Output, RtmEvent,
    connection::Connection,
    intent::Intent,
    link::{Link, Online},
    token::TokenState,
};

/// How long after a session was lost its messages may come again over the new one: as long as a server remembers
/// what it took.
const REPEATS: Duration = Duration::from_secs(60);

impl Connection {
    pub(super) fn welcomed(&mut self, now: Instant, welcome: Welcome) {
        let Link::LoggingIn { resumes, .. } = self.link else { return };
        let Welcome { user_id: _, ticket, resumption, token_expires_in_ms, server_time_ms: _, limits } = welcome;
        let resumption = if resumes { resumption } else { Resumption::New };
        let returns = resumes || self.login.is_none();
        self.link = Link::Online(Online::new(now, self.config.keep_alive));
        self.ticket = ticket;
        for id in self.pending.renewals(self.offered_renewal) {
            if let Some(request) = self.pending.remove(id) {
                self.finish(now, id, request, Ok(Answer::RenewToken(())));
            }
        }
        self.token.accepted(now, token_expires_in_ms.map(Duration::from_millis));
        if let Some(limits) = limits {
            self.limiter.set_limits(limits);
        }
        self.changed(State::Connected, Reason::LoginSuccess);
        if self.login.take().is_some() {
            self.queue.push_back(Output::LoginResult(Ok(())));
        }
        match resumption {
            Resumption::Resumed => {}
            Resumption::Lapsed => self.intent.restore_lapsed(self.pending.has_sent_attribute_write()),
            _ => self.began_anew(now, returns),
        }
        let unconsumed = std::mem::take(&mut self.unconsumed);
        if unconsumed > 0 && matches!(resumption, Resumption::Resumed | Resumption::Lapsed) {
            self.emit(RtmEvent::Gap { channel_id: None, lost: Some(unconsumed), reason: GapReason::Missing });
        }
        self.lost_by = None;
        if self.token.ends_soon(now) && self.token.warn() {
            self.emit(RtmEvent::TokenWillExpire);
            self.queue.push_back(Output::TokenNeeded);
        }
        self.run_errands(now);
        self.resend(now, resumption);
    }

    /// There is a new session. `returns`: in place of one that the user had.
    fn began_anew(&mut self, now: Instant, returns: bool) {
        self.stream.restart();
        self.stream.told(self.answered());
        if !returns {
            return;
        }
        self.intent.restore_all(self.pending.has_sent_attribute_write());
        self.repeats_until = Some(now + REPEATS);
        let reason = match self.lost_by {
            Some(CloseReason::SlowConsumer) => GapReason::SlowConsumer,
            _ => GapReason::NewSession,
        };
        self.emit(RtmEvent::Gap { channel_id: None, lost: None, reason });
        let effects = self.invitations.end_session();
        effects.events.into_iter().for_each(|event| self.emit(event));
        for id in effects.orphans {
            // One that was sent is told apart when the rest is sent again.
            if let Some(request) = self.pending.remove_unsent(id) {
                self.finish(now, id, request, Err(ErrorKind::AlreadyEnd.into()));
            }
        }
        if !self.config.extensions {
            // The vendor's wire does not say that the session is a new one: its server may keep the calls going.
            effects.cancels.into_iter().for_each(|cancel| self.send_unasked(cancel));
        }
    }

    /// The link is gone, by the server's word (`frame`) or by its close code, or just so.
    pub(super) fn link_lost(&mut self, now: Instant, reason: Option<CloseReason>, frame: bool) {
        let hang_up = frame.then_some(reason.unwrap_or(CloseReason::Internal));
        let is_online = matches!(self.link, Link::Online(_));
        match reason {
            Some(CloseReason::RemoteLogin) if self.login.is_none() => {
                self.drop_link(hang_up);
                self.abort(Reason::RemoteLogin);
            }
            Some(CloseReason::Banned) if self.login.is_none() => {
                self.drop_link(hang_up);
                self.abort(Reason::BannedByServer);
            }
            Some(CloseReason::TokenExpired) if is_online => {
                self.drop_link(hang_up);
                if self.token.expire() {
                    self.emit(RtmEvent::TokenDidExpire);
                }
                self.abort(Reason::TokenExpired);
            }
            // Anything in between may close a link with 1000; only the server can end a session.
            Some(CloseReason::Logout) if is_online && frame => {
                self.drop_link(hang_up);
                self.end(ErrorKind::NotLoggedIn, State::Disconnected, Reason::Logout);
            }
            _ if is_online => self.interrupted(now, reason, hang_up),
            _ => {
                self.drop_link(hang_up);
                self.lost_by = reason.or(self.lost_by);
                let kind = match reason {
                    Some(CloseReason::Banned) => ErrorKind::Banned,
                    Some(CloseReason::TokenExpired) => ErrorKind::TokenExpired,
                    _ => ErrorKind::Failure,
                };
                let retry = reason.is_none_or(|reason| {
                    reason == CloseReason::Logout || (reason.can_reconnect() && reason != CloseReason::ProtocolError)
                });
                let detail = reason.map_or("the connection was lost", CloseReason::as_str);
                self.attempt_failed(now, kind, Text::from(detail), retry || self.login.is_none());
            }
        }
    }

    /// The link of a session is lost, and the session is not.
    pub(super) fn interrupted(&mut self, now: Instant, reason: Option<CloseReason>, hang_up: Option<CloseReason>) {
        if let Link::Online(online) = &self.link {
            self.backoff.lasted(&self.config.backoff, online.lasted(now));
        }
        self.drop_link(hang_up);
        self.lost_by = reason;
        self.attempt = 0;
        self.pending.drop_errands();
        self.changed(State::Reconnecting, Reason::Interrupted);
        self.retry(now);
    }

    /// Nothing goes out on this link any more. What was not handed to it yet was never sent.
    pub(super) fn drop_link(&mut self, hang_up: Option<CloseReason>) {
        let pending = &mut self.pending;
        self.queue.retain(|output| match output {
            Output::Request { id, .. } => {
                if let Some(request) = pending.get_mut(*id) {
                    request.take_back();
                }
                false
            }
            Output::Send(_) => false,
            _ => true,
        });
        self.queue.extend(hang_up.map(Output::Hangup));
    }

    /// The server ended the session for good.
    pub(super) fn abort(&mut self, reason: Reason) {
        if self.config.web15 && reason == Reason::RemoteLogin {
            self.end(ErrorKind::NotLoggedIn, State::Disconnected, reason);
        } else {
            self.end(ErrorKind::NotLoggedIn, State::Aborted, reason);
            self.link = Link::Aborted;
        }
    }

    /// Ends the session and everything in it; its requests end with `kind`.
    pub(super) fn end(&mut self, kind: ErrorKind, state: State, reason: Reason) {
        self.link = Link::Idle;
        let now = self.now.expect("every input brings the time");
        let effects = self.invitations.end_session();
        effects.events.into_iter().for_each(|event| self.emit(event));
        for id in self.pending.ids() {
            if let Some(request) = self.pending.remove(id) {
                let unknown = kind != ErrorKind::AbortedByLogout && request.may_have_had_effect();
                let kind = if unknown { ErrorKind::OutcomeUnknown } else { kind };
                self.finish(now, id, request, Err(kind.into()));
            }
        }
        self.credentials = None;
        // A logout that the server never heard of must not bring back what was had before it.
        self.instance = super::new_instance(&mut self.rng);
        self.token = TokenState::default();
        self.ticket = None;
        self.unconsumed = 0;
        self.lost_by = None;
        self.repeats_until = None;
        self.intent = Intent::default();
        self.changed(state, reason);
    }
}
