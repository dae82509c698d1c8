//! What is said to other nodes, and what is to be done once they have it.

use std::collections::btree_map;

use rtm_codec::{ChannelId, MessageId, PeerMessage, RequestId, SendOutcome, SessionId, UserId};

use crate::{
    HttpId,
    arena::SessionKey,
    back_end::node_of_back_end,
    cluster::{
        ChannelParcel, ChannelWord, Deliver, Delivered, LaneRun, MessageOutcome, NodeId, PROTO_OF_MANY, PROTO_OF_RUNS,
        PROTO_OF_STORING, Posting, PresenceParcel, ProjectParcel, RunMessage, Ticket, View,
    },
    delivery::Numbered,
    edge::Edge,
    notes::Asker,
    rereading::Storing,
};

/// What is to be done when a parcel has come, or has not.
#[derive(Debug)]
pub(crate) enum Posted {
    /// A message to a channel, the node that it goes to, and its number.
    FanOut(ChannelId, NodeId, u64),
    /// What became of a message.
    Outcome(Box<MessageOutcome>),
    /// Messages have arrived.
    Delivered(Box<Delivered>),
    /// New attributes of a channel, and who wrote them.
    Attributes(Asker),
    /// Something is refused to users; an operator waits until this node knows.
    Restriction { call: HttpId, node: NodeId, parcel: Box<ProjectParcel> },
    /// A session is to end; an operator waits for that.
    Kick { call: HttpId, node: NodeId },
    /// A user is to read what these senders' messages left in the store.
    StoredFor(UserId, Vec<Storing>),
}

/// A parcel with runs of messages that waits to be taken.
#[derive(Debug)]
pub(super) struct OpenRuns {
    node: NodeId,
    /// Its place among all parcels.
    at: usize,
    messages: usize,
    bytes: usize,
}

/// A sender's session, with the numbering of its requests, and a receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneOf<'a> {
    pub(crate) session: SessionId,
    pub(crate) to: &'a UserId,
    pub(crate) numbering: u32,
}

impl LaneRun {
    fn is_of(&self, lane: LaneOf<'_>) -> bool {
        (self.session, &self.to, self.numbering) == (lane.session, lane.to, lane.numbering)
    }
}

impl Edge {
    /// Says something to the same project on another node.
    pub(crate) fn tell(&mut self, node: &NodeId, parcel: ProjectParcel) {
        self.say(Posting { to: node.clone(), parcel, ticket: None });
    }

    fn say(&mut self, posting: Posting) {
        // What is said to a node stays in order.
        self.open_runs.retain(|open| open.node != posting.to);
        self.parcels.push(posting);
    }

    /// Sends a message of a session to the node of its receiver, together with those that go there just before.
    pub(crate) fn deliver(&mut self, node: &NodeId, lane: LaneOf<'_>, message: RunMessage) {
        let LaneOf { session, to, numbering } = lane;
        let PeerMessage { peer_id, message: text, .. } = &message.message;
        let bytes = text.len() + peer_id.as_str().len() + to.as_str().len() + NUMBERS_BYTES;
        let run = |message| LaneRun { session, to: to.clone(), numbering, messages: vec![message] };
        let open = self.open_runs.iter_mut().find(|open| open.node == *node);
        if let Some(open) = open.filter(|open| open.messages < SAID_AT_ONCE && open.bytes + bytes <= BYTES_AT_ONCE)
            && let Some(Posting { parcel: ProjectParcel::DeliverRuns(runs), .. }) = self.parcels.get_mut(open.at)
        {
            open.messages += 1;
            open.bytes += bytes;
            return match runs.last_mut().filter(|run| run.is_of(lane)) {
                Some(run) => run.messages.push(message),
                None => runs.push(run(message)),
            };
        }
        if !self.knows(node, PROTO_OF_RUNS) {
            let RunMessage { n, after, request, message, store, within } = message;
            let to = to.clone();
            let deliver = Deliver { session, to, n, after, numbering, request, message, store, within };
            return self.tell(node, ProjectParcel::Deliver(Box::new(deliver)));
        }
        let at = self.parcels.len();
        self.tell(node, ProjectParcel::DeliverRuns(vec![run(message)]));
        self.open_runs.push(OpenRuns { node: node.clone(), at, messages: 1, bytes });
    }

    /// Says something of a channel to another node.
    pub(crate) fn tell_of(&mut self, node: &NodeId, channel_id: &ChannelId, word: ChannelWord) {
        let parcel = ChannelParcel { channel_id: channel_id.clone(), epoch: self.view.epoch(), word };
        self.tell(node, ProjectParcel::Channel(Box::new(parcel)));
    }

    /// Says something of who is online.
    pub(crate) fn tell_presence(&mut self, node: &NodeId, parcel: PresenceParcel) {
        self.tell(node, ProjectParcel::Presence(parcel));
    }

    /// Sends a message of a channel. What becomes of it is to be told.
    pub(crate) fn post(&mut self, node: &NodeId, parcel: ProjectParcel, channel_id: ChannelId, k: u64) {
        self.post_with(node, parcel, Posted::FanOut(channel_id, node.clone(), k));
    }

    /// Tells a sender's node what became of a message.
    pub(crate) fn post_outcome(&mut self, node: &NodeId, outcome: MessageOutcome) {
        if outcome.outcome == Ok(SendOutcome::Delivered) && self.knows(node, PROTO_OF_MANY) {
            return self.post_delivered(node, outcome);
        }
        let outcome = Box::new(outcome);
        self.post_with(node, ProjectParcel::Outcome(outcome.clone()), Posted::Outcome(outcome));
    }

