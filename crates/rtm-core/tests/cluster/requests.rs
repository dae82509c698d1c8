//! The vendor's HTTP requests that come to another node than that of their client's session.

use rtm_codec::{
    AppId, ClientFrame, CloseReason, ErrorKind, HistoryOf, KeepAlive, Login, QueryHistory, Refusal, SendMessageToPeer,
    Text, Wire,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest, StoredCursor, StoredQuery},
};
use rtm_core::{HttpId, cluster::ProjectParcel, store::LogKey};

use crate::harness::*;

fn vendor_login_of(user: &str) -> Login {
    Login {
        keep_alive: KeepAlive::Client { interval_ms: 10_000 },
        abilities: Wire::Vendor.abilities(),
        gateway_session: Some(Text::from(format!("gateway-of-{user}"))),
        ..login_of(user)
    }
}

fn caller(user: &str) -> Caller {
    let session = Text::from(format!("gateway-of-{user}"));
    Caller { app_id: AppId::new(APP_ID).unwrap(), user_id: uid(user), session }
}

fn stored(user: &str) -> GatewayRequest {
    GatewayRequest::OfflineMessages { caller: caller(user), page: None }
}

fn page(user: &str, after: Option<StoredCursor>) -> GatewayRequest {
    GatewayRequest::OfflineMessages { caller: caller(user), page: Some(StoredQuery { after, limit: 1 }) }
}

fn to_store(id: u64, text: &str) -> SendMessageToPeer {
    SendMessageToPeer { enable_offline_messaging: true, ..to_peer(id, "bob", text) }
}

/// A world in which messages wait for bob, who has just logged in on node 1 with the vendor's SDK.
fn with_stored(texts: &[&str]) -> (World, C) {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    for (id, text) in (1..).zip(texts) {
        world.call(alice, to_store(id, text)).unwrap();
    }
    let bob = world.login_with(1, vendor_login_of("bob"));
    (world, bob)
}

fn ask(world: &mut World, node: usize, request: GatewayRequest) -> (HttpId, Result<GatewayAnswer, Refusal>) {
    let id = world.cores[node].ask(world.now, request);
    world.pump();
    let answer = answer(world, node, id).expect("an answer");
    (id, answer)
}

fn answer(world: &mut World, node: usize, id: HttpId) -> Option<Result<GatewayAnswer, Refusal>> {
    let mut answers = Vec::new();
    world.cores[node].take_http_answers(&mut answers);
    answers.into_iter().find(|(other, _)| *other == id).map(|(_, answer)| answer)
}

