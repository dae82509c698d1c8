//! The bodies of the answers, their HTTP statuses and their codes.

use std::{borrow::Cow, net::Ipv6Addr};

use super::{Address, Endpoint, GatewayAnswer, StoredCursor, StoredPage, read, write};
use crate::{
    DecodeError, DecodeErrorKind, ErrorKind, HistoryCursor, HistoryPage, MessageId, PeerMessage, StoredMessage, Text,
    UserId,
    anyrtc::{
        cmd::TEXT,
        events,
        fields::{Body, Cursor, Number, Signed, Str},
        shapes,
    },
};

impl GatewayAnswer {
    /// The answer's HTTP status: 200, but for what passes. The SDK tries again after two seconds where it is another
    /// one, and takes any code that is not 0 for a failed login, also one that means "try again" (`docs/rtm.md#the-vendors-sdk`).
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

fn write_code(code: i64) -> String {
    write(&shapes::GatewayCode { code: Signed(Some(code)) })
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
