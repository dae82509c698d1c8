//! What Prometheus scrapes. Labels come from closed sets and from the configuration: never a user, a channel or an address.

#[cfg(feature = "cluster")]
mod cluster;
mod projects;
mod server;
mod store;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::future::join_all;
use rtm_codec::{AppId, CallLimit, CallName, Wire};
use rtm_core::{Census, Counters, EventFigures, Latencies, Quotas, Stats, store::StoredBytes};
use tokio::{task::yield_now, time::timeout};

#[cfg(feature = "cluster")]
use self::cluster::add_cluster;
use self::projects::add_projects;
use super::{
    Admin,
    page::{Labels, Page},
    process,
};
#[cfg(feature = "cluster")]
use crate::clock::instant;
use crate::{
    peers::{Carried, End, Lasted},
    project::{LockTimes, Project},
};

pub(super) async fn show(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let mut page = Page::default();
    let projects = admin.look_at_projects().await;
    let kept = timeout(STORE_TIMEOUT, admin.store.stats()).await.ok().flatten();
    admin.add_server(&mut page, &projects);
    Admin::add_runtime(&mut page);
    add_projects(&mut page, &projects);
    admin.add_store(&mut page, kept, &projects);
    admin.add_stored_bytes(&mut page, &projects).await;
    admin.add_disk(&mut page).await;
    admin.add_log_age(&mut page, &projects).await;
    admin.add_calls(&mut page);
    admin.add_http(&mut page);
    admin.add_back_ends(&mut page);
    admin.add_certificates(&mut page);
    #[cfg(feature = "cluster")]
    if let Some(cluster) = admin.cluster.get().map(|nodes| &nodes.figures) {
        let is_isolated = admin.shared.is_serving() && !admin.shared.is_certain.load(Ordering::Relaxed);
        let lease_age = cluster.renewed_at().map(|at| instant().saturating_duration_since(at));
        add_cluster(&mut page, &cluster.get(), lease_age, is_isolated, &projects);
    }
    process::add_to(&mut page);
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_openmetrics = accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text"));
    match page.write(is_openmetrics) {
        Ok((content_type, text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n").into_response(),
    }
}

/// What one project says.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) app_id: AppId,
    pub(super) stats: Stats,
    counters: Counters,
    pub(super) census: Census,
    pub(super) by_wire: [(Wire, usize); 2],
    pub(super) by_end: Vec<(Wire, End, u64)>,
    lasted: [(Wire, Lasted); 2],
    logins: [(Wire, Latencies); 2],
    calls: Vec<(Wire, CallName, u64)>,
    carried: [(Wire, Carried); 2],
    refused_logins: u64,
    event_log: EventFigures,
    cursors: [(&'static str, u64); 2],
    pub(super) quotas: Quotas,
    /// How often back ends may send.
    pub(super) rest_limit: CallLimit,
    /// From when on tokens of all users are good, in milliseconds since the Unix epoch; 0 if none was revoked.
    pub(super) tokens_from: u64,
    #[cfg(feature = "cluster")]
    measured: Option<StoredBytes>,
    lock_times: LockTimes,
}

impl Look {
    /// Adds what another core of the project says.
    fn merge(&mut self, other: &Self) {
        self.stats = [self.stats, other.stats].into_iter().sum();
        self.counters.merge(&other.counters);
        self.census.merge(&other.census);
        self.by_wire.iter_mut().zip(other.by_wire).for_each(|((_, count), (_, more))| *count += more);
        self.by_end.iter_mut().zip(&other.by_end).for_each(|((.., count), (.., more))| *count += more);
        self.lasted.iter_mut().zip(&other.lasted).for_each(|((_, lasted), (_, more))| lasted.merge(more));
        self.logins.iter_mut().zip(&other.logins).for_each(|((_, logins), (_, more))| logins.merge(more));
        self.calls.iter_mut().zip(&other.calls).for_each(|((.., count), (.., more))| *count += more);
        self.carried.iter_mut().zip(&other.carried).for_each(|((_, carried), (_, more))| carried.merge(more));
        self.refused_logins += other.refused_logins;
        self.event_log.merge(&other.event_log);
        // What is one thing of the project, each core knows, and one may know it later.
        self.cursors.iter_mut().zip(other.cursors).for_each(|((_, read), (_, other))| *read = (*read).max(other));
        self.tokens_from = self.tokens_from.max(other.tokens_from);
        #[cfg(feature = "cluster")]
        {
            self.measured = self.measured.or(other.measured);
        }
        self.lock_times.merge(&other.lock_times);
    }

    /// The number of the last event in the log.
    pub(super) fn last_event(&self) -> u64 {
        self.event_log.last
    }

    /// How long messages took until their receivers had them.
    pub(super) fn receipts(&self) -> &Latencies {
        self.counters.receipts()
    }

    /// How many calls came in.
    pub(super) fn calls(&self) -> u64 {
        self.calls.iter().map(|(.., count)| count).sum()
    }

    /// How many of them were refused.
    pub(super) fn refused_calls(&self) -> u64 {
        self.counters.refused_calls().map(|(.., count)| count).sum()
    }
}

impl Admin {
    pub(super) async fn look_at_projects(&self) -> Vec<Look> {
        let mut looks: Vec<Look> = Vec::new();
        // The cores of a project come one after the other.
        for project in self.shared.cores() {
            let (app_id, project) = (project.app_id(), &project);
            let census = census(project).await;
            let mut look = project.look(|core, peers, _| Look {
                app_id: app_id.clone(),
                stats: core.figures(),
                counters: core.counters().clone(),
                census,
                by_wire: peers.by_wire(),
                by_end: peers.by_end().collect(),
                lasted: peers.lasted(),
                logins: peers.logins(),
                calls: peers.calls().collect(),
                carried: peers.carried(),
                refused_logins: 0,
                event_log: core.event_figures(),
                cursors: READERS.map(|(reader, name)| (reader, core.event_cursor(name).read.0)),
                quotas: core.config().quotas,
                rest_limit: core.config().rest.limit,
                tokens_from: core.tokens_from(),
                #[cfg(feature = "cluster")]
                measured: core.stored_bytes(),
                lock_times: LockTimes::default(),
            });
            look.stats.users = census.online + census.unreachable;
            look.refused_logins = project.refused_logins().load(Ordering::Relaxed);
            look.lock_times = project.lock_times();
            match looks.last_mut().filter(|last| last.app_id == *app_id) {
                Some(of_project) => of_project.merge(&look),
                None => looks.push(look),
            }
        }
        looks
    }

    /// How much the store keeps of each project. In a cluster, where that takes a while, it is what the project knows for its
    /// quotas.
    pub(super) async fn measure(&self, projects: &[Look]) -> Vec<Option<StoredBytes>> {
        #[cfg(feature = "cluster")]
        if self.cluster.get().is_some() {
            return projects.iter().map(|look| look.measured).collect();
        }
        // All at once: a store that is away must not cost a time for each.
        let measured = projects.iter().map(|look| timeout(STORE_TIMEOUT, self.store.measure(look.app_id.clone())));
        join_all(measured).await.into_iter().map(|measured| measured.ok().flatten()).collect()
    }
}

/// Counts the sessions of a project in slices, so that no client waits for it.
async fn census(project: &Project) -> Census {
    let mut census = Census::default();
    let mut from = Some(0);
    while let Some(at) = from {
        from = project.look(|core, _, _| core.count_sessions(at, SLICE, &mut census));
        yield_now().await;
    }
    census
}

fn app(look: &Look) -> Labels {
    vec![("app_id", look.app_id.to_string())]
}

fn labelled(look: &Look, label: &'static str, value: impl Into<String>, number: f64) -> (Labels, f64) {
    (vec![("app_id", look.app_id.to_string()), (label, value.into())], number)
}

/// One sample for each project.
fn per(all: &[Look], number: impl Fn(&Look) -> u64) -> impl Iterator<Item = (Labels, f64)> {
    all.iter().map(move |look| (app(look), number(look) as f64))
}

/// The only sample of a family.
fn one(number: impl Number) -> (Labels, f64) {
    (Labels::new(), number.number())
}

trait Number {
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for usize {
    fn number(self) -> f64 {
        self as f64
    }
}

/// `SendMessageToPeer` as `send_message_to_peer`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// How many places are looked at under one lock: well under a millisecond.
const SLICE: usize = 1024;
/// How long a scrape waits for the store to say how much it has.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// The readers of events that the server has itself, and what their cursors are called.
const READERS: [(&str, &str); 2] = [("user_events", "rest.user_events"), ("channel_events", "rest.channel_events")];
