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

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

/// A cluster of servers of NATS, or a single one. Killed when it is dropped.
pub(crate) struct Nats {
    directory: TempDir,
    servers: Vec<NatsServer>,
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
        Self::start_with(servers, "jetstream { store_dir: \"DIRECTORY\" }").await
    }

    /// The same with other lines in their configuration.
    pub(crate) async fn start_with(servers: usize, lines: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = free_ports(3 * servers);
        let (clients, rest) = ports.split_at(servers);
        let (routes, monitors) = rest.split_at(servers);
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut nats = Self { servers: Vec::new(), directory };
        for (at, ((port, route), monitor)) in clients.iter().zip(routes).zip(monitors).enumerate() {
            let config = nats.directory.path().join(format!("{at}.conf"));
            let store = nats.directory.path().join(format!("store-{at}"));
            let mut text =
                format!("server_name: s{at}\nlisten: 127.0.0.1:{port}\nping_interval: \"2s\"\nping_max: 2\n");
            text += &format!("http: \"127.0.0.1:{monitor}\"\n");
            text += &lines.replace("DIRECTORY", store.to_str().unwrap());
            if servers > 1 {
                let routes = all.join(", ");
                text += &format!("\ncluster {{ name: c, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n");
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

/// Whether a server says that it has all that it should have.
async fn is_healthy(monitor: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, monitor)).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

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
