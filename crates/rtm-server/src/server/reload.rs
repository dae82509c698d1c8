//! Takes another configuration while the server runs: all of it, or nothing.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rtm_codec::{AppId, CloseReason};
#[cfg(feature = "admin")]
use rtm_codec::{CallLimit, LimitedCall};
use rtm_core::Core;
use tokio::{
    sync::Mutex as AsyncMutex,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};
use tracing::{info, warn};

#[cfg(feature = "admin")]
use crate::admin::{config::BuildInfo, keys::AdminKeys, log::LogControl};
#[cfg(feature = "cluster")]
use crate::cluster::Mailbox;
#[cfg(feature = "admin")]
use crate::config::sources::{ConfigSource, Setting};
#[cfg(feature = "webhooks")]
use crate::webhooks::endpoints::{Endpoints, Prepared};
use crate::{
    admission::AdmissionLimits,
    clock::instant,
    config::{ServerConfig, entries::changes},
    error::{ReloadError, ServerError},
    gate::Judges,
    live::Live,
    project::Project,
    shared::Shared,
    tls::{Loaded, Tls, TlsConfig},
    workers::Workers,
};

#[cfg(feature = "webhooks")]
use super::back_ends::{Digests, digests, others};
use super::{back_ends::judges, premises::Premises, shutdown::end_event_logs};

/// What a reload did: the keys of the configuration that it was about. No values, since some are secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Reloaded {
    /// What is different from now on.
    pub changed: Vec<String>,
    /// What is different in the configuration, but needs a restart.
    pub needs_restart: Vec<String>,
}

/// How the program reads its configuration anew.
pub(crate) type Source = dyn Fn() -> Result<ServerConfig, Box<dyn Error + Send + Sync>> + Send + Sync;

/// Takes other configurations while the server runs.
pub(crate) struct Reloader {
    shared: Arc<Shared>,
    source: Option<Arc<Source>>,
    #[cfg(feature = "admin")]
    pub(crate) admin: AdminParts,
    /// Where the store is. That needs a restart.
    #[cfg(feature = "admin")]
    pub(crate) data_dir: Option<std::path::PathBuf>,
    /// Whoever reloads has this all the time. The state it has for moments only: a file may take for ever, and whoever ends
    /// the server needs the state.
    turn: AsyncMutex<()>,
    state: AsyncMutex<State>,
    last: Mutex<LastReload>,
}

/// What a reload replaces at the admin listener.
#[cfg(feature = "admin")]
pub(crate) struct AdminParts {
    pub(crate) keys: Arc<AdminKeys>,
    pub(crate) log: Option<LogControl>,
    pub(crate) build: BuildInfo,
    pub(crate) tls: Option<Tls>,
}

/// How the last reload ended. The start of the server counts as one.
#[derive(Debug, Clone)]
pub(crate) struct LastReload {
    /// Why it failed.
    pub(crate) fault: Option<String>,
    /// When the last one succeeded.
    pub(crate) succeeded: SystemTime,
}

struct State {
    /// What the server goes by: also where the last configuration said something that needs a restart.
    config: ServerConfig,
    premises: Premises,
    #[cfg(feature = "webhooks")]
    endpoints: Endpoints,
    /// What stood in the files of webhooks and hooks.
    #[cfg(feature = "webhooks")]
    files: Digests,
    /// Limits that an operator has set, until the next reload.
    #[cfg(feature = "admin")]
    limits: BTreeMap<AppId, BTreeMap<LimitedCall, CallLimit>>,
    /// Projects that were removed, until their clients are gone.
    closing: JoinSet<()>,
    is_over: bool,
}

/// A configuration that can be taken: all that it names is read.
struct Fresh {
    config: ServerConfig,
    changed: Vec<String>,
    needs_restart: Vec<String>,
    tls: Option<Loaded>,
    #[cfg(feature = "admin")]
    admin_tls: Option<Loaded>,
    judges: Judges,
    #[cfg(feature = "webhooks")]
    webhooks: Vec<Prepared>,
    #[cfg(feature = "webhooks")]
    files: Digests,
    added: Vec<(AppId, Vec<Core>)>,
}

/// How often clients may make a call.
#[cfg(feature = "admin")]
#[derive(Debug)]
pub(crate) struct HeldLimit {
    pub(crate) call: LimitedCall,
    /// What an operator has set.
    pub(crate) limit: Option<CallLimit>,
    pub(crate) configured: CallLimit,
    /// Where that is from.
    pub(crate) source: ConfigSource,
}

/// How the server is to go down.
pub(crate) struct Going {
    pub(crate) delay: Duration,
    pub(crate) time: Duration,
    pub(crate) rate: u32,
    /// It is not a node of a cluster.
    pub(crate) is_alone: bool,
}

