//! The time that the calling thread had a processor, so that a busy machine disturbs little.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The thread's time until now.
#[must_use]
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// What is measured at once; what has to be made ready for it is not measured.
pub(crate) fn batches(iterations: u64) -> impl Iterator<Item = usize> {
    (0..iterations).step_by(BATCH).map(move |done| BATCH.min((iterations - done) as usize))
}

/// Reading the clock takes as long as several messages.
const BATCH: usize = 1024;
