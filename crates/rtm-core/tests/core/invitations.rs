//! Call invitations: each ends once, and both sides learn how.

use rtm_codec::{
    AcceptInvitation, CancelInvitation, Command, ErrorKind, Event, InstanceId, LocalInvitationFailureReason as Local,
    Login, RefuseInvitation, RemoteInvitationFailureReason as Remote, SendInvitation, Text,
};

use crate::harness::*;

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

fn arrived(id: &str, callee: &str) -> Event {
    Event::LocalInvitationReceivedByPeer { call_id: call_id(id), callee_id: uid(callee) }
}

fn accepted(id: &str, callee: &str) -> Event {
    Event::LocalInvitationAccepted { call_id: call_id(id), callee_id: uid(callee), response: "yes".into() }
}

fn failed(id: &str, callee: &str, reason: Local) -> Event {
    Event::LocalInvitationFailure { call_id: call_id(id), callee_id: uid(callee), reason }
}

fn over(id: &str, caller: &str, reason: Remote) -> Event {
    Event::RemoteInvitationFailure { call_id: call_id(id), caller_id: uid(caller), reason }
}

#[test]
fn an_invitation_arrives_and_its_caller_learns_of_it() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.call(alice, invite("c", "bob")).unwrap();
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.events(alice), []);
    world.ack(bob, 1, 0);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
}

#[test]
fn an_accepted_invitation_is_confirmed_and_over() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.call(bob, accept("c", "alice")).unwrap();
    assert_eq!(world.events(alice), [arrived("c", "bob"), accepted("c", "bob")]);
    assert_eq!(world.call(bob, accept("c", "alice")).unwrap_err().kind, ErrorKind::AlreadyEnd);
    assert_eq!(world.call(alice, cancel("c", "bob")).unwrap_err().kind, ErrorKind::AlreadyEnd);
    world.advance(secs(70));
    assert_eq!(world.events(alice), []);
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.core.stats().invitations, 0);
}

#[test]
fn a_refused_invitation_is_over() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.call(bob, refuse("c", "alice")).unwrap();
    let refused =
        Event::LocalInvitationRefused { call_id: call_id("c"), callee_id: uid("bob"), response: "busy".into() };
    assert_eq!(world.events(alice), [arrived("c", "bob"), refused]);
}

#[test]
fn an_answer_before_the_acknowledgement_counts_as_one() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.call(alice, invite("c", "bob")).unwrap();
    world.call(bob, accept("c", "alice")).unwrap();
    world.ack(bob, 1, 1);
    assert_eq!(world.events(alice), [arrived("c", "bob"), accepted("c", "bob")]);
}

#[test]
fn a_canceled_invitation_is_over() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.call(alice, cancel("c", "bob")).unwrap();
    let canceled = Event::RemoteInvitationCanceled {
        call_id: call_id("c"),
        caller_id: uid("alice"),
        content: "never mind".into(),
    };
    assert_eq!(world.events(bob), [received("c", "alice"), canceled]);
    assert_eq!(world.call(bob, accept("c", "alice")).unwrap_err().kind, ErrorKind::AlreadyEnd);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
}

#[test]
fn of_two_answers_the_first_one_wins() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.call(bob, refuse("c", "alice")).unwrap();
    assert_eq!(world.call(alice, cancel("c", "bob")).unwrap_err().kind, ErrorKind::AlreadyEnd);
    assert_eq!(world.events(bob), [received("c", "alice")]);
}

#[test]
fn only_the_parties_of_an_invitation_end_it() {
    let mut world = World::new();
    let (alice, bob, mallory) = (world.login("alice"), world.login("bob"), world.login("mallory"));
    world.call(alice, invite("c", "bob")).unwrap();
    for refused in [
        world.call(mallory, accept("c", "alice")).unwrap_err(),
        world.call(mallory, refuse("c", "alice")).unwrap_err(),
        world.call(mallory, cancel("c", "bob")).unwrap_err(),
        world.call(bob, cancel("c", "bob")).unwrap_err(),
        world.call(alice, accept("c", "alice")).unwrap_err(),
        world.call(bob, accept("other", "alice")).unwrap_err(),
        world.call(bob, accept("c", "nobody")).unwrap_err(),
    ] {
        assert_eq!(refused.kind, ErrorKind::AlreadyEnd);
    }
    world.call(bob, accept("c", "alice")).unwrap();
}

