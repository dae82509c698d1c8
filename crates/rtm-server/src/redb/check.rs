//! Looks for damage in the file beyond records that cannot be read.

use std::{cmp::Ordering, collections::BTreeMap, ops::ControlFlow};

use ::redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use rtm_core::store::{BackendError, LogEntry, LogKind};

use super::{
    DamagedRecord, Fault, Redb,
    damage::guard,
    records::{EntryKey, own_age, raw_entries},
    tables::log_table,
    walk::{Walked, walk},
};

impl Redb {
    /// Checks that each entry is found by its age and counted, and the checksums of the whole file, and shows `visit`
    /// what is wrong. Entries and values themselves are read by [`records`](Self::records).
    ///
    /// What is found may keep the file from being opened again: check a [copy](Self::open_copy).
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the file as such cannot be read.
    pub fn check(&mut self, mut visit: impl FnMut(DamagedRecord)) -> Result<(), BackendError> {
        self.with("check", |database| {
            let transaction = database.begin_read()?;
            for kind in LogKind::ALL {
                if let Err(fault) = guard(|| check_log(&transaction, kind, &mut visit)) {
                    visit(DamagedRecord::new(kind.name(), fault.to_string()));
                }
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

fn check_log(transaction: &ReadTransaction, kind: LogKind, visit: &mut impl FnMut(DamagedRecord)) -> Result<(), Fault> {
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
    // In the one log of a project, the last of those that follow each other and have one time has their age.
    let mut run: Option<(EntryKey, u64)> = None;
    // What cannot be read of the entries is shown with the records.
    let _ = raw_entries(transaction, kind, &mut |entry| {
        let Ok((key, record)) = entry else { return ControlFlow::Continue(()) };
        if let Ok(entry) = LogEntry::decode(kind, &record) {
            let time = entry.time();
            if kind.only_log().is_none() {
                see_age(&key, time);
            } else if let Some((last, of_run)) = run.replace((key.clone(), time))
                && (&last.0, &last.1, of_run) != (&key.0, &key.1, time)
            {
                see_age(&last, of_run);
            }
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
    if ages.len()? > entries.len()? {
        let more = ages.len()? - entries.len()?;
        visit(DamagedRecord::new(kind.name(), format!("{more} ages have no entry")));
    }
    if let Walked::Broken { fault, .. } =
        walk(ages.range::<(&str, u64, u64, &str)>(..)?, Ordering::Less, own_age, |_, ()| ControlFlow::Continue(()))
    {
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
