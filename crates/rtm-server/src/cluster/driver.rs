//! The task that has the node: it gives it time, what NATS brings and what its projects say, and does what the node says.

use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::Context;
use futures::{FutureExt as _, StreamExt as _};
use rtm_codec::AppId;
use rtm_core::{
    Now,
    cluster::{
        EngineKey, ForCore, Left, Member, MembershipEvent, Node, NodeId, NodeName, NodeOutput, OpId, Outcome, Posting,
        Role, Router, Standing, Stored, View,
    },
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    task::{self, AbortHandle, JoinSet, unconstrained},
    time::sleep_until,
};
use tracing::{error, info, warn};

use super::{
    about::About,
    bus::Bus,
    engine::{Engine, watched_node, watched_user},
    error::{ClusterError, ClusterErrorKind},
    figures::{ClusterFigures, ClusterNode, ClusterNodes, Figures},
    names::{NODES, Names, USERS},
    others::find_member,
    served::{Served, differences},
    store::NodeStore,
    watch::watch as watch_bucket,
};
use crate::{
    link::{FromCluster, Job, Parcels},
    project::{Project, now},
};

/// Where a node stands, as the rest of the server has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is on its way in, for the first time or again.
    Joining,
    /// It is a member, and serves. There are so many others that its clients may go to.
    Member { others: usize },
    /// It is a member that does not know whether it still is one.
    Isolated,
    /// It has left, since it was to.
    Left,
    /// It cannot join.
    Refused(ClusterError),
}

/// What an operator wants of a node.
#[derive(Debug)]
pub(crate) enum Order {
    /// It gives away what it is the home of.
    Drain,
    /// It serves one project more, with these cores.
    Serve(Vec<Arc<Project>>),
    /// It does not serve a project any more.
    Forget(AppId),
    /// Projects go by other terms, which the other nodes are to know.
    SayTerms,
    /// It goes.
    Leave,
}

/// What comes to the driver by itself.
#[derive(Debug)]
enum Input {
    Outcome(OpId, Outcome),
    Watched(EngineKey, Stored),
    /// A task has given the projects what the store has.
    Restored(task::Id),
    /// What a node says of itself.
    About(NodeName, About),
    /// An added project has what the store has of it.
    RestoredProject(AppId),
    /// Another node says that it is a member, while this one is out of touch.
    OthersGoOn(NodeName),
}

/// What a driver is given.
pub(crate) struct Gear {
    pub(crate) node: Node,
    pub(crate) bus: Bus,
    pub(crate) engine: Arc<Engine>,
    pub(crate) jetstream: Context,
    pub(crate) names: Names,
    /// The cores of all projects: those of each project follow one another.
    pub(crate) projects: Vec<Arc<Project>>,
    /// How many each has.
    pub(crate) workers: u16,
    /// Where the projects' state is, unless the node has a store of its own.
    pub(crate) store: Option<Arc<NodeStore>>,
    /// What the projects say.
    pub(crate) parcels: UnboundedReceiver<Parcels>,
    pub(crate) orders: UnboundedReceiver<Order>,
    /// Where other nodes may ask whether this one is a member.
    pub(crate) addresses: Vec<String>,
    pub(crate) place: watch::Sender<Place>,
    pub(crate) figures: Arc<Figures>,
}

