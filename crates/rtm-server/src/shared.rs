//! What all connections of a server share, and who is on the other side of one.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rtm_codec::{AppId, UserId};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, futures::OwnedNotified},
    task::spawn_blocking,
    time::timeout,
};
use tracing::warn;

#[cfg(feature = "admin")]
use crate::call_times::CallTimes;
#[cfg(feature = "rest")]
use crate::rest::RestCounts;
use crate::{
    admission::{Admission, Admitted},
    clock::instant,
    http_figures::HttpFigures,
    live::Live,
    memory::Memory,
    project::Project,
    remote::Remote,
    spare::is_one_left,
    store::StoreQueue,
    tasks::Tasks,
    tls::Tls,
    traces::Traces,
};

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) live: RwLock<Arc<Live>>,
    /// How often `live` was replaced: whoever keeps something of it sees by this when to look again.
    pub(crate) reloads: AtomicU32,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) draining: Draining,
    pub(crate) memory: Arc<Memory>,
    /// Whether logins are looked at: in a cluster only while the server is a member.
    pub(crate) is_serving: AtomicBool,
    /// In a cluster: whether it is a member for certain.
    pub(crate) is_certain: AtomicBool,
    /// Refused logins that name no project of this server.
    pub(crate) refused_logins: AtomicU64,
    /// For handshakes that a proxy has spoilt.
    pub(crate) old_handshakes: Seldom,
    pub(crate) out_of_descriptors: Seldom,
    /// For connections that wait until another one ends.
    pub(crate) full: Seldom,
    /// For connections of proxies that do not say whose they are, and of others who are none.
    pub(crate) without_proxy_header: Seldom,
    /// The number of the next call of the REST API.
    #[cfg(feature = "rest")]
    pub(crate) rest_requests: AtomicU64,
    #[cfg(feature = "rest")]
    pub(crate) wrong_rest_keys: Seldom,
    #[cfg(feature = "rest")]
    pub(crate) rest_counts: RestCounts,
    /// How many connections each listener has accepted.
    pub(crate) accepted: Vec<(SocketAddr, Arc<AtomicU64>)>,
    /// Whether a listener has ended before the server was told to go down.
    pub(crate) has_lost_listener: AtomicBool,
    /// Connections that were turned away for want of descriptors.
    pub(crate) without_descriptor: AtomicU64,
    /// Whether the last connection was.
    pub(crate) has_no_descriptors: AtomicBool,
    /// What [`says_it_lives`](Self::says_it_lives) has found last, and when.
    pub(crate) last_alive: AsyncMutex<Option<(Instant, bool)>>,
    /// Connections without the header that a proxy puts before them, or not of a proxy.
    pub(crate) found_headerless: AtomicU64,
    /// Clients that came when the server went down.
    pub(crate) found_draining: AtomicU64,
    pub(crate) http: HttpFigures,
    /// Connections that had to wait, since the server was full.
    pub(crate) found_full: AtomicU64,
    pub(crate) tls: Option<Tls>,
    pub(crate) store: StoreQueue,
    #[cfg_attr(
        not(any(feature = "rest", feature = "admin", feature = "otlp")),
        expect(dead_code, reason = "nobody calls")
    )]
    pub(crate) traces: Traces,
    #[cfg(feature = "admin")]
    pub(crate) call_times: CallTimes,
}

/// A warning that is given once in a while, however often there is reason for it.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

/// Whether the server is shutting down.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    is_announced: AtomicBool,
    has_begun: AtomicBool,
    begins: Arc<Notify>,
}

/// Who was let in: the other side of a connection.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) remote: Remote,
    /// It has a descriptor of the last, or no room: it may only ask how the server is.
    pub(crate) is_spare: bool,
    pub(crate) admitted: Admitted,
    /// The proxy's connection that it came on, which takes up the room.
    #[expect(dead_code, reason = "it is held as long as the client is there")]
    pub(crate) carrier: Option<Arc<Self>>,
}

