//! One session a user, in all of the cluster: a login claims its user's entry, and the engine's conditional write of it
//! alone decides.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtm_codec::{ClientFrame, CloseReason, ErrorKind, InstanceId, ServerFrame, SessionId, SessionTicket, UserId};

use super::{
    ConnId, Core, Now, Outgoing,
    arena::SessionKey,
    cluster::{Ask, ChannelWord, EngineAnswer, EngineWork, NodeId, ProjectParcel, Revised, UserEntry, Verdict},
    counters::MoveResult,
    engine::Purpose,
    login::{Arrival, Came, Entrant, Fresh, Visitor},
    ousted::OustedSessions,
};

/// The claims of this node, one at a time for each user.
#[derive(Debug, Default)]
pub(super) struct Claims {
    next: u64,
    open: BTreeMap<u64, Claim>,
    of_users: BTreeMap<UserId, u64>,
}

/// A login that claims its user's entry.
#[derive(Debug)]
struct Claim {
    user_id: UserId,
    /// Who wants to come in; `None` when its connection is gone, or there is none.
    entrant: Option<Entrant>,
    /// It comes back to a session here, if that is still its user's.
    is_returning: bool,
    /// Its client has that session if the engine says nothing: a node that is out of touch goes on with what it has.
    goes_on_alone: bool,
    /// The client of a session that this node is to fetch from one that is about to leave.
    absent: Option<(InstanceId, SessionTicket)>,
    /// The session that the entry is to name.
    session: SessionId,
    stage: Stage,
    /// The node that was asked.
    asked: Option<NodeId>,
    /// The session that the user had when the client came, as far as it was known here.
    known: Option<SessionId>,
    /// The session that was lost with its node, which the entry names.
    lost: Option<SessionId>,
    /// The sessions that one put an end to which ended here just now.
    ousted: OustedSessions,
    since: Instant,
    /// How long the next pause is, before what was not written is written again.
    next_pause: Duration,
    /// Other logins of the same user, which wait for this one.
    behind: Vec<Entrant>,
    /// Other nodes that ask for the user meanwhile.
    asks: Vec<(NodeId, Ask)>,
    /// What other nodes say to the session that is about to be here.
    early: Vec<(NodeId, ProjectParcel)>,
}

/// What a claim waits for.
#[derive(Debug)]
enum Stage {
    /// The entry as it is where writes are decided.
    Reading,
    /// Nothing, until then.
    Pausing { until: Instant, then: Then },
    /// The view in which the entry was written.
    View(u64),
    /// The node that the entry of this revision names says what becomes of its session.
    Verdict { revision: u64 },
    /// The packed session.
    Pack { revision: u64, bytes: Vec<u8>, all: usize },
    /// The outcome of a write.
    Writing(Write),
    /// The entry, since the outcome is not known for sure.
    ReadingBack(Write),
}

/// What a claim does after a pause.
#[derive(Debug)]
enum Then {
    /// It reads the entry.
    Read,
    /// The same, for a write whose outcome is not known.
    ReadBack(Write),
    /// It writes again what was not written.
    WriteAgain(Write),
}

/// A write of the entry over this revision.
#[derive(Debug)]
struct Write {
    expected: u64,
    gain: Gain,
}

/// What a claim that succeeds brings.
#[derive(Debug)]
enum Gain {
    /// A new session, which put an end to these.
    New(OustedSessions),
    /// The session that another node had.
    Moved(Vec<u8>),
}

impl Claim {
    fn new(user_id: UserId, session: SessionId, since: Instant) -> Self {
        Self {
            user_id,
            entrant: None,
            is_returning: false,
            goes_on_alone: false,
            absent: None,
            session,
            stage: Stage::Reading,
            asked: None,
            known: None,
            lost: None,
            ousted: OustedSessions::default(),
            since,
            next_pause: PAUSE,
            behind: Vec::new(),
            asks: Vec::new(),
            early: Vec::new(),
        }
    }

