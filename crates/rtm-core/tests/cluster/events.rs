//! The log of events that several nodes write: what one leaves open that is put out, and sessions that move.

use crate::harness::*;

#[test]
fn of_a_node_that_is_put_out_another_one_writes_the_ends_once() {
    let mut world = World::new(3);
    world.begin_event_logs();
    let alice = world.login(0, "alice");
    world.join_channel(alice, "room");
    world.join_channel(alice, "hall");
    let bob = world.login(1, "bob");
    world.join_channel(bob, "room");
    world.login(0, "carol");
    world.kill(0);
    // Carol comes back elsewhere, in time.
    world.advance(secs(5));
    let carol = world.login(2, "carol");
    world.advance(secs(60));
    let all = world.event_lines();
    let ends = [
        "channel.member_left hall alice",
        "channel.vacated hall",
        "channel.member_left room alice",
        "user.offline alice node_lost",
        "session.ended alice node_lost",
        "session.ended carol node_lost",
    ];
    assert_eq!(all[all.len() - ends.len()..], ends, "{all:?}");
    assert_eq!(all.iter().filter(|line| line.contains("node_lost")).count(), 3);
    // Another one goes, and nothing is written twice.
    world.kill(1);
    world.advance(secs(60));
    let more = world.event_lines();
    let ends = [
        "channel.member_left room bob",
        "channel.vacated room",
        "user.offline bob node_lost",
        "session.ended bob node_lost",
    ];
    assert_eq!(more[all.len()..], ends);
    world.logout(carol);
    assert_eq!(world.event_lines()[more.len()..], ["user.offline carol logout", "session.ended carol logout"]);
}

#[test]
fn a_session_that_moves_goes_on_in_the_log() {
    let mut world = World::new(2);
    world.begin_event_logs();
    let alice = world.login(0, "alice");
    world.join_channel(alice, "room");
    let before = world.event_lines().len();
    world.cut(alice);
    let alice = world.resume(1, alice);
    let node = world.id(1);
    let moved = world.event_lines()[before..].to_vec();
    assert_eq!(moved, [format!("session.moved alice {node}"), format!("session.resumed alice {node}")]);
    // The node that it came from goes.
    world.kill(0);
    world.advance(secs(60));
    assert_eq!(world.event_lines().len(), before + 2, "{:?}", world.event_lines());
    world.logout(alice);
    let ends = [
        "channel.member_left room alice",
        "channel.vacated room",
        "user.offline alice logout",
        "session.ended alice logout",
    ];
    assert_eq!(world.event_lines()[before + 2..], ends);
}
