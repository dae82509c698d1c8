//! The builder of a client.

use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

use rtm_codec::{AppId, CallLimits, KeepAlive, UserId, Wire};
use rtm_connection::{Config, Connection, GatewayConfig, Session};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    BuildError, Client, ConnectError, Events,
    address::{Address, without_user},
    call::Status,
    driver::{Driver, TaskEnds},
    events::EventSender,
    network::{Connector, Internet, Network},
    proxy::{Proxies, Proxy},
    settings::Settings,
    stats::Figures,
    tls::{TlsSettings, Trust},
    token::TokenProvider,
};

/// Sets up a [`Client`]. Only [`gateway`](Self::gateway) and [`app_id`](Self::app_id) are required. [`build`](Self::build) checks
/// the settings.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use rtm_client::Client;
///
/// let (client, events) = Client::builder()
///     .gateway("https://rtm.example.com")
///     .app_id("0123456789abcdef0123456789abcdef")
///     .login_timeout(Duration::from_secs(60))
///     .wait_for_limits(true)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct ClientBuilder {
    gateways: Vec<String>,
    app_id: Option<String>,
    wire: Wire,
    token_provider: Option<TokenProvider>,
    connector: Connector,
    proxy: Option<Proxy>,
    tls: TlsSettings,
    heartbeat: Option<Duration>,
    window: u32,
    connect_timeout: Option<Duration>,
    login_timeout: Option<Duration>,
    reconnect_backoff: Option<(Duration, Duration)>,
    relogin: Option<(Duration, Duration)>,
    call_limits: CallLimits,
    waits_for_limits: bool,
    web15: bool,
    session: Option<Session>,
    seed: Option<u64>,
}

/// Connects to a server and logs a user in, with the default settings of [`Client::builder`].
///
/// # Errors
///
/// [`ConnectError::Build`] for an invalid argument, [`ConnectError::Login`] if the [login](Client::login) failed.
///
/// # Cancel safety
///
/// Dropping the future ends the attempt.
pub async fn connect(
    gateway: &str,
    app_id: &str,
    user_id: &str,
    token: Option<&str>,
) -> Result<(Client, Events), ConnectError> {
    let (client, events) = Client::builder().gateway(gateway).app_id(app_id).build()?;
    client.login(user_id, token).await.map_err(ConnectError::Login)?;
    Ok((client, events))
}

impl Client {
    /// Sets up a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }
}

impl ClientBuilder {
    fn new() -> Self {
        Self {
            gateways: Vec::new(),
            app_id: None,
            wire: Wire::Native,
            token_provider: None,
            connector: Connector::Tcp,
            proxy: None,
            tls: TlsSettings::default(),
            heartbeat: None,
            window: DEFAULT_WINDOW,
            connect_timeout: None,
            login_timeout: None,
            reconnect_backoff: None,
            relogin: None,
            call_limits: CallLimits::default(),
            waits_for_limits: false,
            web15: false,
            session: None,
            seed: None,
        }
    }

    /// The URL of the server: `http`, `https`, `ws` or `wss`, or `host:port` for a server without TLS. A path, as
    /// in `https://example.com/rtm`, is for a reverse proxy that removes it.
    ///
    /// Call it more than once to name several gateways of the same project:
    ///
    /// ```
    /// rtm_client::Client::builder().gateway("https://one.example.com").gateway("https://two.example.com");
    /// ```
    ///
    /// The client starts with a random one, so that clients spread over them, and tries the others in order. It keeps the
    /// one that accepts its login, also for reconnects. It tries the next one at once if that one cannot be reached, does not
    /// answer in time, refuses temporarily or shuts down. All gateways together have the time of one login. A session continues over
    /// another gateway if the server there knows it; otherwise the client gets a new session and a [`Gap`](crate::RtmEvent::Gap).
    pub fn gateway(mut self, gateway: impl Into<String>) -> Self {
        self.gateways.push(gateway.into());
        self
    }

    /// Where the server is, if that has not been said.
    #[cfg(feature = "test-util")]
    pub(crate) fn or_gateway(mut self, gateway: &str) -> Self {
        if self.gateways.is_empty() {
            self.gateways.push(gateway.to_owned());
        }
        self
    }

