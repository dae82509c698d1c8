//! What a connection wants done, and what the transport reports of a failed dial.

use std::sync::Arc;

use rtm_codec::{Answer, ClientFrame, CloseReason, Command, ErrorKind, RequestId, Text};

use crate::{Credentials, Deadline, RtmError, RtmEvent};

/// What [`poll_output`](crate::Connection::poll_output) returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect. Report back with `handle_opened` or `handle_dial_failed`.
    Dial(Dial),
    /// Send this frame on the open link. It is never a request.
    Send(ClientFrame),
    /// Send this request on the open link. The connection shares the command, to send it again if the link is lost.
    Request {
        /// Which.
        id: RequestId,
        /// What is asked for.
        command: Arc<Command>,
    },
    /// Send what was given before, then close the link with this reason's close code, or stop dialling. Report
    /// nothing of that link or dial any more.
    Hangup(CloseReason),
    /// Tell the user.
    Event(RtmEvent),
    /// `login` ended. Comes after the event of the state that it led to.
    LoginResult(Result<(), RtmError>),
    /// `logout` ended.
    LogoutResult(Result<(), RtmError>),
    /// A request of the user ended.
    Reply {
        /// Which.
        id: RequestId,
        /// What came of it.
        result: Result<Answer, RtmError>,
    },
    /// A new token is wanted: if the user gave a way to get one, get it and call `renew_token`.
    TokenNeeded,
    /// There is nothing to do until the next input, or until this deadline, when `handle_timeout` is to be called.
    Wait(Option<Deadline>),
}

/// A connection to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// For whom: the vendor's gateway asks.
    pub credentials: Credentials,
    /// How many attempts in a row this makes; the first is 1.
    pub attempt: u32,
    /// Whether this is the user's `login`, which then fails on an error without `retry`; else it is a reconnect.
    pub is_login: bool,
}

/// Why no link could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialError {
    /// What went wrong: [`ErrorKind::GatewayConnectFailed`], or what the gateway refused with.
    pub kind: ErrorKind,
    /// Whether trying again may help. A reconnect goes on anyway unless the user is banned.
    pub retry: bool,
    /// What exactly was wrong, for a person; possibly empty.
    pub detail: Text,
}
