//! What client and server agreed on at the login: who the client is, what it can do, and how long its token lives.

use std::time::{Duration, Instant};

use rtm_codec::{Abilities, Answer, ErrorKind, Event, InstanceId, Login, Refusal, RenewToken, Text, UserId};

use super::{
    Core, Now,
    arena::SessionKey,
    auth::{TokenClock, TokenLife, is_same_secret},
    pack::{
        format::{Id, TermsV1, TokenV1},
        packer::Packer,
        times::PackTime,
    },
};

/// The terms of a session.
#[derive(Debug)]
pub(super) struct Terms {
    instance: InstanceId,
    token: Option<TokenClock>,
    abilities: Abilities,
    /// Opens the HTTP endpoints.
    gateway_session: Option<Text>,
    /// Until when the next set of attributes may be one that a returning client sends by itself.
    echo_until: Option<Instant>,
}

impl Terms {
    pub(super) fn new(login: &Login) -> Self {
        Self {
            instance: login.instance.clone(),
            token: None,
            abilities: login.abilities,
            gateway_session: None,
            echo_until: None,
        }
    }

    /// Takes from a login what holds as long as its connection. A client that `begins_anew` may show the token that it
    /// logged in with first, although it has renewed that.
    pub(super) fn renew(&mut self, now: Now, login: Login, life: Option<TokenLife>, begins_anew: bool) {
        self.instance = login.instance;
        self.abilities = login.abilities;
        self.gateway_session = login.gateway_session.filter(is_gateway_session);
        let shown = life.map(|life| life.clock(now));
        let is_later = |token: &TokenClock| shown.is_some_and(|shown| shown.ends_at < token.ends_at);
        self.token = self.token.filter(|token| begins_anew && is_later(token)).or(shown);
        if let Some(token) = self.token.as_mut().filter(|_| self.abilities.times_token)
            && token.warn_at.is_some_and(|at| at <= now.instant)
        {
            token.warn_at = None;
        }
    }

    /// The client object that logged in.
    pub(super) fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// What the client can do.
    pub(super) fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// Whether an HTTP request that names this session of the gateway comes from the session's client.
    pub(super) fn is_gateway_session(&self, claimed: &str) -> bool {
        self.gateway_session.as_ref().is_some_and(|id| is_same_secret(id, claimed))
    }

    /// Whether there is a token that has not ended.
    pub(super) fn has_token(&self, now: Instant) -> bool {
        self.token.is_some_and(|token| now < token.ends_at)
    }

    /// Milliseconds until the token ends, if there is one.
    pub(super) fn token_left(&self, now: Instant) -> Option<u64> {
        self.token.map(|token| token.ends_at.saturating_duration_since(now).as_millis().try_into().unwrap_or(u64::MAX))
    }

    /// Whether there is a token that is not known to have been issued at this time or later, in milliseconds since the Unix
    /// epoch.
    pub(super) fn is_token_older(&self, than_ms: u64) -> bool {
        self.token.is_some_and(|token| token.issued_at_ms < than_ms)
    }

    /// When the token was issued, in milliseconds since the Unix epoch; 0 if that is not known or there is none.
    pub(super) fn token_issued_at(&self) -> u64 {
        self.token.map_or(0, |token| token.issued_at_ms)
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.token.is_some_and(|token| token.ends_at <= now)
    }

    /// When something is next to be done about the token.
    pub(super) fn token_due(&self) -> Option<Instant> {
        self.token.map(|token| token.warn_at.unwrap_or(token.ends_at))
    }

    /// How long the token still lives, if its user is to be warned now: once for each token.
    fn take_warning(&mut self, now: Instant) -> Option<Duration> {
        let token = self.token.as_mut()?;
        token.warn_at.take_if(|at| *at <= now)?;
        Some(token.ends_at.saturating_duration_since(now))
    }

    /// The client has come back, and may send its attributes by itself for a short time.
    pub(super) fn expect_echo(&mut self, now: Instant, is_expected: bool) {
        self.echo_until = is_expected.then(|| now + ECHO_WITHIN);
    }

