//! The server of one project as a state machine without IO: frames and the time go in; frames, store jobs and deadlines come out.
//!
//! [`Core`] reads no clock, owns no task and does no IO, so the same code runs behind a listener, in a test with
//! virtual time and in a simulation. The same calls with the same seed have the same output. Most programs use `rtm-server`, which
//! adds sockets, a clock and a durable store.
//!
//! ```
//! use std::time::Instant;
//!
//! use rtm_codec::{AppId, ClientFrame, InstanceId, KeepAlive, Login, ServerFrame, UserId, Wire};
//! use rtm_core::{Core, Now, Outgoing, ProjectConfig};
//!
//! let now = Now { instant: Instant::now(), unix_ms: 1_700_000_000_000 };
//! let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
//! let mut core = Core::new(ProjectConfig::new(app_id.clone()), [7; 32], now);
//!
//! let conn = core.connect();
//! core.handle_frame(now, conn, ClientFrame::Login(Box::new(Login {
//!     app_id,
//!     user_id: Some(UserId::new("alice")?),
//!     token: None,
//!     instance: InstanceId::new("phone-1")?,
//!     resume: None,
//!     keep_alive: KeepAlive::Client { interval_ms: 2000 },
//!     window: 0,
//!     abilities: Wire::Native.abilities(),
//!     gateway_session: None,
//! })));
//!
//! let mut out = Vec::new();
//! core.take_output(conn, &mut out);
//! assert!(matches!(&out[0], Outgoing::Frame(ServerFrame::Welcome(_))));
//! # Ok::<(), rtm_codec::InvalidId>(())
//! ```

#![deny(clippy::iter_over_hash_type)]

mod absent;
mod admin;
mod admin_calls;
mod arena;
mod attribute_writes;
mod attributes;
mod auth;
mod away;
mod back_end;
mod binary;
mod by_partition;
mod channel;
mod channel_attributes;
mod claim;
mod clock;
#[expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "the shell of a node reads and fills in all of it: a new part that it passes over must not compile"
)]
pub mod cluster;
mod commands;
mod config;
mod counters;
mod delivery;
mod directory;
mod draining;
mod edge;
mod engine;
mod event_duty;
mod event_log;
mod event_promises;
mod event_reads;
mod event_replay;
mod event_sources;
mod event_words;
mod fan_out;
mod far_invitations;
mod far_presence;
mod far_reads;
mod far_requests;
mod frozen;
mod given_invitations;
mod handed_out;
mod history;
mod holder;
mod home;
mod http;
mod hub;
mod inspect;
mod invitations;
mod jobs;
mod kept_subscriptions;
mod lanes;
mod leaving;
mod liveness;
mod login;
mod member_counts;
mod memberships;
mod message_ids;
mod messages;
mod moves;
mod notes;
mod offline;
mod once;
mod ousted;
mod output;
mod pack;
mod presence;
mod project_event;
mod provisional;
mod receipts;
mod rejoining;
mod relays;
mod requests;
mod rereading;
mod rest;
mod rest_events;
mod restarted;
mod restrictions;
mod roster;
mod session;
pub mod store;
mod stored_bytes;
mod stream;
mod subscriptions;
mod terms;
mod timer;
mod users;
mod watch_home;

use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use rtm_codec::{AppId, ClientFrame, CloseReason, Command, PeerOnlineState, Seq, ServerFrame};

use self::{
    admin_calls::AdminCalls,
    arena::{Arena, ChannelKey, InvitationKey, SessionKey, UserKey},
    attribute_writes::AttributeWrites,
    auth::Secrets,
    channel::Channel,
    clock::Clock,
    directory::Directory,
    edge::{Edge, Numbers},
    event_log::EventLog,
    event_reads::EventReads,
    http::Http,
    hub::{Conn, Hub},
    invitations::Invitation,
    jobs::Jobs,
    kept_subscriptions::{KeptSubscriptions, Subscriber},
    login::Logins,
    provisional::ProvisionalLogins,
    rest::Rest,
    restrictions::RestrictedUsers,
    stored_bytes::KeptBytes,
    timer::Due,
    users::User,
};

