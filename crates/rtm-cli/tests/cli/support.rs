//! Running `rtm` as a script does.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SECURE_APP_ID: &str = "fedcba9876543210fedcba9876543210";
pub(crate) const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn rtm(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RTM_")) {
        command.env_remove(name);
    }
    command
}

/// A running `rtm`, whose lines are read one by one. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn new(args: &[&str]) -> Self {
        Self::start(command(args).stderr(Stdio::piped()))
    }

    /// Starts a command that is ready but for its standard output.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, |_| {})
    }

    /// As [`start`](Self::start), for who takes more from it than its standard output.
    pub(crate) fn start_with(command: &mut Command, take: impl FnOnce(&mut Child)) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        take(&mut child);
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line, without its end; `None` at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let line = line.strip_suffix('\n')?;
        Some(line.to_owned())
    }

    /// The first event, from the next line on, of which `wanted` is true; without its time.
    pub(crate) fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.line().expect("rtm ended before the event");
            let event = event(&line);
            if wanted(&event) {
                return event;
            }
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; answers the status, and what else was written.
    pub(crate) fn end(mut self) -> (ExitStatus, String, String) {
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "rtm does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.lines.read_to_string(&mut stdout).unwrap();
        if let Some(mut said) = self.child.stderr.take() {
            said.read_to_string(&mut stderr).unwrap();
        }
        (self.child.wait().unwrap(), stdout, stderr)
    }
}

/// An event without its time, which has to be there.
pub(crate) fn event(line: &str) -> Value {
    let mut event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    let ts = event.as_object_mut().unwrap().remove("ts").unwrap_or_else(|| panic!("no time in {line}"));
    let at = humantime::parse_rfc3339(ts.as_str().unwrap()).unwrap_or_else(|_| panic!("no time in {line}"));
    assert!(ts.as_str().unwrap().ends_with('Z') && at.elapsed().unwrap() < LIMIT, "{line}");
    event
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `rtm serve` with an open and a secure project on a free port.
pub(crate) struct Server {
    pub(crate) gateway: String,
    pub(crate) running: Running,
}

impl Server {
    pub(crate) fn start(more: &[&str]) -> Self {
        let secure = format!("{SECURE_APP_ID}:{CERTIFICATE}");
        let args = ["serve", "--listen", "127.0.0.1:0", "--project", APP_ID, "--project", &secure];
        let mut running = Running::new(&[&args, more].concat());
        let line = running.line().expect("rtm serve ended");
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        Self { gateway: format!("http://{address}"), running }
    }

    /// The arguments with which `uid` gets in.
    pub(crate) fn user<'a>(&'a self, uid: &'a str) -> [&'a str; 6] {
        ["--gateway", &self.gateway, "--app-id", APP_ID, "--uid", uid]
    }

    /// A user who listens and is logged in.
    pub(crate) fn listener(&self, uid: &str, more: &[&str]) -> Running {
        let mut running = Running::new(&[&["listen"], &self.user(uid)[..], more].concat());
        running.event(|event| event["state"] == "CONNECTED");
        running
    }
}
