//! Connections that the application accepts itself: any stream of bytes, on a clock that stands still.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_tungstenite::tungstenite::client::IntoClientRequest;
use rtm_codec::{CallLimit, ClientFrame, Event, ServerFrame, Wire, native::SUBPROTOCOL};
use rtm_server::{NotServed, ProjectConfig, Remote, Server, ServerBuilder, ServerConfig};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    time::{Instant, sleep},
};

use crate::support::{APP, Client, GATEWAY, app_id, parse, soon};

const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 49152);

async fn server_with(change: impl FnOnce(&mut ServerConfig)) -> Server {
    let mut config = ServerConfig::default();
    config.projects = vec![ProjectConfig::new(app_id())];
    change(&mut config);
    ServerBuilder::from(config).build().await.unwrap()
}

async fn connect(server: &Server, remote: impl Into<Remote>) -> Result<DuplexStream, NotServed> {
    let (here, there) = duplex(64 * 1024);
    server.serve(there, remote).await.map(|()| here)
}

async fn client(server: &Server, wire: Wire, name: &str) -> Client<DuplexStream> {
    let stream = connect(server, Remote::unknown()).await.unwrap();
    let mut request = "ws://rtm.test/".into_client_request().unwrap();
    if wire == Wire::Native {
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
    }
    let mut client = Client::connect_over(stream, request, wire).await;
    client.log_in(name).await;
    client
}