pub use admin_calls::{AdminAnswer, AdminCall, DeletedData, Restriction};
pub use config::{EventSettings, InvalidRestKey, ProjectConfig, Quotas, RestAccess, RestKey, RestRights, Settings};
pub use counters::{
    Counters, GapReason, Histogram, Latencies, LoginResult, LossReason, MessageKind, MessageSource, MoveResult, Quota,
    RefusedCall, ResumeResult, SessionCounts,
};
pub use draining::Remaining;
pub use event_log::{EventFigures, EventLogStart};
pub use event_reads::{EventAnswer, EventPage, EventQuery, NumberedEvent};
pub use event_words::UnknownEventTypes;
pub use inspect::{Census, ChannelInfo, SessionInfo, UserInfo};
pub use output::{ConnId, HttpId, Now, Outgoing, Stats};
pub use pack::{NotPackable, UnpackError, UnpackErrorKind};
pub use project_event::{EventType, EventTypes, EventValue, LoggedEvent, Moment, ProjectEvent, Reason, SessionName};
pub use rest::RestCaller;
pub use store::{
    Conversation, JobId, LogEntry, LogKey, LogKind, Place, StateKey, StateValue, StoreAnswer, StoreDone, StoreFailed,
    StoreJob, StoreWork, StoredMessage,
};

/// The server of one project: users, channels, invitations, and the sessions of its clients.
///
/// # Calling it
///
/// 1. Call any of the methods that take `now`, as things happen. Time must not go back.
/// 2. Then [`take_store_jobs`](Self::take_store_jobs), [`take_wakes`](Self::take_wakes) and
///    [`take_http_answers`](Self::take_http_answers). They may be taken once for any number of calls before.
/// 3. For a connection that was woken, [`take_output`](Self::take_output), and write it all with one flush.
///    The task that owns the connection may take its output right after handing a frame in, without being woken.
/// 4. Call [`handle_timeout`](Self::handle_timeout) at [`next_timeout`](Self::next_timeout) or somewhat later.
///    Any call may bring the next deadline forward. A core that is called more than a second too late takes that for
///    a pause of the whole server: the pause counts for no deadline, and nothing is due for a second after it, so that
///    what waits in the sockets is read before anybody is judged by it.
///
/// Every input is answered, refused, or closes the connection that sent it; nothing a client sends makes
/// it panic or harms another client. What a session, a user or the project may hold is bounded
/// ([`Settings`]).
pub struct Core {
    config: ProjectConfig,
    clock: Clock,
    start: Instant,
    hasher: FixedState,
    secrets: Secrets,
    hub: Hub,
    users: Directory<UserKey, User>,
    channels: Directory<ChannelKey, Channel>,
    channel_attribute_bytes: usize,
    writes: AttributeWrites,
    subscriptions: KeptSubscriptions,
    invitations: Arena<InvitationKey, Invitation>,
    /// How many were sent.
    invitations_sent: u32,
    jobs: Jobs,
    http: Http,
    rest: Rest,
    logins: Logins,
    provisional: ProvisionalLogins,
    admin_calls: AdminCalls,
    restrictions: RestrictedUsers,
    /// What it has of the cluster, if it is one of several.
    edge: Option<Box<Edge>>,
    /// It is to join a cluster, or has left one, and lets nobody in before it joins.
    is_outside: bool,
    numbers: Numbers,
    is_draining: bool,
    event_log: EventLog,
    event_reads: EventReads,
    kept_bytes: KeptBytes,
}

