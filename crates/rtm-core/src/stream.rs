//! The events of one session: numbered when they are first sent, kept until the device has them.

use std::collections::VecDeque;

use rtm_codec::{Epoch, Seq};

use super::{
    Outgoing,
    notes::{Note, Queued},
    pack::{
        format::{PositionV1, StreamV1},
        packer::Packer,
    },
};

/// An [`Ack`](rtm_codec::ClientFrame::Ack) of events that were never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BogusAck;

/// A session's events. The number of an event is its place: that of the first one plus its index.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) epoch: Epoch,
    /// The number of the first event that is kept.
    first: u64,
    /// How many of the kept ones were given to the present connection.
    given: usize,
    /// The highest number that any connection was given.
    highest: u64,
    /// The highest number that the application took.
    consumed: u64,
    /// How many events may be given beyond that; 0 for any number.
    window: u32,
    events: VecDeque<Queued>,
    /// What all kept events count for.
    bytes: usize,
}

impl Stream {
    pub(super) fn new(window: u32) -> Self {
        Self { epoch: Epoch(1), first: 1, given: 0, highest: 0, consumed: 0, window, events: VecDeque::new(), bytes: 0 }
    }

    /// What all kept events count for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many events are kept.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The number that the next event will get.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.bytes += queued.bytes as usize;
        self.events.push_back(queued);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.events.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Queued> {
        self.events.iter_mut()
    }

    /// The event with a number.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Queued> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.events.get_mut(index)
    }

    /// Takes out the events that no connection was ever given, to put others between them.
    pub(super) fn take_unsent(&mut self) -> VecDeque<Queued> {
        let sent = usize::try_from((self.highest + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let unsent = self.events.split_off(sent.min(self.events.len()));
        self.bytes -= unsent.iter().map(|queued| queued.bytes as usize).sum::<usize>();
        unsent
    }

    /// Whether a client can have received and consumed so much of it.
    pub(super) fn knows(&self, received: Seq, consumed: Seq) -> bool {
        received.0 <= self.highest && consumed <= received
    }

    /// Whether the present connection may be given an event.
    pub(super) fn has_output(&self) -> bool {
        self.given < self.events.len() && self.in_window()
    }

    pub(super) fn window(&self) -> u32 {
        self.window
    }

    fn in_window(&self) -> bool {
        self.window == 0 || self.first + (self.given as u64) <= self.consumed.saturating_add(self.window.into())
    }

    /// Gives events to the connection, those with a number below `before`, until they count for `budget` bytes.
    /// Says what is left of the budget.
    pub(super) fn give(&mut self, before: u64, mut budget: usize, out: &mut Vec<Outgoing>) -> usize {
        while budget > 0 && self.first + (self.given as u64) < before && self.in_window() {
            let Some(queued) = self.events.get(self.given) else { break };
            let number = self.first + self.given as u64;
            out.push(Outgoing::Event(Seq(number), queued.event.clone()));
            budget = budget.saturating_sub(queued.bytes as usize);
            self.given += 1;
            self.highest = self.highest.max(number);
        }
        budget
    }

    /// Takes what an application has taken of what its device has received, which is then to be
    /// [taken out](Self::take_received).
    pub(super) fn acknowledge(&mut self, received: Seq, consumed: Seq) -> Result<(), BogusAck> {
        if !self.knows(received, consumed) {
            return Err(BogusAck);
        }
        self.consumed = self.consumed.max(consumed.0);
        Ok(())
    }

    /// Takes out the next event that the device has and that somebody waits for. Those before it are needed no more.
    pub(super) fn take_received(&mut self, received: Seq) -> Option<Queued> {
        while self.first <= received.0 {
            let queued = self.events.pop_front()?;
            self.first += 1;
            self.given = self.given.saturating_sub(1);
            self.bytes -= queued.bytes as usize;
            if queued.note != Note::None {
                return Some(queued);
            }
        }
        None
    }

    /// Takes little memory while nothing happens.
    pub(super) fn tidy(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    /// A connection goes on where another one ended: what was not received is given again.
    pub(super) fn resume(&mut self, window: u32) {
        self.window = window;
        self.given = 0;
    }

    /// A connection that knows nothing of the stream gets all that is left of it, under new numbers.
    pub(super) fn restart(&mut self, window: u32) {
        self.epoch = self.epoch.next();
        self.window = window;
        self.first = 1;
        self.given = 0;
        self.highest = 0;
        self.consumed = 0;
    }

    /// Ends the stream: all events that are left.
    pub(super) fn into_events(self) -> VecDeque<Queued> {
        self.events
    }
}

impl Stream {
    /// `None` while the store is keeping one of the events.
    pub(super) fn pack(&self, packer: Packer<'_>) -> Option<StreamV1> {
        Some(StreamV1 {
            position: PositionV1 {
                epoch: self.epoch.0,
                first: self.first,
                highest: self.highest,
                consumed: self.consumed,
                window: self.window,
            },
            events: self.events.iter().map(|queued| queued.pack(packer)).collect::<Option<_>>()?,
        })
    }

    /// The stream of so many events, which are to be pushed.
    pub(super) fn unpack(packed: &PositionV1, events: usize) -> Option<Self> {
        let PositionV1 { epoch, first, highest, consumed, window } = *packed;
        let end = first.checked_add(events as u64)?;
        let is_good = [epoch, first].iter().all(|number| *number <= COUNTED)
            && 1 <= first
            && highest < end
            && first <= highest + 1
            && consumed <= highest;
        let stream = Self { epoch: Epoch(epoch), first, highest, consumed, ..Self::new(window) };
        is_good.then_some(stream)
    }
}

/// No session has counted to this number: a pack that says otherwise is made up, and counting on could overflow.
pub(super) const COUNTED: u64 = u64::MAX / 4;
