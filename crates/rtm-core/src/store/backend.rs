//! Where the server keeps what outlives a session: the border behind which memory, one durable file
//! and an engine that several servers share are alike.

use std::{fmt, sync::Arc};

use rtm_codec::AppId;

use super::{LogKind, StateKey, StateKind, StateValue, StoreAnswer, StoreWork};

/// Keeps logs and state of any number of projects.
///
/// It is synchronous and knows no clock: one thread of the server owns it and hands it everything that has
/// gathered while it did the last batch, so a backend that has to wait for a disk does so once for all of them
/// (group commit).
///
/// [`Memory`](super::Memory) loses everything at a restart. `Redb` of `rtm-server` uses one file, and finished tasks survive a crash
/// of the process or of the machine. A backend of your own must pass [`conformance`](super::conformance).
pub trait Backend: Send {
    /// Executes `tasks` in order and returns an answer for each. [`StoreWork`] describes each task and its [`StoreAnswer`].
    ///
    /// - Tasks on one log, and tasks on one key, are executed in order: each sees the effects of those before it.
    ///   [`StoreWork::Expire`], [`StoreWork::List`], [`StoreWork::Search`], [`StoreWork::Count`] and
    ///   [`StoreWork::Measure`] see the effects of all tasks before them.
    /// - Projects never see each other's data.
    /// - A failed task changes nothing, or its change appears later: nobody relies on either. The tasks after it are executed all
    ///   the same.
    /// - After this returns, a crash cannot undo tasks that were answered with `Ok`, if the backend is durable. A crash before that
    ///   may leave any of the tasks done.
    /// - A record that cannot be read is skipped. If more than one record cannot be read, the task fails instead of
    ///   returning a part. The backend logs each such place once, and [`BackendStats::damaged`] counts them. Other logs and keys
    ///   are not affected.
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>>;

    /// How much the backend stores.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if this cannot be read.
    fn stats(&mut self) -> Result<BackendStats, BackendError>;
}

/// One piece of work for a project.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a store reads and does all of it")]
pub struct Task<'a> {
    /// The project.
    pub app_id: &'a AppId,
    /// What to do.
    pub work: StoreWork,
}

/// Reads all state of one kind of a project, page by page.
///
/// # Errors
///
/// [`BackendError`] when it cannot be read.
pub fn read_state(
    backend: &mut dyn Backend,
    app_id: &AppId,
    kind: StateKind,
) -> Result<Vec<(StateKey, StateValue)>, BackendError> {
    let mut all: Vec<(StateKey, StateValue)> = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| key.clone());
        let work = StoreWork::List { kind, after, max_bytes: LIST_BYTES };
        match backend.apply(vec![Task { app_id, work }]).pop() {
            Some(Ok(StoreAnswer::Values { values, more })) => {
                let more = more && !values.is_empty();
                all.extend(values);
                if !more {
                    return Ok(all);
                }
            }
            Some(Err(error)) => return Err(error),
            other => return Err(BackendError::new("read state", format!("the backend answered {other:?}"))),
        }
    }
}

/// What a backend keeps things in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendKind {
    /// Something of which this crate does not know.
    #[default]
    Other,
    /// The memory of the process: [`Memory`](super::Memory).
    Memory,
    /// A file.
    Redb,
    /// Streams of NATS.
    Nats,
}

impl BackendKind {
    /// Its name, as metrics have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Memory => "memory",
            Self::Redb => "redb",
            Self::Nats => "nats",
        }
    }
}

/// How much a backend keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackendStats {
    /// What kind of backend it is.
    pub kind: BackendKind,
    /// About how many bytes all of it takes: on the disk, or in memory. `None` if that is not known.
    pub bytes: Option<u64>,
    /// Messages that wait for their receivers.
    pub offline_messages: u64,
    /// Messages kept for history.
    pub history_messages: u64,
    /// Events of projects.
    pub events: u64,
    /// Channels with attributes.
    pub channels: u64,
    /// Projects that have forgotten a channel.
    pub forgotten_revisions: u64,
    /// Clients with subscriptions.
    pub subscribers: u64,
    /// Users to whom something is refused, and projects that refuse something to all.
    pub restricted: u64,
    /// Readers of events.
    pub event_cursors: u64,
    /// Readers of events that have some behind their cursors.
    pub accepted_events: u64,
    /// Sessions, channels and users that events which have gone from logs leave open.
    pub open: u64,
    /// Places (records, logs, keys) that were found damaged since the store was opened: each counts once, and at most
    /// 10,000 do. The log has an ERROR for each.
    pub damaged: u64,
}

