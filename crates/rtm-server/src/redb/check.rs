//! Looks for damage in the file beyond records that cannot be read.

use std::collections::BTreeMap;

use ::redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};
use rtm_core::store::{BackendError, LogEntry, LogKind};

use super::{DamagedRecord, Redb, tables::log_table};

impl Redb {
    /// Checks the checksums of the whole file, and that each entry is found by its age and counted, and shows `visit`
    /// what is wrong.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the file cannot be read.
    pub fn check(&mut self, mut visit: impl FnMut(DamagedRecord)) -> Result<(), BackendError> {
        self.with("check", |database| {
            if !database.check_integrity()? {
                visit(DamagedRecord::new("the file", "its checksums did not hold, and it was repaired"));
            }
            let transaction = database.begin_read()?;
            for kind in LogKind::ALL {
                let table = log_table(kind);
                let entries = transaction.open_table(table.entries)?;
                let ages = transaction.open_table(table.ages)?;
                let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
                for record in entries.iter()? {
                    let (key, record) = record?;
                    let (app, log, place) = key.value();
                    if kind.is_limited() {
                        *counts.entry((app.to_owned(), log.to_owned())).or_default() += 1;
                    }
                    if let Ok(entry) = LogEntry::decode(kind, record.value())
                        && ages.get((app, entry.time(), place, log))?.is_none()
                    {
                        visit(DamagedRecord::entry(kind, app, log, place, "it is not found by its age"));
                    }
                }
                if ages.len()? > entries.len()? {
                    let more = ages.len()? - entries.len()?;
                    visit(DamagedRecord::new(kind.name(), format!("{more} ages have no entry")));
                }
                if kind.is_limited() {
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
                }
            }
            Ok(())
        })
    }
}
