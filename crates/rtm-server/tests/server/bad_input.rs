//! What a socket that breaks the rules gets; and two others talk on as if nothing had happened.

use std::{net::SocketAddr, time::Duration};

use async_tungstenite::tungstenite::Message;
use rtm_codec::{
    ChannelId, ClientFrame, ErrorKind, Event, GetMembers, MessageId, RequestId, RtmMessage, SendMessageToPeer,
    ServerFrame, Wire,
};
use rtm_server::Server;

use crate::support::{Client, login, login_with, server, server_with, soon, user};

/// Two users, one on each wire, who are not to be disturbed.
struct Bystanders {
    server: Server,
    native: Client,
    vendor: Client,
    /// How many others there were. Each has its own name: one user may log in twice a second.
    guests: usize,
}

impl Bystanders {
    async fn new(server: Server) -> Self {
        let native = Client::login(server.local_addr(), Wire::Native, "native").await;
        let vendor = Client::login(server.local_addr(), Wire::Vendor, "vendor").await;
        Self { server, native, vendor, guests: 0 }
    }

    fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Somebody else logs in.
    async fn guest(&mut self, wire: Wire) -> Client {
        self.guests += 1;
        Client::login(self.address(), wire, &format!("guest{}", self.guests)).await
    }

    /// They are well, and everybody else has left the server.
    async fn notice_nothing(&mut self) {
        self.native.talks_with("native", &mut self.vendor, "vendor").await;
        soon("the others' leaving", async {
            while self.server.stats().connections > 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_LONG: u16 = 1009;
const LOGIN_REFUSED: u16 = 4000;

/// Sends `message` and expects to be closed for it, with a reason that holds `because`.
async fn is_closed_for(mut client: Client, message: Message, because: &str) {
    let shown = format!("{message:?}");
    client.send_raw(message).await;
    let closed = client.closed().await;
    let (code, reason) = closed.unwrap_or_else(|| panic!("no reason for {shown:.100}"));
    let expected = if because == "longer than" { TOO_LONG } else { PROTOCOL_ERROR };
    assert_eq!(code, expected, "{shown:.100}: {reason}");
    assert!(reason.to_lowercase().contains(because), "{shown:.100}: {reason}");
}

#[tokio::test]
async fn packets_that_are_not_the_protocol_close_their_socket() {
    let mut others = Bystanders::new(server().await).await;
    let deep = "[".repeat(100_000);
    let native: [(Message, &str); 7] = [
        (Message::text("{}"), "message type"),
        (Message::binary(vec![]), ""),
        (Message::binary(vec![1]), ""),
        (Message::binary(vec![1, 250, 0, 0]), ""),
        (Message::binary(vec![1, 1, 253, 255, 255, 255, 255, 255, 255, 255, 15]), ""),
        (Message::binary(vec![1, 1, 99]), "unknown tag 99"),
        (Message::binary(vec![1; 100_000]), ""),
    ];
    let vendor: [(Message, &str); 8] = [
        (Message::binary(b"{}".to_vec()), "message type"),
        (Message::text("hello"), ""),
        (Message::text(""), ""),
        (Message::text("{}"), ""),
        (Message::text("[1, 2]"), ""),
        (Message::text(r#"{"Cmd": 5, "Content": "{}"}"#), ""),
        (Message::text(&deep), ""),
        (Message::text(format!(r#"{{"Cmd":"KeepAlive","Encrypt":false,"Content":{deep}"#)), ""),
    ];
    for (wire, cases) in [(Wire::Native, &native[..]), (Wire::Vendor, &vendor[..])] {
        for (message, because) in cases.iter().cloned() {
            // Before its login as after it, but that messages have to be shorter then.
            let early = if message.len() > 64 * 1024 { "longer than" } else { because };
            is_closed_for(Client::connect(others.address(), wire).await, message.clone(), early).await;
            is_closed_for(others.guest(wire).await, message, because).await;
        }
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn a_client_of_another_version_is_told_so() {
    let mut others = Bystanders::new(server().await).await;
    for packet in [vec![2, 1, 3], vec![255; 1000]] {
        let mut client = Client::connect(others.address(), Wire::Native).await;
        client.send_raw(Message::binary(packet.clone())).await;
        match client.next().await {
            ServerFrame::Refused(refusal) => assert_eq!(refusal.kind, ErrorKind::Unsupported, "{refusal}"),
            frame => panic!("{frame:?}"),
        }
        let (code, reason) = client.closed().await.unwrap();
        assert_eq!(code, LOGIN_REFUSED, "{reason}");
        assert!(reason.contains("version"), "{reason}");
        // Once it is logged in it can only be broken.
        is_closed_for(others.guest(Wire::Native).await, Message::binary(packet), "version").await;
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn a_native_login_that_cannot_be_read_is_refused_with_a_code() {
    let mut others = Bystanders::new(server().await).await;
    let refused: [(&[u8], ErrorKind); 2] = [
        // A keep-alive of a kind that is not known, and a token that is no UTF-8.
        (b"\x01\x2a\0\x200123456789abcdef0123456789abcdef\x01\x01u\0\x01i\0\x02\x01", ErrorKind::Unsupported),
        (b"\x01\x2b\0\x200123456789abcdef0123456789abcdef\x01\x01u\x01\x01\xff\x01i\0\0", ErrorKind::InvalidArgument),
    ];
    for (packet, kind) in refused {
        let mut client = Client::connect(others.address(), Wire::Native).await;
        client.send_raw(Message::binary(packet.to_vec())).await;
        match client.next().await {
            ServerFrame::Refused(refusal) => assert_eq!(refusal.kind, kind, "{refusal}"),
            frame => panic!("{frame:?}"),
        }
        assert_eq!(client.closed().await.unwrap().0, LOGIN_REFUSED);
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn frames_of_a_newer_client_that_may_be_passed_over_are() {
    let mut others = Bystanders::new(server().await).await;
    for mut client in [Client::connect(others.address(), Wire::Native).await, others.guest(Wire::Native).await] {
        client.send_raw(Message::binary(vec![1, 3, 200, 1, 2, 1, 3])).await;
        assert_eq!(client.next().await, ServerFrame::Pong);
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn frames_that_are_not_websocket_close_their_socket() {
    let mut others = Bystanders::new(server().await).await;
    let frames: [(&[u8], u16, &str); 13] = [
        (b"\x82\x01x", PROTOCOL_ERROR, "mask"),
        (b"\xc2\x80\0\0\0\0", PROTOCOL_ERROR, "reserved"),
        (b"\x80\x80\0\0\0\0", PROTOCOL_ERROR, "continue"),
        (b"\x83\x80\0\0\0\0", PROTOCOL_ERROR, "opcode"),
        (b"\x8b\x80\0\0\0\0", PROTOCOL_ERROR, "opcode"),
        (b"\x09\x80\0\0\0\0", PROTOCOL_ERROR, "control"),
        (b"\x89\xfe\0\x7e\0\0\0\0", PROTOCOL_ERROR, "control"),
        // A length beyond the limit is refused before anything of it is sent, as is one that lies.
        (b"\x82\xff\0\0\0\0\0\x10\0\x01\0\0\0\0", TOO_LONG, "longer than 1048576 bytes"),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", TOO_LONG, "longer than 1048576 bytes"),
        (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", PROTOCOL_ERROR, "length"),
        (b"\x81\x82\0\0\0\0\xff\xff", NOT_UTF8, "not valid utf-8"),
        (b"\x01\x83\0\0\0\0a\xc3\xc3", NOT_UTF8, "not valid utf-8"),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", NOT_UTF8, "not valid utf-8"),
    ];
    for wire in [Wire::Native, Wire::Vendor] {
        for (bytes, expected, because) in frames {
            let mut client = others.guest(wire).await;
            client.send_bytes(bytes).await;
            if because == "control" && bytes[0] == 0x89 {
                client.send_bytes(&[0; 126]).await;
            }
            let (code, reason) = client.closed().await.unwrap_or_else(|| panic!("no reason for {bytes:x?}"));
            assert_eq!(code, expected, "{reason}");
            assert!(reason.to_lowercase().contains(because), "{bytes:x?}: {reason}");
        }
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn before_a_login_messages_are_small() {
    let mut others = Bystanders::new(server().await).await;
    let mut client = Client::connect(others.address(), Wire::Native).await;
    client.send_bytes(b"\x82\xff\0\0\0\0\0\x01\0\x01\0\0\0\0").await;
    let (code, reason) = client.closed().await.unwrap();
    assert_eq!((code, reason.as_str()), (TOO_LONG, "a message is longer than 65536 bytes"));
    others.notice_nothing().await;
}

#[tokio::test]
async fn calls_before_a_login_are_refused_and_too_many_end_the_socket() {
    let mut others = Bystanders::new(server().await).await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut client = Client::connect(others.address(), wire).await;
        let members = || GetMembers { channel_id: ChannelId::new("room").unwrap() };
        let id = client.request(members()).await;
        match client.next().await {
            ServerFrame::Reply { id: answered, result: Err(refusal) } => {
                assert_eq!((answered, refusal.kind), (id, ErrorKind::NotLoggedIn), "{wire:?}");
            }
            other => panic!("{other:?}"),
        }
        client.send(ClientFrame::Ping).await;
        assert_eq!(client.next().await, ServerFrame::Pong);
        // It may still log in.
        client.send(login("late")).await;
        assert!(matches!(client.next().await, ServerFrame::Welcome(_)));

        let mut client = Client::connect(others.address(), wire).await;
        for _ in 0..17 {
            client.request(members()).await;
        }
        let closed = client.closed().await;
        assert_eq!(closed, Some((PROTOCOL_ERROR, "the first frame has to be a login".into())), "{wire:?}");
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn who_does_not_log_in_in_time_is_closed() {
    let server = server_with(|config| config.login_timeout = Duration::from_secs(1)).await;
    let mut others = Bystanders::new(server).await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut client = Client::connect(others.address(), wire).await;
        assert_eq!(client.closed().await, Some((4006, "no login came in time".into())), "{wire:?}");
        // Chatter is not a login.
        let mut client = Client::connect(others.address(), wire).await;
        client.send(ClientFrame::Ping).await;
        assert_eq!(client.closed().await, Some((4006, "no login came in time".into())), "{wire:?}");
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn an_unknown_project_is_refused() {
    let mut others = Bystanders::new(server().await).await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut client = Client::connect(others.address(), wire).await;
        client.send(login_with("F".repeat(32).parse().unwrap(), "alice", None)).await;
        match client.next().await {
            ServerFrame::Refused(refusal) => assert_eq!(refusal.kind, ErrorKind::InvalidAppId),
            other => panic!("{other:?}"),
        }
        let (code, _) = client.closed().await.unwrap();
        assert!(code != 1000 && code != 1005, "the vendor's SDK would take {code} for its own leaving");
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn a_second_login_on_a_socket_is_not_the_protocol() {
    let mut others = Bystanders::new(server().await).await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut client = others.guest(wire).await;
        client.send(login("native")).await;
        assert_eq!(client.closed().await.map(|(code, _)| code), Some(PROTOCOL_ERROR), "{wire:?}");
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn what_is_unknown_or_wrong_in_a_call_is_tolerated_or_refused() {
    let mut others = Bystanders::new(server().await).await;
    let mut client = others.guest(Wire::Vendor).await;
    for unknown in [
        r#"{"Cmd":"Whatever","Encrypt":false,"Content":"{}"}"#,
        r#"{"Cmd":"KeepAlive","Encrypt":false,"Content":"{\"time\":\"1\",\"more\":[{}]}","More":1}"#,
    ] {
        client.send_raw(Message::text(unknown)).await;
    }
    assert_eq!(client.next().await, ServerFrame::Pong);
    // A call whose arguments break the rules is answered as a call.
    let id = client
        .request(SendMessageToPeer {
            message_id: MessageId(1),
            peer_id: user("native"),
            message: RtmMessage::text("x".repeat(32_769)),
            enable_offline_messaging: false,
            enable_historical_messaging: false,
        })
        .await;
    match client.next().await {
        ServerFrame::Reply { id: answered, result } => assert!(answered == id && result != sent(true)),
        other => panic!("{other:?}"),
    }
    client.talks_with("guest1", &mut others.native, "native").await;
    drop(client);
    others.notice_nothing().await;
}

fn sent(delivered: bool) -> Result<rtm_codec::Answer, rtm_codec::Refusal> {
    use rtm_codec::{Answer, SendOutcome};
    Ok(Answer::SendMessageToPeer(if delivered { SendOutcome::Delivered } else { SendOutcome::NotReceived }))
}

#[tokio::test]
async fn the_sender_is_who_logged_in_whatever_it_claims() {
    let mut others = Bystanders::new(server().await).await;
    let mut forger = Client::login(others.address(), Wire::Vendor, "forger").await;
    let content = r#"{\"MsgId\":1234567890123,\"FromUId\":\"vendor\",\"ToUId\":\"native\",\"MsgType\":1,\"MsgBody\":\"hi\",\"OfflineMsg\":false,\"HistoryMsg\":false,\"Desc\":\"\"}"#;
    let forged = format!(r#"{{"Cmd":"SendMsgToPeer","Encrypt":false,"Content":"{content}"}}"#);
    forger.send_raw(Message::text(forged)).await;
    match others.native.next().await {
        ServerFrame::Event { seq, event: Event::MessageFromPeer(message) } => {
            assert_eq!(message.peer_id, user("forger"));
            others.native.ack(seq).await;
        }
        other => panic!("{other:?}"),
    }
    drop(forger);
    others.notice_nothing().await;
}

#[tokio::test]
async fn sockets_that_vanish_at_any_point_leave_nothing_behind() {
    let mut others = Bystanders::new(server().await).await;
    for round in 0..200 {
        let wire = if round % 2 == 0 { Wire::Native } else { Wire::Vendor };
        match round % 5 {
            0 => drop(tokio::net::TcpStream::connect(others.address()).await.unwrap()),
            1 => drop(Client::connect(others.address(), wire).await),
            2 => drop(others.guest(wire).await),
            3 => {
                let mut client = others.guest(wire).await;
                client.send_bytes(b"\x82\xfe\xff").await;
            }
            _ => {
                let mut client = others.guest(wire).await;
                client.request(GetMembers { channel_id: ChannelId::new("room").unwrap() }).await;
            }
        }
    }
    others.notice_nothing().await;
}

#[tokio::test]
async fn a_socket_that_sends_after_its_close_is_not_listened_to() {
    let mut others = Bystanders::new(server().await).await;
    let mut client = others.guest(Wire::Native).await;
    client.send_raw(Message::text("not the protocol")).await;
    for id in 1..100 {
        let command = GetMembers { channel_id: ChannelId::new("room").unwrap() }.into();
        // It may have ended already.
        let _ = client.try_send(ClientFrame::Request { id: RequestId(id), command }).await;
    }
    assert_eq!(client.closed().await.map(|(code, _)| code), Some(PROTOCOL_ERROR));
    others.notice_nothing().await;
}
