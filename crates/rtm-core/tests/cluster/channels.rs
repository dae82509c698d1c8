//! Channels with members on several nodes.

use rtm_codec::{
    AddOrUpdateChannelAttributes, Answer, ChannelAttributeTarget, ErrorKind, Event, GetChannelAttributes, Login,
    Revision, SendChannelMessage, Wire,
};

use crate::harness::*;

fn say(world: &mut World, client: C, channel: &str, text: &str) -> rtm_codec::RequestId {
    let id = 1_000_000 + u64::try_from(text.len()).unwrap() * 1_000 + text.bytes().map(u64::from).sum::<u64>();
    world.request(client, to_channel(id, channel, text))
}

#[test]
fn a_message_goes_to_the_members_on_all_nodes_once() {
    for home in 0..3 {
        let mut world = World::new(3);
        world.pump();
        let channel = world.channel_at(home);
        let all = ["alice", "bob", "carol", "dave"].map(|user| {
            let client = world.login(user.len() % 3, user);
            world.join_channel(client, &channel);
            client
        });
        let sent = say(&mut world, all[0], &channel, "hello");
        assert_eq!(world.reply(all[0], sent), Some(&Ok(Answer::SendChannelMessage(()))));
        assert_eq!(world.heard(all[0]), Vec::<String>::new(), "not to oneself");
        for other in &all[1..] {
            assert_eq!(world.heard(*other), ["hello"]);
        }
    }
}

#[test]
fn a_message_sent_behind_a_join_goes_to_the_members_on_the_channels_home() {
    let mut world = World::new(2);
    world.pump();
    let channel = world.channel_at(0);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.stall(0, 1);
    let joined = world.request(bob, join(&channel));
    let sent = say(&mut world, bob, &channel, "hello");
    assert_eq!(world.reply(bob, sent), None);
    world.unstall();
    assert_eq!(world.reply(bob, joined), Some(&Ok(Answer::JoinChannel(()))));
    assert_eq!(world.reply(bob, sent), Some(&Ok(Answer::SendChannelMessage(()))));
    assert_eq!(world.heard(alice), ["hello"]);
}

#[test]
fn a_node_that_left_a_channel_and_is_back_before_it_hears_of_another_one_keeps_nobody_waiting() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(0);
    let (carol, dave) = (world.login(1, "carol"), world.login(2, "dave"));
    world.join_channel(dave, &channel);
    world.stall(0, 2);
    let joined = world.request(carol, join(&channel));
    assert_eq!(world.reply(carol, joined), None, "dave's node does not know that she is there");
    world.leave(dave, &channel);
    let again = world.request(dave, join(&channel));
    world.unstall();
    for (client, joined) in [(carol, joined), (dave, again)] {
        assert_eq!(world.reply(client, joined), Some(&Ok(Answer::JoinChannel(()))));
        assert_eq!(world.members(client, &channel), ["carol", "dave"]);
    }
}

#[test]
fn a_user_that_is_about_to_be_a_member_is_one_still_when_another_has_left() {
    for stays in [true, false] {
        let mut world = World::new(2);
        world.pump();
        let channel = world.channel_at(0);
        let (alice, bob, erin) = (world.login(0, "alice"), world.login(1, "bob"), world.login(1, "erin"));
        world.join_channel(alice, &channel);
        world.stall(0, 1);
        world.request(bob, join(&channel));
        let joined = world.request(erin, join(&channel));
        world.leave(bob, &channel);
        if !stays {
            world.leave(erin, &channel);
        }
        world.unstall();
        world.advance(secs(2));
        assert_eq!(world.reply(erin, joined), Some(&Ok(Answer::JoinChannel(()))));
        let members: &[&str] = if stays { &["alice", "erin"] } else { &["alice"] };
        assert_eq!(world.members(alice, &channel), members);
    }
}

#[test]
fn a_member_that_moves_while_its_channel_gets_another_home_counts_once() {
    let mut tried = 0;
    for at in 0..12 {
        let mut world = World::new(4);
        world.pump();
        let names = (0..).map(|number| format!("channel-{number}"));
        let channel = names.filter(|name| world.home_of(name) == 2).nth(at).unwrap();
        let (alice, carol, dave) = (world.login(0, "alice"), world.login(0, "carol"), world.login(3, "dave"));
        world.join_channel(alice, &channel);
        world.join_channel(carol, &channel);
        // The next home asks where she comes to after she has.
        world.stall(3, 1);
        world.kill(2);
        if world.home_of(&channel) != 3 {
            continue;
        }
        tried += 1;
        world.cut(carol);
        let carol = world.resume(1, carol);
        world.unstall();
        world.advance(secs(2));
        assert_eq!(world.count(dave, &channel), 2);
        for client in [alice, carol] {
            assert_eq!(world.members(client, &channel), ["alice", "carol"]);
        }
    }
    assert!(tried > 0);
}

