//! Tokens that end or are refused: asking for new ones, presenting them, and telling the user.

use std::{error::Error, ops::ControlFlow, sync::Arc, time::Duration};

use rtm_codec::{Answer, Command, ErrorKind, Refusal, RenewToken, RequestId, Text, Token};

use super::{
    account::{Active, End},
    login::login_error,
};
use crate::{
    ConnectionChangeReason as Reason, ConnectionState, Output, RtmEvent, failure::Failure, link::LinkState,
    pending::Request, token::Supply,
};

impl Active<'_> {
    /// The first step of a login: a token, if the user has none but a way to get one, else the link.
    pub(super) fn begin(&mut self) {
        if self.account.credentials.token.is_none() && self.lasting.config.token_provider {
            self.account.link = LinkState::NeedsToken { until: None };
            self.fetch_token();
        } else {
            self.dial();
        }
    }

    /// Asks the provider, if there is one and it is not to be left alone.
    pub(super) fn fetch_token(&mut self) {
        if self.lasting.config.token_provider && self.account.token.supply == Supply::Idle {
            self.ask_provider();
        }
    }

    fn ask_provider(&mut self) {
        self.account.token.supply = Supply::Asked { until: self.now + self.lasting.config.provider_timeout };
        self.push(Output::FetchToken);
    }

    /// The provider answered.
    pub(super) fn token_fetched(&mut self, result: Result<Token, Arc<dyn Error + Send + Sync>>) -> ControlFlow<End> {
        let result = match result {
            Ok(token) if token.expose().is_empty() => Err(Failure::from("the token is empty")),
            Ok(token) => Ok(token),
            Err(error) => Err(Failure { detail: Text::default(), source: Some(error) }),
        };
        match (result, self.account.token.supply) {
            (Ok(token), Supply::Asked { .. } | Supply::Waiting { .. }) => self.take_token(token),
            (Err(failure), Supply::Asked { .. }) => return self.provider_failed(failure),
            // Of a call that nobody waits for.
            (Ok(_), Supply::Idle) | (Err(_), Supply::Idle | Supply::Waiting { .. }) => {}
        }
        ControlFlow::Continue(())
    }

    /// The provider has not answered in time, or the pause after a failure is over.
    pub(super) fn provider_timeout(&mut self) -> ControlFlow<End> {
        match self.account.token.supply {
            Supply::Asked { .. } => return self.provider_failed("it did not answer in time".into()),
            Supply::Waiting { .. } => self.ask_provider(),
            Supply::Idle => {}
        }
        ControlFlow::Continue(())
    }

    fn take_token(&mut self, token: Token) {
        self.account.token.supply = Supply::Idle;
        if self.account.login.is_some() {
            self.account.set_token(token);
            return self.dial();
        }
        let id = self.lasting.take_request_id();
        let command = Arc::new(Command::from(RenewToken { token }));
        // Nobody waits for an older one. One that was sent may tell which token the server took.
        let Self { account, .. } = self;
        account.token.provided.retain(|older| account.pending.remove_unsent(*older).is_none());
        account.token.provided.insert(id);
        self.make(id, command);
    }

    fn provider_failed(&mut self, failure: Failure) -> ControlFlow<End> {
        if self.account.login.is_some() {
            let error = login_error(ErrorKind::ProviderFailed, failure);
            return ControlFlow::Break(End { error, is_aborted: false, reason: Reason::LoginFailure });
        }
        let pause = self.account.token.provider_failed(&mut self.lasting.rng);
        self.ask_provider_in(pause);
        self.token_needed(ErrorKind::ProviderFailed, Some(pause));
        ControlFlow::Continue(())
    }

    fn ask_provider_in(&mut self, pause: Duration) {
        self.account.token.supply = Supply::Waiting { until: self.now + pause };
    }

    /// The provider is not left alone any longer.
    pub(super) fn retry_provider(&mut self) {
        if matches!(self.account.token.supply, Supply::Waiting { .. }) {
            self.ask_provider();
        }
    }

    /// A new token is there: it is presented at once, unless too many were refused lately.
    pub(super) fn try_token(&mut self) {
        if !matches!(self.account.link, LinkState::Waiting { .. } | LinkState::NeedsToken { .. }) {
            return;
        }
        match self.may_present_token() {
            Ok(()) => self.dial(),
            Err(wait) => self.account.link = LinkState::Waiting { until: self.now + wait },
        }
    }

    /// A reconnect is refused for its token: an older one may still be good, else a new one is needed.
    pub(super) fn token_refused(&mut self, kind: ErrorKind) {
        let token = &mut self.account.token;
        token.not_taken(self.account.offered_token.as_ref());
        let newer = token.renewing > self.account.offered_renewal;
        let older = token.taken.clone();
        let given_up = token.fault.is_some() && token.again_at.is_none();
        for id in self.account.pending.renewals(self.account.offered_renewal) {
            if let Some(request) = self.account.pending.remove(id) {
                self.finish(id, request, Err(kind.into()));
            }
        }
        if newer {
            // A renewal came after the login was sent: the next attempt has it.
        } else if let Some(older) = older {
            self.account.set_token(older);
            // The provider's token was of no use, and the older one may end soon.
            if self.lasting.config.token_provider && self.account.token.supply == Supply::Idle {
                let pause = self.account.token.provider_failed(&mut self.lasting.rng);
                self.ask_provider_in(pause);
            }
        } else if !given_up {
            if kind == ErrorKind::TokenExpired && self.account.token.expire() {
                self.emit(RtmEvent::TokenDidExpire);
            }
            self.token_failed(kind);
        }
    }

    /// The token ended while there is no link: without a new one there will be none.
    pub(super) fn token_expired(&mut self) {
        if self.account.token.expire() {
            self.emit(RtmEvent::TokenDidExpire);
            self.account.token.taken = None;
            self.token_failed(ErrorKind::TokenExpired);
        }
        if matches!(self.account.link, LinkState::Waiting { .. }) {
            self.account.link = LinkState::NeedsToken { until: self.account.token.again_at };
        }
    }

    /// The server does not take the token in use.
    fn token_failed(&mut self, kind: ErrorKind) {
        let is_first = self.account.token.refused();
        let pause = self.account.token.after_refusal(&mut self.lasting.rng);
        self.account.token.again_at = None;
        let retry_after = match (self.lasting.config.token_provider, self.account.token.supply) {
            (true, Supply::Idle) if is_first => {
                self.ask_provider();
                Some(Duration::ZERO)
            }
            (true, Supply::Idle) => {
                self.ask_provider_in(pause);
                Some(pause)
            }
            (true, Supply::Asked { .. }) => Some(Duration::ZERO),
            (true, Supply::Waiting { until }) => Some(until.saturating_duration_since(self.now)),
            // What has ended stays so; what is not valid may be again when the server's certificates are put right.
            (false, _) => (kind == ErrorKind::InvalidToken).then_some(pause),
        };
        if !self.lasting.config.token_provider {
            self.account.token.again_at = retry_after.map(|pause| self.now + pause);
        }
        self.token_needed(kind, retry_after);
    }

    /// Tells the user. Without a link, calls that wait for one end, unless a token is on its way.
    fn token_needed(&mut self, error: ErrorKind, retry_after: Option<Duration>) {
        self.emit(RtmEvent::TokenNeeded { error, retry_after });
        if self.account.is_online() {
            return;
        }
        if error != ErrorKind::ProviderFailed || self.account.token.fault.is_some() {
            self.account.token.fault = Some(error);
        }
        if self.account.token.fault.is_none() || self.account.token.is_asked() {
            return;
        }
        for id in self.account.pending.ids() {
            let waits = |request: &Request| !request.is_sent() && request.errand.is_none();
            if self.account.pending.get_mut(id).is_some_and(|request| waits(request))
                && let Some(request) = self.account.pending.remove(id)
            {
                self.finish(id, request, Err(error.into()));
            }
        }
    }

    /// Whether a call may wait for a link: not while there is no token to make one with, nor one on its way.
    pub(super) fn check_token(&self, command: &Command) -> Result<(), Refusal> {
        let token = &self.account.token;
        match (&self.account.link, token.fault) {
            (LinkState::NeedsToken { .. }, Some(fault)) if !token.is_asked() && !is_renewal(command) => {
                Err(fault.into())
            }
            _ => Ok(()),
        }
    }

    /// Why a request ends that has no answer in time.
    pub(super) fn unanswered(&self, request: &Request) -> Refusal {
        if request.is_sent() {
            return ErrorKind::Timeout.into();
        }
        if is_renewal(&request.command) && self.account.state() == ConnectionState::Reconnecting {
            return Refusal::new(ErrorKind::Timeout, "the token is presented with the next attempt to connect");
        }
        self.account.token.fault.unwrap_or(ErrorKind::Timeout).into()
    }

    /// A renewal with this token ended. Where the wire has no answer to it, the next login shows whether the token is good.
    pub(super) fn renewal_ended(&mut self, id: RequestId, token: &Token, result: &Result<Answer, Refusal>) {
        if result.is_ok() && self.lasting.config.confirms_renewals {
            self.account.token.taken = Some(token.clone());
        }
        if self.account.token.renewing != Some(id) {
            return;
        }
        self.account.token.renewing = None;
        let Err(refusal) = result else { return self.account.token.renewed() };
        // Nobody said that the token is not good, if there was no answer.
        if refusal.kind != ErrorKind::Timeout
            && let Some(older) = self.account.token.taken.clone()
        {
            self.account.set_token(older);
        }
        if !self.account.token.provided.contains(&id) || !self.account.is_online() {
            return;
        }
        match refusal.kind {
            ErrorKind::InvalidToken | ErrorKind::TokenExpired => self.token_failed(refusal.kind),
            // The session ends.
            ErrorKind::AbortedByLogout | ErrorKind::NotLoggedIn => {}
            _ => {
                let pause = self.account.token.provider_failed(&mut self.lasting.rng);
                self.ask_provider_in(pause);
            }
        }
    }
}

impl Active<'_> {
    /// Whether the user is to be told, now, that the token ends soon which the server has.
    pub(super) fn warn_of_token(&mut self) -> bool {
        let in_use = self.account.credentials.token.clone();
        let taken = self.account.token.taken.clone().filter(|_| self.lasting.config.confirms_renewals);
        self.account.token.warn(taken.or(in_use))
    }
}

fn is_renewal(command: &Command) -> bool {
    matches!(command, Command::RenewToken(_))
}
