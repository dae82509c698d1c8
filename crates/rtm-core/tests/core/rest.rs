//! Back ends: who may call, what becomes of messages whose senders have no session.

use rtm_codec::{
    CallLimit, ErrorKind, JoinChannel, MessageId, Refusal, SendMessageToPeer, Text, Token,
    anyrtc::rest::{
        HistorySearch, PeerMessageCode, RestAnswer, RestCall, RestChannelMessage, RestEventsOf, RestPeerMessage,
    },
};
use rtm_core::{ProjectConfig, Quota, RestCaller, RestKey};
use rtm_token::{Builder, Certificate};

use crate::harness::*;

/// The SHA-256 of "secret".
const SHA256: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";

fn rest_config() -> ProjectConfig {
    let mut config = config();
    config.rest.keys = vec![RestKey::new("back-end", SHA256).unwrap()];
    config
}

fn key(secret: &str) -> RestCaller {
    RestCaller::Key { id: "back-end".into(), secret: Token::new(secret).unwrap() }
}

fn to_bob(text: &str) -> RestPeerMessage {
    RestPeerMessage {
        from: uid("alice"),
        to: uid("bob"),
        payload: Text::from(text),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
        wait_for_ack: true,
    }
}

fn to_room(text: &str) -> RestChannelMessage {
    RestChannelMessage {
        from: uid("alice"),
        channel_id: room("room"),
        payload: Text::from(text),
        enable_historical_messaging: false,
    }
}

/// Calls, and gives the answer if it is there.
fn try_call(world: &mut World, caller: &RestCaller, call: RestCall) -> Option<Result<RestAnswer, Refusal>> {
    let id = world.core.rest(world.now, caller, call);
    world.pump();
    let mut answers = Vec::new();
    world.core.take_rest_answers(&mut answers);
    assert!(answers.iter().all(|(other, _)| *other == id));
    answers.pop().map(|(_, answer)| answer)
}

fn code(world: &mut World, send: RestPeerMessage) -> Option<PeerMessageCode> {
    match try_call(world, &key("secret"), RestCall::SendToPeer(send))? {
        Ok(RestAnswer::PeerMessage(code)) => Some(code),
        other => panic!("{other:?}"),
    }
}

fn later(world: &mut World) -> Option<Result<RestAnswer, Refusal>> {
    let mut answers = Vec::new();
    world.core.take_rest_answers(&mut answers);
    answers.pop().map(|(_, answer)| answer)
}

#[test]
fn who_waits_is_told_when_the_device_has_the_message() {
    let mut world = World::with(rest_config());
    let bob = world.login("bob");
    assert_eq!(code(&mut world, to_bob("hello")), Some(PeerMessageCode::Delivered));
    assert_eq!(world.texts(bob), ["hello"]);
    world.stop_acks(bob);
    assert_eq!(code(&mut world, to_bob("slow")), None);
    world.advance(secs(10));
    assert_eq!(later(&mut world), Some(Ok(RestAnswer::PeerMessage(PeerMessageCode::Sent))), "he may have it yet");
    let hasty = RestPeerMessage { wait_for_ack: false, ..to_bob("hasty") };
    assert_eq!(code(&mut world, hasty), Some(PeerMessageCode::Sent));
}

#[test]
fn an_offline_receiver_gets_what_was_to_be_stored_and_its_sender_knows_that_it_is_offline() {
    let mut world = World::with(rest_config());
    assert_eq!(code(&mut world, to_bob("lost")), Some(PeerMessageCode::PeerOffline));
    let kept = RestPeerMessage { enable_offline_messaging: true, ..to_bob("kept") };
    assert_eq!(code(&mut world, kept.clone()), Some(PeerMessageCode::PeerOffline));
    assert_eq!(code(&mut world, RestPeerMessage { wait_for_ack: false, ..kept }), Some(PeerMessageCode::Sent));
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), ["kept", "kept"]);
}

#[test]
fn what_was_not_to_be_waited_for_is_stored_when_the_device_does_not_get_it() {
    let mut world = World::with(rest_config());
    let bob = world.login("bob");
    world.stop_acks(bob);
    let kept = RestPeerMessage { enable_offline_messaging: true, wait_for_ack: false, ..to_bob("kept") };
    assert_eq!(code(&mut world, kept), Some(PeerMessageCode::Sent));
    world.logout(bob);
    let bob = world.login("bob");
    assert_eq!(world.texts(bob), ["kept"]);
}

