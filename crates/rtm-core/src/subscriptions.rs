//! Subscriptions of clients that subscribe once: the store has each before it holds, and the client that comes back finds
//! them again, also after a restart of the server.

use std::time::Duration;

use rtm_codec::{CloseReason, ErrorKind, Refusal, UserId, limits};

use super::{
    Core, Now, StateValue, StoreWork,
    admin::EXPIRY_EVERY,
    arena::SessionKey,
    jobs::Waiting,
    kept_subscriptions::{Call, Change, KeptChange, Subscriber, bytes},
    presence::TOO_MANY_PEERS,
    store::Subscriptions,
    timer::Due,
};

impl Core {
    /// A call of a client that subscribes once. It is answered when the store has what comes of it.
    pub(super) fn change_subscriptions(&mut self, now: Now, call: Call) {
        let Some(subscriber) = call.asker.and_then(|asker| self.subscriber(asker.session)) else { return };
        self.change_or_wait(now, &subscriber, call);
    }

    /// A client's application has logged in: what it was subscribed to before is over, but for what it has asked for since.
    pub(super) fn end_older_subscriptions(&mut self, now: Now, key: SessionKey) {
        if self.subscribes_once(key)
            && let Some(subscriber) = self.subscriber(key)
        {
            self.change_or_wait(now, &subscriber, Call { asker: None, change: Change::RemoveOlder });
        }
    }

    fn change_or_wait(&mut self, now: Now, subscriber: &Subscriber, call: Call) {
        let asker = call.asker;
        if !self.subscriptions.is_busy(subscriber) {
            self.keep_subscriptions(now, subscriber, call);
        } else if !self.subscriptions.wait(subscriber, call) {
            self.finish_subscribing(asker, Err(Refusal::new(ErrorKind::Failure, "the server's store is behind")));
        }
    }

    /// Has the store keep what a call makes of a client's subscriptions. `false` if it need not, or may not.
    fn keep_subscriptions(&mut self, now: Now, subscriber: &Subscriber, mut call: Call) -> bool {
        let Some(key) = self.session_of_subscriber(subscriber) else { return false };
        if matches!(call.change, Change::RemoveOlder) {
            // Another login may come before the store has done it.
            call.change = Change::Remove(self.watched_before(key));
        }
        let mut old: Vec<_> = self.watched(key).collect();
        old.sort_unstable();
        let peers = call.change.apply(old);
        if peers == self.subscriptions.peers(subscriber, now.instant) {
            self.subscribed(now, key, call);
            return false;
        }
        if let Err(refusal) = self.check_subscriptions(now, subscriber, &peers) {
            self.finish_subscribing(call.asker, Err(refusal));
            return false;
        }
        let seen_ms = self.subscriptions.next_seen_ms(subscriber, now.unix_ms);
        let work = match peers.is_empty() {
            true => StoreWork::Delete { key: subscriber.state_key(), expected: None },
            false => put(subscriber, peers.clone(), seen_ms),
        };
        self.subscriptions.begin(subscriber, &peers);
        let written = KeptChange { subscriber: subscriber.clone(), call, peers, seen_ms };
        self.jobs.ask(work, Waiting::Subscriptions(Box::new(written)));
        true
    }

    fn check_subscriptions(&mut self, now: Now, subscriber: &Subscriber, peers: &[UserId]) -> Result<(), Refusal> {
        if peers.len() > limits::SUBSCRIBED_PEERS {
            return Err(Refusal::new(ErrorKind::ExceedLimit, TOO_MANY_PEERS));
        }
        self.jobs.check_room()?;
        let more = bytes(peers).saturating_sub(self.subscriptions.bytes_of(subscriber));
        if more > 0 && !self.make_room_for_subscriptions(now, more) {
            return Err(Refusal::new(ErrorKind::Failure, "the project keeps as many subscriptions as it may"));
        }
        Ok(())
    }

    /// The store has kept what a call made of a client's subscriptions, or has not: then they are as they were.
    pub(super) fn subscriptions_written(&mut self, now: Now, written: KeptChange, is_kept: bool) {
        let KeptChange { subscriber, call, peers, seen_ms } = written;
        let is_valid = self.subscriptions.end(&subscriber, &peers);
        let session = self.session_of_subscriber(&subscriber);
        if is_kept && is_valid {
            match peers.is_empty() {
                true => self.subscriptions.remove(&subscriber),
                false => self.subscriptions.put(&subscriber, peers, seen_ms, now.instant + self.kept_for()),
            }
            self.keep_newest_subscriptions(now, &subscriber.user_id);
            if let Some(key) = session {
                self.subscribed(now, key, call);
            }
        } else {
            if is_valid {
                self.undo_in_store(now, &subscriber);
            }
            let broken = "the server could not keep the subscriptions: they are unchanged";
            self.finish_subscribing(call.asker, Err(Refusal::new(ErrorKind::Failure, broken)));
        }
        while let Some(call) = self.subscriptions.next_call(&subscriber) {
            if self.keep_subscriptions(now, &subscriber, call) {
                return;
            }
        }
    }