impl BackendStats {
    /// How many entries there are in logs of a kind.
    pub fn entries(&mut self, kind: LogKind) -> &mut u64 {
        match kind {
            LogKind::Stored => &mut self.offline_messages,
            LogKind::History => &mut self.history_messages,
            LogKind::Events => &mut self.events,
        }
    }

    /// How many values there are of a kind.
    pub fn values(&mut self, kind: StateKind) -> &mut u64 {
        match kind {
            StateKind::ChannelAttributes => &mut self.channels,
            StateKind::ForgottenRevision => &mut self.forgotten_revisions,
            StateKind::Subscriptions => &mut self.subscribers,
            StateKind::Restrictions => &mut self.restricted,
            StateKind::EventCursor => &mut self.event_cursors,
            StateKind::AcceptedEvents => &mut self.accepted_events,
            StateKind::Open => &mut self.open,
        }
    }
}

/// How many bytes a backend keeps of a project: the records, as the backend writes them, before it compresses them, or holds them in
/// memory. Every text counts in full. What keys and indexes take besides is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "whoever shows how much is kept shows all of it")]
pub struct StoredBytes {
    /// Messages that wait for their receivers.
    pub offline: u64,
    /// Messages kept for history.
    pub history: u64,
    /// Attributes of channels.
    pub channel_attributes: u64,
    /// Events.
    pub events: u64,
}

impl StoredBytes {
    /// What entries of logs of a kind take.
    pub fn log(&mut self, kind: LogKind) -> &mut u64 {
        match kind {
            LogKind::Stored => &mut self.offline,
            LogKind::History => &mut self.history,
            LogKind::Events => &mut self.events,
        }
    }

    /// What values of a kind take; `None` for a kind that is not counted.
    pub fn state(&mut self, kind: StateKind) -> Option<&mut u64> {
        match kind {
            StateKind::ChannelAttributes => Some(&mut self.channel_attributes),
            StateKind::ForgottenRevision
            | StateKind::Subscriptions
            | StateKind::Restrictions
            | StateKind::EventCursor
            | StateKind::AcceptedEvents
            | StateKind::Open => None,
        }
    }

    /// What users have the server keep: all but the events.
    #[must_use]
    pub fn of_users(&self) -> u64 {
        self.offline.saturating_add(self.history).saturating_add(self.channel_attributes)
    }
}

/// Fills a page until one of its limits is reached.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Whether more follows.
    pub more: bool,
    limit: usize,
    bytes_left: usize,
    full: bool,
}

impl<T> Page<T> {
    /// An empty page.
    #[must_use]
    pub fn new(limit: usize, max_bytes: usize) -> Self {
        Self { items: Vec::new(), more: false, limit: limit.max(1), bytes_left: max_bytes, full: false }
    }

    /// Takes the next item in; `false` when the page was full before it.
    pub fn push(&mut self, item: T, bytes: usize) -> bool {
        if self.full {
            self.more = true;
            return false;
        }
        self.items.push(item);
        self.full = self.items.len() >= self.limit || bytes >= self.bytes_left;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        true
    }
}

/// A [`Backend`] that failed: what it was doing, and why that went wrong.
#[derive(Debug, Clone)]
pub struct BackendError {
    doing: Arc<str>,
    is_logged: bool,
    source: Arc<dyn std::error::Error + Send + Sync>,
}

impl BackendError {
    /// An error in `doing` something ("open /var/lib/rtm/store.redb").
    pub fn new(doing: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { doing: doing.into().into(), is_logged: false, source: source.into().into() }
    }

    /// The same, of which the log has what it is to have: whoever owns the backend writes no more of it.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.is_logged = true;
        self
    }

    /// Whether the log has all of it.
    #[must_use]
    pub fn is_logged(&self) -> bool {
        self.is_logged
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.source)
    }
}

impl std::error::Error for BackendError {}

/// What a page of state has at most, so that no store has to hand out all of it at once.
const LIST_BYTES: usize = 1024 * 1024;
