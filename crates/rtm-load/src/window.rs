//! How far a publisher may be ahead of its receivers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Messages that were sent and have not reached every receiver, bounded. For one publisher and any number of
/// receivers, on any threads.
#[derive(Debug)]
pub struct Window {
    limit: u64,
    receivers: u64,
    /// Deliveries in all.
    delivered: AtomicU64,
    /// Messages let out; written by the publisher alone.
    sent: AtomicU64,
    /// From how many deliveries on the publisher is to be woken, if it waits.
    wake_at: AtomicU64,
    waits: AtomicBool,
    publisher: Notify,
}

impl Window {
    /// At most `limit` messages, each for `receivers`.
    #[must_use]
    pub fn new(limit: u64, receivers: u64) -> Self {
        Self {
            limit: limit.max(1),
            receivers: receivers.max(1),
            delivered: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            wake_at: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            publisher: Notify::new(),
        }
    }

    /// How many messages may be under way.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Waits until a message may be sent, and takes room for up to `max`. Says for how many.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken when the future is dropped.
    pub async fn take(&self, max: u64) -> u64 {
        let sent = self.sent.load(Ordering::Relaxed);
        // A quarter of the window at least, so that the publisher sends batches and is not woken for every message.
        let batch = max.min((self.limit / 4).max(1));
        let ahead = self.limit - batch;
        self.reached(sent.saturating_sub(ahead).saturating_mul(self.receivers)).await;
        let done = self.delivered.load(Ordering::Acquire) / self.receivers;
        let room = (done + self.limit).saturating_sub(sent).clamp(1, max);
        self.sent.store(sent + room, Ordering::Relaxed);
        room
    }

    /// Waits until everything that was let out has reached everybody.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn all_delivered(&self) {
        self.reached(self.sent.load(Ordering::Relaxed).saturating_mul(self.receivers)).await;
    }

    /// `messages` reached one receiver each.
    pub fn delivered(&self, messages: u64) {
        let delivered = self.delivered.fetch_add(messages, Ordering::SeqCst) + messages;
        if self.waits.load(Ordering::SeqCst)
            && delivered >= self.wake_at.load(Ordering::SeqCst)
            && self.waits.swap(false, Ordering::SeqCst)
        {
            self.publisher.notify_one();
        }
    }

    async fn reached(&self, deliveries: u64) {
        while self.delivered.load(Ordering::SeqCst) < deliveries {
            self.wake_at.store(deliveries, Ordering::SeqCst);
            self.waits.store(true, Ordering::SeqCst);
            // A receiver that came between the check and the flag has not seen the flag.
            if self.delivered.load(Ordering::SeqCst) >= deliveries {
                break;
            }
            self.publisher.notified().await;
        }
        self.waits.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_publisher_waits_for_the_slowest_receiver() {
        let window = Window::new(8, 2);
        assert_eq!(window.take(100).await, 8);
        let mut more = tokio_test_task(window.take(100));
        assert!(more.poll_is_pending());
        window.delivered(8);
        assert_eq!(more.await, 4);
        window.delivered(16);
        window.all_delivered().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_up_is_lost_between_threads() {
        let window = Arc::new(Window::new(4, 1));
        let (sender, mut sent) = tokio::sync::mpsc::unbounded_channel();
        let receiver = tokio::spawn({
            let window = Arc::clone(&window);
            async move {
                while let Some(messages) = sent.recv().await {
                    window.delivered(messages);
                }
            }
        });
        let mut left = 100_000;
        while left > 0 {
            let room = window.take(left).await;
            assert!(room <= 4);
            sender.send(room).unwrap();
            left -= room;
        }
        window.all_delivered().await;
        drop(sender);
        receiver.await.unwrap();
    }

    struct Task<F>(std::pin::Pin<Box<F>>);

    fn tokio_test_task<F: Future>(future: F) -> Task<F> {
        Task(Box::pin(future))
    }

    impl<F: Future> Task<F> {
        fn poll_is_pending(&mut self) -> bool {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            self.0.as_mut().poll(&mut cx).is_pending()
        }
    }

    impl<F: Future> Future for Task<F> {
        type Output = F::Output;

        fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
            self.0.as_mut().poll(cx)
        }
    }
}
