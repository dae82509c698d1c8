//! The store of a node: its projects use it from the start, and it does what they ask as soon as NATS is there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rtm_codec::AppId;
use rtm_core::{
    StoreAnswer, StoreWork,
    store::{BackendError, BackendStats, StateKey, StateKind, StateValue},
};
use tokio::{
    sync::watch,
    time::{self, timeout_at},
};

use tracing::info;

use super::{Failure, NatsStore, TIME_LIMIT};
use crate::{
    cluster::{connection::Told, permits::Permits},
    project::Project,
    store::{AsyncBackend, Term},
};

/// The store of a node, from before NATS is found.
#[derive(Debug, Default)]
pub(crate) struct NodeStore {
    found: watch::Sender<Option<Arc<NatsStore>>>,
    permits: Permits,
}

impl NodeStore {
    /// NATS is found.
    pub(crate) fn found(&self, store: NatsStore) {
        self.found.send_replace(Some(Arc::new(store.with_permits(self.permits.clone()))));
    }

    /// For how long the node may write.
    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }

    /// The store, if NATS is found.
    pub(crate) fn store_now(&self) -> Option<Arc<NatsStore>> {
        self.found.borrow().clone()
    }

    async fn store(&self, until: time::Instant) -> Result<Arc<NatsStore>, BackendError> {
        let mut found = self.found.subscribe();
        let waited = timeout_at(until, found.wait_for(Option::is_some)).await;
        let store = waited.ok().and_then(Result::ok).and_then(|store| store.clone());
        store.ok_or_else(|| BackendError::new("use the store on NATS", "NATS is not there yet"))
    }

    /// Gives the cores of projects that have just joined what the store has of their state. Waits while NATS is away. There may be
    /// much: each part of it has a time limit, and not all of it together.
    pub(crate) async fn restore(&self, projects: &[Arc<Project>]) {
        let mut reading = Reading::default();
        for cores in projects.chunk_by(|one, next| one.app_id() == next.app_id()) {
            let app_id = cores[0].app_id();
            for kind in StateKind::ALL {
                let what = format!("{} of the project {app_id}", kind.name());
                let take = |values: Vec<_>| cores.iter().for_each(|core| core.restore(values.clone()));
                reading.read(&what, &OfKind { store: self, app_id, kind }, take).await;
            }
        }
    }
}

/// Keys with their subjects.
type Keys = Vec<(StateKey, String)>;

/// Where state is read.
trait Kept: Sync {
    /// Some keys, and where to go on, if there are more.
    fn keys(&self, from: usize, until: time::Instant) -> BoxFuture<'_, Result<(Keys, Option<usize>), BackendError>>;

    /// What keys have.
    fn values(
        &self,
        keys: Keys,
        until: time::Instant,
    ) -> BoxFuture<'_, Result<Vec<(StateKey, StateValue)>, BackendError>>;
}

/// One kind of a project's state.
struct OfKind<'a> {
    store: &'a NodeStore,
    app_id: &'a AppId,
    kind: StateKind,
}

impl Kept for OfKind<'_> {
    fn keys(&self, from: usize, until: time::Instant) -> BoxFuture<'_, Result<(Keys, Option<usize>), BackendError>> {
        Box::pin(async move {
            let found = self.store.store(until).await?.keys_from(self.app_id, self.kind, from, until).await;
            Ok(found.map_err(Failure::from)?)
        })
    }

    fn values(
        &self,
        keys: Keys,
        until: time::Instant,
    ) -> BoxFuture<'_, Result<Vec<(StateKey, StateValue)>, BackendError>> {
        Box::pin(async move {
            let values = self.store.store(until).await?.read_values(self.kind, keys, until).await;
            Ok(values.map_err(Failure::from)?)
        })
    }
}

/// How far reading is, which is said now and then.
#[derive(Debug)]
struct Reading {
    waits: Told,
    told_at: time::Instant,
}

impl Default for Reading {
    fn default() -> Self {
        Self { waits: Told::default(), told_at: time::Instant::now() }
    }
}

