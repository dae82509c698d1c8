//! Nodes that leave well: their clients come back elsewhere, and nobody notices.

use rtm_codec::{
    Answer, AttributeKey, CloseReason, Event, GetUserAttributes, PeerOnlineState, Resumption, SendOutcome,
    SetLocalUserAttributes, SubscribePeersOnlineStatus, Text, Wire,
};
use rtm_core::MoveResult;

use crate::harness::*;

/// Has clients that were sent away come back on this node after 200 ms. Gives the clients as they are then.
fn come_back(world: &mut World, clients: &mut [C], node: usize) {
    world.advance(millis(200));
    for client in clients {
        if !world.is_open(*client) {
            assert_eq!(world.closed(*client), Some(CloseReason::Draining));
            *client = world.resume(node, *client);
            assert_eq!(world.welcome(*client).map(|welcome| welcome.resumption), Some(Resumption::Resumed));
        }
    }
}

fn is_gap(event: &Event) -> bool {
    matches!(event, Event::Gap { .. } | Event::MemberLeft { .. } | Event::MemberJoined { .. })
}

fn is_offline(event: &Event) -> bool {
    let Event::PeersOnlineStatusChanged { peers } = event else { return false };
    peers.iter().any(|(_, state)| *state == PeerOnlineState::Offline)
}

#[test]
fn nobody_notices_that_a_node_is_drained() {
    let mut world = World::new(3);
    let mut clients: Vec<C> = (0..6).map(|at| world.login(at % 2, &format!("user-{at}"))).collect();
    let watcher = world.login(2, "watcher");
    let peer_ids = (0..6).map(|at| uid(&format!("user-{at}"))).collect();
    for client in clients.clone().into_iter().chain([watcher]) {
        world.join_channel(client, "room");
    }
    world.request(watcher, SubscribePeersOnlineStatus { peer_ids });
    let attributes = [(AttributeKey::new("colour").unwrap(), Text::from("blue"))].into();
    world.call(clients[0], SetLocalUserAttributes { attributes }).unwrap();
    world.advance(secs(1));
    clients.iter().chain([&watcher]).for_each(|client| drop(world.events(*client)));
    world.drain(0);
    let mut number = 0;
    let mut got: Vec<Vec<Event>> = vec![Vec::new(); clients.len()];
    while !world.cores[0].remaining().is_nothing() {
        number += 1;
        let text = number.to_string();
        world.request(watcher, to_channel(number, "room", &text));
        world.request(watcher, to_peer(1000 + number, "user-0", &text));
        got.iter_mut().zip(&clients).for_each(|(got, client)| got.extend(world.events(*client)));
        come_back(&mut world, &mut clients, 2);
        assert!(number < 60, "{:?}", world.cores[0].remaining());
    }
    let moves = |node: usize, wanted| world.cores[node].counters().moves().find(|(it, _)| *it == wanted).unwrap().1;
    assert_eq!((moves(0, MoveResult::Given), moves(2, MoveResult::Taken)), (3, 3), "three of six were there");
    assert_eq!((moves(0, MoveResult::Lost), moves(2, MoveResult::Lost)), (0, 0));
    world.leave_view(0);
    world.advance(secs(40));
    let texts: Vec<String> = (1..=number).map(|number| number.to_string()).collect();
    got.iter_mut().zip(&clients).for_each(|(got, client)| got.extend(world.events(*client)));
    got.push(world.events(watcher));
    for (at, events) in got.iter().enumerate() {
        assert!(!events.iter().any(|event| is_gap(event) || is_offline(event)), "{events:?}");
        let text = |event: &Event| match event {
            Event::ChannelMessage { message, .. } => message.as_text().map(str::to_owned),
            _ => None,
        };
        let heard: Vec<_> = events.iter().filter_map(text).collect();
        assert!(at == 6 || heard == texts, "{at}: {heard:?}");
        let peer = events.iter().filter(|event| matches!(event, Event::MessageFromPeer(_))).count();
        assert_eq!(peer, if at == 0 { texts.len() } else { 0 });
    }
    assert_eq!(world.members(watcher, "room").len(), 7);
    let read = GetUserAttributes { user_id: uid("user-0"), keys: None };
    let Ok(Answer::GetUserAttributes(all)) = world.call(watcher, read) else { panic!("no attributes") };
    assert_eq!(all.len(), 1);
}

#[test]
fn clients_are_sent_away_evenly_over_the_time_and_in_the_order_that_is_given() {
    for over in [secs(2), secs(10)] {
        let mut world = World::new(2);
        let mut clients: Vec<C> = (0..500).map(|at| world.login(0, &format!("user-{at}"))).collect();
        let away = |world: &World, clients: &[C]| clients.iter().filter(|client| !world.is_open(**client)).count();
        world.drain_over(0, over);
        assert_eq!(away(&world, &clients), 1, "the first one at once");
        assert!(!world.is_open(clients[499]), "the order is not that of their places");
        world.advance(over / 2);
        let half = away(&world, &clients);
        assert!((230..=270).contains(&half), "{half} of 500 in half of {over:?}");
        let since = world.now.instant;
        while !world.cores[0].remaining().is_nothing() {
            come_back(&mut world, &mut clients, 1);
            assert!(world.now.instant < since + over / 2 + secs(2), "{:?}", world.cores[0].remaining());
        }
        assert!(world.now.instant + millis(200) > since + over / 2, "sooner than in {over:?}");
        assert_eq!(world.cores[1].stats().sessions, 500);
    }
}

