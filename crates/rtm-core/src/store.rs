//! What outlives a session: the words in which the core asks the store for it, and the border behind which stores lie.
//!
//! A store is a *keyed log* and *keyed state*. A log is a list of entries under a key ([`LogKey`]); state is one value
//! under a key ([`StateKey`]). What is to be kept besides needs a new key and a new entry or value, and nothing else:
//! [`record`] writes and reads their bytes, and every [`Backend`] keeps them as it keeps the others.

#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "whoever drives a core or writes a store reads and fills in all of it: a new part that one passes over must not compile"
)]

mod backend;
pub mod conformance;
mod keys;
mod memory;
pub mod record;
mod search;

use std::ops::Range;

use rtm_codec::{ChannelAttributes, Revision, UserId};

use super::project_event::{EventTypes, LoggedEvent, ProjectEvent};

pub use rtm_codec::StoredMessage;

pub use super::event_replay::{OpenEvents, OpenKey};

pub use self::{
    backend::{Backend, BackendError, BackendKind, BackendStats, Page, StoredBytes, Task, read_state},
    keys::{Conversation, LogKey, LogKind, Place, StateKey, StateKind},
    memory::Memory,
    search::{HistoryFilter, HistorySpan},
};

/// One thing to do for the store.
///
/// The shell does the jobs on one log, and those on one key, in the order in which it got them, and hands their outcomes to
/// [`Core::handle_stored`](crate::Core::handle_stored) in that same order. A store that several servers share does not keep the
/// order of jobs on different logs and keys. A job is done when a crash can no longer undo it. Without a data directory the same
/// jobs are done in memory.
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
    /// Appends an entry to a log. Answered with [`StoreAnswer::Appended`].
    Append {
        /// The log.
        log: LogKey,
        /// The entry.
        entry: LogEntry,
        /// How many entries the log may have afterwards, at least 1: the oldest are dropped. Only for a log of a
        /// [limited](LogKind::is_limited) kind.
        keep: Option<usize>,
    },
    /// Appends events to the log of events, in order. It costs less than to append them one by one. Answered with
    /// [`StoreAnswer::EventsAppended`]. If this fails, any of them may be missing.
    AppendEvents {
        /// The events, at least one.
        events: Vec<LoggedEvent>,
        /// Whether somebody waits for them. Others may be kept a moment later, with more of them.
        is_awaited: bool,
    },
    /// Reads entries of a log, oldest first, and removes none. Answered with [`StoreAnswer::Entries`].
    Read {
        /// The log.
        log: LogKey,
        /// Only entries after this place: where the page before ended.
        after: Option<Place>,
        /// Only entries of these times, in milliseconds since the Unix epoch.
        times: Range<u64>,
        /// At most this many entries, at least 1.
        limit: usize,
        /// The page ends with the entry that takes it to this many bytes; it has at least one entry if there is any.
        max_bytes: usize,
    },
    /// Removes entries of a log. Places without an entry are ignored. Answered with [`StoreAnswer::Done`].
    Remove {
        /// The log.
        log: LogKey,
        /// Where they are.
        places: Vec<Place>,
    },
    /// Drops the entries of all logs of a kind that are too old or too many. Answered with [`StoreAnswer::Done`].
    Expire {
        /// Which logs.
        kind: LogKind,
        /// Entries of an earlier time go, in milliseconds since the Unix epoch.
        before: u64,
        /// How many entries each log may have afterwards, at least 1: the oldest go. Only for logs of a
        /// [counted](LogKind::is_counted) kind.
        keep: Option<usize>,
        /// How many bytes the project's entries of this kind may have afterwards, as [`StoreWork::Measure`] counts them: the
        /// oldest go. Only for a kind of which a project has [one log](LogKind::only_log).
        max_bytes: Option<u64>,
        /// The types of events that are written: what goes is only kept as open where its end is among these. Only for events.
        written: EventTypes,
    },
    /// Says how many bytes are kept of the project. Answered with [`StoreAnswer::Measured`].
    Measure,
    /// Reads messages of all histories, in the order of their times. Answered with [`StoreAnswer::Found`].
    Search {
        /// Which.
        span: HistorySpan,
        /// Whether the newest come first.
        newest_first: bool,
        /// How many are passed over.
        offset: usize,
        /// At most this many, at least 1.
        limit: usize,
    },
    /// Counts messages of all histories. Answered with [`StoreAnswer::Counted`].
    Count {
        /// Which.
        span: HistorySpan,
    },
    /// Keeps a value under a key, in place of the one that it had. Answered with [`StoreAnswer::Done`], or with
    /// [`StoreAnswer::Conflict`] when the key has another revision than expected: then nothing is changed.
    Put {
        /// The key.
        key: StateKey,
        /// The value, which says its own revision.
        value: StateValue,
        /// The revision that the key must have; 0 stands for no value. `None` takes any.
        expected: Option<Revision>,
    },
    /// Forgets the value of a key and its revision. Answered with [`StoreAnswer::Done`], also where there is none, or with
    /// [`StoreAnswer::Conflict`] when the key has a value of another revision than expected: then nothing is changed.
    Delete {
        /// The key.
        key: StateKey,
        /// The revision that a value must have to go. `None` takes any.
        expected: Option<Revision>,
    },
    /// Reads all values of a kind, in the order of their keys. Answered with [`StoreAnswer::Values`].
    List {
        /// Which kind.
        kind: StateKind,
        /// Only keys after this one: where the page before ended.
        after: Option<StateKey>,
        /// The page ends with the value that takes it to this many bytes; it has at least one value if there is any.
        max_bytes: usize,
    },
}

