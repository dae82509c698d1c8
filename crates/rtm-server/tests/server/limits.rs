//! How many may connect and how often, and what happens when there is no room.

use std::time::Duration;

use rtm_codec::{CallLimit, ClientFrame, ErrorKind, ServerFrame, Wire};
use rtm_server::{Certificate, NotChanged, ProjectConfig};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::support::{APP, Client, GATEWAY, app_id, http, login_with, post, server_with, soon};

#[tokio::test]
async fn when_the_server_is_full_the_next_waits_until_one_leaves() {
    let server = server_with(|config| config.max_connections = 2).await;
    let address = server.local_addr();
    let alice = Client::login(address, Wire::Native, "alice").await;
    let _bob = Client::login(address, Wire::Native, "bob").await;
    let carol = tokio::spawn(Client::login(address, Wire::Native, "carol"));
    while server.stats().connections < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!carol.is_finished());
    drop(alice);
    soon("there being room", carol).await.unwrap();
    assert_eq!(server.stats().connections, 2);
}

#[tokio::test]
async fn a_listener_without_clients_takes_no_room_from_the_others() {
    let server = server_with(|config| {
        config.listen.extend_from_within(..);
        config.max_connections = 1;
    })
    .await;
    for _ in 0..2 {
        for address in server.local_addrs() {
            assert_eq!(http(*address, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.status, 200);
        }
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let server = server_with(|config| config.max_connections_per_address = 2).await;
    let address = server.local_addr();
    let alice = Client::login(address, Wire::Native, "alice").await;
    let mut bob = Client::login(address, Wire::Native, "bob").await;
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(matches!(soon("being cut off", third.read(&mut [0])).await, Ok(0) | Err(_)));
    drop(alice);
    soon("there being room", async {
        while server.stats().connections > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut carol = Client::login(address, Wire::Native, "carol").await;
    bob.talks_with("bob", &mut carol, "carol").await;
}

#[tokio::test]
async fn one_address_connects_so_often() {
    let limit = CallLimit::new(2, Duration::from_secs(3600));
    let server = server_with(|config| config.connects_per_address = limit).await;
    let address = server.local_addr();
    for _ in 0..2 {
        assert_eq!(http(address, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.status, 200);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(matches!(soon("being cut off", third.read(&mut [0])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn tokens_cannot_be_tried_out() {
    let certificate: Certificate = "5cfd2fd1755d40ecb72977518be15d3b".parse().unwrap();
    let server = server_with(|config| {
        let mut project = ProjectConfig::new(app_id());
        project.certificates = vec![certificate.clone()];
        config.projects = vec![project];
        config.refused_logins_per_address = CallLimit::new(4, Duration::from_secs(3600));
    })
    .await;
    let address = server.local_addr();
    let good = {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        rtm_token::Builder::new(APP, &certificate, "alice", now, 7).ttl(Duration::from_secs(600)).build().unwrap()
    };
    let try_login = async |token: Option<&str>| {
        let mut client = Client::connect(address, Wire::Native).await;
        client.send(login_with(app_id(), "alice", token)).await;
        client.next().await
    };
    let refused = |frame: ServerFrame| match frame {
        ServerFrame::Refused(refusal) => refusal.kind,
        other => panic!("{other:?}"),
    };
    assert!(matches!(try_login(Some(&good)).await, ServerFrame::Welcome(_)));
    for token in [None, Some("007guess")] {
        assert_eq!(refused(try_login(token).await), ErrorKind::InvalidToken);
    }
    // The gateway counts as well.
    for _ in 0..2 {
        let body = format!(r#"{{"appid":"{APP}","uid":"alice","token":"006guess","wss":false}}"#);
        let code = post(address, GATEWAY, &body).await.json()["code"].as_i64().unwrap();
        assert!([5, 110].contains(&code), "{code}");
    }
    // Now even the right one is not looked at.
    assert_eq!(refused(try_login(Some(&good)).await), ErrorKind::TooOften);
    let body = format!(r#"{{"appid":"{APP}","uid":"alice","token":"{good}","wss":false}}"#);
    // The SDK tries again where the status says so, and gives up for good where an answer to a login does.
    let answer = post(address, GATEWAY, &body).await;
    assert_eq!((answer.status, &answer.json()["code"]), (429, &429.into()));
    let mut client = Client::connect(address, Wire::Vendor).await;
    client.send(login_with(app_id(), "alice", Some(&good))).await;
    let Err(Some((code, text))) = client.next_or_close().await else { panic!("the login is answered") };
    assert!(code == 4000 && text.ends_with("too many logins from this address were refused"), "{code} {text}");
}

#[tokio::test]
async fn banned_users_are_sent_away_and_kept_out() {
    let server = server_with(|_| {}).await;
    let address = server.local_addr();
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    let name = crate::support::user("alice");
    server.ban(&app_id(), &name, Duration::from_secs(600)).await.unwrap();
    let closed = alice.closed().await;
    assert_eq!(closed, Some((4003, "the user is banned".into())));
    let mut again = Client::connect(address, Wire::Native).await;
    again.send(crate::support::login("alice")).await;
    match again.next().await {
        ServerFrame::Refused(refusal) => assert_eq!(refusal.kind, ErrorKind::Banned),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.unban(&app_id(), &name).await, Ok(true));
    assert_eq!(server.unban(&app_id(), &name).await, Ok(false));
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    alice.send(ClientFrame::Ping).await;
    assert_eq!(alice.next().await, ServerFrame::Pong);
    assert_eq!(server.kick(&app_id(), &name).await, Ok(true));
    assert_eq!(alice.closed().await.map(|(code, _)| code), Some(4003));
    assert_eq!(server.kick(&"F".repeat(32).parse().unwrap(), &name).await, Err(NotChanged::NoProject));
}
