//! The tables of the file, and what each kind of work does to them.

use std::{collections::BTreeMap, ops::Range};

use ::redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use rtm_codec::Revision;
use rtm_core::store::{
    Conversation, HistorySpan, LogEntry, LogKey, LogKind, Page, Place, StateKey, StateKind, StateValue, StoreAnswer,
    StoreWork, StoredBytes, record::RecordError,
};

use super::{DamagedRecord, Fault, damage::Damage};

/// All tables of one transaction, each opened when it is first needed.
pub(super) struct Tables<'t> {
    transaction: &'t WriteTransaction,
    damage: &'t Damage,
    logs: [Option<LogTables<'t>>; LogKind::ALL.len()],
    states: [Option<StateTable<'t>>; StateKind::ALL.len()],
    /// The last place that was given in a log that is not by time, once it is needed.
    last_place: Option<u64>,
    /// What the values of each project have become larger by.
    state_growth: BTreeMap<(String, StateKind), i64>,
    changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, damage: &'t Damage) -> Self {
        Self {
            transaction,
            damage,
            logs: Default::default(),
            states: Default::default(),
            last_place: None,
            state_growth: BTreeMap::new(),
            changed: false,
        }
    }

    /// Writes what is left to write.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        if let Some(last) = self.last_place {
            self.transaction.open_table(META)?.insert(META_LAST_PLACE, last)?;
        }
        self.write_growth()
    }

    /// Writes what records have become larger by.
    fn write_growth(&mut self) -> Result<(), Fault> {
        let mut all = Vec::new();
        for tables in self.logs.iter_mut().flatten() {
            let name = tables.kind.name();
            all.extend(std::mem::take(&mut tables.growth).into_iter().map(|(app, grown)| (app, name, grown)));
        }
        let of_states = std::mem::take(&mut self.state_growth).into_iter();
        all.extend(of_states.map(|((app, kind), grown)| (app, kind.name(), grown)));
        if all.is_empty() {
            return Ok(());
        }
        let mut bytes = self.transaction.open_table(BYTES)?;
        for (app, kind, grown) in all {
            let old = bytes.get((app.as_str(), kind))?.map_or(0, |bytes| bytes.value());
            bytes.insert((app.as_str(), kind), old.saturating_add_signed(grown))?;
        }
        Ok(())
    }

    fn measure(&mut self, app: &str) -> Result<StoredBytes, Fault> {
        self.write_growth()?;
        let bytes = self.transaction.open_table(BYTES)?;
        let mut measured = StoredBytes::default();
        for kind in LogKind::ALL {
            *measured.log(kind) = bytes.get((app, kind.name()))?.map_or(0, |bytes| bytes.value());
        }
        for kind in StateKind::ALL {
            if let Some(of_kind) = measured.state(kind) {
                *of_kind = bytes.get((app, kind.name()))?.map_or(0, |bytes| bytes.value());
            }
        }
        Ok(measured)
    }

    /// A value takes so many bytes in place of so many.
    fn replaced(&mut self, app: &str, kind: StateKind, new: usize, old: usize) {
        if StoredBytes::default().state(kind).is_some() {
            *self.state_growth.entry((app.to_owned(), kind)).or_default() += new as i64 - old as i64;
        }
    }

    /// Whether anything was changed.
    pub(super) fn has_changed(&self) -> bool {
        self.changed || self.logs.iter().flatten().any(|tables| tables.changed)
    }

    pub(super) fn work(&mut self, app: &str, work: &StoreWork) -> Result<StoreAnswer, Fault> {
        match work {
            StoreWork::Append { log, entry, keep } => {
                let place = if log.kind().is_by_time() { None } else { Some(self.next_place()?) };
                self.log(log.kind())?.append(app, &log.to_text(), entry, place, *keep)
            }
            StoreWork::Read { log, after, times, limit, max_bytes } => {
                let page = Page::new(*limit, *max_bytes);
                self.log(log.kind())?.read(app, &log.to_text(), *after, times, page)
            }
            StoreWork::Remove { log, places } => {
                let key = log.to_text();
                let tables = self.log(log.kind())?;
                places.iter().try_for_each(|place| tables.remove(app, &key, place.0))?;
                Ok(StoreAnswer::Done)
            }
            StoreWork::Expire { kind, before, keep, max_bytes } => {
                self.log(*kind)?.expire(app, *before, *keep)?;
                if let (Some(max_bytes), Some(log)) = (max_bytes, kind.only_log()) {
                    let excess = self.measure(app)?.log(*kind).saturating_sub(*max_bytes);
                    self.log(*kind)?.drop_bytes(app, &log.to_text(), excess)?;
                }
                Ok(StoreAnswer::Done)
            }
            StoreWork::Measure => Ok(StoreAnswer::Measured(self.measure(app)?)),
            StoreWork::Search { span, newest_first, offset, limit } => {
                self.log(LogKind::History)?.search(app, span, *newest_first, *offset, (*limit).max(1))
            }
            StoreWork::Count { span } => {
                let mut count = 0;
                self.log(LogKind::History)?.matching(app, span, false, |_, _, _| {
                    count += 1;
                    Ok(true)
                })?;
                Ok(StoreAnswer::Counted(count))
            }
            StoreWork::Put { key, value, expected } => self.put(app, key, value, *expected),
            StoreWork::Delete { key, expected } => self.delete(app, key, *expected),
            StoreWork::List { kind, after, max_bytes } => {
                self.list(app, *kind, after.as_ref(), Page::new(usize::MAX, *max_bytes))
            }
        }
    }

    fn log(&mut self, kind: LogKind) -> Result<&mut LogTables<'t>, Fault> {
        let slot = &mut self.logs[kind as usize];
        if slot.is_none() {
            *slot = Some(LogTables::open(self.transaction, self.damage, kind)?);
        }
        Ok(slot.as_mut().expect("it was just opened"))
    }

    fn state(&mut self, kind: StateKind) -> Result<&mut StateTable<'t>, Fault> {
        let slot = &mut self.states[kind as usize];
        if slot.is_none() {
            *slot = Some(self.transaction.open_table(state_table(kind))?);
        }
        Ok(slot.as_mut().expect("it was just opened"))
    }

    /// A place that no entry ever had.
    fn next_place(&mut self) -> Result<Place, Fault> {
        let last = match self.last_place {
            Some(last) => last,
            None => self.transaction.open_table(META)?.get(META_LAST_PLACE)?.map_or(0, |last| last.value()),
        };
        self.last_place = Some(last + 1);
        Ok(Place(last + 1))
    }

    fn delete(&mut self, app: &str, key: &StateKey, expected: Option<Revision>) -> Result<StoreAnswer, Fault> {
        let (kind, damage) = (key.kind(), self.damage);
        let key = key.to_text();
        let table = self.state(kind)?;
        if let Some(expected) = expected {
            let kept =
                table.get((app, &*key))?.and_then(|record| decode_value(kind, app, &key, record.value(), damage));
            if kept.as_ref().is_some_and(|kept| kept.revision() != expected) {
                return Ok(StoreAnswer::Conflict { kept });
            }
        }
        let old = table.remove((app, &*key))?.map(|old| old.value().len());
        if let Some(old) = old {
            self.changed = true;
            self.replaced(app, kind, 0, old);
        }
        Ok(StoreAnswer::Done)
    }

    fn put(
        &mut self,
        app: &str,
        key: &StateKey,
        value: &StateValue,
        expected: Option<Revision>,
    ) -> Result<StoreAnswer, Fault> {
        let (kind, damage) = (key.kind(), self.damage);
        let key = key.to_text();
        let table = self.state(kind)?;
        if let Some(expected) = expected {
            let kept =
                table.get((app, &*key))?.and_then(|record| decode_value(kind, app, &key, record.value(), damage));
            if kept.as_ref().map_or(Revision(0), StateValue::revision) != expected {
                return Ok(StoreAnswer::Conflict { kept });
            }
        }
        let value = value.encode();
        let old = table.insert((app, &*key), value.as_slice())?.map_or(0, |old| old.value().len());
        self.changed = true;
        self.replaced(app, kind, value.len(), old);
        Ok(StoreAnswer::Done)
    }

    fn list(
        &mut self,
        app: &str,
        kind: StateKind,
        after: Option<&StateKey>,
        mut page: Page<(StateKey, StateValue)>,
    ) -> Result<StoreAnswer, Fault> {
        let (after, damage) = (after.map(StateKey::to_text), self.damage);
        for record in self.state(kind)?.range((app, after.as_deref().unwrap_or_default())..)? {
            let (key, value) = record?;
            let (of_project, key) = key.value();
            if of_project != app {
                break;
            }
            if after.as_deref() == Some(key) {
                continue;
            }
            let Some(value) = decode_value(kind, app, key, value.value(), damage) else { continue };
            let Ok(key) = StateKey::from_text(kind, key) else { continue };
            let bytes = value.bytes();
            if !page.push((key, value), bytes) {
                break;
            }
        }
        Ok(StoreAnswer::Values { values: page.items, more: page.more })
    }
}