    /// The question for the node that has the user, if anybody wants its session still.
    fn ask(&self, now: Now, id: u64) -> Option<Ask> {
        let (instance, ticket, is_token_over) = match (&self.entrant, &self.absent) {
            (Some(entrant), _) => {
                let ticket = entrant.login.resume.as_ref().map(|resume| resume.ticket);
                (entrant.login.instance.clone(), ticket, entrant.is_token_over(now))
            }
            (None, Some((instance, ticket))) => (instance.clone(), Some(*ticket), false),
            (None, None) => return None,
        };
        Some(Ask { claim: id, user_id: self.user_id.clone(), instance, ticket, is_token_over })
    }

    fn is_wanted(&self) -> bool {
        self.entrant.is_some() || self.absent.is_some()
    }

    fn is_overdue(&self, now: Now) -> bool {
        self.since + CLAIMED_WITHIN <= now.instant
    }

    fn pause(&mut self, now: Now, pause: Duration, then: Then) {
        self.stage = Stage::Pausing { until: now.instant + pause, then };
    }

    fn awaits_engine(&self) -> bool {
        !matches!(self.stage, Stage::View(_) | Stage::Verdict { .. } | Stage::Pack { .. })
    }

    /// A write of its entry that may have been done.
    fn write(&self) -> Option<&Write> {
        match &self.stage {
            Stage::Writing(write)
            | Stage::ReadingBack(write)
            | Stage::Pausing { then: Then::ReadBack(write) | Then::WriteAgain(write), .. } => Some(write),
            _ => None,
        }
    }
}

impl Claims {
    /// Whether a claim for a user is under way.
    pub(super) fn concern(&self, user_id: &UserId) -> bool {
        self.of_users.contains_key(user_id)
    }

    fn insert(&mut self, id: u64, claim: Claim) {
        self.of_users.insert(claim.user_id.clone(), id);
        self.open.insert(id, claim);
    }

    fn remove(&mut self, id: u64) -> Option<Claim> {
        let claim = self.open.remove(&id)?;
        self.of_users.remove(&claim.user_id);
        Some(claim)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn of_user(&mut self, user_id: &UserId) -> Option<&mut Claim> {
        self.open.get_mut(self.of_users.get(user_id)?)
    }

    /// Whether the engine answers as fast as usual.
    fn are_answered(&self, now: Now) -> bool {
        let oldest = self.open.values().find(|claim| claim.awaits_engine());
        oldest.is_none_or(|oldest| oldest.since + LATE > now.instant)
    }

    /// Others may know before this node that a session is here: what they say to it waits for that. Gives back what does
    /// not.
    pub(super) fn await_session(&mut self, from: &NodeId, parcel: ProjectParcel) -> Option<ProjectParcel> {
        let (user_id, session) = match &parcel {
            ProjectParcel::Outcome(outcome) => (&outcome.user_id, outcome.session),
            ProjectParcel::Delivered(delivered) => (&delivered.user_id, delivered.session),
            ProjectParcel::Channel(channel) => match &channel.word {
                ChannelWord::Forwarded { user_id, session, .. } | ChannelWord::ForwardEnd { user_id, session } => {
                    (user_id, *session)
                }
                _ => return Some(parcel),
            },
            _ => return Some(parcel),
        };
        let is_moving_in = |claim: &&mut Claim| {
            claim.session == session && claim.write().is_some_and(|write| matches!(write.gain, Gain::Moved(_)))
        };
        match self.of_user(user_id).filter(is_moving_in) {
            Some(claim) if claim.early.len() < EARLY => {
                claim.early.push((from.clone(), parcel));
                None
            }
            _ => Some(parcel),
        }
    }

    /// Whether a connection waits for a claim.
    fn is_waiting(&self, conn: ConnId) -> bool {
        let waits = |entrant: &Entrant| entrant.conn == conn;
        self.open.values().any(|claim| claim.entrant.iter().chain(&claim.behind).any(waits))
    }

    /// A connection is gone. A claim that nobody waits for any more ends, unless it may have succeeded.
    fn leave(&mut self, conn: ConnId) {
        for claim in self.open.values_mut() {
            claim.entrant.take_if(|entrant| entrant.conn == conn);
            claim.behind.retain(|entrant| entrant.conn != conn);
        }
    }
}

impl Core {
    /// A login needs its user's entry: the user has no session here, or one that is to end.
    pub(super) fn claim(&mut self, now: Now, entrant: Entrant, ousted: OustedSessions) {
        self.begin_claim(now, entrant, ousted, false);
    }

