//! What the cores of one project say to each other of who is online. A user's *home* gathers where it is and tells the
//! nodes that have watchers of it.

use rtm_codec::{PeerOnlineState, UserId};

use super::names::NodeId;

/// Where a user is, as its node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Whether it is there.
    pub state: PeerOnlineState,
    /// The revision of the user's entry by which that node has it: of two sightings the one with the higher one is newer.
    pub revision: u64,
    /// The node that says so. When it leaves, it vouches for nothing.
    pub node: NodeId,
}

/// One thing that a core says to another of who is online.
#[derive(Debug, Clone, PartialEq)]
pub enum PresenceParcel {
    /// To a user's home: its state on the node that says so.
    State {
        /// Who.
        user_id: UserId,
        /// Whether it is there.
        state: PeerOnlineState,
        /// The revision of its entry.
        revision: u64,
    },
    /// To a user's home: somebody watches it on the node that says so.
    Watch {
        /// Who is watched.
        user_id: UserId,
    },
    /// To a user's home: nobody watches it there any more.
    Unwatch {
        /// Who was watched.
        user_id: UserId,
    },
    /// To a node that watches: where the user is; `None` if no node has it.
    Told {
        /// Who is watched.
        user_id: UserId,
        /// Where it is.
        sighting: Option<Sighting>,
    },
    /// To the home of these users: whether they are there.
    Query {
        /// To name the answer with.
        query: u64,
        /// The view in which the home was found.
        epoch: u64,
        /// Whom it is about.
        user_ids: Vec<UserId>,
    },
    /// The answer.
    States {
        /// The query.
        query: u64,
        /// The users and their states.
        states: Vec<(UserId, PeerOnlineState)>,
    },
    /// From the new home of some partitions: it asks for what is known of their users.
    Pull {
        /// The view that made it their home.
        epoch: u64,
        /// Which partitions, in their order.
        partitions: Vec<u16>,
        /// The last partition and user of the page before.
        after: Option<(u16, UserId)>,
    },
    /// A part of the answer.
    Page {
        /// The view of the pull.
        epoch: u64,
        /// The next users, in the order of their partitions and names.
        users: Vec<PagedUser>,
        /// The last of them, if there are more.
        more: Option<(u16, UserId)>,
    },
}

/// What a node knows of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct PagedUser {
    /// Who.
    pub user_id: UserId,
    /// The user's state there, and the revision of its entry.
    pub here: Option<(PeerOnlineState, u64)>,
    /// Whether somebody watches it there, and what that node was last told of it.
    pub watched: Option<Option<(PeerOnlineState, u64)>>,
}