    /// Tells a sender's node that a message has arrived.
    fn post_delivered(&mut self, node: &NodeId, outcome: MessageOutcome) {
        let MessageOutcome { session, user_id, numbering, request, message_id, hops, .. } = outcome;
        let messages = vec![(request, message_id)];
        let delivered = Box::new(Delivered { session, user_id, numbering, messages, hops });
        self.post_with(node, ProjectParcel::Delivered(delivered.clone()), Posted::Delivered(delivered));
    }

    /// Tells the node of a sender's session that a message has arrived, if what was said last is that another one of the session has.
    /// Says whether it was.
    pub(crate) fn add_delivered(
        &mut self,
        session: SessionId,
        numbering: u32,
        message: (RequestId, MessageId),
    ) -> bool {
        if let Some(Posting { parcel: ProjectParcel::Delivered(last), ticket: Some(ticket), .. }) =
            self.parcels.last_mut()
            && (last.session, last.numbering, last.hops) == (session, numbering, FIRST_HOP)
            && last.messages.len() < SAID_AT_ONCE
            && let Some(Posted::Delivered(awaited)) = self.tickets.get_mut(ticket)
        {
            last.messages.push(message);
            awaited.messages.push(message);
            return true;
        }
        false
    }

    /// Tells a sender's node that the receiver's session has a message, and all that came before it on its lane.
    pub(crate) fn tell_placed(&mut self, node: &NodeId, numbered: Numbered<'_>, drops_repeats: bool) {
        let Numbered { session, sender, to, n } = numbered;
        if self.knows(node, PROTO_OF_MANY)
            && let Some(Posting {
                to: last,
                parcel: ProjectParcel::Placed { session: of, to: receiver, n: up_to, drops_repeats: drops, .. },
                ..
            }) = self.parcels.last_mut()
            && (&*last, *of, &*receiver, *drops) == (node, session, to, drops_repeats)
        {
            *up_to = n.max(*up_to);
            return;
        }
        let (user_id, to) = (sender.clone(), to.clone());
        self.tell(node, ProjectParcel::Placed { session, user_id, to, n, drops_repeats });
    }

    /// Tells the node of a back end that a message of its is being stored here.
    pub(crate) fn tell_storing(&mut self, session: SessionId, request: RequestId) {
        let node = node_of_back_end(&self.view, session).filter(|node| self.knows(node, PROTO_OF_STORING)).cloned();
        if let Some(node) = node {
            self.tell(&node, ProjectParcel::Storing { session, request });
        }
    }

    /// Whether both this node and another one speak this version or a newer one.
    fn knows(&self, node: &NodeId, proto: u16) -> bool {
        self.proto.min(proto_of(&self.view, node)) >= proto
    }

    /// Tells a node of new attributes of a channel, whose writer is answered when all nodes have them.
    pub(crate) fn post_attributes(&mut self, node: &NodeId, parcel: ProjectParcel, asker: Asker) {
        *self.telling.entry(asker.session).or_default() += 1;
        self.post_with(node, parcel, Posted::Attributes(asker));
    }

    /// Tells a node that a user of it is to read its stored messages.
    pub(crate) fn post_stored_for(&mut self, node: &NodeId, user_id: &UserId, senders: Vec<Storing>) {
        let parcel = ProjectParcel::StoredFor { user_id: user_id.clone() };
        self.post_with(node, parcel, Posted::StoredFor(user_id.clone(), senders));
    }

    /// Tells a node what is refused from now on, for a call of an operator.
    pub(crate) fn post_restriction(&mut self, node: &NodeId, parcel: ProjectParcel, call: HttpId) {
        let posted = Posted::Restriction { call, node: node.clone(), parcel: Box::new(parcel.clone()) };
        self.post_with(node, parcel, posted);
    }

    /// Has a node end a user's session, for a call of an operator.
    pub(crate) fn post_kick(&mut self, node: &NodeId, user_id: &UserId, call: HttpId) {
        let posted = Posted::Kick { call, node: node.clone() };
        self.post_with(node, ProjectParcel::Kick { user_id: user_id.clone() }, posted);
    }

    /// One node more has what a session wrote.
    pub(crate) fn attributes_posted(&mut self, key: SessionKey) {
        if let btree_map::Entry::Occupied(mut open) = self.telling.entry(key) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    /// Whether other nodes are being told of what a session wrote.
    pub(crate) fn is_telling(&self, key: SessionKey) -> bool {
        self.telling.contains_key(&key)
    }

    fn post_with(&mut self, node: &NodeId, parcel: ProjectParcel, posted: Posted) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, posted);
        self.say(Posting { to: node.clone(), parcel, ticket: Some(ticket) });
    }

    pub(crate) fn take_ticket(&mut self, ticket: Ticket) -> Option<Posted> {
        self.tickets.remove(&ticket)
    }
}

/// The version that a node speaks; 0 for one that is no member.
pub(super) fn proto_of(view: &View, node: &NodeId) -> u16 {
    view.member(node).map_or(0, |member| member.proto)
}

/// The hops of what no node has passed on yet.
const FIRST_HOP: u8 = 1;
/// A parcel speaks of so many messages at most.
const SAID_AT_ONCE: usize = 1024;
/// So many bytes of messages share a parcel: the smallest NATS that a node starts with carries 64 KiB.
const BYTES_AT_ONCE: usize = 48 * 1024;
/// So many bytes at most a message takes beside its text and ids.
const NUMBERS_BYTES: usize = 112;
