//! The log of events that back ends read: what is written, in which order, and what is said of events that could not be.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Core, EventSettings, EventType, EventTypes, LogEntry, LogKey, LoggedEvent, Now, Place, ProjectEvent, Quotas,
    Reason, StateKey, StoreAnswer, StoreFailed, StoreWork,
    admin::EXPIRY_EVERY,
    event_duty::{EventDuty, PAUSE},
    event_promises::EventPromises,
    event_replay::OpenEvents,
    jobs::{EventCount, Waiting},
    store::{EVENT_BYTES, OpenKey},
    timer::{Alarm, Due},
};

/// The log of a project, as this core writes it.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    stage: Stage,
    settings: EventSettings,
    /// The types that are written now; each message looks here.
    wanted: EventTypes,
    /// What the log calls this server.
    pub(super) server: Reason,
    /// What the store has yet to be given.
    waiting: VecDeque<LoggedEvent>,
    /// How many events the store has that are not written.
    under_way: usize,
    /// How many were written since the store was told to drop those that are too many, and what they take.
    since_expiry: usize,
    bytes_since_expiry: u64,
    /// How many bytes the log may have, about; 0 for no limit.
    max_bytes: u64,
    /// A session takes the place of another one, whose user was there: nobody comes online by that.
    pub(super) is_takeover: bool,
    /// It has that the server is about to go down.
    has_draining: bool,
    pub(super) duty: EventDuty,
    pub(super) promises: EventPromises,
    figures: EventFigures,
    /// What the store has of events that have gone from the log.
    left_open: Box<OpenEvents>,
    /// Under these keys.
    left_open_keys: Vec<OpenKey>,
    /// When events that are too old go, if that is more often than once an hour.
    expiry: Alarm,
}

/// How the writing of the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventFigures {
    /// The number of the last event that this core wrote; 0 for none.
    pub last: u64,
    /// Events that the store could not keep since the start.
    pub lost: u64,
    /// Events that wait for the store.
    pub waiting: usize,
}

impl EventFigures {
    /// Adds those of another core of the same project.
    pub fn merge(&mut self, other: &Self) {
        let Self { last, lost, waiting } = self;
        *last = (*last).max(other.last);
        *lost += other.lost;
        *waiting += other.waiting;
    }
}

/// How a server begins to write the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever starts a server decides for one of them")]
pub enum EventLogStart {
    /// What the log has of an earlier run is over: its ends are written first.
    AfterRestart,
    /// Somebody else writes these ends. Nothing is written before [`Core::release_event_log`].
    Held,
    /// In a cluster: each node writes for itself.
    AsNode,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nobody wants a log, or it has ended.
    #[default]
    Off,
    Held,
    /// The log of before is read, up to this place.
    Recovering(Option<Place>, Box<OpenEvents>),
    /// The store has failed: nothing is written before that time.
    Pausing(Instant),
    On,
}

impl EventLog {
    /// Whether events of a type are written.
    #[inline]
    pub(super) fn wants(&self, event_type: EventType) -> bool {
        self.wanted.has(event_type)
    }

    /// Goes by these settings from here on.
    pub(super) fn set_settings(&mut self, settings: EventSettings, quotas: Quotas) {
        self.settings = settings;
        self.max_bytes = quotas.event_log_bytes;
        self.see_what_is_wanted();
    }

    fn see_what_is_wanted(&mut self) {
        let needed = EventType::ALL.iter().copied().filter(|event_type| event_type.is_needed()).collect();
        self.wanted = if self.is_on() { self.settings.types.or(needed) } else { EventTypes::NONE };
    }

    pub(super) fn is_on(&self) -> bool {
        self.settings.enabled && !matches!(self.stage, Stage::Off)
    }

