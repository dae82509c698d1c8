//! A user's session: what outlives its socket.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use rtm_codec::{Abilities, AttributeKey, InstanceId, KeepAlive, PeerOnlineState, SessionId, Text};

use super::{
    ConnId, OfflineId, ProjectConfig, Settings,
    arena::{ChannelKey, UserKey},
    away::Away,
    limits::Budgets,
    message_ids::MessageIds,
    requests::Requests,
    stream::{Queued, Stream},
    timer::Alarm,
};

/// One session. Its user is *there* until nothing was heard from it for
/// [`Settings::offline_after`]; then it is *lapsed* and only waits to be resumed.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) user: UserKey,
    pub(super) instance: InstanceId,
    /// The connection, while there is one.
    pub(super) conn: Option<ConnId>,
    /// As subscribers see the user; `Offline` is lapsed.
    pub(super) state: PeerOnlineState,
    /// The client has yet to hear that it was away for too long to stay in its channels.
    pub(super) has_lapsed: bool,
    /// When the last frame came, or the socket was lost.
    pub(super) heard: Instant,
    pub(super) keep_alive: KeepAlive,
    pub(super) ping_at: Option<Instant>,
    pub(super) token: Option<TokenClock>,
    pub(super) abilities: Abilities,
    /// Opens the HTTP endpoints.
    pub(super) gateway_session: Option<Text>,
    pub(super) stream: Stream,
    /// When the first sender gives up waiting for this session's device, and from which event on to look.
    pub(super) receipts: Receipts,
    pub(super) requests: Requests,
    pub(super) message_ids: Option<Box<MessageIds>>,
    pub(super) budgets: Budgets,
    pub(super) channels: Vec<Membership>,
    /// What is held of channels while the session is away.
    pub(super) away_bytes: usize,
    pub(super) away_order: u64,
    pub(super) subscriptions: IndexMap<UserKey, Told, FixedState>,
    /// Subscribed users whose state may have changed, and when to tell of them.
    pub(super) changed: Vec<UserKey>,
    pub(super) tell_at: Option<Instant>,
    /// When it was told of changes last.
    pub(super) told_at: Option<Instant>,
    pub(super) attributes: BTreeMap<AttributeKey, Text>,
    /// Until when the next set of attributes may be one that a returning SDK sends by itself.
    pub(super) echo_until: Option<Instant>,
    pub(super) offline: OfflineLoad,
    /// More was stored while the last page was being read.
    pub(super) reads_again: bool,
    /// Stored messages that were received while a page was being read, which may hold them still.
    pub(super) removed_meanwhile: Vec<OfflineId>,
    /// Messages from users that have to wait until older, stored ones are read.
    pub(super) held: VecDeque<Queued>,
    pub(super) held_bytes: usize,
    /// Sessions of this user that this one put an end to.
    pub(super) ousted: VecDeque<Ousted>,
    pub(super) alarm: Alarm,
    /// What the session may hold while it is connected, in bytes.
    pub(super) limit: usize,
    /// Whether the session is to be closed as a slow consumer.
    pub(super) is_overfull: bool,
}

/// When a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenClock {
    /// When to warn; `None` once it is done.
    pub(super) warn_at: Option<Instant>,
    pub(super) ends_at: Instant,
}

/// Which events senders wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Receipts {
    pub(super) due: Option<Instant>,
    pub(super) from: u64,
}

/// A channel that the session is in.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) channel: ChannelKey,
    /// The last member count that it was told.
    pub(super) told_count: u32,
    pub(super) away: Option<Box<Away>>,
}

/// What a subscriber was last told of a user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) state: PeerOnlineState,
    pub(super) is_changed: bool,
}

/// How far the reading of stored messages is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfflineLoad {
    /// All were read, or are not wanted.
    Done,
    /// A page is being read.
    Loading,
    /// There may be more after this one, to be read when every event of the stream before this number is received.
    Paused { after: OfflineId, until: u64 },
    /// Something was stored while the session had no connection and no room: to be read when the client is back.
    Due,
}

/// A session that ended because its user logged in elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Ousted {
    pub(super) session: SessionId,
    pub(super) instance: InstanceId,
    /// Whether its client was connected, and so could be told.
    pub(super) was_told: bool,
}

impl Session {
    /// Whether the user counts as logged in.
    pub(super) fn is_there(&self) -> bool {
        self.state != PeerOnlineState::Offline
    }

    /// What the session holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.stream.bytes() + self.away_bytes + self.held_bytes
    }

    /// Forgets what is over, to take little memory while nothing happens.
    pub(super) fn tidy(&mut self, config: &ProjectConfig, now: Instant, since_start: Duration) {
        self.budgets.tidy(&config.limits, since_start);
        self.stream.tidy();
        self.requests.tidy();
        if self.message_ids.as_ref().is_some_and(|ids| ids.is_over(now, &config.settings)) {
            self.message_ids = None;
        }
    }

    /// Sets what the session may hold on a new connection. One that comes back with much to deliver is given room
    /// to catch up, or the next event would close it again.
    pub(super) fn set_limit(&mut self, settings: &Settings) {
        let most = settings.session_bytes;
        self.limit = (self.bytes() + most / 2).min(most.saturating_mul(2)).max(most);
    }

    /// Whether the session holds so much that a new connection would be closed for it at once, and again and again.
    pub(super) fn is_beyond_limit(&self, settings: &Settings) -> bool {
        self.bytes() > settings.session_bytes / 4 * 7
    }

    /// After how much silence the user is unreachable.
    pub(super) fn unreachable_after(&self, settings: &Settings) -> Duration {
        let interval = match self.keep_alive {
            KeepAlive::Client { interval_ms } | KeepAlive::Server { interval_ms } => interval_ms,
            _ => 0,
        };
        Duration::from_millis(u64::from(interval) * 3 / 2).max(settings.unreachable_after).min(settings.offline_after)
    }

    /// When to ping after a ping that was due at `at`: in step, unless that is over already.
    pub(super) fn next_ping(&self, at: Instant, now: Instant) -> Instant {
        let KeepAlive::Server { interval_ms } = self.keep_alive else { return at };
        let interval = Duration::from_millis(interval_ms.into());
        if at + interval > now { at + interval } else { now + interval }
    }

    /// When something is next to be done for the session.
    pub(super) fn deadline(&self, settings: &Settings) -> Instant {
        let silence = match self.state {
            PeerOnlineState::Online => self.unreachable_after(settings),
            PeerOnlineState::Offline => settings.resume_within.max(settings.offline_after),
            _ => settings.offline_after,
        };
        let token = self.token.map(|token| token.warn_at.unwrap_or(token.ends_at));
        let here = if self.conn.is_some() { [self.ping_at, token, self.tell_at] } else { [None; 3] };
        here.into_iter().flatten().chain(self.receipts.due).fold(self.heard + silence, Instant::min)
    }
}
