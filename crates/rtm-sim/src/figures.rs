//! How devices behave, and what happened in a world, in figures.

use std::time::Duration;

use rtm_codec::Wire;
use rtm_connection::Config;

/// A device of a [`World`](crate::World).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceId(pub(crate) usize);

/// How a device behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceConfig {
    /// The wire that it speaks.
    pub wire: Wire,
    /// The settings of its connection.
    pub connection: Config,
    /// How long its application takes, on average, until it looks at new events. 1 ms.
    pub reads_within: Duration,
    /// How many events it takes at most when it looks. Any number.
    pub reads_at_once: usize,
    /// Whether it behaves as the vendor's SDK does: it hears nothing of a channel over a new connection until it joins it
    /// again, subscribes to users once and never again by itself, asks for stored messages after a login of the
    /// application only, and shows the gateway the token of that login for ever. No. For the vendor's wire.
    pub has_sdk_habits: bool,
}

impl DeviceConfig {
    /// A device that speaks `wire`, with the usual settings.
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        let connection = match wire {
            Wire::Vendor => Config::vendor(),
            _ => Config::native(),
        };
        Self {
            wire,
            connection,
            reads_within: Duration::from_millis(1),
            reads_at_once: usize::MAX,
            has_sdk_habits: false,
        }
    }
}

/// What happened in a world, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Steps of the simulation.
    pub steps: u64,
    /// Events that applications were given.
    pub events: u64,
    /// Calls that applications made.
    pub requests: u64,
    /// Connections made.
    pub links: u64,
    /// Bytes that devices read from their links.
    pub bytes_down: u64,
    /// Writes that arrived before what another connection, or the other direction, was given earlier.
    pub overtakings: u64,
    /// Connections broken by the network, by a crash or by an outage.
    pub cuts: u64,
    /// Directions of broken connections in which a packet arrived in part.
    pub torn: u64,
    /// Times that a connection stood still.
    pub stalls: u64,
    /// Times that a device was out of reach.
    pub outages: u64,
    /// Times that a device's process stood still.
    pub freezes: u64,
    /// Times that an application did not read its events.
    pub slow_reads: u64,
    /// Jumps of the server's wall clock.
    pub clock_jumps: u64,
    /// Times that the store failed to do what it was asked.
    pub store_failures: u64,
    /// Crashes of a server with a durable store.
    pub crashes: u64,
    /// Crashes of a server whose store goes with it.
    pub crashes_without_store: u64,
    /// Shutdowns of the server.
    pub drains: u64,
    /// Times that the server's process stood still.
    pub pauses: u64,
    /// Times that the server started with another certificate.
    pub certificates: u64,
    /// Times that a session was packed and unpacked.
    pub moved: u64,
    /// Times that all sessions went on in a new core.
    pub moved_all: u64,
    /// Times that a session could not be packed, since the store was at work for it.
    pub not_moved: u64,
    /// Sessions that went on after a break.
    pub resumed: u64,
    /// Losses that a stream of events told of.
    pub gaps: u64,
    /// Views of a cluster.
    pub views: u64,
    /// Parcels that cores of several servers said to each other.
    pub parcels: u64,
    /// Things that went wrong between servers.
    pub node_mishaps: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self {
            steps,
            events,
            requests,
            links,
            bytes_down,
            overtakings,
            cuts,
            torn,
            stalls,
            outages,
            freezes,
            slow_reads,
            clock_jumps,
            store_failures,
            crashes,
            crashes_without_store,
            drains,
            pauses,
            certificates,
            moved,
            moved_all,
            not_moved,
            resumed,
            gaps,
            views,
            parcels,
            node_mishaps,
        } = other;
        Self {
            steps: self.steps + steps,
            events: self.events + events,
            requests: self.requests + requests,
            links: self.links + links,
            bytes_down: self.bytes_down + bytes_down,
            overtakings: self.overtakings + overtakings,
            cuts: self.cuts + cuts,
            torn: self.torn + torn,
            stalls: self.stalls + stalls,
            outages: self.outages + outages,
            freezes: self.freezes + freezes,
            slow_reads: self.slow_reads + slow_reads,
            clock_jumps: self.clock_jumps + clock_jumps,
            store_failures: self.store_failures + store_failures,
            crashes: self.crashes + crashes,
            crashes_without_store: self.crashes_without_store + crashes_without_store,
            drains: self.drains + drains,
            pauses: self.pauses + pauses,
            certificates: self.certificates + certificates,
            moved: self.moved + moved,
            moved_all: self.moved_all + moved_all,
            not_moved: self.not_moved + not_moved,
            resumed: self.resumed + resumed,
            gaps: self.gaps + gaps,
            views: self.views + views,
            parcels: self.parcels + parcels,
            node_mishaps: self.node_mishaps + node_mishaps,
        }
    }
}
