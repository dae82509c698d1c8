//! Where in a cluster something is done that is done once.

use super::{Core, cluster::partition};

impl Core {
    /// Whether this core has joined a cluster, and is not out of it.
    #[must_use]
    pub fn is_in_cluster(&self) -> bool {
        self.edge.is_some() && !self.is_outside
    }

    /// Whether this node is the one that does what has this name: without a cluster always, in a cluster on one node, as far as
    /// each knows. While a node goes and another takes over, both may think so for a moment, or neither.
    #[must_use]
    pub fn is_home_of(&self, name: &str) -> bool {
        if self.is_outside {
            return false;
        }
        let Some(edge) = &self.edge else { return true };
        let home = edge.view.home(partition(self.config.app_id.as_str(), name));
        home.is_some_and(|home| home.id.node_and_worker().0 == edge.node.node_and_worker().0)
    }
}
