//! The calls of the API on messages: sending some, and reading histories. Texts are read by those who act on users, and that is
//! written down.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use rtm_codec::{
    HistoryOf, RtmMessage, Text, UserId,
    anyrtc::rest::{
        FoundMessage, HistorySearch, PeerMessageCode, RestAnswer, RestCall, RestChannelMessage, RestPeerMessage,
    },
    limits,
};
use rtm_core::RestCaller;
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    access::Caller,
    actions::{Done, read_time, read_user, unix_ms},
    answers::{ApiError, Checked, List, rfc3339},
    channels::read_channel,
    config::AdminRole,
};
use crate::project::Project;

#[derive(Debug, Serialize)]
pub(super) struct MessageAnswer {
    message_id: u64,
    from: String,
    to_user: Option<String>,
    to_channel: Option<String>,
    time: String,
    /// None of a message of bytes.
    text: Option<String>,
    bytes: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct SentAnswer {
    /// `delivered`, `stored`, `offline`, or `sent` where the device has not said that it has it.
    outcome: &'static str,
}

/// A text for a user or a channel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendRequest {
    from: String,
    text: String,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    history: bool,
}

/// Which messages of a history are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct HistoryPart {
    limit: Option<NonZeroU32>,
    cursor: Option<String>,
    from: Option<String>,
    until: Option<String>,
    #[serde(default)]
    newest_first: bool,
}

/// Whether those messages of a user are wanted that it received, and not those that it sent.
#[derive(Debug, Deserialize)]
pub(super) struct Side {
    #[serde(default)]
    received: bool,
}

pub(super) async fn send_to_user(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
    Checked(Json(request)): Checked<Json<SendRequest>>,
) -> Result<Json<SentAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    let (to, from, payload) = (read_user(&user_id)?, read_user(&request.from)?, request.text()?);
    let call = RestCall::SendToPeer(RestPeerMessage {
        from,
        to,
        payload,
        enable_offline_messaging: request.offline,
        enable_historical_messaging: request.history,
        wait_for_ack: true,
    });
    // It is written down first: its receiver may have it when it fails.
    admin.audit.note(&caller, "send", format!("{app_id}/{user_id} as {}", request.from));
    let answer = ask(&project, call).await?;
    admin.audit.done("send");
    let outcome = match answer {
        RestAnswer::PeerMessage(PeerMessageCode::Delivered) => "delivered",
        // One that could not be stored is a refusal.
        RestAnswer::PeerMessage(PeerMessageCode::PeerOffline) if request.offline => "stored",
        RestAnswer::PeerMessage(PeerMessageCode::PeerOffline) => "offline",
        _ => "sent",
    };
    Ok(Json(SentAnswer { outcome }))
}

pub(super) async fn send_to_channel(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, channel_id))): Checked<Path<(String, String)>>,
    Checked(Json(request)): Checked<Json<SendRequest>>,
) -> Result<Json<Done>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    if request.offline {
        return Err(ApiError::bad_request("messages to channels are not stored for those who are offline"));
    }
    let call = RestCall::SendToChannel(RestChannelMessage {
        from: read_user(&request.from)?,
        channel_id: read_channel(&channel_id)?,
        payload: request.text()?,
        enable_historical_messaging: request.history,
    });
    admin.audit.note(&caller, "send", format!("{app_id}/channel {channel_id} as {}", request.from));
    ask(&project, call).await?;
    admin.audit.done("send");
    Ok(Json(Done { done: true }))
}

pub(super) async fn of_user(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
    Checked(Query(part)): Checked<Query<HistoryPart>>,
    Checked(Query(Side { received })): Checked<Query<Side>>,
) -> Result<Json<List<MessageAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    let user = read_user(&user_id)?;
    let search = match received {
        true => part.search(None, Some(user))?,
        false => part.search(Some(user), None)?,
    };
    let found = page(&project, search, |to| !received || matches!(to, HistoryOf::Peer(_))).await?;
    admin.audit.record(&caller, "read_history", format!("{app_id}/{user_id}"));
    Ok(found)
}

pub(super) async fn of_channel(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, channel_id))): Checked<Path<(String, String)>>,
    Checked(Query(part)): Checked<Query<HistoryPart>>,
) -> Result<Json<List<MessageAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    let channel_id = read_channel(&channel_id)?;
    // A search names users and channels alike.
    let named = read_user(channel_id.as_str())?;
    let search = part.search(None, Some(named))?;
    let found = page(&project, search, |to| *to == HistoryOf::Channel(channel_id.clone())).await?;
    admin.audit.record(&caller, "read_history", format!("{app_id}/channel {channel_id}"));
    Ok(found)
}

