//! Figures of all rounds, and the tables made of them.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One figure of one candidate in one round.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) scenario: String,
    pub(crate) candidate: String,
    pub(crate) round: usize,
    pub(crate) metric: &'static str,
    pub(crate) value: f64,
}

/// All figures.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    failures: Vec<String>,
}

/// What a set of values comes down to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Report {
    pub(crate) fn add(&mut self, scenario: &str, candidate: &str, round: usize, metric: &'static str, value: f64) {
        let (scenario, candidate) = (scenario.to_owned(), candidate.to_owned());
        self.figures.push(Figure { scenario, candidate, round, metric, value });
    }

    pub(crate) fn failed(&mut self, what: String) {
        self.failures.push(what);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) fn scenarios(&self) -> Vec<&str> {
        in_order(self.figures.iter().map(|figure| figure.scenario.as_str()))
    }

    pub(crate) fn candidates(&self, scenario: &str) -> Vec<&str> {
        let of = self.figures.iter().filter(|figure| figure.scenario == scenario);
        in_order(of.map(|figure| figure.candidate.as_str()))
    }

    /// The metrics of a scenario; the first is what it is about.
    pub(crate) fn metrics(&self, scenario: &str) -> Vec<&'static str> {
        in_order(self.figures.iter().filter(|figure| figure.scenario == scenario).map(|figure| figure.metric))
    }

    pub(crate) fn summary(&self, scenario: &str, candidate: &str, metric: &str) -> Option<Summary> {
        summarise(self.values(scenario, candidate, metric).map(|(_, value)| value).collect())
    }

    /// `one / other` in each round in which both were measured.
    pub(crate) fn ratio(&self, scenario: &str, metric: &str, one: &str, other: &str) -> Option<Summary> {
        let ratios = self.values(scenario, one, metric).filter_map(|(round, value)| {
            let (_, base) = self.values(scenario, other, metric).find(|&(other, _)| other == round)?;
            Some(value / base)
        });
        summarise(ratios.collect())
    }

    /// A table of a scenario in Markdown, the ratios being those of the first candidate to each.
    pub(crate) fn table(&self, scenario: &str) -> String {
        let (metrics, candidates) = (self.metrics(scenario), self.candidates(scenario));
        let (Some(&about), Some(&first)) = (metrics.first(), candidates.first()) else { return String::new() };
        let mut table = format!("### {scenario}\n\n| |");
        for metric in &metrics {
            let _ = write!(table, " {metric} |");
        }
        let _ = write!(table, " {first} ÷ it |\n|---|{}\n", "---:|".repeat(metrics.len() + 1));
        for candidate in candidates {
            let _ = write!(table, "| {candidate} |");
            for metric in &metrics {
                let _ = match self.summary(scenario, candidate, metric) {
                    Some(summary) => write!(table, " {summary} |"),
                    None => write!(table, " |"),
                };
            }
            let _ = match self.ratio(scenario, about, first, candidate) {
                Some(ratio) if candidate != first => writeln!(table, " {ratio} |"),
                _ => writeln!(table, " |"),
            };
        }
        table
    }

    pub(crate) fn json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            json!({
                "scenario": figure.scenario,
                "candidate": figure.candidate,
                "round": figure.round,
                "metric": figure.metric,
                "value": figure.value,
            })
        });
        json!({ "figures": figures.collect::<Vec<_>>(), "failures": self.failures })
    }

    fn values(&self, scenario: &str, candidate: &str, metric: &str) -> impl Iterator<Item = (usize, f64)> {
        self.figures
            .iter()
            .filter(move |figure| {
                figure.scenario == scenario && figure.candidate == candidate && figure.metric == metric
            })
            .map(|figure| (figure.round, figure.value))
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, min, max } = self;
        let digits = match median.abs() {
            100.0.. => 0,
            10.0.. => 1,
            _ => 2,
        };
        write!(f, "{median:.digits$} ({min:.digits$}..{max:.digits$})")
    }
}

fn summarise(mut values: Vec<f64>) -> Option<Summary> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let (&min, &max) = (values.first()?, values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
    Some(Summary { median, min, max })
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
