//! The task of one endpoint: it reads the log of events, sends what the machine says, and keeps how far that came.

mod place;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rtm_core::{EventAnswer, EventPage, EventTypes, store::AcceptedEvents};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{info, warn};

use self::place::{Start, claim, wait_for_home};
#[cfg(feature = "admin")]
use super::status::Tried;
use super::{
    body::{Body, Writer},
    caller::{Caller, Try},
    client::Reply,
    config::WebhookConfig,
    deliveries::{Batching, Deliveries},
    delivery::{Answer, Delivery, Event, Health, said},
    status::{Attempt, WebhookStatus},
};
use crate::{
    events::{EventReader, log_epoch},
    project::{Project, now as clocks},
    random::random_bytes,
    traces::Traces,
};

/// An endpoint at work.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) config: WebhookConfig,
    caller: Caller,
    traces: Traces,
    writer: Writer,
    status: Mutex<WebhookStatus>,
    orders: mpsc::UnboundedSender<Order>,
}

/// What an operator wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It gets all events behind this one again, and whoever said that it is gone is asked again.
    #[cfg(feature = "admin")]
    Replay { after: u64 },
    /// It gets events again where it was, though it said that it is gone, and at once what it did not take.
    #[cfg(feature = "admin")]
    Enable,
    /// It takes events, so it gets at once what it did not take before.
    #[cfg(feature = "admin")]
    Wake,
    /// It gets nothing until it is enabled.
    #[cfg(feature = "admin")]
    Pause,
    /// It keeps where it is, and ends when it has the answers to what is on its way.
    Stop,
}

/// What the task has.
struct Worker {
    webhook: Arc<Webhook>,
    project: Arc<Project>,
    orders: mpsc::UnboundedReceiver<Order>,
    writer: Writer,
    deliveries: Deliveries,
    on_their_way: FuturesUnordered<BoxFuture<'static, Done>>,
    pages: Pages,
    /// What is kept: up to where the endpoint has all events, and whether it is paused.
    kept: (u64, bool),
    /// What it has of the events behind that, as far as it is known to be kept.
    kept_ahead: Option<Vec<(u64, u64)>>,
    /// What is sent up to this event may have been sent before: an operator wants it so.
    replayed_to: u64,
    /// Nothing is sent until all that is on its way is answered, since nothing is to be on its way twice.
    draining: Draining,
}

/// What comes when nothing is on its way any more.
#[derive(Debug, Clone, Copy, Default)]
struct Draining {
    /// The endpoint gets all events behind this one again.
    replay_after: Option<u64>,
    /// The task ends.
    is_stopping: bool,
}

impl Draining {
    fn is_on(self) -> bool {
        self.is_stopping || self.replay_after.is_some()
    }
}

/// What came of a delivery.
struct Done {
    id: u64,
    answer: Answer,
    attempt: Attempt,
}

/// The log, as it is read ahead.
struct Pages {
    pages: mpsc::Receiver<EventPage>,
    reader: JoinHandle<()>,
}

