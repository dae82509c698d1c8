//! The life of the token: warnings, its end, and renewing it at any moment.

use std::{error::Error, time::Duration};

use rtm_codec::{
    Answer, CloseReason, Command, ErrorKind, Event, Refusal, Resumption, ServerFrame,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
use rtm_connection::{Config, ConnectionChangeReason as Reason, ConnectionState as State, RtmEvent};

use crate::peer::{MS, Peer, SECOND, token};

/// The native wire, and a token provider.
pub(crate) fn provided() -> Config {
    let mut config = Config::native();
    config.token_provider = true;
    config
}

/// Logged in with a token that ends in `ms`.
pub(crate) fn online_for(ms: u64) -> Peer {
    let mut peer = Peer::new(provided());
    peer.login();
    peer.open();
    peer.welcome_with(|welcome| welcome.token_expires_in_ms = Some(ms));
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer
}

pub(crate) fn refuse_login(peer: &mut Peer, kind: ErrorKind) {
    peer.frame(ServerFrame::Refused(Refusal::from(kind)));
}

/// Gives the provider's answer.
pub(crate) fn provide(peer: &mut Peer, result: Result<&str, &str>) {
    let result = result.map(token).map_err(|error| Box::<dyn Error + Send + Sync>::from(error).into());
    peer.with(|connection, now| connection.handle_token(now, result));
}

pub(crate) fn expect_needed(peer: &mut Peer, error: ErrorKind, retry_in_ms: Option<u64>) {
    peer.expect_event(RtmEvent::token_needed(error, retry_in_ms.map(Duration::from_millis)));
}

/// The pause that a `TokenNeeded` announces.
pub(crate) fn expect_pause(peer: &mut Peer, error: ErrorKind) -> Duration {
    match peer.expect_any_event() {
        RtmEvent::TokenNeeded { error: told, retry_after: Some(pause), .. } if told == error => pause,
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
fn a_token_is_warned_of_once_however_often_its_link_breaks() {
    let mut peer = online_for(29_999);
    peer.expect_event(RtmEvent::TokenWillExpire);
    assert_eq!(peer.tokens_needed(), 1);
    provide(&mut peer, Err("down"));
    let pause = expect_pause(&mut peer, ErrorKind::ProviderFailed);
    peer.cut_and_reopen();
    peer.welcome_with(|welcome| {
        welcome.resumption = Resumption::Resumed;
        welcome.token_expires_in_ms = Some(20_000);
    });
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.event(Event::TokenWillExpire { expires_in_ms: 20_000 });
    peer.expect_no_event();
    // The provider is asked again all the same.
    peer.pass(pause);
    assert_eq!(peer.tokens_needed(), 1);
}

#[test]
fn a_provider_whose_token_a_reconnect_finds_bad_is_asked_again_while_the_older_one_is_in_use() {
    let mut peer = online_for(60_000);
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 });
    peer.expect_event(RtmEvent::TokenWillExpire);
    assert_eq!(peer.tokens_needed(), 1);
    provide(&mut peer, Ok("bad"));
    assert_eq!(peer.cut_and_reopen().token, Some(token("bad")));
    refuse_login(&mut peer, ErrorKind::InvalidToken);
    peer.until_dial();
    assert_eq!(peer.open().token, Some(token("old")));
    peer.welcome_with(|welcome| {
        welcome.resumption = Resumption::Resumed;
        welcome.token_expires_in_ms = Some(20_000);
    });
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_no_event();
    peer.pass(SECOND);
    assert_eq!(peer.tokens_needed(), 1);
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
fn a_refused_renewal_leaves_the_last_token_in_use_that_was_taken() {
    let mut peer = Peer::online();
    let (taken, refused) = (peer.renew("taken"), peer.renew("of carol"));
    peer.reply(taken, Answer::RenewToken(()));
    peer.refuse(refused, ErrorKind::InvalidToken);
    peer.expect_ok(taken);
    peer.expect_err(refused, ErrorKind::InvalidToken);
    assert_eq!(peer.cut_and_reopen().token, Some(token("taken")));
}

#[test]
fn a_token_that_a_login_showed_to_be_good_is_gone_back_to() {
    let mut peer = Peer::online();
    let unanswered = peer.renew("good");
    peer.pass(SECOND * 5);
    peer.expect_err(unanswered, ErrorKind::Timeout);
    assert_eq!(peer.cut_and_reopen().token, Some(token("good")));
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    let refused = peer.renew("of carol");
    peer.refuse(refused, ErrorKind::InvalidToken);
    assert_eq!(peer.cut_and_reopen().token, Some(token("good")));
}

#[test]
fn where_renewals_have_no_answer_a_bad_one_is_found_out_by_the_next_login() {
    let mut peer = Peer::online_with(Config::vendor());
    let renew = |peer: &mut Peer, text: &str| {
        peer.pass(SECOND);
        let id = peer.renew(text);
        // The codec says so, since the server says nothing.
        peer.reply(id, Answer::RenewToken(()));
        peer.expect_ok(id);
    };
    let mut good = "old";
    for round in 0..2 {
        renew(&mut peer, "bad");
        renew(&mut peer, "worse");
        assert_eq!(peer.cut_and_reopen().token, Some(token("worse")), "round {round}");
        refuse_login(&mut peer, ErrorKind::InvalidToken);
        peer.expect_no_event();
        peer.until_dial();
        assert_eq!(peer.open().token, Some(token(good)), "round {round}");
        peer.welcome(Resumption::New);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        peer.drop_events();
        good = "new";
        renew(&mut peer, good);
        assert_eq!(peer.cut_and_reopen().token, Some(token(good)));
        peer.welcome(Resumption::New);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        peer.drop_events();
    }
    // When the older one ends too, there is none.
    peer.cut_and_reopen();
    refuse_login(&mut peer, ErrorKind::TokenExpired);
    peer.expect_event(RtmEvent::TokenDidExpire);
    expect_needed(&mut peer, ErrorKind::TokenExpired, None);
    peer.pass(SECOND * 1000);
    peer.expect_no_dial();
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
