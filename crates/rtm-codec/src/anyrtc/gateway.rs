//! The bodies of the vendor's HTTP endpoints, both halves: which server to connect to, stored messages, histories.

use std::{borrow::Cow, fmt, net::Ipv6Addr};

use super::{
    cmd::TEXT,
    events,
    fields::{Body, Cursor, Field, Flag, Number, Optional, Signed, Str},
    reader::Reader,
    shapes,
};
use crate::{
    AppId, DecodeError, DecodeErrorKind, ErrorKind, HistoryCursor, HistoryOf, HistoryPage, InvalidId, MessageId,
    PeerMessage, QueryHistory, Refusal, StoredMessage, Text, Token, UserId,
    json::Writer,
    limits::{HISTORY_PAGE, PACKET_BYTES},
};

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

    /// The request's body.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Connect { app_id, user_id, token, tls } => write(&shapes::GatewayConnect {
                app_id: Str::from(app_id),
                user_id: Optional::from(user_id.as_ref().map_or("", UserId::as_str)),
                token: Optional::from(token.as_ref().map_or("", |token| token.expose())),
                tls: Flag(*tls),
            }),
            Self::OfflineMessages { caller, page: None } => write(&caller.query()),
            Self::OfflineMessages { caller, page: Some(StoredQuery { after, limit }) } => {
                write(&shapes::GatewayQuery {
                    after: Cursor(after.map(|StoredCursor(at)| at)),
                    limit: Number(Some((*limit).into())),
                    ..caller.query()
                })
            }
            Self::History { caller, query } => write(&write_query(caller, query)),
        }
    }

    /// Reads a request's body, whatever its content type says.
    ///
    /// # Errors
    ///
    /// A refusal to answer with: [`GatewayAnswer::Refused`] of its kind.
    pub fn decode(endpoint: Endpoint, body: &[u8]) -> Result<Self, Refusal> {
        let body = match simdutf8::basic::from_utf8(body) {
            Ok(body) if body.len() <= PACKET_BYTES => body,
            Ok(_) => return Err(invalid("the body is too long")),
            Err(_) => return Err(invalid("the body is not valid UTF-8")),
        };
        let malformed = |kind| invalid(&DecodeError::new("body", kind).to_string());
        if endpoint == Endpoint::Gateway {
            return Self::connect(&read(body).map_err(malformed)?);
        }
        let it: shapes::GatewayQuery<'_> = read(body).map_err(malformed)?;
        let caller = Caller::read(&it)?;
        Ok(match endpoint {
            Endpoint::ChannelHistory => {
                let channel_id = id(&it.channel_id, ErrorKind::InvalidArgument)?;
                Self::History { caller, query: read_query(&it, HistoryOf::Channel(channel_id))? }
            }
            Endpoint::PeerHistory => {
                let peer_id = id(&it.peer_id, ErrorKind::InvalidArgument)?;
                Self::History { caller, query: read_query(&it, HistoryOf::Peer(peer_id))? }
            }
            Endpoint::OfflineMessages | Endpoint::Gateway => {
                let after = read_after(&it).map(StoredCursor);
                let is_paged = after.is_some() || it.limit.0.is_some();
                let page = if is_paged { Some(StoredQuery { after, limit: read_limit(&it)? }) } else { None };
                Self::OfflineMessages { caller, page }
            }
        })
    }

    fn connect(it: &shapes::GatewayConnect<'_>) -> Result<Self, Refusal> {
        let refused = |kind, error: &dyn fmt::Display| Refusal::new(kind, &error.to_string());
        let user_id = it.user_id.text("uid", ErrorKind::InvalidArgument)?.map(UserId::new).transpose();
        let token = it.token.text("token", ErrorKind::InvalidToken)?.map(Token::new).transpose();
        Ok(Self::Connect {
            app_id: id(&it.app_id, ErrorKind::InvalidAppId)?,
            user_id: user_id.map_err(|error| refused(ErrorKind::InvalidArgument, &error))?,
            token: token.map_err(|error| refused(ErrorKind::InvalidToken, &error))?,
            tls: it.tls.0,
        })
    }
}

