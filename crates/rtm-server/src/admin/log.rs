//! The level of the log, changed while the program runs: by whoever has set the log up.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

type SetLevel = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// Sets the level of the program's log. All clones are one.
#[derive(Clone)]
pub struct LogControl {
    set: Arc<SetLevel>,
    level: Arc<Mutex<String>>,
}

impl LogControl {
    /// A control that calls `set` with a new level, such as `debug` or `info,rtm_server=trace`. `level` is the present one. `set`
    /// says what is wrong with one that it does not take.
    pub fn new(level: impl Into<String>, set: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { set: Arc::new(set), level: Arc::new(Mutex::new(level.into())) }
    }

    /// The present level.
    #[must_use]
    pub fn level(&self) -> String {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets another level.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        (self.set)(level)?;
        level.clone_into(&mut self.level.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").field("level", &self.level()).finish_non_exhaustive()
    }
}
