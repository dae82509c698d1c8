//! Logging in: who comes, what becomes of the session that the user has, and what the client is told first.

use std::{collections::VecDeque, time::Duration};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rtm_codec::{
    CallLimiter, CallLimits, CloseReason, ErrorKind, KeepAlive, LimitedCall, Login, PeerOnlineState, Refusal, Resume,
    Resumption, ServerFrame, SessionTicket, UserId, Welcome,
};

use super::{
    ConnId, Core, Now, Outgoing,
    arena::{SessionKey, UserKey},
    auth::{TokenLife, authenticate},
    liveness::MOST_KEEP_ALIVE_MS,
    ousted::OustedSessions,
    session::Session,
};

/// How often each user logs in.
#[derive(Debug)]
pub(super) struct Logins {
    by_user: HashMap<UserId, CallLimiter, FixedState>,
    /// In the order of the logins, to forget them.
    order: VecDeque<(Duration, UserId)>,
}

impl Logins {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { by_user: HashMap::with_hasher(hasher), order: VecDeque::new() }
    }

    fn check(&mut self, limits: &CallLimits, user_id: &UserId, now: Duration) -> Result<(), Refusal> {
        let limit = limits.get(LimitedCall::Login);
        if limit.calls == 0 {
            return Ok(());
        }
        let window = Duration::from_millis(limit.per_ms.into());
        while let Some((at, earlier)) = self.order.front()
            && *at + window <= now
        {
            if self.by_user.get(earlier).is_some_and(|limiter| limiter.is_idle(limit, now)) {
                self.by_user.remove(earlier);
            }
            self.order.pop_front();
        }
        self.by_user.entry(user_id.clone()).or_default().try_call(limit, now).map_err(Refusal::too_often)?;
        self.order.push_back((now, user_id.clone()));
        Ok(())
    }
}

/// A connection with a good login.
#[derive(Debug)]
struct Entrant {
    conn: ConnId,
    user_id: UserId,
    login: Login,
    life: Option<TokenLife>,
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
enum Arrival {
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
    pub(super) fn login(&mut self, now: Now, conn: ConnId, login: Login) {
        if self.is_draining {
            return self.hub.close(now, conn, Outgoing::Close(CloseReason::Draining));
        }
        let (user_id, life) = match self.admit(now, &login) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.refuse(now, conn, refusal),
        };
        let user = self.users.intern(&user_id);
        let arrival = self.arrival(user, &login);
        if !matches!(arrival, Arrival::Resuming(_) | Arrival::Ousted)
            && let Err(refusal) = self.logins.check(&self.config.limits, &user_id, self.since_start(now))
        {
            self.users.release(user);
            return self.refuse(now, conn, refusal);
        }
        let entrant = Entrant { conn, user_id, login, life };
        match arrival {
            Arrival::Ousted => self.hub.close(now, conn, Outgoing::Close(CloseReason::RemoteLogin)),
            Arrival::Resuming(key) => self.attach(now, key, entrant, Start::Resume),
            Arrival::Returning(key) => self.attach(now, key, entrant, Start::Restart),
            Arrival::Overfull(key) => {
                let session = self.hub.sessions.get_mut(key);
                let ousted = session.map(|session| std::mem::take(&mut session.ousted)).unwrap_or_default();
                self.end_session(now, key, CloseReason::SlowConsumer);
                let user = self.users.intern(&entrant.user_id);
                let key = self.open_session(now, user, &entrant.login, ousted);
                self.attach(now, key, entrant, Start::New);
            }
            Arrival::New(old) => {
                let ousted = old.map(|old| self.oust(now, old)).unwrap_or_default();
                // With its old session gone, nobody may have needed the user any more.
                let user = self.users.intern(&entrant.user_id);
                let key = self.open_session(now, user, &entrant.login, ousted);
                self.attach(now, key, entrant, Start::New);
            }
        }
    }

