//! An application that embeds client and server, and logs all that there is to log, finds no secret in its log: no token,
//! no session id, no text of a message, by no library either.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rtm_client::{Client, RtmEvent, Wire};
use rtm_server::{Certificate, ProjectConfig, Server};
use rtm_token::Builder;
use tracing_subscriber::filter::LevelFilter;

const APP_ID: &str = "0123456789abcdef0123456789abcdef";
const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";
const TEXT: &str = "SECRET-TEXT";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_users_is_in_the_log_of_an_application() {
    let written = Log::default();
    let to = written.clone();
    // As applications do: for this process, with what libraries give to the `log` crate.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || to.clone())
        .init();
    log::trace!("what a library logs");
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let mut project = ProjectConfig::new(APP_ID.parse().unwrap());
    project.certificates = vec![certificate.clone()];
    let server = Server::builder().project(project).bind("127.0.0.1:0").await.unwrap();
    let gateway = format!("http://{}", server.local_addr());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();

    let mut secrets = vec![CERTIFICATE.to_owned(), TEXT.to_owned(), hex(TEXT.as_bytes())];
    let mut users = Vec::new();
    for (user_id, wire) in [("ann", Wire::Vendor), ("bob", Wire::Native), ("cho", Wire::Vendor)] {
        let token = Builder::new(APP_ID, &certificate, user_id, now, 7).ttl(Duration::from_secs(300)).build().unwrap();
        let (client, events) = Client::builder().gateway(&gateway).app_id(APP_ID).wire(wire).build().unwrap();
        client.login(user_id, Some(&token)).await.unwrap();
        if let Some(session) = client.session().await {
            secrets.push(hex(&session.ticket().session.0));
        }
        secrets.extend([hex(token.as_bytes()), token]);
        users.push((client, events));
    }
    for (from, to) in [(0, "bob"), (1, "cho"), (2, "ann")] {
        users[from].0.send_message_to_peer(to, TEXT).await.unwrap();
        let room = users[from].0.channel("room").unwrap();
        room.join().await.unwrap();
        room.send_message(TEXT).await.unwrap();
    }
    for (_, events) in &mut users {
        while !matches!(events.recv().await, Some(RtmEvent::MessageFromPeer { .. })) {}
    }
    for (client, _) in &users {
        client.logout().await.unwrap();
    }
    server.shutdown().await;

    let log = String::from_utf8_lossy(&written.0.lock().unwrap()).into_owned();
    assert!(log.contains("what a library logs"), "what is given to the `log` crate is not in the log");
    for secret in secrets {
        let found = log.lines().find(|line| line.contains(&secret));
        assert_eq!(found, None, "{secret} is in the log");
    }
    // What the vendor's gateway gives, which no client shows.
    assert!(!log.contains("\"SessionId\":\"") && !log.contains("sessionid"), "a session id is in the log");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
