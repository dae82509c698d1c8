//! What an operator does: draining, figures.

use rtm_codec::{CloseReason, GetMembers, JoinChannel, Resumption};

use crate::harness::*;

#[test]
fn a_draining_server_takes_no_logins_and_closes_by_and_by() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.core.drain(world.now);
    let late = world.try_login(login_of("late"));
    assert_eq!(world.closed(late), Some(CloseReason::Draining));
    assert!(!world.is_welcome(late));
    world.call(alice, to_peer(1, "bob", "still works")).unwrap();
    for conn in world.core.connections() {
        world.core.close(world.now, conn, CloseReason::Draining);
    }
    world.pump();
    assert_eq!((world.closed(alice), world.closed(bob)), (Some(CloseReason::Draining), Some(CloseReason::Draining)));
    assert_eq!(world.core.connections(), []);
}

#[test]
fn a_client_that_a_refusal_would_be_the_end_of_is_let_in_and_sent_back_at_once() {
    let mut world = World::new();
    world.core.drain(world.now);
    let late = world.try_login(vendor_login_of("late"));
    assert!(world.is_welcome(late));
    assert_eq!(world.closed(late), Some(CloseReason::Draining));
}

#[test]
fn a_connection_that_the_shell_closes_can_be_resumed() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    let conn = world.conn(alice);
    world.core.close(world.now, conn, CloseReason::ProtocolError);
    world.pump();
    assert_eq!(world.closed(alice), Some(CloseReason::ProtocolError));
    world.request(bob, to_peer(1, "alice", "x"));
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
    assert_eq!(world.texts(again), ["x"]);
    assert_eq!(world.call(again, GetMembers { channel_id: room("r") }).unwrap(), [uid("alice")]);
}

#[test]
fn the_figures_say_what_is_there() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.connect();
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.call(alice, to_peer(1, "bob", "x")).unwrap();
    world.cut(bob);
    let stats = world.core.stats();
    assert_eq!((stats.connections, stats.users, stats.sessions, stats.channels), (2, 2, 2, 1));
    assert_eq!((stats.peer_messages, stats.channel_messages), (1, 0));
    world.advance(secs(40));
    let stats = world.core.stats();
    assert_eq!((stats.connections, stats.users, stats.sessions), (2, 1, 2));
}