    /// Whether the login is good, and for whom.
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
        let life = authenticate(&self.config, now, &user_id, login.token.as_ref())?;
        Ok((user_id, life))
    }

    fn refuse(&mut self, now: Now, conn: ConnId, refusal: Refusal) {
        self.hub.send(conn, ServerFrame::Refused(refusal));
        self.hub.close(now, conn, Outgoing::Hangup);
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

    fn arrival(&mut self, user: UserKey, login: &Login) -> Arrival {
        let Some(key) = self.users.get(user).and_then(|user| user.session) else { return Arrival::New(None) };
        let Some(session) = self.hub.sessions.get_mut(key) else { return Arrival::New(None) };
        let is_overfull = session.is_beyond_limit(&self.config.settings);
        if let Some(Resume { ticket, .. }) = &login.resume {
            if *ticket == (SessionTicket { session: session.id, epoch: session.stream.epoch }) {
                return if is_overfull { Arrival::Overfull(key) } else { Arrival::Resuming(key) };
            }
            if session.ousted.tell_resuming(ticket.session) {
                return Arrival::Ousted;
            }
        }
        if *session.terms.instance() == login.instance {
            return if is_overfull { Arrival::Overfull(key) } else { Arrival::Returning(key) };
        }
        if session.ousted.tell_returning(&login.instance) {
            return Arrival::Ousted;
        }
        Arrival::New(Some(key))
    }

    /// Ends a session for another client of its user. Gives the sessions whose clients may come back too late.
    fn oust(&mut self, now: Now, key: SessionKey) -> OustedSessions {
        let Some(session) = self.hub.sessions.get_mut(key) else { return OustedSessions::default() };
        let mut ousted = std::mem::take(&mut session.ousted);
        ousted.add(session.id, session.terms.instance().clone(), session.conn.is_some());
        self.end_session(now, key, CloseReason::RemoteLogin);
        ousted
    }

    fn open_session(&mut self, now: Now, user: UserKey, login: &Login, ousted: OustedSessions) -> SessionKey {
        let (id, hasher) = (self.secrets.session_id(), self.hasher.clone());
        let session = Session::new(id, user, now.instant, login, ousted, &self.config.settings, hasher);
        let key = self.hub.sessions.insert(session);
        if let Some(user) = self.users.get_mut(user) {
            user.session = Some(key);
        }
        key
    }

    /// Joins a connection and a session, and tells the client what it has missed.
    fn attach(&mut self, now: Now, key: SessionKey, entrant: Entrant, start: Start) {
        let Entrant { conn, user_id, login, life } = entrant;
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
        let mut done = std::mem::take(&mut self.done);
        match start {
            Start::New => {}
            Start::Resume => {
                if let Some(resume) = resume {
                    session.requests.forget_before(resume.answered);
                    // That it is good was checked above.
                    let _ = session.stream.acknowledge(resume.received, resume.consumed, &mut done);
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
            }
        }
        session.mail.attach(session.stream.end());
        let resumption = match start {
            Start::Resume if was_there && !session.liveness.has_lapsed() => Resumption::Resumed,
            Start::Resume => Resumption::Lapsed,
            Start::New | Start::Restart => Resumption::New,
        };
        session.liveness.begin(now.instant, login.keep_alive);
        session.terms.renew(now, login, life);
        if !session.terms.abilities().resume {
            session.requests.be_forgetful();
        }
        session.set_limit(&self.config.settings);
        let repeats_attributes =
            session.terms.abilities().repeats_attributes && self.config.settings.keep_attributes_on_return;
        session.terms.expect_echo(now.instant, was_there && repeats_attributes);
        let welcome = Welcome {
            user_id,
            ticket: Some(SessionTicket { session: session.id, epoch: session.stream.epoch }),
            resumption,
            token_expires_in_ms: life.map(|life| life.ends_at_ms.saturating_sub(now.unix_ms)),
            server_time_ms: now.unix_ms,
            limits: (self.config.limits != CallLimits::default()).then(|| self.config.limits.clone()),
        };
        session.conn = Some(conn);
        // Sent before the two know each other, so that no event goes before it.
        self.hub.send(conn, ServerFrame::Welcome(Box::new(welcome)));
        if let Some(conn) = self.hub.conns.get_mut(conn) {
            conn.session = Some(key);
        }
        self.settle_notes(now, key, &mut done);
        self.done = done;
        self.set_state(now, key, PeerOnlineState::Online);
        self.tell_counts(key);
        self.tell_states(key, start != Start::Resume);
        self.give_invitations(key, start == Start::Restart);
        self.load_offline(now, key);
        self.hub.arm(key);
    }
}
