//! The log of events in a file: whatever is done to it, it has what it should have, and `check` finds nothing wrong.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    collections::VecDeque,
    fs,
    ops::{ControlFlow, Range},
    path::Path,
};

use proptest::prelude::*;
use redb::{ReadableTable as _, TableHandle as _};
use rtm_codec::{AppId, UserId};
use rtm_server::{
    DamagedRecord, Redb,
    core::{
        EventTypes, LogEntry, LogKey, LogKind, LoggedEvent, Moment, Place, ProjectEvent, StoreAnswer, StoreWork,
        store::{Backend, Task},
    },
};

/// What is done to the log of one of two projects.
#[derive(Debug, Clone)]
enum Step {
    /// Events of these times are appended, all at once, by turns to both projects if they are mixed.
    Append {
        times: Vec<u64>,
        is_mixed: bool,
    },
    /// The same in one piece of work, all to the first.
    AppendTogether(Vec<u64>),
    /// So many of one time, more than one run has.
    AppendMany {
        time: u64,
        count: u64,
    },
    Expire {
        before: u64,
        keep: Option<usize>,
        keep_newest_bytes: bool,
    },
    /// One event is removed from among the others.
    Remove(prop::sample::Index),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::collection::vec(1..6_u64, 1..12), any::<bool>())
            .prop_map(|(times, is_mixed)| Step::Append { times, is_mixed }),
        2 => prop::collection::vec(1..6_u64, 1..12).prop_map(Step::AppendTogether),
        1 => (1..6_u64, 1_000..2_500_u64).prop_map(|(time, count)| Step::AppendMany { time, count }),
        2 => (0..7_u64, prop::option::of(prop_oneof![1..20_usize, 300..2_000_usize]), any::<bool>())
            .prop_map(|(before, keep, keep_newest_bytes)| Step::Expire { before, keep, keep_newest_bytes }),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => Just(Step::Reopen),
    ]
}

/// A log as it should be: places, times and numbers.
type Log = VecDeque<(Place, u64, u64)>;

fn event(time: u64, number: u64) -> LoggedEvent {
    let event = ProjectEvent::UserBanned { user_id: UserId::new("alice").unwrap(), until: Moment(number) };
    LoggedEvent { time, event }
}

fn append(app_id: &AppId, time: u64, number: u64) -> Task<'_> {
    let entry = LogEntry::Event(event(time, number));
    Task { app_id, work: StoreWork::Append { log: LogKey::Events, entry, keep: None } }
}

fn run(store: &mut Redb, app_id: &AppId, work: StoreWork) -> StoreAnswer {
    store.apply(vec![Task { app_id, work }]).remove(0).unwrap()
}

fn read(store: &mut Redb, app_id: &AppId) -> (Log, Place) {
    let (log, _, dropped_to) = page(store, app_id, None, usize::MAX);
    (log, dropped_to)
}

/// A page of a log, whether more follows it, and up to which place events went.
fn page(store: &mut Redb, app_id: &AppId, after: Option<Place>, limit: usize) -> (Log, bool, Place) {
    let work = StoreWork::Read { log: LogKey::Events, after, times: 0..u64::MAX, limit, max_bytes: usize::MAX };
    let StoreAnswer::Entries { entries, more, dropped_to } = run(store, app_id, work) else { panic!() };
    let event = |(place, entry)| match entry {
        LogEntry::Event(LoggedEvent { time, event: ProjectEvent::UserBanned { until: Moment(number), .. } }) => {
            (place, time, number)
        }
        other => panic!("{other:?}"),
    };
    (entries.into_iter().map(event).collect(), more, dropped_to)
}

fn faults(store: &mut Redb) -> Vec<String> {
    let mut all = Vec::new();
    store.check(|damaged: DamagedRecord| all.push(damaged.to_string())).unwrap();
    all
}

