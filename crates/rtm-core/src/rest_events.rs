//! The vendor's two calls for events, as cursors over the log: who reads there takes nothing away from other readers.

use std::collections::VecDeque;

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
    /// The newest that are there, as many as are kept.
    found: VecDeque<(Place, RestEvent)>,
    /// How many older ones there were.
    overwritten: usize,
    pages: usize,
    /// How often another reader was faster.
    tries: u32,
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
        let (found, from) = (VecDeque::new(), self.event_cursor(name(events_of)));
        self.read_on(RestReading { asker, events_of, from, at: from.read, found, overwritten: 0, pages: 0, tries: 0 });
        Ok(None)
    }

    fn read_on(&mut self, reading: RestReading) {
        self.jobs.ask_aside(read(Some(reading.at.0), PAGE), Waiting::RestEvents(Box::new(reading)));
    }

    /// A page of the log has come.
    pub(super) fn rest_events_read(&mut self, mut reading: RestReading, result: Result<StoreAnswer, StoreFailed>) {
        let Ok(StoreAnswer::Entries { entries, more, .. }) = result else { return self.answer_events(&reading, None) };
        for (place, entry) in entries {
            reading.at = place;
            if let LogEntry::Event(event) = entry {
                reading.found.extend(vendor_events(reading.events_of, event).into_iter().map(|event| (place, event)));
            }
            while reading.found.len() > KEPT {
                reading.found.pop_front();
                reading.overwritten += 1;
            }
        }
        reading.pages += 1;
        if more && reading.pages < MOST_PAGES {
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
        if to == reading.from.read {
            return self.answer_events(&reading, Some(events));
        }
        let (work, cursor) = moving(name(reading.events_of), reading.from, to);
        self.jobs.ask_aside(work, Waiting::RestEventsTaken(Box::new(RestRead { reading, events, cursor })));
    }

    /// The cursor has moved, or another reader has moved it.
    pub(super) fn rest_events_taken(&mut self, read: RestRead, result: &Result<StoreAnswer, StoreFailed>) {
        let RestRead { reading, events, cursor } = read;
        match moved(cursor, result) {
            Some(Ok(cursor)) => {
                self.put_event_cursor(name(reading.events_of).to_owned(), cursor);
                self.hub.counters.overwrote(reading.overwritten);
                self.answer_events(&reading, Some(events));
            }
            Some(Err(from)) if reading.tries < MOST_TRIES => {
                self.put_event_cursor(name(reading.events_of).to_owned(), from);
                let tries = reading.tries + 1;
                self.read_on(RestReading {
                    from,
                    at: from.read,
                    found: VecDeque::new(),
                    overwritten: 0,
                    pages: 0,
                    tries,
                    ..reading
                });
            }
            _ => self.answer_events(&reading, None),
        }
    }

    fn answer_events(&mut self, reading: &RestReading, events: Option<Vec<RestEvent>>) {
        let Some(Origin::Read(id)) = self.hub.back_end.close(reading.asker) else { return };
        let failed = || Refusal::new(ErrorKind::Failure, "the server could not read the events");
        self.rest.answer(id, events.map(RestAnswer::Events).ok_or_else(failed));
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
/// How many events of the log are read at once, and how often that is done for one call: who reads seldom reads on
/// with the next one.
const PAGE: usize = 2048;
const MOST_PAGES: usize = 64;
/// How often a call begins again after another reader was faster.
const MOST_TRIES: u32 = 8;
