//! Requests as a server reads them: a call, or why it is refused, and what the answer has to say again.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::{
    cmd::{Cmd, TEXT},
    envelope::Content,
    fields::{Body, Entries, Field, List, Number, Str},
    shapes,
};
use crate::{
    AcceptInvitation, AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, AttributeKey, CancelInvitation,
    ChannelAttributeTarget, ChannelId, ClearChannelAttributes, ClearLocalUserAttributes, Command, DecodeErrorKind,
    DeleteChannelAttributesByKeys, DeleteLocalUserAttributesByKeys, ErrorKind, GetChannelAttributes,
    GetChannelMemberCount, GetMembers, GetUserAttributes, InvalidId, JoinChannel, LeaveChannel, MessageId,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, Refusal, RefuseInvitation, RenewToken, RtmMessage,
    SendChannelMessage, SendInvitation, SendMessageToPeer, SetChannelAttributes, SetLocalUserAttributes,
    SubscribePeersOnlineStatus, Text, Token, UnsubscribePeersOnlineStatus, limits,
};

/// What the answer to a request has to say again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Echo {
    /// The request.
    pub(super) cmd: Cmd,
    pub(super) msg_id: Number,
    /// The channel, call or user that it names, as it names it.
    pub(super) name: CompactString,
    /// Whom a call is with.
    pub(super) peer: CompactString,
}

impl Echo {
    fn new(cmd: Cmd) -> Self {
        Self { cmd, msg_id: Number(None), name: CompactString::default(), peer: CompactString::default() }
    }

    fn msg_id(mut self, msg_id: Number) -> Self {
        self.msg_id = msg_id;
        self
    }

    fn name(mut self, name: &Str<'_>) -> Self {
        self.name = echoed(name);
        self
    }

    /// The same, however long it is: the SDK looks for its own text in the answer.
    fn whole_name(mut self, name: &Str<'_>) -> Self {
        self.name = CompactString::new(name.as_str());
        self
    }

    fn peer(mut self, peer: &Str<'_>) -> Self {
        self.peer = echoed(peer);
        self
    }
}

/// A request that a server received.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) echo: Echo,
    /// What to do, or why not.
    pub(super) command: Result<Command, Refusal>,
}