    /// What the store has failed to do it may have done all the same.
    fn undo_in_store(&mut self, now: Now, subscriber: &Subscriber) {
        match self.subscriptions.is_kept(subscriber) {
            true => self.tell_of_subscriber(now, subscriber),
            false => self.subscriptions.doubt(subscriber, now.instant),
        }
    }

    /// Tells the store that a client is there, and to whom it is subscribed.
    fn tell_of_subscriber(&mut self, now: Now, subscriber: &Subscriber) {
        let (peers, seen_ms) = self.subscriptions.touch(subscriber, now, now.instant + self.kept_for());
        self.jobs.tell(put(subscriber, peers, seen_ms));
    }

    /// A client has begun a session: it watches again whom it watched before.
    pub(super) fn find_subscriptions(&mut self, now: Now, key: SessionKey) {
        if !self.subscribes_once(key) {
            return;
        }
        let Some(subscriber) = self.subscriber(key) else { return };
        let peers = self.subscriptions.peers(&subscriber, now.instant).to_vec();
        if peers.is_empty() && !self.subscriptions.is_busy(&subscriber) {
            return self.forget_subscriptions(now, &subscriber);
        }
        self.subscriptions.put_off(&subscriber, now.instant + self.kept_for());
        self.watch(now, key, peers);
    }

    /// A session has ended. Where its client may come back by itself, its subscriptions are kept for a while.
    pub(super) fn leave_subscriptions(&mut self, now: Now, subscriber: &Subscriber, reason: CloseReason) {
        match reason {
            CloseReason::Logout | CloseReason::RemoteLogin | CloseReason::Banned => {
                self.forget_subscriptions(now, subscriber);
            }
            _ => self.subscriptions.put_off(subscriber, now.instant + self.kept_for()),
        }
    }

    /// Nobody comes back to any subscriptions of a user.
    pub(super) fn forget_subscriptions_of(&mut self, now: Now, user_id: &UserId) {
        for instance in self.subscriptions.instances(user_id) {
            self.forget_subscriptions(now, &Subscriber { user_id: user_id.clone(), instance });
        }
    }

    fn forget_subscriptions(&mut self, now: Now, subscriber: &Subscriber) {
        if self.subscriptions.give_up(subscriber, now.instant) {
            self.ask_to_forget(subscriber);
        }
    }

    fn ask_to_forget(&mut self, subscriber: &Subscriber) {
        let work = StoreWork::Delete { key: subscriber.state_key(), expected: None };
        self.jobs.ask(work, Waiting::SubscriptionsOver(Box::new(subscriber.clone())));
    }

    /// The store has forgotten the subscriptions of a client, or has not: then it is asked again from time to time.
    pub(super) fn subscriptions_forgotten(&mut self, subscriber: &Subscriber, is_done: bool) {
        // What it is keeping now was asked for later.
        if is_done && self.subscriptions.is_over(subscriber) && !self.subscriptions.is_busy(subscriber) {
            self.subscriptions.remove(subscriber);
        }
    }

    /// Of a user's clients, those that were there last keep their subscriptions.
    fn keep_newest_subscriptions(&mut self, now: Now, user_id: &UserId) {
        let instances = self.subscriptions.instances(user_id);
        let too_many = instances.len().saturating_sub(CLIENTS_OF_USER);
        for instance in instances.into_iter().take(too_many) {
            self.forget_subscriptions(now, &Subscriber { user_id: user_id.clone(), instance });
        }
    }