impl StoreWork {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Self::Read { .. } | Self::List { .. } | Self::Search { .. } | Self::Count { .. } | Self::Measure => true,
            Self::Append { .. }
            | Self::AppendEvents { .. }
            | Self::Remove { .. }
            | Self::Expire { .. }
            | Self::Put { .. }
            | Self::Delete { .. } => false,
        }
    }
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq)]
pub enum LogEntry {
    /// A message, waiting for its receiver or in a history.
    Message(StoredMessage),
    /// An event of the project.
    Event(LoggedEvent),
}

impl LogEntry {
    /// When it was made, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn time(&self) -> u64 {
        match self {
            Self::Message(message) => message.server_received_ts,
            Self::Event(event) => event.time,
        }
    }

    /// The message; `None` for another entry.
    #[must_use]
    pub fn into_message(self) -> Option<StoredMessage> {
        match self {
            Self::Message(message) => Some(message),
            Self::Event(_) => None,
        }
    }

    /// The bytes that count for a page.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.message.len(),
            // About what it takes: no event is large.
            Self::Event(_) => EVENT_BYTES,
        }
    }
}

/// A value of keyed state.
#[derive(Debug, Clone, PartialEq)]
pub enum StateValue {
    /// All attributes of a channel, possibly none.
    ChannelAttributes(ChannelAttributes),
    /// The highest revision that a forgotten channel had.
    ForgottenRevision(Revision),
    /// Whom a client is subscribed to.
    Subscriptions(Subscriptions),
    /// What is refused to a user, or to all users.
    Restrictions(Restrictions),
    /// How far a reader of the events is.
    EventCursor(EventCursor),
    /// What a reader of the events has of those behind its cursor.
    AcceptedEvents(AcceptedEvents),
    /// Events that say what events that are gone leave open, as [`OpenEvents`] has them under this key.
    Open(Vec<ProjectEvent>),
}

/// What is refused to a user, or to all users of a project. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// It rises with each change.
    pub revision: Revision,
    /// Until when logins of the user are refused; 0 for no ban, `u64::MAX` for one that does not end.
    pub banned_until: u64,
    /// Tokens that were issued before are refused.
    pub tokens_from: u64,
}

/// How far a reader of the events is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCursor {
    /// The last event that it has read; place 0 for none.
    pub read: Place,
    /// An operator wants it to read nothing for now.
    pub is_paused: bool,
    /// It rises by one with each write.
    pub revision: Revision,
}

