//! The life of the token: warnings, its end, and renewing it at any moment.

use std::time::Duration;

use rtm_codec::{
    Answer, CloseReason, Command, ErrorKind, Event, Refusal, Resumption, ServerFrame, Text,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
use rtm_connection::{Config, ConnectionChangeReason as Reason, ConnectionState as State, Credentials, RtmEvent};

use crate::peer::{MS, Peer, SECOND, credentials, to_alice, token};

/// The native wire, and a token provider.
fn provided() -> Config {
    let mut config = Config::native();
    config.token_provider = true;
    config
}

/// Logged in with a token that ends in `ms`.
fn online_for(ms: u64) -> Peer {
    let mut peer = Peer::new(provided());
    peer.login();
    peer.open();
    peer.welcome_with(|welcome| welcome.token_expires_in_ms = Some(ms));
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer
}

fn refuse_login(peer: &mut Peer, kind: ErrorKind) {
    peer.frame(ServerFrame::Refused(Refusal::from(kind)));
}

/// Gives the provider's answer.
fn provide(peer: &mut Peer, result: Result<&str, &str>) {
    peer.with(|connection, now| connection.handle_token(now, result.map(token).map_err(Text::from)));
}

fn expect_needed(peer: &mut Peer, error: ErrorKind, retry_in_ms: Option<u64>) {
    peer.expect_event(RtmEvent::TokenNeeded { error, retry_in_ms });
}

/// The pause that a `TokenNeeded` announces.
fn expect_pause(peer: &mut Peer, error: ErrorKind) -> Duration {
    match peer.expect_any_event() {
        RtmEvent::TokenNeeded { error: told, retry_in_ms: Some(ms) } if told == error => Duration::from_millis(ms),
        other => panic!("a pause after {error:?}, not {other:?}"),
    }
}

#[test]
fn the_servers_warning_is_passed_on_and_a_new_token_asked_for() {
    let mut peer = online_for(60_000);
    assert_eq!(peer.tokens_needed(), 0);
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 });
    peer.expect_event(RtmEvent::TokenWillExpire);
    assert_eq!(peer.tokens_needed(), 1);
}

#[test]
fn a_token_with_little_left_is_warned_of_right_after_connected_and_once() {
    let mut peer = online_for(29_999);
    peer.expect_event(RtmEvent::TokenWillExpire);
    assert_eq!(peer.tokens_needed(), 1);
    peer.event(Event::TokenWillExpire { expires_in_ms: 15_000 });
    peer.expect_no_event();
    assert_eq!(peer.tokens_needed(), 0);

    let mut peer = online_for(30_000);
    peer.expect_no_event();
}

#[test]
fn a_warning_missed_while_away_is_made_up_for() {
    let mut peer = online_for(60_000);
    peer.cut_and_reopen();
    peer.welcome_with(|welcome| {
        welcome.resumption = Resumption::Resumed;
        welcome.token_expires_in_ms = Some(10_000);
    });
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_event(RtmEvent::TokenWillExpire);
}

#[test]
fn a_span_without_end_is_no_deadline() {
    let mut peer = online_for(u64::MAX);
    peer.pass(SECOND * 100_000);
    peer.expect_no_event();
}

#[test]
fn a_token_that_ends_while_connected_aborts() {
    for by_frame in [true, false] {
        let mut peer = online_for(60_000);
        if by_frame {
            peer.close(CloseReason::TokenExpired);
        } else {
            peer.with(|connection, now| connection.handle_closed(now, Some(CloseReason::TokenExpired)));
        }
        peer.expect_event(RtmEvent::TokenDidExpire);
        peer.expect_state(State::Aborted, Reason::TokenExpired);
        peer.pass(SECOND * 100);
        peer.expect_no_dial();
        peer.expect_no_event();
        let id = peer.renew("new");
        peer.expect_err(id, ErrorKind::NotLoggedIn);
    }
}

