//! The objects of the wire, each declared once for reading and writing; field order is the SDK's.
//!
//! Fields marked *ours* are no part of the vendor's wire: its SDK and servers ignore them, and where
//! they are absent the vendor's meaning holds.

use super::{
    fields::{Body, Cursor, Entries, Field, Flag, List, Mark, Nested, Number, Optional, Signed, Str},
    reader::{Kind, Reader},
};
use crate::{
    DecodeErrorKind,
    json::Writer,
    limits::{ATTRIBUTE_COUNT, MEMBER_COUNT_CHANNELS, SUBSCRIBED_PEERS},
};

macro_rules! shapes {
    ($(
        $(#[$doc:meta])*
        $name:ident$(<$lt:lifetime>)? { $($(#[$field_doc:meta])* $field:ident: $key:literal => $type:ty,)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(super) struct $name$(<$lt>)? {
            $($(#[$field_doc])* pub(super) $field: $type,)*
        }

        shapes! { @field [$($lt)?] $name$(<$lt>)? { $($field: $key,)* } }
    )*};
    (@field [] $name:ty { $($fields:tt)* }) => {
        impl<'a> Field<'a> for $name {
            shapes! { @methods $($fields)* }
        }
    };
    (@field [$lt:lifetime] $name:ty { $($fields:tt)* }) => {
        impl<$lt> Field<$lt> for $name {
            shapes! { @methods $($fields)* }
        }
    };
    (@methods $($field:ident: $key:literal,)*) => {
        fn read(from: &mut Reader<'a>) -> Result<Self, DecodeErrorKind> {
            let mut read = Self::default();
            if from.kind()? != Kind::Object {
                return from.skip().map(|()| read);
            }
            from.object(|key, from| {
                match key {
                    $($key => read.$field = Field::read(from)?,)*
                    _ => from.skip()?,
                }
                Ok(())
            })?;
            Ok(read)
        }

        fn write(&self, to: &mut Writer) {
            to.raw("{");
            let mut comma = 0;
            $(
                if !self.$field.is_absent() {
                    // A key with its comma and quotes, as it looks at each depth.
                    let key = const { [
                        concat!(",\"", $key, "\":"),
                        concat!(",\\\"", $key, "\\\":"),
                        concat!(",\\\\\\\"", $key, "\\\\\\\":"),
                    ] }[to.depth()];
                    to.raw(&key[1 - comma..]);
                    comma = 1;
                    self.$field.write(to);
                }
            )*
            let _ = comma;
            to.raw("}");
        }
    };
}

// From the client.
shapes! {
    Login<'a> {
        user_id: "UserId" => Optional<'a>,
        instance: "UserSId" => Str<'a>,
        token: "AcsToken" => Optional<'a>,
        sdk_version: "SdkVer" => Str<'a>,
        session: "SessionId" => Str<'a>,
        server_keep_alive: "SvrKeepAlive" => Mark,
        /// Ours: the client knows its calls over a reconnect, which the SDK does not.
        keeps_calls: "KeepsCalls" => Mark,
    }
    RenewAcsToken<'a> {
        token: "AcsToken" => Str<'a>,
    }
    KeepAlive<'a> {
        time: "time" => Str<'a>,
    }
    SendMsgToPeer<'a> {
        msg_id: "MsgId" => Number,
        from: "FromUId" => Str<'a>,
        to: "ToUId" => Str<'a>,
        msg_type: "MsgType" => Number,
        body: "MsgBody" => Body<'a>,
        offline: "OfflineMsg" => Flag,
        history: "HistoryMsg" => Flag,
        description: "Desc" => Str<'a>,
    }
    RecvMsgFromPeerAck<'a> {
        msg_id: "MsgId" => Number,
        from: "FromUId" => Str<'a>,
    }
    /// `QueryOnlineStatus`, `SubscribeOnlineStatus`, `UnSubscribeOnlineStatus`
    Peers<'a> {
        msg_id: "MsgId" => Number,
        user_ids: "UserIds" => Nested<List<Str<'a>, SUBSCRIBED_PEERS>>,
    }
    /// `QueryOnlineSubStatus`, `ClearUserAttributes`
    OnlyMsgId {
        msg_id: "MsgId" => Number,
    }
    AddOrUpdateUserAttributes<'a> {
        msg_id: "MsgId" => Number,
        set: "SetLocal" => Flag,
        attributes: "Attributes" => Nested<Entries<'a, ATTRIBUTE_COUNT>>,
    }
    DeleteUserAttributes<'a> {
        msg_id: "MsgId" => Number,
        keys: "Keys" => Nested<List<Str<'a>, KEYS>>,
    }
    GetUserAttributes<'a> {
        msg_id: "MsgId" => Number,
        user_id: "UserId" => Str<'a>,
        keys: "Keys" => List<Str<'a>, KEYS>,
    }
    /// `JoinChannel`, `LeaveChannel`
    OnlyChanId<'a> {
        channel_id: "ChanId" => Str<'a>,
    }
    SendChannelMsg<'a> {
        channel_id: "ChanId" => Str<'a>,
        from: "FromUId" => Str<'a>,
        msg_id: "MsgId" => Number,
        msg_type: "MsgType" => Number,
        body: "MsgBody" => Body<'a>,
        history: "HistoryMsg" => Flag,
        description: "Desc" => Str<'a>,
    }
    AddOrUpdateChanAttributes<'a> {
        msg_id: "MsgId" => Number,
        set: "SetChan" => Flag,
        channel_id: "ChanId" => Str<'a>,
        attributes: "Attributes" => Nested<Entries<'a, ATTRIBUTE_COUNT>>,
        notify: "Notify" => Flag,
    }
    DeleteChanAttributes<'a> {
        msg_id: "MsgId" => Number,
        channel_id: "ChanId" => Str<'a>,
        keys: "Keys" => Nested<List<Str<'a>, KEYS>>,
        notify: "Notify" => Flag,
    }
    ClearChanAttributes<'a> {
        msg_id: "MsgId" => Number,
        channel_id: "ChanId" => Str<'a>,
        notify: "Notify" => Flag,
    }
    /// `GetChanAttributes`, `GetChanMembers`
    MsgIdAndChanId<'a> {
        msg_id: "MsgId" => Number,
        channel_id: "ChanId" => Str<'a>,
    }
    GetChanAttributesByKeys<'a> {
        msg_id: "MsgId" => Number,
        channel_id: "ChanId" => Str<'a>,
        keys: "Keys" => Nested<List<Str<'a>, KEYS>>,
    }
    GetChanMemberSize<'a> {
        msg_id: "MsgId" => Number,
        channel_ids: "ChanIds" => Nested<List<Str<'a>, MEMBER_COUNT_CHANNELS>>,
    }
}

