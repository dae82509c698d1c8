//! Flow control: windows, bounded sessions, slow readers.

use rtm_codec::{
    CloseReason, Event, JoinChannel, Login, MessageId, RequestId, Resumption, SendChannelMessage, SendOutcome, Seq,
};
use rtm_core::Outgoing;

use crate::harness::*;

fn say(id: u64, text: &str) -> SendChannelMessage {
    SendChannelMessage {
        message_id: MessageId(id),
        channel_id: room("r"),
        message: text.into(),
        enable_historical_messaging: false,
    }
}

fn windowed(user: &str, window: u32) -> Login {
    Login { window, ..login_of(user) }
}

#[test]
fn no_more_events_are_sent_than_the_window_beyond_the_last_consumed() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_with(windowed("bob", 3)));
    world.stop_acks(bob);
    for id in 1..=10 {
        world.request(alice, to_peer(id, "bob", &format!("m{id}")));
    }
    assert_eq!(world.texts(bob), ["m1", "m2", "m3"]);
    // Receiving is not consuming.
    world.ack(bob, 3, 0);
    assert_eq!(world.texts(bob), Vec::<String>::new());
    world.ack(bob, 3, 2);
    assert_eq!(world.texts(bob), ["m4", "m5"]);
    world.ack(bob, 5, 5);
    assert_eq!(world.texts(bob), ["m6", "m7", "m8"]);
}

#[test]
fn a_receipt_does_not_wait_for_the_application() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_with(windowed("bob", 3)));
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(1, "bob", "x"));
    world.ack(bob, 1, 0);
    assert!(world.reply(alice, id).is_some());
}

#[test]
fn answers_are_not_held_back_by_the_window() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_with(windowed("bob", 1)));
    world.stop_acks(bob);
    for id in 1..=5 {
        world.request(alice, to_peer(id, "bob", "x"));
    }
    world.call(bob, JoinChannel { channel_id: room("r") }).unwrap();
}

#[test]
fn a_window_holds_over_a_resume() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_with(windowed("bob", 2)));
    world.stop_acks(bob);
    for id in 1..=6 {
        world.request(alice, to_peer(id, "bob", &format!("m{id}")));
    }
    world.ack(bob, 2, 1);
    assert_eq!(world.texts(bob), ["m1", "m2", "m3"]);
    world.cut(bob);
    let login = world.resuming(bob);
    assert_eq!(login.resume.as_ref().unwrap().received, Seq(3));
    let again = world.login_again(bob, login);
    assert_eq!(world.texts(again), Vec::<String>::new(), "3 is received, 1 consumed, and 2 may be open");
    world.ack(again, 3, 3);
    assert_eq!(world.texts(again), ["m4", "m5"]);
}

#[test]
fn a_client_that_does_not_read_is_closed_and_loses_nothing() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let text = "x".repeat(9_000);
    let mut sent = 0;
    while world.closed(bob).is_none() {
        sent += 1;
        assert!(sent < 50, "nothing bounds the session");
        world.request(alice, to_peer(sent, "bob", &text));
    }
    assert_eq!(world.closed(bob), Some(CloseReason::SlowConsumer));
    assert_eq!(sent, 11);
    assert_eq!(world.core.stats().slow_consumers, 1);
    let again = world.resume(bob);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
    let got = world.texts(bob).len() + world.texts(again).len();
    assert_eq!(got, 11);
    assert_eq!(world.closed(again), None);
}

#[test]
fn a_client_that_still_does_not_read_is_closed_again() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, mut bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let mut id = 0;
    for round in 1..=3 {
        while world.closed(bob).is_none() {
            id += 1;
            assert!(id < 40, "nothing bounds the session in round {round}");
            world.request(alice, to_peer(id, "bob", &"x".repeat(9_000)));
        }
        assert_eq!(world.core.stats().slow_consumers, round);
        let mut login = world.resuming(bob);
        login.resume.as_mut().unwrap().received = Seq(0);
        login.resume.as_mut().unwrap().consumed = Seq(0);
        bob = world.login_again(bob, login);
    }
}

#[test]
fn a_client_that_can_no_longer_catch_up_gets_a_new_session() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, mut bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let mut id = 0;
    let welcome = loop {
        while world.closed(bob).is_none() {
            id += 1;
            assert!(id < 60, "nothing bounds the session");
            world.request(alice, to_peer(id, "bob", &"x".repeat(9_000)));
        }
        let mut login = world.resuming(bob);
        login.resume.as_mut().unwrap().received = Seq(0);
        login.resume.as_mut().unwrap().consumed = Seq(0);
        bob = world.login_again(bob, login);
        assert!(world.is_welcome(bob) && world.closed(bob).is_none(), "closed again at once, with {id} messages");
        if world.welcome(bob).resumption == Resumption::New {
            break world.welcome(bob).clone();
        }
    };
    assert!(id * 9_000 > 150_000, "it was given up too early, with {id} messages");
    assert_ne!(welcome.ticket, None);
    world.request(alice, to_peer(100, "bob", "afresh"));
    assert_eq!(world.texts(bob), ["afresh"]);
}

