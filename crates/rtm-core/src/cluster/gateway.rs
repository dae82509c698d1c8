//! What the cores of one project say to each other of the vendor's HTTP requests, which may come to another node than that of
//! the session: its node decides, and the other one reads the store and answers.

use rtm_codec::{QueryHistory, Refusal, Text, UserId};

/// One thing that is said of a request, under the number that the node has given it to which it came.
#[derive(Debug, Clone, PartialEq)]
pub enum GatewayWord {
    /// To the node of a session: may its client have this?
    Ask {
        /// Whose session.
        user_id: UserId,
        /// The session id that the gateway gave.
        session: Text,
        /// What is asked for.
        wanted: Wanted,
    },
    /// It may.
    May,
    /// It has everything already.
    Nothing,
    /// It may not.
    Refused(Refusal),
    /// To the node of the session: these stored messages are to be written to its client.
    Given {
        /// Where they are in the store.
        places: Vec<u64>,
        /// Whether it is a page, whose arrival the client confirms by asking for the next one.
        is_page: bool,
    },
    /// It has taken note of them: they may be written.
    Noted,
    /// To the same: the client gets none of them now.
    NotGiven,
    /// To the same: the answer was written as a whole, or its connection broke before that.
    Ended {
        /// Whether it was written.
        is_written: bool,
    },
}

/// What a client asks for over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// The messages that are stored for it.
    StoredMessages {
        /// Where the page before ended, which the client has.
        after: Option<u64>,
    },
    /// A page of a history.
    History(QueryHistory),
}
