//! The settings of a server.

pub(crate) mod entries;
mod env;
mod events;
mod file;
#[cfg(feature = "webhooks")]
mod hooks;
mod keys;
#[cfg(feature = "otlp")]
mod otlp;
mod project;
mod sections;
pub(crate) mod sources;
mod values;

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use rtm_codec::{AppId, CallLimit};
#[cfg(feature = "cluster")]
use rtm_core::cluster::MOST_WORKERS;
use rtm_core::{EventSettings, ProjectConfig};
#[cfg(feature = "rest")]
use rtm_core::{RestAccess, RestRights};

#[cfg(feature = "rest")]
use rtm_codec::anyrtc::rest::ChannelMessageType;

#[cfg(feature = "admin")]
use crate::admin::config::AdminConfig;
#[cfg(feature = "cluster")]
use crate::cluster::config::ClusterConfig;
#[cfg(feature = "otlp")]
use crate::traces::config::OtlpConfig;
#[cfg(feature = "webhooks")]
use crate::webhooks::config::HookConfig;
use crate::{
    address::{InvalidAddress, ListenAddress, host_and_port},
    client_address::{ClientAddress, Network},
    error::ConfigError,
    tls::TlsConfig,
};

#[cfg(feature = "admin")]
pub(crate) use values::{read_limit, show_limit};

pub use keys::{ConfigKey, ConfigKind};
pub use sources::ConfigSource;

/// The settings of a server. The [`Default`] has no projects and no addresses. Each field names its default.
///
/// ```
/// use rtm_server::ServerConfig;
///
/// let config = ServerConfig::from_toml_str(
///     r#"
///     listen = "127.0.0.1:8080"
///
///     [[project]]
///     app_id = "0123456789abcdef0123456789abcdef"
///     limits = { send_message = "360/3s" }
///     "#,
/// )?;
/// assert_eq!(config.projects.len(), 1);
///
/// let error = ServerConfig::from_toml_str("[[project]]\napp_id = 'short'").unwrap_err();
/// assert_eq!(error.to_string(), "project[0].app_id (line 2): app id is not exactly 32 bytes long");
/// # Ok::<(), rtm_server::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The addresses to listen on. Each serves everything.
    pub listen: Vec<ListenerConfig>,
    /// The public address that the gateway of the vendor's wire sends clients to. By default the one that they
    /// asked.
    pub advertise: Option<Advertise>,
    /// The TLS certificates of all addresses. By default there is no TLS.
    pub tls: Option<TlsConfig>,
    /// The directory of the durable store. By default everything is lost on exit.
    pub data_dir: Option<PathBuf>,
    /// How the server is one of several on NATS, which then keeps what lasts. By default it is alone.
    #[cfg(feature = "cluster")]
    pub cluster: Option<ClusterConfig>,
    /// The REST API for back ends.
    #[cfg(feature = "rest")]
    pub rest: RestConfig,
    /// The listener for those who run the server.
    #[cfg(feature = "admin")]
    pub admin: AdminConfig,
    /// What back ends are told, and asked, project by project.
    #[cfg(feature = "webhooks")]
    pub hooks: Vec<HookConfig>,
    /// How many cores each project has, 1 to 64 (1): with several it uses more than one processor. Each user has one of them.
    #[cfg(feature = "cluster")]
    pub workers: u16,
    /// How long a client may take from connecting to the end of the head of its HTTP request, a PROXY header and TLS included
    /// (10 s). A body may take as long again.
    pub handshake_timeout: Duration,
    /// How long a client may take from the WebSocket handshake to its login (10 s).
    pub login_timeout: Duration,
    /// How long a shutdown still accepts connections, after it has said that the server is not ready any more (0 s): as long as
    /// a load balancer takes to notice.
    pub drain_delay: Duration,
    /// The most time over which a shutdown spreads the closing of connections. In a cluster, how long it may take until the
    /// sessions are on other nodes: the connections are closed over at most half of it. By default 10 s, and 60 s in a cluster.
    pub drain_time: Option<Duration>,
    /// How many connections a shutdown closes each second (500). More, if they would not all be closed in time.
    pub drain_rate: u32,
    /// The most connections at once; further ones wait (100,000).
    pub max_connections: usize,
    /// The most connections at once from one address. 0, the default: no limit.
    pub max_connections_per_address: u32,
    /// How often one address may connect. By default there is no limit.
    pub connects_per_address: CallLimit,
    /// After this many refused logins from one address, the server refuses all logins from it for a while, so that
    /// nobody can try out tokens (120 in 60 s).
    pub refused_logins_per_address: CallLimit,
    /// From so much resident memory of the process on, logins are refused until it is less: clients come back later, and others stay.
    /// Looked at each second, on Linux. By default, and with 0, there is no limit.
    pub max_memory: Option<usize>,
    /// The networks of proxies that are believed what they say of their clients. By default nobody is.
    pub trusted_proxies: Vec<Network>,
    /// What of a request that comes from them tells the address of its client ([`ClientAddress::Peer`]). Limits by address, the
    /// log and the admin API go by that address.
    pub client_address: ClientAddress,
    /// How the program logs, which is the program's to do.
    pub log: LogConfig,
    /// The collector that gets traces. By default there is none.
    #[cfg(feature = "otlp")]
    pub otlp: Option<OtlpConfig>,
    /// The projects, each with its own users, channels and rules.
    pub projects: Vec<ProjectConfig>,
    /// What the file says of all projects.
    pub(crate) for_all: ForAllProjects,
    /// Who said what.
    pub(crate) sources: sources::Sources,
}

