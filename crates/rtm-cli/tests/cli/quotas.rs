//! How much projects may take of a server, and what it does when its memory comes to an end.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::support::{APP_ID, Running, rtm};

struct World {
    _folder: tempfile::TempDir,
    server: Running,
    gateway: String,
    admin: String,
}

fn start(settings: &str, project: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    let admin = "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"";
    fs::write(&file, format!("{admin}\n{settings}\n[[project]]\napp_id = \"{APP_ID}\"\n{project}\n")).unwrap();
    let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    let mut line = || server.line().unwrap().rsplit(' ').next().unwrap().to_owned();
    let (gateway, admin) = (format!("http://{}", line()), line());
    World { _folder: folder, server, gateway, admin }
}

impl World {
    fn get(&self, path: &str) -> String {
        get_at(&self.admin, path)
    }

    fn listen<'a>(&'a self, uid: &'a str) -> [&'a str; 7] {
        ["listen", "--gateway", &self.gateway, "--app-id", APP_ID, "--uid", uid]
    }
}

fn get_at(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[test]
fn a_connection_beyond_the_quota_is_refused_and_named() {
    let world = start("", "max_connections = 1\nmax_channels = 1\nrest = \"20/2s\"");
    let mut bob = Running::new(&[&world.listen("bob")[..], &["--channel", "first"]].concat());
    bob.event(|event| event["state"] == "CONNECTED");
    let alice = rtm(&["send", "--gateway", &world.gateway, "--app-id", APP_ID, "--uid", "alice", "--to", "bob", "hi"]);
    let said = String::from_utf8(alice.stderr).unwrap();
    assert!(alice.status.code() == Some(1) && said.contains("max_connections"), "{said}");
    let begun = Instant::now();
    let short = ["send", "--gateway", &world.gateway, "--app-id", APP_ID, "--uid", "alice", "--timeout", "100ms"];
    let alice = rtm(&[&short[..], &["--to", "bob", "hi"]].concat());
    let said = String::from_utf8(alice.stderr).unwrap();
    assert!(alice.status.code() == Some(1) && said.contains("max_connections"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(3), "it waits no longer than it was told: {:?}", begun.elapsed());
    let metrics = world.get("/metrics");
    assert!(!metrics.contains(&format!("rtm_quota_refused_total{{app_id=\"{APP_ID}\",quota=\"connections\"}} 0\n")));
    assert!(metrics.contains(&format!("rtm_quota_limit{{app_id=\"{APP_ID}\",quota=\"channels\"}} 1")), "{metrics}");
    let rest = ["limit", "refused_total"].map(|of| format!("rtm_quota_{of}{{app_id=\"{APP_ID}\",quota=\"rest\"}}"));
    for line in rest.iter().zip([10, 0]).map(|(series, value)| format!("{series} {value}.0\n")) {
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    drop(bob);
}

#[test]
fn without_memory_logins_are_refused_and_others_stay() {
    let world = start("max_memory = \"1MiB\"", "");
    // It has more than that from the start; who looks first may see it before the server does.
    let mut tries = 0;
    while !world.get("/readyz").contains("\"reasons\":[\"memory\"]") {
        tries += 1;
        assert!(tries < 100, "{}", world.get("/readyz"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let clients = world.gateway.trim_start_matches("http://");
    let ready = get_at(clients, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("\"reasons\":[\"memory\"]"), "{ready}");
    for wire in ["native", "vendor"] {
        let args = ["send", "--gateway", &world.gateway, "--wire", wire, "--app-id", APP_ID, "--uid", "alice"];
        let sent = rtm(&[&args[..], &["--timeout", "1s", "--to", "bob", "hi"]].concat());
        assert_eq!(sent.status.code(), Some(1), "{sent:?}");
        let why = if wire == "native" { "max_memory" } else { "the gateway says to try again" };
        assert!(String::from_utf8_lossy(&sent.stderr).contains(why), "{sent:?}");
    }
    let metrics = world.get("/metrics");
    let line = metrics.lines().find(|line| line.starts_with("rtm_logins_refused_for_memory_total ")).unwrap();
    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 2.0, "{line}");
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(log.contains("logins are refused until it has less"), "{log}");
}

#[test]
fn without_a_limit_there_is_always_memory() {
    let world = start("max_memory = 0", "");
    let mut bob = Running::new(&world.listen("bob"));
    bob.event(|event| event["state"] == "CONNECTED");
    // The server has looked by then, if it does.
    let sent = rtm(&["send", "--gateway", &world.gateway, "--app-id", APP_ID, "--uid", "alice", "--to", "bob", "hi"]);
    assert!(sent.status.success(), "{sent:?}");
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(!log.contains("max_memory"), "{log}");
}

#[test]
fn a_full_server_says_so_once_and_counts_whom_it_has_wait() {
    let world = start("max_connections = 1", "");
    let clients = world.gateway.trim_start_matches("http://");
    let refused = || {
        let metrics = world.get("/metrics");
        let line = metrics.lines().find(|line| line.starts_with("rtm_connections_refused_total{reason=\"full\"}"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(refused(), 0.0, "a server without clients is not full");
    for _ in 0..3 {
        let before = refused();
        let first = TcpStream::connect(clients).unwrap();
        let mut second = TcpStream::connect(clients).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while refused() == before {
            assert!(Instant::now() < deadline, "nobody waits");
        }
        drop(first);
        write!(second, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert_eq!(log.matches("the server is full").count(), 1, "{log}");
}

#[test]
fn with_memory_nothing_is_refused() {
    let world = start("max_memory = \"64GiB\"", "max_connections = 2");
    let mut bob = Running::new(&world.listen("bob"));
    bob.event(|event| event["state"] == "CONNECTED");
    let sent = rtm(&["send", "--gateway", &world.gateway, "--app-id", APP_ID, "--uid", "alice", "--to", "bob", "hi"]);
    assert!(sent.status.success(), "{sent:?}");
    assert!(world.get("/readyz").starts_with("HTTP/1.1 200"));
}
