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
use rtm_codec::limits::MESSAGE_BYTES;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    net::lookup_host,
    sync::Semaphore,
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
    /// Or why it was not read.
    pub(crate) body: Result<Bytes, String>,
}

/// What becomes of a request whose connection ends before the answer begins. Back ends close connections that they take for idle,
/// and that may cross a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It has failed.
    Fails,
    /// It is sent once more, as long as there is time.
    SentAgain,
}

/// Asks one back end.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    uri: Uri,
    timeout: Duration,
    broken: Broken,
    /// For the requests that may be open.
    places: Arc<Semaphore>,
    files: FilesDigest,
}

/// What tells the certificates and the key that were read from others.
pub(crate) type FilesDigest = [u8; 32];

impl HttpClient {
    /// One for this address. Reads the files that `route` names. Blocks.
    pub(crate) fn new(uri: Uri, route: &Route, timeout: Duration, broken: Broken) -> Result<Self, ServerError> {
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
            .pool_max_idle_per_host(MOST_OPEN)
            .retry_canceled_requests(true)
            .build(connector);
        Ok(Self { client, uri, timeout, broken, places: Arc::new(Semaphore::new(MOST_OPEN)), files })
    }

    /// Of the files that it has read, and of the system's authorities if it goes by those.
    pub(crate) fn files(&self) -> FilesDigest {
        self.files
    }

    /// Posts this, and gives the answer or what went wrong, in words.
    pub(crate) async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Reply, String> {
        let until = Instant::now() + self.timeout;
        let late = || format!("no answer within {:?}", self.timeout);
        let crowded = || format!("{MOST_OPEN} other requests were open for {:?}", self.timeout);
        // It is never closed, so that this is a place.
        let _place = timeout_at(until, self.places.acquire()).await.map_err(|_| crowded())?;
        let mut tries = if self.broken == Broken::SentAgain { 2 } else { 1 };
        let (head, body) = loop {
            tries -= 1;
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.uri.clone();
            *request.headers_mut() = headers.clone();
            match timeout_at(until, self.client.request(request)).await.map_err(|_| late())? {
                Ok(response) => break response.into_parts(),
                Err(error) if tries > 0 && !error.is_connect() => {}
                Err(error) => return Err(causes(&error)),
            }
        };
        let read = timeout_at(until, Limited::new(body, MOST_ANSWER).collect()).await;
        let (body, is_long) = match read {
            Ok(Ok(body)) => (Ok(body.to_bytes()), false),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                (Err(format!("the answer is longer than {MOST_ANSWER} bytes")), true)
            }
            Ok(Err(error)) => (Err(causes(&*error)), false),
            Err(_) => (Err(late()), false),
        };
        match body {
            // Success stands in the head alone, and whoever says more than is read has said enough.
            Err(what) if !head.status.is_success() && !is_long => Err(what),
            body => Ok(Reply { status: head.status, headers: head.headers, body }),
        }
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

/// How long a connection waits for its next request: less than the 5 s after which common back ends close it.
const IDLE: Duration = Duration::from_secs(4);
/// So many requests are open at once; further ones wait for those.
const MOST_OPEN: usize = 256;
/// What is read of an answer, in bytes: room for the longest text of a message, each byte of which JSON may write as six.
const MOST_ANSWER: usize = 6 * MESSAGE_BYTES + 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    use super::*;

    /// A client of a listener of its own.
    async fn client(timeout: Duration, broken: Broken) -> (HttpClient, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let route = Route { allow_private: true, ..Route::default() };
        (HttpClient::new(uri, &route, timeout, broken).unwrap(), listener)
    }

    async fn post(client: &HttpClient) -> Result<Reply, String> {
        client.post(HeaderMap::new(), Bytes::from_static(b"{}")).await
    }

    /// Reads a request, of which the body is known.
    async fn read_request(stream: &mut TcpStream) {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n{}") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
    }

    async fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        // The client may have read enough.
        let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_says_so_and_has_its_status() {
        let (client, listener) = client(Duration::from_secs(20), Broken::Fails).await;
        let serving = async {
            for (status, len) in [("200 OK", MOST_ANSWER), ("200 OK", MOST_ANSWER + 1), ("410 Gone", MOST_ANSWER + 1)] {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_request(&mut stream).await;
                let body = vec![b' '; len];
                answer(&mut stream, &format!("{status}\r\nConnection: close"), &body).await;
            }
        };
        let asking = async {
            let whole = post(&client).await.unwrap();
            assert_eq!((whole.status, whole.body.map(|body| body.len())), (StatusCode::OK, Ok(MOST_ANSWER)));
            for wanted in [StatusCode::OK, StatusCode::GONE] {
                let Reply { status, body, .. } = post(&client).await.unwrap();
                assert_eq!((status, body), (wanted, Err(format!("the answer is longer than {MOST_ANSWER} bytes"))));
            }
        };
        tokio::join!(serving, asking);
    }

    #[tokio::test]
    async fn what_a_closing_connection_left_unanswered_is_sent_once_more_if_that_is_wanted() {
        for (broken, closes, is_answered) in
            [(Broken::Fails, 1, false), (Broken::SentAgain, 1, true), (Broken::SentAgain, 2, false)]
        {
            let (client, listener) = client(Duration::from_secs(20), broken).await;
            let asked = AtomicUsize::new(0);
            let serving = async {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    read_request(&mut stream).await;
                    if asked.fetch_add(1, Ordering::Relaxed) >= closes {
                        answer(&mut stream, "200 OK", b"").await;
                    }
                }
            };
            let reply = tokio::select! {
                reply = post(&client) => reply,
                () = serving => unreachable!("it serves for ever"),
            };
            assert_eq!(reply.is_ok(), is_answered, "{broken:?}: {reply:?}");
            let tries = if broken == Broken::SentAgain { 2 } else { 1 };
            assert_eq!(asked.load(Ordering::Relaxed), tries, "{broken:?}");
        }
    }

    #[tokio::test]
    async fn so_many_requests_are_open_at_once_and_the_next_ones_wait_for_those() {
        let (client, listener) = client(Duration::from_secs(20), Broken::SentAgain).await;
        let (told, mut asked) = mpsc::unbounded_channel();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let told = told.clone();
                tokio::spawn(async move {
                    read_request(&mut stream).await;
                    told.send(stream).unwrap();
                });
            }
        });
        let posts: Vec<_> = (0..MOST_OPEN + 1)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { post(&client).await.map(|reply| reply.status) })
            })
            .collect();
        let mut open = Vec::new();
        for _ in 0..MOST_OPEN {
            open.push(asked.recv().await.unwrap());
        }
        assert_eq!(client.places.available_permits(), 0);
        tokio::task::yield_now().await;
        assert!(asked.try_recv().is_err(), "one waits");
        for stream in &mut open {
            answer(stream, "200 OK\r\nConnection: close", b"").await;
        }
        drop(open);
        answer(&mut asked.recv().await.unwrap(), "200 OK\r\nConnection: close", b"").await;
        for post in posts {
            assert_eq!(post.await.unwrap(), Ok(StatusCode::OK));
        }
        serving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_gets_no_place_in_time_is_not_sent() {
        let (client, _listener) = client(Duration::from_secs(5), Broken::SentAgain).await;
        let _places = client.places.acquire_many(MOST_OPEN as u32).await.unwrap();
        let what = post(&client).await.unwrap_err();
        assert_eq!(what, format!("{MOST_OPEN} other requests were open for 5s"));
    }
}
