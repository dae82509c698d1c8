//! A project at work: its core under one short lock, and who is to be woken when that has something to say.

mod asked;
mod asks;
#[cfg(feature = "cluster")]
mod cluster;

#[cfg(feature = "admin")]
use std::time::Duration;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rtm_codec::{AppId, ClientFrame, CloseReason, Login, Refusal, UserId, Wire};
#[cfg(feature = "admin")]
use rtm_core::Latencies;
use rtm_core::{ConnId, Core, EventLogStart, Now, Outgoing, ProjectConfig, Stats, StoreDone, StoreJob};
#[cfg(any(feature = "admin", feature = "webhooks"))]
use tokio::sync::watch;
use tokio::{sync::Notify, time::sleep_until};
use tracing::{Level, debug};

use self::asks::Askers;
#[cfg(feature = "cluster")]
use crate::link::Link;
#[cfg(feature = "admin")]
use crate::peers::Peers;
use crate::{
    clock::instant,
    peers::{CONNECTIONS, End, Traffic},
    store::{Customer, StoreQueue},
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

/// How long the lock was waited for and held: of some of its uses, since asking for the time has its price.
#[cfg(feature = "admin")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LockTimes {
    pub(crate) waited: Latencies,
    pub(crate) held: Latencies,
}

#[cfg(feature = "admin")]
impl LockTimes {
    /// Adds those of another core.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.waited.merge(&other.waited);
        self.held.merge(&other.held);
    }

    fn add(&mut self, waited: Duration, held: Duration) {
        self.waited.add(waited);
        self.held.add(held);
    }
}

#[derive(Debug)]
struct State {
    core: Core,
    /// By the slots of their connections, those who are to be woken: once, and again after the next exchange.
    sleepers: Vec<Option<Waker>>,
    askers: Askers,
    #[cfg(feature = "admin")]
    peers: Peers,
    #[cfg(feature = "admin")]
    lock_times: LockTimes,
    /// The deadline that the timer's task waits for.
    armed: Option<Instant>,
    wakes: Vec<ConnId>,
    wakers: Vec<Waker>,
    jobs: Vec<StoreJob>,
}

impl Project {
    /// A project whose store is at the other end of `store`.
    pub(crate) fn new(core: Core, store: StoreQueue) -> Self {
        Self {
            app_id: core.app_id().clone(),
            state: Mutex::new(State {
                core,
                sleepers: Vec::new(),
                askers: Askers::default(),
                #[cfg(feature = "admin")]
                peers: Peers::default(),
                #[cfg(feature = "admin")]
                lock_times: LockTimes::default(),
                armed: None,
                wakes: Vec::new(),
                wakers: Vec::new(),
                jobs: Vec::new(),
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
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    pub(crate) fn is_one_of_several(&self) -> bool {
        #[cfg(feature = "cluster")]
        let is_one = matches!(self.link, Some(Link::Node { .. }));
        #[cfg(not(feature = "cluster"))]
        let is_one = false;
        is_one
    }

    /// Whether it is alone, or a node that is in its cluster by now: only then does it write.
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    pub(crate) fn may_write(&self) -> bool {
        !self.is_one_of_several() || self.state().core.is_in_cluster()
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

    /// The project's App ID.
    pub(crate) fn app_id(&self) -> &AppId {
        &self.app_id
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
                state.handle_frame(now, conn, traffic.0, frame);
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
    pub(crate) fn finish(self: &Arc<Self>, conn: ConnId, wire: Wire, frames: impl Iterator<Item = ClientFrame>) {
        self.with(|state, now| {
            for frame in frames {
                state.handle_frame(now, conn, wire, frame);
            }
        });
    }

    /// Closes a connection from this side; its task hears of it as of any output.
    pub(crate) fn close(self: &Arc<Self>, conn: ConnId, reason: CloseReason) {
        self.with(|state, now| state.core.close(now, conn, reason));
    }

    /// Who is logged in over a connection.
    pub(crate) fn user_of(&self, conn: ConnId) -> Option<UserId> {
        self.state().core.user_of(conn)
    }

    /// A login was answered after this time: with a session for this user, or not.
    #[cfg(feature = "admin")]
    pub(crate) fn login_answered(&self, conn: ConnId, wire: Wire, took: Duration, user_id: Option<&UserId>) {
        let mut state = self.state();
        state.peers.login_took(wire, took);
        if let Some(user_id) = user_id {
            state.peers.logged_in(conn, user_id.clone());
        }
    }

    /// The connection's socket is gone.
    pub(crate) fn disconnect(self: &Arc<Self>, conn: ConnId, end: End, traffic: (Wire, Traffic)) {
        let is_logged = tracing::enabled!(target: CONNECTIONS, Level::DEBUG);
        let (end, user) = self.with(|state, now| {
            let end = if state.core.is_kicked(conn) { End::Kicked } else { end };
            #[cfg(feature = "admin")]
            let user = state.peers.get(conn).filter(|_| is_logged).and_then(|peer| peer.user_id.clone());
            #[cfg(not(feature = "admin"))]
            let user: Option<UserId> = None;
            #[cfg(feature = "admin")]
            {
                state.peers.disconnected(conn, end);
                state.peers.went_through(traffic.0, traffic.1);
            }
            state.core.disconnect(now, conn);
            if let Some(sleeper) = state.sleepers.get_mut(conn.slot()) {
                *sleeper = None;
            }
            (end, user)
        });
        if is_logged {
            let (app_id, user) = (self.app_id.as_str(), user.as_ref().map(UserId::as_str));
            if end == End::Closed(CloseReason::Logout) {
                debug!(target: CONNECTIONS, app_id, user, "a user has logged out");
            }
            debug!(target: CONNECTIONS, app_id, user, wire = %traffic.0, reason = end.as_str(), "a connection has ended");
        }
    }

    /// How long its lock was waited for and held.
    #[cfg(feature = "admin")]
    pub(crate) fn lock_times(&self) -> LockTimes {
        self.state().lock_times
    }

    /// Goes by another configuration from now on.
    pub(crate) fn reconfigure(self: &Arc<Self>, config: &ProjectConfig) {
        self.with(|state, now| state.core.reconfigure(now, config.clone()));
    }

    /// The server is about to go down: that stands in the log of events.
    pub(crate) fn announce_drain(self: &Arc<Self>) {
        self.with(|state, now| state.core.announce_drain(now));
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

    /// Looks at the core and at who is connected, under the lock, for a short time.
    #[cfg(feature = "admin")]
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Core, &Peers, Now) -> R) -> R {
        let state = self.state();
        look(&state.core, &state.peers, now())
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
            state.askers.answer(&mut state.core);
            #[cfg(any(feature = "admin", feature = "webhooks"))]
            self.tell_event_news(&state.core);
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
    /// Hands in what a connection received, whose calls are counted here: the core knows no wire.
    #[cfg_attr(not(feature = "admin"), expect(unused_variables, reason = "nobody counts calls"))]
    fn handle_frame(&mut self, now: Now, conn: ConnId, wire: Wire, frame: ClientFrame) {
        #[cfg(feature = "admin")]
        if let ClientFrame::Request { command, .. } = &frame {
            self.peers.called(wire, command.name());
        }
        self.core.handle_frame(now, conn, frame);
    }

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
