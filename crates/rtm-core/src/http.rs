//! What the vendor's HTTP endpoints ask the core: the gateway, stored messages and history.

use std::collections::BTreeMap;

use rtm_codec::{ErrorKind, QueryHistory, Refusal, Text, Token, UserId};

use super::{
    Core, HttpAnswer, HttpId, Now, OfflineId, StoreAnswer, StoreFailed, StoreWork, arena::SessionKey,
    auth::authenticate, jobs::Waiting,
};

/// HTTP requests that wait for the store, and messages that are on their way to their receiver.
#[derive(Debug, Default)]
pub(super) struct Http {
    next: u64,
    answers: Vec<(HttpId, Result<HttpAnswer, Refusal>)>,
    handed_out: BTreeMap<HttpId, (UserId, Vec<OfflineId>)>,
}

impl Http {
    fn begin(&mut self) -> HttpId {
        self.next += 1;
        HttpId(self.next)
    }

    pub(super) fn answer(&mut self, id: HttpId, answer: Result<HttpAnswer, Refusal>) {
        self.answers.push((id, answer));
    }

    /// Remembers which messages an answer holds. One that is never handed out is forgotten in time: its messages
    /// stay stored.
    pub(super) fn hand_out(&mut self, id: HttpId, of: UserId, ids: Vec<OfflineId>) {
        if self.handed_out.len() >= HANDED_OUT {
            self.handed_out.pop_first();
        }
        self.handed_out.insert(id, (of, ids));
    }
}

impl Core {
    /// The vendor's gateway request: may this user log in, and if so with which session id. `None` for a user id
    /// that an open project chooses at login.
    ///
    /// # Errors
    ///
    /// What a login would be refused with: a bad or expired token, a ban.
    pub fn gateway(&mut self, now: Now, user_id: Option<&UserId>, token: Option<&Token>) -> Result<Text, Refusal> {
        match user_id {
            Some(user_id) => {
                self.check_ban(now, user_id)?;
                authenticate(&self.config, now, user_id, token)?;
            }
            None if self.config.certificates.is_empty() => {}
            None => return Err(Refusal::new(ErrorKind::InvalidArgument, "the token's user id is needed")),
        }
        Ok(Text::from(self.secrets.text()))
    }

    /// The vendor's request for the messages that waited for a user. `session` is what
    /// [`gateway`](Self::gateway) gave and the user's login named.
    ///
    /// # Errors
    ///
    /// [`NotLoggedIn`](rtm_codec::ErrorKind::NotLoggedIn) when it is not this user's session.
    pub fn take_offline(&mut self, now: Now, user_id: &UserId, session: &str) -> Result<HttpId, Refusal> {
        self.caller(user_id, session)?;
        let http = self.http.begin();
        let not_before = self.config.settings.oldest_offline(now);
        let work = StoreWork::LoadOffline { of: user_id.clone(), after: None, not_before, max_bytes: HTTP_BYTES };
        self.jobs.ask(work, Waiting::HttpOffline { http, of: user_id.clone() });
        Ok(http)
    }

    /// The messages of a [`HttpAnswer::Offline`] were handed out and are removed.
    pub fn offline_taken(&mut self, id: HttpId) {
        if let Some((of, ids)) = self.http.handed_out.remove(&id)
            && !ids.is_empty()
        {
            self.jobs.tell(StoreWork::RemoveOffline { of, ids });
        }
    }

    /// The vendor's requests for history, authorised as [`take_offline`](Self::take_offline) is.
    ///
    /// # Errors
    ///
    /// As the same query on a connection, and
    /// [`NotLoggedIn`](rtm_codec::ErrorKind::NotLoggedIn) when it is not this user's session.
    pub fn query_history(
        &mut self,
        now: Now,
        user_id: &UserId,
        session: &str,
        query: &QueryHistory,
    ) -> Result<HttpId, Refusal> {
        let key = self.caller(user_id, session)?;
        self.check_limit(now, key, &query.clone().into())?;
        let work = self.history_work(now, key, query)?;
        let http = self.http.begin();
        self.jobs.ask(work, Waiting::HttpHistory(http));
        Ok(http)
    }

    pub(super) fn http_history_loaded(&mut self, http: HttpId, read: Result<StoreAnswer, StoreFailed>) {
        let answer = match read {
            Ok(StoreAnswer::History(page)) => Ok(HttpAnswer::History(page)),
            _ => Err(Refusal::new(ErrorKind::Failure, "the server could not read the history")),
        };
        self.http.answer(http, answer);
    }

    /// Appends the answers to HTTP requests that are ready.
    pub fn take_http_answers(&mut self, answers: &mut Vec<(HttpId, Result<HttpAnswer, Refusal>)>) {
        answers.append(&mut self.http.answers);
    }

    /// The session of a user that an HTTP request proves to be its own.
    fn caller(&self, user_id: &UserId, session: &str) -> Result<SessionKey, Refusal> {
        let is_caller = |key: &SessionKey| {
            let found = self.hub.sessions.get(*key);
            found.is_some_and(|found| found.is_there() && found.terms.is_gateway_session(session))
        };
        self.session_of(user_id).filter(is_caller).ok_or_else(|| ErrorKind::NotLoggedIn.into())
    }
}

/// More than all messages that may wait for one user.
const HTTP_BYTES: usize = 64 * 1024 * 1024;
const HANDED_OUT: usize = 1024;
