//! The vendor's HTTP requests: each is answered within its time, from the core's memory or from the store.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    ErrorKind, Refusal, RtmMessage, Text, Token, UserId,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest, StoredPage, StoredQuery},
};

use super::{
    Core, HttpId, Now, Place, StoreAnswer, StoreFailed, StoreWork, StoredMessage,
    arena::SessionKey,
    cluster::NodeId,
    far_requests::{Elsewhere, FarRequests},
    handed_out::{Confirmation, HandedOut},
    jobs::{Waiting, history_page},
    offline::take_repeated,
    timer::Due,
};

/// The HTTP requests of a project.
#[derive(Debug, Default)]
pub(super) struct Http {
    next: u64,
    /// Those that wait.
    open: BTreeMap<HttpId, Asked>,
    answers: Vec<(HttpId, Result<GatewayAnswer, Refusal>)>,
    pub(super) handed_out: HandedOut,
    pub(super) far: FarRequests,
}

/// What a request waits for.
#[derive(Debug)]
pub(super) enum Asked {
    /// The store, for a page of the messages that are stored for the client's user, or all of them.
    Stored { owner: Owner, is_page: bool },
    /// The store, for a page of history.
    History,
    /// The node that has the client's session.
    Elsewhere(Box<Elsewhere>),
    /// The same, which is to take note of what is given: its client may log out as soon as it has it.
    Noted(NodeId, Box<StoredPage>),
}

/// Where the session of a request's client is.
#[derive(Debug)]
pub(super) enum Owner {
    Here(SessionKey),
    Elsewhere(NodeId),
}

impl Http {
    /// The number of a request.
    pub(super) fn number(&mut self) -> HttpId {
        self.next += 1;
        HttpId(self.next)
    }

    pub(super) fn wait(&mut self, id: HttpId, asked: Asked) {
        self.open.insert(id, asked);
    }

    pub(super) fn take(&mut self, id: HttpId) -> Option<Asked> {
        self.open.remove(&id)
    }

    pub(super) fn answer(&mut self, id: HttpId, answer: Result<GatewayAnswer, Refusal>) {
        self.answers.push((id, answer));
    }

    /// How many wait for other nodes.
    pub(super) fn elsewhere(&self) -> usize {
        self.open.values().filter(|asked| matches!(asked, Asked::Elsewhere(_))).count()
    }
}

impl Core {
    /// Takes in a request of the vendor's HTTP endpoints. [`take_http_answers`](Self::take_http_answers) gives its
    /// answer, at once or when the store has read what it needs, at most 9 s later.
    ///
    /// The core knows no address: the answer to [`GatewayRequest::Connect`] comes without any, and the shell adds
    /// those where its clients reach it.
    pub fn ask(&mut self, came: Now, request: GatewayRequest) -> HttpId {
        let now = self.time(came);
        let id = self.http.number();
        match self.answer_or_read(now, id, request) {
            Ok(Some(answer)) => self.http.answers.push((id, Ok(answer))),
            Ok(None) => {}
            Err(refusal) => self.http.answers.push((id, Err(refusal))),
        }
        self.take_released_frames(came);
        id
    }

    /// Appends the answers to HTTP requests that are ready. A request that is refused is answered with
    /// [`GatewayAnswer::Refused`]; the detail of the refusal is for the server's log.
    pub fn take_http_answers(&mut self, answers: &mut Vec<(HttpId, Result<GatewayAnswer, Refusal>)>) {
        answers.append(&mut self.http.answers);
    }

