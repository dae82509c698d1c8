//! Messages from user to user, over nodes.

use rtm_codec::{
    Answer, CallId, ClientFrame, ErrorKind, Event, Login, RequestId, RtmMessage, SendInvitation, SendMessageToPeer,
    SendOutcome, UserId, Wire,
};

use crate::harness::*;

fn outcome(world: &World, client: C, id: RequestId) -> Option<SendOutcome> {
    match world.reply(client, id)? {
        Ok(Answer::SendMessageToPeer(outcome)) => Some(*outcome),
        other => panic!("{other:?}"),
    }
}

fn stored(id: u64, peer: &str, text: &str) -> SendMessageToPeer {
    SendMessageToPeer { enable_offline_messaging: true, ..to_peer(id, peer, text) }
}

#[test]
fn a_message_goes_to_another_node_and_its_sender_is_told() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    let sent = world.request(alice, to_peer(1, "bob", "hello"));
    assert_eq!(world.texts(bob), ["hello"]);
    assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::Delivered));
}

#[test]
fn a_sender_of_whom_the_receivers_node_has_not_heard_is_told() {
    let mut world = World::new(3);
    let (bob, _) = (world.login(1, "bob"), world.login(2, "alice"));
    world.blind(1);
    // Of the session before, the receiver's node has heard.
    for name in ["alice", "carol"] {
        let sender = world.login_with(0, other_login_of(name));
        let sent = world.request(sender, to_peer(1, "bob", name));
        assert_eq!(world.texts(bob), [name]);
        assert_eq!(outcome(&world, sender, sent), Some(SendOutcome::Delivered), "{name}");
    }
}

#[test]
fn messages_to_several_users_that_come_at_once_arrive_in_order() {
    let mut world = World::new(3);
    let alice = world.login(0, "alice");
    let others = [world.login(1, "bob"), world.login(2, "carol"), world.login(1, "dave"), world.login(0, "erin")];
    let names = ["bob", "carol", "dave", "erin", "nobody"];
    let messages = (0..50).map(|id| to_peer(id, names[id as usize % 5], &id.to_string()));
    let sent = world.requests(alice, messages.collect::<Vec<_>>());
    for (at, other) in others.into_iter().enumerate() {
        let wanted = (0..10).map(|round| (5 * round + at).to_string()).collect::<Vec<_>>();
        assert_eq!(world.texts(other), wanted, "{}", names[at]);
    }
    for (number, sent) in sent.into_iter().enumerate() {
        let wanted = if number % 5 == 4 { SendOutcome::NotReceived } else { SendOutcome::Delivered };
        assert_eq!(outcome(&world, alice, sent), Some(wanted), "{number}");
    }
}

#[test]
fn many_short_messages_at_once_go_in_parcels_that_every_bus_carries() {
    let mut world = World::new(2);
    let alice = world.login(0, &format!("alice{}", "-".repeat(40)));
    let names = ["bob", "carol"].map(|name| format!("{name}{}", "-".repeat(40)));
    let others = names.each_ref().map(|name| world.login(1, name));
    let messages = (0..1500).map(|id| to_peer(id, &names[id as usize % 2], &id.to_string()));
    world.requests(alice, messages.collect::<Vec<_>>());
    for (at, other) in others.into_iter().enumerate() {
        let wanted = (0..750).map(|round| (2 * round + at).to_string()).collect::<Vec<_>>();
        assert_eq!(world.texts(other), wanted);
    }
}

#[test]
fn what_a_client_sends_just_before_it_leaves_arrives() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    for id in 1..=3 {
        let command = to_peer(id, "bob", &id.to_string()).into();
        world.frame(alice, ClientFrame::Request { id: RequestId(id), command });
    }
    world.logout(alice);
    assert_eq!(world.texts(bob), ["1", "2", "3"]);
}

#[test]
fn an_invitation_does_not_overtake_the_messages_before_it() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    let command = to_peer(1, "bob", "I call you").into();
    world.frame(alice, ClientFrame::Request { id: RequestId(1), command });
    let call_id = CallId::new("call").unwrap();
    let callee_id = UserId::new("bob").unwrap();
    let command = SendInvitation { call_id, callee_id, content: "come".into() }.into();
    world.frame(alice, ClientFrame::Request { id: RequestId(2), command });
    world.pump();
    let events = world.events(bob);
    assert!(matches!(events[..], [Event::MessageFromPeer(_), Event::RemoteInvitationReceived { .. }]), "{events:?}");
}

