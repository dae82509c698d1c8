//! How each type of the model lies in a frame: its fields in order, and the tag of each variant.
//!
//! The tables are append-only. They take every type apart without `..` and match without `_`, so
//! that a new field or variant does not compile before it has its place here.

use std::mem;

use super::{Field, Input, Output};
use crate::{
    AcceptInvitation, AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, Answer, CallLimit,
    CancelInvitation, ChannelAttribute, ChannelAttributes, ClearChannelAttributes, ClearLocalUserAttributes,
    CloseReason, Command, DecodeError, DecodeErrorKind, DeleteChannelAttributesByKeys, DeleteLocalUserAttributesByKeys,
    ErrorKind, Event, GetChannelAttributes, GetChannelMemberCount, GetMembers, GetUserAttributes, HistoryMessage,
    HistoryOf, HistoryPage, JoinChannel, KeepAlive, LeaveChannel, LocalInvitationFailureReason, Login, PeerMessage,
    PeerOnlineState, QueryHistory, QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, RefuseInvitation,
    RemoteInvitationFailureReason, RenewToken, Resume, Resumption, RtmMessage, SendChannelMessage, SendInvitation,
    SendMessageToPeer, SendOutcome, SessionTicket, SetChannelAttributes, SetLocalUserAttributes,
    SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus, Welcome,
};

/// Reads a value, and names a fault in it; the innermost name stays.
macro_rules! get {
    ($what:expr, $input:ident) => {
        // Not `map_err`, which moves the value once more.
        match Field::get($input) {
            Ok(value) => value,
            Err(error) => return Err(DecodeError::named(error, $what)),
        }
    };
}

/// Writes a variant: here, or apart from those that are frequent, which suffer from much code around them.
macro_rules! written {
    (apart, $out:ident, $write:expr) => {
        *$out = write_apart(mem::take($out), |$out| $write)
    };
    ($here:ident $($frequent:ident)?, $out:ident, $write:expr) => {
        $write
    };
}

macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Field for $name {
            #[inline(always)]
            fn put(&self, out: &mut Output<'_>) {
                let Self { $($field),* } = self;
                let _ = &out;
                $($field.put(out);)*
            }

            #[inline]
            fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                let _ = &input;
                Ok(Self { $($field: get!(stringify!($field), input)),* })
            }
        }
    )*};
}

macro_rules! enums {
    ($($name:ident $what:literal $place:ident {
        $($tag:literal => $(@$frequent:ident)? $variant:ident $(($inner:ident))? $({ $($field:ident),* })?,)*
    })*) => {$(
        impl Field for $name {
            #[inline(always)]
            fn put(&self, out: &mut Output<'_>) {
                match self {
                    $(Self::$variant $(($inner))? $({ $($field),* })? => written!($place $($frequent)?, out, {
                        out.tag($tag);
                        $($inner.put(out);)?
                        $($($field.put(out);)*)?
                    }),)*
                }
            }

            #[inline]
            fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                Ok(match input.tag().map_err(|error| error.named($what))? {
                    $($tag => Self::$variant
                        $(({ let $inner = get!($what, input); $inner }))?
                        $({ $($field: get!(stringify!($field), input)),* })?,
                    )*
                    tag => return Err(DecodeError::new($what, DecodeErrorKind::UnknownTag { tag: tag.into() })),
                })
            }
        }
    )*};
}

