//! What a cluster costs each of its nodes as it grows, with the same users and the same traffic on each node.

use rtm_codec::SubscribePeersOnlineStatus;

use crate::harness::*;

const USERS_PER_NODE: usize = 4;
const MESSAGES: u64 = 10;

/// What nodes sent and heard.
struct Load {
    /// Parcels, for each node.
    parcels: f64,
    /// Of the node that heard most of them, for each that a node hears.
    worst: f64,
}

/// Each user talks to one on the next node, shares a channel with users of the next two nodes, and watches one there.
fn load(nodes: usize) -> Load {
    let mut world = World::new(nodes);
    let name = |node: usize, user: usize| format!("user-{}-{user}", node % nodes);
    let channel = |node: usize, user: usize| format!("channel-{}-{user}", node % nodes);
    // What homes ask of each other at the start, they ask once.
    world.advance(secs(10));
    let before = world.parcels;
    world.links.clear();
    let mut clients = Vec::new();
    for node in 0..nodes {
        for user in 0..USERS_PER_NODE {
            clients.push((node, user, world.login(node, &name(node, user))));
        }
    }
    for &(node, user, client) in &clients {
        let watched = SubscribePeersOnlineStatus { peer_ids: vec![uid(&name(node + 1, user))] };
        world.request(client, watched);
        for before in 0..3 {
            world.join_channel(client, &channel(node + nodes - before, user));
        }
    }
    for id in 1..=MESSAGES {
        for &(node, user, client) in &clients {
            let text = id.to_string();
            let sent = world.request(client, to_peer(id, &name(node + 1, user), &text));
            assert!(world.reply(client, sent).is_some_and(Result::is_ok));
            let sent = world.request(client, to_channel(id, &channel(node, user), &text));
            assert!(world.reply(client, sent).is_some_and(Result::is_ok));
        }
    }
    // Some come and go, as users do.
    for &(node, user, client) in clients.iter().filter(|(_, user, _)| *user < 1) {
        world.logout(client);
        world.login(node, &name(node, user));
    }
    world.advance(secs(10));
    let mut heard = vec![0; nodes];
    for ((_, to), parcels) in &world.links {
        heard[*to] += parcels;
    }
    let parcels = (world.parcels - before) as f64 / nodes as f64;
    Load { parcels, worst: heard.into_iter().max().unwrap() as f64 / parcels }
}

#[test]
fn a_node_of_32_does_little_more_than_a_node_of_3_for_the_same_users() {
    let (few, many) = (load(3), load(32));
    let grows = many.parcels / few.parcels;
    eprintln!("parcels a node: {:.0} of 3, {:.0} of 32, {grows:.3} times", few.parcels, many.parcels);
    eprintln!("the node that hears most: {:.2} times the mean of 3, {:.2} of 32", few.worst, many.worst);
    assert!(grows <= 1.2, "{grows}");
    assert!(many.worst <= 1.5, "{}", many.worst);
}
