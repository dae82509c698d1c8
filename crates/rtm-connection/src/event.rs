//! The events of a connection: one flat list, in the vendor's words (`docs/rtm.md#events`).

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use rtm_codec::{
    CallId, ChannelAttributes, ChannelId, ErrorKind, LocalInvitationFailureReason, PeerOnlineState,
    RemoteInvitationFailureReason, RtmMessage, Text, UserId, system_time,
};

use crate::{ConnectionChangeReason, ConnectionState, RtmError};

mod made;

/// An event. Events arrive in the order in which they happened; `docs/rtm.md#events` explains each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "type"))]
#[non_exhaustive]
pub enum RtmEvent {
    /// The connection changed its state.
    #[doc(alias = "onConnectionStateChanged")]
    #[non_exhaustive]
    ConnectionStateChanged {
        /// The new state.
        state: ConnectionState,
        /// Why.
        reason: ConnectionChangeReason,
    },
    /// Another user sent a message, live or while this user was offline.
    #[doc(alias = "onMessageReceived")]
    #[non_exhaustive]
    MessageFromPeer {
        /// The sender.
        peer_id: UserId,
        /// The message.
        message: RtmMessage,
        /// When the server received it, and whether it was stored.
        properties: ReceivedMessageProperties,
    },
    /// Another user invites this one to a call. Answer with `accept_invitation` or `refuse_invitation`. The invitation ends
    /// after 60 s without an answer.
    #[non_exhaustive]
    RemoteInvitationReceived {
        /// The invitation.
        invitation: RemoteInvitation,
    },
    /// Online states of subscribed users: after subscribing those of all users in the call, later those that changed.
    #[doc(alias = "onPeersOnlineStatusChanged")]
    #[non_exhaustive]
    PeersOnlineStatusChanged {
        /// The state of each user.
        peers: BTreeMap<UserId, PeerOnlineState>,
    },
    /// The token expires soon: renew it.
    #[doc(alias = "TokenWillExpired")]
    #[doc(alias = "TokenPrivilegeWillExpire")]
    #[doc(alias = "onTokenPrivilegeWillExpire")]
    TokenWillExpire,
    /// The token has expired. While connected, this ends the session: log out and in again. While reconnecting, a new token
    /// lets the client reconnect.
    #[doc(alias = "TokenDidExpired")]
    #[doc(alias = "TokenExpired")]
    #[doc(alias = "onTokenExpired")]
    TokenDidExpire,
    /// The server refuses the token, or the token provider failed. Until there is a valid token, the client stays `RECONNECTING`
    /// (or `CONNECTED` with the token that it has), and calls that need a connection fail with `error`. Call `renew_token`, or let
    /// the provider succeed.
    #[non_exhaustive]
    TokenNeeded {
        /// [`ErrorKind::InvalidToken`] or [`ErrorKind::TokenExpired`] from the server, or
        /// [`ErrorKind::ProviderFailed`].
        error: ErrorKind,
        /// After what time the provider is asked, or without one the same token is tried, once more; zero if the
        /// provider is being asked. `None`: nothing more happens without a new token.
        #[cfg_attr(feature = "serde", serde(rename = "retry_in_ms", serialize_with = "millis"))]
        retry_after: Option<Duration>,
    },
    /// The callee's device received this user's invitation.
    #[non_exhaustive]
    LocalInvitationReceivedByPeer {
        /// The invitation.
        invitation: LocalInvitation,
    },
    /// The callee accepted. The invitation ends.
    #[non_exhaustive]
    LocalInvitationAccepted {
        /// The invitation.
        invitation: LocalInvitation,
        /// The text of the callee.
        response: Text,
    },
    /// The callee refused. The invitation ends.
    #[non_exhaustive]
    LocalInvitationRefused {
        /// The invitation.
        invitation: LocalInvitation,
        /// The text of the callee.
        response: Text,
    },
    /// This user cancelled its invitation. The invitation ends.
    #[non_exhaustive]
    LocalInvitationCanceled {
        /// The invitation.
        invitation: LocalInvitation,
    },
    /// This user's invitation ended without an answer.
    #[non_exhaustive]
    LocalInvitationFailure {
        /// The invitation.
        invitation: LocalInvitation,
        /// Why.
        reason: LocalInvitationFailureReason,
    },
    /// The caller's side confirmed that this user accepted. The invitation ends.
    #[non_exhaustive]
    RemoteInvitationAccepted {
        /// The invitation.
        invitation: RemoteInvitation,
    },
    /// This user refused. The invitation ends.
    #[non_exhaustive]
    RemoteInvitationRefused {
        /// The invitation.
        invitation: RemoteInvitation,
    },
    /// The caller cancelled the invitation. It ends.
    #[non_exhaustive]
    RemoteInvitationCanceled {
        /// The invitation.
        invitation: RemoteInvitation,
        /// The text of the caller.
        content: Text,
    },
    /// An invitation to this user ended without an answer.
    #[non_exhaustive]
    RemoteInvitationFailure {
        /// The invitation.
        invitation: RemoteInvitation,
        /// Why.
        reason: RemoteInvitationFailureReason,
    },
    /// Another member sent a message to a channel.
    #[doc(alias = "onChannelMessageReceived")]
    #[non_exhaustive]
    ChannelMessage {
        /// The channel.
        channel_id: ChannelId,
        /// The sender.
        member_id: UserId,
        /// The message.
        message: RtmMessage,
        /// When the server received it, and whether it was stored.
        properties: ReceivedMessageProperties,
    },
    /// Another user joined a channel. Not sent in channels with more than 512 members.
    #[doc(alias = "onMemberJoined")]
    #[non_exhaustive]
    MemberJoined {
        /// The channel.
        channel_id: ChannelId,
        /// The other user.
        member_id: UserId,
    },
    /// Another user left a channel. Not sent in channels with more than 512 members.
    #[doc(alias = "onMemberLeft")]
    #[non_exhaustive]
    MemberLeft {
        /// The channel.
        channel_id: ChannelId,
        /// The other user.
        member_id: UserId,
    },
    /// The number of members of a channel. It comes after joining and when it changes, at most once a second.
    #[doc(alias = "onMemberCountUpdated")]
    #[non_exhaustive]
    MemberCountUpdated {
        /// The channel.
        channel_id: ChannelId,
        /// The number of members, this user included.
        member_count: u32,
    },
    /// Somebody changed the channel's attributes and notified the members.
    #[doc(alias = "onAttributesUpdated")]
    #[non_exhaustive]
    AttributesUpdated {
        /// The channel.
        channel_id: ChannelId,
        /// All attributes of the channel.
        attributes: ChannelAttributes,
    },
    /// Events were lost here. Ask the server for whatever you keep a copy of, such as the members of a channel.
    #[non_exhaustive]
    Gap {
        /// The channel; `None` if any event of this client may be lost.
        channel_id: Option<ChannelId>,
        /// The number of lost events, if known.
        lost: Option<u64>,
        /// Why.
        reason: GapReason,
    },
    /// After a reconnect, the client could not restore something, and does not try again. It is up to the application.
    #[non_exhaustive]
    RestoreFailed {
        /// What.
        what: Restored,
        /// Why.
        error: RtmError,
    },
}

