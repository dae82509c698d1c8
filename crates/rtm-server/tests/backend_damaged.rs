//! A file whose pages are damaged: what can be read is read, and what cannot is told once and counted.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    fs, io,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex},
};

use rtm_codec::{AppId, ChannelAttributes, ChannelId, MessageId, Revision, RtmMessage, UserId};
use rtm_server::{
    Redb, StoreRecord,
    core::{
        Conversation, LogEntry, LogKey, LoggedEvent, Moment, ProjectEvent, StateKey, StateValue, StoreAnswer,
        StoreWork, StoredMessage,
        store::{Backend, StateKind, Task, read_state},
    },
};

#[test]
fn a_page_that_cannot_be_read_costs_its_users_and_nobody_else() {
    let whole = filled();
    let file = fs::read(whole.path().join(FILE)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    write_damaged(directory.path(), &file, |bytes| wipe(bytes, &text(USERS / 2, 3)));

    let mut store = Redb::open(directory.path()).unwrap();
    let (refused, log) = logged(|| refused_users(&mut store));
    assert!(refused.contains(&(USERS / 2)) && refused.len() < USERS / 4, "{refused:?}");
    let told: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(told.len(), refused.len(), "{log}");
    for user in &refused {
        assert!(told.iter().any(|line| line.contains(&format!("\"user{user}\""))), "{user}: {log}");
    }
    assert_eq!(store.stats().unwrap().damaged, refused.len() as u64);

    // Once, however often it is tried; what is to be kept there is refused, and elsewhere it is kept.
    let (again, log) = logged(|| refused_users(&mut store));
    assert_eq!((&again, log.as_str()), (&refused, ""));
    let (answers, log) = logged(|| run(&mut store, [append(USERS / 2, 99), append(0, 99)]));
    assert!(answers[0].is_err() && answers[1].is_ok() && log.is_empty(), "{answers:?} {log}");
    drop(store);
    let mut store = Redb::open(directory.path()).unwrap();
    let (messages, _) = read(&mut store, log_of(0)).unwrap();
    assert_eq!(messages.len(), MESSAGES + 1);
}

#[test]
fn records_go_on_behind_a_page_that_cannot_be_read_and_name_what_is_on_it() {
    let whole = filled();
    let file = fs::read(whole.path().join(FILE)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    write_damaged(directory.path(), &file, |bytes| {
        [USERS / 3, USERS / 2].into_iter().for_each(|user| wipe(bytes, &text(user, 3)));
    });
    let mut store = Redb::open(directory.path()).unwrap();
    let (good, damaged) = records(&mut store);
    assert_eq!(good + damaged.len(), 2 * USERS * MESSAGES + CHANNELS, "{damaged:?}");
    assert!(!damaged.is_empty() && damaged.len() < 4 * PAGE / text(0, 0).len(), "{damaged:?}");
    for user in [USERS / 3, USERS / 2] {
        assert!(damaged.iter().any(|line| line.contains(&format!("\"user{user}\""))), "{user}: {damaged:?}");
    }
    let mut found = Vec::new();
    store.check(|damage| found.push(damage.to_string())).unwrap();
    assert!(!found.is_empty());
    // Looking has made nothing worse.
    drop(store);
    let mut store = Redb::open(directory.path()).unwrap();
    assert_eq!(records(&mut store), (good, damaged));
}

#[test]
fn events_between_two_pages_that_cannot_be_read_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let (file, runs) = file_with_events(directory.path());
    let pages: Vec<_> = runs.iter().map(|(_, record)| page_of(&file, record)).collect();
    let end = runs.len() - 1;
    assert!(end > 6 && pages[1] != pages[end / 2] && pages[end / 2] != pages[end], "{pages:?}");
    // In the middle, beside each other, at both ends, and all.
    for wiped in [vec![2, end - 2], vec![2, 3, 4], vec![0, end / 2], vec![end / 2, end], (0..=end).collect()] {
        let wiped: Vec<_> = wiped.into_iter().map(|at| pages[at]).collect();
        write_damaged(directory.path(), &file, |bytes| {
            wiped.iter().for_each(|page| bytes[page * PAGE..][..PAGE].fill(0));
        });
        let mut store = Redb::open(directory.path()).unwrap();
        let (mut seen, mut damaged) = (Vec::new(), Vec::new());
        let visit = |record: Result<_, rtm_server::DamagedRecord>| {
            match record {
                Ok(StoreRecord::Entry {
                    entry: LogEntry::Event(LoggedEvent { event: ProjectEvent::UserBanned { user_id, .. }, .. }),
                    ..
                }) => seen.push(user_id.to_string()),
                Ok(other) => panic!("{other:?}"),
                Err(damage) => damaged.push(damage.to_string()),
            }
            ControlFlow::Continue(())
        };
        store.records(visit).unwrap();
        let (mut left, mut before) = (Vec::new(), 0);
        for (at, (last, _)) in runs.iter().enumerate() {
            let is_left = !wiped.contains(&pages[at]);
            left.extend((before..*last).filter(|_| is_left).map(|place| event_user(place as usize)));
            before = *last;
        }
        assert!(seen == left, "{} of {}, {wiped:?}: {damaged:?}", seen.len(), left.len());
        // Runs beside each other are named together.
        let is_end = |at: &usize| pages.get(at + 1).is_none_or(|next| !wiped.contains(next));
        let gaps = (0..=end).filter(|at| wiped.contains(&pages[*at]) && is_end(at)).count();
        assert_eq!(damaged.len(), gaps, "{wiped:?}: {damaged:?}");
        assert!(damaged.iter().all(|damage| damage.starts_with("events between ")), "{damaged:?}");
        let mut found = Vec::new();
        store.check(|damage| found.push(damage.to_string())).unwrap();
        assert!(found.iter().any(|damage| damage.contains("the file: ")), "{found:?}");
    }
}

#[test]
fn a_damaged_page_of_events_does_not_keep_a_file_of_format_7_from_being_opened() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_of_format_7(directory.path());
    for at in [EVENTS / 2, EVENTS - 1] {
        write_damaged(directory.path(), &file, |bytes| wipe(bytes, &event_user(at)));
        let (mut store, log) = logged(|| Redb::open(directory.path()).unwrap());
        assert!(log.matches("ERROR").count() == 1 && log.contains("cannot be read, and are lost"), "{log}");
        let (answers, _) = logged(|| run(&mut store, [append(0, 1)]));
        assert!(answers[0].is_ok(), "{answers:?}");
        let (good, damaged) = records(&mut store);
        assert_eq!(damaged, Vec::<String>::new());
        let lost = EVENTS + 1 - good;
        assert!(lost > 0 && lost < 4 * PAGE / event_user(0).len(), "{lost}");
        drop(store);
        let (_, log) = logged(|| Redb::open(directory.path()).unwrap());
        assert!(!log.contains("newer format"), "{log}");
    }
}