#[test]
fn a_member_that_moves_while_another_joins_counts_once() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(1, "alice"), world.login(0, "bob"), world.login(0, "carol"));
    let (dave, erin) = (world.login(2, "dave"), world.login(0, "erin"));
    for client in [alice, bob, carol] {
        world.join_channel(client, &channel);
    }
    // Where she was does not hear yet that she counts elsewhere.
    world.stall(2, 0);
    world.cut(carol);
    world.resume(1, carol);
    world.join_channel(erin, &channel);
    world.unstall();
    world.advance(secs(2));
    assert_eq!(world.count(dave, &channel), 4);
    assert_eq!(world.members(bob, &channel), ["alice", "bob", "carol", "erin"]);
    for client in [alice, bob, erin] {
        assert_eq!(last_count(&mut world, client), Some(4));
    }
}

#[test]
fn a_member_that_moves_counts_once_where_its_node_said_something_before() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, dave) = (world.login(0, "alice"), world.login(0, "bob"), world.login(2, "dave"));
    for client in [alice, bob, dave] {
        world.join_channel(client, &channel);
    }
    // The home hears that Alice has moved before it hears that Erin has joined, who joined before.
    world.stall(0, 2);
    let erin = world.login(0, "erin");
    world.join_channel(erin, &channel);
    world.cut(alice);
    let alice = world.resume(1, alice);
    world.unstall();
    world.advance(secs(2));
    for client in [alice, bob, dave, erin] {
        assert_eq!(world.count(client, &channel), 4);
        assert_eq!(last_count(&mut world, client), Some(4));
        assert_eq!(world.members(client, &channel), ["alice", "bob", "dave", "erin"]);
    }
}

#[test]
fn a_client_that_joins_again_is_told_the_count_once_its_new_node_knows_it() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let vendor = || Login { abilities: Wire::Vendor.abilities(), ..login_of("alice") };
    let alice = world.login_with(0, vendor());
    world.join_channel(alice, &channel);
    world.advance(secs(1));
    assert_eq!(last_count(&mut world, alice), Some(1));
    world.cut(alice);
    world.stall(2, 1);
    let alice = world.login_with(1, vendor());
    let joined = world.request(alice, join(&channel));
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.reply(alice, joined), Some(&Ok(Answer::JoinChannel(()))));
    assert_eq!(last_count(&mut world, alice), Some(1));
}

#[test]
fn members_see_each_other_over_nodes() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    assert_eq!(world.comings(alice), ["+bob 2"]);
    assert_eq!(world.comings(bob), Vec::<String>::new());
    assert_eq!(world.members(alice, &channel), ["alice", "bob"]);
    assert_eq!(world.members(bob, &channel), ["alice", "bob"]);
    let carol = world.login(1, "carol");
    world.join_channel(carol, &channel);
    assert_eq!(world.comings(alice), ["+carol 3"]);
    assert_eq!(world.comings(bob), ["+carol 3"]);
    world.leave(bob, &channel);
    assert_eq!(world.comings(alice), ["-bob 2"]);
    assert_eq!(world.comings(carol), ["-bob 2"]);
    world.logout(carol);
    assert_eq!(world.comings(alice), ["-carol 1"]);
    assert_eq!(world.members(alice, &channel), ["alice"]);
}

#[test]
fn a_member_that_moves_gets_what_is_said_before_its_new_node_knows_that_it_is_there() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, carol) = (world.login(0, "alice"), world.login(0, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(carol, &channel);
    world.cut(alice);
    world.engine.is_late = true;
    let alice = world.resume(1, alice);
    assert!(world.welcome(alice).is_none());
    assert_eq!(world.cores[0].node_of(&uid("alice")), Some(&node(1)));
    let sent = say(&mut world, carol, &channel, "hello");
    assert_eq!(world.reply(carol, sent), Some(&Ok(Answer::SendChannelMessage(()))));
    world.answer_late();
    assert_eq!(world.heard(alice), ["hello"]);
}

#[test]
fn nobody_hears_of_a_member_that_moves_while_the_home_of_its_channel_is_lost() {
    for at in 0..4 {
        let mut world = World::new(3);
        world.pump();
        let names = (0..).map(|number| format!("channel-{number}"));
        let channel = names.filter(|name| world.home_of(name) == 2).nth(at).unwrap();
        let (alice, carol) = (world.login(0, "alice"), world.login(0, "carol"));
        world.join_channel(alice, &channel);
        world.join_channel(carol, &channel);
        assert_eq!(world.comings(alice), ["+carol 2"]);
        world.stall(1, 2);
        world.cut(alice);
        let alice = world.resume(1, alice);
        world.kill(2);
        world.unstall();
        world.advance(secs(5));
        assert_eq!(world.comings(carol), Vec::<String>::new());
        assert_eq!(world.comings(alice), Vec::<String>::new());
        assert_eq!(world.members(carol, &channel), ["alice", "carol"]);
    }
}

#[test]
fn counts_are_told_and_answered_over_nodes() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(0);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    assert_eq!(world.count(carol, &channel), 0);
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.advance(secs(2));
    for client in [alice, bob] {
        assert_eq!(last_count(&mut world, client), Some(2));
    }
    for client in [alice, bob, carol] {
        assert_eq!(world.count(client, &channel), 2, "also where nobody is a member");
    }
}

