//! The server as its user sees it: how it is built, started and shut down.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rtm_codec::{AppId, CloseReason, UserId};
use rtm_core::{
    Core, ProjectConfig, Stats,
    store::{Backend, BackendError, BackendStats, Memory, StateKind, read_state},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, ToSocketAddrs},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::info;

#[cfg(feature = "admin")]
use crate::admin::{Admin, AdminListener};
use crate::{
    admission::{Admission, AdmissionLimits},
    bind,
    clock::instant,
    config::{Advertise, ServerConfig},
    error::{NotServed, ServerError},
    handle::ServerHandle,
    listener,
    project::{Project, now},
    redb::Redb,
    remote::Remote,
    shared::{Draining, Seldom, Shared},
    store::Store,
    tls::{Tls, TlsFiles},
    workers::Workers,
};
#[cfg(feature = "cluster")]
use crate::{
    cluster::{self, Mail, Member, Place, config::ClusterConfig, store::NodeStore},
    floor::{self, Desk},
    link::Link,
};

/// A running server. Dropping it ends everything at once; [`shutdown`](Self::shutdown) lets clients go first. Its ports
/// are free when `shutdown` returns; after a drop, as soon as the runtime has run its tasks once more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use rtm_server::{AppId, Server};
///
/// let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
/// let server = Server::builder().project(app_id).bind("127.0.0.1:0").await?;
/// println!("listening on {}", server.local_addr());
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
    timers: Vec<JoinHandle<()>>,
    store: Option<Store>,
    drain_time: Duration,
    #[cfg(feature = "admin")]
    admin: Arc<Admin>,
    #[cfg(feature = "admin")]
    admin_listener: AdminListener,
    #[cfg(feature = "cluster")]
    is_tls: bool,
    #[cfg(feature = "cluster")]
    member: Option<Member>,
}

/// Sets up a [`Server`].
#[derive(Default)]
pub struct ServerBuilder {
    config: ServerConfig,
    backend: Option<Box<dyn Backend>>,
}

/// The figures of a server at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerStats {
    /// Open connections, including those in their handshake.
    pub connections: usize,
    /// The figures of each project.
    pub projects: BTreeMap<AppId, Stats>,
    /// Refused logins of each project since the start.
    pub refused_logins: BTreeMap<AppId, u64>,
    /// Refused logins since the start with an App ID that this server does not have.
    pub refused_logins_without_project: u64,
}

