//! `rtm serve` as a process, and the memory that it takes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::time::sleep;

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// A running server with one project, whose limits are the default. Killed when it is dropped.
pub(crate) struct Server {
    pub(crate) gateway: String,
    child: Child,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rtm"))
            .args(["serve", "--listen", "127.0.0.1:0", "--project", APP_ID])
            .env("RTM_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ");
        Self { gateway: format!("http://{}", address.expect("rtm serve ended")), child }
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Its memory from now on, over and over until the time is over, in KiB.
    pub(crate) async fn watch(&self, time: Duration, what: &str) -> Vec<u64> {
        let started = Instant::now();
        let mut seen = vec![self.resident()];
        while started.elapsed() < time {
            sleep((time / SAMPLES).max(Duration::from_millis(100))).await;
            seen.push(self.resident());
        }
        println!("{what} for {:.0} s: {seen:?} KiB", started.elapsed().as_secs_f64());
        seen
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often memory is looked at in each phase.
const SAMPLES: u32 = 12;
