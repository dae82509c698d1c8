//! What goes wrong, and how often.

use std::{ops::RangeInclusive, time::Duration};

/// The behaviour of the network, the disk and the clock. Chances are per thousand.
///
/// What happens "every" so often happens at random instants, from nothing up to twice that time apart.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// How long bytes are under way. Each write draws its own; those of one connection stay in order, those of
    /// different connections overtake each other.
    pub delay: RangeInclusive<Duration>,
    /// How many bytes a second each direction of a connection carries; `None` for any number.
    pub bandwidth: Option<u32>,
    /// The chance that what is written at once arrives in two parts.
    pub splits: u32,
    /// How often a connection is cut. Of the bytes under way in each direction any number still arrives. Either
    /// end may learn of it at once, later, or never.
    pub cuts_every: Option<Duration>,
    /// The chance that a new connection breaks by itself after at most [`cut_after`](Self::cut_after) bytes in one
    /// of its directions.
    pub doomed: u32,
    /// After how many bytes at most such a connection breaks.
    pub cut_after: usize,
    /// How often a connection stands still, without losing anything.
    pub stalls_every: Option<Duration>,
    /// For how long.
    pub stall: RangeInclusive<Duration>,
    /// How often a device is out of reach: its connection hangs and no new one can be made.
    pub outages_every: Option<Duration>,
    /// For how long.
    pub outage: RangeInclusive<Duration>,
    /// The chance that a dial fails, or that a gateway request or its answer is lost.
    pub dial_failures: u32,
    /// How often the server crashes. What it had in memory is gone; what the store had done stays, and what it was
    /// at may or may not be done.
    pub crashes_every: Option<Duration>,
    /// How often the server is shut down in order.
    pub drains_every: Option<Duration>,
    /// How long the server is down then.
    pub downtime: RangeInclusive<Duration>,
    /// How often the server's process stands still, as a virtual machine does that is copied. Its sockets take bytes all
    /// the while.
    pub pauses_every: Option<Duration>,
    /// For how long.
    pub pause: RangeInclusive<Duration>,
    /// How often the server starts again with another certificate: it refuses the tokens that were made before. Nothing
    /// in an open project.
    pub certificates_every: Option<Duration>,
    /// How long the store takes for what waits for it.
    pub store_delay: RangeInclusive<Duration>,
    /// The chance that it fails to do it.
    pub store_failures: u32,
    /// How often the server's wall clock jumps.
    pub clock_jumps_every: Option<Duration>,
    /// How far at most, back or forth.
    pub clock_jump: Duration,
    /// How often a device's process stands still.
    pub freezes_every: Option<Duration>,
    /// For how long.
    pub freeze: RangeInclusive<Duration>,
    /// How often an application stops reading its events.
    pub slow_reads_every: Option<Duration>,
    /// For how long.
    pub slow_read: RangeInclusive<Duration>,
}

/// Something that goes wrong at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    Cut,
    Stall,
    Outage,
    Crash,
    Drain,
    ClockJump,
    Freeze,
    SlowRead,
    Pause,
    Certificate,
}

impl Mishap {
    pub(crate) const ALL: [Self; 10] = [
        Self::Cut,
        Self::Stall,
        Self::Outage,
        Self::Crash,
        Self::Drain,
        Self::ClockJump,
        Self::Freeze,
        Self::SlowRead,
        Self::Pause,
        Self::Certificate,
    ];
}

impl Faults {
    /// A good network of a few milliseconds, a good disk, and a clock that goes right.
    #[must_use]
    pub fn none() -> Self {
        Self {
            delay: Duration::from_micros(100)..=Duration::from_millis(20),
            bandwidth: None,
            splits: 0,
            cuts_every: None,
            doomed: 0,
            cut_after: 2048,
            stalls_every: None,
            stall: Duration::from_millis(100)..=Duration::from_secs(8),
            outages_every: None,
            outage: Duration::from_secs(1)..=Duration::from_secs(50),
            dial_failures: 0,
            crashes_every: None,
            drains_every: None,
            downtime: Duration::from_millis(100)..=Duration::from_secs(5),
            pauses_every: None,
            pause: Duration::from_secs(1)..=Duration::from_secs(50),
            certificates_every: None,
            store_delay: Duration::from_micros(50)..=Duration::from_millis(10),
            store_failures: 0,
            clock_jumps_every: None,
            clock_jump: Duration::from_secs(3600),
            freezes_every: None,
            freeze: Duration::from_millis(100)..=Duration::from_secs(10),
            slow_reads_every: None,
            slow_read: Duration::from_secs(1)..=Duration::from_secs(20),
        }
    }

    /// What a phone on a train sees: cuts, stalls and short outages, and a server that stays up.
    #[must_use]
    pub fn train() -> Self {
        Self {
            delay: Duration::from_millis(5)..=Duration::from_millis(400),
            splits: 200,
            cuts_every: Some(Duration::from_secs(8)),
            stalls_every: Some(Duration::from_secs(15)),
            outages_every: Some(Duration::from_secs(40)),
            dial_failures: 100,
            ..Self::none()
        }
    }

    /// Everything at once.
    #[must_use]
    pub fn all() -> Self {
        Self {
            doomed: 150,
            crashes_every: Some(Duration::from_secs(40)),
            drains_every: Some(Duration::from_secs(80)),
            store_delay: Duration::from_micros(50)..=Duration::from_millis(500),
            store_failures: 20,
            clock_jumps_every: Some(Duration::from_secs(30)),
            freezes_every: Some(Duration::from_secs(30)),
            slow_reads_every: Some(Duration::from_secs(20)),
            pauses_every: Some(Duration::from_secs(60)),
            certificates_every: Some(Duration::from_secs(60)),
            ..Self::train()
        }
    }

    /// What a user behind a satellite sees: round trips of up to two seconds, over a link that seldom breaks.
    #[must_use]
    pub fn satellite() -> Self {
        Self {
            delay: Duration::from_millis(300)..=Duration::from_millis(1000),
            cuts_every: Some(Duration::from_secs(40)),
            ..Self::none()
        }
    }

    /// How often `mishap` happens.
    pub(crate) fn every(&self, mishap: Mishap) -> Option<Duration> {
        match mishap {
            Mishap::Cut => self.cuts_every,
            Mishap::Stall => self.stalls_every,
            Mishap::Outage => self.outages_every,
            Mishap::Crash => self.crashes_every,
            Mishap::Drain => self.drains_every,
            Mishap::ClockJump => self.clock_jumps_every,
            Mishap::Freeze => self.freezes_every,
            Mishap::SlowRead => self.slow_reads_every,
            Mishap::Pause => self.pauses_every,
            Mishap::Certificate => self.certificates_every,
        }
    }
}