// From either.
shapes! {
    MakeCall<'a> {
        call_id: "CallId" => Str<'a>,
        from: "FromUId" => Str<'a>,
        to: "ToUId" => Str<'a>,
        content: "Content" => Str<'a>,
    }
    CancelCall<'a> {
        call_id: "CallId" => Str<'a>,
        from: "FromUId" => Str<'a>,
        to: "ToUId" => Str<'a>,
        reason: "Reason" => Str<'a>,
        content: "Content" => Str<'a>,
        /// Ours: why the invitation failed, where `Reason` has no word for it.
        failure: "Failure" => Str<'a>,
        /// Ours: why accepting the invitation was refused.
        code: "Code" => Number,
    }
    /// `AcceptCall`, `RejectCall`
    AnswerCall<'a> {
        call_id: "CallId" => Str<'a>,
        from: "FromUId" => Str<'a>,
        to: "ToUId" => Str<'a>,
        response: "Response" => Str<'a>,
    }
}

// Answers.
shapes! {
    LoginAnswer<'a> {
        code: "Code" => Number,
        user_id: "UserId" => Str<'a>,
    }
    MsgStatus {
        msg_id: "MsgId" => Number,
        status: "Status" => Number,
        /// Ours: it was stored.
        stored: "Stored" => Mark,
        /// Ours: why it was refused.
        code: "Code" => Number,
    }
    /// The answer that says success or failure, and nothing else.
    Done<'a> {
        code: "Code" => Number,
        msg_id: "MsgId" => Number,
        channel_id: "ChanId" => Str<'a>,
    }
    /// To `QueryOnlineStatus` and `QueryOnlineSubStatus`.
    OnlineStatus<'a> {
        msg_id: "MsgId" => Number,
        status: "Status" => List<PeerStatus<'a>, PEERS>,
        /// Ours: why it was refused; there is no `Status` then.
        code: "Code" => Number,
    }
    PeerStatus<'a> {
        user_id: "UserId" => Str<'a>,
        online: "Online" => Number,
        /// Ours: it is online, but was not heard of for some seconds.
        unreachable: "Unreachable" => Mark,
    }
    QueryAttribKeys<'a> {
        msg_id: "MsgId" => Number,
        user_id: "QueryUserId" => Str<'a>,
        attributes: "Attribs" => Nested<Entries<'a, ATTRIBUTES>>,
        /// Ours: why it was refused.
        code: "Code" => Number,
    }
    ChanAttributes<'a> {
        code: "Code" => Number,
        msg_id: "MsgId" => Number,
        channel_id: "ChanId" => Str<'a>,
        attributes: "Attributes" => Nested<List<ChanAttribute<'a>, ATTRIBUTES>>,
    }
    ChanAttribute<'a> {
        key: "Key" => Str<'a>,
        value: "Val" => Str<'a>,
        user_id: "UId" => Str<'a>,
        time: "Time" => Number,
    }
    ChanMemberSizes<'a> {
        code: "Code" => Number,
        msg_id: "MsgId" => Number,
        sizes: "ChanMemSize" => List<ChanMemberSize<'a>, CHANNELS>,
    }
    ChanMembers<'a> {
        code: "Code" => Number,
        msg_id: "MsgId" => Number,
        channel_id: "ChanId" => Str<'a>,
        members: "Members" => List<Str<'a>, PEERS>,
    }
    CallStatus<'a> {
        call_id: "CallId" => Str<'a>,
        status: "Status" => Number,
        /// Ours: who is called, for a client that came back on another socket.
        to: "ToUId" => Str<'a>,
        /// Ours: why the invitation failed, where `Status` has no number for it.
        failure: "Failure" => Str<'a>,
        /// Ours: why sending the invitation was refused.
        code: "Code" => Number,
    }
    /// `cancelCallAck`
    CancelCallAck<'a> {
        code: "Code" => Number,
        call_id: "CallId" => Str<'a>,
        from: "FromUId" => Str<'a>,
        to: "ToUId" => Str<'a>,
        /// Ours: why it was refused. `Code` is 0 even then: any other leaves the SDK with a rejected
        /// promise that nobody handles, which ends a Node process.
        refused: "Refused" => Number,
    }
    AcceptCallAck<'a> {
        call_id: "CallId" => Str<'a>,
    }
}

