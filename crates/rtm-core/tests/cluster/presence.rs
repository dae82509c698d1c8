//! Who is online, over nodes.

use std::collections::BTreeMap;

use rtm_codec::{
    Answer, Event, Login,
    PeerOnlineState::{self, Offline, Online, Unreachable},
    QueryPeersOnlineStatus, SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus,
};
use rtm_core::cluster::{NodeId, partition};

use crate::harness::*;

fn subscribe(peers: &[&str]) -> SubscribePeersOnlineStatus {
    SubscribePeersOnlineStatus { peer_ids: peers.iter().map(|peer| uid(peer)).collect() }
}

fn query(peers: &[&str]) -> QueryPeersOnlineStatus {
    QueryPeersOnlineStatus { peer_ids: peers.iter().map(|peer| uid(peer)).collect() }
}

fn told(world: &mut World, client: C) -> Vec<(String, PeerOnlineState)> {
    let states = |event| match event {
        Event::PeersOnlineStatusChanged { peers } => peers,
        _ => Vec::new(),
    };
    let all = world.events(client).into_iter().flat_map(states);
    all.map(|(id, state)| (id.as_str().to_owned(), state)).collect()
}

fn one(user: &str, state: PeerOnlineState) -> Vec<(String, PeerOnlineState)> {
    vec![(user.to_owned(), state)]
}

fn states(world: &World, client: C, id: rtm_codec::RequestId) -> Option<Vec<PeerOnlineState>> {
    match world.reply(client, id)? {
        Ok(Answer::QueryPeersOnlineStatus(states)) => Some(states.iter().map(|(_, state)| *state).collect()),
        other => panic!("{other:?}"),
    }
}

fn home(world: &World, user: &str) -> NodeId {
    world.view().home(partition(APP_ID, user)).unwrap().id.clone()
}

/// A user whose home is this node.
fn user_of(world: &World, number: usize) -> String {
    (0..10_000).map(|at| format!("user-{at}")).find(|user| home(world, user) == node(number)).unwrap()
}

#[test]
fn a_subscriber_is_told_of_a_user_on_another_node() {
    for homes in 0..3 {
        let mut world = World::new(3);
        let bob = user_of(&world, homes);
        let alice = world.login(0, "alice");
        let sent = world.request(alice, subscribe(&[&bob]));
        assert!(world.reply(alice, sent).unwrap().is_ok());
        assert_eq!(told(&mut world, alice), one(&bob, Offline));
        let client = world.login(1, &bob);
        world.advance(millis(100));
        assert_eq!(told(&mut world, alice), one(&bob, Online));
        world.silence(client);
        world.advance(secs(7));
        assert_eq!(told(&mut world, alice), one(&bob, Unreachable));
        world.advance(secs(30));
        assert_eq!(told(&mut world, alice), one(&bob, Offline));
        let client = world.login(1, &bob);
        world.advance(millis(100));
        assert_eq!(told(&mut world, alice), one(&bob, Online));
        world.logout(client);
        world.advance(millis(100));
        assert_eq!(told(&mut world, alice), one(&bob, Offline));
    }
}

#[test]
fn the_first_states_follow_the_answer_in_one_event() {
    let mut world = World::new(3);
    let users: Vec<_> = (0..3).map(|number| user_of(&world, number)).collect();
    let names: Vec<_> = users.iter().map(String::as_str).collect();
    world.login(2, names[1]);
    let alice = world.login(0, "alice");
    world.request(alice, subscribe(&names));
    let events = world.events(alice);
    assert_eq!(events.len(), 1);
    let Event::PeersOnlineStatusChanged { peers } = &events[0] else { panic!("{events:?}") };
    let states: BTreeMap<_, _> = peers.iter().map(|(id, state)| (id.as_str(), *state)).collect();
    assert_eq!(states, BTreeMap::from([(names[0], Offline), (names[1], Online), (names[2], Offline)]));
}

#[test]
fn a_home_that_does_not_answer_delays_only_what_it_knows() {
    let mut world = World::new(3);
    let (near, far) = (user_of(&world, 0), user_of(&world, 1));
    let alice = world.login(0, "alice");
    world.stall(1, 0);
    let sent = world.request(alice, subscribe(&[&near, &far]));
    world.advance(millis(1_500));
    assert_eq!(world.reply(alice, sent), None);
    world.advance(secs(1));
    assert!(world.reply(alice, sent).unwrap().is_ok());
    assert_eq!(told(&mut world, alice), one(&near, Offline));
    world.unstall();
    world.advance(millis(200));
    assert_eq!(told(&mut world, alice), one(&far, Offline));
}

