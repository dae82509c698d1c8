//! Subscriptions of a client that subscribes once, as the vendor's SDK does: they outlive its session and the server.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    AppId, ErrorKind, Event, InstanceId, Login, PeerOnlineState, QueryPeersBySubscriptionOption,
    SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus,
    anyrtc::gateway::{Caller, GatewayRequest},
};
use rtm_core::{Core, NotPackable, StoreWork};

use crate::harness::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn to(peers: &[&str]) -> SubscribePeersOnlineStatus {
    SubscribePeersOnlineStatus { peer_ids: peers.iter().map(|id| uid(id)).collect() }
}

fn no_more_to(peers: &[&str]) -> UnsubscribePeersOnlineStatus {
    UnsubscribePeersOnlineStatus { peer_ids: peers.iter().map(|id| uid(id)).collect() }
}

/// Another object of the SDK for the same user.
fn other_object(user: &str, number: usize) -> Login {
    Login { instance: InstanceId::new(format!("object-{number}")).unwrap(), ..vendor_login_of(user) }
}

fn subscribed(world: &mut World, client: C) -> Vec<String> {
    let mut peers: Vec<_> = world.call(client, QueryPeersBySubscriptionOption {}).unwrap();
    peers.sort_unstable();
    peers.into_iter().map(|peer| peer.to_string()).collect()
}

/// What a client was told of users since events were last taken, the last of each.
fn states(world: &mut World, client: C) -> BTreeMap<String, PeerOnlineState> {
    let peers = |event: Event| match event {
        Event::PeersOnlineStatusChanged { peers } => peers,
        other => panic!("{other:?}"),
    };
    let told = world.events(client).into_iter().flat_map(peers);
    told.map(|(peer, state)| (peer.to_string(), state)).collect()
}

fn told(entries: &[(&str, PeerOnlineState)]) -> BTreeMap<String, PeerOnlineState> {
    entries.iter().map(|(peer, state)| ((*peer).to_owned(), *state)).collect()
}

/// Alice with the SDK, subscribed to Bob, who is there, and Carol, who is not.
fn alice_watches(world: &mut World) -> (C, C) {
    let (bob, alice) = (world.login("bob"), world.login_vendor("alice"));
    world.call(alice, to(&["bob", "carol"])).unwrap();
    world.events(alice);
    (alice, bob)
}

/// What it finds on its return: everything or nothing, and what it is told of that.
fn comes_back_to(world: &mut World, login: Login) -> Vec<String> {
    let alice = world.login_with(login);
    let states = states(world, alice);
    let subscribed = subscribed(world, alice);
    assert_eq!(states.into_keys().collect::<Vec<_>>(), subscribed, "it is told of all of them, and of no others");
    subscribed
}

#[test]
fn they_are_there_after_a_restart_of_the_server_and_all_states_are_told() {
    let mut world = World::new();
    alice_watches(&mut world);
    let mut world = world.restart(config());
    let carol = world.login("carol");
    let alice = world.login_vendor("alice");
    assert_eq!(
        states(&mut world, alice),
        told(&[("bob", PeerOnlineState::Offline), ("carol", PeerOnlineState::Online)])
    );
    assert_eq!(subscribed(&mut world, alice), ["bob", "carol"]);
    world.logout(carol);
    world.advance(secs(1));
    assert_eq!(states(&mut world, alice), told(&[("carol", PeerOnlineState::Offline)]));
}

#[test]
fn they_are_there_after_a_day_away_and_no_longer() {
    let mut world = World::new();
    let (alice, bob) = alice_watches(&mut world);
    for (away, expected) in [(secs(130), true), (23 * HOUR, true), (25 * HOUR, false)] {
        let object = world.login_again(alice, vendor_login_of("alice"));
        world.cut(object);
        world.silence(bob);
        world.advance(away);
        assert_eq!(world.store.stats().subscribers, u64::from(expected));
        let expected: &[&str] = if expected { &["bob", "carol"] } else { &[] };
        assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), expected, "{away:?}");
    }
}

#[test]
fn a_server_that_was_down_for_a_day_and_more_has_forgotten_them() {
    for (down, is_kept) in [(23 * HOUR, true), (26 * HOUR, false)] {
        let mut world = World::new();
        alice_watches(&mut world);
        world.stand_still(down);
        let mut world = world.restart(config());
        assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")).is_empty(), !is_kept, "{down:?}");
        world.advance(2 * HOUR);
        assert_eq!(world.store.stats().subscribers, u64::from(is_kept));
    }
}

