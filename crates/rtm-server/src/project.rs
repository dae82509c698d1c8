//! A project at work: its core under one short lock, and who is to be woken when that has something to say.

#[cfg(feature = "admin")]
use std::time::Duration;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

#[cfg(feature = "rest")]
use rtm_codec::ChannelId;
#[cfg(any(feature = "rest", feature = "admin"))]
use rtm_codec::UserId;
#[cfg(any(feature = "rest", feature = "admin"))]
use rtm_codec::anyrtc::rest::{RestAnswer, RestCall};
use rtm_codec::{
    AppId, ClientFrame, CloseReason, ErrorKind, Login, Refusal, Wire,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
#[cfg(feature = "admin")]
use rtm_core::Histogram;
#[cfg(any(feature = "rest", feature = "admin"))]
use rtm_core::RestCaller;
#[cfg(feature = "webhooks")]
use rtm_core::store::EventCursor;
use rtm_core::{
    AdminAnswer, AdminCall, ConnId, Core, EventLogStart, HttpId, Now, Outgoing, ProjectConfig, Stats, StoreDone,
    StoreJob,
};
#[cfg(any(feature = "admin", feature = "webhooks"))]
use rtm_core::{EventAnswer, EventPage, EventQuery};
#[cfg(feature = "cluster")]
use rtm_core::{Remaining, StateKey, StateValue};
#[cfg(any(feature = "admin", feature = "webhooks"))]
use tokio::sync::watch;
use tokio::{
    sync::{Notify, oneshot},
    time::sleep_until,
};

#[cfg(feature = "admin")]
use crate::peers::Peers;
use crate::{
    clock::instant,
    peers::{End, Traffic},
    store::{Customer, StoreQueue},
};
#[cfg(feature = "cluster")]
use crate::{
    cluster::served::Terms,
    link::{FromCluster, Link},
};

/// A project at work.
#[derive(Debug)]
pub(crate) struct Project {
    app_id: AppId,
    state: Mutex<State>,
    /// Wakes the task that waits for the next deadline, when that has come forward.
    timer: Notify,
    store: StoreQueue,
    /// Where to put what the core has for other nodes, if there are any.
    #[cfg(feature = "cluster")]
    link: Option<Link>,
    refused_logins: AtomicU64,
    /// The last event that the core wrote.
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    event_news: watch::Sender<u64>,
    /// Whether it is served: in a cluster one that was added is when all nodes have it.
    is_open: AtomicBool,
}

/// How long the lock was waited for and held, in microseconds: of some of its uses, since asking for the time has its price.
#[cfg(feature = "admin")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LockTimes {
    pub(crate) waited: Histogram,
    pub(crate) held: Histogram,
}

#[cfg(feature = "admin")]
impl LockTimes {
    /// Adds those of another core.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.waited.merge(&other.waited);
        self.held.merge(&other.held);
    }

    fn add(&mut self, waited: Duration, held: Duration) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.waited.add(micros(waited));
        self.held.add(micros(held));
    }
}

#[derive(Debug)]
struct State {
    core: Core,
    /// By the slots of their connections, those who are to be woken: once, and again after the next exchange.
    sleepers: Vec<Option<Waker>>,
    http: HashMap<HttpId, oneshot::Sender<Result<GatewayAnswer, Refusal>>>,
    /// Operators that wait for an answer.
    admin: HashMap<HttpId, oneshot::Sender<Result<AdminAnswer, Refusal>>>,
    #[cfg(any(feature = "rest", feature = "admin"))]
    rest: HashMap<HttpId, oneshot::Sender<Result<RestAnswer, Refusal>>>,
    #[cfg(feature = "admin")]
    peers: Peers,
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    event_reads: HashMap<HttpId, oneshot::Sender<Result<EventAnswer, Refusal>>>,
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    event_answers: Vec<(HttpId, Result<EventAnswer, Refusal>)>,
    #[cfg(feature = "admin")]
    lock_times: LockTimes,
    /// The deadline that the timer's task waits for.
    armed: Option<Instant>,
    wakes: Vec<ConnId>,
    wakers: Vec<Waker>,
    jobs: Vec<StoreJob>,
    answers: Vec<(HttpId, Result<GatewayAnswer, Refusal>)>,
    #[cfg(any(feature = "rest", feature = "admin"))]
    rest_answers: Vec<(HttpId, Result<RestAnswer, Refusal>)>,
}

