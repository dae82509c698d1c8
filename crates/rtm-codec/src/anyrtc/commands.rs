//! Calls as a client writes them.

use std::collections::BTreeMap;

use super::{
    cmd::{Cmd, TEXT},
    envelope,
    fields::{Body, Entries, Field, Flag, List, Nested, Number, Str},
    shapes,
};
use crate::{
    AttributeKey, CallId, ChannelAttributeTarget, ClearLocalUserAttributes, Command, ErrorKind,
    QueryPeersBySubscriptionOption, Text, UserId,
};

/// Writes a request as `user_id`, numbered `msg_id`.
///
/// # Errors
///
/// The kind of what this wire cannot say.
pub(super) fn write(command: &Command, user_id: &str, msg_id: u64) -> Result<(Cmd, String), ErrorKind> {
    let from = Str::from(user_id);
    let msg_id = Number(Some(msg_id));
    Ok(match command {
        Command::SendMessageToPeer(it) => {
            let body = Body::of(&it.message).ok_or(ErrorKind::IncompatibleMessage)?;
            let size = body.size() + MESSAGE_BYTES;
            let content = shapes::SendMsgToPeer {
                msg_id,
                from,
                to: Str::from(&it.peer_id),
                msg_type: Number(Some(TEXT)),
                body,
                offline: Flag(it.enable_offline_messaging),
                history: Flag(it.enable_historical_messaging),
                description: Str::from(""),
            };
            (Cmd::SendMsgToPeer, envelope::write(Cmd::SendMsgToPeer, size, |out| content.write(out)))
        }
        Command::SendChannelMessage(it) => {
            let body = Body::of(&it.message).ok_or(ErrorKind::IncompatibleMessage)?;
            let size = body.size() + MESSAGE_BYTES;
            let content = shapes::SendChannelMsg {
                channel_id: Str::from(&it.channel_id),
                from,
                msg_id,
                msg_type: Number(Some(TEXT)),
                body,
                history: Flag(it.enable_historical_messaging),
                description: Str::from(""),
            };
            (Cmd::SendChannelMsg, envelope::write(Cmd::SendChannelMsg, size, |out| content.write(out)))
        }
        Command::RenewToken(it) => {
            object(Cmd::RenewAcsToken, &shapes::RenewAcsToken { token: Str::from(it.token.expose()) })
        }
        Command::QueryPeersOnlineStatus(it) => write_peers(Cmd::QueryOnlineStatus, msg_id, &it.peer_ids),
        Command::SubscribePeersOnlineStatus(it) => write_peers(Cmd::SubscribeOnlineStatus, msg_id, &it.peer_ids),
        Command::UnsubscribePeersOnlineStatus(it) => write_peers(Cmd::UnSubscribeOnlineStatus, msg_id, &it.peer_ids),
        Command::QueryPeersBySubscriptionOption(QueryPeersBySubscriptionOption {}) => {
            object(Cmd::QueryOnlineSubStatus, &shapes::OnlyMsgId { msg_id })
        }
        Command::SetLocalUserAttributes(it) => write_user_attributes(msg_id, true, &it.attributes),
        Command::AddOrUpdateLocalUserAttributes(it) => write_user_attributes(msg_id, false, &it.attributes),
        Command::DeleteLocalUserAttributesByKeys(it) => object(
            Cmd::DeleteUserAttributes,
            &shapes::DeleteUserAttributes { msg_id, keys: Nested(List::of(&it.keys)) },
        ),
        Command::ClearLocalUserAttributes(ClearLocalUserAttributes {}) => {
            object(Cmd::ClearUserAttributes, &shapes::OnlyMsgId { msg_id })
        }
        Command::GetUserAttributes(it) => object(
            Cmd::GetUserAttributes,
            &shapes::GetUserAttributes {
                msg_id,
                user_id: Str::from(&it.user_id),
                keys: it.keys.as_deref().map(List::of).unwrap_or_default(),
            },
        ),
        Command::JoinChannel(it) => {
            object(Cmd::JoinChannel, &shapes::OnlyChanId { channel_id: Str::from(&it.channel_id) })
        }
        Command::LeaveChannel(it) => {
            object(Cmd::LeaveChannel, &shapes::OnlyChanId { channel_id: Str::from(&it.channel_id) })
        }
        Command::SetChannelAttributes(it) => write_chan_attributes(msg_id, true, &it.target, &it.attributes)?,
        Command::AddOrUpdateChannelAttributes(it) => write_chan_attributes(msg_id, false, &it.target, &it.attributes)?,
        Command::DeleteChannelAttributesByKeys(it) => {
            let (channel_id, notify) = write_target(&it.target)?;
            let keys = Nested(List::of(&it.keys));
            object(Cmd::DeleteChanAttributes, &shapes::DeleteChanAttributes { msg_id, channel_id, keys, notify })
        }
        Command::ClearChannelAttributes(it) => {
            let (channel_id, notify) = write_target(&it.target)?;
            object(Cmd::ClearChanAttributes, &shapes::ClearChanAttributes { msg_id, channel_id, notify })
        }
        // It goes over the gateway.
        Command::QueryHistory(_) => return Err(ErrorKind::Unsupported),
        Command::GetChannelAttributes(it) => {
            let channel_id = Str::from(&it.channel_id);
            match &it.keys {
                None => object(Cmd::GetChanAttributes, &shapes::MsgIdAndChanId { msg_id, channel_id }),
                Some(keys) => object(
                    Cmd::GetChanAttributesByKeys,
                    &shapes::GetChanAttributesByKeys { msg_id, channel_id, keys: Nested(List::of(keys)) },
                ),
            }
        }
        Command::GetChannelMemberCount(it) => object(
            Cmd::GetChanMemberSize,
            &shapes::GetChanMemberSize { msg_id, channel_ids: Nested(List::of(&it.channel_ids)) },
        ),
        Command::GetMembers(it) => {
            object(Cmd::GetChanMembers, &shapes::MsgIdAndChanId { msg_id, channel_id: Str::from(&it.channel_id) })
        }
        Command::SendInvitation(it) => object(
            Cmd::MakeCall,
            &shapes::MakeCall {
                call_id: Str::from(&it.call_id),
                from,
                to: Str::from(&it.callee_id),
                content: Str::from(&it.content),
            },
        ),
        Command::CancelInvitation(it) => {
            (Cmd::CancelCall, write_cancel_call(&it.call_id, user_id, &it.callee_id, "", &it.content))
        }
        Command::AcceptInvitation(it) => write_answer(Cmd::AcceptCall, from, &it.call_id, &it.caller_id, &it.response),
        Command::RefuseInvitation(it) => write_answer(Cmd::RejectCall, from, &it.call_id, &it.caller_id, &it.response),
    })
}

