//! Opens the store, and puts the cores of projects to work: at the start, and while the server runs those that are added.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rtm_core::{
    Core, EventLogStart, ProjectConfig,
    store::{Backend, BackendError, Memory},
};
use tokio::{task::JoinHandle, time::sleep};

#[cfg(feature = "cluster")]
use crate::{
    cluster::Mailbox,
    floor::{self, Desk},
    link::Link,
};
use crate::{
    project::{Project, now},
    random::random_bytes,
    redb::Redb,
    store::{Kept, StoreQueue, read_kept},
    workers::Workers,
};

/// What projects are put to work with.
#[derive(Debug)]
pub(crate) struct Premises {
    pub(super) store: StoreQueue,
    /// How many cores each project has.
    pub(super) workers: u16,
    /// It is not a node of a cluster.
    pub(super) is_alone: bool,
    /// The way to the node.
    #[cfg(feature = "cluster")]
    pub(super) mailbox: Option<Mailbox>,
    /// How many cores were put to work.
    #[cfg(feature = "cluster")]
    pub(super) places: usize,
}

impl Premises {
    /// Puts the cores of one project to work.
    pub(crate) fn put_to_work(&mut self, cores: Vec<Core>) -> Workers {
        let projects = cores.into_iter().map(|core| Project::new(core, self.store.clone()));
        #[cfg(feature = "cluster")]
        let mut inboxes = Vec::new();
        #[cfg(feature = "cluster")]
        let projects = {
            let mut desks =
                if self.is_alone && self.workers > 1 { Desk::set_up(self.workers) } else { Vec::new() }.into_iter();
            let mut linked = Vec::new();
            for project in projects {
                let link = match (&self.mailbox, desks.next()) {
                    (Some(mailbox), _) => Some(mailbox.link(self.places)),
                    (None, Some((desk, inbox))) => {
                        inboxes.push(inbox);
                        Some(Link::Floor(desk))
                    }
                    (None, None) => None,
                };
                self.places += 1;
                linked.push(project.linked(link));
            }
            linked.into_iter()
        };
        let projects: Vec<_> = projects.map(Arc::new).collect();
        let tasks = projects.iter().map(|project| tokio::spawn(Arc::clone(project).keep_time()));
        #[cfg(feature = "cluster")]
        let tasks = {
            let inboxes = inboxes.into_iter().zip(&projects);
            tasks.chain(inboxes.map(|(inbox, core)| tokio::spawn(inbox.serve(Arc::clone(core)))))
        };
        let mut tasks: Vec<_> = tasks.collect();
        if self.is_alone {
            tasks.extend(begin_event_log(&projects));
        }
        Workers::new(projects, tasks)
    }

    /// Puts the cores of a project to work that was not there before. In a cluster it is not served before all nodes have it.
    pub(crate) fn add(&mut self, cores: Vec<Core>) -> Workers {
        let workers = self.put_to_work(cores);
        #[cfg(feature = "cluster")]
        if let Some(mailbox) = &self.mailbox {
            workers.all().for_each(|core| core.keep_shut());
            mailbox.serve(workers.all().cloned().collect());
        }
        workers
    }

    /// The cores of a project that is added, with what the store kept of it. They are opened without `self`: the store may
    /// take long.
    pub(crate) fn open(
        &self,
        project: &ProjectConfig,
    ) -> impl Future<Output = Result<Vec<Core>, BackendError>> + use<> {
        let (store, project, workers, is_alone) = (self.store.clone(), project.clone(), self.workers, self.is_alone);
        async move {
            let kept = store.read_state(project.app_id.clone()).await?;
            cores(&project, kept, workers, is_alone)
        }
    }
}

/// Has the cores of a project write the log of events: the first one writes what an earlier run left open, for which the others
/// wait.
fn begin_event_log(cores: &[Arc<Project>]) -> Option<JoinHandle<()>> {
    let (first, others) = cores.split_first()?;
    // Without random numbers the time tells one run from another.
    let number = random_bytes().map_or_else(|_| now().unix_ms, u64::from_be_bytes);
    let server = format!("server-{number:016x}");
    others.iter().for_each(|core| core.begin_event_log(&server, EventLogStart::Held));
    first.begin_event_log(&server, EventLogStart::AfterRestart);
    if others.is_empty() {
        return None;
    }
    let (first, others) = (Arc::clone(first), others.to_vec());
    Some(tokio::spawn(async move {
        while !first.is_event_log_ready() {
            sleep(LOG_LOOK).await;
        }
        others.iter().for_each(Project::release_event_log);
    }))
}

/// A backend, and the cores of each project.
type Opened = (Box<dyn Backend>, Vec<Vec<Core>>);

/// Opens the backend, and makes the cores of each project. Blocks.
pub(super) fn open(
    backend: Option<Box<dyn Backend>>,
    data_dir: Option<PathBuf>,
    projects: &[ProjectConfig],
    workers: u16,
    is_alone: bool,
) -> Result<Opened, BackendError> {
    let mut backend = match (backend, data_dir) {
        (Some(backend), _) => backend,
        (None, Some(directory)) => Box::new(Redb::open(directory)?),
        (None, None) => Box::new(Memory::default()),
    };
    let mut all = Vec::new();
    for project in projects {
        let kept = read_kept(backend.as_mut(), &project.app_id)?;
        all.push(cores(project, kept, workers, is_alone)?);
    }
    Ok((backend, all))
}

/// The cores of a project, which know of each other if the server is alone.
fn cores(project: &ProjectConfig, mut kept: Kept, workers: u16, is_alone: bool) -> Result<Vec<Core>, BackendError> {
    let mut cores = Vec::new();
    for number in 0..workers {
        let mut core = Core::new(project.clone(), random_bytes()?, now());
        if workers > 1 && is_alone {
            #[cfg(feature = "cluster")]
            core.join_cluster(floor::id(number), floor::view(workers));
        }
        if !is_alone {
            core.await_cluster();
        }
        let values = if number + 1 == workers { std::mem::take(&mut kept) } else { kept.clone() };
        for (key, value) in values {
            core.restore(now(), key, value);
        }
        cores.push(core);
    }
    Ok(cores)
}

/// How often it is looked whether a core has written what an earlier run left.
const LOG_LOOK: Duration = Duration::from_millis(10);
