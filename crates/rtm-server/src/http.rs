//! The HTTP side of the port: the vendor's gateway, health, and the handshake that turns a connection
//! into a WebSocket one. Each connection carries one request, but for those of back ends.

pub(crate) mod handshake;

use std::{
    convert::Infallible,
    error::Error,
    net::IpAddr,
    pin::pin,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::Body,
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use rtm_codec::{
    ErrorKind, Refusal, UserId, Wire,
    anyrtc::gateway::{Address, Endpoint, GatewayAnswer, GatewayRequest},
};
use rtm_core::HttpId;
use tokio::time::{Instant, timeout};
use tracing::debug;

#[cfg(feature = "rest")]
use rtm_codec::anyrtc::rest::RestRefusal;

use self::handshake::{handshake, is_websocket, switch};
#[cfg(feature = "rest")]
use crate::rest;
use crate::{
    clock::instant,
    config::Advertise,
    counted::Counted,
    http_figures::Api,
    project::Project,
    refusals::{login_refused, too_many_refused},
    remote::Remote,
    shared::{Guest, NOT_ALIVE, Shared, readiness},
    socket::Socket,
    stream::Stream,
};

/// Serves a connection until it has had its answer, or has become a WebSocket one with a task of its own. A request has
/// what is left of the time of a handshake that has `begun`, and its answer as long as some of it is taken in each such time.
pub(crate) async fn serve(stream: Stream, begun: Instant, shared: Arc<Shared>, guest: Arc<Guest>) {
    let patience = shared.live().handshake_timeout;
    let exchange = &Exchange::new(shared, guest);
    let draining = exchange.shared.draining.begins();
    let (stream, moved) = Counted::new(stream);
    let service_moved = &moved;
    let service = service_fn(move |request| async move {
        let mut response = service_moved.while_it_is_served(exchange.answer(request)).await;
        if is_kept(&response) {
            service_moved.keep();
        } else if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(response)
    });
    // Heads that are too large are read a little further, so that they get an answer that a browser can read.
    let connection = http1::Builder::new()
        .max_buf_size(4 * HEAD_BYTES)
        .max_headers(4 * HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let connection = async {
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = draining => {}
        }
        // One that waits for nothing but its next request ends at once.
        if moved.is_kept() {
            connection.as_mut().graceful_shutdown();
        }
        connection.await
    };
    let ended = moved.while_it_moves(patience.saturating_sub(begun.elapsed()), patience, connection).await;
    let is_written = matches!(ended, Some(Ok(())));
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => debug!(remote = %exchange.guest.remote, "{error}"),
        None => debug!(remote = %exchange.guest.remote, "the request or its answer takes too long"),
    }
    if let Some((project, id)) = exchange.handed_out.get() {
        project.http_answer_ended(*id, is_written);
    }
}

/// Whether the connection stays open after an answer.
#[cfg(feature = "rest")]
fn is_kept<B>(response: &Response<B>) -> bool {
    response.extensions().get::<rest::Kept>().is_some()
}

#[cfg(not(feature = "rest"))]
fn is_kept<B>(_: &Response<B>) -> bool {
    false
}

