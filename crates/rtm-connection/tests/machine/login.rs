//! The user's login: what it sends, how it ends, and in which order that is told.

use rtm_codec::{CloseReason, ErrorKind, KeepAlive, Refusal, Resumption, ServerFrame, Wire};
use rtm_connection::{Config, Connection, ConnectionChangeReason as Reason, ConnectionState as State, Target};

use crate::peer::{MS, Peer, SECOND, app, no_route, ticket, token, user};

#[test]
fn a_connection_starts_disconnected_and_wants_nothing() {
    let mut peer = Peer::new(Config::native());
    assert_eq!(peer.connection.state(), State::Disconnected);
    assert_eq!(peer.connection.user_id(), None);
    peer.pass(SECOND * 3600);
    peer.expect_no_dial();
    peer.expect_no_event();
}

#[test]
fn a_login_dials_and_says_who_it_is() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.expect_state(State::Connecting, Reason::Login);
    assert_eq!(peer.connection.state(), State::Connecting);
    assert_eq!(peer.connection.user_id(), Some(&user("bob")));
    let login = peer.open();
    assert_eq!((login.app_id, login.user_id, login.token), (app(), Some(user("bob")), Some(token("old"))));
    assert_eq!(login.keep_alive, KeepAlive::Client { interval_ms: 2000 });
    assert_eq!((login.window, login.abilities, login.resume), (1024, Wire::Native.abilities(), None));
    peer.expect_login_under_way();
}

#[test]
fn the_vendors_wire_is_told_what_it_can() {
    let mut peer = Peer::new(Config::vendor());
    peer.login();
    let login = peer.open();
    assert_eq!(login.gateway_session.as_deref(), Some("gateway-7"));
    assert_eq!(login.keep_alive, KeepAlive::Client { interval_ms: 10_000 });
    assert_eq!((login.window, login.abilities, login.resume), (0, Wire::Vendor.abilities(), None));
}

#[test]
fn connected_is_told_before_the_login_ends() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.welcome(Resumption::New);
    let told = peer.trace.iter().position(|output| output.contains("LoginSuccess")).unwrap();
    let ended = peer.trace.iter().position(|output| output.starts_with("LoginResult")).unwrap();
    assert!(told < ended);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_no_event();
    peer.expect_login_ok();
    assert_eq!(peer.connection.state(), State::Connected);
}

#[test]
fn a_refused_login_ends_with_the_servers_reason() {
    for (kind, reason, code) in [
        (ErrorKind::InvalidToken, Reason::LoginFailure, Some(4)),
        (ErrorKind::TokenExpired, Reason::LoginFailure, Some(5)),
        (ErrorKind::TooOften, Reason::LoginFailure, Some(9)),
        (ErrorKind::Failure, Reason::LoginFailure, Some(1)),
        (ErrorKind::Banned, Reason::BannedByServer, Some(3)),
        (ErrorKind::InvalidAppId, Reason::BannedByServer, Some(3)),
    ] {
        let mut peer = Peer::new(Config::native());
        peer.login();
        peer.open();
        peer.frame(ServerFrame::Refused(Refusal::new(kind, "because")));
        peer.expect_state(State::Connecting, Reason::Login);
        peer.expect_state(State::Disconnected, reason);
        let error = peer.expect_login_err(kind);
        assert_eq!((error.code(), error.detail()), (code, "because"));
        peer.expect_hangup(CloseReason::Logout);
        assert_eq!(peer.connection.state(), State::Disconnected);
        peer.pass(SECOND * 60);
        peer.expect_no_dial();
    }
}

#[test]
fn a_gateway_that_refuses_for_good_ends_the_login_at_once() {
    let mut peer = Peer::new(Config::vendor());
    peer.has_gateway = false;
    peer.login();
    peer.answer_ask(Err(no_route(false)));
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Disconnected, Reason::LoginFailure);
    let error = peer.expect_login_err(ErrorKind::GatewayConnectFailed);
    assert_eq!((error.code(), error.detail()), (Some(11), "no route"));
    peer.expect_no_hangup();
}

#[test]
fn a_login_goes_on_trying_until_its_time_is_over() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    let mut attempts = 0;
    let mut passed = std::time::Duration::ZERO;
    while passed < SECOND * 12 && peer.connection.state() == State::Connecting {
        if peer.has_dial() {
            attempts += 1;
            peer.dial_failed(true);
        }
        peer.pass(MS * 10);
        passed += MS * 10;
    }
    assert!((5..100).contains(&attempts), "{attempts}");
    assert_eq!(passed, SECOND * 12);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Disconnected, Reason::LoginTimeout);
    let error = peer.expect_login_err(ErrorKind::Timeout);
    assert_eq!(error.code(), Some(8));
    assert!(error.detail().contains("no route"), "{}", error.detail());
}

#[test]
fn a_server_that_says_nothing_ends_the_login_after_12_s() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.pass(SECOND * 6);
    // One attempt is given up after 6 s, and another one started.
    peer.expect_hangup(CloseReason::LoginTimeout);
    peer.until_dial();
    peer.open();
    peer.expect_login_under_way();
    peer.pass(SECOND * 6);
    peer.expect_login_err(ErrorKind::Timeout);
    peer.expect_hangup(CloseReason::LoginTimeout);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Disconnected, Reason::LoginTimeout);
    peer.expect_no_event();
}