impl Shared {
    /// Whether logins are looked at.
    pub(crate) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Whether clients are accepted, and else why not, in a line.
    pub(crate) fn health(&self) -> Result<(), &'static str> {
        if self.draining.is_announced() {
            Err("draining\n")
        } else if !self.is_serving() {
            Err("joining\n")
        } else {
            Ok(())
        }
    }

    /// Why no clients should be sent here.
    pub(crate) fn unready(&self) -> Vec<&'static str> {
        let is_certain = self.is_serving() && self.is_certain.load(Ordering::Relaxed);
        let reasons = [
            (self.draining.is_announced(), "draining"),
            (self.store.is_failing(), "store"),
            (self.lacks_descriptors(), "fds"),
            (self.tls.as_ref().is_some_and(Tls::is_out_of_date), "tls"),
            (self.memory.is_short(), "memory"),
            (!is_certain, "cluster"),
        ];
        reasons.into_iter().filter_map(|(is_so, reason)| is_so.then_some(reason)).collect()
    }

    /// Whether there was no descriptor for the last connection, and there still is none. It is tried out, because nobody may
    /// connect any more to a server that says so.
    fn lacks_descriptors(&self) -> bool {
        if !self.has_no_descriptors.load(Ordering::Relaxed) {
            return false;
        }
        let lacks = !is_one_left();
        self.has_no_descriptors.store(lacks, Ordering::Relaxed);
        lacks
    }

    /// Whether all its listeners accept and no project's lock is stuck. Answers after [`LOCK_TIMEOUT`] at the latest.
    pub(crate) async fn is_alive(self: &Arc<Self>) -> bool {
        if self.has_lost_listener.load(Ordering::Relaxed) {
            return false;
        }
        let shared = Arc::clone(self);
        let locked = spawn_blocking(move || shared.cores().iter().for_each(|project| project.wait_for_lock()));
        timeout(LOCK_TIMEOUT, locked).await.is_ok()
    }

    /// The same for whoever asks, however many do: one look after the other, each a second old at most.
    pub(crate) async fn says_it_lives(self: &Arc<Self>) -> bool {
        if self.has_lost_listener.load(Ordering::Relaxed) {
            return false;
        }
        let mut last = self.last_alive.lock().await;
        match *last {
            Some((at, is_alive)) if instant().saturating_duration_since(at) < LIFE_FOR => is_alive,
            _ => {
                let is_alive = self.is_alive().await;
                *last = Some((instant(), is_alive));
                is_alive
            }
        }
    }

    /// What connections go by now. A reload leaves it as it is for whoever has it.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The address that a connection counts for which the application has accepted: not that of a proxy whose requests say
    /// whose they are.
    pub(crate) fn counted_for(&self, remote: &Remote) -> Option<IpAddr> {
        let ip = remote.address?.ip();
        (!self.live().proxies.asks_headers_of(ip)).then_some(ip)
    }

    /// Connections go by this from now on.
    pub(crate) fn replace(&self, live: Live) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        self.reloads.fetch_add(1, Ordering::Release);
    }

    /// How often that was done. To be asked before [`live`](Self::live).
    #[inline]
    pub(crate) fn reloads(&self) -> u32 {
        self.reloads.load(Ordering::Acquire)
    }

    /// The core of a project that serves a user.
    pub(crate) fn project(&self, app_id: &AppId, user_id: Option<&UserId>) -> Option<Arc<Project>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.projects.get(app_id).map(|workers| Arc::clone(workers.serving(app_id, user_id)))
    }

    /// All cores of a project.
    #[cfg(feature = "admin")]
    pub(crate) fn workers(&self, app_id: &AppId) -> Option<Arc<crate::workers::Workers>> {
        self.live().projects.get(app_id).cloned()
    }

    /// The cores of all projects.
    pub(crate) fn cores(&self) -> Vec<Arc<Project>> {
        self.live().projects.values().flat_map(|workers| workers.all()).cloned().collect()
    }
}

impl Seldom {
    /// Warns, unless that was done within the last minute.
    pub(crate) fn warn(&self, what: impl fmt::Display) {
        self.warn_every(WARN_PAUSE, what);
    }

    /// Warns, unless that was done within this time.
    pub(crate) fn warn_every(&self, pause: Duration, what: impl fmt::Display) {
        let now = instant();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.duration_since(last) >= pause) {
            *last = Some(now);
            warn!("{what}");
        }
    }
}

impl Draining {
    /// The server will go down, and still accepts.
    pub(crate) fn announce(&self) {
        self.is_announced.store(true, Ordering::Relaxed);
    }

    /// Whether clients should not be sent here any more.
    pub(crate) fn is_announced(&self) -> bool {
        self.is_announced.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.announce();
        self.has_begun.store(true, Ordering::Relaxed);
        self.begins.notify_waiters();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Ends when the server begins to go down; not for whoever asks after that.
    pub(crate) fn begins(&self) -> OwnedNotified {
        Arc::clone(&self.begins).notified_owned()
    }
}

/// What `/livez` on every listener says of a server that does not live.
pub(crate) const NOT_ALIVE: &str = "a project is stuck, or a listener has ended\n";

/// The answer of `/readyz` on every listener, in JSON.
pub(crate) fn readiness(reasons: &[&str]) -> String {
    let quoted: Vec<_> = reasons.iter().map(|reason| format!("\"{reason}\"")).collect();
    format!("{{\"ready\":{},\"reasons\":[{}]}}", reasons.is_empty(), quoted.join(","))
}

const WARN_PAUSE: Duration = Duration::from_secs(60);
/// How long it counts that a server lives.
const LIFE_FOR: Duration = Duration::from_secs(1);
/// How long a project's lock may be held before it counts as stuck.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
