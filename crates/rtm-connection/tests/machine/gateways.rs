//! Several gateways: which is tried when, and when the next.

use std::error::Error;

use rtm_codec::{CloseReason, ErrorKind, Refusal, Resumption, ServerFrame, Text, anyrtc::gateway::GatewayAnswer};
use rtm_connection::{
    Config, Connection, ConnectionChangeReason as Reason, ConnectionState as State, GatewayConfig, TransportError,
};

use crate::peer::{MS, Peer, SECOND, named, no_route};

fn with_gateways(mut config: Config, count: usize) -> Config {
    config.gateways =
        (0..count).map(|gateway| GatewayConfig::default().with_name(format!("gateway {gateway}"))).collect();
    config
}

/// Logging in over so many gateways; the first of them is dialled.
fn logging_in(count: usize) -> (Peer, usize) {
    let mut peer = Peer::new(with_gateways(Config::native(), count));
    peer.login();
    let first = peer.expect_gateway();
    (peer, first)
}

fn fail(peer: &mut Peer, retry: bool, detail: &str) {
    let error = TransportError { retry, detail: Text::from(detail), source: None };
    peer.with(|connection, now| connection.handle_dial_failed(now, error));
}

fn opened(peer: &mut Peer) {
    peer.with(|connection, now| connection.handle_opened(now));
}

#[test]
fn clients_begin_at_random_and_one_seed_always_with_the_same() {
    let first = |seed| {
        let mut peer = Peer::around(Connection::new(with_gateways(Config::native(), 3), seed));
        peer.login();
        peer.expect_gateway()
    };
    let firsts: Vec<_> = (0..60).map(first).collect();
    for gateway in 0..3 {
        assert!(firsts.iter().filter(|first| **first == gateway).count() > 8, "{firsts:?}");
    }
    assert_eq!(first(1), first(1));
}

#[test]
fn each_gateway_is_tried_at_once_in_turn_and_then_there_is_a_pause() {
    let (mut peer, first) = logging_in(3);
    for round in 0..3 {
        if round > 0 {
            assert_eq!(peer.expect_gateway(), first);
        }
        for next in 1..=2 {
            fail(&mut peer, true, "no route");
            assert_eq!(peer.expect_gateway(), (first + next) % 3);
        }
        fail(&mut peer, true, "no route");
        peer.expect_no_dial();
        peer.until_dial();
    }
}

#[test]
fn the_gateway_that_works_stays_in_use_over_lost_links_and_logins() {
    let (mut peer, first) = logging_in(3);
    fail(&mut peer, true, "no route");
    let works = peer.expect_gateway();
    assert_ne!(works, first);
    opened(&mut peer);
    peer.welcome(Resumption::New);
    for _ in 0..5 {
        peer.cut();
        peer.until_dial();
        assert_eq!(peer.expect_gateway(), works);
        opened(&mut peer);
        peer.welcome(Resumption::Resumed);
    }
    peer.logout().unwrap();
    peer.pass(SECOND * 3);
    peer.login();
    assert_eq!(peer.expect_gateway(), works);
}

#[test]
fn dead_gateways_leave_time_for_the_last_one_within_a_login_however_short() {
    for (count, timeout) in [(2, SECOND * 12), (2, SECOND * 5), (5, SECOND * 5), (10, SECOND), (3, MS * 100)] {
        let mut config = with_gateways(Config::native(), count);
        config.login_timeout = timeout;
        let mut peer = Peer::new(config);
        peer.login();
        for _ in 1..count {
            peer.expect_gateway();
            // Nobody answers at all.
            peer.until_dial();
        }
        peer.expect_gateway();
        opened(&mut peer);
        peer.welcome(Resumption::New);
        peer.expect_login_ok();
    }
}

#[test]
fn a_server_that_opens_the_link_and_says_nothing_is_left_for_the_next() {
    let mut config = with_gateways(Config::native(), 2);
    config.login_timeout = SECOND * 5;
    let mut peer = Peer::new(config);
    peer.login();
    let first = peer.expect_gateway();
    opened(&mut peer);
    assert!(peer.until_dial() <= SECOND * 3);
    peer.expect_hangup(CloseReason::LoginTimeout);
    assert_eq!(peer.expect_gateway(), 1 - first);
    opened(&mut peer);
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
}

