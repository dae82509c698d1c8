//! The store, and the log of events that it keeps.

use std::time::SystemTime;

use futures::future::join_all;
use rtm_core::{
    EventQuery, EventTypes,
    store::{BackendStats, StoredBytes},
};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    super::{
        Admin,
        calls::FileSystem,
        page::{Labels, Page},
    },
    Look, STORE_TIMEOUT, app, labelled, one, per,
};

impl Admin {
    pub(super) async fn add_stored_bytes(&self, page: &mut Page, projects: &[Look]) {
        let mut samples = Vec::new();
        for (look, stored) in projects.iter().zip(self.measure(projects).await) {
            let Some(StoredBytes { offline, history, channel_attributes, events }) = stored else { continue };
            let kinds = [
                ("offline", offline),
                ("history", history),
                ("channel_attributes", channel_attributes),
                ("events", events),
            ];
            samples.extend(kinds.map(|(kind, bytes)| labelled(look, "kind", kind, bytes as f64)));
        }
        page.gauge("rtm_stored_bytes", "What the store keeps of a project", samples);
    }

    /// How large the file system of the data directory is, and how much room it has.
    pub(super) async fn add_disk(&self, page: &mut Page) {
        let Some(directory) = self.reloader.data_dir.clone() else { return };
        let looking = spawn_blocking(move || FileSystem::of(&directory));
        let Ok(Ok(Some(FileSystem { free, size }))) = timeout(STORE_TIMEOUT, looking).await else { return };
        page.gauge("rtm_store_disk_free_bytes", "Room on the disk of the data directory", [one(free)]);
        page.gauge("rtm_store_disk_size_bytes", "How large the disk of the data directory is", [one(size)]);
    }

    /// How old the log of each project is.
    pub(super) async fn add_log_age(&self, page: &mut Page, projects: &[Look]) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        // All at once: a store that is away must not cost a time for each.
        let ages = join_all(projects.iter().map(|look| async move {
            let project = self.shared.project(&look.app_id, None)?;
            let first = EventQuery { after: None, types: EventTypes::ALL, limit: 1 };
            let first = timeout(STORE_TIMEOUT, project.read_events(first)).await.ok()??.ok()?;
            let age = first.events.first().map_or(0, |event| now.saturating_sub(event.logged.time));
            Some((app(look), age as f64 / 1000.0))
        }));
        let ages: Vec<(Labels, f64)> = ages.await.into_iter().flatten().collect();
        page.gauge("rtm_event_log_oldest_seconds", "How long ago the oldest event happened that is in the log", ages);
    }

    pub(super) fn add_store(&self, page: &mut Page, kept: Option<BackendStats>, projects: &[Look]) {
        page.gauge("rtm_store_queue_bytes", "Messages that wait for the store", [one(self.store.queued_bytes())]);
        page.gauge("rtm_store_jobs_queued", "Jobs that the store has not done", [one(self.store.queued_jobs())]);
        if let Some(batches) = self.store.batches() {
            let help = "How long the store took for what had gathered";
            page.latencies("rtm_store_batch_duration_seconds", help, [(vec![], batches.times)]);
            page.histogram("rtm_store_batch_jobs", "How many jobs had gathered", [(vec![], batches.jobs)]);
        }
        page.counter(
            "rtm_store_failures",
            "Jobs that the store failed to do",
            per(projects, |it| it.stats.store_failures),
        );
        if let Some(kept) = kept {
            let bytes = kept.bytes.map(|bytes| (vec![("backend", kept.kind.as_str().to_owned())], bytes as f64));
            page.gauge("rtm_store_bytes", "How large the whole store is", bytes);
            let kinds = [("offline", kept.offline_messages), ("history", kept.history_messages)];
            page.gauge(
                "rtm_stored_messages",
                "Messages in the store",
                kinds.map(|(kind, count)| (vec![("kind", kind.to_owned())], count as f64)),
            );
            page.gauge(
                "rtm_store_restricted_users",
                "Users that are banned or have revoked tokens, also those whose bans are over",
                [one(kept.restricted)],
            );
            page.counter("rtm_store_damaged", "Places of the store that were found damaged", [one(kept.damaged)]);
        }
    }
}