impl Project {
    /// A project whose store is at the other end of `store`.
    pub(crate) fn new(core: Core, store: StoreQueue) -> Self {
        Self {
            app_id: core.app_id().clone(),
            state: Mutex::new(State {
                core,
                sleepers: Vec::new(),
                http: HashMap::new(),
                admin: HashMap::new(),
                #[cfg(any(feature = "rest", feature = "admin"))]
                rest: HashMap::new(),
                #[cfg(any(feature = "rest", feature = "admin"))]
                rest_answers: Vec::new(),
                #[cfg(feature = "admin")]
                peers: Peers::default(),
                #[cfg(any(feature = "admin", feature = "webhooks"))]
                event_reads: HashMap::new(),
                #[cfg(any(feature = "admin", feature = "webhooks"))]
                event_answers: Vec::new(),
                #[cfg(feature = "admin")]
                lock_times: LockTimes::default(),
                armed: None,
                wakes: Vec::new(),
                wakers: Vec::new(),
                jobs: Vec::new(),
                answers: Vec::new(),
            }),
            timer: Notify::new(),
            store,
            #[cfg(feature = "cluster")]
            link: None,
            refused_logins: AtomicU64::new(0),
            #[cfg(any(feature = "admin", feature = "webhooks"))]
            event_news: watch::Sender::new(0),
            is_open: AtomicBool::new(true),
        }
    }

    /// Whether a login would be let in.
    pub(crate) fn check_login(&self, login: &Login) -> Result<(), Refusal> {
        self.state().core.check_login(now(), login)
    }

    /// Whether other nodes may serve the project too.
    #[cfg(feature = "webhooks")]
    pub(crate) fn is_one_of_several(&self) -> bool {
        #[cfg(feature = "cluster")]
        let is_one = matches!(self.link, Some(Link::Node { .. }));
        #[cfg(not(feature = "cluster"))]
        let is_one = false;
        is_one
    }

    /// Whether this server is the one of a cluster that does what has this name.
    #[cfg(feature = "webhooks")]
    pub(crate) fn is_home_of(&self, name: &str) -> bool {
        self.state().core.is_home_of(name)
    }

