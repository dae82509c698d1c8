//! Stored mail over nodes: nothing that was stored stays unread.

use rtm_codec::{Answer, CloseReason, SendMessageToPeer, SendOutcome, Wire};
use rtm_core::store::LogKey;

use crate::harness::*;

fn stored(id: u64, peer: &str, text: &str) -> SendMessageToPeer {
    SendMessageToPeer { enable_offline_messaging: true, ..to_peer(id, peer, text) }
}

const STORED: Result<Answer, rtm_codec::Refusal> = Ok(Answer::SendMessageToPeer(SendOutcome::Stored));

#[test]
fn what_a_session_leaves_in_the_store_is_read_elsewhere_although_the_engine_answers_late() {
    let mut world = World::new(3);
    let (alice, carol) = (world.login(0, "alice"), world.login(1, "carol"));
    world.cut(carol);
    // Carol's other client takes her place at node 2, and reads her stored messages. Node 1 hears of that only then, and has got one
    // more since it was asked.
    [0, 1].into_iter().for_each(|number| world.blind(number));
    world.engine.is_late = true;
    let other = world.start_login(2, other_login_of("carol"));
    world.pump();
    let sent = world.request(alice, stored(1, "carol", "while away"));
    world.stall(2, 1);
    world.answer_late();
    assert!(world.welcome(other).is_some());
    // It stores what it has for her, and the engine tells it what was before.
    world.engine.reads_old = true;
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.reply(alice, sent), Some(&STORED));
    assert_eq!(world.texts(other), ["while away"]);
}

/// Bob logs in while a message for him is being stored, and reads before it is.
fn stored_after_the_login(world: &mut World) -> (C, rtm_codec::RequestId, C) {
    let alice = world.login(0, "alice");
    world.is_store_held = true;
    let sent = world.request(alice, stored(1, "bob", "for bob"));
    world.pump();
    let bob = world.start_login(1, login_of("bob"));
    world.pump();
    world.read_first();
    (alice, sent, bob)
}

#[test]
fn a_user_that_logs_in_while_a_message_is_stored_reads_it() {
    let mut world = World::new(2);
    let (alice, sent, bob) = stored_after_the_login(&mut world);
    world.is_store_held = false;
    world.pump();
    assert_eq!(world.reply(alice, sent), Some(&STORED));
    assert_eq!(world.texts(bob), ["for bob"]);
}

#[test]
fn the_engine_is_asked_until_it_answers() {
    let mut world = World::new(2);
    let (_, _, bob) = stored_after_the_login(&mut world);
    world.engine.is_deaf = 5;
    world.is_store_held = false;
    world.advance(secs(2));
    assert_eq!(world.texts(bob), ["for bob"]);
}

#[test]
fn who_stored_a_message_may_be_killed_before_it_tells() {
    let mut world = World::new(2);
    let (_, _, bob) = stored_after_the_login(&mut world);
    world.engine.is_deaf = usize::MAX;
    world.is_store_held = false;
    world.pump();
    assert_eq!(world.texts(bob), [] as [&str; 0]);
    world.kill(0);
    world.advance(secs(16));
    assert_eq!(world.texts(bob), ["for bob"]);
}

#[test]
fn nothing_waits_for_a_silent_store_to_read_once_more() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.advance(secs(10));
    world.is_store_held = true;
    world.advance(secs(10));
    let sent = world.request(alice, to_peer(1, "bob", "live"));
    world.pump();
    assert_eq!(world.texts(bob), ["live"]);
    assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
}

#[test]
fn nothing_waits_for_a_silent_store_where_a_client_did_not_fetch_in_time() {
    let mut world = World::new(2);
    let login = rtm_codec::Login { abilities: Wire::Vendor.abilities(), ..login_of("bob") };
    let (alice, bob) = (world.login(0, "alice"), world.login_with(0, login));
    world.is_store_held = true;
    world.advance(secs(4));
    let sent = world.request(alice, to_peer(1, "bob", "live"));
    world.pump();
    assert_eq!(world.texts(bob), ["live"]);
    assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
}

