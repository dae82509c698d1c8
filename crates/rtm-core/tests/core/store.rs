//! The shell's store, in memory, with faults on demand.

use std::collections::VecDeque;

use rtm_codec::{AppId, MessageId, RtmMessage, StoredMessage, UserId};
use rtm_core::{
    LogEntry, LogKey, LoggedEvent, StoreDone, StoreFailed, StoreJob, StoreWork,
    store::{Backend, BackendStats, Memory, StateKey, StateKind, StateValue, Task, read_state},
};

use crate::harness::START_MS;

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    backend: Memory,
    /// Jobs wait until it is released.
    pub(crate) is_held: bool,
    /// These jobs wait.
    pub(crate) holds: Option<fn(&StoreWork) -> bool>,
    /// All jobs fail.
    pub(crate) is_broken: bool,
    /// So many changes that come next are done and said to have failed.
    pub(crate) seems_to_fail: usize,
    /// These jobs fail.
    pub(crate) fails: Option<fn(&StoreWork) -> bool>,
    jobs: VecDeque<StoreJob>,
}

impl MemoryStore {
    pub(crate) fn take(&mut self, job: StoreJob) {
        self.jobs.push_back(job);
    }

    /// Puts a text behind those that wait for a user.
    pub(crate) fn keep(&mut self, user: &str, text: &str) {
        let from = UserId::new("mallory").unwrap();
        let message = StoredMessage::new(MessageId(0), from, RtmMessage::from(text), START_MS);
        let log = LogKey::Stored(UserId::new(user).unwrap());
        let work = StoreWork::Append { log, entry: LogEntry::Message(message), keep: None };
        self.backend.apply(vec![Task { app_id: &app_id(), work }]).remove(0).unwrap();
    }

    /// The texts that wait for a user.
    pub(crate) fn waiting(&mut self, user: &str) -> Vec<String> {
        let log = LogKey::Stored(UserId::new(user).unwrap());
        let all = StoreWork::Read { log, after: None, times: 0..u64::MAX, limit: usize::MAX, max_bytes: usize::MAX };
        let app_id = app_id();
        let answer = self.backend.apply(vec![Task { app_id: &app_id, work: all }]).remove(0).unwrap();
        let text = |entry: LogEntry| {
            let message = entry.into_message().unwrap();
            message.message.as_text().unwrap_or("(binary)").to_owned()
        };
        match answer {
            rtm_core::StoreAnswer::Entries { entries, .. } => {
                entries.into_iter().map(|(_, entry)| text(entry)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Puts events into the log that no core has written.
    pub(crate) fn append_events(&mut self, events: Vec<LoggedEvent>) {
        let work = StoreWork::AppendEvents { events, is_awaited: false };
        let app_id = app_id();
        self.backend.apply(vec![Task { app_id: &app_id, work }]).remove(0).unwrap();
    }

    /// How much there is.
    pub(crate) fn stats(&mut self) -> BackendStats {
        self.backend.stats().unwrap()
    }

    /// What a core starts with.
    pub(crate) fn state(&mut self) -> Vec<(StateKey, StateValue)> {
        StateKind::ALL.into_iter().flat_map(|kind| read_state(&mut self.backend, &app_id(), kind).unwrap()).collect()
    }

    pub(crate) fn finish(&mut self) -> Vec<StoreDone> {
        if self.is_held {
            return Vec::new();
        }
        let app_id = app_id();
        let is_held = |job: &StoreJob| self.holds.is_some_and(|holds| holds(&job.work));
        let (held, jobs): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.jobs).into_iter().partition(is_held);
        self.jobs = held;
        jobs.into_iter()
            .map(|StoreJob { id, work }| {
                let fails = self.is_broken || self.fails.is_some_and(|fails| fails(&work));
                let seems_to_fail = !work.is_read() && self.seems_to_fail > 0;
                self.seems_to_fail -= usize::from(seems_to_fail);
                let result = if fails {
                    Err(StoreFailed)
                } else {
                    let answer = self.backend.apply(vec![Task { app_id: &app_id, work }]).remove(0).unwrap();
                    if seems_to_fail { Err(StoreFailed) } else { Ok(answer) }
                };
                StoreDone { id, result }
            })
            .collect()
    }
}

fn app_id() -> AppId {
    AppId::new("0123456789abcdef0123456789abcdef").unwrap()
}