impl RtmEvent {
    /// The channel of the event, if it has one.
    #[must_use]
    pub fn channel_id(&self) -> Option<&ChannelId> {
        match self {
            Self::ChannelMessage { channel_id, .. }
            | Self::MemberJoined { channel_id, .. }
            | Self::MemberLeft { channel_id, .. }
            | Self::MemberCountUpdated { channel_id, .. }
            | Self::AttributesUpdated { channel_id, .. }
            | Self::RestoreFailed { what: Restored::Channel(channel_id), .. } => Some(channel_id),
            Self::Gap { channel_id, .. } => channel_id.as_ref(),
            Self::ConnectionStateChanged { .. }
            | Self::MessageFromPeer { .. }
            | Self::RemoteInvitationReceived { .. }
            | Self::PeersOnlineStatusChanged { .. }
            | Self::TokenWillExpire
            | Self::TokenDidExpire
            | Self::TokenNeeded { .. }
            | Self::LocalInvitationReceivedByPeer { .. }
            | Self::LocalInvitationAccepted { .. }
            | Self::LocalInvitationRefused { .. }
            | Self::LocalInvitationCanceled { .. }
            | Self::LocalInvitationFailure { .. }
            | Self::RemoteInvitationAccepted { .. }
            | Self::RemoteInvitationRefused { .. }
            | Self::RemoteInvitationCanceled { .. }
            | Self::RemoteInvitationFailure { .. }
            | Self::RestoreFailed { .. } => None,
        }
    }

