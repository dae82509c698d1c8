//! What an operator does at one node of a cluster, by its admin API.

use std::{fs, process::Command, time::Duration};

use rtm_client::{Client, ConnectionChangeReason, ErrorKind, RtmEvent, Wire};
use serde_json::Value;

use crate::{
    nats::free_ports,
    nodes::Nodes,
    users::{APP_ID, User},
};

/// Nodes with admin listeners, and a key for them.
pub(crate) struct Operated {
    pub(crate) nodes: Nodes,
    admin: Vec<u16>,
    config: String,
    key: String,
}

impl Operated {
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::start_with(nodes, "").await
    }

    /// The same with more in the configuration of each.
    pub(crate) async fn start_with(nodes: usize, more: &str) -> Self {
        let all = Nodes::new(1).await;
        let output = rtm(&["admin", "new-key", "--name", "support", "--role", "admin"]);
        let (key, config) = output.split_once('\n').unwrap();
        let path = all.nats.directory().join("admin.toml");
        fs::write(&path, format!("{config}\n{more}")).unwrap();
        let (config, key) = (path.to_str().unwrap().to_owned(), key.to_owned());
        let mut all = Self { nodes: all, admin: Vec::new(), config, key };
        for _ in 0..nodes {
            all.add().await;
        }
        all
    }

    /// Nodes have this in their configuration when they read it next.
    pub(crate) fn configure(&self, more: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        let head = text.split("[[project]]").next().unwrap();
        fs::write(&self.config, format!("{head}{more}")).unwrap();
    }

    async fn add(&mut self) -> usize {
        self.add_with(&[]).await
    }

    /// One more node, with more arguments.
    async fn add_with(&mut self, more: &[&str]) -> usize {
        let port = free_ports(1)[0];
        self.admin.push(port);
        let (urls, admin) = (self.nodes.nats.urls(), format!("127.0.0.1:{port}"));
        self.nodes.add(&urls, &[&["--config", &self.config, "--admin", &admin], more].concat()).await
    }

    /// The port of a node's admin listener.
    pub(crate) fn port(&self, node: usize) -> u16 {
        self.admin[node]
    }

    /// `rtm admin` at a node.
    pub(crate) fn admin(&self, node: usize, args: &[&str]) -> Value {
        serde_json::from_str(&self.admin_text(node, args)).unwrap()
    }

    /// The same of commands that do not print one value.
    pub(crate) fn admin_text(&self, node: usize, args: &[&str]) -> String {
        let url = format!("http://127.0.0.1:{}", self.admin[node]);
        let all = [&["admin", "--url", &url, "--key", &self.key, "--format", "json"], args].concat();
        rtm(&all)
    }

    /// What it says where it fails.
    pub(crate) fn admin_fault(&self, node: usize, args: &[&str]) -> Option<String> {
        let url = format!("http://127.0.0.1:{}", self.admin[node]);
        let command = [&["admin", "--url", &url, "--key", &self.key], args].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_rtm")).args(command).output().unwrap();
        (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
    }

    /// All of a list, read `limit` items at once: of each its node, and the value that it is named by.
    fn whole_list(&self, node: usize, args: &[&str], limit: usize, named_by: &str) -> Vec<[String; 2]> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let limit = limit.to_string();
            let go_on: Vec<_> = cursor.iter().flat_map(|cursor: &String| ["--cursor", cursor]).collect();
            let part = self.admin(node, &[args, &["--app-id", APP_ID, "--limit", &limit], &go_on].concat());
            let items = part["items"].as_array().unwrap();
            assert!(items.len() <= limit.parse().unwrap(), "{part}");
            all.extend(items.iter().map(|item| {
                [&item["node"], &item[named_by]].map(|value| value.as_str().unwrap_or_default().to_owned())
            }));
            assert!(all.len() < 100, "a list ends");
            cursor = match part["next"].as_str() {
                Some(next) => Some(next.to_owned()),
                None => return all,
            };
        }
    }

    async fn is_refused(&self, node: usize, user: &str) -> bool {
        let gateway = &self.nodes.gateways(&[node])[0];
        let (client, _events) = Client::builder().app_id(APP_ID).gateway(gateway).build().unwrap();
        let refused = client.login(user, None).await;
        refused.is_err_and(|error| error.kind() == ErrorKind::Banned)
    }
}

