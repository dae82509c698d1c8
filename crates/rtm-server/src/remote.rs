//! Who is at the other end of a stream that the application accepted itself.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Who is at the other end of a connection that the server did not accept itself. Limits by address count against
/// [`at`](Self::at).
///
/// ```
/// use std::net::SocketAddr;
///
/// use rtm_server::Remote;
///
/// // A client behind a proxy that ends TLS.
/// let client: SocketAddr = "203.0.113.7:49152".parse()?;
/// let remote = Remote::at(client).tls(true);
/// assert_eq!(remote.address(), Some(client));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Remote {
    pub(crate) address: Option<SocketAddr>,
    /// The address of this server that it connected to.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) is_tls: bool,
}

impl Remote {
    /// A client without an address, as one at a Unix socket has none. Limits by address do not apply to it: tokens can be
    /// tried out there as often as anybody likes.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// A client at this address. Behind a proxy that is the client's own, where the proxy can be trusted to name it.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Some(address), ..Self::default() }
    }

    /// Whether it came through TLS, which ended before the server got the stream: an SDK is then told to connect
    /// with `wss`, at port 443 unless its request names another. `false` unless set.
    #[must_use]
    pub fn tls(mut self, is_tls: bool) -> Self {
        self.is_tls = is_tls;
        self
    }

    /// The address of this machine that it connected to. The gateway names it to a client of HTTP/1.0, which need not say
    /// which host it wants; any other is told the host of its own request.
    #[must_use]
    pub fn local(mut self, address: SocketAddr) -> Self {
        self.local = Some(address);
        self
    }

    /// The client's address, if it has one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl From<SocketAddr> for Remote {
    fn from(address: SocketAddr) -> Self {
        Self::at(address)
    }
}

impl From<IpAddr> for Remote {
    /// A client whose port is not known.
    fn from(address: IpAddr) -> Self {
        Self::at((address, 0).into())
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("a client without an address"),
        }
    }
}
