//! Channels: members, messages, and what members are told.

use rtm_codec::{
    ErrorKind, Event, GetChannelMemberCount, GetMembers, JoinChannel, LeaveChannel, MessageId, RtmMessage,
    SendChannelMessage,
};

use crate::harness::*;

fn join(id: &str) -> JoinChannel {
    JoinChannel { channel_id: room(id) }
}

fn leave(id: &str) -> LeaveChannel {
    LeaveChannel { channel_id: room(id) }
}

fn say(id: u64, channel: &str, text: &str) -> SendChannelMessage {
    SendChannelMessage {
        message_id: MessageId(id),
        channel_id: room(channel),
        message: text.into(),
        enable_historical_messaging: false,
    }
}

fn joined(member: &str, count: u32) -> Event {
    Event::MemberJoined { channel_id: room("r"), member_id: uid(member), member_count: count }
}

fn left(member: &str, count: u32) -> Event {
    Event::MemberLeft { channel_id: room("r"), member_id: uid(member), member_count: count }
}

fn count(count: u32) -> Event {
    Event::MemberCountUpdated { channel_id: room("r"), member_count: count }
}

/// A room with so many members, named m0, m1, and so on. Nothing is left to be told.
fn filled(world: &mut World, members: usize) -> Vec<C> {
    let clients: Vec<C> = (0..members).map(|n| world.login(&format!("m{n}"))).collect();
    for client in &clients {
        world.call(*client, join("r")).unwrap();
    }
    world.advance(secs(4));
    clients.iter().for_each(|client| drop(world.events(*client)));
    clients
}

#[test]
fn a_joiner_is_told_the_count_after_its_answer_and_not_of_itself() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, join("r")).unwrap();
    assert_eq!(world.log(alice)[1..], ["Reply 1", "MemberCountUpdated"]);
    assert_eq!(world.events(alice), [count(1)]);
}

#[test]
fn members_are_told_who_joins_and_leaves() {
    let mut world = World::new();
    let alice = filled(&mut world, 1)[0];
    let bob = world.login("bob");
    world.call(bob, join("r")).unwrap();
    assert_eq!(world.events(alice), [joined("bob", 2), count(2)]);
    world.call(bob, leave("r")).unwrap();
    assert_eq!(world.events(alice), [left("bob", 1)]);
    world.advance(secs(1));
    assert_eq!(world.events(alice), [count(1)]);
    assert_eq!(world.events(bob), [count(2)]);
}

#[test]
fn a_member_that_joins_again_stays_one() {
    let mut world = World::new();
    let clients = filled(&mut world, 2);
    world.call(clients[1], join("r")).unwrap();
    assert_eq!(world.events(clients[1]), [count(2)]);
    world.advance(secs(2));
    assert_eq!(world.events(clients[0]), []);
    assert_eq!(world.call(clients[0], GetMembers { channel_id: room("r") }).unwrap().len(), 2);
}

#[test]
fn a_client_is_in_20_channels_and_not_in_21() {
    let mut world = World::new();
    let alice = world.login("alice");
    for n in 0..20 {
        world.call(alice, join(&format!("r{n}"))).unwrap();
    }
    assert_eq!(world.call(alice, join("r20")).unwrap_err().kind, ErrorKind::ExceedLimit);
    world.call(alice, join("r7")).unwrap();
    world.call(alice, leave("r7")).unwrap();
    world.call(alice, join("r20")).unwrap();
}

#[test]
fn only_a_member_leaves_lists_and_sends() {
    let mut world = World::new();
    let alice = world.login("alice");
    filled(&mut world, 1);
    assert_eq!(world.call(alice, leave("r")).unwrap_err().kind, ErrorKind::NotInChannel);
    assert_eq!(world.call(alice, GetMembers { channel_id: room("r") }).unwrap_err().kind, ErrorKind::NotInChannel);
    assert_eq!(world.call(alice, say(1, "r", "hi")).unwrap_err().kind, ErrorKind::NotInChannel);
    assert_eq!(world.call(alice, say(1, "nowhere", "hi")).unwrap_err().kind, ErrorKind::NotInChannel);
}

#[test]
fn a_message_reaches_every_other_member() {
    let mut world = World::new();
    let clients = filled(&mut world, 3);
    let outside = world.login("outside");
    world.call(clients[0], say(9, "r", "hello")).unwrap();
    for member in &clients[1..] {
        let events = world.events(*member);
        let [Event::ChannelMessage { channel_id, message_id, member_id, message, server_received_ts }] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!((channel_id, message_id, member_id), (&room("r"), &MessageId(9), &uid("m0")));
        assert_eq!(message, &RtmMessage::text("hello"));
        assert_eq!(*server_received_ts, world.now.unix_ms);
    }
    assert_eq!(world.events(clients[0]), []);
    assert_eq!(world.events(outside), []);
}

