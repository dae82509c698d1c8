//! Questions to NATS over one subscription. Those that nobody answers are forgotten, which async-nats does not do with its own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::{sync::oneshot, task::AbortHandle, time::timeout};

use super::error::NotDone;

/// Asks questions. Cheap to clone; ends with its last clone.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    inbox: String,
    next: AtomicU64,
    open: Arc<Open>,
    reader: AbortHandle,
}

#[derive(Debug, Default)]
struct Open(Mutex<HashMap<u64, oneshot::Sender<Message>>>);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nobody is there who could answer: it was not done.
    NoResponders,
    /// None came in time: nobody knows.
    TimedOut,
}

impl Requests {
    pub(crate) async fn new(client: Client) -> Result<Self, NotDone> {
        let inbox = client.new_inbox();
        let subscribed = timeout(SUBSCRIBE_WITHIN, client.subscribe(format!("{inbox}.*"))).await;
        let Ok(Ok(mut answers)) = subscribed else {
            return Err(NotDone::NotNow("cannot subscribe to anything on NATS".to_owned()));
        };
        let open = Arc::new(Open::default());
        let reader = tokio::spawn({
            let open = Arc::clone(&open);
            async move {
                while let Some(answer) = answers.next().await {
                    let number = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok());
                    if let Some(asker) = number.and_then(|number: u64| open.lock().remove(&number)) {
                        // Whoever asked may have gone.
                        let _ = asker.send(answer);
                    }
                }
            }
        });
        Ok(Self(Arc::new(Inner { client, inbox, next: AtomicU64::new(0), open, reader: reader.abort_handle() })))
    }

    /// Asks once. Cancel safe.
    pub(crate) async fn ask(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<Message, Unanswered> {
        let Inner { client, inbox, next, open, .. } = &*self.0;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let (asker, answered) = oneshot::channel();
        open.lock().insert(number, asker);
        let _forget = Forget { open, number };
        let reply = format!("{inbox}.{number}");
        let exchange = async {
            let publish = client.publish_with_reply_and_headers(subject, reply, headers, payload);
            publish.await.map_err(|_| Unanswered::NoResponders)?;
            answered.await.map_err(|_| Unanswered::TimedOut)
        };
        match timeout(within, exchange).await {
            Ok(Ok(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => Err(Unanswered::NoResponders),
            Ok(answered) => answered,
            Err(_) => Err(Unanswered::TimedOut),
        }
    }
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Forgets a question.
struct Forget<'a> {
    open: &'a Open,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
    }
}

const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(2);