    /// Whether it is served.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// It is served from now on.
    #[cfg(feature = "cluster")]
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// It is not served before it is opened.
    #[cfg(feature = "cluster")]
    pub(crate) fn keep_shut(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    /// The project as one of the same on several nodes.
    #[cfg(feature = "cluster")]
    pub(crate) fn linked(self, link: Option<Link>) -> Self {
        Self { link, ..self }
    }

    /// The project's App ID.
    pub(crate) fn app_id(&self) -> &AppId {
        &self.app_id
    }

    /// What it is served on.
    #[cfg(feature = "cluster")]
    pub(crate) fn terms(&self) -> Terms {
        Terms::new(self.state().core.config())
    }

    /// Takes what the cluster has for the core, in order.
    #[cfg(feature = "cluster")]
    pub(crate) fn handle_cluster(self: &Arc<Self>, events: Vec<FromCluster>) {
        self.with(|state, now| {
            for event in events {
                match event {
                    FromCluster::Joined(node, view) => {
                        let name = node.to_string();
                        state.core.join_cluster(node, view);
                        state.core.begin_event_log(now, &name, EventLogStart::AsNode);
                    }
                    FromCluster::LeftOut => state.core.leave_cluster(now),
                    FromCluster::View(view) => state.core.handle_view(now, view),
                    FromCluster::Parcel(from, parcel) => state.core.handle_parcel(now, &from, parcel),
                    FromCluster::Posted(ticket, posted) => state.core.handle_posted(now, ticket, posted),
                    FromCluster::Restarted(from) => state.core.handle_restarted(now, &from),
                    FromCluster::Entry(user_id, entry) => state.core.handle_entry(now, &user_id, &entry),
                    FromCluster::Answer(job, answer) => state.core.handle_engine(now, job, answer),
                }
            }
        });
    }

    /// Refuses logins from now on, and has the sessions go to other nodes.
    #[cfg(feature = "cluster")]
    pub(crate) fn drain_cluster(self: &Arc<Self>) {
        self.with(|state, now| state.core.drain_cluster(now));
    }

    /// What has not gone to other nodes yet.
    #[cfg(feature = "cluster")]
    pub(crate) fn remaining(&self) -> Remaining {
        self.state().core.remaining()
    }

    /// Takes in what the store has, once the core has joined.
    #[cfg(feature = "cluster")]
    pub(crate) fn restore(self: &Arc<Self>, values: Vec<(StateKey, StateValue)>) {
        let mut values = values.into_iter().peekable();
        while values.peek().is_some() {
            // Others have their turn.
            self.with(|state, now| {
                for (key, value) in values.by_ref().take(RESTORED_AT_ONCE) {
                    state.core.restore(now, key, value);
                }
            });
        }
    }

    /// How many logins to this project were refused.
    pub(crate) fn refused_logins(&self) -> &AtomicU64 {
        &self.refused_logins
    }

    /// Has the log of events written from now on, by this server.
    pub(crate) fn begin_event_log(self: &Arc<Self>, server: &str, start: EventLogStart) {
        self.with(|state, now| state.core.begin_event_log(now, server, start));
    }

    /// What an earlier run left in the log has its ends.
    pub(crate) fn release_event_log(self: &Arc<Self>) {
        self.with(|state, now| state.core.release_event_log(now));
    }

    /// Whether that is so.
    pub(crate) fn is_event_log_ready(&self) -> bool {
        self.state().core.is_event_log_ready()
    }

    /// Writes the ends of all sessions, and nothing after them.
    pub(crate) fn end_event_log(self: &Arc<Self>) {
        self.with(|state, now| state.core.end_event_log(now));
    }

    /// Reads a part of the log of events; `None` when the server goes down.
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    pub(crate) async fn read_events(self: &Arc<Self>, query: EventQuery) -> Option<Result<EventPage, Refusal>> {
        let answered = self.with(|state, _| {
            let (answer, answered) = oneshot::channel();
            state.event_reads.insert(state.core.read_events(query), answer);
            answered
        });
        match answered.await.ok()? {
            Ok(EventAnswer::Page(page)) => Some(Ok(page)),
            // No other answer is given to that.
            Ok(_) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }

    /// Where a reader of events is, as far as this server knows.
    #[cfg(feature = "webhooks")]
    pub(crate) fn event_cursor(&self, name: &str) -> EventCursor {
        self.state().core.event_cursor(name)
    }

    /// Moves the cursor of a reader of events; `None` when the server goes down.
    #[cfg(feature = "webhooks")]
    pub(crate) async fn move_event_cursor(
        self: &Arc<Self>,
        name: &str,
        from: EventCursor,
        read: u64,
        is_paused: bool,
    ) -> Option<Result<EventAnswer, Refusal>> {
        let answered = self.with(|state, _| {
            let (answer, answered) = oneshot::channel();
            state.event_reads.insert(state.core.move_event_cursor(name, from, read, is_paused), answer);
            answered
        });
        answered.await.ok()
    }

    /// Changes when this server has written events.
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    pub(crate) fn event_news(&self) -> watch::Receiver<u64> {
        self.event_news.subscribe()
    }

    /// A new connection, with its login. The answer is there to be taken.
    #[cfg_attr(not(feature = "admin"), expect(unused_variables, reason = "nobody looks at who is there"))]
    pub(crate) fn connect(self: &Arc<Self>, login: Box<Login>, address: Option<SocketAddr>, wire: Wire) -> ConnId {
        self.with(|state, now| {
            let conn = state.core.connect();
            #[cfg(feature = "admin")]
            state.peers.connected(conn, address, wire);
            state.core.handle_frame(now, conn, ClientFrame::Login(login));
            conn
        })
    }

    /// Hands in what a connection received, takes some of what is to be written to it, and has `waker` woken
    /// when there is more. Without `has_room` only the last is taken. Says whether more can be taken right away.
    #[cfg_attr(not(feature = "admin"), expect(unused_variables, reason = "nobody counts bytes"))]
    pub(crate) fn exchange(
        self: &Arc<Self>,
        conn: ConnId,
        traffic: (Wire, Traffic),
        frames: impl Iterator<Item = ClientFrame>,
        has_room: bool,
        out: &mut Vec<Outgoing>,
        waker: &Waker,
    ) -> bool {
        self.with(|state, now| {
            #[cfg(feature = "admin")]
            state.peers.went_through(traffic.0, traffic.1);
            state.sleep(conn, waker);
            for frame in frames {
                state.core.handle_frame(now, conn, frame);
            }
            let more = (has_room || state.core.is_closing(conn)) && state.core.take_output(conn, out);
            // What is taken now needs no waking.
            state.wake_all_but(Some(conn));
            more
        })
    }

    /// A connection received bytes that make no whole frame yet.
    pub(crate) fn hear(self: &Arc<Self>, conn: ConnId) {
        self.with(|state, now| state.core.handle_bytes(now, conn));
    }

    /// Hands in the last that a connection received.
    pub(crate) fn finish(self: &Arc<Self>, conn: ConnId, frames: impl Iterator<Item = ClientFrame>) {
        self.with(|state, now| {
            for frame in frames {
                state.core.handle_frame(now, conn, frame);
            }
        });
    }

    /// Closes a connection from this side; its task hears of it as of any output.
    pub(crate) fn close(self: &Arc<Self>, conn: ConnId, reason: CloseReason) {
        self.with(|state, now| state.core.close(now, conn, reason));
    }

    /// A login was answered after this time: with a session for this user, or not.
    #[cfg(feature = "admin")]
    pub(crate) fn login_answered(&self, conn: ConnId, took: Duration, user_id: Option<&UserId>) {
        let mut state = self.state();
        state.peers.login_took(took);
        if let Some(user_id) = user_id {
            state.peers.logged_in(conn, user_id.clone());
        }
    }

    /// The connection's socket is gone.
    #[cfg_attr(not(feature = "admin"), expect(unused_variables, reason = "nobody counts the reasons"))]
    pub(crate) fn disconnect(self: &Arc<Self>, conn: ConnId, end: End, traffic: (Wire, Traffic)) {
        self.with(|state, now| {
            #[cfg(feature = "admin")]
            {
                let end = if state.core.is_kicked(conn) { End::Kicked } else { end };
                state.peers.disconnected(conn, end);
                state.peers.went_through(traffic.0, traffic.1);
            }
            state.core.disconnect(now, conn);
            if let Some(sleeper) = state.sleepers.get_mut(conn.slot()) {
                *sleeper = None;
            }
        });
    }

    /// Answers a request of the vendor's HTTP endpoints; but the addresses are the caller's to add.
    pub(crate) async fn ask(self: &Arc<Self>, request: GatewayRequest) -> (HttpId, Result<GatewayAnswer, Refusal>) {
        let (id, answered) = self.with(|state, now| {
            let id = state.core.ask(now, request);
            let (answer, answered) = oneshot::channel();
            state.http.insert(id, answer);
            (id, answered)
        });
        // Nobody answers any more when the server goes down.
        (id, answered.await.unwrap_or(Ok(GatewayAnswer::TryAgain)))
    }

    /// Whether a back end is who it says.
    #[cfg(feature = "rest")]
    pub(crate) fn check_rest_caller(self: &Arc<Self>, caller: &RestCaller) -> Result<(), Refusal> {
        self.with(|state, now| state.core.check_rest_caller(now, caller))
    }

    /// Whether a back end may make this call now, which is counted.
    #[cfg(feature = "rest")]
    pub(crate) fn admit_rest(self: &Arc<Self>, caller: &RestCaller, call: &RestCall) -> Result<(), Refusal> {
        self.with(|state, now| state.core.admit_rest(now, caller, call))
    }

    /// Whether a user is in a channel, with a session here that is not away.
    #[cfg(feature = "rest")]
    pub(crate) fn is_member(&self, user_id: &UserId, channel_id: &ChannelId) -> bool {
        self.state().core.is_member(user_id, channel_id)
    }

    /// How long its lock was waited for and held.
    #[cfg(feature = "admin")]
    pub(crate) fn lock_times(&self) -> LockTimes {
        self.state().lock_times
    }

    /// The signature under the handle of a search.
    #[cfg(feature = "rest")]
    pub(crate) fn sign_search(&self, handle: &str) -> String {
        self.state().core.sign_search(handle)
    }

    /// Answers a call of a back end; `None` when the server goes down.
    #[cfg(any(feature = "rest", feature = "admin"))]
    pub(crate) async fn rest(
        self: &Arc<Self>,
        caller: &RestCaller,
        call: RestCall,
    ) -> Option<Result<RestAnswer, Refusal>> {
        self.rest_answer(|core, now| core.rest(now, caller, call)).await
    }

    /// Answers a call that [`admit_rest`](Self::admit_rest) has counted.
    #[cfg(feature = "rest")]
    pub(crate) async fn rest_admitted(
        self: &Arc<Self>,
        caller: &RestCaller,
        call: RestCall,
    ) -> Option<Result<RestAnswer, Refusal>> {
        self.rest_answer(|core, now| core.rest_admitted(now, caller, call)).await
    }

    #[cfg(any(feature = "rest", feature = "admin"))]
    async fn rest_answer(
        self: &Arc<Self>,
        ask: impl FnOnce(&mut Core, Now) -> HttpId,
    ) -> Option<Result<RestAnswer, Refusal>> {
        let answered = self.with(|state, now| {
            let id = ask(&mut state.core, now);
            state.core.take_rest_answers(&mut state.rest_answers);
            // Most are answered at once.
            match state.rest_answers.pop_if(|(answered, _)| *answered == id) {
                Some((_, answer)) => Ok(answer),
                None => {
                    let (answer, answered) = oneshot::channel();
                    state.rest.insert(id, answer);
                    Err(answered)
                }
            }
        });
        match answered {
            Ok(answer) => Some(answer),
            Err(answered) => answered.await.ok(),
        }
    }

    /// The answer to an HTTP request was written as a whole, or not.
    pub(crate) fn http_answer_ended(self: &Arc<Self>, id: HttpId, is_written: bool) {
        self.with(|state, now| state.core.http_answer_ended(now, id, is_written));
    }

    /// Goes by another configuration from now on.
    pub(crate) fn reconfigure(self: &Arc<Self>, config: &ProjectConfig) {
        self.with(|state, _| state.core.reconfigure(config.clone()));
    }

    /// Refuses logins from now on. Gives the connections that are there.
    pub(crate) fn drain(self: &Arc<Self>) -> Vec<ConnId> {
        self.with(|state, now| {
            state.core.drain(now);
            state.core.connections()
        })
    }

    /// Has the store keep what waits for devices that will not get it from here.
    pub(crate) fn store_unreceived(self: &Arc<Self>) {
        self.with(|state, now| state.core.store_unreceived(now));
    }

    /// Answers a call of an operator.
    pub(crate) async fn admin(self: &Arc<Self>, call: AdminCall) -> Result<AdminAnswer, Refusal> {
        let answered = self.with(|state, now| {
            let id = state.core.admin(now, call);
            let (answer, answered) = oneshot::channel();
            state.admin.insert(id, answer);
            answered
        });
        let gone = || Err(Refusal::new(ErrorKind::Failure, "the server goes down: it may be done or not"));
        answered.await.unwrap_or_else(|_| gone())
    }

    /// Looks at the core and at who is connected, under the lock, for a short time.
    #[cfg(feature = "admin")]
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Core, &Peers, Now) -> R) -> R {
        let state = self.state();
        look(&state.core, &state.peers, now())
    }

