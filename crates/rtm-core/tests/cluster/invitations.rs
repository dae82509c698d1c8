//! Call invitations between users on different nodes: each ends once, and both sides learn how.

use rtm_codec::{
    AcceptInvitation, CallId, CancelInvitation, ErrorKind, Event, LocalInvitationFailureReason as Local,
    RefuseInvitation, RemoteInvitationFailureReason as Remote, RequestId, SendInvitation,
};

use rtm_core::AdminCall;

use crate::harness::*;

fn call_id(id: &str) -> CallId {
    CallId::new(id).unwrap()
}

fn invite(id: &str, callee: &str) -> SendInvitation {
    SendInvitation { call_id: call_id(id), callee_id: uid(callee), content: "video?".into() }
}

fn cancel(id: &str, callee: &str) -> CancelInvitation {
    CancelInvitation { call_id: call_id(id), callee_id: uid(callee), content: "never mind".into() }
}

fn accept(id: &str, caller: &str) -> AcceptInvitation {
    AcceptInvitation { call_id: call_id(id), caller_id: uid(caller), response: "yes".into() }
}

fn refuse(id: &str, caller: &str) -> RefuseInvitation {
    RefuseInvitation { call_id: call_id(id), caller_id: uid(caller), response: "busy".into() }
}

fn received(id: &str, caller: &str) -> Event {
    Event::RemoteInvitationReceived { call_id: call_id(id), caller_id: uid(caller), content: "video?".into() }
}

fn canceled(id: &str, caller: &str) -> Event {
    Event::RemoteInvitationCanceled { call_id: call_id(id), caller_id: uid(caller), content: "never mind".into() }
}

fn arrived(id: &str, callee: &str) -> Event {
    Event::LocalInvitationReceivedByPeer { call_id: call_id(id), callee_id: uid(callee) }
}

fn accepted(id: &str, callee: &str) -> Event {
    Event::LocalInvitationAccepted { call_id: call_id(id), callee_id: uid(callee), response: "yes".into() }
}

fn refused(id: &str, callee: &str) -> Event {
    Event::LocalInvitationRefused { call_id: call_id(id), callee_id: uid(callee), response: "busy".into() }
}

fn failed(id: &str, callee: &str, reason: Local) -> Event {
    Event::LocalInvitationFailure { call_id: call_id(id), callee_id: uid(callee), reason }
}

fn over(id: &str, caller: &str, reason: Remote) -> Event {
    Event::RemoteInvitationFailure { call_id: call_id(id), caller_id: uid(caller), reason }
}

fn kind(world: &World, client: C, id: RequestId) -> Result<(), ErrorKind> {
    world.reply(client, id).unwrap().as_ref().map(drop).map_err(|refusal| refusal.kind)
}

#[test]
fn an_invitation_is_given_and_answered_on_another_node() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    for (id, answer) in [("c", true), ("d", false)] {
        world.request(alice, invite(id, "bob"));
        assert_eq!(world.events(bob), [received(id, "alice")]);
        let answered = match answer {
            true => world.request(bob, accept(id, "alice")),
            false => world.request(bob, refuse(id, "alice")),
        };
        assert_eq!(kind(&world, bob, answered), Ok(()));
        let end = if answer { accepted(id, "bob") } else { refused(id, "bob") };
        assert_eq!(world.events(alice), [arrived(id, "bob"), end]);
        let again = world.request(bob, accept(id, "alice"));
        assert_eq!(kind(&world, bob, again), Err(ErrorKind::AlreadyEnd));
        let late = world.request(alice, cancel(id, "bob"));
        assert_eq!(kind(&world, alice, late), Err(ErrorKind::AlreadyEnd));
    }
    world.advance(secs(70));
    assert_eq!((world.events(alice), world.events(bob)), (vec![], vec![]));
}

#[test]
fn a_canceled_invitation_is_over_on_the_other_node() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, invite("c", "bob"));
    world.request(alice, cancel("c", "bob"));
    assert_eq!(world.events(bob), [received("c", "alice"), canceled("c", "alice")]);
    let late = world.request(bob, accept("c", "alice"));
    assert_eq!(kind(&world, bob, late), Err(ErrorKind::AlreadyEnd));
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
}

#[test]
fn of_a_cancel_and_an_accept_that_cross_one_wins_for_both() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, invite("c", "bob"));
    world.events(bob);
    world.stall(0, 1);
    world.stall(1, 0);
    let accepting = world.request(bob, accept("c", "alice"));
    let canceling = world.request(alice, cancel("c", "bob"));
    assert_eq!(kind(&world, alice, canceling), Ok(()));
    world.unstall();
    assert_eq!(kind(&world, bob, accepting), Err(ErrorKind::AlreadyEnd));
    assert_eq!(world.events(bob), [canceled("c", "alice")]);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
}

