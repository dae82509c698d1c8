//! A device of the vendor's SDK that comes back over another socket.

use std::time::{Duration, Instant};

use rtm_codec::{
    ChannelId, Event, JoinChannel, MessageId, QueryPeersOnlineStatus, RtmMessage, SendChannelMessage,
    SendMessageToPeer, ServerFrame, Wire,
};
use rtm_server::Server;

use crate::support::{Client, server, soon, user};

fn join() -> JoinChannel {
    JoinChannel { channel_id: ChannelId::new("room").unwrap() }
}

async fn join_room(client: &mut Client) {
    let id = client.request(join()).await;
    while !matches!(client.next().await, ServerFrame::Reply { id: answered, .. } if answered == id) {}
}

/// The next event that brings a message, in a channel or from a peer.
async fn next_text(client: &mut Client) -> String {
    loop {
        let message = match client.next().await {
            ServerFrame::Event { event: Event::ChannelMessage { message, .. }, .. } => message,
            ServerFrame::Event { event: Event::MessageFromPeer(it), .. } => it.message,
            _ => continue,
        };
        return message.as_text().unwrap().to_owned();
    }
}

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
    join_room(&mut alice).await;
    join_room(&mut bob).await;
    drop(alice);
    connections(&server, 1).await;
    for (id, text) in ["one", "two", "three"].into_iter().enumerate() {
        let say = SendChannelMessage {
            message_id: MessageId(id as u64),
            channel_id: join().channel_id,
            message: text.into(),
            enable_historical_messaging: false,
        };
        bob.request(say).await;
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
    assert_eq!(next_text(&mut alice).await, "to you alone");
    let id = alice.request(join()).await;
    assert!(matches!(alice.next().await, ServerFrame::Reply { id: answered, result: Ok(_) } if answered == id));
    for text in ["one", "two", "three"] {
        assert_eq!(next_text(&mut alice).await, text);
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
