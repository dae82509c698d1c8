//! Silence, absence and the end of sessions: `docs/rtm.md#silence-and-absence`.

use std::time::{Duration, Instant};

use rtm_codec::{CloseReason, KeepAlive, LimitedCall, PeerOnlineState, ServerFrame};

use super::{
    ConnId, Core, Now, Outgoing, Settings,
    arena::{ChannelKey, SessionKey},
    away::gap,
    counters::GapReason,
    invitations::Leaving,
    kept_subscriptions::Subscriber,
    pack::{
        format::{LivenessV1, StateV1},
        packer::Packer,
        times::PackTime,
    },
};

/// When a session's client was last heard, and what follows from its silence.
#[derive(Debug)]
pub(super) struct Liveness {
    /// As subscribers see the user; `Offline` is lapsed.
    state: PeerOnlineState,
    /// The client has yet to hear that it was away for too long to stay in its channels.
    has_lapsed: bool,
    /// When the last frame came, or the socket was lost.
    heard: Instant,
    keep_alive: KeepAlive,
    ping_at: Option<Instant>,
    /// When the client is to be shown that the server hears it, if what came is a whole frame. A client that the server
    /// pings sees that all the while.
    show_at: Option<Instant>,
    /// How long the client took for its last pong, in microseconds; 0 without one.
    rtt: u32,
}

/// What a session's silence means.
enum Silence {
    Nothing,
    Unreachable,
    Offline,
    Gone,
}

impl Liveness {
    /// Of a session whose client has not been heard yet.
    pub(super) fn new(now: Instant, keep_alive: KeepAlive) -> Self {
        let state = PeerOnlineState::Offline;
        Self { state, has_lapsed: false, heard: now, keep_alive, ping_at: None, show_at: None, rtt: 0 }
    }

    /// When the last frame came, or the socket was lost.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// The client has logged in.
    pub(super) fn begin(&mut self, now: Instant, keep_alive: KeepAlive) {
        self.heard = now;
        (self.keep_alive, self.ping_at) = match keep_alive {
            KeepAlive::Server { interval_ms } => {
                let interval_ms = interval_ms.clamp(LEAST_KEEP_ALIVE_MS, MOST_KEEP_ALIVE_MS);
                let first = now + Duration::from_millis(interval_ms.into());
                (KeepAlive::Server { interval_ms }, Some(first))
            }
            by_client => (by_client, None),
        };
        self.show(now);
    }

    /// A frame came that proves that the client lives. `true` if its user has to be online again.
    pub(super) fn hear(&mut self, now: Instant) -> bool {
        self.heard = now;
        self.state != PeerOnlineState::Online
    }

    /// The user stays what it is at least until then.
    pub(super) fn put_lapse_off(&mut self, until: Instant, settings: &Settings) {
        if self.is_there()
            && let Some(heard) = until.checked_sub(settings.offline_after)
        {
            self.heard = self.heard.max(heard);
        }
    }

    /// The client speaks, so it has heard the answer to its login, and with it whether it was away for too long.
    pub(super) fn forget_lapse(&mut self) {
        self.has_lapsed = false;
    }

    pub(super) fn has_lapsed(&self) -> bool {
        self.has_lapsed
    }

    pub(super) fn lose_connection(&mut self, now: Instant) {
        self.ping_at = None;
        self.heard = now;
    }

    pub(super) fn state(&self) -> PeerOnlineState {
        self.state
    }

    /// Says whether this is another state than before.
    pub(super) fn set_state(&mut self, state: PeerOnlineState) -> bool {
        std::mem::replace(&mut self.state, state) != state
    }

    pub(super) fn is_there(&self) -> bool {
        self.state != PeerOnlineState::Offline
    }

    pub(super) fn ping_at(&self) -> Option<Instant> {
        self.ping_at
    }

    /// Whether the client is to be pinged now. Then the next ping is planned: in step, unless that is over already.
    fn takes_ping(&mut self, now: Instant) -> bool {
        let Some(at) = self.ping_at.filter(|at| *at <= now) else { return false };
        if let KeepAlive::Server { interval_ms } = self.keep_alive {
            let interval = Duration::from_millis(interval_ms.into());
            self.ping_at = Some(if at + interval > now { at + interval } else { now + interval });
        }
        true
    }

    /// How long ago the client was pinged last, if the server pings it.
    fn pinged_ago(&self, now: Instant) -> Option<Duration> {
        let KeepAlive::Server { interval_ms } = self.keep_alive else { return None };
        let pinged_at = self.ping_at?.checked_sub(Duration::from_millis(interval_ms.into()))?;
        now.checked_duration_since(pinged_at)
    }

