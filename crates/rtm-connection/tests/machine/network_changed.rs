//! The user says that the network changed: pauses end, and the link is put to the test.

use rtm_codec::{CloseReason, ErrorKind, KeepAlive, Resumption};
use rtm_connection::{Config, ConnectionChangeReason as Reason, ConnectionState as State};

use crate::{
    peer::{MS, Peer, SECOND},
    token::{expect_needed, expect_pause, provide, provided, refuse_login},
};

fn change(peer: &mut Peer) {
    peer.with(|connection, now| connection.network_changed(now));
}

fn with_interval(interval_ms: u32) -> Peer {
    let mut config = Config::native();
    config.keep_alive = KeepAlive::Client { interval_ms };
    Peer::online_with(config)
}

#[test]
fn a_pause_between_attempts_is_over_and_the_next_ones_are_short_again() {
    let mut peer = Peer::online();
    peer.cut();
    for _ in 0..20 {
        peer.until_dial();
        peer.dial_failed(true);
    }
    peer.expect_no_dial();
    change(&mut peer);
    peer.dial_failed(true);
    peer.expect_no_dial();
    assert!(peer.until_dial() <= MS * 250);
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
}

#[test]
fn a_refused_token_is_presented_again_at_once_but_not_more_often_than_a_server_bears() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    for _ in 0..3 {
        refuse_login(&mut peer, ErrorKind::InvalidToken);
        expect_pause(&mut peer, ErrorKind::InvalidToken);
        peer.expect_no_dial();
        change(&mut peer);
        peer.open();
    }
    refuse_login(&mut peer, ErrorKind::InvalidToken);
    let pause = expect_pause(&mut peer, ErrorKind::InvalidToken);
    change(&mut peer);
    peer.expect_no_dial();
    assert!(peer.until_dial() <= pause + MS);
}

#[test]
fn without_a_token_to_present_there_is_nothing_to_dial_for() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::TokenExpired);
    change(&mut peer);
    peer.expect_no_dial();
}

#[test]
fn a_token_provider_that_failed_is_asked_again_at_once() {
    let mut peer = Peer::online_with(provided());
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::InvalidToken);
    expect_needed(&mut peer, ErrorKind::InvalidToken, Some(0));
    assert_eq!(peer.tokens_needed(), 1);
    for _ in 0..3 {
        provide(&mut peer, Err("no network"));
        expect_pause(&mut peer, ErrorKind::ProviderFailed);
        assert_eq!(peer.tokens_needed(), 0);
        change(&mut peer);
        assert_eq!(peer.tokens_needed(), 1);
    }
    change(&mut peer);
    assert_eq!(peer.tokens_needed(), 0, "it is at work already");
}

#[test]
fn a_good_link_is_asked_and_stays() {
    let mut peer = with_interval(20_000);
    peer.pass(SECOND * 15);
    for pings in 1..=3 {
        change(&mut peer);
        assert_eq!(peer.pings(), 1, "{pings}");
        peer.pass(SECOND);
    }
    peer.pass(SECOND * 100);
    peer.expect_no_event();
    peer.expect_no_hangup();
}

#[test]
fn a_slow_answer_within_two_seconds_is_one() {
    let mut peer = with_interval(20_000);
    peer.alive = false;
    change(&mut peer);
    peer.pass(SECOND * 2 - MS);
    peer.bytes();
    // From here on the usual time counts.
    peer.pass(SECOND * 40 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn a_dead_link_is_given_up_after_two_seconds_however_often_the_network_changes() {
    let mut peer = with_interval(20_000);
    peer.pass(SECOND * 5);
    peer.alive = false;
    change(&mut peer);
    peer.pass(SECOND);
    change(&mut peer);
    peer.pass(SECOND - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.expect_hangup(CloseReason::KeepAliveTimeout);
}

#[test]
fn a_link_that_is_about_to_be_given_up_gets_no_more_time() {
    let mut peer = Peer::online();
    peer.alive = false;
    peer.pass(SECOND * 3);
    change(&mut peer);
    peer.pass(SECOND);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn after_a_sleep_the_link_has_the_time_that_it_has_after_any() {
    let mut peer = with_interval(20_000);
    peer.alive = false;
    peer.stand_still(SECOND * 3600);
    change(&mut peer);
    peer.pass(SECOND * 2 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
}

#[test]
fn where_the_server_asks_for_signs_of_life_the_link_is_left_alone() {
    let mut config = Config::vendor();
    config.keep_alive = KeepAlive::Server { interval_ms: 10_000 };
    let mut peer = Peer::online_with(config);
    change(&mut peer);
    assert_eq!(peer.pings(), 0);
    peer.pass(SECOND * 20 - MS);
    peer.expect_no_event();
}

#[test]
fn it_changes_nothing_while_a_link_is_made_and_without_a_login() {
    let mut peer = Peer::new(Config::native());
    change(&mut peer);
    peer.expect_no_dial();
    peer.login();
    change(&mut peer);
    peer.open();
    change(&mut peer);
    peer.expect_nothing_sent();
    peer.expect_no_dial();
    peer.welcome(Resumption::New);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.close(CloseReason::Banned);
    change(&mut peer);
    peer.expect_state(State::Aborted, Reason::BannedByServer);
    peer.expect_no_dial();
    peer.logout().unwrap();
    change(&mut peer);
    peer.expect_no_dial();
}
