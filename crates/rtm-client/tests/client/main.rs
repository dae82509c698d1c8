//! Clients against a real server in the same process, on both wires.

mod calls;
mod session;
mod support;
