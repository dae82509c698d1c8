//! Where a server is: the URL that a user writes, taken apart.

use std::fmt;

use hyper::Uri;

/// Host, port, and whether TLS is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A host name or an IP address, IPv6 without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// Why a text is not the address of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressFault {
    /// It is neither a URL nor `host:port`.
    #[error("it is neither a URL nor host:port")]
    NotAUrl,
    /// The scheme is none of `http`, `https`, `ws` and `wss`.
    #[error("its scheme is none of http, https, ws and wss")]
    Scheme,
    /// There is no host.
    #[error("it names no host")]
    NoHost,
    /// There is a path or a query, which gateways do not have.
    #[error("it has a path or a query: leave that out, and give the server a host name or a port of its own")]
    Extra,
    /// There is a user or a password, for which gateways have no use.
    #[error("it has a user or a password, which are not used")]
    User,
    /// The port is 0.
    #[error("port 0 is none that a server is at")]
    Port,
}

impl Address {
    /// Takes `http`, `https`, `ws` and `wss` URLs, and `host` or `host:port` for a server without TLS.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressFault> {
        let uri: Uri = text.parse().map_err(|_| AddressFault::NotAUrl)?;
        let tls = match uri.scheme_str() {
            None | Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            Some(_) => return Err(AddressFault::Scheme),
        };
        let authority = uri.authority().ok_or(AddressFault::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(AddressFault::User);
        }
        if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return Err(AddressFault::Extra);
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(AddressFault::NoHost);
        }
        // The parser takes any digits after the colon; a port that is none must not become the default.
        let port = match (authority.port_u16(), authority.port()) {
            (Some(0), _) => return Err(AddressFault::Port),
            (Some(port), _) => port,
            (None, None) if authority.as_str() == host => default_port(tls),
            (None, _) => return Err(AddressFault::NotAUrl),
        };
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port, tls })
    }

    /// An address that a gateway's answer names.
    pub(crate) fn new(host: &str, port: u16, tls: bool) -> Self {
        Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port, tls }
    }

    /// What `Host` headers have: the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let mut authority = self.host_and_port();
        if self.port == default_port(self.tls) {
            authority.truncate(authority.len() - format!(":{}", self.port).len());
        }
        authority
    }

    /// `host:port` as a URL has it.
    fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host_and_port(), if self.tls { " (TLS)" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_bare_addresses_name_host_port_and_tls() {
        for (text, place, tls) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", false),
            ("https://rtm.example.com/", "rtm.example.com", true),
            ("https://rtm.example.com:80/", "rtm.example.com:80", true),
            ("ws://rtm.example.com", "rtm.example.com", false),
            ("wss://rtm.example.com:8443", "rtm.example.com:8443", true),
            ("localhost:8080", "localhost:8080", false),
            ("localhost", "localhost", false),
            ("http://[::1]:8080", "[::1]:8080", false),
            ("http://[::1]:80", "[::1]", false),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.authority().as_str(), address.tls), (place, tls), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_fault() {
        for (text, fault) in [
            ("", AddressFault::NotAUrl),
            ("http://", AddressFault::NotAUrl),
            ("ftp://example.com", AddressFault::Scheme),
            ("/path", AddressFault::NoHost),
            ("http://example.com/path", AddressFault::Extra),
            ("http://example.com?x=1", AddressFault::Extra),
            ("http://user@example.com", AddressFault::User),
            ("http://user:secret@example.com", AddressFault::User),
            ("http://example.com:0", AddressFault::Port),
            ("http://example.com:99999", AddressFault::NotAUrl),
            ("http://example.com:", AddressFault::NotAUrl),
            ("http://:80", AddressFault::NoHost),
        ] {
            assert_eq!(Address::parse(text), Err(fault), "{text}");
        }
    }
}
