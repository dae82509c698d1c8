//! The store of a cluster for tools: everything waits for its answer.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use async_nats::jetstream;
use futures::{StreamExt as _, TryStreamExt as _};
use rtm_codec::AppId;
use rtm_core::{
    StoreAnswer, StoreWork,
    store::{Backend, BackendError, BackendStats, LogEntry, LogKind, StateKey, StateKind, StateValue, Task},
};
use tokio::{runtime::Runtime, time::Instant};

use super::{
    Failure, NatsStore, TIME_LIMIT,
    jetstream::{Found, Start},
    scan::{IN_FLIGHT, Scan},
};
use crate::{
    DamagedRecord, StoreRecord,
    clock::instant,
    cluster::{
        config::{ClusterConfig, NatsUrl},
        connection::try_once,
        denied::Denied,
        names::Names,
        streams::Streams,
    },
    random::random,
    store::{AsyncBackend, Lane, TOGETHER, Term, lane},
};

/// The store of a cluster on NATS, for programs that check it or take it elsewhere, also while servers use it.
///
/// Every call blocks until NATS has answered, for at most 10 s, and panics inside of an asynchronous runtime.
#[derive(Debug)]
pub struct ClusterStore {
    runtime: Runtime,
    store: Arc<NatsStore>,
}

impl ClusterStore {
    /// Connects to the NATS servers of a cluster, and makes its streams if they are not there.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when none of the servers can be reached, or the streams cannot be used.
    pub fn open(cluster: &ClusterConfig) -> Result<Self, BackendError> {
        Self::connect(cluster, true)
    }

    /// Connects to the NATS servers of a cluster whose streams have to be there.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and when there are none.
    pub fn open_existing(cluster: &ClusterConfig) -> Result<Self, BackendError> {
        Self::connect(cluster, false)
    }

    fn connect(config: &ClusterConfig, makes: bool) -> Result<Self, BackendError> {
        let servers: Vec<_> = config.nats.iter().map(NatsUrl::to_string).collect();
        let doing = || format!("open the store of the cluster {} at {}", config.name, servers.join(","));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BackendError::new(doing(), error))?;
        let writer = random().map_err(|error| BackendError::new(doing(), error))?;
        let denied = Denied::new(&config.user());
        let opening = async {
            let client = try_once(config, "rtm store", &denied).await;
            let client = client.map_err(|error| BackendError::new(doing(), error.to_string()))?;
            let streams = Streams::new(jetstream::new(client.clone()), config);
            if !makes {
                let is_there = streams.has(&Names::new(config.name.as_str()).bucket("state")).await;
                if !is_there.map_err(|error| BackendError::new(doing(), error.to_string()))? {
                    return Err(BackendError::new(doing(), "there is no cluster of this name"));
                }
            }
            let streams = makes.then_some(streams);
            let opened = NatsStore::open(client, streams.as_ref(), &Names::new(config.name.as_str()), writer).await;
            let store = opened.map_err(|error| BackendError::new(doing(), error.to_string()))?;
            for stream in store.subjects.streams() {
                let there = store.jetstream.size(stream, until()).await;
                there.map_err(|fault| BackendError::new(doing(), format!("stream {stream}: {fault}")))?;
            }
            Ok::<_, BackendError>(store)
        };
        // What is denied gets no answer.
        let store = runtime.block_on(async {
            tokio::select! {
                opened = opening => opened,
                error = denied.wait() => Err(BackendError::new(doing(), error)),
            }
        })?;
        let store = Arc::new(store);
        Ok(Self { runtime, store })
    }

    /// Shows `visit` every record that there was when this was called, in no order but that of each log. What cannot be read is
    /// shown as its [`DamagedRecord`]. `visit` may break off.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when NATS does not answer.
    pub fn records(
        &mut self,
        mut visit: impl FnMut(Result<StoreRecord, DamagedRecord>) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        let Self { runtime, store } = self;
        let all = async {
            for kind in LogKind::ALL {
                if store.entries(kind, &mut visit).await?.is_break() {
                    return Ok(());
                }
            }
            for kind in StateKind::ALL {
                if store.all_values(kind, &mut visit).await?.is_break() {
                    return Ok(());
                }
            }
            Ok::<_, Failure>(())
        };
        runtime.block_on(all).map_err(BackendError::from)
    }
}