impl Caller {
    fn query(&self) -> shapes::GatewayQuery<'_> {
        let Self { app_id, user_id, session } = self;
        shapes::GatewayQuery {
            user_id: Str::from(user_id),
            session: Str::from(session),
            app_id: Str::from(app_id),
            ..Default::default()
        }
    }

    fn read(it: &shapes::GatewayQuery<'_>) -> Result<Self, Refusal> {
        let session = it.session.as_str();
        if session.is_empty() || session.len() > SESSION_BYTES {
            return Err(invalid("the session id is missing or too long"));
        }
        Ok(Self {
            app_id: id(&it.app_id, ErrorKind::InvalidAppId)?,
            user_id: id(&it.user_id, ErrorKind::InvalidArgument)?,
            session: Text::from(session),
        })
    }
}

impl GatewayAnswer {
    /// The answer's HTTP status: 200, but for what passes. The SDK tries again after two seconds where it is another
    /// one, and takes any code that is not 0 for a failed login, whatever its documents say.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TryAgain => SERVICE_UNAVAILABLE,
            Self::Refused(ErrorKind::TooOften) => TOO_MANY_REQUESTS,
            _ => OK,
        }
    }

    /// What a status says by itself, whatever the body: a proxy may have written that.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            SERVICE_UNAVAILABLE => Some(Self::TryAgain),
            TOO_MANY_REQUESTS => Some(Self::Refused(ErrorKind::TooOften)),
            _ => None,
        }
    }

    /// The answer's body. It leaves out binary messages, which the wire cannot carry.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Connect { session, addresses } => write(&shapes::GatewayConnected {
                code: Number(Some(0)),
                session: Str::from(session),
                addresses: addresses.iter().map(Address::write).collect(),
            }),
            Self::OfflineMessages(StoredPage { messages, next }) => write(&shapes::GatewayMessages {
                code: Number(Some(0)),
                messages: messages
                    .iter()
                    .filter_map(|PeerMessage { message_id, peer_id, message, server_received_ts, .. }| {
                        write_message(*message_id, peer_id, Body::of(message)?, *server_received_ts)
                    })
                    .collect(),
                next: Cursor(next.map(|StoredCursor(at)| at)),
            }),
            Self::History(HistoryPage { messages, next }) => write(&shapes::GatewayMessages {
                code: Number(Some(0)),
                messages: messages
                    .iter()
                    .filter_map(|StoredMessage { message_id, from, message, server_received_ts }| {
                        write_message(*message_id, from, Body::of(message)?, *server_received_ts)
                    })
                    .collect(),
                next: Cursor(next.map(|HistoryCursor(at)| at)),
            }),
            Self::TryAgain => write_code(TRY_AGAIN),
            Self::Refused(kind) => write_code(Code::of(*kind)),
        }
    }

    /// Reads an answer's body. Addresses of another type than the SDK's, and messages of a kind that is
    /// not known here, are left out.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is not an answer of this endpoint. The body's size is for the caller to bound.
    pub fn decode(endpoint: Endpoint, body: &[u8]) -> Result<Self, DecodeError> {
        let error = |kind| DecodeError::new("gateway's answer", kind);
        let body = simdutf8::basic::from_utf8(body).map_err(|_| error(DecodeErrorKind::Utf8))?;
        let it: shapes::GatewayCode = read(body).map_err(error)?;
        match Code::read(it.code.0.ok_or_else(|| error(DecodeErrorKind::Value))?) {
            Code::TryAgain => return Ok(Self::TryAgain),
            Code::Refused(kind) => return Ok(Self::Refused(kind)),
            Code::Good => {}
        }
        if endpoint == Endpoint::Gateway {
            let it: shapes::GatewayConnected<'_> = read(body).map_err(error)?;
            return Ok(Self::Connect {
                session: Text::from(it.session.as_str()),
                addresses: it.addresses.whole().map_err(error)?.iter().filter_map(Address::read).collect(),
            });
        }
        let it: shapes::GatewayMessages<'_> = read(body).map_err(error)?;
        it.messages.whole().map_err(error)?;
        let messages = it.messages.items.into_iter().flatten().filter_map(read_message);
        Ok(match endpoint {
            Endpoint::OfflineMessages | Endpoint::Gateway => Self::OfflineMessages(StoredPage {
                messages: messages
                    .map(|StoredMessage { message_id, from, message, server_received_ts }| PeerMessage {
                        message_id,
                        peer_id: from,
                        message,
                        is_offline_message: true,
                        server_received_ts,
                    })
                    .collect(),
                next: it.next.0.map(StoredCursor),
            }),
            Endpoint::ChannelHistory | Endpoint::PeerHistory => {
                Self::History(HistoryPage { messages: messages.collect(), next: it.next.0.map(HistoryCursor) })
            }
        })
    }
}

