//! The tables of the logs of events: each project has one log, whose events are kept in runs.
//!
//! A run has the events that were appended to a log in one transaction. The oldest events are in front, so that those that are too old
//! are found without an index. Only if a clock went back, a run has events that are older than some in front of it: the table of
//! stragglers has such runs by the time of their oldest event.

use std::{collections::BTreeMap, ops::Range};

use ::redb::{
    AccessGuard, ReadTransaction, ReadableTable, ReadableTableMetadata as _, StorageError, Table, TableDefinition,
    WriteTransaction,
};
use rtm_core::{
    LoggedEvent,
    store::{LogEntry, LogKey, LogKind, Page, Place, StoreAnswer, record::RecordError},
};

use super::{
    DamagedRecord, Fault,
    damage::Damage,
    left_open::LeftOpen,
    run::{Header, Run, RunEvent},
};

/// The tables of all logs of events.
pub(super) struct EventTables<'t> {
    damage: &'t Damage,
    runs: Table<'t, (&'static str, u64), &'static [u8]>,
    heads: Table<'t, &'static str, HeadRow>,
    stragglers: Table<'t, (&'static str, u64, u64), ()>,
    /// The logs that were used, with what was appended to them and is not in the tables yet.
    open: BTreeMap<String, Open>,
    pub(super) changed: bool,
}

/// What is known of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Head {
    /// How many events it has.
    pub(super) count: u64,
    /// How many bytes they take, without what saves some of these.
    pub(super) bytes: u64,
    /// No event that it ever had is newer.
    pub(super) newest: u64,
    /// Up to which place events went that were too old or too many.
    pub(super) dropped_to: u64,
}

/// A [`Head`], its parts in order.
type HeadRow = (u64, u64, u64, u64);

#[derive(Default)]
struct Open {
    head: Head,
    /// Whether the head differs from the one in the table.
    is_changed: bool,
    run: Run,
}

