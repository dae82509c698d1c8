//! What goes to an endpoint in one request, and what it makes of that.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::RETRY_AFTER};

use super::client::Reply;

/// An event for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its place in the log.
    pub(crate) seq: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub(crate) time: u64,
    /// Whom and what it concerns: hashes of its users, of whom there are at most two, and of its channel.
    pub(crate) keys: [Option<u64>; 3],
    /// How it is written in the body of a request.
    pub(crate) body: Bytes,
}

/// What goes out in one request.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: u64,
    /// How often these events were tried before, together.
    pub(crate) attempt: u32,
    pub(crate) events: Arc<[Event]>,
}

/// What an endpoint made of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    /// It wants no more events, ever.
    Gone,
    /// It has too much to do, and may have said for how long.
    Busy(Option<Duration>),
    /// It was asked, and does not like what it got.
    Refused,
    Failed,
}

/// How an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Working,
    /// Something waits to be tried again.
    Retrying,
    /// Something was tried for days in vain.
    Failing,
    /// It said that it wants no more.
    Gone,
    /// An operator wants it to get nothing for now.
    Paused,
}

impl Answer {
    /// What a reply means.
    pub(super) fn of(reply: &Reply) -> Self {
        match reply.status {
            status if status.is_success() => Self::Taken,
            StatusCode::GONE => Self::Gone,
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Busy(retry_after(&reply.headers)),
            status if status.is_client_error() => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// Its place among the names that metrics have of them.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Taken => 0,
            Self::Refused => 1,
            Self::Busy(_) => 2,
            Self::Gone => 3,
            Self::Failed => 4,
        }
    }
}

impl Health {
    /// Whether the endpoint gets nothing until it is enabled.
    #[cfg(feature = "admin")]
    pub(crate) fn is_off(self) -> bool {
        matches!(self, Self::Gone | Self::Paused)
    }

    /// Its name, in small letters.
    #[cfg(feature = "admin")]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Retrying => "retrying",
            Self::Failing => "failing",
            Self::Gone => "gone",
            Self::Paused => "paused",
        }
    }
}

impl Event {
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.keys.into_iter().flatten()
    }
}

/// How long an endpoint asks to be left alone.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// A reply in a line.
pub(super) fn said(reply: &Reply) -> String {
    let body = String::from_utf8_lossy(reply.body.as_deref().unwrap_or_default());
    let start: String = body.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
    if start.is_empty() { reply.status.to_string() } else { format!("{}: {start}", reply.status) }
}

/// What comes of a request, in the order of [`Answer::place`].
pub(crate) const ANSWERS: [&str; 5] = ["taken", "refused", "busy", "gone", "failed"];
/// So much is shown of what an endpoint says.
const SHOWN: usize = 200;