impl Server {
    /// A builder without projects and with default settings.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts a server with a configuration, on the addresses in it.
    ///
    /// # Errors
    ///
    /// Those of [`ServerBuilder::start`].
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        ServerBuilder::from(config).start().await
    }

    /// The address it listens at; the first, if there are several.
    ///
    /// # Panics
    ///
    /// If it listens nowhere, since it was made by [`ServerBuilder::build`]; [`local_addrs`](Self::local_addrs) is empty
    /// then.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        *self.addresses.first().expect("the server was built to listen nowhere")
    }

    /// All addresses it listens at.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All addresses of the listener for those who run it.
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn admin_addrs(&self) -> &[SocketAddr] {
        &self.admin_listener.addresses
    }

    /// Waits until an operator wants the server to go down, by its admin API: [`shutdown`](Self::shutdown) is then the program's
    /// to call. Cancel safe.
    #[cfg(feature = "admin")]
    pub async fn drain_asked(&self) {
        self.admin.drain_asked.notified().await;
    }

    /// What gives it connections that it did not accept itself: [`ServerHandle::serve`], and behind the features `http`
    /// and `tower-service` the requests of an HTTP server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: Arc::clone(&self.shared) }
    }

    /// Serves a client at the other end of any stream of bytes: [`ServerHandle::serve`].
    ///
    /// # Errors
    ///
    /// [`NotServed`] when the client's address has too many connections or made too many.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the stream.
    pub async fn serve<S>(&self, io: S, remote: impl Into<Remote>) -> Result<(), NotServed>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.handle().serve(io, remote).await
    }

    /// The server as a service of an application's HTTP server: [`RtmService`](crate::RtmService).
    #[cfg(feature = "tower-service")]
    #[must_use]
    pub fn service(&self) -> crate::RtmService {
        crate::RtmService::new(self.handle())
    }

    /// The current figures.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let projects = self.shared.projects.iter();
        let refused = |project: &Arc<Project>| project.refused_logins().load(Ordering::Relaxed);
        ServerStats {
            connections: self.shared.tasks.len(),
            projects: projects.clone().map(|(app_id, workers)| (app_id.clone(), workers.stats())).collect(),
            refused_logins: projects
                .map(|(app_id, workers)| (app_id.clone(), workers.all().map(refused).sum()))
                .collect(),
            refused_logins_without_project: self.shared.refused_logins.load(Ordering::Relaxed),
        }
    }

    /// How much the backend stores, after everything that was asked of it until now; `None` if it does not count.
    /// Cancel safe.
    pub async fn store_stats(&self) -> Option<BackendStats> {
        match &self.store {
            Some(store) => store.queue().stats().await,
            None => None,
        }
    }

    /// Ends a user's session and refuses its logins for this time; zero only ends the session. Returns whether the user had
    /// a session; `false` for an unknown project.
    pub fn ban(&self, app_id: &AppId, user_id: &UserId, how_long: Duration) -> bool {
        let until = if how_long.is_zero() { 0 } else { now().unix_ms.saturating_add(how_long.as_millis() as u64) };
        // A session without a name at its login may be anywhere.
        let cores = self.shared.projects.get(app_id).into_iter().flat_map(Workers::all);
        cores.fold(false, |had_session, project| project.ban(user_id, until) | had_session)
    }

    /// Lets a banned user log in again. Returns whether the user was banned.
    pub fn unban(&self, app_id: &AppId, user_id: &UserId) -> bool {
        let cores = self.shared.projects.get(app_id).into_iter().flat_map(Workers::all);
        cores.fold(false, |was_banned, project| project.unban(user_id) | was_banned)
    }

    /// Becomes a member of the cluster, and serves while it is one.
    #[cfg(feature = "cluster")]
    async fn join(
        &mut self,
        config: &ClusterConfig,
        projects: Vec<Arc<Project>>,
        mail: Mail,
        store: Option<Arc<NodeStore>>,
    ) -> Result<(), ServerError> {
        let name = config.node.clone().unwrap_or_else(|| cluster::usual_name(self.addresses.first()));
        let [a, b, c, d, e, f, g, h, ..] = seed()?;
        let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        // Where nothing but TLS is spoken, a certificate may be for other names.
        let own = self.addresses.iter().filter(|address| !self.is_tls && !address.ip().is_unspecified());
        let advertise = self.shared.advertise.iter().filter(|_| !self.is_tls).map(ToString::to_string);
        let addresses = own.map(ToString::to_string).chain(advertise).collect();
        let member = Member::start(config, name, addresses, projects, mail, store, seed).await?;
        #[cfg(feature = "admin")]
        let _ = self.admin.cluster.set(member.figures());
        let (mut place, shared) = (member.place(), Arc::clone(&self.shared));
        self.timers.push(tokio::spawn(async move {
            loop {
                let is_serving = matches!(*place.borrow_and_update(), Place::Member { .. } | Place::Isolated);
                let is_certain = matches!(*place.borrow(), Place::Member { .. });
                shared.is_serving.store(is_serving, Ordering::Relaxed);
                shared.is_certain.store(is_certain, Ordering::Relaxed);
                if place.changed().await.is_err() {
                    return;
                }
            }
        }));
        member.joined().await?;
        self.shared.is_serving.store(true, Ordering::Relaxed);
        self.shared.is_certain.store(true, Ordering::Relaxed);
        self.member = Some(member);
        Ok(())
    }

    /// Sends clients away, waits until other nodes have their sessions, and leaves the cluster.
    #[cfg(feature = "cluster")]
    async fn leave(&mut self) {
        let Some(member) = self.member.take() else { return };
        let until = instant() + self.drain_time;
        member.drain();
        self.shared.cores().for_each(|project| project.drain_cluster());
        loop {
            let sessions: usize = self.shared.cores().map(|project| project.remaining().sessions).sum();
            if self.shared.cores().all(|project| project.remaining().is_nothing()) {
                break;
            }
            // Nobody is there to go to: clients come back when there is.
            if member.is_alone() && self.shared.tasks.len() == 0 {
                break;
            }
            if instant() >= until {
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

    /// Shuts down: accepts no more connections, closes all others so that their clients reconnect later, and finishes the work of
    /// the store. The closing is spread over [`ServerConfig::drain_time`], so that clients do not all reconnect at once. Takes at
    /// most a few seconds more than that.
    ///
    /// Dropping the future drops the server.
    pub async fn shutdown(mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            listener.abort();
            // It is gone, and its port is free.
            let _ = listener.await;
        }
        self.shared.draining.begin();
        #[cfg(feature = "cluster")]
        self.leave().await;
        let begun = instant();
        let mut connections = Vec::new();
        for project in self.shared.cores() {
            connections.extend(project.drain().into_iter().map(|conn| (Arc::clone(project), conn)));
        }
        info!(connections = connections.len(), "shutting down, asking clients to reconnect");
        let spread = self.drain_time.min(DRAIN_STEP * u32::try_from(connections.len()).unwrap_or(u32::MAX));
        let count = connections.len().max(1) as f64;
        for (i, (project, conn)) in connections.into_iter().enumerate() {
            let due = spread.mul_f64(i as f64 / count);
            if let Some(wait) = due.checked_sub(begun.elapsed()) {
                sleep(wait).await;
            }
            project.close(conn, CloseReason::Draining);
        }
        self.shared.cores().for_each(Project::store_unreceived);
        // Clients confirm the close. Those that do not are left.
        let all_gone = timeout(CLOSE_WAIT, self.shared.tasks.idle()).await.is_ok();
        if !all_gone {
            self.shared.tasks.abort();
            // An aborted task ends at its next step.
            let _ = timeout(CLOSE_WAIT, self.shared.tasks.idle()).await;
        }
        self.timers.iter().for_each(JoinHandle::abort);
        if let Some(store) = self.store.take() {
            store.stop().await;
        }
        info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listeners.iter().chain(&self.timers).for_each(JoinHandle::abort);
        self.shared.draining.begin();
        self.shared.tasks.abort();
    }
}

impl ServerBuilder {
    /// Adds a project: an [`AppId`] for an open one with default settings, or a [`ProjectConfig`].
    #[must_use]
    pub fn project(mut self, project: impl Into<ProjectConfig>) -> Self {
        self.config.projects.push(project.into());
        self
    }

    /// Stores messages for offline users, history and channel attributes in this directory. They survive restarts and crashes.
    #[must_use]
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.data_dir = Some(directory.into());
        self
    }

    /// Stores them in a backend of your own instead.
    #[must_use]
    pub fn backend(mut self, backend: impl Backend + 'static) -> Self {
        self.backend = Some(Box::new(backend));
        self
    }

    /// Speaks TLS, and only TLS, on all addresses, with this certificate.
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.config.tls = Some(files);
        self
    }

    /// Sets the public address that the gateway of the vendor's wire sends clients to.
    #[must_use]
    pub fn advertise(mut self, address: Advertise) -> Self {
        self.config.advertise = Some(address);
        self
    }

    /// Listens at `address`, in place of those of the configuration, and runs. A name may have several addresses: it listens
    /// at all of them.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when the address cannot be resolved.
    pub async fn bind(self, address: impl ToSocketAddrs + fmt::Debug) -> Result<Server, ServerError> {
        let tls = self.check()?;
        let named = format!("{address:?}");
        let listeners = bind::all(address, &[], &named).await?;
        self.start_at(listeners, tls).await
    }

    /// Listens at the addresses of the configuration, and runs on the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when the configuration contradicts itself, an address cannot be listened at, the TLS
    /// files cannot be used or the store cannot be opened.
    pub async fn start(self) -> Result<Server, ServerError> {
        let tls = self.check()?;
        let mut listeners = Vec::new();
        for address in &self.config.listen {
            listeners.extend(bind::at(address).await?);
        }
        if listeners.is_empty() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "no address is configured");
            return Err(ServerError::Listen { address: String::new(), source });
        }
        self.start_at(listeners, tls).await
    }

    /// A server that listens nowhere, whatever addresses the configuration has: its connections come by
    /// [`Server::serve`], or by an HTTP server that it is part of. It runs on the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn build(self) -> Result<Server, ServerError> {
        let tls = self.check()?;
        self.start_at(Vec::new(), tls).await
    }

    fn check(&self) -> Result<Option<Tls>, ServerError> {
        self.config.check()?;
        self.config.tls.as_ref().map(Tls::load).transpose()
    }

    async fn start_at(
        self,
        listeners: Vec<(SocketAddr, TcpListener)>,
        tls: Option<Tls>,
    ) -> Result<Server, ServerError> {
        let Self { config, backend } = self;
        let data_dir = config.data_dir.clone();
        let is_in_memory = backend.is_none() && data_dir.is_none();
        #[cfg(feature = "cluster")]
        let shared_store = (is_in_memory && config.cluster.is_some()).then(Arc::<NodeStore>::default);
        // Opening the store may have to repair it.
        #[cfg(feature = "cluster")]
        let (workers, is_alone) = (config.workers, config.cluster.is_none());
        #[cfg(not(feature = "cluster"))]
        let (workers, is_alone) = (1, true);
        let opening = tokio::task::spawn_blocking(move || open(backend, data_dir, config.projects, workers, is_alone));
        let (backend, cores) = opening.await.map_err(|error| BackendError::new("open the store", error)).flatten()?;
        #[cfg(feature = "cluster")]
        let shared = shared_store.clone().map(|shared| Store::as_async(shared));
        #[cfg(not(feature = "cluster"))]
        let shared = None;
        let store = match shared {
            Some(store) => store,
            None if is_in_memory => Store::as_task(backend),
            None => Store::on_thread(backend)?,
        };
        #[cfg(feature = "cluster")]
        let places = 0..cores.len();
        let projects = cores.into_iter().map(|core| Project::new(core, store.queue()));
        #[cfg(feature = "cluster")]
        let mail = config.cluster.as_ref().map(|_| Mail::new(workers));
        #[cfg(feature = "cluster")]
        let mut inboxes = Vec::new();
        #[cfg(feature = "cluster")]
        let projects = {
            let desks = places.step_by(usize::from(workers)).flat_map(|_| Desk::set_up(workers));
            let mut desks = desks.filter(|_| workers > 1 && is_alone);
            let linked = projects.enumerate().map(|(at, project)| match (&mail, desks.next()) {
                (Some(mail), _) => project.linked(Some(mail.link(at))),
                (None, Some((desk, inbox))) => {
                    inboxes.push(inbox);
                    project.linked(Some(Link::Floor(desk)))
                }
                (None, None) => project,
            });
            linked.collect::<Vec<_>>().into_iter()
        };
        let projects: Vec<_> = projects.map(Arc::new).collect();

        let now = now();
        let shared = Arc::new(Shared {
            handshake_timeout: config.handshake_timeout,
            login_timeout: config.login_timeout,
            advertise: config.advertise,
            tasks: Arc::default(),
            projects: by_app_id(&projects),
            admission: Arc::new(Admission::new(
                AdmissionLimits {
                    connections: config.max_connections,
                    connections_per_address: config.max_connections_per_address,
                    connects_per_address: config.connects_per_address,
                    refused_logins_per_address: config.refused_logins_per_address,
                },
                now.instant,
            )),
            draining: Draining::default(),
            is_serving: AtomicBool::new(is_alone),
            is_certain: AtomicBool::new(is_alone),
            refused_logins: AtomicU64::new(0),
            old_handshakes: Seldom::default(),
            out_of_descriptors: Seldom::default(),
            #[cfg(feature = "rest")]
            rest: config.rest,
            // No number of one that ran before.
            #[cfg(feature = "rest")]
            rest_requests: AtomicU64::new(now.unix_ms.saturating_mul(1000)),
            accepted: listeners.iter().map(|(address, _)| (*address, Arc::default())).collect(),
            without_descriptor: AtomicU64::new(0),
            has_no_descriptors: AtomicBool::new(false),
            found_full: AtomicU64::new(0),
            tls: tls.clone(),
        });
        let addresses: Vec<_> = listeners.iter().map(|(address, _)| *address).collect();
        let listen = |((address, socket), (_, accepted)): (_, &(SocketAddr, Arc<AtomicU64>))| {
            info!(%address, tls = tls.is_some(), "listening");
            tokio::spawn(listener::listen(socket, Arc::clone(accepted), tls.clone(), Arc::clone(&shared)))
        };
        let listeners = listeners.into_iter().zip(&shared.accepted).map(listen).collect();
        let mut timers: Vec<_> = projects.iter().map(|project| tokio::spawn(Arc::clone(project).keep_time())).collect();
        #[cfg(feature = "cluster")]
        timers.extend(
            inboxes.into_iter().zip(&projects).map(|(inbox, core)| tokio::spawn(inbox.serve(Arc::clone(core)))),
        );
        timers.extend(tls.clone().map(|tls| tokio::spawn(tls.watch())));
        let usual = if is_alone { DRAIN_TIME } else { CLUSTER_DRAIN_TIME };
        let drain_time = config.drain_time.unwrap_or(usual);
        #[cfg(feature = "admin")]
        let admin = Arc::new(Admin::new(&config.admin, Arc::clone(&shared), store.queue()));
        #[cfg(feature = "admin")]
        let admin_listener = AdminListener::start(&config.admin, Arc::clone(&admin)).await?;
        #[cfg_attr(not(feature = "cluster"), expect(unused_mut, reason = "it becomes a member"))]
        let mut server = Server {
            addresses,
            shared,
            listeners,
            timers,
            store: Some(store),
            drain_time,
            #[cfg(feature = "admin")]
            admin,
            #[cfg(feature = "admin")]
            admin_listener,
            #[cfg(feature = "cluster")]
            is_tls: tls.is_some(),
            #[cfg(feature = "cluster")]
            member: None,
        };
        #[cfg(feature = "cluster")]
        if let (Some(cluster), Some(mail)) = (config.cluster, mail) {
            server.join(&cluster, projects, mail, shared_store).await?;
        }
        Ok(server)
    }
}

