//! The way from a project's core to the node that the server is in a cluster.

use rtm_codec::UserId;
use rtm_core::{
    Core,
    cluster::{EngineJob, NodeId, Posted, Posting, ProjectParcel, Revised, Ticket, View},
};
use tokio::sync::mpsc::UnboundedSender;

/// What the core of the project in this place says to others.
pub(crate) type Parcels = (usize, Vec<Posting>);

/// What it asks of the engine.
pub(crate) type Job = (usize, EngineJob);

/// What a project's core has for others goes here, under the project's lock, so that it stays in order.
#[derive(Debug)]
pub(crate) struct Link {
    /// The project's place among the node's.
    pub(crate) place: usize,
    pub(crate) parcels: UnboundedSender<Parcels>,
    pub(crate) jobs: UnboundedSender<Job>,
}

/// What the cluster has for the core of a project.
#[derive(Debug)]
pub(crate) enum FromCluster {
    /// The node is a member of this view: the core is one of several from now on.
    Joined(NodeId, View),
    /// The node is not a member any more: all sessions are over, and their clients are to come back.
    LeftOut,
    /// There is a newer view.
    View(View),
    /// The same project on another node says something.
    Parcel(NodeId, ProjectParcel),
    /// What became of a parcel.
    Posted(Ticket, Posted),
    /// The post from another node began anew: parcels may be missing.
    Restarted(NodeId),
    /// A user's entry has changed.
    Entry(UserId, Revised),
}

impl Link {
    /// Passes on what a core has for others.
    pub(crate) fn pass_on(&self, core: &mut Core) {
        let mut postings = Vec::new();
        core.take_parcels(&mut postings);
        // Nobody is there only when the server ends.
        if !postings.is_empty() {
            let _ = self.parcels.send((self.place, postings));
        }
        let mut jobs = Vec::new();
        core.take_engine_jobs(&mut jobs);
        for job in jobs {
            let _ = self.jobs.send((self.place, job));
        }
    }
}