/// What a reader of the events has of those behind its cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcceptedEvents {
    /// The revision of the cursor that it belongs to: beside any other it means nothing.
    pub cursor: Revision,
    /// From which event to which. They rise, and have holes between them.
    pub spans: Vec<(u64, u64)>,
}

/// Whom a client is subscribed to that does not repeat that when it comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscriptions {
    /// When the client is known to have been there, in milliseconds since the Unix epoch. It rises with each write.
    pub last_seen_ts: u64,
    /// The users, in the order of their ids.
    pub peers: Vec<UserId>,
}

impl StateValue {
    /// Its revision, which whoever writes it lets rise.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::ChannelAttributes(attributes) => attributes.revision,
            Self::ForgottenRevision(revision) => *revision,
            Self::Subscriptions(subscriptions) => Revision(subscriptions.last_seen_ts),
            Self::Restrictions(restrictions) => restrictions.revision,
            Self::EventCursor(cursor) => cursor.revision,
            Self::AcceptedEvents(accepted) => accepted.cursor,
            // Its writer does not ask what is there.
            Self::Open(_) => Revision(0),
        }
    }

    /// The bytes that count for a page.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::ChannelAttributes(ChannelAttributes { attributes, .. }) => {
                attributes.iter().map(|(key, attribute)| key.as_str().len() + attribute.value.len()).sum()
            }
            Self::ForgottenRevision(_) => size_of::<Revision>(),
            Self::Subscriptions(Subscriptions { peers, .. }) => peers.iter().map(|peer| peer.as_str().len()).sum(),
            Self::Restrictions(_) => size_of::<Restrictions>(),
            Self::EventCursor(_) => size_of::<EventCursor>(),
            Self::AcceptedEvents(AcceptedEvents { spans, .. }) => size_of_val(spans.as_slice()),
            Self::Open(events) => events.len() * EVENT_BYTES,
        }
    }
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
    /// To [`StoreWork::AppendEvents`].
    EventsAppended {
        /// Where the last of them is.
        last: Place,
        /// Which of them, counted from 0, may be missing in the log, where a store does not have all of them or none.
        missing: Vec<usize>,
    },
    /// To [`StoreWork::Append`].
    Appended {
        /// Where the entry is.
        place: Place,
        /// How many older ones had to go.
        dropped: usize,
    },
    /// To [`StoreWork::Read`].
    Entries {
        /// The entries, oldest first.
        entries: Vec<(Place, LogEntry)>,
        /// Whether more follow.
        more: bool,
        /// In a log of a kind that [tells](LogKind::tells_dropped), the last place whose entry went for being too old or
        /// too many, or for want of room; 0 if none did, and in other logs.
        dropped_to: Place,
    },
    /// To [`StoreWork::Search`]: the messages, each with where it was said.
    Found(Vec<(Conversation, StoredMessage)>),
    /// To [`StoreWork::Count`].
    Counted(u64),
    /// To [`StoreWork::Measure`].
    Measured(StoredBytes),
    /// To [`StoreWork::Put`] and [`StoreWork::Delete`]: the key has another revision than expected.
    Conflict {
        /// The value that it has.
        kept: Option<StateValue>,
    },
    /// To [`StoreWork::List`].
    Values {
        /// The values, in the order of their keys.
        values: Vec<(StateKey, StateValue)>,
        /// Whether more follow.
        more: bool,
    },
}

impl StoreAnswer {
    /// The messages that a log gave, and whether more follow; `None` for another answer.
    #[must_use]
    pub fn into_messages(self) -> Option<(Vec<(Place, StoredMessage)>, bool)> {
        let Self::Entries { entries, more, .. } = self else { return None };
        let messages = entries.into_iter().filter_map(|(place, entry)| Some((place, entry.into_message()?))).collect();
        Some((messages, more))
    }
}

/// The store could not do a job: nothing is known to be kept, and the reason is in the shell's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store failed")]
pub struct StoreFailed;

/// About how many bytes an event takes, in memory and in a store.
pub const EVENT_BYTES: usize = 160;
