//! The keys of the other nodes: what each holds, and for how many of one's own renewals it has not moved.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Asked, EngineKey, EngineOp, Membership, Stored};
use crate::cluster::{
    kept::{Lease, LeaseEntry},
    names::{NodeId, NodeName},
    view::{MEMBERS, View},
};

/// What is known of the others' keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    nodes: BTreeMap<NodeName, Seen>,
    /// So many of this node's own renewals were acknowledged in a row.
    row: u32,
}

#[derive(Debug, Default)]
struct Seen {
    /// 0 before anything was seen.
    revision: u64,
    entry: Option<LeaseEntry>,
    /// So many of this node's own renewals were acknowledged in a row since the key was last seen to move.
    still: u32,
    /// Whether it was seen to move.
    has_moved: bool,
    read_at: Option<Instant>,
}

impl Keys {
    /// What a key holds, unless something newer is known.
    fn learn(&mut self, name: &NodeName, revision: u64, entry: LeaseEntry) {
        if !self.nodes.contains_key(name) && self.nodes.len() >= KEYS {
            return;
        }
        let seen = self.nodes.entry(name.clone()).or_default();
        if revision <= seen.revision {
            return;
        }
        let is_same = seen.entry.as_ref().is_some_and(|old| old.incarnation() == entry.incarnation());
        *seen = Seen { revision, entry: Some(entry), still: 0, has_moved: is_same, read_at: seen.read_at };
    }

    pub(super) fn see_view(&mut self, view: &View) {
        self.nodes.retain(|name, seen| view.named(name).is_some() || seen.still < FORGOTTEN);
        for member in view.members() {
            self.nodes.entry(member.id.name.clone()).or_default();
        }
    }

    /// A renewal of one's own was acknowledged.
    pub(super) fn count_renewal(&mut self) {
        self.row = self.row.saturating_add(1);
        for seen in self.nodes.values_mut() {
            seen.still = seen.still.saturating_add(1);
        }
    }

    /// A renewal of one's own was not acknowledged at once: others may be as badly off.
    pub(super) fn break_row(&mut self) {
        self.row = 0;
        for seen in self.nodes.values_mut() {
            seen.still = 0;
        }
    }

    /// How many of one's own renewals were acknowledged in a row.
    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// For how many renewals in a row a node's key has stood still.
    pub(super) fn still(&self, node: &NodeId) -> u32 {
        self.nodes.get(&node.name).map_or(0, |seen| seen.still)
    }

    /// Whether this life of a node is over, for certain: its key says so, or a later life has it.
    pub(super) fn is_over(&self, node: &NodeId) -> bool {
        match self.nodes.get(&node.name).and_then(|seen| seen.entry.as_ref()) {
            Some(LeaseEntry::Tombstone { incarnation }) => *incarnation >= node.incarnation,
            Some(LeaseEntry::Lease(lease)) => lease.incarnation > node.incarnation,
            None => false,
        }
    }

    /// What this life of a node said last of itself.
    pub(super) fn lease(&self, node: &NodeId) -> Option<&Lease> {
        match self.nodes.get(&node.name)?.entry.as_ref()? {
            LeaseEntry::Lease(lease) if lease.incarnation == node.incarnation => Some(lease),
            _ => None,
        }
    }

    pub(super) fn knows_life(&self, node: &NodeId) -> bool {
        self.lease(node).is_some() || self.is_over(node)
    }

    /// Whether a node renews its lease.
    pub(super) fn is_moving(&self, node: &NodeId) -> bool {
        self.lease(node).is_some()
            && self.nodes.get(&node.name).is_some_and(|seen| seen.has_moved && seen.still < STANDS)
    }

    pub(super) fn revision(&self, node: &NodeId) -> u64 {
        self.nodes.get(&node.name).map_or(0, |seen| seen.revision)
    }
}

impl Membership {
    /// What a key holds, from the watch or from a read, perhaps old.
    pub(super) fn learn(&mut self, key: &EngineKey, stored: &Stored) {
        match key {
            EngineKey::View => {
                if let Ok(view) = View::decode(&stored.value) {
                    self.adopt(view, Some(stored.revision));
                }
            }
            EngineKey::Node(name) if *name == self.id.name => self.watched_own(stored),
            EngineKey::Node(name) => {
                if let Ok(entry) = LeaseEntry::decode(&stored.value) {
                    self.keys.learn(name, stored.revision, entry);
                }
            }
        }
    }

    /// This node wrote over another one's lease.
    pub(super) fn buried(&mut self, node: &NodeId, revision: u64) {
        self.keys.learn(&node.name, revision, LeaseEntry::Tombstone { incarnation: node.incarnation });
        self.tend_view();
    }

    /// Writes over the lease of a node. That fails if the node has renewed it since this one saw it last.
    pub(super) fn bury(&mut self, node: &NodeId) {
        if self.is_asking(|asked| *asked == Asked::Tombstone(node.clone())) {
            return;
        }
        let key = EngineKey::Node(node.name.clone());
        let value: Bytes = LeaseEntry::Tombstone { incarnation: node.incarnation }.encode();
        let expected = self.keys.revision(node);
        self.ask(Asked::Tombstone(node.clone()), EngineOp::Write { key, value, expected });
    }

    pub(super) fn read_node(&mut self, name: &NodeName) {
        self.keys.nodes.entry(name.clone()).or_default().read_at = Some(self.now);
        if !self.is_asking(|asked| matches!(asked, Asked::ReadNode(asked) if asked == name)) {
            self.ask(Asked::ReadNode(name.clone()), EngineOp::Read { key: EngineKey::Node(name.clone()) });
        }
    }

    /// Looks at the leader whether a key moves that was not seen to: the watch may hang.
    pub(super) fn look_at(&mut self, node: &NodeId) {
        let read_at = self.keys.nodes.get(&node.name).and_then(|seen| seen.read_at);
        if self.keys.still(node) >= STANDS && read_at.is_none_or(|at| self.now >= at + READ_AGAIN) {
            self.read_node(&node.name);
        }
    }
}

/// A key that stood still for so many renewals stands.
const STANDS: u32 = 3;

/// The keys of nodes that are not in the view are forgotten after so many renewals.
const FORGOTTEN: u32 = 100;

/// The most keys that are known.
const KEYS: usize = 2 * MEMBERS;

const READ_AGAIN: Duration = Duration::from_secs(1);

/// So long after the end of a node's lease was seen first, others go on without it. It may not know yet, but is certain
/// of nothing any more by then.
pub(super) const LAST_MOMENTS: Duration = Duration::from_secs(5);
