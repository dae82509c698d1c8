//! Coming back: what a client gets that was away for a while.

use rtm_codec::{
    CloseReason, Event, GetMembers, JoinChannel, LeaveChannel, Login, PeerOnlineState, QueryPeersBySubscriptionOption,
    QueryPeersOnlineStatus, RequestId, Resumption, SendChannelMessage, SendMessageToPeer, SendOutcome, Seq,
    SubscribePeersOnlineStatus,
};
use rtm_core::{GapReason, MessageKind, MessageSource, ResumeResult};

use crate::harness::*;

fn say(world: &mut World, client: C, id: u64, text: &str) {
    let message_id = rtm_codec::MessageId(id);
    let say = SendChannelMessage {
        message_id,
        channel_id: room("r"),
        message: text.into(),
        enable_historical_messaging: false,
    };
    world.call(client, say).unwrap();
}

fn both_in_a_room(world: &mut World) -> (C, C) {
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.advance(secs(2));
    world.events(alice);
    world.events(bob);
    (alice, bob)
}

#[test]
fn what_was_sent_and_not_received_comes_again_under_its_numbers() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(alice);
    for id in 1..=3 {
        world.request(bob, to_peer(id, "alice", &format!("m{id}")));
    }
    assert_eq!(world.texts(alice), ["m1", "m2", "m3"]);
    let mut login = world.resuming(alice);
    login.resume.as_mut().unwrap().received = Seq(1);
    world.cut(alice);
    let again = world.login_again(alice, login);
    assert_eq!(world.texts(again), ["m2", "m3"]);
    assert_eq!(world.received(again), 3);
    let counters = world.core.counters();
    assert!(counters.resumes().any(|counted| counted == (ResumeResult::Resumed, 1)));
    assert_eq!(counters.replayed().sum(), 2, "both that came again");
    let mut sizes = counters.sizes().filter(|(kind, ..)| *kind == MessageKind::Peer);
    let (_, source, sizes) = sizes.next().unwrap();
    let count: u64 = sizes.counts().iter().sum();
    assert_eq!((source, count, sizes.sum()), (MessageSource::Client, 3, 6), "three messages of two bytes");
}

#[test]
fn a_gateway_session_does_not_change_what_a_client_can_do() {
    let mut world = World::new();
    let bob = world.login("bob");
    let gateway_session = Some("gateway-of-alice".into());
    let alice = world.login_with(Login { gateway_session, ..login_of("alice") });
    world.cut(alice);
    world.request(bob, to_peer(1, "alice", "m1"));
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
    assert_eq!(world.texts(again), ["m1"]);
    world.logout(again);
    world.call(bob, SendMessageToPeer { enable_offline_messaging: true, ..to_peer(2, "alice", "m2") }).unwrap();
    let login = world.login_with(Login { gateway_session: Some("new".into()), ..login_of("alice") });
    assert_eq!(world.texts(login), ["m2"]);
}

#[test]
fn what_was_sent_while_away_comes_in_order() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(alice);
    let ids: Vec<RequestId> = (1..=5).map(|id| world.request(bob, to_peer(id, "alice", &format!("m{id}")))).collect();
    assert!(ids.iter().all(|id| world.reply(bob, *id).is_none()), "nobody knows yet whether it arrives");
    world.advance(secs(3));
    let again = world.resume(alice);
    assert_eq!(world.texts(again), ["m1", "m2", "m3", "m4", "m5"]);
    for id in ids {
        let answer = world.reply(bob, id).unwrap().unwrap();
        assert_eq!(answer, rtm_codec::Answer::SendMessageToPeer(SendOutcome::Delivered));
    }
}

#[test]
fn a_claim_of_events_that_were_never_sent_closes_the_connection() {
    let mut world = World::new();
    let alice = world.login("alice");
    let mut login = world.resuming(alice);
    world.cut(alice);
    login.resume.as_mut().unwrap().received = Seq(5);
    let liar = world.try_login(login.clone());
    assert_eq!(world.closed(liar), Some(CloseReason::ProtocolError));
    login.resume.as_mut().unwrap().received = Seq(0);
    let honest = world.login_with(login);
    assert_eq!(world.welcome(honest).resumption, Resumption::Resumed);
}

#[test]
fn nothing_changes_for_others_within_30_s() {
    let mut world = World::new();
    let (alice, bob) = both_in_a_room(&mut world);
    world.cut(alice);
    world.advance(millis(29_999));
    assert_eq!(world.events(bob), []);
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
    say(&mut world, bob, 1, "welcome back");
    assert_eq!(world.texts(again), ["welcome back"]);
}

