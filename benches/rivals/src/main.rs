//! `rivals`: servers and clients of others for `compare`, which starts this program once for each part that it plays.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser;

mod mqtt;
#[path = "../../../crates/rtm-load/src/window.rs"]
mod window;
mod zenoh_pubsub;

/// As in `compare` and `rtm`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Be a part of a rival in a run of `compare`.
#[derive(Debug, Parser)]
enum Part {
    /// Print the version of a crate that this program was built with.
    Version { package: String },
    /// Be rumqttd, at this port, until killed.
    MqttBroker { port: u16 },
    /// Be a router of zenoh, at this port, until killed.
    ZenohRouter { port: u16 },
    /// Be the publisher and the receivers of a run with zenoh.
    ZenohClients(zenoh_pubsub::Clients),
}

fn main() -> anyhow::Result<()> {
    match Part::parse() {
        Part::Version { package } => {
            writeln!(std::io::stdout(), "{package} {}", version(&package).context("it is no part of this program")?)?;
            Ok(())
        }
        Part::MqttBroker { port } => mqtt::broker(port),
        Part::ZenohRouter { port } => zenoh_pubsub::router(port),
        Part::ZenohClients(clients) => clients.run(),
    }
}

/// Neither crate says its version at run time; the lock file is what was built.
fn version(package: &str) -> Option<&'static str> {
    let name = format!("name = \"{package}\"");
    let mut lines = include_str!("../Cargo.lock").lines().skip_while(|line| *line != name).skip(1);
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}
