//! Looks for damage in the file beyond records that cannot be read.

use std::{cmp::Ordering, collections::BTreeMap, ops::ControlFlow};

use ::redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use rtm_core::store::{BackendError, LogEntry, LogKind, StateKind, StoredBytes};

use super::{
    DamagedRecord, Fault, Redb,
    damage::guard,
    records::{EntryKey, own_age, raw_entries, raw_values},
    tables::{BYTES, log_table},
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
                if let Err(fault) = guard(|| check_log(&transaction, kind, &mut weighed, &mut visit)) {
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
    weighed: &mut Weighed,
    visit: &mut impl FnMut(DamagedRecord),
) -> Result<(), Fault> {
    let table = log_table(kind);
    let entries = transaction.open_table(table.entries)?;
    let ages = transaction.open_table(table.ages)?;
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let has_age = |(app, log, place): &EntryKey, time| {
        let age = guard(|| Ok(ages.get((app.as_str(), time, *place, log.as_str()))?.is_some()));
        matches!(age, Ok(true))
    };
    let mut see_age = |key: &EntryKey, time| {
        if !has_age(key, time) {
            visit(DamagedRecord::entry(kind, &key.0, &key.1, key.2, "it is not found by its age"));
        }
    };
    // If a project has only one log of this kind, only the last entry of a group has an age.
    let mut run: Option<(EntryKey, u64)> = None;
    let mut is_whole = true;
    // What cannot be read of the entries is shown with the records.
    let _ = raw_entries(transaction, kind, &mut |entry| {
        let Ok((key, record)) = entry else {
            is_whole = false;
            return ControlFlow::Continue(());
        };
        weighed.add(&key.0, kind.name(), record.len());
        if let Ok(entry) = LogEntry::decode(kind, &record) {
            let time = entry.time();
            if kind.only_log().is_none() {
                see_age(&key, time);
            } else if let Some((last, of_run)) = run.replace((key.clone(), time))
                && (&last.0, &last.1, of_run) != (&key.0, &key.1, time)
            {
                see_age(&last, of_run);
            }
        } else {
            // It may have had the age of the group before it.
            run = None;
        }
        let (app, log, _) = key;
        if kind.is_counted() {
            *counts.entry((app, log)).or_default() += 1;
        }
        ControlFlow::Continue(())
    });
    if let Some((last, time)) = run {
        see_age(&last, time);
    }
    if is_whole {
        weighed.whole.push(kind.name());
    }
    if ages.len()? > entries.len()? {
        let more = ages.len()? - entries.len()?;
        visit(DamagedRecord::new(kind.name(), format!("{more} ages have no entry")));
    }
    let seen =
        walk(ages.range::<(&str, u64, u64, &str)>(..)?, Ordering::Less, own_age, |(app, time, place, log), ()| {
            // Where each entry has an age, one too many shows in their number.
            if kind.only_log().is_some() {
                let entry =
                    guard(|| Ok(entries.get((app.as_str(), log.as_str(), place))?.map(|entry| entry.value().to_vec())));
                let is_there = match entry {
                    Ok(Some(record)) => LogEntry::decode(kind, &record).map_or(true, |entry| entry.time() == time),
                    Ok(None) => false,
                    // That is shown with the records.
                    Err(_) => true,
                };
                if !is_there {
                    visit(DamagedRecord::entry(kind, &app, &log, place, "it has an age, and is not there"));
                }
            }
            ControlFlow::Continue(())
        });
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
