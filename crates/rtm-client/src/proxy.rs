//! Proxies between the client and its server: which one a gateway is reached by, and the way through it.

mod server;

use std::{fmt, io, net::IpAddr};

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use self::server::Server;
use crate::{
    address::{Address, without_user},
    cause::said,
};

pub use self::server::ProxyFault;

/// The proxy through which a client reaches its server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// No proxy, whatever the environment says.
    None,
    /// This proxy: an `http`, `https`, `socks5` or `socks5h` URL, with user and password if it asks for them. With
    /// `socks5h`, `http` and `https` the proxy looks up the name of the server; with `socks5` this machine does, and tries all of
    /// its addresses.
    Url(String),
}

impl From<&str> for Proxy {
    fn from(url: &str) -> Self {
        Self::Url(url.to_owned())
    }
}

impl From<String> for Proxy {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

/// Shows no user and no password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Url(url) => f.debug_tuple("Url").field(&without_user(url)).finish(),
        }
    }
}

/// Which gateways are reached by which proxy.
#[derive(Debug)]
pub(crate) struct Proxies {
    plain: Option<Setting>,
    tls: Option<Setting>,
    /// Tells the hosts that no proxy is for, where the environment says what to do.
    exceptions: Option<Matcher>,
}

/// A proxy, as it was set.
#[derive(Debug, Clone)]
struct Setting {
    /// The variable that names it.
    variable: &'static str,
    server: Result<Server, ProxyFault>,
}

impl Proxies {
    /// No proxy for any gateway.
    pub(crate) fn none() -> Self {
        Self { plain: None, tls: None, exceptions: None }
    }

    /// One proxy for every gateway.
    pub(crate) fn all(url: &str) -> Result<Self, ProxyFault> {
        let setting = Setting { variable: "", server: Ok(Server::parse(url)?) };
        Ok(Self { plain: Some(setting.clone()), tls: Some(setting), exceptions: None })
    }

    /// What the variables of the environment say, as curl reads them: in lower case before upper case, and an empty one
    /// means none. In a CGI program `HTTP_PROXY` is what a request had in its header `Proxy`, and is not read.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let setting = |names: &[&'static str]| {
            let set = names.iter().filter(|name| !(is_cgi && **name == "HTTP_PROXY"));
            let (name, url) = set.copied().find_map(|name| Some((name, variable(name)?)))?;
            (!url.is_empty()).then(|| Setting { variable: name, server: Server::parse(&url) })
        };
        let no_proxy = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
        let entries = no_proxy.split(|c: char| c == ',' || c.is_whitespace()).map(|entry| {
            let entry = entry.strip_prefix("*.").unwrap_or(entry).trim_end_matches('.');
            entry.trim_start_matches('[').trim_end_matches(']')
        });
        let entries: Vec<_> = entries.collect();
        if entries.contains(&"*") {
            // The matcher takes it for names only, and it is for addresses too.
            return Self::none();
        }
        Self {
            plain: setting(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            tls: setting(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            exceptions: Some(Matcher::builder().all("http://proxy").no(entries.join(",")).build()),
        }
    }

    /// The proxy for `address`, if it is reached by one.
    pub(crate) fn find(&self, address: &Address) -> io::Result<Option<&Server>> {
        let Some(Setting { variable, server }) = (if address.tls { &self.tls } else { &self.plain }) else {
            return Ok(None);
        };
        if let Some(exceptions) = &self.exceptions {
            let host = address.host.trim_end_matches('.');
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let uri = Uri::builder().scheme("http").authority(host).path_and_query("/").build();
            let uri = uri.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            if is_loopback(&address.host) || exceptions.intercept(&uri).is_none() {
                return Ok(None);
            }
        }
        match server {
            Ok(server) => Ok(Some(server)),
            // Trying again does not mend it.
            Err(fault) => Err(said(
                io::ErrorKind::InvalidInput,
                format!("the proxy that {variable} names cannot be used: {fault}"),
            )),
        }
    }
}

