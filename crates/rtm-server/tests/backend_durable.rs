//! What the backend with a file keeps over restarts, crashes and hard kills, and what it says of bad files.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use rtm_codec::{AppId, ChannelAttributes, ChannelId, HistoryMessage, MessageId, Revision, RtmMessage, UserId};
use rtm_server::{
    Redb,
    core::{
        Conversation, OfflineId, OfflineMessage, StoreAnswer, StoreWork,
        store::{Backend, Task},
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

#[test]
fn what_is_not_a_store_is_named_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rtm.redb");
    fs::write(&file, b"these are my notes, not a store").unwrap();
    let error = Redb::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("rtm.redb"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"these are my notes, not a store");
    let error = Redb::open(&file).unwrap_err().to_string();
    assert!(error.starts_with("cannot create "), "{error}");
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(Redb::open(directory.path()).unwrap());
    set_version(&directory.path().join("rtm.redb"), 2);
    let error = Redb::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("later version of the server (format 2)"), "{error}");
}

fn set_version(file: &Path, version: u64) {
    let database = redb::Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("version", version).unwrap();
    transaction.commit().unwrap();
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
fn fill(store: &mut Redb, numbers: std::ops::RangeInclusive<u64>) -> OfflineId {
    let app = app();
    let (mut last, from) = (OfflineId(0), UserId::new("alice").unwrap());
    for n in numbers {
        let (message_id, server_received_ts) = (MessageId(n), 1_700_000_000_000 + n);
        let message = RtmMessage::text(n.to_string().repeat(100));
        let attributes = ChannelAttributes { revision: Revision(n), ..ChannelAttributes::default() };
        let (waits, said) = (message.clone(), message);
        let work = [
            StoreWork::AppendOffline {
                of: bob(),
                message: OfflineMessage { message_id, from: from.clone(), message: waits, server_received_ts },
                keep: 1_000_000,
            },
            StoreWork::AppendHistory {
                of: Conversation::Channel(room()),
                message: HistoryMessage { message_id, from: from.clone(), message: said, server_received_ts },
            },
            StoreWork::PutChannelAttributes { channel_id: room(), attributes },
        ];
        let answers = store.apply(work.into_iter().map(|work| Task { app_id: &app, work }).collect()).unwrap();
        let StoreAnswer::Appended { id, .. } = answers[0] else { panic!("{answers:?}") };
        last = id;
    }
    last
}

/// What [`fill`] wrote: the numbers that wait, those of the history, and the revision of the attributes.
fn kept(store: &mut Redb) -> (Vec<u64>, Vec<u64>, u64) {
    let app = app();
    let work = [
        StoreWork::LoadOffline { of: bob(), after: None, not_before: 0, max_bytes: usize::MAX },
        StoreWork::LoadHistory {
            of: Conversation::Channel(room()),
            from_ts: 0,
            until_ts: u64::MAX,
            after: None,
            limit: usize::MAX,
            max_bytes: usize::MAX,
        },
    ];
    let answers = store.apply(work.into_iter().map(|work| Task { app_id: &app, work }).collect()).unwrap();
    let [StoreAnswer::Offline { messages, .. }, StoreAnswer::History(page)] = &answers[..] else {
        panic!("{answers:?}")
    };
    let waiting = messages.iter().map(|(_, message)| message.message_id.0).collect();
    let said = page.messages.iter().map(|message| message.message_id.0).collect();
    let revision = store.channel_attributes(&app).unwrap().first().map_or(0, |(_, attributes)| attributes.revision.0);
    (waiting, said, revision)
}

fn clear(store: &mut Redb) {
    let app = app();
    let expire = StoreWork::Expire { offline_before: u64::MAX, history_before: u64::MAX };
    store.apply(vec![Task { app_id: &app, work: expire }]).unwrap();
}
