//! Reading the log of events: pages behind a number, and cursors that outlive their readers.

use std::collections::{BTreeMap, BTreeSet};

use rtm_codec::{ErrorKind, Refusal, Revision};

use super::{
    Core, EventTypes, HttpId, LogEntry, LogKey, LoggedEvent, Now, Place, ProjectEvent, StateKey, StateValue,
    StoreAnswer, StoreFailed, StoreWork, jobs::Waiting, store::EventCursor,
};

/// Which events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a reader decides all of it")]
pub struct EventQuery {
    /// Only events behind this number. `None` begins with the oldest that is kept, and tells of none that is not.
    pub after: Option<u64>,
    /// Only these types, besides those that tell what is missing.
    pub types: EventTypes,
    /// How many are looked at, at least 1 and at most 10,000: a page may have fewer, also none.
    pub limit: usize,
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever shows events shows all of them")]
pub struct NumberedEvent {
    /// Its number. Numbers rise, and not by one.
    pub seq: u64,
    /// The event.
    pub logged: LoggedEvent,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "whoever reads the log reads all of it")]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<NumberedEvent>,
    /// What to read on behind: the number of the last event that was looked at.
    pub next: u64,
    /// Whether more follow at once.
    pub more: bool,
}

/// What a reader of events is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "each call has its answer")]
pub enum EventAnswer {
    /// To [`Core::read_events`].
    Page(EventPage),
    /// To [`Core::move_event_cursor`]: it has moved, and is there now.
    Moved(EventCursor),
    /// To [`Core::move_event_cursor`]: another reader has moved it, and it is there.
    Elsewhere(EventCursor),
}

/// The readers of the log that wait, and where their cursors are.
#[derive(Debug, Default)]
pub(super) struct EventReads {
    cursors: BTreeMap<String, EventCursor>,
    /// Those that wait for the store.
    open: BTreeSet<HttpId>,
    answers: Vec<(HttpId, Result<EventAnswer, Refusal>)>,
}

impl EventReads {
    fn answer(&mut self, id: HttpId, answer: Result<EventAnswer, Refusal>) {
        if self.open.remove(&id) {
            self.answers.push((id, answer));
        }
    }

    /// Nobody has what readers wait for.
    pub(super) fn forget(&mut self) {
        for id in std::mem::take(&mut self.open) {
            let gone = Refusal::new(ErrorKind::Failure, "the server has left its cluster");
            self.answers.push((id, Err(gone)));
        }
    }
}

impl Core {
    /// Reads a part of the log. [`take_event_answers`](Self::take_event_answers) gives it.
    pub fn read_events(&mut self, query: EventQuery) -> HttpId {
        let id = self.http.number();
        self.event_reads.open.insert(id);
        self.jobs.ask_aside(read(query.after, query.limit), Waiting::Events { id, query });
        id
    }

    /// Where a reader is, as far as this core knows; a cursor that nobody has moved is at 0.
    #[must_use]
    pub fn event_cursor(&self, name: &str) -> EventCursor {
        self.event_reads.cursors.get(name).copied().unwrap_or_default()
    }

    /// Moves a reader's cursor from where it is known to be to behind an event. The move outlives this core when it is
    /// answered. In a cluster another node may have moved it: [`EventAnswer::Elsewhere`]. A name has 1 to 64 characters.
    /// `is_paused` is kept for the reader: the core gives it what it asks for all the same.
    pub fn move_event_cursor(&mut self, name: &str, from: EventCursor, read: u64, is_paused: bool) -> HttpId {
        let id = self.http.number();
        let (work, cursor) = moving(name, EventCursor { is_paused, ..from }, Place(read));
        self.event_reads.open.insert(id);
        self.jobs.ask_aside(work, Waiting::EventCursor { id, name: name.to_owned(), cursor });
        id
    }

    /// Appends the answers to readers of events that are ready.
    pub fn take_event_answers(&mut self, answers: &mut Vec<(HttpId, Result<EventAnswer, Refusal>)>) {
        answers.append(&mut self.event_reads.answers);
    }

