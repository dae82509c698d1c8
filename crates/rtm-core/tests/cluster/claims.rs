//! One session a user: logins on several nodes.

use rtm_codec::{Answer, CallLimit, ClientFrame, CloseReason, InstanceId, LimitedCall, Login, Resumption, SendOutcome};
use rtm_core::cluster::EngineAnswer;

use crate::harness::*;

#[test]
fn a_login_is_answered_when_the_entry_names_its_node() {
    let mut world = World::new(2);
    let alice = world.start_login(0, login_of("alice"));
    assert!(world.welcome(alice).is_none());
    world.pump();
    assert!(world.welcome(alice).is_some());
    assert_eq!(world.engine.entry("alice").unwrap().node, node(0));
    assert_eq!(world.cores[1].node_of(&uid("alice")), Some(&node(0)));
    assert_eq!(world.cores[0].node_of(&uid("alice")), None, "it is here");
}

#[test]
fn the_login_of_a_user_who_is_nowhere_asks_the_engine_once() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    assert_eq!(world.engine.asked, 1);
    world.logout(alice);
    let before = world.engine.asked;
    world.login(1, "alice");
    assert_eq!(world.engine.asked, before + 1, "it knows that she has left");
}

/// Each client object may log in once a minute.
fn one_login_a_minute(nodes: usize) -> World {
    let mut world = World::new(nodes);
    for core in &mut world.cores {
        let mut config = core.config().clone();
        config.limits.set(LimitedCall::Login, CallLimit::new(1, secs(60)));
        core.reconfigure(world.now, config);
    }
    world
}

#[test]
fn who_comes_back_does_not_log_in_also_if_its_session_is_elsewhere_unheard_of() {
    let mut world = one_login_a_minute(2);
    world.blind(1);
    let alice = world.login(0, "alice");
    world.cut(alice);
    let alice = world.resume(1, alice);
    assert_eq!(world.welcome(alice).unwrap().resumption, Resumption::Resumed);
    world.logout(alice);
    world.login(1, "alice");
}

#[test]
fn a_login_that_waits_for_another_one_counts_once() {
    let mut world = one_login_a_minute(2);
    world.login(0, "alice");
    let second = world.start_login(0, other_login_of("alice"));
    let third = world.start_login(0, Login { instance: InstanceId::new("third").unwrap(), ..login_of("alice") });
    world.pump();
    assert_eq!(world.closed(second), Some(CloseReason::RemoteLogin));
    assert!(world.welcome(third).is_some());
}

#[test]
fn a_login_counts_once_also_if_the_user_was_elsewhere_unheard_of() {
    let mut world = one_login_a_minute(2);
    world.blind(1);
    let first = world.login(0, "alice");
    let second = world.login_with(1, other_login_of("alice"));
    assert_eq!((world.closed(first), world.closed(second)), (Some(CloseReason::RemoteLogin), None));
    world.logout(second);
    let third = world.start_login(1, other_login_of("alice"));
    world.pump();
    assert!(world.welcome(third).is_none(), "it is one too many");
}

#[test]
fn a_logout_frees_the_user() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.logout(alice);
    assert_eq!(world.engine.entry("alice"), None);
    assert_eq!(world.cores[1].node_of(&uid("alice")), None);
    world.login(1, "alice");
    assert_eq!(world.engine.entry("alice").unwrap().node, node(1));
}

#[test]
fn another_client_on_another_node_ends_the_first_ones_session() {
    let mut world = World::new(2);
    let first = world.login(0, "alice");
    let second = world.login_with(1, other_login_of("alice"));
    assert_eq!(world.closed(first), Some(CloseReason::RemoteLogin));
    assert_eq!(world.closed(second), None);
    assert_eq!(world.sessions(), 1);
    let back = world.start_resume(0, first);
    world.pump();
    assert_eq!(world.closed(back), Some(CloseReason::RemoteLogin), "it does not throw out the newer one");
    assert_eq!(world.closed(second), None);
}