    fn begin_claim(&mut self, now: Now, mut entrant: Entrant, ousted: OustedSessions, is_returning: bool) {
        let session = self.secrets.session_id();
        let Some(edge) = &mut self.edge else { return };
        let user_id = entrant.user_id.clone();
        let heard = edge.entry_of(&user_id);
        let known = heard.and_then(|heard| heard.entry.as_ref()).map(|entry| entry.session);
        let revision = heard.map_or(0, |heard| heard.revision);
        // One that waited behind another came before that was over.
        let came = *entrant.came.get_or_insert(Came { at: now.instant, known });
        if let Some(claim) = edge.claims.of_user(&user_id) {
            if claim.is_overdue(now) {
                return self.hub.close(now, entrant.conn, Outgoing::Close(CloseReason::Draining));
            }
            return claim.behind.push(entrant);
        }
        if edge.frozen.has(&user_id) {
            return self.claim_frozen(now, entrant);
        }
        let owned = edge.owned(&user_id).filter(|_| !is_returning);
        let id = edge.claims.next;
        edge.claims.next += 1;
        // A client that comes back has a session somewhere. While the engine is silent nothing is written: each such write would leave
        // a claim behind.
        let comes_back = is_returning || entrant.login.resume.is_some();
        let is_free = known.is_none() && !comes_back && edge.claims.are_answered(now);
        let claim = Claim::new(user_id, session, came.at);
        let goes_on_alone = is_returning && entrant.login.resume.is_none();
        edge.claims
            .insert(id, Claim { entrant: Some(entrant), is_returning, goes_on_alone, known: came.known, ..claim });
        match owned {
            Some(revision) => self.write_claim(id, revision, Gain::New(ousted)),
            None => {
                if let Some(claim) = self.claim_mut(id) {
                    claim.ousted = ousted;
                }
                // If it is not as was heard, the write is refused.
                if is_free {
                    self.claim_free(now, id, revision);
                } else {
                    self.read_for_claim(id);
                }
            }
        }
        self.arm_edge(came.at + CLAIMED_WITHIN);
    }

    /// A client object comes back to its session here, and may have had another one since. If it had that elsewhere, the others took
    /// this node for lost, and the session here is none any more: the engine knows.
    pub(super) fn claim_returning(&mut self, now: Now, key: SessionKey, entrant: Entrant) {
        // The client came in time and waits, so its session must not lapse meanwhile.
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.liveness.hear(now.instant);
        }
        self.begin_claim(now, entrant, OustedSessions::default(), true);
    }

    /// Fetches a session without a client, unless somebody comes for it already.
    pub(super) fn claim_for_absent(&mut self, now: Now, user_id: UserId, instance: InstanceId, ticket: SessionTicket) {
        let Some(edge) = &mut self.edge else { return };
        if edge.is_on_its_way(&user_id) {
            return;
        }
        let id = edge.claims.next;
        edge.claims.next += 1;
        let claim = Claim::new(user_id, ticket.session, now.instant);
        edge.claims.insert(id, Claim { absent: Some((instance, ticket)), ..claim });
        self.read_for_claim(id);
        self.arm_edge(now.instant + CLAIMED_WITHIN);
    }