impl Going {
    fn new(config: &ServerConfig, is_alone: bool) -> Self {
        let usual = if is_alone { DRAIN_TIME } else { CLUSTER_DRAIN_TIME };
        let &ServerConfig { drain_delay, drain_time, drain_rate, .. } = config;
        Self { delay: drain_delay, time: drain_time.unwrap_or(usual), rate: drain_rate.max(1), is_alone }
    }
}

impl Reloader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        source: Option<Arc<Source>>,
        config: ServerConfig,
        premises: Premises,
        #[cfg(feature = "webhooks")] endpoints: Endpoints,
        #[cfg(feature = "webhooks")] files: Digests,
        #[cfg(feature = "admin")] admin: AdminParts,
    ) -> Self {
        #[cfg(feature = "admin")]
        let data_dir = config.data_dir.clone();
        let state = AsyncMutex::new(State {
            config,
            premises,
            #[cfg(feature = "webhooks")]
            endpoints,
            #[cfg(feature = "webhooks")]
            files,
            #[cfg(feature = "admin")]
            limits: BTreeMap::new(),
            closing: JoinSet::new(),
            is_over: false,
        });
        let last = Mutex::new(LastReload { fault: None, succeeded: SystemTime::now() });
        Self {
            shared,
            source,
            #[cfg(feature = "admin")]
            admin,
            #[cfg(feature = "admin")]
            data_dir,
            turn: AsyncMutex::new(()),
            state,
            last,
        }
    }

    /// Reads the configuration and takes it. What came of it is logged.
    pub(crate) async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let done = self.read_and_take().await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.fault = done.as_ref().err().map(ToString::to_string);
        match &done {
            Ok(Reloaded { changed, needs_restart }) => {
                last.succeeded = SystemTime::now();
                match changed.is_empty() {
                    true => info!("the configuration is loaded anew: nothing has changed"),
                    false => info!("the configuration is loaded anew, with another {}", changed.join(", ")),
                }
                if !needs_restart.is_empty() {
                    warn!("the server has to be restarted for another {}", needs_restart.join(", "));
                }
            }
            Err(error) => warn!("the configuration is not loaded anew, and nothing has changed: {error}"),
        }
        done
    }

    /// How the last reload ended.
    #[cfg(feature = "admin")]
    pub(crate) fn last(&self) -> LastReload {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the server goes by.
    #[cfg(feature = "admin")]
    pub(crate) async fn settings(&self) -> Vec<Setting> {
        self.state.lock().await.config.settings()
    }

    /// The limits of a project that is served, as they hold now.
    #[cfg(feature = "admin")]
    pub(crate) async fn limits(&self, app_id: &AppId) -> Option<Vec<HeldLimit>> {
        let state = self.state.lock().await;
        let place = state.config.projects.iter().position(|project| project.app_id == *app_id)?;
        let project = state.config.projects.get(place)?;
        let set = state.limits.get(app_id);
        let settings = state.config.settings();
        let held = |call: LimitedCall| {
            let key = format!("project[{place}].limits.{}", call.as_str());
            let setting = settings.iter().find(|setting| setting.key == key);
            HeldLimit {
                call,
                limit: set.and_then(|set| set.get(&call)).copied(),
                configured: project.limits.get(call),
                source: setting.map_or(ConfigSource::Default, |setting| setting.source.clone()),
            }
        };
        Some(LimitedCall::ALL.into_iter().map(held).collect())
    }

    /// Sets limits of a project until the next reload; `None`: what the configuration says.
    #[cfg(feature = "admin")]
    pub(crate) async fn set_limits(
        &self,
        app_id: &AppId,
        limits: &BTreeMap<LimitedCall, Option<CallLimit>>,
    ) -> Result<(), ReloadError> {
        let mut state = self.state.lock().await;
        if state.is_over {
            return Err(ReloadError::ShuttingDown);
        }
        let Some(mut project) = state.config.projects.iter().find(|project| project.app_id == *app_id).cloned() else {
            return Ok(());
        };
        let set = state.limits.entry(app_id.clone()).or_default();
        for (call, limit) in limits {
            match limit {
                Some(limit) => drop(set.insert(*call, *limit)),
                None => drop(set.remove(call)),
            }
        }
        set.iter().for_each(|(call, limit)| project.limits.set(*call, *limit));
        if let Some(workers) = self.shared.live().projects.get(app_id) {
            workers.all().for_each(|core| core.reconfigure(&project));
        }
        Ok(())
    }

    /// How the server is to go down. Nothing is reloaded any more.
    pub(super) async fn going_down(&self) -> Going {
        self.state.lock().await.is_over = true;
        self.going().await
    }

    /// How the server would go down.
    pub(super) async fn going(&self) -> Going {
        let state = self.state.lock().await;
        Going::new(&state.config, state.premises.is_alone)
    }

    /// Nobody is told any more what happens. How far each endpoint is, is kept.
    #[cfg(feature = "webhooks")]
    pub(super) async fn stop_telling(&self) {
        self.state.lock().await.endpoints.stop().await;
    }

    async fn read_and_take(&self) -> Result<Reloaded, ReloadError> {
        let source = self.source.clone().ok_or(ReloadError::NoSource)?;
        let _turn = self.turn.lock().await;
        let before = {
            let state = self.state.lock().await;
            if state.is_over {
                return Err(ReloadError::ShuttingDown);
            }
            state.config.clone()
        };
        let read = spawn_blocking(move || source());
        let config = read.await.map_err(|error| ReloadError::Source(error.into()))?.map_err(ReloadError::Source)?;
        config.check().map_err(ServerError::from)?;
        config.doubts().iter().for_each(|doubt| warn!("{doubt}"));
        let fresh = self.prepare(&before, config).await?;
        let mut state = self.state.lock().await;
        if state.is_over {
            return Err(ReloadError::ShuttingDown);
        }
        self.take(&mut state, fresh)
    }

    /// Reads all that a configuration names.
    async fn prepare(&self, before: &ServerConfig, mut config: ServerConfig) -> Result<Fresh, ReloadError> {
        // Also those that are used from the next start on: they would keep it from starting.
        let tls = read(config.tls.as_ref(), "tls").await?;
        #[cfg(feature = "admin")]
        let admin_tls = read(config.admin.tls.as_ref(), "admin.tls").await?;
        let needs_restart = keep_what_needs_a_restart(before, &mut config);
        // What is kept may not go with what is new.
        config.check().map_err(ServerError::from)?;
        let live = self.shared.live();
        let judges = judges(&config, &live.judges).await?;
        #[cfg(feature = "webhooks")]
        let (webhooks, files) = (Endpoints::prepare(config.hooks.clone()).await?, digests(&config.hooks).await);
        let mut added: Vec<(AppId, Vec<Core>)> = Vec::new();
        for project in config.projects.iter().filter(|project| !live.projects.contains_key(&project.app_id)) {
            let opening = self.state.lock().await.premises.open(project);
            added.push((project.app_id.clone(), opening.await.map_err(ServerError::from)?));
        }
        Ok(Fresh {
            changed: changes(before, &config),
            needs_restart,
            config,
            tls,
            #[cfg(feature = "admin")]
            admin_tls,
            judges,
            #[cfg(feature = "webhooks")]
            webhooks,
            #[cfg(feature = "webhooks")]
            files,
            added,
        })
    }

    /// Everything that can fail is done before anything is replaced.
    fn take(&self, state: &mut State, fresh: Fresh) -> Result<Reloaded, ReloadError> {
        let Fresh { config, mut changed, needs_restart, tls, judges, added, .. } = fresh;
        let before = self.shared.live();
        #[cfg(feature = "admin")]
        if let Some(log) = &self.admin.log
            && state.config.log.level != config.log.level
        {
            let level = config.log.level.clone().unwrap_or_else(|| log.default_level());
            log.set_level(&level).map_err(|what| ReloadError::Source(format!("log.level: {what}").into()))?;
        }

        let mut renewed = replace(self.shared.tls.as_ref(), tls);
        #[cfg(feature = "admin")]
        {
            renewed.extend(replace(self.admin.tls.as_ref(), fresh.admin_tls));
            self.admin.keys.replace(&config.admin);
        }
        #[cfg(feature = "webhooks")]
        {
            renewed.extend(others(&state.files, &fresh.files));
            state.files = fresh.files;
        }
        renewed.retain(|key| !changed.contains(key));
        changed.extend(renewed);
        self.shared.admission.set_limits(AdmissionLimits::from(&config));
        let mut projects = BTreeMap::new();
        for project in &config.projects {
            if let Some(workers) = before.projects.get(&project.app_id) {
                workers.all().for_each(|core| core.reconfigure(project));
                projects.insert(project.app_id.clone(), Arc::clone(workers));
            }
        }
        #[cfg(feature = "admin")]
        if state.limits.values().any(|set| !set.is_empty()) {
            info!("the limits that were set while the server ran hold no more: the configuration's do");
            state.limits.clear();
        }
        for (app_id, cores) in added {
            projects.insert(app_id, Arc::new(state.premises.add(cores)));
        }
        let removed = before.projects.iter().filter(|(app_id, _)| !projects.contains_key(*app_id));
        let removed: Vec<_> = removed.map(|(_, workers)| Arc::clone(workers)).collect();
        #[cfg(feature = "webhooks")]
        let webhooks = state.endpoints.replace(fresh.webhooks, &projects);
        self.shared.replace(Live {
            #[cfg(feature = "webhooks")]
            webhooks,
            ..Live::new(&config, projects, judges)
        });
        #[cfg(feature = "admin")]
        self.admin.keys.tell();
        while state.closing.try_join_next().is_some() {}
        for workers in removed {
            #[cfg(feature = "cluster")]
            if let Some(mailbox) = state.premises.mailbox.clone() {
                let going = Going::new(&config, false);
                state.closing.spawn(async move {
                    leave(&workers, &going).await;
                    let app_id = workers.all().next().map(|core| core.app_id().clone());
                    app_id.into_iter().for_each(|app_id| mailbox.forget(app_id));
                    close(workers, false).await;
                });
                continue;
            }
            state.closing.spawn(close(workers, state.premises.is_alone));
        }
        #[cfg(feature = "cluster")]
        state.premises.mailbox.iter().for_each(Mailbox::say_terms);
        state.config = config;
        Ok(Reloaded { changed, needs_restart })
    }
}

