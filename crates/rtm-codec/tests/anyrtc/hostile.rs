//! What is not the protocol, and what is too much of it.

use rtm_codec::{
    ClientFrame, Command, DecodeErrorKind, ErrorKind, Event, MessageId, Packet, PeerMessage,
    QueryPeersBySubscriptionOption, RequestId, Seq, ServerFrame,
    anyrtc::{ClientCodec, ServerCodec},
    limits,
};

use crate::support::*;

#[test]
fn what_is_no_envelope_is_an_error() {
    use DecodeErrorKind as K;
    let cases = [
        ("", K::Truncated),
        (" \n", K::Truncated),
        ("x", K::Syntax),
        ("[]", K::Syntax),
        ("null", K::Syntax),
        ("{", K::Truncated),
        ("{}", K::Value),
        (r#"{"Cmd":5}"#, K::Value),
        (r#"{"Cmd":null,"Content":"{}"}"#, K::Value),
        (r#"{"Content":"{}"}"#, K::Value),
        (r#"{"Cmd":"Logout"}x"#, K::TrailingBytes),
        (r#"{"Cmd":"Logout"}{}"#, K::TrailingBytes),
        (r#"{"Cmd":"Logout""#, K::Truncated),
        (r#"{"Cmd":"Logout","#, K::Truncated),
        (r#"{"Cmd":"Logout",}"#, K::Syntax),
        (r#"{"Cmd":"Log"#, K::Truncated),
        (r#"{"Cmd" "Logout"}"#, K::Syntax),
        (r#"{Cmd:"Logout"}"#, K::Syntax),
        (r#"{"Cmd":"Logout","x":tru}"#, K::Syntax),
        (r#"{"Cmd":"Logout","x":01}"#, K::Syntax),
        (r#"{"Cmd":"Logout","x":1.}"#, K::Syntax),
        (r#"{"Cmd":"Logout","x":-}"#, K::Syntax),
        (r#"{"Cmd":"Logout","x":1e}"#, K::Syntax),
        (r#"{"Cmd":"Logout","x":"\q"}"#, K::Syntax),
        (r#"{"Cmd":"Logout","x":"\u12g4"}"#, K::Syntax),
        ("{\"Cmd\":\"Logout\",\"x\":\"\n\"}", K::Syntax),
        (r#"{"Cmd":"JoinChannel","Content":"{"}"#, K::Truncated),
        (r#"{"Cmd":"JoinChannel","Content":"{}x"}"#, K::Syntax),
        (r#"{"Cmd":"JoinChannel","Content":"{'ChanId':1}"}"#, K::Syntax),
        (r#"{"Cmd":"JoinChannel","Content":"{\"ChanId\":\"den}"}"#, K::Truncated),
        (r#"{"Cmd":"JoinChannel","Content":"{\"ChanId\":\"den\"}}"#, K::Syntax),
        ("{\"Cmd\":\"JoinChannel\",\"Content\":\"{\\\"ChanId\\\":\\\"a\u{1}\\\"}\"}", K::Syntax),
        ("{\"Cmd\":\"JoinChannel\",\"Content\":\"{\\\"ChanId\\\":\\\"a\\n\\\"}\"}", K::Syntax),
    ];
    for (packet, kind) in cases {
        assert_eq!(error_of_server(packet), Some(kind), "{packet}");
    }
}

#[test]
fn what_is_json_all_the_same_is_taken() {
    for packet in [
        " \r\n\t{ \"Cmd\" : \"JoinChannel\" , \"Content\" : \"{\\\"ChanId\\\":\\\"den\\\"}\" } \n",
        r#"{"Content":"{\"ChanId\":\"den\"}","Encrypt":false,"Cmd":"JoinChannel"}"#,
        r#"{"Cmd":"JoinChannel","Content":" { \"ChanId\" : \"den\" } "}"#,
        r#"{"Cmd":"JoinChannel","Content":"\n\t{\u000a\"ChanId\"\u0020:\r\u0022den\u0022\n}\n"}"#,
        r#"{"Cmd":"Join\u0043hannel","Content":"{\"\\u0043hanId\":\"\\u0064en\"}"}"#,
        r#"{"Cmd":"JoinChannel","More":[{"a":[1,-2.5e+3,true,false,null,"\/\b\f"]},{}],"Content":"{\"ChanId\":\"den\",\"x\":[[],{}]}"}"#,
    ] {
        let frames = read_by_server(&mut ServerCodec::new(), packet);
        assert!(
            matches!(&frames[..], [ClientFrame::Request { command: Command::JoinChannel(it), .. }] if it.channel_id == room("den")),
            "{packet}: {frames:?}"
        );
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    for packet in [
        r#"{"Cmd":"Dance","Content":"not json"}"#,
        r#"{"Cmd":"","Content":5}"#,
        r#"{"Cmd":"login"}"#,
        r#"{"Cmd":"RecvMsgFromPeerAck","Content":"{}"}"#,
        // Known, but not to be said to a server.
        r#"{"Cmd":"RecvMsgFromPeer","Content":"{\"MsgId\":1,\"FromUId\":\"bob\"}"}"#,
        r#"{"Cmd":"ForceOffline","Content":"{}"}"#,
    ] {
        assert_eq!(read_by_server(&mut ServerCodec::new(), packet), [], "{packet}");
    }
    for packet in [
        r#"{"Cmd":"Dance","Content":"{}"}"#,
        r#"{"Cmd":"SendMsgToPeer","Content":"{}"}"#,
        r#"{"Cmd":"MsgStatus","Content":"{\"MsgId\":1,\"Status\":1}"}"#,
        r#"{"Cmd":"CallStatus","Content":"{\"CallId\":\"c1\",\"Status\":2}"}"#,
        r#"{"Cmd":"CallStatus","Content":"{\"CallId\":\"\"}"}"#,
        r#"{"Cmd":"MakeCall","Content":"{\"CallId\":\"\",\"FromUId\":\"bob\"}"}"#,
        r#"{"Cmd":"ChanMemberJoin","Content":"{\"ChanId\":\"den\",\"UserId\":5}"}"#,
    ] {
        assert_eq!(read_by_client(&mut ClientCodec::new(), packet), [], "{packet}");
    }
    // A login's answer that names nobody is no answer.
    let packet = Packet::Text(r#"{"Cmd":"Login","Content":"{\"Code\":0,\"UserId\":\"\"}"}"#.into());
    assert!(ClientCodec::new().decode(packet, &mut Vec::new()).is_err());
}

#[test]
fn a_binary_packet_is_an_error() {
    let packet = || Packet::Binary(vec![1, 2, 3].into());
    let error = ServerCodec::new().decode(packet(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::MessageType);
    let error = ClientCodec::new().decode(packet(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::MessageType);
}

#[test]
fn a_packet_may_have_a_mebibyte_and_no_more() {
    let packet = |len: usize| {
        let head = r#"{"Cmd":"Logout","x":""#;
        format!("{head}{}\"}}", "x".repeat(len - head.len() - 2))
    };
    assert_eq!(read_by_server(&mut ServerCodec::new(), &packet(limits::PACKET_BYTES)), [ClientFrame::Logout]);
    let too_large = DecodeErrorKind::TooLarge { limit: limits::PACKET_BYTES };
    assert_eq!(error_of_server(&packet(limits::PACKET_BYTES + 1)), Some(too_large));
}

#[test]
fn nesting_has_an_end_wherever_it_is() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let too_deep = Some(DecodeErrorKind::TooDeep { limit: 16 });
    let beside = |levels| format!(r#"{{"Cmd":"Logout","x":{}}}"#, nested(levels));
    assert_eq!(error_of_server(&beside(15)), None);
    assert_eq!(error_of_server(&beside(16)), too_deep);
    assert_eq!(error_of_server(&beside(500_000)), too_deep);
    let inside = |levels| envelope("JoinChannel", &format!(r#"{{"x":{}}}"#, nested(levels)));
    assert_eq!(error_of_server(&inside(14)), None);
    assert_eq!(error_of_server(&inside(15)), too_deep);
    assert_eq!(error_of_server(&inside(500_000)), too_deep);
    // In a string of its own it makes a bad argument, not a bad packet.
    let users = serde_json::to_string(&nested(200_000)).unwrap();
    let packet = envelope("SubscribeOnlineStatus", &format!(r#"{{"MsgId":1,"UserIds":{users}}}"#));
    let frames = read_by_server(&mut ServerCodec::new(), &packet);
    assert!(matches!(frames[..], [ClientFrame::BadRequest { .. }]), "{frames:?}");
    let objects = format!(r#"{{"Cmd":"Logout","x":{}"#, r#"{"a":"#.repeat(100_000));
    assert_eq!(error_of_server(&objects), too_deep);
}

#[test]
fn a_list_without_end_is_not_collected() {
    let users = vec!["1"; 500_000].join(",");
    let packet = envelope("SubscribeOnlineStatus", &format!(r#"{{"MsgId":1,"UserIds":"[{users}]"}}"#));
    let frames = read_by_server(&mut ServerCodec::new(), &packet);
    let [ClientFrame::BadRequest { refusal, .. }] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(refusal.kind, ErrorKind::ExceedLimit);
}

#[test]
fn what_a_server_lists_has_an_end_too() {
    for (cmd, content, item, limit) in [
        ("PeerOnlineStatus", r#"{"Status":[@]}"#, "5", 65_536),
        ("QueryOnlineStatus", r#"{"MsgId":1,"Status":[@]}"#, "{}", 65_536),
        ("GetChanMembers", r#"{"Code":0,"MsgId":1,"Members":[@]}"#, "5", 65_536),
        ("GetChanMemberSize", r#"{"Code":0,"MsgId":1,"ChanMemSize":[@]}"#, "5", 1024),
        ("ChanAttribChanged", r#"{"ChanId":"den","Attributes":[@]}"#, "5", 1024),
        ("GetChanAttributes", r#"{"Code":0,"MsgId":1,"Attributes":"[@]"}"#, "5", 1024),
        ("QueryAttribKeys", r#"{"MsgId":1,"Attribs":"{@}"}"#, r#"\"k\":5"#, 1024),
    ] {
        let list = |count: usize| envelope(cmd, &content.replace('@', &vec![item; count].join(",")));
        read_by_client(&mut ClientCodec::new(), &list(limit));
        let packet = Packet::Text(list(limit + 1).as_str().into());
        let error = ClientCodec::new().decode(packet, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::TooMany { limit }, "{cmd}");
    }
}

#[test]
fn requests_without_answers_have_an_end() {
    let mut server = server_of_sdk();
    let query = envelope("QueryOnlineSubStatus", r#"{"MsgId":1}"#);
    for _ in 0..limits::REQUESTS_IN_FLIGHT {
        asked(&mut server, &query);
    }
    let error = server.decode(Packet::Text(query.as_str().into()), &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::TooMany { limit: limits::REQUESTS_IN_FLIGHT });
    server.encode(&ServerFrame::Reply { id: RequestId(1), result: Err(ErrorKind::TooOften.into()) });
    asked(&mut server, &query);
}

#[test]
fn a_client_does_not_pile_up_requests_either() {
    let (mut client, _) = pair();
    let ask = |client: &mut ClientCodec, id| {
        let command = QueryPeersBySubscriptionOption {}.into();
        client.encode(&ClientFrame::Request { id: RequestId(id), command });
        (client.take_packet().is_some(), client.take_frame())
    };
    let full = limits::REQUESTS_IN_FLIGHT as u64;
    for id in 1..=full {
        assert_eq!(ask(&mut client, id), (true, None));
    }
    let (sent, frame) = ask(&mut client, full + 1);
    let Some(ServerFrame::Reply { result: Err(refusal), .. }) = frame else { panic!("{frame:?}") };
    assert_eq!((sent, refusal.kind), (false, ErrorKind::TooOften));
    // Those that ended without an answer, by their deadline, are forgotten.
    let ack = ClientFrame::Ack { received: Seq(0), consumed: Seq(0), answered: RequestId(full) };
    client.encode(&ack);
    assert_eq!(ask(&mut client, full + 2), (true, None));
}

#[test]
fn messages_that_are_never_acknowledged_have_an_end() {
    let mut server = server_of_sdk();
    let message = Event::MessageFromPeer(PeerMessage {
        message_id: MessageId(1),
        peer_id: user("bob"),
        message: "x".into(),
        is_offline_message: false,
        server_received_ts: 1,
    });
    for seq in 1..=32_769 {
        write_event(&mut server, seq, &message);
    }
    let error = server.decode(Packet::Text(r#"{"Cmd":"KeepAlive"}"#.into()), &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::TooMany { limit: 32_768 });
}

#[test]
fn an_error_names_what_was_wrong_and_shows_nothing_of_it() {
    let packet = Packet::Text(r#"{"Cmd":"SendMsgToPeer","Content":"{\"MsgBody\":\"secret"}"#.into());
    let error = ServerCodec::new().decode(packet, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "packet ends too early");
    assert!(!format!("{error:?}").contains("secret"));
}
