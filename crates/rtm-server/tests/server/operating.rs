//! What operators change while the server runs, and what that does to those who go on reading.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rtm_codec::{ChannelId, JoinChannel, ServerFrame, Wire};
use rtm_server::{AdminKey, AdminRole, CallLimits, LogControl, Server, ServerBuilder, ServerConfig};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{APP, Client, app_id, http, soon};

/// A server whose configuration can be another one at the next reload.
struct World {
    server: Server,
    admin: SocketAddr,
    config: Arc<Mutex<ServerConfig>>,
    /// The text of a key that may do everything.
    root: String,
}

impl World {
    async fn start(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let (key, root) = AdminKey::generate("root", AdminRole::Admin).unwrap();
        let mut config = ServerConfig::default();
        config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.projects = vec![app_id().into()];
        config.projects[0].limits = CallLimits::unlimited();
        config.admin.keys = vec![key];
        change(&mut config);
        let next = Arc::new(Mutex::new(config.clone()));
        let source = Arc::clone(&next);
        let builder =
            ServerBuilder::from(config).config_source(move || Ok::<_, String>(source.lock().unwrap().clone()));
        let server = builder.start().await.unwrap();
        let admin = server.admin_addrs()[0];
        Self { server, admin, config: next, root }
    }

    async fn reload(&self, change: impl FnOnce(&mut ServerConfig)) {
        change(&mut self.config.lock().unwrap());
        self.server.reload().await.unwrap();
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let head = head(self.admin, method, path, &self.root);
        let length = body.len();
        let more = "Connection: close\r\nContent-Type: application/json\r\n";
        let answer = http(self.admin, format!("{head}{more}Content-Length: {length}\r\n\r\n{body}")).await;
        (answer.status, answer.json())
    }

    /// Opens a call that goes on.
    async fn open(&self, path: &str, key: &str, more: &str) -> Reader {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let head = head(self.admin, "GET", path, key);
        stream.write_all(format!("{head}Connection: close\r\n{more}\r\n").as_bytes()).await.unwrap();
        Reader { stream, read: String::new() }
    }
}

fn head(admin: SocketAddr, method: &str, path: &str, key: &str) -> String {
    format!("{method} /admin/v1{path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {key}\r\n")
}

/// What a call answers bit by bit.
struct Reader {
    stream: TcpStream,
    read: String,
}

impl Reader {
    async fn until(&mut self, what: &str) {
        while !self.read.contains(what) {
            assert!(self.more().await, "no {what} in {}", self.read);
        }
    }

    /// `false` at the end.
    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let length = soon("something to read", self.stream.read(&mut bytes)).await.unwrap_or(0);
        self.read.push_str(&String::from_utf8_lossy(&bytes[..length]));
        length > 0
    }

    async fn end(mut self) -> String {
        while self.more().await {}
        self.read
    }
}

const STREAM: &str = "Accept: text/event-stream\r\n";

#[tokio::test]
async fn a_reload_ends_what_those_read_whose_keys_are_gone_and_nothing_else() {
    let other = "f".repeat(32);
    let key = |name: &str| AdminKey::generate(name, AdminRole::Read).unwrap();
    let (mut gone, mut moved, mut more) = (key("gone"), key("moved"), key("more"));
    for (key, _) in [&mut moved, &mut more] {
        key.projects = Some(vec![app_id()]);
    }
    gone.0.role = AdminRole::Operate;
    let keys = [gone.0.clone(), moved.0.clone(), more.0.clone()];
    let world = World::start(|config| {
        config.projects.push(rtm_server::ProjectConfig::new(other.parse().unwrap()));
        config.admin.keys.extend(keys);
    })
    .await;
    let events = format!("/projects/{APP}/events?live=true");
    let waiting = format!("/projects/{APP}/events?live=true&wait=60s");
    let (_, before) = world.call("GET", &format!("/projects/{APP}/events?after=1000000"), "").await;
    assert_eq!(before["events"], json!([]));
    let mut ending = Vec::new();
    for (path, key) in
        [(&events, &gone.1), (&events, &moved.1), (&"/watch".to_owned(), &gone.1), (&"/watch".to_owned(), &moved.1)]
    {
        let mut reader = world.open(path, key, STREAM).await;
        reader.until("200 OK").await;
        ending.push(reader);
    }
    let mut staying = world.open(&events, &more.1, STREAM).await;
    staying.until("200 OK").await;
    let other_project = format!("/projects/{other}/events?live=true");
    let mut of_project = world.open(&other_project, &world.root, STREAM).await;
    of_project.until("200 OK").await;
    let long_poll = world.open(&waiting, &gone.1, "").await;
    // It is in its place when a further reload has nothing to do with it.
    world.reload(|config| config.drain_rate = 7).await;

    let mut keys = [moved.0.clone(), more.0.clone()];
    keys[0].projects = Some(vec![other.parse().unwrap()]);
    keys[1].projects = None;
    world
        .reload(|config| {
            config.admin.keys.truncate(1);
            config.admin.keys.extend(keys);
        })
        .await;
    for reader in ending {
        reader.end().await;
    }
    let refused = long_poll.end().await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    // Those that may go on do: also one whose key may do more now.
    Client::login(world.server.local_addr(), Wire::Native, "alice").await;
    staying.until("user.online").await;
    world.reload(|config| config.projects.truncate(1)).await;
    of_project.end().await;
}

