//! The calls of the API, once: the router is made of this table, and so is its description in OpenAPI.

mod schema;

use std::sync::Arc;

#[cfg(feature = "cluster")]
use axum::http::Method;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Query, Request},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post, put},
};
use serde_json::{Map, Value, json};

use self::schema::{
    Field,
    Kind::{Any, Count, Decimal, Flag, Items, Map as Names, Number, Object, Text, Texts, Time},
    example, list, object, required,
};
#[cfg(feature = "webhooks")]
use super::webhooks;
use super::{
    Admin,
    access::Caller,
    actions,
    answers::{ApiError, BODY_BYTES},
    calls, channels,
    config::AdminRole,
    events, limits, messages, samples, tokens, users,
};

/// One call.
#[derive(Debug)]
struct Call {
    method: &'static str,
    /// Below `/admin/v1`.
    path: &'static str,
    name: &'static str,
    role: AdminRole,
    summary: &'static str,
    query: &'static [Field],
    body: &'static [Field],
    answer: Answer,
}

/// What is answered.
#[derive(Debug)]
enum Answer {
    One(&'static [Field]),
    List(&'static [Field]),
    /// A list of texts.
    Texts,
}

macro_rules! calls {
    ($($(#[$meta:meta])* $method:ident $path:literal $handler:path, $name:literal, $role:ident, $summary:literal, ($query:expr), ($body:expr), $answer:expr;)*) => {
        const CALLS: &[Call] = &[$($(#[$meta])* Call {
            method: stringify!($method),
            path: $path,
            name: $name,
            role: AdminRole::$role,
            summary: $summary,
            query: $query,
            body: $body,
            answer: $answer,
        }),*];

        /// The methods and paths of all calls, below `/admin/v1`, and the roles that they need.
        #[cfg(feature = "cluster")]
        const ROUTES: &[(&str, &str, Route, AdminRole)] = &[$(
            $(#[$meta])*
            (stringify!($method), $path, Route { path: concat!("/admin/v1", $path), call: $name }, AdminRole::$role)
        ),*];

        /// All routes below `/admin/v1`.
        pub(super) fn router() -> Router<Arc<Admin>> {
            let router = Router::new();
            $(
                $(#[$meta])*
                let router = router.route(
                    $path,
                    $method($handler).route_layer(from_fn(|request: Request, next: Next| answer(Route { path: concat!("/admin/v1", $path), call: $name }, AdminRole::$role, $query, request, next))),
                );
            )*
            router
                .fallback(async || ApiError::not_found("there is no such call"))
                .method_not_allowed_fallback(async || ApiError::method_not_allowed())
                .layer(DefaultBodyLimit::max(BODY_BYTES))
        }
    };
}

calls! {
    get "/key" calls::key, "key", Read, "What the key of this call may do", (&[]), (&[]),
        Answer::One(&[("name", Text), ("role", Text), ("projects?", Texts)]);
    get "/watch" samples::watch, "watch", Read, "Figures of the last ten minutes, every two seconds; as server-sent events, which go on, where these are asked for",
        (&[]), (&[]), Answer::One(&[("samples", Items(SAMPLE))]);
    get "/server" calls::server, "server", Read, "The server: version, connections, whether it is ready",
        (&[]), (&[]), Answer::One(SERVER);
    get "/config" calls::config, "config", Read, "The configuration that the server goes by, and where each value comes from; without secrets",
        (&[("limit?", Count), ("cursor?", Text), ("prefix?", Text), ("set?", Flag)]), (&[]),
        Answer::List(&[("key", Text), ("value", Text), ("source", Text), ("from?", Text), ("reload", Flag), ("about", Text)]);
    get "/certificates" calls::certificates, "certificates", Read, "The TLS certificates of all listeners", (&[]), (&[]),
        Answer::List(&[("listener", Text), ("file", Text), ("names", Texts), ("valid_from?", Time), ("valid_until?", Time), ("days_left?", Number), ("fault?", Text)]);
    get "/cluster" calls::cluster, "cluster", Read, "The nodes of the cluster, as this one sees them",
        (&[]), (&[]), Answer::One(CLUSTER);
    get "/drain" calls::drain_progress, "drain_progress", Read, "How far the server is with going down",
        (&[]), (&[]), Answer::One(DRAIN);
    post "/drain" calls::drain, "drain", Admin, "Shuts the server down, clients first",
        (&[]), (&[]), Answer::One(DRAIN);
    get "/log" calls::log_level, "log_level", Read, "The level of the log",
        (&[]), (&[]), Answer::One(LEVEL);
    put "/log" calls::set_log_level, "set_log_level", Admin, "Sets the level of the log while the server runs",
        (&[]), (LEVEL), Answer::One(LEVEL);
    post "/reload" calls::reload, "reload", Admin, "Reads the configuration again: all of it holds, or nothing",
        (&[]), (&[]), Answer::One(&[("changed", Texts), ("needs_restart", Texts)]);
    get "/audit" calls::audit, "audit", Admin, "What operators changed, newest first", (PAGE), (&[]),
        Answer::List(&[("number", Number), ("time", Time), ("key", Text), ("address", Text), ("action", Text), ("target", Text)]);
    get "/projects" calls::projects, "projects", Read, "The projects, with their figures", (&[]), (&[]), Answer::List(PROJECT);
    get "/projects/{app_id}/limits" limits::list, "limits", Read,
        "How often the clients of a project may make each call on this node, and where that comes from", (&[]), (&[]), Answer::List(LIMIT);
    put "/projects/{app_id}/limits" limits::set, "set_limits", Admin,
        "Sets how often clients may make calls, until the next reload or restart; in a cluster on all nodes, or on the one that node names",
        (&[]), (&[("limits", Names)]), Answer::List(LIMIT);
    get "/projects/{app_id}/sessions" users::sessions, "sessions", Read,
        "The sessions, in a cluster of all nodes; with sort the first ones of that order, and no cursor",
        (&[("limit?", Count), ("cursor?", Text), ("state?", Text), ("prefix?", Text), ("wire?", Text), ("address?", Text), ("sort?", Text)]),
        (&[]), Answer::List(SESSION);
    get "/projects/{app_id}/closed" users::closed, "closed", Read, "The last connections that ended, newest first, with the reason",
        (&[("limit?", Count), ("cursor?", Text), ("reason?", Text), ("prefix?", Text), ("wire?", Text), ("address?", Text)]), (&[]),
        Answer::List(&[("number", Number), ("node?", Text), ("user_id?", Text), ("address?", Text), ("wire", Text), ("connected_since", Time), ("ended", Time), ("reason", Text)]);
    get "/projects/{app_id}/bans" actions::restrictions, "bans", Read, "Who is banned or has revoked tokens", (PAGE), (&[]),
        Answer::List(&[("user_id", Text), ("banned_until?", Text), ("tokens_revoked_before?", Time)]);
    get "/projects/{app_id}/events" events::read, "events", Read, "What happened, from the event log; as server-sent events where these are asked for",
        (&[("after?", Number), ("live?", Flag), ("user_id?", Text), ("channel_id?", Text), ("types?", Text), ("limit?", Count), ("wait?", Text)]), (&[]),
        Answer::One(&[("events", Items(&[("seq", Number), ("type", Text), ("time", Time), ("app_id", Text), ("epoch", Text), ("data", Any)])), ("epoch", Text), ("next", Number)]);
    #[cfg(feature = "webhooks")]
    get "/projects/{app_id}/webhooks" webhooks::list, "webhooks", Read, "The webhooks, and how far each is", (&[]), (&[]),
        Answer::List(&[("name", Text), ("node?", Text), ("url", Text), ("state", Text), ("settled", Number), ("read", Number), ("events", Number), ("pending", Number), ("lag_ms", Number), ("failures", Number), ("last_failure?", Object(&[("time", Time), ("what", Text)]))]);
    #[cfg(feature = "webhooks")]
    post "/projects/{app_id}/webhooks/{name}/replay" webhooks::replay, "replay_webhook", Operate, "Tells a webhook events once more",
        (&[]), (&[("after?", Number), ("time?", Time)]), Answer::One(&[("after", Number), ("settled", Number), ("paused", Flag)]);
    #[cfg(feature = "webhooks")]
    post "/projects/{app_id}/webhooks/{name}/test" webhooks::test, "test_webhook", Operate,
        "Sends a webhook an event of the type webhook.test, and says what became of it",
        (&[]), (&[]), Answer::One(&[("taken", Flag), ("answer", Text), ("took_ms", Number)]);
    #[cfg(feature = "webhooks")]
    get "/projects/{app_id}/webhooks/{name}/attempts" webhooks::attempts, "webhook_attempts", Read,
        "The last requests to a webhook, newest first, and what came of each", (&[]), (&[]),
        Answer::List(&[("time", Time), ("attempt", Number), ("first", Number), ("last", Number), ("events", Number), ("taken", Flag), ("status?", Number), ("answer", Text), ("took_ms", Number)]);
    #[cfg(feature = "webhooks")]
    post "/projects/{app_id}/webhooks/{name}/pause" webhooks::pause, "pause_webhook", Operate,
        "Tells a webhook nothing until it is enabled; the events wait in the log", (&[]), (&[]), Answer::One(DONE);
    #[cfg(feature = "webhooks")]
    post "/projects/{app_id}/webhooks/{name}/enable" webhooks::enable, "enable_webhook", Operate,
        "Tells a webhook events again that is paused, or said that it is gone", (&[]), (&[]), Answer::One(DONE);
    post "/projects/{app_id}/tokens" tokens::make, "make_token", Admin, "Makes a token with which a user logs in",
        (&[]), (&[("user_id", Text), ("for?", Text), ("version?", Text)]), Answer::One(&[("token", Text), ("ends", Time)]);
    post "/projects/{app_id}/tokens/explain" tokens::explain_one, "explain_token", Read, "Says what a token holds, and whether a user may log in with it",
        (&[]), (&[("token", Text), ("user_id?", Text)]),
        Answer::One(&[("version?", Text), ("app_id?", Text), ("user_id?", Text), ("issued?", Time), ("ends?", Time), ("verdict", Text), ("reason?", Text)]);
    post "/projects/{app_id}/revoke-tokens" actions::revoke_all_tokens, "revoke_all_tokens", Admin,
        "Revokes the tokens of all users that were issued before a time", (&[]), (REVOKE), Answer::One(REVOKED);
    get "/projects/{app_id}/users/{user_id}" users::user, "user", Read, "A user: state, session, channels, attributes, waiting messages, bans",
        (&[]), (&[]), Answer::One(USER);
    post "/projects/{app_id}/users/{user_id}/kick" actions::kick, "kick", Operate, "Ends a user's session, on whatever node it is",
        (&[]), (&[]), Answer::One(DONE);
    put "/projects/{app_id}/users/{user_id}/ban" actions::ban, "ban", Operate, "Ends a user's session and refuses its logins",
        (&[]), (&[("until?", Text), ("for?", Text)]),
        Answer::One(&[("user_id", Text), ("banned_until?", Text), ("tokens_revoked_before?", Time)]);
    delete "/projects/{app_id}/users/{user_id}/ban" actions::unban, "unban", Operate, "Lets a banned user log in again",
        (&[]), (&[]), Answer::One(DONE);
    post "/projects/{app_id}/users/{user_id}/revoke-tokens" actions::revoke_tokens, "revoke_tokens", Operate,
        "Revokes a user's tokens that were issued before a time", (&[]), (REVOKE), Answer::One(REVOKED);
    get "/projects/{app_id}/users/{user_id}/stored" actions::stored, "stored", Read, "How many messages wait for a user",
        (&[]), (&[]), Answer::One(&[("stored_messages", Number)]);
    delete "/projects/{app_id}/users/{user_id}/stored" actions::delete_stored, "delete_stored", Operate, "Removes the messages that wait for a user",
        (&[]), (&[]), Answer::One(&[("stored_messages", Number)]);
    delete "/projects/{app_id}/users/{user_id}/data" actions::delete_data, "delete_data", Operate, "Removes what is kept of a user",
        (&[]), (&[]), Answer::One(&[("stored_messages", Number), ("history_messages", Number), ("attributes", Number)]);
    get "/projects/{app_id}/users/{user_id}/history" messages::of_user, "user_history", Operate,
        "Messages of histories that a user sent, or received from users", (HISTORY), (&[]), Answer::List(MESSAGE);
    post "/projects/{app_id}/users/{user_id}/messages" messages::send_to_user, "send_to_user", Operate,
        "Sends a text to a user, in the name of any user", (&[]),
        (&[("from", Text), ("text", Text), ("offline?", Flag), ("history?", Flag)]), Answer::One(&[("outcome", Text)]);
    get "/projects/{app_id}/channels" channels::list, "channels", Read, "The channels with members or attributes; in a cluster once for each node that has some",
        (PAGE), (&[]), Answer::List(CHANNEL);
    get "/projects/{app_id}/channels/{channel_id}" channels::channel, "channel", Read, "A channel, with its attributes",
        (&[]), (&[]), Answer::One(CHANNEL_DETAILS);
    get "/projects/{app_id}/channels/{channel_id}/members" channels::members, "members", Read, "The members of a channel",
        (PAGE), (&[]), Answer::Texts;
    get "/projects/{app_id}/channels/{channel_id}/history" messages::of_channel, "channel_history", Operate,
        "Messages of a channel's history", (CHANNEL_HISTORY), (&[]), Answer::List(MESSAGE);
    post "/projects/{app_id}/channels/{channel_id}/messages" messages::send_to_channel, "send_to_channel", Operate,
        "Sends a text to a channel, in the name of any user", (&[]),
        (&[("from", Text), ("text", Text), ("history?", Flag)]), Answer::One(DONE);
}

/// The call that gave an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) path: &'static str,
    /// Its name in the description.
    pub(super) call: &'static str,
}

/// The call that a method and a path below `/admin/v1` are of, and the role that it needs.
#[cfg(feature = "cluster")]
pub(super) fn route(method: &Method, path: &str) -> Option<(Route, AdminRole)> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let is_it = |known: &str| {
        known.split('/').count() == path.split('/').count()
            && known.split('/').zip(path.split('/')).all(|(known, part)| known == part || known.starts_with('{'))
    };
    let mut routes = ROUTES.iter().filter(|(known, ..)| method.as_str().eq_ignore_ascii_case(known));
    routes.find(|(_, known, ..)| is_it(known)).map(|(.., route, role)| (*route, *role))
}

async fn answer(route: Route, role: AdminRole, query: &'static [Field], request: Request, next: Next) -> Response {
    // Whoever may not do this learns so, whatever else is wrong with the request.
    let may = request.extensions().get::<Caller>().ok_or_else(ApiError::internal).and_then(|it| it.check_role(role));
    let mut response = match may {
        Ok(()) => check_query(query, request, next).await.into_response(),
        Err(error) => error.into_response(),
    };
    response.extensions_mut().insert(route);
    response
}

/// Refuses a request with a parameter in its query that its call does not know: a misspelt one would change nothing unseen.
async fn check_query(known: &'static [Field], request: Request, next: Next) -> Result<Response, ApiError> {
    let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let known: Vec<&str> = known.iter().map(|(name, _)| required(name).0).collect();
    if let Some((name, _)) = given.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        let names = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(ApiError::bad_request(format!("unknown query parameter {name:?}: this call takes {names}")));
    }
    Ok(next.run(request).await)
}

/// In a cluster: which node answers. Whatever passes calls on takes it out of the query.
const NODE: Field = ("node?", Text);
/// How a call is refused.
const REFUSALS: &[(&str, &str)] = &[
    ("400", "Something in the request is wrong"),
    ("401", "There is no key, or one that is not known"),
    ("403", "The key may not do this, or the request was not meant for this address"),
    ("404", "What the path names is not there"),
    ("408", "The body did not come in time"),
    ("409", "It cannot be done as things are"),
    ("413", "The body is too long"),
    ("429", "It is done too often"),
    ("503", "The server or its store cannot do it now"),
];
const PAGE: &[Field] = &[("limit?", Count), ("cursor?", Text)];
const HISTORY: &[Field] = &[
    ("limit?", Count),
    ("cursor?", Text),
    ("from?", Time),
    ("until?", Time),
    ("received?", Flag),
    ("newest_first?", Flag),
];
const CHANNEL_HISTORY: &[Field] =
    &[("limit?", Count), ("cursor?", Text), ("from?", Time), ("until?", Time), ("newest_first?", Flag)];
const LIMIT: &[Field] =
    &[("call", Text), ("node?", Text), ("limit", Text), ("configured", Text), ("source", Text), ("from?", Text)];
const LEVEL: &[Field] = &[("level", Text)];
const DONE: &[Field] = &[("done", Flag)];
const REVOKE: &[Field] = &[("issued_before", Text)];
const REVOKED: &[Field] = &[("tokens_revoked_before?", Time)];
const DRAIN: &[Field] = &[("draining", Flag), ("connections", Number), ("sessions", Number)];
const SERVER: &[Field] = &[
    ("version", Text),
    ("started", Time),
    ("ready", Flag),
    ("reasons", Texts),
    ("draining", Flag),
    ("connections", Number),
    ("connections_limit", Number),
    ("listen", Texts),
    ("tls", Flag),
    ("cluster", Flag),
    ("projects", Number),
    ("certificate_ends?", Time),
    ("last_reload", Object(&[("succeeded", Time), ("fault?", Text)])),
    ("disk?", Object(&[("data_dir", Text), ("used_bytes", Number), ("free_bytes?", Number)])),
];
const CLUSTER: &[Field] = &[
    ("node", Text),
    ("epoch", Number),
    ("nodes", Items(&[("node", Text), ("role", Text), ("version?", Text), ("sessions?", Number)])),
];
const PROJECT: &[Field] = &[
    ("app_id", Text),
    ("connections", Number),
    ("sessions", Number),
    ("users_online", Number),
    ("channels", Number),
    ("invitations", Number),
    ("peer_messages", Number),
    ("channel_messages", Number),
    ("events", Number),
    ("calls", Number),
    ("refused_calls", Number),
    ("last_event", Number),
    ("tokens_revoked_before?", Time),
    (
        "quotas",
        Object(&[
            ("max_connections", Number),
            ("max_channels", Number),
            ("stored_bytes", Number),
            ("event_log_bytes", Number),
            ("rest", Text),
        ]),
    ),
    (
        "stored_bytes?",
        Object(&[("offline", Number), ("history", Number), ("channel_attributes", Number), ("events", Number)]),
    ),
];
const SAMPLE: &[Field] = &[
    ("number", Number),
    ("time", Time),
    (
        "server?",
        Object(&[
            ("connections", Number),
            ("accepted", Number),
            ("turned_away", Number),
            ("store_queue_bytes", Number),
        ]),
    ),
    (
        "projects",
        Items(&[
            ("app_id", Text),
            ("native", Number),
            ("vendor", Number),
            ("sessions", Number),
            ("users_online", Number),
            ("channels", Number),
            ("invitations", Number),
            ("peer_messages", Number),
            ("channel_messages", Number),
            ("events", Number),
            ("calls", Number),
            ("refused_calls", Number),
            ("slow_consumers", Number),
            ("away_dropped", Number),
            ("closed", Number),
            ("queued_bytes", Number),
            ("sessions_behind", Number),
            ("receipt_p50_ms?", Decimal),
            ("receipt_p99_ms?", Decimal),
        ]),
    ),
];
const SESSION: &[Field] = &[
    ("user_id", Text),
    ("node?", Text),
    ("state", Text),
    ("connected", Flag),
    ("address?", Text),
    ("wire?", Text),
    ("connected_since?", Time),
    ("connected_ms?", Number),
    ("instance", Text),
    ("silent_ms", Number),
    ("token_ends?", Time),
    ("channels", Number),
    ("subscriptions", Number),
    ("queued_events", Number),
    ("queued_bytes", Number),
    ("window", Number),
    ("rtt_ms?", Decimal),
    ("refused_calls", Number),
    ("limited_calls", Number),
    ("away_dropped", Number),
];
const USER: &[Field] = &[
    ("user_id", Text),
    ("node?", Text),
    ("state?", Text),
    ("session?", Object(SESSION)),
    ("refused", Any),
    ("channels", Texts),
    ("subscriptions", Texts),
    ("watchers", Number),
    ("invitations", Number),
    ("attributes", Names),
    ("stored_messages?", Number),
    ("banned_until?", Text),
    ("tokens_revoked_before?", Time),
];
const CHANNEL: &[Field] = &[
    ("channel_id", Text),
    ("node?", Text),
    ("members", Number),
    ("members_elsewhere", Number),
    ("attributes", Number),
    ("messages", Number),
];
const CHANNEL_DETAILS: &[Field] = &[
    ("channel_id", Text),
    ("node?", Text),
    ("members", Number),
    ("members_elsewhere", Number),
    ("attributes", Number),
    ("messages", Number),
    ("revision", Number),
    (
        "attribute_values",
        Items(&[("key", Text), ("value", Text), ("last_update_user_id", Text), ("last_update", Time)]),
    ),
];
const MESSAGE: &[Field] = &[
    ("message_id", Number),
    ("from", Text),
    ("to_user?", Text),
    ("to_channel?", Text),
    ("time", Time),
    ("text?", Text),
    ("bytes", Number),
];

/// The description of the admin API in JSON, as OpenAPI 3.1 has it.
#[must_use]
pub fn admin_openapi() -> String {
    format!("{:#}", describe())
}

fn describe() -> Value {
    let mut paths = Map::new();
    for call in CALLS {
        let path = paths.entry(format!("/admin/v1{}", call.path)).or_insert_with(|| json!({}));
        path[call.method] = call.describe();
    }
    let error = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/error" } } });
    let refusal =
        |(status, why): &(&str, &str)| ((*status).to_owned(), json!({ "description": why, "content": error }));
    let responses: Map<_, _> = REFUSALS.iter().map(refusal).collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "RTM admin API", "version": "1", "description": "What operators see and do. docs/operations.md is its tour." },
        "servers": [{ "url": "http://127.0.0.1:8090" }],
        "security": [{ "key": [] }],
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "schemas": { "error": {
                "type": "object",
                "required": ["error"],
                "properties": { "error": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
                } },
            } },
            "responses": responses,
        },
        "paths": paths,
    })
}