#[test]
fn a_client_goes_on_with_its_session_on_another_node() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.cut(alice);
    let sent = world.request(bob, to_peer(1, "alice", "while away"));
    assert_eq!(world.reply(bob, sent), None);
    let back = world.resume(1, alice);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    assert_eq!(world.texts(back), ["while away"]);
    assert_eq!(world.sessions(), 2);
    assert_eq!(world.engine.entry("alice").unwrap().node, node(1));
}

#[test]
fn a_session_does_not_go_to_a_node_that_its_client_has_left() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.is_store_held = true;
    // It cannot be packed as long as the store is at work for it.
    world.request(alice, stored_to_peer(1, "nobody", "x"));
    world.cut(alice);
    let elsewhere = world.resume(1, alice);
    assert!(world.welcome(elsewhere).is_none());
    world.cut(elsewhere);
    let back = world.resume(0, alice);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    world.is_store_held = false;
    world.advance(secs(1));
    assert_eq!(world.closed(back), None);
    assert_eq!(world.engine.entry("alice").unwrap().node, node(0));
}

#[test]
fn two_nodes_that_claim_a_user_at_once_end_with_one_session() {
    let mut world = World::new(3);
    let first = world.start_login(0, login_of("alice"));
    let second = world.start_login(1, other_login_of("alice"));
    world.pump();
    world.advance(secs(1));
    assert_eq!(world.sessions(), 1);
    let stays = world.engine.entry("alice").unwrap().node.clone();
    let (winner, loser) = if stays == node(0) { (first, second) } else { (second, first) };
    assert!(world.welcome(winner).is_some() && world.closed(winner).is_none());
    assert_eq!(world.closed(loser), Some(CloseReason::RemoteLogin));
}

#[test]
fn a_write_whose_answer_is_lost_counts() {
    let mut world = World::new(2);
    world.engine.loses_answers = 1;
    let alice = world.login(0, "alice");
    assert_eq!(world.closed(alice), None);
    assert_eq!(world.engine.entry("alice").unwrap().node, node(0));
}

#[test]
fn a_read_that_is_older_than_a_claim_says_nothing_of_its_write() {
    let mut world = World::new(3);
    let alice = world.login(0, "alice");
    world.cut(alice);
    let alice = world.resume(1, alice);
    world.cut(alice);
    // Node 2 is told nothing of its write, and reads that Alice is at node 0, as at first. Node 1 has let her session go.
    world.engine.loses_answers = 1;
    world.engine.reads_old_after_loss = true;
    let alice = world.resume(2, alice);
    world.advance(secs(1));
    assert_eq!(world.welcome(alice).map(|welcome| welcome.resumption), Some(Resumption::Resumed));
    assert_eq!(world.engine.entry("alice").unwrap().node, node(2));
    assert_eq!(world.sessions(), 1);
}

#[test]
fn a_read_that_finds_nothing_does_not_end_a_session_that_moves() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.cut(alice);
    world.engine.was_without("alice");
    world.engine.loses_answers = 1;
    world.engine.reads_old_after_loss = true;
    let alice = world.resume(1, alice);
    world.advance(secs(1));
    assert_eq!(world.welcome(alice).map(|welcome| welcome.resumption), Some(Resumption::Resumed));
    assert_eq!((world.engine.entry("alice").unwrap().node.clone(), world.sessions()), (node(1), 1));
}

#[test]
fn a_login_that_its_client_has_given_up_takes_no_session_from_it() {
    let mut world = World::new(2);
    world.engine.is_deaf = usize::MAX;
    let first = world.start_login(0, login_of("alice"));
    world.advance(secs(4));
    // Its connection is dead, and node 0 has not noticed. The same client object is at node 1.
    world.engine.is_deaf = 0;
    let alice = world.login(1, "alice");
    world.advance(secs(1));
    assert_eq!(world.closed(alice), None);
    assert_eq!(world.closed(first), Some(CloseReason::Draining), "were it alive, it would come back");
    assert_eq!(world.engine.entry("alice").unwrap().node, node(1));
    assert_eq!(world.sessions(), 1);
}

