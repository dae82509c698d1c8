//! Reading the log of events: pages behind a number, and cursors that outlive their readers.

use std::collections::{BTreeMap, BTreeSet};

use rtm_codec::{ErrorKind, Refusal, Revision};

use super::{
    Core, EventTypes, HttpId, LogEntry, LogKey, LoggedEvent, Now, Place, ProjectEvent, StateKey, StateValue,
    StoreAnswer, StoreFailed, StoreWork,
    jobs::Waiting,
    store::{AcceptedEvents, EventCursor, StateKind},
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

impl EventPage {
    /// What comes next up to this number is not kept any more.
    fn tell_missing(&mut self, now: Now, to: u64) {
        if to > self.next {
            let event = ProjectEvent::LogTruncated { from: self.next + 1, to };
            self.events.push(NumberedEvent { seq: to, logged: LoggedEvent { time: now.unix_ms, event } });
            self.next = to;
        }
    }
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
    /// To [`Core::accepted_events`].
    Accepted(AcceptedEvents),
    /// To [`Core::keep_accepted_events`].
    Kept,
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

    /// Reads what a reader has of the events behind its cursor. It counts only beside the cursor's revision that it names.
    pub fn accepted_events(&mut self, name: &str) -> HttpId {
        let work = StoreWork::List { kind: StateKind::AcceptedEvents, after: None, max_bytes: usize::MAX };
        self.ask_for_accepted(work, Some(name.to_owned()))
    }

    /// Keeps what a reader has of the events behind its cursor, so that it need not read these again after a restart.
    pub fn keep_accepted_events(&mut self, name: &str, accepted: AcceptedEvents) -> HttpId {
        let key = StateKey::AcceptedEvents(name.to_owned());
        let work = match accepted.spans.is_empty() {
            true => StoreWork::Delete { key, expected: None },
            false => StoreWork::Put { key, value: StateValue::AcceptedEvents(accepted), expected: None },
        };
        self.ask_for_accepted(work, None)
    }

    fn ask_for_accepted(&mut self, work: StoreWork, reader: Option<String>) -> HttpId {
        let id = self.http.number();
        self.event_reads.open.insert(id);
        self.jobs.ask_aside(work, Waiting::AcceptedEvents { id, reader });
        id
    }

    pub(super) fn accepted_events_done(
        &mut self,
        id: HttpId,
        reader: Option<String>,
        result: Result<StoreAnswer, StoreFailed>,
    ) {
        let answer = match (reader, result) {
            (Some(reader), Ok(StoreAnswer::Values { values, .. })) => {
                let of_reader = |(key, value)| match (key, value) {
                    (StateKey::AcceptedEvents(name), StateValue::AcceptedEvents(it)) if name == reader => Some(it),
                    _ => None,
                };
                let accepted = values.into_iter().find_map(of_reader);
                Ok(EventAnswer::Accepted(accepted.unwrap_or_default()))
            }
            (None, Ok(_)) => Ok(EventAnswer::Kept),
            _ => Err(Refusal::new(ErrorKind::Failure, "the server's store does not answer for its readers of events")),
        };
        self.event_reads.answer(id, answer);
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
    let first = entries.first().map(|(Place(first), _)| *first);
    // Who has no number begins before the first event that is kept, or behind all that were.
    let next = query.after.unwrap_or_else(|| first.map_or(dropped_to.0, |first| first.saturating_sub(1)));
    let mut page = EventPage { events: Vec::new(), next, more };
    // What is kept is not missing, though a clock that went back may have let later ones go before it.
    page.tell_missing(now, first.map_or(dropped_to.0, |first| dropped_to.0.min(first.saturating_sub(1))));
    for (Place(seq), entry) in entries {
        if dropped_to.0 < seq {
            page.tell_missing(now, dropped_to.0);
        }
        page.next = seq;
        if let LogEntry::Event(logged) = entry {
            let event_type = logged.event.event_type();
            if query.types.has(event_type) || event_type.is_needed() {
                page.events.push(NumberedEvent { seq, logged });
            }
        }
    }
    if !more {
        page.tell_missing(now, dropped_to.0);
    }
    page
}

/// How many events are looked at at once.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// What a reader gets of a log with these events, of which some up to a place are gone: numbers, and what is missing.
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn read(after: Option<u64>, kept: &[u64], more: bool, dropped_to: u64) -> (Vec<String>, u64) {
        let now = Now { instant: Instant::now(), unix_ms: 7 };
        let entry = |seq: &u64| {
            let event = ProjectEvent::ChannelVacated { channel_id: rtm_codec::ChannelId::new("room").unwrap() };
            (Place(*seq), LogEntry::Event(LoggedEvent { time: 5, event }))
        };
        let query = EventQuery { after, types: EventTypes::ALL, limit: 10 };
        let page = page(now, query, kept.iter().map(entry).collect(), more, Place(dropped_to));
        let told = page.events.iter().map(|NumberedEvent { seq, logged }| match logged.event {
            ProjectEvent::LogTruncated { from, to } => {
                assert_eq!(to, *seq, "who reads on behind it misses nothing");
                format!("{from}..{to}")
            }
            _ => seq.to_string(),
        });
        (told.collect(), page.next)
    }

    #[test]
    fn who_begins_with_what_is_kept_of_a_log_that_has_gone_misses_nothing() {
        assert_eq!(read(None, &[], false, 0), (vec![], 0));
        assert_eq!(read(None, &[], false, 41), (vec![], 41));
        assert_eq!(read(Some(41), &[], false, 41), (vec![], 41));
        assert_eq!(read(None, &[50], false, 41), (vec!["50".into()], 50));
        assert_eq!(read(Some(0), &[], false, 41), (vec!["1..41".into()], 41));
    }

    #[test]
    fn what_went_between_events_that_are_kept_is_told_in_its_place() {
        let told = |told: &[&str], next| (told.iter().map(|&one| one.to_owned()).collect::<Vec<_>>(), next);
        assert_eq!(read(Some(4), &[5, 6, 50], false, 41), told(&["5", "6", "7..41", "50"], 50));
        assert_eq!(read(None, &[5, 50], false, 41), told(&["5", "6..41", "50"], 50));
        assert_eq!(read(Some(4), &[5], false, 41), told(&["5", "6..41"], 41), "nothing behind it is left");
        assert_eq!(read(Some(4), &[5], true, 41), told(&["5"], 5), "the next page goes on");
        assert_eq!(read(Some(4), &[42, 43], false, 41), told(&["5..41", "42", "43"], 43));
        assert_eq!(read(Some(41), &[42, 43], false, 41), told(&["42", "43"], 43));
    }
}
