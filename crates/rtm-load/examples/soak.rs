//! Thousands of users logged in and chatting for minutes, on a server in a process of its own: counts what went wrong,
//! watches the server's memory, and ends with status 0 if nothing did and it stayed flat.
//!
//! **Flat** means: from the middle of the chat to its end the server's resident memory rises by less than 1 % and by
//! less than 100 bytes for each user. In the first 75 s it has to rise: the chatting users join their channels, and the
//! server remembers each message id of a sender for 60 s, about 80 bytes each. What is still small then and grows for
//! ever shows in the second half. A chat of less than 150 s is too short to say.
//!
//! ```sh
//! cargo run --release -p rtm-load --example soak -- --users 10000 --chatting 5000 --channels 500 --chat 5m
//! ```

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Parser as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rtm_client::{Channel, ConnectionState, RtmEvent, UserId, Wire};
use rtm_load::{Latency, Target, User};
use rtm_server::{AppId, Server};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval_at, sleep},
};

/// Keep many users logged in, let some of them chat, and say what went wrong.
#[derive(Debug, Clone, clap::Parser)]
struct Args {
    /// How many users log in, every other one on the vendor's wire.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// How long all of them are idle.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// How many of them chat then.
    #[arg(long, default_value_t = 5000)]
    chatting: usize,
    /// In how many channels.
    #[arg(long, default_value_t = 500)]
    channels: usize,
    /// How long.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    chat: Duration,
    /// How often each of them sends a message.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// Be the server.
    #[arg(long, hide = true)]
    serve: bool,
}

/// What all users counted.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    /// Calls that failed.
    errors: AtomicU64,
    /// Connections that were lost without anybody's asking for it, each counted once.
    reconnects: AtomicU64,
    /// What the stream said to be lost.
    gaps: AtomicU64,
    /// Messages that came twice or out of order, or before ones that came never.
    out_of_order: AtomicU64,
    latency: Mutex<Latency>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Chat,
    /// Nobody sends any more.
    Quiet,
    End,
}

/// The server's process, ended when dropped.
struct Process(Child);

