//! The scenarios: which candidates each compares, under which load, and what is written down.

use std::{sync::Arc, thread};

use benches::codec::{Size, Way};
use rtm_client::Wire;
use tokio::sync::Notify;

use crate::{
    candidate::{BATCHED, Candidate, NAIVE, NATS, OURS, RAW, REDIS},
    codec, ours,
    report::Report,
    rival::{Load, Throughput, runtime},
    vendor, wakeups,
};

/// Something to compare.
pub(crate) struct Scenario {
    pub(crate) name: String,
    kind: Kind,
}

enum Kind {
    Messages { bytes: usize, members: usize, window: u64, deliveries: u64 },
    RoundTrip { bytes: usize },
    VendorWire,
    Idle,
    GrowingChannel,
    GrowingServer,
    WakeUps,
    Codec { way: Way, size: Size },
}

/// One run: a candidate in a scenario.
pub(crate) struct Run {
    pub(crate) name: String,
    run: Box<dyn Measure>,
}

/// Measures a candidate once.
trait Measure: Fn(&mut Note<'_>) -> anyhow::Result<()> {}

impl<F: Fn(&mut Note<'_>) -> anyhow::Result<()>> Measure for F {}

/// Where a run writes its figures.
pub(crate) struct Note<'a> {
    pub(crate) report: &'a mut Report,
    pub(crate) scenario: &'a str,
    pub(crate) candidate: &'a str,
    pub(crate) round: usize,
}

impl Note<'_> {
    pub(crate) fn add(&mut self, metric: &'static str, value: f64) {
        self.report.add(self.scenario, self.candidate, self.round, metric, value);
    }

    fn throughput(&mut self, measured: Throughput) {
        let Throughput { per_second, server, server_user, publisher, receiver } = measured;
        self.add(DELIVERIES, per_second);
        self.add(ALL_NS, server + publisher + receiver);
        self.add(SERVER_NS, server);
        self.add("of it user ns", server_user);
        self.add("publisher ns/delivery", publisher);
        self.add("receiver ns/delivery", receiver);
    }
}

impl Run {
    pub(crate) fn measure(&self, report: &mut Report, scenario: &str, round: usize) {
        let mut note = Note { report: &mut *report, scenario, candidate: &self.name, round };
        if let Err(error) = (self.run)(&mut note) {
            report.failed(format!("{scenario}, {}, round {}: {error:#}", self.name, round + 1));
        }
    }
}

/// All scenarios.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |name: String, kind| Scenario { name, kind };
    let mut all = Vec::new();
    for bytes in [64, 1024] {
        let kind = Kind::Messages { bytes, members: 0, window: 1024, deliveries: 1_000_000 };
        all.push(scenario(format!("peer to peer, {bytes} B"), kind));
    }
    for (members, window) in [(100, 64), (1000, 16)] {
        for bytes in [64, 1024] {
            let kind = Kind::Messages { bytes, members, window, deliveries: 1_000_000 };
            all.push(scenario(format!("fan-out 1 to {members}, {bytes} B"), kind));
        }
    }
    for bytes in [64, 1024] {
        all.push(scenario(format!("round trip, {bytes} B"), Kind::RoundTrip { bytes }));
    }
    all.push(scenario(VENDOR_WIRE.into(), Kind::VendorWire));
    all.push(scenario(IDLE.into(), Kind::Idle));
    all.push(scenario(CHANNEL_GROWS.into(), Kind::GrowingChannel));
    all.push(scenario(SERVER_GROWS.into(), Kind::GrowingServer));
    all.push(scenario(WAKE_UPS.into(), Kind::WakeUps));
    for way in Way::ALL {
        for size in Size::ALL {
            all.push(scenario(codec::name(way, size), Kind::Codec { way, size }));
        }
    }
    all
}

