//! How much the store may keep of a project: what it has is measured from time to time, and what is given to it between counts
//! as well.

use std::time::{Duration, Instant};

use rtm_codec::{ErrorKind, Refusal};

use super::{Core, Now, Quota, Quotas, StoreAnswer, StoreFailed, StoreWork, jobs::Waiting, store::StoredBytes};

/// What the store keeps of the project, as far as this core knows. Nothing is measured without a quota.
#[derive(Debug, Default)]
pub(super) struct KeptBytes {
    measured: Option<StoredBytes>,
    /// When the store was last asked, and for how long it is not asked again after that took as long as it did.
    asked_at: Option<Instant>,
    pause: Duration,
    is_asked: bool,
    /// What the store was given since it was measured, and before the measuring that is under way.
    given_before: u64,
    /// What it was given since that was asked for.
    given_since: u64,
}

impl KeptBytes {
    fn of_users(&self) -> u64 {
        let measured = self.measured.map_or(0, |measured| measured.of_users());
        measured.saturating_add(self.given_before).saturating_add(self.given_since)
    }

    /// The store is given so many bytes more.
    pub(super) fn give(&mut self, bytes: usize) {
        self.given_since = self.given_since.saturating_add(bytes as u64);
    }
}

impl Core {
    /// What the store had of the project when that was measured; `None` without a quota.
    #[must_use]
    pub fn stored_bytes(&self) -> Option<StoredBytes> {
        self.kept_bytes.measured
    }

    /// Refuses what would take the store so many bytes more than it may have of the project.
    pub(super) fn check_stored_bytes(&mut self, now: Now, bytes: usize) -> Result<(), Refusal> {
        let most = self.config.quotas.stored_bytes;
        if most == 0 {
            return Ok(());
        }
        let is_beyond = self.kept_bytes.of_users().saturating_add((bytes + RECORD) as u64) > most;
        // What was removed since is known only to the store.
        let pause = if is_beyond { PAUSE } else { EVERY }.max(self.kept_bytes.pause);
        if self.kept_bytes.asked_at.is_none_or(|at| now.instant.saturating_duration_since(at) >= pause) {
            self.measure_stored_bytes(now);
        }
        if !is_beyond {
            return Ok(());
        }
        self.hub.counters.beyond(Quota::StoredBytes);
        Err(Refusal::new(ErrorKind::ExceedLimit, "the project has as many stored bytes as it may have (stored_bytes)"))
    }

    /// The store is given a record with so many bytes of texts.
    pub(super) fn count_stored_bytes(&mut self, bytes: usize) {
        self.kept_bytes.give(bytes + RECORD);
    }

    /// Asks the store how much it has of the project.
    pub(super) fn measure_stored_bytes(&mut self, now: Now) {
        let Quotas { stored_bytes, event_log_bytes, .. } = self.config.quotas;
        let kept = &mut self.kept_bytes;
        let is_rested = kept.asked_at.is_none_or(|at| now.instant.saturating_duration_since(at) >= kept.pause);
        if !kept.is_asked && is_rested && (stored_bytes, event_log_bytes) != (0, 0) {
            (kept.is_asked, kept.asked_at) = (true, Some(now.instant));
            kept.given_before += std::mem::take(&mut kept.given_since);
            self.jobs.ask_aside(StoreWork::Measure, Waiting::Measuring);
        }
    }

    /// The store has said how much it has, or failed to.
    pub(super) fn stored_bytes_measured(&mut self, now: Now, result: &Result<StoreAnswer, StoreFailed>) {
        let kept = &mut self.kept_bytes;
        kept.is_asked = false;
        if let Some(at) = kept.asked_at {
            kept.pause = now.instant.saturating_duration_since(at) * RESTS;
        }
        if let Ok(StoreAnswer::Measured(measured)) = result {
            (kept.measured, kept.given_before) = (Some(*measured), 0);
        }
    }

    /// Nobody waits for the store any more.
    pub(super) fn forget_stored_bytes(&mut self) {
        self.kept_bytes = KeptBytes::default();
    }
}

/// What a record has besides its texts, about.
const RECORD: usize = 128;
/// How often the store is asked how much it has, if it is given something.
const EVERY: Duration = Duration::from_secs(30);
/// How long after it said so it is asked again whether it still has too much.
const PAUSE: Duration = Duration::from_secs(1);
/// A store that takes long to measure is left alone for so many times as long.
const RESTS: u32 = 20;
