//! Where the link to the server stands. What dies with a link lives in its variant and goes with it.

use std::time::{Duration, Instant};

use rtm_codec::KeepAlive;

/// The link, from the first dial to the end.
#[derive(Debug)]
pub(crate) enum Link {
    /// Not logged in.
    Idle,
    /// A link is being made. `asked`: the transport has been told, so that what it reports is of this dial.
    Dialing { give_up: Instant, asked: bool },
    /// The link is open and the login is sent. `resumes`: with a session to go on with.
    LoggingIn { give_up: Instant, resumes: bool },
    /// Logged in.
    Online(Online),
    /// The link is lost; the next attempt starts then.
    Waiting { until: Instant },
    /// The link is lost, and without a new token there is no way back.
    NeedsToken,
    /// The logout is sent.
    LoggingOut { give_up: Instant },
    /// The server ended the session for good.
    Aborted,
}

/// The keep-alive of one link.
#[derive(Debug)]
pub(crate) struct Online {
    since: Instant,
    interval: Duration,
    ping_at: Option<Instant>,
    heard_at: Instant,
    /// When to look whether the link is silent. Not moved by every frame, so that a timer set for it stays.
    look_at: Instant,
}

/// What keeping a link alive takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepAliveStep {
    Ping,
    GiveUp,
}

impl Online {
    pub(crate) fn new(now: Instant, keep_alive: KeepAlive) -> Self {
        let (interval_ms, pings) = match keep_alive {
            KeepAlive::Client { interval_ms } => (interval_ms, true),
            KeepAlive::Server { interval_ms } => (interval_ms, false),
            _ => (10_000, true),
        };
        let interval = Duration::from_millis(interval_ms.max(1).into());
        let ping_at = pings.then(|| now + interval);
        Self { since: now, interval, ping_at, heard_at: now, look_at: now + interval * 2 }
    }

    /// How long the link has lasted.
    pub(crate) fn lasted(&self, now: Instant) -> Duration {
        now - self.since
    }

    /// A frame came, whatever it was.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// What is due at `now`.
    pub(crate) fn step(&mut self, now: Instant) -> Option<KeepAliveStep> {
        if now >= self.look_at {
            let dead_at = self.heard_at + self.interval * 2;
            if now >= dead_at {
                return Some(KeepAliveStep::GiveUp);
            }
            self.look_at = dead_at;
        }
        if self.ping_at.is_some_and(|at| at <= now) {
            self.ping_at = Some(now + self.interval);
            return Some(KeepAliveStep::Ping);
        }
        None
    }

    /// When `step` is to be called.
    pub(crate) fn next_timeout(&self) -> Instant {
        self.ping_at.map_or(self.look_at, |ping_at| ping_at.min(self.look_at))
    }
}