/// Settings that the file has once, for all projects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForAllProjects {
    pub(crate) events: EventSettings,
    #[cfg(feature = "rest")]
    pub(crate) tokens_may: RestRights,
}

impl Default for ForAllProjects {
    fn default() -> Self {
        Self {
            events: EventSettings::default(),
            #[cfg(feature = "rest")]
            tokens_may: RestAccess::default().tokens_may,
        }
    }
}

impl ForAllProjects {
    pub(crate) fn hold_for(&self, project: &mut ProjectConfig) {
        project.events = self.events;
        #[cfg(feature = "rest")]
        {
            project.rest.tokens_may = self.tokens_may;
        }
    }
}

/// Where a server listens, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerConfig {
    /// The address.
    pub address: ListenAddress,
    /// Whether TLS is spoken there: if there is a certificate ([`ServerConfig::tls`]), unless this says otherwise.
    pub tls: Option<bool>,
    /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2. Then only
    /// [trusted proxies](ServerConfig::trusted_proxies) may connect.
    pub proxy_protocol: bool,
}

impl From<ListenAddress> for ListenerConfig {
    fn from(address: ListenAddress) -> Self {
        Self { address, tls: None, proxy_protocol: false }
    }
}

impl From<SocketAddr> for ListenerConfig {
    fn from(address: SocketAddr) -> Self {
        ListenAddress::from(address).into()
    }
}

/// How a program logs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogConfig {
    /// How it writes its log.
    pub format: LogFormat,
    /// The least important level that it writes, or several with the modules that they are for, as `info,rtm_server=debug`.
    pub level: Option<String>,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object in JSON on each line.
    Json,
}

/// The host and port that the gateway sends clients to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The REST API for back ends. Each project says who may use it ([`RestAccess`](crate::RestAccess)).
#[cfg(feature = "rest")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestConfig {
    /// Whether it is there at all (yes; but without a key of its project nobody may call).
    pub enabled: bool,
    /// How messages of channels are called in what searches find (`group_message`, as the vendor's servers really say).
    pub channel_message_type: ChannelMessageType,
}

#[cfg(feature = "rest")]
impl Default for RestConfig {
    fn default() -> Self {
        Self { enabled: true, channel_message_type: ChannelMessageType::default() }
    }
}

