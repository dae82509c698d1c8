//! The client of a stream that the application accepted.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The client of a connection that the application accepted. Limits per address apply to the address of [`at`](Self::at).
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
    /// A client without an address, such as one on a Unix socket. Limits per address do not apply, so nothing limits how often
    /// it tries out tokens.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// A client at this address. Behind a proxy, use the client's own address, if you trust the proxy to name it.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Some(address), ..Self::default() }
    }

    /// Whether the client connected with TLS, which was removed before the server got the stream. The gateway then tells an SDK to
    /// connect with `wss`, to port 443 unless its request names another. `false` unless set.
    #[must_use]
    pub fn tls(mut self, is_tls: bool) -> Self {
        self.is_tls = is_tls;
        self
    }

    /// The address of this machine that the client connected to. The gateway needs it only for clients that send no `Host`
    /// header, as HTTP/1.0 allows.
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
