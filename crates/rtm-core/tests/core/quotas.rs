//! How much of a server a project may take.

use rtm_codec::{
    CallLimits, ChannelAttributeTarget, ErrorKind, JoinChannel, LeaveChannel, MessageId, Refusal, SendChannelMessage,
    SendMessageToPeer, SendOutcome, SetChannelAttributes, anyrtc::gateway::GatewayAnswer,
};
use rtm_core::{Quota, Quotas, store::StoredBytes};

use crate::harness::*;

fn with(change: impl FnOnce(&mut Quotas)) -> World {
    let mut config = config();
    config.limits = CallLimits::unlimited();
    change(&mut config.quotas);
    World::with(config)
}

fn refused(world: &World, quota: Quota) -> u64 {
    world.core.counters().quotas().find(|(known, _)| *known == quota).unwrap().1
}

#[test]
fn a_login_beyond_the_connections_is_refused_by_their_name() {
    let mut world = with(|quotas| quotas.max_connections = 2);
    let alice = world.login("alice");
    world.login("bob");
    let carol = world.try_login(login_of("carol"));
    let refusal = world.refused(carol).unwrap();
    assert_eq!(refusal.kind, ErrorKind::TooOften);
    assert!(refusal.to_string().contains("max_connections"), "{refusal}");
    assert_eq!(refused(&world, Quota::Connections), 1);
    // Who is there may come back, although its old connection still counts.
    let again = world.resume(alice);
    assert!(world.is_welcome(again));
}

#[test]
fn a_login_of_the_vendors_sdk_beyond_the_connections_waits_for_one_to_go() {
    let mut world = with(|quotas| quotas.max_connections = 2);
    let (alice, bob) = (world.login_vendor("alice"), world.login_vendor("bob"));
    let asks = |world: &mut World, user: Option<&str>| world.ask(connect(user, None)).1;
    assert_eq!(asks(&mut world, Some("carol")), GatewayAnswer::TryAgain);
    assert_eq!(asks(&mut world, None), GatewayAnswer::TryAgain, "of one who is to get an id");
    assert!(matches!(asks(&mut world, Some("alice")), GatewayAnswer::Connect { .. }), "who is there may come back");
    // The gateway has let two in, and somebody else was quicker.
    let late = ["carol", "dave"].map(|user| world.try_login(vendor_login_of(user)));
    world.advance(secs(10));
    for client in late {
        assert!(world.is_open(client) && !world.is_welcome(client));
    }
    world.logout(alice);
    world.advance(secs(2));
    assert_eq!(late.map(|client| world.is_welcome(client)), [true, false], "that both wait is no reason to wait");
    world.logout(bob);
    world.advance(secs(2));
    assert!(world.is_welcome(late[1]));
}

#[test]
fn a_channel_beyond_the_channels_is_refused_by_their_name() {
    let mut world = with(|quotas| quotas.max_channels = 1);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let join = |id: &str| JoinChannel { channel_id: room(id) };
    world.call(alice, join("first")).unwrap();
    world.call(bob, join("first")).unwrap();
    let refusal = world.call(bob, join("second")).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::ExceedLimit);
    assert!(refusal.to_string().contains("max_channels"), "{refusal}");
    let set = SetChannelAttributes {
        target: ChannelAttributeTarget { channel_id: room("third"), notify: false, expected_revision: None },
        attributes: attributes(&[("a", "b")]),
    };
    assert_eq!(world.call(bob, set).unwrap_err().kind, ErrorKind::ExceedLimit);
    assert_eq!(refused(&world, Quota::Channels), 2);
    for client in [alice, bob] {
        world.call(client, LeaveChannel { channel_id: room("first") }).unwrap();
    }
    world.call(bob, join("second")).unwrap();
}

/// The most that fits are four of these.
const LARGE: usize = 20_000;
const ROOM: u64 = 100_000;

fn large(name: &str) -> String {
    name.repeat(LARGE)
}

fn is_beyond_stored_bytes(refusal: &Refusal) -> bool {
    refusal.kind == ErrorKind::ExceedLimit && refusal.to_string().contains("stored_bytes")
}

