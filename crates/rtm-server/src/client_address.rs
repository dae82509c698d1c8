//! Whose connection it is where a proxy stands in front: what trusted proxies say, and nobody else.

pub mod headers;
pub mod proxy_header;

use std::{fmt, net::IpAddr, str::FromStr};

use hyper::HeaderMap;
use ipnet::IpNet;

/// A network of addresses, or one address.
///
/// ```
/// use rtm_server::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains([10, 1, 2, 3].into()) && !network.contains([11, 1, 2, 3].into()));
/// let one: Network = "2001:db8::1".parse()?;
/// assert_eq!(one.to_string(), "2001:db8::1/128");
/// # Ok::<(), rtm_server::InvalidNetwork>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(Self).ok_or_else(|| InvalidNetwork { text: text.to_owned() })
    }
}

/// A text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a network: write 10.0.0.0/8, 2001:db8::/32 or 10.0.0.1")]
#[non_exhaustive]
pub struct InvalidNetwork {
    text: String,
}

/// What tells the address of a client behind a trusted proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientAddress {
    /// Nothing: it is the address that the connection comes from, or that its PROXY header names.
    #[default]
    Peer,
    /// The header `X-Forwarded-For`: its rightmost address that is not a trusted proxy's.
    XForwardedFor,
    /// The header `Forwarded` (RFC 7239), in the same way.
    Forwarded,
    /// The header `X-Real-IP`.
    XRealIp,
}

/// The text names nothing that tells the address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("client_address is \"peer\", \"x-forwarded-for\", \"forwarded\" or \"x-real-ip\"")]
#[non_exhaustive]
pub struct UnknownClientAddress;

impl ClientAddress {
    /// Its name, in small letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::XRealIp => "x-real-ip",
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClientAddress {
    type Err = UnknownClientAddress;

    fn from_str(text: &str) -> Result<Self, UnknownClientAddress> {
        let all = [Self::Peer, Self::XForwardedFor, Self::Forwarded, Self::XRealIp];
        all.into_iter().find(|one| one.as_str() == text).ok_or(UnknownClientAddress)
    }
}

/// Which proxies are trusted, and what they say of their clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    pub(crate) trusted: Vec<Network>,
    pub(crate) told_by: ClientAddress,
}

impl Proxies {
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(address))
    }

    /// Whether requests of this peer say whose they are.
    pub(crate) fn asks_headers_of(&self, peer: IpAddr) -> bool {
        self.told_by != ClientAddress::Peer && self.trusts(peer)
    }

    /// The client of a request that came from this trusted peer; the peer, where the headers say nothing.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let (name, read): (_, fn(&[&str]) -> _) = match self.told_by {
            ClientAddress::Peer => return peer,
            ClientAddress::XForwardedFor => ("x-forwarded-for", headers::x_forwarded_for),
            ClientAddress::Forwarded => ("forwarded", headers::forwarded),
            ClientAddress::XRealIp => ("x-real-ip", headers::x_forwarded_for),
        };
        // A client's bytes that are no text must not hide what a proxy wrote behind them.
        let texts: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let hops = read(&texts.iter().map(|text| &**text).collect::<Vec<&str>>());
        headers::client(peer, &hops, |address| self.trusts(address))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn bytes_that_are_no_text_hide_nothing_that_a_proxy_adds() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        for (told_by, name, value) in [
            (ClientAddress::XForwardedFor, "x-forwarded-for", &b"\xc3\xa9, 192.0.2.1"[..]),
            (ClientAddress::XForwardedFor, "x-forwarded-for", b"\xff, 192.0.2.1"),
            (ClientAddress::Forwarded, "forwarded", b"for=192.0.2.2;x=\xff, for=192.0.2.1"),
        ] {
            let proxies = Proxies { trusted: vec![Network(peer.into())], told_by };
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
            assert_eq!(proxies.client(peer, &headers), IpAddr::from([192, 0, 2, 1]), "{}", value.escape_ascii());
        }
    }
}
