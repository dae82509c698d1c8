//! Counts calls within their limits, for the client that makes them and the server that takes them.

use std::{collections::VecDeque, time::Duration};

use crate::{CallLimit, CallLimits, ChannelId, Command, ErrorKind, LimitedCall, Refusal};

/// The calls of one client within their [limits](CallLimits). Only calls that were made lately take memory.
///
/// Time is passed in, as the span since any fixed point. A refusal says how long to wait, and counts nothing.
#[derive(Debug, Default)]
pub struct Budgets {
    by_call: Vec<(LimitedCall, CallLimiter)>,
    /// Joins of one and the same channel.
    by_channel: Vec<(ChannelId, CallLimiter)>,
}

impl Budgets {
    /// Counts a command on its [budget](Command::budget). For a join that is the budget of all joins.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooOften`]
    pub fn try_command(&mut self, limits: &CallLimits, command: &Command, now: Duration) -> Result<(), Refusal> {
        command.budget().map_or(Ok(()), |call| self.try_call(limits, call, now))
    }

    /// Counts a call on a budget.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooOften`]
    pub fn try_call(&mut self, limits: &CallLimits, call: LimitedCall, now: Duration) -> Result<(), Refusal> {
        let limit = limits.get(call);
        if limit.calls == 0 {
            return Ok(());
        }
        entry(&mut self.by_call, call).try_call(limit, now).map_err(Refusal::too_often)
    }

    /// Counts a join on both of its budgets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SameChannelTooOften`], [`ErrorKind::TooOften`]
    pub fn try_join(&mut self, limits: &CallLimits, channel: &ChannelId, now: Duration) -> Result<(), Refusal> {
        self.try_same_channel(limits, channel, now)?;
        self.try_call(limits, LimitedCall::JoinChannel, now).inspect_err(|_| {
            if let Some((_, joins)) = self.by_channel.iter_mut().find(|(known, _)| known == channel) {
                joins.take_back();
            }
        })
    }

    /// Counts a join on the budget of this one channel.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SameChannelTooOften`]
    pub fn try_same_channel(&mut self, limits: &CallLimits, channel: &ChannelId, now: Duration) -> Result<(), Refusal> {
        let limit = limits.get(LimitedCall::JoinSameChannel);
        if limit.calls == 0 {
            return Ok(());
        }
        self.by_channel.retain(|(_, joins)| !joins.is_idle(limit, now));
        entry(&mut self.by_channel, channel.clone())
            .try_call(limit, now)
            .map_err(|wait| Refusal { kind: ErrorKind::SameChannelTooOften, ..Refusal::too_often(wait) })
    }

    /// Every call that is counted, those of each budget oldest first: the budget, the channel where it is that of one
    /// channel, and when.
    pub fn counted(&self) -> impl Iterator<Item = (LimitedCall, Option<&ChannelId>, Duration)> {
        let by_call = self.by_call.iter().flat_map(|(call, limiter)| limiter.0.iter().map(|at| (*call, None, *at)));
        let by_channel = self.by_channel.iter().flat_map(|(channel, joins)| {
            joins.0.iter().map(move |at| (LimitedCall::JoinSameChannel, Some(channel), *at))
        });
        by_call.chain(by_channel)
    }

    /// Counts a call as it was [counted](Self::counted) before, by others.
    pub fn recount(&mut self, call: LimitedCall, channel: Option<ChannelId>, at: Duration) {
        let limiter = match channel {
            None => entry(&mut self.by_call, call),
            Some(channel) => entry(&mut self.by_channel, channel),
        };
        limiter.0.push_back(at);
    }

    /// Gives back the memory of calls that no longer count.
    pub fn tidy(&mut self, limits: &CallLimits, now: Duration) {
        let limit = limits.get(LimitedCall::JoinSameChannel);
        self.by_channel.retain(|(_, joins)| !joins.is_idle(limit, now));
        self.by_call.retain(|(call, limiter)| !limiter.is_idle(limits.get(*call), now));
        if self.by_channel.is_empty() {
            self.by_channel = Vec::new();
        }
        if self.by_call.is_empty() {
            self.by_call = Vec::new();
        }
    }
}

/// What counts for one of the budgets.
fn entry<K: PartialEq>(budgets: &mut Vec<(K, CallLimiter)>, key: K) -> &mut CallLimiter {
    let known = budgets.iter().position(|(known, _)| *known == key);
    let at = known.unwrap_or_else(|| {
        budgets.push((key, CallLimiter::default()));
        budgets.len() - 1
    });
    &mut budgets[at].1
}

/// A sliding window over the calls of one budget: exact, at most `calls` entries long.
///
/// Time is passed in, as the span since any fixed point.
#[derive(Debug, Clone, Default)]
pub struct CallLimiter(VecDeque<Duration>);

impl CallLimiter {
    /// Counts a call at `now`, if it is within `limit`.
    ///
    /// # Errors
    ///
    /// How long until the next call is allowed; the refused call is not counted.
    pub fn try_call(&mut self, limit: CallLimit, now: Duration) -> Result<(), Duration> {
        if limit.calls == 0 {
            return Ok(());
        }
        let window = Duration::from_millis(limit.per_ms.into());
        while self.0.front().is_some_and(|&at| at + window <= now) {
            self.0.pop_front();
        }
        match self.0.front() {
            Some(&oldest) if self.0.len() >= limit.calls as usize => Err((oldest + window).saturating_sub(now)),
            _ => {
                self.0.push_back(now);
                Ok(())
            }
        }
    }

