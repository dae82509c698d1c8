//! `rtm bench`: load-tests a server.

mod figures;
mod plot;
mod progress;
mod server;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use rtm_client::RtmMessage;
use rtm_load::{Latency, Target, Window, publish_to_channel, receive, send_to_peer};
use serde_json::json;
use tokio::time::sleep;

use self::{
    figures::Figures,
    plot::Plot,
    progress::{Course, Sample, bar},
    server::Server,
};
use crate::{connect::Stop, output, values};

/// Load-test a server.
///
/// Without --gateway it starts a server of its own. Users get random ids that start with bench-, so they disturb nobody else. The
/// call limits of a server apply: the test stays below them and says so. To measure more, start the server with --no-limits, or set
/// limits in its config file.
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
        #[arg(long, default_value = "10s", value_parser = values::duration)]
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

/// What a load measured.
struct Measured {
    figures: Figures,
    /// What was counted, and how that went.
    counted: &'static str,
    samples: Vec<Sample>,
    /// What was timed one by one.
    timed: Option<(&'static str, Latency)>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (name, server) = args.load.server();
    if let Some(file) = &server.plot {
        // Better now than after minutes of load.
        std::fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let measured = async {
        let running = server.start().await?;
        args.load.run(&running.target).await
    };
    let measured = tokio::select! {
        measured = measured => measured?,
        () = stop.asked() => anyhow::bail!("interrupted"),
    };
    let mut figures = Figures::default();
    figures.add("load", json!(name));
    figures.add("wire", json!(server.transport.wire.name()));
    figures.extend(measured.figures);
    if let Some(file) = &server.plot {
        let plot = Plot {
            title: format!("rtm bench {name}, {} wire", server.transport.wire.name()),
            counted: measured.counted,
            samples: &measured.samples,
            timed: measured.timed.as_ref().map(|(what, latency)| (*what, latency)),
        };
        plot.draw(file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if server.json { output::json(&figures) } else { output::text(&figures.table()) }
}

/// Prints once that the server's limits slow the test down.
#[derive(Debug, Clone, Default)]
struct Held(Arc<AtomicBool>);

impl Held {
    fn tell(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            output::note(
                "rtm: limited by the server, by default to 180 messages in 3 s per user: to measure more, start it with \
                 --no-limits, or set limits in its config file",
            );
        }
    }
}

impl Load {
    /// Its name, and the server that is measured.
    fn server(&self) -> (&'static str, &Server) {
        match self {
            Self::Peers { server, .. } => ("peers", server),
            Self::Channel { server, .. } => ("channel", server),
            Self::Idle { server, .. } => ("idle", server),
            Self::Logins { server, .. } => ("logins", server),
        }
    }

    async fn run(&self, target: &Target) -> anyhow::Result<Measured> {
        match self {
            Self::Peers { messages, pairs, .. } => peers(target, messages, *pairs).await,
            Self::Channel { messages, members, .. } => channel(target, messages, *members).await,
            Self::Idle { users, stay, .. } => idle(target, *users, *stay).await,
            Self::Logins { users, at_once, .. } => logins(target, *users, *at_once).await,
        }
    }
}

async fn peers(target: &Target, messages: &Messages, pairs: u32) -> anyhow::Result<Measured> {
    let run = run_name();
    let bar = bar("users", u64::from(2 * pairs));
    let users = |role: &str| format!("bench-{run}-{role}");
    let senders = target.log_in_many(&users("from"), pairs as usize, LOGINS_AT_ONCE, || bar.inc(1)).await?;
    let receivers = target.log_in_many(&users("to"), pairs as usize, LOGINS_AT_ONCE, || bar.inc(1)).await?;
    bar.finish_and_clear();

    let total = messages.messages * u64::from(pairs);
    let course = Course::start("messages", total);
    let receivers: Vec<_> = receivers
        .into_iter()
        .map(|mut user| {
            let (bar, count) = (course.bar().clone(), messages.messages);
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
    let (took, samples) = course.end();
    for receiver in receivers {
        receiver.await??;
    }
    let mut figures = Figures::default();
    figures.add("pairs", json!(pairs));
    messages.add_to(&mut figures);
    figures.add_rate("messages", total, took);
    figures.add_percentiles("receipt", &latency);
    Ok(Measured { figures, counted: "messages", samples, timed: Some(("receipt", latency)) })
}

async fn channel(target: &Target, messages: &Messages, members: u32) -> anyhow::Result<Measured> {
    let room = format!("bench-{}", run_name());
    let bar = bar("members", u64::from(members));
    let users = target.log_in_many(&format!("{room}-to"), members as usize, LOGINS_AT_ONCE, || bar.inc(1)).await?;
    bar.finish_and_clear();
    try_join_all(users.iter().map(async |user| user.client.channel(&room)?.join().await)).await?;
    let sender = target.log_in(&format!("{room}-from")).await?;
    let channel = sender.client.channel(&room)?;
    channel.join().await?;

    let deliveries = messages.messages * u64::from(members);
    let window = Arc::new(Window::new(u64::from(messages.window), u64::from(members)));
    let course = Course::start("deliveries", deliveries);
    let receivers: Vec<_> = users
        .into_iter()
        .map(|mut user| {
            let (bar, window, count) = (course.bar().clone(), Arc::clone(&window), messages.messages);
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
    let (took, samples) = course.end();
    let mut figures = Figures::default();
    figures.add("members", json!(members));
    messages.add_to(&mut figures);
    figures.add_rate("deliveries", deliveries, took);
    Ok(Measured { figures, counted: "deliveries", samples, timed: None })
}

async fn idle(target: &Target, users: u32, stay: Duration) -> anyhow::Result<Measured> {
    let course = Course::start("users", u64::from(users));
    let prefix = format!("bench-{}", run_name());
    let users = target.log_in_many(&prefix, users as usize, LOGINS_AT_ONCE, || course.bar().inc(1)).await?;
    let (took, samples) = course.end();
    let mut figures = Figures::default();
    figures.add_rate("logins", users.len() as u64, took);
    let bar = bar("seconds", stay.as_secs());
    for _ in 0..stay.as_secs() {
        sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
    sleep(Duration::from_nanos(u64::from(stay.subsec_nanos()))).await;
    bar.finish_and_clear();
    let there = users.iter().filter(|user| user.client.connection_state() == rtm_client::ConnectionState::Connected);
    figures.add("still_connected", json!(there.count()));
    Ok(Measured { figures, counted: "logins", samples, timed: None })
}

async fn logins(target: &Target, users: u32, at_once: u32) -> anyhow::Result<Measured> {
    let run = run_name();
    let course = Course::start("logins", u64::from(users));
    let latencies: Vec<Duration> = stream::iter(0..users)
        .map(async |number| {
            let start = Instant::now();
            let user = target.log_in(&format!("bench-{run}-{number}")).await?;
            let took = start.elapsed();
            user.client.logout().await?;
            course.bar().inc(1);
            anyhow::Ok(took)
        })
        .buffer_unordered(at_once as usize)
        .try_collect()
        .await?;
    let (took, samples) = course.end();
    let mut latency = Latency::new();
    latencies.into_iter().for_each(|took| latency.record(took));
    let mut figures = Figures::default();
    figures.add("at_once", json!(at_once));
    figures.add_rate("logins", u64::from(users), took);
    figures.add_percentiles("login", &latency);
    Ok(Measured { figures, counted: "logins", samples, timed: Some(("login", latency)) })
}

impl Messages {
    fn text(&self) -> RtmMessage {
        RtmMessage::text("x".repeat(self.size as usize))
    }

    fn add_to(&self, figures: &mut Figures) {
        figures.add("size_bytes", json!(self.size));
        figures.add("window", json!(self.window));
    }
}

/// What keeps the users of two runs apart.
fn run_name() -> String {
    format!("{:08x}", RandomState::new().hash_one("run") as u32)
}

const LOGINS_AT_ONCE: usize = 64;
