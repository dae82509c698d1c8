//! Attributes of users, read on other nodes.

use std::collections::BTreeMap;

use rtm_codec::{Answer, AttributeKey, ErrorKind, GetUserAttributes, RequestId, SetLocalUserAttributes, Text};

use crate::harness::*;

fn key(name: &str) -> AttributeKey {
    AttributeKey::new(name).unwrap()
}

fn set(pairs: &[(&str, &str)]) -> SetLocalUserAttributes {
    SetLocalUserAttributes { attributes: pairs.iter().map(|(name, value)| (key(name), Text::from(*value))).collect() }
}

fn get(user: &str) -> GetUserAttributes {
    GetUserAttributes { user_id: uid(user), keys: None }
}

fn read(world: &World, client: C, id: RequestId) -> Option<BTreeMap<String, String>> {
    match world.reply(client, id)? {
        Ok(Answer::GetUserAttributes(all)) => {
            Some(all.iter().map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned())).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn colour() -> BTreeMap<String, String> {
    BTreeMap::from([("colour".to_owned(), "blue".to_owned())])
}

fn refusal(world: &World, client: C, id: RequestId) -> Option<ErrorKind> {
    Some(world.reply(client, id)?.as_ref().unwrap_err().kind)
}

#[test]
fn attributes_of_a_user_on_another_node_are_read_there() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(bob, set(&[("colour", "blue")]));
    let asked = world.request(alice, get("bob"));
    assert_eq!(read(&world, alice, asked), Some(colour()));
    let some = GetUserAttributes { user_id: uid("bob"), keys: Some(vec![key("size")]) };
    let asked = world.request(alice, some);
    assert_eq!(read(&world, alice, asked), Some(BTreeMap::new()));
}

#[test]
fn nobody_has_attributes_who_is_nowhere() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    let asked = world.request(alice, get("carol"));
    assert_eq!(refusal(&world, alice, asked), Some(ErrorKind::UserNotFound));
    world.cut(bob);
    world.advance(secs(31));
    let asked = world.request(alice, get("bob"));
    assert_eq!(refusal(&world, alice, asked), Some(ErrorKind::UserNotFound), "he is offline");
}

#[test]
fn a_user_that_moves_is_found_where_it_comes_to() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(bob, set(&[("colour", "blue")]));
    world.blind(0);
    world.cut(bob);
    world.resume(2, bob);
    let asked = world.request(alice, get("bob"));
    assert_eq!(world.reply(alice, asked), None, "the node that it asked has him no more");
    world.see(0);
    world.advance(millis(200));
    assert_eq!(read(&world, alice, asked), Some(colour()));
}

#[test]
fn a_user_that_comes_to_the_asking_node_meanwhile_is_found_there() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(bob, set(&[("colour", "blue")]));
    world.stall(0, 1);
    let asked = world.request(alice, get("bob"));
    world.cut(bob);
    world.start_resume(0, bob);
    world.unstall();
    world.advance(millis(200));
    assert_eq!(read(&world, alice, asked), Some(colour()));
}

#[test]
fn a_user_whose_node_leaves_is_not_found_and_one_whose_node_is_silent_is_not_waited_for_longer_than_4_s() {
    let mut world = World::new(3);
    let alice = world.login(0, "alice");
    world.login(1, "bob");
    world.login(2, "carol");
    world.stall(1, 0);
    world.stall(2, 0);
    let (bob, carol) = (world.request(alice, get("bob")), world.request(alice, get("carol")));
    world.kill(1);
    assert_eq!(refusal(&world, alice, bob), Some(ErrorKind::UserNotFound));
    world.advance(millis(3_900));
    assert_eq!(world.reply(alice, carol), None);
    world.advance(millis(100));
    assert_eq!(refusal(&world, alice, carol), Some(ErrorKind::Timeout));
}

/// A read is asked again by the client, wherever its session goes on.
#[test]
fn who_asked_and_moved_is_answered_where_it_is() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.request(bob, set(&[("colour", "blue")]));
    world.stall(1, 0);
    let asked = world.request(alice, get("bob"));
    world.cut(alice);
    let alice = world.resume(2, alice);
    assert_eq!(read(&world, alice, asked), Some(colour()));
}
