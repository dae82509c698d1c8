//! Files of earlier versions of the server, of later ones, and such as are no store.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    fs,
    io::Write,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, Once},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rtm_codec::{
    AppId, AttributeKey, ChannelAttribute, ChannelAttributes, ChannelId, MessageId, Revision, RtmMessage, UserId,
};
use rtm_server::{
    DamagedRecord, Redb, StoreRecord,
    core::{
        Conversation, EventType, EventTypes, EventValue, LogEntry, LogKey, LogKind, LoggedEvent, Place, ProjectEvent,
        StateKey, StateValue, StoreAnswer, StoreWork, StoredMessage,
        store::{Backend, StoredBytes, Task},
    },
};
use serde_json::Value;

#[test]
fn a_store_of_format_1_is_brought_up_and_holds_what_it_held() {
    let directory = tempfile::tempdir().unwrap();
    old_store(directory.path());
    let (first, log) = logged(|| records(&mut Redb::open(directory.path()).unwrap()));
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("brought up") && log.contains("from=1") && log.contains("to=9"), "{log}");
    let wanted: Vec<_> = include_str!("fixtures/store-1.jsonl").lines().map(record).collect();
    assert_eq!(first, wanted);
    let (again, log) = logged(|| records(&mut Redb::open(directory.path()).unwrap()));
    assert_eq!((again, log), (first, String::new()));
}

#[test]
fn a_store_that_was_brought_up_goes_on_as_before() {
    let directory = tempfile::tempdir().unwrap();
    old_store(directory.path());
    let mut store = Redb::open(directory.path()).unwrap();
    let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
    let mut run = |work| store.apply(vec![Task { app_id: &app_id, work }]).remove(0).unwrap();
    let log = LogKey::Stored(UserId::new("bob").unwrap());
    let all = |log| StoreWork::Read { log, after: None, times: 0..u64::MAX, limit: 999, max_bytes: usize::MAX };
    let (before, _) = run(all(log.clone())).into_messages().unwrap();
    assert_eq!(before.len(), 6);
    let measured = |answer| match answer {
        StoreAnswer::Measured(StoredBytes { offline, history, channel_attributes, events }) => {
            [offline, history, channel_attributes, events]
        }
        other => panic!("{other:?}"),
    };
    let [offline, history, channel_attributes, events] = measured(run(StoreWork::Measure));
    assert!(offline > 0 && history > 0 && channel_attributes > 0 && events == 0);
    // The limit counts what was there, and places rise above all that were given.
    let entry = LogEntry::Message(before[0].1.clone());
    let answer = run(StoreWork::Append { log: log.clone(), entry, keep: Some(3) });
    assert!(matches!(answer, StoreAnswer::Appended { place, dropped: 4 } if place > before[5].0), "{answer:?}");
    // What was there is found by its age.
    run(StoreWork::Expire {
        kind: LogKind::Stored,
        before: before[5].1.server_received_ts,
        keep: None,
        max_bytes: None,
        written: EventTypes::ALL,
    });
    assert_eq!(run(all(log)).into_messages().unwrap().0.len(), 1, "the last of the old ones");
    for kind in LogKind::ALL {
        run(StoreWork::Expire { kind, before: u64::MAX, keep: None, max_bytes: None, written: EventTypes::ALL });
    }
    assert_eq!(measured(run(StoreWork::Measure)), [0, 0, channel_attributes, 0], "nothing is counted that is gone");
    let stats = store.stats().unwrap();
    assert_eq!((stats.offline_messages, stats.history_messages, stats.channels), (1, 2, 5), "of the other project");
}

#[test]
fn a_store_of_format_7_is_brought_up_and_holds_what_it_held() {
    let directory = tempfile::tempdir().unwrap();
    unpack(directory.path(), include_bytes!("fixtures/store-7.redb.gz"));
    let (first, log) = logged(|| records(&mut Redb::open(directory.path()).unwrap()));
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("from=7") && log.contains("to=9"), "{log}");
    let wanted: Vec<_> = include_str!("fixtures/store-7.jsonl").lines().map(record).collect();
    assert_eq!(first, wanted);
    let (again, log) = logged(|| records(&mut Redb::open(directory.path()).unwrap()));
    assert_eq!((again, log), (first, String::new()));
}

