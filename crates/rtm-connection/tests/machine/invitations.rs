//! Call invitations: the caller's side, the callee's, and how each comes to its one end.

use rtm_codec::{
    Answer, CallId, CancelInvitation, CloseReason, Command, ErrorKind, Event, LocalInvitationFailureReason as Local,
    RemoteInvitationFailureReason as Remote, Resumption, SendInvitation,
};
use rtm_connection::{
    Config, ConnectionChangeReason as Reason, ConnectionState as State, GapReason, LocalInvitation, RemoteInvitation,
    RtmEvent,
};

use crate::peer::{MS, Peer, SECOND, user};

/// An invitation of alice that the server took.
fn sent(peer: &mut Peer) -> LocalInvitation {
    let (invitation, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
    peer.expect_request(id);
    peer.reply(id, Answer::SendInvitation(()));
    peer.expect_ok(id);
    invitation
}

/// An invitation by alice that has just come.
fn received(peer: &mut Peer) -> RemoteInvitation {
    let invitation = RemoteInvitation::new(CallId::new("call-1").unwrap(), user("alice"), "call?".into());
    let RemoteInvitation { call_id, caller_id, content, .. } = invitation.clone();
    peer.event(Event::RemoteInvitationReceived { call_id, caller_id, content });
    peer.expect_event(RtmEvent::remote_invitation_received(invitation.clone()));
    peer.forget_sent();
    invitation
}

fn rang(peer: &mut Peer, invitation: &LocalInvitation) {
    peer.event(Event::LocalInvitationReceivedByPeer {
        call_id: invitation.call_id.clone(),
        callee_id: invitation.callee_id.clone(),
    });
}

fn failed(peer: &mut Peer, invitation: &LocalInvitation, reason: Local) {
    let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
    peer.event(Event::LocalInvitationFailure { call_id, callee_id, reason });
}

fn canceled(peer: &mut Peer, invitation: &RemoteInvitation) {
    let RemoteInvitation { call_id, caller_id, .. } = invitation.clone();
    peer.event(Event::RemoteInvitationCanceled { call_id, caller_id, content: "sorry".into() });
}

fn cancel(peer: &mut Peer, invitation: &LocalInvitation) -> rtm_codec::RequestId {
    peer.with(|connection, now| connection.cancel_invitation(now, invitation, "never mind"))
}

fn accept(peer: &mut Peer, invitation: &RemoteInvitation) -> rtm_codec::RequestId {
    peer.with(|connection, now| connection.accept_invitation(now, invitation, "yes"))
}

fn refuse(peer: &mut Peer, invitation: &RemoteInvitation) -> rtm_codec::RequestId {
    peer.with(|connection, now| connection.refuse_invitation(now, invitation, "no"))
}

#[test]
fn an_invitation_goes_out_with_its_own_number() {
    let mut peer = Peer::online();
    let (invitation, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
    assert_eq!((invitation.callee_id.as_str(), invitation.content.as_str()), ("alice", "call?"));
    let Command::SendInvitation(send) = peer.expect_request(id) else { panic!("an invitation") };
    assert_eq!((send.call_id, send.callee_id), (invitation.call_id.clone(), invitation.callee_id));
    let other = sent(&mut peer);
    assert_ne!(other.call_id, invitation.call_id);
}

#[test]
fn a_callers_good_case() {
    let mut peer = Peer::online();
    let invitation = sent(&mut peer);
    rang(&mut peer, &invitation);
    peer.expect_event(RtmEvent::local_invitation_received_by_peer(invitation.clone()));
    rang(&mut peer, &invitation);
    peer.expect_no_event();
    let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
    peer.event(Event::LocalInvitationAccepted { call_id, callee_id, response: "yes".into() });
    peer.expect_event(RtmEvent::local_invitation_accepted(invitation.clone(), "yes".into()));
    let id = cancel(&mut peer, &invitation);
    assert_eq!(peer.expect_err(id, ErrorKind::AlreadyEnd).code(), Some(3));
}

#[test]
fn a_callee_may_refuse() {
    let mut peer = Peer::online();
    let invitation = sent(&mut peer);
    let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
    peer.event(Event::LocalInvitationRefused { call_id, callee_id, response: "busy".into() });
    peer.expect_event(RtmEvent::local_invitation_refused(invitation.clone(), "busy".into()));
    rang(&mut peer, &invitation);
    failed(&mut peer, &invitation, Local::PeerOffline);
    peer.expect_no_event();
}

#[test]
fn the_servers_timers_end_a_callers_invitation() {
    for reason in [Local::PeerOffline, Local::PeerNoResponse, Local::InvitationExpire] {
        let mut peer = Peer::online();
        let invitation = sent(&mut peer);
        failed(&mut peer, &invitation, reason);
        peer.expect_event(RtmEvent::local_invitation_failure(invitation.clone(), reason));
        peer.pass(SECOND * 100);
        peer.expect_no_event();
    }
}

#[test]
fn a_server_that_forgets_an_invitation_does_not_keep_it_alive() {
    let mut peer = Peer::online();
    let silent = sent(&mut peer);
    let ringing = sent(&mut peer);
    rang(&mut peer, &ringing);
    peer.drop_events();
    peer.pass(SECOND * 65 - MS);
    peer.expect_no_event();
    peer.forget_sent();
    peer.pass(MS);
    let mut told = [peer.expect_any_event(), peer.expect_any_event()];
    told.sort_by_key(|event| matches!(event, RtmEvent::LocalInvitationFailure { reason: Local::InvitationExpire, .. }));
    assert_eq!(
        told,
        [
            RtmEvent::local_invitation_failure(silent, Local::PeerNoResponse),
            RtmEvent::local_invitation_failure(ringing, Local::InvitationExpire),
        ]
    );
    // The other side is told, as far as that is possible.
    for _ in 0..2 {
        assert!(matches!(peer.expect_any_request().1, Command::CancelInvitation(_)));
    }
    peer.expect_no_reply();
}

#[test]
fn a_canceled_invitation_ends_when_the_server_took_that() {
    let mut peer = Peer::online();
    let invitation = sent(&mut peer);
    let id = cancel(&mut peer, &invitation);
    let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
    let expected = CancelInvitation { call_id, callee_id, content: "never mind".into() };
    assert_eq!(peer.expect_request(id), expected.into());
    peer.expect_no_event();
    let again = cancel(&mut peer, &invitation);
    peer.expect_err(again, ErrorKind::AlreadyEnd);
    peer.reply(id, Answer::CancelInvitation(()));
    peer.expect_event(RtmEvent::local_invitation_canceled(invitation));
    peer.expect_ok(id);
}

#[test]
fn a_callee_that_is_quicker_than_the_cancel_wins() {
    let mut peer = Peer::online();
    let invitation = sent(&mut peer);
    let id = cancel(&mut peer, &invitation);
    let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
    peer.event(Event::LocalInvitationAccepted { call_id, callee_id, response: "yes".into() });
    peer.refuse(id, ErrorKind::AlreadyEnd);
    peer.expect_event(RtmEvent::local_invitation_accepted(invitation, "yes".into()));
    peer.expect_err(id, ErrorKind::AlreadyEnd);
    peer.expect_no_event();
}

#[test]
fn a_cancel_without_an_answer_may_be_made_again() {
    let mut peer = Peer::online();
    let invitation = sent(&mut peer);
    let id = cancel(&mut peer, &invitation);
    peer.pass(SECOND * 10);
    peer.expect_err(id, ErrorKind::Timeout);
    peer.expect_no_event();
    let id = cancel(&mut peer, &invitation);
    peer.reply(id, Answer::CancelInvitation(()));
    peer.expect_event(RtmEvent::local_invitation_canceled(invitation));
}

#[test]
fn an_invitation_that_the_server_refuses_never_was() {
    let mut peer = Peer::online();
    let (invitation, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
    peer.refuse(id, ErrorKind::InvalidArgument);
    peer.expect_err(id, ErrorKind::InvalidArgument);
    peer.pass(SECOND * 100);
    peer.expect_no_event();
    let id = cancel(&mut peer, &invitation);
    peer.expect_err(id, ErrorKind::AlreadyEnd);
}

#[test]
fn an_invitation_without_an_answer_is_taken_back() {
    let mut peer = Peer::online();
    let (invitation, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
    peer.expect_request(id);
    peer.pass(SECOND * 10);
    peer.expect_err(id, ErrorKind::Timeout);
    let (_, Command::CancelInvitation(cancel)) = peer.expect_any_request() else { panic!("a cancel") };
    assert_eq!(cancel.call_id, invitation.call_id);
    rang(&mut peer, &invitation);
    peer.expect_no_event();
}

#[test]
fn news_of_an_invitation_answer_the_request_for_it() {
    for news in 0..4 {
        let mut peer = Peer::online();
        let (invitation, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
        let LocalInvitation { call_id, callee_id, .. } = invitation;
        let response = || "".into();
        peer.event(match news {
            0 => Event::LocalInvitationReceivedByPeer { call_id, callee_id },
            1 => Event::LocalInvitationAccepted { call_id, callee_id, response: response() },
            2 => Event::LocalInvitationRefused { call_id, callee_id, response: response() },
            _ => Event::LocalInvitationFailure { call_id, callee_id, reason: Local::PeerOffline },
        });
        peer.expect_ok(id);
        peer.expect_any_event();
        peer.reply(id, Answer::SendInvitation(()));
        peer.pass(SECOND * 20);
        peer.expect_no_reply();
        peer.expect_no_event();
    }
}

#[test]
fn numbers_that_the_caller_chooses_are_checked() {
    let mut peer = Peer::online();
    let call_id = CallId::new("mine").unwrap();
    let send = SendInvitation { call_id: call_id.clone(), callee_id: user("alice"), content: "".into() };
    let cancel = CancelInvitation { call_id, callee_id: user("alice"), content: "".into() };
    let id = peer.request(cancel.clone());
    assert_eq!(peer.expect_err(id, ErrorKind::NotStarted).code(), Some(2));
    let first = peer.request(send.clone());
    let id = peer.request(send);
    assert_eq!(peer.expect_err(id, ErrorKind::AlreadySent).code(), Some(5));
    peer.reply(first, Answer::SendInvitation(()));
    peer.expect_ok(first);
    let id = peer.request(CancelInvitation { callee_id: user("carol"), ..cancel });
    assert_eq!(peer.expect_err(id, ErrorKind::InvalidArgument).code(), Some(1));
}

#[test]
fn a_text_of_an_invitation_has_at_most_8_kib() {
    let mut peer = Peer::online();
    let (_, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "x".repeat(8193)));
    assert_eq!(peer.expect_err(id, ErrorKind::InvalidArgument).code(), Some(1));
    let (_, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "x".repeat(8192)));
    peer.expect_request(id);
    let invitation = received(&mut peer);
    let id = peer.with(|connection, now| connection.accept_invitation(now, &invitation, "x".repeat(8193)));
    peer.expect_err(id, ErrorKind::InvalidArgument);
    let id = accept(&mut peer, &invitation);
    peer.expect_request(id);
}

#[test]
fn a_callees_good_case() {
    let mut peer = Peer::online();
    let invitation = received(&mut peer);
    let id = accept(&mut peer, &invitation);
    let Command::AcceptInvitation(command) = peer.expect_request(id) else { panic!("an accept") };
    assert_eq!((command.call_id, command.response.as_str()), (invitation.call_id.clone(), "yes"));
    peer.expect_no_event();
    let again = accept(&mut peer, &invitation);
    assert_eq!(peer.expect_err(again, ErrorKind::AlreadyAccept).code(), Some(4));
    peer.reply(id, Answer::AcceptInvitation(()));
    peer.expect_event(RtmEvent::remote_invitation_accepted(invitation.clone()));
    peer.expect_ok(id);
    for act in [accept, refuse] {
        let id = act(&mut peer, &invitation);
        peer.expect_err(id, ErrorKind::AlreadyAccept);
    }
    // What the caller does with the call now is no business of the invitation.
    canceled(&mut peer, &invitation);
    peer.pass(SECOND * 100);
    peer.expect_no_event();
    let id = accept(&mut peer, &invitation);
    assert_eq!(peer.expect_err(id, ErrorKind::AlreadyEnd).code(), Some(3));
}

#[test]
fn a_refused_invitation_ends() {
    let mut peer = Peer::online();
    let invitation = received(&mut peer);
    let id = refuse(&mut peer, &invitation);
    peer.expect_request(id);
    peer.reply(id, Answer::RefuseInvitation(()));
    peer.expect_event(RtmEvent::remote_invitation_refused(invitation.clone()));
    peer.expect_ok(id);
    let id = accept(&mut peer, &invitation);
    peer.expect_err(id, ErrorKind::AlreadyEnd);
}

#[test]
fn an_accept_without_a_confirmation_fails_after_5_s() {
    let mut peer = Peer::online();
    let invitation = received(&mut peer);
    let id = accept(&mut peer, &invitation);
    peer.pass(SECOND * 5 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_event(RtmEvent::remote_invitation_failure(invitation, Remote::AcceptFailure));
    peer.expect_err(id, ErrorKind::Timeout);
}

#[test]
fn a_caller_that_is_quicker_than_the_accept_wins() {
    for event_first in [true, false] {
        let mut peer = Peer::online();
        let invitation = received(&mut peer);
        let id = accept(&mut peer, &invitation);
        if event_first {
            canceled(&mut peer, &invitation);
            peer.refuse(id, ErrorKind::AlreadyEnd);
        } else {
            peer.refuse(id, ErrorKind::AlreadyEnd);
            canceled(&mut peer, &invitation);
        }
        peer.expect_err(id, ErrorKind::AlreadyEnd);
        peer.expect_event(RtmEvent::remote_invitation_canceled(invitation, "sorry".into()));
        peer.expect_no_event();
    }
}

#[test]
fn the_servers_timers_end_a_callees_invitation() {
    let mut peer = Peer::online();
    let invitation = received(&mut peer);
    let RemoteInvitation { call_id, caller_id, .. } = invitation.clone();
    peer.event(Event::RemoteInvitationFailure { call_id, caller_id, reason: Remote::InvitationExpire });
    peer.expect_event(RtmEvent::remote_invitation_failure(invitation, Remote::InvitationExpire));
    peer.pass(SECOND * 100);
    peer.expect_no_event();
}

#[test]
fn an_invitation_that_nobody_answers_ends_here_too() {
    let mut peer = Peer::online();
    let invitation = received(&mut peer);
    peer.pass(SECOND * 65 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_event(RtmEvent::remote_invitation_failure(invitation, Remote::InvitationExpire));
}

#[test]
fn an_invitation_that_comes_twice_rings_once() {
    let mut peer = Peer::online();
    let RemoteInvitation { call_id, caller_id, content, .. } = received(&mut peer);
    peer.event(Event::RemoteInvitationReceived { call_id, caller_id, content });
    peer.expect_no_event();
    // Its caller waits to hear that it arrived, though.
    peer.expect_ack(2, 0, 1);
}

#[test]
fn two_callers_may_use_one_number() {
    let mut peer = Peer::online();
    let from_alice = received(&mut peer);
    let from_carol = RemoteInvitation::new(from_alice.call_id.clone(), user("carol"), from_alice.content.clone());
    let RemoteInvitation { call_id, caller_id, content, .. } = from_carol.clone();
    peer.event(Event::RemoteInvitationReceived { call_id, caller_id, content });
    peer.expect_event(RtmEvent::remote_invitation_received(from_carol.clone()));
    canceled(&mut peer, &from_alice);
    peer.expect_event(RtmEvent::remote_invitation_canceled(from_alice, "sorry".into()));
    let id = accept(&mut peer, &from_carol);
    peer.expect_no_reply();
    peer.reply(id, Answer::AcceptInvitation(()));
    peer.expect_event(RtmEvent::remote_invitation_accepted(from_carol));
}

#[test]
fn a_flood_of_invitations_is_bounded_and_each_one_ends() {
    let mut peer = Peer::online_with({
        let mut config = Config::native();
        config.window = 0;
        config
    });
    let (mut came, mut ended) = (0, 0);
    for i in 0..3000 {
        peer.event(Event::RemoteInvitationReceived {
            call_id: CallId::new(format!("{i}")).unwrap(),
            caller_id: user("mallory"),
            content: "".into(),
        });
    }
    let mut count = |peer: &mut Peer| {
        while peer.has_event() {
            match peer.expect_any_event() {
                RtmEvent::RemoteInvitationReceived { .. } => came += 1,
                RtmEvent::RemoteInvitationFailure { reason: Remote::InvitationExpire, .. } => ended += 1,
                other => panic!("{other:?}"),
            }
        }
        (came, ended)
    };
    assert_eq!(count(&mut peer), (3000, 3000 - 1024));
    peer.pass(SECOND * 65);
    assert_eq!(count(&mut peer), (3000, 3000));
}

#[test]
fn invitations_live_on_over_a_resumed_session() {
    for resumption in [Resumption::Resumed, Resumption::Lapsed] {
        let mut peer = Peer::online();
        let local = sent(&mut peer);
        let remote = received(&mut peer);
        peer.reconnect(resumption);
        peer.expect_no_event();
        rang(&mut peer, &local);
        peer.expect_event(RtmEvent::local_invitation_received_by_peer(local));
        canceled(&mut peer, &remote);
        peer.expect_event(RtmEvent::remote_invitation_canceled(remote, "sorry".into()));
    }
}

#[test]
fn invitations_end_with_the_session_they_were_in() {
    let mut peer = Peer::online();
    let local = sent(&mut peer);
    let remote = received(&mut peer);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    peer.expect_event(RtmEvent::local_invitation_failure(local.clone(), Local::NotLoggedIn));
    peer.expect_event(RtmEvent::remote_invitation_failure(remote.clone(), Remote::PeerOffline));
    peer.expect_nothing_sent();
    let id = cancel(&mut peer, &local);
    peer.expect_err(id, ErrorKind::AlreadyEnd);
    let id = accept(&mut peer, &remote);
    peer.expect_err(id, ErrorKind::AlreadyEnd);
    peer.pass(SECOND * 100);
    peer.expect_no_event();
}

/// Invitations of both sides, open on the vendor's wire, whose link breaks after `before` and comes back.
fn kept(
    before: impl FnOnce(&mut Peer, &LocalInvitation, &RemoteInvitation),
) -> (Peer, LocalInvitation, RemoteInvitation) {
    let mut peer = Peer::online_with(Config::vendor());
    let local = sent(&mut peer);
    let remote = received(&mut peer);
    before(&mut peer, &local, &remote);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    peer.expect_no_event();
    (peer, local, remote)
}

#[test]
fn on_a_wire_without_resume_invitations_outlive_a_break() {
    let (mut peer, local, remote) = kept(|_, _, _| ());
    peer.expect_nothing_sent();
    // The server tells a client that may have forgotten it.
    let RemoteInvitation { call_id, caller_id, content, .. } = remote.clone();
    peer.event(Event::RemoteInvitationReceived { call_id, caller_id, content });
    peer.expect_no_event();
    rang(&mut peer, &local);
    peer.expect_event(RtmEvent::local_invitation_received_by_peer(local));
    let id = accept(&mut peer, &remote);
    peer.expect_request(id);
    peer.reply(id, Answer::AcceptInvitation(()));
    peer.expect_event(RtmEvent::remote_invitation_accepted(remote));
    peer.expect_ok(id);
}

#[test]
fn on_a_wire_without_resume_invitations_that_the_server_forgot_end_in_their_time() {
    let (mut peer, local, remote) = kept(|_, _, _| ());
    peer.pass(SECOND * 65);
    peer.expect_event(RtmEvent::local_invitation_failure(local.clone(), Local::PeerNoResponse));
    peer.expect_event(RtmEvent::remote_invitation_failure(remote, Remote::InvitationExpire));
    let (_, Command::CancelInvitation(cancel)) = peer.expect_any_request() else { panic!("a cancel") };
    assert_eq!(cancel.call_id, local.call_id);
    peer.pass(SECOND * 100);
    peer.expect_no_event();
}

#[test]
fn on_a_wire_without_resume_an_answer_that_a_break_cut_off_can_be_given_again() {
    let mut asked = None;
    let (mut peer, _, remote) = kept(|peer, _, remote| asked = Some(accept(peer, remote)));
    peer.expect_err(asked.unwrap(), ErrorKind::OutcomeUnknown);
    let id = accept(&mut peer, &remote);
    peer.expect_request(id);
    peer.reply(id, Answer::AcceptInvitation(()));
    peer.expect_event(RtmEvent::remote_invitation_accepted(remote));
}

#[test]
fn an_invitation_whose_sending_a_break_cut_off_is_taken_back() {
    let mut peer = Peer::online_with(Config::vendor());
    let (invitation, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
    peer.expect_request(id);
    peer.reconnect(Resumption::New);
    peer.expect_err(id, ErrorKind::OutcomeUnknown);
    let (_, Command::CancelInvitation(cancel)) = peer.expect_any_request() else { panic!("a cancel") };
    assert_eq!(cancel.call_id, invitation.call_id);
}

#[test]
fn answers_under_way_when_the_session_is_lost_end_too() {
    // Sent: nobody knows. Not sent: there is nothing to answer any more.
    for (sent_before, kind) in [(true, ErrorKind::OutcomeUnknown), (false, ErrorKind::AlreadyEnd)] {
        let mut peer = Peer::online();
        let invitation = received(&mut peer);
        let id = if sent_before {
            let id = accept(&mut peer, &invitation);
            peer.cut();
            id
        } else {
            peer.cut();
            accept(&mut peer, &invitation)
        };
        peer.expect_state(State::Reconnecting, Reason::Interrupted);
        peer.until_dial();
        peer.open();
        peer.welcome(Resumption::New);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        peer.expect_gap(None, GapReason::NewSession);
        peer.expect_event(RtmEvent::remote_invitation_failure(invitation, Remote::AcceptFailure));
        peer.expect_err(id, kind);
        peer.expect_nothing_sent();
        peer.expect_no_event();
    }
}

#[test]
fn an_invitation_made_while_reconnecting_goes_out_over_the_new_session() {
    let mut peer = Peer::online();
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    let (invitation, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_gap(None, GapReason::NewSession);
    peer.expect_no_event();
    peer.expect_request(id);
    peer.reply(id, Answer::SendInvitation(()));
    rang(&mut peer, &invitation);
    peer.expect_event(RtmEvent::local_invitation_received_by_peer(invitation));
}

#[test]
fn logout_and_abortion_end_invitations_before_they_are_told() {
    for abort in [true, false] {
        let mut peer = Peer::online();
        let local = sent(&mut peer);
        let remote = received(&mut peer);
        if abort {
            peer.close(CloseReason::RemoteLogin);
        } else {
            peer.logout().unwrap();
        }
        peer.expect_event(RtmEvent::local_invitation_failure(local, Local::NotLoggedIn));
        peer.expect_event(RtmEvent::remote_invitation_failure(remote, Remote::PeerOffline));
        assert!(matches!(peer.expect_any_event(), RtmEvent::ConnectionStateChanged { .. }));
        peer.expect_no_event();
    }
}

#[test]
fn an_invitation_needs_a_login() {
    let mut peer = Peer::new(Config::native());
    let (_, id) = peer.with(|connection, now| connection.send_invitation(now, user("alice"), "call?"));
    peer.expect_err(id, ErrorKind::NotLoggedIn);
    peer.expect_no_event();
}
