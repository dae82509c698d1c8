//! What every backend has to do, run on each of them.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use bytes::Bytes;
use rtm_codec::{
    AppId, AttributeKey, ChannelAttribute, ChannelAttributes, ChannelId, HistoryCursor, HistoryMessage, HistoryPage,
    MessageId, Revision, RtmMessage, UserId,
};
use rtm_server::{
    Redb,
    core::{
        Conversation, OfflineId, OfflineMessage, StoreAnswer, StoreWork,
        store::{Backend, Memory, Task},
    },
};

macro_rules! conformance {
    ($($case:ident)*) => {
        mod memory {
            $(#[test]
            fn $case() {
                super::$case(&mut super::Memory::default());
            })*
        }

        mod redb {
            $(#[test]
            fn $case() {
                let directory = tempfile::tempdir().unwrap();
                super::$case(&mut super::Redb::open(directory.path()).unwrap());
            })*
        }
    };
}

conformance! {
    waiting_messages_come_in_order_and_in_pages
    the_oldest_waiting_message_gives_way
    received_messages_are_gone_and_their_places_are_never_given_again
    history_is_read_by_time_in_pages
    history_of_one_millisecond_is_in_order_of_arrival
    history_keeps_its_order_when_the_clock_goes_back
    conversations_users_and_projects_are_apart
    attributes_are_kept_as_they_were_put_last
    what_is_too_old_goes_and_nothing_else
    a_task_sees_what_those_before_it_did
    every_kind_of_message_comes_back_as_it_was
}

fn waiting_messages_come_in_order_and_in_pages(backend: &mut dyn Backend) {
    let ids: Vec<_> = (1..=5).map(|n| append(backend, "bob", n, 5)).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    let all: Vec<_> = ids.iter().copied().zip(1..).map(|(id, n)| (id, offline(n))).collect();
    let load = |after, not_before, max_bytes| StoreWork::LoadOffline { of: user("bob"), after, not_before, max_bytes };
    let page =
        |messages: &[(OfflineId, OfflineMessage)], more| StoreAnswer::Offline { messages: messages.into(), more };

    assert_eq!(run(backend, load(None, 0, usize::MAX)), page(&all, false));
    // Each message has 5 bytes: the one that reaches the bound is the last of its page.
    assert_eq!(run(backend, load(None, 0, 10)), page(&all[..2], true));
    assert_eq!(run(backend, load(None, 0, 11)), page(&all[..3], true));
    assert_eq!(run(backend, load(None, 0, 0)), page(&all[..1], true));
    assert_eq!(run(backend, load(Some(ids[1]), 0, 15)), page(&all[2..], false));
    assert_eq!(run(backend, load(Some(ids[4]), 0, 15)), page(&[], false));
    assert_eq!(run(backend, load(Some(OfflineId(u64::MAX)), 0, 15)), page(&[], false));
    assert_eq!(run(backend, load(None, offline(4).server_received_ts, 100)), page(&all[3..], false));
}

fn the_oldest_waiting_message_gives_way(backend: &mut dyn Backend) {
    for n in 1..=3 {
        append(backend, "bob", n, 3);
    }
    let answer = run(backend, append_work("bob", 4, 3));
    assert!(matches!(answer, StoreAnswer::Appended { dropped: 1, .. }), "{answer:?}");
    assert_eq!(waiting(backend, "bob"), [2, 3, 4]);
    let answer = run(backend, append_work("bob", 5, 1));
    assert!(matches!(answer, StoreAnswer::Appended { dropped: 3, .. }), "{answer:?}");
    assert_eq!(waiting(backend, "bob"), [5]);
    append(backend, "alice", 6, 1);
    assert_eq!(waiting(backend, "bob"), [5]);
}

fn received_messages_are_gone_and_their_places_are_never_given_again(backend: &mut dyn Backend) {
    let ids: Vec<_> = (1..=3).map(|n| append(backend, "bob", n, 3)).collect();
    let remove = |of: &str, ids: &[OfflineId]| StoreWork::RemoveOffline { of: user(of), ids: ids.into() };
    assert_eq!(run(backend, remove("bob", &[ids[0], ids[2], OfflineId(u64::MAX)])), StoreAnswer::Done);
    assert_eq!(run(backend, remove("alice", &[ids[1]])), StoreAnswer::Done);
    assert_eq!(waiting(backend, "bob"), [2]);
    // What is gone makes room.
    append(backend, "bob", 4, 3);
    append(backend, "bob", 5, 3);
    assert_eq!(waiting(backend, "bob"), [2, 4, 5]);
    let all = [ids[1], OfflineId(ids[2].0 + 1), OfflineId(ids[2].0 + 2)];
    assert_eq!(run(backend, remove("bob", &all)), StoreAnswer::Done);
    assert_eq!(waiting(backend, "bob"), []);
    assert!(append(backend, "bob", 6, 3) > all[2]);
}

