//! Channels with members on several nodes.

use rtm_codec::{Answer, Event, SendChannelMessage};

use crate::harness::*;

pub(crate) fn say(world: &mut World, client: C, channel: &str, text: &str) -> rtm_codec::RequestId {
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

/// The last count that a client was told of since its events were asked for.
pub(crate) fn last_count(world: &mut World, client: C) -> Option<u32> {
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
