//! `rtm bench`: load-tests a server.

use std::{
    hash::{BuildHasher as _, RandomState},
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use indicatif::{ProgressBar, ProgressStyle};
use rtm_client::RtmMessage;
use rtm_load::{Latency, Target, Window, publish_to_channel, receive, send_to_peer};
use rtm_token::{Builder, Certificate};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::connect::{Project, Stop, read};

/// Load-test a server.
///
/// Users get random ids that start with bench-, so they disturb nobody else. The server's call limits apply: the test stays below
/// them and says so. To measure more, start the server with --no-limits, or set limits in its config file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, clap::Subcommand)]
enum Load {
    /// Pairs of users: one sends, the other receives and confirms each message.
    Peers {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        messages: Messages,
        /// Number of pairs.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5000))]
        pairs: u32,
    },
    /// One channel: one member sends, all others receive.
    Channel {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        messages: Messages,
        /// Number of receivers.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        members: u32,
    },
    /// Users that only stay logged in.
    Idle {
        #[command(flatten)]
        server: Server,
        /// Number of users.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        users: u32,
        /// How long they stay logged in.
        #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
        stay: Duration,
    },
    /// Users that log in and out.
    Logins {
        #[command(flatten)]
        server: Server,
        /// Number of users. Each logs in once.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        users: u32,
        /// Number of logins under way at once.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        at_once: u32,
    },
}

#[derive(Debug, clap::Args)]
struct Server {
    #[command(flatten)]
    project: Project,
    /// Certificate of the project, to make tokens; required if the project has one.
    #[arg(long, value_name = "CERT", env = "RTM_CERTIFICATE", hide_env_values = true)]
    certificate: Option<Certificate>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Messages {
    /// Number of messages per sender.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Size of a message in bytes.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    size: u32,
    /// Number of messages that a sender has under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: u32,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (server, figures) = tokio::select! {
        done = args.load.run() => done?,
        () = stop.asked() => anyhow::bail!("interrupted"),
    };
    let mut stdout = std::io::stdout();
    let written = if server.json {
        writeln!(stdout, "{}", serde_json::to_string(&figures)?)
    } else {
        figures.0.iter().try_for_each(|(name, value)| writeln!(stdout, "{:24} {value}", name.replace('_', " ")))
    };
    written.context("cannot write to standard output")
}

/// What was measured, in the order in which it is printed.
#[derive(Debug, Default)]
struct Figures(Vec<(String, Value)>);

impl Figures {
    fn add(&mut self, name: impl Into<String>, value: Value) {
        self.0.push((name.into(), value));
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Prints once that the server's limits slow the test down.
#[derive(Debug, Clone, Default)]
struct Held(Arc<AtomicBool>);

impl Held {
    fn tell(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            eprintln!(
                "rtm: limited by the server, by default to 180 messages in 3 s per user: to measure more, start it with \
                 --no-limits, or set limits in its config file"
            );
        }
    }
}

impl Load {
    async fn run(self) -> anyhow::Result<(Server, Figures)> {
        match self {
            Self::Peers { server, messages, pairs } => {
                let figures = peers(&server, &messages, pairs).await?;
                Ok((server, figures))
            }
            Self::Channel { server, messages, members } => {
                let figures = channel(&server, &messages, members).await?;
                Ok((server, figures))
            }
            Self::Idle { server, users, stay } => {
                let figures = idle(&server, users, stay).await?;
                Ok((server, figures))
            }
            Self::Logins { server, users, at_once } => {
                let figures = logins(&server, users, at_once).await?;
                Ok((server, figures))
            }
        }
    }
}

async fn peers(server: &Server, messages: &Messages, pairs: u32) -> anyhow::Result<Figures> {
    let (target, run) = (server.target()?, run_name());
    let bar = progress("users", u64::from(2 * pairs));
    let users = |role: &str| format!("bench-{run}-{role}");
    let senders = target.log_in_many(&users("from"), pairs as usize, LOGINS_AT_ONCE, || bar.inc(1)).await?;
    let receivers = target.log_in_many(&users("to"), pairs as usize, LOGINS_AT_ONCE, || bar.inc(1)).await?;
    bar.finish_and_clear();

    let total = messages.messages * u64::from(pairs);
    let bar = progress("messages", total);
    let start = Instant::now();
    let receivers: Vec<_> = receivers
        .into_iter()
        .map(|mut user| {
            let (bar, count) = (bar.clone(), messages.messages);
            tokio::spawn(async move {
                receive(&mut user.events, count, |batch| bar.inc(batch)).await?;
                // Kept until the end: the last receipt may still have to go out.
                anyhow::Ok(user)
            })
        })
        .collect();
    let held = Held::default();
    let senders: Vec<_> = senders
        .into_iter()
        .enumerate()
        .map(|(number, user)| {
            let (to, message) = (format!("{}-{number}", users("to")), messages.text());
            let (count, window) = (messages.messages, messages.window as usize);
            let held = held.clone();
            tokio::spawn(async move {
                let mut latency = Latency::new();
                send_to_peer(&user.client, &to, &message, count, window, Some(&mut latency), || held.tell()).await?;
                anyhow::Ok(latency)
            })
        })
        .collect();
    let mut latency = Latency::new();
    for sender in senders {
        latency.add(&sender.await??);
    }
    let took = start.elapsed();
    bar.finish_and_clear();
    for receiver in receivers {
        receiver.await??;
    }
    let mut figures = rate("messages", total, took);
    percentiles(&mut figures, "receipt", &latency);
    Ok(figures)
}

async fn channel(server: &Server, messages: &Messages, members: u32) -> anyhow::Result<Figures> {
    let (target, run) = (server.target()?, run_name());
    let room = format!("bench-{run}");
    let bar = progress("members", u64::from(members));
    let users = target.log_in_many(&format!("{room}-to"), members as usize, LOGINS_AT_ONCE, || bar.inc(1)).await?;
    bar.finish_and_clear();
    try_join_all(users.iter().map(async |user| user.client.channel(&room)?.join().await)).await?;
    let sender = target.log_in(&format!("{room}-from")).await?;
    let channel = sender.client.channel(&room)?;
    channel.join().await?;

    let deliveries = messages.messages * u64::from(members);
    let bar = progress("deliveries", deliveries);
    let window = Arc::new(Window::new(u64::from(messages.window), u64::from(members)));
    let start = Instant::now();
    let receivers: Vec<_> = users
        .into_iter()
        .map(|mut user| {
            let (bar, window, count) = (bar.clone(), Arc::clone(&window), messages.messages);
            tokio::spawn(async move {
                receive(&mut user.events, count, |batch| {
                    window.delivered(batch);
                    bar.inc(batch);
                })
                .await?;
                // The whole user was moved here: without its handle it would log out.
                anyhow::Ok(user)
            })
        })
        .collect();
    let held = Held::default();
    publish_to_channel(&channel, &messages.text(), messages.messages, &window, || held.tell()).await?;
    for receiver in receivers {
        receiver.await??;
    }
    let took = start.elapsed();
    bar.finish_and_clear();
    Ok(rate("deliveries", deliveries, took))
}

async fn idle(server: &Server, users: u32, stay: Duration) -> anyhow::Result<Figures> {
    let bar = progress("users", u64::from(users));
    let start = Instant::now();
    let prefix = format!("bench-{}", run_name());
    let users = server.target()?.log_in_many(&prefix, users as usize, LOGINS_AT_ONCE, || bar.inc(1)).await?;
    let mut figures = rate("logins", users.len() as u64, start.elapsed());
    bar.finish_and_clear();
    let bar = progress("seconds", stay.as_secs());
    for _ in 0..stay.as_secs() {
        sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
    sleep(Duration::from_nanos(u64::from(stay.subsec_nanos()))).await;
    bar.finish_and_clear();
    let there = users.iter().filter(|user| user.client.connection_state() == rtm_client::ConnectionState::Connected);
    figures.add("still_connected", json!(there.count()));
    Ok(figures)
}

async fn logins(server: &Server, users: u32, at_once: u32) -> anyhow::Result<Figures> {
    let (target, run) = (server.target()?, run_name());
    let bar = progress("logins", u64::from(users));
    let start = Instant::now();
    let latencies: Vec<Duration> = stream::iter(0..users)
        .map(async |number| {
            let start = Instant::now();
            let user = target.log_in(&format!("bench-{run}-{number}")).await?;
            let took = start.elapsed();
            user.client.logout().await?;
            bar.inc(1);
            anyhow::Ok(took)
        })
        .buffer_unordered(at_once as usize)
        .try_collect()
        .await?;
    let took = start.elapsed();
    bar.finish_and_clear();
    let mut latency = Latency::new();
    latencies.into_iter().for_each(|took| latency.record(took));
    let mut figures = rate("logins", u64::from(users), took);
    percentiles(&mut figures, "login", &latency);
    Ok(figures)
}

impl Server {
    fn target(&self) -> anyhow::Result<Target> {
        let Project { app_id, wire, ca, .. } = &self.project;
        let (first, others) = self.project.gateways()?.split_first().context("no gateway is given")?;
        let mut target = others.iter().fold(Target::new(first, app_id.as_str(), wire.wire()), Target::with_gateway);
        if let Some(file) = ca {
            target = target.with_root_certificates(read(file)?);
        }
        if let Some((certificates, key)) = self.project.client_certificate()? {
            target = target.with_client_certificate(certificates, key);
        }
        Ok(match self.certificate.clone() {
            Some(certificate) => {
                let app_id = app_id.clone();
                target.with_tokens(move |user_id| token(app_id.as_str(), &certificate, user_id))
            }
            None => target,
        })
    }
}

impl Messages {
    fn text(&self) -> RtmMessage {
        RtmMessage::text("x".repeat(self.size as usize))
    }
}

/// A token; empty for an App ID that no token can hold, which the login then complains of.
fn token(app_id: &str, certificate: &Certificate, user_id: &str) -> String {
    Builder::for_now(app_id, certificate, user_id).build().unwrap_or_default()
}

/// What keeps the users of two runs apart.
fn run_name() -> String {
    format!("{:08x}", RandomState::new().hash_one("run") as u32)
}

fn rate(what: &str, count: u64, took: Duration) -> Figures {
    let seconds = took.as_secs_f64();
    let mut figures = Figures::default();
    figures.add(what, json!(count));
    figures.add("seconds", json!((seconds * 1e3).round() / 1e3));
    figures.add(format!("{what}_per_second"), json!((count as f64 / seconds).round()));
    figures
}

fn percentiles(figures: &mut Figures, what: &str, latency: &Latency) {
    let ms = |took: Duration| json!((took.as_secs_f64() * 1e6).round() / 1e3);
    for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)] {
        figures.add(format!("{what}_{name}_ms"), ms(latency.percentile(percent)));
    }
    figures.add(format!("{what}_max_ms"), ms(latency.max()));
}

/// Progress on standard error, if that is a terminal.
fn progress(what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // The template is fixed; were it wrong, the bar would look as by default.
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len} {per_sec}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

const LOGINS_AT_ONCE: usize = 64;
