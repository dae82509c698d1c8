//! The scenarios: which candidates each compares, under which load, and what is written down.

use std::{sync::Arc, thread};

use benches::codec::{Size, Way};
use rtm_client::Wire;
use tokio::sync::Notify;

use crate::{
    back_ends,
    candidate::{
        Candidate,
        System::{
            self, AcrossTwo, AcrossTwoAndNats, Batched, JetStream, Mosquitto, Naive, Nats, NatsAcrossTwo, NatsTls,
            OnOneOfThree, Ours, OursTls, OverThree, Raw, Redis, Rumqttd, SocketIo, Zenoh,
        },
    },
    codec, ours, presence,
    rival::{Load, Throughput, runtime},
    run::{Recorder, Run, scaled},
    slow, stored, storm, vendor, wakeups,
};

/// Something to compare.
pub(crate) struct Scenario {
    pub(crate) name: String,
    kind: Kind,
}

enum Kind {
    Messages { bytes: usize, members: usize, window: u64, deliveries: u64, between: &'static [System] },
    RoundTrip { bytes: usize, between: &'static [System] },
    Logins { users: usize, between: &'static [System] },
    Stored,
    Presence,
    SlowReader,
    VendorWire,
    VendorSends,
    Storm,
    Rest,
    Webhook,
    EventLog,
    Idle { between: &'static [System] },
    GrowingChannel,
    GrowingServer,
    WakeUps,
    Codec { way: Way, size: Size },
}

/// All scenarios.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |name: String, kind| Scenario { name, kind };
    let mut all = Vec::new();
    for bytes in [64, 1024] {
        let kind = Kind::Messages { bytes, members: 0, window: 1024, deliveries: 1_000_000, between: PEERS };
        all.push(scenario(format!("peer to peer, {bytes} B"), kind));
    }
    for (members, window) in [(100, 64), (1000, 16)] {
        for bytes in [64, 1024] {
            let kind = Kind::Messages { bytes, members, window, deliveries: 1_000_000, between: ALL };
            all.push(scenario(format!("fan-out 1 to {members}, {bytes} B"), kind));
        }
    }
    for bytes in [64, 1024] {
        all.push(scenario(format!("round trip, {bytes} B"), Kind::RoundTrip { bytes, between: FAST }));
    }
    let peers = |between| Kind::Messages { bytes: 64, members: 0, window: 1024, deliveries: 500_000, between };
    all.push(scenario(CLUSTER_LOCAL.into(), peers(&[Ours, OnOneOfThree])));
    all.push(scenario(CLUSTER_PEERS.into(), peers(&[Ours, AcrossTwo, AcrossTwoAndNats])));
    let between = &[Ours, AcrossTwo, AcrossTwoAndNats, Nats, NatsAcrossTwo];
    all.push(scenario(CLUSTER_ROUND_TRIP.into(), Kind::RoundTrip { bytes: 64, between }));
    let kind =
        Kind::Messages { bytes: 64, members: 1000, window: 16, deliveries: 1_000_000, between: &[Ours, OverThree] };
    all.push(scenario(CLUSTER_FAN_OUT.into(), kind));
    all.push(scenario(CLUSTER_LOGINS.into(), Kind::Logins { users: 5000, between: &[Ours, OverThree] }));
    all.push(scenario(LOGINS_PLAIN.into(), Kind::Logins { users: 5000, between: &[Ours, Nats] }));
    all.push(scenario(LOGINS_TLS.into(), Kind::Logins { users: 2000, between: &[OursTls, NatsTls] }));
    for bytes in [64, 1024] {
        let between = &[OursTls, NatsTls];
        let kind = Kind::Messages { bytes, members: 0, window: 1024, deliveries: 1_000_000, between };
        all.push(scenario(format!("peer to peer over TLS, {bytes} B"), kind));
    }
    all.push(scenario(STORED_MESSAGES.into(), Kind::Stored));
    all.push(scenario("presence, 10,000 users and 20 who watch".into(), Kind::Presence));
    all.push(scenario("one slow reader among 1000, 1024 B".into(), Kind::SlowReader));
    all.push(scenario(VENDOR_WIRE.into(), Kind::VendorWire));
    all.push(scenario("messages on the vendor's wire".into(), Kind::VendorSends));
    all.push(scenario("10,000 connections lost at once".into(), Kind::Storm));
    all.push(scenario(REST_MESSAGES.into(), Kind::Rest));
    all.push(scenario(WEBHOOK_EVENTS.into(), Kind::Webhook));
    all.push(scenario(EVENT_LOG.into(), Kind::EventLog));
    all.push(scenario(IDLE.into(), Kind::Idle { between: &[Ours, Nats, Batched, Raw] }));
    all.push(scenario(IDLE_TLS.into(), Kind::Idle { between: &[OursTls] }));
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
        let those = |systems: &[System]| {
            candidates.iter().filter(|candidate| systems.contains(&candidate.system)).cloned().collect::<Vec<_>>()
        };
        match self.kind {
            Kind::Messages { bytes, members, window, deliveries, between } => those(between)
                .into_iter()
                .map(|candidate| {
                    // One that flushes or acknowledges each message needs fewer of them to take as long.
                    let share = match candidate.system {
                        Naive => 5,
                        JetStream | Mosquitto | Rumqttd | SocketIo => 25,
                        _ => 1,
                    };
                    let messages = scaled(deliveries / share / members.max(1) as u64);
                    load(candidate.name.clone(), candidate, Load { bytes, members, window, messages })
                })
                .collect(),
            Kind::RoundTrip { bytes, between } => those(between)
                .into_iter()
                .map(|candidate| {
                    // rumqttd does not set TCP_NODELAY: each waits for acknowledgements that TCP delays.
                    let share = if candidate.system == Rumqttd { 100 } else { 1 };
                    Run::new(candidate.name.clone(), move |recorder| {
                        let rounds = scaled(ROUND_TRIPS / share);
                        let latency = (candidate.round_trips)(&candidate.start()?, bytes, rounds)?;
                        recorder.add(P50, latency.percentile(50.0).as_secs_f64() * 1e6);
                        recorder.add(P99, latency.percentile(99.0).as_secs_f64() * 1e6);
                        Ok(())
                    })
                })
                .collect(),
            Kind::Logins { users, between } => those(between)
                .into_iter()
                .map(|candidate| {
                    Run::new(candidate.name.clone(), move |recorder| {
                        let (server, users) = (candidate.start()?, scaled(users as u64) as usize);
                        let before = server.cpu()?.total;
                        recorder.add(LOGINS, (candidate.logins)(&server, users, LOGINS_AT_ONCE)?);
                        recorder.add("server µs/login", (server.cpu()?.total - before) / users as f64 / 1000.0);
                        Ok(())
                    })
                })
                .collect(),
            Kind::Stored => stored::runs(&those(&[Ours, JetStream])),
            Kind::Presence => presence::runs(those(&[Ours])),
            Kind::SlowReader => slow::runs(those(&[Ours, Nats, Raw])),
            Kind::VendorWire => vendor::consumers(&those(&[Ours])),
            Kind::VendorSends => vendor::senders(&those(&[Ours])),
            Kind::Storm => storm::runs(those(&[Ours])),
            Kind::Rest => back_ends::rest(),
            Kind::Webhook => back_ends::webhook(),
            Kind::EventLog => back_ends::logs(&those(&[Ours])),
            Kind::Idle { between } => those(between)
                .into_iter()
                .map(|candidate| {
                    Run::new(candidate.name.clone(), move |recorder| {
                        let connections = scaled(IDLE_CONNECTIONS) as usize;
                        let (fresh, used) = (candidate.idle)(&candidate.start()?, connections, 8 * 1024)?;
                        recorder.add(FRESH, fresh / 1024.0);
                        recorder.add(USED, used / 1024.0);
                        Ok(())
                    })
                })
                .collect(),
            Kind::GrowingChannel => those(&[Ours, Raw])
                .into_iter()
                .flat_map(|candidate| {
                    [100, 1000, 10_000].map(|members| {
                        let messages = scaled(400_000 / members as u64);
                        let name = grown(&candidate.name, members, "members");
                        load(name, candidate.clone(), Load { bytes: 64, members, window: 16, messages })
                    })
                })
                .collect(),
            Kind::GrowingServer => those(&[Ours])
                .into_iter()
                .flat_map(|candidate| [10, 10_000].map(|users| growing_server(candidate.clone(), users)))
                .collect(),
            Kind::WakeUps => wakeups::runs(those(&[Ours, Batched, Nats])),
            Kind::Codec { way, size } => codec::runs(way, size),
        }
    }
}

/// Whether a name has one of the parts that are wanted; without any, each is wanted.
pub(crate) fn is_named(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()))
}