fn texts(answer: &Result<GatewayAnswer, Refusal>) -> Vec<String> {
    match answer {
        Ok(GatewayAnswer::OfflineMessages(page)) => {
            page.messages.iter().map(|message| message.message.as_text().unwrap().to_owned()).collect()
        }
        Ok(GatewayAnswer::History(page)) => {
            page.messages.iter().map(|message| message.message.as_text().unwrap().to_owned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn waiting(world: &mut World) -> usize {
    world.stored(&LogKey::Stored(uid("bob")))
}

#[test]
fn stored_messages_are_fetched_through_a_node_that_has_not_the_session() {
    let (mut world, bob) = with_stored(&["one", "two"]);
    let (id, answer) = ask(&mut world, 0, stored("bob"));
    assert_eq!(texts(&answer), ["one", "two"]);
    world.cores[0].http_answer_ended(world.now, id, true);
    world.pump();
    assert_eq!(waiting(&mut world), 2, "its client may not have them yet");
    for _ in 0..2 {
        world.frame(bob, ClientFrame::Ping);
        world.pump();
    }
    assert_eq!(waiting(&mut world), 0);
    assert_eq!(texts(&ask(&mut world, 0, stored("bob")).1), Vec::<String>::new());
    assert_eq!(world.texts(bob), Vec::<String>::new(), "none comes as an event besides");
}

#[test]
fn a_client_that_logs_out_as_soon_as_it_has_its_messages_does_not_get_them_again() {
    let (mut world, bob) = with_stored(&["one"]);
    world.is_store_held = true;
    let id = world.cores[0].ask(world.now, stored("bob"));
    world.pump();
    world.stall(0, 1);
    world.is_store_held = false;
    world.pump();
    assert_eq!(answer(&mut world, 0, id), None, "bob's node does not know what he is given");
    world.unstall();
    world.pump();
    assert!(answer(&mut world, 0, id).is_some());
    world.stall(0, 1);
    world.logout(bob);
    world.cores[0].http_answer_ended(world.now, id, true);
    world.unstall();
    world.pump();
    assert_eq!(waiting(&mut world), 0);
}

#[test]
fn an_answer_that_was_not_written_is_given_again() {
    let (mut world, bob) = with_stored(&["one"]);
    let (id, _) = ask(&mut world, 0, stored("bob"));
    world.cores[0].http_answer_ended(world.now, id, false);
    world.pump();
    world.frame(bob, ClientFrame::Ping);
    world.frame(bob, ClientFrame::Ping);
    assert_eq!(waiting(&mut world), 1);
    assert_eq!(texts(&ask(&mut world, 0, stored("bob")).1), ["one"]);
}

#[test]
fn pages_go_on_through_any_node() {
    let (mut world, _) = with_stored(&["one", "two"]);
    let (mut after, mut all) = (None, Vec::new());
    for node in [0, 1, 0] {
        let (_, answer) = ask(&mut world, node, page("bob", after));
        all.extend(texts(&answer));
        let Ok(GatewayAnswer::OfflineMessages(page)) = answer else { panic!("{answer:?}") };
        after = page.next;
    }
    assert_eq!(all, ["one", "two"]);
    assert_eq!(waiting(&mut world), 0);
}

#[test]
fn a_page_that_did_not_arrive_comes_as_events_to_who_asks_again_while_messages_are_read() {
    for node in 0..2 {
        let (mut world, bob) = with_stored(&["one", "two"]);
        assert_eq!(texts(&ask(&mut world, node, page("bob", None)).1), ["one"]);
        // His session reads once more a while after his login, where he does not go on fetching.
        world.is_store_held = true;
        world.advance(secs(20));
        assert_eq!(texts(&ask(&mut world, node, page("bob", None)).1), Vec::<String>::new());
        world.is_store_held = false;
        world.advance(secs(1));
        assert_eq!(world.texts(bob), ["one", "two"]);
        assert_eq!(waiting(&mut world), 0);
    }
}

#[test]
fn who_proves_no_session_gets_nothing() {
    let (mut world, _) = with_stored(&["one"]);
    let forged = Caller { session: Text::from("guessed"), ..caller("bob") };
    for caller in [forged, caller("nobody")] {
        let (_, answer) = ask(&mut world, 0, GatewayRequest::OfflineMessages { caller, page: None });
        assert_eq!(answer.unwrap_err().kind, ErrorKind::NotLoggedIn);
    }
    assert_eq!(waiting(&mut world), 1);
}

#[test]
fn a_node_that_has_not_heard_of_the_login_asks_the_engine() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    world.call(alice, to_store(1, "one")).unwrap();
    world.blind(0);
    let _bob = world.login_with(1, vendor_login_of("bob"));
    assert_eq!(texts(&ask(&mut world, 0, stored("bob")).1), ["one"]);
}

#[test]
fn a_node_that_does_not_answer_is_not_waited_for_without_end() {
    let (mut world, _) = with_stored(&["one"]);
    world.stall(0, 1);
    let id = world.cores[0].ask(world.now, stored("bob"));
    world.advance(secs(8));
    assert_eq!(answer(&mut world, 0, id), None);
    world.advance(secs(2));
    assert_eq!(answer(&mut world, 0, id).unwrap().unwrap_err().kind, ErrorKind::Failure);
    world.unstall();
    world.advance(secs(1));
    assert_eq!(answer(&mut world, 0, id), None, "it is answered once");
}

#[test]
fn a_history_is_read_through_another_node_by_whoever_may_read_it() {
    let mut world = World::new(2);
    let alice = world.login(0, "alice");
    let bob = world.login_with(1, vendor_login_of("bob"));
    let kept = SendMessageToPeer { enable_historical_messaging: true, ..to_peer(1, "bob", "kept") };
    world.call(alice, kept).unwrap();
    let query = |conversation| {
        let query = QueryHistory { conversation, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100 };
        GatewayRequest::History { caller: caller("bob"), query }
    };
    assert_eq!(texts(&ask(&mut world, 0, query(HistoryOf::Peer(uid("alice")))).1), ["kept"]);
    let of_the_room = || query(HistoryOf::Channel(cid("room")));
    assert_eq!(ask(&mut world, 0, of_the_room()).1.unwrap_err().kind, ErrorKind::NotInChannel);
    world.join_channel(bob, "room");
    assert_eq!(texts(&ask(&mut world, 0, of_the_room()).1), Vec::<String>::new());
}

#[test]
fn what_a_node_took_with_it_that_left_is_fetched_again() {
    let (mut world, _) = with_stored(&["one"]);
    assert_eq!(texts(&ask(&mut world, 0, stored("bob")).1), ["one"]);
    world.kill(0);
    world.pump();
    assert_eq!(texts(&ask(&mut world, 1, stored("bob")).1), ["one"]);
}

#[test]
fn what_another_node_stores_while_a_client_fetches_does_not_overtake_what_it_fetches() {
    for asks_for_more in [true, false] {
        let (mut world, bob) = with_stored(&["one", "two"]);
        let (_, first) = ask(&mut world, 1, page("bob", None));
        assert_eq!(texts(&first), ["one"], "it may be on its way for a while");
        let told = ProjectParcel::StoredFor { user_id: uid("bob") };
        world.cores[1].handle_parcel(world.now, &node(0), told);
        world.advance(secs(1));
        assert_eq!(world.texts(bob), Vec::<String>::new());
        if asks_for_more {
            let Ok(GatewayAnswer::OfflineMessages(first)) = first else { panic!("{first:?}") };
            assert_eq!(texts(&ask(&mut world, 1, page("bob", first.next)).1), ["two"]);
            world.advance(secs(25));
            assert_eq!(world.texts(bob), Vec::<String>::new());
        } else {
            world.advance(secs(3));
            assert_eq!(world.texts(bob), ["two"], "it comes as an event");
        }
    }
}

#[test]
fn a_client_that_was_put_out_at_another_node_is_told_unless_its_application_logged_in() {
    for (asks_at, is_newer) in [(None, false), (Some(0), true), (Some(1), false)] {
        let mut world = World::new(2);
        let phone = world.login_with(0, vendor_login_of("alice"));
        world.cut(phone);
        let other = Login { gateway_session: Some("gateway-of-the-tablet".into()), ..vendor_login_of("alice") };
        let tablet = world.login_with(1, Login { instance: other_login_of("alice").instance, ..other });
        let again = world.login_with(0, vendor_login_of("alice"));
        assert!(world.welcome(again).is_some());
        assert_eq!((world.closed(again), world.closed(tablet)), (None, None));
        if let Some(node) = asks_at {
            let (_, answer) = ask(&mut world, node, stored("alice"));
            // A node that knows nothing of the login cannot tell.
            assert_eq!(answer.is_ok(), is_newer);
        }
        world.advance(secs(3));
        let remote = Some(CloseReason::RemoteLogin);
        let closed = if is_newer { (None, remote) } else { (remote, None) };
        assert_eq!((world.closed(again), world.closed(tablet)), closed, "asks at {asks_at:?}");
        assert_eq!(world.sessions(), 1);
    }
}