fn history_is_read_by_time_in_pages(backend: &mut dyn Backend) {
    let of = channel("room");
    for ts in [100, 200, 300, 400] {
        say(backend, &of, ts, ts);
    }
    let read = |backend: &mut dyn Backend, from_ts, until_ts, after, limit, max_bytes| {
        history(backend, StoreWork::LoadHistory { of: channel("room"), from_ts, until_ts, after, limit, max_bytes })
    };
    let all = read(backend, 0, u64::MAX, None, 100, usize::MAX);
    assert_eq!((ids(&all), all.next), (vec![100, 200, 300, 400], None));
    // From is part of it, until is not.
    assert_eq!(ids(&read(backend, 200, 400, None, 100, 100)), [200, 300]);
    assert_eq!(ids(&read(backend, 201, 401, None, 100, 100)), [300, 400]);
    assert_eq!(ids(&read(backend, 200, 200, None, 100, 100)), []);
    assert_eq!(ids(&read(backend, 300, 200, None, 100, 100)), []);

    let first = read(backend, 150, u64::MAX, None, 2, 100);
    assert_eq!(ids(&first), [200, 300]);
    let second = read(backend, 150, u64::MAX, Some(first.next.unwrap()), 2, 100);
    assert_eq!((ids(&second), second.next), (vec![400], None));
    // Each message has 5 bytes.
    let short = read(backend, 0, u64::MAX, None, 100, 10);
    assert_eq!((ids(&short), short.next.is_some()), (vec![100, 200], true));
    assert_eq!(ids(&read(backend, 0, u64::MAX, None, 100, 0)), [100]);
    // A cursor that no answer named is a place like any other.
    assert_eq!(ids(&read(backend, 0, u64::MAX, Some(HistoryCursor(0)), 100, 100)), [100, 200, 300, 400]);
    assert_eq!(ids(&read(backend, 0, u64::MAX, Some(HistoryCursor(u64::MAX)), 100, 100)), []);
}

fn history_of_one_millisecond_is_in_order_of_arrival(backend: &mut dyn Backend) {
    for id in [7, 3, 9] {
        say(backend, &channel("room"), 100, id);
    }
    say(backend, &channel("room"), 101, 1);
    let page = |after| StoreWork::LoadHistory {
        of: channel("room"),
        from_ts: 100,
        until_ts: 101,
        after,
        limit: 2,
        max_bytes: usize::MAX,
    };
    let first = history(backend, page(None));
    assert_eq!(ids(&first), [7, 3]);
    let second = history(backend, page(first.next));
    assert_eq!((ids(&second), second.next), (vec![9], None));
}

fn history_keeps_its_order_when_the_clock_goes_back(backend: &mut dyn Backend) {
    for (ts, id) in [(200, 1), (100, 2), (200, 3)] {
        say(backend, &channel("room"), ts, id);
    }
    assert_eq!(ids(&history(backend, all_of(channel("room")))), [2, 1, 3]);
}

fn conversations_users_and_projects_are_apart(backend: &mut dyn Backend) {
    let conversations = [
        channel("bob"),
        Conversation::between(user("alice"), user("bob")),
        Conversation::between(user("alice"), user("bo")),
        Conversation::between(user("alice"), user("alice")),
    ];
    for (of, id) in conversations.iter().zip(1..) {
        say(backend, of, 100, id);
    }
    assert_eq!(Conversation::between(user("bob"), user("alice")), conversations[1]);
    for (of, id) in conversations.iter().zip(1..) {
        assert_eq!(ids(&history(backend, all_of(of.clone()))), [id]);
    }

    append(backend, "bob", 1, 5);
    append(backend, "bo", 2, 5);
    assert_eq!((waiting(backend, "bob"), waiting(backend, "bo")), (vec![1], vec![2]));
    let other = AppId::new("B".repeat(32)).unwrap();
    let task = |work| vec![Task { app_id: &other, work }];
    let load = StoreWork::LoadOffline { of: user("bob"), after: None, not_before: 0, max_bytes: 100 };
    let none = StoreAnswer::Offline { messages: vec![], more: false };
    assert_eq!(backend.apply(task(load)).unwrap(), [none]);
    let page = backend.apply(task(all_of(channel("bob")))).unwrap();
    assert_eq!(page, [StoreAnswer::History(HistoryPage { messages: vec![], next: None })]);
    run(backend, put("room", 1));
    assert_eq!(backend.channel_attributes(&other).unwrap(), []);
    let expire = StoreWork::Expire { offline_before: u64::MAX, history_before: u64::MAX };
    backend.apply(task(expire)).unwrap();
    assert_eq!(waiting(backend, "bob"), [1]);
    assert_eq!(ids(&history(backend, all_of(channel("bob")))), [1]);
}

