//! What an operator has done to a user, and waits for: a session that ends, something that is refused, data that go.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Duration,
};

use rtm_codec::{CloseReason, ErrorKind, Refusal, StoredMessage, UserId};

use super::{
    Conversation, Core, HttpId, LogEntry, LogKey, Now, Place, StoreAnswer, StoreFailed, StoreWork,
    cluster::{NodeId, Posted, ProjectParcel},
    jobs::Waiting,
    store::{HistoryFilter, HistorySpan},
    timer::Due,
};

/// What an operator wants to have done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminCall {
    /// Ends a user's session. Its client may log in again. Answered with [`AdminAnswer::Kicked`].
    Kick(UserId),
    /// Refuses something to a user, or to all users of the project, or no longer. Answered with [`AdminAnswer::Restricted`]
    /// when the store has kept it and all nodes know it.
    Restrict {
        /// To whom; `None` for all users.
        user_id: Option<UserId>,
        /// What.
        restriction: Restriction,
    },
    /// Counts the messages that wait for a user. Answered with [`AdminAnswer::StoredMessages`].
    CountStored(UserId),
    /// Removes the messages that wait for a user. Answered with [`AdminAnswer::Deleted`].
    DeleteStored(UserId),
    /// Removes what is kept of a user: messages that wait for it, messages in histories that it sent, its subscriptions and its
    /// attributes. Answered with [`AdminAnswer::Deleted`].
    DeleteData(UserId),
}

/// What is refused from now on, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restriction {
    /// Logins, until this time in milliseconds since the Unix epoch; `u64::MAX` for ever. Ends the user's session.
    BannedUntil(u64),
    /// No login any more.
    Unbanned,
    /// Tokens that were issued before this time, in milliseconds since the Unix epoch; 0 refuses none. Ends the sessions
    /// whose tokens are such. A token says the second in which it was issued.
    TokensFrom(u64),
}

/// The answer to an [`AdminCall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminAnswer {
    /// To [`AdminCall::Kick`].
    Kicked {
        /// Whether the user had a session.
        had_session: bool,
    },
    /// To [`AdminCall::Restrict`].
    Restricted {
        /// Whether anything is different from before.
        changed: bool,
    },
    /// To [`AdminCall::CountStored`].
    StoredMessages(u64),
    /// To [`AdminCall::DeleteStored`] and [`AdminCall::DeleteData`].
    Deleted(DeletedData),
}

/// How much of a user was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeletedData {
    /// Messages that waited for it.
    pub stored_messages: u64,
    /// Messages in histories that it sent.
    pub history_messages: u64,
    /// Attributes. Those of a session on another node of a cluster go too, and are not counted.
    pub attributes: u64,
}

/// The calls of operators that are not answered, and the answers that are ready.
#[derive(Debug, Default)]
pub(super) struct AdminCalls {
    open: BTreeMap<HttpId, Open>,
    answers: Vec<(HttpId, Result<AdminAnswer, Refusal>)>,
}

/// What a call waits for.
#[derive(Debug)]
enum Open {
    /// For the store.
    Store,
    /// For these nodes, and for the log of events where that is to have it too; it is answered so then.
    Nodes { nodes: BTreeSet<NodeId>, log: bool, answer: AdminAnswer },
    /// For data to be removed.
    Deletion(Box<Deletion>),
}

/// The data of a user on their way out.
#[derive(Debug)]
struct Deletion {
    user_id: UserId,
    /// Nothing but the messages that wait for the user.
    is_stored_only: bool,
    deleted: DeletedData,
    /// Where messages of the user are that were found.
    found: VecDeque<(Conversation, u64)>,
    /// So many that were found could not be removed.
    passed_over: usize,
    removed_in_round: usize,
    step: Step,
}

/// What the store is doing for a deletion.
#[derive(Debug)]
enum Step {
    ReadStored,
    RemoveStored(usize),
    Search,
    /// Reads a moment of a conversation.
    ReadHistory(Conversation),
    RemoveHistory(usize),
}