impl Address {
    fn write(&self) -> shapes::GatewayAddress<'_> {
        let Self { host, port } = self;
        // The SDK puts the host into a URL as it is.
        let host = match host.parse::<Ipv6Addr>() {
            Ok(_) => Str(Some(Cow::Owned(format!("[{host}]")))),
            Err(_) => Str::from(host),
        };
        shapes::GatewayAddress { kind: Number(Some(ADDRESS)), host, port: Number(Some(u64::from(*port))) }
    }

    fn read(it: &shapes::GatewayAddress<'_>) -> Option<Self> {
        let port = u16::try_from(it.port.0?).ok()?;
        let host = it.host.as_str();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (it.kind.0 == Some(ADDRESS) && !host.is_empty()).then(|| Self { host: Text::from(host), port })
    }
}

/// What a `code` says.
enum Code {
    Good,
    TryAgain,
    Refused(ErrorKind),
}

impl Code {
    fn read(code: i64) -> Self {
        match code {
            GOOD => Self::Good,
            TRY_AGAIN | -1 => Self::TryAgain,
            INVALID_PARAMETERS | -4 | -7 => Self::Refused(ErrorKind::InvalidArgument),
            // The developer, the user, its address, the channel.
            13 | USER_BANNED | 15 | 16 => Self::Refused(ErrorKind::Banned),
            // Of a project that is not known, or whose service is not open.
            4 | APP_ID_INVALID | 102 => Self::Refused(ErrorKind::InvalidAppId),
            6 | TOKEN_EXPIRED => Self::Refused(ErrorKind::TokenExpired),
            5 | TOKEN_INVALID => Self::Refused(ErrorKind::InvalidToken),
            NOT_LOGGED_IN => Self::Refused(ErrorKind::NotLoggedIn),
            TOO_OFTEN => Self::Refused(ErrorKind::TooOften),
            _ => Self::Refused(ErrorKind::Failure),
        }
    }

    fn of(kind: ErrorKind) -> i64 {
        match kind {
            ErrorKind::InvalidArgument | ErrorKind::InvalidUserId => INVALID_PARAMETERS,
            ErrorKind::Banned => USER_BANNED,
            ErrorKind::InvalidAppId => APP_ID_INVALID,
            ErrorKind::TokenExpired => TOKEN_EXPIRED,
            ErrorKind::InvalidToken => TOKEN_INVALID,
            ErrorKind::NotLoggedIn => NOT_LOGGED_IN,
            ErrorKind::TooOften => TOO_OFTEN,
            _ => UNKNOWN,
        }
    }
}

fn write_query<'a>(caller: &'a Caller, query: &'a QueryHistory) -> shapes::GatewayQuery<'a> {
    let QueryHistory { conversation, from_ts, until_ts, after, limit } = query;
    let (peer_id, channel_id) = match conversation {
        HistoryOf::Peer(peer_id) => (Str::from(peer_id), Str::default()),
        HistoryOf::Channel(channel_id) => (Str::default(), Str::from(channel_id)),
    };
    shapes::GatewayQuery {
        peer_id,
        channel_id,
        from_ts: Number(Some(*from_ts)),
        until_ts: Number(Some(*until_ts)),
        after: Cursor(after.map(|HistoryCursor(at)| at)),
        limit: Number(Some((*limit).into())),
        ..caller.query()
    }
}

