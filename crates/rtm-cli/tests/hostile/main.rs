//! `rtm serve` among hostile and unlucky peers: whatever they do, others notice nothing, and when they are gone memory
//! and descriptors are where they were.
#![allow(clippy::unwrap_used, reason = "a panic is the failure itself")]

mod away;
mod churn;
mod descriptors;
mod floods;
mod frames;
mod handshakes;
mod kill;
mod proxy;
mod raw;
mod secrets;
mod server;
mod stalled;
mod storm;
mod witnesses;
