//! What the engine keeps of users: where the session of each is.

use rtm_codec::{SessionId, UserId};

use super::names::NodeId;

/// Where a user's session is. The engine keeps one entry for each user, and a conditional write of it alone decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// The node that has the session.
    pub node: NodeId,
    /// Which session.
    pub session: SessionId,
    /// The epoch of the view that the node had when it wrote this.
    pub epoch: u64,
}

/// A user's entry, as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    /// The entry; `None` if there is none, or none any more.
    pub entry: Option<UserEntry>,
    /// The revision that the next write must name; 0 if there never was an entry.
    pub revision: u64,
}

/// Something to ask of the engine. Each is answered once, in any order, with [`Core::handle_engine`](crate::Core::handle_engine).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineJob {
    /// To name its answer with.
    pub id: EngineJobId,
    /// Whose entry.
    pub user_id: UserId,
    /// What to do with it.
    pub work: EngineWork,
}

/// The number of an [`EngineJob`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineJobId(pub u64);

/// What to do with a user's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineWork {
    /// To read it where writes are decided. Answered with [`EngineAnswer::Read`].
    Read,
    /// To write it, or to remove it, if its revision is still this one. Answered with [`EngineAnswer::Written`] or
    /// [`EngineAnswer::Conflict`].
    Write {
        /// The entry; `None` removes the present one.
        entry: Option<UserEntry>,
        /// The revision that it must have.
        expected: u64,
    },
}

/// What came of an [`EngineJob`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAnswer {
    /// The entry is this.
    Read(Revised),
    /// It was written, and has this revision now.
    Written(u64),
    /// It has another revision, and nothing was written.
    Conflict,
    /// Nobody knows: no answer came in time. A write may have been done, or may yet be.
    Unknown,
}
