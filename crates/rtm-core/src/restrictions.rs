//! What an operator refuses to users: logins for a time, and tokens that were issued before a time. The store keeps it, and
//! every node of a cluster knows it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    time::{Duration, Instant},
};

use rtm_codec::{CloseReason, ErrorKind, Refusal, Revision, UserId};

use super::{
    Core, HttpId, Now, StateKey, StateValue, StoreAnswer, StoreFailed, StoreWork,
    admin_calls::{AdminAnswer, Restriction},
    cluster::{NodeId, ProjectParcel},
    event_promises::Promised,
    jobs::Waiting,
    store::Restrictions,
    timer::Due,
};

/// What is refused to whom.
#[derive(Debug, Default)]
pub(super) struct RestrictedUsers {
    /// To all users.
    all: Restrictions,
    users: BTreeMap<UserId, Restricted>,
    /// What the store is changing, and the changes that wait for that.
    writing: BTreeMap<Option<UserId>, VecDeque<(HttpId, Restriction)>>,
    /// What this node changed last, for nodes that may not have heard of it.
    changed: VecDeque<Option<UserId>>,
    /// Where looking for sessions goes on whose tokens all users may not have any more.
    sweep: Option<usize>,
}

/// What is refused to a user.
#[derive(Debug)]
struct Restricted {
    kept: Restrictions,
    /// When its ban ends: a clock that is set ends none.
    banned_until: Option<Instant>,
}

/// A change that the store is making.
#[derive(Debug)]
pub(super) struct WrittenRestriction {
    call: HttpId,
    user_id: Option<UserId>,
    change: Restriction,
    value: Restrictions,
    attempts: u32,
}

impl RestrictedUsers {
    fn get(&self, user_id: Option<&UserId>) -> Restrictions {
        match user_id {
            Some(user_id) => self.users.get(user_id).map_or_else(Restrictions::default, |user| user.kept),
            None => self.all,
        }
    }

    /// Tokens of a user that were issued before are refused.
    pub(super) fn tokens_from(&self, user_id: &UserId) -> u64 {
        self.all.tokens_from.max(self.get(Some(user_id)).tokens_from)
    }

    pub(super) fn is_banned(&self, now: Instant, user_id: &UserId) -> bool {
        self.users.get(user_id).and_then(|user| user.banned_until).is_some_and(|until| now < until)
    }

    /// Nothing is known any more, and nobody waits for a change.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn put(&mut self, now: Now, user_id: Option<&UserId>, kept: Restrictions) {
        let Some(user_id) = user_id else {
            self.all = kept;
            return;
        };
        let left = kept.banned_until.saturating_sub(now.unix_ms);
        let banned_until = (left > 0).then(|| now.instant + Duration::from_millis(left).min(LONGEST_BAN));
        self.users.insert(user_id.clone(), Restricted { kept, banned_until });
    }

    fn note_changed(&mut self, user_id: Option<UserId>) {
        self.changed.push_back(user_id);
        if self.changed.len() > REPEATED {
            self.changed.pop_front();
        }
    }
}

impl Restriction {
    /// What it makes of what is refused already; `None` if that stays as it is.
    fn apply(self, kept: Restrictions, now: Now) -> Option<Restrictions> {
        let mut new = kept;
        match self {
            Self::BannedUntil(until) => new.banned_until = until,
            Self::Unbanned => new.banned_until = 0,
            Self::TokensFrom(from) => new.tokens_from = from,
        }
        // Without a ban that holds nothing is lifted.
        if new == kept || (self == Self::Unbanned && kept.banned_until <= now.unix_ms) {
            return None;
        }
        // What was forgotten may come again, and is to be newer than what others still know.
        new.revision = Revision(now.unix_ms.max(kept.revision.0.saturating_add(1)));
        Some(new)
    }
}

impl Core {
    /// Whether a user is banned.
    pub(super) fn check_ban(&self, now: Now, user_id: &UserId) -> Result<(), Refusal> {
        if self.restrictions.is_banned(now.instant, user_id) {
            return Err(Refusal::new(ErrorKind::Banned, "the user is banned"));
        }
        Ok(())
    }

    /// Has the store keep a change of what is refused. The call is answered when it is kept and all nodes know it.
    pub(super) fn restrict(&mut self, now: Now, call: HttpId, user_id: Option<UserId>, change: Restriction) {
        let is_new = user_id.as_ref().is_some_and(|user_id| !self.restrictions.users.contains_key(user_id));
        if is_new && self.restrictions.users.len() >= MOST_USERS {
            let full = Refusal::new(ErrorKind::ExceedLimit, "too many users are banned or have revoked tokens");
            return self.answer_admin(call, Err(full));
        }
        if let Some(waiting) = self.restrictions.writing.get_mut(&user_id) {
            if waiting.len() >= WAITING_CHANGES {
                let busy = Refusal::new(ErrorKind::Failure, "the server's store is behind: try again later");
                return self.answer_admin(call, Err(busy));
            }
            return waiting.push_back((call, change));
        }
        self.write_restriction(now, call, user_id, change, 0);
    }

