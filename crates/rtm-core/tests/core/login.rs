//! Logging in, and the gateway's question before it.

use std::time::Duration;

use rtm_codec::{
    AppId, CallLimit, CallLimits, ClientFrame, CloseReason, ErrorKind, InstanceId, KeepAlive, LimitedCall, Login,
    QueryPeersOnlineStatus, Resumption,
};
use rtm_core::ProjectConfig;

use crate::harness::*;

#[test]
fn a_login_is_welcomed_with_a_ticket_and_the_servers_time() {
    let mut world = World::new();
    let alice = world.login("alice");
    let welcome = world.welcome(alice);
    assert_eq!(welcome.user_id, uid("alice"));
    assert_eq!(welcome.resumption, Resumption::New);
    assert_eq!(welcome.server_time_ms, START_MS);
    assert_eq!(welcome.token_expires_in_ms, None);
    assert!(welcome.ticket.is_some());
}

#[test]
fn sessions_have_ids_of_their_own() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    assert_ne!(world.welcome(alice).ticket, world.welcome(bob).ticket);
}

#[test]
fn the_welcome_tells_limits_only_where_they_are_the_projects_own() {
    let mut usual = World::with(ProjectConfig::new(AppId::new(APP_ID).unwrap()));
    let alice = usual.login("alice");
    assert_eq!(usual.welcome(alice).limits, None);

    let mut config = config();
    config.limits.set(LimitedCall::GetMembers, CallLimit::new(7, Duration::from_secs(1)));
    let mut own = World::with(config.clone());
    let alice = own.login("alice");
    assert_eq!(own.welcome(alice).limits, Some(config.limits));
}

#[test]
fn another_app_id_is_refused() {
    let mut world = World::new();
    let client = world.try_login(Login { app_id: AppId::new("f".repeat(32)).unwrap(), ..login_of("alice") });
    assert_eq!(world.refused(client).unwrap().kind, ErrorKind::InvalidAppId);
    assert!(world.hung_up(client));
    assert!(!world.is_open(client));
}

#[test]
fn an_open_project_gives_a_user_id_to_who_has_none() {
    let mut world = World::new();
    let one = world.login_with(Login { user_id: None, ..vendor_login_of("x") });
    let two = world.login_with(Login { user_id: None, ..vendor_login_of("y") });
    let (one_id, two_id) = (world.welcome(one).user_id.clone(), world.welcome(two).user_id.clone());
    assert_ne!(one_id, two_id);
    let query = QueryPeersOnlineStatus { peer_ids: vec![two_id] };
    let states = world.call(one, query).unwrap();
    assert_eq!(states[0].1, rtm_codec::PeerOnlineState::Online);
}

#[test]
fn a_slow_keep_alive_is_refused_from_20_s_on() {
    let mut world = World::new();
    let keep_alive = |interval_ms| KeepAlive::Client { interval_ms };
    let slow = world.try_login(Login { keep_alive: keep_alive(20_001), ..login_of("alice") });
    assert_eq!(world.refused(slow).unwrap().kind, ErrorKind::InvalidArgument);
    world.login_with(Login { keep_alive: keep_alive(20_000), ..login_of("alice") });
}

#[test]
fn anything_before_the_login_closes_the_connection() {
    let frames = [
        ClientFrame::Ping,
        ClientFrame::Pong,
        ClientFrame::Logout,
        ClientFrame::Ack { received: Default::default(), consumed: Default::default(), answered: Default::default() },
        ClientFrame::Request { id: rtm_codec::RequestId(1), command: to_peer(1, "bob", "hi").into() },
    ];
    let mut world = World::new();
    for frame in frames {
        let client = world.connect();
        world.frame(client, frame);
        assert_eq!(world.closed(client), Some(CloseReason::ProtocolError));
    }
}

#[test]
fn a_second_login_on_a_connection_closes_it() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.frame(alice, ClientFrame::Login(Box::new(login_of("mallory"))));
    assert_eq!(world.closed(alice), Some(CloseReason::ProtocolError));
    // The session itself only lost its socket.
    assert_eq!(world.core.stats().users, 1);
}

fn limited() -> World {
    let mut config = config();
    config.limits.set(LimitedCall::Login, CallLimits::default().get(LimitedCall::Login));
    World::with(config)
}

fn from(object: u32, login: Login) -> Login {
    Login { instance: InstanceId::new(format!("object-{object}")).unwrap(), ..login }
}

#[test]
fn a_client_object_logs_in_twice_a_second_and_not_a_third_time() {
    let mut world = limited();
    for _ in 0..2 {
        let client = world.login("alice");
        world.logout(client);
    }
    let third = world.try_login(login_of("alice"));
    assert_eq!(world.refused(third).unwrap().kind, ErrorKind::TooOften);
    world.login("bob");
    world.advance(secs(1));
    world.login("alice");
}

#[test]
fn a_user_logs_in_twenty_times_a_second_with_different_objects() {
    let mut world = limited();
    for object in 0..20 {
        world.login_with(from(object, login_of("alice")));
    }
    let one_more = world.try_login(from(20, login_of("alice")));
    assert_eq!(world.refused(one_more).unwrap().kind, ErrorKind::TooOften);
    world.login("bob");
    world.advance(secs(1));
    world.login_with(from(20, login_of("alice")));
}

