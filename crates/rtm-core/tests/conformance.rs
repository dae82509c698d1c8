//! The memory store passes the conformance suite, and the suite finds a store that does not.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use rtm_codec::{AppId, MessageId, RtmMessage, UserId};
use rtm_core::EventTypes;
use rtm_core::store::{
    Backend, BackendError, BackendStats, LogEntry, LogKey, LogKind, Memory, StoreAnswer, StoreWork, StoredMessage,
    Task,
    conformance::{self, Failure},
};

fn failures(open: impl Fn() -> Box<dyn Backend>) -> Vec<Failure> {
    let checks = conformance::checks().iter().filter(|check| !check.restarts());
    checks.filter_map(|check| check.run(|| Ok(open())).err()).collect()
}

#[test]
fn memory_passes() {
    let failures = failures(|| Box::new(Memory::default()));
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn memory_keeps_nothing_over_a_restart() {
    let failed = conformance::checks().iter().filter(|check| check.run(|| Ok(Box::new(Memory::default()))).is_err());
    assert!(failed.clone().count() > 0 && failed.clone().all(conformance::Check::restarts));
}

/// Memory with one fault.
struct Faulty(Memory, fn(&mut Vec<Task<'_>>), fn(&mut Result<StoreAnswer, BackendError>));

impl Backend for Faulty {
    fn apply(&mut self, mut tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
        (self.1)(&mut tasks);
        let mut answers = self.0.apply(tasks);
        answers.iter_mut().for_each(self.2);
        answers
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        self.0.stats()
    }
}

#[test]
fn a_faulty_store_is_found_and_the_fault_is_named() {
    type Fault = (&'static str, fn(&mut Vec<Task<'_>>), fn(&mut Result<StoreAnswer, BackendError>));
    let faults: [Fault; 7] = [
        (
            "the oldest entry of a limited log gives way",
            |tasks| {
                each(tasks, |work| {
                    if let StoreWork::Append { keep, .. } = work {
                        *keep = None;
                    }
                });
            },
            |_| {},
        ),
        (
            "a put with another revision than expected changes nothing",
            |tasks| {
                each(tasks, |work| {
                    if let StoreWork::Put { expected, .. } = work {
                        *expected = None;
                    }
                });
            },
            |_| {},
        ),
        (
            "history is read by time in pages",
            |tasks| {
                each(tasks, |work| {
                    if let StoreWork::Read { times, .. } = work {
                        times.end = times.end.saturating_add(1);
                    }
                });
            },
            |_| {},
        ),
        (
            "what is too old goes and nothing else",
            |tasks| {
                each(tasks, |work| {
                    if let StoreWork::Expire { before, .. } = work {
                        *before = before.saturating_add(1);
                    }
                });
            },
            |_| {},
        ),
        (
            "events that are appended together are read one by one",
            |tasks| {
                each(tasks, |work| {
                    if let StoreWork::AppendEvents { events, .. } = work {
                        events.reverse();
                    }
                });
            },
            |_| {},
        ),
        (
            "entries come in order and in pages",
            |_| {},
            |answer| {
                if let Ok(StoreAnswer::Entries { more, .. }) = answer {
                    *more = false;
                }
            },
        ),
        (
            "every form of message comes back as it was",
            |_| {},
            |answer| {
                if let Ok(StoreAnswer::Entries { entries, .. }) = answer {
                    for (_, entry) in entries {
                        if let LogEntry::Message(message) = entry
                            && let RtmMessage::Value(bytes) = &message.message
                        {
                            message.message = RtmMessage::Binary(bytes.clone());
                        }
                    }
                }
            },
        ),
    ];
    for (check, before, after) in faults {
        let failures = failures(|| Box::new(Faulty(Memory::default(), before, after)));
        let failure = failures.iter().find(|failure| failure.check() == check);
        let failure = failure.unwrap_or_else(|| panic!("{check}: {failures:?}")).to_string();
        assert!(failure.contains(check) && failure.contains(" was expected"), "{failure}");
    }
    let broken = failures(|| {
        Box::new(Faulty(
            Memory::default(),
            |_| {},
            |answer| {
                *answer = Err(BackendError::new("write", "the disk is full"));
            },
        ))
    });
    assert!(broken.iter().all(|failure| failure.to_string().contains("the disk is full")), "{broken:?}");
    assert_eq!(broken.len(), conformance::checks().iter().filter(|check| !check.restarts()).count());
}

fn each(tasks: &mut [Task<'_>], change: fn(&mut StoreWork)) {
    tasks.iter_mut().for_each(|task| change(&mut task.work));
}

#[test]
fn memory_lets_the_oldest_go_when_it_is_full() {
    let app_id = AppId::new("A".repeat(32)).unwrap();
    let mut memory = Memory::with_capacity(68_000);
    let mut append = |log: &str, time: u64, text: &str| {
        let log = LogKey::Stored(UserId::new(log).unwrap());
        let message = StoredMessage::new(MessageId(time), UserId::new("carol").unwrap(), RtmMessage::text(text), time);
        let work = StoreWork::Append { log, entry: LogEntry::Message(message), keep: Some(200) };
        memory.apply(vec![Task { app_id: &app_id, work }]).remove(0).unwrap();
        let read = |name: String| {
            let log = LogKey::Stored(UserId::new(name).unwrap());
            StoreWork::Read { log, after: None, times: 0..u64::MAX, limit: 100, max_bytes: usize::MAX }
        };
        let logs = (1..=41).map(|n| Task { app_id: &app_id, work: read(format!("user{n}")) }).collect();
        let found = memory.apply(logs).into_iter().map(|answer| answer.unwrap().into_messages().unwrap().0.len());
        found.collect::<Vec<_>>()
    };
    for time in 1..=40 {
        append(&format!("user{time}"), time, "hello");
    }
    let found = append("user41", 41, &"x".repeat(60_000));
    assert!(found.is_sorted() && found.first() == Some(&0) && found.ends_with(&[1, 1, 1]), "the oldest go: {found:?}");
}

#[test]
fn memory_drops_what_is_old_also_behind_what_is_young() {
    let app_id = AppId::new("A".repeat(32)).unwrap();
    let mut memory = Memory::default();
    let log = LogKey::Stored(UserId::new("bob").unwrap());
    let mut apply = |work| memory.apply(vec![Task { app_id: &app_id, work }]).remove(0).unwrap();
    // The clock was ahead, and was set back.
    for time in [1000, 1, 600, 2] {
        let message = StoredMessage::new(MessageId(time), UserId::new("carol").unwrap(), RtmMessage::text("hi"), time);
        apply(StoreWork::Append { log: log.clone(), entry: LogEntry::Message(message), keep: None });
    }
    apply(StoreWork::Expire {
        kind: LogKind::Stored,
        before: 500,
        keep: None,
        max_bytes: None,
        written: EventTypes::ALL,
    });
    let read = StoreWork::Read { log, after: None, times: 0..u64::MAX, limit: 100, max_bytes: usize::MAX };
    let (left, _) = apply(read).into_messages().unwrap();
    let left: Vec<_> = left.iter().map(|(_, message)| message.server_received_ts).collect();
    assert_eq!(left, [1000, 600]);
}
