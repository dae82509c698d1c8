//! A backend that keeps everything in memory, up to a bound.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::{Bound, Range},
    sync::Arc,
};

use rtm_codec::{AppId, Revision};

use super::{
    Backend, BackendError, BackendKind, BackendStats, Conversation, HistorySpan, LogEntry, LogKey, LogKind, Page,
    Place, StateKey, StateKind, StateValue, StoreAnswer, StoreWork, StoredBytes, StoredMessage, Task,
};

/// Keeps everything in memory: it is gone when the server ends.
///
/// What its logs may hold in all is bounded; beyond that, first entries go: each time that of the log whose first
/// entry is the oldest. State is bounded by the
/// core of each project, as [`Settings`](crate::Settings) says.
#[derive(Debug)]
pub struct Memory {
    /// Those that are not empty.
    logs: BTreeMap<(Arc<AppId>, LogKey), Log>,
    /// The same by the time of their first entry.
    by_age: BTreeSet<(u64, Arc<AppId>, LogKey)>,
    /// What of it is history, by who sent it, and by who received it.
    by_source: BTreeSet<Indexed>,
    by_destination: BTreeSet<Indexed>,
    state: BTreeMap<(Arc<AppId>, StateKey), StateValue>,
    /// Up to which place entries went, of logs that tell it.
    dropped_to: BTreeMap<(Arc<AppId>, LogKey), Place>,
    /// Each project, and how much is kept of it.
    projects: BTreeMap<Arc<AppId>, StoredBytes>,
    stats: BackendStats,
    last_place: u64,
    bytes: usize,
    capacity: usize,
}

/// The entries of a log, in the order of their places.
#[derive(Debug, Default)]
struct Log(VecDeque<(Place, LogEntry)>);

impl Log {
    fn insert(&mut self, place: Place, entry: LogEntry) {
        let at = match self.0.back() {
            Some((last, _)) if *last >= place => self.before(place),
            _ => self.0.len(),
        };
        if self.0.capacity() == 0 {
            // Many logs never have a second entry.
            self.0.reserve_exact(1);
        }
        self.0.insert(at, (place, entry));
    }

    fn remove(&mut self, place: Place) -> Option<LogEntry> {
        let at = self.find(place)?;
        let (_, entry) = self.0.remove(at)?;
        if self.0.capacity() > FEW.max(4 * self.0.len()) {
            self.0.shrink_to(2 * self.0.len());
        }
        Some(entry)
    }

    fn get(&self, place: Place) -> Option<&LogEntry> {
        self.0.get(self.find(place)?).map(|(_, entry)| entry)
    }

    fn find(&self, place: Place) -> Option<usize> {
        self.0.binary_search_by_key(&place, |(at, _)| *at).ok()
    }

    /// How many entries are before a place.
    fn before(&self, place: Place) -> usize {
        self.0.partition_point(|(at, _)| *at < place)
    }

    /// The last place of a time, in a log by time.
    fn last_at(&self, time: u64) -> Option<Place> {
        let (place, _) = self.0.get(self.before(Place::last_at(time).next()).checked_sub(1)?)?;
        Some(*place).filter(|place| *place >= Place::first_at(time))
    }

    /// The places of the entries of which `is_meant` holds, in order.
    fn places(&self, is_meant: impl Fn(&LogEntry) -> bool) -> Vec<Place> {
        self.0.iter().filter(|(_, entry)| is_meant(entry)).map(|(place, _)| *place).collect()
    }

    /// The first places, at most so many.
    fn first_places(&self, most: usize) -> Vec<Place> {
        self.0.iter().take(most).map(|(place, _)| *place).collect()
    }

    fn first_time(&self) -> Option<u64> {
        self.0.front().map(|(_, entry)| entry.time())
    }
}

impl Memory {
    /// What a server without a data directory keeps at most: 512 MiB.
    pub const DEFAULT_CAPACITY: usize = 512 * 1024 * 1024;

    /// How many events of each project it keeps, about.
    const MOST_EVENTS: usize = 100_000;

