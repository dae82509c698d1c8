//! The bodies of the vendor's HTTP endpoints, both halves: which server to connect to, stored messages, histories.

use crate::{
    AppId, ChannelId, DecodeError, ErrorKind, HistoryCursor, HistoryPage, PeerMessage, Refusal, Text, Token, UserId,
};

/// The vendor's HTTP endpoints, all of them `POST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Which server to connect to, and may this user.
    Gateway,
    /// What was stored while the user was offline.
    OfflineMessages,
    /// What was sent to a channel.
    ChannelHistory,
    /// What two users sent to each other.
    PeerHistory,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayRequest {
    /// Which server to connect to.
    Connect {
        /// The project.
        app_id: AppId,
        /// Who; `None` lets a server without certificate choose at login.
        user_id: Option<UserId>,
        /// The access token.
        token: Option<Token>,
        /// Whether addresses for `wss` are wanted.
        tls: bool,
    },
    /// The messages stored for this user.
    OfflineMessages {
        /// Who asks.
        caller: Caller,
    },
    /// A page of a channel's history.
    ChannelHistory {
        /// Who asks.
        caller: Caller,
        /// Of which channel.
        channel_id: ChannelId,
        /// Which part of it.
        page: PageRequest,
    },
    /// A page of the history with a peer.
    PeerHistory {
        /// Who asks.
        caller: Caller,
        /// With whom.
        peer_id: UserId,
        /// Which part of it.
        page: PageRequest,
    },
}

/// Who asks an endpoint after login: the session id proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The project.
    pub app_id: AppId,
    /// The user.
    pub user_id: UserId,
    /// The session id that the gateway gave, and that the login named.
    pub session: Text,
}

/// Which part of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Not older than this, in milliseconds since the Unix epoch.
    pub from_ts: u64,
    /// Older than this.
    pub until_ts: u64,
    /// Where the page before ended.
    pub after: Option<HistoryCursor>,
    /// At most this many, 1 to 100.
    pub limit: u32,
}

/// What the server answers, always with HTTP status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayAnswer {
    /// Connect to one of these, in order.
    Connect {
        /// The session id for `Login` and the other endpoints.
        session: Text,
        /// Where to.
        addresses: Vec<Address>,
    },
    /// The stored messages, oldest first.
    OfflineMessages(Vec<PeerMessage>),
    /// A page of a history.
    History(HistoryPage),
    /// Not now: ask again in two seconds.
    TryAgain,
    /// No.
    Refused(ErrorKind),
}

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address.
    pub host: Text,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint that a request's path and query name.
    #[must_use]
    pub fn find(_path: &str, _query: Option<&str>) -> Option<Self> {
        None
    }

    /// Path and query, as a client asks for it.
    #[must_use]
    pub fn path_and_query(self) -> &'static str {
        ""
    }
}

impl GatewayRequest {
    /// Which endpoint takes it.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Connect { .. } => Endpoint::Gateway,
            Self::OfflineMessages { .. } => Endpoint::OfflineMessages,
            Self::ChannelHistory { .. } => Endpoint::ChannelHistory,
            Self::PeerHistory { .. } => Endpoint::PeerHistory,
        }
    }

    /// The request's body.
    #[must_use]
    pub fn encode(&self) -> String {
        String::new()
    }

    /// Reads a request's body, whatever its content type says.
    ///
    /// # Errors
    ///
    /// A refusal to answer with: [`GatewayAnswer::Refused`] of its kind.
    pub fn decode(_endpoint: Endpoint, _body: &[u8]) -> Result<Self, Refusal> {
        Err(Refusal::from(ErrorKind::InvalidArgument))
    }
}

impl GatewayAnswer {
    /// The answer's body.
    #[must_use]
    pub fn encode(&self) -> String {
        String::new()
    }

    /// Reads an answer's body.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is not an answer of this endpoint.
    pub fn decode(_endpoint: Endpoint, _body: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::TryAgain)
    }
}