fn measured(store: &mut Redb, app_id: &AppId) -> u64 {
    match run(store, app_id, StoreWork::Measure) {
        StoreAnswer::Measured(measured) => measured.events,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_log_of_events_has_what_was_appended_and_not_dropped(steps in prop::collection::vec(step(), 1..24)) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Redb::open(directory.path()).unwrap();
        let apps = ["a", "b"].map(|app| AppId::new(app.repeat(32)).unwrap());
        let mut logs = [Log::new(), Log::new()];
        let mut dropped_to = [Place(0); 2];
        let mut number = 0;
        for step in steps {
            match step {
                Step::Append { times, is_mixed } => {
                    let of = |at: usize| if is_mixed { at % 2 } else { 0 };
                    let numbered: Vec<_> = times.into_iter().zip(number + 1..).enumerate().collect();
                    number += numbered.len() as u64;
                    let tasks = numbered.iter().map(|(at, (time, number))| append(&apps[of(*at)], *time, *number));
                    let answers = store.apply(tasks.collect());
                    for ((at, (time, number)), answer) in numbered.into_iter().zip(answers) {
                        let StoreAnswer::Appended { place, .. } = answer.unwrap() else { panic!() };
                        logs[of(at)].push_back((place, time, number));
                    }
                }
                Step::AppendTogether(_) | Step::AppendMany { .. } => {
                    let times = match step {
                        Step::AppendTogether(times) => times,
                        Step::AppendMany { time, count } => vec![time; count as usize],
                        other => panic!("{other:?}"),
                    };
                    let numbered: Vec<_> = times.into_iter().zip(number + 1..).collect();
                    number += numbered.len() as u64;
                    let events = numbered.iter().map(|(time, number)| event(*time, *number)).collect();
                    let answer = run(&mut store, &apps[0], StoreWork::AppendEvents { events, is_awaited: false });
                    let StoreAnswer::EventsAppended { last: Place(last), missing } = answer else { panic!() };
                    prop_assert_eq!(missing, Vec::<usize>::new());
                    let first = last + 1 - numbered.len() as u64;
                    logs[0].extend((first..).zip(numbered).map(|(place, (time, number))| (Place(place), time, number)));
                }
                Step::Expire { before, keep, keep_newest_bytes } => {
                    let all = measured(&mut store, &apps[0]);
                    let one = all / (logs[0].len() as u64).max(1);
                    let max_bytes = keep_newest_bytes.then_some(one * 3);
                    run(&mut store, &apps[0], StoreWork::Expire { kind: LogKind::Events, before, keep, max_bytes, written: EventTypes::ALL });
                    let log = &mut logs[0];
                    let mut gone: Vec<_> = log.iter().filter(|(_, time, _)| *time < before).map(|(place, ..)| *place).collect();
                    log.retain(|(_, time, _)| *time >= before);
                    let many = log.len().saturating_sub(keep.unwrap_or(usize::MAX));
                    gone.extend(log.drain(..many).map(|(place, ..)| place));
                    let large = max_bytes.map_or(0, |_| log.len().saturating_sub(3));
                    gone.extend(log.drain(..large).map(|(place, ..)| place));
                    dropped_to[0] = gone.into_iter().chain([dropped_to[0]]).max().unwrap();
                }
                Step::Remove(at) if !logs[0].is_empty() => {
                    let (place, ..) = logs[0].remove(at.index(logs[0].len())).unwrap();
                    run(&mut store, &apps[0], StoreWork::Remove { log: LogKey::Events, places: vec![place] });
                }
                Step::Remove(_) => {}
                Step::Reopen => {
                    drop(store);
                    store = Redb::open(directory.path()).unwrap();
                }
            }
            for app in 0..2 {
                prop_assert_eq!(&read(&mut store, &apps[app]), &(logs[app].clone(), dropped_to[app]));
            }
            prop_assert_eq!(store.stats().unwrap().events, (logs[0].len() + logs[1].len()) as u64);
            prop_assert_eq!(measured(&mut store, &apps[0]) > 0, !logs[0].is_empty());
        }
        prop_assert_eq!(faults(&mut store), Vec::<String>::new());
    }
}

#[test]
fn a_clock_that_was_wrong_costs_no_other_events() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    let app_id = AppId::new("a".repeat(32)).unwrap();
    for (number, time) in (1..).zip([9_000_000, 500, 501, 501, 10, 502, 501]) {
        store.apply(vec![append(&app_id, time, number)]).remove(0).unwrap();
    }
    let mut left_before = |before| {
        let work =
            StoreWork::Expire { kind: LogKind::Events, before, keep: None, max_bytes: None, written: EventTypes::ALL };
        run(&mut store, &app_id, work);
        assert_eq!(faults(&mut store), Vec::<String>::new());
        read(&mut store, &app_id).0.into_iter().map(|(_, time, _)| time).collect::<Vec<_>>()
    };
    assert_eq!(left_before(400), [9_000_000, 500, 501, 501, 502, 501]);
    assert_eq!(left_before(501), [9_000_000, 501, 501, 502, 501]);
    assert_eq!(left_before(502), [9_000_000, 502]);
}

