//! Whether the server lives, and whether clients should be sent to it.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};

use super::Admin;
use crate::shared::{NOT_ALIVE, readiness};

/// The runtime turns, the listeners accept and no project's lock is stuck: whoever gets no answer may restart the server. The store is not asked.
pub(super) async fn live(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    match admin.shared.says_it_lives().await {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, NOT_ALIVE),
    }
}

pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, [(HeaderName, &'static str); 1], String) {
    let reasons = admin.shared.unready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], readiness(&reasons))
}

/// As the public listener says it: for load balancers that ask one address for everything.
pub(super) async fn healthy(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    match admin.shared.health() {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}
