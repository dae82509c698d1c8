//! The way of connections to a server that the application accepts itself.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::debug;

use crate::{
    clock::instant,
    error::NotServed,
    http,
    remote::Remote,
    shared::{Guest, Shared},
    stream::Stream,
};

/// Passes connections that the application accepted to a server. Cheap to clone; it does not keep the server running.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    pub(crate) shared: Arc<Shared>,
}

impl ServerHandle {
    /// Whether the server is alive: the runtime turns, all listeners accept and no project's lock is stuck. Whoever watches over
    /// the process may restart it where this is false or does not answer; it does after 5 s. How the store or a cluster is does
    /// not matter. Cancel safe.
    pub async fn is_alive(&self) -> bool {
        self.shared.is_alive().await
    }

    /// Serves a client over any byte stream: a Unix socket, a tunnel, a stream in memory. The client speaks as it does
    /// on the server's port: HTTP, and after the handshake WebSocket. TLS must be removed before.
    ///
    /// The limits and deadlines of the server's own port apply, and [`shutdown`](crate::Server::shutdown) closes the connection like
    /// any other. It returns when the client is admitted, not when the connection ends. While the server has its most connections,
    /// it waits, so that a loop of `accept` and `serve` accepts no more.
    ///
    /// ```no_run
    /// # async fn example(server: rtm_server::ServerHandle) -> Result<(), Box<dyn std::error::Error>> {
    /// use rtm_server::Remote;
    ///
    /// let listener = tokio::net::UnixListener::bind("/run/rtm.sock")?;
    /// loop {
    ///     let (stream, _) = listener.accept().await?;
    ///     server.serve(stream, Remote::unknown()).await?;
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotServed`] if the client's address has too many connections or connects too often, or if the server is
    /// shutting down or gone. The stream is then dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the stream.
    pub async fn serve<S>(&self, io: S, remote: impl Into<Remote>) -> Result<(), NotServed>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let remote = remote.into();
        let shared = &self.shared;
        let begins = shared.draining.begins();
        if shared.draining.has_begun() {
            return Err(NotServed::ShuttingDown);
        }
        let slot = tokio::select! {
            biased;
            slot = shared.admission.slot() => slot,
            () = begins => return Err(NotServed::ShuttingDown),
        };
        let Some(admitted) = shared.admission.admit(shared.counted_for(&remote), slot, instant()) else {
            debug!(%remote, "too many connections from this address");
            return Err(NotServed::TooMany);
        };
        let guest = Arc::new(Guest { remote, is_spare: false, admitted, carrier: None });
        let connection = Arc::clone(shared);
        let is_running = shared.tasks.spawn(async move {
            http::serve(Stream::Other(Box::pin(io)), Instant::now(), connection, guest).await;
        });
        if is_running { Ok(()) } else { Err(NotServed::ShuttingDown) }
    }
}
