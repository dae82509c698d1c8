//! The server of one project without its sockets: frames and time go in, frames, store jobs and deadlines come out.
//!
//! [`Core`] reads no clock, owns no task and does no IO, so the same code runs under a listener, in a test with
//! virtual time and in a simulation. The same calls with the same seed give the same output.
//!
//! ```
//! use std::time::Instant;
//!
//! use rtm_codec::{AppId, ClientFrame, InstanceId, KeepAlive, Login, ServerFrame, UserId};
//! use rtm_server::core::{Core, Now, Outgoing, ProjectConfig};
//!
//! let now = Now { instant: Instant::now(), unix_ms: 1_700_000_000_000 };
//! let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
//! let mut core = Core::new(ProjectConfig::new(app_id.clone()), [7; 32], now);
//!
//! let conn = core.connect(now);
//! core.handle_frame(now, conn, ClientFrame::Login(Box::new(Login {
//!     app_id,
//!     user_id: Some(UserId::new("alice")?),
//!     token: None,
//!     instance: InstanceId::new("phone-1")?,
//!     resume: None,
//!     keep_alive: KeepAlive::Client { interval_ms: 2000 },
//!     window: 0,
//!     accepts_binary: true,
//!     gateway_session: None,
//! })));
//!
//! let mut out = Vec::new();
//! core.take_output(conn, &mut out);
//! assert!(matches!(&out[0], Outgoing::Frame(ServerFrame::Welcome(_))));
//! # Ok::<(), rtm_codec::InvalidId>(())
//! ```

mod config;
mod output;
mod store;

use std::time::Instant;

use rtm_codec::{
    AppId, ChannelAttributes, ChannelId, ClientFrame, CloseReason, QueryHistory, Refusal, Text, Token, UserId,
};

pub use config::{ProjectConfig, Settings};
pub use output::{ConnId, HttpAnswer, HttpId, Now, Outgoing, Stats};
pub use store::{
    Conversation, JobId, OfflineId, OfflineMessage, StoreAnswer, StoreDone, StoreFailed, StoreJob, StoreWork,
};

/// The server of one project: users, channels, invitations, and the sessions of its clients.
///
/// # Calling it
///
/// 1. Call any of the methods that take `now`, as things happen. Time must not go back.
/// 2. Then [`take_store_jobs`](Self::take_store_jobs), [`take_wakes`](Self::take_wakes) and, after
///    [`handle_stored`](Self::handle_stored), [`take_http_answers`](Self::take_http_answers). They may be
///    taken once for any number of calls before.
/// 3. For a connection that was woken, [`take_output`](Self::take_output), and write it all with one flush.
///    The task that owns the connection may take its output right after handing a frame in, without being woken.
/// 4. Call [`handle_timeout`](Self::handle_timeout) at [`next_timeout`](Self::next_timeout) or somewhat later.
///    Any call may bring the next deadline forward.
///
/// Every input is answered, refused, or closes the connection that sent it; nothing a client sends makes
/// it panic or harms another client. What a session, a user or the project may hold is bounded
/// ([`Settings`]).
#[derive(Debug)]
pub struct Core {
    config: ProjectConfig,
}

impl Core {
    /// The server of a project without any user. `seed` decides session ids, so it must be secret and random
    /// outside of tests.
    #[must_use]
    pub fn new(config: ProjectConfig, _seed: [u8; 32], _now: Now) -> Self {
        Self { config }
    }

    /// The project's App ID.
    #[must_use]
    pub fn app_id(&self) -> &AppId {
        &self.config.app_id
    }

    /// Takes in the attributes that the store kept of a channel, before any connection. They go as those of any
    /// empty channel do.
    pub fn restore_channel_attributes(&mut self, _now: Now, _channel_id: ChannelId, _attributes: ChannelAttributes) {}

    /// A new connection. It has to log in within [`Settings::login_timeout`].
    #[must_use]
    pub fn connect(&mut self, _now: Now) -> ConnId {
        ConnId { key: 0, serial: 0 }
    }