/// The SDK fetches its stored messages after a login of its application, and not when it comes back by itself.
fn application_logs_in(world: &mut World) {
    let caller =
        Caller { app_id: AppId::new(APP_ID).unwrap(), user_id: uid("alice"), session: "gateway-of-alice".into() };
    world.core.ask(world.now, GatewayRequest::OfflineMessages { caller, page: None });
    world.pump();
}

#[test]
fn a_login_after_a_logout_that_was_not_heard_ends_those_that_it_does_not_ask_for_again() {
    let mut world = World::new();
    let (alice, bob) = alice_watches(&mut world);
    world.cut(alice);
    let again = world.login_vendor("alice");
    // The application may be quicker than the fetch.
    world.call(again, to(&["carol", "dave"])).unwrap();
    application_logs_in(&mut world);
    assert_eq!(subscribed(&mut world, again), ["carol", "dave"]);
    world.events(again);
    world.logout(bob);
    world.advance(secs(1));
    assert_eq!(states(&mut world, again), told(&[]));
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["carol", "dave"]);
    application_logs_in(&mut world);
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), [""; 0]);
}

#[test]
fn a_login_after_a_logout_that_was_not_heard_ends_them_however_many_calls_wait_for_the_store() {
    let mut world = World::new();
    let (alice, _bob) = alice_watches(&mut world);
    world.cut(alice);
    let again = world.login_vendor("alice");
    world.hold_store();
    let calls: Vec<_> = (0..100).map(|_| world.request(again, to(&["dave"]))).collect();
    application_logs_in(&mut world);
    world.release_store();
    assert!(calls.iter().any(|call| world.reply(again, *call).unwrap().is_err()), "not all of them had room");
    assert_eq!(subscribed(&mut world, again), ["dave"]);
}

#[test]
fn what_the_application_asked_for_before_the_fetch_stays_also_while_the_store_is_behind() {
    let mut world = World::new();
    let (alice, _bob) = alice_watches(&mut world);
    world.cut(alice);
    let again = world.login_vendor("alice");
    world.hold_store();
    let calls = [world.request(again, to(&["dave"])), world.request(again, to(&["carol"]))];
    application_logs_in(&mut world);
    world.release_store();
    assert!(calls.iter().all(|call| world.reply(again, *call).unwrap().is_ok()));
    assert_eq!(subscribed(&mut world, again), ["carol", "dave"]);
    // Who comes back meanwhile by itself has what there was.
    world.cut(again);
    let again = world.login_vendor("alice");
    assert_eq!(subscribed(&mut world, again), ["carol", "dave"]);
}

#[test]
fn a_clock_that_was_set_back_forgets_nothing() {
    let mut world = World::new();
    alice_watches(&mut world);
    world.now.unix_ms -= 1_000_000_000_000;
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["bob", "carol"]);
}

#[test]
fn a_client_that_is_there_for_days_keeps_them_from_its_last_sign_on() {
    let mut world = World::new();
    alice_watches(&mut world);
    world.advance(30 * HOUR);
    let mut world = world.restart(config());
    world.stand_still(23 * HOUR);
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["bob", "carol"]);
}

#[test]
fn another_object_a_logout_and_a_kick_end_them() {
    let ends: [fn(&mut World, C); 4] = [
        |world, alice| world.logout(alice),
        |world, _| {
            world.login_with(other_object("alice", 2));
        },
        |world, _| {
            world.kick("alice");
        },
        |world, alice| {
            world.cut(alice);
            world.advance(secs(130));
            world.kick("alice");
        },
    ];
    for end in ends {
        let mut world = World::new();
        let (alice, _) = alice_watches(&mut world);
        assert_eq!(world.store.stats().subscribers, 1);
        end(&mut world, alice);
        world.pump();
        assert_eq!(world.store.stats().subscribers, 0);
        assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), [""; 0]);
    }
}

#[test]
fn another_object_finds_nothing_and_leaves_what_it_does_not_replace() {
    let mut world = World::new();
    let (alice, _) = alice_watches(&mut world);
    world.cut(alice);
    world.advance(secs(130));
    assert_eq!(comes_back_to(&mut world, other_object("alice", 2)), [""; 0]);
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["bob", "carol"]);
}

