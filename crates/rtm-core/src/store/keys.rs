//! What is kept under which key, and where in its log an entry is.

#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "whoever drives a core or writes a store reads and fills in all of it: a new part that one passes over must not compile"
)]

use rtm_codec::{ChannelId, HistoryCursor, InstanceId, UserId, anyrtc::gateway::StoredCursor};

use super::OpenKey;

/// The key of a log, within a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogKey {
    /// The messages that wait for a user.
    Stored(UserId),
    /// The history of a conversation.
    History(Conversation),
    /// The events of the project.
    Events,
}

/// The kinds of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogKind {
    /// Messages that wait for a user.
    Stored,
    /// Histories of conversations.
    History,
    /// Events of projects: one log for each.
    Events,
}

/// The key of a value, within a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKey {
    /// The attributes of a channel.
    ChannelAttributes(ChannelId),
    /// The highest revision that a forgotten channel had.
    ForgottenRevision,
    /// Whom a client object of a user is subscribed to.
    Subscriptions(UserId, InstanceId),
    /// What is refused to a user; `None` for all users of the project.
    Restrictions(Option<UserId>),
    /// How far a reader of the events is, by its name.
    EventCursor(String),
    /// What a reader of the events has of those behind its cursor, by its name.
    AcceptedEvents(String),
    /// What the events that have gone from the log leave open ([`OpenEvents`](super::OpenEvents)).
    Open(OpenKey),
}

/// The kinds of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKind {
    /// Attributes of channels.
    ChannelAttributes,
    /// The highest revision of forgotten channels: one value.
    ForgottenRevision,
    /// Subscriptions of clients to users.
    Subscriptions,
    /// What is refused to users.
    Restrictions,
    /// How far readers of the events are.
    EventCursor,
    /// What readers of the events have of those behind their cursors.
    AcceptedEvents,
    /// What events that have gone from logs leave open. Only a store that drops the oldest events by itself writes it.
    Open,
}

/// Where messages with history are said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversation {
    /// Between two users, whoever wrote; the first is not after the second.
    Peers(UserId, UserId),
    /// In a channel.
    Channel(ChannelId),
}

/// Where an entry is in its log: entries are read in the order of their places.
///
/// A store gives places. In a log [by time](LogKind::is_by_time) they should rise with the time of the entries
/// and, within a millisecond, with their arrival: so one number is the order, the cursor and the key, and needs no
/// counter that survives restarts. In other logs a place is higher than every one that the log gave before, also to
/// entries that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place(pub u64);

impl LogKey {
    /// The kind of log.
    #[must_use]
    pub fn kind(&self) -> LogKind {
        match self {
            Self::Stored(_) => LogKind::Stored,
            Self::History(_) => LogKind::History,
            Self::Events => LogKind::Events,
        }
    }
}

impl LogKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stored, Self::History, Self::Events];

    /// Its name: what a store calls the table, bucket or stream of such logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::History => "history",
            Self::Events => "events",
        }
    }

    /// Whether each append says how many entries the log may keep.
    #[must_use]
    pub fn is_limited(self) -> bool {
        match self {
            Self::Stored => true,
            Self::History | Self::Events => false,
        }
    }

    /// Whether it is known how many entries a log has.
    #[must_use]
    pub fn is_counted(self) -> bool {
        match self {
            Self::Stored | Self::Events => true,
            Self::History => false,
        }
    }

    /// The log of this kind, if a project has one alone.
    #[must_use]
    pub fn only_log(self) -> Option<LogKey> {
        match self {
            Self::Events => Some(LogKey::Events),
            Self::Stored | Self::History => None,
        }
    }

    /// Whether a reader is told up to which place entries went that were too old or too many.
    #[must_use]
    pub fn tells_dropped(self) -> bool {
        match self {
            Self::Events => true,
            Self::Stored | Self::History => false,
        }
    }

    /// Whether entries are in the order of their times, and not in the order in which they came. The two differ
    /// only after a clock has gone back; a store that knows no other order than that of arrival may keep to it.
    #[must_use]
    pub fn is_by_time(self) -> bool {
        match self {
            Self::Stored | Self::Events => false,
            Self::History => true,
        }
    }
}

impl StateKey {
    /// The kind of state.
    #[must_use]
    pub fn kind(&self) -> StateKind {
        match self {
            Self::ChannelAttributes(_) => StateKind::ChannelAttributes,
            Self::ForgottenRevision => StateKind::ForgottenRevision,
            Self::Subscriptions(..) => StateKind::Subscriptions,
            Self::Restrictions(_) => StateKind::Restrictions,
            Self::EventCursor(_) => StateKind::EventCursor,
            Self::AcceptedEvents(_) => StateKind::AcceptedEvents,
            Self::Open(_) => StateKind::Open,
        }
    }
}

impl StateKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ChannelAttributes,
        Self::ForgottenRevision,
        Self::Subscriptions,
        Self::Restrictions,
        Self::EventCursor,
        Self::AcceptedEvents,
        Self::Open,
    ];

    /// Its name: what a store calls the table, bucket or stream of such values.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelAttributes => "channel_attributes",
            Self::ForgottenRevision => "forgotten_revision",
            Self::Subscriptions => "subscriptions",
            Self::Restrictions => "restrictions",
            Self::EventCursor => "event_cursors",
            Self::AcceptedEvents => "accepted_events",
            Self::Open => "open",
        }
    }
}

impl Conversation {
    /// The one conversation of two users.
    #[must_use]
    pub fn between(one: UserId, other: UserId) -> Self {
        if one <= other { Self::Peers(one, other) } else { Self::Peers(other, one) }
    }
}

impl Place {
    /// The first place at a time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn first_at(ts: u64) -> Self {
        Self(ts.min(u64::MAX >> Self::ORDINAL_BITS) << Self::ORDINAL_BITS)
    }

    /// The last place at a time.
    #[must_use]
    pub fn last_at(ts: u64) -> Self {
        Self(Self::first_at(ts).0 | ((1 << Self::ORDINAL_BITS) - 1))
    }

    /// The time of a place in a log by time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn time(self) -> u64 {
        self.0 >> Self::ORDINAL_BITS
    }

    /// The place after this one. A million entries of one log in a millisecond spill into the next.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Room for a million entries of one log in each millisecond until the year 2527.
    const ORDINAL_BITS: u32 = 20;
}

impl From<HistoryCursor> for Place {
    fn from(HistoryCursor(place): HistoryCursor) -> Self {
        Self(place)
    }
}

impl From<StoredCursor> for Place {
    fn from(StoredCursor(place): StoredCursor) -> Self {
        Self(place)
    }
}

impl From<Place> for StoredCursor {
    fn from(Place(place): Place) -> Self {
        Self(place)
    }
}

impl From<Place> for HistoryCursor {
    fn from(Place(place): Place) -> Self {
        Self(place)
    }
}
