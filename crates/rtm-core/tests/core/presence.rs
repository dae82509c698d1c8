//! Online states: queries, subscriptions, and what subscribers are told.

use rtm_codec::{
    ErrorKind, Event, KeepAlive, Login, PeerOnlineState, QueryPeersBySubscriptionOption, QueryPeersOnlineStatus,
    SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus, UserId,
};

use crate::harness::*;

use PeerOnlineState::{Offline, Online, Unreachable};

fn subscribe(users: &[&str]) -> SubscribePeersOnlineStatus {
    SubscribePeersOnlineStatus { peer_ids: users.iter().map(|user| uid(user)).collect() }
}

fn unsubscribe(users: &[&str]) -> UnsubscribePeersOnlineStatus {
    UnsubscribePeersOnlineStatus { peer_ids: users.iter().map(|user| uid(user)).collect() }
}

fn many(prefix: &str, count: usize) -> Vec<UserId> {
    (0..count).map(|n| uid(&format!("{prefix}{n}"))).collect()
}

fn changes(events: &[Event]) -> Vec<(String, PeerOnlineState)> {
    events
        .iter()
        .flat_map(|event| match event {
            Event::PeersOnlineStatusChanged { peers } => peers.clone(),
            other => panic!("{other:?}"),
        })
        .map(|(id, state)| (id.to_string(), state))
        .collect()
}

#[test]
fn a_query_tells_who_is_online() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.login("bob");
    let query = QueryPeersOnlineStatus { peer_ids: vec![uid("bob"), uid("nobody"), uid("alice")] };
    let expected = [(uid("bob"), Online), (uid("nobody"), Offline), (uid("alice"), Online)];
    assert_eq!(world.call(alice, query).unwrap(), expected);
}

#[test]
fn a_query_takes_256_users_and_not_257() {
    let mut world = World::new();
    let alice = world.login("alice");
    assert_eq!(world.call(alice, QueryPeersOnlineStatus { peer_ids: many("u", 256) }).unwrap().len(), 256);
    let refusal = world.call(alice, QueryPeersOnlineStatus { peer_ids: many("u", 257) }).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
}

#[test]
fn a_query_for_nobody_is_answered_with_nobody() {
    let mut world = World::new();
    let alice = world.login_vendor("alice");
    assert_eq!(world.call(alice, QueryPeersOnlineStatus { peer_ids: Vec::new() }).unwrap(), []);
}

#[test]
fn subscribing_is_answered_and_then_tells_the_state_of_all() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.login("bob");
    world.call(alice, subscribe(&["bob", "later"])).unwrap();
    assert_eq!(world.log(alice)[1..], ["Reply 1", "PeersOnlineStatusChanged"]);
    let events = world.events(alice);
    assert_eq!(changes(&events), [("bob".to_owned(), Online), ("later".to_owned(), Offline)]);
}

#[test]
fn subscribing_to_more_users_tells_the_states_of_those() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.login("bob");
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.call(alice, subscribe(&["nobody", "alice"])).unwrap();
    let told = changes(&world.events(alice));
    assert_eq!(told, [("alice".to_owned(), Online), ("nobody".to_owned(), Offline)]);
}

#[test]
fn a_change_is_told_at_once_and_the_next_100_ms_later() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    let bob = world.login("bob");
    world.advance(millis(0));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Online)]);
    world.logout(bob);
    world.advance(millis(99));
    assert_eq!(world.events(alice), []);
    world.advance(millis(1));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Offline)]);
}

#[test]
fn changes_within_100_ms_come_together_and_only_as_they_end() {
    let mut world = World::new();
    let alice = world.login("alice");
    let carol = world.login("carol");
    world.call(alice, subscribe(&["bob", "carol", "dave", "erin"])).unwrap();
    world.login("erin");
    world.advance(millis(1));
    world.events(alice);
    let bob = world.login("bob");
    world.logout(carol);
    world.login("dave");
    world.logout(bob);
    world.advance(secs(1));
    let events = world.events(alice);
    assert_eq!(events.len(), 1);
    assert_eq!(changes(&events), [("carol".to_owned(), Offline), ("dave".to_owned(), Online)]);
}

#[test]
fn a_silent_user_is_unreachable_after_6_s_and_offline_after_30_s() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.silence(bob);
    world.advance(millis(5_999));
    assert_eq!(world.events(alice), []);
    world.advance(millis(101));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Unreachable)]);
    world.advance(millis(23_899));
    assert_eq!(world.events(alice), []);
    world.advance(millis(101));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Offline)]);
}

