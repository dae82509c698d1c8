//! When sessions move, and how: one is packed and unpacked again, or all of them go on in a new core.

use std::time::Duration;

use crate::rng::Rng;

/// When sessions move, drawn apart from everything else: the world is the same whether they do or not.
#[derive(Debug)]
pub(crate) struct Moving {
    pub(crate) rng: Rng,
    pub(crate) every: Option<Duration>,
    pub(crate) kind: Moves,
}

/// What happens to a session when it is to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moves {
    /// It loses its connection, as one that moves does, and stays.
    Stays,
    /// It is packed, and unpacked in the same core.
    Returns,
    /// The same, or all of them go on in a new core.
    Anywhere,
}

impl Moving {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed ^ SALT), every: None, kind: Moves::Anywhere }
    }

    /// Whether the world is to be the same, to the nanosecond, as one in which the sessions stay.
    pub(crate) fn is_exact(&self) -> bool {
        self.kind != Moves::Anywhere
    }
}

/// Draws of the moves are not those of the world.
const SALT: u64 = 0x6d6f_7665_6d6f_7665;