    /// How long the client took for its last pong.
    pub(super) fn rtt(&self) -> Option<Duration> {
        (self.rtt > 0).then(|| Duration::from_micros(self.rtt.into()))
    }

    /// Whether the client is to be pinged when the server goes on, `now`, after it stood still. `instant` is what the
    /// time would be if it had not.
    pub(super) fn takes_late_ping(&mut self, now: Instant, instant: Instant) -> bool {
        let KeepAlive::Server { interval_ms } = self.keep_alive else { return false };
        let is_due = self.ping_at.is_some_and(|at| at <= instant);
        if is_due {
            self.ping_at = Some(now + Duration::from_millis(interval_ms.into()));
        }
        is_due
    }

    /// The client is answered a ping, or shown without one that it is heard.
    pub(super) fn show(&mut self, now: Instant) {
        self.show_at = self.shown_every().map(|interval| now + interval);
    }

    /// Whether a client of which something came has to be shown that. Its own ping waits behind a frame of which only a
    /// part is here, and may wait behind others where it is late.
    pub(super) fn has_to_show(&self, now: Instant, is_whole: bool) -> bool {
        self.show_at.is_some_and(|at| {
            // A part of a frame has it shown in half the time.
            now >= at || (!is_whole && self.shown_every().is_some_and(|interval| now + interval / 2 >= at))
        })
    }

    fn shown_every(&self) -> Option<Duration> {
        match self.keep_alive {
            KeepAlive::Client { interval_ms } => Some(Duration::from_millis(interval_ms.into())),
            _ => None,
        }
    }

    /// What the silence so far means.
    fn silence(&self, now: Instant, settings: &Settings) -> Silence {
        let silence = now.saturating_duration_since(self.heard);
        match self.state {
            PeerOnlineState::Offline if silence >= settings.resume_within => Silence::Gone,
            PeerOnlineState::Offline => Silence::Nothing,
            _ if silence >= settings.offline_after => Silence::Offline,
            PeerOnlineState::Online if silence >= self.unreachable_after(settings) => Silence::Unreachable,
            _ => Silence::Nothing,
        }
    }

    /// When more silence means something else.
    pub(super) fn silent_at(&self, settings: &Settings) -> Instant {
        let silence = match self.state {
            PeerOnlineState::Online => self.unreachable_after(settings),
            PeerOnlineState::Offline => settings.resume_within.max(settings.offline_after),
            _ => settings.offline_after,
        };
        self.heard + silence
    }

    /// After how much silence the user is unreachable.
    fn unreachable_after(&self, settings: &Settings) -> Duration {
        let interval = match self.keep_alive {
            KeepAlive::Client { interval_ms } | KeepAlive::Server { interval_ms } => interval_ms,
            _ => 0,
        };
        Duration::from_millis(u64::from(interval) * 3 / 2).max(settings.unreachable_after).min(settings.offline_after)
    }
}

impl Liveness {
    pub(super) fn pack(&self, packer: Packer<'_>) -> LivenessV1 {
        let (server_pings, interval_ms) = match self.keep_alive {
            KeepAlive::Client { interval_ms } => (false, interval_ms),
            KeepAlive::Server { interval_ms } => (true, interval_ms),
            // A kind that is added to the protocol has to be added here.
            _ => (false, 0),
        };
        LivenessV1 {
            state: StateV1(self.state),
            has_lapsed: self.has_lapsed,
            heard: packer.moment(self.heard),
            server_pings,
            interval_ms,
        }
    }

    pub(super) fn unpack(packed: &LivenessV1, time: PackTime) -> Self {
        let interval_ms = packed.interval_ms.min(MOST_KEEP_ALIVE_MS);
        let mut liveness = Self {
            state: packed.state.0,
            has_lapsed: packed.has_lapsed,
            // What has not been heard yet has not been heard.
            heard: time.instant(packed.heard).min(time.0),
            keep_alive: match packed.server_pings {
                true => KeepAlive::Server { interval_ms },
                false => KeepAlive::Client { interval_ms },
            },
            ping_at: None,
            show_at: None,
            rtt: 0,
        };
        liveness.show(time.0);
        liveness
    }
}