    /// What a connection received. Frames for a connection that was closed or is gone are passed over.
    pub fn handle_frame(&mut self, _now: Now, _conn: ConnId, _frame: ClientFrame) {}

    /// The connection's socket is gone. Required once for each connection, also after [`Outgoing::Close`].
    /// Its session lives on for [`Settings::resume_within`].
    pub fn disconnect(&mut self, _now: Now, _conn: ConnId) {}

    /// Closes a connection from the server's side, as for bytes that cannot be decoded
    /// ([`CloseReason::ProtocolError`]). Its session lives on as after a lost socket.
    pub fn close(&mut self, _now: Now, _conn: ConnId, _reason: CloseReason) {}

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, _now: Now) {}

    /// When [`handle_timeout`](Self::handle_timeout) should be called next. It may turn out that nothing is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Appends what is to be written to a connection's socket.
    pub fn take_output(&mut self, _conn: ConnId, _out: &mut Vec<Outgoing>) {}

    /// Appends the connections that have output since they were last taken or woken, each once.
    pub fn take_wakes(&mut self, _wakes: &mut Vec<ConnId>) {}

    /// Appends the jobs for the store, in order.
    pub fn take_store_jobs(&mut self, _jobs: &mut Vec<StoreJob>) {}

    /// The store has done a job, or failed to.
    pub fn handle_stored(&mut self, _now: Now, _done: StoreDone) {}

    /// The vendor's gateway request: may this user log in, and if so with which session id. `None` for a user id
    /// that an open project chooses at login.
    ///
    /// # Errors
    ///
    /// What a login would be refused with: a bad or expired token, a ban.
    pub fn gateway(
        &mut self,
        _now: Now,
        _user_id: Option<&UserId>,
        _token: Option<&Token>,
    ) -> Result<Text, Refusal> {
        Ok(Text::default())
    }

    /// The vendor's request for the messages that waited for a user. `session` is what
    /// [`gateway`](Self::gateway) gave and the user's login named.
    ///
    /// # Errors
    ///
    /// [`NotLoggedIn`](rtm_codec::ErrorKind::NotLoggedIn) when it is not this user's session.
    pub fn take_offline(&mut self, _now: Now, _user_id: &UserId, _session: &str) -> Result<HttpId, Refusal> {
        Ok(HttpId(0))
    }

    /// The messages of a [`HttpAnswer::Offline`] were handed out and are removed.
    pub fn offline_taken(&mut self, _now: Now, _id: HttpId) {}

    /// The vendor's requests for history, authorised as [`take_offline`](Self::take_offline) is.
    ///
    /// # Errors
    ///
    /// As the same query on a connection, and
    /// [`NotLoggedIn`](rtm_codec::ErrorKind::NotLoggedIn) when it is not this user's session.
    pub fn query_history(
        &mut self,
        _now: Now,
        _user_id: &UserId,
        _session: &str,
        _query: &QueryHistory,
    ) -> Result<HttpId, Refusal> {
        Ok(HttpId(0))
    }

    /// Appends the answers to HTTP requests that are ready.
    pub fn take_http_answers(&mut self, _answers: &mut Vec<(HttpId, Result<HttpAnswer, Refusal>)>) {}

    /// Refuses logins from now on, telling clients to come back later or elsewhere. The connections that are
    /// there go on: the shell [`close`](Self::close)s them with [`CloseReason::Draining`], spread over time.
    pub fn drain(&mut self) {}

    /// The open connections, oldest first where slots were not used again.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnId> {
        Vec::new()
    }

    /// Ends a user's session with [`CloseReason::Banned`] and refuses its logins until `until_unix_ms`; 0 only
    /// ends the session. Says whether there was one.
    pub fn ban(&mut self, _now: Now, _user_id: &UserId, _until_unix_ms: u64) -> bool {
        false
    }

    /// Lets a banned user log in again. Says whether it was banned.
    pub fn unban(&mut self, _user_id: &UserId) -> bool {
        false
    }

    /// Figures of the project.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
