//! This server as a node of a cluster on NATS.

mod about;
mod bus;
#[cfg(feature = "admin")]
mod calls;
pub(crate) mod config;
mod connection;
pub(crate) mod contact;
mod denied;
mod driver;
mod engine;
pub(crate) mod error;
mod figures;
pub(crate) mod names;
mod others;
mod permits;
mod probe;
mod requests;
pub(crate) mod served;
pub(crate) mod store;
pub(crate) mod streams;
mod watch;

use std::{net::SocketAddr, sync::Arc};

use rtm_codec::AppId;
use rtm_core::cluster::{MembershipConfig, Node, NodeConfig, NodeName, PostConfig};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch::{self as latest, Receiver},
    },
    task::JoinHandle,
};

use self::{
    bus::Bus,
    connection::{Connections, Told},
    contact::OwnContact,
    driver::{Driver, Gear, Order, serve_jobs},
    engine::Engine,
    error::NotDone,
    names::{NODES, Names, USERS},
    requests::Requests,
    store::{NatsStore, NodeStore},
    streams::{Streams, bucket},
};
use crate::{
    address::host_and_port_here,
    link::{Job, Link, Parcels},
    project::{Project, now},
};

pub use config::{ClusterConfig, ClusterName, InvalidClusterName, InvalidNatsUrl, NatsTls, NatsUrl};
pub use error::{ClusterError, ClusterErrorKind};
pub use probe::{ClusterProbe, ClusterStatus, NodeState, NodeStatus, Whereabouts};
pub use store::ClusterStore;

#[cfg(feature = "admin")]
pub(crate) use calls::{Answerer, NodeCalls, NotAnswered};
pub(crate) use driver::Place;
pub(crate) use figures::Figures;
#[cfg(feature = "admin")]
pub(crate) use figures::{ClusterFigures, ClusterNode, ClusterNodes};

/// Where the projects of a server put what they have for other nodes, until there is a node.
#[derive(Debug)]
pub(crate) struct Mail {
    parcels: (UnboundedSender<Parcels>, UnboundedReceiver<Parcels>),
    jobs: (UnboundedSender<Job>, UnboundedReceiver<Job>),
    orders: (UnboundedSender<Order>, UnboundedReceiver<Order>),
    /// How many cores each project has.
    workers: u16,
}

/// The way to the node.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    parcels: UnboundedSender<Parcels>,
    jobs: UnboundedSender<Job>,
    orders: UnboundedSender<Order>,
}

/// The node that a server is.
#[derive(Debug)]
pub(crate) struct Member {
    orders: UnboundedSender<Order>,
    place: Receiver<Place>,
    #[cfg(feature = "admin")]
    figures: Arc<Figures>,
    #[cfg(feature = "admin")]
    calls: NodeCalls,
    #[cfg(feature = "admin")]
    name: NodeName,
    tasks: Vec<JoinHandle<()>>,
}

impl Mail {
    pub(crate) fn new(workers: u16) -> Self {
        Self { parcels: unbounded_channel(), jobs: unbounded_channel(), orders: unbounded_channel(), workers }
    }

    /// Where it is put.
    pub(crate) fn mailbox(&self) -> Mailbox {
        let (parcels, jobs, orders) = (self.parcels.0.clone(), self.jobs.0.clone(), self.orders.0.clone());
        Mailbox { parcels, jobs, orders }
    }
}

impl Mailbox {
    /// The way for the core in this place.
    pub(crate) fn link(&self, place: usize) -> Link {
        Link::Node { place, parcels: self.parcels.clone(), jobs: self.jobs.clone() }
    }

    /// The node serves one project more: its cores have the places behind all others.
    pub(crate) fn serve(&self, cores: Vec<Arc<Project>>) {
        let _ = self.orders.send(Order::Serve(cores));
    }

    /// The node does not serve a project any more.
    pub(crate) fn forget(&self, app_id: AppId) {
        let _ = self.orders.send(Order::Forget(app_id));
    }

    /// Projects go by other terms.
    pub(crate) fn say_terms(&self) {
        let _ = self.orders.send(Order::SayTerms);
    }
}

