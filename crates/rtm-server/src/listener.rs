//! Accepts connections: within the limits, with TLS, until they speak HTTP.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use crate::{
    admission::Admitted,
    client_address::proxy_header::{ProxyHeader, read as read_proxy_header},
    clock::instant,
    http,
    remote::Remote,
    shared::{Guest, Shared},
    spare::{Reserve, SPARE_TIMEOUT},
    stream::Stream,
    tls::Tls,
};

/// Accepts connections until it is aborted. What it needs it has taken before that is polled.
pub(crate) fn listen(
    listener: TcpListener,
    accepted: Arc<AtomicU64>,
    door: Door,
    shared: Arc<Shared>,
) -> impl Future<Output = ()> {
    accept(listener, accepted, door, Accepting(shared), Reserve::new())
}

/// What a listener speaks.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) tls: Option<Tls>,
    /// Each connection begins with a header of the PROXY protocol.
    pub(crate) has_proxy_header: bool,
}

impl Door {
    /// Lets a connection in that has its room. Those of proxies that name their clients count by these.
    fn admit(&self, shared: &Shared, peer: SocketAddr, slot: OwnedSemaphorePermit) -> Option<Admitted> {
        let live = shared.live();
        let is_trusted = live.proxies.trusts(peer.ip());
        if self.has_proxy_header && !is_trusted {
            let what = format_args!("a connection of {peer} is closed: it is not in trusted_proxies");
            shared.without_proxy_header.warn(what);
            shared.found_headerless.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let names_clients = self.has_proxy_header || live.proxies.asks_headers_of(peer.ip());
        shared.admission.admit(Some(peer.ip()).filter(|_| !names_clients), slot, instant())
    }
}

/// Reads the header of the PROXY protocol, and nothing behind it. Gives the client, and where it connected to.
async fn proxy_header(stream: &mut TcpStream) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let mut bytes = Vec::new();
    loop {
        match read_proxy_header(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            ProxyHeader::Of(both) => return Ok(both),
            ProxyHeader::Needs(more) => {
                let have = bytes.len();
                bytes.resize(have + more, 0);
                stream.read_exact(&mut bytes[have..]).await?;
            }
        }
    }
}

async fn accept(listener: TcpListener, accepted: Arc<AtomicU64>, door: Door, accepting: Accepting, reserve: Reserve) {
    let shared = &accepting.0;
    let mut pause = ACCEPT_PAUSE;
    loop {
        // It gets its room when it is there: what a listener kept would be missing at the others.
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                shared.without_descriptor.fetch_add(1, Ordering::Relaxed);
                shared.has_no_descriptors.store(true, Ordering::Relaxed);
                shared.out_of_descriptors.warn(format_args!(
                    "new connections are turned away, except for /livez, /readyz and /healthz, until others have ended: {error}"
                ));
                if let Some(slot) = shared.admission.try_slot()
                    && let Some(spare) = reserve.lend()
                    && let Some(Ok((stream, address))) = listener.accept().now_or_never()
                    && let Some(admitted) = door.admit(shared, address, slot)
                {
                    let (door, connection) = (door.clone(), Arc::clone(shared));
                    shared.tasks.spawn(async move {
                        // Its descriptor is spare again when it has ended, so it may not take long.
                        let _ =
                            timeout(SPARE_TIMEOUT, Box::pin(serve(stream, address, admitted, true, door, connection)))
                                .await;
                        drop(spare);
                    });
                    continue;
                }
                // Those who wait are accepted when others have left.
                sleep(pause).await;
                pause = (pause * 2).min(MAX_ACCEPT_PAUSE);
                continue;
            }
        };
        pause = ACCEPT_PAUSE;
        shared.has_no_descriptors.store(false, Ordering::Relaxed);
        reserve.refill();
        let slot = match shared.admission.try_slot() {
            Some(slot) => slot,
            None => {
                shared.found_full.fetch_add(1, Ordering::Relaxed);
                shared.full.warn("the server is full: new connections wait");
                shared.admission.slot().await
            }
        };
        let Some(admitted) = door.admit(shared, address, slot) else {
            debug!(remote = %address, "too many connections from this address");
            continue;
        };
        accepted.fetch_add(1, Ordering::Relaxed);
        let (door, connection) = (door.clone(), Arc::clone(shared));
        shared.tasks.spawn(async move {
            serve(stream, address, admitted, false, door, connection).await;
        });
    }
}

async fn serve(
    mut stream: TcpStream,
    mut address: SocketAddr,
    mut admitted: Admitted,
    is_spare: bool,
    door: Door,
    shared: Arc<Shared>,
) {
    let begun = Instant::now();
    let patience = shared.live().handshake_timeout;
    // Batches are made here; the kernel's would only delay them.
    let prepared = stream.set_nodelay(true).and_then(|()| stream.local_addr());
    let Ok(mut local) = prepared else { return };
    let mut carrier = None;
    if door.has_proxy_header {
        match timeout(PROXY_TIMEOUT.min(patience), proxy_header(&mut stream)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some((client, server)))) => {
                let Some(behind) = shared.admission.admit_behind(client.ip(), instant()) else {
                    return debug!(remote = %client, "too many connections from this address");
                };
                let proxy = std::mem::replace(&mut admitted, behind);
                let remote = Remote::at(address);
                carrier = Some(Arc::new(Guest { remote, is_spare, admitted: proxy, carrier: None }));
                (address, local) = (client, server);
            }
            Ok(Err(error)) => {
                shared.found_headerless.fetch_add(1, Ordering::Relaxed);
                return shared.without_proxy_header.warn(format_args!("a connection of {address} is closed: {error}"));
            }
            Err(_) => {
                shared.found_headerless.fetch_add(1, Ordering::Relaxed);
                return debug!(remote = %address, "the header of the PROXY protocol takes too long");
            }
        }
    }
    let stream = match door.tls {
        None => Stream::Plain(stream),
        Some(tls) => match timeout(patience.saturating_sub(begun.elapsed()), tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
            Ok(Err(error)) => return debug!(remote = %address, "{error}"),
            Err(_) => return debug!(remote = %address, "the handshake takes too long"),
        },
    };
    let remote = Remote::at(address).local(local).tls(stream.is_tls());
    http::serve(stream, begun, shared, Arc::new(Guest { remote, is_spare, admitted, carrier })).await;
}

/// A listener that accepts. One that ends although the server does not go down leaves a server that nobody can reach.
struct Accepting(Arc<Shared>);

impl Drop for Accepting {
    fn drop(&mut self) {
        if !self.0.draining.is_announced() {
            self.0.has_lost_listener.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether accepting failed for a connection that was gone before, and not for want of something.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// How long accepting pauses, at first and at most, when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How long a proxy may take to say whose a connection is, if not even a handshake has less time.
const PROXY_TIMEOUT: Duration = Duration::from_secs(5);
