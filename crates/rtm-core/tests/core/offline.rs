//! Messages that wait for their receiver, in the store.

use rtm_codec::{
    Abilities, Answer, ErrorKind, Event, InstanceId, Login, RequestId, RtmMessage, SendMessageToPeer, SendOutcome, Wire,
};
use rtm_core::{LogEntry, StoreWork};

use crate::harness::*;

fn outcome(world: &World, client: C, id: RequestId) -> Option<SendOutcome> {
    match world.reply(client, id)? {
        Ok(Answer::SendMessageToPeer(outcome)) => Some(outcome),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_for_an_absent_user_are_stored_and_come_in_order_at_its_login() {
    let mut world = World::new();
    let alice = world.login("alice");
    for (id, text) in [(1, "one"), (2, "two")] {
        assert_eq!(world.call(alice, stored_to_peer(id, "bob", text)).unwrap(), SendOutcome::Stored);
    }
    assert_eq!(world.call(alice, to_peer(3, "bob", "not kept")).unwrap(), SendOutcome::NotReceived);
    world.advance(secs(5));
    let bob = world.login("bob");
    let messages: Vec<_> = world
        .events(bob)
        .into_iter()
        .map(|event| match event {
            Event::MessageFromPeer(message) => {
                let text = message.message.as_text().unwrap().to_owned();
                (text, message.peer_id, message.is_offline_message, message.server_received_ts)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = |text: &str| (text.to_owned(), uid("alice"), true, START_MS);
    assert_eq!(messages, [expected("one"), expected("two")]);
}

#[test]
fn they_are_removed_when_the_device_has_them_and_not_before() {
    let mut world = World::new();
    let alice = world.login("alice");
    for id in 1..=3 {
        world.call(alice, stored_to_peer(id, "bob", &format!("m{id}"))).unwrap();
    }
    // The world's clients acknowledge at once: this one must not.
    let bob = world.connect();
    world.stop_acks(bob);
    world.frame(bob, rtm_codec::ClientFrame::Login(Box::new(login_of("bob"))));
    assert_eq!(world.texts(bob), ["m1", "m2", "m3"]);
    assert_eq!(world.store.waiting("bob"), ["m1", "m2", "m3"]);
    world.ack(bob, 2, 0);
    assert_eq!(world.store.waiting("bob"), ["m3"]);
    world.logout(bob);
    let again = world.login("bob");
    assert_eq!(world.texts(again), ["m3"]);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
    world.logout(again);
    let again = world.login("bob");
    assert_eq!(world.texts(again), Vec::<String>::new());
}

#[test]
fn a_sender_is_told_stored_only_when_the_store_has_it() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.hold_store();
    let id = world.request(alice, stored_to_peer(1, "bob", "x"));
    assert_eq!(outcome(&world, alice, id), None);
    world.release_store();
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::Stored));
}

#[test]
fn a_store_that_fails_is_not_passed_over_in_silence() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.store.is_broken = true;
    assert_eq!(world.call(alice, stored_to_peer(1, "bob", "x")).unwrap_err().kind, ErrorKind::Failure);
    assert_eq!(world.core.stats().store_failures, 1);
    // The same message may be tried again.
    world.store.is_broken = false;
    assert_eq!(world.call(alice, stored_to_peer(1, "bob", "x")).unwrap(), SendOutcome::Stored);
    assert_eq!(world.store.waiting("bob"), ["x"]);
}

#[test]
fn a_message_that_the_store_has_and_seems_not_to_have_comes_once_and_holds_up_no_move() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    let id = world.request(alice, stored_to_peer(1, "bob", "x"));
    world.store.seems_to_fail = 1;
    world.advance(secs(20));
    assert!(matches!(world.reply(alice, id), Some(Err(refusal)) if refusal.kind == ErrorKind::Failure));
    let pack = world.core.pack_session(world.now, &uid("bob")).unwrap();
    world.core.unpack_session(world.now, &pack).unwrap();
    let again = world.resume(bob);
    assert_eq!(world.texts(again), ["x"]);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn a_login_works_although_the_store_fails() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "old")).unwrap();
    world.store.is_broken = true;
    let bob = world.login("bob");
    world.call(alice, to_peer(2, "bob", "live")).unwrap();
    assert_eq!(world.texts(bob), ["live"]);
    world.store.is_broken = false;
    world.logout(bob);
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), ["old"]);
}

#[test]
fn the_201st_message_pushes_out_the_first() {
    let mut world = World::new();
    let alice = world.login("alice");
    for id in 1..=201 {
        assert_eq!(world.call(alice, stored_to_peer(id, "bob", &format!("m{id}"))).unwrap(), SendOutcome::Stored);
    }
    assert_eq!(world.core.stats().offline_dropped, 1);
    let bob = world.login("bob");
    let texts = world.texts(bob);
    assert_eq!(texts.len(), 200);
    assert_eq!((texts[0].as_str(), texts[199].as_str()), ("m2", "m201"));
}

