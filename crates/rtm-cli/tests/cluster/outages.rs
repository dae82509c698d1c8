//! Every message of chatting users is accounted for while nodes are killed and stand still, and NATS is away or lets two nodes
//! not hear each other.

use std::time::Duration;

use rtm_client::Wire;
use tokio::time::sleep;

use crate::{chat::Chat, nodes::Nodes, relay::NatsWay};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_node_is_killed() {
    let mut nodes = Nodes::start(1, 3).await;
    let chat = Chat::start(&nodes).await;
    sleep(Duration::from_secs(3)).await;
    nodes.kill(0);
    sleep(Duration::from_secs(14)).await;
    nodes.spawn(0);
    nodes.listening(0).await;
    sleep(Duration::from_secs(2)).await;
    let account = chat.settle().await;
    account.assert_clean();
    account.assert_some_are_cut();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_node_stands_still_and_goes_on() {
    let nodes = Nodes::start(1, 3).await;
    let chat = Chat::start(&nodes).await;
    sleep(Duration::from_secs(2)).await;
    nodes.signal(0, "STOP");
    sleep(Duration::from_secs(40)).await;
    nodes.signal(0, "CONT");
    sleep(Duration::from_secs(5)).await;
    let account = chat.settle().await;
    account.assert_clean();
    account.assert_some_are_cut();
    assert!(nodes.log(0).contains("the others went on without this node"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_two_nodes_do_not_hear_each_other() {
    let mut nodes = Nodes::new(1).await;
    let ways = [NatsWay::start(nodes.nats.port(0)).await, NatsWay::start(nodes.nats.port(0)).await];
    for way in &ways {
        nodes.add(&way.url, &[]).await;
    }
    let direct = nodes.nats.urls();
    nodes.add(&direct, &[]).await;
    let chat = Chat::start(&nodes).await;
    sleep(Duration::from_secs(2)).await;
    ways[0].lose_to(Some("node-1"));
    ways[1].lose_to(Some("node-0"));
    sleep(Duration::from_secs(25)).await;
    // One of the two has to go, and only one.
    let is_out = |at: usize| nodes.log(at).contains("the others went on without this node");
    assert_eq!([0, 1, 2].map(is_out).iter().filter(|is_out| **is_out).count(), 1);
    assert!(!is_out(2));
    let out = usize::from(is_out(1));
    ways.iter().for_each(|way| way.lose_to(None));
    // It comes in again.
    let _dave = nodes.log_in(Wire::Native, "dave", &[out]).await;
    sleep(Duration::from_secs(2)).await;
    let account = chat.settle().await;
    account.assert_clean();
    account.assert_some_are_cut();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_servers_of_nats_are_killed() {
    let mut nodes = Nodes::start(3, 3).await;
    let chat = Chat::start(&nodes).await;
    for at in 0..3 {
        nodes.nats.settled().await;
        nodes.nats.kill(at);
        sleep(Duration::from_secs(10)).await;
        nodes.nats.restart(at).await;
        sleep(Duration::from_secs(5)).await;
    }
    let account = chat.settle().await;
    account.assert_clean();
    account.assert_all_delivered();
    account.assert_nobody_is_cut();
    for at in 0..3 {
        assert!(!nodes.log(at).contains("went on without"), "node {at} was put out");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_all_of_nats_is_away() {
    let mut nodes = Nodes::new(1).await;
    let config = nodes.nats.directory().join("rtm.toml");
    std::fs::write(&config, format!("[cluster]\nnats = '{}'\nisolated_for = '5s'\n", nodes.nats.urls())).unwrap();
    let nats = nodes.nats.urls();
    for _ in 0..3 {
        nodes.add(&nats, &["--config", config.to_str().unwrap()]).await;
    }
    let chat = Chat::start(&nodes).await;
    let mut dave = nodes.log_in(Wire::Native, "dave", &[0]).await;
    let mut erin = nodes.log_in(Wire::Vendor, "erin", &[0]).await;
    // Shorter and longer than a node goes on alone without looking for others.
    for away in [3, 14] {
        sleep(Duration::from_secs(2)).await;
        nodes.nats.kill(0);
        sleep(Duration::from_secs(away)).await;
        // On one node nothing is missing.
        dave.tells(&mut erin, "without NATS").await;
        erin.tells(&mut dave, "so what").await;
        nodes.nats.restart(0).await;
        sleep(Duration::from_secs(10)).await;
    }
    let account = chat.settle().await;
    account.assert_clean();
    account.assert_nobody_is_cut();
}