/// Takes over from `before` what cannot change, and names it where `config` has it otherwise.
fn keep_what_needs_a_restart(before: &ServerConfig, config: &mut ServerConfig) -> Vec<String> {
    let wanted = config.clone();
    config.listen.clone_from(&before.listen);
    config.data_dir.clone_from(&before.data_dir);
    config.log.format = before.log.format;
    #[cfg(feature = "otlp")]
    config.otlp.clone_from(&before.otlp);
    config.max_memory = before.max_memory;
    if config.tls.is_some() != before.tls.is_some() {
        config.tls.clone_from(&before.tls);
    }
    #[cfg(feature = "admin")]
    {
        config.admin.listen.clone_from(&before.admin.listen);
        if config.admin.tls.is_some() != before.admin.tls.is_some() {
            config.admin.tls.clone_from(&before.admin.tls);
        }
        config.admin.log.clone_from(&before.admin.log);
        config.admin.build.clone_from(&before.admin.build);
    }
    #[cfg(feature = "cluster")]
    {
        config.cluster.clone_from(&before.cluster);
        config.workers = before.workers;
    }
    let changed = changes(config, &wanted);
    changed.iter().for_each(|key| config.sources.keep(key, &before.sources));
    changed
}

/// Reads the files of a listener that speaks TLS.
async fn read(config: Option<&TlsConfig>, section: &'static str) -> Result<Option<Loaded>, ReloadError> {
    let Some(config) = config.cloned() else { return Ok(None) };
    let read = spawn_blocking(move || Loaded::read(&config, section));
    Ok(Some(read.await.map_err(|error| ReloadError::Source(error.into()))??))
}

