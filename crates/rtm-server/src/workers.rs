//! The cores of one project: several where it is to use more than one processor. Each user has one of them.

use std::sync::Arc;

use rtm_codec::{AppId, UserId};
use rtm_core::{Stats, cluster::partition};
use tokio::task::JoinHandle;

use crate::project::Project;

/// The cores of one project, at least one, and the tasks that keep them going.
#[derive(Debug)]
pub(crate) struct Workers {
    cores: Box<[Arc<Project>]>,
    tasks: Vec<JoinHandle<()>>,
}

impl Workers {
    /// The cores of a project, in the order of their numbers.
    pub(crate) fn new(cores: Vec<Arc<Project>>, tasks: Vec<JoinHandle<()>>) -> Self {
        debug_assert!(!cores.is_empty(), "a project has a core");
        Self { cores: cores.into(), tasks }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Project>> {
        self.cores.iter()
    }

    /// The first core.
    #[cfg(feature = "admin")]
    pub(crate) fn first(&self) -> &Arc<Project> {
        &self.cores[0]
    }

    /// The core with this number, if there are so many.
    #[cfg(feature = "admin")]
    pub(crate) fn get(&self, number: usize) -> Option<&Arc<Project>> {
        self.cores.get(number)
    }

    /// The core that serves a user: always the same. Who has no name yet is served by the first.
    pub(crate) fn serving(&self, app_id: &AppId, user_id: Option<&UserId>) -> &Arc<Project> {
        let Some(user_id) = user_id.filter(|_| self.cores.len() > 1) else { return &self.cores[0] };
        &self.cores[usize::from(partition(app_id.as_str(), user_id.as_str())) % self.cores.len()]
    }

    /// The figures of all.
    pub(crate) fn stats(&self) -> Stats {
        self.all().map(|project| project.stats()).sum()
    }

    /// Ends their tasks: nothing happens by itself any more.
    pub(crate) fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}
