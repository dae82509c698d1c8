//! A server whose process stands still for a while, and goes on.

use std::time::Duration;

use super::World;
use crate::agenda::Step;

impl World {
    /// The server's process stands still for some time.
    pub(crate) fn pause_server(&mut self, server: usize, time: Duration) {
        if (!self.servers[server].is_up() && self.servers[server].member.is_none())
            || self.servers[server].stands_since.is_some()
        {
            return;
        }
        self.server_line(server, || format!("stands still for {time:?}"));
        self.counts.pauses += 1;
        self.servers[server].stands_since = Some(self.now);
        if self.cluster.is_some() && self.may_store(server) {
            self.store.land(&self.project.app_id, &mut self.servers[server].queue);
            self.tell_written();
        }
        self.disturb_all();
        self.links.iter_mut().for_each(|link| link.unshown_since = None);
        self.agenda.plan(self.now + time, Step::ServerGoesOn { server, run: self.servers[server].run });
    }

    /// It goes on: first with the timers that are due, then with what has arrived.
    pub(crate) fn server_goes_on(&mut self, server: usize, run: u64) {
        if run != self.servers[server].run {
            return;
        }
        let Some(since) = self.servers[server].stands_since.take() else { return };
        self.server_line(server, || "goes on".to_owned());
        // It notices by a deadline that it missed by more than a moment, and cannot know how long before it stood still.
        let missed = self.servers[server].timer.map_or(self.now, |due| due.max(since));
        if self.now > missed + NOTICED {
            // Of several servers the one with a user's session says whether it is silent.
            let devices = match self.cluster {
                Some(_) => self.devices_with_entry(server),
                None => (0..self.devices.len()).collect(),
            };
            self.ledger.server_stood_still(missed, self.now, &devices);
        }
        self.disturb_all();
        // For the server no time has passed since it last wrote to anybody.
        for link in self.links.iter_mut().filter(|link| link.server == server) {
            link.written_at += self.now - since;
        }
        // Its node may have its turn before what has arrived for it, or after.
        let node_pause = if self.cluster.is_some() && self.rng.chance(500) { READS } else { Duration::ZERO };
        for step in std::mem::take(&mut self.servers[server].put_off) {
            let pause = match step {
                Step::ServerTimer { .. } => Duration::ZERO,
                Step::Node { .. } => node_pause,
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
