//! Counts what a connection's socket takes and gives, so that an exchange over a slow link is told from one that stands
//! still, and one that stands still from a connection that waits for its next request.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::stream::Stream;

/// A stream that counts what is read from it and written to it.
pub(crate) struct Counted {
    stream: Stream,
    moved: Moved,
}

/// What a connection does. All clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moved(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    written: AtomicU64,
    read: AtomicU64,
    /// A request is being served, which has deadlines of its own.
    is_served: AtomicBool,
    /// More requests may come.
    is_kept: AtomicBool,
}

impl Counted {
    pub(crate) fn new(stream: Stream) -> (Self, Moved) {
        let moved = Moved::default();
        (Self { stream, moved: moved.clone() }, moved)
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl Moved {
    /// Runs `exchange` to its end; `None` if it stood still for as long as `patience`, or at the beginning for `first`. A
    /// connection that is kept may do so for some times as long between two requests, but not within one.
    pub(crate) async fn while_it_moves<T>(
        &self,
        first: Duration,
        patience: Duration,
        exchange: impl Future<Output = T>,
    ) -> Option<T> {
        let figures = &self.0;
        let mut wait = first;
        let mut exchange = pin!(exchange);
        let (mut written, mut read) = (0, 0);
        let (mut idle, mut is_within) = (0, false);
        loop {
            // The exchange goes first: it may be this server that stood still.
            if let Ok(ended) = timeout(wait, exchange.as_mut()).await {
                return Some(ended);
            }
            wait = patience;
            let now = (figures.written.load(Ordering::Relaxed), figures.read.load(Ordering::Relaxed));
            if now.0 != written || figures.is_served.load(Ordering::Relaxed) {
                (idle, is_within) = (0, false);
            } else if !self.is_kept() || is_within {
                return None;
            } else if now.1 != read {
                is_within = true;
            } else {
                idle += 1;
                if idle >= IDLE {
                    return None;
                }
            }
            (written, read) = now;
        }
    }

    /// A request is served in `serving`.
    pub(crate) async fn while_it_is_served<T>(&self, serving: impl Future<Output = T>) -> T {
        self.0.is_served.store(true, Ordering::Relaxed);
        let served = serving.await;
        self.0.is_served.store(false, Ordering::Relaxed);
        served
    }

    /// More requests may come over this connection.
    pub(crate) fn keep(&self) {
        self.0.is_kept.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_kept.load(Ordering::Relaxed)
    }

    fn add(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.0.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.moved.0.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.moved.add(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.moved.add(&written);
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

/// For so many times its patience a connection may wait for its next request.
const IDLE: u32 = 6;
