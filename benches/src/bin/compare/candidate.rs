//! The list of candidates: how each is started and measured.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rtm_load::Latency;

use crate::{
    nats::Nats,
    ours::Ours,
    process::{Server, installed, version},
    raw::Raw,
    redis_pubsub::Redis,
    rival::{Load, Rival, Throughput, idle, logins, round_trips, throughput},
    websocket::{Batched, Naive},
};

/// A message system, in one version, that can be started and measured.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) system: System,
    /// With its version if it is a program of others.
    pub(crate) name: String,
    /// The server's program; `None` if that is this one.
    program: Option<PathBuf>,
    pub(crate) throughput: fn(&Server, Load) -> anyhow::Result<Throughput>,
    pub(crate) round_trips: fn(&Server, usize, u64) -> anyhow::Result<Latency>,
    pub(crate) idle: fn(&Server, usize, usize) -> anyhow::Result<(f64, f64)>,
    pub(crate) logins: fn(&Server, usize, usize) -> anyhow::Result<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Ours,
    /// Three nodes on one server of NATS, and all users on the first.
    OnOneOfThree,
    /// Two nodes on one server of NATS, which is between a sender and its receiver.
    AcrossTwo,
    /// The same, and each node has a server of NATS of its own.
    AcrossTwoAndNats,
    /// Three nodes on one server of NATS, and users on all of them.
    OverThree,
    Batched,
    Naive,
    Raw,
    Nats,
    /// Two servers that are one, and a sender and its receiver at different ones.
    NatsAcrossTwo,
    Redis,
}

/// All of them that are installed, and the names of the rest. The first NATS is the one that goals are held against.
pub(crate) fn candidates() -> (Vec<Candidate>, Vec<&'static str>) {
    let mut all = vec![
        candidate::<Ours>(System::Ours, None),
        candidate::<Batched>(System::Batched, None),
        candidate::<Naive>(System::Naive, None),
        candidate::<Raw>(System::Raw, None),
    ];
    let mut missing = Vec::new();
    let recent = Some(PathBuf::from(RECENT_NATS)).filter(|path| path.is_file());
    if recent.is_none() {
        missing.push("the recent nats-server");
    }
    let debian = installed("nats-server");
    if debian.is_none() {
        missing.push("Debian's nats-server");
    }
    if let Some(program) = &recent {
        for system in [System::OnOneOfThree, System::AcrossTwo, System::AcrossTwoAndNats, System::OverThree] {
            all.push(Candidate { name: system.name().to_owned(), ..candidate::<Ours>(system, Some(program.clone())) });
        }
        all.push(candidate::<Nats>(System::NatsAcrossTwo, Some(program.clone())));
    }
    for program in recent.into_iter().chain(debian) {
        let nats = candidate::<Nats>(System::Nats, Some(program));
        // The same one may be found in both places.
        if all.iter().all(|known| known.name != nats.name) {
            all.push(nats);
        }
    }
    match installed("redis-server") {
        Some(program) => all.push(candidate::<Redis>(System::Redis, Some(program))),
        None => missing.push("redis-server"),
    }
    (all, missing)
}

impl Candidate {
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        let program = || self.program.as_deref().with_context(|| format!("{} has no program", self.name));
        match self.system {
            System::Ours => Server::own("rtm"),
            System::OnOneOfThree => Server::cluster(program()?, 1, 3, 1),
            System::AcrossTwo => Server::cluster(program()?, 1, 2, 2),
            System::AcrossTwoAndNats => Server::cluster(program()?, 3, 2, 2),
            System::OverThree => Server::cluster(program()?, 1, 3, 3),
            System::NatsAcrossTwo => Server::nats_cluster(program()?, 2),
            System::Batched => Server::own("batched"),
            System::Naive => Server::own("naive"),
            System::Raw => Server::own("raw"),
            System::Nats => Server::other(program()?, |port| {
                ["-a", "127.0.0.1", "-p"].map(String::from).into_iter().chain([port.to_string()]).collect()
            }),
            System::Redis => Server::other(program()?, |port| {
                let fixed =
                    ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxclients", "15000", "--port"];
                fixed.map(String::from).into_iter().chain([port.to_string()]).collect()
            }),
        }
    }
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::OnOneOfThree => ON_ONE_OF_THREE,
            Self::AcrossTwo => ACROSS_TWO,
            Self::AcrossTwoAndNats => ACROSS_TWO_AND_NATS,
            Self::OverThree => OVER_THREE,
            Self::NatsAcrossTwo => NATS_ACROSS_TWO,
            Self::Batched => BATCHED,
            Self::Naive => "WebSocket relay, naive",
            Self::Raw => "raw TCP relay",
            Self::Nats => NATS,
            Self::Redis => "Redis",
        }
    }
}

fn candidate<R: Rival>(system: System, program: Option<PathBuf>) -> Candidate {
    let name = match program.as_deref() {
        Some(program) => named(system, program),
        None => system.name().to_owned(),
    };
    Candidate {
        system,
        name,
        program,
        throughput: throughput::<R>,
        round_trips: round_trips::<R>,
        idle: idle::<R>,
        logins: logins::<R>,
    }
}

fn named(system: System, program: &Path) -> String {
    match version(program) {
        Some(version) => format!("{} {version}", system.name()),
        None => format!("{} of unknown version", system.name()),
    }
}

pub(crate) const OURS: &str = "RTM for Rust";
pub(crate) const ON_ONE_OF_THREE: &str = "RTM, one of three nodes";
pub(crate) const ACROSS_TWO: &str = "RTM, across two nodes";
pub(crate) const ACROSS_TWO_AND_NATS: &str = "RTM, across two nodes and NATS servers";
pub(crate) const OVER_THREE: &str = "RTM, over three nodes";
pub(crate) const BATCHED: &str = "WebSocket relay, batched";
pub(crate) const NATS: &str = "NATS";
pub(crate) const NATS_ACROSS_TWO: &str = "two servers of NATS";

/// Where benches/setup.sh installs the release that it names.
const RECENT_NATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/nats-server/bin/nats-server");
