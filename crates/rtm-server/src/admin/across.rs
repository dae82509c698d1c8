//! Calls that concern the other nodes of a cluster too: a list is one of all nodes, and `node` has a call answered by the
//! node that it names.

mod cursor;
mod everybody;
mod passed_on;

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State},
    http::{Method, Uri},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use rtm_core::cluster::NodeName;

use self::{everybody::Everybody, passed_on::read_body};
use super::{Admin, access::Caller, answers::ApiError, config::AdminRole, openapi};
use crate::cluster::{Figures, NodeCalls};

pub(crate) use self::passed_on::answerer;

/// The cluster, as the admin API sees it.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) me: NodeName,
    pub(crate) figures: Arc<Figures>,
    pub(crate) calls: NodeCalls,
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

fn with_query(uri: &Uri, query: &[(String, String)]) -> Result<Uri, ApiError> {
    let query = serde_urlencoded::to_string(query).map_err(|_| ApiError::internal())?;
    let path = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    path.parse().map_err(|_| ApiError::internal())
}

/// The parameters of queries that this looks at.
const NODE: &str = "node";
const SORT: &str = "sort";
const OUTSIDE: &str = "this node is not in its cluster: only calls about the server itself are answered";

#[cfg(test)]
mod tests {
    use super::*;

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