fn attributes_are_kept_as_they_were_put_last(backend: &mut dyn Backend) {
    assert_eq!(backend.channel_attributes(&app()).unwrap(), []);
    run(backend, put("a", 1));
    run(backend, put("b", 2));
    run(backend, put("a", 3));
    let kept = backend.channel_attributes(&app()).unwrap();
    assert_eq!(kept, [(ChannelId::new("a").unwrap(), attributes(3)), (ChannelId::new("b").unwrap(), attributes(2))]);
    // Attributes may be none and still have a revision.
    let none = ChannelAttributes { revision: Revision(4), ..ChannelAttributes::default() };
    let channel_id = ChannelId::new("a").unwrap();
    run(backend, StoreWork::PutChannelAttributes { channel_id: channel_id.clone(), attributes: none.clone() });
    run(backend, StoreWork::ClearChannelAttributes { channel_id: ChannelId::new("b").unwrap() });
    run(backend, StoreWork::ClearChannelAttributes { channel_id: ChannelId::new("c").unwrap() });
    assert_eq!(backend.channel_attributes(&app()).unwrap(), [(channel_id, none)]);
}

fn what_is_too_old_goes_and_nothing_else(backend: &mut dyn Backend) {
    for n in 1..=4 {
        append(backend, "bob", n, 5);
        append(backend, "alice", n, 5);
        say(backend, &channel("room"), n, n);
        say(backend, &channel("hall"), n, n);
    }
    let offline_before = offline(3).server_received_ts;
    run(backend, StoreWork::Expire { offline_before, history_before: 2 });
    assert_eq!((waiting(backend, "bob"), waiting(backend, "alice")), (vec![3, 4], vec![3, 4]));
    assert_eq!(ids(&history(backend, all_of(channel("room")))), [2, 3, 4]);
    assert_eq!(ids(&history(backend, all_of(channel("hall")))), [2, 3, 4]);
    // What has gone makes room.
    append(backend, "bob", 5, 3);
    assert_eq!(waiting(backend, "bob"), [3, 4, 5]);
    let stats = backend.stats().unwrap();
    assert_eq!((stats.offline_messages, stats.history_messages), (5, 6));
}

fn a_task_sees_what_those_before_it_did(backend: &mut dyn Backend) {
    let app = app();
    let work = [
        append_work("bob", 1, 5),
        append_work("bob", 2, 5),
        StoreWork::LoadOffline { of: user("bob"), after: None, not_before: 0, max_bytes: 100 },
        StoreWork::Expire { offline_before: u64::MAX, history_before: 0 },
        StoreWork::LoadOffline { of: user("bob"), after: None, not_before: 0, max_bytes: 100 },
        append_work("bob", 3, 5),
    ];
    let answers = backend.apply(work.into_iter().map(|work| Task { app_id: &app, work }).collect()).unwrap();
    assert!(matches!(&answers[2], StoreAnswer::Offline { messages, .. } if messages.len() == 2));
    assert!(matches!(&answers[4], StoreAnswer::Offline { messages, .. } if messages.is_empty()));
    assert_eq!(answers.len(), 6);
    assert_eq!(waiting(backend, "bob"), [3]);
    assert_eq!(backend.apply(vec![]).unwrap(), []);
}

fn every_kind_of_message_comes_back_as_it_was(backend: &mut dyn Backend) {
    let kinds = [
        RtmMessage::text("字".repeat(10_922)),
        RtmMessage::Binary(Bytes::from(vec![0xff; 32_768])),
        RtmMessage::Value(Bytes::from_static(b"\x93\x01\x02\x03")),
    ];
    for kind in &kinds {
        let message = OfflineMessage { message: kind.clone(), ..offline(1) };
        run(backend, StoreWork::AppendOffline { of: user("bob"), message, keep: 5 });
        let message = HistoryMessage { message: kind.clone(), ..said(1, 1) };
        run(backend, StoreWork::AppendHistory { of: channel("room"), message });
    }
    let load = StoreWork::LoadOffline { of: user("bob"), after: None, not_before: 0, max_bytes: usize::MAX };
    let StoreAnswer::Offline { messages, .. } = run(backend, load) else { panic!("another answer") };
    assert_eq!(messages.into_iter().map(|(_, message)| message.message).collect::<Vec<_>>(), kinds);
    let page = history(backend, all_of(channel("room")));
    assert_eq!(page.messages.into_iter().map(|message| message.message).collect::<Vec<_>>(), kinds);
}

