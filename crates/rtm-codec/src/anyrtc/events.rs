//! Events as the wire has them: what a server writes, and what a client reads.

use compact_str::CompactString;

use super::{
    cmd::{
        ACCEPT_FAILURE, CALL_NO_RESPONSE, CALL_PEER_OFFLINE, CALL_RECEIVED, Cmd, INVITATION_EXPIRE, NOT_LOGGED_IN,
        REASON_OFFLINE, REASON_TIMEOUT, TEXT,
    },
    envelope::{self, Content},
    fields::{Body, Field, Mark, Number, Str},
    lists, shapes,
};
use crate::{
    CallId, ChannelId, DecodeErrorKind, Event, LocalInvitationFailureReason, MessageId, PeerMessage,
    RemoteInvitationFailureReason, RtmMessage, Text, UserId,
};

/// Writes an event for `user_id`; `None` for one that the wire cannot say.
pub(super) fn write(event: &Event, user_id: &str) -> Option<String> {
    let to = Str::from(user_id);
    Some(match event {
        Event::MessageFromPeer(PeerMessage {
            message_id,
            peer_id,
            message,
            is_offline_message,
            server_received_ts,
        }) => {
            let body = Body::of(message)?;
            let size = body.size() + MESSAGE_BYTES;
            let content = shapes::RecvMsgFromPeer {
                msg_id: msg_id(*message_id),
                from: Str::from(peer_id),
                msg_type: Number(Some(TEXT)),
                body,
                time: Number(Some(*server_received_ts)),
                offline: Mark(*is_offline_message),
            };
            envelope::write(Cmd::RecvMsgFromPeer, size, |out| content.write(out))
        }
        Event::ChannelMessage { channel_id, message_id, member_id, message, server_received_ts } => {
            let body = Body::of(message)?;
            let size = body.size() + MESSAGE_BYTES;
            let content = shapes::RecvMsgFromChan {
                channel_id: Str::from(channel_id),
                msg_id: msg_id(*message_id),
                from: Str::from(member_id),
                msg_type: Number(Some(TEXT)),
                body,
                time: Number(Some(*server_received_ts)),
            };
            envelope::write(Cmd::RecvMsgFromChan, size, |out| content.write(out))
        }
        Event::PeersOnlineStatusChanged { peers } => envelope::write_object(
            Cmd::PeerOnlineStatus,
            &shapes::PeerOnlineStatus { status: lists::peer_states(peers) },
        ),
        Event::TokenWillExpire { expires_in_ms: _ } => envelope::write(Cmd::AcsTokenWillExpire, 0, |out| out.raw("{}")),
        Event::RemoteInvitationReceived { call_id, caller_id, content } => envelope::write_object(
            Cmd::MakeCall,
            &shapes::MakeCall {
                call_id: Str::from(call_id),
                from: Str::from(caller_id),
                to,
                content: Str::from(content),
            },
        ),
        Event::RemoteInvitationCanceled { call_id, caller_id, content } => {
            cancel_call(call_id, caller_id, to, ("", None), content)
        }
        Event::RemoteInvitationFailure { call_id, caller_id, reason } => {
            let reason = match reason {
                RemoteInvitationFailureReason::PeerOffline => (REASON_OFFLINE, None),
                RemoteInvitationFailureReason::AcceptFailure => (REASON_OFFLINE, Some(ACCEPT_FAILURE)),
                RemoteInvitationFailureReason::InvitationExpire => (REASON_TIMEOUT, None),
            };
            cancel_call(call_id, caller_id, to, reason, "")
        }
        Event::LocalInvitationReceivedByPeer { call_id, callee_id } => {
            call_status(call_id, callee_id, CALL_RECEIVED, None)
        }
        Event::LocalInvitationAccepted { call_id, callee_id, response } => {
            answer_call(Cmd::AcceptCall, call_id, callee_id, to, response)
        }
        Event::LocalInvitationRefused { call_id, callee_id, response } => {
            answer_call(Cmd::RejectCall, call_id, callee_id, to, response)
        }
        Event::LocalInvitationFailure { call_id, callee_id, reason } => {
            // The SDK knows two reasons. Nobody answering is no response.
            let (status, failure) = match reason {
                LocalInvitationFailureReason::PeerOffline => (CALL_PEER_OFFLINE, None),
                LocalInvitationFailureReason::PeerNoResponse => (CALL_NO_RESPONSE, None),
                LocalInvitationFailureReason::InvitationExpire => (CALL_NO_RESPONSE, Some(INVITATION_EXPIRE)),
                LocalInvitationFailureReason::NotLoggedIn => (CALL_PEER_OFFLINE, Some(NOT_LOGGED_IN)),
            };
            call_status(call_id, callee_id, status, failure)
        }
        Event::MemberJoined { channel_id, member_id, member_count } => {
            member(Cmd::ChanMemberJoin, channel_id, member_id, *member_count)
        }
        Event::MemberLeft { channel_id, member_id, member_count } => {
            member(Cmd::ChanMemberLeave, channel_id, member_id, *member_count)
        }
        Event::MemberCountUpdated { channel_id, member_count } => envelope::write_object(
            Cmd::MemSizeChanged,
            &shapes::ChanMemberSize { channel_id: Str::from(channel_id), size: Number(Some(u64::from(*member_count))) },
        ),
        Event::AttributesUpdated { channel_id, attributes } => envelope::write_object(
            Cmd::ChanAttribChanged,
            &shapes::ChanAttribChanged {
                channel_id: Str::from(channel_id),
                attributes: lists::channel_attributes(attributes),
            },
        ),
        Event::Gap { .. } => return None,
    })
}