impl Webhook {
    /// Starts to tell an endpoint what happens in a project, once another task for it has ended.
    pub(crate) fn start(
        config: WebhookConfig,
        caller: Caller,
        traces: Traces,
        project: Arc<Project>,
        before: Option<JoinHandle<()>>,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let writer = Writer {
            app_id: project.app_id().to_string(),
            format: config.format,
            is_batched: config.batch_max > 1,
            channel_prefix: config.channel_prefix.clone(),
            epoch: None,
        };
        // Without random numbers the time spreads what is sent again.
        let seed = random_bytes().map_or_else(|_| clocks().unix_ms, u64::from_le_bytes);
        let (orders, taken) = mpsc::unbounded_channel();
        let webhook = Arc::new(Self { config, caller, traces, writer, status: Mutex::default(), orders });
        let work = Worker::run(Arc::clone(&webhook), project, taken, seed);
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // It may have been ended by force.
                let _ = before.await;
            }
            work.await;
        });
        (webhook, task)
    }

    /// Whether it would be the same with these settings, and the files that were read for them.
    pub(super) fn is_as(&self, config: &WebhookConfig, caller: &Caller) -> bool {
        self.config == *config && self.caller.files() == caller.files()
    }

    /// How it is.
    pub(crate) fn status(&self) -> WebhookStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has it do something.
    pub(crate) fn order(&self, order: Order) {
        // It may have ended.
        let _ = self.orders.send(order);
    }

    /// Sends an event of the type `webhook.test`, past all others and in no log.
    #[cfg(feature = "admin")]
    pub(crate) async fn try_out(&self) -> Tried {
        let number = random_bytes().map_or_else(|_| clocks().unix_ms, u64::from_le_bytes);
        let since = Instant::now();
        let time = SystemTime::now();
        let called = match self.writer.test(&format!("test-{number:016x}"), &self.config.name, clocks().unix_ms) {
            Some(body) => self.call(body, 1, Try::default()).await,
            None => Err("the event cannot be written".to_owned()),
        };
        let is_taken = called.as_ref().is_ok_and(|reply| reply.status.is_success());
        if is_taken {
            self.order(Order::Wake);
        }
        let (what, took) = (called.as_ref().map_or_else(Clone::clone, said), since.elapsed());
        let status = called.as_ref().ok().map(|reply| reply.status.as_u16());
        // Its event has no number.
        let (number, first, last) = (1, 0, 0);
        let attempt = Attempt { time, number, first, last, events: 1, is_taken, status, what: what.clone(), took };
        self.tell(|status| status.note(attempt));
        Tried { is_taken, what, took }
    }

    /// Sends a body with so many events.
    async fn call(&self, body: Body, events: usize, delivery: Try) -> Result<Reply, String> {
        let mut span = self.traces.delivery("webhook");
        span.text("rtm.app_id", &self.writer.app_id);
        span.text("rtm.webhook.name", &self.config.name);
        span.text("rtm.webhook.id", &body.id);
        span.number("rtm.webhook.attempt", u64::from(delivery.failures) + 1);
        span.number("rtm.webhook.events", events as u64);
        span.text("http.request.method", "POST");
        let delivery = Try { traceparent: span.traceparent(), ..delivery };
        let called = self.caller.call(&body.id, body.content_type, delivery, body.bytes).await;
        match &called {
            Ok(reply) => span.answered(reply.status.as_u16(), !reply.status.is_success()),
            // What went wrong may be long, and names addresses.
            Err(_) => span.failed("no answer"),
        }
        called
    }

    fn tell(&self, change: impl FnOnce(&mut WebhookStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The name under which the project's store has how far it has read.
    fn cursor(&self) -> String {
        format!("webhook.{}", self.config.name)
    }

    fn types(&self) -> EventTypes {
        self.config.event_types()
    }
}

impl Worker {
    async fn run(webhook: Arc<Webhook>, project: Arc<Project>, orders: mpsc::UnboundedReceiver<Order>, seed: u64) {
        let mut orders = orders;
        if !claim(&webhook, &project, &mut orders).await {
            return;
        }
        loop {
            let start = wait_for_home(&webhook, &project, &mut orders).await;
            let Some(Start { kept, taken_ahead, is_paused }) = start else { return };
            let (after, _) = kept;
            let writer = Writer { epoch: Some(epoch(&project).await), ..webhook.writer.clone() };
            let config = &webhook.config;
            let batching = Batching { most: config.batch_max, wait: config.batch_wait };
            let mut worker = Self {
                pages: Pages::start(&project, webhook.types(), after),
                deliveries: Deliveries::new(batching, after, taken_ahead, seed),
                on_their_way: FuturesUnordered::new(),
                webhook: Arc::clone(&webhook),
                project: Arc::clone(&project),
                orders,
                writer,
                kept,
                // The cursor has been written since.
                kept_ahead: Some(Vec::new()),
                replayed_to: 0,
                draining: Draining::default(),
            };
            if is_paused {
                worker.deliveries.pause();
            }
            if worker.work().await {
                return;
            }
            orders = worker.orders;
            webhook.tell(|status| {
                status.health = None;
                status.pending = (0, None);
            });
        }
    }

    /// Sends until it is to stop, which it says, or until another node has to.
    async fn work(&mut self) -> bool {
        let cursor = self.webhook.cursor();
        let mut keep = interval(KEEP_EVERY);
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.draining.is_on() && self.on_their_way.is_empty() {
                if let Some(after) = self.draining.replay_after.take() {
                    self.replay(after);
                }
                if self.draining.is_stopping {
                    self.keep().await;
                    return true;
                }
            }
            while !self.draining.is_on()
                && let Some(delivery) = self.deliveries.poll(now())
            {
                self.on_their_way.push(self.send(&delivery));
            }
            self.show();
            let due = self.deliveries.next_timeout().filter(|_| !self.draining.is_on());
            let due = async move {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = self.orders.recv(), if !self.draining.is_stopping => match order {
                    #[cfg(feature = "admin")]
                    Some(Order::Replay { after }) => {
                        let first = self.draining.replay_after.map_or(after, |first| first.min(after));
                        self.draining.replay_after = Some(first);
                    }
                    #[cfg(feature = "admin")]
                    Some(Order::Enable) => {
                        self.deliveries.enable(now());
                        self.keep().await;
                    }
                    #[cfg(feature = "admin")]
                    Some(Order::Wake) => self.deliveries.wake(now()),
                    #[cfg(feature = "admin")]
                    Some(Order::Pause) => {
                        self.deliveries.pause();
                        self.keep().await;
                    }
                    Some(Order::Stop) | None => {
                        // What is on its way may take longer than there is time.
                        self.keep().await;
                        self.draining.is_stopping = true;
                    }
                },
                Some(done) = self.on_their_way.next() => self.done(done),
                Some(page) = self.pages.pages.recv(), if !self.draining.is_on() && self.deliveries.room() >= PAGE => {
                    self.take(&page);
                }
                () = due => {}
                _ = keep.tick() => {
                    self.keep().await;
                    if !self.project.is_home_of(&cursor) {
                        return self.draining.is_stopping;
                    }
                }
            }
        }
    }

    fn take(&mut self, page: &EventPage) {
        let events: Vec<_> = page.events.iter().filter_map(|event| self.writer.event(event)).collect();
        self.deliveries.take(now(), events, page.next);
    }

    fn send(&self, delivery: &Delivery) -> BoxFuture<'static, Done> {
        let (id, events, attempt) = (delivery.id, delivery.events.len(), delivery.attempt);
        let seq = |event: Option<&Event>| event.map_or(0, |event| event.seq);
        let (first, last) = (seq(delivery.events.first()), seq(delivery.events.last()));
        let webhook = Arc::clone(&self.webhook);
        let is_replay = first <= self.replayed_to;
        let (body, epoch) = (self.writer.body(&delivery.events), self.writer.epoch.clone());
        Box::pin(async move {
            let since = Instant::now();
            let called = match body {
                Some(body) => {
                    let delivery = Try { failures: attempt, is_replay, epoch, ..Try::default() };
                    webhook.call(body, events, delivery).await
                }
                None => Err("the events cannot be written".to_owned()),
            };
            let answer = called.as_ref().map_or(Answer::Failed, Answer::of);
            let attempt = Attempt {
                time: SystemTime::now(),
                number: attempt.saturating_add(1),
                first,
                last,
                events,
                is_taken: called.as_ref().is_ok_and(|reply| reply.status.is_success()),
                status: called.as_ref().ok().map(|reply| reply.status.as_u16()),
                what: called.as_ref().map_or_else(Clone::clone, said),
                took: since.elapsed(),
            };
            Done { id, answer, attempt }
        })
    }

    fn done(&mut self, Done { id, answer, attempt }: Done) {
        let before = self.deliveries.health();
        self.deliveries.handle_answer(now(), id, answer);
        self.webhook.tell(|status| {
            status.answers[answer.place()] += 1;
            status.took.add(attempt.took);
            match attempt.is_taken {
                true => status.taken += attempt.events as u64,
                false => {
                    status.failures += 1;
                    status.last_failure = Some((attempt.time, attempt.what.clone()));
                }
            }
            status.note(attempt);
        });
        let after = self.deliveries.health();
        if before != after {
            let (name, app_id) = (&self.webhook.config.name, self.project.app_id());
            let last = self.webhook.status().last_failure.map(|(_, what)| what).unwrap_or_default();
            match after {
                // Whoever paused it stands in the audit log.
                Health::Paused => {}
                Health::Working => info!(webhook = %name, %app_id, "the endpoint takes events again"),
                Health::Retrying => {
                    warn!(webhook = %name, %app_id, "the endpoint does not take events, which are sent again: {last}");
                }
                Health::Failing => {
                    warn!(webhook = %name, %app_id, "the endpoint has not taken events for days, which are sent again: {last}");
                }
                Health::Gone => {
                    warn!(webhook = %name, %app_id, "the endpoint says that it is gone: it gets no more events until it is enabled, or the server starts again");
                }
            }
        }
    }

    /// Begins again behind an event. Nothing is on its way.
    fn replay(&mut self, after: u64) {
        let after = after.min(self.deliveries.settled_to());
        let is_paused = self.deliveries.is_paused();
        let config = &self.webhook.config;
        let batching = Batching { most: config.batch_max, wait: config.batch_wait };
        self.replayed_to = self.replayed_to.max(self.deliveries.sent_to());
        self.pages = Pages::start(&self.project, self.webhook.types(), after);
        self.deliveries = Deliveries::new(batching, after, Vec::new(), after);
        if is_paused {
            self.deliveries.pause();
        }
    }

    fn show(&self) {
        let (health, settled_to, read_to) =
            (self.deliveries.health(), self.deliveries.settled_to(), self.deliveries.read_to());
        let pending = self.deliveries.pending();
        self.webhook.tell(|status| {
            status.pending = pending;
            status.health = Some(health);
            status.is_awaited = false;
            status.settled_to = settled_to;
            status.read_to = read_to;
        });
    }

    /// Keeps where the endpoint is, so that it goes on there after a restart.
    async fn keep(&mut self) {
        let settled_to = self.deliveries.settled_to();
        // What is to be sent again is so after a restart too.
        let settled_to = self.draining.replay_after.map_or(settled_to, |after| after.min(settled_to));
        let here = (settled_to, self.deliveries.is_paused());
        let name = self.webhook.cursor();
        if here != self.kept && !self.keep_cursor(&name, here).await {
            return;
        }
        let ahead = match self.draining.replay_after {
            Some(_) => Vec::new(),
            None => self.deliveries.taken_ahead(),
        };
        if self.kept_ahead.as_ref() == Some(&ahead) {
            return;
        }
        let cursor = self.project.event_cursor(&name).revision;
        let accepted = AcceptedEvents { cursor, spans: ahead.clone() };
        let is_kept = self.project.keep_accepted_events(&name, accepted).await;
        self.kept_ahead = is_kept.then_some(ahead);
    }

    /// Says whether the cursor is kept.
    async fn keep_cursor(&mut self, name: &str, here: (u64, bool)) -> bool {
        for _ in 0..2 {
            let from = self.project.event_cursor(name);
            match self.project.move_event_cursor(name, from, here.0, here.1).await {
                Some(Ok(EventAnswer::Moved(_))) => {
                    self.kept = here;
                    // What is kept beside it belongs to the cursor of before.
                    self.kept_ahead.take_if(|ahead| !ahead.is_empty());
                    return true;
                }
                // Known from now on: once more.
                Some(Ok(_)) => {}
                // It is tried again soon.
                _ => return false,
            }
        }
        false
    }
}

impl Pages {
    fn start(project: &Arc<Project>, types: EventTypes, after: u64) -> Self {
        let (full, pages) = mpsc::channel(1);
        let mut reader = EventReader::new(Arc::clone(project), Some(after), types);
        let reader = tokio::spawn(async move {
            loop {
                match reader.next(PAGE, Instant::now() + LONG).await {
                    Ok(page) => {
                        if full.send(page).await.is_err() {
                            return;
                        }
                    }
                    // The store may be back soon.
                    Err(_) => sleep(KEEP_EVERY).await,
                }
            }
        });
        Self { pages, reader }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The epoch of the log, once the store gives it.
async fn epoch(project: &Arc<Project>) -> Arc<str> {
    loop {
        match log_epoch(project).await {
            Ok(epoch) => return epoch,
            Err(_) => sleep(KEEP_EVERY).await,
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// How many events are read at once.
const PAGE: usize = 1000;
/// How often it is kept how far an endpoint is: after a crash it gets what it got in this time once more.
const KEEP_EVERY: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);