    /// The figures without the users, which are counted by a look at every session.
    #[cfg(feature = "cluster")]
    pub(crate) fn figures(&self) -> Stats {
        self.state().core.figures()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.state().core.stats()
    }

    /// Does what is due, when it is due, until it is dropped.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state();
                state.armed = state.core.next_timeout();
                state.armed
            };
            let due = async {
                match next {
                    Some(next) => sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.with(|state, now| state.core.handle_timeout(now)),
                () = self.timer.notified() => {}
            }
        }
    }

    /// Runs `f` on the core, and then passes on what came of it. Nobody is woken under the lock.
    fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut State, Now) -> R) -> R {
        let (result, wakers) = {
            #[cfg(feature = "admin")]
            let sampled = is_sampled().then(instant);
            let mut state = self.state();
            let state = &mut *state;
            #[cfg(feature = "admin")]
            let sampled = sampled.map(|asked| (asked, instant()));
            // Read under the lock, so that the core never sees time go back.
            let result = f(state, now());
            state.core.take_store_jobs(&mut state.jobs);
            if !state.jobs.is_empty() {
                self.store.submit(Arc::<Self>::clone(self), state.jobs.drain(..));
            }
            state.core.take_http_answers(&mut state.answers);
            for (id, answer) in state.answers.drain(..) {
                if let Some(waiting) = state.http.remove(&id) {
                    // Whoever asked may have gone.
                    let _ = waiting.send(answer);
                }
            }
            state.answer_operators();
            #[cfg(any(feature = "rest", feature = "admin"))]
            state.answer_back_ends();
            #[cfg(any(feature = "admin", feature = "webhooks"))]
            state.answer_event_readers(&self.event_news);
            #[cfg(feature = "cluster")]
            if let Some(link) = &self.link {
                link.pass_on(self, &mut state.core);
            }
            state.wake_all_but(None);
            let next = state.core.next_timeout();
            if next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed)) {
                state.armed = next;
                self.timer.notify_one();
            }
            #[cfg(feature = "admin")]
            if let Some((asked, locked)) = sampled {
                state.lock_times.add(locked.duration_since(asked), locked.elapsed());
            }
            (result, std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Returns when its lock was free once.
    pub(crate) fn wait_for_lock(&self) {
        drop(self.state());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Customer for Project {
    fn app_id(&self) -> &AppId {
        &self.app_id
    }

    fn handle_stored(self: Arc<Self>, done: &mut dyn Iterator<Item = StoreDone>) {
        self.with(|state, now| {
            for done in done {
                state.core.handle_stored(now, done);
            }
        });
    }
}

impl State {
    /// Has `waker` woken when there is output for `conn`.
    fn sleep(&mut self, conn: ConnId, waker: &Waker) {
        if self.sleepers.len() <= conn.slot() {
            self.sleepers.resize(conn.slot() + 1, None);
        }
        match &mut self.sleepers[conn.slot()] {
            Some(sleeper) => sleeper.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Passes on what operators are answered.
    fn answer_operators(&mut self) {
        if self.admin.is_empty() {
            return;
        }
        let mut answers = Vec::new();
        self.core.take_admin_answers(&mut answers);
        for (id, answer) in answers {
            if let Some(waiting) = self.admin.remove(&id) {
                // Whoever asked may have gone.
                let _ = waiting.send(answer);
            }
        }
    }

    /// Passes on what back ends are answered.
    #[cfg(any(feature = "rest", feature = "admin"))]
    fn answer_back_ends(&mut self) {
        self.core.take_rest_answers(&mut self.rest_answers);
        for (id, answer) in self.rest_answers.drain(..) {
            if let Some(waiting) = self.rest.remove(&id) {
                // Whoever asked may have gone.
                let _ = waiting.send(answer);
            }
        }
    }

    /// Passes on what readers of events are answered, and that there are some.
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    fn answer_event_readers(&mut self, news: &watch::Sender<u64>) {
        self.core.take_event_answers(&mut self.event_answers);
        for (id, answer) in self.event_answers.drain(..) {
            if let Some(waiting) = self.event_reads.remove(&id) {
                // Whoever asked may have gone.
                let _ = waiting.send(answer);
            }
        }
        let last = self.core.event_figures().last;
        if *news.borrow() != last {
            news.send_replace(last);
        }
    }

    /// Gathers whom the core wants woken, except one.
    fn wake_all_but(&mut self, but: Option<ConnId>) {
        self.core.take_wakes(&mut self.wakes);
        for conn in self.wakes.drain(..) {
            if Some(conn) != but
                && let Some(sleeper) = self.sleepers.get_mut(conn.slot())
            {
                self.wakers.extend(sleeper.take());
            }
        }
    }
}

/// Whether this use of a lock is looked at: one in sixteen of each thread.
#[cfg(feature = "admin")]
fn is_sampled() -> bool {
    thread_local!(static USES: std::cell::Cell<u8> = const { std::cell::Cell::new(0) });
    let uses = USES.get().wrapping_add(1);
    USES.set(uses);
    uses.is_multiple_of(16)
}

/// The current time, on both clocks.
pub(crate) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: instant(), unix_ms: unix.as_millis() as u64 }
}

/// How many values are taken in before others have their turn.
#[cfg(feature = "cluster")]
const RESTORED_AT_ONCE: usize = 256;
