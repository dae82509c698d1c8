//! What an operator reads in the log of refused logins, of locked addresses and of proxies that are not set up.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rtm_codec::{CallLimit, ClientFrame, ServerFrame, Wire};
use rtm_server::{Certificate, ProjectConfig, Server};
use tracing_subscriber::filter::LevelFilter;

use crate::support::{APP, Client, GATEWAY, app_id, http, login_with, post, server, server_with, soon};

/// The log of this thread, on which everything of a test runs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        Self::start_at(LevelFilter::WARN)
    }

    fn start_at(level: LevelFilter) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let to = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(move || to.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }

    /// The first line with this, once it is there.
    async fn line(&self, with: &str) -> String {
        loop {
            if let Some(line) = self.lines(with).into_iter().next() {
                return line;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const CERTIFICATE: &str = "5cfd2fd1755d40ecb72977518be15d3b";

async fn secure(refused_logins: u32) -> Server {
    server_with(|config| {
        let mut project = ProjectConfig::new(app_id());
        project.certificates = vec![CERTIFICATE.parse().unwrap()];
        config.projects = vec![project];
        config.refused_logins_per_address = CallLimit::new(refused_logins, Duration::from_secs(3600));
    })
    .await
}

fn token(user_id: &str) -> String {
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    rtm_token::Builder::new(APP, &certificate, user_id, now, 7).ttl(Duration::from_secs(600)).build().unwrap()
}

#[tokio::test]
async fn a_refused_login_is_logged_in_the_same_words_on_both_wires_and_counted() {
    // Another user's and one that is none, so that a token and different reasons are there to be seen.
    for (token, why) in [(token("bob"), "for another user"), ("006guess".to_owned(), "not valid")] {
        let (native, vendor) =
            (line_of_refusals(Wire::Native, &token).await, line_of_refusals(Wire::Vendor, &token).await);
        for part in ["WARN", "address=127.0.0.1", "user=\"alice\"", why, APP] {
            assert!(native.contains(part), "no {part} in {native}");
        }
        let words = |line: &str| line.split_once("WARN").unwrap().1.to_owned();
        assert_eq!(words(&native), words(&vendor));
    }
}

/// What is logged of three refused logins of alice, which is one line.
async fn line_of_refusals(wire: Wire, token: &str) -> String {
    let (log, _guard) = Log::start();
    let server = secure(1000).await;
    for _ in 0..3 {
        match wire {
            Wire::Native => {
                let mut client = Client::connect(server.local_addr(), wire).await;
                client.send(login_with(app_id(), "alice", Some(token))).await;
                assert!(matches!(client.next().await, ServerFrame::Refused(_)));
            }
            _ => {
                let body = format!(r#"{{"appid":"{APP}","uid":"alice","token":"{token}","wss":false}}"#);
                assert_ne!(post(server.local_addr(), GATEWAY, &body).await.json()["code"], 0);
            }
        }
    }
    assert_eq!(server.stats().refused_logins[&app_id()], 3, "{wire:?}");
    assert_eq!(log.lines(token), [] as [String; 0], "a token is in the log");
    // At most one a second is logged: three of them take no second.
    let lines = log.lines("a login is refused");
    assert_eq!(lines.len(), 1, "{wire:?}: {lines:?}");
    lines.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_login_that_names_no_project_is_counted_apart() {
    let (log, _guard) = Log::start();
    let server = server().await;
    let other = "f".repeat(32).parse().unwrap();
    let mut client = Client::connect(server.local_addr(), Wire::Native).await;
    client.send(login_with(other, "alice", None)).await;
    assert!(matches!(client.next().await, ServerFrame::Refused(_)));
    let stats = server.stats();
    assert_eq!((stats.refused_logins_without_project, stats.refused_logins[&app_id()]), (1, 0));
    assert_eq!(log.lines("a login is refused").len(), 1);
}

#[tokio::test]
async fn a_good_login_is_not_logged() {
    let (log, _guard) = Log::start();
    let server = secure(1000).await;
    let mut client = Client::connect(server.local_addr(), Wire::Native).await;
    client.send(login_with(app_id(), "alice", Some(&token("alice")))).await;
    assert!(matches!(client.next().await, ServerFrame::Welcome(_)));
    client.send(ClientFrame::Ping).await;
    assert_eq!(client.next().await, ServerFrame::Pong);
    assert_eq!((server.stats().refused_logins[&app_id()], log.lines("").len()), (0, 0));
}

#[tokio::test]
async fn at_debug_each_login_and_logout_and_end_of_a_connection_has_a_line_and_no_token() {
    for wire in [Wire::Native, Wire::Vendor] {
        let (log, _guard) = Log::start_at(LevelFilter::DEBUG);
        let server = secure(1000).await;
        let token = token("alice");
        let mut client = Client::connect(server.local_addr(), wire).await;
        client.send(login_with(app_id(), "alice", Some(&token))).await;
        assert!(matches!(client.next().await, ServerFrame::Welcome(_)));
        let lines = log.lines("a user has logged in");
        let parts = ["DEBUG", "rtm_server::connections", "remote=127.0.0.1", APP, "user=\"alice\""];
        for part in parts {
            assert!(lines.len() == 1 && lines[0].contains(part), "no {part} in {lines:?}");
        }
        client.send(ClientFrame::Logout).await;
        client.closed().await;
        let gone = Client::connect(server.local_addr(), wire).await;
        drop(gone);
        for (what, reason) in [
            ("a user has logged out", APP),
            ("a connection has ended ", "reason=\"logout\""),
            ("a connection has ended before its login", "reason=\"gone\""),
        ] {
            let line = soon(what, log.line(what)).await;
            assert!(line.contains(reason) && line.contains("rtm_server::connections"), "{wire:?}: {line}");
        }
        assert_eq!(log.lines(&token), [] as [String; 0], "a token is in the log");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_locked_address_is_logged_with_what_to_set() {
    let (log, _guard) = Log::start();
    let server = secure(2).await;
    let body = format!(r#"{{"appid":"{APP}","uid":"alice","token":"006guess","wss":false}}"#);
    for _ in 0..4 {
        post(server.local_addr(), GATEWAY, &body).await;
    }
    let lines = log.lines("too many logins from this address");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["WARN", "127.0.0.1", "refused_logins_per_address", "proxy", "seconds=3600"] {
        assert!(lines[0].contains(part), "no {part} in {lines:?}");
    }
    assert_eq!(server.stats().refused_logins[&app_id()], 4, "those that were refused unseen count too");
}

#[tokio::test]
async fn a_proxy_that_spoils_handshakes_is_logged_once_in_a_while() {
    let (log, _guard) = Log::start();
    let server = server().await;
    for _ in 0..3 {
        let request = "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(http(server.local_addr(), request).await.status, 426);
    }
    let lines = log.lines("proxy_http_version 1.1");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("127.0.0.1"), "{lines:?}");
}
