//! Has many jobs in flight, for a backend that is asked over a network. Jobs on one log and jobs on one key are done one after the
//! other, and their outcomes come in their order; others do not wait for each other.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rtm_codec::AppId;
use rtm_core::{
    JobId, LogKey, StateKey, StoreAnswer, StoreDone, StoreFailed, StoreWork,
    store::{BackendError, BackendStats},
};
use tokio::sync::mpsc;
use tracing::error;

use super::{Customer, CustomerJobs, Order, Queued, Told, measured_bytes, size, told_refused};
use crate::clock::instant;

/// For how long work may be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    /// Until when.
    pub(crate) until: Instant,
    /// In which [life](AsyncBackend::life) of the server's node.
    pub(crate) life: u64,
}

/// A backend that does many things at the same time.
pub(crate) trait AsyncBackend: Send + Sync {
    /// Whether two pieces of work that follow each other on one log or key may be done as one.
    fn takes_together(&self, first: &StoreWork, next: &StoreWork) -> bool;

    /// The present life of the node that the server is, where what one life wanted must not be done in another.
    fn life(&self) -> u64 {
        0
    }

    /// Does work of a project as long as it may, as [`Backend`](rtm_core::store::Backend) says, and answers each. It gets several
    /// only where it takes them together.
    fn apply(
        self: Arc<Self>,
        app_id: AppId,
        works: Vec<StoreWork>,
        term: Term,
    ) -> BoxFuture<'static, Vec<Result<StoreAnswer, BackendError>>>;

    /// How much the backend stores.
    fn stats(self: Arc<Self>) -> BoxFuture<'static, Result<BackendStats, BackendError>>;
}

/// Does all that comes, until it is told to stop and has done what came before.
pub(super) async fn run(
    backend: Arc<dyn AsyncBackend>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    queued: Arc<Queued>,
) {
    let mut jobs = Jobs {
        backend,
        queued,
        told: Told::default(),
        taken: 0,
        lanes: HashMap::new(),
        ready: VecDeque::new(),
        flying: FuturesUnordered::new(),
    };
    let mut is_stopping = false;
    loop {
        jobs.start();
        if is_stopping && jobs.flying.is_empty() {
            return;
        }
        tokio::select! {
            order = orders.recv(), if !is_stopping => match order {
                Some(Order::Jobs(new)) => jobs.take(new),
                // The cores read it when they join.
                Some(Order::ReadState(_, answer)) => _ = answer.send(Ok(Vec::new())),
                Some(Order::Stats(answer)) => {
                    let stats = Arc::clone(&jobs.backend).stats();
                    tokio::spawn(async move {
                        let stats = stats.await.map_err(|error| error!("{error}")).ok();
                        // Whoever asked may have gone.
                        let _ = answer.send(stats);
                    });
                }
                Some(Order::Measure(app_id, answer)) => {
                    let term = Term { until: instant() + WAIT, life: jobs.backend.life() };
                    let measured = Arc::clone(&jobs.backend).apply(app_id, vec![StoreWork::Measure], term);
                    tokio::spawn(async move {
                        // Whoever asked may have gone.
                        let _ = answer.send(measured.await.pop().as_ref().and_then(measured_bytes));
                    });
                }
                Some(Order::Stop) | None => is_stopping = true,
            },
            Some(landed) = jobs.flying.next(), if !jobs.flying.is_empty() => jobs.land(landed),
        }
    }
}

/// What order is kept in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Log(AppId, LogKey),
    State(AppId, StateKey),
    /// Work on all logs or keys of a kind waits for nothing: its number is its own.
    Alone(AppId, u64),
}

impl Lane {
    /// The project.
    pub(crate) fn app_id(&self) -> &AppId {
        match self {
            Self::Log(app_id, _) | Self::State(app_id, _) | Self::Alone(app_id, _) => app_id,
        }
    }
}

/// A job that is not done.
struct Job {
    customer: Arc<dyn Customer>,
    id: JobId,
    /// `None` if it is refused.
    work: Option<StoreWork>,
    bytes: usize,
    term: Term,
}

