//! A relay between a client and a node, which can be cut and led to another node.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinHandle},
};

/// A relay at a port of its own.
pub(crate) struct Relay {
    pub(crate) gateway: String,
    to: Arc<AtomicU16>,
    links: Arc<Mutex<Vec<AbortHandle>>>,
    accepts: JoinHandle<()>,
}

impl Relay {
    /// A relay to a port.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let gateway = format!("http://{}", listener.local_addr().unwrap());
        let (to, links) = (Arc::new(AtomicU16::new(to)), Arc::<Mutex<Vec<AbortHandle>>>::default());
        let (port, all) = (Arc::clone(&to), Arc::clone(&links));
        let accepts = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = port.load(Ordering::Relaxed);
                let link = tokio::spawn(async move {
                    if let Ok(mut node) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                        // It ends when either side does.
                        let _ = copy_bidirectional(&mut client, &mut node).await;
                    }
                });
                all.lock().unwrap().push(link.abort_handle());
            }
        });
        Self { gateway, to, links, accepts }
    }

    /// Cuts all connections. The next ones go to this port.
    pub(crate) fn cut(&self, to: u16) {
        self.to.store(to, Ordering::Relaxed);
        self.links.lock().unwrap().drain(..).for_each(|link| link.abort());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepts.abort();
        self.cut(0);
    }
}
