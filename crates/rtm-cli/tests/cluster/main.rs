//! Several `rtm serve` as one, on real servers of NATS. They need `nats-server`: NATS_SERVER names it, and
//! `cargo test -p rtm-cli --test cluster -- --ignored --test-threads 1` runs them.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod accounts;
mod back_ends;
mod chat;
mod failures;
mod nats;
mod nats_outages;
mod nodes;
mod operator;
mod outages;
mod partitions;
mod relay;
mod rolling;
mod security;
mod start;
mod together;
#[path = "../users/mod.rs"]
mod users;
