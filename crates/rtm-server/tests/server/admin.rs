//! The admin listener, as Prometheus, a load balancer and an operator meet it.

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

use rtm_codec::{
    ChannelId, ClientFrame, CloseReason, ErrorKind, JoinChannel, MessageId, SendMessageToPeer, ServerFrame, Wire,
};
use rtm_server::{
    AdminKey, AdminRole, BackendError, CallLimits, LogControl, ProjectConfig, Server, ServerBuilder, ServerConfig,
    core::{
        StateKey, StoreAnswer, StoreWork,
        store::{Backend, BackendStats, Memory, Task},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{APP, Client, app_id, http, login, server_with, soon};

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
async fn what_is_asked_while_the_server_ends_is_answered() {
    let (server, admin, [_, _, key, _]) = with_keys().await;
    let mut asking = TcpStream::connect(admin).await.unwrap();
    let head = format!(
        "POST /admin/v1/log-level HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
    );
    asking.write_all(head.as_bytes()).await.unwrap();
    // It is heard, since a later one is answered.
    assert_eq!(get(admin, "/livez").await.0, 200);
    let ends = tokio::spawn(server.shutdown());
    let refused = async {
        while TcpStream::connect(admin).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the listener takes nothing more", refused).await;
    asking.write_all(b"}").await.unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "the body is no level, and that is said: {answer}");
    ends.await.unwrap();
}

#[tokio::test]
async fn those_who_wait_for_events_keep_nobody_else_out() {
    let (_server, admin, [read, ..]) = with_keys().await;
    let ask = async |more: &str| {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let request = format!(
            "GET /admin/v1/projects/{APP}/events{more} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {read}\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; "HTTP/1.1 200".len()];
        soon("an answer", stream.read_exact(&mut head)).await.unwrap();
        (stream, String::from_utf8(head).unwrap())
    };
    let mut readers = Vec::new();
    for _ in 0..128 {
        let (stream, head) = ask("").await;
        assert_eq!(head, "HTTP/1.1 200");
        readers.push(stream);
    }
    assert_eq!(ask("").await.1, "HTTP/1.1 429", "so many are enough");
    assert_eq!(get(admin, "/livez").await.0, 200);
    readers.pop();
    soon("a place is free", async { while ask("").await.1 != "HTTP/1.1 200" {} }).await;
}

#[tokio::test]
async fn clients_do_not_reach_it() {
    let (server, admin) = with_admin().await;
    assert_eq!(get(server.local_addr(), "/metrics").await.0, 404);
    assert_eq!(get(admin, "/arapi/v1").await.0, 404);
    let plain = server_with(|_| {}).await;
    assert!(plain.admin_addrs().is_empty());
}

/// A server whose API has keys of all roles, and one of another project only. Gives their texts.
async fn with_keys() -> (Server, SocketAddr, [String; 4]) {
    let key = |name: &str, role| AdminKey::generate(name, role).unwrap();
    let (read, operate, all) =
        (key("grafana", AdminRole::Read), key("support", AdminRole::Operate), key("root", AdminRole::Admin));
    let mut other = key("other", AdminRole::Admin);
    other.0.projects = Some(vec!["f".repeat(32).parse().unwrap()]);
    let texts = [read.1, operate.1, all.1, other.1];
    let server = server_with(|config| {
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.projects[0].limits = CallLimits::unlimited();
        config.admin.keys = vec![read.0, operate.0, all.0, other.0];
        config.admin.log = Some(LogControl::new("info", |level| match level {
            "nonsense" => Err("that is no level".to_owned()),
            _ => Ok(()),
        }));
    })
    .await;
    let admin = server.admin_addrs()[0];
    (server, admin, texts)
}

/// Calls the API. Gives the status and the answer.
async fn call(address: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let answer = http(
        address,
        format!(
            "{method} /admin/v1{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_operator_sees_who_is_there_and_who_was() {
    let (server, admin, [read, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let _bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    let join = JoinChannel { channel_id: ChannelId::new("room").unwrap() };
    alice.request(join).await;
    alice.next().await;

    let (status, sessions) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?limit=1"), "").await;
    assert_eq!(status, 200, "{sessions}");
    assert_eq!(sessions["items"][0]["user_id"], "alice");
    assert_eq!(sessions["items"][0]["wire"], "native");
    assert_eq!(sessions["items"][0]["channels"], 1);
    assert!(sessions["items"][0]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    let cursor = sessions["next"].as_str().unwrap();
    let path = format!("/projects/{APP}/sessions?limit=1&cursor={cursor}");
    let (_, sessions) = call(admin, &read, "GET", &path, "").await;
    assert_eq!(sessions["items"][0]["user_id"], "bob");

    let (_, found) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?prefix=bo&state=online"), "").await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(found["next"], serde_json::Value::Null);
    let (_, user) = call(admin, &read, "GET", &format!("/projects/{APP}/users/alice"), "").await;
    assert_eq!(user["channels"], serde_json::json!(["room"]));
    let (_, channels) = call(admin, &read, "GET", &format!("/projects/{APP}/channels"), "").await;
    assert_eq!(channels["items"][0]["channel_id"], "room");
    let (_, members) = call(admin, &read, "GET", &format!("/projects/{APP}/channels/room/members"), "").await;
    assert_eq!(members["items"], serde_json::json!(["alice"]));
    let (_, projects) = call(admin, &read, "GET", "/projects", "").await;
    assert_eq!(projects["items"][0]["users_online"], 2);

    alice.send(ClientFrame::Logout).await;
    alice.closed().await;
    let path = format!("/projects/{APP}/closed");
    soon("the end is seen", async {
        loop {
            let (_, closed) = call(admin, &read, "GET", &path, "").await;
            if closed["items"][0]["user_id"] == "alice" {
                assert_eq!(closed["items"][0]["reason"], "logout");
                let ended = closed["items"][0]["ended"].as_str().unwrap();
                assert!(ended.ends_with('Z') && ended.contains('T'), "{ended}");
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_operator_kicks_bans_and_unbans_and_all_of_it_is_written_down() {
    let (server, admin, [read, operate, all, _]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let user = format!("/projects/{APP}/users/alice");
    let (status, done) = call(admin, &operate, "POST", &format!("{user}/kick"), "").await;
    assert_eq!((status, &done["done"]), (200, &true.into()));
    assert_eq!(alice.closed().await.unwrap().1, CloseReason::Banned.as_str());
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let (status, ban) = call(admin, &operate, "PUT", &format!("{user}/ban"), r#"{"for":"10m"}"#).await;
    assert_eq!(status, 200, "{ban}");
    alice.closed().await;
    let mut alice = Client::connect(server.local_addr(), Wire::Native).await;
    alice.send(login("alice")).await;
    assert!(matches!(alice.next().await, ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::Banned));
    let (_, bans) = call(admin, &operate, "GET", &format!("/projects/{APP}/bans"), "").await;
    assert_eq!(bans["items"][0]["user_id"], "alice");
    let (_, done) = call(admin, &operate, "DELETE", &format!("{user}/ban"), "").await;
    assert_eq!(done["done"], true);
    Client::login(server.local_addr(), Wire::Native, "alice").await;

    let (_, audit) = call(admin, &all, "GET", "/audit?limit=2", "").await;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["unban", "ban"]);
    assert_eq!(audit["items"][0]["key"], "support");
    let cursor = audit["next"].as_str().unwrap();
    let (_, audit) = call(admin, &all, "GET", &format!("/audit?cursor={cursor}"), "").await;
    assert_eq!(audit["items"][0]["action"], "kick");

    for body in [
        "{}",
        r#"{"for":"10m","until":"2030-01-01T00:00:00Z"}"#,
        r#"{"for":"soon"}"#,
        r#"{"until":"2020-01-01T00:00:00Z"}"#,
        "x",
    ] {
        let (status, answer) = call(admin, &operate, "PUT", &format!("{user}/ban"), body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &"invalid_argument".into()), "{body}: {answer}");
    }
    assert_eq!(call(admin, &read, "POST", &format!("{user}/kick"), "").await.0, 403);
    assert_eq!(call(admin, "rtm_admin_guess", "POST", &format!("{user}/kick"), "").await.0, 401);
    let page = metrics(admin).await;
    for (action, result, count) in [
        ("kick", "done", 1.0),
        ("kick", "refused", 1.0),
        ("ban", "done", 1.0),
        ("ban", "refused", 5.0),
        ("ban", "failed", 0.0),
    ] {
        let name = format!("rtm_admin_actions_total{{action=\"{action}\",result=\"{result}\"}}");
        assert_eq!(sample(&page, &name), count, "{name}");
    }
    let (_, closed) = call(admin, &operate, "GET", &format!("/projects/{APP}/closed"), "").await;
    let reasons = closed["items"].as_array().unwrap().iter().map(|closed| closed["reason"].as_str().unwrap());
    assert_eq!(reasons.filter(|reason| *reason != "gone").collect::<Vec<_>>(), ["refused", "banned", "kicked"]);
    // Back ends are told a kick from a ban, though clients are not.
    let (_, log) = call(admin, &operate, "GET", &format!("/projects/{APP}/events?types=session.ended"), "").await;
    let reasons = log["events"].as_array().unwrap().iter().map(|event| &event["data"]["reason"]);
    assert_eq!(reasons.collect::<Vec<_>>(), ["kicked", "banned"]);
    // The longest time that can be written.
    let (status, ban) = call(admin, &operate, "PUT", &format!("{user}/ban"), r#"{"for":"100000000000s"}"#).await;
    assert_eq!(status, 200, "{ban}");
}

#[tokio::test]
async fn bans_and_revoked_tokens_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (key, operate) = AdminKey::generate("support", AdminRole::Admin).unwrap();
    let start = async || {
        let server = server_with(|config| {
            config.data_dir = Some(directory.path().to_owned());
            config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
            config.admin.keys = vec![key.clone()];
        });
        let server = server.await;
        let admin = server.admin_addrs()[0];
        (server, admin)
    };
    let (server, admin) = start().await;
    let ban = async |user: &str, body: &str| {
        let (status, answer) = call(admin, &operate, "PUT", &format!("/projects/{APP}/users/{user}/ban"), body).await;
        assert_eq!(status, 200, "{answer}");
        answer["banned_until"].as_str().unwrap().to_owned()
    };
    assert_eq!(ban("alice", r#"{"until":"forever"}"#).await, "forever");
    let until = ban("bob", r#"{"for":"10m"}"#).await;
    ban("carol", r#"{"for":"10m"}"#).await;
    let path = format!("/projects/{APP}/users/carol/ban");
    assert_eq!(call(admin, &operate, "DELETE", &path, "").await.1["done"], true);
    let path = format!("/projects/{APP}/users/dave/revoke-tokens");
    let body = r#"{"issued_before":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(call(admin, &operate, "POST", &path, body).await.0, 200);
    let path = format!("/projects/{APP}/revoke-tokens");
    assert_eq!(call(admin, &operate, "POST", &path, body).await.0, 200);
    server.shutdown().await;

    let (server, admin) = start().await;
    let (_, bans) = call(admin, &operate, "GET", &format!("/projects/{APP}/bans"), "").await;
    let before = "2026-01-01T00:00:00.000Z";
    let wanted = serde_json::json!([
        { "user_id": "alice", "banned_until": "forever", "tokens_revoked_before": null },
        { "user_id": "bob", "banned_until": until, "tokens_revoked_before": null },
        { "user_id": "dave", "banned_until": null, "tokens_revoked_before": before },
    ]);
    assert_eq!(bans["items"], wanted);
    let mut alice = Client::connect(server.local_addr(), Wire::Native).await;
    alice.send(login("alice")).await;
    assert!(matches!(alice.next().await, ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::Banned));
    Client::login(server.local_addr(), Wire::Native, "carol").await;
    let (_, user) = call(admin, &operate, "GET", &format!("/projects/{APP}/users/alice"), "").await;
    assert_eq!(user["banned_until"], "forever");
}

#[tokio::test]
async fn an_operator_counts_and_removes_what_is_kept_of_a_user() {
    let (server, admin, [read, operate, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for number in 1..=3 {
        let message = SendMessageToPeer {
            message_id: MessageId(number),
            peer_id: crate::support::user("bob"),
            message: "waits".into(),
            enable_offline_messaging: true,
            enable_historical_messaging: true,
        };
        alice.request(message).await;
        alice.next().await;
    }
    let path = format!("/projects/{APP}/users/bob/stored");
    assert_eq!(call(admin, &read, "GET", &path, "").await.1["stored_messages"], 3);
    // Nothing else is known of a user who is offline.
    let shown = async |user: &str| call(admin, &read, "GET", &format!("/projects/{APP}/users/{user}"), "").await;
    let (status, bob) = shown("bob").await;
    assert_eq!((status, &bob["state"], &bob["stored_messages"]), (200, &"offline".into(), &3.into()), "{bob}");
    assert_eq!((&bob["session"], &bob["node"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    let (_, alice_shown) = shown("alice").await;
    assert_eq!((&alice_shown["state"], &alice_shown["stored_messages"]), (&"online".into(), &0.into()));
    assert_eq!(shown("nobody").await.0, 404);
    let data = |user: &str| format!("/projects/{APP}/users/{user}/data");
    assert_eq!(call(admin, &read, "DELETE", &data("bob"), "").await.0, 403);
    let (_, deleted) = call(admin, &operate, "DELETE", &data("bob"), "").await;
    assert_eq!(deleted, serde_json::json!({ "stored_messages": 3, "history_messages": 0, "attributes": 0 }));
    let (_, deleted) = call(admin, &operate, "DELETE", &data("alice"), "").await;
    assert_eq!(deleted, serde_json::json!({ "stored_messages": 0, "history_messages": 3, "attributes": 0 }));
    assert_eq!(call(admin, &read, "GET", &path, "").await.1["stored_messages"], 0);
    assert_eq!(shown("bob").await.0, 404, "nothing is left");
}

#[cfg(feature = "webhooks")]
/// What a value has to be by its schema. A test has no use for more of JSON Schema.
fn fits(schema: &serde_json::Value, value: &serde_json::Value, path: &str) {
    use serde_json::Value;
    let named = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => vec![one.as_str().unwrap()],
    };
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(named.contains(&name), "{path} is {value}, and should be {named:?}");
    match value {
        Value::Array(items) => items.iter().for_each(|item| fits(&schema["items"], item, path)),
        Value::Object(fields) => {
            for needed in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(needed.as_str().unwrap()), "{path} has no {needed}");
            }
            for (name, value) in fields {
                let known = schema["properties"].get(name).unwrap_or_else(|| &schema["additionalProperties"]);
                assert!(known.is_object(), "{path}.{name} is not described");
                if known.get("type").is_some() {
                    fits(known, value, &format!("{path}.{name}"));
                }
            }
        }
        _ => {}
    }
}

#[cfg(feature = "webhooks")]
#[tokio::test]
async fn every_call_answers_as_its_description_says() {
    let kept: serde_json::Value = serde_json::from_str(include_str!("../../../../docs/admin-api.json")).unwrap();
    let described: serde_json::Value = serde_json::from_str(&rtm_server::admin_openapi()).unwrap();
    assert!(kept == described, "run: rtm admin openapi > docs/admin-api.json");
    let (server, admin, [.., all, _]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    alice.next().await;
    let _bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    let bodies = [
        ("set_log_level", r#"{"level":"debug"}"#),
        ("ban", r#"{"for":"1h"}"#),
        ("revoke_tokens", r#"{"issued_before":"now"}"#),
        ("revoke_all_tokens", r#"{"issued_before":"2026-01-01T00:00:00Z"}"#),
        ("send_to_user", r#"{"from":"support","text":"hello","offline":true,"history":true}"#),
        ("replay_webhook", r#"{"after":0}"#),
        ("make_token", r#"{"user_id":"alice"}"#),
        ("set_limits", r#"{"limits":{"get_members":"500/2s"}}"#),
        ("explain_token", r#"{"token":"006"}"#),
        ("send_to_channel", r#"{"from":"support","text":"hello","history":true}"#),
    ];
    let mut calls: Vec<_> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(move |(method, call)| (path.clone(), method.to_uppercase(), call.clone()))
        })
        .collect();
    // What ends something comes last, and a read sees what was sent before.
    calls.sort_by_key(|(_, method, _)| ["POST", "PUT", "GET", "DELETE"].iter().position(|known| known == method));
    calls.sort_by_key(|(path, ..)| path.ends_with("/kick") || path.ends_with("/ban") || path.ends_with("/drain"));
    let all_calls = calls.len();
    let mut answered = 0;
    for (path, method, described) in calls {
        let name = described["operationId"].as_str().unwrap();
        let user = if name == "send_to_user" || name.ends_with("ban") { "bob" } else { "alice" };
        let path = path
            .replace("{app_id}", APP)
            .replace("{user_id}", user)
            .replace("{channel_id}", "room")
            .replace("{name}", "none");
        let path = path.strip_prefix("/admin/v1").unwrap();
        let body = bodies.iter().find(|(known, _)| *known == name).map_or("", |(_, body)| *body);
        assert_eq!(body.is_empty(), described.get("requestBody").is_none(), "{name}");
        let (status, answer) = call(admin, &all, &method, path, body).await;
        let schema = match status {
            200 => &described["responses"]["200"]["content"]["application/json"]["schema"],
            // Nobody gave it a configuration to read again, and it is in no cluster.
            409 if ["reload", "cluster"].contains(&name) => continue,
            // The project is open.
            409 if name == "make_token" => continue,
            // It has no webhook.
            404 if ["webhook_attempts", "replay_webhook", "test_webhook", "pause_webhook", "enable_webhook"]
                .contains(&name) =>
            {
                continue;
            }
            other => panic!("{name} is answered {other}: {answer}"),
        };
        fits(schema, &answer, name);
        answered += 1;
    }
    assert_eq!(answered, all_calls - 8);
}

#[tokio::test]
async fn a_setting_is_shown_with_where_it_comes_from_and_without_secrets() {
    let (key, text) = AdminKey::generate("root", AdminRole::Read).unwrap();
    let file = format!(
        "listen = '127.0.0.1:0'\ndrain_rate = 100\n[admin]\nlisten = '127.0.0.1:0'\n[[admin.key]]\nname = 'root'\nrole = 'read'\n\
         sha256 = '{}'\n[[project]]\napp_id = '{APP}'\ncertificates = ['5CFd2fd1755d40ecb72977518be15d3b']\n",
        key.sha256_hex()
    );
    let variables = [("RTM_LOGIN_TIMEOUT".to_owned(), "7s".to_owned())];
    let (mut config, _) = ServerConfig::from_toml_and_env(&file, variables).unwrap();
    config.set_source("admin.listen", rtm_server::ConfigSource::Flag("--admin".to_owned()));
    let server = Server::start(config).await.unwrap();
    let admin = server.admin_addrs()[0];
    let (status, set) = call(admin, &text, "GET", "/config?set=true", "").await;
    assert_eq!(status, 200, "{set}");
    let found = |key: &str| {
        let all = set["items"].as_array().unwrap().iter();
        let said = all.clone().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key} in {set}"));
        (said["value"].as_str().unwrap().to_owned(), said["source"].clone(), said["from"].clone())
    };
    let null = serde_json::Value::Null;
    assert_eq!(found("drain_rate"), ("100".to_owned(), "file".into(), null.clone()));
    assert_eq!(found("login_timeout"), ("\"7s\"".to_owned(), "environment".into(), "RTM_LOGIN_TIMEOUT".into()));
    assert_eq!(found("admin.listen").1, "flag");
    assert_eq!(found("admin.listen").2, "--admin");
    let whole = set.to_string();
    assert!(!whole.contains("5CFd2fd1755d40ecb72977518be15d3b") && !whole.contains(&key.sha256_hex()), "{whole}");
    assert!(!whole.contains("\"default\""), "{whole}");
    // All of them, page by page.
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = call(admin, &text, "GET", &format!("/config?limit=7{cursor}"), "").await;
        keys.extend(page["items"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(keys.len() > 30 && keys.iter().any(|key| key == "handshake_timeout"), "{keys:?}");
    let (_, of_limits) = call(admin, &text, "GET", "/config?prefix=project%5B0%5D.limits", "").await;
    let all_of_limits = of_limits["items"].as_array().unwrap();
    assert!(!all_of_limits.is_empty() && all_of_limits.iter().all(|one| one["source"] == "default"), "{of_limits}");
}

#[tokio::test]
async fn refused_calls_are_counted_for_their_session() {
    let (server, admin, [read, _, _, _]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for _ in 0..3 {
        alice.request(rtm_codec::LeaveChannel { channel_id: ChannelId::new("nowhere").unwrap() }).await;
        alice.next().await;
    }
    let (_, user) = call(admin, &read, "GET", &format!("/projects/{APP}/users/alice"), "").await;
    assert_eq!(user["session"]["refused_calls"], 3, "{user}");
    assert_eq!((&user["refused"]["not_there"], &user["session"]["limited_calls"]), (&3.into(), &0.into()), "{user}");
    let (_, most) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?sort=refused_calls"), "").await;
    assert_eq!(most["items"][0]["user_id"], "alice");
    let name = format!("rtm_calls_refused_total{{app_id=\"{APP}\",op=\"leave_channel\",reason=\"not_there\"}}");
    assert_eq!(sample(&metrics(admin).await, &name), 3.0);
}

#[tokio::test]
async fn a_token_is_made_for_those_who_may_and_explained_to_all() {
    let (read, read_text) = AdminKey::generate("grafana", AdminRole::Read).unwrap();
    let (all, all_text) = AdminKey::generate("root", AdminRole::Admin).unwrap();
    let server = server_with(|config| {
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.admin.keys = vec![read, all];
        config.projects[0].certificates = vec!["5CFd2fd1755d40ecb72977518be15d3b".parse().unwrap()];
    })
    .await;
    let admin = server.admin_addrs()[0];
    let tokens = format!("/projects/{APP}/tokens");
    let make = async |key: &str, body: &str| call(admin, key, "POST", &tokens, body).await;
    assert_eq!(make(&read_text, r#"{"user_id":"alice"}"#).await.0, 403);
    for body in [
        "{}",
        r#"{"user_id":""}"#,
        r#"{"user_id":"alice","for":"25h"}"#,
        r#"{"user_id":"alice","for":"0s"}"#,
        r#"{"user_id":"alice","version":"005"}"#,
    ] {
        assert_eq!(make(&all_text, body).await.0, 400, "{body}");
    }
    let explain = async |token: &serde_json::Value, user_id: &str| {
        let body = serde_json::json!({ "token": token, "user_id": user_id }).to_string();
        let (status, answer) = call(admin, &read_text, "POST", &format!("{tokens}/explain"), &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    for version in ["006", "007"] {
        let body = format!(r#"{{"user_id":"alice","for":"1h","version":"{version}"}}"#);
        let (status, made) = make(&all_text, &body).await;
        assert_eq!(status, 200, "{made}");
        let token = &made["token"];
        let mut client = Client::connect(server.local_addr(), Wire::Native).await;
        let text = token.as_str().unwrap().to_owned();
        client.log_in_with("alice", |login| login.token = Some(rtm_codec::Token::new(text).unwrap())).await;

        let explained = explain(token, "alice").await;
        assert_eq!((&explained["verdict"], &explained["version"]), (&"valid".into(), &version.into()));
        assert_eq!(explained["ends"], made["ends"]);
        assert_eq!(explain(token, "bob").await["verdict"], "refused");
        // Only the newer format contains its user.
        let without = if version == "006" { "undecided" } else { "valid" };
        assert_eq!(explain(token, "").await["verdict"], without);
    }
    assert_eq!(explain(&"no token".into(), "alice").await["verdict"], "refused");
    let (_, audit) = call(admin, &all_text, "GET", "/audit", "").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2);
    assert_eq!(audit["items"][0]["action"], "make_token");
    let (_, made) = make(&all_text, r#"{"user_id":"alice","version":"007"}"#).await;
    let verdict = async || {
        let explained = explain(&made["token"], "alice").await;
        (explained["verdict"].as_str().unwrap().to_owned(), explained["reason"].as_str().map(str::to_owned))
    };
    let refused = |reason: &str| ("refused".to_owned(), Some(reason.to_owned()));
    let ban = format!("/projects/{APP}/users/alice/ban");
    assert_eq!(call(admin, &all_text, "PUT", &ban, r#"{"until":"forever"}"#).await.0, 200);
    assert_eq!(verdict().await, refused("the user is banned"));
    assert_eq!(call(admin, &all_text, "DELETE", &ban, "").await.0, 200);
    assert_eq!(verdict().await, ("valid".to_owned(), None));
    // The tokens of everybody, which stands nowhere among the users.
    let body = r#"{"issued_before":"2100-01-01T00:00:00Z"}"#;
    assert_eq!(call(admin, &all_text, "POST", &format!("/projects/{APP}/revoke-tokens"), body).await.0, 200);
    assert_eq!(verdict().await, refused("the token was revoked"));
    let (_, projects) = call(admin, &read_text, "GET", "/projects", "").await;
    assert_eq!(projects["items"][0]["tokens_revoked_before"], "2100-01-01T00:00:00.000Z");
    let (_, log) =
        call(admin, &read_text, "GET", &format!("/projects/{APP}/events?types=project.tokens_revoked&wait=20s"), "")
            .await;
    assert_eq!(log["events"][0]["data"]["issued_before"], "2100-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn whoever_watches_gets_what_was_and_then_what_is() {
    let (server, admin, [read, _, _, other]) = with_keys().await;
    let _alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let (_, key) = call(admin, &read, "GET", "/key", "").await;
    assert_eq!(key, serde_json::json!({ "name": "grafana", "role": "read", "projects": null }));
    let (_, key) = call(admin, &other, "GET", "/key", "").await;
    assert_eq!(key["projects"], serde_json::json!(["f".repeat(32)]));

    let mut stream = TcpStream::connect(admin).await.unwrap();
    let request = format!(
        "GET /admin/v1/watch HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {read}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut seen: Vec<serde_json::Value> = Vec::new();
    soon("two samples", async {
        while seen.len() < 2 {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the stream goes on");
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let samples = events.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
            seen = samples.flat_map(|event| event["samples"].as_array().unwrap().clone()).collect();
        }
    })
    .await;
    let numbers: Vec<_> = seen.iter().map(|sample| sample["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{numbers:?}");
    let last = seen.last().unwrap();
    assert_eq!(last["projects"][0]["app_id"], APP);
    assert_eq!((&last["projects"][0]["native"], &last["projects"][0]["users_online"]), (&1.into(), &1.into()));
    assert_eq!(last["server"]["connections"], 1);

    let (_, kept) = call(admin, &other, "GET", "/watch", "").await;
    let sample = &kept["samples"][0];
    assert_eq!((&sample["server"], &sample["projects"]), (&serde_json::Value::Null, &serde_json::json!([])));
}

#[tokio::test]
async fn lists_are_sorted_and_filtered() {
    let (server, admin, [read, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let _bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    alice.next().await;
    let users = async |query: &str| {
        let (status, found) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?{query}"), "").await;
        assert_eq!(status, 200, "{found}");
        let items = found["items"].as_array().unwrap().iter();
        items.map(|item| item["user_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (query, wanted) in [
        ("sort=channels", "alice bob"),
        ("sort=channels&limit=1", "alice"),
        ("wire=vendor", "bob"),
        ("wire=native&prefix=b", ""),
        ("address=127.0.0.1&state=online", "alice bob"),
        ("address=127.0.0.2", ""),
    ] {
        assert_eq!(users(query).await, wanted, "{query}");
    }
    for query in ["sort=luck", "wire=tin", "address=here", "sort=channels&cursor=0"] {
        let (status, _) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?{query}"), "").await;
        assert_eq!(status, 400, "{query}");
    }
    let (status, _) = call(admin, &read, "GET", &format!("/projects/{APP}/closed?reason=boredom"), "").await;
    assert_eq!(status, 400);
    let (_, closed) = call(admin, &read, "GET", &format!("/projects/{APP}/closed?reason=kicked"), "").await;
    assert_eq!(closed["items"], serde_json::json!([]));
    // A misspelt name would change nothing unseen.
    for (path, named, takes) in [
        (format!("/projects/{APP}/closed?limit=1&reasn=kicked"), "\"reasn\"", "limit, cursor, reason, prefix"),
        (format!("/projects/{APP}/users/alice?verbose"), "\"verbose\"", "none"),
        (format!("/projects/{APP}/events?after=0&type=user.*"), "\"type\"", "after, live, user_id"),
    ] {
        let (status, answer) = call(admin, &read, "GET", &path, "").await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!((status, &answer["error"]["code"]), (400, &"invalid_argument".into()));
        assert!(message.contains(named) && message.contains(takes), "{message}");
    }
}

#[tokio::test]
async fn an_operator_writes_to_users_and_channels_and_reads_histories() {
    let (server, admin, [read, operate, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    alice.next().await;
    let path = format!("/projects/{APP}/channels/room/messages");
    let body = r#"{"from":"support","text":"to all","history":true}"#;
    assert_eq!(call(admin, &operate, "POST", &path, body).await.1["done"], true);
    let path = |user: &str| format!("/projects/{APP}/users/{user}/messages");
    let body = r#"{"from":"support","text":"later","offline":true,"history":true}"#;
    assert_eq!(call(admin, &operate, "POST", &path("carol"), body).await.1["outcome"], "offline");
    assert_eq!(call(admin, &read, "POST", &path("carol"), body).await.0, 403);
    for body in [r#"{"from":"support","text":""}"#, r#"{"from":"","text":"x"}"#, r#"{"text":"x"}"#] {
        assert_eq!(call(admin, &operate, "POST", &path("carol"), body).await.0, 400, "{body}");
    }
    let texts = async |path: &str| {
        let (status, found) = call(admin, &operate, "GET", &format!("/projects/{APP}/{path}"), "").await;
        assert_eq!(status, 200, "{found}");
        let items = found["items"].as_array().unwrap().iter();
        items.map(|item| item["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("users/support/history").await, ["to all", "later"]);
    assert_eq!(texts("users/support/history?newest_first=true&limit=1").await, ["later"]);
    assert_eq!(texts("users/carol/history?received=true").await, ["later"]);
    assert_eq!(texts("channels/room/history").await, ["to all"]);
    assert_eq!(call(admin, &read, "GET", &format!("/projects/{APP}/channels/room/history"), "").await.0, 403);
}

#[tokio::test]
async fn each_role_may_do_so_much_and_a_key_of_a_project_sees_only_that() {
    let (_server, admin, [read, operate, all, other]) = with_keys().await;
    let kick = format!("/projects/{APP}/users/alice/kick");
    for (key, method, path, status) in [
        (&read, "GET", "/server", 200),
        (&read, "POST", kick.as_str(), 403),
        (&operate, "POST", &kick, 200),
        (&operate, "POST", "/drain", 403),
        (&operate, "GET", "/audit", 403),
        (&all, "GET", "/audit", 200),
        (&all, "GET", "/log", 200),
        (&all, "GET", "/nothing", 404),
        (&all, "DELETE", "/server", 405),
        (&all, "POST", "/audit", 405),
        (&all, "GET", "/cluster", 409),
        (&all, "GET", "/projects/short/sessions", 404),
        (&all, "GET", "/audit?cursor=x", 400),
        (&all, "GET", "/audit?limit=x", 400),
        (&other, "GET", "/server", 403),
        (&other, "POST", &kick, 404),
        (&other, "GET", "/projects", 200),
        (&"rtm_admin_wrong".to_owned(), "GET", "/server", 401),
    ] {
        let (answered, answer) = call(admin, key, method, path, "").await;
        assert_eq!(answered, status, "{method} {path}: {answer}");
        assert_eq!(answer["error"]["message"].is_string(), status != 200, "{answer}");
    }
    let (_, projects) = call(admin, &other, "GET", "/projects", "").await;
    assert_eq!(projects["items"], serde_json::json!([]));
}

#[tokio::test]
async fn a_key_whose_role_may_too_little_is_told_which_one_each_call_needs() {
    let (_server, admin, [read, operate, ..]) = with_keys().await;
    let described: serde_json::Value = serde_json::from_str(&rtm_server::admin_openapi()).unwrap();
    let roles = ["read", "operate", "admin"];
    let mut refused = 0;
    for (path, calls) in described["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/admin/v1").unwrap().replace("{app_id}", APP).replace("{user_id}", "alice");
        let path = path.replace("{channel_id}", "room").replace("{name}", "crm");
        for (method, described) in calls.as_object().unwrap() {
            let Some(text) = described["description"].as_str() else { continue };
            let needed = roles.into_iter().position(|role| text.contains(&format!("the role {role} "))).unwrap();
            for (has, key) in [&read, &operate].into_iter().enumerate().filter(|(has, _)| *has < needed) {
                // Neither a body that is not there nor an unknown parameter comes first.
                let path = format!("{path}?nothing=1");
                let (status, answer) = call(admin, key, &method.to_uppercase(), &path, "").await;
                let message = answer["error"]["message"].as_str().unwrap();
                assert_eq!(status, 403, "{method} {path}: {message}");
                let (has, needed) = (roles[has], roles[needed]);
                assert!(
                    message.ends_with(&format!("has the role {has}, and this needs {needed}")),
                    "{path}: {message}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[tokio::test]
async fn the_log_level_is_changed_while_it_runs_and_a_drain_is_passed_on() {
    let (server, admin, [.., all, _]) = with_keys().await;
    let (_, answer) = call(admin, &all, "PUT", "/log", r#"{"level":"debug"}"#).await;
    assert_eq!(answer["level"], "debug");
    let (status, _) = call(admin, &all, "PUT", "/log", r#"{"level":"nonsense"}"#).await;
    assert_eq!(status, 400);
    let (_, answer) = call(admin, &all, "GET", "/log", "").await;
    assert_eq!(answer["level"], "debug");
    let (_, answer) = call(admin, &all, "POST", "/drain", "").await;
    assert_eq!(answer["draining"], true);
    soon("the drain", server.drain_asked()).await;
}

#[tokio::test]
async fn pages_in_a_browser_and_those_who_guess_are_kept_out() {
    let (_server, admin, [read, ..]) = with_keys().await;
    let ask = async |host: &str, more: &str, key: &str| {
        let request = format!(
            "GET /admin/v1/server HTTP/1.1\r\nHost: {host}\r\n{more}Authorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        );
        http(admin, request).await.status
    };
    let own = admin.to_string();
    let origin = format!("Origin: http://{own}\r\n");
    for (host, more, status) in [
        (own.as_str(), "", 200),
        ("localhost:8090", "", 200),
        ("[::1]:8090", "", 200),
        (&own, &origin, 200),
        ("evil.example", "", 403),
        ("127.0.0.1.evil.example:8090", "", 403),
        (&own, "Origin: http://evil.example\r\n", 403),
        (&own, "Origin: null\r\n", 403),
    ] {
        assert_eq!(ask(host, more, &read).await, status, "{host} {more}");
    }
    for _ in 0..10 {
        assert_eq!(ask(&own, "", "guess").await, 401);
    }
    assert_eq!(ask(&own, "", "guess").await, 429);
    assert_eq!(ask(&own, "", &read).await, 429, "nor is a good key looked at, or guesses could go on");

    let (_server, admin) = with_admin().await;
    assert_eq!(get(admin, "/admin/v1/server").await.0, 403, "without a key nobody gets in");
    let ask = async |method: &str, path: &str, host: &str| {
        http(admin, format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    };
    assert_eq!(ask("GET", "/metrics", "evil.example").await.status, 403);
    assert_eq!(ask("GET", "/livez", "evil.example").await.status, 200);
    for (method, path, status) in [("POST", "/metrics", 405), ("PUT", "/livez", 405), ("GET", "/nothing", 404)] {
        let answer = ask(method, path, &admin.to_string()).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.json()["error"]["code"].is_string());
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

/// A backend that keeps no ban before it is let, or does nothing but read state.
struct Slow {
    memory: Memory,
    begun: mpsc::Sender<()>,
    let_go: Mutex<mpsc::Receiver<()>>,
    is_broken: bool,
}

impl Slow {
    fn new(is_broken: bool) -> (Self, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let ((begun, is_begun), (go, let_go)) = (mpsc::channel(), mpsc::channel());
        (Self { memory: Memory::default(), begun, let_go: Mutex::new(let_go), is_broken }, is_begun, go)
    }
}

impl Backend for Slow {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
        let is_ban = |task: &Task<'_>| matches!(task.work, StoreWork::Put { key: StateKey::Restrictions(Some(_)), .. });
        if tasks.iter().any(is_ban) {
            self.begun.send(()).unwrap();
            self.let_go.lock().unwrap().recv().unwrap();
        }
        match self.is_broken {
            false => self.memory.apply(tasks),
            true => tasks
                .into_iter()
                .map(|Task { work, .. }| match work {
                    StoreWork::List { .. } => Ok(StoreAnswer::Values { values: vec![], more: false }),
                    _ => Err(BackendError::new("write", "the disk is full")),
                })
                .collect(),
        }
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        self.memory.stats()
    }
}

/// A server with a store of its own, and a key that may do everything.
async fn with_store(backend: Slow) -> (Server, SocketAddr, String) {
    let (key, text) = AdminKey::generate("root", AdminRole::Admin).unwrap();
    let mut config = ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.projects = vec![ProjectConfig::new(app_id())];
    config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.admin.keys = vec![key];
    let server = ServerBuilder::from(config).backend(backend).start().await.unwrap();
    let admin = server.admin_addrs()[0];
    (server, admin, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_for_an_operator_who_hangs_up_is_written_down() {
    let (backend, begun, go) = Slow::new(false);
    let (_server, admin, key) = with_store(backend).await;
    let body = r#"{"for":"1h"}"#;
    let request = format!(
        "PUT /admin/v1/projects/{APP}/users/alice/ban HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
    drop(stream);
    // The scrape itself is the one that is left.
    soon("nobody waits for the answer", async {
        while sample(&metrics(admin).await, "rtm_http_requests_in_flight{api=\"admin\"}") > 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    go.send(()).unwrap();
    soon("it is written down", async {
        while call(admin, &key, "GET", "/audit", "").await.1["items"][0]["action"] != "ban" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_fails_or_is_refused_does_not_count_as_done() {
    let (backend, ..) = Slow::new(true);
    let (_server, admin, key) = with_store(backend).await;
    let user = format!("/projects/{APP}/users/alice");
    let channel = format!("/projects/{APP}/channels/room");
    let kept = r#"{"from":"bob","text":"hello","history":true}"#;
    let span = "from=2030-01-01T00:00:00Z&until=2020-01-01T00:00:00Z";
    for (method, path, body, status) in [
        ("DELETE", format!("{user}/data"), "", 503),
        ("DELETE", format!("{user}/stored"), "", 503),
        ("POST", format!("{user}/messages"), r#"{"from":"bob","text":"hello","offline":true}"#, 503),
        ("POST", format!("{channel}/messages"), kept, 503),
        ("GET", format!("{channel}/history?{span}"), "", 400),
        ("GET", format!("{channel}/history?received=true"), "", 400),
        ("GET", format!("{user}/history?received=true&{span}"), "", 400),
        ("GET", format!("{user}/history"), "", 503),
    ] {
        let (answered, answer) = call(admin, &key, method, &path, body).await;
        assert_eq!(answered, status, "{method} {path}: {answer}");
    }
    let page = metrics(admin).await;
    let count = |action: &str, result: &str| {
        sample(&page, &format!("rtm_admin_actions_total{{action=\"{action}\",result=\"{result}\"}}"))
    };
    for (action, refused, failed) in
        [("delete_data", 0.0, 1.0), ("delete_stored", 0.0, 1.0), ("send", 0.0, 2.0), ("read_history", 3.0, 1.0)]
    {
        assert_eq!((count(action, "done"), count(action, "refused"), count(action, "failed")), (0.0, refused, failed));
    }
    // A part of what failed may be done, so that it was tried stands there. What was not read was not.
    let (_, audit) = call(admin, &key, "GET", "/audit", "").await;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["send", "send", "delete_stored", "delete_data"]);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_called_so() {
    let (_server, admin, [.., all, _]) = with_keys().await;
    let body = format!(r#"{{"level":"{}"}}"#, "x".repeat(256 * 1024));
    let (status, answer) = call(admin, &all, "PUT", "/log", &body).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &"too_large".into()), "{answer}");
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_node_that_has_not_joined_yet_answers_for_itself_alone() {
    // It takes connections, and says nothing.
    let nats = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (key, text) = AdminKey::generate("root", AdminRole::Admin).unwrap();
    let mut config = ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.projects = vec![ProjectConfig::new(app_id())];
    config.admin.keys = vec![key];
    let url = format!("nats://{}", nats.local_addr().unwrap()).parse().unwrap();
    config.cluster = Some(rtm_server::ClusterConfig::new(vec![url]));
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = socket.local_addr().unwrap();
    let starting = tokio::spawn(ServerBuilder::from(config).admin_listener(socket).start());
    let (status, server) = soon("an answer", call(admin, &text, "GET", "/server", "")).await;
    assert_eq!((status, &server["cluster"], &server["ready"]), (200, &true.into(), &false.into()), "{server}");
    let project = format!("/projects/{APP}");
    for path in ["/key", "/config", "/certificates", "/audit", "/drain", "/watch", &format!("{project}/limits")] {
        assert_eq!(call(admin, &text, "GET", path, "").await.0, 200, "{path}");
    }
    let alice = format!("{project}/users/alice");
    for (method, path, body) in [
        ("POST", format!("{alice}/kick"), ""),
        ("PUT", format!("{alice}/ban"), r#"{"for":"1h"}"#),
        ("POST", format!("{alice}/messages"), r#"{"from":"bob","text":"hello"}"#),
        ("PUT", format!("{project}/limits"), r#"{"limits":{"login":"1/1s"}}"#),
        ("GET", format!("{project}/sessions"), ""),
        ("GET", format!("{project}/bans"), ""),
        ("GET", alice.clone(), ""),
        ("GET", "/cluster".to_owned(), ""),
    ] {
        let (status, answer) = call(admin, &text, method, &path, body).await;
        assert_eq!((status, &answer["error"]["code"]), (503, &"failed".into()), "{method} {path}: {answer}");
    }
    assert_eq!(call(admin, &text, "GET", "/audit", "").await.1["items"], serde_json::json!([]));
    starting.abort();
}
