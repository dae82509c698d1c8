//! What the vendor's HTTP endpoints get.

use rtm_codec::{
    ErrorKind, HistoryOf, JoinChannel, Login, PeerMessage, QueryHistory, RtmMessage, SendChannelMessage,
    SendMessageToPeer,
};
use rtm_core::HttpAnswer;

use crate::harness::*;

fn texts(answer: &HttpAnswer) -> Vec<&str> {
    match answer {
        HttpAnswer::Offline(messages) => messages.iter().filter_map(|of| of.message.as_text()).collect(),
        HttpAnswer::History(page) => page.messages.iter().filter_map(|of| of.message.as_text()).collect(),
    }
}

fn history(of: HistoryOf) -> QueryHistory {
    QueryHistory { of, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100 }
}

#[test]
fn stored_messages_are_pulled_with_the_sessions_id() {
    let mut world = World::new();
    let alice = world.login("alice");
    for (id, text) in [(1, "one"), (2, "two")] {
        world.call(alice, stored_to_peer(id, "bob", text)).unwrap();
    }
    world.login_vendor("bob");
    let id = world.core.take_offline(world.now, &uid("bob"), "gateway-of-bob").unwrap();
    world.pump();
    let answer = world.http.remove(&id).unwrap().unwrap();
    assert_eq!(texts(&answer), ["one", "two"]);
    let HttpAnswer::Offline(messages) = answer else { panic!("{answer:?}") };
    assert!(messages.iter().all(|PeerMessage { is_offline_message, .. }| *is_offline_message));
}

#[test]
fn they_are_removed_once_they_were_handed_out() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "x")).unwrap();
    world.login_vendor("bob");
    let lost = world.core.take_offline(world.now, &uid("bob"), "gateway-of-bob").unwrap();
    world.pump();
    assert_eq!(texts(world.http[&lost].as_ref().unwrap()), ["x"]);
    let again = world.core.take_offline(world.now, &uid("bob"), "gateway-of-bob").unwrap();
    world.pump();
    assert_eq!(texts(world.http[&again].as_ref().unwrap()), ["x"], "the first answer was not handed out");
    world.core.offline_taken(again);
    world.pump();
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
    let empty = world.core.take_offline(world.now, &uid("bob"), "gateway-of-bob").unwrap();
    world.pump();
    assert_eq!(texts(world.http[&empty].as_ref().unwrap()), Vec::<&str>::new());
}

#[test]
fn without_the_sessions_id_nothing_is_given() {
    let mut world = World::new();
    world.login_vendor("bob");
    world.login("native");
    world.login_with(Login { gateway_session: Some(rtm_codec::Text::from("")), ..vendor_login_of("empty") });
    let cases = [
        ("bob", ""),
        ("bob", "gateway-of-alice"),
        ("bob", "gateway-of-bob2"),
        ("alice", "gateway-of-bob"),
        ("native", ""),
        ("empty", ""),
    ];
    for (user, session) in cases {
        let refusal = world.core.take_offline(world.now, &uid(user), session).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::NotLoggedIn, "{user} {session}");
        let query = history(HistoryOf::Peer(uid("bob")));
        let refusal = world.core.query_history(world.now, &uid(user), session, &query).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::NotLoggedIn);
    }
}

#[test]
fn a_session_that_ended_opens_nothing() {
    let mut world = World::new();
    let bob = world.login_vendor("bob");
    world.logout(bob);
    assert!(world.core.take_offline(world.now, &uid("bob"), "gateway-of-bob").is_err());
}

#[test]
fn a_binary_message_stays_for_another_login() {
    let mut world = World::new();
    let alice = world.login("alice");
    let binary = SendMessageToPeer { message: RtmMessage::binary(vec![1]), ..stored_to_peer(1, "bob", "") };
    world.call(alice, binary).unwrap();
    world.call(alice, stored_to_peer(2, "bob", "text")).unwrap();
    world.login_vendor("bob");
    let id = world.core.take_offline(world.now, &uid("bob"), "gateway-of-bob").unwrap();
    world.pump();
    assert_eq!(texts(world.http[&id].as_ref().unwrap()), ["text"]);
    world.core.offline_taken(id);
    world.pump();
    assert_eq!(world.store.waiting("bob"), ["(binary)"]);
}

#[test]
fn a_store_that_fails_is_an_answer() {
    let mut world = World::new();
    world.login_vendor("bob");
    world.store.is_broken = true;
    let id = world.core.take_offline(world.now, &uid("bob"), "gateway-of-bob").unwrap();
    let query = history(HistoryOf::Peer(uid("alice")));
    let other = world.core.query_history(world.now, &uid("bob"), "gateway-of-bob", &query).unwrap();
    world.pump();
    for id in [id, other] {
        assert_eq!(world.http[&id].as_ref().unwrap_err().kind, ErrorKind::Failure);
    }
}

#[test]
fn history_is_asked_over_http_by_the_same_rules() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login_vendor("bob"));
    let kept = SendMessageToPeer { enable_historical_messaging: true, ..to_peer(1, "bob", "kept") };
    world.request(alice, kept);
    world.call(bob, JoinChannel { channel_id: room("r") }).unwrap();
    let said = SendChannelMessage {
        message_id: rtm_codec::MessageId(2),
        channel_id: room("r"),
        message: "said".into(),
        enable_historical_messaging: true,
    };
    world.call(bob, said).unwrap();
    let peer = history(HistoryOf::Peer(uid("alice")));
    let peer = world.core.query_history(world.now, &uid("bob"), "gateway-of-bob", &peer).unwrap();
    let channel = history(HistoryOf::Channel(room("r")));
    let channel = world.core.query_history(world.now, &uid("bob"), "gateway-of-bob", &channel).unwrap();
    world.pump();
    assert_eq!(texts(world.http[&peer].as_ref().unwrap()), ["kept"]);
    assert_eq!(texts(world.http[&channel].as_ref().unwrap()), ["said"]);
    let elsewhere = history(HistoryOf::Channel(room("elsewhere")));
    let refusal = world.core.query_history(world.now, &uid("bob"), "gateway-of-bob", &elsewhere).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::NotInChannel);
}
