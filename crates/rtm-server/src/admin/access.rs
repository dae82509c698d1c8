//! Who may call the API: keys, their roles, and what a page in somebody's browser must not do.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use rtm_codec::{AppId, CallLimit, CallLimiter};
use tokio::{spawn, sync::watch};

use super::{
    Admin,
    answers::{ApiError, named},
    config::AdminRole,
    keys::AdminKeys,
    openapi::Route,
};
use crate::{clock::instant, project::Project, shared::Seldom, workers::Workers};

/// The keys, and what keeps others from guessing them.
#[derive(Debug)]
pub(crate) struct Access {
    keys: Arc<AdminKeys>,
    start: Instant,
    /// Wrong keys by the addresses they came from.
    wrong: Mutex<HashMap<IpAddr, CallLimiter>>,
    told: Seldom,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) address: IpAddr,
    pub(super) role: AdminRole,
    pub(super) projects: Option<Vec<AppId>>,
    /// The hash of its key; none where another node has seen the key.
    pub(super) key: Option<[u8; 32]>,
    /// The span of its call, of which those are that other nodes make for it.
    #[cfg(feature = "cluster")]
    pub(super) traceparent: Option<header::HeaderValue>,
}

impl Access {
    pub(crate) fn new(keys: Arc<AdminKeys>) -> Self {
        Self { keys, start: instant(), wrong: Mutex::default(), told: Seldom::default() }
    }

    /// Whether the request was meant for this listener. A page in a browser can reach it by a name of its own, which it lets
    /// stand for 127.0.0.1, or send requests to it from elsewhere.
    fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |value: &header::HeaderValue| value.to_str().ok().map(str::to_owned);
        let host = uri.authority().map(ToString::to_string).or_else(|| headers.get(header::HOST).and_then(text));
        let host = host.ok_or_else(|| ApiError::bad_request("there is no Host header"))?;
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &host,
        };
        let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let is_known = self.keys.known().hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
        if !is_address && !is_known && !name.eq_ignore_ascii_case("localhost") {
            return Err(ApiError::forbidden(format!("the host {name} is not in admin.hosts")));
        }
        let origin = headers.get(header::ORIGIN).and_then(text);
        let is_own = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(&host));
        match origin {
            Some(origin) if !is_own(&origin) => Err(ApiError::forbidden("the request comes from another site".into())),
            _ => Ok(()),
        }
    }

    /// The key in the request, if it is one of ours.
    fn caller(&self, headers: &HeaderMap, address: IpAddr) -> Result<Caller, ApiError> {
        let known = self.keys.known();
        if known.keys.is_empty() {
            return Err(ApiError::forbidden(
                "no key is configured: make one with `rtm admin new-key` and add it to the configuration".into(),
            ));
        }
        let now = instant().saturating_duration_since(self.start);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tries) = wrong.get(&address)
            && tries.clone().try_call(WRONG_KEYS, now).is_err()
        {
            return Err(ApiError::too_often("too many wrong keys came from this address: try again in a minute"));
        }
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let text =
            value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, text)) = text else { return Err(ApiError::unauthorized("send Authorization: Bearer KEY")) };
        // All keys are looked at, so that the time does not tell which one it was.
        let found = known.keys.iter().fold(None, |found, key| if key.is(text.trim()) { Some(key) } else { found });
        let Some(key) = found else {
            if wrong.len() >= ADDRESSES {
                wrong.clear();
            }
            // It is within the limit, as was seen above.
            let _ = wrong.entry(address).or_default().try_call(WRONG_KEYS, now);
            self.told.warn(format_args!("a wrong key of the admin API came from {address}"));
            return Err(ApiError::unauthorized("this key is not known"));
        };
        Ok(Caller {
            name: key.name.clone(),
            address,
            role: key.role,
            projects: key.projects.clone(),
            key: Some(key.sha256),
            #[cfg(feature = "cluster")]
            traceparent: None,
        })
    }
}

/// Lets a request through to the API, with who sent it.
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let access = &admin.access;
    let method = request.method().clone();
    let mut span = admin.shared.traces.served(&method, request.headers());
    let caller = access
        .check_origin(request.uri(), request.headers())
        .and_then(|()| access.caller(request.headers(), address.ip().to_canonical()));
    let response = match caller {
        #[cfg_attr(not(feature = "cluster"), expect(unused_mut, reason = "no other node makes spans for it"))]
        Ok(mut caller) => {
            span.text("rtm.admin.key", &caller.name);
            #[cfg(feature = "cluster")]
            {
                caller.traceparent = span.traceparent();
            }
            request.extensions_mut().insert(caller);
            let answer = answer(Arc::clone(&admin), request, next);
            // A change goes on to its end, and is written down, if the caller hangs up.
            match method.is_safe() {
                true => answer.await,
                false => spawn(answer).await.unwrap_or_else(|_| ApiError::internal().into_response()),
            }
        }
        Err(error) => error.into_response(),
    };
    if let Some(&Route { path, .. }) = response.extensions().get() {
        span.is_of(&method, path);
    }
    span.answered(response.status().as_u16(), response.status().is_server_error());
    response
}