#[test]
fn a_user_of_whom_nothing_was_known_is_told_of_also_where_others_were_subscribed_to_meanwhile() {
    let mut world = World::new(3);
    let names = (0..10_000).map(|at| format!("user-{at}")).filter(|user| home(&world, user) == node(1));
    let users: Vec<_> = names.take(2).collect();
    let alice = world.login(0, "alice");
    world.stall(1, 0);
    for user in &users {
        let sent = world.request(alice, subscribe(&[user]));
        world.advance(millis(2_500));
        assert!(world.reply(alice, sent).unwrap().is_ok());
    }
    assert_eq!(told(&mut world, alice), []);
    world.unstall();
    world.advance(secs(3));
    let mut states = told(&mut world, alice);
    states.sort_by(|one, other| one.0.cmp(&other.0));
    let mut all: Vec<_> = users.into_iter().map(|user| (user, Offline)).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(states, all);
}

#[test]
fn a_user_that_comes_and_goes_while_a_subscription_waits_is_told_of() {
    let mut world = World::new(4);
    let names = (0..10_000).map(|at| format!("user-{at}")).filter(|user| home(&world, user) == node(1));
    let users: Vec<_> = names.take(2).collect();
    world.login(3, &users[0]);
    world.kill(3);
    world.advance(secs(32));
    let alice = world.login(0, "alice");
    world.stall(1, 0);
    // The first one is offline by its entry, and of the other one nothing is known.
    let sent = world.request(alice, subscribe(&[&users[0], &users[1]]));
    let client = world.login(2, &users[0]);
    world.advance(millis(2_500));
    assert!(world.reply(alice, sent).unwrap().is_ok());
    assert_eq!(told(&mut world, alice), []);
    world.logout(client);
    world.unstall();
    world.advance(secs(1));
    let mut states = told(&mut world, alice);
    states.sort_by(|one, other| one.0.cmp(&other.0));
    let mut all: Vec<_> = users.into_iter().map(|user| (user, Offline)).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(states, all);
}

#[test]
fn users_of_a_node_that_drained_are_elsewhere_though_nothing_was_heard_of_it() {
    let mut world = World::new(3);
    let user = user_of(&world, 2);
    let (watcher, client) = (world.login(2, "watcher"), world.login(0, &user));
    world.request(watcher, subscribe(&[&user]));
    assert_eq!(told(&mut world, watcher), one(&user, Online));
    world.drain(0);
    world.advance(millis(200));
    assert!(!world.is_open(client));
    world.blind(2);
    world.stall(1, 2);
    world.resume(1, client);
    world.advance(secs(1));
    assert!(world.cores[0].remaining().is_nothing());
    world.leave_view(0);
    world.advance(secs(8));
    assert_eq!(told(&mut world, watcher), []);
    world.see(2);
    world.unstall();
    world.advance(secs(40));
    assert_eq!(told(&mut world, watcher), []);
}

#[test]
fn users_of_a_node_that_was_killed_while_it_drained_are_offline_in_the_end() {
    let mut world = World::new(3);
    let user = user_of(&world, 2);
    let watcher = world.login(2, "watcher");
    world.login(0, &user);
    world.request(watcher, subscribe(&[&user]));
    assert_eq!(told(&mut world, watcher), one(&user, Online));
    world.drain(0);
    world.leave_view(0);
    world.advance(secs(29));
    assert_eq!(told(&mut world, watcher), []);
    world.advance(secs(2));
    assert_eq!(told(&mut world, watcher), one(&user, Offline));
}

#[test]
fn a_query_asks_the_homes_of_users_that_are_not_here() {
    let mut world = World::new(3);
    let users: Vec<_> = (0..3).map(|number| user_of(&world, number)).collect();
    world.login(1, &users[0]);
    let second = world.login(2, &users[1]);
    world.silence(second);
    world.advance(secs(7));
    let alice = world.login(0, "alice");
    let asked = world.request(alice, query(&[&users[0], &users[1], &users[2], "alice"]));
    assert_eq!(states(&world, alice, asked), Some(vec![Online, Unreachable, Offline, Online]));
}

