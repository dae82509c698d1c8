//! A stream that is divided into parts: which part an event goes to, and up to where all events were taken.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

use rtm_codec::ChannelId;
use rtm_connection::{ConnectionState, GapReason, RtmEvent};

/// The events of a divided stream.
#[derive(Debug, Default)]
pub(super) struct Divided {
    ledger: Ledger,
    /// In the order in which they were made: each event goes to the first that picks it.
    parts: Vec<Part>,
    rest: Waiting,
    next: u64,
}

/// Names a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartId(u64);

/// What decides which events a part gets.
pub(super) struct Picker {
    /// The channel, if the part is that of a channel.
    pub(super) channel_id: Option<ChannelId>,
    pub(super) picks: Box<dyn FnMut(&RtmEvent) -> bool + Send>,
}

struct Part {
    id: PartId,
    picker: Picker,
    waiting: Waiting,
}

/// What waits for one reader.
#[derive(Debug, Default)]
struct Waiting {
    /// Each with its place in the whole stream; a copy of what every part is told has none, nor has the gap that tells of
    /// those dropped.
    events: VecDeque<(Option<u64>, RtmEvent)>,
    /// How many of them may be dropped: they have a place, and the server told them.
    droppable: usize,
    /// How many of those may wait, if the oldest are dropped beyond that.
    most: Option<usize>,
    reader: Option<Waker>,
}

/// Which of the events that are not all taken were. The server is told up to where all were, since a session that goes on
/// elsewhere goes on from there.
#[derive(Debug, Default)]
struct Ledger {
    first: u64,
    taken: VecDeque<bool>,
}

/// What a reader takes, and how many events more the server may be told of.
type Taken = (RtmEvent, u32);

impl Divided {
    /// Puts an event where it belongs. Says how many events more are taken by that: those that nobody is to read.
    pub(super) fn route(&mut self, event: RtmEvent, rest_is_read: bool) -> u32 {
        let place = self.ledger.add();
        let waiting = if concerns_all(&event) {
            self.parts.iter_mut().for_each(|part| part.waiting.copy(&event));
            None
        } else {
            self.parts.iter_mut().find_map(|part| part.picks(&event).then_some(&mut part.waiting))
        };
        match waiting {
            Some(waiting) => waiting.push(place, event),
            None if rest_is_read => self.rest.push(place, event),
            None => return self.ledger.take(place),
        }
        self.drop_oldest()
    }

    /// A new part, with the events of the rest that it picks.
    pub(super) fn add(&mut self, picker: Picker) -> PartId {
        let id = PartId(self.next);
        self.next += 1;
        let mut part = Part { id, picker, waiting: Waiting::default() };
        for (place, event) in std::mem::take(&mut self.rest.events) {
            match place {
                Some(place) if !concerns_all(&event) && part.picks(&event) => {
                    self.rest.droppable -= usize::from(is_droppable(&event));
                    part.waiting.push(place, event);
                }
                place => self.rest.events.push_back((place, event)),
            }
        }
        self.parts.push(part);
        id
    }

    /// Ends a part: what waits in it goes back to the rest. Says how many events are taken by that, and gives back what
    /// picked: it is the application's, and is dropped where nothing is locked.
    pub(super) fn remove(&mut self, id: PartId, rest_is_read: bool) -> Option<(u32, Picker)> {
        let at = self.parts.iter().position(|part| part.id == id)?;
        let Part { picker, waiting, .. } = self.parts.remove(at);
        let back = waiting.events.into_iter().filter_map(|(place, event)| Some((place?, event)));
        if !rest_is_read {
            return Some((back.map(|(place, _)| self.ledger.take(place)).sum(), picker));
        }
        let mut back = back.peekable();
        let rest = std::mem::take(&mut self.rest.events);
        for (place, event) in rest {
            while let Some((earlier, event)) = back.next_if(|(earlier, _)| place.is_some_and(|place| *earlier < place))
            {
                self.rest.push(earlier, event);
            }
            self.rest.events.push_back((place, event));
        }
        back.for_each(|(place, event)| self.rest.push(place, event));
        Some((0, picker))
    }

    /// Nobody reads the rest any more. Says how many events are taken by that.
    pub(super) fn abandon_rest(&mut self) -> u32 {
        let places = std::mem::take(&mut self.rest).events.into_iter().filter_map(|(place, _)| place);
        places.map(|place| self.ledger.take(place)).sum()
    }

    /// From now on a part drops its oldest events beyond `most`. Says how many events are taken by that.
    pub(super) fn set_most(&mut self, id: PartId, most: usize) -> u32 {
        if let Some(part) = self.part(id) {
            part.waiting.most = Some(most);
        }
        self.drop_oldest()
    }

    /// The next event of a part, or of the rest.
    pub(super) fn take(&mut self, id: Option<PartId>) -> Option<Taken> {
        let waiting = match id {
            None => &mut self.rest,
            Some(id) => &mut self.part(id)?.waiting,
        };
        let (place, event) = waiting.events.pop_front()?;
        waiting.droppable -= usize::from(place.is_some() && is_droppable(&event));
        Some((event, place.map_or(0, |place| self.ledger.take(place))))
    }

