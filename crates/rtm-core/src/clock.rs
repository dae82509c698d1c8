//! The core's own time: that of its caller, less the times in which the whole server stood still.

use std::time::{Duration, Instant};

use rtm_codec::ServerFrame;

use super::{Core, Now};

/// Where the core's time is.
///
/// A server that was stopped, or whose machine was, finds deadlines that are long over, and in its sockets what its
/// clients sent meanwhile. It reads that first: its time goes on from the moment at which it should have done something
/// and did not, and for a while nothing is due.
#[derive(Debug)]
pub(super) struct Clock {
    start: Now,
    /// How far the core's time is behind its caller's: all times in which it stood still.
    behind: Duration,
    /// The latest time of the core's.
    last: Instant,
    /// Nothing is due before this.
    hold: Option<Instant>,
    /// The lowest time that something was given to keep, in milliseconds since the Unix epoch.
    lowest_kept: u64,
}

impl Clock {
    pub(super) fn new(start: Now) -> Self {
        Self { start, behind: Duration::ZERO, last: start.instant, hold: None, lowest_kept: u64::MAX }
    }

    /// The latest time of the core's.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// The core's time at a time of its caller's, unless the server stood still until now.
    #[inline]
    fn read(&self, instant: Instant) -> Instant {
        let instant = match self.behind.is_zero() {
            true => instant,
            false => instant.checked_sub(self.behind).unwrap_or(self.last),
        };
        instant.max(self.last)
    }

    /// At which time the core goes on if the server stood still: a deadline, `due`, is over for too long.
    fn look_for_standstill(&mut self, instant: Instant, due: Instant) -> Option<Instant> {
        let expected = self.hold.unwrap_or(due).max(due).max(self.last);
        if instant <= expected + STANDSTILL {
            return None;
        }
        self.behind += instant - expected;
        self.hold = Some(expected + READING);
        Some(expected)
    }

    /// Whether nothing is due yet, whatever its deadline is.
    pub(super) fn is_held(&mut self, now: Instant) -> bool {
        self.hold = self.hold.filter(|hold| now < *hold);
        self.hold.is_some()
    }

    /// When the core is to be called for a deadline, in its caller's time.
    pub(super) fn call_at(&self, due: Instant) -> Instant {
        self.hold.map_or(due, |hold| due.max(hold)) + self.behind
    }

    /// Something is kept that says it was made at this time, in milliseconds since the Unix epoch.
    pub(super) fn keeps(&mut self, unix_ms: u64) {
        self.lowest_kept = self.lowest_kept.min(unix_ms);
    }

    /// What was made before this, in milliseconds since the Unix epoch, is older than `age`. A clock that is set after the
    /// start, forward or back and forward again, makes nothing older.
    fn oldest(&self, now: Now, age: Duration) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let lived = now.instant.saturating_duration_since(self.start.instant) + self.behind;
        let oldest = now.unix_ms.min(self.start.unix_ms.saturating_add(millis(lived))).saturating_sub(millis(age));
        // Nothing of this process's own is so old yet.
        if lived < age { oldest.min(self.lowest_kept) } else { oldest }
    }
}

impl Core {
    /// The core's time, which every input begins with. What was to wait for other messages has waited.
    #[inline]
    pub(super) fn time(&mut self, now: Now) -> Now {
        if self.edge.is_some() {
            self.send_what_waits();
        }
        self.time_within_turn(now)
    }

    /// The core's time, for an input that more of the same turn may follow.
    #[inline]
    pub(super) fn time_within_turn(&mut self, now: Now) -> Now {
        let mut instant = self.clock.read(now.instant);
        if let Some(due) = self.hub.timers.next()
            && instant > due
        {
            instant = self.time_when_late(instant, due);
        }
        self.clock.last = instant;
        Now { instant, ..now }
    }

    #[cold]
    fn time_when_late(&mut self, instant: Instant, due: Instant) -> Instant {
        let Some(expected) = self.clock.look_for_standstill(instant, due) else { return instant };
        // A client that is pinged has heard nothing all the while, and does not wait until the rest is due.
        let pinged = self.hub.sessions.values_mut().filter_map(|session| {
            let conn = session.conn?;
            session.liveness.takes_late_ping(expected, instant).then_some(conn)
        });
        let pinged: Vec<_> = pinged.collect();
        pinged.into_iter().for_each(|conn| self.hub.send(conn, ServerFrame::Ping));
        expected
    }

    /// Stored messages that the server took before this, in milliseconds since the Unix epoch, are over.
    pub(super) fn oldest_offline(&self, now: Now) -> u64 {
        self.clock.oldest(now, self.config.settings.offline_for)
    }

    /// History before this, in milliseconds since the Unix epoch, is over.
    pub(super) fn oldest_history(&self, now: Now) -> u64 {
        self.clock.oldest(now, self.config.settings.history_for)
    }
}

/// A deadline that is over for so long was missed by the whole server, and not by its timer.
const STANDSTILL: Duration = Duration::from_secs(1);
/// How long a server reads what waits before anything is due.
const READING: Duration = Duration::from_secs(1);