#[test]
fn a_user_that_is_silent_for_long_is_offline_for_whoever_asks_though_it_may_come_back() {
    for homes in 0..3 {
        let mut world = World::new(3);
        let bob = user_of(&world, homes);
        let client = world.login(1, &bob);
        world.silence(client);
        world.advance(secs(40));
        let alice = world.login(0, "alice");
        let asked = world.request(alice, query(&[&bob]));
        assert_eq!(states(&world, alice, asked), Some(vec![Offline]), "home {homes}");
        world.request(alice, subscribe(&[&bob]));
        assert_eq!(told(&mut world, alice), one(&bob, Offline), "home {homes}");
        world.resume(1, client);
        world.advance(secs(1));
        assert_eq!(told(&mut world, alice), one(&bob, Online), "home {homes}");
    }
}

#[test]
fn what_a_home_says_of_a_user_here_is_not_believed_when_the_node_has_said_more_since() {
    let mut world = World::new(3);
    let bob = user_of(&world, 2);
    let (alice, client) = (world.login(1, "alice"), world.login(1, &bob));
    world.stall(2, 1);
    world.request(alice, subscribe(&[&bob]));
    world.silence(client);
    world.advance(secs(40));
    world.unstall();
    world.advance(secs(1));
    let mut states_told = told(&mut world, alice);
    // The subscriber goes on where nothing was said of the user yet.
    world.cut(alice);
    let alice = world.resume(0, alice);
    world.advance(secs(1));
    states_told.extend(told(&mut world, alice));
    assert_eq!(states_told.last(), one(&bob, Offline).last(), "{states_told:?}");
    let asked = world.request(alice, query(&[&bob]));
    assert_eq!(states(&world, alice, asked), Some(vec![Offline]));
}

#[test]
fn a_query_is_asked_again_where_the_home_leaves_and_ends_where_nobody_answers() {
    let mut world = World::new(3);
    let user = user_of(&world, 1);
    world.login(2, &user);
    let alice = world.login(0, "alice");
    world.stall(1, 0);
    let asked = world.request(alice, query(&[&user]));
    assert_eq!(world.reply(alice, asked), None);
    world.kill(1);
    assert_eq!(states(&world, alice, asked), Some(vec![Online]));
    let other = user_of(&world, 2);
    world.stall(2, 0);
    let asked = world.request(alice, query(&[&other]));
    world.advance(secs(5));
    assert_eq!(world.reply(alice, asked).unwrap().as_ref().unwrap_err().kind, rtm_codec::ErrorKind::Timeout);
}

#[test]
fn a_session_that_moves_changes_nothing_for_those_who_watch_it() {
    let mut world = World::new(4);
    for homes in 0..4 {
        let bob = user_of(&world, homes);
        let watchers: Vec<_> = (0..4).map(|number| world.login(number, &format!("watcher-{homes}-{number}"))).collect();
        let mut client = world.login(0, &bob);
        for watcher in &watchers {
            world.request(*watcher, subscribe(&[&bob]));
            assert_eq!(told(&mut world, *watcher), one(&bob, Online));
        }
        for number in [1, 2, 3, 0] {
            world.cut(client);
            client = world.resume(number, client);
            world.advance(secs(1));
        }
        for watcher in &watchers {
            assert_eq!(told(&mut world, *watcher), []);
        }
        world.logout(client);
        world.advance(secs(1));
        for watcher in &watchers {
            assert_eq!(told(&mut world, *watcher), one(&bob, Offline));
            world.logout(*watcher);
        }
    }
}

#[test]
fn a_subscriber_that_moves_is_told_only_what_changed_meanwhile() {
    let mut world = World::new(3);
    let (alice, bob, _) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    world.request(alice, subscribe(&["bob", "carol", "dave"]));
    assert_eq!(told(&mut world, alice).len(), 3);
    world.cut(alice);
    world.logout(bob);
    let alice = world.resume(2, alice);
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), one("bob", Offline));
    world.login(0, "bob");
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), one("bob", Online));
}

#[test]
fn a_user_that_another_client_takes_over_stays_online() {
    let mut world = World::new(3);
    let (alice, _) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, subscribe(&["bob"]));
    assert_eq!(told(&mut world, alice), one("bob", Online));
    for number in [2, 1, 1, 0] {
        let login = Login { instance: rtm_codec::InstanceId::new(format!("at-{number}")).unwrap(), ..login_of("bob") };
        world.login_with(number, login);
        world.advance(secs(1));
    }
    assert!(told(&mut world, alice).iter().all(|(_, state)| *state == Online));
}

#[test]
fn who_watches_nobody_any_more_is_told_of_nobody() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.request(alice, subscribe(&["bob"]));
    told(&mut world, alice);
    world.request(alice, UnsubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] });
    let before = world.parcels;
    world.login(1, "bob");
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), []);
    assert!(world.parcels - before <= 1, "its home is told, and nobody else");
}

