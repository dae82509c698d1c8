//! The keys that are known, and the names by which the admin listener is reached. A reload replaces them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::config::{AdminConfig, AdminKey};

/// The keys that are known now.
#[derive(Debug)]
pub(crate) struct AdminKeys {
    known: Mutex<Arc<Known>>,
    /// How often that, or what there is, may have changed.
    changes: watch::Sender<u64>,
}

/// The keys that were known at one moment.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) keys: Vec<AdminKey>,
    pub(super) hosts: Vec<String>,
}

impl AdminKeys {
    pub(crate) fn new(config: &AdminConfig) -> Self {
        Self { known: Mutex::new(Arc::new(Known::new(config))), changes: watch::Sender::new(0) }
    }

    /// These are known from now on.
    pub(crate) fn replace(&self, config: &AdminConfig) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Known::new(config));
    }

    /// Calls that go on look anew whether their keys still let them.
    pub(crate) fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// What changes then.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn new(config: &AdminConfig) -> Self {
        Self { keys: config.keys.clone(), hosts: config.hosts.clone() }
    }
}
