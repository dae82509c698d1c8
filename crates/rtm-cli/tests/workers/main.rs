//! `rtm serve --workers`: one server whose projects have several cores, from outside.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

#[path = "../users/mod.rs"]
mod users;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rtm_client::{
    ChannelAttributeOptions, ConnectionChangeReason, HistoryQuery, RtmEvent, SendChannelMessageOptions,
    SendMessageOptions, Wire,
};
use rtm_server::core::cluster::partition;
use serde_json::Value;

use crate::users::{APP_ID, User, is_text, log_in, meet, soon};

/// A server as a process. Killed when it is dropped.
struct Server {
    child: Child,
    gateways: [String; 1],
    admin: Option<String>,
}

impl Server {
    fn start(workers: u16, data_dir: Option<&Path>) -> Self {
        Self::start_with(workers, data_dir, &[])
    }

    fn start_with(workers: u16, data_dir: Option<&Path>, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--project", APP_ID, "--no-limits"]);
        command.args(["--workers", &workers.to_string()]).args(more);
        if let Some(data_dir) = data_dir {
            command.arg("--data-dir").arg(data_dir);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |what: &str| {
            let line = lines.next().unwrap().unwrap();
            format!("http://{}", line.strip_prefix(what).unwrap_or_else(|| panic!("{line}")))
        };
        let gateways = [address("listening on ")];
        let admin = more.contains(&"--admin").then(|| address("admin on "));
        Self { child, gateways, admin }
    }

    /// `rtm admin` on the project.
    fn admin(&self, key: &str, args: &[&str]) -> Value {
        let url = self.admin.as_deref().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
        command.args(["admin", "--url", url, "--key", key, "--format", "json"]).args(args).env("RTM_APP_ID", APP_ID);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// All of a list, read `limit` items at once.
    fn whole_list(&self, key: &str, args: &[&str], limit: usize) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let limit = limit.to_string();
            let go_on: Vec<_> = cursor.iter().flat_map(|cursor: &String| ["--cursor", cursor]).collect();
            let part = self.admin(key, &[args, &["--limit", &limit], &go_on].concat());
            all.extend(part["items"].as_array().unwrap().clone());
            assert!(all.len() < 100, "a list ends");
            match part["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return all,
            }
        }
    }

    async fn log_in(&self, wire: Wire, name: &str) -> User {
        log_in(wire, name, &self.gateways).await
    }

