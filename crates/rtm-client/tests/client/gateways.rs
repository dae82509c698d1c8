//! Several gateways: those that are gone, or silent, or go down.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rtm_client::{Client, ClientBuilder, ConnectionState, ErrorKind, RtmEvent, Wire};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::support::{APP_ID, WIRES, message, server, state};

/// A way to a server that can be cut off.
struct Way {
    at: SocketAddr,
    /// How many connections it took.
    links: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Way {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let links = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&links);
        let task = tokio::spawn(async move {
            let mut links = JoinSet::new();
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                taken.fetch_add(1, Ordering::Relaxed);
                links.spawn(async move {
                    let mut there = TcpStream::connect(server).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        });
        Self { at, links, task }
    }

    /// Ends it, with all links over it: nobody listens there any more.
    async fn cut(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn over(gateways: &[SocketAddr], wire: Wire) -> ClientBuilder {
    let builder = Client::builder().app_id(APP_ID).wire(wire).login_timeout(Duration::from_secs(8));
    gateways.iter().fold(builder, |builder, gateway| builder.gateway(gateway.to_string()))
}

/// Takes connections and never says anything.
async fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// Nobody is there.
async fn gone() -> SocketAddr {
    silent().await.1
}

#[tokio::test]
async fn a_login_succeeds_where_one_gateway_is_left_whichever_comes_first() {
    let server = server().await;
    let (_listener, silent) = silent().await;
    let gone = gone().await;
    for wire in WIRES {
        for seed in 0..3 {
            let builder = over(&[gone, silent, server.local_addr()], wire).seed(seed);
            let (client, _events) = builder.login_timeout(Duration::from_secs(4)).build().unwrap();
            client.login(format!("user-{seed}"), None).await.unwrap();
            client.logout().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_error_names_each_gateway() {
    let (one, two) = (gone().await, gone().await);
    for wire in WIRES {
        let builder = over(&[one, two], wire).login_timeout(Duration::from_millis(300));
        let (client, _events) = builder.build().unwrap();
        let error = client.login("ann", None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let shown = error.to_string();
        assert!(shown.contains(&one.to_string()) && shown.contains(&two.to_string()), "{shown}");
        // One is said by the source, the other in the text.
        assert_eq!(format!("{error:#}").matches("Connection refused").count(), 2, "{error:#}");
        assert!(std::error::Error::source(&error).unwrap().is::<std::io::Error>());
    }
}

#[tokio::test]
async fn an_error_names_the_gateway_that_is_silent() {
    let gone = gone().await;
    let (_listener, silent) = silent().await;
    for wire in WIRES {
        for gateways in [&[silent][..], &[gone, silent]] {
            let builder = over(gateways, wire).login_timeout(Duration::from_millis(600));
            let (client, _events) = builder.build().unwrap();
            let error = client.login("ann", None).await.unwrap_err();
            let said = match wire {
                Wire::Vendor => "the gateway did not answer in time",
                _ => "the server did not open the connection in time",
            };
            assert!(error.detail().contains(&format!("{silent}: {said}")), "{error:#}");
            assert_eq!(error.detail().contains(&gone.to_string()), gateways.len() > 1, "{error:#}");
        }
    }
}

#[tokio::test]
async fn an_error_about_many_gateways_is_short() {
    let gone: Vec<_> = futures::future::join_all((0..50).map(|_| gone())).await;
    let (client, _events) = over(&gone, Wire::Native).login_timeout(Duration::from_secs(2)).build().unwrap();
    let error = format!("{:#}", client.login("ann", None).await.unwrap_err());
    assert!(error.contains("; and 46 more; 127.0.0.1:") && error.len() < 500, "{}: {error}", error.len());
}

#[tokio::test]
async fn on_the_native_wire_a_session_goes_on_over_the_other_way_without_loss() {
    let server = server().await;
    let ways = [Way::to(server.local_addr()).await, Way::to(server.local_addr()).await];
    let (ann, mut events) = over(&[ways[0].at, ways[1].at], Wire::Native).build().unwrap();
    ann.login("ann", None).await.unwrap();
    let (bob, _bobs_events) = over(&[server.local_addr()], Wire::Native).build().unwrap();
    bob.login("bob", None).await.unwrap();
    bob.send_message_to_peer("ann", "before").await.unwrap();
    assert_eq!(message(&mut events).await.1, "before");
    let [one, two] = ways;
    let (own, other) = if one.links.load(Ordering::Relaxed) > 0 { (one, two) } else { (two, one) };
    own.cut().await;
    bob.send_message_to_peer("ann", "after").await.unwrap();
    loop {
        match events.recv().await.unwrap() {
            RtmEvent::MessageFromPeer { message, .. } => break assert_eq!(message.as_text(), Some("after")),
            RtmEvent::Gap { .. } => panic!("the session did not go on"),
            _ => {}
        }
    }
    assert_eq!(other.links.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_client_goes_to_the_other_server_when_its_own_goes_down() {
    for wire in WIRES {
        let (one, two) = (server().await, server().await);
        let (client, mut events) = over(&[one.local_addr(), two.local_addr()], wire).seed(5).build().unwrap();
        client.login("ann", None).await.unwrap();
        state(&mut events, ConnectionState::Connected).await;
        let (own, other) = if one.stats().connections > 0 { (one, two) } else { (two, one) };
        let begun = Instant::now();
        own.shutdown().await;
        state(&mut events, ConnectionState::Reconnecting).await;
        state(&mut events, ConnectionState::Connected).await;
        assert!(begun.elapsed() < Duration::from_secs(8), "{wire:?}: {:?}", begun.elapsed());
        let (bob, _events) = over(&[other.local_addr()], wire).build().unwrap();
        bob.login("bob", None).await.unwrap();
        bob.send_message_to_peer("ann", "still there?").await.unwrap();
        assert_eq!(message(&mut events).await.1, "still there?");
    }
}