/// A file of format 7 with many events.
fn file_of_format_7(directory: &Path) -> Vec<u8> {
    drop(Redb::open(directory).unwrap());
    let database = redb::Database::open(directory.join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let entries = redb::TableDefinition::<(&str, &str, u64), &[u8]>::new("log_events");
        let mut entries = transaction.open_table(entries).unwrap();
        for number in 0..EVENTS {
            let mut record = Vec::new();
            event(number).encode(&mut record);
            entries.insert((app().as_str(), "all", number as u64 + 1), &record[..]).unwrap();
        }
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        let mut meta = transaction.open_table(meta).unwrap();
        meta.insert("version", 7).unwrap();
        meta.insert("last_place", EVENTS as u64).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    fs::read(directory.join(FILE)).unwrap()
}

/// A file with many events, some of them of one time: its bytes, and where its runs end, with their records.
fn file_with_events(directory: &Path) -> (Vec<u8>, Vec<(u64, Vec<u8>)>) {
    let mut store = Redb::open(directory).unwrap();
    let append = |number| StoreWork::Append { log: LogKey::Events, entry: LogEntry::Event(event(number)), keep: None };
    assert!(run(&mut store, (0..EVENTS).map(append)).iter().all(Result::is_ok));
    drop(store);
    let database = redb::Database::open(directory.join(FILE)).unwrap();
    let table = redb::TableDefinition::<(&str, u64), &[u8]>::new("runs_events");
    let runs = redb::ReadableDatabase::begin_read(&database).unwrap().open_table(table).unwrap();
    let all = redb::ReadableTable::iter(&runs).unwrap().map(|run| {
        let (key, record) = run.unwrap();
        (key.value().1, record.value().to_vec())
    });
    let runs = all.collect();
    drop(database);
    (fs::read(directory.join(FILE)).unwrap(), runs)
}

/// The page where a record begins.
fn page_of(file: &[u8], record: &[u8]) -> usize {
    let start = &record[..64];
    file.windows(start.len()).position(|window| window == start).unwrap() / PAGE
}

fn event(number: usize) -> LoggedEvent {
    let event = ProjectEvent::UserBanned { user_id: UserId::new(event_user(number)).unwrap(), until: Moment(0) };
    LoggedEvent { time: 1_000 + number as u64 / 3, event }
}

fn event_user(number: usize) -> String {
    format!("user_with_a_rather_long_name_{number:06}")
}

const EVENTS: usize = 3_000;

#[test]
fn bytes_that_are_counted_wrong_are_named_with_their_project() {
    let whole = filled();
    let mut store = Redb::open(whole.path()).unwrap();
    // Records that go and change are counted too.
    let places = read(&mut store, log_of(1)).unwrap().0.iter().take(2).map(|(place, _)| *place).collect();
    run(&mut store, [StoreWork::Remove { log: log_of(1), places }]).remove(0).unwrap();
    let found = |store: &mut Redb| {
        let mut found = Vec::new();
        store.check(|damage| found.push(damage.to_string())).unwrap();
        found
    };
    assert_eq!(found(&mut store), Vec::<String>::new());
    drop(store);

    let app = app();
    let database = redb::Database::open(whole.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let bytes = redb::TableDefinition::<(&str, &str), u64>::new("bytes");
        let mut bytes = transaction.open_table(bytes).unwrap();
        bytes.insert((app.as_str(), "stored"), 7).unwrap();
        bytes.remove((app.as_str(), "channel_attributes")).unwrap();
        let heads = redb::TableDefinition::<&str, (u64, u64, u64, u64)>::new("heads_events");
        transaction.open_table(heads).unwrap().insert("f".repeat(32).as_str(), (0, 9, 0, 0)).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let found = found(&mut Redb::open(whole.path()).unwrap());
    let [nobody, stored, attributes] = &found[..] else { panic!("{found:?}") };
    assert!(stored.starts_with(&format!("bytes of stored {app}: 7 bytes are counted, and ")), "{stored}");
    let other = "f".repeat(32);
    assert_eq!(nobody, &format!("bytes of events {other}: 9 bytes are counted, and 0 are there"));
    assert!(
        attributes.starts_with(&format!("bytes of channel_attributes {app}: none is counted, and ")),
        "{attributes}"
    );
}

#[test]
fn attributes_that_can_be_read_are_there_at_the_start() {
    let whole = filled();
    let file = fs::read(whole.path().join(FILE)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    write_damaged(directory.path(), &file, |bytes| wipe(bytes, "channel_with_a_long_name_250"));
    let mut store = Redb::open(directory.path()).unwrap();
    let (values, log) = logged(|| read_state(&mut store, &app(), StateKind::ChannelAttributes).unwrap());
    assert!(values.len() < CHANNELS && values.len() > CHANNELS / 2, "{}", values.len());
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    assert_eq!(store.stats().unwrap().damaged, 1);
}

/// Whatever is flipped: nothing panics, and no message is missing in silence.
#[test]
fn no_stored_message_is_lost_in_silence_wherever_the_damage_is() {
    let whole = filled();
    let file = fs::read(whole.path().join(FILE)).unwrap();
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let (mut opened, mut hit) = (0, 0);
    for round in 0..30 {
        let directory = tempfile::tempdir().unwrap();
        write_damaged(directory.path(), &file, |bytes| {
            // Not the header, which opening looks at.
            let page = (1 + random(bytes.len() / PAGE - 1)) * PAGE;
            match round % 3 {
                0 => bytes[page..page + PAGE].fill(0),
                1 => (0..8).for_each(|_| bytes[page + random(64)] ^= 1 << random(8)),
                _ => (0..50).for_each(|_| bytes[page + random(PAGE)] ^= 1 << random(8)),
            }
        });
        let mut store = match Redb::open(directory.path()) {
            Ok(store) => store,
            Err(error) => {
                assert!(error.to_string().contains(FILE), "{error}");
                continue;
            }
        };
        opened += 1;
        let (lost, log) = logged(|| {
            (0..USERS)
                .filter(|&user| read(&mut store, log_of(user)).is_none_or(|(found, _)| found.len() < MESSAGES))
                .count()
        });
        let told = log.matches("ERROR").count();
        hit += usize::from(lost > 0);
        assert!(told >= lost, "round {round}: {lost} users miss messages: {log}");
        assert_eq!(store.stats().map_or(told as u64, |stats| stats.damaged), told as u64, "{log}");
    }
    assert!(opened > 15 && hit > 5, "{opened} opened, {hit} hit");
}

const FILE: &str = "rtm.redb";
const PAGE: usize = 4096;
const USERS: usize = 120;
const MESSAGES: usize = 10;
const CHANNELS: usize = 500;

fn app() -> AppId {
    AppId::new("A".repeat(32)).unwrap()
}

fn log_of(user: usize) -> LogKey {
    LogKey::Stored(UserId::new(format!("user{user}")).unwrap())
}

/// The text of a message, with its number in front.
fn text(user: usize, n: usize) -> String {
    format!("<{user}/{n}>{}", "x".repeat(200))
}

fn append(user: usize, n: usize) -> StoreWork {
    StoreWork::Append { log: log_of(user), entry: entry(user, n), keep: Some(1_000) }
}

fn entry(user: usize, n: usize) -> LogEntry {
    LogEntry::Message(StoredMessage::new(
        MessageId((user * 1_000 + n) as u64),
        UserId::new("alice").unwrap(),
        RtmMessage::text(text(user, n)),
        1_700_000_000_000 + (user * 1_000 + n) as u64,
    ))
}

/// A store with mail of many users, the same in histories, and attributes of many channels.
fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    let room = |n: usize| ChannelId::new(format!("channel_with_a_long_name_{n}")).unwrap();
    let mut work = Vec::new();
    for user in 0..USERS {
        work.extend((0..MESSAGES).map(|n| append(user, n)));
        let log = LogKey::History(Conversation::Channel(room(user)));
        work.extend((0..MESSAGES).map(|n| StoreWork::Append { log: log.clone(), entry: entry(user, n), keep: None }));
    }
    work.extend((0..CHANNELS).map(|n| StoreWork::Put {
        key: StateKey::ChannelAttributes(room(n)),
        value: StateValue::ChannelAttributes(ChannelAttributes::new([].into(), Revision(1))),
        expected: None,
    }));
    run(&mut store, work).into_iter().for_each(|answer| drop(answer.unwrap()));
    drop(store);
    directory
}

fn run(
    store: &mut Redb,
    work: impl IntoIterator<Item = StoreWork>,
) -> Vec<Result<StoreAnswer, rtm_server::BackendError>> {
    let app_id = app();
    store.apply(work.into_iter().map(|work| Task { app_id: &app_id, work }).collect())
}

type Messages = (Vec<(rtm_server::core::Place, StoredMessage)>, bool);

fn read(store: &mut Redb, log: LogKey) -> Option<Messages> {
    let work = StoreWork::Read { log, after: None, times: 0..u64::MAX, limit: usize::MAX, max_bytes: usize::MAX };
    match run(store, [work]).remove(0) {
        Ok(answer) => answer.into_messages(),
        Err(error) => {
            assert!(error.is_logged(), "{error}");
            None
        }
    }
}

/// The users whose mail is refused; that of all others is whole.
fn refused_users(store: &mut Redb) -> Vec<usize> {
    let mut refused = Vec::new();
    for user in 0..USERS {
        match read(store, log_of(user)) {
            Some((messages, _)) => assert_eq!(messages.len(), MESSAGES, "user{user}"),
            None => refused.push(user),
        }
    }
    refused
}

/// How many records are whole, and what the others are called.
fn records(store: &mut Redb) -> (usize, Vec<String>) {
    let (mut good, mut damaged) = (0, Vec::new());
    let visit = |record: Result<_, rtm_server::DamagedRecord>| {
        match record {
            Ok(_) => good += 1,
            Err(damage) => damaged.push(damage.to_string()),
        }
        ControlFlow::Continue(())
    };
    store.records(visit).unwrap();
    (good, damaged)
}

/// Overwrites the pages that hold a text, whose older copies may lie in pages that are not in use.
fn wipe(file: &mut [u8], text: &str) {
    for page in file.chunks_mut(PAGE) {
        if page.windows(text.len()).any(|window| window == text.as_bytes()) {
            page.fill(0);
        }
    }
}

fn write_damaged(directory: &Path, file: &[u8], damage: impl FnOnce(&mut [u8])) {
    let mut bytes = file.to_vec();
    damage(&mut bytes);
    fs::write(directory.join(FILE), bytes).unwrap();
}

/// What `f` gives, and what it logs.
fn logged<R>(f: impl FnOnce() -> R) -> (R, String) {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let result = tracing::subscriber::with_default(subscriber, f);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (result, log)
}
