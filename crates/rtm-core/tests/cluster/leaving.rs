//! Nodes that are put out, forget everything, and join again.

use rtm_codec::{
    Answer, AttributeKey, ChannelAttributeTarget, CloseReason, GetChannelAttributes, PeerOnlineState,
    QueryPeersOnlineStatus, Resumption, SendOutcome, SetChannelAttributes, SubscribePeersOnlineStatus, Text,
};
use rtm_core::Stats;

use crate::harness::*;

fn write(channel: &str, value: &str) -> SetChannelAttributes {
    let target = ChannelAttributeTarget { channel_id: cid(channel), notify: true, expected_revision: None };
    SetChannelAttributes { target, attributes: [(AttributeKey::new("topic").unwrap(), Text::from(value))].into() }
}

fn topic(world: &mut World, client: C, channel: &str) -> Option<String> {
    let query = GetChannelAttributes { channel_id: cid(channel), keys: None };
    let Ok(Answer::GetChannelAttributes(all)) = world.call(client, query) else { panic!("no attributes") };
    all.attributes.values().next().map(|attribute| attribute.value.as_str().to_owned())
}

fn state_of(world: &mut World, client: C, user: &str) -> PeerOnlineState {
    let query = QueryPeersOnlineStatus { peer_ids: vec![uid(user)] };
    match world.call(client, query) {
        Ok(Answer::QueryPeersOnlineStatus(states)) => states[0].1,
        other => panic!("{other:?}"),
    }
}

/// A node with all that a node may have: sessions, channels, messages under way, a login that waits, a move in each direction,
/// and a store and an engine that have not answered.
fn busy_world() -> (World, Vec<C>) {
    let mut world = World::new(3);
    let here: Vec<C> = ["alice", "bob", "carol"].into_iter().map(|user| world.login(0, user)).collect();
    let (dave, erin) = (world.login(1, "dave"), world.login(2, "erin"));
    for client in [here[0], here[1], dave, erin] {
        world.join_channel(client, "room");
    }
    world.request(dave, SubscribePeersOnlineStatus { peer_ids: vec![uid("alice")] });
    world.request(here[0], SubscribePeersOnlineStatus { peer_ids: vec![uid("dave"), uid("nobody")] });
    world.call(here[1], write("room", "tea")).unwrap();
    world.is_store_held = true;
    let mut stored = to_peer(1, "zoe", "stored");
    stored.enable_offline_messaging = true;
    world.request(here[0], stored);
    world.request(here[1], write("room", "coffee"));
    for (from, to) in [(0, 1), (1, 0), (0, 2)] {
        world.stall(from, to);
    }
    world.request(here[0], to_peer(2, "dave", "under way"));
    world.request(here[0], to_channel(3, "room", "under way too"));
    world.cut(here[2]);
    let carol = world.start_resume(2, here[2]);
    world.engine.is_deaf = 4;
    let fred = world.start_login(0, login_of("fred"));
    world.cut(dave);
    let dave = world.start_resume(0, dave);
    world.pump();
    assert!(world.welcome(carol).is_none() && world.welcome(fred).is_none() && world.welcome(dave).is_none());
    (world, vec![here[0], here[1], fred, dave])
}

#[test]
fn a_node_that_is_put_out_sends_all_its_clients_away_and_has_nothing_left() {
    let (mut world, clients) = busy_world();
    world.put_out(0);
    world.leave_cluster(0);
    for client in clients {
        assert_eq!(world.closed(client), Some(CloseReason::Draining));
    }
    let Stats { connections, users, sessions, channels, invitations, .. } = world.cores[0].stats();
    assert_eq!((connections, users, sessions, channels, invitations), (0, 0, 0, 0, 0));
    let (mut jobs, mut parcels, mut questions) = (Vec::new(), Vec::new(), Vec::new());
    world.cores[0].take_store_jobs(&mut jobs);
    world.cores[0].take_parcels(&mut parcels);
    world.cores[0].take_engine_jobs(&mut questions);
    assert!(jobs.is_empty() && parcels.is_empty() && questions.is_empty());
}

#[test]
fn nobody_comes_in_at_a_node_that_is_outside() {
    let mut world = World::new(2);
    world.put_out(0);
    world.leave_cluster(0);
    let native = world.start_login(0, login_of("alice"));
    let mut login = login_of("bob");
    login.abilities = rtm_codec::Wire::Vendor.abilities();
    let vendor = world.start_login(0, login);
    world.pump();
    for client in [native, vendor] {
        assert_eq!((world.closed(client), world.welcome(client)), (Some(CloseReason::Draining), None));
    }
}

#[test]
fn what_is_answered_late_comes_to_nobody_in_the_next_life() {
    let (mut world, _) = busy_world();
    world.put_out(0);
    world.leave_cluster(0);
    world.join_again(0);
    world.is_store_held = false;
    world.engine.is_deaf = 0;
    world.unstall();
    world.advance(secs(30));
    assert_eq!(world.cores[0].stats().sessions, 0);
    let alice = world.login(0, "alice");
    assert_eq!(world.welcome(alice).unwrap().resumption, Resumption::New);
    world.advance(secs(180));
    assert_eq!((world.cores[0].stats().sessions, world.closed(alice)), (1, None));
}