#[test]
fn a_session_goes_on_over_the_next_gateway_when_its_own_is_gone() {
    let (mut peer, first) = logging_in(2);
    opened(&mut peer);
    peer.welcome(Resumption::New);
    peer.cut();
    peer.until_dial();
    assert_eq!(peer.expect_gateway(), first);
    fail(&mut peer, true, "no route");
    let login = peer.open();
    assert!(login.resume.is_some());
    peer.welcome(Resumption::Resumed);
    peer.drop_events();
    assert_eq!(peer.connection.state(), State::Connected);
    // It stays there.
    peer.cut();
    peer.until_dial();
    assert_eq!(peer.expect_gateway(), 1 - first);
}

#[test]
fn a_server_that_goes_down_is_left_for_the_next() {
    let (mut peer, first) = logging_in(2);
    // It says so in the middle of the login: the next one is tried at once.
    opened(&mut peer);
    peer.close(CloseReason::Draining);
    assert_eq!(peer.expect_gateway(), 1 - first);
    opened(&mut peer);
    peer.welcome(Resumption::New);
    // It says so later: all its clients leave it within some seconds.
    peer.close(CloseReason::Draining);
    assert!(peer.until_dial() <= SECOND * 2);
    assert_eq!(peer.expect_gateway(), first);
}

#[test]
fn a_refusal_for_a_while_is_not_the_last_word_where_another_gateway_is_left() {
    let (mut peer, first) = logging_in(2);
    opened(&mut peer);
    peer.frame(ServerFrame::Refused(Refusal::from(ErrorKind::TooOften)));
    assert_eq!(peer.expect_gateway(), 1 - first);
    opened(&mut peer);
    peer.frame(ServerFrame::Refused(Refusal::from(ErrorKind::TooOften)));
    peer.expect_login_err(ErrorKind::TooOften);
}

#[test]
fn what_is_wrong_with_the_user_is_wrong_at_every_gateway() {
    for (kind, reason) in [
        (ErrorKind::InvalidToken, Reason::LoginFailure),
        (ErrorKind::TokenExpired, Reason::LoginFailure),
        (ErrorKind::NotAuthorized, Reason::LoginFailure),
        (ErrorKind::Banned, Reason::BannedByServer),
        (ErrorKind::InvalidAppId, Reason::BannedByServer),
    ] {
        let (mut peer, _) = logging_in(2);
        opened(&mut peer);
        peer.frame(ServerFrame::Refused(Refusal::from(kind)));
        peer.expect_state(State::Connecting, Reason::Login);
        peer.expect_state(State::Disconnected, reason);
        peer.expect_login_err(kind);
        peer.expect_no_dial();
    }
}

#[test]
fn a_session_that_another_client_took_is_not_taken_back_over_the_next_gateway() {
    let (mut peer, _) = logging_in(2);
    opened(&mut peer);
    peer.close(CloseReason::Replaced);
    peer.expect_no_dial();
    peer.expect_login_err(ErrorKind::Failure);
}

#[test]
fn a_login_fails_when_no_gateway_may_be_tried_again_and_says_what_is_wrong_with_each() {
    let (mut peer, first) = logging_in(3);
    let [a, b, c] = [0, 1, 2].map(|n| format!("gateway {}", (first + n) % 3));
    fail(&mut peer, false, "no server");
    peer.expect_gateway();
    fail(&mut peer, false, "no certificate");
    peer.expect_gateway();
    fail(&mut peer, false, "");
    let error = peer.expect_login_err(ErrorKind::GatewayConnectFailed);
    assert_eq!(error.detail(), format!("{a}: no server; {b}: no certificate; {c}"));
}

/// What is said to have gone wrong where one gateway after the other failed so, within one login.
fn said_of(failures: &[(&str, Option<&str>)]) -> (String, Option<String>, usize) {
    let (mut peer, first) = logging_in(failures.len());
    for (nth, (detail, source)) in failures.iter().enumerate() {
        if nth > 0 {
            peer.expect_gateway();
        }
        let source = source.map(|source| Box::<dyn Error + Send + Sync>::from(source).into());
        let error = TransportError { retry: false, detail: Text::from(*detail), source };
        peer.with(|connection, now| connection.handle_dial_failed(now, error));
    }
    let error = peer.expect_login_err(ErrorKind::GatewayConnectFailed);
    (error.detail().to_owned(), error.source().map(ToString::to_string), first)
}

