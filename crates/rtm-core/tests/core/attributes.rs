//! Attributes of users and of channels.

use std::collections::BTreeMap;

use rtm_codec::{
    Abilities, AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, AttributeKey, CallLimits,
    ChannelAttributeTarget, ChannelAttributes, ClearChannelAttributes, ClearLocalUserAttributes,
    DeleteChannelAttributesByKeys, DeleteLocalUserAttributesByKeys, ErrorKind, Event, GetChannelAttributes,
    GetUserAttributes, JoinChannel, LeaveChannel, Login, Revision, SetChannelAttributes, SetLocalUserAttributes, Text,
};

use crate::harness::*;

fn set(entries: &[(&str, &str)]) -> SetLocalUserAttributes {
    SetLocalUserAttributes { attributes: attributes(entries) }
}

fn add(entries: &[(&str, &str)]) -> AddOrUpdateLocalUserAttributes {
    AddOrUpdateLocalUserAttributes { attributes: attributes(entries) }
}

fn delete(keys: &[&str]) -> DeleteLocalUserAttributesByKeys {
    DeleteLocalUserAttributesByKeys { keys: keys.iter().map(|name| key(name)).collect() }
}

fn get(user: &str) -> GetUserAttributes {
    GetUserAttributes { user_id: uid(user), keys: None }
}

fn target(channel: &str) -> ChannelAttributeTarget {
    ChannelAttributeTarget { channel_id: room(channel), notify: false, expected_revision: None }
}

fn set_channel(entries: &[(&str, &str)]) -> SetChannelAttributes {
    SetChannelAttributes { target: target("r"), attributes: attributes(entries) }
}

fn add_channel(entries: &[(&str, &str)]) -> AddOrUpdateChannelAttributes {
    AddOrUpdateChannelAttributes { target: target("r"), attributes: attributes(entries) }
}

fn get_channel() -> GetChannelAttributes {
    GetChannelAttributes { channel_id: room("r"), keys: None }
}

fn values(all: &ChannelAttributes) -> BTreeMap<AttributeKey, Text> {
    all.attributes.iter().map(|(key, attribute)| (key.clone(), attribute.value.clone())).collect()
}

/// So many attributes of so many bytes each, key and value.
fn sized(count: usize, bytes: usize) -> BTreeMap<AttributeKey, Text> {
    (0..count).map(|n| (key(&format!("{n:04}")), Text::from("x".repeat(bytes - 4)))).collect()
}

#[test]
fn user_attributes_are_set_merged_deleted_and_cleared() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, set(&[("name", "Ann"), ("mood", "good")])).unwrap();
    world.call(alice, add(&[("mood", "better"), ("city", "北京")])).unwrap();
    let all = attributes(&[("name", "Ann"), ("mood", "better"), ("city", "北京")]);
    assert_eq!(world.call(bob, get("alice")).unwrap(), all);
    world.call(alice, delete(&["mood", "unknown"])).unwrap();
    assert_eq!(world.call(bob, get("alice")).unwrap(), attributes(&[("name", "Ann"), ("city", "北京")]));
    world.call(alice, set(&[("only", "this")])).unwrap();
    assert_eq!(world.call(bob, get("alice")).unwrap(), attributes(&[("only", "this")]));
    world.call(alice, ClearLocalUserAttributes {}).unwrap();
    assert_eq!(world.call(bob, get("alice")).unwrap(), BTreeMap::new());
}

#[test]
fn reading_by_key_leaves_out_what_is_not_there() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set(&[("a", "1"), ("b", "2")])).unwrap();
    let by_keys = GetUserAttributes { user_id: uid("alice"), keys: Some(vec![key("b"), key("c")]) };
    assert_eq!(world.call(alice, by_keys).unwrap(), attributes(&[("b", "2")]));
}

#[test]
fn attributes_of_a_user_that_is_not_there_cannot_be_read() {
    let mut world = World::new();
    let alice = world.login("alice");
    assert_eq!(world.call(alice, get("nobody")).unwrap_err().kind, ErrorKind::UserNotFound);
}