impl ServerConfig {
    /// Checks rules that involve several settings. A server does this when it starts.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an App ID that two projects have, more than two certificates, times that
    /// contradict each other, or a cluster that cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        #[cfg(feature = "cluster")]
        if !(1..=MOST_WORKERS).contains(&self.workers) {
            return Err(ConfigError::value("workers", format!("it has to be 1 to {MOST_WORKERS}")));
        }
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &self.cluster {
            cluster.check()?;
            if let Some(data_dir) = &self.data_dir {
                let (directory, nats) = (data_dir.display(), cluster.nats.first().map(ToString::to_string));
                let nats = nats.unwrap_or_default();
                return Err(ConfigError::value(
                    "data_dir",
                    format!(
                        "in a cluster NATS keeps everything: remove data_dir, or [cluster]. What {directory} holds is taken over with \
                         `rtm store export --data-dir {directory} > FILE` and `rtm store import --cluster {nats} FILE`"
                    ),
                ));
            }
        }
        self.check_tls()?;
        self.check_ports()?;
        #[cfg(feature = "otlp")]
        self.otlp.as_ref().map(OtlpConfig::check).transpose()?;
        #[cfg(feature = "admin")]
        if let Some((at, host)) = self.admin.hosts.iter().enumerate().find(|(_, host)| !is_host_name(host)) {
            let what =
                format!("{host:?} is no host name: write it without scheme, port and path, as admin.example.com");
            return Err(ConfigError::value(format!("admin.hosts[{at}]"), what));
        }
        #[cfg(feature = "admin")]
        for (at, key) in self.admin.keys.iter().enumerate() {
            let name = format!("admin.key[{at}].name");
            if key.name.trim().is_empty() {
                return Err(ConfigError::value(name, "it is empty: it says in the audit log who did something"));
            }
            if self.admin.keys[..at].iter().any(|other| other.name == key.name) {
                return Err(ConfigError::value(name, format!("two keys have the name {:?}", key.name)));
            }
        }
        for (i, project) in self.projects.iter().enumerate() {
            let fault = |key: &str, what: String| Err(ConfigError::value(format!("project[{i}].{key}"), what));
            if self.projects[..i].iter().any(|other| other.app_id == project.app_id) {
                return fault("app_id", format!("two projects have the App ID {}", project.app_id));
            }
            if project.certificates.len() > MAX_CERTIFICATES {
                return fault("certificates", format!("there are more than {MAX_CERTIFICATES}"));
            }
            let keys = &project.rest.keys;
            if let Some(at) = (0..keys.len()).find(|at| keys[..*at].iter().any(|other| other.id == keys[*at].id)) {
                return fault(&format!("rest_key[{at}].id"), format!("two keys have the id {}", keys[at].id));
            }
            let settings = &project.settings;
            if settings.offline_after < settings.unreachable_after {
                return fault("settings.offline_after", "it is shorter than unreachable_after".into());
            }
            if settings.resume_within < settings.offline_after {
                return fault("settings.resume_within", "it is shorter than offline_after".into());
            }
            #[cfg(feature = "webhooks")]
            for hooks in self.hooks.iter().filter(|hooks| hooks.app_id == project.app_id) {
                if let Some((key, what)) = hooks.fault(&project.events) {
                    return fault(&key, what);
                }
            }
        }
        Ok(())
    }
}

impl ServerConfig {
    /// A project for [`projects`](Self::projects) with what the file says of all projects (`[events]`, and `tokens_may` of
    /// `[rest]`), and else the defaults.
    #[must_use]
    pub fn new_project(&self, app_id: AppId) -> ProjectConfig {
        let mut project = ProjectConfig::new(app_id);
        self.for_all.hold_for(&mut project);
        project
    }

