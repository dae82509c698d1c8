//! Every message of chatting users is accounted for while nodes are killed, stand still and are stopped.

use std::time::Duration;

use tokio::time::sleep;

use crate::{chat::Chat, nodes::Nodes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_node_is_killed() {
    let mut nodes = Nodes::start(3, 3).await;
    let chat = Chat::start(&nodes).await;
    let killed = chat.time();
    nodes.kill(0);
    let trouble = killed..killed + chat.goes_on_within(KILLED).await;
    nodes.spawn(0);
    nodes.listening(0).await;
    chat.goes_on().await;
    let account = chat.settle().await;
    account.assert_one_node_was_lost(&trouble);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_node_stands_still_and_goes_on() {
    let nodes = Nodes::start(3, 3).await;
    let chat = Chat::start(&nodes).await;
    let frozen = chat.time();
    nodes.signal(0, "STOP");
    let trouble = frozen..frozen + chat.goes_on_within(FROZEN).await;
    sleep((frozen + STANDS_STILL).saturating_sub(chat.time())).await;
    nodes.signal(0, "CONT");
    nodes.is_in(0).await;
    chat.goes_on().await;
    let account = chat.settle().await;
    account.assert_one_node_was_lost(&trouble);
    assert!(nodes.was_put_out(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_nodes_are_stopped_one_after_the_other() {
    let mut nodes = Nodes::start(3, 3).await;
    let chat = Chat::start(&nodes).await;
    for at in 0..3 {
        nodes.stop(at, Duration::from_secs(70)).await;
        nodes.spawn(at);
        nodes.listening(at).await;
        chat.goes_on().await;
    }
    let account = chat.settle().await;
    account.assert_clean();
    account.assert_nobody_noticed();
    account.assert_nothing_late();
}

/// A killed node is out after 8 s: until then nobody else may have its sessions.
const KILLED: Duration = Duration::from_secs(25);
/// One that stands still is out after 14 s, and a client of the vendor's wire may take 20 s to find that it does not answer.
const FROZEN: Duration = Duration::from_secs(40);
const STANDS_STILL: Duration = Duration::from_secs(40);