/// Shows these certificates from now on, and gives the keys of those that are others.
fn replace(tls: Option<&Tls>, loaded: Option<Loaded>) -> Vec<String> {
    tls.zip(loaded).map(|(tls, loaded)| tls.replace(loaded)).unwrap_or_default()
}

/// Sends the clients of a project to other nodes, as far as these serve it.
#[cfg(feature = "cluster")]
async fn leave(workers: &Workers, going: &Going) {
    let over = going.spread_in_cluster(workers.all().map(|core| core.figures().connections).sum());
    workers.all().for_each(|core| core.drain_cluster(over));
    let until = instant() + going.time;
    while !workers.all().all(|core| core.remaining().is_nothing()) && instant() < until {
        sleep(CLOSE_LOOK).await;
    }
}

/// Sends the clients of a project away that is not served any more.
async fn close(workers: Arc<Workers>, is_alone: bool) {
    for core in workers.all() {
        for conn in core.drain() {
            core.close(conn, CloseReason::Draining);
        }
    }
    workers.all().for_each(Project::store_unreceived);
    let until = instant() + CLOSE_WAIT;
    while workers.stats().connections > 0 && instant() < until {
        sleep(CLOSE_LOOK).await;
    }
    if is_alone {
        end_event_logs(&workers.all().cloned().collect::<Vec<_>>()).await;
    }
}

impl From<&ServerConfig> for AdmissionLimits {
    fn from(config: &ServerConfig) -> Self {
        Self {
            connections: config.max_connections,
            connections_per_address: config.max_connections_per_address,
            connects_per_address: config.connects_per_address,
            refused_logins_per_address: config.refused_logins_per_address,
        }
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("last", &self.last).finish_non_exhaustive()
    }
}

/// How long a shutdown may take, alone and in a cluster.
const DRAIN_TIME: Duration = Duration::from_secs(10);
const CLUSTER_DRAIN_TIME: Duration = Duration::from_secs(60);
/// How long the clients of a removed project may take to confirm, and how often that is looked at.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
const CLOSE_LOOK: Duration = Duration::from_millis(50);
