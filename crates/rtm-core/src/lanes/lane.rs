//! The messages on one lane, and how far each has come. What is asked for each message is counted, and not looked up among all.

use std::{
    collections::{VecDeque, vec_deque},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use rtm_codec::{Event, MessageId, RequestId, SessionId, SharedEvent};

use crate::{cluster::NodeId, notes::Asker};

/// The messages to one receiver of which it is not known what became of them, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Their numbers rise.
    messages: VecDeque<LaneMessage>,
    counts: Counts,
    /// No message with a lower number is sent and not answered.
    unanswered_from: u64,
    /// Where the receiver is has to be asked before anything goes on.
    pub(crate) is_lost: bool,
    /// Whether that is being asked.
    pub(crate) is_asking: bool,
    /// The receiver's session, as it was known when something was sent last.
    pub(crate) sent_to: Option<SessionId>,
    /// Nothing goes on before this.
    pub(crate) wait_until: Option<Instant>,
    /// The revision of the receiver's entry, if the node that it names has said that the receiver is not there.
    pub(crate) denied: Option<u64>,
}

/// How many of the messages are where.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// On no other node.
    here: usize,
    /// Those of them that may have reached a device.
    given_back: usize,
    /// Sent, and not answered.
    sent: usize,
    /// In a session on a node, which stores them if their receiver does not take them. Nodes without any are left out.
    to_be_stored: Vec<(NodeId, usize)>,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct LaneMessage {
    /// Its number among those of its sender's session.
    pub(crate) n: u64,
    pub(crate) numbering: u32,
    pub(crate) request: RequestId,
    pub(crate) event: SharedEvent,
    pub(crate) store: bool,
    /// When its receiver's session gives it up.
    pub(crate) deadline: Instant,
    pub(super) place: Place,
}

/// By what a message of a session is known: a client may use the numbers of its requests or its messages again, but not both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MessageKey {
    numbering: u32,
    request: RequestId,
    message_id: Option<MessageId>,
}

impl MessageKey {
    pub(crate) fn new(asker: Asker, message_id: MessageId) -> Self {
        Self { numbering: asker.numbering, request: asker.request, message_id: Some(message_id) }
    }
}

/// How far a message has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is here.
    Waiting,
    /// It is here again: the node that it was sent to left, and its receiver may come back soon. Whether the receiver's session
    /// had it for certain, and whether its device recognises repeats, as far as is known.
    GivenBack { was_placed: bool, drops_repeats: bool },
    /// It was sent to a node, which has not said yet whether the receiver's session took it.
    Sent(NodeId),
    /// The receiver's session has it, on this node, and says what becomes of it.
    Placed { node: NodeId, drops_repeats: bool },
}

impl Lane {
    pub(crate) fn messages(&self) -> vec_deque::Iter<'_, LaneMessage> {
        self.messages.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Puts a message behind the others, whose numbers are lower.
    pub(super) fn push(&mut self, message: LaneMessage) {
        self.counts.add(&message);
        self.messages.push_back(message);
    }

    /// No message with a lower number is sent and not answered.
    pub(crate) fn unanswered_from(&self) -> u64 {
        self.unanswered_from
    }

    /// The requests of the messages with these numbers that a session on another node has.
    pub(crate) fn placed(&self, numbers: RangeInclusive<u64>) -> impl Iterator<Item = RequestId> {
        let first = self.messages.partition_point(|message| message.n < *numbers.start());
        let end = self.messages.partition_point(|message| message.n <= *numbers.end());
        let is_placed = |message: &&LaneMessage| matches!(message.place, Place::Placed { .. });
        self.messages.range(first.min(end)..end).filter(is_placed).map(|message| message.request)
    }

    /// The message with this number.
    pub(super) fn get(&self, n: u64) -> Option<&LaneMessage> {
        self.messages.get(self.index(n)?)
    }

    /// Takes the message with this number out.
    pub(super) fn remove(&mut self, n: u64) -> Option<LaneMessage> {
        let message = self.messages.remove(self.index(n)?)?;
        self.counts.remove(&message);
        Some(message)
    }

    /// The message with this number is there now. Says whether it is on this lane.
    pub(super) fn move_to(&mut self, n: u64, place: &Place) -> bool {
        let Some(index) = self.index(n) else { return false };
        let message = &mut self.messages[index];
        self.counts.remove(message);
        message.place = place.clone();
        self.counts.add(message);
        true
    }

