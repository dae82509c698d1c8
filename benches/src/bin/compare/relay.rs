//! The servers that this program starts of itself: ours, and relays as plain as they can be.

use std::{
    collections::HashMap,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, RwLock},
};

use anyhow::Context as _;
use async_tungstenite::{
    WebSocketReceiver, WebSocketSender,
    tokio::{TokioAdapter, accept_async},
    tungstenite::Message,
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use clap::ValueEnum;
use futures::{SinkExt as _, StreamExt as _};
use rtm_server::{
    CallLimits, ClusterConfig, NodeName, ProjectConfig, ServerBuilder, ServerConfig, TlsConfig, TlsFiles,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
};

use crate::{back_ends, ours, raw};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    Rtm,
    Batched,
    Naive,
    Raw,
    Http,
}

/// How a server of ours is set up.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    node: Node,
    /// Speaks TLS with this certificate.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Keeps what is stored in this folder.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Begins with the configuration in this file.
    #[arg(long, conflicts_with_all = ["nats", "certificate", "data_dir"])]
    config: Option<PathBuf>,
}

impl Settings {
    fn config(&self) -> anyhow::Result<ServerConfig> {
        if let Some(file) = &self.config {
            return Ok(ServerConfig::from_toml_str(&std::fs::read_to_string(file)?)?);
        }
        let mut config = self.node.config()?;
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            config.tls = Some(TlsConfig::new(vec![TlsFiles::new(certificate, key)]));
        }
        config.data_dir.clone_from(&self.data_dir);
        Ok(config)
    }
}

/// The node of a cluster that a server of ours is to be.
#[derive(Debug, clap::Args)]
struct Node {
    /// The port of its server of NATS.
    #[arg(long, requires = "node")]
    nats: Option<u16>,
    /// Its name.
    #[arg(long, requires = "nats")]
    node: Option<String>,
}

impl Node {
    fn config(&self) -> anyhow::Result<ServerConfig> {
        let mut config = ServerConfig::default();
        if let (Some(nats), Some(node)) = (self.nats, &self.node) {
            let mut cluster = ClusterConfig::new(vec![format!("nats://127.0.0.1:{nats}").parse()?]);
            cluster.node = Some(NodeName::new(node)?);
            config.cluster = Some(cluster);
        }
        Ok(config)
    }
}

/// Runs a server until it is killed. It first prints its port. The runtime is the one that `rtm serve` has.
pub(crate) fn serve(kind: Kind, settings: &Settings) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        if let Kind::Rtm = kind {
            let mut config = settings.config()?;
            if config.projects.is_empty() {
                config.projects.push(ProjectConfig::new(ours::APP_ID.parse()?));
            }
            config.projects.iter_mut().for_each(|project| project.limits = CallLimits::unlimited());
            let server = ServerBuilder::from(config).bind("127.0.0.1:0").await?;
            announce(server.local_addr().port())?;
            return std::future::pending().await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        announce(listener.local_addr()?.port())?;
        if let Kind::Http = kind {
            return back_ends::serve_http(listener).await;
        }
        let hub = Arc::new(Hub::default());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let hub = Arc::clone(&hub);
            // A client that goes away ends its task with an error, which interests nobody.
            tokio::spawn(async move {
                match kind {
                    Kind::Raw => raw_client(stream, &hub).await,
                    Kind::Rtm | Kind::Http | Kind::Batched => web_socket_client(stream, &hub, true).await,
                    Kind::Naive => web_socket_client(stream, &hub, false).await,
                }
            });
        }
    })
}

/// Who receives what is sent to a name.
#[derive(Debug, Default)]
struct Hub(RwLock<HashMap<Bytes, Vec<UnboundedSender<Bytes>>>>);

impl Hub {
    fn register(&self, name: Bytes) -> anyhow::Result<UnboundedReceiver<Bytes>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // The answer that says that the name is known.
        sender.send(Bytes::from_static(b"ok"))?;
        let mut names = self.0.write().ok().context("a poisoned hub")?;
        names.entry(name).or_default().push(sender);
        Ok(receiver)
    }

    fn route(&self, mut frame: Bytes) -> anyhow::Result<()> {
        anyhow::ensure!(!frame.is_empty() && frame.len() > usize::from(frame[0]), "a frame without receiver");
        let name = usize::from(frame.get_u8());
        let name = frame.split_to(name);
        let names = self.0.read().ok().context("a poisoned hub")?;
        for receiver in names.get(&name).into_iter().flatten() {
            // One that is gone gets nothing.
            let _ = receiver.send(frame.clone());
        }
        Ok(())
    }
}

async fn web_socket_client(stream: TcpStream, hub: &Hub, batched: bool) -> anyhow::Result<()> {
    let (sender, mut receiver) = accept_async(stream).await?.split();
    let name = receiver.next().await.context("no name")??.into_data();
    tokio::spawn(web_socket_writer(sender, hub.register(name)?, batched));
    web_socket_reader(&mut receiver, hub).await
}

async fn web_socket_reader(receiver: &mut WebSocketReceiver<TokioAdapter<TcpStream>>, hub: &Hub) -> anyhow::Result<()> {
    while let Some(message) = receiver.next().await {
        if let Message::Binary(frame) = message? {
            hub.route(frame)?;
        }
    }
    Ok(())
}

async fn web_socket_writer(
    mut sender: WebSocketSender<TokioAdapter<TcpStream>>,
    mut messages: UnboundedReceiver<Bytes>,
    batched: bool,
) -> anyhow::Result<()> {
    let mut batch = Vec::new();
    while messages.recv_many(&mut batch, RELAY_BATCH).await > 0 {
        for message in batch.drain(..) {
            if batched {
                sender.feed(Message::Binary(message)).await?;
            } else {
                sender.send(Message::Binary(message)).await?;
            }
        }
        sender.flush().await?;
    }
    Ok(())
}

async fn raw_client(stream: TcpStream, hub: &Hub) -> anyhow::Result<()> {
    let (mut reader, writer) = stream.into_split();
    let mut read = BytesMut::new();
    let mut writer = Some(writer);
    loop {
        read.reserve(raw::READ_BYTES);
        if reader.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = raw::next(&mut read) {
            match writer.take() {
                Some(writer) => drop(tokio::spawn(raw_writer(writer, hub.register(frame)?))),
                None => hub.route(frame)?,
            }
        }
    }
}

async fn raw_writer(mut writer: OwnedWriteHalf, mut messages: UnboundedReceiver<Bytes>) -> anyhow::Result<()> {
    let (mut batch, mut write) = (Vec::new(), BytesMut::new());
    while messages.recv_many(&mut batch, RELAY_BATCH).await > 0 {
        for message in batch.drain(..) {
            write.put_u32(message.len() as u32);
            write.put_slice(&message);
        }
        writer.write_all_buf(&mut write).await?;
    }
    Ok(())
}

fn announce(port: u16) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{port}")?;
    Ok(stdout.flush()?)
}

/// How many messages a relay writes with one flush.
const RELAY_BATCH: usize = 256;