#[test]
fn a_client_that_subscribes_again_by_itself_needs_no_store() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, to(&["bob"])).unwrap();
    assert_eq!(world.store.stats().subscribers, 0);
    world.store.is_broken = true;
    world.call(alice, to(&["carol"])).unwrap();
    assert_eq!(subscribed(&mut world, alice), ["bob", "carol"]);
}

#[test]
fn a_call_is_answered_when_the_store_has_it_and_calls_are_done_in_their_order() {
    let mut world = World::new();
    let alice = world.login_vendor("alice");
    world.hold_store();
    let calls = [
        world.request(alice, to(&["bob"])),
        world.request(alice, no_more_to(&["bob"])),
        world.request(alice, to(&["carol"])),
    ];
    world.advance(secs(2));
    assert!(calls.iter().all(|call| world.reply(alice, *call).is_none()));
    assert_eq!(subscribed(&mut world, alice), [""; 0]);
    world.release_store();
    assert!(calls.iter().all(|call| world.reply(alice, *call).unwrap().is_ok()));
    assert_eq!(subscribed(&mut world, alice), ["carol"]);
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["carol"]);
}

#[test]
fn what_the_store_refuses_changes_nothing() {
    let mut world = World::new();
    let (alice, _) = alice_watches(&mut world);
    world.store.is_broken = true;
    for result in [world.call(alice, to(&["dave"])), world.call(alice, no_more_to(&["bob"]))] {
        assert_eq!(result.unwrap_err().kind, ErrorKind::Failure);
    }
    // All of these are kept already.
    world.call(alice, to(&["bob"])).unwrap();
    assert_eq!(states(&mut world, alice), told(&[("bob", PeerOnlineState::Online)]));
    assert_eq!(subscribed(&mut world, alice), ["bob", "carol"]);
    world.store.is_broken = false;
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["bob", "carol"]);
}

#[test]
fn what_the_store_did_after_all_is_undone() {
    let mut world = World::new();
    let (alice, _) = alice_watches(&mut world);
    world.store.seems_to_fail = 1;
    world.call(alice, no_more_to(&["bob"])).unwrap_err();
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["bob", "carol"]);

    let mut world = World::new();
    let dave = world.login_vendor("dave");
    world.store.seems_to_fail = 1;
    world.call(dave, to(&["bob"])).unwrap_err();
    assert_eq!(world.store.stats().subscribers, 1);
    world.advance(2 * HOUR);
    assert_eq!(world.store.stats().subscribers, 0);
}

#[test]
fn the_limit_counts_what_is_on_its_way() {
    let mut world = World::new();
    let alice = world.login_vendor("alice");
    let peers: Vec<_> = (0..513).map(|number| format!("peer-{number:03}")).collect();
    let peers: Vec<_> = peers.iter().map(String::as_str).collect();
    assert_eq!(world.call(alice, to(&peers)).unwrap_err().kind, ErrorKind::ExceedLimit);
    world.hold_store();
    let calls = [
        world.request(alice, to(&peers[..512])),
        world.request(alice, to(&peers[512..])),
        world.request(alice, no_more_to(&peers[..1])),
        world.request(alice, to(&peers[512..])),
    ];
    world.release_store();
    let results = calls.map(|call| world.reply(alice, call).unwrap().map_err(|refusal| refusal.kind).err());
    assert_eq!(results, [None, Some(ErrorKind::ExceedLimit), None, None]);
    assert_eq!(subscribed(&mut world, alice), peers[1..]);
}

#[test]
fn when_the_last_one_goes_nothing_is_kept() {
    let mut world = World::new();
    let (alice, _) = alice_watches(&mut world);
    world.call(alice, no_more_to(&["bob", "nobody"])).unwrap();
    assert_eq!(world.store.stats().subscribers, 1);
    world.call(alice, no_more_to(&["carol"])).unwrap();
    assert_eq!(world.store.stats().subscribers, 0);
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), [""; 0]);
}

#[test]
fn a_logout_while_the_store_is_at_work_leaves_nothing() {
    let mut world = World::new();
    let alice = world.login_vendor("alice");
    world.hold_store();
    world.request(alice, to(&["bob"]));
    world.request(alice, to(&["carol"]));
    world.logout(alice);
    let again = world.login_vendor("alice");
    let call = world.request(again, to(&["dave"]));
    world.release_store();
    assert!(world.reply(again, call).unwrap().is_ok());
    assert_eq!(subscribed(&mut world, again), ["dave"]);
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["dave"]);
}