impl Core {
    /// The server of a project without any user. `seed` decides session ids, so it must be secret and random
    /// outside of tests.
    #[must_use]
    pub fn new(config: ProjectConfig, seed: [u8; 32], now: Now) -> Self {
        let mut secrets = Secrets::new(seed);
        let hasher = FixedState::with_seed(secrets.number());
        let mut hub = Hub::new(config.settings);
        hub.timers.push(now.instant + admin::EXPIRY_EVERY, Due::Expiry);
        // Not a number that a core of before had, or one of another node has.
        hub.back_end.count_from(secrets.first_message());
        Self {
            config,
            clock: Clock::new(now),
            start: now.instant,
            hasher: hasher.clone(),
            secrets,
            hub,
            users: Directory::new(hasher.clone()),
            channels: Directory::new(hasher.clone()),
            channel_attribute_bytes: 0,
            writes: AttributeWrites::default(),
            subscriptions: KeptSubscriptions::default(),
            invitations: Arena::new(),
            invitations_sent: 0,
            jobs: Jobs::default(),
            http: Http::default(),
            rest: Rest::default(),
            logins: Logins::new(hasher),
            provisional: ProvisionalLogins::default(),
            admin_calls: AdminCalls::default(),
            restrictions: RestrictedUsers::default(),
            edge: None,
            is_outside: false,
            numbers: Numbers::default(),
            is_draining: false,
            event_log: EventLog::default(),
            event_reads: EventReads::default(),
            kept_bytes: KeptBytes::default(),
        }
    }

    /// The project's App ID.
    #[must_use]
    pub fn app_id(&self) -> &AppId {
        &self.config.app_id
    }

    /// The project's settings.
    #[must_use]
    pub fn config(&self) -> &ProjectConfig {
        &self.config
    }

    /// Takes another configuration of the same project; its App ID stays. Sessions stay, also those of users who could not log
    /// in any more, and what is under way ends at the time that it was given. Everything else is judged by the new limits and
    /// settings from here on. A client learns new limits when it comes back.
    pub fn reconfigure(&mut self, now: Now, config: ProjectConfig) {
        let now = self.time(now);
        let app_id = self.config.app_id.clone();
        self.config = ProjectConfig { app_id, ..config };
        self.hub.settings = self.config.settings;
        self.event_log.set_settings(self.config.events, self.config.quotas);
        self.plan_event_expiry(now);
        if self.edge.as_ref().is_some_and(|edge| edge.draining.is_some()) {
            self.hub.settings.away_channel_messages = draining::ALL;
        }
        self.hub.limit_sessions();
    }

    /// Takes in a value that the store kept, before any connection. All values of each kind are to be taken in
    /// ([`read_state`](store::read_state)). Attributes of a channel go as those of any empty channel do. In a cluster
    /// those that have come in the meantime from other nodes stay, if they are newer.
    pub fn restore(&mut self, now: Now, key: StateKey, value: StateValue) {
        let now = self.time(now);
        let bytes = value.bytes();
        match (key, value) {
            (StateKey::ChannelAttributes(channel_id), StateValue::ChannelAttributes(attributes)) => {
                if self.knows_newer_attributes(&channel_id, attributes.revision) {
                    return;
                }
                self.put_channel_attributes(now, &channel_id, attributes, bytes, false);
            }
            (StateKey::ForgottenRevision, StateValue::ForgottenRevision(revision)) => {
                self.writes.restore_forgotten(revision);
            }
            (StateKey::Subscriptions(user_id, instance), StateValue::Subscriptions(kept)) => {
                self.restore_subscriptions(now, &Subscriber { user_id, instance }, kept);
            }
            (StateKey::Restrictions(user_id), StateValue::Restrictions(kept)) => {
                self.restriction_told(now, user_id.as_ref(), kept);
            }
            (StateKey::EventCursor(name), StateValue::EventCursor(cursor)) => self.put_event_cursor(name, cursor),
            (StateKey::Open(key), StateValue::Open(events)) => self.restore_open_events(&key, events),
            // No store gives a key another kind of value.
            _ => {}
        }
    }