#[tokio::test(start_paused = true)]
async fn both_wires_and_the_gateway_work_over_a_stream_in_memory() {
    let server = Server::builder().project(app_id()).build().await.unwrap();
    assert!(server.local_addrs().is_empty());
    let mut alice = client(&server, Wire::Native, "alice").await;
    let mut bob = client(&server, Wire::Vendor, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;

    let mut stream = connect(&server, Remote::at(CLIENT).tls(true)).await.unwrap();
    let body = format!(r#"{{"appid":"{APP}","uid":"carol","token":"","wss":false}}"#);
    let head = format!("POST {GATEWAY} HTTP/1.1\r\nHost: rtm.test\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon("an answer", stream.read_to_end(&mut bytes)).await.unwrap();
    let addresses = parse(&bytes).json()["addresses"].clone();
    assert_eq!(addresses, serde_json::json!([{"type": 0, "addr": "rtm.test", "port": 443}]));
}

/// A stream that ends for its reader right after something was written to it, once that is wanted.
struct EndsAfterWrite {
    stream: DuplexStream,
    is_wanted: Arc<AtomicBool>,
    is_over: bool,
}

impl AsyncRead for EndsAfterWrite {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_read(cx, buffer) }
    }
}

impl AsyncWrite for EndsAfterWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.is_over |= written.is_ready() && self.is_wanted.load(Ordering::Relaxed);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_right_before_a_connections_end_does_not_come_again() {
    let server = Server::builder().project(app_id()).build().await.unwrap();
    let (here, there) = duplex(64 * 1024);
    let is_wanted = Arc::new(AtomicBool::new(false));
    let stream = EndsAfterWrite { stream: there, is_wanted: Arc::clone(&is_wanted), is_over: false };
    server.serve(stream, Remote::unknown()).await.unwrap();
    let request = "ws://rtm.test/".into_client_request().unwrap();
    let mut alice = Client::connect_over(here, request, Wire::Vendor).await;
    alice.log_in("alice").await;
    let mut bob = client(&server, Wire::Native, "bob").await;
    alice.joins("room").await;
    bob.joins("room").await;
    while !matches!(alice.next().await, ServerFrame::Event { event: Event::MemberJoined { .. }, .. }) {}
    is_wanted.store(true, Ordering::Relaxed);
    bob.says("room", "one").await;
    assert_eq!(alice.next_text().await, "one");
    assert_eq!(alice.closed().await, None);
    let mut alice = client(&server, Wire::Vendor, "alice").await;
    alice.joins("room").await;
    bob.says("room", "two").await;
    assert_eq!(alice.next_text().await, "two");
}

#[tokio::test(start_paused = true)]
async fn the_deadlines_are_those_of_a_socket() {
    let server = server_with(|_| {}).await;
    let begun = Instant::now();
    let mut silent = connect(&server, Remote::unknown()).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(begun.elapsed().as_secs(), 10, "without a request");

    let begun = Instant::now();
    let stream = connect(&server, Remote::unknown()).await.unwrap();
    let request = "ws://rtm.test/".into_client_request().unwrap();
    let mut silent = Client::connect_over(stream, request, Wire::Vendor).await;
    silent.closed().await;
    assert_eq!(begun.elapsed().as_secs(), 10, "without a login");
}

#[tokio::test(start_paused = true)]
async fn on_a_stopped_clock_a_store_in_memory_takes_no_time() {
    let server = server_with(|_| {}).await;
    let mut alice = client(&server, Wire::Native, "alice").await;
    let begun = Instant::now();
    for number in 0..50 {
        let message = rtm_codec::SendMessageToPeer {
            message_id: rtm_codec::MessageId(number + 1),
            peer_id: crate::support::user("nobody"),
            message: rtm_codec::RtmMessage::text("later"),
            enable_offline_messaging: true,
            enable_historical_messaging: true,
        };
        let id = alice.request(message).await;
        let stored = rtm_codec::Answer::SendMessageToPeer(rtm_codec::SendOutcome::Stored);
        assert_eq!(alice.next().await, ServerFrame::Reply { id, result: Ok(stored) });
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_limits_by_address_hold_for_streams_that_have_one() {
    let server = server_with(|config| {
        config.max_connections_per_address = 2;
        config.connects_per_address = CallLimit::new(3, Duration::from_secs(60));
    })
    .await;
    let first = connect(&server, CLIENT).await.unwrap();
    let _second = connect(&server, CLIENT.ip()).await.unwrap();
    assert_eq!(connect(&server, CLIENT).await.unwrap_err(), NotServed::TooMany, "at once");
    drop(first);
    sleep(Duration::from_millis(1)).await;
    let third = connect(&server, CLIENT).await.unwrap();
    drop(third);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(connect(&server, CLIENT).await.unwrap_err(), NotServed::TooMany, "too often");
    for _ in 0..10 {
        connect(&server, Remote::unknown()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_server_lets_the_next_wait_until_one_leaves_or_it_shuts_down() {
    let server = server_with(|config| config.max_connections = 1).await;
    let only = connect(&server, Remote::unknown()).await.unwrap();
    let handle = server.handle();
    let next = tokio::spawn(async move { handle.serve(duplex(64).1, Remote::unknown()).await });
    sleep(Duration::from_secs(1)).await;
    assert!(!next.is_finished());
    drop(only);
    next.await.unwrap().unwrap();

    let handle = server.handle();
    let _only = connect(&server, Remote::unknown()).await.unwrap();
    let next = tokio::spawn(async move { handle.serve(duplex(64).1, Remote::unknown()).await });
    sleep(Duration::from_secs(1)).await;
    server.shutdown().await;
    assert_eq!(next.await.unwrap(), Err(NotServed::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_them_away_and_lets_in_nobody_else() {
    let server = server_with(|_| {}).await;
    let mut alice = client(&server, Wire::Native, "alice").await;
    let mut bob = client(&server, Wire::Vendor, "bob").await;
    let handle = server.handle();
    let ((), alice, bob) = tokio::join!(server.shutdown(), alice.closed(), bob.closed());
    assert_eq!((alice.map(|(code, _)| code), bob.map(|(code, _)| code)), (Some(1012), Some(1012)));
    assert_eq!(handle.serve(duplex(64).1, Remote::unknown()).await, Err(NotServed::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_server_drops_its_streams() {
    let server = server_with(|_| {}).await;
    let mut alice = client(&server, Wire::Native, "alice").await;
    let handle = server.handle();
    drop(server);
    assert_eq!(alice.closed().await, None);
    assert_eq!(handle.serve(duplex(64).1, CLIENT).await, Err(NotServed::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_of_a_client_that_is_there_are_thirty_pings() {
    let server = server_with(|_| {}).await;
    let mut alice = client(&server, Wire::Native, "alice").await;
    let begun = std::time::Instant::now();
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        alice.send(ClientFrame::Ping).await;
        assert_eq!(alice.next().await, ServerFrame::Pong);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "the clock stands still, and nothing spins");
}
