//! Sockets under load: who is held back, what comes out whole, and what stays behind.

use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use rtm_codec::{
    Answer, AttributeKey, CallLimits, ChannelId, ClientFrame, Command, Event, GetUserAttributes, JoinChannel,
    KeepAlive, MessageId, PeerOnlineState, QueryPeersOnlineStatus, RequestId, RtmMessage, SendChannelMessage,
    SendMessageToPeer, ServerFrame, SetLocalUserAttributes, SubscribePeersOnlineStatus, Text, Wire,
};
use rtm_server::{AppId, ProjectConfig, Server};
use tokio::time::{advance, pause, resume, timeout};

use crate::support::{Client, app_id, server, server_with, soon, user};

/// A server that lets clients send as much as they like.
async fn unlimited(session_bytes: usize) -> Server {
    server_with(|config| {
        config.projects[0].limits = CallLimits::unlimited();
        config.projects[0].settings.session_bytes = session_bytes;
    })
    .await
}

fn is_online(name: &str) -> Event {
    Event::PeersOnlineStatusChanged { peers: vec![(user(name), PeerOnlineState::Online)] }
}

fn to_peer(id: u64, name: &str, text: &str) -> Command {
    Command::from(SendMessageToPeer {
        message_id: MessageId(id),
        peer_id: user(name),
        message: RtmMessage::text(text),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    })
}

#[tokio::test]
async fn a_receiver_that_does_not_read_is_sent_away_and_others_go_on() {
    let server = unlimited(1024 * 1024).await;
    let address = server.local_addr();
    for wire in [Wire::Native, Wire::Vendor] {
        let name = format!("stalled-{wire:?}");
        let mut stalled = Client::login(address, wire, &name).await;
        let mut sender = Client::login(address, Wire::Native, &format!("sender-{wire:?}")).await;
        let mut bystander = Client::login(address, Wire::Native, &format!("bystander-{wire:?}")).await;
        let before = server.stats().projects[&app_id()].slow_consumers;
        let text = "x".repeat(32 * 1024);
        let mut id = 0;
        // The kernel takes some megabytes before the session's limit acts.
        while server.stats().projects[&app_id()].slow_consumers == before {
            for _ in 0..16 {
                id += 1;
                sender
                    .send(ClientFrame::Request { id: RequestId(1000 + id), command: to_peer(id, &name, &text) })
                    .await;
            }
            assert!(id < 4000, "the session takes everything");
            bystander.send(ClientFrame::Ping).await;
            assert_eq!(bystander.next().await, ServerFrame::Pong);
        }
        // Its socket ends too, with the reason, when it reads at last.
        assert_eq!(stalled.closed().await, Some((4007, "the client reads too slowly".into())), "{wire:?}");
    }
}

#[tokio::test]
async fn a_stalled_member_does_not_slow_its_channel() {
    let server = unlimited(256 * 1024).await;
    let address = server.local_addr();
    let channel_id = ChannelId::new("room").unwrap();
    let join = || JoinChannel { channel_id: channel_id.clone() };
    let mut members = Vec::new();
    for i in 0..4 {
        let mut member = Client::login(address, Wire::Native, &format!("member{i}")).await;
        member.request(join()).await;
        while !matches!(member.next().await, ServerFrame::Reply { .. }) {}
        members.push(member);
    }
    let [mut sender, _stalled, mut one, mut other] = <[_; 4]>::try_from(members).unwrap_or_else(|_| panic!("four"));
    let text = "x".repeat(16 * 1024);
    for n in 1..=1000 {
        let message = RtmMessage::text(text.as_str());
        let channel_id = channel_id.clone();
        let message =
            SendChannelMessage { message_id: MessageId(n), channel_id, message, enable_historical_messaging: false };
        sender.request(message).await;
        for reader in [&mut one, &mut other] {
            loop {
                if let ServerFrame::Event { seq, event } = reader.next().await {
                    reader.ack(seq).await;
                    if let Event::ChannelMessage { message_id, .. } = event {
                        assert_eq!(message_id, MessageId(n));
                        break;
                    }
                }
            }
        }
    }
    assert_eq!(server.stats().projects[&app_id()].slow_consumers, 1);
}

