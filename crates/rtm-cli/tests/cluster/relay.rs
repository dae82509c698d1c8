//! Relays: one between a client and a node, which can be cut and led to another node, and one between a node and NATS.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter, copy,
        copy_bidirectional,
    },
    net::{TcpListener, TcpStream},
    sync::watch,
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

/// A way to a server of NATS, on which all can be held up, in one direction or in both.
pub(crate) struct Way {
    port: u16,
    /// What comes from whoever uses the way, and what comes back.
    is_held: [watch::Sender<bool>; 2],
    accepts: JoinHandle<()>,
}

impl Way {
    /// A way to a port.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_held = [(); 2].map(|()| watch::Sender::new(false));
        let held = is_held.clone();
        let accepts = tokio::spawn(async move {
            while let Ok((user, _)) = listener.accept().await {
                let [there, back] = held.each_ref().map(watch::Sender::subscribe);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { return };
                    let (from_user, to_user) = user.into_split();
                    let (from_server, to_server) = server.into_split();
                    // It ends when either side does.
                    tokio::select! {
                        _ = pass_unless_held(from_user, to_server, there) => {}
                        _ = pass_unless_held(from_server, to_user, back) => {}
                    }
                });
            }
        });
        Self { port, is_held, accepts }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// From now on nothing comes there, or nothing comes back, or all does again, also what was held up.
    pub(crate) fn hold(&self, there_and_back: [bool; 2]) {
        for (is_held, hold) in self.is_held.iter().zip(there_and_back) {
            is_held.send_replace(hold);
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// Passes on what comes, but waits while it is held up. The end of what comes is held up too.
async fn pass_unless_held(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_held: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        // The way is gone, and so is the test.
        let Ok(_) = is_held.wait_for(|is_held| !*is_held).await else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}

/// A way from a node to a server of NATS, on which what the node says to one other node can get lost.
pub(crate) struct NatsWay {
    pub(crate) url: String,
    lost_to: Arc<Mutex<Option<String>>>,
    accepts: JoinHandle<()>,
}

impl NatsWay {
    /// A way to a port, on which all arrives.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let lost_to = Arc::<Mutex<Option<String>>>::default();
        let lost = Arc::clone(&lost_to);
        let accepts = tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                let lost = Arc::clone(&lost);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { return };
                    let (from_node, mut to_node) = node.into_split();
                    let (mut from_server, to_server) = server.into_split();
                    // It ends when either side does.
                    tokio::select! {
                        _ = pass_on(from_node, to_server, &lost) => {}
                        _ = copy(&mut from_server, &mut to_node) => {}
                    }
                });
            }
        });
        Self { url, lost_to, accepts }
    }

    /// From now on nothing that the node publishes to this node's subjects arrives; `None`: all does.
    pub(crate) fn lose_to(&self, node: Option<&str>) {
        *self.lost_to.lock().unwrap() = node.map(|node| format!(".{node}"));
    }
}

impl Drop for NatsWay {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// Passes on what a client of NATS says, but what it publishes to subjects that end like this.
async fn pass_on(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    lost_to: &Mutex<Option<String>>,
) -> std::io::Result<()> {
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    let mut said = Vec::new();
    loop {
        said.clear();
        if from.read_until(b'\n', &mut said).await? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&said).into_owned();
        let mut words = line.split_ascii_whitespace();
        let is_publish = matches!(words.next(), Some("PUB" | "HPUB"));
        let subject = words.next().filter(|_| is_publish);
        if is_publish {
            let bytes: usize = words.last().unwrap().parse().unwrap();
            let head = said.len();
            said.resize(head + bytes + 2, 0);
            from.read_exact(&mut said[head..]).await?;
        }
        let lost = lost_to.lock().unwrap().clone();
        if !subject.zip(lost).is_some_and(|(subject, lost)| subject.ends_with(&lost)) {
            to.write_all(&said).await?;
        }
        if from.buffer().is_empty() {
            to.flush().await?;
        }
    }
}
