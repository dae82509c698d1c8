//! The admin listener, as Prometheus, a load balancer and an operator meet it.

use std::{collections::BTreeSet, net::SocketAddr};

use rtm_codec::{ClientFrame, CloseReason, Wire};
use rtm_server::Server;

use tokio::net::TcpStream;

use crate::support::{APP, Client, http, server_with, soon};

async fn with_admin() -> (Server, SocketAddr) {
    let server = server_with(|config| config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()]).await;
    let admin = server.admin_addrs()[0];
    (server, admin)
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = http(address, request).await;
    (answer.status, answer.body)
}

async fn metrics(address: SocketAddr) -> String {
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200, "{text}");
    text
}

/// The value of the sample that is written so.
fn sample(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn what_clients_do_is_counted() {
    let (server, admin) = with_admin().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let mut bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;
    let text = metrics(admin).await;
    let app = format!("app_id=\"{APP}\"");
    for (name, value) in [
        (format!("rtm_project_connections{{{app},wire=\"native\"}}"), 1.0),
        (format!("rtm_project_connections{{{app},wire=\"vendor\"}}"), 1.0),
        ("rtm_connections{state=\"session\"}".to_owned(), 2.0),
        (format!("rtm_sessions{{{app},state=\"online\"}}"), 2.0),
        (format!("rtm_logins_total{{{app},result=\"new\"}}"), 2.0),
        (format!("rtm_messages_total{{{app},kind=\"peer\"}}"), 2.0),
        (format!("rtm_calls_total{{{app},op=\"send_message_to_peer\"}}"), 2.0),
        (format!("rtm_peer_message_outcomes_total{{{app},outcome=\"delivered\"}}"), 2.0),
        (format!("rtm_peer_receipt_duration_seconds_count{{{app}}}"), 2.0),
        (format!("rtm_connections_accepted_total{{listener=\"{}\"}}", server.local_addr()), 2.0),
        ("rtm_ready".to_owned(), 1.0),
    ] {
        assert_eq!(sample(&text, &name), value, "{name}");
    }

    alice.send(ClientFrame::Logout).await;
    alice.closed().await;
    let gone = format!("rtm_connections_closed_total{{{app},reason=\"logout\"}}");
    soon("the end is counted", async {
        while sample(&metrics(admin).await, &gone) < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn each_series_has_its_name_and_labels_from_the_start() {
    let (_server, admin) = with_admin().await;
    let text = metrics(admin).await;
    let mut families = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{")) {
        let sample = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let keys: Vec<_> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
        families.insert(format!("{name} {}", keys.join(" ")).trim_end().to_owned());
    }
    let families: Vec<_> = families.into_iter().collect();
    assert_eq!(families.join("\n"), SERIES.trim(), "names and labels are for ever: dashboards have them");
    for (family, count) in [
        ("rtm_connections_closed_total{", CloseReason::ALL.len() + 2),
        ("rtm_calls_total{", 26),
        ("rtm_calls_refused_total{", 8),
        ("rtm_logins_total{", 10),
        ("rtm_peer_message_outcomes_total{", 3),
    ] {
        assert_eq!(text.lines().filter(|line| line.starts_with(family)).count(), count, "{family}");
    }
    assert!(!text.contains("alice"));
}

#[tokio::test]
async fn prometheus_gets_the_format_that_it_asks_for() {
    let (_server, admin) = with_admin().await;
    for (accept, content_type, end) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", ""),
        (
            "application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# EOF\n",
        ),
    ] {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        let answer = http(admin, request).await;
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert!(answer.body.ends_with(end));
    }
}

#[tokio::test]
async fn a_server_that_goes_down_says_so_first_and_lives_on() {
    let (server, admin) = with_admin().await;
    for path in ["/livez", "/healthz"] {
        assert_eq!(get(admin, path).await, (200, "ok\n".to_owned()), "{path}");
    }
    assert_eq!(get(admin, "/readyz").await, (200, r#"{"ready":true,"reasons":[]}"#.to_owned()));
    // It does not confirm its close, so that the shutdown waits for it.
    let _client = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let shutdown = tokio::spawn(server.shutdown());
    soon("it is not ready", async {
        while get(admin, "/readyz").await != (503, r#"{"ready":false,"reasons":["draining"]}"#.to_owned()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(get(admin, "/livez").await.0, 200);
    assert_eq!(get(admin, "/healthz").await, (503, "draining\n".to_owned()));
    assert_eq!(sample(&metrics(admin).await, "rtm_draining"), 1.0);
    soon("the shutdown", shutdown).await.unwrap();
    assert!(TcpStream::connect(admin).await.is_err(), "its port is free");
}

#[tokio::test]
async fn clients_do_not_reach_it() {
    let (server, admin) = with_admin().await;
    assert_eq!(get(server.local_addr(), "/metrics").await.0, 404);
    assert_eq!(get(admin, "/arapi/v1").await.0, 404);
    let plain = server_with(|_| {}).await;
    assert!(plain.admin_addrs().is_empty());
}

const SERIES: &str = "
process_cpu_seconds_total
process_max_fds
process_open_fds
process_resident_memory_bytes
process_start_time_seconds
process_threads
rtm_build_info version features
rtm_calls_refused_total app_id reason
rtm_calls_total app_id op
rtm_channel_fanout_members_count app_id
rtm_channel_fanout_members_sum app_id
rtm_channel_members app_id
rtm_channels app_id
rtm_connection_duration_seconds_count app_id
rtm_connection_duration_seconds_sum app_id
rtm_connections state
rtm_connections_accepted_total listener
rtm_connections_closed_total app_id reason
rtm_connections_limit
rtm_connections_refused_total reason
rtm_draining
rtm_events_lost_total app_id
rtm_events_queued_total app_id
rtm_invitations_open app_id
rtm_logins_locked_total
rtm_logins_refused_total app_id
rtm_logins_total app_id result
rtm_logins_without_project_total
rtm_messages_total app_id kind
rtm_offline_evicted_total app_id
rtm_peer_message_outcomes_total app_id outcome
rtm_peer_receipt_duration_seconds_count app_id
rtm_peer_receipt_duration_seconds_sum app_id
rtm_presence_subscriptions app_id
rtm_project_connections app_id wire
rtm_ready
rtm_session_queue_bytes app_id
rtm_session_queue_bytes_max app_id
rtm_sessions app_id state
rtm_sessions_behind app_id
rtm_slow_consumers_total app_id
rtm_start_time_seconds
rtm_store_batch_duration_seconds_count
rtm_store_batch_duration_seconds_sum
rtm_store_batch_jobs_count
rtm_store_batch_jobs_sum
rtm_store_damaged_total
rtm_store_failures_total app_id
rtm_store_queue_bytes
rtm_stored_messages kind
rtm_users_online app_id
";
