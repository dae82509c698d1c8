//! Another configuration of a project at work.

use std::time::Duration;

use rtm_codec::{AppId, CallLimit, ErrorKind, JoinChannel, LimitedCall, SendChannelMessage};
use rtm_core::ProjectConfig;

use crate::harness::*;

const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";

fn with(change: impl FnOnce(&mut ProjectConfig)) -> ProjectConfig {
    let mut changed = config();
    change(&mut changed);
    changed
}

#[test]
fn sessions_stay_and_new_logins_are_judged_by_the_new_certificate() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.core.reconfigure(world.now, with(|config| config.certificates = vec![CERTIFICATE.parse().unwrap()]));
    world.request(alice, to_peer(1, "bob", "still here"));
    assert_eq!(world.texts(bob), ["still here"]);
    let carol = world.try_login(login_of("carol"));
    assert_eq!(world.refused(carol).unwrap().kind, ErrorKind::InvalidToken);
    world.core.reconfigure(world.now, config());
    world.login("carol");
}

#[test]
fn new_limits_hold_from_the_next_call_on() {
    let mut world = World::new();
    let alice = world.login("alice");
    for n in 1..4 {
        world.request(alice, to_peer(n, "bob", "x"));
    }
    let limit = CallLimit::new(2, Duration::from_secs(3));
    world.core.reconfigure(world.now, with(|config| config.limits.set(LimitedCall::SendMessage, limit)));
    let mut send = |n| world.call(alice, to_peer(n, "bob", "x")).err().map(|refusal| refusal.kind);
    assert_ne!(send(4), Some(ErrorKind::TooOften), "what was not counted does not count");
    assert_ne!(send(5), Some(ErrorKind::TooOften));
    assert_eq!(send(6), Some(ErrorKind::TooOften));
    world.core.reconfigure(world.now, config());
    assert_ne!(world.call(alice, to_peer(7, "bob", "x")).err().map(|it| it.kind), Some(ErrorKind::TooOften));
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).limits, Some(config().limits));
}

#[test]
fn a_session_that_holds_more_than_it_may_from_now_on_is_given_time() {
    let mut world = World::with(with(|config| config.settings.session_bytes = 4 << 20));
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.request(client, JoinChannel { channel_id: room("r") });
    }
    world.stop_acks(bob);
    let send = |world: &mut World, n| {
        world.request(
            alice,
            SendChannelMessage {
                message_id: rtm_codec::MessageId(n),
                channel_id: room("r"),
                message: "x".repeat(30_000).as_str().into(),
                enable_historical_messaging: false,
            },
        )
    };
    for n in 0..30 {
        send(&mut world, n);
    }
    world.core.reconfigure(world.now, with(|config| config.settings.session_bytes = 512 << 10));
    send(&mut world, 30);
    assert!(world.is_open(bob), "it holds twice what it may, as one that came back could");
    world.core.reconfigure(world.now, with(|config| config.settings.session_bytes = 16 << 10));
    for n in 31..40 {
        send(&mut world, n);
    }
    assert!(!world.is_open(bob));
    assert!(world.is_open(alice));
}

#[test]
fn a_session_may_hold_more_from_now_on() {
    let mut world = World::with(with(|config| config.settings.session_bytes = 16 << 10));
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.request(client, JoinChannel { channel_id: room("r") });
    }
    world.core.reconfigure(world.now, with(|config| config.settings.session_bytes = 4 << 20));
    world.stop_acks(bob);
    for n in 0..20 {
        let message = SendChannelMessage {
            message_id: rtm_codec::MessageId(n),
            channel_id: room("r"),
            message: "x".repeat(10_000).as_str().into(),
            enable_historical_messaging: false,
        };
        world.request(alice, message);
    }
    assert!(world.is_open(bob));
}

#[test]
fn the_app_id_stays() {
    let mut world = World::new();
    world.core.reconfigure(world.now, ProjectConfig::new(AppId::new("fedcba9876543210fedcba9876543210").unwrap()));
    assert_eq!(world.core.app_id().as_str(), APP_ID);
    world.login("alice");
}