#[test]
fn an_id_names_one_open_invitation_of_a_caller() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    assert_eq!(world.call(alice, invite("c", "bob")).unwrap_err().kind, ErrorKind::AlreadySent);
    world.call(bob, invite("c", "alice")).unwrap();
    world.call(alice, invite("d", "bob")).unwrap();
    assert_eq!(world.core.stats().invitations, 3);
    world.call(bob, accept("d", "alice")).unwrap();
    world.call(bob, accept("c", "alice")).unwrap();
    world.call(alice, accept("c", "bob")).unwrap();
}

#[test]
fn a_callee_that_is_offline_for_30_s_is_not_reached() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, invite("c", "bob")).unwrap();
    world.advance(millis(29_999));
    assert_eq!(world.events(alice), []);
    world.advance(millis(1));
    assert_eq!(world.events(alice), [failed("c", "bob", Local::PeerOffline)]);
    let bob = world.login("bob");
    assert_eq!(world.events(bob), []);
}

#[test]
fn a_callee_that_logs_in_within_30_s_gets_the_invitation() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, invite("c", "bob")).unwrap();
    world.advance(millis(29_999));
    let bob = world.login("bob");
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
    world.call(bob, accept("c", "alice")).unwrap();
    assert_eq!(world.events(alice), [accepted("c", "bob")]);
}

#[test]
fn a_callee_that_does_not_acknowledge_for_30_s_is_not_answering() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.call(alice, invite("c", "bob")).unwrap();
    world.advance(millis(29_999));
    assert_eq!(world.events(alice), []);
    world.advance(millis(1));
    assert_eq!(world.events(alice), [failed("c", "bob", Local::PeerNoResponse)]);
    assert_eq!(world.events(bob), [received("c", "alice"), over("c", "alice", Remote::InvitationExpire)]);
    world.ack(bob, 2, 2);
    assert_eq!(world.events(alice), []);
}

#[test]
fn nobody_answers_for_60_s_and_it_is_over_for_both() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.advance(millis(59_999));
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
    world.events(bob);
    world.advance(millis(1));
    assert_eq!(world.events(alice), [failed("c", "bob", Local::InvitationExpire)]);
    assert_eq!(world.events(bob), [over("c", "alice", Remote::InvitationExpire)]);
    assert_eq!(world.call(bob, accept("c", "alice")).unwrap_err().kind, ErrorKind::AlreadyEnd);
}

#[test]
fn the_60_s_count_from_the_sending() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, invite("c", "bob")).unwrap();
    world.advance(secs(20));
    let bob = world.login("bob");
    world.advance(secs(40));
    assert_eq!(world.events(bob), [received("c", "alice"), over("c", "alice", Remote::InvitationExpire)]);
}

#[test]
fn a_caller_that_logs_out_ends_its_invitations() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.logout(alice);
    assert_eq!(world.events(bob), [received("c", "alice"), over("c", "alice", Remote::PeerOffline)]);
}

#[test]
fn a_callee_that_logs_out_ends_its_invitations() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.logout(bob);
    assert_eq!(world.events(alice), [arrived("c", "bob"), failed("c", "bob", Local::PeerOffline)]);
    let bob = world.login("bob");
    assert_eq!(world.events(bob), []);
}

#[test]
fn an_invitation_outlives_a_short_absence_of_either_side() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.events(alice);
    world.cut(alice);
    world.cut(bob);
    world.advance(secs(29));
    let (alice, bob) = (world.resume(alice), world.resume(bob));
    world.call(bob, accept("c", "alice")).unwrap();
    assert_eq!(world.events(alice), [accepted("c", "bob")]);
}

