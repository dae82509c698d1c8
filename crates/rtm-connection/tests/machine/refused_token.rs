//! Without a good token: what is refused is told and tried again after growing pauses, and so is the provider.

use std::time::Duration;

use rtm_codec::{Answer, Command, ErrorKind, Event, Resumption};
use rtm_connection::{Config, ConnectionChangeReason as Reason, ConnectionState as State, Credentials, RtmEvent};

use crate::{
    peer::{MS, Peer, SECOND, credentials, to_alice, token},
    token::{expect_needed, expect_pause, online_for, provide, provided, refuse_login},
};

#[test]
fn a_token_refused_at_a_reconnect_is_told_and_tried_again_after_growing_pauses() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    let mut longest = 20;
    for _ in 0..6 {
        refuse_login(&mut peer, ErrorKind::InvalidToken);
        let pause = expect_pause(&mut peer, ErrorKind::InvalidToken);
        assert!(pause <= SECOND * longest && pause >= SECOND * longest / 2, "{pause:?}");
        peer.expect_no_event();
        let waited = peer.until_dial();
        assert!(waited >= pause && waited <= pause + MS, "{waited:?}");
        assert_eq!(peer.open().token, Some(token("old")));
        longest = (longest * 2).min(300);
    }
    peer.welcome(Resumption::New);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
}

#[test]
fn a_server_out_of_reach_when_a_refused_token_is_tried_again_is_dialed_with_the_usual_pauses() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::InvalidToken);
    peer.until_dial();
    for _ in 0..5 {
        peer.dial_failed(true);
        peer.expect_no_dial();
        assert!(peer.until_dial() <= SECOND * 10);
    }
    peer.open();
    peer.welcome(Resumption::New);
    assert_eq!(peer.connection.state(), State::Connected);
}

#[test]
fn calls_fail_with_what_is_wrong_with_the_token() {
    for kind in [ErrorKind::InvalidToken, ErrorKind::TokenExpired] {
        let mut peer = Peer::online();
        let sent = peer.request(to_alice("sent before"));
        peer.cut();
        let waits = peer.request(to_alice("waits"));
        peer.until_dial();
        peer.open();
        refuse_login(&mut peer, kind);
        peer.expect_err(waits, kind);
        let late = peer.request(to_alice("late"));
        peer.expect_err(late, kind);
        peer.expect_no_reply();
        peer.pass(SECOND * 10);
        peer.expect_err(sent, ErrorKind::Timeout);
        // With a new token calls wait for the link again.
        peer.renew("new");
        let id = peer.request(to_alice("after"));
        peer.expect_no_reply();
        peer.open();
        peer.welcome(Resumption::Resumed);
        peer.expect_request(id);
    }
}

#[test]
fn calls_wait_while_the_first_new_token_is_fetched() {
    let mut peer = Peer::online_with(provided());
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::InvalidToken);
    expect_needed(&mut peer, ErrorKind::InvalidToken, Some(0));
    assert_eq!(peer.tokens_needed(), 1);
    let id = peer.request(to_alice("waits"));
    provide(&mut peer, Ok("new"));
    peer.expect_no_reply();
    assert_eq!(peer.open().token, Some(token("new")));
    peer.welcome(Resumption::Resumed);
    peer.expect_request(id);
    peer.expect_no_reply();
}

#[test]
fn calls_fail_with_the_providers_failure() {
    let mut peer = Peer::online_with(provided());
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::TokenExpired);
    let waits = peer.request(to_alice("waits"));
    provide(&mut peer, Err("no"));
    peer.expect_err(waits, ErrorKind::ProviderFailed);
    let late = peer.request(to_alice("late"));
    peer.expect_err(late, ErrorKind::ProviderFailed);
}

#[test]
fn a_provider_whose_tokens_are_refused_is_asked_after_growing_pauses() {
    for vendor in [false, true] {
        let mut config = if vendor { Config::vendor() } else { Config::native() };
        config.token_provider = true;
        let mut peer = Peer::online_with(config);
        peer.cut_and_reopen();
        let mut within_a_minute = 0;
        let mut passed = Duration::ZERO;
        for round in 0..8 {
            within_a_minute += u32::from(passed < SECOND * 60);
            refuse_login(&mut peer, ErrorKind::InvalidToken);
            let pause = expect_pause(&mut peer, ErrorKind::InvalidToken);
            match round {
                0 => assert_eq!(pause, Duration::ZERO),
                7 => assert!(pause >= SECOND * 150 && pause <= SECOND * 300, "{pause:?}"),
                _ => assert!(pause >= SECOND * 10),
            }
            peer.pass(pause + MS);
            assert_eq!(peer.tokens_needed(), 1, "{round}");
            passed += pause;
            provide(&mut peer, Ok("bad"));
            peer.expect_no_event();
            peer.open();
        }
        assert!(within_a_minute <= 4, "thirty such clients stay below 120 refusals a minute");
        peer.welcome(Resumption::New);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        peer.expect_no_reply();
    }
}

#[test]
fn an_application_that_renews_with_bad_tokens_is_held_back_too() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    let mut presented = 1;
    for _ in 0..120 {
        refuse_login(&mut peer, ErrorKind::InvalidToken);
        peer.renew("bad");
        peer.pass(MS * 500);
        if peer.has_dial() {
            peer.open();
            presented += 1;
        }
    }
    assert!(presented <= 4 + 1, "{presented} within a minute");
}