#[test]
fn memory_lets_the_oldest_go_when_it_is_full() {
    let mut backend = Memory::with_capacity(80_000);
    for ts in 1..=40 {
        append(&mut backend, &format!("user{ts}"), ts, 5);
        say(&mut backend, &channel("room"), ts + offline(0).server_received_ts, ts);
    }
    assert_eq!(ids(&history(&mut backend, all_of(channel("room")))).len(), 40, "there was room for these");
    let big = OfflineMessage { message: RtmMessage::text("x".repeat(60_000)), ..offline(41) };
    run(&mut backend, StoreWork::AppendOffline { of: user("bob"), message: big, keep: 5 });
    assert_eq!(waiting(&mut backend, "bob"), [41]);
    assert_eq!(waiting(&mut backend, "user1"), []);
    assert_eq!(waiting(&mut backend, "user40"), [40]);
    let left = ids(&history(&mut backend, all_of(channel("room"))));
    assert!(left.len() < 40 && left.ends_with(&[39, 40]), "{left:?}");
}

fn app() -> AppId {
    AppId::new("A".repeat(32)).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn channel(name: &str) -> Conversation {
    Conversation::Channel(ChannelId::new(name).unwrap())
}

fn run(backend: &mut dyn Backend, work: StoreWork) -> StoreAnswer {
    let mut answers = backend.apply(vec![Task { app_id: &app(), work }]).unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn offline(n: u64) -> OfflineMessage {
    OfflineMessage {
        message_id: MessageId(n),
        from: user("carol"),
        message: RtmMessage::text("hello"),
        server_received_ts: 1_700_000_000_000 + n,
    }
}

fn append_work(of: &str, n: u64, keep: usize) -> StoreWork {
    StoreWork::AppendOffline { of: user(of), message: offline(n), keep }
}

fn append(backend: &mut dyn Backend, of: &str, n: u64, keep: usize) -> OfflineId {
    match run(backend, append_work(of, n, keep)) {
        StoreAnswer::Appended { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

/// The numbers of the messages that wait for a user.
fn waiting(backend: &mut dyn Backend, of: &str) -> Vec<u64> {
    let load = StoreWork::LoadOffline { of: user(of), after: None, not_before: 0, max_bytes: usize::MAX };
    match run(backend, load) {
        StoreAnswer::Offline { messages, more: false } => {
            messages.into_iter().map(|(_, message)| message.message_id.0).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn said(ts: u64, id: u64) -> HistoryMessage {
    HistoryMessage {
        message_id: MessageId(id),
        from: user("carol"),
        message: RtmMessage::text("hello"),
        server_received_ts: ts,
    }
}

fn say(backend: &mut dyn Backend, of: &Conversation, ts: u64, id: u64) {
    let work = StoreWork::AppendHistory { of: of.clone(), message: said(ts, id) };
    assert_eq!(run(backend, work), StoreAnswer::Done);
}

fn all_of(of: Conversation) -> StoreWork {
    StoreWork::LoadHistory { of, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100, max_bytes: usize::MAX }
}

fn history(backend: &mut dyn Backend, work: StoreWork) -> HistoryPage {
    match run(backend, work) {
        StoreAnswer::History(page) => page,
        other => panic!("{other:?}"),
    }
}

fn ids(page: &HistoryPage) -> Vec<u64> {
    page.messages.iter().map(|message| message.message_id.0).collect()
}

fn attributes(revision: u64) -> ChannelAttributes {
    let attribute = ChannelAttribute {
        value: revision.to_string().into(),
        last_update_user_id: user("alice"),
        last_update_ts: revision,
    };
    let attributes = [(AttributeKey::new("key").unwrap(), attribute)].into();
    ChannelAttributes { attributes, revision: Revision(revision) }
}

fn put(channel: &str, revision: u64) -> StoreWork {
    let channel_id = ChannelId::new(channel).unwrap();
    StoreWork::PutChannelAttributes { channel_id, attributes: attributes(revision) }
}