/// What is answered to each call that has something kept, while the store fails or does not answer.
fn unkept(prepare: impl Fn(&mut World)) -> Vec<(String, Option<Result<RestAnswer, Refusal>>)> {
    let stored = RestPeerMessage { enable_offline_messaging: true, ..to_bob("stored") };
    let kept = RestPeerMessage { enable_historical_messaging: true, ..to_bob("kept") };
    let not_waited = |send: &RestPeerMessage| RestPeerMessage { wait_for_ack: false, ..send.clone() };
    let to_room = RestChannelMessage { enable_historical_messaging: true, ..to_room("kept") };
    let calls = [
        ("offline", false, RestCall::SendToPeer(stored.clone())),
        ("offline, not waited for", false, RestCall::SendToPeer(not_waited(&stored))),
        ("online with history", true, RestCall::SendToPeer(kept.clone())),
        ("online with history, not waited for", true, RestCall::SendToPeer(not_waited(&kept))),
        ("channel with history", true, RestCall::SendToChannel(to_room)),
    ];
    let answer = |(name, is_online, call): (&str, bool, RestCall)| {
        let mut world = World::with(rest_config());
        if is_online {
            world.login("bob");
        }
        prepare(&mut world);
        let answer = try_call(&mut world, &key("secret"), call);
        world.advance(secs(10));
        (name.to_owned(), answer.or_else(|| later(&mut world)))
    };
    calls.into_iter().map(answer).collect()
}

#[test]
fn what_the_store_does_not_keep_or_does_not_say_is_no_success() {
    for (name, answer) in unkept(|world| world.store.is_broken = true) {
        assert!(matches!(&answer, Some(Err(refusal)) if refusal.kind == ErrorKind::Failure), "{name}: {answer:?}");
    }
    for (name, answer) in unkept(World::hold_store) {
        assert!(matches!(&answer, Some(Err(refusal)) if refusal.kind == ErrorKind::Failure), "{name}: {answer:?}");
    }
    for (name, answer) in unkept(|_| {}) {
        assert!(matches!(answer, Some(Ok(_))), "{name}: {answer:?}");
    }
}

#[test]
fn a_message_that_no_device_and_no_store_has_for_certain_is_no_success() {
    let mut world = World::with(rest_config());
    let bob = world.login("bob");
    world.stop_acks(bob);
    world.hold_store();
    assert_eq!(code(&mut world, RestPeerMessage { enable_offline_messaging: true, ..to_bob("stored") }), None);
    world.advance(secs(10));
    assert_eq!(later(&mut world).unwrap().unwrap_err().kind, ErrorKind::Failure);
}

#[test]
fn a_message_of_a_session_and_one_without_have_different_numbers() {
    let mut world = World::with(rest_config());
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, SendMessageToPeer { message_id: MessageId(1), ..to_peer(1, "bob", "one") }).unwrap();
    code(&mut world, to_bob("two"));
    code(&mut world, to_bob("three"));
    let ids: Vec<_> = world
        .events(bob)
        .into_iter()
        .filter_map(|event| match event {
            rtm_codec::Event::MessageFromPeer(message) => Some(message.message_id.0),
            _ => None,
        })
        .collect();
    assert!(ids.len() == 3 && ids[1] != ids[0] && ids[2] == ids[1] + 1, "{ids:?}");
    assert!(ids[2] < 1 << 53, "JavaScript can say it");
}

#[test]
fn a_channel_message_reaches_all_members_but_the_senders_own_session() {
    let mut world = World::with(rest_config());
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("room") }).unwrap();
    }
    let call = RestCall::SendToChannel(to_room("to all"));
    assert_eq!(try_call(&mut world, &key("secret"), call), Some(Ok(RestAnswer::ChannelMessage)));
    assert_eq!((world.texts(alice), world.texts(bob)), (vec![], vec!["to all".to_owned()]));
    let elsewhere = RestChannelMessage { channel_id: room("empty"), ..to_room("to nobody") };
    let call = RestCall::SendToChannel(elsewhere);
    assert_eq!(try_call(&mut world, &key("secret"), call), Some(Ok(RestAnswer::ChannelMessage)));
}