#[test]
fn without_any_time_all_clients_are_sent_away_at_once() {
    let mut world = World::new(2);
    let clients = [world.login(0, "alice"), world.login(0, "bob")];
    world.drain_over(0, std::time::Duration::ZERO);
    assert!(clients.iter().all(|client| world.closed(*client) == Some(CloseReason::Draining)));
}

#[test]
fn more_than_a_few_messages_are_kept_for_a_member_that_is_on_its_way() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, "room");
    world.join_channel(bob, "room");
    world.advance(secs(1));
    drop(world.heard(alice));
    world.drain(0);
    for number in 1..=200 {
        world.request(bob, to_channel(number, "room", &number.to_string()));
    }
    let alice = world.resume(1, alice);
    let all: Vec<String> = (1..=200).map(|number: u64| number.to_string()).collect();
    assert_eq!(world.heard(alice), all);
}

#[test]
fn a_session_that_nobody_comes_for_moves_without_its_client_and_misses_nothing() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, "room");
    world.join_channel(bob, "room");
    world.advance(secs(1));
    drop((world.heard(alice), world.comings(bob)));
    world.drain(0);
    for number in 1..=60 {
        world.request(bob, to_channel(number, "room", &number.to_string()));
        world.advance(millis(250));
    }
    assert!(world.cores[0].remaining().is_nothing(), "{:?}", world.cores[0].remaining());
    let node = world.engine.entry("alice").unwrap().node.clone();
    assert_ne!(node, world.id(0));
    world.leave_view(0);
    for number in 61..=120 {
        world.request(bob, to_channel(number, "room", &number.to_string()));
    }
    let alice = world.resume(if node == world.id(1) { 2 } else { 1 }, alice);
    assert_eq!(world.welcome(alice).unwrap().resumption, Resumption::Resumed);
    let all: Vec<String> = (1..=120).map(|number: u64| number.to_string()).collect();
    assert_eq!(world.heard(alice), all);
    assert_eq!(world.comings(bob), [] as [&str; 0]);
}

#[test]
fn a_client_that_comes_while_its_session_is_fetched_has_it() {
    let mut world = World::new(3);
    let alice = world.login(0, "alice");
    world.drain(0);
    world.stall(0, 1);
    world.stall(0, 2);
    world.advance(secs(11));
    let mut back: Vec<C> = Vec::new();
    for node in [1, 2] {
        back.push(world.start_resume(node, alice));
        world.pump();
    }
    world.cut(back[0]);
    world.unstall();
    world.advance(secs(8));
    assert_eq!(world.welcome(back[1]).unwrap().resumption, Resumption::Resumed);
    assert_eq!((world.sessions(), world.cores[0].remaining().sessions), (1, 0));
}

#[test]
fn a_session_goes_on_being_offered_until_somebody_fetches_it() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.drain(0);
    world.cut(alice);
    world.engine.is_deaf = 200;
    world.advance(secs(21));
    world.engine.is_deaf = 0;
    world.advance(secs(6));
    assert!(world.cores[0].remaining().is_nothing());
    assert_eq!(world.engine.entry("alice").unwrap().node, world.id(1));
    let alice = world.resume(1, alice);
    assert_eq!(world.welcome(alice).unwrap().resumption, Resumption::Resumed);
}

#[test]
fn who_would_give_up_is_let_in_and_sent_away() {
    let mut world = World::new(2);
    world.drain(0);
    let native = world.start_login(0, login_of("alice"));
    let mut login = login_of("bob");
    login.abilities = Wire::Vendor.abilities();
    let vendor = world.start_login(0, login);
    world.advance(secs(1));
    assert_eq!((world.closed(native), world.welcome(native)), (Some(CloseReason::Draining), None));
    assert_eq!(world.closed(vendor), Some(CloseReason::Draining));
    assert!(world.welcome(vendor).is_some());
}

#[test]
fn messages_of_a_session_that_moves_are_answered_where_it_is() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(1, 0);
    let sent = world.request(alice, to_peer(1, "bob", "hello"));
    world.drain(0);
    world.advance(secs(1));
    let alice = world.start_resume(2, alice);
    world.unstall();
    world.advance(secs(3));
    assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
    assert_eq!(world.texts(bob), ["hello"]);
    world.advance(secs(3));
    assert!(world.cores[0].remaining().is_nothing(), "{:?}", world.cores[0].remaining());
}
