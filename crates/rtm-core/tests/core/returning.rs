//! A device of the vendor's SDK that comes back by itself: it hears nothing of a channel before it has joined it again.

use std::ops::Range;

use rtm_codec::{
    AppId, CallLimits, ChannelAttributeTarget, ErrorKind, Event, GetUserAttributes, JoinChannel, LeaveChannel,
    MessageId, RtmMessage, SendChannelMessage, SendOutcome, SetChannelAttributes, SetLocalUserAttributes,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest},
};

use crate::harness::*;

fn join(id: &str) -> JoinChannel {
    JoinChannel { channel_id: room(id) }
}

fn say(world: &mut World, client: C, channel: &str, id: u64, text: &str) {
    let say = SendChannelMessage {
        message_id: MessageId(id),
        channel_id: room(channel),
        message: text.into(),
        enable_historical_messaging: false,
    };
    world.call(client, say).unwrap();
}

fn say_all(world: &mut World, client: C, channel: &str, ids: Range<u64>) {
    ids.for_each(|id| say(world, client, channel, id, &format!("m{id}")));
}

/// Alice with the vendor's SDK and Bob with this project's client, in these rooms. Nothing is left to be told.
fn both_in(world: &mut World, rooms: &[&str]) -> (C, C) {
    let (alice, bob) = (world.login_vendor("alice"), world.login("bob"));
    for room in rooms {
        world.call(alice, join(room)).unwrap();
        world.call(bob, join(room)).unwrap();
    }
    world.advance(secs(4));
    world.events(alice);
    world.events(bob);
    (alice, bob)
}

/// As the SDK comes back: the same object, on a new socket.
fn come_back(world: &mut World, client: C) -> C {
    world.login_again(client, vendor_login_of("alice"))
}

/// What came since events were last taken, each in a word.
fn words(world: &mut World, client: C) -> Vec<String> {
    let word = |event: Event| match event {
        Event::MessageFromPeer(message) => message.message.as_text().unwrap().to_owned(),
        Event::ChannelMessage { message: RtmMessage::Text(text), .. } => text.to_string(),
        Event::MemberJoined { member_id, .. } => format!("{member_id} joined"),
        Event::MemberLeft { member_id, .. } => format!("{member_id} left"),
        Event::MemberCountUpdated { member_count, .. } => format!("{member_count} members"),
        Event::AttributesUpdated { attributes, .. } => format!("{} attributes", attributes.attributes.len()),
        Event::Gap { lost, .. } => format!("{lost:?} lost"),
        other => panic!("{other:?}"),
    };
    world.events(client).into_iter().map(word).collect()
}

#[test]
fn what_a_channel_saw_meanwhile_comes_right_after_the_answer_to_the_join_in_order() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r"]);
    world.cut(alice);
    say(&mut world, bob, "r", 1, "one");
    let carol = world.login("carol");
    world.call(carol, join("r")).unwrap();
    let target = ChannelAttributeTarget { channel_id: room("r"), notify: true, expected_revision: None };
    world.call(bob, SetChannelAttributes { target, attributes: attributes(&[("topic", "x")]) }).unwrap();
    say(&mut world, bob, "r", 2, "two");
    world.call(carol, LeaveChannel { channel_id: room("r") }).unwrap();
    world.advance(secs(8));
    let again = come_back(&mut world, alice);
    assert_eq!(words(&mut world, again), [""; 0], "its SDK would not hear it");
    world.call(again, join("r")).unwrap();
    assert_eq!(words(&mut world, again), ["one", "carol joined", "1 attributes", "two", "carol left", "2 members"]);
    assert_eq!(world.log(again)[1..3], ["Reply 1", "ChannelMessage"]);
    assert_eq!(words(&mut world, bob), ["carol joined", "3 members", "1 attributes", "carol left", "2 members"]);
}

#[test]
fn what_is_said_between_its_login_and_its_join_follows_what_was_said_before() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r"]);
    world.cut(alice);
    say_all(&mut world, bob, "r", 1..3);
    let again = come_back(&mut world, alice);
    say_all(&mut world, bob, "r", 3..203);
    assert_eq!(words(&mut world, again), [""; 0]);
    world.call(again, join("r")).unwrap();
    say(&mut world, bob, "r", 203, "m203");
    let mut expected: Vec<_> = (1..203).map(|id| format!("m{id}")).collect();
    expected.extend(["2 members".to_owned(), "m203".to_owned()]);
    assert_eq!(words(&mut world, again), expected);
}

