//! What the cores of one project say to each other of call invitations. The session of the caller decides about one.

use rtm_codec::{CallId, Event, SessionId, Text};

/// One thing that a session has to say to a user of an invitation between them.
#[derive(Debug, Clone, PartialEq)]
pub enum CallMessage {
    /// To the callee: it is invited.
    Offer {
        /// The invitation.
        call_id: CallId,
        /// Tells it from others of the same caller and id.
        number: u32,
        /// What its caller says.
        content: Text,
        /// The caller's session.
        session: SessionId,
    },
    /// To the callee: its invitation is over.
    Over {
        /// The session that was given it.
        session: Option<SessionId>,
        /// Tells it from others of the same caller.
        number: u32,
        /// What its client is told.
        event: Event,
    },
    /// To the caller: the callee's device has it.
    Received {
        /// The invitation.
        call_id: CallId,
        /// Tells it from others of the same caller and id.
        number: u32,
        /// The callee's session.
        session: SessionId,
    },
    /// To the caller: the callee answers it.
    Answered {
        /// The invitation.
        call_id: CallId,
        /// The callee's session.
        session: SessionId,
        /// How.
        answer: CallAnswer,
    },
}

/// How a callee answers an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallAnswer {
    /// It comes, and says this.
    Accepted(Text),
    /// It does not, and says this.
    Refused(Text),
    /// It does not, and said something that may not be said.
    GivenUp,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The user's session has it.
    Taken(SessionId),
    /// The user's session does not take it: it has no room, or the invitation is over.
    NotTaken,
    /// The user is not there, though its session is.
    Away,
    /// The user has no session on this node.
    NotHere,
}