#[tokio::test]
async fn call_limits_are_set_while_the_server_runs_and_a_reload_takes_them_back() {
    let world = World::start(|config| config.projects[0].limits = CallLimits::default()).await;
    let path = format!("/projects/{APP}/limits");
    let limit = |list: &Value, call: &str| {
        list["items"].as_array().unwrap().iter().find(|item| item["call"] == call).unwrap().clone()
    };
    let (status, list) = world.call("GET", &path, "").await;
    assert_eq!((status, list["items"].as_array().unwrap().len()), (200, 17), "{list}");
    assert_eq!(
        limit(&list, "get_members"),
        json!({ "call": "get_members", "limit": "5/2s", "configured": "5/2s", "source": "default", "from": null })
    );
    let mut alice = Client::login(world.server.local_addr(), Wire::Native, "alice").await;
    let mut joins = async |channel: &str| {
        let asked = alice.request(JoinChannel { channel_id: ChannelId::new(channel).unwrap() }).await;
        loop {
            if let ServerFrame::Reply { id, result } = alice.next().await
                && id == asked
            {
                return result.is_ok();
            }
        }
    };
    assert!(joins("one").await && joins("two").await);
    let (status, list) = world.call("PUT", &path, r#"{"limits":{"join_channel":"1/1h"}}"#).await;
    assert_eq!(status, 200, "{list}");
    let (_, list) = world.call("PUT", &path, r#"{"limits":{"query_history":"unlimited"}}"#).await;
    assert_eq!(
        (&limit(&list, "join_channel")["limit"], &limit(&list, "join_channel")["source"]),
        (&json!("1/1h"), &json!("operator")),
        "others stay as they are"
    );
    assert_eq!(limit(&list, "join_channel")["configured"], "50/3s");
    assert_eq!(limit(&list, "query_history")["limit"], "unlimited");
    assert!(!joins("three").await, "it made calls within this hour");
    let (_, audit) = world.call("GET", "/audit", "").await;
    assert_eq!(audit["items"][1]["action"], "set_limits");
    assert_eq!(audit["items"][1]["target"], format!("{APP} join_channel=1/1h"));
    let (_, list) = world.call("PUT", &path, r#"{"limits":{"join_channel":"configured"}}"#).await;
    assert_eq!(limit(&list, "join_channel")["limit"], "50/3s");
    assert!(joins("three").await);

    world.call("PUT", &path, r#"{"limits":{"join_channel":"1/1h"}}"#).await;
    assert!(!joins("four").await);
    world.reload(|_| {}).await;
    let (_, list) = world.call("GET", &path, "").await;
    assert!(list["items"].as_array().unwrap().iter().all(|item| item["source"] != "operator"), "{list}");
    assert!(joins("four").await);
    for (body, what) in [
        (r#"{"limits":{"nonsense":"1/1s"}}"#, "nonsense"),
        (r#"{"limits":{"join_channel":"fast"}}"#, "join_channel"),
        (r#"{"limits":{"join_channel":"0/1s"}}"#, "join_channel"),
        (r#"{"limits":{}}"#, "no call"),
        ("{}", "limits"),
    ] {
        let (status, answer) = world.call("PUT", &path, body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(what), "{body}: {answer}");
    }
    let nowhere = format!("/projects/{}/limits", "f".repeat(32));
    assert_eq!(world.call("PUT", &nowhere, r#"{"limits":{"join_channel":"1/1s"}}"#).await.0, 404);
}

#[tokio::test]
async fn a_level_that_the_configuration_does_not_name_any_more_is_the_default_again() {
    let levels = Arc::new(Mutex::new(Vec::new()));
    let set = Arc::clone(&levels);
    let control = LogControl::new("warn", move |level| {
        set.lock().unwrap().push(level.to_owned());
        Ok(())
    });
    let world = World::start(|config| {
        config.log.level = Some("warn".to_owned());
        config.admin.log = Some(control.with_default("info"));
    })
    .await;
    world.reload(|config| config.log.level = Some("debug".to_owned())).await;
    world.reload(|config| config.log.level = None).await;
    assert_eq!(*levels.lock().unwrap(), ["debug", "info"]);
    assert_eq!(world.call("GET", "/log", "").await.1["level"], "info");
    let reloaded = world.server.reload().await.unwrap();
    assert!(reloaded.changed.is_empty() && levels.lock().unwrap().len() == 2, "{reloaded:?}");
}

#[tokio::test]
async fn members_who_are_there_the_whole_time_are_in_the_parts_of_a_list() {
    let world = World::start(|_| {}).await;
    let mut members = Vec::new();
    for number in 0..6 {
        let mut member = Client::login(world.server.local_addr(), Wire::Native, &format!("m{number}")).await;
        member.request(JoinChannel { channel_id: ChannelId::new("big").unwrap() }).await;
        member.next().await;
        members.push(member);
    }
    let path = format!("/projects/{APP}/channels/big/members?limit=2");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for leaves in [0, 1, 2] {
        let (status, part) = world.call("GET", &format!("{path}{cursor}"), "").await;
        assert_eq!(status, 200, "{part}");
        seen.extend(part["items"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
        cursor = part["next"].as_str().map_or_else(|| "&cursor=".to_owned(), |next| format!("&cursor={next}"));
        // Each of them has been seen: who comes into its place has not.
        members[leaves].send(rtm_codec::ClientFrame::Logout).await;
        members[leaves].closed().await;
        soon("it is gone", async {
            let channel = format!("/projects/{APP}/channels/big");
            while world.call("GET", &channel, "").await.1["members"] != 5 - leaves {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(seen, ["m0", "m1", "m2", "m3", "m4", "m5"]);
    assert_eq!(cursor, "&cursor=", "nothing is left");
}

#[tokio::test]
async fn settings_go_on_behind_the_last_one_that_was_seen_whatever_a_reload_puts_before_it() {
    let world = World::start(|_| {}).await;
    let (_, part) = world.call("GET", "/config?limit=12", "").await;
    let next = part["next"].as_str().unwrap().to_owned();
    assert_eq!(part["items"][11]["key"], next);
    world.reload(|config| config.drain_time = Some(Duration::from_secs(9))).await;
    let (_, all) = world.call("GET", "/config?limit=1000", "").await;
    let all = all["items"].as_array().unwrap();
    let at = all.iter().position(|item| item["key"] == next).unwrap();
    let (_, rest) = world.call("GET", &format!("/config?limit=1000&cursor={next}"), "").await;
    assert_eq!(rest["items"].as_array().unwrap()[..], all[at + 1..]);
    assert_eq!(rest["next"], Value::Null);
    assert_eq!(world.call("GET", "/config?cursor=nonsense", "").await.0, 400);
}

#[tokio::test]
async fn whoever_asks_after_a_drain_was_asked_for_learns_of_it() {
    let world = World::start(|_| {}).await;
    let (status, answer) = world.call("POST", "/drain", "").await;
    assert_eq!((status, &answer["draining"]), (200, &json!(true)));
    // The program that runs the server has done nothing yet.
    assert_eq!(world.call("GET", "/drain", "").await.1["draining"], true);
    let ready =
        http(world.admin, format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", world.admin));
    assert_eq!(ready.await.status, 503);
}

#[cfg(feature = "rest")]
#[tokio::test]
async fn a_history_is_read_in_parts_while_more_is_said() {
    let world = World::start(|_| {}).await;
    let say = async |text: String| {
        let body = json!({ "from": "support", "text": text, "history": true }).to_string();
        let (status, answer) = world.call("POST", &format!("/projects/{APP}/channels/room/messages"), &body).await;
        assert_eq!(status, 200, "{answer}");
    };
    for number in 0..7 {
        say(format!("m{number}")).await;
    }
    let before: Vec<_> = (0..7).map(|number| format!("m{number}")).collect();
    for newest_first in [true, false] {
        let path = format!("/projects/{APP}/channels/room/history?limit=2&newest_first={newest_first}");
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for part in 0..8 {
            let (status, list) = world.call("GET", &format!("{path}{cursor}"), "").await;
            assert_eq!(status, 200, "{list}");
            seen.extend(list["items"].as_array().unwrap().iter().map(|item| item["text"].as_str().unwrap().to_owned()));
            let Some(next) = list["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
            if part < 2 {
                say(format!("new-{newest_first}-{part}")).await;
            }
        }
        if newest_first {
            seen.reverse();
        }
        assert_eq!(seen[..7], before, "newest first: {newest_first}");
        assert_eq!(seen.len(), if newest_first { 7 } else { 11 }, "{seen:?}");
    }
    for cursor in ["7", "a-b-c", "1-2-3-4", ""] {
        let path = format!("/projects/{APP}/channels/room/history?cursor={cursor}");
        assert_eq!(world.call("GET", &path, "").await.0, 400, "{cursor}");
    }
}
