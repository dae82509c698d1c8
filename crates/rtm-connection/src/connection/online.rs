//! Having a session, losing its link, coming back to it, and its end.

use std::{mem, ops::ControlFlow, time::Duration};

use rtm_codec::{Answer, CloseReason, ErrorKind, Family, Resumption, Text, Welcome, anyrtc::gateway::Caller};

use super::account::{Active, End};
use crate::{
    ConnectionChangeReason as Reason, ConnectionState as State, Credentials, GapReason, Output, RtmError, RtmEvent,
    gateway::Gateway,
    link::{LinkState, Online},
};

impl Active<'_> {
    pub(super) fn welcomed(&mut self, welcome: Welcome) {
        let LinkState::LoggingIn { resumes, gateway_session, .. } = &mut self.account.link else { return };
        let (resumes, gateway_session) = (*resumes, gateway_session.take());
        let Welcome { user_id: _, ticket, resumption, token_expires_in_ms, server_time_ms: _, limits } = welcome;
        let resumption = if resumes { resumption } else { Resumption::New };
        let returns = resumes || self.account.login.is_none();
        let gateway = gateway_session.map(|session| {
            let Credentials { app_id, user_id, .. } = self.account.credentials.clone();
            Gateway::new(Caller { app_id, user_id, session })
        });
        self.account.link = LinkState::Online(Online::new(self.now, self.lasting.config.keep_alive, gateway));
        self.account.ticket = ticket;
        for id in self.account.pending.renewals(self.account.offered_renewal) {
            if let Some(request) = self.account.pending.remove(id) {
                self.finish(id, request, Ok(Answer::RenewToken(())));
            }
        }
        let presented = self.account.offered_token.take();
        self.account.token.accepted(self.now, presented, token_expires_in_ms.map(Duration::from_millis));
        if let Some(limits) = limits {
            self.lasting.limiter.set_limits(limits);
        }
        self.lasting.gateways.forget_failures();
        self.lasting.changed(State::Connected, Reason::LoginSuccess);
        if self.account.login.take().is_some() {
            self.push(Output::LoginResult(Ok(())));
        }
        match resumption {
            Resumption::Resumed => {}
            Resumption::Lapsed => self.account.intent.restore_lapsed(self.account.pending.has_sent_attribute_write()),
            _ => self.began_anew(returns),
        }
        let unconsumed = mem::take(&mut self.account.unconsumed);
        if unconsumed > 0 && matches!(resumption, Resumption::Resumed | Resumption::Lapsed) {
            self.emit(RtmEvent::Gap { channel_id: None, lost: Some(unconsumed), reason: GapReason::Missing });
        }
        self.account.lost_by = None;
        if self.account.token.ends_soon(self.now) && self.warn_of_token() {
            self.emit(RtmEvent::TokenWillExpire);
            self.fetch_token();
        }
        self.ask_for_stored();
        self.run_errands();
        self.resend(resumption);
    }

    /// There is a new session. `returns`: in place of one that the user had.
    fn began_anew(&mut self, returns: bool) {
        self.lasting.stream.restart();
        let answered = self.lasting.answered(&self.account.pending);
        self.lasting.stream.told(answered);
        // Also behind a logout: where the session's server was lost, that was not heard.
        if returns || !self.lasting.recent.is_empty() {
            self.expect_repeats();
        }
        if !returns {
            return;
        }
        self.account.intent.restore_all(self.account.pending.has_sent_attribute_write());
        let reason = match self.account.lost_by {
            Some(CloseReason::SlowConsumer) => GapReason::SlowConsumer,
            _ => GapReason::NewSession,
        };
        self.emit(RtmEvent::Gap { channel_id: None, lost: None, reason });
        if !self.lasting.config.abilities.resume {
            // Such a wire does not say whether its server kept the invitations going: it tells how they end, or their time does.
            return;
        }
        let effects = self.account.invitations.end_session();
        effects.events.into_iter().for_each(|event| self.emit(event));
        for id in effects.orphans {
            // One that was sent is told apart when the rest is sent again.
            if let Some(request) = self.account.pending.remove_unsent(id) {
                self.finish(id, request, Err(ErrorKind::AlreadyEnd.into()));
            }
        }
    }

    /// Messages that came before may come again for a while.
    pub(super) fn expect_repeats(&mut self) {
        self.account.repeats_until = Some(self.now + REPEATS);
    }

    /// The link is gone, by the server's word (`frame`) or by its close code, which a text may come with, or just so.
    pub(super) fn link_lost(&mut self, reason: Option<CloseReason>, text: Text, frame: bool) -> ControlFlow<End> {
        let hang_up = frame.then_some(reason.unwrap_or(CloseReason::Internal));
        let is_online = self.account.is_online();
        let is_login = self.account.login.is_some();
        if reason.is_none() && matches!(self.account.link, LinkState::LoggingIn { .. }) {
            self.account.unanswered_at = Some(self.now);
        }
        match reason {
            Some(CloseReason::RemoteLogin) if !is_login => {
                self.drop_link(hang_up);
                self.abort(Reason::RemoteLogin)
            }
            // A login of before came late. Once for each: otherwise two processes could take a session from each other for ever.
            Some(CloseReason::Replaced)
                if is_online && self.account.unanswered_at.take().is_some_and(|at| self.now < at + COMES_LATE) =>
            {
                self.interrupted(None, hang_up);
                ControlFlow::Continue(())
            }
            // This client has no other link: another process goes on with the session.
            Some(CloseReason::Replaced) if !is_login => {
                self.drop_link(hang_up);
                self.abort(Reason::RemoteLogin)
            }
            Some(CloseReason::Banned) if !is_login => {
                self.drop_link(hang_up);
                self.abort(Reason::BannedByServer)
            }
            Some(CloseReason::TokenExpired) if is_online => {
                self.drop_link(hang_up);
                if self.account.token.expire() {
                    self.emit(RtmEvent::TokenDidExpire);
                }
                self.abort(Reason::TokenExpired)
            }
            // Anything in between may close a link with 1000; only the server can end a session.
            Some(CloseReason::Logout) if is_online && frame => {
                self.drop_link(hang_up);
                let error = RtmError::new(ErrorKind::NotLoggedIn, Family::Login);
                ControlFlow::Break(End { error, is_aborted: false, reason: Reason::Logout })
            }
            _ if is_online => {
                self.interrupted(reason, hang_up);
                ControlFlow::Continue(())
            }
            _ => {
                self.drop_link(hang_up);
                self.account.lost_by = reason.or(self.account.lost_by);
                let kind = match reason {
                    Some(CloseReason::Banned) => ErrorKind::Banned,
                    Some(CloseReason::TokenExpired) => ErrorKind::TokenExpired,
                    _ => ErrorKind::Failure,
                };
                let retry = reason.is_none_or(|reason| {
                    reason == CloseReason::Logout || (reason.can_reconnect() && reason != CloseReason::ProtocolError)
                });
                let failure = match reason {
                    None => "the connection was lost before the server answered the login".into(),
                    // What a link between says, or a server that is none of ours.
                    Some(CloseReason::Logout) => "the server closed the connection before it answered the login".into(),
                    Some(_) if !text.as_str().is_empty() => text.into(),
                    Some(reason) => reason.as_str().into(),
                };
                match reason {
                    // Another client took the session; to go after it over another gateway would take it back.
                    Some(CloseReason::RemoteLogin | CloseReason::Replaced) => {
                        self.login_failed(kind, failure, retry || !is_login)
                    }
                    _ => self.attempt_failed(kind, failure, retry || !is_login),
                }
            }
        }
    }

    /// The link of a session is lost, and the session is not.
    pub(super) fn interrupted(&mut self, reason: Option<CloseReason>, hang_up: Option<CloseReason>) {
        if let LinkState::Online(online) = &self.account.link {
            self.account.backoff.lasted(&self.lasting.config.backoff, online.lasted(self.now));
        }
        self.drop_link(hang_up);
        self.account.lost_by = reason;
        self.account.attempt = 0;
        if reason == Some(CloseReason::Draining) {
            self.lasting.gateways.leave();
        }
        self.account.pending.drop_errands();
        self.lasting.changed(State::Reconnecting, Reason::Interrupted);
        self.retry();
    }

    /// The way to the server may be another one now, or there again.
    pub(super) fn network_changed(&mut self) {
        match &mut self.account.link {
            LinkState::Online(online) => {
                if online.probe(self.now) {
                    self.ping();
                }
            }
            LinkState::Waiting { .. } | LinkState::NeedsToken { until: Some(_) } => {
                self.account.backoff.reset();
                if self.may_present_token().is_ok() {
                    self.dial();
                }
            }
            LinkState::Lost
            | LinkState::Asking { .. }
            | LinkState::Dialing { .. }
            | LinkState::LoggingIn { .. }
            | LinkState::NeedsToken { until: None } => {}
        }
        self.retry_provider();
    }

    /// Lets the link go, with everything that lived in it. What was not handed to it yet was never sent.
    pub(super) fn drop_link(&mut self, hang_up: Option<CloseReason>) {
        let link = mem::replace(&mut self.account.link, LinkState::Lost);
        self.cancel_asks(&link);
        self.lasting.unsend(|id| {
            if let Some(request) = self.account.pending.get_mut(id) {
                request.take_back();
            }
        });
        self.lasting.queue.extend(hang_up.map(Output::Hangup));
    }

    /// The server ended the session for good.
    pub(super) fn abort(&mut self, reason: Reason) -> ControlFlow<End> {
        let is_aborted = !(self.lasting.config.web15 && reason == Reason::RemoteLogin);
        let error = RtmError::new(ErrorKind::NotLoggedIn, Family::Login);
        ControlFlow::Break(End { error, is_aborted, reason })
    }
}

/// How long after a session was lost its messages may come again over the new one: as long as a server remembers
/// what it took.
const REPEATS: Duration = Duration::from_secs(60);

/// So late may a login come to a server whose client has left the connection.
const COMES_LATE: Duration = Duration::from_secs(60);
