//! Moments of a pack, on the clock of this machine.

use std::time::{Duration, Instant};

use super::format::Moment;

/// The moment from which a pack counts: when it was packed, or now that it is unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackTime(pub(crate) Instant);

impl PackTime {
    pub(crate) fn moment(self, at: Instant) -> Moment {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let (after, before) = (at.saturating_duration_since(self.0), self.0.saturating_duration_since(at));
        Moment(nanos(after) - nanos(before))
    }

    /// The same moment on this clock. One that it cannot say is now.
    pub(crate) fn instant(self, moment: Moment) -> Instant {
        let distance = Duration::from_nanos(moment.0.unsigned_abs()).min(FAR);
        let at = if moment.0 < 0 { self.0.checked_sub(distance) } else { self.0.checked_add(distance) };
        at.unwrap_or(self.0)
    }
}

/// Nothing in a session is farther away: 100 years.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