    /// Answers a request, or has the store read what its answer needs.
    fn answer_or_read(
        &mut self,
        now: Now,
        id: HttpId,
        request: GatewayRequest,
    ) -> Result<Option<GatewayAnswer>, Refusal> {
        if self.is_draining || self.is_outside {
            return Ok(Some(GatewayAnswer::TryAgain));
        }
        if *request.app_id() != self.config.app_id {
            return Err(ErrorKind::InvalidAppId.into());
        }
        if let GatewayRequest::OfflineMessages { caller, page: None } = &request
            && self.log_in_after_all(now, caller)
        {
            // Its messages come as events, once it is let in.
            return Ok(Some(GatewayAnswer::OfflineMessages(StoredPage::default())));
        }
        let (asked, work) = match request {
            GatewayRequest::OfflineMessages { ref caller, .. } | GatewayRequest::History { ref caller, .. }
                if self.edge.is_some() && self.session_of(&caller.user_id).is_none() =>
            {
                let user_id = caller.user_id.clone();
                let asked = self.ask_elsewhere(id, &user_id, request)?;
                self.http.wait(id, asked);
                self.hub.timers.push(now.instant + ANSWER_WITHIN, Due::Http(id));
                return Ok(None);
            }
            GatewayRequest::Connect { user_id, token, .. } => {
                let session = self.gateway_session(now, user_id.as_ref(), token.as_ref())?;
                // The SDK asks again. A login that is refused later on it would take for the end.
                if self.is_full_for(user_id.as_ref(), self.hub.conns.len()) {
                    return Ok(Some(GatewayAnswer::TryAgain));
                }
                return Ok(Some(GatewayAnswer::Connect { session, addresses: Vec::new() }));
            }
            GatewayRequest::OfflineMessages { caller, page } => {
                let session = self.callers_session(&caller)?;
                let after = page.and_then(|page| page.after).map(Place::from);
                if !self.may_fetch(now, session, after) {
                    return Ok(Some(GatewayAnswer::OfflineMessages(StoredPage::default())));
                }
                self.read_stored(now, caller.user_id, page, Owner::Here(session))
            }
            GatewayRequest::History { caller, query } => {
                let session = self.callers_session(&caller)?;
                self.may_query(now, session, &query)?;
                (Asked::History, self.history_work(now, caller.user_id, &query)?)
            }
            // What is added to the protocol has to be added here.
            _ => return Err(ErrorKind::Unsupported.into()),
        };
        self.read_for_request(id, asked, work);
        self.hub.timers.push(now.instant + ANSWER_WITHIN, Due::Http(id));
        Ok(None)
    }

    /// The store is to read what the answer to a request needs.
    pub(super) fn read_for_request(&mut self, id: HttpId, asked: Asked, work: StoreWork) {
        self.http.wait(id, asked);
        self.jobs.ask(work, Waiting::Http(id));
    }

    /// A client asks for its stored messages, and has those up to a place. Says whether there may be some for it.
    pub(super) fn may_fetch(&mut self, now: Now, session: SessionKey, after: Option<Place>) -> bool {
        match after {
            Some(after) => self.confirm_page(session, after),
            None => self.asked_for_stored(now, session),
        }
        let Some(mail) = self.hub.sessions.get_mut(session).map(|session| &mut session.mail) else { return true };
        if mail.fetch(now.instant) {
            return true;
        }
        // It gets its messages as events now, also those that it was handed out before and has to ask for again.
        if self.http.handed_out.forget(session) {
            mail.read_again();
        }
        false
    }

    /// What the store is to read for a client that asks for its stored messages.
    pub(super) fn read_stored(
        &self,
        now: Now,
        user_id: UserId,
        page: Option<StoredQuery>,
        owner: Owner,
    ) -> (Asked, StoreWork) {
        let (limit, max_bytes) = match page {
            None => (usize::MAX, STORED_BYTES),
            Some(StoredQuery { limit, .. }) => (limit as usize, PAGE_BYTES),
        };
        let after = page.and_then(|page| page.after).map(Place::from);
        let work = self.stored_messages(now, user_id, after, limit, max_bytes);
        (Asked::Stored { owner, is_page: page.is_some() }, work)
    }

    /// The session id for a user that may log in. `None` is a user whose id an open project chooses at login.
    fn gateway_session(&mut self, now: Now, user_id: Option<&UserId>, token: Option<&Token>) -> Result<Text, Refusal> {
        match user_id {
            Some(user_id) => {
                self.check_ban(now, user_id)?;
                match self.authenticate(now, user_id, token) {
                    // The SDK shows the token that it logged in with first, whatever it has renewed since. The login
                    // decides whether it is the client of that session; until then the id opens nothing.
                    Err(refusal) if refusal.kind == ErrorKind::TokenExpired && self.renewed(now, user_id).is_some() => {
                    }
                    result => drop(result?),
                }
            }
            None if self.config.certificates.is_empty() => {}
            None => return Err(Refusal::new(ErrorKind::InvalidArgument, "the token's user id is needed")),
        }
        Ok(Text::from(self.secrets.text()))
    }

    /// The session that a caller proves to be its own.
    pub(super) fn callers_session(&self, caller: &Caller) -> Result<SessionKey, Refusal> {
        let is_callers = |key: &SessionKey| {
            let session = self.hub.sessions.get(*key).filter(|session| session.is_there());
            session.is_some_and(|session| session.terms.is_gateway_session(&caller.session))
        };
        self.session_of(&caller.user_id).filter(is_callers).ok_or_else(|| ErrorKind::NotLoggedIn.into())
    }

