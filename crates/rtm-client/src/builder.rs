//! How a client is set up.

use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use rtm_codec::{AppId, CallLimits, KeepAlive, UserId, Wire};
use rtm_connection::{Config, Connection, GatewayConfig, Session};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    BuildError, Client, ConnectError, Events,
    address::Address,
    call::Status,
    driver::{Driver, TaskEnds},
    events::EventSender,
    settings::Settings,
    tls::Trust,
    token::TokenProvider,
    transport::{Network, Tcp},
};

/// Sets up a [`Client`]. Only [`gateway`](Self::gateway) and [`app_id`](Self::app_id) are needed.
///
/// Settings are checked by [`build`](Self::build).
#[derive(Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct ClientBuilder {
    gateways: Vec<String>,
    app_id: Option<String>,
    wire: Wire,
    token_provider: Option<TokenProvider>,
    root_certificates: Vec<Vec<u8>>,
    without_system_roots: bool,
    heartbeat: Option<Duration>,
    window: u32,
    connect_timeout: Option<Duration>,
    login_timeout: Option<Duration>,
    reconnect_backoff: Option<(Duration, Duration)>,
    call_limits: CallLimits,
    waits_for_limits: bool,
    web15: bool,
    session: Option<Session>,
    seed: Option<u64>,
}

