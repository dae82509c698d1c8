//! The keys that are known, and the names by which the admin listener is reached. A reload replaces them.

use std::sync::{Arc, Mutex, PoisonError};

use super::config::{AdminConfig, AdminKey};

/// The keys that are known now.
#[derive(Debug)]
pub(crate) struct AdminKeys(Mutex<Arc<Known>>);

/// The keys that were known at one moment.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) keys: Vec<AdminKey>,
    pub(super) hosts: Vec<String>,
}

impl AdminKeys {
    pub(crate) fn new(config: &AdminConfig) -> Self {
        Self(Mutex::new(Arc::new(Known::new(config))))
    }

    /// These are known from now on.
    pub(crate) fn replace(&self, config: &AdminConfig) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Known::new(config));
    }

    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn new(config: &AdminConfig) -> Self {
        Self { keys: config.keys.clone(), hosts: config.hosts.clone() }
    }
}
