//! What the vendor's SDK does with what it gets, and so what it must and must not get.

use rtm_codec::{
    AcceptInvitation, Answer, CancelInvitation, ClientFrame, Command, ErrorKind, Event, GetUserAttributes,
    LocalInvitationFailureReason, MessageId, PeerMessage, Refusal, RefuseInvitation, RemoteInvitationFailureReason,
    RenewToken, RequestId, RtmMessage, SendInvitation, SendMessageToPeer, SendOutcome, Seq, ServerFrame, Token,
    anyrtc::{ClientCodec, ServerCodec},
};

use crate::support::*;

fn message(id: u64, message: RtmMessage) -> Event {
    Event::MessageFromPeer(PeerMessage {
        message_id: MessageId(id),
        peer_id: user("bob"),
        message,
        is_offline_message: false,
        server_received_ts: 1,
    })
}

fn ack(received: u64, answered: u64) -> ClientFrame {
    ClientFrame::Ack { received: Seq(received), consumed: Seq(received), answered: RequestId(answered) }
}

fn receipt(msg_id: u64) -> String {
    envelope("RecvMsgFromPeerAck", &format!(r#"{{"MsgId":{msg_id},"FromUId":"bob"}}"#))
}

fn refused(server: &mut ServerCodec, id: RequestId, kind: ErrorKind) {
    server.encode(&ServerFrame::Reply { id, result: Err(Refusal::from(kind)) });
}

fn made_call(server: &mut ServerCodec) -> RequestId {
    asked(server, &envelope("MakeCall", r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Content":""}"#))
}

fn call_events() -> Vec<Event> {
    let (call_id, callee_id) = (call("c1"), user("bob"));
    vec![
        Event::LocalInvitationReceivedByPeer { call_id: call_id.clone(), callee_id: callee_id.clone() },
        Event::LocalInvitationAccepted { call_id: call_id.clone(), callee_id: callee_id.clone(), response: "".into() },
        Event::LocalInvitationRefused { call_id: call_id.clone(), callee_id: callee_id.clone(), response: "".into() },
        Event::LocalInvitationFailure { call_id, callee_id, reason: LocalInvitationFailureReason::PeerOffline },
    ]
}

#[test]
fn a_message_has_arrived_once_it_is_acknowledged_and_other_events_once_they_are_written() {
    let mut server = server_of_sdk();
    assert_eq!(server.take_written(), None);
    write_event(&mut server, 5, &message(50, "a".into()));
    write_event(&mut server, 6, &Event::TokenWillExpire { expires_in_ms: 1 });
    write_event(&mut server, 7, &message(70, "b".into()));
    assert_eq!(server.take_written(), None);
    assert_eq!(read_by_server(&mut server, &receipt(70)), [], "the first message is not acknowledged");
    assert_eq!(read_by_server(&mut server, &receipt(50)), [ack(7, 1)]);
    assert_eq!(read_by_server(&mut server, &receipt(50)), [], "a repeat");
    assert_eq!(read_by_server(&mut server, &receipt(99)), [], "none of ours");
    write_event(&mut server, 8, &Event::TokenWillExpire { expires_in_ms: 1 });
    assert_eq!(server.take_written(), Some(ClientFrame::Written { up_to: Seq(8) }));
    assert_eq!(server.take_written(), None);
}

#[test]
fn acknowledgements_that_come_together_are_one_frame() {
    let mut server = server_of_sdk();
    for i in 1..=3 {
        write_event(&mut server, i, &message(i, "a".into()));
    }
    let mut frames = Vec::new();
    for i in 1..=3 {
        server.decode(rtm_codec::Packet::Text(receipt(i).as_str().into()), &mut frames).unwrap();
    }
    assert_eq!(frames, [ack(3, 1)]);
}

#[test]
fn an_acknowledgement_says_which_requests_are_answered() {
    let mut server = server_of_sdk();
    let query = |id| envelope("QueryOnlineSubStatus", &format!(r#"{{"MsgId":{id}}}"#));
    let (first, second) = (asked(&mut server, &query(1)), asked(&mut server, &query(2)));
    assert_eq!((first, second), (RequestId(1), RequestId(2)));
    refused(&mut server, second, ErrorKind::TooOften);
    written_by_server(&mut server);
    write_event(&mut server, 1, &message(10, "a".into()));
    assert_eq!(read_by_server(&mut server, &receipt(10)), [ack(1, 1)]);
    refused(&mut server, first, ErrorKind::TooOften);
    written_by_server(&mut server);
    write_event(&mut server, 2, &message(20, "b".into()));
    assert_eq!(read_by_server(&mut server, &receipt(20)), [ack(2, 3)]);
}

#[test]
fn a_number_that_javascript_would_round_is_another_on_this_wire_and_still_acknowledged() {
    let mut server = server_of_sdk();
    let safe = (1 << 53) - 1;
    for (id, written) in [(safe, safe), (safe + 1, (safe + 1) % 10_000_000_000_000), (u64::MAX, 4_073_709_551_615)] {
        let packet = write_event(&mut server, id, &message(id, "a".into())).unwrap();
        assert!(packet.contains(&format!(r#"\"MsgId\":{written},"#)), "{packet}");
        assert!(matches!(read_by_server(&mut server, &receipt(written))[..], [ClientFrame::Ack { .. }]), "{id}");
    }
}

#[test]
fn an_event_of_a_call_that_the_sdk_forgot_is_not_written_and_counts_as_received() {
    for (i, event) in call_events().iter().enumerate() {
        let mut server = server_of_sdk();
        assert_eq!(write_event(&mut server, 1, event), None, "{i}");
        assert_eq!(server.take_written(), Some(ClientFrame::Written { up_to: Seq(1) }), "{i}");
        made_call(&mut server);
        assert!(write_event(&mut server, 2, event).is_some(), "{i}");
    }
}

#[test]
fn a_call_s_last_event_is_its_last() {
    for event in &call_events()[1..] {
        let mut server = server_of_sdk();
        made_call(&mut server);
        assert!(write_event(&mut server, 1, event).is_some());
        assert_eq!(write_event(&mut server, 2, event), None);
    }
    let mut server = server_of_sdk();
    let id = made_call(&mut server);
    refused(&mut server, id, ErrorKind::InvalidArgument);
    assert_eq!(
        written_by_server(&mut server),
        envelope("CallStatus", r#"{"CallId":"c1","Status":3,"ToUId":"bob","Code":1}"#)
    );
    assert_eq!(write_event(&mut server, 1, &call_events()[0]), None);
}

#[test]
fn making_a_call_again_that_goes_on_changes_nothing_for_the_sdk() {
    let mut server = server_of_sdk();
    made_call(&mut server);
    let again = made_call(&mut server);
    refused(&mut server, again, ErrorKind::AlreadySent);
    assert_eq!(server.take_packet(), None);
    assert!(write_event(&mut server, 1, &call_events()[0]).is_some());
}

#[test]
fn a_refused_acceptance_ends_the_call_unless_its_end_was_told() {
    let received = Event::RemoteInvitationReceived { call_id: call("c1"), caller_id: user("bob"), content: "".into() };
    let canceled = Event::RemoteInvitationCanceled { call_id: call("c1"), caller_id: user("bob"), content: "".into() };
    let accept = envelope("AcceptCall", r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Response":""}"#);

    let mut server = server_of_sdk();
    write_event(&mut server, 1, &received);
    let id = asked(&mut server, &accept);
    refused(&mut server, id, ErrorKind::AlreadyEnd);
    let end = r#"{"CallId":"c1","FromUId":"bob","ToUId":"ann","Reason":"TimeOut","Content":"","Code":3}"#;
    assert_eq!(written_by_server(&mut server), envelope("CancelCall", end));

    let mut server = server_of_sdk();
    write_event(&mut server, 1, &received);
    let id = asked(&mut server, &accept);
    write_event(&mut server, 2, &canceled);
    refused(&mut server, id, ErrorKind::AlreadyEnd);
    assert_eq!(server.take_packet(), None);
}

#[test]
fn what_has_no_answer_is_given_none() {
    let mut server = server_of_sdk();
    for (cmd, content) in [
        ("RejectCall", r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Response":""}"#),
        ("RenewAcsToken", r#"{"AcsToken":"x"}"#),
    ] {
        let id = asked(&mut server, &envelope(cmd, content));
        refused(&mut server, id, ErrorKind::InvalidToken);
        assert_eq!(server.take_packet(), None, "{cmd}");
    }
    server.encode(&ServerFrame::Reply { id: RequestId(77), result: Ok(Answer::JoinChannel(())) });
    assert_eq!(server.take_packet(), None, "an answer that nobody waits for");
}

#[test]
fn what_the_wire_cannot_say_is_not_written() {
    let mut server = server_of_sdk();
    let binary = message(1, RtmMessage::binary(&b"\x01\x02"[..]));
    let value = message(2, RtmMessage::Value(b"\xc1".as_slice().into()));
    let gap = Event::Gap { channel_id: None, lost: Some(3) };
    for (seq, event) in [(1, binary), (2, value), (3, gap)] {
        assert_eq!(write_event(&mut server, seq, &event), None);
    }
}

#[test]
fn a_typed_value_is_read_as_its_json() {
    let value = RtmMessage::Value(b"\x82\xa4move\xa3\xe4\xb8\xad\xa2to\x92\x03\xc3".as_slice().into());
    let packet = write_event(&mut server_of_sdk(), 1, &message(1, value.clone())).unwrap();
    let json = r#"{"move":"中","to":[3,true]}"#;
    let content = format!(
        r#"{{"MsgId":1,"FromUId":"bob","MsgType":1,"MsgBody":{},"SvrTS":1}}"#,
        serde_json::to_string(json).unwrap()
    );
    assert_eq!(packet, envelope("RecvMsgFromPeer", &content));
    let (mut client, mut server) = pair();
    let command = Command::from(SendMessageToPeer {
        message_id: MessageId(1),
        peer_id: user("bob"),
        message: value,
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    });
    let frames = send(&mut client, &mut server, 1, &command);
    let [ClientFrame::Request { command: Command::SendMessageToPeer(sent), .. }] = &frames[..] else {
        panic!("{frames:?}");
    };
    assert_eq!(sent.message, json.into());
}

#[test]
fn what_a_client_claims_to_be_is_not_read() {
    let mut server = server_of_sdk();
    let call = r#"{"CallId":"c1","FromUId":"mallory","ToUId":"bob","Reason":"","Content":""}"#;
    let id = asked(&mut server, &envelope("CancelCall", call));
    server.encode(&ServerFrame::Reply { id, result: Ok(Answer::CancelInvitation(())) });
    let ack = r#"{"Code":0,"CallId":"c1","FromUId":"ann","ToUId":"bob"}"#;
    assert_eq!(written_by_server(&mut server), envelope("cancelCallAck", ack));
}

#[test]
fn javascript_s_spellings_are_taken() {
    let mut server = server_of_sdk();
    for (content, offline, history) in [
        (r#""OfflineMsg":1,"HistoryMsg":0"#, true, false),
        (r#""OfflineMsg":null"#, false, false),
        (r#""HistoryMsg":"yes""#, false, false),
        (r#""HistoryMsg":true,"OfflineMsg":false"#, false, true),
        (r#""Unknown":{"deep":[{"er":"\ud800"}]},"Desc":null"#, false, false),
    ] {
        let packet = envelope("SendMsgToPeer", &format!(r#"{{"MsgId":"12","ToUId":"bob","MsgBody":"x",{content}}}"#));
        let frames = read_by_server(&mut server, &packet);
        let [ClientFrame::Request { command: Command::SendMessageToPeer(sent), .. }] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!(sent.message_id, MessageId(12));
        assert_eq!((sent.enable_offline_messaging, sent.enable_historical_messaging), (offline, history), "{content}");
    }
    let keys = r#"{"MsgId":1,"UserId":"bob","Keys":["city","no key of anything","",5]}"#;
    let frames = read_by_server(&mut server, &envelope("GetUserAttributes", keys));
    let [ClientFrame::Request { command, .. }] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(*command, GetUserAttributes { user_id: user("bob"), keys: Some(vec![key("city")]) }.into());
}

#[test]
fn keys_that_cannot_be_are_left_out_of_what_is_to_be_deleted_and_an_empty_list_is_refused() {
    let mut server = server_of_sdk();
    let mut read = |cmd: &str, keys: &str| {
        let content = format!(r#"{{"MsgId":1,"ChanId":"den","Keys":{}}}"#, serde_json::to_string(keys).unwrap());
        match read_by_server(&mut server, &envelope(cmd, &content)).remove(0) {
            ClientFrame::Request { command: Command::DeleteLocalUserAttributesByKeys(delete), .. } => Ok(delete.keys),
            ClientFrame::Request { command: Command::DeleteChannelAttributesByKeys(delete), .. } => Ok(delete.keys),
            ClientFrame::BadRequest { refusal, .. } => Err(refusal.kind),
            other => panic!("{other:?}"),
        }
    };
    for cmd in ["DeleteUserAttributes", "DeleteChanAttributes"] {
        assert_eq!(read(cmd, r#"["no key of anything","city"]"#), Ok(vec![key("city")]), "{cmd}");
        assert_eq!(read(cmd, r#"["no key of anything"]"#), Ok(Vec::new()), "{cmd}");
        assert_eq!(read(cmd, "[]"), Err(ErrorKind::InvalidArgument), "{cmd}");
    }
}

#[test]
fn a_read_of_attributes_is_answered_with_the_user_that_it_names_however_long() {
    let mut server = server_of_sdk();
    let name = "u".repeat(5000);
    let packet = envelope("GetUserAttributes", &format!(r#"{{"MsgId":1,"UserId":"{name}"}}"#));
    let id = asked(&mut server, &packet);
    refused(&mut server, id, ErrorKind::InvalidArgument);
    let answer = written_by_server(&mut server);
    assert!(answer.contains(&format!(r#"\"QueryUserId\":\"{name}\""#)), "{answer}");
}

#[test]
fn a_number_is_read_as_it_is_written() {
    for (written, read) in [
        ("0", Some(0)),
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("\"7\"", Some(7)),
        ("4234567890123", Some(4_234_567_890_123)),
        ("9999999999999999999", Some(9_999_999_999_999_999_999)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("99999999999999999999999999", None),
        ("1.0", None),
        ("1e3", None),
        ("-1", None),
        ("-0", None),
        ("\"\"", None),
        ("\"7x\"", None),
        ("[7]", None),
        ("{\"7\":7}", None),
        ("true", None),
    ] {
        let packet = envelope("QueryOnlineSubStatus", &format!(r#"{{"MsgId":{written}}}"#));
        let mut server = server_of_sdk();
        let id = asked(&mut server, &packet);
        server.encode(&ServerFrame::Reply { id, result: Ok(Answer::QueryPeersBySubscriptionOption(vec![])) });
        let msg_id = read.map_or_else(String::new, |read: u64| format!(r#""MsgId":{read},"#));
        let answer = envelope("QueryOnlineSubStatus", &format!(r#"{{{msg_id}"Status":[]}}"#));
        assert_eq!(written_by_server(&mut server), answer, "{written}");
    }
    for written in ["007", "00", "7x", "--7", "+7", "0x7", ".7", "7.", "7e", "NaN"] {
        let packet = envelope("QueryOnlineSubStatus", &format!(r#"{{"MsgId":{written}}}"#));
        assert!(error_of_server(&packet).is_some(), "{written}");
    }
}

#[test]
fn a_client_acknowledges_each_message_once_it_has_it() {
    let (mut client, mut server) = pair();
    let mut frames = Vec::new();
    for (seq, event) in [
        (1, message(10, "a".into())),
        (2, Event::TokenWillExpire { expires_in_ms: 30_000 }),
        (3, message(11, "b".into())),
    ] {
        let packet = write_event(&mut server, seq, &event).unwrap();
        frames.extend(read_by_client(&mut client, &packet));
    }
    let seqs: Vec<_> =
        frames.iter().map(|frame| matches!(frame, ServerFrame::Event { seq: Seq(n), .. } if *n > 0)).collect();
    assert_eq!(seqs, [true; 3]);
    assert_eq!(client.take_packet(), None);
    let told = |received| ClientFrame::Ack { received: Seq(received), consumed: Seq(0), answered: RequestId(0) };
    client.encode(&told(2));
    let packet = written_by_client(&mut client);
    assert_eq!(packet, receipt(10));
    assert_eq!(read_by_server(&mut server, &packet), [ack(2, 1)]);
    client.encode(&told(2));
    assert_eq!(client.take_packet(), None);
    client.encode(&told(3));
    let packet = written_by_client(&mut client);
    assert_eq!(read_by_server(&mut server, &packet), [ack(3, 1)]);
}

#[test]
fn a_message_of_a_kind_that_is_not_known_is_a_gap_and_acknowledged() {
    let mut client = ClientCodec::new();
    let gap = |seq, channel: Option<&str>| {
        let event = Event::Gap { channel_id: channel.map(room), lost: Some(1) };
        [ServerFrame::Event { seq: Seq(seq), event }]
    };
    let image = envelope("RecvMsgFromPeer", r#"{"MsgId":5,"FromUId":"bob","MsgType":4,"MsgBody":"x","SvrTS":1}"#);
    assert_eq!(read_by_client(&mut client, &image), gap(1, None));
    client.encode(&ClientFrame::Ack { received: Seq(1), consumed: Seq(1), answered: RequestId(1) });
    assert_eq!(written_by_client(&mut client), receipt(5));
    let file = envelope("RecvMsgFromChan", r#"{"ChanId":"den","MsgId":5,"FromUId":"bob","MsgType":3,"MsgBody":"x"}"#);
    assert_eq!(read_by_client(&mut client, &file), gap(2, Some("den")));
}

#[test]
fn a_client_completes_what_the_wire_leaves_without_an_answer_and_refuses_what_it_cannot_carry() {
    let (mut client, _) = pair();
    let mut reply = |id, command: Command| {
        client.encode(&ClientFrame::Request { id: RequestId(id), command });
        let frame = client.take_frame();
        assert_eq!(client.take_frame(), None);
        (client.take_packet().is_some(), frame)
    };
    let done = |id, answer| (true, Some(ServerFrame::Reply { id: RequestId(id), result: Ok(answer) }));
    let token = RenewToken { token: Token::new("x").unwrap() };
    assert_eq!(reply(1, token.into()), done(1, Answer::RenewToken(())));
    let refuse = RefuseInvitation { call_id: call("c1"), caller_id: user("bob"), response: "".into() };
    assert_eq!(reply(2, refuse.into()), done(2, Answer::RefuseInvitation(())));
    let binary = SendMessageToPeer {
        message_id: MessageId(1),
        peer_id: user("bob"),
        message: RtmMessage::binary(&b"x"[..]),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    };
    let (sent, frame) = reply(3, binary.into());
    let Some(ServerFrame::Reply { id: RequestId(3), result: Err(refusal) }) = frame else { panic!("{frame:?}") };
    assert_eq!((sent, refusal.kind), (false, ErrorKind::IncompatibleMessage));
}

#[test]
fn a_server_of_the_vendor_s_says_less_and_is_understood() {
    let (mut client, _) = pair();
    let invite = SendInvitation { call_id: call("c1"), callee_id: user("bob"), content: "".into() };
    client.encode(&ClientFrame::Request { id: RequestId(1), command: invite.into() });
    written_by_client(&mut client);
    // No "sent" before "received", and no name of the callee.
    let status = |status| envelope("CallStatus", &format!(r#"{{"CallId":"c1","Status":{status}}}"#));
    let sent = ServerFrame::Reply { id: RequestId(1), result: Ok(Answer::SendInvitation(())) };
    let received = Event::LocalInvitationReceivedByPeer { call_id: call("c1"), callee_id: user("bob") };
    assert_eq!(read_by_client(&mut client, &status(2)), [sent, ServerFrame::Event { seq: Seq(1), event: received }]);
    let reason = LocalInvitationFailureReason::PeerNoResponse;
    let failed = Event::LocalInvitationFailure { call_id: call("c1"), callee_id: user("bob"), reason };
    assert_eq!(read_by_client(&mut client, &status(4)), [ServerFrame::Event { seq: Seq(2), event: failed }]);
    // That server leaves it to the caller to tell the callee.
    let cancel = r#"{"CallId":"c1","FromUId":"ann","ToUId":"bob","Reason":"TimeOut","Content":""}"#;
    assert_eq!(written_by_client(&mut client), envelope("CancelCall", cancel));
    assert_eq!(read_by_client(&mut client, &status(4)), [], "the call is over");

    let cancel = CancelInvitation { call_id: call("c1"), callee_id: user("bob"), content: "".into() };
    client.encode(&ClientFrame::Request { id: RequestId(2), command: cancel.into() });
    written_by_client(&mut client);
    let ack = envelope("cancelCallAck", r#"{"Code":2,"CallId":"c1","FromUId":"ann","ToUId":"bob"}"#);
    let refused = ServerFrame::Reply { id: RequestId(2), result: Err(ErrorKind::NotStarted.into()) };
    assert_eq!(read_by_client(&mut client, &ack), [refused]);
    let empty = envelope("QueryAttribKeys", r#"{"MsgId":1000000000003,"QueryUserId":"bob","Attribs":""}"#);
    let attributes = GetUserAttributes { user_id: user("bob"), keys: None };
    client.encode(&ClientFrame::Request { id: RequestId(3), command: attributes.into() });
    written_by_client(&mut client);
    let none = Answer::GetUserAttributes(attributes_of_none());
    assert_eq!(read_by_client(&mut client, &empty), [ServerFrame::Reply { id: RequestId(3), result: Ok(none) }]);
}

fn attributes_of_none() -> std::collections::BTreeMap<rtm_codec::AttributeKey, rtm_codec::Text> {
    attributes([])
}

#[test]
fn an_acceptance_ends_when_the_call_does() {
    let (mut client, mut server) = pair();
    let accept = Command::from(AcceptInvitation { call_id: call("c1"), caller_id: user("bob"), response: "".into() });
    send(&mut client, &mut server, 1, &accept);
    let gone = RemoteInvitationFailureReason::PeerOffline;
    let gone = Event::RemoteInvitationFailure { call_id: call("c1"), caller_id: user("bob"), reason: gone };
    let packet = write_event(&mut server, 1, &gone).unwrap();
    assert_eq!(
        read_by_client(&mut client, &packet),
        [
            ServerFrame::Reply { id: RequestId(1), result: Err(ErrorKind::AlreadyEnd.into()) },
            ServerFrame::Event { seq: Seq(1), event: gone }
        ]
    );
    // The server refuses it too: by then it has nobody to tell, and a client of ours is told all the same.
    refused(&mut server, RequestId(1), ErrorKind::AlreadyEnd);
    let packet = written_by_server(&mut server);
    assert!(matches!(read_by_client(&mut client, &packet)[..], [ServerFrame::Event { .. }]));
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let (mut client, mut server) = pair();
    let message = |id| -> Command {
        SendMessageToPeer {
            message_id: MessageId(id),
            peer_id: user("bob"),
            message: "x".into(),
            enable_offline_messaging: false,
            enable_historical_messaging: false,
        }
        .into()
    };
    for id in 1..=100 {
        assert_eq!(send(&mut client, &mut server, id, &message(id)).len(), 1);
    }
    for id in (1..=100).rev() {
        let outcome = if id % 2 == 0 { SendOutcome::Delivered } else { SendOutcome::Stored };
        let reply = ServerFrame::Reply { id: RequestId(id), result: Ok(Answer::SendMessageToPeer(outcome)) };
        server.encode(&reply);
        let packet = written_by_server(&mut server);
        assert_eq!(read_by_client(&mut client, &packet), [reply]);
    }
}
