//! The rules of the server core, one fact a test, with typed frames and virtual time.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod admin;
mod attributes;
mod channel;
mod clock;
mod events;
mod flow;
mod harness;
mod history;
mod http;
mod invitations;
mod keep_alive;
mod limits;
mod login;
mod messages;
mod moving;
mod offline;
mod presence;
mod quotas;
mod random;
mod reconfigure;
mod rest;
mod restrictions;
mod resume;
mod returning;
mod robustness;
mod store;
mod subscriptions;
mod takeover;
mod tokens;