/// What is left out is everything, in pages as long as there are.
fn read_query(it: &shapes::GatewayQuery<'_>, conversation: HistoryOf) -> Result<QueryHistory, Refusal> {
    Ok(QueryHistory {
        conversation,
        from_ts: it.from_ts.0.unwrap_or_default(),
        until_ts: it.until_ts.0.unwrap_or(u64::MAX),
        after: read_after(it).map(HistoryCursor),
        limit: read_limit(it)?,
    })
}

fn read_after(it: &shapes::GatewayQuery<'_>) -> Option<u64> {
    it.after.0.or(it.next.0)
}

fn read_limit(it: &shapes::GatewayQuery<'_>) -> Result<u32, Refusal> {
    let limit = it.limit.0.unwrap_or(HISTORY_PAGE as u64);
    let limit = u32::try_from(limit).ok().filter(|limit| (1..=HISTORY_PAGE as u32).contains(limit));
    limit.ok_or_else(|| invalid("the limit is not from 1 to 100"))
}

fn write_message<'a>(
    message_id: MessageId,
    from: &'a UserId,
    body: Body<'a>,
    time: u64,
) -> Option<shapes::GatewayMessage<'a>> {
    Some(shapes::GatewayMessage {
        from: Str::from(from),
        status: Number(Some(0)),
        msg_type: Number(Some(TEXT)),
        body,
        time: Number(Some(time)),
        msg_id: events::msg_id(message_id),
    })
}

fn read_message(it: shapes::GatewayMessage<'_>) -> Option<StoredMessage> {
    Some(StoredMessage {
        message_id: MessageId(it.msg_id.0.unwrap_or_default()),
        from: UserId::new(it.from.as_str()).ok()?,
        message: events::text(it.msg_type, it.body)?,
        server_received_ts: it.time.0.unwrap_or_default(),
    })
}

fn write<'a>(body: &impl Field<'a>) -> String {
    let mut out = Writer::default();
    body.write(&mut out);
    out.finish()
}

fn write_code(code: i64) -> String {
    write(&shapes::GatewayCode { code: Signed(Some(code)) })
}

fn read<'a, T: Field<'a>>(body: &'a str) -> Result<T, DecodeErrorKind> {
    let mut reader = Reader::new(body);
    let value = T::read(&mut reader)?;
    reader.end().map(|()| value)
}

fn id<'t, T>(text: &'t Str<'_>, kind: ErrorKind) -> Result<T, Refusal>
where
    T: TryFrom<&'t str, Error = InvalidId>,
{
    T::try_from(text.as_str()).map_err(|error| Refusal::new(kind, &error.to_string()))
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(ErrorKind::InvalidArgument, detail)
}

const GOOD: i64 = 0;
const TRY_AGAIN: i64 = 1;
/// No number of the vendor's: the SDK reports what it does not know as unknown.
const UNKNOWN: i64 = 2;
const INVALID_PARAMETERS: i64 = 3;
const USER_BANNED: i64 = 14;
const APP_ID_INVALID: i64 = 101;
const TOKEN_EXPIRED: i64 = 109;
const TOKEN_INVALID: i64 = 110;
/// HTTP's numbers for what the vendor has none for; its SDK reports them as unknown.
const NOT_LOGGED_IN: i64 = 401;
const TOO_OFTEN: i64 = 429;
/// HTTP's statuses.
const OK: u16 = 200;
const TOO_MANY_REQUESTS: u16 = 429;
const SERVICE_UNAVAILABLE: u16 = 503;
/// The only type of address that the SDK connects to.
const ADDRESS: u64 = 0;
/// The longest session id that is taken from a client.
const SESSION_BYTES: usize = 256;
