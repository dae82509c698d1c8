//! Proxies between the client and its server: which one a gateway is reached by, and the way through it.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1::{self, Parts},
    header::{self, HeaderValue},
};
use hyper_util::{
    client::proxy::matcher::{Intercept, Matcher},
    rt::TokioIo,
};
use tokio::{net::lookup_host, time::timeout};
use tokio_socks::{Error as SocksError, tcp::Socks5Stream};

use crate::{
    address::{Address, without_user},
    cause::{explained, said},
    handshake::{Bounded, HEAD_BYTES, is_lasting, is_lasting_status},
    network::{Connector, Io},
    tls::Trust,
};

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

/// Why a text is not a valid URL of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFault {
    /// It is neither a URL nor `host:port`.
    #[error("it is neither a URL nor host:port")]
    NotAUrl,
    /// The scheme is none of `http`, `https`, `socks5` and `socks5h`.
    #[error("its scheme is not http, https, socks5 or socks5h")]
    Scheme,
    /// There is no host.
    #[error("it has no host")]
    NoHost,
    /// It has a path or a query.
    #[error("it has a path or a query: remove that")]
    Extra,
    /// The port is 0.
    #[error("port 0 is not the port of a proxy")]
    Port,
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

/// Where a proxy is, and how to speak with it.
#[derive(Clone)]
pub(crate) struct Server {
    kind: Kind,
    host: String,
    port: u16,
    /// With user and password.
    intercept: Intercept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    /// `looks_up`: whether the proxy looks up names.
    Socks {
        looks_up: bool,
    },
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

impl Server {
    fn parse(url: &str) -> Result<Self, ProxyFault> {
        let uri: Uri = url.parse().map_err(|_| ProxyFault::NotAUrl)?;
        let (kind, usual_port) = match uri.scheme_str() {
            None | Some("http") => (Kind::Http, 80),
            Some("https") => (Kind::Https, 443),
            Some("socks5") => (Kind::Socks { looks_up: false }, 1080),
            Some("socks5h") => (Kind::Socks { looks_up: true }, 1080),
            Some(_) => return Err(ProxyFault::Scheme),
        };
        let authority = uri.authority().ok_or(ProxyFault::NoHost)?;
        if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return Err(ProxyFault::Extra);
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(ProxyFault::NoHost);
        }
        let port = match authority.port_u16() {
            Some(0) => return Err(ProxyFault::Port),
            Some(port) => port,
            None if authority.as_str().ends_with(host) => usual_port,
            None => return Err(ProxyFault::NotAUrl),
        };
        let anywhere = Uri::from_static("http://anywhere/");
        let intercept = Matcher::builder().all(url).build().intercept(&anywhere).ok_or(ProxyFault::NotAUrl)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { kind, host, port, intercept })
    }

    /// Opens a byte stream to `address` by way of this proxy. TLS with the server is not a part of it.
    pub(crate) async fn connect(
        &self,
        connector: &Connector,
        trust: &Trust,
        address: &Address,
    ) -> io::Result<Box<dyn Io>> {
        if let Kind::Socks { looks_up: false } = self.kind {
            let found = lookup_host((address.host.as_str(), address.port)).await?;
            return self.connect_socks_to_any(connector, found).await;
        }
        let stream = self.reach(connector).await?;
        let through = async {
            match self.kind {
                Kind::Http => self.connect_http(stream, address).await,
                Kind::Https => {
                    let stream = trust.handshake_with_proxy(&self.host, stream).await;
                    let stream = stream.map_err(|error| self.explain(error.kind(), "has no TLS", error))?;
                    self.connect_http(stream, address).await
                }
                Kind::Socks { .. } => {
                    let opened = self.connect_socks(stream, (address.host.clone(), address.port)).await;
                    opened.map_err(|error| self.explain_socks(error))
                }
            }
        };
        timeout(ANSWER_TIMEOUT, through).await.unwrap_or_else(|_| Err(self.too_late()))
    }

    /// Opens a byte stream to the proxy itself.
    async fn reach(&self, connector: &Connector) -> io::Result<Box<dyn Io>> {
        let stream = connector.connect(&self.host, self.port).await;
        stream.map_err(|error| self.explain(error.kind(), "cannot be reached", error))
    }

    async fn connect_http(&self, stream: Box<dyn Io>, address: &Address) -> io::Result<Box<dyn Io>> {
        let not_http = |error: hyper::Error| {
            let kind = if error.is_parse() { io::ErrorKind::InvalidData } else { io::ErrorKind::ConnectionAborted };
            self.explain(kind, "did not answer as an HTTP proxy does", error)
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(Bounded::new(stream, HEAD_BYTES))).await.map_err(not_http)?;
        let target = address.host_and_port();
        let mut request = Request::connect(&target).header(header::HOST, &target);
        if let Some(credentials) = self.intercept.basic_auth() {
            request = request.header::<_, HeaderValue>(header::PROXY_AUTHORIZATION, credentials.clone());
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
        // The connection works only while it is polled, and ends by itself once the proxy has switched.
        let answer = async {
            let response = sender.send_request(request).await.map_err(not_http)?;
            self.judge(response.status())
        };
        let connection = async { connection.without_shutdown().await.map_err(not_http) };
        let ((), Parts { io, read_buf, .. }) = tokio::try_join!(biased; answer, connection)?;
        if read_buf.is_empty() {
            Ok(io.into_inner().into_inner())
        } else {
            Err(self.say(io::ErrorKind::InvalidData, "sent more than its answer"))
        }
    }

    /// What the status of a proxy's answer means.
    fn judge(&self, status: StatusCode) -> io::Result<()> {
        if status.is_success() {
            return Ok(());
        }
        let has_credentials = self.intercept.basic_auth().is_some();
        let (kind, what) = match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED if has_credentials => {
                (io::ErrorKind::InvalidInput, "does not take this user and password (HTTP status 407)".to_owned())
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                (io::ErrorKind::InvalidInput, "wants a user and a password (HTTP status 407)".to_owned())
            }
            status if is_lasting_status(status) => {
                (io::ErrorKind::InvalidInput, format!("refuses with HTTP status {status}"))
            }
            status => (io::ErrorKind::ConnectionRefused, format!("answered with HTTP status {status}")),
        };
        Err(self.say(kind, &what))
    }

    /// Tries the addresses of a host in their order, each over a stream of its own: the proxy ends one that it could not
    /// connect.
    async fn connect_socks_to_any(
        &self,
        connector: &Connector,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> io::Result<Box<dyn Io>> {
        let mut failed = None;
        for address in addresses {
            let stream = self.reach(connector).await?;
            let opened = self.connect_socks(stream, (address.ip().to_string(), address.port()));
            let error = match timeout(ANSWER_TIMEOUT, opened).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) if is_of_proxy(&error) => return Err(self.explain_socks(error)),
                Ok(Err(error)) => self.explain_socks(error),
                Err(_) => self.too_late(),
            };
            // One that may answer the next time is a reason to try again.
            if failed.is_none() || !is_lasting(&error) {
                failed = Some(error);
            }
        }
        Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
    }

    async fn connect_socks(&self, stream: Box<dyn Io>, target: (String, u16)) -> Result<Box<dyn Io>, SocksError> {
        let opened = match self.intercept.raw_auth() {
            None => Socks5Stream::connect_with_socket(stream, target).await,
            Some((user, password)) => {
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
            }
        };
        opened.map(Socks5Stream::into_inner)
    }

    /// What the answer of a SOCKS proxy means.
    fn explain_socks(&self, error: SocksError) -> io::Error {
        let kind = |error: &SocksError| match error {
            SocksError::Io(error) => error.kind(),
            SocksError::InvalidTargetAddress(_)
            | SocksError::InvalidResponseVersion
            | SocksError::NoAcceptableAuthMethods
            | SocksError::UnknownAuthMethod
            | SocksError::ConnectionNotAllowedByRuleset
            | SocksError::CommandNotSupported
            | SocksError::AddressTypeNotSupported
            | SocksError::InvalidReservedByte
            | SocksError::UnknownAddressType
            | SocksError::InvalidAuthValues(_)
            | SocksError::PasswordAuthFailure(_)
            | SocksError::AuthorizationRequired => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::ConnectionRefused,
        };
        let has_credentials = self.intercept.raw_auth().is_some();
        let kind = kind(&error);
        match error {
            SocksError::PasswordAuthFailure(_) => self.say(kind, "does not take this user and password"),
            SocksError::NoAcceptableAuthMethods if !has_credentials => self.say(kind, "wants a user and a password"),
            SocksError::Io(error) => self.explain(kind, "could not connect", error),
            error => self.explain(kind, "could not connect", error),
        }
    }

    fn too_late(&self) -> io::Error {
        self.say(io::ErrorKind::TimedOut, "did not answer in time")
    }

    /// An error that names the proxy.
    fn say(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        said(kind, format!("the proxy {self} {what}"))
    }

    /// An error that names the proxy, with the one behind it.
    fn explain(&self, kind: io::ErrorKind, what: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
        explained(kind, format!("the proxy {self} {what}"), source)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::Socks { looks_up: false } => "socks5",
            Kind::Socks { looks_up: true } => "socks5h",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// Shows no user and no password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether a SOCKS proxy lets nobody through, to whichever address.
fn is_of_proxy(error: &SocksError) -> bool {
    matches!(
        error,
        SocksError::InvalidResponseVersion
            | SocksError::NoAcceptableAuthMethods
            | SocksError::UnknownAuthMethod
            | SocksError::CommandNotSupported
            | SocksError::InvalidAuthValues(_)
            | SocksError::PasswordAuthFailure(_)
            | SocksError::AuthorizationRequired
    )
}

/// How long a proxy may take to connect to the server: as long as TCP to it may take, and a round trip.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

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

    /// A SOCKS proxy that answers each address with a number, and what it was asked for.
    fn socks(answers: &'static [(&'static str, u8)]) -> (Connector, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        let connector = Connector::new(move |_, _| {
            let (here, mut there) = duplex(1024);
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut methods = [0; 3];
                there.read_exact(&mut methods).await.unwrap();
                there.write_all(&[5, 0]).await.unwrap();
                let mut request = [0; 10];
                there.read_exact(&mut request).await.unwrap();
                let [5, 1, 0, 1, a, b, c, d, ..] = request else { panic!("no IPv4 address: {request:?}") };
                let address = IpAddr::from([a, b, c, d]).to_string();
                let answer = answers.iter().find(|(known, _)| *known == address).map(|(_, answer)| *answer);
                seen.lock().unwrap().push(address);
                there.write_all(&[5, answer.unwrap(), 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
                let _ = there.write_all(b"here").await;
            });
            std::future::ready(io::Result::Ok(here))
        });
        (connector, asked)
    }

    /// The first words of whoever answers at one of these addresses.
    async fn through_socks(connector: &Connector, addresses: &[&str]) -> io::Result<String> {
        let server = Server::parse("socks5://proxy").unwrap();
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|address| format!("{address}:80").parse().unwrap()).collect();
        let mut stream = server.connect_socks_to_any(connector, addresses).await?;
        let mut words = String::new();
        stream.read_to_string(&mut words).await?;
        Ok(words)
    }

    #[tokio::test]
    async fn a_socks_proxy_is_asked_for_each_address_of_a_host_until_one_answers() {
        // 3 to 5: no way to the address; 8: an address of this kind is not known.
        let (connector, asked) = socks(&[("192.0.2.1", 4), ("192.0.2.2", 8), ("192.0.2.3", 0), ("192.0.2.4", 0)]);
        let words = through_socks(&connector, &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]).await;
        assert_eq!(words.unwrap(), "here");
        assert_eq!(*asked.lock().unwrap(), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let error = through_socks(&connector, &["192.0.2.1", "192.0.2.2"]).await.unwrap_err();
        assert!(!is_lasting(&error), "the first may answer the next time: {error}");
        let error = through_socks(&connector, &["192.0.2.2"]).await.unwrap_err();
        assert!(is_lasting(&error), "{error}");
        assert_eq!(through_socks(&connector, &[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
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
