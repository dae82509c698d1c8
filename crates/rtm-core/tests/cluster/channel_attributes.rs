//! Attributes of channels, written and read on several nodes.

use rtm_codec::{
    AddOrUpdateChannelAttributes, Answer, ChannelAttributeTarget, ErrorKind, Event, GetChannelAttributes, RequestId,
    Revision, SetChannelAttributes,
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

fn add(channel: &str, key: &str, value: &str, expected: Option<u64>) -> AddOrUpdateChannelAttributes {
    let expected_revision = expected.map(Revision);
    AddOrUpdateChannelAttributes {
        target: ChannelAttributeTarget { channel_id: cid(channel), notify: true, expected_revision },
        attributes: [(key.parse().unwrap(), value.into())].into(),
    }
}

fn attributes(world: &mut World, client: C, channel: &str) -> (Vec<String>, u64) {
    match world.call(client, GetChannelAttributes { channel_id: cid(channel), keys: None }) {
        Ok(Answer::GetChannelAttributes(all)) => {
            let one = |(key, attribute): (&rtm_codec::AttributeKey, &rtm_codec::ChannelAttribute)| {
                format!("{key}={}", attribute.value)
            };
            (all.attributes.iter().map(one).collect(), all.revision.0)
        }
        other => panic!("{other:?}"),
    }
}

fn told_revisions(world: &mut World, client: C) -> Vec<u64> {
    let revision = |event: Event| match event {
        Event::AttributesUpdated { attributes, .. } => Some(attributes.revision.0),
        _ => None,
    };
    world.events(client).into_iter().filter_map(revision).collect()
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
fn what_a_lost_node_wrote_and_told_nobody_is_read_everywhere_and_told_to_members() {
    let mut world = World::new(3);
    let [alice, bob, carol] = [(0, "alice"), (1, "bob"), (2, "carol")].map(|(node, user)| world.login(node, user));
    world.join_channel(bob, "room");
    world.events(bob);
    world.stall(0, 1);
    world.stall(0, 2);
    world.request(alice, set("a", None));
    world.kill(0);
    world.unstall();
    for client in [bob, carol] {
        assert_eq!(topic(&mut world, client), Some("a".to_owned()));
    }
    assert_eq!(updates(&mut world, bob), Vec::<String>::new(), "its node may be about to say so");
    world.advance(secs(6));
    assert_eq!(updates(&mut world, bob), ["a"]);
    let next = world.request(bob, set("b", Some(Revision(1))));
    assert_eq!(revision(&world, bob, next), Some(Ok(Revision(2))));
    world.advance(secs(6));
    assert_eq!(updates(&mut world, bob), ["b"], "what was told is not told again");
}

#[test]
fn members_hear_once_of_two_writes_that_their_node_had_from_the_store_first() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(bob, "room");
    world.events(bob);
    world.stall(0, 1);
    world.request(alice, set("a", None));
    world.request(alice, set("b", None));
    world.unstall();
    world.pump();
    assert_eq!(updates(&mut world, bob), ["b"]);
    world.advance(secs(6));
    assert_eq!(updates(&mut world, bob), Vec::<String>::new());
}

#[test]
fn members_who_are_not_to_be_told_are_not() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(bob, "room");
    world.events(bob);
    let mut write = set("a", None);
    write.target.notify = false;
    world.request(alice, write);
    world.advance(secs(6));
    assert_eq!(topic(&mut world, bob), Some("a".to_owned()));
    assert_eq!(updates(&mut world, bob), Vec::<String>::new());
}

#[test]
fn a_write_whose_acknowledgement_is_lost_is_known_by_what_the_store_has() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(bob, "room");
    world.events(bob);
    world.seems_to_fail = true;
    let written = world.request(alice, set("a", None));
    assert_eq!(revision(&world, alice, written), Some(Ok(Revision(1))));
    assert_eq!(updates(&mut world, bob), ["a"]);

    // Nothing is heard of this one: whether it was done is unknown, and nobody says that it was not.
    (world.seems_to_fail, world.is_store_unwatched) = (true, true);
    let unknown = world.request(alice, set("b", None));
    let Some(Err(refusal)) = world.reply(alice, unknown) else { panic!("not refused") };
    assert_eq!(refusal.kind, ErrorKind::Failure);
    assert!(refusal.detail.to_string().contains("does not know"), "{refusal:?}");
    assert_eq!(topic(&mut world, bob), Some("a".to_owned()));
}

