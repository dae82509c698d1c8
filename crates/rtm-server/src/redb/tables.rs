//! The tables of the file, and what each kind of work does to them.

use std::collections::BTreeMap;

use ::redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use rtm_codec::Revision;
use rtm_core::{
    EventTypes, LoggedEvent,
    store::{
        LogEntry, LogKey, LogKind, Page, Place, StateKey, StateKind, StateValue, StoreAnswer, StoreWork, StoredBytes,
        record::RecordError,
    },
};

use super::{DamagedRecord, Fault, damage::Damage, events::EventTables, left_open::LeftOpen, logs::LogTables};

/// All tables of one transaction, each opened when it is first needed.
pub(super) struct Tables<'t> {
    transaction: &'t WriteTransaction,
    damage: &'t Damage,
    logs: [Option<LogTables<'t>>; LogKind::ALL.len()],
    events: Option<EventTables<'t>>,
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
            events: None,
            states: Default::default(),
            last_place: None,
            state_growth: BTreeMap::new(),
            changed: false,
        }
    }

    /// Writes what is left to write.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        self.events.iter_mut().try_for_each(EventTables::write)?;
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
        let mut measured = StoredBytes { events: self.events()?.bytes(app)?, ..StoredBytes::default() };
        let bytes = self.transaction.open_table(BYTES)?;
        for kind in LogKind::ALL.into_iter().filter(|kind| log_table(*kind).is_some()) {
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
        self.changed
            || self.logs.iter().flatten().any(|tables| tables.changed)
            || self.events.iter().any(|tables| tables.changed)
    }

    pub(super) fn work(&mut self, app: &str, work: &StoreWork) -> Result<StoreAnswer, Fault> {
        match work {
            StoreWork::Append { log: LogKey::Events, entry: LogEntry::Event(event), .. } => {
                let place = self.append_events(app, std::slice::from_ref(event))?;
                Ok(StoreAnswer::Appended { place, dropped: 0 })
            }
            StoreWork::AppendEvents { events, .. } => {
                let last = self.append_events(app, events)?;
                Ok(StoreAnswer::EventsAppended { last, missing: Vec::new() })
            }
            StoreWork::Append { log, entry, keep } => {
                let place = if log.kind().is_by_time() { None } else { Some(self.next_place(1)?) };
                self.log(log.kind())?.append(app, &log.to_text(), entry, place, *keep)
            }
            StoreWork::Read { log: LogKey::Events, after, times, limit, max_bytes } => {
                self.events()?.read(app, *after, times, Page::new(*limit, *max_bytes))
            }
            StoreWork::Read { log, after, times, limit, max_bytes } => {
                let page = Page::new(*limit, *max_bytes);
                self.log(log.kind())?.read(app, &log.to_text(), *after, times, page)
            }
            StoreWork::Remove { log: LogKey::Events, places } => {
                let events = self.events()?;
                places.iter().try_for_each(|place| events.remove(app, place.0))?;
                Ok(StoreAnswer::Done)
            }
            StoreWork::Remove { log, places } => {
                let key = log.to_text();
                let tables = self.log(log.kind())?;
                places.iter().try_for_each(|place| tables.remove(app, &key, place.0))?;
                Ok(StoreAnswer::Done)
            }
            StoreWork::Expire { kind: LogKind::Events, before, keep, max_bytes, written } => {
                self.expire_events(app, *before, *keep, *max_bytes, *written)?;
                Ok(StoreAnswer::Done)
            }
            StoreWork::Expire { kind, before, keep, .. } => {
                self.log(*kind)?.expire(app, *before, *keep)?;
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

    /// The logs of a kind of which a project has many.
    fn log(&mut self, kind: LogKind) -> Result<&mut LogTables<'t>, Fault> {
        let slot = &mut self.logs[kind as usize];
        if slot.is_none() {
            let table = log_table(kind).ok_or(RecordError::Kind)?;
            *slot = Some(LogTables::open(self.transaction, self.damage, kind, table)?);
        }
        Ok(slot.as_mut().expect("it was just opened"))
    }

    fn events(&mut self) -> Result<&mut EventTables<'t>, Fault> {
        if self.events.is_none() {
            self.events = Some(EventTables::open(self.transaction, self.damage)?);
        }
        Ok(self.events.as_mut().expect("it was just opened"))
    }

    fn state(&mut self, kind: StateKind) -> Result<&mut StateTable<'t>, Fault> {
        let slot = &mut self.states[kind as usize];
        if slot.is_none() {
            *slot = Some(self.transaction.open_table(state_table(kind))?);
        }
        Ok(slot.as_mut().expect("it was just opened"))
    }

    /// Appends events, and says where the last of them is.
    fn append_events(&mut self, app: &str, events: &[LoggedEvent]) -> Result<Place, Fault> {
        let first = self.next_place(events.len() as u64)?;
        self.events()?.append(app, events, first)
    }

    /// Drops the oldest events of a log, and keeps what they leave open.
    fn expire_events(
        &mut self,
        app: &str,
        before: u64,
        keep: Option<usize>,
        max_bytes: Option<u64>,
        written: EventTypes,
    ) -> Result<(), Fault> {
        self.events()?;
        self.state(StateKind::Open)?;
        let damage = self.damage;
        let (Some(events), Some(table)) = (self.events.as_mut(), self.states[StateKind::Open as usize].as_mut()) else {
            return Ok(());
        };
        let mut left_open = LeftOpen::new(app, table, damage, written);
        events.expire(before, keep, max_bytes, &mut left_open)?;
        left_open.write()
    }

    /// The first of so many places, one after the other, that no entry ever had.
    fn next_place(&mut self, count: u64) -> Result<Place, Fault> {
        let last = match self.last_place {
            Some(last) => last,
            None => self.transaction.open_table(META)?.get(META_LAST_PLACE)?.map_or(0, |last| last.value()),
        };
        self.last_place = Some(last + count);
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

pub(super) type StateTable<'t> = Table<'t, (&'static str, &'static str), &'static [u8]>;

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

/// (project, sender, place, log) and (project, receiver, place, log) of each message of a history.
pub(super) const BY_SOURCE: IndexDefinition = TableDefinition::new("history_by_source");
pub(super) const BY_DESTINATION: IndexDefinition = TableDefinition::new("history_by_destination");
type IndexDefinition = TableDefinition<'static, (&'static str, &'static str, u64, &'static str), ()>;

