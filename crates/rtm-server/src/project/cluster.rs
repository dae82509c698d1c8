//! A project that several nodes serve as one.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rtm_core::{EventLogStart, Remaining, StateKey, StateValue, Stats};

use super::Project;
use crate::{
    cluster::served::Terms,
    link::{FromCluster, Link},
    random::shuffle,
};

impl Project {
    /// It is served from now on.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// It is not served before it is opened.
    pub(crate) fn keep_shut(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    /// The project as one of the same on several nodes.
    pub(crate) fn linked(self, link: Option<Link>) -> Self {
        Self { link, ..self }
    }

    /// What it is served on.
    pub(crate) fn terms(&self) -> Terms {
        Terms::new(self.state().core.config())
    }

    /// Takes what the cluster has for the core, in order.
    pub(crate) fn handle_cluster(self: &Arc<Self>, events: Vec<FromCluster>) {
        self.with(|state, now| {
            for event in events {
                match event {
                    FromCluster::Joined(node, view) => {
                        let name = node.to_string();
                        state.core.join_cluster(node, view);
                        state.core.begin_event_log(now, &name, EventLogStart::AsNode);
                    }
                    FromCluster::LeftOut => state.core.leave_cluster(now),
                    FromCluster::View(view) => state.core.handle_view(now, view),
                    FromCluster::Parcel(from, parcel) => state.core.handle_parcel(now, &from, parcel),
                    FromCluster::Posted(ticket, posted) => state.core.handle_posted(now, ticket, posted),
                    FromCluster::Restarted(from) => state.core.handle_restarted(now, &from),
                    FromCluster::Entry(user_id, entry) => state.core.handle_entry(now, &user_id, &entry),
                    FromCluster::KeptAttributes(channel_id, value) => {
                        state.core.handle_kept_attributes(now, &channel_id, value);
                    }
                    FromCluster::Answer(job, answer) => state.core.handle_engine(now, job, answer),
                }
            }
        });
    }

    /// Refuses logins from now on, and has the sessions go to other nodes: their clients are sent away over this time.
    pub(crate) fn drain_cluster(self: &Arc<Self>, over: Duration) {
        self.with(|state, now| state.core.drain_cluster(now, over, shuffle));
    }

    /// What has not gone to other nodes yet.
    pub(crate) fn remaining(&self) -> Remaining {
        self.state().core.remaining()
    }

    /// Takes in what the store has, once the core has joined.
    pub(crate) fn restore(self: &Arc<Self>, values: Vec<(StateKey, StateValue)>) {
        let mut values = values.into_iter().peekable();
        while values.peek().is_some() {
            // Others have their turn.
            self.with(|state, now| {
                for (key, value) in values.by_ref().take(RESTORED_AT_ONCE) {
                    state.core.restore(now, key, value);
                }
            });
        }
    }

    /// The figures without the users, which are counted by a look at every session.
    pub(crate) fn figures(&self) -> Stats {
        self.state().core.figures()
    }
}

/// How many values are taken in before others have their turn.
const RESTORED_AT_ONCE: usize = 256;
