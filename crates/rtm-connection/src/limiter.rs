//! The call limits, checked before anything is sent, so that a call made too often costs no round trip (spec §13).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtm_codec::{CallLimiter, CallLimits, ChannelId, Command, ErrorKind, LimitedCall, Refusal};

/// The budgets of one client.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: CallLimits,
    budgets: [CallLimiter; LimitedCall::ALL.len()],
    channels: BTreeMap<ChannelId, CallLimiter>,
    origin: Option<Instant>,
}

impl Limiter {
    pub(crate) fn new(limits: CallLimits) -> Self {
        Self { limits, budgets: Default::default(), channels: BTreeMap::new(), origin: None }
    }

    /// From now on these figures hold; what was counted stays counted.
    pub(crate) fn set_limits(&mut self, limits: CallLimits) {
        self.limits = limits;
    }

    /// Counts a login.
    pub(crate) fn try_login(&mut self, now: Instant) -> Result<(), Refusal> {
        self.try_budget(now, LimitedCall::Login)
    }

    /// Counts a call, if it may be made now.
    pub(crate) fn try_call(&mut self, now: Instant, command: &Command) -> Result<(), Refusal> {
        match (command, LimitedCall::of(command)) {
            (Command::JoinChannel(join), _) => self.try_join(now, &join.channel_id),
            (_, Some(call)) => self.try_budget(now, call),
            (_, None) => Ok(()),
        }
    }

    /// A join draws on two budgets; a refused one draws on neither.
    fn try_join(&mut self, now: Instant, channel: &ChannelId) -> Result<(), Refusal> {
        let since = self.since_origin(now);
        let limit = self.limits.get(LimitedCall::JoinSameChannel);
        self.channels.retain(|_, joins| !joins.is_idle(limit, since));
        let mut joins = self.channels.get(channel).cloned().unwrap_or_default();
        joins.try_call(limit, since).map_err(|wait| too_often(ErrorKind::SameChannelTooOften, wait))?;
        self.try_budget(now, LimitedCall::JoinChannel)?;
        self.channels.insert(channel.clone(), joins);
        Ok(())
    }

    fn try_budget(&mut self, now: Instant, call: LimitedCall) -> Result<(), Refusal> {
        let since = self.since_origin(now);
        self.budgets[call as usize]
            .try_call(self.limits.get(call), since)
            .map_err(|wait| too_often(ErrorKind::TooOften, wait))
    }

    fn since_origin(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.origin.get_or_insert(now))
    }
}

fn too_often(kind: ErrorKind, wait: Duration) -> Refusal {
    Refusal::new(kind, &format!("the next one is allowed in {} ms", wait.as_millis().max(1)))
}
