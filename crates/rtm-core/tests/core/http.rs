//! What the vendor's HTTP endpoints answer.

use std::time::Duration;

use crate::harness::*;
use rtm_codec::{
    AppId, CallLimit, ClientFrame, ErrorKind, HistoryOf, JoinChannel, LimitedCall, Login, PeerMessage, QueryHistory,
    RtmMessage, SendChannelMessage, SendMessageToPeer, UserId,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest, StoredCursor, StoredQuery},
};

fn caller(user: &str, session: &str) -> Caller {
    Caller { app_id: AppId::new(APP_ID).unwrap(), user_id: uid(user), session: session.into() }
}

fn stored(user: &str) -> GatewayRequest {
    GatewayRequest::OfflineMessages { caller: caller(user, &format!("gateway-of-{user}")), page: None }
}

fn page(user: &str, after: Option<StoredCursor>, limit: u32) -> GatewayRequest {
    let page = Some(StoredQuery { after, limit });
    GatewayRequest::OfflineMessages { caller: caller(user, &format!("gateway-of-{user}")), page }
}

fn next(answer: &GatewayAnswer) -> Option<StoredCursor> {
    match answer {
        GatewayAnswer::OfflineMessages(page) => page.next,
        other => panic!("{other:?}"),
    }
}

/// A vendor client for which messages with these texts are stored.
fn with_stored(world: &mut World, texts: &[&str]) -> C {
    let alice = world.login("alice");
    for (id, text) in (1..).zip(texts) {
        world.call(alice, stored_to_peer(id, "bob", text)).unwrap();
    }
    world.login_vendor("bob")
}

fn history(user: &str, conversation: HistoryOf) -> GatewayRequest {
    let query = QueryHistory { conversation, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100 };
    GatewayRequest::History { caller: caller(user, &format!("gateway-of-{user}")), query }
}

