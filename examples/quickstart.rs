//! The six events of a client, on both wires: a server in this process, two users, a few seconds.

use std::time::Duration;

use examples::{User, start_secure_server, token};
use rtm_client::{PeerOnlineState, RtmEvent, Wire};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (server, gateway) = start_secure_server().await?;
    println!("a server listens at {gateway}; alice speaks the native wire, bob the vendor's\n");

    let mut alice = User::new("alice", &gateway, Wire::Native)?;
    alice.client.login("alice", Some(&token("alice", Duration::from_secs(3600))?)).await?;
    alice.client.subscribe_peers_online_status(["bob"]).await?;
    alice.until(is_bob(PeerOnlineState::Offline)).await?;

    // Bob's token lives for 4 s: he is warned at half of that, and does nothing about it.
    let mut bob = User::new("bob", &gateway, Wire::Vendor)?;
    bob.client.login("bob", Some(&token("bob", Duration::from_secs(4))?)).await?;
    alice.until(is_bob(PeerOnlineState::Online)).await?;

    let outcome = alice.client.send_message_to_peer("bob", "hi bob").await?;
    alice.say("  sends a message", &format!("{outcome:?}"));
    bob.until(|event| matches!(event, RtmEvent::MessageFromPeer { .. }).then_some(())).await?;
    bob.client.send_message_to_peer("alice", "你好 alice").await?;
    alice.until(|event| matches!(event, RtmEvent::MessageFromPeer { .. }).then_some(())).await?;

    alice.client.send_invitation("bob", "shall we talk?").await?;
    let invitation = bob
        .until(|event| match event {
            RtmEvent::RemoteInvitationReceived { invitation, .. } => Some(invitation.clone()),
            _ => None,
        })
        .await?;
    bob.client.accept_invitation(&invitation, "gladly").await?;
    alice.until(|event| matches!(event, RtmEvent::LocalInvitationAccepted { .. }).then_some(())).await?;

    bob.until(|event| matches!(event, RtmEvent::TokenDidExpire).then_some(())).await?;
    alice.until(is_bob(PeerOnlineState::Offline)).await?;
    bob.show_waiting();

    alice.client.logout().await?;
    alice.show_waiting();
    server.shutdown().await;
    Ok(())
}

fn is_bob(wanted: PeerOnlineState) -> impl Fn(&RtmEvent) -> Option<()> {
    move |event| match event {
        RtmEvent::PeersOnlineStatusChanged { peers, .. } => (peers.get("bob") == Some(&wanted)).then_some(()),
        _ => None,
    }
}
