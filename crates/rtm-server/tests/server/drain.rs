//! How a server goes down: clients are told to come back, and everything ends in time.

use std::time::Duration;

use rtm_codec::{ClientFrame, ServerFrame, Wire};

use crate::support::{Client, server, server_with, soon};

#[tokio::test]
async fn every_client_is_sent_away_to_come_back() {
    let server = server().await;
    let address = server.local_addr();
    let mut clients = Vec::new();
    for i in 0..20 {
        let wire = if i % 2 == 0 { Wire::Native } else { Wire::Vendor };
        clients.push(Client::login(address, wire, &format!("user{i}")).await);
    }
    // One that has not logged in goes as well.
    clients.push(Client::connect(address, Wire::Native).await);
    let all = futures::future::join_all(clients.iter_mut().map(Client::closed));
    let ((), closed) = soon("going down", async { tokio::join!(server.shutdown(), all) }).await;
    for closed in closed {
        assert_eq!(closed, Some((1012, "the server is going down".into())));
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn going_down_waits_for_nobody_who_does_not_answer() {
    let server = server_with(|config| config.drain_time = Duration::from_millis(100)).await;
    let address = server.local_addr();
    // Neither reads nor confirms anything.
    let silent = Client::login(address, Wire::Native, "silent").await;
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut half, b"GET /").await.unwrap();
    soon("going down", server.shutdown()).await;
    drop((silent, half));
}

#[tokio::test]
async fn closing_is_spread_and_meanwhile_nobody_is_let_in() {
    let server = server_with(|config| config.drain_time = Duration::from_millis(500)).await;
    let address = server.local_addr();
    let mut clients = Vec::new();
    for i in 0..100 {
        clients.push(Client::login(address, Wire::Native, &format!("user{i}")).await);
    }
    let mut late = Client::connect(address, Wire::Native).await;
    let down = tokio::spawn(server.shutdown());
    // The first to be told are those without a login, and a hundred others are not told at once.
    assert_eq!(late.closed().await.map(|(code, _)| code), Some(1012));
    let last = clients.last_mut().unwrap();
    last.send(ClientFrame::Ping).await;
    assert_eq!(last.next().await, ServerFrame::Pong);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    for mut client in clients {
        assert_eq!(client.closed().await.map(|(code, _)| code), Some(1012));
    }
    soon("going down", down).await.unwrap();
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let server = server().await;
    let address = server.local_addr();
    let mut client = Client::login(address, Wire::Native, "alice").await;
    drop(server);
    assert_eq!(client.closed().await, None);
    soon("the listener's end", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
