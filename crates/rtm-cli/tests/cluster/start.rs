//! What keeps a node from starting, and what it waits for.

use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    nats::{Nats, free_ports},
    nodes::{Nodes, serve},
    users::APP_ID,
};

/// `rtm serve` with these arguments, which has to end by itself.
pub(crate) async fn ends(args: Vec<String>) -> Output {
    // Whatever does not end by itself is ended.
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "25", env!("CARGO_BIN_EXE_rtm")]).args(args).env_remove("RTM_LOG").stdin(Stdio::null());
    timeout(Duration::from_secs(30), spawn_blocking(move || command.output().unwrap())).await.unwrap().unwrap()
}

/// It ends with 1, and one line that says why.
pub(crate) fn says(output: &Output, what: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (last, before) =
        text.lines().collect::<Vec<_>>().split_last().map(|(last, all)| (*last, all.to_vec())).unwrap();
    assert!(last.starts_with("rtm: ") && !before.iter().any(|line| line.contains("ERROR")), "{text}");
    for what in what {
        assert!(last.contains(what), "{what:?} is not in: {text}");
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn what_cannot_be_is_said_in_one_line() {
    let node = |nats: &str| serve(nats, 0, "node");
    for (address, what) in [
        ("http://127.0.0.1:4222", "\"http://127.0.0.1:4222\" is not an address of NATS"),
        ("nats://127.0.0.1:4222,", "an address of NATS is empty: there may be a comma too many"),
        ("nats://127.0.0.1:99999", "\"nats://127.0.0.1\" has no port from 1 to 65535"),
    ] {
        says(&ends(node(address)).await, &[what]);
    }

    let nats =
        Nats::start_with(1, "authorization { user: rtm, password: secret }\njetstream { store_dir: \"DIRECTORY\" }")
            .await;
    says(&ends(node(&nats.urls())).await, &["NATS refuses who has no credentials, and none are configured"]);
    let nats = Nats::start_with(1, "").await;
    says(&ends(node(&nats.urls())).await, &["s0", "has JetStream off"]);
    let nats = Nats::start_with(1, "max_payload: 32768\njetstream { store_dir: \"DIRECTORY\" }").await;
    says(&ends(node(&nats.urls())).await, &["s0", "max_payload 32768", "65536"]);

    let nodes = Nodes::start(1, 1).await;
    says(&ends(serve(&nodes.nats.urls(), 0, "node-0")).await, &["another server is in the cluster as node-0"]);
    let mut args = node(&nodes.nats.urls());
    args.extend(["--cluster-replicas", "2"].map(str::to_owned));
    says(&ends(args).await, &["KV_rtm_main_nodes", "num_replicas is 1, and has to be 2"]);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn streams_that_are_not_the_clusters_are_named() {
    let nats = Nats::start(1).await;
    nats.make_stream("rtm_main_history", "orders.>").await;
    nats.make_stream("orders", "rtm_two_mail.>").await;
    let node = serve(&nats.urls(), 0, "node");
    let differs =
        ["the stream rtm_main_history is not this cluster's", "subjects is [\"orders.>\"]", "storage is Memory"];
    says(&ends(node.clone()).await, &differs);
    let two = [node, ["--cluster-name", "two"].map(str::to_owned).to_vec()].concat();
    says(&ends(two).await, &["cannot make the stream rtm_two_mail: subjects overlap with an existing stream"]);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_node_that_cannot_join_again_says_so_and_ends() {
    let mut nodes = Nodes::start(1, 2).await;
    nodes.signal(0, "STOP");
    let other = nodes.add_as("node-0").await;
    nodes.signal(0, "CONT");
    let status = nodes.ended(0, Duration::from_secs(20)).await;
    let log = nodes.log(0);
    assert_eq!(status.code(), Some(1), "{log}");
    let why = "another server is in the cluster as node-0: give this one another name (--node)";
    let error = format!("this node cannot join the cluster again, and ends: {why}");
    assert_eq!(log.lines().filter(|line| line.contains("ERROR") && line.contains(&error)).count(), 1, "{log}");
    assert_eq!(log.lines().last(), Some(format!("rtm: {why}").as_str()), "{log}");
    assert!(get(nodes.port(other), "/healthz").await.is_some_and(|answer| answer.contains("200 OK")));
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn too_few_servers_of_nats_are_told_once() {
    let mut nodes = Nodes::new(1).await;
    let urls = nodes.nats.urls();
    for at in 0..2 {
        nodes.add(&urls, &["--cluster-replicas", "3"]).await;
        let log = nodes.log(at);
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
        let [warning] = &warnings[..] else { panic!("{log}") };
        assert!(
            warning.contains(
                "fewer servers than the 3 replicas that are asked for when the cluster was made: what it stores has 1"
            ),
            "{warning}"
        );
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn with_too_few_servers_of_nats_there_are_as_many_replicas_as_can_be() {
    let mut nodes = Nodes::new(3).await;
    let urls = nodes.nats.urls();
    let at = nodes.add(&urls, &["--cluster-replicas", "5"]).await;
    let log = nodes.log(at);
    assert!(
        log.contains(
            "fewer servers than the 5 replicas that are asked for when the cluster was made: what it stores has 3"
        ),
        "{log}"
    );
    let mut args = serve(&urls, 0, "other");
    args.extend(["--cluster-replicas", "1"].map(str::to_owned));
    says(&ends(args).await, &["KV_rtm_main_nodes", "num_replicas is 3, and has to be 1"]);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn tls_to_a_nats_without_it_is_said_in_words() {
    let nats = Nats::start(1).await;
    let tls = nats.urls().replace("nats://", "tls://");
    says(&ends(serve(&tls, 0, "node")).await, &["cannot speak TLS to NATS", "write nats:// in place of tls://"]);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn the_store_of_a_cluster_that_is_not_there_is_not_there() {
    let nats = Nats::start(1).await;
    let args = ["store", "export", "--cluster", &nats.urls(), "--cluster-name", "nobody"];
    let output = ends(args.map(str::to_owned).to_vec()).await;
    says(&output, &["cluster nobody at nats://", "there is no cluster of this name"]);
}

#[tokio::test]
async fn a_check_reads_the_files_for_nats() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("rtm.toml");
    let missing = directory.path().join("missing");
    let text = format!(
        "[cluster]\nnats = 'nats://127.0.0.1:4222'\nnats_user = 'rtm'\nnats_password_file = '{}'\n[[project]]\napp_id = '{APP_ID}'\n",
        missing.display()
    );
    std::fs::write(&config, text).unwrap();
    let args = ["serve", "--check-config", "--config", config.to_str().unwrap()].map(str::to_owned).to_vec();
    says(&ends(args.clone()).await, &["cannot use", missing.to_str().unwrap()]);
    std::fs::write(&missing, "secret").unwrap();
    assert!(ends(args).await.status.success());
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_node_has_no_directory_of_its_own() {
    let mut args = serve("nats://127.0.0.1:4222", 0, "node");
    args.extend(["--data-dir", "/tmp/rtm"].map(str::to_owned));
    let output = ends(args).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("rtm store export") && text.contains("rtm store import --cluster nats://127.0.0.1:4222"),
        "{text}"
    );
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_node_waits_for_nats_and_serves_when_it_is_there() {
    let mut nats = Nats::start(1).await;
    nats.kill(0);
    let port = free_ports(1)[0];
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
    command.args(serve(&nats.urls(), port, "node")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Its port is open meanwhile, and says that it is not a member yet.
    let health = async {
        loop {
            if let Some(answer) = get(port, "/healthz").await {
                return answer;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let answer = timeout(Duration::from_secs(10), health).await.unwrap();
    assert!(answer.contains("503") && answer.contains("joining"), "{answer}");
    nats.restart(0).await;
    let serves = async {
        while !get(port, "/healthz").await.is_some_and(|answer| answer.contains("200 OK")) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let has_joined = timeout(Duration::from_secs(30), serves).await.is_ok();
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(has_joined, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("listening on "), "{output:?}");
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn whoever_asks_for_a_cluster_that_is_not_there_is_told() {
    let nats = Nats::start(1).await;
    let cluster = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
        command.arg("cluster").args(args).args(["--cluster", &nats.urls()]).output().unwrap()
    };
    says(&cluster(&["status"]), &["there is no cluster main on this NATS"]);
    says(&cluster(&["where", "--app-id", APP_ID, "--user", "alice"]), &["there is no cluster main on this NATS"]);
}

async fn get(port: u16, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn nodes_that_serve_different_projects_say_so() {
    let mut nodes = Nodes::start(1, 2).await;
    let urls = nodes.nats.urls();
    let other = "fedcba9876543210fedcba9876543210";
    let third = nodes.add(&urls, &["--project", other]).await;
    let says = async |at: usize, what: &str| {
        let line = format!("serves something else than this node: it {what} the project {other}");
        for _ in 0..100 {
            if nodes.log(at).contains(&line) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{line:?} is not in the log of node {at}: {}", nodes.log(at));
    };
    says(0, "also serves").await;
    says(third, "does not serve").await;
    assert_eq!(nodes.log(0).matches("serves something else").count(), 1);
}

/// Waits until a node has logged this.
async fn logs(nodes: &Nodes, at: usize, line: &str) {
    for _ in 0..200 {
        if nodes.log(at).contains(line) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{line:?} is not in the log of node {at}: {}", nodes.log(at));
}

/// Sends a message in a project, at a node.
fn send(nodes: &Nodes, at: usize, app_id: &str, patience: &str) -> Output {
    let gateway = format!("http://127.0.0.1:{}", nodes.port(at));
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
    command.args(["send", "--gateway", &gateway, "--app-id", app_id, "--uid", "alice", "--timeout", patience]);
    command.args(["--offline", "--to", "bob", "hi"]).env_remove("RTM_LOG").output().unwrap()
}

const NOT_SERVED: &str = "the project is not served yet: not all nodes of the cluster have it";

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_node_that_starts_serves_the_projects_that_all_nodes_have() {
    let other = "fedcba9876543210fedcba9876543210";
    let mut nodes = Nodes::new(1).await;
    let urls = nodes.nats.urls();
    let file = nodes.nats.directory().join("node-0.toml");
    std::fs::write(&file, "drain_time = '5s'\n").unwrap();
    nodes.add(&urls, &["--config", file.to_str().unwrap()]).await;
    nodes.add(&urls, &["--project", other]).await;
    logs(&nodes, 1, &format!("the project {other} is not served before these nodes have it too: node-0")).await;
    says(&send(&nodes, 1, other, "1s"), &["alice cannot log in", NOT_SERVED]);
    let sent = send(&nodes, 1, APP_ID, "10s");
    assert!(sent.status.success(), "{sent:?}");
    std::fs::write(&file, format!("[[project]]\napp_id = \"{other}\"\n")).unwrap();
    nodes.signal(0, "HUP");
    for at in 0..2 {
        logs(&nodes, at, &format!("the project {other} is served: all members of the cluster have it")).await;
        let sent = send(&nodes, at, other, "10s");
        assert!(sent.status.success(), "{sent:?}");
    }
    // A node that is started again finds that all have it.
    nodes.kill(1);
    nodes.spawn_with(1, &urls, &["--project", other]);
    nodes.listening(1).await;
    let sent = send(&nodes, 1, other, "10s");
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(nodes.log(1).matches("is not served before").count(), 1, "{}", nodes.log(1));
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn an_added_project_is_served_when_all_nodes_have_it() {
    let other = "fedcba9876543210fedcba9876543210";
    let mut nodes = Nodes::new(1).await;
    let files: Vec<_> = (0..2).map(|at| nodes.nats.directory().join(format!("node-{at}.toml"))).collect();
    let urls = nodes.nats.urls();
    for file in &files {
        std::fs::write(file, "drain_time = '5s'\n").unwrap();
        nodes.add(&urls, &["--config", file.to_str().unwrap()]).await;
    }
    let add = |nodes: &Nodes, at: usize| {
        std::fs::write(&files[at], format!("[[project]]\napp_id = \"{other}\"\n")).unwrap();
        nodes.signal(at, "HUP");
    };
    add(&nodes, 0);
    logs(&nodes, 0, &format!("the project {other} is not served before these nodes have it too: node-1")).await;
    let send = |nodes: &Nodes, at: usize, patience: &str| send(nodes, at, other, patience);
    says(&send(&nodes, 0, "1s"), &["alice cannot log in", NOT_SERVED]);
    add(&nodes, 1);
    for at in 0..2 {
        logs(&nodes, at, &format!("the project {other} is served: all members of the cluster have it")).await;
    }
    let sent = send(&nodes, 0, "10s");
    assert!(sent.status.success(), "{sent:?}");
    // Each node knows what the other does for it.
    let gateway = format!("http://127.0.0.1:{}", nodes.port(1));
    let mut bob = Command::new("timeout");
    bob.args([
        "-s",
        "KILL",
        "5",
        env!("CARGO_BIN_EXE_rtm"),
        "listen",
        "--gateway",
        &gateway,
        "--app-id",
        other,
        "--uid",
        "bob",
    ]);
    let heard = spawn_blocking(move || bob.output().unwrap()).await.unwrap();
    assert!(String::from_utf8_lossy(&heard.stdout).contains("\"hi\""), "{heard:?}");

    std::fs::write(&files[0], "drain_time = '5s'\n").unwrap();
    nodes.signal(0, "HUP");
    logs(&nodes, 1, &format!("node-0 serves something else than this node: it does not serve the project {other}"))
        .await;
    let refused = send(&nodes, 0, "2s");
    assert!(!refused.status.success(), "{refused:?}");
    let sent = send(&nodes, 1, "10s");
    assert!(sent.status.success(), "the other node still serves it: {sent:?}");
}
