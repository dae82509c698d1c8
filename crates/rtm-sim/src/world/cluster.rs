//! What servers do in the world as one: their nodes come into a view, their cores talk, and the engine decides.

use std::time::Duration;

use bytes::Bytes;
use rtm_codec::{ChannelAttributes, ChannelId, CloseReason, UserId};
use rtm_core::cluster::{
    EngineAnswer, EngineJob, EngineJobId, EngineKey, EngineOp, EngineWork, ForCore, LeaseEntry, Left, MembershipConfig,
    MembershipEvent, Node, NodeConfig, NodeId, NodeOutput, OpId, Outcome, Posting, Revised, Router, Stored, View,
};

use super::World;
use crate::{
    agenda::Step,
    check::Invariant,
    cluster::{Member, NodeStep, revised},
    nodes::{Carried, Said, ToEngine, WAY, key_of},
    store::StoreQueue,
};

impl World {
    /// A server's process begins as a node that is to join. It has a core once it is a member.
    pub(crate) fn start_member(&mut self, server: usize) {
        let Some(cluster) = &self.cluster else { return };
        if self.servers[server].member.is_some() {
            return;
        }
        let mut membership = MembershipConfig::new(self.servers[server].name.clone());
        if let Some(proto) = cluster.first_proto.filter(|_| self.servers[server].process == 0) {
            membership.proto = proto;
        }
        let proto = membership.proto;
        let config = NodeConfig { membership, post: cluster.post };
        let all: Vec<_> = cluster.nodes.all().map(|(key, kept)| (key.clone(), kept.clone().into())).collect();
        self.server_line(server, || "starts".to_owned());
        let (seed, now) = (self.rng.number(), self.server_now());
        let process = &mut self.servers[server];
        process.process += 1;
        let (node, router) = (Node::new(config, seed, now), Router::default());
        process.member =
            Some(Member { node, proto, core_id: None, router, timer: None, drains_since: None, leaves: false });
        for (key, stored) in all {
            self.plan_watched(server, key, stored);
        }
        self.settle_server(server);
    }

    /// Carries what a core and its node have to say to each other and to others, until there is nothing left.
    pub(crate) fn settle_member(&mut self, server: usize) {
        if self.cluster.is_none() {
            return;
        }
        while self.core_says(server) | self.node_says(server) | self.router_says(server) {}
        let now = self.server_now();
        if let (Some(member), Some(cluster)) = (&self.servers[server].member, &mut self.cluster) {
            let (id, standing) = (member.node.id().clone(), member.node.standing(now));
            cluster.ledger.stands(self.now, server, &id, standing);
        }
    }

    fn core_says(&mut self, server: usize) -> bool {
        let now = self.server_now();
        let process = &mut self.servers[server];
        let (Some(core), Some(member)) = (&mut process.core, &mut process.member) else { return false };
        let (mut parcels, mut jobs) = (Vec::new(), Vec::new());
        core.take_parcels(&mut parcels);
        core.take_engine_jobs(&mut jobs);
        let run = process.run;
        let says = !parcels.is_empty() || !jobs.is_empty();
        for posting in parcels {
            let Posting { to, parcel, ticket } = &posting;
            self.trace.line(self.now, process.name.as_str(), || format!(">> {to} {ticket:?} {parcel:?}"));
            member.router.post(&mut member.node, now.instant, &self.project.app_id, posting);
        }
        for EngineJob { id, user_id, work } in jobs {
            let step = NodeStep::JobAsked { run, id, user_id, work, is_given_up: false };
            let at = self.now + self.rng.between(&WAY);
            self.plan_node(at, server, step);
        }
        says
    }

