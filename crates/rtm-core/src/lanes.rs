//! Messages between sessions on different nodes: each pair of a sender's session and a receiver is a lane, on which
//! messages arrive in order and once, wherever the two go meanwhile.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use rtm_codec::{Event, MessageId, RequestId, SessionId, SharedEvent, UserId};

use super::{
    binary,
    cluster::{NodeId, NodeName},
    notes::Asker,
    pack::{
        format::{Id, LaneMessageV1, LanesV1, PlacedV1},
        packer::Packer,
        times::PackTime,
    },
};

/// The lanes of a session: those that it sends on, and how far it has heard those that end at it.
#[derive(Debug)]
pub(super) struct Lanes {
    last: u64,
    open: BTreeMap<UserId, Lane>,
    heard: IndexMap<[u8; 16], u64, FixedState>,
}

/// The messages to one receiver of which it is not known what became of them, oldest first.
#[derive(Debug, Default)]
pub(super) struct Lane {
    messages: VecDeque<LaneMessage>,
    /// Where the receiver is has to be asked before anything goes on.
    pub(super) is_lost: bool,
    /// Whether that is being asked.
    pub(super) is_asking: bool,
    /// The receiver's session, as it was known when something was sent last.
    pub(super) sent_to: Option<SessionId>,
    /// Nothing goes on before this.
    pub(super) wait_until: Option<Instant>,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct LaneMessage {
    pub(super) n: u64,
    pub(super) numbering: u32,
    pub(super) request: RequestId,
    pub(super) event: SharedEvent,
    pub(super) store: bool,
    /// When its receiver's session gives it up.
    pub(super) deadline: Instant,
    pub(super) place: Place,
}

/// A message of which it is known what became.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) to: UserId,
    /// Whether none to the same receiver is left.
    pub(super) is_last: bool,
}

/// How far a message has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It is here.
    Waiting,
    /// It is here again: the node that it was sent to left, and its receiver may come back soon. If the receiver's session
    /// had it, whether its device recognises repeats.
    GivenBack { placed: Option<bool> },
    /// It was sent to a node, which has not said yet whether the receiver's session took it.
    Sent(NodeId),
    /// The receiver's session has it, on this node, and says what becomes of it.
    Placed { node: NodeId, drops_repeats: bool },
}

/// What the receiver's session makes of a message's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It comes next.
    Next,
    /// It came before.
    Known,
    /// One before it has not come.
    Missing,
}

impl Lanes {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { last: 0, open: BTreeMap::new(), heard: IndexMap::with_hasher(hasher) }
    }

    pub(super) fn lane(&self, to: &UserId) -> Option<&Lane> {
        self.open.get(to)
    }

    pub(super) fn lane_mut(&mut self, to: &UserId) -> Option<&mut Lane> {
        self.open.get_mut(to)
    }

    /// The receivers of messages of which it is not known what became of them.
    pub(super) fn receivers(&self) -> Vec<UserId> {
        self.open.keys().cloned().collect()
    }

    /// Puts a message behind those to the same receiver.
    pub(super) fn push(&mut self, to: &UserId, message: LaneMessage) {
        self.last += 1;
        let message = LaneMessage { n: self.last, ..message };
        self.open.entry(to.clone()).or_default().messages.push_back(message);
    }

    /// It is known what became of a message.
    pub(super) fn settle(&mut self, message_id: MessageId) -> Option<Settled> {
        let find = |lane: &Lane| lane.messages.iter().position(|message| message.message_id() == Some(message_id));
        let (to, lane, at) = self.open.iter_mut().find_map(|(to, lane)| find(lane).map(|at| (to, lane, at)))?;
        lane.messages.remove(at);
        let (to, is_last) = (to.clone(), lane.messages.is_empty());
        if is_last {
            self.open.remove(&to);
        }
        Some(Settled { to, is_last })
    }

    /// Closes a lane without messages. Says whether it did.
    pub(super) fn close_if_empty(&mut self, to: &UserId) -> bool {
        self.open.get(to).is_some_and(|lane| lane.messages.is_empty()) && self.open.remove(to).is_some()
    }

    /// Whether messages are here or under way, so that answers to them are to come to this node.
    pub(super) fn are_unsettled(&self) -> bool {
        let is_placed = |message: &LaneMessage| matches!(message.place, Place::Placed { .. });
        self.open.values().any(|lane| !lane.messages.iter().all(is_placed))
    }

    /// A message of the lane from this session has come; `after` is the last one before it that nobody has yet, if any.
    pub(super) fn hear(&mut self, from: SessionId, n: u64, after: u64) -> Hearing {
        match self.heard.get_mut(&from.0) {
            Some(last) if n <= *last => Hearing::Known,
            Some(last) if after > *last => Hearing::Missing,
            Some(last) => {
                *last = n;
                Hearing::Next
            }
            None => {
                if self.heard.len() >= HEARD_LANES {
                    self.heard.shift_remove_index(0);
                }
                self.heard.insert(from.0, n);
                Hearing::Next
            }
        }
    }

    /// Whether a message of the lane from this session has come.
    pub(super) fn has_heard(&self, from: SessionId, n: u64) -> bool {
        self.heard.get(&from.0).is_some_and(|last| n <= *last)
    }

    pub(super) fn pack(&self, packer: Packer<'_>) -> LanesV1 {
        let message = |message: &LaneMessage| LaneMessageV1 {
            n: message.n,
            numbering: message.numbering,
            request: message.request.0,
            event: binary::event_bytes(&message.event).into(),
            store: message.store,
            deadline: packer.moment(message.deadline),
            placed: match &message.place {
                Place::Placed { node, drops_repeats } => Some(PlacedV1 {
                    node: node.name.as_str().to_owned(),
                    incarnation: node.incarnation,
                    drops_repeats: *drops_repeats,
                }),
                Place::Waiting | Place::GivenBack { .. } | Place::Sent(_) => None,
            },
        };
        let lane = |(to, lane): (&UserId, &Lane)| (Id(to.clone()), lane.messages.iter().map(message).collect());
        LanesV1 {
            last: self.last,
            open: self.open.iter().map(lane).collect(),
            heard: self.heard.iter().map(|(from, last)| (*from, *last)).collect(),
        }
    }

    pub(super) fn unpack(packed: LanesV1, hasher: FixedState, time: PackTime) -> Option<Self> {
        let mut lanes = Self { last: packed.last, ..Self::new(hasher) };
        for (Id(to), messages) in packed.open {
            let mut lane = Lane::default();
            for message in messages {
                let event = binary::event(message.event.into())?;
                let is_good = matches!(event, Event::MessageFromPeer(_)) && message.n <= packed.last;
                let place = match message.placed {
                    Some(PlacedV1 { node, incarnation, drops_repeats }) => {
                        let node = NodeId { name: NodeName::told(&node).ok()?, incarnation };
                        Place::Placed { node, drops_repeats }
                    }
                    None => Place::Waiting,
                };
                lane.messages.push_back(LaneMessage {
                    n: message.n,
                    numbering: message.numbering,
                    request: RequestId(message.request),
                    event: SharedEvent::for_one(event),
                    store: message.store,
                    deadline: time.instant(message.deadline),
                    place,
                });
                if !is_good || lane.messages.len() > LANE_MESSAGES {
                    return None;
                }
            }
            lanes.open.insert(to, lane);
        }
        lanes.heard.extend(packed.heard);
        (lanes.heard.len() <= HEARD_LANES).then_some(lanes)
    }
}