/// Writes that a call of `from` to `to` is over.
pub(super) fn write_cancel_call(call_id: &CallId, from: &str, to: &UserId, reason: &str, content: &str) -> String {
    envelope::write_object(
        Cmd::CancelCall,
        &shapes::CancelCall {
            call_id: Str::from(call_id),
            from: Str::from(from),
            to: Str::from(to),
            reason: Str::from(reason),
            content: Str::from(content),
            ..Default::default()
        },
    )
}

fn write_answer(cmd: Cmd, from: Str<'_>, call_id: &CallId, caller_id: &UserId, response: &Text) -> (Cmd, String) {
    object(
        cmd,
        &shapes::AnswerCall {
            call_id: Str::from(call_id),
            from,
            to: Str::from(caller_id),
            response: Str::from(response),
        },
    )
}

fn write_peers(cmd: Cmd, msg_id: Number, peer_ids: &[UserId]) -> (Cmd, String) {
    object(cmd, &shapes::Peers { msg_id, user_ids: Nested(List::of(peer_ids)) })
}

fn write_user_attributes(msg_id: Number, set: bool, attributes: &BTreeMap<AttributeKey, Text>) -> (Cmd, String) {
    let attributes = Nested(Entries::of(attributes));
    object(Cmd::AddOrUpdateUserAttributes, &shapes::AddOrUpdateUserAttributes { msg_id, set: Flag(set), attributes })
}

fn write_chan_attributes(
    msg_id: Number,
    set: bool,
    target: &ChannelAttributeTarget,
    attributes: &BTreeMap<AttributeKey, Text>,
) -> Result<(Cmd, String), ErrorKind> {
    let (channel_id, notify) = write_target(target)?;
    let (set, attributes) = (Flag(set), Nested(Entries::of(attributes)));
    let content = shapes::AddOrUpdateChanAttributes { msg_id, set, channel_id, attributes, notify };
    Ok(object(Cmd::AddOrUpdateChanAttributes, &content))
}

/// The wire has no revisions.
fn write_target(target: &ChannelAttributeTarget) -> Result<(Str<'_>, Flag), ErrorKind> {
    match target {
        ChannelAttributeTarget { channel_id, notify, expected_revision: None } => {
            Ok((Str::from(channel_id), Flag(*notify)))
        }
        _ => Err(ErrorKind::Unsupported),
    }
}

fn object<'a>(cmd: Cmd, content: &impl Field<'a>) -> (Cmd, String) {
    (cmd, envelope::write_object(cmd, content))
}

/// Room for a message without its body.
const MESSAGE_BYTES: usize = 320;