/// Jobs that are done, all of one lane.
struct Landed {
    lane: Lane,
    /// Whose each is: the cores of a project have lanes in common, and numbers of their own.
    ids: Vec<(Arc<dyn Customer>, JobId)>,
    bytes: usize,
    /// `None` if the backend panicked.
    answers: Option<Vec<Result<StoreAnswer, BackendError>>>,
}

struct Jobs {
    backend: Arc<dyn AsyncBackend>,
    queued: Arc<Queued>,
    told: Told,
    /// How many jobs have come.
    taken: u64,
    /// The jobs that wait in each lane. One without any is there while a job of it is in flight.
    lanes: HashMap<Lane, VecDeque<Job>>,
    /// Lanes of which nothing is in flight.
    ready: VecDeque<Lane>,
    flying: FuturesUnordered<BoxFuture<'static, Landed>>,
}

impl Jobs {
    fn take(&mut self, CustomerJobs { customer, jobs, .. }: CustomerJobs) {
        let term = Term { until: instant() + WAIT, life: self.backend.life() };
        if jobs.iter().any(|(_, work)| work.is_err()) {
            told_refused(customer.app_id());
        }
        for (id, work) in jobs {
            let app_id = customer.app_id().clone();
            self.taken += 1;
            let lane = match &work {
                Ok(work) => lane(app_id, self.taken, work),
                Err(log) => Lane::Log(app_id, log.clone()),
            };
            let bytes = work.as_ref().map_or(0, size);
            let job = Job { customer: Arc::clone(&customer), id, work: work.ok(), bytes, term };
            match self.lanes.entry(lane) {
                Entry::Occupied(mut waiting) => waiting.get_mut().push_back(job),
                Entry::Vacant(free) => {
                    self.ready.push_back(free.key().clone());
                    free.insert(VecDeque::from([job]));
                }
            }
        }
    }

    /// Lets jobs fly as long as there is room.
    fn start(&mut self) {
        while self.flying.len() < IN_FLIGHT
            && let Some(lane) = self.ready.pop_front()
        {
            let Some(waiting) = self.lanes.get_mut(&lane) else { continue };
            let together = together(self.backend.as_ref(), waiting);
            let Some(last) = together.last() else {
                self.lanes.remove(&lane);
                continue;
            };
            let term = last.term;
            let bytes = together.iter().map(|job| job.bytes).sum();
            let mut works = Vec::new();
            let ids = together.into_iter().map(|job| {
                works.extend(job.work);
                (job.customer, job.id)
            });
            let ids = ids.collect();
            let app_id = lane.app_id().clone();
            let backend = Arc::clone(&self.backend);
            self.flying.push(Box::pin(async move {
                let answers = if works.is_empty() {
                    Some(Vec::new())
                } else if term.until <= instant() {
                    let late = || Err(BackendError::new("begin what waited too long", "the store is behind"));
                    Some(works.iter().map(|_| late()).collect())
                } else {
                    AssertUnwindSafe(backend.apply(app_id, works, term)).catch_unwind().await.ok()
                };
                Landed { lane, ids, bytes, answers }
            }));
        }
    }

    /// Tells what came of jobs, and of all others that are done too: each customer is told once.
    fn land(&mut self, first: Landed) {
        let mut told: Vec<(Arc<dyn Customer>, Vec<StoreDone>)> = Vec::new();
        let mut failures = (None, 0);
        let mut next = Some(first);
        while let Some(Landed { lane, ids, bytes, answers }) = next {
            self.queued.done(ids.len(), bytes);
            self.ready.push_back(lane);
            if answers.is_none() {
                error!("the backend failed");
            }
            let mut answers = answers.unwrap_or_default().into_iter();
            for (customer, id) in ids {
                let result = match answers.next() {
                    Some(Ok(answer)) => Ok(answer),
                    Some(Err(error)) => {
                        failures.0.get_or_insert(error);
                        failures.1 += 1;
                        Err(StoreFailed)
                    }
                    None => Err(StoreFailed),
                };
                let done = StoreDone { id, result };
                match told.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &customer)) {
                    Some((_, all)) => all.push(done),
                    None => told.push((customer, vec![done])),
                }
            }
            next = self.flying.next().now_or_never().flatten();
        }
        if let (Some(error), failed) = failures {
            self.told.error(&error, failed);
        }
        for (customer, done) in told {
            customer.handle_stored(&mut done.into_iter());
        }
    }
}