/// Reads a request; `None` for a command that is none.
pub(super) fn read(cmd: Cmd, content: &mut Content<'_>) -> Result<Option<Asked>, DecodeErrorKind> {
    let echo = Echo::new(cmd);
    let (echo, command) = match cmd {
        Cmd::SendMsgToPeer => {
            let it = content.read::<shapes::SendMsgToPeer<'_>>()?;
            (echo.msg_id(it.msg_id), send_msg_to_peer(it))
        }
        Cmd::SendChannelMsg => {
            let it = content.read::<shapes::SendChannelMsg<'_>>()?;
            (echo.msg_id(it.msg_id).name(&it.channel_id), send_channel_msg(it))
        }
        Cmd::RenewAcsToken => {
            let it = content.read::<shapes::RenewAcsToken<'_>>()?;
            (echo, token(&it.token).map(|token| RenewToken { token }.into()))
        }
        Cmd::QueryOnlineStatus | Cmd::SubscribeOnlineStatus | Cmd::UnSubscribeOnlineStatus => {
            let it = content.read::<shapes::Peers<'_>>()?;
            (echo.msg_id(it.msg_id), peers(cmd, &it.user_ids.0))
        }
        Cmd::QueryOnlineSubStatus => {
            let it = content.read::<shapes::OnlyMsgId>()?;
            (echo.msg_id(it.msg_id), Ok(QueryPeersBySubscriptionOption {}.into()))
        }
        Cmd::AddOrUpdateUserAttributes => {
            let it = content.read::<shapes::AddOrUpdateUserAttributes<'_>>()?;
            let command = attributes(&it.attributes.0).map(|attributes| match it.set.0 {
                true => SetLocalUserAttributes { attributes }.into(),
                false => AddOrUpdateLocalUserAttributes { attributes }.into(),
            });
            (echo.msg_id(it.msg_id), command)
        }
        Cmd::DeleteUserAttributes => {
            let it = content.read::<shapes::DeleteUserAttributes<'_>>()?;
            let command = keys_to_delete(&it.keys.0).map(|keys| DeleteLocalUserAttributesByKeys { keys }.into());
            (echo.msg_id(it.msg_id), command)
        }
        Cmd::ClearUserAttributes => {
            let it = content.read::<shapes::OnlyMsgId>()?;
            (echo.msg_id(it.msg_id), Ok(ClearLocalUserAttributes {}.into()))
        }
        Cmd::GetUserAttributes => {
            let it = content.read::<shapes::GetUserAttributes<'_>>()?;
            (echo.msg_id(it.msg_id).whole_name(&it.user_id), get_user_attributes(&it))
        }
        Cmd::JoinChannel => {
            let it = content.read::<shapes::OnlyChanId<'_>>()?;
            (echo.name(&it.channel_id), channel_id(&it.channel_id).map(|channel_id| JoinChannel { channel_id }.into()))
        }
        Cmd::LeaveChannel => {
            let it = content.read::<shapes::OnlyChanId<'_>>()?;
            (echo.name(&it.channel_id), channel_id(&it.channel_id).map(|channel_id| LeaveChannel { channel_id }.into()))
        }
        Cmd::AddOrUpdateChanAttributes => {
            let it = content.read::<shapes::AddOrUpdateChanAttributes<'_>>()?;
            (echo.msg_id(it.msg_id).name(&it.channel_id), add_or_update_chan_attributes(&it))
        }
        Cmd::DeleteChanAttributes => {
            let it = content.read::<shapes::DeleteChanAttributes<'_>>()?;
            (echo.msg_id(it.msg_id).name(&it.channel_id), delete_chan_attributes(&it))
        }
        Cmd::ClearChanAttributes => {
            let it = content.read::<shapes::ClearChanAttributes<'_>>()?;
            let command = channel_id(&it.channel_id).map(|channel_id| {
                let target = ChannelAttributeTarget { channel_id, notify: it.notify.0, expected_revision: None };
                ClearChannelAttributes { target }.into()
            });
            (echo.msg_id(it.msg_id).name(&it.channel_id), command)
        }
        Cmd::GetChanAttributes => {
            let it = content.read::<shapes::MsgIdAndChanId<'_>>()?;
            let command =
                channel_id(&it.channel_id).map(|channel_id| GetChannelAttributes { channel_id, keys: None }.into());
            (echo.msg_id(it.msg_id).name(&it.channel_id), command)
        }
        Cmd::GetChanAttributesByKeys => {
            let it = content.read::<shapes::GetChanAttributesByKeys<'_>>()?;
            let command = channel_id(&it.channel_id)
                .and_then(|channel_id| Ok(GetChannelAttributes { channel_id, keys: Some(keys(&it.keys.0)?) }.into()));
            (echo.msg_id(it.msg_id).name(&it.channel_id), command)
        }
        Cmd::GetChanMemberSize => {
            let it = content.read::<shapes::GetChanMemberSize<'_>>()?;
            let command = ids(&it.channel_ids.0, "channel ids", limits::MEMBER_COUNT_CHANNELS, ErrorKind::ExceedLimit)
                .map(|channel_ids| GetChannelMemberCount { channel_ids }.into());
            (echo.msg_id(it.msg_id), command)
        }
        Cmd::GetChanMembers => {
            let it = content.read::<shapes::MsgIdAndChanId<'_>>()?;
            let command = channel_id(&it.channel_id).map(|channel_id| GetMembers { channel_id }.into());
            (echo.msg_id(it.msg_id).name(&it.channel_id), command)
        }
        Cmd::MakeCall => {
            let it = content.read::<shapes::MakeCall<'_>>()?;
            (echo.name(&it.call_id).peer(&it.to), make_call(&it))
        }
        Cmd::CancelCall => {
            let it = content.read::<shapes::CancelCall<'_>>()?;
            (echo.name(&it.call_id).peer(&it.to), cancel_call(&it))
        }
        Cmd::AcceptCall | Cmd::RejectCall => {
            let it = content.read::<shapes::AnswerCall<'_>>()?;
            (echo.name(&it.call_id).peer(&it.to), answer_call(cmd, &it))
        }
        _ => return Ok(None),
    };
    Ok(Some(Asked { echo, command }))
}

