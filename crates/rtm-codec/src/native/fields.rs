//! How each type of the model lies in a frame: its fields in order, and the tag of each variant.
//!
//! The tables are append-only. They take every type apart without `..` and match without `_`, so
//! that a new field or variant does not compile before it has its place here.
//!
//! The fields behind a `;` may be missing at the end of a frame and get their defaults then. Each field that is added
//! goes there: a reader that does not know it ignores it, a sender that does not know it leaves it out. That
//! works only for a type that ends its frame, and for those in `entries!`.

use std::mem;

use super::{Field, Input, Output};
use crate::{
    AcceptInvitation, AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, Answer, CallLimit,
    CancelInvitation, ChannelAttribute, ChannelAttributeTarget, ChannelAttributes, ClearChannelAttributes,
    ClearLocalUserAttributes, CloseReason, Command, DecodeError, DecodeErrorKind, DeleteChannelAttributesByKeys,
    DeleteLocalUserAttributesByKeys, ErrorKind, Event, GetChannelAttributes, GetChannelMemberCount, GetMembers,
    GetUserAttributes, HistoryOf, HistoryPage, JoinChannel, KeepAlive, LeaveChannel, LocalInvitationFailureReason,
    Login, PeerMessage, PeerOnlineState, QueryHistory, QueryPeersBySubscriptionOption, QueryPeersOnlineStatus,
    RefuseInvitation, RemoteInvitationFailureReason, RenewToken, Resume, Resumption, RtmMessage, SendChannelMessage,
    SendInvitation, SendMessageToPeer, SendOutcome, SessionTicket, SetChannelAttributes, SetLocalUserAttributes,
    StoredMessage, SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus, Welcome,
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

/// Reads a field that may be missing.
macro_rules! get_if_there {
    ($what:expr, $input:ident) => {
        if $input.is_at_end() { Default::default() } else { get!($what, $input) }
    };
}

/// `@without` names the fields that this wire has no use for.
macro_rules! structs {
    ($($name:ident { $($field:ident),* $(; $($added:ident),+)? $(@without $($absent:ident),+)? })*) => {$(
        impl Field for $name {
            #[inline(always)]
            fn put(&self, out: &mut Output<'_>) {
                let Self { $($field,)* $($($added,)+)? $($($absent: _,)+)? } = self;
                let _ = &out;
                $($field.put(out);)*
                $($($added.put(out);)+)?
            }

            #[inline]
            fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                let _ = &input;
                Ok(Self {
                    $($field: get!(stringify!($field), input),)*
                    $($($added: get_if_there!(stringify!($added), input),)+)?
                    $($($absent: Default::default(),)+)?
                })
            }
        }
    )*};
}

/// The entries of lists and maps that are more than one value. The length of each comes first, so that it can get
/// more fields.
macro_rules! entries {
    ($($name:ident { $($field:ident),* $(; $($added:ident),+)? })*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Output<'_>) {
                let Self { $($field,)* $($($added,)+)? } = self;
                out.part(|out| {
                    $($field.put(out);)*
                    $($($added.put(out);)+)?
                });
            }

            fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                let input = &mut input.part()?;
                Ok(Self {
                    $($field: get!(stringify!($field), input),)*
                    $($($added: get_if_there!(stringify!($added), input),)+)?
                })
            }
        }
    )*};
}

