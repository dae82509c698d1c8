//! What nodes say to each other of channels: who is in them, and what is sent to them.

use std::collections::BTreeSet;

use rtm_codec::{ChannelAttributes, ChannelId, Event, Revision, SessionId, UserId};

use super::names::NodeId;

/// Something about a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelParcel {
    /// Which.
    pub channel_id: ChannelId,
    /// The epoch of the view that the sender has.
    pub epoch: u64,
    /// What.
    pub word: ChannelWord,
}

/// What is said of a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelWord {
    /// To the home: a change of the sender's own members.
    Say(Said),
    /// From the home: a change of a node's members.
    Told {
        /// The number of the change in the channel.
        version: Version,
        /// Whose members.
        node: NodeId,
        /// What changed.
        said: Said,
    },
    /// From the home: all members on other nodes.
    Snapshot {
        /// The number of the last change in it.
        version: Version,
        /// For each other node with members what is known of them.
        parts: Vec<(NodeId, Part)>,
        /// Whether the home waits for [`Know`](Self::Know).
        confirm: bool,
    },
    /// To the home: the sender knows this, and what it had sent before to the members that it knew has come.
    Know {
        /// Up to which change.
        version: Version,
    },
    /// From the home: all nodes with members know a change of the receiver's, and those before it.
    Settled {
        /// Which.
        change: u64,
    },
    /// To the home: changes are missing.
    Lost,
    /// To all nodes with members: somebody said something there.
    Message(Box<FanOut>),
    /// To the node that a member has moved to: what came for it where it was.
    Forwarded {
        /// The member.
        user_id: UserId,
        /// Its session.
        session: SessionId,
        /// The event.
        news: Box<ForwardedNews>,
    },
    /// To the node that a member came from: all other nodes know that it has moved.
    Enough {
        /// The member.
        user_id: UserId,
        /// Its session.
        session: SessionId,
    },
    /// To all nodes: the store has these attributes.
    Attributes {
        /// All of them.
        value: ChannelAttributes,
        /// Whether members are told.
        notify: bool,
    },
    /// To all nodes: nobody has been there for long, and the attributes are gone.
    Forgotten {
        /// The last revision that they had.
        revision: Revision,
    },
    /// To the home, or to a node with members: a back end sends this by way of a node that has none.
    Relay(Box<Relay>),
    /// To the node of the back end: the members have it, or there are none.
    Relayed {
        /// The number that the node has given it.
        number: u64,
    },
    /// To the node that a member has moved to: nothing more comes for it from where it was.
    ForwardEnd {
        /// The member.
        user_id: UserId,
        /// Its session.
        session: SessionId,
    },
}

/// The number of a change of a channel's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Version {
    /// The epoch of the view in which the home became the home.
    pub term: u64,
    /// The number among those of the term, from 1.
    pub n: u64,
}

/// A change of a node's members in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The number of the change among those of the node.
    pub change: u64,
    /// How many members the node has after it.
    pub count: u32,
    /// What changed.
    pub what: MemberChange,
    /// Whether somebody waits until all nodes with members know it.
    pub settle: bool,
}

/// How a node's members changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// Somebody joined.
    Joined(UserId),
    /// Somebody left.
    Left(UserId),
    /// Somebody's session came from another node.
    MovedIn {
        /// Who.
        user_id: UserId,
        /// From where.
        from: NodeId,
    },
    /// Somebody's session has gone to another node.
    MovedAway(UserId),
    /// All members are told anew: by name, unless there are too many.
    All(Option<BTreeSet<UserId>>),
}

/// What is known of a node's members in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// How many.
    pub count: u32,
    /// The number of the node's last change.
    pub change: u64,
    /// Who, unless there are too many.
    pub names: Option<BTreeSet<UserId>>,
}

/// A message to the members of a channel on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanOut {
    /// The members that its sender's node knew of.
    pub version: Version,
    /// The last change of the sender's node before it.
    pub change: u64,
    /// Its number among the messages of the sender's node to the channel.
    pub k: u64,
    /// The number of the one before it that was sent to the same node; 0 for the first.
    pub after: u64,
    /// The number from which those of the sender's node have no holes.
    pub since: u64,
    /// The message; `None` says that there were some up to this number which did not go out.
    pub event: Option<Event>,
}

/// An event of a channel for one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedNews {
    /// The event.
    pub event: Event,
    /// Of a message, from where it comes.
    pub mark: Option<Mark>,
}

/// A message of a back end on its way to a node with members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// The node of the back end.
    pub origin: NodeId,
    /// The number that it has given the message.
    pub number: u64,
    /// The message.
    pub event: Event,
    /// How many nodes have passed it on.
    pub hops: u8,
}

/// The place of a message among those of a node to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The sender's node.
    pub origin: NodeId,
    /// The message's number.
    pub k: u64,
    /// The number from which there are no holes.
    pub since: u64,
}

/// What homes and other nodes say to each other of many channels at once.
#[derive(Debug, Clone, PartialEq)]
pub enum HomeParcel {
    /// The sender is the home of these partitions from now on: it asks for what the receiver has of their channels.
    Pull {
        /// The epoch of the view that made it the home.
        term: u64,
        /// Which partitions.
        partitions: Vec<u16>,
    },
    /// The answer, or a part of it.
    Held {
        /// The term that asked.
        term: u64,
        /// Channels in which the sender has members.
        channels: Vec<HeldChannel>,
        /// The partitions of which that is all.
        done: Vec<u16>,
    },
    /// How many members these channels have?
    Count {
        /// To name the answer with.
        question: u64,
        /// The epoch of the view that the sender has.
        epoch: u64,
        /// Which channels.
        channel_ids: Vec<ChannelId>,
    },
    /// The answer.
    Counted {
        /// The question.
        question: u64,
        /// The channels, and how many members each has.
        counts: Vec<(ChannelId, u32)>,
    },
}

/// A channel in which a node has members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldChannel {
    /// Which.
    pub channel_id: ChannelId,
    /// Its members there.
    pub part: Part,
    /// Somebody waits until all nodes with members know this change.
    pub settle: Option<u64>,
    /// Those members that may have moved to another node already.
    pub moving: Vec<UserId>,
}

impl Part {
    /// Takes in a change.
    pub(crate) fn apply(&mut self, said: &Said) {
        (self.count, self.change) = (said.count, said.change);
        match (&said.what, &mut self.names) {
            (MemberChange::All(names), mine) => *mine = names.clone(),
            (MemberChange::Joined(user_id) | MemberChange::MovedIn { user_id, .. }, Some(names)) => {
                names.insert(user_id.clone());
            }
            (MemberChange::Left(user_id) | MemberChange::MovedAway(user_id), Some(names)) => {
                names.remove(user_id);
            }
            (_, None) => {}
        }
        if self.count as usize > NAMES_AT_MOST {
            self.names = None;
        }
    }

    /// A member has moved to another node.
    pub(crate) fn move_away(&mut self, user_id: &UserId) {
        let was_here = self.names.as_mut().is_none_or(|names| names.remove(user_id));
        self.count = self.count.saturating_sub(u32::from(was_here));
    }

    pub(crate) fn has(&self, user_id: &UserId) -> bool {
        self.names.as_ref().is_some_and(|names| names.contains(user_id))
    }
}

/// A node with more members tells how many there are, and no more who. Somewhat more than it takes to tell all of them
/// again, so that a channel of about that size does not go back and forth.
pub(crate) const NAMES_AT_MOST: usize = 576;
