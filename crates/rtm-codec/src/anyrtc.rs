//! The vendor's JSON wire, both halves: WebSocket text messages and the gateway's HTTP bodies. What its SDK does over time
//! is in `docs/rtm.md#the-vendors-sdk`.
//!
//! Every packet is one envelope, and one frame. Its content is JSON serialized into a string, in which
//! some fields are JSON serialized into a string again; both are written and read in one pass, without
//! the strings in between.
//!
//! Some things have no field on the vendor's wire: refusals of calls whose answers have no number, what became of a
//! message beyond "received or not". They go in fields of our own, which the vendor's SDK and servers ignore, so that
//! little is lost between our client and our server. What no field can carry (binary messages, revisions, resuming) is
//! refused.

mod answers;
mod client;
mod cmd;
mod commands;
mod envelope;
mod events;
mod fields;
pub mod gateway;
mod lists;
mod reader;
mod receipts;
mod requests;
pub mod rest;
mod server;
mod shapes;

pub use client::ClientCodec;
pub use server::ServerCodec;
