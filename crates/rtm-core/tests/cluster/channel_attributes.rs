//! Attributes of channels, written and read on several nodes.

use rtm_codec::{
    Answer, ChannelAttributeTarget, ErrorKind, Event, GetChannelAttributes, RequestId, Revision, SetChannelAttributes,
};

use crate::harness::*;

fn set(value: &str, expected_revision: Option<Revision>) -> SetChannelAttributes {
    let target = ChannelAttributeTarget { channel_id: cid("room"), notify: true, expected_revision };
    SetChannelAttributes { target, attributes: [("topic".parse().unwrap(), value.into())].into() }
}

fn topic(world: &mut World, client: C) -> Option<String> {
    match world.call(client, GetChannelAttributes { channel_id: cid("room"), keys: None }).unwrap() {
        Answer::GetChannelAttributes(all) => all.attributes.values().next().map(|kept| kept.value.to_string()),
        other => panic!("{other:?}"),
    }
}

fn revision(world: &World, client: C, id: RequestId) -> Option<Result<Revision, ErrorKind>> {
    Some(match world.reply(client, id)? {
        Ok(Answer::SetChannelAttributes(revision)) => Ok(*revision),
        Err(refusal) => Err(refusal.kind),
        other => panic!("{other:?}"),
    })
}

fn updates(world: &mut World, client: C) -> Vec<String> {
    let events = world.events(client).into_iter();
    events
        .filter_map(|event| match event {
            Event::AttributesUpdated { attributes, .. } => {
                Some(attributes.attributes.into_values().map(|kept| kept.value.to_string()).collect())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_write_is_answered_when_all_nodes_have_it() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(0, 1);
    let written = world.request(alice, set("a", None));
    assert_eq!(revision(&world, alice, written), None, "bob's node has not heard it");
    world.unstall();
    world.pump();
    assert_eq!(revision(&world, alice, written), Some(Ok(Revision(1))));
    assert_eq!(topic(&mut world, bob), Some("a".to_owned()));
}

#[test]
fn a_write_does_not_wait_for_a_node_that_is_gone() {
    let mut world = World::new(3);
    let alice = world.login(0, "alice");
    world.stall(0, 1);
    let written = world.request(alice, set("a", None));
    world.kill(1);
    world.pump();
    assert_eq!(revision(&world, alice, written), Some(Ok(Revision(1))));
}

#[test]
fn a_session_moves_with_its_answer_only() {
    let mut world = World::new(3);
    let alice = world.login(0, "alice");
    world.stall(0, 1);
    let written = world.request(alice, set("a", None));
    world.cut(alice);
    let alice = world.start_resume(2, alice);
    world.pump();
    assert!(world.is_waiting(alice));
    world.unstall();
    world.advance(secs(1));
    assert_eq!(revision(&world, alice, written), Some(Ok(Revision(1))));
}

#[test]
fn what_nobody_told_is_read_from_the_store() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(bob, "room");
    world.stall(0, 1);
    world.request(alice, set("a", None));
    // Alice's node has written it, and ends before anybody hears of it.
    world.kill(0);
    world.unstall();
    assert_eq!(topic(&mut world, bob), None);
    let late = world.request(bob, set("b", Some(Revision(0))));
    assert_eq!(revision(&world, bob, late), Some(Err(ErrorKind::RevisionConflict)));
    assert_eq!(topic(&mut world, bob), Some("a".to_owned()));
    let next = world.request(bob, set("b", Some(Revision(1))));
    assert_eq!(revision(&world, bob, next), Some(Ok(Revision(2))));
    assert_eq!(topic(&mut world, bob), Some("b".to_owned()));
}

#[test]
fn members_are_told_of_a_write_that_their_node_had_from_the_store_first() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(bob, "room");
    world.events(bob);
    world.stall(0, 1);
    world.request(alice, set("a", None));
    let late = world.request(bob, set("b", Some(Revision(0))));
    assert_eq!(revision(&world, bob, late), Some(Err(ErrorKind::RevisionConflict)));
    assert_eq!(updates(&mut world, bob), Vec::<String>::new());
    world.unstall();
    world.pump();
    assert_eq!(updates(&mut world, bob), ["a"]);
}

#[test]
fn a_node_that_learns_late_that_its_write_was_kept_goes_on_with_the_newer_one() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.unanswered_by_store = Some(0);
    let first = world.request(alice, set("a", None));
    let second = world.request(bob, set("b", None));
    assert_eq!(revision(&world, bob, second), Some(Ok(Revision(2))));
    world.answer_from_store();
    world.pump();
    assert_eq!(revision(&world, alice, first), Some(Ok(Revision(1))));
    for client in [alice, bob] {
        assert_eq!(topic(&mut world, client).as_deref(), Some("b"));
    }
}
