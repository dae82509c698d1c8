//! Where a server is: the URL that a user writes, taken apart.

use std::{fmt, net::Ipv4Addr};

use hyper::Uri;

/// Host, port, path, and whether TLS is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A host name or an IP address, IPv6 without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What everything there lies below; empty for the root.
    pub(crate) path: String,
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
    #[error("its scheme is not http, https, ws or wss")]
    Scheme,
    /// There is no host.
    #[error("it has no host")]
    NoHost,
    /// There is a query, which gateways do not have.
    #[error("it has a query: remove that")]
    Query,
    /// There is a user or a password, for which gateways have no use.
    #[error("it has a user or a password: remove them")]
    User,
    /// The port is 0.
    #[error("port 0 is not the port of a server")]
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
        if uri.query().is_some() {
            return Err(AddressFault::Query);
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
        let path = if uri.path() == "/" { "" } else { uri.path() };
        Ok(Self { host: canonical(host), port, path: path.to_owned(), tls })
    }

    /// The address of a server that the gateway here names. If that is where the gateway is, it is below the same path.
    pub(crate) fn named(&self, host: &str, port: u16) -> Self {
        let host = canonical(host);
        let is_here = host == self.host && port == self.port;
        let path = if is_here { self.path.clone() } else { String::new() };
        Self { host, port, path, tls: self.tls }
    }

    /// The path of `endpoint`, which begins with a slash.
    #[cfg(any(test, feature = "vendor"))]
    pub(crate) fn path_of(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.path.trim_end_matches('/'))
    }

    /// The path of the WebSocket: the gateway's own, as the user wrote it.
    pub(crate) fn websocket_path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
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
    pub(crate) fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A URL as an error or a log may show it: without user, password and query.
pub(crate) fn without_user(url: &str) -> String {
    let shown = match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
        (_, Some(at)) => url[at + 1..].to_owned(),
        (_, None) => url.to_owned(),
    };
    match shown.split_once('?') {
        Some((shown, _)) => format!("{shown}?…"),
        None => shown,
    }
}

/// Without the brackets of an IPv6 address. An IPv4 address is written out, as URLs in a browser are: `127.1` is
/// `127.0.0.1`. The system would look it up as that, and rules for addresses would not know it.
fn canonical(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    short_ipv4(host).map_or_else(|| host.to_owned(), |address| address.to_string())
}

/// An IPv4 address of up to four numbers, each decimal, octal (`0…`) or hexadecimal (`0x…`), of which the last has the
/// rest of the bytes.
fn short_ipv4(host: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| {
        let (digits, radix) = match (part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")), part.len()) {
            (Some(digits), _) => (digits, 16),
            (None, 2..) if part.starts_with('0') => (&part[1..], 8),
            (None, _) => (part, 10),
        };
        // A sign is no digit.
        if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
    };
    let numbers: Vec<_> = host.strip_suffix('.').unwrap_or(host).split('.').map(number).collect::<Option<_>>()?;
    let (last, bytes) = numbers.split_last()?;
    if bytes.len() > 3 || bytes.iter().any(|byte| *byte > 255) {
        return None;
    }
    let rest = 32 - 8 * bytes.len() as u32;
    if u64::from(*last) >> rest > 0 {
        return None;
    }
    let bytes = bytes.iter().enumerate().map(|(at, byte)| byte << (24 - 8 * at));
    Some(Ipv4Addr::from(bytes.sum::<u32>() + last))
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.host_and_port(), self.path, if self.tls { " (TLS)" } else { "" })
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
    fn an_ipv4_address_is_written_out_as_in_a_browser() {
        for (host, shown) in [
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("0", "0.0.0.0"),
            ("10.65537", "10.1.0.1"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7.", "192.0.2.7"),
            ("4294967295", "255.255.255.255"),
            ("4294967296", "4294967296"),
            ("1.2.3.256", "1.2.3.256"),
            ("1.2.3.4.5", "1.2.3.4.5"),
            ("256.1", "256.1"),
            ("1.08", "1.08"),
            ("1.0x", "1.0x"),
            ("1e3.example.com", "1e3.example.com"),
        ] {
            assert_eq!(Address::parse(host).unwrap().host, shown, "{host}");
        }
        assert_eq!(Address::parse("http://127.1").unwrap().named("127.1", 80).host, "127.0.0.1");
    }

    #[test]
    fn a_path_is_what_everything_there_lies_below() {
        for (text, websocket, endpoint) in [
            ("http://example.com", "/", "/arapi/v1"),
            ("http://example.com/", "/", "/arapi/v1"),
            ("https://example.com/rtm", "/rtm", "/rtm/arapi/v1"),
            ("https://example.com/a/b/", "/a/b/", "/a/b/arapi/v1"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.websocket_path(), address.path_of("/arapi/v1").as_str()), (websocket, endpoint));
        }
        let gateway = Address::parse("https://example.com/rtm").unwrap();
        assert_eq!(gateway.named("example.com", 443), gateway);
        assert_eq!(gateway.named("example.com", 444).websocket_path(), "/");
    }

    #[test]
    fn what_is_shown_has_no_user_and_no_password() {
        for (url, shown) in [
            ("http://user:secret@a:1/b", "http://a:1/b"),
            ("user:secret@a", "a"),
            ("http://user:se@cret@a", "http://a"),
            ("user:secret@http://a", "http://a"),
            ("http://a?token=secret", "http://a?…"),
            ("http://a", "http://a"),
        ] {
            assert_eq!(without_user(url), shown);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_fault() {
        for (text, fault) in [
            ("", AddressFault::NotAUrl),
            ("http://", AddressFault::NotAUrl),
            ("ftp://example.com", AddressFault::Scheme),
            ("/path", AddressFault::NoHost),
            ("http://example.com?x=1", AddressFault::Query),
            ("http://example.com/path?x=1", AddressFault::Query),
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