#[test]
fn user_attributes_live_as_long_as_the_user_is_there() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, set(&[("a", "1")])).unwrap();
    world.cut(alice);
    world.advance(millis(29_999));
    assert_eq!(world.call(bob, get("alice")).unwrap(), attributes(&[("a", "1")]), "in the grace");
    world.advance(millis(1));
    assert_eq!(world.call(bob, get("alice")).unwrap_err().kind, ErrorKind::UserNotFound);
    let again = world.resume(alice);
    assert_eq!(world.call(bob, get("alice")).unwrap(), BTreeMap::new());
    world.call(again, set(&[("a", "1")])).unwrap();
    world.logout(again);
    world.login("alice");
    assert_eq!(world.call(bob, get("alice")).unwrap(), BTreeMap::new());
}

#[test]
fn there_are_32_user_attributes_and_not_33() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, SetLocalUserAttributes { attributes: sized(32, 10) }).unwrap();
    assert_eq!(world.call(alice, add(&[("one-more", "x")])).unwrap_err().kind, ErrorKind::SizeOverflow);
    world.call(alice, add(&[("0000", "changed")])).unwrap();
    assert_eq!(world.call(alice, get("alice")).unwrap().len(), 32);
    let too_many = SetLocalUserAttributes { attributes: sized(33, 10) };
    assert_eq!(world.call(alice, too_many).unwrap_err().kind, ErrorKind::SizeOverflow);
}

#[test]
fn user_attributes_have_16_kib_in_all_and_8_kib_each() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, SetLocalUserAttributes { attributes: sized(4, 4096) }).unwrap();
    assert_eq!(world.call(alice, add(&[("x", "y")])).unwrap_err().kind, ErrorKind::SizeOverflow);
    assert_eq!(world.call(alice, get("alice")).unwrap(), sized(4, 4096), "a refused write changes nothing");
    let value = |bytes: usize| SetLocalUserAttributes {
        attributes: BTreeMap::from([(key("k"), Text::from("x".repeat(bytes)))]),
    };
    world.call(alice, value(8192)).unwrap();
    assert_eq!(world.call(alice, value(8193)).unwrap_err().kind, ErrorKind::SizeOverflow);
}

#[test]
fn empty_values_and_calls_that_name_nothing_are_refused() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set(&[("a", "1")])).unwrap();
    assert_eq!(world.call(alice, add(&[("b", "")])).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.call(alice, set(&[("b", "")])).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.call(alice, add(&[])).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.call(alice, delete(&[])).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.call(alice, add_channel(&[])).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(world.call(alice, get("alice")).unwrap(), attributes(&[("a", "1")]));
    // The vendor's wire reads a list of keys that cannot be as one without any.
    let bob = world.login_vendor("bob");
    world.call(bob, delete(&[])).unwrap();
    let of_channel = DeleteChannelAttributesByKeys { target: target("r"), keys: Vec::new() };
    assert_eq!(world.call(alice, of_channel.clone()).unwrap_err().kind, ErrorKind::InvalidArgument);
    world.call(bob, of_channel).unwrap();
    // An empty set clears.
    world.call(alice, set(&[])).unwrap();
    assert_eq!(world.call(alice, get("alice")).unwrap(), BTreeMap::new());
}

#[test]
fn what_a_returning_vendor_client_sends_by_itself_does_not_wipe_its_attributes() {
    let mut world = World::new();
    for echo in [&[("b", "2")][..], &[]] {
        let alice = world.login_vendor("alice");
        world.call(alice, set(&[("a", "1")])).unwrap();
        world.call(alice, add(&[("b", "2")])).unwrap();
        world.cut(alice);
        let again = world.login_vendor("alice");
        world.call(again, set(echo)).unwrap();
        assert_eq!(world.call(again, get("alice")).unwrap(), attributes(&[("a", "1"), ("b", "2")]));
        // Only the first one after the return is taken for an echo.
        world.call(again, set(echo)).unwrap();
        assert_eq!(world.call(again, get("alice")).unwrap(), attributes(echo));
        world.logout(again);
    }
}

