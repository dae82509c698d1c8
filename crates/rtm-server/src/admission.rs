//! Who may connect: how many at once and how often, in all and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use rtm_codec::{CallLimit, CallLimiter, ErrorKind};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// Counts connections and refused logins by address.
#[derive(Debug)]
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    addresses: Mutex<Addresses>,
    start: Instant,
}

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdmissionLimits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// Connections at once from one address; 0: no limit.
    pub(crate) connections_per_address: u32,
    /// New connections from one address.
    pub(crate) connects_per_address: CallLimit,
    /// Refused logins from one address, after which all further ones are refused.
    pub(crate) refused_logins_per_address: CallLimit,
}

#[derive(Debug)]
struct Addresses {
    limits: AdmissionLimits,
    /// How many slots are to go as they come back, since there are fewer than there were.
    surplus: usize,
    /// `None` has all clients without an address.
    known: HashMap<Option<IpAddr>, History>,
    turned_away: TurnedAway,
    /// The size at which forgotten addresses are looked for.
    sweep_at: usize,
}

/// How many were turned away for their address since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TurnedAway {
    /// Connections: the address had as many as it may have.
    pub(crate) too_many: u64,
    /// Connections: the address had connected too often.
    pub(crate) too_often: u64,
    /// Logins: too many others from the address had been refused.
    pub(crate) locked: u64,
}

/// What connections from one address did lately.
#[derive(Debug, Default)]
struct History {
    open: u32,
    connects: CallLimiter,
    refused_logins: CallLimiter,
    /// Until when all logins are refused without looking at them.
    locked_until: Duration,
    /// How many logins were refused so, since the log line about it. `None` if there was no such line.
    unseen: Option<u64>,
    /// When a refused login was last logged, and how many more there were since.
    logged: Option<(Duration, u64)>,
}

/// What to log of a refused login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct News {
    /// Log it. This many since the last log line were not logged.
    pub(crate) suppressed: Option<u64>,
    /// From now on all logins from this address are refused, for this time.
    pub(crate) locks: Option<Duration>,
}

