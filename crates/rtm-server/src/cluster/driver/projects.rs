//! What goes between a node and the cores of its projects.

use std::{mem, sync::Arc};

use rtm_core::{
    Now,
    cluster::{ForCore, Posting},
};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinSet};

use super::Driver;
use crate::{
    cluster::engine::Engine,
    link::{FromCluster, Job},
    project::now,
};

impl Driver {
    pub(super) fn post(&mut self, place: usize, postings: Vec<Posting>) {
        let instant = now().instant;
        let app_id = self.gear.projects[place].app_id();
        let worker = self.worker(place);
        self.parcels[0] += postings.len() as u64;
        for posting in postings {
            self.router.post_from(worker, &mut self.gear.node, instant, app_id, posting);
        }
    }

    /// Which of its project's cores the one in this place is.
    fn worker(&self, place: usize) -> u16 {
        u16::try_from(place % usize::from(self.gear.workers)).unwrap_or_default()
    }

    /// Sorts what came by post by the projects that it is for.
    pub(super) fn sort(&mut self) {
        while let Some(for_core) = self.router.take() {
            let (app_id, worker, event) = match for_core {
                ForCore::Parcel { app_id, worker, from, parcel } => {
                    self.parcels[1] += 1;
                    (app_id, worker, FromCluster::Parcel(from, parcel))
                }
                ForCore::Posted { app_id, worker, ticket, posted } => {
                    (app_id, worker, FromCluster::Posted(ticket, posted))
                }
                ForCore::Restarted { from } => {
                    let workers = self.gear.node.view().member(&from).map_or(1, |member| member.workers);
                    for events in &mut self.for_projects {
                        events.extend((0..workers).map(|number| FromCluster::Restarted(from.worker(number))));
                    }
                    continue;
                }
            };
            // A project that this node does not serve is nobody's.
            if let Some(place) = self.places.get(&app_id).filter(|_| worker < self.gear.workers) {
                self.for_projects[*place + usize::from(worker)].push(event);
            }
        }
    }

    /// Lets the projects know all that came.
    pub(super) fn tell_projects(&mut self, now: Now) {
        self.permit(now);
        self.sort();
        self.hand_over();
    }

    pub(super) fn hand_over(&mut self) {
        for (project, events) in self.gear.projects.iter().zip(&mut self.for_projects) {
            if !events.is_empty() {
                project.handle_cluster(mem::take(events));
            }
        }
    }
}

/// Does what the cores ask of the engine, until they are gone.
pub(crate) async fn serve_jobs(mut jobs: UnboundedReceiver<Job>, engine: Arc<Engine>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            job = jobs.recv() => {
                let Some((project, job)) = job else { return };
                let engine = Arc::clone(&engine);
                open.spawn(async move {
                    let answer = engine.users(project.app_id(), &job.user_id, &job.work).await;
                    project.handle_cluster(vec![FromCluster::Answer(job.id, answer)]);
                });
            }
            Some(_) = open.join_next() => {}
        }
    }
}