#[test]
fn of_two_logins_that_their_client_has_given_up_neither_takes_a_session_from_it() {
    let mut world = World::new(2);
    world.engine.is_deaf = usize::MAX;
    let first = world.start_login(0, login_of("alice"));
    world.advance(secs(1));
    // It waits for the first one.
    let second = world.start_login(0, login_of("alice"));
    world.advance(secs(3));
    world.engine.is_deaf = 0;
    let alice = world.login(1, "alice");
    world.advance(secs(1));
    assert_eq!((world.closed(alice), world.sessions()), (None, 1));
    for login in [first, second] {
        assert_eq!(world.closed(login), Some(CloseReason::Draining), "were it alive, it would come back");
    }
}

#[test]
fn an_engine_that_does_not_answer_is_asked_again() {
    let mut world = World::new(2);
    world.engine.is_deaf = 3;
    let alice = world.start_login(0, login_of("alice"));
    world.pump();
    assert!(world.welcome(alice).is_none());
    world.advance(secs(1));
    assert!(world.welcome(alice).is_some());
}

#[test]
fn a_client_is_sent_away_when_the_engine_stays_silent() {
    let mut world = World::new(2);
    world.engine.is_deaf = usize::MAX;
    let alice = world.start_login(0, login_of("alice"));
    world.advance(secs(11));
    assert_eq!(world.closed(alice), Some(CloseReason::Draining));
}

#[test]
fn an_entry_that_a_login_was_to_write_over_goes_when_that_login_is_given_up() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.frame(alice, ClientFrame::Logout);
    let mut release = Vec::new();
    world.cores[0].take_engine_jobs(&mut release);
    world.engine.is_late_to_read = true;
    let again = world.start_login(0, other_login_of("alice"));
    world.pump();
    // Nobody knows whether the entry is gone, and the login will see.
    world.cores[0].handle_engine(world.now, release[0].id, EngineAnswer::Unknown);
    world.cut(again);
    world.advance(secs(11));
    assert_eq!((world.sessions(), world.engine.entry("alice")), (0, None));
}

#[test]
fn all_who_wait_for_a_write_of_which_nothing_is_heard_are_sent_away() {
    let mut world = World::new(2);
    world.engine.is_deaf = usize::MAX;
    let first = world.start_login(0, login_of("alice"));
    world.advance(secs(5));
    let behind = world.start_login(0, other_login_of("alice"));
    world.advance(secs(6));
    let later = world.start_login(0, other_login_of("alice"));
    world.pump();
    for client in [first, behind, later] {
        assert_eq!(world.closed(client), Some(CloseReason::Draining));
    }
    world.engine.is_deaf = 0;
    world.advance(secs(1));
    assert_eq!((world.sessions(), world.engine.entry("alice")), (0, None));
    world.login(0, "alice");
}

#[test]
fn a_login_gets_in_also_where_the_engine_was_set_back() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.logout(alice);
    world.engine.set_back("alice", 1);
    let alice = world.start_login(0, login_of("alice"));
    world.advance(secs(8));
    assert!(world.welcome(alice).is_some() && world.closed(alice).is_none());
    assert_eq!(world.engine.entry("alice").unwrap().node, node(0));
}

#[test]
fn a_silent_engine_is_only_read_so_that_nothing_is_left_of_logins() {
    let mut world = World::new(2);
    world.engine.is_deaf = usize::MAX;
    world.start_login(0, login_of("alice"));
    world.advance(secs(3));
    let bob = world.start_login(0, login_of("bob"));
    world.advance(secs(11));
    assert_eq!(world.closed(bob), Some(CloseReason::Draining));
    assert_eq!(world.cores[0].remaining().sessions, 1, "Alice's, which may have been written");
}

