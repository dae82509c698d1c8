//! The routes.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::sse::{Event, KeepAlive, Sse},
    routing::{get, post},
};
use futures::{Stream, stream};
use rtm_client::{SendOutcome, UserId};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::{Backend, error::ApiError};

pub(crate) fn routes(backend: Backend) -> Router {
    Router::new()
        .route("/tokens/{user_id}", post(token))
        .route("/users/{user_id}/messages", post(send))
        .route("/channels/{channel_id}/messages", post(publish))
        .route("/channels/{channel_id}/members", get(members))
        .route("/events", get(events))
        .with_state(backend)
}

/// Only for a user whose password, cookie or certificate you have looked at.
async fn token(State(backend): State<Backend>, Path(user_id): Path<String>) -> Result<String, ApiError> {
    let user_id = UserId::new(user_id).map_err(|error| ApiError::bad_request(&error))?;
    backend.tokens.token(user_id.as_str()).map_err(|error| ApiError::bad_request(&error))
}

async fn send(
    State(backend): State<Backend>,
    Path(user_id): Path<String>,
    text: String,
) -> Result<Json<Value>, ApiError> {
    let outcome = match backend.client.send_message_to_peer(user_id, text).await? {
        SendOutcome::Delivered => "delivered",
        SendOutcome::Stored => "stored",
        _ => "not_received",
    };
    Ok(Json(json!({ "outcome": outcome })))
}

async fn publish(
    State(backend): State<Backend>,
    Path(channel_id): Path<String>,
    text: String,
) -> Result<Json<Value>, ApiError> {
    let channel = backend.client.channel(channel_id)?;
    // Only members can send. A user can be in 20 channels, so a back end with more of them leaves some again.
    channel.ensure_joined().await?;
    channel.send_message(text).await?;
    Ok(Json(json!({ "outcome": "accepted" })))
}

async fn members(
    State(backend): State<Backend>,
    Path(channel_id): Path<String>,
) -> Result<Json<Vec<String>>, ApiError> {
    let channel = backend.client.channel(channel_id)?;
    channel.ensure_joined().await?;
    let members = channel.members().await?;
    Ok(Json(members.iter().map(|member| member.as_str().to_owned()).collect()))
}

async fn events(State(backend): State<Backend>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = stream::unfold(backend.events.subscribe(), |mut events| async move {
        let event = match events.recv().await {
            Ok(event) => Event::default().event(event.name()).json_data(&*event).ok()?,
            // A browser that reads too slowly is told so, and holds back nobody else.
            Err(RecvError::Lagged(missed)) => Event::default().event("missed").data(missed.to_string()),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), events))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
