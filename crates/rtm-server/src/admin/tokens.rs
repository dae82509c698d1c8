//! The calls of the API on access tokens: making one, and saying what a server makes of one.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use rtm_token::{Builder, Holder, MAX_TTL, TokenError, TokenErrorKind, Version, explain, verify};
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    access::Caller,
    actions::read_user,
    answers::{ApiError, Checked, rfc3339},
    config::AdminRole,
};

/// Whom a token is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    user_id: String,
    /// A time of at most 24 hours, which is the default.
    r#for: Option<String>,
    /// `006`, the default, or `007`.
    version: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct TokenAnswer {
    token: String,
    ends: String,
}

/// A token, and who wants to log in with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainRequest {
    token: String,
    user_id: Option<String>,
}

/// What a token says of itself where it can be read, and what the server makes of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct ExplainAnswer {
    version: Option<String>,
    app_id: Option<String>,
    user_id: Option<String>,
    issued: Option<String>,
    ends: Option<String>,
    /// `valid`, `refused`, or `undecided` where it must be said who wants to log in.
    verdict: &'static str,
    /// Why it is refused or undecided.
    reason: Option<String>,
}

pub(super) async fn make(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Json(request)): Checked<Json<TokenRequest>>,
) -> Result<Json<TokenAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Admin)?;
    let user_id = read_user(&request.user_id)?;
    let certificate = project.look(|core, _, _| core.config().certificates.first().cloned());
    let certificate =
        certificate.ok_or_else(|| ApiError::unavailable("this project is open: its users need no token"))?;
    let life = match request.r#for {
        Some(text) => humantime::parse_duration(&text)
            .ok()
            .filter(|time| (Duration::from_secs(1)..=MAX_TTL).contains(time))
            .ok_or_else(|| ApiError::bad_request("for is a time of 1s to 24h"))?,
        None => MAX_TTL,
    };
    let version: Version = match request.version {
        Some(text) => text.parse().map_err(|_| ApiError::bad_request("version is 006 or 007"))?,
        None => Version::V006,
    };
    let builder = Builder::for_now(&app_id, &certificate, user_id.as_str()).version(version).ttl(life);
    let token = builder.build().map_err(|error| ApiError::bad_request(error.to_string()))?;
    admin.audit.record(&caller, "make_token", format!("{app_id}/{user_id}"));
    let ends = explain(&token).map_or(0, |explained| explained.ends_at);
    Ok(Json(TokenAnswer { token, ends: second(ends) }))
}

pub(super) async fn explain_one(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Json(request)): Checked<Json<ExplainRequest>>,
) -> Result<Json<ExplainAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let user_id = request.user_id.filter(|user_id| !user_id.is_empty());
    user_id.as_deref().map(read_user).transpose()?;
    let token = request.token.trim();
    let now = SystemTime::now();
    let explained = match explain(token) {
        Ok(explained) => explained,
        Err(error) => {
            let reason = Some(error.to_string());
            return Ok(Json(ExplainAnswer { verdict: "refused", reason, ..ExplainAnswer::default() }));
        }
    };
    let named = match &explained.holder {
        Holder::Uid(named) => Some(named.clone()),
        _ => None,
    };
    let (verdict, reason) = match user_id.or_else(|| named.clone()) {
        None if matches!(explained.holder, Holder::Nobody) => {
            ("refused", Some(TokenError::NoLoginPrivilege.to_string()))
        }
        None => ("undecided", Some("this token does not contain its user: say who wants to log in".to_owned())),
        Some(user_id) => {
            let (certificates, policy) = project.look(|core, _, _| {
                let config = core.config();
                (config.certificates.clone(), config.token_policy)
            });
            let restricted = |issued_at_ms| {
                let user_id = read_user(&user_id)?;
                let checked = project.look(|core, _, now| core.check_restrictions(now, &user_id, issued_at_ms));
                Ok::<_, ApiError>(checked.err().map(|refusal| refusal.detail.to_string()))
            };
            let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            match verify(token, &app_id, &certificates, &user_id, seconds, &policy) {
                // Without tokens there is none to revoke, and still there are bans.
                _ if certificates.is_empty() => match restricted(u64::MAX)? {
                    None => ("valid", Some("this project is open: tokens are not looked at".to_owned())),
                    refused => ("refused", refused),
                },
                Ok(verified) => match restricted(verified.issued_at.saturating_mul(1000))? {
                    None => ("valid", None),
                    refused => ("refused", refused),
                },
                Err(error) if error.kind() == TokenErrorKind::Expired => {
                    let ago = Duration::from_secs(seconds.saturating_sub(explained.ends_at));
                    ("refused", Some(format!("it ended {} ago", humantime::format_duration(ago))))
                }
                Err(error) => ("refused", Some(error.to_string())),
            }
        }
    };
    Ok(Json(ExplainAnswer {
        version: Some(explained.version.as_str().to_owned()),
        app_id: Some(explained.app_id.clone()),
        user_id: named,
        issued: Some(second(explained.issued_at)),
        ends: Some(second(explained.ends_at)),
        verdict,
        reason,
    }))
}

fn second(unix: u64) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_secs(unix))
}
