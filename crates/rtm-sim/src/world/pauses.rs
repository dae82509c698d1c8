//! A server whose process stands still for a while, and goes on.

use std::time::Duration;

use super::World;
use crate::agenda::Step;

impl World {
    /// The server's process stands still for some time.
    pub(crate) fn pause_server(&mut self, time: Duration) {
        if !self.server.is_up() || self.server.stands_since.is_some() {
            return;
        }
        self.trace.line(self.now, "server", || format!("stands still for {time:?}"));
        self.counts.pauses += 1;
        self.server.stands_since = Some(self.now);
        self.disturb_all();
        self.links.iter_mut().for_each(|link| link.unshown_since = None);
        self.agenda.plan(self.now + time, Step::ServerGoesOn { run: self.server.run });
    }

    /// It goes on: first with the timers that are due, then with what has arrived.
    pub(crate) fn server_goes_on(&mut self, run: u64) {
        if run != self.server.run {
            return;
        }
        let Some(since) = self.server.stands_since.take() else { return };
        self.trace.line(self.now, "server", || "goes on".to_owned());
        // It notices by a deadline that it missed by more than a moment, and cannot know how long before it stood still.
        let missed = self.server.timer.map_or(self.now, |due| due.max(since));
        if self.now > missed + NOTICED {
            self.ledger.server_stood_still(missed, self.now);
        }
        self.disturb_all();
        // For the server no time has passed since it last wrote to anybody.
        for link in &mut self.links {
            link.written_at += self.now - since;
        }
        for step in std::mem::take(&mut self.server.put_off) {
            let pause = match step {
                Step::ServerTimer { .. } => Duration::ZERO,
                // After what has arrived before it.
                Step::Broken { .. } => READS * 2,
                _ => self.rng.between(&(Duration::ZERO..=READS)),
            };
            self.agenda.plan(self.now + pause, step);
        }
    }

    fn disturb_all(&mut self) {
        for device in 0..self.devices.len() {
            self.ledger.disturbed(self.now, device);
        }
    }
}

/// By so much a server misses a deadline before it takes that for a standstill.
const NOTICED: Duration = Duration::from_secs(1);

/// In so much time it reads what has arrived.
const READS: Duration = Duration::from_millis(5);
