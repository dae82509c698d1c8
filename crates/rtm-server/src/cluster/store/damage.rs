//! Messages of the store's streams that cannot be read: each is logged once, and counted.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use rtm_core::store::record::RecordError;
use tracing::error;

use super::jetstream::Found;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Damage(Mutex<BTreeSet<(String, u64)>>);

impl Damage {
    pub(crate) fn tell(&self, found: &Found, fault: RecordError) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < COUNTED && known.insert((found.subject.clone(), found.seq)) {
            error!(subject = found.subject, sequence = found.seq, "a record cannot be read: {fault}");
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

const COUNTED: usize = 10_000;