    /// Nobody has what requests wait for: their clients are to try it elsewhere, or later.
    pub(super) fn forget_requests(&mut self) {
        let open = std::mem::take(&mut self.http.open);
        self.http.answers.extend(open.into_keys().map(|id| (id, Ok(GatewayAnswer::TryAgain))));
        self.http.handed_out = HandedOut::default();
        self.http.far = FarRequests::default();
        self.forget_back_end();
    }

    /// The store has read what an answer needs, or failed to. It may be too late.
    pub(super) fn http_read(&mut self, now: Now, id: HttpId, read: Result<StoreAnswer, StoreFailed>) {
        let Some(asked) = self.http.open.remove(&id) else { return };
        if read.is_err() {
            self.not_fetched(now, id, &asked);
        }
        let answer = match asked {
            Asked::History => history_page(read).map(GatewayAnswer::History),
            Asked::Stored { owner, is_page } => match read.ok().and_then(StoreAnswer::into_messages) {
                Some((messages, more)) => return self.hand_out(id, owner, is_page, messages, more),
                None => Err(Refusal::new(ErrorKind::Failure, "the server could not read the stored messages")),
            },
            // These do not wait for the store.
            Asked::Elsewhere(_) | Asked::Noted(..) => Err(ErrorKind::Failure.into()),
        };
        self.http.answers.push((id, answer));
    }

    /// Stored messages for a session's user, which are removed when the client is known to have them.
    fn hand_out(
        &mut self,
        id: HttpId,
        owner: Owner,
        is_page: bool,
        mut messages: Vec<(Place, StoredMessage)>,
        more: bool,
    ) {
        let last = messages.last().map(|(place, _)| *place);
        let mut repeated = if self.edge.is_some() { take_repeated(&mut messages) } else { Vec::new() };
        // The wire cannot carry a binary message: it stays for another login.
        let readable = messages.into_iter().filter(|(_, message)| !matches!(message.message, RtmMessage::Binary(_)));
        let (mut places, messages): (Vec<_>, Vec<_>) =
            readable.map(|(place, message)| (place, message.into_peer_message())).unzip();
        places.append(&mut repeated);
        let next = last.filter(|_| is_page && (more || !places.is_empty())).map(Into::into);
        let page = StoredPage { messages, next };
        match owner {
            Owner::Here(session) => {
                self.account_for(session, id, is_page, places);
                self.http.answer(id, Ok(GatewayAnswer::OfflineMessages(page)));
            }
            Owner::Elsewhere(node) => self.give_elsewhere(id, node, is_page, &places, page),
        }
    }

    /// A session's client is given the stored messages at these places.
    pub(super) fn account_for(&mut self, session: SessionKey, answer: HttpId, is_page: bool, places: Vec<Place>) {
        let conn = self.hub.sessions.get(session).and_then(|session| session.conn);
        if let Some(user_id) = self.user_id_of(session) {
            let how = if is_page { Confirmation::NextPage } else { Confirmation::Signs { answer, conn } };
            self.http.handed_out.add(session, user_id, places, how);
        }
    }

    /// The time of a request is over.
    pub(super) fn http_due(&mut self, now: Now, id: HttpId) {
        if let Some(asked) = self.http.open.remove(&id) {
            self.not_fetched(now, id, &asked);
            let what = match asked {
                Asked::Elsewhere(_) | Asked::Noted(..) => "the node of the session did not answer in time",
                Asked::Stored { .. } | Asked::History => "the server's store did not answer in time",
            };
            let refusal = Refusal::new(ErrorKind::Failure, what);
            self.http.answers.push((id, Err(refusal)));
        }
    }

    /// A request gets no answer but a failure. If it was for stored messages, they are yet to be fetched.
    fn not_fetched(&mut self, now: Now, id: HttpId, asked: &Asked) {
        match asked {
            Asked::Stored { owner: Owner::Here(session), .. } => self.fetch_failed(now, *session),
            Asked::Stored { owner: Owner::Elsewhere(node), .. } | Asked::Noted(node, _) => {
                self.not_given_elsewhere(id, node);
            }
            Asked::History | Asked::Elsewhere(_) => {}
        }
    }

    /// A client did not get its stored messages.
    pub(super) fn fetch_failed(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.hub.sessions.get_mut(key).filter(|session| session.conn.is_some()) {
            session.mail.await_fetch(now.instant);
            self.hub.arm(key);
        }
    }
}

/// How long a request waits for the store: its client waits for 10 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);
/// More than all messages that may wait for one user.
const STORED_BYTES: usize = 64 * 1024 * 1024;
/// What a page of stored messages has at most, but for its last one: what is lost with a connection comes again.
const PAGE_BYTES: usize = 128 * 1024;