fn send_msg_to_peer(it: shapes::SendMsgToPeer<'_>) -> Result<Command, Refusal> {
    Ok(SendMessageToPeer {
        message_id: message_id(it.msg_id)?,
        peer_id: id(&it.to, ErrorKind::InvalidUserId)?,
        message: message(it.body, it.msg_type)?,
        enable_offline_messaging: it.offline.0,
        enable_historical_messaging: it.history.0,
    }
    .into())
}

fn send_channel_msg(it: shapes::SendChannelMsg<'_>) -> Result<Command, Refusal> {
    Ok(SendChannelMessage {
        message_id: message_id(it.msg_id)?,
        channel_id: channel_id(&it.channel_id)?,
        message: message(it.body, it.msg_type)?,
        enable_historical_messaging: it.history.0,
    }
    .into())
}

fn peers(cmd: Cmd, list: &List<Str<'_>, { limits::SUBSCRIBED_PEERS }>) -> Result<Command, Refusal> {
    let (max, overflow) = match cmd {
        Cmd::QueryOnlineStatus => (limits::ONLINE_QUERY_PEERS, ErrorKind::InvalidArgument),
        _ => (limits::SUBSCRIBED_PEERS, ErrorKind::ExceedLimit),
    };
    let peer_ids = ids(list, "user ids", max, overflow)?;
    Ok(match cmd {
        Cmd::QueryOnlineStatus => QueryPeersOnlineStatus { peer_ids }.into(),
        Cmd::SubscribeOnlineStatus => SubscribePeersOnlineStatus { peer_ids }.into(),
        _ => UnsubscribePeersOnlineStatus { peer_ids }.into(),
    })
}

fn get_user_attributes(it: &shapes::GetUserAttributes<'_>) -> Result<Command, Refusal> {
    let keys = if it.keys.is_absent() { None } else { Some(keys(&it.keys)?) };
    Ok(GetUserAttributes { user_id: id(&it.user_id, ErrorKind::InvalidArgument)?, keys }.into())
}

fn add_or_update_chan_attributes(it: &shapes::AddOrUpdateChanAttributes<'_>) -> Result<Command, Refusal> {
    let channel_id = channel_id(&it.channel_id)?;
    let attributes = attributes(&it.attributes.0)?;
    let target = ChannelAttributeTarget { channel_id, notify: it.notify.0, expected_revision: None };
    Ok(match it.set.0 {
        true => SetChannelAttributes { target, attributes }.into(),
        false => AddOrUpdateChannelAttributes { target, attributes }.into(),
    })
}

fn delete_chan_attributes(it: &shapes::DeleteChanAttributes<'_>) -> Result<Command, Refusal> {
    Ok(DeleteChannelAttributesByKeys {
        target: ChannelAttributeTarget {
            channel_id: channel_id(&it.channel_id)?,
            notify: it.notify.0,
            expected_revision: None,
        },
        keys: keys_to_delete(&it.keys.0)?,
    }
    .into())
}

fn make_call(it: &shapes::MakeCall<'_>) -> Result<Command, Refusal> {
    Ok(SendInvitation {
        call_id: id(&it.call_id, ErrorKind::InvalidArgument)?,
        callee_id: id(&it.to, ErrorKind::InvalidArgument)?,
        content: {
            limits::check_invitation_text(it.content.as_str())?;
            Text::from(it.content.as_str())
        },
    }
    .into())
}

/// A content that is too long is for the server to refuse, which knows the call that has to end with that.
fn cancel_call(it: &shapes::CancelCall<'_>) -> Result<Command, Refusal> {
    Ok(CancelInvitation {
        call_id: id(&it.call_id, ErrorKind::InvalidArgument)?,
        callee_id: id(&it.to, ErrorKind::InvalidArgument)?,
        content: Text::from(it.content.as_str()),
    }
    .into())
}

/// As with the content of a cancel.
fn answer_call(cmd: Cmd, it: &shapes::AnswerCall<'_>) -> Result<Command, Refusal> {
    let call_id = id(&it.call_id, ErrorKind::InvalidArgument)?;
    let caller_id = id(&it.to, ErrorKind::InvalidArgument)?;
    let response = Text::from(it.response.as_str());
    Ok(match cmd {
        Cmd::AcceptCall => AcceptInvitation { call_id, caller_id, response }.into(),
        _ => RefuseInvitation { call_id, caller_id, response }.into(),
    })
}