#[test]
fn without_a_key_nobody_may_call() {
    let mut world = World::new();
    for caller in [key("secret"), RestCaller::User { user_id: uid("alice"), token: Token::new("006x").unwrap() }] {
        let refused = try_call(&mut world, &caller, RestCall::SendToPeer(to_bob("hello"))).unwrap().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::NotAuthorized);
    }
    let mut world = World::with(rest_config());
    let unknown = RestCaller::Key { id: "other".into(), secret: Token::new("secret").unwrap() };
    let user = RestCaller::User { user_id: uid("alice"), token: Token::new("006x").unwrap() };
    // A wrong key is not called a wrong token.
    let kinds = [
        (key("secreT"), ErrorKind::NotAuthorized),
        (unknown, ErrorKind::NotAuthorized),
        (user, ErrorKind::InvalidToken),
    ];
    for (caller, kind) in kinds {
        let refused = try_call(&mut world, &caller, RestCall::SendToPeer(to_bob("hello"))).unwrap().unwrap_err();
        assert_eq!(refused.kind, kind, "{caller:?}");
    }
}

#[test]
fn an_operator_needs_no_key_and_has_no_limit() {
    let mut world = World::new();
    let bob = world.login("bob");
    for _ in 0..600 {
        let answer = try_call(&mut world, &RestCaller::Operator, RestCall::SendToPeer(to_bob("hello")));
        assert!(matches!(answer, Some(Ok(RestAnswer::PeerMessage(_)))), "{answer:?}");
    }
    assert_eq!(world.texts(bob).len(), 600);
}

#[test]
fn a_search_is_signed_alike_by_all_cores_with_the_same_keys() {
    let signed = |config: ProjectConfig| World::with(config).core.sign_search("handle");
    assert_eq!(signed(rest_config()), signed(rest_config()));
    assert_ne!(signed(rest_config()), World::with(rest_config()).core.sign_search("Handle"));
    let mut other = rest_config();
    other.rest.keys.pop();
    assert_ne!(signed(rest_config()), signed(other));
}

#[test]
fn a_token_sends_as_its_user_alone_and_reads_what_is_its_users() {
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let token = Builder::new(APP_ID, &certificate, "alice", START_MS / 1000, 1).build();
    let mut config = rest_config();
    config.certificates = vec![certificate];
    let mut world = World::with(config);
    let alice = RestCaller::User { user_id: uid("alice"), token: Token::new(token.unwrap()).unwrap() };
    let sent = try_call(&mut world, &alice, RestCall::SendToPeer(to_bob("hello")));
    assert_eq!(sent, Some(Ok(RestAnswer::PeerMessage(PeerMessageCode::PeerOffline))));
    let search = |source: Option<&str>, destination: Option<&str>| {
        let (source, destination) = (source.map(uid), destination.map(uid));
        let search =
            HistorySearch { source, destination, from_ts: 0, until_ts: 1, offset: 0, limit: 20, newest_first: false };
        RestCall::QueryHistory(search)
    };
    for own in [search(Some("alice"), None), search(None, Some("alice")), search(Some("bob"), Some("alice"))] {
        assert!(matches!(try_call(&mut world, &alice, own), Some(Ok(RestAnswer::Query(_)))));
    }
    let as_bob = RestPeerMessage { from: uid("bob"), ..to_bob("forged") };
    let others = [
        RestCall::SendToPeer(as_bob),
        search(Some("bob"), None),
        search(None, Some("room")),
        RestCall::Events(RestEventsOf::Users),
    ];
    for call in others {
        let refused = try_call(&mut world, &alice, call).unwrap().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::NotAuthorized);
    }
    world.ban("alice", u64::MAX);
    let refused = try_call(&mut world, &alice, RestCall::SendToPeer(to_bob("hello"))).unwrap().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Banned);
}

#[test]
fn a_project_takes_no_more_messages_than_its_limit_allows() {
    let mut config = rest_config();
    config.rest.limit = CallLimit::new(2, secs(1));
    let mut world = World::with(config);
    let send = |world: &mut World| try_call(world, &key("secret"), RestCall::SendToPeer(to_bob("hello"))).unwrap();
    assert!(send(&mut world).is_ok() && send(&mut world).is_ok());
    let refused = send(&mut world).unwrap_err();
    assert_eq!((refused.kind, refused.retry_after()), (ErrorKind::TooOften, Some(secs(1))));
    assert!(refused.to_string().contains("(rest)"), "it names the quota: {refused}");
    assert!(world.core.counters().quotas().any(|counted| counted == (Quota::Rest, 1)), "and is counted by it");
    world.advance(secs(1));
    assert!(send(&mut world).is_ok());
}