#[test]
fn the_source_of_an_error_about_several_gateways_continues_its_text() {
    let (said, source, first) = said_of(&[("", Some("no route")), ("no TLS", Some("bad record")), ("no server", None)]);
    let [a, b, c] = [0, 1, 2].map(|n| format!("gateway {}", (first + n) % 3));
    assert_eq!(said, format!("{a}: no route; {c}: no server; {b}: no TLS"));
    assert_eq!(source.as_deref(), Some("bad record"));
}

#[test]
fn an_error_about_many_gateways_names_a_few() {
    let (said, source, first) = said_of(&[("", Some("no route")); 9]);
    let name = |n| format!("gateway {}", (first + n) % 9);
    let [a, b, c, i] = [0, 1, 2, 8].map(name);
    assert_eq!(said, format!("{a}: no route; {b}: no route; {c}: no route; and 5 more; {i}"));
    assert_eq!(source.as_deref(), Some("no route"));
    let (said, _, _) = said_of(&[("no route", None); 9]);
    assert!(said.ends_with("no route; and 6 more"), "{said}");
}

#[test]
fn a_login_whose_time_is_over_says_of_each_gateway_what_went_wrong_last_there() {
    let (mut peer, first) = logging_in(2);
    fail(&mut peer, true, "no route");
    peer.expect_gateway();
    opened(&mut peer);
    peer.until_dial();
    // A new round, of which only the first part is over.
    peer.expect_gateway();
    fail(&mut peer, true, "no server");
    peer.expect_gateway();
    peer.pass(SECOND * 12);
    let error = peer.expect_login_err(ErrorKind::Timeout);
    let [a, b] = [0, 1].map(|n| format!("gateway {}", (first + n) % 2));
    assert!(error.detail().contains(&format!("{a}: no server")), "{error}");
    assert!(error.detail().contains(&format!("{b}: the server did not")), "{error}");
}

#[test]
fn a_link_that_is_closed_before_the_login_has_an_answer_is_not_called_a_logout() {
    let (mut peer, _) = logging_in(1);
    opened(&mut peer);
    peer.with(|connection, now| connection.handle_closed(now, Some(CloseReason::Logout)));
    peer.pass(SECOND * 12);
    let error = peer.expect_login_err(ErrorKind::Timeout);
    assert!(!error.detail().contains("logged out"), "{error}");
}

#[test]
fn a_login_fails_with_what_the_servers_close_frame_said() {
    let (mut peer, _) = logging_in(1);
    opened(&mut peer);
    peer.pass(SECOND * 6);
    peer.bytes();
    peer.pass(MS * 5990);
    let text = "the project is not served yet";
    peer.with(|connection, now| connection.handle_closed_with(now, Some(CloseReason::Draining), text.into()));
    peer.pass(SECOND);
    let error = peer.expect_login_err(ErrorKind::Timeout);
    assert!(error.detail().contains(text) && !error.detail().contains("shutting down"), "{error}");
}

#[test]
fn a_login_goes_on_while_one_gateway_may_be_tried_again() {
    let (mut peer, _) = logging_in(2);
    fail(&mut peer, true, "a: nobody is there");
    peer.expect_gateway();
    fail(&mut peer, false, "b: no server");
    assert_eq!(peer.connection.state(), State::Connecting);
    peer.until_dial();
    peer.pass(SECOND * 12);
    let error = peer.expect_login_err(ErrorKind::Timeout);
    assert!(error.detail().contains("in time"), "{error}");
}

#[test]
fn on_the_vendors_wire_the_next_gateway_is_asked_and_the_one_that_named_the_server_stays() {
    let mut peer = Peer::new(with_gateways(Config::vendor(), 3));
    peer.has_gateway = false;
    peer.login();
    let first = peer.asked_gateway;
    // One does not answer, one has no server, one names two that are dead: all leave time for the rest.
    let (silent, _) = peer.expect_ask();
    assert!(peer.until_dial() <= SECOND * 4);
    peer.expect_canceled(silent);
    assert_eq!(peer.asked_gateway, (first + 1) % 3);
    peer.answer_ask(Ok(GatewayAnswer::TryAgain));
    assert_eq!(peer.asked_gateway, (first + 2) % 3);
    peer.answer_ask(Ok(named(&["a", "b"])));
    peer.expect_server("a");
    peer.with(|connection, now| connection.handle_dial_failed(now, no_route(true)));
    peer.expect_server("b");
    opened(&mut peer);
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
    // The same one hands out the stored messages.
    peer.expect_ask();
    assert_eq!(peer.asked_gateway, (first + 2) % 3);
}
