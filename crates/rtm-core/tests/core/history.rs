//! Kept messages, and pages of them.

use rtm_codec::{
    CallName, ErrorKind, Event, HistoryOf, HistoryPage, JoinChannel, MessageId, QueryHistory, SendChannelMessage,
    SendMessageToPeer, SendOutcome,
};
use rtm_core::{LogKey, RefusedCall, StoreWork};

use crate::harness::*;

fn kept(id: u64, peer: &str, text: &str) -> SendMessageToPeer {
    SendMessageToPeer { enable_historical_messaging: true, ..to_peer(id, peer, text) }
}

fn say(id: u64, text: &str, is_kept: bool) -> SendChannelMessage {
    SendChannelMessage {
        message_id: MessageId(id),
        channel_id: room("r"),
        message: text.into(),
        enable_historical_messaging: is_kept,
    }
}

fn query(conversation: HistoryOf) -> QueryHistory {
    QueryHistory { conversation, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100 }
}

fn texts(page: &HistoryPage) -> Vec<&str> {
    page.messages.iter().filter_map(|message| message.message.as_text()).collect()
}

#[test]
fn both_sides_of_a_conversation_read_what_was_to_be_kept() {
    let mut world = World::new();
    let (alice, bob, carol) = (world.login("alice"), world.login("bob"), world.login("carol"));
    world.call(alice, kept(1, "bob", "one")).unwrap();
    world.call(bob, kept(1, "alice", "two")).unwrap();
    world.call(alice, to_peer(2, "bob", "not kept")).unwrap();
    world.call(alice, kept(3, "carol", "elsewhere")).unwrap();
    for (client, peer) in [(alice, "bob"), (bob, "alice")] {
        let page = world.call(client, query(HistoryOf::Peer(uid(peer)))).unwrap();
        assert_eq!(texts(&page), ["one", "two"]);
        assert_eq!(page.messages[0].from, uid("alice"));
        assert_eq!((page.messages[0].message_id, page.messages[0].server_received_ts), (MessageId(1), START_MS));
        assert_eq!(page.next, None);
    }
    assert_eq!(texts(&world.call(carol, query(HistoryOf::Peer(uid("bob")))).unwrap()), Vec::<&str>::new());
}

#[test]
fn a_message_to_an_absent_user_is_kept_too() {
    let mut world = World::new();
    let alice = world.login("alice");
    assert_eq!(world.call(alice, kept(1, "bob", "x")).unwrap(), SendOutcome::NotReceived);
    assert_eq!(texts(&world.call(alice, query(HistoryOf::Peer(uid("bob")))).unwrap()), ["x"]);
}

#[test]
fn only_members_read_a_channels_history() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.call(alice, say(1, "kept", true)).unwrap();
    world.call(alice, say(2, "not kept", false)).unwrap();
    let whole = query(HistoryOf::Channel(room("r")));
    assert_eq!(texts(&world.call(alice, whole.clone()).unwrap()), ["kept"]);
    assert_eq!(world.call(bob, whole.clone()).unwrap_err().kind, ErrorKind::NotInChannel);
    world.call(bob, JoinChannel { channel_id: room("r") }).unwrap();
    assert_eq!(texts(&world.call(bob, whole).unwrap()), ["kept"]);
}

#[test]
fn a_page_has_1_to_100_messages_and_says_where_the_next_one_starts() {
    let mut world = World::new();
    let alice = world.login("alice");
    for id in 1..=250 {
        world.call(alice, kept(id, "bob", &id.to_string())).unwrap();
    }
    let whole = query(HistoryOf::Peer(uid("bob")));
    let mut all = Vec::new();
    let mut after = None;
    let mut pages = 0;
    loop {
        let page = world.call(alice, QueryHistory { after, ..whole.clone() }).unwrap();
        all.extend(texts(&page).into_iter().map(str::to_owned));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(all, (1..=250).map(|id| id.to_string()).collect::<Vec<_>>());
    for limit in [0, 101] {
        let refusal = world.call(alice, QueryHistory { limit, ..whole.clone() }).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_time_span_takes_its_start_and_not_its_end() {
    let mut world = World::new();
    let alice = world.login("alice");
    for id in 0..3 {
        world.call(alice, kept(id, "bob", &id.to_string())).unwrap();
        world.advance(secs(1));
    }
    let span = |from_ts, until_ts| QueryHistory { from_ts, until_ts, ..query(HistoryOf::Peer(uid("bob"))) };
    let page = world.call(alice, span(START_MS + 1000, START_MS + 2000)).unwrap();
    assert_eq!(texts(&page), ["1"]);
    let refusal = world.call(alice, span(5, 5)).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
}

#[test]
fn history_is_over_after_7_days() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, kept(1, "bob", "old")).unwrap();
    world.advance(secs(1));
    world.call(alice, kept(2, "bob", "new")).unwrap();
    world.logout(alice);
    world.advance(secs(7 * 24 * 60 * 60));
    let alice = world.login("alice");
    assert_eq!(texts(&world.call(alice, query(HistoryOf::Peer(uid("bob")))).unwrap()), ["new"]);
    world.advance(secs(60 * 60));
    assert_eq!(world.store.stats().history_messages, 0, "the store is asked to drop it");
}

#[test]
fn a_send_with_history_is_answered_when_the_store_has_it() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.hold_store();
    // Bob's login is done, so its messages do not wait for the store.
    let peer = world.request(alice, kept(1, "bob", "x"));
    let channel = world.request(alice, say(2, "y", true));
    assert_eq!(world.texts(bob), ["x"]);
    assert_eq!((world.reply(alice, peer), world.reply(alice, channel)), (None, None));
    world.release_store();
    assert!(world.reply(alice, peer).unwrap().is_ok());
    assert!(world.reply(alice, channel).unwrap().is_ok());
}

