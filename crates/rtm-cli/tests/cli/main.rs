//! `rtm` from outside, as people and scripts use it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure itself")]

mod addresses;
mod admin;
mod arguments;
mod bench;
mod chat;
mod config;
mod demo;
mod help;
#[allow(dead_code, reason = "other tests kill its servers")]
#[path = "../../../rtm-server/tests/nats/mod.rs"]
mod nats;
mod pipes;
mod quotas;
mod reload;
mod serve;
mod store;
mod support;
mod systemd;
mod talk;
mod token;
mod values;
