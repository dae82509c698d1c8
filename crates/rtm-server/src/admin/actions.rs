//! The calls of the API that change something for users: kicks, bans, revoked tokens, data that are removed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use rtm_codec::UserId;
use rtm_core::{AdminAnswer, AdminCall, Restriction, store::Restrictions};
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    access::Caller,
    answers::{ApiError, Checked, LAST, List, rfc3339},
    calls::Part,
    config::AdminRole,
};
use crate::project::Project;

/// What is refused to a user.
#[derive(Debug, Default, Serialize)]
pub(super) struct RestrictionsAnswer {
    /// `forever` for a ban that does not end.
    banned_until: Option<String>,
    tokens_revoked_before: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct RestrictedUser {
    user_id: String,
    #[serde(flatten)]
    restrictions: RestrictionsAnswer,
}

#[derive(Debug, Serialize)]
pub(super) struct Done {
    /// Whether there was anything to be done.
    pub(super) done: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct RevokedAnswer {
    tokens_revoked_before: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct DeletedAnswer {
    stored_messages: u64,
    history_messages: u64,
    attributes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct StoredAnswer {
    stored_messages: u64,
}

/// For how long a user is banned.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BanRequest {
    /// A time, or `forever`.
    until: Option<String>,
    r#for: Option<String>,
}

/// Which tokens are revoked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeRequest {
    /// A time, or `now`.
    issued_before: String,
}

pub(super) async fn kick(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
) -> Result<Json<Done>, ApiError> {
    let user_id = read_user(&user_id)?;
    let answer = admin.operate(&caller, &app_id, &user_id, AdminCall::Kick(user_id.clone())).await?;
    admin.audit.record(&caller, "kick", format!("{app_id}/{user_id}"));
    Ok(Json(Done { done: answer == AdminAnswer::Kicked { had_session: true } }))
}

pub(super) async fn ban(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
    Checked(Json(request)): Checked<Json<BanRequest>>,
) -> Result<Json<RestrictedUser>, ApiError> {
    let user_id = read_user(&user_id)?;
    caller.project(&admin, &app_id, AdminRole::Operate)?;
    let now = SystemTime::now();
    let until = match (request.until.as_deref(), request.r#for) {
        (Some("forever"), None) => None,
        (Some(until), None) => Some(read_time("until", until)?),
        (None, Some(time)) => {
            let wrong = || ApiError::bad_request(format!("for: {time:?} is not a time: write 10m, 24h or 7d"));
            let until = match humantime::parse_duration(&time) {
                Ok(time) => now.checked_add(time).filter(|until| *until <= UNIX_EPOCH + LAST),
                Err(humantime::DurationError::NumberOverflow) => None,
                Err(_) => return Err(wrong()),
            };
            let too_long =
                || ApiError::bad_request(format!("for: {time:?} ends after the year 9999: write until forever"));
            Some(until.ok_or_else(too_long)?)
        }
        _ => return Err(ApiError::bad_request("say either until or for")),
    };
    if until.is_some_and(|until| until <= now) {
        return Err(ApiError::bad_request("this time is over: to end a session only, use kick"));
    }
    let banned_until = until.map_or(u64::MAX, unix_ms);
    let restrictions = RestrictionsAnswer::from(Some(Restrictions { banned_until, ..Restrictions::default() }));
    admin.restrict(&caller, &app_id, &user_id, Restriction::BannedUntil(banned_until)).await?;
    let until = restrictions.banned_until.as_deref().unwrap_or_default();
    admin.audit.record(&caller, "ban", format!("{app_id}/{user_id} until {until}"));
    Ok(Json(RestrictedUser { user_id: user_id.to_string(), restrictions }))
}

pub(super) async fn unban(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
) -> Result<Json<Done>, ApiError> {
    let user_id = read_user(&user_id)?;
    let done = admin.restrict(&caller, &app_id, &user_id, Restriction::Unbanned).await?;
    admin.audit.record(&caller, "unban", format!("{app_id}/{user_id}"));
    Ok(Json(Done { done }))
}

pub(super) async fn revoke_tokens(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
    Checked(Json(request)): Checked<Json<RevokeRequest>>,
) -> Result<Json<RevokedAnswer>, ApiError> {
    let user_id = read_user(&user_id)?;
    let from = request.read()?;
    admin.restrict(&caller, &app_id, &user_id, Restriction::TokensFrom(from)).await?;
    let answer = RevokedAnswer { tokens_revoked_before: time(from) };
    admin.audit.record(&caller, "revoke_tokens", format!("{app_id}/{user_id} {}", answer.what()));
    Ok(Json(answer))
}

pub(super) async fn revoke_all_tokens(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Json(request)): Checked<Json<RevokeRequest>>,
) -> Result<Json<RevokedAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Admin)?;
    let from = request.read()?;
    let restriction = Restriction::TokensFrom(from);
    project.admin(AdminCall::Restrict { user_id: None, restriction }).await?;
    let answer = RevokedAnswer { tokens_revoked_before: time(from) };
    admin.audit.record(&caller, "revoke_tokens", format!("{app_id} {}", answer.what()));
    Ok(Json(answer))
}

pub(super) async fn restrictions(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Query(part)): Checked<Query<Part>>,
) -> Result<Json<List<RestrictedUser>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let last = part.cursor.as_deref().map(read_user).transpose()?;
    let found = project.look(|core, _, now| core.inspect_restrictions(now, last.as_ref(), part.limit()));
    let next = found.last().filter(|_| found.len() == part.limit()).map(|(user_id, _)| user_id.to_string());
    let items = found.into_iter().map(|(user_id, restrictions)| RestrictedUser {
        user_id: user_id.to_string(),
        restrictions: Some(restrictions).into(),
    });
    Ok(Json(List { items: items.collect(), next }))
}

