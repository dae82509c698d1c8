//! Descriptors that a listener keeps for when there are no others.

use std::{
    fs::File,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Descriptors that are kept for when there are no others, so that whoever looks after the server still gets an answer.
pub(crate) struct Reserve(Arc<Mutex<Vec<File>>>);

/// One of them, in use; it comes back when this is dropped.
pub(crate) struct Spare(Arc<Mutex<Vec<File>>>);

impl Reserve {
    pub(crate) fn new() -> Self {
        let reserve = Self(Arc::default());
        reserve.refill();
        reserve
    }

    /// Takes what is missing.
    pub(crate) fn refill(&self) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while files.len() < SPARE
            && let Ok(file) = File::open(PLACEHOLDER)
        {
            files.push(file);
        }
    }

    pub(crate) fn lend(&self) -> Option<Spare> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.pop().map(|_| Spare(Arc::clone(&self.0)))
    }
}

/// Whether a descriptor can be had now.
pub(crate) fn is_one_left() -> bool {
    File::open(PLACEHOLDER).is_ok()
}

impl Drop for Spare {
    fn drop(&mut self) {
        // If somebody else has it by now, it is taken back when a connection can be accepted again.
        if let Ok(file) = File::open(PLACEHOLDER) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        }
    }
}

/// How long a connection may use one of them.
pub(crate) const SPARE_TIMEOUT: Duration = Duration::from_millis(500);
/// How many each listener keeps, and what holds them.
const SPARE: usize = 4;
const PLACEHOLDER: &str = "/dev/null";
