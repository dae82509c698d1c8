//! How often a server's threads wake one another while it relays one message at a time.

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::Context as _;

use crate::{candidate::Candidate, process::installed, run::Run};

/// The runs, if there is strace.
pub(crate) fn runs(candidates: Vec<Candidate>) -> Vec<Run> {
    if installed("strace").is_none() {
        return Vec::new();
    }
    candidates
        .into_iter()
        .map(|candidate| {
            Run::new(candidate.name.clone(), move |recorder| {
                let server = candidate.start()?;
                // Counting starts with the messages under way, so that connecting is not counted.
                let output = std::env::temp_dir().join(format!("compare-strace-{}", std::process::id()));
                let mut strace = Command::new("strace")
                    .args(["-f", "-c", "-p", &server.pid().to_string(), "-o"])
                    .arg(&output)
                    .stderr(Stdio::null())
                    .spawn()?;
                sleep(Duration::from_millis(500));
                let measured = (candidate.round_trips)(&server, 64, ROUNDS);
                let interrupted = Command::new("kill").args(["-INT", &strace.id().to_string()]).status();
                strace.wait()?;
                measured?;
                anyhow::ensure!(interrupted?.success(), "strace ended by itself");
                let counts = std::fs::read_to_string(&output)?;
                std::fs::remove_file(&output)?;
                // Each round is two relayed messages; the warm-up counts in both.
                let messages = (2 * (ROUNDS + WARM_UP)) as f64;
                recorder.add(FUTEX, calls(&counts, "futex")? / messages);
                recorder.add("all system calls/message", calls(&counts, "total")? / messages);
                Ok(())
            })
        })
        .collect()
}

/// The count of a system call in strace's summary; its columns are share, seconds, µs/call, calls, errors, name.
fn calls(summary: &str, name: &str) -> anyhow::Result<f64> {
    let Some(line) = summary.lines().find(|line| line.split_whitespace().last() == Some(name)) else { return Ok(0.0) };
    line.split_whitespace().nth(3).context("a short line")?.parse().context("no count of calls")
}

pub(crate) const FUTEX: &str = "futex calls/message";
const ROUNDS: u64 = 1000;
const WARM_UP: u64 = 200;