    /// A cursor is where the store says.
    pub(super) fn put_event_cursor(&mut self, name: String, cursor: EventCursor) {
        let known = self.event_reads.cursors.entry(name).or_default();
        if cursor.revision > known.revision {
            *known = cursor;
        }
    }

    pub(super) fn events_read(
        &mut self,
        now: Now,
        id: HttpId,
        query: EventQuery,
        result: Result<StoreAnswer, StoreFailed>,
    ) {
        let answer = match result {
            Ok(StoreAnswer::Entries { entries, more, dropped_to }) => {
                Ok(EventAnswer::Page(page(now, query, entries, more, dropped_to)))
            }
            _ => Err(Refusal::new(ErrorKind::Failure, "the server could not read the events")),
        };
        self.event_reads.answer(id, answer);
    }

    pub(super) fn event_cursor_moved(
        &mut self,
        id: HttpId,
        name: String,
        cursor: EventCursor,
        result: &Result<StoreAnswer, StoreFailed>,
    ) {
        let answer = match moved(cursor, result) {
            Some(Ok(cursor)) => {
                self.put_event_cursor(name, cursor);
                Ok(EventAnswer::Moved(cursor))
            }
            Some(Err(cursor)) => {
                self.event_reads.cursors.insert(name, cursor);
                Ok(EventAnswer::Elsewhere(cursor))
            }
            None => Err(Refusal::new(ErrorKind::Failure, "the server could not keep how far the events were read")),
        };
        self.event_reads.answer(id, answer);
    }
}

/// The work of reading a part of the log.
pub(super) fn read(after: Option<u64>, limit: usize) -> StoreWork {
    StoreWork::Read {
        log: LogKey::Events,
        after: after.map(Place),
        times: 0..u64::MAX,
        limit: limit.clamp(1, MOST),
        max_bytes: usize::MAX,
    }
}

/// The work of moving a cursor, and where it is then.
pub(super) fn moving(name: &str, from: EventCursor, read: Place) -> (StoreWork, EventCursor) {
    let cursor = EventCursor { read, revision: Revision(from.revision.0 + 1), ..from };
    let key = StateKey::EventCursor(name.to_owned());
    (StoreWork::Put { key, value: StateValue::EventCursor(cursor), expected: Some(from.revision) }, cursor)
}

/// Where a cursor is that was to be moved: there, or where another reader moved it; `None` if that is not known.
pub(super) fn moved(
    cursor: EventCursor,
    result: &Result<StoreAnswer, StoreFailed>,
) -> Option<Result<EventCursor, EventCursor>> {
    match result {
        Ok(StoreAnswer::Done) => Some(Ok(cursor)),
        Ok(StoreAnswer::Conflict { kept: Some(StateValue::EventCursor(kept)) }) => Some(Err(*kept)),
        Ok(StoreAnswer::Conflict { kept: None }) => Some(Err(EventCursor::default())),
        _ => None,
    }
}

fn page(now: Now, query: EventQuery, entries: Vec<(Place, LogEntry)>, more: bool, dropped_to: Place) -> EventPage {
    let mut page = EventPage { events: Vec::new(), next: query.after.unwrap_or(0), more };
    if let Some(after) = query.after {
        // What is kept is not missing, though a clock that went back may have let later ones go before it.
        let to = entries.first().map_or(dropped_to.0, |(Place(first), _)| dropped_to.0.min(first - 1));
        if to > after {
            let event = ProjectEvent::LogTruncated { from: after + 1, to };
            page.events.push(NumberedEvent { seq: to, logged: LoggedEvent { time: now.unix_ms, event } });
            page.next = to;
        }
    }
    for (Place(seq), entry) in entries {
        page.next = seq;
        if let LogEntry::Event(logged) = entry {
            let event_type = logged.event.event_type();
            if query.types.has(event_type) || event_type.is_needed() {
                page.events.push(NumberedEvent { seq, logged });
            }
        }
    }
    page
}

/// How many events are looked at at once.
const MOST: usize = 10_000;
