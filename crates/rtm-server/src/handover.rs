//! Delays the shutdown of an HTTP connection whose answer holds stored messages until the client has closed its side:
//! only then has it received them.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use rtm_core::HttpId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{project::Project, tls::Stream};

/// The stored messages in the answer that a connection carries, if any. All clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct HandOut(Arc<OnceLock<(Arc<Project>, HttpId)>>);

impl HandOut {
    /// The answer that is about to be written holds stored messages.
    pub(crate) fn begin(&self, project: Arc<Project>, id: HttpId) {
        // A connection carries one request.
        let _ = self.0.set((project, id));
    }
}

/// A stream for HTTP. Bytes that the kernel took may still be lost with the connection; a client that closes its side
/// in turn has read them.
#[derive(Debug)]
pub(crate) struct Handover {
    stream: Stream,
    hand_out: HandOut,
    is_shut: bool,
}

impl Handover {
    pub(crate) fn new(stream: Stream, hand_out: HandOut) -> Self {
        Self { stream, hand_out, is_shut: false }
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for Handover {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Handover {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.is_shut = true;
        }
        if let Some((project, id)) = this.hand_out.0.get() {
            ready!(poll_taken(&mut this.stream, cx))?;
            project.http_answer_taken(*id);
        }
        Poll::Ready(Ok(()))
    }
}

/// Waits until the client closes its side; an error if it is gone otherwise.
fn poll_taken(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut bytes = [0; 64];
    loop {
        let mut read = ReadBuf::new(&mut bytes);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)) {
            Ok(()) if read.filled().is_empty() => return Poll::Ready(Ok(())),
            Ok(()) => {}
            // Many clients close TLS without a word.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
