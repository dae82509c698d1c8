//! Calls that concern the other nodes of a cluster too: a list is one of all nodes, and `node` has a call answered by the
//! node that it names.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, VecDeque},
    error::Error as _,
    fmt::Display,
    future::ready,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header::CONTENT_TYPE, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::{
    StreamExt as _,
    future::{BoxFuture, join_all},
};
use http_body_util::LengthLimitError;
use rtm_codec::AppId;
use rtm_core::cluster::NodeName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tower_service::Service as _;

use super::{
    Admin,
    access::Caller,
    answers::{ApiError, in_time},
    config::AdminRole,
    openapi::{self, Route},
};
use crate::cluster::{
    Answerer, Figures, NodeCalls, NotAnswered,
    names::{escape, unescape},
};

/// The cluster, as the admin API sees it.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) me: NodeName,
    pub(crate) figures: Arc<Figures>,
    pub(crate) calls: NodeCalls,
}

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
struct Answered {
    status: u16,
    body: Value,
}

/// Whose answer a call wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// This node's.
    Here,
    /// This node's, which may go on for as long as somebody reads.
    Stream,
    /// The lists of all nodes, one after the other.
    InTurn,
    /// The lists of all nodes, the newest items first.
    Newest,
    /// The answer of the node that knows most.
    WhoKnows,
    /// The answer of the node that tells an endpoint what happens.
    WhoTells,
    /// Of each endpoint what the node says that tells it.
    Webhooks,
    /// All nodes do it, and this one says what came of it.
    Everywhere,
}

/// A node's part of a list, and where it goes on; or another answer, where there is none.
type Part = Result<(Vec<Value>, Option<u64>), Answered>;

type Asked = BoxFuture<'static, Result<Answered, ApiError>>;

/// How far a list of several nodes has been read: nodes that are not here have no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cursor(Vec<(NodeName, Option<u64>)>);