    /// A node has placed all up to this number that were sent there. Says whether there was any.
    pub(crate) fn place_up_to(&mut self, n: u64, by: &NodeId, place: &Place) -> bool {
        let first = self.messages.partition_point(|message| message.n < self.unanswered_from);
        let end = self.messages.partition_point(|message| message.n <= n);
        let (mut is_any, mut is_all) = (false, true);
        for message in self.messages.range_mut(first.min(end)..end).filter(|message| message.is_sent()) {
            if message.place == Place::Sent(by.clone()) {
                self.counts.remove(message);
                message.place = place.clone();
                self.counts.add(message);
                is_any = true;
            } else {
                is_all = false;
            }
        }
        if is_all {
            self.unanswered_from = self.unanswered_from.max(n.saturating_add(1));
        }
        is_any
    }

    /// A node does not have the message with this number, which was sent there: it waits here again. Says whether it was.
    pub(crate) fn take_back(&mut self, n: u64, from: &NodeId) -> bool {
        let Some(index) = self.index(n) else { return false };
        let message = &mut self.messages[index];
        if message.place != Place::Sent(from.clone()) {
            return false;
        }
        self.counts.remove(message);
        message.place = Place::Waiting;
        self.counts.add(message);
        true
    }

    /// Gives each message another place for which `place` says one.
    pub(crate) fn replace(&mut self, mut place: impl FnMut(&Place) -> Option<Place>) {
        for message in &mut self.messages {
            if let Some(place) = place(&message.place) {
                self.counts.remove(message);
                message.place = place;
                self.counts.add(message);
            }
        }
    }

    /// Whether a message was sent and not answered.
    pub(crate) fn has_sent(&self) -> bool {
        self.counts.sent > 0
    }

    /// Whether one was sent to another node than this, and not answered.
    pub(crate) fn has_sent_elsewhere(&self, node: &NodeId) -> bool {
        // Nothing goes to a node before all that was sent to another one is answered: one tells of all.
        let sent = |message: &LaneMessage| match &message.place {
            Place::Sent(to) => Some(to != node),
            _ => None,
        };
        self.has_sent() && self.messages.iter().rev().find_map(sent) == Some(true)
    }

    /// Whether a message waits to be sent.
    pub(crate) fn has_waiting(&self) -> bool {
        self.counts.here > 0
    }

    /// Whether a message waits for its receiver to come back.
    pub(crate) fn awaits_return(&self, now: Instant) -> bool {
        self.messages.iter().any(|message| message.is_given_back() && now < message.deadline)
    }

    /// Whether it is known of each message that the receiver's session has it.
    pub(super) fn is_all_placed(&self) -> bool {
        self.counts.here == 0 && self.counts.sent == 0
    }

    /// Whether the next message has one before it that may be stored yet by a node other than the receiver's: it would
    /// overtake that.
    pub(crate) fn awaits_outcome(&self, receiver: Option<&NodeId>) -> bool {
        let mut stored_elsewhere = self.counts.to_be_stored.iter();
        if !stored_elsewhere.any(|(node, _)| Some(node) != receiver) {
            return false;
        }
        let before = self.messages.iter().take_while(|message| !message.is_here());
        before.into_iter().any(|message| message.stored_by().is_some_and(|node| Some(node) != receiver))
    }

    /// Whether a message may have reached a device.
    pub(crate) fn has_given_back(&self) -> bool {
        self.counts.given_back > 0
    }

    /// Takes those messages out.
    pub(super) fn take_given_back(&mut self) -> Vec<LaneMessage> {
        self.take(LaneMessage::is_given_back)
    }

    /// Whether a message may have reached a device, and must not go to it again.
    pub(crate) fn has_unrepeatable(&self, now: Instant) -> bool {
        self.has_given_back() && self.messages.iter().any(|message| message.is_unrepeatable(now))
    }

    /// Takes those messages out.
    pub(super) fn take_unrepeatable(&mut self, now: Instant) -> Vec<LaneMessage> {
        self.take(|message| message.is_unrepeatable(now))
    }

    /// Takes the messages out that wait to be sent.
    pub(super) fn take_waiting(&mut self) -> Vec<LaneMessage> {
        self.take(LaneMessage::is_here)
    }

