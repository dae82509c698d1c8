//! `rtm serve` under systemd, which the tests play: its socket for states, its watchdog, and the sockets that it opens.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{APP_ID, Running, command, rtm};

/// As systemd waits for states.
struct Manager {
    directory: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { directory, socket }
    }

    fn serve(&self, args: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut serve = command(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
        serve.env("NOTIFY_SOCKET", self.directory.path().join("notify")).envs(environment.iter().copied());
        Running::start(serve.stderr(Stdio::null()))
    }

    /// The next message.
    fn told(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("systemd is told nothing");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Whether nothing is told for so long.
    fn hears_nothing_for(&self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).unwrap();
        self.socket.recv(&mut [0; 4096]).is_err()
    }
}

/// What a message says of one thing.
fn value<'a>(told: &'a str, name: &str) -> &'a str {
    let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name} in {told:?}"))
}

#[test]
fn systemd_is_told_of_the_start_of_reloads_and_of_the_end() {
    let manager = Manager::new();
    let file = manager.directory.path().join("rtm.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let project = format!("[[project]]\napp_id = \"{APP_ID}\"\n");
    write(&format!("drain_time = \"7s\"\n{project}"));
    let mut server = manager.serve(&["--config", file.to_str().unwrap()], &[]);
    let listening = server.line().unwrap();

    let told = manager.told();
    assert_eq!(value(&told, "READY"), "1");
    assert_eq!(value(&told, "STATUS"), listening);

    let mut last = 0;
    for (text, status) in [
        (format!("drain_time = \"9s\"\n{project}"), "the configuration is loaded anew"),
        ("wrong = [\n1".to_owned(), "the configuration is not loaded anew: "),
    ] {
        write(&text);
        server.signal("HUP");
        let told = manager.told();
        assert_eq!(value(&told, "RELOADING"), "1");
        let at: u64 = value(&told, "MONOTONIC_USEC").parse().unwrap();
        assert!(at > last, "the clock goes backwards");
        last = at;
        let told = manager.told();
        assert_eq!(value(&told, "READY"), "1");
        assert!(value(&told, "STATUS").starts_with(status), "{told}");
        assert_eq!(told.lines().count(), 2, "an error has set something else: {told}");
    }

    server.signal("TERM");
    let told = manager.told();
    assert_eq!(value(&told, "STOPPING"), "1");
    let extended: u64 = value(&told, "EXTEND_TIMEOUT_USEC").parse().unwrap();
    assert!(extended > 9_000_000, "a shutdown may take longer than {extended} µs: the last good drain_time is 9 s");
    assert!(server.end().0.success());
}

#[test]
fn signs_of_life_come_twice_as_often_as_they_are_wanted_while_the_server_answers() {
    let manager = Manager::new();
    let limit = Duration::from_millis(600);
    let usec = limit.as_micros().to_string();
    // From before the first of them: what waits here meanwhile comes faster than it was sent.
    let start = Instant::now();
    let mut server = manager.serve(&["--project", APP_ID], &[("WATCHDOG_USEC", &usec)]);
    server.line().unwrap();
    assert_eq!(value(&manager.told(), "READY"), "1");
    for _ in 0..11 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    assert!(start.elapsed() >= limit * 9 / 2, "they come much more often than needed: {:?}", start.elapsed());

    server.signal("STOP");
    // What was under way.
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    assert!(manager.hears_nothing_for(limit), "a process that stands still gives signs of life");
    server.signal("CONT");
    manager.socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(manager.told(), "WATCHDOG=1\n");
}

#[test]
fn no_sign_of_life_is_given_that_nobody_wants_of_this_process() {
    for environment in [&[][..], &[("WATCHDOG_USEC", "0")], &[("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")]] {
        let manager = Manager::new();
        let mut server = manager.serve(&["--project", APP_ID], environment);
        server.line().unwrap();
        assert_eq!(value(&manager.told(), "READY"), "1");
        assert!(manager.hears_nothing_for(Duration::from_millis(300)), "{environment:?}");
    }
}

/// `rtm serve` with two open sockets, which have these names. The process gets them as its descriptors 3 and 4.
fn with_sockets(names: &str, first: OwnedFd, second: OwnedFd, pid: &str, more: &[&str]) -> Command {
    let script = format!("exec 3<&0 4<&2 0</dev/null 2>\"${{SAID:-/dev/null}}\"; LISTEN_PID={pid} exec \"$@\"");
    let rtm = command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(rtm.get_program()).args(["serve", "--project", APP_ID]).args(more);
    shell.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", names).stdin(first).stderr(second);
    shell
}

fn open() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    get_over(&mut stream, path)
}

fn get_over(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn clients_connect_to_a_socket_of_systemd_before_between_and_after() {
    let (clients, address) = open();
    let (admin, admin_address) = open();
    // Nobody serves yet: this one waits in the queue.
    let mut early = TcpStream::connect(&address).unwrap();
    let start = || {
        let (clients, admin) = (clients.try_clone().unwrap(), admin.try_clone().unwrap());
        let listen = ["--listen", "127.0.0.1:1", "--admin", "127.0.0.1:2"];
        Running::start(&mut with_sockets("rtm.socket:admin", clients.into(), admin.into(), "$$", &listen))
    };
    for _ in 0..2 {
        let mut server = start();
        assert_eq!(server.line().unwrap(), format!("listening on {address}"));
        assert_eq!(server.line().unwrap(), format!("admin on {admin_address}"));
        assert!(get_over(&mut early, "/healthz").starts_with("HTTP/1.1 200"));
        assert!(get(&admin_address, "/readyz").contains("\"ready\":true"));
        assert!(get(&address, "/readyz").contains("\"ready\":true"));
        assert!(get(&admin_address, "/livez").starts_with("HTTP/1.1 200"));
        assert!(get(&address, "/metrics").starts_with("HTTP/1.1 404"), "clients reach the admin listener");
        let user = ["--gateway", &format!("http://{address}"), "--app-id", APP_ID, "--uid", "alice"];
        let sent = rtm(&[&["send"], &user[..], &["--to", "bob", "hi"]].concat());
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        server.signal("TERM");
        assert!(server.end().0.success());
        early = TcpStream::connect(&address).expect("between two servers a client has to be let wait");
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let ((clients, address), (other, _)) = (open(), open());
    let listen = ["--listen", "127.0.0.1:0"];
    let mut server = Running::start(&mut with_sockets("a:b", clients.into(), other.into(), "1", &listen));
    let line = server.line().unwrap();
    assert!(line.starts_with("listening on 127.0.0.1:") && !line.ends_with(&address), "{line}");
}

#[test]
fn a_socket_that_is_not_of_tcp_is_refused_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(directory.path().join("socket")).unwrap();
    let said = directory.path().join("said");
    let mut serve = with_sockets("rtm.socket:wrong", open().0.into(), unix.into(), "$$", &[]);
    assert_eq!(serve.env("SAID", &said).status().unwrap().code(), Some(1));
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.contains("a socket that is not of TCP: wrong"), "{said}");
}
