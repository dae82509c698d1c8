//! The parts without IO in a steady state: both wires, the client's connection, a session of the server and its fan-out;
//! and the stores.
//!
//! `cargo bench -p benches --bench machines`, or `… -- connection` for a part of it.

use std::{hint::black_box, time::Duration};

use benches::machines::Case;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rtm_codec::{AppId, MessageId, RtmMessage, UserId};
use rtm_server::{
    Redb,
    core::{
        LogEntry, LogKey, StoreWork, StoredMessage,
        store::{Backend, Memory, Task},
    },
};

fn machines(c: &mut Criterion) {
    for (part, cases) in Case::all() {
        let mut group = c.benchmark_group(part);
        for case in cases {
            group.bench_function(case.name, |b| b.iter_custom(|times| case.time(times)));
        }
    }
}

/// A message for a user that is away is kept, read and removed, as many at once as gather while a disk is written.
fn store(c: &mut Criterion) {
    let app_id = AppId::new("0123456789abcdef0123456789abcdef").expect("the id is good");
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let redb = Redb::open(folder.path()).expect("the folder is empty");
    let stores: [(&str, Box<dyn Backend>); 2] = [("memory", Box::new(Memory::default())), ("redb", Box::new(redb))];
    let mut group = c.benchmark_group("store");
    for (name, mut store) in stores {
        for batch in [1, 64] {
            group.bench_function(format!("{name}: keep {batch} at once"), |b| {
                b.iter_batched(
                    || (0..batch).map(|n| Task { app_id: &app_id, work: kept(n) }).collect(),
                    |tasks: Vec<_>| assert!(black_box(store.apply(tasks)).iter().all(Result::is_ok)),
                    BatchSize::SmallInput,
                );
            });
        }
        group.bench_function(format!("{name}: read a page"), |b| {
            let log = LogKey::Stored(user(0));
            let load =
                StoreWork::Read { log, after: None, times: 0..u64::MAX, limit: usize::MAX, max_bytes: 64 * 1024 };
            b.iter_batched(
                || vec![Task { app_id: &app_id, work: load.clone() }],
                |tasks| assert!(black_box(store.apply(tasks)).iter().all(Result::is_ok)),
                BatchSize::SmallInput,
            );
        });
    }
}

fn kept(n: u64) -> StoreWork {
    let message = StoredMessage::new(
        MessageId(n),
        user(1000),
        RtmMessage::text("a message that waits until its receiver comes back"),
        1_700_000_000_000 + n,
    );
    // As many as the server keeps for a user by default.
    StoreWork::Append { log: LogKey::Stored(user(n)), entry: LogEntry::Message(message), keep: Some(200) }
}

fn user(n: u64) -> UserId {
    UserId::new(format!("user-{n}")).expect("the id is good")
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = machines, store
}
criterion_main!(all);
