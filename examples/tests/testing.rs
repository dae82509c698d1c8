//! The tests that docs/testing.md shows, and that it shows them.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{cell::Cell, fs, path::Path, rc::Rc, time::Duration};

use rtm_client::{
    Client, ConnectionState, Events, RtmEvent, UserId, Wire,
    testing::{Network, wait_for},
};
use rtm_server::{AppId, Server};
use rtm_sim::{App, DeviceConfig, Faults, Handle, Input, World};
use tokio::time::sleep;

const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// The application: it answers each message of a peer with the same text.
async fn echo(client: Client, mut events: Events) {
    while let Some(event) = events.recv().await {
        if let RtmEvent::MessageFromPeer { message, peer_id, .. } = event {
            // A sender that has gone offline has no use for its echo.
            let _ = client.send_message_to_peer(&peer_id, message).await;
        }
    }
}

/// A server in this process, and a network in memory that leads to it.
async fn server() -> (Server, Network) {
    let server = Server::builder().project(AppId::new(APP_ID).unwrap()).build().await.unwrap();
    let handle = server.handle();
    let network = Network::new(move |incoming| {
        let server = handle.clone();
        async move { server.serve(incoming.stream, incoming.from).await }
    });
    (server, network)
}

#[tokio::test(start_paused = true)]
async fn the_echo_survives_a_cut_and_a_tunnel() {
    let (_server, network) = server().await;
    let link = network.link();
    let (client, events) = link.client(Client::builder().app_id(APP_ID)).unwrap();
    client.login("echo", None).await.unwrap();
    tokio::spawn(echo(client, events));

    let (alice, mut events) = network.link().client(Client::builder().app_id(APP_ID)).unwrap();
    alice.login("alice", None).await.unwrap();

    link.cut();
    alice.send_message_to_peer("echo", "one").await.unwrap();
    wait_for(&mut events, |event| is_text(event, "one")).await.unwrap();

    link.stall();
    let sending = tokio::spawn(alice.send_message_to_peer("echo", "two"));
    sleep(Duration::from_secs(20)).await;
    link.restore();
    wait_for(&mut events, |event| is_text(event, "two")).await.unwrap();
    sending.await.unwrap().unwrap();
}

fn is_text(event: &RtmEvent, text: &str) -> Option<()> {
    matches!(event, RtmEvent::MessageFromPeer { message, .. } if message.as_text() == Some(text)).then_some(())
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_without_the_server() {
    let (_server, network) = server().await;
    let (alice, mut events) = network.link().client(Client::builder().app_id(APP_ID)).unwrap();
    alice.login("alice", None).await.unwrap();

    network.refuse();
    sleep(Duration::from_secs(30 * 60)).await;
    assert_eq!(alice.connection_state(), ConnectionState::Reconnecting);
    network.restore();
    // Its session is over by then, and the stream says so.
    wait_for(&mut events, |event| matches!(event, RtmEvent::Gap { .. }).then_some(())).await.unwrap();
    assert_eq!(alice.connection_state(), ConnectionState::Connected);
}

/// The same application for the simulation, which has no `async`: it is given one input after the other.
struct Echo;

impl App for Echo {
    fn handle(&mut self, client: &mut Handle<'_>, input: Input) {
        match input {
            Input::Start | Input::LoggedIn(Err(_)) => client.login(None).expect("nobody is logged in"),
            Input::Event(RtmEvent::MessageFromPeer { message, peer_id, .. }) => {
                client.send_to_peer(&peer_id, message, true);
            }
            _ => {}
        }
    }
}

#[test]
fn in_twenty_bad_networks_only_what_was_asked_comes_back_and_in_order() {
    let back = Rc::new(Cell::new(0));
    for seed in 1..=20 {
        let mut world = World::new(seed);
        world.start_trace();
        world.set_faults(Faults::train());
        let echo = UserId::new("echo").unwrap();
        world.add("echo", DeviceConfig::new(Wire::Native), Echo).unwrap();

        let (mut asked, mut last, count) = (0, 0, Rc::clone(&back));
        let asker = move |client: &mut Handle<'_>, input: Input| match input {
            Input::Start | Input::LoggedIn(Err(_)) => client.login(None).expect("nobody is logged in"),
            Input::LoggedIn(Ok(())) | Input::Timer(_) => {
                asked += 1;
                client.send_to_peer(&echo, asked.to_string(), true);
                client.after(Duration::from_secs(3), 0);
            }
            Input::Event(RtmEvent::MessageFromPeer { message, .. }) => {
                let number: u32 = message.as_text().and_then(|text| text.parse().ok()).unwrap_or(0);
                // The promise of this application. The world stops where it is broken.
                if number <= last || number > asked {
                    client.broken(format!("{number} came back after {last}, and {asked} were asked"));
                }
                last = number;
                count.set(count.get() + 1);
            }
            _ => {}
        };
        world.add("asker", DeviceConfig::new(Wire::Native), asker).unwrap();
        if let Err(violation) = world.run_for(Duration::from_secs(120)) {
            panic!("seed {seed}: {violation}\n{}", world.trace().join("\n"));
        }
    }
    assert!(back.get() > 200, "only {} came back", back.get());
}

#[test]
fn the_page_shows_these_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/testing.md")).unwrap();
    let tests = fs::read_to_string(root.join("tests/testing.rs")).unwrap();
    let blocks: Vec<_> = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        assert!(tests.contains(block), "docs/testing.md shows what no test has:\n{block}");
    }
}
