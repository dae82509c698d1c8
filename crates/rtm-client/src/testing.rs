//! For tests of your own application: a network in memory between clients and a server in the same process. Its links can
//! be cut, stalled, refused and slowed down. With tokio's clock stopped, minutes pass in milliseconds.
//!
//! ```
//! use std::time::Duration;
//!
//! use rtm_client::{
//!     Client, RtmEvent,
//!     testing::{Network, wait_for},
//! };
//! use rtm_server::{AppId, Server};
//! use tokio::time::sleep;
//!
//! const APP_ID: &str = "0123456789abcdef0123456789abcdef";
//!
//! // In a test: #[tokio::test(start_paused = true)]
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A real server, which listens nowhere, and the network that leads to it.
//!     let server = Server::builder().project(AppId::new(APP_ID)?).build().await?;
//!     let handle = server.handle();
//!     let network = Network::new(move |incoming| {
//!         let server = handle.clone();
//!         async move { server.serve(incoming.stream, incoming.from).await }
//!     });
//!
//!     // Each link is a device's way into the network.
//!     let (alice, _events) = network.link().client(Client::builder().app_id(APP_ID))?;
//!     alice.login("alice", None).await?;
//!     let tunnel = network.link();
//!     let (bob, mut events) = tunnel.client(Client::builder().app_id(APP_ID))?;
//!     bob.login("bob", None).await?;
//!
//!     // Bob's train is in a tunnel for twenty seconds. What Alice sends reaches him afterwards.
//!     tunnel.stall();
//!     let sending = tokio::spawn(alice.send_message_to_peer("bob", "are you there?"));
//!     sleep(Duration::from_secs(20)).await;
//!     tunnel.restore();
//!     wait_for(&mut events, |event| matches!(event, RtmEvent::MessageFromPeer { .. }).then_some(())).await?;
//!     sending.await??;
//!     Ok(())
//! }
//! ```
//!
//! A stopped clock goes on by itself to the next deadline whenever no task has anything to do. It does not wait for other
//! threads: give the server no data directory, and have your application read no files or sockets meanwhile.

mod link;
mod stream;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use rtm_connection::RtmEvent;
use tokio::{sync::watch, time::timeout};

pub use self::{link::Link, stream::Stream};
use crate::Events;

/// A network in memory that leads to one server. All clones are the same network.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    serve: Serve,
    links: Mutex<Links>,
}

type Serve = Box<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Default)]
struct Links {
    /// The links that are left.
    made: Vec<Weak<watch::Sender<Conditions>>>,
    /// How many there were.
    count: u32,
    /// What the next one begins with.
    conditions: Conditions,
}

/// A connection that arrives at the server.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The server's end of it.
    pub stream: Stream,
    /// The client's address. Each link has one of its own; ports count up.
    pub from: SocketAddr,
    /// Where the client wants to connect to, as `host:port`: its gateway, or what that has named.
    pub to: String,
}

/// What a link is like.
#[derive(Debug, Clone, Copy, Default)]
struct Conditions {
    state: State,
    /// From one end to the other.
    delay: Duration,
    /// How often its connections were cut.
    cuts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// It carries what it is given.
    #[default]
    Open,
    /// Nothing moves.
    Stalled,
    /// It makes no connections.
    Refused,
}

/// The event that a test waited for did not come.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no such event came within {} s{}; instead: {}", .within.as_secs_f64(), if *.has_ended { ", and the client has ended" } else { "" }, list(.came))]
#[non_exhaustive]
pub struct NoSuchEvent {
    /// How long the test waited, at most.
    pub within: Duration,
    /// The events that came.
    pub came: Vec<RtmEvent>,
    /// Whether the client is gone, so that no more events can come.
    pub has_ended: bool,
}

impl Network {
    /// Makes a network that calls `serve` with each connection, in a task of its own.
    ///
    /// For a server of this project's: `move |incoming| { let server = handle.clone(); async move {
    /// server.serve(incoming.stream, incoming.from).await } }`.
    pub fn new<F, S>(serve: S) -> Self
    where
        S: Fn(Incoming) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
    {
        let serve: Serve = Box::new(move |incoming| {
            let served = serve(incoming);
            Box::pin(async move { drop(served.await) })
        });
        Self { inner: Arc::new(Inner { serve, links: Mutex::default() }) }
    }

    /// A new link: a device's own way into the network, with an address of its own.
    #[must_use]
    pub fn link(&self) -> Link {
        let mut links = self.links();
        links.count += 1;
        let conditions = Arc::new(watch::Sender::new(links.conditions));
        links.made.retain(|link| link.strong_count() > 0);
        links.made.push(Arc::downgrade(&conditions));
        Link::new(self.clone(), links.count, conditions)
    }

    /// Cuts the connections of all links: [`Link::cut`].
    pub fn cut(&self) {
        self.change(|conditions| conditions.cuts += 1);
    }

    /// Stalls all links, as when the server's own network is gone: [`Link::stall`]. New links are stalled too.
    pub fn stall(&self) {
        self.change(|conditions| conditions.state = State::Stalled);
    }

    /// Refuses connections on all links, as when the server's machine is up and the server is not: [`Link::refuse`]. New
    /// links refuse them too.
    pub fn refuse(&self) {
        self.change(Conditions::refuse);
    }

    /// Restores all links: [`Link::restore`].
    pub fn restore(&self) {
        self.change(|conditions| conditions.state = State::Open);
    }

    /// Delays what passes through any link: [`Link::delay`]. New links delay it too.
    pub fn delay(&self, one_way: Duration) {
        self.change(|conditions| conditions.delay = one_way);
    }

    fn change(&self, change: impl Fn(&mut Conditions)) {
        let mut links = self.links();
        change(&mut links.conditions);
        for link in links.made.iter().filter_map(Weak::upgrade) {
            link.send_modify(&change);
        }
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conditions {
    fn refuse(&mut self) {
        self.state = State::Refused;
        self.cuts += 1;
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// Reads events until `choose` returns `Some` for one, and returns that. Unlike [`Events::wait_for`], its error lists the
/// events that came instead. It waits for at most one minute, which takes no time on a stopped clock.
///
/// # Errors
///
/// [`NoSuchEvent`] if there was none.
///
/// # Cancel safety
///
/// Dropping the future loses only the events that `choose` has seen.
pub async fn wait_for<T>(
    events: &mut Events,
    mut choose: impl FnMut(&RtmEvent) -> Option<T>,
) -> Result<T, NoSuchEvent> {
    let mut came = Vec::new();
    let search = async {
        while let Some(event) = events.recv().await {
            if let Some(found) = choose(&event) {
                return Some(found);
            }
            came.push(event);
        }
        None
    };
    let has_ended = match timeout(WAIT, search).await {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => true,
        Err(_) => false,
    };
    Err(NoSuchEvent { within: WAIT, came, has_ended })
}

fn list(events: &[RtmEvent]) -> String {
    if events.is_empty() {
        return "none".to_owned();
    }
    let events = events.iter().map(|event| format!("{} ({event})", event.name()));
    events.collect::<Vec<_>>().join(", ")
}

/// Longer than anything that a server or a client waits for before it says something.
const WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
