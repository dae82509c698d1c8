//! A call that a node passes on to another one, and what that one makes of it.

use std::{error::Error as _, fmt::Display, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, future::BoxFuture};
use http_body_util::LengthLimitError;
use rtm_codec::AppId;
use rtm_core::cluster::NodeName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tower_service::Service as _;

use super::{Nodes, cursor::Cursor};
use crate::{
    admin::{
        Admin,
        access::Caller,
        answers::{ApiError, in_time},
        config::AdminRole,
        openapi::{self, Route},
    },
    cluster::{Answerer, NotAnswered},
};

/// A call on its way to another node, which does not ask for a key again.
#[derive(Debug, Serialize, Deserialize)]
struct Forwarded {
    method: String,
    /// With the query.
    path: String,
    body: String,
    key: String,
    address: IpAddr,
    role: String,
    projects: Option<Vec<String>>,
    /// The span of the call that is passed on. Older nodes say none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: Value,
}

pub(super) type Asked = BoxFuture<'static, Result<Answered, ApiError>>;

impl Nodes {
    /// Passes a call on.
    pub(super) fn ask(&self, node: &NodeName, caller: &Caller, uri: &Uri, method: &Method, body: String) -> Asked {
        let forwarded = Forwarded {
            // An answer's head is what is left of it where that is all that is wanted.
            method: if *method == Method::HEAD { Method::GET } else { method.clone() }.to_string(),
            path: uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str()).to_owned(),
            body,
            key: caller.name.clone(),
            address: caller.address,
            role: caller.role.to_string(),
            projects: caller.projects.as_ref().map(|projects| projects.iter().map(ToString::to_string).collect()),
            traceparent: caller.traceparent.as_ref().and_then(|it| it.to_str().ok()).map(str::to_owned),
        };
        let (calls, node) = (self.calls.clone(), node.clone());
        let may_be_done = if method.is_safe() { "" } else { ". It may be done all the same" };
        let within = if uri.path().ends_with("/test") { TEST_WITHIN } else { ANSWER_WITHIN };
        Box::pin(async move {
            let does_not =
                |why: &dyn Display| ApiError::no_answer(format!("the node {node} does not answer: {why}{may_be_done}"));
            let request = serde_json::to_vec(&forwarded).map_err(|error| does_not(&error))?;
            let answer = calls.call(&node, request.into(), within).await.map_err(|error| match error {
                NotAnswered::TooLong(_) => ApiError::too_large(format!("this cannot be passed on: {error}")),
                error => does_not(&error),
            })?;
            serde_json::from_slice(&answer).map_err(|error| does_not(&error))
        })
    }
}

/// What answers the calls that other nodes pass on, whatever keys this one has: they have seen the key, and whoever may write to
/// the subjects of a cluster on NATS can do all that anyway.
pub(crate) fn answerer(admin: Arc<Admin>) -> Answerer {
    let router: Router = openapi::router().with_state(Arc::clone(&admin));
    Arc::new(move |request| {
        let (admin, router) = (Arc::clone(&admin), router.clone());
        Box::pin(async move {
            let answer = match answer(&admin, router, &request).await {
                Ok(answer) => answer,
                Err(error) => {
                    answered(error.into_response()).await.unwrap_or(Answered { status: 500, body: Value::Null })
                }
            };
            serde_json::to_vec(&answer).unwrap_or_default()
        })
    })
}

async fn answer(admin: &Admin, mut router: Router, request: &Bytes) -> Result<Answered, ApiError> {
    let unreadable = |error: &dyn Display| ApiError::bad_request(format!("this is no call of a node: {error}"));
    let Forwarded { method, path, body, key, address, role, projects, traceparent } =
        serde_json::from_slice(request).map_err(|error| unreadable(&error))?;
    let role: AdminRole = role.parse().map_err(|error| unreadable(&error))?;
    let read = |projects: Vec<String>| projects.iter().map(|app_id| app_id.parse::<AppId>()).collect::<Result<_, _>>();
    let projects = projects.map(read).transpose().map_err(|error| unreadable(&error))?;
    let request = Request::builder().method(method.as_str()).uri(path).header(CONTENT_TYPE, "application/json");
    let mut request = request.body(Body::from(body)).map_err(|error| unreadable(&error))?;
    let method = request.method().clone();
    let of_trace = traceparent.and_then(|text| HeaderValue::try_from(text).ok()).map(|it| (TRACEPARENT, it));
    let mut span = admin.shared.traces.served(&method, &HeaderMap::from_iter(of_trace));
    span.text("rtm.admin.key", &key);
    request.extensions_mut().insert(Caller { name: key, address, role, projects, key: None, traceparent: None });
    let response = match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if let Some(&Route { path, .. }) = response.extensions().get() {
        span.is_of(&method, path);
    }
    span.answered(response.status().as_u16(), response.status().is_server_error());
    answered(response).await
}

/// An answer as it goes from node to node.
pub(super) async fn answered(response: Response) -> Result<Answered, ApiError> {
    let status = response.status().as_u16();
    let mut body = response.into_body().into_data_stream();
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part.map_err(|error| ApiError::no_answer(error.to_string()))?);
        if bytes.len() > MOST_ANSWER_BYTES {
            return Err(ApiError::bad_request("the answer is too long to be passed on: ask for less at once"));
        }
    }
    Ok(Answered { status, body: serde_json::from_slice(&bytes).map_err(|_| ApiError::internal())? })
}

impl Answered {
    pub(super) fn list(items: Vec<Value>, next: &Cursor) -> Self {
        let body = Map::from_iter([("items".to_owned(), items.into()), ("next".to_owned(), next.text().into())]);
        Self { status: 200, body: body.into() }
    }

    pub(super) fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body)).into_response()
    }
}

pub(super) async fn read_body(body: Body) -> Result<String, ApiError> {
    let read = in_time(to_bytes(body, MOST_BODY_BYTES)).await?;
    let body = read.map_err(|error| match error.source() {
        Some(source) if source.is::<LengthLimitError>() => {
            ApiError::too_large(format!("a body of more than {MOST_BODY_BYTES} bytes is not passed on to other nodes"))
        }
        _ => ApiError::bad_request(error.to_string()),
    })?;
    String::from_utf8(body.into()).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// The header of W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How long a body may be that is passed on: NATS takes no longer message everywhere.
const MOST_BODY_BYTES: usize = 48 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// An endpoint that is tried out may take its time.
const TEST_WITHIN: Duration = Duration::from_secs(20);
const MOST_ANSWER_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_a_node_that_says_no_trace_is_read() {
        let older = r#"{"method":"GET","path":"/server","body":"","key":"support","address":"127.0.0.1","role":"read","projects":null}"#;
        let read: Forwarded = serde_json::from_str(older).unwrap();
        assert_eq!(read.traceparent, None);
        assert_eq!(serde_json::to_string(&read).unwrap(), older, "nodes that know no traces are asked as ever");
    }
}
