//! The task that has the node: it gives it time, what NATS brings and what its projects say, and does what the node says.

mod about;
mod clock;
mod membership;
mod orders;
mod place;
mod projects;
mod served;
mod watches;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::Context;
use futures::{FutureExt as _, StreamExt as _};
use rtm_codec::AppId;
use rtm_core::cluster::{EngineKey, Node, NodeId, NodeName, NodeOutput, OpId, Outcome, Router, Stored};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    task::{self, AbortHandle, unconstrained},
    time::sleep_until,
};
use tracing::{error, warn};

pub(crate) use self::place::Place;
use self::{
    clock::boot_ahead,
    served::Unopened,
    watches::{watch_denied, watch_nodes},
};
pub(super) use self::{orders::Order, projects::serve_jobs};
use super::{
    about::About,
    bus::Bus,
    contact::{Contact, OwnContact},
    denied::Denied,
    engine::Engine,
    error::ClusterError,
    figures::Figures,
    names::Names,
    served::Served,
    store::NodeStore,
};
use crate::{
    link::{FromCluster, Parcels},
    project::{Project, now},
};

/// What comes to the driver by itself.
#[derive(Debug)]
enum Input {
    Outcome(OpId, Outcome),
    Watched(EngineKey, Stored),
    /// A task has given the projects what the store has.
    Restored(task::Id),
    /// What a node says of itself.
    About(NodeName, Box<About>),
    /// An added project has what the store has of it.
    RestoredProject(AppId),
    /// Another node says that it is a member, while this one is out of touch.
    OthersGoOn(NodeName),
    /// NATS does not permit something.
    Denied(ClusterError),
}

/// What a driver is given.
pub(crate) struct Gear {
    pub(crate) node: Node,
    pub(crate) bus: Bus,
    pub(crate) engine: Arc<Engine>,
    pub(crate) jetstream: Context,
    /// The same over the connection of the store: what comes there may be much.
    pub(crate) store_jetstream: Context,
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
    pub(crate) contact: OwnContact,
    pub(crate) place: watch::Sender<Place>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) denied: Denied,
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
    /// What the node says of itself is more than NATS takes, and that was told.
    is_about_too_large: bool,
    /// When it was said last that this node waits to be let in, or when it began to.
    outside_at: Instant,
    /// Where other nodes say whether they are members.
    contacts: BTreeMap<NodeName, Contact>,
    /// The versions of other nodes, and how many sessions they had at last.
    said: BTreeMap<NodeName, (String, usize)>,
    /// How many parcels were sent and came.
    parcels: [u64; 2],
    /// The last acknowledged renewal of the lease, as those know who look.
    renewed_at: Option<Instant>,
    served: Served,
    /// Projects that are not served, until all members have them.
    unopened: BTreeMap<AppId, Unopened>,
    /// Until when the members may say what they serve, from the first join on.
    said_by: Option<Instant>,
    /// They have, or did not in time: nobody is served before.
    is_settled: bool,
    /// Which nodes were named as those that a project waits for.
    told_to_wait: BTreeMap<AppId, String>,
    /// What other nodes say that they serve, if they say so, and in which of their lives.
    served_by: BTreeMap<NodeName, (u64, Option<Served>)>,
    /// In what other nodes differ from this one in what they serve, and whether that was said.
    differences: BTreeMap<NodeName, (Vec<String>, bool)>,
    /// Looks for one that is, while this node has been out of touch for too long.
    search: Option<AbortHandle>,
    nodes_watch: AbortHandle,
    denied_watch: AbortHandle,
    users_watch: Option<AbortHandle>,
    attributes_watch: Option<AbortHandle>,
    /// How far the clock that counts while the computer sleeps is ahead of the other one.
    boot_ahead: Duration,
}