#[test]
fn pages_begin_and_end_anywhere_in_a_run() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    let app_id = AppId::new("a".repeat(32)).unwrap();
    let all = filled(&mut store, &app_id, 0..2_500);
    assert!(runs(directory.path(), store).len() > 2);
    let mut store = Redb::open(directory.path()).unwrap();
    for limit in [1, 7, 340, 1_024, 1_025, 2_499, 2_500, 2_501] {
        let (mut after, mut seen) = (None, Log::new());
        // One by one that is a long way.
        let pages = if limit == 1 { 20 } else { usize::MAX };
        for at in 0..pages {
            let (events, more, dropped_to) = page(&mut store, &app_id, after, limit);
            assert_eq!(
                (events.len(), dropped_to),
                (limit.min(all.len() - at * limit), Place(0)),
                "page {at} of {limit}"
            );
            after = events.back().map(|(place, ..)| *place).or(after);
            seen.extend(events);
            assert_eq!(more, seen.len() < all.len());
            if !more {
                break;
            }
        }
        assert!(all.iter().zip(&seen).all(|(one, other)| one == other) && (limit == 1 || seen.len() == all.len()));
    }
    for at in [0, 1, 333, 1_023, 1_024, 2_498] {
        let (events, ..) = page(&mut store, &app_id, Some(all[at].0), 3);
        assert!(events.iter().eq(all.iter().skip(at + 1).take(3)), "after {at}");
    }
    assert_eq!(page(&mut store, &app_id, Some(Place(u64::MAX)), 3).0, Log::new());
}

#[test]
fn a_run_is_dropped_in_part() {
    let app_id = AppId::new("a".repeat(32)).unwrap();
    let expire = |before, keep, max_bytes| StoreWork::Expire {
        kind: LogKind::Events,
        before,
        keep,
        max_bytes,
        written: EventTypes::ALL,
    };
    // So many of 2,500 are left, the newest: of those from a time on, of so many, of so many tenths of the bytes.
    let cases = [
        ("by age, the first one", 2_499, (1, None, None)),
        ("by age, some of the first run", 2_400, (100, None, None)),
        ("by age, whole runs and a part", 700, (1_800, None, None)),
        ("by age, all but one", 1, (2_499, None, None)),
        ("by number, the first one", 2_499, (0, Some(2_499), None)),
        ("by number, whole runs and a part", 1_111, (0, Some(1_111), None)),
        ("by number, all but one", 1, (0, Some(1), None)),
        ("by bytes, a part", 2_250, (0, None, Some(9))),
        ("by bytes, whole runs and a part", 250, (0, None, Some(1))),
    ];
    for (what, left, (before, keep, tenths)) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Redb::open(directory.path()).unwrap();
        let all = filled(&mut store, &app_id, 0..2_500);
        let bytes = measured(&mut store, &app_id);
        let max_bytes = tenths.map(|tenths: u64| bytes / 10 * tenths + 9);
        run(&mut store, &app_id, expire(before, keep, max_bytes));
        let (found, dropped_to) = read(&mut store, &app_id);
        // Events take the same, but for the first of each run.
        let is_as_wanted = if max_bytes.is_some() { found.len().abs_diff(left) < 3 } else { found.len() == left };
        assert!(is_as_wanted, "{what}: {}", found.len());
        let gone = all.len() - found.len();
        assert!(found.iter().eq(all.iter().skip(gone)), "{what}");
        assert_eq!(dropped_to, all[gone - 1].0, "{what}");
        assert_eq!(store.stats().unwrap().events, found.len() as u64, "{what}");
        let rest = measured(&mut store, &app_id);
        assert!(max_bytes.is_none_or(|most| rest <= most), "{what}: {rest}");
        assert_eq!(faults(&mut store), Vec::<String>::new(), "{what}");
        drop(store);
        assert_eq!(read(&mut Redb::open(directory.path()).unwrap(), &app_id), (found, dropped_to), "{what}");
    }
}