    fn write_restriction(
        &mut self,
        now: Now,
        call: HttpId,
        user_id: Option<UserId>,
        change: Restriction,
        attempts: u32,
    ) {
        let kept = self.restrictions.get(user_id.as_ref());
        let Some(value) = change.apply(kept, now) else {
            self.answer_admin(call, Ok(AdminAnswer::Restricted { changed: false }));
            return self.next_restriction(now, user_id);
        };
        self.restrictions.writing.entry(user_id.clone()).or_default();
        let work = StoreWork::Put {
            key: StateKey::Restrictions(user_id.clone()),
            value: StateValue::Restrictions(value),
            expected: Some(kept.revision),
        };
        let written = WrittenRestriction { call, user_id, change, value, attempts };
        self.jobs.ask(work, Waiting::Restriction(Box::new(written)));
    }

    /// The store has made a change, or has not.
    pub(super) fn restriction_written(
        &mut self,
        now: Now,
        written: WrittenRestriction,
        result: Result<StoreAnswer, StoreFailed>,
    ) {
        let WrittenRestriction { call, user_id, change, value, attempts } = written;
        match result {
            Ok(StoreAnswer::Done) => {
                self.restrictions.note_changed(user_id.clone());
                let is_logged = self.log_restriction(now, user_id.as_ref(), change);
                let logged = self.await_logged(is_logged);
                self.restriction_told(now, user_id.as_ref(), value);
                self.tell_restriction_to_all(now, call, user_id.as_ref(), value);
                self.answer_when_logged(logged, Promised::Restricted(call));
            }
            Ok(StoreAnswer::Conflict { kept }) if attempts < ATTEMPTS => {
                let kept = match kept {
                    Some(StateValue::Restrictions(kept)) => kept,
                    _ => Restrictions::default(),
                };
                // Another node was faster, or the store has forgotten what was over.
                self.restrictions.put(now, user_id.as_ref(), kept);
                self.enforce(now, user_id.as_ref());
                return self.write_restriction(now, call, user_id, change, attempts + 1);
            }
            _ => {
                let failed = Refusal::new(ErrorKind::Failure, "the server could not store this: it is not in force");
                self.answer_admin(call, Err(failed));
            }
        }
        self.next_restriction(now, user_id);
    }

    fn next_restriction(&mut self, now: Now, user_id: Option<UserId>) {
        match self.restrictions.writing.get_mut(&user_id).and_then(VecDeque::pop_front) {
            Some((call, change)) => self.write_restriction(now, call, user_id, change, 0),
            None => drop(self.restrictions.writing.remove(&user_id)),
        }
    }

    /// All other nodes are told of a change. The call is answered when they have it.
    fn tell_restriction_to_all(&mut self, now: Now, call: HttpId, user_id: Option<&UserId>, value: Restrictions) {
        let others = self.other_nodes();
        if let Some(edge) = &mut self.edge {
            for node in &others {
                edge.post_restriction(node, restricted(user_id, value), call);
            }
        }
        self.await_nodes(now, call, others, true, AdminAnswer::Restricted { changed: true });
    }

    /// Tells a node what this one changed last: it may not have heard it.
    pub(super) fn tell_changed_restrictions(&mut self, node: &NodeId) {
        let changed: BTreeSet<_> = self.restrictions.changed.iter().cloned().collect();
        for user_id in changed {
            let value = self.restrictions.get(user_id.as_ref());
            if let Some(edge) = &mut self.edge {
                edge.tell(node, restricted(user_id.as_ref(), value));
            }
        }
    }

    /// Something is refused from now on, unless something newer is known.
    pub(super) fn restriction_told(&mut self, now: Now, user_id: Option<&UserId>, value: Restrictions) {
        if self.restrictions.get(user_id).revision < value.revision {
            self.restrictions.put(now, user_id, value);
            self.enforce(now, user_id);
        }
    }

    /// Ends what is refused from now on.
    fn enforce(&mut self, now: Now, user_id: Option<&UserId>) {
        match user_id {
            Some(user_id) => self.enforce_on(now, user_id),
            None => {
                self.restrictions.sweep = Some(0);
                self.hub.timers.push(now.instant, Due::Restrictions);
            }
        }
    }

    /// Ends a user's session if it may not have one: it may have come here while that was decided.
    pub(super) fn enforce_on(&mut self, now: Now, user_id: &UserId) {
        let is_banned = self.restrictions.is_banned(now.instant, user_id);
        if is_banned {
            self.forget_subscriptions_of(now, user_id);
        }
        let Some(key) = self.session_of(user_id) else { return };
        let Some(session) = self.hub.sessions.get(key) else { return };
        if is_banned {
            self.end_session(now, key, CloseReason::Banned);
        } else if session.terms.is_token_older(self.restrictions.tokens_from(user_id)) {
            self.end_session(now, key, CloseReason::TokenExpired);
        }
    }

