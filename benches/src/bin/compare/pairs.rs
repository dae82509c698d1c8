//! The figures of two checkouts, in pairs: both of a pair were measured in the same round.

use std::fmt::Write as _;

use crate::{report::Report, summary::Summary};

/// What both sides measured of one figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pairs {
    pub(crate) candidate: String,
    pub(crate) metric: String,
    this: Summary,
    other: Summary,
    /// This divided by the other, pair by pair; `None` if the other is always 0.
    pub(crate) ratio: Option<Summary>,
    count: usize,
}

/// The figures of a scenario that both sides have.
pub(crate) fn pairs(this: &Report, other: &Report, scenario: &str) -> Vec<Pairs> {
    let figures = figures(this, scenario).into_iter();
    figures.filter_map(|(candidate, metric)| pair(this, other, scenario, candidate, metric)).collect()
}

/// The figures of a scenario that `one` has and `other` has not.
pub(crate) fn only_in(one: &Report, other: &Report, scenario: &str) -> Vec<String> {
    let is_missing = |(candidate, metric): &(&str, &str)| other.values(scenario, candidate, metric).next().is_none();
    let missing = figures(one, scenario).into_iter().filter(is_missing);
    missing.map(|(candidate, metric)| format!("{candidate}, {metric}")).collect()
}

/// A table in Markdown.
pub(crate) fn table(scenario: &str, pairs: &[Pairs]) -> String {
    let mut table =
        format!("### {scenario}\n\n| | | this | other | this ÷ other | pairs |\n|---|---|---:|---:|---:|---:|\n");
    for Pairs { candidate, metric, this, other, ratio, count } in pairs {
        let ratio = ratio.map_or_else(|| "none".to_owned(), |ratio| precise(&ratio));
        let _ = writeln!(table, "| {candidate} | {metric} | {this} | {other} | {ratio} | {count} |");
    }
    table
}

/// A ratio, whose third digit after the point matters here.
pub(crate) fn precise(ratio: &Summary) -> String {
    let Summary { median, min, max } = ratio;
    format!("{median:.3} ({min:.3}..{max:.3})")
}

fn pair(this: &Report, other: &Report, scenario: &str, candidate: &str, metric: &str) -> Option<Pairs> {
    let values: Vec<(f64, f64)> = this
        .values(scenario, candidate, metric)
        .filter_map(|(round, value)| {
            let (_, theirs) = other.values(scenario, candidate, metric).find(|&(other, _)| other == round)?;
            Some((value, theirs))
        })
        .collect();
    Some(Pairs {
        candidate: candidate.to_owned(),
        metric: metric.to_owned(),
        this: Summary::new(values.iter().map(|&(this, _)| this))?,
        other: Summary::new(values.iter().map(|&(_, other)| other))?,
        ratio: Summary::new(values.iter().map(|&(this, other)| this / other)),
        count: values.len(),
    })
}

fn figures<'a>(report: &'a Report, scenario: &str) -> Vec<(&'a str, &'a str)> {
    let (candidates, metrics) = (report.candidates(scenario), report.metrics(scenario));
    let all = candidates.into_iter().flat_map(|candidate| metrics.iter().map(move |&metric| (candidate, metric)));
    all.filter(|(candidate, metric)| report.values(scenario, candidate, metric).next().is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Report, Summary, only_in, pairs, table};

    fn report(figures: &[(&str, usize, &str, f64)]) -> Report {
        let mut report = Report::default();
        for &(candidate, round, metric, value) in figures {
            report.add("peer", candidate, round, metric, value);
        }
        report
    }

    #[test]
    fn a_ratio_is_made_of_the_two_figures_of_one_round() {
        let this = report(&[("RTM", 0, "rate", 30.0), ("RTM", 1, "rate", 90.0), ("RTM", 2, "rate", 10.0)]);
        // In another order, and the machine was three times as fast in the second round.
        let other = report(&[("RTM", 2, "rate", 20.0), ("RTM", 1, "rate", 60.0), ("RTM", 0, "rate", 20.0)]);
        let pairs = pairs(&this, &other, "peer");
        let [pair] = &pairs[..] else { panic!("one figure: {pairs:?}") };
        assert_eq!((pair.candidate.as_str(), pair.metric.as_str(), pair.count), ("RTM", "rate", 3));
        assert_eq!(pair.ratio, Some(Summary { median: 1.5, min: 0.5, max: 1.5 }));
        assert_eq!((pair.this.median, pair.other.median), (30.0, 20.0));
    }

    #[test]
    fn a_round_that_one_side_failed_in_makes_no_pair() {
        let this = report(&[("RTM", 0, "rate", 30.0), ("RTM", 1, "rate", 50.0)]);
        let other = report(&[("RTM", 1, "rate", 25.0)]);
        let pairs = pairs(&this, &other, "peer");
        assert_eq!((pairs[0].count, pairs[0].this.median), (1, 50.0));
        assert_eq!(pairs[0].ratio, Some(Summary { median: 2.0, min: 2.0, max: 2.0 }));
    }

    #[test]
    fn what_only_one_side_measured_is_told_and_not_paired() {
        let this = report(&[("RTM", 0, "rate", 1.0), ("NATS 2.15.1", 0, "rate", 1.0), ("RTM", 0, "new", 1.0)]);
        let other = report(&[("RTM", 0, "rate", 1.0), ("NATS", 0, "rate", 1.0)]);
        assert_eq!(pairs(&this, &other, "peer").len(), 1);
        assert_eq!(only_in(&this, &other, "peer"), ["RTM, new", "NATS 2.15.1, rate"]);
        assert_eq!(only_in(&other, &this, "peer"), ["NATS, rate"]);
        assert!(pairs(&this, &other, "another scenario").is_empty());
    }

    #[test]
    fn a_figure_that_is_zero_has_no_ratio_and_is_told_all_the_same() {
        let both = report(&[("RTM", 0, "futex calls", 0.0)]);
        let pairs = pairs(&both, &both, "peer");
        assert_eq!(pairs[0].ratio, None);
        assert!(
            table("peer", &pairs)
                .ends_with("| RTM | futex calls | 0.00 (0.00..0.00) | 0.00 (0.00..0.00) | none | 1 |\n")
        );
    }
}
