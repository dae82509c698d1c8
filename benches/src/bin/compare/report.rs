//! Figures of all rounds, the file that they are written to, and the tables made of them.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{machine::Machine, plot, summary::Summary};

/// All figures. What `--json` writes is this: its keys and their meaning stay as they are, for another checkout reads
/// them; docs/measurements.md describes them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    #[serde(default)]
    failures: Vec<String>,
    /// What was measured. Older checkouts do not write this, nor the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<Machine>,
}

/// One figure of one candidate in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Figure {
    scenario: String,
    candidate: String,
    round: usize,
    metric: String,
    value: f64,
}

impl Report {
    /// Without figures so far: of a commit, measured on the machine that this runs on.
    pub(crate) fn here(commit: String) -> Self {
        Self { commit: Some(commit), machine: Some(Machine::here()), ..Self::default() }
    }

    /// What a `compare`, of this checkout or another, wrote with `--json`.
    pub(crate) fn read(json: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(json).context("the file is not what compare --json writes")
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))
    }

    pub(crate) fn add(&mut self, scenario: &str, candidate: &str, round: usize, metric: &str, value: f64) {
        if !value.is_finite() {
            // JSON has no such number.
            self.failed(format!("{scenario}, {candidate}, round {}: {metric} is {value}", round + 1));
            return;
        }
        let (scenario, candidate, metric) = (scenario.to_owned(), candidate.to_owned(), metric.to_owned());
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
        let figures = self.figures.iter().filter(|figure| figure.scenario == scenario);
        in_order(figures.map(|figure| figure.candidate.as_str()))
    }

    /// The candidate of this name, or the first whose name is this and a version.
    pub(crate) fn candidate(&self, scenario: &str, name: &str) -> Option<&str> {
        let is_version = |rest: &str| rest.is_empty() || rest.strip_prefix(' ').is_some_and(starts_with_version);
        self.candidates(scenario).into_iter().find(|candidate| candidate.strip_prefix(name).is_some_and(is_version))
    }

    /// The metrics of a scenario; the first is what it is about.
    pub(crate) fn metrics(&self, scenario: &str) -> Vec<&str> {
        let figures = self.figures.iter().filter(|figure| figure.scenario == scenario);
        in_order(figures.map(|figure| figure.metric.as_str()))
    }

    pub(crate) fn summary(&self, scenario: &str, candidate: &str, metric: &str) -> Option<Summary> {
        Summary::new(self.values(scenario, candidate, metric).map(|(_, value)| value))
    }

    /// `one / other` in each round in which both were measured.
    pub(crate) fn ratio(&self, scenario: &str, metric: &str, one: &str, other: &str) -> Option<Summary> {
        Summary::new(self.values(scenario, one, metric).filter_map(|(round, value)| {
            let (_, base) = self.values(scenario, other, metric).find(|&(other, _)| other == round)?;
            Some(value / base)
        }))
    }

    /// `large / small` of `ours`, divided by that of `theirs`, in each round in which all four were measured.
    pub(crate) fn growth(
        &self,
        scenario: &str,
        metric: &str,
        ours: &[String; 2],
        theirs: &[String; 2],
    ) -> Option<Summary> {
        let growth = |[small, large]: &[String; 2], round: usize| {
            let value = |candidate: &str| self.values(scenario, candidate, metric).find(|&(other, _)| other == round);
            Some(value(large)?.1 / value(small)?.1)
        };
        let rounds = self.values(scenario, &ours[0], metric).map(|(round, _)| round);
        Summary::new(rounds.filter_map(|round| Some(growth(ours, round)? / growth(theirs, round)?)))
    }

    /// The values of a metric with their rounds.
    pub(crate) fn values(&self, scenario: &str, candidate: &str, metric: &str) -> impl Iterator<Item = (usize, f64)> {
        self.figures
            .iter()
            .filter(move |figure| {
                figure.scenario == scenario && figure.candidate == candidate && figure.metric == metric
            })
            .map(|figure| (figure.round, figure.value))
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

    /// A page in Markdown: what measured it, the goals, and a table for each scenario with its plot from the folder `plots`.
    pub(crate) fn page(&self, how: &str, goals: &str, plots: Option<&Path>) -> String {
        let (commit, machine) = (self.commit.as_deref().unwrap_or("unknown"), self.machine.as_ref());
        let mut page = format!("# Results\n\n{how} wrote this page, of commit `{commit}`");
        if let Some(machine) = machine {
            let _ = write!(page, ", on {machine}");
        }
        let _ = write!(page, ".\n\n{}", section(goals));
        for scenario in self.scenarios() {
            let table = self.table(scenario);
            let (heading, rows) = table.split_once("\n\n").unwrap_or((&table, ""));
            let _ = write!(page, "\n{}\n\n", section(heading));
            if let Some(plots) = plots {
                let _ = write!(page, "![{scenario}]({}/{})\n\n", plots.display(), plot::file_name(scenario));
            }
            page += rows;
        }
        for failure in &self.failures {
            let _ = write!(page, "\nFailed: {failure}\n");
        }
        page
    }
}