    /// Whether so many bytes more may be kept. Clients that have been away for the longest time give way to those that
    /// are there.
    fn make_room_for_subscriptions(&mut self, now: Now, wanted: usize) -> bool {
        let most = self.config.settings.subscriptions_bytes;
        let is_full = |core: &Self, most: usize| core.subscriptions.bytes() + wanted > most;
        if !is_full(self, most) {
            return true;
        }
        // Looking for them takes a while where there are many.
        if self.subscriptions.full_at.is_some_and(|at| now.instant < at + FULL_FOR) {
            return false;
        }
        for subscriber in self.subscriptions.by_age() {
            if !is_full(self, most - most / 16) {
                break;
            }
            if self.session_of_subscriber(&subscriber).is_none() {
                self.forget_subscriptions(now, &subscriber);
            }
        }
        self.subscriptions.full_at = is_full(self, most).then_some(now.instant);
        !is_full(self, most)
    }

    /// Tells the store of the clients that are there still, and has it forget those that have been away for too long:
    /// some users at a time.
    pub(super) fn look_after_subscriptions(&mut self, now: Now) {
        let (subscribers, last) = self.subscriptions.next_subscribers(USERS_AT_ONCE);
        for subscriber in subscribers {
            if self.subscriptions.is_busy(&subscriber) {
                continue;
            }
            if self.subscriptions.is_over(&subscriber) {
                self.ask_to_forget(&subscriber);
            } else if self.session_of_subscriber(&subscriber).is_some() {
                self.tell_of_subscriber(now, &subscriber);
            } else if self.subscriptions.peers(&subscriber, now.instant).is_empty() {
                self.forget_subscriptions(now, &subscriber);
            }
        }
        if last.is_some() {
            self.hub.timers.push(now.instant + STEP, Due::Subscriptions);
        }
        self.subscriptions.looked_after = last;
    }

    /// Looks after all of them, unless that is under way.
    pub(super) fn look_after_all_subscriptions(&mut self, now: Now) {
        if self.subscriptions.looked_after.is_none() {
            self.look_after_subscriptions(now);
        }
    }

    /// What the store has kept before the core began. A clock that has been set since makes nobody's absence negative.
    pub(super) fn restore_subscriptions(&mut self, now: Now, subscriber: &Subscriber, kept: Subscriptions) {
        let Subscriptions { last_seen_ts, peers } = kept;
        let age = Duration::from_millis(now.unix_ms.saturating_sub(last_seen_ts));
        let left = (self.kept_for() + EXPIRY_EVERY).saturating_sub(age);
        self.subscriptions.put(subscriber, peers, last_seen_ts, now.instant + left);
    }

    /// A session has come from elsewhere, and the store has its subscriptions.
    pub(super) fn unpack_subscriptions(&mut self, now: Now, key: SessionKey, seen_ms: u64) {
        if !self.subscribes_once(key) {
            return;
        }
        let Some(subscriber) = self.subscriber(key) else { return };
        let mut peers: Vec<_> = self.watched(key).collect();
        peers.sort_unstable();
        if !peers.is_empty() {
            self.subscriptions.put(&subscriber, peers, seen_ms, now.instant + self.kept_for());
        } else if seen_ms > 0 {
            self.subscriptions.doubt(&subscriber, now.instant);
        }
    }

    fn subscribes_once(&self, key: SessionKey) -> bool {
        self.hub.sessions.get(key).is_some_and(|session| session.terms.abilities().subscribes_once)
    }

    /// The client of a session.
    pub(super) fn subscriber(&self, key: SessionKey) -> Option<Subscriber> {
        let session = self.hub.sessions.get(key)?;
        Some(Subscriber { user_id: self.user_id(session.user)?, instance: session.terms.instance().clone() })
    }

    /// The session that a client has.
    fn session_of_subscriber(&self, subscriber: &Subscriber) -> Option<SessionKey> {
        let key = self.session_of(&subscriber.user_id)?;
        let session = self.hub.sessions.get(key)?;
        (*session.terms.instance() == subscriber.instance).then_some(key)
    }

    fn kept_for(&self) -> Duration {
        self.config.settings.subscriptions_for
    }
}

fn put(subscriber: &Subscriber, peers: Vec<UserId>, last_seen_ts: u64) -> StoreWork {
    let value = StateValue::Subscriptions(Subscriptions { last_seen_ts, peers });
    // All that is kept of a client passes through its core, so what is kept is what was put last.
    StoreWork::Put { key: subscriber.state_key(), value, expected: None }
}

/// So many clients of a user keep their subscriptions.
const CLIENTS_OF_USER: usize = 8;
/// How many users are looked after at once, and how long after the ones before.
const USERS_AT_ONCE: usize = 256;
const STEP: Duration = Duration::from_secs(1);
/// After no client was found whose subscriptions can be discarded: how long until the next search.
const FULL_FOR: Duration = Duration::from_secs(10);
