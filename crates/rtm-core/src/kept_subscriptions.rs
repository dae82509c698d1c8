//! What the store has of the subscriptions of clients that subscribe once, by user and client object: it outlives their
//! sessions.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    time::Instant,
};

use rtm_codec::{InstanceId, UserId};

use super::{Now, StateKey, notes::Asker};

/// Whose subscriptions they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subscriber {
    pub(super) user_id: UserId,
    pub(super) instance: InstanceId,
}

/// What is kept, and the calls that wait for the store.
#[derive(Debug, Default)]
pub(super) struct KeptSubscriptions {
    users: BTreeMap<UserId, Vec<Kept>>,
    /// The clients of which the store is keeping something.
    writing: BTreeMap<Subscriber, Writing>,
    /// What all that is kept counts for.
    bytes: usize,
    /// What the lists count for that the store is keeping.
    writing_bytes: usize,
    /// The last user that was looked after, while all are.
    pub(super) looked_after: Option<UserId>,
    /// When the last search found nothing to discard.
    pub(super) full_at: Option<Instant>,
}

/// What goes on while the store is keeping something of a client.
#[derive(Debug, Default)]
struct Writing {
    /// The calls that wait for that.
    calls: VecDeque<Call>,
    /// The client's session has ended for good meanwhile.
    is_void: bool,
}

/// The subscriptions of one client.
#[derive(Debug)]
struct Kept {
    instance: InstanceId,
    /// In their order.
    peers: Vec<UserId>,
    /// The time under which the store has them, in milliseconds since the Unix epoch.
    seen_ms: u64,
    /// Until when the client may come back.
    ends_at: Instant,
    /// Nobody comes back to them. They are remembered until the store has forgotten them.
    is_over: bool,
}

/// A call that changes subscriptions.
#[derive(Debug)]
pub(super) struct Call {
    /// `None`: the server does it by itself.
    pub(super) asker: Option<Asker>,
    pub(super) change: Change,
}

/// What a call does to subscriptions. The users are in their order.
#[derive(Debug)]
pub(super) enum Change {
    Add(Vec<UserId>),
    Remove(Vec<UserId>),
    /// Those that the client had before its last login, and has not asked for since.
    RemoveOlder,
}

/// What the store is keeping.
#[derive(Debug)]
pub(super) struct KeptChange {
    pub(super) subscriber: Subscriber,
    pub(super) call: Call,
    pub(super) peers: Vec<UserId>,
    pub(super) seen_ms: u64,
}

impl Subscriber {
    pub(super) fn state_key(&self) -> StateKey {
        StateKey::Subscriptions(self.user_id.clone(), self.instance.clone())
    }
}

impl Change {
    /// What it makes of subscriptions that are in their order.
    pub(super) fn apply(&self, mut peers: Vec<UserId>) -> Vec<UserId> {
        match self {
            Self::Add(more) => {
                peers.extend_from_slice(more);
                peers.sort_unstable();
                peers.dedup();
            }
            Self::Remove(less) => peers.retain(|peer| less.binary_search(peer).is_err()),
            Self::RemoveOlder => {}
        }
        peers
    }
}

impl KeptSubscriptions {
    /// Whether the store is keeping something of a client.
    pub(super) fn is_busy(&self, subscriber: &Subscriber) -> bool {
        self.writing.contains_key(subscriber)
    }

    /// A call waits until the store has done the one before. `false` if too many wait.
    pub(super) fn wait(&mut self, subscriber: &Subscriber, call: Call) -> bool {
        let calls = &mut self.writing.entry(subscriber.clone()).or_default().calls;
        if matches!(call.change, Change::RemoveOlder) {
            // Nobody would make this call again, and the last one does what those before it would have done.
            calls.retain(|waiting| !matches!(waiting.change, Change::RemoveOlder));
            calls.push_back(call);
            return true;
        }
        let has_room = calls.len() < WAITING_CALLS;
        if has_room {
            calls.push_back(call);
        }
        has_room
    }

