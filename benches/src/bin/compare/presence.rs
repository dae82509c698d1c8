//! Users who log out and in as fast as it goes, and others who watch them.

use std::time::Instant;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use rtm_client::{Events, PeerOnlineState, RtmEvent, Wire};
use rtm_load::{LoadError, User};

use crate::{
    candidate::Candidate,
    ours,
    process::Server,
    rival::{PATIENCE, runtime},
    run::{Recorder, Run, scaled},
};

/// The runs.
pub(crate) fn runs(candidates: Vec<Candidate>) -> Vec<Run> {
    candidates
        .into_iter()
        .map(|candidate| Run::new(candidate.name.clone(), move |recorder| watch(&candidate.start()?, recorder)))
        .collect()
}

fn watch(server: &Server, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let (target, count) = (ours::target(server.port(), Wire::Native), scaled(USERS) as usize);
        let users = target.log_in_many("user", count, AT_ONCE, || {}).await?;
        let mut watchers = target.log_in_many("watcher", WATCHERS, AT_ONCE, || {}).await?;
        for (number, watcher) in watchers.iter_mut().enumerate() {
            let watched = (number..count).step_by(WATCHERS).map(|user| format!("user-{user}"));
            watcher.client.subscribe_peers_online_status(watched).await?;
            // At first it hears of all of them.
            hear(&mut watcher.events, count / WATCHERS, PeerOnlineState::Online).await?;
        }
        let (before, start) = (server.cpu()?.total, Instant::now());
        // One after the other: who is back before anybody heard of it may not be told of.
        let leave = futures::stream::iter(&users)
            .map(async |user| user.client.logout().await.context("logout"))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>();
        all_hear(&mut watchers, leave, count / WATCHERS, PeerOnlineState::Offline).await?;
        let come = futures::stream::iter(users.iter().enumerate())
            .map(async |(number, user)| Ok(target.log_in_again(&user.client, &format!("user-{number}")).await?))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>();
        all_hear(&mut watchers, come, count / WATCHERS, PeerOnlineState::Online).await?;
        let changes = (2 * count) as f64;
        recorder.add("changes seen/s", changes / start.elapsed().as_secs_f64());
        recorder.add("server µs/change", (server.cpu()?.total - before) / changes / 1000.0);
        Ok(())
    })
}

/// Has the users do something, until each watcher has heard it of so many.
async fn all_hear(
    watchers: &mut [User],
    change: impl Future<Output = anyhow::Result<()>>,
    count: usize,
    state: PeerOnlineState,
) -> anyhow::Result<()> {
    let heard = watchers.iter_mut().map(|watcher| hear(&mut watcher.events, count, state));
    let heard = async { futures::future::try_join_all(heard).await.context("a watcher") };
    let all = async { tokio::try_join!(change, heard) };
    tokio::time::timeout(PATIENCE, all).await.context("not done in time")??;
    Ok(())
}

/// Waits until so many users have come into a state.
async fn hear(events: &mut Events, count: usize, wanted: PeerOnlineState) -> Result<(), LoadError> {
    let mut heard = 0;
    while heard < count {
        match events.recv().await.ok_or(LoadError::Lost)? {
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                heard += peers.values().filter(|&&state| state == wanted).count();
            }
            RtmEvent::Gap { .. } => return Err(LoadError::Lost),
            _ => {}
        }
    }
    Ok(())
}

const USERS: u64 = 10_000;
/// Each watches as many as a client may, so that together they watch all.
const WATCHERS: usize = 20;
const AT_ONCE: usize = 64;
