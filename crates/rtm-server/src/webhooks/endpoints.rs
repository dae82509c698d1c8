//! The endpoints of all projects at work, and what becomes of them when the configuration changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rtm_codec::AppId;
use rtm_core::store::BackendError;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

use super::{
    caller::Caller,
    config::{HookConfig, WebhookConfig},
    worker::{Order, Webhook},
};
use crate::{error::ServerError, project::Project, traces::Traces, workers::Workers};

/// The endpoints that are told what happens, by project.
pub(crate) type Webhooks = BTreeMap<AppId, Vec<Arc<Webhook>>>;

/// The tasks of the endpoints.
#[derive(Debug)]
pub(crate) struct Endpoints {
    running: Vec<Running>,
    traces: Traces,
}

#[derive(Debug)]
struct Running {
    project: Arc<Project>,
    webhook: Arc<Webhook>,
    task: JoinHandle<()>,
}

/// An endpoint whose files are read.
#[derive(Debug)]
pub(crate) struct Prepared {
    app_id: AppId,
    config: WebhookConfig,
    caller: Caller,
}

impl Endpoints {
    /// None yet.
    pub(crate) fn new(traces: Traces) -> Self {
        Self { running: Vec::new(), traces }
    }

    /// Reads the files that the endpoints need.
    pub(crate) async fn prepare(configs: Vec<HookConfig>) -> Result<Vec<Prepared>, ServerError> {
        let reading = spawn_blocking(move || {
            let all = configs.into_iter().flat_map(|HookConfig { app_id, webhooks, .. }| {
                webhooks.into_iter().map(move |webhook| (app_id.clone(), webhook))
            });
            all.map(|(app_id, config)| Ok(Prepared { caller: Caller::of_webhook(&config)?, app_id, config })).collect()
        });
        reading.await.map_err(|error| BackendError::new("read the files of webhooks", error))?
    }

    /// Starts what is new, and ends what is not wanted any more. Those that stay as they were notice nothing; one that changes
    /// goes on where it was.
    pub(crate) fn replace(&mut self, wanted: Vec<Prepared>, projects: &BTreeMap<AppId, Arc<Workers>>) -> Webhooks {
        let mut before = std::mem::take(&mut self.running);
        let mut webhooks = Webhooks::new();
        for Prepared { app_id, config, caller } in wanted {
            let Some(project) = projects.get(&app_id).and_then(|workers| workers.all().next()) else { continue };
            let is_its =
                |running: &Running| running.project.app_id() == &app_id && running.webhook.config.name == config.name;
            let old = before.iter().position(is_its).map(|at| before.swap_remove(at));
            let running = match old {
                Some(old) if old.webhook.is_as(&config, &caller) && Arc::ptr_eq(&old.project, project) => old,
                old => {
                    let old = old.map(|old| {
                        old.webhook.order(Order::Stop);
                        old.task
                    });
                    let (webhook, task) = Webhook::start(config, caller, self.traces.clone(), Arc::clone(project), old);
                    Running { project: Arc::clone(project), webhook, task }
                }
            };
            webhooks.entry(app_id).or_default().push(Arc::clone(&running.webhook));
            self.running.push(running);
        }
        // They keep where they are, wait for what is on its way, and end.
        before.iter().for_each(|old| old.webhook.order(Order::Stop));
        webhooks
    }

    /// Ends all of them, which keep where they are.
    pub(crate) async fn stop(&mut self) {
        self.running.iter().for_each(|running| running.webhook.order(Order::Stop));
        let until = Instant::now() + STOP_WITHIN;
        for mut running in std::mem::take(&mut self.running) {
            if timeout_at(until, &mut running.task).await.is_err() {
                // It has kept where it is. An aborted task ends at its next step, and lets the store go.
                running.task.abort();
                let _ = running.task.await;
            }
        }
    }
}

/// How long endpoints may take to keep where they are, and to answer what is on its way.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(2);