    /// An empty store whose entries may take `capacity` bytes, their bookkeeping included.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            logs: BTreeMap::new(),
            by_age: BTreeSet::new(),
            by_source: BTreeSet::new(),
            by_destination: BTreeSet::new(),
            state: BTreeMap::new(),
            dropped_to: BTreeMap::new(),
            projects: BTreeMap::new(),
            stats: BackendStats::default(),
            last_place: 0,
            bytes: 0,
            capacity,
        }
    }

    fn work(&mut self, app_id: &Arc<AppId>, work: StoreWork) -> StoreAnswer {
        match work {
            StoreWork::Append { log, entry, keep } => self.append(app_id, &log, entry, keep),
            StoreWork::AppendEvents { events, .. } => {
                for event in events {
                    self.append(app_id, &LogKey::Events, LogEntry::Event(event), None);
                }
                StoreAnswer::EventsAppended { last: Place(self.last_place), missing: Vec::new() }
            }
            StoreWork::Read { log, after, times, limit, max_bytes } => {
                self.read(app_id, &log, after, times, Page::new(limit, max_bytes))
            }
            StoreWork::Remove { log, places } => {
                for place in places {
                    self.remove(app_id, &log, place);
                }
                StoreAnswer::Done
            }
            StoreWork::Expire { kind, before, keep, max_bytes, .. } => {
                // An old entry may be behind a younger one: a clock may have gone back.
                let old = self.places(app_id, kind, |kept| kept.places(|entry| entry.time() < before));
                old.into_iter().for_each(|(log, places)| self.drop_entries(app_id, &log, places));
                if let Some(keep) = keep.filter(|_| kind.is_counted()) {
                    let most = if kind == LogKind::Events { Self::MOST_EVENTS } else { usize::MAX };
                    self.drop_excess(app_id, kind, keep.clamp(1, most));
                }
                if let (Some(max_bytes), Some(log)) = (max_bytes, kind.only_log()) {
                    self.drop_bytes(app_id, &log, max_bytes);
                }
                StoreAnswer::Done
            }
            StoreWork::Put { key, value, expected } => {
                let kind = key.kind();
                let key = (Arc::clone(app_id), key);
                let bytes = state_size(&value);
                let kept = self.state.get(&key);
                let revision = kept.map_or(Revision(0), StateValue::revision);
                if expected.is_some_and(|expected| expected != revision) {
                    return StoreAnswer::Conflict { kept: kept.cloned() };
                }
                let old = self.state.insert(key, value);
                if old.is_none() {
                    *self.stats.values(kind) += 1;
                }
                if let Some(all) = self.bytes_of(app_id).state(kind) {
                    *all = (*all + bytes).saturating_sub(old.as_ref().map_or(0, state_size));
                }
                StoreAnswer::Done
            }
            StoreWork::Delete { key, expected } => {
                let kind = key.kind();
                let key = (Arc::clone(app_id), key);
                if let (Some(expected), Some(kept)) = (expected, self.state.get(&key))
                    && kept.revision() != expected
                {
                    return StoreAnswer::Conflict { kept: Some(kept.clone()) };
                }
                if let Some(old) = self.state.remove(&key) {
                    *self.stats.values(kind) -= 1;
                    if let Some(all) = self.bytes_of(app_id).state(kind) {
                        *all = all.saturating_sub(state_size(&old));
                    }
                }
                StoreAnswer::Done
            }
            StoreWork::Search { span, newest_first, offset, limit } => {
                let mut found = self.matching(app_id, &span);
                if newest_first {
                    found.reverse();
                }
                let page = found.into_iter().skip(offset).take(limit.max(1));
                StoreAnswer::Found(
                    page.map(|(conversation, message)| (conversation.clone(), message.clone())).collect(),
                )
            }
            StoreWork::Measure => StoreAnswer::Measured(*self.bytes_of(app_id)),
            StoreWork::Count { span } => StoreAnswer::Counted(self.matching(app_id, &span).len() as u64),
            StoreWork::List { kind, after, max_bytes } => {
                self.list(app_id, kind, after.as_ref(), Page::new(usize::MAX, max_bytes))
            }
        }
    }

    fn append(&mut self, app_id: &Arc<AppId>, log: &LogKey, entry: LogEntry, keep: Option<usize>) -> StoreAnswer {
        let time = entry.time();
        let place = if log.kind().is_by_time() {
            let last_of_log = self.log(app_id, log).and_then(|kept| kept.last_at(time));
            let last = last_of_log.max(self.last_found_at(app_id, log, &entry));
            last.map_or_else(|| Place::first_at(time), Place::next)
        } else {
            self.last_place += 1;
            Place(self.last_place)
        };
        self.bytes += size(&entry);
        *self.bytes_of(app_id).log(log.kind()) += size(&entry) as u64;
        *self.stats.entries(log.kind()) += 1;
        if let Some([source, destination]) = indexed(app_id, log, place, &entry) {
            self.by_source.insert(source);
            self.by_destination.insert(destination);
        }
        let len = self.change(app_id, log, |kept| {
            kept.insert(place, entry);
            kept.0.len()
        });
        let dropped = keep.map_or(0, |keep| len.saturating_sub(keep.max(1)));
        if dropped > 0 {
            let oldest = self.log(app_id, log).map(|kept| kept.first_places(dropped));
            for place in oldest.unwrap_or_default() {
                self.remove(app_id, log, place);
            }
        }
        self.make_room();
        StoreAnswer::Appended { place, dropped }
    }

    fn log(&self, app_id: &Arc<AppId>, log: &LogKey) -> Option<&Log> {
        self.logs.get(&(Arc::clone(app_id), log.clone()))
    }

    /// Changes the entries of a log, which may be new or empty afterwards.
    fn change<R>(&mut self, app_id: &Arc<AppId>, log: &LogKey, change: impl FnOnce(&mut Log) -> R) -> R {
        let kept = self.logs.entry((Arc::clone(app_id), log.clone())).or_default();
        let before = kept.first_time();
        let result = change(kept);
        let after = kept.first_time();
        if before != after {
            let aged = |time| (time, Arc::clone(app_id), log.clone());
            if let Some(time) = before {
                self.by_age.remove(&aged(time));
            }
            match after {
                Some(time) => _ = self.by_age.insert(aged(time)),
                None => _ = self.logs.remove(&(Arc::clone(app_id), log.clone())),
            }
        }
        result
    }

    fn read(
        &self,
        app_id: &Arc<AppId>,
        log: &LogKey,
        after: Option<Place>,
        times: Range<u64>,
        mut page: Page<(Place, LogEntry)>,
    ) -> StoreAnswer {
        let first = if log.kind().is_by_time() { Place::first_at(times.start) } else { Place(0) };
        let start = after.filter(|after| *after >= first).map_or(first, Place::next);
        let kept = self.log(app_id, log);
        for (place, entry) in kept.into_iter().flat_map(|kept| kept.0.range(kept.before(start)..)) {
            let time = entry.time();
            if log.kind().is_by_time() && time >= times.end {
                break;
            }
            if times.contains(&time) && !page.push((*place, entry.clone()), entry.bytes()) {
                break;
            }
        }
        let dropped_to = self.dropped_to.get(&(Arc::clone(app_id), log.clone()));
        StoreAnswer::Entries {
            entries: page.items,
            more: page.more,
            dropped_to: dropped_to.copied().unwrap_or(Place(0)),
        }
    }

    /// The last place at the time of an entry that a search for its sender or its receiver comes to, in whichever log:
    /// messages of one millisecond are found in the order in which they came.
    fn last_found_at(&self, app_id: &Arc<AppId>, log: &LogKey, entry: &LogEntry) -> Option<Place> {
        let first = indexed(app_id, log, Place::first_at(entry.time()), entry)?;
        let places =
            [&self.by_source, &self.by_destination].into_iter().zip(first).map(|(index, (app_id, id, first, _))| {
                let last = (Arc::clone(&app_id), id.clone(), Place::last_at(entry.time()).next(), None);
                index.range((app_id, id, first, None)..last).next_back().map(|(_, _, place, _)| *place)
            });
        places.max()?
    }

    /// The messages that are meant, oldest first.
    fn matching(&self, app_id: &Arc<AppId>, span: &HistorySpan) -> Vec<(&Conversation, &StoredMessage)> {
        let HistorySpan { filter, times } = span;
        let (index, id) = match (&filter.source, filter.destination()) {
            (Some(source), _) => (&self.by_source, source.as_str()),
            (None, Some(destination)) => (&self.by_destination, destination),
            (None, None) => return Vec::new(),
        };
        if times.is_empty() {
            return Vec::new();
        }
        let at = |time| (Arc::clone(app_id), id.to_owned(), Place::first_at(time), None);
        let found = index.range(at(times.start)..at(times.end)).filter_map(|(app_id, _, place, log)| {
            let log = log.as_ref()?;
            let LogKey::History(conversation) = log else { return None };
            let LogEntry::Message(message) = self.log(app_id, log)?.get(*place)? else { return None };
            Some((conversation, message)).filter(|_| filter.matches(conversation, &message.from))
        });
        found.collect()
    }

    fn remove(&mut self, app_id: &Arc<AppId>, log: &LogKey, place: Place) {
        if self.log(app_id, log).is_some_and(|kept| kept.find(place).is_some())
            && let Some(entry) = self.change(app_id, log, |kept| kept.remove(place))
        {
            self.bytes -= size(&entry);
            *self.bytes_of(app_id).log(log.kind()) -= size(&entry) as u64;
            *self.stats.entries(log.kind()) -= 1;
            if let Some([source, destination]) = indexed(app_id, log, place, &entry) {
                self.by_source.remove(&source);
                self.by_destination.remove(&destination);
            }
        }
    }

    /// Removes entries that are too old, or some too many.
    fn drop_entries(&mut self, app_id: &Arc<AppId>, log: &LogKey, places: Vec<Place>) {
        for place in places {
            self.remove(app_id, log, place);
            if log.kind().tells_dropped() {
                let dropped_to = self.dropped_to.entry((Arc::clone(app_id), log.clone())).or_insert(place);
                *dropped_to = place.max(*dropped_to);
            }
        }
    }

    /// Drops the oldest entries of each log of a kind that has more than so many.
    fn drop_excess(&mut self, app_id: &Arc<AppId>, kind: LogKind, keep: usize) {
        let excess = self.places(app_id, kind, |kept| kept.first_places(kept.0.len().saturating_sub(keep)));
        excess.into_iter().for_each(|(log, places)| self.drop_entries(app_id, &log, places));
    }

    /// Places in the logs of a kind, those of each log in order.
    fn places(
        &self,
        app_id: &Arc<AppId>,
        kind: LogKind,
        places: impl Fn(&Log) -> Vec<Place>,
    ) -> Vec<(LogKey, Vec<Place>)> {
        let logs = self.logs.iter().filter(|((app, log), _)| app == app_id && log.kind() == kind);
        let places = logs.map(|((_, log), kept)| (log, places(kept))).filter(|(_, places)| !places.is_empty());
        places.map(|(log, places)| (log.clone(), places)).collect()
    }

    /// Drops the oldest entries of a log that is the only one of its kind, until the rest has at most so many bytes.
    fn drop_bytes(&mut self, app_id: &Arc<AppId>, log: &LogKey, max_bytes: u64) {
        let mut excess = self.bytes_of(app_id).log(log.kind()).saturating_sub(max_bytes);
        let mut oldest = Vec::new();
        for (place, entry) in self.log(app_id, log).into_iter().flat_map(|kept| &kept.0) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(size(entry) as u64);
            oldest.push(*place);
        }
        self.drop_entries(app_id, log, oldest);
    }

    /// How much is kept of a project.
    fn bytes_of(&mut self, app_id: &Arc<AppId>) -> &mut StoredBytes {
        self.projects.entry(Arc::clone(app_id)).or_default()
    }

    fn list(
        &self,
        app_id: &Arc<AppId>,
        kind: StateKind,
        after: Option<&StateKey>,
        mut page: Page<(StateKey, StateValue)>,
    ) -> StoreAnswer {
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded((Arc::clone(app_id), after.clone())));
        let all = self.state.range((start, Bound::Unbounded));
        for ((_, key), value) in all.filter(|((app, key), _)| app == app_id && key.kind() == kind) {
            if !page.push((key.clone(), value.clone()), value.bytes()) {
                break;
            }
        }
        StoreAnswer::Values { values: page.items, more: page.more }
    }

    /// Lets the oldest entries go until the rest is within the capacity.
    fn make_room(&mut self) {
        while self.bytes > self.capacity
            && let Some((_, app_id, log)) = self.by_age.first().cloned()
            && let Some((place, _)) = self.log(&app_id, &log).and_then(|kept| kept.0.front())
        {
            self.drop_entries(&app_id, &log, vec![*place]);
        }
    }

    /// The project's shared name.
    fn project(&mut self, app_id: &AppId) -> Arc<AppId> {
        if let Some((project, _)) = self.projects.get_key_value(app_id) {
            return Arc::clone(project);
        }
        let project = Arc::new(app_id.clone());
        self.projects.insert(Arc::clone(&project), StoredBytes::default());
        project
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }
}

