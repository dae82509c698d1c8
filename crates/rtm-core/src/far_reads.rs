//! Calls that are answered when other nodes have said what is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rtm_codec::{Answer, AttributeKey, CallName, ErrorKind, PeerOnlineState, Refusal, Text, UserId};

use super::{
    Core, Now,
    arena::SessionKey,
    cluster::{NodeId, ProjectParcel},
    notes::Asker,
};

/// The calls that wait.
#[derive(Debug, Default)]
pub(super) struct FarReads {
    next: u64,
    open: BTreeMap<u64, FarRead>,
}

#[derive(Debug)]
struct FarRead {
    asker: Asker,
    until: Instant,
    subject: Subject,
}

/// What a call waits for.
#[derive(Debug)]
enum Subject {
    /// The states of these users.
    States { user_ids: Vec<UserId>, known: BTreeMap<UserId, PeerOnlineState> },
    /// The first states of users who are watched from now on.
    Subscription { user_ids: Vec<UserId>, missing: BTreeSet<UserId> },
    /// The attributes of a user, from the node that has its session.
    Attributes {
        user_id: UserId,
        keys: Option<Vec<AttributeKey>>,
        asked: Option<NodeId>,
        /// When to ask again, since the session was not there.
        again_at: Option<Instant>,
    },
}

impl FarReads {
    fn begin(&mut self, read: FarRead) -> u64 {
        let id = self.next;
        self.next += 1;
        self.open.insert(id, read);
        id
    }

    fn is_full(&self) -> bool {
        self.open.len() >= MOST_READS
    }

    /// When something is to be done for one of them.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |read: &FarRead| match read.subject {
            Subject::Attributes { again_at: Some(at), .. } => at.min(read.until),
            _ => read.until,
        };
        self.open.values().map(due).min()
    }
}

impl Core {
    /// Asks other nodes for the states that are not known here.
    pub(super) fn read_states(
        &mut self,
        now: Now,
        asker: Asker,
        user_ids: Vec<UserId>,
        known: BTreeMap<UserId, PeerOnlineState>,
    ) -> Option<Result<Answer, Refusal>> {
        let mut missing: Vec<_> = user_ids.iter().filter(|user_id| !known.contains_key(*user_id)).cloned().collect();
        missing.sort_unstable();
        missing.dedup();
        let read = FarRead { asker, until: now.instant + READ_WITHIN, subject: Subject::States { user_ids, known } };
        let id = match self.begin_read(read) {
            Ok(id) => id,
            Err(refusal) => return Some(Err(refusal)),
        };
        self.ask_for_states(now, id, &missing);
        None
    }

    /// A call that subscribes is answered when it is known whether the users are there, or after a short while.
    pub(super) fn await_first_states(&mut self, now: Now, asker: Asker, user_ids: Vec<UserId>) -> Result<(), Refusal> {
        let until = now.instant + FIRST_STATES_WITHIN;
        let is_missing =
            |user_id: &&UserId| self.users.find(user_id).is_some_and(|user| self.seen_state(user).is_none());
        let missing = user_ids.iter().filter(is_missing).cloned().collect();
        self.begin_read(FarRead { asker, until, subject: Subject::Subscription { user_ids, missing } }).map(drop)
    }

    fn begin_read(&mut self, read: FarRead) -> Result<u64, Refusal> {
        let until = read.until;
        let edge = self.edge.as_mut().filter(|edge| !edge.reads.is_full());
        let edge = edge.ok_or_else(|| Refusal::new(ErrorKind::Failure, "too many calls wait for other nodes"))?;
        let id = edge.reads.begin(read);
        self.arm_presence(until);
        Ok(id)
    }

    /// Whether a call of a session waits, whose answer is not to be given elsewhere.
    pub(super) fn awaits_first_states(&self, key: SessionKey) -> bool {
        let is_it = |read: &FarRead| read.asker.session == key && matches!(read.subject, Subject::Subscription { .. });
        self.edge.as_ref().is_some_and(|edge| edge.reads.open.values().any(is_it))
    }

