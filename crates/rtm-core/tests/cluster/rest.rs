//! Back ends that call any node.

use rtm_codec::{
    Refusal, Text, Token,
    anyrtc::rest::{PeerMessageCode, RestAnswer, RestCall, RestChannelMessage, RestPeerMessage},
};
use rtm_core::{HttpId, RestCaller, cluster::PROTO};

use crate::harness::*;

fn to_bob(text: &str, wait_for_ack: bool) -> RestCall {
    RestCall::SendToPeer(RestPeerMessage {
        from: uid("alice"),
        to: uid("bob"),
        payload: Text::from(text),
        enable_offline_messaging: true,
        enable_historical_messaging: false,
        wait_for_ack,
    })
}

fn to_channel(channel: &str, text: &str) -> RestCall {
    RestCall::SendToChannel(RestChannelMessage {
        from: uid("alice"),
        channel_id: cid(channel),
        payload: Text::from(text),
        enable_historical_messaging: false,
    })
}

fn start(world: &mut World, node: usize, call: RestCall) -> HttpId {
    let caller = RestCaller::Key { id: "back-end".into(), secret: Token::new("secret").unwrap() };
    let id = world.cores[node].rest(world.now, &caller, call);
    world.pump();
    id
}

fn answer(world: &mut World, node: usize, id: HttpId) -> Option<Result<RestAnswer, Refusal>> {
    let mut answers = Vec::new();
    world.cores[node].take_rest_answers(&mut answers);
    answers.into_iter().find(|(other, _)| *other == id).map(|(_, answer)| answer)
}

fn call(world: &mut World, node: usize, call: RestCall) -> Option<Result<RestAnswer, Refusal>> {
    let id = start(world, node, call);
    answer(world, node, id)
}

const DELIVERED: Option<Result<RestAnswer, Refusal>> = Some(Ok(RestAnswer::PeerMessage(PeerMessageCode::Delivered)));
const OFFLINE: Option<Result<RestAnswer, Refusal>> = Some(Ok(RestAnswer::PeerMessage(PeerMessageCode::PeerOffline)));
const TAKEN: Option<Result<RestAnswer, Refusal>> = Some(Ok(RestAnswer::ChannelMessage));

#[test]
fn a_message_reaches_its_receiver_from_any_node() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(2, "alice"), world.login(1, "bob"));
    for node in 0..3 {
        assert_eq!(call(&mut world, node, to_bob("hello", true)), DELIVERED, "from node {node}");
    }
    assert_eq!(world.texts(bob), ["hello", "hello", "hello"]);
    assert_eq!(world.texts(alice), Vec::<String>::new());
    world.logout(bob);
    assert_eq!(call(&mut world, 0, to_bob("later", true)), OFFLINE);
    let bob = world.login(2, "bob");
    assert_eq!(world.texts(bob), ["later"]);
}

#[test]
fn a_message_follows_its_receiver_and_none_overtakes_it() {
    let mut world = World::new(3);
    let bob = world.login(1, "bob");
    world.stall(0, 1);
    let first = start(&mut world, 0, to_bob("first", true));
    world.cut(bob);
    let bob = world.resume(2, bob);
    let second = start(&mut world, 0, to_bob("second", true));
    assert_eq!(world.texts(bob), Vec::<String>::new());
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.texts(bob), ["first", "second"]);
    let mut answers = Vec::new();
    world.cores[0].take_rest_answers(&mut answers);
    let delivered = |id| (id, DELIVERED.unwrap());
    assert_eq!(answers, [delivered(first), delivered(second)]);
}

#[test]
fn a_receiver_that_moves_with_the_message_says_so_from_where_it_is() {
    let mut world = World::new(3);
    let bob = world.login(1, "bob");
    world.cut(bob);
    let id = start(&mut world, 0, to_bob("on its way", true));
    let bob = world.resume(2, bob);
    assert_eq!(world.texts(bob), ["on its way"]);
    assert_eq!(answer(&mut world, 0, id), DELIVERED);
}

#[test]
fn a_message_to_a_user_of_a_node_that_dies_is_stored() {
    let mut world = World::new(3);
    let bob = world.login(1, "bob");
    world.silence(bob);
    world.stall(0, 1);
    let id = start(&mut world, 0, to_bob("kept", true));
    world.kill(1);
    world.unstall();
    world.advance(secs(45));
    assert!(answer(&mut world, 0, id).is_some());
    let bob = world.login(2, "bob");
    assert_eq!(world.texts(bob), ["kept"]);
}

#[test]
fn a_channel_message_reaches_all_members_from_any_node_and_once() {
    let mut world = World::new(3);
    let (bob, carol) = (world.login(1, "bob"), world.login(2, "carol"));
    for home in 0..3 {
        let channel = world.channel_at(home);
        for client in [bob, carol] {
            world.join_channel(client, &channel);
        }
        for node in 0..3 {
            assert_eq!(call(&mut world, node, to_channel(&channel, "hello")), TAKEN, "home {home}, node {node}");
        }
        for client in [bob, carol] {
            assert_eq!(world.heard(client), ["hello", "hello", "hello"], "home {home}");
        }
        assert_eq!(call(&mut world, 0, to_channel("nobody-is-here", "hello")), TAKEN);
    }
}

#[test]
fn the_senders_own_session_gets_no_message_of_its_own_wherever_it_is() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(1, "alice"), world.login(1, "bob"));
    for client in [alice, bob] {
        world.join_channel(client, "room");
    }
    for node in 0..3 {
        assert_eq!(call(&mut world, node, to_channel("room", "hello")), TAKEN);
    }
    assert_eq!((world.heard(alice).len(), world.heard(bob).len()), (0, 3));
}