#[test]
fn bytes_that_are_no_whole_frame_yet_are_a_sign_of_life() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.silence(bob);
    for _ in 0..20 {
        world.advance(millis(5_999));
        world.bytes(bob);
    }
    assert_eq!(world.events(alice), []);
    world.advance(secs(6));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Unreachable)]);
    world.bytes(bob);
    world.advance(secs(1));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Online)]);
}

#[test]
fn an_unreachable_user_that_is_heard_again_is_online() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.silence(bob);
    world.advance(secs(10));
    let query = QueryPeersOnlineStatus { peer_ids: vec![uid("bob")] };
    assert_eq!(world.call(alice, query).unwrap(), [(uid("bob"), Unreachable)]);
    world.frame(bob, rtm_codec::ClientFrame::Ping);
    world.advance(millis(100));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Unreachable), ("bob".to_owned(), Online)]);
}

#[test]
fn a_lost_socket_counts_from_its_loss() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.advance(secs(20));
    world.events(alice);
    world.cut(bob);
    world.advance(millis(5_900));
    assert_eq!(world.events(alice), []);
    world.advance(millis(200));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Unreachable)]);
    world.resume(bob);
    world.advance(millis(100));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Online)]);
}

#[test]
fn a_socket_that_is_lost_in_silence_begins_the_count_anew() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.silence(bob);
    world.advance(secs(5));
    world.cut(bob);
    world.advance(millis(5_999));
    assert_eq!(world.events(alice), []);
    world.advance(millis(1));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Unreachable)]);
}

#[test]
fn a_vendor_client_with_a_10_s_heartbeat_is_unreachable_after_15_s() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.silence(bob);
    world.advance(millis(14_999));
    assert_eq!(world.events(alice), []);
    world.advance(millis(1));
    assert_eq!(changes(&world.events(alice)), [("bob".to_owned(), Unreachable)]);
}

#[test]
fn what_is_written_to_a_vendor_client_is_no_sign_of_life() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.silence(bob);
    for second in 1..=30 {
        world.request(alice, to_peer(second, "bob", "are you there?"));
        world.advance(secs(1));
    }
    assert_eq!(world.events(bob).len(), 30);
    assert_eq!(world.closed(bob), Some(rtm_codec::CloseReason::KeepAliveTimeout));
}

#[test]
fn what_a_vendor_client_acknowledges_is_a_sign_of_life() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
    world.silence(bob);
    for second in 1..=60 {
        world.request(alice, to_peer(second, "bob", "are you there?"));
        world.ack(bob, second, second);
        world.advance(secs(1));
    }
    assert_eq!(world.closed(bob), None);
}

#[test]
fn a_client_that_is_to_be_pinged_is_pinged_every_interval() {
    let mut world = World::new();
    let keep_alive = KeepAlive::Server { interval_ms: 10_000 };
    let bob = world.login_with(Login { keep_alive, ..vendor_login_of("bob") });
    world.advance(millis(9_999));
    assert_eq!(world.pings(bob), 0);
    world.advance(millis(1));
    assert_eq!(world.pings(bob), 1);
    world.advance(secs(90));
    assert_eq!(world.pings(bob), 10);
    assert_eq!(world.closed(bob), None);
}

#[test]
fn pings_do_not_keep_a_client_online_that_does_not_answer_them() {
    let mut world = World::new();
    let keep_alive = KeepAlive::Server { interval_ms: 5_000 };
    let bob = world.login_with(Login { keep_alive, ..login_of("bob") });
    world.silence(bob);
    world.advance(secs(30));
    assert_eq!(world.closed(bob), Some(rtm_codec::CloseReason::KeepAliveTimeout));
}

#[test]
fn a_ping_is_answered() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.frame(alice, rtm_codec::ClientFrame::Ping);
    assert_eq!(world.pongs(alice), 1);
}

#[test]
fn after_unsubscribing_nothing_is_told() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, subscribe(&["bob", "carol"])).unwrap();
    world.events(alice);
    world.call(alice, unsubscribe(&["bob", "unknown"])).unwrap();
    world.login("bob");
    world.login("carol");
    world.advance(secs(1));
    assert_eq!(changes(&world.events(alice)), [("carol".to_owned(), Online)]);
    assert_eq!(world.call(alice, QueryPeersBySubscriptionOption {}).unwrap(), [uid("carol")]);
}

