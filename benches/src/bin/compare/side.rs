//! Clients of rivals in programs of their own, whose libraries are not linked here: what they are told, and say.
//!
//! Each says `ready`. A publisher then reads `send N`, and answers with the nanoseconds until all N were confirmed, or have
//! reached everybody; or `ping N`, and answers with those of each round trip.

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

/// A message system whose clients are programs of their own.
pub(crate) trait Played {
    /// Starts the clients that a load needs. With `echo` each message comes back.
    fn start(server: &Server, load: Load, echo: bool) -> anyhow::Result<Clients>;
}

/// The programs of a load.
pub(crate) struct Clients {
    publisher: Side,
    /// `None` if the publisher's program is the receivers too.
    receiver: Option<Side>,
}

impl Clients {
    /// The CPU time of the publisher, and of the receivers if they are a program of their own.
    fn cpu(&self) -> anyhow::Result<(f64, Option<f64>)> {
        Ok((self.publisher.cpu()?, self.receiver.as_ref().map(Side::cpu).transpose()?))
    }
}

/// Socket.IO under Node: sender and receiver are a process each.
pub(crate) struct SocketIo;

impl Played for SocketIo {
    fn start(server: &Server, load: Load, echo: bool) -> anyhow::Result<Clients> {
        anyhow::ensure!(load.members == 0, "there is no room");
        let node = installed("node").context("no Node")?;
        let (folder, port) = (Path::new(SOCKET_IO), server.port().to_string());
        let mut receiver = Command::new(&node);
        receiver.arg(folder.join("receiver.mjs")).arg(&port).args(echo.then_some("echo"));
        let receiver = Side::start(&mut receiver)?;
        let mut publisher = Command::new(&node);
        publisher.arg(folder.join("publisher.mjs")).args([&port, &load.bytes.to_string(), &load.window.to_string()]);
        Ok(Clients { publisher: Side::start(&mut publisher)?, receiver: Some(receiver) })
    }
}

/// zenoh, which has threads of its own: sender and receivers are one process, whose memory has the window.
pub(crate) struct Zenoh;

impl Played for Zenoh {
    fn start(server: &Server, load: Load, echo: bool) -> anyhow::Result<Clients> {
        let port = server.port().to_string();
        let (bytes, members, window) = (load.bytes.to_string(), load.members.to_string(), load.window.to_string());
        let mut clients = Command::new(ZENOH);
        clients.args(["clients", &port, &bytes, &members, &window]).args(echo.then_some("echo"));
        Ok(Clients { publisher: Side::start(&mut clients)?, receiver: None })
    }
}

/// Measures a load. A tenth of the messages goes before, to warm up.
pub(crate) fn throughput<P: Played>(server: &Server, load: Load) -> anyhow::Result<Throughput> {
    measure(server, P::start(server, load, false)?, load)
}

/// Measures round trips, one at a time.
pub(crate) fn round_trips<P: Played>(server: &Server, bytes: usize, rounds: u64) -> anyhow::Result<Latency> {
    measure_round_trips(P::start(server, Load { bytes, members: 0, window: 1, messages: rounds }, true)?, rounds)
}

fn measure(server: &Server, mut clients: Clients, load: Load) -> anyhow::Result<Throughput> {
    clients.publisher.ask("send", load.messages.div_ceil(10))?;
    let before = (server.cpu()?, clients.cpu()?);
    let took = clients.publisher.ask("send", load.messages)?;
    let after = (server.cpu()?, clients.cpu()?);
    let [took] = took[..] else { anyhow::bail!("not one time: {took:?}") };
    let deliveries = (load.messages * load.members.max(1) as u64) as f64;
    let ((publisher, receiver), (publisher_before, receiver_before)) = (after.1, before.1);
    Ok(Throughput {
        per_second: deliveries / (took as f64 / 1e9),
        server: (after.0.total - before.0.total) / deliveries,
        server_user: (after.0.user - before.0.user) / deliveries,
        publisher: (publisher - publisher_before) / deliveries,
        receiver: receiver.zip(receiver_before).map(|(after, before)| (after - before) / deliveries),
    })
}

fn measure_round_trips(mut clients: Clients, rounds: u64) -> anyhow::Result<Latency> {
    clients.publisher.ask("ping", WARM_UP_ROUNDS)?;
    let mut latency = Latency::new();
    for took in clients.publisher.ask("ping", rounds)? {
        latency.record(Duration::from_nanos(took));
    }
    Ok(latency)
}

pub(crate) const SOCKET_IO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/socket-io");
/// Where benches/setup.sh builds it: router and clients.
pub(crate) const ZENOH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/zenoh/release/rival-zenoh");

#[cfg(test)]
mod tests {
    use super::{Clients, Command, Side, measure_round_trips};

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
        let receiver = Some(shell("echo ready; read line").unwrap());
        let latency = measure_round_trips(Clients { publisher, receiver }, 2).unwrap();
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
