//! What makes several servers one: the node of each, the engine, and the ways between them.

use std::time::Duration;

use bytes::Bytes;
use rtm_codec::{ChannelAttributes, ChannelId, UserId};
use rtm_core::cluster::{
    EngineAnswer, EngineJobId, EngineKey, EngineOp, EngineWork, Node, NodeId, OpId, Outcome, PostConfig, Revised,
    Router, Stored, UserEntry,
};

use crate::nodes::{Engine, Kept, Ledger, Mishap, Ways};

/// All that servers share but the store.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) ways: Ways,
    /// The leases and the view.
    pub(crate) nodes: Engine,
    /// Where each user's session is.
    pub(crate) users: Engine<UserId, Option<UserEntry>>,
    /// What nodes promise.
    pub(crate) ledger: Ledger,
    pub(crate) post: PostConfig,
    /// The older version that the first process of each server speaks, as at the beginning of a rolling update.
    pub(crate) first_proto: Option<u16>,
    /// Whether isolated nodes give up when they may.
    pub(crate) gives_up: bool,
    /// What goes wrong, and how often.
    pub(crate) mishaps: Vec<Mishap>,
    pub(crate) mishap_every: Duration,
    pub(crate) is_well: bool,
    /// Whether links to clients break only where sessions move.
    pub(crate) are_links_good: bool,
}

/// A server's part of the cluster, as long as its process lives.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) node: Node,
    /// The version that it speaks.
    pub(crate) proto: u16,
    /// Under which id its core has sessions. The node has forgotten that when it says that it is put out.
    pub(crate) core_id: Option<NodeId>,
    pub(crate) router: Router,
    pub(crate) timer: Option<Duration>,
    /// Since when it hands its sessions over.
    pub(crate) drains_since: Option<Duration>,
    pub(crate) leaves: bool,
}

/// One thing that happens between servers. A process is named by its place and the number of its start, its core by
/// the number of that.
#[derive(Debug)]
pub(crate) enum NodeStep {
    /// A node's timer.
    Timer { process: u64, at: Duration },
    /// A node's question reaches the engine.
    Asked { process: u64, id: OpId, op: EngineOp, is_delayed: bool },
    /// Its answer comes back.
    Answered { process: u64, id: OpId, outcome: Outcome },
    /// A node's watch tells of a key.
    Watched { process: u64, key: EngineKey, stored: Stored },
    /// A core's question reaches the engine.
    JobAsked { run: u64, id: EngineJobId, user_id: UserId, work: EngineWork, is_given_up: bool },
    /// Its answer comes back.
    JobAnswered { run: u64, id: EngineJobId, answer: EngineAnswer },
    /// A core's watch tells of a user's entry.
    EntryWatched { run: u64, user_id: UserId, heard: Revised },
    /// A core's watch tells what the store has of a channel.
    AttributesWatched { run: u64, channel_id: ChannelId, value: ChannelAttributes },
    /// A payload arrives, whoever is there now.
    Arrives { payload: Bytes },
    /// The bus says that nobody listens.
    NobodyThere { process: u64, to: NodeId },
    /// A process that was isolated for too long gives up.
    GivesUp { process: u64 },
    /// A process that leaves has had enough time.
    Ends { process: u64 },
    /// The way from here to another node is whole again.
    Mends { to: usize },
}

impl NodeStep {
    /// Whether the server's process does it.
    pub(crate) fn is_of_process(&self) -> bool {
        !matches!(self, Self::Asked { .. } | Self::JobAsked { .. } | Self::Ends { .. } | Self::Mends { .. })
    }
}

impl Cluster {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            ways: Ways::new(nodes),
            nodes: Engine::default(),
            users: Engine::default(),
            ledger: Ledger::default(),
            post: PostConfig::default(),
            first_proto: None,
            gives_up: false,
            mishaps: Vec::new(),
            mishap_every: Duration::from_secs(10),
            is_well: false,
            are_links_good: false,
        }
    }

    /// The users whose entries name this life of a node.
    pub(crate) fn users_of(&self, id: &NodeId) -> impl Iterator<Item = &UserId> {
        let names = |kept: &Kept<Option<UserEntry>>| kept.value.as_ref().is_some_and(|entry| entry.node == *id);
        self.users.all().filter(move |(_, kept)| names(kept)).map(|(user_id, _)| user_id)
    }

    /// The users whose entries named this life of a node at some time since then: who has not heard of more believes that still.
    pub(crate) fn users_lately_of(&self, id: &NodeId, since: Duration) -> impl Iterator<Item = &UserId> {
        self.users.held_since(since, move |entry| entry.as_ref().is_some_and(|entry| entry.node == *id))
    }

    /// How many users have a session, as the entries have it.
    pub(crate) fn sessions(&self) -> usize {
        let is_good = |kept: &Kept<Option<UserEntry>>| {
            kept.value.as_ref().is_some_and(|entry| self.ledger.is_in_truth(&entry.node))
        };
        self.users.all().filter(|(_, kept)| is_good(kept)).count()
    }
}

/// An entry as cores hear of it.
pub(crate) fn revised(kept: Option<&Kept<Option<UserEntry>>>) -> Revised {
    kept.map_or(Revised { entry: None, revision: 0 }, |kept| Revised {
        entry: kept.value.clone(),
        revision: kept.revision,
    })
}