#[test]
fn messages_of_one_sender_keep_their_order() {
    let mut world = World::new();
    let clients = filled(&mut world, 2);
    let texts: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    for (id, text) in (1..).zip(&texts) {
        world.call(clients[0], say(id, "r", text)).unwrap();
    }
    assert_eq!(world.texts(clients[1]), texts);
}

#[test]
fn a_repeated_message_is_delivered_once() {
    let mut world = World::new();
    let clients = filled(&mut world, 2);
    for _ in 0..2 {
        world.call(clients[0], say(1, "r", "once")).unwrap();
    }
    assert_eq!(world.texts(clients[1]), ["once"]);
    // The numbers of messages to users are others.
    world.call(clients[0], to_peer(1, "m1", "another")).unwrap();
    assert_eq!(world.texts(clients[1]), ["another"]);
}

#[test]
fn an_empty_message_and_one_of_more_than_32_kib_are_refused() {
    let mut world = World::new();
    let clients = filled(&mut world, 2);
    let long = "x".repeat(32 * 1024 + 1);
    for text in ["", &long] {
        assert_eq!(world.call(clients[0], say(1, "r", text)).unwrap_err().kind, ErrorKind::InvalidMessage);
    }
    world.call(clients[0], say(1, "r", &long[1..])).unwrap();
}

#[test]
fn a_binary_message_passes_by_vendor_clients() {
    let mut world = World::new();
    let clients = filled(&mut world, 2);
    let vendor = world.login_vendor("vendor");
    world.call(vendor, join("r")).unwrap();
    world.events(vendor);
    let binary = SendChannelMessage { message: RtmMessage::binary(vec![7]), ..say(1, "r", "") };
    world.call(clients[0], binary).unwrap();
    world.call(clients[0], say(2, "r", "text")).unwrap();
    assert_eq!(world.texts(vendor), ["text"]);
    assert_eq!(names(&world.events(clients[1])).iter().filter(|name| *name == "ChannelMessage").count(), 2);
}

#[test]
fn a_member_that_logs_out_leaves_all_its_channels() {
    let mut world = World::new();
    let clients = filled(&mut world, 2);
    world.call(clients[1], join("other")).unwrap();
    world.logout(clients[1]);
    assert_eq!(world.events(clients[0]), [left("m1", 1), count(1)]);
    let counts = GetChannelMemberCount { channel_ids: vec![room("r"), room("other")] };
    let counts = world.call(clients[0], counts).unwrap();
    assert_eq!((counts[&room("r")], counts[&room("other")]), (1, 0));
}

#[test]
fn the_count_is_told_at_most_once_a_second_and_the_last_one_always() {
    let mut world = World::new();
    let alice = filled(&mut world, 1)[0];
    let (bob, carol) = (world.login("bob"), world.login("carol"));
    world.call(bob, join("r")).unwrap();
    world.call(carol, join("r")).unwrap();
    world.call(bob, leave("r")).unwrap();
    let counts = |events: Vec<Event>| -> Vec<Event> {
        events.into_iter().filter(|event| matches!(event, Event::MemberCountUpdated { .. })).collect()
    };
    assert_eq!(counts(world.events(alice)), [count(2)], "at once, when it was quiet");
    world.advance(millis(999));
    assert_eq!(counts(world.events(alice)), []);
    world.call(carol, leave("r")).unwrap();
    world.advance(millis(1));
    assert_eq!(counts(world.events(alice)), [count(1)]);
    world.advance(secs(5));
    assert_eq!(counts(world.events(alice)), []);
}

#[test]
fn a_member_is_not_told_a_count_that_it_knows() {
    let mut world = World::new();
    let alice = filled(&mut world, 1)[0];
    world.login("other");
    let (bob, carol) = (world.login("bob"), world.login("carol"));
    world.call(bob, join("r")).unwrap();
    world.call(carol, join("r")).unwrap();
    world.events(alice);
    assert_eq!(world.events(carol), [count(3)]);
    world.advance(secs(2));
    assert_eq!(world.events(carol), []);
    assert_eq!(world.events(alice), [count(3)]);
}

