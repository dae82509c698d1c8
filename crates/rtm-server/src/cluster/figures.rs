//! What a node says of its cluster for metrics: written now and then by its driver.

use std::sync::{Mutex, PoisonError};

use rtm_core::cluster::Role;

/// The figures at the last look.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<ClusterFigures>);

/// The figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ClusterFigures {
    pub(crate) epoch: u64,
    pub(crate) edges: u64,
    pub(crate) homes: u64,
    pub(crate) draining: u64,
    /// What waits for other nodes to take it, in bytes.
    pub(crate) post_bytes: usize,
}

impl Figures {
    #[cfg(feature = "admin")]
    pub(crate) fn get(&self) -> ClusterFigures {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, figures: ClusterFigures) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
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
