//! Projects with a certificate: who is let in, and what happens when a token ends.

use std::time::Duration;

use rtm_codec::{
    AppId, CloseReason, ErrorKind, Event, HistoryOf, InstanceId, JoinChannel, Login, PeerOnlineState, QueryHistory,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, RenewToken, Resumption, SubscribePeersOnlineStatus, Token,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest},
};
use rtm_core::ProjectConfig;
use rtm_token::{Builder, Certificate, Version};

use crate::harness::*;

const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";
const OLD_CERTIFICATE: &str = "00112233445566778899aabbccddeeff";

fn secure() -> ProjectConfig {
    let mut config = config();
    config.certificates = vec![CERTIFICATE.parse().unwrap(), OLD_CERTIFICATE.parse().unwrap()];
    config
}

fn signed(certificate: &str, version: Version, user: &str, issued_ms: u64, ttl: u64) -> String {
    let certificate: Certificate = certificate.parse().unwrap();
    Builder::new(APP_ID, &certificate, user, issued_ms / 1000, 1)
        .version(version)
        .ttl(Duration::from_secs(ttl))
        .build()
        .unwrap()
}

fn token(world: &World, user: &str, ttl: u64) -> String {
    signed(CERTIFICATE, Version::V007, user, world.now.unix_ms, ttl)
}

fn login(world: &mut World, user: &str, ttl: u64) -> C {
    let token = token(world, user, ttl);
    world.login_with(token_login(user, &token))
}

#[test]
fn a_good_token_of_either_version_and_certificate_lets_in() {
    let mut world = World::with(secure());
    for certificate in [CERTIFICATE, OLD_CERTIFICATE] {
        for version in [Version::V006, Version::V007] {
            let token = signed(certificate, version, "alice", START_MS, 600);
            let alice = world.login_with(token_login("alice", &token));
            assert_eq!(world.welcome(alice).token_expires_in_ms, Some(600_000));
        }
    }
}

#[test]
fn subscriptions_of_a_client_that_subscribes_once_outlive_its_token() {
    let mut world = World::with(secure());
    let vendor_login = |world: &World| {
        let token = Token::new(token(world, "alice", 600)).unwrap();
        Login { token: Some(token), ..vendor_login_of("alice") }
    };
    let alice = world.login_with(vendor_login(&world));
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] }).unwrap();
    world.advance(secs(601));
    assert_eq!(world.closed(alice), Some(CloseReason::TokenExpired));
    let again = world.login_with(vendor_login(&world));
    assert_eq!(world.call(again, QueryPeersBySubscriptionOption {}).unwrap(), [uid("bob")]);
}

#[test]
fn none_a_forged_one_and_another_users_are_refused() {
    let mut world = World::with(secure());
    let good = token(&world, "alice", 600);
    let others = token(&world, "bob", 600);
    let forged = signed("ffffffffffffffffffffffffffffffff", Version::V007, "alice", START_MS, 600);
    let cut = good[..good.len() - 6].to_owned();
    for login in [
        login_of("alice"),
        token_login("alice", "nonsense"),
        token_login("alice", ""),
        token_login("alice", &others),
        token_login("alice", &forged),
        token_login("alice", &cut),
    ] {
        let client = world.try_login(login.clone());
        assert_eq!(world.refused(client).unwrap().kind, ErrorKind::InvalidToken);
        assert!(world.hung_up(client));
        assert_eq!(world.gateway(Some("alice"), login.token), Err(ErrorKind::InvalidToken));
    }
    assert_eq!(world.core.stats().sessions, 0);
    let good = Token::new(good.as_str()).unwrap();
    assert!(world.gateway(Some("alice"), Some(good)).is_ok());
}

#[test]
fn an_expired_token_is_refused_as_such() {
    let mut world = World::with(secure());
    let old = token(&world, "alice", 60);
    world.advance(secs(60));
    let client = world.try_login(token_login("alice", &old));
    assert_eq!(world.refused(client).unwrap().kind, ErrorKind::TokenExpired);
    let old = Token::new(old.as_str()).unwrap();
    assert_eq!(world.gateway(Some("alice"), Some(old)), Err(ErrorKind::TokenExpired));
}

#[test]
fn a_user_without_a_name_is_refused() {
    let mut world = World::with(secure());
    let client = world.try_login(Login { user_id: None, ..vendor_login_of("alice") });
    assert_eq!(world.refused(client).unwrap().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.gateway(None, None), Err(ErrorKind::InvalidArgument));
}

#[test]
fn a_refused_login_does_not_disturb_the_user() {
    let mut world = World::with(secure());
    let alice = login(&mut world, "alice", 600);
    world.try_login(token_login("alice", "nonsense"));
    let mut resuming = world.resuming(alice);
    resuming.token = None;
    let thief = world.try_login(resuming);
    assert_eq!(world.refused(thief).unwrap().kind, ErrorKind::InvalidToken, "a ticket is no token");
    assert_eq!(world.closed(alice), None);
}