#[test]
fn a_reconnect_that_is_refused_for_its_token_waits_for_a_new_one() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::TokenExpired);
    peer.expect_event(RtmEvent::TokenDidExpire);
    expect_needed(&mut peer, ErrorKind::TokenExpired, None);
    assert_eq!(peer.connection.state(), State::Reconnecting);
    peer.pass(SECOND * 1000);
    peer.expect_no_dial();
    peer.expect_no_event();

    let id = peer.renew("new");
    peer.expect_no_reply();
    let login = peer.open();
    assert_eq!(login.token, Some(token("new")));
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    assert_eq!(peer.expect_ok(id), Answer::RenewToken(()));
    peer.expect_nothing_sent();
}

#[test]
fn the_gateway_may_be_the_one_that_refuses_the_token() {
    let mut peer = Peer::online_with(Config::vendor());
    peer.has_gateway = false;
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.until_dial();
    peer.answer_ask(Ok(GatewayAnswer::Refused(ErrorKind::TokenExpired)));
    peer.expect_event(RtmEvent::TokenDidExpire);
    expect_needed(&mut peer, ErrorKind::TokenExpired, None);
    peer.renew("new");
    let (_, GatewayRequest::Connect { token: presented, .. }) = peer.expect_ask() else { panic!("no question") };
    assert_eq!(presented, Some(token("new")));
}

#[test]
fn a_token_that_ends_without_a_link_is_told_when_it_does() {
    let mut peer = online_for(60_000);
    peer.pass(SECOND * 59);
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    let mut told_after = 0;
    while told_after < 2000 && !peer.has_event() {
        if peer.has_dial() {
            peer.dial_failed(true);
        }
        peer.pass(MS * 10);
        told_after += 10;
    }
    assert_eq!(told_after, 1000);
    peer.expect_event(RtmEvent::TokenDidExpire);
    expect_needed(&mut peer, ErrorKind::TokenExpired, Some(0));
    assert_eq!(peer.tokens_needed(), 1);
    provide(&mut peer, Err("no"));
    let _ = expect_pause(&mut peer, ErrorKind::ProviderFailed);
    // The attempt under way, if there is one, still ends; then there is no other.
    if peer.has_dial() {
        peer.dial_failed(true);
    }
    peer.pass(SECOND * 100);
    peer.expect_no_dial();
    peer.drop_events();
    peer.renew("new");
    peer.open();
}

#[test]
fn the_end_of_the_older_token_says_nothing_of_a_newer_one() {
    let mut peer = online_for(60_000);
    peer.pass(SECOND * 59);
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.renew("new");
    for _ in 0..1000 {
        if peer.has_dial() {
            peer.dial_failed(true);
        }
        peer.pass(MS * 10);
        peer.expect_no_event();
    }
    while !peer.has_dial() {
        peer.pass(MS * 10);
    }
    peer.open();
}

#[test]
fn a_renewal_while_connected_is_the_servers_to_judge() {
    let mut peer = Peer::online();
    let id = peer.renew("new");
    let Command::RenewToken(renew) = peer.expect_request(id) else { panic!("a renewal") };
    assert_eq!(renew.token, token("new"));
    peer.reply(id, Answer::RenewToken(()));
    peer.expect_ok(id);
    assert_eq!(peer.cut_and_reopen().token, Some(token("new")));
}

#[test]
fn a_renewed_token_is_warned_of_anew() {
    let mut peer = online_for(60_000);
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 });
    peer.expect_event(RtmEvent::TokenWillExpire);
    let id = peer.renew("new");
    peer.reply(id, Answer::RenewToken(()));
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 });
    peer.expect_event(RtmEvent::TokenWillExpire);
}

#[test]
fn a_refused_renewal_leaves_the_older_token_in_use() {
    let mut peer = Peer::online();
    let id = peer.renew("of carol");
    peer.refuse(id, ErrorKind::InvalidToken);
    let error = peer.expect_err(id, ErrorKind::InvalidToken);
    assert_eq!(error.code(), Some(6));
    assert_eq!(peer.cut_and_reopen().token, Some(token("old")));
}

