//! Several cores as one: what users see of it, and the schedules that would break it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod attributes;
mod channel_attributes;
mod channel_moves;
mod channel_worlds;
mod channels;
mod claims;
mod converge;
mod drain_worlds;
mod draining;
mod events;
mod growth;
mod harness;
mod invitations;
mod leaving;
mod messages;
mod presence;
mod random;
mod requests;
mod rest;
mod restarted;
mod restrictions;
mod stored;
mod versions;
