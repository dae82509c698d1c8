//! The WebSocket handshake: which wire it asks for, and its answer.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{self, HeaderName, HeaderValue},
};
use rtm_codec::{Wire, native::SUBPROTOCOL, websocket::accept_key};

pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    words(headers, header::UPGRADE).any(|word| word.eq_ignore_ascii_case("websocket"))
}

/// The comma-separated words of a header, which may stand there more than once.
pub(crate) fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

/// Which wire a WebSocket handshake asks for, and what proves that it was understood; or why not.
pub(super) fn handshake<B>(request: &Request<B>) -> Result<(Wire, HeaderValue), (StatusCode, &'static str)> {
    let headers = request.headers();
    let refuse = |what| Err((StatusCode::BAD_REQUEST, what));
    if request.version() < Version::HTTP_11 {
        return Err((
            StatusCode::UPGRADE_REQUIRED,
            "a WebSocket handshake needs HTTP/1.1: the proxy in front has to be told so (nginx: proxy_http_version 1.1)\n",
        ));
    }
    let is_upgrade = words(headers, header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    if request.method() != Method::GET || !is_upgrade {
        return refuse("a WebSocket handshake is a GET with Connection: Upgrade\n");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is understood\n"));
    }
    let wire = if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        Wire::Vendor
    } else if words(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|word| word == SUBPROTOCOL) {
        Wire::Native
    } else {
        return refuse("the only WebSocket subprotocol here is rtm.v1\n");
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_LEN);
    match key.map(|key| HeaderValue::try_from(accept_key(key.as_bytes()))) {
        Some(Ok(accept)) => Ok((wire, accept)),
        _ => refuse("Sec-WebSocket-Key is missing or has not 24 characters\n"),
    }
}

/// The answer to a good handshake.
pub(super) fn switch(wire: Wire, accept: HeaderValue) -> Response<Full<Bytes>> {
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

/// 16 bytes in Base64.
const KEY_LEN: usize = 24;
