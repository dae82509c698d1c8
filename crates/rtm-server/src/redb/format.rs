//! The format of the file: a new one is laid out, an older one is brought up, a newer one is refused.

use std::collections::BTreeMap;

use ::redb::{Database, ReadableTable, TableDefinition, TableHandle, WriteTransaction};
use rtm_core::store::{LogEntry, LogKind, Place, StateKind, StoredBytes};

use super::{
    Fault,
    events::{HEADS, RUNS, STRAGGLERS},
    logs::indexed,
    old_events,
    tables::{
        BY_DESTINATION, BY_SOURCE, BYTES, HISTORY, LogTable, META, META_LAST_PLACE, META_VERSION, STORED, log_table,
        state_table,
    },
};

/// Makes sure that the file has this version's tables. Says which format it had, if it was an older one.
///
/// All of it is one transaction: a crash leaves the file as it was.
pub(super) fn prepare(database: &Database) -> Result<Option<u64>, Fault> {
    let transaction = database.begin_write()?;
    let old = match version(&transaction)? {
        Some(VERSION) => {
            transaction.abort()?;
            return Ok(None);
        }
        None => None,
        Some(1) => {
            from_1_to_2(&transaction)?;
            Some(1)
        }
        // Format 3 has two tables more, format 4 finds history in two more ways, format 5 keeps events, format 6 knows how many
        // bytes projects have, format 7 has fewer ages of events, format 8 keeps events in runs, and format 9 has two tables more.
        Some(found @ 2..=8) => Some(found),
        Some(found) => return Err(Fault::Version { found, known: VERSION }),
    };
    lay_out(&transaction)?;
    if old.is_some_and(|old| old < 4) {
        index_history(&transaction)?;
    }
    if old.is_some_and(|old| old < 6) {
        count_bytes(&transaction)?;
    }
    if old.is_some_and(|old| old < 8) {
        old_events::into_runs(&transaction)?;
    }
    transaction.commit()?;
    Ok(old)
}

/// The file's format; `None` for one without anything in it.
fn version(transaction: &WriteTransaction) -> Result<Option<u64>, Fault> {
    let names: Vec<_> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    if !names.iter().any(|name| name == META.name()) {
        return Err(Fault::NoStore);
    }
    let meta = transaction.open_table(META).map_err(|_| Fault::NoStore)?;
    let version = meta.get(META_VERSION)?.map(|version| version.value());
    version.ok_or(Fault::NoStore).map(Some)
}

/// Makes the tables that are not there, and says which format they have.
fn lay_out(transaction: &WriteTransaction) -> Result<(), Fault> {
    for (kind, table) in message_tables() {
        transaction.open_table(table.entries)?;
        transaction.open_table(table.ages)?;
        if kind.is_counted() {
            transaction.open_table(table.counts)?;
        }
    }
    for kind in StateKind::ALL {
        transaction.open_table(state_table(kind))?;
    }
    transaction.open_table(BY_SOURCE)?;
    transaction.open_table(BY_DESTINATION)?;
    transaction.open_table(RUNS)?;
    transaction.open_table(HEADS)?;
    transaction.open_table(STRAGGLERS)?;
    transaction.open_table(BYTES)?;
    transaction.open_table(META)?.insert(META_VERSION, VERSION)?;
    Ok(())
}

/// The logs of which a project has many.
fn message_tables() -> impl Iterator<Item = (LogKind, &'static LogTable)> {
    LogKind::ALL.into_iter().filter_map(|kind| Some((kind, log_table(kind)?)))
}

/// Finds all history by who sent it and who received it. What cannot be read is not found, as it is not read.
fn index_history(transaction: &WriteTransaction) -> Result<(), Fault> {
    let mut by_source = transaction.open_table(BY_SOURCE)?;
    let mut by_destination = transaction.open_table(BY_DESTINATION)?;
    for entry in transaction.open_table(HISTORY.entries)?.iter()? {
        let (key, record) = entry?;
        let (app, log, place) = key.value();
        if let Ok(entry) = LogEntry::decode(LogKind::History, record.value())
            && let Some((source, destination)) = indexed(log, &entry)
        {
            by_source.insert((app, &*source, place, log), ())?;
            by_destination.insert((app, &*destination, place, log), ())?;
        }
    }
    Ok(())
}

/// Counts what the records of each project take.
fn count_bytes(transaction: &WriteTransaction) -> Result<(), Fault> {
    let mut all: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for (kind, table) in message_tables() {
        for entry in transaction.open_table(table.entries)?.iter()? {
            let (key, record) = entry?;
            *all.entry((key.value().0.to_owned(), kind.name())).or_default() += record.value().len() as u64;
        }
    }
    for kind in StateKind::ALL {
        if StoredBytes::default().state(kind).is_none() {
            continue;
        }
        for value in transaction.open_table(state_table(kind))?.iter()? {
            let (key, record) = value?;
            *all.entry((key.value().0.to_owned(), kind.name())).or_default() += record.value().len() as u64;
        }
    }
    let mut bytes = transaction.open_table(BYTES)?;
    for ((app, kind), count) in all {
        bytes.insert((app.as_str(), kind), count)?;
    }
    Ok(())
}