#[test]
fn a_client_that_sends_all_of_its_attributes_again_is_taken_at_its_word() {
    let mut config = config();
    config.limits = CallLimits::default();
    let mut world = World::with(config);
    let login = || {
        let login = vendor_login_of("alice");
        Login { abilities: Abilities { repeats_attributes: false, ..login.abilities }, ..login }
    };
    let alice = world.login_with(login());
    for _ in 0..10 {
        world.call(alice, set(&[("a", "1"), ("b", "2")])).unwrap();
    }
    world.cut(alice);
    let again = world.login_again(alice, login());
    // That it does so by itself does not count.
    world.call(again, set(&[])).unwrap();
    assert_eq!(world.call(again, get("alice")).unwrap(), BTreeMap::new());
    assert_eq!(world.call(again, set(&[])).unwrap_err().kind, ErrorKind::TooOften);
}

#[test]
fn what_says_something_new_is_no_echo() {
    let mut world = World::new();
    let alice = world.login_vendor("alice");
    world.call(alice, set(&[("a", "1"), ("b", "2")])).unwrap();
    world.cut(alice);
    let again = world.login_vendor("alice");
    world.call(again, set(&[("a", "other")])).unwrap();
    assert_eq!(world.call(again, get("alice")).unwrap(), attributes(&[("a", "other")]));
}

#[test]
fn a_native_clients_set_is_never_an_echo_and_a_project_can_say_so_for_all() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set(&[("a", "1"), ("b", "2")])).unwrap();
    world.cut(alice);
    let again = world.resume(alice);
    world.call(again, set(&[("a", "1")])).unwrap();
    assert_eq!(world.call(again, get("alice")).unwrap(), attributes(&[("a", "1")]));

    let mut config = config();
    config.settings.keep_attributes_on_return = false;
    let mut world = World::with(config);
    let alice = world.login_vendor("alice");
    world.call(alice, set(&[("a", "1"), ("b", "2")])).unwrap();
    world.cut(alice);
    let again = world.login_vendor("alice");
    world.call(again, set(&[("a", "1")])).unwrap();
    assert_eq!(world.call(again, get("alice")).unwrap(), attributes(&[("a", "1")]));
}

#[test]
fn channel_attributes_tell_who_wrote_and_when() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    assert_eq!(world.call(alice, set_channel(&[("topic", "news")])).unwrap(), Revision(1));
    world.advance(secs(1));
    assert_eq!(world.call(bob, add_channel(&[("level", "3")])).unwrap(), Revision(2));
    let all = world.call(alice, get_channel()).unwrap();
    assert_eq!(all.revision, Revision(2));
    assert_eq!(values(&all), attributes(&[("topic", "news"), ("level", "3")]));
    let (topic, level) = (&all.attributes[&key("topic")], &all.attributes[&key("level")]);
    assert_eq!((&topic.last_update_user_id, topic.last_update_ts), (&uid("alice"), START_MS));
    assert_eq!((&level.last_update_user_id, level.last_update_ts), (&uid("bob"), START_MS + 1000));
    let by_keys = GetChannelAttributes { channel_id: room("r"), keys: Some(vec![key("level"), key("none")]) };
    assert_eq!(values(&world.call(alice, by_keys).unwrap()), attributes(&[("level", "3")]));
}

#[test]
fn channel_attributes_are_deleted_and_cleared() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set_channel(&[("a", "1"), ("b", "2")])).unwrap();
    let delete = DeleteChannelAttributesByKeys { target: target("r"), keys: vec![key("a"), key("unknown")] };
    assert_eq!(world.call(alice, delete).unwrap(), Revision(2));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()), attributes(&[("b", "2")]));
    let clear = ClearChannelAttributes { target: target("r") };
    assert_eq!(world.call(alice, clear).unwrap(), Revision(3));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()), BTreeMap::new());
    let elsewhere = GetChannelAttributes { channel_id: room("elsewhere"), keys: None };
    assert_eq!(world.call(alice, elsewhere).unwrap(), ChannelAttributes::default());
}

