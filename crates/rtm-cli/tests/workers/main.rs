//! `rtm serve --workers`: one server whose projects have several cores, from outside.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

#[path = "../users/mod.rs"]
mod users;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rtm_client::{
    ChannelAttributeOptions, ConnectionChangeReason, HistoryQuery, RtmEvent, SendChannelMessageOptions,
    SendMessageOptions, Wire,
};
use rtm_server::core::cluster::partition;

use crate::users::{APP_ID, User, is_text, log_in, meet, soon};

/// A server as a process. Killed when it is dropped.
struct Server {
    child: Child,
    gateways: [String; 1],
}

impl Server {
    fn start(workers: u16, data_dir: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtm"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--project", APP_ID, "--no-limits"]);
        command.args(["--workers", &workers.to_string()]);
        if let Some(data_dir) = data_dir {
            command.arg("--data-dir").arg(data_dir);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        Self { child, gateways: [format!("http://{address}")] }
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