#[test]
fn where_a_refusal_would_be_the_end_a_login_that_comes_too_often_waits() {
    let mut world = limited();
    for _ in 0..2 {
        let client = world.login_vendor("alice");
        world.logout(client);
        world.advance(millis(100));
    }
    let (third, fourth) = (world.try_login(vendor_login_of("alice")), world.try_login(vendor_login_of("alice")));
    world.advance(millis(799));
    assert!(!world.is_welcome(third) && world.refused(third).is_none());
    // It may give signs of life meanwhile.
    world.frame(third, ClientFrame::Ping);
    assert_eq!(world.pongs(third), 1);
    world.advance(millis(1));
    assert!(world.is_welcome(third), "a second after the first one");
    // The other connection is one more of the same object now.
    world.advance(millis(100));
    assert!(world.is_welcome(fourth));
    assert_eq!(world.closed(third), Some(CloseReason::Replaced));
}

#[test]
fn two_objects_that_put_each_other_out_are_let_in_each_time() {
    let mut world = limited();
    for turn in 0..20 {
        let client = world.try_login(from(turn % 2, vendor_login_of("alice")));
        assert!(world.is_welcome(client), "turn {turn}");
        world.advance(millis(550));
    }
}

#[test]
fn a_login_that_waits_ends_with_its_connection() {
    let mut world = limited();
    for _ in 0..2 {
        let client = world.login_vendor("alice");
        world.logout(client);
    }
    let gone = world.try_login(vendor_login_of("alice"));
    world.cut(gone);
    let leaving = world.try_login(vendor_login_of("alice"));
    world.logout(leaving);
    assert_eq!(world.closed(leaving), Some(CloseReason::Logout));
    let impatient = world.try_login(vendor_login_of("alice"));
    world.frame(impatient, ClientFrame::Request { id: rtm_codec::RequestId(1), command: to_peer(1, "b", "x").into() });
    assert_eq!(world.closed(impatient), Some(CloseReason::ProtocolError));
    world.advance(secs(2));
    assert_eq!(world.core.stats().sessions, 0);
}

#[test]
fn so_many_logins_of_a_user_wait_and_no_more() {
    let mut world = limited();
    for _ in 0..2 {
        let client = world.login_vendor("alice");
        world.logout(client);
    }
    let waiting: Vec<C> = (0..20).map(|_| world.try_login(vendor_login_of("alice"))).collect();
    let refused = world.try_login(vendor_login_of("alice"));
    assert_eq!(world.refused(refused).unwrap().kind, ErrorKind::TooOften);
    world.login_vendor("bob");
    assert!(waiting.iter().all(|client| !world.is_welcome(*client)));
    world.advance(secs(1));
    assert!(
        waiting.iter().all(|client| world.is_welcome(*client)),
        "the first is let in, and the others are its object"
    );
}

#[test]
fn a_return_is_no_login() {
    let mut world = limited();
    let mut alice = world.login_vendor("alice");
    for _ in 0..50 {
        world.cut(alice);
        alice = world.try_login(vendor_login_of("alice"));
        assert!(world.is_welcome(alice));
    }
    world.logout(alice);
    let again = world.try_login(vendor_login_of("alice"));
    assert!(world.is_welcome(again), "the second login of its second");
}

#[test]
fn a_ticket_is_not_counted_as_a_login() {
    let mut config = config();
    config.limits.set(LimitedCall::Login, CallLimit::new(1, Duration::from_secs(1)));
    let mut world = World::with(config);
    let mut alice = world.login("alice");
    for _ in 0..5 {
        world.cut(alice);
        alice = world.resume(alice);
        assert_eq!(world.welcome(alice).resumption, Resumption::Resumed);
    }
}

#[test]
fn the_gateway_of_an_open_project_gives_everybody_an_id_of_their_own() {
    let mut world = World::new();
    let one = world.gateway(Some("alice"), None).unwrap();
    let two = world.gateway(None, None).unwrap();
    assert_eq!(one.len(), 32);
    assert_ne!(one, two);
}

#[test]
fn a_logged_out_user_is_gone_at_once() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.logout(bob);
    assert_eq!(world.closed(bob), Some(CloseReason::Logout));
    let states = world.call(alice, QueryPeersOnlineStatus { peer_ids: vec![uid("bob")] }).unwrap();
    assert_eq!(states, vec![(uid("bob"), rtm_codec::PeerOnlineState::Offline)]);
    assert_eq!(world.core.stats().sessions, 1);
}

#[test]
fn a_ticket_of_a_session_that_was_logged_out_starts_a_new_one() {
    let mut world = World::new();
    let alice = world.login("alice");
    let login = world.resuming(alice);
    world.logout(alice);
    let again = world.login_with(login);
    assert_eq!(world.welcome(again).resumption, Resumption::New);
    assert_ne!(world.welcome(again).ticket.unwrap().session, world.welcome(alice).ticket.unwrap().session);
}