#[test]
fn what_the_store_fails_to_forget_is_not_come_back_to_and_goes_later() {
    let mut world = World::new();
    let (alice, _) = alice_watches(&mut world);
    world.store.fails = Some(|work| matches!(work, StoreWork::Delete { .. }));
    world.logout(alice);
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), [""; 0]);
    assert_eq!(world.store.stats().subscribers, 1);
    world.store.fails = None;
    world.advance(2 * HOUR);
    assert_eq!(world.store.stats().subscribers, 0);
}

#[test]
fn the_eight_objects_of_a_user_that_were_there_last_keep_theirs() {
    let mut world = World::new();
    for number in 0..9 {
        let alice = world.login_with(other_object("alice", number));
        world.call(alice, to(&["bob"])).unwrap();
        world.cut(alice);
        world.advance(secs(130));
    }
    assert_eq!(world.store.stats().subscribers, 8);
    for number in 0..9 {
        let expected: &[&str] = if number > 0 { &["bob"] } else { &[] };
        let alice = world.login_with(other_object("alice", number));
        assert_eq!(subscribed(&mut world, alice), expected, "object {number}");
        world.cut(alice);
        world.advance(secs(130));
    }
}

#[test]
fn who_is_there_comes_before_who_is_away_when_the_project_keeps_as_much_as_it_may() {
    let mut config = config();
    config.settings.subscriptions_bytes = 1_000;
    let mut world = World::with(config);
    for user in ["a", "b", "c", "d"] {
        let client = world.login_vendor(user);
        world.call(client, to(&["peer"])).unwrap();
        if matches!(user, "b" | "c") {
            world.cut(client);
            world.advance(secs(130));
        }
    }
    let [e, f, g] = ["e", "f", "g"].map(|user| world.login_vendor(user));
    world.call(e, to(&["peer"])).unwrap();
    assert_eq!(comes_back_to(&mut world, vendor_login_of("b")), [""; 0], "it has been away for the longest time");
    assert_eq!(comes_back_to(&mut world, vendor_login_of("c")), ["peer"]);
    let refused = world.call(f, to(&["peer"])).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Failure);
    assert_eq!(subscribed(&mut world, f), [""; 0]);
    world.logout(e);
    world.call(g, to(&["peer"])).unwrap();
}

#[test]
fn they_move_with_their_session() {
    let mut world = World::new();
    let (alice, _) = alice_watches(&mut world);
    world.hold_store();
    world.request(alice, no_more_to(&["carol"]));
    assert_eq!(world.core.pack_session(world.now, &uid("alice")), Err(NotPackable::StoreAtWork));
    world.release_store();
    let pack = world.core.pack_session(world.now, &uid("alice")).unwrap();
    world.pump();
    world.core = Core::new(config(), [9; 32], world.now);
    world.core.unpack_session(world.now, &pack).unwrap();
    world.advance(secs(130));
    assert_eq!(world.core.stats().sessions, 0);
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["bob"]);
    world.advance(2 * HOUR);
    let mut world = world.restart(config());
    assert_eq!(comes_back_to(&mut world, vendor_login_of("alice")), ["bob"]);
}

#[test]
fn what_the_store_did_after_all_is_undone_where_the_session_went() {
    let mut world = World::new();
    let dave = world.login_vendor("dave");
    world.store.seems_to_fail = 1;
    world.call(dave, to(&["bob"])).unwrap_err();
    assert_eq!(world.store.stats().subscribers, 1);
    let pack = world.core.pack_session(world.now, &uid("dave")).unwrap();
    world.pump();
    world.core = Core::new(config(), [9; 32], world.now);
    world.core.unpack_session(world.now, &pack).unwrap();
    world.advance(2 * HOUR);
    assert_eq!(world.store.stats().subscribers, 0);
}

#[test]
fn a_client_that_holds_too_much_finds_them_in_its_next_session() {
    let mut config = config();
    config.settings.session_bytes = 20_000;
    let mut world = World::with(config);
    let (alice, bob) = alice_watches(&mut world);
    world.cut(alice);
    for id in 0..400 {
        world.request(bob, to_peer(id, "alice", "more than a session may hold"));
    }
    let again = world.login_again(alice, vendor_login_of("alice"));
    assert_eq!(subscribed(&mut world, again), ["bob", "carol"]);
}