#[test]
fn a_renewal_without_an_answer_is_tried_by_the_reconnect() {
    let mut peer = Peer::online();
    let id = peer.renew("new");
    peer.expect_request(id);
    assert_eq!(peer.cut_and_reopen().token, Some(token("new")));
    peer.welcome(Resumption::New);
    peer.expect_ok(id);
    peer.expect_nothing_sent();
}

#[test]
fn a_renewal_that_the_reconnect_finds_bad_ends_and_the_older_token_is_tried() {
    let mut peer = Peer::online();
    let id = peer.renew("bad");
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::InvalidToken);
    peer.expect_err(id, ErrorKind::InvalidToken);
    peer.expect_no_event();
    peer.until_dial();
    assert_eq!(peer.open().token, Some(token("old")));
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
}

#[test]
fn a_bad_token_does_not_bring_back_one_that_has_expired() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::TokenExpired);
    peer.expect_event(RtmEvent::TokenDidExpire);
    expect_needed(&mut peer, ErrorKind::TokenExpired, None);
    let id = peer.renew("bad");
    peer.open();
    refuse_login(&mut peer, ErrorKind::InvalidToken);
    peer.expect_err(id, ErrorKind::InvalidToken);
    let _ = expect_pause(&mut peer, ErrorKind::InvalidToken);
    peer.expect_no_event();
    peer.renew("good");
    assert_eq!(peer.open().token, Some(token("good")));
}

#[test]
fn a_renewal_that_comes_after_the_login_is_sent_goes_to_the_server_by_itself() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    let id = peer.renew("newer");
    peer.welcome(Resumption::Resumed);
    peer.expect_no_reply();
    peer.expect_request(id);
    peer.reply(id, Answer::RenewToken(()));
    peer.expect_ok(id);
    assert_eq!(peer.cut_and_reopen_after_events(1).token, Some(token("newer")));
}

#[test]
fn a_refusal_of_the_older_token_does_not_count_against_the_newer_one() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    let id = peer.renew("newer");
    refuse_login(&mut peer, ErrorKind::TokenExpired);
    peer.expect_no_event();
    peer.expect_no_reply();
    peer.until_dial();
    assert_eq!(peer.open().token, Some(token("newer")));
    peer.welcome(Resumption::Resumed);
    peer.expect_ok(id);
}

#[test]
fn a_renewal_does_not_wait_for_the_pause_to_end() {
    let mut peer = Peer::online();
    peer.cut();
    peer.expect_no_dial();
    peer.renew("new");
    assert_eq!(peer.open().token, Some(token("new")));
}

#[test]
fn without_a_login_there_is_nothing_to_renew() {
    let mut peer = Peer::new(Config::native());
    let id = peer.renew("new");
    let error = peer.expect_err(id, ErrorKind::NotLoggedIn);
    assert_eq!(error.code(), Some(102));
    peer.login();
    let id = peer.renew("new");
    peer.expect_err(id, ErrorKind::NotLoggedIn);
}

#[test]
fn an_empty_token_is_refused_here() {
    let mut peer = Peer::online();
    let id = peer.renew("");
    peer.expect_err(id, ErrorKind::InvalidArgument);
    peer.expect_nothing_sent();
    assert_eq!(peer.cut_and_reopen().token, Some(token("old")));
}

#[test]
fn nothing_shows_a_token() {
    let mut peer = Peer::online();
    peer.renew("secret-token");
    assert!(!format!("{:?}", peer.connection).contains("secret-token"));
    assert!(peer.trace.iter().all(|output| !output.contains("secret-token")));
}

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
fn logins_that_are_refused_for_their_token_are_held_back() {
    let mut peer = Peer::new(Config::native());
    for _ in 0..4 {
        peer.login();
        peer.open();
        refuse_login(&mut peer, ErrorKind::InvalidToken);
        peer.expect_login_err(ErrorKind::InvalidToken);
        peer.pass(SECOND);
    }
    let error = peer.try_login().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooOften);
    peer.pass(SECOND * 56);
    peer.login();
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
    assert_eq!(error.to_string(), "the token provider gave no token: no such user (code 1)");
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