impl Member {
    /// Connects to NATS, sees to the cluster's buckets, and starts the node.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]. For what passes by itself it waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind but buckets.
    pub(crate) async fn start(
        config: &ClusterConfig,
        name: NodeName,
        contact: OwnContact,
        projects: Vec<Arc<Project>>,
        mail: Mail,
        store: Option<Arc<NodeStore>>,
        seed: u64,
    ) -> Result<Self, ClusterError> {
        let connections = Connections::open(config, &format!("rtm {name}")).await?;
        let names = Names::new(config.name.as_str());
        let jetstream = async_nats::jetstream::new(connections.urgent.clone());
        let streams = Streams::new(jetstream.clone(), config);
        let mut told = Told::default();
        let (requests, bus) = loop {
            let prepared = async {
                for what in [NODES, USERS] {
                    streams.ensure(bucket(&names.bucket(what))).await?;
                }
                if let Some(store) = &store {
                    let client = connections.store.clone();
                    store.found(NatsStore::open(client, Some(&streams), &names, seed.rotate_left(32)).await?);
                }
                let requests = Requests::new(connections.urgent.clone()).await?;
                Ok((requests, Bus::open(connections.clone(), names.clone(), &name).await?))
            };
            // What is denied gets no answer.
            let prepared = tokio::select! {
                prepared = prepared => prepared,
                error = connections.denied.wait() => Err(NotDone::Never(error)),
            };
            match prepared {
                Ok(prepared) => break prepared,
                Err(NotDone::Never(error)) => return Err(error),
                Err(NotDone::NotNow(what)) => told.wait(&what).await,
            }
        };
        let engine = Arc::new(Engine::new(requests, names.clone()));
        #[cfg(feature = "admin")]
        let calls = NodeCalls::new(connections.bulk.clone(), names.clone());
        let mut membership = MembershipConfig::new(name.clone());
        membership.isolated_for = config.isolated_for;
        membership.workers = mail.workers;
        let mut post = PostConfig::default();
        post.payload_bytes = post.payload_bytes.min(connections.payload_bytes());
        let (orders, obeyed) = mail.orders;
        let (place, seen) = latest::channel(Place::Joining);
        let figures = Arc::<Figures>::default();
        let jobs = serve_jobs(mail.jobs.1, Arc::clone(&engine));
        let driver = Driver::new(Gear {
            node: Node::new(NodeConfig { membership, post }, seed, now()),
            bus,
            engine,
            jetstream,
            store_jetstream: async_nats::jetstream::new(connections.store.clone()),
            names,
            projects,
            workers: mail.workers,
            store,
            parcels: mail.parcels.1,
            orders: obeyed,
            contact,
            place,
            figures: Arc::clone(&figures),
            denied: connections.denied,
        });
        let tasks = vec![tokio::spawn(driver.run()), tokio::spawn(jobs)];
        Ok(Self {
            orders,
            place: seen,
            #[cfg(feature = "admin")]
            figures,
            #[cfg(feature = "admin")]
            calls,
            #[cfg(feature = "admin")]
            name,
            tasks,
        })
    }

    /// What the node says of the cluster, for metrics.
    #[cfg(feature = "admin")]
    pub(crate) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    #[cfg(feature = "admin")]
    pub(crate) fn name(&self) -> NodeName {
        self.name.clone()
    }

    /// The way to the other nodes.
    #[cfg(feature = "admin")]
    pub(crate) fn calls(&self) -> NodeCalls {
        self.calls.clone()
    }

    /// Has what other nodes ask of this one answered, until it is dropped.
    #[cfg(feature = "admin")]
    pub(crate) fn answer_calls(&mut self, answerer: Answerer) {
        self.tasks.push(self.calls.answer(&self.name, answerer));
    }

    /// Where the node stands, now and when that changes.
    pub(crate) fn place(&self) -> Receiver<Place> {
        self.place.clone()
    }

    /// Waits until the node is a member.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if it cannot be.
    pub(crate) async fn joined(&self) -> Result<(), ClusterError> {
        let mut place = self.place();
        let seen = place.wait_for(|place| matches!(place, Place::Member { .. } | Place::Refused(_))).await;
        match seen.map(|place| place.clone()) {
            Ok(Place::Refused(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until the node cannot join any more, after it was a member.
    pub(crate) async fn refused(&self) -> ClusterError {
        let mut place = self.place();
        if let Ok(place) = place.wait_for(|place| matches!(place, Place::Refused(_))).await
            && let Place::Refused(error) = &*place
        {
            return error.clone();
        }
        // It has left.
        std::future::pending().await
    }

    /// Whether there is no other member that could take its sessions, or none that it is in touch with.
    pub(crate) fn is_alone(&self) -> bool {
        !matches!(*self.place.borrow(), Place::Member { others: 1.. })
    }

    /// The node gives away what it is the home of.
    pub(crate) fn drain(&self) {
        let _ = self.orders.send(Order::Drain);
    }

    /// The node leaves. Ends when it has.
    pub(crate) async fn leave(&self) {
        let _ = self.orders.send(Order::Leave);
        // Its sender goes when the node is over.
        let _ = self.place().wait_for(|place| *place == Place::Left).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The name of a node that was given none: the host's, and the port that it listens at.
pub(crate) fn usual_name(address: Option<&SocketAddr>) -> NodeName {
    NodeName::new(&host_and_port_here(address)).expect("visible characters, and not too many")
}