#[inline(never)]
fn write_apart<'b>(mut out: Output<'b>, write: impl FnOnce(&mut Output<'b>)) -> Output<'b> {
    write(&mut out);
    out
}

structs! {
    RenewToken { token }
    SendMessageToPeer { message_id, peer_id, message, enable_offline_messaging, enable_historical_messaging }
    QueryPeersOnlineStatus { peer_ids }
    SubscribePeersOnlineStatus { peer_ids }
    UnsubscribePeersOnlineStatus { peer_ids }
    QueryPeersBySubscriptionOption {}
    SendInvitation { call_id, callee_id, content }
    CancelInvitation { call_id, callee_id, content }
    AcceptInvitation { call_id, caller_id, response }
    RefuseInvitation { call_id, caller_id, response }
    SetLocalUserAttributes { attributes }
    AddOrUpdateLocalUserAttributes { attributes }
    DeleteLocalUserAttributesByKeys { keys }
    ClearLocalUserAttributes {}
    GetUserAttributes { user_id, keys }
    JoinChannel { channel_id }
    LeaveChannel { channel_id }
    SendChannelMessage { message_id, channel_id, message, enable_historical_messaging }
    GetMembers { channel_id }
    GetChannelMemberCount { channel_ids }
    SetChannelAttributes { channel_id, attributes, enable_notification_to_channel_members, expected_revision }
    AddOrUpdateChannelAttributes { channel_id, attributes, enable_notification_to_channel_members, expected_revision }
    DeleteChannelAttributesByKeys { channel_id, keys, enable_notification_to_channel_members, expected_revision }
    ClearChannelAttributes { channel_id, enable_notification_to_channel_members, expected_revision }
    GetChannelAttributes { channel_id, keys }
    QueryHistory { of, from_ts, until_ts, after, limit }
    HistoryPage { messages, next }
    HistoryMessage { message_id, from, message, server_received_ts }
    PeerMessage { message_id, peer_id, message, is_offline_message, server_received_ts }
    ChannelAttribute { value, last_update_user_id, last_update_ts }
    ChannelAttributes { attributes, revision }
    Login { app_id, user_id, token, instance, resume, keep_alive, window, abilities, gateway_session }
    Resume { ticket, received, consumed, answered }
    Welcome { user_id, ticket, resumption, token_expires_in_ms, server_time_ms, limits }
    SessionTicket { session, epoch }
    CallLimit { calls, per_ms }
}

enums! {
    Command "command" apart {
        0 => RenewToken(of),
        1 => @frequent SendMessageToPeer(of),
        2 => QueryPeersOnlineStatus(of),
        3 => SubscribePeersOnlineStatus(of),
        4 => UnsubscribePeersOnlineStatus(of),
        5 => QueryPeersBySubscriptionOption(of),
        6 => SendInvitation(of),
        7 => CancelInvitation(of),
        8 => AcceptInvitation(of),
        9 => RefuseInvitation(of),
        10 => SetLocalUserAttributes(of),
        11 => AddOrUpdateLocalUserAttributes(of),
        12 => DeleteLocalUserAttributesByKeys(of),
        13 => ClearLocalUserAttributes(of),
        14 => GetUserAttributes(of),
        15 => JoinChannel(of),
        16 => LeaveChannel(of),
        17 => @frequent SendChannelMessage(of),
        18 => GetMembers(of),
        19 => GetChannelMemberCount(of),
        20 => SetChannelAttributes(of),
        21 => AddOrUpdateChannelAttributes(of),
        22 => DeleteChannelAttributesByKeys(of),
        23 => ClearChannelAttributes(of),
        24 => GetChannelAttributes(of),
        25 => QueryHistory(of),
    }
    Answer "answer" apart {
        0 => RenewToken(of),
        1 => @frequent SendMessageToPeer(of),
        2 => QueryPeersOnlineStatus(of),
        3 => SubscribePeersOnlineStatus(of),
        4 => UnsubscribePeersOnlineStatus(of),
        5 => QueryPeersBySubscriptionOption(of),
        6 => SendInvitation(of),
        7 => CancelInvitation(of),
        8 => AcceptInvitation(of),
        9 => RefuseInvitation(of),
        10 => SetLocalUserAttributes(of),
        11 => AddOrUpdateLocalUserAttributes(of),
        12 => DeleteLocalUserAttributesByKeys(of),
        13 => ClearLocalUserAttributes(of),
        14 => GetUserAttributes(of),
        15 => JoinChannel(of),
        16 => LeaveChannel(of),
        17 => SendChannelMessage(of),
        18 => GetMembers(of),
        19 => GetChannelMemberCount(of),
        20 => SetChannelAttributes(of),
        21 => AddOrUpdateChannelAttributes(of),
        22 => DeleteChannelAttributesByKeys(of),
        23 => ClearChannelAttributes(of),
        24 => GetChannelAttributes(of),
        25 => QueryHistory(of),
    }
    Event "event" apart {
        0 => @frequent MessageFromPeer(of),
        1 => PeersOnlineStatusChanged { peers },
        2 => TokenWillExpire { expires_in_ms },
        3 => RemoteInvitationReceived { call_id, caller_id, content },
        4 => RemoteInvitationCanceled { call_id, caller_id, content },
        5 => RemoteInvitationFailure { call_id, caller_id, reason },
        6 => LocalInvitationReceivedByPeer { call_id, callee_id },
        7 => LocalInvitationAccepted { call_id, callee_id, response },
        8 => LocalInvitationRefused { call_id, callee_id, response },
        9 => LocalInvitationFailure { call_id, callee_id, reason },
        10 => @frequent ChannelMessage { channel_id, message_id, member_id, message, server_received_ts },
        11 => MemberJoined { channel_id, member_id, member_count },
        12 => MemberLeft { channel_id, member_id, member_count },
        13 => MemberCountUpdated { channel_id, member_count },
        14 => AttributesUpdated { channel_id, attributes },
        15 => Gap { channel_id, lost },
    }
    RtmMessage "message" here {
        0 => Text(of),
        1 => Binary(of),
        2 => Value(of),
    }
    HistoryOf "history" here {
        0 => Peer(of),
        1 => Channel(of),
    }
    SendOutcome "send outcome" here {
        0 => Delivered,
        1 => Stored,
        2 => NotReceived,
    }
    PeerOnlineState "online state" here {
        0 => Online,
        1 => Unreachable,
        2 => Offline,
    }
    LocalInvitationFailureReason "reason" here {
        0 => PeerOffline,
        1 => PeerNoResponse,
        2 => InvitationExpire,
        3 => NotLoggedIn,
    }
    RemoteInvitationFailureReason "reason" here {
        0 => PeerOffline,
        1 => AcceptFailure,
        2 => InvitationExpire,
    }
    CloseReason "close reason" here {
        0 => Logout,
        1 => RemoteLogin,
        2 => TokenExpired,
        3 => Banned,
        4 => Draining,
        5 => Replaced,
        6 => KeepAliveTimeout,
        7 => LoginTimeout,
        8 => SlowConsumer,
        9 => ProtocolError,
        10 => Internal,
    }
    KeepAlive "keep-alive" here {
        0 => Client { interval_ms },
        1 => Server { interval_ms },
    }
    Resumption "resumption" here {
        0 => New,
        1 => Resumed,
        2 => Lapsed,
    }
    ErrorKind "error kind" here {
        0 => Failure,
        1 => InvalidArgument,
        2 => Rejected,
        3 => Timeout,
        4 => TooOften,
        5 => NotLoggedIn,
        6 => InvalidAppId,
        7 => InvalidToken,
        8 => TokenExpired,
        9 => NotAuthorized,
        10 => Banned,
        11 => AlreadyLogin,
        12 => AbortedByLogout,
        13 => GatewayConnectFailed,
        14 => InvalidUserId,
        15 => InvalidMessage,
        16 => IncompatibleMessage,
        17 => ExceedLimit,
        18 => SizeOverflow,
        19 => UserNotFound,
        20 => AlreadyJoined,
        21 => AlreadyJoinedSameId,
        22 => SameChannelTooOften,
        23 => AbortedByLeave,
        24 => NotInChannel,
        25 => NotStarted,
        26 => AlreadyEnd,
        27 => AlreadyAccept,
        28 => AlreadySent,
        29 => OutcomeUnknown,
        30 => RevisionConflict,
        31 => Unsupported,
    }
}
