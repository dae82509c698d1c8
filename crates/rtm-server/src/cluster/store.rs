//! The store of a cluster: logs and state in streams of JetStream, which several nodes write and read at the same time. What
//! decides something is read at the stream's leader, and nothing is kept here that another node may have changed.

mod bytes;
mod damage;
mod events;
mod in_order;
mod jetstream;
mod logs;
mod node;
mod scan;
mod search;
mod state;
mod subjects;
mod tool;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rtm_codec::AppId;
use rtm_core::store::{
    BackendError, BackendKind, BackendStats, LogKind, Page, StateKind, StoreAnswer, StoreWork, record::RecordError,
};
use tokio::time::Instant;

pub(crate) use self::node::NodeStore;
pub use self::tool::ClusterStore;

use self::{
    damage::Damage,
    in_order::Steady,
    jetstream::{Fault, JetStream},
    logs::{Places, Span},
    subjects::Subjects,
};
use super::{
    error::NotDone,
    names::Names,
    permits::Permits,
    streams::{Streams, stream},
};
use crate::store::{AsyncBackend, Term};

/// The store of a cluster, as one node uses it.
#[derive(Debug, Clone)]
pub(crate) struct NatsStore {
    jetstream: JetStream,
    subjects: Arc<Subjects>,
    places: Arc<Places>,
    steady: Arc<Steady>,
    damage: Arc<Damage>,
}

/// Why the store did not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    JetStream(#[from] Fault),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl NatsStore {
    /// Makes what streams are missing, and checks those that are there, unless there is nobody to do so. `writer` is a random
    /// number.
    ///
    /// # Errors
    ///
    /// [`NotDone`]. It may be tried again after `NotNow`.
    pub(crate) async fn open(
        client: async_nats::Client,
        streams: Option<&Streams>,
        names: &Names,
        writer: u64,
    ) -> Result<Self, NotDone> {
        let subjects = Subjects::new(names);
        for name in subjects.streams() {
            let mut config = stream(name.to_owned(), format!("{name}.>"));
            config.duplicate_window = DUPLICATES_KNOWN_FOR;
            if name == subjects.state_stream() {
                config.max_messages_per_subject = 1;
            }
            if let Some(streams) = streams {
                streams.ensure(config).await?;
            }
        }
        let jetstream = JetStream::new(client, writer).await.map_err(|fault| NotDone::NotNow(fault.to_string()))?;
        Ok(Self {
            jetstream,
            subjects: Arc::new(subjects),
            places: Arc::default(),
            steady: Arc::default(),
            damage: Arc::default(),
        })
    }

    /// The same for a node, which writes nothing while it may be out of its cluster.
    fn with_permits(self, permits: Permits) -> Self {
        Self { jetstream: self.jetstream.with_permits(permits), ..self }
    }

    async fn work(&self, app_id: &AppId, work: StoreWork, until: Instant) -> Result<StoreAnswer, Failure> {
        match work {
            StoreWork::Append { log, entry, keep } => {
                let mut answers = self.append(app_id, &log, vec![(entry, keep)], until).await;
                answers.pop().unwrap_or(Err(Failure::Record(RecordError::Damaged)))
            }
            StoreWork::AppendEvents { events, .. } => {
                let mut answers = self.append_events(app_id, vec![events], until).await;
                answers.pop().unwrap_or(Err(Failure::Record(RecordError::Damaged)))
            }
            StoreWork::Read { log, after, times, limit, max_bytes } => {
                self.read(app_id, &log, Span { after, times, limit, max_bytes }, until).await
            }
            StoreWork::Remove { log, places } => self.remove(app_id, &log, places, until).await,
            StoreWork::Expire { kind: LogKind::Events, before, keep, max_bytes, .. } => {
                self.expire_events(app_id, before, keep, max_bytes, until).await
            }
            StoreWork::Expire { kind, before, .. } => self.expire(app_id, kind, before).await,
            StoreWork::Search { span, newest_first, offset, limit } => {
                self.search(app_id, &span, newest_first, offset, limit.max(1), until).await
            }
            StoreWork::Measure => self.measure(app_id, until).await,
            StoreWork::Count { span } => self.count_found(app_id, &span, until).await,
            StoreWork::Put { key, value, expected } => self.put(app_id, &key, &value, expected, until).await,
            StoreWork::Delete { key, expected } => self.delete(app_id, &key, expected, until).await,
            StoreWork::List { kind, after, max_bytes } => {
                self.list(app_id, kind, after.as_ref(), Page::new(usize::MAX, max_bytes), until).await
            }
        }
    }

    /// How much is kept.
    async fn figures(&self, until: Instant) -> Result<BackendStats, Failure> {
        let mut stats = BackendStats::default();
        let mut bytes = self.jetstream.size(self.subjects.state_stream(), until).await?.bytes;
        for kind in LogKind::ALL {
            let size = self.jetstream.size(self.subjects.log_stream(kind), until).await?;
            *stats.entries(kind) = size.messages;
            bytes += size.bytes;
        }
        for kind in StateKind::ALL {
            let filter = self.subjects.keys_of(None, kind);
            *stats.values(kind) = self.jetstream.count_subjects(self.subjects.state_stream(), &filter, until).await?;
        }
        (stats.kind, stats.bytes, stats.damaged) = (BackendKind::Nats, Some(bytes), self.damage.count());
        Ok(stats)
    }
}

