//! What a broken or hostile client can do: nothing to anybody else.

use rtm_codec::{
    Answer, ClientFrame, CloseReason, Command, ErrorKind, JoinChannel, Refusal, RequestId, Seq, SetLocalUserAttributes,
};
use rtm_core::{JobId, StoreAnswer, StoreDone};

use crate::harness::*;

#[test]
fn an_acknowledgement_of_what_was_never_sent_closes_the_connection() {
    for (received, consumed) in [(1, 0), (u64::MAX, 0), (0, 1), (u64::MAX, u64::MAX)] {
        let mut world = World::new();
        let (alice, bob) = (world.login("alice"), world.login("bob"));
        world.frame(
            alice,
            ClientFrame::Ack { received: Seq(received), consumed: Seq(consumed), answered: RequestId(0) },
        );
        assert_eq!(world.closed(alice), Some(CloseReason::ProtocolError));
        assert_eq!(world.closed(bob), None);
    }
}

#[test]
fn an_old_acknowledgement_does_no_harm() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for id in 1..=3 {
        world.call(alice, to_peer(id, "bob", "x")).unwrap();
    }
    world.ack(bob, 1, 1);
    world.ack(bob, 0, 0);
    assert_eq!(world.closed(bob), None);
    world.call(alice, to_peer(4, "bob", "x")).unwrap();
    assert_eq!(world.received(bob), 4);
}

#[test]
fn a_request_that_could_not_be_read_is_refused_and_the_rest_goes_on() {
    let mut world = World::new();
    let alice = world.login("alice");
    let refusal = Refusal::new(ErrorKind::InvalidArgument, "the user id is empty");
    world.frame(alice, ClientFrame::BadRequest { id: RequestId(1), refusal: refusal.clone() });
    assert_eq!(world.reply(alice, RequestId(1)), Some(Err(refusal)));
    world
        .frame(alice, ClientFrame::Request { id: RequestId(2), command: JoinChannel { channel_id: room("r") }.into() });
    assert!(world.reply(alice, RequestId(2)).unwrap().is_ok());
}

#[test]
fn frames_after_the_end_are_passed_over() {
    let mut world = World::new();
    let alice = world.login("alice");
    let conn = world.conn(alice);
    world.core.handle_frame(world.now, conn, ClientFrame::Logout);
    world.core.handle_frame(world.now, conn, ClientFrame::Ping);
    world.core.handle_frame(world.now, conn, ClientFrame::Login(Box::new(login_of("alice"))));
    world.pump();
    assert_eq!(world.closed(alice), Some(CloseReason::Logout));
    // The connection is gone by now.
    world.core.handle_frame(world.now, conn, ClientFrame::Ping);
    world.core.disconnect(world.now, conn);
    world.core.close(world.now, conn, CloseReason::Internal);
    let mut out = Vec::new();
    assert!(!world.core.take_output(conn, &mut out));
    assert!(out.is_empty());
    assert_eq!(world.core.stats().connections, 0);
}

#[test]
fn a_connection_of_the_past_is_not_one_of_the_present() {
    let mut world = World::new();
    let alice = world.login("alice");
    let old = world.conn(alice);
    world.cut(alice);
    let bob = world.login("bob");
    assert_ne!(world.conn(bob), old);
    world.core.handle_frame(world.now, old, ClientFrame::Logout);
    world.core.disconnect(world.now, old);
    world.pump();
    assert_eq!(world.closed(bob), None);
    assert_eq!(world.core.stats().users, 2);
}

#[test]
fn requests_may_come_with_any_numbers() {
    let mut world = World::new();
    let alice = world.login("alice");
    for id in [5, 3, u64::MAX, 0, 4, u64::MAX - 1] {
        let command = Command::from(SetLocalUserAttributes { attributes: attributes(&[("k", "v")]) });
        world.frame(alice, ClientFrame::Request { id: RequestId(id), command });
        let answer = world.reply(alice, RequestId(id)).unwrap();
        assert_eq!(answer, Ok(Answer::SetLocalUserAttributes(())));
    }
}