#[test]
fn a_node_that_joins_again_serves_as_any_other() {
    let (mut world, clients) = busy_world();
    world.put_out(0);
    world.leave_cluster(0);
    world.join_again(0);
    world.is_store_held = false;
    world.engine.is_deaf = 0;
    world.unstall();
    world.advance(secs(2));
    let (alice, dave) = (world.start_resume(0, clients[0]), world.start_login(1, login_of("dave")));
    world.advance(secs(2));
    assert_eq!(world.welcome(alice).unwrap().resumption, Resumption::New);
    assert_eq!(world.engine.entry("alice").unwrap().node, world.id(0));
    world.join_channel(alice, "room");
    world.join_channel(dave, "room");
    assert_eq!(world.members(alice, "room"), world.members(dave, "room"));
    assert_eq!(topic(&mut world, alice, "room"), topic(&mut world, dave, "room"));
    assert_eq!(state_of(&mut world, alice, "dave"), PeerOnlineState::Online);
    assert_eq!(state_of(&mut world, dave, "alice"), PeerOnlineState::Online);
    let sent = world.request(dave, to_peer(9, "alice", "hello"));
    assert_eq!(world.reply(dave, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
    assert_eq!(world.texts(alice), ["hello"]);
    world.request(dave, to_channel(10, "room", "all"));
    assert_eq!(world.heard(alice), ["all"]);
}

#[test]
fn attributes_that_were_written_meanwhile_are_known_to_a_node_that_joins_again() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.call(alice, write("room", "tea")).unwrap();
    world.put_out(0);
    world.call(bob, write("room", "coffee")).unwrap();
    world.leave_cluster(0);
    world.join_again(0);
    let alice = world.login(0, "alice");
    assert_eq!(topic(&mut world, alice, "room").as_deref(), Some("coffee"));
    world.call(bob, write("room", "milk")).unwrap();
    assert_eq!(topic(&mut world, alice, "room").as_deref(), Some("milk"));
}

#[test]
fn a_frozen_node_that_goes_on_before_it_hears_that_it_is_out_harms_nobody() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.put_out(0);
    let other = world.login_with(1, other_login_of("alice"));
    let back = world.start_resume(0, alice);
    world.request(back, to_peer(1, "alice", "to nobody"));
    world.advance(secs(3));
    assert_eq!(world.closed(other), None);
    assert_eq!(world.engine.entry("alice").unwrap().node, node(1));
    world.leave_cluster(0);
    world.join_again(0);
    world.advance(secs(3));
    assert_eq!((world.sessions(), world.closed(other)), (1, None));
}

/// The login of a client that has no ticket to name its session with.
fn vendor_login_of(user: &str) -> rtm_codec::Login {
    rtm_codec::Login { abilities: rtm_codec::Wire::Vendor.abilities(), ..login_of(user) }
}

#[test]
fn a_client_without_a_ticket_does_not_come_back_to_a_session_that_is_over() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login_with(0, vendor_login_of("alice")), world.login(0, "bob"));
    world.cut(alice);
    world.request(bob, to_peer(1, "alice", "before"));
    world.blind(0);
    world.put_out(0);
    let there = world.login_with(1, vendor_login_of("alice"));
    let session = world.engine.entry("alice").unwrap().session;
    world.cut(there);
    // The node has not heard that it is out.
    let back = world.start_login(0, vendor_login_of("alice"));
    world.advance(secs(1));
    assert!(world.welcome(back).is_none());
    assert_eq!(world.texts(back), Vec::<String>::new());
    world.leave_cluster(0);
    assert_eq!(world.closed(back), Some(CloseReason::Draining));
    world.login_with(1, vendor_login_of("alice"));
    assert_eq!(world.engine.entry("alice").unwrap().session, session);
}

#[test]
fn a_client_without_a_ticket_comes_back_to_its_node_while_the_engine_is_away() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login_with(0, vendor_login_of("alice")), world.login(0, "bob"));
    world.cut(alice);
    world.request(bob, to_peer(1, "alice", "before"));
    world.engine.is_deaf = 1000;
    let back = world.start_login(0, vendor_login_of("alice"));
    world.advance(secs(1));
    assert_eq!((world.texts(back), world.closed(back)), (vec!["before".to_owned()], None));
    world.engine.is_deaf = 0;
    world.advance(secs(30));
    assert_eq!((world.sessions(), world.closed(back)), (2, None));
}

#[test]
fn a_client_that_comes_back_in_time_stays_while_the_engine_is_slow() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login_with(0, vendor_login_of("alice")), world.login(1, "bob"));
    world.join_channel(alice, "room");
    world.join_channel(bob, "room");
    world.request(bob, SubscribePeersOnlineStatus { peer_ids: vec![uid("alice")] });
    world.cut(alice);
    world.advance(secs(25));
    drop(world.events(bob));
    world.engine.is_late_to_read = true;
    let back = world.start_login(0, vendor_login_of("alice"));
    // Longer than a user may be away, and shorter than the engine may take.
    world.advance(secs(8));
    assert!(world.welcome(back).is_none());
    assert_eq!(world.events(bob), []);
    world.answer_late();
    world.advance(secs(1));
    assert!(world.welcome(back).is_some());
    assert_eq!(state_of(&mut world, bob, "alice"), PeerOnlineState::Online);
    let left = |event: &rtm_codec::Event| matches!(event, rtm_codec::Event::MemberLeft { .. });
    assert!(!world.events(bob).iter().any(left), "it never left its channel");
}
