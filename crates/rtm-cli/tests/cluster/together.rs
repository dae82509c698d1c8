//! What users do who are on different nodes.

use std::time::Duration;

use rtm_client::{ConnectionChangeReason, RtmEvent, Wire};
use serde_json::Value;

use crate::nodes::{APP_ID, Nodes, is_text, soon};

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn users_on_three_nodes_are_with_each_other() {
    let nodes = Nodes::start(3, 3).await;
    let mut users = Vec::new();
    for (at, wire) in [(0, Wire::Native), (1, Wire::Vendor), (2, Wire::Native), (0, Wire::Vendor)] {
        users.push(nodes.log_in(wire, &format!("user-{}", users.len()), &[at]).await);
    }
    for from in 0..users.len() {
        for to in (0..users.len()).filter(|to| *to != from) {
            let [sender, receiver] = users.get_disjoint_mut([from, to]).unwrap();
            sender.tells(receiver, &format!("from {from} to {to}")).await;
        }
    }

    let mut channels = Vec::new();
    for user in &users {
        let channel = user.client.channel("room").unwrap();
        soon("joining", channel.join()).await.unwrap();
        channels.push(channel);
    }
    for (from, channel) in channels.iter().enumerate() {
        let text = format!("all, from {from}");
        soon("sending", channel.send_message(text.as_str())).await.unwrap();
        let sender = users[from].name.clone();
        for user in users.iter_mut().filter(|user| user.name != sender) {
            user.event(&text, |event| is_text(event, &sender, &text)).await;
        }
        let mut members = soon("asking", channel.members()).await.unwrap();
        members.sort();
        assert_eq!(members, ["user-0", "user-1", "user-2", "user-3"]);
    }

    let watcher = &mut users[1];
    soon("watching", watcher.client.subscribe_peers_online_status(["user-2"])).await.unwrap();
    drop(channels);
    soon("leaving", users[2].client.logout()).await.unwrap();
    let left =
        |event: &RtmEvent| matches!(event, RtmEvent::MemberLeft { member_id, .. } if member_id.as_str() == "user-2");
    users[0].event("a member that left", left).await;
    users[1].event("a state", |event| matches!(event, RtmEvent::PeersOnlineStatusChanged { .. })).await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_second_login_elsewhere_ends_the_first_session() {
    let nodes = Nodes::start(1, 2).await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut first = nodes.log_in(wire, "alice", &[0]).await;
        let mut second = nodes.log_in(wire, "alice", &[1]).await;
        first
            .event("the end", |event| {
                matches!(event, RtmEvent::ConnectionStateChanged { reason: ConnectionChangeReason::RemoteLogin, .. })
            })
            .await;
        let bob = nodes.log_in(wire, "bob", &[0]).await;
        bob.tells(&mut second, "to the second").await;
    }
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn an_operator_sees_nodes_users_and_channels() {
    let nodes = Nodes::start(1, 2).await;
    let _alice = nodes.log_in(Wire::Native, "alice", &[1]).await;
    // Nodes say every two seconds how many sessions they have.
    let mut sessions = Vec::new();
    for _ in 0..50 {
        let output = nodes.cluster(&["status", "--format", "json"]);
        assert!(output.status.success(), "{output:?}");
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = status["nodes"].as_array().unwrap();
        assert_eq!(all.iter().map(|node| node["node"].as_str().unwrap()).collect::<Vec<_>>(), ["node-0", "node-1"]);
        assert!(all.iter().all(|node| node["state"] == "member" && node["lease_age_ms"].as_u64().unwrap() < 4000));
        assert!(status["epoch"].as_u64().unwrap() >= 2);
        sessions = all.iter().map(|node| node["sessions"].as_u64()).collect();
        if sessions == [Some(0), Some(1)] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sessions, [Some(0), Some(1)]);

    let find = |what: [&str; 2]| -> Value {
        let output = nodes.cluster(&["where", "--app-id", APP_ID, what[0], what[1]]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let alice = find(["--user", "alice"]);
    assert_eq!(alice["edge"], "node-1");
    assert!(alice["home"].as_str().unwrap().starts_with("node-"));
    assert_eq!(find(["--user", "nobody"])["edge"], Value::Null);
    let room = find(["--channel", "room"]);
    assert_eq!(room["edge"], Value::Null);
    assert!(room["home"].as_str().unwrap().starts_with("node-"));
}
