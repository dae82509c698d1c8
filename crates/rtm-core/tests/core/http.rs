//! What the vendor's HTTP endpoints answer.

use crate::harness::*;
use rtm_codec::{
    AppId, CallLimit, ErrorKind, HistoryOf, JoinChannel, LimitedCall, Login, PeerMessage, QueryHistory, RtmMessage,
    SendChannelMessage, SendMessageToPeer, UserId,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest},
};

fn caller(user: &str, session: &str) -> Caller {
    Caller { app_id: AppId::new(APP_ID).unwrap(), user_id: uid(user), session: session.into() }
}

fn stored(user: &str) -> GatewayRequest {
    GatewayRequest::OfflineMessages { caller: caller(user, &format!("gateway-of-{user}")) }
}

fn history(user: &str, of: HistoryOf) -> GatewayRequest {
    let query = QueryHistory { of, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100 };
    GatewayRequest::History { caller: caller(user, &format!("gateway-of-{user}")), query }
}

fn texts(answer: &GatewayAnswer) -> Vec<&str> {
    match answer {
        GatewayAnswer::OfflineMessages(messages) => {
            messages.iter().filter_map(|message| message.message.as_text()).collect()
        }
        GatewayAnswer::History(page) => page.messages.iter().filter_map(|message| message.message.as_text()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stored_messages_are_pulled_with_the_sessions_id() {
    let mut world = World::new();
    let alice = world.login("alice");
    for (id, text) in [(1, "one"), (2, "two")] {
        world.call(alice, stored_to_peer(id, "bob", text)).unwrap();
    }
    world.login_vendor("bob");
    let (_, answer) = world.ask(stored("bob"));
    assert_eq!(texts(&answer), ["one", "two"]);
    let GatewayAnswer::OfflineMessages(messages) = answer else { panic!("{answer:?}") };
    assert!(messages.iter().all(|PeerMessage { is_offline_message, .. }| *is_offline_message));
}

#[test]
fn they_are_removed_once_the_client_has_the_answer() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "x")).unwrap();
    world.login_vendor("bob");
    let (_, lost) = world.ask(stored("bob"));
    assert_eq!(texts(&lost), ["x"]);
    let (again, answer) = world.ask(stored("bob"));
    assert_eq!(texts(&answer), ["x"], "the first answer was lost");
    world.core.http_answer_taken(again);
    world.pump();
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
    assert_eq!(texts(&world.ask(stored("bob")).1), Vec::<&str>::new());
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
        let refused = GatewayAnswer::Refused(ErrorKind::NotLoggedIn);
        let request = GatewayRequest::OfflineMessages { caller: caller(user, session) };
        assert_eq!(world.ask(request).1, refused, "{user} {session}");
        let GatewayRequest::History { query, .. } = history(user, HistoryOf::Peer(uid("bob"))) else { unreachable!() };
        let request = GatewayRequest::History { caller: caller(user, session), query };
        assert_eq!(world.ask(request).1, refused, "{user} {session}");
    }
}

#[test]
fn a_session_that_ended_opens_nothing() {
    let mut world = World::new();
    let bob = world.login_vendor("bob");
    world.logout(bob);
    assert_eq!(world.ask(stored("bob")).1, GatewayAnswer::Refused(ErrorKind::NotLoggedIn));
}

#[test]
fn a_binary_message_stays_for_another_login() {
    let mut world = World::new();
    let alice = world.login("alice");
    let binary = SendMessageToPeer { message: RtmMessage::binary(vec![1]), ..stored_to_peer(1, "bob", "") };
    world.call(alice, binary).unwrap();
    world.call(alice, stored_to_peer(2, "bob", "text")).unwrap();
    world.login_vendor("bob");
    let (id, answer) = world.ask(stored("bob"));
    assert_eq!(texts(&answer), ["text"]);
    world.core.http_answer_taken(id);
    world.pump();
    assert_eq!(world.store.waiting("bob"), ["(binary)"]);
}

#[test]
fn a_store_that_fails_is_an_answer() {
    let mut world = World::new();
    world.login_vendor("bob");
    world.store.is_broken = true;
    for request in [stored("bob"), history("bob", HistoryOf::Peer(uid("alice")))] {
        assert_eq!(world.ask(request).1, GatewayAnswer::Refused(ErrorKind::Failure));
    }
}

#[test]
fn a_store_that_takes_too_long_is_an_answer_and_what_it_read_after_that_stays_stored() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "x")).unwrap();
    world.login_vendor("bob");
    world.store.is_held = true;
    let requests = [stored("bob"), history("bob", HistoryOf::Peer(uid("alice")))];
    let ids = requests.map(|request| world.core.ask(world.now, request));
    world.advance(millis(8_999));
    assert!(world.http.is_empty());
    world.advance(millis(1));
    for id in ids {
        assert_eq!(world.http.remove(&id), Some(GatewayAnswer::Refused(ErrorKind::Failure)));
    }
    world.store.is_held = false;
    world.pump();
    assert!(world.http.is_empty(), "a request is answered once");
    for id in ids {
        world.core.http_answer_taken(id);
    }
    world.pump();
    assert_eq!(world.store.waiting("bob"), ["x"]);
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
    assert_eq!(texts(&world.ask(history("bob", HistoryOf::Peer(uid("alice")))).1), ["kept"]);
    assert_eq!(texts(&world.ask(history("bob", HistoryOf::Channel(room("r")))).1), ["said"]);
    let (_, elsewhere) = world.ask(history("bob", HistoryOf::Channel(room("elsewhere"))));
    assert_eq!(elsewhere, GatewayAnswer::Refused(ErrorKind::NotInChannel));
}

#[test]
fn queries_count_within_the_limit_of_those_on_the_connection() {
    let mut config = config();
    config.limits.set(LimitedCall::QueryHistory, CallLimit { calls: 1, per_ms: 1000 });
    let mut world = World::with(config);
    world.login_vendor("bob");
    let query = || history("bob", HistoryOf::Peer(uid("alice")));
    assert!(texts(&world.ask(query()).1).is_empty());
    assert_eq!(world.ask(query()).1, GatewayAnswer::Refused(ErrorKind::TooOften));
    world.advance(secs(1));
    assert!(texts(&world.ask(query()).1).is_empty());
}

#[test]
fn a_request_for_another_project_is_refused() {
    let mut world = World::new();
    world.login_vendor("bob");
    let app_id = AppId::new("ffffffffffffffffffffffffffffffff").unwrap();
    let connect =
        GatewayRequest::Connect { app_id: app_id.clone(), user_id: UserId::new("bob").ok(), token: None, tls: false };
    let stored = GatewayRequest::OfflineMessages { caller: Caller { app_id, ..caller("bob", "gateway-of-bob") } };
    for request in [connect, stored] {
        assert_eq!(world.ask(request).1, GatewayAnswer::Refused(ErrorKind::InvalidAppId));
    }
}

#[test]
fn a_core_that_drains_sends_everybody_elsewhere() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, stored_to_peer(1, "bob", "x")).unwrap();
    world.login_vendor("bob");
    world.core.drain();
    for request in [stored("bob"), history("bob", HistoryOf::Peer(uid("alice"))), connect(Some("bob"), None)] {
        assert_eq!(world.ask(request).1, GatewayAnswer::TryAgain);
    }
    assert_eq!(world.store.waiting("bob"), ["x"]);
}
