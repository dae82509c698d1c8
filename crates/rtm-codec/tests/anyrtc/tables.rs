//! Every row of the wire, in both directions and both halves: the text that stands for each frame.

use std::collections::BTreeMap;

use rtm_codec::{
    AcceptInvitation, AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, Answer, CancelInvitation,
    ChannelAttribute, ChannelAttributeTarget, ChannelAttributes, ClearChannelAttributes, ClearLocalUserAttributes,
    ClientFrame, CloseReason, Command, DeleteChannelAttributesByKeys, DeleteLocalUserAttributesByKeys, ErrorKind,
    Event, GetChannelAttributes, GetChannelMemberCount, GetMembers, GetUserAttributes, JoinChannel, KeepAlive,
    LeaveChannel, LocalInvitationFailureReason, Login, MessageId, Packet, PeerMessage, PeerOnlineState,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, Refusal, RefuseInvitation, RemoteInvitationFailureReason,
    RenewToken, RequestId, Revision, SendChannelMessage, SendInvitation, SendMessageToPeer, SendOutcome, Seq,
    ServerFrame, SetChannelAttributes, SetLocalUserAttributes, SharedEvent, SubscribePeersOnlineStatus, Token,
    UnsubscribePeersOnlineStatus, Wire,
    anyrtc::{ClientCodec, ServerCodec},
};

use crate::support::*;

