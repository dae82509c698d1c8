//! What users do who are on different nodes.

use std::time::Duration;

use rtm_client::{ConnectionChangeReason, RtmEvent, Wire};
use serde_json::Value;

use crate::{
    accounts::{Sender, texts_and_gaps},
    nodes::Nodes,
    start::says,
    users::{APP_ID, meet},
};

fn is_remote_login(event: &RtmEvent) -> bool {
    matches!(event, RtmEvent::ConnectionStateChanged { reason: ConnectionChangeReason::RemoteLogin, .. })
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn users_on_three_nodes_are_with_each_other() {
    let nodes = Nodes::start(3, 3).await;
    let mut users = Vec::new();
    for (at, wire) in [(0, Wire::Native), (1, Wire::Vendor), (2, Wire::Native), (0, Wire::Vendor)] {
        users.push(nodes.log_in(wire, &format!("user-{}", users.len()), &[at]).await);
    }
    meet(&mut users).await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn users_on_nodes_with_several_cores_are_with_each_other() {
    let mut nodes = Nodes::new(1).await;
    let urls = nodes.nats.urls();
    for workers in ["3", "1", "2"] {
        nodes.add(&urls, &["--workers", workers]).await;
    }
    let mut users = Vec::new();
    for first in [0, 1, 2, 0, 2, 0] {
        // It begins at one node and knows the others too.
        let at = [first, (first + 1) % 3, (first + 2) % 3];
        // On the vendor's wire a call that is cut off cannot be repeated: who sends below, and to whom, is on ours.
        let wire = if users.len() % 3 == 1 { Wire::Native } else { Wire::Vendor };
        users.push(nodes.log_in(wire, &format!("user-{}", users.len()), &at).await);
    }
    meet(&mut users).await;
    // Whoever logs in on another node is on another core too, and its session goes with it.
    let mut again = nodes.log_in(Wire::Native, "user-0", &[2]).await;
    // Until then what is sent to the user may go to that session, and end with it.
    users[0].event("the end of the session before", is_remote_login).await;
    users[1].tells(&mut again, "at the second node").await;
    let sender = Sender::start(users[1].client.clone(), "user-4".to_owned(), Duration::from_millis(10));
    nodes.stop(2, Duration::from_secs(70)).await;
    nodes.spawn_with(2, &urls, &["--workers", "4"]);
    nodes.listening(2).await;
    let outcomes = sender.stop().await;
    let lost: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.contains("Delivered")).take(9).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let (_, gaps) = texts_and_gaps(&mut users[4]);
    assert_eq!(gaps, 0, "a session has moved from core to core");
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_second_login_elsewhere_ends_the_first_session() {
    let nodes = Nodes::start(1, 2).await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut first = nodes.log_in(wire, "alice", &[0]).await;
        let mut second = nodes.log_in(wire, "alice", &[1]).await;
        first.event("the end", is_remote_login).await;
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
    for what in ["--user", "--channel"] {
        let unknown = "fedcba9876543210fedcba9876543210";
        let output = nodes.cluster(&["where", "--app-id", unknown, what, "alice"]);
        says(&output, &[&format!("no node of the cluster main has the project {unknown}")]);
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}