#[test]
fn each_channel_waits_for_its_own_join_and_messages_of_peers_for_none() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r", "s"]);
    world.cut(alice);
    say(&mut world, bob, "r", 1, "in r");
    say(&mut world, bob, "s", 2, "in s");
    world.request(bob, to_peer(3, "alice", "to alice"));
    let again = come_back(&mut world, alice);
    assert_eq!(words(&mut world, again), ["to alice"]);
    world.call(again, join("s")).unwrap();
    assert_eq!(words(&mut world, again), ["in s", "2 members"]);
    say(&mut world, bob, "s", 4, "more in s");
    assert_eq!(words(&mut world, again), ["more in s"]);
    world.call(again, join("r")).unwrap();
    assert_eq!(words(&mut world, again), ["in r", "2 members"]);
}

#[test]
fn what_was_not_written_before_the_break_waits_too() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r"]);
    world.stop_acks(alice);
    say(&mut world, bob, "r", 1, "perhaps lost with the socket");
    world.cut(alice);
    say(&mut world, bob, "r", 2, "missed");
    let again = come_back(&mut world, alice);
    assert_eq!(words(&mut world, again), [""; 0]);
    world.call(again, join("r")).unwrap();
    assert_eq!(words(&mut world, again), ["perhaps lost with the socket", "missed", "2 members"]);
}

#[test]
fn after_an_absence_of_over_30_s_it_gets_the_first_30_s_with_its_new_join() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r"]);
    world.cut(alice);
    say(&mut world, bob, "r", 1, "in time");
    world.advance(secs(40));
    say(&mut world, bob, "r", 2, "too late");
    let again = come_back(&mut world, alice);
    say(&mut world, bob, "r", 3, "before the join");
    assert_eq!(words(&mut world, again), [""; 0]);
    world.call(again, join("r")).unwrap();
    assert_eq!(words(&mut world, again), ["in time", "None lost", "2 members"]);
    say(&mut world, bob, "r", 4, "after it");
    assert_eq!(words(&mut world, again), ["after it"]);
}

#[test]
fn a_client_that_does_not_join_again_gets_everything_after_10_s() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r"]);
    world.cut(alice);
    say(&mut world, bob, "r", 1, "one");
    let again = come_back(&mut world, alice);
    say(&mut world, bob, "r", 2, "two");
    let carol = world.login("carol");
    world.call(carol, join("r")).unwrap();
    world.advance(millis(9_999));
    assert_eq!(words(&mut world, again), [""; 0]);
    world.advance(millis(1));
    assert_eq!(words(&mut world, again), ["one", "two", "carol joined", "3 members"]);
    say(&mut world, bob, "r", 3, "three");
    assert_eq!(words(&mut world, again), ["three"]);
}

#[test]
fn a_link_that_breaks_again_before_the_join_loses_nothing() {
    let mut world = World::new();
    let (mut alice, bob) = both_in(&mut world, &["r", "s"]);
    for round in 0..5 {
        world.cut(alice);
        say(&mut world, bob, "r", 10 * round + 1, &format!("away {round}"));
        alice = come_back(&mut world, alice);
        say(&mut world, bob, "r", 10 * round + 2, &format!("back {round}"));
        world.call(alice, join("s")).unwrap();
        assert_eq!(words(&mut world, alice), ["2 members"]);
    }
    world.call(alice, join("r")).unwrap();
    let mut expected: Vec<_> = (0..5).flat_map(|round| [format!("away {round}"), format!("back {round}")]).collect();
    expected.push("2 members".to_owned());
    assert_eq!(words(&mut world, alice), expected);
}

#[test]
fn who_leaves_instead_gets_nothing_of_the_channel() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r"]);
    world.cut(alice);
    say(&mut world, bob, "r", 1, "missed");
    let again = come_back(&mut world, alice);
    world.call(again, LeaveChannel { channel_id: room("r") }).unwrap();
    world.advance(secs(20));
    assert_eq!(words(&mut world, again), [""; 0]);
}

