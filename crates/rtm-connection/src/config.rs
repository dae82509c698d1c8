//! What can be set about a connection, and who logs in.

use std::time::Duration;

use rtm_codec::{Abilities, AppId, CallLimits, KeepAlive, Text, Token, UserId, Wire};

/// How a connection behaves. The default is for the native wire; [`Config::vendor`] for the vendor's. The times are in
/// `docs/rtm.md#times-of-the-client`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// What the wire can do.
    pub abilities: Abilities,
    /// The gateways that the user named; one unless set, and never none. The first to be tried is drawn at random, and
    /// the others follow in their order. One that works stays in use, until it lets nobody in or says that it goes down.
    pub gateways: Vec<GatewayConfig>,
    /// Whether a gateway is asked which server to connect to, for stored messages and for history, as the vendor's are;
    /// else it is itself the server that does all that. Off; on for the vendor's wire.
    pub asks_gateway: bool,
    /// Whether the server answers a renewal of the token. On; off on the vendor's wire, where only the next login shows
    /// whether the token is good.
    pub confirms_renewals: bool,
    /// Who asks for signs of life, and how often. The link is given up after two intervals without a frame.
    /// 2 s, asked by the client; 10 s on the vendor's wire.
    pub keep_alive: KeepAlive,
    /// How many events the server may send beyond the last one consumed. 1024; 0 (no limit) on the vendor's wire.
    pub window: u32,
    /// How long `login` may take in all, retries included. 12 s.
    pub login_timeout: Duration,
    /// How long the gateway may take to name a server, and opening a link to one: TCP, TLS and the WebSocket. 10 s. Where
    /// others are left to be tried, they get their share of this time, and of what is left to `login_timeout`.
    pub connect_timeout: Duration,
    /// How long the server may be silent before it answers a login over an open link. 6 s.
    pub answer_timeout: Duration,
    /// How long `logout` waits for the server to confirm it, and before that for a request under way that tells the server
    /// which stored messages are here. 2 s.
    pub logout_timeout: Duration,
    /// Within what time a message or an invitation must be answered. 10 s.
    pub message_timeout: Duration,
    /// Within what time a query of or a subscription to online states must be answered. 10 s.
    pub presence_timeout: Duration,
    /// Within what time any other call must be answered; accepting an invitation is one. 5 s.
    pub call_timeout: Duration,
    /// Whether the user has a token provider: then [`Output::FetchToken`](crate::Output::FetchToken) asks for a token
    /// where a login has none, and whenever one ends soon, has ended or is refused.
    pub token_provider: bool,
    /// How long the token provider may take. 10 s.
    pub provider_timeout: Duration,
    /// How long an invitation without any news lives here; the server's own timers end it after 60 s. 65 s.
    pub invitation_timeout: Duration,
    /// The pauses between attempts to connect.
    pub backoff: BackoffConfig,
    /// How often each call may be made, unless the server says otherwise: `docs/rtm.md#call-limits`.
    pub limits: CallLimits,
    /// Whether each window of the limits counts as an eighth longer than it is. Calls do not all travel equally fast,
    /// and the server counts them when they arrive: with a reserve, calls made as often as allowed are not refused. Off.
    pub limit_reserve: bool,
    /// Reports a login elsewhere as `DISCONNECTED` instead of `ABORTED`, as the vendor's web SDK 1.0.15 does.
    pub web15: bool,
}

impl Config {
    /// For the native wire.
    #[must_use]
    pub fn native() -> Self {
        Self {
            abilities: Wire::Native.abilities(),
            gateways: vec![GatewayConfig::default()],
            asks_gateway: false,
            confirms_renewals: true,
            keep_alive: KeepAlive::Client { interval_ms: 2_000 },
            window: 1024,
            login_timeout: Duration::from_secs(12),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(6),
            logout_timeout: Duration::from_secs(2),
            message_timeout: Duration::from_secs(10),
            presence_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(5),
            token_provider: false,
            provider_timeout: Duration::from_secs(10),
            invitation_timeout: Duration::from_secs(65),
            backoff: BackoffConfig::default(),
            limits: CallLimits::default(),
            limit_reserve: false,
            web15: false,
        }
    }

    /// For the vendor's wire.
    #[must_use]
    pub fn vendor() -> Self {
        Self {
            abilities: Wire::Vendor.abilities(),
            asks_gateway: true,
            confirms_renewals: false,
            keep_alive: KeepAlive::Client { interval_ms: 10_000 },
            window: 0,
            ..Self::native()
        }
    }
}

impl Config {
    /// No span is zero, nor so long that no instant lies after it, and there is a gateway.
    pub(crate) fn clamped(mut self) -> Self {
        let BackoffConfig { first, draining, max, reset_after: _ } = &mut self.backoff;
        let spans = [
            &mut self.login_timeout,
            &mut self.connect_timeout,
            &mut self.answer_timeout,
            &mut self.logout_timeout,
            &mut self.message_timeout,
            &mut self.presence_timeout,
            &mut self.call_timeout,
            &mut self.provider_timeout,
            &mut self.invitation_timeout,
            first,
            draining,
            max,
        ];
        for span in spans {
            *span = (*span).clamp(Duration::from_millis(1), Duration::from_secs(365 * 24 * 3600));
        }
        if self.gateways.is_empty() {
            self.gateways.push(GatewayConfig::default());
        }
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::native()
    }
}

/// The pauses between attempts to connect: before attempt *n* (from 0) anything up to
/// `first * 2^n`, at most `max`, drawn at random ("full jitter").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackoffConfig {
    /// The longest pause before the first retry. 250 ms.
    pub first: Duration,
    /// The longest pause before the first retry after the server said that it goes down, or sent its clients elsewhere. It
    /// spreads that over time itself. 250 ms; at least `first`.
    pub draining: Duration,
    /// The longest pause before any retry. 10 s.
    pub max: Duration,
    /// How long a link must have lasted for the pauses to start from `first` again. 5 s.
    pub reset_after: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            draining: Duration::from_millis(250),
            max: Duration::from_secs(10),
            reset_after: Duration::from_secs(5),
        }
    }
}

/// One of the gateways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// What errors call it; they do not name it if this is empty.
    pub name: Text,
    /// Whether it is asked for servers that speak TLS, where it is asked.
    pub tls: bool,
}

impl GatewayConfig {
    /// The same gateway, with this name in errors.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Text>) -> Self {
        self.name = name.into();
        self
    }

    /// The same gateway, with TLS or without.
    #[must_use]
    pub fn with_tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }
}

/// Who logs in, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a login names all of them")]
pub struct Credentials {
    /// The project.
    pub app_id: AppId,
    /// The user.
    pub user_id: UserId,
    /// The access token, where the project needs one.
    pub token: Option<Token>,
}
