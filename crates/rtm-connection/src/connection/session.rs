//! Logging in and out, losing the link and coming back: every arrow of the state diagram.

use std::time::{Duration, Instant};

use rtm_codec::{
    Answer, ClientFrame, CloseReason, ErrorKind, Family, Login, Refusal, Resume, Resumption, Text, Welcome,
};

use crate::{
    ConnectionChangeReason as Reason, ConnectionState as State, Credentials, Dial, DialError, GapReason, Output,
    RtmError, RtmEvent,
    connection::{Connection, LoginUnderWay},
    intent::{Intent, Membership},
    link::{Link, Online},
    token::TokenState,
};

/// How long after a session was lost its messages may come again over the new one: as long as a server remembers
/// what it took.
const REPEATS: Duration = Duration::from_secs(60);

impl Connection {
    /// Logs in. Ends with [`Output::LoginResult`], after the event of the state that it leads to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyLogin`] unless the state is `DISCONNECTED`, [`ErrorKind::TooOften`]; then nothing happens
    /// and no result follows.
    pub fn login(&mut self, now: Instant, credentials: Credentials) -> Result<(), RtmError> {
        let now = self.advance(now);
        if self.state() != State::Disconnected {
            let detail = if matches!(self.link, Link::Aborted) { "the session was ended by the server" } else { "" };
            return Err(RtmError::new(ErrorKind::AlreadyLogin, Family::Login).with_detail(detail));
        }
        self.limiter.try_login(now).map_err(|refusal| RtmError::from_refusal(refusal, Family::Login))?;
        if matches!(self.link, Link::LoggingOut { .. }) {
            self.logged_out(true);
        }
        self.limiter.set_limits(self.config.limits.clone());
        match self.saved.take().filter(|saved| saved.user_id == credentials.user_id) {
            None => self.stream.restart(),
            Some(saved) => {
                self.ticket = Some(saved.ticket);
                self.stream.start(saved.received, saved.consumed);
                self.intent = Intent {
                    channels: saved.channels.into_iter().map(|channel| (channel, Membership::Joined)).collect(),
                    subscriptions: saved.subscriptions,
                    attributes: saved.attributes,
                    ..Intent::default()
                };
            }
        }
        self.credentials = Some(credentials);
        self.login = Some(LoginUnderWay { deadline: now + self.config.login_timeout, last_error: None });
        self.backoff.reset();
        self.attempt = 0;
        self.changed(State::Connecting, Reason::Login);
        self.dial(now);
        Ok(())
    }

    /// Logs out, whatever the state. Every request and every invitation ends, the state becomes `DISCONNECTED`, and
    /// when the server has confirmed it (or there is no link, or it takes more than 2 s) [`Output::LogoutResult`]
    /// follows. A login under way ends with [`ErrorKind::AbortedByLogout`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] in `DISCONNECTED`; no result follows then.
    pub fn logout(&mut self, now: Instant) -> Result<(), RtmError> {
        let now = self.advance(now);
        if self.state() == State::Disconnected {
            return Err(RtmError::new(ErrorKind::NotLoggedIn, Family::Logout));
        }
        // Receipts of what came until now.
        self.ack_anything = true;
        if let Some(ack) = self.take_ack() {
            self.send(ack);
        }
        let login = self.login.take();
        let is_open = matches!(self.link, Link::Online(_) | Link::LoggingIn { .. });
        if is_open {
            self.send(ClientFrame::Logout);
        } else if matches!(self.link, Link::Dialing { .. }) {
            self.queue.push_back(Output::Hangup(CloseReason::Logout));
        }
        self.end(ErrorKind::AbortedByLogout, State::Disconnected, Reason::Logout);
        if login.is_some() {
            let error = RtmError::new(ErrorKind::AbortedByLogout, Family::Login);
            self.queue.push_back(Output::LoginResult(Err(error)));
        }
        if is_open {
            self.link = Link::LoggingOut { give_up: now + self.config.logout_timeout };
        } else {
            self.queue.push_back(Output::LogoutResult(Ok(())));
        }
        Ok(())
    }

    /// The logout is over.
    pub(super) fn logged_out(&mut self, hang_up: bool) {
        if hang_up {
            self.queue.push_back(Output::Hangup(CloseReason::Logout));
        }
        self.link = Link::Idle;
        self.queue.push_back(Output::LogoutResult(Ok(())));
    }

    pub(super) fn dial(&mut self, now: Instant) {
        let Some(credentials) = self.credentials.clone() else { return };
        self.attempt = self.attempt.saturating_add(1);
        self.offered_renewal = self.token.renewing;
        self.link = Link::Dialing { give_up: now + self.config.attempt_timeout, asked: false };
        let dial = Dial { credentials, attempt: self.attempt, is_login: self.login.is_some() };
        self.queue.push_back(Output::Dial(dial));
    }

    /// The next attempt follows after a pause.
    fn retry(&mut self, now: Instant) {
        if self.login.is_none() && self.token.is_expired() {
            self.link = Link::NeedsToken;
            return;
        }
        let draining = self.lost_by == Some(CloseReason::Draining);
        let pause = self.backoff.pause(&self.config.backoff, draining, &mut self.rng);
        self.link = Link::Waiting { until: now + pause };
    }

