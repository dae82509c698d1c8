//! Nodes of a cluster, without projects: a world of their own, in which the engine and the bus behave as badly as real
//! ones do.

mod bus;
mod chaos;
mod check;
mod engine;
#[cfg(test)]
mod tests;
mod world;

pub use self::{
    chaos::{NodesOutcome, run_nodes},
    check::{NodesInvariant, NodesViolation},
    world::NodesCounts,
};