    /// What may be a mistake, and is none where other nodes or another start have it otherwise.
    pub(crate) fn doubts(&self) -> Vec<String> {
        #[cfg_attr(not(feature = "admin"), expect(unused_mut, reason = "there are no keys"))]
        let mut doubts = Vec::new();
        #[cfg(feature = "admin")]
        for key in &self.admin.keys {
            let served = |app_id: &&AppId| self.projects.iter().any(|project| project.app_id == **app_id);
            let others = key.projects.iter().flatten().filter(|app_id| !served(app_id));
            doubts.extend(others.map(|app_id| {
                format!("the admin key {:?} is for the project {app_id}, which is not served", key.name)
            }));
        }
        doubts
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        for (at, listener) in self.listen.iter().enumerate() {
            if listener.tls == Some(true) && self.tls.is_none() {
                return Err(ConfigError::value(format!("listen[{at}].tls"), "there is no certificate: add [tls]"));
            }
            if listener.proxy_protocol && self.trusted_proxies.is_empty() {
                let what = "only proxies in trusted_proxies may connect there, and there is none";
                return Err(ConfigError::value(format!("listen[{at}].proxy_protocol"), what));
            }
        }
        if self.client_address != ClientAddress::Peer && self.trusted_proxies.is_empty() {
            return Err(ConfigError::value("client_address", "only trusted_proxies are believed, and there is none"));
        }
        let all = [("tls", self.tls.as_ref())];
        #[cfg(feature = "admin")]
        let all = all.into_iter().chain([("admin.tls", self.admin.tls.as_ref())]);
        for (key, tls) in all {
            if tls.is_some_and(|tls| tls.certificates.is_empty()) {
                return Err(ConfigError::value(key, "there is no certificate"));
            }
        }
        Ok(())
    }

    /// Nothing listens twice at one port.
    fn check_ports(&self) -> Result<(), ConfigError> {
        let all = self.listen.iter().enumerate().map(|(at, listener)| (format!("listen[{at}]"), &listener.address));
        #[cfg(feature = "admin")]
        let all = {
            let admin = self.admin.listen.iter().enumerate();
            all.chain(admin.map(|(at, address)| (format!("admin.listen[{at}]"), address)))
        };
        let all: Vec<_> = all.collect();
        for (at, (key, address)) in all.iter().enumerate() {
            if let Some((other, _)) = all[..at].iter().find(|(_, other)| other.is_in_the_way_of(address)) {
                return Err(ConfigError::value(key, format!("{other} listens at port {} there too", address.port())));
            }
        }
        Ok(())
    }
}

/// Whether a host may be called so. An address is as good.
#[cfg(feature = "admin")]
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let address = text.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(is_label))
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            advertise: None,
            tls: None,
            data_dir: None,
            #[cfg(feature = "cluster")]
            cluster: None,
            #[cfg(feature = "rest")]
            rest: RestConfig::default(),
            #[cfg(feature = "admin")]
            admin: AdminConfig::default(),
            #[cfg(feature = "webhooks")]
            hooks: Vec::new(),
            #[cfg(feature = "cluster")]
            workers: 1,
            handshake_timeout: Duration::from_secs(10),
            login_timeout: Duration::from_secs(10),
            drain_delay: Duration::ZERO,
            drain_time: None,
            drain_rate: 500,
            max_connections: 100_000,
            max_connections_per_address: 0,
            connects_per_address: CallLimit::UNLIMITED,
            refused_logins_per_address: CallLimit::new(120, Duration::from_secs(60)),
            max_memory: None,
            trusted_proxies: Vec::new(),
            client_address: ClientAddress::default(),
            log: LogConfig::default(),
            #[cfg(feature = "otlp")]
            otlp: None,
            projects: Vec::new(),
            for_all: ForAllProjects::default(),
            sources: sources::Sources::default(),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, UnknownLogFormat> {
        [Self::Text, Self::Json].into_iter().find(|format| format.to_string() == text).ok_or(UnknownLogFormat)
    }
}

/// The text is the name of no format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log's format is \"text\" or \"json\"")]
#[non_exhaustive]
pub struct UnknownLogFormat;

impl Advertise {
    /// The host name or IP address; without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a `Host` header names; without a port that of the scheme.
    pub(crate) fn from_host(host: Option<&str>, tls: bool) -> Option<Self> {
        let host = host?;
        let port = if tls { 443 } else { 80 };
        host.parse().or_else(|_| format!("{host}:{port}").parse()).ok()
    }
}

impl From<SocketAddr> for Advertise {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_canonical().to_string(), port: address.port() }
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for Advertise {
    type Err = InvalidAddress;

    /// Reads `HOST:PORT`, with brackets around an IPv6 address.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) =
            host_and_port(text).filter(|&(_, port)| port != 0).ok_or_else(|| InvalidAddress::new(text))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// The one in use and, while certificates rotate, the one before or after it.
const MAX_CERTIFICATES: usize = 2;
