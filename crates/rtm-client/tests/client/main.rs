//! Clients against a real server in the same process, on both wires.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod calls;
mod gateways;
mod links;
mod session;
mod support;
mod tokens;
