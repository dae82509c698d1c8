//! What a client is shown of the server's being there, beside the answers to its pings.

use rtm_codec::{ClientFrame, GetChannelMemberCount, KeepAlive, Login};

use crate::harness::*;

/// A part of a frame comes every 300 ms, and nothing else, as over a slow link. Says how many pongs that led to.
fn uploads(world: &mut World, client: C, for_ms: u64) -> u32 {
    let before = world.pongs(client);
    world.silence(client);
    for _ in 0..for_ms / 300 {
        world.advance(millis(300));
        world.bytes(client);
    }
    world.pongs(client) - before
}

#[test]
fn a_client_whose_ping_waits_behind_what_it_sends_is_shown_that_it_is_heard() {
    let mut world = World::new();
    let (native, vendor) = (world.login("alice"), world.login_vendor("bob"));
    // Each gives the link up after two intervals, of 2 s and of 10 s.
    assert_eq!(uploads(&mut world, native, 12_000), 10);
    assert_eq!(uploads(&mut world, vendor, 30_000), 5);
}

#[test]
fn a_client_that_the_server_pings_is_shown_nothing_besides() {
    let mut world = World::new();
    let keep_alive = KeepAlive::Server { interval_ms: 10_000 };
    let alice = world.login_with(Login { keep_alive, ..login_of("alice") });
    assert_eq!(uploads(&mut world, alice, 30_000), 0);
    assert!(world.pings(alice) >= 2);
}

#[test]
fn the_way_to_a_client_that_the_server_pings_is_measured() {
    let mut world = World::new();
    let keep_alive = KeepAlive::Server { interval_ms: 10_000 };
    let alice = world.login_with(Login { keep_alive, ..login_of("alice") });
    world.silence(alice);
    world.advance(millis(10_000));
    assert_eq!(world.pings(alice), 1);
    world.advance(millis(70));
    world.frame(alice, ClientFrame::Pong);
    let pings = world.core.counters().pings();
    assert_eq!((pings.micros(), pings.counts().iter().sum::<u64>()), (70_000, 1));
    let bob = world.login("bob");
    world.frame(bob, ClientFrame::Pong);
    assert_eq!(world.core.counters().pings().counts().iter().sum::<u64>(), 1, "one that pings itself is not measured");
}

#[test]
fn a_client_that_gets_an_answer_is_shown_nothing_besides() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.silence(alice);
    for _ in 0..5 {
        world.advance(millis(2_100));
        world
            .call(alice, GetChannelMemberCount { channel_ids: vec![rtm_codec::ChannelId::new("lobby").unwrap()] })
            .unwrap();
    }
    assert_eq!(world.pongs(alice), 0);
}

#[test]
fn a_client_whose_requests_wait_for_a_receipt_is_shown_that_they_came() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.silence(alice);
    for number in 1..=12 {
        world.advance(millis(500));
        world.request(alice, to_peer(number, "bob", "hello"));
    }
    assert_eq!(world.pongs(alice), 3);
}

#[test]
fn a_client_that_pings_in_time_is_answered_that_and_no_more() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.silence(alice);
    for number in 1..=5 {
        world.frame(alice, ClientFrame::Ping);
        world.advance(millis(900));
        world.bytes(alice);
        world.advance(millis(1_000));
        world.request(alice, to_peer(number, "bob", "hello"));
    }
    assert_eq!(world.pongs(alice), 5);
}