/// The name of a candidate's run in a scenario that grows, where `what` is counted.
pub(crate) fn grown(candidate: &str, count: usize, what: &str) -> String {
    format!("{candidate}, {count} {what}")
}

/// The run of a candidate under a load.
pub(crate) fn load(name: String, candidate: Candidate, load: Load) -> Run {
    Run::new(name, move |recorder| {
        record(recorder, (candidate.throughput)(&candidate.start()?, load)?);
        Ok(())
    })
}

pub(crate) fn record(recorder: &mut Recorder<'_>, measured: Throughput) {
    let Throughput { per_second, server, server_user, publisher, receiver } = measured;
    recorder.add(DELIVERIES, per_second);
    recorder.add(ALL_NS, server + publisher + receiver.unwrap_or(0.0));
    recorder.add(SERVER_NS, server);
    recorder.add("of it user ns", server_user);
    recorder.add("publisher ns/delivery", publisher);
    if let Some(receiver) = receiver {
        recorder.add("receiver ns/delivery", receiver);
    }
}

/// Messages between two users while others are logged in, whose signs of life the server answers meanwhile.
fn growing_server(candidate: Candidate, users: usize) -> Run {
    Run::new(grown(&candidate.name, users, "users"), move |recorder| {
        let (server, users) = (candidate.start()?, scaled(users as u64) as usize);
        let (there, port) = (std::sync::mpsc::channel(), server.port());
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
            let load = Load { bytes: 64, members: 0, window: 1024, messages: scaled(1_000_000) };
            record(recorder, (candidate.throughput)(&server, load)?);
        }
        over.notify_one();
        crowd.join().map_err(|_| anyhow::anyhow!("the crowd panicked"))?
    })
}