#[test]
fn the_end_is_announced_30_s_before_and_then_comes() {
    let mut world = World::with(secure());
    let (alice, bob) = (login(&mut world, "alice", 100), login(&mut world, "bob", 6000));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.call(bob, JoinChannel { channel_id: room("r") }).unwrap();
    world.advance(millis(69_999));
    world.events(alice);
    world.advance(millis(1));
    assert_eq!(world.events(alice), [Event::TokenWillExpire { expires_in_ms: 30_000 }]);
    world.events(bob);
    world.advance(millis(29_999));
    assert_eq!(world.closed(alice), None);
    world.advance(millis(1));
    assert_eq!(world.closed(alice), Some(CloseReason::TokenExpired));
    assert_eq!(world.events(alice), []);
    // The session has ended, for others too.
    assert_eq!(names(&world.events(bob))[0], "MemberLeft");
    let query = QueryPeersOnlineStatus { peer_ids: vec![uid("alice")] };
    assert_eq!(world.call(bob, query).unwrap()[0].1, PeerOnlineState::Offline);
    assert_eq!(world.core.stats().sessions, 1);
}

#[test]
fn the_end_of_a_short_life_is_announced_at_its_half() {
    let mut world = World::with(secure());
    let alice = login(&mut world, "alice", 40);
    world.advance(millis(19_999));
    assert_eq!(world.events(alice), []);
    world.advance(millis(1));
    assert_eq!(world.events(alice), [Event::TokenWillExpire { expires_in_ms: 20_000 }]);
    world.advance(secs(20));
    assert_eq!(world.closed(alice), Some(CloseReason::TokenExpired));
}

#[test]
fn a_life_of_60_s_is_announced_30_s_before_its_end() {
    let mut world = World::with(secure());
    let alice = login(&mut world, "alice", 60);
    world.advance(secs(30));
    assert_eq!(world.events(alice), [Event::TokenWillExpire { expires_in_ms: 30_000 }]);
}

#[test]
fn a_renewed_token_prolongs_the_session_and_is_announced_anew() {
    let mut world = World::with(secure());
    let alice = login(&mut world, "alice", 100);
    world.advance(secs(80));
    world.events(alice);
    let renew = |text: String| RenewToken { token: Token::new(text).unwrap() };
    let fresh = token(&world, "alice", 200);
    world.call(alice, renew(fresh)).unwrap();
    world.advance(secs(169));
    assert_eq!((world.events(alice), world.closed(alice)), (Vec::new(), None));
    world.advance(secs(1));
    assert_eq!(world.events(alice), [Event::TokenWillExpire { expires_in_ms: 30_000 }]);
    world.advance(secs(30));
    assert_eq!(world.closed(alice), Some(CloseReason::TokenExpired));
}

#[test]
fn a_token_that_renews_to_a_late_end_is_announced_at_once() {
    let mut world = World::with(secure());
    let alice = login(&mut world, "alice", 600);
    let late = token(&world, "alice", 100);
    world.advance(secs(90));
    world.call(alice, RenewToken { token: Token::new(late).unwrap() }).unwrap();
    assert_eq!(world.events(alice), [Event::TokenWillExpire { expires_in_ms: 10_000 }]);
}

#[test]
fn a_bad_renewal_is_refused_and_changes_nothing() {
    let mut world = World::with(secure());
    let alice = login(&mut world, "alice", 100);
    let others = token(&world, "bob", 600);
    let renew = |text: &str| RenewToken { token: Token::new(text).unwrap() };
    assert_eq!(world.call(alice, renew(&others)).unwrap_err().kind, ErrorKind::InvalidToken);
    assert_eq!(world.call(alice, renew("nonsense")).unwrap_err().kind, ErrorKind::InvalidToken);
    let short = token(&world, "alice", 10);
    world.advance(secs(10));
    assert_eq!(world.call(alice, renew(&short)).unwrap_err().kind, ErrorKind::TokenExpired);
    world.advance(secs(90));
    assert_eq!(world.closed(alice), Some(CloseReason::TokenExpired));
}

#[test]
fn an_open_project_takes_any_renewal() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, RenewToken { token: Token::new("anything").unwrap() }).unwrap();
    world.advance(secs(120));
    assert_eq!(world.closed(alice), None);
}

#[test]
fn a_token_that_ends_while_its_user_is_away_ends_no_session_that_comes_back_with_a_new_one() {
    let mut world = World::with(secure());
    let alice = login(&mut world, "alice", 60);
    world.advance(secs(50));
    world.cut(alice);
    world.advance(secs(20));
    let mut resuming = world.resuming(alice);
    let stale = world.try_login(resuming.clone());
    assert_eq!(world.refused(stale).unwrap().kind, ErrorKind::TokenExpired);
    resuming.token = Some(Token::new(token(&world, "alice", 600)).unwrap());
    let again = world.login_again(alice, resuming);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
    world.advance(secs(60));
    assert_eq!(world.closed(again), None);
}

