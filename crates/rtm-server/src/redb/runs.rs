//! Logs of a kind of which each project has only one, such as its events. A batch is appended as one run.
//!
//! Entries that follow each other and have the same time are a group. Only the last entry of a group has an age.

use std::ops::Bound;

use ::redb::{AccessGuard, ReadableTable, StorageError};
use rtm_core::{
    LoggedEvent,
    store::{LogEntry, Place},
};

use super::{Fault, logs::LogTables};

/// Entries that were appended to a log and are not in the tables yet, in order.
#[derive(Default)]
pub(super) struct Run {
    entries: Vec<RunEntry>,
    /// Their records, one behind the other.
    records: Vec<u8>,
}

type EntryGuards<'t> = (AccessGuard<'t, (&'static str, &'static str, u64)>, AccessGuard<'t, &'static [u8]>);

struct RunEntry {
    place: u64,
    time: u64,
    /// Where its record ends.
    end: usize,
}

impl LogTables<'_> {
    /// Appends events to a project's log, in places from `first` on. Gives the last of these. [`write_runs`](Self::write_runs)
    /// writes them.
    pub(super) fn append_to_run(&mut self, app: &str, events: &[LoggedEvent], first: Place) -> Place {
        self.changed = true;
        if !self.runs.contains_key(app) {
            self.runs.insert(app.to_owned(), Run::default());
        }
        let Some(run) = self.runs.get_mut(app) else { return first };
        let (start, mut last) = (run.records.len(), first);
        for (place, event) in (first.0..).zip(events) {
            event.encode(&mut run.records);
            run.entries.push(RunEntry { place, time: event.time, end: run.records.len() });
            last = Place(place);
        }
        let grown = run.records.len() - start;
        self.grow(app, grown as i64);
        last
    }

    /// Writes what was appended. That costs a fraction of writing the entries one by one.
    pub(super) fn write_runs(&mut self) -> Result<(), Fault> {
        let Some(log) = self.kind.only_log() else { return Ok(()) };
        let log = &*log.to_text();
        for (app, Run { entries, records }) in std::mem::take(&mut self.runs) {
            self.write_run(&app, log, &entries, &records)?;
        }
        Ok(())
    }

    fn write_run(&mut self, app: &str, log: &str, run: &[RunEntry], records: &[u8]) -> Result<(), Fault> {
        let Some(first) = run.first() else { return Ok(()) };
        if let Some((place, Some(time))) = self.last_before(app, log, first.place)?
            && time == first.time
        {
            // The run goes on with the last group.
            self.ages.remove((app, time, place, log))?;
        }
        let mut end = self.entries.upper_bound_mut(Bound::Excluded((app, log, first.place)))?;
        let mut start = 0;
        for entry in run {
            end.insert_before((app, log, entry.place), &records[start..entry.end])?;
            start = entry.end;
        }
        end.close()?;
        for (at, RunEntry { place, time, .. }) in run.iter().enumerate() {
            if run.get(at + 1).is_none_or(|next| next.time != *time) {
                self.ages.insert((app, *time, *place, log), ())?;
            }
        }
        self.count(app, log, run.len() as i64).map(drop)
    }

    /// The place of the last entry before a place, and the entry's time if it can be read.
    fn last_before(&self, app: &str, log: &str, place: u64) -> Result<Option<(u64, Option<u64>)>, Fault> {
        let last = self.entries.range((app, log, 0)..(app, log, place))?.next_back();
        last.map(|last| self.placed(last)).transpose()
    }

    /// The same of the first entry behind a place.
    fn first_after(&self, app: &str, log: &str, place: u64) -> Result<Option<(u64, Option<u64>)>, Fault> {
        let Some(next) = place.checked_add(1) else { return Ok(None) };
        let first = self.entries.range((app, log, next)..=(app, log, u64::MAX))?.next();
        first.map(|first| self.placed(first)).transpose()
    }

    fn placed(&self, entry: Result<EntryGuards<'_>, StorageError>) -> Result<(u64, Option<u64>), Fault> {
        let (key, record) = entry?;
        let time = LogEntry::decode(self.kind, record.value()).ok().map(|entry| entry.time());
        Ok((key.value().2, time))
    }

    /// Entries between two places are gone. If the groups before and behind them have the same time, they become one group.
    fn join_groups(&mut self, app: &str, log: &str, from: u64, to: u64) -> Result<(), Fault> {
        if let Some((before, Some(time))) = self.last_before(app, log, from)?
            && let Some((_, Some(same))) = self.first_after(app, log, to)?
            && same == time
        {
            self.ages.remove((app, time, before, log))?;
        }
        Ok(())
    }

    /// An entry is gone. If it was the last of its group, the entry before it becomes the last, and has the age.
    pub(super) fn remove_age(&mut self, app: &str, log: &str, place: u64, time: u64) -> Result<(), Fault> {
        let was_last = self.ages.remove((app, time, place, log))?.is_some();
        if !was_last || self.kind.only_log().is_none() {
            return Ok(());
        }
        if let Some((before, Some(same))) = self.last_before(app, log, place)?
            && same == time
        {
            self.ages.insert((app, time, before, log), ())?;
        }
        self.join_groups(app, log, place, place)
    }

    /// Drops the entries of a project's log that are too old, and then the oldest of those that are too many.
    pub(super) fn expire_run(&mut self, app: &str, log: &str, before: u64, keep: Option<usize>) -> Result<(), Fault> {
        let mut old = Vec::new();
        for age in self.ages.range((app, 0, 0, "")..(app, before, 0, ""))? {
            old.push(age?.0.value().2);
        }
        old.sort_unstable();
        // Groups that follow each other are dropped together.
        let mut going: Option<(u64, u64)> = None;
        for last in old {
            let (first, before) = self.first_of_group(app, log, last)?;
            match &mut going {
                Some((_, to)) if before == Some(*to) => *to = last,
                _ => {
                    if let Some((from, to)) = going.replace((first, last)) {
                        self.drop_between(app, log, from, to)?;
                    }
                }
            }
        }
        if let Some((from, to)) = going {
            self.drop_between(app, log, from, to)?;
            self.changed = true;
            // Ages that damaged entries have left.
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
            Some(last) => self.drop_between(app, log, 0, last),
            None => Ok(()),
        }
    }

    /// The place of the first entry of the group that ends at `last`, and the place of the entry before the group. Damaged entries
    /// belong to the group behind them.
    fn first_of_group(&self, app: &str, log: &str, last: u64) -> Result<(u64, Option<u64>), Fault> {
        let (mut first, mut time, mut is_damaged) = (last, None, false);
        for entry in self.entries.range((app, log, 0)..=(app, log, last))?.rev() {
            let (place, of_entry) = self.placed(entry)?;
            match of_entry {
                None => is_damaged = true,
                Some(_) if is_damaged => return Ok((first, Some(place))),
                Some(of_entry) if time.is_some_and(|time| time != of_entry) => return Ok((first, Some(place))),
                Some(_) => time = of_entry,
            }
            first = place;
        }
        Ok((first, None))
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
            Some(last) => self.drop_between(app, log, 0, last),
            None => Ok(()),
        }
    }

    /// Drops all entries from one place to another.
    fn drop_between(&mut self, app: &str, log: &str, from: u64, to: u64) -> Result<(), Fault> {
        let all = (app, log, from)..=(app, log, to);
        let (mut count, mut bytes, mut highest) = (0, 0, 0);
        let mut ages: Vec<(u64, u64)> = Vec::new();
        let mut is_run = false;
        for entry in self.entries.range(all.clone())? {
            let (key, record) = entry?;
            (count, bytes, highest) = (count + 1, bytes + record.value().len() as i64, key.value().2);
            let Ok(entry) = LogEntry::decode(self.kind, record.value()) else {
                is_run = false;
                continue;
            };
            match ages.last_mut().filter(|(time, _)| is_run && *time == entry.time()) {
                Some((_, place)) => *place = highest,
                None => ages.push((entry.time(), highest)),
            }
            is_run = true;
        }
        if count == 0 {
            return Ok(());
        }
        self.changed = true;
        self.entries.retain_in(all, |_, _| false)?;
        for (time, place) in ages {
            self.ages.remove((app, time, place, log))?;
        }
        self.join_groups(app, log, from, to)?;
        self.grow(app, -bytes);
        self.count(app, log, -count)?;
        let Some(dropped) = &mut self.dropped else { return Ok(()) };
        let told = dropped.get((app, log))?.map_or(0, |told| told.value());
        if highest > told {
            dropped.insert((app, log), highest)?;
        }
        Ok(())
    }

    /// Counts `more` entries of a log. Returns how many it has, or 0 if entries of this kind are not counted.
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
