//! The store of a node: its projects use it from the start, and it does what they ask as soon as NATS is there.

use std::sync::Arc;

use futures::future::BoxFuture;
use rtm_codec::AppId;
use rtm_core::{
    StoreAnswer, StoreWork,
    store::{BackendError, BackendStats, StateKind},
};
use tokio::{
    sync::watch,
    time::{self, timeout_at},
};

use super::{NatsStore, TIME_LIMIT};
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

    async fn store(&self, until: time::Instant) -> Result<Arc<NatsStore>, BackendError> {
        let mut found = self.found.subscribe();
        let waited = timeout_at(until, found.wait_for(Option::is_some)).await;
        let store = waited.ok().and_then(Result::ok).and_then(|store| store.clone());
        store.ok_or_else(|| BackendError::new("use the store on NATS", "NATS is not there yet"))
    }

    /// Gives the cores of projects that have just joined what the store has of their state. Waits while NATS is away.
    pub(crate) async fn restore(&self, projects: &[Arc<Project>]) {
        let mut told = Told::default();
        for cores in projects.chunk_by(|one, next| one.app_id() == next.app_id()) {
            let app_id = cores[0].app_id();
            for kind in StateKind::ALL {
                loop {
                    let until = time::Instant::now() + TIME_LIMIT;
                    let read = async {
                        let store = self.store(until).await?;
                        Ok::<_, BackendError>(store.read_state(app_id, kind, until).await?)
                    };
                    match read.await {
                        Ok(values) => break cores.iter().for_each(|core| core.restore(values.clone())),
                        Err(error) => told.wait(&error.to_string()).await,
                    }
                }
            }
        }
    }
}

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
