//! What a socket did not take yet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

/// Bytes that wait for a socket to become writable. Empty, and without memory, as long as it keeps up.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them the socket has taken.
    sent: usize,
    /// Whether TLS holds bytes that the socket did not take yet.
    unflushed: bool,
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether none wait.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the socket has taken everything.
    pub(crate) fn is_flushed(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    /// Writes `bytes` behind those that wait, and keeps what the socket does not take; says how many it took.
    pub(crate) fn send(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let sent = if self.is_empty() { write(stream, cx, bytes)? } else { 0 };
        if self.sent > self.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(&bytes[sent..]);
        if self.is_empty() {
            self.flush(stream, cx)?;
        }
        Ok(sent)
    }

    /// Writes what waits; says how many bytes of it the socket took.
    pub(crate) fn go_on(&mut self, stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> io::Result<usize> {
        let taken = write(stream, cx, &self.bytes[self.sent..])?;
        self.sent += taken;
        if self.is_empty() {
            self.bytes = Vec::new();
            self.sent = 0;
            self.flush(stream, cx)?;
        }
        Ok(taken)
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Lets out what TLS holds, if it can.
    fn flush(&mut self, stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> io::Result<()> {
        let flushed = Pin::new(stream).poll_flush(cx);
        self.unflushed = flushed.is_pending();
        if let Poll::Ready(result) = flushed { result } else { Ok(()) }
    }
}

/// Writes until the socket takes no more; says how much it took.
fn write(stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match Pin::new(&mut *stream).poll_write(cx, &bytes[sent..]) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(more)) => sent += more,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn everything_comes_out_in_order_and_nothing_is_kept_of_what_was_sent() {
        let (mut near, mut far) = duplex(1000);
        let mut cx = Context::from_waker(Waker::noop());
        let mut outbox = Outbox::default();
        let mut written = Vec::new();
        let mut read = vec![0; 600];
        let mut received = Vec::new();
        for n in 0..1000u32 {
            let bytes: Vec<u8> = (0..600).map(|i| (n + i) as u8).collect();
            written.extend_from_slice(&bytes);
            outbox.send(&mut near, &mut cx, &bytes).unwrap();
            outbox.go_on(&mut near, &mut cx).unwrap();
            // The reader keeps up, but is always behind.
            if n > 5 {
                far.read_exact(&mut read).await.unwrap();
                received.extend_from_slice(&read);
            }
            assert!(outbox.bytes.capacity() < 32 * 1024, "what was sent is dropped");
        }
        while !outbox.is_flushed() {
            let len = far.read(&mut read).await.unwrap();
            received.extend_from_slice(&read[..len]);
            outbox.go_on(&mut near, &mut cx).unwrap();
        }
        assert_eq!(outbox.bytes.capacity(), 0);
        drop(near);
        far.read_to_end(&mut received).await.unwrap();
        assert!(received == written);
    }

    #[tokio::test]
    async fn a_socket_that_is_gone_is_an_error() {
        let (mut near, far) = duplex(10);
        let mut cx = Context::from_waker(Waker::noop());
        let mut outbox = Outbox::default();
        outbox.send(&mut near, &mut cx, &[0; 20]).unwrap();
        assert_eq!((outbox.len(), outbox.is_empty()), (10, false));
        drop(far);
        assert!(outbox.go_on(&mut near, &mut cx).is_err());
        outbox.clear();
        assert!(outbox.send(&mut near, &mut cx, &[0; 20]).is_err());
    }
}
