//! `rtm serve` that has run out of descriptors: it keeps what it is given, says so without flooding its log, and lets
//! in whoever waits when there are some again.

use std::net::SocketAddr;

use rtm_client::{SendMessageOptions, Wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    raw::Raw,
    server::{Options, Server, soon},
    witnesses::Witnesses,
};

#[tokio::test]
async fn without_descriptors_it_serves_and_stores_and_recovers() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--data-dir", data.path().to_str().unwrap()];
    let server = Server::start(Options { descriptors: Some(64), args: &args, ..Options::default() });
    let mut witnesses = Witnesses::of(&server).await;
    let (alice, _events) = server.log_in(Wire::Native, "writer").await;
    let before = server.level();
    for round in 0..3 {
        let mut crowd = Vec::new();
        for i in 0..100 {
            crowd.push(Raw::connect_from(i, server.address).await);
        }
        server.has_taken(before, 64 - before.descriptors).await;
        let late = tokio::spawn({
            let (client, events) = server.client(Wire::Native).build().unwrap();
            async move {
                client.login(format!("late-{round}"), None).await.unwrap();
                (client, events)
            }
        });
        assert_eq!(health(server.address).await, 200);
        witnesses.notice_nothing().await;
        let options = SendMessageOptions::new().enable_offline_messaging(true);
        let stored = alice.send_message_to_peer_with("absent", "kept", options).await.unwrap();
        assert!(!stored.has_peer_received());
        drop(crowd);
        let (late, _late_events) = soon("being let in", late).await.unwrap();
        late.logout().await.unwrap();
        witnesses.notice_nothing().await;
        server.returns_to(before, 8 * 1024).await;
    }
    let log = server.kill();
    let lines = log.lines().filter(|line| line.contains("turned away")).count();
    assert!((1..10).contains(&lines), "{lines} lines:\n{log:.1000}");
}

/// The status of `/healthz`, which is given up by nobody while there is a descriptor left for it.
async fn health(address: SocketAddr) -> u16 {
    let mut raw = Raw::connect(address).await;
    raw.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    soon("the health", raw.stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}