/// What most scenarios compare.
const ALL: &[System] = &[Ours, Batched, Naive, Raw, Nats, Redis, Zenoh];
/// Those of them with a way from one user to another that is acknowledged too.
const PEERS: &[System] = &[Ours, Batched, Naive, Raw, Nats, Redis, Zenoh, JetStream, Mosquitto, Rumqttd, SocketIo];
const FAST: &[System] = &[Ours, Batched, Naive, Raw, Nats, Zenoh, JetStream, Mosquitto, Rumqttd, SocketIo];

pub(crate) const CLUSTER_LOCAL: &str = "cluster, users of one node, 64 B";
pub(crate) const CLUSTER_PEERS: &str = "cluster, user to user across nodes, 64 B";
pub(crate) const CLUSTER_ROUND_TRIP: &str = "cluster, round trip across nodes, 64 B";
pub(crate) const CLUSTER_FAN_OUT: &str = "cluster, fan-out 1 to 1000 over nodes, 64 B";
pub(crate) const CLUSTER_LOGINS: &str = "cluster, logins";
pub(crate) const LOGINS_PLAIN: &str = "logins, plain";
pub(crate) const LOGINS_TLS: &str = "logins, TLS";
pub(crate) const STORED_MESSAGES: &str = "messages stored for absent users, 64 B";
pub(crate) const VENDOR_WIRE: &str = "events on the vendor's wire";
pub(crate) const REST_MESSAGES: &str = "messages over REST, 64 B";
pub(crate) const WEBHOOK_EVENTS: &str = "events to a webhook";
pub(crate) const EVENT_LOG: &str = "messages and a log of events on disk, 64 B";
pub(crate) const IDLE: &str = "10,000 idle connections";
pub(crate) const IDLE_TLS: &str = "10,000 idle connections over TLS";
pub(crate) const CHANNEL_GROWS: &str = "a channel that grows";
pub(crate) const SERVER_GROWS: &str = "a server that fills";
pub(crate) const WAKE_UPS: &str = "wake-ups at low load";

pub(crate) const DELIVERIES: &str = "deliveries/s";
/// What a busy machine does not change much: the CPU time that everybody together needs.
pub(crate) const ALL_NS: &str = "CPU ns/delivery, all";
pub(crate) const SERVER_NS: &str = "server ns/delivery";
pub(crate) const LOGINS: &str = "logins/s";
pub(crate) const P50: &str = "p50 µs";
pub(crate) const P99: &str = "p99 µs";
pub(crate) const FRESH: &str = "KiB each, fresh";
pub(crate) const USED: &str = "KiB each, after 8 KiB";

const ROUND_TRIPS: u64 = 2500;
const LOGINS_AT_ONCE: usize = 64;
const IDLE_CONNECTIONS: u64 = 10_000;