/// A member brings along when a count is due. By then its new node does not know yet who is in the channel.
#[test]
fn a_member_that_moves_is_told_counts_also_where_one_was_due_before_its_new_node_knew_it() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, carol) = (world.login(0, "alice"), world.login(0, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(carol, &channel);
    world.stall(1, 2);
    world.cut(alice);
    let alice = world.resume(1, alice);
    world.advance(secs(2));
    world.unstall();
    world.advance(secs(2));
    assert_eq!(last_count(&mut world, alice), Some(2));
    let bob = world.login(2, "bob");
    world.join_channel(bob, &channel);
    world.advance(secs(2));
    for client in [alice, bob, carol] {
        assert_eq!(last_count(&mut world, client), Some(3));
    }
}

/// The last count that a client was told of since its events were asked for.
fn last_count(world: &mut World, client: C) -> Option<u32> {
    world.events(client).into_iter().rev().find_map(|event| match event {
        Event::MemberCountUpdated { member_count, .. } => Some(member_count),
        _ => None,
    })
}

#[test]
fn without_other_members_nothing_goes_to_other_nodes_but_what_the_home_must_know() {
    let mut world = World::new(2);
    world.pump();
    let channel = world.channel_at(0);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.links.clear();
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    say(&mut world, alice, &channel, "hello");
    assert_eq!(world.heard(bob), ["hello"]);
    assert!(world.links.is_empty(), "{:?}", world.links);
}

#[test]
fn one_parcel_goes_to_each_node_however_many_members_it_has() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(0);
    let alice = world.login(0, "alice");
    world.join_channel(alice, &channel);
    for number in 0..20 {
        let client = world.login(1 + number % 2, &format!("user-{number}"));
        world.join_channel(client, &channel);
    }
    world.links.clear();
    say(&mut world, alice, &channel, "hello");
    let sent: Vec<_> = world.links.iter().map(|(link, count)| (*link, *count)).collect();
    assert_eq!(sent, [((0, 1), 1), ((0, 2), 1)]);
}

/// A member from before the call that is not in the sender's list would miss the message.
#[test]
fn a_join_that_makes_a_holder_is_answered_when_all_others_know() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.stall(2, 0);
    let joining = world.request(bob, join(&channel));
    assert_eq!(world.reply(bob, joining), None, "alice's node has not heard of it");
    world.unstall();
    assert_eq!(world.reply(bob, joining), Some(&Ok(Answer::JoinChannel(()))));
    say(&mut world, alice, &channel, "hello");
    assert_eq!(world.heard(bob), ["hello"]);
}

#[test]
fn a_join_on_a_node_that_has_members_is_answered_at_once() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.join_channel(alice, &channel);
    world.stall(0, 2);
    world.stall(2, 0);
    world.join_channel(bob, &channel);
    assert_eq!(world.comings(alice), ["+bob 2"]);
    world.unstall();
    assert_eq!(world.members(alice, &channel), ["alice", "bob"]);
}

#[test]
fn calls_of_a_member_that_waits_for_its_join_are_done_after_it() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.stall(2, 1);
    let joining = world.request(bob, join(&channel));
    let sent = say(&mut world, bob, &channel, "at once");
    world.unstall();
    assert_eq!(world.reply(bob, joining), Some(&Ok(Answer::JoinChannel(()))));
    assert_eq!(world.reply(bob, sent), Some(&Ok(Answer::SendChannelMessage(()))));
    assert_eq!(world.heard(alice), ["at once"]);
}

#[test]
fn a_member_may_leave_before_its_join_is_answered() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.stall(2, 1);
    let joining = world.request(bob, join(&channel));
    world.leave(bob, &channel);
    assert_eq!(world.reply(bob, joining), Some(&Ok(Answer::JoinChannel(()))));
    world.unstall();
    assert_eq!(world.comings(alice), ["+bob 2", "-bob 1"]);
    assert_eq!(world.members(alice, &channel), ["alice"]);
    world.join_channel(bob, &channel);
    assert_eq!(world.members(bob, &channel), ["alice", "bob"]);
}

/// The sender has its answer, and its node is killed before the message has gone out: nobody would know.
#[test]
fn a_sender_is_answered_when_all_nodes_have_the_message() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    for client in [alice, bob, carol] {
        world.join_channel(client, &channel);
    }
    world.stall(0, 1);
    let sent = say(&mut world, alice, &channel, "hello");
    assert_eq!(world.heard(carol), ["hello"], "nobody waits for a third node");
    assert_eq!(world.reply(alice, sent), None);
    world.unstall();
    assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendChannelMessage(()))));
    assert_eq!(world.heard(bob), ["hello"]);
}

