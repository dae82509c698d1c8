//! What Prometheus scrapes. Labels come from closed sets and from the configuration: never a user, a channel or an address.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use rtm_codec::{AppId, CallLimit, SendOutcome, Wire};
#[cfg(feature = "cluster")]
use rtm_core::MoveResult;
use rtm_core::store::{BackendStats, StoredBytes};
use rtm_core::{Census, Counters, EventFigures, Histogram, Quotas, Stats};
use tokio::{task::yield_now, time::timeout};

use super::{
    Admin,
    log::LogControl,
    page::{Labels, Page},
    process,
};
#[cfg(feature = "cluster")]
use crate::clock::instant;
use crate::{
    peers::End,
    project::{LockTimes, Project},
    tls::Tls,
};

pub(super) async fn show(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let mut page = Page::default();
    let projects = admin.look_at_projects().await;
    let kept = timeout(STORE_TIMEOUT, admin.store.stats()).await.ok().flatten();
    admin.add_server(&mut page, &projects);
    add_projects(&mut page, &projects);
    admin.add_store(&mut page, kept, &projects);
    admin.add_stored_bytes(&mut page, &projects).await;
    admin.add_calls(&mut page);
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
    pub(super) by_end: Vec<(End, u64)>,
    lasted: Histogram,
    logins: Histogram,
    traffic: [(Wire, [u64; 2]); 2],
    refused_logins: u64,
    event_log: EventFigures,
    cursors: [(&'static str, u64); 2],
    pub(super) quotas: Quotas,
    /// How often back ends may send.
    rest_limit: CallLimit,
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
        self.by_end.iter_mut().zip(&other.by_end).for_each(|((_, count), (_, more))| *count += more);
        self.lasted.merge(&other.lasted);
        self.logins.merge(&other.logins);
        for ((_, bytes), (_, more)) in self.traffic.iter_mut().zip(other.traffic) {
            bytes.iter_mut().zip(more).for_each(|(bytes, more)| *bytes += more);
        }
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
    pub(super) fn receipts(&self) -> &Histogram {
        self.counters.receipts()
    }

    /// How many calls came in.
    pub(super) fn calls(&self) -> u64 {
        self.counters.calls().map(|(_, count)| count).sum()
    }

    /// How many of them were refused.
    pub(super) fn refused_calls(&self) -> u64 {
        self.counters.refused_calls().map(|(_, count)| count).sum()
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
                traffic: peers.traffic(),
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

    /// How much the store keeps of a project. In a cluster, where that takes a while, it is what the project knows for its quotas.
    pub(super) async fn measure(&self, look: &Look) -> Option<StoredBytes> {
        #[cfg(feature = "cluster")]
        if self.cluster.get().is_some() {
            return look.measured;
        }
        timeout(STORE_TIMEOUT, self.store.measure(look.app_id.clone())).await.ok().flatten()
    }

    async fn add_stored_bytes(&self, page: &mut Page, projects: &[Look]) {
        let mut samples = Vec::new();
        for look in projects {
            if let Some(StoredBytes { offline, history, channel_attributes, events }) = self.measure(look).await {
                let kinds = [
                    ("offline", offline),
                    ("history", history),
                    ("channel_attributes", channel_attributes),
                    ("events", events),
                ];
                samples.extend(kinds.map(|(kind, bytes)| labelled(look, "kind", kind, bytes as f64)));
            }
        }
        page.gauge("rtm_stored_bytes", "What the store keeps of a project", samples);
    }

    fn add_server(&self, page: &mut Page, projects: &[Look]) {
        let shared = &self.shared;
        let cluster = if cfg!(feature = "cluster") { "admin,cluster" } else { "admin" };
        let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("features", cluster.to_owned())];
        page.gauge("rtm_build_info", "What runs here", [(build, 1.0)]);
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.gauge(
            "rtm_start_time_seconds",
            "When the server started, since the Unix epoch",
            [one(started.as_secs_f64())],
        );
        let last = self.reloader.last();
        page.gauge(
            "rtm_config_last_reload_successful",
            "Whether the server goes by the last configuration that it was given",
            [one(last.fault.is_none())],
        );
        let succeeded = last.succeeded.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.gauge(
            "rtm_config_last_reload_success_timestamp_seconds",
            "When it was given the configuration that it goes by, since the Unix epoch",
            [one(succeeded.as_secs_f64())],
        );
        page.gauge("rtm_ready", "Whether clients should be sent here", [one(shared.unready().is_empty())]);
        page.gauge("rtm_draining", "Whether the server goes down", [one(shared.draining.is_announced())]);

        let (mut login, mut session) = (0, 0);
        for look in projects {
            let connected = look.census.connected.min(look.stats.connections);
            session += connected;
            login += look.stats.connections - connected;
        }
        let handshake = shared.tasks.len().saturating_sub(login + session);
        let states = [("handshake", handshake), ("login", login), ("session", session)];
        page.gauge(
            "rtm_connections",
            "Open connections, by how far they are",
            states.map(|(state, count)| (vec![("state", state.to_owned())], count as f64)),
        );
        let most = shared.admission.most_connections();
        page.gauge("rtm_connections_limit", "How many connections there may be at once", [one(most)]);
        let accepted = shared
            .accepted
            .iter()
            .map(|(address, count)| (vec![("listener", address.to_string())], count.load(Ordering::Relaxed) as f64));
        page.counter("rtm_connections_accepted", "Connections that were accepted", accepted);
        let turned_away = shared.admission.turned_away();
        let refused = [
            ("full", shared.found_full.load(Ordering::Relaxed)),
            ("address", turned_away.too_many),
            ("rate", turned_away.too_often),
            ("fds", shared.without_descriptor.load(Ordering::Relaxed)),
        ];
        page.counter(
            "rtm_connections_refused",
            "Connections that were turned away, or had to wait while the server was full",
            refused.map(|(reason, count)| (vec![("reason", reason.to_owned())], count as f64)),
        );
        page.counter(
            "rtm_logins_locked",
            "Logins refused unseen, since too many others from their address had been",
            [one(turned_away.locked)],
        );
        page.counter(
            "rtm_logins_refused_for_memory",
            "Logins refused unseen, since the process had max_memory",
            [one(shared.memory.refused())],
        );
        page.counter(
            "rtm_logins_without_project",
            "Refused logins with an App ID that is not served, or that could not be read",
            [one(shared.refused_logins.load(Ordering::Relaxed))],
        );
    }

    fn add_certificates(&self, page: &mut Page) {
        let listeners = [("public", self.shared.tls.as_ref()), ("admin", self.reloader.admin.tls.as_ref())];
        let certificates = listeners.into_iter().flat_map(|(listener, tls)| {
            let ends = tls.map(Tls::ends).unwrap_or_default().into_iter();
            ends.map(move |(file, end)| (vec![("listener", listener.to_owned()), ("certificate", file)], end as f64))
        });
        page.gauge(
            "rtm_tls_certificate_not_after_timestamp_seconds",
            "When a certificate ends, since the Unix epoch",
            certificates,
        );
    }

    /// What clients, back ends and operators call.
    fn add_calls(&self, page: &mut Page) {
        page.histogram(
            "rtm_call_duration_seconds",
            "From a call of a client until its answer; of messages one in sixteen",
            MICRO,
            self.shared
                .call_times
                .all()
                .into_iter()
                .map(|(call, times)| (vec![("op", snake_case(call.as_str()))], times)),
        );
        let logged = self.log.as_ref().map(LogControl::counts).cloned().unwrap_or_default();
        page.counter(
            "rtm_log_messages",
            "Warnings and errors in the log",
            logged.all().map(|(level, count)| (vec![("level", level.to_owned())], count as f64)),
        );
        let actions = self.audit.counts().map(|(action, count)| (vec![("action", action.to_owned())], count as f64));
        page.counter("rtm_admin_actions", "What operators did, as the audit log has it", actions);
        #[cfg(feature = "rest")]
        page.counter(
            "rtm_rest_calls",
            "Calls of the REST API, by the status of the answer",
            self.shared.rest_counts.all().map(|(call, status, count)| {
                (vec![("call", call.to_owned()), ("status", status.to_string())], count as f64)
            }),
        );
    }

    fn add_store(&self, page: &mut Page, kept: Option<BackendStats>, projects: &[Look]) {
        page.gauge("rtm_store_queue_bytes", "Messages that wait for the store", [one(self.store.queued_bytes())]);
        if let Some(batches) = self.store.batches() {
            let help = "How long the store took for what had gathered";
            page.histogram("rtm_store_batch_duration_seconds", help, MICRO, [(vec![], batches.times)]);
            page.histogram("rtm_store_batch_jobs", "How many jobs had gathered", 1.0, [(vec![], batches.jobs)]);
        }
        page.counter(
            "rtm_store_failures",
            "Jobs that the store failed to do",
            per(projects, |it| it.stats.store_failures),
        );
        if let Some(kept) = kept {
            let kinds = [("offline", kept.offline_messages), ("history", kept.history_messages)];
            page.gauge(
                "rtm_stored_messages",
                "Messages in the store",
                kinds.map(|(kind, count)| (vec![("kind", kind.to_owned())], count as f64)),
            );
            page.gauge(
                "rtm_store_restricted_users",
                "Users that are banned or have revoked tokens, also those whose bans are over",
                [one(kept.restricted)],
            );
            page.counter("rtm_store_damaged", "Places of the store that were found damaged", [one(kept.damaged)]);
        }
    }
}

fn add_projects(page: &mut Page, all: &[Look]) {
    page.gauge(
        "rtm_project_connections",
        "Connections of a project, by wire",
        all.iter().flat_map(|it| it.by_wire.map(|(wire, count)| labelled(it, "wire", wire.to_string(), count as f64))),
    );
    page.counter(
        "rtm_connections_closed",
        "Connections of a project that have ended, by reason",
        all.iter()
            .flat_map(|it| it.by_end.iter().map(|(end, count)| labelled(it, "reason", end.as_str(), *count as f64))),
    );
    page.histogram(
        "rtm_connection_duration_seconds",
        "How long connections lasted that have ended",
        1.0,
        all.iter().map(|it| (app(it), it.lasted)),
    );
    page.counter(
        "rtm_logins",
        "Logins that reached their project, by what became of them",
        all.iter()
            .flat_map(|it| it.counters.logins().map(|(result, n)| labelled(it, "result", result.as_str(), n as f64))),
    );
    page.counter("rtm_logins_refused", "Refused logins of either wire", per(all, |it| it.refused_logins));
    page.histogram(
        "rtm_login_duration_seconds",
        "From a login until its answer, with what a hook took for it",
        MICRO,
        all.iter().map(|it| (app(it), it.logins)),
    );
    page.counter(
        "rtm_wire_bytes",
        "What was read from the connections of clients, and written to them, inside TLS",
        all.iter().flat_map(|it| {
            let both =
                it.traffic.into_iter().flat_map(|(wire, [read, written])| [(wire, "in", read), (wire, "out", written)]);
            both.map(|(wire, direction, bytes)| {
                let mut labels = app(it);
                labels.extend([("wire", wire.to_string()), ("direction", direction.to_owned())]);
                (labels, bytes as f64)
            })
        }),
    );
    page.histogram(
        "rtm_ping_rtt_seconds",
        "How long clients took to answer a ping of the server, which pings those on the vendor's wire",
        MICRO,
        all.iter().map(|it| (app(it), *it.counters.pings())),
    );
    page.counter(
        "rtm_gaps",
        "Gaps that clients were told of, one for each client and channel",
        all.iter()
            .flat_map(|it| it.counters.gaps().map(|(reason, n)| labelled(it, "reason", reason.as_str(), n as f64))),
    );
    page.gauge(
        "rtm_sessions",
        "Sessions, by how others see their users",
        all.iter().flat_map(|it| {
            let Census { online, unreachable, offline, .. } = it.census;
            let states = [("online", online), ("unreachable", unreachable), ("offline", offline)];
            states.map(|(state, count)| labelled(it, "state", state, count as f64))
        }),
    );
    page.gauge("rtm_users_online", "Users that are not offline", per(all, |it| it.stats.users as u64));
    page.gauge("rtm_channels", "Channels with members or attributes", per(all, |it| it.stats.channels as u64));
    page.gauge("rtm_channel_members", "Memberships in channels", per(all, |it| it.census.memberships as u64));
    page.gauge("rtm_presence_subscriptions", "Subscriptions to users", per(all, |it| it.census.subscriptions as u64));
    page.gauge("rtm_invitations_open", "Open invitations", per(all, |it| it.stats.invitations as u64));
    page.counter(
        "rtm_calls",
        "Calls of clients, by operation",
        all.iter().flat_map(|it| {
            it.counters.calls().map(|(call, n)| labelled(it, "op", snake_case(call.as_str()), n as f64))
        }),
    );
    page.counter(
        "rtm_calls_refused",
        "Calls that were refused, by reason",
        all.iter()
            .flat_map(|it| it.counters.refused_calls().map(|(why, n)| labelled(it, "reason", why.as_str(), n as f64))),
    );
    page.counter(
        "rtm_messages",
        "Messages that were taken",
        all.iter().flat_map(|it| {
            let kinds = [("peer", it.stats.peer_messages), ("channel", it.stats.channel_messages)];
            kinds.map(|(kind, count)| labelled(it, "kind", kind, count as f64))
        }),
    );
    page.counter(
        "rtm_quota_refused",
        "What was refused, since the project has as much of it as it may have",
        all.iter()
            .flat_map(|it| it.counters.quotas().map(|(quota, n)| labelled(it, "quota", quota.as_str(), n as f64))),
    );
    page.gauge(
        "rtm_quota_limit",
        "How much a project may have, of rest how many messages in a second; 0: no limit",
        all.iter().flat_map(|it| {
            let Quotas { max_connections, max_channels, stored_bytes, event_log_bytes, .. } = it.quotas;
            let counts = [("connections", max_connections), ("channels", max_channels)];
            let counts = counts.map(|(quota, most)| labelled(it, "quota", quota, most as f64));
            let bytes = [("stored_bytes", stored_bytes), ("event_log_bytes", event_log_bytes)];
            let bytes = bytes.map(|(quota, most)| labelled(it, "quota", quota, most as f64));
            let rest = labelled(it, "quota", "rest", per_second(it.rest_limit));
            counts.into_iter().chain(bytes).chain([rest])
        }),
    );
    page.counter(
        "rtm_peer_message_outcomes",
        "What senders were told of their messages",
        all.iter()
            .flat_map(|it| it.counters.outcomes().map(|(outcome, n)| labelled(it, "outcome", name(outcome), n as f64))),
    );
    page.histogram(
        "rtm_peer_receipt_duration_seconds",
        "From a message until its receiver's device has it",
        MICRO,
        all.iter().map(|it| (app(it), *it.counters.receipts())),
    );
    page.histogram(
        "rtm_channel_fanout_members",
        "To how many members on this server each channel message went",
        1.0,
        all.iter().map(|it| (app(it), *it.counters.members())),
    );
    page.histogram(
        "rtm_core_lock_wait_seconds",
        "How long a project's lock was waited for, of one use in sixteen",
        MICRO,
        all.iter().map(|it| (app(it), it.lock_times.waited)),
    );
    page.histogram(
        "rtm_core_held_seconds",
        "How long a project's lock was held, of one use in sixteen",
        MICRO,
        all.iter().map(|it| (app(it), it.lock_times.held)),
    );
    page.counter("rtm_events_queued", "Events put into sessions", per(all, |it| it.stats.events));
    page.counter(
        "rtm_events_lost",
        "Channel events dropped since their receiver was away for too long, as it is told",
        per(all, |it| it.stats.away_dropped),
    );
    page.counter(
        "rtm_slow_consumers",
        "Connections closed since their client read too slowly",
        per(all, |it| it.stats.slow_consumers),
    );
    page.counter(
        "rtm_offline_evicted",
        "Stored messages that were discarded for newer ones",
        per(all, |it| it.stats.offline_dropped),
    );
    page.counter(
        "rtm_event_log_written",
        "Events written to the log for back ends",
        per(all, |it| it.event_log.written),
    );
    page.counter("rtm_event_log_lost", "Events that the store could not keep", per(all, |it| it.event_log.lost));
    page.gauge("rtm_event_log_waiting", "Events that wait for the store", per(all, |it| it.event_log.waiting as u64));
    page.gauge("rtm_event_log_last_seq", "The number of the last event", per(all, |it| it.event_log.last));
    page.gauge(
        "rtm_event_cursor_seq",
        "The number of the last event that a reader has taken",
        all.iter().flat_map(|it| it.cursors.map(|(reader, seq)| labelled(it, "reader", reader.to_owned(), seq as f64))),
    );
    page.gauge(
        "rtm_session_queue_bytes",
        "What sessions hold for their clients",
        per(all, |it| it.census.queued_bytes as u64),
    );
    page.gauge(
        "rtm_session_queue_bytes_max",
        "What the session holds that holds most",
        per(all, |it| it.census.most_queued_bytes as u64),
    );
    page.gauge(
        "rtm_sessions_behind",
        "Sessions that hold more than a quarter of what they may",
        per(all, |it| it.census.behind as u64),
    );
}

#[cfg(feature = "cluster")]
fn add_cluster(
    page: &mut Page,
    figures: &crate::cluster::ClusterFigures,
    lease_age: Option<Duration>,
    is_isolated: bool,
    projects: &[Look],
) {
    page.gauge(
        "rtm_cluster_lease_age_seconds",
        "Since this node sent the last renewal of its lease that was acknowledged",
        lease_age.map(|age| one(age.as_secs_f64())),
    );
    let mut moves: Vec<(MoveResult, u64)> = MoveResult::ALL.into_iter().map(|result| (result, 0)).collect();
    for (place, (_, count)) in projects.iter().flat_map(|it| it.counters.moves().enumerate()) {
        moves[place].1 += count;
    }
    page.counter(
        "rtm_cluster_sessions_moved",
        "Sessions that went from node to node, as this one has seen it",
        moves.into_iter().map(|(result, count)| (vec![("result", result.as_str().to_owned())], count as f64)),
    );
    page.gauge("rtm_cluster_epoch", "The number of the view that this node knows", [one(figures.epoch)]);
    page.gauge(
        "rtm_cluster_nodes",
        "Members of the cluster, as this node knows them",
        figures.nodes().map(|(state, count)| (vec![("state", state.to_owned())], count as f64)),
    );
    page.gauge("rtm_cluster_post_bytes", "What waits for other nodes to take it", [one(figures.post_bytes)]);
    let [sent, received, unreadable] = figures.parcels;
    let parcels = [("sent", "taken", sent), ("received", "taken", received), ("received", "refused", unreadable)];
    page.counter(
        "rtm_cluster_parcels",
        "What projects say to each other over nodes",
        parcels.map(|(direction, result, count)| {
            (vec![("direction", direction.to_owned()), ("result", result.to_owned())], count as f64)
        }),
    );
    page.gauge("rtm_cluster_isolated", "Whether this node is out of touch", [one(is_isolated)]);
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

/// How many calls a limit allows in a second; 0 if any number.
fn per_second(limit: CallLimit) -> f64 {
    if limit.is_unlimited() { 0.0 } else { f64::from(limit.calls()) / limit.per().as_secs_f64() }
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

fn name(outcome: SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Delivered => "delivered",
        SendOutcome::Stored => "stored",
        _ => "not_received",
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
const MICRO: f64 = 1e-6;
/// The readers of events that the server has itself, and what their cursors are called.
const READERS: [(&str, &str); 2] = [("user_events", "rest.user_events"), ("channel_events", "rest.channel_events")];