/// Takes the first job of a lane out, with those behind it that are done together with it: only jobs of one life of the node, and
/// none whose time is over with one that has time left.
fn together(backend: &dyn AsyncBackend, waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let now = instant();
    let mut together: Vec<Job> = waiting.pop_front().into_iter().collect();
    while let (Some(first), Some(next)) = (together.first(), waiting.front())
        && let (Some(work), Some(next_work)) = (&first.work, &next.work)
        && together.len() < TOGETHER
        && first.term.life == next.term.life
        && (first.term.until <= now) == (next.term.until <= now)
        && backend.takes_together(work, next_work)
    {
        together.extend(waiting.pop_front());
    }
    together
}

/// Where work of a project waits.
pub(crate) fn lane(app_id: AppId, number: u64, work: &StoreWork) -> Lane {
    match work {
        StoreWork::Append { log, .. } | StoreWork::Read { log, .. } | StoreWork::Remove { log, .. } => {
            Lane::Log(app_id, log.clone())
        }
        StoreWork::AppendEvents { .. } => Lane::Log(app_id, LogKey::Events),
        StoreWork::Put { key, .. } | StoreWork::Delete { key, .. } => Lane::State(app_id, key.clone()),
        StoreWork::Expire { .. }
        | StoreWork::List { .. }
        | StoreWork::Search { .. }
        | StoreWork::Count { .. }
        | StoreWork::Measure => Lane::Alone(app_id, number),
    }
}