    pub(super) fn opened(&mut self, now: Instant, gateway_session: Option<Text>) {
        let Link::Dialing { give_up, asked: true } = self.link else { return };
        let Some(credentials) = self.credentials.clone() else { return };
        self.offered_renewal = self.token.renewing;
        let answered = self.answered();
        let resume = self.ticket.filter(|_| self.config.extensions).map(|ticket| Resume {
            ticket,
            received: self.stream.received(),
            consumed: self.stream.consumed(),
            answered,
        });
        self.stream.told(answered);
        self.link = Link::LoggingIn { give_up: give_up.max(now), resumes: resume.is_some() };
        self.send(ClientFrame::Login(Box::new(Login {
            app_id: credentials.app_id,
            user_id: Some(credentials.user_id),
            token: credentials.token,
            instance: self.instance.clone(),
            resume,
            keep_alive: self.config.keep_alive,
            window: self.config.window,
            accepts_binary: self.config.extensions,
            gateway_session,
        })));
    }

    pub(super) fn dial_failed(&mut self, now: Instant, error: DialError) {
        let DialError { kind, retry, detail } = error;
        self.attempt_failed(now, kind, detail, retry);
    }

    /// The server or the gateway did not let the user in.
    pub(super) fn attempt_failed(&mut self, now: Instant, kind: ErrorKind, detail: Text, retry: bool) {
        let error = RtmError::new(kind, Family::Login).with_detail(detail);
        let is_ban = matches!(kind, ErrorKind::Banned | ErrorKind::InvalidAppId);
        match &mut self.login {
            Some(login) if retry => {
                login.last_error = Some(error);
                self.retry(now);
            }
            Some(_) => self.login_failed(if is_ban { Reason::BannedByServer } else { Reason::LoginFailure }, error),
            None if is_ban => self.abort(Reason::BannedByServer),
            None if matches!(kind, ErrorKind::TokenExpired | ErrorKind::InvalidToken) => self.token_refused(now, kind),
            None => self.retry(now),
        }
    }

    /// The user's `login` is over without success. The link is gone already.
    pub(super) fn login_failed(&mut self, reason: Reason, error: RtmError) {
        self.login = None;
        self.end(error.kind(), State::Disconnected, reason);
        self.queue.push_back(Output::LoginResult(Err(error)));
    }

    /// A reconnect is refused for its token: an older one may still be good, else a new one is needed.
    fn token_refused(&mut self, now: Instant, kind: ErrorKind) {
        let newer = self.token.renewing > self.offered_renewal;
        for id in self.pending.renewals(self.offered_renewal) {
            if let Some(request) = self.pending.remove(id) {
                self.finish(now, id, request, Err(kind.into()));
            }
        }
        if newer {
            // A renewal came after the login was sent: the next attempt has it.
        } else if let Some(older) = self.token.fallback.take() {
            self.set_token(older);
        } else if kind == ErrorKind::TokenExpired {
            self.token_expired();
        } else {
            self.queue.push_back(Output::TokenNeeded);
        }
        self.retry(now);
    }

    /// The token ended while there is no link: without a new one there will be none.
    pub(super) fn token_expired(&mut self) {
        if self.token.expire() {
            self.emit(RtmEvent::TokenDidExpire);
            self.queue.push_back(Output::TokenNeeded);
        }
        if matches!(self.link, Link::Waiting { .. }) {
            self.link = Link::NeedsToken;
        }
    }

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
            Resumption::Lapsed => self.lapsed(),
            _ => self.began_anew(now, returns),
        }
        self.lost_by = None;
        if self.token.ends_soon(now) && self.token.warn() {
            self.emit(RtmEvent::TokenWillExpire);
            self.queue.push_back(Output::TokenNeeded);
        }
        self.restore(now);
        self.resend(now, matches!(resumption, Resumption::Resumed | Resumption::Lapsed));
    }

    /// The user was away too long to stay in its channels.
    fn lapsed(&mut self) {
        self.intent.restore_lapsed();
        let channels: Vec<_> = self.intent.joined().cloned().collect();
        for channel_id in channels {
            self.emit(RtmEvent::Gap { channel_id: Some(channel_id), lost: None, reason: GapReason::LeftChannel });
        }
    }

    /// There is a new session. `returns`: in place of one that the user had.
    fn began_anew(&mut self, now: Instant, returns: bool) {
        self.stream.restart();
        self.stream.told(self.answered());
        if !returns {
            return;
        }
        self.intent.restore_all();
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

    /// A login is refused.
    pub(super) fn refused(&mut self, now: Instant, refusal: Refusal) {
        self.drop_link(Some(CloseReason::Logout));
        let retry = self.login.is_none();
        self.attempt_failed(now, refusal.kind, refusal.detail, retry);
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
        self.pending.drop_restoring();
        self.changed(State::Reconnecting, Reason::Interrupted);
        self.retry(now);
    }

    /// Nothing goes out on this link any more. What was not handed to it yet was never sent.
    pub(super) fn drop_link(&mut self, hang_up: Option<CloseReason>) {
        let pending = &mut self.pending;
        self.queue.retain(|output| match output {
            Output::Send(ClientFrame::Request { id, .. }) => {
                if let Some(request) = pending.get_mut(*id) {
                    request.sent = false;
                }
                false
            }
            Output::Send(_) => false,
            _ => true,
        });
        self.queue.extend(hang_up.map(Output::Hangup));
    }

    /// The server ended the session for good.
    fn abort(&mut self, reason: Reason) {
        if self.config.web15 && reason == Reason::RemoteLogin {
            self.end(ErrorKind::NotLoggedIn, State::Disconnected, reason);
        } else {
            self.end(ErrorKind::NotLoggedIn, State::Aborted, reason);
            self.link = Link::Aborted;
        }
    }

    /// Ends the session and everything in it; its requests end with `kind`.
    fn end(&mut self, kind: ErrorKind, state: State, reason: Reason) {
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
        self.token = TokenState::default();
        self.ticket = None;
        self.lost_by = None;
        self.repeats_until = None;
        self.intent = Intent::default();
        self.changed(state, reason);
    }
}