impl Core {
    /// Takes in a call of an operator. [`take_admin_answers`](Self::take_admin_answers) gives its answer, at once or later.
    pub fn admin(&mut self, now: Now, call: AdminCall) -> HttpId {
        let now = self.time(now);
        let id = self.http.number();
        if self.is_outside {
            self.answer_admin(id, Err(Refusal::new(ErrorKind::Failure, "the server is not in its cluster")));
        } else if let Err(refusal) = self.jobs.check_room() {
            self.answer_admin(id, Err(refusal));
        } else {
            self.serve_admin(now, id, call);
        }
        self.hub.close_overfull(now);
        id
    }

    /// Appends the answers to calls of operators that are ready.
    pub fn take_admin_answers(&mut self, answers: &mut Vec<(HttpId, Result<AdminAnswer, Refusal>)>) {
        answers.append(&mut self.admin_calls.answers);
    }

    fn serve_admin(&mut self, now: Now, id: HttpId, call: AdminCall) {
        match call {
            AdminCall::Kick(user_id) => self.kick(now, id, &user_id),
            AdminCall::Restrict { user_id, restriction } => {
                self.admin_calls.open.insert(id, Open::Store);
                self.restrict(now, id, user_id, restriction);
            }
            AdminCall::CountStored(user_id) => {
                self.admin_calls.open.insert(id, Open::Store);
                self.ask_store(id, self.stored_messages(now, user_id, None, usize::MAX, usize::MAX));
            }
            AdminCall::DeleteData(user_id) => {
                let attributes = self.forget_user(now, &user_id);
                if let Some(node) = self.node_of(&user_id).cloned() {
                    self.tell(&node, ProjectParcel::ForgetUser { user_id: user_id.clone() });
                }
                self.delete(id, user_id, false, attributes);
            }
            AdminCall::DeleteStored(user_id) => self.delete(id, user_id, true, 0),
        }
    }

    /// Begins with the messages that wait for the user.
    fn delete(&mut self, id: HttpId, user_id: UserId, is_stored_only: bool, attributes: u64) {
        // Also what is too old for the user, and is not gone yet.
        let work = read_all(LogKey::Stored(user_id.clone()), 0..u64::MAX);
        let deletion = Deletion {
            user_id,
            is_stored_only,
            deleted: DeletedData { attributes, ..DeletedData::default() },
            found: VecDeque::new(),
            passed_over: 0,
            removed_in_round: 0,
            step: Step::ReadStored,
        };
        self.admin_calls.open.insert(id, Open::Deletion(Box::new(deletion)));
        self.ask_store(id, work);
    }

    pub(super) fn answer_admin(&mut self, id: HttpId, answer: Result<AdminAnswer, Refusal>) {
        self.admin_calls.open.remove(&id);
        self.admin_calls.answers.push((id, answer));
    }

    /// Nobody answers any more what operators wait for.
    pub(super) fn forget_admin_calls(&mut self) {
        for id in std::mem::take(&mut self.admin_calls.open).into_keys() {
            let gone = Refusal::new(ErrorKind::Failure, "the server has left its cluster: it may be done or not");
            self.answer_admin(id, Err(gone));
        }
    }

    /// A call is answered when these nodes have what they were told, and with `log` the log of events has it too; or when a node
    /// has not said so in time.
    pub(super) fn await_nodes(
        &mut self,
        now: Now,
        id: HttpId,
        nodes: impl IntoIterator<Item = NodeId>,
        log: bool,
        answer: AdminAnswer,
    ) {
        let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
        if !nodes.is_empty() {
            self.hub.timers.push(now.instant + NODES_WITHIN, Due::Admin(id));
        }
        self.admin_calls.open.insert(id, Open::Nodes { nodes, log, answer });
        self.answer_if_posted(id);
    }

    /// A node has what it was told, or has left. What was lost on the way is said again by itself.
    pub(super) fn admin_posted(&mut self, id: HttpId, node: &NodeId) {
        if let Some(Open::Nodes { nodes, .. }) = self.admin_calls.open.get_mut(&id) {
            nodes.remove(node);
            self.answer_if_posted(id);
        }
    }

