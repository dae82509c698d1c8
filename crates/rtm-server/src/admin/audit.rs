//! What was changed, by whom and from where: in the log, and the last of it to be read.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use axum::http::StatusCode;
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
    by_action: BTreeMap<(&'static str, Outcome), u64>,
}

/// What came of what an operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It was done.
    Done,
    /// The request was wrong, or its key may not do this.
    Refused,
    /// The server or its store could not do it.
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// Its name, as metrics have it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
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
        self.note(caller, action, target);
        self.done(action);
    }

    /// Counts a change that was [noted](Self::note) before, and is made now.
    pub(super) fn done(&self, action: &'static str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *entries.by_action.entry((action, Outcome::Done)).or_default() += 1;
    }

    /// Takes note of a change before it is made, since a part of it may be done when it fails. What comes of it is counted when
    /// that is known.
    pub(super) fn note(&self, caller: &Caller, action: &'static str, target: impl Into<String>) {
        let target = target.into();
        info!(target: "rtm::audit", key = caller.name, address = %caller.address, action, on = target, "changed by an operator");
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.count += 1;
        let number = entries.count;
        if entries.last.len() >= ENTRIES {
            entries.last.pop_front();
        }
        let (time, key, address) = (rfc3339(SystemTime::now()), caller.name.clone(), caller.address);
        entries.last.push_back(Entry { number, time, key, address, action, target });
    }

    /// A call was answered with a status that says no. Counts if the call would have changed something.
    pub(super) fn not_done(&self, call: &str, status: StatusCode) {
        let Some(action) = action_of(call) else { return };
        let outcome = if status.is_server_error() { Outcome::Failed } else { Outcome::Refused };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *entries.by_action.entry((action, outcome)).or_default() += 1;
    }

    /// What came of each thing, and how often.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, Outcome, u64)> {
        let by_action = self.0.lock().unwrap_or_else(PoisonError::into_inner).by_action.clone();
        ACTIONS.into_iter().flat_map(|action| Outcome::ALL.map(|outcome| (action, outcome))).map(move |key| {
            let count = by_action.get(&key).copied().unwrap_or_default();
            (key.0, key.1, count)
        })
    }

    /// Changes before a number, newest first.
    pub(super) fn before(&self, number: Option<u64>, most: usize) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = entries.last.iter().rev().filter(|entry| number.is_none_or(|number| entry.number < number));
        newest.take(most).cloned().collect()
    }
}

/// What a call of this name in the API is written down as, if it is.
fn action_of(call: &str) -> Option<&'static str> {
    let name = match call {
        "set_log_level" => "log_level",
        "revoke_all_tokens" => "revoke_tokens",
        "send_to_user" | "send_to_channel" => "send",
        "user_history" | "channel_history" => "read_history",
        other => other,
    };
    ACTIONS.into_iter().find(|action| *action == name)
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