/// The right to one connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits, start: Instant) -> Self {
        let addresses =
            Addresses { limits, surplus: 0, known: HashMap::new(), turned_away: TurnedAway::default(), sweep_at: 0 };
        Self { slots: Arc::new(Semaphore::new(slots(&limits))), addresses: Mutex::new(addresses), start }
    }

    /// What is allowed from now on. Connections that are there stay, also if there are too many.
    pub(crate) fn set_limits(&self, limits: AdmissionLimits) {
        let mut addresses = self.addresses();
        let (before, after) = (slots(&addresses.limits), slots(&limits));
        if let Some(fewer) = before.checked_sub(after) {
            addresses.surplus += fewer;
            addresses.surplus -= self.slots.forget_permits(addresses.surplus);
        } else {
            let more = after - before;
            let kept = addresses.surplus.min(more);
            addresses.surplus -= kept;
            self.slots.add_permits(more - kept);
        }
        addresses.limits = limits;
    }

    /// Waits until there is room for one more connection. Cancel safe.
    pub(crate) async fn slot(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Whether all the room there is is taken.
    #[cfg(test)]
    pub(crate) fn is_full(&self) -> bool {
        self.slots.available_permits() == 0
    }

    /// How many were turned away for their address.
    #[cfg(feature = "admin")]
    pub(crate) fn turned_away(&self) -> TurnedAway {
        self.addresses().turned_away
    }

    /// How many connections there may be at once.
    #[cfg(feature = "admin")]
    pub(crate) fn most_connections(&self) -> usize {
        self.addresses().limits.connections
    }

    /// Room for one more connection, if there is any now.
    pub(crate) fn try_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Counts a connection from `address`, if it is within the limits. Limits by address do not hold for clients that have
    /// none.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        slot: OwnedSemaphorePermit,
        now: Instant,
    ) -> Option<Admitted> {
        self.count(address, Some(slot), now)
    }

    /// Counts a client whose connection has its room already, as one of a proxy.
    pub(crate) fn admit_behind(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Admitted> {
        self.count(Some(address), None, now)
    }

    /// Lets a call of the REST API in that comes by a proxy, or a health check of the proxy itself: they count for no limit of
    /// connections.
    pub(crate) fn admit_call(self: &Arc<Self>) -> Admitted {
        self.addresses().known.entry(None).or_default().open += 1;
        Admitted { admission: Arc::clone(self), address: None, slot: None }
    }

    fn count(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        slot: Option<OwnedSemaphorePermit>,
        now: Instant,
    ) -> Option<Admitted> {
        let address = address.map(counted);
        let since_start = now.saturating_duration_since(self.start);
        let mut addresses = self.addresses();
        let limits = addresses.limits;
        addresses.sweep(&limits, since_start);
        let history = addresses.known.entry(address).or_default();
        if address.is_some() {
            if limits.connections_per_address != 0 && history.open >= limits.connections_per_address {
                addresses.turned_away.too_many += 1;
                return None;
            }
            if history.connects.try_call(limits.connects_per_address, since_start).is_err() {
                addresses.turned_away.too_often += 1;
                return None;
            }
        }
        history.open += 1;
        drop(addresses);
        Some(Admitted { admission: Arc::clone(self), address, slot })
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Waits until the lock of `address` has been over for a while. Returns how many logins were refused by it; `None` if the
    /// server or the address is gone by then. Keeps no server alive.
    pub(crate) async fn unlocked(admission: Weak<Self>, address: Option<IpAddr>) -> Option<u64> {
        loop {
            let wait = {
                let admission = admission.upgrade()?;
                let since_start = tokio::time::Instant::now().into_std().saturating_duration_since(admission.start);
                let mut addresses = admission.addresses();
                let history = addresses.known.get_mut(&address)?;
                // With every refused login that grows old one more is looked at: that alone is no end.
                let due = history.locked_until + LOCK_PAUSE;
                if due <= since_start {
                    return history.unseen.take();
                }
                due - since_start
            };
            sleep(wait).await;
        }
    }
}

impl Admitted {
    /// The address that is counted, as people write it: of IPv6 the first 64 bits.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether a login from this address may be looked at: not after too many refused ones.
    pub(crate) fn may_login(&self, now: Instant) -> bool {
        let since_start = now.saturating_duration_since(self.admission.start);
        let mut addresses = self.admission.addresses();
        let Some(history) = addresses.known.get_mut(&self.address) else { return true };
        let is_locked = since_start < history.locked_until;
        if is_locked {
            history.unseen = history.unseen.map(|unseen| unseen + 1);
            addresses.turned_away.locked += 1;
        }
        !is_locked
    }

    /// Counts a refused login; one that may be a guess also against its address.
    pub(crate) fn login_refused(&self, kind: ErrorKind, now: Instant) -> News {
        let since_start = now.saturating_duration_since(self.admission.start);
        let mut news = News::default();
        let mut addresses = self.admission.addresses();
        let limit = addresses.limits.refused_logins_per_address;
        let Some(history) = addresses.known.get_mut(&self.address) else { return news };
        match &mut history.logged {
            Some((at, uncounted)) if since_start < *at + LOG_PAUSE => *uncounted += 1,
            logged => news.suppressed = Some(logged.replace((since_start, 0)).map_or(0, |(_, uncounted)| uncounted)),
        }
        if !is_guess(kind) || self.address.is_none() {
            return news;
        }
        // At the limit there is nothing more to count.
        let _ = history.refused_logins.try_call(limit, since_start);
        if let Err(wait) = history.refused_logins.clone().try_call(limit, since_start) {
            history.locked_until = since_start + wait;
            if history.unseen.is_none() {
                history.unseen = Some(0);
                news.locks = Some(wait);
            }
        }
        news
    }

    /// What [`Admission::unlocked`] waits at.
    pub(crate) fn admission(&self) -> Weak<Admission> {
        Arc::downgrade(&self.admission)
    }
}

/// The address that a client counts as. A network of IPv6 has at least as many as `/64`: who has one has all of them.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

/// Whether a refusal may be the answer to somebody who tries things out.
fn is_guess(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidAppId
            | ErrorKind::InvalidToken
            | ErrorKind::TokenExpired
            | ErrorKind::NotAuthorized
            | ErrorKind::Banned
    )
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut addresses = self.admission.addresses();
        if let Some(history) = addresses.known.get_mut(&self.address) {
            history.open = history.open.saturating_sub(1);
        }
        if addresses.surplus > 0
            && let Some(slot) = self.slot.take()
        {
            addresses.surplus -= 1;
            slot.forget();
        }
    }
}

/// How many slots there are.
fn slots(limits: &AdmissionLimits) -> usize {
    limits.connections.clamp(1, Semaphore::MAX_PERMITS)
}

impl Addresses {
    /// Forgets addresses about which nothing is worth knowing, whenever their number has doubled.
    fn sweep(&mut self, limits: &AdmissionLimits, now: Duration) {
        if self.known.len() < self.sweep_at.max(MIN_SWEEP) {
            return;
        }
        self.known.retain(|_, history| {
            history.open > 0
                || history.unseen.is_some()
                || !history.connects.is_idle(limits.connects_per_address, now)
                || !history.refused_logins.is_idle(limits.refused_logins_per_address, now)
        });
        self.sweep_at = 2 * self.known.len();
    }
}