#[test]
fn a_damaged_run_costs_itself_and_nothing_else() {
    let app_id = AppId::new("a".repeat(32)).unwrap();
    let app = app_id.as_str();
    let directory = tempfile::tempdir().unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    let all = filled(&mut store, &app_id, 0..2_500);
    let bytes = measured(&mut store, &app_id);
    let places = runs(directory.path(), store);
    let (first, last) = (places[0], places[1]);
    change(directory.path(), |transaction| {
        let mut table = transaction.open_table(RUNS).unwrap();
        let mut record = table.get((app, last)).unwrap().unwrap().value().to_vec();
        let middle = record.len() / 2;
        record[middle] ^= 1;
        table.insert((app, last), &record[..]).unwrap();
    });
    let is_left = |(Place(place), ..): &&(Place, u64, u64)| !(first + 1..=last).contains(place);
    let left: Log = all.iter().filter(is_left).copied().collect();
    let lost = all.len() - left.len();
    let mut store = Redb::open(directory.path()).unwrap();
    assert_eq!(read(&mut store, &app_id).0, left);
    assert_eq!(read(&mut store, &app_id).0, left);
    // Once, however often it is read.
    let stats = store.stats().unwrap();
    assert_eq!((stats.damaged, stats.events), (1, 2_500));
    let (mut good, mut damaged) = (0, Vec::new());
    let visit = |record: Result<_, DamagedRecord>| {
        match record {
            Ok(_) => good += 1,
            Err(damage) => damaged.push(damage.to_string()),
        }
        ControlFlow::Continue(())
    };
    store.records(visit).unwrap();
    assert_eq!((good, damaged), (left.len(), vec![format!("events {app} \"all\" {last}: a record is damaged")]));
    // Its events are counted as what its header says they are.
    assert_eq!((measured(&mut store, &app_id), faults(&mut store)), (bytes, vec![]));
    // The log goes on, and others of it can be removed.
    store.apply(vec![append(&app_id, 9_000, 9_000)]).remove(0).unwrap();
    run(&mut store, &app_id, StoreWork::Remove { log: LogKey::Events, places: vec![all[0].0, Place(last)] });
    assert_eq!(read(&mut store, &app_id).0.len(), left.len());
    // It goes with what is behind it.
    let expire = |before| StoreWork::Expire {
        kind: LogKind::Events,
        before,
        keep: None,
        max_bytes: None,
        written: EventTypes::ALL,
    };
    let behind = left.iter().find(|(Place(place), ..)| *place > last).unwrap();
    run(&mut store, &app_id, expire(behind.1));
    assert_eq!(store.stats().unwrap().events as usize, left.iter().filter(|event| event.0.0 > last).count() + 1 + lost);
    run(&mut store, &app_id, expire(behind.1 + 1));
    assert_eq!(store.stats().unwrap().events as usize, left.iter().filter(|event| event.0.0 > last).count());
    assert_eq!(faults(&mut store), Vec::<String>::new());
}

#[test]
fn a_damaged_run_is_dropped_where_there_is_too_much() {
    let app_id = AppId::new("a".repeat(32)).unwrap();
    for (keep, max_bytes) in [(Some(1), None), (None, Some(0))] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Redb::open(directory.path()).unwrap();
        filled(&mut store, &app_id, 0..2_500);
        let places = runs(directory.path(), store);
        change(directory.path(), |transaction| {
            let mut table = transaction.open_table(RUNS).unwrap();
            // A header that makes no sense, and nothing at all.
            table.insert((app_id.as_str(), places[0]), &b"\x01\x00\xff\xff\xff\xff\xff\xff"[..]).unwrap();
            table.insert((app_id.as_str(), places[1]), &b""[..]).unwrap();
        });
        let mut store = Redb::open(directory.path()).unwrap();
        assert!(faults(&mut store).iter().any(|fault| fault.contains("are counted")), "{:?}", faults(&mut store));
        run(
            &mut store,
            &app_id,
            StoreWork::Expire { kind: LogKind::Events, before: 0, keep, max_bytes, written: EventTypes::ALL },
        );
        assert!(read(&mut store, &app_id).0.len() <= 1);
        store.apply(vec![append(&app_id, 9_000, 9_000)]).remove(0).unwrap();
        assert_eq!(read(&mut store, &app_id).0.back().map(|event| event.2), Some(9_000));
    }
}