impl Process {
    /// Starts this very program as a server, and answers where it listens.
    fn start() -> anyhow::Result<(Self, String)> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut child = Command::new(program).arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let process = Self(child);
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        anyhow::ensure!(!address.is_empty(), "the server did not start");
        Ok((process, address.trim_end().to_owned()))
    }

    /// Resident memory in KiB.
    fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    if args.serve {
        serve().await?;
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(args.users as u64 + 100 < descriptors, "{descriptors} descriptors are too few: see ulimit -Hn");
    anyhow::ensure!(args.chatting <= args.users && args.channels > 0, "more users chat than there are");
    Ok(if run(&args).await? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Serves until the standard input ends.
async fn serve() -> anyhow::Result<()> {
    let server = Server::builder().project(AppId::new(APP_ID)?).bind("127.0.0.1:0").await?;
    println!("{}", server.local_addr());
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}

async fn run(args: &Args) -> anyhow::Result<bool> {
    let (process, address) = Process::start()?;
    let empty = process.resident()?;
    let started = Instant::now();
    let targets = [Wire::Native, Wire::Vendor].map(|wire| Target::new(format!("http://{address}"), APP_ID, wire));
    let users: Vec<User> = stream::iter(0..args.users)
        .map(async |number| targets[number % 2].log_in(&format!("user-{number}")).await)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    say(&format!("{} users logged in after {:.1} s", args.users, started.elapsed().as_secs_f64()))?;

    let counts = Arc::<Counts>::default();
    let (phase, phases) = watch::channel(Phase::Idle);
    let mut tasks = JoinSet::new();
    for (number, user) in users.into_iter().enumerate() {
        let channel = match number < args.chatting {
            true => Some(user.client.channel(format!("room-{}", number % args.channels))?),
            false => None,
        };
        let first = args.every.mul_f64(number as f64 / args.chatting.max(1) as f64);
        tasks.spawn(live(user, channel, [first, args.every], phases.clone(), Arc::clone(&counts)));
    }
    watch_memory(&process, args.idle, "idle").await?;
    let idle = process.resident()?;

    phase.send_replace(Phase::Chat);
    let memory = watch_memory(&process, args.chat, "chat").await?;
    phase.send_replace(Phase::Quiet);
    let members = |room: usize| (args.chatting + args.channels - 1 - room) / args.channels;
    let even = (1..args.channels).all(|room| members(room) == members(0));
    let sent = || counts.sent.load(Ordering::Relaxed);
    let missing =
        || (sent() * (members(0) as u64).saturating_sub(1)).saturating_sub(counts.received.load(Ordering::Relaxed));
    let quiet = Instant::now();
    while even && missing() > 0 && quiet.elapsed() < LAST_MESSAGES {
        sleep(Duration::from_millis(100)).await;
    }
    let missing = if even { missing() } else { 0 };
    phase.send_replace(Phase::End);
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }

    let bad = [
        ("errors", counts.errors.load(Ordering::Relaxed)),
        ("unexplained reconnects", counts.reconnects.load(Ordering::Relaxed)),
        ("gaps", counts.gaps.load(Ordering::Relaxed)),
        ("messages out of order", counts.out_of_order.load(Ordering::Relaxed)),
        ("messages missing", missing),
    ];
    let latency = counts.latency.lock().unwrap_or_else(PoisonError::into_inner);
    say(&format!("sent {}, received {}", sent(), counts.received.load(Ordering::Relaxed)))?;
    say(&format!(
        "sending took {:.1?} (median), {:.1?} (99 %), {:.1?} (longest)",
        latency.percentile(50.0),
        latency.percentile(99.0),
        latency.max()
    ))?;
    for (name, count) in bad {
        say(&format!("{name}: {count}"))?;
    }
    let [half, end] = [memory.len() / 2, memory.len() - 1].map(|at| memory[at]);
    let rise = end.saturating_sub(half);
    let each = rise as f64 * 1024.0 / args.users as f64;
    let is_settled = args.chat >= SETTLED * 2;
    let is_flat = (rise as f64) < half as f64 * MOST_RISE && each < MOST_BYTES_EACH;
    say(&format!(
        "server memory: {empty} KiB empty, {idle} KiB idle ({:.1} KiB a user), {half} KiB halfway, {end} KiB at the end",
        idle.saturating_sub(empty) as f64 / args.users as f64
    ))?;
    say(&format!(
        "second half of the chat: +{rise} KiB, {:.2} %, {each:.0} bytes a user: {}",
        rise as f64 * 100.0 / half as f64,
        match (is_settled, is_flat) {
            (false, _) => "the chat is too short to say whether it is flat",
            (true, true) => "flat",
            (true, false) => "NOT flat",
        }
    ))?;
    let held = bad.iter().all(|(_, count)| *count == 0) && (is_flat || !is_settled);
    say(if held { "all held" } else { "NOT all held" })?;
    Ok(held)
}

/// One user: takes what comes, and sends when it is time to.
async fn live(
    user: User,
    channel: Option<Channel>,
    [first, every]: [Duration; 2],
    mut phases: watch::Receiver<Phase>,
    counts: Arc<Counts>,
) {
    let User { client, mut events } = user;
    // The login itself.
    while events.try_recv().is_some() {}
    let mut last_of: BTreeMap<UserId, u64> = BTreeMap::new();
    let mut number = 0;
    let mut ticks = None;
    let error = || counts.errors.fetch_add(1, Ordering::Relaxed);
    loop {
        let tick = async {
            match &mut ticks {
                Some(ticks) => tokio::time::Interval::tick(ticks).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => counts.note(&event, &mut last_of),
                None => { error(); break }
            },
            _ = phases.changed() => { let phase = *phases.borrow_and_update(); match (phase, &channel) {
                (Phase::Chat, Some(channel)) => {
                    if channel.join().await.is_err() {
                        error();
                    }
                    // All have joined when the first sends.
                    let start = tokio::time::Instant::now() + JOINING + first;
                    let mut interval = interval_at(start, every);
                    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                    ticks = Some(interval);
                }
                (Phase::Quiet, _) => ticks = None,
                (Phase::End, _) => break,
                (Phase::Idle | Phase::Chat, _) => {}
            } },
            _ = tick => if let Some(channel) = &channel {
                number += 1;
                let sent = Instant::now();
                match channel.send_message(number.to_string()).await {
                    Ok(()) => { counts.sent.fetch_add(1, Ordering::Relaxed); }
                    Err(_) => { error(); }
                }
                counts.latency.lock().unwrap_or_else(PoisonError::into_inner).record(sent.elapsed());
            }
        }
    }
    if client.logout().await.is_err() {
        error();
    }
}

impl Counts {
    fn note(&self, event: &RtmEvent, last_of: &mut BTreeMap<UserId, u64>) {
        match event {
            RtmEvent::ChannelMessage { member_id, message, .. } => {
                self.received.fetch_add(1, Ordering::Relaxed);
                let number = message.as_text().and_then(|text| text.parse().ok()).unwrap_or(0);
                let last = last_of.insert(member_id.clone(), number).unwrap_or(0);
                if number != last + 1 {
                    self.out_of_order.fetch_add(1, Ordering::Relaxed);
                }
            }
            RtmEvent::ConnectionStateChanged { state, .. } if *state != ConnectionState::Connected => {
                self.reconnects.fetch_add(1, Ordering::Relaxed);
            }
            RtmEvent::Gap { .. } | RtmEvent::RestoreFailed { .. } => {
                self.gaps.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// The server's memory, over and over, in KiB.
async fn watch_memory(process: &Process, time: Duration, what: &str) -> anyhow::Result<Vec<u64>> {
    let started = Instant::now();
    let mut seen = vec![process.resident()?];
    while started.elapsed() < time {
        sleep((time / SAMPLES).max(Duration::from_millis(100))).await;
        seen.push(process.resident()?);
    }
    say(&format!("{what} for {:.0} s: {seen:?} KiB", started.elapsed().as_secs_f64()))?;
    Ok(seen)
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

const APP_ID: &str = "0123456789abcdef0123456789abcdef";
/// How many log in at once.
const AT_ONCE: usize = 64;
/// How long the chatting users may take to join their channels.
const JOINING: Duration = Duration::from_secs(10);
/// So long into the chat everything has been remembered and forgotten once: joining, and the 60 s for which a server
/// knows the messages of a sender.
const SETTLED: Duration = Duration::from_secs(75);
/// What memory may rise by in the second half of the chat, as a part of it and in bytes for each user.
const MOST_RISE: f64 = 0.01;
const MOST_BYTES_EACH: f64 = 100.0;
/// How long the last messages may take to arrive.
const LAST_MESSAGES: Duration = Duration::from_secs(10);
/// How often memory is looked at in each phase.
const SAMPLES: u32 = 12;
