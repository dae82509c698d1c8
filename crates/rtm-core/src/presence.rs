//! Who is online: queries, subscriptions, and the changes that subscribers are told (`docs/rtm.md#presence`).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use rtm_codec::{
    Answer, ErrorKind, Event, PeerOnlineState, QueryPeersOnlineStatus, Refusal, SubscribePeersOnlineStatus,
    UnsubscribePeersOnlineStatus, UserId, limits,
};

use super::{
    Core, Now,
    arena::{SessionKey, UserKey},
    kept_subscriptions::{Call, Change},
    notes::Asker,
    pack::{
        format::{Id, StateV1, WatchingV1},
        packer::Packer,
        times::PackTime,
    },
};

/// Whom a session watches, and what it was told of them.
#[derive(Debug)]
pub(super) struct Watching {
    hasher: FixedState,
    /// Most sessions never watch anybody.
    all: Option<Box<Watched>>,
}

/// Users who are watched, or were.
#[derive(Debug)]
struct Watched {
    subscriptions: IndexMap<UserKey, Told, FixedState>,
    /// Subscribed users whose state may have changed, and when to tell of them.
    changed: Vec<UserKey>,
    tell_at: Option<Instant>,
    /// When it was told of changes last.
    told_at: Option<Instant>,
}

/// What a subscriber was last told of a user.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// `None` as long as nothing was known.
    state: Option<PeerOnlineState>,
    /// Whether the user is among the changed ones.
    is_changed: bool,
    /// Whether the subscription is older than the client's last login.
    is_older: bool,
}

impl Watching {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { hasher, all: None }
    }

    /// How many users it is subscribed to.
    pub(super) fn len(&self) -> usize {
        self.all.as_ref().map_or(0, |all| all.subscriptions.len())
    }

    /// When the session is to be told of changes.
    pub(super) fn tell_at(&self) -> Option<Instant> {
        self.all.as_ref()?.tell_at
    }

    /// The session has no connection: it is told when it has one again.
    pub(super) fn put_off(&mut self) {
        if let Some(all) = &mut self.all {
            all.tell_at = None;
        }
    }

    fn users(&self) -> impl Iterator<Item = UserKey> {
        self.all.iter().flat_map(|all| all.subscriptions.keys().copied())
    }

    fn get(&self, user: UserKey) -> Option<&Told> {
        self.all.as_ref()?.subscriptions.get(&user)
    }

    fn get_mut(&mut self, user: UserKey) -> Option<&mut Told> {
        self.all.as_mut()?.subscriptions.get_mut(&user)
    }

    fn add(&mut self, user: UserKey, state: Option<PeerOnlineState>) {
        self.watched().subscriptions.insert(user, Told { state, is_changed: false, is_older: false });
    }

    /// The client has logged in.
    pub(super) fn become_older(&mut self) {
        self.all.iter_mut().flat_map(|all| all.subscriptions.values_mut()).for_each(|told| told.is_older = true);
    }

    /// Says whether the user was watched.
    fn remove(&mut self, user: UserKey) -> bool {
        self.all.as_mut().is_some_and(|all| all.subscriptions.swap_remove(&user).is_some())
    }

    fn watched(&mut self) -> &mut Watched {
        self.all.get_or_insert_with(|| {
            let subscriptions = IndexMap::with_hasher(self.hasher.clone());
            Box::new(Watched { subscriptions, changed: Vec::new(), tell_at: None, told_at: None })
        })
    }

    /// A watched user's state may have changed. `true` if a time to tell of it was set: at once, or `pause` after the
    /// last telling.
    fn note_change(&mut self, user: UserKey, now: Instant, pause: Duration) -> bool {
        let Some(all) = &mut self.all else { return false };
        let Some(told) = all.subscriptions.get_mut(&user).filter(|told| !told.is_changed) else { return false };
        told.is_changed = true;
        all.changed.push(user);
        if all.tell_at.is_some() {
            return false;
        }
        all.tell_at = Some(all.told_at.map_or(now, |at| (at + pause).max(now)));
        true
    }

    /// The users to tell of now, if it is time.
    fn take_changed(&mut self, now: Instant) -> Option<Vec<UserKey>> {
        let all = self.all.as_mut()?;
        all.tell_at.take_if(|at| *at <= now)?;
        all.told_at = Some(now);
        Some(std::mem::take(&mut all.changed))
    }

    /// All users, for a session that has come back: what had gathered is told with them.
    fn take_all(&mut self) -> Vec<UserKey> {
        if let Some(all) = &mut self.all {
            all.tell_at = None;
            all.changed.clear();
        }
        self.users().collect()
    }

    /// Takes note that the session is told of a user's state. `false` if it does not watch the user, or knows the
    /// state already; then it is told only `again`.
    fn tell(&mut self, user: UserKey, state: PeerOnlineState, again: bool) -> bool {
        let Some(told) = self.get_mut(user) else { return false };
        told.is_changed = false;
        told.state.replace(state) != Some(state) || again
    }

    /// Where a user is is not known for the moment: the session is told when it is, also `again` what it was told before.
    fn tell_later(&mut self, user: UserKey, again: bool) {
        if let Some(told) = self.get_mut(user) {
            told.is_changed = false;
            told.state = told.state.filter(|_| !again);
        }
    }
}

