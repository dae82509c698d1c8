//! The list of candidates: how each is started and measured.

use rtm_load::Latency;

use crate::{
    nats::Nats,
    ours::Ours,
    process::{Server, installed},
    raw::Raw,
    redis_pubsub::Redis,
    rival::{Load, Rival, Throughput, idle, round_trips, throughput},
    websocket::{Batched, Naive},
};

/// A message system that can be started and measured.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) start: fn() -> anyhow::Result<Server>,
    pub(crate) throughput: fn(&Server, Load) -> anyhow::Result<Throughput>,
    pub(crate) round_trips: fn(&Server, usize, u64) -> anyhow::Result<Latency>,
    pub(crate) idle: fn(&Server, usize, usize) -> anyhow::Result<(f64, f64)>,
}

/// All of them that are installed, and the names of the rest.
pub(crate) fn candidates() -> (Vec<Candidate>, Vec<&'static str>) {
    let mut all = vec![
        candidate::<Ours>(OURS, || Server::own("rtm")),
        candidate::<Batched>(BATCHED, || Server::own("batched")),
        candidate::<Naive>(NAIVE, || Server::own("naive")),
        candidate::<Raw>(RAW, || Server::own("raw")),
    ];
    let mut missing = Vec::new();
    match installed("nats-server") {
        Some(_) => all.push(candidate::<Nats>(NATS, nats)),
        None => missing.push("nats-server"),
    }
    match installed("redis-server") {
        Some(_) => all.push(candidate::<Redis>(REDIS, redis)),
        None => missing.push("redis-server"),
    }
    (all, missing)
}

fn candidate<R: Rival>(name: &'static str, start: fn() -> anyhow::Result<Server>) -> Candidate {
    Candidate { name, start, throughput: throughput::<R>, round_trips: round_trips::<R>, idle: idle::<R> }
}

fn nats() -> anyhow::Result<Server> {
    start_installed("nats-server", |port| {
        ["-a", "127.0.0.1", "-p"].map(String::from).into_iter().chain([port.to_string()]).collect()
    })
}

fn redis() -> anyhow::Result<Server> {
    start_installed("redis-server", |port| {
        let fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxclients", "15000", "--port"];
        fixed.map(String::from).into_iter().chain([port.to_string()]).collect()
    })
}

fn start_installed(program: &str, args: impl Fn(u16) -> Vec<String>) -> anyhow::Result<Server> {
    let path = installed(program).ok_or_else(|| anyhow::anyhow!("{program} is not installed"))?;
    Server::other(&path, args)
}

pub(crate) const OURS: &str = "RTM for Rust";
pub(crate) const BATCHED: &str = "WebSocket relay, batched";
pub(crate) const NAIVE: &str = "WebSocket relay, naive";
pub(crate) const RAW: &str = "raw TCP relay";
pub(crate) const NATS: &str = "NATS";
pub(crate) const REDIS: &str = "Redis";
