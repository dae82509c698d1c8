//! Codecs that have logged in, and short ways to ask them.

use std::collections::BTreeMap;

use rtm_codec::{
    Abilities, AppId, AttributeKey, CallId, ChannelId, ClientFrame, Command, DecodeErrorKind, Event, InstanceId,
    KeepAlive, Login, Packet, RequestId, Resumption, Seq, ServerFrame, SharedEvent, Text, UserId, Welcome, Wire,
    anyrtc::{ClientCodec, ServerCodec},
};

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const INSTANCE: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";

pub(crate) fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

pub(crate) fn room(text: &str) -> ChannelId {
    ChannelId::new(text).unwrap()
}

pub(crate) fn call(text: &str) -> CallId {
    CallId::new(text).unwrap()
}

pub(crate) fn key(text: &str) -> AttributeKey {
    AttributeKey::new(text).unwrap()
}

pub(crate) fn attributes<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<AttributeKey, Text> {
    entries.into_iter().map(|(name, value)| (key(name), Text::from(value))).collect()
}

/// The packet with that content.
pub(crate) fn envelope(cmd: &str, content: &str) -> String {
    format!(r#"{{"Cmd":"{cmd}","Encrypt":false,"Content":{}}}"#, serde_json::to_string(content).unwrap())
}

pub(crate) fn login() -> Login {
    Login {
        app_id: AppId::new(APP_ID).unwrap(),
        user_id: Some(user("ann")),
        token: None,
        instance: InstanceId::new(INSTANCE).unwrap(),
        resume: None,
        keep_alive: KeepAlive::Client { interval_ms: 10_000 },
        window: 0,
        abilities: Abilities { repeats_attributes: false, ..Wire::Vendor.abilities() },
        gateway_session: Some("s1".into()),
    }
}

pub(crate) fn welcome(user_id: &str) -> ServerFrame {
    ServerFrame::Welcome(Box::new(Welcome {
        user_id: user(user_id),
        ticket: None,
        resumption: Resumption::New,
        token_expires_in_ms: None,
        server_time_ms: 0,
        limits: None,
    }))
}

/// The two halves of a socket over which `ann` has logged in.
pub(crate) fn pair() -> (ClientCodec, ServerCodec) {
    let (mut client, mut server) = (ClientCodec::new(), ServerCodec::new());
    client.encode(&ClientFrame::Login(Box::new(login())));
    let packet = written_by_client(&mut client);
    assert_eq!(read_by_server(&mut server, &packet), [ClientFrame::Login(Box::new(login()))]);
    server.encode(&welcome("ann"));
    let packet = written_by_server(&mut server);
    assert_eq!(read_by_client(&mut client, &packet), [welcome("ann")]);
    (client, server)
}

/// The server's half of a socket over which the SDK has logged in as `ann`.
pub(crate) fn server_of_sdk() -> ServerCodec {
    let mut server = ServerCodec::new();
    let content =
        format!(r#"{{"UserId":"ann","UserSId":"{INSTANCE}","AcsToken":"","SdkVer":"1.0.15","SessionId":"s1"}}"#);
    let login = envelope("Login", &content).replacen(',', &format!(r#","AppId":"{APP_ID}","#), 1);
    assert!(matches!(read_by_server(&mut server, &login)[..], [ClientFrame::Login(_)]));
    server.encode(&welcome("ann"));
    written_by_server(&mut server);
    server
}

pub(crate) fn read_by_server(server: &mut ServerCodec, packet: &str) -> Vec<ClientFrame> {
    let mut frames = Vec::new();
    server.decode(Packet::Text(packet.into()), &mut frames).unwrap_or_else(|error| panic!("{error}: {packet}"));
    frames
}

pub(crate) fn read_by_client(client: &mut ClientCodec, packet: &str) -> Vec<ServerFrame> {
    let mut frames = Vec::new();
    client.decode(Packet::Text(packet.into()), &mut frames).unwrap_or_else(|error| panic!("{error}: {packet}"));
    frames
}

pub(crate) fn error_of_server(packet: &str) -> Option<DecodeErrorKind> {
    ServerCodec::new().decode(Packet::Text(packet.into()), &mut Vec::new()).err().map(|error| error.kind())
}

fn text(packet: Packet) -> String {
    match packet {
        Packet::Text(text) => text.to_string(),
        Packet::Binary(_) => panic!("a binary packet"),
    }
}

/// The one packet that the client has to write.
pub(crate) fn written_by_client(client: &mut ClientCodec) -> String {
    let packet = text(client.take_packet().expect("a packet"));
    assert_eq!(client.take_packet(), None);
    packet
}

/// The one packet that the server has to write.
pub(crate) fn written_by_server(server: &mut ServerCodec) -> String {
    let packet = text(server.take_packet().expect("a packet"));
    assert_eq!(server.take_packet(), None);
    packet
}

/// The number that the server gives the request in `packet`.
pub(crate) fn asked(server: &mut ServerCodec, packet: &str) -> RequestId {
    match &read_by_server(server, packet)[..] {
        [ClientFrame::Request { id, .. } | ClientFrame::BadRequest { id, .. }] => *id,
        frames => panic!("no request: {frames:?}"),
    }
}

/// Sends a command to the server's half; what it makes of it.
pub(crate) fn send(client: &mut ClientCodec, server: &mut ServerCodec, id: u64, command: &Command) -> Vec<ClientFrame> {
    client.encode(&ClientFrame::Request { id: RequestId(id), command: command.clone() });
    let packet = written_by_client(client);
    read_by_server(server, &packet)
}

/// Writes an event for this socket; `None` where nothing is written.
pub(crate) fn write_event(server: &mut ServerCodec, seq: u64, event: &Event) -> Option<String> {
    server.encode_event(Seq(seq), &SharedEvent::new(event.clone()));
    let packet = server.take_packet().map(text);
    assert_eq!(server.take_packet(), None);
    packet
}
