//! The vendor's REST API for back ends, on the server's side: paths, bodies and answers.

#![expect(
    clippy::exhaustive_structs,
    reason = "the server fills in and reads every field: a new one that it passes over must not compile"
)]

mod answers;
mod handle;
mod path;
mod requests;
mod time;

use crate::{ChannelId, HistoryOf, StoredMessage, Text, UserId};

pub use self::{answers::RestRefusal, handle::HistoryHandle, path::RestRoute, requests::ChannelMessageType};

/// What a back end asks of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestCall {
    /// Sends a message to a user.
    SendToPeer(RestPeerMessage),
    /// Sends a message to a channel.
    SendToChannel(RestChannelMessage),
    /// Reads the next events of users or channels, which are not given again.
    Events(RestEventsOf),
    /// Searches histories; the answer is a handle.
    QueryHistory(HistorySearch),
    /// A page of what a search found.
    HistoryPage(HistorySearch),
    /// How many messages a search would find.
    CountHistory(HistorySearch),
}

/// A message to a user. Its sender needs no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestPeerMessage {
    /// The sender.
    pub from: UserId,
    /// The receiver.
    pub to: UserId,
    /// The text.
    pub payload: Text,
    /// Whether it is stored when the receiver does not get it.
    pub enable_offline_messaging: bool,
    /// Whether it is kept in the history.
    pub enable_historical_messaging: bool,
    /// Whether the answer waits until the receiver's device has it.
    pub wait_for_ack: bool,
}

/// A message to a channel. Its sender needs no session and does not have to be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestChannelMessage {
    /// The sender.
    pub from: UserId,
    /// The channel.
    pub channel_id: ChannelId,
    /// The text.
    pub payload: Text,
    /// Whether it is kept in the history.
    pub enable_historical_messaging: bool,
}

/// Whose events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RestEventsOf {
    /// Logins and logouts of users.
    Users,
    /// Joins and leaves of channels.
    Channels,
}

/// Which messages of histories are wanted. At least one of the two ids is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySearch {
    /// The sender.
    pub source: Option<UserId>,
    /// The receiver, a user or a channel: the two may have the same id.
    pub destination: Option<UserId>,
    /// Only messages from this time on, in milliseconds since the Unix epoch.
    pub from_ts: u64,
    /// Only messages before this time.
    pub until_ts: u64,
    /// How many of them are passed over.
    pub offset: u32,
    /// At most this many are given, 1 to 100.
    pub limit: u32,
    /// Whether the newest come first.
    pub newest_first: bool,
}

/// A message that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMessage {
    /// To whom it was sent.
    pub to: HistoryOf,
    /// The message, and who sent it.
    pub message: StoredMessage,
}

/// An event of a user or a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestEvent {
    /// The user.
    pub user_id: UserId,
    /// The channel; `None` of a user that logged in or out.
    pub channel_id: Option<ChannelId>,
    /// Whether the user came, and did not go.
    pub is_arrival: bool,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What became of a message to a user, as far as the sender asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerMessageCode {
    /// The server has it.
    Sent,
    /// The receiver's device has it.
    Delivered,
    /// The receiver is offline.
    PeerOffline,
}

/// What a back end is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestAnswer {
    /// The message to a user was taken.
    PeerMessage(PeerMessageCode),
    /// The message to a channel was taken.
    ChannelMessage,
    /// Events, oldest first.
    Events(Vec<RestEvent>),
    /// The search may be done: this is where its result is.
    Query(HistorySearch),
    /// What a search found.
    Messages(Vec<FoundMessage>),
    /// How many messages a search would find.
    Count(u64),
}
