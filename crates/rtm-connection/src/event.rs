//! What a connection tells its user unasked: one flat list of events, in the vendor's words (`docs/rtm.md#events`).

use std::collections::BTreeMap;

use rtm_codec::{
    CallId, ChannelAttributes, ChannelId, ErrorKind, LocalInvitationFailureReason, PeerOnlineState,
    RemoteInvitationFailureReason, RtmMessage, Text, UserId,
};

use crate::{ConnectionChangeReason, ConnectionState, RtmError};

mod made;

/// Something that happened, in the order in which it happened.
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
        /// Who sent it.
        peer_id: UserId,
        /// What was sent.
        message: RtmMessage,
        /// How it came.
        properties: ReceivedMessageProperties,
    },
    /// A user invites this one to a call: `accept_invitation` or `refuse_invitation`
    /// answers it. It ends by itself after 60 s.
    #[non_exhaustive]
    RemoteInvitationReceived {
        /// The invitation.
        invitation: RemoteInvitation,
    },
    /// The online states of subscribed users: all of them after subscribing, else those that changed.
    #[doc(alias = "onPeersOnlineStatusChanged")]
    #[non_exhaustive]
    PeersOnlineStatusChanged {
        /// Who is in which state.
        peers: BTreeMap<UserId, PeerOnlineState>,
    },
    /// The token ends soon: renew it.
    #[doc(alias = "TokenWillExpired")]
    #[doc(alias = "TokenPrivilegeWillExpire")]
    #[doc(alias = "onTokenPrivilegeWillExpire")]
    TokenWillExpire,
    /// The token ran out. While connected the session ends with it (log out and in again); while
    /// reconnecting a renewed token lets the connection come back.
    #[doc(alias = "TokenDidExpired")]
    #[doc(alias = "TokenExpired")]
    #[doc(alias = "onTokenExpired")]
    TokenDidExpire,
    /// The token lets this user in no more, or the token provider gives no new one. Until there is one the client
    /// stays `RECONNECTING`, or `CONNECTED` with the token that it has; calls that need a connection fail with
    /// `error` meanwhile. `renew_token` ends it at once.
    #[non_exhaustive]
    TokenNeeded {
        /// [`ErrorKind::InvalidToken`] or [`ErrorKind::TokenExpired`], as the server says, or
        /// [`ErrorKind::ProviderFailed`].
        error: ErrorKind,
        /// In how many milliseconds the provider is asked, or without one the same token is tried, once more; 0 if the
        /// provider is being asked. `None`: nothing more happens without a new token.
        retry_in_ms: Option<u64>,
    },
    /// The callee's device has this user's invitation.
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
        /// What the callee wrote.
        response: Text,
    },
    /// The callee refused. The invitation ends.
    #[non_exhaustive]
    LocalInvitationRefused {
        /// The invitation.
        invitation: LocalInvitation,
        /// What the callee wrote.
        response: Text,
    },
    /// This user took its invitation back. The invitation ends.
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
    /// The caller took the invitation back. It ends.
    #[non_exhaustive]
    RemoteInvitationCanceled {
        /// The invitation.
        invitation: RemoteInvitation,
        /// What the caller wrote.
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
        /// Where.
        channel_id: ChannelId,
        /// Who sent it.
        member_id: UserId,
        /// What was sent.
        message: RtmMessage,
        /// How it came.
        properties: ReceivedMessageProperties,
    },
    /// Another user joined a channel (not told above 512 members).
    #[doc(alias = "onMemberJoined")]
    #[non_exhaustive]
    MemberJoined {
        /// Where.
        channel_id: ChannelId,
        /// Who.
        member_id: UserId,
    },
    /// Another user left a channel (not told above 512 members).
    #[doc(alias = "onMemberLeft")]
    #[non_exhaustive]
    MemberLeft {
        /// Where.
        channel_id: ChannelId,
        /// Who.
        member_id: UserId,
    },
    /// How many members a channel has.
    #[doc(alias = "onMemberCountUpdated")]
    #[non_exhaustive]
    MemberCountUpdated {
        /// Where.
        channel_id: ChannelId,
        /// How many members there are.
        member_count: u32,
    },
    /// A writer of channel attributes asked that the members be told.
    #[doc(alias = "onAttributesUpdated")]
    #[non_exhaustive]
    AttributesUpdated {
        /// Where.
        channel_id: ChannelId,
        /// All attributes of the channel.
        attributes: ChannelAttributes,
    },
    /// Events were lost here: later ones follow, earlier ones cannot be had any more.
    #[non_exhaustive]
    Gap {
        /// Of which channel; `None` for anything that this user could have been told.
        channel_id: Option<ChannelId>,
        /// How many, if known.
        lost: Option<u64>,
        /// Why.
        reason: GapReason,
    },
    /// After a reconnect something that the user had could not be restored, and is given up.
    #[non_exhaustive]
    RestoreFailed {
        /// What.
        what: Restored,
        /// Why.
        error: RtmError,
    },
}

impl RtmEvent {
    /// The channel that it is about, if it is about one.
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

    /// The other user whom it is about, if it is a message or an invitation.
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
}

/// How a message came to this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReceivedMessageProperties {
    /// Whether it was stored because this user was offline when the server took it.
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
}

/// An invitation that this user sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LocalInvitation {
    /// This user's number for it.
    pub call_id: CallId,
    /// Who is called.
    pub callee_id: UserId,
    /// What this user wrote.
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
    /// The caller's number for it, unique for that caller.
    pub call_id: CallId,
    /// Who calls.
    pub caller_id: UserId,
    /// What the caller wrote.
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
    /// The server no longer had the session when the link came back, or its wire cannot resume one.
    NewSession,
    /// The session was ended because this client read too slowly.
    SlowConsumer,
    /// This user was away too long to stay a member of the channel; it is being joined again.
    LeftChannel,
    /// The server dropped events that it could not keep.
    Dropped,
    /// Numbers are missing in the stream, or were received by another process that did not consume them.
    Missing,
    /// A part of the stream that may drop events was full.
    Lossy,
}

/// What a connection restores after a reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Restored {
    /// The membership in a channel. The user is not in it any more.
    Channel(ChannelId),
    /// The subscriptions to online states. There are none any more.
    Subscriptions,
    /// The user's own attributes. There are none any more.
    UserAttributes,
}
