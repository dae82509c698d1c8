//! What holds for any input: what is written is read again, and nothing that is read does harm.

use proptest::{collection::vec, prelude::*, sample::select};
use rtm_codec::{
    Answer, ClientFrame, Command, Event, GetUserAttributes, MessageId, Packet, PeerMessage, RequestId, SendInvitation,
    SendMessageToPeer, SendOutcome, Seq, ServerFrame, SetLocalUserAttributes, SubscribePeersOnlineStatus, Text, UserId,
    anyrtc::{
        ServerCodec,
        gateway::{Endpoint, GatewayAnswer, GatewayRequest},
    },
};
use serde_json::{Value, json};

use crate::support::*;

fn any_text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        4 => any::<char>(),
        2 => (0u8..0x30).prop_map(char::from),
        2 => select(vec!['"', '\\', '/', '\u{7f}', '\u{2028}', '\u{fffd}', '字', '👋', '\u{10ffff}']),
    ];
    vec(char, 1..200).prop_map(String::from_iter)
}

fn any_user() -> impl Strategy<Value = UserId> {
    "[a-zA-Z0-9 !#$%&()+:;<=.>?@\\[\\]^_{}|~,-]{1,64}".prop_filter_map("reserved", |text| UserId::new(text).ok())
}

fn any_command() -> impl Strategy<Value = Command> {
    let attributes = proptest::collection::btree_map("[a-z\"\\\\字👋]{1,8}", any_text(), 0..8);
    prop_oneof![
        (0u64..1 << 53, any_user(), any_text(), any::<bool>(), any::<bool>()).prop_map(
            |(id, peer_id, text, enable_offline_messaging, enable_historical_messaging)| {
                SendMessageToPeer {
                    message_id: MessageId(id),
                    peer_id,
                    message: text.into(),
                    enable_offline_messaging,
                    enable_historical_messaging,
                }
                .into()
            }
        ),
        vec(any_user(), 0..50).prop_map(|peer_ids| SubscribePeersOnlineStatus { peer_ids }.into()),
        attributes.prop_map(|entries| {
            let attributes = entries.iter().map(|(name, value)| (key(name), Text::from(value.as_str()))).collect();
            SetLocalUserAttributes { attributes }.into()
        }),
        (any_user(), any_text()).prop_map(|(callee_id, content)| {
            SendInvitation { call_id: call("c1"), callee_id, content: content.into() }.into()
        }),
    ]
}

/// A packet that may be anything, but often is nearly right.
fn any_packet() -> impl Strategy<Value = String> {
    let cmds = [
        "Login",
        "SendMsgToPeer",
        "MsgStatus",
        "RecvMsgFromPeer",
        "RecvMsgFromPeerAck",
        "QueryOnlineStatus",
        "SubscribeOnlineStatus",
        "PeerOnlineStatus",
        "AddOrUpdateUserAttributes",
        "GetUserAttributes",
        "QueryAttribKeys",
        "JoinChannel",
        "SendChannelMsg",
        "RecvMsgFromChan",
        "ChanMemberJoin",
        "AddOrUpdateChanAttributes",
        "GetChanAttributes",
        "ChanAttribChanged",
        "GetChanMemberSize",
        "GetChanMembers",
        "MakeCall",
        "CallStatus",
        "CancelCall",
        "cancelCallAck",
        "AcceptCall",
        "AcceptCallAck",
        "KeepAlive",
    ];
    let keys = [
        "MsgId",
        "UserId",
        "UserIds",
        "Status",
        "Online",
        "Code",
        "ToUId",
        "FromUId",
        "MsgBody",
        "MsgType",
        "ChanId",
        "ChanIds",
        "Attributes",
        "Attribs",
        "Keys",
        "Key",
        "Val",
        "UId",
        "Members",
        "CallId",
        "Reason",
        "Content",
        "SetLocal",
        "Notify",
        "SvrTS",
        "UserSId",
        "AcsToken",
        "Failure",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
        any_user().prop_map(|user| Value::from(user.as_str())),
    ];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((select(keys.to_vec()), inner.clone()), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    });
    let content = vec((select(keys.to_vec()), value), 0..8)
        .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>());
    (select(cmds.to_vec()), content).prop_map(|(cmd, content)| {
        json!({ "Cmd": cmd, "AppId": APP_ID, "Encrypt": false, "Content": content.to_string() }).to_string()
    })
}

fn read_by_both(packet: &str) {
    let (mut client, mut server) = pair();
    let mut frames = Vec::new();
    let _ = client.decode(Packet::Text(packet.into()), &mut frames);
    for frame in frames {
        if let ServerFrame::Event { seq, .. } = frame {
            client.encode(&ClientFrame::Ack { received: seq, consumed: seq, answered: RequestId(0) });
        }
    }
    let mut frames = Vec::new();
    let _ = server.decode(Packet::Text(packet.into()), &mut frames);
    for frame in frames {
        if let ClientFrame::BadRequest { id, refusal } = frame {
            server.encode(&ServerFrame::Reply { id, result: Err(refusal) });
            written_by_server_or_nothing(&mut server);
        }
    }
    for endpoint in [Endpoint::Gateway, Endpoint::OfflineMessages, Endpoint::PeerHistory] {
        let _ = GatewayRequest::decode(endpoint, packet.as_bytes());
        let _ = GatewayAnswer::decode(endpoint, packet.as_bytes());
    }
}

