//! The server: its connections, what is refused, and what was done over HTTP.

use std::{sync::atomic::Ordering, time::SystemTime};

use tokio::runtime::Handle;

use super::{
    super::{Admin, config::BuildInfo, log::LogControl, page::Page},
    Look, one, snake_case,
};
use crate::tls::Tls;

impl Admin {
    pub(super) fn add_server(&self, page: &mut Page, projects: &[Look]) {
        let shared = &self.shared;
        let BuildInfo { commit, rustc } = &self.build;
        let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", commit), ("rustc", rustc)];
        let mut build = build.map(|(label, value)| (label, value.to_owned())).to_vec();
        build.push(("features", features()));
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
            ("lockout", turned_away.locked),
            ("draining", shared.found_draining.load(Ordering::Relaxed)),
            ("fds", shared.without_descriptor.load(Ordering::Relaxed)),
            ("proxy_header", shared.found_headerless.load(Ordering::Relaxed)),
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

    /// The runtime that all tasks are on.
    pub(super) fn add_runtime(page: &mut Page) {
        let figures = Handle::current().metrics();
        page.gauge("rtm_runtime_workers", "Threads that run tasks", [one(figures.num_workers())]);
        page.gauge("rtm_runtime_alive_tasks", "Tasks that have not ended", [one(figures.num_alive_tasks())]);
        page.gauge(
            "rtm_runtime_global_queue_depth",
            "Tasks that are ready to run and that no thread has taken",
            [one(figures.global_queue_depth())],
        );
    }

    /// What came over HTTP.
    pub(super) fn add_http(&self, page: &mut Page) {
        let http = &self.shared.http;
        page.counter(
            "rtm_http_requests",
            "Requests that were answered, by the class of the status",
            http.answers().map(|(api, method, status, count)| {
                let labels = [("api", api.as_str()), ("method", method), ("status", status)];
                (labels.map(|(label, value)| (label, value.to_owned())).to_vec(), count as f64)
            }),
        );
        page.latencies(
            "rtm_http_request_duration_seconds",
            "From a request until the head of its answer",
            http.times().map(|(api, times)| (vec![("api", api.as_str().to_owned())], times)),
        );
        page.gauge(
            "rtm_http_requests_in_flight",
            "Requests that wait for the heads of their answers",
            http.in_flight().map(|(api, count)| (vec![("api", api.as_str().to_owned())], count as f64)),
        );
    }

    pub(super) fn add_certificates(&self, page: &mut Page) {
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
    pub(super) fn add_calls(&self, page: &mut Page) {
        page.latencies(
            "rtm_call_duration_seconds",
            "From a call of a client until its answer; of messages one in sixteen",
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
        let actions = self.audit.counts().map(|(action, outcome, count)| {
            let labels = [("action", action), ("result", outcome.as_str())];
            (labels.map(|(label, value)| (label, value.to_owned())).to_vec(), count as f64)
        });
        page.counter(
            "rtm_admin_actions",
            "What operators asked for, by what came of it; done: the audit log has it",
            actions,
        );
        #[cfg(feature = "rest")]
        page.counter(
            "rtm_rest_calls",
            "Calls of the REST API, by the status of the answer",
            self.shared.rest_counts.all().map(|(call, status, count)| {
                (vec![("call", call.to_owned()), ("status", status.to_string())], count as f64)
            }),
        );
    }
}

/// What it is built with, as `rtm --version --verbose` says it.
fn features() -> String {
    let all = [
        ("admin", true),
        ("cluster", cfg!(feature = "cluster")),
        ("console", cfg!(feature = "console")),
        ("otlp", cfg!(feature = "otlp")),
        ("webhooks", cfg!(feature = "webhooks")),
    ];
    let built_in: Vec<_> = all.into_iter().filter_map(|(name, is_in)| is_in.then_some(name)).collect();
    built_in.join(" ")
}
