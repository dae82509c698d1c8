//! The list of candidates: how each is started and measured.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rtm_load::Latency;

use crate::{
    jetstream::JetStream,
    mqtt::Mqtt,
    nats::Nats,
    ours::Ours,
    process::{Server, installed, version, version_said},
    raw::Raw,
    redis_pubsub::Redis,
    rival::{Load, Rival, Throughput, idle, logins, round_trips, throughput},
    side::{self, Played},
    tls,
    websocket::{Batched, Naive},
};

/// A message system, in one version, that can be started and measured.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) system: System,
    /// With its version if it is a program of others.
    pub(crate) name: String,
    /// The server's program; `None` if that is this one.
    pub(crate) program: Option<PathBuf>,
    pub(crate) throughput: fn(&Server, Load) -> anyhow::Result<Throughput>,
    pub(crate) round_trips: fn(&Server, usize, u64) -> anyhow::Result<Latency>,
    pub(crate) idle: fn(&Server, usize, usize) -> anyhow::Result<(f64, f64)>,
    pub(crate) logins: fn(&Server, usize, usize) -> anyhow::Result<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Ours,
    OursTls,
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
    NatsTls,
    Redis,
    JetStream,
    Mosquitto,
    Rumqttd,
    SocketIo,
    Zenoh,
}

