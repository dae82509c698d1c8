//! The calls of the API on sessions and users.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use rtm_codec::{ErrorKind, PeerOnlineState, Refusal};
use rtm_core::{RefusedCall, SessionInfo, UserInfo};
use serde::{Deserialize, Serialize};
use tokio::{task::yield_now, time::timeout};

use super::{
    Admin,
    access::Caller,
    actions::{RestrictionsAnswer, count_stored, read_user},
    answers::{ApiError, Checked, List, named, rfc3339},
    calls::{Part, after},
    config::AdminRole,
    spot::Spot,
};
use crate::peers::{ClosedPeer, End, Peer, Peers, last_number};

#[derive(Debug, Serialize)]
pub(super) struct SessionAnswer {
    user_id: String,
    state: &'static str,
    connected: bool,
    address: Option<String>,
    wire: Option<String>,
    connected_since: Option<String>,
    connected_ms: Option<u64>,
    instance: String,
    silent_ms: u64,
    token_ends: Option<String>,
    channels: usize,
    subscriptions: usize,
    queued_events: usize,
    queued_bytes: usize,
    /// How many events may be on their way to the client at once; 0: as many as there are.
    window: u32,
    /// Where the server pings the client.
    rtt_ms: Option<f64>,
    /// Calls that were refused since the session began, and how many of them for a limit.
    refused_calls: u64,
    limited_calls: u64,
    /// Events of channels that were lost while the client was away.
    away_dropped: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ClosedAnswer {
    /// Later ones of a node have higher ones, also after a restart.
    number: u64,
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
    /// The node of the session, if that is another one.
    node: Option<String>,
    /// How others see the user; `null` if only the other node knows.
    state: Option<&'static str>,
    session: Option<SessionAnswer>,
    /// How many calls of the session were refused, by the reason.
    refused: BTreeMap<&'static str, u64>,
    channels: Vec<String>,
    subscriptions: Vec<String>,
    watchers: usize,
    invitations: usize,
    attributes: serde_json::Map<String, serde_json::Value>,
    /// How many messages wait for the user; `null` if the store does not say it in time.
    stored_messages: Option<u64>,
    #[serde(flatten)]
    restrictions: RestrictionsAnswer,
}

/// What part of the sessions is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct SessionFilter {
    limit: Option<NonZeroUsize>,
    cursor: Option<String>,
    /// Only users in this state.
    state: Option<String>,
    /// Only users whose ids begin so.
    prefix: Option<String>,
    /// Only clients on this wire.
    wire: Option<String>,
    /// Only clients at this address.
    address: Option<IpAddr>,
    /// The sessions that have most of this.
    sort: Option<String>,
}

/// What part of the connections that have ended is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct ClosedFilter {
    limit: Option<NonZeroUsize>,
    cursor: Option<String>,
    /// Only those that ended for this reason.
    reason: Option<String>,
    /// Only users whose ids begin so.
    prefix: Option<String>,
    /// Only clients on this wire.
    wire: Option<String>,
    /// Only clients at this address.
    address: Option<IpAddr>,
}

