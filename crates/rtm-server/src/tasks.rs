//! The tasks of a server: none outlives it, and whoever drains can wait for the last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use slab::Slab;
use tokio::{sync::Notify, task::AbortHandle};

/// Tasks that end with their owner. Eight bytes for each that runs.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: Mutex<Running>,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Running {
    tasks: Slab<AbortHandle>,
    is_over: bool,
}

impl Tasks {
    /// Runs `future` as a task until it ends or [`abort`](Self::abort) ends it. Says whether it runs: not after that.
    pub(crate) fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut running = self.running();
        if running.is_over {
            return false;
        }
        let entry = running.tasks.vacant_entry();
        let running_task = RunningTask { tasks: Arc::clone(self), key: entry.key() };
        // An async block that awaits it would have room for it twice.
        let task = tokio::spawn(future.map(move |()| drop(running_task)));
        entry.insert(task.abort_handle());
        true
    }

    /// Ends all tasks at their next step, and lets none run any more.
    pub(crate) fn abort(&self) {
        // Not under the lock: a task that ends takes itself off the list.
        let handles: Vec<_> = {
            let mut running = self.running();
            running.is_over = true;
            running.tasks.iter().map(|(_, task)| task.clone()).collect()
        };
        for task in handles {
            task.abort();
        }
    }

    /// How many tasks run.
    pub(crate) fn len(&self) -> usize {
        self.running().tasks.len()
    }

    /// Waits until no task runs. Cancel safe.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.len() == 0 {
                return;
            }
            notified.await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes its task off the list when it ends, however it ends.
struct RunningTask {
    tasks: Arc<Tasks>,
    key: usize,
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        let mut running = self.tasks.running();
        running.tasks.try_remove(self.key);
        if running.tasks.is_empty() {
            self.tasks.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_waits_for_the_last_task_and_abort_ends_those_that_never_would() {
        let tasks = Arc::new(Tasks::default());
        tasks.idle().await;
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move {
            let _ = ended.await;
        });
        tasks.spawn(std::future::pending());
        assert_eq!(tasks.len(), 2);
        let waiting = tokio::spawn({
            let tasks = Arc::clone(&tasks);
            async move { tasks.idle().await }
        });
        end.send(()).unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        tasks.abort();
        waiting.await.unwrap();
        assert_eq!(tasks.len(), 0);
        assert!(!tasks.spawn(async { panic!("all is over") }));
    }
}