#[test]
fn a_change_from_before_unsubscribing_is_not_told_after_it() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.login("bob");
    world.call(alice, unsubscribe(&["bob"])).unwrap();
    world.advance(secs(1));
    assert_eq!(world.events(alice), []);
}

#[test]
fn subscribing_again_tells_the_state_again() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.call(alice, subscribe(&["bob", "bob"])).unwrap();
    let told = ("bob".to_owned(), Offline);
    assert_eq!(changes(&world.events(alice)), [told.clone(), told]);
    assert_eq!(world.call(alice, QueryPeersBySubscriptionOption {}).unwrap(), [uid("bob")]);
}

#[test]
fn all_subscribed_users_are_listed_online_or_not() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.login("bob");
    world.call(alice, subscribe(&["bob", "later"])).unwrap();
    let mut ids = world.call(alice, QueryPeersBySubscriptionOption {}).unwrap();
    ids.sort();
    assert_eq!(ids, [uid("bob"), uid("later")]);
}

#[test]
fn there_are_512_subscriptions_in_all_and_the_513th_refuses_the_whole_call() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: many("a", 500) }).unwrap();
    let too_many = SubscribePeersOnlineStatus { peer_ids: many("b", 13) };
    assert_eq!(world.call(alice, too_many).unwrap_err().kind, ErrorKind::ExceedLimit);
    assert_eq!(world.call(alice, QueryPeersBySubscriptionOption {}).unwrap().len(), 500);
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: many("b", 12) }).unwrap();
    // Those that it has do not count again.
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: many("a", 500) }).unwrap();
    world.call(alice, unsubscribe(&["a0"])).unwrap();
    world.call(alice, subscribe(&["c0"])).unwrap();
    assert_eq!(world.call(alice, subscribe(&["c1"])).unwrap_err().kind, ErrorKind::ExceedLimit);
}

#[test]
fn one_call_subscribes_to_512_users_and_not_to_none() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: many("a", 512) }).unwrap();
    assert_eq!(world.call(alice, subscribe(&[])).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.call(alice, unsubscribe(&[])).unwrap_err().kind, ErrorKind::InvalidArgument);
    let refusal = world.call(alice, UnsubscribePeersOnlineStatus { peer_ids: many("a", 513) }).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
    world.call(alice, UnsubscribePeersOnlineStatus { peer_ids: many("a", 512) }).unwrap();
}

#[test]
fn changes_during_an_absence_are_told_at_the_return() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.login("carol");
    world.call(alice, subscribe(&["bob", "carol", "dave"])).unwrap();
    world.events(alice);
    world.cut(alice);
    world.logout(bob);
    world.login("dave");
    world.advance(secs(3));
    let again = world.resume(alice);
    let events = world.events(again);
    assert_eq!(events.len(), 1);
    assert_eq!(changes(&events), [("bob".to_owned(), Offline), ("dave".to_owned(), Online)]);
    world.login("bob");
    world.advance(secs(1));
    assert_eq!(changes(&world.events(again)), [("bob".to_owned(), Online)]);
}

#[test]
fn a_change_that_was_about_to_be_told_is_told_at_the_return() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.login("bob");
    world.cut(alice);
    world.advance(secs(1));
    let again = world.resume(alice);
    assert_eq!(changes(&world.events(again)), [("bob".to_owned(), Online)]);
}

#[test]
fn a_returning_client_without_a_ticket_is_told_all_states() {
    let mut world = World::new();
    let alice = world.login_vendor("alice");
    world.login("bob");
    world.call(alice, subscribe(&["bob", "later"])).unwrap();
    world.events(alice);
    world.cut(alice);
    let again = world.login_vendor("alice");
    assert_eq!(changes(&world.events(again)), [("bob".to_owned(), Online), ("later".to_owned(), Offline)]);
}

#[test]
fn subscriptions_end_with_the_session() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.logout(alice);
    let alice = world.login("alice");
    assert!(world.call(alice, QueryPeersBySubscriptionOption {}).unwrap().is_empty());
    world.login("bob");
    world.advance(secs(1));
    assert_eq!(world.events(alice), []);
}

#[test]
fn one_can_subscribe_to_oneself() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, subscribe(&["alice"])).unwrap();
    assert_eq!(changes(&world.events(alice)), [("alice".to_owned(), Online)]);
    world.logout(alice);
    assert_eq!(world.core.stats().sessions, 0);
}
