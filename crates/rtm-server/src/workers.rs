//! The cores of one project: several where it is to use more than one processor. Each user has one of them.

use std::sync::Arc;

use rtm_codec::{AppId, UserId};
use rtm_core::{Stats, cluster::partition};

use crate::project::Project;

/// The cores of one project, at least one.
#[derive(Debug)]
pub(crate) struct Workers {
    first: Arc<Project>,
    others: Vec<Arc<Project>>,
}

impl Workers {
    pub(crate) fn new(first: Arc<Project>) -> Self {
        Self { first, others: Vec::new() }
    }

    /// The next core.
    pub(crate) fn push(&mut self, core: Arc<Project>) {
        self.others.push(core);
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Project>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The core that serves a user: always the same. Who has no name yet is served by the first.
    pub(crate) fn serving(&self, app_id: &AppId, user_id: Option<&UserId>) -> &Arc<Project> {
        let Some(user_id) = user_id.filter(|_| !self.others.is_empty()) else { return &self.first };
        let number = usize::from(partition(app_id.as_str(), user_id.as_str())) % (1 + self.others.len());
        number.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    /// The figures of all.
    pub(crate) fn stats(&self) -> Stats {
        self.all().map(|project| project.stats()).sum()
    }
}
