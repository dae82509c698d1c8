//! The bodies of the requests: who asks, and for what.

use std::fmt;

use super::{Caller, Endpoint, GatewayRequest, StoredCursor, StoredQuery, read, write};
use crate::{
    DecodeError, ErrorKind, HistoryCursor, HistoryOf, InvalidId, QueryHistory, Refusal, Text, Token, UserId,
    anyrtc::{
        fields::{Cursor, Flag, Number, Optional, Str},
        shapes,
    },
    limits::{HISTORY_PAGE, PACKET_BYTES},
};

impl GatewayRequest {
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
    /// A refusal to answer with: [`GatewayAnswer::Refused`](super::GatewayAnswer::Refused) of its kind.
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

fn id<'t, T>(text: &'t Str<'_>, kind: ErrorKind) -> Result<T, Refusal>
where
    T: TryFrom<&'t str, Error = InvalidId>,
{
    T::try_from(text.as_str()).map_err(|error| Refusal::new(kind, &error.to_string()))
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(ErrorKind::InvalidArgument, detail)
}

/// The longest session id that is taken from a client.
const SESSION_BYTES: usize = 256;
