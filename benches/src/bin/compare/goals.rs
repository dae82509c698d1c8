//! What the project wants to reach, held against a run.

use benches::codec;

use crate::{
    candidate::{ACROSS_TWO, ACROSS_TWO_AND_NATS, BATCHED, NATS, NATS_ACROSS_TWO, ON_ONE_OF_THREE, OURS, OVER_THREE},
    codec::{NS, name},
    pairs,
    report::Report,
    scenario::{
        ALL_NS, CHANNEL_GROWS, CLUSTER_FAN_OUT, CLUSTER_LOCAL, CLUSTER_LOGINS, CLUSTER_PEERS, CLUSTER_ROUND_TRIP,
        DELIVERIES, FRESH, IDLE, LOGINS, P50, P99, SERVER_GROWS, SERVER_NS, USED, VENDOR_WIRE, WAKE_UPS, grown,
    },
    summary::Summary,
    vendor::{EVENTS_PER_SECOND, NODE, RUST},
    wakeups::FUTEX,
};

struct Goal {
    scenario: String,
    metric: &'static str,
    ours: String,
    /// What it is divided by, without its version; `None` for a figure of its own.
    theirs: Option<String>,
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The table of the goals whose scenarios were measured.
pub(crate) fn table(report: &Report) -> String {
    let mut table = "### Goals\n\n| what | against | goal | measured | |\n|---|---|---:|---:|---|\n".to_owned();
    for goal in goals() {
        let Goal { scenario, metric, ours, theirs, bound } = goal;
        let against = theirs.as_deref().map(|theirs| report.candidate(&scenario, theirs));
        let measured = match against {
            Some(theirs) => theirs.and_then(|theirs| report.ratio(&scenario, metric, &ours, theirs)),
            None => report.summary(&scenario, &ours, metric),
        };
        let Some(measured) = measured else { continue };
        let against = against.flatten().unwrap_or("");
        let verdict = bound.verdict(measured);
        table += &format!("| {scenario}: {metric} | {against} | {bound} | {measured} | {verdict} |\n");
    }
    table
}

/// The table of what may not get worse from one checkout to the next; `None` if nothing of it was measured.
pub(crate) fn against(this: &Report, other: &Report) -> Option<String> {
    let mut table = "### Limits\n\n| what | limit | this ÷ other | |\n|---|---:|---:|---|\n".to_owned();
    let empty = table.len();
    let pairs = pairs::pairs(this, other, IDLE).into_iter();
    for pairs in pairs.filter(|pairs| pairs.candidate == OURS && [FRESH, USED].contains(&pairs.metric.as_str())) {
        let Some(ratio) = pairs.ratio else { continue };
        let bound = Bound::AtMost(IDLE_MEMORY);
        let (metric, verdict) = (&pairs.metric, bound.verdict(ratio));
        table += &format!("| {IDLE}: {metric} | {bound} | {} | {verdict} |\n", pairs::precise(&ratio));
    }
    (table.len() > empty).then_some(table)
}

impl Bound {
    fn verdict(&self, measured: Summary) -> &'static str {
        if self.holds(measured) { "met" } else { "missed" }
    }

