//! The way from a project's core to others of the project: to the node that the server is in a cluster, or to the cores beside
//! it, where the server is alone.

use std::sync::Arc;

use rtm_codec::{ChannelAttributes, ChannelId, UserId};
use rtm_core::{
    Core,
    cluster::{EngineAnswer, EngineJob, EngineJobId, NodeId, Posted, Posting, ProjectParcel, Revised, Ticket, View},
};
use tokio::sync::mpsc::UnboundedSender;

use crate::{floor::Desk, project::Project};

/// What the core of the project in this place says to others.
pub(crate) type Parcels = (usize, Vec<Posting>);

/// What it asks of the engine.
pub(crate) type Job = (Arc<Project>, EngineJob);

/// What a project's core has for others goes here, under the project's lock, so that it stays in order.
#[derive(Debug)]
pub(crate) enum Link {
    /// To the node.
    Node {
        /// The core's place among the node's.
        place: usize,
        parcels: UnboundedSender<Parcels>,
        jobs: UnboundedSender<Job>,
    },
    /// To the cores beside it.
    Floor(Desk),
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
    /// The store has these attributes of a channel.
    KeptAttributes(ChannelId, ChannelAttributes),
    /// The engine's answer to a job.
    Answer(EngineJobId, EngineAnswer),
}

impl Link {
    /// Passes on what a core has for others.
    pub(crate) fn pass_on(&self, project: &Arc<Project>, core: &mut Core) {
        let mut postings = Vec::new();
        core.take_parcels(&mut postings);
        let mut engine_jobs = Vec::new();
        core.take_engine_jobs(&mut engine_jobs);
        match self {
            // Nobody is there only when the server ends.
            Self::Node { place, parcels, jobs } => {
                if !postings.is_empty() {
                    let _ = parcels.send((*place, postings));
                }
                for job in engine_jobs {
                    let _ = jobs.send((Arc::clone(project), job));
                }
            }
            Self::Floor(desk) => {
                desk.post(postings);
                desk.ask(&engine_jobs);
            }
        }
    }
}