#[test]
fn a_write_for_another_revision_changes_nothing() {
    let mut world = World::new();
    let alice = world.login("alice");
    let at = |revision, value| SetChannelAttributes {
        target: ChannelAttributeTarget { expected_revision: Some(Revision(revision)), ..target("r") },
        ..set_channel(&[("a", value)])
    };
    assert_eq!(world.call(alice, at(1, "x")).unwrap_err().kind, ErrorKind::RevisionConflict);
    assert_eq!(world.call(alice, at(0, "first")).unwrap(), Revision(1));
    assert_eq!(world.call(alice, at(0, "lost")).unwrap_err().kind, ErrorKind::RevisionConflict);
    assert_eq!(world.call(alice, at(1, "second")).unwrap(), Revision(2));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()), attributes(&[("a", "second")]));
}

/// A write that expects a revision.
fn set_at(revision: u64, value: &str) -> SetChannelAttributes {
    SetChannelAttributes {
        target: ChannelAttributeTarget { expected_revision: Some(Revision(revision)), notify: true, ..target("r") },
        ..set_channel(&[("a", value)])
    }
}

#[test]
fn a_write_that_the_store_refuses_changes_nothing_that_anybody_can_see() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(bob, JoinChannel { channel_id: room("r") }).unwrap();
    for (revision, before) in [(0, None), (1, Some("1"))] {
        if before.is_some() {
            world.call(alice, set_at(0, "1")).unwrap();
        }
        world.events(bob);
        world.store.is_broken = true;
        assert_eq!(world.call(alice, set_at(revision, "refused")).unwrap_err().kind, ErrorKind::Failure);
        world.store.is_broken = false;
        let all = world.call(bob, get_channel()).unwrap();
        assert_eq!(all.revision, Revision(revision));
        assert_eq!(all.attributes.get(&key("a")).map(|attribute| &*attribute.value), before);
        assert_eq!(world.events(bob), []);
    }
    let mut world = world.restart(config());
    let alice = world.login("alice");
    assert_eq!(world.call(alice, get_channel()).unwrap().revision, Revision(1));
}

#[test]
fn nobody_sees_a_write_before_the_store_has_it() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(bob, JoinChannel { channel_id: room("r") }).unwrap();
    world.events(bob);
    world.store.is_held = true;
    let write = world.request(alice, set_at(0, "1"));
    assert_eq!(world.call(bob, get_channel()).unwrap(), ChannelAttributes::default());
    assert_eq!((world.events(bob), world.reply(alice, write)), (vec![], None));
    world.store.is_held = false;
    world.pump();
    assert!(world.reply(alice, write).unwrap().is_ok());
    assert_eq!(names(&world.events(bob)), ["AttributesUpdated"]);
    assert_eq!(world.call(bob, get_channel()).unwrap().revision, Revision(1));
}

#[test]
fn writes_to_a_channel_take_turns_and_each_sees_what_became_of_the_one_before() {
    let mut world = World::new();
    let clients = ["alice", "bob", "carol"].map(|user| world.login(user));
    world.store.is_held = true;
    let writes = clients.map(|client| world.request(client, set_at(0, "1")));
    let elsewhere = SetChannelAttributes { target: target("other"), attributes: attributes(&[("a", "1")]) };
    let elsewhere = world.request(clients[2], elsewhere);
    world.store.is_held = false;
    world.pump();
    let outcomes = [0, 1, 2].map(|n| world.reply(clients[n], writes[n]).unwrap().map_err(|refusal| refusal.kind));
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1..], [Err(ErrorKind::RevisionConflict), Err(ErrorKind::RevisionConflict)]);
    assert!(world.reply(clients[2], elsewhere).unwrap().is_ok());
    // The first fails: the second is the first.
    world.store.is_held = true;
    let writes = [0, 1].map(|n| world.request(clients[n], set_at(1, "2")));
    world.store.is_broken = true;
    world.store.is_held = false;
    for done in world.store.finish() {
        world.core.handle_stored(world.now, done);
    }
    world.store.is_broken = false;
    world.pump();
    assert_eq!(world.reply(clients[0], writes[0]).unwrap().unwrap_err().kind, ErrorKind::Failure);
    assert!(world.reply(clients[1], writes[1]).unwrap().is_ok());
    assert_eq!(world.call(clients[0], get_channel()).unwrap().revision, Revision(2));
}