/// One request and its answer: what a connection is before it is a WebSocket one, or all that it is.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    /// The other side of the connection.
    guest: Arc<Guest>,
    /// The answer that holds stored messages, if it does.
    handed_out: OnceLock<(Arc<Project>, HttpId)>,
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>, guest: Arc<Guest>) -> Self {
        Self { shared, guest, handed_out: OnceLock::new() }
    }

    /// The answer that holds stored messages, if it does: when it is written, or is not, its project has to hear of it.
    #[cfg(feature = "http")]
    pub(crate) fn into_handed_out(self) -> Option<(Arc<Project>, HttpId)> {
        self.handed_out.into_inner()
    }

    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let behind = match self.client(&request) {
            Ok(client) => client,
            Err(address) => {
                debug!(remote = %address, "too many connections from this address");
                let mut response =
                    text(StatusCode::TOO_MANY_REQUESTS, "there are too many connections from this address\n");
                response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                return response;
            }
        };
        let guest = behind.as_ref().unwrap_or(&self.guest);
        let checked = check(&request);
        #[cfg(feature = "rest")]
        if request.method() != Method::OPTIONS && is_rest(&self.shared, &request) {
            let refused = match checked {
                Err((status, what)) => Some(rest::refusal(status, what)),
                Ok(()) => guest.is_spare.then_some(RestRefusal::Unavailable),
            };
            let mut response = rest::answer(&self.shared, guest, request, refused).await;
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return response;
        }
        let mut response = match checked {
            Err((status, what)) => {
                debug!(remote = %guest.remote, %status, "a request is refused: {}", what.trim_end());
                text(status, what)
            }
            Ok(()) if guest.is_spare && ![LIVE, READY, HEALTH].contains(&request.uri().path()) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "the server has no descriptors left for this connection\n")
            }
            Ok(()) if is_websocket(request.headers()) => return self.open_websocket(request, guest),
            Ok(()) => self.request(request, guest).await,
        };
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }

    /// The client of a request that comes by a trusted proxy, if it names that; or its address, if it may not come in.
    fn client<B>(&self, request: &Request<B>) -> Result<Option<Arc<Guest>>, IpAddr> {
        let Some(peer) = self.guest.remote.address else { return Ok(None) };
        let live = self.shared.live();
        if !live.proxies.asks_headers_of(peer.ip()) {
            return Ok(None);
        }
        let client = live.proxies.client(peer.ip(), request.headers());
        let admission = &self.shared.admission;
        // How often back ends may call is the project's to say, and how often a proxy asks for itself is the proxy's.
        let is_free = is_rest(&self.shared, request) || (live.proxies.trusts(client) && !may_log_in(request));
        let admitted = match is_free {
            true => admission.admit_call(),
            false => admission.admit_behind(client, instant()).ok_or(client)?,
        };
        let remote = Remote { address: Some((client, 0).into()), ..self.guest.remote };
        let is_spare = self.guest.is_spare;
        Ok(Some(Arc::new(Guest { remote, is_spare, admitted, carrier: Some(Arc::clone(&self.guest)) })))
    }

    /// Turns the connection into a WebSocket one, with a task of its own.
    fn open_websocket<B>(&self, mut request: Request<B>, guest: &Arc<Guest>) -> Response<Full<Bytes>> {
        // The HTTP server of an application may not be able to.
        let is_possible = request.extensions().get::<OnUpgrade>().is_some();
        let upgrade = hyper::upgrade::on(&mut request);
        let asked = handshake(&request);
        let asked = if is_possible { asked } else { asked.and(Err((StatusCode::UPGRADE_REQUIRED, CANNOT_UPGRADE))) };
        match asked {
            Ok((wire, accept)) => {
                let (shared, guest) = (Arc::clone(&self.shared), Arc::clone(guest));
                self.shared.tasks.spawn(upgraded(upgrade, wire, shared, guest));
                switch(wire, accept)
            }
            Err((status, what)) => {
                if request.version() < Version::HTTP_11 {
                    // A proxy's fault, which nobody but the operator can heal.
                    self.shared.old_handshakes.warn(format_args!("{}: {}", guest.remote, what.trim_end()));
                }
                debug!(remote = %guest.remote, %status, "a handshake is refused: {}", what.trim_end());
                let mut response = text(status, what);
                let headers = response.headers_mut();
                if status == StatusCode::UPGRADE_REQUIRED {
                    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                }
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                response
            }
        }
    }

    async fn request<B>(&self, request: Request<B>, guest: &Guest) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let endpoint = Endpoint::find(request.uri().path(), request.uri().query());
        match (request.method(), endpoint) {
            (&Method::OPTIONS, _) => preflight(request.headers()),
            (&Method::GET | &Method::HEAD, None) if request.uri().path() == HEALTH => {
                let health = self.shared.health();
                health.map_or_else(|why| text(StatusCode::SERVICE_UNAVAILABLE, why), |()| text(StatusCode::OK, "ok\n"))
            }
            (&Method::GET | &Method::HEAD, None) if request.uri().path() == LIVE => {
                match self.shared.says_it_lives().await {
                    true => text(StatusCode::OK, "ok\n"),
                    false => text(StatusCode::SERVICE_UNAVAILABLE, NOT_ALIVE),
                }
            }
            (&Method::GET | &Method::HEAD, None) if request.uri().path() == READY => {
                let reasons = self.shared.unready();
                let mut response = Response::new(Full::from(readiness(&reasons)));
                if !reasons.is_empty() {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
            (&Method::POST, Some(endpoint)) => {
                let asked = self.shared.http.begin(Api::Gateway, request.method());
                let response = self.gateway(endpoint, request, guest).await;
                asked.answered(response.status());
                response
            }
            (_, Some(_)) => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only POST is understood here\n");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
                response
            }
            (&Method::GET, None) if request.headers().contains_key(header::SEC_WEBSOCKET_KEY) => {
                self.shared.old_handshakes.warn(format_args!("{}: {}", guest.remote, NO_UPGRADE.trim_end()));
                let mut response = text(StatusCode::UPGRADE_REQUIRED, NO_UPGRADE);
                response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                response
            }
            (_, None) => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        }
    }

    /// Reads the body, whatever its type is said to be, and answers with a code.
    async fn gateway<B>(&self, endpoint: Endpoint, request: Request<B>, guest: &Guest) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let host = host(&request).map(str::to_owned);
        let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB\n");
        if request.body().size_hint().lower() > BODY_BYTES as u64 {
            return too_large();
        }
        let body = pin!(Limited::new(request.into_body(), BODY_BYTES));
        let body = match timeout(self.shared.live().handshake_timeout, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
            Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body did not arrive\n"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body takes too long\n"),
        };
        let mut login = Asker::default();
        let answer = match GatewayRequest::decode(endpoint, &body) {
            Ok(request) => {
                login = Asker::of(&request, &self.shared);
                self.ask(request, host.as_deref(), guest).await
            }
            Err(refusal) => Err(refusal),
        };
        let answer = answer.unwrap_or_else(|refusal| {
            debug!(remote = %guest.remote, "a request is refused: {refusal}");
            if endpoint == Endpoint::Gateway {
                let Asker { project, user_id } = &login;
                let user_id = user_id.as_ref().map(UserId::as_str);
                login_refused(&self.shared, guest, project.as_deref(), user_id, &refusal);
            }
            GatewayAnswer::Refused(refusal.kind)
        });
        let mut response = Response::new(Full::from(answer.encode()));
        *response.status_mut() = StatusCode::from_u16(answer.status()).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }

    /// Asks the project, and adds to its answer what only a listener knows: where clients reach this server.
    async fn ask(&self, request: GatewayRequest, host: Option<&str>, guest: &Guest) -> Result<GatewayAnswer, Refusal> {
        if !guest.admitted.may_login(instant()) {
            return Err(too_many_refused());
        }
        let Some(project) = self.shared.project(request.app_id(), user_of(&request)) else {
            return Err(ErrorKind::InvalidAppId.into());
        };
        let is_full = matches!(request, GatewayRequest::Connect { .. }) && self.shared.memory.refuses();
        if !self.shared.is_serving() || !project.is_open() || is_full {
            return Ok(GatewayAnswer::TryAgain);
        }
        let tls = guest.remote.is_tls || matches!(request, GatewayRequest::Connect { tls: true, .. });
        let (id, mut answer) = project.ask(request).await;
        match &mut answer {
            Ok(GatewayAnswer::Connect { addresses, .. }) => {
                let advertise = self.shared.live().advertise.clone();
                let advertise = advertise.or_else(|| Advertise::from_host(host, tls));
                let advertise = advertise.or_else(|| guest.remote.local.map(Advertise::from));
                let Some(Advertise { host, port }) = advertise else {
                    return Err(Refusal::new(ErrorKind::InvalidArgument, "the request does not name a host"));
                };
                addresses.push(Address { host: host.into(), port });
            }
            // A connection carries no other request after one of these.
            Ok(GatewayAnswer::OfflineMessages(_)) => _ = self.handed_out.set((project, id)),
            _ => {}
        }
        answer
    }
}