#[test]
fn a_message_that_is_stored_is_not_overtaken_by_the_next_one() {
    let mut world = World::new(2);
    let (alice, sent, bob) = stored_after_the_login(&mut world);
    let next = world.request(alice, to_peer(2, "bob", "next"));
    world.pump();
    assert_eq!(world.texts(bob), [] as [&str; 0], "it waits for the first");
    world.is_store_held = false;
    world.pump();
    assert_eq!(world.texts(bob), ["for bob", "next"]);
    assert_eq!(world.reply(alice, sent), Some(&STORED));
    assert_eq!(world.reply(alice, next), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
}

#[test]
fn a_sender_hears_that_a_message_is_stored_when_its_receiver_knows_of_it() {
    let mut world = World::new(2);
    let (alice, sent, bob) = stored_after_the_login(&mut world);
    world.stall(0, 1);
    world.is_store_held = false;
    world.pump();
    assert_eq!(world.reply(alice, sent), None, "bob is yet to be told to read");
    world.unstall();
    world.pump();
    assert_eq!(world.reply(alice, sent), Some(&STORED));
    assert_eq!(world.texts(bob), ["for bob"]);
}

#[test]
fn a_message_does_not_overtake_one_that_a_session_left_to_the_store() {
    for back_on in [0, 2] {
        let mut world = World::new(3);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.cut(bob);
        let left = world.request(alice, stored(1, "bob", "left"));
        world.is_store_held = true;
        // Another device puts an end to the session that has it.
        let other = world.start_login(back_on, other_login_of("bob"));
        world.pump();
        world.read_first();
        let next = world.request(alice, stored(2, "bob", "next"));
        world.pump();
        world.is_store_held = false;
        world.advance(secs(2));
        assert_eq!(world.reply(alice, left), Some(&STORED), "back on {back_on}");
        assert_eq!(world.texts(other), ["left", "next"], "back on {back_on}");
        assert!(world.reply(alice, next).is_some(), "back on {back_on}");
    }
}

#[test]
fn a_message_does_not_overtake_one_of_before_its_sender_moved() {
    for back_on in [0, 2] {
        let mut world = World::new(3);
        let (alice, bob) = (world.login(1, "alice"), world.login(1, "bob"));
        world.cut(bob);
        let first = world.request(alice, stored(1, "bob", "first"));
        let alice = world.resume(0, alice);
        world.is_store_held = true;
        // Another device puts an end to the session that has the first one, and reads before that is stored.
        let other = world.start_login(back_on, other_login_of("bob"));
        world.pump();
        world.read_first();
        let second = world.request(alice, stored(2, "bob", "second"));
        world.pump();
        assert_eq!(world.texts(other), [] as [&str; 0], "back on {back_on}");
        world.is_store_held = false;
        world.advance(secs(2));
        assert_eq!(world.texts(other), ["first", "second"], "back on {back_on}");
        assert_eq!(world.reply(alice, first), Some(&STORED), "back on {back_on}");
        assert!(world.reply(alice, second).is_some(), "back on {back_on}");
    }
}

#[test]
fn a_message_does_not_overtake_one_of_its_senders_last_session() {
    for (from, back_on) in [(1, 0), (0, 0), (0, 2)] {
        let mut world = World::new(3);
        let (alice, bob) = (world.login(from, "alice"), world.login(1, "bob"));
        world.cut(bob);
        world.request(alice, stored(1, "bob", "first"));
        world.logout(alice);
        let alice = world.login(0, "alice");
        world.is_store_held = true;
        // What bob's session on node 1 leaves to the store is there before his next one reads.
        let other = world.start_login(back_on, other_login_of("bob"));
        world.pump();
        world.read_first();
        world.request(alice, stored(2, "bob", "second"));
        world.pump();
        assert_eq!(world.texts(other), [] as [&str; 0], "from {from}, back on {back_on}");
        world.is_store_held = false;
        world.advance(secs(2));
        assert_eq!(world.texts(other), ["first", "second"], "from {from}, back on {back_on}");
    }
}

#[test]
fn who_takes_a_session_over_does_not_wait_for_a_silent_store() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.cut(bob);
    world.request(alice, stored(1, "bob", "first"));
    world.is_store_held = true;
    let other = world.start_login(1, other_login_of("bob"));
    world.advance(secs(1));
    assert!(world.welcome(other).is_none());
    world.advance(secs(2));
    assert!(world.welcome(other).is_some());
    world.is_store_held = false;
    world.advance(secs(1));
    assert_eq!(world.texts(other), ["first"]);
}

