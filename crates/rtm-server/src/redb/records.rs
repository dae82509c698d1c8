//! All records of the file one after the other, for those who check it or take it elsewhere.

use std::{cmp::Ordering, collections::BTreeSet, ops::ControlFlow};

use ::redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use rtm_codec::AppId;
use rtm_core::store::{BackendError, LogEntry, LogKey, LogKind, StateKey, StateKind, StateValue};

use super::{
    Fault, Redb,
    damage::guard,
    event_records::event_records,
    tables::{LogTable, log_table, state_table},
    walk::{Walked, readable_end, walk},
};

/// One thing that is kept.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who exports a store writes all that it keeps")]
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
    pub(crate) fn new(place: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { place: place.into(), fault: fault.into() }
    }

    /// Where it is.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn entry(kind: LogKind, app: &str, log: &str, place: u64, fault: impl Into<String>) -> Self {
        Self::new(format!("{} {app} {log:?} {place}", kind.name()), fault)
    }
}

impl Redb {
    /// Shows `visit` every record: logs by their kind, project and key, each in its order, and then state. What cannot
    /// be read is shown as its [`DamagedRecord`], and the rest goes on behind it. `visit` may break off.
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
                let seen = match log_table(kind) {
                    Some(table) => entries(&transaction, kind, table, &mut visit),
                    None => event_records(&transaction, &mut visit),
                };
                if seen.is_break() {
                    return Ok(());
                }
            }
            for kind in StateKind::ALL {
                if values(&transaction, kind, &mut visit).is_break() {
                    return Ok(());
                }
            }
            Ok(())
        })
    }
}