    /// The other user, if the event is a peer message or an invitation.
    #[must_use]
    pub fn peer_id(&self) -> Option<&UserId> {
        match self {
            Self::MessageFromPeer { peer_id, .. } => Some(peer_id),
            Self::RemoteInvitationReceived { invitation }
            | Self::RemoteInvitationAccepted { invitation }
            | Self::RemoteInvitationRefused { invitation }
            | Self::RemoteInvitationCanceled { invitation, .. }
            | Self::RemoteInvitationFailure { invitation, .. } => Some(&invitation.caller_id),
            Self::LocalInvitationReceivedByPeer { invitation }
            | Self::LocalInvitationAccepted { invitation, .. }
            | Self::LocalInvitationRefused { invitation, .. }
            | Self::LocalInvitationCanceled { invitation }
            | Self::LocalInvitationFailure { invitation, .. } => Some(&invitation.callee_id),
            Self::ConnectionStateChanged { .. }
            | Self::PeersOnlineStatusChanged { .. }
            | Self::TokenWillExpire
            | Self::TokenDidExpire
            | Self::TokenNeeded { .. }
            | Self::ChannelMessage { .. }
            | Self::MemberJoined { .. }
            | Self::MemberLeft { .. }
            | Self::MemberCountUpdated { .. }
            | Self::AttributesUpdated { .. }
            | Self::Gap { .. }
            | Self::RestoreFailed { .. } => None,
        }
    }

    /// When the server took what it tells of, in milliseconds since the Unix epoch, where it says so: of messages.
    #[must_use]
    pub fn server_received_ts(&self) -> Option<u64> {
        match self {
            Self::MessageFromPeer { properties, .. } | Self::ChannelMessage { properties, .. } => {
                Some(properties.server_received_ts)
            }
            _ => None,
        }
    }

    /// When the server took what it tells of, where it says so: of messages.
    #[must_use]
    pub fn server_received_at(&self) -> Option<SystemTime> {
        self.server_received_ts().map(system_time)
    }
}

#[cfg(feature = "serde")]
fn millis<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&time.map(|time| time.as_millis()), serializer)
}

/// How and when a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReceivedMessageProperties {
    /// Whether the server stored it because this user was offline.
    pub is_offline_message: bool,
    /// When the server took it, in milliseconds since the Unix epoch.
    pub server_received_ts: u64,
}

impl ReceivedMessageProperties {
    /// Of a message that the server took then, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(is_offline_message: bool, server_received_ts: u64) -> Self {
        Self { is_offline_message, server_received_ts }
    }

    /// When the server took it.
    #[must_use]
    pub fn server_received_at(&self) -> SystemTime {
        system_time(self.server_received_ts)
    }
}

/// An invitation that this user sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LocalInvitation {
    /// The id of the invitation, chosen by this client.
    pub call_id: CallId,
    /// The invited user.
    pub callee_id: UserId,
    /// The text for the callee.
    pub content: Text,
}

impl LocalInvitation {
    /// An invitation with this user's number for it. A connection makes those that it sends itself.
    #[must_use]
    pub fn new(call_id: CallId, callee_id: UserId, content: Text) -> Self {
        Self { call_id, callee_id, content }
    }
}

/// An invitation that another user sent to this one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RemoteInvitation {
    /// The id of the invitation, unique for its caller.
    pub call_id: CallId,
    /// The inviting user.
    pub caller_id: UserId,
    /// The text of the caller.
    pub content: Text,
}

impl RemoteInvitation {
    /// An invitation with its caller's number for it.
    #[must_use]
    pub fn new(call_id: CallId, caller_id: UserId, content: Text) -> Self {
        Self { call_id, caller_id, content }
    }
}

/// Why events were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
#[non_exhaustive]
pub enum GapReason {
    /// The server no longer had the session at the reconnect, or the wire cannot resume sessions.
    NewSession,
    /// The server ended the session because this client read too slowly.
    SlowConsumer,
    /// The user was away for too long to stay a member of the channel. The client joins it again.
    LeftChannel,
    /// The server could not keep the events of a client that was away or read too slowly.
    Dropped,
    /// Event numbers are missing; or another process received the events before it saved its session, and did not consume them.
    Missing,
    /// A lossy part of the stream was full.
    Lossy,
}

/// Something that the client restores after a reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Restored {
    /// The membership in a channel. If this fails, the user is no longer a member.
    Channel(ChannelId),
    /// The subscriptions to online states. If this fails, there are none.
    Subscriptions,
    /// The user's own attributes. If this fails, there are none.
    UserAttributes,
}