#[test]
fn a_client_that_comes_back_to_much_has_room_to_catch_up() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let text = "x".repeat(9_000);
    for id in 1..=11 {
        world.request(alice, to_peer(id, "bob", &text));
    }
    assert_eq!(world.closed(bob), Some(CloseReason::SlowConsumer));
    let mut login = world.resuming(bob);
    login.resume.as_mut().unwrap().received = Seq(0);
    login.resume.as_mut().unwrap().consumed = Seq(0);
    let again = world.login_again(bob, login);
    world.request(alice, to_peer(12, "bob", &text));
    assert_eq!(world.closed(again), None);
    assert_eq!(world.texts(again).len(), 12);
    world.ack(again, 12, 12);
}

#[test]
fn a_user_that_is_away_holds_no_more_than_its_limit() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    let text = "x".repeat(9_000);
    let mut refused = Vec::new();
    for id in 1..=15 {
        let request = world.request(alice, to_peer(id, "bob", &text));
        if world.reply(alice, request).is_some() {
            refused.push(id);
        }
    }
    // What is not taken is said to be not taken.
    assert_eq!(refused, [11, 12, 13, 14, 15]);
    assert_eq!(world.call(alice, stored_to_peer(16, "bob", &text)).unwrap(), SendOutcome::Stored);
    let again = world.resume(bob);
    assert_eq!(world.texts(again).len(), 11);
}

#[test]
fn events_of_channels_give_way_to_messages_and_are_told_of() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.events(bob);
    world.cut(bob);
    let text = "x".repeat(9_000);
    for id in 1..=12 {
        world.call(alice, say(id, &text)).unwrap();
    }
    for id in 1..=3 {
        let request = world.request(alice, to_peer(id, "bob", &text));
        assert!(world.reply(alice, request).is_none(), "there is room for it");
    }
    let again = world.resume(bob);
    let events = world.events(again);
    let count = |name: &str| names(&events).iter().filter(|event| *event == name).count();
    assert_eq!((count("ChannelMessage"), count("MessageFromPeer")), (7, 3));
    assert_eq!(events[0], Event::Gap { channel_id: Some(room("r")), lost: Some(5) });
}

#[test]
fn one_stalled_member_does_not_hold_up_the_others() {
    let mut config = config();
    config.settings.session_bytes = 50_000;
    let mut world = World::with(config);
    let clients: Vec<C> = (0..50).map(|n| world.login(&format!("m{n}"))).collect();
    for client in &clients {
        world.call(*client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.advance(secs(3));
    clients.iter().for_each(|client| drop(world.events(*client)));
    world.stop_acks(clients[7]);
    for id in 1..=100 {
        world.call(clients[0], say(id, &"x".repeat(1_000))).unwrap();
    }
    assert_eq!(world.closed(clients[7]), Some(CloseReason::SlowConsumer));
    for (n, client) in clients.iter().enumerate().skip(1).filter(|(n, _)| *n != 7) {
        assert_eq!(world.texts(*client).len(), 100, "member {n}");
    }
}

#[test]
fn answers_that_are_not_read_count_too() {
    let mut config = config();
    config.settings.session_bytes = 10_000;
    let mut world = World::with(config);
    let alice = world.login("alice");
    let conn = world.conn(alice);
    // The socket takes nothing: output is not fetched.
    for _ in 0..200 {
        world.core.handle_frame(world.now, conn, rtm_codec::ClientFrame::Ping);
    }
    world.pump();
    assert_eq!(world.closed(alice), Some(CloseReason::SlowConsumer));
}

#[test]
fn output_comes_in_portions() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    for id in 1..=60 {
        world.request(alice, to_peer(id, "bob", &"x".repeat(32_000)));
    }
    let conn = world.core.connect();
    let login = world.resuming(bob);
    world.core.handle_frame(world.now, conn, rtm_codec::ClientFrame::Login(Box::new(login)));
    let mut portions = Vec::new();
    loop {
        let mut out = Vec::new();
        let more = world.core.take_output(conn, &mut out);
        portions.push(out.iter().filter(|one| matches!(one, Outgoing::Event(..))).count());
        if !more {
            break;
        }
    }
    assert_eq!(portions.iter().sum::<usize>(), 60);
    assert!(portions.iter().all(|portion| *portion <= 10), "{portions:?}");
}

#[test]
fn a_connection_is_woken_once_until_its_output_is_taken() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let (from, to) = (world.conn(alice), world.conn(bob));
    for id in 1..=10 {
        let command = to_peer(id, "bob", "x").into();
        world.core.handle_frame(world.now, from, rtm_codec::ClientFrame::Request { id: RequestId(id), command });
    }
    let mut wakes = Vec::new();
    world.core.take_wakes(&mut wakes);
    assert_eq!(wakes, [to]);
    world.core.take_wakes(&mut wakes);
    assert_eq!(wakes, [to]);
    let mut out = Vec::new();
    world.core.take_output(to, &mut out);
    assert_eq!(out.len(), 10);
    let command = to_peer(11, "bob", "x").into();
    world.core.handle_frame(world.now, from, rtm_codec::ClientFrame::Request { id: RequestId(11), command });
    wakes.clear();
    world.core.take_wakes(&mut wakes);
    assert_eq!(wakes, [to]);
}

#[test]
fn an_event_that_may_not_be_sent_wakes_nobody() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_with(windowed("bob", 1)));
    world.stop_acks(bob);
    world.request(alice, to_peer(1, "bob", "x"));
    let from = world.conn(alice);
    let command = to_peer(2, "bob", "y").into();
    world.core.handle_frame(world.now, from, rtm_codec::ClientFrame::Request { id: RequestId(2), command });
    let mut wakes = Vec::new();
    world.core.take_wakes(&mut wakes);
    assert_eq!(wakes, []);
}
