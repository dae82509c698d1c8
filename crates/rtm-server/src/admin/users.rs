//! The calls of the API on sessions and users.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use rtm_codec::PeerOnlineState;
use rtm_core::SessionInfo;
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use super::{
    Admin,
    access::Caller,
    actions::{RestrictionsAnswer, read_user},
    answers::{ApiError, Checked, List, rfc3339},
    calls::{Part, after},
    config::AdminRole,
};
use crate::peers::{Peer, Peers};

#[derive(Debug, Serialize)]
pub(super) struct SessionAnswer {
    user_id: String,
    state: &'static str,
    connected: bool,
    address: Option<String>,
    wire: Option<String>,
    connected_since: Option<String>,
    instance: String,
    silent_ms: u64,
    token_ends: Option<String>,
    channels: usize,
    subscriptions: usize,
    queued_events: usize,
    queued_bytes: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct ClosedAnswer {
    user_id: Option<String>,
    address: Option<String>,
    wire: String,
    connected_since: String,
    ended: String,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct UserAnswer {
    user_id: String,
    session: Option<SessionAnswer>,
    channels: Vec<String>,
    subscriptions: Vec<String>,
    watchers: usize,
    invitations: usize,
    attributes: serde_json::Map<String, serde_json::Value>,
    #[serde(flatten)]
    restrictions: RestrictionsAnswer,
}

/// What part of the sessions is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct SessionFilter {
    limit: Option<usize>,
    cursor: Option<String>,
    /// Only users in this state.
    state: Option<String>,
    /// Only users whose ids begin so.
    prefix: Option<String>,
}

pub(super) async fn sessions(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Query(filter)): Checked<Query<SessionFilter>>,
) -> Result<Json<List<SessionAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let SessionFilter { limit, cursor, state, prefix } = filter;
    let part = Part { limit, cursor };
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(ApiError::bad_request(format!("a state is one of {}", STATES.join(", "))));
    }
    let is_wanted = |info: &SessionInfo| {
        state.as_deref().is_none_or(|state| state == state_name(info.state))
            && prefix.as_deref().is_none_or(|prefix| info.user_id.as_str().starts_with(prefix))
    };
    let mut items = Vec::new();
    let mut from = Some(part.number()?.unwrap_or(0));
    while let Some(at) = from.filter(|_| items.len() < part.limit()) {
        from = project.look(|core, peers, now| {
            let room = part.limit() - items.len();
            core.inspect_sessions(now, at, room.min(SLICE), |info| {
                if is_wanted(&info) {
                    items.push(answer(&info, peers));
                }
            })
        });
        yield_now().await;
    }
    Ok(Json(List { items, next: from.map(|at| at.to_string()) }))
}

pub(super) async fn closed(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Query(part)): Checked<Query<Part>>,
) -> Result<Json<List<ClosedAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let before = part.number()?;
    let closed: Vec<_> = project.look(|_, peers, _| peers.closed(before).take(part.limit()).cloned().collect());
    let next = closed.last().filter(|last| closed.len() == part.limit() && last.number > 1);
    let next = next.map(|last| last.number.to_string());
    let answer = |closed: crate::peers::ClosedPeer| {
        let Peer { address, wire, since, user_id } = closed.peer;
        ClosedAnswer {
            user_id: user_id.map(|user_id| user_id.to_string()),
            address: address.map(|address| address.to_string()),
            wire: wire.to_string(),
            connected_since: rfc3339(since),
            ended: rfc3339(closed.at),
            reason: closed.end.as_str(),
        }
    };
    Ok(Json(List { items: closed.into_iter().map(answer).collect(), next }))
}

pub(super) async fn user(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
) -> Result<Json<UserAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let user_id = read_user(&user_id)?;
    let found = project.look(|core, peers, now| {
        let info = core.inspect_user(now, &user_id)?;
        let session = info.session.as_ref().map(|session| answer(session, peers));
        Some((info, session))
    });
    let (info, session) = found.ok_or_else(|| ApiError::not_found("nothing is known of this user here"))?;
    let attribute = |(key, value): (String, rtm_codec::Text)| (key, serde_json::Value::from(value.as_str()));
    Ok(Json(UserAnswer {
        user_id: user_id.to_string(),
        session,
        channels: info.channels.iter().map(ToString::to_string).collect(),
        subscriptions: info.subscriptions.iter().map(ToString::to_string).collect(),
        watchers: info.watchers,
        invitations: info.invitations,
        attributes: info.attributes.into_iter().map(attribute).collect(),
        restrictions: info.restrictions.into(),
    }))
}

fn answer(info: &SessionInfo, peers: &Peers) -> SessionAnswer {
    let peer = info.conn.and_then(|conn| peers.get(conn));
    SessionAnswer {
        user_id: info.user_id.to_string(),
        state: state_name(info.state),
        connected: info.conn.is_some(),
        address: peer.and_then(|peer| peer.address).map(|address| address.to_string()),
        wire: peer.map(|peer| peer.wire.to_string()),
        connected_since: peer.map(|peer| rfc3339(peer.since)),
        instance: info.instance.clone(),
        silent_ms: info.silent_for.as_millis().try_into().unwrap_or(u64::MAX),
        token_ends: info.token_left.map(after),
        channels: info.channels,
        subscriptions: info.subscriptions,
        queued_events: info.queued_events,
        queued_bytes: info.queued_bytes,
    }
}

fn state_name(state: PeerOnlineState) -> &'static str {
    match state {
        PeerOnlineState::Online => "online",
        PeerOnlineState::Unreachable => "unreachable",
        _ => "offline",
    }
}

const STATES: [&str; 3] = ["online", "unreachable", "offline"];
/// How many places are looked at under one lock.
const SLICE: usize = 256;