#[test]
fn a_link_with_a_round_trip_of_a_second_and_more_is_had() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    // TCP, two round trips for TLS, and the upgrade.
    peer.pass(SECOND * 6);
    peer.expect_no_hangup();
    peer.open();
    peer.pass(SECOND * 5);
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
}

#[test]
fn a_dial_without_any_answer_is_given_up() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    assert_eq!(peer.expect_dial(), Target::Gateway(0));
    peer.pass(SECOND * 10 - MS);
    peer.expect_no_hangup();
    peer.pass(MS);
    peer.expect_hangup(CloseReason::LoginTimeout);
    peer.until_dial();
    assert_eq!(peer.expect_dial(), Target::Gateway(0));
}

#[test]
fn a_link_that_breaks_before_the_answer_is_tried_again() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.cut();
    peer.until_dial();
    peer.open();
    peer.close(CloseReason::Draining);
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_no_event();
}

#[test]
fn a_server_that_closes_for_good_ends_the_login() {
    for (reason, kind, told) in [
        (CloseReason::ProtocolError, ErrorKind::Failure, Reason::LoginFailure),
        (CloseReason::Banned, ErrorKind::Banned, Reason::BannedByServer),
        (CloseReason::TokenExpired, ErrorKind::TokenExpired, Reason::LoginFailure),
        (CloseReason::RemoteLogin, ErrorKind::Failure, Reason::LoginFailure),
    ] {
        let mut peer = Peer::new(Config::native());
        peer.login();
        peer.open();
        peer.close(reason);
        peer.expect_state(State::Connecting, Reason::Login);
        peer.expect_state(State::Disconnected, told);
        assert_eq!(peer.expect_login_err(kind).detail(), reason.as_str());
    }
}

#[test]
fn one_login_at_a_time() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    assert_eq!(peer.try_login().unwrap_err().kind(), ErrorKind::AlreadyLogin);
    peer.open();
    peer.welcome(Resumption::New);
    let error = peer.try_login().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::AlreadyLogin, Some(7)));
    peer.cut();
    assert_eq!(peer.connection.state(), State::Reconnecting);
    assert_eq!(peer.try_login().unwrap_err().kind(), ErrorKind::AlreadyLogin);
}

#[test]
fn an_aborted_session_wants_a_logout_first() {
    let mut peer = Peer::online();
    peer.close(CloseReason::RemoteLogin);
    peer.expect_state(State::Aborted, Reason::RemoteLogin);
    assert_eq!(peer.try_login().unwrap_err().kind(), ErrorKind::AlreadyLogin);
    peer.logout().unwrap();
    peer.expect_state(State::Disconnected, Reason::Logout);
    peer.expect_logout_ok();
    peer.login();
    peer.expect_state(State::Connecting, Reason::Login);
}

#[test]
fn the_third_login_within_a_second_is_too_often() {
    let mut peer = Peer::new(Config::native());
    for _ in 0..2 {
        peer.login();
        peer.dial_failed(false);
        peer.expect_login_err(ErrorKind::GatewayConnectFailed);
    }
    let error = peer.try_login().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooOften, Some(9)));
    peer.expect_no_dial();
    assert_eq!(peer.connection.state(), State::Disconnected);
    peer.pass(SECOND);
    peer.login();
}

#[test]
fn nothing_is_restored_by_a_login() {
    let mut peer = Peer::online();
    let join = peer.request(rtm_codec::JoinChannel { channel_id: crate::peer::channel("room") });
    peer.reply(join, rtm_codec::Answer::JoinChannel(()));
    peer.logout().unwrap();
    peer.close(CloseReason::Logout);
    peer.forget_all();
    peer.pass(SECOND);
    peer.login();
    let login = peer.open();
    assert_eq!(login.resume, None);
    peer.welcome(Resumption::New);
    peer.expect_nothing_sent();
    assert_eq!(peer.connection.channels().count(), 0);
}

#[test]
fn after_a_logout_the_server_cannot_take_the_client_for_one_that_comes_back() {
    let mut peer = Peer::around(Connection::new(Config::native(), 1));
    peer.login();
    let first = peer.open().instance;
    peer.welcome(Resumption::New);
    peer.logout().unwrap();
    peer.close(CloseReason::Logout);
    peer.forget_all();
    peer.pass(SECOND);
    peer.login();
    assert_ne!(peer.open().instance, first);
}

#[test]
fn a_client_object_keeps_its_instance_and_another_has_its_own() {
    let instance = |seed| {
        let mut peer = Peer::around(Connection::new(Config::native(), seed));
        peer.login();
        let first = peer.open().instance;
        peer.welcome(Resumption::New);
        peer.expect_state(State::Connecting, Reason::Login);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        assert_eq!(peer.cut_and_reopen().instance, first);
        first
    };
    assert_ne!(instance(1), instance(2));
    assert_eq!(instance(1), instance(1));
}

#[test]
fn frames_that_have_no_place_before_the_welcome_do_no_harm() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.frame(ServerFrame::Pong);
    peer.frame(ServerFrame::Reply { id: rtm_codec::RequestId(1), result: Err(ErrorKind::Failure.into()) });
    peer.frame(ServerFrame::Ping);
    peer.expect_sent(rtm_codec::ClientFrame::Pong);
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
}

#[test]
fn a_server_that_resumes_what_nobody_had_is_not_believed() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.welcome_with(|welcome| {
        welcome.resumption = Resumption::Resumed;
        welcome.ticket = Some(ticket(9));
    });
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_no_event();
    peer.message("first");
    peer.expect_event(crate::peer::from_alice("first"));
}
