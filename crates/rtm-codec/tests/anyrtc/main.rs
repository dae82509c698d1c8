//! The vendor's wire, from outside: packets in, frames out, and back.
#![expect(clippy::unwrap_used, reason = "a panic here is the failure itself")]

mod gateway;
mod hostile;
mod properties;
mod refusals;
mod sdk;
mod support;
mod surrogates;
mod tables;