#[test]
fn a_store_of_format_8_is_brought_up_and_keeps_what_it_could_not_keep() {
    let directory = tempfile::tempdir().unwrap();
    drop(Redb::open(directory.path()).unwrap());
    let database = redb::Database::open(directory.path().join("rtm.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    for table in ["state_open", "state_accepted_events"] {
        let table = redb::TableDefinition::<(&str, &str), &[u8]>::new(table);
        assert!(transaction.delete_table(table).unwrap());
    }
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("version", 8).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let (stats, log) = logged(|| Redb::open(directory.path()).unwrap().stats().unwrap());
    assert!(log.contains("from=8") && log.contains("to=9"), "{log}");
    assert_eq!((stats.open, stats.accepted_events), (0, 0));
}

#[test]
fn the_history_of_an_older_format_is_found_by_who_sent_it() {
    use rtm_server::core::store::{HistoryFilter, HistorySpan, LogEntry, LogKey};
    let directory = tempfile::tempdir().unwrap();
    old_store(directory.path());
    let mut store = Redb::open(directory.path()).unwrap();
    let mut seen = 0;
    for record in records(&mut store) {
        let StoreRecord::Entry { app_id, log: LogKey::History(conversation), entry: LogEntry::Message(message) } =
            record
        else {
            continue;
        };
        let filter = HistoryFilter { source: Some(message.from.clone()), ..HistoryFilter::default() };
        let span = HistorySpan { filter, times: message.server_received_ts..message.server_received_ts + 1 };
        let work = StoreWork::Search { span, newest_first: false, offset: 0, limit: 100 };
        let answer = store.apply(vec![Task { app_id: &app_id, work }]).remove(0).unwrap();
        let StoreAnswer::Found(found) = answer else { panic!("{answer:?}") };
        assert!(found.contains(&(conversation, message)));
        seen += 1;
    }
    assert!(seen > 2, "{seen}");
}

#[test]
fn a_store_of_a_later_version_is_refused_with_both_numbers() {
    let directory = tempfile::tempdir().unwrap();
    drop(Redb::open(directory.path()).unwrap());
    let file = directory.path().join("rtm.redb");
    let database = redb::Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("version", 10).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Redb::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("it has format 10") && error.contains("formats up to 9"), "{error}");
}

#[test]
fn what_is_not_a_store_is_named_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rtm.redb");
    for content in [&b"these are my notes, not a store"[..], b"re", b"redb"] {
        fs::write(&file, content).unwrap();
        let error = Redb::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("rtm.redb: it is not a store of this server"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    let error = Redb::open(&file).unwrap_err().to_string();
    assert!(error.starts_with("cannot create "), "{error}");
}

#[test]
fn a_database_of_another_program_is_left_as_it_is() {
    let theirs = [redb::TableDefinition::<&str, &str>::new("meta"), redb::TableDefinition::new("notes")];
    for table in theirs {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rtm.redb");
        let database = redb::Database::create(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert("version", "mine").unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = Redb::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("it is not a store of this server"), "{error}");
        let database = redb::Database::open(&file).unwrap();
        let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
        assert_eq!(transaction.list_tables().unwrap().count(), 1);
    }
}

#[test]
fn a_file_cut_short_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    old_store(directory.path());
    let file = directory.path().join("rtm.redb");
    let whole = fs::read(&file).unwrap();
    for len in [9, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&file, &whole[..len]).unwrap();
        let error = Redb::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("rtm.redb"), "{len}: {error}");
    }
}

#[test]
fn an_empty_file_becomes_a_new_store_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rtm.redb"), b"").unwrap();
    let (found, log) = logged(|| records(&mut Redb::open(directory.path()).unwrap()));
    assert_eq!(found, []);
    assert!(log.contains("WARN") && log.contains("rtm.redb is empty"), "{log}");
    // A new store is nothing to warn of.
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(logged(|| drop(Redb::open(directory.path()).unwrap())).1, "");
}