#[test]
fn what_was_said_of_many_messages_and_was_lost_is_said_again_of_each() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(0, 1);
    let sent: Vec<_> = (1..=20).map(|id| world.request(alice, to_peer(id, "bob", "hello"))).collect();
    world.fill(1, 0);
    world.unstall();
    assert_eq!(world.texts(bob).len(), 20);
    assert_eq!(outcome(&world, alice, sent[0]), None, "its box is full");
    world.empty();
    world.advance(secs(1));
    assert!(sent.iter().all(|sent| outcome(&world, alice, *sent) == Some(SendOutcome::Delivered)));
}

#[test]
fn a_user_that_is_nowhere_gets_it_stored_or_not_at_all() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    let lost = world.request(alice, to_peer(1, "bob", "lost"));
    let kept = world.request(alice, stored(2, "bob", "kept"));
    assert_eq!(outcome(&world, alice, lost), Some(SendOutcome::NotReceived));
    assert_eq!(outcome(&world, alice, kept), Some(SendOutcome::Stored));
    let bob = world.login(1, "bob");
    assert_eq!(world.texts(bob), ["kept"]);
}

#[test]
fn a_message_follows_its_receiver_that_moved_meanwhile_and_none_overtakes_it() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(0, 1);
    let first = world.request(alice, to_peer(1, "bob", "first"));
    world.cut(bob);
    let bob = world.resume(2, bob);
    let second = world.request(alice, to_peer(2, "bob", "second"));
    assert_eq!(world.texts(bob), Vec::<String>::new(), "the second one waits for the first");
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.texts(bob), ["first", "second"]);
    assert_eq!(outcome(&world, alice, first), Some(SendOutcome::Delivered));
    assert_eq!(outcome(&world, alice, second), Some(SendOutcome::Delivered));
}

#[test]
fn a_sender_that_moved_is_told_what_became_of_its_messages() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let sent = world.request(alice, to_peer(1, "bob", "on its way"));
    world.cut(alice);
    let alice = world.resume(2, alice);
    let bob = world.resume(1, bob);
    assert_eq!(world.texts(bob), ["on its way"]);
    assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::Delivered));
}

#[test]
fn a_receiver_that_comes_to_the_senders_node_gets_all_in_order() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(0, 1);
    world.request(alice, to_peer(1, "bob", "one"));
    world.cut(bob);
    let back = world.start_resume(0, bob);
    world.request(alice, to_peer(2, "bob", "two"));
    world.unstall();
    world.advance(secs(1));
    assert_eq!(world.texts(back), ["one", "two"]);
}

#[test]
fn a_receiver_whose_entry_names_this_node_before_its_session_is_here_gets_all() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    world.engine.is_late = true;
    let back = world.start_resume(0, bob);
    world.pump();
    let one = world.request(alice, to_peer(1, "bob", "one"));
    world.advance(secs(1));
    let two = world.request(alice, to_peer(2, "bob", "two"));
    assert_eq!(world.reply(alice, one), None);
    world.answer_late();
    world.pump();
    assert_eq!(world.texts(back), ["one", "two"]);
    for sent in [one, two] {
        assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::Delivered));
    }
}

#[test]
fn what_came_of_a_message_while_its_sender_moved_to_the_receivers_node_is_told_there() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let sent = world.request(alice, to_peer(1, "bob", "hello"));
    let back = world.start_resume(2, bob);
    world.stop_acks(back);
    world.pump();
    assert_eq!(world.texts(back), ["hello"]);
    // The entry of alice names the node of bob before the node knows that it has her session.
    world.cut(alice);
    world.engine.is_late = true;
    let alice = world.start_resume(2, alice);
    world.pump();
    // Who comes back says what it has received.
    world.cut(back);
    world.resume(2, back);
    assert_eq!(outcome(&world, alice, sent), None);
    world.answer_late();
    assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::Delivered));
}

#[test]
fn both_move_and_nothing_is_lost_or_repeated() {
    let mut world = World::new(4);
    let (mut alice, mut bob) = (world.login(0, "alice"), world.login(1, "bob"));
    let mut got = Vec::new();
    for round in 0..12_u64 {
        world.request(alice, to_peer(round + 1, "bob", &round.to_string()));
        if round % 2 == 0 {
            world.cut(alice);
            alice = world.resume(usize::try_from(round % 4).unwrap(), alice);
        }
        if round % 3 == 0 {
            got.extend(world.texts(bob));
            world.cut(bob);
            bob = world.resume(usize::try_from((round + 2) % 4).unwrap(), bob);
        }
        world.advance(secs(1));
    }
    got.extend(world.texts(bob));
    assert_eq!(got, (0..12).map(|round| round.to_string()).collect::<Vec<_>>());
}

