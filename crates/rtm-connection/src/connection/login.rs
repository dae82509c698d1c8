//! Logging in and out: what the user asks for, and the attempts that it takes.

use std::time::Instant;

use rtm_codec::{ClientFrame, CloseReason, ErrorKind, Family, Login, Refusal, Resume, Text};

use crate::{
    ConnectionChangeReason as Reason, ConnectionState as State, Credentials, Dial, DialError, Output, RtmError,
    RtmEvent,
    connection::{Connection, LoginUnderWay},
    intent::{Intent, Membership},
    link::Link,
};

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
                self.stream.start(saved.received);
                self.unconsumed = saved.received.0.saturating_sub(saved.consumed.0);
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
    pub(super) fn retry(&mut self, now: Instant) {
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

    /// A login is refused.
    pub(super) fn refused(&mut self, now: Instant, refusal: Refusal) {
        self.drop_link(Some(CloseReason::Logout));
        let retry = self.login.is_none();
        self.attempt_failed(now, refusal.kind, refusal.detail, retry);
    }
}