pub(super) async fn delete_data(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
) -> Result<Json<DeletedAnswer>, ApiError> {
    let user_id = read_user(&user_id)?;
    // It is written down first: some of it may be gone when it fails.
    caller.project(&admin, &app_id, AdminRole::Operate)?;
    admin.audit.note(&caller, "delete_data", format!("{app_id}/{user_id}"));
    let answer = admin.operate(&caller, &app_id, &user_id, AdminCall::DeleteData(user_id.clone())).await?;
    admin.audit.done("delete_data");
    let AdminAnswer::Deleted(deleted) = answer else { return Err(ApiError::internal()) };
    Ok(Json(DeletedAnswer {
        stored_messages: deleted.stored_messages,
        history_messages: deleted.history_messages,
        attributes: deleted.attributes,
    }))
}

/// Removes the messages that wait for a user.
pub(super) async fn delete_stored(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
) -> Result<Json<StoredAnswer>, ApiError> {
    let user_id = read_user(&user_id)?;
    caller.project(&admin, &app_id, AdminRole::Operate)?;
    admin.audit.note(&caller, "delete_stored", format!("{app_id}/{user_id}"));
    let answer = admin.operate(&caller, &app_id, &user_id, AdminCall::DeleteStored(user_id.clone())).await?;
    admin.audit.done("delete_stored");
    let AdminAnswer::Deleted(deleted) = answer else { return Err(ApiError::internal()) };
    Ok(Json(StoredAnswer { stored_messages: deleted.stored_messages }))
}

pub(super) async fn stored(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, user_id))): Checked<Path<(String, String)>>,
) -> Result<Json<StoredAnswer>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let stored_messages = count_stored(&project, &read_user(&user_id)?).await?;
    Ok(Json(StoredAnswer { stored_messages }))
}

/// How many messages wait for a user.
pub(super) async fn count_stored(project: &Arc<Project>, user_id: &UserId) -> Result<u64, ApiError> {
    match project.admin(AdminCall::CountStored(user_id.clone())).await? {
        AdminAnswer::StoredMessages(count) => Ok(count),
        _ => Err(ApiError::internal()),
    }
}

impl Admin {
    /// Has something done to a user, if the caller may.
    async fn operate(
        &self,
        caller: &Caller,
        app_id: &str,
        user_id: &UserId,
        call: AdminCall,
    ) -> Result<AdminAnswer, ApiError> {
        let project = caller.project(self, app_id, AdminRole::Operate)?;
        let project = self.shared.project(project.app_id(), Some(user_id)).unwrap_or(project);
        Ok(project.admin(call).await?)
    }

    /// Says whether anything is different from before.
    async fn restrict(
        &self,
        caller: &Caller,
        app_id: &str,
        user_id: &UserId,
        restriction: Restriction,
    ) -> Result<bool, ApiError> {
        let call = AdminCall::Restrict { user_id: Some(user_id.clone()), restriction };
        Ok(self.operate(caller, app_id, user_id, call).await? == AdminAnswer::Restricted { changed: true })
    }
}

impl RevokeRequest {
    fn read(&self) -> Result<u64, ApiError> {
        match self.issued_before.as_str() {
            "now" => Ok(unix_ms(SystemTime::now())),
            time => match read_time("issued_before", time)? {
                time if time > SystemTime::now() + CLOCKS_DIFFER => Err(ApiError::bad_request(
                    "issued_before is in the future: tokens that are made until then would be refused too",
                )),
                time => Ok(unix_ms(time)),
            },
        }
    }
}

impl RevokedAnswer {
    fn what(&self) -> String {
        self.tokens_revoked_before.as_ref().map_or_else(|| "none".to_owned(), |before| format!("before {before}"))
    }
}

impl From<Option<Restrictions>> for RestrictionsAnswer {
    fn from(restrictions: Option<Restrictions>) -> Self {
        let Restrictions { banned_until, tokens_from, .. } = restrictions.unwrap_or_default();
        let forever = (banned_until == u64::MAX).then(|| "forever".to_owned());
        Self { banned_until: forever.or_else(|| time(banned_until)), tokens_revoked_before: time(tokens_from) }
    }
}

/// The user of this name.
pub(super) fn read_user(text: &str) -> Result<UserId, ApiError> {
    UserId::new(text).map_err(|error| ApiError::bad_request(format!("the user: {error}")))
}

/// A time as operators write it.
pub(super) fn read_time(name: &str, text: &str) -> Result<SystemTime, ApiError> {
    let wrong = |_| ApiError::bad_request(format!("{name}: {text:?} is not a time: write 2030-01-31T12:00:00Z"));
    humantime::parse_rfc3339(text).map_err(wrong)
}

/// A time in milliseconds since the Unix epoch, as people read it; none for 0.
pub(super) fn time(unix_ms: u64) -> Option<String> {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms));
    (unix_ms > 0).then(|| rfc3339(time.unwrap_or(UNIX_EPOCH + FAR)))
}

/// A time in milliseconds since the Unix epoch.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The clocks of operators and servers differ by less.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// Later than any time that can be written.
const FAR: Duration = Duration::from_secs(u32::MAX as u64 * 1000);
