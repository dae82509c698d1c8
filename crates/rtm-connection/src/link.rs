//! Where the link to the server stands. What dies with a link lives in its variant and goes with it.

use std::time::{Duration, Instant};

use rtm_codec::{KeepAlive, Text};

use crate::{
    AskId,
    gateway::{Gateway, Route},
};

/// The link of an account, from the first dial to the end.
#[derive(Debug)]
pub(crate) enum LinkState {
    /// There is none. Whoever dropped the last one decides at once what follows, so nobody else sees this.
    Lost,
    /// The vendor's gateway is asked, until then, which server to connect to.
    Asking { until: Instant, ask: AskId },
    /// A link is being made. `asked`: the transport has been told, so that what it reports is of this dial. `route`:
    /// where else to connect, on the vendor's wire.
    Dialing { until: Instant, asked: bool, route: Option<Route> },
    /// The link is open and the login is sent. `resumes`: with a session to go on with. `gateway_session`: what the
    /// vendor's gateway gave for it.
    LoggingIn { give_up: Instant, resumes: bool, gateway_session: Option<Text> },
    /// Logged in.
    Online(Online),
    /// The link is lost; the next attempt starts then.
    Waiting { until: Instant },
    /// There is no link, and no token to make one with. `until`: when the one in use is tried again all the same.
    NeedsToken { until: Option<Instant> },
}

/// An open link with a session on it.
#[derive(Debug)]
pub(crate) struct Online {
    since: Instant,
    interval: Duration,
    ping_at: Option<Instant>,
    /// When the oldest ping went out that has no answer.
    pinged_at: Option<Instant>,
    round_trip: Option<Duration>,
    heard_at: Instant,
    /// When to look whether the link is silent. Not moved by every frame, so that a timer set for it stays.
    look_at: Instant,
    /// A sign of life goes out anyway, so any acknowledgement may go with it.
    pub(crate) acks_anything: bool,
    /// What is asked over HTTP, on the vendor's wire.
    pub(crate) gateway: Option<Gateway>,
}

impl Online {
    pub(crate) fn new(now: Instant, keep_alive: KeepAlive, gateway: Option<Gateway>) -> Self {
        let (interval_ms, pings) = match keep_alive {
            KeepAlive::Client { interval_ms } => (interval_ms, true),
            KeepAlive::Server { interval_ms } => (interval_ms, false),
            _ => (10_000, true),
        };
        let interval = Duration::from_millis(interval_ms.max(1).into());
        let ping_at = pings.then(|| now + interval);
        let look_at = now + interval * 2;
        Self {
            since: now,
            interval,
            ping_at,
            pinged_at: None,
            round_trip: None,
            heard_at: now,
            look_at,
            acks_anything: false,
            gateway,
        }
    }

    /// How long the link has lasted.
    pub(crate) fn lasted(&self, now: Instant) -> Duration {
        now - self.since
    }

    /// A frame came, whatever it was, or a part of one.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// When [`is_silent`](Self::is_silent) is to be asked.
    pub(crate) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Whether nothing was heard for two intervals.
    pub(crate) fn is_silent(&mut self, now: Instant) -> bool {
        let dead_at = self.heard_at + self.interval * 2;
        self.look_at = dead_at;
        now >= dead_at
    }

    /// When [`ping`](Self::ping) is to be called, if this side pings.
    pub(crate) fn ping_at(&self) -> Option<Instant> {
        self.ping_at
    }

    /// Whether the link may be asked for a sign of life before it is time, as [`ping`](Self::ping) does. It then has
    /// [`PROBED`] to give one, and if it gives one, it is as good as any other.
    pub(crate) fn probe(&mut self, now: Instant) -> bool {
        if self.ping_at.is_none() {
            return false;
        }
        // As if it were silent since long: the next frame puts that right.
        if let Some(heard_at) = (now + PROBED).checked_sub(self.interval * 2) {
            self.heard_at = self.heard_at.min(heard_at);
            self.look_at = self.heard_at + self.interval * 2;
        }
        true
    }

    /// A ping goes out.
    pub(crate) fn ping(&mut self, now: Instant) {
        self.ping_at = Some(now + self.interval);
        self.pinged_at.get_or_insert(now);
        self.acks_anything = true;
    }

    /// The answer to a ping came.
    pub(crate) fn pong(&mut self, now: Instant) {
        if let Some(pinged_at) = self.pinged_at.take() {
            self.round_trip = Some(now - pinged_at);
        }
    }

    /// How long the last answer to a ping took.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

/// How long a link may be silent that the user doubts.
const PROBED: Duration = Duration::from_secs(2);
