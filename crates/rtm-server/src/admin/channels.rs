//! The calls of the API on channels.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use rtm_codec::ChannelId;
use rtm_core::ChannelInfo;
use serde::Serialize;
use tokio::task::yield_now;

use super::{
    Admin,
    access::Caller,
    answers::{ApiError, Checked, List, rfc3339},
    calls::Part,
    config::AdminRole,
};

#[derive(Debug, Serialize)]
pub(super) struct ChannelAnswer {
    channel_id: String,
    members: usize,
    members_elsewhere: usize,
    attributes: usize,
    /// How many messages there were since it has had members or attributes here.
    messages: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ChannelDetails {
    #[serde(flatten)]
    channel: ChannelAnswer,
    revision: u64,
    attribute_values: Vec<AttributeAnswer>,
}

#[derive(Debug, Serialize)]
struct AttributeAnswer {
    key: String,
    value: String,
    last_update_user_id: String,
    last_update: String,
}

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Query(part)): Checked<Query<Part>>,
) -> Result<Json<List<ChannelAnswer>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let mut items = Vec::new();
    let mut from = Some(part.number()?.unwrap_or(0));
    while let Some(at) = from.filter(|_| items.len() < part.limit()) {
        from = project.look(|core, _, _| {
            let room = part.limit() - items.len();
            core.inspect_channels(at, room.min(SLICE), |info| items.push(answer(&info)))
        });
        yield_now().await;
    }
    Ok(Json(List { items, next: from.map(|at| at.to_string()) }))
}

pub(super) async fn channel(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, channel_id))): Checked<Path<(String, String)>>,
) -> Result<Json<ChannelDetails>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let channel_id = read_channel(&channel_id)?;
    let found = project.look(|core, _, _| core.inspect_channel(&channel_id));
    let (info, attributes) = found.ok_or_else(no_channel)?;
    let values = attributes.attributes.into_iter().map(|(key, attribute)| AttributeAnswer {
        key: key.as_str().to_owned(),
        value: attribute.value.as_str().to_owned(),
        last_update_user_id: attribute.last_update_user_id.to_string(),
        last_update: rfc3339(UNIX_EPOCH + Duration::from_millis(attribute.last_update_ts)),
    });
    Ok(Json(ChannelDetails {
        channel: answer(&info),
        revision: attributes.revision.0,
        attribute_values: values.collect(),
    }))
}

pub(super) async fn members(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, channel_id))): Checked<Path<(String, String)>>,
    Checked(Query(part)): Checked<Query<Part>>,
) -> Result<Json<List<String>>, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let channel_id = read_channel(&channel_id)?;
    let from = part.number()?.unwrap_or(0);
    let found = project.look(|core, _, _| {
        let (info, _) = core.inspect_channel(&channel_id)?;
        Some((info.members, core.inspect_members(&channel_id, from, part.limit())))
    });
    let (count, members) = found.ok_or_else(no_channel)?;
    let end = from + members.len();
    let next = (end < count && !members.is_empty()).then(|| end.to_string());
    Ok(Json(List { items: members.iter().map(ToString::to_string).collect(), next }))
}

fn answer(info: &ChannelInfo) -> ChannelAnswer {
    ChannelAnswer {
        channel_id: info.channel_id.to_string(),
        members: info.members,
        members_elsewhere: info.members_elsewhere,
        attributes: info.attributes,
        messages: info.messages,
    }
}

/// The channel of this name.
pub(super) fn read_channel(text: &str) -> Result<ChannelId, ApiError> {
    ChannelId::new(text).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn no_channel() -> ApiError {
    ApiError::not_found("there is no such channel")
}

const SLICE: usize = 256;
