//! Accepts connections: within the limits, with TLS, until they speak HTTP.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::{
    admission::Admitted,
    http,
    shared::{Remote, Shared},
    tls::Stream,
};

/// Accepts connections until it is aborted.
pub(crate) async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut pause = ACCEPT_PAUSE;
    loop {
        if shared.admission.is_full() {
            warn!("the server is full: new connections wait");
        }
        let slot = shared.admission.slot().await;
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Out of descriptors or memory: those who wait are accepted when others have left.
                warn!("accepting pauses: {error}");
                sleep(pause).await;
                pause = (pause * 2).min(MAX_ACCEPT_PAUSE);
                continue;
            }
        };
        pause = ACCEPT_PAUSE;
        let Some(admitted) = shared.admission.admit(address.ip(), slot, Instant::now()) else {
            debug!(remote = %address, "too many connections from this address");
            continue;
        };
        let (tls, connection) = (tls.clone(), Arc::clone(&shared));
        shared.tasks.spawn(async move {
            let handshake_timeout = connection.handshake_timeout;
            let served = timeout(handshake_timeout, Box::pin(serve(stream, address, admitted, tls, connection)));
            if served.await.is_err() {
                debug!(remote = %address, "the handshake takes too long");
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    admitted: Admitted,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    // Batches are made here; the kernel's would only delay them.
    let prepared = stream.set_nodelay(true).and_then(|()| stream.local_addr());
    let Ok(local) = prepared else { return };
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Stream::Tls(Box::new(stream)),
            Err(error) => return debug!(remote = %address, "{error}"),
        },
    };
    let remote = Remote { address, local, tls: stream.is_tls(), admitted };
    http::serve(stream, shared, Arc::new(remote)).await;
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
