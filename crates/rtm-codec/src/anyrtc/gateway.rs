//! The bodies of the vendor's HTTP endpoints, both halves: which server to connect to, stored messages, histories.

#![expect(
    clippy::exhaustive_structs,
    reason = "client and server fill in and read every field: a new one that one of them passes over must not compile"
)]

use super::{fields::Field, reader::Reader};
use crate::{
    AppId, DecodeErrorKind, ErrorKind, HistoryOf, HistoryPage, PeerMessage, QueryHistory, Text, Token, UserId,
    json::Writer,
};

mod answers;
mod requests;

/// The vendor's HTTP endpoints, all of them `POST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Which server to connect to, and whether this user may.
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
        /// Which page of them. `None` asks for all in one answer, as the SDK does, which never says that it has them.
        page: Option<StoredQuery>,
    },
    /// A page of a history.
    History {
        /// Who asks.
        caller: Caller,
        /// Which page of which history.
        query: QueryHistory,
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

/// Which stored messages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredQuery {
    /// Where the page before ended. It says that the client has that page, whose messages are then removed.
    pub after: Option<StoredCursor>,
    /// At most this many, 1 to 100. A server gives fewer where they are long.
    pub limit: u32,
}

/// A place among the stored messages, to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCursor(pub u64);

/// Stored messages, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredPage {
    /// The messages.
    pub messages: Vec<PeerMessage>,
    /// What to ask for next, also to say that these are received; `None` when there are none.
    pub next: Option<StoredCursor>,
}

impl From<Vec<PeerMessage>> for StoredPage {
    /// All there are, in one answer.
    fn from(messages: Vec<PeerMessage>) -> Self {
        Self { messages, next: None }
    }
}

/// What the server answers, with the HTTP status that [`status`](Self::status) says.
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
    OfflineMessages(StoredPage),
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
    /// Host name or IP address, IPv6 without brackets.
    pub host: Text,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint that a request's path and query name.
    #[must_use]
    pub fn find(path: &str, query: Option<&str>) -> Option<Self> {
        let names_gateway = || query.unwrap_or_default().split('&').any(|pair| pair == "action=wrtm_gateway");
        match path {
            "/arapi/v1" if names_gateway() => Some(Self::Gateway),
            "/arapi/v1/artmgw/getOfflineMsg" => Some(Self::OfflineMessages),
            "/arapi/v1/artmgw/getChanHistoryMsg" => Some(Self::ChannelHistory),
            "/arapi/v1/artmgw/getP2PHistoryMsg" => Some(Self::PeerHistory),
            _ => None,
        }
    }

    /// Path and query, as a client asks for it.
    #[must_use]
    pub fn path_and_query(self) -> &'static str {
        match self {
            Self::Gateway => "/arapi/v1?action=wrtm_gateway",
            Self::OfflineMessages => "/arapi/v1/artmgw/getOfflineMsg",
            Self::ChannelHistory => "/arapi/v1/artmgw/getChanHistoryMsg",
            Self::PeerHistory => "/arapi/v1/artmgw/getP2PHistoryMsg",
        }
    }
}

impl GatewayRequest {
    /// Which endpoint takes it.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Connect { .. } => Endpoint::Gateway,
            Self::OfflineMessages { .. } => Endpoint::OfflineMessages,
            Self::History { query, .. } => match query.conversation {
                HistoryOf::Channel(_) => Endpoint::ChannelHistory,
                HistoryOf::Peer(_) => Endpoint::PeerHistory,
            },
        }
    }

    /// The project that it is for.
    #[must_use]
    pub fn app_id(&self) -> &AppId {
        match self {
            Self::Connect { app_id, .. } => app_id,
            Self::OfflineMessages { caller, .. } | Self::History { caller, .. } => &caller.app_id,
        }
    }
}

fn write<'a>(body: &impl Field<'a>) -> String {
    let mut out = Writer::default();
    body.write(&mut out);
    out.finish()
}

fn read<'a, T: Field<'a>>(body: &'a str) -> Result<T, DecodeErrorKind> {
    let mut reader = Reader::new(body);
    let value = T::read(&mut reader)?;
    reader.end().map(|()| value)
}