/// Format 1 had tables for each thing that was kept, and found ages of the two kinds of messages in two ways. Entries
/// and values have stayed as they were.
fn from_1_to_2(transaction: &WriteTransaction) -> Result<(), Fault> {
    let (stored, history) = (&STORED, &HISTORY);
    transaction.rename_table(V1_OFFLINE, stored.entries)?;
    transaction.rename_table(V1_OFFLINE_COUNTS, stored.counts)?;
    transaction.rename_table(V1_HISTORY, history.entries)?;
    transaction.rename_table(V1_ATTRIBUTES, state_table(StateKind::ChannelAttributes))?;
    {
        let mut ages = transaction.open_table(stored.ages)?;
        for age in transaction.open_table(V1_OFFLINE_AGES)?.iter()? {
            let (key, user) = age?;
            let (app, time, place) = key.value();
            ages.insert((app, time, place, user.value()), ())?;
        }
        let mut ages = transaction.open_table(history.ages)?;
        for age in transaction.open_table(V1_HISTORY_AGES)?.iter()? {
            let (key, _) = age?;
            let (app, place, conversation) = key.value();
            ages.insert((app, Place(place).time(), place, conversation), ())?;
        }
        let mut meta = transaction.open_table(META)?;
        let last = meta.remove(V1_META_LAST_OFFLINE)?.map(|last| last.value());
        if let Some(last) = last {
            meta.insert(META_LAST_PLACE, last)?;
        }
    }
    transaction.delete_table(V1_OFFLINE_AGES)?;
    transaction.delete_table(V1_HISTORY_AGES)?;
    Ok(())
}

/// The format that this version of the server writes. It changes with the tables; records have versions of their own.
pub(super) const VERSION: u64 = 9;

/// (project, receiver, id) to message.
const V1_OFFLINE: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("offline");
/// (project, receiver) to how many messages wait.
const V1_OFFLINE_COUNTS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("offline_counts");
/// (project, time taken, id) to receiver.
const V1_OFFLINE_AGES: TableDefinition<'_, (&str, u64, u64), &str> = TableDefinition::new("offline_ages");
/// (project, conversation, place) to message.
const V1_HISTORY: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("history");
/// (project, place, conversation).
const V1_HISTORY_AGES: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("history_ages");
/// (project, channel) to attributes.
const V1_ATTRIBUTES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("channel_attributes");
const V1_META_LAST_OFFLINE: &str = "last_offline_id";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

    use std::{
        fs, io,
        ops::ControlFlow,
        path::Path,
        sync::{Arc, Mutex},
    };

    use ::redb::StorageBackend;

    use super::*;
    use crate::{Redb, StoreRecord};

    /// A store of an older format, as a file in a directory.
    fn old_store(directory: &Path, mut packed: &[u8]) {
        let mut file = fs::File::create(directory.join("rtm.redb")).unwrap();
        io::copy(&mut flate2::read::GzDecoder::new(&mut packed), &mut file).unwrap();
    }

    fn records(directory: &Path) -> Vec<StoreRecord> {
        let mut all = Vec::new();
        let visit = |record: Result<_, _>| {
            all.push(record.unwrap());
            ControlFlow::Continue(())
        };
        Redb::open(directory).unwrap().records(visit).unwrap();
        all
    }

    /// A disk that accepts this many writes and no more, as if the process or the machine were killed then.
    #[derive(Debug, Clone)]
    struct Disk(Arc<Mutex<State>>);

    #[derive(Debug)]
    struct State {
        bytes: Vec<u8>,
        /// What is sure to be there after a machine went down.
        synced: Vec<u8>,
        writes_left: usize,
        writes: usize,
    }

    impl Disk {
        fn new(bytes: Vec<u8>, writes_left: usize) -> Self {
            Self(Arc::new(Mutex::new(State { synced: bytes.clone(), bytes, writes_left, writes: 0 })))
        }

        fn change(&self, f: impl FnOnce(&mut State)) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            state.writes += 1;
            state.writes_left = state.writes_left.checked_sub(1).ok_or_else(|| io::Error::other("killed"))?;
            f(&mut state);
            Ok(())
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().bytes.len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let start = offset as usize;
            out.copy_from_slice(&self.0.lock().unwrap().bytes[start..start + out.len()]);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.change(|state| state.bytes.resize(len as usize, 0))
        }

        fn sync_data(&self) -> io::Result<()> {
            self.change(|state| state.synced.clone_from(&state.bytes))
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let start = offset as usize;
            self.change(|state| state.bytes[start..start + data.len()].copy_from_slice(data))
        }
    }

    #[test]
    fn a_server_killed_at_any_write_while_it_brings_a_file_up_finds_everything_once() {
        killed_at_any_write(include_bytes!("../../tests/fixtures/store-1.redb.gz"), 11 + 63 + 5);
    }

    #[test]
    fn a_server_killed_at_any_write_while_it_puts_events_into_runs_finds_everything_once() {
        killed_at_any_write(include_bytes!("../../tests/fixtures/store-7.redb.gz"), 420 + 9);
    }

    fn killed_at_any_write(packed: &[u8], count: usize) {
        let old = tempfile::tempdir().unwrap();
        old_store(old.path(), packed);
        let bytes = fs::read(old.path().join("rtm.redb")).unwrap();
        let wanted = records(old.path());
        assert_eq!(wanted.len(), count);
        let bring_up = |writes| {
            let disk = Disk::new(bytes.clone(), writes);
            let opened = Database::builder().create_with_backend(disk.clone());
            let is_done = opened.is_ok_and(|database| prepare(&database).is_ok());
            let state = disk.0.lock().unwrap();
            (is_done, state.writes, state.bytes.clone(), state.synced.clone())
        };
        let (is_done, all, ..) = bring_up(usize::MAX);
        assert!(is_done && all > 10, "{all}");
        for writes in 0..all {
            let (_, _, killed, went_down) = bring_up(writes);
            for left in [killed, went_down] {
                let directory = tempfile::tempdir().unwrap();
                fs::write(directory.path().join("rtm.redb"), left).unwrap();
                assert_eq!(records(directory.path()), wanted, "after {writes} of {all} writes");
            }
        }
    }
}