impl Driver {
    pub(crate) fn new(gear: Gear) -> Self {
        let (input, inputs) = unbounded_channel();
        let firsts = gear.projects.iter().enumerate().step_by(usize::from(gear.workers));
        let places = firsts.clone().map(|(place, project)| (project.app_id().clone(), place)).collect();
        let served = firsts.clone().map(|(_, project)| (project.app_id().to_string(), project.terms())).collect();
        let unopened = firsts.map(|(_, project)| (project.app_id().clone(), Unopened::AtStart)).collect();
        gear.projects.iter().for_each(|core| core.keep_shut());
        let nodes_watch = watch_nodes(&gear, input.clone());
        let denied_watch = watch_denied(&gear, input.clone());
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
            is_about_too_large: false,
            outside_at: now().instant,
            contacts: BTreeMap::new(),
            said: BTreeMap::new(),
            parcels: [0; 2],
            renewed_at: None,
            served,
            unopened,
            said_by: None,
            is_settled: false,
            told_to_wait: BTreeMap::new(),
            served_by: BTreeMap::new(),
            differences: BTreeMap::new(),
            search: None,
            nodes_watch,
            denied_watch,
            users_watch: None,
            attributes_watch: None,
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
                Some(input) = self.inputs.recv() => if self.take_input(input) {
                    return;
                },
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
            let nobody = unconstrained(self.gear.bus.nobody.next()).now_or_never().flatten();
            if urgent.is_none() && bulk.is_none() && parcels.is_none() && nobody.is_none() {
                return;
            }
            for message in urgent.into_iter().chain(bulk) {
                self.gear.node.handle_payload(now(), message.payload);
            }
            if let Some((place, postings)) = parcels {
                self.post(place, postings);
            }
            // With much to do, the turn that waits for it does not come.
            if let Some(message) = nobody {
                self.nobody(&message);
            }
        }
    }

    /// Takes what comes by itself. Says whether the node is over.
    fn take_input(&mut self, input: Input) -> bool {
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
                if let Some(unopened) = self.unopened.get_mut(&app_id) {
                    *unopened = Unopened::Added { is_restored: true };
                    self.open_projects();
                }
            }
            // What it said itself it may have said before it served something else.
            Input::About(node, _) if node == self.gear.node.id().name => {}
            Input::About(node, about) => self.heard_about(node, *about),
            Input::OthersGoOn(node) => {
                warn!("{node} is a member and in touch: this node's clients are sent away");
                self.gear.node.give_up(now());
            }
            // One that was a member goes on with what it may still do.
            Input::Denied(error) if self.members.is_empty() => {
                self.stand(Place::Refused(error));
                return true;
            }
            Input::Denied(error) => error!("{error}"),
        }
        false
    }

    fn nobody(&mut self, message: &async_nats::Message) {
        if let Some(node) = self.gear.bus.nobody_at(message) {
            self.gear.node.handle_no_responders(now(), &node);
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
        if !self.is_settled {
            self.open_projects();
        }
        self.leave_if_heard(time);
        let mut is_over = false;
        while let Some(output) = self.gear.node.poll_before_acks() {
            is_over |= self.follow(time.instant, output);
        }
        self.tell_projects(time);
        // What the projects say to what came goes with its acknowledgement.
        for _ in 0..AT_ONCE {
            let Ok((place, postings)) = self.gear.parcels.try_recv() else { break };
            self.post(place, postings);
        }
        loop {
            match self.gear.node.poll_output() {
                NodeOutput::Wait(_) => break,
                output => is_over |= self.follow(time.instant, output),
            }
        }
        self.tell_projects(time);
        is_over
    }

    /// Does what the node wants. Says whether it is over.
    fn follow(&mut self, now: Instant, output: NodeOutput) -> bool {
        match output {
            NodeOutput::Engine(id, op) => {
                let (engine, input) = (Arc::clone(&self.gear.engine), self.input.clone());
                tokio::spawn(async move {
                    // The driver may have ended.
                    let _ = input.send(Input::Outcome(id, engine.membership(op).await));
                });
            }
            NodeOutput::Publish { to, payload, is_urgent } => self.gear.bus.publish(now, to, payload, is_urgent),
            NodeOutput::Membership(event) => return self.membership(event),
            NodeOutput::Post(event) => {
                self.router.handle(&mut self.gear.node, now, event);
                self.sort();
            }
            NodeOutput::Wait(_) => {}
        }
        false
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.nodes_watch.abort();
        self.denied_watch.abort();
        self.search.take().inspect(AbortHandle::abort);
        self.users_watch.take().inspect(AbortHandle::abort);
        self.attributes_watch.take().inspect(AbortHandle::abort);
        self.restoring.take().inspect(AbortHandle::abort);
    }
}

/// How much is taken before the node does what comes of it.
const AT_ONCE: usize = 256;