#[tokio::test]
async fn a_client_whose_link_is_full_is_heard_all_the_same() {
    let server = server_with(|config| {
        config.projects[0].limits = CallLimits::unlimited();
        let settings = &mut config.projects[0].settings;
        settings.session_bytes = 64 * 1024 * 1024;
        settings.unreachable_after = Duration::from_secs(8);
        settings.offline_after = Duration::from_secs(9);
    })
    .await;
    let address = server.local_addr();
    for wire in [Wire::Native, Wire::Vendor] {
        let (name, watcher) = (format!("slow-{wire:?}"), format!("watcher-{wire:?}"));
        let mut slow = Client::connect(address, wire).await;
        slow.log_in_with(&name, |login| login.keep_alive = KeepAlive::Client { interval_ms: 500 }).await;
        let mut watcher = Client::login(address, Wire::Native, &watcher).await;
        watcher.request(SubscribePeersOnlineStatus { peer_ids: vec![user(&name)] }).await;
        // More than the sockets take, and more than is kept for one.
        let text = "x".repeat(32 * 1024);
        for id in 1..=1000 {
            watcher.send(ClientFrame::Request { id: RequestId(1000 + id), command: to_peer(id, &name, &text) }).await;
            if id % 4 == 0 {
                slow.send(ClientFrame::Ping).await;
            }
        }
        // Longer than a silent one is online, and half as long as a socket may take nothing.
        for _ in 0..40 {
            slow.send(ClientFrame::Ping).await;
            watcher.send(ClientFrame::Ping).await;
            // At first the server may have much to do before it answers: meanwhile the slow one goes on giving signs of life.
            loop {
                match timeout(Duration::from_millis(200), watcher.next()).await {
                    Ok(ServerFrame::Pong) => break,
                    Ok(ServerFrame::Event { event, .. }) => assert_eq!(event, is_online(&name), "{wire:?}"),
                    Ok(_) => {}
                    Err(_) => slow.send(ClientFrame::Ping).await,
                }
            }
            pause();
            advance(Duration::from_millis(250)).await;
            resume();
        }
        // And what it sent meanwhile is done.
        let id = slow.request(QueryPeersOnlineStatus { peer_ids: vec![user(&name)] }).await;
        watcher.request(QueryPeersOnlineStatus { peer_ids: vec![user(&name)] }).await;
        loop {
            match watcher.next().await {
                ServerFrame::Event { event, .. } => assert_eq!(event, is_online(&name), "{wire:?}"),
                ServerFrame::Reply { result: Ok(Answer::QueryPeersOnlineStatus(states)), .. } => {
                    assert_eq!(states, [(user(&name), PeerOnlineState::Online)]);
                    break;
                }
                _ => {}
            }
        }
        let mut received = 0;
        loop {
            match slow.next().await {
                ServerFrame::Event { event: Event::MessageFromPeer(_), seq } => {
                    received += 1;
                    slow.ack(seq).await;
                }
                ServerFrame::Reply { id: answered, result: Ok(_) } if answered == id => break,
                _ => {}
            }
        }
        assert_eq!(received, 1000, "{wire:?}: the answer comes behind what was there before the call");
    }
}