impl Watching {
    pub(super) fn pack(&self, packer: Packer<'_>) -> WatchingV1 {
        let subscription = |(user, told): (&UserKey, &Told)| {
            // Whoever was told nothing is told what comes to be known, which is hardly ever this.
            let state = told.state.unwrap_or(PeerOnlineState::Unreachable);
            Some((packer.user(*user)?, StateV1(state)))
        };
        WatchingV1 {
            subscriptions: self.all.iter().flat_map(|all| &all.subscriptions).filter_map(subscription).collect(),
            told_at: self.all.as_ref().and_then(|all| all.told_at).map(|at| packer.moment(at)),
        }
    }
}

impl Core {
    pub(super) fn query_peers(
        &mut self,
        now: Now,
        asker: Asker,
        query: QueryPeersOnlineStatus,
    ) -> Option<Result<Answer, Refusal>> {
        if query.peer_ids.len() > limits::ONLINE_QUERY_PEERS {
            let many = "at most 256 users can be asked about at once";
            return Some(Err(Refusal::new(ErrorKind::InvalidArgument, many)));
        }
        if self.edge.is_some() {
            let known =
                query.peer_ids.iter().filter_map(|id| Some((id.clone(), self.seen_state(self.users.find(id)?)?)));
            let known: BTreeMap<_, _> = known.collect();
            if !query.peer_ids.iter().all(|id| known.contains_key(id)) {
                return self.read_states(now, asker, query.peer_ids, known);
            }
        }
        let states = query.peer_ids.into_iter().map(|id| {
            let user = self.users.find(&id);
            let state = user.and_then(|user| self.seen_state(user)).unwrap_or(PeerOnlineState::Offline);
            (id, state)
        });
        Some(Ok(Answer::QueryPeersOnlineStatus(states.collect())))
    }

    /// All or nothing: over the limit no user is added. The states of all named users follow the answer.
    pub(super) fn subscribe(
        &mut self,
        now: Now,
        asker: Asker,
        subscribe: SubscribePeersOnlineStatus,
    ) -> Option<Result<Answer, Refusal>> {
        let mut peer_ids = subscribe.peer_ids;
        peer_ids.sort_unstable();
        peer_ids.dedup();
        if peer_ids.is_empty() {
            return Some(Err(Refusal::new(ErrorKind::InvalidArgument, "no user is named")));
        }
        let session = self.hub.sessions.get(asker.session)?;
        let watched = &session.watching;
        let new = |id: &&UserId| self.users.find(id).is_none_or(|user| watched.get(user).is_none());
        // Where the store is asked first, that is known when it is this call's turn.
        let is_known = !session.terms.abilities().subscribes_once;
        if is_known && watched.len() + peer_ids.iter().filter(new).count() > limits::SUBSCRIBED_PEERS {
            return Some(Err(Refusal::new(ErrorKind::ExceedLimit, TOO_MANY_PEERS)));
        }
        self.change_or_keep(now, asker, Change::Add(peer_ids));
        None
    }

    pub(super) fn unsubscribe(
        &mut self,
        now: Now,
        asker: Asker,
        unsubscribe: UnsubscribePeersOnlineStatus,
    ) -> Option<Result<Answer, Refusal>> {
        let mut peer_ids = unsubscribe.peer_ids;
        if peer_ids.is_empty() || peer_ids.len() > limits::SUBSCRIBED_PEERS {
            return Some(Err(Refusal::new(ErrorKind::InvalidArgument, "1 to 512 users can be named at once")));
        }
        peer_ids.sort_unstable();
        self.change_or_keep(now, asker, Change::Remove(peer_ids));
        None
    }

    /// A change of subscriptions holds at once where the client repeats it when it has to.
    fn change_or_keep(&mut self, now: Now, asker: Asker, change: Change) {
        let key = asker.session;
        let Some(session) = self.hub.sessions.get(key) else { return };
        let call = Call { asker: Some(asker), change };
        match session.terms.abilities().subscribes_once {
            true => self.change_subscriptions(now, call),
            false => self.subscribed(now, key, call),
        }
    }

