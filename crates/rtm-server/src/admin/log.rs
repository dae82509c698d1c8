//! The level of the log, changed while the program runs: by whoever has set the log up.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

type SetLevel = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// Sets the level of the program's log, and counts what is worth a look in it. All clones are one.
#[derive(Clone)]
pub struct LogControl {
    set: Arc<SetLevel>,
    level: Arc<Mutex<String>>,
    default: Arc<str>,
    counts: LogCounts,
}

/// How many warnings and errors the program's log has. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct LogCounts(Arc<[AtomicU64; 2]>);

impl LogCounts {
    /// The log has one warning more.
    pub fn add_warning(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    /// The log has one error more.
    pub fn add_error(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are of each level.
    pub(crate) fn all(&self) -> [(&'static str, u64); 2] {
        [("warn", self.0[0].load(Ordering::Relaxed)), ("error", self.0[1].load(Ordering::Relaxed))]
    }
}

impl LogControl {
    /// A control that calls `set` with a new level, such as `debug` or `info,rtm_server=trace`. `level` is the present one. `set`
    /// says what is wrong with one that it does not take.
    pub fn new(level: impl Into<String>, set: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        let level = level.into();
        let default = level.as_str().into();
        Self { set: Arc::new(set), level: Arc::new(Mutex::new(level)), default, counts: LogCounts::default() }
    }

    /// The level that holds where the configuration names none any more, if that is not the one at the start.
    #[must_use]
    pub fn with_default(self, level: &str) -> Self {
        Self { default: level.into(), ..self }
    }

    /// The level that holds where the configuration names none.
    pub(crate) fn default_level(&self) -> String {
        self.default.as_ref().to_owned()
    }

    /// The same with these counts, which whatever writes the log keeps.
    #[must_use]
    pub fn with_counts(self, counts: LogCounts) -> Self {
        Self { counts, ..self }
    }

    /// What the log has of warnings and errors.
    pub(crate) fn counts(&self) -> &LogCounts {
        &self.counts
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