#[test]
fn an_invitation_to_a_callee_in_its_grace_arrives_when_it_returns() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.cut(bob);
    world.advance(secs(20));
    world.call(alice, invite("c", "bob")).unwrap();
    world.advance(secs(5));
    let bob = world.resume(bob);
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
}

#[test]
fn a_client_that_begins_anew_is_given_what_it_has_forgotten() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
    world.cut(bob);
    let bob = world.login_vendor("bob");
    assert_eq!(world.events(bob), [received("c", "alice")]);
    world.call(bob, accept("c", "alice")).unwrap();
    assert_eq!(world.events(alice), [accepted("c", "bob")], "its caller knows that it has arrived");
}

#[test]
fn a_caller_that_is_away_for_30_s_has_lost_its_invitation() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.events(alice);
    world.events(bob);
    world.cut(alice);
    world.advance(secs(30));
    assert_eq!(world.events(bob), [over("c", "alice", Remote::PeerOffline)]);
    let alice = world.resume(alice);
    assert_eq!(world.events(alice), [failed("c", "bob", Local::NotLoggedIn)]);
}

#[test]
fn a_callee_that_is_away_for_30_s_after_receiving_it_has_lost_it() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.events(alice);
    world.events(bob);
    world.cut(bob);
    world.advance(millis(29_999));
    assert_eq!(world.events(alice), []);
    world.advance(millis(1));
    assert_eq!(world.events(alice), [failed("c", "bob", Local::PeerOffline)]);
    let bob = world.resume(bob);
    assert_eq!(world.events(bob), [over("c", "alice", Remote::PeerOffline)]);
}

#[test]
fn an_invitation_that_no_device_has_goes_to_the_callees_newer_client() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.call(alice, invite("c", "bob")).unwrap();
    let newer = Login { instance: InstanceId::new("other").unwrap(), ..login_of("bob") };
    let bob = world.login_with(newer);
    assert_eq!(world.events(bob), [received("c", "alice")]);
    assert_eq!(world.events(alice), [arrived("c", "bob")]);
    world.call(bob, accept("c", "alice")).unwrap();
}