/// Whether a request is for the REST API, or a browser asks whether it may be.
#[cfg(feature = "rest")]
pub(crate) fn is_rest<B>(shared: &Shared, request: &Request<B>) -> bool {
    !is_websocket(request.headers()) && rest::is_for(shared, request)
}

#[cfg(not(feature = "rest"))]
pub(crate) fn is_rest<B>(_: &Shared, _: &Request<B>) -> bool {
    false
}

/// Whether a request may lead to a login: the others are health checks, or what browsers ask before one.
fn may_log_in<B>(request: &Request<B>) -> bool {
    is_websocket(request.headers()) || !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Who wants to log in.
#[derive(Default)]
struct Asker {
    project: Option<Arc<Project>>,
    user_id: Option<UserId>,
}

impl Asker {
    fn of(request: &GatewayRequest, shared: &Shared) -> Self {
        let user_id = if let GatewayRequest::Connect { user_id, .. } = request { user_id.clone() } else { None };
        Self { project: shared.project(request.app_id(), user_of(request)), user_id }
    }
}

/// Whom a request is of.
fn user_of(request: &GatewayRequest) -> Option<&UserId> {
    match request {
        GatewayRequest::Connect { user_id, .. } => user_id.as_ref(),
        GatewayRequest::OfflineMessages { caller, .. } | GatewayRequest::History { caller, .. } => {
            Some(&caller.user_id)
        }
        _ => None,
    }
}

/// Whether a request is one that HTTP allows, and not larger than any has to be.
fn check<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    let headers = request.headers();
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if headers.len() > HEADERS || target + headers.iter().map(size).sum::<usize>() > HEAD_BYTES {
        return Err((
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's head has more than 16 KiB or 100 headers: it may hold too many cookies\n",
        ));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err((StatusCode::BAD_REQUEST, "there are two Host headers\n")),
        (None, None) if request.version() == Version::HTTP_11 => {
            Err((StatusCode::BAD_REQUEST, "there is no Host header\n"))
        }
        _ => Ok(()),
    }
}

