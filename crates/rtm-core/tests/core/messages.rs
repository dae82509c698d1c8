//! Messages from user to user: receipts, order, repeats, and what cannot be delivered.

use rtm_codec::{Answer, ErrorKind, Event, Login, MessageId, RtmMessage, SendMessageToPeer, SendOutcome};

use crate::harness::*;

fn outcome(world: &World, client: C, id: rtm_codec::RequestId) -> Option<SendOutcome> {
    match world.reply(client, id)? {
        Ok(Answer::SendMessageToPeer(outcome)) => Some(outcome),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_carries_its_sender_its_number_and_the_servers_time() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.advance(millis(1234));
    assert_eq!(world.call(alice, to_peer(42, "bob", "hi")).unwrap(), SendOutcome::Delivered);
    let events = world.events(bob);
    let [Event::MessageFromPeer(message)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(message.peer_id, uid("alice"));
    assert_eq!(message.message_id, MessageId(42));
    assert_eq!(message.message, RtmMessage::text("hi"));
    assert_eq!(message.server_received_ts, START_MS + 1234);
    assert!(!message.is_offline_message);
}

#[test]
fn a_message_is_delivered_when_the_device_says_so() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let first = world.request(alice, to_peer(1, "bob", "one"));
    let second = world.request(alice, to_peer(2, "bob", "two"));
    assert_eq!(outcome(&world, alice, first), None);
    world.ack(bob, 1, 0);
    assert_eq!(outcome(&world, alice, first), Some(SendOutcome::Delivered));
    assert_eq!(outcome(&world, alice, second), None);
    world.ack(bob, 2, 0);
    assert_eq!(outcome(&world, alice, second), Some(SendOutcome::Delivered));
}

#[test]
fn without_a_receipt_a_message_is_not_received_after_9_s() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(1, "bob", "slow"));
    world.advance(millis(8_999));
    assert_eq!(outcome(&world, alice, id), None);
    world.advance(millis(1));
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::NotReceived));
    // The late receipt changes nothing any more.
    world.ack(bob, 1, 1);
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::NotReceived));
}

#[test]
fn each_message_has_9_s_of_its_own() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let first = world.request(alice, to_peer(1, "bob", "one"));
    world.advance(secs(4));
    let second = world.request(alice, to_peer(2, "bob", "two"));
    world.advance(secs(5));
    assert_eq!(outcome(&world, alice, first), Some(SendOutcome::NotReceived));
    world.advance(millis(3_999));
    assert_eq!(outcome(&world, alice, second), None);
    world.advance(millis(1));
    assert_eq!(outcome(&world, alice, second), Some(SendOutcome::NotReceived));
}

#[test]
fn a_message_to_an_absent_user_is_not_received_at_once() {
    let mut world = World::new();
    let alice = world.login("alice");
    assert_eq!(world.call(alice, to_peer(1, "nobody-there", "hi")).unwrap(), SendOutcome::NotReceived);
    let bob = world.login("nobody-there");
    assert_eq!(world.texts(bob), Vec::<String>::new());
}

#[test]
fn a_user_can_write_to_itself() {
    let mut world = World::new();
    let alice = world.login("alice");
    assert_eq!(world.call(alice, to_peer(1, "alice", "note")).unwrap(), SendOutcome::Delivered);
    assert_eq!(world.texts(alice), ["note"]);
}

#[test]
fn messages_keep_their_order() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for id in 1..=500 {
        world.request(alice, to_peer(id, "bob", &id.to_string()));
    }
    let expected: Vec<String> = (1..=500).map(|id| id.to_string()).collect();
    assert_eq!(world.texts(bob), expected);
}

#[test]
fn an_empty_message_and_one_of_more_than_32_kib_are_refused() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let long = "x".repeat(32 * 1024 + 1);
    for text in ["", &long] {
        assert_eq!(world.call(alice, to_peer(1, "bob", text)).unwrap_err().kind, ErrorKind::InvalidMessage);
    }
    assert_eq!(world.call(alice, to_peer(1, "bob", &long[1..])).unwrap(), SendOutcome::Delivered);
    assert_eq!(world.texts(bob).len(), 1);
}

#[test]
fn a_repeated_message_is_delivered_once_and_answered_as_before() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for _ in 0..3 {
        assert_eq!(world.call(alice, to_peer(7, "bob", "once")).unwrap(), SendOutcome::Delivered);
    }
    assert_eq!(world.texts(bob), ["once"]);
}

#[test]
fn a_repeat_is_recognised_for_60_s_and_no_longer() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, to_peer(7, "bob", "x")).unwrap();
    world.advance(millis(59_999));
    world.call(alice, to_peer(7, "bob", "x")).unwrap();
    assert_eq!(world.texts(bob).len(), 1);
    world.advance(millis(1));
    world.call(alice, to_peer(7, "bob", "x")).unwrap();
    assert_eq!(world.texts(bob).len(), 1);
}

#[test]
fn one_number_of_two_senders_is_two_messages() {
    let mut world = World::new();
    let (alice, bob, carol) = (world.login("alice"), world.login("bob"), world.login("carol"));
    world.call(alice, to_peer(7, "carol", "from alice")).unwrap();
    world.call(bob, to_peer(7, "carol", "from bob")).unwrap();
    assert_eq!(world.texts(carol), ["from alice", "from bob"]);
}

