//! The log of a kind of which a project has one: many entries are written to its end at once, and dropped from its beginning.

use std::ops::Bound;

use ::redb::ReadableTable;
use rtm_core::store::{LogEntry, Place, StoreAnswer};

use super::{Fault, logs::LogTables};

/// Entries that follow each other, and are not in the tables yet.
pub(super) type Run = Vec<RunEntry>;

pub(super) struct RunEntry {
    place: u64,
    time: u64,
    record: Vec<u8>,
}

impl LogTables<'_> {
    /// Appends an entry to the one log of a project; [`write_runs`](Self::write_runs) writes it.
    pub(super) fn append_to_run(&mut self, app: &str, entry: &LogEntry, place: Place) -> Result<StoreAnswer, Fault> {
        self.changed = true;
        let record = entry.encode()?;
        self.grow(app, record.len() as i64);
        let entry = RunEntry { place: place.0, time: entry.time(), record };
        match self.runs.get_mut(app) {
            Some(run) => run.push(entry),
            None => _ = self.runs.insert(app.to_owned(), vec![entry]),
        }
        Ok(StoreAnswer::Appended { place, dropped: 0 })
    }

    /// Writes what was appended. A run costs a fraction of what its entries cost one by one.
    pub(super) fn write_runs(&mut self) -> Result<(), Fault> {
        let Some(log) = self.kind.only_log() else { return Ok(()) };
        let log = &*log.to_text();
        for (app, run) in std::mem::take(&mut self.runs) {
            self.write_run(&app, log, &run)?;
        }
        Ok(())
    }

    fn write_run(&mut self, app: &str, log: &str, run: &[RunEntry]) -> Result<(), Fault> {
        let Some(first) = run.first() else { return Ok(()) };
        if let Some((place, Some(time))) = self.last_before(app, log, first.place)?
            && time == first.time
        {
            // The last of that time is one of these now.
            self.ages.remove((app, time, place, log))?;
        }
        let mut end = self.entries.upper_bound_mut(Bound::Excluded((app, log, first.place)))?;
        for RunEntry { place, record, .. } in run {
            end.insert_before((app, log, *place), record.as_slice())?;
        }
        end.close()?;
        for (at, RunEntry { place, time, .. }) in run.iter().enumerate() {
            if run.get(at + 1).is_none_or(|next| next.time != *time) {
                self.ages.insert((app, *time, *place, log), ())?;
            }
        }
        self.count(app, log, run.len() as i64).map(drop)
    }

    /// Where the entry before a place is, and its time if it can be read.
    fn last_before(&self, app: &str, log: &str, place: u64) -> Result<Option<(u64, Option<u64>)>, Fault> {
        let Some(last) = self.entries.range((app, log, 0)..(app, log, place))?.next_back() else { return Ok(None) };
        let (key, record) = last?;
        let time = LogEntry::decode(self.kind, record.value()).ok().map(|entry| entry.time());
        Ok(Some((key.value().2, time)))
    }

    /// An entry of a time is gone from among others: if the age of those was found at its place, it is found at the one before.
    pub(super) fn remove_age(&mut self, app: &str, log: &str, place: u64, time: u64) -> Result<(), Fault> {
        let was_last = self.ages.remove((app, time, place, log))?.is_some();
        if was_last
            && self.kind.only_log().is_some()
            && let Some((before, Some(same))) = self.last_before(app, log, place)?
            && same == time
        {
            self.ages.insert((app, time, before, log), ())?;
        }
        Ok(())
    }

    /// Drops the entries of the one log of a project that are too old or too many, and then as many as have so many bytes. What was
    /// appended before an entry that is too old is too old itself, whatever a clock said that has gone back since.
    pub(super) fn expire_run(&mut self, app: &str, log: &str, before: u64, keep: Option<usize>) -> Result<(), Fault> {
        let mut last = None;
        for age in self.ages.range((app, 0, 0, "")..(app, before, 0, ""))? {
            last = last.max(Some(age?.0.value().2));
        }
        if let Some(last) = last {
            self.drop_to(app, log, last)?;
            self.changed = true;
            // What damaged entries have left there.
            self.ages.retain_in((app, 0, 0, "")..(app, before, 0, ""), |_, ()| false)?;
        }
        let Some(keep) = keep else { return Ok(()) };
        let count = match &self.counts {
            Some(counts) => counts.get((app, log))?.map_or(0, |count| count.value()),
            None => 0,
        };
        let Some(excess) = count.checked_sub(keep.max(1) as u64 + 1) else { return Ok(()) };
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        let last = self.entries.range((app, log, 0)..=(app, log, u64::MAX))?.nth(excess).transpose()?;
        match last.map(|(key, _)| key.value().2) {
            Some(last) => self.drop_to(app, log, last),
            None => Ok(()),
        }
    }

    /// Drops the oldest entries until so many bytes are gone.
    pub(super) fn drop_bytes(&mut self, app: &str, log: &str, excess: u64) -> Result<(), Fault> {
        let (mut gone, mut last) = (0, None);
        for entry in self.entries.range((app, log, 0)..=(app, log, u64::MAX))? {
            if gone >= excess {
                break;
            }
            let (key, record) = entry?;
            gone += record.value().len() as u64;
            last = Some(key.value().2);
        }
        match last {
            Some(last) => self.drop_to(app, log, last),
            None => Ok(()),
        }
    }

    /// Drops all entries up to a place.
    fn drop_to(&mut self, app: &str, log: &str, last: u64) -> Result<(), Fault> {
        let all = (app, log, 0)..=(app, log, last);
        let (mut count, mut bytes, mut highest) = (0, 0, 0);
        let mut ages: Vec<(u64, u64)> = Vec::new();
        for entry in self.entries.range(all.clone())? {
            let (key, record) = entry?;
            (count, bytes, highest) = (count + 1, bytes + record.value().len() as i64, key.value().2);
            let Ok(entry) = LogEntry::decode(self.kind, record.value()) else { continue };
            match ages.last_mut().filter(|(time, _)| *time == entry.time()) {
                Some((_, place)) => *place = highest,
                None => ages.push((entry.time(), highest)),
            }
        }
        if count == 0 {
            return Ok(());
        }
        self.changed = true;
        self.entries.retain_in(all, |_, _| false)?;
        for (time, place) in ages {
            self.ages.remove((app, time, place, log))?;
        }
        self.grow(app, -bytes);
        self.count(app, log, -count)?;
        let Some(dropped) = &mut self.dropped else { return Ok(()) };
        let told = dropped.get((app, log))?.map_or(0, |told| told.value());
        if highest > told {
            dropped.insert((app, log), highest)?;
        }
        Ok(())
    }

    /// The log has so many entries more: how many that makes, of a kind that is counted.
    pub(super) fn count(&mut self, app: &str, log: &str, more: i64) -> Result<u64, Fault> {
        let Some(counts) = &mut self.counts else { return Ok(0) };
        let count = counts.get((app, log))?.map_or(0, |count| count.value()).saturating_add_signed(more);
        if count > 0 {
            counts.insert((app, log), count)?;
        } else {
            counts.remove((app, log))?;
        }
        Ok(count)
    }
}
