//! The vendor's HTTP requests: each is answered within its time, from the core's memory or from the store.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    ErrorKind, Refusal, RtmMessage, Text, Token, UserId,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest},
};

use super::{
    Core, HttpId, LogKey, Now, Place, StoreAnswer, StoreFailed, StoreWork,
    arena::SessionKey,
    auth::authenticate,
    jobs::{Waiting, history_page},
    timer::Due,
};

/// The HTTP requests of a project.
#[derive(Debug, Default)]
pub(super) struct Http {
    next: u64,
    /// Those that wait for the store.
    open: BTreeMap<HttpId, Asked>,
    answers: Vec<(HttpId, GatewayAnswer)>,
    /// The stored messages in answers that are on their way to their receivers.
    handed_out: BTreeMap<HttpId, (UserId, Vec<Place>)>,
}

/// What a request waits for.
#[derive(Debug)]
enum Asked {
    /// The messages that are stored for a user.
    Stored(UserId),
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
        self.http.next += 1;
        let id = HttpId(self.http.next);
        match self.answer_or_read(now, id, request) {
            Ok(Some(answer)) => self.http.answers.push((id, answer)),
            Ok(None) => {}
            Err(refusal) => self.http.answers.push((id, GatewayAnswer::Refused(refusal.kind))),
        }
        id
    }

    /// Appends the answers to HTTP requests that are ready.
    pub fn take_http_answers(&mut self, answers: &mut Vec<(HttpId, GatewayAnswer)>) {
        answers.append(&mut self.http.answers);
    }

    /// The client has the answer: the stored messages in it, if any, are removed. Those in an answer that was lost
    /// stay stored.
    pub fn http_answer_taken(&mut self, id: HttpId) {
        if let Some((user_id, places)) = self.http.handed_out.remove(&id)
            && !places.is_empty()
        {
            self.jobs.tell(StoreWork::Remove { log: LogKey::Stored(user_id), places });
        }
    }

    /// Answers a request, or has the store read what its answer needs.
    fn answer_or_read(
        &mut self,
        now: Now,
        id: HttpId,
        request: GatewayRequest,
    ) -> Result<Option<GatewayAnswer>, Refusal> {
        if self.is_draining {
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
            GatewayRequest::OfflineMessages { caller } => {
                let key = self.callers_session(&caller)?;
                let is_fetched = self.hub.sessions.get_mut(key).is_none_or(|session| session.mail.fetch());
                if !is_fetched {
                    return Ok(Some(GatewayAnswer::OfflineMessages(Vec::new())));
                }
                let work = self.stored_messages(now, caller.user_id.clone(), None, STORED_BYTES);
                (Asked::Stored(caller.user_id), work)
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

    /// The store has read what an answer needs, or failed to. It may be too late.
    pub(super) fn http_read(&mut self, now: Now, id: HttpId, read: Result<StoreAnswer, StoreFailed>) {
        let Some(asked) = self.http.open.remove(&id) else { return };
        if read.is_err() {
            self.not_fetched(now, &asked);
        }
        let answer = match asked {
            Asked::History => history_page(read).map(GatewayAnswer::History).ok(),
            Asked::Stored(user_id) => read.ok().and_then(StoreAnswer::into_messages).map(|(messages, _)| {
                // The wire cannot carry a binary message: it stays for another login.
                let readable =
                    messages.into_iter().filter(|(_, message)| !matches!(message.message, RtmMessage::Binary(_)));
                let (places, messages) = readable.map(|(place, message)| (place, message.into_peer_message())).unzip();
                if self.http.handed_out.len() >= HANDED_OUT {
                    // The oldest answer was hardly taken: its messages stay stored.
                    self.http.handed_out.pop_first();
                }
                self.http.handed_out.insert(id, (user_id, places));
                GatewayAnswer::OfflineMessages(messages)
            }),
        };
        let answer = answer.unwrap_or(GatewayAnswer::Refused(ErrorKind::Failure));
        self.http.answers.push((id, answer));
    }

    /// The time of a request is over.
    pub(super) fn http_due(&mut self, now: Now, id: HttpId) {
        if let Some(asked) = self.http.open.remove(&id) {
            self.not_fetched(now, &asked);
            self.http.answers.push((id, GatewayAnswer::Refused(ErrorKind::Failure)));
        }
    }

    /// A request gets no answer but a failure. If it was for stored messages, they are yet to be fetched.
    fn not_fetched(&mut self, now: Now, asked: &Asked) {
        if let Asked::Stored(user_id) = asked
            && let Some(key) = self.session_of(user_id)
            && let Some(session) = self.hub.sessions.get_mut(key).filter(|session| session.conn.is_some())
        {
            session.mail.fetch_failed(now.instant);
            self.hub.arm(key);
        }
    }
}

/// How long a request waits for the store: its client waits for 10 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);
/// More than all messages that may wait for one user.
const STORED_BYTES: usize = 64 * 1024 * 1024;
/// How many answers may be on their way with stored messages.
const HANDED_OUT: usize = 1024;