#[test]
fn a_sender_is_answered_when_a_node_that_has_not_the_message_leaves() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.stall(0, 1);
    let sent = say(&mut world, alice, &channel, "hello");
    let again = world.request(alice, to_channel(7, &channel, "again"));
    let repeated = world.request(alice, to_channel(7, &channel, "again"));
    assert_eq!(world.reply(alice, sent), None);
    world.kill(1);
    for id in [sent, again, repeated] {
        assert_eq!(world.reply(alice, id), Some(&Ok(Answer::SendChannelMessage(()))));
    }
}

#[test]
fn members_of_a_node_that_left_have_left() {
    for home in 0..3 {
        let mut world = World::new(3);
        world.pump();
        let channel = world.channel_at(home);
        let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
        for client in [alice, bob, carol] {
            world.join_channel(client, &channel);
        }
        world.comings(alice);
        world.comings(carol);
        world.kill(1);
        assert_eq!(world.comings(alice), ["-bob 2"], "home {home}");
        assert_eq!(world.comings(carol), ["-bob 2"], "home {home}");
        assert_eq!(world.members(alice, &channel), ["alice", "carol"]);
        assert_eq!(world.count(alice, &channel), 2);
        say(&mut world, alice, &channel, "still here");
        assert_eq!(world.heard(carol), ["still here"]);
    }
}

#[test]
fn a_full_box_drops_messages_its_receivers_are_told_and_nobody_waits() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    for client in [alice, bob, carol] {
        world.join_channel(client, &channel);
    }
    say(&mut world, alice, &channel, "one");
    world.fill(0, 1);
    for text in ["two", "three"] {
        let sent = say(&mut world, alice, &channel, text);
        assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendChannelMessage(()))));
    }
    world.empty();
    say(&mut world, alice, &channel, "four");
    assert_eq!(world.heard(carol), ["one", "two", "three", "four"]);
    assert_eq!(world.heard(bob), ["one", "gap Some(2)", "four"]);
}

#[test]
fn what_a_full_box_dropped_is_told_although_no_message_follows() {
    let mut world = World::new(2);
    world.pump();
    let channel = world.channel_at(0);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    say(&mut world, alice, &channel, "one");
    world.fill(0, 1);
    say(&mut world, alice, &channel, "two");
    world.advance(secs(1));
    world.empty();
    world.advance(secs(1));
    assert_eq!(world.heard(bob), ["one", "gap Some(1)"]);
    say(&mut world, alice, &channel, "three");
    assert_eq!(world.heard(bob), ["three"]);
}

#[test]
fn a_message_waits_for_its_senders_join() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(0, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.comings(bob);
    world.stall(2, 1);
    world.join_channel(carol, &channel);
    say(&mut world, carol, &channel, "hello");
    let what = |event: &Event| match event {
        Event::MemberJoined { .. } => Some("joined"),
        Event::ChannelMessage { .. } => Some("said"),
        _ => None,
    };
    assert_eq!(world.events(bob).iter().filter_map(what).count(), 0);
    world.unstall();
    let told: Vec<_> = world.events(bob).iter().filter_map(what).collect();
    assert_eq!(told, ["joined", "said"]);
}

/// A home that is new would never tell what an old one numbered: the message does not wait for ever.
#[test]
fn a_message_waits_for_changes_of_members_for_two_seconds() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(0, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.stall(2, 1);
    world.join_channel(carol, &channel);
    say(&mut world, carol, &channel, "hello");
    world.advance(secs(1));
    assert_eq!(world.heard(bob), Vec::<String>::new());
    world.advance(secs(2));
    assert_eq!(world.heard(bob), ["hello"]);
}

#[test]
fn a_message_that_is_kept_in_the_history_is_answered_when_it_is_kept_and_everywhere() {
    let mut world = World::new(2);
    world.pump();
    let channel = world.channel_at(0);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    let kept = SendChannelMessage { enable_historical_messaging: true, ..to_channel(1, &channel, "kept") };
    world.stall(0, 1);
    let sent = world.request(alice, kept);
    assert_eq!(world.reply(alice, sent), None);
    world.unstall();
    assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendChannelMessage(()))));
}

#[test]
fn the_next_home_asks_all_nodes_and_nobody_comes_or_goes() {
    let mut world = World::new(4);
    world.pump();
    let channel = world.channel_at(3);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    for client in [alice, bob] {
        world.join_channel(client, &channel);
    }
    world.comings(alice);
    world.kill(3);
    assert_eq!(world.comings(alice), Vec::<String>::new());
    assert_eq!(world.comings(bob), Vec::<String>::new());
    world.join_channel(carol, &channel);
    for client in [alice, bob, carol] {
        assert_eq!(world.members(client, &channel), ["alice", "bob", "carol"]);
        assert_eq!(world.count(client, &channel), 3);
    }
    assert_eq!(world.comings(alice), ["+carol 3"]);
}

/// The home and a node with members die together: nobody else could say that they are gone.
#[test]
fn members_of_a_node_that_left_with_the_home_have_left() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(1);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    for client in [alice, bob, carol] {
        world.join_channel(client, &channel);
    }
    world.comings(alice);
    world.stall(1, 0);
    world.leave(bob, &channel);
    world.kill(1);
    assert_eq!(world.comings(alice), ["-bob 2"]);
    assert_eq!(world.members(carol, &channel), ["alice", "carol"]);
}