/// Has a call answered by whom it concerns.
pub(super) async fn spread(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    // What is no call is no other node's either.
    let Some((route, role)) = openapi::route(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    let mut response = match try_spread(admin, role, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    // What other nodes answer too is a call of this kind.
    response.extensions_mut().insert(route);
    response
}

async fn try_spread(admin: Arc<Admin>, role: AdminRole, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let Query(mut query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let named = query.iter().position(|(name, _)| name == NODE).map(|at| query.remove(at).1);
    if !admin.is_in_cluster() {
        return match named {
            Some(_) => Err(ApiError::unavailable("this server is in no cluster")),
            None => Ok(next.run(Request::from_parts(parts, body)).await),
        };
    }
    let Some(caller) = parts.extensions.get::<Caller>().cloned() else { return Err(ApiError::internal()) };
    // The node that knows the key says what it may do. Others go by that.
    caller.check_role(role)?;
    // What it has of the projects is not the cluster's before it is a member.
    let is_about_server = is_about_server(&parts.method, parts.uri.path());
    if named.is_none() && !is_about_server && !admin.shared.is_serving() {
        return Err(ApiError::no_answer(OUTSIDE.to_owned()));
    }
    let Some(nodes) = admin.cluster.get().cloned() else {
        return match named {
            Some(_) => Err(ApiError::no_answer(OUTSIDE.to_owned())),
            None => Ok(next.run(Request::from_parts(parts, body)).await),
        };
    };
    let me = nodes.me.clone();
    let seen = nodes.figures.nodes().nodes;
    let mut all: Vec<NodeName> = seen.iter().filter_map(|node| NodeName::new(&node.name).ok()).collect();
    all.sort();
    let scope = Scope::of(&parts.method, parts.uri.path());
    if named.is_some() {
        parts.uri = with_query(&parts.uri, &query)?;
        if scope == Scope::Stream {
            return Err(ApiError::bad_request(
                "this call goes on for as long as it is read: ask the node itself, without node",
            ));
        }
    }
    if named.as_deref().map_or(matches!(scope, Scope::Here | Scope::Stream), |named| named == me.as_str()) {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    if !all.contains(&me) {
        let why = format!("this node is not a member of its cluster now: node={me} asks it alone");
        return Err(ApiError::no_answer(why));
    }
    if let Some(named) = named {
        let node = all.iter().find(|node| node.as_str() == named).cloned();
        let node = node.ok_or_else(|| ApiError::not_found(format!("there is no node {named:?} in the cluster")))?;
        let body = read_body(body).await?;
        return Ok(nodes.ask(&node, &caller, &parts.uri, &parts.method, body).await?.into_response());
    }
    let body = read_body(body).await?;
    let everybody = Everybody { nodes, all, caller, parts, body, next };
    let answered = match scope {
        Scope::InTurn if query.iter().any(|(name, _)| name == SORT) => everybody.sorted(query).await?,
        Scope::InTurn => everybody.in_turn(query).await?,
        Scope::Newest => everybody.newest(query).await?,
        Scope::WhoTells => everybody.who_tells(query).await?,
        Scope::Webhooks => everybody.webhooks(query).await?,
        Scope::Everywhere => everybody.everywhere(query).await?,
        Scope::Here | Scope::Stream | Scope::WhoKnows => everybody.who_knows(query).await?,
    };
    Ok(answered.into_response())
}

/// A call that is asked of several nodes.
struct Everybody {
    nodes: Arc<Nodes>,
    all: Vec<NodeName>,
    caller: Caller,
    parts: Parts,
    body: String,
    next: Next,
}

type Pairs = Vec<(String, String)>;

impl Everybody {
    fn ask(&self, node: &NodeName, query: &[(String, String)]) -> Asked {
        let uri = match with_query(&self.parts.uri, query) {
            Ok(uri) => uri,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        if *node != self.nodes.me {
            return self.nodes.ask(node, &self.caller, &uri, &self.parts.method, self.body.clone());
        }
        let mut parts = self.parts.clone();
        parts.uri = uri;
        let (next, body) = (self.next.clone(), Body::from(self.body.clone()));
        Box::pin(async move { answered(next.run(Request::from_parts(parts, body)).await).await })
    }

    /// A node's part of a list, each item with its node.
    fn list(&self, node: &NodeName, query: &[(String, String)]) -> BoxFuture<'static, Result<Part, ApiError>> {
        let (asked, node) = (self.ask(node, query), node.clone());
        Box::pin(async move {
            let mut answer = asked.await?;
            if answer.status != StatusCode::OK {
                return Ok(Err(answer));
            }
            let Some(Value::Array(mut items)) = answer.body.get_mut("items").map(Value::take) else {
                return Err(ApiError::internal());
            };
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                item.insert(NODE.to_owned(), node.as_str().into());
            }
            let next = answer.body.get("next").and_then(Value::as_str).and_then(|next| next.parse().ok());
            Ok(Ok((items, next)))
        })
    }

    /// All at once, in the order that they are asked for.
    async fn sorted(self, query: Pairs) -> Result<Answered, ApiError> {
        let key = query.iter().find(|(name, _)| name == SORT).map(|(_, value)| value.clone()).unwrap_or_default();
        let lists = join_all(self.all.iter().map(|node| self.list(node, &query))).await;
        let mut items = match gather(lists)? {
            Ok(items) => items,
            Err(answer) => return Ok(answer),
        };
        let weight = |item: &Value| item.get(&key).and_then(Value::as_f64).unwrap_or(0.0);
        items.sort_by(|one, other| weight(other).partial_cmp(&weight(one)).unwrap_or(Ordering::Equal));
        items.truncate(limit(&query)?);
        Ok(Answered::list(items, &Cursor::default()))
    }

    /// One after the other, until there are enough.
    async fn in_turn(self, mut query: Pairs) -> Result<Answered, ApiError> {
        let (mut left, read) = (limit(&query)?, take_cursor(&mut query)?);
        let begins = read.and_then(|Cursor(read)| read.into_iter().next());
        let mut to_ask = self.all.clone();
        to_ask.retain(|node| begins.as_ref().is_none_or(|(first, _)| node >= first));
        let mut items = Vec::new();
        let mut unknown = Vec::new();
        for (at, node) in to_ask.clone().into_iter().enumerate() {
            let from = begins.as_ref().filter(|(first, _)| *first == node).and_then(|(_, from)| *from);
            match self.list(&node, &part(&query, left, from)).await? {
                Ok((mut more, next)) => {
                    left = left.saturating_sub(more.len());
                    items.append(&mut more);
                    let cursor = match (next, left, to_ask.get(at + 1)) {
                        (Some(_), ..) => Some((node, next)),
                        (None, 0, Some(next)) => Some((next.clone(), None)),
                        _ => None,
                    };
                    if let Some(cursor) = cursor {
                        return Ok(Answered::list(items, &Cursor(vec![cursor])));
                    }
                }
                Err(answer) if answer.status == StatusCode::NOT_FOUND => unknown.push(answer),
                Err(answer) => return Ok(answer),
            }
        }
        let nobody_knows = begins.is_none() && unknown.len() == self.all.len();
        match unknown.pop().filter(|_| nobody_knows) {
            Some(answer) => Ok(answer),
            None => Ok(Answered::list(items, &Cursor::default())),
        }
    }

    /// All at once, the newest of all first.
    async fn newest(self, mut query: Pairs) -> Result<Answered, ApiError> {
        let (limit, read) = (limit(&query)?, take_cursor(&mut query)?);
        let Cursor(read) = read.unwrap_or_else(|| Cursor(self.all.iter().map(|node| (node.clone(), None)).collect()));
        let read: Vec<_> = read.into_iter().filter(|(node, _)| self.all.contains(node)).collect();
        let asked = read.iter().map(|(node, from)| self.list(node, &part(&query, limit, *from)));
        let (mut lists, mut unknown) = (Vec::new(), None);
        for ((node, _), list) in read.iter().zip(join_all(asked).await) {
            match list? {
                Ok((items, next)) => lists.push(NewestFirst { node: node.clone(), items: items.into(), next }),
                Err(answer) if answer.status == StatusCode::NOT_FOUND => unknown = Some(answer),
                Err(answer) => return Ok(answer),
            }
        }
        match unknown.filter(|_| lists.is_empty()) {
            Some(answer) => Ok(answer),
            None => {
                let (items, cursor) = merge_newest(lists, limit);
                Ok(Answered::list(items, &cursor))
            }
        }
    }

    /// The answer of the node that does not say that another one tells the endpoint.
    async fn who_tells(self, query: Pairs) -> Result<Answered, ApiError> {
        let here = self.ask(&self.nodes.me, &query).await?;
        if here.status != StatusCode::CONFLICT {
            return Ok(here);
        }
        for node in self.all.iter().filter(|node| **node != self.nodes.me) {
            let answer = self.ask(node, &query).await?;
            if answer.status != StatusCode::CONFLICT {
                return Ok(answer);
            }
        }
        Ok(here)
    }

    /// This node's answer, once all have done it. What one does not do is said with the nodes that have done it.
    async fn everywhere(self, query: Pairs) -> Result<Answered, ApiError> {
        let here = self.ask(&self.nodes.me, &query).await?;
        // What is wrong with it here is wrong with it everywhere.
        if here.status != StatusCode::OK {
            return Ok(here);
        }
        let others: Vec<_> = self.all.iter().filter(|node| **node != self.nodes.me).collect();
        let answers = join_all(others.iter().map(|node| self.ask(node, &query))).await;
        let (mut done, mut not_done) = (vec![self.nodes.me.to_string()], Vec::new());
        for (node, answer) in others.into_iter().zip(answers) {
            match answer {
                Ok(answer) if answer.status == StatusCode::OK => done.push(node.to_string()),
                Ok(answer) => {
                    let why =
                        answer.body.pointer("/error/message").and_then(Value::as_str).unwrap_or("it does not say why");
                    not_done.push(format!("{node} does not: {why}"));
                }
                Err(error) => not_done.push(error.to_string()),
            }
        }
        if not_done.is_empty() {
            return Ok(here);
        }
        Err(ApiError::no_answer(format!("{} did it, but {}", done.join(", "), not_done.join("; "))))
    }

    /// The list of this node, with what others say of the endpoints that they tell.
    async fn webhooks(self, query: Pairs) -> Result<Answered, ApiError> {
        let (mut here, _) = match self.list(&self.nodes.me, &query).await? {
            Ok(here) => here,
            Err(answer) => return Ok(answer),
        };
        let is_elsewhere = |webhook: &Value| webhook.get("state").is_some_and(|state| state == "elsewhere");
        if here.iter().any(is_elsewhere) {
            let others = self.all.iter().filter(|node| **node != self.nodes.me);
            let theirs = match gather(join_all(others.map(|node| self.list(node, &query))).await)? {
                Ok(theirs) => theirs,
                Err(answer) => return Ok(answer),
            };
            for webhook in here.iter_mut().filter(|webhook| is_elsewhere(webhook)) {
                let is_it = |one: &&Value| one.get("name") == webhook.get("name") && !is_elsewhere(one);
                if let Some(told) = theirs.iter().find(is_it) {
                    *webhook = told.clone();
                }
            }
        }
        Ok(Answered::list(here, &Cursor::default()))
    }

    /// The answer of the node that has the session, or else of one that knows anything.
    async fn who_knows(self, query: Pairs) -> Result<Answered, ApiError> {
        let here = self.ask(&self.nodes.me, &query).await?;
        // Every node has a channel's attributes, a user's ban and waiting messages: the one with the members, or the
        // session, knows more.
        let is_whole = |answer: &Answered| {
            let has_session = answer.body.get("session").is_none_or(|session| !session.is_null());
            let has_members = answer.body.get("members").is_none_or(|members| *members != 0);
            answer.status == StatusCode::OK && has_session && has_members
        };
        let known_by = |mut answer: Answered, node: &NodeName| {
            if let Some(body) = answer.body.as_object_mut() {
                body.insert(NODE.to_owned(), node.as_str().into());
            }
            answer
        };
        if is_whole(&here) {
            return Ok(known_by(here, &self.nodes.me));
        }
        let others: Vec<_> = self.all.iter().filter(|node| **node != self.nodes.me).collect();
        let answers = join_all(others.iter().map(|node| self.ask(node, &query))).await;
        let (mut best, mut silent) = (here, Vec::new());
        for (node, answer) in others.into_iter().zip(answers) {
            match answer {
                Ok(answer) if is_whole(&answer) => return Ok(known_by(answer, node)),
                Ok(answer) if best.status != StatusCode::OK && answer.status == StatusCode::OK => best = answer,
                Ok(_) => {}
                Err(error) => silent.push((node, error)),
            }
        }
        // A node that does not answer may be the one that knows.
        let is_there = |node: &NodeName| best.body.get(NODE).is_some_and(|there| there == node.as_str());
        let is_missed = |(node, _): &(&NodeName, ApiError)| best.status != StatusCode::OK || is_there(node);
        match silent.into_iter().find(is_missed) {
            Some((_, error)) => Err(error),
            None => Ok(best),
        }
    }
}

impl Nodes {
    /// Passes a call on.
    fn ask(&self, node: &NodeName, caller: &Caller, uri: &Uri, method: &Method, body: String) -> Asked {
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
async fn answered(response: Response) -> Result<Answered, ApiError> {
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
    fn list(items: Vec<Value>, next: &Cursor) -> Self {
        let body = Map::from_iter([("items".to_owned(), items.into()), ("next".to_owned(), next.text().into())]);
        Self { status: 200, body: body.into() }
    }

    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body)).into_response()
    }
}

impl Scope {
    fn of(method: &Method, path: &str) -> Self {
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        match parts[..] {
            ["projects", _, "webhooks", _, _] => Self::WhoTells,
            ["watch"] | ["projects", _, "events"] => Self::Stream,
            ["projects", _, "limits"] if method == Method::PUT => Self::Everywhere,
            _ if method != Method::GET => Self::Here,
            ["projects", _, "webhooks"] => Self::Webhooks,
            ["projects", _, "sessions" | "channels"] | ["projects", _, "channels", _, "members"] => Self::InTurn,
            ["projects", _, "closed"] => Self::Newest,
            ["projects", _, "users" | "channels", _] => Self::WhoKnows,
            _ => Self::Here,
        }
    }
}

/// Whether a call is about this server alone, also where that is a node of a cluster.
fn is_about_server(method: &Method, path: &str) -> bool {
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        ["projects", _, "limits"] => method != Method::PUT,
        ["projects", _, ..] | ["cluster"] => false,
        _ => true,
    }
}

impl Cursor {
    /// As it stands in a list: `NODE.NUMBER`, and commas between. There is none where nothing is left.
    fn text(&self) -> Option<String> {
        let one = |(node, number): &(NodeName, Option<u64>)| {
            format!("{}.{}", escape(node.as_str()), number.map_or(String::new(), |n| n.to_string()))
        };
        (!self.0.is_empty()).then(|| self.0.iter().map(one).collect::<Vec<_>>().join(","))
    }

    fn read(text: &str) -> Option<Self> {
        let one = |text: &str| {
            let (node, number) = text.split_once('.')?;
            let node = NodeName::new(&unescape(node)?).ok()?;
            let number = if number.is_empty() { None } else { Some(number.parse().ok()?) };
            Some((node, number))
        };
        let read: Vec<(NodeName, Option<u64>)> = text.split(',').map(one).collect::<Option<_>>()?;
        let mut nodes = BTreeSet::new();
        read.iter().all(|(node, _)| nodes.insert(node)).then_some(Self(read.clone()))
    }
}

/// A node's part of a list whose first item is its newest, and where it goes on.
struct NewestFirst {
    node: NodeName,
    items: VecDeque<Value>,
    next: Option<u64>,
}

/// The newest of all items, at most so many, and where each list goes on. Each keeps its own order, whatever the clocks say, and
/// goes on behind what was taken of it: what comes in the meantime is in no part that follows, and nothing is left out.
fn merge_newest(mut lists: Vec<NewestFirst>, limit: usize) -> (Vec<Value>, Cursor) {
    let ended =
        |list: &NewestFirst| list.items.front().map(|item| item["ended"].as_str().unwrap_or_default().to_owned());
    let mut items = Vec::new();
    while items.len() < limit {
        let Some(newest) = lists.iter().filter_map(ended).max() else { break };
        let list = lists.iter_mut().find(|list| ended(list).as_ref() == Some(&newest));
        items.extend(list.and_then(|list| list.items.pop_front()));
    }
    let goes_on = |list: NewestFirst| {
        // A cursor is the number before which a list goes on.
        let first = list.items.front().and_then(|item| item["number"].as_u64()).map(|number| number.saturating_add(1));
        Some((list.node, Some(first.or(list.next)?)))
    };
    (items, Cursor(lists.into_iter().filter_map(goes_on).collect()))
}

/// What is in all lists. What a node does not know is not missing, unless nobody knows it.
fn gather(lists: Vec<Result<Part, ApiError>>) -> Result<Result<Vec<Value>, Answered>, ApiError> {
    let (mut items, mut unknown, mut is_known) = (Vec::new(), None, false);
    for list in lists {
        match list? {
            Ok((mut more, _)) => {
                items.append(&mut more);
                is_known = true;
            }
            Err(answer) if answer.status == StatusCode::NOT_FOUND => unknown = Some(answer),
            Err(answer) => return Ok(Err(answer)),
        }
    }
    match unknown.filter(|_| !is_known) {
        Some(answer) => Ok(Err(answer)),
        None => Ok(Ok(items)),
    }
}

async fn read_body(body: Body) -> Result<String, ApiError> {
    let read = in_time(to_bytes(body, MOST_BODY_BYTES)).await?;
    let body = read.map_err(|error| match error.source() {
        Some(source) if source.is::<LengthLimitError>() => {
            ApiError::too_large(format!("a body of more than {MOST_BODY_BYTES} bytes is not passed on to other nodes"))
        }
        _ => ApiError::bad_request(error.to_string()),
    })?;
    String::from_utf8(body.into()).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn take_cursor(query: &mut Vec<(String, String)>) -> Result<Option<Cursor>, ApiError> {
    let at = query.iter().position(|(name, _)| name == CURSOR);
    let Some((_, text)) = at.map(|at| query.remove(at)) else { return Ok(None) };
    Cursor::read(&text).map(Some).ok_or_else(|| ApiError::bad_request("this cursor is not one of ours"))
}

/// How many items are wanted: what each node makes of it too.
fn limit(query: &[(String, String)]) -> Result<usize, ApiError> {
    let Some((_, value)) = query.iter().find(|(name, _)| name == LIMIT) else { return Ok(100) };
    let value: usize = value.parse().map_err(|_| ApiError::bad_request("limit is a number"))?;
    Ok(value.clamp(1, 1000))
}

/// The query for a node's part of a list.
fn part(query: &[(String, String)], limit: usize, from: Option<u64>) -> Vec<(String, String)> {
    let others = query.iter().filter(|(name, _)| name != LIMIT).cloned();
    let limit = (LIMIT.to_owned(), limit.to_string());
    others.chain([limit]).chain(from.map(|from| (CURSOR.to_owned(), from.to_string()))).collect()
}

fn with_query(uri: &Uri, query: &[(String, String)]) -> Result<Uri, ApiError> {
    let query = serde_urlencoded::to_string(query).map_err(|_| ApiError::internal())?;
    let path = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    path.parse().map_err(|_| ApiError::internal())
}

/// The parameters of queries that this looks at.
const NODE: &str = "node";
const SORT: &str = "sort";
const LIMIT: &str = "limit";
const CURSOR: &str = "cursor";
/// The header of W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How long a body may be that is passed on: NATS takes no longer message everywhere.
const MOST_BODY_BYTES: usize = 48 * 1024;
const OUTSIDE: &str = "this node is not in its cluster: only calls about the server itself are answered";
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// An endpoint that is tried out may take its time.
const TEST_WITHIN: Duration = Duration::from_secs(20);
const MOST_ANSWER_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_whatever_nodes_are_called() {
        let name = |name| NodeName::new(name).unwrap();
        let cursor = Cursor(vec![(name("host:8080"), Some(7)), (name("a,b.c"), None)]);
        let text = cursor.text().unwrap();
        assert_eq!(text, "host=3A8080.7,a=2Cb=2Ec.");
        assert_eq!(Cursor::read(&text), Some(cursor));
        assert_eq!(Cursor::default().text(), None);
        for wrong in ["rtm-1.7,rtm-1.8", "", "7", "rtm-1", "rtm-1.x", "rtm-1.7,", ".7", "rtm 1.7"] {
            assert_eq!(Cursor::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_call_that_others_answer_too_has_its_route() {
        let route = |path| openapi::route(&Method::GET, path).map(|(route, _)| route.path);
        assert_eq!(route("/projects/APP/users/alice"), Some("/admin/v1/projects/{app_id}/users/{user_id}"));
        assert_eq!(route("/server"), Some("/admin/v1/server"));
        assert_eq!(route("/nowhere"), None);
        assert!(openapi::route(&Method::HEAD, "/server").is_some());
        assert!(openapi::route(&Method::TRACE, "/server").is_none());
    }

    #[test]
    fn a_list_of_the_newest_is_read_on_without_gap_or_repetition_while_more_ends() {
        let name = |name| NodeName::new(name).unwrap();
        // What ended at each node, oldest first: its time and its number.
        let mut nodes = [
            (name("a"), vec![("10:03", 1), ("10:01", 2), ("10:04", 3)]),
            (name("b"), vec![("10:02", 7)]),
            (name("c"), vec![]),
        ];
        let read = |nodes: &[(NodeName, Vec<(&str, u64)>)], cursor: &Cursor, limit: usize| {
            let part = |(node, before): &(NodeName, Option<u64>)| {
                let (_, all) = nodes.iter().find(|(known, _)| known == node).unwrap();
                let mut wanted = all.iter().rev().filter(|(_, number)| before.is_none_or(|before| *number < before));
                let items: Vec<_> = wanted.by_ref().take(limit).collect();
                let next = items.last().filter(|_| wanted.next().is_some()).map(|(_, number)| *number);
                let item = |(ended, number): &(&str, u64)| serde_json::json!({ "ended": ended, "number": number });
                NewestFirst { node: node.clone(), items: items.into_iter().map(item).collect(), next }
            };
            merge_newest(cursor.0.iter().map(part).collect(), limit)
        };
        for limit in [1, 2, 100] {
            let mut cursor = Cursor(nodes.iter().map(|(node, _)| (node.clone(), None)).collect());
            let mut seen = Vec::new();
            while !cursor.0.is_empty() {
                let (items, next) = read(&nodes, &cursor, limit);
                seen.extend(items.iter().map(|item| item["number"].as_u64().unwrap()));
                cursor = next;
                // Everywhere something ends between two parts.
                nodes.iter_mut().for_each(|(_, all)| all.push(("10:05", 100 + all.len() as u64)));
            }
            nodes.iter_mut().for_each(|(_, all)| all.retain(|(_, number)| *number < 100));
            // A clock that goes back changes no node's own order.
            assert_eq!(seen, [3, 7, 2, 1], "{limit} at once");
        }
    }

    #[test]
    fn a_call_of_a_node_that_says_no_trace_is_read() {
        let older = r#"{"method":"GET","path":"/server","body":"","key":"support","address":"127.0.0.1","role":"read","projects":null}"#;
        let read: Forwarded = serde_json::from_str(older).unwrap();
        assert_eq!(read.traceparent, None);
        assert_eq!(serde_json::to_string(&read).unwrap(), older, "nodes that know no traces are asked as ever");
    }

    #[test]
    fn lists_are_of_all_nodes_and_what_is_a_nodes_own_is_not() {
        for (path, scope) in [
            ("/projects/APP/sessions", Scope::InTurn),
            ("/projects/APP/channels", Scope::InTurn),
            ("/projects/APP/channels/room/members", Scope::InTurn),
            ("/projects/APP/closed", Scope::Newest),
            ("/projects/APP/users/alice", Scope::WhoKnows),
            ("/projects/APP/channels/room", Scope::WhoKnows),
            ("/projects/APP/users/alice/stored", Scope::Here),
            ("/projects/APP/events", Scope::Stream),
            ("/projects/APP/users/events", Scope::WhoKnows),
            ("/projects/APP/limits", Scope::Here),
            ("/server", Scope::Here),
        ] {
            assert_eq!(Scope::of(&Method::GET, path), scope, "{path}");
        }
        for (path, scope) in
            [("/projects/APP/webhooks/crm/pause", Scope::WhoTells), ("/projects/APP/users/alice/kick", Scope::Here)]
        {
            assert_eq!(Scope::of(&Method::POST, path), scope, "{path}");
        }
        assert_eq!(Scope::of(&Method::PUT, "/projects/APP/limits"), Scope::Everywhere);
        assert_eq!(Scope::of(&Method::PUT, "/projects/APP/users/limits"), Scope::Here);
    }
}
