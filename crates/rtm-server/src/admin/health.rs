//! Whether the server lives, and whether clients should be sent to it.

use std::sync::{Arc, atomic::Ordering};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

use super::Admin;

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    reasons: Vec<&'static str>,
}

/// The runtime turns, the listeners accept and no project's lock is stuck: whoever gets no answer may restart the server. The store is not asked.
pub(super) async fn live(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    match admin.shared.is_alive().await {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "a project is stuck, or a listener has ended\n"),
    }
}

pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Readiness>) {
    let reasons = admin.unready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons }))
}

/// As the public listener says it: for load balancers that ask one address for everything.
pub(super) async fn healthy(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    match admin.shared.health() {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

impl Admin {
    /// Why no clients should be sent here.
    pub(super) fn unready(&self) -> Vec<&'static str> {
        let shared = &self.shared;
        let is_certain = shared.is_serving() && shared.is_certain.load(Ordering::Relaxed);
        let is_failing = self.store.batches().is_some_and(|batches| batches.is_failing);
        let has_no_descriptors = shared.has_no_descriptors.load(Ordering::Relaxed);
        let mut listeners = shared.tls.iter().chain(&self.reloader.admin.tls);
        let is_refused = listeners.any(|tls| tls.fault().is_some());
        let reasons = [
            (shared.draining.is_announced(), "draining"),
            (is_failing, "store"),
            (has_no_descriptors, "fds"),
            (is_refused, "tls"),
            (shared.memory.is_short(), "memory"),
            (!is_certain, "cluster"),
        ];
        reasons.into_iter().filter_map(|(is_so, reason)| is_so.then_some(reason)).collect()
    }
}
