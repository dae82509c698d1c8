//! Looks for damage in the file beyond records that cannot be read.

use std::{cmp::Ordering, collections::BTreeMap, ops::ControlFlow};

use ::redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use rtm_core::store::{BackendError, LogEntry, LogKind, StateKind, StoredBytes};

use super::{
    DamagedRecord, Fault, Redb,
    damage::guard,
    event_records::check_events,
    records::{EntryKey, own_age, raw_entries, raw_values},
    tables::{BYTES, LogTable, log_table},
    walk::{Walked, walk},
};

/// What the records of each project take, by the names of their kinds.
#[derive(Debug, Default)]
struct Weighed {
    bytes: BTreeMap<(String, &'static str), u64>,
    /// The kinds of which all could be read: of others it is not known what their records take.
    whole: Vec<&'static str>,
}

impl Redb {
    /// Checks that each entry is found by its age and counted, that the bytes of each project are counted, and the
    /// checksums of the whole file, and shows `visit` what is wrong. Entries and values themselves are read by [`records`](Self::records).
    ///
    /// What is found may keep the file from being opened again: check a [copy](Self::open_copy).
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the file as such cannot be read.
    pub fn check(&mut self, mut visit: impl FnMut(DamagedRecord)) -> Result<(), BackendError> {
        self.with("check", |database| {
            let transaction = database.begin_read()?;
            let mut weighed = Weighed::default();
            for kind in LogKind::ALL {
                let checked = guard(|| match log_table(kind) {
                    Some(table) => check_log(&transaction, kind, table, &mut weighed, &mut visit),
                    None => check_events(&transaction, &mut visit),
                });
                if let Err(fault) = checked {
                    visit(DamagedRecord::new(kind.name(), fault.to_string()));
                }
            }
            weigh_values(&transaction, &mut weighed);
            if let Err(fault) = guard(|| check_bytes(&transaction, &mut weighed, &mut visit)) {
                visit(DamagedRecord::new("bytes", fault.to_string()));
            }
            Ok(())
        })?;
        // What it finds may keep the file from being opened again: it comes last.
        let whole = self.with("check", |database| Ok(guard(|| Ok(database.check_integrity()?))));
        match whole? {
            Ok(true) => {}
            Ok(false) => visit(DamagedRecord::new("the file", "its checksums did not hold, and it was repaired")),
            Err(fault) => {
                self.close();
                visit(DamagedRecord::new("the file", format!("its checksums do not hold: {fault}")));
            }
        }
        Ok(())
    }
}

fn check_log(
    transaction: &ReadTransaction,
    kind: LogKind,
    table: &LogTable,
    weighed: &mut Weighed,
    visit: &mut impl FnMut(DamagedRecord),
) -> Result<(), Fault> {
    let entries = transaction.open_table(table.entries)?;
    let ages = transaction.open_table(table.ages)?;
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let has_age = |(app, log, place): &EntryKey, time| {
        let age = guard(|| Ok(ages.get((app.as_str(), time, *place, log.as_str()))?.is_some()));
        matches!(age, Ok(true))
    };
    let mut is_whole = true;
    // What cannot be read of the entries is shown with the records.
    let _ = raw_entries(transaction, kind, table, &mut |entry| {
        let Ok((key, record)) = entry else {
            is_whole = false;
            return ControlFlow::Continue(());
        };
        weighed.add(&key.0, kind.name(), record.len());
        if let Ok(entry) = LogEntry::decode(kind, &record)
            && !has_age(&key, entry.time())
        {
            visit(DamagedRecord::entry(kind, &key.0, &key.1, key.2, NOT_FOUND_BY_AGE));
        }
        let (app, log, _) = key;
        if kind.is_counted() {
            *counts.entry((app, log)).or_default() += 1;
        }
        ControlFlow::Continue(())
    });
    if is_whole {
        weighed.whole.push(kind.name());
    }
    if ages.len()? > entries.len()? {
        let more = ages.len()? - entries.len()?;
        visit(DamagedRecord::new(kind.name(), format!("{more} ages have no entry")));
    }
    // One too many shows in their number.
    let seen = walk(ages.iter()?, Ordering::Less, own_age, |_, ()| ControlFlow::Continue(()));
    if let Walked::Broken { fault, .. } = seen {
        visit(DamagedRecord::new(format!("ages of {}", kind.name()), fault));
    }
    if !kind.is_counted() {
        return Ok(());
    }
    for count in transaction.open_table(table.counts)?.iter()? {
        let (key, count) = count?;
        let (app, log) = key.value();
        let found = counts.remove(&(app.to_owned(), log.to_owned())).unwrap_or(0);
        if found != count.value() {
            let fault = format!("{} entries are counted, and {found} are there", count.value());
            visit(DamagedRecord::new(format!("{} {app} {log:?}", kind.name()), fault));
        }
    }
    for ((app, log), found) in counts {
        let fault = format!("none is counted, and {found} are there");
        visit(DamagedRecord::new(format!("{} {app} {log:?}", kind.name()), fault));
    }
    Ok(())
}

/// Adds the values that are counted.
fn weigh_values(transaction: &ReadTransaction, weighed: &mut Weighed) {
    for kind in StateKind::ALL.into_iter().filter(|kind| StoredBytes::default().state(*kind).is_some()) {
        let mut is_whole = true;
        let _ = raw_values(transaction, kind, &mut |value| {
            match value {
                Ok((app, _, record)) => weighed.add(&app, kind.name(), record.len()),
                Err(_) => is_whole = false,
            }
            ControlFlow::Continue(())
        });
        if is_whole {
            weighed.whole.push(kind.name());
        }
    }
}

/// Quotas go by these figures: too many bytes refuse what there is room for, and too few let a project have more.
fn check_bytes(
    transaction: &ReadTransaction,
    weighed: &mut Weighed,
    visit: &mut impl FnMut(DamagedRecord),
) -> Result<(), Fault> {
    let mut see =
        |app: &str, kind: &str, fault: String| visit(DamagedRecord::new(format!("bytes of {kind} {app}"), fault));
    for counted in transaction.open_table(BYTES)?.iter()? {
        let (key, counted) = counted?;
        let ((app, name), counted) = (key.value(), counted.value());
        let Some(kind) = weighed.whole.iter().copied().find(|kind| *kind == name) else { continue };
        let found = weighed.bytes.remove(&(app.to_owned(), kind)).unwrap_or(0);
        if found != counted {
            see(app, kind, format!("{counted} bytes are counted, and {found} are there"));
        }
    }
    let left = weighed.bytes.iter().filter(|((_, kind), _)| weighed.whole.contains(kind));
    for ((app, kind), found) in left {
        see(app, kind, format!("none is counted, and {found} bytes are there"));
    }
    Ok(())
}

impl Weighed {
    fn add(&mut self, app: &str, kind: &'static str, bytes: usize) {
        let bytes = bytes as u64;
        *self.bytes.entry((app.to_owned(), kind)).or_default() += bytes;
    }
}

/// What is said of an entry or a run whose time does not lead to it.
pub(super) const NOT_FOUND_BY_AGE: &str = "it is not found by its age";
