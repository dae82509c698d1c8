//! Sessions on their way to another node: each stands still until the entry of its user says whose it is.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtm_codec::{CloseReason, InstanceId, SessionId, SessionTicket, UserId};

use super::{
    ConnId, Core, NotPackable, Now, Outgoing,
    claim::{CLAIMED_WITHIN, LONGEST_PAUSE, PAUSE, STALE},
    cluster::{Ask, EngineAnswer, EngineWork, MessageOutcome, NodeId, ProjectParcel, UserEntry, Verdict},
    counters::MoveResult,
    delivery::Received,
    edge::Edge,
    engine::Purpose,
    login::{Arrival, Entrant, Visitor},
};

/// The sessions that were packed for other nodes, oldest first, and the questions that wait to be answered.
#[derive(Debug, Default)]
pub(super) struct Frozen {
    sessions: VecDeque<FrozenSession>,
    waiting: Vec<PutOff>,
}

/// A question that is answered later.
#[derive(Debug)]
struct PutOff {
    at: Instant,
    from: NodeId,
    ask: Ask,
    since: Since,
}

/// When a session was asked for first, and the connection that it had.
#[derive(Debug, Clone, Copy)]
struct Since {
    at: Instant,
    conn: Option<ConnId>,
}

#[derive(Debug)]
struct FrozenSession {
    user_id: UserId,
    /// The client that comes for it.
    visitor: (InstanceId, Option<SessionTicket>),
    session: SessionId,
    pack: Bytes,
    /// The revision of the entry that names this node.
    revision: u64,
    /// The node that is to take it.
    to: NodeId,
    /// When this node tries to have it back.
    until: Instant,
    thaw: Thaw,
    /// How long the next pause is, before the engine is asked again.
    next_pause: Duration,
    /// Other nodes that ask for it meanwhile.
    asks: Vec<(NodeId, Ask)>,
    /// Clients that want to come in here.
    behind: Vec<Entrant>,
    /// What became of messages that it sent.
    outcomes: Vec<MessageOutcome>,
    /// The messages in it of senders that are here.
    received: Vec<Received>,
    drops_repeats: bool,
}

/// How far this node is with having a session back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thaw {
    /// It does not want it back.
    Not,
    /// The engine was asked, for a write or for the entry; for that at once, or after a pause.
    Asked { is_rested: bool },
    /// It is asked for the entry then, which tells whether it was written.
    ReadAt(Instant),
    /// It is asked to write again then.
    WriteAt(Instant),
}

impl FrozenSession {
    fn is_thawing(&self) -> bool {
        self.thaw != Thaw::Not
    }

    /// The next moment to ask the engine. The pauses grow: it may read and never write.
    fn pause(&mut self, now: Now) -> Instant {
        let pause = self.next_pause;
        self.next_pause = (pause * 2).min(LONGEST_PAUSE);
        now.instant + pause
    }
}

impl Frozen {
    fn of_user(&mut self, user_id: &UserId) -> Option<&mut FrozenSession> {
        self.sessions.iter_mut().find(|frozen| frozen.user_id == *user_id)
    }

    /// Whether a user's session stands still here.
    pub(super) fn has(&self, user_id: &UserId) -> bool {
        self.sessions.iter().any(|frozen| frozen.user_id == *user_id)
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether a connection waits for a session that stands still here.
    pub(super) fn is_waiting(&self, conn: ConnId) -> bool {
        self.sessions.iter().any(|frozen| frozen.behind.iter().any(|entrant| entrant.conn == conn))
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, conn: ConnId) {
        for frozen in &mut self.sessions {
            frozen.behind.retain(|entrant| entrant.conn != conn);
        }
    }

    /// Keeps what became of a message until it is known where its sender's session goes on. Gives it back if that is not
    /// here.
    pub(super) fn keep_outcome(&mut self, outcome: MessageOutcome) -> Option<MessageOutcome> {
        match self.of_user(&outcome.user_id).filter(|frozen| frozen.session == outcome.session) {
            Some(frozen) => {
                frozen.outcomes.push(outcome);
                None
            }
            None => Some(outcome),
        }
    }

    fn take(&mut self, user_id: &UserId) -> Option<FrozenSession> {
        let at = self.sessions.iter().position(|frozen| frozen.user_id == *user_id)?;
        self.sessions.remove(at)
    }

    fn bytes(&self) -> usize {
        self.sessions.iter().map(|frozen| frozen.pack.len()).sum()
    }
}

impl Edge {
    /// Says that a session moves, and gives it away in parts.
    fn hand_over(&mut self, to: &NodeId, claim: u64, pack: Bytes) {
        let bytes = u32::try_from(pack.len()).unwrap_or(u32::MAX);
        self.tell(to, ProjectParcel::Verdict { claim, verdict: Verdict::Moves { bytes } });
        let mut rest = pack;
        while !rest.is_empty() {
            let bytes = rest.split_to(rest.len().min(PART_BYTES));
            self.tell(to, ProjectParcel::Pack { claim, bytes });
        }
    }
}

impl Core {
    /// A user logs in on another node, and its entry names this one.
    pub(super) fn asked_for_session(&mut self, now: Now, from: &NodeId, ask: Ask) {
        let conn = self.session_of(&ask.user_id).and_then(|key| self.hub.sessions.get(key)?.conn);
        self.answer_ask(now, from, ask, Since { at: now.instant, conn });
    }

