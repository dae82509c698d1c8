//! What is answered: bodies and HTTP statuses.

use super::{ChannelMessageType, FoundMessage, PeerMessageCode, RestAnswer, RestEvent, handle::HistoryHandle};
use crate::{
    ErrorKind, HistoryOf, Refusal,
    anyrtc::fields::{Body, Field as _},
    json::Writer,
};

/// Why a call is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestRefusal {
    /// It is refused.
    Refused(Refusal),
    /// What it asks for is not there any more.
    Gone,
    /// There is no such path.
    NotFound,
    /// Another method is needed.
    Method(&'static str),
    /// The body is too long.
    TooLarge,
    /// The target and the headers are too long, or too many.
    HeadTooLarge,
    /// The server cannot serve the project now.
    Unavailable,
}

impl RestAnswer {
    /// The answer's body. `sign` makes the signature under the handle of a search, which stands behind it and a dot.
    #[must_use]
    pub fn encode(
        &self,
        request_id: u64,
        now_ms: u64,
        channel_messages: ChannelMessageType,
        sign: impl FnOnce(&str) -> String,
    ) -> String {
        let mut out = begin("success", request_id);
        match self {
            Self::PeerMessage(code) => pair(
                &mut out,
                "code",
                match code {
                    PeerMessageCode::Sent => "message_sent",
                    PeerMessageCode::Delivered => "message_delivered",
                    PeerMessageCode::PeerOffline => "peer_offline",
                },
            ),
            Self::ChannelMessage => {}
            Self::Events(events) => list(&mut out, "events", events, |out, event| {
                write_event(out, event);
                true
            }),
            Self::Query(search) => {
                out.raw(",\"offset\":");
                out.number(search.offset);
                out.raw(",\"limit\":");
                out.number(search.limit);
                pair(&mut out, "order", if search.newest_first { "desc" } else { "asc" });
                let handle = HistoryHandle { search: search.clone(), asked_ms: now_ms }.encode();
                let signature = sign(&handle);
                pair(&mut out, "location", &format!("~/rtm/message/history/query/{handle}.{signature}"));
            }
            Self::Messages(messages) => {
                pair(&mut out, "code", "ok");
                list(&mut out, "messages", messages, |out, found| write_found(out, found, channel_messages));
            }
            Self::Count(count) => {
                pair(&mut out, "code", "ok");
                out.raw(",\"count\":");
                out.number(*count);
            }
        }
        out.raw("}");
        out.finish()
    }
}

impl RestRefusal {
    /// The answer's HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.parts().0
    }

    /// The answer's body.
    #[must_use]
    pub fn encode(&self, request_id: u64) -> String {
        let (_, code, reason) = self.parts();
        let message = match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Gone => "the result of this search is not there any more: search again".into(),
            Self::NotFound => "there is no such call".into(),
            Self::Method(method) => format!("the method has to be {method}"),
            Self::TooLarge => "the body is too long".into(),
            Self::HeadTooLarge => "the request's head is too long: it may have 16 KiB and 100 headers".into(),
            Self::Unavailable => "the server cannot serve this now: call again".into(),
        };
        let mut out = begin("failed", request_id);
        pair(&mut out, "code", code);
        pair(&mut out, "message", &message);
        pair(&mut out, "reason", reason);
        out.raw("}");
        out.finish()
    }

    /// The status, what the answer calls the fault, and in short why.
    fn parts(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Refused(refusal) => match refusal.kind {
                ErrorKind::InvalidArgument | ErrorKind::InvalidUserId => (400, INVALID, "invalid_argument"),
                ErrorKind::InvalidMessage => (400, INVALID, "invalid_message"),
                ErrorKind::IncompatibleMessage => (400, INVALID, "incompatible_message"),
                ErrorKind::InvalidToken => (401, UNAUTHORIZED, "invalid_token"),
                ErrorKind::TokenExpired => (401, UNAUTHORIZED, "token_expired"),
                ErrorKind::NotAuthorized => (401, UNAUTHORIZED, "not_authorized"),
                // A new token would change nothing.
                ErrorKind::Banned => (403, "forbidden", "banned"),
                ErrorKind::Rejected => (403, "forbidden", "rejected"),
                ErrorKind::InvalidAppId => (404, INVALID, "unknown_app_id"),
                ErrorKind::TooOften => (429, "too_often", "too_often"),
                ErrorKind::Timeout => (408, "timeout", "timeout"),
                ErrorKind::Unsupported => (501, "internal", "unsupported"),
                ErrorKind::ExceedLimit => (507, "internal", "exceed_limit"),
                _ => (500, "internal", "internal"),
            },
            Self::Gone => (410, INVALID, "gone"),
            Self::NotFound => (404, INVALID, "unknown_path"),
            Self::Method(_) => (405, INVALID, "method"),
            Self::TooLarge => (413, INVALID, "too_large"),
            Self::HeadTooLarge => (431, INVALID, "head_too_large"),
            Self::Unavailable => (503, "internal", "unavailable"),
        }
    }
}