    /// A change of a session's subscriptions holds from now on.
    pub(super) fn subscribed(&mut self, now: Now, key: SessionKey, Call { asker, change }: Call) {
        match change {
            Change::Add(peer_ids) => {
                let ids = self.edge.is_some().then(|| peer_ids.clone());
                let (peers, unknown) = self.watch(now, key, peer_ids);
                if let Some(ids) = ids.filter(|_| unknown > 0)
                    && let Some(asker) = asker
                    && self.await_first_states(now, asker, ids.clone()).is_ok()
                {
                    return self.hold_news_of_unknown(key, &ids);
                }
                self.finish_subscribing(asker, Ok(Answer::SubscribePeersOnlineStatus(())));
                self.push_states(key, peers);
            }
            Change::Remove(peer_ids) => {
                self.unwatch(key, &peer_ids);
                self.finish_subscribing(asker, Ok(Answer::UnsubscribePeersOnlineStatus(())));
            }
            Change::RemoveOlder => self.unwatch(key, &self.watched_before(key)),
        }
    }

    pub(super) fn finish_subscribing(&mut self, asker: Option<Asker>, result: Result<Answer, Refusal>) {
        if let Some(asker) = asker {
            self.hub.finish(asker, result);
        }
    }

    /// A session watches these users from now on. Gives their states, of which it is to be told, and how many are not known
    /// yet.
    pub(super) fn watch(
        &mut self,
        now: Now,
        key: SessionKey,
        peer_ids: Vec<UserId>,
    ) -> (Vec<(UserId, PeerOnlineState)>, usize) {
        let mut peers = Vec::with_capacity(peer_ids.len());
        let mut unknown = 0;
        for id in peer_ids {
            let user = self.users.intern(&id);
            self.add_watcher(now, user, key);
            let state = self.seen_state(user);
            if let Some(session) = self.hub.sessions.get_mut(key) {
                session.watching.add(user, state);
            }
            match state {
                Some(state) => peers.push((id, state)),
                None => unknown += 1,
            }
        }
        (peers, unknown)
    }

    fn add_watcher(&mut self, now: Now, user: UserKey, key: SessionKey) {
        let Some(watched) = self.users.get_mut(user) else { return };
        let is_first = watched.watchers.is_empty();
        watched.watchers.insert(key);
        if is_first && self.edge.is_some() {
            let user_id = watched.id.clone();
            self.begin_to_watch(now, &user_id);
        }
    }

    fn remove_watcher(&mut self, user: UserKey, key: SessionKey) {
        if let Some(watched) = self.users.get_mut(user) {
            watched.watchers.swap_remove(&key);
        }
        self.watch_no_longer(user);
        self.users.release(user);
    }

    /// Nobody watches a user any more, if nobody does.
    pub(super) fn watch_no_longer(&mut self, user: UserKey) {
        if self.edge.is_some()
            && let Some(watched) = self.users.get(user)
            && watched.watchers.is_empty()
            && self.invitations_to(user).is_empty()
            && !self.has_given(&watched.id)
        {
            let user_id = watched.id.clone();
            self.cease_to_watch(&user_id);
        }
    }

    /// The answer to the call that subscribes to them tells of users of which nothing is known yet.
    fn hold_news_of_unknown(&mut self, key: SessionKey, peer_ids: &[UserId]) {
        let users = peer_ids.iter().filter_map(|id| self.users.find(id));
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        for user in users {
            let told = session.watching.get_mut(user);
            if let Some(told) = told.filter(|told| told.state.is_none()) {
                told.is_changed = true;
            }
        }
    }

    /// A call that subscribed to these users is answered: what is known of them is told.
    pub(super) fn tell_first_states(&mut self, key: SessionKey, peer_ids: &[UserId]) {
        let users: Vec<_> = peer_ids.iter().filter_map(|id| self.users.find(id)).collect();
        if let Some(session) = self.hub.sessions.get_mut(key) {
            for user in &users {
                if let Some(told) = session.watching.get_mut(*user) {
                    told.is_changed = false;
                }
            }
        }
        self.tell_states_of(key, users, true);
    }

    fn unwatch(&mut self, key: SessionKey, peer_ids: &[UserId]) {
        for id in peer_ids {
            let Some(user) = self.users.find(id) else { continue };
            let Some(session) = self.hub.sessions.get_mut(key) else { continue };
            if session.watching.remove(user) {
                self.remove_watcher(user, key);
            }
        }
    }

    /// Whom a session watches.
    pub(super) fn watched(&self, key: SessionKey) -> impl Iterator<Item = UserId> {
        let users = self.hub.sessions.get(key).into_iter().flat_map(|session| session.watching.users());
        users.filter_map(|user| self.user_id(user))
    }

