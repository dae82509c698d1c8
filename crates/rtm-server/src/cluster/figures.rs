//! What a node says of its cluster for metrics: written now and then by its driver.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use rtm_core::cluster::{Dropped, Role};

/// The figures at the last look.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// When the last renewal of the node's lease was sent that was acknowledged.
    renewed_at: Mutex<Option<Instant>>,
    figures: Mutex<ClusterFigures>,
    nodes: Mutex<ClusterNodes>,
}

/// The nodes of the cluster, as this one sees them.
#[derive(Debug, Clone, Default)]
#[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody asks who is there"))]
pub(crate) struct ClusterNodes {
    pub(crate) node: String,
    pub(crate) epoch: u64,
    pub(crate) nodes: Vec<ClusterNode>,
}

/// A member, with what it says of itself.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody asks who is there"))]
pub(crate) struct ClusterNode {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) version: Option<String>,
    pub(crate) sessions: Option<usize>,
}

/// The figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ClusterFigures {
    pub(crate) epoch: u64,
    pub(crate) edges: u64,
    pub(crate) homes: u64,
    pub(crate) draining: u64,
    /// What waits for other nodes to take it, in bytes.
    pub(crate) post_bytes: usize,
    /// What cores said to other nodes, what came from those, and what no core could use.
    pub(crate) parcels: [u64; 3],
    /// What came and was for nobody here.
    pub(crate) dropped: Dropped,
}

impl Figures {
    /// When the last renewal of the node's lease was sent that was acknowledged, if it has one.
    #[cfg(feature = "admin")]
    pub(crate) fn renewed_at(&self) -> Option<Instant> {
        *self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_renewed_at(&self, at: Option<Instant>) {
        *self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    #[cfg(feature = "admin")]
    pub(crate) fn get(&self) -> ClusterFigures {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "admin")]
    pub(crate) fn nodes(&self) -> ClusterNodes {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, figures: ClusterFigures, nodes: ClusterNodes) {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }
}

impl ClusterFigures {
    /// Counts a member.
    pub(super) fn count(&mut self, role: Role) {
        match role {
            Role::Edge => self.edges += 1,
            Role::Home => self.homes += 1,
            Role::Draining => self.draining += 1,
        }
    }

    /// How many nodes are in each state.
    #[cfg(feature = "admin")]
    pub(crate) fn nodes(&self) -> [(&'static str, u64); 3] {
        [("edge", self.edges), ("home", self.homes), ("draining", self.draining)]
    }
}
