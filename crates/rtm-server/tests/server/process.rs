//! A server that runs out of file descriptors: those who are there stay, those who wait are let in later.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use rtm_codec::{ClientFrame, ServerFrame, Wire};
use tokio::net::TcpStream;

use crate::support::{Client, server, soon};

/// Started by the next test as a process of its own, with few descriptors.
#[tokio::test]
#[ignore = "run by a_server_without_descriptors_goes_on_when_there_are_some_again"]
async fn serve_until_killed() {
    let server = server().await;
    println!("\nlistening on {}", server.local_addr());
    std::future::pending::<()>().await;
}

struct Process(Child);

impl Process {
    fn start(descriptors: usize) -> (Self, SocketAddr) {
        let own = std::env::current_exe().unwrap();
        let serve = "exec \"$0\" descriptors::serve_until_killed --exact --ignored --nocapture";
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors}; {serve}"), own.to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok());
        (Self(child), address.expect("it listens"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_server_without_descriptors_goes_on_when_there_are_some_again() {
    let (_process, address) = tokio::task::spawn_blocking(|| Process::start(64)).await.unwrap();
    let mut early = Client::login(address, Wire::Native, "early").await;
    // More than it has descriptors for; the kernel keeps those that are not accepted waiting.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    early.send(ClientFrame::Ping).await;
    assert_eq!(early.next().await, ServerFrame::Pong);
    let mut late = tokio::spawn(async move { Client::login(address, Wire::Native, "late").await });
    drop(crowd);
    let mut late = soon("being let in", &mut late).await.unwrap();
    late.talks_with("late", &mut early, "early").await;
}