#[test]
fn an_old_log_goes_on_as_before() {
    for format in [5, 6, 7] {
        let directory = tempfile::tempdir().unwrap();
        let packed = include_bytes!("fixtures/store-7.redb.gz");
        let mut file = fs::File::create(directory.path().join("rtm.redb")).unwrap();
        std::io::copy(&mut flate2::read::GzDecoder::new(&packed[..]), &mut file).unwrap();
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
        let app = app_id.as_str();
        let mut before = Vec::new();
        change(directory.path(), |transaction| {
            for entry in transaction.open_table(OLD_ENTRIES).unwrap().iter().unwrap() {
                let (key, record) = entry.unwrap();
                let entry = LogEntry::decode(LogKind::Events, record.value()).unwrap();
                before.push((key.value().0.to_owned(), Place(key.value().2), entry));
            }
            transaction.open_table(META).unwrap().insert("version", format).unwrap();
            let bytes = redb::TableDefinition::<(&str, &str), u64>::new("bytes");
            if format == 5 {
                transaction.delete_table(bytes).unwrap();
            }
            let mut dropped = transaction.open_table(OLD_DROPPED).unwrap();
            dropped.insert((app, "all"), before[0].1.0 - 1).unwrap();
        });
        let mut store = Redb::open(directory.path()).unwrap();
        assert_eq!(faults(&mut store), Vec::<String>::new());
        assert_eq!((store.stats().unwrap().events, before.len()), (420, 420));
        let all =
            StoreWork::Read { log: LogKey::Events, after: None, times: 0..u64::MAX, limit: 999, max_bytes: usize::MAX };
        let StoreAnswer::Entries { entries, dropped_to, .. } = run(&mut store, &app_id, all.clone()) else { panic!() };
        assert_eq!(dropped_to.0, before[0].1.0 - 1);
        let of_app = before.iter().filter(|(of, ..)| of == app);
        assert!(of_app.clone().map(|(_, place, entry)| (*place, entry.clone())).eq(entries.clone()), "format {format}");
        assert!(measured(&mut store, &app_id) > 0);
        // Places rise above those that were given.
        let StoreAnswer::Appended { place, .. } = store.apply(vec![append(&app_id, 12, 7)]).remove(0).unwrap() else {
            panic!()
        };
        assert!(before.iter().all(|(_, of_old, _)| *of_old < place));
        // Those of after the clock went back go at their own time.
        let times: Vec<_> = of_app.map(|(.., entry)| entry.time()).collect();
        let newest = *times.iter().max().unwrap();
        let expire = StoreWork::Expire {
            kind: LogKind::Events,
            before: newest,
            keep: None,
            max_bytes: None,
            written: EventTypes::ALL,
        };
        run(&mut store, &app_id, expire);
        let StoreAnswer::Entries { entries, .. } = run(&mut store, &app_id, all) else { panic!() };
        assert_eq!(entries.len(), times.iter().filter(|time| **time == newest).count());
        assert_eq!(faults(&mut store), Vec::<String>::new());
        drop(store);
        change(directory.path(), |transaction| {
            let names: Vec<_> = transaction.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
            for old in ["log_events", "ages_events", "counts_events", "dropped_events"] {
                assert!(!names.iter().any(|name| name == old), "{names:?}");
            }
            assert_eq!(transaction.open_table(META).unwrap().get("version").unwrap().unwrap().value(), 9);
        });
    }
}

#[test]
fn an_old_event_that_cannot_be_read_keeps_its_place_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    drop(Redb::open(directory.path()).unwrap());
    let app_id = AppId::new("a".repeat(32)).unwrap();
    change(directory.path(), |transaction| {
        let mut entries = transaction.open_table(OLD_ENTRIES).unwrap();
        for place in 1..=4 {
            let mut record = Vec::new();
            event(1_000 + place, place).encode(&mut record);
            match place {
                2 => record.truncate(3),
                3 => record.resize(100_000, 0),
                _ => {}
            }
            entries.insert((app_id.as_str(), "all", place), &record[..]).unwrap();
        }
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("version", 7).unwrap();
        meta.insert("last_place", 4).unwrap();
    });
    let mut store = Redb::open(directory.path()).unwrap();
    assert_eq!(read(&mut store, &app_id).0, [(Place(1), 1_001, 1), (Place(4), 1_004, 4)]);
    assert_eq!((store.stats().unwrap().events, store.stats().unwrap().damaged), (4, 2));
    run(
        &mut store,
        &app_id,
        StoreWork::Expire {
            kind: LogKind::Events,
            before: 1_002,
            keep: None,
            max_bytes: None,
            written: EventTypes::ALL,
        },
    );
    assert_eq!(store.stats().unwrap().events, 1);
    assert_eq!(faults(&mut store), Vec::<String>::new());
}

