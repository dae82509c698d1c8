//! What comes out of the core: for connections and for HTTP requests.

#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "whoever drives a core or writes a store reads and fills in all of it: a new part that one passes over must not compile"
)]

use std::{iter::Sum, time::Instant};

use rtm_codec::{CloseReason, Seq, ServerFrame, SharedEvent};

/// A point in time, on both clocks: the core reads neither itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For durations. Never goes back.
    pub instant: Instant,
    /// For people: milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// A connection of a [`Core`](super::Core), from [`connect`](super::Core::connect) to
/// [`disconnect`](super::Core::disconnect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    pub(super) slot: u32,
    pub(super) serial: u32,
}

impl ConnId {
    /// Its place among the open connections, for tables beside the core. A later connection may get it again.
    #[must_use]
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// One thing for a connection's socket, in order.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// A frame.
    Frame(ServerFrame),
    /// An event: its bytes are shared by all its receivers, so it is encoded once.
    Event(Seq, SharedEvent),
    /// The last thing: write a [`ServerFrame::Close`], close with the reason's WebSocket code, and
    /// report [`disconnect`](super::Core::disconnect).
    Close(CloseReason),
    /// The last thing after a [`ServerFrame::Refused`]: close, with a code that is neither 1000 nor 1005, and
    /// report [`disconnect`](super::Core::disconnect).
    Hangup,
}

/// An HTTP request that [`ask`](super::Core::ask) took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpId(pub(super) u64);

/// Figures of a project at this moment, and counters since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Open connections, logged in or not.
    pub connections: usize,
    /// Users that are online or unreachable.
    pub users: usize,
    /// Sessions, with those that only wait to be resumed.
    pub sessions: usize,
    /// Channels with members or attributes.
    pub channels: usize,
    /// Open invitations.
    pub invitations: usize,
    /// Messages from user to user that were taken.
    pub peer_messages: u64,
    /// Messages to channels that were taken.
    pub channel_messages: u64,
    /// Events put into sessions.
    pub events: u64,
    /// Stored messages that were discarded for newer ones.
    pub offline_dropped: u64,
    /// Channel events that were dropped because their receiver was away for too long.
    pub away_dropped: u64,
    /// Connections closed because their client read too slowly.
    pub slow_consumers: u64,
    /// Jobs that the store failed to do.
    pub store_failures: u64,
}

/// The figures of a project with several cores. A channel counts once for each core that has members of it.
impl Sum for Stats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let mut sum = Self::default();
        for Self {
            connections,
            users,
            sessions,
            channels,
            invitations,
            peer_messages,
            channel_messages,
            events,
            offline_dropped,
            away_dropped,
            slow_consumers,
            store_failures,
        } in all
        {
            sum.connections += connections;
            sum.users += users;
            sum.sessions += sessions;
            sum.channels += channels;
            sum.invitations += invitations;
            sum.peer_messages += peer_messages;
            sum.channel_messages += channel_messages;
            sum.events += events;
            sum.offline_dropped += offline_dropped;
            sum.away_dropped += away_dropped;
            sum.slow_consumers += slow_consumers;
            sum.store_failures += store_failures;
        }
        sum
    }
}