#[test]
fn joins_and_leaves_while_the_home_changes_are_known_everywhere_after_it() {
    for late in 0..3 {
        let mut world = World::new(4);
        world.pump();
        let channel = world.channel_at(3);
        let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
        for client in [alice, bob] {
            world.join_channel(client, &channel);
        }
        // One node hears late of the new view.
        world.hide_views(late);
        world.kill(3);
        let joining = world.request(carol, join(&channel));
        world.leave(bob, &channel);
        world.request(bob, join(&channel));
        world.show_views();
        assert_eq!(world.reply(carol, joining), Some(&Ok(Answer::JoinChannel(()))), "late {late}");
        for client in [alice, bob, carol] {
            assert_eq!(world.members(client, &channel), ["alice", "bob", "carol"], "late {late}");
            assert_eq!(world.count(client, &channel), 3);
        }
        say(&mut world, alice, &channel, "hello");
        assert_eq!(world.heard(bob).last().unwrap(), "hello");
        assert_eq!(world.heard(carol), ["hello"]);
    }
}

#[test]
fn a_question_for_counts_goes_to_the_next_home() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.stall(1, 2);
    let query = rtm_codec::GetChannelMemberCount { channel_ids: vec![cid(&channel)] };
    let asked = world.request(bob, query);
    assert_eq!(world.reply(bob, asked), None);
    world.kill(2);
    let counts = [(cid(&channel), 1)].into();
    assert_eq!(world.reply(bob, asked), Some(&Ok(Answer::GetChannelMemberCount(counts))));
}

/// Only one node has members, its session is packed, and a message comes before the next node is known.
#[test]
fn what_is_said_while_a_member_moves_reaches_it_once_and_in_order() {
    let mut world = World::new(4);
    world.pump();
    let channel = world.channel_at(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.comings(alice);
    say(&mut world, alice, &channel, "before");
    assert_eq!(world.heard(bob), ["before"]);
    world.cut(bob);
    // What the old node says to the new one does not come yet.
    world.stall(1, 2);
    let back = world.start_resume(2, bob);
    world.pump();
    say(&mut world, alice, &channel, "while it is packed");
    world.unstall();
    assert!(world.welcome(back).is_some());
    say(&mut world, alice, &channel, "after");
    assert_eq!(world.heard(back), ["while it is packed", "after"]);
    assert_eq!(world.comings(alice), Vec::<String>::new(), "nobody came or went");
    assert_eq!(world.members(alice, &channel), ["alice", "bob"]);
    assert_eq!(world.count(alice, &channel), 2);
    say(&mut world, back, &channel, "from here");
    assert_eq!(world.heard(alice), ["from here"]);
}

#[test]
fn what_goes_to_the_old_node_and_to_the_new_one_comes_once_and_in_order() {
    let mut world = World::new(4);
    world.pump();
    let channel = world.channel_at(3);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    let dave = world.login(1, "dave");
    for client in [alice, bob, carol, dave] {
        world.join_channel(client, &channel);
    }
    world.cut(bob);
    world.stall(1, 2);
    let back = world.start_resume(2, bob);
    world.pump();
    say(&mut world, alice, &channel, "one");
    say(&mut world, carol, &channel, "two");
    say(&mut world, dave, &channel, "three");
    world.unstall();
    world.stall(0, 1);
    say(&mut world, alice, &channel, "four");
    world.unstall();
    say(&mut world, alice, &channel, "five");
    world.advance(secs(3));
    assert_eq!(world.heard(carol), ["one", "three", "four", "five"]);
    let heard = world.heard(back);
    let from = |names: &[&str]| heard.iter().filter(|text| names.contains(&text.as_str())).cloned().collect::<Vec<_>>();
    assert_eq!(from(&["one", "four", "five"]), ["one", "four", "five"]);
    assert_eq!(heard.len(), 5, "{heard:?}");
    assert_eq!(world.members(carol, &channel), ["alice", "bob", "carol", "dave"]);
}

#[test]
fn a_member_that_moves_gets_once_what_one_said_who_left_meanwhile() {
    // The message comes late to the node that the member comes to, or to the one where it was.
    for late_at in [1, 2] {
        let mut world = World::new(4);
        world.pump();
        let channel = world.channel_at(3);
        let (alice, bob, dave) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "dave"));
        for client in [alice, bob, dave] {
            world.join_channel(client, &channel);
        }
        world.stall(0, late_at);
        say(&mut world, alice, &channel, "last");
        world.leave(alice, &channel);
        let mut heard = world.heard(bob);
        world.cut(bob);
        let bob = world.resume(2, bob);
        world.advance(secs(1));
        heard.extend(world.heard(bob));
        world.unstall();
        world.advance(secs(3));
        heard.extend(world.heard(bob));
        assert_eq!((heard, world.heard(dave)), (vec!["last".to_owned()], vec!["last".to_owned()]), "late at {late_at}");
        assert_eq!(world.members(bob, &channel), ["bob", "dave"]);
    }
}

