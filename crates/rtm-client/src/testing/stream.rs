//! The bytes of a connection in memory: how they get from one end to the other.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, ReadHalf, WriteHalf, split,
    },
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Conditions, State};

/// The server's end of a connection in memory.
#[derive(Debug)]
pub struct Stream(DuplexStream);

impl Stream {
    pub(super) fn new(stream: DuplexStream) -> Self {
        Self(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// Carries bytes between two ends, in both directions, until they have ended or the link is cut.
pub(super) fn carry(one: DuplexStream, other: DuplexStream, conditions: &watch::Receiver<Conditions>) {
    let cuts = conditions.borrow().cuts;
    let (from_one, to_one) = split(one);
    let (from_other, to_other) = split(other);
    for (from, to) in [(from_one, to_other), (from_other, to_one)] {
        let mut cut = conditions.clone();
        let conditions = conditions.clone();
        tokio::spawn(async move {
            tokio::select! {
                // What is dropped when it is cut ends both streams.
                _ = cut.wait_for(|now| now.cuts != cuts) => {}
                // An end that is gone takes no more; that its other direction ends is seen there.
                _ = carry_one_way(from, to, conditions) => {}
            }
        });
    }
}

async fn carry_one_way(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    mut conditions: watch::Receiver<Conditions>,
) -> io::Result<()> {
    let mut under_way: VecDeque<(Instant, Bytes)> = VecDeque::new();
    let mut bytes = 0;
    let mut has_ended = false;
    let mut buffer = BytesMut::new();
    loop {
        let now = *conditions.borrow_and_update();
        let moves = now.state != State::Stalled;
        let due = under_way.front().map(|(due, _)| *due).filter(|_| moves);
        buffer.reserve(BUFFER);
        tokio::select! {
            biased;
            // The sender is the link; without one, nothing changes any more.
            Ok(()) = conditions.changed() => {}
            () = async { match due { Some(due) => sleep_until(due).await, None => pending().await } } => {
                if let Some((_, chunk)) = under_way.pop_front() {
                    bytes -= chunk.len();
                    to.write_all(&chunk).await?;
                }
            }
            read = from.read_buf(&mut buffer), if moves && !has_ended && bytes < UNDER_WAY => {
                has_ended = read? == 0;
                let chunk = buffer.split().freeze();
                bytes += chunk.len();
                under_way.push_back((Instant::now() + now.delay.min(LONGEST), chunk));
            }
        }
        if has_ended && under_way.is_empty() {
            return to.shutdown().await;
        }
    }
}

/// What each end holds for a reader that is late.
pub(super) const BUFFER: usize = 64 * 1024;
/// A delay that no test outlives, and that an instant can have added.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);
/// How much is under way at once in one direction.
const UNDER_WAY: usize = 1024 * 1024;
