//! A client over links in memory, against a server, on a clock that stands still.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use rtm_codec::Wire;
use rtm_connection::{ConnectionChangeReason, ConnectionState};
use rtm_server::{AppId, Server, ServerConfig};
use tokio::time::{Instant, sleep};

use super::*;
use crate::{Client, ClientBuilder};

const APP_ID: &str = "0123456789abcdef0123456789abcdef";

async fn server() -> (Server, Network) {
    let server = Server::builder().project(AppId::new(APP_ID).unwrap()).build().await.unwrap();
    let network = network(&server);
    (server, network)
}

fn network(server: &Server) -> Network {
    let handle = server.handle();
    Network::new(move |incoming| {
        let server = handle.clone();
        async move { server.serve(incoming.stream, incoming.from).await }
    })
}

fn builder() -> ClientBuilder {
    Client::builder().app_id(APP_ID).seed(7)
}

async fn user(link: &Link, builder: ClientBuilder, name: &str) -> (Client, Events) {
    let (client, events) = link.client(builder).unwrap();
    client.login(name, None).await.unwrap();
    (client, events)
}

async fn state(events: &mut Events, wanted: ConnectionState) -> ConnectionChangeReason {
    let is_it = |event: &RtmEvent| match event {
        RtmEvent::ConnectionStateChanged { state, reason, .. } if *state == wanted => Some(*reason),
        _ => None,
    };
    wait_for(events, is_it).await.unwrap()
}