fn rtm(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rtm")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn is_sent_away(user: &mut User) {
    let is_end = |event: &RtmEvent| {
        matches!(event, RtmEvent::ConnectionStateChanged { reason: ConnectionChangeReason::BannedByServer, .. })
    };
    user.event("the end", is_end).await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_ban_at_one_node_holds_on_all_of_them_and_outlives_them() {
    let mut nodes = Operated::start(2).await;
    let mut alice = nodes.nodes.log_in(Wire::Native, "alice", &[1]).await;
    let mut bob = nodes.nodes.log_in(Wire::Vendor, "bob", &[0]).await;
    let of_alice = ["--app-id", APP_ID, "alice"];
    assert_eq!(nodes.admin(0, &[&["kick"], &of_alice[..]].concat())["done"], true);
    is_sent_away(&mut alice).await;
    let mut alice = nodes.nodes.log_in(Wire::Native, "alice", &[1]).await;
    let banned = nodes.admin(0, &[&["ban", "--until", "forever"], &of_alice[..]].concat());
    assert_eq!(banned["banned_until"], "forever");
    is_sent_away(&mut alice).await;
    nodes.admin(1, &["ban", "--for", "1h", "--app-id", APP_ID, "bob"]);
    is_sent_away(&mut bob).await;
    nodes.add().await;
    for node in 0..3 {
        for user in ["alice", "bob"] {
            assert!(nodes.is_refused(node, user).await, "{user} at node {node}");
        }
    }
    // All of them are gone, and the cluster begins anew.
    for node in 0..3 {
        nodes.nodes.stop(node, Duration::from_secs(30)).await;
    }
    let node = nodes.add().await;
    assert!(nodes.is_refused(node, "alice").await);
    let bans = nodes.admin(node, &["bans", "--app-id", APP_ID]);
    assert_eq!(bans["items"].as_array().unwrap().len(), 2, "{bans}");
    assert_eq!(nodes.admin(node, &[&["unban"], &of_alice[..]].concat())["done"], true);
    nodes.nodes.log_in(Wire::Native, "alice", &[node]).await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn lists_at_one_node_are_those_of_all_nodes() {
    let nodes = Operated::start(3).await;
    let users = ["alice", "bob", "carol", "dave", "erin"];
    let mut there = Vec::new();
    for (number, name) in users.into_iter().enumerate() {
        let wire = if number % 2 == 0 { Wire::Native } else { Wire::Vendor };
        let user = nodes.nodes.log_in(wire, name, &[number % 3]).await;
        user.client.channel("room").unwrap().join().await.unwrap();
        there.push(user);
    }
    let at = |number: usize| format!("node-{}", number % 3);
    let mut wanted: Vec<_> = users.into_iter().enumerate().map(|(number, name)| [at(number), name.into()]).collect();
    wanted.sort();
    for node in 0..3 {
        for limit in [1, 2, 100] {
            let mut sessions = nodes.whole_list(node, &["sessions"], limit, "user_id");
            sessions.sort();
            assert_eq!(sessions, wanted, "node {node}, {limit} at once");
        }
    }
    let sorted = nodes.admin(1, &["sessions", "--app-id", APP_ID, "--sort", "connected_ms", "--limit", "2"]);
    let oldest: Vec<_> = sorted["items"].as_array().unwrap().iter().map(|item| item["user_id"].as_str()).collect();
    assert_eq!(oldest, [Some("alice"), Some("bob")], "{sorted}");
    assert_eq!(sorted["next"], Value::Null);
    let rooms = nodes.whole_list(2, &["channels"], 100, "channel_id");
    assert_eq!(rooms, [0, 1, 2].map(|node| [at(node), "room".to_owned()]));
    for limit in ["1", "100"] {
        let (mut members, mut cursor) = (Vec::new(), None);
        loop {
            let go_on: Vec<_> = cursor.iter().flat_map(|cursor: &String| ["--cursor", cursor]).collect();
            let part =
                nodes.admin(1, &[&["members", "--app-id", APP_ID, "room", "--limit", limit], &go_on[..]].concat());
            members.extend(part["items"].as_array().unwrap().iter().map(|member| member.as_str().unwrap().to_owned()));
            match part["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        members.sort();
        assert_eq!(members, users);
    }
    // Every node has the attributes of a channel, and yet it stands where its members are.
    for name in ["pair", "empty"] {
        there[0].client.set_channel_attributes(name, [("topic", "rust")], Default::default()).await.unwrap();
    }
    there[1].client.channel("pair").unwrap().join().await.unwrap();
    for node in 0..3 {
        let rooms = nodes.whole_list(node, &["channels"], 100, "channel_id");
        assert_eq!(rooms.iter().filter(|[_, room]| room != "room").collect::<Vec<_>>(), [&[at(1), "pair".to_owned()]]);
        let counts = |room: &str| {
            let room = nodes.admin(node, &["channel", "--app-id", APP_ID, room]);
            [&room["members"], &room["members_elsewhere"], &room["attributes"]].map(|count| count.as_u64().unwrap())
        };
        assert_eq!((counts("pair"), counts("empty")), ([1, 0, 1], [0, 0, 1]), "asked of node {node}");
    }
    there[1].client.channel("pair").unwrap().leave().await.unwrap();
    // A user is found wherever it is, and so is the node's own list.
    for node in 0..3 {
        let bob = nodes.admin(node, &["user", "--app-id", APP_ID, "bob"]);
        assert_eq!((&bob["session"]["connected"], &bob["channels"][0]), (&true.into(), &"room".into()), "{bob}");
    }
    let of_one = nodes.admin(0, &["sessions", "--app-id", APP_ID, "--node", "node-2"]);
    assert_eq!(of_one["items"].as_array().unwrap().len(), 1, "{of_one}");
    assert_eq!(of_one["items"][0]["user_id"], "carol");
    assert_eq!(nodes.admin(0, &["cluster", "--node", "node-1"])["node"], "node-1");
    let level = ["log-level", "--node", "node-1", "debug"];
    assert_eq!(nodes.admin(2, &level)["level"], "debug");
    assert_eq!(nodes.admin(1, &["log-level"])["level"], "debug");
    assert_eq!(nodes.admin(1, &["audit"])["items"][0]["key"], "support", "the change is on record where it was made");
    let twice = ["closed", "--app-id", APP_ID, "--cursor", "node-0.,node-0."];
    assert!(nodes.admin_fault(0, &twice).unwrap().contains("not one of ours"), "each node stands once in a cursor");
    let unknown = nodes.admin_fault(0, &["sessions", "--app-id", APP_ID, "--node", "node-9"]).unwrap();
    assert!(unknown.contains("no node \"node-9\""), "{unknown}");

    // The last that went is the first in the list, wherever it was.
    for user in there.drain(..).take(4) {
        user.client.logout().await.unwrap();
    }
    for limit in [1, 3, 100] {
        let closed = nodes.whole_list(1, &["closed"], limit, "user_id");
        let gone: Vec<_> = closed.iter().map(|[_, user]| user.as_str()).filter(|user| users.contains(user)).collect();
        assert_eq!(gone[..4], ["dave", "carol", "bob", "alice"], "{limit} at once: {closed:?}");
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn lists_have_the_users_of_all_cores_of_all_nodes() {
    let mut nodes = Operated::start(1).await;
    nodes.add_with(&["--workers", "3"]).await;
    nodes.add_with(&["--workers", "2"]).await;
    let mut users = Vec::new();
    for number in 0..9 {
        let user = nodes.nodes.log_in(Wire::Native, &format!("user-{number}"), &[number % 3]).await;
        user.client.channel("room").unwrap().join().await.unwrap();
        users.push(user);
    }
    let mut wanted: Vec<_> = (0..9).map(|number| [format!("node-{}", number % 3), format!("user-{number}")]).collect();
    wanted.sort();
    for node in 0..3 {
        for limit in [1, 2, 100] {
            let mut sessions = nodes.whole_list(node, &["sessions"], limit, "user_id");
            sessions.sort();
            assert_eq!(sessions, wanted, "node {node}, {limit} at once");
            let rooms = nodes.whole_list(node, &["channels"], limit, "channel_id");
            assert_eq!(rooms, [0, 1, 2].map(|node| [format!("node-{node}"), "room".to_owned()]), "{limit} at once");
        }
        // Wherever its session is, and whatever its core.
        for (number, user) in users.iter().enumerate() {
            let shown = nodes.admin(node, &["user", "--app-id", APP_ID, &user.name]);
            let there = (&shown["node"], &shown["session"]["connected"], &shown["channels"][0]);
            assert_eq!(there, (&format!("node-{}", number % 3).into(), &true.into(), &"room".into()), "{shown}");
        }
    }
    let room = nodes.admin(1, &["channel", "--app-id", APP_ID, "room"]);
    assert_eq!((&room["members"], &room["members_elsewhere"]), (&3.into(), &6.into()), "{room}");
    for user in &users {
        user.client.logout().await.unwrap();
    }
    let gone: Vec<_> = users.iter().rev().map(|user| user.name.as_str()).collect();
    for _ in 0..100 {
        if nodes.whole_list(2, &["closed"], 100, "user_id").len() >= gone.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for limit in [1, 4, 100] {
        let closed = nodes.whole_list(2, &["closed"], limit, "user_id");
        let closed: Vec<_> = closed.iter().map(|[_, user]| user.as_str()).collect();
        assert_eq!(closed[..9], gone, "{limit} at once");
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_list_that_misses_a_node_says_so() {
    let nodes = Operated::start(2).await;
    let _alice = nodes.nodes.log_in(Wire::Native, "alice", &[0]).await;
    nodes.nodes.signal(1, "STOP");
    let sessions = ["sessions", "--app-id", APP_ID];
    let fault = nodes.admin_fault(0, &sessions).unwrap();
    assert!(fault.contains("the node node-1 does not answer"), "{fault}");
    // What nobody waits for any more is not done later.
    let fault = nodes.admin_fault(0, &["drain", "--node", "node-1"]).unwrap();
    assert!(fault.contains("the node node-1 does not answer"), "{fault}");
    let own = nodes.admin(0, &[&sessions[..], &["--node", "node-0"]].concat());
    assert_eq!(own["items"][0]["user_id"], "alice");
    nodes.nodes.signal(1, "CONT");
    // It may have to connect to NATS again, and to be let in.
    for _ in 0..300 {
        if nodes.admin_fault(0, &sessions).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(nodes.whole_list(0, &["sessions"], 100, "user_id"), [["node-0".to_owned(), "alice".to_owned()]]);
    assert_eq!(nodes.admin(0, &["drain", "--status", "--node", "node-1"])["draining"], false);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_node_without_keys_does_what_another_node_lets_its_keys_do() {
    let read = rtm(&["admin", "new-key", "--name", "grafana", "--role", "read"]);
    let (read, table) = read.split_once('\n').unwrap();
    let mut nodes = Operated::start_with(1, table).await;
    let urls = nodes.nodes.nats.urls();
    let silent = nodes.nodes.add(&urls, &[]).await;
    let _alice = nodes.nodes.log_in(Wire::Native, "alice", &[silent]).await;
    // The first node may not have heard of it yet.
    let sessions = ["sessions", "--app-id", APP_ID];
    let mut left = 100;
    while nodes.admin(0, &sessions)["items"].as_array().unwrap().is_empty() {
        left -= 1;
        assert!(left > 0, "the list lacks the node without keys");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(nodes.whole_list(0, &["sessions"], 100, "user_id"), [["node-1".to_owned(), "alice".to_owned()]]);
    assert_eq!(nodes.admin(0, &["server", "--node", "node-1"])["listen"].as_array().unwrap().len(), 1);

    // What a key may do, the node says that has it: also where the other one does not answer.
    let read = Operated { key: read.to_owned(), ..nodes };
    assert_eq!(read.whole_list(0, &["sessions"], 100, "user_id").len(), 1);
    read.nodes.signal(1, "STOP");
    let fault = read.admin_fault(0, &["drain", "--node", "node-1"]).unwrap();
    assert!(fault.contains("has the role read, and this needs admin"), "{fault}");
    read.nodes.signal(1, "CONT");
}