#[test]
fn a_late_word_of_the_store_changes_nothing() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(bob, "room");
    world.request(alice, set("a", None));
    let Ok(Answer::GetChannelAttributes(old)) =
        world.call(bob, GetChannelAttributes { channel_id: cid("room"), keys: None })
    else {
        panic!("no attributes")
    };
    world.request(alice, set("b", None));
    world.events(bob);
    let now = world.now;
    world.cores[1].handle_kept_attributes(now, &cid("room"), old.clone());
    assert_eq!(topic(&mut world, bob), Some("b".to_owned()));

    // The channel is forgotten, everywhere.
    world.leave(bob, "room");
    world.advance(secs(400));
    assert_eq!(topic(&mut world, bob), None);
    let now = world.now;
    world.cores[1].handle_kept_attributes(now, &cid("room"), old);
    assert_eq!(topic(&mut world, bob), None);
}

#[test]
fn what_nobody_told_is_read_from_the_store() {
    let mut world = World::new(2);
    world.is_store_unwatched = true;
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
    world.is_store_unwatched = true;
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

#[test]
fn what_is_kept_of_the_revisions_of_forgotten_channels_does_not_fall() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    let write = |channel: &str| {
        let target = ChannelAttributeTarget { channel_id: cid(channel), notify: false, expected_revision: None };
        SetChannelAttributes { target, attributes: [("topic".parse().unwrap(), "a".into())].into() }
    };
    // Each node forgets a channel, and the second one has not heard of the first one's.
    let channels = [0, 1].map(|number| world.channel_at(number));
    for _ in 0..5 {
        assert!(world.call(alice, write(&channels[0])).is_ok());
    }
    world.advance(secs(100));
    assert!(world.call(alice, write(&channels[1])).is_ok());
    world.stall(0, 1);
    let mut kept = Vec::new();
    for _ in 0..8 {
        world.advance(secs(60));
        kept.extend(world.kept_forgotten_revision());
    }
    assert_eq!(world.kept_attributes(), 0, "both are forgotten");
    assert!(!kept.is_empty() && kept.iter().all(|kept| *kept == Revision(5)), "{kept:?}");
}

#[test]
fn attributes_are_told_to_the_members_on_all_nodes_and_read_on_any() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    let written = world.call(carol, add(&channel, "topic", "rust", None));
    assert_eq!(written, Ok(Answer::AddOrUpdateChannelAttributes(Revision(1))));
    assert_eq!(told_revisions(&mut world, alice), [1]);
    assert_eq!(told_revisions(&mut world, bob), [1]);
    world.call(alice, add(&channel, "mood", "good", Some(1))).unwrap();
    assert_eq!(told_revisions(&mut world, bob), [2]);
    for client in [alice, bob, carol] {
        assert_eq!(attributes(&mut world, client, &channel), (vec!["mood=good".into(), "topic=rust".into()], 2));
    }
    let refused = world.call(bob, add(&channel, "topic", "lost", Some(1))).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::RevisionConflict);
}

/// Two writes are under way at once: the store lets one be first, and the other one is done over that.
#[test]
fn two_nodes_that_write_attributes_at_once_lose_nothing_and_no_lower_revision_is_told_after_a_higher() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    world.join_channel(carol, &channel);
    world.is_store_held = true;
    let first = world.request(alice, add(&channel, "a", "1", None));
    let second = world.request(bob, add(&channel, "b", "2", None));
    let strict = world.request(carol, add(&channel, "c", "3", Some(0)));
    world.is_store_held = false;
    world.advance(secs(1));
    assert!(matches!(world.reply(alice, first), Some(Ok(_))));
    assert!(matches!(world.reply(bob, second), Some(Ok(_))));
    assert_eq!(world.reply(carol, strict).unwrap().as_ref().unwrap_err().kind, ErrorKind::RevisionConflict);
    for client in [alice, bob, carol] {
        assert_eq!(attributes(&mut world, client, &channel), (vec!["a=1".into(), "b=2".into()], 2));
    }
    let told = told_revisions(&mut world, carol);
    assert!(told.is_sorted() && told.last() == Some(&2), "{told:?}");
}

/// A node without members would forget the attributes of a channel that others are in.
#[test]
fn attributes_stay_while_anybody_is_in_the_channel_and_go_everywhere_after_it() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.call(alice, add(&channel, "topic", "rust", None)).unwrap();
    world.advance(secs(620));
    assert_eq!(attributes(&mut world, bob, &channel).0, ["topic=rust"]);
    world.leave(alice, &channel);
    world.advance(secs(290));
    assert_eq!(attributes(&mut world, bob, &channel).0, ["topic=rust"]);
    world.advance(secs(20));
    for client in [alice, bob] {
        assert_eq!(attributes(&mut world, client, &channel).0, Vec::<String>::new());
    }
    let written = world.call(bob, add(&channel, "topic", "again", None));
    assert_eq!(written, Ok(Answer::AddOrUpdateChannelAttributes(Revision(2))), "it never had that revision");
}
