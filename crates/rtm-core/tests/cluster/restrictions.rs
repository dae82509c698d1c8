//! What an operator does at one node holds on all of them.

use rtm_codec::{CloseReason, ErrorKind, Refusal};
use rtm_core::{AdminAnswer, AdminCall, HttpId, Restriction};

use crate::harness::*;

fn change(user: &str, restriction: Restriction) -> AdminCall {
    AdminCall::Restrict { user_id: Some(uid(user)), restriction }
}

fn ban(user: &str) -> AdminCall {
    change(user, Restriction::BannedUntil(u64::MAX))
}

fn start(world: &mut World, node: usize, call: AdminCall) -> HttpId {
    let id = world.cores[node].admin(world.now, call);
    world.pump();
    id
}

fn answer(world: &mut World, node: usize, id: HttpId) -> Option<Result<AdminAnswer, Refusal>> {
    let mut answers = Vec::new();
    world.cores[node].take_admin_answers(&mut answers);
    answers.into_iter().find(|(other, _)| *other == id).map(|(_, answer)| answer)
}

fn call(world: &mut World, node: usize, call: AdminCall) -> Option<Result<AdminAnswer, Refusal>> {
    let id = start(world, node, call);
    answer(world, node, id)
}

fn refused(world: &mut World, node: usize, user: &str) -> Option<ErrorKind> {
    let client = world.start_login(node, login_of(user));
    world.pump();
    world.refused(client).map(|refusal| refusal.kind)
}

const CHANGED: Option<Result<AdminAnswer, Refusal>> = Some(Ok(AdminAnswer::Restricted { changed: true }));

#[test]
fn a_ban_at_one_node_ends_the_session_at_another_and_holds_everywhere() {
    let mut world = World::new(3);
    let alice = world.login(2, "alice");
    assert_eq!(call(&mut world, 0, ban("alice")), CHANGED);
    assert_eq!(world.closed(alice), Some(CloseReason::Banned));
    for node in 0..3 {
        assert_eq!(refused(&mut world, node, "alice"), Some(ErrorKind::Banned), "node {node}");
    }
    assert_eq!(call(&mut world, 1, change("alice", Restriction::Unbanned)), CHANGED);
    world.login(0, "alice");
}

#[test]
fn an_operator_is_answered_when_all_nodes_know() {
    let mut world = World::new(3);
    world.stall(0, 2);
    let id = start(&mut world, 0, ban("alice"));
    assert_eq!(answer(&mut world, 0, id), None);
    world.unstall();
    assert_eq!(answer(&mut world, 0, id), CHANGED);
    // A node that has left does not hold it up.
    world.stall(0, 2);
    let id = start(&mut world, 0, ban("bob"));
    world.kill(2);
    assert_eq!(answer(&mut world, 0, id), CHANGED);
}

#[test]
fn a_node_that_joins_knows_what_is_refused() {
    let mut world = World::new(2);
    call(&mut world, 0, ban("alice"));
    world.join();
    assert_eq!(refused(&mut world, 2, "alice"), Some(ErrorKind::Banned));
    // One that was away does not keep what was lifted meanwhile.
    world.put_out(2);
    world.leave_cluster(2);
    call(&mut world, 0, change("alice", Restriction::Unbanned));
    world.advance(secs(8 * 60 * 60));
    world.join_again(2);
    world.login(2, "alice");
}

#[test]
fn a_ban_whose_parcel_was_lost_is_told_again() {
    let mut world = World::new(2);
    world.stall(0, 1);
    let id = start(&mut world, 0, ban("alice"));
    world.restart_post(0, 1);
    world.unstall();
    world.advance(secs(1));
    assert_eq!(answer(&mut world, 0, id), CHANGED);
    assert_eq!(refused(&mut world, 1, "alice"), Some(ErrorKind::Banned));
}

#[test]
fn of_two_operators_the_later_one_is_right_everywhere() {
    let mut world = World::new(3);
    world.stall(0, 1);
    world.stall(0, 2);
    let first = start(&mut world, 0, ban("alice"));
    // The other node does not know of the ban, and the store does.
    let until = world.now.unix_ms + 1000;
    let second = start(&mut world, 1, change("alice", Restriction::BannedUntil(until)));
    world.unstall();
    assert_eq!((answer(&mut world, 0, first), answer(&mut world, 1, second)), (CHANGED, CHANGED));
    world.advance(millis(1500));
    world.login(2, "alice");
    world.login(0, "alice");
}

#[test]
fn a_ban_meets_a_session_that_moves_meanwhile() {
    for stalled in [(1, 2), (2, 1)] {
        let mut world = World::new(3);
        let alice = world.login(1, "alice");
        world.cut(alice);
        world.stall(stalled.0, stalled.1);
        let moved = world.start_resume(2, alice);
        world.pump();
        call(&mut world, 0, ban("alice"));
        world.unstall();
        world.advance(secs(10));
        assert_eq!(world.sessions(), 0, "{stalled:?}");
        assert!(!world.is_open(moved) || world.welcome(moved).is_none(), "{stalled:?}");
    }
}

#[test]
fn a_kick_reaches_the_session_wherever_it_is() {
    let mut world = World::new(3);
    let alice = world.login(2, "alice");
    for (node, kicked) in [(0, true), (1, false)] {
        let answer = call(&mut world, node, AdminCall::Kick(uid("alice")));
        assert_eq!(answer, Some(Ok(AdminAnswer::Kicked { had_session: kicked })));
    }
    assert_eq!(world.closed(alice), Some(CloseReason::Banned));
    world.login(1, "alice");
    assert_eq!(call(&mut world, 1, AdminCall::Kick(uid("alice"))), Some(Ok(AdminAnswer::Kicked { had_session: true })));
}

#[test]
fn a_node_that_says_nothing_is_named_in_time() {
    let mut world = World::new(3);
    world.login(2, "bob");
    for (call, node) in [(ban("alice"), 0), (AdminCall::Kick(uid("bob")), 1)] {
        world.stall(node, 2);
        let id = start(&mut world, node, call);
        world.advance(millis(4900));
        assert_eq!(answer(&mut world, node, id), None);
        world.advance(millis(200));
        let refused = answer(&mut world, node, id).unwrap().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Failure);
        assert!(refused.detail.as_str().contains("rtm-2:"), "{refused}");
        // It is done all the same when the node is there again, and is not answered twice.
        world.unstall();
        world.advance(secs(1));
        assert_eq!(answer(&mut world, node, id), None);
    }
    assert_eq!(refused(&mut world, 2, "alice"), Some(ErrorKind::Banned));
    assert_eq!(world.sessions(), 0);
}

#[test]
fn a_node_that_leaves_says_that_it_does_not_know() {
    let mut world = World::new(2);
    world.stall(0, 1);
    let id = start(&mut world, 0, ban("alice"));
    world.put_out(0);
    world.leave_cluster(0);
    assert_eq!(answer(&mut world, 0, id).unwrap().unwrap_err().kind, ErrorKind::Failure);
    assert_eq!(call(&mut world, 0, ban("bob")).unwrap().unwrap_err().kind, ErrorKind::Failure);
}