/// How many lanes have jobs in flight at once.
const IN_FLIGHT: usize = 256;
/// How many jobs are done together.
pub(crate) const TOGETHER: usize = 24;
/// How long a job may wait and take, an election of a leader included.
const WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    };

    use rtm_codec::{MessageId, RtmMessage, UserId};
    use rtm_core::{
        LogEntry, StoreJob, StoredMessage,
        store::{Conversation, LogKind, Place},
    };
    use tokio::{
        sync::Semaphore,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::store::Store;

    /// Answers what it is allowed to, and says what it did.
    #[derive(Default)]
    struct Slow {
        begun: Mutex<Vec<Vec<StoreWork>>>,
        life: AtomicU64,
        /// In which life each was wanted that was begun.
        lives: Mutex<Vec<u64>>,
        /// For each user whose log waits, how often it may be used.
        gates: HashMap<&'static str, Semaphore>,
    }

    impl Slow {
        fn new(users: impl IntoIterator<Item = &'static str>) -> Arc<Self> {
            let gates = users.into_iter().map(|user| (user, Semaphore::new(0))).collect();
            Arc::new(Self { gates, ..Self::default() })
        }

        fn begun(&self) -> Vec<usize> {
            self.begun.lock().unwrap().iter().map(Vec::len).collect()
        }
    }

    impl AsyncBackend for Slow {
        fn takes_together(&self, first: &StoreWork, next: &StoreWork) -> bool {
            [first, next]
                .iter()
                .all(|work| matches!(work, StoreWork::Append { log, .. } if log.kind() == LogKind::History))
        }

        fn life(&self) -> u64 {
            self.life.load(Ordering::Relaxed)
        }

        fn apply(
            self: Arc<Self>,
            _: AppId,
            works: Vec<StoreWork>,
            Term { until, life }: Term,
        ) -> BoxFuture<'static, Vec<Result<StoreAnswer, BackendError>>> {
            self.begun.lock().unwrap().push(works.clone());
            self.lives.lock().unwrap().push(life);
            Box::pin(async move {
                let StoreWork::Append { log, .. } = &works[0] else { return vec![Ok(StoreAnswer::Done)] };
                let user = match log {
                    LogKey::Stored(user) | LogKey::History(Conversation::Peers(user, _)) => user.as_str(),
                    LogKey::History(Conversation::Channel(channel)) => channel.as_str(),
                    LogKey::Events => "events",
                };
                assert_ne!(user, "panic");
                let answer = |_| match self.gates.get(user) {
                    Some(_) if instant() >= until => Err(BackendError::new("append", "it took too long")),
                    _ => Ok(StoreAnswer::Appended { place: Place(1), dropped: 0 }),
                };
                if let Some(gate) = self.gates.get(user) {
                    let _ = timeout(until - instant(), async { gate.acquire().await.unwrap().forget() }).await;
                }
                works.iter().map(answer).collect()
            })
        }

        fn stats(self: Arc<Self>) -> BoxFuture<'static, Result<BackendStats, BackendError>> {
            Box::pin(async { Ok(BackendStats::default()) })
        }
    }

    struct Project {
        app_id: AppId,
        done: Mutex<Vec<(u64, bool)>>,
    }

    impl Project {
        fn new() -> Arc<Self> {
            let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
            Arc::new(Self { app_id, done: Mutex::default() })
        }

        /// Which jobs are done, in the order of their outcomes, and whether that went well.
        fn done(&self) -> Vec<(u64, bool)> {
            self.done.lock().unwrap().clone()
        }
    }

    impl Customer for Project {
        fn app_id(&self) -> &AppId {
            &self.app_id
        }

        fn handle_stored(self: Arc<Self>, done: &mut dyn Iterator<Item = StoreDone>) {
            self.done.lock().unwrap().extend(done.map(|done| (done.id.0, done.result.is_ok())));
        }
    }

    fn append(log: LogKey, bytes: usize) -> StoreWork {
        let message = RtmMessage::text("x".repeat(bytes));
        let message = StoredMessage::new(MessageId(1), UserId::new("alice").unwrap(), message, 1);
        StoreWork::Append { log, entry: LogEntry::Message(message), keep: None }
    }

    fn mail(user: &str) -> StoreWork {
        append(LogKey::Stored(UserId::new(user).unwrap()), 1)
    }

    fn history() -> StoreWork {
        let user = |id: &str| UserId::new(id).unwrap();
        append(LogKey::History(Conversation::between(user("bob"), user("carol"))), 1)
    }

    fn submit(store: &Store, project: &Arc<Project>, works: impl IntoIterator<Item = StoreWork>) {
        let jobs = works.into_iter().zip(0..).map(|(work, id)| StoreJob { id: JobId(id), work });
        store.queue().submit(Arc::<Project>::clone(project), jobs);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_log_waits_for_no_other_log_does_and_each_is_in_order() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        submit(&store, &project, [mail("bob"), mail("carol"), mail("bob"), mail("carol"), mail("dave")]);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(project.done(), [1, 4, 3].map(|id| (id, true)));
        assert_eq!(backend.begun().len(), 4, "the second to Bob waits for the first");
        backend.gates["bob"].add_permits(2);
        store.stop().await;
        assert_eq!(project.done(), [1, 4, 3, 0, 2].map(|id| (id, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_stays_of_the_life_in_which_it_was_wanted() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        submit(&store, &project, [mail("bob"), mail("bob")]);
        sleep(Duration::from_millis(1)).await;
        backend.life.store(2, Ordering::Relaxed);
        submit(&store, &project, [mail("carol")]);
        sleep(Duration::from_millis(1)).await;
        backend.gates["bob"].add_permits(2);
        store.stop().await;
        assert_eq!(*backend.lives.lock().unwrap(), [0, 2, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_gathers_for_one_history_goes_together() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        submit(&store, &project, (0..3 + TOGETHER).map(|_| history()));
        backend.gates["bob"].add_permits(2);
        store.stop().await;
        assert_eq!(backend.begun(), [TOGETHER, 3]);
        assert_eq!(project.done(), (0..3 + TOGETHER as u64).map(|id| (id, true)).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn what_two_lives_of_a_node_wanted_does_not_go_together() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        for life in [0, 0, 2] {
            backend.life.store(life, Ordering::Relaxed);
            submit(&store, &project, [history()]);
            submit(&store, &project, [history()]);
            sleep(Duration::from_millis(1)).await;
        }
        backend.gates["bob"].add_permits(3);
        store.stop().await;
        assert_eq!((backend.begun(), &*backend.lives.lock().unwrap()), (vec![1, 3, 2], &vec![0, 0, 2]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_together_has_as_much_time_as_the_last_of_it() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        submit(&store, &project, [history()]);
        sleep(WAIT / 2).await;
        submit(&store, &project, [history()]);
        sleep(WAIT / 4).await;
        submit(&store, &project, [history()]);
        let start = instant();
        store.stop().await;
        assert_eq!(backend.begun(), [1, 2]);
        assert!(instant() - start >= WAIT, "{:?}", instant() - start);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_time_left_is_done_though_what_is_before_it_has_none() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        submit(&store, &project, [history()]);
        submit(&store, &project, [history()]);
        sleep(WAIT / 2).await;
        submit(&store, &project, [history()]);
        sleep(WAIT / 2 + Duration::from_millis(10)).await;
        backend.gates["bob"].add_permits(1);
        store.stop().await;
        assert_eq!((backend.begun(), project.done()), (vec![1, 1], vec![(0, false), (0, false), (0, true)]));
    }

    #[tokio::test(start_paused = true)]
    async fn each_core_of_a_project_hears_of_its_own_jobs() {
        let (backend, one, other) = (Slow::new(["bob"]), Project::new(), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        for _ in 0..3 {
            submit(&store, &one, [history(), mail("carol")]);
            submit(&store, &other, [history()]);
        }
        submit(&store, &other, [history(), StoreWork::Measure]);
        sleep(Duration::from_millis(1)).await;
        assert_eq!((one.done().len(), other.done().len()), (3, 1), "histories wait");
        backend.gates["bob"].add_permits(2);
        store.stop().await;
        assert_eq!(backend.begun().iter().max(), Some(&6), "those that wait go together");
        let count = |project: &Project, id| project.done().into_iter().filter(|done| *done == (id, true)).count();
        assert_eq!([count(&one, 0), count(&one, 1), count(&other, 0), count(&other, 1)], [3, 3, 4, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_too_long_is_refused_and_not_done() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        submit(&store, &project, [mail("bob"), mail("bob"), mail("carol")]);
        let start = instant();
        store.stop().await;
        assert_eq!(project.done(), [(2, true), (0, false), (1, false)]);
        assert_eq!((backend.begun().len(), instant() - start), (2, WAIT));
    }

    #[tokio::test]
    async fn a_backend_that_panics_fails_one_job() {
        let (backend, project) = (Slow::new([]), Project::new());
        let store = Store::as_async(backend);
        submit(&store, &project, [mail("panic"), mail("panic"), mail("carol")]);
        store.stop().await;
        let mut done = project.done();
        done.sort_unstable();
        assert_eq!(done, [(0, false), (1, false), (2, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_the_queue_full_is_refused_in_its_turn() {
        let (backend, project) = (Slow::new(["bob"]), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        let large = || append(LogKey::Stored(UserId::new("bob").unwrap()), 32 * 1024 * 1024);
        submit(&store, &project, [large(), large(), large(), large(), mail("carol"), mail("bob")]);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(project.done(), [(4, true)], "a refusal waits behind what came before");
        backend.gates["bob"].add_permits(5);
        sleep(Duration::from_millis(1)).await;
        let bobs = [(0, true), (1, true), (2, true), (3, false), (5, true)];
        assert_eq!(project.done()[1..], bobs);
        submit(&store, &project, [large()]);
        backend.gates["bob"].add_permits(1);
        store.stop().await;
        assert_eq!(project.done().last(), Some(&(0, true)), "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_are_in_flight() {
        let users: Vec<&'static str> = (0..IN_FLIGHT + 7).map(|number| &*format!("u{number}").leak()).collect();
        let (backend, project) = (Slow::new(users.iter().copied()), Project::new());
        let store = Store::as_async(Arc::<Slow>::clone(&backend));
        submit(&store, &project, users.iter().map(|user| mail(user)));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(backend.begun().len(), IN_FLIGHT);
        backend.gates.values().for_each(|gate| gate.add_permits(1));
        store.stop().await;
        assert!(project.done().iter().all(|(_, is_well)| *is_well));
        assert_eq!(project.done().len(), users.len());
    }
}