impl Reading {
    /// Lists keys, and reads and hands over what they have.
    async fn read(&mut self, what: &str, kept: &dyn Kept, mut take: impl FnMut(Vec<(StateKey, StateValue)>)) {
        // Where keys are written meanwhile, some may come twice.
        let (mut keys, mut offset) = (BTreeMap::new(), Some(0));
        while let Some(from) = offset {
            let (found, next) = self.insist(|until| kept.keys(from, until)).await;
            keys.extend(found);
            offset = next;
        }
        let keys: Keys = keys.into_iter().collect();
        let mut done = 0;
        for part in keys.chunks(PART) {
            take(self.insist(|until| kept.values(part.to_vec(), until)).await);
            done += part.len();
            if self.told_at.elapsed() >= TELL_EVERY {
                self.told_at = time::Instant::now();
                info!("reading what is kept: {done} of {} {what}", keys.len());
            }
        }
    }

    /// Asks until there is an answer. Each attempt has its time.
    async fn insist<'a, T>(&mut self, ask: impl Fn(time::Instant) -> BoxFuture<'a, Result<T, BackendError>>) -> T {
        loop {
            match ask(time::Instant::now() + TIME_LIMIT).await {
                Ok(answer) => return answer,
                Err(error) => self.waits.wait(&error.to_string()).await,
            }
        }
    }
}

/// So many values are read within one time limit.
const PART: usize = 1024;
const TELL_EVERY: Duration = Duration::from_secs(10);

impl AsyncBackend for NodeStore {
    fn takes_together(&self, first: &StoreWork, next: &StoreWork) -> bool {
        super::takes_together(first, next)
    }

    fn life(&self) -> u64 {
        self.permits.life()
    }

    fn apply(
        self: Arc<Self>,
        app_id: AppId,
        works: Vec<StoreWork>,
        term: Term,
    ) -> BoxFuture<'static, Vec<Result<StoreAnswer, BackendError>>> {
        Box::pin(async move {
            match self.store(time::Instant::from_std(term.until)).await {
                Ok(store) => store.apply(app_id, works, term).await,
                Err(error) => works.iter().map(|_| Err(error.clone())).collect(),
            }
        })
    }

    fn stats(self: Arc<Self>) -> BoxFuture<'static, Result<BackendStats, BackendError>> {
        Box::pin(async move { self.store(time::Instant::now() + TIME_LIMIT).await?.stats().await })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use rtm_codec::Revision;
    use tokio::time::{sleep, timeout_at};

    use super::*;

    /// It takes most of a time limit for each answer, and once more than that.
    #[derive(Default)]
    struct Slow {
        listed: AtomicUsize,
        asked: AtomicUsize,
    }

    impl Slow {
        async fn take(of_ten: u32, until: time::Instant) -> Result<(), BackendError> {
            let late = |_| BackendError::new("read", "it takes too long");
            timeout_at(until, sleep(TIME_LIMIT * of_ten / 10)).await.map_err(late)
        }
    }

    impl Kept for Slow {
        fn keys(
            &self,
            from: usize,
            until: time::Instant,
        ) -> BoxFuture<'_, Result<(Keys, Option<usize>), BackendError>> {
            Box::pin(async move {
                Self::take(8, until).await?;
                self.listed.fetch_add(1, Relaxed);
                let keys = (from..from + 2 * PART).map(|n| (StateKey::EventCursor(format!("{n:05}")), n.to_string()));
                Ok((keys.collect(), (from == 0).then_some(2 * PART)))
            })
        }

        fn values(
            &self,
            keys: Keys,
            until: time::Instant,
        ) -> BoxFuture<'_, Result<Vec<(StateKey, StateValue)>, BackendError>> {
            Box::pin(async move {
                Self::take(if self.asked.fetch_add(1, Relaxed) == 2 { 20 } else { 8 }, until).await?;
                Ok(keys.into_iter().map(|(key, _)| (key, StateValue::ForgottenRevision(Revision(1)))).collect())
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_may_take_longer_than_one_time_limit_to_read() {
        let (slow, began) = (Slow::default(), time::Instant::now());
        let mut taken = Vec::new();
        let take = |values: Vec<(StateKey, StateValue)>| taken.extend(values.into_iter().map(|(key, _)| key));
        Reading::default().read("cursors", &slow, take).await;
        let wanted: Vec<_> = (0..4 * PART).map(|n| StateKey::EventCursor(format!("{n:05}"))).collect();
        assert!(taken == wanted, "all, and each once");
        assert_eq!((slow.listed.into_inner(), slow.asked.into_inner()), (2, 5), "only what failed is asked for again");
        assert!(began.elapsed() > TIME_LIMIT * 5);
    }
}
