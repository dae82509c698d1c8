//! What the project wants to reach, held against a run.

use benches::codec::{self, MEMCPY, NATIVE, Size, Way};

use crate::{
    back_ends::{self, FULL_LOG, HTTP, NOT_LOGGED, POSTED_PER_SECOND, SERVER_NS_POSTED, USUAL_LOG},
    candidate::{
        ACROSS_TWO, ACROSS_TWO_AND_NATS, BATCHED, JETSTREAM, MOSQUITTO_QOS_1, NATS, NATS_ACROSS_TWO, NATS_TLS,
        ON_ONE_OF_THREE, OURS, OURS_TLS, OVER_THREE, RAW, RUMQTTD_QOS_1, ZENOH,
    },
    codec::{NS, PAYLOAD, name},
    pairs,
    report::Report,
    scenario::{
        ALL_NS, CHANNEL_GROWS, CLUSTER_FAN_OUT, CLUSTER_LOCAL, CLUSTER_LOGINS, CLUSTER_PEERS, CLUSTER_ROUND_TRIP,
        DELIVERIES, EVENT_LOG, FRESH, IDLE, IDLE_TLS, LOGINS, LOGINS_PLAIN, LOGINS_TLS, P50, P99, REST_MESSAGES,
        SERVER_GROWS, SERVER_NS, STORED_MESSAGES, USED, VENDOR_WIRE, WAKE_UPS, WEBHOOK_EVENTS, grown,
    },
    stored::{JETSTREAM_SYNCED, STORED},
    summary::Summary,
    vendor::{EVENTS_PER_SECOND, NODE, RUST},
    wakeups::FUTEX,
};

struct Goal {
    scenario: String,
    metric: &'static str,
    ours: String,
    against: Against,
    bound: Bound,
}

/// What a figure is divided by.
enum Against {
    /// Nothing: it counts by itself.
    Nothing,
    /// The same figure of a candidate, whose version does not matter.
    Candidate(String),
    /// It is a growth, from `small` to ours, and what it is divided by is another's.
    Growth { small: String, theirs: [String; 2] },
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The table of the goals of these scenarios. One of them is not measured if its rival is missing, or a run failed.
pub(crate) fn table(report: &Report, scenarios: &[&str]) -> String {
    let mut table = "### Goals\n\n| what | against | goal | measured | |\n|---|---|---:|---:|---|\n".to_owned();
    for goal in goals().into_iter().filter(|goal| scenarios.contains(&goal.scenario.as_str())) {
        let Goal { scenario, metric, bound, .. } = &goal;
        let against = goal.against(report);
        let (measured, verdict) = match goal.measured(report) {
            Some(measured) => (measured.to_string(), bound.verdict(measured)),
            None => ("–".to_owned(), "not measured"),
        };
        table += &format!("| {scenario}: {metric} | {against} | {bound} | {measured} | {verdict} |\n");
    }
    table
}

impl Goal {
    fn measured(&self, report: &Report) -> Option<Summary> {
        let Self { scenario, metric, ours, against, .. } = self;
        match against {
            Against::Nothing => report.summary(scenario, ours, metric),
            Against::Candidate(theirs) => report.ratio(scenario, metric, ours, report.candidate(scenario, theirs)?),
            Against::Growth { small, theirs } => {
                report.growth(scenario, metric, &[small.clone(), ours.clone()], theirs)
            }
        }
    }