/// A call, and its packet as the SDK writes it. The SDK's random `MsgId` is the first that our client takes.
fn requests() -> Vec<(Command, &'static str, &'static str)> {
    vec![
        (
            SendMessageToPeer {
                message_id: MessageId(4_234_567_890_123),
                peer_id: user("bob"),
                message: "hi".into(),
                enable_offline_messaging: true,
                enable_historical_messaging: false,
            }
            .into(),
            "SendMsgToPeer",
            r#"{"MsgId":4234567890123,"FromUId":"ann","ToUId":"bob","MsgType":1,"MsgBody":"hi","OfflineMsg":true,"HistoryMsg":false,"Desc":""}"#,
        ),
        (
            QueryPeersOnlineStatus { peer_ids: vec![user("bob"), user("a b")] }.into(),
            "QueryOnlineStatus",
            r#"{"MsgId":1000000000001,"UserIds":"[\"bob\",\"a b\"]"}"#,
        ),
        (
            SubscribePeersOnlineStatus { peer_ids: vec![user("bob")] }.into(),
            "SubscribeOnlineStatus",
            r#"{"MsgId":1000000000001,"UserIds":"[\"bob\"]"}"#,
        ),
        (
            UnsubscribePeersOnlineStatus { peer_ids: vec![user("bob")] }.into(),
            "UnSubscribeOnlineStatus",
            r#"{"MsgId":1000000000001,"UserIds":"[\"bob\"]"}"#,
        ),
        (QueryPeersBySubscriptionOption {}.into(), "QueryOnlineSubStatus", r#"{"MsgId":1000000000001}"#),
        (
            SetLocalUserAttributes { attributes: attributes([("city", "北京"), ("name", "\"Ann\"\n")]) }.into(),
            "AddOrUpdateUserAttributes",
            r#"{"MsgId":1000000000001,"SetLocal":true,"Attributes":"{\"city\":\"北京\",\"name\":\"\\\"Ann\\\"\\n\"}"}"#,
        ),
        (
            AddOrUpdateLocalUserAttributes { attributes: attributes([("mood", "good")]) }.into(),
            "AddOrUpdateUserAttributes",
            r#"{"MsgId":1000000000001,"SetLocal":false,"Attributes":"{\"mood\":\"good\"}"}"#,
        ),
        (
            SetLocalUserAttributes { attributes: attributes([]) }.into(),
            "AddOrUpdateUserAttributes",
            r#"{"MsgId":1000000000001,"SetLocal":true,"Attributes":"{}"}"#,
        ),
        (
            DeleteLocalUserAttributesByKeys { keys: vec![key("mood"), key("city")] }.into(),
            "DeleteUserAttributes",
            r#"{"MsgId":1000000000001,"Keys":"[\"mood\",\"city\"]"}"#,
        ),
        (ClearLocalUserAttributes {}.into(), "ClearUserAttributes", r#"{"MsgId":1000000000001}"#),
        (
            GetUserAttributes { user_id: user("bob"), keys: None }.into(),
            "GetUserAttributes",
            r#"{"MsgId":1000000000001,"UserId":"bob"}"#,
        ),
        (
            GetUserAttributes { user_id: user("bob"), keys: Some(vec![key("city")]) }.into(),
            "GetUserAttributes",
            r#"{"MsgId":1000000000001,"UserId":"bob","Keys":["city"]}"#,
        ),
        (JoinChannel { channel_id: room("den") }.into(), "JoinChannel", r#"{"ChanId":"den"}"#),
        (LeaveChannel { channel_id: room("den") }.into(), "LeaveChannel", r#"{"ChanId":"den"}"#),
        (
            SendChannelMessage {
                message_id: MessageId(4_234_567_890_123),
                channel_id: room("den"),
                message: "hello \"room\"".into(),
                enable_historical_messaging: true,
            }
            .into(),
            "SendChannelMsg",
            r#"{"ChanId":"den","FromUId":"ann","MsgId":4234567890123,"MsgType":1,"MsgBody":"hello \"room\"","HistoryMsg":true,"Desc":""}"#,
        ),
        (
            SetChannelAttributes {
                target: ChannelAttributeTarget { channel_id: room("den"), notify: true, expected_revision: None },
                attributes: attributes([("topic", "news")]),
            }
            .into(),
            "AddOrUpdateChanAttributes",
            r#"{"MsgId":1000000000001,"SetChan":true,"ChanId":"den","Attributes":"{\"topic\":\"news\"}","Notify":true}"#,
        ),
        (
            AddOrUpdateChannelAttributes {
                target: ChannelAttributeTarget { channel_id: room("den"), notify: false, expected_revision: None },
                attributes: attributes([("topic", "news")]),
            }
            .into(),
            "AddOrUpdateChanAttributes",
            r#"{"MsgId":1000000000001,"SetChan":false,"ChanId":"den","Attributes":"{\"topic\":\"news\"}","Notify":false}"#,
        ),
        (
            DeleteChannelAttributesByKeys {
                target: ChannelAttributeTarget { channel_id: room("den"), notify: true, expected_revision: None },
                keys: vec![key("topic")],
            }
            .into(),
            "DeleteChanAttributes",
            r#"{"MsgId":1000000000001,"ChanId":"den","Keys":"[\"topic\"]","Notify":true}"#,
        ),
        (
            ClearChannelAttributes {
                target: ChannelAttributeTarget { channel_id: room("den"), notify: true, expected_revision: None },
            }
            .into(),
            "ClearChanAttributes",
            r#"{"MsgId":1000000000001,"ChanId":"den","Notify":true}"#,
        ),
        (
            GetChannelAttributes { channel_id: room("den"), keys: None }.into(),
            "GetChanAttributes",
            r#"{"MsgId":1000000000001,"ChanId":"den"}"#,
        ),
        (
            GetChannelAttributes { channel_id: room("den"), keys: Some(vec![key("topic")]) }.into(),
            "GetChanAttributesByKeys",
            r#"{"MsgId":1000000000001,"ChanId":"den","Keys":"[\"topic\"]"}"#,
        ),
        (
            GetChannelMemberCount { channel_ids: vec![room("den"), room("hall")] }.into(),
            "GetChanMemberSize",
            r#"{"MsgId":1000000000001,"ChanIds":"[\"den\",\"hall\"]"}"#,
        ),
        (GetMembers { channel_id: room("den") }.into(), "GetChanMembers", r#"{"MsgId":1000000000001,"ChanId":"den"}"#),
        (
            SendInvitation { call_id: call("c1"), callee_id: user("bob"), content: "video?".into() }.into(),
            "MakeCall",
            r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Content":"video?"}"#,
        ),
        (
            CancelInvitation { call_id: call("c1"), callee_id: user("bob"), content: "".into() }.into(),
            "CancelCall",
            r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Reason":"","Content":""}"#,
        ),
        (
            AcceptInvitation { call_id: call("c1"), caller_id: user("bob"), response: "yes".into() }.into(),
            "AcceptCall",
            r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Response":"yes"}"#,
        ),
        (
            RefuseInvitation { call_id: call("c1"), caller_id: user("bob"), response: "busy".into() }.into(),
            "RejectCall",
            r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Response":"busy"}"#,
        ),
        (RenewToken { token: Token::new("007eJx").unwrap() }.into(), "RenewAcsToken", r#"{"AcsToken":"007eJx"}"#),
    ]
}

/// A call, an answer to it, and the answer's packet.
fn answers() -> Vec<(Command, Result<Answer, ErrorKind>, &'static str, &'static str)> {
    use ErrorKind as E;
    let asked = |cmd: &str, nth: usize| -> Command {
        let mut named = requests().into_iter().filter(|(_, name, _)| *name == cmd);
        named.nth(nth).unwrap().0
    };
    let counts = [(room("den"), 2), (room("hall"), 0)];
    let states = vec![
        (user("bob"), PeerOnlineState::Online),
        (user("cy"), PeerOnlineState::Unreachable),
        (user("dan"), PeerOnlineState::Offline),
    ];
    vec![
        (
            asked("SendMsgToPeer", 0),
            Ok(Answer::SendMessageToPeer(SendOutcome::Delivered)),
            "MsgStatus",
            r#"{"MsgId":4234567890123,"Status":1}"#,
        ),
        (
            asked("SendMsgToPeer", 0),
            Ok(Answer::SendMessageToPeer(SendOutcome::NotReceived)),
            "MsgStatus",
            r#"{"MsgId":4234567890123,"Status":0}"#,
        ),
        (
            asked("SendMsgToPeer", 0),
            Ok(Answer::SendMessageToPeer(SendOutcome::Stored)),
            "MsgStatus",
            r#"{"MsgId":4234567890123,"Status":0,"Stored":true}"#,
        ),
        (asked("SendMsgToPeer", 0), Err(E::TooOften), "MsgStatus", r#"{"MsgId":4234567890123,"Status":0,"Code":5}"#),
        (
            asked("SendMsgToPeer", 0),
            Err(E::IncompatibleMessage),
            "MsgStatus",
            r#"{"MsgId":4234567890123,"Status":0,"Code":8}"#,
        ),
        (
            asked("QueryOnlineStatus", 0),
            Ok(Answer::QueryPeersOnlineStatus(states)),
            "QueryOnlineStatus",
            r#"{"MsgId":1000000000001,"Status":[{"UserId":"bob","Online":1},{"UserId":"cy","Online":1,"Unreachable":true},{"UserId":"dan","Online":0}]}"#,
        ),
        (
            asked("QueryOnlineStatus", 0),
            Ok(Answer::QueryPeersOnlineStatus(vec![])),
            "QueryOnlineStatus",
            r#"{"MsgId":1000000000001,"Status":[]}"#,
        ),
        (asked("QueryOnlineStatus", 0), Err(E::TooOften), "QueryOnlineStatus", r#"{"MsgId":1000000000001,"Code":3}"#),
        (
            asked("QueryOnlineStatus", 0),
            Err(E::InvalidArgument),
            "QueryOnlineStatus",
            r#"{"MsgId":1000000000001,"Code":0}"#,
        ),
        (
            asked("SubscribeOnlineStatus", 0),
            Ok(Answer::SubscribePeersOnlineStatus(())),
            "SubscribeOnlineStatus",
            r#"{"Code":0,"MsgId":1000000000001}"#,
        ),
        (
            asked("SubscribeOnlineStatus", 0),
            Err(E::ExceedLimit),
            "SubscribeOnlineStatus",
            r#"{"Code":6,"MsgId":1000000000001}"#,
        ),
        (
            asked("UnSubscribeOnlineStatus", 0),
            Ok(Answer::UnsubscribePeersOnlineStatus(())),
            "UnSubscribeOnlineStatus",
            r#"{"Code":0,"MsgId":1000000000001}"#,
        ),
        (
            asked("QueryOnlineSubStatus", 0),
            Ok(Answer::QueryPeersBySubscriptionOption(vec![user("bob")])),
            "QueryOnlineSubStatus",
            r#"{"MsgId":1000000000001,"Status":[{"UserId":"bob","Online":1}]}"#,
        ),
        (
            asked("QueryOnlineSubStatus", 0),
            Err(E::TooOften),
            "QueryOnlineSubStatus",
            r#"{"MsgId":1000000000001,"Code":3}"#,
        ),
        (
            asked("AddOrUpdateUserAttributes", 0),
            Ok(Answer::SetLocalUserAttributes(())),
            "AddOrUpdateUserAttributes",
            r#"{"Code":0,"MsgId":1000000000001}"#,
        ),
        (
            asked("AddOrUpdateUserAttributes", 1),
            Ok(Answer::AddOrUpdateLocalUserAttributes(())),
            "AddOrUpdateUserAttributes",
            r#"{"Code":0,"MsgId":1000000000001}"#,
        ),
        (
            asked("AddOrUpdateUserAttributes", 1),
            Err(E::SizeOverflow),
            "AddOrUpdateUserAttributes",
            r#"{"Code":4,"MsgId":1000000000001}"#,
        ),
        (
            asked("DeleteUserAttributes", 0),
            Ok(Answer::DeleteLocalUserAttributesByKeys(())),
            "DeleteUserAttributes",
            r#"{"Code":0,"MsgId":1000000000001}"#,
        ),
        (
            asked("ClearUserAttributes", 0),
            Ok(Answer::ClearLocalUserAttributes(())),
            "ClearUserAttributes",
            r#"{"Code":0,"MsgId":1000000000001}"#,
        ),
        (
            asked("GetUserAttributes", 0),
            Ok(Answer::GetUserAttributes(attributes([("city", "北京"), ("say", "\"\\\n")]))),
            "QueryAttribKeys",
            r#"{"MsgId":1000000000001,"QueryUserId":"bob","Attribs":"{\"city\":\"北京\",\"say\":\"\\\"\\\\\\n\"}"}"#,
        ),
        (
            asked("GetUserAttributes", 1),
            Ok(Answer::GetUserAttributes(BTreeMap::new())),
            "QueryAttribKeys",
            r#"{"MsgId":1000000000001,"QueryUserId":"bob","Attribs":"{}"}"#,
        ),
        (
            asked("GetUserAttributes", 0),
            Err(E::UserNotFound),
            "QueryAttribKeys",
            r#"{"MsgId":1000000000001,"QueryUserId":"bob","Attribs":"{}","Code":6}"#,
        ),
        (asked("JoinChannel", 0), Ok(Answer::JoinChannel(())), "JoinChannel", r#"{"Code":0,"ChanId":"den"}"#),
        (asked("JoinChannel", 0), Err(E::SameChannelTooOften), "JoinChannel", r#"{"Code":8,"ChanId":"den"}"#),
        (asked("LeaveChannel", 0), Ok(Answer::LeaveChannel(())), "LeaveChannel", r#"{"Code":0,"ChanId":"den"}"#),
        (asked("LeaveChannel", 0), Err(E::NotInChannel), "LeaveChannel", r#"{"Code":3,"ChanId":"den"}"#),
        (
            asked("SendChannelMsg", 0),
            Ok(Answer::SendChannelMessage(())),
            "SendChannelMsg",
            r#"{"Code":0,"MsgId":4234567890123,"ChanId":"den"}"#,
        ),
        (
            asked("SendChannelMsg", 0),
            Err(E::NotInChannel),
            "SendChannelMsg",
            r#"{"Code":5,"MsgId":4234567890123,"ChanId":"den"}"#,
        ),
        (
            asked("AddOrUpdateChanAttributes", 0),
            Ok(Answer::SetChannelAttributes(Revision(0))),
            "AddOrUpdateChanAttributes",
            r#"{"Code":0,"MsgId":1000000000001,"ChanId":"den"}"#,
        ),
        (
            asked("AddOrUpdateChanAttributes", 1),
            Ok(Answer::AddOrUpdateChannelAttributes(Revision(0))),
            "AddOrUpdateChanAttributes",
            r#"{"Code":0,"MsgId":1000000000001,"ChanId":"den"}"#,
        ),
        (
            asked("AddOrUpdateChanAttributes", 1),
            Err(E::NotLoggedIn),
            "AddOrUpdateChanAttributes",
            r#"{"Code":102,"MsgId":1000000000001,"ChanId":"den"}"#,
        ),
        (
            asked("DeleteChanAttributes", 0),
            Ok(Answer::DeleteChannelAttributesByKeys(Revision(0))),
            "DeleteChanAttributes",
            r#"{"Code":0,"MsgId":1000000000001,"ChanId":"den"}"#,
        ),
        (
            asked("ClearChanAttributes", 0),
            Ok(Answer::ClearChannelAttributes(Revision(0))),
            "ClearChanAttributes",
            r#"{"Code":0,"MsgId":1000000000001}"#,
        ),
        (
            asked("ClearChanAttributes", 0),
            Err(E::TooOften),
            "ClearChanAttributes",
            r#"{"Code":5,"MsgId":1000000000001}"#,
        ),
        (
            asked("GetChanAttributes", 0),
            Ok(Answer::GetChannelAttributes(channel_attributes())),
            "GetChanAttributes",
            r#"{"Code":0,"MsgId":1000000000001,"ChanId":"den","Attributes":"[{\"Key\":\"level\",\"Val\":\"3 \\\"x\\\"\",\"UId\":\"bob\",\"Time\":1700000000001},{\"Key\":\"topic\",\"Val\":\"news\",\"UId\":\"ann\",\"Time\":1700000000000}]"}"#,
        ),
        (
            asked("GetChanAttributesByKeys", 0),
            Ok(Answer::GetChannelAttributes(ChannelAttributes::default())),
            "GetChanAttributesByKeys",
            r#"{"Code":0,"MsgId":1000000000001,"ChanId":"den","Attributes":"[]"}"#,
        ),
        (
            asked("GetChanAttributes", 0),
            Err(E::TooOften),
            "GetChanAttributes",
            r#"{"Code":5,"MsgId":1000000000001,"ChanId":"den"}"#,
        ),
        (
            asked("GetChanMemberSize", 0),
            Ok(Answer::GetChannelMemberCount(BTreeMap::from(counts))),
            "GetChanMemberSize",
            r#"{"Code":0,"MsgId":1000000000001,"ChanMemSize":[{"ChanId":"den","MemSize":2},{"ChanId":"hall","MemSize":0}]}"#,
        ),
        (
            asked("GetChanMemberSize", 0),
            Err(E::ExceedLimit),
            "GetChanMemberSize",
            r#"{"Code":5,"MsgId":1000000000001}"#,
        ),
        (
            asked("GetChanMembers", 0),
            Ok(Answer::GetMembers(vec![user("ann"), user("bob")])),
            "GetChanMembers",
            r#"{"Code":0,"MsgId":1000000000001,"ChanId":"den","Members":["ann","bob"]}"#,
        ),
        (
            asked("GetChanMembers", 0),
            Err(E::NotLoggedIn),
            "GetChanMembers",
            r#"{"Code":6,"MsgId":1000000000001,"ChanId":"den"}"#,
        ),
        (
            asked("MakeCall", 0),
            Ok(Answer::SendInvitation(())),
            "CallStatus",
            r#"{"CallId":"c1","Status":1,"ToUId":"bob"}"#,
        ),
        (
            asked("MakeCall", 0),
            Err(E::InvalidArgument),
            "CallStatus",
            r#"{"CallId":"c1","Status":3,"ToUId":"bob","Code":1}"#,
        ),
        (
            asked("CancelCall", 0),
            Ok(Answer::CancelInvitation(())),
            "cancelCallAck",
            r#"{"Code":0,"CallId":"c1","FromUId":"ann","ToUId":"bob"}"#,
        ),
        (
            asked("CancelCall", 0),
            Err(E::AlreadyEnd),
            "cancelCallAck",
            r#"{"Code":0,"CallId":"c1","FromUId":"ann","ToUId":"bob","Refused":3}"#,
        ),
        (asked("AcceptCall", 0), Ok(Answer::AcceptInvitation(())), "AcceptCallAck", r#"{"CallId":"c1"}"#),
    ]
}

fn channel_attributes() -> ChannelAttributes {
    let attribute = |value: &str, by: &str, at| ChannelAttribute::new(value.into(), user(by), at);
    ChannelAttributes::new(
        BTreeMap::from([
            (key("topic"), attribute("news", "ann", 1_700_000_000_000)),
            (key("level"), attribute("3 \"x\"", "bob", 1_700_000_000_001)),
        ]),
        Revision(0),
    )
}

/// An event for `ann`, and its packet.
fn events() -> Vec<(Event, &'static str, &'static str)> {
    use {LocalInvitationFailureReason as Local, RemoteInvitationFailureReason as Remote};
    let message = |is_offline_message| {
        Event::MessageFromPeer(PeerMessage {
            message_id: MessageId(4_234_567_890_123),
            peer_id: user("bob"),
            message: "hi \"ann\"".into(),
            is_offline_message,
            server_received_ts: 1_700_000_000_000,
        })
    };
    let canceled = |reason| Event::RemoteInvitationFailure { call_id: call("c1"), caller_id: user("bob"), reason };
    let failed = |reason| Event::LocalInvitationFailure { call_id: call("c1"), callee_id: user("bob"), reason };
    let (channel_id, member_id) = (room("den"), user("bob"));
    vec![
        (
            message(false),
            "RecvMsgFromPeer",
            r#"{"MsgId":4234567890123,"FromUId":"bob","MsgType":1,"MsgBody":"hi \"ann\"","SvrTS":1700000000000}"#,
        ),
        (
            message(true),
            "RecvMsgFromPeer",
            r#"{"MsgId":4234567890123,"FromUId":"bob","MsgType":1,"MsgBody":"hi \"ann\"","SvrTS":1700000000000,"Offline":true}"#,
        ),
        (
            Event::ChannelMessage {
                channel_id: channel_id.clone(),
                message_id: MessageId(7),
                member_id: member_id.clone(),
                message: "二 👋".into(),
                server_received_ts: 1_700_000_000_000,
            },
            "RecvMsgFromChan",
            r#"{"ChanId":"den","MsgId":7,"FromUId":"bob","MsgType":1,"MsgBody":"二 👋","SvrTS":1700000000000}"#,
        ),
        (
            Event::MemberJoined { channel_id: channel_id.clone(), member_id: member_id.clone(), member_count: 2 },
            "ChanMemberJoin",
            r#"{"ChanId":"den","UserId":"bob","ChanMemSize":2}"#,
        ),
        (
            Event::MemberLeft { channel_id: channel_id.clone(), member_id, member_count: 1 },
            "ChanMemberLeave",
            r#"{"ChanId":"den","UserId":"bob","ChanMemSize":1}"#,
        ),
        (
            Event::MemberCountUpdated { channel_id: channel_id.clone(), member_count: 2 },
            "MemSizeChanged",
            r#"{"ChanId":"den","MemSize":2}"#,
        ),
        (
            Event::AttributesUpdated { channel_id, attributes: channel_attributes() },
            "ChanAttribChanged",
            r#"{"ChanId":"den","Attributes":[{"Key":"level","Val":"3 \"x\"","UId":"bob","Time":1700000000001},{"Key":"topic","Val":"news","UId":"ann","Time":1700000000000}]}"#,
        ),
        (
            Event::PeersOnlineStatusChanged {
                peers: vec![
                    (user("bob"), PeerOnlineState::Online),
                    (user("cy"), PeerOnlineState::Unreachable),
                    (user("dan"), PeerOnlineState::Offline),
                ],
            },
            "PeerOnlineStatus",
            r#"{"Status":[{"UserId":"bob","Online":1},{"UserId":"cy","Online":1,"Unreachable":true},{"UserId":"dan","Online":0}]}"#,
        ),
        (Event::TokenWillExpire { expires_in_ms: 30_000 }, "AcsTokenWillExpire", "{}"),
        (
            Event::RemoteInvitationReceived { call_id: call("c1"), caller_id: user("bob"), content: "video?".into() },
            "MakeCall",
            r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Content":"video?"}"#,
        ),
        (
            Event::RemoteInvitationCanceled {
                call_id: call("c1"),
                caller_id: user("bob"),
                content: "never mind".into(),
            },
            "CancelCall",
            r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Reason":"","Content":"never mind"}"#,
        ),
        (
            canceled(Remote::PeerOffline),
            "CancelCall",
            r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Reason":"Offline","Content":""}"#,
        ),
        (
            canceled(Remote::InvitationExpire),
            "CancelCall",
            r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Reason":"TimeOut","Content":""}"#,
        ),
        (
            canceled(Remote::AcceptFailure),
            "CancelCall",
            r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Reason":"Offline","Content":"","Failure":"ACCEPT_FAILURE"}"#,
        ),
        (
            Event::LocalInvitationReceivedByPeer { call_id: call("c1"), callee_id: user("bob") },
            "CallStatus",
            r#"{"CallId":"c1","Status":2,"ToUId":"bob"}"#,
        ),
        (
            Event::LocalInvitationAccepted { call_id: call("c1"), callee_id: user("bob"), response: "yes".into() },
            "AcceptCall",
            r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Response":"yes"}"#,
        ),
        (
            Event::LocalInvitationRefused { call_id: call("c1"), callee_id: user("bob"), response: "busy".into() },
            "RejectCall",
            r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Response":"busy"}"#,
        ),
        (failed(Local::PeerOffline), "CallStatus", r#"{"CallId":"c1","Status":3,"ToUId":"bob"}"#),
        (failed(Local::PeerNoResponse), "CallStatus", r#"{"CallId":"c1","Status":4,"ToUId":"bob"}"#),
        (
            failed(Local::InvitationExpire),
            "CallStatus",
            r#"{"CallId":"c1","Status":4,"ToUId":"bob","Failure":"INVITATION_EXPIRE"}"#,
        ),
        (
            failed(Local::NotLoggedIn),
            "CallStatus",
            r#"{"CallId":"c1","Status":3,"ToUId":"bob","Failure":"NOT_LOGGEDIN"}"#,
        ),
    ]
}

#[test]
fn every_request_is_written_and_read_as_the_sdk_writes_it() {
    for (command, cmd, content) in requests() {
        let packet = envelope(cmd, content);
        let (mut client, mut server) = pair();
        client.encode(&ClientFrame::Request { id: RequestId(1), command: command.clone() });
        assert_eq!(written_by_client(&mut client), packet);
        let frame = ClientFrame::Request { id: RequestId(1), command };
        assert_eq!(read_by_server(&mut server, &packet), [frame], "{packet}");
    }
}

#[test]
fn every_answer_is_written_and_read_as_the_sdk_reads_it() {
    for (command, result, cmd, content) in answers() {
        let packet = envelope(cmd, content);
        let result = result.map_err(Refusal::from);
        let (mut client, mut server) = pair();
        assert_eq!(send(&mut client, &mut server, 1, &command).len(), 1);
        let reply = ServerFrame::Reply { id: RequestId(1), result };
        server.encode(&reply);
        assert_eq!(written_by_server(&mut server), packet);
        assert_eq!(read_by_client(&mut client, &packet), [reply], "{packet}");
        assert_eq!(read_by_client(&mut client, &packet), [], "answered once: {packet}");
    }
}

#[test]
fn every_event_is_written_and_read_as_the_sdk_reads_it() {
    for (event, cmd, content) in events() {
        let packet = envelope(cmd, content);
        let (mut client, mut server) = pair();
        assert_eq!(write_event(&mut server, 9, &event), Some(packet.clone()));
        server.encode(&ServerFrame::Event { seq: Seq(10), event: event.clone() });
        assert_eq!(written_by_server(&mut server), packet);
        assert_eq!(read_by_client(&mut client, &packet), [ServerFrame::Event { seq: Seq(1), event }], "{packet}");
    }
}

#[test]
fn the_envelope_is_the_sdk_s_to_the_letter() {
    let (mut client, mut server) = (ClientCodec::new(), ServerCodec::new());
    let login = |user_id: Option<&str>, token: Option<&str>, keep_alive| Login {
        user_id: user_id.map(user),
        token: token.map(|token| Token::new(token).unwrap()),
        keep_alive,
        ..login()
    };
    for (login, packet) in [
        (
            login(Some("ann"), None, KeepAlive::Client { interval_ms: 10_000 }),
            r#"{"Cmd":"Login","AppId":"0123456789abcdef0123456789abcdef","Encrypt":false,"Content":"{\"UserId\":\"ann\",\"UserSId\":\"c0ffee00c0ffee00c0ffee00c0ffee00\",\"AcsToken\":\"\",\"SdkVer\":\"1.0.15\",\"SessionId\":\"s1\",\"KeepsCalls\":true}"}"#,
        ),
        (
            login(None, Some("006x=="), KeepAlive::Server { interval_ms: 10_000 }),
            r#"{"Cmd":"Login","AppId":"0123456789abcdef0123456789abcdef","Encrypt":false,"Content":"{\"UserId\":\"\",\"UserSId\":\"c0ffee00c0ffee00c0ffee00c0ffee00\",\"AcsToken\":\"006x==\",\"SdkVer\":\"1.0.15\",\"SessionId\":\"s1\",\"SvrKeepAlive\":true,\"KeepsCalls\":true}"}"#,
        ),
    ] {
        let frame = ClientFrame::Login(Box::new(login));
        client.encode(&frame);
        assert_eq!(written_by_client(&mut client), packet);
        assert_eq!(read_by_server(&mut server, packet), [frame]);
    }
    // The SDK is known by what it does not say.
    let sdk = r#"{"Cmd":"Login","AppId":"0123456789abcdef0123456789abcdef","Encrypt":false,"Content":"{\"UserId\":\"ann\",\"UserSId\":\"c0ffee00c0ffee00c0ffee00c0ffee00\",\"AcsToken\":\"\",\"SdkVer\":\"1.0.15\",\"SessionId\":\"s1\"}"}"#;
    let [ClientFrame::Login(login)] = &read_by_server(&mut server, sdk)[..] else { panic!("no login") };
    assert_eq!(login.abilities, Wire::Vendor.abilities());
    let frames = [
        (welcome("ann"), r#"{"Cmd":"Login","Encrypt":false,"Content":"{\"Code\":0,\"UserId\":\"ann\"}"}"#),
        (
            ServerFrame::Refused(ErrorKind::InvalidToken.into()),
            r#"{"Cmd":"Login","Encrypt":false,"Content":"{\"Code\":4,\"UserId\":\"\"}"}"#,
        ),
        (ServerFrame::Ping, r#"{"Cmd":"ReqKeepAlive","Encrypt":false,"Content":"{}"}"#),
        (ServerFrame::Pong, r#"{"Cmd":"KeepAlive","Encrypt":false,"Content":"{}"}"#),
        (ServerFrame::Close(CloseReason::RemoteLogin), r#"{"Cmd":"ForceOffline","Encrypt":false,"Content":"{}"}"#),
        (
            ServerFrame::Close(CloseReason::TokenExpired),
            r#"{"Cmd":"AcsTokenDidExpire","Encrypt":false,"Content":"{}"}"#,
        ),
        (ServerFrame::Close(CloseReason::Logout), r#"{"Cmd":"Logout","Encrypt":false,"Content":"{\"Code\":0}"}"#),
    ];
    for (frame, packet) in frames {
        server.encode(&frame);
        assert_eq!(written_by_server(&mut server), packet);
        assert_eq!(read_by_client(&mut client, packet), [frame]);
    }
    for reason in CloseReason::ALL {
        if !matches!(reason, CloseReason::RemoteLogin | CloseReason::TokenExpired | CloseReason::Logout) {
            server.encode(&ServerFrame::Close(reason));
            assert_eq!(server.take_packet(), None, "{reason:?} is for the close frame to say");
        }
    }
    client.encode(&ClientFrame::Logout);
    let packet = written_by_client(&mut client);
    assert_eq!(packet, r#"{"Cmd":"Logout","Encrypt":false,"Content":""}"#);
    assert_eq!(read_by_server(&mut server, &packet), [ClientFrame::Logout]);
}

#[test]
fn signs_of_life_are_asked_for_by_whoever_the_login_said() {
    let packet = r#"{"Cmd":"KeepAlive","Encrypt":false,"Content":"{\"time\":\"0\"}"}"#;
    for (keep_alive, frame) in [
        (KeepAlive::Client { interval_ms: 10_000 }, ClientFrame::Ping),
        (KeepAlive::Server { interval_ms: 10_000 }, ClientFrame::Pong),
    ] {
        let (mut client, mut server) = (ClientCodec::new(), ServerCodec::new());
        client.encode(&ClientFrame::Login(Box::new(Login { keep_alive, ..login() })));
        let written = written_by_client(&mut client);
        read_by_server(&mut server, &written);
        client.encode(&frame);
        assert_eq!(written_by_client(&mut client), packet);
        assert_eq!(read_by_server(&mut server, packet), [frame]);
    }
}

#[test]
fn an_event_for_many_is_written_once() {
    let (event, ..) = events().swap_remove(2);
    let shared = SharedEvent::new(event);
    let addresses: Vec<_> = (0..3)
        .map(|i| {
            let (_, mut server) = pair();
            server.encode_event(Seq(i + 1), &shared);
            let Some(Packet::Text(text)) = server.take_packet() else { panic!("a packet") };
            text.as_ptr()
        })
        .collect();
    assert_eq!(addresses, [addresses[0]; 3]);
}