impl Scenario {
    /// The runs of a round.
    pub(crate) fn runs(&self, candidates: &[Candidate]) -> Vec<Run> {
        let of = |names: &[&str]| {
            candidates.iter().copied().filter(|candidate| names.contains(&candidate.name)).collect::<Vec<_>>()
        };
        match self.kind {
            Kind::Messages { bytes, members, window, deliveries } => of(&[OURS, BATCHED, NAIVE, RAW, NATS, REDIS])
                .into_iter()
                .map(|candidate| {
                    // One that flushes each message needs fewer of them to take as long.
                    let share = if candidate.name == NAIVE { 5 } else { 1 };
                    let messages = deliveries / share / members.max(1) as u64;
                    messages_run(candidate.name.into(), candidate, Load { bytes, members, window, messages })
                })
                .collect(),
            Kind::RoundTrip { bytes } => of(&[OURS, BATCHED, NAIVE, RAW, NATS])
                .into_iter()
                .map(|candidate| {
                    run(candidate.name, move |note| {
                        let latency = (candidate.round_trips)(&(candidate.start)()?, bytes, ROUND_TRIPS)?;
                        note.add(P50, latency.percentile(50.0).as_secs_f64() * 1e6);
                        note.add(P99, latency.percentile(99.0).as_secs_f64() * 1e6);
                        Ok(())
                    })
                })
                .collect(),
            Kind::VendorWire => vendor::runs(&of(&[OURS])),
            Kind::Idle => of(&[OURS, NATS, BATCHED, RAW])
                .into_iter()
                .map(|candidate| {
                    run(candidate.name, move |note| {
                        let (fresh, used) = (candidate.idle)(&(candidate.start)()?, IDLE_CONNECTIONS, 8 * 1024)?;
                        note.add(FRESH, fresh / 1024.0);
                        note.add(USED, used / 1024.0);
                        Ok(())
                    })
                })
                .collect(),
            Kind::GrowingChannel => of(&[OURS, RAW])
                .into_iter()
                .flat_map(|candidate| {
                    [100, 1000, 10_000].map(|members| {
                        let load = Load { bytes: 64, members, window: 16, messages: 400_000 / members as u64 };
                        messages_run(grown(candidate.name, members, "members"), candidate, load)
                    })
                })
                .collect(),
            Kind::GrowingServer => of(&[OURS])
                .into_iter()
                .flat_map(|candidate| [10, 10_000].map(|users| growing_server(candidate, users)))
                .collect(),
            Kind::WakeUps => wakeups::runs(&of(&[OURS, BATCHED, NATS])),
            Kind::Codec { way, size } => codec::runs(way, size),
        }
    }
}

pub(crate) fn run(name: impl Into<String>, run: impl Fn(&mut Note<'_>) -> anyhow::Result<()> + 'static) -> Run {
    Run { name: name.into(), run: Box::new(run) }
}

/// The name of a candidate's run in a scenario that grows.
pub(crate) fn grown(candidate: &str, size: usize, of: &str) -> String {
    format!("{candidate}, {size} {of}")
}

fn messages_run(name: String, candidate: Candidate, load: Load) -> Run {
    run(name, move |note| {
        let measured = (candidate.throughput)(&(candidate.start)()?, load)?;
        note.throughput(measured);
        Ok(())
    })
}

/// Messages between two users while others are logged in, whose signs of life the server answers meanwhile.
fn growing_server(candidate: Candidate, users: usize) -> Run {
    run(grown(candidate.name, users, "users"), move |note| {
        let server = (candidate.start)()?;
        let (there, port) = (std::sync::mpsc::channel(), server.port);
        let over = Arc::new(Notify::new());
        let crowd = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                runtime()?.block_on(async {
                    let crowd = ours::target(port, Wire::Native).log_in_many("crowd", users, 64, || {}).await?;
                    there.0.send(())?;
                    over.notified().await;
                    drop(crowd);
                    anyhow::Ok(())
                })
            }
        });
        if there.1.recv().is_ok() {
            let load = Load { bytes: 64, members: 0, window: 1024, messages: 1_000_000 };
            note.throughput((candidate.throughput)(&server, load)?);
        }
        over.notify_one();
        crowd.join().map_err(|_| anyhow::anyhow!("the crowd panicked"))?
    })
}

pub(crate) const VENDOR_WIRE: &str = "events on the vendor's wire";
pub(crate) const IDLE: &str = "10,000 idle connections";
pub(crate) const CHANNEL_GROWS: &str = "a channel that grows";
pub(crate) const SERVER_GROWS: &str = "a server that fills";
pub(crate) const WAKE_UPS: &str = "wake-ups at low load";

pub(crate) const DELIVERIES: &str = "deliveries/s";
/// What a busy machine does not change much: the CPU time that everybody together needs.
pub(crate) const ALL_NS: &str = "CPU ns/delivery, all";
pub(crate) const SERVER_NS: &str = "server ns/delivery";
pub(crate) const P50: &str = "p50 µs";
pub(crate) const P99: &str = "p99 µs";
pub(crate) const FRESH: &str = "KiB each, fresh";
pub(crate) const USED: &str = "KiB each, after 8 KiB";

const ROUND_TRIPS: u64 = 10_000;
const IDLE_CONNECTIONS: usize = 10_000;
