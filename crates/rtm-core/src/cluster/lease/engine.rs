//! What a node asks of the engine for its lease and the view, and what comes of that.

use bytes::Bytes;

use crate::cluster::names::NodeName;

/// The number of a question to the engine; no two of one node are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub(super) u64);

/// A key of the engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKey {
    /// The view.
    View,
    /// The lease of the node with this name.
    Node(NodeName),
}

/// A question to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineOp {
    /// Write, if the key has this revision: 0 if it is not there. This must be decided once for all nodes.
    Write {
        /// Where.
        key: EngineKey,
        /// What.
        value: Bytes,
        /// The revision that the key has to have.
        expected: u64,
    },
    /// Read at the leader. An old value does no harm, but delays.
    Read {
        /// Where.
        key: EngineKey,
    },
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Rises with each write of the key.
    pub revision: u64,
    /// The value.
    pub value: Bytes,
}

/// What came of a question to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is written, under this revision.
    Written(u64),
    /// It holds this; `None` if it is not there.
    Found(Option<Stored>),
    /// It had another revision, or another write of it is under way: even one's own.
    Conflict,
    /// Nobody knows.
    TimedOut,
    /// It was not done: nobody is there who could.
    NoResponders,
}