/// Connects to a server and logs a user in: [`Client::builder`] with nothing but what is needed.
///
/// # Errors
///
/// [`ConnectError`], which tells a wrong argument from a refused login.
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
            root_certificates: Vec::new(),
            without_system_roots: false,
            heartbeat: None,
            window: DEFAULT_WINDOW,
            connect_timeout: None,
            login_timeout: None,
            reconnect_backoff: None,
            call_limits: CallLimits::default(),
            waits_for_limits: false,
            web15: false,
            session: None,
            seed: None,
        }
    }

    /// Where the server is: an `http`, `https`, `ws` or `wss` URL, or `host:port` for a server without TLS.
    /// With [`Wire::Native`] the WebSocket is opened there; with [`Wire::Vendor`] the gateway there is asked first.
    ///
    /// May be called more than once: then each of them leads to the same project. The first to be tried is drawn at random,
    /// so that clients spread over them, and the others follow in their order. The client stays with the one that lets it in,
    /// also when the link was lost. It goes to the next at once when that one cannot be reached, does not answer in time,
    /// refuses for a while or goes down. All of them share the time of a login. A session goes on over another gateway if the
    /// server there knows it; otherwise there is a new one, and a [`Gap`](crate::RtmEvent::Gap).
    pub fn gateway(mut self, gateway: impl Into<String>) -> Self {
        self.gateways.push(gateway.into());
        self
    }

    /// The project: 32 ASCII letters and digits.
    pub fn app_id(mut self, app_id: impl Into<String>) -> Self {
        self.app_id = Some(app_id.into());
        self
    }

    /// Which wire to speak. [`Wire::Native`] unless set; [`Wire::Vendor`] also talks to the vendor's own servers, and
    /// lacks resuming without loss, flow control and binary messages.
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// How to get a token for a user: called by `login` without a token, and whenever the token ends soon, has ended
    /// or is refused, so that the application need not renew it.
    /// [`TokenWillExpire`](crate::RtmEvent::TokenWillExpire) comes all the same.
    ///
    /// Each call may take 10 s. If it fails, panics or takes longer, it is made again after a pause: about 1 s after the
    /// first failure, doubling up to 2 minutes. If the server refuses its tokens, the pauses are about 30 s to 5 minutes.
    /// Each of these comes as a [`TokenNeeded`](crate::RtmEvent::TokenNeeded) and is logged. A `login` ends with the
    /// first failure.
    ///
    /// A closure that captures something clones it into each future: `move |user_id| { let key = key.clone(); async
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

    /// Trusts the certificates in this PEM text too, for `https` and `wss`. May be called more than once.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Does not trust the certificates of the system, only those given to
    /// [`root_certificates`](Self::root_certificates).
    pub fn without_system_roots(mut self) -> Self {
        self.without_system_roots = true;
        self
    }

    /// How often the client gives a sign of life: its keep-alive interval. 100 ms to 20 s; at most 10 s on the vendor's
    /// wire, since its servers take a longer pause for a lost client. 2 s unless set, and 10 s on the vendor's wire. The
    /// link counts as lost after two intervals without an answer.
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = Some(every);
        self
    }

    /// How many events may wait until the application takes them, 1 to 65,536. 1,024 unless set.
    ///
    /// On the native wire the server holds back the events beyond, and answers still come. On the vendor's wire the
    /// client stops reading from the socket; an application that takes nothing for long loses the link then and finds a
    /// [`RtmEvent::Gap`](crate::RtmEvent::Gap) in its place.
    pub fn window(mut self, events: u32) -> Self {
        self.window = events;
        self
    }

    /// How long opening a connection may take, 100 ms to 1 minute: TCP, TLS and the WebSocket or the request to the
    /// gateway together. 10 s unless set. Of that, TCP may take 3 s for each address of the host; the next one is tried
    /// beside it after 250 ms. Several gateways share the time.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How long `login` may take, the token provider included, 100 ms to 1 hour. 12 s unless set. A server that is not
    /// there yet is tried until then.
    pub fn login_timeout(mut self, timeout: Duration) -> Self {
        self.login_timeout = Some(timeout);
        self
    }

    /// The pauses between attempts to reconnect: at random up to `first` at the beginning, doubling, never longer than
    /// `max`. 250 ms and 10 s unless set; `first` is at least 1 ms and not over `max`, which is at most 1 hour.
    pub fn reconnect_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.reconnect_backoff = Some((first, max));
        self
    }

    /// How often each call may be made before the client refuses it, without asking the server. Those of
    /// [`CallLimits`] (`docs/rtm.md#call-limits`) unless set; [`CallLimits::unlimited`] leaves it to the server. On the native wire the
    /// server's own limits take their place at each login.
    pub fn call_limits(mut self, limits: CallLimits) -> Self {
        self.call_limits = limits;
        self
    }

    /// Whether a call that is made too often waits until it is allowed, instead of failing with
    /// [`ErrorKind::TooOften`](crate::ErrorKind::TooOften). So does one while 4,096 are under way. Calls of one kind keep
    /// their order; at most 4,096 of each wait, and more fail. Invitations and `renew_token` do not wait. Off unless set.
    ///
    /// A waiting client counts each window of the limits as one eighth longer (3 s as 3.375 s): calls do not all travel
    /// equally fast, and the server counts them when they arrive. If the server refuses one all the same, the client makes
    /// it again later, after calls that were already under way.
    pub fn wait_for_limits(mut self, on: bool) -> Self {
        self.waits_for_limits = on;
        self
    }

    /// Reports a login elsewhere as `DISCONNECTED` instead of `ABORTED`, as the vendor's web SDK 1.0.15 does.
    pub fn web15_compatibility(mut self, on: bool) -> Self {
        self.web15 = on;
        self
    }

    /// Goes on with a session that [`Client::session`] gave: the next `login` of the same user resumes it, if it is not
    /// over two minutes old. On the native wire only. With the feature `serde` a session can be saved and go on in another
    /// process.
    pub fn resume(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// What ids and the jitter of pauses are drawn from. Random unless set, and to be left so outside of tests: who
    /// knows the seed knows the ids.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the client and its one stream of events, and starts the client's task in the tokio runtime that this is
    /// called in. Nothing is sent before [`Client::login`].
    ///
    /// # Errors
    ///
    /// [`BuildError`] says which setting is wrong or missing.
    pub fn build(self) -> Result<(Client, Events), BuildError> {
        let trust = Trust::new(&self.root_certificates, self.without_system_roots).map_err(BuildError::Certificates)?;
        let (client, events, driver) = self.assemble(Tcp { trust })?;
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
        let app_id = AppId::new(self.app_id.as_deref().ok_or(BuildError::NoAppId)?).map_err(BuildError::AppId)?;
        let connection = self.connection(&gateways)?;
        let (wire, window, waits_for_limits) = (self.wire, self.window, self.waits_for_limits);
        let settings = Settings { app_id, gateways, wire, window, waits_for_limits };
        let (call_sender, calls) = mpsc::channel(CALLS_QUEUED);
        let (status, watched) =
            watch::channel(Status { state: connection.state(), user_id: connection.user_id().cloned() });
        let (event_sender, events) = EventSender::new((self.window / 4).max(1));
        let client = Client::new(call_sender, watched);
        let ends = TaskEnds { calls, status, events: event_sender, token_provider: self.token_provider };
        Ok((client, events, Driver::new(settings, connection, network, ends)))
    }

    fn connection(&self, gateways: &[Address]) -> Result<Connection, BuildError> {
        let mut config = if self.wire == Wire::Vendor { Config::vendor() } else { Config::native() };
        if self.wire == Wire::Native {
            config.window = self.window;
        }
        config.gateways = gateways.iter().map(|gateway| GatewayConfig::default().with_tls(gateway.tls)).collect();
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
        if let Some((first, max)) = self.reconnect_backoff {
            let good = first >= Duration::from_millis(1) && first <= max && max <= HOUR;
            check(
                "reconnect_backoff",
                good,
                "at least 1 ms first, at most 1 hour, and the first not over the longest",
            )?;
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
            .field("app_id", &self.app_id)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}

fn check(setting: &'static str, good: bool, bounds: &'static str) -> Result<(), BuildError> {
    if good { Ok(()) } else { Err(BuildError::Setting { setting, bounds }) }
}

/// The URL as an error may show it.
fn without_user(gateway: &str) -> String {
    match (gateway.find("://"), gateway.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}{}", &gateway[..scheme + 3], &gateway[at + 1..]),
        (None, Some(at)) => gateway[at + 1..].to_owned(),
        _ => gateway.to_owned(),
    }
}

const DEFAULT_WINDOW: u32 = 1024;

/// How many calls wait for the task before a handle has to wait to make one.
const CALLS_QUEUED: usize = 1024;

/// The slowest heartbeats: of the first a server takes no login, the second is the interval by which it judges silence.
const HEARTBEAT: Duration = Duration::from_secs(20);
const VENDOR_HEARTBEAT: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