#[test]
fn a_forgotten_channel_goes_on_from_a_revision_that_it_never_had() {
    for restarts in [false, true] {
        let mut world = World::new();
        let alice = world.login("alice");
        for n in 0..5 {
            assert_eq!(world.call(alice, set_at(n, "1")).unwrap(), Revision(n + 1));
        }
        world.advance(secs(301));
        assert_eq!(world.store.stats().channels, 0);
        let mut world = if restarts { world.restart(config()) } else { world };
        let alice = if restarts { world.login("alice") } else { alice };
        let all = world.call(alice, get_channel()).unwrap();
        assert_eq!((all.attributes.len(), all.revision), (0, Revision(5)), "it does not fall");
        for stale in 0..5 {
            let kind = world.call(alice, set_at(stale, "stale")).unwrap_err().kind;
            assert_eq!(kind, ErrorKind::RevisionConflict, "{stale}");
        }
        assert_eq!(world.call(alice, set_at(5, "new")).unwrap(), Revision(6));
        for stale in 0..6 {
            assert!(world.call(alice, set_at(stale, "stale")).is_err(), "{stale}");
        }
    }
}

#[test]
fn a_channel_is_not_forgotten_by_the_store_before_its_revision_is_remembered() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set_at(0, "1")).unwrap();
    world.store.is_broken = true;
    world.advance(secs(301));
    assert_eq!(world.call(alice, get_channel()).unwrap().revision, Revision(1));
    world.store.is_broken = false;
    assert_eq!(world.store.stats().channels, 1);
    // It is written to meanwhile, and must not go with the old ones.
    world.call(alice, set_at(1, "2")).unwrap();
    world.call(alice, SetChannelAttributes { target: target("other"), attributes: attributes(&[("a", "1")]) }).unwrap();
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.advance(secs(301));
    assert_eq!(world.store.stats().channels, 1, "the other one went");
    assert_eq!(world.call(alice, get_channel()).unwrap().revision, Revision(2));
}

#[test]
fn members_and_the_writer_are_told_if_it_is_asked_for() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let outside = world.login("outside");
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.advance(secs(2));
    for client in [alice, bob] {
        world.events(client);
    }
    world.call(alice, set_channel(&[("a", "1")])).unwrap();
    assert_eq!(world.events(bob), []);
    let loud = AddOrUpdateChannelAttributes {
        target: ChannelAttributeTarget { notify: true, ..target("r") },
        ..add_channel(&[("b", "2")])
    };
    world.call(alice, loud.clone()).unwrap();
    for client in [alice, bob] {
        let events = world.events(client);
        let [Event::AttributesUpdated { channel_id, attributes: all }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(channel_id, &room("r"));
        assert_eq!(values(all), attributes(&[("a", "1"), ("b", "2")]));
        assert_eq!(all.revision, Revision(2));
    }
    // Who is not in the channel may write too, and a write that changes nothing is told as well.
    world.call(outside, loud).unwrap();
    assert_eq!(names(&world.events(bob)), ["AttributesUpdated"]);
    assert_eq!(world.events(outside), []);
}

