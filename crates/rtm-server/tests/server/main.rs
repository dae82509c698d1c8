//! The server over real sockets, as clients, browsers and operators meet it.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

#[cfg(feature = "admin")]
mod admin;
mod bad_input;
mod config;
#[cfg(feature = "console")]
mod console;
mod drain;
#[cfg(all(feature = "admin", feature = "rest"))]
mod events;
#[cfg(feature = "webhooks")]
mod hooks;
mod http;
mod limits;
mod log;
#[cfg(feature = "tower-service")]
mod mounted;
#[cfg(all(feature = "admin", feature = "cluster", feature = "otlp", feature = "rest"))]
#[expect(dead_code, reason = "other tests kill its servers, and start them again")]
#[path = "../nats/mod.rs"]
mod nats;
#[cfg(feature = "admin")]
mod operating;
#[cfg(all(feature = "admin", feature = "otlp", feature = "rest"))]
mod otlp;
mod process;
#[cfg(feature = "rest")]
mod rest;
mod returning;
mod sockets;
mod store;
mod streams;
mod support;
mod tls;
#[cfg(feature = "webhooks")]
mod webhooks;
