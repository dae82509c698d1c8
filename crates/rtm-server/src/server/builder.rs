//! How a server is set up and started.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64},
    },
};

use rtm_core::{
    ProjectConfig,
    store::{Backend, BackendError},
};
use tokio::net::{TcpListener, ToSocketAddrs};
#[cfg(feature = "otlp")]
use tokio::runtime::Handle;
use tracing::{info, warn};

#[cfg(feature = "webhooks")]
use super::back_ends::digests;
#[cfg(feature = "admin")]
use super::reload::AdminParts;
use super::{
    Server,
    back_ends::judges,
    premises::{Premises, open},
    reload::{Reloader, Source},
};
#[cfg(feature = "admin")]
use crate::address::ListenAddress;
#[cfg(feature = "otlp")]
use crate::address::host_and_port_here;
#[cfg(feature = "admin")]
use crate::admin::{Admin, AdminListener, keys::AdminKeys};
#[cfg(feature = "admin")]
use crate::call_times::CallTimes;
#[cfg(feature = "cluster")]
use crate::cluster::{
    Mail,
    contact::{contact_address, names_one_machine},
    store::NodeStore,
};
#[cfg(feature = "rest")]
use crate::rest::RestCounts;
#[cfg(feature = "webhooks")]
use crate::webhooks::endpoints::Endpoints;
use crate::{
    admission::{Admission, AdmissionLimits},
    bind,
    config::{Advertise, ListenerConfig, ServerConfig},
    error::ServerError,
    gate::Judges,
    http_figures::HttpFigures,
    listener::{self, Door},
    live::Live,
    memory,
    project::now,
    shared::{Draining, Seldom, Shared},
    store::Store,
    tls::{Tls, TlsConfig},
    traces::Traces,
};

/// A socket that listens.
struct Socket {
    address: SocketAddr,
    socket: TcpListener,
    is_tls: bool,
    has_proxy_header: bool,
}

/// Sets up a [`Server`].
#[derive(Default)]
pub struct ServerBuilder {
    config: ServerConfig,
    backend: Option<Box<dyn Backend>>,
    source: Option<Arc<Source>>,
    listeners: Vec<std::net::TcpListener>,
    #[cfg(feature = "admin")]
    admin_listeners: Vec<std::net::TcpListener>,
}

impl ServerBuilder {
    /// Adds a project: an [`AppId`](crate::AppId) for an open one with default settings, or a [`ProjectConfig`].
    #[must_use]
    pub fn project(mut self, project: impl Into<ProjectConfig>) -> Self {
        self.config.projects.push(project.into());
        self
    }

    /// Stores in this directory what is to survive restarts and crashes: messages for offline users, history, channel attributes,
    /// subscriptions of the vendor's SDK, bans, revoked tokens, events, and how far webhooks are.
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

    /// Speaks TLS, and only TLS, on all addresses, with this certificate ([`TlsFiles`](crate::TlsFiles)) or these.
    #[must_use]
    pub fn tls(mut self, tls: impl Into<TlsConfig>) -> Self {
        self.config.tls = Some(tls.into());
        self
    }

    /// How to read the configuration anew, whole, when [`Server::reload`] or the admin API wants that. It may block.
    #[must_use]
    pub fn config_source<E>(mut self, read: impl Fn() -> Result<ServerConfig, E> + Send + Sync + 'static) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.source = Some(Arc::new(move || read().map_err(Into::into)));
        self
    }

    /// Sets the public address that the gateway of the vendor's wire sends clients to.
    #[must_use]
    pub fn advertise(mut self, address: Advertise) -> Self {
        self.config.advertise = Some(address);
        self
    }

    /// Listens on this socket, which somebody else has opened and keeps open, in place of the addresses of the configuration: so a
    /// service manager hands it over. [`start`](Self::start) does so. Can be repeated. `tls` and `proxy_protocol` are those of
    /// the configuration's listener with the same port, if there is one.
    #[must_use]
    pub fn listener(mut self, socket: std::net::TcpListener) -> Self {
        self.listeners.push(socket);
        self
    }

