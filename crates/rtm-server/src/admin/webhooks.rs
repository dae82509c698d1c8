//! The calls of the API on the endpoints that are told what happens.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    access::Caller,
    actions::{Done, read_time},
    answers::{ApiError, Checked, List, rfc3339},
    config::AdminRole,
};
use crate::{
    config::sources::without_secrets,
    events::number_before,
    project::Project,
    webhooks::{
        delivery::Health,
        status::{Attempt, Tried},
        worker::{Order, Webhook},
    },
};

#[derive(Debug, Serialize)]
pub(super) struct WebhookAnswer {
    name: String,
    url: String,
    /// `elsewhere` where another node of the cluster tells the endpoint, `waiting` where this one does so soon.
    state: &'static str,
    settled: u64,
    read: u64,
    events: u64,
    /// How many events wait to be taken, as far as the log was read.
    pending: usize,
    /// How long ago the oldest of them happened.
    lag_ms: u64,
    failures: u64,
    last_failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    time: String,
    what: String,
}

/// From where an endpoint gets everything again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    after: Option<u64>,
    time: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct TestAnswer {
    taken: bool,
    answer: String,
    took_ms: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct AttemptAnswer {
    time: String,
    /// Which try it was of these events, from 1 on.
    attempt: u32,
    first: u64,
    last: u64,
    events: usize,
    taken: bool,
    status: Option<u16>,
    answer: String,
    took_ms: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ReplayAnswer {
    after: u64,
    /// Up to here the endpoint has its events: those between the two come again.
    settled: u64,
    /// They wait until the webhook is enabled.
    paused: bool,
}

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
) -> Result<Json<List<WebhookAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let live = admin.shared.live();
    let items = live.webhooks.get(project.app_id()).into_iter().flatten().map(answer).collect();
    Ok(Json(List { items, next: None }))
}

pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, name))): Checked<Path<(String, String)>>,
    Checked(Json(from)): Checked<Json<From>>,
) -> Result<Json<ReplayAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    let webhook = find(&admin, &project, &name)?;
    check_is_here(&webhook)?;
    let status = webhook.status();
    let settled = status.settled_to;
    let after = match from {
        From { after: Some(after), time: None } if after > settled => {
            let what = format!("after is not behind {settled}, up to which the endpoint has its events");
            return Err(ApiError::bad_request(what));
        }
        From { after: Some(after), time: None } => after,
        From { after: None, time: Some(time) } => {
            let time = read_time("time", &time)?;
            if time > SystemTime::now() {
                return Err(ApiError::bad_request("time is in the future: nothing has happened since"));
            }
            let ms = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
            let before = number_before(&project, ms.try_into().unwrap_or(u64::MAX)).await;
            // What it has yet to get it gets anyway.
            before.map_err(|refusal| ApiError::unavailable(&refusal.to_string()))?.min(settled)
        }
        _ => return Err(ApiError::bad_request("either after or time is needed")),
    };
    webhook.order(Order::Replay { after });
    admin.audit.record(&caller, "replay_webhook", format!("{app_id}/{name} after {after}"));
    Ok(Json(ReplayAnswer { after, settled, paused: status.health == Some(Health::Paused) }))
}

/// Sends an endpoint an event that means nothing, and says what became of it.
pub(super) async fn test(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, name))): Checked<Path<(String, String)>>,
) -> Result<Json<TestAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    let webhook = find(&admin, &project, &name)?;
    check_is_or_will_be_here(&webhook)?;
    admin.audit.record(&caller, "test_webhook", format!("{app_id}/{name}"));
    let Tried { is_taken, what, took } = webhook.try_out().await;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(TestAnswer { taken: is_taken, answer: what, took_ms }))
}

/// The last requests to an endpoint, newest first.
pub(super) async fn attempts(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, name))): Checked<Path<(String, String)>>,
) -> Result<Json<List<AttemptAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let webhook = find(&admin, &project, &name)?;
    check_is_or_will_be_here(&webhook)?;
    let status = webhook.status();
    let answer = |attempt: Attempt| AttemptAnswer {
        time: rfc3339(attempt.time),
        attempt: attempt.number,
        first: attempt.first,
        last: attempt.last,
        events: attempt.events,
        taken: attempt.is_taken,
        status: attempt.status,
        answer: attempt.what,
        took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
    };
    Ok(Json(List { items: status.attempts.into_iter().rev().map(answer).collect(), next: None }))
}

/// Has an endpoint get nothing until it is enabled.
pub(super) async fn pause(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, name))): Checked<Path<(String, String)>>,
) -> Result<Json<Done>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    let webhook = find(&admin, &project, &name)?;
    check_is_or_will_be_here(&webhook)?;
    let done = webhook.status().health.is_none_or(|health| !health.is_off());
    if done {
        webhook.order(Order::Pause);
    }
    admin.audit.record(&caller, "pause_webhook", format!("{app_id}/{name}"));
    Ok(Json(Done { done }))
}

/// Has an endpoint get events again that said that it wants no more, or was paused, and at once what it did not take.
pub(super) async fn enable(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, name))): Checked<Path<(String, String)>>,
) -> Result<Json<Done>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Operate)?;
    let webhook = find(&admin, &project, &name)?;
    check_is_or_will_be_here(&webhook)?;
    let done = webhook.status().health.is_none_or(|health| health != Health::Working);
    if done {
        webhook.order(Order::Enable);
    }
    admin.audit.record(&caller, "enable_webhook", format!("{app_id}/{name}"));
    Ok(Json(Done { done }))
}

fn find(admin: &Admin, project: &Project, name: &str) -> Result<Arc<Webhook>, ApiError> {
    let live = admin.shared.live();
    let mut all = live.webhooks.get(project.app_id()).into_iter().flatten();
    let webhook = all.find(|webhook| webhook.config.name == name);
    webhook.cloned().ok_or_else(|| ApiError::no_such("webhook", name))
}

fn check_is_here(webhook: &Webhook) -> Result<(), ApiError> {
    match webhook.status().health {
        Some(_) => Ok(()),
        None => Err(ApiError::unavailable("another node tells this endpoint, or this one does not yet")),
    }
}

/// The same for what can be done before this node tells the endpoint, which it will.
fn check_is_or_will_be_here(webhook: &Webhook) -> Result<(), ApiError> {
    if webhook.status().is_awaited { Ok(()) } else { check_is_here(webhook) }
}

fn answer(webhook: &Arc<Webhook>) -> WebhookAnswer {
    let status = webhook.status();
    let (pending, oldest) = status.pending;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    WebhookAnswer {
        name: webhook.config.name.clone(),
        url: without_secrets(&webhook.config.target.url),
        state: match status.health {
            Some(health) => health.as_str(),
            None if status.is_awaited => "waiting",
            None => "elsewhere",
        },
        settled: status.settled_to,
        read: status.read_to,
        events: status.taken,
        pending,
        lag_ms: oldest.map_or(0, |oldest| now.saturating_sub(oldest)),
        failures: status.failures,
        last_failure: status.last_failure.map(|(time, what)| Failure { time: rfc3339(time), what }),
    }
}
