//! Signs of life, and what their absence means.

use rtm_codec::{Answer, ClientFrame, CloseReason, ErrorKind, KeepAlive, Resumption, SendOutcome, ServerFrame};
use rtm_connection::{Config, ConnectionChangeReason as Reason, ConnectionState as State};

use crate::peer::{MS, Peer, SECOND, to_alice};

#[test]
fn an_idle_link_is_pinged_every_two_seconds() {
    let mut peer = Peer::online();
    peer.pass(SECOND * 2 - MS);
    assert_eq!(peer.pings(), 0);
    peer.pass(MS);
    assert_eq!(peer.pings(), 1);
    peer.pass(SECOND * 100);
    assert_eq!(peer.pings(), 50);
    assert_eq!(peer.connection.state(), State::Connected);
}

#[test]
fn the_time_to_the_answer_of_a_ping_is_the_round_trip() {
    let mut peer = Peer::online();
    assert_eq!(peer.connection.round_trip(), None);
    peer.alive = false;
    peer.pass(SECOND * 2 + MS * 30);
    assert_eq!(peer.connection.round_trip(), None);
    peer.frame(ServerFrame::Pong);
    assert_eq!(peer.connection.round_trip(), Some(MS * 30));
    // Two pings are under way, and one of them is answered.
    peer.pass(SECOND * 2 + MS * 990);
    peer.bytes();
    peer.pass(SECOND);
    peer.frame(ServerFrame::Pong);
    assert_eq!(peer.connection.round_trip(), Some(SECOND * 2 + MS * 20));
    peer.frame(ServerFrame::Pong);
    assert_eq!(peer.connection.round_trip(), Some(SECOND * 2 + MS * 20), "which ping that answers is not known");
    peer.cut();
    assert_eq!(peer.connection.round_trip(), None);
}

#[test]
fn traffic_does_not_starve_the_pings() {
    let mut peer = Peer::online();
    for i in 0..100 {
        peer.message(&i.to_string());
        peer.pass(MS * 100);
    }
    assert_eq!(peer.pings(), 5);
}

#[test]
fn a_silent_link_is_lost_after_four_seconds() {
    let mut peer = Peer::online();
    peer.alive = false;
    peer.pass(SECOND * 4 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.expect_hangup(CloseReason::KeepAliveTimeout);
    peer.until_dial();
}

#[test]
fn four_seconds_count_from_the_last_frame() {
    let mut peer = Peer::online();
    peer.alive = false;
    peer.pass(SECOND * 3);
    peer.message("still here");
    peer.expect_event(crate::peer::from_alice("still here"));
    peer.pass(SECOND * 4 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn a_link_that_is_too_slow_for_whole_frames_is_not_silent() {
    let mut peer = Peer::online();
    peer.alive = false;
    for _ in 0..20 {
        peer.pass(SECOND * 4 - MS);
        peer.bytes();
    }
    peer.expect_no_event();
    peer.pass(SECOND * 4);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn the_answer_to_a_login_may_take_as_long_as_something_of_it_comes() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    for _ in 0..20 {
        peer.pass(SECOND * 6 - MS);
        peer.bytes();
    }
    peer.expect_no_hangup();
    peer.pass(SECOND * 6 - MS);
    peer.expect_no_hangup();
    peer.pass(MS);
    peer.expect_hangup(CloseReason::LoginTimeout);
}

#[test]
fn the_vendors_wire_waits_twenty_seconds() {
    let mut peer = Peer::online_with(Config::vendor());
    peer.alive = false;
    peer.pass(SECOND * 20 - MS);
    assert_eq!(peer.pings(), 1);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn a_server_that_asks_is_answered() {
    let mut peer = Peer::online();
    peer.frame(ServerFrame::Ping);
    peer.expect_sent(ClientFrame::Pong);
}

#[test]
fn where_the_server_asks_the_client_does_not() {
    let mut config = Config::vendor();
    config.keep_alive = KeepAlive::Server { interval_ms: 10_000 };
    let mut peer = Peer::online_with(config);
    for _ in 0..5 {
        peer.pass(SECOND * 10);
        peer.frame(ServerFrame::Ping);
        peer.expect_sent(ClientFrame::Pong);
    }
    assert_eq!(peer.pings(), 0);
    peer.pass(SECOND * 20 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn the_keep_alive_of_a_link_dies_with_it() {
    let mut peer = Peer::online();
    peer.pass(SECOND * 2);
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    let waited = peer.until_dial();
    peer.pass(SECOND * 5);
    assert_eq!(peer.pings(), 1, "no ping without a link, {waited:?}");
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    // The new link starts with a clean slate, however long the old one was silent.
    peer.pass(SECOND * 2 - MS);
    assert_eq!(peer.pings(), 0);
    peer.pass(MS);
    assert_eq!(peer.pings(), 1);
    peer.expect_no_event();
}

#[test]
fn a_timer_that_is_early_or_late_does_no_harm() {
    let mut peer = Peer::online();
    for _ in 0..1000 {
        peer.with(|connection, now| connection.handle_timeout(now));
    }
    peer.expect_nothing_sent();
    assert_eq!(peer.pings(), 0);
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let mut peer = Peer::online();
    peer.pass(SECOND);
    peer.with(|connection, now| {
        connection.handle_timeout(now - SECOND);
        connection.handle_frame(now - SECOND, ServerFrame::Pong);
    });
    peer.pass(SECOND);
    assert_eq!(peer.pings(), 1);
    peer.expect_no_event();
}

#[test]
fn a_client_that_stood_still_reads_what_waits_before_it_judges() {
    for config in [Config::native(), Config::vendor()] {
        let mut peer = Peer::online_with(config);
        let id = peer.request(to_alice("hi"));
        peer.alive = false;
        peer.stand_still(SECOND * 35);
        peer.expect_no_event();
        peer.expect_no_reply();
        assert_eq!(peer.pings(), 1, "it asks at once whether the server is there");
        peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered));
        peer.expect_ok(id);
        peer.alive = true;
        peer.pass(SECOND * 100);
        assert_eq!(peer.connection.state(), State::Connected);
    }
}

#[test]
fn a_link_that_is_dead_after_standing_still_is_lost_after_two_more_intervals() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.alive = false;
    peer.stand_still(SECOND * 35);
    peer.pass(SECOND - MS);
    peer.expect_no_reply();
    peer.pass(MS);
    peer.expect_err(id, ErrorKind::Timeout);
    peer.pass(SECOND * 3 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn a_client_that_is_late_all_the_time_judges_all_the_same() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    let mut passed = 0;
    while !peer.has_reply() {
        peer.stand_still(SECOND * 5);
        passed += 5;
        assert!(passed <= 25, "a request ends");
    }
    peer.expect_err(id, ErrorKind::Timeout);
}

#[test]
fn a_login_whose_answer_lies_unread_succeeds() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.stand_still(SECOND * 60);
    peer.expect_login_under_way();
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
}