#[test]
fn a_member_that_moved_on_is_seen_also_where_no_home_has_told_that_it_had_come() {
    let mut world = World::new(4);
    world.pump();
    let channel = world.channel_at(3);
    let (alice, bob) = (world.login(1, "alice"), world.login(0, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.stall(1, 3);
    world.cut(bob);
    let bob = world.resume(1, bob);
    world.leave(bob, &channel);
    world.join_channel(bob, &channel);
    world.cut(bob);
    let bob = world.resume(2, bob);
    world.kill(3);
    world.unstall();
    world.advance(secs(3));
    for client in [alice, bob] {
        assert_eq!(
            (world.members(client, &channel), world.count(client, &channel)),
            (vec!["alice".into(), "bob".into()], 2)
        );
    }
}

#[test]
fn a_member_that_moves_is_told_what_it_misses_of_a_node_that_its_old_node_has_never_heard() {
    let mut world = World::new(4);
    world.pump();
    let channel = world.channel_at(3);
    let (alice, bob) = (world.login(2, "alice"), world.login(0, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.stall(0, 2);
    say(&mut world, bob, &channel, "one");
    world.cut(alice);
    let alice = world.resume(1, alice);
    say(&mut world, bob, &channel, "two");
    world.advance(secs(3));
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.heard(alice), ["gap Some(1)", "two"]);
}

#[test]
fn a_member_that_leaves_moves_and_joins_again_gets_no_message_twice() {
    for sender_leaves in [false, true] {
        let mut world = World::new(4);
        world.pump();
        let channel = world.channel_at(3);
        let (dave, bob, erin) = (world.login(0, "dave"), world.login(1, "bob"), world.login(2, "erin"));
        for client in [dave, bob, erin] {
            world.join_channel(client, &channel);
        }
        world.stall(1, 0);
        say(&mut world, bob, &channel, "once");
        assert_eq!(world.heard(erin), ["once"]);
        if sender_leaves {
            world.leave(bob, &channel);
        }
        world.leave(erin, &channel);
        world.cut(erin);
        let erin = world.resume(0, erin);
        let joining = world.request(erin, join(&channel));
        let said = world.request(erin, to_channel(7, &channel, "here"));
        world.pump();
        assert_eq!(world.reply(erin, joining), None, "what was sent before is still under way");
        world.unstall();
        world.advance(secs(1));
        assert!(world.reply(erin, joining).unwrap().is_ok() && world.reply(erin, said).unwrap().is_ok());
        say(&mut world, dave, &channel, "after");
        assert_eq!(world.heard(erin), ["after"]);
        assert_eq!(world.heard(dave), ["once", "here"]);
    }
}

#[test]
fn a_member_that_is_back_counts_also_where_the_home_hears_late_that_it_had_moved_away() {
    for is_alone in [false, true] {
        let mut world = World::new(4);
        world.pump();
        let channel = world.channel_at(1);
        let (bob, carol) = (world.login(2, "bob"), world.login(3, "carol"));
        let mut all = vec![bob, carol];
        if !is_alone {
            all.push(world.login(2, "alice"));
        }
        all.iter().for_each(|client| world.join_channel(*client, &channel));
        world.stall(0, 1);
        world.cut(bob);
        let bob = world.resume(0, bob);
        // Another session of the user puts an end to that one, and moves to where that was.
        let other = world.login_with(3, other_login_of("bob"));
        world.join_channel(other, &channel);
        world.cut(other);
        let other = world.resume(2, other);
        assert!(!world.is_open(bob));
        world.unstall();
        world.advance(secs(1));
        let members = if is_alone { vec!["bob", "carol"] } else { vec!["alice", "bob", "carol"] };
        for client in [carol, other] {
            assert_eq!(world.members(client, &channel), members);
            assert_eq!(world.count(client, &channel) as usize, members.len());
        }
        let comings = world.comings(carol);
        let last = comings.iter().rfind(|coming| coming.contains("bob"));
        assert!(last.is_none_or(|last| last.starts_with('+')), "{comings:?}");
    }
}

#[test]
fn a_member_of_whom_the_home_has_not_heard_misses_nothing_when_the_last_one_that_it_knows_there_moves() {
    for home_is_lost in [false, true] {
        let mut world = World::new(5);
        world.pump();
        let channel = world.channel_at(3);
        let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(1, "carol"));
        world.join_channel(alice, &channel);
        world.join_channel(bob, &channel);
        world.stall(1, 3);
        world.join_channel(carol, &channel);
        world.cut(bob);
        let bob = world.resume(2, bob);
        say(&mut world, alice, &channel, "meanwhile");
        if home_is_lost {
            world.kill(3);
        }
        world.unstall();
        world.advance(secs(3));
        say(&mut world, alice, &channel, "then");
        assert_eq!(world.heard(bob), ["meanwhile", "then"], "{home_is_lost}");
        assert_eq!(world.heard(carol), ["meanwhile", "then"], "{home_is_lost}");
        assert_eq!(world.members(carol, &channel), ["alice", "bob", "carol"], "{home_is_lost}");
    }
}

#[test]
fn a_count_is_told_as_soon_in_a_cluster_as_on_one_server() {
    let mut world = World::new(1);
    world.pump();
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    world.join_channel(alice, "lobby");
    world.advance(millis(1200));
    world.events(alice);
    // The last telling is long enough ago.
    world.join_channel(bob, "lobby");
    let told = |event: &Event| matches!(event, Event::MemberCountUpdated { member_count: 2, .. });
    assert!(world.events(alice).iter().any(told));
}

#[test]
fn a_node_whose_last_member_has_moved_gets_no_more_messages() {
    for home_is_lost in [false, true] {
        let mut world = World::new(5);
        world.pump();
        let channel = world.channel_at(3);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.join_channel(alice, &channel);
        world.join_channel(bob, &channel);
        if home_is_lost {
            // The next home learns from both nodes that bob is theirs.
            world.stall(2, 3);
        }
        world.cut(bob);
        let bob = world.resume(2, bob);
        if home_is_lost {
            world.kill(3);
            world.unstall();
        }
        world.advance(secs(3));
        // A message for node 1 would wait there.
        world.stall(0, 1);
        let said = say(&mut world, alice, &channel, "hello");
        assert_eq!(world.heard(bob), ["hello"], "{home_is_lost}");
        assert_eq!(world.reply(alice, said), Some(&Ok(Answer::SendChannelMessage(()))), "{home_is_lost}");
    }
}

#[test]
fn a_member_that_moves_and_joins_anew_gets_once_what_comes_late_to_its_new_node() {
    for joins_anew in [false, true] {
        let mut world = World::new(4);
        world.pump();
        let channel = world.channel_at(3);
        let (alice, bob, dave) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "dave"));
        for client in [alice, bob, dave] {
            world.join_channel(client, &channel);
        }
        world.stall(0, 2);
        say(&mut world, alice, &channel, "once");
        let mut heard = world.heard(bob);
        world.cut(bob);
        let bob = world.resume(2, bob);
        if joins_anew {
            world.leave(bob, &channel);
            world.join_channel(bob, &channel);
        }
        world.unstall();
        world.advance(secs(3));
        say(&mut world, alice, &channel, "then");
        heard.extend(world.heard(bob));
        assert_eq!(heard, ["once", "then"], "joins anew: {joins_anew}");
        assert_eq!(world.heard(dave), ["once", "then"]);
    }
}