const MIN_SWEEP: usize = 1024;
/// Of one address's refused logins not more than one in this time is logged.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// How long an address must be unlocked before this is logged.
const LOCK_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: CallLimit = CallLimit::UNLIMITED;
    const OPEN: AdmissionLimits = AdmissionLimits {
        connections: 10_000,
        connections_per_address: 0,
        connects_per_address: NONE,
        refused_logins_per_address: NONE,
    };

    async fn connect(admission: &Arc<Admission>, address: &str, now: Instant) -> Option<Admitted> {
        admission.admit(address.parse().ok(), admission.slot().await, now)
    }

    #[tokio::test]
    async fn an_address_has_so_many_connections_at_once_and_others_are_not_touched() {
        let now = Instant::now();
        let admission = Arc::new(Admission::new(AdmissionLimits { connections_per_address: 2, ..OPEN }, now));
        let first = connect(&admission, "10.0.0.1", now).await.unwrap();
        let _second = connect(&admission, "::ffff:10.0.0.1", now).await.unwrap();
        assert!(connect(&admission, "10.0.0.1", now).await.is_none());
        let _other = connect(&admission, "10.0.0.2", now).await.unwrap();
        drop(first);
        assert!(connect(&admission, "10.0.0.1", now).await.is_some());
    }

    #[tokio::test]
    async fn an_address_connects_so_often_and_is_forgotten_later() {
        let now = Instant::now();
        let limit = CallLimit::new(2, Duration::from_secs(1));
        let admission = Arc::new(Admission::new(AdmissionLimits { connects_per_address: limit, ..OPEN }, now));
        for _ in 0..2 {
            assert!(connect(&admission, "10.0.0.1", now).await.is_some());
        }
        assert!(connect(&admission, "10.0.0.1", now + Duration::from_millis(999)).await.is_none());
        assert!(connect(&admission, "10.0.0.1", now + Duration::from_millis(1000)).await.is_some());
        for i in 0..10_000u32 {
            let address = std::net::Ipv4Addr::from(i).to_string();
            assert!(connect(&admission, &address, now + Duration::from_secs(u64::from(i))).await.is_some());
        }
        assert!(admission.addresses().known.len() < 2 * MIN_SWEEP);
    }

    #[tokio::test]
    async fn after_too_many_refused_logins_no_further_one_is_looked_at_for_a_while() {
        let now = Instant::now();
        let limit = CallLimit::new(3, Duration::from_secs(60));
        let admission = Arc::new(Admission::new(AdmissionLimits { refused_logins_per_address: limit, ..OPEN }, now));
        let guesser = connect(&admission, "10.0.0.1", now).await.unwrap();
        let other = connect(&admission, "10.0.0.2", now).await.unwrap();
        for _ in 0..3 {
            assert!(guesser.may_login(now));
            assert_eq!(guesser.login_refused(ErrorKind::InvalidArgument, now).locks, None, "no guess");
        }
        for locks in [None, None, Some(Duration::from_secs(60))] {
            assert!(guesser.may_login(now));
            assert_eq!(guesser.login_refused(ErrorKind::InvalidToken, now).locks, locks);
        }
        assert!(!guesser.may_login(now) && other.may_login(now));
        assert!(guesser.may_login(now + Duration::from_secs(60)));
    }

    #[tokio::test]
    async fn of_an_address_one_refused_login_a_second_is_to_be_logged_and_the_others_are_counted() {
        let now = Instant::now();
        let admission = Arc::new(Admission::new(OPEN, now));
        let guesser = connect(&admission, "10.0.0.1", now).await.unwrap();
        let other = connect(&admission, "10.0.0.2", now).await.unwrap();
        let suppressed =
            |who: &Admitted, ms| who.login_refused(ErrorKind::InvalidToken, now + Duration::from_millis(ms)).suppressed;
        assert_eq!([0, 1, 999].map(|ms| suppressed(&guesser, ms)), [Some(0), None, None]);
        assert_eq!(suppressed(&other, 500), Some(0));
        assert_eq!([1000, 1001, 2000].map(|ms| suppressed(&guesser, ms)), [Some(2), None, Some(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_lock_is_told_once_with_how_many_were_refused_unseen() {
        let start = tokio::time::Instant::now().into_std();
        let limit = CallLimit::new(1, Duration::from_millis(50));
        let admission = Arc::new(Admission::new(AdmissionLimits { refused_logins_per_address: limit, ..OPEN }, start));
        let guesser = connect(&admission, "10.0.0.1", start).await.unwrap();
        assert!(guesser.login_refused(ErrorKind::InvalidToken, start).locks.is_some());
        assert!(!guesser.may_login(start) && !guesser.may_login(start));
        // Locked again before the end was told, it is the same lock.
        let again = start + Duration::from_millis(50);
        assert!(guesser.may_login(again));
        assert_eq!(guesser.login_refused(ErrorKind::InvalidToken, again).locks, None);
        assert!(!guesser.may_login(again));
        assert_eq!(Admission::unlocked(guesser.admission(), guesser.address()).await, Some(3));
        assert!(guesser.login_refused(ErrorKind::InvalidToken, start + Duration::from_secs(9)).locks.is_some());

        let (gone, address) = (guesser.admission(), guesser.address());
        drop((guesser, admission));
        assert_eq!(Admission::unlocked(gone, address).await, None, "the server is gone");
    }

    #[tokio::test]
    async fn clients_without_an_address_are_not_limited_by_it_and_their_refused_logins_are_logged() {
        let now = Instant::now();
        let one = CallLimit::new(1, Duration::from_secs(60));
        let limits = AdmissionLimits {
            connections_per_address: 1,
            connects_per_address: one,
            refused_logins_per_address: one,
            ..OPEN
        };
        let admission = Arc::new(Admission::new(limits, now));
        let first = connect(&admission, "", now).await.unwrap();
        let second = connect(&admission, "", now).await.unwrap();
        let refused = first.login_refused(ErrorKind::InvalidToken, now);
        assert_eq!(refused, News { suppressed: Some(0), locks: None });
        assert_eq!(first.login_refused(ErrorKind::InvalidToken, now), News::default());
        assert!(second.may_login(now));
    }

    #[tokio::test]
    async fn a_network_of_ipv6_counts_as_one_address() {
        let now = Instant::now();
        let admission = Arc::new(Admission::new(AdmissionLimits { connections_per_address: 1, ..OPEN }, now));
        let first = connect(&admission, "2001:db8:1:2::1", now).await.unwrap();
        assert_eq!(first.address(), Some("2001:db8:1:2::".parse().unwrap()));
        assert!(connect(&admission, "2001:db8:1:2:ffff::2", now).await.is_none());
        assert!(connect(&admission, "2001:db8:1:3::1", now).await.is_some());
    }

    #[tokio::test]
    async fn with_fewer_slots_nobody_is_let_in_before_enough_have_left() {
        let now = Instant::now();
        let connections = |connections| AdmissionLimits { connections, ..OPEN };
        let admission = Arc::new(Admission::new(connections(3), now));
        let mut there = Vec::new();
        for _ in 0..3 {
            there.push(connect(&admission, "10.0.0.1", now).await.unwrap());
        }
        admission.set_limits(connections(1));
        there.truncate(1);
        assert!(admission.is_full(), "one has to leave yet");
        there.clear();
        assert!(!admission.is_full());
        there.push(connect(&admission, "10.0.0.1", now).await.unwrap());
        assert!(admission.is_full());
        admission.set_limits(connections(2));
        there.push(connect(&admission, "10.0.0.1", now).await.unwrap());
        assert!(admission.is_full());
        admission.set_limits(connections(1));
        admission.set_limits(connections(3));
        there.push(connect(&admission, "10.0.0.1", now).await.unwrap());
        assert!(admission.is_full());
    }

    #[tokio::test]
    async fn new_limits_of_an_address_hold_at_once() {
        let now = Instant::now();
        let admission = Arc::new(Admission::new(OPEN, now));
        let _first = connect(&admission, "10.0.0.1", now).await.unwrap();
        let _second = connect(&admission, "10.0.0.1", now).await.unwrap();
        admission.set_limits(AdmissionLimits { connections_per_address: 2, ..OPEN });
        assert!(connect(&admission, "10.0.0.1", now).await.is_none());
        assert!(connect(&admission, "10.0.0.2", now).await.is_some());
    }

    #[tokio::test]
    async fn all_together_have_so_much_room() {
        let now = Instant::now();
        let admission = Arc::new(Admission::new(AdmissionLimits { connections: 1, ..OPEN }, now));
        let only = connect(&admission, "10.0.0.1", now).await.unwrap();
        assert!(admission.is_full());
        let mut next = std::pin::pin!(admission.slot());
        assert!(futures::poll!(&mut next).is_pending());
        drop(only);
        assert!(futures::poll!(&mut next).is_ready());
    }
}
