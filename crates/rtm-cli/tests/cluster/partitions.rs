//! Every message of chatting users is accounted for while some do not hear others.

use std::{ops::Range, time::Duration};

use crate::{
    chat::{Account, Chat},
    nats::Nats,
    nodes::Nodes,
    relay::{NatsWay, Way},
};

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
    let cut = chat.time();
    ways[0].lose_to(Some("node-1"));
    ways[1].lose_to(Some("node-0"));
    let trouble = cut..cut + chat.goes_on_within(ONE_GOES).await;
    let out = one_of_two_went(&nodes);
    ways.iter().for_each(|way| way.lose_to(None));
    nodes.is_in(out).await;
    settle(chat, &trouble).await.assert_others_talked(&trouble);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_node_hears_nats_and_cannot_speak() {
    is_cut_off([true, false]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_a_node_speaks_to_nats_and_cannot_hear() {
    is_cut_off([false, true]).await;
}

/// The first node is cut off from all servers of NATS for a while, in these directions.
async fn is_cut_off(there_and_back: [bool; 2]) {
    let mut nodes = Nodes::on(Nats::start_apart(3).await);
    let mut ways = Vec::new();
    for at in 0..3 {
        ways.push(Way::start(nodes.nats.port(at)).await);
    }
    let urls: Vec<_> = ways.iter().map(Way::url).collect();
    nodes.add(&urls.join(","), &[]).await;
    let direct = nodes.nats.urls();
    for _ in 1..3 {
        nodes.add(&direct, &[]).await;
    }
    let chat = Chat::start(&nodes).await;
    let cut = chat.time();
    ways.iter().for_each(|way| way.hold(there_and_back));
    let trouble = cut..cut + chat.goes_on_within(ISOLATED).await;
    ways.iter().for_each(|way| way.hold([false; 2]));
    nodes.is_in(0).await;
    assert!(nodes.log(0).contains("this node's clients are sent away"));
    assert!(!(1..3).any(|at| nodes.was_put_out(at)));
    // The others have done without it since they put it out.
    settle(chat, &trouble).await.assert_others_talked(&(cut..cut + ONE_GOES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn every_message_is_accounted_for_when_two_nodes_and_their_servers_of_nats_are_cut_apart() {
    let mut nodes = Nodes::on(Nats::start_apart(3).await);
    for at in 0..3 {
        let own = format!("nats://127.0.0.1:{}", nodes.nats.port(at));
        nodes.add(&own, &[]).await;
    }
    // One of the two leads, and cannot any more.
    nodes.nats.settled().await;
    nodes.nats.lead(0).await;
    let chat = Chat::start(&nodes).await;
    let cut = chat.time();
    nodes.nats.cut_between([0, 1], true);
    chat.goes_on_within(APART).await;
    one_of_two_went(&nodes);
    nodes.nats.cut_between([0, 1], false);
    nodes.nats.settled().await;
    for at in 0..3 {
        nodes.is_in(at).await;
    }
    let trouble = cut..chat.time() + chat.goes_on_within(ONE_GOES).await;
    settle(chat, &trouble).await;
}

/// Which of the first two nodes was put out: one was, and the third one was not.
fn one_of_two_went(nodes: &Nodes) -> usize {
    let out: Vec<_> = (0..3).filter(|at| nodes.was_put_out(*at)).collect();
    assert!(matches!(out[..], [0 | 1]), "{out:?}");
    out[0]
}

async fn settle(chat: Chat, trouble: &Range<Duration>) -> Account {
    chat.goes_on().await;
    let account = chat.settle().await;
    account.assert_clean();
    account.assert_delivered_but_in(std::slice::from_ref(trouble));
    account.assert_some_are_cut();
    account
}

/// Of two nodes that have not heard each other for 10 s one is out 5 s later.
const ONE_GOES: Duration = Duration::from_secs(35);
/// An isolated node keeps its clients for 30 s, and asks the others for 10 s whether they are well.
const ISOLATED: Duration = Duration::from_secs(75);
/// A stream finds a leader that both hear, and then one of two nodes goes.
const APART: Duration = Duration::from_secs(90);
