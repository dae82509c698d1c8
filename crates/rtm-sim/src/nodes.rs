//! Nodes of a cluster, without projects: a world of their own, in which the engine and the bus behave as badly as real
//! ones do.

mod bus;
mod chaos;
mod check;
mod engine;
#[cfg(test)]
mod tests;
mod ways;
mod world;

pub(crate) use self::{
    bus::Badness,
    chaos::{Mishap, Trouble},
    check::Ledger,
    engine::{Engine, Kept, Lies, Said, key_of},
    ways::{Carried, ToEngine, WAY, Ways},
};
pub use self::{
    chaos::{NodesOutcome, run_nodes},
    check::{NodesInvariant, NodesViolation},
    world::NodesCounts,
};