#[test]
fn what_a_member_that_moved_says_itself_before_it_has_all_is_no_gap() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, carol) = (world.login(0, "alice"), world.login(1, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(carol, &channel);
    say(&mut world, carol, &channel, "before");
    assert_eq!(world.heard(alice), ["before"]);
    world.cut(alice);
    world.engine.is_late = true;
    let alice = world.resume(1, alice);
    world.stall(0, 1);
    world.answer_late();
    say(&mut world, alice, &channel, "own");
    say(&mut world, carol, &channel, "after it");
    assert_eq!(world.heard(alice), Vec::<String>::new(), "more may come from where it was");
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.heard(alice), ["after it"]);
}

#[test]
fn a_member_that_moves_sees_who_comes_and_goes_meanwhile() {
    let mut world = World::new(4);
    world.pump();
    let channel = world.channel_at(3);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(0, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.cut(bob);
    world.stall(1, 2);
    let back = world.start_resume(2, bob);
    world.pump();
    world.join_channel(carol, &channel);
    world.leave(alice, &channel);
    world.unstall();
    assert!(world.welcome(back).is_some());
    world.advance(secs(3));
    assert_eq!(world.comings(back), ["+carol 3", "-alice 2"]);
    assert_eq!(world.members(back, &channel), ["bob", "carol"]);
}

#[test]
fn a_session_that_goes_on_where_it_was_has_all() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(0);
    let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
    let carol = world.login(2, "carol");
    for client in [alice, bob, carol] {
        world.join_channel(client, &channel);
    }
    world.cut(bob);
    world.stall(0, 1);
    let lost = world.start_resume(1, bob);
    world.pump();
    say(&mut world, alice, &channel, "one");
    say(&mut world, carol, &channel, "two");
    world.cut(lost);
    world.kill(1);
    let back = world.resume(0, bob);
    say(&mut world, alice, &channel, "three");
    assert_eq!(world.heard(back), ["one", "two", "three"]);
    assert_eq!(world.members(alice, &channel), ["alice", "bob", "carol"]);
    assert_eq!(world.comings(carol), Vec::<String>::new());
}