impl From<ServerConfig> for ServerBuilder {
    fn from(config: ServerConfig) -> Self {
        Self { config, backend: None }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The cores of each project.
fn by_app_id(cores: &[Arc<Project>]) -> BTreeMap<AppId, Workers> {
    let mut projects: BTreeMap<AppId, Workers> = BTreeMap::new();
    for core in cores {
        match projects.get_mut(core.app_id()) {
            Some(workers) => workers.push(Arc::clone(core)),
            None => _ = projects.insert(core.app_id().clone(), Workers::new(Arc::clone(core))),
        }
    }
    projects
}

/// Opens the backend and makes the cores with what it kept: so many of each project, which know of each other if the server
/// is alone. Blocks.
fn open(
    backend: Option<Box<dyn Backend>>,
    data_dir: Option<PathBuf>,
    projects: Vec<ProjectConfig>,
    workers: u16,
    is_alone: bool,
) -> Result<(Box<dyn Backend>, Vec<Core>), BackendError> {
    let mut backend = match (backend, data_dir) {
        (Some(backend), _) => backend,
        (None, Some(directory)) => Box::new(Redb::open(directory)?),
        (None, None) => Box::new(Memory::default()),
    };
    let mut cores = Vec::new();
    for project in projects {
        let mut kept = Vec::new();
        for kind in StateKind::ALL {
            kept.extend(read_state(backend.as_mut(), &project.app_id, kind)?);
        }
        for number in 0..workers {
            let mut core = Core::new(project.clone(), seed()?, now());
            if workers > 1 && is_alone {
                #[cfg(feature = "cluster")]
                core.join_cluster(floor::id(number), floor::view(workers));
            }
            let values = if number + 1 == workers { std::mem::take(&mut kept) } else { kept.clone() };
            for (key, value) in values {
                core.restore(now(), key, value);
            }
            cores.push(core);
        }
    }
    Ok((backend, cores))
}

/// The seed of session ids.
fn seed() -> Result<[u8; 32], BackendError> {
    random_bytes()
}

/// A number that nobody else has.
#[cfg(feature = "cluster")]
pub(crate) fn random() -> Result<u64, BackendError> {
    random_bytes().map(u64::from_le_bytes)
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], BackendError> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| BackendError::new("get random numbers", "the system has none"))?;
    Ok(bytes)
}

/// How long a shutdown may take, alone and in a cluster.
const DRAIN_TIME: Duration = Duration::from_secs(2);
const CLUSTER_DRAIN_TIME: Duration = Duration::from_secs(60);
/// How often a node that leaves looks how many sessions it still has.
#[cfg(feature = "cluster")]
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// The least time between two closings at a shutdown with few connections.
const DRAIN_STEP: Duration = Duration::from_millis(2);
/// How long a shutdown waits for clients to confirm.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
