//! What nodes say of themselves: to each other, to those who look, and in the log.

use std::{sync::Arc, time::Duration};

use rtm_codec::AppId;
use rtm_core::{
    Now,
    cluster::{NodeName, Role},
};
use tracing::{info, warn};

use super::Driver;
use crate::cluster::{
    about::About,
    figures::{ClusterFigures, ClusterNode, ClusterNodes},
    served::differences,
};

impl Driver {
    /// What another node says of itself.
    pub(super) fn heard_about(&mut self, node: NodeName, about: About) {
        let different = about.served.as_ref().map(|served| differences(&self.served, served)).unwrap_or_default();
        self.served_by.insert(node.clone(), (about.incarnation, about.served));
        self.open_projects();
        if self.differences.get(&node).is_none_or(|(known, _)| *known != different) {
            self.differences.insert(node.clone(), (different, false));
        }
        self.said.insert(node.clone(), (about.version, about.sessions));
        self.contacts.insert(node, about.contact);
    }

    /// Says now and then whom it waits for. Members that are gone have to be put out first.
    pub(super) fn say_that_it_waits(&mut self, time: Now) {
        if self.is_member {
            self.outside_at = time.instant;
        } else if time.instant >= self.outside_at + SAY_THAT_IT_WAITS_EVERY {
            self.outside_at = time.instant;
            let view = self.gear.node.view();
            let names: Vec<_> = view.members().iter().map(|member| member.id.name.as_str()).collect();
            if names.is_empty() {
                info!("waiting for NATS to answer");
            } else {
                info!("waiting to be let in by {}, or until those are put out", names.join(", "));
            }
        }
    }

    /// Says now and then how it is.
    pub(super) fn say_about(&mut self, time: Now) {
        let incarnation = self.gear.node.id().incarnation;
        if incarnation == 0 || self.said_at.is_some_and(|at| time.instant < at + SAY_EVERY) {
            return;
        }
        self.said_at = Some(time.instant);
        let view = self.gear.node.view();
        let sessions: usize = self.gear.projects.iter().map(|project| project.figures().sessions).sum();
        let [sent, received] = self.parcels;
        let (parcels, dropped) = ([sent, received, self.router.refused()], self.gear.node.dropped());
        let mut figures = ClusterFigures { epoch: view.epoch(), parcels, dropped, ..ClusterFigures::default() };
        let mut nodes = Vec::new();
        let me = &self.gear.node.id().name;
        for member in view.members() {
            figures.count(member.role);
            figures.post_bytes += self.gear.node.waiting_bytes(&member.id);
            let name = &member.id.name;
            let own = (name == me).then(|| (env!("CARGO_PKG_VERSION").to_owned(), sessions));
            let (version, sessions) = own.or_else(|| self.said.get(name).cloned()).unzip();
            nodes.push(ClusterNode { name: name.to_string(), role: role_name(member.role), version, sessions });
        }
        let nodes = ClusterNodes { node: me.to_string(), epoch: view.epoch(), nodes };
        self.gear.figures.set(figures, nodes);
        self.say_differences();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let contact = self.gear.contact.told();
        let terms = |(app_id, place): (&AppId, &usize)| (app_id.to_string(), self.gear.projects[*place].terms());
        self.served = self.places.iter().map(terms).collect();
        for (node, (_, served)) in &self.served_by {
            let Some(served) = served else { continue };
            let different = differences(&self.served, served);
            if self.differences.get(node).is_some_and(|(known, _)| *known != different) {
                self.differences.insert(node.clone(), (different, false));
            }
        }
        let served = Some(self.served.clone());
        let about = About { incarnation, version, sessions, contact, served };
        let value = about.encode();
        let too_large = About::too_large(value.len(), self.gear.bus.payload_bytes());
        if let Some(what) = &too_large
            && !self.is_about_too_large
        {
            warn!("{what}");
        }
        self.is_about_too_large = too_large.is_some();
        let subject = About::subject(&self.gear.names, &self.gear.node.id().name);
        let engine = Arc::clone(&self.gear.engine);
        tokio::spawn(async move { engine.put(subject, value.into()).await });
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Edge => "edge",
        Role::Home => "home",
        Role::Draining => "draining",
    }
}

/// How often a node says how it is.
const SAY_EVERY: Duration = Duration::from_secs(2);
const SAY_THAT_IT_WAITS_EVERY: Duration = Duration::from_secs(10);
