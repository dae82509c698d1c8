//! Call invitations and their ends: refused, accepted, taken back, and the callee gone.

use examples::{User, start_server};
use rtm_client::{RemoteInvitation, RtmEvent};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (server, gateway) = start_server().await?;
    let mut alice = User::login("alice", &gateway).await?;
    let mut bob = User::login("bob", &gateway).await?;

    println!("\n-- bob is busy");
    alice.client.send_invitation("bob", "a call?").await?;
    let invitation = bob.until(ringing).await?;
    bob.client.refuse_invitation(&invitation, "busy").await?;
    alice.until(|event| matches!(event, RtmEvent::LocalInvitationRefused { .. }).then_some(())).await?;

    println!("\n-- bob accepts");
    alice.client.send_invitation("bob", "and now?").await?;
    let invitation = bob.until(ringing).await?;
    bob.client.accept_invitation(&invitation, "room 7").await?;
    // Both sides know that it is agreed: bob's event is the confirmation of alice's side.
    alice.until(|event| matches!(event, RtmEvent::LocalInvitationAccepted { .. }).then_some(())).await?;
    bob.until(|event| matches!(event, RtmEvent::RemoteInvitationAccepted { .. }).then_some(())).await?;

    println!("\n-- alice changes her mind");
    let mine = alice.client.send_invitation("bob", "one more thing").await?;
    bob.until(ringing).await?;
    alice.client.cancel_invitation(&mine, "never mind").await?;
    bob.until(|event| matches!(event, RtmEvent::RemoteInvitationCanceled { .. }).then_some(())).await?;
    alice.until(|event| matches!(event, RtmEvent::LocalInvitationCanceled { .. }).then_some(())).await?;

    println!("\n-- bob goes away while it rings");
    alice.client.send_invitation("bob", "still there?").await?;
    bob.until(ringing).await?;
    bob.client.logout().await?;
    alice.until(|event| matches!(event, RtmEvent::LocalInvitationFailure { .. }).then_some(())).await?;

    alice.client.logout().await?;
    server.shutdown().await;
    Ok(())
}

fn ringing(event: &RtmEvent) -> Option<RemoteInvitation> {
    match event {
        RtmEvent::RemoteInvitationReceived { invitation, .. } => Some(invitation.clone()),
        _ => None,
    }
}
