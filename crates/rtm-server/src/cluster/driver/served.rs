//! Which projects the node serves: those that all members have. And in what the members differ in what they serve.

use std::{mem, sync::Arc, time::Duration};

use rtm_codec::AppId;
use rtm_core::cluster::Member;
use tracing::{info, warn};

use super::{Driver, Input};
use crate::{
    link::FromCluster,
    project::{Project, now},
};

/// A project that is not served yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unopened {
    /// The node had it when it started.
    AtStart,
    /// It was added since, and what the store has of it may be read by now.
    Added { is_restored: bool },
}

impl Driver {
    /// Serves one project more.
    pub(super) fn serve(&mut self, cores: Vec<Arc<Project>>) {
        let Some(app_id) = cores.first().map(|core| core.app_id().clone()) else { return };
        let first = self.gear.projects.len();
        self.places.insert(app_id.clone(), first);
        self.for_projects.extend(cores.iter().map(|_| Vec::new()));
        self.gear.projects.extend(cores.iter().cloned());
        // The other nodes are to know.
        self.said_at = None;
        self.unopened.insert(app_id.clone(), Unopened::Added { is_restored: self.gear.store.is_none() });
        if self.is_member {
            let (me, view) = (self.gear.node.id().clone(), self.gear.node.view().by_worker());
            for (number, events) in (0..self.gear.workers).zip(&mut self.for_projects[first..]) {
                events.push(FromCluster::Joined(me.worker(number), view.clone()));
            }
            self.hand_over();
            // Cores that know an entry pass it over.
            self.watch_users();
            self.watch_attributes();
        }
        if let Some(store) = self.gear.store.clone() {
            let input = self.input.clone();
            tokio::spawn(async move {
                store.restore(&cores).await;
                // The driver may have ended.
                let _ = input.send(Input::RestoredProject(app_id));
            });
        }
        self.open_projects();
    }

    /// Opens the projects that all members serve, in the lives that they have now.
    pub(super) fn open_projects(&mut self) {
        if !self.is_member {
            return;
        }
        if !self.is_settled {
            let now = now().instant;
            if now < *self.said_by.get_or_insert(now + SAID_WITHIN) && self.has_silent_member() {
                return;
            }
            self.is_settled = true;
            self.open_those_that_all_have();
            self.stand(self.place.clone());
        } else if !self.unopened.is_empty() {
            self.open_those_that_all_have();
        }
    }

    /// Whether a member has not said what it serves.
    fn has_silent_member(&self) -> bool {
        let me = self.gear.node.id();
        let mut others = self.gear.node.view().members().iter().filter(|member| member.id != *me);
        others.any(|member| self.served_by.get(&member.id.name).is_none_or(|(life, _)| *life != member.id.incarnation))
    }

    fn open_those_that_all_have(&mut self) {
        let view = self.gear.node.view();
        let me = self.gear.node.id();
        let lacks = |app_id: &AppId, unopened: Unopened| -> Vec<String> {
            let others = view.members().iter().filter(|member| member.id != *me);
            let serves = |member: &&Member| match self.served_by.get(&member.id.name) {
                // A node of an older version does not say it.
                Some((life, served)) if *life == member.id.incarnation => {
                    served.as_ref().is_none_or(|served| served.contains_key(app_id.as_str()))
                }
                // One that is silent may be gone, and is to keep nobody from a start.
                _ => unopened == Unopened::AtStart,
            };
            others.filter(|member| !serves(member)).map(|member| member.id.name.to_string()).collect()
        };
        let is_ready = |(app_id, unopened): &(&AppId, &Unopened)| {
            **unopened != Unopened::Added { is_restored: false } && lacks(app_id, **unopened).is_empty()
        };
        let ready: Vec<_> = self.unopened.iter().filter(is_ready).map(|(app_id, _)| app_id.clone()).collect();
        for app_id in ready {
            let unopened = self.unopened.remove(&app_id);
            let has_waited = self.told_to_wait.remove(&app_id).is_some();
            let Some(place) = self.places.get(&app_id) else { continue };
            let cores = self.gear.projects.iter().skip(*place).take(usize::from(self.gear.workers));
            cores.for_each(|core| core.open());
            if has_waited || unopened != Some(Unopened::AtStart) {
                info!("the project {app_id} is served: all members of the cluster have it");
            }
        }
        for (app_id, unopened) in &self.unopened {
            let missing = lacks(app_id, *unopened).join(", ");
            if !missing.is_empty() && self.told_to_wait.get(app_id) != Some(&missing) {
                warn!("the project {app_id} is not served before these nodes have it too: {missing}");
                self.told_to_wait.insert(app_id.clone(), missing);
            }
        }
    }

    /// Says once in what a member serves something else than this node.
    pub(super) fn say_differences(&mut self) {
        if !self.is_member {
            return;
        }
        for member in self.gear.node.view().members() {
            if let Some((different, is_said)) = self.differences.get_mut(&member.id.name)
                && !different.is_empty()
                && !mem::replace(is_said, true)
            {
                warn!("{} serves something else than this node: {}", member.id.name, different.join("; "));
            }
        }
    }
}

/// How long a node that starts waits for the members to say what they serve, which they do every two seconds.
const SAID_WITHIN: Duration = Duration::from_secs(5);