/// The node's task.
pub(crate) struct Driver {
    gear: Gear,
    /// Where the first core of each project is.
    places: BTreeMap<AppId, usize>,
    router: Router,
    inputs: UnboundedReceiver<Input>,
    input: UnboundedSender<Input>,
    /// What is to be handed to each project, in order.
    for_projects: Vec<Vec<FromCluster>>,
    is_member: bool,
    /// What the store has is being read: nobody is served before.
    restoring: Option<AbortHandle>,
    /// Where the node stands but for that.
    place: Place,
    members: Vec<NodeId>,
    /// It leaves when the others have all that was said to them, and not later than this.
    leaves_by: Option<Instant>,
    said_at: Option<Instant>,
    /// When it was said last that this node waits to be let in, or when it began to.
    outside_at: Instant,
    /// Where other nodes say whether they are members.
    addresses: BTreeMap<NodeName, Vec<String>>,
    /// The versions of other nodes, and how many sessions they had at last.
    said: BTreeMap<NodeName, (String, usize)>,
    /// How many parcels were sent and came.
    parcels: [u64; 2],
    /// The last acknowledged renewal of the lease, as those know who look.
    renewed_at: Option<Instant>,
    served: Served,
    /// Projects that were added, until all members serve them, with whether what the store has of them is read.
    unopened: BTreeMap<AppId, bool>,
    /// Which nodes were named as those that an added project waits for.
    told_to_wait: BTreeMap<AppId, String>,
    /// What other nodes say that they serve, and in which of their lives.
    served_by: BTreeMap<NodeName, (u64, Served)>,
    /// In what other nodes differ from this one in what they serve, and whether that was said.
    differences: BTreeMap<NodeName, (Vec<String>, bool)>,
    /// Looks for one that is, while this node has been out of touch for too long.
    search: Option<AbortHandle>,
    nodes_watch: AbortHandle,
    users_watch: Option<AbortHandle>,
    /// How far the clock that counts while the computer sleeps is ahead of the other one.
    boot_ahead: Duration,
}

impl Driver {
    pub(crate) fn new(gear: Gear) -> Self {
        let (input, inputs) = unbounded_channel();
        let firsts = gear.projects.iter().enumerate().step_by(usize::from(gear.workers));
        let places = firsts.clone().map(|(place, project)| (project.app_id().clone(), place)).collect();
        let served = firsts.map(|(_, project)| (project.app_id().to_string(), project.terms())).collect();
        let (names, watched) = (gear.names.clone(), input.clone());
        let nodes_watch = tokio::spawn(watch_bucket(gear.jetstream.clone(), names.bucket(NODES), move |changes| {
            for (revision, message) in changes {
                let input = match watched_node(&names, &message, revision) {
                    Some((key, stored)) => Some(Input::Watched(key, stored)),
                    None => About::node(&names, &message.subject)
                        .and_then(|node| Some(Input::About(node, About::decode(&message.payload)?))),
                };
                // The driver may have ended.
                let _ = input.map(|input| watched.send(input));
            }
        }));
        Self {
            places,
            router: Router::default(),
            inputs,
            input,
            for_projects: gear.projects.iter().map(|_| Vec::new()).collect(),
            is_member: false,
            restoring: None,
            place: Place::Joining,
            members: Vec::new(),
            leaves_by: None,
            said_at: None,
            outside_at: now().instant,
            addresses: BTreeMap::new(),
            said: BTreeMap::new(),
            parcels: [0; 2],
            renewed_at: None,
            served,
            unopened: BTreeMap::new(),
            told_to_wait: BTreeMap::new(),
            served_by: BTreeMap::new(),
            differences: BTreeMap::new(),
            search: None,
            nodes_watch: nodes_watch.abort_handle(),
            users_watch: None,
            boot_ahead: boot_ahead(),
            gear,
        }
    }

