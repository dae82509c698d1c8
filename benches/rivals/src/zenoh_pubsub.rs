//! zenoh: a router, and clients on a TCP connection each. Reliable, and a publisher waits where its connection is full.

use std::{
    io::{BufRead as _, Write as _},
    sync::{Arc, mpsc},
    time::Instant,
};

use anyhow::{Context as _, anyhow, bail};
use futures::executor::block_on;
use serde_json::json;
use zenoh::{Config, Session, Wait as _, bytes::ZBytes, pubsub::Publisher, qos::CongestionControl};

use crate::window::Window;

/// The clients of a run: a publisher and its receivers, each a session of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Clients {
    /// The router's port.
    #[arg(long)]
    port: u16,
    /// How long a message is.
    #[arg(long)]
    bytes: usize,
    /// How many receive each message.
    #[arg(long, default_value_t = 1)]
    receivers: u64,
    /// How many messages may be under way.
    #[arg(long, default_value_t = 1)]
    window: u64,
    /// The receiver sends each message back.
    #[arg(long)]
    echo: bool,
}

/// Routes until it is killed.
pub(crate) fn router(port: u16) -> anyhow::Result<()> {
    let _session = open(json!({ "mode": "router", "listen": { "endpoints": [endpoint(port)] } }))?;
    loop {
        std::thread::park();
    }
}

impl Clients {
    /// Says `ready`, and then does what it reads: `send N` and `ping N`.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let window = Arc::new(Window::new(self.window, self.receivers));
        // Sessions and subscriptions end when they are dropped.
        let mut kept = Vec::new();
        for _ in 0..self.receivers {
            let session = self.client()?;
            let window = Arc::clone(&window);
            let echo = if self.echo { Some(publisher(&session, "publisher")?) } else { None };
            let received = move |sample: zenoh::sample::Sample| match &echo {
                // The publisher notices when nothing comes back.
                Some(echo) => _ = echo.put(sample.payload().clone()).wait(),
                None => window.delivered(1),
            };
            let subscriber = session.declare_subscriber("receiver").callback(received).wait();
            kept.push((session, subscriber.map_err(error)?));
        }
        let session = self.client()?;
        let (back, came_back) = mpsc::channel();
        let echoes = session.declare_subscriber("publisher").callback(move |_| _ = back.send(()));
        let _echoes = echoes.wait().map_err(error)?;
        let publisher = publisher(&session, "receiver")?;
        let message = ZBytes::from("x".repeat(self.bytes));
        self.wait_for_routes(&publisher)?;

        let mut out = std::io::stdout();
        writeln!(out, "ready")?;
        out.flush()?;
        for line in std::io::stdin().lines() {
            let line = line?;
            let (what, count) = line.split_once(' ').context("neither send N nor ping N")?;
            let count: u64 = count.parse()?;
            match what {
                "send" => {
                    let start = Instant::now();
                    let mut left = count;
                    while left > 0 {
                        let room = block_on(window.take(left.min(BATCH)));
                        for _ in 0..room {
                            publisher.put(message.clone()).wait().map_err(error)?;
                        }
                        left -= room;
                    }
                    block_on(window.all_delivered());
                    writeln!(out, "{}", start.elapsed().as_nanos())?;
                }
                "ping" => {
                    for _ in 0..count {
                        let start = Instant::now();
                        publisher.put(message.clone()).wait().map_err(error)?;
                        came_back.recv()?;
                        write!(out, "{} ", start.elapsed().as_nanos())?;
                    }
                    writeln!(out)?;
                }
                _ => bail!("neither send N nor ping N: {line:?}"),
            }
            out.flush()?;
        }
        Ok(())
    }

    fn client(&self) -> anyhow::Result<Session> {
        open(json!({ "mode": "client", "connect": { "endpoints": [endpoint(self.port)] } }))
    }

    /// A subscription takes a moment to reach the publisher, which until then sends nothing.
    fn wait_for_routes(&self, publisher: &Publisher<'_>) -> anyhow::Result<()> {
        let deadline = Instant::now() + std::time::Duration::from_secs(10);
        while !publisher.matching_status().wait().map_err(error)?.matching() {
            anyhow::ensure!(Instant::now() < deadline, "no receiver was found");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        // It matches from the first receiver on.
        std::thread::sleep(std::time::Duration::from_millis(500));
        Ok(())
    }
}

fn open(config: serde_json::Value) -> anyhow::Result<Session> {
    let mut config = Config::from_json5(&config.to_string()).map_err(error)?;
    config.insert_json5("scouting/multicast/enabled", "false").map_err(error)?;
    zenoh::open(config).wait().map_err(error)
}

fn publisher(session: &Session, key: &'static str) -> anyhow::Result<Publisher<'static>> {
    session.declare_publisher(key).congestion_control(CongestionControl::Block).wait().map_err(error)
}

fn endpoint(port: u16) -> String {
    format!("tcp/127.0.0.1:{port}")
}

fn error(error: zenoh::Error) -> anyhow::Error {
    anyhow!("zenoh: {error}")
}

/// As the other rivals.
const BATCH: u64 = 64;
