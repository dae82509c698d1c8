//! Logging out, from every state.

use rtm_codec::{Answer, ClientFrame, CloseReason, ErrorKind, Resumption};
use rtm_connection::{Config, ConnectionChangeReason as Reason, ConnectionState as State};

use crate::peer::{Peer, SECOND, to_alice};

#[test]
fn a_logout_is_told_at_once_and_ends_when_the_server_confirms_it() {
    let mut peer = Peer::online();
    peer.logout().unwrap();
    peer.expect_sent(ClientFrame::Logout);
    peer.expect_state(State::Disconnected, Reason::Logout);
    assert_eq!(peer.connection.state(), State::Disconnected);
    peer.expect_logout_under_way();
    peer.close(CloseReason::Logout);
    peer.expect_logout_ok();
    peer.expect_hangup(CloseReason::Logout);
}

#[test]
fn a_server_that_just_closes_confirms_a_logout_too() {
    let mut peer = Peer::online();
    peer.logout().unwrap();
    peer.cut();
    peer.expect_logout_ok();
    peer.expect_no_hangup();
}

#[test]
fn a_logout_does_not_wait_for_ever() {
    let mut peer = Peer::online();
    peer.logout().unwrap();
    peer.pass(SECOND * 2 - crate::peer::MS);
    peer.expect_logout_under_way();
    peer.pass(crate::peer::MS);
    peer.expect_logout_ok();
    peer.expect_hangup(CloseReason::Logout);
}

#[test]
fn nothing_comes_after_a_logout() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.forget_sent();
    peer.logout().unwrap();
    peer.expect_err(id, ErrorKind::AbortedByLogout);
    peer.expect_state(State::Disconnected, Reason::Logout);
    peer.message("late");
    peer.reply(id, Answer::SendMessageToPeer(rtm_codec::SendOutcome::Delivered));
    peer.close(CloseReason::Logout);
    peer.cut();
    peer.pass(SECOND * 100);
    peer.expect_no_event();
    peer.expect_no_reply();
    peer.expect_no_dial();
}

#[test]
fn what_came_before_a_logout_is_acknowledged_first() {
    let mut peer = Peer::online();
    peer.event(rtm_codec::Event::MemberCountUpdated { channel_id: crate::peer::channel("room"), member_count: 2 });
    peer.expect_nothing_sent();
    peer.logout().unwrap();
    peer.expect_ack(1, 0, 1);
    peer.expect_sent(ClientFrame::Logout);
}

#[test]
fn a_logout_aborts_the_login_under_way() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.logout().unwrap();
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Disconnected, Reason::Logout);
    let error = peer.expect_login_err(ErrorKind::AbortedByLogout);
    assert_eq!(error.code(), Some(10));
    peer.expect_sent(ClientFrame::Logout);
    // The server may have taken the login meanwhile.
    peer.welcome(Resumption::New);
    peer.expect_no_event();
    peer.close(CloseReason::Logout);
    peer.expect_logout_ok();
}

#[test]
fn a_logout_stops_a_dial() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.expect_dial();
    peer.logout().unwrap();
    peer.expect_hangup(CloseReason::Logout);
    peer.expect_login_err(ErrorKind::AbortedByLogout);
    peer.expect_logout_ok();
    peer.with(|connection, now| connection.handle_opened(now));
    peer.expect_nothing_sent();
}

#[test]
fn a_logout_ends_reconnecting() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.logout().unwrap();
    peer.expect_err(id, ErrorKind::AbortedByLogout);
    peer.expect_state(State::Disconnected, Reason::Logout);
    peer.expect_logout_ok();
    peer.pass(SECOND * 100);
    peer.expect_no_dial();
}

#[test]
fn a_logout_without_a_login_is_an_error() {
    let mut peer = Peer::new(Config::native());
    let error = peer.logout().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotLoggedIn, Some(102)));
    let mut peer = Peer::online();
    peer.logout().unwrap();
    assert_eq!(peer.logout().unwrap_err().kind(), ErrorKind::NotLoggedIn);
    peer.expect_no_reply();
}

#[test]
fn a_login_right_after_a_logout_leaves_the_old_link() {
    let mut peer = Peer::online();
    peer.logout().unwrap();
    peer.expect_sent(ClientFrame::Logout);
    peer.login();
    peer.expect_hangup(CloseReason::Logout);
    peer.expect_logout_ok();
    peer.expect_state(State::Disconnected, Reason::Logout);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
}

#[test]
fn what_an_old_link_reports_before_the_new_dial_is_known_does_not_count() {
    let mut peer = Peer::online();
    peer.with(|connection, now| {
        connection.logout(now).unwrap();
        connection.login(now, crate::peer::credentials()).unwrap();
        // The transport knows nothing of all that yet.
        connection.handle_frame(now, rtm_codec::ServerFrame::Ping);
        connection.handle_closed(now, None);
        connection.handle_opened(now);
    });
    peer.expect_logout_ok();
    // The goodbye was not handed to the old link in time, and is none for the new one.
    peer.expect_nothing_sent();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
}

#[test]
fn a_goodbye_that_the_link_did_not_live_to_take_goes_nowhere() {
    let mut peer = Peer::online();
    peer.with(|connection, now| {
        connection.logout(now).unwrap();
        connection.handle_frame(now, rtm_codec::ServerFrame::Close(CloseReason::Logout));
        connection.handle_closed(now, None);
    });
    peer.expect_logout_ok();
    peer.expect_nothing_sent();
}

#[test]
fn a_server_that_logs_the_user_out_ends_the_session() {
    let mut peer = Peer::online();
    peer.close(CloseReason::Logout);
    peer.expect_state(State::Disconnected, Reason::Logout);
    peer.pass(SECOND * 100);
    peer.expect_no_dial();
}

#[test]
fn what_was_being_restored_does_not_fail_when_the_session_ends() {
    for by_logout in [true, false] {
        let mut peer = Peer::online();
        let id = peer.request(rtm_codec::JoinChannel { channel_id: crate::peer::channel("room") });
        peer.reply(id, Answer::JoinChannel(()));
        peer.reconnect(Resumption::New);
        peer.drop_events();
        peer.expect_any_request();
        let state = if by_logout {
            peer.logout().unwrap();
            (State::Disconnected, Reason::Logout)
        } else {
            peer.close(CloseReason::RemoteLogin);
            (State::Aborted, Reason::RemoteLogin)
        };
        peer.expect_state(state.0, state.1);
        peer.expect_no_event();
    }
}