/// Whether a host is this machine, which no proxy leads to.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().map(|address| address.to_canonical()).is_ok_and(|address| {
            // To connect to no address at all is to connect to this machine.
            address.is_loopback() || address.is_unspecified()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxies::of_environment(find)
    }

    /// The proxy by which a gateway is reached.
    fn way(variables: &[(&str, &str)], gateway: &str) -> Option<String> {
        let address = Address::parse(gateway).unwrap();
        proxies(variables).find(&address).unwrap().map(|server| server.to_string())
    }

    #[test]
    fn the_variables_are_read_as_curl_reads_them() {
        let (plain, tls) = ("http://rtm.example.com", "wss://rtm.example.com");
        for (variables, by_plain, by_tls) in [
            (&[][..], None, None),
            (&[("HTTP_PROXY", "http://a:1")], Some("http://a:1"), None),
            (&[("HTTPS_PROXY", "http://a:1")], None, Some("http://a:1")),
            (&[("ALL_PROXY", "socks5h://a")], Some("socks5h://a:1080"), Some("socks5h://a:1080")),
            (&[("ALL_PROXY", "http://a:1"), ("HTTPS_PROXY", "b:2")], Some("http://a:1"), Some("http://b:2")),
            (&[("https_proxy", "http://low:1"), ("HTTPS_PROXY", "http://up:1")], None, Some("http://low:1")),
            (
                &[("https_proxy", ""), ("HTTPS_PROXY", "http://up:1"), ("ALL_PROXY", "http://all:1")],
                Some("http://all:1"),
                None,
            ),
            (&[("HTTP_PROXY", "http://a:1"), ("REQUEST_METHOD", "GET")], None, None),
            (&[("http_proxy", "http://a:1"), ("REQUEST_METHOD", "GET")], Some("http://a:1"), None),
            (&[("HTTPS_PROXY", "https://[2001:db8::1]")], None, Some("https://[2001:db8::1]:443")),
        ] {
            assert_eq!(way(variables, plain).as_deref(), by_plain, "{variables:?}");
            assert_eq!(way(variables, tls).as_deref(), by_tls, "{variables:?}");
        }
    }

    #[test]
    fn no_proxy_has_names_suffixes_addresses_and_networks_and_loopback_is_never_proxied() {
        let no = "example.com, .corp.test *.wild.test,10.0.0.0/8,192.0.2.7,2001:db8::/32";
        let variables = [("ALL_PROXY", "http://a:1"), ("NO_PROXY", no)];
        for host in [
            "example.com",
            "EXAMPLE.com",
            "example.com.",
            "rtm.example.com",
            "corp.test",
            "rtm.corp.test",
            "rtm.wild.test",
            "10.1.2.3",
            "192.0.2.7",
            "[2001:db8::5]",
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "127.1",
            "0x7f000001",
            "0.0.0.0",
            "[::]",
            "10.258",
        ] {
            assert_eq!(way(&variables, &format!("https://{host}:8443")), None, "{host}");
        }
        for host in ["notexample.com", "example.com.org", "notcorp.test", "11.0.0.1", "192.0.2.8", "[2001:db9::5]"] {
            assert!(way(&variables, &format!("https://{host}")).is_some(), "{host}");
        }
        for no_proxy in ["*", "example.org, *"] {
            let variables = [("ALL_PROXY", "http://a:1"), ("no_proxy", no_proxy)];
            for gateway in ["https://example.com", "http://192.0.2.1", "https://[2001:db8::1]"] {
                assert_eq!(way(&variables, gateway), None, "{no_proxy} {gateway}");
            }
        }
        assert_eq!(way(&[("ALL_PROXY", "http://a:1"), ("no_proxy", "a.test\nb.test\n")], "http://b.test"), None);
        assert_eq!(way(&[("ALL_PROXY", "http://a:1")], "http://127.0.0.1:8080"), None);
    }

    #[test]
    fn a_proxy_that_is_set_is_for_every_gateway() {
        let proxies = Proxies::all("http://a:1").unwrap();
        for gateway in ["http://localhost", "https://example.com"] {
            assert!(proxies.find(&Address::parse(gateway).unwrap()).unwrap().is_some(), "{gateway}");
        }
        assert!(Proxies::none().find(&Address::parse("http://example.com").unwrap()).unwrap().is_none());
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_its_fault() {
        for (url, fault) in [
            ("", ProxyFault::NotAUrl),
            ("ftp://a", ProxyFault::Scheme),
            ("socks4://a", ProxyFault::Scheme),
            ("http://a/path", ProxyFault::Extra),
            ("http://a:0", ProxyFault::Port),
            ("http://a:99999", ProxyFault::NotAUrl),
            ("http://a:", ProxyFault::NotAUrl),
            ("/a", ProxyFault::NoHost),
        ] {
            assert_eq!(Proxies::all(url).unwrap_err(), fault, "{url}");
        }
        // A proxy that is named wrongly is not passed over: what is sent could go where it must not.
        let proxies = proxies(&[("HTTPS_PROXY", "gopher://user:secret@a")]);
        let error = proxies.find(&Address::parse("https://example.com").unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = error.to_string();
        assert!(error.contains("HTTPS_PROXY") && error.contains("scheme") && !error.contains("secret"), "{error}");
        assert!(proxies.find(&Address::parse("https://localhost").unwrap()).unwrap().is_none());
    }

    #[test]
    fn nothing_shows_the_credentials() {
        for url in
            ["http://user:s3cret@a:1", "socks5h://user:s3cret@a:1", "user:s3cret@a:1", "http://user:s3/c@ret@a:1"]
        {
            let shown = format!("{:?}", Proxy::from(url));
            assert!(!shown.contains("user") && !shown.contains("s3") && !shown.contains("ret"), "{shown}");
            if let Ok(proxies) = Proxies::all(url) {
                let shown = format!("{proxies:?}");
                assert!(!shown.contains("user") && !shown.contains("s3cret"), "{shown}");
            }
        }
    }
}