/// The names of the tables of a kind of logs of which a project has many.
pub(super) struct LogTable {
    /// (project, log, place) to entry.
    pub(super) entries: TableDefinition<'static, (&'static str, &'static str, u64), &'static [u8]>,
    /// (project, time, place, log) of each entry.
    pub(super) ages: TableDefinition<'static, (&'static str, u64, u64, &'static str), ()>,
    /// (project, log) to how many entries it has.
    pub(super) counts: TableDefinition<'static, (&'static str, &'static str), u64>,
}

/// `None` for events, which have [tables of their own](EventTables).
pub(super) fn log_table(kind: LogKind) -> Option<&'static LogTable> {
    match kind {
        LogKind::Stored => Some(&STORED),
        LogKind::History => Some(&HISTORY),
        LogKind::Events => None,
    }
}

pub(super) const STORED: LogTable = LogTable {
    entries: TableDefinition::new("log_stored"),
    ages: TableDefinition::new("ages_stored"),
    counts: TableDefinition::new("counts_stored"),
};

pub(super) const HISTORY: LogTable = LogTable {
    entries: TableDefinition::new("log_history"),
    ages: TableDefinition::new("ages_history"),
    counts: TableDefinition::new("counts_history"),
};

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
        StateKind::AcceptedEvents => "state_accepted_events",
        StateKind::Open => "state_open",
    })
}

/// The file's format, and the last place.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const META_VERSION: &str = "version";
pub(super) const META_LAST_PLACE: &str = "last_place";
