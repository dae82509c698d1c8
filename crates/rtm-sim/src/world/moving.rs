//! Sessions that move in the world: one at a time in its core, or all of them into a new one; in a cluster with their clients.

use std::{collections::BTreeSet, time::Duration};

use rtm_codec::{CloseReason, UserId, Wire};
use rtm_connection::ConnectionState;
use rtm_core::{EventLogStart, NotPackable};

use super::World;
use crate::{agenda::Step, moving::Moves};
impl World {
    /// Lets sessions move from now on, so often on average.
    pub(crate) fn move_sessions(&mut self, every: Duration, kind: Moves) {
        let is_planned = self.moving.every.is_some();
        (self.moving.every, self.moving.kind) = (Some(every), kind);
        if !is_planned {
            self.plan_move();
        }
    }

    /// Whether the world is compared with one in which sessions move otherwise.
    pub(crate) fn moves_exactly(&self) -> bool {
        self.moving.every.is_some() && self.moving.is_exact()
    }

    /// Whether links break only where sessions move.
    pub(crate) fn are_links_good(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.are_links_good)
    }

    /// No more session moves.
    pub(crate) fn stop_moving(&mut self) {
        self.moving.every = None;
    }

    fn plan_move(&mut self) {
        if let Some(every) = self.moving.every {
            let at = self.now + self.moving.rng.about(every);
            self.agenda.plan(at, Step::Move);
        }
    }

    pub(crate) fn move_some(&mut self) {
        if self.moving.every.is_none() {
            return;
        }
        self.plan_move();
        if self.is_cluster() {
            return self.move_to_another();
        }
        if self.servers[0].stands_since.is_some() {
            return;
        }
        let users: BTreeSet<UserId> = self.devices.iter().map(|device| device.user_id.clone()).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        let moves_all = self.moving.rng.chance(250);
        let Some(user_id) = self.moving.rng.pick(&users).cloned() else { return };
        match self.moving.kind {
            Moves::Anywhere if moves_all => self.move_all(&users),
            Moves::Anywhere | Moves::Returns => self.move_one(&user_id),
            Moves::Stays => {}
        }
        self.trace.line(self.now, "server", || format!("moves {user_id}"));
        if self.moving.is_exact() {
            self.close_connections(&user_id);
        }
        self.settle_server(0);
    }

    /// A client loses its connection, and comes back at any server, to which its session moves.
    fn move_to_another(&mut self) {
        let connected = self.devices.iter().filter(|device| device.connection.state() == ConnectionState::Connected);
        let links = connected.filter_map(|device| device.link()).filter(|link| !self.links[*link].is_cut);
        let links: Vec<usize> = links.collect();
        if let Some(link) = self.moving.rng.pick(&links).copied() {
            self.counts.moved += 1;
            self.break_link(link, None);
        }
    }

    fn move_one(&mut self, user_id: &UserId) {
        let now = self.server_now();
        let Some(core) = &mut self.servers[0].core else { return };
        match core.pack_session(now, user_id) {
            Ok(pack) => {
                self.counts.moved += 1;
                if let Err(error) = core.unpack_session(now, &pack) {
                    self.ledger.pack_refused(self.now, user_id, &error);
                }
            }
            Err(NotPackable::NoSession) => {}
            Err(_) => self.counts.not_moved += 1,
        }
    }

    /// Closes the connections of a user, as a move does.
    fn close_connections(&mut self, user_id: &UserId) {
        let now = self.server_now();
        let Some(core) = &mut self.servers[0].core else { return };
        for link in &self.links {
            if self.devices[link.device].user_id == *user_id
                && let Some(conn) = link.conn
            {
                core.close(now, conn, CloseReason::Draining);
            }
        }
    }

    /// All sessions go on in a new core, if the store has nothing to do: its answers would come to the new one.
    fn move_all(&mut self, users: &[UserId]) {
        let now = self.server_now();
        let server = &mut self.servers[0];
        let Some(core) = &mut server.core else { return };
        // What was handed out over HTTP is known to the old core alone.
        if !server.queue.is_idle() || self.devices.iter().any(|device| device.wire == Wire::Vendor) {
            return;
        }
        let mut packs = Vec::new();
        let mut all = true;
        for user_id in users {
            match core.pack_session(now, user_id) {
                Ok(pack) => packs.push((user_id, pack)),
                Err(NotPackable::NoSession) => {}
                Err(_) => {
                    self.counts.not_moved += 1;
                    all = false;
                }
            }
        }
        if all {
            self.trace.line(self.now, "server", || "goes on in a new core".to_owned());
            self.counts.moved_all += 1;
            let seed = self.moving.rng.bytes();
            let mut core = self.new_core(0, seed);
            core.begin_event_log(now, &self.server_name(0), EventLogStart::AsNode);
            for link in self.servers[0].go_on_in(core) {
                self.links[link].conn = None;
                self.break_link(link, None);
            }
        }
        self.moving.rng.shuffle(&mut packs);
        let Some(core) = &mut self.servers[0].core else { return };
        for (user_id, pack) in packs {
            self.counts.moved += 1;
            if let Err(error) = core.unpack_session(now, &pack) {
                self.ledger.pack_refused(self.now, user_id, &error);
            }
        }
    }
}
