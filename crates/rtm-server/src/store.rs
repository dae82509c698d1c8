//! What owns the backend: it does what has gathered since the last batch as one batch. A backend that may wait for a disk
//! has a thread for that; the one in memory has a task, so that it takes no time on a clock that is stopped. One that is
//! elsewhere has many jobs in flight.

#[cfg(feature = "cluster")]
mod in_flight;

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rtm_codec::AppId;
use rtm_core::{
    Histogram, JobId, Latencies, LogKey, StateKey, StateValue, StoreAnswer, StoreDone, StoreFailed, StoreJob,
    StoreWork,
    store::{Backend, BackendError, BackendStats, EVENT_BYTES, StateKind, StoredBytes, Task, read_state},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
};
use tracing::{error, warn};

use crate::{clock::instant, traces::Traces};

#[cfg(feature = "cluster")]
pub(crate) use in_flight::{AsyncBackend, Lane, TOGETHER, Term, lane};

/// Whose jobs the store does.
pub(crate) trait Customer: Send + Sync {
    /// The project that the jobs are of.
    fn app_id(&self) -> &AppId;

    /// Takes what came of its jobs, in the order that [`StoreJob`] promises.
    fn handle_stored(self: Arc<Self>, done: &mut dyn Iterator<Item = StoreDone>);
}

/// The store at work.
#[derive(Debug)]
pub(crate) struct Store {
    queue: StoreQueue,
    worker: Option<Worker>,
}

#[derive(Debug)]
enum Worker {
    Thread(thread::JoinHandle<()>),
    Task(JoinHandle<()>),
}

/// The way to the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreQueue {
    orders: mpsc::UnboundedSender<Order>,
    queued: Arc<Queued>,
    /// The thread that does the work, once there is one.
    thread: Arc<OnceLock<thread::Thread>>,
    /// How the backend does; `None` where many jobs are in flight at once, of which no batches are made.
    batches: Option<Arc<Mutex<Batches>>>,
}

/// What is in orders that are not done.
#[derive(Debug, Default)]
struct Queued {
    /// Bytes of messages.
    bytes: AtomicUsize,
    jobs: AtomicUsize,
}

impl Queued {
    /// So much is done.
    fn done(&self, jobs: usize, bytes: usize) {
        self.jobs.fetch_sub(jobs, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What the store kept of a project's state.
pub(crate) type Kept = Vec<(StateKey, StateValue)>;

/// What the backend has done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Batches {
    /// How many jobs each batch had.
    pub(crate) jobs: Histogram,
    /// How long each took.
    pub(crate) times: Latencies,
    /// Whether a write of the last one with writes failed. A read that fails says nothing of the others: its place may be damaged.
    pub(crate) is_failing: bool,
}

enum Order {
    /// Says what is kept of a project's state.
    ReadState(AppId, oneshot::Sender<Result<Kept, BackendError>>),
    /// Jobs of a customer, in order.
    Jobs(CustomerJobs),
    /// Says how much is kept.
    Stats(oneshot::Sender<Option<BackendStats>>),
    /// Says how much is kept of a project.
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody asks for it"))]
    Measure(AppId, oneshot::Sender<Option<StoredBytes>>),
    /// Does what came before, and ends.
    Stop,
}

struct CustomerJobs {
    customer: Arc<dyn Customer>,
    /// Of a job that is refused, since the queue was full, only its log is left.
    jobs: Vec<(JobId, Result<StoreWork, LogKey>)>,
    bytes: usize,
    /// Whether they append events that nobody waits for, and do nothing else.
    may_wait: bool,
}

impl Order {
    /// Whether somebody waits for what comes of it.
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Jobs(CustomerJobs { may_wait: true, .. }))
    }
}

impl Store {
    /// Starts a thread for a backend.
    pub(crate) fn on_thread(backend: Box<dyn Backend>, traces: Traces) -> Result<Self, BackendError> {
        Self::start_thread(backend, traces, EVENT_PAUSE)
    }