#[test]
fn two_invitations_that_cross_are_independent() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(0, 1);
    world.stall(1, 0);
    world.request(alice, invite("c", "bob"));
    world.request(bob, invite("c", "alice"));
    world.unstall();
    let (one, other) = (world.request(bob, accept("c", "alice")), world.request(alice, refuse("c", "bob")));
    assert_eq!((kind(&world, bob, one), kind(&world, alice, other)), (Ok(()), Ok(())));
    assert_eq!(world.events(alice), [received("c", "bob"), arrived("c", "bob"), accepted("c", "bob")]);
    assert_eq!(world.events(bob), [received("c", "alice"), arrived("c", "alice"), refused("c", "alice")]);
}

#[test]
fn a_callee_that_logs_in_in_time_is_given_it_wherever_that_is() {
    for number in 0..2 {
        let mut world = World::new(2);
        let alice = world.login(0, "alice");
        world.request(alice, invite("c", "bob"));
        world.advance(secs(29));
        let bob = world.login(number, "bob");
        world.advance(millis(100));
        assert_eq!(world.events(bob), [received("c", "alice")]);
        assert_eq!(world.events(alice), [arrived("c", "bob")]);
        world.advance(secs(31));
        assert_eq!(world.events(bob), [over("c", "alice", Remote::InvitationExpire)]);
        assert_eq!(world.events(alice), [failed("c", "bob", Local::InvitationExpire)]);
    }
}

#[test]
fn a_callee_that_is_offline_for_30_s_is_not_reached() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.request(alice, invite("c", "bob"));
    world.advance(secs(30));
    assert_eq!(world.events(alice), [failed("c", "bob", Local::PeerOffline)]);
    let bob = world.login(1, "bob");
    assert_eq!(world.events(bob), []);
}

#[test]
fn a_callee_that_lapsed_is_given_it_when_it_comes_back() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    world.advance(secs(31));
    world.request(alice, invite("c", "bob"));
    world.advance(secs(1));
    assert_eq!(world.events(alice), []);
    let bob = world.resume(1, bob);
    world.advance(secs(1));
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
}

/// Schedule 19: the caller's session decides, so it moves and dies right.
#[test]
fn both_sides_move_and_both_are_told_what_they_are_told_on_one_node() {
    for answer in [true, false] {
        let mut world = World::new(4);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.request(alice, invite("c", "bob"));
        assert_eq!(world.events(bob), [received("c", "alice")]);
        assert_eq!(world.events(alice), [arrived("c", "bob")]);
        world.cut(alice);
        let alice = world.resume(2, alice);
        world.cut(bob);
        let bob = world.resume(3, bob);
        world.advance(secs(1));
        if answer {
            let answered = world.request(bob, accept("c", "alice"));
            assert_eq!(kind(&world, bob, answered), Ok(()));
            assert_eq!(world.events(alice), [accepted("c", "bob")]);
        } else {
            world.request(alice, cancel("c", "bob"));
            assert_eq!(world.events(bob), [canceled("c", "alice")]);
        }
        world.advance(secs(70));
        assert_eq!((world.events(alice), world.events(bob)), (vec![], vec![]));
    }
}

#[test]
fn what_is_said_follows_a_callee_that_moved_before_it_came() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(0, 1);
    world.request(alice, invite("c", "bob"));
    world.cut(bob);
    let bob = world.resume(2, bob);
    world.request(alice, cancel("c", "bob"));
    assert_eq!(world.events(bob), []);
    world.unstall();
    world.advance(secs(1));
    let events = world.events(bob);
    assert!(events.is_empty() || events == [received("c", "alice"), canceled("c", "alice")], "{events:?}");
    world.request(alice, invite("d", "bob"));
    assert_eq!(world.events(bob), [received("d", "alice")]);
}

#[test]
fn a_callee_that_comes_to_the_callers_node_answers_there() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, invite("c", "bob"));
    world.events(bob);
    world.cut(bob);
    let bob = world.resume(0, bob);
    world.advance(secs(1));
    let answered = world.request(bob, accept("c", "alice"));
    assert_eq!(kind(&world, bob, answered), Ok(()));
    assert_eq!(world.events(alice), [arrived("c", "bob"), accepted("c", "bob")]);
}

