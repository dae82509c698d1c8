//! Nodes of two versions in one cluster, as in a rolling update.

use rtm_codec::{Answer, ChannelId, RequestId, Resumption, SendOutcome};
use rtm_core::cluster::PROTO;

use crate::harness::*;

/// So many messages that are under way at once all arrive, in order and once, and each sender is told.
fn talk(world: &mut World, from: C, to: C, (peer, first, count): (&str, u64, u64)) {
    let texts: Vec<String> = (first..first + count).map(|id| id.to_string()).collect();
    let nodes = world.cores.len();
    (0..nodes).for_each(|at| (0..nodes).for_each(|other| world.stall(at, other)));
    let messages = (first..).zip(&texts).map(|(id, text)| to_peer(id, peer, text));
    let sent = world.requests(from, messages.collect::<Vec<_>>());
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.texts(to), texts);
    for sent in sent {
        assert_eq!(world.reply(from, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
    }
}

/// How many parcels that takes of 100 messages from a node of one version to one of the other.
fn parcels_for_100(protos: [u16; 2]) -> usize {
    let mut world = World::of_versions(&protos);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    let before = world.parcels;
    talk(&mut world, alice, bob, ("bob", 1, 100));
    world.parcels - before
}

#[test]
fn what_became_of_many_messages_is_said_at_once() {
    for protos in [[2, 2], [2, PROTO], [PROTO, 2]] {
        let parcels = parcels_for_100(protos);
        assert!((100..=110).contains(&parcels), "{protos:?}: {parcels}");
    }
}

#[test]
fn messages_that_come_at_once_go_on_at_once() {
    let parcels = parcels_for_100([PROTO, PROTO]);
    assert!(parcels <= 5, "{parcels}");
}

#[test]
fn a_node_of_the_first_version_is_told_of_each_message_and_tells_of_each() {
    for protos in [[1, 1], [1, 2], [2, 1], [1, PROTO], [PROTO, 1]] {
        assert_eq!(parcels_for_100(protos), 300, "{protos:?}");
    }
}

#[test]
fn a_receiver_that_moves_between_versions_gets_all_once_and_its_sender_is_told() {
    for old in [1, 2] {
        let mut world = World::of_versions(&[old, PROTO, PROTO]);
        let (alice, mut bob) = (world.login(2, "alice"), world.login(0, "bob"));
        let (mut sent, mut got, mut id) = (Vec::new(), Vec::new(), 0);
        for to in [1, 0, 2, 0] {
            world.stall(2, 0);
            world.stall(2, 1);
            let first = id + 1;
            id += 10;
            sent.extend(world.requests(alice, (first..=id).map(|id| to_peer(id, "bob", &id.to_string()))));
            world.cut(bob);
            got.extend(world.texts(bob));
            bob = world.start_resume(to, bob);
            world.unstall();
            world.advance(secs(1));
            got.extend(world.texts(bob));
        }
        assert_eq!(got, (1..=id).map(|id| id.to_string()).collect::<Vec<_>>());
        for sent in sent {
            assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
        }
    }
}

#[test]
fn a_sender_that_moves_between_versions_is_told_of_each_message() {
    for old in [1, 2] {
        let mut world = World::of_versions(&[old, PROTO, PROTO]);
        let (mut alice, bob) = (world.login(0, "alice"), world.login(2, "bob"));
        let (mut sent, mut id) = (Vec::<RequestId>::new(), 0);
        for to in [1, 0, 1] {
            // What the receiver's node says goes to where the sender was.
            world.stall(2, 0);
            world.stall(2, 1);
            let first = id + 1;
            id += 10;
            sent.extend(world.requests(alice, (first..=id).map(|id| to_peer(id, "bob", &id.to_string()))));
            world.cut(alice);
            alice = world.start_resume(to, alice);
            world.unstall();
            world.advance(secs(1));
        }
        assert_eq!(world.texts(bob), (1..=id).map(|id| id.to_string()).collect::<Vec<_>>());
        for sent in sent {
            assert_eq!(world.reply(alice, sent), Some(&Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
        }
    }
}

#[test]
fn a_channel_over_nodes_of_both_versions_has_all_messages_once_and_in_order() {
    let mut world = World::of_versions(&[1, PROTO, 1, PROTO]);
    let names = ["alice", "bob", "carol", "dave"];
    // Once with its home on a node of each version.
    for home in 0..2 {
        let room = world.channel_at(home);
        let members: Vec<C> = (0..4).map(|at| world.login_with(at, other_login_of(names[at]))).collect();
        members.iter().for_each(|member| world.join_channel(*member, &room));
        let mut said = Vec::new();
        for id in 1..=40 {
            let from = usize::try_from(id % 4).unwrap();
            let sent = world.request(members[from], to_channel(id, &room, &format!("{id}")));
            assert!(matches!(world.reply(members[from], sent), Some(Ok(_))), "{id}");
            said.push((from, id.to_string()));
        }
        for (at, member) in members.iter().enumerate() {
            let wanted: Vec<_> = said.iter().filter(|(from, _)| *from != at).map(|(_, text)| text.clone()).collect();
            assert_eq!(world.heard(*member), wanted, "{}", names[at]);
            assert_eq!(world.members(*member, &room), names);
            assert_eq!(world.count(*member, &room), 4);
        }
        members.iter().for_each(|member| world.logout(*member));
    }
}

#[test]
fn a_rolling_update_loses_and_repeats_nothing_and_ends_with_the_new_version() {
    let mut world = World::of_versions(&[1, 1, 1]);
    let (mut alice, mut bob) = (world.login(0, "alice"), world.login(1, "bob"));
    let room = ChannelId::new("room").unwrap();
    [alice, bob].into_iter().for_each(|user| world.join_channel(user, room.as_str()));
    let mut next = 1;
    for old in 0..3 {
        assert_eq!(world.view().proto(), 1, "while a node is old");
        world.drain(old);
        let until = world.now.instant + secs(30);
        while !world.cores[old].remaining().is_nothing() {
            assert!(world.now.instant < until, "{:?}", world.cores[old].remaining());
            world.advance(millis(250));
            for user in [&mut alice, &mut bob] {
                if !world.is_open(*user) {
                    *user = world.resume(old + 2, *user);
                    assert_eq!(world.welcome(*user).unwrap().resumption, Resumption::Resumed);
                }
            }
        }
        world.leave_view(old);
        world.join();
        world.settle_homes();
        // Both ways, whichever versions they are on.
        talk(&mut world, alice, bob, ("bob", next, 20));
        talk(&mut world, bob, alice, ("alice", next, 20));
        next += 20;
        let sent = world.request(alice, to_channel(next, room.as_str(), &format!("after {old}")));
        assert!(matches!(world.reply(alice, sent), Some(Ok(_))), "{old}");
        assert_eq!(world.heard(bob), [format!("after {old}")]);
        next += 1;
    }
    assert_eq!(world.view().proto(), PROTO, "the last old node is gone");
    assert_eq!(world.sessions(), 2);
}
