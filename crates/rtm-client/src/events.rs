//! The event stream, and how it tells the client's task what the application has read.

mod divided;
mod part;
mod queue;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures::{Stream, StreamExt, future::poll_fn};
use rtm_connection::RtmEvent;
use tokio::time::timeout;

pub use self::part::EventPart;
use self::{divided::PartId, queue::Shared};

/// All events of a [`Client`](crate::Client), in order: a `Stream<Item = RtmEvent>`.
///
/// Each client has one. It ends when the last handle of the client has been dropped and the client has logged out.
/// At most [`window`](crate::ClientBuilder::window) events of the server wait in it. Answers to calls do not come through it, so
/// calls can be awaited between two events. Dropping it makes the client send-only: events are discarded.
///
/// [`EventPart`] divides it among several readers.
#[derive(Debug)]
pub struct Events {
    /// What was fetched from the queue, all at once, and not taken yet. Empty when the stream is divided.
    fetched: VecDeque<RtmEvent>,
    shared: Arc<Shared>,
}

impl Events {
    /// The next event, `None` after the last one.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<RtmEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Reads events until `choose` returns `Some` for one, and returns that. Events before it are discarded. `None` after `limit`,
    /// and at the end of the stream.
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
    /// Dropping the future loses only the events that `choose` has seen.
    pub async fn wait_for<T>(&mut self, limit: Duration, choose: impl FnMut(RtmEvent) -> Option<T>) -> Option<T> {
        first_within(self, limit, choose).await
    }

    /// Returns the next waiting event, or `None` if there is none yet.
    pub fn try_recv(&mut self) -> Option<RtmEvent> {
        take(&mut self.fetched, &self.shared)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<RtmEvent>> {
        let Self { fetched, shared } = self;
        poll_event(cx, shared, None, || take(fetched, shared))
    }
}

impl Stream for Events {
    type Item = RtmEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RtmEvent>> {
        self.poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.fetched.len() + self.shared.queue().len(None), None)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // An event that comes meanwhile is counted on one of the two sides.
        let mut queue = self.shared.queue();
        queue.is_abandoned = true;
        let left = queue::count(self.fetched.len() + std::mem::take(&mut queue.events).len());
        let rest = queue.divided.as_mut().map_or(0, |divided| divided.abandon_rest());
        drop(queue);
        self.shared.taken(left.saturating_add(rest));
        self.shared.task().wake();
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
    /// The two ends. The task is woken whenever `wake_after` events were taken.
    pub(crate) fn new(wake_after: u32) -> (Self, Events) {
        let shared = Arc::new(Shared::new(wake_after));
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
        if queue.divided.is_some() {
            drop(queue);
            return self.route();
        }
        if queue.is_abandoned {
            drop(queue);
            self.shared.thrown_away(queue::count(self.unflushed.len()));
            self.unflushed.clear();
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

    #[cold]
    fn route(&mut self) {
        let mut queue = self.shared.queue();
        let rest_is_read = !queue.is_abandoned;
        let Some(divided) = &mut queue.divided else { return };
        let taken = self.unflushed.drain(..).map(|event| divided.route(event, rest_is_read)).sum();
        let woken = divided.take_woken();
        drop(queue);
        self.shared.thrown_away(taken);
        woken.into_iter().for_each(Waker::wake);
    }

    /// How many events were taken since the last call. Wakes the caller's task when there are more.
    pub(crate) fn poll_taken(&mut self, cx: &mut Context<'_>) -> Option<u32> {
        self.shared.task().register(cx.waker());
        self.take_taken()
    }

    /// How many events were taken since the last call.
    pub(crate) fn take_taken(&mut self) -> Option<u32> {
        let taken = self.shared.take_count();
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
        let readers = queue.take_readers();
        drop(queue);
        readers.into_iter().for_each(Waker::wake);
    }
}

/// The next event of a stream, without its parts if it has any.
fn take(fetched: &mut VecDeque<RtmEvent>, shared: &Shared) -> Option<RtmEvent> {
    if fetched.is_empty() {
        let mut queue = shared.queue();
        if let Some(divided) = &mut queue.divided {
            let (event, taken) = divided.take(None)?;
            drop(queue);
            shared.taken(taken);
            return Some(event);
        }
        queue.fetch(fetched);
    }
    let event = fetched.pop_front()?;
    shared.taken(1);
    Some(event)
}

/// Polls one reader: that of a part, or of the stream without its parts.
fn poll_event(
    cx: &mut Context<'_>,
    shared: &Shared,
    part: Option<PartId>,
    mut try_recv: impl FnMut() -> Option<RtmEvent>,
) -> Poll<Option<RtmEvent>> {
    // What comes fast must not keep the task from others.
    let budget = ready!(tokio::task::coop::poll_proceed(cx));
    let mut event = try_recv();
    if event.is_none() {
        let mut queue = shared.queue();
        // Some may have come in between.
        if queue.len(part) == 0 {
            if !queue.is_complete {
                queue.wait(part, cx.waker());
                return Poll::Pending;
            }
        } else {
            drop(queue);
            event = try_recv();
        }
    }
    budget.made_progress();
    Poll::Ready(event)
}

/// The first event that `choose` makes something of, within `limit`.
async fn first_within<T>(
    events: &mut (impl Stream<Item = RtmEvent> + Unpin),
    limit: Duration,
    mut choose: impl FnMut(RtmEvent) -> Option<T>,
) -> Option<T> {
    let wanted = async {
        loop {
            if let Some(wanted) = choose(events.next().await?) {
                return Some(wanted);
            }
        }
    };
    timeout(limit, wanted).await.ok().flatten()
}

#[cfg(test)]
mod tests;
