//! Whether the computer slept.

use std::time::Duration;

use rtm_core::Now;

use super::Driver;

impl Driver {
    /// While the computer slept, others may have gone on.
    pub(super) fn look_at_the_boot_clock(&mut self, time: Now) {
        let ahead = boot_ahead();
        if ahead.abs_diff(self.boot_ahead) > JUMP {
            self.gear.node.handle_jump(time);
        }
        self.boot_ahead = ahead;
    }
}

/// How far the clock that counts while the computer sleeps is ahead of the one that does not.
pub(super) fn boot_ahead() -> Duration {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let read = |clock| {
            let time = clock_gettime(clock);
            Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
        };
        read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
    }
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

/// So much more or less on the clock that counts while the computer sleeps is a sleep.
const JUMP: Duration = Duration::from_secs(1);
