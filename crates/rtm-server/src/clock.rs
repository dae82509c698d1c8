//! The clock of everything but files: that of the runtime.

use std::time::Instant;

/// The time as the runtime has it, which tests stop and move.
pub(crate) fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}