/// The host that a request is for: that of an absolute target, or of the Host header.
fn host<B>(request: &Request<B>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(header::HOST)?.to_str().ok(),
    }
}

/// A browser asks whether it may send the real request: it may.
fn preflight(asked: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.unwrap_or(HeaderValue::from_static("*")));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    if asked.contains_key(REQUEST_PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    response
}

/// The WebSocket connection's task. It gets the bare stream, so that nothing of HTTP stays in memory; but not that of a
/// connection which the application has accepted.
async fn upgraded(upgrade: OnUpgrade, wire: Wire, shared: Arc<Shared>, guest: Arc<Guest>) {
    let Ok(upgraded) = upgrade.await else { return };
    let (stream, early) = match upgraded.downcast::<TokioIo<Counted>>() {
        Ok(parts) => (parts.io.into_inner().into_stream(), parts.read_buf),
        Err(upgraded) => (Stream::Other(Box::pin(TokioIo::new(upgraded))), Bytes::new()),
    };
    Socket::new(stream, early, wire, shared, guest).await;
}

pub(crate) fn text(status: StatusCode, what: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(what));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Where a supervisor asks whether the process works.
const LIVE: &str = "/livez";
/// Where an operator asks how the server is.
const HEALTH: &str = "/healthz";
/// Where a load balancer, or another node, asks whether it is better off here than elsewhere.
const READY: &str = "/readyz";
/// What a proxy sends on that is not set up for WebSocket.
const NO_UPGRADE: &str = "this is a WebSocket handshake without its Upgrade header: the proxy in front has to send that on \
    (nginx: proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_http_version 1.1)\n";
const CANNOT_UPGRADE: &str = "the HTTP server of the application cannot turn this connection into a WebSocket one\n";
/// A request's target and headers.
const HEAD_BYTES: usize = 16 * 1024;
/// How many headers a request may have.
const HEADERS: usize = 100;
/// A request's body: a token of 16 KiB with everything escaped.
const BODY_BYTES: usize = 64 * 1024;
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

#[cfg(test)]
mod tests {
    use rtm_codec::AppId;
    use tokio::{io::duplex, time::advance};

    use super::*;
    use crate::server::Server;

    #[tokio::test(start_paused = true)]
    async fn a_request_has_what_its_connection_has_left_of_the_time_of_a_handshake() {
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
        let server = Server::builder().project(app_id).build().await.unwrap();
        let shared = server.handle().shared;
        let patience = shared.live().handshake_timeout;
        let begun = Instant::now();
        // As long as TLS has taken.
        advance(patience / 4 * 3).await;
        let admitted = shared.admission.admit(None, shared.admission.slot().await, instant()).unwrap();
        let guest = Guest { remote: Remote::unknown(), is_spare: false, admitted, carrier: None };
        let (_client, stream) = duplex(64);
        serve(Stream::Other(Box::pin(stream)), begun, shared, Arc::new(guest)).await;
        assert_eq!(begun.elapsed().as_secs(), patience.as_secs());
    }
}