    fn node_says(&mut self, server: usize) -> bool {
        let mut says = false;
        loop {
            let now = self.server_now();
            let process = &mut self.servers[server];
            let number = process.process;
            let Some(member) = &mut process.member else { return says };
            match member.node.poll_output() {
                NodeOutput::Engine(id, op) => {
                    let at = self.now + self.rng.between(&WAY);
                    self.plan_node(at, server, NodeStep::Asked { process: number, id, op, is_delayed: false });
                }
                NodeOutput::Publish { to, payload, is_urgent } => self.publish(server, &to, &payload, is_urgent),
                NodeOutput::Membership(event) => self.membership(server, &event),
                NodeOutput::Post(event) => member.router.handle(&mut member.node, now.instant, event),
                NodeOutput::Wait(at) => {
                    let at = at.map(|at| self.time_of(at).max(self.now));
                    if let Some(member) = &mut self.servers[server].member
                        && let Some(at) = at.filter(|at| member.timer != Some(*at))
                    {
                        member.timer = Some(at);
                        self.plan_node(at, server, NodeStep::Timer { process: number, at });
                    }
                    return says;
                }
            }
            says = true;
        }
    }

    fn router_says(&mut self, server: usize) -> bool {
        let now = self.server_now();
        let mut says = false;
        let process = &mut self.servers[server];
        let Some(member) = &mut process.member else { return false };
        while let Some(word) = member.router.take() {
            says = true;
            let Some(core) = &mut process.core else { continue };
            match word {
                ForCore::Parcel { from, parcel, .. } => {
                    self.trace.line(self.now, process.name.as_str(), || format!("<< {from} {parcel:?}"));
                    if parcel.since() > member.proto {
                        let detail = format!("{} does not know {parcel:?}", member.node.id());
                        self.ledger.broke_cluster(self.now, Invariant::VersionKnown, detail);
                    }
                    self.counts.parcels += 1;
                    core.handle_parcel(now, &from, parcel);
                }
                ForCore::Posted { ticket, posted, .. } => core.handle_posted(now, ticket, posted),
                ForCore::Restarted { from } => core.handle_restarted(now, &from),
            }
        }
        says
    }

    fn membership(&mut self, server: usize, event: &MembershipEvent) {
        self.server_line(server, || format!("{event:?}"));
        let number = self.servers[server].process;
        if let Some(cluster) = &mut self.cluster {
            cluster.ledger.told(self.now, server, &self.servers[server].name, number, event);
        }
        match event {
            MembershipEvent::View(view) => self.comes_into(server, view),
            MembershipEvent::LeftOut(left) => {
                self.send_all_away(server);
                if *left == Left::Asked {
                    self.server_line(server, || "ends".to_owned());
                    self.servers[server].member = None;
                    self.plan_start(server);
                }
            }
            MembershipEvent::IsolatedTooLong if self.cluster.as_ref().is_some_and(|cluster| cluster.gives_up) => {
                let at = self.now + self.rng.about(Duration::from_secs(1));
                self.plan_node(at, server, NodeStep::GivesUp { process: number });
            }
            MembershipEvent::NameTaken | MembershipEvent::TooOld { .. } => {
                self.servers[server].member = None;
                self.plan_start(server);
            }
            _ => {}
        }
    }

    /// A node is in a new view: it goes on in it, or begins.
    fn comes_into(&mut self, server: usize, view: &View) {
        let now = self.server_now();
        if let Some(core) = &mut self.servers[server].core {
            return core.handle_view(now, view.clone());
        }
        let seed = self.rng.bytes();
        let mut core = self.new_core(server, seed);
        let process = &mut self.servers[server];
        if let Some(member) = &mut process.member {
            let id = member.node.id().clone();
            member.core_id = Some(id.clone());
            core.join_cluster(id, view.clone());
        }
        process.core = Some(core);
        process.run += 1;
        process.timer = None;
        let all = self.cluster.iter().flat_map(|cluster| cluster.users.all());
        let all: Vec<_> = all.map(|(user_id, kept)| (user_id.clone(), revised(Some(kept)))).collect();
        for (user_id, heard) in all {
            self.plan_entry(server, user_id, heard);
        }
        for (channel_id, value) in self.store.attributes(&self.project.app_id) {
            self.plan_attributes(server, channel_id, value);
        }
    }