    /// Drives the node until it has left, or may not join.
    pub(crate) async fn run(mut self) {
        loop {
            let next = self.gear.node.next_timeout();
            let due = async {
                match next {
                    Some(next) => sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(order) = self.gear.orders.recv() => self.obey(order),
                Some(input) = self.inputs.recv() => self.take_input(input),
                Some(message) = self.gear.bus.urgent.next() => self.gear.node.handle_payload(now(), message.payload),
                Some(message) = self.gear.bus.bulk.next() => self.gear.node.handle_payload(now(), message.payload),
                Some((place, postings)) = self.gear.parcels.recv() => self.post(place, postings),
                Some(message) = self.gear.bus.nobody.next() => self.nobody(&message),
                () = due => {}
                else => return,
            }
            self.take_more();
            if self.turn() {
                return;
            }
        }
    }

    /// Takes what else is there already, so that it shares payloads and locks.
    fn take_more(&mut self) {
        for _ in 0..AT_ONCE {
            let urgent = unconstrained(self.gear.bus.urgent.next()).now_or_never().flatten();
            let bulk = unconstrained(self.gear.bus.bulk.next()).now_or_never().flatten();
            let parcels = self.gear.parcels.try_recv().ok();
            if urgent.is_none() && bulk.is_none() && parcels.is_none() {
                return;
            }
            for message in urgent.into_iter().chain(bulk) {
                self.gear.node.handle_payload(now(), message.payload);
            }
            if let Some((place, postings)) = parcels {
                self.post(place, postings);
            }
        }
    }

    fn take_input(&mut self, input: Input) {
        match input {
            Input::Outcome(id, outcome) => self.gear.node.handle_outcome(now(), id, outcome),
            Input::Watched(key, stored) => self.gear.node.handle_watched(now(), &key, &stored),
            Input::Restored(task) => {
                // One that was ended may have said so just before.
                if self.restoring.take_if(|restoring| restoring.id() == task).is_some() {
                    self.stand(self.place.clone());
                }
            }
            Input::RestoredProject(app_id) => {
                if let Some(is_restored) = self.unopened.get_mut(&app_id) {
                    *is_restored = true;
                    self.open_projects();
                }
            }
            // What it said itself it may have said before it served something else.
            Input::About(node, _) if node == self.gear.node.id().name => {}
            Input::About(node, about) => {
                let different =
                    about.served.as_ref().map(|served| differences(&self.served, served)).unwrap_or_default();
                self.served_by.insert(node.clone(), (about.incarnation, about.served.unwrap_or_default()));
                self.open_projects();
                if self.differences.get(&node).is_none_or(|(known, _)| *known != different) {
                    self.differences.insert(node.clone(), (different, false));
                }
                self.said.insert(node.clone(), (about.version, about.sessions));
                self.addresses.insert(node, about.addresses);
            }
            Input::OthersGoOn(node) => {
                warn!("{node} is a member and in touch: this node's clients are sent away");
                self.gear.node.give_up(now());
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Drain => self.gear.node.drain(now()),
            Order::Serve(cores) => self.serve(cores),
            Order::Forget(app_id) => {
                self.places.remove(&app_id);
                self.unopened.remove(&app_id);
                self.said_at = None;
            }
            Order::SayTerms => self.said_at = None,
            Order::Leave => self.leaves_by = Some(now().instant + LAST_WORDS),
        }
    }

    /// Serves one project more.
    fn serve(&mut self, cores: Vec<Arc<Project>>) {
        let Some(app_id) = cores.first().map(|core| core.app_id().clone()) else { return };
        let first = self.gear.projects.len();
        self.places.insert(app_id.clone(), first);
        self.for_projects.extend(cores.iter().map(|_| Vec::new()));
        self.gear.projects.extend(cores.iter().cloned());
        // The other nodes are to know.
        self.said_at = None;
        self.unopened.insert(app_id.clone(), self.gear.store.is_none());
        if self.is_member {
            let (me, view) = (self.gear.node.id().clone(), self.gear.node.view().by_worker());
            for (number, events) in (0..self.gear.workers).zip(&mut self.for_projects[first..]) {
                events.push(FromCluster::Joined(me.worker(number), view.clone()));
            }
            self.hand_over();
            // Cores that know an entry pass it over.
            self.watch_users();
        }
        if let Some(store) = self.gear.store.clone() {
            let input = self.input.clone();
            tokio::spawn(async move {
                store.restore(&cores).await;
                // The driver may have ended.
                let _ = input.send(Input::RestoredProject(app_id));
            });
        }
        self.open_projects();
    }

    /// Opens the projects that were added and that all members serve, in the lives that they have now.
    fn open_projects(&mut self) {
        if self.unopened.is_empty() || !self.is_member {
            return;
        }
        let view = self.gear.node.view();
        let me = self.gear.node.id();
        let lacks = |app_id: &AppId| -> Vec<String> {
            let others = view.members().iter().filter(|member| member.id != *me);
            let serves = |member: &&Member| {
                let served = self.served_by.get(&member.id.name);
                served.is_some_and(|(life, served)| {
                    *life == member.id.incarnation && served.contains_key(app_id.as_str())
                })
            };
            others.filter(|member| !serves(member)).map(|member| member.id.name.to_string()).collect()
        };
        let is_ready = |(app_id, is_restored): &(&AppId, &bool)| **is_restored && lacks(app_id).is_empty();
        let ready: Vec<_> = self.unopened.iter().filter(is_ready).map(|(app_id, _)| app_id.clone()).collect();
        for app_id in ready {
            self.unopened.remove(&app_id);
            self.told_to_wait.remove(&app_id);
            let Some(place) = self.places.get(&app_id) else { continue };
            let cores = self.gear.projects.iter().skip(*place).take(usize::from(self.gear.workers));
            cores.for_each(|core| core.open());
            info!("the project {app_id} is served: all members of the cluster have it");
        }
        for app_id in self.unopened.keys() {
            let missing = lacks(app_id).join(", ");
            if !missing.is_empty() && self.told_to_wait.get(app_id) != Some(&missing) {
                warn!("the project {app_id} is not served before these nodes have it too: {missing}");
                self.told_to_wait.insert(app_id.clone(), missing);
            }
        }
    }

    /// Which of its project's cores the one in this place is.
    fn worker(&self, place: usize) -> u16 {
        u16::try_from(place % usize::from(self.gear.workers)).unwrap_or_default()
    }

    fn nobody(&mut self, message: &async_nats::Message) {
        if let Some(node) = self.gear.bus.nobody_at(message) {
            self.gear.node.handle_no_responders(now(), &node);
        }
    }

    fn post(&mut self, place: usize, postings: Vec<Posting>) {
        let instant = now().instant;
        let app_id = self.gear.projects[place].app_id();
        let worker = self.worker(place);
        self.parcels[0] += postings.len() as u64;
        for posting in postings {
            self.router.post_from(worker, &mut self.gear.node, instant, app_id, posting);
        }
    }

    /// Does what is due and what the node wants. Says whether it is over.
    fn turn(&mut self) -> bool {
        let time = now();
        self.look_at_the_boot_clock(time);
        if self.gear.node.next_timeout().is_some_and(|at| at <= time.instant) {
            self.gear.node.handle_timeout(time);
        }
        let renewed_at = self.gear.node.renewed_at();
        if renewed_at != self.renewed_at {
            self.renewed_at = renewed_at;
            self.gear.figures.set_renewed_at(renewed_at);
        }
        self.say_about(time);
        self.say_that_it_waits(time);
        self.leave_if_heard(time);
        let mut is_over = false;
        loop {
            match self.gear.node.poll_output() {
                NodeOutput::Engine(id, op) => {
                    let (engine, input) = (Arc::clone(&self.gear.engine), self.input.clone());
                    tokio::spawn(async move {
                        // The driver may have ended.
                        let _ = input.send(Input::Outcome(id, engine.membership(op).await));
                    });
                }
                NodeOutput::Publish { to, payload, is_urgent } => {
                    self.gear.bus.publish(time.instant, to, payload, is_urgent);
                }
                NodeOutput::Membership(event) => is_over |= self.membership(event),
                NodeOutput::Post(event) => {
                    self.router.handle(&mut self.gear.node, time.instant, event);
                    self.sort();
                }
                NodeOutput::Wait(_) => break,
            }
        }
        self.permit(time);
        self.sort();
        self.hand_over();
        is_over
    }

    /// Says for how long what the projects want may be written. What they want before they hear of another life of the node,
    /// they want in the one before.
    fn permit(&self, time: Now) {
        let Some(store) = &self.gear.store else { return };
        let node = &self.gear.node;
        store.permits().set(if self.is_member { node.id().incarnation } else { 0 }, node.certain_until(time));
    }

    /// Leaves, if it is to, once no other member waits for anything that was said to it.
    fn leave_if_heard(&mut self, time: Now) {
        let Some(leaves_by) = self.leaves_by else { return };
        while let Ok((place, postings)) = self.gear.parcels.try_recv() {
            self.post(place, postings);
        }
        let is_heard = self.members.iter().all(|node| self.gear.node.waiting_bytes(node) == 0);
        if is_heard || leaves_by <= time.instant {
            self.leaves_by = None;
            self.gear.node.leave(time);
        }
    }

    /// Says now and then whom it waits for. Members that are gone have to be put out first.
    fn say_that_it_waits(&mut self, time: Now) {
        if self.is_member {
            self.outside_at = time.instant;
        } else if time.instant >= self.outside_at + SAY_THAT_IT_WAITS_EVERY {
            self.outside_at = time.instant;
            let view = self.gear.node.view();
            let names: Vec<_> = view.members().iter().map(|member| member.id.name.as_str()).collect();
            if names.is_empty() {
                info!("waiting for NATS to answer");
            } else {
                info!("waiting to be let in by {}, or until those are put out", names.join(", "));
            }
        }
    }

    /// Says now and then how it is.
    fn say_about(&mut self, time: Now) {
        let incarnation = self.gear.node.id().incarnation;
        if incarnation == 0 || self.said_at.is_some_and(|at| time.instant < at + SAY_EVERY) {
            return;
        }
        self.said_at = Some(time.instant);
        let view = self.gear.node.view();
        let sessions: usize = self.gear.projects.iter().map(|project| project.figures().sessions).sum();
        let [sent, received] = self.parcels;
        let parcels = [sent, received, self.router.refused()];
        let mut figures = ClusterFigures { epoch: view.epoch(), parcels, ..ClusterFigures::default() };
        let mut nodes = Vec::new();
        let me = &self.gear.node.id().name;
        for member in view.members() {
            figures.count(member.role);
            figures.post_bytes += self.gear.node.waiting_bytes(&member.id);
            let name = &member.id.name;
            let own = (name == me).then(|| (env!("CARGO_PKG_VERSION").to_owned(), sessions));
            let (version, sessions) = own.or_else(|| self.said.get(name).cloned()).unzip();
            nodes.push(ClusterNode { name: name.to_string(), role: role_name(member.role), version, sessions });
        }
        let nodes = ClusterNodes { node: me.to_string(), epoch: view.epoch(), nodes };
        self.gear.figures.set(figures, nodes);
        self.say_differences();
        let (version, addresses) = (env!("CARGO_PKG_VERSION").to_owned(), self.gear.addresses.clone());
        let terms = |(app_id, place): (&AppId, &usize)| (app_id.to_string(), self.gear.projects[*place].terms());
        self.served = self.places.iter().map(terms).collect();
        for (node, (_, served)) in &self.served_by {
            let different = differences(&self.served, served);
            if self.differences.get(node).is_some_and(|(known, _)| *known != different) {
                self.differences.insert(node.clone(), (different, false));
            }
        }
        let served = Some(self.served.clone());
        let about = About { incarnation, version, sessions, addresses, served };
        let subject = About::subject(&self.gear.names, &self.gear.node.id().name);
        let engine = Arc::clone(&self.gear.engine);
        tokio::spawn(async move { engine.put(subject, about.encode().into()).await });
    }

    /// Says once in what a member serves something else than this node.
    fn say_differences(&mut self) {
        if !self.is_member {
            return;
        }
        for member in self.gear.node.view().members() {
            if let Some((different, is_said)) = self.differences.get_mut(&member.id.name)
                && !different.is_empty()
                && !mem::replace(is_said, true)
            {
                warn!("{} serves something else than this node: {}", member.id.name, different.join("; "));
            }
        }
    }

    /// Sorts what came by post by the projects that it is for.
    fn sort(&mut self) {
        while let Some(for_core) = self.router.take() {
            let (app_id, worker, event) = match for_core {
                ForCore::Parcel { app_id, worker, from, parcel } => {
                    self.parcels[1] += 1;
                    (app_id, worker, FromCluster::Parcel(from, parcel))
                }
                ForCore::Posted { app_id, worker, ticket, posted } => {
                    (app_id, worker, FromCluster::Posted(ticket, posted))
                }
                ForCore::Restarted { from } => {
                    let workers = self.gear.node.view().member(&from).map_or(1, |member| member.workers);
                    for events in &mut self.for_projects {
                        events.extend((0..workers).map(|number| FromCluster::Restarted(from.worker(number))));
                    }
                    continue;
                }
            };
            // A project that this node does not serve is nobody's.
            if let Some(place) = self.places.get(&app_id).filter(|_| worker < self.gear.workers) {
                self.for_projects[*place + usize::from(worker)].push(event);
            }
        }
    }

    fn hand_over(&mut self) {
        for (project, events) in self.gear.projects.iter().zip(&mut self.for_projects) {
            if !events.is_empty() {
                project.handle_cluster(mem::take(events));
            }
        }
    }

    /// Something about membership. Says whether the node is over.
    fn membership(&mut self, event: MembershipEvent) -> bool {
        self.sort();
        match event {
            MembershipEvent::View(view) => {
                self.tell_members(&view);
                let me = self.gear.node.id().clone();
                self.gear.bus.retain(|node| view.has(node));
                let has_joined = !mem::replace(&mut self.is_member, true);
                let by_worker = view.by_worker();
                for (number, events) in (0..self.gear.workers).cycle().zip(&mut self.for_projects) {
                    let view = by_worker.clone();
                    events.push(if has_joined {
                        FromCluster::Joined(me.worker(number), view)
                    } else {
                        FromCluster::View(view)
                    });
                }
                if has_joined {
                    self.permit(now());
                    self.hand_over();
                    self.watch_users();
                    self.restore();
                }
                self.stand_as_member();
                self.open_projects();
            }
            MembershipEvent::LeftOut(why) => {
                self.is_member = false;
                self.search.take().inspect(AbortHandle::abort);
                self.users_watch.take().inspect(AbortHandle::abort);
                self.restoring.take().inspect(AbortHandle::abort);
                self.router.clear();
                for events in &mut self.for_projects {
                    events.push(FromCluster::LeftOut);
                }
                self.permit(now());
                self.hand_over();
                match why {
                    Left::Asked => {
                        info!("left the cluster");
                        self.stand(Place::Left);
                        return true;
                    }
                    Left::PutOut => {
                        error!("the others went on without this node: its clients are sent away, and it joins anew");
                    }
                    Left::GaveUp => warn!("out of touch with NATS for too long: this node joins anew when it can"),
                }
                self.stand(Place::Joining);
            }
            MembershipEvent::Isolated => {
                warn!("out of touch with NATS: only what stays on this node goes on");
                self.stand(Place::Isolated);
            }
            MembershipEvent::Reachable => {
                info!("in touch with NATS again");
                self.search.take().inspect(AbortHandle::abort);
                self.stand_as_member();
            }
            MembershipEvent::IsolatedTooLong => {
                warn!("still out of touch with NATS: clients stay unless another node is a member and in touch");
                self.search_for_others();
            }
            MembershipEvent::TooOld { proto } => {
                let what =
                    format!("all members of the cluster speak version {proto}, which this server is too old for");
                self.stand(Place::Refused(ClusterError::new(ClusterErrorKind::TooOld, what)));
                return true;
            }
            MembershipEvent::NameTaken => {
                let name = &self.gear.node.id().name;
                let what = format!("another server is in the cluster as {name}: give this one another name (--node)");
                self.stand(Place::Refused(ClusterError::new(ClusterErrorKind::NameTaken, what)));
                return true;
            }
        }
        false
    }

    /// Looks for a node that is better off than this one.
    fn search_for_others(&mut self) {
        let view = self.gear.node.view();
        let me = &self.gear.node.id().name;
        let is_other = |name: &NodeName| name != me && view.members().iter().any(|member| member.id.name == *name);
        let mut others = self.addresses.clone();
        others.retain(|name, _| is_other(name));
        let input = self.input.clone();
        let search = tokio::spawn(async move {
            let node = find_member(others).await;
            let _ = input.send(Input::OthersGoOn(node));
        });
        self.search = Some(search.abort_handle());
    }

    /// Says who is a member, when that has changed.
    fn tell_members(&mut self, view: &View) {
        let members: Vec<_> = view.members().iter().map(|member| member.id.clone()).collect();
        if members != self.members {
            let names: Vec<_> = members.iter().map(|id| id.name.as_str()).collect();
            info!(epoch = view.epoch(), "the cluster's members are {}", names.join(", "));
            self.members = members;
            // Whoever asks for all nodes is to ask these.
            self.said_at = None;
        }
    }

    /// Says how it stands as a member.
    fn stand_as_member(&mut self) {
        let (node, now) = (&self.gear.node, now());
        if node.standing(now) == Standing::Isolated {
            return self.stand(Place::Isolated);
        }
        let is_other = |member: &&Member| member.id != *node.id() && member.role != Role::Draining;
        let others = node.view().members().iter().filter(is_other).count();
        self.stand(Place::Member { others });
    }

    fn stand(&mut self, place: Place) {
        self.place = place.clone();
        let is_serving = matches!(place, Place::Member { .. } | Place::Isolated);
        let place = if is_serving && self.restoring.is_some() { Place::Joining } else { place };
        self.gear.place.send_replace(place);
    }

    /// The cores that have just joined get what the store has.
    fn restore(&mut self) {
        let Some(store) = self.gear.store.clone() else { return };
        let (projects, input) = (self.gear.projects.clone(), self.input.clone());
        let task = async move {
            store.restore(&projects).await;
            // The driver may have ended.
            let _ = input.send(Input::Restored(task::id()));
        };
        self.restoring = Some(tokio::spawn(task).abort_handle());
    }

    /// The cores that have just joined hear where each user is.
    fn watch_users(&mut self) {
        let (names, places) = (self.gear.names.clone(), self.places.clone());
        let (projects, workers) = (self.gear.projects.clone(), usize::from(self.gear.workers));
        let task = watch_bucket(self.gear.jetstream.clone(), names.bucket(USERS), move |changes| {
            let mut events: Vec<Vec<_>> = projects.iter().map(|_| Vec::new()).collect();
            for (revision, message) in changes {
                if let Some((app_id, user_id, entry)) = watched_user(&names, &message, revision)
                    && let Some(place) = places.get(&app_id)
                {
                    for events in &mut events[*place..*place + workers] {
                        events.push(FromCluster::Entry(user_id.clone(), entry.clone()));
                    }
                }
            }
            for (project, events) in projects.iter().zip(events) {
                if !events.is_empty() {
                    project.handle_cluster(events);
                }
            }
        });
        if let Some(before) = self.users_watch.replace(tokio::spawn(task).abort_handle()) {
            before.abort();
        }
    }

    /// While the computer slept, others may have gone on.
    fn look_at_the_boot_clock(&mut self, time: Now) {
        let ahead = boot_ahead();
        if ahead.abs_diff(self.boot_ahead) > JUMP {
            self.gear.node.handle_jump(time);
        }
        self.boot_ahead = ahead;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.nodes_watch.abort();
        self.search.take().inspect(AbortHandle::abort);
        self.users_watch.take().inspect(AbortHandle::abort);
        self.restoring.take().inspect(AbortHandle::abort);
    }
}

/// Does what the cores ask of the engine, until they are gone.
pub(crate) async fn serve_jobs(mut jobs: UnboundedReceiver<Job>, engine: Arc<Engine>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            job = jobs.recv() => {
                let Some((project, job)) = job else { return };
                let engine = Arc::clone(&engine);
                open.spawn(async move {
                    let answer = engine.users(project.app_id(), &job.user_id, &job.work).await;
                    project.handle_cluster(vec![FromCluster::Answer(job.id, answer)]);
                });
            }
            Some(_) = open.join_next() => {}
        }
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Edge => "edge",
        Role::Home => "home",
        Role::Draining => "draining",
    }
}

/// How far the clock that counts while the computer sleeps is ahead of the one that does not.
fn boot_ahead() -> Duration {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let read = |clock| {
            let time = clock_gettime(clock);
            Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
        };
        read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
    }
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

/// How long a node that leaves waits for the others to take what it said last: they forward it, or tell of it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much is taken before the node does what comes of it.
const AT_ONCE: usize = 256;

/// How often a node says how it is.
const SAY_EVERY: Duration = Duration::from_secs(2);
const SAY_THAT_IT_WAITS_EVERY: Duration = Duration::from_secs(10);

/// So much more or less on the clock that counts while the computer sleeps is a sleep.
const JUMP: Duration = Duration::from_secs(1);