#[test]
fn a_message_for_which_the_store_has_no_room_is_refused_until_there_is_some() {
    let mut world = with(|quotas| quotas.stored_bytes = ROOM);
    let alice = world.login("alice");
    for id in 1..=4 {
        assert_eq!(world.call(alice, stored_to_peer(id, "bob", &large("b"))).unwrap(), SendOutcome::Stored);
    }
    let refusal = world.call(alice, stored_to_peer(5, "bob", &large("b"))).unwrap_err();
    assert!(is_beyond_stored_bytes(&refusal), "{refusal}");
    assert_eq!(refused(&world, Quota::StoredBytes), 1);
    assert_eq!(world.store.waiting("bob").len(), 4);
    // What is not to be stored goes as before, and so does what need not be.
    assert_eq!(world.call(alice, to_peer(6, "bob", "hello")).unwrap(), SendOutcome::NotReceived);
    let bob = world.login("bob");
    assert_eq!(world.texts(bob).len(), 4);
    assert_eq!(world.call(alice, stored_to_peer(7, "bob", &large("b"))).unwrap(), SendOutcome::Delivered);
    world.logout(bob);
    // The store has said how much it has a moment ago.
    world.advance(secs(1));
    let _ = world.call(alice, stored_to_peer(8, "bob", &large("b")));
    assert_eq!(world.call(alice, stored_to_peer(9, "bob", &large("b"))).unwrap(), SendOutcome::Stored);
}

#[test]
fn a_message_without_room_in_the_history_is_refused_before_anybody_has_it() {
    let mut world = with(|quotas| quotas.stored_bytes = ROOM);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("room") }).unwrap();
    }
    let to_bob = |id| SendMessageToPeer { enable_historical_messaging: true, ..to_peer(id, "bob", &large("h")) };
    let to_room = |id, is_kept| SendChannelMessage {
        message_id: MessageId(id),
        channel_id: room("room"),
        message: large("h").as_str().into(),
        enable_historical_messaging: is_kept,
    };
    for id in 1..=2 {
        world.call(alice, to_bob(id)).unwrap();
        world.call(alice, to_room(id, true)).unwrap();
    }
    world.events(bob);
    assert!(is_beyond_stored_bytes(&world.call(alice, to_bob(3)).unwrap_err()));
    assert!(is_beyond_stored_bytes(&world.call(alice, to_room(3, true)).unwrap_err()));
    assert_eq!(world.events(bob).len(), 0);
    world.call(alice, to_room(4, false)).unwrap();
    assert_eq!((world.events(bob).len(), refused(&world, Quota::StoredBytes)), (1, 2));
}

#[test]
fn attributes_of_channels_count_and_smaller_ones_may_be_written() {
    let mut world = with(|quotas| quotas.stored_bytes = ROOM);
    let alice = world.login("alice");
    let set = |channel: &str, text: &str| SetChannelAttributes {
        target: ChannelAttributeTarget { channel_id: room(channel), notify: false, expected_revision: None },
        attributes: attributes(&[("a", text), ("b", text), ("c", text)]),
    };
    let long = "v".repeat(8_000);
    for channel in ["r1", "r2", "r3", "r4"] {
        world.call(alice, set(channel, &long)).unwrap();
    }
    assert!(is_beyond_stored_bytes(&world.call(alice, set("r5", &long)).unwrap_err()));
    world.call(alice, set("r1", "short")).unwrap();
}

#[test]
fn what_is_kept_is_measured_where_there_is_a_quota() {
    let mut world = with(|quotas| quotas.stored_bytes = ROOM);
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", &large("b"))).unwrap();
    world.advance(secs(31));
    world.call(alice, stored_to_peer(2, "bob", "hello")).unwrap();
    let StoredBytes { offline, history, .. } = world.core.stored_bytes().unwrap();
    assert!(offline >= LARGE as u64 && history == 0, "{offline} {history}");
    let mut without = with(|_| {});
    let alice = without.login("alice");
    without.call(alice, stored_to_peer(1, "bob", "hello")).unwrap();
    assert_eq!(without.core.stored_bytes(), None);
}
