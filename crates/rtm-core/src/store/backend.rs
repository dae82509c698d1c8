//! Where the server keeps what outlives a session: the border behind which memory, one durable file
//! and later a cluster are alike.
//!
//! A [`Backend`] is a *durable log* (waiting messages, history) and *shared state* (the attributes of
//! channels). It is synchronous and knows no clock: one thread of the server owns it and hands it
//! everything that has gathered while it did the last batch, so a backend that has to wait for a disk
//! does so once for all of them (group commit).
//!
//! [`Memory`](super::Memory) keeps nothing over a restart. A file of `rtm-server` keeps one file, and what it has answered survives a
//! crash of the process or of the machine. Both pass the same conformance suite.
//!
//! # Clusters
//!
//! A backend on an engine that several servers share (NATS JetStream, Redis) implements this trait with
//! the engine's log and key-value store. Two more things are then shared, and each attaches at one place:
//!
//! - The *directory* says which node has a user's session. A login asks it before the core sees the
//!   [`Login`](rtm_codec::Login) frame: the node that has the session either ends it (a second client) or
//!   hands over its unacknowledged events (the same client, come back elsewhere). That is a message to
//!   the core of the other node, like [`Core::close`](crate::Core::close).
//! - The *bus* carries what a core wants delivered to users and channel members of other nodes. Like store
//!   jobs, such deliveries leave the core as output and come back as calls, in the order of their sender.

use std::fmt;

use rtm_codec::{AppId, ChannelAttributes, ChannelId, HistoryCursor, HistoryMessage, HistoryPage};

use super::{StoreAnswer, StoreWork};

/// Keeps messages, history and channel attributes of any number of projects.
///
/// What each [`StoreWork`] means and which [`StoreAnswer`] it gets is said there. Projects never see
/// each other's data.
pub trait Backend: Send {
    /// Does all of `tasks`, in order: each sees what those before it did. The answers are in the same order.
    ///
    /// When this returns `Ok`, a crash can no longer undo any of them, as far as this backend promises that.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the batch could not be kept: then nothing of it was done.
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Result<Vec<StoreAnswer>, BackendError>;

    /// The attributes of all channels of a project, to start with.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when they cannot be read.
    fn channel_attributes(&mut self, app_id: &AppId) -> Result<Vec<(ChannelId, ChannelAttributes)>, BackendError>;

    /// How much is kept now.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when that cannot be read.
    fn stats(&mut self) -> Result<BackendStats, BackendError>;
}

/// One piece of work for a project.
#[derive(Debug, Clone, PartialEq)]
pub struct Task<'a> {
    /// The project.
    pub app_id: &'a AppId,
    /// What to do.
    pub work: StoreWork,
}

/// How much a backend keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendStats {
    /// Messages that wait for their receivers.
    pub offline_messages: u64,
    /// Messages kept for history.
    pub history_messages: u64,
    /// Channels with attributes.
    pub channels: u64,
}

/// Places in a conversation's history rise with the server's time, and within a millisecond with arrival.
///
/// So one number is the order, the cursor and the key, and needs no counter that survives restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64);

impl Place {
    /// The first place at a time, in milliseconds since the Unix epoch.
    pub fn first_at(ts: u64) -> Self {
        Self(ts.min(u64::MAX >> Self::ORDINAL_BITS) << Self::ORDINAL_BITS)
    }

    /// Where a page starts: at a time, and after the page before.
    pub fn start(from_ts: u64, after: Option<HistoryCursor>) -> Self {
        let from = Self::first_at(from_ts);
        after.map_or(from, |HistoryCursor(after)| Self(after).next().max(from))
    }

    /// The last place at a time.
    pub fn last_at(ts: u64) -> Self {
        Self(Self::first_at(ts).0 | ((1 << Self::ORDINAL_BITS) - 1))
    }

    /// The place after this one. A million messages of one conversation in a millisecond spill into the next.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Room for a million messages of one conversation in each millisecond until the year 2527.
    const ORDINAL_BITS: u32 = 20;
}

/// Fills a page of history or of waiting messages until one of its limits is reached.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub messages: Vec<T>,
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
        Self { messages: Vec::new(), more: false, limit: limit.max(1), bytes_left: max_bytes, full: false }
    }

    /// Takes the next message in; `false` when the page was full before it.
    pub fn push(&mut self, message: T, bytes: usize) -> bool {
        if self.full {
            self.more = true;
            return false;
        }
        self.messages.push(message);
        self.full = self.messages.len() >= self.limit || bytes >= self.bytes_left;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        true
    }
}

impl Page<(Place, HistoryMessage)> {
    /// The page as the core wants it.
    pub fn into_history(self) -> HistoryPage {
        let last = self.messages.last().map(|(place, _)| HistoryCursor(place.0));
        HistoryPage {
            next: last.filter(|_| self.more),
            messages: self.messages.into_iter().map(|(_, message)| message).collect(),
        }
    }
}

/// A [`Backend`] that failed: what it was doing, and why that went wrong.
#[derive(Debug)]
pub struct BackendError {
    doing: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl BackendError {
    /// An error in `doing` something ("open /var/lib/rtm/store.redb").
    pub fn new(doing: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { doing: doing.into(), source: source.into() }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.source)
    }
}

impl std::error::Error for BackendError {}