#[test]
fn a_repeat_under_way_is_answered_with_the_first_one() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let first = world.request(alice, to_peer(7, "bob", "x"));
    let repeat = world.request(alice, to_peer(7, "bob", "x"));
    assert_eq!((outcome(&world, alice, first), outcome(&world, alice, repeat)), (None, None));
    world.ack(bob, 1, 1);
    assert_eq!(outcome(&world, alice, first), Some(SendOutcome::Delivered));
    assert_eq!(outcome(&world, alice, repeat), Some(SendOutcome::Delivered));
    assert_eq!(world.texts(bob), ["x"]);
}

#[test]
fn only_so_many_numbers_are_remembered() {
    let mut config = config();
    config.settings.repeat_ids = 10;
    let mut world = World::with(config);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for id in 1..=11 {
        world.call(alice, to_peer(id, "bob", "x")).unwrap();
    }
    world.texts(bob);
    world.call(alice, to_peer(2, "bob", "known")).unwrap();
    world.call(alice, to_peer(1, "bob", "forgotten")).unwrap();
    assert_eq!(world.texts(bob), ["forgotten"]);
}

#[test]
fn a_binary_message_reaches_a_native_client_and_is_refused_for_a_vendors() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let carol = world.login_vendor("carol");
    let binary = |peer: &str| SendMessageToPeer { message: RtmMessage::binary(vec![0, 159]), ..to_peer(1, peer, "") };
    assert_eq!(world.call(alice, binary("bob")).unwrap(), SendOutcome::Delivered);
    assert_eq!(world.events(bob).len(), 1);
    assert_eq!(world.call(alice, binary("carol")).unwrap_err().kind, ErrorKind::IncompatibleMessage);
    assert_eq!(world.events(carol), []);
}

#[test]
fn a_message_in_a_session_that_ends_is_not_received() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(1, "bob", "x"));
    world.logout(bob);
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::NotReceived));
}

#[test]
fn a_message_to_somebody_who_watches_itself_is_answered_when_its_session_ends() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let itself = rtm_codec::SubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] };
    world.call(bob, itself).unwrap();
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(1, "bob", "x"));
    world.logout(bob);
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::NotReceived));
}

#[test]
fn a_message_in_a_session_that_is_taken_over_is_not_received() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(1, "bob", "x"));
    world.login_with(Login { instance: rtm_codec::InstanceId::new("other").unwrap(), ..login_of("bob") });
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::NotReceived));
}

#[test]
fn a_sender_that_is_gone_disturbs_nobody() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.request(alice, to_peer(1, "bob", "x"));
    world.logout(alice);
    world.ack(bob, 1, 1);
    assert_eq!(world.texts(bob), ["x"]);
    assert_eq!(world.closed(bob), None);
}

#[test]
fn a_vendor_senders_new_count_is_not_answered_for_its_old_one() {
    let mut world = World::new();
    let (alice, bob) = (world.login_vendor("alice"), world.login("bob"));
    world.stop_acks(bob);
    let old = world.request(alice, to_peer(1, "bob", "before"));
    world.cut(alice);
    let again = world.login_vendor("alice");
    let new = world.request(again, to_peer(2, "bob", "after"));
    assert_eq!(old, new, "the vendor's codec counts from 1 on each socket");
    world.ack(bob, 1, 1);
    assert_eq!(outcome(&world, again, new), None, "that was the receipt of the other message");
    world.ack(bob, 2, 2);
    assert_eq!(outcome(&world, again, new), Some(SendOutcome::Delivered));
}

#[test]
fn a_message_has_its_9_s_also_when_its_receiver_begins_anew() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
    for id in 1..=5 {
        world.call(alice, to_peer(id, "bob", "x")).unwrap();
    }
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(6, "bob", "slow"));
    world.cut(bob);
    let login = vendor_login_of("bob");
    let again = world.login_again(bob, login);
    assert_eq!(world.texts(again), ["slow"]);
    world.advance(millis(8_999));
    assert_eq!(outcome(&world, alice, id), None);
    world.advance(millis(1));
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::NotReceived));
}

#[test]
fn what_a_vendor_client_has_not_acknowledged_comes_again() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(1, "bob", "x"));
    assert_eq!(world.texts(bob), ["x"]);
    world.cut(bob);
    let again = world.login_vendor("bob");
    assert_eq!(world.texts(again), ["x"]);
    assert_eq!(outcome(&world, alice, id), Some(SendOutcome::Delivered));
}

#[test]
fn requests_under_way_are_limited() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    for id in 1..=4096 {
        let request = world.request(alice, to_peer(id, "bob", "x"));
        assert!(world.reply(alice, request).is_none());
    }
    assert_eq!(world.call(alice, to_peer(5000, "bob", "x")).unwrap_err().kind, ErrorKind::TooOften);
    world.ack(bob, 1, 1);
    let request = world.request(alice, to_peer(5001, "bob", "x"));
    assert!(world.reply(alice, request).is_none());
}