#[test]
fn a_send_whose_history_is_not_kept_says_so() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.store.is_broken = true;
    assert_eq!(world.call(alice, kept(1, "bob", "x")).unwrap_err().kind, ErrorKind::Failure);
    assert_eq!(world.call(alice, say(2, "y", true)).unwrap_err().kind, ErrorKind::Failure);
    assert_eq!(world.texts(bob), ["x"]);
    // Also what is refused late counts for what was asked.
    let refused: Vec<_> = world.core.counters().refused_calls().filter(|(.., count)| *count > 0).collect();
    let failed = |call| (Some(call), RefusedCall::Failure, 1);
    assert_eq!(refused, [CallName::SendMessageToPeer, CallName::SendChannelMessage].map(failed));
}

#[test]
fn a_receipt_that_comes_before_the_store_waits_for_it_and_the_reverse() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.stop_acks(bob);
    world.hold_store();
    let first = world.request(alice, kept(1, "bob", "x"));
    world.ack(bob, 1, 1);
    assert_eq!(world.reply(alice, first), None);
    world.release_store();
    assert!(world.reply(alice, first).unwrap().is_ok());
    let second = world.request(alice, kept(2, "bob", "x"));
    assert_eq!(world.reply(alice, second), None);
    world.ack(bob, 2, 2);
    assert!(world.reply(alice, second).unwrap().is_ok());
}

#[test]
fn a_repeat_of_a_channel_message_waits_for_the_store_like_the_first() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.hold_store();
    let first = world.request(alice, say(1, "x", true));
    let repeat = world.request(alice, say(1, "x", true));
    assert_eq!((world.reply(alice, first), world.reply(alice, repeat)), (None, None));
    world.release_store();
    assert!(world.reply(alice, first).unwrap().is_ok());
    assert!(world.reply(alice, repeat).unwrap().is_ok());
    assert_eq!(world.store.stats().history_messages, 1);
}

#[test]
fn a_failed_query_says_so() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.store.is_broken = true;
    assert_eq!(world.call(alice, query(HistoryOf::Peer(uid("bob")))).unwrap_err().kind, ErrorKind::Failure);
}

#[test]
fn a_channel_message_whose_history_is_not_kept_reaches_its_members_once() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for member in [alice, bob] {
        world.call(member, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.store.is_broken = true;
    world.hold_store();
    let first = world.request(alice, say(1, "x", true));
    let repeat = world.request(alice, say(1, "x", true));
    world.release_store();
    for id in [first, repeat] {
        let refusal = world.reply(alice, id).unwrap().unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Failure);
        assert!(refusal.to_string().contains("the message was sent"), "{refusal}");
    }
    world.store.is_broken = false;
    world.call(alice, say(1, "x", true)).unwrap();
    let heard = world.events(bob).into_iter().filter(|event| matches!(event, Event::ChannelMessage { .. })).count();
    assert_eq!(heard, 1);
}

#[test]
fn a_message_is_stored_although_its_history_is_not_kept() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.store.fails = Some(|work| matches!(work, StoreWork::Append { log: LogKey::History(_), .. }));
    let send = SendMessageToPeer { enable_historical_messaging: true, ..stored_to_peer(1, "bob", "x") };
    let refusal = world.call(alice, send).unwrap_err();
    assert!(refusal.to_string().contains("the message was sent"), "{refusal}");
    assert_eq!(world.store.waiting("bob"), ["x"]);
}
