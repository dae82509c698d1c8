//! One WebSocket, owned whole by the task that uses it: packets in and out, one flush for all that waits.

use std::{
    collections::hash_map::RandomState,
    future::poll_fn,
    hash::BuildHasher as _,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::ready;
use rtm_codec::{
    CloseReason, Packet,
    limits::PACKET_BYTES,
    websocket::{CloseFrame, Incoming, WebSocket},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::{
    address::Address,
    handshake::{OpenError, shake_hands},
    network::{Io, Network},
    stats::Figures,
};

/// A WebSocket of a client.
pub(crate) struct Transport {
    stream: Box<dyn Io>,
    figures: Arc<Figures>,
    websocket: WebSocket,
    /// What was read; that before `read_from` was taken, that from `read_to` on is room.
    input: Box<[u8]>,
    read_from: usize,
    read_to: usize,
    /// What is to be written; that before `written` is.
    output: Vec<u8>,
    written: usize,
    /// Whether anything was read since that was asked last.
    is_heard: bool,
    unflushed: bool,
}

/// Why a WebSocket ended.
#[derive(Debug)]
pub(crate) struct Closed {
    /// What the server's close frame said, if that was one of our reasons.
    pub(crate) reason: Option<CloseReason>,
    /// What it said besides, in words.
    pub(crate) text: String,
    /// For logs.
    pub(crate) detail: String,
}

impl Transport {
    /// Connects to `address` and opens a WebSocket there.
    pub(crate) async fn open(
        network: &impl Network,
        address: &Address,
        subprotocol: Option<&str>,
        figures: Arc<Figures>,
    ) -> Result<Self, OpenError> {
        let stream = network.connect(address).await?;
        let (stream, early) = shake_hands(stream, address, subprotocol).await?;
        let mut input = vec![0; BUFFER_BYTES.max(early.len())].into_boxed_slice();
        input[..early.len()].copy_from_slice(&early);
        figures.read(early.len());
        Ok(Self {
            stream,
            figures,
            websocket: WebSocket::client(PACKET_BYTES, masking_keys()),
            input,
            read_from: 0,
            read_to: early.len(),
            output: Vec::new(),
            written: 0,
            is_heard: false,
            unflushed: false,
        })
    }

    /// Writes the packets that `next` yields as far as the socket takes them, and flushes once.
    /// `Pending` while some of it waits for the socket; then it is to be called again.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut() -> Option<Packet>,
    ) -> Poll<Result<(), Closed>> {
        loop {
            if self.output.len() - self.written >= BUFFER_BYTES {
                ready!(self.poll_drain(cx))?;
            }
            let Some(packet) = next() else { break };
            self.websocket.write(packet.as_ref(), &mut self.output);
        }
        ready!(self.poll_drain(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(Closed::from)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all that is to be written.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        while self.written < self.output.len() {
            self.unflushed = true;
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..]));
            match wrote.map_err(Closed::from)? {
                0 => return Poll::Ready(Err(Closed::from(io::Error::from(io::ErrorKind::WriteZero)))),
                count => {
                    self.figures.wrote(count);
                    self.written += count;
                }
            }
        }
        self.written = 0;
        self.output.clear();
        self.output.shrink_to(KEPT_BYTES);
        Poll::Ready(Ok(()))
    }

    /// The next packet from the server.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Packet, Closed>> {
        loop {
            let mut bytes = &self.input[self.read_from..self.read_to];
            let incoming = self.websocket.read(&mut bytes, &mut self.output);
            self.read_from = self.read_to - bytes.len();
            match incoming {
                Ok(Some(Incoming::Packet(packet))) => return Poll::Ready(Ok(packet)),
                Ok(Some(Incoming::Close(frame))) => {
                    // The server should see it confirmed; if the socket does not take that now, it is as well.
                    let _ = self.poll_drain(cx);
                    return Poll::Ready(Err(Closed::from(frame)));
                }
                Ok(None) => {}
                Err(violation) => return Poll::Ready(Err(Closed::broken(violation.to_string()))),
            }
            let mut buffer = ReadBuf::new(&mut self.input);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            (self.read_from, self.read_to) = (0, buffer.filled().len());
            match read {
                Poll::Ready(Ok(())) if self.read_to > 0 => {
                    self.figures.read(self.read_to);
                    self.is_heard = true;
                }
                Poll::Ready(Ok(())) => {
                    return Poll::Ready(Err(Closed::broken("the connection ended".to_owned())));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Closed::from(error))),
                Poll::Pending => {
                    // Answers to pings go out without anything else to write; what fails here fails there too.
                    let _ = self.poll_write(cx, || None);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether bytes came since this was asked last.
    pub(crate) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.is_heard)
    }

    /// Says goodbye: writes what `next` still yields and a close frame, and waits for the server to
    /// close too. Gives up after [`CLOSE_TIMEOUT`], since nobody may wait for a dead link.
    pub(crate) async fn close(mut self, reason: CloseReason, mut next: impl FnMut() -> Option<Packet>) {
        let goodbye = async {
            poll_fn(|cx| self.poll_write(cx, &mut next)).await?;
            self.websocket.close(reason.websocket_code(), reason.as_str(), &mut self.output);
            poll_fn(|cx| self.poll_write(cx, || None)).await?;
            loop {
                poll_fn(|cx| self.poll_read(cx)).await?;
            }
        };
        let goodbye: Result<Result<std::convert::Infallible, Closed>, _> = timeout(CLOSE_TIMEOUT, pin!(goodbye)).await;
        if goodbye.is_err() {
            crate::log::not_closed();
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl Closed {
    /// It ended without a close frame.
    pub(crate) fn broken(detail: String) -> Self {
        Self { reason: None, text: String::new(), detail }
    }
}

impl From<Option<CloseFrame>> for Closed {
    fn from(frame: Option<CloseFrame>) -> Self {
        match frame {
            Some(CloseFrame { code, reason }) => {
                let detail = format!("the server closed with code {code}: {reason}");
                Self { reason: CloseReason::from_websocket_code(code), text: reason, detail }
            }
            None => Self::broken("the server closed without a code".to_owned()),
        }
    }
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::broken(error.to_string())
    }
}

/// What the frames of one socket are masked with. It follows from random keys of the system, so that nobody can choose
/// which bytes go over the network.
fn masking_keys() -> impl FnMut() -> [u8; 4] + Send + 'static {
    let (random, mut number) = (RandomState::new(), 0_u64);
    move || {
        number += 1;
        (random.hash_one(number) as u32).to_ne_bytes()
    }
}

/// Large enough that a busy socket needs few system calls.
const BUFFER_BYTES: usize = 16 * 1024;
/// How much room for what is to be written is kept.
const KEPT_BYTES: usize = 2 * BUFFER_BYTES;

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
