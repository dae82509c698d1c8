//! The figures of a client: its task counts, and anybody may read.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Statistics of a client, as [`Client::stats`](crate::Client::stats) returns them. Totals count from when the
/// client was built, over all its logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClientStats {
    /// Bytes received over WebSockets, without what TLS and TCP add.
    pub bytes_in: u64,
    /// Bytes sent over WebSockets, without what TLS and TCP add.
    pub bytes_out: u64,
    /// Events that arrived in the stream.
    pub events: u64,
    /// Of these, the events that the application has not read.
    pub events_waiting: u64,
    /// Calls that have no answer yet. Calls that wait for [limits](crate::ClientBuilder::wait_for_limits) are among them.
    pub calls_under_way: u64,
    /// How often the client lost its connection and came back.
    pub reconnects: u64,
    /// How long the server took to answer the last keep-alive over the open connection. `None` without a connection, and
    /// before the first answer.
    pub round_trip: Option<Duration>,
}

/// What the task writes and handles read.
#[derive(Debug)]
pub(crate) struct Figures {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    events: AtomicU64,
    events_waiting: AtomicU64,
    calls_under_way: AtomicU64,
    reconnects: AtomicU64,
    round_trip_ns: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            events: AtomicU64::new(0),
            events_waiting: AtomicU64::new(0),
            calls_under_way: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            round_trip_ns: AtomicU64::new(NONE),
        }
    }
}

impl Figures {
    pub(crate) fn read(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// What the task has counted itself, once a turn. The bytes are counted where they come and go.
    pub(crate) fn publish(&self, turn: &ClientStats) {
        self.events.store(turn.events, Relaxed);
        self.events_waiting.store(turn.events_waiting, Relaxed);
        self.calls_under_way.store(turn.calls_under_way, Relaxed);
        self.reconnects.store(turn.reconnects, Relaxed);
        let round_trip = turn.round_trip.and_then(|time| u64::try_from(time.as_nanos()).ok());
        self.round_trip_ns.store(round_trip.unwrap_or(NONE), Relaxed);
    }

    pub(crate) fn stats(&self) -> ClientStats {
        let round_trip_ns = self.round_trip_ns.load(Relaxed);
        ClientStats {
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            events: self.events.load(Relaxed),
            events_waiting: self.events_waiting.load(Relaxed),
            calls_under_way: self.calls_under_way.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            round_trip: (round_trip_ns != NONE).then(|| Duration::from_nanos(round_trip_ns)),
        }
    }
}

/// No round trip is known.
const NONE: u64 = u64::MAX;
