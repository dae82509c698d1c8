//! The task of one endpoint: it reads the log of events, sends what the machine says, and keeps how far that came.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use hyper::{HeaderMap, StatusCode, header::RETRY_AFTER};
use rtm_core::{EventAnswer, EventPage, EventTypes, Latencies, store::AcceptedEvents};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{
    body::{Body, Writer},
    caller::{Caller, Try},
    client::Reply,
    config::WebhookConfig,
    deliveries::{Answer, Batching, Deliveries, Delivery, Event, Health},
};
use crate::{
    events::{EventReader, last_number, log_epoch},
    project::{Project, now as clocks},
    random::random_bytes,
    traces::Traces,
};

/// How an endpoint is, for those who look.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebhookStatus {
    pub(crate) health: Option<Health>,
    /// This node tells it as soon as the one before cannot have anything on its way any more.
    pub(crate) is_awaited: bool,
    /// The endpoint has all events up to this one.
    pub(crate) settled_to: u64,
    /// The log was read up to this one.
    pub(crate) read_to: u64,
    /// How many events it took since the start, and how many requests failed.
    pub(crate) taken: u64,
    pub(crate) failures: u64,
    /// The last requests, oldest first.
    pub(crate) attempts: VecDeque<Attempt>,
    /// When a request failed last, and how.
    pub(crate) last_failure: Option<(SystemTime, String)>,
    /// How many requests there were, by what was answered ([`Answer::place`]).
    pub(crate) answers: [u64; ANSWERS.len()],
    /// How long they took, in microseconds.
    pub(crate) took: Latencies,
    /// How many events wait to be taken, as far as the log was read, and when the oldest of them happened, in milliseconds since
    /// the Unix epoch.
    pub(crate) pending: (usize, Option<u64>),
}

impl WebhookStatus {
    /// Remembers a request, and forgets the oldest for it.
    fn note(&mut self, attempt: Attempt) {
        if self.attempts.len() >= ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
    }
}

/// What came of a request.
#[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody looks at all of it"))]
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) time: SystemTime,
    /// Which try it was of these events, from 1 on.
    pub(crate) number: u32,
    /// The first and the last of its events; 0 of a test.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) events: usize,
    pub(crate) is_taken: bool,
    /// The status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// What was said, or what went wrong, in a line.
    pub(crate) what: String,
    pub(crate) took: Duration,
}

/// What an endpoint made of a request that an operator had it sent.
#[cfg(feature = "admin")]
#[derive(Debug)]
pub(crate) struct Tried {
    /// Whether it was taken.
    pub(crate) is_taken: bool,
    /// What it said, or what went wrong, in a line.
    pub(crate) what: String,
    pub(crate) took: Duration,
}

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
            let answer = called.as_ref().map_or(Answer::Failed, answer);
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

/// Has the store know where a new endpoint begins: with what happens from now on, whichever node tells it, and however much later.
/// `false` when it is to stop.
async fn claim(webhook: &Webhook, project: &Arc<Project>, orders: &mut mpsc::UnboundedReceiver<Order>) -> bool {
    let name = webhook.cursor();
    let mut last = None;
    loop {
        let from = project.event_cursor(&name);
        if from.revision.0 > 0 {
            return true;
        }
        if last.is_none() {
            last = last_number(project).await.ok();
        }
        if let Some(last) = last
            && project.may_write()
            && let Some(Ok(_)) = project.move_event_cursor(&name, from, last, false).await
        {
            // By this node, or by one that has the endpoint too.
            continue;
        }
        tokio::select! {
            order = orders.recv() => if matches!(order, Some(Order::Stop) | None) {
                return false;
            },
            () = sleep(KEEP_EVERY) => {}
        }
    }
}

/// Where an endpoint goes on.
struct Start {
    /// What the store has of it.
    kept: (u64, bool),
    /// What it has of the events behind that.
    taken_ahead: Vec<(u64, u64)>,
    is_paused: bool,
}

