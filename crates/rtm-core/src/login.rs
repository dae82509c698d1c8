//! Logging in: who comes, what becomes of the session that the user has, and what the client is told first.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rtm_codec::{
    Abilities, CallLimit, CallLimits, ClientFrame, CloseReason, ErrorKind, InstanceId, KeepAlive, LimitedCall, Login,
    PeerOnlineState, Refusal, Resumption, ServerFrame, SessionId, SessionTicket, UserId, Welcome,
};

use super::{
    ConnId, Core, Now, Outgoing,
    arena::{SessionKey, UserKey},
    auth::TokenLife,
    counters::{GapReason, LoginResult, Quota, ResumeResult},
    liveness::MOST_KEEP_ALIVE_MS,
    ousted::OustedSessions,
    session::Session,
    terms::Terms,
    timer::Due,
};

/// How often users log in, and the logins that have to wait for that.
#[derive(Debug)]
pub(super) struct Logins {
    by_user: HashMap<UserId, VecDeque<(Duration, InstanceId)>, FixedState>,
    /// In the order of the logins, to forget them.
    order: VecDeque<(Duration, UserId)>,
    waiting: BTreeMap<ConnId, Box<Login>>,
}

impl Logins {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { by_user: HashMap::with_hasher(hasher), order: VecDeque::new(), waiting: BTreeMap::new() }
    }

    /// Counts a login of a client object within the limit of that and of its user, or says how long it has to wait.
    fn count(
        &mut self,
        limit: CallLimit,
        user_id: &UserId,
        object: &InstanceId,
        now: Duration,
    ) -> Result<(), Duration> {
        if limit.is_unlimited() {
            return Ok(());
        }
        let window = limit.per();
        self.forget(limit, now);
        let (of_object, of_user) = (limit.calls() as usize, limit.calls().saturating_mul(USER_LOGINS) as usize);
        // Most users log in once in that time.
        let logins = self.by_user.entry(user_id.clone()).or_insert_with(|| VecDeque::with_capacity(1));
        let by_object = logins.iter().rev().filter(|(_, other)| other == object).nth(of_object - 1);
        let by_user = logins.iter().rev().nth(of_user - 1);
        if let Some(at) = by_object.into_iter().chain(by_user).map(|(at, _)| *at).max() {
            return Err(at + window - now);
        }
        logins.push_back((now, object.clone()));
        self.order.push_back((now, user_id.clone()));
        Ok(())
    }

    /// Forgets the logins that count no longer, and takes little memory where these were many.
    pub(super) fn forget(&mut self, limit: CallLimit, now: Duration) {
        let before = self.order.len();
        while let Some((at, earlier)) = self.order.front()
            && *at + limit.per() <= now
        {
            if let Some(logins) = self.by_user.get_mut(earlier) {
                logins.pop_front();
                if logins.is_empty() {
                    self.by_user.remove(earlier);
                }
            }
            self.order.pop_front();
        }
        if self.order.len() < before && self.order.capacity() > MANY_LOGINS.max(4 * self.order.len()) {
            self.order.shrink_to(2 * self.order.len());
            self.by_user.shrink_to(2 * self.by_user.len());
        }
    }

    /// No login waits any more.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// Whether the login of a connection waits.
    fn is_waiting(&self, conn: ConnId) -> bool {
        self.waiting.contains_key(&conn)
    }

    /// Whether one more login of a user may wait.
    fn has_room(&self, user_id: &UserId) -> bool {
        let of_user = self.waiting.values().filter(|login| login.user_id.as_ref() == Some(user_id));
        self.waiting.len() < WAITING && of_user.count() < WAITING_OF_USER
    }

    /// The connection is gone, or its login is to be looked at again.
    pub(super) fn take(&mut self, conn: ConnId) -> Option<Box<Login>> {
        self.waiting.remove(&conn)
    }
}

/// A connection with a good login.
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) conn: ConnId,
    pub(super) user_id: UserId,
    pub(super) login: Login,
    life: Option<TokenLife>,
    /// Whether it counts towards the user's logins already.
    pub(super) is_counted: bool,
    /// When it began to wait for the cluster, if it does.
    pub(super) came: Option<Came>,
}