/// A page of what a search finds, of which a part is wanted.
async fn page(
    project: &Arc<Project>,
    search: HistorySearch,
    is_wanted: impl Fn(&HistoryOf) -> bool,
) -> Result<Json<List<MessageAnswer>>, ApiError> {
    let (offset, limit, newest_first, until_ts) = (search.offset, search.limit, search.newest_first, search.until_ts);
    let first_ts = if newest_first { until_ts.saturating_sub(1) } else { search.from_ts };
    let RestAnswer::Messages(found) = ask(project, RestCall::HistoryPage(search)).await? else {
        return Err(ApiError::internal());
    };
    let last = found.last().filter(|_| found.len() >= limit as usize).map(|last| last.message.server_received_ts);
    let next = last.map(|ts| {
        let same = found.iter().filter(|one| one.message.server_received_ts == ts).count();
        let before = if ts == first_ts { offset } else { 0 };
        Passed { ts, seen: before.saturating_add(u32::try_from(same).unwrap_or(u32::MAX)), until_ts }.text()
    });
    let items = found.into_iter().filter(|found| is_wanted(&found.to)).map(MessageAnswer::from).collect();
    Ok(Json(List { items, next }))
}

async fn ask(project: &Arc<Project>, call: RestCall) -> Result<RestAnswer, ApiError> {
    match project.rest(&RestCaller::Operator, call).await {
        Some(answer) => Ok(answer?),
        None => Err(ApiError::unavailable("the server goes down")),
    }
}

impl SendRequest {
    fn text(&self) -> Result<Text, ApiError> {
        let text = Text::from(self.text.as_str());
        if text.is_empty() {
            return Err(ApiError::bad_request("text is empty"));
        }
        let checked = limits::check_message(&RtmMessage::Text(text.clone()));
        checked.map(|()| text).map_err(|error| ApiError::bad_request(format!("text: {error}")))
    }
}

impl HistoryPart {
    fn search(&self, source: Option<UserId>, destination: Option<UserId>) -> Result<HistorySearch, ApiError> {
        let at = |name, text: &Option<String>| text.as_ref().map(|text| read_time(name, text).map(unix_ms)).transpose();
        let passed = self
            .cursor
            .as_ref()
            .map(|cursor| Passed::read(cursor))
            .map(|read| read.ok_or_else(|| ApiError::bad_request("this cursor is not one of ours")));
        let passed = passed.transpose()?;
        let mut search = HistorySearch {
            source,
            destination,
            from_ts: at("from", &self.from)?.unwrap_or(0),
            until_ts: at("until", &self.until)?.unwrap_or_else(|| unix_ms(SystemTime::now() + A_DAY)),
            offset: 0,
            limit: self.limit.map_or(100, NonZeroU32::get).min(100),
            newest_first: self.newest_first,
        };
        if let Some(Passed { ts, seen, until_ts }) = passed {
            search.offset = seen;
            match self.newest_first {
                true => search.until_ts = search.until_ts.min(ts.saturating_add(1)),
                false => (search.from_ts, search.until_ts) = (search.from_ts.max(ts), until_ts),
            }
        }
        if search.from_ts >= search.until_ts {
            return Err(ApiError::bad_request("from is not before until"));
        }
        Ok(search)
    }
}

/// How far a history has been read: up to a time, and how many messages of just this time. What comes or goes on either side moves
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Passed {
    ts: u64,
    seen: u32,
    /// Where it ends, also if the end was the present.
    until_ts: u64,
}

impl Passed {
    fn text(self) -> String {
        format!("{}-{}-{}", self.ts, self.seen, self.until_ts)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let passed = Self {
            ts: parts.next()?.parse().ok()?,
            seen: parts.next()?.parse().ok()?,
            until_ts: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(passed)
    }
}

impl From<FoundMessage> for MessageAnswer {
    fn from(FoundMessage { to, message }: FoundMessage) -> Self {
        let (to_user, to_channel) = match to {
            HistoryOf::Peer(user_id) => (Some(user_id.to_string()), None),
            HistoryOf::Channel(channel_id) => (None, Some(channel_id.to_string())),
        };
        Self {
            message_id: message.message_id.0,
            from: message.from.to_string(),
            to_user,
            to_channel,
            time: rfc3339(UNIX_EPOCH + Duration::from_millis(message.server_received_ts)),
            text: message.message.as_text().map(str::to_owned),
            bytes: message.message.len(),
        }
    }
}

/// Messages may be a little later than this clock says.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
