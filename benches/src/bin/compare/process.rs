//! Server processes, and what the kernel says they use.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// A server in a process of its own, ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

/// CPU time. Of a process its threads that have ended count as well.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// In nanoseconds, exact.
    pub(crate) total: f64,
    /// The part outside of the kernel, to 10 ms.
    pub(crate) user: f64,
}

impl Server {
    /// Starts this very program as a server; it says where it listens.
    pub(crate) fn own(kind: &str) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut child = Command::new(program).args(["serve", kind]).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("the server {kind} did not start: {line:?}"))?;
        Ok(Self { child, port })
    }

    /// Starts another program, which is given the port to listen at.
    pub(crate) fn other(program: &Path, args: impl Fn(u16) -> Vec<String>) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let name = program.display();
        let child = Command::new(program)
            .args(args(port))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                bail!("{name} does not listen");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        process_cpu(self.pid())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU time of a process.
pub(crate) fn process_cpu(pid: u32) -> anyhow::Result<Cpu> {
    let mut total = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        total += schedstat(&task?.path().join("schedstat")).unwrap_or(0.0);
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no process name")?;
    let ticks: f64 = fields.split_whitespace().nth(11).context("no utime")?.parse()?;
    Ok(Cpu { total, user: ticks * NS_PER_TICK })
}

/// The id of the calling thread, as a path in /proc.
pub(crate) fn this_thread() -> anyhow::Result<PathBuf> {
    Ok(Path::new("/proc").join(std::fs::read_link("/proc/thread-self")?))
}

/// The CPU time of a thread, in nanoseconds.
pub(crate) fn thread_cpu(thread: &Path) -> anyhow::Result<f64> {
    schedstat(&thread.join("schedstat"))
}

/// The path of a program, if it is installed.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps servers where only the administrator's PATH looks.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The version that a program says it is, called with `--version`.
pub(crate) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

/// The first word that is a version, with or without a `v` before it.
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace().find_map(|word| {
        let number = word.strip_prefix('v').unwrap_or(word);
        let number = number.strip_prefix('=').unwrap_or(number);
        (number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')).then(|| number.to_owned())
    })
}

fn schedstat(path: &Path) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.split_whitespace().next().context("an empty schedstat")?.parse()?)
}

/// Linux counts in hundredths of a second towards programs, whatever it does inside.
const NS_PER_TICK: f64 = 1e7;

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_found_in_what_each_program_says() {
        let found = |text| version_in(text);
        assert_eq!(found("nats-server: v2.15.1\n").as_deref(), Some("2.15.1"));
        assert_eq!(
            found("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64").as_deref(),
            Some("7.0.15")
        );
        assert_eq!(found("v20.20.0").as_deref(), Some("20.20.0"));
        assert_eq!(found("usage: 3 arguments"), None);
    }
}
