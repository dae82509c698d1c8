//! How a server goes down: it says so, waits until others know, stops accepting, and sends its clients away at a pace.

use std::{sync::Arc, time::Duration};

use rtm_codec::CloseReason;
use rtm_core::ConnId;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::info;

use super::Server;
use crate::{clock::instant, project::Project, random::random_bytes};

impl Server {
    /// Shuts down. At first it only says that it is not ready, and goes on accepting for
    /// [`ServerConfig::drain_delay`](crate::ServerConfig::drain_delay). Then it accepts no more connections, closes all others so
    /// that their clients reconnect later, in any order and so many each second as
    /// [`ServerConfig::drain_rate`](crate::ServerConfig::drain_rate) says, and finishes the work of the store. Takes at most a few
    /// seconds more than [`ServerConfig::drain_delay`](crate::ServerConfig::drain_delay) and
    /// [`ServerConfig::drain_time`](crate::ServerConfig::drain_time).
    ///
    /// Dropping the future drops the server.
    pub async fn shutdown(mut self) {
        self.shared.draining.announce();
        // Now, and not when the delay is over: a second signal may end it before.
        self.shared.cores().iter().for_each(Project::announce_drain);
        let going = self.reloader.going_down().await;
        if !going.delay.is_zero() {
            info!("shutting down: accepting connections for {} more", humantime::format_duration(going.delay));
            sleep(going.delay).await;
        }
        for listener in std::mem::take(&mut self.listeners) {
            listener.abort();
            // It is gone, and its port is free.
            let _ = listener.await;
        }
        self.shared.draining.begin();
        #[cfg(feature = "webhooks")]
        if !going.is_alone {
            // Another node tells them from now on.
            self.reloader.stop_telling().await;
        }
        #[cfg(feature = "cluster")]
        self.leave(going.time).await;
        let begun = instant();
        let cores = self.shared.cores();
        let mut connections: Vec<(Arc<Project>, ConnId)> = Vec::new();
        for project in &cores {
            connections.extend(project.drain().into_iter().map(|conn| (Arc::clone(project), conn)));
        }
        shuffle(&mut connections);
        info!(connections = connections.len(), "shutting down, asking clients to reconnect");
        let count = connections.len().max(1) as f64;
        let spread = going.time.min(Duration::from_secs_f64(connections.len() as f64 / f64::from(going.rate)));
        for (i, (project, conn)) in connections.into_iter().enumerate() {
            let due = spread.mul_f64(i as f64 / count);
            if let Some(wait) = due.checked_sub(begun.elapsed()) {
                sleep(wait).await;
            }
            project.close(conn, CloseReason::Draining);
        }
        cores.iter().for_each(Project::store_unreceived);
        // Clients confirm the close. Those that do not are left.
        let all_gone = timeout(CLOSE_WAIT, self.shared.tasks.idle()).await.is_ok();
        if !all_gone {
            self.shared.tasks.abort();
            // An aborted task ends at its next step.
            let _ = timeout(CLOSE_WAIT, self.shared.tasks.idle()).await;
        }
        self.stop_tasks();
        if going.is_alone {
            // Nobody goes on with their sessions.
            cores.iter().for_each(Project::end_event_log);
            #[cfg(feature = "webhooks")]
            self.reloader.stop_telling().await;
        }
        if let Some(store) = self.store.take() {
            store.stop().await;
        }
        #[cfg(feature = "admin")]
        self.admin_listener.close().await;
        #[cfg(feature = "otlp")]
        self.shared.traces.close().await;
        info!("stopped");
    }

    /// At most how long [`shutdown`](Self::shutdown) takes, by the configuration that the server goes by now. Cancel safe.
    pub async fn shutdown_limit(&self) -> Duration {
        let going = self.reloader.going().await;
        going.delay + going.time + SHUTDOWN_MARGIN
    }

    /// Sends clients away, waits until other nodes have their sessions, and leaves the cluster.
    #[cfg(feature = "cluster")]
    async fn leave(&mut self, within: Duration) {
        let Some(member) = self.member.take() else { return };
        let until = instant() + within;
        let cores = self.shared.cores();
        member.drain();
        cores.iter().for_each(Project::drain_cluster);
        loop {
            if cores.iter().all(|project| project.remaining().is_nothing()) {
                break;
            }
            // Nobody is there to go to: clients come back when there is.
            if member.is_alone() && self.shared.tasks.len() == 0 {
                break;
            }
            if instant() >= until {
                let sessions: usize = cores.iter().map(|project| project.remaining().sessions).sum();
                tracing::warn!(
                    sessions,
                    "these sessions end with this node: no other node has taken them in drain_time"
                );
                break;
            }
            sleep(DRAIN_LOOK).await;
        }
        if timeout(CLOSE_WAIT, member.leave()).await.is_err() {
            tracing::warn!("NATS does not answer: the other nodes notice later that this one has left");
        }
    }

    /// Ends what goes on by itself.
    pub(super) fn stop_tasks(&self) {
        self.listeners.iter().chain(&self.timers).for_each(JoinHandle::abort);
        self.shared.live().projects.values().for_each(|workers| workers.stop());
    }
}

/// Puts a list into any order, so that clients which came together do not come back together.
fn shuffle<T>(list: &mut [T]) {
    // Without random numbers the order is as good as any other.
    let mut state = random_bytes().map(u64::from_le_bytes).unwrap_or_default();
    for left in (1..list.len()).rev() {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let other = usize::try_from(mixed % (left as u64 + 1)).unwrap_or_default();
        list.swap(left, other);
    }
}

/// How often a node that leaves looks how many sessions it still has.
#[cfg(feature = "cluster")]
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// How long a shutdown waits for clients to confirm.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// What a shutdown takes at most beyond the times of the configuration: until clients have confirmed, and the store is done.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(15);