#[test]
fn what_a_sender_left_behind_is_not_lost_with_the_node_that_has_it() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(1, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let sent = world.request(alice, to_peer(1, "bob", "on its way"));
    let alice = world.resume(0, alice);
    world.kill(1);
    let bob = world.login(2, "bob");
    world.advance(secs(1));
    assert_eq!(world.texts(bob), ["on its way"]);
    assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
}

#[test]
fn nothing_comes_twice_by_reading_once_more() {
    for wire in [Wire::Native, Wire::Vendor] {
        let mut world = World::new(2);
        let alice = world.login(0, "alice");
        for number in 0..5 {
            world.request(alice, stored(number, "bob", &number.to_string()));
        }
        world.is_store_behind = true;
        let mut login = login_of("bob");
        login.abilities = wire.abilities();
        let bob = world.login_with(1, login);
        world.advance(secs(5));
        assert_eq!(world.texts(bob), ["0", "1", "2", "3", "4"], "{wire}");
        world.advance(secs(20));
        assert_eq!(world.texts(bob), [] as [&str; 0], "{wire}");
        world.request(alice, stored(9, "bob", "live"));
        assert_eq!(world.texts(bob), ["live"], "{wire}");
    }
}

#[test]
fn a_session_that_moves_reads_what_was_stored_meanwhile() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    world.advance(secs(31));
    let sent = world.request(alice, stored(1, "bob", "late"));
    assert_eq!(world.reply(alice, sent), Some(&STORED));
    let bob = world.resume(2, bob);
    assert_eq!(world.texts(bob), ["late"]);
    world.advance(secs(30));
    assert_eq!(world.texts(bob), [] as [&str; 0]);
}

/// Node 1 has stored a message for bob, was lost before alice's node heard so, and bob is about to be on node 2.
fn stored_by_a_lost_node(world: &mut World) -> (C, rtm_codec::RequestId) {
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let sent = world.request(alice, stored(1, "bob", "once"));
    world.stall(1, 0);
    world.advance(secs(10));
    assert_eq!(world.stored(&LogKey::Stored(uid("bob"))), 1);
    assert_eq!(world.reply(alice, sent), None, "node 1 cannot tell it");
    (alice, sent)
}

#[test]
fn what_a_lost_node_had_stored_and_comes_again_is_there_once() {
    let mut world = World::new(3);
    let (alice, sent) = stored_by_a_lost_node(&mut world);
    let bob = world.start_login(2, login_of("bob"));
    world.kill(1);
    world.advance(secs(1));
    assert_eq!(world.reply(alice, sent), Some(&STORED));
    assert_eq!(world.texts(bob), ["once"]);
    world.advance(secs(20));
    assert_eq!(world.texts(bob), [] as [&str; 0]);
    assert_eq!(world.stored(&LogKey::Stored(uid("bob"))), 0);
}

#[test]
fn what_a_lost_node_had_stored_and_its_sender_stores_again_is_there_once() {
    for wire in [Wire::Native, Wire::Vendor] {
        let mut world = World::new(3);
        let (alice, sent) = stored_by_a_lost_node(&mut world);
        world.kill(1);
        world.advance(secs(1));
        assert_eq!(world.reply(alice, sent), Some(&STORED), "{wire}");
        assert_eq!(world.stored(&LogKey::Stored(uid("bob"))), 2, "{wire}");
        let login = rtm_codec::Login { abilities: wire.abilities(), ..login_of("bob") };
        let bob = world.login_with(2, login);
        world.advance(secs(20));
        assert_eq!(world.texts(bob), ["once"], "{wire}");
        assert_eq!(world.stored(&LogKey::Stored(uid("bob"))), 0, "{wire}");
    }
}

#[test]
fn another_device_is_let_in_also_where_the_older_one_is_back_while_the_store_is_at_work() {
    for returns in [false, true] {
        let mut world = World::new(2);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.cut(bob);
        world.request(alice, stored(1, "bob", "left"));
        world.is_store_held = true;
        let other = world.start_login(0, other_login_of("bob"));
        world.advance(millis(200));
        let back = returns.then(|| world.start_resume(1, bob));
        world.advance(millis(200));
        world.is_store_held = false;
        world.advance(secs(3));
        assert!(world.welcome(other).is_some(), "the older one is back: {returns}");
        if let Some(back) = back {
            assert_eq!(world.closed(back), Some(CloseReason::RemoteLogin));
        }
    }
}