/// What was on its way to a member by way of the old node is lost with that: the member is told.
#[test]
fn a_member_whose_old_node_is_killed_while_it_catches_up_is_told_of_a_gap() {
    let mut world = World::new(4);
    world.pump();
    let channel = world.channel_at(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    world.cut(bob);
    world.stall(3, 2);
    let back = world.start_resume(2, bob);
    world.pump();
    world.stall(1, 2);
    say(&mut world, alice, &channel, "lost");
    world.kill(1);
    world.unstall();
    say(&mut world, alice, &channel, "after");
    let heard = world.heard(back);
    assert!(heard.contains(&"gap None".to_owned()), "{heard:?}");
    assert_eq!(heard.last().unwrap(), "after");
    assert_eq!(world.members(alice, &channel), ["alice", "bob"]);
}

fn set(channel: &str, key: &str, value: &str, expected: Option<u64>) -> AddOrUpdateChannelAttributes {
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
fn attributes_are_told_to_the_members_on_all_nodes_and_read_on_any() {
    let mut world = World::new(3);
    world.pump();
    let channel = world.channel_at(2);
    let (alice, bob, carol) = (world.login(0, "alice"), world.login(1, "bob"), world.login(2, "carol"));
    world.join_channel(alice, &channel);
    world.join_channel(bob, &channel);
    let written = world.call(carol, set(&channel, "topic", "rust", None));
    assert_eq!(written, Ok(Answer::AddOrUpdateChannelAttributes(Revision(1))));
    assert_eq!(told_revisions(&mut world, alice), [1]);
    assert_eq!(told_revisions(&mut world, bob), [1]);
    world.call(alice, set(&channel, "mood", "good", Some(1))).unwrap();
    assert_eq!(told_revisions(&mut world, bob), [2]);
    for client in [alice, bob, carol] {
        assert_eq!(attributes(&mut world, client, &channel), (vec!["mood=good".into(), "topic=rust".into()], 2));
    }
    let refused = world.call(bob, set(&channel, "topic", "lost", Some(1))).unwrap_err();
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
    let first = world.request(alice, set(&channel, "a", "1", None));
    let second = world.request(bob, set(&channel, "b", "2", None));
    let strict = world.request(carol, set(&channel, "c", "3", Some(0)));
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
    world.call(alice, set(&channel, "topic", "rust", None)).unwrap();
    world.advance(secs(620));
    assert_eq!(attributes(&mut world, bob, &channel).0, ["topic=rust"]);
    world.leave(alice, &channel);
    world.advance(secs(290));
    assert_eq!(attributes(&mut world, bob, &channel).0, ["topic=rust"]);
    world.advance(secs(20));
    for client in [alice, bob] {
        assert_eq!(attributes(&mut world, client, &channel).0, Vec::<String>::new());
    }
    let written = world.call(bob, set(&channel, "topic", "again", None));
    assert_eq!(written, Ok(Answer::AddOrUpdateChannelAttributes(Revision(2))), "it never had that revision");
}

/// A channel at node 2 with these members, of whose next one node 1 and node 3 do not hear: what is said from then on waits there.
fn with_messages_that_wait(members: &[(usize, &str)]) -> (World, String, Vec<C>) {
    let mut world = World::new(4);
    let channel = world.channel_at(2);
    let join = |(node, user): &(usize, &str)| {
        let client = world.login(*node, user);
        world.join_channel(client, &channel);
        client
    };
    let members: Vec<C> = members.iter().map(join).collect();
    world.stall(2, 1);
    world.stall(2, 3);
    let carol = world.login(0, "carol");
    world.join_channel(carol, &channel);
    (world, channel, members)
}

#[test]
fn a_member_that_moves_does_not_overtake_what_it_has_said_before() {
    for moves_to in [1, 3] {
        let (mut world, channel, members) = with_messages_that_wait(&[(0, "alice"), (1, "bob"), (3, "dave")]);
        let [alice, bob, dave] = members[..] else { panic!("{members:?}") };
        say(&mut world, alice, &channel, "first");
        assert_eq!(world.heard(bob), Vec::<String>::new(), "it waits");
        world.cut(alice);
        let alice = world.resume(moves_to, alice);
        say(&mut world, alice, &channel, "second");
        world.advance(secs(3));
        assert_eq!(world.heard(bob), ["first", "second"], "moves to {moves_to}");
        assert_eq!(world.heard(dave), ["first", "second"], "moves to {moves_to}");
    }
}

#[test]
fn a_member_that_moves_and_joins_anew_does_not_get_again_what_it_had() {
    let (mut world, channel, members) = with_messages_that_wait(&[(0, "alice"), (0, "frank"), (1, "bob")]);
    let [alice, frank, bob] = members[..] else { panic!("{members:?}") };
    say(&mut world, alice, &channel, "once");
    assert_eq!(world.heard(frank), ["once"]);
    world.cut(frank);
    let frank = world.resume(1, frank);
    world.leave(frank, &channel);
    world.join_channel(frank, &channel);
    assert_eq!(world.heard(bob), Vec::<String>::new(), "it waits");
    world.advance(secs(3));
    assert_eq!(world.heard(bob), ["once"]);
    assert_eq!(world.heard(frank), Vec::<String>::new());
    say(&mut world, alice, &channel, "then");
    world.advance(secs(3));
    assert_eq!(world.heard(frank), ["then"]);
}