#[test]
fn what_a_killed_node_had_goes_again_to_the_receivers_next_session() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let sent = world.request(alice, to_peer(1, "bob", "again"));
    assert_eq!(world.reply(alice, sent), None);
    let back = world.start_login(2, login_of("bob"));
    world.kill(1);
    world.advance(secs(1));
    assert_eq!(world.texts(back), ["again"]);
    assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::Delivered));
}

#[test]
fn what_a_killed_node_had_goes_again_also_if_the_next_session_is_heard_of_before_the_view() {
    let mut world = World::new(3);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let sent = [to_peer(1, "bob", "again"), stored(2, "bob", "kept")].map(|message| world.request(alice, message));
    let back = world.start_login(2, login_of("bob"));
    world.hide_views(0);
    world.kill(1);
    world.advance(millis(100));
    assert!(world.welcome(back).is_some());
    assert_eq!(world.texts(back), Vec::<String>::new(), "alice's node does not know yet that bob's is gone");
    world.show_views();
    world.advance(secs(1));
    assert_eq!(world.texts(back), ["again", "kept"]);
    for sent in sent {
        assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::Delivered));
    }
}

#[test]
fn what_a_lost_node_gave_up_does_not_come_after_what_it_stored() {
    for back_on in [0, 2] {
        let mut world = World::new(3);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.cut(bob);
        let given_up = world.request(alice, to_peer(1, "bob", "given up"));
        let kept = world.request(alice, stored(2, "bob", "kept"));
        // What bob's node says of them does not come.
        world.stall(1, 0);
        world.advance(secs(10));
        let next = world.request(alice, to_peer(3, "bob", "next"));
        let back = world.start_login(back_on, login_of("bob"));
        world.kill(1);
        world.advance(secs(1));
        // A client drops what it had from the store.
        let mut texts = world.texts(back);
        texts.dedup();
        assert_eq!(texts, ["kept", "next"], "back on {back_on}");
        assert_eq!(outcome(&world, alice, given_up), Some(SendOutcome::NotReceived), "back on {back_on}");
        let kept = outcome(&world, alice, kept);
        assert!(matches!(kept, Some(SendOutcome::Stored | SendOutcome::Delivered)), "back on {back_on}: {kept:?}");
        assert_eq!(outcome(&world, alice, next), Some(SendOutcome::Delivered), "back on {back_on}");
    }
}

#[test]
fn what_a_killed_node_had_for_nobody_is_stored_or_given_up() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let lost = world.request(alice, to_peer(1, "bob", "lost"));
    let kept = world.request(alice, stored(2, "bob", "kept"));
    world.kill(1);
    world.advance(secs(1));
    assert_eq!(outcome(&world, alice, lost), None, "he may come back");
    world.advance(secs(9));
    assert_eq!(outcome(&world, alice, lost), Some(SendOutcome::NotReceived));
    assert_eq!(outcome(&world, alice, kept), Some(SendOutcome::Stored));
}

#[test]
fn a_receiver_that_stays_away_has_it_stored_by_its_own_node() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.cut(bob);
    let kept = world.request(alice, stored(1, "bob", "kept"));
    world.advance(secs(10));
    assert_eq!(outcome(&world, alice, kept), Some(SendOutcome::Stored));
    let bob = world.resume(1, bob);
    assert_eq!(world.texts(bob), ["kept"]);
}

#[test]
fn a_device_that_takes_no_bytes_is_sent_none() {
    let mut world = World::new(2);
    let mut login = login_of("bob");
    login.abilities.binary = false;
    let alice = world.login(0, "alice");
    let bob = world.login_with(1, login);
    let bytes = SendMessageToPeer { message: RtmMessage::binary(vec![1, 2]), ..to_peer(1, "bob", "") };
    let sent = world.request(alice, bytes);
    let refusal = world.reply(alice, sent).unwrap().as_ref().unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::IncompatibleMessage);
    assert_eq!(world.texts(bob), Vec::<String>::new());
}

