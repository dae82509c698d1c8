//! A call's way: sent, answered once, or ended by its deadline.

use rtm_codec::{
    Answer, CloseReason, Command, ErrorKind, GetChannelMemberCount, GetUserAttributes, MessageId,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, RequestId, SendOutcome, ServerFrame,
    SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus,
};
use rtm_connection::{Config, ConnectionState as State};

use crate::peer::{MS, Peer, SECOND, channel, to_alice, user};

#[test]
fn a_call_is_sent_and_its_answer_comes_back() {
    let mut peer = Peer::online();
    let id = peer.request(QueryPeersOnlineStatus { peer_ids: vec![user("alice")] });
    assert_eq!(peer.expect_request(id), QueryPeersOnlineStatus { peer_ids: vec![user("alice")] }.into());
    peer.expect_no_reply();
    let answer = Answer::QueryPeersOnlineStatus(vec![(user("alice"), rtm_codec::PeerOnlineState::Online)]);
    peer.reply(id, answer.clone());
    assert_eq!(peer.expect_ok(id), answer);
}

#[test]
fn the_first_call_is_number_one() {
    assert_eq!(Peer::online().request(QueryPeersBySubscriptionOption {}), RequestId(1));
}

#[test]
fn a_refusal_carries_its_kind_its_code_and_its_detail() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    let refusal = rtm_codec::Refusal::new(ErrorKind::IncompatibleMessage, "no bytes here");
    peer.frame(ServerFrame::Reply { id, result: Err(refusal) });
    let error = peer.expect_err(id, ErrorKind::IncompatibleMessage);
    assert_eq!((error.code(), error.detail()), (Some(8), "no bytes here"));
    assert_eq!(error.to_string(), "the receiver's client cannot receive this kind of message: no bytes here (code 8)");
}

#[test]
fn a_second_answer_and_one_to_nothing_do_no_harm() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    for _ in 0..2 {
        peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered));
    }
    peer.reply(RequestId(77), Answer::SendMessageToPeer(SendOutcome::Delivered));
    peer.expect_ok(id);
    peer.expect_no_reply();
}

#[test]
fn an_answer_of_another_kind_is_a_failure() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.reply(id, Answer::JoinChannel(()));
    peer.expect_err(id, ErrorKind::Failure);
}

#[test]
fn each_family_has_its_deadline_and_its_code_for_it() {
    let peers = || vec![user("alice")];
    let calls: [(Command, u32, Option<u16>); 7] = [
        (to_alice("hi").into(), 10, Some(2)),
        (QueryPeersOnlineStatus { peer_ids: peers() }.into(), 10, Some(2)),
        (SubscribePeersOnlineStatus { peer_ids: peers() }.into(), 10, Some(4)),
        (UnsubscribePeersOnlineStatus { peer_ids: peers() }.into(), 10, Some(4)),
        (QueryPeersBySubscriptionOption {}.into(), 5, Some(2)),
        (GetUserAttributes { user_id: user("alice"), keys: None }.into(), 5, Some(7)),
        (GetChannelMemberCount { channel_ids: vec![channel("room")] }.into(), 5, Some(4)),
    ];
    for (command, seconds, code) in calls {
        let mut peer = Peer::online();
        let id = peer.request(command);
        peer.pass(SECOND * seconds - MS);
        peer.expect_no_reply();
        peer.pass(MS);
        assert_eq!(peer.expect_err(id, ErrorKind::Timeout).code(), code);
        assert_eq!(peer.connection.state(), State::Connected);
    }
}

#[test]
fn a_late_answer_is_not_heard() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.pass(SECOND * 10);
    peer.expect_err(id, ErrorKind::Timeout);
    peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered));
    peer.expect_no_reply();
}

#[test]
fn deadlines_end_calls_in_the_order_in_which_they_pass() {
    let mut peer = Peer::online();
    let slow = peer.request(to_alice("hi"));
    peer.pass(SECOND);
    let quick = peer.request(QueryPeersBySubscriptionOption {});
    peer.pass(SECOND * 20);
    peer.expect_err(quick, ErrorKind::Timeout);
    peer.expect_err(slow, ErrorKind::Timeout);
}

#[test]
fn without_a_login_a_call_ends_at_once() {
    let mut peer = Peer::new(Config::native());
    let id = peer.request(to_alice("hi"));
    assert_eq!(peer.expect_err(id, ErrorKind::NotLoggedIn).code(), Some(102));
    peer.login();
    let id = peer.request(to_alice("hi"));
    peer.expect_err(id, ErrorKind::NotLoggedIn);
}

#[test]
fn a_session_that_ends_for_good_ends_its_calls() {
    let mut peer = Peer::online();
    let send = peer.request(to_alice("hi"));
    let read = peer.request(QueryPeersBySubscriptionOption {});
    peer.close(CloseReason::RemoteLogin);
    // The message may have been delivered; a read has no effect to wonder about.
    peer.expect_err(send, ErrorKind::OutcomeUnknown);
    peer.expect_err(read, ErrorKind::NotLoggedIn);
    peer.pass(SECOND * 100);
    peer.expect_no_reply();
}

#[test]
fn only_so_many_calls_are_under_way_at_once() {
    let mut config = Config::native();
    config.limits = rtm_codec::CallLimits::unlimited();
    let mut peer = Peer::online_with(config);
    let ids: Vec<_> = (0..4096).map(|_| peer.request(to_alice("hi"))).collect();
    peer.expect_no_reply();
    let refused = peer.request(to_alice("hi"));
    peer.expect_err(refused, ErrorKind::TooOften);
    peer.reply(ids[0], Answer::SendMessageToPeer(SendOutcome::Delivered));
    peer.expect_ok(ids[0]);
    let taken = peer.request(to_alice("hi"));
    peer.expect_no_reply();
    peer.pass(SECOND * 10);
    for id in ids.into_iter().skip(1).chain([taken]) {
        peer.expect_err(id, ErrorKind::Timeout);
    }
}

#[test]
fn a_message_without_a_number_gets_one_of_at_most_13_digits() {
    let mut config = Config::native();
    config.limits = rtm_codec::CallLimits::unlimited();
    let mut peer = Peer::online_with(config);
    let mut numbers = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let id = peer.request(to_alice("hi"));
        let Command::SendMessageToPeer(send) = peer.expect_request(id) else { panic!("a message") };
        assert!((1..10_000_000_000_000).contains(&send.message_id.0));
        numbers.insert(send.message_id);
    }
    assert_eq!(numbers.len(), 1000);
    let id = peer.request(rtm_codec::SendMessageToPeer { message_id: MessageId(7), ..to_alice("hi") });
    let Command::SendMessageToPeer(send) = peer.expect_request(id) else { panic!("a message") };
    assert_eq!(send.message_id, MessageId(7));
}

#[test]
fn a_message_to_oneself_is_like_any_other() {
    let mut peer = Peer::online();
    let id = peer.request(rtm_codec::SendMessageToPeer { peer_id: user("bob"), ..to_alice("note") });
    peer.expect_request(id);
}