/// Shows `visit` all entries of the logs of a kind.
fn entries(
    transaction: &ReadTransaction,
    kind: LogKind,
    table: &LogTable,
    visit: &mut impl FnMut(Result<StoreRecord, DamagedRecord>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    raw_entries(transaction, kind, table, &mut |entry| match entry {
        Ok(((app, log, place), entry)) => {
            let damaged = |fault| DamagedRecord::entry(kind, &app, &log, place, fault);
            visit(entry_record(kind, &app, &log, &entry).map_err(damaged))
        }
        Err(damaged) => visit(Err(damaged)),
    })
}

/// Shows `see` the keys and bytes of the entries of a kind. Where their table cannot be walked on, each entry that has an
/// age is looked for by itself, so that a page costs no more than what is on it.
pub(super) fn raw_entries(
    transaction: &ReadTransaction,
    kind: LogKind,
    tables: &LogTable,
    see: &mut impl FnMut(Result<(EntryKey, Vec<u8>), DamagedRecord>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let whole = |fault: Fault| DamagedRecord::new(kind.name(), fault.to_string());
    let open = || {
        let table = transaction.open_table(tables.entries)?;
        let (all, len) = (table.range::<(&str, &str, u64)>(..)?, table.len()?);
        Ok((table, all, len))
    };
    let (table, all, len) = match guard(open) {
        Ok(opened) => opened,
        Err(fault) => return see(Err(whole(fault))),
    };
    let mut found = 0;
    let walked = walk(all, Ordering::Less, own_entry, |key, entry| {
        found += 1;
        see(Ok((key, entry)))
    });
    let (after, fault) = match walked {
        Walked::Whole if found < len => return see(Err(missing(kind.name(), len, found))),
        Walked::Whole => return ControlFlow::Continue(()),
        Walked::Stopped => return ControlFlow::Break(()),
        Walked::Broken { last, fault } => (last, fault),
    };
    let end = guard(|| Ok(table.iter()?)).ok().and_then(|all| readable_end(all.rev(), own_entry));
    let is_between =
        |key: &EntryKey| after.as_ref().is_none_or(|after| key > after) && end.as_ref().is_none_or(|end| key < end);
    let mut is_named = false;
    for key in ages(transaction, tables).into_iter().filter(is_between) {
        let (app, log, place) = &key;
        let found = guard(|| Ok(table.get((app.as_str(), log.as_str(), *place))?.map(|entry| entry.value().to_vec())));
        let fault = match found {
            Ok(Some(entry)) => {
                see(Ok((key, entry)))?;
                continue;
            }
            Ok(None) => "it has an age, and is not there".to_owned(),
            Err(fault) => fault.to_string(),
        };
        is_named = true;
        see(Err(DamagedRecord::entry(kind, app, log, *place, fault)))?;
    }
    if !is_named {
        let name = |key: &EntryKey| format!("{} {:?} {}", key.0, key.1, key.2);
        see(Err(gap(kind.name(), after.as_ref().map(name).as_deref(), end.as_ref().map(name).as_deref(), &fault)))?;
    }
    let Some((app, log, place)) = end else { return ControlFlow::Continue(()) };
    match guard(|| Ok(table.range((app.as_str(), log.as_str(), place)..)?)) {
        Ok(rest) => match walk(rest, Ordering::Less, own_entry, |key, entry| see(Ok((key, entry)))) {
            Walked::Whole => ControlFlow::Continue(()),
            Walked::Stopped => ControlFlow::Break(()),
            Walked::Broken { fault, .. } => see(Err(DamagedRecord::new(kind.name(), fault))),
        },
        Err(fault) => see(Err(whole(fault))),
    }
}

/// The keys of the entries of a kind that have an age, as far as ages can be read.
fn ages(transaction: &ReadTransaction, table: &LogTable) -> BTreeSet<EntryKey> {
    let mut keys = BTreeSet::new();
    let mut see = |(app, _, place, log): AgeKey, ()| {
        keys.insert((app, log, place));
        ControlFlow::Continue(())
    };
    if let Ok(table) = guard(|| Ok(transaction.open_table(table.ages)?))
        && let Ok(all) = guard(|| Ok(table.iter()?))
        && let Walked::Broken { .. } = walk(all, Ordering::Less, own_age, &mut see)
        && let Ok(all) = guard(|| Ok(table.iter()?))
    {
        walk(all.rev(), Ordering::Greater, own_age, &mut see);
    }
    keys
}

/// All values of a kind.
fn values(
    transaction: &ReadTransaction,
    kind: StateKind,
    visit: &mut impl FnMut(Result<StoreRecord, DamagedRecord>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut see = |value: Result<(String, String, Vec<u8>), DamagedRecord>| match value {
        Ok((app, key, value)) => {
            let damaged = |fault| DamagedRecord::new(format!("{} {app} {key:?}", kind.name()), fault);
            visit(value_record(kind, &app, &key, &value).map_err(damaged))
        }
        Err(damaged) => visit(Err(damaged)),
    };
    raw_values(transaction, kind, &mut see)
}

/// Shows `see` the projects, keys and values of a kind, and where some cannot be read.
pub(super) fn raw_values(
    transaction: &ReadTransaction,
    kind: StateKind,
    see: &mut impl FnMut(Result<(String, String, Vec<u8>), DamagedRecord>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let whole = |fault: Fault| DamagedRecord::new(kind.name(), fault.to_string());
    let open = || {
        let table = transaction.open_table(state_table(kind))?;
        let (all, len) = (table.range::<(&str, &str)>(..)?, table.len()?);
        Ok((table, all, len))
    };
    let (table, all, len) = match guard(open) {
        Ok(opened) => opened,
        Err(fault) => return see(Err(whole(fault))),
    };
    let mut found = 0;
    let walked = walk(all, Ordering::Less, own_value, |(app, key), value| {
        found += 1;
        see(Ok((app, key, value)))
    });
    let (after, fault) = match walked {
        Walked::Whole if found < len => return see(Err(missing(kind.name(), len, found))),
        Walked::Whole => return ControlFlow::Continue(()),
        Walked::Stopped => return ControlFlow::Break(()),
        Walked::Broken { last, fault } => (last, fault),
    };
    let end = guard(|| Ok(table.iter()?)).ok().and_then(|all| readable_end(all.rev(), own_value));
    let name = |key: &(String, String)| format!("{} {:?}", key.0, key.1);
    see(Err(gap(kind.name(), after.as_ref().map(name).as_deref(), end.as_ref().map(name).as_deref(), &fault)))?;
    let Some((app, key)) = end else { return ControlFlow::Continue(()) };
    match guard(|| Ok(table.range((app.as_str(), key.as_str())..)?)) {
        Ok(rest) => match walk(rest, Ordering::Less, own_value, |(app, key), value| see(Ok((app, key, value)))) {
            Walked::Whole => ControlFlow::Continue(()),
            Walked::Stopped => ControlFlow::Break(()),
            Walked::Broken { fault, .. } => see(Err(DamagedRecord::new(kind.name(), fault))),
        },
        Err(fault) => see(Err(whole(fault))),
    }
}

/// (project, log, place)
pub(super) type EntryKey = (String, String, u64);
/// (project, time, place, log)
pub(super) type AgeKey = (String, u64, u64, String);

fn own_entry((app, log, place): (&str, &str, u64), entry: &[u8]) -> (EntryKey, Vec<u8>) {
    ((app.to_owned(), log.to_owned(), place), entry.to_vec())
}

pub(super) fn own_age((app, time, place, log): (&str, u64, u64, &str), (): ()) -> (AgeKey, ()) {
    ((app.to_owned(), time, place, log.to_owned()), ())
}

fn own_value((app, key): (&str, &str), value: &[u8]) -> ((String, String), Vec<u8>) {
    ((app.to_owned(), key.to_owned()), value.to_vec())
}

/// Damage that shows in nothing but a number.
pub(super) fn missing(kind: &str, counted: u64, found: u64) -> DamagedRecord {
    DamagedRecord::new(format!("all of {kind}"), format!("{counted} are counted, and {found} are there"))
}

/// Damage of which no more is known than what it lies between.
pub(super) fn gap(kind: &str, after: Option<&str>, before: Option<&str>, fault: &str) -> DamagedRecord {
    let (after, before) = (after.unwrap_or("the beginning"), before.unwrap_or("the end"));
    DamagedRecord::new(format!("{kind} between {after} and {before}"), fault)
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
