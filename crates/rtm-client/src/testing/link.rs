//! A device's way into the network, and what a test does to it.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{io::duplex, runtime::Handle, sync::watch, time::sleep};

use super::{Conditions, Incoming, Network, State, Stream, stream};
use crate::{
    Client, ClientBuilder, Events,
    address::Address,
    error::BuildError,
    network::{self, Io},
};

/// A device's way into a [`Network`]. All clones are the same link. All clients of a link are cut off together.
#[derive(Clone)]
pub struct Link {
    network: Network,
    number: u32,
    conditions: Arc<watch::Sender<Conditions>>,
    /// The port of the last connection.
    port: Arc<std::sync::atomic::AtomicU16>,
}

impl Link {
    pub(super) fn new(network: Network, number: u32, conditions: Arc<watch::Sender<Conditions>>) -> Self {
        Self { network, number, conditions, port: Arc::default() }
    }

    /// Makes a client as [`ClientBuilder::build`] does. Its connections go through this link. Its gateway is
    /// `http://rtm.test` unless you set one. Nothing is encrypted, whatever the gateway's scheme is.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`].
    pub fn client(&self, builder: ClientBuilder) -> Result<(Client, Events), BuildError> {
        let (client, events, driver) = builder.or_gateway(GATEWAY).assemble(self.clone())?;
        Handle::try_current().map_err(|_| BuildError::NoRuntime)?.spawn(driver.run());
        Ok((client, events))
    }

    /// Ends all connections at once, so that both sides see it, as when an access point or a proxy restarts. New ones can
    /// be made right away.
    pub fn cut(&self) {
        self.conditions.send_modify(|conditions| conditions.cuts += 1);
    }

    /// Stops all traffic silently, as when a train is in a tunnel or a network is divided: connections stay open and
    /// carry nothing, and new ones get no answer.
    pub fn stall(&self) {
        self.conditions.send_modify(|conditions| conditions.state = State::Stalled);
    }

    /// Ends all connections and refuses new ones, as when nobody listens at the server's port.
    pub fn refuse(&self) {
        self.conditions.send_modify(Conditions::refuse);
    }

    /// Ends [`stall`](Self::stall) and [`refuse`](Self::refuse). What waited in connections that are still open arrives.
    pub fn restore(&self) {
        self.conditions.send_modify(|conditions| conditions.state = State::Open);
    }

    /// Delays everything sent from now on by this time in each direction. Opening a connection takes twice as long.
    pub fn delay(&self, one_way: Duration) {
        self.conditions.send_modify(|conditions| conditions.delay = one_way);
    }

    /// The address that the server sees, without its port.
    #[must_use]
    pub fn ip(&self) -> std::net::IpAddr {
        std::net::Ipv4Addr::from_bits(FIRST_ADDRESS.saturating_add(self.number)).into()
    }
}

impl network::Network for Link {
    async fn connect(&self, address: &Address) -> io::Result<Box<dyn Io>> {
        let mut conditions = self.conditions.subscribe();
        let is_moving = |conditions: &Conditions| conditions.state != State::Stalled;
        // The sender is this link, which is here.
        let delay = conditions.wait_for(is_moving).await.map(|now| now.delay).unwrap_or_default();
        sleep(delay.saturating_mul(2)).await;
        // What was done to the link meanwhile counts.
        if conditions.wait_for(is_moving).await.is_ok_and(|now| now.state == State::Refused) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (client, clients_end) = duplex(stream::BUFFER);
        let (server, servers_end) = duplex(stream::BUFFER);
        stream::carry(clients_end, servers_end, &conditions);
        let port = self.port.fetch_add(1, std::sync::atomic::Ordering::Relaxed).wrapping_add(1);
        let incoming = Incoming {
            stream: Stream::new(server),
            from: SocketAddr::new(self.ip(), port),
            to: format!("{}:{}", address.host, address.port),
        };
        let network = self.network.clone();
        tokio::spawn(async move { (network.inner.serve)(incoming).await });
        Ok(Box::new(client))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("ip", &self.ip()).field("conditions", &self.conditions.borrow()).finish()
    }
}

const GATEWAY: &str = "http://rtm.test";
/// 10.0.0.0
const FIRST_ADDRESS: u32 = 0x0A00_0000;