    /// The time of the oldest events that are kept, in milliseconds since the Unix epoch.
    fn oldest(&self, now: Now) -> u64 {
        now.unix_ms.saturating_sub(u64::try_from(self.settings.keep_for.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether what happens is given to the store at once.
    pub(super) fn is_writing(&self) -> bool {
        matches!(self.stage, Stage::On)
    }

    /// How many events the store is not done with.
    pub(super) fn ahead(&self) -> u64 {
        (self.under_way + self.waiting.len()) as u64
    }

    fn push(&mut self, event: LoggedEvent) {
        if self.waiting.len() < WAITING {
            return self.waiting.push_back(event);
        }
        self.figures.lost += 1;
        match self.waiting.back_mut() {
            Some(LoggedEvent { event: ProjectEvent::LogGap { lost }, .. }) => *lost += 1,
            _ => {
                let gap = ProjectEvent::LogGap { lost: 1 };
                self.waiting.push_back(LoggedEvent { time: event.time, event: gap });
            }
        }
    }

    /// Events that the store had could not be written: that stands in their place.
    fn push_gap_first(&mut self, now: Now, events: u64) {
        match self.waiting.front_mut() {
            Some(LoggedEvent { event: ProjectEvent::LogGap { lost }, .. }) => *lost += events,
            _ => {
                let gap = ProjectEvent::LogGap { lost: events };
                self.waiting.push_front(LoggedEvent { time: now.unix_ms, event: gap });
            }
        }
    }
}

impl Core {
    /// Has the log of events written from now on, if the project wants one. Called once: before any connection, and in a
    /// cluster after [`join_cluster`](Self::join_cluster). `server` is what the log calls this server, another name at each start.
    pub fn begin_event_log(&mut self, now: Now, server: &str, start: EventLogStart) {
        let now = self.time(now);
        let settings = self.config.events;
        let stage = match start {
            // Nobody reads what nobody keeps.
            EventLogStart::AfterRestart | EventLogStart::Held if !settings.enabled => Stage::On,
            EventLogStart::AfterRestart => Stage::Recovering(None, std::mem::take(&mut self.event_log.left_open)),
            EventLogStart::Held => Stage::Held,
            EventLogStart::AsNode => Stage::On,
        };
        let figures = self.event_log.figures;
        // One core writes the ends of what is open.
        let left_open_keys = match start {
            EventLogStart::AfterRestart => std::mem::take(&mut self.event_log.left_open_keys),
            EventLogStart::Held | EventLogStart::AsNode => Vec::new(),
        };
        let server = Reason::Owned(server.to_owned());
        // Of the cores that are one server, the one that writes of its start writes of its end.
        let has_draining = start == EventLogStart::Held;
        self.event_log = EventLog { stage, server, figures, has_draining, left_open_keys, ..EventLog::default() };
        self.event_log.set_settings(settings, self.config.quotas);
        self.measure_stored_bytes(now);
        self.plan_event_expiry(now);
        match start {
            EventLogStart::AfterRestart => self.read_to_recover(),
            EventLogStart::Held => {}
            EventLogStart::AsNode => {
                self.log_start(now);
                self.plan_event_duty(now);
            }
        }
    }

    /// The server that [ended](EventLogStart::AfterRestart) what an earlier run left has done so: this core writes too.
    pub fn release_event_log(&mut self, now: Now) {
        let now = self.time(now);
        if matches!(self.event_log.stage, Stage::Held) {
            self.event_log.stage = Stage::On;
            self.write_events(now);
        }
    }

    /// Whether what an earlier run left has its ends in the log, or nobody wants a log.
    #[must_use]
    pub fn is_event_log_ready(&self) -> bool {
        !matches!(self.event_log.stage, Stage::Recovering(..) | Stage::Held)
    }

    /// How the writing of the log goes.
    #[must_use]
    pub fn event_figures(&self) -> EventFigures {
        EventFigures { waiting: self.event_log.waiting.len() + self.event_log.under_way, ..self.event_log.figures }
    }

    /// Writes the ends of all sessions, which nobody goes on with, and nothing after that. Not for a node of a cluster,
    /// whose sessions go on elsewhere. Before the log [is ready](Self::is_event_log_ready) that comes before the ends of what an
    /// earlier run left, which the next run writes then.
    pub fn end_event_log(&mut self, now: Now) {
        let now = self.time(now);
        self.log_all_ends(now);
        if !matches!(self.event_log.stage, Stage::Off) {
            self.write_some_events(usize::MAX);
        }
        self.answer_all_promised();
        self.event_log.stage = Stage::Off;
        self.event_log.see_what_is_wanted();
    }

    /// Writes that the server is about to go down, if that is not written yet.
    pub(super) fn log_draining(&mut self, now: Now) {
        if std::mem::replace(&mut self.event_log.has_draining, true) {
            return;
        }
        let server = self.event_log.server.clone();
        self.log(now, EventType::ServerDraining, |_| Some(ProjectEvent::ServerDraining { server }));
    }

    /// Writes an event, if its type is wanted. Says whether it is.
    #[inline]
    pub(super) fn log(
        &mut self,
        now: Now,
        event_type: EventType,
        event: impl FnOnce(&mut Self) -> Option<ProjectEvent>,
    ) -> bool {
        if self.event_log.wants(event_type)
            && let Some(event) = event(self)
        {
            self.log_event(now, event);
            return true;
        }
        false
    }

    fn log_event(&mut self, now: Now, event: ProjectEvent) {
        let event = LoggedEvent { time: now.unix_ms, event };
        let log = &mut self.event_log;
        if matches!(log.stage, Stage::On) && log.waiting.is_empty() && log.under_way < UNDER_WAY {
            // So it is mostly: the event need not go by way of those that wait.
            log.under_way += 1;
            return self.jobs.append_event(event);
        }
        log.push(event);
        self.write_events(now);
    }

    pub(super) fn log_start(&mut self, now: Now) {
        let server = self.event_log.server.clone();
        self.log(now, EventType::ServerStarted, |_| Some(ProjectEvent::ServerStarted { server }));
    }

    /// Gives the store what waits, as far as it has room.
    pub(super) fn write_events(&mut self, now: Now) {
        match self.event_log.stage {
            Stage::On => {}
            Stage::Pausing(until) if until <= now.instant => self.event_log.stage = Stage::On,
            _ => return,
        }
        self.write_some_events(UNDER_WAY);
    }

    fn write_some_events(&mut self, most: usize) {
        while self.event_log.under_way < most
            && let Some(event) = self.event_log.waiting.pop_front()
        {
            self.event_log.under_way += 1;
            self.jobs.append_event(event);
        }
    }

    /// The store has written events, or failed to.
    pub(super) fn events_written(&mut self, now: Now, count: &EventCount, result: Result<StoreAnswer, StoreFailed>) {
        let log = &mut self.event_log;
        let entries = count.types.len();
        log.under_way = log.under_way.saturating_sub(entries);
        let lost = match result {
            Ok(StoreAnswer::EventsAppended { last: Place(last), missing }) => {
                let written = entries.saturating_sub(missing.len());
                self.hub.counters.logged(&count.types, &missing);
                log.figures.last = log.figures.last.max(last);
                log.since_expiry += written;
                log.bytes_since_expiry += (written * EVENT_BYTES) as u64;
                count.lost(Some(&missing))
            }
            _ => count.lost(None),
        };
        if lost.in_all > 0 {
            log.figures.lost += lost.events;
            log.push_gap_first(now, lost.in_all);
            if matches!(log.stage, Stage::On) {
                let until = now.instant + PAUSE;
                log.stage = Stage::Pausing(until);
                self.hub.timers.push(until, Due::Events);
                self.answer_all_promised();
            }
        }
        self.events_done(entries);
        let log = &self.event_log;
        let is_over = log.max_bytes > 0 && log.bytes_since_expiry > log.max_bytes / EXPIRED_PARTS as u64;
        if is_over || log.since_expiry > log.settings.keep_count / EXPIRED_PARTS {
            self.expire_events(now);
        }
        self.write_events(now);
    }

    /// The store is tried again.
    pub(super) fn events_due(&mut self, now: Now) {
        if matches!(self.event_log.stage, Stage::Recovering(..)) {
            return self.read_to_recover();
        }
        self.write_events(now);
        self.look_at_event_duty(now);
    }

    /// Has the store drop events that are too old or too many.
    pub(super) fn expire_events(&mut self, now: Now) {
        if !self.event_log.is_on() {
            return;
        }
        (self.event_log.since_expiry, self.event_log.bytes_since_expiry) = (0, 0);
        let max_bytes = Some(self.event_log.max_bytes).filter(|most| *most > 0);
        let keep_count = self.event_log.settings.keep_count;
        let before = self.event_log.oldest(now);
        let kind = super::LogKind::Events;
        let written = self.event_log.wanted;
        self.jobs.tell(StoreWork::Expire { kind, before, keep: Some(keep_count.max(1)), max_bytes, written });
        self.measure_stored_bytes(now);
    }

    /// Events that are kept for a short time are dropped more often than once an hour, so that each goes soon after its time.
    pub(super) fn plan_event_expiry(&mut self, now: Now) {
        let EventSettings { enabled, keep_for, .. } = self.event_log.settings;
        let every = (keep_for / LATER_BY).max(SHORTEST_EXPIRY);
        if enabled && every < EXPIRY_EVERY {
            self.event_log.expiry.set(&mut self.hub.timers, now.instant + every, Due::EventExpiry);
        }
    }

    /// Has the store drop the events that are too old. It does not count the others for that.
    pub(super) fn event_expiry_due(&mut self, now: Now, at: Instant) {
        if self.event_log.expiry.take(at) {
            if self.event_log.is_on() {
                let before = self.event_log.oldest(now);
                let kind = super::LogKind::Events;
                let written = self.event_log.wanted;
                self.jobs.tell(StoreWork::Expire { kind, before, keep: None, max_bytes: None, written });
            }
            self.plan_event_expiry(now);
        }
    }

    /// This core has left its cluster: nothing that it knows is true any more. It begins again when it has joined.
    pub(super) fn forget_event_log(&mut self) {
        self.event_reads.forget();
        self.event_log = EventLog { figures: self.event_log.figures, ..EventLog::default() };
    }

    /// What the store has of events that have gone from the log, before the log is begun.
    pub(super) fn restore_open_events(&mut self, key: &OpenKey, events: Vec<ProjectEvent>) {
        self.event_log.left_open.load(key, events);
        self.event_log.left_open_keys.push(key.clone());
    }

    /// Reads on in what an earlier run left.
    fn read_to_recover(&mut self) {
        let Stage::Recovering(after, _) = &self.event_log.stage else { return };
        let work = StoreWork::Read {
            log: LogKey::Events,
            after: *after,
            times: 0..u64::MAX,
            limit: PAGE,
            max_bytes: usize::MAX,
        };
        self.jobs.ask_aside(work, Waiting::EventsToRecover);
    }

    /// A page of what an earlier run left.
    pub(super) fn recover_events(&mut self, now: Now, read: Result<StoreAnswer, StoreFailed>) {
        let Stage::Recovering(after, replay) = &mut self.event_log.stage else { return };
        let Ok(StoreAnswer::Entries { entries, more, .. }) = read else {
            return self.hub.timers.push(now.instant + PAUSE, Due::Events);
        };
        for (place, entry) in entries {
            *after = Some(place);
            if let LogEntry::Event(LoggedEvent { event, .. }) = entry {
                replay.see(event);
            }
        }
        if more {
            return self.read_to_recover();
        }
        let ends = std::mem::take(&mut **replay).ends(|_| true, "server_restart");
        // They come before what has happened since.
        let since = std::mem::take(&mut self.event_log.waiting);
        self.event_log.stage = Stage::On;
        self.log_ends(now, ends);
        self.log_start(now);
        self.event_log.waiting.extend(since);
        self.write_events(now);
        // It has its ends, or nobody wants them.
        for key in std::mem::take(&mut self.event_log.left_open_keys) {
            self.jobs.tell(StoreWork::Delete { key: StateKey::Open(key), expected: None });
        }
    }

    /// Writes ends of sessions, however many these are.
    pub(super) fn log_ends(&mut self, now: Now, ends: Vec<ProjectEvent>) {
        let time = now.unix_ms;
        for event in ends {
            if self.event_log.wants(event.event_type()) {
                self.event_log.waiting.push_back(LoggedEvent { time, event });
            }
        }
    }

    /// Writes the ends of all sessions.
    fn log_all_ends(&mut self, now: Now) {
        let mut open = OpenEvents::default();
        for session in self.hub.sessions.values() {
            let Some(user_id) = self.user_id(session.user) else { continue };
            let channels = session.memberships.channels().filter_map(|key| self.channels.get(key));
            let channels = channels.map(|channel| channel.id.clone()).collect();
            open.add(user_id, session.id.into(), session.is_there(), channels);
        }
        self.log_ends(now, open.ends(|_| true, "server_stopped"));
    }
}

/// How many events wait for the store at most; what comes then is lost, and the log says so.
const WAITING: usize = 32 * 1024;
/// How many the store has at once.
const UNDER_WAY: usize = 8192;
/// After which part of what is kept the store is told to drop what is too many.
const EXPIRED_PARTS: usize = 16;
/// An event goes at most so much of its time too late, where that is less than an hour; but not less than a second.
const LATER_BY: u32 = 16;
const SHORTEST_EXPIRY: Duration = Duration::from_secs(1);
/// How many events are read at once.
const PAGE: usize = 1024;
