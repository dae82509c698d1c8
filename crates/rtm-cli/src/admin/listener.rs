//! The admin listener of a server, as `rtm admin` reaches it: over http, or https.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::call::encoded;
use crate::{
    exit::WrongArgument,
    values::{authorities, certificates, private_key, read},
};

/// Where a server's admin listener is, and what it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct ListenerArgs {
    /// Address of the server's admin listener.
    #[arg(long, env = "RTM_ADMIN_URL", default_value = "http://127.0.0.1:8090", global = true)]
    url: String,
    /// Key for it.
    #[arg(long, env = "RTM_ADMIN_KEY", hide_env_values = true, global = true)]
    key: Option<String>,
    /// In a cluster: the node that answers. By default lists are of all nodes, and the rest is that of the node at --url.
    #[arg(long, value_name = "NAME", global = true)]
    node: Option<String>,
    /// PEM file with more certificates to trust, for an https address: the server's own, or that of its authority.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// PEM file with a certificate to show, for a listener that asks for one; needs --cert-key.
    #[arg(long, value_name = "FILE", requires = "cert_key", global = true)]
    cert: Option<PathBuf>,
    /// PEM file with the private key of --cert.
    #[arg(long, value_name = "FILE", requires = "cert", global = true)]
    cert_key: Option<PathBuf>,
}

/// An admin listener.
pub(super) struct Listener {
    url: String,
    key: Option<String>,
    node: Option<String>,
    /// Its host as requests name it, and what stands before the paths of calls.
    authority: String,
    path: String,
    address: (String, u16),
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Any stream of bytes.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

impl Listener {
    /// The one that the arguments name. Reads the files that they name.
    pub(super) fn new(args: ListenerArgs) -> anyhow::Result<Self> {
        let ListenerArgs { url, key, node, ca, cert, cert_key } = args;
        let uri: Uri = url.parse().map_err(|error| WrongArgument(format!("{url:?} is not a URL: {error}")))?;
        let authority = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
        let Some(authority) = authority else {
            return Err(WrongArgument(format!("{url:?} is not a URL like http://127.0.0.1:8090")).into());
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match is_tls {
            false => None,
            true => {
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|error| WrongArgument(format!("{url:?} has no name of a host: {error}")))?;
                let config = tls(ca.as_ref(), cert.as_ref().zip(cert_key.as_ref()))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        let (authority, path) = (authority.to_string(), uri.path().trim_end_matches('/').to_owned());
        Ok(Self { url, key, node, authority, path, address: (host, port), tls })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The node that is to answer, if one is named.
    pub(super) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// Makes a call. Gives the answer, or the error that it is.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        // A variable without a value is as one that is not there.
        let key = self
            .key
            .as_ref()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| WrongArgument("no key: use --key or RTM_ADMIN_KEY".to_owned()))?;
        let node = self.node.as_deref().map_or(String::new(), |node| {
            format!("{}node={}", if path.contains('?') { '&' } else { '?' }, encoded(node))
        });
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/admin/v1{path}{node}", self.path))
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default())));
        let (status, bytes) = self.answer(request).await?;
        // What a parser has to say of something else helps nobody.
        let Ok(answer) = serde_json::from_slice::<Value>(&bytes) else {
            bail!("{} is not the admin listener of a server: it answers {status}", self.url);
        };
        match answer["error"]["message"].as_str() {
            // A reload is refused for what stands in the server's files.
            Some(message) if status == StatusCode::BAD_REQUEST && path != "/reload" => {
                Err(WrongArgument(message.to_owned()).into())
            }
            Some(message) => bail!("{message}"),
            None => Ok(answer),
        }
    }

    /// Whether the server is ready for clients, and what it answers: null unless that is JSON. Needs no key.
    pub(super) async fn ready(&self) -> anyhow::Result<(bool, Value)> {
        if self.node.is_some() {
            return Err(WrongArgument(
                "only the server at --url says whether it is ready: leave out --node".to_owned(),
            )
            .into());
        }
        let request = Request::builder().uri(format!("{}/readyz", self.path)).body(Full::default());
        let (status, bytes) = self.answer(request).await?;
        if !matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) {
            bail!("{} is no listener of a server: it answers {status}", self.url);
        }
        Ok((status == StatusCode::OK, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    async fn answer(&self, request: hyper::http::Result<Request<Full<Bytes>>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = request.map_err(|error| WrongArgument(error.to_string()))?;
        timeout(PATIENCE, self.send(request)).await.with_context(|| format!("{} does not answer", self.url))?
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let url = &self.url;
        let host_header = HeaderValue::from_str(&self.authority).map_err(|error| WrongArgument(error.to_string()))?;
        request.headers_mut().insert(HOST, host_header);
        let (host, port) = &self.address;
        let stream =
            TcpStream::connect((host.as_str(), *port)).await.with_context(|| format!("cannot connect to {url}"))?;
        let stream: Box<dyn Io> = match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                Box::new(stream.map_err(|error| no_tls(url, error))?)
            }
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| no_answer(url, error))?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let bytes = bytes.map_err(anyhow::Error::from_boxed)?;
        connection.abort();
        Ok((status, bytes.to_bytes()))
    }
}

/// What the end of a handshake means.
fn no_tls(url: &str, error: io::Error) -> anyhow::Error {
    let what = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => {
            format!("{url} does not speak TLS: write http:// in place of https://")
        }
        Some(rustls::Error::InvalidCertificate(_)) => format!("{url} is not trusted: --ca FILE names its certificate"),
        _ => format!("cannot speak TLS to {url}"),
    };
    anyhow::Error::new(error).context(what)
}

/// What it means that no answer came.
fn no_answer(url: &str, error: hyper::Error) -> anyhow::Error {
    let what = if error.is_parse() && url.starts_with("http:") {
        format!("{url} does not answer in HTTP: if it speaks TLS, write https:// in place of http://")
    } else {
        format!("{url} does not answer")
    };
    anyhow::Error::new(error).context(what)
}

/// Trusts the system's authorities and those of a file, and shows a certificate where there is one.
fn tls(ca: Option<&PathBuf>, identity: Option<(&PathBuf, &PathBuf)>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca {
        roots.add_parsable_certificates(authorities(&read(file)?, file)?);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let (chain, private) = (certificates(&read(certificate)?, certificate)?, private_key(&read(key)?, key)?);
    let no_pair = || format!("{} has no key for the certificate in {}", key.display(), certificate.display());
    builder.with_client_auth_cert(chain, private).with_context(no_pair)
}

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What an answer may have.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
