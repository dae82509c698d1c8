//! A proxy, and the way through it to a server.

mod socks;

use std::{error::Error, fmt, io, time::Duration};

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

use crate::{
    address::Address,
    cause::{explained, said},
    handshake::{Bounded, HEAD_BYTES, is_lasting_status},
    network::{Connector, Io},
    tls::Trust,
};

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

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, ProxyFault> {
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

/// How long a proxy may take to connect to the server: as long as TCP to it may take, and a round trip.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