#[test]
fn after_7_days_a_message_is_over() {
    const DAY: u64 = 24 * 60 * 60;
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "too old")).unwrap();
    world.logout(alice);
    world.advance(secs(1));
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(2, "bob", "just in time")).unwrap();
    world.logout(alice);
    world.advance(secs(7 * DAY));
    assert_eq!(world.store.waiting("bob"), ["too old", "just in time"], "the store is asked to tidy once an hour");
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), ["just in time"]);
    world.advance(secs(60 * 60));
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn a_message_to_a_user_in_its_grace_waits_9_s_and_is_stored_then() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    let id = world.request(alice, stored_to_peer(1, "bob", "x"));
    world.advance(millis(8_999));
    assert_eq!(outcome(&world, alice, id), None);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
    world.advance(millis(1));
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::Stored));
    assert_eq!(world.store.waiting("bob"), ["x"]);
}

#[test]
fn a_message_that_was_stored_during_an_absence_comes_once() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    world.request(alice, stored_to_peer(1, "bob", "x"));
    world.advance(secs(20));
    assert_eq!(world.store.waiting("bob"), ["x"]);
    let again = world.resume(bob);
    assert_eq!(world.texts(again), ["x"]);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn a_message_that_is_received_while_it_is_stored_comes_once_and_is_delivered() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, stored_to_peer(1, "bob", "x"));
    world.hold_store();
    world.advance(secs(10));
    assert_eq!(outcome(&world, alice, id), None);
    world.ack(bob, 1, 1);
    world.release_store();
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::Delivered));
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn a_message_that_is_received_while_stored_ones_are_read_comes_once() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    world.request(alice, stored_to_peer(1, "bob", "x"));
    world.advance(secs(20));
    world.hold_store();
    let again = world.resume(bob);
    assert_eq!(world.texts(again), ["x"], "from the session, and acknowledged");
    world.release_store();
    assert_eq!(world.texts(again), Vec::<String>::new());
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn messages_to_a_lapsed_session_are_stored_and_come_when_it_resumes() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    world.request(alice, stored_to_peer(1, "bob", "in the grace"));
    world.advance(secs(40));
    assert_eq!(world.call(alice, stored_to_peer(2, "bob", "after it")).unwrap(), SendOutcome::Stored);
    let again = world.resume(bob);
    assert_eq!(world.texts(again), ["in the grace", "after it"]);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn what_is_stored_while_a_session_still_waits_for_its_device_keeps_its_order() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    world.advance(secs(25));
    let first = world.request(alice, stored_to_peer(1, "bob", "in the grace"));
    world.advance(secs(6));
    // The user is offline by now, and the first message has 4 s left to be received.
    let second = world.request(alice, stored_to_peer(2, "bob", "after it"));
    assert_eq!(outcome(&world, alice, first), Some(SendOutcome::Stored));
    assert_eq!(outcome(&world, alice, second), Some(SendOutcome::Stored));
    let other = Login { instance: InstanceId::new("other").unwrap(), ..login_of("bob") };
    let bob = world.login_with(other);
    assert_eq!(world.texts(bob), ["in the grace", "after it"]);
}

#[test]
fn what_is_stored_behind_messages_that_wait_for_the_store_keeps_its_order() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, carol) = (world.login("alice"), world.login("carol"));
    let large = "x".repeat(9_000);
    // More than is read at once.
    for id in 1..=6 {
        world.call(alice, stored_to_peer(id, "bob", &large)).unwrap();
    }
    world.hold_store();
    let bob = world.login("bob");
    world.request(alice, stored_to_peer(7, "bob", "waits in the session"));
    world.cut(bob);
    for id in 1..=11 {
        world.request(carol, to_peer(id, "bob", &large));
    }
    // There is no more room in the session.
    world.request(alice, stored_to_peer(8, "bob", &"waits in the store ".repeat(500)));
    world.release_store();
    let again = world.resume(bob);
    let mut texts = world.texts(again);
    texts.retain(|text| text.starts_with("waits"));
    texts.iter_mut().for_each(|text| text.truncate(18));
    assert_eq!(texts, ["waits in the sessi", "waits in the store"]);
}

