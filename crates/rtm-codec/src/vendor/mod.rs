//! The vendor's JSON wire, both halves: WebSocket text messages (spec: the wire) and the gateway's HTTP bodies.

mod client;
pub mod gateway;
mod server;

pub use client::ClientCodec;
pub use server::ServerCodec;
