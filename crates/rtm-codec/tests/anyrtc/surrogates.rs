//! Half of an emoji, as JavaScript leaves it when it cuts a text: each half becomes U+FFFD, wherever it stands.

use rtm_codec::{
    AcceptInvitation, ClientFrame, Command, Event, GetUserAttributes, RefuseInvitation, RtmMessage, SendChannelMessage,
    SendInvitation, SendMessageToPeer, SetChannelAttributes, SetLocalUserAttributes,
    anyrtc::{
        ClientCodec,
        gateway::{Endpoint, GatewayAnswer},
    },
};

use crate::support::*;

/// Halves as JSON writes them, and what is read.
const HALVES: [(&str, &str); 8] = [
    (r"a\ud83d", "a\u{fffd}"),
    (r"\uDC4B", "\u{fffd}"),
    (r"\ud83dz\ud83d", "\u{fffd}z\u{fffd}"),
    (r"\udc4b\ud83d", "\u{fffd}\u{fffd}"),
    (r"\ud83d\ud83d\udc4b", "\u{fffd}👋"),
    (r"👋\ud83d\udc4b\udc4b", "👋👋\u{fffd}"),
    (r"\ud83d\u0041", "\u{fffd}A"),
    (r"\ud83d\\udc4b", "\u{fffd}\\udc4b"),
];

/// As it stands in a string within a string.
fn deeper(half: &str) -> String {
    half.replace('\\', r"\\")
}

fn command(cmd: &str, content: &str) -> Command {
    match &read_by_server(&mut server_of_sdk(), &envelope(cmd, content))[..] {
        [ClientFrame::Request { command, .. }] => command.clone(),
        frames => panic!("{cmd} {content}: {frames:?}"),
    }
}

fn event(cmd: &str, content: &str) -> Event {
    match &read_by_client(&mut ClientCodec::new(), &envelope(cmd, content))[..] {
        [rtm_codec::ServerFrame::Event { event, .. }] => event.clone(),
        frames => panic!("{cmd} {content}: {frames:?}"),
    }
}