type RunGuards<'a> = (AccessGuard<'a, (&'static str, u64)>, AccessGuard<'a, &'static [u8]>);

impl From<HeadRow> for Head {
    fn from((count, bytes, newest, dropped_to): HeadRow) -> Self {
        Self { count, bytes, newest, dropped_to }
    }
}

impl From<Head> for HeadRow {
    fn from(Head { count, bytes, newest, dropped_to }: Head) -> Self {
        (count, bytes, newest, dropped_to)
    }
}

impl<'t> EventTables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, damage: &'t Damage) -> Result<Self, Fault> {
        Ok(Self {
            damage,
            runs: transaction.open_table(RUNS)?,
            heads: transaction.open_table(HEADS)?,
            stragglers: transaction.open_table(STRAGGLERS)?,
            open: BTreeMap::new(),
            changed: false,
        })
    }

    /// Appends events to a project's log, in places from `first` on. Gives the last of these.
    pub(super) fn append(&mut self, app: &str, events: &[LoggedEvent], first: Place) -> Result<Place, Fault> {
        let (mut place, mut rest) = (first.0, events);
        while !rest.is_empty() {
            self.changed = true;
            let open = self.head(app)?;
            while let Some((LoggedEvent { time, event }, behind)) = rest.split_first() {
                open.run.push(place, *time, event);
                (place, rest) = (place + 1, behind);
                if open.run.is_full() {
                    break;
                }
            }
            self.write_full(app)?;
        }
        Ok(Place(place.saturating_sub(1)))
    }

    /// Appends an event of which there are only the bytes, behind all others.
    pub(super) fn append_bytes(&mut self, app: &str, place: u64, time: u64, event: &[u8]) -> Result<(), Fault> {
        self.changed = true;
        self.head(app)?.run.push_bytes(place, time, event);
        self.write_full(app)
    }

    fn write_full(&mut self, app: &str) -> Result<(), Fault> {
        if self.head(app)?.run.is_full() { self.write_run(app) } else { Ok(()) }
    }

    /// A log, to be changed.
    fn head(&mut self, app: &str) -> Result<&mut Open, Fault> {
        if !self.open.contains_key(app) {
            let head = self.heads.get(app)?.map_or_else(Head::default, |head| head.value().into());
            self.open.insert(app.to_owned(), Open { head, ..Open::default() });
        }
        Ok(self.open.get_mut(app).expect("it was just put in"))
    }

    /// Writes all that was appended.
    pub(super) fn write(&mut self) -> Result<(), Fault> {
        let apps: Vec<_> = self.open.keys().cloned().collect();
        for app in &apps {
            self.write_run(app)?;
        }
        for (app, open) in std::mem::take(&mut self.open) {
            if open.is_changed {
                self.heads.insert(app.as_str(), HeadRow::from(open.head))?;
            }
        }
        Ok(())
    }

    /// Says where a log begins of which nothing is there yet, as the file of an older format has it.
    pub(super) fn set_dropped_to(&mut self, app: &str, place: u64) -> Result<(), Fault> {
        self.changed = true;
        let open = self.head(app)?;
        (open.head.dropped_to, open.is_changed) = (place, true);
        Ok(())
    }

    /// Writes what was appended to a log.
    fn write_run(&mut self, app: &str) -> Result<(), Fault> {
        let Some(Open { head, is_changed, run }) = self.open.get_mut(app) else { return Ok(()) };
        let Some(last) = run.last() else { return Ok(()) };
        let (header, record) = run.encode();
        self.runs.insert((app, last), record.as_slice())?;
        if header.oldest < head.newest {
            self.stragglers.insert((app, header.oldest, last), ())?;
        }
        head.count += header.count;
        head.bytes += header.bytes;
        head.newest = header.newest.max(head.newest);
        *is_changed = true;
        run.clear();
        Ok(())
    }

    /// How many bytes the events of a project take.
    pub(super) fn bytes(&mut self, app: &str) -> Result<u64, Fault> {
        self.write_run(app)?;
        Ok(self.head(app)?.head.bytes)
    }

    pub(super) fn read(
        &mut self,
        app: &str,
        after: Option<Place>,
        times: &Range<u64>,
        mut page: Page<(Place, LogEntry)>,
    ) -> Result<StoreAnswer, Fault> {
        self.write_run(app)?;
        let mut found = 0;
        let after_place = after.map_or(0, |after| after.0);
        'page: for entry in self.behind(app, after)? {
            let (key, record) = entry?;
            let last = key.value().1;
            let run = match Run::decode(last, record.value()) {
                Ok(run) => run,
                Err(error) => {
                    found += Header::weight(record.value()).0;
                    self.tell(app, last, error);
                    continue;
                }
            };
            for event in run.events() {
                found += 1;
                if after.is_some() && event.place <= after_place || !times.contains(&event.time) {
                    continue;
                }
                match run.event(event).map(LogEntry::Event) {
                    Ok(entry) => {
                        let bytes = entry.bytes();
                        if !page.push((Place(event.place), entry), bytes) {
                            break 'page;
                        }
                    }
                    Err(error) => self.tell(app, event.place, error),
                }
            }
        }
        let Head { count, dropped_to, .. } = self.head(app)?.head;
        if after.is_none() && !page.more && found < count {
            // It has lost events without any fault in reading it.
            let place = format!("{} {app} {:?} in part", LogKind::Events.name(), LogKey::Events.to_text());
            let fault = format!("it should have {count} entries, and {found} can be read");
            self.damage.tell(&DamagedRecord::new(place, fault));
        }
        Ok(StoreAnswer::Entries { entries: page.items, more: page.more, dropped_to: Place(dropped_to) })
    }

    /// The runs that have events behind a place.
    fn behind(
        &self,
        app: &str,
        after: Option<Place>,
    ) -> Result<impl Iterator<Item = Result<RunGuards<'_>, StorageError>>, Fault> {
        let first = match after {
            None => Some(0),
            Some(after) => after.0.checked_add(1),
        };
        let runs = first.map(|first| self.runs.range((app, first)..=(app, u64::MAX))).transpose()?;
        Ok(runs.into_iter().flatten())
    }

    fn tell(&self, app: &str, place: u64, error: RecordError) {
        self.damage.tell(&damaged(app, place, error.to_string()));
    }

    /// Removes an event.
    pub(super) fn remove(&mut self, app: &str, place: u64) -> Result<(), Fault> {
        self.write_run(app)?;
        let after = place.checked_sub(1).map(Place);
        let last = match self.behind(app, after)?.next().transpose()? {
            Some((key, _)) => key.value().1,
            None => return Ok(()),
        };
        // Others are in a damaged run, which are not to be removed.
        let Some(mut run) = self.run(app, last)? else { return Ok(()) };
        let oldest = run.oldest();
        run.retain(|event| event.place != place);
        self.replace(app, last, oldest, &run)
    }

    /// The events of a run, unless it is damaged.
    fn run(&self, app: &str, last: u64) -> Result<Option<Run>, Fault> {
        Ok(self.runs.get((app, last))?.and_then(|record| Run::decode(last, record.value()).ok()))
    }

    /// Drops the events of a log that are too old, then the oldest of those that are too many, and then the oldest of those that take
    /// too many bytes.
    pub(super) fn expire(
        &mut self,
        before: u64,
        keep: Option<usize>,
        max_bytes: Option<u64>,
        left_open: &mut LeftOpen<'_, '_>,
    ) -> Result<(), Fault> {
        let app = left_open.app;
        self.write_run(app)?;
        self.drop_old_stragglers(before, left_open)?;
        self.drop_old(before, left_open)?;
        if let Some(keep) = keep {
            self.drop_excess(keep.max(1) as u64, left_open)?;
        }
        if let Some(max_bytes) = max_bytes {
            self.drop_bytes(max_bytes, left_open)?;
        }
        Ok(())
    }

    fn drop_old_stragglers(&mut self, before: u64, left_open: &mut LeftOpen<'_, '_>) -> Result<(), Fault> {
        let app = left_open.app;
        let mut old = Vec::new();
        for straggler in self.stragglers.range((app, 0, 0)..(app, before, 0))? {
            let (_, oldest, last) = straggler?.0.value();
            old.push((oldest, last));
        }
        for (oldest, last) in old {
            match self.run(app, last)? {
                Some(run) => self.drop_some(last, run, |event| event.time < before, left_open)?,
                // What a damaged run has left goes when its time has come.
                None => self.changed |= self.stragglers.remove((app, oldest, last))?.is_some(),
            }
        }
        Ok(())
    }

    /// Drops from the front what is too old. Damaged runs go with what is behind them.
    fn drop_old(&mut self, before: u64, left_open: &mut LeftOpen<'_, '_>) -> Result<(), Fault> {
        let app = left_open.app;
        let (mut old, mut damaged) = (Vec::new(), Vec::new());
        for entry in self.behind(app, None)? {
            let (key, record) = entry?;
            let last = key.value().1;
            match Header::read(record.value()) {
                Err(_) => damaged.push((last, None)),
                Ok(header) if header.oldest >= before => break,
                Ok(header) => {
                    old.append(&mut damaged);
                    old.push((last, Some(header)));
                }
            }
        }
        for (last, header) in old {
            match header.filter(|header| header.newest >= before) {
                Some(_) => {
                    if let Some(run) = self.run(app, last)? {
                        self.drop_some(last, run, |event| event.time < before, left_open)?;
                    }
                }
                None => self.drop_run(last, header, left_open)?,
            }
        }
        Ok(())
    }

    fn drop_excess(&mut self, keep: u64, left_open: &mut LeftOpen<'_, '_>) -> Result<(), Fault> {
        let app = left_open.app;
        loop {
            let excess = self.head(app)?.head.count.saturating_sub(keep);
            let (true, Some((last, header))) = (excess > 0, self.first(app)?) else { return Ok(()) };
            match (header.filter(|header| header.count > excess), self.run(app, last)?) {
                (Some(_), Some(run)) => self.drop_first(last, run, excess as usize, left_open)?,
                _ => self.drop_run(last, header, left_open)?,
            }
        }
    }

    fn drop_bytes(&mut self, max_bytes: u64, left_open: &mut LeftOpen<'_, '_>) -> Result<(), Fault> {
        let app = left_open.app;
        loop {
            let excess = self.head(app)?.head.bytes.saturating_sub(max_bytes);
            let (true, Some((last, header))) = (excess > 0, self.first(app)?) else { return Ok(()) };
            match (header.filter(|header| header.bytes > excess), self.run(app, last)?) {
                (Some(_), Some(run)) => {
                    let count = run.first_with(excess);
                    self.drop_first(last, run, count, left_open)?;
                }
                _ => self.drop_run(last, header, left_open)?,
            }
        }
    }

    /// The first run of a log, with its header unless it is damaged.
    fn first(&self, app: &str) -> Result<Option<(u64, Option<Header>)>, Fault> {
        let first = self.behind(app, None)?.next().transpose()?;
        Ok(first.map(|(key, record)| (key.value().1, Header::read(record.value()).ok())))
    }

    fn drop_first(
        &mut self,
        last: u64,
        run: Run,
        mut count: usize,
        left_open: &mut LeftOpen<'_, '_>,
    ) -> Result<(), Fault> {
        let is_first = |_: &RunEvent| {
            let is_first = count > 0;
            count = count.saturating_sub(1);
            is_first
        };
        self.drop_some(last, run, is_first, left_open)
    }

    /// Drops those events of a run that `goes` names.
    fn drop_some(
        &mut self,
        last: u64,
        mut run: Run,
        goes: impl FnMut(&RunEvent) -> bool,
        left_open: &mut LeftOpen<'_, '_>,
    ) -> Result<(), Fault> {
        let going: Vec<_> = run.events().iter().map(goes).collect();
        let mut dropped_to = 0;
        for (event, _) in run.events().iter().zip(&going).filter(|(_, goes)| **goes) {
            dropped_to = event.place;
            // One that cannot be read is told of where it is read.
            if let Ok(logged) = run.event(event) {
                left_open.see(logged.event)?;
            }
        }
        let oldest = run.oldest();
        let mut going = going.into_iter();
        run.retain(|_| going.next() == Some(false));
        self.replace(left_open.app, last, oldest, &run)?;
        self.dropped(left_open.app, dropped_to)
    }

    /// Drops a whole run. It has no header if it is damaged.
    fn drop_run(&mut self, last: u64, header: Option<Header>, left_open: &mut LeftOpen<'_, '_>) -> Result<(), Fault> {
        if let Some(run) = self.run(left_open.app, last)? {
            return self.drop_some(last, run, |_| true, left_open);
        }
        self.replace(left_open.app, last, header.map_or(0, |header| header.oldest), &Run::default())?;
        self.dropped(left_open.app, last)
    }

    fn dropped(&mut self, app: &str, place: u64) -> Result<(), Fault> {
        let open = self.head(app)?;
        (open.head.dropped_to, open.is_changed) = (place.max(open.head.dropped_to), true);
        Ok(())
    }

    /// Puts what is left of a run in its place.
    fn replace(&mut self, app: &str, last: u64, oldest: u64, left: &Run) -> Result<(), Fault> {
        let old = self.runs.remove((app, last))?.map(|old| Header::weight(old.value()));
        let Some(old) = old else { return Ok(()) };
        self.changed = true;
        let was_straggler = !self.stragglers.is_empty()? && self.stragglers.remove((app, oldest, last))?.is_some();
        let mut new = (0, 0);
        if let Some(last) = left.last() {
            let (header, record) = left.encode();
            new = (header.count, header.bytes);
            self.runs.insert((app, last), record.as_slice())?;
            if was_straggler {
                self.stragglers.insert((app, header.oldest, last), ())?;
            }
        }
        let Open { head, is_changed, .. } = self.head(app)?;
        head.count = (head.count + new.0).saturating_sub(old.0);
        head.bytes = (head.bytes + new.1).saturating_sub(old.1);
        *is_changed = true;
        Ok(())
    }
}

/// How many events all projects have.
pub(super) fn count(transaction: &ReadTransaction) -> Result<u64, Fault> {
    let mut count = 0;
    for head in transaction.open_table(HEADS)?.iter()? {
        count += Head::from(head?.1.value()).count;
    }
    Ok(count)
}

/// A run or an event that cannot be read.
pub(super) fn damaged(app: &str, place: u64, fault: impl Into<String>) -> DamagedRecord {
    DamagedRecord::entry(LogKind::Events, app, &LogKey::Events.to_text(), place, fault)
}

/// (project, place of the last event) to the events of a run.
pub(super) const RUNS: TableDefinition<'static, (&'static str, u64), &'static [u8]> =
    TableDefinition::new("runs_events");
/// (project) to what is known of its log.
pub(super) const HEADS: TableDefinition<'static, &'static str, HeadRow> = TableDefinition::new("heads_events");
/// (project, time of the oldest event, place of the last event) of each run that has an event older than one in front of the run.
pub(super) const STRAGGLERS: TableDefinition<'static, (&'static str, u64, u64), ()> =
    TableDefinition::new("stragglers_events");