    /// A home has answered.
    pub(super) fn states_came(&mut self, query: u64, states: Vec<(UserId, PeerOnlineState)>) {
        let Some(edge) = &mut self.edge else { return };
        let Some(read) = edge.reads.open.get_mut(&query) else { return };
        let Subject::States { user_ids, known } = &mut read.subject else { return };
        known.extend(states);
        if user_ids.iter().all(|user_id| known.contains_key(user_id)) {
            self.end_read(query);
        }
    }

    /// It is known of a watched user whether it is there: whoever waits for that only is answered.
    pub(super) fn first_state_came(&mut self, user_id: &UserId) {
        let Some(edge) = &mut self.edge else { return };
        let mut complete = Vec::new();
        for (id, read) in &mut edge.reads.open {
            if let Subject::Subscription { missing, .. } = &mut read.subject
                && missing.remove(user_id)
                && missing.is_empty()
            {
                complete.push(*id);
            }
        }
        complete.into_iter().for_each(|id| self.end_read(id));
    }

    /// A call is answered, with what is known.
    fn end_read(&mut self, id: u64) {
        let Some(FarRead { asker, subject, .. }) = self.edge.as_mut().and_then(|edge| edge.reads.open.remove(&id))
        else {
            return;
        };
        match subject {
            Subject::States { user_ids, known } => {
                let states = user_ids.into_iter().map(|user_id| {
                    let state = known.get(&user_id).copied()?;
                    Some((user_id, state))
                });
                let states: Option<Vec<_>> = states.collect();
                let result = states.map(Answer::QueryPeersOnlineStatus).ok_or_else(|| ErrorKind::Timeout.into());
                self.hub.answer_read(asker, CallName::QueryPeersOnlineStatus, result);
            }
            Subject::Attributes { .. } => {
                self.hub.answer_read(asker, CallName::GetUserAttributes, Err(ErrorKind::Timeout.into()));
            }
            Subject::Subscription { user_ids, .. } => {
                self.hub.finish(asker, Ok(Answer::SubscribePeersOnlineStatus(())));
                self.tell_first_states(asker.session, &user_ids);
            }
        }
    }

    /// Asks the node of a user for its attributes.
    pub(super) fn read_far_attributes(
        &mut self,
        now: Now,
        asker: Asker,
        user_id: UserId,
        keys: Option<Vec<AttributeKey>>,
    ) -> Option<Result<Answer, Refusal>> {
        let subject = Subject::Attributes { user_id, keys, asked: None, again_at: None };
        match self.begin_read(FarRead { asker, until: now.instant + READ_WITHIN, subject }) {
            Ok(id) => {
                self.ask_for_attributes(now, id);
                None
            }
            Err(refusal) => Some(Err(refusal)),
        }
    }

    /// Asks for attributes where their user is now; without any such place, there is no such user.
    fn ask_for_attributes(&mut self, now: Now, id: u64) {
        let read = self.edge.as_ref().and_then(|edge| edge.reads.open.get(&id));
        let Some(Subject::Attributes { user_id, keys, .. }) = read.map(|read| &read.subject) else { return };
        let (user_id, keys) = (user_id.clone(), keys.clone());
        if self.session_of(&user_id).is_some() {
            let attributes = self.attributes_of(&user_id, keys.as_deref());
            return self.end_attributes(id, attributes);
        }
        let node = self.node_of(&user_id).cloned();
        let Some(edge) = &mut self.edge else { return };
        let is_on_its_way = edge.is_on_its_way(&user_id);
        let Some(FarRead { subject, .. }) = edge.reads.open.get_mut(&id) else { return };
        let Subject::Attributes { asked, again_at, .. } = subject else { return };
        (*asked, *again_at) = (None, None);
        match node {
            _ if is_on_its_way => {
                let at = now.instant + AGAIN;
                *again_at = Some(at);
                self.arm_presence(at);
            }
            Some(node) => {
                *asked = Some(node.clone());
                edge.tell(&node, ProjectParcel::ReadAttributes { read: id, user_id, keys });
            }
            None => self.end_attributes(id, Err(ErrorKind::UserNotFound.into())),
        }
    }

