//! The vendor's two calls for events, as cursors over the log: who reads there takes nothing away from other readers, and what
//! nobody was given stays for the next call.

use std::collections::{BTreeMap, VecDeque};

use rtm_codec::{
    ErrorKind, Refusal,
    anyrtc::rest::{RestAnswer, RestEvent, RestEventsOf},
};

use super::{
    Core, HttpId, LogEntry, LoggedEvent, Now, Place, ProjectEvent, StoreAnswer, StoreFailed,
    back_end::Origin,
    event_reads::{moved, moving, read},
    jobs::Waiting,
    notes::Asker,
    store::EventCursor,
};

/// A call on its way through the log.
#[derive(Debug)]
pub(super) struct RestReading {
    asker: Asker,
    events_of: RestEventsOf,
    from: EventCursor,
    /// Up to where the log was read.
    at: Place,
    /// Up to where nothing is to be given: events of other kinds, and those that newer ones have overwritten.
    passed: Place,
    /// The newest that are there, as many as are kept.
    found: VecDeque<(Place, RestEvent)>,
    /// How many older ones there were.
    overwritten: usize,
    /// How often another reader was faster.
    tries: u32,
}

impl RestReading {
    fn new(asker: Asker, events_of: RestEventsOf, from: EventCursor) -> Self {
        let found = VecDeque::new();
        Self { asker, events_of, from, at: from.read, passed: from.read, found, overwritten: 0, tries: 0 }
    }

    /// The next event of the log.
    fn see(&mut self, place: Place, entry: LogEntry) {
        self.at = place;
        if let LogEntry::Event(event) = entry {
            self.found.extend(vendor_events(self.events_of, event).into_iter().map(|event| (place, event)));
        }
        // Of what is there at the same place all goes, or nothing.
        while let Some((first, _)) = self.found.front()
            && (self.found.len() > KEPT || *first == self.passed)
        {
            self.passed = *first;
            self.found.pop_front();
            self.overwritten += 1;
        }
        if self.found.is_empty() {
            self.passed = place;
        }
    }
}