#[test]
fn the_entry_of_a_node_that_left_is_no_obstacle() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.kill(0);
    let back = world.start_resume(1, alice);
    world.pump();
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::New);
    assert_eq!(world.engine.entry("alice").unwrap().node, node(1));
}

#[test]
fn a_claim_goes_on_when_the_node_that_it_asked_leaves() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.cut(alice);
    world.stall(1, 0);
    let back = world.start_resume(1, alice);
    world.pump();
    assert!(world.welcome(back).is_none());
    world.kill(0);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::New);
}

#[test]
fn a_session_that_nobody_took_goes_on_where_it_was() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.cut(alice);
    let sent = world.request(bob, to_peer(1, "alice", "not lost"));
    world.stall(0, 1);
    let lost = world.start_resume(1, alice);
    world.pump();
    world.cut(lost);
    world.kill(1);
    let back = world.resume(0, alice);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    assert_eq!(world.texts(back), ["not lost"]);
    assert!(world.reply(bob, sent).unwrap().is_ok());
    assert_eq!(world.engine.entry("alice").unwrap().node, node(0));
}

/// A timer starts the try to have it back, and never decides: the taker may have written already.
#[test]
fn a_session_that_was_taken_is_not_thawed_by_a_node_that_has_not_heard_of_it() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.cut(alice);
    world.blind(0);
    let back = world.start_resume(1, alice);
    while world.engine.entry("alice").unwrap().node != node(1) {
        world.step();
    }
    world.stall(1, 0);
    world.advance(secs(10));
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    assert_eq!(world.sessions(), 1);
    assert_eq!(world.engine.entry("alice").unwrap().node, node(1));
    world.see(0);
    assert_eq!((world.sessions(), world.closed(back)), (1, None));
}

/// An entry says in which view it was written: who has an older one waits for that view.
#[test]
fn a_session_on_a_node_that_another_one_does_not_know_yet_is_not_taken_for_lost() {
    let mut world = World::new(2);
    world.hide_views(0);
    world.join();
    let alice = world.login(2, "alice");
    world.cut(alice);
    let back = world.start_resume(0, alice);
    world.advance(secs(1));
    assert!(world.welcome(back).is_none());
    world.show_views();
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    assert_eq!(world.sessions(), 1);
}

/// The entry of a session that moves names the same session where it was: that is no write of the taker's.
#[test]
fn a_taker_whose_write_was_not_done_does_not_take_the_old_entry_for_its_own() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.cut(alice);
    let back = world.start_resume(1, alice);
    world.step();
    world.step();
    world.engine.is_deaf = 2;
    world.advance(secs(8));
    assert_eq!(world.sessions(), 1);
    assert_eq!(world.engine.entry("alice").unwrap().node, node(1));
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
}

#[test]
fn a_client_that_comes_back_to_the_node_that_its_session_is_leaving_goes_on_there() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.cut(alice);
    world.stall(0, 1);
    let lost = world.start_resume(1, alice);
    world.pump();
    world.cut(lost);
    let back = world.resume(0, alice);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    world.unstall();
    world.advance(secs(10));
    assert_eq!((world.sessions(), world.closed(back)), (1, None));
    assert_eq!(world.engine.entry("alice").unwrap().node, node(0));
}

#[test]
fn a_claim_whose_client_has_gone_still_owns_what_it_took() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.cut(alice);
    world.stall(0, 1);
    let lost = world.start_resume(1, alice);
    world.pump();
    world.unstall();
    world.cut(lost);
    world.advance(secs(1));
    assert_eq!(world.sessions(), 1);
    let back = world.resume(1, alice);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
}

