//! NATS servers of a test's own: the program that the variable `NATS_SERVER` names.

use std::{
    env,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A cluster of NATS servers on the loopback address.
pub(crate) struct Nats {
    servers: Vec<Server>,
    _directory: TempDir,
}

struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    address: SocketAddr,
    process: Child,
}

impl Nats {
    /// So many servers.
    pub(crate) fn start(servers: usize) -> Self {
        let program = env::var_os("NATS_SERVER").expect("NATS_SERVER has to name the program nats-server");
        let program = PathBuf::from(program);
        let directory = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let held: Vec<_> = (0..2 * servers).map(|_| free()).collect();
        let addresses: Vec<_> = held.iter().map(|listener| listener.local_addr().unwrap()).collect();
        drop(held);
        let (clients, routes) = addresses.split_at(servers);
        let all_routes: Vec<_> = routes.iter().map(|route| format!("nats://{route}")).collect();
        let started = clients.iter().zip(routes).enumerate().map(|(number, (address, route))| {
            let mut arguments: Vec<String> = ["-a", "127.0.0.1", "-js", "-p"].map(String::from).into();
            arguments.push(address.port().to_string());
            arguments.extend(["-n".to_owned(), format!("s{number}"), "-sd".to_owned()]);
            arguments.push(directory.path().join(number.to_string()).display().to_string());
            if servers > 1 {
                arguments.extend(["--cluster_name", "test", "--cluster"].map(String::from));
                arguments.push(format!("nats://{route}"));
                arguments.extend(["--routes".to_owned(), all_routes.join(",")]);
            }
            Server { process: spawn(&program, &arguments), program: program.clone(), arguments, address: *address }
        });
        let nats = Self { servers: started.collect(), _directory: directory };
        nats.servers.iter().for_each(Server::wait);
        nats
    }

    /// The addresses of the servers.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://{}", server.address)).collect()
    }

    /// Ends a server as a crash does.
    pub(crate) fn kill(&mut self, server: usize) {
        let process = &mut self.servers[server].process;
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts a server again.
    pub(crate) fn restart(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.process = spawn(&server.program, &server.arguments);
        server.wait();
    }
}

impl Server {
    fn wait(&self) {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "the NATS server does not start");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It may have ended.
            let _ = server.process.kill();
            let _ = server.process.wait();
        }
    }
}

fn spawn(program: &PathBuf, arguments: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
