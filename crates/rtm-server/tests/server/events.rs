//! The log of events from outside: over the admin API as pages and as a stream, over the REST API, and after a kill.

use std::{net::SocketAddr, ops::ControlFlow, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rtm_codec::{
    ChannelId, ClientFrame, Command, JoinChannel, MessageId, RtmMessage, SendMessageToPeer, ServerFrame, Wire,
};
use rtm_server::{
    AdminKey, AdminRole, Redb, RestKey, Server, StoreRecord,
    core::{EventType, EventTypes, EventValue, LogEntry, LoggedEvent},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_blocking,
};

use crate::support::{APP, Client, Process, http, server_with, soon, user};

/// A server with the admin API and the REST API. Gives the texts of a key that may read, and of one of another project.
async fn with_readers() -> (Server, SocketAddr, [String; 2]) {
    let read = AdminKey::generate("reader", AdminRole::Read).unwrap();
    let mut other = AdminKey::generate("other", AdminRole::Admin).unwrap();
    other.0.projects = Some(vec!["f".repeat(32).parse().unwrap()]);
    let texts = [read.1, other.1];
    let server = server_with(|config| {
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.admin.keys = vec![read.0, other.0];
        let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        config.projects[0].rest.keys = vec![RestKey::new("back-end", sha256).unwrap()];
        config.projects[0].events.types = EventTypes::usual().with(EventType::PeerMessage);
    })
    .await;
    let admin = server.admin_addrs()[0];
    (server, admin, texts)
}

fn request(admin: SocketAddr, key: &str, query: &str, headers: &str) -> String {
    format!(
        "GET /admin/v1/projects/{APP}/events{query} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {key}\r\n\
         Connection: close\r\n{headers}\r\n"
    )
}

async fn read(admin: SocketAddr, key: &str, query: &str) -> (u16, Value) {
    let answer = http(admin, request(admin, key, query, "")).await;
    (answer.status, answer.json())
}

fn types(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect()
}

async fn join(client: &mut Client, channel: &str) {
    done(client, JoinChannel { channel_id: ChannelId::new(channel).unwrap() }).await;
}

/// Has a message stored.
async fn store_for(client: &mut Client, receiver: &str) {
    let message = SendMessageToPeer {
        message_id: MessageId(1),
        peer_id: user(receiver),
        message: RtmMessage::text("later"),
        enable_offline_messaging: true,
        enable_historical_messaging: false,
    };
    done(client, message).await;
}

/// Calls, and waits for the answer.
async fn done(client: &mut Client, command: impl Into<Command>) {
    let asked = client.request(command).await;
    loop {
        if let ServerFrame::Reply { id, result } = client.next().await
            && id == asked
        {
            result.unwrap();
            return;
        }
    }
}

#[tokio::test]
async fn events_are_read_behind_a_number_by_type_and_as_they_come() {
    let (server, admin, [key, other]) = with_readers().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let mut bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    join(&mut alice, "room").await;
    alice.talks_with("alice", &mut bob, "bob").await;
    let (status, all) = read(admin, &key, "").await;
    assert_eq!(status, 200, "{all}");
    let first = ["server.started", "session.started", "user.online", "session.started", "user.online"];
    assert_eq!(types(&all)[..5], first);
    assert_eq!(types(&all)[5..7], ["channel.occupied", "channel.member_joined"]);
    assert_eq!(types(&all)[7..], ["message.peer", "message.peer"]);
    let joined = &all["events"][6];
    assert_eq!((&joined["app_id"], &joined["data"]["user_id"]), (&APP.into(), &"alice".into()));
    let time = joined["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    assert_eq!(all["next"], all["events"][8]["seq"]);

    // Pages, and types.
    let (_, page) = read(admin, &key, "?limit=2").await;
    assert_eq!(types(&page), first[..2]);
    let (_, page) = read(admin, &key, &format!("?limit=2&after={}", page["next"])).await;
    assert_eq!(types(&page), first[2..4]);
    let (_, page) = read(admin, &key, "?types=channel.*,user.online").await;
    assert_eq!(types(&page), ["user.online", "user.online", "channel.occupied", "channel.member_joined"]);
    assert_eq!(page["next"], all["next"], "what is left out is read all the same");

    // Who waits is answered when something comes.
    let behind = format!("?types=user.*&wait=30s&after={}", all["next"]);
    let waiting = http(admin, request(admin, &key, &behind, ""));
    let waiting = tokio::spawn(waiting);
    alice.send(ClientFrame::Logout).await;
    let answer = soon("an event", waiting).await.unwrap().json();
    assert_eq!(types(&answer), ["user.offline"]);
    assert_eq!(answer["events"][0]["data"]["reason"], "logout");
    let (_, nothing) = read(admin, &key, &format!("?wait=0s&after={}", u32::MAX)).await;
    assert_eq!((types(&nothing).len(), &nothing["next"]), (0, &u32::MAX.into()));

    let (_, refused) = read(admin, &key, "?types=user.online,chanel.*").await;
    let said = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(said.contains(r#""chanel.*" (did you mean "channel.*"?): there are server.started, "#), "{refused}");
    for (key, query, status) in [
        (&key, "?types=nonsense", 400),
        (&key, "?wait=long", 400),
        (&key, "?after=-1", 400),
        (&other, "", 404),
        (&"rtm_admin_nobody".to_owned(), "", 401),
    ] {
        assert_eq!(read(admin, key, query).await.0, status, "{query}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_event_that_its_reader_had() {
    let (server, admin, [key, _]) = with_readers().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let mut stream = Stream::open(admin, &key, "").await;
    assert_eq!(stream.next().await.0, "server.started");
    assert_eq!(stream.next().await.0, "session.started");
    let (kind, id, data) = stream.next().await;
    assert_eq!((kind.as_str(), &data["data"]["user_id"], &data["seq"]), ("user.online", &"alice".into(), &id.into()));
    drop(stream);
    join(&mut alice, "room").await;
    let mut stream = Stream::open(admin, &key, &format!("Last-Event-ID: {id}\r\n")).await;
    assert_eq!(stream.next().await.0, "channel.occupied");
    assert_eq!(stream.next().await.0, "channel.member_joined");
    alice.send(ClientFrame::Logout).await;
    assert_eq!(stream.next().await.0, "channel.member_left");
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_says_how_far_it_is_without_an_event_that_its_reader_wants() {
    let (server, admin, [key, _]) = with_readers().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let wait_for = async |event_type: &str| {
        let (_, page) = read(admin, &key, &format!("?types={event_type}&wait=30s")).await;
        (page["events"][0]["seq"].as_u64().unwrap(), page["next"].as_u64().unwrap())
    };
    let (_, last) = wait_for("user.online").await;
    let query = "?live=true&types=user.offline";
    // The connection breaks before the first event, and then that comes.
    assert_eq!(Stream::of(admin, &key, query, "").await.place().await, last);
    alice.send(ClientFrame::Logout).await;
    let (_, end) = wait_for("session.ended").await;
    let mut stream = Stream::of(admin, &key, query, &format!("Last-Event-ID: {last}\r\n")).await;
    assert_eq!(stream.place().await, last);
    let (kind, id, _) = stream.next().await;
    assert_eq!((kind.as_str(), id), ("user.offline", wait_for("user.offline").await.0));
    assert_eq!(stream.place().await, end, "the end of the session is read too");
    server.shutdown().await;
}

#[tokio::test]
async fn back_ends_take_events_as_the_vendor_gives_them() {
    let (server, _, _) = with_readers().await;
    let address = server.local_addr();
    let mut alice = Client::login(address, Wire::Vendor, "alice").await;
    join(&mut alice, "room").await;
    alice.send(ClientFrame::Logout).await;
    let take = async |path: &str| {
        let basic = STANDARD.encode("back-end:secret");
        let request = format!(
            "GET /dev/v2/project/{APP}/rtm/{path} HTTP/1.1\r\nHost: rtm\r\nAuthorization: Basic {basic}\r\n\
             Connection: close\r\n\r\n"
        );
        http(address, request).await.json()
    };
    let mut users = Vec::new();
    soon("both events", async {
        while users.len() < 2 {
            users.extend(take("vendor/user_events").await["events"].as_array().unwrap().clone());
        }
    })
    .await;
    assert_eq!(users[0]["type"], "Login");
    assert_eq!((&users[1]["type"], &users[1]["user_id"]), (&"Logout".into(), &"alice".into()));
    assert_eq!(users[1]["ms"], users[1]["ts"]);
    let channels = take("hook/channel_events").await;
    assert_eq!(channels["result"], "success");
    assert_eq!(channels["events"][0]["channel_id"], "room");
    assert_eq!(channels["events"][0]["group_id"], "room");
    assert_eq!((&channels["events"][0]["type"], &channels["events"][1]["type"]), (&"Join".into(), &"Leave".into()));
    assert_eq!(take("vendor/channel_events").await["events"], Value::Array(vec![]), "each is given once");
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_that_was_killed_writes_what_ended_with_it_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let start = || {
        let path = path.clone();
        spawn_blocking(move || Process::start(":", Some(&path)))
    };
    let (process, address) = start().await.unwrap();
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    join(&mut alice, "room").await;
    let _bob = Client::login(address, Wire::Native, "bob").await;
    // The store does things in order: what came before this is on the disk.
    store_for(&mut alice, "carol").await;
    spawn_blocking(|| process.kill()).await.unwrap();
    for _ in 0..2 {
        let (process, address) = start().await.unwrap();
        let mut carol = Client::login(address, Wire::Native, "carol").await;
        store_for(&mut carol, "dora").await;
        spawn_blocking(|| process.kill()).await.unwrap();
    }
    let all = spawn_blocking(move || lines(&path)).await.unwrap();
    let starts: Vec<_> =
        all.iter().enumerate().filter(|(_, line)| *line == "server.started").map(|(at, _)| at).collect();
    assert_eq!(starts.len(), 3, "{all:?}");
    let ends = [
        "channel.member_left alice",
        "channel.vacated",
        "user.offline alice server_restart",
        "session.ended alice server_restart",
        "user.offline bob server_restart",
        "session.ended bob server_restart",
        "server.started",
    ];
    assert_eq!(all[starts[1] + 1 - ends.len()..=starts[1]], ends);
    for user in ["alice", "bob"] {
        for what in ["session.started", "user.online", "user.offline", "session.ended"] {
            let count = all.iter().filter(|line| line.starts_with(&format!("{what} {user}"))).count();
            assert_eq!(count, 1, "{what} of {user} in {all:?}");
        }
    }
    let carol = all.iter().filter(|line| line.starts_with("session.ended carol")).count();
    assert_eq!(carol, 1, "the third run's own is ended by the next: {all:?}");
}

/// The events that a store has, one in a line, with users and reasons.
fn lines(directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let visit = |record: Result<StoreRecord, _>| {
        if let StoreRecord::Entry { entry: LogEntry::Event(LoggedEvent { event, .. }), .. } = record.unwrap() {
            let mut line = event.event_type().name().to_owned();
            for (name, value) in event.data() {
                if let (EventValue::Text(text), "user_id" | "reason") = (value, name) {
                    line.push_str(&format!(" {text}"));
                }
            }
            all.push(line);
        }
        ControlFlow::Continue(())
    };
    Redb::open_existing(directory).unwrap().records(visit).unwrap();
    all
}

/// Server-sent events.
struct Stream {
    stream: TcpStream,
    read: String,
}

impl Stream {
    async fn open(admin: SocketAddr, key: &str, headers: &str) -> Self {
        Self::of(admin, key, "", headers).await
    }

    /// One of what a query asks for.
    async fn of(admin: SocketAddr, key: &str, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let request = request(admin, key, query, &format!("Accept: text/event-stream\r\n{headers}"));
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, read: String::new() }
    }

    /// The type of the next event, its id and its data.
    async fn next(&mut self) -> (String, u64, Value) {
        loop {
            if let [Some(kind), Some(id), Some(data)] = self.fields(["event: ", "id: ", "data: "]).await {
                return (kind, id.parse().unwrap(), serde_json::from_str(&data).unwrap());
            }
        }
    }

    /// How far the stream says that it is, next and without an event.
    async fn place(&mut self) -> u64 {
        loop {
            match self.fields(["id: ", "event: ", "data: "]).await {
                [Some(id), None, None] => return id.parse().unwrap(),
                [_, None, None] => {}
                event => panic!("{event:?}"),
            }
        }
    }

    /// What comes next, field by field.
    async fn fields<const N: usize>(&mut self, names: [&str; N]) -> [Option<String>; N] {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let event: String = self.read.drain(..end + 2).collect();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                return names.map(field);
            }
            let mut bytes = [0; 4096];
            let len = soon("an event", self.stream.read(&mut bytes)).await.unwrap();
            assert_ne!(len, 0, "the stream ended: {}", self.read);
            self.read.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
        }
    }
}