/// The SDK fetches its stored messages after a login of its application, and not when it comes back by itself.
#[test]
fn a_login_after_a_logout_that_was_not_heard_begins_with_nothing() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r", "s"]);
    world.call(alice, SetLocalUserAttributes { attributes: attributes(&[("mood", "good")]) }).unwrap();
    world.cut(alice);
    say(&mut world, bob, "r", 1, "one");
    let again = come_back(&mut world, alice);
    // Its application may be quicker than its fetch.
    world.call(again, join("s")).unwrap();
    assert_eq!(fetched(&mut world), [""; 0]);
    world.advance(secs(2));
    assert_eq!(words(&mut world, bob), ["alice left", "1 members"]);
    let of_alice =
        |world: &mut World, client: C| world.call(client, GetUserAttributes { user_id: uid("alice"), keys: None });
    assert_eq!(of_alice(&mut world, bob).unwrap(), attributes(&[]));
    say(&mut world, bob, "r", 2, "two");
    say(&mut world, bob, "s", 3, "three");
    world.advance(secs(11));
    assert_eq!(words(&mut world, again), ["2 members", "three"]);
    // What it sets now is no repetition of what it had.
    world.call(again, SetLocalUserAttributes { attributes: attributes(&[("mood", "bad"), ("city", "x")]) }).unwrap();
    world.cut(again);
    let again = come_back(&mut world, again);
    world.call(again, SetLocalUserAttributes { attributes: attributes(&[("city", "x")]) }).unwrap();
    assert_eq!(of_alice(&mut world, bob).unwrap().len(), 2, "it comes back by itself");
    world.cut(again);
    let again = come_back(&mut world, again);
    fetched(&mut world);
    world.call(again, SetLocalUserAttributes { attributes: attributes(&[("city", "x")]) }).unwrap();
    assert_eq!(of_alice(&mut world, bob).unwrap(), attributes(&[("city", "x")]), "its application sets these");
}

#[test]
fn a_session_that_moves_before_the_join_loses_nothing() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &["r"]);
    world.cut(alice);
    say(&mut world, bob, "r", 1, "away");
    let again = come_back(&mut world, alice);
    say(&mut world, bob, "r", 2, "back");
    let pack = world.core.pack_session(world.now, &uid("alice")).unwrap();
    world.core.unpack_session(world.now, &pack).unwrap();
    world.pump();
    assert!(!world.is_open(again));
    let again = come_back(&mut world, again);
    assert_eq!(words(&mut world, again), [""; 0]);
    world.call(again, join("r")).unwrap();
    assert_eq!(words(&mut world, again), ["away", "back", "2 members"]);
}

#[test]
fn a_busy_channel_costs_its_oldest_messages_and_never_the_connection() {
    let mut config = config();
    config.settings.session_bytes = 64 * 1024;
    let mut world = World::with(config);
    let (alice, bob) = both_in(&mut world, &["r", "s"]);
    world.cut(alice);
    let again = come_back(&mut world, alice);
    say(&mut world, bob, "s", 9999, "in s");
    say_all(&mut world, bob, "r", 1..2001);
    world.call(again, join("r")).unwrap();
    let words = words(&mut world, again);
    let kept = words.len() - 2;
    assert!(kept > 300, "{kept} were kept");
    assert_eq!(words[0], format!("Some({}) lost", 2000 - kept));
    assert_eq!(words[1], format!("m{}", 2001 - kept));
    assert_eq!(words[kept], "m2000");
    assert_eq!(world.closed(again), None);
}

#[test]
fn what_it_does_by_itself_when_it_comes_back_counts_for_no_limit() {
    let mut config = config();
    config.limits = CallLimits::default();
    let mut world = World::with(config);
    let rooms: Vec<String> = (0..20).map(|n| format!("room{n}")).collect();
    let mut alice = world.login_vendor("alice");
    for room in &rooms {
        world.call(alice, join(room)).unwrap();
    }
    let set = || SetLocalUserAttributes { attributes: attributes(&[("mood", "good")]) };
    world.call(alice, set()).unwrap();
    for _ in 0..30 {
        world.cut(alice);
        alice = come_back(&mut world, alice);
        world.call(alice, set()).unwrap();
        for room in &rooms {
            world.call(alice, join(room)).unwrap();
        }
    }
    // What its user does counts as before.
    for _ in 0..9 {
        world.call(alice, set()).unwrap();
    }
    assert_eq!(world.call(alice, set()).unwrap_err().kind, ErrorKind::TooOften);
}