    /// A node is no member any more: its clients are sent away, and it forgets everything.
    fn send_all_away(&mut self, server: usize) {
        self.node_is_gone(server);
        let now = self.server_now();
        let process = &mut self.servers[server];
        let links: Vec<usize> = process.links.values().copied().collect();
        if let Some(core) = &mut process.core {
            process.links.keys().for_each(|conn| core.close(now, *conn, CloseReason::Draining));
        }
        self.servers[server].is_ending = true;
        links.into_iter().for_each(|link| self.server_writes(link));
        self.servers[server].is_ending = false;
        if self.servers[server].core.take().is_some() {
            self.servers[server].queue = StoreQueue::default();
        }
        if let Some(member) = &mut self.servers[server].member {
            member.router.clear();
        }
        self.forget_links(server);
    }

    /// The sessions of a server's node are gone, or as good as that.
    pub(crate) fn node_is_gone(&mut self, server: usize) {
        let devices = self.devices_of(server);
        self.ledger.node_gone(self.now, &devices);
    }

    /// The devices whose sessions a server has, or may have.
    pub(crate) fn devices_of(&self, server: usize) -> Vec<usize> {
        let process = &self.servers[server];
        let linked = process.links.values().chain(&process.logging_in).map(|link| self.links[*link].device);
        let mut devices: Vec<usize> = linked.collect();
        devices.extend(self.devices_with_entry(server));
        devices
    }

    /// The devices of users whose entries name a server's node.
    pub(crate) fn devices_with_entry(&self, server: usize) -> Vec<usize> {
        self.users_of(server).map_or_else(Vec::new, |users| self.devices_in(users))
    }

    /// Whether a server has the session of a device's user. Of several, another may have it by now, and does not hear what
    /// one reads that stood still.
    pub(crate) fn has_session(&self, server: usize, device: usize) -> bool {
        let user_id = &self.devices[device].user_id;
        self.users_of(server).is_none_or(|mut users| users.any(|user| user == user_id))
    }

    /// The users whose entries name a server's node, if it is one.
    fn users_of(&self, server: usize) -> Option<impl Iterator<Item = &UserId>> {
        let (cluster, member) = (self.cluster.as_ref()?, self.servers[server].member.as_ref()?);
        Some(cluster.users_of(member.core_id.as_ref().unwrap_or_else(|| member.node.id())))
    }

    /// Whether a server is a node that was put out of the cluster, whatever it knows of that.
    pub(crate) fn is_outside(&self, server: usize) -> bool {
        match (&self.servers[server].member, &self.cluster) {
            (Some(member), Some(cluster)) => !cluster.ledger.is_in_truth(member.node.id()),
            _ => false,
        }
    }

