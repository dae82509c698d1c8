//! Things that go wrong between servers, until everything is well; and what holds of all of them.

use std::time::Duration;

use rtm_core::cluster::Standing;

use super::{LOOK_EVERY, World};
use crate::{
    agenda::Step,
    check::{Invariant, MemberCount},
    cluster::NodeStep,
    nodes::{Mishap, Trouble},
};

impl World {
    pub(crate) fn node_mishap(&mut self) {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| !cluster.is_well) else { return };
        let (every, mishaps) = (cluster.mishap_every, cluster.mishaps.clone());
        let pause = self.rng.about(every);
        self.agenda.plan(self.now + pause, Step::NodeMishap);
        let Some(mishap) = self.rng.pick(&mishaps).copied() else { return };
        let (server, other) = (self.some_server(), self.some_server());
        self.happen(mishap, server, other);
    }

    /// Something goes wrong with a server, or between two.
    pub(crate) fn happen(&mut self, mishap: Mishap, server: usize, other: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        self.counts.node_mishaps += 1;
        self.trace.line(self.now, self.servers[server].name.as_str(), || format!("{mishap:?}"));
        let mut until = self.now;
        let is_frozen = |time: Duration| self.now + time;
        match mishap {
            Mishap::ShortFreeze | Mishap::LongFreeze => {
                let time = mishap.time(&mut self.rng);
                until = is_frozen(time);
                cluster.ledger.excuse(server, until);
                self.pause_server(server, time);
            }
            Mishap::Kill => self.crash_server(server),
            Mishap::KillAll => (0..self.servers.len()).for_each(|server| self.crash_server(server)),
            Mishap::ClockJumps => {
                let by = 10_000 - self.rng.below(20_000) as i64;
                self.jump_clock(by);
            }
            Mishap::Drain => return self.drain_server(server),
            Mishap::Election => {
                until = self.now + mishap.time(&mut self.rng);
                if self.rng.chance(700) {
                    cluster.nodes.leaderless_until = until;
                }
                if self.rng.chance(700) {
                    cluster.users.leaderless_until = until;
                }
            }
            _ => {
                let time = mishap.time(&mut self.rng);
                until = self.now + time;
                let trouble = Trouble { mishap, now: self.now, until, node: server, other };
                for (from, to) in trouble.happen(&mut cluster.ways, &mut cluster.ledger, &mut self.rng) {
                    self.plan_node(until, from, NodeStep::Mends { to });
                }
            }
        }
        self.ledger.cluster_disturbed(self.now, until);
    }

    /// A server hands its sessions over, and leaves when it has none: nobody is to notice more than a reconnect.
    pub(crate) fn drain_member(&mut self, server: usize) {
        let now = self.server_now();
        let process = &mut self.servers[server];
        let (Some(core), Some(member)) = (&mut process.core, &mut process.member) else { return };
        if process.stands_since.is_some() || member.drains_since.is_some() {
            return;
        }
        member.drains_since = Some(self.now);
        member.node.drain(now);
        core.drain_cluster(now, CLOSES_OVER, |conns| conns.reverse());
        self.counts.drains += 1;
        self.settle_server(server);
    }

    /// A server that has handed everything over leaves, or that has taken too long.
    fn leave_if_drained(&mut self, server: usize) {
        let process = &self.servers[server];
        let since = process.member.as_ref().filter(|_| process.stands_since.is_none()).and_then(|it| it.drains_since);
        let Some(since) = since else { return };
        let is_done = process.core.as_ref().is_none_or(|core| core.remaining().is_nothing());
        if is_done || self.now > since + DRAIN_TIME {
            self.leave(server);
        }
    }

    /// Everything is well between servers from now on.
    pub(crate) fn heal_cluster(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.is_well = true;
        cluster.ways.heal(self.now);
        cluster.nodes.heal(self.now);
        cluster.users.heal(self.now);
        self.ledger.cluster_disturbed(self.now, self.now);
    }

    /// Looks the cluster over, from time to time.
    pub(crate) fn look(&mut self) {
        self.agenda.plan(self.now + LOOK_EVERY, Step::Look);
        (0..self.servers.len()).for_each(|server| self.leave_if_drained(server));
        let Some(cluster) = &self.cluster else { return };
        let most = cluster.post.urgent_bytes + cluster.post.bulk_bytes;
        for member in self.servers.iter().filter_map(|server| server.member.as_ref()) {
            for other in member.node.view().members() {
                let waits = member.node.waiting_bytes(&other.id);
                if waits > most {
                    let detail = format!("{waits} bytes wait for {} at {}", other.id, member.node.id());
                    self.ledger.broke_cluster(self.now, Invariant::BoxesBounded, detail);
                }
            }
        }
    }

    /// All servers are to be members of one view by now, and each user is to have one session.
    pub(crate) fn check_cluster(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let now = self.server_now();
        let mut sessions = 0;
        for server in &self.servers {
            let standing = server.member.as_ref().map(|member| member.node.standing(now));
            if standing != Some(Standing::Member) {
                let detail = format!("{} is {standing:?}, and the view is {:?}", server.name, cluster.ledger.truth);
                self.ledger.broke_cluster(self.now, Invariant::NothingStuck, detail);
            }
            sessions += server.core.as_ref().map_or(0, |core| core.stats().sessions);
        }
        if sessions != cluster.sessions() {
            let detail = format!("there are {sessions} sessions, and {} entries", cluster.sessions());
            self.ledger.broke_cluster(self.now, Invariant::OneSession, detail);
        }
    }

    /// All servers of a cluster are to count the same members by now.
    pub(crate) fn check_counts(&mut self) {
        let mut counts = Vec::new();
        for server in self.servers.iter().filter(|_| self.cluster.is_some()) {
            let Some(core) = &server.core else { continue };
            let _ = core.inspect_channels(0, usize::MAX, |channel| {
                counts.push(MemberCount {
                    server: server.name.to_string(),
                    channel_id: channel.channel_id,
                    here: channel.members,
                    elsewhere: channel.members_elsewhere,
                });
            });
        }
        self.ledger.counted(self.now, &counts);
    }
}

/// How long a server may take to hand its sessions over.
const DRAIN_TIME: Duration = Duration::from_secs(60);
/// Over how long it sends its clients away.
const CLOSES_OVER: Duration = Duration::from_secs(8);
