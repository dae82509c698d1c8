//! How far a load is: shown on a terminal while it runs, and drawn afterwards.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinHandle, time::interval};

/// A bar on standard error, if that is a terminal. Clones are the same bar.
pub(super) fn bar(what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // The template is fixed; were it wrong, the bar would look as by default.
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

/// A bar whose course is kept.
pub(super) struct Course {
    bar: ProgressBar,
    start: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    sampler: JoinHandle<()>,
}

/// How much was done at a time since the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) seconds: f64,
    pub(super) done: u64,
}

impl Course {
    pub(super) fn start(what: &'static str, total: u64) -> Self {
        let (bar, start, samples) = (bar(what, total), Instant::now(), Arc::default());
        let sampler = tokio::spawn(sample(bar.clone(), start, Arc::clone(&samples)));
        Self { bar, start, samples, sampler }
    }

    /// The bar itself.
    pub(super) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// How long it took, and how it went.
    pub(super) fn end(self) -> (Duration, Vec<Sample>) {
        let took = self.start.elapsed();
        self.sampler.abort();
        let mut samples = std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner));
        samples.push(Sample { seconds: took.as_secs_f64(), done: self.bar.position() });
        self.bar.finish_and_clear();
        (took, samples)
    }
}

async fn sample(bar: ProgressBar, start: Instant, samples: Arc<Mutex<Vec<Sample>>>) {
    let mut ticks = interval(PAUSE);
    loop {
        ticks.tick().await;
        let sample = Sample { seconds: start.elapsed().as_secs_f64(), done: bar.position() };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

/// Between two samples.
const PAUSE: Duration = Duration::from_millis(20);
