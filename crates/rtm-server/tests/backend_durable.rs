//! What the backend with a file keeps over restarts, crashes and hard kills, and what it says of bad files.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rtm_codec::{AppId, ChannelAttributes, ChannelId, MessageId, Revision, RtmMessage, UserId};
use rtm_server::{
    Redb,
    core::{
        Conversation, EventTypes, LogEntry, LogKey, LogKind, Place, StateKey, StateValue, StoreAnswer, StoreWork,
        StoredMessage,
        store::{Backend, StateKind, Task, read_state},
    },
};

#[test]
fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    let last = fill(&mut store, 1..=3);
    drop(store);
    let mut store = Redb::open(directory.path()).unwrap();
    assert_eq!(kept(&mut store), (vec![1, 2, 3], vec![1, 2, 3], 3));
    assert!(fill(&mut store, 4..=4) > last, "places rise over restarts");
}

#[test]
fn a_crash_at_any_moment_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    for n in 1..=20 {
        fill(&mut store, n..=n);
        // The file as a crash at this moment would leave it: nobody closes it.
        let crashed = tempfile::tempdir().unwrap();
        fs::copy(directory.path().join("rtm.redb"), crashed.path().join("rtm.redb")).unwrap();
        let mut crashed = Redb::open(crashed.path()).unwrap();
        let all: Vec<_> = (1..=n).collect();
        assert_eq!(kept(&mut crashed), (all.clone(), all, n));
    }
}

/// Started by the next test as a process of its own: writes until it is killed, and says what was answered.
#[test]
#[ignore = "run by a_killed_process_loses_nothing_that_was_answered"]
fn writer() {
    let directory = std::env::var("RTM_STORE").unwrap();
    let mut store = Redb::open(directory).unwrap();
    for n in 1.. {
        fill(&mut store, n..=n);
        println!("\nanswered {n}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["writer", "--exact", "--ignored", "--nocapture"])
            .env("RTM_STORE", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let answered = |line: Option<std::io::Result<String>>| {
            let line = line?.ok()?;
            Some(line.strip_prefix("answered ").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0))
        };
        let mut last = 0;
        while last < 30 * round {
            last = last.max(answered(lines.next()).expect("the writer goes on until it is killed"));
        }
        writer.kill().unwrap();
        while let Some(n) = answered(lines.next()) {
            last = last.max(n);
        }
        writer.wait().unwrap();
        let mut store = Redb::open(directory.path()).unwrap();
        let (waiting, said, revision) = kept(&mut store);
        let expected: Vec<_> = (1..=last).collect();
        // One more may have been kept whose answer was not said any more.
        assert_eq!((&waiting[..last as usize], &said[..last as usize]), (&expected[..], &expected[..]));
        assert!(waiting.len() <= last as usize + 1 && said.len() == waiting.len() && revision >= last);
        clear(&mut store);
    }
}

#[test]
fn one_file_is_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Redb::open(directory.path()).unwrap();
    let error = Redb::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("rtm.redb") && error.contains("another process has it open"), "{error}");
}

fn app() -> AppId {
    AppId::new("A".repeat(32)).unwrap()
}

fn bob() -> UserId {
    UserId::new("bob").unwrap()
}

fn room() -> ChannelId {
    ChannelId::new("room").unwrap()
}

/// One batch for each number: a waiting message, one in a history, and attributes.
fn fill(store: &mut Redb, numbers: std::ops::RangeInclusive<u64>) -> Place {
    let app = app();
    let (mut last, from) = (Place(0), UserId::new("alice").unwrap());
    for n in numbers {
        let (message_id, server_received_ts) = (MessageId(n), 1_700_000_000_000 + n);
        let message = RtmMessage::text(n.to_string().repeat(100));
        let attributes = ChannelAttributes::new([].into(), Revision(n));
        let message = StoredMessage::new(message_id, from.clone(), message, server_received_ts);
        let entry = LogEntry::Message(message);
        let work = [
            StoreWork::Append { log: LogKey::Stored(bob()), entry: entry.clone(), keep: Some(1_000_000) },
            StoreWork::Append { log: LogKey::History(Conversation::Channel(room())), entry, keep: None },
            StoreWork::Put {
                key: StateKey::ChannelAttributes(room()),
                value: StateValue::ChannelAttributes(attributes),
                expected: None,
            },
        ];
        let answers = store.apply(work.into_iter().map(|work| Task { app_id: &app, work }).collect());
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let StoreAnswer::Appended { place, .. } = answers[0] else { panic!("{answers:?}") };
        last = place;
    }
    last
}

/// What [`fill`] wrote: the numbers that wait, those of the history, and the revision of the attributes.
fn kept(store: &mut Redb) -> (Vec<u64>, Vec<u64>, u64) {
    let app = app();
    let mut numbers = |log| {
        let work = StoreWork::Read { log, after: None, times: 0..u64::MAX, limit: usize::MAX, max_bytes: usize::MAX };
        let answer = store.apply(vec![Task { app_id: &app, work }]).remove(0).unwrap();
        let (messages, _) = answer.into_messages().unwrap();
        messages.into_iter().map(|(_, message)| message.message_id.0).collect()
    };
    let waiting = numbers(LogKey::Stored(bob()));
    let said = numbers(LogKey::History(Conversation::Channel(room())));
    let values = read_state(store, &app, StateKind::ChannelAttributes).unwrap();
    (waiting, said, values.first().map_or(0, |(_, value)| value.revision().0))
}

fn clear(store: &mut Redb) {
    let app = app();
    let expire = |kind| Task {
        app_id: &app,
        work: StoreWork::Expire { kind, before: u64::MAX, keep: None, max_bytes: None, written: EventTypes::ALL },
    };
    store.apply(LogKind::ALL.map(expire).into()).into_iter().for_each(|answer| drop(answer.unwrap()));
}