#[test]
fn a_session_that_the_store_is_busy_with_moves_when_it_is_done() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.logout(bob);
    world.is_store_held = true;
    let mut stored = to_peer(1, "bob", "stored");
    stored.enable_offline_messaging = true;
    let sent = world.request(alice, stored);
    world.cut(alice);
    let back = world.start_resume(1, alice);
    world.advance(secs(1));
    assert!(world.welcome(back).is_none());
    world.is_store_held = false;
    world.advance(secs(1));
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    assert_eq!(world.reply(back, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Stored))));
}

#[test]
fn logins_of_one_user_at_one_node_wait_for_each_other() {
    let mut world = World::new(2);
    let first = world.start_login(0, login_of("alice"));
    let second = world.start_login(0, other_login_of("alice"));
    world.pump();
    assert_eq!(world.closed(first), Some(CloseReason::RemoteLogin));
    assert!(world.welcome(second).is_some() && world.closed(second).is_none());
    assert_eq!(world.sessions(), 1);
}

#[test]
fn a_client_that_gives_up_while_it_waits_leaves_nothing_behind() {
    let mut world = World::new(2);
    let alice = world.start_login(0, login_of("alice"));
    world.cut(alice);
    world.advance(secs(11));
    assert_eq!(world.sessions(), 0);
    assert_eq!(world.engine.entry("alice"), None);
}

/// The phone's session is lost with its node, and the laptop has come since.
#[test]
fn an_older_client_whose_session_was_lost_does_not_throw_out_a_newer_one() {
    let mut world = World::new(2);
    let phone = world.login(0, "alice");
    world.kill(0);
    let laptop = world.login_with(1, other_login_of("alice"));
    let back = world.start_resume(1, phone);
    world.pump();
    assert_eq!((world.closed(back), world.closed(laptop)), (Some(CloseReason::RemoteLogin), None));
    assert_eq!(world.sessions(), 1);
}

#[test]
fn a_client_whose_session_was_lost_may_try_twice() {
    let mut world = World::new(2);
    let phone = world.login(0, "alice");
    world.kill(0);
    let unheard = world.start_resume(1, phone);
    world.pump();
    world.cut(unheard);
    let back = world.start_resume(1, phone);
    world.pump();
    assert_eq!(world.closed(back), None);
    assert!(world.welcome(back).is_some());
}

#[test]
fn the_entries_of_a_node_that_left_are_removed_after_two_minutes() {
    let mut world = World::new(3);
    world.login(0, "alice");
    world.login(1, "bob");
    world.kill(0);
    world.advance(secs(100));
    assert!(world.engine.entry("alice").is_some(), "it tells which session was lost");
    world.advance(secs(100));
    assert_eq!(world.engine.entry("alice"), None);
    assert!(world.engine.entry("bob").is_some());
    let back = world.login(1, "alice");
    assert_eq!(world.closed(back), None);
}

#[test]
fn a_session_that_waits_to_be_packed_for_its_client_does_not_lapse() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(1, "alice"), world.login(1, "bob"));
    world.cut(bob);
    world.advance(secs(20));
    world.is_store_held = true;
    let sent = world.request(alice, stored_to_peer(1, "bob", "for bob"));
    world.advance(millis(9500));
    let back = world.start_resume(0, bob);
    world.advance(secs(1));
    assert!(world.welcome(back).is_none(), "the store is at work for his session");
    world.is_store_held = false;
    world.advance(secs(1));
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    assert_eq!(world.texts(back), ["for bob"]);
    assert!(world.reply(alice, sent).is_some());
}

#[test]
fn a_client_that_had_a_session_elsewhere_gets_none_that_is_void() {
    let mut world = World::new(2);
    let bob = world.login(1, "bob");
    // Node 1 stands still, and the others go on without it.
    world.put_out(1);
    world.blind(1);
    world.cut(bob);
    let elsewhere = world.resume(0, bob);
    assert_eq!(world.welcome(elsewhere).unwrap().resumption, Resumption::New);
    world.cut(elsewhere);
    // It goes on, and does not know yet.
    let back = world.start_resume(1, elsewhere);
    world.advance(secs(1));
    assert!(world.welcome(back).is_none(), "the session there is over");
    world.leave_cluster(1);
    assert_eq!(world.closed(back), Some(CloseReason::Draining));
    let back = world.resume(0, elsewhere);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
}