/// The call that an event is about.
pub(super) fn call_id(event: &Event) -> Option<&CallId> {
    match event {
        Event::RemoteInvitationReceived { call_id, .. }
        | Event::RemoteInvitationCanceled { call_id, .. }
        | Event::RemoteInvitationFailure { call_id, .. }
        | Event::LocalInvitationReceivedByPeer { call_id, .. }
        | Event::LocalInvitationAccepted { call_id, .. }
        | Event::LocalInvitationRefused { call_id, .. }
        | Event::LocalInvitationFailure { call_id, .. } => Some(call_id),
        Event::MessageFromPeer(_)
        | Event::PeersOnlineStatusChanged { .. }
        | Event::TokenWillExpire { .. }
        | Event::ChannelMessage { .. }
        | Event::MemberJoined { .. }
        | Event::MemberLeft { .. }
        | Event::MemberCountUpdated { .. }
        | Event::AttributesUpdated { .. }
        | Event::Gap { .. } => None,
    }
}

/// The number that a message has on this wire: JavaScript rounds larger ones, and could not acknowledge them.
pub(super) fn msg_id(message_id: MessageId) -> Number {
    let MessageId(id) = message_id;
    Number(Some(if id <= MAX_SAFE_INTEGER { id } else { id % MSG_IDS }))
}

fn cancel_call(
    call_id: &CallId,
    caller_id: &UserId,
    to: Str<'_>,
    (reason, failure): (&str, Option<&str>),
    content: &str,
) -> String {
    envelope::write_object(
        Cmd::CancelCall,
        &shapes::CancelCall {
            call_id: Str::from(call_id),
            from: Str::from(caller_id),
            to,
            reason: Str::from(reason),
            content: Str::from(content),
            failure: failure.map(Str::from).unwrap_or_default(),
            code: Number(None),
        },
    )
}

fn answer_call(cmd: Cmd, call_id: &CallId, callee_id: &UserId, to: Str<'_>, response: &Text) -> String {
    envelope::write_object(
        cmd,
        &shapes::AnswerCall {
            call_id: Str::from(call_id),
            from: Str::from(callee_id),
            to,
            response: Str::from(response),
        },
    )
}

fn call_status(call_id: &CallId, callee_id: &UserId, status: u64, failure: Option<&str>) -> String {
    envelope::write_object(
        Cmd::CallStatus,
        &shapes::CallStatus {
            call_id: Str::from(call_id),
            status: Number(Some(status)),
            to: Str::from(callee_id),
            failure: failure.map(Str::from).unwrap_or_default(),
            code: Number(None),
        },
    )
}

fn member(cmd: Cmd, channel_id: &ChannelId, member_id: &UserId, count: u32) -> String {
    envelope::write_object(
        cmd,
        &shapes::ChanMember {
            channel_id: Str::from(channel_id),
            user_id: Str::from(member_id),
            size: Number(Some(u64::from(count))),
        },
    )
}

/// An event that a client received.
#[derive(Debug)]
pub(super) struct Received {
    /// The event; `None` when it makes no sense, or is of no interest.
    pub(super) event: Option<Event>,
    /// What acknowledges it, where that is asked for.
    pub(super) ack: Option<Receipt>,
}

/// What acknowledges a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) msg_id: u64,
    pub(super) from: CompactString,
}