    fn devices_in<'a>(&self, users: impl Iterator<Item = &'a UserId>) -> Vec<usize> {
        let of_user = |user_id: &'a UserId| (0..self.devices.len()).filter(|at| self.devices[*at].user_id == *user_id);
        users.flat_map(of_user).collect()
    }

    pub(crate) fn plan_node(&mut self, at: Duration, server: usize, step: NodeStep) {
        self.agenda.plan(at, Step::Node { server, step: Box::new(step) });
    }

    pub(crate) fn plan_start(&mut self, server: usize) {
        let downtime = self.rng.between(&self.faults.downtime);
        self.agenda.plan(self.now + downtime, Step::ServerStarts { server });
    }

    pub(crate) fn node_step(&mut self, server: usize, step: NodeStep) {
        let now = self.server_now();
        let number = self.servers[server].process;
        let is_cut = self.cluster.as_ref().is_some_and(|cluster| cluster.ways.is_cut(self.now, server));
        match step {
            NodeStep::Timer { process, at } if process == number => {
                self.with_node(server, |member| {
                    if member.timer == Some(at) {
                        member.timer = None;
                        member.node.handle_timeout(now);
                    }
                });
            }
            NodeStep::Asked { process, id, op, is_delayed } => self.node_asked(server, process, id, op, is_delayed),
            NodeStep::Answered { process, id, outcome } if process == number && !is_cut => {
                self.with_node(server, |member| member.node.handle_outcome(now, id, outcome));
            }
            NodeStep::Watched { process, key, stored } if process == number => {
                if self.cluster.as_ref().is_some_and(|cluster| cluster.ways.watches_from(self.now, server) > self.now) {
                    return self.plan_watched(server, key, stored);
                }
                self.with_node(server, |member| member.node.handle_watched(now, &key, &stored));
            }
            NodeStep::JobAsked { run, id, user_id, work, is_given_up } => {
                self.job_asked(server, run, id, user_id, work, is_given_up);
            }
            NodeStep::JobAnswered { run, id, answer } if run == self.servers[server].run => {
                if let Some(core) = &mut self.servers[server].core {
                    core.handle_engine(now, id, answer);
                    self.settle_server(server);
                }
            }
            NodeStep::EntryWatched { run, user_id, heard } if run == self.servers[server].run => {
                if self.cluster.as_ref().is_some_and(|cluster| cluster.ways.watches_from(self.now, server) > self.now) {
                    return self.plan_entry(server, user_id, heard);
                }
                if let Some(core) = &mut self.servers[server].core {
                    core.handle_entry(now, &user_id, &heard);
                    self.settle_server(server);
                }
            }
            NodeStep::AttributesWatched { run, channel_id, value } if run == self.servers[server].run => {
                if self.cluster.as_ref().is_some_and(|cluster| cluster.ways.watches_from(self.now, server) > self.now) {
                    return self.plan_attributes(server, channel_id, value);
                }
                if let Some(core) = &mut self.servers[server].core {
                    core.handle_kept_attributes(now, &channel_id, value);
                    self.settle_server(server);
                }
            }
            NodeStep::Arrives { payload } => self.with_node(server, |member| member.node.handle_payload(now, payload)),
            NodeStep::NobodyThere { process, to } if process == number => {
                self.with_node(server, |member| member.node.handle_no_responders(now, &to));
            }
            NodeStep::GivesUp { process } if process == number => {
                self.with_node(server, |member| member.node.give_up(now));
            }
            NodeStep::Ends { process } if process == number && self.servers[server].member.is_some() => {
                self.crash_server(server);
            }
            NodeStep::Mends { to } => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.ways.bus.mend(server, to);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn with_node(&mut self, server: usize, give: impl FnOnce(&mut Member)) {
        if let Some(member) = &mut self.servers[server].member {
            give(member);
            self.settle_server(server);
        }
    }

    fn node_asked(&mut self, server: usize, process: u64, id: OpId, op: EngineOp, is_delayed: bool) {
        let Some(cluster) = &mut self.cluster else { return };
        match cluster.ways.to_engine(self.now, server, &mut self.rng) {
            ToEngine::Arrives => {}
            ToEngine::FailsAfter(pause) => {
                let step = NodeStep::Answered { process, id, outcome: Outcome::NoResponders };
                return self.plan_node(self.now + pause, server, step);
            }
            ToEngine::Waits(at) => return self.plan_node(at, server, NodeStep::Asked { process, id, op, is_delayed }),
            ToEngine::Lost => return,
        }
        if !is_delayed && let Some(pause) = cluster.nodes.delays(&mut self.rng) {
            let step = NodeStep::Asked { process, id, op, is_delayed: true };
            return self.plan_node(self.now + pause, server, step);
        }
        let answer = cluster.nodes.ask(self.now, &op, &mut self.rng);
        if let Some(kept) = answer.written {
            let (key, stored) = (key_of(&op).clone(), Stored::from(kept));
            match &key {
                EngineKey::View => self.view_written(&stored.value),
                EngineKey::Node(name) => {
                    cluster.ledger.lease_written(self.now, name, &stored.value);
                    let lease = || format!("has {:?} of {name}", LeaseEntry::decode(&stored.value));
                    self.trace.line(self.now, "engine", lease);
                }
            }
            for server in 0..self.servers.len() {
                if self.servers[server].member.is_some() {
                    self.plan_watched(server, key.clone(), stored.clone());
                }
            }
        }
        if let Some(after) = answer.after {
            let step = NodeStep::Answered { process, id, outcome: answer.said.into() };
            self.plan_node(self.now + after, server, step);
        }
    }

    /// The engine has another view. The sessions of nodes that are not in it are over.
    fn view_written(&mut self, value: &Bytes) {
        let Some(cluster) = &mut self.cluster else { return };
        let before = cluster.ledger.truth.clone();
        cluster.ledger.written(self.now, value);
        self.counts.views += 1;
        self.trace.line(self.now, "engine", || format!("{:?}", cluster.ledger.truth));
        let members = before.iter().flat_map(|view| view.members());
        let left: Vec<NodeId> =
            members.filter(|member| !cluster.ledger.is_in_truth(&member.id)).map(|member| member.id.clone()).collect();
        let Some(cluster) = &self.cluster else { return };
        let devices: Vec<usize> = left.iter().flat_map(|id| self.devices_in(cluster.users_of(id))).collect();
        let lately = left.iter().flat_map(|id| cluster.users_lately_of(id, self.now.saturating_sub(HEARD_WITHIN)));
        let lately = self.devices_in(lately);
        if !left.is_empty() {
            self.ledger.node_gone(self.now, &devices);
            self.ledger.taken_for_unreachable(self.now, &lately);
        }
        for server in 0..self.servers.len() {
            let member = self.servers[server].member.as_ref();
            if member.is_some_and(|member| left.contains(member.node.id())) {
                let mut devices = self.devices_of(server);
                // One that is at another server by now may have left a link behind.
                devices
                    .retain(|device| self.devices[*device].link().is_none_or(|link| self.links[link].server == server));
                self.ledger.server_is_outside(&devices);
            }
        }
    }

    fn plan_watched(&mut self, server: usize, key: EngineKey, stored: Stored) {
        let Some(cluster) = &mut self.cluster else { return };
        let at = cluster.ways.watched_at(self.now, server, &mut self.rng);
        let process = self.servers[server].process;
        self.plan_node(at, server, NodeStep::Watched { process, key, stored });
    }

    fn plan_entry(&mut self, server: usize, user_id: UserId, heard: Revised) {
        let Some(cluster) = &mut self.cluster else { return };
        let at = cluster.ways.watched_at(self.now, server, &mut self.rng);
        let run = self.servers[server].run;
        self.plan_node(at, server, NodeStep::EntryWatched { run, user_id, heard });
    }

    fn plan_attributes(&mut self, server: usize, channel_id: ChannelId, value: ChannelAttributes) {
        let Some(cluster) = &mut self.cluster else { return };
        let at = cluster.ways.watched_at(self.now, server, &mut self.rng);
        let run = self.servers[server].run;
        self.plan_node(at, server, NodeStep::AttributesWatched { run, channel_id, value });
    }

    /// The store has done something: the watches of all nodes tell what it wrote of channels.
    pub(crate) fn tell_written(&mut self) {
        for (to, message) in self.store.take_stored() {
            self.ledger.stored(self.now, &to, &message);
        }
        for (channel_id, value) in self.store.take_written() {
            for server in 0..self.servers.len() {
                if self.servers[server].core.is_some() {
                    self.plan_attributes(server, channel_id.clone(), value.clone());
                }
            }
        }
    }

    /// A core asks the engine. It is answered once, when nothing came in time with that nobody knows.
    fn job_asked(
        &mut self,
        server: usize,
        run: u64,
        id: EngineJobId,
        user_id: UserId,
        work: EngineWork,
        is_given_up: bool,
    ) {
        let Some(cluster) = &mut self.cluster else { return };
        let given_up = NodeStep::JobAnswered { run, id, answer: EngineAnswer::Unknown };
        if !is_given_up {
            let delay = match cluster.ways.to_engine(self.now, server, &mut self.rng) {
                ToEngine::Arrives => cluster.users.delays(&mut self.rng).map(|pause| self.now + pause),
                ToEngine::FailsAfter(_) | ToEngine::Lost => {
                    return self.plan_node(self.now + ANSWERED_WITHIN, server, given_up);
                }
                ToEngine::Waits(at) => Some(at),
            };
            if let Some(at) = delay {
                self.plan_node(self.now + ANSWERED_WITHIN, server, given_up);
                let step = NodeStep::JobAsked { run, id, user_id, work, is_given_up: true };
                return self.plan_node(at, server, step);
            }
        }
        let answer = match &work {
            EngineWork::Read => cluster.users.read(self.now, &user_id, &mut self.rng),
            EngineWork::Write { entry, expected } => {
                cluster.users.write(self.now, &user_id, entry.clone(), *expected, &mut self.rng)
            }
        };
        let said = match &answer.said {
            Said::Written(revision) => EngineAnswer::Written(*revision),
            Said::Found(found) => EngineAnswer::Read(revised(found.as_ref())),
            Said::Conflict => EngineAnswer::Conflict,
            Said::NoLeader => EngineAnswer::Unknown,
        };
        self.trace.line(self.now, "engine", || format!("{} {user_id} {work:?} -> {said:?}", self.servers[server].name));
        if let Some(kept) = answer.written {
            let heard = revised(Some(&kept));
            // A node that is out of the cluster, and does not know that yet, has begun a session.
            if let (Some(entry), Some(cluster)) = (&heard.entry, &self.cluster)
                && !cluster.ledger.is_in_truth(&entry.node.node_and_worker().0)
            {
                let devices = self.devices_in(std::iter::once(&user_id));
                self.ledger.node_gone(self.now, &devices);
            }
            for server in 0..self.servers.len() {
                if self.servers[server].core.is_some() {
                    self.plan_entry(server, user_id.clone(), heard.clone());
                }
            }
        }
        if is_given_up {
            return;
        }
        let (after, step) = match answer.after {
            _ if said == EngineAnswer::Unknown => (self.rng.about(ASKED_AGAIN), given_up),
            Some(after) if after < ANSWERED_WITHIN => (after, NodeStep::JobAnswered { run, id, answer: said }),
            _ => (ANSWERED_WITHIN, given_up),
        };
        self.plan_node(self.now + after, server, step);
    }

    fn publish(&mut self, server: usize, to: &NodeId, payload: &Bytes, is_urgent: bool) {
        let process = self.servers[server].process;
        let Some(target) = self.servers.iter().position(|server| server.name == to.name) else { return };
        let receiver = &self.servers[target];
        let (is_there, stands_since) = (receiver.member.is_some(), receiver.stands_since);
        let Some(cluster) = &mut self.cluster else { return };
        let way = (server, target);
        match cluster.ways.carry(self.now, way, is_urgent, is_there, stands_since, &mut self.rng) {
            Carried::Arrives(times) => {
                for at in times {
                    self.plan_node(at, target, NodeStep::Arrives { payload: payload.clone() });
                }
            }
            Carried::NobodyThere(at) => {
                self.plan_node(at, server, NodeStep::NobodyThere { process, to: to.clone() });
            }
        }
    }

    /// A node that has drained leaves.
    pub(crate) fn leave(&mut self, server: usize) {
        let (now, process) = (self.server_now(), self.servers[server].process);
        let Some(member) = &mut self.servers[server].member else { return };
        if std::mem::replace(&mut member.leaves, true) {
            return;
        }
        self.plan_node(self.now + LEAVES_WITHIN, server, NodeStep::Ends { process });
        self.with_node(server, |member| member.node.leave(now));
    }
}

/// The watch of a node hangs for at most so long.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// After so long a server gives up a question to the engine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// An engine without a leader is asked again after about this.
const ASKED_AGAIN: Duration = Duration::from_millis(250);

/// A process that leaves is ended after so long.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