#[test]
fn stored_messages_that_it_does_not_fetch_come_with_receipts_3_s_after_its_login() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &[]);
    world.cut(alice);
    world.advance(secs(35));
    for (id, text) in [(1, "one"), (2, "two")] {
        assert_eq!(world.call(bob, stored_to_peer(id, "alice", text)).unwrap(), SendOutcome::Stored);
    }
    let again = come_back(&mut world, alice);
    world.request(bob, to_peer(3, "alice", "live"));
    world.advance(millis(2_999));
    assert_eq!(words(&mut world, again), ["live"]);
    world.stop_acks(again);
    world.advance(millis(1));
    let events = world.events(again);
    let is_stored = |event: &Event| matches!(event, Event::MessageFromPeer(it) if it.is_offline_message);
    assert_eq!(names(&events), ["MessageFromPeer"; 2]);
    assert!(events.iter().all(is_stored));
    assert_eq!(world.store.waiting("alice"), ["one", "two"], "they are not acknowledged yet");
    let received = world.received(again);
    world.ack(again, received - 1, received - 1);
    assert_eq!(world.store.waiting("alice"), ["two"]);
    world.cut(again);
    // What it has not acknowledged comes again.
    let again = world.login_vendor("alice");
    assert_eq!(words(&mut world, again), ["two"]);
    assert_eq!(world.store.waiting("alice"), [""; 0]);
    world.advance(secs(10));
    assert_eq!(words(&mut world, again), [""; 0], "none comes twice");
}

#[test]
fn a_session_that_was_forgotten_meanwhile_makes_no_difference_to_stored_messages() {
    let mut world = World::new();
    let (alice, bob) = both_in(&mut world, &[]);
    world.cut(alice);
    world.advance(secs(200));
    world.call(bob, stored_to_peer(1, "alice", "stored")).unwrap();
    let again = come_back(&mut world, alice);
    world.advance(secs(3));
    assert_eq!(words(&mut world, again), ["stored"]);
}

#[test]
fn stored_messages_that_it_fetches_come_only_so() {
    let mut world = World::new();
    let bob = world.login("bob");
    world.call(bob, stored_to_peer(1, "alice", "stored")).unwrap();
    let alice = world.login_vendor("alice");
    world.advance(millis(2_999));
    assert_eq!(fetched(&mut world), ["stored"]);
    world.advance(secs(30));
    assert_eq!(words(&mut world, alice), [""; 0]);
}

#[test]
fn who_fetches_too_late_gets_none_twice() {
    let mut world = World::new();
    let bob = world.login("bob");
    world.call(bob, stored_to_peer(1, "alice", "stored")).unwrap();
    let alice = world.login_vendor("alice");
    world.stop_acks(alice);
    world.advance(secs(3));
    assert_eq!(words(&mut world, alice), ["stored"]);
    assert_eq!(fetched(&mut world), [""; 0], "it has been sent, and waits for its receipt");
    let received = world.received(alice);
    world.ack(alice, received, received);
    assert_eq!(world.store.waiting("alice"), [""; 0]);
}

#[test]
fn stored_messages_that_could_not_be_fetched_come_as_events() {
    let mut world = World::new();
    let bob = world.login("bob");
    world.call(bob, stored_to_peer(1, "alice", "stored")).unwrap();
    let alice = world.login_vendor("alice");
    world.store.is_broken = true;
    assert_eq!(world.ask(stored()).1, GatewayAnswer::Refused(ErrorKind::Failure));
    world.store.is_broken = false;
    world.advance(millis(2_999));
    assert_eq!(words(&mut world, alice), [""; 0]);
    world.advance(millis(1));
    assert_eq!(words(&mut world, alice), ["stored"]);
}

/// Alice's request for her stored messages.
fn stored() -> GatewayRequest {
    let app_id = AppId::new(APP_ID).unwrap();
    GatewayRequest::OfflineMessages {
        caller: Caller { app_id, user_id: uid("alice"), session: "gateway-of-alice".into() },
        page: None,
    }
}

fn fetched(world: &mut World) -> Vec<String> {
    let (_, answer) = world.ask(stored());
    let GatewayAnswer::OfflineMessages(page) = answer else { panic!("{answer:?}") };
    page.messages.iter().map(|message| message.message.as_text().unwrap().to_owned()).collect()
}