/// When a client came that waits for the cluster, and the session that its user had then, as far as it was known here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    pub(super) at: Instant,
    pub(super) known: Option<SessionId>,
}

impl Entrant {
    /// Whether its token has ended: it may only come back to a session that has a newer one.
    pub(super) fn is_token_over(&self, now: Now) -> bool {
        self.life.is_some_and(|life| life.is_over(now))
    }
}

/// What tells whose session a client wants to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor<'a> {
    pub(super) instance: &'a InstanceId,
    pub(super) ticket: Option<SessionTicket>,
}

impl<'a> Visitor<'a> {
    pub(super) fn of(login: &'a Login) -> Self {
        Self { instance: &login.instance, ticket: login.resume.as_ref().map(|resume| resume.ticket) }
    }
}

/// What a new session begins with.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) session: SessionId,
    pub(super) ousted: OustedSessions,
}

/// How a connection begins with a session's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The session is new.
    New,
    /// After what its client received.
    Resume,
    /// With all that is left, under new numbers.
    Restart,
}

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The client of this session, with its ticket.
    Resuming(SessionKey),
    /// The client object of this session, that knows nothing of what it received.
    Returning(SessionKey),
    /// A client that lost its session to another one without hearing of it.
    Ousted,
    /// The client of this session, which holds so much that the next event would close it again: it ends.
    Overfull(SessionKey),
    /// A new client. The user's session, if any, ends.
    New(Option<SessionKey>),
}

impl Core {
    /// A frame of a connection that has no session yet: its login, or what may come while that waits.
    pub(super) fn frame_without_session(&mut self, now: Now, conn: ConnId, frame: ClientFrame) {
        if self.provisional.has(conn) {
            return self.hold_frame(now, conn, frame);
        }
        if self.is_claiming(conn) {
            return self.frame_while_claiming(now, conn, &frame);
        }
        match (frame, self.logins.is_waiting(conn)) {
            (ClientFrame::Login(login), false) => self.login(now, conn, login),
            (ClientFrame::Ping, true) => self.hub.send(conn, ServerFrame::Pong),
            (ClientFrame::Logout, true) => self.hub.close(now, conn, Outgoing::Close(CloseReason::Logout)),
            _ => self.break_off(now, conn),
        }
    }

    /// A login has waited.
    pub(super) fn login_due(&mut self, now: Now, conn: ConnId) {
        if self.hub.conns.get(conn).is_none_or(|conn| conn.is_closed) {
            return drop(self.logins.take(conn));
        }
        match self.logins.take(conn) {
            Some(login) => self.login(now, conn, login),
            None => self.provisional_due(now, conn),
        }
    }

    /// Lets a client in, or not; in a cluster once that is decided.
    pub(super) fn login(&mut self, now: Now, conn: ConnId, login: Box<Login>) {
        self.judge_login(now, conn, login, false, None);
    }

    /// A login that has waited is looked at anew.
    pub(super) fn login_again(&mut self, now: Now, Entrant { conn, login, is_counted, came, .. }: Entrant) {
        self.judge_login(now, conn, Box::new(login), is_counted, came);
    }