/// Reads an event; `None` for a command that is none. A message that cannot be shown is a gap of one.
pub(super) fn read(cmd: Cmd, content: &mut Content<'_>) -> Result<Option<Received>, DecodeErrorKind> {
    let event = match cmd {
        Cmd::RecvMsgFromPeer => {
            let it = content.read::<shapes::RecvMsgFromPeer<'_>>()?;
            let from = CompactString::new(it.from.as_str());
            let ack = it.msg_id.0.map(|msg_id| Receipt { msg_id, from });
            let event = message_from_peer(it).unwrap_or(Event::Gap { channel_id: None, lost: Some(1) });
            return Ok(Some(Received { event: Some(event), ack }));
        }
        Cmd::RecvMsgFromChan => {
            let it = content.read::<shapes::RecvMsgFromChan<'_>>()?;
            let channel_id = ChannelId::new(it.channel_id.as_str()).ok();
            let gap = Event::Gap { channel_id: channel_id.clone(), lost: Some(1) };
            Some(channel_id.and_then(|channel_id| channel_message(channel_id, it)).unwrap_or(gap))
        }
        Cmd::PeerOnlineStatus => {
            let it = content.read::<shapes::PeerOnlineStatus<'_>>()?;
            Some(Event::PeersOnlineStatusChanged { peers: lists::read_peer_states(&it.status)? })
        }
        Cmd::AcsTokenWillExpire => Some(Event::TokenWillExpire { expires_in_ms: TOKEN_WARNING_MS }),
        Cmd::MakeCall => {
            let it = content.read::<shapes::MakeCall<'_>>()?;
            call(&it.call_id, &it.from).map(|(call_id, caller_id)| Event::RemoteInvitationReceived {
                call_id,
                caller_id,
                content: Text::from(it.content.as_str()),
            })
        }
        Cmd::AcceptCall | Cmd::RejectCall => {
            let it = content.read::<shapes::AnswerCall<'_>>()?;
            let response = Text::from(it.response.as_str());
            call(&it.call_id, &it.from).map(|(call_id, callee_id)| match cmd {
                Cmd::AcceptCall => Event::LocalInvitationAccepted { call_id, callee_id, response },
                _ => Event::LocalInvitationRefused { call_id, callee_id, response },
            })
        }
        Cmd::ChanMemberJoin | Cmd::ChanMemberLeave => {
            let it = content.read::<shapes::ChanMember<'_>>()?;
            let member_count = count(it.size);
            let ids = ChannelId::new(it.channel_id.as_str()).ok().zip(UserId::new(it.user_id.as_str()).ok());
            ids.map(|(channel_id, member_id)| match cmd {
                Cmd::ChanMemberJoin => Event::MemberJoined { channel_id, member_id, member_count },
                _ => Event::MemberLeft { channel_id, member_id, member_count },
            })
        }
        Cmd::MemSizeChanged => {
            let it = content.read::<shapes::ChanMemberSize<'_>>()?;
            let channel_id = ChannelId::new(it.channel_id.as_str()).ok();
            channel_id.map(|channel_id| Event::MemberCountUpdated { channel_id, member_count: count(it.size) })
        }
        Cmd::ChanAttribChanged => {
            let it = content.read::<shapes::ChanAttribChanged<'_>>()?;
            let attributes = lists::read_channel_attributes(&it.attributes)?;
            let channel_id = ChannelId::new(it.channel_id.as_str()).ok();
            channel_id.map(|channel_id| Event::AttributesUpdated { channel_id, attributes })
        }
        _ => return Ok(None),
    };
    Ok(Some(Received { event, ack: None }))
}

fn message_from_peer(it: shapes::RecvMsgFromPeer<'_>) -> Option<Event> {
    Some(Event::MessageFromPeer(PeerMessage {
        message_id: MessageId(it.msg_id.0?),
        peer_id: UserId::new(it.from.as_str()).ok()?,
        message: text(it.msg_type, it.body)?,
        is_offline_message: it.offline.0,
        server_received_ts: it.time.0.unwrap_or_default(),
    }))
}

fn channel_message(channel_id: ChannelId, it: shapes::RecvMsgFromChan<'_>) -> Option<Event> {
    Some(Event::ChannelMessage {
        channel_id,
        message_id: MessageId(it.msg_id.0?),
        member_id: UserId::new(it.from.as_str()).ok()?,
        message: text(it.msg_type, it.body)?,
        server_received_ts: it.time.0.unwrap_or_default(),
    })
}

/// The text of a message, which is of a type that we know.
pub(super) fn text(msg_type: Number, body: Body<'_>) -> Option<RtmMessage> {
    match (msg_type.0, body) {
        (Some(TEXT), Body::Text(text)) => Some(RtmMessage::Text(text.into())),
        _ => None,
    }
}

fn call(call_id: &Str<'_>, peer: &Str<'_>) -> Option<(CallId, UserId)> {
    CallId::new(call_id.as_str()).ok().zip(UserId::new(peer.as_str()).ok())
}

fn count(size: Number) -> u32 {
    u32::try_from(size.0.unwrap_or_default()).unwrap_or(u32::MAX)
}

/// How long before a token's end the vendor warns, which its wire does not tell.
const TOKEN_WARNING_MS: u64 = 30_000;
/// The largest whole number that JavaScript has without gaps.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// How many numbers of 13 digits there are, the most that the SDK makes.
const MSG_IDS: u64 = 10_000_000_000_000;
/// Room for a message without its body.
const MESSAGE_BYTES: usize = 320;
