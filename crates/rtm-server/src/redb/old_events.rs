//! Brings events of formats 5 to 7 into runs: these had an entry for each event, and found them by their ages.

use std::{cmp::Ordering, ops::ControlFlow};

use ::redb::{Key, ReadableTable, TableDefinition, TableHandle, Value, WriteTransaction};
use rtm_core::{
    LoggedEvent,
    store::{LogEntry, LogKind},
};
use tracing::error;

use super::{
    Fault,
    damage::{Damage, guard},
    events::EventTables,
    tables::BYTES,
    walk::{Walked, readable_end, walk},
};

/// Puts the events of all logs into runs, each in its old place. Not all are in memory at any time.
///
/// What cannot be read stays where it is, and is lost: the server starts without it, and says so.
pub(super) fn into_runs(transaction: &WriteTransaction) -> Result<(), Fault> {
    if !has(transaction, &ENTRIES)? {
        return Ok(());
    }
    let damage = Damage::default();
    let mut tables = EventTables::open(transaction, &damage)?;
    let mut is_whole = true;
    {
        let entries = transaction.open_table(ENTRIES)?;
        let mut into = Migration { tables: &mut tables, last: None, failed: None };
        let walked = walk(entries.iter()?, Ordering::Less, own, |key, entry| into.add(key, &entry));
        if let Walked::Broken { fault, .. } = walked {
            is_whole = false;
            error!("events of the store cannot be read, and are lost: {fault}");
            if let Some((app, log, place)) = guard(|| Ok(readable_end(entries.iter()?.rev(), own))).ok().flatten() {
                let rest = entries.range((app.as_str(), log.as_str(), place)..)?;
                // Where keys are in disorder, they may be lower than those before.
                into.tables.write()?;
                walk(rest, Ordering::Less, own, |key, entry| into.add(key, &entry));
            }
        }
        if let Some(fault) = into.failed.take() {
            return Err(fault);
        }
    }
    for (app, place) in dropped(transaction)? {
        tables.set_dropped_to(&app, place)?;
    }
    tables.write()?;
    drop(tables);
    if is_readable(transaction, BYTES)? {
        transaction.open_table(BYTES)?.retain(|(_, kind), _| kind != LogKind::Events.name())?;
    }
    if is_whole {
        transaction.delete_table(ENTRIES)?;
    }
    delete_readable(transaction, AGES)?;
    delete_readable(transaction, COUNTS)?;
    delete_readable(transaction, DROPPED)
}

struct Migration<'a, 't> {
    tables: &'a mut EventTables<'t>,
    /// The project and the time of the last event.
    last: Option<(String, u64)>,
    failed: Option<Fault>,
}

impl Migration<'_, '_> {
    fn add(&mut self, (app, _, place): OldKey, entry: &[u8]) -> ControlFlow<()> {
        match self.try_add(app, place, entry) {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => {
                self.failed = Some(fault);
                ControlFlow::Break(())
            }
        }
    }

    fn try_add(&mut self, app: String, place: u64, entry: &[u8]) -> Result<(), Fault> {
        if self.last.as_ref().is_some_and(|(last, _)| *last != app) {
            self.tables.write()?;
            self.last = None;
        }
        let is_readable = LogEntry::decode(LogKind::Events, entry).is_ok();
        let (time, event) = match LoggedEvent::split(entry) {
            Ok((time, event)) if is_readable && event.len() <= MOST_BYTES => (time, event),
            // It keeps its place, and remains one that cannot be read.
            _ => (self.last.as_ref().map_or(0, |(_, time)| *time), &[][..]),
        };
        self.tables.append_bytes(&app, place, time, event)?;
        self.last = Some((app, time));
        Ok(())
    }
}

/// Up to where the events of each project went, as far as that can be read.
fn dropped(transaction: &WriteTransaction) -> Result<Vec<(String, u64)>, Fault> {
    let mut all = Vec::new();
    if !has(transaction, &DROPPED)? {
        return Ok(all);
    }
    let read = guard(|| {
        for dropped in transaction.open_table(DROPPED)?.iter()? {
            let (key, place) = dropped?;
            all.push((key.value().0.to_owned(), place.value()));
        }
        Ok(())
    });
    if let Err(fault) = read {
        error!("readers may not be told of some events that went: {fault}");
    }
    Ok(all)
}

/// Whether a table is there and all its pages can be read: otherwise a change to all of it would fail halfway.
fn is_readable<K: Key + 'static, V: Value + 'static>(
    transaction: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<bool, Fault> {
    let read = || {
        for entry in transaction.open_table(table)?.iter()? {
            entry?;
        }
        Ok(())
    };
    Ok(has(transaction, &table)? && guard(read).is_ok())
}

fn delete_readable<K: Key + 'static, V: Value + 'static>(
    transaction: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), Fault> {
    if is_readable(transaction, table)? {
        transaction.delete_table(table)?;
    }
    Ok(())
}

fn has(transaction: &WriteTransaction, table: &impl TableHandle) -> Result<bool, Fault> {
    Ok(transaction.list_tables()?.any(|one| one.name() == table.name()))
}

type OldKey = (String, String, u64);

fn own((app, log, place): (&str, &str, u64), entry: &[u8]) -> (OldKey, Vec<u8>) {
    ((app.to_owned(), log.to_owned(), place), entry.to_vec())
}

/// (project, log, place) to event.
const ENTRIES: TableDefinition<'static, (&'static str, &'static str, u64), &'static [u8]> =
    TableDefinition::new("log_events");
/// (project, time, place, log).
const AGES: TableDefinition<'static, (&'static str, u64, u64, &'static str), ()> = TableDefinition::new("ages_events");
/// (project, log) to how many events it has.
const COUNTS: TableDefinition<'static, (&'static str, &'static str), u64> = TableDefinition::new("counts_events");
/// (project, log) to the last place whose event went.
const DROPPED: TableDefinition<'static, (&'static str, &'static str), u64> = TableDefinition::new("dropped_events");
/// More bytes than any event has.
const MOST_BYTES: usize = 8 * 1024;