#[test]
fn an_invitation_that_the_callees_older_client_has_ends_with_it() {
    let mut world = World::new();
    let (alice, _) = (world.login("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    let newer = Login { instance: InstanceId::new("other").unwrap(), ..login_of("bob") };
    let bob = world.login_with(newer);
    assert_eq!(world.events(alice), [arrived("c", "bob"), failed("c", "bob", Local::PeerOffline)]);
    assert_eq!(world.events(bob), []);
}

#[test]
fn a_caller_that_is_put_out_ends_its_invitations() {
    let mut world = World::new();
    let (_, bob) = (world.login("alice"), world.login("bob"));
    let alice = world.login_with(Login { instance: InstanceId::new("x").unwrap(), ..login_of("alice") });
    world.call(alice, invite("c", "bob")).unwrap();
    world.login_with(Login { instance: InstanceId::new("y").unwrap(), ..login_of("alice") });
    assert_eq!(world.events(bob), [received("c", "alice"), over("c", "alice", Remote::PeerOffline)]);
}

#[test]
fn texts_of_8_kib_are_taken_and_longer_ones_are_not() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let (fits, long) = ("x".repeat(8192), "x".repeat(8193));
    let send = |id: &str, content: &str| SendInvitation { content: content.into(), ..invite(id, "bob") };
    assert_eq!(world.call(alice, send("c", &long)).unwrap_err().kind, ErrorKind::InvalidArgument);
    world.call(alice, send("c", &fits)).unwrap();
    let answer = AcceptInvitation { response: long.as_str().into(), ..accept("c", "alice") };
    assert_eq!(world.call(bob, answer).unwrap_err().kind, ErrorKind::InvalidArgument);
    let answer = RefuseInvitation { response: long.as_str().into(), ..refuse("c", "alice") };
    assert_eq!(world.call(bob, answer).unwrap_err().kind, ErrorKind::InvalidArgument);
    let end = CancelInvitation { content: long.as_str().into(), ..cancel("c", "bob") };
    assert_eq!(world.call(alice, end).unwrap_err().kind, ErrorKind::InvalidArgument);
    let answer = AcceptInvitation { response: fits.as_str().into(), ..accept("c", "alice") };
    world.call(bob, answer).unwrap();
}

#[test]
fn an_answer_that_is_too_long_ends_the_call_at_once_where_its_client_gives_no_other() {
    let long = || Text::from("x".repeat(8193));
    let answers: [fn(Text) -> Command; 2] = [
        |response| AcceptInvitation { response, ..accept("c", "alice") }.into(),
        |response| RefuseInvitation { response, ..refuse("c", "alice") }.into(),
    ];
    for answer in answers {
        let mut world = World::new();
        let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
        world.call(alice, invite("c", "bob")).unwrap();
        world.events(alice);
        world.events(bob);
        let id = world.request(bob, answer(long()));
        // That its answer is refused tells the callee.
        assert_eq!(world.reply(bob, id).unwrap().unwrap_err().kind, ErrorKind::InvalidArgument);
        assert_eq!(world.events(alice), [failed("c", "bob", Local::PeerNoResponse)]);
        world.advance(secs(90));
        assert_eq!((world.events(alice), world.events(bob)), (Vec::new(), Vec::new()), "it ends once on each side");
    }
    let mut world = World::new();
    let (alice, bob) = (world.login_vendor("alice"), world.login("bob"));
    world.call(alice, invite("c", "bob")).unwrap();
    world.events(bob);
    let end = CancelInvitation { content: long(), ..cancel("c", "bob") };
    assert_eq!(world.call(alice, end).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.events(bob), [over("c", "alice", Remote::PeerOffline)]);
    world.advance(secs(90));
    assert_eq!(world.events(bob), []);
}

#[test]
fn a_user_is_part_of_only_so_many_open_invitations() {
    let mut config = config();
    config.settings.open_invitations = 3;
    let mut world = World::with(config);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for n in 0..3 {
        world.call(alice, invite(&format!("c{n}"), &format!("absent{n}"))).unwrap();
    }
    assert_eq!(world.call(alice, invite("c3", "bob")).unwrap_err().kind, ErrorKind::ExceedLimit);
    assert_eq!(world.call(bob, invite("c", "alice")).unwrap_err().kind, ErrorKind::ExceedLimit);
    world.call(alice, cancel("c0", "absent0")).unwrap();
    world.call(alice, invite("c3", "bob")).unwrap();
}

#[test]
fn one_can_call_oneself() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, invite("c", "alice")).unwrap();
    world.call(alice, accept("c", "alice")).unwrap();
    assert_eq!(
        names(&world.events(alice)),
        ["RemoteInvitationReceived", "LocalInvitationReceivedByPeer", "LocalInvitationAccepted"]
    );
    world.call(alice, invite("c", "alice")).unwrap();
    world.logout(alice);
    assert_eq!((world.core.stats().invitations, world.core.stats().sessions), (0, 0));
}

#[test]
fn a_lapsed_callee_whose_session_ends_is_not_reached_any_more() {
    for (is_kicked, end) in [(true, vec![failed("c", "bob", Local::PeerOffline)]), (false, Vec::new())] {
        let mut world = World::new();
        let (alice, bob) = (world.login("alice"), world.login("bob"));
        world.cut(bob);
        world.advance(secs(20));
        world.call(alice, invite("c", "bob")).unwrap();
        world.advance(secs(15));
        assert_eq!(world.events(alice), []);
        if is_kicked {
            world.kick("bob");
        }
        assert_eq!(world.events(alice), end);
        // Another one is yet to be given to it.
        world.call(alice, invite("d", "bob")).unwrap();
        let bob = world.login_with(Login { instance: InstanceId::new("other").unwrap(), ..login_of("bob") });
        let given = world.events(bob);
        let both = vec![received("c", "alice"), received("d", "alice")];
        assert_eq!(given, if is_kicked { both[1..].to_vec() } else { both });
    }
}
