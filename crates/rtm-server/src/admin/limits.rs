//! The calls of the API on how often the clients of a project may make each call.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use rtm_codec::{CallLimit, LimitedCall};
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    access::Caller,
    answers::{ApiError, Checked, List},
    config::AdminRole,
};
use crate::{
    config::{read_limit, show_limit},
    server::reload::HeldLimit,
};

/// A limit as it holds now.
#[derive(Debug, Serialize)]
pub(super) struct LimitAnswer {
    call: &'static str,
    limit: String,
    /// What the configuration says, which holds again after a reload or a restart.
    configured: String,
    /// `operator` where it was set while the server runs, and else where the configuration has it from.
    source: &'static str,
    /// The variable or the flag.
    from: Option<String>,
}

/// New limits by the names of their calls. Others stay as they are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsRequest {
    limits: BTreeMap<String, String>,
}

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
) -> Result<Json<List<LimitAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let held = admin.reloader.limits(project.app_id()).await;
    Ok(Json(answer(held.ok_or_else(|| ApiError::no_such("project", &app_id))?)))
}

/// Sets limits until the next reload or restart.
pub(super) async fn set(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Json(request)): Checked<Json<LimitsRequest>>,
) -> Result<Json<List<LimitAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Admin)?;
    let wanted = request.read()?;
    let set = admin.reloader.set_limits(project.app_id(), &wanted).await;
    set.map_err(|error| ApiError::unavailable(&error.to_string()))?;
    let said: Vec<_> = request.limits.iter().map(|(call, limit)| format!("{call}={limit}")).collect();
    admin.audit.record(&caller, "set_limits", format!("{app_id} {}", said.join(" ")));
    let held = admin.reloader.limits(project.app_id()).await;
    Ok(Json(answer(held.ok_or_else(|| ApiError::no_such("project", &app_id))?)))
}

impl LimitsRequest {
    /// `None` for a limit that the configuration says again.
    fn read(&self) -> Result<BTreeMap<LimitedCall, Option<CallLimit>>, ApiError> {
        if self.limits.is_empty() {
            return Err(ApiError::bad_request("limits names no call"));
        }
        let one = |(name, text): (&String, &String)| {
            let call = LimitedCall::ALL.into_iter().find(|call| call.as_str() == name).ok_or_else(|| {
                let names: Vec<_> = LimitedCall::ALL.iter().map(|call| call.as_str()).collect();
                ApiError::bad_request(format!("no limit is called {name:?}, but {}", names.join(", ")))
            })?;
            let limit = match text.as_str() {
                CONFIGURED => None,
                text => Some(
                    read_limit(text)
                        .map_err(|what| ApiError::bad_request(format!("{name}: {what}, or {CONFIGURED}")))?,
                ),
            };
            Ok((call, limit))
        };
        self.limits.iter().map(one).collect()
    }
}

fn answer(held: Vec<HeldLimit>) -> List<LimitAnswer> {
    let one = |HeldLimit { call, limit, configured, source }: HeldLimit| LimitAnswer {
        call: call.as_str(),
        limit: show_limit(limit.unwrap_or(configured)),
        configured: show_limit(configured),
        source: limit.map_or_else(|| source.as_str(), |_| "operator"),
        from: source.name().filter(|_| limit.is_none()).map(ToOwned::to_owned),
    };
    List { items: held.into_iter().map(one).collect(), next: None }
}

/// In place of a limit: what the configuration says.
const CONFIGURED: &str = "configured";
