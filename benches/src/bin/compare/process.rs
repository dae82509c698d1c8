//! Server processes, and what the kernel says they use.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// A server in a process of its own, or several that are one; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    processes: Vec<Process>,
    /// Where clients connect: the first is the sender's, the others are its receivers' in turn.
    ports: Vec<u16>,
    _folder: Option<TempDir>,
}

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

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
        let (process, port) = Process::own(&[kind])?;
        Ok(Self { processes: vec![process], ports: vec![port], _folder: None })
    }

    /// Starts our server with a folder of its own, of which `args` makes how it is set up.
    pub(crate) fn ours(args: impl Fn(&Path) -> anyhow::Result<Vec<String>>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let args = args(folder.path())?;
        let args: Vec<&str> = std::iter::once("rtm").chain(args.iter().map(String::as_str)).collect();
        let (process, port) = Process::own(&args)?;
        Ok(Self { processes: vec![process], ports: vec![port], _folder: Some(folder) })
    }

    /// Starts another program, which is given the port to listen at.
    pub(crate) fn other(program: &Path, args: impl Fn(u16) -> Vec<String>) -> anyhow::Result<Self> {
        let port = free_port()?;
        let process = Process::other(program, &args(port), port)?;
        Ok(Self { processes: vec![process], ports: vec![port], _folder: None })
    }

    /// Starts another program with a folder of its own, for which `args` also writes the configuration.
    pub(crate) fn configured(
        program: &Path,
        args: impl Fn(u16, &Path) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Self> {
        let (port, folder) = (free_port()?, tempfile::tempdir()?);
        let process = Process::other(program, &args(port, folder.path())?, port)?;
        Ok(Self { processes: vec![process], ports: vec![port], _folder: Some(folder) })
    }

    /// Starts so many servers of NATS that are a cluster. Clients connect to each in turn.
    pub(crate) fn nats_cluster(program: &Path, servers: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (processes, ports) = nats(program, servers, folder.path())?;
        Ok(Self { processes, ports, _folder: Some(folder) })
    }

    /// Starts so many servers of NATS, and so many nodes of ours on them, of which each has its own server of NATS as far as
    /// there are enough. Clients connect to the first `used` of them.
    pub(crate) fn cluster(program: &Path, servers: usize, nodes: usize, used: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (mut processes, nats) = nats(program, servers, folder.path())?;
        let mut ports = Vec::new();
        for number in 0..nodes {
            let nats = nats[number % nats.len()].to_string();
            let (process, port) = Process::own(&["rtm", "--nats", &nats, "--node", &format!("rtm-{number}")])?;
            processes.push(process);
            ports.push(port);
        }
        ports.truncate(used);
        Ok(Self { processes, ports, _folder: Some(folder) })
    }

    /// Where the sender connects.
    pub(crate) fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Where a receiver connects: another server than the sender's, if there are several.
    pub(crate) fn receiver_port(&self, number: usize) -> u16 {
        self.ports[(number + 1) % self.ports.len()]
    }

    /// Where one of many users connects.
    pub(crate) fn user_port(&self, number: usize) -> u16 {
        self.ports[number % self.ports.len()]
    }

    /// The process that was started last.
    pub(crate) fn pid(&self) -> u32 {
        self.processes[self.processes.len() - 1].0.id()
    }

    /// The CPU time of all processes.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        self.processes.iter().try_fold(Cpu::default(), |sum, process| {
            let cpu = process_cpu(process.0.id())?;
            Ok(Cpu { total: sum.total + cpu.total, user: sum.user + cpu.user })
        })
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0)
    }
}

impl Process {
    fn own(args: &[&str]) -> anyhow::Result<(Self, u16)> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut child = Command::new(program).arg("serve").args(args).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let process = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("the server {args:?} did not start: {line:?}"))?;
        Ok((process, port))
    }

    fn other(program: &Path, args: &[String], port: u16) -> anyhow::Result<Self> {
        let name = program.display();
        let child = Command::new(program)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let process = Self(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                bail!("{name} does not listen");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and nobody needs it any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// So many of them, each another one: all are held until the last is found.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    Ok(held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}

/// Starts servers of NATS with JetStream in this folder, and waits until they know each other.
fn nats(program: &Path, servers: usize, folder: &Path) -> anyhow::Result<(Vec<Process>, Vec<u16>)> {
    let mut ports = free_ports(3 * servers)?;
    let monitors = ports.split_off(2 * servers);
    let routes = ports.split_off(servers);
    let all_routes = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let mut processes = Vec::new();
    for number in 0..servers {
        let (port, store) = (ports[number], folder.join(number.to_string()));
        let mut args = ["-a", "127.0.0.1", "-js", "-p"].map(String::from).to_vec();
        args.extend([port.to_string(), "-sd".into(), store.display().to_string()]);
        args.extend(["-m".into(), monitors[number].to_string(), "-n".into(), format!("nats-{number}")]);
        if servers > 1 {
            args.extend(["--cluster_name", "compare", "--routes", &all_routes, "--cluster"].map(String::from));
            args.push(format!("nats://127.0.0.1:{}", routes[number]));
        }
        processes.push(Process::other(program, &args, port)?);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while !monitors.iter().all(|port| is_healthy(*port)) {
        if Instant::now() > deadline {
            bail!("the servers of NATS do not become healthy");
        }
        sleep(Duration::from_millis(50));
    }
    Ok((processes, ports))
}

/// Whether a server of NATS says that its JetStream is ready.
fn is_healthy(monitor: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", monitor))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("200 OK"))
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
    version_said(program, &["--version"])
}

/// The version that a program says it is, called with these arguments.
pub(crate) fn version_said(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
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
        assert_eq!(found("mosquitto version 2.0.11\n").as_deref(), Some("2.0.11"));
        assert_eq!(found("v20.20.0").as_deref(), Some("20.20.0"));
        assert_eq!(found("usage: 3 arguments"), None);
    }
}
