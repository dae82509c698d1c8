//! Turns a byte stream into a WebSocket: one HTTP request, and what makes its answer a good one.

use std::{collections::hash_map::RandomState, hash::BuildHasher as _, io, pin::pin};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, Parts},
    header::{self, HeaderName},
};
use hyper_util::rt::TokioIo;
use rtm_codec::websocket::accept_key;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::Address;

/// Why no WebSocket came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(hyper::Error),
    #[error("the answer is not HTTP: if the server speaks TLS, use https:// or wss://")]
    NotHttp,
    #[error("the server answered with HTTP status {status}{}", said(.text))]
    Refused { status: StatusCode, text: String },
    #[error("the server redirects to Location {0:?}, and clients do not follow: use that address as the gateway")]
    Redirected(String),
    #[error("the server is not a WebSocket server: {0}")]
    NoWebSocket(&'static str),
}

impl OpenError {
    /// Whether the next try can only fail likewise.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Io(error) => is_lasting(error),
            Self::Http(_) => false,
            Self::Refused { status, .. } => status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS,
            Self::NotHttp | Self::Redirected(_) | Self::NoWebSocket(_) => true,
        }
    }
}

impl From<hyper::Error> for OpenError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() { Self::NotHttp } else { Self::Http(error) }
    }
}

/// Where an answer sends the client instead; the empty text if it does not say.
pub(crate) fn location<B>(response: &Response<B>) -> Option<String> {
    let location = response.headers().get(header::LOCATION);
    let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()).into_owned());
    response.status().is_redirection().then(|| location.unwrap_or_default())
}

/// Whether connecting can only fail likewise the next time: by what rustls says, a certificate that is not trusted now
/// is not trusted in a second either.
pub(crate) fn is_lasting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

/// Asks the server at the other end of `stream` for a WebSocket. Gives the stream back, with what was read beyond the
/// answer.
pub(crate) async fn shake_hands<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: S,
    address: &Address,
    subprotocol: Option<&str>,
) -> Result<(S, Bytes), OpenError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let key = STANDARD.encode([(); 2].map(|()| RandomState::new().hash_one("key").to_ne_bytes()).as_flattened());
    let mut request = Request::get(address.websocket_path())
        .header(header::HOST, address.authority())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    if let Some(subprotocol) = subprotocol {
        request = request.header(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return check(response.headers(), &key, subprotocol);
        }
        Err(refusal(response).await)
    };
    // The connection works only while it is polled, and ends by itself once the server has switched.
    let (mut answer, mut connection) = (pin!(answer), pin!(connection.without_shutdown()));
    let Parts { io, read_buf, .. } = tokio::select! {
        biased;
        answer = &mut answer => {
            answer?;
            connection.await?
        }
        parts = &mut connection => {
            answer.await?;
            parts?
        }
    };
    Ok((io.into_inner(), read_buf))
}

/// Whether the answer proves that the server has understood what it was asked.
fn check(headers: &HeaderMap, key: &str, subprotocol: Option<&str>) -> Result<(), OpenError> {
    let is = |name: HeaderName, value: &str| {
        headers.get(name).and_then(|found| found.to_str().ok()).is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    if !is(header::UPGRADE, "websocket") || !is(header::CONNECTION, "upgrade") {
        return Err(OpenError::NoWebSocket("it switches to another protocol"));
    }
    if headers
        .get(header::SEC_WEBSOCKET_ACCEPT)
        .is_none_or(|found| found.as_bytes() != accept_key(key.as_bytes()).as_bytes())
    {
        return Err(OpenError::NoWebSocket("its Sec-WebSocket-Accept is wrong"));
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err(OpenError::NoWebSocket("it uses an extension that it was not asked for"));
    }
    if headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(|found| found.as_bytes()) != subprotocol.map(str::as_bytes) {
        return Err(OpenError::NoWebSocket(match subprotocol {
            Some(_) => "it does not speak the native wire",
            None => "it speaks a subprotocol that it was not asked for",
        }));
    }
    Ok(())
}

/// What an answer means that is none to a handshake.
async fn refusal(response: Response<Incoming>) -> OpenError {
    let status = response.status();
    if let Some(location) = location(&response) {
        return OpenError::Redirected(location);
    }
    let is_text =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/plain"));
    let text = match Limited::new(response.into_body(), TEXT_BYTES).collect().await {
        Ok(body) if is_text => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        _ => String::new(),
    };
    OpenError::Refused { status, text }
}

/// What a server added to its status, safe to show.
fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {}", text.escape_debug()) }
}

/// More text than this is none that explains a refusal.
const TEXT_BYTES: usize = 1024;
