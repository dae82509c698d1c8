//! What outlives sockets and servers: waiting messages, history and channel attributes.

use std::{
    future::Future,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rtm_codec::{
    AddOrUpdateChannelAttributes, Answer, AttributeKey, ChannelAttributeTarget, ChannelId, ClientFrame, Event,
    GetChannelAttributes, HistoryOf, MessageId, PeerOnlineState, QueryHistory, QueryPeersBySubscriptionOption,
    RtmMessage, SendMessageToPeer, SendOutcome, ServerFrame, SubscribePeersOnlineStatus, Text,
    UnsubscribePeersOnlineStatus, Wire,
};
use rtm_server::{
    Redb, Server,
    core::{
        Conversation, LogEntry, LogKey, StoreAnswer, StoreWork, StoredMessage,
        store::{Backend, BackendStats, Task},
    },
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{APP, Client, GATEWAY, app_id, post, server, soon, user};

async fn server_at(directory: &Path) -> Server {
    Server::builder().project(app_id()).data_dir(directory).bind("127.0.0.1:0").await.unwrap()
}

fn keep(text: &str, id: u64) -> SendMessageToPeer {
    SendMessageToPeer {
        message_id: MessageId(id),
        peer_id: user("bob"),
        message: RtmMessage::text(text),
        enable_offline_messaging: true,
        enable_historical_messaging: true,
    }
}

async fn answer(client: &mut Client, command: impl Into<rtm_codec::Command>) -> Answer {
    let id = client.request(command).await;
    loop {
        match client.next().await {
            ServerFrame::Reply { id: answered, result } if answered == id => return result.unwrap(),
            ServerFrame::Event { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The texts that wait for a user who logs in natively; they are acknowledged if `takes`.
async fn waiting(server: &Server, name: &str, count: usize, takes: bool) -> Vec<String> {
    let mut client = Client::login(server.local_addr(), Wire::Native, name).await;
    let mut texts = Vec::new();
    while texts.len() < count {
        if let ServerFrame::Event { seq, event: Event::MessageFromPeer(message) } = client.next().await {
            assert!(message.is_offline_message);
            texts.push(message.message.as_text().unwrap().to_owned());
            if takes {
                client.ack(seq).await;
            }
        }
    }
    client.send(ClientFrame::Ping).await;
    assert_eq!(client.next().await, ServerFrame::Pong, "nothing else waits");
    client.send(ClientFrame::Logout).await;
    client.closed().await;
    texts
}

/// Writes to everything that is kept, ends the server by `end`, and looks whether it is there.
async fn survives<F: Future<Output = ()>>(end: impl Fn(Server) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let server = server_at(directory.path()).await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for (text, id) in [("one", 1), ("two", 2)] {
        let stored = Answer::SendMessageToPeer(SendOutcome::Stored);
        assert_eq!(answer(&mut alice, keep(text, id)).await, stored);
    }
    let channel_id = ChannelId::new("room").unwrap();
    let attributes = [(AttributeKey::new("topic").unwrap(), Text::from("rust"))].into();
    let write = AddOrUpdateChannelAttributes {
        target: ChannelAttributeTarget { channel_id: channel_id.clone(), notify: false, expected_revision: None },
        attributes,
    };
    answer(&mut alice, write).await;
    drop(alice);
    end(server).await;

    let server = server_at(directory.path()).await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    match answer(&mut alice, GetChannelAttributes { channel_id, keys: None }).await {
        Answer::GetChannelAttributes(all) => {
            assert_eq!(all.attributes[&AttributeKey::new("topic").unwrap()].value, "rust");
        }
        other => panic!("{other:?}"),
    }
    let conversation = HistoryOf::Peer(user("bob"));
    match answer(&mut alice, QueryHistory { conversation, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100 })
        .await
    {
        Answer::QueryHistory(page) => {
            let texts: Vec<_> = page.messages.iter().map(|message| message.message.as_text().unwrap()).collect();
            assert_eq!(texts, ["one", "two"]);
        }
        other => panic!("{other:?}"),
    }
    // What was not acknowledged comes again, what was does not.
    assert_eq!(waiting(&server, "bob", 2, false).await, ["one", "two"]);
    end(server).await;
    let server = server_at(directory.path()).await;
    assert_eq!(waiting(&server, "bob", 2, true).await, ["one", "two"]);
    soon("their removal", async {
        while server.store_stats().await.unwrap().offline_messages > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    end(server).await;
    let server = server_at(directory.path()).await;
    assert_eq!(waiting(&server, "bob", 0, true).await, [""; 0]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    survives(Server::shutdown).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_sudden_end() {
    survives(|server| async { drop(server) }).await;
}

/// Whom the vendor's SDK is subscribed to: it asks for that once, and its server keeps it.
async fn keeps_subscriptions<F: Future<Output = ()>>(end: impl Fn(Server) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let server = server_at(directory.path()).await;
    let mut alice = Client::login(server.local_addr(), Wire::Vendor, "alice").await;
    for peers in [vec![user("bob"), user("carol")], vec![user("dave")]] {
        answer(&mut alice, SubscribePeersOnlineStatus { peer_ids: peers }).await;
    }
    answer(&mut alice, UnsubscribePeersOnlineStatus { peer_ids: vec![user("dave")] }).await;
    end(server).await;

    let server = server_at(directory.path()).await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let mut alice = Client::login(server.local_addr(), Wire::Vendor, "alice").await;
    let mut told = std::collections::BTreeMap::new();
    while told.len() < 2 {
        if let ServerFrame::Event { event: Event::PeersOnlineStatusChanged { peers }, .. } = alice.next().await {
            told.extend(peers);
        }
    }
    let states = [(user("bob"), PeerOnlineState::Online), (user("carol"), PeerOnlineState::Offline)];
    assert_eq!(told, states.clone().into());
    let all = answer(&mut alice, QueryPeersBySubscriptionOption {}).await;
    assert_eq!(all, Answer::QueryPeersBySubscriptionOption(states.map(|(peer, _)| peer).into()));
    bob.send(ClientFrame::Logout).await;
    let is_told = |frame: ServerFrame| match frame {
        ServerFrame::Event { event: Event::PeersOnlineStatusChanged { peers }, .. } => {
            peers == [(user("bob"), PeerOnlineState::Offline)]
        }
        _ => false,
    };
    while !is_told(alice.next().await) {}
    assert_eq!(server.store_stats().await.unwrap().subscribers, 1);
    alice.send(ClientFrame::Logout).await;
    soon("their end", async {
        while server.store_stats().await.unwrap().subscribers > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn subscriptions_of_the_vendors_sdk_are_there_after_a_restart() {
    keeps_subscriptions(Server::shutdown).await;
}

#[tokio::test]
async fn subscriptions_of_the_vendors_sdk_are_there_after_a_sudden_end() {
    keeps_subscriptions(|server| async { drop(server) }).await;
}

/// The vendor's way: a session id from the gateway, and the messages by HTTP.
#[tokio::test]
async fn a_vendor_client_fetches_its_messages_once() {
    let server = server().await;
    let address = server.local_addr();
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    for (text, id) in [("one", 1), ("two", 2)] {
        answer(&mut alice, keep(text, id)).await;
    }
    let body = format!(r#"{{"appid":"{APP}","uid":"bob","token":"","wss":false}}"#);
    let session = post(address, GATEWAY, &body).await.json()["sessionid"].as_str().unwrap().to_owned();
    let mut bob = Client::connect(address, Wire::Vendor).await;
    bob.log_in_with("bob", |login| login.gateway_session = Some(session.as_str().into())).await;

    let fetch = async |uid: &str, session: &str| {
        let body = format!(r#"{{"uid":"{uid}","sessId":"{session}","appId":"{APP}"}}"#);
        let answer = post(address, "/arapi/v1/artmgw/getOfflineMsg", &body).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
        answer.json()
    };
    // Another user's session, and one that never was, open nothing.
    assert_ne!(fetch("alice", &session).await["code"], 0);
    assert_ne!(fetch("bob", "0123456789abcdef").await["code"], 0);
    let json = fetch("bob", &session).await;
    assert_eq!(json["code"], 0);
    let texts: Vec<_> = json["data"].as_array().unwrap().iter().map(|message| &message["msgBody"]).collect();
    assert_eq!(texts, ["one", "two"]);
    assert_eq!(json["data"][0]["msgFrom"], "alice");
    assert_eq!(json.get("next"), None);
    soon("their removal", async {
        while server.store_stats().await.unwrap().offline_messages > 0 {
            // It cannot say that it has them, but it lives on.
            bob.send(ClientFrame::Ping).await;
        }
    })
    .await;
    assert_eq!(fetch("bob", &session).await["data"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn a_client_that_asks_for_pages_has_those_that_it_asks_beyond() {
    let server = server().await;
    let address = server.local_addr();
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    for id in 1..=5 {
        answer(&mut alice, keep(&id.to_string(), id)).await;
    }
    let mut bob = Client::connect(address, Wire::Vendor).await;
    bob.log_in_with("bob", |login| login.gateway_session = Some("a session".into())).await;
    let mut next = String::new();
    let mut texts = Vec::new();
    for left in [5, 3, 1, 0] {
        let body = format!(r#"{{"uid":"bob","sessId":"a session","appId":"{APP}","limit":2{next}}}"#);
        let json = post(address, "/arapi/v1/artmgw/getOfflineMsg", &body).await.json();
        texts.extend(json["data"].as_array().unwrap().iter().map(|message| message["msgBody"].clone()));
        next = json["next"].as_str().map(|next| format!(r#","after":"{next}""#)).unwrap_or_default();
        for _ in 0..5 {
            bob.send(ClientFrame::Ping).await;
            bob.next().await;
        }
        assert_eq!(server.store_stats().await.unwrap().offline_messages, left);
    }
    assert_eq!(texts, ["1", "2", "3", "4", "5"]);
    assert_eq!(next, "");
}

#[tokio::test]
async fn messages_in_an_answer_that_did_not_arrive_stay() {
    let server = server().await;
    let address = server.local_addr();
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    answer(&mut alice, keep("kept", 1)).await;
    let body = format!(r#"{{"appid":"{APP}","uid":"bob","token":"","wss":false}}"#);
    let session = post(address, GATEWAY, &body).await.json()["sessionid"].as_str().unwrap().to_owned();
    let mut bob = Client::connect(address, Wire::Vendor).await;
    bob.log_in_with("bob", |login| login.gateway_session = Some(session.as_str().into())).await;

    let path = "/arapi/v1/artmgw/getOfflineMsg";
    let body = format!(r#"{{"uid":"bob","sessId":"{session}","appId":"{APP}"}}"#);
    for _ in 0..3 {
        let mut lost = TcpStream::connect(address).await.unwrap();
        let len = body.len();
        let request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len}\r\n\r\n{body}");
        lost.write_all(request.as_bytes()).await.unwrap();
        // It is on its way, and then there is no connection any more.
        soon("an answer", lost.readable()).await.unwrap();
        lost.set_zero_linger().unwrap();
        drop(lost);
        soon("its end", async {
            while server.stats().connections > 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let json = post(address, path, &body).await.json();
    assert_eq!(json["data"][0]["msgBody"], "kept");
    bob.send(ClientFrame::Logout).await;
    soon("its removal", async {
        while server.store_stats().await.unwrap().offline_messages > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A backend that is out of order.
struct Broken;

impl Backend for Broken {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, rtm_server::BackendError>> {
        let answer = |Task { work, .. }| match work {
            StoreWork::Append { entry: LogEntry::Message(message), .. } => {
                assert_ne!(message.message.as_text(), Some("panic"), "out of order");
                Err(rtm_server::BackendError::new("write", "the disk is full"))
            }
            StoreWork::List { .. } => Ok(StoreAnswer::Values { values: vec![], more: false }),
            _ => Ok(StoreAnswer::Entries { entries: vec![], more: false, dropped_to: rtm_server::core::Place(0) }),
        };
        tasks.into_iter().map(answer).collect()
    }

    fn stats(&mut self) -> Result<BackendStats, rtm_server::BackendError> {
        Err(rtm_server::BackendError::new("read", "the disk is gone"))
    }
}

#[tokio::test]
async fn a_store_that_fails_refuses_what_it_cannot_keep_and_nothing_else() {
    let server = Server::builder().project(app_id()).backend(Broken).bind("127.0.0.1:0").await.unwrap();
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for (text, id) in [("fails", 1), ("panic", 2), ("fails", 3)] {
        let asked = alice.request(keep(text, id)).await;
        match alice.next().await {
            ServerFrame::Reply { id, result: Err(_) } => assert_eq!(id, asked),
            other => panic!("{text} was taken: {other:?}"),
        }
    }
    assert_eq!(server.store_stats().await, None);
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;
    assert!(server.stats().projects[&app_id()].store_failures >= 3);
}

/// A page of a history that cannot be read is an error of the call, on both wires, and of no other.
#[tokio::test]
async fn what_cannot_be_read_is_an_error_of_the_call_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Redb::open(directory.path()).unwrap();
    let app_id = app_id();
    let text = |peer: usize| format!("<{peer}>{}", "x".repeat(1_000));
    let peer = |n: usize| user(&format!("peer{n}"));
    let append = |log, n: usize| {
        let message = StoredMessage::new(
            MessageId(n as u64),
            user("alice"),
            RtmMessage::text(text(n)),
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
        );
        let work = StoreWork::Append { log, entry: LogEntry::Message(message), keep: None };
        Task { app_id: &app_id, work }
    };
    let mut tasks: Vec<_> =
        (0..40).map(|n| append(LogKey::History(Conversation::between(user("alice"), peer(n))), n)).collect();
    tasks.extend((0..40).map(|n| append(LogKey::Stored(peer(n)), n)));
    store.apply(tasks).into_iter().for_each(|answer| drop(answer.unwrap()));
    drop(store);
    let path = directory.path().join("rtm.redb");
    let mut file = std::fs::read(&path).unwrap();
    let lost = text(20);
    for page in file.chunks_mut(4096) {
        if page.windows(lost.len()).any(|window| window == lost.as_bytes()) {
            page.fill(0);
        }
    }
    std::fs::write(&path, file).unwrap();

    let server = server_at(directory.path()).await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for (n, is_whole) in [(20, false), (0, true), (20, false), (39, true)] {
        let query = QueryHistory {
            conversation: HistoryOf::Peer(peer(n)),
            from_ts: 0,
            until_ts: u64::MAX,
            after: None,
            limit: 100,
        };
        alice.request(query).await;
        match alice.next().await {
            ServerFrame::Reply { result: Ok(Answer::QueryHistory(page)), .. } => {
                assert!(is_whole && page.messages.len() == 1, "{n}");
            }
            ServerFrame::Reply { result: Err(refusal), .. } => {
                assert!(!is_whole && refusal.detail.contains("could not read the history"), "{n}: {refusal}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.store_stats().await.unwrap().damaged, 1);
    for (n, is_whole) in [(20, false), (0, true)] {
        let mut client = Client::connect(server.local_addr(), Wire::Vendor).await;
        let id = format!("peer{n}");
        client.log_in_with(&id, |login| login.gateway_session = Some("a session".into())).await;
        let body = format!(r#"{{"uid":"{id}","sessId":"a session","appId":"{APP}"}}"#);
        let json = post(server.local_addr(), "/arapi/v1/artmgw/getOfflineMsg", &body).await.json();
        assert_eq!(
            (json["code"] == 0, json["data"].as_array().map_or(0, Vec::len) == 1),
            (is_whole, is_whole),
            "{json}"
        );
    }
    assert_eq!(server.store_stats().await.unwrap().damaged, 2);
    server.shutdown().await;
}