impl NatsStore {
    async fn entries(
        &self,
        kind: LogKind,
        visit: &mut impl FnMut(Result<StoreRecord, DamagedRecord>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Failure> {
        let stream = self.subjects.log_stream(kind);
        let filter = format!("{stream}.>");
        let Some(last) = self.jetstream.last(stream, &filter, until()).await? else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut start = 1;
        while start <= last.seq {
            // Each part has its own time.
            let mut scan = Scan::new(&self.jetstream, stream, &filter, Start::At(start), last.seq, until());
            start = u64::MAX;
            for _ in 0..PART {
                let Some(found) = scan.next().await? else { break };
                start = found.seq + 1;
                if visit(self.entry(kind, &found)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn entry(&self, kind: LogKind, found: &Found) -> Result<StoreRecord, DamagedRecord> {
        let damaged = |fault: String| DamagedRecord::new(format!("{} {}", found.subject, found.seq), fault);
        let (app_id, log) = self
            .subjects
            .read_log(kind, &found.subject)
            .ok_or_else(|| damaged("the subject is none of a log".to_owned()))?;
        let entry = LogEntry::decode(kind, &found.payload).map_err(|error| damaged(error.to_string()))?;
        Ok(StoreRecord::Entry { app_id, log, entry })
    }

    async fn all_values(
        &self,
        kind: StateKind,
        visit: &mut impl FnMut(Result<StoreRecord, DamagedRecord>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Failure> {
        let filter = self.subjects.keys_of(None, kind);
        let subjects = self.jetstream.subjects(self.subjects.state_stream(), &filter, until()).await?;
        let keys = subjects.into_iter().filter_map(|subject| Some((self.subjects.read_key(kind, &subject)?, subject)));
        let mut keys: Vec<((AppId, StateKey), String)> = keys.collect();
        keys.sort_unstable();
        for keys in keys.chunks(PART) {
            let mut values = self.values(kind, keys.to_vec(), until());
            while let Some(((app_id, key), value)) = values.try_next().await? {
                let value: StateValue = value;
                if visit(Ok(StoreRecord::Value { app_id, key, value })).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Backend for ClusterStore {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
        let Self { runtime, store } = self;
        runtime.block_on(async {
            let mut answers = Vec::with_capacity(tasks.len());
            let mut batch = Vec::new();
            for Task { app_id, work } in tasks {
                // They see what those before them did, and those after them see what they do.
                let is_alone = matches!(
                    work,
                    StoreWork::Expire { .. }
                        | StoreWork::List { .. }
                        | StoreWork::Search { .. }
                        | StoreWork::Count { .. }
                        | StoreWork::Measure
                );
                if is_alone {
                    answers.extend(do_at_once(store, std::mem::take(&mut batch)).await);
                }
                batch.push((app_id.clone(), work));
                if is_alone {
                    answers.extend(do_at_once(store, std::mem::take(&mut batch)).await);
                }
            }
            answers.extend(do_at_once(store, batch).await);
            answers
        })
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        self.runtime.block_on(Arc::clone(&self.store).stats())
    }
}

/// Does tasks, those of different logs and keys at the same time.
async fn do_at_once(store: &Arc<NatsStore>, tasks: Vec<(AppId, StoreWork)>) -> Vec<Result<StoreAnswer, BackendError>> {
    let count = tasks.len();
    let mut lanes: HashMap<Lane, Vec<(usize, StoreWork)>> = HashMap::new();
    for (index, (app_id, work)) in tasks.into_iter().enumerate() {
        let lane = lane(app_id, index as u64, &work);
        lanes.entry(lane).or_default().push((index, work));
    }
    let done = lanes.into_iter().map(|(lane, works)| do_in_order(store, lane, works));
    let done = futures::stream::iter(done).buffer_unordered(IN_FLIGHT).collect::<Vec<_>>().await;
    let mut all: Vec<_> = done.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(index, _)| *index);
    debug_assert_eq!(all.len(), count);
    all.into_iter().map(|(_, answer)| answer).collect()
}

async fn do_in_order(
    store: &Arc<NatsStore>,
    lane: Lane,
    works: Vec<(usize, StoreWork)>,
) -> Vec<(usize, Result<StoreAnswer, BackendError>)> {
    let mut answers = Vec::with_capacity(works.len());
    let mut works = works.into_iter().peekable();
    while let Some((index, first)) = works.next() {
        let (mut indexes, mut together) = (vec![index], vec![first]);
        while together.len() < TOGETHER
            && let Some((index, next)) = works.next_if(|(_, next)| store.takes_together(&together[0], next))
        {
            indexes.push(index);
            together.push(next);
        }
        let term = Term { until: instant() + TIME_LIMIT, life: 0 };
        let done = Arc::clone(store).apply(lane.app_id().clone(), together, term).await;
        answers.extend(indexes.into_iter().zip(done));
    }
    answers
}

fn until() -> Instant {
    Instant::now() + TIME_LIMIT
}

/// How many records are read within one time limit.
const PART: usize = 4096;