#[test]
fn a_client_that_missed_the_answer_to_its_login_is_told_of_its_absence_again() {
    let mut world = World::new();
    let (alice, _) = both_in_a_room(&mut world);
    world.stop_acks(alice);
    world.cut(alice);
    world.advance(secs(30));
    let login = world.resuming(alice);
    let unheard = world.login_again(alice, login.clone());
    world.cut(unheard);
    let again = world.login_again(unheard, login.clone());
    assert_eq!(world.welcome(again).resumption, Resumption::Lapsed);
    world.frame(again, rtm_codec::ClientFrame::Ping);
    world.cut(again);
    let again = world.login_again(again, login);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
}

#[test]
fn after_30_s_a_user_has_left_its_channels_and_is_told_of_the_gap() {
    let mut world = World::new();
    let (alice, bob) = both_in_a_room(&mut world);
    world.cut(alice);
    say(&mut world, bob, 1, "in time");
    world.advance(secs(30));
    assert_eq!(names(&world.events(bob))[..1], ["MemberLeft"]);
    say(&mut world, bob, 2, "too late");
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Lapsed);
    let events = world.events(again);
    assert_eq!(names(&events), ["ChannelMessage", "Gap"]);
    assert_eq!(events[1], Event::Gap { channel_id: Some(room("r")), lost: None });
    assert_eq!(gaps(&world), [(GapReason::Lapsed, 1)]);
    assert!(world.call(again, GetMembers { channel_id: room("r") }).is_err());
    world.call(again, JoinChannel { channel_id: room("r") }).unwrap();
    assert!(names(&world.events(bob)).contains(&"MemberJoined".to_owned()));
}

#[test]
fn peer_messages_from_the_time_before_the_lapse_still_come() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(alice);
    let id = world.request(bob, to_peer(1, "alice", "early"));
    world.advance(secs(40));
    let outcome = world.reply(bob, id).unwrap().unwrap();
    assert_eq!(outcome, rtm_codec::Answer::SendMessageToPeer(SendOutcome::NotReceived));
    let late = world.call(bob, to_peer(2, "alice", "late")).unwrap();
    assert_eq!(late, SendOutcome::NotReceived);
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Lapsed);
    assert_eq!(world.texts(again), ["early"]);
}

#[test]
fn subscriptions_outlive_a_lapse() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] }).unwrap();
    world.events(alice);
    world.cut(alice);
    world.advance(secs(60));
    world.logout(bob);
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Lapsed);
    let told = Event::PeersOnlineStatusChanged { peers: vec![(uid("bob"), PeerOnlineState::Offline)] };
    assert_eq!(world.events(again), [told]);
    assert_eq!(world.call(again, QueryPeersBySubscriptionOption {}).unwrap(), [uid("bob")]);
}

#[test]
fn a_session_can_be_resumed_for_2_minutes_and_no_longer() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.cut(alice);
    world.advance(millis(119_999));
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Lapsed);
    world.cut(again);
    world.advance(secs(120));
    assert_eq!(world.core.stats().sessions, 0);
    let login = world.resuming(again);
    let new = world.login_with(login);
    assert_eq!(world.welcome(new).resumption, Resumption::New);
}

#[test]
fn a_client_that_is_silent_for_30_s_is_closed_and_lapsed() {
    let mut world = World::new();
    let (alice, bob) = both_in_a_room(&mut world);
    world.silence(alice);
    world.advance(millis(28_000));
    assert_eq!(world.closed(alice), None);
    world.advance(secs(2));
    assert_eq!(world.closed(alice), Some(CloseReason::KeepAliveTimeout));
    assert!(names(&world.events(bob)).contains(&"MemberLeft".to_owned()));
    let query = QueryPeersOnlineStatus { peer_ids: vec![uid("alice")] };
    assert_eq!(world.call(bob, query).unwrap()[0].1, PeerOnlineState::Offline);
}

/// The gaps that clients were told of.
fn gaps(world: &World) -> Vec<(GapReason, u64)> {
    world.core.counters().gaps().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn the_2_minutes_count_from_the_last_sign_of_life() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.silence(alice);
    world.advance(millis(119_999));
    assert_eq!(world.core.stats().sessions, 1);
    world.advance(millis(1));
    assert_eq!(world.core.stats().sessions, 0);
    // The client comes for it all the same, and is told that it is another one.
    world.resume(alice);
    assert_eq!(gaps(&world), [(GapReason::NewSession, 1)]);
}

