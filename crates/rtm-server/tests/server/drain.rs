//! How a server goes down: clients are told to come back, and everything ends in time.

use std::{
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use rtm_codec::{ClientFrame, ServerFrame, Wire};
use rtm_server::{Server, ServerBuilder, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{APP, Client, GATEWAY, app_id, http, parse, server, server_with, soon};

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
    let ((), closed) = soon("shutting down", async { tokio::join!(server.shutdown(), all) }).await;
    for closed in closed {
        assert_eq!(closed, Some((1012, "the server is shutting down".into())));
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn going_down_waits_for_nobody_who_does_not_answer() {
    let server = server_with(|config| config.drain_time = Some(Duration::from_millis(100))).await;
    let address = server.local_addr();
    // Neither reads nor confirms anything.
    let silent = Client::login(address, Wire::Native, "silent").await;
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /").await.unwrap();
    soon("shutting down", server.shutdown()).await;
    drop((silent, half));
}

#[tokio::test]
async fn closing_is_spread_and_meanwhile_nobody_is_let_in() {
    // Four seconds for all of them, in any order.
    let server = server_with(|config| {
        config.drain_rate = 5;
        config.drain_time = Some(Duration::from_secs(30));
    })
    .await;
    let address = server.local_addr();
    let mut clients = Vec::new();
    for i in 0..20 {
        clients.push(Client::login(address, Wire::Native, &format!("user{i}")).await);
    }
    let mut late = Client::connect(address, Wire::Native).await;
    let down = tokio::spawn(server.shutdown());
    // Those without a login are told at once.
    assert_eq!(late.closed().await.map(|(code, _)| code), Some(1012));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let mut served = Vec::new();
    for mut client in clients {
        // Some are told already, and their sockets may be closed.
        let sent = client.try_send(ClientFrame::Ping).await;
        if sent.is_ok() && client.next_or_close().await == Ok(ServerFrame::Pong) {
            served.push(client);
        }
    }
    assert!(!served.is_empty(), "all were told at once");
    for mut client in served {
        assert_eq!(client.closed().await.map(|(code, _)| code), Some(1012));
    }
    soon("shutting down", down).await.unwrap();
}

#[tokio::test]
async fn a_vendor_client_in_the_middle_of_its_login_is_let_in_and_sent_back() {
    let server = server().await;
    let address = server.local_addr();
    // Before it is let in its SDK does not know where to come back to.
    let mut late = Client::connect(address, Wire::Vendor).await;
    let mut silent = Client::connect(address, Wire::Vendor).await;
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = format!(r#"{{"appid":"{APP}","uid":"alice","token":"","wss":false}}"#);
    let head = format!("POST {GATEWAY} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", body.len());
    half.write_all(head.as_bytes()).await.unwrap();
    let down = tokio::spawn(server.shutdown());
    soon("the listener's end", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    late.log_in("alice").await;
    assert_eq!(late.closed().await.map(|(code, _)| code), Some(1012));
    half.write_all(body.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon("an answer", half.read_to_end(&mut bytes)).await.unwrap();
    let answer = parse(&bytes);
    assert_eq!((answer.status, &answer.json()["code"]), (503, &1.into()), "the SDK tries again");
    assert_eq!(silent.closed().await.map(|(code, _)| code), Some(1012));
    soon("shutting down", down).await.unwrap();
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

#[tokio::test]
async fn its_port_is_free_when_shutdown_returns_and_soon_after_a_drop() {
    let first = server().await;
    let address = first.local_addr();
    first.shutdown().await;
    let second = Server::builder().project(app_id()).bind(address).await.unwrap();
    drop(second);
    soon("a free port", async {
        while tokio::net::TcpListener::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn during_the_delay_it_goes_on_accepting_and_nobody_is_sent_away() {
    let delay = Duration::from_secs(4);
    let server = server_with(|config| config.drain_delay = delay).await;
    let address = server.local_addr();
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    let begun = Instant::now();
    let down = tokio::spawn(server.shutdown());
    soon("the announcement", async {
        while http(address, "GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.status != 503 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut bob = Client::login(address, Wire::Vendor, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;
    assert!(begun.elapsed() < delay, "this machine is too slow for the test");
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.closed().await.map(|(code, _)| code), Some(1012));
        assert!(begun.elapsed() >= delay);
    }
    soon("shutting down", down).await.unwrap();
}

#[tokio::test]
async fn clients_are_sent_away_at_the_rate_and_no_longer_than_the_time() {
    // 10 clients take half a second at 20 a second, and five seconds at 2; there is time for it, or not.
    for (rate, time, least, most) in [(20, 10_000, 400, 10_000), (2, 100, 0, 4_000)] {
        let server = server_with(|config| {
            config.drain_rate = rate;
            config.drain_time = Some(Duration::from_millis(time));
        })
        .await;
        let address = server.local_addr();
        let mut clients = Vec::new();
        for i in 0..10 {
            clients.push(Client::login(address, Wire::Native, &format!("user{i}")).await);
        }
        let begun = Instant::now();
        let all = futures::future::join_all(clients.iter_mut().map(Client::closed));
        let ((), closed) = soon("shutting down", async { tokio::join!(server.shutdown(), all) }).await;
        assert!(closed.iter().all(|closed| closed.as_ref().is_some_and(|(code, _)| *code == 1012)), "{closed:?}");
        let took = begun.elapsed().as_millis();
        assert!((least..most).contains(&took), "{took} ms, of {time}");
    }
}

#[tokio::test]
async fn a_reload_that_hangs_holds_up_no_shutdown() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let mut config = ServerConfig::default();
    config.projects = vec![app_id().into()];
    let source = move || {
        // As a file on a disk that does not answer.
        let _ = released.lock().unwrap().recv();
        Err::<ServerConfig, _>("it is never read")
    };
    let server = ServerBuilder::from(config).config_source(source).build().await.unwrap();
    let mut reload = Box::pin(server.reload());
    assert!(futures::poll!(reload.as_mut()).is_pending());
    soon("being told how long it takes", server.shutdown_limit()).await;
    drop(reload);
    soon("the end", server.shutdown()).await;
    drop(release);
}