/// Schedule 18: presence of a dead node whose homes died with it. Watchers stayed at ONLINE.
#[test]
fn users_of_a_killed_node_are_unreachable_and_then_offline_also_where_their_home_died_with_it() {
    for homes in 0..3 {
        let mut world = World::new(3);
        let bob = user_of(&world, homes);
        let alice = world.login(0, "alice");
        world.login(1, &bob);
        world.request(alice, subscribe(&[&bob]));
        assert_eq!(told(&mut world, alice), one(&bob, Online));
        world.kill(1);
        world.advance(secs(1));
        assert_eq!(told(&mut world, alice), one(&bob, Unreachable));
        world.advance(secs(28));
        assert_eq!(told(&mut world, alice), []);
        let carol = world.login(2, "carol");
        world.request(carol, subscribe(&[&bob]));
        assert_eq!(told(&mut world, carol), one(&bob, Unreachable));
        let asked = world.request(carol, query(&[&bob]));
        assert_eq!(states(&world, carol, asked), Some(vec![Unreachable]));
        world.advance(secs(2));
        assert_eq!(told(&mut world, alice), one(&bob, Offline));
        assert_eq!(told(&mut world, carol), one(&bob, Offline));
        world.login(2, &bob);
        world.advance(secs(1));
        assert_eq!(told(&mut world, alice), one(&bob, Online));
    }
}

#[test]
fn a_user_of_a_killed_node_that_is_back_in_time_was_never_offline() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, subscribe(&["bob"]));
    told(&mut world, alice);
    world.kill(1);
    world.advance(secs(5));
    world.resume(2, bob);
    world.advance(secs(60));
    assert_eq!(told(&mut world, alice), [one("bob", Unreachable), one("bob", Online)].concat());
}

/// Schedule 5: two nodes say where a user is. The later session wins, whatever comes when.
#[test]
fn what_a_node_said_of_an_earlier_session_is_not_believed_when_it_comes_late() {
    let mut world = World::new(4);
    let bob = user_of(&world, 3);
    let alice = world.login(0, "alice");
    world.request(alice, subscribe(&[&bob]));
    told(&mut world, alice);
    world.stall(1, 3);
    let first = world.login(1, &bob);
    world.cut(first);
    let second = world.resume(2, first);
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), one(&bob, Online));
    world.logout(second);
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), one(&bob, Offline));
    world.unstall();
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), []);
    let asked = world.request(alice, query(&[&bob]));
    assert_eq!(states(&world, alice, asked), Some(vec![Offline]));
}

#[test]
fn a_session_that_stands_still_for_a_node_that_dies_is_where_it_was() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, subscribe(&["bob"]));
    told(&mut world, alice);
    world.cut(bob);
    world.stall(1, 2);
    world.start_resume(2, bob);
    world.pump();
    world.kill(2);
    world.advance(secs(1));
    world.resume(1, bob);
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), []);
}

#[test]
fn a_home_that_comes_is_told_everything_in_pages() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    let users: Vec<_> = (0..600).map(|number| format!("user-{number}")).collect();
    let clients: Vec<_> = users.iter().map(|user| world.login(1, user)).collect();
    for some in users.chunks(400) {
        let some: Vec<_> = some.iter().map(String::as_str).collect();
        let watcher = world.login(0, &format!("watcher-of-{}", some[0]));
        world.request(watcher, subscribe(&some));
        assert_eq!(told(&mut world, watcher).len(), some.len());
    }
    world.request(alice, subscribe(&["user-1"]));
    assert_eq!(told(&mut world, alice), one("user-1", Online));
    world.join();
    world.settle_homes();
    assert!(world.view().partitions_of(&node(2)).count() > 256);
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), []);
    let asked: Vec<_> = users[..250].iter().map(String::as_str).collect();
    let asked = world.request(alice, query(&asked));
    assert!(states(&world, alice, asked).unwrap().iter().all(|state| *state == Online));
    world.logout(clients[1]);
    world.advance(secs(1));
    assert_eq!(told(&mut world, alice), one("user-1", Offline));
    world.kill(0);
    let carol = world.login(2, "carol");
    let asked: Vec<_> = users[..250].iter().map(String::as_str).collect();
    let asked = world.request(carol, query(&asked));
    world.advance(secs(2));
    let all = states(&world, carol, asked).unwrap();
    assert_eq!(all.iter().filter(|state| **state == Online).count(), 249);
}