impl Backend for Memory {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
        tasks
            .into_iter()
            .map(|Task { app_id, work }| {
                let app_id = self.project(app_id);
                Ok(self.work(&app_id, work))
            })
            .collect()
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        let state: u64 = self.projects.values().map(|kept| kept.channel_attributes).sum();
        Ok(BackendStats { kind: BackendKind::Memory, bytes: Some(self.bytes as u64 + state), ..self.stats })
    }
}

/// (project, user or channel, place, log); no log is before all of them.
type Indexed = (Arc<AppId>, String, Place, Option<LogKey>);

/// Where a message of a history is found by who sent it, and by who received it.
fn indexed(app_id: &Arc<AppId>, log: &LogKey, place: Place, entry: &LogEntry) -> Option<[Indexed; 2]> {
    let (LogKey::History(conversation), LogEntry::Message(message)) = (log, entry) else { return None };
    let at = |id: &str| (Arc::clone(app_id), id.to_owned(), place, Some(log.clone()));
    Some([at(message.from.as_str()), at(conversation.destination(&message.from))])
}

/// What a kept entry costs: its text, and about as much again for its bookkeeping as a short text has.
fn size(entry: &LogEntry) -> usize {
    entry.bytes() + 2 * size_of::<(Arc<AppId>, LogKey, LogEntry)>()
}

/// The same of a value.
fn state_size(value: &StateValue) -> u64 {
    (value.bytes() + 2 * size_of::<(Arc<AppId>, StateKey, StateValue)>()) as u64
}

/// Room for so many entries is not worth giving back.
const FEW: usize = 4;
