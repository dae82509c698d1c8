//! What each project counts.

use rtm_codec::{CallLimit, SendOutcome, Wire};
use rtm_core::{Census, Quotas};

use super::{
    super::page::{Labels, Page},
    Look, app, labelled, per, snake_case,
};
use crate::peers::{Carried, Lasted};

pub(super) fn add_projects(page: &mut Page, all: &[Look]) {
    page.gauge(
        "rtm_project_connections",
        "Connections of a project, by wire",
        all.iter().flat_map(|it| it.by_wire.map(|(wire, count)| labelled(it, "wire", wire.to_string(), count as f64))),
    );
    page.counter(
        "rtm_connections_closed",
        "Connections of a project that have ended, by reason",
        all.iter().flat_map(|it| {
            it.by_end.iter().map(|(wire, end, count)| {
                let (labels, count) = labelled(it, "wire", wire.to_string(), *count as f64);
                (and(labels, "reason", end.as_str()), count)
            })
        }),
    );
    page.durations(
        "rtm_connection_duration_seconds",
        "How long connections lasted that have ended",
        all.iter().flat_map(|it| {
            it.lasted.map(|(wire, Lasted { counts, sum })| {
                let buckets = Lasted::BOUNDS.into_iter().chain([f64::INFINITY]).zip(counts).collect();
                (labelled(it, "wire", wire.to_string(), 0.0).0, buckets, sum)
            })
        }),
    );
    page.counter(
        "rtm_logins",
        "Logins that reached their project, by what became of them",
        all.iter().flat_map(|it| {
            it.counters.logins().map(|(resumes, result, n)| {
                let (labels, n) = labelled(it, "wire", wire_that(resumes).to_string(), n as f64);
                (and(labels, "result", result.as_str()), n)
            })
        }),
    );
    page.counter("rtm_logins_refused", "Refused logins of either wire", per(all, |it| it.refused_logins));
    page.latencies(
        "rtm_login_duration_seconds",
        "From a login until its answer, with what a hook took for it",
        all.iter().flat_map(|it| it.logins.map(|(wire, took)| (labelled(it, "wire", wire.to_string(), 0.0).0, took))),
    );
    add_wires(page, all);
    page.latencies(
        "rtm_ping_rtt_seconds",
        "How long clients took to answer a ping of the server, which pings those on the vendor's wire",
        all.iter().map(|it| (app(it), *it.counters.pings())),
    );
    page.counter(
        "rtm_gaps",
        "Gaps that clients were told of, one for each client and channel",
        all.iter()
            .flat_map(|it| it.counters.gaps().map(|(reason, n)| labelled(it, "reason", reason.as_str(), n as f64))),
    );
    page.counter(
        "rtm_resumes",
        "Clients that came back to a session, by what became of that",
        all.iter()
            .flat_map(|it| it.counters.resumes().map(|(result, n)| labelled(it, "result", result.as_str(), n as f64))),
    );
    page.histogram(
        "rtm_resume_replayed_events",
        "How many events clients were sent that went on with their sessions",
        all.iter().map(|it| (app(it), *it.counters.replayed())),
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
            it.calls.iter().map(|(wire, call, n)| {
                let (labels, n) = labelled(it, "wire", wire.to_string(), *n as f64);
                (and(labels, "op", &snake_case(call.as_str())), n)
            })
        }),
    );
    page.counter(
        "rtm_calls_refused",
        "Calls that were refused, by operation and reason; other: what was asked is not known",
        all.iter().flat_map(|it| {
            it.counters.refused_calls().map(|(call, reason, n)| {
                let op = call.map_or_else(|| "other".to_owned(), |call| snake_case(call.as_str()));
                let (labels, n) = labelled(it, "op", op, n as f64);
                (and(labels, "reason", reason.as_str()), n)
            })
        }),
    );
    page.counter(
        "rtm_messages",
        "Messages that were taken, by who sent them",
        all.iter().flat_map(|it| {
            it.counters.sizes().map(|(kind, source, sizes)| {
                let count: u64 = sizes.counts().iter().sum();
                let (labels, count) = labelled(it, "kind", kind.as_str(), count as f64);
                (and(labels, "source", source.as_str()), count)
            })
        }),
    );
    page.histogram(
        "rtm_message_size_bytes",
        "How many bytes the messages had that were taken",
        all.iter().flat_map(|it| {
            it.counters.sizes().map(|(kind, source, sizes)| {
                (and(labelled(it, "kind", kind.as_str(), 0.0).0, "source", source.as_str()), sizes)
            })
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
    page.latencies(
        "rtm_peer_receipt_duration_seconds",
        "From a message until its receiver's device has it",
        all.iter().map(|it| (app(it), *it.counters.receipts())),
    );
    page.histogram(
        "rtm_channel_fanout_members",
        "To how many members on this server each channel message went",
        all.iter().map(|it| (app(it), *it.counters.members())),
    );
    page.latencies(
        "rtm_core_lock_wait_seconds",
        "How long a project's lock was waited for, of one use in sixteen",
        all.iter().map(|it| (app(it), it.lock_times.waited)),
    );
    page.latencies(
        "rtm_core_held_seconds",
        "How long a project's lock was held, of one use in sixteen",
        all.iter().map(|it| (app(it), it.lock_times.held)),
    );
    page.counter(
        "rtm_core_busy_seconds",
        "How long a project's lock was held, as far as one use in sixteen tells",
        all.iter().map(|it| (app(it), it.lock_times.held.micros() as f64 / 1e6 * 16.0)),
    );
    page.counter("rtm_events_queued", "Events put into sessions", per(all, |it| it.stats.events));
    page.counter(
        "rtm_events_lost",
        "Channel events that were dropped for their receiver, as it is told",
        all.iter()
            .flat_map(|it| it.counters.lost().map(|(reason, n)| labelled(it, "reason", reason.as_str(), n as f64))),
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
        "rtm_event_log_events",
        "Events written to the log for back ends, by type",
        all.iter()
            .flat_map(|it| it.counters.logged_events().map(|(kind, n)| labelled(it, "type", kind.name(), n as f64))),
    );
    page.counter("rtm_event_log_lost", "Events that the store could not keep", per(all, |it| it.event_log.lost));
    page.counter(
        "rtm_vendor_events_overwritten",
        "Events that the vendor's calls for events passed over for newer ones",
        per(all, |it| it.counters.overwritten()),
    );
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

/// What the connections of each wire carried.
fn add_wires(page: &mut Page, all: &[Look]) {
    let both = |numbers: fn(&Carried) -> [u64; 2]| {
        all.iter().flat_map(move |it| {
            it.carried.iter().flat_map(move |(wire, carried)| {
                ["in", "out"].into_iter().zip(numbers(carried)).map(move |(direction, number)| {
                    (and(labelled(it, "wire", wire.to_string(), 0.0).0, "direction", direction), number as f64)
                })
            })
        })
    };
    let each = |number: fn(&Carried) -> u64| all.iter().flat_map(move |it| number_of_wires(it, number));
    page.counter(
        "rtm_wire_bytes",
        "What was read from the connections of clients, and written to them, inside TLS",
        both(|carried| carried.bytes),
    );
    page.counter(
        "rtm_wire_packets",
        "WebSocket messages from clients and to them, each with one frame of the protocol or many",
        both(|carried| carried.packets),
    );
    page.counter("rtm_wire_writes", "How often something was written to a connection", each(|carried| carried.writes));
    page.counter("rtm_events_sent", "Events that were written to connections", each(|carried| carried.events));
}

fn number_of_wires(look: &Look, number: fn(&Carried) -> u64) -> [(Labels, f64); 2] {
    look.carried.map(|(wire, carried)| labelled(look, "wire", wire.to_string(), number(&carried) as f64))
}

fn and(mut labels: Labels, label: &'static str, value: &str) -> Labels {
    labels.push((label, value.to_owned()));
    labels
}

/// The wire of clients that can resume, or that cannot: the core knows them by that.
fn wire_that(resumes: bool) -> Wire {
    if Wire::Native.abilities().resume == resumes { Wire::Native } else { Wire::Vendor }
}

/// How many calls a limit allows in a second; 0 if any number.
fn per_second(limit: CallLimit) -> f64 {
    if limit.is_unlimited() { 0.0 } else { f64::from(limit.calls()) / limit.per().as_secs_f64() }
}

fn name(outcome: SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Delivered => "delivered",
        SendOutcome::Stored => "stored",
        _ => "not_received",
    }
}