#[test]
fn a_callee_that_logs_out_ends_its_invitations() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, invite("c", "bob"));
    world.logout(bob);
    assert_eq!(world.events(alice), [arrived("c", "bob"), failed("c", "bob", Local::PeerOffline)]);
    let bob = world.login(1, "bob");
    world.advance(secs(1));
    assert_eq!(world.events(bob), []);
}

#[test]
fn another_client_of_the_callee_is_not_given_what_a_device_has() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, invite("c", "bob"));
    let other = world.login_with(2, other_login_of("bob"));
    world.advance(secs(1));
    assert_eq!(world.events(other), []);
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.events(alice), [arrived("c", "bob"), failed("c", "bob", Local::PeerOffline)]);
}

#[test]
fn a_caller_that_logs_out_ends_its_invitations() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, invite("c", "bob"));
    world.logout(alice);
    assert_eq!(world.events(bob), [received("c", "alice"), over("c", "alice", Remote::PeerOffline)]);
}

#[test]
fn a_callee_that_was_away_for_too_long_is_told_when_it_comes_back() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(alice, invite("c", "bob"));
    world.events(bob);
    world.cut(bob);
    world.advance(secs(31));
    assert_eq!(world.events(alice), [arrived("c", "bob"), failed("c", "bob", Local::PeerOffline)]);
    let bob = world.resume(1, bob);
    let events = world.events(bob);
    assert!(events.contains(&over("c", "alice", Remote::PeerOffline)), "{events:?}");
}

#[test]
fn a_callee_whose_node_is_killed_is_offline_after_30_s() {
    let mut world = World::new(3);
    let alice = world.login(0, "alice");
    world.login(1, "bob");
    world.request(alice, invite("c", "bob"));
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
    world.kill(1);
    world.advance(secs(29));
    assert_eq!(world.events(alice), []);
    world.advance(secs(2));
    assert_eq!(world.events(alice), [failed("c", "bob", Local::PeerOffline)]);
}

#[test]
fn a_callee_whose_node_is_killed_before_its_device_has_it_is_given_it_again() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    world.request(alice, invite("c", "bob"));
    world.kill(1);
    let bob = world.resume(2, bob);
    world.advance(secs(1));
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
}

/// Schedule 19: the caller's session dies with its node, and its invitations with it.
#[test]
fn a_callee_is_told_when_the_callers_node_is_killed_wherever_it_is_by_then() {
    for (moves, returns) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut world = World::new(4);
        let (alice, mut bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.request(alice, invite("c", "bob"));
        assert_eq!(world.events(bob), [received("c", "alice")]);
        if moves {
            world.cut(bob);
            bob = world.resume(2, bob);
        }
        world.kill(0);
        world.advance(secs(5));
        assert_eq!(world.events(bob), []);
        match returns {
            true => drop(world.resume(3, alice)),
            false => world.advance(secs(27)),
        }
        world.advance(secs(1));
        assert_eq!(world.events(bob), [over("c", "alice", Remote::PeerOffline)], "moves {moves}, returns {returns}");
        world.advance(secs(70));
        assert_eq!(world.events(bob), []);
    }
}

/// The engine's watch may tell a node what it wrote itself at any later moment.
#[test]
fn an_invitation_between_users_of_one_node_is_not_disturbed_by_late_news_of_their_logins() {
    for late in 0..4 {
        let mut world = World::new(3);
        world.blind(0);
        let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
        let see = |world: &mut World, at| {
            if at == late {
                world.see(0);
                world.pump();
            }
        };
        see(&mut world, 0);
        world.request(alice, invite("c", "bob"));
        see(&mut world, 1);
        assert_eq!(world.events(bob), [received("c", "alice")]);
        see(&mut world, 2);
        let answered = world.request(bob, accept("c", "alice"));
        see(&mut world, 3);
        assert_eq!(kind(&world, bob, answered), Ok(()), "{late}");
        assert_eq!(world.events(alice), [arrived("c", "bob"), accepted("c", "bob")]);
    }
}

#[test]
fn a_lapsed_callee_whose_session_ends_is_not_reached_any_more_on_any_node() {
    for number in 0..2 {
        let mut world = World::new(2);
        let (alice, bob) = (world.login(0, "alice"), world.login(number, "bob"));
        world.cut(bob);
        world.advance(secs(20));
        world.request(alice, invite("c", "bob"));
        world.advance(secs(15));
        assert_eq!(world.events(alice), []);
        world.cores[number].admin(world.now, AdminCall::Kick(uid("bob")));
        world.pump();
        assert_eq!(world.events(alice), [failed("c", "bob", Local::PeerOffline)], "node {number}");
    }
}
