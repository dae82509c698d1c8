//! Two well-behaved clients that say whether they noticed anything.

use std::time::Duration;

use rtm_client::{Client, Events, RtmEvent, Wire};

use crate::server::{Server, soon};

/// A native and a vendor client, logged in.
pub(crate) struct Witnesses {
    alice: (Client, Events),
    bob: (Client, Events),
    messages: u64,
}

impl Witnesses {
    pub(crate) async fn of(server: &Server) -> Self {
        let alice = log_in(server, Wire::Native, "alice").await;
        let bob = log_in(server, Wire::Vendor, "bob").await;
        let mut witnesses = Self { alice, bob, messages: 0 };
        for (_, events) in [&mut witnesses.alice, &mut witnesses.bob] {
            while events.try_recv().is_some() {}
        }
        witnesses.notice_nothing().await;
        witnesses
    }

    /// A message each way arrives, and nothing else has happened to them since the last time.
    pub(crate) async fn notice_nothing(&mut self) {
        let Self { alice, bob, messages } = self;
        *messages += 1;
        talk(&alice.0, bob, "bob", *messages).await;
        talk(&bob.0, alice, "alice", *messages).await;
    }
}

/// Shows signs of life often, since some servers here wait for them only shortly.
async fn log_in(server: &Server, wire: Wire, user_id: &str) -> (Client, Events) {
    let (client, events) = server.client(wire).heartbeat(Duration::from_millis(500)).build().unwrap();
    client.login(user_id, None).await.unwrap();
    (client, events)
}

async fn talk(from: &Client, to: &mut (Client, Events), name: &str, number: u64) {
    let text = format!("message {number}");
    let sent = soon("sending", from.send_message_to_peer(name, text.as_str())).await.unwrap();
    assert!(sent.has_peer_received());
    match soon("receiving", to.1.recv()).await {
        Some(RtmEvent::MessageFromPeer { message, .. }) => assert_eq!(message.as_text(), Some(text.as_str())),
        other => panic!("{name} noticed {other:?}"),
    }
}