    /// Who waits for the next event of a part, or of the rest.
    pub(super) fn reader(&mut self, id: Option<PartId>) -> Option<&mut Option<Waker>> {
        match id {
            None => Some(&mut self.rest.reader),
            Some(id) => self.part(id).map(|part| &mut part.waiting.reader),
        }
    }

    /// How many events wait in a part, or in the rest.
    pub(super) fn len(&self, id: Option<PartId>) -> usize {
        let waiting = match id {
            None => Some(&self.rest),
            Some(id) => self.parts.iter().find(|part| part.id == id).map(|part| &part.waiting),
        };
        waiting.map_or(0, |waiting| waiting.events.len())
    }

    /// Everybody who waits, and has something to take now.
    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        let all = self.parts.iter_mut().map(|part| &mut part.waiting).chain([&mut self.rest]);
        all.filter(|waiting| !waiting.events.is_empty()).filter_map(|waiting| waiting.reader.take()).collect()
    }

    /// Everybody who waits.
    pub(super) fn take_readers(&mut self) -> Vec<Waker> {
        let all = self.parts.iter_mut().map(|part| &mut part.waiting).chain([&mut self.rest]);
        all.filter_map(|waiting| waiting.reader.take()).collect()
    }

    fn part(&mut self, id: PartId) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.id == id)
    }

    fn drop_oldest(&mut self) -> u32 {
        let mut taken = 0;
        for part in &mut self.parts {
            while let Some(place) = part.waiting.drop_oldest(part.picker.channel_id.as_ref()) {
                taken += self.ledger.take(place);
            }
        }
        taken
    }
}

impl Part {
    /// Whether an event is for this part. A closure that panics picks nothing: it runs in the client's task.
    fn picks(&mut self, event: &RtmEvent) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.picker.picks)(event))).unwrap_or(false)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("id", &self.id).field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Waiting {
    fn push(&mut self, place: u64, event: RtmEvent) {
        self.droppable += usize::from(is_droppable(&event));
        self.events.push_back((Some(place), event));
    }

    /// Tells a reader what concerns all parts. Copies behind each other that say the same become one, so that a reader who
    /// takes nothing holds few.
    fn copy(&mut self, event: &RtmEvent) {
        let latest = self.events.iter_mut().rev().take_while(|(place, event)| place.is_none() && !is_lossy(event));
        for (_, known) in latest {
            match (known, event) {
                (
                    RtmEvent::Gap { channel_id: None, lost, reason, .. },
                    RtmEvent::Gap { channel_id: None, lost: more, reason: also, .. },
                ) if reason == also => {
                    *lost = lost.zip(*more).map(|(lost, more)| lost.saturating_add(more));
                    return;
                }
                (known, event) if known == event => return,
                _ => {}
            }
        }
        self.events.push_back((None, event.clone()));
    }

    /// Drops the oldest event that may be dropped, if there are too many. Says which place it had. A gap comes where the first
    /// one was, after all that is older, and counts those that are dropped before it is read.
    fn drop_oldest(&mut self, channel_id: Option<&ChannelId>) -> Option<u64> {
        if self.droppable <= self.most? {
            return None;
        }
        let oldest = self.events.iter().position(|(place, event)| place.is_some() && is_droppable(event))?;
        let (place, _) = self.events.remove(oldest)?;
        self.droppable -= 1;
        // What is older than the oldest that may be dropped is little.
        match self.events.iter_mut().take(oldest).find(|(_, event)| is_lossy(event)) {
            Some((_, RtmEvent::Gap { lost: Some(lost), .. })) => *lost += 1,
            _ => self.events.insert(oldest, (None, RtmEvent::gap(channel_id.cloned(), Some(1), GapReason::Lossy))),
        }
        place
    }
}

impl Ledger {
    /// The place of the next event.
    fn add(&mut self) -> u64 {
        self.taken.push_back(false);
        self.first + self.taken.len() as u64 - 1
    }

    /// The event at a place is taken. Says how many more follow each other now, from the first on, that are.
    fn take(&mut self, place: u64) -> u32 {
        let at = place.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(taken) = at.and_then(|at| self.taken.get_mut(at)) {
            *taken = true;
        }
        let mut more = 0;
        while self.taken.front() == Some(&true) {
            self.taken.pop_front();
            self.first += 1;
            more += 1;
        }
        more
    }
}

/// Whether an event is for every part: events of any kind are missing, or the session is over.
fn concerns_all(event: &RtmEvent) -> bool {
    matches!(
        event,
        RtmEvent::Gap { channel_id: None, .. }
            | RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, .. }
    )
}

/// Whether an event tells what a lossy part dropped.
fn is_lossy(event: &RtmEvent) -> bool {
    matches!(event, RtmEvent::Gap { reason: GapReason::Lossy, .. })
}

/// Whether a lossy part may drop an event: what the client itself tells it may not.
fn is_droppable(event: &RtmEvent) -> bool {
    !matches!(
        event,
        RtmEvent::ConnectionStateChanged { .. }
            | RtmEvent::TokenWillExpire
            | RtmEvent::TokenDidExpire
            | RtmEvent::TokenNeeded { .. }
            | RtmEvent::RestoreFailed { .. }
            | RtmEvent::Gap { .. }
    )
}
