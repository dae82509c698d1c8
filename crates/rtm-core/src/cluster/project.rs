//! What the cores of one project say to each other.

use bytes::Bytes;
use rtm_codec::{InstanceId, SessionId, SessionTicket, UserId};

/// One thing that a core says to the core of the same project on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectParcel {
    /// A user logs in here, whose session is there.
    Ask(Ask),
    /// What becomes of that session.
    Verdict {
        /// The claim that asked.
        claim: u64,
        /// What becomes of it.
        verdict: Verdict,
    },
    /// A part of a packed session, in order behind its [`Verdict::Moves`].
    Pack {
        /// The claim that asked.
        claim: u64,
        /// The part.
        bytes: Bytes,
    },
    /// The claim for a user has come to its end: the session there is over, or is here now.
    Took {
        /// Whose.
        user_id: UserId,
        /// The session that the user's entry names now.
        session: SessionId,
        /// The revision of the entry.
        revision: u64,
    },
}

/// Who logs in on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// To name the answer with.
    pub claim: u64,
    /// Who.
    pub user_id: UserId,
    /// The client object.
    pub instance: InstanceId,
    /// The session that it wants to resume.
    pub ticket: Option<SessionTicket>,
    /// Whether its token is over, so that it is let in only where its session has a newer one.
    pub is_token_over: bool,
}

/// What becomes of the session that a user has on the node that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is none.
    NotHere,
    /// It moves: so many bytes follow. It stands still until it is taken.
    Moves {
        /// How many bytes the packed session has.
        bytes: u32,
    },
    /// It ends when another takes its place.
    Ends {
        /// The sessions that the user's next one puts an end to, oldest first: this one is the last.
        ousted: Vec<OustedSession>,
    },
    /// The client that logs in lost its session to this one, and does not come in.
    Ousted,
    /// The client's token is over, and this session is not its own.
    TokenOver,
}

/// A session that was put an end to by another one of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OustedSession {
    /// Which.
    pub session: SessionId,
    /// Whose client object.
    pub instance: InstanceId,
    /// Whether its client has been told, or could be.
    pub was_told: bool,
}
