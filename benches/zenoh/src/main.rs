//! zenoh's router and clients, which `compare` starts; its `side.rs` says what the clients are told, and say.
//!
//! - `rival-zenoh router PORT` is the router.
//! - `rival-zenoh clients PORT BYTES MEMBERS WINDOW` is a publisher and its receivers, each with a session and a connection
//!   of its own: MEMBERS of them, or one user if that is 0. With `echo` at the end that user sends each message back.

use std::{
    io::{BufRead as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use window::Window;
use zenoh::{Config, Session, Wait as _, bytes::ZBytes, pubsub::Publisher, qos::CongestionControl, sample::Sample};

/// The window of the other rivals.
#[expect(dead_code, unreachable_pub, reason = "it is public in its crate")]
#[path = "../../../crates/rtm-load/src/window.rs"]
mod window;

/// As in everything that the comparison builds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// zenoh does not run on a runtime of one thread. This one only waits for the window.
#[tokio::main(worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--version"] => {
            let version = zenoh::GIT_VERSION.split('-').next().unwrap_or_default();
            writeln!(std::io::stdout(), "zenoh {version}")?;
            Ok(())
        }
        ["router", port] => router(port).await,
        ["clients", port, bytes, members, window, ref echo @ ..] if matches!(echo, [] | ["echo"]) => {
            let clients = Clients::connect(port, members.parse()?, window.parse()?, !echo.is_empty()).await?;
            clients.serve(bytes.parse()?).await
        }
        _ => bail!("router PORT, or clients PORT BYTES MEMBERS WINDOW [echo]"),
    }
}

/// Goes on until it is killed.
async fn router(port: &str) -> anyhow::Result<()> {
    let mut config = config("router")?;
    set(&mut config, "listen/endpoints", &format!(r#"["tcp/127.0.0.1:{port}"]"#))?;
    // By default it lets 1,000 in.
    set(&mut config, "transport/unicast/max_sessions", "15000")?;
    let _session = open(config).await?;
    std::future::pending().await
}

/// A publisher and its receivers, who are in this process.
struct Clients {
    publisher: Publisher<'static>,
    arrivals: Arc<Arrivals>,
    _sessions: Vec<Session>,
}

/// What has come to those whom the publisher waits for.
struct Arrivals {
    window: Window,
    /// How many of them have had a first message.
    met: AtomicUsize,
}

impl Clients {
    async fn connect(port: &str, members: usize, window: u64, echo: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(!echo || members == 0, "only one user sends messages back");
        let receivers = members.max(1);
        let window = Window::new(window, receivers as u64);
        let arrivals = Arc::new(Arrivals { window, met: AtomicUsize::new(0) });
        let to = if members > 0 { ROOM } else { RECEIVER };
        let mut sessions = Vec::with_capacity(receivers + 1);
        for _ in 0..receivers {
            let session = client(port).await?;
            if echo {
                let back = publisher(&session, PUBLISHER).await?;
                let send_back = move |sample: Sample| {
                    if let Err(error) = back.put(sample.payload().clone()).wait() {
                        // The round trip that nobody ends says it too, later.
                        let _ = writeln!(std::io::stderr(), "cannot send back: {error}");
                    }
                };
                session.declare_subscriber(to).callback(send_back).background().await.map_err(failed)?;
            } else {
                session.declare_subscriber(to).callback(arrivals.counter()).background().await.map_err(failed)?;
            }
            sessions.push(session);
        }
        let session = client(port).await?;
        if echo {
            session.declare_subscriber(PUBLISHER).callback(arrivals.counter()).background().await.map_err(failed)?;
        }
        let publisher = publisher(&session, to).await?;
        sessions.push(session);
        while arrivals.met.load(Ordering::Relaxed) < receivers {
            put(&publisher, &ZBytes::new()).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { publisher, arrivals, _sessions: sessions })
    }

    /// Does what it reads, until there is nothing more.
    async fn serve(&self, bytes: usize) -> anyhow::Result<()> {
        let message = ZBytes::from(vec![b'x'; bytes]);
        let mut out = std::io::stdout();
        writeln!(out, "ready")?;
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let (what, count) = line.split_once(' ').context("no count")?;
            let count = count.parse()?;
            let took = match what {
                "send" => vec![self.send(&message, count).await?],
                "ping" => self.ping(&message, count).await?,
                _ => bail!("it cannot {what}"),
            };
            let took: Vec<String> = took.iter().map(|took| took.as_nanos().to_string()).collect();
            writeln!(out, "{}", took.join(" "))?;
        }
        Ok(())
    }

    /// Sends as fast as the window lets it, and says how long it took until all receivers had everything.
    async fn send(&self, message: &ZBytes, messages: u64) -> anyhow::Result<Duration> {
        let (start, window) = (Instant::now(), &self.arrivals.window);
        let mut left = messages;
        while left > 0 {
            let room = window.take(left.min(BATCH)).await;
            for _ in 0..room {
                put(&self.publisher, message).await?;
            }
            left -= room;
        }
        window.all_delivered().await;
        Ok(start.elapsed())
    }

    /// Sends one message after another, and says how long each took to come back.
    async fn ping(&self, message: &ZBytes, rounds: u64) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        for _ in 0..rounds {
            took.push(self.send(message, 1).await?);
        }
        Ok(took)
    }
}

impl Arrivals {
    /// Counts what comes to one receiver. A message without content is a first one, and says that the way is there.
    fn counter(self: &Arc<Self>) -> impl Fn(Sample) + Send + Sync + 'static {
        let (arrivals, has_met) = (Arc::clone(self), AtomicBool::new(false));
        move |sample| {
            if !sample.payload().is_empty() {
                arrivals.window.delivered(1);
            } else if !has_met.swap(true, Ordering::Relaxed) {
                arrivals.met.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// As zenoh comes, but it looks for nobody: who there is, is known.
fn config(mode: &str) -> anyhow::Result<Config> {
    let mut config = Config::default();
    set(&mut config, "mode", &format!("{mode:?}"))?;
    set(&mut config, "scouting/multicast/enabled", "false")?;
    set(&mut config, "scouting/gossip/enabled", "false")?;
    Ok(config)
}

fn set(config: &mut Config, key: &str, json: &str) -> anyhow::Result<()> {
    config.insert_json5(key, json).map_err(failed).with_context(|| format!("zenoh refuses {json} for {key}"))
}

async fn open(config: Config) -> anyhow::Result<Session> {
    zenoh::open(config).await.map_err(failed)
}

async fn client(port: &str) -> anyhow::Result<Session> {
    let mut config = config("client")?;
    set(&mut config, "connect/endpoints", &format!(r#"["tcp/127.0.0.1:{port}"]"#))?;
    open(config).await
}

/// One whose messages are never dropped. That they are not lost either, reliability, is the default.
async fn publisher(session: &Session, to: &'static str) -> anyhow::Result<Publisher<'static>> {
    session.declare_publisher(to).congestion_control(CongestionControl::Block).await.map_err(failed)
}

async fn put(publisher: &Publisher<'_>, message: &ZBytes) -> anyhow::Result<()> {
    publisher.put(message.clone()).await.map_err(failed)
}

fn failed(error: zenoh::Error) -> anyhow::Error {
    anyhow::anyhow!(error)
}

/// How many messages are sent before the window is looked at again.
const BATCH: u64 = 64;
const ROOM: &str = "room";
const RECEIVER: &str = "user/receiver";
const PUBLISHER: &str = "user/publisher";