    /// The next call that waits. After the last one the client is no longer busy.
    pub(super) fn next_call(&mut self, subscriber: &Subscriber) -> Option<Call> {
        let call = self.writing.get_mut(subscriber)?.calls.pop_front();
        if call.is_none() {
            self.writing.remove(subscriber);
        }
        call
    }

    /// The store is asked to keep subscriptions of a client.
    pub(super) fn begin(&mut self, subscriber: &Subscriber, peers: &[UserId]) {
        self.writing.entry(subscriber.clone()).or_default().is_void = false;
        self.writing_bytes += bytes(peers);
    }

    /// The store has done so, or has failed to. `false` if they are void, since it was asked to forget them meanwhile.
    pub(super) fn end(&mut self, subscriber: &Subscriber, peers: &[UserId]) -> bool {
        self.writing_bytes -= bytes(peers);
        self.writing.get(subscriber).is_some_and(|writing| !writing.is_void)
    }

    /// What all of it counts for, and what is on its way to the store.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.writing_bytes
    }

    /// Whether somebody may come back to what the store has of a client.
    pub(super) fn is_kept(&self, subscriber: &Subscriber) -> bool {
        self.find(subscriber).is_some_and(|kept| !kept.is_over)
    }

    /// What is kept of a client counts for so much.
    pub(super) fn bytes_of(&self, subscriber: &Subscriber) -> usize {
        self.find(subscriber).map_or(0, counted)
    }

    /// What a client may come back to, in their order.
    pub(super) fn peers(&self, subscriber: &Subscriber, now: Instant) -> &[UserId] {
        let kept = self.find(subscriber).filter(|kept| !kept.is_over && now < kept.ends_at);
        kept.map_or(&[], |kept| &kept.peers)
    }

    /// Whether nobody comes back to what the store may have of a client.
    pub(super) fn is_over(&self, subscriber: &Subscriber) -> bool {
        self.find(subscriber).is_some_and(|kept| kept.is_over)
    }

    /// The time for the next record of a client: it rises, whatever the wall clock does.
    pub(super) fn next_seen_ms(&self, subscriber: &Subscriber, now_ms: u64) -> u64 {
        self.find(subscriber).map_or(now_ms, |kept| now_ms.max(kept.seen_ms.saturating_add(1)))
    }

    /// The time of the latest record of a client as a pack has it: 0 if the store has none for sure.
    pub(super) fn packed_seen_ms(&self, subscriber: &Subscriber) -> u64 {
        self.find(subscriber).map_or(0, |kept| kept.seen_ms.max(u64::from(kept.is_over)))
    }

    /// The store has these of a client.
    pub(super) fn put(&mut self, subscriber: &Subscriber, peers: Vec<UserId>, seen_ms: u64, ends_at: Instant) {
        self.bytes += bytes(&peers);
        let new = Kept { instance: subscriber.instance.clone(), peers, seen_ms, ends_at, is_over: false };
        match self.find_mut(subscriber) {
            Some(kept) => {
                let old = std::mem::replace(kept, new);
                self.bytes -= counted(&old);
            }
            None => self.users.entry(subscriber.user_id.clone()).or_default().push(new),
        }
    }

    /// A client was there until now.
    pub(super) fn put_off(&mut self, subscriber: &Subscriber, ends_at: Instant) {
        if let Some(kept) = self.find_mut(subscriber) {
            kept.ends_at = ends_at;
        }
    }

    /// A client is there: gives what the store is to be told again, and under which time.
    pub(super) fn touch(&mut self, subscriber: &Subscriber, now: Now, ends_at: Instant) -> (Vec<UserId>, u64) {
        let seen_ms = self.next_seen_ms(subscriber, now.unix_ms);
        let Some(kept) = self.find_mut(subscriber) else { return (Vec::new(), seen_ms) };
        (kept.seen_ms, kept.ends_at) = (seen_ms, ends_at);
        (kept.peers.clone(), seen_ms)
    }

    /// The store has nothing of a client, or what it has belongs to another core.
    pub(super) fn remove(&mut self, subscriber: &Subscriber) {
        let Some(all) = self.users.get_mut(&subscriber.user_id) else { return };
        if let Some(at) = all.iter().position(|kept| kept.instance == subscriber.instance) {
            self.bytes -= counted(&all.swap_remove(at));
        }
        if all.is_empty() {
            self.users.remove(&subscriber.user_id);
        }
    }

    /// Nobody comes back to the subscriptions of a client. `false` if the store has none.
    pub(super) fn give_up(&mut self, subscriber: &Subscriber, now: Instant) -> bool {
        let writing = self.writing.get_mut(subscriber);
        let is_busy = writing.is_some();
        if let Some(writing) = writing {
            *writing = Writing { calls: VecDeque::new(), is_void: true };
        }
        let may_be_kept = is_busy || self.find(subscriber).is_some();
        if may_be_kept {
            self.doubt(subscriber, now);
        }
        may_be_kept
    }

    /// The store may have something of a client that nobody is to come back to.
    pub(super) fn doubt(&mut self, subscriber: &Subscriber, now: Instant) {
        self.put(subscriber, Vec::new(), 0, now);
        if let Some(kept) = self.find_mut(subscriber) {
            let freed = counted(kept);
            kept.is_over = true;
            self.bytes -= freed;
        }
    }

    /// The clients of a user to whose subscriptions somebody may come back, the one that was there last at the end.
    pub(super) fn instances(&self, user_id: &UserId) -> Vec<InstanceId> {
        let mut all: Vec<_> = self.users.get(user_id).into_iter().flatten().filter(|kept| !kept.is_over).collect();
        all.sort_by_key(|kept| kept.ends_at);
        all.into_iter().map(|kept| kept.instance.clone()).collect()
    }

    /// The clients of the users after the last one that was looked after, of so many users, and who the last of these
    /// is; `None` at the end.
    pub(super) fn next_subscribers(&self, users: usize) -> (Vec<Subscriber>, Option<UserId>) {
        let start = self.looked_after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.users.range::<UserId, _>((start, Bound::Unbounded)).take(users);
        let last = next.clone().nth(users.saturating_sub(1)).map(|(user_id, _)| user_id.clone());
        (next.flat_map(|(user_id, all)| all.iter().map(|kept| kept.subscriber(user_id))).collect(), last)
    }

    /// All clients to whose subscriptions somebody may come back, the one that was there last at the end.
    pub(super) fn by_age(&self) -> Vec<Subscriber> {
        let all = self.users.iter().flat_map(|(user_id, all)| all.iter().map(move |kept| (user_id, kept)));
        let mut all: Vec<_> = all.filter(|(_, kept)| !kept.is_over).collect();
        all.sort_by_key(|(_, kept)| kept.ends_at);
        all.into_iter().map(|(user_id, kept)| kept.subscriber(user_id)).collect()
    }

    fn find(&self, subscriber: &Subscriber) -> Option<&Kept> {
        self.users.get(&subscriber.user_id)?.iter().find(|kept| kept.instance == subscriber.instance)
    }

    fn find_mut(&mut self, subscriber: &Subscriber) -> Option<&mut Kept> {
        self.users.get_mut(&subscriber.user_id)?.iter_mut().find(|kept| kept.instance == subscriber.instance)
    }
}

impl Kept {
    fn subscriber(&self, user_id: &UserId) -> Subscriber {
        Subscriber { user_id: user_id.clone(), instance: self.instance.clone() }
    }
}

/// What subscriptions of a client count for, with their bookkeeping.
pub(super) fn bytes(peers: &[UserId]) -> usize {
    SUBSCRIBER_BYTES + peers.iter().map(|peer| size_of::<UserId>() + peer.as_str().len()).sum::<usize>()
}

/// What is over counts for nothing: it goes as soon as the store has forgotten it.
fn counted(kept: &Kept) -> usize {
    if kept.is_over { 0 } else { bytes(&kept.peers) }
}

/// How many calls of one client may wait.
const WAITING_CALLS: usize = 64;
/// The bookkeeping of one client.
const SUBSCRIBER_BYTES: usize = 192;