    /// The log of events has what was done, or nobody waits for that.
    pub(super) fn admin_logged(&mut self, id: HttpId) {
        if let Some(Open::Nodes { log, .. }) = self.admin_calls.open.get_mut(&id) {
            *log = false;
            self.answer_if_posted(id);
        }
    }

    fn answer_if_posted(&mut self, id: HttpId) {
        if let Some(Open::Nodes { nodes, log: false, answer }) = self.admin_calls.open.get(&id)
            && nodes.is_empty()
        {
            let answer = *answer;
            self.answer_admin(id, Ok(answer));
        }
    }

    /// Whoever waits for nodes that say nothing is told which these are.
    pub(super) fn admin_due(&mut self, id: HttpId) {
        let Some(Open::Nodes { nodes, .. }) = self.admin_calls.open.get(&id) else { return };
        let names: BTreeSet<_> = nodes.iter().map(|node| node.node_and_worker().0.name.to_string()).collect();
        if !names.is_empty() {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let silent = format!("no answer within 5 s from {names}: it may be done all the same");
            self.answer_admin(id, Err(Refusal::new(ErrorKind::Failure, &silent)));
        }
    }

    fn kick(&mut self, now: Now, id: HttpId, user_id: &UserId) {
        let had_session = self.kick_here(now, user_id);
        let node = self.node_of(user_id).filter(|_| !had_session).cloned();
        let (Some(edge), Some(node)) = (&mut self.edge, node) else {
            return self.answer_admin(id, Ok(AdminAnswer::Kicked { had_session }));
        };
        edge.post_kick(&node, user_id, id);
        self.await_nodes(now, id, [node], false, AdminAnswer::Kicked { had_session: true });
    }

    /// Says whether a node has ended the session that it was to end.
    pub(super) fn kick_posted(&mut self, id: HttpId, node: &NodeId, posted: Posted) {
        if posted == Posted::Taken {
            self.admin_posted(id, node);
        // Whoever was told that it takes too long has its answer.
        } else if self.admin_calls.open.contains_key(&id) {
            let lost = Refusal::new(ErrorKind::Failure, "the user's node could not be told: try again");
            self.answer_admin(id, Err(lost));
        }
    }

    /// Ends a user's session if it is here. Its client is told what one is told whose user is banned: it does not come
    /// back by itself.
    pub(super) fn kick_here(&mut self, now: Now, user_id: &UserId) -> bool {
        self.forget_subscriptions_of(now, user_id);
        let Some(key) = self.session_of(user_id) else { return false };
        if let Some(conn) = self.hub.sessions.get(key).and_then(|session| session.conn)
            && let Some(conn) = self.hub.conns.get_mut(conn)
        {
            conn.is_kicked = true;
        }
        self.end_session(now, key, CloseReason::Banned);
        true
    }

    /// Removes what this core has of a user: its attributes, and its subscriptions in the store. Says how many attributes
    /// there were.
    pub(super) fn forget_user(&mut self, now: Now, user_id: &UserId) -> u64 {
        self.forget_subscriptions_of(now, user_id);
        let Some(session) = self.session_of(user_id).and_then(|key| self.hub.sessions.get_mut(key)) else { return 0 };
        std::mem::take(&mut session.attributes).len() as u64
    }

    fn ask_store(&mut self, id: HttpId, work: StoreWork) {
        self.jobs.ask(work, Waiting::Admin(id));
    }