#[tokio::test]
async fn who_asks_and_asks_and_does_not_read_is_left_unread() {
    let server = unlimited(256 * 1024 * 1024).await;
    let mut greedy = Client::login(server.local_addr(), Wire::Native, "greedy").await;
    let attributes = [("a", "b"), ("c", "d")]
        .map(|(one, other)| [one, other].map(|key| (AttributeKey::new(key).unwrap(), Text::from("x".repeat(4000)))));
    greedy.request(SetLocalUserAttributes { attributes: attributes.concat().into_iter().collect() }).await;
    // What the sockets hold is some megabytes.
    for sent in 0.. {
        assert!(sent < 64 * 1024, "the server takes everything");
        let ask = ClientFrame::Request {
            id: RequestId(100 + sent),
            command: GetUserAttributes {
                user_id: user(&"g".repeat(64)),
                keys: Some(vec![AttributeKey::new("k".repeat(32)).unwrap(); 32]),
            }
            .into(),
        };
        let own = ClientFrame::Request {
            id: RequestId(1_000_000 + sent),
            command: GetUserAttributes { user_id: user("greedy"), keys: None }.into(),
        };
        greedy.queue(&ask);
        greedy.queue(&own);
        if timeout(Duration::from_millis(500), greedy.flush()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn who_does_not_read_its_answers_waits_for_them_and_loses_none() {
    let server = unlimited(2 * 1024 * 1024).await;
    let address = server.local_addr();
    // On this wire answers are not kept for a repeat.
    let mut greedy = Client::login(address, Wire::Vendor, "greedy").await;
    let attributes = [("a", "b"), ("c", "d")]
        .map(|(one, other)| [one, other].map(|key| (AttributeKey::new(key).unwrap(), Text::from("x".repeat(4000)))));
    greedy.request(SetLocalUserAttributes { attributes: attributes.concat().into_iter().collect() }).await;
    assert!(matches!(greedy.next().await, ServerFrame::Reply { result: Ok(_), .. }));
    // Twenty times as much as the session may hold, asked for in a few packets.
    const CALLS: u64 = 2500;
    for _ in 0..CALLS {
        greedy.request(GetUserAttributes { user_id: user("greedy"), keys: None }).await;
    }
    // Meanwhile it costs nobody else anything.
    let mut other = Client::login(address, Wire::Native, "other").await;
    other.send(ClientFrame::Ping).await;
    assert_eq!(other.next().await, ServerFrame::Pong);
    for n in 2..2 + CALLS {
        match greedy.next().await {
            ServerFrame::Reply { id, result: Ok(Answer::GetUserAttributes(all)) } => {
                assert_eq!((id, all.len()), (RequestId(n), 4));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.stats().projects[&app_id()].slow_consumers, 0);
}

#[tokio::test]
async fn messages_of_every_size_arrive_whole_and_in_order_on_both_wires() {
    let server = unlimited(64 * 1024 * 1024).await;
    let address = server.local_addr();
    for (from, to) in [(Wire::Native, Wire::Vendor), (Wire::Vendor, Wire::Native)] {
        let (from_name, to_name) = (format!("from-{from:?}"), format!("to-{to:?}"));
        let mut sender = Client::login(address, from, &from_name).await;
        let mut receiver = Client::login(address, to, &to_name).await;
        let texts: Vec<String> = [1, 125, 126, 1000, 4096, 32_768].into_iter().map(|len| "q".repeat(len)).collect();
        let texts: Vec<_> = texts.iter().cycle().take(300).collect();
        let expected = texts.iter().map(|text| RtmMessage::text(text.as_str()));
        for text in &texts {
            sender.requests += 1;
            let id = sender.requests;
            let command = to_peer(id, &to_name, text);
            sender.queue(&ClientFrame::Request { id: RequestId(id), command });
        }
        let (received, ()) = soon("all messages", async {
            tokio::join!(
                async {
                    let mut received = Vec::new();
                    while received.len() < texts.len() {
                        if let ServerFrame::Event { event: Event::MessageFromPeer(message), .. } = receiver.next().await
                        {
                            received.push(message.message);
                        }
                    }
                    received
                },
                sender.flush()
            )
        })
        .await;
        assert!(expected.eq(received), "{from:?} to {to:?}");
    }
}

#[tokio::test]
async fn what_is_sent_together_with_the_handshake_counts() {
    let server = server().await;
    let address = server.local_addr();
    let mut login = rtm_codec::ClientWire::new(Wire::Native);
    login.encode(&crate::support::login("hasty"));
    let Some(rtm_codec::Packet::Binary(packet)) = login.take_packet() else { panic!("a packet") };
    let mut bytes = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: rtm.v1\r\n\r\n"
        .to_vec();
    bytes.extend([0x82, 0x80 | u8::try_from(packet.len()).unwrap(), 0, 0, 0, 0]);
    bytes.extend(&packet);
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.unwrap();
    soon("the login", async {
        while server.stats().projects[&app_id()].users == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_does_not_come_after_the_answer_to_a_close_that_came_with_the_question() {
    let server = server().await;
    let mut client = Client::connect(server.local_addr(), Wire::Native).await;
    let mut wire = rtm_codec::ClientWire::new(Wire::Native);
    wire.encode(&ClientFrame::Ping);
    let Some(rtm_codec::Packet::Binary(ping)) = wire.take_packet() else { panic!("a packet") };
    let mut bytes = vec![0x82, 0x80 | u8::try_from(ping.len()).unwrap(), 0, 0, 0, 0];
    bytes.extend(&ping);
    bytes.extend(b"\x88\x82\0\0\0\0\x03\xe8");
    client.send_bytes(&bytes).await;
    assert!(matches!(client.next_raw().await, Message::Binary(_)));
    assert!(matches!(client.next_raw().await, Message::Close(_)));
}

#[tokio::test]
async fn a_ping_of_websocket_is_answered_before_and_after_the_login() {
    let server = server().await;
    let mut client = Client::connect(server.local_addr(), Wire::Native).await;
    client.send_raw(Message::Ping("one".into())).await;
    assert_eq!(client.next_raw().await, Message::Pong("one".into()));
    client.log_in("alice").await;
    client.send_raw(Message::Ping("two".into())).await;
    assert_eq!(client.next_raw().await, Message::Pong("two".into()));
}

#[tokio::test]
async fn a_logout_ends_the_socket_as_the_client_wished() {
    let server = server().await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut client = Client::login(server.local_addr(), wire, "alice").await;
        client.send(ClientFrame::Logout).await;
        assert_eq!(client.closed().await, Some((1000, "logged out".into())), "{wire:?}");
        assert_eq!(server.stats().projects[&app_id()].sessions, 0);
    }
}

#[tokio::test]
async fn a_second_login_of_a_user_ends_the_first() {
    let server = server().await;
    for wire in [Wire::Native, Wire::Vendor] {
        let (alice, bob) = (format!("alice-{wire:?}"), format!("bob-{wire:?}"));
        let mut first = Client::login(server.local_addr(), wire, &alice).await;
        let mut second = Client::connect(server.local_addr(), wire).await;
        second.log_in_as(&alice, "another-instance").await;
        assert_eq!(first.closed().await.map(|(code, _)| code), Some(4001), "{wire:?}");
        let mut other = Client::login(server.local_addr(), wire, &bob).await;
        other.talks_with(&bob, &mut second, &alice).await;
    }
}

#[tokio::test]
async fn projects_on_one_port_do_not_see_each_other() {
    let other_app: AppId = "F".repeat(32).parse().unwrap();
    let other = other_app.clone();
    let server = server_with(|config| config.projects.push(ProjectConfig::new(other))).await;
    let address = server.local_addr();
    for wire in [Wire::Native, Wire::Vendor] {
        let (alice, bob) = (format!("alice-{wire:?}"), format!("bob-{wire:?}"));
        let mut here = Client::login(address, wire, &alice).await;
        let mut there = Client::connect(address, wire).await;
        there.log_in_with(&alice, |login| login.app_id = other_app.clone()).await;
        let mut sender = Client::connect(address, wire).await;
        sender.log_in_with(&bob, |login| login.app_id = other_app.clone()).await;
        sender.delivers_to(&mut there, &alice, "for the one there").await;
        here.send(ClientFrame::Ping).await;
        assert_eq!(here.next().await, ServerFrame::Pong, "nothing came before it");
    }
    assert_eq!(server.stats().projects[&other_app].users, 4);
    assert_eq!(server.stats().projects[&app_id()].users, 2);
}

#[tokio::test]
async fn a_silent_client_is_given_up() {
    let server = server_with(|config| {
        let settings = &mut config.projects[0].settings;
        settings.unreachable_after = Duration::from_millis(50);
        settings.offline_after = Duration::from_millis(100);
    })
    .await;
    let mut client = Client::connect(server.local_addr(), Wire::Native).await;
    client.log_in_with("silent", |login| login.keep_alive = KeepAlive::Client { interval_ms: 20 }).await;
    assert_eq!(client.closed().await.map(|(code, _)| code), Some(4005));
}