#[test]
fn a_vendor_client_that_comes_back_late_is_warned_by_the_server() {
    let mut world = World::with(secure());
    let text = token(&world, "alice", 100);
    let late = Login { token: Some(Token::new(text).unwrap()), ..vendor_login_of("alice") };
    world.advance(secs(80));
    let alice = world.login_with(late);
    world.advance(millis(1));
    assert_eq!(names(&world.events(alice)), ["TokenWillExpire"]);
    // A native client reads in the welcome how long its token lives.
    let bob = world.login_with(token_login("bob", &signed(CERTIFICATE, Version::V007, "bob", START_MS, 100)));
    world.advance(secs(1));
    assert_eq!(world.events(bob), []);
    assert_eq!(world.welcome(bob).token_expires_in_ms, Some(19_999));
}

/// A login of the vendor's SDK with a token, as it makes it again and again.
fn sdk_login(token: &str) -> Login {
    Login { token: Some(Token::new(token).unwrap()), ..vendor_login_of("alice") }
}

#[test]
fn a_client_that_renewed_its_token_comes_back_with_its_first_one() {
    let mut world = World::with(secure());
    let first = token(&world, "alice", 60);
    let shown = || Token::new(first.as_str()).ok();
    let mut alice = world.login_with(sdk_login(&first));
    world.advance(secs(50));
    let newer = token(&world, "alice", 600);
    world.call(alice, RenewToken { token: Token::new(newer.as_str()).unwrap() }).unwrap();
    // Before the end of the first one as well as after it.
    for _ in 0..2 {
        world.cut(alice);
        world.advance(secs(20));
        assert!(world.gateway(Some("alice"), shown()).is_ok());
        alice = world.login_with(sdk_login(&first));
        assert_eq!(world.closed(alice), None);
    }
    world.advance(secs(555));
    assert_eq!(world.closed(alice), None, "the newer one holds");
    world.advance(secs(5));
    assert_eq!(world.closed(alice), Some(CloseReason::TokenExpired));
    assert_eq!(world.gateway(Some("alice"), shown()), Err(ErrorKind::TokenExpired));
    let late = world.try_login(sdk_login(&first));
    assert_eq!(world.refused(late).unwrap().kind, ErrorKind::TokenExpired);
}

#[test]
fn a_token_that_is_over_opens_nothing_for_others() {
    let mut world = World::with(secure());
    let first = token(&world, "alice", 60);
    let forged = signed("ffffffffffffffffffffffffffffffff", Version::V007, "alice", START_MS, 60);
    let alice = world.login_with(sdk_login(&first));
    let newer = token(&world, "alice", 600);
    world.call(alice, RenewToken { token: Token::new(newer.as_str()).unwrap() }).unwrap();
    world.advance(secs(60));
    let id = world.gateway(Some("alice"), Token::new(first.as_str()).ok()).unwrap();
    assert_eq!(world.gateway(Some("alice"), Token::new(forged.as_str()).ok()), Err(ErrorKind::InvalidToken));
    let caller = || Caller { app_id: AppId::new(APP_ID).unwrap(), user_id: uid("alice"), session: id.clone() };
    let query =
        QueryHistory { conversation: HistoryOf::Peer(uid("bob")), from_ts: 0, until_ts: 9, after: None, limit: 1 };
    for request in [
        GatewayRequest::OfflineMessages { caller: caller(), page: None },
        GatewayRequest::History { caller: caller(), query },
    ] {
        assert_eq!(world.ask(request).1, GatewayAnswer::Refused(ErrorKind::NotLoggedIn));
    }
    let other = Login { instance: InstanceId::new("another-object").unwrap(), ..sdk_login(&first) };
    let other = world.try_login(Login { gateway_session: Some(id.clone()), ..other });
    assert_eq!(world.refused(other).unwrap().kind, ErrorKind::TokenExpired);
    assert_eq!(world.closed(alice), None, "its session is not disturbed");
    // With the login of its own object the id opens what it is to open.
    world.login_with(Login { gateway_session: Some(id.clone()), ..sdk_login(&first) });
    let request = GatewayRequest::OfflineMessages { caller: caller(), page: None };
    assert_eq!(world.ask(request).1, GatewayAnswer::OfflineMessages(Vec::new().into()));
}

#[test]
fn without_a_renewed_token_one_that_is_over_lets_nobody_in() {
    let mut world = World::with(secure());
    let first = token(&world, "alice", 60);
    let alice = world.login_with(sdk_login(&first));
    world.cut(alice);
    world.advance(secs(60));
    assert_eq!(world.core.stats().sessions, 1);
    assert_eq!(world.gateway(Some("alice"), Token::new(first.as_str()).ok()), Err(ErrorKind::TokenExpired));
    let again = world.try_login(sdk_login(&first));
    assert_eq!(world.refused(again).unwrap().kind, ErrorKind::TokenExpired);
}
