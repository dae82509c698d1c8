//! The one stream of events, and how it tells the client's task what the application took.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures::{Stream, future::poll_fn, task::AtomicWaker};
use rtm_connection::RtmEvent;
use tokio::time::timeout;

/// Everything that happens to a [`Client`](crate::Client), in the order in which it happened: a
/// `Stream<Item = RtmEvent>`.
///
/// There is one for each client. It ends after the last handle of the client was dropped and the client has logged out.
/// At most [`window`](crate::ClientBuilder::window) events of the server wait in it. Replies do not pass through it, so
/// calls may be awaited between two events. Dropping it makes the client send-only: events are then thrown away.
#[derive(Debug)]
pub struct Events {
    /// What was fetched from the queue, all at once, and not taken yet.
    fetched: VecDeque<RtmEvent>,
    shared: Arc<Shared>,
}

impl Events {
    /// The next event; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<RtmEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The first event that `choose` makes something of, if it comes within `limit`; `None` otherwise, and when there will
    /// be no more events. Events before it are passed over.
    ///
    /// ```no_run
    /// # async fn example(mut events: rtm_client::Events) {
    /// use std::time::Duration;
    ///
    /// use rtm_client::RtmEvent;
    ///
    /// let joined = events
    ///     .wait_for(Duration::from_secs(5), |event| match event {
    ///         RtmEvent::MemberJoined { member_id, .. } if member_id == "alice" => Some(member_id),
    ///         _ => None,
    ///     })
    ///     .await;
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped, but those that were passed over are.
    pub async fn wait_for<T>(&mut self, limit: Duration, mut choose: impl FnMut(RtmEvent) -> Option<T>) -> Option<T> {
        let wanted = async {
            loop {
                if let Some(wanted) = choose(self.recv().await?) {
                    return Some(wanted);
                }
            }
        };
        timeout(limit, wanted).await.ok().flatten()
    }

    /// An event that waits, without waiting for one.
    pub fn try_recv(&mut self) -> Option<RtmEvent> {
        if self.fetched.is_empty() {
            self.shared.queue().fetch(&mut self.fetched);
        }
        let event = self.fetched.pop_front()?;
        self.shared.taken(1);
        Some(event)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<RtmEvent>> {
        // What comes fast must not keep the task from others.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let mut event = self.try_recv();
        if event.is_none() {
            let mut queue = self.shared.queue();
            // Some may have come in between.
            queue.fetch(&mut self.fetched);
            if self.fetched.is_empty() {
                if !queue.is_complete {
                    match &mut queue.reader {
                        Some(reader) => reader.clone_from(cx.waker()),
                        none => *none = Some(cx.waker().clone()),
                    }
                    return Poll::Pending;
                }
            } else {
                drop(queue);
                event = self.try_recv();
            }
        }
        budget.made_progress();
        Poll::Ready(event)
    }
}

impl Stream for Events {
    type Item = RtmEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RtmEvent>> {
        self.poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.fetched.len() + self.shared.queue().events.len(), None)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // An event that comes meanwhile is counted on one of the two sides.
        let mut queue = self.shared.queue();
        queue.is_abandoned = true;
        let left = self.fetched.len() + std::mem::take(&mut queue.events).len();
        drop(queue);
        self.shared.taken(u32::try_from(left).unwrap_or(u32::MAX));
        self.shared.task.wake();
    }
}

/// The task's end of the stream.
#[derive(Debug)]
pub(crate) struct EventSender {
    /// What is appended with the next [`flush`](Self::flush): one lock and one wake-up for all of it.
    unflushed: VecDeque<RtmEvent>,
    shared: Arc<Shared>,
    waiting: u32,
}

impl EventSender {
    /// The two ends. The task is woken whenever `wake_after` events were taken: waking it for each would cost more than
    /// the event did.
    pub(crate) fn new(wake_after: u32) -> (Self, Events) {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            count: AtomicU32::new(0),
            wake_after,
            task: AtomicWaker::new(),
        });
        let events = Events { fetched: VecDeque::new(), shared: Arc::clone(&shared) };
        (Self { unflushed: VecDeque::new(), shared, waiting: 0 }, events)
    }

    /// Appends an event, with the next flush.
    pub(crate) fn send(&mut self, event: RtmEvent) {
        self.waiting += 1;
        self.unflushed.push_back(event);
    }

    /// Hands over what was sent. Events that nobody listens for count as taken at once.
    pub(crate) fn flush(&mut self) {
        if self.unflushed.is_empty() {
            return;
        }
        let mut queue = self.shared.queue();
        if queue.is_abandoned {
            drop(queue);
            let count = u32::try_from(self.unflushed.len()).unwrap_or(u32::MAX);
            self.unflushed.clear();
            self.shared.count.fetch_add(count, Ordering::Relaxed);
            return;
        }
        if queue.events.is_empty() {
            std::mem::swap(&mut queue.events, &mut self.unflushed);
        } else {
            queue.events.append(&mut self.unflushed);
        }
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// How many events were taken since the last call. Wakes the caller's task when there are more.
    pub(crate) fn poll_taken(&mut self, cx: &mut Context<'_>) -> Option<u32> {
        self.shared.task.register(cx.waker());
        self.take_taken()
    }

    /// How many events were taken since the last call.
    pub(crate) fn take_taken(&mut self) -> Option<u32> {
        let taken = self.shared.count.swap(0, Ordering::Relaxed);
        self.waiting = self.waiting.saturating_sub(taken);
        (taken > 0).then_some(taken)
    }

    /// How many events wait for the application, as far as is known.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.flush();
        let mut queue = self.shared.queue();
        queue.is_complete = true;
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// What the two ends share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// How many events were taken that the task does not know of.
    count: AtomicU32,
    wake_after: u32,
    task: AtomicWaker,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, events: u32) {
        let before = self.count.fetch_add(events, Ordering::Relaxed);
        if before < self.wake_after && before.saturating_add(events) >= self.wake_after {
            self.task.wake();
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<RtmEvent>,
    /// Whether the task has ended.
    is_complete: bool,
    /// Whether nobody listens any more.
    is_abandoned: bool,
    reader: Option<Waker>,
}

impl Queue {
    /// Exchanges an empty list for all there is.
    fn fetch(&mut self, fetched: &mut VecDeque<RtmEvent>) {
        if !self.events.is_empty() {
            std::mem::swap(&mut self.events, fetched);
        }
    }
}
