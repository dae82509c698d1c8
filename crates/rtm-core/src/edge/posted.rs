//! What is said to other nodes, and what is to be done once they have it.

use std::collections::btree_map;

use rtm_codec::{ChannelId, SendOutcome, UserId};

use crate::{
    HttpId,
    arena::SessionKey,
    cluster::{
        ChannelParcel, ChannelWord, Delivered, MessageOutcome, NodeId, PROTO_OF_MANY, Posting, PresenceParcel,
        ProjectParcel, Ticket, View,
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
    Kick(HttpId),
    /// A user is to read what these senders' messages left in the store.
    StoredFor(UserId, Vec<Storing>),
}

impl Edge {
    /// Says something to the same project on another node.
    pub(crate) fn tell(&mut self, node: &NodeId, parcel: ProjectParcel) {
        self.parcels.push(Posting { to: node.clone(), parcel, ticket: None });
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
        if outcome.outcome == Ok(SendOutcome::Delivered) && self.knows_of_many(node) {
            return self.post_delivered(node, outcome);
        }
        let outcome = Box::new(outcome);
        self.post_with(node, ProjectParcel::Outcome(outcome.clone()), Posted::Outcome(outcome));
    }

    /// Tells a sender's node that a message has arrived, together with those that it was told of just before.
    fn post_delivered(&mut self, node: &NodeId, outcome: MessageOutcome) {
        let MessageOutcome { session, user_id, numbering, request, message_id, hops, .. } = outcome;
        if let Some(Posting { to, parcel: ProjectParcel::Delivered(last), ticket: Some(ticket) }) =
            self.parcels.last_mut()
            && to == node
            && (last.session, last.numbering, last.hops) == (session, numbering, hops)
            && last.user_id == user_id
            && last.messages.len() < SAID_AT_ONCE
            && let Some(Posted::Delivered(awaited)) = self.tickets.get_mut(ticket)
        {
            last.messages.push((request, message_id));
            awaited.messages.push((request, message_id));
            return;
        }
        let messages = vec![(request, message_id)];
        let delivered = Box::new(Delivered { session, user_id, numbering, messages, hops });
        self.post_with(node, ProjectParcel::Delivered(delivered.clone()), Posted::Delivered(delivered));
    }

    /// Tells a sender's node that the receiver's session has a message, and all that came before it on its lane.
    pub(crate) fn tell_placed(&mut self, node: &NodeId, numbered: Numbered, drops_repeats: bool) {
        let Numbered { session, sender: user_id, to, n } = numbered;
        if self.knows_of_many(node)
            && let Some(Posting {
                to: last,
                parcel: ProjectParcel::Placed { session: of, to: receiver, n: up_to, drops_repeats: drops, .. },
                ..
            }) = self.parcels.last_mut()
            && (&*last, *of, &*receiver, *drops) == (node, session, &to, drops_repeats)
        {
            *up_to = n.max(*up_to);
            return;
        }
        self.tell(node, ProjectParcel::Placed { session, user_id, to, n, drops_repeats });
    }

    /// Whether parcels to this node may speak of many messages: both nodes are to speak a version that has them.
    fn knows_of_many(&self, node: &NodeId) -> bool {
        self.speaks_of_many && has_proto_of_many(&self.view, node)
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
        self.post_with(node, ProjectParcel::Kick { user_id: user_id.clone() }, Posted::Kick(call));
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
        self.parcels.push(Posting { to: node.clone(), parcel, ticket: Some(ticket) });
    }

    pub(crate) fn take_ticket(&mut self, ticket: Ticket) -> Option<Posted> {
        self.tickets.remove(&ticket)
    }
}

pub(super) fn has_proto_of_many(view: &View, node: &NodeId) -> bool {
    view.member(node).is_some_and(|member| member.proto >= PROTO_OF_MANY)
}

/// Of so many messages a node is told at once that they have arrived.
const SAID_AT_ONCE: usize = 1024;
