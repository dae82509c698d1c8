//! The vendor's HTTP requests: each is answered within its time, from the core's memory or from the store.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    ErrorKind, Refusal, RtmMessage, Text, Token, UserId,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest, StoredPage, StoredQuery},
};

use super::{
    Core, HttpId, Now, Place, StoreAnswer, StoreFailed, StoredMessage,
    arena::SessionKey,
    auth::authenticate,
    handed_out::{Confirmation, HandedOut},
    jobs::{Waiting, history_page},
    timer::Due,
};

/// The HTTP requests of a project.
#[derive(Debug, Default)]
pub(super) struct Http {
    next: u64,
    /// Those that wait for the store.
    open: BTreeMap<HttpId, Asked>,
    answers: Vec<(HttpId, Result<GatewayAnswer, Refusal>)>,
    pub(super) handed_out: HandedOut,
}

/// What a request waits for.
#[derive(Debug)]
enum Asked {
    /// A page of the messages that are stored for the session's user, or all of them.
    Stored { session: SessionKey, is_page: bool },
    /// A page of history.
    History,
}

impl Core {
    /// Takes in a request of the vendor's HTTP endpoints. [`take_http_answers`](Self::take_http_answers) gives its
    /// answer, at once or when the store has read what it needs, at most 9 s later.
    ///
    /// The core knows no address: the answer to [`GatewayRequest::Connect`] comes without any, and the shell adds
    /// those where its clients reach it.
    pub fn ask(&mut self, now: Now, request: GatewayRequest) -> HttpId {
        let now = self.time(now);
        self.http.next += 1;
        let id = HttpId(self.http.next);
        match self.answer_or_read(now, id, request) {
            Ok(Some(answer)) => self.http.answers.push((id, Ok(answer))),
            Ok(None) => {}
            Err(refusal) => self.http.answers.push((id, Err(refusal))),
        }
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
        let (asked, work) = match request {
            GatewayRequest::Connect { user_id, token, .. } => {
                let session = self.gateway_session(now, user_id.as_ref(), token.as_ref())?;
                return Ok(Some(GatewayAnswer::Connect { session, addresses: Vec::new() }));
            }
            GatewayRequest::OfflineMessages { caller, page } => {
                let session = self.callers_session(&caller)?;
                let after = page.and_then(|page| page.after).map(Place::from);
                if let Some(after) = after {
                    self.confirm_page(session, after);
                }
                let is_fetched = self.hub.sessions.get_mut(session).is_none_or(|session| session.mail.fetch());
                if !is_fetched {
                    return Ok(Some(GatewayAnswer::OfflineMessages(StoredPage::default())));
                }
                let (limit, max_bytes) = match page {
                    None => (usize::MAX, STORED_BYTES),
                    Some(StoredQuery { limit, .. }) => (limit as usize, PAGE_BYTES),
                };
                let work = self.stored_messages(now, caller.user_id, after, limit, max_bytes);
                (Asked::Stored { session, is_page: page.is_some() }, work)
            }
            GatewayRequest::History { caller, query } => {
                let key = self.callers_session(&caller)?;
                self.check_limit(now, key, &query.clone().into())?;
                (Asked::History, self.history_work(now, key, &query)?)
            }
            // What is added to the protocol has to be added here.
            _ => return Err(ErrorKind::Unsupported.into()),
        };
        self.http.open.insert(id, asked);
        self.jobs.ask(work, Waiting::Http(id));
        self.hub.timers.push(now.instant + ANSWER_WITHIN, Due::Http(id));
        Ok(None)
    }

    /// The session id for a user that may log in. `None` is a user whose id an open project chooses at login.
    fn gateway_session(&mut self, now: Now, user_id: Option<&UserId>, token: Option<&Token>) -> Result<Text, Refusal> {
        match user_id {
            Some(user_id) => {
                self.check_ban(now, user_id)?;
                match authenticate(&self.config, now, user_id, token) {
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
    fn callers_session(&self, caller: &Caller) -> Result<SessionKey, Refusal> {
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
    }

    /// The store has read what an answer needs, or failed to. It may be too late.
    pub(super) fn http_read(&mut self, now: Now, id: HttpId, read: Result<StoreAnswer, StoreFailed>) {
        let Some(asked) = self.http.open.remove(&id) else { return };
        if read.is_err() {
            self.not_fetched(now, &asked);
        }
        let answer = match asked {
            Asked::History => history_page(read).map(GatewayAnswer::History),
            Asked::Stored { session, is_page } => read
                .ok()
                .and_then(StoreAnswer::into_messages)
                .map(|(messages, more)| self.hand_out(id, session, is_page, messages, more))
                .ok_or_else(|| Refusal::new(ErrorKind::Failure, "the server could not read the stored messages")),
        };
        self.http.answers.push((id, answer));
    }

    /// Stored messages for a session's user, which are removed when the client is known to have them.
    fn hand_out(
        &mut self,
        id: HttpId,
        session: SessionKey,
        is_page: bool,
        messages: Vec<(Place, StoredMessage)>,
        more: bool,
    ) -> GatewayAnswer {
        let last = messages.last().map(|(place, _)| *place);
        // The wire cannot carry a binary message: it stays for another login.
        let readable = messages.into_iter().filter(|(_, message)| !matches!(message.message, RtmMessage::Binary(_)));
        let (places, messages): (Vec<_>, Vec<_>) =
            readable.map(|(place, message)| (place, message.into_peer_message())).unzip();
        let next = last.filter(|_| is_page && (more || !places.is_empty())).map(Into::into);
        let conn = self.hub.sessions.get(session).and_then(|session| session.conn);
        if let Some(user_id) = self.user_id_of(session) {
            let how = if is_page { Confirmation::NextPage } else { Confirmation::Signs { answer: id, conn } };
            self.http.handed_out.add(session, user_id, places, how);
        }
        GatewayAnswer::OfflineMessages(StoredPage { messages, next })
    }

    /// The time of a request is over.
    pub(super) fn http_due(&mut self, now: Now, id: HttpId) {
        if let Some(asked) = self.http.open.remove(&id) {
            self.not_fetched(now, &asked);
            let refusal = Refusal::new(ErrorKind::Failure, "the server's store did not answer in time");
            self.http.answers.push((id, Err(refusal)));
        }
    }

    /// A request gets no answer but a failure. If it was for stored messages, they are yet to be fetched.
    fn not_fetched(&mut self, now: Now, asked: &Asked) {
        if let Asked::Stored { session, .. } = asked {
            self.fetch_failed(now, *session);
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