#[test]
fn a_client_that_did_not_hear_of_its_new_session_comes_back_to_it() {
    let mut world = World::new(2);
    let bob = world.login(0, "bob");
    world.kill(0);
    let unheard = world.resume(1, bob);
    let session = world.welcome(unheard).unwrap().ticket.unwrap().session;
    world.cut(unheard);
    let back = world.resume(1, bob);
    let welcome = world.welcome(back).unwrap();
    assert_eq!((welcome.resumption, welcome.ticket.unwrap().session), (Resumption::New, session));
    assert_eq!(world.sessions(), 1);
}

/// How often the engine is asked in so many seconds.
fn asked_within(world: &mut World, seconds: u64) -> usize {
    let before = world.engine.asked;
    world.advance(secs(seconds));
    world.engine.asked - before
}

#[test]
fn an_engine_that_reads_and_does_not_write_is_asked_seldom() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.engine.refuses_writes = true;
    let waiting = world.start_login(0, login_of("carol"));
    assert!(asked_within(&mut world, 1) <= 6, "for a claim");
    world.logout(alice);
    assert!(asked_within(&mut world, 1) <= 6, "for a claim and for an entry that is to go");
    world.cut(bob);
    world.stall(0, 1);
    let lost = world.start_resume(1, bob);
    world.pump();
    world.cut(lost);
    // For his session, which its node wants back.
    world.advance(secs(6));
    assert!(asked_within(&mut world, 10) <= 30, "for all of it");
    assert_eq!(world.closed(waiting), Some(CloseReason::Draining));

    world.engine.refuses_writes = false;
    world.advance(secs(10));
    assert_eq!((world.engine.entry("alice"), world.engine.entry("carol")), (None, None));
    let back = world.resume(0, bob);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
    assert_eq!(world.sessions(), 1);
}

#[test]
fn an_engine_that_gives_no_answer_is_asked_seldom_for_a_session_that_is_wanted_back() {
    let mut world = World::new(2);
    let bob = world.login(0, "bob");
    world.cut(bob);
    world.stall(0, 1);
    let lost = world.start_resume(1, bob);
    world.pump();
    world.cut(lost);
    world.engine.is_deaf = usize::MAX;
    world.advance(secs(12));
    assert!(asked_within(&mut world, 10) <= 20);
    world.engine.is_deaf = 0;
    world.advance(secs(5));
    let back = world.resume(0, bob);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
}

#[test]
fn a_node_that_reads_what_is_old_does_not_give_up_a_session_that_it_wants_back() {
    let mut world = World::new(3);
    let alice = world.login(2, "alice");
    world.cut(alice);
    let alice = world.resume(0, alice);
    world.cut(alice);
    world.stall(0, 1);
    let lost = world.start_resume(1, alice);
    world.pump();
    world.cut(lost);
    // Its write is done, nobody says so, and it reads that she is at node 2, as at first.
    world.engine.loses_answers = 1;
    world.engine.reads_old_after_loss = true;
    world.blind(0);
    world.advance(secs(8));
    assert_eq!(world.engine.entry("alice").unwrap().node, node(0));
    assert_eq!(world.sessions(), 1, "it is not lost");
    let back = world.resume(0, alice);
    assert_eq!(world.welcome(back).unwrap().resumption, Resumption::Resumed);
}

#[test]
fn an_entry_that_is_written_long_after_that_was_given_up_goes() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.logout(alice);
    let (now, heard) = (world.now, world.engine.write("alice", Some(world.entry_of(0))));
    world.cores[0].handle_entry(now, &uid("alice"), &heard);
    world.pump();
    assert_eq!(world.engine.entry("alice"), None);
}
