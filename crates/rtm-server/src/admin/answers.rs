//! How the API answers: lists, errors, and times as people and programs read them.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use rtm_codec::{ErrorKind, Refusal};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

/// A part of a request, which is refused as everything else is if it cannot be read.
pub(super) struct Checked<E>(pub(super) E);

impl<S: Send + Sync, E: FromRequestParts<S, Rejection: fmt::Display>> FromRequestParts<S> for Checked<E> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = E::from_request_parts(parts, state).await;
        read.map(Self).map_err(|error| ApiError::bad_request(error.to_string()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Checked<Json<T>> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read = in_time(Json::from_request(request, state)).await?;
        read.map(Self).map_err(|error: JsonRejection| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(format!("the body has more than {BODY_BYTES} bytes")),
            _ => ApiError::bad_request(error.body_text()),
        })
    }
}

/// Waits for a request's body, which may not take for ever: others wait for its connection.
pub(super) async fn in_time<R>(read: impl Future<Output = R>) -> Result<R, ApiError> {
    timeout(BODY_WITHIN, read).await.map_err(|_| ApiError::timeout())
}

/// Part of a list.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// Where to go on: the value of `cursor`.
    pub(super) next: Option<String>,
}

/// Why a call is refused.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_argument", message: message.into() }
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code: "unauthorized", message: message.into() }
    }

    pub(super) fn forbidden(message: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, code: "forbidden", message }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message: message.into() }
    }

    /// There is nothing of this kind that is called so.
    pub(super) fn no_such(kind: &str, name: &str) -> Self {
        Self::not_found(format!("there is no {kind} {}", named(name)))
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this call has another method".to_owned();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "method_not_allowed", message }
    }

    pub(super) fn timeout() -> Self {
        let message = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
        Self { status: StatusCode::REQUEST_TIMEOUT, code: "timeout", message }
    }

    pub(super) fn too_large(message: String) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, code: "too_large", message }
    }

    /// The listener has no connection left for that.
    pub(super) fn busy() -> Self {
        let message = "the admin listener has as many connections as it may: try again".to_owned();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "failed", message }
    }

    pub(super) fn too_often(message: impl Into<String>) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, code: "too_often", message: message.into() }
    }

    /// An operation was refused, or failed.
    fn failed(refusal: &Refusal) -> Self {
        let message = match refusal.detail.as_str() {
            "" => refusal.kind.to_string(),
            detail => detail.to_owned(),
        };
        match refusal.kind {
            ErrorKind::Failure | ErrorKind::Timeout => {
                Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "failed", message }
            }
            ErrorKind::TooOften => Self { status: StatusCode::TOO_MANY_REQUESTS, code: "too_often", message },
            ErrorKind::ExceedLimit => Self { status: StatusCode::CONFLICT, code: "too_much", message },
            _ => Self { status: StatusCode::BAD_REQUEST, code: "invalid_argument", message },
        }
    }

    /// Something did not do what it promises.
    pub(super) fn internal() -> Self {
        let message = "the server gave another answer than it should".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "internal", message }
    }

    /// Another node did not do what it was to.
    #[cfg(feature = "cluster")]
    pub(super) fn no_answer(message: String) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "failed", message }
    }

    pub(super) fn unavailable(message: &str) -> Self {
        Self { status: StatusCode::CONFLICT, code: "unavailable", message: message.into() }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::failed(&refusal)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message } = self;
        let body = serde_json::json!({ "error": { "code": code, "message": message } });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
        }
        response
    }
}

/// A name that somebody has sent, which may hold anything and be of any length.
pub(super) fn named(name: &str) -> String {
    format!("{:?}", name.chars().take(NAME_CHARS).collect::<String>())
}

/// A time as RFC 3339 writes it, in UTC; one that it cannot write as the last that it can.
pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST)).to_string()
}

/// So much is shown of a name: no id is longer.
const NAME_CHARS: usize = 64;
/// How long a request's body may take.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may be: a message in which everything is escaped, and room for the rest.
pub(super) const BODY_BYTES: usize = 256 * 1024;
/// The end of the year 9999.
pub(super) const LAST: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use bytes::Bytes;
    use futures::{StreamExt as _, stream};
    use serde_json::Value;

    use super::*;

    async fn refusal(body: Body) -> (StatusCode, &'static str) {
        let request = Request::builder().header(header::CONTENT_TYPE, "application/json").body(body).unwrap();
        let read = Checked::<Json<Value>>::from_request(request, &()).await;
        read.map(|_| ()).map_err(|error| (error.status, error.code)).unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_waited_for_no_longer_than_it_may_take() {
        let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]).chain(stream::pending());
        let since = tokio::time::Instant::now();
        assert_eq!(refusal(Body::from_stream(begun)).await, (StatusCode::REQUEST_TIMEOUT, "timeout"));
        assert_eq!(since.elapsed().as_secs(), BODY_WITHIN.as_secs());
    }
}
