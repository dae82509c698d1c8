//! The clock of the runtime, and a timer on it.

use std::{pin::Pin, task::Context, time::Instant};

use tokio::time::{Sleep, sleep_until};

/// The one timer that the connection needs at a time.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Sets it to this instant, or to none.
    pub(crate) fn set(&mut self, until: Option<Instant>) {
        if self.until == until {
            return;
        }
        self.until = until;
        if let Some(until) = until.map(tokio::time::Instant::from_std) {
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(until),
                None => self.sleep = Some(Box::pin(sleep_until(until))),
            }
        }
    }

    /// Whether the time has come; then the timer is no longer set.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(_), Some(sleep)) = (self.until, &mut self.sleep) else { return false };
        let due = sleep.as_mut().poll(cx).is_ready();
        if due {
            self.until = None;
        }
        due
    }
}

/// The time as the runtime has it, which tests stop and move.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
