//! The way of connections to a server that the application accepts itself.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use crate::{
    clock::instant,
    error::NotServed,
    http,
    remote::Remote,
    shared::{Guest, Shared},
    tls::Stream,
};

/// Gives a server connections that it did not accept itself. Clones are cheap, and none keeps the server running.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    pub(crate) shared: Arc<Shared>,
}

impl ServerHandle {
    /// Serves a client at the other end of any stream of bytes: a Unix socket, a tunnel, a stream in memory. On it the
    /// client speaks as it does at the server's port: HTTP, and from its handshake on WebSocket. TLS has ended before.
    ///
    /// The limits and deadlines are those of the server's own port, and [`shutdown`](crate::Server::shutdown) sends the
    /// client away like any other. While the server has as many connections as it may have, this waits: a loop that
    /// accepts and serves then accepts no more. It returns once the client is let in, and does not wait for its end.
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
    /// [`NotServed`] when the client's address has too many connections or made too many, or when the server is
    /// shutting down or gone. The stream is dropped then.
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
        let ip = remote.address.map(|address| address.ip());
        let Some(admitted) = shared.admission.admit(ip, slot, instant()) else {
            debug!(%remote, "too many connections from this address");
            return Err(NotServed::TooMany);
        };
        let guest = Arc::new(Guest { remote, is_spare: false, admitted });
        let connection = Arc::clone(shared);
        let is_running = shared.tasks.spawn(async move {
            http::serve(Stream::Other(Box::pin(io)), connection, guest).await;
        });
        if is_running { Ok(()) } else { Err(NotServed::ShuttingDown) }
    }
}