/// The tables of all logs of a kind.
struct LogTables<'t> {
    damage: &'t Damage,
    kind: LogKind,
    entries: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    ages: Table<'t, (&'static str, u64, u64, &'static str), ()>,
    /// For history: where messages are by who sent them, and by who received them.
    index: Option<[IndexTable<'t>; 2]>,
    /// For a kind that is counted.
    counts: Option<Table<'t, (&'static str, &'static str), u64>>,
    /// For a kind that tells it: up to which place entries went.
    dropped: Option<Table<'t, (&'static str, &'static str), u64>>,
    /// What the entries of each project have become larger by.
    growth: BTreeMap<String, i64>,
    changed: bool,
}

type IndexTable<'t> = Table<'t, (&'static str, &'static str, u64, &'static str), ()>;
type StateTable<'t> = Table<'t, (&'static str, &'static str), &'static [u8]>;

impl<'t> LogTables<'t> {
    fn open(transaction: &'t WriteTransaction, damage: &'t Damage, kind: LogKind) -> Result<Self, Fault> {
        let LogTable { entries, ages, counts } = log_table(kind);
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
            dropped: if kind.tells_dropped() { Some(transaction.open_table(DROPPED)?) } else { None },
            growth: BTreeMap::new(),
            changed: false,
        })
    }

    /// Appends an entry, at a place of its time unless one is given.
    fn append(
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
        let mut dropped = 0;
        if let Some(counts) = &mut self.counts {
            let count = counts.get((app, log))?.map_or(0, |count| count.value()) + 1;
            counts.insert((app, log), count)?;
            dropped = keep.map_or(0, |keep| count.saturating_sub(keep.max(1) as u64) as usize);
        }
        if dropped > 0 {
            let oldest = self.entries.range((app, log, 0)..=(app, log, u64::MAX))?.take(dropped);
            let oldest = oldest.map(|entry| Ok(entry?.0.value().2)).collect::<Result<Vec<_>, Fault>>()?;
            oldest.into_iter().try_for_each(|place| self.remove(app, log, place))?;
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

    fn read(
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
        let dropped_to = match &self.dropped {
            Some(dropped) => dropped.get((app, log))?.map_or(0, |place| place.value()),
            None => 0,
        };
        Ok(StoreAnswer::Entries { entries: page.items, more: page.more, dropped_to: Place(dropped_to) })
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

    fn remove(&mut self, app: &str, log: &str, place: u64) -> Result<(), Fault> {
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
        if let Some(counts) = &mut self.counts {
            let count = counts.get((app, log))?.map_or(0, |count| count.value());
            if count > 1 {
                counts.insert((app, log), count - 1)?;
            } else {
                counts.remove((app, log))?;
            }
        }
        Ok(())
    }

    fn grow(&mut self, app: &str, bytes: i64) {
        match self.growth.get_mut(app) {
            Some(grown) => *grown += bytes,
            None => _ = self.growth.insert(app.to_owned(), bytes),
        }
    }

    /// Shows `see` the messages that are meant, as long as it wants more.
    fn matching(
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

    fn search(
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

    fn expire(&mut self, app: &str, before: u64, keep: Option<usize>) -> Result<(), Fault> {
        let old = self.ages.range((app, 0, 0, "")..(app, before, 0, ""))?;
        let old = old.map(|age| {
            let (key, ()) = (age?.0, ());
            let (_, time, place, log) = key.value();
            Ok((time, place, log.to_owned()))
        });
        for (time, place, log) in old.collect::<Result<Vec<_>, Fault>>()? {
            self.remove(app, &log, place)?;
            self.changed |= self.ages.remove((app, time, place, log.as_str()))?.is_some();
            self.tell_dropped(app, &log, place)?;
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
            let log = log.as_str();
            let oldest = self.entries.range((app, log, 0)..=(app, log, u64::MAX))?;
            let oldest = oldest.take(usize::try_from(excess).unwrap_or(usize::MAX));
            let oldest = oldest.map(|entry| Ok(entry?.0.value().2)).collect::<Result<Vec<_>, Fault>>()?;
            for place in oldest {
                self.remove(app, log, place)?;
                self.tell_dropped(app, log, place)?;
            }
        }
        Ok(())
    }

    /// Drops the oldest entries of a log, until so many bytes are gone.
    fn drop_bytes(&mut self, app: &str, log: &str, excess: u64) -> Result<(), Fault> {
        let (mut gone, mut oldest) = (0, Vec::new());
        if excess > 0 {
            for entry in self.entries.range((app, log, 0)..=(app, log, u64::MAX))? {
                let (key, record) = entry?;
                oldest.push(key.value().2);
                gone += record.value().len() as u64;
                if gone >= excess {
                    break;
                }
            }
        }
        for place in oldest {
            self.remove(app, log, place)?;
            self.tell_dropped(app, log, place)?;
        }
        Ok(())
    }

    /// An entry went that was too old, or one too many.
    fn tell_dropped(&mut self, app: &str, log: &str, place: u64) -> Result<(), Fault> {
        let Some(dropped) = &mut self.dropped else { return Ok(()) };
        let last = dropped.get((app, log))?.map_or(0, |last| last.value());
        if place > last {
            dropped.insert((app, log), place)?;
        }
        Ok(())
    }
}

/// A value, unless its record is damaged.
pub(super) fn decode_value(
    kind: StateKind,
    app: &str,
    key: &str,
    record: &[u8],
    damage: &Damage,
) -> Option<StateValue> {
    let tell = |error: RecordError| {
        damage.tell(&DamagedRecord::new(format!("{} {app} {key:?} in part", kind.name()), error.to_string()));
    };
    StateValue::decode(kind, record).map_err(tell).ok()
}

/// Who sent a message of a history, and who received it.
pub(super) fn indexed(log: &str, entry: &LogEntry) -> Option<(String, String)> {
    let LogEntry::Message(message) = entry else { return None };
    let LogKey::History(conversation) = LogKey::from_text(LogKind::History, log).ok()? else { return None };
    Some((message.from.to_string(), conversation.destination(&message.from).to_owned()))
}

/// (project, sender, place, log) and (project, receiver, place, log) of each message of a history.
pub(super) const BY_SOURCE: IndexDefinition = TableDefinition::new("history_by_source");
pub(super) const BY_DESTINATION: IndexDefinition = TableDefinition::new("history_by_destination");
type IndexDefinition = TableDefinition<'static, (&'static str, &'static str, u64, &'static str), ()>;

/// The names of the tables of a kind of logs.
pub(super) struct LogTable {
    /// (project, log, place) to entry.
    pub(super) entries: TableDefinition<'static, (&'static str, &'static str, u64), &'static [u8]>,
    /// (project, time, place, log).
    pub(super) ages: TableDefinition<'static, (&'static str, u64, u64, &'static str), ()>,
    /// (project, log) to how many entries it has.
    pub(super) counts: TableDefinition<'static, (&'static str, &'static str), u64>,
}

pub(super) fn log_table(kind: LogKind) -> LogTable {
    let [entries, ages, counts] = match kind {
        LogKind::Stored => ["log_stored", "ages_stored", "counts_stored"],
        LogKind::History => ["log_history", "ages_history", "counts_history"],
        LogKind::Events => ["log_events", "ages_events", "counts_events"],
    };
    LogTable {
        entries: TableDefinition::new(entries),
        ages: TableDefinition::new(ages),
        counts: TableDefinition::new(counts),
    }
}

/// (project, log) to the last place whose entry went, of events.
pub(super) const DROPPED: TableDefinition<'static, (&'static str, &'static str), u64> =
    TableDefinition::new("dropped_events");

/// (project, name of a kind) to how many bytes its records have.
pub(super) const BYTES: TableDefinition<'static, (&'static str, &'static str), u64> = TableDefinition::new("bytes");

/// (project, key) to value.
pub(super) fn state_table(kind: StateKind) -> TableDefinition<'static, (&'static str, &'static str), &'static [u8]> {
    TableDefinition::new(match kind {
        StateKind::ChannelAttributes => "state_channel_attributes",
        StateKind::ForgottenRevision => "state_forgotten_revision",
        StateKind::Subscriptions => "state_subscriptions",
        StateKind::Restrictions => "state_restrictions",
        StateKind::EventCursor => "state_event_cursors",
    })
}

/// The file's format, and the last place.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const META_VERSION: &str = "version";
pub(super) const META_LAST_PLACE: &str = "last_place";
