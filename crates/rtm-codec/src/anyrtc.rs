//! The vendor's JSON wire, both halves: WebSocket text messages (spec: the wire) and the gateway's HTTP bodies.
//!
//! Every packet is one envelope, and one frame. Its content is JSON serialized into a string, in which
//! some fields are JSON serialized into a string again; both are written and read in one pass, without
//! the strings in between.
//!
//! What the vendor's wire has no word for goes in fields of our own, which its SDK and servers ignore:
//! refusals of calls whose answers have no number, what became of a message beyond "received or not",
//! and the like. Between our client and our server the wire so loses little; what it cannot carry at
//! all (binary messages, revisions, resuming) is refused.

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
mod server;
mod shapes;

pub use client::ClientCodec;
pub use server::ServerCodec;