    /// A question that was put off is answered, unless the client waits no more there, or has come in here since. Where another
    /// client has come in, that one waits still.
    fn ask_again(&mut self, now: Now, put_off: PutOff) {
        let PutOff { from, ask, since, .. } = put_off;
        let conn = self.session_of(&ask.user_id).and_then(|key| self.hub.sessions.get(key)?.conn);
        let waits = conn.is_none() || conn == since.conn || self.is_of_another_client(&ask);
        if since.at + CLAIMED_WITHIN > now.instant && waits {
            self.answer_ask(now, &from, ask, since);
        }
    }

    fn is_of_another_client(&mut self, ask: &Ask) -> bool {
        let Some(user) = self.users.find(&ask.user_id) else { return false };
        let arrival = self.arrival(user, Visitor { instance: &ask.instance, ticket: ask.ticket });
        matches!(arrival, Arrival::New(_) | Arrival::Overfull(_))
    }

    fn answer_ask(&mut self, now: Now, from: &NodeId, ask: Ask, since: Since) {
        let Some(ask) = self.ask_behind_claim(from, ask) else { return };
        let Some(edge) = &mut self.edge else { return };
        if let Some(frozen) = edge.frozen.of_user(&ask.user_id) {
            // Who asks for the same again has not got it.
            if frozen.to != *from || frozen.is_thawing() || frozen.visitor != (ask.instance.clone(), ask.ticket) {
                return frozen.asks.push((from.clone(), ask));
            }
            frozen.until = now.instant + TAKEN_WITHIN;
            let pack = frozen.pack.clone();
            edge.hand_over(from, ask.claim, pack);
            return self.arm_edge(now.instant + TAKEN_WITHIN);
        }
        let claim = ask.claim;
        let verdict = match self.users.find(&ask.user_id).filter(|_| self.session_of(&ask.user_id).is_some()) {
            None => Verdict::NotHere,
            Some(user) => {
                let visitor = Visitor { instance: &ask.instance, ticket: ask.ticket };
                match self.arrival(user, visitor) {
                    Arrival::Ousted => Verdict::Ousted,
                    Arrival::Returning(_) => return self.freeze(now, from, ask, since),
                    _ if ask.is_token_over => Verdict::TokenOver,
                    Arrival::Resuming(_) => return self.freeze(now, from, ask, since),
                    Arrival::New(None) => Verdict::NotHere,
                    Arrival::New(Some(key)) | Arrival::Overfull(key) => {
                        if !self.is_stored_ahead(now, key) && now.instant < since.at + STORED_AHEAD_WITHIN {
                            return self.put_off(now, from, ask, since);
                        }
                        let session = self.hub.sessions.get(key);
                        let ousted = session.map(|session| session.ousted.with(session)).unwrap_or_default();
                        Verdict::Ends { ousted }
                    }
                }
            }
        };
        if let Some(edge) = &mut self.edge {
            edge.tell(from, ProjectParcel::Verdict { claim, verdict });
        }
    }