    fn judge_login(&mut self, now: Now, conn: ConnId, login: Box<Login>, was_counted: bool, came: Option<Came>) {
        if self.is_outside || (self.is_draining && !login.abilities.gives_up) {
            self.hub.counters.logged_in(LoginResult::Draining, login.abilities);
            return self.hub.close(now, conn, Outgoing::Close(CloseReason::Draining));
        }
        let (user_id, life) = match self.admit(now, &login) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.refuse(now, conn, login.abilities, refusal),
        };
        // This connection counts, too.
        if self.is_full_for(Some(&user_id), self.hub.conns.len().saturating_sub(1)) {
            return self.wait_or_refuse(now, conn, FULL_PAUSE, too_many_connections(), &user_id, login);
        }
        let user = self.users.intern(&user_id);
        let arrival = self.arrival(user, Visitor::of(&login));
        let is_here = !matches!(arrival, Arrival::New(None)) || self.edge.is_none();
        if is_here && life.is_some_and(|life| life.is_over(now)) && !matches!(arrival, Arrival::Returning(_)) {
            self.users.release(user);
            return self.refuse(now, conn, login.abilities, ErrorKind::TokenExpired.into());
        }
        // Elsewhere the user may have a session to which the client comes back.
        let counts = matches!(arrival, Arrival::New(_)) && is_here && !was_counted;
        if counts && let Err(wait) = self.count_login(now, &user_id, &login) {
            self.users.release(user);
            return self.put_login_off(now, conn, wait, &user_id, login);
        }
        let is_counted = was_counted || counts;
        let entrant = Entrant { conn, user_id, login: *login, life, is_counted, came };
        match arrival {
            Arrival::New(_) | Arrival::Overfull(_) if self.edge.is_some() => {
                let ousted = self.end_overfull(now, arrival);
                self.claim(now, entrant, ousted);
                self.users.release(user);
            }
            Arrival::Returning(key) if self.edge.is_some() && self.may_have_had_another(key, &entrant.login) => {
                self.claim_returning(now, key, entrant);
            }
            _ => self.let_in(now, arrival, entrant),
        }
    }

    /// Whether a client of this session may have had another one elsewhere since. It names that one, or the one before; without a
    /// ticket it cannot say.
    fn may_have_had_another(&self, key: SessionKey, login: &Login) -> bool {
        let session = self.hub.sessions.get(key);
        let named = login.resume.as_ref().map(|resume| resume.ticket.session);
        session.is_some_and(|session| named != Some(session.id))
    }

    /// Gives a client its session, also where all are about to be sent away: only one that has been let in comes back.
    pub(super) fn let_in(&mut self, now: Now, arrival: Arrival, entrant: Entrant) {
        let conn = entrant.conn;
        self.enter(now, arrival, entrant, None);
        if self.is_draining {
            self.hub.close(now, conn, Outgoing::Close(CloseReason::Draining));
        }
    }

    pub(super) fn count_login(&mut self, now: Now, user_id: &UserId, login: &Login) -> Result<(), Duration> {
        let limit = self.config.limits.get(LimitedCall::Login);
        let now = self.since_start(now);
        self.logins.count(limit, user_id, &login.instance, now)
    }

    /// A login comes too early. It waits where a refusal would be the end of its client.
    pub(super) fn put_login_off(
        &mut self,
        now: Now,
        conn: ConnId,
        wait: Duration,
        user_id: &UserId,
        login: Box<Login>,
    ) {
        self.wait_or_refuse(now, conn, wait, Refusal::too_often(wait), user_id, login);
    }

    /// A login cannot be taken now. It is looked at again after `wait` where the refusal would be the end of its client.
    fn wait_or_refuse(
        &mut self,
        now: Now,
        conn: ConnId,
        wait: Duration,
        refusal: Refusal,
        user_id: &UserId,
        login: Box<Login>,
    ) {
        if !login.abilities.gives_up || !self.logins.has_room(user_id) {
            return self.refuse(now, conn, login.abilities, refusal);
        }
        self.logins.waiting.insert(conn, login);
        self.hub.timers.push(now.instant + wait, Due::Login(conn));
    }

    /// Gives a client its session. What a claim brought is for one that has none to go on with.
    pub(super) fn enter(&mut self, now: Now, arrival: Arrival, entrant: Entrant, claimed: Option<Fresh>) {
        match arrival {
            Arrival::Ousted => self.tell_ousted(now, entrant),
            Arrival::Resuming(key) => self.attach(now, key, entrant, Start::Resume),
            Arrival::Returning(key) => self.attach(now, key, entrant, Start::Restart),
            Arrival::Overfull(_) => {
                let ousted = self.end_overfull(now, arrival);
                self.hub.counters.logged_in(LoginResult::New, entrant.login.abilities);
                let user = self.users.intern(&entrant.user_id);
                let fresh = Fresh { session: self.secrets.session_id(), ousted };
                let key = self.open_session(now, user, &entrant.login, fresh);
                self.log_session(now, key, false);
                self.attach(now, key, entrant, Start::New);
            }
            Arrival::New(old) => {
                let is_takeover =
                    old.and_then(|old| self.hub.sessions.get(old)).is_some_and(|session| session.is_there());
                let mut fresh = claimed
                    .unwrap_or_else(|| Fresh { session: self.secrets.session_id(), ousted: OustedSessions::default() });
                if let Some(old) = old {
                    self.hub.counters.logged_in(LoginResult::Takeover, entrant.login.abilities);
                    fresh.ousted = self.oust(now, old);
                } else {
                    self.hub.counters.logged_in(LoginResult::New, entrant.login.abilities);
                }
                // With its old session gone, nobody may have needed the user any more.
                let user = self.users.intern(&entrant.user_id);
                let key = self.open_session(now, user, &entrant.login, fresh);
                self.log_session(now, key, is_takeover);
                self.attach(now, key, entrant, Start::New);
                self.event_log.is_takeover = false;
            }
        }
    }

    /// Whether the login is good, and for whom. With a token that is over only a client object is let in whose session
    /// has a newer one.
    fn admit(&mut self, now: Now, login: &Login) -> Result<(UserId, Option<TokenLife>), Refusal> {
        if login.app_id != self.config.app_id {
            return Err(ErrorKind::InvalidAppId.into());
        }
        if matches!(login.keep_alive, KeepAlive::Client { interval_ms } if interval_ms > MOST_KEEP_ALIVE_MS) {
            return Err(Refusal::new(ErrorKind::InvalidArgument, "the keep-alive is slower than 20 s"));
        }
        let user_id = match &login.user_id {
            Some(user_id) => user_id.clone(),
            None if self.config.certificates.is_empty() => self.free_user_id(),
            None => return Err(Refusal::new(ErrorKind::InvalidArgument, "the token's user id is needed")),
        };
        self.check_ban(now, &user_id)?;
        let life = match self.authenticate(now, &user_id, login.token.as_ref()) {
            Err(refusal) if refusal.kind == ErrorKind::TokenExpired => {
                let object = self.renewed(now, &user_id).map(Terms::instance);
                object.filter(|object| **object == login.instance).map(|_| Some(TokenLife::OVER)).ok_or(refusal)?
            }
            result => result?,
        };
        Ok((user_id, life))
    }

    /// Whether the project has as many connections beside a user's as it may have, and the user has no session to come back
    /// to. Those whose login waits do not count: they may be waiting for each other.
    pub(super) fn is_full_for(&mut self, user_id: Option<&UserId>, others: usize) -> bool {
        let most = self.config.quotas.max_connections;
        let is_full = most != 0
            && others.saturating_sub(self.logins.waiting.len()) >= most
            && user_id.is_none_or(|user_id| self.session_of(user_id).is_none());
        if is_full {
            self.hub.counters.beyond(Quota::Connections);
        }
        is_full
    }

    pub(super) fn refuse(&mut self, now: Now, conn: ConnId, abilities: Abilities, refusal: Refusal) {
        self.hub.counters.login_refused(refusal.kind, abilities);
        self.hub.send(conn, ServerFrame::Refused(refusal));
        self.hub.close(now, conn, Outgoing::Hangup);
    }

    /// Whether a login would be let in, by its token, by who is banned and by how many are there. Changes nothing.
    ///
    /// # Errors
    ///
    /// What the login would be refused with.
    pub fn check_login(&mut self, now: Now, login: &Login) -> Result<(), Refusal> {
        let now = self.time(now);
        let (user_id, _) = self.admit(now, login)?;
        // A login that would wait is not refused.
        match !login.abilities.gives_up && self.is_full_for(Some(&user_id), self.hub.conns.len()) {
            true => Err(too_many_connections()),
            false => Ok(()),
        }
    }

    /// A random user id that nobody has.
    fn free_user_id(&mut self) -> UserId {
        loop {
            let id = UserId::new(self.secrets.text()).expect("32 hexadecimal digits are a user id");
            if self.users.find(&id).is_none() {
                return id;
            }
        }
    }

    /// What becomes of the session that a user has here.
    pub(super) fn arrival(&mut self, user: UserKey, visitor: Visitor<'_>) -> Arrival {
        let Some(key) = self.users.get(user).and_then(|user| user.session) else { return Arrival::New(None) };
        let Some(session) = self.hub.sessions.get_mut(key) else { return Arrival::New(None) };
        let is_overfull = session.is_beyond_limit(&self.config.settings);
        if let Some(ticket) = visitor.ticket {
            if ticket == (SessionTicket::new(session.id, session.stream.epoch)) {
                return if is_overfull { Arrival::Overfull(key) } else { Arrival::Resuming(key) };
            }
            if session.ousted.tell_resuming(ticket.session) {
                return Arrival::Ousted;
            }
        }
        if session.terms.instance() == visitor.instance {
            return if is_overfull { Arrival::Overfull(key) } else { Arrival::Returning(key) };
        }
        if session.ousted.tell_returning(visitor.instance) {
            return Arrival::Ousted;
        }
        Arrival::New(Some(key))
    }

    /// Ends a session that holds too much for its client to come back to. Gives the sessions that it put an end to.
    fn end_overfull(&mut self, now: Now, arrival: Arrival) -> OustedSessions {
        let Arrival::Overfull(key) = arrival else { return OustedSessions::default() };
        let session = self.hub.sessions.get_mut(key);
        let ousted = session.map(|session| std::mem::take(&mut session.ousted)).unwrap_or_default();
        self.end_session(now, key, CloseReason::SlowConsumer);
        ousted
    }

    /// Ends a session for another client of its user. Gives the sessions whose clients may come back too late.
    fn oust(&mut self, now: Now, key: SessionKey) -> OustedSessions {
        let Some(session) = self.hub.sessions.get_mut(key) else { return OustedSessions::default() };
        let mut ousted = std::mem::take(&mut session.ousted);
        ousted.add(session.id, session.terms.instance().clone(), session.conn.is_some());
        self.end_session(now, key, CloseReason::RemoteLogin);
        ousted
    }

    fn open_session(&mut self, now: Now, user: UserKey, login: &Login, fresh: Fresh) -> SessionKey {
        let (Fresh { session: id, ousted }, hasher) = (fresh, self.hasher.clone());
        let session = Session::new(id, user, now.instant, login, ousted, &self.config.settings, hasher);
        let key = self.hub.sessions.insert(session);
        if let Some(user) = self.users.get_mut(user) {
            user.session = Some(key);
        }
        key
    }

    /// Joins a connection and a session, and tells the client what it has missed.
    fn attach(&mut self, now: Now, key: SessionKey, entrant: Entrant, start: Start) {
        let Entrant { conn, user_id, login, life, .. } = entrant;
        let resume = login.resume.as_ref().filter(|_| start == Start::Resume);
        let Some(session) = self.hub.sessions.get(key) else { return };
        if resume.is_some_and(|resume| !session.stream.knows(resume.received, resume.consumed)) {
            return self.hub.close(now, conn, Outgoing::Close(CloseReason::ProtocolError));
        }
        if let Some(old) = session.conn {
            self.hub.close(now, old, Outgoing::Close(CloseReason::Replaced));
        }
        self.merge_away(key);
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let was_there = session.is_there();
        match start {
            Start::New => self.hub.counters.told_gaps(GapReason::NewSession, usize::from(login.resume.is_some())),
            Start::Resume => self.hub.counters.logged_in(LoginResult::Resumed, login.abilities),
            Start::Restart => self.hub.counters.logged_in(LoginResult::Returned, login.abilities),
        }
        let mut received = Vec::new();
        match start {
            Start::New => {}
            Start::Resume => {
                if let Some(resume) = resume {
                    session.requests.forget_before(resume.answered);
                    // That it is good was checked above.
                    let _ = session.stream.acknowledge(resume.received, resume.consumed);
                    received.extend(std::iter::from_fn(|| session.stream.take_received(resume.received)));
                }
                session.stream.resume(login.window);
            }
            Start::Restart => {
                session.requests.restart();
                if let Some(message_ids) = &mut session.message_ids {
                    message_ids.restart();
                }
                session.stream.restart(login.window);
                session.receipts.restart(&session.stream);
                if !login.abilities.resume {
                    self.await_joins(now, key);
                }
            }
        }
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        session.mail.attach(session.stream.end());
        let resumption = match start {
            Start::Resume if was_there && !session.liveness.has_lapsed() => Resumption::Resumed,
            Start::Resume => Resumption::Lapsed,
            Start::New | Start::Restart => Resumption::New,
        };
        if login.resume.is_some() {
            let result = match resumption {
                Resumption::Resumed => ResumeResult::Resumed,
                Resumption::Lapsed => ResumeResult::Lapsed,
                _ => ResumeResult::NewSession,
            };
            self.hub.counters.came_back(result, session.stream.len());
        }
        session.liveness.begin(now.instant, login.keep_alive);
        session.terms.renew(now, login, life, start == Start::Restart);
        if !session.terms.abilities().resume {
            session.requests.be_forgetful();
        }
        session.set_limit(&self.config.settings);
        session.terms.expect_echo(now.instant, was_there && !session.terms.abilities().resume);
        let welcome = Welcome {
            user_id,
            ticket: Some(SessionTicket::new(session.id, session.stream.epoch)),
            resumption,
            token_expires_in_ms: session.terms.token_left(now.instant),
            server_time_ms: now.unix_ms,
            limits: (self.config.limits != CallLimits::default()).then(|| self.config.limits.clone()),
        };
        session.conn = Some(conn);
        // Sent before the two know each other, so that no event goes before it.
        if !self.provisional.has(conn) {
            self.hub.send(conn, ServerFrame::Welcome(Box::new(welcome)));
        }
        if let Some(conn) = self.hub.conns.get_mut(conn) {
            conn.session = Some(key);
        }
        let mut stored = Vec::new();
        received.into_iter().for_each(|queued| self.settle_note(now, key, queued, &mut stored));
        self.settle_stored(now, key, stored);
        if start != Start::New {
            self.log_return(now, key);
        }
        self.set_state(now, key, PeerOnlineState::Online);
        self.tell_counts(key);
        if start == Start::New {
            self.find_subscriptions(now, key);
        }
        if start != Start::Resume
            && let Some(session) = self.hub.sessions.get_mut(key)
        {
            session.watching.become_older();
        }
        self.tell_states(key, start != Start::Resume);
        self.give_invitations(now, key, start == Start::Restart);
        self.load_offline(now, key);
        if self.edge.is_some() {
            self.plan_rereading(now, key);
        }
        self.hub.arm(key);
        self.release_held_frames(conn);
    }
}