// Events.
shapes! {
    RecvMsgFromPeer<'a> {
        msg_id: "MsgId" => Number,
        from: "FromUId" => Str<'a>,
        msg_type: "MsgType" => Number,
        body: "MsgBody" => Body<'a>,
        time: "SvrTS" => Number,
        /// Ours: it was stored while the receiver was offline.
        offline: "Offline" => Mark,
    }
    RecvMsgFromChan<'a> {
        channel_id: "ChanId" => Str<'a>,
        msg_id: "MsgId" => Number,
        from: "FromUId" => Str<'a>,
        msg_type: "MsgType" => Number,
        body: "MsgBody" => Body<'a>,
        time: "SvrTS" => Number,
    }
    /// `ChanMemberJoin`, `ChanMemberLeave`
    ChanMember<'a> {
        channel_id: "ChanId" => Str<'a>,
        user_id: "UserId" => Str<'a>,
        size: "ChanMemSize" => Number,
    }
    /// `MemSizeChanged`, and an item of `ChanMemSize`
    ChanMemberSize<'a> {
        channel_id: "ChanId" => Str<'a>,
        size: "MemSize" => Number,
    }
    ChanAttribChanged<'a> {
        channel_id: "ChanId" => Str<'a>,
        attributes: "Attributes" => List<ChanAttribute<'a>, ATTRIBUTES>,
    }
    PeerOnlineStatus<'a> {
        status: "Status" => List<PeerStatus<'a>, PEERS>,
    }
}

// Bodies of the gateway.
shapes! {
    GatewayConnect<'a> {
        app_id: "appid" => Str<'a>,
        user_id: "uid" => Optional<'a>,
        token: "token" => Optional<'a>,
        tls: "wss" => Flag,
    }
    GatewayQuery<'a> {
        user_id: "uid" => Str<'a>,
        /// Ours, as all of the history queries: the SDK has only the last two fields of them.
        channel_id: "channelId" => Str<'a>,
        peer_id: "peerId" => Str<'a>,
        from_ts: "fromTs" => Number,
        until_ts: "untilTs" => Number,
        after: "after" => Cursor,
        /// The same under the name that the answer has for it.
        next: "next" => Cursor,
        limit: "limit" => Number,
        session: "sessId" => Str<'a>,
        app_id: "appId" => Str<'a>,
    }
    /// What every answer has.
    GatewayCode {
        code: "code" => Signed,
    }
    GatewayConnected<'a> {
        code: "code" => Number,
        session: "sessionid" => Str<'a>,
        addresses: "addresses" => List<GatewayAddress<'a>, ADDRESSES>,
    }
    GatewayAddress<'a> {
        kind: "type" => Number,
        host: "addr" => Str<'a>,
        port: "port" => Number,
    }
    GatewayMessages<'a> {
        code: "code" => Number,
        messages: "data" => List<GatewayMessage<'a>, MESSAGES>,
        /// Ours: where the next page starts.
        next: "next" => Cursor,
    }
    GatewayMessage<'a> {
        from: "msgFrom" => Str<'a>,
        status: "msgStatus" => Number,
        msg_type: "msgType" => Number,
        body: "msgBody" => Body<'a>,
        time: "msgTs" => Number,
        /// Ours: the sender's number for it.
        msg_id: "msgId" => Number,
    }
}

/// The users in a list that a server sends. Our own limits leave the vendor's room to be other ones.
const PEERS: usize = 65_536;
/// The attributes in an answer or event.
const ATTRIBUTES: usize = 1024;
/// The channels in an answer.
const CHANNELS: usize = 1024;
/// The messages in an answer of the gateway.
const MESSAGES: usize = 4096;
/// The addresses in an answer of the gateway.
const ADDRESSES: usize = 64;

/// The keys that one call may name. More than there can be attributes, since unknown ones are ignored.
pub(super) const KEYS: usize = 256;