#[test]
fn answers_that_are_never_acknowledged_are_not_kept_for_ever() {
    let mut world = World::new();
    let alice = world.login("alice");
    for _ in 0..10_000 {
        world.call(alice, SetLocalUserAttributes { attributes: attributes(&[("k", "v")]) }).unwrap();
    }
    // The oldest of them was forgotten and is done again, the newest is repeated from memory.
    assert_eq!(world.closed(alice), None);
}

#[test]
fn a_request_that_the_client_said_to_be_answered_is_refused() {
    let mut world = World::new();
    let alice = world.login("alice");
    let conn = world.conn(alice);
    let ack = ClientFrame::Ack { received: Seq(0), consumed: Seq(0), answered: RequestId(10) };
    world.core.handle_frame(world.now, conn, ack);
    let command = Command::from(JoinChannel { channel_id: room("r") });
    world.frame(alice, ClientFrame::Request { id: RequestId(3), command });
    assert_eq!(world.reply(alice, RequestId(3)).unwrap().unwrap_err().kind, ErrorKind::Failure);
}

#[test]
fn a_request_under_way_is_answered_whatever_the_client_says() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    let id = world.request(alice, to_peer(1, "bob", "x"));
    let conn = world.conn(alice);
    let ack = ClientFrame::Ack { received: Seq(0), consumed: Seq(0), answered: RequestId(10) };
    world.core.handle_frame(world.now, conn, ack);
    world.ack(bob, 1, 1);
    assert!(world.reply(alice, id).unwrap().is_ok());
}

#[test]
fn an_outcome_of_no_job_does_no_harm() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.core.handle_stored(world.now, StoreDone { id: JobId(999), result: Ok(StoreAnswer::Done) });
    world.call(alice, stored_to_peer(1, "bob", "x")).unwrap();
}

#[test]
fn an_answer_of_another_job_is_a_failure() {
    let mut world = World::new();
    let alice = world.login("alice");
    let conn = world.conn(alice);
    let command = stored_to_peer(1, "bob", "x").into();
    world.core.handle_frame(world.now, conn, ClientFrame::Request { id: RequestId(1), command });
    let mut jobs = Vec::new();
    world.core.take_store_jobs(&mut jobs);
    let id = jobs.pop().unwrap().id;
    world.core.handle_stored(world.now, StoreDone { id, result: Ok(StoreAnswer::Done) });
    world.pump();
    assert_eq!(world.reply(alice, RequestId(1)).unwrap().unwrap_err().kind, ErrorKind::Failure);
}

#[test]
fn ten_thousand_connects_and_drops_leave_nothing() {
    let mut world = World::new();
    for n in 0..10_000 {
        let conn = world.core.connect();
        if n % 2 == 0 {
            let login = login_of(&format!("u{}", n % 100));
            world.core.handle_frame(world.now, conn, ClientFrame::Login(Box::new(login)));
        }
        world.core.disconnect(world.now, conn);
        let mut wakes = Vec::new();
        world.core.take_wakes(&mut wakes);
    }
    world.advance(secs(121));
    let stats = world.core.stats();
    assert_eq!((stats.connections, stats.sessions, stats.users), (0, 0, 0));
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut world = World::new();
        let clients: Vec<C> = (0..20).map(|n| world.login(&format!("u{n}"))).collect();
        for client in &clients {
            world.call(*client, JoinChannel { channel_id: room("r") }).unwrap();
            let peer_ids = (0..20).map(|n| uid(&format!("u{n}"))).collect();
            world.call(*client, rtm_codec::SubscribePeersOnlineStatus { peer_ids }).unwrap();
        }
        for client in clients.iter().step_by(3) {
            world.cut(*client);
        }
        world.advance(secs(40));
        let tickets: Vec<_> = clients.iter().map(|client| world.welcome(*client).ticket).collect();
        let events: Vec<_> = clients.iter().map(|client| world.events(*client)).collect();
        (tickets, events)
    };
    let (one, other) = (run(), run());
    assert_eq!(one.0, other.0);
    assert_eq!(one.1, other.1);
}
