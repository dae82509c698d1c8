//! How often each call may be made, and the sliding window that counts (spec §13).

use std::{collections::VecDeque, time::Duration};

use crate::Command;

/// The calls that share one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LimitedCall {
    /// `login`
    Login,
    /// `renew_token`
    RenewToken,
    /// Messages to peers and to channels together.
    SendMessage,
    /// `join` of different channels.
    JoinChannel,
    /// `join` of one and the same channel.
    JoinSameChannel,
    /// `members`
    GetMembers,
    /// `channel_member_count`
    GetChannelMemberCount,
    /// `query_peers_online_status`
    QueryPeersOnlineStatus,
    /// `subscribe_peers_online_status`
    SubscribePeersOnlineStatus,
    /// `unsubscribe_peers_online_status`
    UnsubscribePeersOnlineStatus,
    /// `query_peers_by_subscription_option`
    QueryPeersBySubscriptionOption,
    /// The four calls that write user attributes.
    WriteUserAttributes,
    /// The calls that read user attributes.
    ReadUserAttributes,
    /// The four calls that write channel attributes.
    WriteChannelAttributes,
    /// The calls that read channel attributes.
    ReadChannelAttributes,
    /// History queries.
    QueryHistory,
}

impl LimitedCall {
    /// Every budget, in wire order.
    pub const ALL: [Self; 16] = [
        Self::Login,
        Self::RenewToken,
        Self::SendMessage,
        Self::JoinChannel,
        Self::JoinSameChannel,
        Self::GetMembers,
        Self::GetChannelMemberCount,
        Self::QueryPeersOnlineStatus,
        Self::SubscribePeersOnlineStatus,
        Self::UnsubscribePeersOnlineStatus,
        Self::QueryPeersBySubscriptionOption,
        Self::WriteUserAttributes,
        Self::ReadUserAttributes,
        Self::WriteChannelAttributes,
        Self::ReadChannelAttributes,
        Self::QueryHistory,
    ];

    /// The budget that a command draws on; `None` for those without one (invitations, leaving).
    #[must_use]
    pub fn of(command: &Command) -> Option<Self> {
        match command {
            Command::RenewToken(_) => Some(Self::RenewToken),
            Command::SendMessageToPeer(_) | Command::SendChannelMessage(_) => Some(Self::SendMessage),
            Command::QueryPeersOnlineStatus(_) => Some(Self::QueryPeersOnlineStatus),
            Command::SubscribePeersOnlineStatus(_) => Some(Self::SubscribePeersOnlineStatus),
            Command::UnsubscribePeersOnlineStatus(_) => Some(Self::UnsubscribePeersOnlineStatus),
            Command::QueryPeersBySubscriptionOption(_) => Some(Self::QueryPeersBySubscriptionOption),
            Command::SetLocalUserAttributes(_)
            | Command::AddOrUpdateLocalUserAttributes(_)
            | Command::DeleteLocalUserAttributesByKeys(_)
            | Command::ClearLocalUserAttributes(_) => Some(Self::WriteUserAttributes),
            Command::GetUserAttributes(_) => Some(Self::ReadUserAttributes),
            Command::JoinChannel(_) => Some(Self::JoinChannel),
            Command::GetMembers(_) => Some(Self::GetMembers),
            Command::GetChannelMemberCount(_) => Some(Self::GetChannelMemberCount),
            Command::SetChannelAttributes(_)
            | Command::AddOrUpdateChannelAttributes(_)
            | Command::DeleteChannelAttributesByKeys(_)
            | Command::ClearChannelAttributes(_) => Some(Self::WriteChannelAttributes),
            Command::GetChannelAttributes(_) => Some(Self::ReadChannelAttributes),
            Command::QueryHistory(_) => Some(Self::QueryHistory),
            Command::SendInvitation(_)
            | Command::CancelInvitation(_)
            | Command::AcceptInvitation(_)
            | Command::RefuseInvitation(_)
            | Command::LeaveChannel(_) => None,
        }
    }

