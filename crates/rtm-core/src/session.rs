//! A user's session: what outlives its socket. Each part lies in the file of its rules.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use rtm_codec::{AttributeKey, Budgets, ChannelId, Login, SessionId, Text};

use super::{
    ConnId, ProjectConfig, Settings, arena::UserKey, counters::SessionCounts, lanes::Lanes, liveness::Liveness,
    memberships::Memberships, message_ids::MessageIds, offline::Mail, ousted::OustedSessions, pack::open::Parts,
    presence::Watching, receipts::Receipts, rejoining::Rejoining, requests::Requests, stream::Stream, terms::Terms,
    timer::Alarm,
};

/// One session. Its user is *there* until nothing was heard from it for
/// [`Settings::offline_after`]; then it is *lapsed* and only waits to be resumed.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) user: UserKey,
    /// The connection, while there is one.
    pub(super) conn: Option<ConnId>,
    pub(super) terms: Terms,
    pub(super) liveness: Liveness,
    pub(super) stream: Stream,
    pub(super) receipts: Receipts,
    pub(super) mail: Mail,
    pub(super) requests: Requests,
    pub(super) message_ids: Option<Box<MessageIds>>,
    /// Its messages from and to sessions on other nodes.
    pub(super) lanes: Option<Box<Lanes>>,
    pub(super) budgets: Budgets,
    pub(super) memberships: Memberships,
    /// What the present connection is not told yet.
    pub(super) rejoining: Option<Box<Rejoining>>,
    pub(super) watching: Watching,
    pub(super) attributes: BTreeMap<AttributeKey, Text>,
    /// The sessions of this user that this one put an end to.
    pub(super) ousted: OustedSessions,
    pub(super) alarm: Alarm,
    /// Most sessions have nothing to count.
    counts: Option<Box<SessionCounts>>,
    /// How many bytes the session may hold while it is connected.
    limit: usize,
    /// Whether it is to be closed as a slow consumer.
    is_overfull: bool,
    /// When it came from another node, and the channels that it was in.
    moved: Option<Box<(Instant, Vec<ChannelId>)>>,
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        user: UserKey,
        now: Instant,
        login: &Login,
        ousted: OustedSessions,
        settings: &Settings,
        hasher: FixedState,
    ) -> Self {
        Self {
            id,
            user,
            conn: None,
            terms: Terms::new(login),
            liveness: Liveness::new(now, login.keep_alive),
            stream: Stream::new(login.window),
            receipts: Receipts::default(),
            mail: Mail::default(),
            requests: Requests::default(),
            message_ids: None,
            lanes: None,
            budgets: Budgets::default(),
            memberships: Memberships::default(),
            rejoining: None,
            watching: Watching::new(hasher),
            attributes: BTreeMap::new(),
            ousted,
            alarm: Alarm::default(),
            counts: None,
            limit: settings.session_bytes,
            is_overfull: false,
            moved: None,
        }
    }

    /// A session that comes from elsewhere, without what names others.
    pub(super) fn unpack(id: SessionId, user: UserKey, parts: Parts, hasher: FixedState, settings: &Settings) -> Self {
        let Parts {
            terms,
            liveness,
            stream,
            receipts,
            mail,
            requests,
            message_ids,
            lanes,
            budgets,
            attributes,
            ousted,
        } = parts;
        Self {
            id,
            user,
            conn: None,
            terms,
            liveness,
            stream,
            receipts,
            mail,
            requests,
            message_ids,
            lanes,
            budgets,
            memberships: Memberships::default(),
            rejoining: None,
            watching: Watching::new(hasher),
            attributes,
            ousted,
            alarm: Alarm::default(),
            counts: None,
            limit: settings.session_bytes,
            is_overfull: false,
            moved: None,
        }
    }

    /// Whether the client has yet to join a channel again, before which it hears nothing of that.
    pub(super) fn awaits_join(&self, channel_id: &ChannelId) -> bool {
        self.rejoining.as_ref().is_some_and(|rejoining| rejoining.awaits(channel_id))
    }

    /// It has come from another node, where it was in these channels.
    pub(super) fn has_moved(&mut self, now: Instant, channels: Vec<ChannelId>) {
        self.moved = Some(Box::new((now, channels)));
    }

    /// Whether it came from another node lately, was not in this channel, and may have left it there just before: what it had
    /// there may still be under way to this node.
    pub(super) fn may_have_left(&self, channel_id: &ChannelId, now: Instant) -> bool {
        self.moved.as_ref().is_some_and(|moved| now < moved.0 + UNDER_WAY && !moved.1.contains(channel_id))
    }

    /// Whether the user counts as logged in.
    pub(super) fn is_there(&self) -> bool {
        self.liveness.is_there()
    }

    pub(super) fn counts(&self) -> SessionCounts {
        self.counts.as_deref().copied().unwrap_or_default()
    }

    pub(super) fn counts_mut(&mut self) -> &mut SessionCounts {
        self.counts.get_or_insert_default()
    }

    /// How many bytes the session holds.
    pub(super) fn bytes(&self) -> usize {
        let held = self.rejoining.as_ref().map_or(0, |rejoining| rejoining.bytes());
        self.stream.bytes() + self.memberships.bytes() + self.mail.bytes() + held
    }

    /// Whether the session holds too much for its connection, in which `unwritten` bytes more wait. It says so once
    /// for each connection.
    pub(super) fn becomes_overfull(&mut self, unwritten: usize) -> bool {
        if self.bytes() + unwritten > self.limit && !self.is_overfull {
            self.is_overfull = true;
            return true;
        }
        false
    }

    pub(super) fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    /// Whether what it waits to be told should give way, since little more would make it overfull.
    pub(super) fn is_nearly_full(&self, settings: &Settings) -> bool {
        self.bytes() > self.limit - settings.session_bytes / 4
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

    /// The session is without a connection from now on.
    pub(super) fn lose_connection(&mut self, now: Instant) {
        self.conn = None;
        if let Some(rejoining) = self.rejoining.take() {
            rejoining.into_events().for_each(|queued| self.stream.push(queued));
        }
        self.mail.await_no_more();
        self.liveness.lose_connection(now);
        self.watching.put_off();
        self.is_overfull = false;
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

    /// When something is next to be done for the session.
    pub(super) fn deadline(&self, settings: &Settings) -> Instant {
        let silence = self.liveness.silent_at(settings);
        let here = match self.conn {
            Some(_) => {
                let rejoining = self.rejoining.as_ref().map(|rejoining| rejoining.until());
                let fetching = self.mail.fetch_by();
                [self.liveness.ping_at(), self.terms.token_due(), self.watching.tell_at(), rejoining, fetching]
            }
            None => [None; 5],
        };
        here.into_iter().flatten().chain(self.receipts.due()).fold(silence, Instant::min)
    }
}

/// A message is under way between nodes for so long at most, but for long outages.
const UNDER_WAY: Duration = Duration::from_secs(60);