#[test]
fn in_messages_and_invitations_to_a_server() {
    for (half, read) in HALVES {
        let body = |more: &str| format!(r#"{{"MsgId":7,"MsgType":1,"MsgBody":"{half}",{more}}}"#);
        let message = RtmMessage::from(read);
        let sent = command("SendMsgToPeer", &body(r#""ToUId":"bob""#));
        assert!(matches!(sent, Command::SendMessageToPeer(SendMessageToPeer { message: it, .. }) if it == message));
        let sent = command("SendChannelMsg", &body(r#""ChanId":"den""#));
        assert!(matches!(sent, Command::SendChannelMessage(SendChannelMessage { message: it, .. }) if it == message));
        let call = |field: &str| format!(r#"{{"CallId":"c1","ToUId":"bob","{field}":"{half}"}}"#);
        let sent = command("MakeCall", &call("Content"));
        assert!(matches!(sent, Command::SendInvitation(SendInvitation { content, .. }) if content.as_str() == read));
        let sent = command("AcceptCall", &call("Response"));
        assert!(
            matches!(sent, Command::AcceptInvitation(AcceptInvitation { response, .. }) if response.as_str() == read)
        );
        let sent = command("RejectCall", &call("Response"));
        assert!(
            matches!(sent, Command::RefuseInvitation(RefuseInvitation { response, .. }) if response.as_str() == read)
        );
    }
}

#[test]
fn in_keys_and_values_of_attributes_to_a_server() {
    for (half, read) in HALVES {
        let half = deeper(half);
        let attributes = format!(r#""Attributes":"{{\"{half}\":\"{half}\"}}""#);
        let expected = attributes_of(read);
        let sent = command("AddOrUpdateUserAttributes", &format!(r#"{{"MsgId":7,"SetLocal":true,{attributes}}}"#));
        assert_eq!(sent, SetLocalUserAttributes { attributes: expected.clone() }.into());
        let sent = command(
            "AddOrUpdateChanAttributes",
            &format!(r#"{{"MsgId":7,"SetChan":true,"ChanId":"den","Notify":true,{attributes}}}"#),
        );
        assert!(
            matches!(sent, Command::SetChannelAttributes(SetChannelAttributes { attributes, .. }) if attributes == expected)
        );
    }
    let (half, read) = HALVES[0];
    let asked = command("GetUserAttributes", &format!(r#"{{"MsgId":7,"UserId":"bob","Keys":["{half}"]}}"#));
    assert_eq!(asked, GetUserAttributes { user_id: user("bob"), keys: Some(vec![key(read)]) }.into());
}

fn attributes_of(text: &str) -> std::collections::BTreeMap<rtm_codec::AttributeKey, rtm_codec::Text> {
    attributes([(text, text)])
}

#[test]
fn in_events_to_a_client() {
    for (half, read) in HALVES {
        let body = format!(r#""MsgId":7,"FromUId":"bob","MsgType":1,"MsgBody":"{half}","SvrTS":1"#);
        let Event::MessageFromPeer(it) = event("RecvMsgFromPeer", &format!("{{{body}}}")) else { panic!("{half}") };
        assert_eq!(it.message.as_text(), Some(read));
        let told = event("RecvMsgFromChan", &format!(r#"{{"ChanId":"den",{body}}}"#));
        assert!(matches!(told, Event::ChannelMessage { message, .. } if message.as_text() == Some(read)));
        let told = event("MakeCall", &format!(r#"{{"CallId":"c1","FromUId":"bob","Content":"{half}"}}"#));
        assert!(matches!(told, Event::RemoteInvitationReceived { content, .. } if content.as_str() == read));
        let told = event("AcceptCall", &format!(r#"{{"CallId":"c1","FromUId":"bob","Response":"{half}"}}"#));
        assert!(matches!(told, Event::LocalInvitationAccepted { response, .. } if response.as_str() == read));
        let list = format!(r#"[{{"Key":"{half}","Val":"{half}","UId":"bob","Time":1}}]"#);
        let told = event("ChanAttribChanged", &format!(r#"{{"ChanId":"den","Attributes":{list}}}"#));
        let Event::AttributesUpdated { attributes, .. } = told else { panic!("{half}") };
        let (told_key, attribute) = attributes.attributes.first_key_value().unwrap();
        assert_eq!((told_key, attribute.value.as_str()), (&key(read), read));
    }
}

#[test]
fn in_bodies_of_http() {
    for (half, read) in HALVES {
        let data = format!(r#"[{{"msgFrom":"bob","msgStatus":0,"msgType":1,"msgBody":"{half}","msgTs":1,"msgId":9}}]"#);
        let body = format!(r#"{{"code":0,"data":{data}}}"#);
        let answer = GatewayAnswer::decode(Endpoint::OfflineMessages, body.as_bytes());
        let Ok(GatewayAnswer::OfflineMessages(page)) = answer else { panic!("{half}: {answer:?}") };
        assert_eq!(page.messages[0].message.as_text(), Some(read));
    }
}

#[test]
fn a_message_grows_by_what_stands_for_its_halves() {
    // Each half takes three bytes of UTF-8.
    let fits = r"\ud83d".repeat(rtm_codec::limits::MESSAGE_BYTES / 3);
    let body = |text: &str| format!(r#"{{"MsgId":7,"ToUId":"bob","MsgType":1,"MsgBody":"{text}"}}"#);
    assert!(matches!(command("SendMsgToPeer", &body(&fits)), Command::SendMessageToPeer(_)));
    let frames = read_by_server(&mut server_of_sdk(), &envelope("SendMsgToPeer", &body(&format!(r"{fits}\ud83d"))));
    assert!(matches!(frames[..], [ClientFrame::BadRequest { .. }]));
}
