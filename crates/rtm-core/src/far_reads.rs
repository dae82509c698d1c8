//! Calls that are answered when other nodes have said what is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rtm_codec::{Answer, ErrorKind, PeerOnlineState, Refusal, UserId};

use super::{Core, Now, arena::SessionKey, notes::Asker};

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

    /// When the first of them is over.
    pub(super) fn first_over(&self) -> Option<Instant> {
        self.open.values().map(|read| read.until).min()
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
                self.hub.answer_read(asker, result);
            }
            Subject::Subscription { user_ids, .. } => {
                self.hub.finish(asker, Ok(Answer::SubscribePeersOnlineStatus(())));
                self.tell_first_states(asker.session, &user_ids);
            }
        }
    }

    /// Asks again for what was asked of the homes of another view.
    pub(super) fn ask_anew(&mut self, now: Now) {
        let Some(edge) = &self.edge else { return };
        let mut queries = Vec::new();
        for (id, read) in &edge.reads.open {
            if let Subject::States { user_ids, known } = &read.subject {
                let missing = user_ids.iter().filter(|user_id| !known.contains_key(*user_id));
                queries.push((*id, missing.cloned().collect::<Vec<_>>()));
            }
        }
        for (id, missing) in queries {
            self.ask_for_states(now, id, &missing);
        }
    }

    /// Ends the calls that have waited long enough.
    pub(super) fn expire_reads(&mut self, now: Now) {
        let Some(edge) = &self.edge else { return };
        let over = edge.reads.open.iter().filter(|(_, read)| read.until <= now.instant);
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.end_read(id));
    }
}

/// How long a call waits for other nodes: less than its client waits for it.
const READ_WITHIN: Duration = Duration::from_secs(4);
/// How long a call that subscribes waits for the first states. Those that are not known then follow.
const FIRST_STATES_WITHIN: Duration = Duration::from_secs(2);
/// So many calls wait.
const MOST_READS: usize = 4096;
