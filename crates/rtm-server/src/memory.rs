//! Refuses logins while the process has more memory than it should.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tracing::{info, warn};

/// Whether there is memory for more clients.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    is_short: AtomicBool,
    refused: AtomicU64,
}

impl Memory {
    /// Whether a login has to be refused. Counts it if so.
    pub(crate) fn refuses(&self) -> bool {
        let is_short = self.is_short();
        if is_short {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_short
    }

    /// Whether logins are refused.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// How many logins were refused.
    #[cfg(feature = "admin")]
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Looks each second how much memory the process has, until it is dropped.
pub(crate) async fn watch(memory: Arc<Memory>, most: usize) {
    loop {
        let Some(resident) = resident() else {
            return warn!("max_memory has no effect: this system does not say how much memory the process has");
        };
        let is_short = resident >= most;
        if memory.is_short.swap(is_short, Ordering::Relaxed) != is_short {
            if is_short {
                warn!(resident, "the process has max_memory: logins are refused until it has less");
            } else {
                info!(resident, "the process has less than max_memory: logins are accepted again");
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The resident memory of this process, in bytes.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
