//! The process, as the system sees it: the figures that dashboards know by their standard names.

#[cfg(target_os = "linux")]
use procfs::WithCurrentSystemInfo as _;

use super::page::Page;

/// Adds what the system says of this process, where it says anything.
#[cfg(target_os = "linux")]
pub(super) fn add_to(page: &mut Page) {
    let Ok(process) = procfs::process::Process::myself() else { return };
    let Ok(stat) = process.stat() else { return };
    let ticks = procfs::ticks_per_second() as f64;
    page.counter(
        "process_cpu_seconds",
        "CPU time of the process",
        [(vec![], (stat.utime + stat.stime) as f64 / ticks)],
    );
    page.gauge(
        "process_resident_memory_bytes",
        "Resident memory of the process",
        [(vec![], stat.rss_bytes().get() as f64)],
    );
    page.gauge("process_threads", "Threads of the process", [(vec![], stat.num_threads as f64)]);
    if let Ok(count) = process.fd_count() {
        page.gauge("process_open_fds", "Open file descriptors", [(vec![], count as f64)]);
    }
    if let Ok(limits) = process.limits()
        && let procfs::process::LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        page.gauge("process_max_fds", "How many file descriptors there may be", [(vec![], most as f64)]);
    }
    if let Ok(boot) = procfs::boot_time_secs() {
        let started = boot as f64 + stat.starttime as f64 / ticks;
        page.gauge("process_start_time_seconds", "When the process started, since the Unix epoch", [(vec![], started)]);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn add_to(_: &mut Page) {}