    /// Takes the messages out whose outcome nobody tells in time.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Vec<LaneMessage> {
        let is_overdue = |message: &LaneMessage| message.deadline + GRACE <= now;
        if self.messages.iter().any(is_overdue) { self.take(is_overdue) } else { Vec::new() }
    }

    /// Those that wait are sent to a node. It is told of each, with the number of the last one before it that no session has
    /// yet, or 0.
    pub(crate) fn send_waiting(&mut self, node: &NodeId, mut tell: impl FnMut(&LaneMessage, u64)) {
        let is_before = |message: &&LaneMessage| !matches!(message.place, Place::Placed { .. });
        let first = self.first_waiting();
        let sent_before = if self.has_sent() { self.messages.range(..first).rfind(is_before) } else { None };
        let mut after = sent_before.map_or(0, |message| message.n);
        for message in self.messages.range_mut(first..) {
            if message.is_here() {
                self.counts.remove(message);
                message.place = Place::Sent(node.clone());
                self.counts.add(message);
                self.unanswered_from = self.unanswered_from.min(message.n);
                tell(message, after);
            }
            if is_before(&&*message) {
                after = message.n;
            }
        }
    }

    /// The index of the first message that waits. Most often it is the last of all.
    fn first_waiting(&self) -> usize {
        let mut index = self.messages.len();
        let mut left = self.counts.here;
        while left > 0 && index > 0 {
            index -= 1;
            left -= usize::from(self.messages[index].is_here());
        }
        index
    }

    fn take(&mut self, is_it: impl Fn(&LaneMessage) -> bool) -> Vec<LaneMessage> {
        let (taken, kept) = std::mem::take(&mut self.messages).into_iter().partition(is_it);
        self.messages = kept;
        let taken = Vec::from(taken);
        taken.iter().for_each(|message| self.counts.remove(message));
        taken
    }

    fn index(&self, n: u64) -> Option<usize> {
        // Most often they are settled in their order.
        if self.messages.front().is_some_and(|first| first.n == n) {
            return Some(0);
        }
        self.messages.binary_search_by_key(&n, |message| message.n).ok()
    }
}

impl Counts {
    fn add(&mut self, message: &LaneMessage) {
        self.here += usize::from(message.is_here());
        self.given_back += usize::from(message.is_given_back());
        self.sent += usize::from(message.is_sent());
        if let Some(node) = message.stored_by() {
            match self.to_be_stored.iter_mut().find(|(other, _)| other == node) {
                Some((_, count)) => *count += 1,
                None => self.to_be_stored.push((node.clone(), 1)),
            }
        }
    }

    fn remove(&mut self, message: &LaneMessage) {
        self.here -= usize::from(message.is_here());
        self.given_back -= usize::from(message.is_given_back());
        self.sent -= usize::from(message.is_sent());
        if let Some(node) = message.stored_by()
            && let Some(at) = self.to_be_stored.iter().position(|(other, _)| other == node)
        {
            self.to_be_stored[at].1 -= 1;
            if self.to_be_stored[at].1 == 0 {
                self.to_be_stored.swap_remove(at);
            }
        }
    }
}

impl LaneMessage {
    /// A message that gets its number on its lane.
    pub(crate) fn new(asker: Asker, event: SharedEvent, store: bool, deadline: Instant, place: Place) -> Self {
        Self { n: 0, numbering: asker.numbering, request: asker.request, event, store, deadline, place }
    }

    pub(crate) fn message_id(&self) -> Option<MessageId> {
        match self.event.event() {
            Event::MessageFromPeer(message) => Some(message.message_id),
            _ => None,
        }
    }

    pub(super) fn key(&self) -> MessageKey {
        MessageKey { numbering: self.numbering, request: self.request, message_id: self.message_id() }
    }

    /// Whether it is on no other node.
    fn is_here(&self) -> bool {
        matches!(self.place, Place::Waiting | Place::GivenBack { .. })
    }

    /// Whether it must not go to its receiver again: its device would not recognise it, or who had it gave it up when its time was
    /// over, and may have stored later ones of its sender, which have come since.
    fn is_unrepeatable(&self, now: Instant) -> bool {
        match self.place {
            Place::GivenBack { drops_repeats, .. } => !drops_repeats || (!self.store && self.deadline <= now),
            _ => false,
        }
    }

    fn is_given_back(&self) -> bool {
        matches!(self.place, Place::GivenBack { .. })
    }

    fn is_sent(&self) -> bool {
        matches!(self.place, Place::Sent(_))
    }

    /// The node that stores it if its receiver does not take it.
    fn stored_by(&self) -> Option<&NodeId> {
        match &self.place {
            Place::Placed { node, .. } if self.store => Some(node),
            _ => None,
        }
    }
}

/// How much later than a session gives a message up its sender stops waiting to hear of it.
pub(crate) const GRACE: Duration = Duration::from_secs(6);