#[test]
fn only_a_store_that_is_there_can_be_opened_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let error = Redb::open_existing(directory.path()).unwrap_err().to_string();
    assert!(error.contains("rtm.redb"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_damaged_record_costs_itself_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    old_store(directory.path());
    drop(Redb::open(directory.path()).unwrap());
    let database = redb::Database::open(directory.path().join("rtm.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let app = "0123456789abcdef0123456789abcdef";
    let place;
    {
        let stored = redb::TableDefinition::<(&str, &str, u64), &[u8]>::new("log_stored");
        let mut stored = transaction.open_table(stored).unwrap();
        place = redb::ReadableTable::range(&stored, (app, "bob", 0)..).unwrap().next().unwrap().unwrap().0.value().2;
        stored.insert((app, "bob", place), &b"\x01nonsense"[..]).unwrap();
        let state = redb::TableDefinition::<(&str, &str), &[u8]>::new("state_channel_attributes");
        transaction.open_table(state).unwrap().insert((app, "large"), &b""[..]).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);

    let mut store = Redb::open(directory.path()).unwrap();
    let mut damaged = Vec::new();
    let mut whole = 0;
    let count = |record: Result<StoreRecord, DamagedRecord>| {
        match record {
            Ok(_) => whole += 1,
            Err(damage) => damaged.push(damage.to_string()),
        }
        ControlFlow::Continue(())
    };
    store.records(count).unwrap();
    assert_eq!((whole, damaged.len()), (77, 2), "{damaged:?}");
    assert!(damaged[0].contains(&format!("stored {app} \"bob\" {place}: ")), "{damaged:?}");

    let app_id = AppId::new(app).unwrap();
    let log = LogKey::Stored(UserId::new("bob").unwrap());
    let read = StoreWork::Read { log: log.clone(), after: None, times: 0..u64::MAX, limit: 99, max_bytes: usize::MAX };
    let list =
        StoreWork::List { kind: rtm_server::core::store::StateKind::ChannelAttributes, after: None, max_bytes: 99 };
    let remove = StoreWork::Remove { log, places: vec![Place(place)] };
    let (answers, said) = logged(|| {
        let tasks = [read, list, remove].map(|work| Task { app_id: &app_id, work });
        store.apply(tasks.into()).into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    assert!(matches!(&answers[0], StoreAnswer::Entries { entries, .. } if entries.len() == 5), "{answers:?}");
    assert!(matches!(&answers[1], StoreAnswer::Values { values, .. } if values.len() == 3), "{answers:?}");
    assert_eq!(answers[2], StoreAnswer::Done);
    assert_eq!(said.matches("ERROR").count(), 2, "{said}");
    assert!(said.contains(&format!("stored {app} \"bob\" {place}: a record is damaged")), "{said}");
    let stats = store.stats().unwrap();
    assert_eq!((stats.offline_messages, stats.damaged), (10, 2));
}

/// Puts the store of format 1 into a directory.
fn old_store(directory: &Path) {
    unpack(directory, include_bytes!("fixtures/store-1.redb.gz"));
}

fn unpack(directory: &Path, mut packed: &[u8]) {
    hear_all();
    let mut file = fs::File::create(directory.join("rtm.redb")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(&mut packed), &mut file).unwrap();
}

fn records(store: &mut Redb) -> Vec<StoreRecord> {
    let mut all = Vec::new();
    let visit = |record: Result<_, _>| {
        all.push(record.unwrap());
        ControlFlow::Continue(())
    };
    store.records(visit).unwrap();
    all
}

/// A record from its line.
fn record(line: &str) -> StoreRecord {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let app_id = AppId::new(text(&line["app_id"])).unwrap();
    let user = |value: &Value| UserId::new(text(value)).unwrap();
    let channel = |value: &Value| ChannelId::new(text(value)).unwrap();
    let message = || {
        let (form, content) = line["message"].as_object().unwrap().iter().next().unwrap();
        let bytes = || BASE64_STANDARD.decode(text(content)).unwrap().into();
        let message = match form.as_str() {
            "text" => RtmMessage::text(text(content)),
            "binary" => RtmMessage::Binary(bytes()),
            "value" => RtmMessage::Value(bytes()),
            other => panic!("{other}"),
        };
        LogEntry::Message(StoredMessage::new(
            MessageId(line["message_id"].as_u64().unwrap()),
            user(&line["from"]),
            message,
            line["server_received_ts"].as_u64().unwrap(),
        ))
    };
    match line["type"].as_str().unwrap() {
        "stored_message" => {
            StoreRecord::Entry { app_id, log: LogKey::Stored(user(&line["user_id"])), entry: message() }
        }
        "history" => {
            let conversation = match line["peers"].as_array() {
                Some(peers) => Conversation::between(user(&peers[0]), user(&peers[1])),
                None => Conversation::Channel(channel(&line["channel_id"])),
            };
            StoreRecord::Entry { app_id, log: LogKey::History(conversation), entry: message() }
        }
        "event" => {
            let data = &line["data"];
            let value = |name: &str| match data.get(name)? {
                Value::String(text) => Some(EventValue::Text(text.as_str().into())),
                Value::Bool(flag) => Some(EventValue::Flag(*flag)),
                number => Some(EventValue::Number(number.as_u64()?)),
            };
            let event_type = EventType::from_name(line["event"].as_str().unwrap()).unwrap();
            let event = ProjectEvent::from_data(event_type, value).unwrap();
            let entry = LogEntry::Event(LoggedEvent { time: line["time"].as_u64().unwrap(), event });
            StoreRecord::Entry { app_id, log: LogKey::Events, entry }
        }
        "channel_attributes" => {
            let attributes = line["attributes"].as_object().unwrap().iter().map(|(key, attribute)| {
                let attribute = ChannelAttribute::new(
                    text(&attribute["value"]).into(),
                    user(&attribute["last_update_user_id"]),
                    attribute["last_update_ts"].as_u64().unwrap(),
                );
                (AttributeKey::new(key).unwrap(), attribute)
            });
            let revision = Revision(line["revision"].as_u64().unwrap());
            let value = StateValue::ChannelAttributes(ChannelAttributes::new(attributes.collect(), revision));
            StoreRecord::Value { app_id, key: StateKey::ChannelAttributes(channel(&line["channel_id"])), value }
        }
        other => panic!("{other}"),
    }
}

/// Has somebody hear everything. Otherwise a line that one test logs first, with nobody there to hear it, may be lost to another
/// test that begins to listen at that moment.
fn hear_all() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let nobody = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
        tracing::subscriber::set_global_default(nobody).unwrap();
    });
}

/// What `f` answers, and what it writes to the log.
fn logged<R>(f: impl FnOnce() -> R) -> (R, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let answer = tracing::subscriber::with_default(subscriber, f);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (answer, log)
}
