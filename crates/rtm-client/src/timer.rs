//! The clock of the runtime, and being woken by it.

use std::{pin::Pin, task::Context};

use tokio::time::{Instant, Sleep, sleep_until};

/// When the connection wants to hear of the time again. Deadlines mostly move on before they are reached, so the
/// runtime is told of a later one only when the earlier one has come.
#[derive(Debug, Default)]
pub(crate) struct WakeUp {
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl WakeUp {
    /// Sets it to this instant, or to none.
    pub(crate) fn set(&mut self, until: Option<std::time::Instant>) {
        self.until = until.map(Instant::from_std);
        let Some(until) = self.until else { return };
        match &mut self.sleep {
            Some(sleep) if sleep.deadline() <= until => {}
            Some(sleep) => sleep.as_mut().reset(until),
            None => self.sleep = Some(Box::pin(sleep_until(until))),
        }
    }

    /// Whether the time has come; then none is set any more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(until), Some(sleep)) = (self.until, &mut self.sleep) else { return false };
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= until {
                self.until = None;
                return true;
            }
            sleep.as_mut().reset(until);
        }
        false
    }
}

/// The time as the runtime has it, which tests stop and move.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