    /// A new connection, whose login is in the caller's hands: it is the first frame to hand in. How long a socket
    /// may take until its login is the caller's to limit, who knows the project from no other frame.
    #[must_use]
    pub fn connect(&mut self) -> ConnId {
        self.hub.conns.insert(Conn::default())
    }

    /// What a connection received. Frames for a connection that was closed or is gone are ignored.
    pub fn handle_frame(&mut self, now: Now, conn: ConnId, frame: ClientFrame) {
        let now = match &frame {
            ClientFrame::Request { command: Command::SendMessageToPeer(_), .. } | ClientFrame::Ack { .. } => {
                self.time_within_turn(now)
            }
            // Nothing else a client asks for overtakes its messages.
            _ => self.time(now),
        };
        let Some(state) = self.hub.conns.get(conn).filter(|conn| !conn.is_closed) else { return };
        match (state.session, frame) {
            (Some(key), frame) => self.session_frame(now, conn, key, frame),
            (None, frame) => self.frame_without_session(now, conn, frame),
        }
        self.hub.close_overfull(now);
    }

    /// Bytes came on a connection that make no whole frame yet. They prove that its client lives, which over a slow
    /// link may take longer to say so with a frame than its silence may last.
    pub fn handle_bytes(&mut self, now: Now, conn: ConnId) {
        let now = self.time(now);
        let state = self.hub.conns.get(conn).filter(|conn| !conn.is_closed);
        let Some(key) = state.and_then(|conn| conn.session) else { return };
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let has_to_show = session.liveness.has_to_show(now.instant, false);
        if session.liveness.hear(now.instant) {
            self.set_state(now, key, PeerOnlineState::Online);
        }
        if has_to_show {
            self.show_life(now, conn, key);
        }
    }

    fn session_frame(&mut self, now: Now, conn: ConnId, key: SessionKey, frame: ClientFrame) {
        if let ClientFrame::Written { up_to } = frame {
            return self.acknowledge(now, conn, key, up_to, up_to);
        }
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        session.liveness.forget_lapse();
        let has_to_show = match &frame {
            ClientFrame::Request { .. } => session.liveness.has_to_show(now.instant, true),
            ClientFrame::Ack { answered, .. } => {
                session.requests.forget_before(*answered);
                false
            }
            _ => false,
        };
        if session.liveness.hear(now.instant) {
            self.set_state(now, key, PeerOnlineState::Online);
        }
        match frame {
            ClientFrame::Request { id, command } => {
                self.request(now, key, id, command);
                if has_to_show {
                    self.show_life(now, conn, key);
                }
            }
            ClientFrame::BadRequest { id, refusal } => self.hub.reply(key, id, None, Err(refusal)),
            ClientFrame::Ack { received, consumed, answered: _ } => {
                self.acknowledge(now, conn, key, received, consumed);
            }
            ClientFrame::Ping => {
                if let Some(session) = self.hub.sessions.get_mut(key) {
                    session.liveness.show(now.instant);
                }
                self.hub.send(conn, ServerFrame::Pong);
                self.count_sign(conn, key);
            }
            ClientFrame::Pong => {
                self.count_pong(now, key);
                self.count_sign(conn, key);
            }
            ClientFrame::Logout => self.end_session(now, key, CloseReason::Logout),
            // A second login, and what no client of this version sends.
            _ => self.break_off(now, conn),
        }
    }

    /// Events have reached the session's device. Of those that were never sent that cannot be: the connection ends.
    fn acknowledge(&mut self, now: Now, conn: ConnId, key: SessionKey, received: Seq, consumed: Seq) {
        if !self.hub.acknowledge(key, received, consumed) {
            return self.break_off(now, conn);
        }
        let mut stored = Vec::new();
        while let Some(queued) =
            self.hub.sessions.get_mut(key).and_then(|session| session.stream.take_received(received))
        {
            self.settle_note(now, key, queued, &mut stored);
        }
        self.settle_stored(now, key, stored);
    }

