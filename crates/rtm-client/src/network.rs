//! Where byte streams come from: TCP, a closure of the application's, or a test; by way of a proxy or not, with TLS or not.

use std::{
    fmt, io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::{sleep, timeout},
};

use crate::{address::Address, proxy::Proxies, tls::Trust};

/// Where byte streams come from.
pub(crate) trait Network: Send + Sync + 'static {
    /// Opens a byte stream to `address`, TLS included where the address asks for it.
    fn connect(&self, address: &Address) -> impl Future<Output = io::Result<Box<dyn Io>>> + Send;
}

/// A byte stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// The network that a client uses unless a test gives it another.
#[derive(Debug)]
pub(crate) struct Internet {
    pub(crate) connector: Connector,
    pub(crate) proxies: Proxies,
    pub(crate) trust: Trust,
}

impl Network for Internet {
    async fn connect(&self, address: &Address) -> io::Result<Box<dyn Io>> {
        let stream = match self.proxies.find(address)? {
            None => self.connector.connect(&address.host, address.port).await?,
            Some(proxy) => proxy.connect(&self.connector, &self.trust, address).await?,
        };
        if address.tls { self.trust.handshake(&address.host, stream).await } else { Ok(stream) }
    }
}

/// What opens a byte stream to a host and port.
#[derive(Clone)]
pub(crate) enum Connector {
    Tcp,
    Given(Arc<dyn Fn(String, u16) -> Connecting + Send + Sync>),
}

type Connecting = BoxFuture<'static, io::Result<Box<dyn Io>>>;

impl Connector {
    pub(crate) fn new<C, F, S>(connect: C) -> Self
    where
        C: Fn(String, u16) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let boxed = |stream: io::Result<S>| stream.map(|stream| Box::new(Guarded(stream)) as Box<dyn Io>);
        Self::Given(Arc::new(move |host, port| connect(host, port).map(boxed).boxed()))
    }

    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Tcp => {
                let stream = connect_any(lookup_host((host, port)).await?.collect()).await?;
                // Packets are batched here, so the kernel has nothing to gain from holding them back.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Given(connect) => {
                // A panic of the application's would end the client's task.
                let opening = AssertUnwindSafe(async { connect(host.to_owned(), port).await }).catch_unwind();
                opening.await.unwrap_or_else(|_| Err(io::Error::other("the connector panicked")))
            }
        }
    }
}

/// A stream of the application's. A panic in it would end the client's task, and is a broken connection instead.
struct Guarded<S>(S);

impl<S: Unpin> Guarded<S> {
    fn guard<T>(&mut self, act: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let stream = Pin::new(&mut self.0);
        let acted = catch_unwind(AssertUnwindSafe(|| act(stream)));
        acted.unwrap_or_else(|_| Poll::Ready(Err(io::Error::other("the connector's stream panicked"))))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.guard(|stream| stream.poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.guard(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(|stream| stream.poll_shutdown(cx))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "Tcp",
            Self::Given(_) => "Given(..)",
        })
    }
}

/// Connects to whichever of a host's addresses answers first. Each has a head start before the next is tried beside it,
/// so that a dead one costs little and a live one is not raced.
async fn connect_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        match left.next() {
            Some(address) => attempts.push(connect_one(address)),
            None if attempts.is_empty() => return Err(error),
            None => {}
        }
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(failed) => error = failed,
            },
            () = sleep(HEAD_START), if left.len() > 0 => {}
        }
    }
}

async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    match timeout(TCP_TIMEOUT, TcpStream::connect(address)).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} did not answer"))),
    }
}

/// How long an address of a host has for itself before the next is tried too.
const HEAD_START: Duration = Duration::from_millis(250);

/// How long one address may take to accept a connection: a round trip of a second, and one lost packet.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, time::Instant};

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_dead_or_refuses_costs_little() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let alive = listener.local_addr().unwrap();
        // Nobody listens at a port that was just given back, and nobody answers from an address for documentation.
        let refuses = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
        let dead: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let begun = Instant::now();
        let stream = connect_any(vec![dead, refuses, alive]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_connector_that_panics_has_failed() {
        let at_once = Connector::new(|_, _| -> std::future::Ready<io::Result<TcpStream>> { panic!("at once") });
        let later = Connector::new(async |_, _| -> io::Result<TcpStream> { panic!("later") });
        for connector in [at_once, later] {
            let error = connector.connect("localhost", 80).await.err().unwrap();
            assert_eq!(error.to_string(), "the connector panicked");
        }
    }

    #[tokio::test]
    async fn without_an_address_that_answers_the_last_error_is_told() {
        let refuses = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
        let error = connect_any(vec![refuses, refuses]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect_any(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
