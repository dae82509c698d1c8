//! The store of a cluster, with real NATS servers: `NATS_SERVER` names the program, and
//! `cargo test -p rtm-server --features cluster --test store_on_nats -- --ignored` runs them.
#![cfg(feature = "cluster")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod nats;

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rtm_codec::{ChannelAttributes, ChannelId, MessageId, Revision, RtmMessage, StoredMessage, UserId};
use rtm_server::{
    AppId, BackendError, ClusterConfig, ClusterStore, StoreRecord,
    core::{
        Conversation, EventTypes, LogEntry, LogKey, StateKey, StateValue, StoreAnswer, StoreWork,
        store::{Backend, LogKind, Place, Task, conformance},
    },
};

use nats::Nats;

fn config(nats: &Nats, cluster: &str) -> ClusterConfig {
    let mut config = ClusterConfig::new(nats.urls().iter().map(|url| url.parse().unwrap()).collect());
    config.name = cluster.parse().unwrap();
    config
}

/// Opens a store as soon as the servers have found each other.
fn open(nats: &Nats, cluster: &str) -> ClusterStore {
    let start = Instant::now();
    loop {
        match ClusterStore::open(&config(nats, cluster)) {
            Ok(store) => return store,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn app() -> AppId {
    AppId::new("0123456789abcdef0123456789abcdef").unwrap()
}

fn run(store: &mut ClusterStore, works: Vec<StoreWork>) -> Vec<Result<StoreAnswer, BackendError>> {
    let app_id = app();
    store.apply(works.into_iter().map(|work| Task { app_id: &app_id, work }).collect())
}

fn one(store: &mut ClusterStore, work: StoreWork) -> StoreAnswer {
    run(store, vec![work]).pop().unwrap().unwrap()
}

fn mail(user: &str) -> LogKey {
    LogKey::Stored(UserId::new(user).unwrap())
}

fn history(channel: &str) -> LogKey {
    LogKey::History(Conversation::Channel(ChannelId::new(channel).unwrap()))
}

fn append(log: &LogKey, number: u64, time: u64, keep: usize) -> StoreWork {
    let message = RtmMessage::text(format!("message {number}"));
    let message = StoredMessage::new(MessageId(number), UserId::new("alice").unwrap(), message, time);
    let keep = log.kind().is_limited().then_some(keep);
    StoreWork::Append { log: log.clone(), entry: LogEntry::Message(message), keep }
}

fn read(log: &LogKey, times: std::ops::Range<u64>, limit: usize) -> StoreWork {
    StoreWork::Read { log: log.clone(), after: None, times, limit, max_bytes: usize::MAX }
}

fn messages(answer: StoreAnswer) -> Vec<(Place, u64)> {
    let (messages, _) = answer.into_messages().unwrap();
    messages.into_iter().map(|(place, message)| (place, message.message_id.0)).collect()
}

fn numbers(store: &mut ClusterStore, log: &LogKey) -> Vec<u64> {
    let all = messages(one(store, read(log, 0..u64::MAX, usize::MAX)));
    all.into_iter().map(|(_, number)| number).collect()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn put(channel: &str, revision: u64, expected: u64) -> StoreWork {
    let value = ChannelAttributes::new([].into(), Revision(revision));
    StoreWork::Put {
        key: StateKey::ChannelAttributes(ChannelId::new(channel).unwrap()),
        value: StateValue::ChannelAttributes(value),
        expected: Some(Revision(expected)),
    }
}

fn pass_every_check(servers: usize) {
    let nats = Nats::start(servers);
    let failures = conformance::checks()
        .iter()
        .enumerate()
        .filter_map(|(number, check)| check.run(|| Ok(Box::new(open(&nats, &format!("check{number}"))))).err());
    let failures: Vec<_> = failures.map(|failure| failure.to_string()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn the_store_on_one_server_passes_every_check() {
    pass_every_check(1);
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn the_store_on_three_servers_passes_every_check() {
    pass_every_check(3);
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn what_one_node_stores_or_removes_another_sees_at_once() {
    let nats = Nats::start(3);
    let (mut one_node, mut other) = (open(&nats, "main"), open(&nats, "main"));
    let log = mail("bob");
    // A server that is behind would show old messages, or not the newest.
    for number in 0..200 {
        one(&mut one_node, append(&log, number, now_ms(), usize::MAX));
        let all = messages(one(&mut other, read(&log, 0..u64::MAX, usize::MAX)));
        assert_eq!(all.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [number]);
        let places = all.iter().map(|(place, _)| *place).collect();
        one(&mut one_node, StoreWork::Remove { log: log.clone(), places });
    }
    assert_eq!(numbers(&mut other, &log), [0; 0]);
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn nodes_that_fill_one_log_at_the_same_time_drop_only_the_oldest() {
    let nats = Nats::start(1);
    let log = mail("bob");
    const KEEP: usize = 20;
    let dropped: usize = thread::scope(|scope| {
        let nodes = (0..3).map(|node| {
            let (nats, log) = (&nats, &log);
            scope.spawn(move || {
                let mut store = open(nats, "main");
                let stored =
                    (0..60).map(|number| match one(&mut store, append(log, node * 1000 + number, now_ms(), KEEP)) {
                        StoreAnswer::Appended { dropped, .. } => dropped,
                        other => panic!("{other:?}"),
                    });
                stored.sum::<usize>()
            })
        });
        nodes.collect::<Vec<_>>().into_iter().map(|node| node.join().unwrap()).sum()
    });
    let mut store = open(&nats, "main");
    let all = messages(one(&mut store, read(&log, 0..u64::MAX, usize::MAX)));
    assert!(all.len() >= KEEP, "{} of {KEEP} messages are left", all.len());
    assert_eq!(all.len() + dropped, 180, "each is there or said to be dropped");
    let places: Vec<_> = all.iter().map(|(place, _)| place.0).collect();
    let newest: Vec<_> = (181 - all.len() as u64..=180).collect();
    assert_eq!(places, newest);
    // One more makes room as it should.
    one(&mut store, append(&log, 1, now_ms(), KEEP));
    assert_eq!(numbers(&mut store, &log).len(), KEEP);
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn a_span_of_a_long_history_is_found_wherever_it_lies() {
    let nats = Nats::start(1);
    let mut store = open(&nats, "main");
    let (room, hall, start) = (history("room"), history("hall"), now_ms());
    // As an import brings them: long after their time.
    let old = (1..=600).map(|number| append(&room, number, number * 1000, 0));
    assert!(run(&mut store, old.collect()).iter().all(Result::is_ok));
    let new = (601..=1200)
        .flat_map(|number| [append(&room, number, start + number, 0), append(&hall, number, start + number, 0)]);
    assert!(run(&mut store, new.collect()).iter().all(Result::is_ok));
    let cases = [
        (300_000..303_000, vec![300, 301, 302]),
        (0..1000, vec![]),
        (600_000..601_000, vec![600]),
        (start + 900..start + 903, vec![900, 901, 902]),
        (start + 1200..u64::MAX, vec![1200]),
        (start + 1201..u64::MAX, vec![]),
    ];
    for (times, wanted) in cases {
        let found = messages(one(&mut store, read(&room, times.clone(), 100)));
        assert_eq!(found.into_iter().map(|(_, number)| number).collect::<Vec<_>>(), wanted, "{times:?}");
    }
    // Older ones that come later are found too, by those who read already.
    one(&mut store, append(&room, 5000, 301_500, 0));
    let found = messages(one(&mut store, read(&room, 301_000..302_000, 100)));
    assert_eq!(found.into_iter().map(|(_, number)| number).collect::<Vec<_>>(), [301, 5000]);
    one(
        &mut store,
        StoreWork::Expire {
            kind: LogKind::History,
            before: start,
            keep: None,
            max_bytes: None,
            written: EventTypes::ALL,
        },
    );
    assert_eq!(numbers(&mut store, &room), (601..=1200).collect::<Vec<_>>());
    assert_eq!(numbers(&mut store, &hall).len(), 600);
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn of_nodes_that_write_one_key_each_wins_as_often_as_it_is_told() {
    let nats = Nats::start(3);
    drop(open(&nats, "main"));
    let won: u64 = thread::scope(|scope| {
        let nodes = (0..3).map(|_| {
            let nats = &nats;
            scope.spawn(move || {
                let mut store = open(nats, "main");
                let (mut revision, mut won) = (0, 0);
                while won < 50 {
                    match one(&mut store, put("room", revision + 1, revision)) {
                        StoreAnswer::Done => (revision, won) = (revision + 1, won + 1),
                        StoreAnswer::Conflict { kept: Some(kept) } => Revision(revision) = kept.revision(),
                        other => panic!("{other:?}"),
                    }
                }
                won
            })
        });
        nodes.collect::<Vec<_>>().into_iter().map(|node| node.join().unwrap()).sum()
    });
    let mut store = open(&nats, "main");
    let StoreAnswer::Conflict { kept: Some(kept) } = one(&mut store, put("room", 1, 0)) else { panic!("no conflict") };
    assert_eq!(kept.revision(), Revision(won));
}

/// Whichever server leads: what was acknowledged is there once, and what was not is there once or not at all.
#[test]
#[ignore = "needs NATS_SERVER"]
fn a_killed_nats_server_costs_a_pause_and_nothing_else() {
    let mut nats = Nats::start(3);
    let mut store = open(&nats, "main");
    let (log, room) = (mail("bob"), history("room"));
    let (mut number, mut revision, mut stored) = (0, 0, BTreeSet::new());
    for server in 0..3 {
        let end = Instant::now() + Duration::from_secs(2);
        let mut is_killed = false;
        while Instant::now() < end {
            number += 1;
            let works = vec![
                append(&log, number, now_ms(), usize::MAX),
                append(&room, number, now_ms(), 0),
                put("room", revision + 1, revision),
            ];
            if number % 50 == 25 && !is_killed {
                is_killed = true;
                nats.kill(server);
            }
            let answers = run(&mut store, works);
            if answers.iter().take(2).all(Result::is_ok) {
                stored.insert(number);
            }
            match &answers[2] {
                Ok(StoreAnswer::Done) => revision += 1,
                Ok(other) => panic!("nobody else writes, and yet {other:?} at {revision}"),
                Err(error) => panic!("{error}"),
            }
        }
        nats.restart(server);
        // It catches up before the next one goes.
        thread::sleep(Duration::from_secs(3));
    }
    for log in [log, room] {
        let found = numbers(&mut store, &log);
        assert!(found.is_sorted(), "they are in the order in which they came");
        let all: BTreeSet<_> = found.iter().copied().collect();
        assert_eq!(all.len(), found.len(), "nothing is there twice");
        assert!(stored.is_subset(&all), "missing: {:?}", stored.difference(&all).collect::<Vec<_>>());
    }
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn an_export_of_a_cluster_has_all_that_is_there() {
    let nats = Nats::start(1);
    let error = ClusterStore::open_existing(&config(&nats, "main")).unwrap_err().to_string();
    assert!(error.contains("there is no cluster of this name"), "{error}");
    let mut store = open(&nats, "main");
    let appends = (0..1000).map(|number| append(&mail(&format!("user {}", number % 7)), number, 1000, usize::MAX));
    assert!(run(&mut store, appends.collect()).iter().all(Result::is_ok));
    one(&mut store, append(&history("a.b"), 1, now_ms(), 0));
    one(&mut store, put("c.d", 1, 0));
    let mut store = ClusterStore::open_existing(&config(&nats, "main")).unwrap();
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    let seen = store.records(|record| {
        match record.unwrap() {
            StoreRecord::Entry { app_id, log, entry } => {
                assert_eq!(app_id, app());
                entries.push((log, entry.into_message().unwrap().message_id.0));
            }
            StoreRecord::Value { key, .. } => values.push(key),
        }
        ControlFlow::Continue(())
    });
    seen.unwrap();
    let mut wanted: Vec<_> = (0..1000).map(|number| (mail(&format!("user {}", number % 7)), number)).collect();
    wanted.push((history("a.b"), 1));
    wanted.sort();
    assert!(entries.iter().filter(|(log, _)| *log == mail("user 3")).is_sorted());
    entries.sort();
    assert_eq!(entries, wanted);
    assert_eq!(values, [StateKey::ChannelAttributes(ChannelId::new("c.d").unwrap())]);
}

/// How long the streams of a cluster know what comes again. With `set`, all of them are changed to that.
fn duplicate_windows(nats: &Nats, set: Option<Duration>) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(nats.urls()[0].as_str()).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        let mut all = Vec::new();
        for name in ["mail", "history", "events", "state"] {
            let mut stream = jetstream.get_stream(format!("rtm_main_{name}")).await.unwrap();
            let mut config = stream.info().await.unwrap().config.clone();
            if let Some(window) = set {
                config.duplicate_window = window;
                config.description = Some("an operator's".to_owned());
                jetstream.update_stream(&config).await.unwrap();
            } else if config.description.is_some() {
                assert_eq!(config.description.as_deref(), Some("an operator's"));
            }
            all.push(config.duplicate_window);
        }
        all
    })
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn streams_that_know_for_too_short_what_comes_again_are_changed_and_a_longer_time_stays() {
    let nats = Nats::start(1);
    let log = mail("bob");
    one(&mut open(&nats, "main"), append(&log, 1, now_ms(), usize::MAX));
    let wanted = [Duration::from_secs(300); 4];
    assert_eq!(duplicate_windows(&nats, None), wanted);
    duplicate_windows(&nats, Some(Duration::from_secs(30)));
    assert_eq!(numbers(&mut open(&nats, "main"), &log), [1]);
    assert_eq!(duplicate_windows(&nats, None), wanted);
    duplicate_windows(&nats, Some(Duration::from_secs(600)));
    open(&nats, "main");
    assert_eq!(duplicate_windows(&nats, None), [Duration::from_secs(600); 4]);
}

#[test]
#[ignore = "needs NATS_SERVER"]
fn where_no_nats_is_opening_a_store_fails_soon() {
    let start = Instant::now();
    let config = ClusterConfig::new(vec!["nats://127.0.0.1:1".parse().unwrap()]);
    let error = ClusterStore::open(&config).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot open the store of the cluster main at nats://127.0.0.1:1: "),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(10));
}
