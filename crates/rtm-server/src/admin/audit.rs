//! What was changed, by whom and from where: in the log, and the last of it to be read.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use serde::Serialize;
use tracing::info;

use super::{access::Caller, answers::rfc3339};

/// The last changes.
#[derive(Debug, Default)]
pub(crate) struct Audit(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    last: VecDeque<Entry>,
    count: u64,
    by_action: BTreeMap<&'static str, u64>,
}

/// One change.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    pub(super) number: u64,
    time: String,
    key: String,
    address: IpAddr,
    action: &'static str,
    target: String,
}

impl Audit {
    /// Takes note of a change that was made.
    pub(super) fn record(&self, caller: &Caller, action: &'static str, target: impl Into<String>) {
        let target = target.into();
        info!(target: "rtm::audit", key = caller.name, address = %caller.address, action, on = target, "changed by an operator");
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.count += 1;
        *entries.by_action.entry(action).or_default() += 1;
        let number = entries.count;
        if entries.last.len() >= ENTRIES {
            entries.last.pop_front();
        }
        let (time, key, address) = (rfc3339(SystemTime::now()), caller.name.clone(), caller.address);
        entries.last.push_back(Entry { number, time, key, address, action, target });
    }

    /// How often each thing was done.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ACTIONS.map(|action| (action, entries.by_action.get(action).copied().unwrap_or_default())).into_iter()
    }

    /// Changes before a number, newest first.
    pub(super) fn before(&self, number: Option<u64>, most: usize) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = entries.last.iter().rev().filter(|entry| number.is_none_or(|number| entry.number < number));
        newest.take(most).cloned().collect()
    }
}

/// All that operators do and is written down.
const ACTIONS: [&str; 17] = [
    "drain",
    "reload",
    "log_level",
    "set_limits",
    "kick",
    "ban",
    "unban",
    "revoke_tokens",
    "delete_data",
    "delete_stored",
    "send",
    "read_history",
    "replay_webhook",
    "enable_webhook",
    "pause_webhook",
    "test_webhook",
    "make_token",
];
/// How many changes can be read; the log has all.
const ENTRIES: usize = 1024;