fn too_many_connections() -> Refusal {
    let what = "the project has as many connections as it may have (max_connections)";
    Refusal::new(ErrorKind::TooOften, what)
}

/// When a login is looked at again that waits for another connection to go: as often as the vendor's SDK asks the gateway.
const FULL_PAUSE: Duration = Duration::from_secs(2);
/// How many logins a user may make for each one that one of its client objects may make.
const USER_LOGINS: u32 = 10;
/// How many logins of a user may wait, and how many in all.
const WAITING_OF_USER: usize = 20;
const WAITING: usize = 1024;
/// Room for so many logins is not worth giving back.
const MANY_LOGINS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_that_count_no_longer_take_no_memory() {
        let mut logins = Logins::new(FixedState::with_seed(1));
        let (limit, object) = (CallLimit::new(2, Duration::from_secs(1)), InstanceId::new("object").unwrap());
        let count = |logins: &mut Logins, user: usize, at: u64| {
            logins.count(limit, &UserId::new(format!("user{user}")).unwrap(), &object, Duration::from_millis(at))
        };
        (0..8 * MANY_LOGINS).for_each(|user| count(&mut logins, user, 0).unwrap());
        assert_eq!(count(&mut logins, 7, 500), Ok(()));
        assert_eq!(count(&mut logins, 7, 600), Err(Duration::from_millis(400)));
        logins.forget(limit, Duration::from_millis(1000));
        assert_eq!((logins.by_user.len(), logins.order.len()), (1, 1), "the one at 500 ms counts still");
        assert!(logins.by_user.capacity() <= MANY_LOGINS && logins.order.capacity() <= MANY_LOGINS);
        assert_eq!(count(&mut logins, 7, 1000), Ok(()));
        assert_eq!(count(&mut logins, 7, 1001), Err(Duration::from_millis(499)));
    }
}
