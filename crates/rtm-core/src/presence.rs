//! Who is online: queries, subscriptions, and the changes that subscribers are told.

use rtm_codec::{
    Answer, ErrorKind, Event, PeerOnlineState, QueryPeersOnlineStatus, Refusal, SharedEvent,
    SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus, UserId, limits,
};

use super::{
    Core, Now,
    arena::{SessionKey, UserKey},
    session::Told,
    stream::{Asker, Note, Queued, event_bytes},
};

impl Core {
    pub(super) fn query_peers(&self, query: QueryPeersOnlineStatus) -> Result<Answer, Refusal> {
        if query.peer_ids.is_empty() || query.peer_ids.len() > limits::ONLINE_QUERY_PEERS {
            return Err(Refusal::new(ErrorKind::InvalidArgument, "1 to 256 users can be asked about at once"));
        }
        let states = query.peer_ids.into_iter().map(|id| {
            let state = self.users.find(&id).map_or(PeerOnlineState::Offline, |user| self.state_of(user));
            (id, state)
        });
        Ok(Answer::QueryPeersOnlineStatus(states.collect()))
    }

    /// All or nothing: over the limit no user is added. The states of all named users follow the answer.
    pub(super) fn subscribe(
        &mut self,
        asker: Asker,
        subscribe: SubscribePeersOnlineStatus,
    ) -> Option<Result<Answer, Refusal>> {
        let key = asker.session;
        let mut peer_ids = subscribe.peer_ids;
        peer_ids.sort_unstable();
        peer_ids.dedup();
        if peer_ids.is_empty() {
            return Some(Err(Refusal::new(ErrorKind::InvalidArgument, "no user is named")));
        }
        let session = self.hub.sessions.get(key)?;
        let new = |id: &&UserId| self.users.find(id).is_none_or(|user| !session.subscriptions.contains_key(&user));
        if session.subscriptions.len() + peer_ids.iter().filter(new).count() > limits::SUBSCRIBED_PEERS {
            return Some(Err(Refusal::new(ErrorKind::ExceedLimit, "at most 512 users can be subscribed to")));
        }
        self.hub.finish(asker, Ok(Answer::SubscribePeersOnlineStatus(())));
        let mut peers = Vec::with_capacity(peer_ids.len());
        for id in peer_ids {
            let user = self.users.intern(&id);
            if let Some(user) = self.users.get_mut(user) {
                user.watchers.insert(key);
            }
            let state = self.state_of(user);
            if let Some(session) = self.hub.sessions.get_mut(key) {
                session.subscriptions.insert(user, Told { state, is_changed: false });
            }
            peers.push((id, state));
        }
        self.push_states(key, peers);
        None
    }

    pub(super) fn unsubscribe(
        &mut self,
        key: SessionKey,
        unsubscribe: UnsubscribePeersOnlineStatus,
    ) -> Result<Answer, Refusal> {
        if unsubscribe.peer_ids.is_empty() || unsubscribe.peer_ids.len() > limits::SUBSCRIBED_PEERS {
            return Err(Refusal::new(ErrorKind::InvalidArgument, "1 to 512 users can be named at once"));
        }
        for id in unsubscribe.peer_ids {
            let Some(user) = self.users.find(&id) else { continue };
            let Some(session) = self.hub.sessions.get_mut(key) else { continue };
            if session.subscriptions.swap_remove(&user).is_some()
                && let Some(watched) = self.users.get_mut(user)
            {
                watched.watchers.swap_remove(&key);
                self.users.release(user);
            }
        }
        Ok(Answer::UnsubscribePeersOnlineStatus(()))
    }

    pub(super) fn subscribed_peers(&self, key: SessionKey) -> Result<Answer, Refusal> {
        let subscriptions = self.hub.sessions.get(key).into_iter().flat_map(|session| session.subscriptions.keys());
        let ids = subscriptions.filter_map(|user| Some(self.users.get(*user)?.id.clone()));
        Ok(Answer::QueryPeersBySubscriptionOption(ids.collect()))
    }

    /// Whether a user is there.
    pub(super) fn state_of(&self, user: UserKey) -> PeerOnlineState {
        let session = self.users.get(user).and_then(|user| self.hub.sessions.get(user.session?));
        session.map_or(PeerOnlineState::Offline, |session| session.state)
    }

    /// A session's user is seen in another state from now on.
    pub(super) fn set_state(&mut self, now: Now, key: SessionKey, state: PeerOnlineState) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if session.state != state {
            session.state = state;
            let user = session.user;
            self.state_changed(now, user);
        }
    }

    /// Has those that watch a user told of its state: at once, or when the pause after the last time they were told
    /// is over, in which it may change again. Those without a connection are told when they come back.
    pub(super) fn state_changed(&mut self, now: Now, user: UserKey) {
        let Some(watched) = self.users.get(user) else { return };
        let pause = self.config.settings.presence_pause;
        for &key in &watched.watchers {
            let Some(session) = self.hub.sessions.get_mut(key).filter(|session| session.conn.is_some()) else {
                continue;
            };
            let Some(told) = session.subscriptions.get_mut(&user).filter(|told| !told.is_changed) else { continue };
            told.is_changed = true;
            session.changed.push(user);
            if session.tell_at.is_none() {
                session.tell_at = Some(session.told_at.map_or(now.instant, |at| (at + pause).max(now.instant)));
                self.hub.arm(key);
            }
        }
    }

    /// Tells a subscriber of the changes that were gathered.
    pub(super) fn tell_changes(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if session.tell_at.is_none_or(|at| at > now.instant) {
            return;
        }
        session.tell_at = None;
        session.told_at = Some(now.instant);
        let changed = std::mem::take(&mut session.changed);
        self.tell_of(key, changed, false);
    }

    /// Tells a subscriber that has come back of what changed meanwhile, or of `all`.
    pub(super) fn tell_states(&mut self, key: SessionKey, all: bool) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        session.tell_at = None;
        session.changed.clear();
        let users = session.subscriptions.keys().copied().collect();
        self.tell_of(key, users, all);
    }

    fn tell_of(&mut self, key: SessionKey, users: Vec<UserKey>, all: bool) {
        let mut peers = Vec::new();
        for user in users {
            let state = self.state_of(user);
            let Some(session) = self.hub.sessions.get_mut(key) else { return };
            let Some(told) = session.subscriptions.get_mut(&user) else { continue };
            told.is_changed = false;
            if told.state != state || all {
                told.state = state;
                if let Some(user) = self.users.get(user) {
                    peers.push((user.id.clone(), state));
                }
            }
        }
        self.push_states(key, peers);
    }

    fn push_states(&mut self, key: SessionKey, peers: Vec<(UserId, PeerOnlineState)>) {
        if !peers.is_empty() {
            let event = Event::PeersOnlineStatusChanged { peers };
            let bytes = event_bytes(&event);
            self.hub.push(key, Queued { event: SharedEvent::for_one(event), note: Note::None, bytes });
        }
    }
}