impl From<Failure> for BackendError {
    fn from(failure: Failure) -> Self {
        Self::new("use the store on NATS", failure)
    }
}

impl AsyncBackend for NatsStore {
    fn takes_together(&self, first: &StoreWork, next: &StoreWork) -> bool {
        takes_together(first, next)
    }

    fn apply(
        self: Arc<Self>,
        app_id: AppId,
        mut works: Vec<StoreWork>,
        term: Term,
    ) -> BoxFuture<'static, Vec<Result<StoreAnswer, BackendError>>> {
        let until = Instant::from_std(term.until);
        Box::pin(async move {
            let store = Self { jetstream: self.jetstream.for_life(term.life), ..(*self).clone() };
            if works.len() == 1
                && let Some(work) = works.pop()
            {
                return vec![store.work(&app_id, work, until).await.map_err(BackendError::from)];
            }
            let (mut all, mut events) = (None, Vec::new());
            for work in works {
                let work = match work {
                    StoreWork::AppendEvents { events: more, .. } => {
                        events.push(more);
                        continue;
                    }
                    work => work,
                };
                let StoreWork::Append { log, entry, keep } = work else { continue };
                all.get_or_insert_with(|| (log, Vec::new())).1.push((entry, keep));
            }
            let answers = match all {
                Some((log, entries)) => store.append(&app_id, &log, entries, until).await,
                None => store.append_events(&app_id, events, until).await,
            };
            answers.into_iter().map(|answer| answer.map_err(BackendError::from)).collect()
        })
    }

    fn stats(self: Arc<Self>) -> BoxFuture<'static, Result<BackendStats, BackendError>> {
        Box::pin(async move { Ok(self.figures(Instant::now() + TIME_LIMIT).await?) })
    }
}

/// Appends to one history are on their way together, and those of events; all else is one task.
fn takes_together(first: &StoreWork, next: &StoreWork) -> bool {
    let is_history = |work: &StoreWork| matches!(work, StoreWork::Append { log, .. } if log.kind() == LogKind::History);
    let is_events = |work: &StoreWork| matches!(work, StoreWork::AppendEvents { .. });
    (is_history(first) && is_history(next)) || (is_events(first) && is_events(next))
}

/// For how long a write is known that comes again: a server of NATS that hung goes on with what it had been sent before, and
/// others have it since.
const DUPLICATES_KNOWN_FOR: Duration = Duration::from_secs(5 * 60);
/// How long anything may take, an election of a leader included.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use rtm_core::LogKey;

    use super::*;

    #[test]
    fn events_of_several_turns_go_together_and_with_nothing_else() {
        let events = StoreWork::AppendEvents { events: Vec::new(), is_awaited: false };
        let other = StoreWork::Remove { log: LogKey::Events, places: Vec::new() };
        assert!(takes_together(&events, &events));
        assert!(!takes_together(&events, &other) && !takes_together(&other, &events));
    }
}
