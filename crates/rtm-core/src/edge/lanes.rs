//! On which lanes messages are on their way to other nodes, and when these are looked at.

use rtm_codec::UserId;

use crate::{arena::SessionKey, edge::Edge};

impl Edge {
    /// Messages of a session to a user are on their way.
    pub(crate) fn open_lane(&mut self, key: SessionKey, to: &UserId) {
        self.lanes.insert((to.clone(), key));
    }

    /// No message of a session to a user is on its way any more.
    pub(crate) fn close_lane(&mut self, key: SessionKey, to: &UserId) {
        self.lanes.remove(&(to.clone(), key));
    }

    /// The open lanes are looked at.
    pub(crate) fn take_open_lanes(&mut self) -> Vec<(SessionKey, UserId)> {
        self.lanes_due = None;
        self.open_lanes()
    }

    pub(crate) fn has_open_lanes(&self) -> bool {
        !self.lanes.is_empty()
    }

    pub(crate) fn open_lanes(&self) -> Vec<(SessionKey, UserId)> {
        self.lanes.iter().map(|(to, key)| (*key, to.clone())).collect()
    }

    /// The sessions that have messages on their way to a user.
    pub(crate) fn lanes_to(&self, to: &UserId) -> Vec<SessionKey> {
        let from = (to.clone(), SessionKey::LOWEST);
        self.lanes.range(from..).take_while(|(other, _)| other == to).map(|(_, key)| *key).collect()
    }
}