    /// The store has done something that a call waits for, or has failed to.
    pub(super) fn admin_stored(&mut self, id: HttpId, result: Result<StoreAnswer, StoreFailed>) {
        let Some(open) = self.admin_calls.open.remove(&id) else { return };
        let Ok(answer) = result else {
            let failed = match open {
                Open::Deletion(_) => "the server's store failed: it may be done in part",
                _ => "the server's store failed: it cannot be read now",
            };
            return self.answer_admin(id, Err(Refusal::new(ErrorKind::Failure, failed)));
        };
        match open {
            Open::Deletion(mut deletion) => match deletion.next(answer) {
                Some(work) => {
                    self.admin_calls.open.insert(id, Open::Deletion(deletion));
                    self.ask_store(id, work);
                }
                None => self.answer_admin(id, Ok(AdminAnswer::Deleted(deletion.deleted))),
            },
            Open::Store | Open::Nodes { .. } => {
                let count = answer.into_messages().map_or(0, |(messages, _)| messages.len() as u64);
                self.answer_admin(id, Ok(AdminAnswer::StoredMessages(count)));
            }
        }
    }
}

impl Deletion {
    /// What the store is to do next; `None` when all is done.
    fn next(&mut self, answer: StoreAnswer) -> Option<StoreWork> {
        match (std::mem::replace(&mut self.step, Step::Search), answer) {
            (Step::ReadStored, StoreAnswer::Entries { entries, .. }) if !entries.is_empty() => {
                let places: Vec<_> = entries.into_iter().map(|(place, _)| place).collect();
                self.step = Step::RemoveStored(places.len());
                Some(StoreWork::Remove { log: LogKey::Stored(self.user_id.clone()), places })
            }
            (Step::RemoveStored(count), _) => {
                self.deleted.stored_messages += count as u64;
                (!self.is_stored_only).then(|| self.search())
            }
            (Step::ReadStored, _) if self.is_stored_only => None,
            (Step::Search, StoreAnswer::Found(found)) if !found.is_empty() => {
                self.removed_in_round = 0;
                let moment =
                    |(conversation, StoredMessage { server_received_ts, .. })| (conversation, server_received_ts);
                self.passed_over += found.len();
                let moments: BTreeSet<(Conversation, u64)> = found.into_iter().map(moment).collect();
                self.found = moments.into_iter().collect();
                self.read_found()
            }
            (Step::Search, _) => None,
            (Step::ReadHistory(conversation), StoreAnswer::Entries { entries, .. }) => {
                let is_own =
                    |entry: &LogEntry| matches!(entry, LogEntry::Message(message) if message.from == self.user_id);
                let places: Vec<Place> =
                    entries.into_iter().filter(|(_, entry)| is_own(entry)).map(|(place, _)| place).collect();
                if places.is_empty() {
                    return self.read_found();
                }
                let log = LogKey::History(conversation);
                self.step = Step::RemoveHistory(places.len());
                Some(StoreWork::Remove { log, places })
            }
            (Step::RemoveHistory(count), _) => {
                self.removed_in_round += count;
                self.deleted.history_messages += count as u64;
                self.read_found()
            }
            _ => Some(self.search()),
        }
    }

    /// Reads the next moment in which the user said something; after the last one more is searched.
    fn read_found(&mut self) -> Option<StoreWork> {
        let Some((conversation, at)) = self.found.pop_front() else {
            self.passed_over = self.passed_over.saturating_sub(self.removed_in_round);
            return Some(self.search());
        };
        let log = LogKey::History(conversation.clone());
        self.step = Step::ReadHistory(conversation);
        Some(read_all(log, at..at.saturating_add(1)))
    }

    fn search(&mut self) -> StoreWork {
        self.step = Step::Search;
        let filter = HistoryFilter { source: Some(self.user_id.clone()), ..HistoryFilter::default() };
        let span = HistorySpan { filter, times: 0..u64::MAX };
        // What was found and could not be removed is not searched for again.
        StoreWork::Search { span, newest_first: false, offset: self.passed_over, limit: FOUND_AT_ONCE }
    }
}

fn read_all(log: LogKey, times: Range<u64>) -> StoreWork {
    StoreWork::Read { log, after: None, times, limit: usize::MAX, max_bytes: usize::MAX }
}

/// How long a call waits for other nodes.
const NODES_WITHIN: Duration = Duration::from_secs(5);
/// So many messages of a user are searched for at a time.
const FOUND_AT_ONCE: usize = 64;