#[test]
fn a_member_that_is_away_gets_the_last_set_only() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.events(alice);
    world.cut(alice);
    for value in ["1", "2", "3"] {
        let loud = SetChannelAttributes {
            target: ChannelAttributeTarget { notify: true, ..target("r") },
            ..set_channel(&[("a", value)])
        };
        world.call(bob, loud).unwrap();
    }
    let again = world.resume(alice);
    let events = world.events(again);
    let [Event::AttributesUpdated { attributes: all, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(values(all), attributes(&[("a", "3")]));
}

#[test]
fn there_are_32_channel_attributes_of_32_kib_in_all() {
    let mut world = World::new();
    let alice = world.login("alice");
    let write = |attributes| SetChannelAttributes { attributes, ..set_channel(&[]) };
    world.call(alice, write(sized(32, 1024))).unwrap();
    for refused in [write(sized(33, 10)), write(sized(31, 1058)), write(sized(1, 4 + 8193))] {
        assert_eq!(world.call(alice, refused).unwrap_err().kind, ErrorKind::SizeOverflow);
    }
    let refused = world.call(alice, add_channel(&[("more", "x")])).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::SizeOverflow);
    let all = world.call(alice, get_channel()).unwrap();
    assert_eq!((values(&all), all.revision), (sized(32, 1024), Revision(1)), "a refused write changes nothing");
}

#[test]
fn attributes_of_an_empty_channel_go_after_5_minutes() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.call(alice, set_channel(&[("a", "1")])).unwrap();
    world.advance(secs(600));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()).len(), 1, "a channel with a member keeps them");
    world.call(alice, LeaveChannel { channel_id: room("r") }).unwrap();
    world.advance(millis(299_999));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()).len(), 1);
    world.advance(millis(1));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()), BTreeMap::new());
    assert_eq!(world.store.stats().channels, 0);
    assert_eq!(world.core.stats().channels, 0);
}

#[test]
fn a_member_in_time_saves_the_attributes() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set_channel(&[("a", "1")])).unwrap();
    world.advance(secs(299));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.advance(secs(10));
    world.call(alice, LeaveChannel { channel_id: room("r") }).unwrap();
    world.advance(secs(299));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()).len(), 1);
    world.advance(secs(1));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()).len(), 0);
}

#[test]
fn a_write_to_an_empty_channel_counts_as_life() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set_channel(&[("a", "1")])).unwrap();
    world.advance(secs(299));
    world.call(alice, add_channel(&[("b", "2")])).unwrap();
    world.advance(secs(299));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()).len(), 2);
    world.advance(secs(1));
    assert_eq!(values(&world.call(alice, get_channel()).unwrap()).len(), 0);
}

#[test]
fn a_write_is_answered_when_the_store_has_it() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.hold_store();
    let id = world.request(alice, set_channel(&[("a", "1")]));
    assert_eq!(world.reply(alice, id), None);
    world.release_store();
    assert!(world.reply(alice, id).unwrap().is_ok());
    world.store.is_broken = true;
    assert_eq!(world.call(alice, set_channel(&[("a", "2")])).unwrap_err().kind, ErrorKind::Failure);
}

#[test]
fn channel_attributes_outlive_the_server() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, set_channel(&[("a", "1")])).unwrap();
    let mut world = world.restart(config());
    let alice = world.login("alice");
    let all = world.call(alice, get_channel()).unwrap();
    assert_eq!((values(&all), all.revision), (attributes(&[("a", "1")]), Revision(1)));
    world.advance(secs(300));
    assert_eq!(world.store.stats().channels, 0);
}

#[test]
fn a_project_holds_only_so_many_channel_attributes() {
    let mut config = config();
    config.settings.channel_attributes_bytes = 1000;
    let mut world = World::with(config);
    let alice = world.login("alice");
    let write = |channel: &str, bytes| SetChannelAttributes { target: target(channel), attributes: sized(1, bytes) };
    world.call(alice, write("a", 600)).unwrap();
    world.call(alice, write("b", 400)).unwrap();
    assert_eq!(world.call(alice, write("c", 5)).unwrap_err().kind, ErrorKind::Failure);
    world.call(alice, write("a", 500)).unwrap();
    world.call(alice, write("c", 100)).unwrap();
    world.advance(secs(300));
    world.call(alice, write("d", 1000)).unwrap();
}