#[test]
fn up_to_512_members_joining_and_leaving_is_told_and_above_it_is_not() {
    let mut world = World::new();
    let clients = filled(&mut world, 511);
    let watcher = clients[0];
    let (last, over) = (world.login("last"), world.login("over"));
    world.call(last, join("r")).unwrap();
    assert!(world.events(watcher).contains(&joined("last", 512)));
    world.call(over, join("r")).unwrap();
    assert_eq!(world.events(watcher), []);
    // From 513 to 512: told again.
    world.call(over, leave("r")).unwrap();
    assert_eq!(world.events(watcher), [left("over", 512)]);
    world.call(over, join("r")).unwrap();
    let more = world.login("more");
    world.call(more, join("r")).unwrap();
    world.advance(secs(4));
    world.events(watcher);
    // From 514 to 513: still not.
    world.call(more, leave("r")).unwrap();
    world.advance(secs(4));
    assert_eq!(names(&world.events(watcher)), ["MemberCountUpdated"]);
}

#[test]
fn above_512_members_the_count_is_told_every_3_s() {
    let mut world = World::new();
    let clients = filled(&mut world, 513);
    let watcher = clients[0];
    let (one, two) = (world.login("one"), world.login("two"));
    world.call(one, join("r")).unwrap();
    assert_eq!(world.events(watcher), [count(514)]);
    world.call(two, join("r")).unwrap();
    world.advance(millis(2_999));
    assert_eq!(world.events(watcher), []);
    world.advance(millis(1));
    assert_eq!(world.events(watcher), [count(515)]);
}

#[test]
fn a_list_has_all_members_up_to_512() {
    let mut world = World::new();
    let clients = filled(&mut world, 512);
    let list = GetMembers { channel_id: room("r") };
    let members = world.call(clients[3], list.clone()).unwrap();
    assert_eq!(members.len(), 512);
    assert!(members.contains(&uid("m3")), "oneself too");
    let over = world.login("over");
    world.call(over, join("r")).unwrap();
    assert_eq!(world.call(over, list).unwrap().len(), 512);
}

#[test]
fn counts_are_given_to_anyone_for_32_channels_and_not_for_33() {
    let mut world = World::new();
    filled(&mut world, 2);
    let outside = world.login("outside");
    let ids = |count: usize| -> Vec<_> { (0..count).map(|n| room(&format!("c{n}"))).collect() };
    let mut some = ids(31);
    some.push(room("r"));
    let counts = world.call(outside, GetChannelMemberCount { channel_ids: some }).unwrap();
    assert_eq!(counts.len(), 32);
    assert_eq!((counts[&room("r")], counts[&room("c0")]), (2, 0));
    let refusal = world.call(outside, GetChannelMemberCount { channel_ids: ids(33) }).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::ExceedLimit);
    let refusal = world.call(outside, GetChannelMemberCount { channel_ids: Vec::new() }).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
}

#[test]
fn an_empty_channel_takes_no_memory() {
    let mut world = World::new();
    let alice = world.login("alice");
    for n in 0..100 {
        world.call(alice, join(&format!("r{n}"))).unwrap();
        world.call(alice, leave(&format!("r{n}"))).unwrap();
    }
    assert_eq!(world.core.stats().channels, 0);
}

#[test]
fn joined_comes_before_the_first_message_and_left_after_the_last() {
    let mut world = World::new();
    let alice = filled(&mut world, 1)[0];
    let bob = world.login("bob");
    world.call(bob, join("r")).unwrap();
    world.call(bob, say(1, "r", "hi")).unwrap();
    world.call(bob, leave("r")).unwrap();
    let names: Vec<String> =
        names(&world.events(alice)).into_iter().filter(|name| name != "MemberCountUpdated").collect();
    assert_eq!(names, ["MemberJoined", "ChannelMessage", "MemberLeft"]);
}

#[test]
fn one_client_in_two_channels_gets_each_message_in_its_own() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        for id in ["one", "two"] {
            world.call(client, join(id)).unwrap();
        }
    }
    world.events(alice);
    world.call(bob, say(1, "one", "1")).unwrap();
    world.call(bob, say(2, "two", "2")).unwrap();
    let got: Vec<_> = world
        .events(alice)
        .into_iter()
        .filter_map(|event| match event {
            Event::ChannelMessage { channel_id, message, .. } => {
                Some((channel_id.to_string(), message.as_text().unwrap().to_owned()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(got, [("one".to_owned(), "1".to_owned()), ("two".to_owned(), "2".to_owned())]);
}
