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
    spot::Spot,
};
use crate::project::Project;

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
    let cores = caller.cores(&admin, &app_id, AdminRole::Read)?;
    let mut items = Vec::new();
    let mut from = Some(Spot::of(&part)?);
    while let Some(at) = from.filter(|_| items.len() < part.limit()) {
        let Some(core) = cores.get(at.core) else {
            from = None;
            break;
        };
        let mut found = Vec::new();
        let next = core.look(|core, _, _| {
            let room = part.limit() - items.len();
            core.inspect_channels(at.place, room.min(SLICE), |info| found.push(info))
        });
        for (number, other) in cores.all().enumerate().filter(|(number, _)| *number != at.core) {
            other.look(|core, _, _| {
                found.retain_mut(|info| match core.channel_info(&info.channel_id) {
                    // It stands in the list where the first core has it.
                    Some(_) if number < at.core => false,
                    Some(theirs) => {
                        info.merge(&theirs);
                        true
                    }
                    None => true,
                });
            });
        }
        // Every node of a cluster has the attributes of all channels: it is in the lists of those with members.
        found.retain(|info| info.members > 0 || !admin.is_in_cluster());
        items.extend(found.iter().map(answer));
        from = at.then(next, cores.all().count());
        yield_now().await;
    }
    Ok(Json(List { items, next: from.map(Spot::text) }))
}

pub(super) async fn channel(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path((app_id, channel_id))): Checked<Path<(String, String)>>,
) -> Result<Json<ChannelDetails>, ApiError> {
    let cores = caller.cores(&admin, &app_id, AdminRole::Read)?;
    let channel_id = read_channel(&channel_id)?;
    let mut known = cores.all().filter_map(|core| core.look(|core, _, _| core.inspect_channel(&channel_id)));
    let (mut info, mut attributes) = known.next().ok_or_else(|| no_channel(&channel_id))?;
    for (theirs, newer) in known {
        info.merge(&theirs);
        if newer.revision > attributes.revision {
            attributes = newer;
        }
    }
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
    let cores = caller.cores(&admin, &app_id, AdminRole::Read)?;
    let channel_id = read_channel(&channel_id)?;
    let knows = |core: &Arc<Project>| core.look(|core, _, _| core.channel_info(&channel_id)).is_some();
    if !cores.all().any(knows) {
        return Err(no_channel(&channel_id));
    }
    let mut items = Vec::new();
    let mut from = Some(Spot::of(&part)?);
    while let Some(at) = from.filter(|_| items.len() < part.limit()) {
        let Some(core) = cores.get(at.core) else {
            from = None;
            break;
        };
        let room = part.limit() - items.len();
        let (members, next) = core.look(|core, _, _| core.inspect_members(&channel_id, at.place, room));
        items.extend(members.iter().map(ToString::to_string));
        from = at.then(next, cores.all().count());
        yield_now().await;
    }
    Ok(Json(List { items, next: from.map(Spot::text) }))
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

fn no_channel(channel_id: &ChannelId) -> ApiError {
    ApiError::no_such("channel", channel_id.as_str())
}

const SLICE: usize = 256;
