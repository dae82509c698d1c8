//! A server becomes a node of its cluster.

use std::sync::{Arc, atomic::Ordering};

use super::Server;
#[cfg(feature = "admin")]
use crate::admin::across::{Nodes, answerer};
use crate::{
    cluster::{
        self, Mail, Member, Place,
        config::ClusterConfig,
        contact::{OwnContact, contact_address},
        store::NodeStore,
    },
    error::ServerError,
    project::Project,
    random::random,
};

impl Server {
    /// Becomes a member of the cluster, and serves while it is one. `asked` is where others may ask whether it is.
    pub(super) async fn join(
        &mut self,
        config: &ClusterConfig,
        projects: Vec<Arc<Project>>,
        mail: Mail,
        store: Option<Arc<NodeStore>>,
        asked: Vec<String>,
    ) -> Result<(), ServerError> {
        let name = config.node.clone().unwrap_or_else(|| cluster::usual_name(self.addresses.first()));
        let seed = random()?;
        let tls = self.shared.tls.clone();
        let advertise = self.shared.live().advertise.clone();
        let advertise = advertise.map(|at| contact_address(&at, tls.is_some()));
        let contact = OwnContact::new(asked.into_iter().chain(advertise).collect(), tls);
        #[cfg_attr(not(feature = "admin"), expect(unused_mut, reason = "nobody asks it"))]
        let mut member = Member::start(config, name, contact, projects, mail, store, seed).await?;
        #[cfg(feature = "admin")]
        {
            let nodes = Nodes { me: member.name(), figures: member.figures(), calls: member.calls() };
            let _ = self.admin.cluster.set(Arc::new(nodes));
            member.answer_calls(answerer(Arc::clone(&self.admin)));
        }
        let (mut place, shared) = (member.place(), Arc::clone(&self.shared));
        self.timers.push(tokio::spawn(async move {
            loop {
                let is_serving = matches!(*place.borrow_and_update(), Place::Member { .. } | Place::Isolated);
                let is_certain = matches!(*place.borrow(), Place::Member { .. });
                shared.is_serving.store(is_serving, Ordering::Relaxed);
                shared.is_certain.store(is_certain, Ordering::Relaxed);
                if place.changed().await.is_err() {
                    return;
                }
            }
        }));
        member.joined().await?;
        self.shared.is_serving.store(true, Ordering::Relaxed);
        self.shared.is_certain.store(true, Ordering::Relaxed);
        self.member = Some(member);
        Ok(())
    }
}