    /// Ends some of the sessions whose tokens no user may have any more.
    pub(super) fn restrictions_due(&mut self, now: Now) {
        let Some(from) = self.restrictions.sweep.take() else { return };
        let tokens_from = self.restrictions.all.tokens_from;
        let (sessions, next) = self.hub.sessions.slice(from, SWEPT_AT_ONCE);
        let old = sessions.filter(|session| session.terms.is_token_older(tokens_from)).map(|session| session.user);
        for user in old.collect::<Vec<_>>() {
            if let Some(key) = self.users.get(user).and_then(|user| user.session) {
                self.end_session(now, key, CloseReason::TokenExpired);
            }
        }
        if next.is_some() {
            self.restrictions.sweep = next;
            self.hub.timers.push(now.instant + SWEEP_PAUSE, Due::Restrictions);
        }
    }

    /// Has the store forget what has been over for a while.
    pub(super) fn forget_old_restrictions(&mut self, now: Now) {
        let restrictions = &mut self.restrictions;
        let is_over = |kept: &Restrictions| {
            let over_at = kept.banned_until.max(kept.revision.0).saturating_add(KEPT_FOR_MS);
            kept.tokens_from == 0 && over_at <= now.unix_ms
        };
        let mut over = Vec::new();
        restrictions.users.retain(|user_id, Restricted { kept, banned_until }| {
            let stays = !is_over(kept)
                || banned_until.is_some_and(|until| now.instant < until)
                || restrictions.writing.contains_key(&Some(user_id.clone()));
            if !stays {
                over.push((user_id.clone(), kept.revision));
            }
            stays
        });
        for (user_id, revision) in over {
            // What another node changes meanwhile stays.
            let key = StateKey::Restrictions(Some(user_id));
            self.jobs.tell(StoreWork::Delete { key, expected: Some(revision) });
        }
    }

    /// What is refused to a user now, if anything is.
    pub(super) fn restrictions_of(&self, now: Now, user_id: &UserId) -> Option<Restrictions> {
        let user = self.restrictions.users.get(user_id)?;
        in_force(now, user)
    }

    /// The users to whom something is refused, after `after`, at most `most`, in the order of their ids. A ban that has
    /// ended is none.
    #[must_use]
    pub fn inspect_restrictions(&self, now: Now, after: Option<&UserId>, most: usize) -> Vec<(UserId, Restrictions)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let users = self.restrictions.users.range::<UserId, _>((from, Bound::Unbounded));
        users.filter_map(|(user_id, user)| Some((user_id.clone(), in_force(now, user)?))).take(most).collect()
    }

    /// Whether a user may log in with a token that was issued at this time, in milliseconds since the Unix epoch, as far as an
    /// operator has a say.
    ///
    /// # Errors
    ///
    /// What a login is refused with: the user is banned, or the token was revoked.
    pub fn check_restrictions(&self, now: Now, user_id: &UserId, issued_at_ms: u64) -> Result<(), Refusal> {
        self.check_ban(now, user_id)?;
        if issued_at_ms < self.restrictions.tokens_from(user_id) {
            return Err(Refusal::new(ErrorKind::TokenExpired, "the token was revoked"));
        }
        Ok(())
    }

    /// From when on tokens of all users are good, in milliseconds since the Unix epoch; 0 if none was revoked.
    #[must_use]
    pub fn tokens_from(&self) -> u64 {
        self.restrictions.all.tokens_from
    }
}

fn restricted(user_id: Option<&UserId>, value: Restrictions) -> ProjectParcel {
    let Restrictions { revision, banned_until, tokens_from } = value;
    ProjectParcel::Restricted { user_id: user_id.cloned(), revision, banned_until, tokens_from }
}

fn in_force(now: Now, user: &Restricted) -> Option<Restrictions> {
    let is_banned = user.banned_until.is_some_and(|until| now.instant < until);
    let banned_until = if is_banned { user.kept.banned_until } else { 0 };
    (is_banned || user.kept.tokens_from > 0).then_some(Restrictions { banned_until, ..user.kept })
}

/// No clock counts longer than that.
const LONGEST_BAN: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// So many users may have something refused to them.
const MOST_USERS: usize = 100_000;
/// So many changes for one user may wait for the store.
const WAITING_CHANGES: usize = 64;
/// How often a change is made anew that another node was faster than.
const ATTEMPTS: u32 = 16;
/// So many changes are told again to nodes that may not have heard of them.
const REPEATED: usize = 1024;
/// How long it is remembered that a ban is over: until no node can think that it is not.
const KEPT_FOR_MS: u64 = 60 * 60 * 1000;
/// So many sessions are looked at under one lock.
const SWEPT_AT_ONCE: usize = 256;
const SWEEP_PAUSE: Duration = Duration::from_millis(2);
