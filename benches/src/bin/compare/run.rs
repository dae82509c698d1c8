//! One run: a candidate in a scenario, measured once, and where its figures go.

use std::sync::OnceLock;

use crate::report::Report;

/// A candidate in a scenario.
pub(crate) struct Run {
    pub(crate) name: String,
    measure: Box<dyn Measure>,
}

/// Where a run writes its figures.
pub(crate) struct Recorder<'a> {
    pub(crate) report: &'a mut Report,
    pub(crate) scenario: &'a str,
    pub(crate) candidate: &'a str,
    pub(crate) round: usize,
}

/// Measures a candidate once.
trait Measure: Fn(&mut Recorder<'_>) -> anyhow::Result<()> {}

impl<F: Fn(&mut Recorder<'_>) -> anyhow::Result<()>> Measure for F {}

/// How many there are in a run: as many as this, or a hundredth if all is only to be tried.
pub(crate) fn scaled(count: u64) -> u64 {
    if IS_TRIAL.get().copied().unwrap_or(false) { (count / 100).max(1) } else { count }
}

/// From now on all is only tried.
pub(crate) fn only_try() {
    // Once is enough.
    let _ = IS_TRIAL.set(true);
}

static IS_TRIAL: OnceLock<bool> = OnceLock::new();

impl Run {
    pub(crate) fn new(
        name: impl Into<String>,
        measure: impl Fn(&mut Recorder<'_>) -> anyhow::Result<()> + 'static,
    ) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }

    pub(crate) fn measure(&self, report: &mut Report, scenario: &str, round: usize) {
        let mut recorder = Recorder { report: &mut *report, scenario, candidate: &self.name, round };
        if let Err(error) = (self.measure)(&mut recorder) {
            report.failed(format!("{scenario}, {}, round {}: {error:#}", self.name, round + 1));
        }
    }
}

impl Recorder<'_> {
    pub(crate) fn add(&mut self, metric: &str, value: f64) {
        self.report.add(self.scenario, self.candidate, self.round, metric, value);
    }
}
