//! The listener for those who run the server: health, metrics and the admin API, apart from what clients use.

mod access;
#[cfg(feature = "cluster")]
pub(crate) mod across;
mod actions;
mod answers;
mod audit;
mod back_end_metrics;
mod calls;
mod channels;
pub(crate) mod config;
#[cfg(feature = "console")]
mod console;
mod events;
mod health;
pub(crate) mod keys;
mod limits;
mod listener;
pub(crate) mod log;
mod messages;
mod metrics;
pub(crate) mod openapi;
mod page;
mod process;
mod samples;
mod spot;
mod tokens;
mod users;
#[cfg(feature = "webhooks")]
mod webhooks;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore, watch},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tracing::info;

use self::{access::Access, answers::ApiError, audit::Audit, log::LogControl, samples::Samples};
use crate::{
    http::handshake::is_websocket, http_figures::Api, server::reload::Reloader, shared::Shared, store::StoreQueue,
};

/// What all requests to the admin listener share.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: StoreQueue,
    pub(crate) started: SystemTime,
    access: Access,
    audit: Audit,
    log: Option<LogControl>,
    build: config::BuildInfo,
    samples: Samples,
    pub(crate) reloader: Arc<Reloader>,
    /// Somebody wants the server to go down.
    pub(crate) drain_asked: Notify,
    /// Places for those who wait for events.
    readers: Arc<Semaphore>,
    /// The configuration has a cluster.
    #[cfg(feature = "cluster")]
    is_node: bool,
    /// That cluster, as soon as it is found.
    #[cfg(feature = "cluster")]
    pub(crate) cluster: std::sync::OnceLock<Arc<across::Nodes>>,
}

/// The listener at work. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct AdminListener {
    pub(crate) addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
    sampler: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Admin {
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables, reason = "there is no cluster"))]
    pub(crate) fn new(shared: Arc<Shared>, store: StoreQueue, reloader: Arc<Reloader>, is_node: bool) -> Self {
        Self {
            #[cfg(feature = "cluster")]
            is_node,
            shared,
            store,
            started: SystemTime::now(),
            access: Access::new(Arc::clone(&reloader.admin.keys)),
            audit: Audit::default(),
            log: reloader.admin.log.clone(),
            build: reloader.admin.build.clone(),
            samples: Samples::default(),
            reloader,
            drain_asked: Notify::new(),
            readers: Arc::new(Semaphore::new(events::READERS)),
            #[cfg(feature = "cluster")]
            cluster: std::sync::OnceLock::new(),
        }
    }
}

impl AdminListener {
    /// Listens on sockets that are open.
    pub(crate) fn start(sockets: Vec<(SocketAddr, TcpListener)>, admin: Arc<Admin>) -> Self {
        let addresses = sockets.iter().map(|(address, _)| *address).collect();
        let tls = admin.reloader.admin.tls.clone();
        let sampler = (!sockets.is_empty()).then(|| tokio::spawn(Arc::clone(&admin).take_samples()));
        let router = router(admin);
        let stop = watch::Sender::new(false);
        let listen = |(address, socket)| {
            info!(%address, "the admin listener is ready");
            tokio::spawn(listener::listen(socket, tls.clone(), router.clone(), stop.subscribe()))
        };
        let tasks = sockets.into_iter().map(listen).collect();
        Self { addresses, tasks, sampler, stop }
    }

    /// Takes no more requests, and answers those that it has, for as long as that takes no more than a moment: a stream of
    /// events has no end.
    pub(crate) async fn close(&mut self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut self.tasks);
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let answered = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        if timeout(ANSWERS_WITHIN, answered).await.is_err() {
            aborts.iter().for_each(AbortHandle::abort);
        }
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        self.tasks.iter().chain(&self.sampler).for_each(JoinHandle::abort);
    }
}

fn router(admin: Arc<Admin>) -> Router {
    let router = Router::new();
    #[cfg(feature = "console")]
    let router = router.merge(console::router(&admin));
    let api = openapi::router();
    #[cfg(feature = "cluster")]
    let api = api.layer(from_fn_with_state(Arc::clone(&admin), across::spread));
    let api = api.layer(from_fn_with_state(Arc::clone(&admin), access::check));
    router
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/healthz", get(health::healthy))
        .route("/metrics", get(metrics::show).layer(from_fn_with_state(Arc::clone(&admin), access::check_host)))
        .nest("/admin/v1", api.layer(from_fn(listener::refuse_in_last_places)))
        .fallback(async || ApiError::not_found("there is nothing here"))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(from_fn(refuse_clients))
        .layer(from_fn_with_state(Arc::clone(&admin), count))
        .with_state(admin)
}

/// A client that is given this address for its gateway must not take a page of the console for a server that is not ready yet.
async fn refuse_clients(request: Request, next: Next) -> Response {
    if is_websocket(request.headers()) {
        return ApiError::bad_request("this is the admin listener: clients connect where `listen` says")
            .into_response();
    }
    next.run(request).await
}

/// Counts a request and its answer.
async fn count(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let asked = admin.shared.http.begin(Api::Admin, request.method());
    let response = next.run(request).await;
    asked.answered(response.status());
    response
}

/// How long answers may take when the server ends.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
