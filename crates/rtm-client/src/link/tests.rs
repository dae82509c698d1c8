//! How a link comes about on each wire, what happens on the vendor's beside the socket, and how links fail.

use std::time::Duration;

use futures::FutureExt;
use rtm_codec::{
    Answer, ChannelId, Command, ErrorKind, Event, HistoryOf, HistoryPage, MessageId, Packet, PeerMessage, Resumption,
    RtmMessage, SendOutcome, Seq, ServerFrame, ServerWire, SharedEvent, StoredMessage, Text, UserId, Wire,
    anyrtc::gateway::{Address as ServerAddress, GatewayAnswer, GatewayRequest, StoredCursor, StoredPage},
};
use rtm_connection::{ConnectionChangeReason, ConnectionState, RtmEvent};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

use crate::{
    Client, Events, HistoryQuery,
    switchboard::{APP_ID, Peer, Switchboard, client, client_over},
};

#[tokio::test(start_paused = true)]
async fn the_native_wire_goes_straight_to_the_gateways_address() {
    let (client, _events, mut server) = client(&Client::builder());
    let login = tokio::spawn(async move { client.login("alice", None).await });
    let (address, stream) = server.call().await;
    assert_eq!(address.to_string(), "gateway:80");
    Peer::new(stream).await.login(Resumption::New).await;
    login.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_none_costs_the_login_at_once_and_says_why() {
    let (client, mut events, mut server) = client(&Client::builder());
    let begun = Instant::now();
    let not_found = async {
        let (_, mut stream) = server.call().await;
        assert!(stream.read_u8().await.is_ok());
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream
    };
    let (result, _stream) = tokio::join!(client.login("alice", None), not_found);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::GatewayConnectFailed, Some(11)));
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(state(events.recv().await), (ConnectionState::Connecting, ConnectionChangeReason::Login));
    assert_eq!(state(events.recv().await), (ConnectionState::Disconnected, ConnectionChangeReason::LoginFailure));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_text_does_not_come_is_one_all_the_same() {
    let (client, _events, mut server) = client(&Client::builder());
    let begun = Instant::now();
    let forbidden = async {
        let (_, mut stream) = server.call().await;
        assert!(stream.read_u8().await.is_ok());
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nno").await.unwrap();
        stream
    };
    let (result, _stream) = tokio::join!(client.login("alice", None), forbidden);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn interim_answers_without_end_are_given_up() {
    let (client, _events, mut server) = client(&Client::builder());
    let hints = async {
        loop {
            let (_, mut stream) = server.call().await;
            let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
            while stream.write_all(&hints).await.is_ok() {}
        }
    };
    let error = tokio::select! {
        result = client.login("alice", None) => format!("{:#}", result.unwrap_err()),
        () = hints => unreachable!(),
    };
    assert!(error.contains("the answer has no end"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_the_connection_is_tried_again_within_the_logins_time() {
    let (client, _events, mut server) = client(&Client::builder());
    let login = tokio::spawn(async move { client.login("alice", None).await });
    for _ in 0..3 {
        drop(server.call().await);
    }
    server.accept_login().await;
    login.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_vendor_wire_asks_the_gateway_and_takes_the_first_server_that_answers() {
    let (client, mut events, mut server) = client(&vendor());
    let login = tokio::spawn({
        let client = client.clone();
        async move { client.login("alice", Some("secret")).await }
    });
    let asked = server.answer_post(connect(&["dead", "alive"])).await;
    let GatewayRequest::Connect { app_id, user_id, token, tls } = asked else { panic!("{asked:?}") };
    assert_eq!((app_id.as_str(), user_id.unwrap().as_str(), tls), (APP_ID, "alice", false));
    assert_eq!(token.unwrap().expose(), "secret");
    let (address, stream) = server.call().await;
    assert_eq!(address.to_string(), "dead:7000");
    drop(stream);
    let (address, stream) = server.call().await;
    assert_eq!(address.to_string(), "alive:7000");
    let mut peer = Peer::new(stream).await;
    let frame = peer.login(Resumption::New).await;
    assert_eq!(frame.gateway_session.unwrap(), "session-1");
    login.await.unwrap().unwrap();

    // What was stored is fetched with the session id, and takes its place in the stream.
    peer.event(message("live", false)).await;
    let asked = server.answer_post(GatewayAnswer::OfflineMessages(vec![peer_message("stored", true)].into())).await;
    let GatewayRequest::OfflineMessages { caller, .. } = asked else { panic!("{asked:?}") };
    assert_eq!((caller.user_id.as_str(), caller.session.as_str()), ("alice", "session-1"));
    peer.event(message("later", false)).await;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        if let RtmEvent::MessageFromPeer { message, properties, .. } = events.recv().await.unwrap() {
            heard.push((message.as_text().unwrap().to_owned(), properties.is_offline_message));
        }
    }
    heard.sort();
    assert_eq!(heard, [("later".to_owned(), false), ("live".to_owned(), false), ("stored".to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_says_no_ends_the_login_and_one_that_says_later_is_asked_again() {
    let (client, mut events, mut server) = client(&vendor());
    let login = tokio::spawn({
        let client = client.clone();
        async move { client.login("alice", None).await }
    });
    server.answer_post(GatewayAnswer::TryAgain).await;
    drop(server.call().await);
    server.answer_post(GatewayAnswer::Refused(ErrorKind::InvalidToken)).await;
    let error = login.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidToken, Some(4)));
    assert_eq!(state(events.recv().await), (ConnectionState::Connecting, ConnectionChangeReason::Login));
    assert_eq!(state(events.recv().await), (ConnectionState::Disconnected, ConnectionChangeReason::LoginFailure));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_does_not_answer_is_asked_again_after_ten_seconds() {
    let (client, _events, mut server) = client(&vendor());
    let begun = Instant::now();
    let login = tokio::spawn(async move { client.login("alice", None).await });
    let (_, _silent) = server.call().await;
    server.answer_post(connect(&["alive"])).await;
    assert!((10_000..10_500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    server.accept_login().await;
    login.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn history_goes_over_http_on_the_vendor_wire() {
    let (client, _events, _peer, mut server) = logged_in(&vendor()).await;
    let query = HistoryQuery::new().from(std::time::UNIX_EPOCH + Duration::from_millis(5)).limit(10);
    let page = HistoryPage::new(
        vec![StoredMessage::new(MessageId(1), UserId::new("bob").unwrap(), RtmMessage::text("kept"), 7)],
        None,
    );
    let (result, asked) =
        tokio::join!(client.query_channel_history("room", query), server.answer_post(GatewayAnswer::History(page)),);
    let GatewayRequest::History { caller, query: asked } = asked else { panic!("{asked:?}") };
    assert_eq!(caller.session, "session-1");
    assert_eq!(asked.conversation, HistoryOf::Channel(ChannelId::new("room").unwrap()));
    assert_eq!((asked.from_ts, asked.limit), (5, 10));
    assert_eq!(result.unwrap().messages[0].message.as_text(), Some("kept"));

    let (result, _) = tokio::join!(
        client.query_peer_history("bob", query),
        server.answer_post(GatewayAnswer::Refused(ErrorKind::InvalidToken)),
    );
    assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidToken);
}

/// Writes as a link of 4 KB/s does.
async fn write_slowly(stream: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) {
    for part in bytes.chunks(4096) {
        sleep(Duration::from_secs(1)).await;
        stream.write_all(part).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn stored_messages_arrive_however_long_their_page_takes() {
    let (client, mut events, mut server) = client(&vendor());
    let login = tokio::spawn({
        let client = client.clone();
        async move { client.login("alice", None).await }
    });
    server.answer_post(connect(&["alive"])).await;
    let (mut peer, _) = server.accept_login().await;
    login.await.unwrap().unwrap();
    let text = "x".repeat(32 * 1024);
    let page = StoredPage { messages: vec![peer_message(&text, true); 4], next: Some(StoredCursor(4)) };
    let page = GatewayAnswer::OfflineMessages(page).encode();
    let (_, mut stream) = server.call().await;
    let begun = Instant::now();
    let slowly = async {
        assert!(stream.read_u8().await.is_ok());
        write_slowly(
            &mut stream,
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len()).as_bytes(),
        )
        .await;
        drop(stream);
        server.answer_post(GatewayAnswer::OfflineMessages(StoredPage::default())).await
    };
    let alive = async {
        loop {
            peer.send(ServerFrame::Pong).await;
            sleep(Duration::from_secs(5)).await;
        }
    };
    let asked = tokio::select! { asked = slowly => asked, () = alive => unreachable!() };
    assert!(begun.elapsed() > Duration::from_secs(30));
    let GatewayRequest::OfflineMessages { page, .. } = asked else { panic!("{asked:?}") };
    assert_eq!(page.unwrap().after, Some(StoredCursor(4)), "it says that it has them");
    loop {
        match events.recv().await.unwrap() {
            RtmEvent::MessageFromPeer { message, .. } => {
                assert_eq!(message.as_text(), Some(&*text));
                break;
            }
            other => {
                assert!(!matches!(
                    other,
                    RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. }
                ));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_on_which_one_message_takes_eight_seconds_is_kept() {
    let (client, mut events, mut server) = client(&Client::builder());
    let login = tokio::spawn({
        let client = client.clone();
        async move { client.login("alice", None).await }
    });
    let (mut peer, _) = server.accept_login().await;
    login.await.unwrap().unwrap();
    let mut wire = ServerWire::new(Wire::Native);
    let text = "x".repeat(32 * 1024);
    wire.encode_event(Seq(1), &SharedEvent::for_one(Event::MessageFromPeer(peer_message(&text, false))));
    let Some(Packet::Binary(packet)) = wire.take_packet() else { panic!("a packet") };
    let mut frame = vec![0x82, 126];
    frame.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
    frame.extend(packet);
    write_slowly(peer.stream(), &frame).await;
    loop {
        match events.recv().await.unwrap() {
            RtmEvent::MessageFromPeer { .. } => break,
            RtmEvent::ConnectionStateChanged { state, .. } => assert_ne!(state, ConnectionState::Reconnecting),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_flow_control_on_the_wire_the_socket_holds_the_server_back_and_nothing_is_lost() {
    let (_client, mut events, mut peer, _server) = logged_in_over(&vendor().window(8), 2048).await;
    let mut flood = tokio::spawn(async move {
        for n in 0..500 {
            peer.event(message(&n.to_string(), false)).await;
        }
        peer
    });
    sleep(Duration::from_secs(1)).await;
    assert!((&mut flood).now_or_never().is_none(), "the server was not held back");
    for n in 0..500 {
        let Some(RtmEvent::MessageFromPeer { message, .. }) = events.recv().await else { panic!("no message") };
        assert_eq!(message.as_text(), Some(n.to_string().as_str()));
    }
    flood.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_behind_a_full_window_on_the_vendor_wire_too() {
    let (client, mut events, mut peer, _server) = logged_in(&vendor().window(8)).await;
    for n in 0..16 {
        peer.event(message(&n.to_string(), false)).await;
    }
    sleep(Duration::from_millis(100)).await;
    assert!(matches!(events.recv().await, Some(RtmEvent::MessageFromPeer { .. })));
    let answer = async {
        let (id, command) = peer.request().await;
        assert!(matches!(command, Command::SendMessageToPeer(_)));
        peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
    };
    let (result, ()) = tokio::join!(client.send_message_to_peer("bob", "hi"), answer);
    assert_eq!(result.unwrap(), SendOutcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_not_read_since_the_application_is_behind_is_not_given_up_for_its_silence() {
    let (client, mut events, mut peer, _server) = logged_in(&vendor().window(4)).await;
    for n in 0..10 {
        peer.event(message(&format!("message {n}"), false)).await;
    }
    sleep(Duration::from_secs(90)).await;
    assert_eq!(client.connection_state(), ConnectionState::Connected);
    for n in 0..10 {
        let event = tokio::time::timeout(Duration::from_secs(1), events.recv()).await.unwrap();
        let Some(RtmEvent::MessageFromPeer { message, .. }) = event else { panic!("{event:?}") };
        assert_eq!(message.as_text(), Some(format!("message {n}").as_str()));
    }
    // Now that it reads again, silence is silence.
    sleep(Duration::from_secs(30)).await;
    assert_eq!(client.connection_state(), ConnectionState::Reconnecting);
}

fn vendor() -> crate::ClientBuilder {
    Client::builder().wire(Wire::Vendor)
}

async fn logged_in(builder: &crate::ClientBuilder) -> (Client, Events, Peer, Switchboard) {
    logged_in_over(builder, 64 * 1024).await
}

/// A client that is logged in on the vendor's wire and found no stored messages.
async fn logged_in_over(builder: &crate::ClientBuilder, capacity: usize) -> (Client, Events, Peer, Switchboard) {
    let (client, mut events, mut server) = client_over(builder, capacity);
    let login = tokio::spawn({
        let client = client.clone();
        async move { client.login("alice", None).await }
    });
    server.answer_post(connect(&["alive"])).await;
    let (peer, _) = server.accept_login().await;
    login.await.unwrap().unwrap();
    server.answer_post(GatewayAnswer::OfflineMessages(StoredPage::default())).await;
    assert!(events.try_recv().is_some() && events.try_recv().is_some());
    (client, events, peer, server)
}

fn connect(hosts: &[&str]) -> GatewayAnswer {
    let addresses = hosts.iter().map(|host| ServerAddress { host: Text::from(*host), port: 7000 }).collect();
    GatewayAnswer::Connect { session: Text::from("session-1"), addresses }
}

fn message(text: &str, is_offline_message: bool) -> Event {
    Event::MessageFromPeer(peer_message(text, is_offline_message))
}

fn peer_message(text: &str, is_offline_message: bool) -> PeerMessage {
    PeerMessage {
        message_id: MessageId(1_000_000 + text.bytes().map(u64::from).sum::<u64>()),
        peer_id: UserId::new("bob").unwrap(),
        message: RtmMessage::text(text),
        is_offline_message,
        server_received_ts: 5,
    }
}

fn state(event: Option<RtmEvent>) -> (ConnectionState, ConnectionChangeReason) {
    match event {
        Some(RtmEvent::ConnectionStateChanged { state, reason, .. }) => (state, reason),
        other => panic!("no change of state: {other:?}"),
    }
}
