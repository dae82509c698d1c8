//! A device of the vendor's SDK that comes back over another socket.

use std::time::{Duration, Instant};

use rtm_codec::{
    ChannelId, JoinChannel, MessageId, QueryPeersOnlineStatus, RtmMessage, SendMessageToPeer, ServerFrame, Wire,
};
use rtm_server::Server;

use crate::support::{Client, server, soon, user};

async fn connections(server: &Server, count: usize) {
    soon("a socket's end", async {
        while server.stats().connections != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_its_channel_saw_meanwhile_comes_after_the_answer_to_its_join() {
    let server = server().await;
    let address = server.local_addr();
    let mut alice = Client::login(address, Wire::Vendor, "alice").await;
    let mut bob = Client::login(address, Wire::Native, "bob").await;
    alice.joins("room").await;
    bob.joins("room").await;
    drop(alice);
    connections(&server, 1).await;
    for text in ["one", "two", "three"] {
        bob.says("room", text).await;
    }
    let again = SendMessageToPeer {
        message_id: MessageId(9),
        peer_id: user("alice"),
        message: RtmMessage::text("to you alone"),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    };
    bob.request(again).await;
    // What Bob sent has been taken.
    let last = bob.request(QueryPeersOnlineStatus { peer_ids: vec![user("bob")] }).await;
    while !matches!(bob.next().await, ServerFrame::Reply { id, .. } if id == last) {}
    let mut alice = Client::login(address, Wire::Vendor, "alice").await;
    assert_eq!(alice.next_text().await, "to you alone");
    let id = alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    assert!(matches!(alice.next().await, ServerFrame::Reply { id: answered, result: Ok(_) } if answered == id));
    for text in ["one", "two", "three"] {
        assert_eq!(alice.next_text().await, text);
    }
}

#[tokio::test]
async fn a_link_that_breaks_again_and_again_is_let_in_each_time() {
    let server = server().await;
    let address = server.local_addr();
    let began = Instant::now();
    for _ in 0..20 {
        drop(Client::login(address, Wire::Vendor, "alice").await);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "no return has to wait");
}

#[tokio::test]
async fn a_third_login_within_a_second_is_answered_when_the_second_is_over() {
    let server = server().await;
    let address = server.local_addr();
    let began = Instant::now();
    for _ in 0..3 {
        let mut alice = Client::login(address, Wire::Vendor, "alice").await;
        alice.send(rtm_codec::ClientFrame::Logout).await;
        alice.closed().await;
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
}
