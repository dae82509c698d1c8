//! What a call that failed is over HTTP.

use std::fmt;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use rtm_client::{ErrorKind, RtmError};
use serde_json::json;

/// A status with a reason, and after how many seconds the caller may try again.
pub(crate) struct ApiError {
    status: StatusCode,
    reason: String,
    retry_after: Option<u64>,
}

impl ApiError {
    pub(crate) fn bad_request(reason: &dyn fmt::Display) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.to_string(), retry_after: None }
    }
}

impl From<RtmError> for ApiError {
    fn from(error: RtmError) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidArgument
            | ErrorKind::InvalidUserId
            | ErrorKind::InvalidMessage
            | ErrorKind::SizeOverflow => StatusCode::BAD_REQUEST,
            ErrorKind::TooOften | ErrorKind::SameChannelTooOften => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::ExceedLimit => StatusCode::CONFLICT,
            // The back end itself has no connection at the moment.
            ErrorKind::NotLoggedIn | ErrorKind::ClientEnded => StatusCode::SERVICE_UNAVAILABLE,
            // Nobody knows whether it was done: whoever asks again may do it twice.
            ErrorKind::Timeout | ErrorKind::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        // Rounded up: a second early is too early.
        let retry_after = error.retry_after().map(|wait| wait.as_secs() + 1);
        Self { status, reason: format!("{error:#}"), retry_after }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.reason }))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
