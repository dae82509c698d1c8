//! Tokens that stop working, against a real server.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rtm_client::{Client, ConnectionState, ErrorKind, RtmEvent, Wire};
use rtm_server::{Certificate, Server};
use tokio::{task::yield_now, time::timeout};

use crate::support::{APP_ID, WIRES, next, project, state};

const OLD: &str = "abcdefabcdefabcdefabcdefabcdef12";
const NEW: &str = "bbcdefabcdefabcdefabcdefabcdef12";

fn token(certificate: &str, user_id: &str) -> String {
    let certificate: Certificate = certificate.parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    rtm_token::Builder::new(APP_ID, &certificate, user_id, now, 7).ttl(Duration::from_secs(600)).build().unwrap()
}

async fn server(certificate: &str, at: &str) -> Server {
    let mut project = project();
    project.certificates = vec![certificate.parse().unwrap()];
    let bind = async {
        loop {
            match Server::builder().project(project.clone()).bind(at).await {
                Ok(server) => return server,
                // The server before it gives the port back when its tasks have had their turn.
                Err(_) => yield_now().await,
            }
        }
    };
    timeout(Duration::from_secs(10), bind).await.expect("the port is free soon")
}

fn client(at: SocketAddr, wire: Wire) -> rtm_client::ClientBuilder {
    Client::builder().gateway(format!("http://{at}")).app_id(APP_ID).wire(wire)
}

/// What `TokenNeeded` says.
async fn needed(events: &mut rtm_client::Events) -> (ErrorKind, Option<Duration>) {
    next(events, |event| match event {
        RtmEvent::TokenNeeded { error, retry_after, .. } => Some((error, retry_after)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn after_a_change_of_certificate_everybody_is_told_and_nobody_is_locked_out() {
    let old = server(OLD, "127.0.0.1:0").await;
    let at = old.local_addr();
    let mut clients = Vec::new();
    for n in 0..20 {
        let (user_id, wire) = (format!("user{n}"), WIRES[n % 2]);
        let mut builder = client(at, wire);
        if n % 4 < 2 {
            builder = builder.token_provider(async |user_id| Ok::<_, Infallible>(token(OLD, user_id.as_str())));
        }
        let (client, events) = builder.build().unwrap();
        client.login(&user_id, Some(&token(OLD, &user_id))).await.unwrap();
        clients.push((user_id, client, events, n % 4 < 2));
    }
    drop(old);
    let _new = server(NEW, &at.to_string()).await;
    for (user_id, client, events, has_provider) in &mut clients {
        let (error, retry_after) = needed(events).await;
        assert_eq!(error, ErrorKind::InvalidToken, "{user_id}");
        if *has_provider {
            assert_eq!(retry_after, Some(Duration::ZERO), "the provider is asked at once");
            let (error, retry_after) = needed(events).await;
            assert_eq!(error, ErrorKind::InvalidToken, "{user_id}");
            assert!(retry_after.is_some_and(|pause| pause >= Duration::from_secs(10)), "{user_id}: {retry_after:?}");
        }
        let error = client.send_message_to_peer("user0", "hi").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidToken, "{user_id}: {error}");
    }
    let (good, _events) = client(at, Wire::Native).build().unwrap();
    good.login("good", Some(&token(NEW, "good"))).await.unwrap();
    for (user_id, client, events, _) in &mut clients {
        client.renew_token(&token(NEW, user_id)).await.unwrap();
        state(events, ConnectionState::Connected).await;
    }
}

#[tokio::test]
async fn behind_a_provider_that_failed_is_its_own_error() {
    #[derive(Debug, PartialEq)]
    struct NoSuchUser(u32);
    impl std::fmt::Display for NoSuchUser {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "there is no user {}", self.0)
        }
    }
    impl std::error::Error for NoSuchUser {}

    let builder = Client::builder().gateway("127.0.0.1:1").app_id(APP_ID);
    let (client, _events) = builder.token_provider(async |_| Err::<String, _>(NoSuchUser(7))).build().unwrap();
    let error = client.login("ann", None).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref::<NoSuchUser>(), Some(&NoSuchUser(7)));
    assert_eq!(format!("{error:#}"), "the token provider failed (code 1): there is no user 7");
}
