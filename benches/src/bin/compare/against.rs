//! Drives the `compare` of this checkout and that of another one in turns, and pairs what they measure.
//!
//! Both are driven alike, each run in a process of its own. A round measures both, and each goes first in every other
//! round, so that neither gains from what a round does to the machine.

use std::{io::Write as _, path::Path};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    candidate::OURS,
    checkout::Checkout,
    goals, pairs,
    report::Report,
    scenario::{is_named, scenarios},
};

/// What is to be measured, of the arguments of this program.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) rounds: usize,
    /// Parts of names of scenarios; none for all of them.
    pub(crate) only: &'a [String],
    /// Parts of names of candidates beside this project itself.
    pub(crate) candidates: &'a [String],
    pub(crate) json: Option<&'a Path>,
}

/// All figures of both sides, as they are written to a file.
#[derive(Debug, Default, Serialize)]
struct Sides {
    this: Report,
    other: Report,
}

/// Measures both, and tells how this checkout compares with the one in `folder`.
pub(crate) fn compare(folder: &Path, plan: &Plan<'_>) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "cargo builds the compare of {} in release, unless it is built already", folder.display())?;
    let (this, other) = (Checkout::this()?, Checkout::build(folder)?);
    writeln!(out, "this: {this}\nother: {other}")?;
    let theirs = other.scenarios()?;
    let (known, unknown) = sort(plan.only, &theirs)?;
    for line in unknown {
        writeln!(out, "{line}")?;
    }

    let ours = [OURS.to_owned()];
    let candidates = if plan.candidates.is_empty() { &ours[..] } else { plan.candidates };
    let mut sides = Sides { this: Report::here(this.commit.clone()), other: Report::here(other.commit.clone()) };
    let mut are_paired = false;
    for scenario in &known {
        let bar = ProgressBar::new(2 * plan.rounds as u64);
        bar.set_style(ProgressStyle::with_template("{msg:60} {wide_bar} {pos}/{len}")?);
        bar.set_message(scenario.clone());
        for round in 0..plan.rounds {
            for is_this in [round % 2 == 0, round % 2 == 1] {
                let (checkout, report) = if is_this { (&this, &mut sides.this) } else { (&other, &mut sides.other) };
                take(report, &checkout.measure(scenario, candidates)?, scenario, round);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let pairs = pairs::pairs(&sides.this, &sides.other, scenario);
        if !pairs.is_empty() {
            writeln!(out, "\n{}", pairs::table(scenario, &pairs))?;
            are_paired = true;
        }
        for (side, one, another) in [("this", &sides.this, &sides.other), ("the other", &sides.other, &sides.this)] {
            for figure in pairs::only_in(one, another, scenario) {
                writeln!(out, "only {side} checkout measured {scenario}: {figure}")?;
            }
        }
        // What is there is kept, should a later scenario be interrupted.
        if let Some(file) = plan.json {
            let json = serde_json::to_vec_pretty(&sides)?;
            std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    if let Some(limits) = goals::against(&sides.this, &sides.other) {
        writeln!(out, "\n{limits}")?;
    }
    let mut failures = 0;
    for (side, report) in [("this", &sides.this), ("other", &sides.other)] {
        for failure in report.failures() {
            writeln!(out, "failed: {side}, {failure}")?;
            failures += 1;
        }
    }
    anyhow::ensure!(are_paired, "nothing could be compared: no figure was measured on both sides");
    anyhow::ensure!(failures == 0, "some runs failed");
    Ok(())
}

/// The scenarios that are wanted and that both sides have; and what to say of the others.
fn sort(only: &[String], theirs: &[String]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let ours: Vec<String> = scenarios().into_iter().map(|scenario| scenario.name).collect();
    let is_wanted = |name: &&String| is_named(only, name);
    let (known, ours_alone): (Vec<String>, Vec<String>) =
        ours.iter().filter(is_wanted).cloned().partition(|name| theirs.contains(name));
    let theirs_alone = theirs.iter().filter(is_wanted).filter(|name| !ours.contains(name));
    let unknown: Vec<String> = ours_alone
        .iter()
        .map(|name| format!("only this checkout has the scenario {name:?}"))
        .chain(theirs_alone.map(|name| format!("only the other checkout has the scenario {name:?}")))
        .collect();
    anyhow::ensure!(!known.is_empty() || !unknown.is_empty(), "no scenario has that in its name: see --list");
    anyhow::ensure!(!known.is_empty(), "nothing can be compared:\n{}", unknown.join("\n"));
    Ok((known, unknown))
}

/// Adds what was written of a scenario as one round. Of what a run measured several times, that is the median.
fn take(report: &mut Report, written: &Report, scenario: &str, round: usize) {
    for candidate in written.candidates(scenario) {
        for metric in written.metrics(scenario) {
            if let Some(summary) = written.summary(scenario, candidate, metric) {
                report.add(scenario, candidate, round, metric, summary.median);
            }
        }
    }
    for failure in written.failures() {
        report.failed(format!("pair {}: {failure}", round + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, sort, take};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn scenarios_that_one_side_lacks_are_told() {
        let theirs = names(&["fan-out 1 to 100, 64 B", "an old fan-out 1 to 100, in bytes"]);
        let (known, unknown) = sort(&names(&["fan-out 1 to 100,"]), &theirs).unwrap();
        assert_eq!(known, ["fan-out 1 to 100, 64 B"]);
        assert_eq!(
            unknown,
            [
                "only this checkout has the scenario \"fan-out 1 to 100, 1024 B\"",
                "only the other checkout has the scenario \"an old fan-out 1 to 100, in bytes\"",
            ]
        );
    }

    #[test]
    fn nothing_in_common_is_an_error() {
        let error = sort(&names(&["round trip, 64 B"]), &names(&["error: no such option"])).unwrap_err().to_string();
        assert!(error.starts_with("nothing can be compared"), "{error}");
        assert!(sort(&names(&["no such name"]), &[]).unwrap_err().to_string().contains("--list"));
    }

    #[test]
    fn a_round_is_the_median_of_what_was_measured_and_of_its_scenario_alone() {
        let mut written = Report::default();
        for (turn, value) in [5.0, 1.0, 2.0].into_iter().enumerate() {
            written.add("encode, 4096 B", "native", turn, "ns", value);
            written.add("encode, 4096 B of Chinese", "native", turn, "ns", 100.0);
        }
        written.failed("one run".to_owned());
        let mut report = Report::default();
        take(&mut report, &written, "encode, 4096 B", 7);
        assert_eq!(report.values("encode, 4096 B", "native", "ns").collect::<Vec<_>>(), [(7, 2.0)]);
        assert_eq!(report.scenarios(), ["encode, 4096 B"]);
        assert_eq!(report.failures(), ["pair 8: one run"]);
    }
}
