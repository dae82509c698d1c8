//! Requests whose arguments break the rules: each is refused under its own name, with its family's number.

use rtm_codec::{
    ClientFrame, CloseReason, ErrorKind, Refusal, RequestId, ServerFrame, Token, anyrtc::ServerCodec, limits,
};

use crate::support::*;

/// A request, why it is refused, and the answer's packet.
fn bad_requests() -> Vec<(&'static str, String, ErrorKind, &'static str, &'static str)> {
    use ErrorKind as E;
    let message = |to: &str, rest: &str| format!(r#"{{"MsgId":7,"ToUId":{to},"MsgType":1,{rest}}}"#);
    let long = |len| format!(r#""MsgBody":"{}""#, "x".repeat(len));
    let list = |field: String| format!(r#"{{"MsgId":7,{field}}}"#);
    let ids = |field: &str, count: usize| {
        let ids: Vec<_> = (0..count).map(|i| format!(r#"\"u{i}\""#)).collect();
        format!(r#"{{"MsgId":7,"{field}":"[{}]"}}"#, ids.join(","))
    };
    let entries = |count: usize| {
        let entries: Vec<_> = (0..count).map(|i| format!(r#"\"k{i}\":\"v\""#)).collect();
        format!(r#"{{"MsgId":7,"Attributes":"{{{}}}"}}"#, entries.join(","))
    };
    let not_received = r#"{"MsgId":7,"Status":0,"Code":7}"#;
    let no_such_user = r#"{"MsgId":7,"Status":0,"Code":6}"#;
    let mut table = Vec::new();
    let mut row = |cmd, content: String, kind, answer, expected| table.push((cmd, content, kind, answer, expected));
    for to in [r#""""#, r#""null""#, r#""a'b""#, "null", "5", "[]", r#"{"a":[1]}"#] {
        row("SendMsgToPeer", message(to, r#""MsgBody":"hi""#), E::InvalidUserId, "MsgStatus", no_such_user);
    }
    for body in [r#""MsgBody":"""#, r#""MsgBody":5"#, r#""Body":"x""#] {
        row("SendMsgToPeer", message(r#""bob""#, body), E::InvalidMessage, "MsgStatus", not_received);
    }
    let body = long(limits::MESSAGE_BYTES + 1);
    row("SendMsgToPeer", message(r#""bob""#, &body), E::InvalidMessage, "MsgStatus", not_received);
    row(
        "SendMsgToPeer",
        r#"{"MsgId":7,"ToUId":"bob","MsgType":2,"MsgBody":"x"}"#.into(),
        E::InvalidMessage,
        "MsgStatus",
        not_received,
    );
    row(
        "SendMsgToPeer",
        r#"{"ToUId":"bob","MsgType":1,"MsgBody":"x"}"#.into(),
        E::InvalidArgument,
        "MsgStatus",
        r#"{"Status":0,"Code":1}"#,
    );
    row(
        "SendMsgToPeer",
        r#"{"MsgId":-7,"ToUId":"bob","MsgBody":"x"}"#.into(),
        E::InvalidArgument,
        "MsgStatus",
        r#"{"Status":0,"Code":1}"#,
    );
    row(
        "SendChannelMsg",
        r#"{"MsgId":7,"ChanId":"den","MsgType":1,"MsgBody":""}"#.into(),
        E::InvalidMessage,
        "SendChannelMsg",
        r#"{"Code":4,"MsgId":7,"ChanId":"den"}"#,
    );
    row(
        "SendChannelMsg",
        r#"{"MsgId":7,"ChanId":"d'n","MsgBody":"x"}"#.into(),
        E::InvalidArgument,
        "SendChannelMsg",
        r#"{"Code":1,"MsgId":7,"ChanId":"d'n"}"#,
    );
    row(
        "QueryOnlineStatus",
        ids("UserIds", limits::ONLINE_QUERY_PEERS + 1),
        E::InvalidArgument,
        "QueryOnlineStatus",
        r#"{"MsgId":7,"Code":0}"#,
    );
    row(
        "SubscribeOnlineStatus",
        ids("UserIds", limits::SUBSCRIBED_PEERS + 1),
        E::ExceedLimit,
        "SubscribeOnlineStatus",
        r#"{"Code":6,"MsgId":7}"#,
    );
    row(
        "UnSubscribeOnlineStatus",
        ids("UserIds", limits::SUBSCRIBED_PEERS + 1),
        E::ExceedLimit,
        "UnSubscribeOnlineStatus",
        r#"{"Code":6,"MsgId":7}"#,
    );
    for fields in [
        r#""UserIds":"[1]""#,
        r#""UserIds":"[\"\"]""#,
        r#""UserIds":"""#,
        r#""UserIds":"{}""#,
        r#""UserIds":"[\"a\"""#,
        r#""UserIds":["a"]"#,
        r#""Users":"[]""#,
    ] {
        row(
            "SubscribeOnlineStatus",
            list(fields.into()),
            E::InvalidArgument,
            "SubscribeOnlineStatus",
            r#"{"Code":2,"MsgId":7}"#,
        );
    }
    row(
        "GetChanMemberSize",
        ids("ChanIds", limits::MEMBER_COUNT_CHANNELS + 1),
        E::ExceedLimit,
        "GetChanMemberSize",
        r#"{"Code":5,"MsgId":7}"#,
    );
    row(
        "GetChanMemberSize",
        list(r#""ChanIds":"[null]""#.into()),
        E::InvalidArgument,
        "GetChanMemberSize",
        r#"{"Code":2,"MsgId":7}"#,
    );
    row(
        "AddOrUpdateUserAttributes",
        entries(limits::ATTRIBUTE_COUNT + 1),
        E::SizeOverflow,
        "AddOrUpdateUserAttributes",
        r#"{"Code":4,"MsgId":7}"#,
    );
    for fields in [
        r#""Attributes":"{\"k\":1}""#,
        r#""Attributes":"{\"\":\"v\"}""#,
        r#""Attributes":"{\"a b\":\"v\"}""#,
        r#""Attributes":"[]""#,
        r#""Attributes":"{""#,
        r#""Attributes":{}"#,
        r#""Set":true"#,
    ] {
        row(
            "AddOrUpdateUserAttributes",
            list(fields.into()),
            E::InvalidArgument,
            "AddOrUpdateUserAttributes",
            r#"{"Code":3,"MsgId":7}"#,
        );
    }
    row(
        "DeleteUserAttributes",
        ids("Keys", 257),
        E::InvalidArgument,
        "DeleteUserAttributes",
        r#"{"Code":3,"MsgId":7}"#,
    );
    row(
        "DeleteUserAttributes",
        list(r#""Keys":"k""#.into()),
        E::InvalidArgument,
        "DeleteUserAttributes",
        r#"{"Code":3,"MsgId":7}"#,
    );
    row(
        "GetUserAttributes",
        list(r#""UserId":"a'b""#.into()),
        E::InvalidArgument,
        "QueryAttribKeys",
        r#"{"MsgId":7,"QueryUserId":"a'b","Attribs":"{}","Code":3}"#,
    );
    row(
        "JoinChannel",
        r#"{"ChanId":"d\"n"}"#.into(),
        E::InvalidArgument,
        "JoinChannel",
        r#"{"Code":3,"ChanId":"d\"n"}"#,
    );
    row("JoinChannel", r#"{"ChanId":5}"#.into(), E::InvalidArgument, "JoinChannel", r#"{"Code":3,"ChanId":""}"#);
    row("LeaveChannel", "{}".into(), E::InvalidArgument, "LeaveChannel", r#"{"Code":1,"ChanId":""}"#);
    row(
        "AddOrUpdateChanAttributes",
        list(r#""ChanId":"null","Attributes":"{}""#.into()),
        E::InvalidArgument,
        "AddOrUpdateChanAttributes",
        r#"{"Code":3,"MsgId":7,"ChanId":"null"}"#,
    );
    row(
        "DeleteChanAttributes",
        list(r#""ChanId":"den","Keys":["k"]"#.into()),
        E::InvalidArgument,
        "DeleteChanAttributes",
        r#"{"Code":3,"MsgId":7,"ChanId":"den"}"#,
    );
    row(
        "ClearChanAttributes",
        list(r#""ChanId":"""#.into()),
        E::InvalidArgument,
        "ClearChanAttributes",
        r#"{"Code":3,"MsgId":7}"#,
    );
    row(
        "GetChanAttributes",
        list(r#""ChanId":"""#.into()),
        E::InvalidArgument,
        "GetChanAttributes",
        r#"{"Code":3,"MsgId":7,"ChanId":""}"#,
    );
    row(
        "GetChanAttributesByKeys",
        list(r#""ChanId":"den""#.into()),
        E::InvalidArgument,
        "GetChanAttributesByKeys",
        r#"{"Code":3,"MsgId":7,"ChanId":"den"}"#,
    );
    row(
        "GetChanMembers",
        list(r#""ChanId":"""#.into()),
        E::InvalidArgument,
        "GetChanMembers",
        r#"{"Code":1,"MsgId":7,"ChanId":""}"#,
    );
    row(
        "MakeCall",
        r#"{"CallId":"c1","ToUId":"b'b","Content":""}"#.into(),
        E::InvalidArgument,
        "CallStatus",
        r#"{"CallId":"c1","Status":3,"ToUId":"b'b","Code":1}"#,
    );
    let content =
        format!(r#"{{"CallId":"c1","ToUId":"bob","Content":"{}"}}"#, "x".repeat(limits::INVITATION_BYTES + 1));
    row("MakeCall", content, E::InvalidArgument, "CallStatus", r#"{"CallId":"c1","Status":3,"ToUId":"bob","Code":1}"#);
    row(
        "CancelCall",
        r#"{"CallId":"c 1","ToUId":"bob"}"#.into(),
        E::InvalidArgument,
        "cancelCallAck",
        r#"{"Code":0,"CallId":"c 1","FromUId":"ann","ToUId":"bob","Refused":1}"#,
    );
    table
}

#[test]
fn a_request_that_breaks_the_rules_is_refused_with_its_family_s_number() {
    for (cmd, content, kind, answer, expected) in bad_requests() {
        let mut server = server_of_sdk();
        let frames = read_by_server(&mut server, &envelope(cmd, &content));
        let [ClientFrame::BadRequest { id, refusal }] = &frames[..] else { panic!("{cmd} {content}: {frames:?}") };
        assert_eq!((*id, refusal.kind), (RequestId(1), kind), "{cmd} {content}");
        assert!(!refusal.detail.is_empty(), "{cmd} {content}");
        server.encode(&ServerFrame::Reply { id: *id, result: Err(refusal.clone()) });
        assert_eq!(written_by_server(&mut server), envelope(answer, expected), "{cmd} {content}");
    }
}

#[test]
fn the_last_allowed_argument_is_taken() {
    let body = "字".repeat(limits::MESSAGE_BYTES / 3);
    let body = body + &"x".repeat(limits::MESSAGE_BYTES % 3);
    let ids = |count: usize| (0..count).map(|i| format!(r#"\"u{i}\""#)).collect::<Vec<_>>().join(",");
    let text = "x".repeat(limits::INVITATION_BYTES);
    let entries: Vec<_> = (0..limits::ATTRIBUTE_COUNT).map(|i| format!(r#"\"k{i}\":\"v\""#)).collect();
    for (cmd, content) in [
        ("SendMsgToPeer", format!(r#"{{"MsgId":7,"ToUId":"bob","MsgBody":"{body}"}}"#)),
        ("QueryOnlineStatus", format!(r#"{{"MsgId":7,"UserIds":"[{}]"}}"#, ids(limits::ONLINE_QUERY_PEERS))),
        ("SubscribeOnlineStatus", format!(r#"{{"MsgId":7,"UserIds":"[{}]"}}"#, ids(limits::SUBSCRIBED_PEERS))),
        ("GetChanMemberSize", format!(r#"{{"MsgId":7,"ChanIds":"[{}]"}}"#, ids(limits::MEMBER_COUNT_CHANNELS))),
        ("DeleteUserAttributes", format!(r#"{{"MsgId":7,"Keys":"[{}]"}}"#, ids(256))),
        ("AddOrUpdateUserAttributes", format!(r#"{{"MsgId":7,"Attributes":"{{{}}}"}}"#, entries.join(","))),
        ("MakeCall", format!(r#"{{"CallId":"c1","ToUId":"bob","Content":"{text}"}}"#)),
        ("AcceptCall", format!(r#"{{"CallId":"c1","ToUId":"bob","Response":"{text}"}}"#)),
    ] {
        let frames = read_by_server(&mut server_of_sdk(), &envelope(cmd, &content));
        assert!(matches!(frames[..], [ClientFrame::Request { .. }]), "{cmd}: {frames:?}");
    }
}

#[test]
fn a_login_that_breaks_the_rules_is_answered_with_a_number() {
    let login =
        |app_id: &str, content: &str| envelope("Login", content).replacen(',', &format!(r#","AppId":{app_id},"#), 1);
    let app_id = format!(r#""{APP_ID}""#);
    let long_token = format!(r#"{{"UserId":"ann","UserSId":"i","AcsToken":"{}"}}"#, "x".repeat(Token::MAX_LEN + 1));
    let long_session = format!(r#"{{"UserId":"ann","UserSId":"i","SessionId":"{}"}}"#, "x".repeat(257));
    for (app_id, content, kind, code) in [
        (r#""short""#, r#"{"UserId":"ann","UserSId":"i"}"#, ErrorKind::InvalidAppId, 3),
        ("null", r#"{"UserId":"ann","UserSId":"i"}"#, ErrorKind::InvalidAppId, 3),
        (&app_id, r#"{"UserId":"a'b","UserSId":"i"}"#, ErrorKind::InvalidArgument, 2),
        (&app_id, r#"{"UserId":"null","UserSId":"i"}"#, ErrorKind::InvalidArgument, 2),
        (&app_id, r#"{"UserId":"ann"}"#, ErrorKind::InvalidArgument, 2),
        (&app_id, r#"{"UserId":7,"UserSId":"i"}"#, ErrorKind::InvalidArgument, 2),
        (&app_id, r#"{"UserId":"ann","UserSId":"i","AcsToken":["t"]}"#, ErrorKind::InvalidToken, 4),
        (&app_id, "", ErrorKind::InvalidArgument, 2),
        (&app_id, &long_token, ErrorKind::InvalidToken, 4),
        (&app_id, &long_session, ErrorKind::InvalidArgument, 2),
    ] {
        let mut server = ServerCodec::new();
        let frames = read_by_server(&mut server, &login(app_id, content));
        let [ClientFrame::BadRequest { id: RequestId(0), refusal }] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(refusal.kind, kind, "{content}");
        let answer = envelope("Login", &format!(r#"{{"Code":{code},"UserId":""}}"#));
        for frame in [
            ServerFrame::Refused(refusal.clone()),
            ServerFrame::Reply { id: RequestId(0), result: Err(refusal.clone()) },
        ] {
            server.encode(&frame);
            assert_eq!(written_by_server(&mut server), answer);
        }
    }
}

#[test]
fn that_logins_come_too_often_does_not_stand_in_the_answer_to_a_login() {
    // The SDK would give up for good, and has no use for what is only for a while.
    let mut server = ServerCodec::new();
    server.encode(&ServerFrame::Refused(ErrorKind::TooOften.into()));
    server.encode(&ServerFrame::Close(CloseReason::Draining));
    assert_eq!(server.take_packet(), None);
}

#[test]
fn a_last_word_in_a_call_that_is_too_long_is_for_the_core_to_refuse() {
    // The call has to end with it, on both sides.
    let text = "x".repeat(limits::INVITATION_BYTES + 1);
    for (cmd, field) in [("CancelCall", "Content"), ("AcceptCall", "Response"), ("RejectCall", "Response")] {
        let content = format!(r#"{{"CallId":"c1","FromUId":"ann","ToUId":"bob","{field}":"{text}"}}"#);
        let frames = read_by_server(&mut server_of_sdk(), &envelope(cmd, &content));
        assert!(matches!(frames[..], [ClientFrame::Request { .. }]), "{cmd}");
    }
}

#[test]
fn a_login_without_a_user_id_lets_the_server_choose() {
    for user_id in [r#""UserId":"","#, r#""UserId":null,"#, ""] {
        let content = format!(r#"{{{user_id}"UserSId":"i","AcsToken":null}}"#);
        // The project may also be named last.
        let packet = envelope("Login", &content).trim_end_matches('}').to_owned();
        let packet = format!(r#"{packet},"AppId":"{APP_ID}"}}"#);
        let frames = read_by_server(&mut ServerCodec::new(), &packet);
        let [ClientFrame::Login(login)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((&login.user_id, &login.token, &login.gateway_session), (&None, &None, &None));
    }
}

#[test]
fn a_name_that_is_far_too_long_is_not_kept_for_the_answer() {
    let mut server = server_of_sdk();
    let name = "x".repeat(100_000);
    let id = asked(&mut server, &envelope("JoinChannel", &format!(r#"{{"ChanId":"{name}"}}"#)));
    server.encode(&ServerFrame::Reply { id, result: Err(Refusal::from(ErrorKind::InvalidArgument)) });
    assert_eq!(written_by_server(&mut server), envelope("JoinChannel", r#"{"Code":3,"ChanId":""}"#));
}
