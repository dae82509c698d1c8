//! All records of the file one after the other, for those who check it or take it elsewhere.

use std::ops::ControlFlow;

use ::redb::{ReadableDatabase, ReadableTable};
use rtm_codec::AppId;
use rtm_core::store::{BackendError, LogEntry, LogKey, LogKind, StateKey, StateKind, StateValue};

use super::{
    Redb,
    tables::{log_table, state_table},
};

/// One thing that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreRecord {
    /// An entry of a log.
    Entry {
        /// In which project.
        app_id: AppId,
        /// In which log.
        log: LogKey,
        /// What.
        entry: LogEntry,
    },
    /// A value under a key.
    Value {
        /// In which project.
        app_id: AppId,
        /// The key.
        key: StateKey,
        /// The value.
        value: StateValue,
    },
}

/// A record that cannot be read: where it is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct DamagedRecord {
    place: String,
    fault: String,
}

impl DamagedRecord {
    pub(super) fn new(place: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { place: place.into(), fault: fault.into() }
    }

    pub(super) fn entry(kind: LogKind, app: &str, log: &str, place: u64, fault: impl Into<String>) -> Self {
        Self::new(format!("{} {app} {log:?} {place}", kind.name()), fault)
    }
}

impl Redb {
    /// Shows `visit` every record: logs by their kind, project and key, each in its order, and then state. A record
    /// that cannot be read is shown as its [`DamagedRecord`]. `visit` may break off.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the file as such cannot be read.
    pub fn records(
        &mut self,
        mut visit: impl FnMut(Result<StoreRecord, DamagedRecord>) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        self.with("read", |database| {
            let transaction = database.begin_read()?;
            for kind in LogKind::ALL {
                for record in transaction.open_table(log_table(kind).entries)?.iter()? {
                    let (key, entry) = record?;
                    let (app, log, place) = key.value();
                    let damaged = |fault| DamagedRecord::entry(kind, app, log, place, fault);
                    if visit(entry_record(kind, app, log, entry.value()).map_err(damaged)).is_break() {
                        return Ok(());
                    }
                }
            }
            for kind in StateKind::ALL {
                for record in transaction.open_table(state_table(kind))?.iter()? {
                    let (key, value) = record?;
                    let (app, key) = key.value();
                    let damaged = |fault| DamagedRecord::new(format!("{} {app} {key:?}", kind.name()), fault);
                    if visit(value_record(kind, app, key, value.value()).map_err(damaged)).is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }
}

fn entry_record(kind: LogKind, app: &str, log: &str, entry: &[u8]) -> Result<StoreRecord, String> {
    Ok(StoreRecord::Entry {
        app_id: AppId::new(app).map_err(|error| error.to_string())?,
        log: LogKey::from_text(kind, log).map_err(|error| error.to_string())?,
        entry: LogEntry::decode(kind, entry).map_err(|error| error.to_string())?,
    })
}

fn value_record(kind: StateKind, app: &str, key: &str, value: &[u8]) -> Result<StoreRecord, String> {
    Ok(StoreRecord::Value {
        app_id: AppId::new(app).map_err(|error| error.to_string())?,
        key: StateKey::from_text(kind, key).map_err(|error| error.to_string())?,
        value: StateValue::decode(kind, value).map_err(|error| error.to_string())?,
    })
}