/// All of them that are installed, and the names of the rest. The first NATS is the one that goals are held against.
pub(crate) fn candidates() -> (Vec<Candidate>, Vec<&'static str>) {
    let mut all = vec![
        candidate::<Ours<false>>(System::Ours, None),
        candidate::<Ours<true>>(System::OursTls, None),
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
            all.push(Candidate {
                name: system.name().to_owned(),
                ..candidate::<Ours<false>>(system, Some(program.clone()))
            });
        }
        all.push(candidate::<Nats<false>>(System::NatsAcrossTwo, Some(program.clone())));
        all.push(candidate::<Nats<true>>(System::NatsTls, Some(program.clone())));
        all.push(candidate::<JetStream>(System::JetStream, Some(program.clone())));
    }
    for program in recent.into_iter().chain(debian) {
        let nats = candidate::<Nats<false>>(System::Nats, Some(program));
        // The same one may be found in both places.
        if all.iter().all(|known| known.name != nats.name) {
            all.push(nats);
        }
    }
    match installed("redis-server") {
        Some(program) => all.push(candidate::<Redis>(System::Redis, Some(program))),
        None => missing.push("redis-server"),
    }
    match installed("mosquitto") {
        Some(program) => all.push(candidate::<Mqtt>(System::Mosquitto, Some(program))),
        None => missing.push("mosquitto"),
    }
    match Some(PathBuf::from(RUMQTTD)).filter(|path| path.is_file()) {
        Some(program) => all.push(candidate::<Mqtt>(System::Rumqttd, Some(program))),
        None => missing.push("rumqttd"),
    }
    match installed("node").filter(|_| Path::new(side::SOCKET_IO).join(SOCKET_IO_PACKAGE).is_file()) {
        Some(node) => all.push(played::<side::SocketIo>(System::SocketIo, node)),
        None => missing.push("Socket.IO"),
    }
    match Some(PathBuf::from(side::ZENOH)).filter(|path| path.is_file()) {
        Some(program) => all.push(played::<side::Zenoh>(System::Zenoh, program)),
        None => missing.push("zenoh"),
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
            System::OursTls => Server::ours(|folder| {
                let (certificate, key) = tls::write(folder)?;
                let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
                Ok(vec!["--certificate".into(), certificate, "--key".into(), key])
            }),
            System::NatsTls => Server::configured(program()?, |port, folder| {
                let ((certificate, key), file) = (tls::write(folder)?, folder.join("nats.conf"));
                let files = format!("cert_file: \"{}\", key_file: \"{}\"", certificate.display(), key.display());
                // A handshake has 2 s unless set; ours has 10 s.
                let config = format!("listen: \"127.0.0.1:{port}\"\ntls {{ {files}, timeout: 10 }}\n");
                std::fs::write(&file, config)?;
                Ok(vec!["-c".into(), file.display().to_string()])
            }),
            System::JetStream => Server::nats_cluster(program()?, 1),
            System::Mosquitto => Server::configured(program()?, |port, folder| {
                let file = folder.join("mosquitto.conf");
                std::fs::write(&file, format!("listener {port} 127.0.0.1\n{MOSQUITTO}"))?;
                Ok(vec!["-c".into(), file.display().to_string()])
            }),
            System::Rumqttd => Server::configured(program()?, |port, folder| {
                let file = folder.join("rumqttd.toml");
                std::fs::write(&file, rumqttd(port))?;
                Ok(vec!["--quiet".into(), "--config".into(), file.display().to_string()])
            }),
            System::Zenoh => Server::other(program()?, |port| vec!["router".into(), port.to_string()]),
            System::SocketIo => Server::other(program()?, |port| {
                vec![Path::new(side::SOCKET_IO).join("server.mjs").display().to_string(), port.to_string()]
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
            Self::Raw => RAW,
            Self::Nats => NATS,
            Self::Redis => "Redis",
            Self::OursTls => OURS_TLS,
            Self::NatsTls => NATS_TLS,
            Self::JetStream => JETSTREAM,
            Self::Mosquitto => MOSQUITTO_QOS_1,
            Self::Rumqttd => RUMQTTD_QOS_1,
            Self::SocketIo => "Socket.IO, acknowledged",
            Self::Zenoh => ZENOH,
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

/// A candidate whose clients are programs of their own.
fn played<P: Played>(system: System, program: PathBuf) -> Candidate {
    Candidate {
        system,
        name: named(system, &program),
        program: Some(program),
        throughput: side::throughput::<P>,
        round_trips: side::round_trips::<P>,
        idle: |_, _, _| anyhow::bail!("not measured"),
        logins: |_, _, _| anyhow::bail!("not measured"),
    }
}

fn named(system: System, program: &Path) -> String {
    let version = match system {
        System::Mosquitto => version_said(program, &["-h"]),
        System::SocketIo => package_version(&Path::new(side::SOCKET_IO).join(SOCKET_IO_PACKAGE)),
        _ => version(program),
    };
    match version {
        Some(version) => format!("{} {version}", system.name()),
        None => format!("{} of unknown version", system.name()),
    }
}

/// The version in a `package.json`.
pub(crate) fn package_version(package: &Path) -> Option<String> {
    let package: serde_json::Value = serde_json::from_slice(&std::fs::read(package).ok()?).ok()?;
    Some(package["version"].as_str()?.to_owned())
}

pub(crate) const OURS: &str = "RTM for Rust";
pub(crate) const ON_ONE_OF_THREE: &str = "RTM, one of three nodes";
pub(crate) const ACROSS_TWO: &str = "RTM, across two nodes";
pub(crate) const ACROSS_TWO_AND_NATS: &str = "RTM, across two nodes and NATS servers";
pub(crate) const OVER_THREE: &str = "RTM, over three nodes";
pub(crate) const BATCHED: &str = "WebSocket relay, batched";
pub(crate) const NATS: &str = "NATS";
pub(crate) const NATS_ACROSS_TWO: &str = "two servers of NATS";
pub(crate) const OURS_TLS: &str = "RTM for Rust over TLS";
pub(crate) const NATS_TLS: &str = "NATS over TLS";
pub(crate) const RAW: &str = "raw TCP relay";
pub(crate) const JETSTREAM: &str = "JetStream";
pub(crate) const MOSQUITTO_QOS_1: &str = "MQTT QoS 1, mosquitto";
pub(crate) const RUMQTTD_QOS_1: &str = "MQTT QoS 1, rumqttd";
pub(crate) const ZENOH: &str = "zenoh";

/// Nothing on disk, and no limit below what the load has under way.
const MOSQUITTO: &str = "allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 1024
max_queued_messages 0
";

/// In memory, without what the load does not use; its own limits where they are above what the load has under way.
fn rumqttd(port: u16) -> String {
    format!(
        r#"id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 1024
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "compare"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 1024
dynamic_filters = true
"#
    )
}

const SOCKET_IO_PACKAGE: &str = "node_modules/socket.io/package.json";

/// Where benches/setup.sh installs the release that it names.
const RECENT_NATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/nats-server/bin/nats-server");
const RUMQTTD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/rumqttd/bin/rumqttd");