#[test]
fn a_run_that_is_not_found_by_its_age_is_found_by_a_check() {
    let directory = tempfile::tempdir().unwrap();
    let app_id = AppId::new("a".repeat(32)).unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    for (time, number) in [(10, 1), (9, 2), (10, 3)] {
        store.apply(vec![append(&app_id, time, number)]).remove(0).unwrap();
    }
    let (events, _) = read(&mut store, &app_id);
    assert_eq!(faults(&mut store), Vec::<String>::new());
    drop(store);
    let (Place(place), time, _) = events[1];
    change(directory.path(), |transaction| {
        let mut stragglers = transaction.open_table(STRAGGLERS).unwrap();
        assert_eq!(redb::ReadableTableMetadata::len(&stragglers).unwrap(), 1, "those that are in order need none");
        assert!(stragglers.remove((app_id.as_str(), time, place)).unwrap().is_some());
        stragglers.insert((app_id.as_str(), 3, 77), ()).unwrap();
    });
    let found = faults(&mut Redb::open(directory.path()).unwrap());
    let [first, second] = &found[..] else { panic!("{found:?}") };
    assert!(first.contains(&format!(" {place}: it is not found by its age")), "{first}");
    assert!(second.contains(" 77: it has an age, and is not there"), "{second}");
}

#[test]
fn a_head_that_is_wrong_is_found_by_a_check() {
    let directory = tempfile::tempdir().unwrap();
    let app_id = AppId::new("a".repeat(32)).unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    filled(&mut store, &app_id, 0..10);
    let bytes = measured(&mut store, &app_id);
    drop(store);
    let app = app_id.as_str();
    let heads = redb::TableDefinition::<&str, (u64, u64, u64, u64)>::new("heads_events");
    let found_with = |head: Option<(u64, u64, u64, u64)>| {
        change(directory.path(), |transaction| {
            let mut heads = transaction.open_table(heads).unwrap();
            match head {
                Some(head) => drop(heads.insert(app, head).unwrap()),
                None => drop(heads.remove(app).unwrap()),
            }
        });
        faults(&mut Redb::open(directory.path()).unwrap())
    };
    assert_eq!(found_with(Some((10, bytes, 9, 0))), Vec::<String>::new());
    assert_eq!(found_with(Some((9, bytes, 9, 0))), [format!("events {app}: 9 entries are counted, and 10 are there")]);
    let found = found_with(Some((10, 3, 9, 0)));
    assert_eq!(found, [format!("bytes of events {app}: 3 bytes are counted, and {bytes} are there")]);
    assert_eq!(found_with(Some((10, bytes, 8, 0))).len(), 1);
    assert_eq!(found_with(None), [format!("events {app}: 0 entries are counted, and 10 are there")]);
}

/// Puts events into a log at once. Each has its number as its time.
fn filled(store: &mut Redb, app_id: &AppId, numbers: Range<u64>) -> Log {
    let events = numbers.map(|number| event(number, number)).collect();
    run(store, app_id, StoreWork::AppendEvents { events, is_awaited: false });
    read(store, app_id).0
}

/// Closes a store, and says where its runs end.
fn runs(directory: &Path, store: Redb) -> Vec<u64> {
    drop(store);
    let mut places = Vec::new();
    change(directory, |transaction| {
        let runs = transaction.open_table(RUNS).unwrap();
        places.extend(runs.iter().unwrap().map(|run| run.unwrap().0.value().1));
    });
    places
}

const RUNS: redb::TableDefinition<'_, (&str, u64), &[u8]> = redb::TableDefinition::new("runs_events");
const STRAGGLERS: redb::TableDefinition<'_, (&str, u64, u64), ()> = redb::TableDefinition::new("stragglers_events");
const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
const OLD_ENTRIES: redb::TableDefinition<'_, (&str, &str, u64), &[u8]> = redb::TableDefinition::new("log_events");
const OLD_DROPPED: redb::TableDefinition<'_, (&str, &str), u64> = redb::TableDefinition::new("dropped_events");

fn change(directory: &Path, f: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(directory.join("rtm.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    f(&transaction);
    transaction.commit().unwrap();
}
