//! The native wire from outside: its bytes, its limits, and what it does with bytes that are none of its.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod bincode;
mod frames;
mod limits;
mod meaning;
mod page;
mod properties;
mod samples;
mod vectors;