/// What is printed, a level higher.
fn section(printed: &str) -> &str {
    printed.strip_prefix('#').unwrap_or(printed)
}

fn starts_with_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) || text.starts_with("of unknown version")
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

#[cfg(test)]
mod tests {
    use super::Report;

    /// As checkouts wrote it before the machine was added.
    const OLDEST: &str = r#"{
        "figures": [
            { "candidate": "RTM for Rust", "metric": "deliveries/s", "round": 0, "scenario": "peer", "value": 2.5 },
            { "candidate": "NATS", "metric": "deliveries/s", "round": 0, "scenario": "peer", "value": 5 }
        ],
        "failures": ["one"]
    }"#;

    #[test]
    fn what_the_oldest_checkout_wrote_is_read() {
        let report = Report::read(OLDEST.as_bytes()).unwrap();
        assert_eq!(report.values("peer", "NATS", "deliveries/s").collect::<Vec<_>>(), [(0, 5.0)]);
        assert_eq!(report.failures(), ["one"]);
        assert_eq!((report.commit, report.machine), (None, None));
    }

    #[test]
    fn what_is_written_is_read_as_it_was_and_keys_of_later_checkouts_are_passed_over() {
        let mut report = Report::here("a4f9e6f".to_owned());
        report.add("peer", "RTM for Rust", 3, "p50 µs", 0.1);
        let mut json = serde_json::to_value(&report).unwrap();
        json["later"] = "a key that is not known here".into();
        json["figures"][0]["unit"] = "µs".into();
        let read = Report::read(json.to_string().as_bytes()).unwrap();
        assert_eq!(read.values("peer", "RTM for Rust", "p50 µs").collect::<Vec<_>>(), [(3, 0.1)]);
        assert_eq!((read.commit, read.machine), (report.commit, report.machine));
    }

    #[test]
    fn other_json_is_refused() {
        for json in ["", "[]", "{}", r#"{"figures":[{"scenario":"peer"}]}"#, r#"{"figures":{}}"#] {
            let error = Report::read(json.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("compare --json"), "{json}: {error}");
        }
    }

    #[test]
    fn a_figure_that_is_no_number_is_a_failure() {
        let mut report = Report::default();
        report.add("peer", "NATS", 0, "p50 µs", f64::NAN);
        assert_eq!(report.failures(), ["peer, NATS, round 1: p50 µs is NaN"]);
        assert!(report.scenarios().is_empty());
    }

    #[test]
    fn growth_is_held_against_the_growth_of_another_in_the_same_round() {
        let (ours, theirs) = (["RTM, 1", "RTM, 9"].map(String::from), ["raw, 1", "raw, 9"].map(String::from));
        let mut report = Report::default();
        for (candidate, values) in [("RTM, 1", [2.0, 4.0]), ("RTM, 9", [6.0, 8.0]), ("raw, 1", [1.0, 1.0])] {
            for (round, value) in values.into_iter().enumerate() {
                report.add("grows", candidate, round, "ns", value);
            }
        }
        assert_eq!(report.growth("grows", "ns", &ours, &theirs), None);
        report.add("grows", "raw, 9", 0, "ns", 2.0);
        assert_eq!(report.growth("grows", "ns", &ours, &theirs).unwrap().median, 1.5);
    }

    #[test]
    fn a_page_has_the_goals_and_each_scenario_with_its_plot() {
        let mut report = Report::default();
        report.add("peer to peer, 64 B", "RTM for Rust", 0, "deliveries/s", 30.0);
        report.add("peer to peer, 64 B", "NATS 2.15.1", 0, "deliveries/s", 15.0);
        report.failed("logins, NATS, round 1: it is gone".to_owned());
        let page = report.page("`compare`", "### Goals\n\n| a goal |\n", Some("plots".as_ref()));
        let expected = "# Results\n\n`compare` wrote this page, of commit `unknown`.\n\n## Goals\n\n| a goal |\n\n\
            ## peer to peer, 64 B\n\n![peer to peer, 64 B](plots/peer-to-peer-64-B.svg)\n\n\
            | | deliveries/s | RTM for Rust ÷ it |\n|---|---:|---:|\n\
            | RTM for Rust | 30.0 (30.0..30.0) | |\n| NATS 2.15.1 | 15.0 (15.0..15.0) | 2.00 (2.00..2.00) |\n\n\
            Failed: logins, NATS, round 1: it is gone\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn a_candidate_is_found_by_its_name_without_its_version() {
        let mut report = Report::default();
        for candidate in ["NATS over TLS 2.15.1", "NATS 2.15.1", "NATS 2.9.10", "native, shared", "native"] {
            report.add("peer", candidate, 0, "p50 µs", 1.0);
        }
        assert_eq!(report.candidate("peer", "NATS"), Some("NATS 2.15.1"));
        assert_eq!(report.candidate("peer", "native"), Some("native"));
        assert_eq!(report.candidate("peer", "Redis"), None);
    }
}