/// Whether a filter asks for something that there can be.
fn one_of(name: &str, value: &Option<String>, known: &[&str]) -> Result<(), ApiError> {
    match value {
        Some(value) if !known.contains(&value.as_str()) => {
            Err(ApiError::bad_request(format!("{name} is one of {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

impl SessionFilter {
    fn check(&self) -> Result<(), ApiError> {
        one_of("state", &self.state, &STATES)?;
        one_of("wire", &self.wire, &WIRES)?;
        one_of("sort", &self.sort, &SORTS)?;
        if self.sort.is_some() && self.cursor.is_some() {
            return Err(ApiError::bad_request("a list with sort has no cursor"));
        }
        Ok(())
    }

    fn wants(&self, info: &SessionInfo, peers: &Peers) -> bool {
        let peer = info.conn.and_then(|conn| peers.get(conn));
        self.state.as_deref().is_none_or(|state| state == state_name(info.state))
            && self.prefix.as_deref().is_none_or(|prefix| info.user_id.as_str().starts_with(prefix))
            && self.wire.as_deref().is_none_or(|wire| peer.is_some_and(|peer| peer.wire.to_string() == wire))
            && self.address.is_none_or(|address| peer.is_some_and(|peer| is_at(peer, address)))
    }

    /// By what a session is sorted, most first.
    fn weight(&self, session: &SessionAnswer) -> u64 {
        match self.sort.as_deref() {
            Some("queued_bytes") => session.queued_bytes as u64,
            Some("queued_events") => session.queued_events as u64,
            Some("silent_ms") => session.silent_ms,
            Some("channels") => session.channels as u64,
            Some("refused_calls") => session.refused_calls,
            Some("limited_calls") => session.limited_calls,
            Some("away_dropped") => session.away_dropped,
            Some("rtt_ms") => session.rtt_ms.map_or(0, |ms| (ms * 1000.0) as u64),
            Some("connected_ms") => session.connected_ms.unwrap_or(0),
            _ => session.subscriptions as u64,
        }
    }
}

pub(super) async fn sessions(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Query(filter)): Checked<Query<SessionFilter>>,
) -> Result<Json<List<SessionAnswer>>, ApiError> {
    let cores = caller.cores(&admin, &app_id, AdminRole::Read)?;
    filter.check()?;
    let part = Part { limit: filter.limit, cursor: filter.cursor.clone() };
    let is_sorted = filter.sort.is_some();
    // Of all cores at one moment: what is sorted by it is comparable.
    let begun = SystemTime::now();
    let mut items: Vec<SessionAnswer> = Vec::new();
    let mut from = Some(Spot::of(&part)?);
    while let Some(at) = from.filter(|_| is_sorted || items.len() < part.limit()) {
        let Some(core) = cores.get(at.core) else {
            from = None;
            break;
        };
        let next = core.look(|core, peers, now| {
            let room = if is_sorted { SLICE } else { part.limit() - items.len() };
            core.inspect_sessions(now, at.place, room.min(SLICE), |info| {
                if filter.wants(&info, peers) {
                    items.push(answer(&info, peers, begun));
                }
            })
        });
        from = at.then(next, cores.all().count());
        if is_sorted {
            // No more than what is wanted is kept.
            items.sort_by_key(|session| std::cmp::Reverse(filter.weight(session)));
            items.truncate(part.limit());
        }
        yield_now().await;
    }
    Ok(Json(List { items, next: from.map(Spot::text) }))
}

pub(super) async fn closed(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Query(filter)): Checked<Query<ClosedFilter>>,
) -> Result<Json<List<ClosedAnswer>>, ApiError> {
    let cores = caller.cores(&admin, &app_id, AdminRole::Read)?;
    let ClosedFilter { limit, cursor, reason, prefix, wire, address } = filter;
    one_of("wire", &wire, &WIRES)?;
    if reason.as_deref().is_some_and(|reason| End::ALL.iter().all(|end| end.as_str() != reason)) {
        let known: Vec<_> = End::ALL.iter().map(|end| end.as_str()).collect();
        return Err(ApiError::bad_request(format!("reason is one of {}", known.join(", "))));
    }
    let part = Part { limit, cursor };
    // Those that end while the cores are looked at are in no part of the list.
    let before = part.number()?.unwrap_or(u64::MAX).min(last_number().saturating_add(1));
    let is_wanted = |closed: &&ClosedPeer| {
        let user_id = closed.peer.user_id.as_ref().map_or("", |user_id| user_id.as_str());
        reason.as_deref().is_none_or(|reason| reason == closed.end.as_str())
            && prefix.as_deref().is_none_or(|prefix| user_id.starts_with(prefix))
            && wire.as_deref().is_none_or(|wire| closed.peer.wire.to_string() == wire)
            && address.is_none_or(|address| is_at(&closed.peer, address))
    };
    let mut closed: Vec<ClosedPeer> = Vec::new();
    for core in cores.all() {
        core.look(|_, peers, _| closed.extend(peers.closed(before).filter(is_wanted).take(part.limit() + 1).cloned()));
        yield_now().await;
    }
    closed.sort_by_key(|closed| std::cmp::Reverse(closed.number));
    let is_more = closed.len() > part.limit();
    closed.truncate(part.limit());
    let next = closed.last().filter(|_| is_more).map(|last| last.number.to_string());
    let answer = |closed: ClosedPeer| {
        let Peer { address, wire, since, user_id } = closed.peer;
        ClosedAnswer {
            number: closed.number,
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
    let project = admin.shared.project(project.app_id(), Some(&user_id)).unwrap_or(project);
    let (info, session, node) = project.look(|core, peers, now| {
        let info = core.inspect_user(now, &user_id);
        let session = info
            .as_ref()
            .and_then(|info| info.session.as_ref())
            .map(|session| answer(session, peers, SystemTime::now()));
        (info, session, core.node_of(&user_id).map(|node| node.node_and_worker().0.name.to_string()))
    });
    // A store that is away must not keep the rest from being shown.
    let stored = timeout(STORE_WITHIN, count_stored(&project, &user_id)).await.unwrap_or_else(|_| {
        Err(Refusal::new(ErrorKind::Timeout, "the store does not say whether messages wait for this user").into())
    });
    let info = match info {
        Some(info) => info,
        None if node.is_some() => UserInfo::default(),
        // Of whom nothing else is known, messages may wait.
        None => match stored {
            Ok(0) => {
                let name = named(user_id.as_str());
                return Err(ApiError::not_found(format!("nothing is known of the user {name} here")));
            }
            Ok(_) => UserInfo::default(),
            Err(error) => return Err(error),
        },
    };
    let state = match &info.session {
        Some(session) => Some(state_name(session.state)),
        None => node.is_none().then(|| state_name(PeerOnlineState::Offline)),
    };
    let refused = info.session.iter().flat_map(|session| session.counts.refused_calls());
    let refused = refused.filter(|(_, count)| *count > 0).map(|(reason, count)| (reason.as_str(), count)).collect();
    let attribute = |(key, value): (String, rtm_codec::Text)| (key, serde_json::Value::from(value.as_str()));
    Ok(Json(UserAnswer {
        user_id: user_id.to_string(),
        node,
        state,
        session,
        refused,
        channels: info.channels.iter().map(ToString::to_string).collect(),
        subscriptions: info.subscriptions.iter().map(ToString::to_string).collect(),
        watchers: info.watchers,
        invitations: info.invitations,
        attributes: info.attributes.into_iter().map(attribute).collect(),
        stored_messages: stored.ok(),
        restrictions: info.restrictions.into(),
    }))
}

fn answer(info: &SessionInfo, peers: &Peers, now: SystemTime) -> SessionAnswer {
    let peer = info.conn.and_then(|conn| peers.get(conn));
    SessionAnswer {
        user_id: info.user_id.to_string(),
        state: state_name(info.state),
        connected: info.conn.is_some(),
        address: peer.and_then(|peer| peer.address).map(|address| address.to_string()),
        wire: peer.map(|peer| peer.wire.to_string()),
        connected_since: peer.map(|peer| rfc3339(peer.since)),
        connected_ms: peer.map(|peer| {
            let since = now.duration_since(peer.since).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }),
        instance: info.instance.clone(),
        silent_ms: info.silent_for.as_millis().try_into().unwrap_or(u64::MAX),
        token_ends: info.token_left.map(after),
        channels: info.channels,
        subscriptions: info.subscriptions,
        queued_events: info.queued_events,
        queued_bytes: info.queued_bytes,
        window: info.window,
        rtt_ms: info.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        refused_calls: info.counts.refused_calls().map(|(_, count)| count).sum(),
        limited_calls: info
            .counts
            .refused_calls()
            .filter(|(why, _)| *why == RefusedCall::TooOften)
            .map(|(_, count)| count)
            .sum(),
        away_dropped: info.counts.away_dropped(),
    }
}

fn is_at(peer: &Peer, address: IpAddr) -> bool {
    peer.address.is_some_and(|at| at.ip().to_canonical() == address.to_canonical())
}

fn state_name(state: PeerOnlineState) -> &'static str {
    match state {
        PeerOnlineState::Online => "online",
        PeerOnlineState::Unreachable => "unreachable",
        _ => "offline",
    }
}

const STATES: [&str; 3] = ["online", "unreachable", "offline"];
const WIRES: [&str; 2] = ["native", "vendor"];
const SORTS: [&str; 10] = [
    "queued_bytes",
    "queued_events",
    "silent_ms",
    "channels",
    "subscriptions",
    "refused_calls",
    "limited_calls",
    "away_dropped",
    "rtt_ms",
    "connected_ms",
];
/// How long the store has to say how many messages wait. Who asks another node waits for longer.
const STORE_WITHIN: Duration = Duration::from_secs(2);
/// How many places are looked at under one lock.
const SLICE: usize = 256;
