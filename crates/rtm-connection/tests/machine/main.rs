//! The connection against a scripted server, in virtual time: one protocol fact a test.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod acks;
mod attributes;
mod channels;
mod gateway;
mod gateways;
mod invitations;
mod keep_alive;
mod limits;
mod login;
mod logout;
mod network_changed;
mod peer;
mod presence;
mod properties;
mod reconnect;
mod refused_token;
mod requests;
mod resume;
mod stream;
mod token;
mod world;
