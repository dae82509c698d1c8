//! Clients of rivals in programs of their own, whose libraries are not linked here: what they are told, and say.
//!
//! Each says `ready`. A publisher then reads `send N`, and answers with the nanoseconds until all N were confirmed; or
//! `ping N`, and answers with those of each round trip.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rtm_load::Latency;

use crate::{
    process::{Process, Server, installed, process_cpu},
    rival::{Load, PATIENCE, Throughput, WARM_UP_ROUNDS},
};

/// A program with a client; ended when dropped.
pub(crate) struct Side {
    process: Process,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Side {
    /// Starts it, and waits until it is ready.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let process = Process(child);
        let (stdin, stdout) = stdin.zip(stdout).context("no pipes")?;
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            for read in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.send(read).is_err() {
                    break;
                }
            }
        });
        let side = Self { process, stdin, lines };
        let said = side.line().context("the clients did not start")?;
        anyhow::ensure!(said == "ready", "the clients did not start: {said:?}");
        Ok(side)
    }

    /// Has it do something, and waits for the nanoseconds that it took, each time.
    pub(crate) fn ask(&mut self, what: &str, count: u64) -> anyhow::Result<Vec<u64>> {
        writeln!(self.stdin, "{what} {count}")?;
        let line = self.line()?;
        line.split_whitespace().map(|ns| ns.parse().with_context(|| format!("no time: {ns:?}"))).collect()
    }

    fn line(&self) -> anyhow::Result<String> {
        self.lines.recv_timeout(PATIENCE).context("not done in time, or the clients ended")
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        Ok(process_cpu(self.process.0.id())?.total)
    }
}

/// Socket.IO under Node: sender and receiver are a process each.
pub(crate) fn socket_io_throughput(server: &Server, load: Load) -> anyhow::Result<Throughput> {
    anyhow::ensure!(load.members == 0, "there is no room");
    let (publisher, receiver) = socket_io(server, load.bytes, load.window, false)?;
    throughput(server, publisher, &receiver, load)
}

/// The same, one message at a time.
pub(crate) fn socket_io_round_trips(server: &Server, bytes: usize, rounds: u64) -> anyhow::Result<Latency> {
    let (publisher, receiver) = socket_io(server, bytes, 1, true)?;
    round_trips(publisher, receiver, rounds)
}

fn socket_io(server: &Server, bytes: usize, window: u64, echo: bool) -> anyhow::Result<(Side, Side)> {
    let node = installed("node").context("no Node")?;
    let (folder, port) = (Path::new(SOCKET_IO), server.port().to_string());
    let mut receiver = Command::new(&node);
    receiver.arg(folder.join("receiver.mjs")).arg(&port).args(echo.then_some("echo"));
    let receiver = Side::start(&mut receiver)?;
    let mut publisher = Command::new(&node);
    publisher.arg(folder.join("publisher.mjs")).args([&port, &bytes.to_string(), &window.to_string()]);
    Ok((Side::start(&mut publisher)?, receiver))
}

fn throughput(server: &Server, mut publisher: Side, receiver: &Side, load: Load) -> anyhow::Result<Throughput> {
    publisher.ask("send", load.messages.div_ceil(10))?;
    let snapshot = |publisher: &Side| -> anyhow::Result<_> { Ok((server.cpu()?, publisher.cpu()?, receiver.cpu()?)) };
    let before = snapshot(&publisher)?;
    let took = publisher.ask("send", load.messages)?;
    let after = snapshot(&publisher)?;
    let [took] = took[..] else { anyhow::bail!("not one time: {took:?}") };
    let deliveries = (load.messages * load.members.max(1) as u64) as f64;
    Ok(Throughput {
        per_second: deliveries / (took as f64 / 1e9),
        server: (after.0.total - before.0.total) / deliveries,
        server_user: (after.0.user - before.0.user) / deliveries,
        publisher: (after.1 - before.1) / deliveries,
        receiver: (after.2 - before.2) / deliveries,
    })
}

fn round_trips(mut publisher: Side, receiver: Side, rounds: u64) -> anyhow::Result<Latency> {
    publisher.ask("ping", WARM_UP_ROUNDS)?;
    let mut latency = Latency::new();
    for took in publisher.ask("ping", rounds)? {
        latency.record(Duration::from_nanos(took));
    }
    drop(receiver);
    Ok(latency)
}

pub(crate) const SOCKET_IO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/socket-io");

#[cfg(test)]
mod tests {
    use super::{Command, Side, round_trips};

    fn shell(script: &str) -> anyhow::Result<Side> {
        Side::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_program_says_how_long_each_message_took() {
        let mut side = shell("echo ready; read line; echo 12; read line; echo 1 2 3").unwrap();
        assert_eq!(side.ask("send", 5).unwrap(), [12]);
        assert_eq!(side.ask("ping", 3).unwrap(), [1, 2, 3]);
        assert!(side.cpu().unwrap() >= 0.0);
    }

    #[test]
    fn round_trips_after_the_warm_up_count() {
        let publisher = shell("echo ready; read line; echo 9000; read line; echo 100 100").unwrap();
        let latency = round_trips(publisher, shell("echo ready; read line").unwrap(), 2).unwrap();
        assert_eq!((latency.count(), latency.max().as_nanos()), (2, 100));
    }

    #[test]
    fn a_program_that_ends_or_says_something_else_is_an_error() {
        assert!(shell("exit 1").is_err());
        assert!(shell("echo Error: no module").is_err());
        let mut side = shell("echo ready; read line").unwrap();
        assert!(side.ask("send", 5).is_err());
        let mut side = shell("echo ready; read line; echo failed").unwrap();
        assert!(side.ask("send", 5).is_err());
    }
}