    /// Whether the client may yet send its attributes by itself.
    pub(super) fn expects_echo(&self, now: Instant) -> bool {
        self.echo_until.is_some_and(|until| now < until)
    }

    /// Whether attributes that are set now may be those that a returning client sends by itself: at most the first set.
    pub(super) fn take_echo(&mut self, now: Instant) -> bool {
        self.echo_until.take().is_some_and(|until| now < until)
    }
}

impl Terms {
    pub(super) fn pack(&self, packer: Packer<'_>) -> TermsV1 {
        // With the next login all are told again; what only a connection needs is not packed. Whether the client subscribes
        // once is packed beside the terms, as it was added later.
        let Abilities {
            resume,
            binary,
            revisions,
            fetches_stored,
            repeats_attributes,
            times_token,
            gives_up: _,
            subscribes_once: _,
        } = self.abilities;
        TermsV1 {
            instance: Id(self.instance.clone()),
            token: self.token.map(|token| TokenV1 {
                warn_at: token.warn_at.map(|at| packer.moment(at)),
                ends_at: packer.moment(token.ends_at),
            }),
            abilities: [resume, binary, revisions, fetches_stored, repeats_attributes, times_token],
            gateway_session: self.gateway_session.as_ref().map(Text::to_string),
            echo_until: self.echo_until.map(|at| packer.moment(at)),
        }
    }

    pub(super) fn unpack(packed: TermsV1, subscribes_once: bool, issued_at_ms: u64, time: PackTime) -> Self {
        let [resume, binary, revisions, fetches_stored, repeats_attributes, times_token] = packed.abilities;
        Self {
            instance: packed.instance.0,
            token: packed.token.map(|token| TokenClock {
                warn_at: token.warn_at.map(|at| time.instant(at)),
                ends_at: time.instant(token.ends_at),
                issued_at_ms,
            }),
            abilities: Abilities {
                resume,
                binary,
                revisions,
                fetches_stored,
                repeats_attributes,
                times_token,
                gives_up: false,
                subscribes_once,
            },
            gateway_session: packed.gateway_session.map(Text::from).filter(is_gateway_session),
            echo_until: packed.echo_until.map(|at| time.instant(at)),
        }
    }
}

impl Core {
    /// A token of the same user takes the place of the session's, and its clock starts anew.
    pub(super) fn renew_token(&mut self, now: Now, key: SessionKey, renew: &RenewToken) -> Result<Answer, Refusal> {
        let user_id = self.user_id_of(key).ok_or(ErrorKind::NotLoggedIn)?;
        let life = self.authenticate(now, &user_id, Some(&renew.token))?;
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.terms.token = life.map(|life| life.clock(now));
        }
        self.warn_of_token(now, key);
        self.hub.arm(key);
        Ok(Answer::RenewToken(()))
    }

    /// The terms of a user's session, if its token is good: where another token of the user has, this one is newer.
    pub(super) fn renewed(&self, now: Now, user_id: &UserId) -> Option<&Terms> {
        let session = self.session_of(user_id).and_then(|key| self.hub.sessions.get(key))?;
        let from = self.restrictions.tokens_from(user_id);
        Some(&session.terms).filter(|terms| terms.has_token(now.instant) && !terms.is_token_older(from))
    }

    /// Tells a session once that its token ends soon.
    pub(super) fn warn_of_token(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if let Some(left) = session.terms.take_warning(now.instant) {
            let expires_in_ms = left.as_millis().try_into().unwrap_or(u64::MAX);
            self.hub.tell(key, Event::TokenWillExpire { expires_in_ms });
        }
    }
}

fn is_gateway_session(id: &Text) -> bool {
    (1..=GATEWAY_SESSION_BYTES).contains(&id.len())
}

const GATEWAY_SESSION_BYTES: usize = 256;
/// Within this time after its return, a client that repeats its attributes has sent them.
const ECHO_WITHIN: Duration = Duration::from_secs(10);