impl Call {
    fn describe(&self) -> Value {
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path =
            in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" }, "example": example(name, Text) }));
        let of_node = (!["events", "watch"].contains(&self.name)).then_some(&NODE);
        let in_query = self.query.iter().chain(of_node).map(|(name, kind)| {
            let (name, required) = required(name);
            let mut parameter =
                json!({ "name": name, "in": "query", "required": required, "schema": kind.schema(false) });
            // Events are of a user or of a channel: the examples of a call are used together.
            if name != "channel_id"
                && let Some(example) = example(name, *kind)
            {
                parameter["example"] = example;
            }
            parameter
        });
        let answer = match self.answer {
            Answer::One(fields) => object(fields),
            Answer::List(fields) => list(&object(fields)),
            Answer::Texts => list(&json!({ "type": "string" })),
        };
        let mut responses = Map::new();
        let content = json!({ "application/json": { "schema": answer } });
        responses.insert("200".to_owned(), json!({ "description": "Done", "content": content }));
        let may_be = |status: &str| match status {
            // What is in a path may not be there.
            "404" => self.path.contains('{'),
            "408" | "413" => !self.body.is_empty(),
            _ => true,
        };
        for (status, _) in REFUSALS.iter().filter(|(status, _)| may_be(status)) {
            let refusal = format!("#/components/responses/{status}");
            responses.insert((*status).to_owned(), json!({ "$ref": refusal }));
        }
        let mut call = json!({
            "operationId": self.name,
            "summary": self.summary,
            "description": format!("Needs a key with the role {} or a higher one.", self.role),
            "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
            "responses": responses,
        });
        if !self.body.is_empty() {
            let examples = self.body.iter().filter_map(|(name, kind)| {
                let (name, _) = required(name);
                example(name, *kind).map(|example| (name.to_owned(), example))
            });
            let example: Map<_, _> = examples.collect();
            let content = json!({ "application/json": { "schema": object(self.body), "example": example } });
            call["requestBody"] = json!({ "required": true, "content": content });
        }
        call
    }
}
