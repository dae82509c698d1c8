//! `HOST:PORT`, as flags and configurations have it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Where a server listens: an IP address or a name, and a port. At a name it listens at all addresses that the name has.
/// Port 0 takes a free one, the same for all of them.
///
/// ```
/// use rtm_server::ListenAddress;
///
/// let address: ListenAddress = "localhost:8080".parse()?;
/// assert_eq!((address.host(), address.port()), ("localhost", 8080));
/// assert!("localhost".parse::<ListenAddress>().is_err());
/// # Ok::<(), rtm_server::InvalidAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    host: String,
    port: u16,
}

/// A text is not `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not HOST:PORT, with a port up to 65535: write 127.0.0.1:8080, [::1]:8080 or localhost:8080")]
#[non_exhaustive]
pub struct InvalidAddress {
    text: String,
}

impl InvalidAddress {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

impl ListenAddress {
    /// The host name or IP address; without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl ListenAddress {
    /// Whether who listens here keeps others from listening there.
    pub(crate) fn is_in_the_way_of(&self, other: &Self) -> bool {
        let (one, two) = (self.host.parse::<IpAddr>(), other.host.parse::<IpAddr>());
        let is_same = match (one, two) {
            (Ok(one), Ok(two)) => {
                one == two || (one.is_ipv4() == two.is_ipv4() && (one.is_unspecified() || two.is_unspecified()))
            }
            _ => self.host.eq_ignore_ascii_case(&other.host),
        };
        is_same && self.port == other.port && self.port != 0
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = host_and_port(text).ok_or_else(|| InvalidAddress::new(text))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        // A scope belongs to an IPv6 address, and the port does not.
        let host = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) if address.scope_id() == 0 => address.ip().to_string(),
            SocketAddr::V6(address) => format!("{}%{}", address.ip(), address.scope_id()),
        };
        Self { host, port: address.port() }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Takes `HOST:PORT` apart, with brackets around an IPv6 address in it and none in the answer.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())??;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.split('%').next()?.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    };
    is_host.then(|| (bare.unwrap_or(host), port))
}

/// What tells this server from others: its host's name, and the port that it listens at.
#[cfg(any(feature = "cluster", feature = "otlp"))]
pub(crate) fn host_and_port_here(address: Option<&SocketAddr>) -> String {
    let system = rustix::system::uname();
    let host: String = system.nodename().to_string_lossy().chars().filter(char::is_ascii_graphic).take(58).collect();
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    match address {
        Some(address) => format!("{host}:{}", address.port()),
        None => host,
    }
}