impl Lane {
    pub(super) fn messages(&self) -> impl Iterator<Item = &LaneMessage> {
        self.messages.iter()
    }

    pub(super) fn messages_mut(&mut self) -> impl Iterator<Item = &mut LaneMessage> {
        self.messages.iter_mut()
    }

    /// Whether a message was sent and not answered.
    pub(super) fn has_sent(&self) -> bool {
        self.messages.iter().any(|message| matches!(message.place, Place::Sent(_)))
    }

    /// Whether a message waits to be sent.
    pub(super) fn has_waiting(&self) -> bool {
        self.messages.iter().any(LaneMessage::is_here)
    }

    /// Whether a message waits for its receiver to come back.
    pub(super) fn awaits_return(&self, now: Instant) -> bool {
        self.messages.iter().any(|message| matches!(message.place, Place::GivenBack { .. }) && now < message.deadline)
    }

    /// Takes the messages out that may have reached a device which would not recognise them.
    pub(super) fn take_unrepeatable(&mut self) -> Vec<LaneMessage> {
        let is_it = |message: &LaneMessage| message.place == Place::GivenBack { placed: Some(false) };
        let taken = self.messages.iter().filter(|message| is_it(message)).cloned().collect();
        self.messages.retain(|message| !is_it(message));
        taken
    }

    /// Whether the next message has one before it that may be stored yet by a node other than the receiver's: it would
    /// overtake that.
    pub(super) fn awaits_outcome(&self, receiver: Option<&NodeId>) -> bool {
        let before = self.messages.iter().take_while(|message| !message.is_here());
        before.into_iter().any(|message| {
            message.store && matches!(&message.place, Place::Placed { node, .. } if Some(node) != receiver)
        })
    }

    /// Takes the messages out that wait to be sent.
    pub(super) fn take_waiting(&mut self) -> Vec<LaneMessage> {
        let waiting: Vec<_> = self.messages.iter().filter(|message| message.is_here()).cloned().collect();
        self.messages.retain(|message| !message.is_here());
        waiting
    }
}

impl LaneMessage {
    /// A message that gets its number on its lane.
    pub(super) fn new(asker: Asker, event: SharedEvent, store: bool, deadline: Instant, place: Place) -> Self {
        Self { n: 0, numbering: asker.numbering, request: asker.request, event, store, deadline, place }
    }

    /// Whether it is on no other node.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.place, Place::Waiting | Place::GivenBack { .. })
    }

    pub(super) fn message_id(&self) -> Option<MessageId> {
        match self.event.event() {
            Event::MessageFromPeer(message) => Some(message.message_id),
            _ => None,
        }
    }
}

/// So many messages of a session are on their way to one receiver: more than a client may have under way.
const LANE_MESSAGES: usize = 8192;
/// So many lanes are known at their end.
const HEARD_LANES: usize = 4096;