macro_rules! enums {
    ($($name:ident $what:literal $place:ident {
        $($tag:literal => $(@$frequent:ident)? $variant:ident $(($inner:ident))?
            $({ $($field:ident),* $(; $($added:ident),+)? })?,)*
    })*) => {$(
        impl Field for $name {
            #[inline(always)]
            fn put(&self, out: &mut Output<'_>) {
                match self {
                    $(Self::$variant $(($inner))? $({ $($field,)* $($($added,)+)? })? => {
                        written!($place $($frequent)?, out, {
                            out.tag($tag);
                            $($inner.put(out);)?
                            $($($field.put(out);)* $($($added.put(out);)+)?)?
                        })
                    })*
                }
            }

            #[inline]
            fn get(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                Ok(match input.tag().map_err(|error| error.named($what))? {
                    $($tag => Self::$variant
                        $(({ let $inner = get!($what, input); $inner }))?
                        $({
                            $($field: get!(stringify!($field), input),)*
                            $($($added: get_if_there!(stringify!($added), input),)+)?
                        })?,
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
    ChannelAttributeTarget { channel_id, notify, expected_revision }
    SetChannelAttributes { target, attributes }
    AddOrUpdateChannelAttributes { target, attributes }
    DeleteChannelAttributesByKeys { target, keys }
    ClearChannelAttributes { target }
    GetChannelAttributes { channel_id, keys }
    QueryHistory { conversation, from_ts, until_ts, after, limit }
    HistoryPage { messages, next }
    PeerMessage { message_id, peer_id, message, is_offline_message, server_received_ts }
    ChannelAttributes { attributes, revision }
    Login { app_id, user_id, token, instance, resume, keep_alive; window, abilities @without gateway_session }
    Resume { ticket, received, consumed, answered }
    Welcome { user_id, ticket, resumption, token_expires_in_ms, server_time_ms; limits }
    SessionTicket { session, epoch }
}

entries! {
    StoredMessage { message_id, from, message, server_received_ts }
    ChannelAttribute { value, last_update_user_id, last_update_ts }
    CallLimit { calls, per_ms }
}

enums! {
    Command "command" apart {
        0 => RenewToken(operation),
        1 => @frequent SendMessageToPeer(operation),
        2 => QueryPeersOnlineStatus(operation),
        3 => SubscribePeersOnlineStatus(operation),
        4 => UnsubscribePeersOnlineStatus(operation),
        5 => QueryPeersBySubscriptionOption(operation),
        6 => SendInvitation(operation),
        7 => CancelInvitation(operation),
        8 => AcceptInvitation(operation),
        9 => RefuseInvitation(operation),
        10 => SetLocalUserAttributes(operation),
        11 => AddOrUpdateLocalUserAttributes(operation),
        12 => DeleteLocalUserAttributesByKeys(operation),
        13 => ClearLocalUserAttributes(operation),
        14 => GetUserAttributes(operation),
        15 => JoinChannel(operation),
        16 => LeaveChannel(operation),
        17 => @frequent SendChannelMessage(operation),
        18 => GetMembers(operation),
        19 => GetChannelMemberCount(operation),
        20 => SetChannelAttributes(operation),
        21 => AddOrUpdateChannelAttributes(operation),
        22 => DeleteChannelAttributesByKeys(operation),
        23 => ClearChannelAttributes(operation),
        24 => GetChannelAttributes(operation),
        25 => QueryHistory(operation),
    }
    Answer "answer" apart {
        0 => RenewToken(answer),
        1 => @frequent SendMessageToPeer(answer),
        2 => QueryPeersOnlineStatus(answer),
        3 => SubscribePeersOnlineStatus(answer),
        4 => UnsubscribePeersOnlineStatus(answer),
        5 => QueryPeersBySubscriptionOption(answer),
        6 => SendInvitation(answer),
        7 => CancelInvitation(answer),
        8 => AcceptInvitation(answer),
        9 => RefuseInvitation(answer),
        10 => SetLocalUserAttributes(answer),
        11 => AddOrUpdateLocalUserAttributes(answer),
        12 => DeleteLocalUserAttributesByKeys(answer),
        13 => ClearLocalUserAttributes(answer),
        14 => GetUserAttributes(answer),
        15 => JoinChannel(answer),
        16 => LeaveChannel(answer),
        17 => SendChannelMessage(answer),
        18 => GetMembers(answer),
        19 => GetChannelMemberCount(answer),
        20 => SetChannelAttributes(answer),
        21 => AddOrUpdateChannelAttributes(answer),
        22 => DeleteChannelAttributesByKeys(answer),
        23 => ClearChannelAttributes(answer),
        24 => GetChannelAttributes(answer),
        25 => QueryHistory(answer),
    }
    Event "event" apart {
        0 => @frequent MessageFromPeer(message),
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
        0 => Text(text),
        1 => Binary(bytes),
        2 => Value(bytes),
    }
    HistoryOf "history" here {
        0 => Peer(peer_id),
        1 => Channel(channel_id),
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
        32 => ProviderFailed,
        33 => ClientEnded,
    }
}
