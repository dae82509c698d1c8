//! The calls of the API on the endpoints that are told what happens.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use humantime::parse_rfc3339;
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    access::Caller,
    answers::{ApiError, Checked, List, rfc3339},
    config::AdminRole,
};
use crate::{
    events::number_before,
    webhooks::worker::{Order, Webhook},
};

#[derive(Debug, Serialize)]
pub(super) struct WebhookAnswer {
    name: String,
    url: String,
    /// `elsewhere` where another node of the cluster tells the endpoint.
    state: &'static str,
    settled: u64,
    read: u64,
    events: u64,
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
pub(super) struct ReplayAnswer {
    after: u64,
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
    let live = admin.shared.live();
    let mut all = live.webhooks.get(project.app_id()).into_iter().flatten();
    let webhook = all.find(|webhook| webhook.config.name == name);
    let webhook = webhook.ok_or_else(|| ApiError::not_found("there is no such webhook"))?;
    if webhook.status().health.is_none() {
        return Err(ApiError::unavailable("another node tells this endpoint, or this one does not yet"));
    }
    let settled = webhook.status().settled_to;
    let after = match from {
        From { after: Some(after), time: None } if after > settled => {
            let what = format!("after is not behind {settled}, up to which the endpoint has its events");
            return Err(ApiError::bad_request(what));
        }
        From { after: Some(after), time: None } => after,
        From { after: None, time: Some(time) } => {
            let time =
                parse_rfc3339(&time).map_err(|_| ApiError::bad_request("time is one such as 2026-11-29T06:00:00Z"))?;
            let ms = time.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
            let before = number_before(&project, ms.try_into().unwrap_or(u64::MAX)).await;
            // What it has yet to get it gets anyway.
            before.map_err(|refusal| ApiError::unavailable(&refusal.to_string()))?.min(settled)
        }
        _ => return Err(ApiError::bad_request("either after or time is needed")),
    };
    webhook.order(Order::Replay { after });
    admin.audit.record(&caller, "replay", format!("{app_id}/{name} after {after}"));
    Ok(Json(ReplayAnswer { after }))
}

fn answer(webhook: &Arc<Webhook>) -> WebhookAnswer {
    let status = webhook.status();
    WebhookAnswer {
        name: webhook.config.name.clone(),
        url: webhook.config.target.url.clone(),
        state: status.health.map_or("elsewhere", |health| health.as_str()),
        settled: status.settled_to,
        read: status.read_to,
        events: status.taken,
        failures: status.failures,
        last_failure: status.last_failure.map(|(time, what)| Failure { time: rfc3339(time), what }),
    }
}