fn texts(answer: &GatewayAnswer) -> Vec<&str> {
    match answer {
        GatewayAnswer::OfflineMessages(page) => {
            page.messages.iter().filter_map(|message| message.message.as_text()).collect()
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
    let GatewayAnswer::OfflineMessages(page) = answer else { panic!("{answer:?}") };
    assert!(page.messages.iter().all(|PeerMessage { is_offline_message, .. }| *is_offline_message));
}

#[test]
fn a_client_that_cannot_say_so_has_an_answer_at_its_second_sign_of_life_after_it() {
    let mut world = World::new();
    let bob = with_stored(&mut world, &["x"]);
    let (_, lost) = world.ask(stored("bob"));
    assert_eq!(texts(&lost), ["x"]);
    let (again, answer) = world.ask(stored("bob"));
    assert_eq!(texts(&answer), ["x"], "the first answer was lost");
    for _ in 0..5 {
        world.frame(bob, ClientFrame::Ping);
    }
    assert_eq!(world.store.waiting("bob"), ["x"], "it is still being written");
    world.core.http_answer_ended(world.now, again, true);
    world.frame(bob, ClientFrame::Ping);
    assert_eq!(world.store.waiting("bob"), ["x"]);
    world.frame(bob, ClientFrame::Ping);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
    assert_eq!(texts(&world.ask(stored("bob")).1), Vec::<&str>::new());
}

#[test]
fn a_logout_says_that_the_answer_was_taken_however_soon_it_comes() {
    for logs_out_first in [false, true] {
        let mut world = World::new();
        let bob = with_stored(&mut world, &["x"]);
        let (id, _) = world.ask(stored("bob"));
        if logs_out_first {
            world.frame(bob, ClientFrame::Logout);
            assert_eq!(world.store.waiting("bob"), ["x"], "it is still being written");
        }
        world.core.http_answer_ended(world.now, id, true);
        if !logs_out_first {
            world.frame(bob, ClientFrame::Logout);
        }
        world.pump();
        assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
    }
}

#[test]
fn what_a_broken_connection_may_have_taken_with_it_comes_again() {
    // The answer, the socket, or the socket and the client with it: a proxy took the answer.
    for how in 0..4 {
        let mut world = World::new();
        let bob = with_stored(&mut world, &["x"]);
        let (id, _) = world.ask(stored("bob"));
        world.core.http_answer_ended(world.now, id, how > 0);
        let mut now = bob;
        match how {
            0 => {}
            1 => now = world.login_again(bob, vendor_login_of("bob")),
            2 => {
                world.frame(bob, ClientFrame::Ping);
                world.cut(bob);
                now = world.login_again(bob, vendor_login_of("bob"));
            }
            _ => {
                world.cut(bob);
                world.advance(secs(200));
                now = world.login_vendor("bob");
            }
        }
        for _ in 0..3 {
            world.frame(now, ClientFrame::Ping);
        }
        assert_eq!(world.store.waiting("bob"), ["x"], "{how}");
        assert_eq!(texts(&world.ask(stored("bob")).1), ["x"], "{how}");
    }
}

#[test]
fn a_page_is_removed_when_the_next_is_asked_for() {
    let mut world = World::new();
    let bob = with_stored(&mut world, &["1", "2", "3"]);
    let (id, first) = world.ask(page("bob", None, 2));
    world.core.http_answer_ended(world.now, id, true);
    assert_eq!(texts(&first), ["1", "2"]);
    for _ in 0..5 {
        world.frame(bob, ClientFrame::Ping);
    }
    assert_eq!(world.store.waiting("bob"), ["1", "2", "3"], "the client has not said that it has them");
    assert_eq!(texts(&world.ask(page("bob", None, 2)).1), ["1", "2"], "it has not");
    let (_, second) = world.ask(page("bob", next(&first), 2));
    assert_eq!(texts(&second), ["3"]);
    assert_eq!(world.store.waiting("bob"), ["3"]);
    let (_, end) = world.ask(page("bob", next(&second), 2));
    assert_eq!((texts(&end), next(&end)), (vec![], None));
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
}

#[test]
fn nothing_is_removed_that_was_not_handed_out() {
    let mut world = World::new();
    let bob = with_stored(&mut world, &["1", "2", "3"]);
    assert_eq!(texts(&world.ask(page("bob", Some(StoredCursor(u64::MAX)), 2)).1), Vec::<&str>::new());
    let (_, first) = world.ask(page("bob", None, 1));
    assert_eq!(texts(&first), ["1"]);
    world.ask(page("bob", Some(StoredCursor(u64::MAX)), 2));
    assert_eq!(world.store.waiting("bob"), ["2", "3"]);
    // What was handed out in a session says nothing in the next.
    let (_, first) = world.ask(page("bob", None, 1));
    world.frame(bob, ClientFrame::Logout);
    world.login_vendor("bob");
    world.ask(page("bob", next(&first), 1));
    assert_eq!(world.store.waiting("bob"), ["2", "3"]);
}

#[test]
fn long_messages_make_short_pages() {
    let mut world = World::new();
    let long = "x".repeat(32 * 1024);
    with_stored(&mut world, &[&*long; 10]);
    let (mut after, mut sizes) = (None, Vec::new());
    loop {
        let (_, answer) = world.ask(page("bob", after, 100));
        after = next(&answer);
        if after.is_none() {
            break;
        }
        sizes.push(texts(&answer).len());
    }
    assert_eq!(sizes, [4, 4, 2]);
    assert_eq!(world.store.waiting("bob"), Vec::<String>::new());
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
        let request = GatewayRequest::OfflineMessages { caller: caller(user, session), page: None };
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
    let (_, first) = world.ask(page("bob", None, 1));
    assert_eq!(texts(&first), Vec::<&str>::new());
    let (_, second) = world.ask(page("bob", next(&first), 1));
    assert_eq!(texts(&second), ["text"]);
    assert_eq!(next(&world.ask(page("bob", next(&second), 1)).1), None);
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
        world.core.http_answer_ended(world.now, id, true);
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
    config.limits.set(LimitedCall::QueryHistory, CallLimit::new(1, Duration::from_secs(1)));
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
    let stored =
        GatewayRequest::OfflineMessages { caller: Caller { app_id, ..caller("bob", "gateway-of-bob") }, page: None };
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
    world.core.drain(world.now);
    for request in [stored("bob"), history("bob", HistoryOf::Peer(uid("alice"))), connect(Some("bob"), None)] {
        assert_eq!(world.ask(request).1, GatewayAnswer::TryAgain);
    }
    assert_eq!(world.store.waiting("bob"), ["x"]);
}