    fn start_thread(backend: Box<dyn Backend>, traces: Traces, event_pause: Duration) -> Result<Self, BackendError> {
        let (queue, mut incoming, mut bench) = Self::parts(backend, traces);
        // Its customers read the runtime's clock.
        let runtime = Handle::try_current().ok();
        let own = Arc::clone(&queue.thread);
        bench.event_pause = event_pause;
        let thread = thread::Builder::new()
            .name("rtm-store".into())
            .spawn(move || {
                let _ = own.set(thread::current());
                let _clock = runtime.as_ref().map(Handle::enter);
                while let Some(first) = incoming.blocking_recv() {
                    if bench.batch(first, &mut incoming).is_break() {
                        return;
                    }
                }
            })
            .map_err(|error| BackendError::new("start the store's thread", error))?;
        Ok(Self { queue, worker: Some(Worker::Thread(thread)) })
    }

    /// Starts a task for a backend that never blocks.
    pub(crate) fn as_task(backend: Box<dyn Backend>, traces: Traces) -> Self {
        let (queue, mut incoming, mut bench) = Self::parts(backend, traces);
        let task = tokio::spawn(async move {
            while let Some(first) = incoming.recv().await {
                if bench.batch(first, &mut incoming).is_break() {
                    return;
                }
            }
        });
        Self { queue, worker: Some(Worker::Task(task)) }
    }

    /// Starts a task for a backend that has many jobs in flight.
    #[cfg(feature = "cluster")]
    pub(crate) fn as_async(backend: Arc<dyn AsyncBackend>) -> Self {
        let (orders, incoming) = mpsc::unbounded_channel();
        let queued = Arc::default();
        let task = tokio::spawn(in_flight::run(backend, incoming, Arc::clone(&queued)));
        let queue = StoreQueue { orders, queued, thread: Arc::default(), batches: None };
        Self { queue, worker: Some(Worker::Task(task)) }
    }

    fn parts(backend: Box<dyn Backend>, traces: Traces) -> (StoreQueue, mpsc::UnboundedReceiver<Order>, Bench) {
        let (orders, incoming) = mpsc::unbounded_channel();
        let queued = Arc::default();
        let batches = Arc::default();
        let bench = Bench {
            backend,
            queued: Arc::clone(&queued),
            batches: Arc::clone(&batches),
            told: Told::default(),
            traces,
            event_pause: Duration::ZERO,
            begun: None,
        };
        (StoreQueue { orders, queued, thread: Arc::default(), batches: Some(batches) }, incoming, bench)
    }

    /// The way to it.
    pub(crate) fn queue(&self) -> StoreQueue {
        self.queue.clone()
    }

    /// Does everything that is queued, and ends. The backend is closed when this returns.
    pub(crate) async fn stop(mut self) {
        self.queue.send(Order::Stop);
        let has_failed = match self.worker.take() {
            // The task that waits for the thread does not panic, and is not cancelled.
            Some(Worker::Thread(thread)) => {
                spawn_blocking(move || thread.join()).await.is_ok_and(|joined| joined.is_err())
            }
            Some(Worker::Task(task)) => task.await.is_err(),
            None => false,
        };
        if has_failed {
            error!("the store has failed");
        }
    }
}

impl Drop for Store {
    /// Ends a thread after all that is queued, and waits for that: its backend is durable. A task ends with its runtime, or
    /// when it has done what is queued.
    fn drop(&mut self) {
        self.queue.send(Order::Stop);
        if let Some(Worker::Thread(thread)) = self.worker.take()
            && thread.join().is_err()
        {
            error!("the store's thread has failed");
        }
    }
}

