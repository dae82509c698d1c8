//! `rtm serve` as a process, and what it takes of the system.

use std::{
    fs,
    future::Future,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use rtm_client::{Client, ClientBuilder, Events, LimitedCall, Wire};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// A running `rtm serve` with one project. Killed when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Option<JoinHandle<String>>,
    _directory: TempDir,
}

/// How a server is started.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// Keys of the configuration file outside of its project.
    pub(crate) server: &'a str,
    /// Keys of `[[project]]`, and then of `[project.settings]`.
    pub(crate) project: &'a str,
    /// The arguments after `serve --config FILE`.
    pub(crate) args: &'a [&'a str],
    /// Where to listen; by default at a free port.
    pub(crate) listen: Option<SocketAddr>,
    /// How many descriptors it may have.
    pub(crate) descriptors: Option<usize>,
    /// What it logs.
    pub(crate) log: Option<&'a str>,
}

/// What a server takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
}

impl Server {
    pub(crate) fn start(options: Options<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rtm.toml");
        let listen = options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let Options { server, project, .. } = options;
        fs::write(&file, format!("listen = \"{listen}\"\n{server}\n[[project]]\napp_id = \"{APP_ID}\"\n{project}\n"))
            .unwrap();
        let limit = options.descriptors.map(|count| format!("ulimit -n {count}; ")).unwrap_or_default();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" serve --config \"$@\""), env!("CARGO_BIN_EXE_rtm")])
            .arg(&file)
            .args(options.args)
            .env("RTM_LOG", options.log.unwrap_or("warn"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            let _ = stderr.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            let _ = child.wait();
            panic!("rtm serve ended: {}", log.join().unwrap());
        };
        Self { address: address.parse().unwrap(), child, log: Some(log), _directory: directory }
    }

    /// Ends it at once, as `kill -9` does, and answers what it logged.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log.take().unwrap().join().unwrap()
    }

    /// A client of its project that is not held back by itself.
    pub(crate) fn client(&self, wire: Wire) -> ClientBuilder {
        client(self.address, wire)
    }

    pub(crate) async fn log_in(&self, wire: Wire, user_id: &str) -> (Client, Events) {
        let (client, events) = self.client(wire).build().unwrap();
        client.login(user_id, None).await.unwrap();
        (client, events)
    }

    pub(crate) fn level(&self) -> Level {
        let id = self.child.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Level {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: fs::read_dir(format!("/proc/{id}/fd")).unwrap().count(),
        }
    }

    /// Waits until it has as many descriptors as before, and at most so much more memory: the allocator keeps some of
    /// what was freed.
    pub(crate) async fn returns_to(&self, before: Level, allowance_kib: u64) {
        let returned = |level: Level| {
            level.descriptors <= before.descriptors && level.resident_kib <= before.resident_kib + allowance_kib
        };
        let deadline = Instant::now() + LIMIT;
        while !returned(self.level()) {
            assert!(Instant::now() < deadline, "{:?} after {before:?}", self.level());
            sleep(POLL).await;
        }
    }

    /// Waits until it has at least so many descriptors more than before.
    pub(crate) async fn has_taken(&self, before: Level, descriptors: usize) {
        let deadline = Instant::now() + LIMIT;
        while self.level().descriptors < before.descriptors + descriptors {
            assert!(Instant::now() < deadline, "{:?} after {before:?}", self.level());
            sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client(address: SocketAddr, wire: Wire) -> ClientBuilder {
    Client::builder()
        .gateway(format!("http://{address}"))
        .app_id(APP_ID)
        .wire(wire)
        .call_limits(rtm_client::CallLimits::unlimited())
}

/// The key of a project without any limit of calls.
pub(crate) fn unlimited() -> String {
    let limits: Vec<_> = LimitedCall::ALL.iter().map(|call| format!("{} = \"unlimited\"", call.as_str())).collect();
    format!("limits = {{ {} }}", limits.join(", "))
}

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
