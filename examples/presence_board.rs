//! A board that shows who of a team is online, and changes as people come and go.

use std::collections::BTreeMap;

use anyhow::Context;
use examples::{APP_ID, User, start_server};
use rtm_client::{Client, PeerOnlineState, RtmEvent};

const TEAM: [&str; 3] = ["ann", "ben", "cho"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (server, gateway) = start_server().await?;
    let (client, mut events) = Client::builder().gateway(&gateway).app_id(APP_ID).build()?;
    client.login("board", None).await?;
    client.subscribe_peers_online_status(TEAM).await?;

    let team = tokio::spawn(come_and_go(gateway));
    let mut board = BTreeMap::new();
    println!("{}", TEAM.map(|peer| format!("{peer:<13}")).concat());
    // Everybody was online, and everybody is gone again: the team's day is over.
    let mut came = false;
    loop {
        let event = events.recv().await.context("the client has ended")?;
        let RtmEvent::PeersOnlineStatusChanged { peers, .. } = event else { continue };
        board.extend(peers);
        println!(
            "{}",
            TEAM.map(|peer| format!("{:<13}", board.get(peer).map(ToString::to_string).unwrap_or_default())).concat()
        );
        let all = |wanted| board.values().all(|state| *state == wanted);
        came |= all(PeerOnlineState::Online);
        if came && all(PeerOnlineState::Offline) {
            break;
        }
    }
    team.await??;
    client.logout().await?;
    server.shutdown().await;
    Ok(())
}

async fn come_and_go(gateway: String) -> anyhow::Result<()> {
    let mut here = Vec::new();
    for name in TEAM {
        here.push(User::login(name, &gateway).await?);
        pause().await;
    }
    for user in here {
        user.client.logout().await?;
        pause().await;
    }
    Ok(())
}

/// Changes within a tenth of a second reach the board together.
async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
}
