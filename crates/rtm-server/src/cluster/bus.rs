//! The bus: what nodes say to each other goes from one's subject to the other's, and may be lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use async_nats::{Client, Message, StatusCode, Subject, Subscriber, connection::State};
use bytes::Bytes;
use futures::FutureExt as _;
use rtm_core::cluster::{NodeId, NodeName};
use tokio::{task::unconstrained, time::timeout};

use super::{
    connection::Connections,
    error::NotDone,
    names::{Names, escape, unescape},
};

/// The bus as one node sees it.
#[derive(Debug)]
pub(crate) struct Bus {
    connections: Connections,
    names: Names,
    /// What is said to this node: what goes ahead, and what does not.
    pub(crate) urgent: Subscriber,
    pub(crate) bulk: Subscriber,
    /// Where NATS says that nobody listens to a node.
    pub(crate) nobody: Subscriber,
    inbox: String,
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    urgent: Subject,
    bulk: Subject,
    inbox: Subject,
    /// When NATS was to say last whether somebody listens.
    asked_at: Option<Instant>,
}

impl Bus {
    /// Listens to what is said to a node.
    ///
    /// # Errors
    ///
    /// [`NotDone::NotNow`].
    pub(crate) async fn open(connections: Connections, names: Names, me: &NodeName) -> Result<Self, NotDone> {
        let inbox = connections.urgent.new_inbox();
        let urgent = subscribe(&connections.urgent, names.urgent(me)).await?;
        let bulk = subscribe(&connections.bulk, names.bulk(me)).await?;
        let nobody = subscribe(&connections.urgent, format!("{inbox}.>")).await?;
        Ok(Self { connections, names, urgent, bulk, nobody, inbox, peers: BTreeMap::new() })
    }

    /// Says something to a node. It is lost where NATS is away, or takes it too slowly.
    pub(crate) fn publish(&mut self, now: Instant, to: NodeId, payload: Bytes, is_urgent: bool) {
        let client = if is_urgent { &self.connections.urgent } else { &self.connections.bulk };
        // What async-nats keeps for the time of a reconnect would be old by then.
        if client.connection_state() != State::Connected {
            return;
        }
        let (names, inbox) = (&self.names, &self.inbox);
        let peer = self.peers.entry(to).or_insert_with_key(|to| Peer {
            urgent: names.urgent(&to.name).into(),
            bulk: names.bulk(&to.name).into(),
            inbox: format!("{inbox}.{}.{}", escape(to.name.as_str()), to.incarnation).into(),
            asked_at: None,
        });
        let asks = is_urgent && peer.asked_at.is_none_or(|at| now >= at + ASK_EVERY);
        if asks {
            peer.asked_at = Some(now);
            let publish = client.publish_with_reply(peer.urgent.clone(), peer.inbox.clone(), payload);
            let _ = unconstrained(publish).now_or_never();
        } else {
            let subject = if is_urgent { &peer.urgent } else { &peer.bulk };
            let _ = unconstrained(client.publish(subject.clone(), payload)).now_or_never();
        }
    }

    /// The largest payload that NATS takes.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.connections.payload_bytes()
    }

    /// Forgets those that this does not hold of.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&NodeId) -> bool) {
        self.peers.retain(|node, _| is_there(node));
    }

    /// To whom nobody listens, as a message to the inbox says.
    pub(crate) fn nobody_at(&self, message: &Message) -> Option<NodeId> {
        if message.status != Some(StatusCode::NO_RESPONDERS) {
            return None;
        }
        let (name, incarnation) = message.subject.strip_prefix(&self.inbox)?.strip_prefix('.')?.split_once('.')?;
        Some(NodeId { name: NodeName::new(&unescape(name)?).ok()?, incarnation: incarnation.parse().ok()? })
    }
}

async fn subscribe(client: &Client, subject: String) -> Result<Subscriber, NotDone> {
    match timeout(SUBSCRIBE_WITHIN, client.subscribe(subject)).await {
        Ok(Ok(subscriber)) => Ok(subscriber),
        Ok(Err(error)) => Err(NotDone::NotNow(format!("cannot subscribe to anything on NATS: {error}"))),
        Err(_) => Err(NotDone::NotNow("cannot subscribe to anything on NATS".to_owned())),
    }
}

/// How often NATS is to say whether somebody listens to a node.
const ASK_EVERY: Duration = Duration::from_millis(250);
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(2);