/// Answers a call, and counts it if it would have changed something and does not.
async fn answer(admin: Arc<Admin>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(&Route { call, .. }) = response.extensions().get()
        && !response.status().is_success()
    {
        admin.audit.not_done(call, response.status());
    }
    response
}

/// Lets a request through that was meant for this listener, whoever sent it.
pub(super) async fn check_host(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match admin.access.check_origin(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

impl Caller {
    /// Whether it may act on the whole server like that.
    pub(super) fn check(&self, role: AdminRole) -> Result<(), ApiError> {
        if self.projects.is_some() {
            let why = "is for some projects only, and this is about the server: it needs a key without projects";
            return Err(ApiError::forbidden(format!("the key {} {why}", self.name)));
        }
        self.check_role(role)
    }

    /// The cores of a project, if the caller may act on it like that.
    pub(super) fn cores(&self, admin: &Admin, app_id: &str, role: AdminRole) -> Result<Arc<Workers>, ApiError> {
        self.check_role(role)?;
        let unknown = || match self.projects {
            None => ApiError::no_such("project", app_id),
            Some(_) => ApiError::not_found(format!("the key {} is for no project {}", self.name, named(app_id))),
        };
        let app_id: AppId = app_id.parse().map_err(|_| unknown())?;
        let cores = admin.shared.workers(&app_id).filter(|_| self.sees(&app_id));
        cores.ok_or_else(unknown)
    }

    /// One of them, for what all of them know.
    pub(super) fn project(&self, admin: &Admin, app_id: &str, role: AdminRole) -> Result<Arc<Project>, ApiError> {
        Ok(Arc::clone(self.cores(admin, app_id, role)?.first()))
    }

    /// Whether its key is for this project.
    pub(super) fn sees(&self, app_id: &AppId) -> bool {
        self.projects.as_ref().is_none_or(|projects| projects.contains(app_id))
    }

    /// Whether its key is for the server itself, and all projects.
    pub(super) fn sees_server(&self) -> bool {
        self.projects.is_none()
    }

    /// Whether its key has this role, or one that may do more.
    pub(super) fn check_role(&self, role: AdminRole) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::forbidden(format!("the key {} has the role {}, and this needs {role}", self.name, self.role)))
    }
}

/// What a call goes by that goes on: whether its key still lets it.
#[derive(Debug)]
pub(super) struct Leave {
    admin: Arc<Admin>,
    caller: Caller,
    /// The project that it is about; none where it is about all that the caller sees.
    app_id: Option<AppId>,
    changes: watch::Receiver<u64>,
}

impl Leave {
    pub(super) fn new(admin: &Arc<Admin>, caller: &Caller, app_id: Option<&AppId>) -> Self {
        let changes = admin.access.keys.changes();
        Self { admin: Arc::clone(admin), caller: caller.clone(), app_id: app_id.cloned(), changes }
    }

    /// Waits until a reload has taken the caller's key, or its right to this. Cancel safe.
    pub(super) async fn ends(&mut self) {
        while self.holds() {
            if self.changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn holds(&self) -> bool {
        let Self { admin, caller, app_id, .. } = self;
        let known = admin.access.keys.known();
        let key = known.keys.iter().find(|key| Some(key.sha256) == caller.key);
        // A key may do more than before, and not less.
        let sees = |app_id: &AppId| {
            key.is_some_and(|key| key.projects.as_ref().is_none_or(|projects| projects.contains(app_id)))
        };
        match app_id {
            Some(app_id) => sees(app_id) && admin.shared.workers(app_id).is_some(),
            None => match &caller.projects {
                Some(projects) => projects.iter().all(sees),
                None => key.is_some_and(|key| key.projects.is_none()),
            },
        }
    }
}

/// How many wrong keys from one address are looked at.
const WRONG_KEYS: CallLimit = CallLimit::new(10, Duration::from_secs(60));
/// How many addresses with wrong keys are remembered.
const ADDRESSES: usize = 4096;