    /// What stands in the table, with its version if it was measured.
    fn against(&self, report: &Report) -> String {
        match &self.against {
            Against::Nothing => String::new(),
            Against::Candidate(theirs) => report.candidate(&self.scenario, theirs).unwrap_or(theirs).to_owned(),
            Against::Growth { theirs: [small, large], .. } => format!("growth from {small} to {large}"),
        }
    }
}

/// The table of what may not get worse from one checkout to the next; `None` if nothing of it was measured.
pub(crate) fn against(this: &Report, other: &Report) -> Option<String> {
    let mut table = "### Limits\n\n| what | limit | this ÷ other | |\n|---|---:|---:|---|\n".to_owned();
    let empty = table.len();
    for (scenario, ours) in [(IDLE, OURS), (IDLE_TLS, OURS_TLS)] {
        let pairs = pairs::pairs(this, other, scenario).into_iter();
        for pairs in pairs.filter(|pairs| pairs.candidate == ours && [FRESH, USED].contains(&pairs.metric.as_str())) {
            let Some(ratio) = pairs.ratio else { continue };
            let bound = Bound::AtMost(IDLE_MEMORY);
            let (metric, verdict) = (&pairs.metric, bound.verdict(ratio));
            table += &format!("| {scenario}: {metric} | {bound} | {} | {verdict} |\n", pairs::precise(&ratio));
        }
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
        against: theirs.map_or(Against::Nothing, |theirs| Against::Candidate(theirs.into())),
        bound,
    };
    let mut goals = Vec::new();
    for (bytes, nats, raw) in [(64, 1.3, 3.3), (1024, 1.1, 1.7)] {
        let scenario = format!("peer to peer, {bytes} B");
        goals.push(goal(&scenario, DELIVERIES, OURS, Some(NATS), Bound::AtLeast(nats)));
        goals.push(goal(&scenario, DELIVERIES, OURS, Some(ZENOH), Bound::AtLeast(1.0)));
        for acknowledged in [JETSTREAM, MOSQUITTO_QOS_1, RUMQTTD_QOS_1] {
            goals.push(goal(&scenario, DELIVERIES, OURS, Some(acknowledged), Bound::AtLeast(25.0)));
        }
        goals.push(goal(&scenario, ALL_NS, OURS, Some(RAW), Bound::AtMost(raw)));
    }
    for (members, bytes, raw) in [(100, 64, 1.7), (100, 1024, 1.4), (1000, 64, 1.5), (1000, 1024, 1.3)] {
        let scenario = format!("fan-out 1 to {members}, {bytes} B");
        goals.push(goal(&scenario, DELIVERIES, OURS, Some(BATCHED), Bound::AtLeast(0.9)));
        goals.push(goal(&scenario, DELIVERIES, OURS, Some(NATS), Bound::AtLeast(1.8)));
        goals.push(goal(&scenario, DELIVERIES, OURS, Some(ZENOH), Bound::AtLeast(1.0)));
        goals.push(goal(&scenario, ALL_NS, OURS, Some(RAW), Bound::AtMost(raw)));
    }
    for bytes in [64, 1024] {
        let scenario = format!("round trip, {bytes} B");
        goals.push(goal(&scenario, P50, OURS, Some(RAW), Bound::AtMost(1.1)));
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
    goals.push(goal(LOGINS_PLAIN, LOGINS, OURS, Some(NATS), Bound::AtLeast(1.0)));
    goals.push(goal(LOGINS_TLS, LOGINS, OURS_TLS, Some(NATS_TLS), Bound::AtLeast(1.0)));
    goals.push(goal(STORED_MESSAGES, STORED, OURS, Some(JETSTREAM_SYNCED), Bound::AtLeast(2.0)));
    goals.push(goal(VENDOR_WIRE, EVENTS_PER_SECOND, RUST, Some(NODE), Bound::AtLeast(15.0)));
    goals.push(goal(REST_MESSAGES, POSTED_PER_SECOND, OURS, None, Bound::AtLeast(20_000.0)));
    goals.push(goal(REST_MESSAGES, SERVER_NS_POSTED, OURS, Some(HTTP), Bound::AtMost(1.5)));
    goals.push(goal(WEBHOOK_EVENTS, back_ends::EVENTS_PER_SECOND, OURS, None, Bound::AtLeast(20_000.0)));
    goals.push(goal(EVENT_LOG, DELIVERIES, USUAL_LOG, Some(NOT_LOGGED), Bound::AtLeast(0.97)));
    goals.push(goal(EVENT_LOG, DELIVERIES, FULL_LOG, Some(NOT_LOGGED), Bound::AtLeast(0.9)));
    goals.push(goal(IDLE, FRESH, OURS, None, Bound::AtMost(4.0)));
    goals.push(goal(IDLE, USED, OURS, None, Bound::AtMost(12.0)));
    goals.push(goal(WAKE_UPS, FUTEX, OURS, None, Bound::AtMost(0.1)));
    let from = |candidate| grown(candidate, 100, "members");
    let to = |candidate| grown(candidate, 10_000, "members");
    let against = Against::Growth { small: from(OURS), theirs: [from(RAW), to(RAW)] };
    goals.push(Goal {
        scenario: CHANNEL_GROWS.into(),
        metric: ALL_NS,
        ours: to(OURS),
        against,
        bound: Bound::AtMost(1.1),
    });
    let (small, large) = (grown(OURS, 10, "users"), grown(OURS, 10_000, "users"));
    goals.push(goal(SERVER_GROWS, SERVER_NS, &large, Some(&small), Bound::AtMost(1.2)));
    for codec::Goal { way, size, ours, theirs, at_most } in codec::goals() {
        goals.push(goal(&name(way, size), NS, ours, Some(theirs), Bound::AtMost(at_most)));
    }
    for size in [Size::Ascii(4096), Size::Ascii(32_768)] {
        for (way, bound) in [(Way::Encode, 0.9), (Way::Decode, 1.0)] {
            goals.push(goal(&name(way, size), PAYLOAD, NATIVE, Some(MEMCPY), Bound::AtLeast(bound)));
        }
    }
    let chinese = name(Way::Decode, Size::Chinese(4096));
    goals.push(goal(&chinese, PAYLOAD, NATIVE, Some(MEMCPY), Bound::AtLeast(0.3)));
    goals
}

/// What memory of an idle connection may grow by.
const IDLE_MEMORY: f64 = 1.03;

#[cfg(test)]
mod tests {
    use super::{DELIVERIES, FRESH, IDLE, IDLE_TLS, OURS, OURS_TLS, Report, against, goals, table};
    use crate::scenario::scenarios;

    fn idle(kib: f64) -> Report {
        let mut report = Report::default();
        report.add(IDLE, OURS, 0, FRESH, kib);
        report.add(IDLE, "raw TCP relay", 0, FRESH, kib);
        report.add(IDLE_TLS, OURS_TLS, 0, FRESH, 2.0 * kib);
        report
    }

    #[test]
    fn a_goal_whose_rival_is_missing_is_not_measured() {
        let mut report = Report::default();
        report.add("peer to peer, 64 B", OURS, 0, DELIVERIES, 26.0);
        report.add("peer to peer, 64 B", "JetStream 2.15.1", 0, DELIVERIES, 1.0);
        report.add("peer to peer, 64 B", "raw TCP relay", 0, DELIVERIES, 1.0);
        let table = table(&report, &["peer to peer, 64 B"]);
        let row = |against: &str| table.lines().find(|line| line.contains(against)).unwrap().to_owned();
        assert!(row("JetStream").ends_with("| JetStream 2.15.1 | ≥ 25 | 26.0 (26.0..26.0) | met |"), "{table}");
        assert!(row("| NATS").ends_with("| NATS | ≥ 1.3 | – | not measured |"), "{table}");
        assert!(row("raw TCP relay").ends_with("| ≤ 3.3 | – | not measured |"), "{table}");
        assert!(!table.contains("fan-out"), "a scenario that nobody asked for: {table}");
    }

    #[test]
    fn every_goal_has_a_scenario() {
        let scenarios: Vec<String> = scenarios().into_iter().map(|scenario| scenario.name).collect();
        for goal in goals() {
            assert!(scenarios.contains(&goal.scenario), "{}", goal.scenario);
        }
    }

    #[test]
    fn idle_memory_of_this_project_may_grow_by_3_percent() {
        let limits = |this, other| against(&idle(this), &idle(other)).unwrap();
        assert!(limits(10.25, 10.0).ends_with("| ≤ 1.03 | 1.025 (1.025..1.025) | met |\n"));
        assert!(limits(10.5, 10.0).ends_with("| ≤ 1.03 | 1.050 (1.050..1.050) | missed |\n"));
        let both = limits(10.0, 10.0);
        assert_eq!(both.lines().count(), 6, "one with TLS and one without: {both}");
        assert_eq!(against(&idle(1.0), &Report::default()), None);
    }
}
