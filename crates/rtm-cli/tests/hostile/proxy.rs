//! A network between a client and a server that stops, is cut and comes back.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// What becomes of bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// They arrive.
    Open,
    /// They wait, and neither side can tell.
    Stopped,
    /// There is no connection, and none can be made.
    Cut,
}

/// Passes connections on to a server. Ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    network: watch::Sender<Network>,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, states) = watch::channel(Network::Open);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(pass(client, server, states.clone()));
            }
        });
        Self { address, network, task: task.abort_handle() }
    }

    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, states: watch::Receiver<Network>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let mut cut = states.clone();
    let is_cut = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        tokio::select! {
            _ = pump(&mut from_client, &mut to_server, states.clone()) => false,
            _ = pump(&mut from_server, &mut to_client, states.clone()) => false,
            _ = cut.wait_for(|state| *state == Network::Cut) => true,
        }
    };
    if is_cut {
        // Neither side hears that the other one would have closed.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut states: watch::Receiver<Network>,
) -> Option<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        states.wait_for(|state| *state == Network::Open).await.ok()?;
        let len = from.read(&mut bytes).await.ok().filter(|len| *len > 0)?;
        states.wait_for(|state| *state == Network::Open).await.ok()?;
        to.write_all(&bytes[..len]).await.ok()?;
    }
}