/// Whatever is written is an envelope whose content is JSON, even where what is repeated in it is not.
fn written_by_server_or_nothing(server: &mut ServerCodec) {
    while let Some(Packet::Text(text)) = server.take_packet() {
        let envelope: Value = serde_json::from_str(&text).unwrap();
        let content: Value = serde_json::from_str(envelope["Content"].as_str().unwrap()).unwrap();
        assert!(content.is_object(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_request_survives_the_wire(command in any_command()) {
        let (mut client, mut server) = pair();
        let frames = send(&mut client, &mut server, 1, &command);
        prop_assert_eq!(frames, [ClientFrame::Request { id: RequestId(1), command }]);
    }

    #[test]
    fn a_text_survives_the_wire_wherever_it_stands(text in any_text()) {
        let (mut client, mut server) = pair();
        let event = Event::MessageFromPeer(PeerMessage {
            message_id: MessageId(5),
            peer_id: user("bob"),
            message: text.clone().into(),
            is_offline_message: false,
            server_received_ts: u64::MAX,
        });
        let packet = write_event(&mut server, 1, &event).unwrap();
        prop_assert_eq!(read_by_client(&mut client, &packet), [ServerFrame::Event { seq: Seq(1), event }]);
        // What JSON libraries make of it.
        let envelope: Value = serde_json::from_str(&packet).unwrap();
        let content: Value = serde_json::from_str(envelope["Content"].as_str().unwrap()).unwrap();
        prop_assert_eq!(content["MsgBody"].as_str().unwrap(), &text);

        let command = GetUserAttributes { user_id: user("bob"), keys: None }.into();
        send(&mut client, &mut server, 1, &command);
        let answer = Answer::GetUserAttributes(attributes([("k", &text), ("l", "x")]));
        let reply = ServerFrame::Reply { id: RequestId(1), result: Ok(answer) };
        server.encode(&reply);
        let packet = written_by_server(&mut server);
        prop_assert_eq!(read_by_client(&mut client, &packet), [reply]);
    }

    #[test]
    fn a_packet_of_another_json_library_is_read_alike(text in any_text(), escape in any::<bool>()) {
        let content = json!({ "MsgId": 7, "ToUId": "bob", "MsgType": 1, "MsgBody": text, "Desc": "" });
        let mut content = content.to_string();
        if escape {
            content = escaped(&content);
        }
        let mut packet = json!({ "Cmd": "SendMsgToPeer", "Encrypt": false, "Content": content }).to_string();
        if escape {
            packet = escaped(&packet);
        }
        let frames = read_by_server(&mut ServerCodec::new(), &packet);
        let [ClientFrame::Request { command: Command::SendMessageToPeer(sent), .. }] = &frames[..] else {
            panic!("{frames:?}");
        };
        prop_assert_eq!(sent.message.as_text(), Some(text.as_str()));
    }

    #[test]
    fn text_of_any_kind_does_no_harm(text in ".{0,300}") {
        read_by_both(&text);
    }

    #[test]
    fn a_packet_of_any_content_does_no_harm(packet in any_packet()) {
        read_by_both(&packet);
    }

    #[test]
    fn a_packet_that_was_changed_does_no_harm(
        packet in any_packet(),
        at in any::<prop::sample::Index>(),
        with in "[\\\\\"{}\\[\\],:0-9a-z\u{1}字]{0,3}",
        cut in 0usize..4,
    ) {
        let start = packet.floor_char_boundary(at.index(packet.len()));
        let end = packet.ceil_char_boundary((start + cut).min(packet.len()));
        read_by_both(&format!("{}{with}{}", &packet[..start], &packet[end..]));
        read_by_both(&packet[..start]);
    }

    #[test]
    fn whether_it_is_json_is_judged_as_by_others(text in "[\\[\\]{}\",:0-9.eE+\\-tfn \\\\]{0,24}") {
        let packet = format!(r#"{{"Cmd":"Logout","x":{text}}}"#);
        let expected = serde_json::from_str::<Value>(&packet);
        // Others refuse numbers that are too large for them, lone surrogates, and nesting of another depth.
        if error_of_server(&packet).is_some() {
            prop_assert!(expected.is_err(), "{packet}");
        } else if let Err(error) = expected {
            let error = error.to_string();
            prop_assert!(error.starts_with("number out of range") || error.contains("surrogate"), "{packet}: {error}");
        }
    }
}

/// The same JSON with everything outside ASCII written as escapes, as some libraries write it.
fn escaped(json: &str) -> String {
    let mut units = [0; 2];
    json.chars()
        .map(|char| match char {
            ' '..='~' => char.to_string(),
            _ => char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
        })
        .collect()
}

#[test]
fn every_character_survives_the_wire() {
    let (mut client, mut server) = pair();
    let chars: Vec<char> = ('\0'..=char::MAX).collect();
    for (i, chunk) in chars.chunks(4096).enumerate() {
        let id = i as u64 + 1;
        let command = Command::from(SendMessageToPeer {
            message_id: MessageId(id),
            peer_id: user("bob"),
            message: String::from_iter(chunk).into(),
            enable_offline_messaging: false,
            enable_historical_messaging: false,
        });
        let frames = send(&mut client, &mut server, id, &command);
        assert!(frames == [ClientFrame::Request { id: RequestId(id), command }], "from {:?}", chunk[0]);
        let reply =
            ServerFrame::Reply { id: RequestId(id), result: Ok(Answer::SendMessageToPeer(SendOutcome::Delivered)) };
        server.encode(&reply);
        let packet = written_by_server(&mut server);
        assert_eq!(read_by_client(&mut client, &packet), [reply]);
    }
}
