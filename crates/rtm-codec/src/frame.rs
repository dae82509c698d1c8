//! The frames that client and server exchange, whichever wire carries them.

#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "both sides of both wires fill in and read every field: a new one that one of them passes over must not compile"
)]

use bytes::Bytes;

use crate::{
    Abilities, Answer, AppId, CallLimits, CloseReason, Command, Epoch, Event, InstanceId, Refusal, RequestId, Seq,
    SessionId, Text, Token, UserId,
};

/// One WebSocket message: WebSocket has these two and no third.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A text message (the vendor's wire).
    Text(Text),
    /// A binary message (the native wire).
    Binary(Bytes),
}

impl Packet {
    /// The packet without its bytes' ownership.
    #[must_use]
    pub fn as_ref(&self) -> PacketRef<'_> {
        match self {
            Self::Text(text) => PacketRef::Text(text),
            Self::Binary(bytes) => PacketRef::Binary(bytes),
        }
    }
}

/// A [`Packet`] that lies in its codec's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketRef<'a> {
    /// A text message (the vendor's wire).
    Text(&'a str),
    /// A binary message (the native wire).
    Binary(&'a [u8]),
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientFrame {
    /// Who is there. The first frame of a connection, and no later one.
    Login(Box<Login>),
    /// A call that the server answers with exactly one [`ServerFrame::Reply`] of the same id.
    Request {
        /// The client's number for it.
        id: RequestId,
        /// What to do.
        command: Command,
    },
    /// A call that could be recognised but not taken: its arguments break the rules.
    /// Never sent; a decoder makes it, so that the server can refuse the call and go on. Number 0 is the
    /// login itself: the refusal is then a [`ServerFrame::Refused`], and the connection ends.
    BadRequest {
        /// The number to refuse.
        id: RequestId,
        /// What was wrong.
        refusal: Refusal,
    },
    /// How far the client is.
    Ack {
        /// Every event up to this one has reached the device.
        received: Seq,
        /// Every event up to this one was taken by the application.
        consumed: Seq,
        /// Every request below this one is answered.
        answered: RequestId,
    },
    /// Every event up to this one is written to the socket, and the client acknowledged all of them that its wire
    /// lets it acknowledge. Never sent, and no sign of life: the server's codec of the vendor's wire makes it, since
    /// most events have no acknowledgement there.
    Written {
        /// The last of them.
        up_to: Seq,
    },
    /// Are you there?
    Ping,
    /// The answer to [`ServerFrame::Ping`].
    Pong,
    /// The user leaves for good.
    Logout,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerFrame {
    /// The login is taken.
    Welcome(Box<Welcome>),
    /// The login is refused; the connection ends.
    Refused(Refusal),
    /// The answer to a request.
    Reply {
        /// Which request.
        id: RequestId,
        /// What came of it.
        result: Result<Answer, Refusal>,
    },
    /// Something happened.
    Event {
        /// Where in the session's stream.
        seq: Seq,
        /// What.
        event: Event,
    },
    /// Are you there?
    Ping,
    /// The answer to [`ClientFrame::Ping`].
    Pong,
    /// The connection ends now.
    Close(CloseReason),
}

/// A client's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The project.
    pub app_id: AppId,
    /// Who logs in; `None` lets a server without certificate choose (vendor's wire only).
    pub user_id: Option<UserId>,
    /// The access token, where the project needs one.
    pub token: Option<Token>,
    /// The client object.
    pub instance: InstanceId,
    /// The session to go on with.
    pub resume: Option<Resume>,
    /// Who asks for signs of life, and how often.
    pub keep_alive: KeepAlive,
    /// How many events the server may send beyond the last one consumed. 0: no such limit.
    pub window: u32,
    /// What the client's wire can do, and what the client does by itself.
    pub abilities: Abilities,
    /// The gateway's session id on the vendor's wire: it opens the HTTP endpoints to this session.
    pub gateway_session: Option<Text>,
}

/// Where a client wants to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The session and its stream.
    pub ticket: SessionTicket,
    /// The last event that the client has; the next one is wanted.
    pub received: Seq,
    /// The last event that the application took.
    pub consumed: Seq,
    /// Every request below this one is answered.
    pub answered: RequestId,
}

/// Who asks for signs of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepAlive {
    /// The client pings at least this often.
    Client {
        /// Milliseconds between two pings.
        interval_ms: u32,
    },
    /// The server pings at least this often, and the client answers.
    Server {
        /// Milliseconds between two pings.
        interval_ms: u32,
    },
}

/// A server's answer to a good login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Who is logged in.
    pub user_id: UserId,
    /// What to resume with later; `None` where the wire has no resuming (the vendor's).
    pub ticket: Option<SessionTicket>,
    /// What became of the session that the client had.
    pub resumption: Resumption,
    /// Milliseconds until the token ends, where there is one and the wire tells.
    pub token_expires_in_ms: Option<u64>,
    /// The server's clock, in milliseconds since the Unix epoch; 0 where the wire does not tell.
    pub server_time_ms: u64,
    /// How often each call may be made, where the wire tells and the server has its own figures.
    pub limits: Option<CallLimits>,
}

/// A session and the stream in it that a [`Seq`] counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionTicket {
    /// The session.
    pub session: SessionId,
    /// Its stream.
    pub epoch: Epoch,
}

impl SessionTicket {
    /// What a server knows the stream `epoch` of a session by.
    #[must_use]
    pub fn new(session: SessionId, epoch: Epoch) -> Self {
        Self { session, epoch }
    }
}

/// What became of the session that a client had when it logs in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resumption {
    /// This is a new session; the client restores what it wants, and earlier events are lost.
    New,
    /// Everything is as it was; events after the last received one follow.
    Resumed,
    /// The user was away for more than the 30 s after which a server takes it out of its channels. Events follow and
    /// subscriptions are kept; the client joins its channels and writes its attributes again.
    Lapsed,
}
