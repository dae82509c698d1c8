//! Turns a byte stream into a WebSocket: one HTTP request, and what makes its answer a good one.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

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
use rtm_connection::TransportError;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::{
    address::Address,
    cause::{explanation, transport_error},
};

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
            Self::Refused { status, .. } => is_lasting_status(*status),
            Self::NotHttp | Self::Redirected(_) | Self::NoWebSocket(_) => true,
        }
    }

    /// What the machine is told, which knows where that is.
    pub(crate) fn into_transport_error(self) -> TransportError {
        let retry = !self.is_lasting();
        match self {
            Self::Io(error) => transport_error(error.into(), retry),
            Self::Http(error) => transport_error(error.into(), retry),
            said => transport_error(explanation(said.to_string()), retry),
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

/// Whether a server that answers with this status answers likewise the next time. Those of a moment are a request that came
/// too slowly, too early or too often.
pub(crate) fn is_lasting_status(status: StatusCode) -> bool {
    let passes = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    status.is_client_error() && !passes
}

/// A stream of which only so many bytes are read: interim answers, of which a server may send any number, have no bound
/// of their own.
pub(crate) struct Bounded<S> {
    stream: S,
    left: usize,
}

impl<S> Bounded<S> {
    pub(crate) fn new(stream: S, bytes: usize) -> Self {
        Self { stream, left: bytes }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end")));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.left = self.left.saturating_sub(buf.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Asks the server at the other end of `stream` for a WebSocket. Gives the stream back, with what was read beyond the
/// answer.
pub(crate) async fn shake_hands<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: S,
    address: &Address,
    subprotocol: Option<&str>,
) -> Result<(S, Bytes), OpenError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(Bounded::new(stream, HEAD_BYTES))).await?;
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
    Ok((io.into_inner().into_inner(), read_buf))
}

/// Whether the answer proves that the server has understood what it was asked.
fn check(headers: &HeaderMap, key: &str, subprotocol: Option<&str>) -> Result<(), OpenError> {
    let is = |name: HeaderName, value: &str| {
        headers.get(name).and_then(|found| found.to_str().ok()).is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let connection = headers.get_all(header::CONNECTION).into_iter().filter_map(|found| found.to_str().ok());
    let mut words = connection.flat_map(|list| list.split(',')).map(str::trim);
    if !is(header::UPGRADE, "websocket") || !words.any(|word| word.eq_ignore_ascii_case("upgrade")) {
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
    // The status says enough if its text does not come.
    let text = match timeout(TEXT_TIMEOUT, Limited::new(response.into_body(), TEXT_BYTES).collect()).await {
        Ok(Ok(body)) if is_text => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        _ => String::new(),
    };
    OpenError::Refused { status, text }
}

/// What a server added to its status, safe to show.
fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {}", text.escape_debug()) }
}

/// The most that is read of an answer before the server has switched.
pub(crate) const HEAD_BYTES: usize = 128 * 1024;
/// More text than this is none that explains a refusal.
const TEXT_BYTES: usize = 1024;
/// How long that text may take.
const TEXT_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_may_have_more_in_its_connection_header_than_the_upgrade() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        for (connection, is_good) in
            [("Upgrade", true), ("keep-alive, Upgrade", true), ("upgrade,keep-alive", true), ("keep-alive", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept_key(key.as_bytes())).unwrap());
            assert_eq!(check(&headers, key, None).is_ok(), is_good, "{connection}");
        }
    }

    #[test]
    fn a_server_that_answers_too_early_too_late_or_too_often_is_asked_again() {
        for (status, is_lasting) in [
            (400, true),
            (404, true),
            (407, true),
            (408, false),
            (425, false),
            (429, false),
            (500, false),
            (503, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_lasting_status(status), is_lasting, "{status}");
            assert_eq!(OpenError::Refused { status, text: String::new() }.is_lasting(), is_lasting, "{status}");
        }
    }
}