/// The calls that wait while the log is read for another one of the same kind, which is there as long as that goes on.
#[derive(Debug, Default)]
pub(super) struct RestReadings(BTreeMap<&'static str, VecDeque<Asker>>);

impl RestReadings {
    /// Nobody reads any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// A reading that is about to be answered, once its cursor has moved.
#[derive(Debug)]
pub(super) struct RestRead {
    reading: RestReading,
    events: Vec<RestEvent>,
    cursor: EventCursor,
}

impl Core {
    /// Reads the next events, which are not given again.
    pub(super) fn rest_events(
        &mut self,
        now: Now,
        id: HttpId,
        events_of: RestEventsOf,
    ) -> Result<Option<RestAnswer>, Refusal> {
        if !self.config.events.enabled {
            return Err(Refusal::new(ErrorKind::Unsupported, "this server keeps no events of the project"));
        }
        let asker = self.await_back_end(now, Origin::Read(id));
        // Calls that read at the same time would all read the same.
        match self.rest.readings.0.get_mut(name(events_of)) {
            Some(waiting) => waiting.push_back(asker),
            None => {
                self.rest.readings.0.insert(name(events_of), VecDeque::new());
                self.begin_reading(asker, events_of);
            }
        }
        Ok(None)
    }

    fn begin_reading(&mut self, asker: Asker, events_of: RestEventsOf) {
        let from = self.event_cursor(name(events_of));
        self.read_on(RestReading::new(asker, events_of, from));
    }

    fn read_on(&mut self, reading: RestReading) {
        self.jobs.ask_aside(read(Some(reading.at.0), PAGE), Waiting::RestEvents(Box::new(reading)));
    }

    /// A page of the log has come.
    pub(super) fn rest_events_read(&mut self, mut reading: RestReading, result: Result<StoreAnswer, StoreFailed>) {
        let Ok(StoreAnswer::Entries { entries, more, .. }) = result else { return self.answer_events(&reading, None) };
        let more = more && !entries.is_empty();
        for (place, entry) in entries {
            reading.see(place, entry);
        }
        if !self.hub.back_end.is_open(reading.asker) {
            // It took too long. The next call begins behind what nobody is to be given.
            let to = reading.passed;
            return self.take_events(reading, Vec::new(), to);
        }
        if more {
            return self.read_on(reading);
        }
        let mut taken: Vec<_> = reading.found.drain(..reading.found.len().min(ANSWERED)).collect();
        // Of what is there at the same place all is given, or nothing.
        if let Some((next, _)) = reading.found.front()
            && taken.first().is_some_and(|(first, _)| first < next)
        {
            taken.retain(|(place, _)| place < next);
        }
        let to = match (reading.found.is_empty(), taken.last()) {
            (false, Some((last, _))) => *last,
            _ => reading.at,
        };
        let events = taken.into_iter().map(|(_, event)| event).collect();
        self.take_events(reading, events, to);
    }

    /// Gives events once the cursor is there: nobody else gets them.
    fn take_events(&mut self, reading: RestReading, events: Vec<RestEvent>, to: Place) {
        if to == reading.from.read {
            return self.answer_events(&reading, Some(events));
        }
        let (work, cursor) = moving(name(reading.events_of), reading.from, to);
        self.jobs.ask_aside(work, Waiting::RestEventsTaken(Box::new(RestRead { reading, events, cursor })));
    }

    /// The cursor has moved, or another reader has moved it.
    pub(super) fn rest_events_taken(&mut self, read: RestRead, result: &Result<StoreAnswer, StoreFailed>) {
        let RestRead { mut reading, events, cursor } = read;
        let is_open = self.hub.back_end.is_open(reading.asker);
        match moved(cursor, result) {
            Some(Ok(cursor)) => {
                self.put_event_cursor(name(reading.events_of).to_owned(), cursor);
                self.hub.counters.overwrote(std::mem::take(&mut reading.overwritten));
                if !is_open && !events.is_empty() {
                    // Nobody gets them: the cursor goes back.
                    reading.from = cursor;
                    let to = reading.passed;
                    return self.take_events(reading, Vec::new(), to);
                }
                self.answer_events(&reading, Some(events));
            }
            Some(Err(from)) if is_open && reading.tries < MOST_TRIES => {
                self.put_event_cursor(name(reading.events_of).to_owned(), from);
                let tries = reading.tries + 1;
                self.read_on(RestReading { tries, ..RestReading::new(reading.asker, reading.events_of, from) });
            }
            _ => self.answer_events(&reading, None),
        }
    }

    /// Ends a reading. The next call that still waits has its turn.
    fn answer_events(&mut self, reading: &RestReading, events: Option<Vec<RestEvent>>) {
        if let Some(Origin::Read(id)) = self.hub.back_end.close(reading.asker) {
            let failed = || Refusal::new(ErrorKind::Failure, "the server could not read the events");
            self.rest.answer(id, events.map(RestAnswer::Events).ok_or_else(failed));
        }
        let Some(waiting) = self.rest.readings.0.get_mut(name(reading.events_of)) else { return };
        while let Some(asker) = waiting.pop_front() {
            if self.hub.back_end.is_open(asker) {
                return self.begin_reading(asker, reading.events_of);
            }
        }
        self.rest.readings.0.remove(name(reading.events_of));
    }
}

/// What the vendor's words for an event are.
fn vendor_events(events_of: RestEventsOf, LoggedEvent { time, event }: LoggedEvent) -> Vec<RestEvent> {
    let (user_id, channel_id, arrivals) = match (events_of, event) {
        (RestEventsOf::Users, ProjectEvent::UserOnline { user_id, .. }) => (user_id, None, &[true][..]),
        (RestEventsOf::Users, ProjectEvent::UserOffline { user_id, .. }) => (user_id, None, &[false][..]),
        // To the vendor that is a logout, and a login.
        (RestEventsOf::Users, ProjectEvent::SessionStarted { user_id, takeover: true, .. }) => {
            (user_id, None, &[false, true][..])
        }
        (RestEventsOf::Channels, ProjectEvent::MemberJoined { channel_id, user_id, .. }) => {
            (user_id, Some(channel_id), &[true][..])
        }
        (RestEventsOf::Channels, ProjectEvent::MemberLeft { channel_id, user_id, .. }) => {
            (user_id, Some(channel_id), &[false][..])
        }
        _ => return Vec::new(),
    };
    let event = move |is_arrival: &bool| RestEvent {
        user_id: user_id.clone(),
        channel_id: channel_id.clone(),
        is_arrival: *is_arrival,
        at_ms: time,
    };
    arrivals.iter().map(event).collect()
}

/// What the cursors of these calls are called.
fn name(events_of: RestEventsOf) -> &'static str {
    match events_of {
        RestEventsOf::Channels => "rest.channel_events",
        _ => "rest.user_events",
    }
}

/// How many events that nobody has read are there for these calls, and how many one of them gives.
const KEPT: usize = 2000;
const ANSWERED: usize = 1000;
/// How many events of the log are read at once.
const PAGE: usize = 2048;
/// How often a call begins again after another reader was faster.
const MOST_TRIES: u32 = 8;