    /// Whether a connection has logged in, and waits for the cluster.
    pub(super) fn is_claiming(&self, conn: ConnId) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.claims.is_waiting(conn) || edge.frozen.is_waiting(conn))
    }

    /// What comes over a connection whose login waits for the cluster.
    pub(super) fn frame_while_claiming(&mut self, now: Now, conn: ConnId, frame: &ClientFrame) {
        match frame {
            ClientFrame::Ping => self.hub.send(conn, ServerFrame::Pong),
            ClientFrame::Logout => self.hub.close(now, conn, Outgoing::Close(CloseReason::Logout)),
            _ => self.hub.close(now, conn, Outgoing::Close(CloseReason::ProtocolError)),
        }
    }

    /// A connection is gone.
    pub(super) fn leave_claim(&mut self, conn: ConnId) {
        if let Some(edge) = &mut self.edge {
            edge.claims.leave(conn);
            edge.frozen.leave(conn);
        }
    }

    /// The engine has answered a claim.
    pub(super) fn claim_answered(&mut self, now: Now, id: u64, answer: EngineAnswer) {
        let Some(edge) = &mut self.edge else { return };
        let own_node = edge.node.clone();
        let Some(claim) = edge.claims.open.get_mut(&id) else { return };
        let stage = std::mem::replace(&mut claim.stage, Stage::Reading);
        match (stage, answer) {
            (Stage::Reading, EngineAnswer::Read(heard)) => self.judge_entry(now, id, &heard),
            (Stage::Writing(write), EngineAnswer::Written(revision)) => self.claim_won(now, id, revision, write.gain),
            // A write that conflicts may conflict with itself, sent twice.
            (Stage::Writing(write), _) => {
                claim.stage = Stage::ReadingBack(write);
                self.ask_engine(id, EngineWork::Read);
            }
            (Stage::ReadingBack(write), EngineAnswer::Read(heard)) => {
                // A session that moves has the same id where it was.
                let session = claim.session;
                let is_ours = |entry: &UserEntry| entry.node == own_node && entry.session == session;
                let is_lost_move = heard.revision == 0 && matches!(write.gain, Gain::Moved(_));
                if heard.entry.as_ref().is_some_and(is_ours) {
                    self.claim_won(now, id, heard.revision, write.gain);
                } else if heard.revision == write.expected {
                    // An engine that reads and does not write would be asked without end.
                    let pause = claim.next_pause;
                    claim.next_pause = (pause * 2).min(LONGEST_PAUSE);
                    claim.pause(now, pause, Then::WriteAgain(write));
                    self.arm_edge(now.instant + pause);
                } else if (is_lost_move || (1..write.expected).contains(&heard.revision))
                    && claim.since + STALE > now.instant
                {
                    // It is older than what the claim rests on, and says nothing of the write. Where nothing is kept any
                    // more, the revision is 0, which ends no session that is on its way here. If it stays so, the engine was set back.
                    claim.pause(now, PAUSE, Then::ReadBack(write));
                    self.arm_edge(now.instant + PAUSE);
                } else {
                    if let Gain::New(ousted) = write.gain {
                        claim.ousted = ousted;
                    }
                    self.judge_entry(now, id, &heard);
                }
            }
            (Stage::ReadingBack(write), _) => {
                claim.pause(now, PAUSE, Then::ReadBack(write));
                self.arm_edge(now.instant + PAUSE);
            }
            (Stage::Reading, _) if claim.goes_on_alone => self.return_confirmed(now, id),
            (Stage::Reading, _) => {
                claim.pause(now, PAUSE, Then::Read);
                self.arm_edge(now.instant + PAUSE);
            }
            (stage, _) => claim.stage = stage,
        }
    }

    /// What an entry means for a claim.
    fn judge_entry(&mut self, now: Now, id: u64, heard: &Revised) {
        let Some(edge) = &mut self.edge else { return };
        let is_owned = |claim: &Claim| edge.owned(&claim.user_id) == Some(heard.revision);
        let is_current = edge.claims.open.get(&id).is_some_and(is_owned);
        let Some(claim) = edge.claims.open.get_mut(&id) else { return };
        let Some(ask) = claim.ask(now, id) else { return self.drop_claim(now, id) };
        let revision = heard.revision;
        (claim.lost, claim.goes_on_alone) = (None, false);
        let Some(entry) = &heard.entry else { return self.claim_free(now, id, revision) };
        if entry.epoch > edge.view.epoch() {
            claim.stage = Stage::View(entry.epoch);
            return;
        }
        if claim.is_returning && is_current {
            return self.return_confirmed(now, id);
        }
        if entry.node == edge.node || !edge.view.has(&entry.node) {
            claim.lost = Some(entry.session).filter(|_| entry.node != edge.node);
            return self.claim_free(now, id, revision);
        }
        // The client may have given up waiting here, and come there: it must not lose its session to a login of before. One
        // that waits here still comes back.
        if claim.entrant.is_some() && claim.since + LATE <= now.instant && claim.known != Some(entry.session) {
            return self.drop_claim(now, id);
        }
        claim.stage = Stage::Verdict { revision };
        claim.asked = Some(entry.node.clone());
        let node = entry.node.clone();
        edge.tell(&node, ProjectParcel::Ask(ask));
    }

    /// The session here is the user's, as far as is known: its client has it again.
    fn return_confirmed(&mut self, now: Now, id: u64) {
        let Some(claim) = self.edge.as_mut().and_then(|edge| edge.claims.remove(id)) else { return };
        if let Some(entrant) = claim.entrant {
            let user = self.users.find(&entrant.user_id);
            match user.map(|user| self.arrival(user, Visitor::of(&entrant.login))) {
                Some(arrival @ Arrival::Returning(_)) => self.let_in(now, arrival, entrant),
                // Something has changed meanwhile.
                _ => self.login_again(now, entrant),
            }
        }
        self.go_on_behind(now, claim.behind, claim.asks);
    }

    /// Nobody has the user.
    fn claim_free(&mut self, now: Now, id: u64, revision: u64) {
        let Some(claim) = self.claim_mut(id) else { return };
        match &claim.entrant {
            Some(entrant) if entrant.is_token_over(now) => self.refuse_claim(now, id, ErrorKind::TokenExpired),
            Some(entrant) => {
                let mut ousted = std::mem::take(&mut claim.ousted);
                let own = entrant.login.resume.as_ref().map(|resume| resume.ticket.session);
                // An older client comes back with its ticket. What its object was is not known, nor needed.
                if let Some(lost) = claim.lost.filter(|lost| own != Some(*lost)) {
                    ousted.add(lost, entrant.login.instance.clone(), true);
                }
                self.claim_new(now, id, revision, ousted);
            }
            None => self.drop_claim(now, id),
        }
    }

    /// The user's session is to be a new one. That is a login, and counts as one.
    fn claim_new(&mut self, now: Now, id: u64, revision: u64, ousted: OustedSessions) {
        let Some(mut entrant) = self.claim_mut(id).and_then(|claim| claim.entrant.take()) else {
            return self.drop_claim(now, id);
        };
        let counted = match entrant.is_counted {
            true => Ok(()),
            false => self.count_login(now, &entrant.user_id, &entrant.login),
        };
        match counted {
            Ok(()) => {
                if let Some(claim) = self.claim_mut(id) {
                    entrant.is_counted = true;
                    claim.entrant = Some(entrant);
                }
                self.write_claim(id, revision, Gain::New(ousted));
            }
            Err(wait) => {
                let Entrant { conn, user_id, login, .. } = entrant;
                self.put_login_off(now, conn, wait, &user_id, Box::new(login));
                self.drop_claim(now, id);
            }
        }
    }

    /// The node that was asked says what becomes of its session.
    pub(super) fn claim_judged(&mut self, now: Now, from: &NodeId, id: u64, verdict: Verdict) {
        let Some(claim) = self.claim_mut(id).filter(|claim| claim.asked.as_ref() == Some(from)) else { return };
        let Stage::Verdict { revision } = claim.stage else { return };
        match verdict {
            Verdict::NotHere => self.claim_free(now, id, revision),
            Verdict::Ends { ousted } => self.claim_new(now, id, revision, OustedSessions::from_elsewhere(ousted)),
            Verdict::Moves { bytes } => {
                claim.stage = Stage::Pack { revision, bytes: Vec::new(), all: bytes as usize };
            }
            Verdict::Ousted => {
                if let Some(entrant) = claim.entrant.take() {
                    self.tell_ousted(now, entrant);
                }
                self.drop_claim(now, id);
            }
            Verdict::TokenOver => self.refuse_claim(now, id, ErrorKind::TokenExpired),
        }
    }

    /// A part of the session has come.
    pub(super) fn pack_came(&mut self, now: Now, from: &NodeId, id: u64, part: &Bytes) {
        let Some(claim) = self.claim_mut(id).filter(|claim| claim.asked.as_ref() == Some(from)) else { return };
        let Stage::Pack { revision, bytes, all } = &mut claim.stage else { return };
        bytes.extend_from_slice(part);
        match bytes.len().cmp(all) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => {
                let (revision, pack) = (*revision, std::mem::take(bytes));
                if let Some(session) = self.packed_session(now, &pack)
                    && let Some(claim) = self.claim_mut(id)
                {
                    claim.session = session;
                    self.write_claim(id, revision, Gain::Moved(pack));
                } else {
                    self.drop_claim(now, id);
                }
            }
            // No node of a known version sends that.
            std::cmp::Ordering::Greater => self.drop_claim(now, id),
        }
    }

    /// The entry names this node: what the claim was for is done.
    fn claim_won(&mut self, now: Now, id: u64, revision: u64, gain: Gain) {
        let Some(edge) = &mut self.edge else { return };
        let Some(claim) = edge.claims.remove(id) else { return };
        let Claim { user_id, entrant, session, asked, behind, asks, early, .. } = claim;
        let own_node = edge.node.clone();
        edge.own(&user_id, revision);
        if let Some(node) = &asked {
            edge.tell(node, ProjectParcel::Took { user_id: user_id.clone(), session, revision });
        }
        match (gain, entrant) {
            (Gain::Moved(pack), entrant) => {
                // Whatever happens to its client, the session is here now.
                match self.unpack_in(now, &pack) {
                    Ok(_) => {
                        self.hub.counters.moved(MoveResult::Taken);
                        self.remember_channels(now, &user_id);
                        self.log_move(now, &user_id);
                        self.receiver_moved(now, &user_id, &own_node, true);
                    }
                    Err(_) => {
                        self.hub.counters.moved(MoveResult::Lost);
                        self.release_entry(&user_id);
                    }
                }
                if let Some(entrant) = entrant {
                    self.login_again(now, entrant);
                }
            }
            (Gain::New(ousted), Some(entrant)) => {
                let old = self.session_of(&user_id);
                self.enter(now, Arrival::New(old), entrant, Some(Fresh { session, ousted }));
            }
            (Gain::New(_), None) => match self.session_of(&user_id) {
                // It did not end, then, and the entry is written anew for it when its user comes back.
                Some(_) => {}
                None => self.release_entry(&user_id),
            },
        }
        for (from, parcel) in early {
            self.parcel_came(now, &from, parcel);
        }
        self.receiver_is_here(now, &user_id);
        self.enforce_on(now, &user_id);
        self.go_on_behind(now, behind, asks);
    }

    /// A claim is over, without the user's entry.
    fn drop_claim(&mut self, now: Now, id: u64) {
        let Some(claim) = self.edge.as_mut().and_then(|edge| edge.claims.remove(id)) else { return };
        if let Some(entrant) = &claim.entrant {
            self.hub.close(now, entrant.conn, Outgoing::Close(CloseReason::Draining));
        }
        self.go_on_behind(now, claim.behind, claim.asks);
        self.release_void_entry(&claim.user_id);
    }

    fn refuse_claim(&mut self, now: Now, id: u64, kind: ErrorKind) {
        let Some(claim) = self.claim_mut(id) else { return };
        if let Some(entrant) = claim.entrant.take() {
            self.refuse(now, entrant.conn, entrant.login.abilities, kind.into());
        }
        self.drop_claim(now, id);
    }

    /// Those who waited for a claim of the same user have their turn.
    pub(super) fn go_on_behind(&mut self, now: Now, behind: Vec<Entrant>, asks: Vec<(NodeId, Ask)>) {
        for (from, ask) in asks {
            self.asked_for_session(now, &from, ask);
        }
        for entrant in behind {
            if self.hub.conns.get(entrant.conn).is_some_and(|conn| !conn.is_closed) {
                self.login_again(now, entrant);
            }
        }
    }

    /// Puts another node's question off until a claim of this node for the same user is over. Gives it back where there is
    /// none.
    pub(super) fn ask_behind_claim(&mut self, from: &NodeId, ask: Ask) -> Option<Ask> {
        match self.edge.as_mut().and_then(|edge| edge.claims.of_user(&ask.user_id)) {
            // Who waits for an answer itself does not keep another waiting: the two might wait for each other.
            Some(claim) if !matches!(claim.stage, Stage::Verdict { .. } | Stage::Pack { .. }) => {
                claim.asks.push((from.clone(), ask));
                None
            }
            _ => Some(ask),
        }
    }

    /// Goes on with the claims for which something is due, or whose view has come.
    pub(super) fn look_at_claims(&mut self, now: Now) {
        let Some(edge) = &self.edge else { return };
        let epoch = edge.view.epoch();
        let mut again = Vec::new();
        let mut over = Vec::new();
        for (id, claim) in &edge.claims.open {
            let has_left = claim.asked.as_ref().is_some_and(|node| !edge.view.has(node));
            let goes_on = match claim.stage {
                Stage::View(awaited) => awaited <= epoch,
                Stage::Pausing { until, .. } => until <= now.instant,
                Stage::Verdict { .. } | Stage::Pack { .. } => has_left,
                Stage::Reading | Stage::Writing(_) | Stage::ReadingBack(_) => false,
            };
            if claim.is_overdue(now) || (!claim.is_wanted() && claim.write().is_none()) {
                over.push(*id);
            }
            if goes_on {
                again.push(*id);
            }
        }
        for id in over {
            self.give_up_claim(now, id);
        }
        for id in again {
            self.go_on_with_claim(id);
        }
    }

    fn go_on_with_claim(&mut self, id: u64) {
        let Some(claim) = self.claim_mut(id) else { return };
        match std::mem::replace(&mut claim.stage, Stage::Reading) {
            Stage::Pausing { then: Then::WriteAgain(write), .. } => self.write_claim(id, write.expected, write.gain),
            stage => {
                claim.stage = stage;
                self.read_claim_again(id);
            }
        }
    }

    /// A claim has taken too long, or nobody wants it. One that may have succeeded stays until that is known, and those who wait
    /// for it go to another node.
    fn give_up_claim(&mut self, now: Now, id: u64) {
        let Some(claim) = self.claim_mut(id) else { return };
        if claim.write().is_none() {
            return self.drop_claim(now, id);
        }
        let waiting: Vec<_> = claim.entrant.take().into_iter().chain(claim.behind.drain(..)).collect();
        for entrant in waiting {
            self.hub.close(now, entrant.conn, Outgoing::Close(CloseReason::Draining));
        }
    }

    fn read_claim_again(&mut self, id: u64) {
        let Some(claim) = self.claim_mut(id) else { return };
        claim.stage = match std::mem::replace(&mut claim.stage, Stage::Reading) {
            Stage::Pausing { then: Then::ReadBack(write) | Then::WriteAgain(write), .. } => Stage::ReadingBack(write),
            _ => {
                claim.asked = None;
                Stage::Reading
            }
        };
        self.read_for_claim(id);
    }

    /// What a node was asked, or its answer, may be lost.
    pub(super) fn claim_again(&mut self, node: &NodeId) {
        let Some(edge) = &self.edge else { return };
        let mut again = Vec::new();
        for (id, claim) in &edge.claims.open {
            if matches!(claim.stage, Stage::Verdict { .. } | Stage::Pack { .. }) && claim.asked.as_ref() == Some(node) {
                again.push(*id);
            }
        }
        again.into_iter().for_each(|id| self.read_claim_again(id));
    }

    fn claim_mut(&mut self, id: u64) -> Option<&mut Claim> {
        self.edge.as_mut()?.claims.open.get_mut(&id)
    }

    fn read_for_claim(&mut self, id: u64) {
        self.ask_engine(id, EngineWork::Read);
    }

    fn write_claim(&mut self, id: u64, expected: u64, gain: Gain) {
        let Some(edge) = &mut self.edge else { return };
        let Some(claim) = edge.claims.open.get_mut(&id) else { return };
        claim.stage = Stage::Writing(Write { expected, gain });
        let session = claim.session;
        let entry = Some(edge.entry(session));
        self.ask_engine(id, EngineWork::Write { entry, expected });
    }

    fn ask_engine(&mut self, id: u64, work: EngineWork) {
        let Some(edge) = &mut self.edge else { return };
        let Some(user_id) = edge.claims.open.get(&id).map(|claim| claim.user_id.clone()) else { return };
        edge.ask(&user_id, work, Purpose::Claim(id));
    }
}

/// So much waits for a session that is about to be here.
const EARLY: usize = 1024;
/// After so long a client is sent to another node, which may reach the engine.
pub(super) const CLAIMED_WITHIN: Duration = Duration::from_secs(10);
/// A login that has waited for so long may be one that its client has given up.
const LATE: Duration = Duration::from_secs(2);
/// An answer that is too old to be true is taken for true after so long, while its client waits still.
pub(super) const STALE: Duration = Duration::from_secs(5);
/// How long a claim waits before it asks an engine again that gave no answer.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
/// Pauses grow up to this where the engine reads and does not write.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(4);
