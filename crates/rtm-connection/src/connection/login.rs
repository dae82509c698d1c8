//! Logging in and out: what the user asks for, and the attempts that it takes.

use std::{
    mem,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use rtm_codec::{ClientFrame, CloseReason, ErrorKind, Family, Login, Refusal, Resume, anyrtc::gateway::Address};

use super::{
    Connection, State,
    account::{Account, Active, End},
};
use crate::{
    AskId, ConnectionChangeReason as Reason, ConnectionState, Credentials, Output, RtmError, Target, TransportError,
    failure::Failure, gateway::Route, link::LinkState,
};

impl Connection {
    /// Logs in. Ends with [`Output::LoginResult`], after the event of the state that it leads to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyLogin`] unless the state is `DISCONNECTED`, [`ErrorKind::TooOften`]; then nothing happens and
    /// no result follows.
    pub fn login(&mut self, now: Instant, credentials: Credentials) -> Result<(), RtmError> {
        self.try_login(now, credentials, false)
    }

    /// The same as [`login`](Self::login), of a program that logs in again by itself. So that it does not lock its
    /// address out, this is also [`ErrorKind::TooOften`] after the server refused four tokens within a minute.
    ///
    /// # Errors
    ///
    /// As those of [`login`](Self::login).
    pub fn login_again(&mut self, now: Instant, credentials: Credentials) -> Result<(), RtmError> {
        self.try_login(now, credentials, true)
    }

    fn try_login(&mut self, now: Instant, credentials: Credentials, by_itself: bool) -> Result<(), RtmError> {
        let now = self.advance(now);
        let refused = |refusal| RtmError::from_refusal(refusal, Family::Login);
        match self.state {
            State::Out { .. } | State::LoggingOut { .. } => {}
            State::In(_) => return Err(refused(ErrorKind::AlreadyLogin.into())),
            State::Aborted => {
                let detail = "the session was ended by the server";
                return Err(refused(Refusal::new(ErrorKind::AlreadyLogin, detail)));
            }
        }
        if by_itself {
            self.lasting.limiter.may_present_token(now).map_err(|wait| refused(Refusal::too_often(wait)))?;
        }
        self.lasting.limiter.try_login(now).map_err(refused)?;
        if let State::LoggingOut { confirms, .. } = self.state {
            if confirms.is_some() {
                self.lasting.send(ClientFrame::Logout);
            }
            self.logged_out(true);
        }
        let config = &self.lasting.config;
        self.lasting.limiter.set_limits(config.limits.clone());
        self.lasting.gateways.forget_failures();
        let deadline = now + config.login_timeout;
        let saved = match mem::replace(&mut self.state, State::Out { saved: None }) {
            State::Out { saved } => saved.filter(|saved| saved.user_id == credentials.user_id),
            State::In(_) | State::LoggingOut { .. } | State::Aborted => None,
        };
        let mut account = Account::new(credentials, deadline, self.lasting.new_instance());
        match saved {
            None => self.lasting.stream.restart(),
            Some(saved) => {
                self.lasting.stream.start(saved.received);
                account.resume(*saved);
            }
        }
        self.state = State::In(Box::new(account));
        self.lasting.changed(ConnectionState::Connecting, Reason::Login);
        if let Some(mut active) = self.active(now) {
            active.begin();
        }
        Ok(())
    }

    /// Logs out, whatever the state. Every request and every invitation ends, the state becomes `DISCONNECTED`, and
    /// when the server has confirmed it (or there is no link, or it takes more than 2 s) [`Output::LogoutResult`]
    /// follows. On the vendor's wire the server is told when a page of stored messages is confirmed that the user has, or
    /// 2 s later. A login under way ends with [`ErrorKind::AbortedByLogout`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] in `DISCONNECTED`; no result follows then.
    pub fn logout(&mut self, now: Instant) -> Result<(), RtmError> {
        let now = self.advance(now);
        let goodbye = match &self.state {
            State::Out { .. } | State::LoggingOut { .. } => {
                return Err(RtmError::new(ErrorKind::NotLoggedIn, Family::Logout));
            }
            State::In(_) => {
                let goodbye = self.active(now).map_or(Goodbye::NotNeeded, |mut active| active.say_goodbye());
                let error = RtmError::new(ErrorKind::AbortedByLogout, Family::Login);
                self.end(now, End { error, is_aborted: false, reason: Reason::Logout });
                goodbye
            }
            State::Aborted => {
                self.state = State::Out { saved: None };
                self.lasting.changed(ConnectionState::Disconnected, Reason::Logout);
                Goodbye::NotNeeded
            }
        };
        match goodbye {
            Goodbye::Now => self.tell_logout(now),
            Goodbye::After(ask) => {
                let give_up = now + self.lasting.config.logout_timeout;
                self.state = State::LoggingOut { give_up, confirms: Some(ask) };
            }
            Goodbye::NotNeeded => self.lasting.queue.push_back(Output::LogoutResult(Ok(()))),
        }
        Ok(())
    }

    /// Tells the server of the logout, which it is to confirm.
    pub(super) fn tell_logout(&mut self, now: Instant) {
        self.lasting.send(ClientFrame::Logout);
        self.state = State::LoggingOut { give_up: now + self.lasting.config.logout_timeout, confirms: None };
    }

    /// The logout is over.
    pub(super) fn logged_out(&mut self, hang_up: bool) {
        if let State::LoggingOut { confirms: Some(ask), .. } = self.state {
            self.lasting.cancel_asks([ask].into());
        }
        if hang_up {
            self.lasting.queue.push_back(Output::Hangup(CloseReason::Logout));
        }
        self.state = State::Out { saved: None };
        self.lasting.queue.push_back(Output::LogoutResult(Ok(())));
    }
}

/// What the server is told of a logout.
enum Goodbye {
    /// There is nobody to tell.
    NotNeeded,
    Now,
    /// When this request has ended.
    After(AskId),
}

impl Active<'_> {
    /// The user leaves. Says whether and when the server is to be told, which then has to confirm it.
    fn say_goodbye(&mut self) -> Goodbye {
        match self.account.link {
            LinkState::Online(_) => {
                // Receipts of what came until now.
                let ack = self.lasting.take_ack(&self.account.pending, true);
                self.lasting.queue.extend(ack.map(Output::Send));
                self.take_confirmation().map_or(Goodbye::Now, Goodbye::After)
            }
            LinkState::LoggingIn { .. } => Goodbye::Now,
            LinkState::Dialing { .. } => {
                self.push(Output::Hangup(CloseReason::Logout));
                Goodbye::NotNeeded
            }
            LinkState::Lost | LinkState::Asking { .. } | LinkState::Waiting { .. } | LinkState::NeedsToken { .. } => {
                Goodbye::NotNeeded
            }
        }
    }

    pub(super) fn dial(&mut self) {
        let account = &mut *self.account;
        account.attempt = account.attempt.saturating_add(1);
        self.lasting.gateways.begin();
        self.try_gateway();
    }

    /// Connects by way of the gateway in use.
    fn try_gateway(&mut self) {
        self.account.offer_token();
        if self.lasting.config.asks_gateway {
            self.ask_for_server();
        } else {
            self.open(Target::Gateway(self.lasting.gateways.current()), None);
        }
    }

    /// How long connecting may take where so many `others` are left to be tried: they are to have their turn before the
    /// user's login runs out.
    pub(super) fn share(&self, others: usize) -> Duration {
        let time = self.lasting.config.connect_timeout;
        if others == 0 { time } else { self.part(time.min(self.left()), others) }
    }

    /// How long the server may be silent before it answers the login.
    pub(super) fn answer_share(&self) -> Duration {
        let time = self.lasting.config.answer_timeout;
        let others = self.lasting.gateways.untried();
        if others == 0 { time } else { time.min(self.part(self.left(), others)) }
    }

    /// How long the user's login may still take.
    fn left(&self) -> Duration {
        self.account.login.as_ref().map_or(Duration::MAX, |login| login.deadline.saturating_duration_since(self.now))
    }

    fn part(&self, time: Duration, others: usize) -> Duration {
        let ways = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        (time / ways).max(Duration::from_millis(1))
    }

    /// The next attempt follows after a pause.
    pub(super) fn retry(&mut self) {
        if self.account.login.is_none() && self.account.token.fault.is_some() {
            let until = self.account.token.again_at;
            if until.is_none_or(|until| until > self.now) {
                self.account.link = LinkState::NeedsToken { until };
                return;
            }
        }
        let draining = self.account.lost_by == Some(CloseReason::Draining);
        let pause = self.account.backoff.pause(&self.lasting.config.backoff, draining, &mut self.lasting.rng);
        let pause = pause.max(self.may_present_token().err().unwrap_or_default());
        self.account.link = LinkState::Waiting { until: self.now + pause };
    }

    /// Whether a token may be presented now, or how long that has to wait. The user's own login is not held back.
    pub(super) fn may_present_token(&mut self) -> Result<(), Duration> {
        match self.account.login {
            Some(_) => Ok(()),
            None => self.lasting.limiter.may_present_token(self.now),
        }
    }

    /// Opens a link to a server that the gateway named.
    pub(super) fn open_server(&mut self, address: Address, route: Route) {
        let gateway = self.lasting.gateways.current();
        self.open(Target::Server { gateway, address }, Some(route));
    }

    /// Opens a link; where it cannot be had in time, to the next server of `route`.
    fn open(&mut self, target: Target, route: Option<Route>) {
        let time = self.share(self.lasting.gateways.untried() + route.as_ref().map_or(0, Route::untried));
        self.account.link = LinkState::Dialing { until: self.now + time, asked: false, route };
        self.push(Output::Dial(target));
    }

    pub(super) fn opened(&mut self) {
        let LinkState::Dialing { asked: true, route, .. } = &mut self.account.link else { return };
        let gateway_session = route.take().map(|route| route.session);
        let give_up = self.now + self.answer_share();
        let account = &mut *self.account;
        account.offer_token();
        let answered = self.lasting.answered(&account.pending);
        let stream = &mut self.lasting.stream;
        let config = &self.lasting.config;
        let resume = account.ticket.filter(|_| config.abilities.resume).map(|ticket| Resume {
            ticket,
            received: stream.received(),
            consumed: stream.consumed(),
            answered,
        });
        stream.told(answered);
        account.link =
            LinkState::LoggingIn { give_up, resumes: resume.is_some(), gateway_session: gateway_session.clone() };
        let Credentials { app_id, user_id, token } = account.credentials.clone();
        let login = Login {
            app_id,
            user_id: Some(user_id),
            token,
            instance: account.instance.clone(),
            resume,
            keep_alive: config.keep_alive,
            window: config.window,
            abilities: config.abilities,
            gateway_session,
        };
        self.lasting.send(ClientFrame::Login(Box::new(login)));
    }

    pub(super) fn dial_failed(&mut self, error: TransportError) -> ControlFlow<End> {
        if !matches!(self.account.link, LinkState::Dialing { asked: true, .. }) || self.open_next() {
            return ControlFlow::Continue(());
        }
        self.account.link = LinkState::Lost;
        let retry = error.retry;
        self.attempt_failed(ErrorKind::GatewayConnectFailed, error.into(), retry)
    }

    /// The server has not opened the link in time.
    pub(super) fn open_timeout(&mut self) -> ControlFlow<End> {
        if self.open_next() {
            return ControlFlow::Continue(());
        }
        self.drop_link(Some(CloseReason::LoginTimeout));
        self.attempt_failed(ErrorKind::GatewayConnectFailed, NOT_OPENED.into(), true)
    }

    /// Tries the next server that the gateway named, if there is one.
    fn open_next(&mut self) -> bool {
        let LinkState::Dialing { route, .. } = &mut self.account.link else { return false };
        let route = route.take();
        let Some(mut route) = route else { return false };
        let Some(server) = route.next() else { return false };
        self.open_server(server, route);
        true
    }

    /// The gateway, or the server that it named, did not let the user in. The link is gone already. Where the next gateway
    /// may, that is tried at once.
    pub(super) fn attempt_failed(&mut self, kind: ErrorKind, failure: Failure, retry: bool) -> ControlFlow<End> {
        let is_of_gateway = matches!(
            kind,
            ErrorKind::GatewayConnectFailed | ErrorKind::Failure | ErrorKind::Timeout | ErrorKind::TooOften
        );
        if !is_of_gateway {
            return self.login_failed(kind, failure, retry);
        }
        // That says how long to wait, which callers read.
        let refusal = (kind == ErrorKind::TooOften).then(|| failure.clone());
        let named = kind == ErrorKind::GatewayConnectFailed || self.lasting.gateways.are_several();
        let failure = if named { self.at_gateway(failure) } else { failure };
        let (failures, retry) = self.lasting.gateways.failed(failure, retry);
        if !self.lasting.gateways.try_next() {
            return self.login_failed(kind, refusal.unwrap_or(failures), retry);
        }
        if let Some(login) = &mut self.account.login {
            login.last_error = Some(login_error(kind, failures));
        }
        self.try_gateway();
        ControlFlow::Continue(())
    }

    /// What went wrong, with the name of the gateway in use.
    pub(super) fn at_gateway(&self, failure: Failure) -> Failure {
        failure.at(&self.lasting.config.gateways[self.lasting.gateways.current()].name)
    }

    /// The time of the user's login is over, with whatever was under way.
    pub(super) fn login_timeout(&mut self) -> ControlFlow<End> {
        let under_way = match self.account.link {
            LinkState::Asking { .. } => Some(NOT_NAMED),
            LinkState::Dialing { .. } => Some(NOT_OPENED),
            LinkState::LoggingIn { .. } => Some(NOT_ANSWERED),
            LinkState::Lost | LinkState::Online(_) | LinkState::Waiting { .. } | LinkState::NeedsToken { .. } => None,
        };
        self.give_up_attempt();
        let mut last_error = self.account.login.as_mut().and_then(|login| login.last_error.take());
        if let Some(what) = under_way.filter(|_| !self.lasting.gateways.has_failed()) {
            let (failures, _) = self.lasting.gateways.failed(self.at_gateway(what.into()), true);
            last_error = Some(login_error(ErrorKind::GatewayConnectFailed, failures));
        }
        let failure = match last_error {
            Some(error) => error.into_cause("the last attempt failed"),
            None if self.account.token.is_asked() => "the token provider has not answered".into(),
            None => Failure::default(),
        };
        let error = login_error(ErrorKind::Timeout, failure);
        ControlFlow::Break(End { error, is_aborted: false, reason: Reason::LoginTimeout })
    }

    /// No gateway let the user in. The link is gone already.
    pub(super) fn login_failed(&mut self, kind: ErrorKind, failure: Failure, retry: bool) -> ControlFlow<End> {
        let error = login_error(kind, failure);
        let is_ban = matches!(kind, ErrorKind::Banned | ErrorKind::InvalidAppId);
        if matches!(kind, ErrorKind::InvalidToken | ErrorKind::TokenExpired | ErrorKind::NotAuthorized) {
            self.lasting.limiter.token_refused(self.now);
        }
        match &mut self.account.login {
            Some(login) if retry => login.last_error = Some(error),
            Some(_) => {
                let reason = if is_ban { Reason::BannedByServer } else { Reason::LoginFailure };
                return ControlFlow::Break(End { error, is_aborted: false, reason });
            }
            None if is_ban => return self.abort(Reason::BannedByServer),
            None if matches!(kind, ErrorKind::TokenExpired | ErrorKind::InvalidToken) => self.token_refused(kind),
            None => {}
        }
        self.retry();
        ControlFlow::Continue(())
    }

    /// A login is refused.
    pub(super) fn refused(&mut self, refusal: Refusal) -> ControlFlow<End> {
        self.drop_link(Some(CloseReason::Logout));
        let retry = self.account.login.is_none();
        self.attempt_failed(refusal.kind, refusal.detail.into(), retry)
    }
}

/// Why a login failed.
pub(super) fn login_error(kind: ErrorKind, Failure { detail, source }: Failure) -> RtmError {
    let error = RtmError::new(kind, Family::Login).with_detail(detail);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

/// What a server or a gateway did not do in time.
pub(super) const NOT_ANSWERED: &str = "the server did not answer";
pub(super) const NOT_NAMED: &str = "the gateway did not answer in time";
const NOT_OPENED: &str = "the server did not open the connection in time";
