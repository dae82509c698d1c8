//! On which lanes messages are on their way to other nodes, and when these are looked at.

use std::time::{Duration, Instant};

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

    /// When the lanes are to be looked at next, if nobody was told that yet.
    pub(crate) fn next_look_at_lanes(&mut self, now: Instant, every: Duration) -> Option<Instant> {
        if self.lanes.is_empty() || self.look_at_lanes.is_some_and(|at| at > now) {
            return None;
        }
        self.look_at_lanes = Some(now + every);
        self.look_at_lanes
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
