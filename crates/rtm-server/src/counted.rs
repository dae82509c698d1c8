//! Counts what a connection's socket takes, so that an exchange over a slow link is told from one that stands still.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::tls::Stream;

/// A stream that counts what is written to it.
pub(crate) struct Counted {
    stream: Stream,
    written: Written,
}

/// How many bytes a stream took. All clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written(Arc<AtomicU64>);

impl Counted {
    pub(crate) fn new(stream: Stream) -> (Self, Written) {
        let written = Written::default();
        (Self { stream, written: written.clone() }, written)
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl Written {
    /// Runs `exchange` to its end; `None` if for as long as `patience`, or before anything was written, it stood still.
    pub(crate) async fn while_it_moves<T>(&self, patience: Duration, exchange: impl Future<Output = T>) -> Option<T> {
        let mut exchange = pin!(exchange);
        let mut before = 0;
        loop {
            // The exchange goes first: it may be this server that stood still.
            if let Ok(ended) = timeout(patience, exchange.as_mut()).await {
                return Some(ended);
            }
            let written = self.0.load(Ordering::Relaxed);
            if written == before {
                return None;
            }
            before = written;
        }
    }

    fn add(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.0.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written.add(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written.add(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