    /// Whom a session has watched since before the last login of its client, in their order.
    pub(super) fn watched_before(&self, key: SessionKey) -> Vec<UserId> {
        let is_older = |user: &UserId| {
            let told = self.users.find(user).and_then(|user| self.hub.sessions.get(key)?.watching.get(user));
            told.is_some_and(|told| told.is_older)
        };
        let mut users: Vec<_> = self.watched(key).filter(is_older).collect();
        users.sort_unstable();
        users
    }

    pub(super) fn subscribed_peers(&self, key: SessionKey) -> Result<Answer, Refusal> {
        Ok(Answer::QueryPeersBySubscriptionOption(self.watched(key).collect()))
    }

    /// A session has ended: nobody has to tell it of anybody any more.
    pub(super) fn stop_watching(&mut self, key: SessionKey, watching: &Watching) {
        for user in watching.users() {
            self.remove_watcher(user, key);
        }
    }

    /// What a session watches that comes from elsewhere.
    pub(super) fn unpack_watching(&mut self, now: Now, key: SessionKey, packed: WatchingV1) -> Watching {
        let mut watching = Watching::new(self.hasher.clone());
        if let Some(at) = packed.told_at {
            watching.watched().told_at = Some(PackTime(now.instant).instant(at));
        }
        for (Id(user_id), StateV1(state)) in packed.subscriptions {
            let user = self.users.intern(&user_id);
            self.add_watcher(now, user, key);
            watching.add(user, Some(state));
        }
        watching
    }

    /// A user's session has come from elsewhere: whoever was told another state meanwhile is told.
    pub(super) fn tell_if_told_otherwise(&mut self, now: Now, user: UserKey) {
        let Some(state) = self.seen_state(user) else { return };
        self.state_changed_for(now, user, |watching| watching.get(user).is_some_and(|told| told.state != Some(state)));
    }

    /// Whether a user is there, on this node.
    pub(super) fn state_of(&self, user: UserKey) -> PeerOnlineState {
        let session = self.users.get(user).and_then(|user| self.hub.sessions.get(user.session?));
        session.map_or(PeerOnlineState::Offline, |session| session.liveness.state())
    }

    /// A session's user is seen in another state from now on.
    pub(super) fn set_state(&mut self, now: Now, key: SessionKey, state: PeerOnlineState) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let before = session.liveness.state();
        if session.liveness.set_state(state) {
            let user = session.user;
            self.log_state(now, key, before, state);
            self.state_changed(now, user);
        }
    }

    /// Has those that watch a user told of its state: at once, or when the pause after the last time they were told
    /// is over, in which it may change again. Those without a connection are told when they come back.
    pub(super) fn state_changed(&mut self, now: Now, user: UserKey) {
        self.report_state(now, user);
        self.state_changed_for(now, user, |_| true);
    }

    fn state_changed_for(&mut self, now: Now, user: UserKey, is_for: impl Fn(&Watching) -> bool) {
        let Some(watched) = self.users.get(user) else { return };
        let pause = self.config.settings.presence_pause;
        for &key in &watched.watchers {
            let Some(session) = self.hub.sessions.get_mut(key).filter(|session| session.conn.is_some()) else {
                continue;
            };
            if is_for(&session.watching) && session.watching.note_change(user, now.instant, pause) {
                self.hub.arm(key);
            }
        }
    }

    /// Tells a subscriber of the changes that were gathered.
    pub(super) fn tell_changes(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if let Some(changed) = session.watching.take_changed(now.instant) {
            self.tell_states_of(key, changed, false);
        }
    }

    /// Tells a subscriber that has come back of what changed meanwhile, or of `all`.
    pub(super) fn tell_states(&mut self, key: SessionKey, all: bool) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let users = session.watching.take_all();
        self.tell_states_of(key, users, all);
    }

    fn tell_states_of(&mut self, key: SessionKey, users: Vec<UserKey>, all: bool) {
        let mut peers = Vec::new();
        for user in users {
            let state = self.seen_state(user);
            let Some(session) = self.hub.sessions.get_mut(key) else { return };
            let Some(state) = state else {
                session.watching.tell_later(user, all);
                continue;
            };
            if session.watching.tell(user, state, all)
                && let Some(id) = self.user_id(user)
            {
                peers.push((id, state));
            }
        }
        self.push_states(key, peers);
    }

    fn push_states(&mut self, key: SessionKey, peers: Vec<(UserId, PeerOnlineState)>) {
        if !peers.is_empty() {
            self.hub.tell(key, Event::PeersOnlineStatusChanged { peers });
        }
    }
}

pub(super) const TOO_MANY_PEERS: &str = "at most 512 users can be subscribed to";
