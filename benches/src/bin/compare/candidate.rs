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
    rival::{Load, Rival, Throughput, idle, round_trips, throughput},
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Ours,
    Batched,
    Naive,
    Raw,
    Nats,
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
    let (throughput, round_trips, idle) = (throughput::<R>, round_trips::<R>, idle::<R>);
    Candidate { system, name, program, throughput, round_trips, idle }
}

fn named(system: System, program: &Path) -> String {
    match version(program) {
        Some(version) => format!("{} {version}", system.name()),
        None => format!("{} of unknown version", system.name()),
    }
}

pub(crate) const OURS: &str = "RTM for Rust";
pub(crate) const BATCHED: &str = "WebSocket relay, batched";
pub(crate) const NATS: &str = "NATS";

/// Where benches/setup.sh installs the release that it names.
const RECENT_NATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/nats-server/bin/nats-server");