/// Waits until this node is the one that tells the endpoint, and the one before it cannot have anything on its way any more.
/// `None` when it is to stop.
async fn wait_for_home(
    webhook: &Webhook,
    project: &Arc<Project>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<Start> {
    let (cursor, timeout) = (webhook.cursor(), webhook.config.target.timeout);
    // Whoever is alone waits for nobody.
    let (mut since, mut was_away) = (None, project.is_one_of_several());
    // What an operator wants of it meanwhile.
    #[cfg_attr(not(feature = "admin"), expect(unused_mut, reason = "nobody can pause it"))]
    let mut is_paused = None;
    loop {
        let is_home = project.may_write() && project.is_home_of(&cursor);
        webhook.tell(|status| status.is_awaited = is_home);
        let kept = match is_home {
            true => {
                let since = *since.get_or_insert_with(Instant::now);
                if !was_away || Instant::now() >= since + timeout + KEEP_EVERY * 2 {
                    Some(first(webhook, project).await)
                } else {
                    take_new(&cursor, project).await.map(|kept| (kept, Vec::new()))
                }
            }
            false => {
                (since, was_away) = (None, true);
                None
            }
        };
        if let Some((kept, taken_ahead)) = kept {
            return Some(Start { kept, taken_ahead, is_paused: is_paused.unwrap_or(kept.1) });
        }
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Stop) | None => return None,
                #[cfg(feature = "admin")]
                Some(Order::Pause) => is_paused = Some(true),
                #[cfg(feature = "admin")]
                Some(Order::Enable) => is_paused = Some(false),
                #[cfg(feature = "admin")]
                Some(_) => {}
            },
            () = sleep(KEEP_EVERY) => {}
        }
    }
}

/// Takes an endpoint over that no node has told anything yet, as its cursor says, which is as it was first written.
async fn take_new(cursor: &str, project: &Arc<Project>) -> Option<(u64, bool)> {
    let from = project.event_cursor(cursor);
    if from.revision.0 != 1 {
        return None;
    }
    match project.move_event_cursor(cursor, from, from.read.0, from.is_paused).await {
        Some(Ok(EventAnswer::Moved(taken))) => Some((taken.read.0, taken.is_paused)),
        _ => None,
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

/// Where an endpoint begins: where it was, or with what happens from now on; and whether it is paused; and what it has behind that.
/// What another node has written counts too.
async fn first(webhook: &Webhook, project: &Arc<Project>) -> ((u64, bool), Vec<(u64, u64)>) {
    let name = webhook.cursor();
    loop {
        let from = project.event_cursor(&name);
        let after = if from.revision.0 > 0 { Some(from.read.0) } else { last_number(project).await.ok() };
        if let Some(after) = after
            && let Some(accepted) = project.accepted_events(&name).await
        {
            match project.move_event_cursor(&name, from, after, from.is_paused).await {
                Some(Ok(EventAnswer::Moved(_))) => {
                    let is_of_cursor = accepted.cursor == from.revision;
                    return ((after, from.is_paused), if is_of_cursor { accepted.spans } else { Vec::new() });
                }
                Some(Ok(_)) => continue,
                _ => {}
            }
        }
        sleep(KEEP_EVERY).await;
    }
}

/// What an answer means to the machine.
fn answer(reply: &Reply) -> Answer {
    match reply.status {
        status if status.is_success() => Answer::Taken,
        StatusCode::GONE => Answer::Gone,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Busy(retry_after(&reply.headers)),
        status if status.is_client_error() => Answer::Refused,
        _ => Answer::Failed,
    }
}

/// How long an endpoint asks to be left alone.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// An answer in a line.
fn said(reply: &Reply) -> String {
    let body = String::from_utf8_lossy(reply.body.as_deref().unwrap_or_default());
    let start: String = body.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
    if start.is_empty() { reply.status.to_string() } else { format!("{}: {start}", reply.status) }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// What comes of a request, in the order of [`Answer::place`].
pub(crate) const ANSWERS: [&str; 5] = ["taken", "refused", "busy", "gone", "failed"];
/// How many events are read at once.
const PAGE: usize = 1000;
/// How often it is kept how far an endpoint is: after a crash it gets what it got in this time once more.
const KEEP_EVERY: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);
/// How many of the last requests are remembered.
const ATTEMPTS: usize = 50;
/// So much is shown of what an endpoint says.
const SHOWN: usize = 200;