#[test]
fn messages_of_a_busy_lane_stay_in_order() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(1, 0);
    for number in 0..200 {
        world.request(alice, to_peer(number + 1, "bob", &number.to_string()));
    }
    world.unstall();
    assert_eq!(world.texts(bob), (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_message_of_a_session_that_is_over_does_not_come_after_those_of_the_next_one() {
    for next_on in [1, 2] {
        let mut world = World::new(3);
        let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
        world.stall(0, 1);
        world.request(alice, to_peer(1, "bob", "old"));
        world.logout(alice);
        let alice = world.login(next_on, "alice");
        let new = world.request(alice, to_peer(2, "bob", "new"));
        assert_eq!(world.texts(bob), ["new"], "next on {next_on}");
        assert_eq!(outcome(&world, alice, new), Some(SendOutcome::Delivered), "next on {next_on}");
        world.unstall();
        world.advance(secs(1));
        assert_eq!(world.texts(bob), Vec::<String>::new(), "next on {next_on}");
    }
}

#[test]
fn a_message_of_a_session_that_is_over_arrives_before_those_of_the_next_one() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.stall(0, 1);
    world.request(alice, to_peer(1, "bob", "old"));
    world.logout(alice);
    let alice = world.login(1, "alice");
    world.unstall();
    world.request(alice, to_peer(2, "bob", "new"));
    assert_eq!(world.texts(bob), ["old", "new"]);
}

fn vendor_login_of(user: &str) -> Login {
    Login { abilities: Wire::Vendor.abilities(), ..login_of(user) }
}

/// Bob's node has all of Alice's messages, nothing that it says comes to hers, and it is lost.
fn behind_a_one_way_cut(bob: Login, next_on: usize) -> (World, Vec<String>, Vec<RequestId>, C, C) {
    let mut world = World::new(3);
    let (alice, first) = (world.login(0, "alice"), world.login_with(1, bob.clone()));
    let settled = world.request(alice, to_peer(1, "bob", "before"));
    assert_eq!(outcome(&world, alice, settled), Some(SendOutcome::Delivered));
    world.stall(1, 0);
    let sent = (0..600).map(|number| world.request(alice, to_peer(number + 2, "bob", &number.to_string()))).collect();
    let received = world.texts(first);
    assert_eq!(received.len(), 601);
    world.kill(1);
    let back = world.login_with(next_on, bob);
    world.advance(secs(20));
    (world, received, sent, alice, back)
}

#[test]
fn what_a_node_had_behind_a_one_way_cut_comes_again_in_order_to_a_device_that_knows_it() {
    for next_on in [0, 2] {
        let (mut world, received, sent, alice, back) = behind_a_one_way_cut(login_of("bob"), next_on);
        assert_eq!(world.texts(back), received[1..], "next on {next_on}");
        for sent in sent {
            assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::Delivered));
        }
    }
}

#[test]
fn what_a_node_had_behind_a_one_way_cut_does_not_come_again_to_a_device_that_would_not_know_it() {
    for next_on in [0, 2] {
        let (mut world, _, sent, alice, back) = behind_a_one_way_cut(vendor_login_of("bob"), next_on);
        assert_eq!(world.texts(back), Vec::<String>::new(), "next on {next_on}");
        for sent in sent {
            assert_eq!(outcome(&world, alice, sent), Some(SendOutcome::NotReceived));
        }
        let next = world.request(alice, to_peer(1000, "bob", "next"));
        assert_eq!(
            (world.texts(back), outcome(&world, alice, next)),
            (vec!["next".to_owned()], Some(SendOutcome::Delivered))
        );
    }
}

#[test]
fn what_a_lost_node_had_does_not_come_again_to_the_senders_node_if_the_device_would_not_know_it() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login_with(1, vendor_login_of("bob")));
    world.silence(bob);
    world.stall(1, 0);
    // Nothing was ever heard of his device.
    let sent = world.request(alice, to_peer(1, "bob", "once"));
    assert_eq!(world.texts(bob), ["once"]);
    world.kill(1);
    let back = world.login_with(0, vendor_login_of("bob"));
    world.advance(secs(1));
    assert_eq!((world.texts(back), outcome(&world, alice, sent)), (Vec::new(), Some(SendOutcome::NotReceived)));
}

#[test]
fn a_node_that_missed_a_logout_learns_of_it_from_the_node_that_the_user_left() {
    let mut world = World::new(2);
    let (alice, bob) = (world.login(0, "alice"), world.login(1, "bob"));
    world.blind(0);
    world.logout(bob);
    world.engine.forget("bob");
    let lost = world.request(alice, to_peer(1, "bob", "lost"));
    let kept = world.request(alice, stored(2, "bob", "kept"));
    world.advance(secs(1));
    assert_eq!(outcome(&world, alice, lost), Some(SendOutcome::NotReceived));
    assert_eq!(outcome(&world, alice, kept), Some(SendOutcome::Stored));
}
