//! Events made by hand: for tests of what handles them.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    ChannelAttributes, ChannelId, ErrorKind, LocalInvitationFailureReason, PeerOnlineState,
    RemoteInvitationFailureReason, RtmMessage, Text, UserId,
};

use super::{GapReason, LocalInvitation, ReceivedMessageProperties, RemoteInvitation, Restored, RtmEvent};
use crate::{ConnectionChangeReason, ConnectionState, RtmError};

macro_rules! made {
    ($($name:ident -> $variant:ident { $($field:ident: $type:ty),* };)*) => {
        /// Events made by hand, to test what handles them.
        impl RtmEvent {
            $(
                #[doc = concat!("The event [`", stringify!($variant), "`](Self::", stringify!($variant), ").")]
                #[must_use]
                pub fn $name($($field: $type),*) -> Self {
                    Self::$variant { $($field),* }
                }
            )*
        }
    };
}

made! {
    connection_state_changed -> ConnectionStateChanged { state: ConnectionState, reason: ConnectionChangeReason };
    message_from_peer -> MessageFromPeer { peer_id: UserId, message: RtmMessage, properties: ReceivedMessageProperties };
    remote_invitation_received -> RemoteInvitationReceived { invitation: RemoteInvitation };
    peers_online_status_changed -> PeersOnlineStatusChanged { peers: BTreeMap<UserId, PeerOnlineState> };
    token_needed -> TokenNeeded { error: ErrorKind, retry_after: Option<Duration> };
    local_invitation_received_by_peer -> LocalInvitationReceivedByPeer { invitation: LocalInvitation };
    local_invitation_accepted -> LocalInvitationAccepted { invitation: LocalInvitation, response: Text };
    local_invitation_refused -> LocalInvitationRefused { invitation: LocalInvitation, response: Text };
    local_invitation_canceled -> LocalInvitationCanceled { invitation: LocalInvitation };
    local_invitation_failure -> LocalInvitationFailure { invitation: LocalInvitation, reason: LocalInvitationFailureReason };
    remote_invitation_accepted -> RemoteInvitationAccepted { invitation: RemoteInvitation };
    remote_invitation_refused -> RemoteInvitationRefused { invitation: RemoteInvitation };
    remote_invitation_canceled -> RemoteInvitationCanceled { invitation: RemoteInvitation, content: Text };
    remote_invitation_failure -> RemoteInvitationFailure { invitation: RemoteInvitation, reason: RemoteInvitationFailureReason };
    channel_message -> ChannelMessage { channel_id: ChannelId, member_id: UserId, message: RtmMessage, properties: ReceivedMessageProperties };
    member_joined -> MemberJoined { channel_id: ChannelId, member_id: UserId };
    member_left -> MemberLeft { channel_id: ChannelId, member_id: UserId };
    member_count_updated -> MemberCountUpdated { channel_id: ChannelId, member_count: u32 };
    attributes_updated -> AttributesUpdated { channel_id: ChannelId, attributes: ChannelAttributes };
    gap -> Gap { channel_id: Option<ChannelId>, lost: Option<u64>, reason: GapReason };
    restore_failed -> RestoreFailed { what: Restored, error: RtmError };
}
