//! Many users logged in and chatting on `rtm serve`: nothing may go wrong, and its memory has to be flat.
//!
//! **Flat** means: from the middle of the chat to its end the server's resident memory rises by less than 1 % and by
//! less than 100 bytes for each user. In the first 75 s it has to rise: the chatting users join their channels, and the
//! server remembers each message id of a sender for 60 s, about 80 bytes each. What is still small then and grows for
//! ever shows in the second half. A chat of less than 150 s is too short to say.
//!
//! With thousands of users, for minutes; `SOAK` holds the settings that are not to be the default:
//!
//! ```sh
//! SOAK='--chat 10m' cargo test --release -p rtm-cli --test soak -- --ignored --nocapture
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is the failure itself")]

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use clap::Parser as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rtm_client::Wire;
use rtm_load::{Target, User};
use tokio::{sync::watch, task::JoinSet, time::sleep};

mod server;
mod users;

use server::{APP_ID, Server};
use users::{Counts, Pace, Phase, live};

/// Keep many users logged in, and let some of them chat.
#[derive(Debug, Clone, clap::Parser)]
struct Soak {
    /// How many users log in, every other one on the vendor's wire.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// How long all of them are idle.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// How many of them chat then.
    #[arg(long, default_value_t = 5000)]
    chatting: usize,
    /// In how many channels. Each has equally many members.
    #[arg(long, default_value_t = 500)]
    channels: usize,
    /// How long.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    chat: Duration,
    /// How often each of them sends a message.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    every: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_users_chat_for_seconds() {
    let (idle, chat, every) = (Duration::ZERO, Duration::from_secs(3), Duration::from_millis(200));
    run(&Soak { users: 40, idle, chatting: 20, channels: 4, chat, every }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and all of the machine"]
async fn thousands_of_users_chat_for_minutes() {
    let settings = std::env::var("SOAK").unwrap_or_default();
    let soak = Soak::try_parse_from(std::iter::once("SOAK").chain(settings.split_whitespace()));
    run(&soak.unwrap_or_else(|error| panic!("{error}"))).await;
}

/// Panics if anything went wrong, having told everything.
async fn run(soak: &Soak) {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(soak.users as u64 + 100 < descriptors, "{descriptors} descriptors are too few: see ulimit -Hn");
    let are_even = soak.channels > 0 && soak.chatting.is_multiple_of(soak.channels);
    assert!(soak.chatting <= soak.users && are_even, "each channel needs equally many of the users");

    let server = Server::start();
    let empty = server.resident();
    let started = Instant::now();
    let targets = [Wire::Native, Wire::Vendor].map(|wire| Target::new(server.gateway.clone(), APP_ID, wire));
    let users: Vec<User> = stream::iter(0..soak.users)
        .map(async |number| targets[number % 2].log_in(&format!("user-{number}")).await)
        .buffered(AT_ONCE)
        .try_collect()
        .await
        .unwrap();
    println!("{} users logged in after {:.1} s", soak.users, started.elapsed().as_secs_f64());

    let counts = Arc::<Counts>::default();
    let (phase, phases) = watch::channel(Phase::Idle);
    let mut tasks = JoinSet::new();
    let joining = (JOINING_EACH * soak.chatting as u32).max(JOINING_LEAST);
    for (number, user) in users.into_iter().enumerate() {
        let channel = (number < soak.chatting).then(|| {
            let channel = user.client.channel(format!("room-{}", number % soak.channels));
            channel.unwrap()
        });
        let first = joining + soak.every.mul_f64(number as f64 / soak.chatting.max(1) as f64);
        let pace = Pace { first, every: soak.every };
        tasks.spawn(live(user, channel, pace, phases.clone(), Arc::clone(&counts)));
    }
    server.watch(soak.idle, "idle").await;
    let idle = server.resident();
    println!("memory of a user: {:.1} KiB", idle.saturating_sub(empty) as f64 / soak.users as f64);

    phase.send_replace(Phase::Chat);
    let memory = server.watch(soak.chat, "chat").await;
    phase.send_replace(Phase::Quiet);
    let others = (soak.chatting / soak.channels).saturating_sub(1) as u64;
    let sent = || counts.sent.load(Ordering::Relaxed);
    let missing = || (sent() * others).saturating_sub(counts.received.load(Ordering::Relaxed));
    let quiet = Instant::now();
    while missing() > 0 && quiet.elapsed() < LAST_MESSAGES {
        sleep(Duration::from_millis(100)).await;
    }
    let missing = missing();
    phase.send_replace(Phase::End);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let latency = counts.latency.lock().unwrap_or_else(PoisonError::into_inner);
    let [median, most, longest] = [latency.percentile(50.0), latency.percentile(99.0), latency.max()];
    println!("sent {}, received {}", sent(), counts.received.load(Ordering::Relaxed));
    println!("sending took {median:.1?} (median), {most:.1?} (99 %), {longest:.1?} (longest)");
    let is_flat = is_flat(&memory, soak);
    let wrong = [
        ("failed calls", counts.errors.load(Ordering::Relaxed)),
        ("unexplained reconnects", counts.reconnects.load(Ordering::Relaxed)),
        ("gaps", counts.gaps.load(Ordering::Relaxed)),
        ("messages out of order", counts.out_of_order.load(Ordering::Relaxed)),
        ("messages missing", missing),
    ];
    println!("{wrong:?}");
    assert!(sent() > 0, "nobody sent anything");
    assert!(wrong.iter().all(|(_, count)| *count == 0), "{wrong:?}");
    assert!(is_flat || soak.chat < SETTLED * 2, "memory is not flat: {memory:?} KiB");
}

/// Tells how memory rose in the second half of the chat.
fn is_flat(memory: &[u64], soak: &Soak) -> bool {
    let [half, end] = [memory.len() / 2, memory.len() - 1].map(|at| memory[at]);
    let rise = end.saturating_sub(half) as f64;
    let (share, each) = (rise / half as f64, rise * 1024.0 / soak.users as f64);
    println!("second half of the chat: +{rise} KiB, {:.2} %, {each:.0} bytes a user", share * 100.0);
    share < MOST_RISE && each < MOST_BYTES_EACH
}

/// How many log in at once.
const AT_ONCE: usize = 64;
/// How long the chatting users may take to join their channels: a while for each of them.
const JOINING_EACH: Duration = Duration::from_millis(2);
const JOINING_LEAST: Duration = Duration::from_secs(1);
/// So long into the chat everything has been remembered and forgotten once: joining, and the 60 s for which a server
/// knows the messages of a sender.
const SETTLED: Duration = Duration::from_secs(75);
/// What memory may rise by in the second half of the chat, as a part of it and in bytes for each user.
const MOST_RISE: f64 = 0.01;
const MOST_BYTES_EACH: f64 = 100.0;
/// How long the last messages may take to arrive.
const LAST_MESSAGES: Duration = Duration::from_secs(10);