/// An identifier; a wrong one is refused as `kind`.
fn id<'t, T>(text: &'t Str<'_>, kind: ErrorKind) -> Result<T, Refusal>
where
    T: TryFrom<&'t str, Error = InvalidId>,
{
    T::try_from(text.as_str()).map_err(|error| Refusal::new(kind, &error.to_string()))
}

fn channel_id(text: &Str<'_>) -> Result<ChannelId, Refusal> {
    id(text, ErrorKind::InvalidArgument)
}

fn ids<T, const MAX: usize>(
    list: &List<Str<'_>, MAX>,
    what: &str,
    max: usize,
    overflow: ErrorKind,
) -> Result<Vec<T>, Refusal>
where
    T: for<'t> TryFrom<&'t str, Error = InvalidId>,
{
    let Some(items) = &list.items else {
        return Err(Refusal::new(ErrorKind::InvalidArgument, &format!("the {what} are no list of strings")));
    };
    if list.overflow || items.len() > max {
        return Err(Refusal::new(overflow, &format!("there are more than {max} {what}")));
    }
    items.iter().map(|text| id(text, ErrorKind::InvalidArgument)).collect()
}

/// The keys that can be keys of attributes: no other can name any, and unknown ones are ignored.
fn keys<const MAX: usize>(list: &List<Str<'_>, MAX>) -> Result<Vec<AttributeKey>, Refusal> {
    let Some(items) = &list.items else {
        return Err(Refusal::new(ErrorKind::InvalidArgument, "the keys are no list of strings"));
    };
    if list.overflow {
        return Err(Refusal::new(ErrorKind::InvalidArgument, &format!("there are more than {MAX} keys")));
    }
    Ok(items.iter().filter_map(|key| AttributeKey::new(key.as_str()).ok()).collect())
}

/// The same, of which there may be none: to delete what cannot be is no error. A list that names nothing is one.
fn keys_to_delete<const MAX: usize>(list: &List<Str<'_>, MAX>) -> Result<Vec<AttributeKey>, Refusal> {
    if list.items.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refusal::new(ErrorKind::InvalidArgument, "no key is given"));
    }
    keys(list)
}

fn attributes<const MAX: usize>(entries: &Entries<'_, MAX>) -> Result<BTreeMap<AttributeKey, Text>, Refusal> {
    let invalid = |detail: &str| Refusal::new(ErrorKind::InvalidArgument, detail);
    let Some(pairs) = &entries.entries else {
        return Err(invalid("the attributes are no object of strings"));
    };
    if entries.overflow {
        return Err(Refusal::new(ErrorKind::SizeOverflow, &format!("there are more than {MAX} attributes")));
    }
    pairs
        .iter()
        .map(|(key, value)| {
            let key = AttributeKey::new(key).map_err(|error| invalid(&error.to_string()))?;
            let value = value.0.as_deref().ok_or_else(|| invalid("an attribute's value is no string"))?;
            Ok((key, Text::from(value)))
        })
        .collect()
}

fn message_id(msg_id: Number) -> Result<MessageId, Refusal> {
    let id = msg_id.0.ok_or_else(|| Refusal::new(ErrorKind::InvalidArgument, "the message has no id"))?;
    Ok(MessageId(id))
}

fn message(body: Body<'_>, msg_type: Number) -> Result<RtmMessage, Refusal> {
    let Body::Text(text) = body else {
        return Err(Refusal::new(ErrorKind::InvalidMessage, "the message has no text"));
    };
    if msg_type.0.is_some_and(|msg_type| msg_type != TEXT) {
        return Err(Refusal::new(ErrorKind::InvalidMessage, "the message is no text message"));
    }
    let message = RtmMessage::Text(text.into());
    limits::check_message(&message)?;
    Ok(message)
}

fn token(text: &Str<'_>) -> Result<Token, Refusal> {
    match text.as_str() {
        "" => Err(Refusal::new(ErrorKind::InvalidArgument, "the token is empty")),
        text => Token::new(text).map_err(|error| Refusal::new(ErrorKind::InvalidToken, &error.to_string())),
    }
}

/// An answer's name for what the request named; what is too long to be a name is not kept.
fn echoed(text: &Str<'_>) -> CompactString {
    let text = text.as_str();
    if text.len() <= ECHO_BYTES { CompactString::new(text) } else { CompactString::default() }
}

/// The longest name that an answer repeats. An invalid name may be longer than a valid one.
const ECHO_BYTES: usize = 256;
