//! What the core asks of the durable store, and how the store answers.

mod backend;
mod memory;
pub mod record;

use rtm_codec::{
    ChannelAttributes, ChannelId, HistoryCursor, HistoryMessage, HistoryPage, MessageId, RtmMessage, UserId,
};

pub use self::{
    backend::{Backend, BackendError, BackendStats, Page, Place, Task},
    memory::Memory,
};

/// One thing to do for the store.
///
/// The shell does the jobs of a project in the order in which it got them, and hands each outcome to
/// [`Core::handle_stored`](crate::Core::handle_stored) in that same order. A job is done when a crash
/// can no longer undo it. Without a data directory the same jobs are done in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreJob {
    /// To name its outcome with.
    pub id: JobId,
    /// What to do.
    pub work: StoreWork,
}

/// The number of a [`StoreJob`]; it rises by one with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What to do for the store.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreWork {
    /// Keeps a message for a user that is offline. Answered with [`StoreAnswer::Appended`].
    AppendOffline {
        /// For whom.
        of: UserId,
        /// What.
        message: OfflineMessage,
        /// How many messages the user may have afterwards, at least 1: the oldest are dropped.
        keep: usize,
    },
    /// Reads messages that wait for a user, oldest first, and removes none.
    /// Answered with [`StoreAnswer::Offline`].
    LoadOffline {
        /// Whose.
        of: UserId,
        /// Only what follows after this one.
        after: Option<OfflineId>,
        /// Only messages that the server took at this time or later, in milliseconds since the Unix epoch.
        not_before: u64,
        /// The page ends with the message that takes it to this many bytes of text; it has at least one
        /// message if there is any.
        max_bytes: usize,
    },
    /// Removes messages that their user has received. Unknown ones are passed over.
    /// Answered with [`StoreAnswer::Done`].
    RemoveOffline {
        /// Whose.
        of: UserId,
        /// Which, in rising order.
        ids: Vec<OfflineId>,
    },
    /// Keeps a message for history queries. Answered with [`StoreAnswer::Done`].
    AppendHistory {
        /// Where it was said.
        of: Conversation,
        /// What.
        message: HistoryMessage,
    },
    /// Reads a page of history, oldest first. Answered with [`StoreAnswer::History`].
    LoadHistory {
        /// Of which conversation.
        of: Conversation,
        /// Not older than this, in milliseconds since the Unix epoch.
        from_ts: u64,
        /// Older than this, in milliseconds since the Unix epoch.
        until_ts: u64,
        /// Where the page before ended.
        after: Option<HistoryCursor>,
        /// At most so many messages, 1 to 100.
        limit: usize,
        /// The page ends with the message that takes it to this many bytes of text; it has at least one
        /// message if there is any.
        max_bytes: usize,
    },
    /// Keeps all attributes of a channel in place of those that it had. Answered with [`StoreAnswer::Done`].
    PutChannelAttributes {
        /// Of which channel.
        channel_id: ChannelId,
        /// The attributes, possibly none, and their revision.
        attributes: ChannelAttributes,
    },
    /// Forgets the attributes of a channel and their revision. Answered with [`StoreAnswer::Done`].
    ClearChannelAttributes {
        /// Of which channel.
        channel_id: ChannelId,
    },
    /// Drops what is too old, of all users and conversations. Answered with [`StoreAnswer::Done`].
    Expire {
        /// Waiting messages that the server took before this go, in milliseconds since the Unix epoch.
        offline_before: u64,
        /// History before this goes, in milliseconds since the Unix epoch.
        history_before: u64,
    },
}

/// The outcome of a [`StoreJob`].
#[derive(Debug, Clone, PartialEq)]
pub struct StoreDone {
    /// Of which job.
    pub id: JobId,
    /// What came of it.
    pub result: Result<StoreAnswer, StoreFailed>,
}

/// What the store answers to a job that it did.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreAnswer {
    /// To work that has nothing to say.
    Done,
    /// To [`StoreWork::AppendOffline`].
    Appended {
        /// The message's place in the store: higher than that of every message kept for this user before.
        id: OfflineId,
        /// How many older ones had to go.
        dropped: usize,
    },
    /// To [`StoreWork::LoadOffline`].
    Offline {
        /// The messages, oldest first.
        messages: Vec<(OfflineId, OfflineMessage)>,
        /// Whether more follow.
        more: bool,
    },
    /// To [`StoreWork::LoadHistory`].
    History(HistoryPage),
}

/// The store could not do a job: nothing is known to be kept, and the reason is in the shell's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store failed")]
pub struct StoreFailed;

/// The place of a waiting message in the store, rising in the order of keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfflineId(pub u64);

/// A message that waits for its receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct OfflineMessage {
    /// The sender's number for it.
    pub message_id: MessageId,
    /// Who sent it.
    pub from: UserId,
    /// What was sent.
    pub message: RtmMessage,
    /// When the server took it, in milliseconds since the Unix epoch.
    pub server_received_ts: u64,
}

/// Where messages with history are said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversation {
    /// Between two users, whoever wrote; the first is not after the second.
    Peers(UserId, UserId),
    /// In a channel.
    Channel(ChannelId),
}

impl Conversation {
    /// The one conversation of two users.
    #[must_use]
    pub fn between(one: UserId, other: UserId) -> Self {
        if one <= other { Self::Peers(one, other) } else { Self::Peers(other, one) }
    }
}
