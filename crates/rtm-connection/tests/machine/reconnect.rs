//! Losing the link and coming back: states, pauses, and what ends for good.

use std::time::Duration;

use rtm_codec::{
    CloseReason, ErrorKind, Refusal, Resumption, ServerFrame,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
use rtm_connection::{
    Config, Connection, ConnectionChangeReason as Reason, ConnectionState as State, GapReason, RtmEvent,
};

use crate::peer::{MS, Peer, SECOND, no_route, to_alice, token};

#[test]
fn a_broken_link_is_told_and_made_again_quickly() {
    let mut peer = Peer::online();
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    assert_eq!(peer.connection.state(), State::Reconnecting);
    assert!(peer.until_dial() <= MS * 250);
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_no_event();
    peer.expect_login_under_way();
}

#[test]
fn every_close_that_lets_clients_return_leads_to_a_reconnect() {
    for reason in CloseReason::ALL.into_iter().filter(|reason| reason.can_reconnect()) {
        let mut peer = Peer::online();
        peer.close(reason);
        peer.expect_state(State::Reconnecting, Reason::Interrupted);
        peer.expect_hangup(reason);
        peer.until_dial();
        peer.open();
        peer.welcome(Resumption::Resumed);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
    }
}

#[test]
fn a_normal_close_code_that_nobody_asked_for_is_a_broken_link() {
    let mut peer = Peer::online();
    peer.with(|connection, now| connection.handle_closed(now, Some(CloseReason::Logout)));
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.until_dial();
}

#[test]
fn retries_go_on_for_ever_with_growing_pauses() {
    let mut peer = Peer::online();
    peer.cut();
    let mut pauses = Vec::new();
    for _ in 1..=60 {
        pauses.push(peer.until_dial());
        peer.dial_failed(true);
    }
    assert_eq!(peer.connection.state(), State::Reconnecting);
    assert!(pauses.iter().all(|&pause| pause <= SECOND * 10));
    let sum = |range: std::ops::Range<usize>| pauses[range].iter().sum::<Duration>();
    assert!(sum(0..3) < SECOND * 2);
    assert!(sum(50..60) > SECOND * 20, "{:?}", sum(50..60));
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.expect_no_event();
}

#[test]
fn two_clients_do_not_pause_alike_and_one_seed_always_does() {
    let pauses = |seed| {
        let mut peer = Peer::around(Connection::new(Config::native(), seed));
        peer.login();
        peer.open();
        peer.welcome(Resumption::New);
        peer.cut();
        (0..10)
            .map(|_| {
                let pause = peer.until_dial();
                peer.dial_failed(true);
                pause
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(pauses(1), pauses(1));
    assert_ne!(pauses(1), pauses(2));
}

#[test]
fn a_link_that_breaks_at_once_does_not_reset_the_pauses() {
    let mut peer = Peer::online();
    let mut total = Duration::ZERO;
    for _ in 0..20 {
        peer.cut();
        total += peer.until_dial();
        peer.open();
        peer.welcome(Resumption::Resumed);
        peer.pass(SECOND);
    }
    assert!(total > SECOND * 20, "{total:?}");
    peer.pass(SECOND * 5);
    peer.cut();
    assert!(peer.until_dial() <= MS * 250);
}

#[test]
fn a_draining_servers_clients_come_back_soon_and_not_at_once() {
    let pauses: Vec<_> = (0..100)
        .map(|seed| {
            let mut peer = Peer::around(Connection::new(Config::native(), seed));
            peer.login();
            peer.open();
            peer.welcome(Resumption::New);
            peer.close(CloseReason::Draining);
            peer.until_dial()
        })
        .collect();
    assert!(pauses.iter().all(|&pause| pause <= MS * 250));
    for quarter in 0..4 {
        let from = MS * 250 * quarter / 4;
        let in_quarter = pauses.iter().filter(|&&pause| pause >= from && pause < from + MS * 250 / 4).count();
        assert!((10..50).contains(&in_quarter), "{in_quarter} in quarter {quarter}");
    }
}

#[test]
fn an_attempt_to_come_back_has_its_own_deadline() {
    let mut peer = Peer::online();
    peer.cut();
    peer.until_dial();
    peer.open();
    peer.pass(SECOND * 6);
    peer.expect_hangup(CloseReason::LoginTimeout);
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    assert_eq!(peer.connection.state(), State::Connected);
}

#[test]
fn a_login_elsewhere_aborts() {
    let mut peer = Peer::online();
    peer.close(CloseReason::RemoteLogin);
    peer.expect_state(State::Aborted, Reason::RemoteLogin);
    peer.expect_hangup(CloseReason::RemoteLogin);
    assert_eq!(peer.connection.state(), State::Aborted);
    peer.pass(SECOND * 1000);
    peer.expect_no_dial();
    let id = peer.request(to_alice("hi"));
    let error = peer.expect_err(id, ErrorKind::NotLoggedIn);
    assert_eq!(error.code(), Some(102));
}

#[test]
fn a_login_elsewhere_that_is_learned_on_return_aborts() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    peer.close(CloseReason::RemoteLogin);
    peer.expect_state(State::Aborted, Reason::RemoteLogin);
}

#[test]
fn the_compatibility_setting_reports_a_login_elsewhere_as_the_web_sdk_does() {
    let mut config = Config::vendor();
    config.web15 = true;
    let mut peer = Peer::online_with(config);
    peer.close(CloseReason::RemoteLogin);
    peer.expect_state(State::Disconnected, Reason::RemoteLogin);
    peer.login();
    peer.expect_state(State::Connecting, Reason::Login);
}

#[test]
fn a_ban_aborts_by_frame_by_close_code_and_on_return() {
    let mut peer = Peer::online();
    peer.close(CloseReason::Banned);
    peer.expect_state(State::Aborted, Reason::BannedByServer);

    let mut peer = Peer::online_with(Config::vendor());
    peer.with(|connection, now| connection.handle_closed(now, Some(CloseReason::Banned)));
    peer.expect_state(State::Aborted, Reason::BannedByServer);
    peer.expect_no_hangup();

    let mut peer = Peer::online();
    peer.cut_and_reopen();
    peer.frame(ServerFrame::Refused(Refusal::from(ErrorKind::Banned)));
    peer.expect_state(State::Aborted, Reason::BannedByServer);

    let mut peer = Peer::online_with(Config::vendor());
    peer.has_gateway = false;
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.until_dial();
    peer.answer_ask(Ok(GatewayAnswer::Refused(ErrorKind::Banned)));
    peer.expect_state(State::Aborted, Reason::BannedByServer);
}

#[test]
fn other_refusals_do_not_end_reconnecting() {
    for kind in [ErrorKind::Failure, ErrorKind::TooOften, ErrorKind::NotAuthorized] {
        let mut peer = Peer::online();
        peer.cut_and_reopen();
        peer.frame(ServerFrame::Refused(Refusal::from(kind)));
        peer.expect_no_event();
        peer.until_dial();
        peer.open();
        peer.welcome(Resumption::Resumed);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
    }
}

#[test]
fn a_gateway_that_does_not_want_to_be_asked_again_is_asked_again_by_a_reconnect() {
    let mut peer = Peer::online_with(Config::vendor());
    peer.has_gateway = false;
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.until_dial();
    peer.answer_ask(Err(no_route(false)));
    peer.until_dial();
    let (_, GatewayRequest::Connect { token: presented, .. }) = peer.expect_ask() else { panic!("no question") };
    assert_eq!(presented, Some(token("old")));
}

#[test]
fn a_slow_reader_is_told_why_it_lost_events() {
    let mut peer = Peer::online();
    peer.close(CloseReason::SlowConsumer);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.until_dial();
    peer.dial_failed(true);
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_gap(None, GapReason::SlowConsumer);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
}

#[test]
fn what_comes_over_a_link_that_is_given_up_is_not_heard() {
    let mut peer = Peer::online();
    peer.alive = false;
    peer.pass(SECOND * 4);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.message("late");
    peer.cut();
    peer.expect_no_event();
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.message("again");
    // The server numbered the late one first; it will send it again.
    assert!(matches!(peer.expect_any_event(), RtmEvent::Gap { lost: Some(1), reason: GapReason::Missing, .. }));
}
