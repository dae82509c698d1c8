//! What a connection wants done, and what the transport reports when that fails.

#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "a driver carries out every output and fills in every field: a new one that it passes over must not compile"
)]

use std::{error::Error, fmt, sync::Arc};

use rtm_codec::{
    Answer, ClientFrame, CloseReason, Command, RequestId, Text,
    anyrtc::gateway::{Address, GatewayRequest},
};

use crate::{Deadline, RtmError, RtmEvent, failure::Failure};

/// What [`poll_output`](crate::Connection::poll_output) returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a WebSocket there. Report back with `handle_opened` or `handle_dial_failed`. An earlier dial that has not
    /// ended is over.
    Dial(Target),
    /// Send this frame on the open link. It is never a request.
    Send(ClientFrame),
    /// Send this request on the open link. The connection shares the command, to send it again if the link is lost.
    Request {
        /// Which.
        id: RequestId,
        /// What is asked for.
        command: Arc<Command>,
    },
    /// Make this HTTP request to a gateway. Report back with `handle_asked`.
    Ask {
        /// Which.
        id: AskId,
        /// Whom: the gateway's place in [`Config::gateways`](crate::Config::gateways).
        gateway: usize,
        /// What is asked for.
        request: Box<GatewayRequest>,
    },
    /// Nobody waits for this answer any more: end the HTTP request.
    CancelAsk(AskId),
    /// Messages that were stored while the user was offline could not be fetched: they stay on the server until the
    /// next login. For a log.
    StoredMessagesLeft {
        /// Why, for a person.
        detail: Text,
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
    /// Ask the user's token provider for a token, with [`Config::token_provider`](crate::Config::token_provider).
    /// Report back with `handle_token`. An earlier question that has no answer is over.
    FetchToken,
    /// There is nothing to do until the next input, or until this deadline, when `handle_timeout` is to be called.
    Wait(Option<Deadline>),
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The gateway at this place in [`Config::gateways`](crate::Config::gateways).
    Gateway(usize),
    /// A server that a gateway named.
    Server {
        /// The gateway's place in [`Config::gateways`](crate::Config::gateways).
        gateway: usize,
        /// Where the server is.
        address: Address,
    },
}

/// The number of an HTTP request to the gateway; no two of one connection are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskId(pub(crate) u64);

/// Why the transport could not do what it was to do.
#[derive(Debug, Clone)]
pub struct TransportError {
    /// Whether trying again may help. A reconnect goes on anyway.
    pub retry: bool,
    /// What exactly was wrong, for a person; possibly empty. It does not say what the source says.
    pub detail: Text,
    /// The error behind it.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

/// With its sources, in one line.
impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Failure::from(self.clone()).in_full())
    }
}

impl From<TransportError> for Failure {
    fn from(TransportError { retry: _, detail, source }: TransportError) -> Self {
        Self { detail, source }
    }
}
