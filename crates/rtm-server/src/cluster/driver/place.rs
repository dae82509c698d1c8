//! Where a node stands, and what the rest of the server hears of that.

use rtm_core::{
    Now,
    cluster::{Member, Role, Standing},
};

use super::Driver;
use crate::{cluster::error::ClusterError, project::now};

/// Where a node stands, as the rest of the server has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is on its way in, for the first time or again.
    Joining,
    /// It is a member, and serves. There are so many others that its clients may go to.
    Member { others: usize },
    /// It is a member that does not know whether it still is one.
    Isolated,
    /// It has left, since it was to.
    Left,
    /// It cannot join.
    Refused(ClusterError),
}

impl Driver {
    /// Says how it stands as a member.
    pub(super) fn stand_as_member(&mut self) {
        let (node, now) = (&self.gear.node, now());
        if node.standing(now) == Standing::Isolated {
            return self.stand(Place::Isolated);
        }
        let is_other = |member: &&Member| member.id != *node.id() && member.role != Role::Draining;
        let others = node.view().members().iter().filter(is_other).count();
        self.stand(Place::Member { others });
    }

    pub(super) fn stand(&mut self, place: Place) {
        self.place = place.clone();
        let is_serving = matches!(place, Place::Member { .. } | Place::Isolated);
        let is_ready = self.restoring.is_none() && self.is_settled;
        let place = if is_serving && !is_ready { Place::Joining } else { place };
        self.gear.place.send_replace(place);
    }

    /// Says for how long what the projects want may be written. What they want before they hear of another life of the node,
    /// they want in the one before.
    pub(super) fn permit(&self, time: Now) {
        let Some(store) = &self.gear.store else { return };
        let node = &self.gear.node;
        store.permits().set(if self.is_member { node.id().incarnation } else { 0 }, node.certain_until(time));
    }
}
