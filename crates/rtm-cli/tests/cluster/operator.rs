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

    async fn add(&mut self) -> usize {
        let port = free_ports(1)[0];
        self.admin.push(port);
        let (urls, admin) = (self.nodes.nats.urls(), format!("127.0.0.1:{port}"));
        self.nodes.add(&urls, &["--config", &self.config, "--admin", &admin]).await
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