#[test]
fn the_last_32_messages_of_each_channel_are_kept_and_the_others_are_told_of() {
    let mut world = World::new();
    let (alice, bob) = both_in_a_room(&mut world);
    world.cut(alice);
    for id in 1..=32 {
        say(&mut world, bob, id, &format!("m{id}"));
    }
    let again = world.resume(alice);
    let events = world.events(again);
    assert_eq!(events.len(), 32, "nothing is lost at the limit");
    assert_eq!(gaps(&world), []);
    world.cut(again);
    for id in 101..=140 {
        say(&mut world, bob, id, &format!("m{id}"));
    }
    let again = world.resume(again);
    let events = world.events(again);
    assert_eq!(events[0], Event::Gap { channel_id: Some(room("r")), lost: Some(8) });
    assert_eq!(gaps(&world), [(GapReason::Away, 1)]);
    let texts: Vec<_> = events[1..]
        .iter()
        .map(|event| match event {
            Event::ChannelMessage { message, .. } => message.as_text().unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts.len(), 32);
    assert_eq!((texts[0].as_str(), texts[31].as_str()), ("m109", "m140"));
}

#[test]
fn kept_channel_messages_and_peer_messages_come_in_the_order_of_their_sending() {
    let mut world = World::new();
    let (alice, bob) = both_in_a_room(&mut world);
    world.cut(alice);
    for id in 1..=6 {
        if id % 2 == 0 {
            say(&mut world, bob, id, &format!("m{id}"));
        } else {
            world.request(bob, to_peer(id, "alice", &format!("m{id}")));
        }
    }
    let again = world.resume(alice);
    assert_eq!(world.texts(again), ["m1", "m2", "m3", "m4", "m5", "m6"]);
}

#[test]
fn what_was_kept_comes_before_what_is_new() {
    let mut world = World::new();
    let (alice, bob) = both_in_a_room(&mut world);
    world.cut(alice);
    say(&mut world, bob, 1, "kept");
    let again = world.resume(alice);
    say(&mut world, bob, 2, "new");
    assert_eq!(world.texts(again), ["kept", "new"]);
}

#[test]
fn a_member_that_was_away_learns_how_many_members_there_are() {
    let mut world = World::new();
    let (alice, bob) = both_in_a_room(&mut world);
    world.cut(alice);
    world.call(bob, LeaveChannel { channel_id: room("r") }).unwrap();
    world.advance(secs(3));
    let again = world.resume(alice);
    let events = world.events(again);
    assert_eq!(names(&events), ["MemberLeft", "MemberCountUpdated"]);
    assert_eq!(events[1], Event::MemberCountUpdated { channel_id: room("r"), member_count: 1 });
}

#[test]
fn a_request_that_was_done_is_answered_again_and_not_done_again() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let send = to_peer(1, "bob", "once");
    let id = world.request(alice, send.clone());
    assert!(world.reply(alice, id).is_some());
    // The answer is lost with the socket, as far as the client knows.
    let mut login = world.resuming(alice);
    login.resume.as_mut().unwrap().answered = id;
    world.cut(alice);
    let again = world.login_again(alice, login);
    world.frame(again, rtm_codec::ClientFrame::Request { id, command: send.into() });
    assert_eq!(world.reply(again, id).unwrap().unwrap(), rtm_codec::Answer::SendMessageToPeer(SendOutcome::Delivered));
    assert_eq!(world.texts(bob), ["once"]);
}

#[test]
fn leaving_twice_by_one_request_is_leaving_once() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    let leave = LeaveChannel { channel_id: room("r") };
    let id = world.request(alice, leave.clone());
    let mut login = world.resuming(alice);
    login.resume.as_mut().unwrap().answered = id;
    world.cut(alice);
    let again = world.login_again(alice, login);
    world.frame(again, rtm_codec::ClientFrame::Request { id, command: leave.clone().into() });
    assert_eq!(world.reply(again, id).unwrap().unwrap(), rtm_codec::Answer::LeaveChannel(()));
    // A request of another number is another request.
    assert!(world.call(again, leave).is_err());
}

#[test]
fn a_request_under_way_is_answered_once_on_the_new_connection() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let send = to_peer(1, "bob", "slowly");
    let id = world.request(alice, send.clone());
    assert!(world.reply(alice, id).is_none());
    world.cut(alice);
    let again = world.resume(alice);
    world.frame(again, rtm_codec::ClientFrame::Request { id, command: send.into() });
    assert!(world.reply(again, id).is_none());
    world.ack(bob, 1, 1);
    assert_eq!(world.reply(again, id).unwrap().unwrap(), rtm_codec::Answer::SendMessageToPeer(SendOutcome::Delivered));
    assert_eq!(world.texts(bob), ["slowly"]);
}

#[test]
fn a_ticket_of_an_older_stream_begins_anew() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let old = world.resuming(alice);
    world.cut(alice);
    world.request(bob, to_peer(1, "alice", "kept"));
    // The client comes back without its ticket, so its stream begins anew.
    let again = world.login("alice");
    assert_eq!(world.texts(again), ["kept"]);
    assert_ne!(world.welcome(again).ticket, world.welcome(alice).ticket);
    world.cut(again);
    let stale = world.login_with(old);
    assert_eq!(world.welcome(stale).resumption, Resumption::New);
}
