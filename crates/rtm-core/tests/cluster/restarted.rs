//! The post between two nodes begins anew, and what was on its way is lost: everything goes on.

use rtm_codec::{
    AcceptInvitation, Answer, CallId, Event, PeerOnlineState, Resumption, SendInvitation, SendOutcome,
    SubscribePeersOnlineStatus,
};

use crate::harness::*;

/// Loses what is on its way from one node to the other.
fn lose(world: &mut World, from: usize, to: usize) {
    world.pump();
    world.restart_post(from, to);
    world.unstall();
    world.advance(secs(1));
}

const DELIVERED: Result<Answer, rtm_codec::Refusal> = Ok(Answer::SendMessageToPeer(SendOutcome::Delivered));

#[test]
fn a_message_that_was_lost_goes_again_once() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut world = World::new(2);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.stall(from, to);
        let sent = world.request(alice, to_peer(1, "bob", "first"));
        let next = world.request(alice, to_peer(2, "bob", "second"));
        lose(&mut world, from, to);
        assert_eq!(world.texts(bob), ["first", "second"], "{from} to {to}");
        assert_eq!((world.reply(alice, sent), world.reply(alice, next)), (Some(&DELIVERED), Some(&DELIVERED)));
    }
}

#[test]
fn a_login_goes_on_whose_question_or_answer_was_lost() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut world = World::new(2);
        let (alice, bob) = (world.login(0, "alice"), world.login(0, "bob"));
        world.cut(alice);
        world.request(bob, to_peer(1, "alice", "kept"));
        world.stall(from, to);
        let back = world.start_resume(1, alice);
        lose(&mut world, from, to);
        assert_eq!(world.welcome(back).map(|welcome| welcome.resumption), Some(Resumption::Resumed), "{from} to {to}");
        assert_eq!(world.texts(back), ["kept"]);
        assert_eq!(world.sessions(), 2);
    }
}

#[test]
fn a_join_goes_on_and_all_agree_on_members() {
    for home in [0, 1, 2] {
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            let mut world = World::new(3);
            let channel = world.channel_at(home);
            let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
            let carol = world.login(2, "carol");
            world.join_channel(carol, &channel);
            world.stall(from, to);
            let joins: Vec<_> = [alice, bob].into_iter().map(|who| (who, world.request(who, join(&channel)))).collect();
            lose(&mut world, from, to);
            for (who, id) in joins {
                assert_eq!(world.reply(who, id), Some(&Ok(Answer::JoinChannel(()))), "{home}: {from} to {to}");
            }
            for who in [alice, bob, carol] {
                assert_eq!(world.members(who, &channel), ["alice", "bob", "carol"], "{home}: {from} to {to}");
            }
            world.stall(from, to);
            world.request(bob, rtm_codec::LeaveChannel { channel_id: cid(&channel) });
            lose(&mut world, from, to);
            for who in [alice, carol] {
                assert_eq!(world.members(who, &channel), ["alice", "carol"], "{home}: {from} to {to}");
            }
        }
    }
}

#[test]
fn watchers_are_told_what_they_missed() {
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)] {
        let mut world = World::new(3);
        let watcher = world.login(0, "watcher");
        let peer_ids = (0..6).map(|at| uid(&format!("user-{at}"))).collect();
        world.request(watcher, SubscribePeersOnlineStatus { peer_ids });
        let users: Vec<C> = (0..3).map(|at| world.login(1, &format!("user-{at}"))).collect();
        world.advance(secs(1));
        world.stall(from, to);
        world.logout(users[0]);
        world.cut(users[1]);
        for at in 3..6 {
            world.login(1, &format!("user-{at}"));
        }
        world.advance(secs(7));
        lose(&mut world, from, to);
        let mut told = std::collections::BTreeMap::new();
        for event in world.events(watcher) {
            if let Event::PeersOnlineStatusChanged { peers } = event {
                told.extend(peers);
            }
        }
        let states: Vec<_> = (0..6).map(|at| told[&uid(&format!("user-{at}"))]).collect();
        use PeerOnlineState::{Offline, Online, Unreachable};
        assert_eq!(states, [Offline, Unreachable, Online, Online, Online, Online], "{from} to {to}");
    }
}

#[test]
fn an_invitation_is_given_once_and_answered() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut world = World::new(2);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        let call_id = CallId::new("call").unwrap();
        world.stall(from, to);
        let send = SendInvitation { call_id: call_id.clone(), callee_id: uid("bob"), content: "come".into() };
        world.request(alice, send);
        world.pump();
        lose(&mut world, from, to);
        let invited =
            world.events(bob).iter().filter(|it| matches!(it, Event::RemoteInvitationReceived { .. })).count();
        assert_eq!(invited, 1, "{from} to {to}");
        world.stall(from, to);
        let accept = AcceptInvitation { call_id, caller_id: uid("alice"), response: "yes".into() };
        let accepted = world.request(bob, accept);
        lose(&mut world, from, to);
        assert_eq!(world.reply(bob, accepted), Some(&Ok(Answer::AcceptInvitation(()))));
        let all = world.events(alice);
        let accepted = all.iter().filter(|it| matches!(it, Event::LocalInvitationAccepted { .. })).count();
        assert_eq!(accepted, 1, "{from} to {to}: {all:?}");
    }
}
