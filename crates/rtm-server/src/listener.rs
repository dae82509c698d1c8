//! Accepts connections: within the limits, with TLS, until they speak HTTP.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    admission::Admitted,
    clock::instant,
    http,
    remote::Remote,
    shared::{Guest, Shared},
    stream::Stream,
    tls::Tls,
};

/// Accepts connections until it is aborted. What it needs it has taken before that is polled.
pub(crate) fn listen(
    listener: TcpListener,
    accepted: Arc<AtomicU64>,
    tls: Option<Tls>,
    shared: Arc<Shared>,
) -> impl Future<Output = ()> {
    accept(listener, accepted, tls, shared, Reserve::new())
}

async fn accept(
    listener: TcpListener,
    accepted: Arc<AtomicU64>,
    tls: Option<Tls>,
    shared: Arc<Shared>,
    reserve: Reserve,
) {
    let mut pause = ACCEPT_PAUSE;
    loop {
        if shared.admission.is_full() {
            shared.found_full.fetch_add(1, Ordering::Relaxed);
            warn!("the server is full: new connections wait");
        }
        let slot = shared.admission.slot().await;
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                shared.without_descriptor.fetch_add(1, Ordering::Relaxed);
                shared.has_no_descriptors.store(true, Ordering::Relaxed);
                shared.out_of_descriptors.warn(format_args!(
                    "new connections are turned away, except for /healthz, until others have ended: {error}"
                ));
                let spare = reserve.lend();
                if spare.is_some()
                    && let Some(Ok((stream, address))) = listener.accept().now_or_never()
                    && let Some(admitted) = shared.admission.admit(Some(address.ip()), slot, instant())
                {
                    let (tls, connection) = (tls.clone(), Arc::clone(&shared));
                    shared.tasks.spawn(async move {
                        // Its descriptor is spare again when it has ended, so it may not take long.
                        let _ =
                            timeout(SPARE_TIMEOUT, Box::pin(serve(stream, address, admitted, true, tls, connection)))
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
        let Some(admitted) = shared.admission.admit(Some(address.ip()), slot, instant()) else {
            debug!(remote = %address, "too many connections from this address");
            continue;
        };
        accepted.fetch_add(1, Ordering::Relaxed);
        let (tls, connection) = (tls.clone(), Arc::clone(&shared));
        shared.tasks.spawn(async move {
            serve(stream, address, admitted, false, tls, connection).await;
        });
    }
}

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    admitted: Admitted,
    is_spare: bool,
    tls: Option<Tls>,
    shared: Arc<Shared>,
) {
    // Batches are made here; the kernel's would only delay them.
    let prepared = stream.set_nodelay(true).and_then(|()| stream.local_addr());
    let Ok(local) = prepared else { return };
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(tls) => match timeout(shared.live().handshake_timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
            Ok(Err(error)) => return debug!(remote = %address, "{error}"),
            Err(_) => return debug!(remote = %address, "the handshake takes too long"),
        },
    };
    let remote = Remote::at(address).local(local).tls(stream.is_tls());
    http::serve(stream, shared, Arc::new(Guest { remote, is_spare, admitted })).await;
}

/// Descriptors that are kept for when there are no others, so that whoever looks after the server still gets an answer.
struct Reserve(Arc<Mutex<Vec<File>>>);

/// One of them, in use; it comes back when this is dropped.
struct Spare(Arc<Mutex<Vec<File>>>);

impl Reserve {
    fn new() -> Self {
        let reserve = Self(Arc::default());
        reserve.refill();
        reserve
    }

    /// Takes what is missing.
    fn refill(&self) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while files.len() < SPARE
            && let Ok(file) = File::open(PLACEHOLDER)
        {
            files.push(file);
        }
    }

    fn lend(&self) -> Option<Spare> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.pop().map(|_| Spare(Arc::clone(&self.0)))
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // If somebody else has it by now, it is taken back when a connection can be accepted again.
        if let Ok(file) = File::open(PLACEHOLDER) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(file);
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
/// How many descriptors each listener keeps, how long a connection may use one of them, and what holds them.
const SPARE: usize = 4;
const SPARE_TIMEOUT: Duration = Duration::from_millis(500);
const PLACEHOLDER: &str = "/dev/null";