impl StoreQueue {
    /// Bytes of messages that wait for the backend.
    #[cfg(feature = "admin")]
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.bytes.load(Ordering::Relaxed)
    }

    /// Jobs that wait for the backend or that it does.
    #[cfg(feature = "admin")]
    pub(crate) fn queued_jobs(&self) -> usize {
        self.queued.jobs.load(Ordering::Relaxed)
    }

    /// Whether it does not keep what it is given, as of the last batch.
    pub(crate) fn is_failing(&self) -> bool {
        let batches = self.batches.as_ref();
        batches.is_some_and(|batches| batches.lock().unwrap_or_else(PoisonError::into_inner).is_failing)
    }

    /// What the backend has done, if that is counted.
    #[cfg(feature = "admin")]
    pub(crate) fn batches(&self) -> Option<Batches> {
        self.batches.as_ref().map(|batches| *batches.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How much is kept now; `None` when the backend cannot say.
    pub(crate) async fn stats(&self) -> Option<BackendStats> {
        let (answer, answered) = oneshot::channel();
        self.send(Order::Stats(answer));
        answered.await.ok().flatten()
    }

    /// How much is kept of a project now; `None` when the backend cannot say.
    #[cfg(feature = "admin")]
    pub(crate) async fn measure(&self, app_id: AppId) -> Option<StoredBytes> {
        let (answer, answered) = oneshot::channel();
        self.send(Order::Measure(app_id, answer));
        answered.await.ok().flatten()
    }

    /// What is kept of a project's state.
    pub(crate) async fn read_state(&self, app_id: AppId) -> Result<Kept, BackendError> {
        let (answer, answered) = oneshot::channel();
        self.send(Order::ReadState(app_id, answer));
        answered.await.unwrap_or_else(|_| Err(BackendError::new("read a project", "the store has ended")))
    }

    /// Queues jobs of a customer. When the backend is so slow that the queue is full, what needs room in it is
    /// refused instead; their outcomes still come in order.
    pub(crate) fn submit(&self, customer: Arc<dyn Customer>, jobs: impl Iterator<Item = StoreJob>) {
        let mut bytes = 0;
        let jobs = jobs.map(|StoreJob { id, work }| {
            let size = size(&work);
            match work {
                work if size > 0 && self.queued.bytes.load(Ordering::Relaxed) + size > MAX_QUEUED => match work {
                    StoreWork::Append { log, .. } => (id, Err(log)),
                    StoreWork::AppendEvents { .. } => (id, Err(LogKey::Events)),
                    work => (id, Ok(work)),
                },
                work => {
                    if size > 0 {
                        self.queued.bytes.fetch_add(size, Ordering::Relaxed);
                        bytes += size;
                    }
                    (id, Ok(work))
                }
            }
        });
        let jobs: Vec<_> = jobs.collect();
        let may_wait = |work: &Result<_, _>| matches!(work, Ok(StoreWork::AppendEvents { is_awaited: false, .. }));
        let may_wait = jobs.iter().all(|(_, work)| may_wait(work));
        self.queued.jobs.fetch_add(jobs.len(), Ordering::Relaxed);
        self.send(Order::Jobs(CustomerJobs { customer, jobs, bytes, may_wait }));
    }

    fn send(&self, order: Order) {
        let is_urgent = order.is_urgent();
        // It is gone only when the server is.
        let _ = self.orders.send(order);
        if is_urgent && let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// The backend, and what doing its work takes.
struct Bench {
    backend: Box<dyn Backend>,
    queued: Arc<Queued>,
    batches: Arc<Mutex<Batches>>,
    told: Told,
    traces: Traces,
    /// How long after the last batch was begun one begins that has nothing but events. Only a thread may wait for that.
    event_pause: Duration,
    /// When the last batch was begun.
    begun: Option<Instant>,
}

impl Bench {
    /// Does the first order and those that have gathered behind it, as one batch.
    ///
    /// If that is nothing but events, and the last batch was begun a moment ago, more are let gather for the rest of that moment: each
    /// batch has a price, however small it is.
    fn batch(&mut self, first: Order, orders: &mut mpsc::UnboundedReceiver<Order>) -> ControlFlow<()> {
        let mut batch = Vec::new();
        let (mut jobs, mut bytes) = (0, 0);
        let (mut is_urgent, mut stop) = (false, false);
        let mut next = Some(first);
        loop {
            while let Some(order) = next {
                is_urgent |= order.is_urgent();
                match order {
                    Order::Jobs(order) => {
                        jobs += order.jobs.len();
                        bytes += order.bytes;
                        batch.push(order);
                    }
                    Order::Stop => {
                        stop = true;
                        break;
                    }
                    order => self.answer(order),
                }
                next = if bytes < MAX_BATCH { orders.try_recv().ok() } else { None };
            }
            let pause = self.begun.map_or(Duration::ZERO, |begun| self.event_pause.saturating_sub(begun.elapsed()));
            if is_urgent || bytes >= EVENT_BATCH || pause.is_zero() {
                break;
            }
            thread::park_timeout(pause);
            next = orders.try_recv().ok();
        }
        let Self { backend, queued, batches, told, traces, .. } = self;
        self.begun = Some(Instant::now());
        apply(backend.as_mut(), batch, batches, told, traces);
        queued.done(jobs, bytes);
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Answers an order that is not part of a batch.
    fn answer(&mut self, order: Order) {
        let Self { backend, told, .. } = self;
        // Whoever asked may have gone.
        match order {
            Order::ReadState(app_id, answer) => {
                let kept = catch_unwind(AssertUnwindSafe(|| read_kept(backend.as_mut(), &app_id)))
                    .unwrap_or_else(|_| Err(BackendError::new("read a project", "the backend panicked")));
                let _ = answer.send(kept);
            }
            Order::Stats(answer) => {
                let stats = catch_unwind(AssertUnwindSafe(|| backend.stats()))
                    .unwrap_or_else(|_| Err(BackendError::new("read how much is kept", "the backend panicked")))
                    .map_err(|error| told.error(&error, 1))
                    .ok();
                let _ = answer.send(stats);
            }
            Order::Measure(app_id, answer) => {
                let task = Task { app_id: &app_id, work: StoreWork::Measure };
                let measured = outcomes(backend.as_mut(), vec![task], told).pop();
                let _ = answer.send(measured.as_ref().and_then(measured_bytes));
            }
            Order::Jobs(_) | Order::Stop => {}
        }
    }
}

/// How much there is, if that is what was answered.
fn measured_bytes<E>(answer: &Result<StoreAnswer, E>) -> Option<StoredBytes> {
    match answer {
        Ok(StoreAnswer::Measured(measured)) => Some(*measured),
        _ => None,
    }
}

/// Reads what a backend kept of a project. Blocks.
pub(crate) fn read_kept(backend: &mut dyn Backend, app_id: &AppId) -> Result<Kept, BackendError> {
    let mut kept = Vec::new();
    for kind in StateKind::ALL {
        kept.extend(read_state(backend, app_id, kind)?);
    }
    Ok(kept)
}

/// Jobs of a customer, and which of them are in the batch: others were refused.
struct Taken {
    customer: Arc<dyn Customer>,
    jobs: Vec<(JobId, bool)>,
}

/// Does a batch and tells each customer what came of its jobs.
fn apply(
    backend: &mut dyn Backend,
    batch: Vec<CustomerJobs>,
    batches: &Mutex<Batches>,
    told: &mut Told,
    traces: &Traces,
) {
    let mut works = Vec::new();
    let mut taken: Vec<Taken> = Vec::new();
    for CustomerJobs { customer, jobs, .. } in batch {
        // Jobs of one customer that follow each other are told of together.
        if !taken.last().is_some_and(|last| Arc::ptr_eq(&last.customer, &customer)) {
            taken.push(Taken { customer, jobs: Vec::with_capacity(jobs.len()) });
        }
        let at = taken.len() - 1;
        for (id, work) in jobs {
            taken[at].jobs.push((id, work.is_ok()));
            works.extend(work.ok().map(|work| (at, work)));
        }
    }
    let count = works.len();
    let are_writes: Vec<bool> = works.iter().map(|(_, work)| !work.is_read()).collect();
    let task = |(at, work): (usize, StoreWork)| Task { app_id: taken[at].customer.app_id(), work };
    let tasks = works.into_iter().map(task).collect();
    let span = (count > 0).then(|| traces.batch());
    let begun = Instant::now();
    let outcomes = outcomes(backend, tasks, told);
    if count > 0 {
        let mut batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.jobs.add(count as u64);
        batches.times.add(begun.elapsed());
        let mut writes = outcomes.iter().zip(are_writes).filter(|(_, is_write)| *is_write).map(|(outcome, _)| outcome);
        if let Some(first) = writes.next() {
            batches.is_failing = first.is_err() || writes.any(Result::is_err);
        }
    }
    if let Some(mut span) = span {
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        span.number("rtm.store.jobs", count as u64);
        span.number("rtm.store.failed", failed as u64);
        if failed > 0 {
            span.failed("store");
        }
    }
    let mut outcomes = outcomes.into_iter();
    for Taken { customer, jobs } in taken {
        if jobs.iter().any(|(_, taken)| !taken) {
            told_refused(customer.app_id());
        }
        let mut done = jobs.into_iter().map(|(id, taken)| StoreDone {
            id,
            result: if taken { outcomes.next().unwrap_or(Err(StoreFailed)) } else { Err(StoreFailed) },
        });
        customer.handle_stored(&mut done);
    }
}

fn told_refused(app_id: &AppId) {
    warn!(%app_id, "the store is too slow: messages are refused");
}

/// Does tasks. Each has its outcome, also when the backend panics: clients must not wait for ever.
fn outcomes(backend: &mut dyn Backend, tasks: Vec<Task<'_>>, told: &mut Told) -> Vec<Result<StoreAnswer, StoreFailed>> {
    let count = tasks.len();
    let answers = match catch_unwind(AssertUnwindSafe(|| backend.apply(tasks))) {
        Ok(answers) if answers.len() == count => answers,
        Ok(_) => {
            error!("the backend did not answer every task");
            return vec![Err(StoreFailed); count];
        }
        Err(_) => {
            error!("the backend failed");
            return vec![Err(StoreFailed); count];
        }
    };
    // A disk that is full fails all tasks for one reason.
    let mut failures = answers.iter().filter_map(|answer| answer.as_ref().err()).filter(|error| !error.is_logged());
    if let Some(first) = failures.next() {
        told.error(first, 1 + failures.count());
    }
    answers.into_iter().map(|answer| answer.map_err(|_| StoreFailed)).collect()
}

/// The last error that was logged. A lasting error is logged once a minute.
#[derive(Default)]
struct Told {
    last: Option<(String, Instant)>,
    /// Tasks that failed since, without a line in the log.
    suppressed: usize,
}

impl Told {
    fn error(&mut self, error: &BackendError, failed: usize) {
        self.suppressed += failed;
        let (text, now) = (error.to_string(), instant());
        if self.last.as_ref().is_none_or(|(last, at)| *last != text || now.duration_since(*at) >= ERROR_PAUSE) {
            error!(failed = self.suppressed, "{text}");
            *self = Self { last: Some((text, now)), suppressed: 0 };
        }
    }
}

/// What a job's messages take while it waits.
fn size(work: &StoreWork) -> usize {
    match work {
        StoreWork::Append { entry, .. } => entry.bytes() + 256,
        StoreWork::AppendEvents { events, .. } => events.len() * EVENT_BYTES + 256,
        StoreWork::Read { .. }
        | StoreWork::Remove { .. }
        | StoreWork::Expire { .. }
        | StoreWork::Put { .. }
        | StoreWork::Delete { .. }
        | StoreWork::Search { .. }
        | StoreWork::Count { .. }
        | StoreWork::Measure
        | StoreWork::List { .. } => 0,
    }
}

/// How often an error is logged that goes on.
const ERROR_PAUSE: Duration = Duration::from_secs(60);
/// The bytes of messages that may wait for the backend.
const MAX_QUEUED: usize = 128 * 1024 * 1024;
/// How long events wait for others at most.
const EVENT_PAUSE: Duration = Duration::from_millis(10);
/// So many bytes of events are a batch without waiting for more: about half of what one core has under way.
const EVENT_BATCH: usize = 4096 * EVENT_BYTES;
/// The bytes of messages in one batch, and so in one transaction.
const MAX_BATCH: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

    use std::sync::mpsc as channel;

    use rtm_core::{
        EventTypes, LoggedEvent, ProjectEvent,
        store::{LogKind, Memory, Place},
    };

    use super::*;

    /// A backend in memory that says how many tasks each batch had.
    struct Counted(Memory, channel::Sender<usize>);

    impl Backend for Counted {
        fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
            self.1.send(tasks.len()).unwrap();
            self.0.apply(tasks)
        }

        fn stats(&mut self) -> Result<BackendStats, BackendError> {
            self.0.stats()
        }
    }

    /// A backend of which nothing can be read, and that takes no state.
    struct Damaged;

    impl Backend for Damaged {
        fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
            let outcome = |task: Task<'_>| match task.work {
                StoreWork::AppendEvents { .. } => {
                    Ok(StoreAnswer::EventsAppended { last: Place(1), missing: Vec::new() })
                }
                _ => Err(BackendError::new("look", "it is damaged")),
            };
            tasks.into_iter().map(outcome).collect()
        }

        fn stats(&mut self) -> Result<BackendStats, BackendError> {
            Ok(BackendStats::default())
        }
    }

    struct Project(AppId, channel::Sender<StoreDone>);

    impl Customer for Project {
        fn app_id(&self) -> &AppId {
            &self.0
        }

        fn handle_stored(self: Arc<Self>, done: &mut dyn Iterator<Item = StoreDone>) {
            done.for_each(|done| self.1.send(done).unwrap());
        }
    }

    fn events(count: usize) -> StoreWork {
        appended(count, false)
    }

    fn appended(count: usize, is_awaited: bool) -> StoreWork {
        let event = |_| LoggedEvent { time: 1, event: ProjectEvent::LogGap { lost: 1 } };
        StoreWork::AppendEvents { events: (0..count).map(event).collect(), is_awaited }
    }

    #[test]
    fn a_store_fails_as_long_as_writes_fail_and_not_for_what_cannot_be_read() {
        let (done, outcomes) = channel::channel();
        let store = Store::start_thread(Box::new(Damaged), Traces::default(), Duration::ZERO).unwrap();
        let (project, queue) = (Arc::new(Project(AppId::new("a".repeat(32)).unwrap(), done)), store.queue());
        let is_failing_after = |work| {
            queue.submit(Arc::clone(&project) as Arc<dyn Customer>, [StoreJob { id: JobId(1), work }].into_iter());
            outcomes.recv_timeout(Duration::from_secs(60)).unwrap();
            queue.is_failing()
        };
        let before = || StoreWork::Expire {
            kind: LogKind::Stored,
            before: 0,
            keep: None,
            max_bytes: None,
            written: EventTypes::ALL,
        };
        assert!(!is_failing_after(StoreWork::Measure));
        assert!(is_failing_after(before()));
        assert!(is_failing_after(StoreWork::Measure), "nothing was kept since");
        assert!(!is_failing_after(events(1)));
    }

    /// Events wait for others for an hour here, if nothing ends that.
    #[test]
    fn events_alone_wait_for_more_and_whatever_somebody_waits_for_ends_that() {
        let ((batch, batches), (done, outcomes)) = (channel::channel(), channel::channel());
        let backend = Box::new(Counted(Memory::with_capacity(1 << 20), batch));
        let store = Store::start_thread(backend, Traces::default(), Duration::from_secs(3600)).unwrap();
        let project = Arc::new(Project(AppId::new("a".repeat(32)).unwrap(), done));
        let queue = store.queue();
        let mut last = 0;
        let mut submit = |work| {
            last += 1;
            queue.submit(Arc::clone(&project) as Arc<dyn Customer>, [StoreJob { id: JobId(last), work }].into_iter());
        };
        let batch = || batches.recv_timeout(Duration::from_secs(60)).expect("something waits for nothing");
        // The first ones have nothing to wait for.
        submit(events(1));
        assert_eq!(batch(), 1);
        submit(events(2));
        submit(events(3));
        assert_eq!(batches.try_recv(), Err(channel::TryRecvError::Empty));
        submit(StoreWork::Measure);
        assert_eq!(batch(), 3);
        submit(events(1));
        submit(appended(1, true));
        assert_eq!(batch(), 2);
        // Many enough wait for no more.
        submit(events(EVENT_BATCH / EVENT_BYTES));
        assert_eq!(batch(), 1);
        // The end of the server has all done.
        submit(events(4));
        drop(store);
        assert_eq!(batch(), 1);
        let outcomes: Vec<_> = outcomes.try_iter().map(|done| (done.id.0, done.result.unwrap())).collect();
        assert!(outcomes.iter().map(|(id, _)| *id).eq(1..=8), "{outcomes:?}");
        let StoreAnswer::EventsAppended { last: Place(last), .. } = outcomes[7].1 else { panic!("{outcomes:?}") };
        assert_eq!(last as usize, 1 + 2 + 3 + 1 + 1 + EVENT_BATCH / EVENT_BYTES + 4);
    }
}