/// Alice's first message waits in Bob's session behind pages of stored ones, and is stored itself when nobody has it in time.
/// The page in which it is then is read without it. There is no room for her second one.
fn waits_behind_read_pages(is_reading: bool) -> Vec<String> {
    let mut config = config();
    config.settings.session_bytes = 40_000;
    let mut world = World::with(config);
    let (alice, bob, carol) = (world.login("alice"), world.login("bob"), world.login("carol"));
    world.stop_acks(bob);
    world.logout(bob);
    for id in 1..=4 {
        world.call(carol, stored_to_peer(id, "bob", &"x".repeat(4_000))).unwrap();
    }
    let bob = world.login_again(bob, login_of("bob"));
    let first = world.request(alice, stored_to_peer(1, "bob", "first"));
    world.cut(bob);
    world.advance(secs(10));
    assert_eq!(outcome(&world, alice, first), Some(SendOutcome::Stored));
    // Of another node, or of an import.
    (0..4).for_each(|_| world.store.keep("bob", &"x".repeat(4_000)));
    let bob = world.resume(bob);
    if is_reading {
        world.hold_store();
        let received = world.received(bob);
        world.ack(bob, received, received);
    }
    world.cut(bob);
    for id in 5..=8 {
        world.request(carol, to_peer(id, "bob", &"x".repeat(9_000)));
    }
    let second = world.request(alice, stored_to_peer(2, "bob", &format!("second{}", "x".repeat(9_000))));
    world.release_store();
    assert_eq!(outcome(&world, alice, second), Some(SendOutcome::Stored));
    let bob = world.resume(bob);
    let mut texts = Vec::new();
    for _ in 0..10 {
        texts.extend(world.texts(bob));
        let received = world.received(bob);
        world.ack(bob, received, received);
    }
    texts.retain(|text| !text.starts_with('x'));
    texts.iter_mut().for_each(|text| text.truncate(6));
    texts
}

#[test]
fn what_waited_behind_pages_that_were_read_without_it_is_read_from_the_store() {
    assert_eq!(waits_behind_read_pages(false), ["first", "second"]);
}

#[test]
fn what_waited_behind_a_page_is_read_from_the_store_also_while_the_next_page_is_being_read() {
    assert_eq!(waits_behind_read_pages(true), ["first", "second"]);
}

#[test]
fn what_waits_for_stored_messages_is_stored_in_the_order_of_its_sender_whatever_the_deadlines() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "stored")).unwrap();
    world.hold_store();
    let bob = world.login("bob");
    world.cut(bob);
    world.request(alice, stored_to_peer(2, "bob", "first"));
    let mut shorter = config();
    shorter.settings.receipt_within = secs(1);
    world.core.reconfigure(world.now, shorter);
    world.request(alice, stored_to_peer(3, "bob", "second"));
    world.advance(secs(5));
    world.advance(secs(10));
    world.release_store();
    assert_eq!(world.store.waiting("bob"), ["stored", "first", "second"]);
}

#[test]
fn a_message_that_finds_room_waits_behind_one_that_did_not() {
    let mut config = config();
    config.settings.session_bytes = 100_000;
    let mut world = World::with(config);
    let (alice, bob, carol) = (world.login("alice"), world.login("bob"), world.login("carol"));
    world.cut(bob);
    for id in 1..=10 {
        world.request(carol, to_peer(id, "bob", &"x".repeat(9_000)));
    }
    let large = format!("first{}", "x".repeat(20_000));
    assert_eq!(world.call(alice, stored_to_peer(1, "bob", &large)).unwrap(), SendOutcome::Stored);
    let second = world.request(alice, to_peer(2, "bob", "second"));
    let again = world.resume(bob);
    let mut texts = world.texts(again);
    texts.retain(|text| !text.starts_with('x'));
    texts.iter_mut().for_each(|text| text.truncate(6));
    assert_eq!(texts, ["firstx", "second"]);
    assert_eq!(outcome(&world, alice, second), Some(SendOutcome::Delivered));
}

#[test]
fn what_an_ended_session_had_not_received_is_stored() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, stored_to_peer(1, "bob", "x"));
    world.logout(bob);
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::Stored));
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), ["x"]);
}

#[test]
fn what_an_ousted_session_had_not_received_comes_to_the_newer_one() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, stored_to_peer(1, "bob", "x"));
    let newer = Login { instance: InstanceId::new("other").unwrap(), ..login_of("bob") };
    let bob = world.login_with(newer);
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::Stored));
    assert_eq!(world.texts(bob), ["x"]);
}

#[test]
fn live_messages_wait_for_older_stored_ones() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "stored")).unwrap();
    world.hold_store();
    let bob = world.login("bob");
    world.request(alice, to_peer(2, "bob", "live"));
    assert_eq!(world.texts(bob), Vec::<String>::new());
    world.release_store();
    assert_eq!(world.texts(bob), ["stored", "live"]);
}

#[test]
fn a_live_message_that_waits_for_the_store_has_its_10_s_too() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.hold_store();
    let bob = world.login("bob");
    let id = world.request(alice, to_peer(1, "bob", "live"));
    world.advance(secs(10));
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::NotReceived));
    world.release_store();
    assert_eq!(world.texts(bob), ["live"]);
}