    /// Packs a session for another node, now or when the store has done what it does for it.
    fn freeze(&mut self, now: Now, from: &NodeId, ask: Ask, since: Since) {
        let Some(edge) = &mut self.edge else { return };
        let is_full = edge.frozen.bytes() >= FROZEN_BYTES;
        let received = self.session_of(&ask.user_id).map_or_else(Vec::new, |key| self.received_here(key));
        let Some(edge) = &mut self.edge else { return };
        let revision = edge.owned(&ask.user_id);
        let session = self.session_of(&ask.user_id).and_then(|key| self.hub.sessions.get(key));
        let (Some(session), Some(revision)) = (session, revision) else {
            return self.judge(from, ask.claim, Verdict::NotHere);
        };
        let (session, drops_repeats) = (session.id, session.terms.abilities().resume);
        let packed = if is_full { Err(NotPackable::StoreAtWork) } else { self.pack_out(now, &ask.user_id) };
        let pack = match packed {
            Ok(pack) => Bytes::from(pack),
            Err(NotPackable::StoreAtWork | NotPackable::OnTheirWay) => {
                let until = now.instant + 2 * AGAIN;
                if let Some(key) = self.session_of(&ask.user_id)
                    && let Some(session) = self.hub.sessions.get_mut(key)
                {
                    // Its client came in time, and waits.
                    session.liveness.put_lapse_off(until, &self.config.settings);
                }
                return self.put_off(now, from, ask, since);
            }
            Err(_) => {
                // It can go on nowhere else, and its client is not here any more.
                if let Some(key) = self.session_of(&ask.user_id) {
                    self.end_session(now, key, CloseReason::SlowConsumer);
                }
                return self.judge(from, ask.claim, Verdict::NotHere);
            }
        };
        let Some(edge) = &mut self.edge else { return };
        edge.disown(&ask.user_id);
        edge.hand_over(from, ask.claim, pack.clone());
        let until = now.instant + TAKEN_WITHIN;
        edge.frozen.sessions.push_back(FrozenSession {
            user_id: ask.user_id,
            visitor: (ask.instance, ask.ticket),
            session,
            pack,
            revision,
            to: from.clone(),
            until,
            thaw: Thaw::Not,
            next_pause: PAUSE,
            asks: Vec::new(),
            behind: Vec::new(),
            outcomes: Vec::new(),
            received,
            drops_repeats,
        });
        self.arm_edge(until);
    }

    /// A question is to be answered when the store has done what it does for the session.
    fn put_off(&mut self, now: Now, from: &NodeId, ask: Ask, since: Since) {
        let at = now.instant + AGAIN;
        if let Some(edge) = &mut self.edge {
            edge.frozen.waiting.push(PutOff { at, from: from.clone(), ask, since });
        }
        self.arm_edge(at);
    }

    fn judge(&mut self, to: &NodeId, claim: u64, verdict: Verdict) {
        if let Some(edge) = &mut self.edge {
            edge.tell(to, ProjectParcel::Verdict { claim, verdict });
        }
    }

    /// The entry of a user names another node, under this revision.
    pub(super) fn user_is_elsewhere(
        &mut self,
        now: Now,
        user_id: &UserId,
        node: &NodeId,
        session: SessionId,
        revision: u64,
    ) {
        let Some(edge) = &mut self.edge else { return };
        if edge.frozen.of_user(user_id).is_some_and(|frozen| frozen.revision < revision) {
            if let Some(frozen) = edge.frozen.take(user_id) {
                let to = Some(node).filter(|_| frozen.session == session);
                self.go_after(now, user_id, frozen.session, to);
                self.taken(now, frozen);
            }
            return;
        }
        if edge.owned(user_id).is_none_or(|owned| owned >= revision) {
            return;
        }
        edge.disown(user_id);
        let Some(key) = self.session_of(user_id) else { return };
        let Some(here) = self.hub.sessions.get(key) else { return };
        if here.id != session {
            return self.end_session(now, key, CloseReason::RemoteLogin);
        }
        // It is the same one: nobody is to hear of a copy.
        if let Some(conn) = here.conn {
            self.hub.close(now, conn, Outgoing::Close(CloseReason::Draining));
        }
        self.take_out(now, key);
        self.forget_moving_out(now, user_id, session);
    }

    /// A client wants to come in here whose user's session stands still, since another node asked for it: it is to go on
    /// here, if that has not taken it.
    pub(super) fn claim_frozen(&mut self, now: Now, entrant: Entrant) {
        let frozen = self.edge.as_mut().and_then(|edge| edge.frozen.of_user(&entrant.user_id));
        let Some(frozen) = frozen else { return };
        frozen.behind.push(entrant);
        frozen.until = frozen.until.min(now.instant);
        self.look_at_frozen(now);
    }

    /// Tries to have sessions back that nobody took, and answers what had to wait.
    pub(super) fn look_at_frozen(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let (view, entry) = (&edge.view, |session| edge.entry(session));
        let mut back = Vec::new();
        for frozen in &edge.frozen.sessions {
            let writes = match frozen.thaw {
                Thaw::Not => frozen.until <= now.instant || !view.has(&frozen.to),
                Thaw::WriteAt(at) => at <= now.instant,
                Thaw::ReadAt(at) if at <= now.instant => {
                    back.push((frozen.user_id.clone(), frozen.session, EngineWork::Read));
                    false
                }
                Thaw::Asked { .. } | Thaw::ReadAt(_) => false,
            };
            if writes {
                let work = EngineWork::Write { entry: Some(entry(frozen.session)), expected: frozen.revision };
                back.push((frozen.user_id.clone(), frozen.session, work));
            }
        }
        for (user_id, session, work) in back {
            if let Some(frozen) = edge.frozen.of_user(&user_id) {
                frozen.thaw = Thaw::Asked { is_rested: matches!(work, EngineWork::Read) };
            }
            edge.ask(&user_id, work, Purpose::Thaw(session));
        }
        let due: Vec<_> = edge.frozen.waiting.extract_if(.., |put_off| put_off.at <= now.instant).collect();
        due.into_iter().for_each(|put_off| self.ask_again(now, put_off));
    }

