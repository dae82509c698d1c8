//! Members of channels whose sessions move to another node.

use rtm_codec::{Answer, Login, Wire};

use crate::{
    channels::{last_count, say},
    harness::*,
};

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
