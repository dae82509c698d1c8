//! The tables of the logs of one kind, of which a project has many.

use std::{collections::BTreeMap, ops::Range};

use ::redb::{ReadableTable, Table, WriteTransaction};
use rtm_core::store::{Conversation, HistorySpan, LogEntry, LogKey, LogKind, Page, Place, StoreAnswer};

use super::{
    DamagedRecord, Fault,
    damage::Damage,
    tables::{BY_DESTINATION, BY_SOURCE, LogTable},
};

/// The tables of all logs of a kind.
pub(super) struct LogTables<'t> {
    damage: &'t Damage,
    pub(super) kind: LogKind,
    entries: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    ages: Table<'t, (&'static str, u64, u64, &'static str), ()>,
    /// For history: where messages are by who sent them, and by who received them.
    index: Option<[IndexTable<'t>; 2]>,
    /// For a kind that is counted.
    counts: Option<Table<'t, (&'static str, &'static str), u64>>,
    /// What the entries of each project have become larger by.
    pub(super) growth: BTreeMap<String, i64>,
    pub(super) changed: bool,
}

type IndexTable<'t> = Table<'t, (&'static str, &'static str, u64, &'static str), ()>;

impl<'t> LogTables<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        damage: &'t Damage,
        kind: LogKind,
        &LogTable { entries, ages, counts }: &LogTable,
    ) -> Result<Self, Fault> {
        Ok(Self {
            damage,
            kind,
            entries: transaction.open_table(entries)?,
            ages: transaction.open_table(ages)?,
            index: match kind {
                LogKind::History => Some([transaction.open_table(BY_SOURCE)?, transaction.open_table(BY_DESTINATION)?]),
                LogKind::Stored | LogKind::Events => None,
            },
            counts: if kind.is_counted() { Some(transaction.open_table(counts)?) } else { None },
            growth: BTreeMap::new(),
            changed: false,
        })
    }

    /// Appends an entry, at a place of its time unless one is given.
    pub(super) fn append(
        &mut self,
        app: &str,
        log: &str,
        entry: &LogEntry,
        place: Option<Place>,
        keep: Option<usize>,
    ) -> Result<StoreAnswer, Fault> {
        self.changed = true;
        let time = entry.time();
        let place = match place {
            Some(place) => place,
            None => {
                let same_time = (app, log, Place::first_at(time).0)..=(app, log, Place::last_at(time).0);
                let last_of_log = self.entries.range(same_time)?.next_back().transpose()?.map(|last| last.0.value().2);
                let last = last_of_log.max(self.last_found_at(app, log, entry)?);
                last.map_or_else(|| Place::first_at(time), |last| Place(last).next())
            }
        };
        let record = entry.encode()?;
        self.entries.insert((app, log, place.0), record.as_slice())?;
        self.grow(app, record.len() as i64);
        self.ages.insert((app, time, place.0, log), ())?;
        if let Some([by_source, by_destination]) = &mut self.index
            && let Some((source, destination)) = indexed(log, entry)
        {
            by_source.insert((app, &*source, place.0, log), ())?;
            by_destination.insert((app, &*destination, place.0, log), ())?;
        }
        let count = self.count(app, log, 1)?;
        let dropped = keep.map_or(0, |keep| count.saturating_sub(keep.max(1) as u64) as usize);
        if dropped > 0 {
            self.drop_oldest(app, log, dropped as u64)?;
        }
        Ok(StoreAnswer::Appended { place, dropped })
    }

    /// The last place at the time of an entry that a search for its sender or its receiver comes to, in whichever log:
    /// messages of one millisecond are found in the order in which they came.
    fn last_found_at(&self, app: &str, log: &str, entry: &LogEntry) -> Result<Option<u64>, Fault> {
        let Some(indexes) = &self.index else { return Ok(None) };
        let Some((source, destination)) = indexed(log, entry) else { return Ok(None) };
        let (first, end) = (Place::first_at(entry.time()).0, Place::last_at(entry.time()).next().0);
        let mut latest = None;
        for (index, id) in indexes.iter().zip([&*source, &*destination]) {
            let last = index.range((app, id, first, "")..(app, id, end, ""))?.next_back().transpose()?;
            latest = latest.max(last.map(|(key, _)| key.value().2));
        }
        Ok(latest)
    }

    pub(super) fn read(
        &self,
        app: &str,
        log: &str,
        after: Option<Place>,
        times: &Range<u64>,
        mut page: Page<(Place, LogEntry)>,
    ) -> Result<StoreAnswer, Fault> {
        let mut first = match after {
            Some(after) => after.0.checked_add(1),
            None => Some(0),
        };
        let mut end = u64::MAX;
        if self.kind.is_by_time() {
            first = first.map(|first| first.max(Place::first_at(times.start).0));
            end = Place::first_at(times.end).0;
        }
        if let Some(first) = first.filter(|first| *first < end) {
            let mut found = 0;
            for entry in self.entries.range((app, log, first)..(app, log, end))? {
                found += 1;
                let (key, record) = entry?;
                let place = key.value().2;
                let entry = match LogEntry::decode(self.kind, record.value()) {
                    Ok(entry) => entry,
                    Err(error) => {
                        self.damage.tell(&DamagedRecord::entry(self.kind, app, log, place, error.to_string()));
                        continue;
                    }
                };
                let bytes = entry.bytes();
                if times.contains(&entry.time()) && !page.push((Place(place), entry), bytes) {
                    break;
                }
            }
            if after.is_none() && !page.more {
                self.check_count(app, log, found)?;
            }
        }
        Ok(StoreAnswer::Entries { entries: page.items, more: page.more, dropped_to: Place(0) })
    }

    /// Sees whether a whole log, as it was read, has lost entries without any fault in reading it.
    fn check_count(&self, app: &str, log: &str, found: u64) -> Result<(), Fault> {
        let Some(counts) = &self.counts else { return Ok(()) };
        let counted = counts.get((app, log))?.map_or(0, |count| count.value());
        if found < counted {
            let fault = format!("it should have {counted} entries, and {found} can be read");
            self.damage.tell(&DamagedRecord::new(format!("{} {app} {log:?} in part", self.kind.name()), fault));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, app: &str, log: &str, place: u64) -> Result<(), Fault> {
        let Some(record) = self.entries.remove((app, log, place))? else {
            return Ok(());
        };
        self.changed = true;
        // What a damaged entry leaves among the ages goes when its time has come.
        let (entry, bytes) = (LogEntry::decode(self.kind, record.value()), record.value().len());
        drop(record);
        self.grow(app, -(bytes as i64));
        if let Ok(entry) = entry {
            self.ages.remove((app, entry.time(), place, log))?;
            if let Some([by_source, by_destination]) = &mut self.index
                && let Some((source, destination)) = indexed(log, &entry)
            {
                by_source.remove((app, &*source, place, log))?;
                by_destination.remove((app, &*destination, place, log))?;
            }
        }
        self.count(app, log, -1).map(drop)
    }

    fn grow(&mut self, app: &str, bytes: i64) {
        match self.growth.get_mut(app) {
            Some(grown) => *grown += bytes,
            None => _ = self.growth.insert(app.to_owned(), bytes),
        }
    }

    /// Counts `more` entries of a log. Returns how many it has, or 0 if entries of this kind are not counted.
    fn count(&mut self, app: &str, log: &str, more: i64) -> Result<u64, Fault> {
        let Some(counts) = &mut self.counts else { return Ok(0) };
        let count = counts.get((app, log))?.map_or(0, |count| count.value()).saturating_add_signed(more);
        if count > 0 {
            counts.insert((app, log), count)?;
        } else {
            counts.remove((app, log))?;
        }
        Ok(count)
    }

    /// Shows `see` the messages that are meant, as long as it wants more.
    pub(super) fn matching(
        &self,
        app: &str,
        HistorySpan { filter, times }: &HistorySpan,
        newest_first: bool,
        mut see: impl FnMut(Conversation, &str, u64) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let Some([by_source, by_destination]) = &self.index else { return Ok(()) };
        let (index, id) = match (&filter.source, filter.destination()) {
            (Some(source), _) => (by_source, source.as_str()),
            (None, Some(destination)) => (by_destination, destination),
            (None, None) => return Ok(()),
        };
        let (first, end) = (Place::first_at(times.start).0, Place::first_at(times.end).0);
        if first >= end {
            return Ok(());
        }
        let mut all = index.range((app, id, first, "")..(app, id, end, ""))?;
        while let Some(found) = if newest_first { all.next_back() } else { all.next() } {
            let (key, _) = found?;
            let (_, id, place, log) = key.value();
            let Ok(LogKey::History(conversation)) = LogKey::from_text(LogKind::History, log) else { continue };
            let is_meant = match &filter.source {
                Some(source) => filter.matches(&conversation, source),
                // Who received it is what it was found by.
                None => match &conversation {
                    Conversation::Channel(channel_id) => filter.to_channel.as_ref() == Some(channel_id),
                    Conversation::Peers(..) => filter.to_user.as_ref().is_some_and(|user_id| user_id == id),
                },
            };
            if is_meant && !see(conversation, log, place)? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn search(
        &self,
        app: &str,
        span: &HistorySpan,
        newest_first: bool,
        offset: usize,
        limit: usize,
    ) -> Result<StoreAnswer, Fault> {
        let (mut passed, mut found) = (0, Vec::new());
        self.matching(app, span, newest_first, |conversation, log, place| {
            if passed < offset {
                passed += 1;
                return Ok(true);
            }
            let Some(record) = self.entries.get((app, log, place))? else { return Ok(true) };
            match LogEntry::decode(self.kind, record.value()) {
                Ok(entry) => found.extend(entry.into_message().map(|message| (conversation, message))),
                Err(error) => {
                    self.damage.tell(&DamagedRecord::entry(self.kind, app, log, place, error.to_string()));
                }
            }
            Ok(found.len() < limit)
        })?;
        Ok(StoreAnswer::Found(found))
    }

    /// Drops the entries that are too old or too many, of all logs of the kind.
    pub(super) fn expire(&mut self, app: &str, before: u64, keep: Option<usize>) -> Result<(), Fault> {
        let old = self.ages.range((app, 0, 0, "")..(app, before, 0, ""))?;
        let old = old.map(|age| {
            let (key, ()) = (age?.0, ());
            let (_, time, place, log) = key.value();
            Ok((time, place, log.to_owned()))
        });
        for (time, place, log) in old.collect::<Result<Vec<_>, Fault>>()? {
            self.remove(app, &log, place)?;
            self.changed |= self.ages.remove((app, time, place, log.as_str()))?.is_some();
        }
        match keep {
            Some(keep) => self.drop_excess(app, keep.max(1) as u64),
            None => Ok(()),
        }
    }

    /// Drops the oldest entries of each log that has more than so many.
    fn drop_excess(&mut self, app: &str, keep: u64) -> Result<(), Fault> {
        let Some(counts) = &self.counts else { return Ok(()) };
        let mut full = Vec::new();
        for count in counts.range((app, "")..)? {
            let (key, count) = count?;
            let ((project, log), excess) = (key.value(), count.value().saturating_sub(keep));
            if project != app {
                break;
            }
            if excess > 0 {
                full.push((log.to_owned(), excess));
            }
        }
        for (log, excess) in full {
            self.drop_oldest(app, &log, excess)?;
        }
        Ok(())
    }

    fn drop_oldest(&mut self, app: &str, log: &str, excess: u64) -> Result<(), Fault> {
        let oldest = self.entries.range((app, log, 0)..=(app, log, u64::MAX))?;
        let oldest = oldest.take(usize::try_from(excess).unwrap_or(usize::MAX));
        let oldest = oldest.map(|entry| Ok(entry?.0.value().2)).collect::<Result<Vec<_>, Fault>>()?;
        oldest.into_iter().try_for_each(|place| self.remove(app, log, place))
    }
}

/// Who sent a message of a history, and who received it.
pub(super) fn indexed(log: &str, entry: &LogEntry) -> Option<(String, String)> {
    let LogEntry::Message(message) = entry else { return None };
    let LogKey::History(conversation) = LogKey::from_text(LogKind::History, log).ok()? else { return None };
    Some((message.from.to_string(), conversation.destination(&message.from).to_owned()))
}
