//! What Prometheus is given.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use rtm_codec::{ChannelId, ClientFrame, CloseReason, JoinChannel, Wire};
use rtm_server::{
    AdminKey, AdminRole, BackendError, ServerBuilder, ServerConfig,
    core::{
        StoreAnswer, StoreWork,
        store::{Backend, BackendStats, Task},
    },
};
use tokio::time::timeout;

use super::{metrics, sample, with_admin};
use crate::support::{APP, Client, http, soon};

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
        (format!("rtm_logins_total{{{app},wire=\"native\",result=\"new\"}}"), 1.0),
        (format!("rtm_logins_total{{{app},wire=\"vendor\",result=\"new\"}}"), 1.0),
        (format!("rtm_login_duration_seconds_count{{{app},wire=\"native\"}}"), 1.0),
        (format!("rtm_login_duration_seconds_count{{{app},wire=\"vendor\"}}"), 1.0),
        (format!("rtm_messages_total{{{app},kind=\"peer\",source=\"client\"}}"), 2.0),
        (format!("rtm_message_size_bytes_count{{{app},kind=\"peer\",source=\"client\"}}"), 2.0),
        (format!("rtm_messages_total{{{app},kind=\"channel\",source=\"rest\"}}"), 0.0),
        (format!("rtm_calls_total{{{app},wire=\"native\",op=\"send_message_to_peer\"}}"), 1.0),
        (format!("rtm_calls_total{{{app},wire=\"vendor\",op=\"send_message_to_peer\"}}"), 1.0),
        (format!("rtm_peer_message_outcomes_total{{{app},outcome=\"delivered\"}}"), 2.0),
        (format!("rtm_peer_receipt_duration_seconds_count{{{app}}}"), 2.0),
        (format!("rtm_connections_accepted_total{{listener=\"{}\"}}", server.local_addr()), 2.0),
        ("rtm_ready".to_owned(), 1.0),
    ] {
        assert_eq!(sample(&text, &name), value, "{name}");
    }

    // From the socket and into it: the two messages are in these bytes.
    for (wire, direction) in [("native", "in"), ("native", "out"), ("vendor", "in"), ("vendor", "out")] {
        let name = format!("rtm_wire_bytes_total{{{app},wire=\"{wire}\",direction=\"{direction}\"}}");
        // What was written last is counted when something comes next, or at the end.
        assert!(sample(&text, &name) > 40.0, "{name}\n{text}");
        let name = format!("rtm_wire_packets_total{{{app},wire=\"{wire}\",direction=\"{direction}\"}}");
        assert!(sample(&text, &name) >= 1.0, "{name}\n{text}");
    }
    for wire in ["native", "vendor"] {
        let writes = sample(&text, &format!("rtm_wire_writes_total{{{app},wire=\"{wire}\"}}"));
        assert!(writes >= 1.0, "{wire}: {writes}");
    }
    alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    alice.next().await;
    let joins = "rtm_call_duration_seconds_count{op=\"join_channel\"}";
    assert_eq!(sample(&metrics(admin).await, joins), 1.0);

    let page = metrics(admin).await;
    let shown = "rtm_http_requests_total{api=\"admin\",method=\"GET\",status=\"2xx\"}";
    assert!(sample(&page, shown) >= 2.0, "{page}");
    assert_eq!(sample(&page, "rtm_http_requests_in_flight{api=\"admin\"}"), 1.0, "this one");
    alice.send(ClientFrame::Logout).await;
    alice.closed().await;
    let gone = format!("rtm_connections_closed_total{{{app},wire=\"native\",reason=\"logout\"}}");
    soon("the end is counted", async {
        while sample(&metrics(admin).await, &gone) < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let page = metrics(admin).await;
    let lasted = |le: &str| {
        sample(&page, &format!("rtm_connection_duration_seconds_bucket{{{app},wire=\"native\",le=\"{le}\"}}"))
    };
    assert_eq!(["60", "86400", "+Inf"].map(lasted), [1.0; 3]);
    // Both messages were events to the other one. What was written last counts at the end of the connection.
    assert!(sample(&page, &format!("rtm_events_sent_total{{{app},wire=\"native\"}}")) >= 1.0, "{page}");
}

/// A backend that answers nothing any more once it is to stall, until the end of the test.
struct Stalling {
    stalls: Arc<AtomicBool>,
    ends: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Backend for Stalling {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
        if self.stalls.load(Ordering::Relaxed) {
            let _ = self.ends.lock().unwrap().recv();
        }
        let answer = |Task { work, .. }| match work {
            StoreWork::List { .. } => Ok(StoreAnswer::Values { values: vec![], more: false }),
            _ => Err(BackendError::new("answer", "it stalls")),
        };
        tasks.into_iter().map(answer).collect()
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        if self.stalls.load(Ordering::Relaxed) {
            let _ = self.ends.lock().unwrap().recv();
        }
        Ok(BackendStats::default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stalls_costs_those_who_look_no_time_for_each_project() {
    let (key, text) = AdminKey::generate("reader", AdminRole::Read).unwrap();
    let mut config = ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.admin.keys = vec![key];
    config.projects =
        (0..60).map(|number| format!("{number:032}").parse::<rtm_codec::AppId>().unwrap().into()).collect();
    let stalls = Arc::new(AtomicBool::new(false));
    // It goes on when this is dropped, before the server is.
    let (goes_on, ends) = mpsc::channel();
    let backend = Stalling { stalls: Arc::clone(&stalls), ends: Arc::new(Mutex::new(ends)) };
    let server = ServerBuilder::from(config).backend(backend).start().await.unwrap();
    let admin = server.admin_addrs()[0];
    stalls.store(true, Ordering::Relaxed);
    for path in ["/metrics", "/admin/v1/projects"] {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {text}\r\nConnection: close\r\n\r\n"
        );
        // One project after the other would take half a minute.
        let answer = timeout(Duration::from_secs(15), http(admin, head)).await.expect("it is answered in time");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.body.contains(&format!("{:032}", 59)), "{path}");
    }
    drop(goes_on);
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
        ("rtm_connections_closed_total{", 2 * (CloseReason::ALL.len() + 3)),
        ("rtm_connections_refused_total{", 7),
        ("rtm_http_requests_total{", 3 * 5 * 4),
        ("rtm_messages_total{", 2 * 3),
        ("rtm_resumes_total{", 3),
        ("rtm_connection_duration_seconds_bucket{", 2 * 8),
        ("rtm_calls_total{", 2 * 26),
        ("rtm_calls_refused_total{", (26 + 1) * 8),
        ("rtm_call_duration_seconds_count{", 26),
        ("rtm_gaps_total{", 4),
        ("rtm_events_lost_total{", 3),
        ("rtm_log_messages_total{", 2),
        ("rtm_wire_bytes_total{", 4),
        ("rtm_admin_actions_total{", 17 * 3),
        ("rtm_logins_total{", 2 * 10),
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

const SERIES: &str = "
process_cpu_seconds_total
process_max_fds
process_open_fds
process_resident_memory_bytes
process_start_time_seconds
process_threads
rtm_admin_actions_total action result
rtm_build_info version commit rustc features
rtm_call_duration_seconds_count op
rtm_call_duration_seconds_sum op
rtm_calls_refused_total app_id op reason
rtm_calls_total app_id wire op
rtm_channel_fanout_members_count app_id
rtm_channel_fanout_members_sum app_id
rtm_channel_members app_id
rtm_channels app_id
rtm_config_last_reload_success_timestamp_seconds
rtm_config_last_reload_successful
rtm_connection_duration_seconds_count app_id wire
rtm_connection_duration_seconds_sum app_id wire
rtm_connections state
rtm_connections_accepted_total listener
rtm_connections_closed_total app_id wire reason
rtm_connections_limit
rtm_connections_refused_total reason
rtm_core_busy_seconds_total app_id
rtm_core_held_seconds_count app_id
rtm_core_held_seconds_sum app_id
rtm_core_lock_wait_seconds_count app_id
rtm_core_lock_wait_seconds_sum app_id
rtm_draining
rtm_event_cursor_seq app_id reader
rtm_event_log_events_total app_id type
rtm_event_log_last_seq app_id
rtm_event_log_lost_total app_id
rtm_event_log_oldest_seconds app_id
rtm_event_log_waiting app_id
rtm_events_lost_total app_id reason
rtm_events_queued_total app_id
rtm_events_sent_total app_id wire
rtm_gaps_total app_id reason
rtm_http_request_duration_seconds_count api
rtm_http_request_duration_seconds_sum api
rtm_http_requests_in_flight api
rtm_http_requests_total api method status
rtm_invitations_open app_id
rtm_log_messages_total level
rtm_login_duration_seconds_count app_id wire
rtm_login_duration_seconds_sum app_id wire
rtm_logins_locked_total
rtm_logins_refused_for_memory_total
rtm_logins_refused_total app_id
rtm_logins_total app_id wire result
rtm_logins_without_project_total
rtm_message_size_bytes_count app_id kind source
rtm_message_size_bytes_sum app_id kind source
rtm_messages_total app_id kind source
rtm_offline_evicted_total app_id
rtm_peer_message_outcomes_total app_id outcome
rtm_peer_receipt_duration_seconds_count app_id
rtm_peer_receipt_duration_seconds_sum app_id
rtm_ping_rtt_seconds_count app_id
rtm_ping_rtt_seconds_sum app_id
rtm_presence_subscriptions app_id
rtm_project_connections app_id wire
rtm_quota_limit app_id quota
rtm_quota_refused_total app_id quota
rtm_ready
rtm_rest_calls_total call status
rtm_resume_replayed_events_count app_id
rtm_resume_replayed_events_sum app_id
rtm_resumes_total app_id result
rtm_runtime_alive_tasks
rtm_runtime_global_queue_depth
rtm_runtime_workers
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
rtm_store_bytes backend
rtm_store_damaged_total
rtm_store_failures_total app_id
rtm_store_jobs_queued
rtm_store_queue_bytes
rtm_store_restricted_users
rtm_stored_bytes app_id kind
rtm_stored_messages kind
rtm_users_online app_id
rtm_vendor_events_overwritten_total app_id
rtm_wire_bytes_total app_id wire direction
rtm_wire_packets_total app_id wire direction
rtm_wire_writes_total app_id wire
";
