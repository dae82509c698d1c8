//! An HTTP client for what the server tells a back end: one address, connections that are kept, no redirects.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    net::lookup_host,
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::guard::is_public;
use crate::error::ServerError;

/// How requests find their way to one back end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Route {
    /// Authorities that are trusted in place of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The certificate that the server shows, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Addresses of private networks are reached too.
    pub(crate) allow_private: bool,
}

/// What a back end answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Asks one back end.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    uri: Uri,
    timeout: Duration,
    files: FilesDigest,
}

/// What tells the certificates and the key that were read from others.
pub(crate) type FilesDigest = [u8; 32];

impl HttpClient {
    /// One for this address. Reads the files that `route` names. Blocks.
    pub(crate) fn new(uri: Uri, route: &Route, timeout: Duration) -> Result<Self, ServerError> {
        let mut connector = HttpConnector::new_with_resolver(Resolver { allow_private: route.allow_private });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let (tls, files) = tls(route)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .retry_canceled_requests(true)
            .build(connector);
        Ok(Self { client, uri, timeout, files })
    }

    /// Of the files that it has read, and of the system's authorities if it goes by those.
    pub(crate) fn files(&self) -> FilesDigest {
        self.files
    }

    /// Posts this, and gives the answer or what went wrong, in words.
    pub(crate) async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Reply, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        let until = Instant::now() + self.timeout;
        let late = || format!("no answer within {:?}", self.timeout);
        let response = timeout_at(until, self.client.request(request)).await.map_err(|_| late())?;
        let (head, body) = response.map_err(|error| causes(&error))?.into_parts();
        let body = match timeout_at(until, Limited::new(body, MOST_ANSWER).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            // What is more than that is of no use, and what was said is said.
            Ok(Err(error)) if error.is::<LengthLimitError>() => Bytes::new(),
            // Success stands in the head alone.
            _ if head.status.is_success() => Bytes::new(),
            Ok(Err(error)) => return Err(causes(&*error)),
            Err(_) => return Err(late()),
        };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

/// Why this address cannot be that of a back end, if it cannot.
pub(crate) fn fault(uri: &Uri, allow_private: bool) -> Option<String> {
    let Some(host) = uri.host().filter(|_| matches!(uri.scheme_str(), Some("http" | "https"))) else {
        return Some("it is no URL that begins with https:// or http://".to_owned());
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some("a URL with a user or a password is not taken".to_owned());
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    match address {
        Ok(address) if !allow_private && !is_public(address) => Some(refused(host)),
        _ => None,
    }
}

fn refused(host: &str) -> String {
    format!("{host} is in a private network: allow_private = true lets the server go there")
}

/// An error and what is behind it.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn tls(route: &Route) -> Result<(rustls::ClientConfig, FilesDigest), ServerError> {
    let fault = |key: &str, path: &Path, what: String| ServerError::Tls { key: key.into(), path: path.into(), what };
    let mut roots = RootCertStore::empty();
    let mut digest = Sha256::new();
    let mut digest_all = |all: &[CertificateDer<'_>]| {
        digest.update(all.len().to_be_bytes());
        for one in all {
            digest.update(one.len().to_be_bytes());
            digest.update(one);
        }
    };
    match &route.ca_file {
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let found = found.map_err(|error| fault("ca_file", path, error.to_string()))?;
            digest_all(&found);
            for certificate in found {
                roots.add(certificate).map_err(|error| fault("ca_file", path, error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(fault("ca_file", path, "there is no certificate in it".to_owned()));
            }
        }
        None => {
            let mut found = rustls_native_certs::load_native_certs().certs;
            found.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
            digest_all(&found);
            roots.add_parsable_certificates(found);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("ca_file", Path::new(""), error.to_string()))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &route.identity else {
        return Ok((config.with_no_client_auth(), digest.finalize().into()));
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| fault("client_certificate", certificate, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| fault("client_key", key, error.to_string()))?;
    digest_all(&chain);
    digest.update(private.secret_der());
    let config = config.with_client_auth_cert(chain, private);
    let config = config.map_err(|error| fault("client_key", key, error.to_string()))?;
    Ok((config, digest.finalize().into()))
}

/// Finds addresses, and only such as may be reached: what a name leads to is known only here.
#[derive(Debug, Clone)]
struct Resolver {
    allow_private: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<_> = lookup_host((name.as_str(), 0)).await?.collect();
            let reached: Vec<_> =
                found.iter().filter(|address| allow_private || is_public(address.ip())).copied().collect();
            if reached.is_empty() && !found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused(name.as_str())));
            }
            Ok(reached.into_iter())
        })
    }
}

/// How long a connection waits for its next request.
const IDLE: Duration = Duration::from_secs(50);
/// What is read of an answer, in bytes.
const MOST_ANSWER: usize = 64 * 1024;