    /// What the engine says of a session that this node wants back.
    pub(super) fn thaw_answered(&mut self, now: Now, user_id: &UserId, session: SessionId, answer: EngineAnswer) {
        let Some(edge) = &mut self.edge else { return };
        let Some(frozen) = edge.frozen.of_user(user_id).filter(|frozen| frozen.session == session) else { return };
        let own_revision = match &answer {
            EngineAnswer::Written(revision) => Some(*revision),
            EngineAnswer::Read(heard) => {
                let is_ours = |entry: &UserEntry| entry.node == edge.node && entry.session == session;
                let is_written = heard.revision > frozen.revision && heard.entry.as_ref().is_some_and(is_ours);
                is_written.then_some(heard.revision)
            }
            EngineAnswer::Conflict | EngineAnswer::Unknown => None,
        };
        if let Some(revision) = own_revision {
            return self.thaw(now, user_id, revision);
        }
        match answer {
            EngineAnswer::Read(heard) if heard.revision == frozen.revision => {
                let is_rested = frozen.thaw == Thaw::Asked { is_rested: true };
                let at = if is_rested { now.instant } else { frozen.pause(now) };
                frozen.thaw = Thaw::WriteAt(at);
                self.arm_edge(at);
            }
            // It is older than what was there when the session was packed, and says nothing of what became of it. If it stays so, the
            // engine was set back.
            EngineAnswer::Read(heard) if heard.revision < frozen.revision && now.instant < frozen.until + STALE => {
                let at = now.instant + PAUSE;
                frozen.thaw = Thaw::ReadAt(at);
                self.arm_edge(at);
            }
            // Another has it, or nobody.
            EngineAnswer::Read(heard) => {
                if let Some(frozen) = edge.frozen.take(user_id) {
                    let entry = heard.entry.filter(|entry| entry.session == frozen.session);
                    self.go_after(now, user_id, frozen.session, entry.as_ref().map(|entry| &entry.node));
                    self.taken(now, frozen);
                    // A write of this node may have been done late.
                    self.release_void_entry(user_id);
                }
            }
            EngineAnswer::Conflict => edge.ask(user_id, EngineWork::Read, Purpose::Thaw(session)),
            EngineAnswer::Written(_) | EngineAnswer::Unknown => {
                let at = frozen.pause(now);
                frozen.thaw = Thaw::ReadAt(at);
                self.arm_edge(at);
            }
        }
    }

    /// A session goes on here.
    fn thaw(&mut self, now: Now, user_id: &UserId, revision: u64) {
        let Some(edge) = &mut self.edge else { return };
        let Some(frozen) = edge.frozen.take(user_id) else { return };
        edge.own(user_id, revision);
        // This core packed it.
        let is_here = self.unpack_in(now, &frozen.pack).is_ok();
        self.hub.counters.moved(if is_here { MoveResult::Kept } else { MoveResult::Lost });
        if !is_here {
            self.go_after(now, user_id, frozen.session, None);
            self.release_entry(user_id);
        }
        self.enforce_on(now, user_id);
        self.let_go(now, frozen);
    }

    /// Another node has the session: it answers those who sent messages to it.
    fn taken(&mut self, now: Now, mut frozen: FrozenSession) {
        self.hub.counters.moved(MoveResult::Given);
        let received = std::mem::take(&mut frozen.received);
        self.have_answered_by(now, &frozen.user_id, &frozen.to, frozen.drops_repeats, received);
        self.let_go(now, frozen);
    }

    /// A session stands still here no more: what waited for that goes on.
    fn let_go(&mut self, now: Now, frozen: FrozenSession) {
        self.forget_reported(&frozen.user_id, frozen.revision);
        for outcome in frozen.outcomes {
            self.outcome_came(outcome);
        }
        self.go_on_behind(now, frozen.behind, frozen.asks);
    }
}

/// How long a node waits for another to take what it has asked for.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// What is said at once of a packed session.
const PART_BYTES: usize = 256 * 1024;
/// So many bytes of sessions stand still at a time, about.
const FROZEN_BYTES: usize = 64 * 1024 * 1024;
/// A session that gives way to another one waits for so long until what it leaves to the store is there.
const STORED_AHEAD_WITHIN: Duration = Duration::from_secs(2);
/// How soon a session is looked at again that the store was at work for.
const AGAIN: Duration = Duration::from_millis(20);
