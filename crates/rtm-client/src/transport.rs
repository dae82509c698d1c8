//! One WebSocket, owned whole by the task that uses it: packets in and out, one flush for all that waits.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream,
    tokio::{TokioAdapter, client_async_with_config},
    tungstenite::{
        ClientRequestBuilder, Error as WsError, Message,
        error::ProtocolError,
        http::StatusCode,
        protocol::{CloseFrame, WebSocketConfig},
    },
};
use bytes::Bytes;
use futures::{Sink, Stream, ready};
use rtm_codec::{CloseReason, Packet, Text, limits::PACKET_BYTES};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::{address::Address, tls::Trust};

/// Where byte streams come from: the network, or a test.
pub(crate) trait Network: Send + Sync + 'static {
    /// Opens a byte stream to `address`, TLS included where the address asks for it.
    fn connect(&self, address: &Address) -> impl Future<Output = io::Result<Box<dyn Io>>> + Send;
}

/// A byte stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// The network of this machine.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) trust: Trust,
}

impl Network for Tcp {
    async fn connect(&self, address: &Address) -> io::Result<Box<dyn Io>> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        // Packets are batched here, so the kernel has nothing to gain from holding them back.
        stream.set_nodelay(true)?;
        if address.tls {
            Ok(Box::new(self.trust.handshake(&address.host, stream).await?))
        } else {
            Ok(Box::new(stream))
        }
    }
}

/// A WebSocket of a client.
pub(crate) struct Transport {
    socket: WebSocketStream<TokioAdapter<Box<dyn Io>>>,
    unflushed: bool,
}

/// Why a WebSocket ended.
#[derive(Debug)]
pub(crate) struct Closed {
    /// What the server's close frame said, if that was one of our reasons.
    pub(crate) reason: Option<CloseReason>,
    /// For logs.
    pub(crate) detail: String,
}

/// Why no WebSocket came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server did not open a WebSocket: {0}")]
    Handshake(WsError),
}

impl OpenError {
    /// Whether the next try can only fail likewise.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Io(error) | Self::Handshake(WsError::Io(error)) => is_lasting(error),
            Self::Handshake(WsError::Http(response)) => {
                let status = response.status();
                status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
            }
            Self::Handshake(WsError::Protocol(ProtocolError::HandshakeIncomplete)) => false,
            Self::Handshake(_) => true,
        }
    }
}

/// Whether connecting can only fail likewise the next time: by what rustls says, a certificate that is not trusted now
/// is not trusted in a second either.
pub(crate) fn is_lasting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

impl Transport {
    /// Connects to `address` and opens a WebSocket there.
    pub(crate) async fn open(
        network: &impl Network,
        address: &Address,
        subprotocol: Option<&str>,
    ) -> Result<Self, OpenError> {
        let stream = network.connect(address).await?;
        // The URL was built from an address, so only a host that no URL can hold fails here.
        let uri = address.websocket_url().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut request = ClientRequestBuilder::new(uri);
        if let Some(subprotocol) = subprotocol {
            request = request.with_sub_protocol(subprotocol);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_message_size(Some(PACKET_BYTES))
            .max_frame_size(Some(PACKET_BYTES));
        let (socket, _) =
            client_async_with_config(request, stream, Some(config)).await.map_err(OpenError::Handshake)?;
        Ok(Self { socket, unflushed: false })
    }

    /// Writes the packets that `next` yields as far as the socket takes them, and flushes once.
    /// `Pending` while some of it waits for the socket; then it is to be called again.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut() -> Option<Packet>,
    ) -> Poll<Result<(), Closed>> {
        let mut socket = Pin::new(&mut self.socket);
        loop {
            ready!(socket.as_mut().poll_ready(cx)).map_err(Closed::from)?;
            let Some(packet) = next() else { break };
            socket.as_mut().start_send(message(packet)).map_err(Closed::from)?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(socket.poll_flush(cx)).map_err(Closed::from)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next packet from the server.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Packet, Closed>> {
        loop {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => {
                    let bytes = Arc::new(Bytes::from(text));
                    let text = Text::from_frame(&bytes, 0..bytes.len());
                    return Poll::Ready(
                        text.map(Packet::Text).map_err(|error| Closed { reason: None, detail: error.to_string() }),
                    );
                }
                Some(Ok(Message::Binary(bytes))) => return Poll::Ready(Ok(Packet::Binary(bytes))),
                Some(Ok(Message::Close(frame))) => return Poll::Ready(Err(Closed::from(frame))),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Poll::Ready(Err(Closed::from(error))),
                None => return Poll::Ready(Err(Closed { reason: None, detail: "the connection ended".to_owned() })),
            }
        }
    }

    /// Says goodbye: writes what `next` still yields and a close frame, and waits for the server to
    /// close too. Gives up after [`CLOSE_TIMEOUT`], since nobody may wait for a dead link.
    pub(crate) async fn close(mut self, reason: CloseReason, mut next: impl FnMut() -> Option<Packet>) {
        let goodbye = async {
            poll_fn(|cx| self.poll_write(cx, &mut next)).await?;
            let frame = CloseFrame { code: reason.websocket_code().into(), reason: reason.as_str().into() };
            self.socket.close(Some(frame)).await.map_err(Closed::from)?;
            loop {
                poll_fn(|cx| self.poll_read(cx)).await?;
            }
        };
        let goodbye: Result<Result<std::convert::Infallible, Closed>, _> = timeout(CLOSE_TIMEOUT, pin!(goodbye)).await;
        if goodbye.is_err() {
            tracing::debug!("the server did not close in time");
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl From<Option<CloseFrame>> for Closed {
    fn from(frame: Option<CloseFrame>) -> Self {
        match frame {
            Some(frame) => {
                let code = u16::from(frame.code);
                let detail = format!("the server closed with code {code}: {}", frame.reason);
                Self { reason: CloseReason::from_websocket_code(code), detail }
            }
            None => Self { reason: None, detail: "the server closed without a code".to_owned() },
        }
    }
}

impl From<WsError> for Closed {
    fn from(error: WsError) -> Self {
        Self { reason: None, detail: error.to_string() }
    }
}

fn message(packet: Packet) -> Message {
    match packet {
        Packet::Text(text) => Message::text(text.as_str()),
        Packet::Binary(bytes) => Message::Binary(bytes),
    }
}

/// Large enough that a busy socket needs few system calls: the library clears its read buffer before
/// each read, so larger ones cost more than they save.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