#[test]
fn a_user_that_logs_in_is_told_each_time_what_is_wrong_and_a_program_by_itself_is_held_back() {
    let mut peer = Peer::new(Config::native());
    for _ in 0..5 {
        peer.login();
        peer.open();
        refuse_login(&mut peer, ErrorKind::InvalidToken);
        peer.expect_login_err(ErrorKind::InvalidToken);
        peer.pass(SECOND);
    }
    let login_again = |peer: &mut Peer| peer.with(|connection, now| connection.login_again(now, credentials()));
    let error = login_again(&mut peer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooOften);
    // Nor do the retries of the user's own login wait.
    peer.login();
    peer.dial_failed(true);
    assert!(peer.until_dial() <= MS * 250);
    peer.logout().unwrap();
    peer.pass(SECOND * 60);
    peer.forget_all();
    login_again(&mut peer).unwrap();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
}

#[test]
fn a_provider_that_fails_is_asked_again_after_growing_pauses_while_the_session_lives() {
    let mut peer = online_for(3_600_000);
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 });
    peer.expect_event(RtmEvent::TokenWillExpire);
    let mut longest = 1;
    for _ in 0..9 {
        assert_eq!(peer.tokens_needed(), 1);
        provide(&mut peer, Err("down"));
        let pause = expect_pause(&mut peer, ErrorKind::ProviderFailed);
        assert!(pause <= SECOND * longest && pause >= SECOND * longest / 2, "{pause:?}");
        peer.pass(pause - MS);
        assert_eq!(peer.tokens_needed(), 0);
        peer.pass(MS * 2);
        longest = (longest * 2).min(120);
    }
    // Calls go on meanwhile: the token in use is still good.
    let id = peer.request(to_alice("hi"));
    peer.expect_request(id);
    provide(&mut peer, Ok("new"));
    let (id, command) = peer.expect_any_request();
    assert!(matches!(command, Command::RenewToken(renew) if renew.token == token("new")));
    peer.reply(id, Answer::RenewToken(()));
    peer.expect_no_reply();
    peer.expect_no_event();
}

#[test]
fn a_provider_that_hangs_is_asked_again_and_its_late_token_is_taken() {
    let mut peer = online_for(60_000);
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 });
    peer.expect_event(RtmEvent::TokenWillExpire);
    assert_eq!(peer.tokens_needed(), 1);
    peer.pass(SECOND * 10 - MS);
    peer.expect_no_event();
    peer.pass(MS);
    let pause = expect_pause(&mut peer, ErrorKind::ProviderFailed);
    provide(&mut peer, Ok("late"));
    peer.expect_any_request();
    peer.pass(pause + SECOND);
    assert_eq!(peer.tokens_needed(), 0);
}

#[test]
fn a_renewal_of_the_provider_that_is_refused_while_connected_is_told_and_made_again() {
    let mut peer = online_for(60_000);
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 });
    peer.expect_event(RtmEvent::TokenWillExpire);
    peer.tokens_needed();
    provide(&mut peer, Ok("of carol"));
    let (id, _) = peer.expect_any_request();
    peer.refuse(id, ErrorKind::InvalidToken);
    expect_needed(&mut peer, ErrorKind::InvalidToken, Some(0));
    assert_eq!(peer.tokens_needed(), 1);
    // The older token is still in use.
    assert_eq!(peer.cut_and_reopen().token, Some(token("old")));
    peer.welcome(Resumption::Resumed);
    assert_eq!(peer.connection.state(), State::Connected);
}

#[test]
fn a_login_without_a_token_waits_for_the_provider_within_its_time() {
    let login = |peer: &mut Peer| {
        peer.with(|connection, now| connection.login(now, Credentials { token: None, ..credentials() })).unwrap();
        peer.expect_state(State::Connecting, Reason::Login);
        assert_eq!(peer.tokens_needed(), 1);
        peer.expect_no_dial();
    };
    let mut peer = Peer::new(provided());
    login(&mut peer);
    provide(&mut peer, Ok("first"));
    assert_eq!(peer.open().token, Some(token("first")));
    peer.welcome(Resumption::New);
    peer.expect_login_ok();

    let mut peer = Peer::new(provided());
    login(&mut peer);
    provide(&mut peer, Err("no such user"));
    let error = peer.expect_login_err(ErrorKind::ProviderFailed);
    assert_eq!(error.to_string(), "the token provider failed (code 1)");
    assert_eq!(format!("{error:#}"), "the token provider failed (code 1): no such user");
    peer.expect_state(State::Disconnected, Reason::LoginFailure);

    let mut config = provided();
    config.login_timeout = SECOND * 2;
    let mut peer = Peer::new(config);
    login(&mut peer);
    peer.pass(SECOND * 2);
    let error = peer.expect_login_err(ErrorKind::Timeout);
    assert_eq!(error.detail(), "the token provider has not answered");
    peer.expect_state(State::Disconnected, Reason::LoginTimeout);
    // What it says after that is of no use.
    provide(&mut peer, Ok("late"));
    peer.expect_no_dial();
}

#[test]
fn the_token_that_a_login_is_given_is_not_asked_for() {
    let mut peer = Peer::new(provided());
    peer.login();
    assert_eq!(peer.tokens_needed(), 0);
    assert_eq!(peer.open().token, Some(token("old")));
}
