//! Logging in again after the server ended the session, where the application wants that.

use std::{
    hash::{BuildHasher as _, RandomState},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use rtm_codec::{ErrorKind, Token, UserId};
use rtm_connection::{ConnectionChangeReason as Reason, ConnectionState, RtmError};
use tokio::sync::oneshot;

use crate::timer::WakeUp;

/// What is to be done about sessions that the server ends.
#[derive(Debug)]
pub(super) struct Relogin {
    /// The longest pause before the first attempt, and before any. `None`: nothing is to be done.
    backoff: Option<(Duration, Duration)>,
    has_provider: bool,
    /// Who logged in last, and the last token that the server took, or else the one of that login.
    user: Option<(UserId, Option<Token>)>,
    /// How many sessions and attempts in a row did not last.
    failed: u32,
    connected_since: Option<Instant>,
    wake_up: WakeUp,
    attempt: Option<oneshot::Receiver<Result<(), RtmError>>>,
}

impl Relogin {
    pub(super) fn new(backoff: Option<(Duration, Duration)>, has_provider: bool) -> Self {
        Self {
            backoff,
            has_provider,
            user: None,
            failed: 0,
            connected_since: None,
            wake_up: WakeUp::default(),
            attempt: None,
        }
    }

    /// The application logged in: what it did before is over.
    pub(super) fn logged_in(&mut self, user_id: UserId, token: Option<Token>) {
        if self.backoff.is_some() {
            self.stop();
            self.failed = 0;
            self.user = Some((user_id, token));
        }
    }

    /// The server took this token.
    pub(super) fn token_taken(&mut self, taken: Token) {
        if let Some((_, token)) = &mut self.user {
            *token = Some(taken);
        }
    }

    /// The application wants no session any more.
    pub(super) fn stop(&mut self) {
        self.user = None;
        self.attempt = None;
        self.wake_up.set(None);
    }

    pub(super) fn state_changed(&mut self, now: Instant, state: ConnectionState, reason: Reason) {
        let Some((_, longest)) = self.backoff else { return };
        match state {
            ConnectionState::Connected => {
                self.connected_since.get_or_insert(now);
            }
            ConnectionState::Aborted | ConnectionState::Disconnected => {
                if self.connected_since.take().is_some_and(|since| now - since >= longest) {
                    self.failed = 0;
                }
                let helps = match reason {
                    // Without a provider there is no other token.
                    Reason::TokenExpired => self.has_provider,
                    Reason::BannedByServer => true,
                    // The user is elsewhere now: both would end each other's sessions for ever.
                    _ => false,
                };
                if state == ConnectionState::Aborted && helps {
                    self.try_in(now, Duration::ZERO);
                }
            }
            _ => {}
        }
    }

    /// The login that was due is under way.
    pub(super) fn began(&mut self, attempt: oneshot::Receiver<Result<(), RtmError>>) {
        self.attempt = Some(attempt);
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, now: Instant, error: &RtmError) {
        let helps = match error.kind() {
            ErrorKind::Timeout
            | ErrorKind::GatewayConnectFailed
            | ErrorKind::TooOften
            | ErrorKind::ProviderFailed
            | ErrorKind::Banned => true,
            ErrorKind::InvalidToken | ErrorKind::TokenExpired => self.has_provider,
            _ => false,
        };
        if helps {
            self.try_in(now, error.retry_after().unwrap_or_default());
        }
    }

    /// Who is to be logged in now.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Poll<(UserId, Option<Token>)> {
        if self.backoff.is_none() {
            return Poll::Pending;
        }
        if let Some(attempt) = &mut self.attempt
            && let Poll::Ready(result) = attempt.poll_unpin(cx)
        {
            self.attempt = None;
            if let Ok(Err(error)) = result {
                self.failed(now(), &error);
            }
        }
        if !self.wake_up.poll(cx) {
            return Poll::Pending;
        }
        match &self.user {
            // The provider is asked for a new one.
            Some((user_id, _)) if self.has_provider => Poll::Ready((user_id.clone(), None)),
            Some(user) => Poll::Ready(user.clone()),
            None => Poll::Pending,
        }
    }

    fn try_in(&mut self, now: Instant, at_least: Duration) {
        let (Some((first, longest)), Some(_)) = (self.backoff, &self.user) else { return };
        let pause = first.saturating_mul(1 << self.failed.min(20)).min(longest);
        self.failed = self.failed.saturating_add(1);
        // From half of it on, so that clients which lost their sessions together do not come back together.
        let random = RandomState::new().hash_one("pause") as u32;
        let pause = pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.wake_up.set(Some(now + pause.max(at_least)));
    }
}
