//! The server over real sockets, as clients, browsers and operators meet it.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod bad_input;
mod config;
mod drain;
mod http;
mod limits;
mod log;
mod process;
mod returning;
mod sockets;
mod store;
mod support;
mod tls;