    /// Takes the latest counted call back.
    fn take_back(&mut self) {
        self.0.pop_back();
    }

    /// Whether no call is counted at `now`, so that the limiter may be forgotten.
    #[must_use]
    pub fn is_idle(&self, limit: CallLimit, now: Duration) -> bool {
        let window = Duration::from_millis(limit.per_ms.into());
        self.0.back().is_none_or(|&at| at + window <= now)
    }
}

impl Refusal {
    /// [`ErrorKind::TooOften`], where the next call is allowed after `wait`.
    #[must_use]
    pub fn too_often(wait: Duration) -> Self {
        Self::new(ErrorKind::TooOften, &format!("{NEXT}{}{MILLIS}", wait.as_millis().max(1)))
    }

    /// The same, with what there is too much of in front.
    #[must_use]
    pub fn too_much_of(what: &str, wait: Duration) -> Self {
        Self::new(ErrorKind::TooOften, &format!("{what}: {}", Self::too_often(wait).detail))
    }

    /// How long to wait before the next call, where the refusal says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if !matches!(self.kind, ErrorKind::TooOften | ErrorKind::SameChannelTooOften) {
            return None;
        }
        let (_, wait) = self.detail.strip_suffix(MILLIS)?.rsplit_once(NEXT)?;
        wait.parse().ok().map(Duration::from_millis)
    }
}

/// The sentence of a refusal that says how long to wait. It is the only place where a wire carries that.
const NEXT: &str = "retry in ";
const MILLIS: &str = " ms";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JoinChannel;

    fn room(n: u32) -> ChannelId {
        ChannelId::new(format!("room-{n}")).expect("the id is good")
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_last_allowed_call_passes_and_the_next_waits_for_the_oldest_to_leave() {
        let limit = CallLimits::default().get(LimitedCall::SendMessage);
        let mut limiter = CallLimiter::default();
        for i in 0..180 {
            assert_eq!(limiter.try_call(limit, millis(i)), Ok(()));
        }
        assert_eq!(limiter.try_call(limit, millis(180)), Err(millis(2820)));
        assert_eq!(limiter.try_call(limit, millis(2999)), Err(millis(1)));
        assert_eq!(limiter.try_call(limit, millis(3000)), Ok(()));
        assert!(limiter.try_call(limit, millis(3000)).is_err());
    }

    #[test]
    fn a_refused_join_draws_on_no_budget() {
        let mut limits = CallLimits::default();
        limits.set(LimitedCall::JoinChannel, CallLimit { calls: 3, per_ms: 1000 });
        limits.set(LimitedCall::JoinSameChannel, CallLimit { calls: 2, per_ms: 5000 });
        let mut budgets = Budgets::default();
        for (channel, expected) in [
            (1, None),
            (1, None),
            (1, Some(ErrorKind::SameChannelTooOften)),
            (2, None),
            (2, Some(ErrorKind::TooOften)),
            (2, Some(ErrorKind::TooOften)),
        ] {
            let refusal = budgets.try_join(&limits, &room(channel), millis(0)).err();
            assert_eq!(refusal.map(|refusal| refusal.kind), expected);
        }
        assert_eq!(budgets.try_join(&limits, &room(2), millis(1000)), Ok(()), "the second of channel 2");
        let refusal = budgets.try_join(&limits, &room(2), millis(1000)).unwrap_err();
        assert_eq!(&*refusal.detail, "retry in 4000 ms");
        assert_eq!(refusal.retry_after(), Some(millis(4000)));
        assert_eq!(Refusal::new(ErrorKind::TooOften, "4096 requests are under way").retry_after(), None);
        assert_eq!(Refusal { kind: ErrorKind::Failure, ..refusal }.retry_after(), None);
    }

    #[test]
    fn memory_is_given_back_when_calls_no_longer_count() {
        let limits = CallLimits::default();
        let mut budgets = Budgets::default();
        let join = JoinChannel { channel_id: room(1) };
        budgets.try_same_channel(&limits, &join.channel_id, millis(0)).unwrap();
        budgets.try_command(&limits, &join.into(), millis(0)).unwrap();
        budgets.tidy(&limits, millis(4999));
        assert_eq!((budgets.by_call.capacity(), budgets.by_channel.len()), (0, 1));
        budgets.tidy(&limits, millis(5000));
        assert_eq!(budgets.by_channel.capacity(), 0);
    }

    #[test]
    fn what_has_no_limit_takes_no_memory() {
        let mut budgets = Budgets::default();
        let command = JoinChannel { channel_id: room(1) }.into();
        for _ in 0..1000 {
            budgets.try_command(&CallLimits::unlimited(), &command, millis(0)).unwrap();
            budgets.try_join(&CallLimits::unlimited(), &room(1), millis(0)).unwrap();
        }
        assert_eq!((budgets.by_call.capacity(), budgets.by_channel.capacity()), (0, 0));
    }
}
