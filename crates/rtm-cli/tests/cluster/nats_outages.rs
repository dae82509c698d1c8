//! Every message of chatting users is accounted for while servers of NATS are killed and stand still, and all of NATS is away.

use std::{fs, time::Duration};

use rtm_client::Wire;
use tokio::time::sleep;

use crate::{
    chat::{Account, Chat},
    nodes::Nodes,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_servers_of_nats_are_killed() {
    let mut nodes = Nodes::start(3, 3).await;
    let chat = Chat::start(&nodes).await;
    for at in 0..3 {
        nodes.nats.settled().await;
        nodes.nats.kill(at);
        // Until others lead what it led.
        sleep(Duration::from_secs(8)).await;
        chat.goes_on().await;
        nodes.nats.restart(at).await;
        chat.goes_on().await;
    }
    let account = chat.settle().await;
    nobody_noticed(&account, &nodes);
    account.assert_all_delivered();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_the_server_of_nats_that_leads_stands_still() {
    let nodes = Nodes::start(3, 3).await;
    let leader = one_leads(&nodes).await;
    let account = stands_still(&nodes, leader).await;
    // What it was sent may have to wait for longer than it is waited for.
    account.assert_only_the_store_failed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_server_of_nats_that_follows_stands_still() {
    let nodes = Nodes::start(3, 3).await;
    let leader = one_leads(&nodes).await;
    let account = stands_still(&nodes, (leader + 1) % 3).await;
    account.assert_all_delivered();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_node_and_the_server_of_nats_that_leads_are_killed() {
    let mut nodes = Nodes::start(3, 3).await;
    let leader = one_leads(&nodes).await;
    let chat = Chat::start(&nodes).await;
    let killed = chat.time();
    nodes.kill(0);
    nodes.nats.kill(leader);
    let trouble = killed..killed + chat.goes_on_within(BOTH_KILLED).await;
    nodes.nats.restart(leader).await;
    nodes.spawn(0);
    nodes.listening(0).await;
    chat.goes_on().await;
    let account = chat.settle().await;
    account.assert_one_node_was_lost(&trouble);
    assert!(!(1..3).any(|at| nodes.was_put_out(at)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_all_of_nats_is_away() {
    let mut nodes = Nodes::new(3).await;
    let nats = nodes.nats.urls();
    let config = nodes.nats.directory().join("rtm.toml");
    let list = nats.replace(',', "', '");
    fs::write(&config, format!("[cluster]\nnats = ['{list}']\nisolated_for = '5s'\n")).unwrap();
    for _ in 0..3 {
        nodes.add(&nats, &["--config", config.to_str().unwrap()]).await;
    }
    let chat = Chat::start(&nodes).await;
    let mut dave = nodes.log_in(Wire::Native, "dave", &[0]).await;
    let mut erin = nodes.log_in(Wire::Vendor, "erin", &[0]).await;
    let mut spans = Vec::new();
    // Shorter and longer than a node goes on alone without looking for others.
    for away in [3, 14] {
        let killed = chat.time();
        (0..3).for_each(|at| nodes.nats.kill(at));
        let back = chat.time() + Duration::from_secs(away);
        // On one node nothing is missing, not even for those who logged in a moment ago.
        while chat.time() < back {
            dave.tells(&mut erin, "without NATS").await;
            erin.tells(&mut dave, "so what").await;
            sleep(Duration::from_millis(500)).await;
        }
        for at in 0..3 {
            nodes.nats.restart(at).await;
        }
        chat.goes_on_within(ALL_BACK).await;
        spans.push(killed..chat.time());
    }
    let account = chat.settle().await;
    nobody_noticed(&account, &nodes);
    account.assert_delivered_but_in(&spans);
}

/// One server of NATS leads all that the nodes have made.
async fn one_leads(nodes: &Nodes) -> usize {
    nodes.nats.settled().await;
    let leader = nodes.nats.first().await;
    nodes.nats.lead(leader).await;
    leader
}

/// A server of NATS stands still and goes on, and nobody has to leave for it.
async fn stands_still(nodes: &Nodes, at: usize) -> Account {
    let chat = Chat::start(nodes).await;
    let frozen = chat.time();
    nodes.nats.freeze(at);
    let trouble = frozen..frozen + chat.goes_on_within(ONE_FROZEN).await;
    sleep((frozen + STANDS_STILL).saturating_sub(chat.time())).await;
    nodes.nats.thaw(at);
    chat.goes_on().await;
    nodes.nats.settled().await;
    chat.goes_on().await;
    let account = chat.settle().await;
    nobody_noticed(&account, nodes);
    account.assert_delivered_but_in(&[trouble]);
    account
}

/// Nobody lost its connection, or got by the store what it should have got before.
fn nobody_noticed(account: &Account, nodes: &Nodes) {
    account.assert_clean();
    account.assert_nobody_is_cut();
    account.assert_nothing_late();
    assert!(!(0..3).any(|at| nodes.was_put_out(at)));
}

const STANDS_STILL: Duration = Duration::from_secs(45);
/// Three pings without an answer, a second each, and a second for an address at which nobody answers either.
const ONE_FROZEN: Duration = Duration::from_secs(20);
/// Another leader is found in 4 to 8 s. Then the others have to be sure for a while that they are members themselves.
const BOTH_KILLED: Duration = Duration::from_secs(45);
/// The same after all of them were away.
const ALL_BACK: Duration = Duration::from_secs(45);
