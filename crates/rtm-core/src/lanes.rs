//! Messages between sessions on different nodes: each pair of a sender's session and a receiver is a lane, on which
//! messages arrive in order and once, wherever the two go meanwhile.

mod lane;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use rtm_codec::{Event, RequestId, SessionId, SharedEvent, UserId};

pub(super) use self::lane::{GRACE, Lane, LaneMessage, MessageKey, Place};
use super::{
    binary,
    cluster::{NodeId, NodeName},
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
    /// The receiver and the number of each message on them.
    by_key: HashMap<MessageKey, (UserId, u64), FixedState>,
    heard: IndexMap<[u8; 16], Heard, FixedState>,
    /// Which of these is looked at first when one has to go.
    next_to_go: usize,
}

/// How far a lane has been heard.
#[derive(Debug, Clone, Copy)]
struct Heard {
    last: u64,
    /// The same when it was last looked at whether the lane is in use.
    seen: u64,
}

/// A message of which it is known what became.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) to: UserId,
    /// Whether none to the same receiver is left.
    pub(super) is_last: bool,
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
        let by_key = HashMap::with_hasher(hasher.clone());
        Self { last: 0, open: BTreeMap::new(), by_key, heard: IndexMap::with_hasher(hasher), next_to_go: 0 }
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

    /// Puts a message behind those to the same receiver. A message may be there already, if its receiver came to this node and left
    /// it again: then only its place changes. Says whether it is the first one to this receiver.
    pub(super) fn push(&mut self, to: &UserId, mut message: LaneMessage) -> bool {
        let known = self.by_key.get(&message.key()).filter(|(receiver, _)| receiver == to);
        if let Some((_, n)) = known
            && let Some(lane) = self.open.get_mut(to)
            && lane.move_to(*n, &message.place)
        {
            return false;
        }
        self.last += 1;
        message.n = self.last;
        self.by_key.insert(message.key(), (to.clone(), message.n));
        if let Some(lane) = self.open.get_mut(to) {
            lane.push(message);
            return false;
        }
        self.open.entry(to.clone()).or_default().push(message);
        true
    }

    /// Whether a message that is on one of them is stored if its receiver's device does not get it.
    pub(super) fn stores(&self, key: &MessageKey) -> Option<bool> {
        let (to, n) = self.by_key.get(key)?;
        self.open.get(to)?.get(*n).map(|message| message.store)
    }

    /// It is known what became of a message.
    pub(super) fn settle(&mut self, key: MessageKey) -> Option<Settled> {
        let (to, n) = self.by_key.remove(&key)?;
        self.open.get_mut(&to)?.remove(n)?;
        let is_last = self.close_if_empty(&to);
        Some(Settled { to, is_last })
    }

    /// Takes the messages out that wait to be sent.
    pub(super) fn take_waiting(&mut self, to: &UserId) -> Vec<LaneMessage> {
        let taken = self.open.get_mut(to).map(Lane::take_waiting);
        self.forget(taken)
    }

    /// Takes the messages out that may have reached a device, and must not go to it again.
    pub(super) fn take_unrepeatable(&mut self, to: &UserId, now: Instant) -> Vec<LaneMessage> {
        let taken = self.open.get_mut(to).map(|lane| lane.take_unrepeatable(now));
        self.forget(taken)
    }

    /// Takes the messages out that may have reached a device.
    pub(super) fn take_given_back(&mut self, to: &UserId) -> Vec<LaneMessage> {
        let taken = self.open.get_mut(to).map(Lane::take_given_back);
        self.forget(taken)
    }

    /// Takes the messages out whose outcome nobody tells in time.
    pub(super) fn take_overdue(&mut self, to: &UserId, now: Instant) -> Vec<LaneMessage> {
        let taken = self.open.get_mut(to).map(|lane| lane.take_overdue(now));
        self.forget(taken)
    }

    fn forget(&mut self, taken: Option<Vec<LaneMessage>>) -> Vec<LaneMessage> {
        let taken = taken.unwrap_or_default();
        for message in &taken {
            self.by_key.remove(&message.key());
        }
        taken
    }

    /// Closes a lane without messages. Says whether it did.
    pub(super) fn close_if_empty(&mut self, to: &UserId) -> bool {
        self.open.get(to).is_some_and(Lane::is_empty) && self.open.remove(to).is_some()
    }

    /// Whether messages are here or under way, so that answers to them are to come to this node.
    pub(super) fn are_unsettled(&self) -> bool {
        !self.open.values().all(Lane::is_all_placed)
    }

    /// A message of the lane from this session has come; `after` is the last one before it that nobody has yet, if any.
    pub(super) fn hear(&mut self, from: SessionId, n: u64, after: u64) -> Hearing {
        match self.heard.get_mut(&from.0) {
            Some(heard) if n <= heard.last => Hearing::Known,
            Some(heard) if after > heard.last => Hearing::Missing,
            Some(heard) => {
                heard.last = n;
                Hearing::Next
            }
            // The message before it was refused or lost, and comes again. It must not be taken for a repeat then.
            None if after > 0 => Hearing::Missing,
            None => {
                if self.heard.len() >= HEARD_LANES {
                    self.forget_unused();
                }
                self.heard.insert(from.0, Heard { last: n, seen: n });
                Hearing::Next
            }
        }
    }

    /// Forgets a lane on which nothing has come since all were looked at: one in use that is forgotten may bring repeats.
    fn forget_unused(&mut self) {
        for _ in 0..=self.heard.len() {
            if self.next_to_go >= self.heard.len() {
                self.next_to_go = 0;
            }
            match self.heard.get_index_mut(self.next_to_go) {
                Some((_, heard)) if heard.seen != heard.last => heard.seen = heard.last,
                _ => break,
            }
            self.next_to_go += 1;
        }
        self.heard.swap_remove_index(self.next_to_go);
        self.next_to_go += 1;
    }

    /// Whether a message of the lane from this session has come.
    pub(super) fn has_heard(&self, from: SessionId, n: u64) -> bool {
        self.heard.get(&from.0).is_some_and(|heard| n <= heard.last)
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
        let lane = |(to, lane): (&UserId, &Lane)| (Id(to.clone()), lane.messages().map(message).collect());
        LanesV1 {
            last: self.last,
            open: self.open.iter().map(lane).collect(),
            heard: self.heard.iter().map(|(from, heard)| (*from, heard.last)).collect(),
        }
    }

    pub(super) fn unpack(packed: LanesV1, hasher: FixedState, time: PackTime) -> Option<Self> {
        let mut lanes = Self { last: packed.last, ..Self::new(hasher) };
        for (Id(to), messages) in packed.open {
            let mut lane = Lane::default();
            let mut before = None;
            for message in messages {
                let event = binary::event(message.event.into())?;
                let place = match message.placed {
                    Some(PlacedV1 { node, incarnation, drops_repeats }) => {
                        let node = NodeId { name: NodeName::told(&node).ok()?, incarnation };
                        Place::Placed { node, drops_repeats }
                    }
                    None => Place::Waiting,
                };
                let n = message.n;
                let is_good = matches!(event, Event::MessageFromPeer(_)) && before < Some(n) && n <= packed.last;
                if !is_good || lane.len() == LANE_MESSAGES {
                    return None;
                }
                before = Some(n);
                let message = LaneMessage {
                    n,
                    numbering: message.numbering,
                    request: RequestId(message.request),
                    event: SharedEvent::for_one(event),
                    store: message.store,
                    deadline: time.instant(message.deadline),
                    place,
                };
                lanes.by_key.insert(message.key(), (to.clone(), n));
                lane.push(message);
            }
            lanes.open.insert(to, lane);
        }
        lanes.heard.extend(packed.heard.into_iter().map(|(from, last)| (from, Heard { last, seen: last })));
        (lanes.heard.len() <= HEARD_LANES).then_some(lanes)
    }
}

/// So many messages of a session are on their way to one receiver: more than a client may have under way.
const LANE_MESSAGES: usize = 8192;
/// So many lanes are known at their end.
const HEARD_LANES: usize = 4096;