    fn break_off(&mut self, now: Now, conn: ConnId) {
        self.hub.close(now, conn, Outgoing::Close(CloseReason::ProtocolError));
    }

    /// The connection's socket is gone. Required once for each connection, also after [`Outgoing::Close`].
    /// Its session lives on for [`Settings::resume_within`].
    pub fn disconnect(&mut self, now: Now, conn: ConnId) {
        let now = self.time(now);
        match self.hub.conns.remove(conn).and_then(|conn| conn.session) {
            Some(key) => self.hub.detach(now, key),
            None => {
                self.leave_claim(conn);
                drop(self.logins.take(conn));
                drop(self.provisional.take(conn));
            }
        }
    }

    /// Closes a connection from the server's side, as for bytes that cannot be decoded
    /// ([`CloseReason::ProtocolError`]). Its session lives on as after a lost socket.
    pub fn close(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        let now = self.time(now);
        self.hub.close(now, conn, Outgoing::Close(reason));
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        self.look_at_timers(now);
        self.take_released_frames(now);
    }

    fn look_at_timers(&mut self, now: Now) {
        let now = self.time(now);
        if self.clock.is_held(now.instant) {
            return;
        }
        while let Some((at, due)) = self.hub.timers.pop(now.instant) {
            match due {
                Due::Session(key) => {
                    if self.hub.sessions.get_mut(key).is_some_and(|session| session.alarm.take(at)) {
                        self.session_due(now, key);
                    }
                }
                Due::Channel(key) => self.channel_due(now, key, at),
                Due::Invitation(invitation) => self.invitation_due(now, invitation),
                Due::Http(id) => self.http_due(now, id),
                Due::BackEnd => self.back_end_due(now),
                Due::Login(conn) => self.login_due(now, conn),
                Due::Edge => self.edge_due(now, at),
                Due::Presence => self.presence_due(now, at),
                Due::Drain => self.drain_due(now),
                Due::Expiry => self.expire_stored(now),
                Due::Events => self.events_due(now),
                Due::EventExpiry => self.event_expiry_due(now, at),
                Due::Subscriptions => self.look_after_subscriptions(now),
                Due::Restrictions => self.restrictions_due(now),
                Due::Admin(id) => self.admin_due(id),
            }
        }
        self.hub.close_overfull(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called next. It may turn out that nothing is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.hub.timers.next().map(|due| self.clock.call_at(due))
    }

    /// Appends what is to be written to a connection's socket, as much as fills a few socket buffers, and says
    /// whether there is more: then it is to be written first, and this called again.
    pub fn take_output(&mut self, conn: ConnId, out: &mut Vec<Outgoing>) -> bool {
        self.hub.take_output(conn, out)
    }

    /// Whether the last of a connection's output waits for it. A shell that takes no output, since the socket does
    /// not either, sees so that it is to end; taking the output then gives frames and the end, but no event.
    #[must_use]
    pub fn is_closing(&self, conn: ConnId) -> bool {
        self.hub.conns.get(conn).is_some_and(|conn| conn.is_closed)
    }

    /// Appends the connections that have output since they were last taken or woken, each once; and again those
    /// that are closed.
    pub fn take_wakes(&mut self, wakes: &mut Vec<ConnId>) {
        self.hub.take_wakes(wakes);
    }

    /// Appends the jobs for the store, in order.
    pub fn take_store_jobs(&mut self, jobs: &mut Vec<StoreJob>) {
        self.send_what_waits();
        self.jobs.take(jobs);
    }

    /// The store has done a job, or failed to.
    pub fn handle_stored(&mut self, now: Now, done: StoreDone) {
        let now = self.time(now);
        self.stored(now, done);
        self.hub.close_overfull(now);
    }

    /// The time since an hour before the core began, in which the call limits count: calls of sessions that come from
    /// elsewhere may be older than the core.
    fn since_start(&self, now: Now) -> Duration {
        now.instant.saturating_duration_since(self.start) + Duration::from_secs(60 * 60)
    }
}