    /// Another node asks for the attributes of a user.
    pub(super) fn asked_for_attributes(
        &mut self,
        from: &NodeId,
        read: u64,
        user_id: &UserId,
        keys: Option<&[AttributeKey]>,
    ) {
        let is_here = self.session_of(user_id).is_some();
        let attributes = is_here.then(|| self.attributes_of(user_id, keys));
        if let Some(edge) = &mut self.edge {
            edge.tell(from, ProjectParcel::Attributes { read, attributes });
        }
    }

    /// The node of a user says which attributes it has, or that it is not there.
    pub(super) fn attributes_came(
        &mut self,
        now: Now,
        from: &NodeId,
        id: u64,
        attributes: Option<Result<BTreeMap<AttributeKey, Text>, Refusal>>,
    ) {
        let Some(FarRead { subject, .. }) = self.edge.as_mut().and_then(|edge| edge.reads.open.get_mut(&id)) else {
            return;
        };
        let Subject::Attributes { asked, again_at, .. } = subject else { return };
        if asked.as_ref() != Some(from) {
            return;
        }
        match attributes {
            Some(attributes) => self.end_attributes(id, attributes),
            None => {
                let at = now.instant + AGAIN;
                (*asked, *again_at) = (None, Some(at));
                self.arm_presence(at);
            }
        }
    }

    fn end_attributes(&mut self, id: u64, attributes: Result<BTreeMap<AttributeKey, Text>, Refusal>) {
        if let Some(FarRead { asker, .. }) = self.edge.as_mut().and_then(|edge| edge.reads.open.remove(&id)) {
            self.hub.answer_read(asker, CallName::GetUserAttributes, attributes.map(Answer::GetUserAttributes));
        }
    }

    /// Asks again for what was asked of the homes and nodes of another view, or of a node that may not have heard it.
    pub(super) fn ask_anew(&mut self, now: Now, deaf: Option<&NodeId>) {
        let Some(edge) = &self.edge else { return };
        let mut queries = Vec::new();
        for (id, read) in &edge.reads.open {
            if let Subject::States { user_ids, known } = &read.subject {
                let missing = user_ids.iter().filter(|user_id| !known.contains_key(*user_id));
                queries.push((*id, missing.cloned().collect::<Vec<_>>()));
            }
        }
        let has_left = |read: &FarRead| match &read.subject {
            Subject::Attributes { asked: Some(node), .. } => !edge.view.has(node) || deaf == Some(node),
            _ => false,
        };
        let attributes: Vec<_> = edge.reads.open.iter().filter(|(_, read)| has_left(read)).map(|(id, _)| *id).collect();
        for (id, missing) in queries {
            self.ask_for_states(now, id, &missing);
        }
        attributes.into_iter().for_each(|id| self.ask_for_attributes(now, id));
    }

    /// Goes on with calls for which something is due, and ends those that have waited long enough.
    pub(super) fn look_at_reads(&mut self, now: Now) {
        let Some(edge) = &self.edge else { return };
        let over = edge.reads.open.iter().filter(|(_, read)| read.until <= now.instant);
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        let is_again = |read: &FarRead| match read.subject {
            Subject::Attributes { again_at: Some(at), .. } => at <= now.instant && now.instant < read.until,
            _ => false,
        };
        let again: Vec<_> = edge.reads.open.iter().filter(|(_, read)| is_again(read)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.end_read(id));
        again.into_iter().for_each(|id| self.ask_for_attributes(now, id));
    }
}

/// How long a call waits for other nodes: less than its client waits for it.
const READ_WITHIN: Duration = Duration::from_secs(4);
/// How long a call that subscribes waits for the first states. Those that are not known then follow.
const FIRST_STATES_WITHIN: Duration = Duration::from_secs(2);
/// How soon a user is asked for again who was not where it was to be.
const AGAIN: Duration = Duration::from_millis(100);
/// So many calls wait.
const MOST_READS: usize = 4096;
