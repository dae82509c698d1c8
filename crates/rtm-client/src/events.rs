//! The one stream of events, and how it tells the client's task what the application took.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use futures::{Stream, task::AtomicWaker};
use rtm_connection::RtmEvent;
use tokio::sync::mpsc;

/// Everything that happens to a [`Client`](crate::Client), in the order in which it happened: a
/// `Stream<Item = RtmEvent>`.
///
/// There is one for each client. It ends after the last handle of the client was dropped and the client has logged out.
/// At most [`window`](crate::ClientBuilder::window) events of the server wait in it. Replies do not pass through it, so
/// calls may be awaited between two events. Dropping it makes the client send-only: events are then thrown away.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::UnboundedReceiver<RtmEvent>,
    taken: Arc<Taken>,
}

impl Events {
    /// The next event; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<RtmEvent> {
        let event = self.queue.recv().await;
        self.taken.add(event.is_some());
        event
    }

    /// An event that waits, without waiting for one.
    pub fn try_recv(&mut self) -> Option<RtmEvent> {
        let event = self.queue.try_recv().ok();
        self.taken.add(event.is_some());
        event
    }
}

impl Stream for Events {
    type Item = RtmEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RtmEvent>> {
        let event = self.queue.poll_recv(cx);
        self.taken.add(matches!(event, Poll::Ready(Some(_))));
        event
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.queue.len(), None)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // Closed before it is emptied, so that an event that comes meanwhile is counted on one of the two sides.
        self.queue.close();
        while self.try_recv().is_some() {}
        self.taken.task.wake();
    }
}

/// The task's end of the stream.
#[derive(Debug)]
pub(crate) struct EventSender {
    queue: mpsc::UnboundedSender<RtmEvent>,
    taken: Arc<Taken>,
    waiting: u32,
}

impl EventSender {
    /// The two ends. The task is woken whenever `wake_after` events were taken: waking it for each would cost more than
    /// the event did.
    pub(crate) fn new(wake_after: u32) -> (Self, Events) {
        let (sender, queue) = mpsc::unbounded_channel();
        let taken = Arc::new(Taken { count: AtomicU32::new(0), wake_after, task: AtomicWaker::new() });
        (Self { queue: sender, taken: Arc::clone(&taken), waiting: 0 }, Events { queue, taken })
    }

    /// Appends an event. One that nobody listens for counts as taken at once.
    pub(crate) fn send(&mut self, event: RtmEvent) {
        self.waiting += 1;
        if self.queue.send(event).is_err() {
            self.taken.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were taken since the last call. Wakes the caller's task when there are more.
    pub(crate) fn poll_taken(&mut self, cx: &mut Context<'_>) -> Option<u32> {
        self.taken.task.register(cx.waker());
        self.take_taken()
    }

    /// How many events were taken since the last call.
    pub(crate) fn take_taken(&mut self) -> Option<u32> {
        let taken = self.taken.count.swap(0, Ordering::Relaxed);
        self.waiting = self.waiting.saturating_sub(taken);
        (taken > 0).then_some(taken)
    }

    /// How many events wait for the application, as far as is known.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
    }
}

/// What the two ends share.
#[derive(Debug)]
struct Taken {
    count: AtomicU32,
    wake_after: u32,
    task: AtomicWaker,
}

impl Taken {
    fn add(&self, taken: bool) {
        if taken && self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.wake_after {
            self.task.wake();
        }
    }
}