    /// The App ID of the project: 32 ASCII letters and digits.
    pub fn app_id(mut self, app_id: impl Into<String>) -> Self {
        self.app_id = Some(app_id.into());
        self
    }

    /// The wire protocol, [`Wire::Native`] unless set. [`Wire::Vendor`] also connects to the vendor's own servers. It has no
    /// resuming without loss, no flow control, no binary messages and no revisions of channel attributes.
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// A function that fetches a token for a user. The client calls it at a `login` without a token, and when the token is about
    /// to expire, has expired or is refused. The application then need not renew tokens; it can ignore
    /// [`TokenWillExpire`](crate::RtmEvent::TokenWillExpire).
    ///
    /// A call may take 10 s. If it fails, panics or takes longer, the client calls again after a pause: about 1 s after the
    /// first failure, doubling up to 2 minutes. If the server refuses the tokens, the pauses are about 30 s to 5 minutes.
    /// Each failure is logged and is a [`TokenNeeded`](crate::RtmEvent::TokenNeeded) event. A `login` fails at the
    /// first one.
    ///
    /// A closure with captured values clones them into each future: `move |user_id| { let key = key.clone(); async
    /// move { … } }`.
    ///
    /// ```
    /// # async fn fetch(url: &str) -> std::io::Result<String> { Ok(url.to_owned()) }
    /// rtm_client::Client::builder().token_provider(async |user_id| {
    ///     fetch(&format!("https://example.com/token?uid={user_id}")).await
    /// });
    /// ```
    pub fn token_provider<P, F, E>(mut self, provider: P) -> Self
    where
        P: Fn(UserId) -> F + Send + Sync + 'static,
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.token_provider = Some(TokenProvider::new(provider));
        self
    }

    /// The proxy for all gateways, instead of those of the environment: a URL such as `http://proxy.example.com:3128` or
    /// `socks5h://user:password@127.0.0.1:1080`, or [`Proxy::None`].
    ///
    /// Unless set, [`build`](Self::build) reads the environment, in lower or upper case: `https_proxy` (for `https` and `wss`
    /// gateways), `http_proxy` (for the others), `all_proxy` (if there is no specific one), and `no_proxy`, a list of hosts without a
    /// proxy: domains with their subdomains, addresses, networks such as `10.0.0.0/8`, or `*`. This machine itself is always reached
    /// without a proxy of the environment.
    ///
    /// The WebSocket and gateway requests both use the proxy. The client asks an HTTP proxy for a tunnel (`CONNECT`), also for
    /// gateways without TLS. A proxy has 4 s to answer.
    ///
    /// ```
    /// use rtm_client::{Client, Proxy};
    ///
    /// Client::builder().gateway("https://rtm.example.com").proxy("socks5h://127.0.0.1:1080");
    /// Client::builder().gateway("https://rtm.example.com").proxy(Proxy::None);
    /// ```
    pub fn proxy(mut self, proxy: impl Into<Proxy>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// Opens byte streams with this closure instead of TCP: for Unix sockets, tunnels and tests. Its arguments are the host and port
    /// of the gateway, or of a server that the gateway named; with [`proxy`](Self::proxy) those of the proxy. The client speaks TLS
    /// over the stream if the gateway's URL is `https` or `wss`. Proxies of the environment are not used. The
    /// [`connect_timeout`](Self::connect_timeout) includes the closure; its future is dropped when the time is over. A panic in it
    /// counts as a failure, and one in its stream as a lost connection.
    ///
    /// A closure with captured values clones them into each future.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio::net::UnixStream;
    ///
    /// // The host goes into the request's `Host` header; the server listens on the socket.
    /// let builder = rtm_client::Client::builder()
    ///     .gateway("http://localhost")
    ///     .app_id("0123456789abcdef0123456789abcdef")
    ///     .connector(async |_host, _port| UnixStream::connect("/run/rtm.sock").await);
    /// let (client, events) = builder.build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connector<C, F, S>(mut self, connector: C) -> Self
    where
        C: Fn(String, u16) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.connector = Connector::new(connector);
        self
    }

    /// Also trusts the certificates in this PEM text, for `https` and `wss`. Can be called more than once.
    #[cfg(feature = "_tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.roots.push(pem.into());
        self
    }

    /// Trusts only the [`root_certificates`](Self::root_certificates), not those of the system.
    #[cfg(feature = "_tls")]
    pub fn without_system_roots(mut self) -> Self {
        self.tls.only_roots = true;
        self
    }

    /// The client's own certificate, for servers that ask for one: PEM text with the certificate, then those that
    /// signed it, and PEM text with its private key, not encrypted.
    ///
    /// The client does not show it to a proxy.
    #[cfg(feature = "_tls")]
    pub fn client_certificate(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.tls.client = Some((certificates.into(), key.into()));
        self
    }

    /// Uses this TLS configuration, in place of [`root_certificates`](Self::root_certificates),
    /// [`without_system_roots`](Self::without_system_roots) and [`client_certificate`](Self::client_certificate). Protocols
    /// (ALPN) must be none, or `http/1.1`.
    #[cfg(feature = "rustls")]
    pub fn tls_config(mut self, config: impl Into<Arc<crate::rustls::ClientConfig>>) -> Self {
        self.tls.config = Some(config.into());
        self
    }

    /// The keep-alive interval. On the native wire 100 ms to 20 s, and 2 s unless set. On the vendor's wire 100 ms to 10 s, and 10 s
    /// unless set. The connection counts as lost after two intervals without an answer.
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = Some(every);
        self
    }

    /// How many events can wait for the application, 1 to 65,536. 1,024 unless set.
    ///
    /// On the native wire the server holds back further events; answers still arrive. On the vendor's wire the
    /// client stops reading from the socket: an application that reads no events for long loses the connection and gets a
    /// [`RtmEvent::Gap`](crate::RtmEvent::Gap).
    pub fn window(mut self, events: u32) -> Self {
        self.window = events;
        self
    }

    /// Time limit for opening a connection: TCP, TLS and the WebSocket handshake or the gateway request. 100 ms to 1 minute, 10 s
    /// unless set. TCP gets 3 s of it for each address of the host; the next address is tried in parallel after 250 ms. Several gateways
    /// share the time.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Time limit of `login`, including the token provider. 100 ms to 1 hour, 12 s unless set. Until then the client keeps
    /// trying an unreachable server.
    pub fn login_timeout(mut self, timeout: Duration) -> Self {
        self.login_timeout = Some(timeout);
        self
    }

    /// The pauses between attempts to reconnect: random, at first up to `first`, then up to twice as long each time, and never
    /// longer than `max`. 250 ms and 10 s unless set. 1 ms ≤ `first` ≤ `max` ≤ 1 hour.
    pub fn reconnect_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.reconnect_backoff = Some((first, max));
        self
    }

    /// Logs in again by itself when the server ended the session (`ABORTED`): with a new token of the
    /// [token provider](Self::token_provider) if the token had expired, and until the server takes the user again after a ban. Not
    /// after `REMOTE_LOGIN`: the user is on another device then, and the two would end each other's sessions for ever. Off unless set.
    ///
    /// The pauses are random, at first up to `first`, then up to twice as long each time, and never longer than `max`; a session
    /// that lasts for `max` starts them anew. After four refused tokens within a minute, the next attempt waits until the first of
    /// them is a minute old: otherwise the server would lock the address out. 1 ms ≤ `first` ≤ `max` ≤ 1 hour. `logout` ends it, and so does a login that fails
    /// because of something that waiting does not change.
    ///
    /// The events tell all of it: `ABORTED`, `DISCONNECTED`, `CONNECTING`, `CONNECTED`. Channels, subscriptions and
    /// attributes ended with the session, so set them again when `CONNECTED` comes with the reason `LOGIN_SUCCESS`
    /// ([`Channel::ensure_joined`](crate::Channel::ensure_joined)).
    pub fn relogin(mut self, first: Duration, max: Duration) -> Self {
        self.relogin = Some((first, max));
        self
    }

    /// The call limits that the client checks before it sends a call. The default is the table of [`CallLimits`].
    /// [`CallLimits::unlimited`] leaves the check to the server. On the native wire, the limits of the server replace these at
    /// each login.
    pub fn call_limits(mut self, limits: CallLimits) -> Self {
        self.call_limits = limits;
        self
    }

    /// Whether a call above its limit waits until it is allowed, instead of failing with
    /// [`ErrorKind::TooOften`](crate::ErrorKind::TooOften). Also if 4,096 calls are under way. Calls of one kind keep
    /// their order. At most 4,096 of each kind wait; further ones fail. Invitations and `renew_token` do not wait. Off unless set.
    ///
    /// The client then counts each period of the limits as an eighth longer (3 s as 3.375 s), because calls need different times
    /// to the server, which counts them when they arrive. If the server refuses a call all the same, the client sends
    /// it again later, after the calls that were under way.
    ///
    /// The deadline of a call counts from when its limit allows it. [`Call::timeout`](crate::Call::timeout) limits the
    /// waiting too. A logout ends the calls that wait with [`ErrorKind::AbortedByLogout`](crate::ErrorKind::AbortedByLogout).
    pub fn wait_for_limits(mut self, on: bool) -> Self {
        self.waits_for_limits = on;
        self
    }

    /// Reports a login elsewhere as `DISCONNECTED` instead of `ABORTED`, as the vendor's web SDK 1.0.15 does.
    pub fn web15_compatibility(mut self, on: bool) -> Self {
        self.web15 = on;
        self
    }

    /// Continues a session of [`Client::session`]: the next `login` of the same user resumes it, if it was online within the last
    /// two minutes. If that login fails, the one after it does. On the native wire only. With the feature `serde` a session can be
    /// saved, and continue in another process:
    ///
    /// ```no_run
    /// # #[cfg(feature = "serde")]
    /// # async fn example(client: rtm_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use rtm_client::{Client, Session};
    ///
    /// // The first process, before it exits without logging out. Keep the file as secret as a token.
    /// let session = client.session().await.ok_or("not logged in")?;
    /// std::fs::write("session.json", serde_json::to_vec(&session)?)?;
    ///
    /// // The next process.
    /// let session: Session = serde_json::from_slice(&std::fs::read("session.json")?)?;
    /// let user_id = session.user_id().clone();
    /// let (client, events) = Client::builder()
    ///     .gateway("http://127.0.0.1:8080")
    ///     .app_id("0123456789abcdef0123456789abcdef")
    ///     .resume(session)
    ///     .build()?;
    /// client.login(&user_id, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// The seed of random ids and pauses. Random unless set. Set it in tests only: whoever knows the seed can guess the ids.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the client and its event stream, and spawns the client's task on the current tokio runtime. The client sends nothing
    /// before [`Client::login`].
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a missing or invalid setting, and outside a tokio runtime.
    pub fn build(self) -> Result<(Client, Events), BuildError> {
        let trust = Trust::new(&self.tls)?;
        let (connector, proxies) = (self.connector.clone(), self.proxies()?);
        let (client, events, driver) = self.assemble(Internet { connector, proxies, trust })?;
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        runtime.spawn(driver.run());
        Ok((client, events))
    }

    /// The parts of a client over any network, and its task, which does not run yet.
    pub(crate) fn assemble<N: Network>(self, network: N) -> Result<(Client, Events, Driver<N>), BuildError> {
        let address = |gateway: &String| {
            Address::parse(gateway).map_err(|fault| BuildError::Gateway { gateway: without_user(gateway), fault })
        };
        let gateways: Vec<_> = self.gateways.iter().map(address).collect::<Result<_, _>>()?;
        if gateways.is_empty() {
            return Err(BuildError::NoGateway);
        }
        if !cfg!(feature = "_tls") && gateways.iter().any(|gateway| gateway.tls) {
            return Err(BuildError::NotBuiltIn { what: "TLS", feature: "ring" });
        }
        if !cfg!(feature = "vendor") && self.wire == Wire::Vendor {
            return Err(BuildError::NotBuiltIn { what: "the vendor's wire", feature: "vendor" });
        }
        let app_id = AppId::new(self.app_id.as_deref().ok_or(BuildError::NoAppId)?).map_err(BuildError::AppId)?;
        let connection = self.connection(&gateways)?;
        let (wire, window, waits_for_limits, relogin) = (self.wire, self.window, self.waits_for_limits, self.relogin);
        let settings = Settings { app_id, gateways, wire, window, waits_for_limits, relogin };
        let (call_sender, calls) = mpsc::unbounded_channel();
        let (status, watched) =
            watch::channel(Status { state: connection.state(), user_id: connection.user_id().cloned() });
        let (event_sender, events) = EventSender::new((self.window / 4).max(1));
        let figures = Arc::<Figures>::default();
        let client = Client::new(Arc::new(call_sender), watched, Arc::clone(&figures));
        let ends = TaskEnds { calls, status, figures, events: event_sender, token_provider: self.token_provider };
        Ok((client, events, Driver::new(settings, connection, network, ends)))
    }

    fn proxies(&self) -> Result<Proxies, BuildError> {
        match (&self.proxy, &self.connector) {
            (Some(Proxy::Url(url)), _) => {
                Proxies::all(url).map_err(|fault| BuildError::Proxy { proxy: without_user(url), fault })
            }
            (None, Connector::Tcp) => {
                Ok(Proxies::of_environment(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned())))
            }
            (Some(Proxy::None), _) | (None, Connector::Given(_)) => Ok(Proxies::none()),
        }
    }

    fn connection(&self, gateways: &[Address]) -> Result<Connection, BuildError> {
        let mut config = if self.wire == Wire::Vendor { Config::vendor() } else { Config::native() };
        if self.wire == Wire::Native {
            config.window = self.window;
        }
        config.gateways = gateways
            .iter()
            .map(|gateway| GatewayConfig::default().with_name(gateway.to_string()).with_tls(gateway.tls))
            .collect();
        let resumes = self.session.is_none() || config.abilities.resume;
        check("resume", resumes, "left out on the vendor's wire, which cannot resume a session")?;
        check("window", (1..=65_536).contains(&self.window), "1 to 65536 events")?;
        if let Some(every) = self.heartbeat {
            let (longest, bounds) = match self.wire {
                Wire::Vendor => (VENDOR_HEARTBEAT, "100 ms to 10 s on the vendor's wire"),
                _ => (HEARTBEAT, "100 ms to 20 s"),
            };
            check("heartbeat", (Duration::from_millis(100)..=longest).contains(&every), bounds)?;
            config.keep_alive = KeepAlive::Client { interval_ms: every.as_millis() as u32 };
        }
        if let Some(timeout) = self.connect_timeout {
            check("connect_timeout", (Duration::from_millis(100)..=MINUTE).contains(&timeout), "100 ms to 1 minute")?;
            config.connect_timeout = timeout;
        }
        if let Some(timeout) = self.login_timeout {
            check("login_timeout", (Duration::from_millis(100)..=HOUR).contains(&timeout), "100 ms to 1 hour")?;
            config.login_timeout = timeout;
        }
        if let Some(pauses) = self.relogin {
            check_pauses("relogin", pauses)?;
        }
        if let Some((first, max)) = self.reconnect_backoff {
            check_pauses("reconnect_backoff", (first, max))?;
            config.backoff.first = first;
            config.backoff.max = max;
        }
        config.token_provider = self.token_provider.is_some();
        config.limits = self.call_limits.clone();
        config.limit_reserve = self.waits_for_limits;
        config.web15 = self.web15;
        // Keyed by the system's randomness.
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        Ok(match &self.session {
            Some(session) => Connection::with_session(config, seed, session.clone()),
            None => Connection::new(config, seed),
        })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("gateways", &self.gateways.iter().map(|gateway| without_user(gateway)).collect::<Vec<_>>())
            .field("proxy", &self.proxy)
            .field("app_id", &self.app_id)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}

fn check(setting: &'static str, good: bool, bounds: &'static str) -> Result<(), BuildError> {
    if good { Ok(()) } else { Err(BuildError::Setting { setting, bounds }) }
}

fn check_pauses(setting: &'static str, (first, max): (Duration, Duration)) -> Result<(), BuildError> {
    let good = first >= Duration::from_millis(1) && first <= max && max <= HOUR;
    check(setting, good, "at least 1 ms first, at most 1 hour, and the first not over the longest")
}

const DEFAULT_WINDOW: u32 = 1024;

/// The slowest heartbeats: of the first a server takes no login, the second is the interval by which it judges silence.
const HEARTBEAT: Duration = Duration::from_secs(20);
const VENDOR_HEARTBEAT: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
