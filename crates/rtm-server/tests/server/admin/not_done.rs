//! What is answered where something is slow, fails, or is not there yet.

use std::{
    net::SocketAddr,
    sync::{Mutex, mpsc},
};

use rtm_server::{
    AdminKey, AdminRole, BackendError, ProjectConfig, Server, ServerBuilder, ServerConfig,
    core::{
        StateKey, StoreAnswer, StoreWork,
        store::{Backend, BackendStats, Memory, Task},
    },
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{call, metrics, sample, with_keys};
use crate::support::{APP, app_id, soon};

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
