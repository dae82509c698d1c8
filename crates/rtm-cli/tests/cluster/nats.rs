//! Servers of NATS, as processes that tests start, kill, stop and start again.

use std::{
    fs, iter,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::relay::Way;

/// A cluster of servers of NATS, or a single one. Killed when it is dropped.
pub(crate) struct Nats {
    directory: TempDir,
    servers: Vec<NatsServer>,
    /// The ways between servers that were started [apart](Self::start_apart): who goes there, to whom.
    routes: Vec<(usize, usize, Way)>,
}

struct NatsServer {
    port: u16,
    monitor: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl Nats {
    /// So many servers with JetStream, which answer.
    pub(crate) async fn start(servers: usize) -> Self {
        Self::start_with(servers, JETSTREAM).await
    }

    /// The same with other lines in their configuration.
    pub(crate) async fn start_with(servers: usize, lines: &str) -> Self {
        let ports = Ports::free(servers);
        let routes: Vec<_> = ports.routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let routes = routes.join(", ");
        let cluster = |at: usize| {
            let port = ports.routes[at];
            (servers > 1).then(|| format!("name: c, listen: \"127.0.0.1:{port}\", routes: [{routes}]"))
        };
        Self::start_at(&ports, lines, cluster).await
    }

    /// So many servers, each of which reaches each other over a way of its own. They tell nodes and each other no addresses: who
    /// reaches whom is up to the test.
    pub(crate) async fn start_apart(servers: usize) -> Self {
        let ports = Ports::free(servers);
        let mut routes = Vec::new();
        for from in 0..servers {
            for to in (0..servers).filter(|to| *to != from) {
                routes.push((from, to, Way::start(ports.routes[to]).await));
            }
        }
        let cluster = |at: usize| {
            let ways = routes.iter().filter(|(from, ..)| *from == at).map(|(.., way)| way.url());
            let (port, ways) = (ports.routes[at], ways.collect::<Vec<_>>().join(", "));
            // Port 9 is where nobody is.
            let own = format!("listen: \"127.0.0.1:{port}\", advertise: \"127.0.0.1:9\", no_advertise: true");
            Some(format!("name: c, {own}, routes: [{ways}]"))
        };
        let mut nats = Self::start_at(&ports, JETSTREAM, cluster).await;
        nats.routes = routes;
        nats
    }

    async fn start_at(ports: &Ports, lines: &str, cluster: impl Fn(usize) -> Option<String>) -> Self {
        let mut nats = Self { servers: Vec::new(), directory: tempfile::tempdir().unwrap(), routes: Vec::new() };
        for (at, (port, monitor)) in ports.clients.iter().zip(&ports.monitors).enumerate() {
            let config = nats.directory.path().join(format!("{at}.conf"));
            let store = nats.directory.path().join(format!("store-{at}"));
            let mut text =
                format!("server_name: s{at}\nlisten: 127.0.0.1:{port}\nping_interval: \"2s\"\nping_max: 2\n");
            text += &format!("http: \"127.0.0.1:{monitor}\"\n");
            text += &lines.replace("DIRECTORY", store.to_str().unwrap());
            if let Some(cluster) = cluster(at) {
                text += &format!("\ncluster {{ {cluster} }}\n");
            }
            fs::write(&config, text).unwrap();
            nats.servers.push(NatsServer { port: *port, monitor: *monitor, config, child: None });
            nats.restart(at).await;
        }
        nats
    }

    /// The addresses of all servers, as `--cluster` takes them.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port)).collect();
        urls.join(",")
    }

    /// The port of a server.
    pub(crate) fn port(&self, at: usize) -> u16 {
        self.servers[at].port
    }

    /// The directory in which tests may put files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until all servers that run have all that JetStream keeps on them: before that, a cluster does not outlive the loss of
    /// one of them.
    pub(crate) async fn settled(&self) {
        let until = Instant::now() + SETTLED_WITHIN;
        for server in self.servers.iter().filter(|server| server.child.is_some()) {
            while !is_healthy(server.monitor).await.unwrap_or(false) {
                assert!(Instant::now() < until, "a server of NATS does not get well");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// A server is gone at once.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.servers[at].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A server does nothing from now on, and its connections stay.
    pub(crate) fn freeze(&self, at: usize) {
        self.signal(at, "STOP");
    }

    /// A server that was frozen goes on.
    pub(crate) fn thaw(&self, at: usize) {
        self.signal(at, "CONT");
    }

    fn signal(&self, at: usize, signal: &str) {
        let id = self.servers[at].child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Nothing comes from one of two servers to the other one any more, or it does again.
    pub(crate) fn cut_between(&self, two: [usize; 2], is_cut: bool) {
        let between = self.routes.iter().filter(|(from, to, _)| two.contains(from) && two.contains(to));
        between.for_each(|(.., way)| way.hold([is_cut; 2]));
    }

    /// The server that leads all others.
    pub(crate) async fn first(&self) -> usize {
        let leader = |all: &Value| number_of(&all["meta_cluster"]["leader"]);
        self.until("the servers of NATS have no leader", leader).await
    }

    /// Has a server lead all streams.
    pub(crate) async fn lead(&self, at: usize) {
        let name = format!("s{at}");
        let led_by_others = |all: &Value| -> Option<Vec<String>> {
            let is_led = |stream: &&Value| stream["cluster"]["leader"] == *name;
            let others = streams(all).filter(|stream| !is_led(stream)).map(|stream| stream["name"].as_str());
            streams(all).next().map(|_| others.flatten().map(str::to_owned).collect())
        };
        let until = Instant::now() + SETTLED_WITHIN;
        loop {
            let others = self.until("there are no streams", led_by_others).await;
            if others.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "others lead {others:?}");
            for stream in &others {
                self.step_down(stream, &name).await;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Asks the leader of a stream to let another server lead it.
    async fn step_down(&self, stream: &str, name: &str) {
        let order = format!("{{\"placement\":{{\"preferred\":\"{name}\"}}}}");
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
        self.publish(&format!("PUB {subject} {}\r\n{order}", order.len()), "PONG").await;
    }

    /// Makes a stream with these subjects, in memory.
    pub(crate) async fn make_stream(&self, name: &str, subjects: &str) {
        let config = format!(
            "{{\"name\":\"{name}\",\"subjects\":[\"{subjects}\"],\"retention\":\"limits\",\"storage\":\"memory\",\"num_replicas\":1}}"
        );
        let publish = format!("PUB $JS.API.STREAM.CREATE.{name} made {}\r\n{config}", config.len());
        self.publish(&format!("SUB made 1\r\n{publish}"), "MSG made ").await;
    }

    /// Sends this to the first server as a client of it, and waits for a line that begins so.
    async fn publish(&self, text: &str, begin: &str) {
        let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.servers[0].port)).await.unwrap();
        let mut connection = BufReader::new(connection);
        let text = format!("CONNECT {{\"verbose\":false}}\r\n{text}\r\nPING\r\n");
        connection.get_mut().write_all(text.as_bytes()).await.unwrap();
        let mut line = String::new();
        while !line.starts_with(begin) {
            line.clear();
            assert!(connection.read_line(&mut line).await.unwrap() > 0, "NATS closes the connection");
        }
    }

    /// What one asks of JetStream as its first server sees it, once it is there.
    async fn until<T>(&self, what_else: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let until = Instant::now() + SETTLED_WITHIN;
        loop {
            let answer = get(self.servers[0].monitor, "/jsz?streams=true").await.unwrap();
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            if let Some(wanted) = wanted(&serde_json::from_str(body).unwrap()) {
                return wanted;
            }
            assert!(Instant::now() < until, "{what_else}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Starts a server that was killed, and waits until it accepts connections.
    pub(crate) async fn restart(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let binary = std::env::var_os("NATS_SERVER").expect("NATS_SERVER has to name the program nats-server");
        let mut command = Command::new(binary);
        command.arg("-c").arg(&server.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server.child = Some(command.spawn().expect("nats-server does not start"));
        while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        (0..self.servers.len()).for_each(|at| self.kill(at));
    }
}

/// Ports for servers of NATS.
struct Ports {
    clients: Vec<u16>,
    routes: Vec<u16>,
    monitors: Vec<u16>,
}

impl Ports {
    fn free(servers: usize) -> Self {
        let [clients, routes, monitors] = [(); 3].map(|()| free_ports(servers));
        Self { clients, routes, monitors }
    }
}

/// Whether a server says that it has all that it should have.
async fn is_healthy(monitor: u16) -> std::io::Result<bool> {
    Ok(get(monitor, "/healthz").await?.starts_with("HTTP/1.0 200 "))
}

/// What the monitoring port of a server answers.
async fn get(monitor: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, monitor)).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The streams of an answer about JetStream.
fn streams(all: &Value) -> impl Iterator<Item = &Value> {
    let accounts = all["account_details"].as_array().into_iter().flatten();
    accounts.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten())
}

/// The number of a server that has a name.
fn number_of(name: &Value) -> Option<usize> {
    name.as_str()?.strip_prefix('s')?.parse().ok()
}

const JETSTREAM: &str = "jetstream { store_dir: \"DIRECTORY\" }";
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// Ports that nobody used a moment ago and that no other call gets. They are below those that the system gives to connections, so
/// that a server that is started again finds its port free however many clients connect meanwhile.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    const PORTS: Range<u32> = 10_000..32_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let next = || {
        let number = process::id().wrapping_mul(997).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + number % (PORTS.end - PORTS.start);
        u16::try_from(port).ok().filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
    };
    iter::repeat_with(next).flatten().take(count).collect()
}
