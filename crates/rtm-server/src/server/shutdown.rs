//! How a server goes down: it says so, waits until others know, stops accepting, and sends its clients away at a pace.

use std::{sync::Arc, time::Duration};

use rtm_codec::CloseReason;
use rtm_core::ConnId;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::info;

use super::{Server, reload::Going};
use crate::{clock::instant, project::Project, random::shuffle};

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
        self.leave(&going).await;
        let begun = instant();
        let cores = self.shared.cores();
        let mut connections: Vec<(Arc<Project>, ConnId)> = Vec::new();
        for project in &cores {
            connections.extend(project.drain().into_iter().map(|conn| (Arc::clone(project), conn)));
        }
        shuffle(&mut connections);
        info!(connections = connections.len(), "shutting down, asking clients to reconnect");
        let count = connections.len().max(1) as f64;
        let spread = going.spread(connections.len());
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
        if going.is_alone {
            // Nobody goes on with their sessions.
            end_event_logs(&cores).await;
        }
        self.stop_tasks();
        #[cfg(feature = "webhooks")]
        if going.is_alone {
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
    async fn leave(&mut self, going: &Going) {
        let Some(member) = self.member.take() else { return };
        let until = instant() + going.time;
        let cores = self.shared.cores();
        member.drain();
        let over = going.spread_in_cluster(cores.iter().map(|project| project.figures().connections).sum());
        cores.iter().for_each(|project| project.drain_cluster(over));
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

/// Writes the ends of all sessions, if possible behind those that an earlier run left, and nothing after them.
pub(super) async fn end_event_logs(cores: &[Arc<Project>]) {
    let until = instant() + LOG_WAIT;
    while !cores.iter().all(|core| core.is_event_log_ready()) && instant() < until {
        sleep(LOG_LOOK).await;
    }
    cores.iter().for_each(Project::end_event_log);
}

impl Going {
    /// Over how long so many clients are sent away.
    fn spread(&self, clients: usize) -> Duration {
        self.time.min(Duration::from_secs_f64(clients as f64 / f64::from(self.rate)))
    }

    /// The same in a cluster, where their sessions have to be on other nodes in that time.
    #[cfg(feature = "cluster")]
    pub(super) fn spread_in_cluster(&self, clients: usize) -> Duration {
        self.spread(clients).min(self.time / 2)
    }
}

/// How often a node that leaves looks how many sessions it still has.
#[cfg(feature = "cluster")]
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// How long a shutdown waits for clients to confirm.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// How long the end of a log waits until what an earlier run left is read, and how often it looks.
const LOG_WAIT: Duration = Duration::from_secs(5);
const LOG_LOOK: Duration = Duration::from_millis(10);
/// What a shutdown takes at most beyond the times of the configuration: until clients have confirmed, logs and webhooks have
/// ended, the store is done, and the last traces are sent.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(feature = "otlp", feature = "webhooks"))]
    #[test]
    fn a_supervisor_is_told_a_time_in_which_all_parts_of_a_shutdown_end() {
        let of_all = crate::webhooks::endpoints::STOP_WITHIN + 2 * CLOSE_WAIT + crate::traces::spans::CLOSE_WITHIN;
        let alone = LOG_WAIT;
        let in_cluster = CLOSE_WAIT;
        let store = Duration::from_secs(5);
        assert!(of_all + alone.max(in_cluster) + store <= SHUTDOWN_MARGIN);
    }

    #[test]
    fn clients_are_sent_away_at_the_rate_that_is_set_and_in_a_cluster_in_half_of_the_time() {
        let going = |time, rate| Going { delay: Duration::ZERO, time: Duration::from_secs(time), rate, is_alone: true };
        let secs = Duration::from_secs;
        for (time, rate, clients, alone, in_cluster) in [
            (60, 500, 5_000, secs(10), secs(10)),
            (60, 5_000, 5_000, secs(1), secs(1)),
            (60, 500, 25_000, secs(50), secs(30)),
            (60, 500, 100_000, secs(60), secs(30)),
            (60, 500, 0, secs(0), secs(0)),
            (0, 500, 10, secs(0), secs(0)),
        ] {
            let going = going(time, rate);
            assert_eq!(going.spread(clients), alone, "{clients} clients");
            #[cfg(feature = "cluster")]
            assert_eq!(going.spread_in_cluster(clients), in_cluster, "{clients} clients");
            #[cfg(not(feature = "cluster"))]
            let _ = in_cluster;
        }
    }
}
