//! A server as a process of its own: short of descriptors, and killed hard.

use rtm_codec::{Answer, ClientFrame, Event, MessageId, RtmMessage, SendMessageToPeer, SendOutcome, ServerFrame, Wire};
use rtm_server::{CallLimits, Server, ServerBuilder};
use tokio::{net::TcpStream, task::spawn_blocking};

use crate::support::{Client, Process, app_id, http, soon, user};

/// What [`Process`] runs.
#[tokio::test]
#[ignore = "run by the tests below, as a process of its own"]
async fn serve_until_killed() {
    let mut project = rtm_server::ProjectConfig::new(app_id());
    project.limits = CallLimits::unlimited();
    project.settings.offline_messages = 1_000_000;
    let server = Server::builder().project(project);
    let data_dir = std::env::var_os("RTM_DATA_DIR");
    let server = data_dir.into_iter().fold(server, ServerBuilder::data_dir).bind("127.0.0.1:0").await.unwrap();
    println!("\nlistening on {}", server.local_addr());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn without_descriptors_those_who_are_there_stay_and_its_health_is_told_and_others_come_later() {
    let (_process, address) = spawn_blocking(|| Process::start("ulimit -n 64", None)).await.unwrap();
    let mut early = Client::login(address, Wire::Native, "early").await;
    // More than it has descriptors for.
    let mut crowd = Vec::new();
    for _ in 0..64 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    early.send(ClientFrame::Ping).await;
    assert_eq!(early.next().await, ServerFrame::Pong);
    let ask = async |path: &str| {
        let answer = http(address, format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        (answer.status, answer.body)
    };
    // All at once: those who say nothing are cut off after 10 s.
    let (healthy, alive, ready) = tokio::join!(ask("/healthz"), ask("/livez"), ask("/readyz"));
    let ok = (200, "ok\n".to_owned());
    assert_eq!((healthy, alive), (ok.clone(), ok));
    // It may be the one for which a descriptor has become free.
    assert!(ready.1.starts_with("{\"ready\":"), "{ready:?}");
    drop(crowd);
    // Turned away at first, perhaps.
    let mut late = soon("being let in", async {
        loop {
            if http(address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.status == 404 {
                return Client::login(address, Wire::Native, "late").await;
            }
        }
    })
    .await;
    late.talks_with("late", &mut early, "early").await;
}

#[tokio::test]
async fn killed_under_load_it_has_lost_nothing_that_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let start = || {
        let path = path.clone();
        spawn_blocking(move || Process::start(":", Some(&path)))
    };
    let (process, address) = start().await.unwrap();
    // Three senders with many calls under way each, until the server is gone.
    let senders = [1, 2, 3].map(|sender| {
        tokio::spawn(async move {
            let mut client = Client::login(address, Wire::Native, &format!("sender{sender}")).await;
            let mut kept = Vec::new();
            for n in 0.. {
                let number = sender * 1_000_000 + n;
                let message = SendMessageToPeer {
                    message_id: MessageId(number),
                    peer_id: user("bob"),
                    message: RtmMessage::text(number.to_string()),
                    enable_offline_messaging: true,
                    enable_historical_messaging: false,
                };
                client.requests += 1;
                let id = rtm_codec::RequestId(client.requests);
                let command = message.into();
                if client.try_send(ClientFrame::Request { id, command }).await.is_err() {
                    break;
                }
                while client.requests - kept.len() as u64 > 100 {
                    match client.next_or_close().await {
                        Ok(ServerFrame::Reply { id, result }) => {
                            assert_eq!(result, Ok(Answer::SendMessageToPeer(SendOutcome::Stored)));
                            kept.push(sender * 1_000_000 + id.0 - 1);
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => return kept,
                    }
                    if kept.len() == 1000 {
                        THOUSAND.notify_one();
                    }
                }
            }
            kept
        })
    });
    soon("a thousand acknowledged messages", THOUSAND.notified()).await;
    spawn_blocking(|| process.kill()).await.unwrap();
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(soon("the end of a sender", sender).await.unwrap());
    }
    assert!(acknowledged.len() >= 1000);

    let (_process, address) = start().await.unwrap();
    let mut bob = Client::login(address, Wire::Native, "bob").await;
    let mut missing: std::collections::BTreeSet<u64> = acknowledged.into_iter().collect();
    let mut last = [0; 4];
    while !missing.is_empty() {
        match bob.next().await {
            ServerFrame::Event { seq, event: Event::MessageFromPeer(message) } => {
                let number: u64 = message.message.as_text().unwrap().parse().unwrap();
                let of_sender = &mut last[(number / 1_000_000) as usize];
                assert!(*of_sender <= number, "in the order of sending");
                *of_sender = number;
                missing.remove(&number);
                bob.ack(seq).await;
            }
            ServerFrame::Event { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

static THOUSAND: tokio::sync::Notify = tokio::sync::Notify::const_new();
