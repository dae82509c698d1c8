//! How often each call may be made.

use std::time::Duration;

/// The calls that share one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LimitedCall {
    /// `login`, of one client object. Its user may log in ten times as often with different ones.
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
    /// `subscribed_peers`
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
    /// `send_local_invitation`
    SendInvitation,
}

impl LimitedCall {
    /// Every budget, in wire order.
    pub const ALL: [Self; 17] = [
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
        Self::SendInvitation,
    ];

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
            Self::SendInvitation => "send_invitation",
        }
    }
}

/// At most this many calls in any period of this length.
///
/// ```
/// use std::time::Duration;
///
/// use rtm_codec::CallLimit;
///
/// let limit = CallLimit::new(180, Duration::from_secs(3));
/// assert_eq!((limit.calls(), limit.per()), (180, Duration::from_secs(3)));
/// assert!(CallLimit::UNLIMITED.is_unlimited());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimit {
    pub(crate) calls: u32,
    pub(crate) per_ms: u32,
}

impl CallLimit {
    /// No limit.
    pub const UNLIMITED: Self = Self { calls: 0, per_ms: 0 };

    /// At most `calls` in any period of the length `per`, which counts in whole milliseconds, up to 49 days. 0 calls:
    /// no limit.
    #[must_use]
    pub const fn new(calls: u32, per: Duration) -> Self {
        let per_ms = per.as_millis();
        Self { calls, per_ms: if per_ms > u32::MAX as u128 { u32::MAX } else { per_ms as u32 } }
    }

    /// How many calls; 0 where there is no limit.
    #[must_use]
    pub const fn calls(self) -> u32 {
        self.calls
    }

    /// The length of the period.
    #[must_use]
    pub const fn per(self) -> Duration {
        Duration::from_millis(self.per_ms as u64)
    }

    /// Whether any number of calls may be made.
    #[must_use]
    pub const fn is_unlimited(self) -> bool {
        self.calls == 0
    }
}

/// How often each call may be made by one client. The default has the vendor's figures, and ours for invitations and
/// history, of which the vendor says nothing: `docs/rtm.md#call-limits`.
///
/// | calls | default |
/// |---|---|
/// | messages to peers and channels together; invitations | 180 in 3 s |
/// | `login`, `renew_token` | 2 in 1 s |
/// | `join` | 50 in 3 s; of one and the same channel 2 in 5 s |
/// | `members` | 5 in 2 s |
/// | `channel_member_count` | 1 in 1 s |
/// | `user_attributes` | 40 in 5 s |
/// | online states, writing attributes, reading channel attributes, history | 10 in 5 s each |
///
/// A client counts before it asks, and a server counts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimits([CallLimit; LimitedCall::ALL.len()]);

impl CallLimits {
    /// No limit on any call.
    #[must_use]
    pub fn unlimited() -> Self {
        Self([CallLimit::UNLIMITED; LimitedCall::ALL.len()])
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
                LimitedCall::SendMessage | LimitedCall::SendInvitation => (180, 3),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_wire_order() {
        for (i, call) in LimitedCall::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, i);
        }
    }
}