async fn text(events: &mut Events) -> String {
    let is_it = |event: &RtmEvent| match event {
        RtmEvent::MessageFromPeer { message, .. } => message.as_text().map(str::to_owned),
        _ => None,
    };
    wait_for(events, is_it).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn users_on_both_wires_talk_through_it() {
    let (server, network) = server().await;
    let (alice, mut to_alice) = user(&network.link(), builder(), "alice").await;
    let (bob, mut to_bob) = user(&network.link(), builder().wire(Wire::Vendor), "bob").await;
    assert!(alice.send_message_to_peer("bob", "hello").await.unwrap().has_peer_received());
    bob.send_message_to_peer("alice", "good day").await.unwrap();
    assert_eq!((text(&mut to_bob).await, text(&mut to_alice).await), ("hello".into(), "good day".into()));
    assert_eq!(server.stats().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_cost_milliseconds_and_nothing_spins() {
    let (_server, network) = server().await;
    let (alice, _events) = user(&network.link(), builder(), "alice").await;
    let (virtual_start, begun) = (Instant::now(), std::time::Instant::now());
    sleep(Duration::from_secs(30)).await;
    assert_eq!(virtual_start.elapsed().as_secs(), 30);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(alice.connection_state(), ConnectionState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_seen_at_once_and_the_session_goes_on() {
    let (_server, network) = server().await;
    let link = network.link();
    let (_bob, mut events) = user(&link, builder(), "bob").await;
    let (alice, _) = user(&network.link(), builder(), "alice").await;
    state(&mut events, ConnectionState::Connected).await;
    let begun = Instant::now();
    link.cut();
    let sending = tokio::spawn(alice.send_message_to_peer("bob", "after all"));
    assert_eq!(state(&mut events, ConnectionState::Reconnecting).await, ConnectionChangeReason::Interrupted);
    state(&mut events, ConnectionState::Connected).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(text(&mut events).await, "after all");
    assert!(sending.await.unwrap().unwrap().has_peer_received());
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_seen_by_silence_and_what_waited_arrives() {
    let (_server, network) = server().await;
    let link = network.link();
    let (bob, mut events) = user(&link, builder(), "bob").await;
    let (alice, _) = user(&network.link(), builder(), "alice").await;
    state(&mut events, ConnectionState::Connected).await;

    // Shorter than the client's patience: it notices nothing.
    link.stall();
    let sending = tokio::spawn(alice.send_message_to_peer("bob", "one"));
    sleep(Duration::from_secs(1)).await;
    assert!(events.try_recv().is_none());
    link.restore();
    assert_eq!(text(&mut events).await, "one");
    sending.await.unwrap().unwrap();

    link.stall();
    let begun = Instant::now();
    state(&mut events, ConnectionState::Reconnecting).await;
    assert!((2..=6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    sleep(Duration::from_secs(15)).await;
    assert_eq!(bob.connection_state(), ConnectionState::Reconnecting, "nothing answers");
    link.restore();
    state(&mut events, ConnectionState::Connected).await;
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_back_is_used_at_once_if_the_application_says_so() {
    let (_server, network) = server().await;
    let link = network.link();
    let pauses = Duration::from_secs(3000);
    let builder = builder().heartbeat(Duration::from_secs(20)).reconnect_backoff(pauses, pauses);
    let (alice, mut events) = user(&link, builder, "alice").await;

    // A connection that works stays.
    alice.network_changed();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(alice.connection_state(), ConnectionState::Connected);

    link.stall();
    let begun = Instant::now();
    alice.network_changed();
    state(&mut events, ConnectionState::Reconnecting).await;
    assert_eq!(begun.elapsed().as_secs(), 2);
    link.restore();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(alice.connection_state(), ConnectionState::Reconnecting, "the pause is long");
    let begun = Instant::now();
    alice.network_changed();
    state(&mut events, ConnectionState::Connected).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_figures_of_a_client_are_those_of_what_happened() {
    for wire in [Wire::Native, Wire::Vendor] {
        let (_server, network) = server().await;
        let link = network.link();
        let (alice, _) = user(&network.link(), builder(), "alice").await;
        let (bob, events) = link.client(builder().wire(wire)).unwrap();
        let fresh = bob.stats();
        assert_eq!((fresh.bytes_in, fresh.bytes_out, fresh.events, fresh.round_trip), (0, 0, 0, None));
        bob.login("bob", None).await.unwrap();
        let online = bob.stats();
        assert!(online.bytes_in > 0 && online.bytes_out > 0, "{online:?}");
        assert_eq!((online.events, online.events_waiting, online.reconnects, online.calls_under_way), (2, 2, 0, 0));

        link.delay(Duration::from_millis(150));
        sleep(Duration::from_secs(25)).await;
        assert_eq!(bob.stats().round_trip, Some(Duration::from_millis(300)));

        alice.send_message_to_peer("bob", "x".repeat(10_000)).await.unwrap();
        let told = bob.stats();
        assert!((10_000..12_000).contains(&(told.bytes_in - online.bytes_in)), "{told:?}");
        assert_eq!((told.events, told.events_waiting), (3, 3));
        let sending = tokio::spawn(bob.send_message_to_peer("alice", "y".repeat(10_000)));
        sleep(Duration::from_millis(100)).await;
        assert_eq!(bob.stats().calls_under_way, 1);
        sending.await.unwrap().unwrap();
        let sent = bob.stats();
        assert!((10_000..12_000).contains(&(sent.bytes_out - told.bytes_out)), "{sent:?}");
        assert_eq!(sent.calls_under_way, 0);

        drop(events);
        link.cut();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(bob.stats().round_trip, None);
        sleep(Duration::from_secs(5)).await;
        let back = bob.stats();
        assert_eq!((back.reconnects, back.events_waiting), (1, 0));
        assert!(back.events >= sent.events + 2 && back.bytes_in > sent.bytes_in, "{back:?}");
        bob.logout().await.unwrap();
        assert_eq!(bob.stats().reconnects, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_banned_user_is_back_soon_after_the_ban_is_lifted() {
    let (server, network) = server().await;
    let (app, alice_id) = (AppId::new(APP_ID).unwrap(), "alice".parse().unwrap());
    let builder = builder().relogin(Duration::from_secs(1), Duration::from_secs(60));
    let (alice, mut events) = user(&network.link(), builder, "alice").await;
    server.ban(&app, &alice_id, Duration::from_secs(24 * 3600)).await.unwrap();
    assert_eq!(state(&mut events, ConnectionState::Aborted).await, ConnectionChangeReason::BannedByServer);
    sleep(Duration::from_secs(600)).await;
    assert!(!alice.connection_state().is_logged_in());
    let attempts = std::iter::from_fn(|| events.try_recv())
        .filter(|event| matches!(event, RtmEvent::ConnectionStateChanged { state: ConnectionState::Connecting, .. }))
        .count();
    assert!((10..30).contains(&attempts), "{attempts}");
    server.unban(&app, &alice_id).await.unwrap();
    let begun = Instant::now();
    state(&mut events, ConnectionState::Connected).await;
    assert!(begun.elapsed() <= Duration::from_secs(61), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_network_that_refuses_lets_nobody_in_until_it_is_restored() {
    let (_server, network) = server().await;
    network.refuse();
    let link = network.link();
    let (alice, _events) = link.client(builder()).unwrap();
    let begun = Instant::now();
    let login = tokio::spawn(alice.login("alice", None));
    sleep(Duration::from_secs(5)).await;
    assert!(!login.is_finished());
    network.restore();
    login.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(12));
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_some_leaves_the_others_alone() {
    let (_server, network) = server().await;
    let links: Vec<_> = (0..4).map(|_| network.link()).collect();
    let mut users = Vec::new();
    for (number, link) in links.iter().enumerate() {
        users.push(user(link, builder(), &format!("user{number}")).await);
    }
    links[2..].iter().for_each(Link::stall);
    sleep(Duration::from_secs(40)).await;
    let states: Vec<_> = users.iter().map(|(client, _)| client.connection_state()).collect();
    let (up, down) = (ConnectionState::Connected, ConnectionState::Reconnecting);
    assert_eq!(states, [up, up, down, down]);
    network.restore();
    for (_, events) in &mut users[2..] {
        state(events, down).await;
        state(events, up).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_that_of_a_round_trip_and_keeps_the_order() {
    let (_server, network) = server().await;
    let link = network.link();
    let (alice, mut events) = user(&link, builder(), "alice").await;
    link.delay(Duration::from_millis(150));
    let begun = Instant::now();
    let sent: Vec<_> = (0..20).map(|number| alice.send_message_to_peer("alice", number.to_string())).collect();
    futures::future::try_join_all(sent).await.unwrap();
    let took = begun.elapsed();
    assert!((300..900).contains(&took.as_millis()), "{took:?}");
    for number in 0..20 {
        assert_eq!(text(&mut events).await, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_refuses_or_stalls_lets_nobody_in_who_was_on_the_way() {
    let (server, network) = server().await;
    for harm in [Link::refuse, Link::stall] {
        let link = network.link();
        link.delay(Duration::from_secs(1));
        let (alice, _events) = link.client(builder()).unwrap();
        let login = tokio::spawn(alice.login("alice", None));
        // It is under way for two seconds.
        sleep(Duration::from_secs(1)).await;
        harm(&link);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(server.stats().connections, 0);
        link.restore();
        login.await.unwrap().unwrap();
        alice.logout().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_panics_does_not_harm_the_client() {
    let network = Network::new(|_| -> std::future::Ready<()> { panic!("in a task of its own") });
    let (alice, mut events) = network.link().client(builder()).unwrap();
    assert!(alice.login("alice", None).await.is_err());
    state(&mut events, ConnectionState::Disconnected).await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_any_length_is_only_a_delay() {
    let (_server, network) = server().await;
    let link = network.link();
    let (alice, _events) = user(&link, builder(), "alice").await;
    link.delay(Duration::MAX);
    assert!(alice.send_message_to_peer("alice", "hello").await.is_err());
    let (bob, _events) = link.client(builder()).unwrap();
    assert!(bob.login("bob", None).await.is_err());
    link.delay(Duration::ZERO);
    bob.login("bob", None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_server_sees_an_address_for_each_link() {
    let mut config = ServerConfig::default();
    config.projects = vec![AppId::new(APP_ID).unwrap().into()];
    config.max_connections_per_address = 1;
    let server = rtm_server::ServerBuilder::from(config).build().await.unwrap();
    let network = network(&server);
    let (one, other) = (network.link(), network.link());
    assert_ne!(one.ip(), other.ip());
    let _alice = user(&one, builder(), "alice").await;
    let _bob = user(&other, builder(), "bob").await;
    let (carol, _events) = one.client(builder()).unwrap();
    assert!(carol.login("carol", None).await.is_err(), "the address has its connection");
}

#[tokio::test(start_paused = true)]
async fn what_did_not_come_is_said_with_what_came() {
    let (_server, network) = server().await;
    let (alice, mut events) = user(&network.link(), builder(), "alice").await;
    let error = wait_for(&mut events, |_| None::<()>).await.unwrap_err();
    assert_eq!(error.came.len(), 2);
    assert!(
        error.to_string().starts_with("no such event came within 60 s; instead: ConnectionStateChanged (CONNECTING")
    );
    drop(alice);
    let error = wait_for(&mut events, |_| None::<()>).await.unwrap_err();
    assert!(error.has_ended && error.to_string().contains("the client has ended"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_and_another_that_takes_its_place() {
    let current = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&current);
    let network = Network::new(move |incoming| {
        let server: Option<rtm_server::ServerHandle> = taken.lock().unwrap().clone();
        async move {
            if let Some(server) = server {
                let _ = server.serve(incoming.stream, incoming.from).await;
            }
        }
    });
    let first = Server::builder().project(AppId::new(APP_ID).unwrap()).build().await.unwrap();
    *current.lock().unwrap() = Some(first.handle());
    let (alice, mut events) = user(&network.link(), builder(), "alice").await;
    first.shutdown().await;
    let second = Server::builder().project(AppId::new(APP_ID).unwrap()).build().await.unwrap();
    *current.lock().unwrap() = Some(second.handle());
    state(&mut events, ConnectionState::Reconnecting).await;
    state(&mut events, ConnectionState::Connected).await;
    assert_eq!(alice.connection_state(), ConnectionState::Connected);
}
