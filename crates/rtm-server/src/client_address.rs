//! Whose connection it is where a proxy stands in front: what trusted proxies say, and nobody else.

pub mod headers;
pub mod proxy_header;

use std::{fmt, net::IpAddr, str::FromStr};

use hyper::HeaderMap;
use ipnet::IpNet;

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
    pub(crate) trusted: Vec<IpNet>,
    pub(crate) told_by: ClientAddress,
}

impl Proxies {
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// Whether requests of this peer say whose they are.
    pub(crate) fn asks_headers_of(&self, peer: IpAddr) -> bool {
        self.told_by != ClientAddress::Peer && self.trusts(peer)
    }

    /// The client of a request that came from this trusted peer; the peer, where the headers say nothing.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let values = |name: &str| -> Vec<&str> {
            headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).collect()
        };
        let hops = match self.told_by {
            ClientAddress::Peer => return peer,
            ClientAddress::XForwardedFor => headers::x_forwarded_for(&values("x-forwarded-for")),
            ClientAddress::Forwarded => headers::forwarded(&values("forwarded")),
            ClientAddress::XRealIp => headers::x_forwarded_for(&values("x-real-ip")),
        };
        headers::client(peer, &hops, |address| self.trusts(address))
    }
}
