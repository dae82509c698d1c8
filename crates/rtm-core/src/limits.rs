//! How often a session makes its calls.

use std::time::Duration;

use rtm_codec::{CallLimit, CallLimiter, CallLimits, ChannelId, Command, ErrorKind, LimitedCall, Refusal};

/// The calls of one session within their windows. Only calls that were made lately take memory.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    by_call: Vec<(LimitedCall, CallLimiter)>,
    /// Joins of one and the same channel.
    by_channel: Vec<(ChannelId, CallLimiter)>,
    /// Invitations have no limit of their own in the vendor's table: they get that of messages.
    invitations: CallLimiter,
}

impl Budgets {
    /// Counts a command at `now`, the time since any fixed point.
    pub(super) fn check(&mut self, limits: &CallLimits, command: &Command, now: Duration) -> Result<(), Refusal> {
        let Some(call) = LimitedCall::of(command) else {
            return match command {
                Command::SendInvitation(_) => counted(&mut self.invitations, limits.get(LimitedCall::SendMessage), now),
                _ => Ok(()),
            };
        };
        let at = self.by_call.iter().position(|(limited, _)| *limited == call).unwrap_or_else(|| {
            self.by_call.push((call, CallLimiter::default()));
            self.by_call.len() - 1
        });
        counted(&mut self.by_call[at].1, limits.get(call), now)
    }

    /// Counts a join of a channel that the session is not in.
    pub(super) fn check_same_channel(
        &mut self,
        limits: &CallLimits,
        channel: &ChannelId,
        now: Duration,
    ) -> Result<(), Refusal> {
        let limit = limits.get(LimitedCall::JoinSameChannel);
        if limit.calls == 0 {
            return Ok(());
        }
        self.by_channel.retain(|(_, limiter)| !limiter.is_idle(limit, now));
        let at = self.by_channel.iter().position(|(joined, _)| joined == channel).unwrap_or_else(|| {
            self.by_channel.push((channel.clone(), CallLimiter::default()));
            self.by_channel.len() - 1
        });
        self.by_channel[at]
            .1
            .try_call(limit, now)
            .map_err(|wait| Refusal::new(ErrorKind::SameChannelTooOften, &wait_text(wait)))
    }

    /// Forgets what is over, to take less memory while the session is idle.
    pub(super) fn tidy(&mut self, limits: &CallLimits, now: Duration) {
        let limit = limits.get(LimitedCall::JoinSameChannel);
        self.by_channel.retain(|(_, limiter)| !limiter.is_idle(limit, now));
        self.by_call.retain(|(call, limiter)| !limiter.is_idle(limits.get(*call), now));
        if self.by_channel.is_empty() {
            self.by_channel = Vec::new();
        }
        if self.by_call.is_empty() {
            self.by_call = Vec::new();
        }
        if self.invitations.is_idle(limits.get(LimitedCall::SendMessage), now) {
            self.invitations = CallLimiter::default();
        }
    }
}

/// Counts a call, or says how long to wait.
pub(super) fn counted(limiter: &mut CallLimiter, limit: CallLimit, now: Duration) -> Result<(), Refusal> {
    limiter.try_call(limit, now).map_err(|wait| Refusal::new(ErrorKind::TooOften, &wait_text(wait)))
}

fn wait_text(wait: Duration) -> String {
    format!("the next one is allowed in {} ms", wait.as_millis().max(1))
}