#[test]
fn a_channel_message_waits_until_the_home_knows_who_is_there() {
    let mut world = World::new(2);
    let bob = world.login(1, "bob");
    let channel = world.channel_at(0);
    world.join_channel(bob, &channel);
    world.join();
    world.settle_homes();
    let home = world.home_of(&channel);
    let id = start(&mut world, 2, to_channel(&channel, "hello"));
    world.advance(secs(1));
    assert_eq!(answer(&mut world, 2, id), TAKEN, "the home is {home} now");
    assert_eq!(world.heard(bob), ["hello"]);
}

#[test]
fn whoever_waits_at_a_node_that_leaves_is_told() {
    let mut world = World::new(2);
    let bob = world.login(1, "bob");
    world.stall(0, 1);
    let id = start(&mut world, 0, to_bob("hello", true));
    assert_eq!(answer(&mut world, 0, id), None);
    world.put_out(0);
    world.leave_cluster(0);
    assert!(matches!(answer(&mut world, 0, id), Some(Err(_))));
    assert_eq!(world.texts(bob), Vec::<String>::new());
}

const SENT: Option<Result<RestAnswer, Refusal>> = Some(Ok(RestAnswer::PeerMessage(PeerMessageCode::Sent)));

#[test]
fn what_is_to_be_stored_is_answered_when_it_is_stored_or_a_session_has_it() {
    let mut world = World::new(2);
    world.is_store_held = true;
    let id = start(&mut world, 0, to_bob("stored", false));
    assert_eq!(answer(&mut world, 0, id), None, "nobody has it yet");
    world.is_store_held = false;
    world.pump();
    assert_eq!(answer(&mut world, 0, id), SENT);
    // Whoever does not wait for the device is not kept waiting by it.
    let bob = world.login(1, "bob");
    assert_eq!(world.texts(bob), ["stored"]);
    world.stop_acks(bob);
    assert_eq!(call(&mut world, 0, to_bob("placed", false)), SENT);
    let id = start(&mut world, 0, to_bob("waited for", true));
    assert_eq!(answer(&mut world, 0, id), None);
}

#[test]
fn what_is_nowhere_for_certain_is_no_success() {
    for is_online in [false, true] {
        let mut world = World::new(2);
        if is_online {
            world.login(1, "bob");
            world.stall(0, 1);
        }
        world.is_store_held = true;
        for waits in [false, true] {
            let id = start(&mut world, 0, to_bob("lost", waits));
            world.advance(secs(10));
            let refused = answer(&mut world, 0, id).unwrap().unwrap_err();
            assert_eq!(refused.kind, rtm_codec::ErrorKind::Failure, "{is_online}, {waits}");
        }
    }
}

#[test]
fn what_another_node_stores_is_answered_when_that_has_stored_it_or_has_not() {
    for (fails, is_old) in [(false, false), (true, false), (false, true)] {
        let mut world = World::of_versions(&[PROTO, if is_old { PROTO - 1 } else { PROTO }]);
        let bob = world.login(1, "bob");
        world.cut(bob);
        // Its session waits for it on its node, though it is offline.
        world.advance(secs(40));
        world.is_store_held = true;
        let id = start(&mut world, 0, to_bob("stored", false));
        let early = answer(&mut world, 0, id);
        if is_old {
            assert_eq!(early, SENT, "a node of before says nothing of the store");
            continue;
        }
        assert_eq!(early, None, "it is not stored yet");
        (world.is_store_held, world.seems_to_fail) = (false, fails);
        world.pump();
        match fails {
            true => assert!(answer(&mut world, 0, id).unwrap().is_err()),
            false => assert_eq!(answer(&mut world, 0, id), SENT),
        }
    }
}

#[test]
fn that_another_node_stores_a_message_is_said_again_where_it_is_lost() {
    for fails in [false, true] {
        let mut world = World::new(2);
        let bob = world.login(1, "bob");
        world.cut(bob);
        world.advance(secs(40));
        world.is_store_held = true;
        world.stall(1, 0);
        let id = start(&mut world, 0, to_bob("stored", false));
        world.restart_post(1, 0);
        world.unstall();
        world.pump();
        assert_eq!(answer(&mut world, 0, id), None, "it is not stored yet");
        (world.is_store_held, world.seems_to_fail) = (false, fails);
        world.pump();
        match fails {
            true => assert!(answer(&mut world, 0, id).unwrap().is_err()),
            false => assert_eq!(answer(&mut world, 0, id), SENT),
        }
    }
}

#[test]
fn what_another_node_does_not_store_in_time_is_no_success() {
    let mut world = World::new(2);
    let bob = world.login(1, "bob");
    world.cut(bob);
    world.advance(secs(40));
    world.is_store_held = true;
    let id = start(&mut world, 0, to_bob("lost", false));
    world.advance(secs(10));
    assert!(answer(&mut world, 0, id).unwrap().is_err());
}

#[test]
fn a_message_for_which_nobody_waits_is_counted_nowhere_alike() {
    let plain = |waits| match to_bob("hello", waits) {
        RestCall::SendToPeer(send) => RestCall::SendToPeer(RestPeerMessage { enable_offline_messaging: false, ..send }),
        other => other,
    };
    for node in 0..2 {
        let mut world = World::new(2);
        let bob = world.login(1, "bob");
        let delivered = |world: &World| world.cores[node].counters().outcomes().next().unwrap().1;
        call(&mut world, node, plain(false));
        world.advance(secs(1));
        assert_eq!((world.texts(bob).len(), delivered(&world)), (1, 0), "from node {node}");
        call(&mut world, node, plain(true));
        call(&mut world, node, to_bob("stored if need be", false));
        world.advance(secs(1));
        assert_eq!((world.texts(bob).len(), delivered(&world)), (2, 2), "from node {node}");
    }
}