#[test]
fn more_than_a_session_holds_is_read_page_by_page() {
    let mut config = config();
    config.settings.session_bytes = 40_000;
    let mut world = World::with(config);
    let alice = world.login("alice");
    for id in 1..=50 {
        let text = format!("{id:02}{}", "x".repeat(4000));
        assert_eq!(world.call(alice, stored_to_peer(id, "bob", &text)).unwrap(), SendOutcome::Stored);
    }
    let bob = world.connect();
    world.stop_acks(bob);
    world.frame(bob, rtm_codec::ClientFrame::Login(Box::new(login_of("bob"))));
    let first = world.texts(bob).len();
    assert!((1..10).contains(&first), "the first page has {first}");
    world.request(alice, to_peer(99, "bob", "live"));
    let mut texts = Vec::new();
    for _ in 0..100 {
        let received = world.received(bob);
        world.ack(bob, received, received);
        texts.extend(world.texts(bob));
    }
    assert_eq!(texts.len() + first, 51);
    assert!(texts.is_sorted_by(|a, b| a[..2] < b[..2] || b == "live"));
    assert_eq!(world.closed(bob), None);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn a_stored_binary_message_waits_for_a_client_that_can_take_it() {
    let mut world = World::new();
    let alice = world.login("alice");
    let binary = SendMessageToPeer { message: RtmMessage::binary(vec![1, 2]), ..stored_to_peer(1, "bob", "") };
    assert_eq!(world.call(alice, binary).unwrap(), SendOutcome::Stored);
    let deaf = world
        .login_with(Login { abilities: Abilities { binary: false, ..Wire::Native.abilities() }, ..login_of("bob") });
    assert_eq!(world.events(deaf), []);
    world.logout(deaf);
    let bob = world.login("bob");
    assert_eq!(world.events(bob).len(), 1);
}

#[test]
fn what_was_stored_outlives_the_server() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "x")).unwrap();
    let mut world = world.restart(config());
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), ["x"]);
}

#[test]
fn a_vendor_client_is_not_pushed_what_it_pulls() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "x")).unwrap();
    let bob = world.login_vendor("bob");
    assert_eq!(world.texts(bob), Vec::<String>::new());
    assert_eq!(world.store.waiting("bob"), ["x"]);
}

/// Every removal fails until the store is well again.
fn without_removals(world: &mut World) {
    world.store.fails = Some(|work| matches!(work, StoreWork::Remove { .. }));
}

#[test]
fn a_message_that_could_not_be_removed_comes_once_to_a_session() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    world.request(alice, stored_to_peer(1, "bob", "one"));
    world.advance(secs(20));
    without_removals(&mut world);
    let bob = world.resume(bob);
    assert_eq!((world.texts(bob), world.store.waiting("bob")), (vec!["one".to_owned()], vec!["one".to_owned()]));
    world.store.fails = None;
    world.cut(bob);
    let bob = world.resume(bob);
    assert_eq!(world.texts(bob), Vec::<String>::new());
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new(), "it is removed when the store is well again");
}

#[test]
fn no_more_is_read_while_what_was_received_cannot_be_removed() {
    let mut world = World::new();
    let alice = world.login("alice");
    let all: Vec<_> = (1..=200).map(|id| format!("m{id}")).collect();
    for (id, text) in (1..).zip(&all) {
        world.call(alice, stored_to_peer(id, "bob", text)).unwrap();
    }
    without_removals(&mut world);
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), all[..128], "a client recognises no more than a page");
    world.call(alice, to_peer(201, "bob", "live")).unwrap();
    assert_eq!(world.texts(bob), ["live"]);
    assert_eq!(world.store.waiting("bob"), all);
    world.store.fails = None;
    world.logout(bob);
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), all);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn a_message_fails_for_itself_and_the_next_is_stored() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.store.fails = Some(|work| match work {
        StoreWork::Append { entry: LogEntry::Message(message), .. } => message.message.as_text() == Some("fails"),
        _ => false,
    });
    world.hold_store();
    let asked = [(1, "one"), (2, "fails"), (3, "three")]
        .map(|(id, text)| world.request(alice, stored_to_peer(id, "bob", text)));
    world.release_store();
    let outcomes = asked.map(|id| match world.reply(alice, id).unwrap() {
        Ok(Answer::SendMessageToPeer(outcome)) => Ok(outcome),
        other => Err(other.unwrap_err().kind),
    });
    assert_eq!(outcomes, [Ok(SendOutcome::Stored), Err(ErrorKind::Failure), Ok(SendOutcome::Stored)]);
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), ["one", "three"]);
}