impl From<Refusal> for RestRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn begin(result: &str, request_id: u64) -> Writer {
    let mut out = Writer::with_capacity(USUAL_BYTES);
    out.raw("{\"result\":\"");
    out.raw(result);
    out.raw("\",\"request_id\":\"");
    out.number(request_id);
    out.raw("\"");
    out
}

fn pair(out: &mut Writer, key: &str, value: &str) {
    out.raw(",\"");
    out.raw(key);
    out.raw("\":");
    out.string(value);
}

/// A list. `write` says whether it wrote the item.
fn list<T>(out: &mut Writer, key: &str, items: &[T], write: impl Fn(&mut Writer, &T) -> bool) {
    out.raw(",\"");
    out.raw(key);
    out.raw("\":[");
    let mut parts = items.iter().filter_map(|item| {
        let mut part = Writer::default();
        write(&mut part, item).then(|| part.finish())
    });
    if let Some(first) = parts.next() {
        out.raw(&first);
    }
    for part in parts {
        out.raw(",");
        out.raw(&part);
    }
    out.raw("]");
}

/// Versions of the vendor's pages call the same things otherwise: all of these names are there.
fn write_event(out: &mut Writer, RestEvent { user_id, channel_id, is_arrival, at_ms }: &RestEvent) {
    out.raw("{\"user_id\":");
    out.string(user_id.as_str());
    let mut kind = if *is_arrival { "Login" } else { "Logout" };
    if let Some(channel_id) = channel_id {
        pair(out, "channel_id", channel_id.as_str());
        pair(out, "group_id", channel_id.as_str());
        kind = if *is_arrival { "Join" } else { "Leave" };
    }
    pair(out, "type", kind);
    for key in [",\"ms\":", ",\"ts\":"] {
        out.raw(key);
        out.number(*at_ms);
    }
    out.raw("}");
}

/// A message, unless it is of bytes, which JSON has no place for.
fn write_found(out: &mut Writer, FoundMessage { to, message }: &FoundMessage, kind: ChannelMessageType) -> bool {
    let Some(body) = Body::of(&message.message) else { return false };
    let (to, kind) = match to {
        HistoryOf::Peer(user_id) => (user_id.as_str(), "peer_message"),
        HistoryOf::Channel(channel_id) => (channel_id.as_str(), kind.as_str()),
    };
    out.raw("{\"src\":");
    out.string(message.from.as_str());
    pair(out, "dst", to);
    pair(out, "message_type", kind);
    out.raw(",\"ms\":");
    out.number(message.server_received_ts);
    out.raw(",\"payload\":");
    body.write(out);
    out.raw("}");
    true
}

const INVALID: &str = "invalid_params";
const UNAUTHORIZED: &str = "unauthorized";
/// The bytes of most answers.
const USUAL_BYTES: usize = 128;
