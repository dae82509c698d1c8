//! How much of a server a project may take.

use rtm_codec::{CallLimits, ChannelAttributeTarget, ErrorKind, JoinChannel, LeaveChannel, SetChannelAttributes};
use rtm_core::{Quota, Quotas};

use crate::harness::*;

fn with(change: impl FnOnce(&mut Quotas)) -> World {
    let mut config = config();
    config.limits = CallLimits::unlimited();
    change(&mut config.quotas);
    World::with(config)
}

fn refused(world: &World, quota: Quota) -> u64 {
    world.core.counters().quotas().find(|(known, _)| *known == quota).unwrap().1
}

#[test]
fn a_login_beyond_the_connections_is_refused_by_their_name() {
    let mut world = with(|quotas| quotas.max_connections = 2);
    let alice = world.login("alice");
    world.login("bob");
    let carol = world.try_login(login_of("carol"));
    let refusal = world.refused(carol).unwrap();
    assert_eq!(refusal.kind, ErrorKind::TooOften);
    assert!(refusal.to_string().contains("max_connections"), "{refusal}");
    assert_eq!(refused(&world, Quota::Connections), 1);
    // Who is there may come back, although its old connection still counts.
    let again = world.resume(alice);
    assert!(world.is_welcome(again));
}

#[test]
fn a_channel_beyond_the_channels_is_refused_by_their_name() {
    let mut world = with(|quotas| quotas.max_channels = 1);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let join = |id: &str| JoinChannel { channel_id: room(id) };
    world.call(alice, join("first")).unwrap();
    world.call(bob, join("first")).unwrap();
    let refusal = world.call(bob, join("second")).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::ExceedLimit);
    assert!(refusal.to_string().contains("max_channels"), "{refusal}");
    let set = SetChannelAttributes {
        target: ChannelAttributeTarget { channel_id: room("third"), notify: false, expected_revision: None },
        attributes: attributes(&[("a", "b")]),
    };
    assert_eq!(world.call(bob, set).unwrap_err().kind, ErrorKind::ExceedLimit);
    assert_eq!(refused(&world, Quota::Channels), 2);
    for client in [alice, bob] {
        world.call(client, LeaveChannel { channel_id: room("first") }).unwrap();
    }
    world.call(bob, join("second")).unwrap();
}
