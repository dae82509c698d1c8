//! What the node and its cores learn of what is kept: the keys of nodes, where users are, and what the store has, now and later.

use std::sync::Arc;

use tokio::{
    sync::mpsc::UnboundedSender,
    task::{self, AbortHandle},
};

use super::{Driver, Gear, Input};
use crate::{
    cluster::{
        about::About,
        engine::{watched_node, watched_user},
        names::{NODES, USERS},
        watch::{watch, watch_bucket},
    },
    link::FromCluster,
    project::Project,
};

impl Driver {
    /// The cores that have just joined get what the store has.
    pub(super) fn restore(&mut self) {
        let Some(store) = self.gear.store.clone() else { return };
        let (projects, input) = (self.gear.projects.clone(), self.input.clone());
        let task = async move {
            store.restore(&projects).await;
            // The driver may have ended.
            let _ = input.send(Input::Restored(task::id()));
        };
        self.restoring = Some(tokio::spawn(task).abort_handle());
    }

    /// The cores that have just joined hear where each user is.
    pub(super) fn watch_users(&mut self) {
        let (names, places) = (self.gear.names.clone(), self.places.clone());
        let (projects, workers) = (self.gear.projects.clone(), usize::from(self.gear.workers));
        let task = watch_bucket(self.gear.jetstream.clone(), names.bucket(USERS), move |changes| {
            let mut events: Vec<Vec<_>> = projects.iter().map(|_| Vec::new()).collect();
            for (revision, message) in changes {
                if let Some((app_id, user_id, entry)) = watched_user(&names, &message, revision)
                    && let Some(place) = places.get(&app_id)
                {
                    for events in &mut events[*place..*place + workers] {
                        events.push(FromCluster::Entry(user_id.clone(), entry.clone()));
                    }
                }
            }
            hand_out(&projects, events);
        });
        if let Some(before) = self.users_watch.replace(tokio::spawn(task).abort_handle()) {
            before.abort();
        }
    }

    /// The cores that have just joined hear what the store has of channels, whoever wrote it: a node may have been lost before
    /// it told the others. What is forgotten is deleted, of which a watch hears nothing: that nodes tell each other.
    pub(super) fn watch_attributes(&mut self) {
        let Some(store) = self.gear.store.as_ref().and_then(|store| store.store_now()) else { return };
        let (projects, places) = (self.gear.projects.clone(), self.places.clone());
        let workers = usize::from(self.gear.workers);
        let (stream, filter) = store.attributes_to_watch();
        let task = watch(self.gear.store_jetstream.clone(), stream, filter, move |changes| {
            let mut events: Vec<Vec<_>> = projects.iter().map(|_| Vec::new()).collect();
            for (seq, message) in changes {
                if let Some((app_id, channel_id, value)) = store.watched_attributes(seq, &message)
                    && let Some(place) = places.get(&app_id)
                {
                    for events in &mut events[*place..*place + workers] {
                        events.push(FromCluster::KeptAttributes(channel_id.clone(), value.clone()));
                    }
                }
            }
            hand_out(&projects, events);
        });
        if let Some(before) = self.attributes_watch.replace(tokio::spawn(task).abort_handle()) {
            before.abort();
        }
    }
}

/// Each core gets what is for it.
fn hand_out(projects: &[Arc<Project>], events: Vec<Vec<FromCluster>>) {
    for (project, events) in projects.iter().zip(events) {
        if !events.is_empty() {
            project.handle_cluster(events);
        }
    }
}

/// The driver hears what each node has in the engine, and what it says of itself.
pub(super) fn watch_nodes(gear: &Gear, watched: UnboundedSender<Input>) -> AbortHandle {
    let names = gear.names.clone();
    let task = watch_bucket(gear.jetstream.clone(), names.bucket(NODES), move |changes| {
        for (revision, message) in changes {
            let input = match watched_node(&names, &message, revision) {
                Some((key, stored)) => Some(Input::Watched(key, stored)),
                None => About::node(&names, &message.subject)
                    .and_then(|node| Some(Input::About(node, Box::new(About::decode(&message.payload)?)))),
            };
            // The driver may have ended.
            let _ = input.map(|input| watched.send(input));
        }
    });
    tokio::spawn(task).abort_handle()
}

/// The driver hears of each thing that NATS does not permit.
pub(super) fn watch_denied(gear: &Gear, input: UnboundedSender<Input>) -> AbortHandle {
    let denied = gear.denied.clone();
    let task = async move {
        for before in 0.. {
            // The driver may have ended.
            if input.send(Input::Denied(denied.wait_beyond(before).await)).is_err() {
                return;
            }
        }
    };
    tokio::spawn(task).abort_handle()
}
