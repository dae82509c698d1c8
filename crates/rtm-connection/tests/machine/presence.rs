//! Subscriptions to online states: counted in all, kept over reconnects, and had again where they were lost.

use rtm_codec::{
    Answer, Command, ErrorKind, Resumption, SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus, UserId,
};
use rtm_connection::{GapReason, Restored, RtmEvent};

use crate::peer::{Peer, SECOND, user};

fn users(range: std::ops::Range<usize>) -> Vec<UserId> {
    range.map(|i| user(&format!("u{i:03}"))).collect()
}

fn subscribe(peer: &mut Peer, range: std::ops::Range<usize>) {
    let id = peer.request(SubscribePeersOnlineStatus { peer_ids: users(range) });
    peer.expect_request(id);
    peer.reply(id, Answer::SubscribePeersOnlineStatus(()));
    peer.expect_ok(id);
}

fn restored(peer: &mut Peer) -> Vec<UserId> {
    let (id, command) = peer.expect_any_request();
    let Command::SubscribePeersOnlineStatus(subscribe) = command else { panic!("a subscription") };
    peer.reply(id, Answer::SubscribePeersOnlineStatus(()));
    peer.expect_no_reply();
    subscribe.peer_ids
}

#[test]
fn the_total_is_512_however_many_calls_it_takes() {
    let mut peer = Peer::online();
    subscribe(&mut peer, 0..500);
    let id = peer.request(SubscribePeersOnlineStatus { peer_ids: users(500..513) });
    assert_eq!(peer.expect_err(id, ErrorKind::ExceedLimit).code(), Some(6));
    // Those that are subscribed already count once.
    subscribe(&mut peer, 490..512);
    let id = peer.request(UnsubscribePeersOnlineStatus { peer_ids: users(0..1) });
    peer.expect_request(id);
    peer.reply(id, Answer::UnsubscribePeersOnlineStatus(()));
    peer.expect_ok(id);
    subscribe(&mut peer, 512..513);
}

#[test]
fn subscriptions_without_an_answer_yet_count_too() {
    let mut peer = Peer::online();
    peer.request(SubscribePeersOnlineStatus { peer_ids: users(0..500) });
    let id = peer.request(SubscribePeersOnlineStatus { peer_ids: users(500..513) });
    peer.expect_err(id, ErrorKind::ExceedLimit);
}

#[test]
fn a_new_session_gets_the_subscriptions_and_a_kept_one_does_not_need_them() {
    let mut peer = Peer::online();
    subscribe(&mut peer, 0..3);
    for resumption in [Resumption::Resumed, Resumption::Lapsed] {
        peer.reconnect(resumption);
        peer.expect_no_request();
    }
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    assert_eq!(restored(&mut peer), users(0..3));
}

#[test]
fn what_was_unsubscribed_or_refused_does_not_come_back() {
    let mut peer = Peer::online();
    subscribe(&mut peer, 0..3);
    let id = peer.request(UnsubscribePeersOnlineStatus { peer_ids: users(0..2) });
    peer.reply(id, Answer::UnsubscribePeersOnlineStatus(()));
    let id = peer.request(SubscribePeersOnlineStatus { peer_ids: users(7..8) });
    peer.refuse(id, ErrorKind::Failure);
    peer.forget_all();
    peer.reconnect(Resumption::New);
    assert_eq!(restored(&mut peer), users(2..3));
}

#[test]
fn a_subscription_that_cannot_be_restored_is_tried_three_times_and_then_said() {
    let mut peer = Peer::online();
    subscribe(&mut peer, 0..3);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    for attempt in 1..=3 {
        let (id, _) = peer.expect_any_request();
        peer.expect_no_request();
        peer.refuse(id, ErrorKind::TooOften);
        if attempt < 3 {
            peer.pass(SECOND * 4);
            peer.expect_no_request();
            peer.pass(SECOND * 3);
        }
    }
    let RtmEvent::RestoreFailed { what: Restored::Subscriptions, error, .. } = peer.expect_any_event() else {
        panic!("the failure")
    };
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooOften, Some(5)));
    peer.reconnect(Resumption::New);
    peer.expect_no_request();
}

#[test]
fn restoring_that_a_cut_interrupted_goes_on() {
    let mut peer = Peer::online();
    subscribe(&mut peer, 0..3);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    peer.expect_any_request();
    // The server keeps the new session, but whether it got the subscription nobody knows.
    peer.reconnect(Resumption::Resumed);
    assert_eq!(restored(&mut peer), users(0..3));
    peer.reconnect(Resumption::Resumed);
    peer.expect_no_request();
}