    /// The same for the listener of those who run the server, in place of [`AdminConfig::listen`](crate::AdminConfig::listen).
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn admin_listener(mut self, socket: std::net::TcpListener) -> Self {
        self.admin_listeners.push(socket);
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
        let bound = bind::all(address, &named).await?.into_iter();
        let is_tls = tls.is_some();
        let listeners = bound.map(|(address, socket)| Socket { address, socket, is_tls, has_proxy_header: false });
        let listeners = listeners.collect();
        self.start_at(listeners, tls).await
    }

    /// Listens at the addresses of the configuration or on the sockets that are open already, and runs on the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when the configuration contradicts itself, an address cannot be listened at, the TLS
    /// files cannot be used or the store cannot be opened.
    pub async fn start(mut self) -> Result<Server, ServerError> {
        let tls = self.check()?;
        let mut listeners = Vec::new();
        let mut listen = |(address, socket), listener: Option<&ListenerConfig>| {
            let is_tls = tls.is_some() && listener.and_then(|listener| listener.tls) != Some(false);
            let has_proxy_header = listener.is_some_and(|listener| listener.proxy_protocol);
            listeners.push(Socket { address, socket, is_tls, has_proxy_header });
        };
        let configured = if self.listeners.is_empty() { self.config.listen.as_slice() } else { &[] };
        let all: Vec<_> = configured.iter().map(|listener| listener.address.clone()).collect();
        #[cfg(feature = "admin")]
        let all = [all, self.admin_addresses()].concat();
        for listener in configured {
            bind::at(&listener.address, &all).await?.into_iter().for_each(|bound| listen(bound, Some(listener)));
        }
        for (address, socket) in bind::opened(std::mem::take(&mut self.listeners))? {
            let listener = self.config.listen.iter().find(|listener| listener.address.port() == address.port());
            listen((address, socket), listener);
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
        self.config.doubts().iter().for_each(|doubt| warn!("{doubt}"));
        self.config.tls.as_ref().map(|tls| Tls::load(tls, "tls")).transpose()
    }

    /// Where those who run the server are listened to.
    #[cfg(feature = "admin")]
    fn admin_addresses(&self) -> Vec<ListenAddress> {
        if self.admin_listeners.is_empty() {
            return self.config.admin.listen.clone();
        }
        let opened = self.admin_listeners.iter().filter_map(|socket| socket.local_addr().ok());
        opened.map(ListenAddress::from).collect()
    }

    async fn start_at(self, listeners: Vec<Socket>, tls: Option<Tls>) -> Result<Server, ServerError> {
        let Self {
            config,
            backend,
            source,
            #[cfg(feature = "admin")]
            admin_listeners,
            ..
        } = self;
        // What can fail comes before the tasks, which would go on after an error.
        #[cfg(feature = "admin")]
        let admin_sockets = admin_sockets(&config.admin.listen, admin_listeners, &listeners).await?;
        #[cfg(feature = "admin")]
        let admin_tls = config.admin.tls.as_ref().map(|tls| Tls::load(tls, "admin.tls")).transpose()?;
        #[cfg(not(feature = "admin"))]
        let admin_tls = None;
        let judges = judges(&config, &Judges::new()).await?;
        #[cfg(feature = "webhooks")]
        let (prepared, files) = (Endpoints::prepare(config.hooks.clone()).await?, digests(&config.hooks).await);
        let data_dir = config.data_dir.clone();
        let is_in_memory = backend.is_none() && data_dir.is_none();
        #[cfg(feature = "cluster")]
        let shared_store = (is_in_memory && config.cluster.is_some()).then(Arc::<NodeStore>::default);
        #[cfg(feature = "cluster")]
        let (workers, is_alone) = (config.workers, config.cluster.is_none());
        #[cfg(not(feature = "cluster"))]
        let (workers, is_alone) = (1, true);
        // Opening the store may have to repair it.
        let projects = config.projects.clone();
        let opening = tokio::task::spawn_blocking(move || open(backend, data_dir, &projects, workers, is_alone));
        let (backend, cores) = opening.await.map_err(|error| BackendError::new("open the store", error)).flatten()?;
        #[cfg(feature = "cluster")]
        let shared = shared_store.clone().map(|shared| Store::as_async(shared));
        #[cfg(not(feature = "cluster"))]
        let shared = None;
        #[cfg(feature = "otlp")]
        let traces = traces(&config, listeners.first().map(|listener| listener.address)).await?;
        #[cfg(not(feature = "otlp"))]
        let traces = Traces::default();
        let store = match shared {
            Some(store) => store,
            None if is_in_memory => Store::as_task(backend, traces.clone()),
            None => Store::on_thread(backend, traces.clone())?,
        };
        #[cfg(feature = "cluster")]
        let mail = config.cluster.as_ref().map(|_| Mail::new(workers));
        let mut premises = Premises {
            store: store.queue(),
            workers,
            is_alone,
            #[cfg(feature = "cluster")]
            mailbox: mail.as_ref().map(Mail::mailbox),
            #[cfg(feature = "cluster")]
            places: 0,
        };
        let mut projects = BTreeMap::new();
        #[cfg(feature = "cluster")]
        let mut in_place = Vec::new();
        for (project, cores) in config.projects.iter().zip(cores) {
            let workers = premises.put_to_work(cores);
            #[cfg(feature = "cluster")]
            in_place.extend(workers.all().cloned());
            projects.insert(project.app_id.clone(), Arc::new(workers));
        }

        #[cfg(feature = "webhooks")]
        let (endpoints, webhooks) = {
            let mut endpoints = Endpoints::new(traces.clone());
            let webhooks = endpoints.replace(prepared, &projects);
            (endpoints, webhooks)
        };
        let now = now();
        let shared = Arc::new(Shared {
            live: RwLock::new(Arc::new(Live {
                #[cfg(feature = "webhooks")]
                webhooks,
                ..Live::new(&config, projects, judges)
            })),
            reloads: AtomicU32::new(0),
            tasks: Arc::default(),
            admission: Arc::new(Admission::new(AdmissionLimits::from(&config), now.instant)),
            draining: Draining::default(),
            memory: Arc::default(),
            is_serving: AtomicBool::new(is_alone),
            is_certain: AtomicBool::new(is_alone),
            refused_logins: AtomicU64::new(0),
            old_handshakes: Seldom::default(),
            out_of_descriptors: Seldom::default(),
            full: Seldom::default(),
            without_proxy_header: Seldom::default(),
            // No number of one that ran before.
            #[cfg(feature = "rest")]
            rest_requests: AtomicU64::new(now.unix_ms.saturating_mul(1000)),
            #[cfg(feature = "rest")]
            wrong_rest_keys: Seldom::default(),
            #[cfg(feature = "rest")]
            rest_counts: RestCounts::default(),
            accepted: listeners.iter().map(|listener| (listener.address, Arc::default())).collect(),
            has_lost_listener: AtomicBool::new(false),
            without_descriptor: AtomicU64::new(0),
            has_no_descriptors: AtomicBool::new(false),
            last_alive: tokio::sync::Mutex::default(),
            found_full: AtomicU64::new(0),
            found_headerless: AtomicU64::new(0),
            found_draining: AtomicU64::new(0),
            http: HttpFigures::default(),
            tls: tls.clone(),
            store: store.queue(),
            traces,
            #[cfg(feature = "admin")]
            call_times: CallTimes::default(),
        });
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
        #[cfg(feature = "cluster")]
        let asked = asked(&listeners);
        let listen = |(listener, (_, accepted)): (Socket, &(SocketAddr, Arc<AtomicU64>))| {
            let Socket { address, socket, is_tls, has_proxy_header } = listener;
            info!(%address, tls = is_tls, "listening");
            let door = Door { tls: tls.clone().filter(|_| is_tls), has_proxy_header };
            tokio::spawn(listener::listen(socket, Arc::clone(accepted), door, Arc::clone(&shared)))
        };
        let listeners = listeners.into_iter().zip(&shared.accepted).map(listen).collect();
        #[cfg(feature = "admin")]
        let admin = AdminParts {
            keys: Arc::new(AdminKeys::new(&config.admin)),
            log: config.admin.log.clone(),
            build: config.admin.build.clone(),
            tls: admin_tls.clone(),
        };
        let most_memory = config.max_memory.filter(|&most| most != 0);
        let memory = most_memory.map(|most| tokio::spawn(memory::watch(Arc::clone(&shared.memory), most)));
        let timers =
            tls.clone().into_iter().chain(admin_tls).map(|tls: Tls| tokio::spawn(tls.watch())).chain(memory).collect();
        let reloader = Arc::new(Reloader::new(
            Arc::clone(&shared),
            source,
            config.clone(),
            premises,
            #[cfg(feature = "webhooks")]
            endpoints,
            #[cfg(feature = "webhooks")]
            files,
            #[cfg(feature = "admin")]
            admin,
        ));
        #[cfg(feature = "admin")]
        let admin = Arc::new(Admin::new(Arc::clone(&shared), store.queue(), Arc::clone(&reloader), !is_alone));
        #[cfg(feature = "admin")]
        let admin_listener = AdminListener::start(admin_sockets, Arc::clone(&admin));
        #[cfg_attr(not(feature = "cluster"), expect(unused_mut, reason = "it becomes a member"))]
        let mut server = Server {
            addresses,
            shared,
            listeners,
            timers,
            store: Some(store),
            reloader,
            #[cfg(feature = "admin")]
            admin,
            #[cfg(feature = "admin")]
            admin_listener,
            #[cfg(feature = "cluster")]
            member: None,
        };
        #[cfg(feature = "cluster")]
        if let (Some(cluster), Some(mail)) = (&config.cluster, mail) {
            server.join(cluster, in_place, mail, shared_store, asked).await?;
        }
        Ok(server)
    }
}

/// Where other nodes of the cluster can ask this one whether it is a member.
#[cfg(feature = "cluster")]
fn asked(listeners: &[Socket]) -> Vec<String> {
    let can_be_asked = |socket: &&Socket| !socket.has_proxy_header && names_one_machine(&socket.address);
    listeners.iter().filter(can_be_asked).map(|socket| contact_address(&socket.address, socket.is_tls)).collect()
}

/// The sockets for those who run the server: those that are open already, or else where the configuration says.
#[cfg(feature = "admin")]
async fn admin_sockets(
    configured: &[ListenAddress],
    opened: Vec<std::net::TcpListener>,
    of_clients: &[Socket],
) -> Result<Vec<(SocketAddr, TcpListener)>, ServerError> {
    if !opened.is_empty() {
        return bind::opened(opened);
    }
    let of_clients = of_clients.iter().map(|socket| ListenAddress::from(socket.address));
    let all: Vec<_> = of_clients.chain(configured.iter().cloned()).collect();
    let mut sockets = Vec::new();
    for address in configured {
        sockets.extend(bind::at(address, &all).await?);
    }
    Ok(sockets)
}

/// Traces, if there is a collector.
#[cfg(feature = "otlp")]
async fn traces(config: &ServerConfig, address: Option<SocketAddr>) -> Result<Traces, ServerError> {
    let Some(otlp) = config.otlp.clone() else { return Ok(Traces::default()) };
    #[cfg(feature = "cluster")]
    let node = config.cluster.as_ref().and_then(|cluster| cluster.node.as_ref()).map(|node| node.as_str().to_owned());
    #[cfg(not(feature = "cluster"))]
    let node = None;
    let instance = node.unwrap_or_else(|| host_and_port_here(address.as_ref()));
    let runtime = Handle::current();
    let starting = tokio::task::spawn_blocking(move || Traces::start(&otlp, instance, runtime));
    starting.await.map_err(|error| BackendError::new("read the files for traces", error))?
}

impl From<ServerConfig> for ServerBuilder {
    fn from(config: ServerConfig) -> Self {
        Self { config, ..Self::default() }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
