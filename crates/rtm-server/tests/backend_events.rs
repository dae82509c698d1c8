//! The log of events in a file: whatever is done to it, it has what it should have, and `check` finds nothing wrong.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{collections::VecDeque, path::Path};

use proptest::prelude::*;
use rtm_codec::{AppId, UserId};
use rtm_server::{
    DamagedRecord, Redb,
    core::{
        LogEntry, LogKey, LogKind, LoggedEvent, Moment, Place, ProjectEvent, StoreAnswer, StoreWork,
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
        2 => (0..7_u64, prop::option::of(1..20_usize), any::<bool>())
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
    let work =
        StoreWork::Read { log: LogKey::Events, after: None, times: 0..u64::MAX, limit: 999, max_bytes: usize::MAX };
    let StoreAnswer::Entries { entries, dropped_to, .. } = run(store, app_id, work) else { panic!() };
    let event = |(place, entry)| match entry {
        LogEntry::Event(LoggedEvent { time, event: ProjectEvent::UserBanned { until: Moment(number), .. } }) => {
            (place, time, number)
        }
        other => panic!("{other:?}"),
    };
    (entries.into_iter().map(event).collect(), dropped_to)
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
                Step::AppendTogether(times) => {
                    let numbered: Vec<_> = times.into_iter().zip(number + 1..).collect();
                    number += numbered.len() as u64;
                    let events = numbered.iter().map(|(time, number)| event(*time, *number)).collect();
                    let answer = run(&mut store, &apps[0], StoreWork::AppendEvents { events });
                    let StoreAnswer::EventsAppended { last: Place(last), missing } = answer else { panic!() };
                    prop_assert_eq!(missing, Vec::<usize>::new());
                    let first = last + 1 - numbered.len() as u64;
                    logs[0].extend((first..).zip(numbered).map(|(place, (time, number))| (Place(place), time, number)));
                }
                Step::Expire { before, keep, keep_newest_bytes } => {
                    let all = measured(&mut store, &apps[0]);
                    let one = all / (logs[0].len() as u64).max(1);
                    let max_bytes = keep_newest_bytes.then_some(one * 3);
                    run(&mut store, &apps[0], StoreWork::Expire { kind: LogKind::Events, before, keep, max_bytes });
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
        let work = StoreWork::Expire { kind: LogKind::Events, before, keep: None, max_bytes: None };
        run(&mut store, &app_id, work);
        assert_eq!(faults(&mut store), Vec::<String>::new());
        read(&mut store, &app_id).0.into_iter().map(|(_, time, _)| time).collect::<Vec<_>>()
    };
    assert_eq!(left_before(400), [9_000_000, 500, 501, 501, 502, 501]);
    assert_eq!(left_before(501), [9_000_000, 501, 501, 502, 501]);
    assert_eq!(left_before(502), [9_000_000, 502]);
}

#[test]
fn a_log_of_format_6_goes_on_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let app_id = AppId::new("a".repeat(32)).unwrap();
    let app = app_id.as_str();
    let mut store = Redb::open(directory.path()).unwrap();
    let times = [10, 10, 10, 11, 12, 12];
    let tasks = (1..).zip(times).map(|(number, time)| append(&app_id, time, number)).collect();
    assert!(store.apply(tasks).iter().all(Result::is_ok));
    let (before, _) = read(&mut store, &app_id);
    drop(store);
    // In format 6 each event had an age.
    change(directory.path(), |transaction| {
        let mut ages = transaction.open_table(AGES).unwrap();
        assert_eq!(redb::ReadableTableMetadata::len(&ages).unwrap(), 3);
        for (Place(place), time, _) in &before {
            ages.insert((app, *time, *place, LogKey::Events.to_text().as_ref()), ()).unwrap();
        }
        transaction.open_table(META).unwrap().insert("version", 6).unwrap();
    });
    let mut store = Redb::open(directory.path()).unwrap();
    assert_eq!(read(&mut store, &app_id).0, before);
    assert_eq!(faults(&mut store), Vec::<String>::new());
    store.apply(vec![append(&app_id, 12, 7)]).remove(0).unwrap();
    run(&mut store, &app_id, StoreWork::Expire { kind: LogKind::Events, before: 12, keep: Some(2), max_bytes: None });
    let left: Vec<_> = read(&mut store, &app_id).0.into_iter().map(|(_, _, number)| number).collect();
    assert_eq!(left, [6, 7]);
    drop(store);
    change(directory.path(), |transaction| {
        let ages = transaction.open_table(AGES).unwrap();
        assert_eq!(redb::ReadableTableMetadata::len(&ages).unwrap(), 1);
        assert_eq!(
            redb::ReadableTable::get(&transaction.open_table(META).unwrap(), "version").unwrap().unwrap().value(),
            7
        );
    });
}

#[test]
fn an_event_without_its_age_is_found_by_a_check() {
    let directory = tempfile::tempdir().unwrap();
    let app_id = AppId::new("a".repeat(32)).unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    let tasks = (1..).zip([10, 10, 11]).map(|(number, time)| append(&app_id, time, number)).collect();
    assert!(store.apply(tasks).iter().all(Result::is_ok));
    let (events, _) = read(&mut store, &app_id);
    drop(store);
    for at in [1, 2] {
        let (Place(place), time, _) = events[at];
        change(directory.path(), |transaction| {
            let mut ages = transaction.open_table(AGES).unwrap();
            let log = LogKey::Events.to_text();
            assert!(ages.remove((app_id.as_str(), time, place, log.as_ref())).unwrap().is_some());
        });
        let found = faults(&mut Redb::open(directory.path()).unwrap());
        assert!(
            found.iter().any(|fault| fault.contains(&format!(" {place}: it is not found by its age"))),
            "{found:?}"
        );
    }
}

const AGES: redb::TableDefinition<'_, (&str, u64, u64, &str), ()> = redb::TableDefinition::new("ages_events");
const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");

fn change(directory: &Path, f: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(directory.join("rtm.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    f(&transaction);
    transaction.commit().unwrap();
}
