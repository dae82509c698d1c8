//! Users who log out and in as fast as it goes, and others who watch them.

use std::time::Instant;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use rtm_client::{Events, RtmEvent, Wire};
use rtm_load::LoadError;

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
            changes(&mut watcher.events, count / WATCHERS).await?;
        }
        let (before, start) = (server.cpu()?.total, Instant::now());
        let leave_and_come = futures::stream::iter(users.into_iter().enumerate())
            .map(async |(number, user)| {
                user.client.logout().await.context("logout")?;
                target.log_in_again(&user.client, &format!("user-{number}")).await?;
                anyhow::Ok(user)
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>();
        let hear = futures::future::try_join_all(
            watchers.iter_mut().map(|watcher| changes(&mut watcher.events, 2 * count / WATCHERS)),
        );
        let all = async { tokio::try_join!(leave_and_come, async { anyhow::Ok(hear.await?) }) };
        tokio::time::timeout(PATIENCE, all).await.context("not done in time")??;
        let changes = (2 * count) as f64;
        recorder.add("changes seen/s", changes / start.elapsed().as_secs_f64());
        recorder.add("server µs/change", (server.cpu()?.total - before) / changes / 1000.0);
        Ok(())
    })
}

/// Waits for so many changes of users.
async fn changes(events: &mut Events, count: usize) -> Result<(), LoadError> {
    let mut seen = 0;
    while seen < count {
        match events.recv().await.ok_or(LoadError::Lost)? {
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => seen += peers.len(),
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
