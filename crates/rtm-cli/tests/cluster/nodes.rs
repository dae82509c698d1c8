//! Nodes as processes, and their clients.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use rtm_client::Wire;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    nats::{Nats, free_ports},
    users::{APP_ID, LIMIT, User, log_in},
};

/// Nodes of one cluster. Killed when they are dropped.
pub(crate) struct Nodes {
    pub(crate) nats: Nats,
    nodes: Vec<Running>,
    /// What nodes that are started from now on run.
    pub(crate) program: PathBuf,
}

struct Running {
    port: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Nodes {
    /// No nodes yet, on so many servers of NATS.
    pub(crate) async fn new(nats: usize) -> Self {
        Self::on(Nats::start(nats).await)
    }

    /// No nodes yet, on these servers of NATS.
    pub(crate) fn on(nats: Nats) -> Self {
        Self { nats, nodes: Vec::new(), program: PathBuf::from(env!("CARGO_BIN_EXE_rtm")) }
    }

    /// So many nodes on so many servers of NATS: all are members.
    pub(crate) async fn start(nats: usize, nodes: usize) -> Self {
        let mut all = Self::new(nats).await;
        all.add_all(nodes).await;
        all
    }

    /// So many first nodes, which are members.
    pub(crate) async fn add_all(&mut self, nodes: usize) {
        for port in free_ports(nodes) {
            let log = self.nats.directory().join(format!("node-{}.log", self.nodes.len()));
            self.nodes.push(Running { port, log, child: None });
        }
        for at in 0..nodes {
            self.spawn(at);
        }
        for at in 0..nodes {
            self.listening(at).await;
        }
    }

    /// One more process that is to be the node with this name.
    pub(crate) async fn add_as(&mut self, name: &str) -> usize {
        let at = self.nodes.len();
        let log = self.nats.directory().join(format!("node-{at}.log"));
        self.nodes.push(Running { port: free_ports(1)[0], log, child: None });
        let urls = self.nats.urls();
        self.spawn_as(at, name, &urls, &[]);
        self.listening(at).await;
        at
    }

    /// Starts a node's process.
    pub(crate) fn spawn(&mut self, at: usize) {
        let urls = self.nats.urls();
        self.spawn_with(at, &urls, &[]);
    }

    /// The same with other addresses of NATS and more arguments.
    pub(crate) fn spawn_with(&mut self, at: usize, nats: &str, more: &[&str]) {
        self.spawn_as(at, &format!("node-{at}"), nats, more);
    }

    fn spawn_as(&mut self, at: usize, name: &str, nats: &str, more: &[&str]) {
        let program = self.program.clone();
        let node = &mut self.nodes[at];
        let log = File::options().create(true).append(true).open(&node.log).unwrap();
        let args = serve(nats, node.port, name);
        let mut command = Command::new(program);
        command.args(args).args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        node.child = Some(command.spawn().unwrap());
    }

    /// One more node, with other addresses of NATS and more arguments, which is a member.
    pub(crate) async fn add(&mut self, nats: &str, more: &[&str]) -> usize {
        let at = self.nodes.len();
        let log = self.nats.directory().join(format!("node-{at}.log"));
        self.nodes.push(Running { port: free_ports(1)[0], log, child: None });
        self.spawn_with(at, nats, more);
        self.listening(at).await;
        at
    }

    /// Waits until a node that was started says that it listens.
    pub(crate) async fn listening(&mut self, at: usize) {
        let stdout = self.nodes[at].child.as_mut().unwrap().stdout.take().unwrap();
        let line = spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            line
        });
        let line = timeout(LIMIT, line).await;
        let is_there = matches!(&line, Ok(Ok(line)) if line.starts_with("listening on "));
        assert!(is_there, "node {at} does not listen: {}", self.log(at));
    }

    /// What a node has logged.
    pub(crate) fn log(&self, at: usize) -> String {
        fs::read_to_string(&self.nodes[at].log).unwrap()
    }

    /// A node is gone at once.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.nodes[at].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A node is told to end, and does, in so much time.
    pub(crate) async fn stop(&mut self, at: usize, within: Duration) {
        self.signal(at, "TERM");
        let status = self.ended(at, within).await;
        assert!(status.success(), "{status}: {}", self.log(at));
    }

    /// A node ends by itself in so much time.
    pub(crate) async fn ended(&mut self, at: usize, within: Duration) -> ExitStatus {
        let mut child = self.nodes[at].child.take().unwrap();
        let status = timeout(within, spawn_blocking(move || child.wait().unwrap())).await;
        status.unwrap_or_else(|_| panic!("node {at} does not end: {}", self.log(at))).unwrap()
    }

    /// Whether the others went on without a node.
    pub(crate) fn was_put_out(&self, at: usize) -> bool {
        self.log(at).contains("the others went on without this node")
    }

    /// Sees that a node is a member, also if it was put out.
    pub(crate) async fn is_in(&self, at: usize) {
        self.log_in(Wire::Native, "dave", &[at]).await;
    }

    pub(crate) fn signal(&self, at: usize, signal: &str) {
        let id = self.nodes[at].child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// The gateways at these nodes, in this order.
    pub(crate) fn gateways(&self, nodes: &[usize]) -> Vec<String> {
        nodes.iter().map(|at| format!("http://127.0.0.1:{}", self.nodes[*at].port)).collect()
    }

    /// Logs a user in, at one of these nodes.
    pub(crate) async fn log_in(&self, wire: Wire, name: &str, nodes: &[usize]) -> User {
        log_in(wire, name, &self.gateways(nodes)).await
    }

    /// The port of a node.
    pub(crate) fn port(&self, at: usize) -> u16 {
        self.nodes[at].port
    }

    /// `rtm cluster` with these arguments.
    pub(crate) fn cluster(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
        command.arg("cluster").args(args).args(["--cluster", &self.nats.urls()]);
        command.output().unwrap()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for at in 0..self.nodes.len() {
                eprintln!("--- node {at}\n{}", self.log(at));
            }
        }
        (0..self.nodes.len()).for_each(|at| self.kill(at));
    }
}

/// The arguments of a node.
pub(crate) fn serve(nats: &str, port: u16, name: &str) -> Vec<String> {
    let listen = format!("127.0.0.1:{port}");
    let args = ["serve", "--listen", &listen, "--project", APP_ID, "--no-limits", "--cluster", nats, "--node", name];
    args.map(str::to_owned).to_vec()
}