    /// It is told to end, and ends well.
    fn stop(mut self) {
        let sent = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Names of users of whom no two have the same of so many cores.
fn names(workers: u16) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let names = (0..).map(|number| format!("user-{number}"));
    names.filter(|name| taken.insert(partition(APP_ID, name) % workers)).take(usize::from(workers)).collect()
}

#[tokio::test]
async fn users_of_different_cores_are_with_each_other() {
    let server = Server::start(4, None);
    let mut users = Vec::new();
    for (name, wire) in names(4).iter().zip([Wire::Native, Wire::Vendor, Wire::Native, Wire::Vendor]) {
        users.push(server.log_in(wire, name).await);
    }
    meet(&mut users).await;
    server.stop();
}

#[tokio::test]
async fn a_second_login_ends_the_first_session() {
    let server = Server::start(3, None);
    let [alice, bob, _] = &names(3)[..] else { panic!("three names") };
    for wire in [Wire::Native, Wire::Vendor] {
        let mut first = server.log_in(wire, alice).await;
        let mut second = server.log_in(wire, alice).await;
        let is_end = |event: &RtmEvent| {
            matches!(event, RtmEvent::ConnectionStateChanged { reason: ConnectionChangeReason::RemoteLogin, .. })
        };
        first.event("the end", is_end).await;
        server.log_in(wire, bob).await.tells(&mut second, "to the second").await;
    }
}

#[tokio::test]
async fn what_is_stored_is_there_after_a_restart_with_another_number_of_cores() {
    let directory = tempfile::tempdir().unwrap();
    let [alice, bob, carol] = &names(3)[..] else { panic!("three names") };
    let server = Server::start(3, Some(directory.path()));
    for wire in [Wire::Native, Wire::Vendor] {
        let sender = server.log_in(wire, alice).await.client;
        let offline = SendMessageOptions::new().enable_offline_messaging(true).enable_historical_messaging(true);
        let text = format!("stored by {wire:?}");
        let sent = soon("sending", sender.send_message_to_peer_with(bob, text.as_str(), offline)).await.unwrap();
        assert!(!sent.has_peer_received(), "{sent:?}");
        let room = sender.channel("room").unwrap();
        soon("joining", room.join()).await.unwrap();
        let historical = SendChannelMessageOptions::new().enable_historical_messaging(true);
        soon("sending", room.send_message_with(text.as_str(), historical)).await.unwrap();
        let attributes = [("writer", format!("{wire:?}"))];
        soon("setting", room.set_attributes(attributes, ChannelAttributeOptions::new())).await.unwrap();
        // Reads are of this core's own memory, and yet never behind what was answered.
        let reader = server.log_in(Wire::Native, carol).await.client;
        let read = soon("reading", reader.channel_attributes("room")).await.unwrap();
        assert_eq!(read.attributes["writer"].value.as_str(), format!("{wire:?}"));
        soon("logging out", reader.logout()).await.unwrap();
        soon("logging out", sender.logout()).await.unwrap();
    }
    server.stop();

    for workers in [1, 4] {
        let server = Server::start(workers, Some(directory.path()));
        for wire in [Wire::Native, Wire::Vendor] {
            let reader = server.log_in(wire, carol).await.client;
            soon("joining", reader.channel("room").unwrap().join()).await.unwrap();
            let page = soon("reading", reader.query_channel_history("room", HistoryQuery::new())).await.unwrap();
            let texts: Vec<_> = page.messages.iter().map(|kept| kept.message.as_text().unwrap().to_owned()).collect();
            assert_eq!(texts, ["stored by Native", "stored by Vendor"], "{workers} cores, {wire:?}");
            let read = soon("reading", reader.channel_attributes("room")).await.unwrap();
            assert_eq!(read.attributes["writer"].value.as_str(), "Vendor");
            soon("logging out", reader.logout()).await.unwrap();
        }
        if workers == 4 {
            let mut receiver = server.log_in(Wire::Vendor, bob).await;
            for text in ["stored by Native", "stored by Vendor"] {
                receiver.event(text, |event| is_text(event, alice, text)).await;
            }
        }
        server.stop();
    }
}

#[tokio::test]
async fn an_operator_sees_the_users_of_all_cores() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("admin.toml");
    let mut new_key = Command::new(env!("CARGO_BIN_EXE_rtm"));
    new_key.args(["admin", "new-key", "--name", "support", "--role", "admin"]);
    let made = String::from_utf8(new_key.output().unwrap().stdout).unwrap();
    let (key, table) = made.split_once('\n').unwrap();
    fs::write(&config, table).unwrap();
    let server = Server::start_with(4, None, &["--config", config.to_str().unwrap(), "--admin", "127.0.0.1:0"]);
    let mut users = Vec::new();
    for (name, wire) in names(4).iter().zip([Wire::Native, Wire::Vendor, Wire::Native, Wire::Vendor]) {
        users.push(server.log_in(wire, name).await);
    }
    let user_names: BTreeSet<_> = names(4).into_iter().collect();
    for from in 0..4 {
        let [sender, receiver] = users.get_disjoint_mut([from, (from + 1) % 4]).unwrap();
        sender.tells(receiver, "hello").await;
    }
    for user in &users {
        soon("joining", user.client.channel("room").unwrap().join()).await.unwrap();
    }
    // Each core keeps the attributes of each channel, and some have members of it.
    let lobby = users[2].client.channel("lobby").unwrap();
    soon("joining", lobby.join()).await.unwrap();
    let set = lobby.set_attributes([("topic", "news")], ChannelAttributeOptions::new());
    soon("setting", set).await.unwrap();

    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for limit in [1, 3, 100] {
        let sessions = server.whole_list(key, &["sessions"], limit);
        let of = sessions.iter().map(|session| text(&session["user_id"]));
        assert_eq!((of.collect::<BTreeSet<_>>(), sessions.len()), (user_names.clone(), 4), "{limit} at once");
        let members = server.whole_list(key, &["members", "room"], limit);
        assert_eq!((members.iter().map(text).collect::<BTreeSet<_>>(), members.len()), (user_names.clone(), 4));
        let mut channels = server.whole_list(key, &["channels"], limit);
        channels.sort_by_key(|channel| text(&channel["channel_id"]));
        let [lobby, room] = &channels[..] else { panic!("{channels:?}") };
        assert_eq!(
            (&lobby["channel_id"], &lobby["members"], &lobby["attributes"]),
            (&"lobby".into(), &1.into(), &1.into())
        );
        assert_eq!(
            (&room["channel_id"], &room["members"], &room["members_elsewhere"]),
            (&"room".into(), &4.into(), &0.into())
        );
    }
    let sorted = server.admin(key, &["sessions", "--sort", "connected_ms", "--limit", "2"]);
    let oldest: Vec<_> = sorted["items"].as_array().unwrap().iter().map(|one| text(&one["user_id"])).collect();
    assert_eq!(oldest, names(4)[..2]);
    let lobby = server.admin(key, &["channel", "lobby"]);
    assert_eq!((&lobby["members"], &lobby["attribute_values"][0]["value"]), (&1.into(), &"news".into()));
    for name in &user_names {
        assert_eq!(server.admin(key, &["user", name])["session"]["connected"], true, "{name}");
    }
    let projects = server.admin(key, &["projects"]);
    let project = &projects["items"][0];
    assert_eq!(projects["items"].as_array().unwrap().len(), 1, "{projects}");
    for (name, count) in [("connections", 4), ("sessions", 4), ("users_online", 4), ("peer_messages", 4)] {
        assert_eq!(project[name], count, "{name}: {project}");
    }

    // The last that went is the first in the list, whatever core it was on.
    for user in &users {
        soon("logging out", user.client.logout()).await.unwrap();
    }
    let gone: Vec<_> = names(4).into_iter().rev().collect();
    soon("the last end", async {
        while server.whole_list(key, &["closed"], 100).len() < gone.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for limit in [1, 3, 100] {
        let closed = server.whole_list(key, &["closed"], limit);
        assert_eq!(closed.iter().map(|one| text(&one["user_id"])).collect::<Vec<_>>(), gone, "{limit} at once");
    }
    server.stop();
}

#[test]
fn a_number_of_cores_that_cannot_be_is_refused() {
    for workers in ["0", "65", "x"] {
        let args = ["serve", "--listen", "127.0.0.1:0", "--project", APP_ID, "--check-config", "--workers", workers];
        let output = Command::new(env!("CARGO_BIN_EXE_rtm")).args(args).output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("workers"), "{text}");
    }
}
