//! Clients against a real server in the same process, on both wires.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod calls;
mod connectors;
mod gateways;
mod links;
mod proxies;
mod session;
mod support;
mod tokens;
