//! What of the file cannot be read: each part is told once, and not tried again.

use std::{
    any::Any,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rtm_core::store::{LogKey, LogKind, StoreWork};
use tracing::error;

use super::{DamagedRecord, Fault};

/// The damage that was met since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Damage {
    places: Mutex<HashSet<String>>,
}

impl Damage {
    /// Tells the operator of damage, once for each place.
    pub(super) fn tell(&self, damaged: &DamagedRecord) {
        let mut places = self.places();
        if places.len() < MAX_TOLD && places.insert(damaged.place().to_owned()) {
            error!("the store is damaged: {damaged} (stop the server and run `rtm store check` for all of it)");
        }
    }

    /// Whether there is damage at a place. Work there is refused, since trying it costs all work that comes with it.
    pub(super) fn is_at(&self, app: &str, work: &StoreWork) -> bool {
        let places = self.places();
        !places.is_empty() && places.contains(&place(app, work))
    }

    pub(super) fn count(&self) -> u64 {
        self.places().len() as u64
    }

    fn places(&self) -> MutexGuard<'_, HashSet<String>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a piece of work reads and writes.
pub(super) fn place(app: &str, work: &StoreWork) -> String {
    match work {
        StoreWork::Append { log, .. } | StoreWork::Read { log, .. } | StoreWork::Remove { log, .. } => {
            format!("{} {app} {:?}", log.kind().name(), log.to_text())
        }
        StoreWork::AppendEvents { .. } => format!("{} {app} {:?}", LogKind::Events.name(), LogKey::Events.to_text()),
        StoreWork::Expire { kind, .. } => format!("{} {app}, by age", kind.name()),
        StoreWork::Put { key, .. } | StoreWork::Delete { key, .. } => {
            format!("{} {app} {:?}", key.kind().name(), key.to_text())
        }
        StoreWork::Search { span, .. } | StoreWork::Count { span } => format!("history {app}, of {:?}", span.filter),
        StoreWork::Measure => format!("bytes {app}"),
        StoreWork::List { kind, .. } => format!("{} {app}", kind.name()),
    }
}

/// Runs `f`, and makes an error of its panic: redb panics at some pages that it cannot read.
pub(super) fn guard<R>(f: impl FnOnce() -> Result<R, Fault>) -> Result<R, Fault> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(Fault::Unreadable(text(&*panic).to_owned())))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a page makes no sense")
}

/// So many places are told and remembered at most.
const MAX_TOLD: usize = 10_000;
