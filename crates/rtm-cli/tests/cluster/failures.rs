//! What users notice of what fails: nothing, or what is promised.

use std::time::Duration;

use rtm_client::{ConnectionState, PeerOnlineState, RtmEvent, Wire};
use tokio::time::{sleep, timeout};

use crate::{
    accounts::{Sender, texts_and_gaps},
    nodes::Nodes,
    relay::Relay,
    users::{LIMIT, User, is_text, log_in, soon},
};

/// All texts that were said to be delivered have come, in order, and none twice.
fn check(outcomes: &std::collections::BTreeMap<String, String>, texts: &[String]) {
    assert!(outcomes.len() > 20, "only {} texts were sent", outcomes.len());
    assert!(texts.windows(2).all(|pair| pair[0] < pair[1]), "not in order, or twice: {texts:?}");
    for (text, outcome) in outcomes {
        let has_come = texts.contains(text);
        let is_told = outcome.contains("Delivered");
        assert!(has_come || !is_told, "{text} was not delivered: {outcome}");
    }
}

fn lost(outcomes: &std::collections::BTreeMap<String, String>) -> Vec<(&String, &String)> {
    outcomes.iter().filter(|(_, outcome)| !outcome.contains("Delivered")).collect()
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_client_that_was_cut_goes_on_at_another_node_without_a_gap() {
    let nodes = Nodes::start(3, 3).await;
    let relay = Relay::start(nodes.port(0)).await;
    let mut bob = log_in(Wire::Native, "bob", std::slice::from_ref(&relay.gateway)).await;
    let alice = nodes.log_in(Wire::Native, "alice", &[2]).await;
    let mut carol = nodes.log_in(Wire::Vendor, "carol", &[1]).await;
    for user in [&bob, &carol] {
        soon("joining", user.client.channel("room").unwrap().join()).await.unwrap();
    }
    let sender = Sender::start(alice.client.clone(), "bob".to_owned(), Duration::from_millis(5));
    for to in [1, 2, 0, 2, 1] {
        sleep(Duration::from_millis(700)).await;
        relay.cut(nodes.port(to));
    }
    sleep(Duration::from_secs(2)).await;
    let outcomes = sender.stop().await;
    sleep(Duration::from_millis(200)).await;
    let (texts, gaps) = texts_and_gaps(&mut bob);
    assert_eq!(gaps, 0);
    assert_eq!(lost(&outcomes), []);
    check(&outcomes, &texts);
    assert_eq!(texts.len(), outcomes.len());
    let noticed = carol.so_far();
    assert!(!noticed.iter().any(|event| matches!(event, RtmEvent::MemberLeft { .. })), "{noticed:?}");
    soon("sending", carol.client.channel("room").unwrap().send_message("still here?")).await.unwrap();
    bob.event("a message of the channel", |event| is_text(event, "carol", "still here?")).await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_killed_node_is_noticed_and_its_users_come_back_elsewhere() {
    let mut nodes = Nodes::start(3, 3).await;
    let relay = Relay::start(nodes.port(0)).await;
    let mut bob = log_in(Wire::Native, "bob", std::slice::from_ref(&relay.gateway)).await;
    let mut carol = nodes.log_in(Wire::Native, "carol", &[1]).await;
    let mut dave = nodes.log_in(Wire::Vendor, "dave", &[0]).await;
    for user in [&bob, &carol] {
        soon("joining", user.client.channel("room").unwrap().join()).await.unwrap();
    }
    soon("watching", carol.client.subscribe_peers_online_status(["dave"])).await.unwrap();
    carol.event("a state", |event| matches!(event, RtmEvent::PeersOnlineStatusChanged { .. })).await;
    nodes.kill(0);
    relay.cut(nodes.port(2));
    bob.event("a gap", |event| matches!(event, RtmEvent::Gap { .. })).await;
    let is_unreachable = |event: &RtmEvent| match event {
        RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
            peers.values().any(|state| *state != PeerOnlineState::Online)
        }
        _ => false,
    };
    carol.event("dave's state", is_unreachable).await;
    soon("sending", bob.client.channel("room").unwrap().send_message("back")).await.unwrap();
    carol.event("back", |event| is_text(event, "bob", "back")).await;
    carol.tells(&mut bob, "welcome").await;

    // Under its old name it comes back at once, and dave, whose only gateway it is, with it.
    nodes.spawn(0);
    nodes.listening(0).await;
    let is_back =
        |event: &RtmEvent| matches!(event, RtmEvent::ConnectionStateChanged { state: ConnectionState::Connected, .. });
    dave.event("the login", is_back).await;
    carol.tells(&mut dave, "you too").await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_rolling_restart_is_noticed_by_nobody() {
    let mut nodes = Nodes::start(3, 3).await;
    let mut bob = nodes.log_in(Wire::Native, "bob", &[0, 1, 2]).await;
    let alice = nodes.log_in(Wire::Native, "alice", &[0, 1, 2]).await;
    let mut carol = nodes.log_in(Wire::Vendor, "carol", &[0, 1, 2]).await;
    let rooms: Vec<_> = [&alice, &bob, &carol].map(|user| user.client.channel("room").unwrap()).into();
    for room in &rooms {
        soon("joining", room.join()).await.unwrap();
    }
    bob.so_far();
    let sender = Sender::start(alice.client.clone(), "bob".to_owned(), Duration::from_millis(20));
    for at in 0..3 {
        nodes.stop(at, Duration::from_secs(70)).await;
        nodes.spawn(at);
        nodes.listening(at).await;
    }
    let outcomes = sender.stop().await;
    sleep(Duration::from_secs(1)).await;
    let mut events = bob.so_far();
    let texts: Vec<_> = events.iter().filter_map(text).collect();
    check(&outcomes, &texts);
    assert_eq!(lost(&outcomes), []);
    events.retain(|event| matches!(event, RtmEvent::Gap { .. } | RtmEvent::MemberLeft { .. }));
    assert_eq!(events, []);
    let left = |user: &mut User| {
        user.so_far().into_iter().filter(|event| matches!(event, RtmEvent::MemberLeft { .. })).count()
    };
    assert_eq!(left(&mut carol), 0);
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_node_that_stood_still_is_put_out_and_joins_anew() {
    let nodes = Nodes::start(3, 3).await;
    let relay = Relay::start(nodes.port(0)).await;
    let mut bob = log_in(Wire::Native, "bob", std::slice::from_ref(&relay.gateway)).await;
    let mut carol = nodes.log_in(Wire::Native, "carol", &[1]).await;
    let mut dave = nodes.log_in(Wire::Vendor, "dave", &[0]).await;
    for user in [&carol, &dave] {
        soon("joining", user.client.channel("room").unwrap().join()).await.unwrap();
    }
    nodes.signal(0, "STOP");
    let left = |event: &RtmEvent| matches!(event, RtmEvent::MemberLeft { .. });
    carol.event("dave's leaving", left).await;
    relay.cut(nodes.port(1));
    bob.event("a gap", |event| matches!(event, RtmEvent::Gap { .. })).await;
    carol.tells(&mut bob, "welcome").await;
    dave.so_far();
    nodes.signal(0, "CONT");
    // Its other client comes back to it, and nobody has thrown out bob.
    carol.event("dave's coming", |event| matches!(event, RtmEvent::MemberJoined { .. })).await;
    carol.tells(&mut dave, "you too").await;
    bob.tells(&mut carol, "still here").await;
    let is_over =
        |event: &RtmEvent| matches!(event, RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, .. });
    for user in [&mut bob, &mut dave] {
        assert!(!user.so_far().iter().any(is_over), "{} was thrown out", user.name);
    }
    assert!(nodes.log(0).contains("the others went on without this node"));
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn a_node_that_loses_nats_alone_sends_its_clients_to_the_others() {
    let mut nodes = Nodes::start(1, 2).await;
    let way = Relay::start(nodes.nats.port(0)).await;
    let config = nodes.nats.directory().join("rtm.toml");
    std::fs::write(&config, format!("[cluster]\nnats = '{}'\nisolated_for = '5s'\n", nodes.nats.urls())).unwrap();
    let nats = way.gateway.replace("http://", "nats://");
    let alone = nodes.add(&nats, &["--config", config.to_str().unwrap()]).await;
    let client = Relay::start(nodes.port(alone)).await;
    let mut bob = log_in(Wire::Native, "bob", std::slice::from_ref(&client.gateway)).await;
    let carol = nodes.log_in(Wire::Native, "carol", &[0]).await;
    carol.tells(&mut bob, "here").await;
    way.cut(0);
    // Its clients are closed, and would come to the next gateway; this one has a relay for that.
    bob.event("the end of the connection", |event| {
        matches!(event, RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. })
    })
    .await;
    client.cut(nodes.port(1));
    bob.event("the login", |event| {
        matches!(event, RtmEvent::ConnectionStateChanged { state: ConnectionState::Connected, .. })
    })
    .await;
    carol.tells(&mut bob, "there").await;
    assert!(nodes.log(alone).contains("this node's clients are sent away"));
    // With NATS it comes in again.
    way.cut(nodes.nats.port(0));
    let dave = nodes.log_in(Wire::Native, "dave", &[alone]).await;
    dave.tells(&mut bob, "back").await;
}

#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn nodes_with_tls_are_asked_too_whether_they_go_on() {
    let mut nodes = Nodes::new(1).await;
    let made = rcgen::generate_simple_self_signed(["rtm.example.com".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = nodes.nats.directory().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (write("cert.pem", made.cert.pem()), write("key.pem", made.signing_key.serialize_pem()));
    let config = write(
        "rtm.toml",
        format!(
            "[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n[cluster]\nnats = '{}'\nisolated_for = '5s'\n",
            nodes.nats.urls()
        ),
    );
    let way = Relay::start(nodes.nats.port(0)).await;
    for nats in [nodes.nats.urls(), way.gateway.replace("http://", "nats://")] {
        nodes.add(&nats, &["--config", &config]).await;
    }
    way.cut(0);
    let is_sent_away = || nodes.log(1).contains("node-0 is a member and in touch: this node's clients are sent away");
    timeout(LIMIT, async {
        while !is_sent_away() {
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{}", nodes.log(1)));
    assert!(!nodes.log(0).contains("TLS"), "the one that was asked has nothing to complain of: {}", nodes.log(0));
}

fn text(event: &RtmEvent) -> Option<String> {
    match event {
        RtmEvent::MessageFromPeer { message, .. } => message.as_text().map(str::to_owned),
        _ => None,
    }
}
