//! The HTTP side of the port: the vendor's gateway, health, and the handshake that turns a connection
//! into a WebSocket one. Each connection carries one request.

use std::{convert::Infallible, sync::Arc, time::Instant};

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use rtm_codec::{
    ErrorKind, Wire,
    anyrtc::gateway::{Address, Endpoint, GatewayAnswer, GatewayRequest},
    native::SUBPROTOCOL,
};
use tracing::debug;

use crate::{
    admission::is_guess,
    config::Advertise,
    handover::{HandOut, Handover},
    shared::{Remote, Shared},
    socket::Socket,
    tls::Stream,
};

/// Serves a connection until it has had its answer, or has become a WebSocket one with a task of its own. How long
/// that may take is the caller's to limit.
pub(crate) async fn serve(stream: Stream, shared: Arc<Shared>, remote: Arc<Remote>) {
    let hand_out = HandOut::default();
    let stream = TokioIo::new(Handover::new(stream, hand_out.clone()));
    let exchange = &Exchange { shared, remote, hand_out };
    let service = service_fn(move |request| async move { Ok::<_, Infallible>(exchange.answer(request).await) });
    let connection = http1::Builder::new().max_buf_size(HEAD_BYTES).serve_connection(stream, service).with_upgrades();
    if let Err(error) = connection.await {
        debug!(remote = %exchange.remote.address, "{error}");
    }
}

/// One request and its answer: what a connection is before it is a WebSocket one, or all that it is.
struct Exchange {
    shared: Arc<Shared>,
    remote: Arc<Remote>,
    hand_out: HandOut,
}

impl Exchange {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        if is_websocket(request.headers()) {
            let upgrade = hyper::upgrade::on(&mut request);
            return match handshake(request.method(), request.headers()) {
                Ok((wire, accept)) => {
                    let (shared, remote) = (Arc::clone(&self.shared), Arc::clone(&self.remote));
                    self.shared.tasks.spawn(upgraded(upgrade, wire, shared, remote));
                    switch(wire, accept)
                }
                Err((status, what)) => {
                    let mut response = text(status, what);
                    let headers = response.headers_mut();
                    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                    response
                }
            };
        }
        let endpoint = Endpoint::find(request.uri().path(), request.uri().query());
        let mut response = match (request.method(), endpoint) {
            (&Method::OPTIONS, _) => preflight(request.headers()),
            (&Method::GET | &Method::HEAD, None) if request.uri().path() == "/healthz" => {
                if self.shared.draining.has_begun() {
                    text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
                } else {
                    text(StatusCode::OK, "ok\n")
                }
            }
            (&Method::POST, Some(endpoint)) => self.gateway(endpoint, request).await,
            (_, Some(_)) => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only POST is understood here\n");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
                response
            }
            (_, None) => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        };
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// Reads the body, whatever its type is said to be, and answers with a code.
    async fn gateway(&self, endpoint: Endpoint, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB\n");
        if request.body().size_hint().lower() > BODY_BYTES as u64 {
            return too_large();
        }
        let body = match Limited::new(request.into_body(), BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return too_large(),
            Err(_) => return text(StatusCode::BAD_REQUEST, "the body did not arrive\n"),
        };
        let answer = match GatewayRequest::decode(endpoint, &body) {
            Ok(request) => self.ask(request, host.as_deref()).await,
            Err(refusal) => {
                debug!(remote = %self.remote.address, "{refusal}");
                GatewayAnswer::Refused(refusal.kind)
            }
        };
        if let GatewayAnswer::Refused(kind) = answer {
            debug!(remote = %self.remote.address, %kind, "a request is refused");
            if is_guess(kind) {
                self.remote.admitted.login_refused(Instant::now());
            }
        }
        let mut response = Response::new(Full::from(answer.encode()));
        *response.status_mut() = StatusCode::from_u16(answer.status()).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }

    /// Asks the project, and adds to its answer what only a listener knows: where clients reach this server.
    async fn ask(&self, request: GatewayRequest, host: Option<&str>) -> GatewayAnswer {
        if !self.remote.admitted.may_login(Instant::now()) {
            return GatewayAnswer::Refused(ErrorKind::TooOften);
        }
        let Some(project) = self.shared.project(request.app_id()) else {
            return GatewayAnswer::Refused(ErrorKind::InvalidAppId);
        };
        let tls = self.remote.tls || matches!(request, GatewayRequest::Connect { tls: true, .. });
        let (id, mut answer) = project.ask(request).await;
        match &mut answer {
            GatewayAnswer::Connect { addresses, .. } => {
                let Advertise { host, port } = match &self.shared.advertise {
                    Some(advertise) => advertise.clone(),
                    None => Advertise::from_host(host, tls).unwrap_or_else(|| self.remote.local.into()),
                };
                addresses.push(Address { host: host.into(), port });
            }
            GatewayAnswer::OfflineMessages(_) => self.hand_out.begin(project, id),
            _ => {}
        }
        answer
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

fn is_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, header::UPGRADE, "websocket")
}

/// Whether one of the comma-separated words of a header is `word`, in any case.
fn has_token(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
}

/// Which wire a WebSocket handshake asks for, and what proves that it was understood; or why not.
fn handshake(method: &Method, headers: &HeaderMap) -> Result<(Wire, HeaderValue), (StatusCode, &'static str)> {
    let refuse = |what| Err((StatusCode::BAD_REQUEST, what));
    if method != Method::GET || !has_token(headers, header::CONNECTION, "upgrade") {
        return refuse("a WebSocket handshake is a GET with Connection: Upgrade\n");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is understood\n"));
    }
    let wire = if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        Wire::Vendor
    } else if has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        Wire::Native
    } else {
        return refuse("the only WebSocket subprotocol here is rtm.v1\n");
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_LEN);
    match key.map(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes()))) {
        Some(Ok(accept)) => Ok((wire, accept)),
        _ => refuse("Sec-WebSocket-Key is missing or has not 24 characters\n"),
    }
}

/// The answer to a good handshake.
fn switch(wire: Wire, accept: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if wire == Wire::Native {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// The WebSocket connection's task. It gets the bare stream, so that nothing of HTTP stays in memory.
async fn upgraded(upgrade: OnUpgrade, wire: Wire, shared: Arc<Shared>, remote: Arc<Remote>) {
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<Handover>>() else { return };
    Socket::new(parts.io.into_inner().into_stream(), parts.read_buf, wire, shared, remote).await;
}

fn text(status: StatusCode, what: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(what));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A request's line and headers.
const HEAD_BYTES: usize = 16 * 1024;
/// A request's body: a token of 8 KiB with everything escaped, and more.
const BODY_BYTES: usize = 64 * 1024;
/// 16 bytes in Base64.
const KEY_LEN: usize = 24;
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