    /// The name of the budget in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::RenewToken => "renew_token",
            Self::SendMessage => "send_message",
            Self::JoinChannel => "join_channel",
            Self::JoinSameChannel => "join_same_channel",
            Self::GetMembers => "get_members",
            Self::GetChannelMemberCount => "get_channel_member_count",
            Self::QueryPeersOnlineStatus => "query_peers_online_status",
            Self::SubscribePeersOnlineStatus => "subscribe_peers_online_status",
            Self::UnsubscribePeersOnlineStatus => "unsubscribe_peers_online_status",
            Self::QueryPeersBySubscriptionOption => "query_peers_by_subscription_option",
            Self::WriteUserAttributes => "write_user_attributes",
            Self::ReadUserAttributes => "read_user_attributes",
            Self::WriteChannelAttributes => "write_channel_attributes",
            Self::ReadChannelAttributes => "read_channel_attributes",
            Self::QueryHistory => "query_history",
        }
    }
}

/// So many calls in any window of this length. `calls` 0: without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimit {
    /// How many calls.
    pub calls: u32,
    /// In how many milliseconds.
    pub per_ms: u32,
}

/// How often each call may be made by one client. The default is the vendor's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimits([CallLimit; LimitedCall::ALL.len()]);

impl CallLimits {
    /// No limit on any call.
    #[must_use]
    pub fn unlimited() -> Self {
        Self([CallLimit { calls: 0, per_ms: 0 }; LimitedCall::ALL.len()])
    }

    /// The limit of a budget.
    #[must_use]
    pub fn get(&self, call: LimitedCall) -> CallLimit {
        self.0[call as usize]
    }

    /// Sets the limit of a budget.
    pub fn set(&mut self, call: LimitedCall, limit: CallLimit) {
        self.0[call as usize] = limit;
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self(LimitedCall::ALL.map(|call| {
            let (calls, seconds) = match call {
                LimitedCall::Login | LimitedCall::RenewToken => (2, 1),
                LimitedCall::SendMessage => (180, 3),
                LimitedCall::JoinChannel => (50, 3),
                LimitedCall::JoinSameChannel => (2, 5),
                LimitedCall::GetMembers => (5, 2),
                LimitedCall::GetChannelMemberCount => (1, 1),
                LimitedCall::QueryPeersOnlineStatus
                | LimitedCall::SubscribePeersOnlineStatus
                | LimitedCall::UnsubscribePeersOnlineStatus
                | LimitedCall::QueryPeersBySubscriptionOption
                | LimitedCall::WriteUserAttributes
                | LimitedCall::WriteChannelAttributes
                | LimitedCall::ReadChannelAttributes
                | LimitedCall::QueryHistory => (10, 5),
                LimitedCall::ReadUserAttributes => (40, 5),
            };
            CallLimit { calls, per_ms: seconds * 1000 }
        }))
    }
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

    /// Whether no call is counted at `now`, so that the limiter may be forgotten.
    #[must_use]
    pub fn is_idle(&self, limit: CallLimit, now: Duration) -> bool {
        let window = Duration::from_millis(limit.per_ms.into());
        self.0.back().is_none_or(|&at| at + window <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_allowed_call_passes_and_the_next_waits_for_the_oldest_to_leave() {
        let limit = CallLimits::default().get(LimitedCall::SendMessage);
        let mut limiter = CallLimiter::default();
        for i in 0..180 {
            assert_eq!(limiter.try_call(limit, Duration::from_millis(i)), Ok(()));
        }
        assert_eq!(limiter.try_call(limit, Duration::from_millis(180)), Err(Duration::from_millis(2820)));
        assert_eq!(limiter.try_call(limit, Duration::from_millis(2999)), Err(Duration::from_millis(1)));
        assert_eq!(limiter.try_call(limit, Duration::from_millis(3000)), Ok(()));
        assert!(limiter.try_call(limit, Duration::from_millis(3000)).is_err());
    }

    #[test]
    fn the_table_is_in_wire_order() {
        for (i, call) in LimitedCall::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, i);
        }
    }
}
