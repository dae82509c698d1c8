//! Things going wrong: links that break or stand still, devices out of reach or frozen, a clock that jumps.

use std::time::Duration;

use super::World;
use crate::{agenda::Step, faults::Mishap, figures::DeviceId, net::Direction};
impl World {
    /// Cuts a device's connection, if it has one. Of the bytes under way in each direction any number still arrives;
    /// either end learns of it at once, later or never.
    pub fn cut(&mut self, device: DeviceId) {
        if let Some(link) = self.devices[device.0].link() {
            self.break_link(link, None);
        }
    }

    /// Takes a device out of reach of the network for some time: nothing it sends arrives, nor anything sent to it,
    /// and it cannot connect.
    pub fn isolate(&mut self, device: DeviceId, time: Duration) {
        let device = device.0;
        self.note(device, || format!("is out of reach for {time:?}"));
        self.counts.outages += 1;
        self.ledger.cut(self.now, device);
        self.devices[device].away_until = self.now + time;
        for link in 0..self.links.len() {
            let path = &mut self.links[link];
            if path.device != device || path.is_cut || (!path.is_held && path.conn.is_none()) {
                continue;
            }
            // What is under way arrives late, or the path forgets the connection.
            if self.rng.chance(500) {
                path.stalled_until = path.stalled_until.max(self.now + time);
            } else {
                self.counts.cuts += 1;
                for direction in [Direction::Up, Direction::Down] {
                    let cut = self.links[link].cut(direction, self.now + *self.faults.delay.end(), &mut self.rng);
                    self.counts.torn += u64::from(cut.is_torn);
                }
            }
        }
    }

    /// Lets a device's process stand still for some time.
    pub fn freeze(&mut self, device: DeviceId, time: Duration) {
        self.note(device.0, || format!("freezes for {time:?}"));
        self.counts.freezes += 1;
        self.ledger.disturbed(self.now, device.0);
        self.ledger.frozen(self.now, device.0, self.now + time);
        let state = &mut self.devices[device.0];
        state.frozen_until = state.frozen_until.max(self.now + time);
    }

    /// Lets a device's application stop reading its events for some time.
    pub fn stop_reading(&mut self, device: DeviceId, time: Duration) {
        self.note(device.0, || format!("does not read for {time:?}"));
        self.counts.slow_reads += 1;
        self.ledger.slow_reader(self.now, device.0);
        let state = &mut self.devices[device.0];
        state.reads_from = state.reads_from.max(self.now + time);
    }

    /// Crashes the server. It starts again after the [downtime](crate::Faults::downtime).
    pub fn crash(&mut self) {
        let server = self.some_server();
        self.crash_server(server);
    }

    /// Lets the server's process stand still for some time. Its sockets take bytes meanwhile; it then finds that its timers
    /// are due before it reads what has arrived.
    pub fn pause(&mut self, time: Duration) {
        let server = self.some_server();
        self.pause_server(server, time);
    }

    /// Shuts the server down in order. It starts again after the [downtime](crate::Faults::downtime).
    pub fn drain(&mut self) {
        let server = self.some_server();
        self.drain_server(server);
    }

    pub(crate) fn mishap(&mut self, mishap: Mishap) {
        let at = mishap as usize;
        let is_on = self.faults.every(mishap).is_some();
        self.plan_mishap(at, mishap);
        if !is_on {
            return;
        }
        let device = DeviceId(self.rng.below(self.devices.len()));
        if self.devices.is_empty() {
            return;
        }
        match mishap {
            Mishap::Cut => {
                if let Some(link) = self.some_link() {
                    self.break_link(link, None);
                }
            }
            Mishap::Stall => {
                if let Some(link) = self.some_link() {
                    let time = self.rng.between(&self.faults.stall);
                    let path = &mut self.links[link];
                    path.stalled_until = path.stalled_until.max(self.now + time);
                    let device = path.device;
                    self.counts.stalls += 1;
                    self.ledger.disturbed(self.now, device);
                    self.note(device, || format!("link {link} stands still for {time:?}"));
                }
            }
            Mishap::Outage => {
                let time = self.rng.between(&self.faults.outage);
                self.isolate(device, time);
            }
            Mishap::Crash => self.crash(),
            Mishap::Drain => self.drain(),
            Mishap::ClockJump => {
                let far = self.rng.between(&(Duration::ZERO..=self.faults.clock_jump));
                let far = i64::try_from(far.as_millis()).unwrap_or(i64::MAX);
                let far = if self.rng.chance(500) { far } else { -far };
                self.trace.line(self.now, "world", || format!("the wall clock jumps by {far} ms"));
                self.counts.clock_jumps += 1;
                self.jump_clock(far);
            }
            Mishap::Freeze => {
                let time = self.rng.between(&self.faults.freeze);
                self.freeze(device, time);
            }
            Mishap::SlowRead => {
                let time = self.rng.between(&self.faults.slow_read);
                self.stop_reading(device, time);
            }
            Mishap::Pause => {
                let time = self.rng.between(&self.faults.pause);
                self.pause(time);
            }
            Mishap::Certificate => self.change_certificate(),
        }
    }

    /// A server, up or down.
    pub(crate) fn some_server(&mut self) -> usize {
        match self.servers.len() {
            1 => 0,
            servers => self.rng.below(servers),
        }
    }

    /// A link that is whole and that somebody has.
    fn some_link(&mut self) -> Option<usize> {
        let links: Vec<_> = (0..self.links.len())
            .filter(|&link| {
                let path = &self.links[link];
                !path.is_cut && (path.is_held || path.conn.is_some())
            })
            .collect();
        self.rng.pick(&links).copied()
    }

    /// A link breaks. `written`: in this direction by what was written last, of which the part that arrives does so
    /// at that time.
    pub(crate) fn break_link(&mut self, link: usize, written: Option<(Direction, Option<Duration>)>) {
        let device = self.links[link].device;
        if self.links[link].is_cut && written.is_none() {
            return;
        }
        self.counts.cuts += 1;
        self.note(device, || format!("link {link} breaks"));
        self.ledger.cut(self.now, device);
        for direction in [Direction::Up, Direction::Down] {
            let last = match written {
                Some((cut_in, last)) if cut_in == direction => last.unwrap_or(self.now),
                _ => {
                    let cut = self.links[link].cut(direction, self.now + *self.faults.delay.end(), &mut self.rng);
                    self.counts.torn += u64::from(cut.is_torn);
                    cut.last
                }
            };
            let last = last.max(self.now).max(self.links[link].stalled_until);
            let at = match self.rng.below(10) {
                0..6 => last + self.rng.between(&self.faults.delay),
                6..8 => last + self.rng.between(&(Duration::ZERO..=LATE)),
                _ => continue,
            };
            self.agenda.plan(at, Step::Broken { link, direction });
        }
    }
}

/// An end that learns late that its link is broken learns it within this time.
const LATE: Duration = Duration::from_secs(10);