impl Core {
    /// Does what is due for a session.
    pub(super) fn session_due(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        match session.liveness.silence(now.instant, &self.config.settings) {
            Silence::Nothing => {}
            Silence::Unreachable => self.set_state(now, key, PeerOnlineState::Unreachable),
            Silence::Offline => return self.lapse(now, key),
            Silence::Gone => return self.end_session(now, key, CloseReason::KeepAliveTimeout),
        }
        let since_start = self.since_start(now);
        self.logins.forget(self.config.limits.get(LimitedCall::Login), since_start);
        if let Some(session) = self.hub.sessions.get_mut(key)
            && let Some(conn) = session.conn
        {
            session.tidy(&self.config, now.instant, since_start);
            if let Some(conn) = self.hub.conns.get_mut(conn) {
                conn.tidy();
            }
            if session.terms.has_expired(now.instant) {
                return self.end_session(now, key, CloseReason::TokenExpired);
            }
            if session.liveness.takes_ping(now.instant) {
                self.hub.send(conn, ServerFrame::Ping);
            }
            self.end_rejoining(now, key);
            self.end_fetching(now, key);
            self.warn_of_token(now, key);
            self.tell_changes(now, key);
        }
        self.expire_receipts(now, key);
        self.hub.arm(key);
    }

    /// Shows a client that a frame is heard, or a part of one, by a pong that it did not ask for, where nothing else is about
    /// to: over a slow link its pings wait behind what it sends, and it takes the link for dead when nothing comes back.
    pub(super) fn show_life(&mut self, now: Now, id: ConnId, key: SessionKey) {
        if let Some(session) = self.hub.sessions.get_mut(key)
            && self.hub.conns.get(id).is_some_and(|conn| !conn.is_closed && !conn.has_frames())
        {
            session.liveness.show(now.instant);
            self.hub.send(id, ServerFrame::Pong);
        }
    }

    /// A client has answered a ping.
    pub(super) fn count_pong(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if let Some(time) = session.liveness.pinged_ago(now.instant) {
            session.liveness.rtt = u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1);
            self.hub.counters.ponged_after(time);
        }
    }

    /// The user is offline: nothing was heard from it for too long. Its client may still resume the session.
    fn lapse(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        let heard = session.liveness.heard;
        if let Some(conn) = session.conn {
            self.hub.close(now, conn, Outgoing::Close(CloseReason::KeepAliveTimeout));
        }
        self.merge_away(key);
        let channels = self.leave_all(now, key);
        self.set_state(now, key, PeerOnlineState::Offline);
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        // Its silence began before the socket was closed just now.
        session.liveness.heard = heard;
        session.liveness.has_lapsed = true;
        session.attributes.clear();
        let user = session.user;
        self.hub.counters.told_gaps(GapReason::Lapsed, channels.len());
        for channel_id in channels {
            self.hub.push(key, gap(channel_id, None));
        }
        self.end_invitations(now, user, Leaving::Lapsed);
        self.hub.arm(key);
    }

    /// Ends a session for good, and tells its connection why.
    pub(super) fn end_session(&mut self, now: Now, key: SessionKey, reason: CloseReason) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        let (user, was_there, conn) = (session.user, session.is_there(), session.conn);
        if let Some(conn) = conn {
            self.hub.close(now, conn, Outgoing::Close(reason));
        }
        if was_there {
            self.leave_all(now, key);
        }
        // The user may be gone with its session, before its senders are answered.
        let user_id = self.user_id_of(key);
        self.log_end(now, key, reason);
        let Some(session) = self.hub.sessions.remove(key) else { return };
        if let Some(user) = self.users.get_mut(user) {
            user.session = None;
        }
        self.stop_watching(key, &session.watching);
        let leaving = match reason {
            CloseReason::RemoteLogin => Leaving::Replaced,
            _ => Leaving::Ended,
        };
        self.end_invitations(now, user, leaving);
        if was_there {
            self.state_changed(now, user);
        }
        self.settle_handed_out(key, conn, reason);
        if let Some(user_id) = user_id {
            self.report_end(now, &user_id, reason == CloseReason::RemoteLogin);
            // Another session of the user has the entry where this one gives way to it.
            if reason != CloseReason::RemoteLogin {
                self.release_entry(&user_id);
            }
            if session.terms.abilities().subscribes_once {
                let instance = session.terms.instance().clone();
                self.leave_subscriptions(now, &Subscriber { user_id: user_id.clone(), instance }, reason);
            }
            self.return_receipts(now, &user_id, session.stream, session.mail);
        }
        self.users.release(user);
    }

    /// Puts what was kept of the channels of a session that was away where it belongs in its stream.
    pub(super) fn merge_away(&mut self, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let channels = &self.channels;
        let name = |channel: ChannelKey| channels.get(channel).map(|channel| &channel.id);
        let gaps = session.memberships.merge_away(&mut session.stream, name);
        self.hub.counters.told_gaps(GapReason::Away, gaps);
    }
}

/// The slowest keep-alive that is accepted, in milliseconds. At 30 s between pings a client would count as offline in
/// between.
pub(super) const MOST_KEEP_ALIVE_MS: u32 = 20_000;
const LEAST_KEEP_ALIVE_MS: u32 = 1_000;