    fn holds(&self, measured: Summary) -> bool {
        match *self {
            Self::AtLeast(bound) => measured.median >= bound,
            Self::AtMost(bound) => measured.median <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

fn goals() -> Vec<Goal> {
    let goal = |scenario: &str, metric, ours: &str, theirs: Option<&str>, bound| Goal {
        scenario: scenario.into(),
        metric,
        ours: ours.into(),
        theirs: theirs.map(Into::into),
        bound,
    };
    let mut goals = Vec::new();
    for bytes in [64, 1024] {
        let scenario = format!("peer to peer, {bytes} B");
        goals.push(goal(&scenario, DELIVERIES, OURS, Some(NATS), Bound::AtLeast(1.0)));
        for members in [100, 1000] {
            let scenario = format!("fan-out 1 to {members}, {bytes} B");
            goals.push(goal(&scenario, DELIVERIES, OURS, Some(BATCHED), Bound::AtLeast(0.9)));
            goals.push(goal(&scenario, DELIVERIES, OURS, Some(NATS), Bound::AtLeast(1.8)));
        }
        let scenario = format!("round trip, {bytes} B");
        goals.push(goal(&scenario, P50, OURS, Some(NATS), Bound::AtMost(0.65)));
        goals.push(goal(&scenario, P99, OURS, Some(NATS), Bound::AtMost(0.65)));
    }
    goals.push(goal(CLUSTER_LOCAL, DELIVERIES, ON_ONE_OF_THREE, Some(OURS), Bound::AtLeast(0.95)));
    goals.push(goal(CLUSTER_PEERS, DELIVERIES, ACROSS_TWO, Some(OURS), Bound::AtLeast(0.35)));
    goals.push(goal(CLUSTER_PEERS, ALL_NS, ACROSS_TWO, Some(OURS), Bound::AtMost(2.8)));
    goals.push(goal(CLUSTER_ROUND_TRIP, P50, ACROSS_TWO_AND_NATS, Some(NATS_ACROSS_TWO), Bound::AtMost(2.0)));
    goals.push(goal(CLUSTER_ROUND_TRIP, P50, ACROSS_TWO, Some(NATS), Bound::AtMost(1.6)));
    goals.push(goal(CLUSTER_FAN_OUT, ALL_NS, OVER_THREE, Some(OURS), Bound::AtMost(1.15)));
    goals.push(goal(CLUSTER_LOGINS, LOGINS, OVER_THREE, Some(OURS), Bound::AtLeast(0.5)));
    goals.push(goal(VENDOR_WIRE, EVENTS_PER_SECOND, RUST, Some(NODE), Bound::AtLeast(10.0)));
    goals.push(goal(IDLE, FRESH, OURS, None, Bound::AtMost(8.0)));
    goals.push(goal(IDLE, USED, OURS, None, Bound::AtMost(12.0)));
    goals.push(goal(WAKE_UPS, FUTEX, OURS, None, Bound::AtMost(0.1)));
    for (scenario, what, small, large, bound) in
        [(CHANNEL_GROWS, "members", 100, 10_000, 1.3), (SERVER_GROWS, "users", 10, 10_000, 1.2)]
    {
        let (small, large) = (grown(OURS, small, what), grown(OURS, large, what));
        goals.push(goal(scenario, SERVER_NS, &large, Some(&small), Bound::AtMost(bound)));
    }
    for codec::Goal { way, size, ours, theirs, at_most } in codec::goals() {
        goals.push(goal(&name(way, size), NS, ours, Some(theirs), Bound::AtMost(at_most)));
    }
    goals
}

/// What memory of an idle connection may grow by.
const IDLE_MEMORY: f64 = 1.03;

#[cfg(test)]
mod tests {
    use super::{FRESH, IDLE, OURS, Report, against};

    fn idle(kib: f64) -> Report {
        let mut report = Report::default();
        report.add(IDLE, OURS, 0, FRESH, kib);
        report.add(IDLE, "raw TCP relay", 0, FRESH, kib);
        report
    }

    #[test]
    fn idle_memory_of_this_project_may_grow_by_3_percent() {
        let limits = |this, other| against(&idle(this), &idle(other)).unwrap();
        assert!(limits(10.25, 10.0).ends_with("| ≤ 1.03 | 1.025 (1.025..1.025) | met |\n"));
        assert!(limits(10.5, 10.0).ends_with("| ≤ 1.03 | 1.050 (1.050..1.050) | missed |\n"));
        assert_eq!(limits(10.0, 10.0).lines().count(), 5);
        assert_eq!(against(&idle(1.0), &Report::default()), None);
    }
}
