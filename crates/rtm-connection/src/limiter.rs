//! The call limits, checked before anything is sent, so that a call made too often costs no round trip.

use std::time::{Duration, Instant};

use rtm_codec::{Budgets, CallLimit, CallLimiter, CallLimits, Command, LimitedCall, Refusal};

use crate::Config;

/// The budgets of one client, and its clock.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: CallLimits,
    has_reserve: bool,
    budgets: Budgets,
    /// Tokens that the server refused.
    refused_tokens: CallLimiter,
    origin: Option<Instant>,
}

impl Limiter {
    pub(crate) fn new(config: &Config) -> Self {
        let mut limiter = Self {
            limits: CallLimits::unlimited(),
            has_reserve: config.limit_reserve,
            budgets: Budgets::default(),
            refused_tokens: CallLimiter::default(),
            origin: None,
        };
        limiter.set_limits(config.limits.clone());
        limiter
    }

    /// From now on these figures hold; what was counted stays counted.
    pub(crate) fn set_limits(&mut self, mut limits: CallLimits) {
        if self.has_reserve {
            for call in LimitedCall::ALL {
                let limit = limits.get(call);
                let reserve = Duration::from_millis(limit.per().as_millis().div_ceil(8) as u64);
                limits.set(call, CallLimit::new(limit.calls(), limit.per() + reserve));
            }
        }
        self.limits = limits;
    }

    /// Counts a login.
    pub(crate) fn try_login(&mut self, now: Instant) -> Result<(), Refusal> {
        let now = self.since_origin(now);
        self.budgets.try_call(&self.limits, LimitedCall::Login, now)
    }

    /// Counts a call, if it may be made now.
    pub(crate) fn try_call(&mut self, now: Instant, command: &Command) -> Result<(), Refusal> {
        let now = self.since_origin(now);
        match command {
            Command::JoinChannel(join) => self.budgets.try_join(&self.limits, &join.channel_id, now),
            command => self.budgets.try_command(&self.limits, command, now),
        }
    }

    /// Counts a token that the server refused.
    pub(crate) fn token_refused(&mut self, now: Instant) {
        let now = self.since_origin(now);
        // At the limit there is nothing more to count.
        let _ = self.refused_tokens.try_call(REFUSED_TOKENS, now);
    }

    /// Whether a token may be presented now, or how long that has to wait: a server counts refusals against the
    /// address that all clients here share.
    pub(crate) fn may_present_token(&mut self, now: Instant) -> Result<(), Duration> {
        let now = self.since_origin(now);
        self.refused_tokens.clone().try_call(REFUSED_TOKENS, now)
    }

    fn since_origin(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.origin.get_or_insert(now))
    }
}

/// How many refused tokens a client lets the server see: a server locks an address out after 120 within a minute.
const REFUSED_TOKENS: CallLimit = CallLimit::new(4, Duration::from_secs(60));
