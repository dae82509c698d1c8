//! Being logged in, from `login` to the end of the session: everything that dies with it is one value.

use std::{mem, time::Instant};

use rtm_codec::{CloseReason, ErrorKind, InstanceId, RequestId, Seq, SessionTicket, Token};

use super::lasting::Lasting;
use crate::{
    ConnectionChangeReason as Reason, ConnectionState, Credentials, Output, RtmError, RtmEvent, Session,
    backoff::Backoff,
    intent::{Intent, Membership},
    invitation::Invitations,
    link::LinkState,
    pending::Pending,
    token::TokenState,
};

/// What there is from `login` until the session ends, or the login fails.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) credentials: Credentials,
    /// The user's `login`, until the server takes it.
    pub(super) login: Option<LoginUnderWay>,
    pub(super) link: LinkState,
    /// Tells this session from every other: a logout that the server never heard of must not bring back what was
    /// had before it.
    pub(super) instance: InstanceId,
    pub(super) ticket: Option<SessionTicket>,
    pub(super) token: TokenState,
    /// The token that the login under way presents, and the last renewal that it is of or comes after.
    pub(super) offered_token: Option<Token>,
    pub(super) offered_renewal: Option<RequestId>,
    /// How many attempts to connect were made in a row.
    pub(super) attempt: u32,
    pub(super) backoff: Backoff,
    /// Why the last link was lost, if the server said.
    pub(super) lost_by: Option<CloseReason>,
    /// When a link was left last on which a login had no answer: the login may still come to the server.
    pub(super) unanswered_at: Option<Instant>,
    pub(super) pending: Pending,
    pub(super) intent: Intent,
    pub(super) invitations: Invitations,
    /// Until when messages may come again: that came over an earlier session, or out of the store.
    pub(super) repeats_until: Option<Instant>,
    /// Events of a saved session that were received in another process and never consumed.
    pub(super) unconsumed: u64,
}

/// The user's `login`, until it ends.
#[derive(Debug)]
pub(super) struct LoginUnderWay {
    pub(super) deadline: Instant,
    pub(super) last_error: Option<RtmError>,
}

/// An account at work, with what outlives it.
pub(super) struct Active<'a> {
    pub(super) account: &'a mut Account,
    pub(super) lasting: &'a mut Lasting,
    pub(super) now: Instant,
}

/// How a session ends for good, or a login fails.
#[derive(Debug)]
pub(super) struct End {
    /// What everything under way ends with.
    pub(super) error: RtmError,
    /// Whether the user has to log out before the next login.
    pub(super) is_aborted: bool,
    pub(super) reason: Reason,
}

impl Account {
    pub(super) fn new(credentials: Credentials, deadline: Instant, instance: InstanceId) -> Self {
        Self {
            credentials,
            login: Some(LoginUnderWay { deadline, last_error: None }),
            link: LinkState::Lost,
            instance,
            ticket: None,
            token: TokenState::default(),
            offered_token: None,
            offered_renewal: None,
            attempt: 0,
            backoff: Backoff::default(),
            lost_by: None,
            unanswered_at: None,
            pending: Pending::default(),
            intent: Intent::default(),
            invitations: Invitations::default(),
            repeats_until: None,
            unconsumed: 0,
        }
    }

    /// Goes on with a session of another process.
    pub(super) fn resume(&mut self, saved: Session) {
        self.instance = saved.instance;
        self.ticket = Some(saved.ticket);
        self.unconsumed = saved.received.0.saturating_sub(saved.consumed.0);
        self.intent = Intent {
            channels: saved.channels.into_iter().map(|channel| (channel, Membership::Joined)).collect(),
            subscriptions: saved.subscriptions,
            attributes: saved.attributes,
            ..Intent::default()
        };
    }

    /// The session, if there is one that can be resumed.
    pub(super) fn session(&self, lasting: &Lasting) -> Option<Session> {
        Some(Session {
            user_id: self.credentials.user_id.clone(),
            instance: self.instance.clone(),
            ticket: self.ticket?,
            received: lasting.stream.received(),
            consumed: Seq(lasting.stream.consumed().0.saturating_sub(self.unconsumed)),
            next_request: lasting.next_request,
            channels: self.intent.joined().cloned().collect(),
            subscriptions: self.intent.subscriptions.clone(),
            attributes: self.intent.attributes.clone(),
        })
    }

    /// The saved session that the next login may go on with, where this one ends for `reason` before a server took it.
    pub(super) fn session_to_resume(&self, reason: Reason, lasting: &Lasting) -> Option<Session> {
        let is_over = matches!(reason, Reason::Logout | Reason::BannedByServer)
            || matches!(self.lost_by, Some(CloseReason::RemoteLogin | CloseReason::Replaced));
        if self.login.is_none() || is_over { None } else { self.session(lasting) }
    }

    /// Logins present this token from now on.
    pub(super) fn set_token(&mut self, token: Token) {
        self.credentials.token = Some(token);
    }

    /// The login under way presents the token in use.
    pub(super) fn offer_token(&mut self) {
        self.offered_token.clone_from(&self.credentials.token);
        self.offered_renewal = self.token.renewing;
    }

    pub(super) fn is_online(&self) -> bool {
        matches!(self.link, LinkState::Online(_))
    }

    pub(super) fn state(&self) -> ConnectionState {
        match self.link {
            LinkState::Online(_) => ConnectionState::Connected,
            LinkState::Lost
            | LinkState::Asking { .. }
            | LinkState::Dialing { .. }
            | LinkState::LoggingIn { .. }
            | LinkState::Waiting { .. }
            | LinkState::NeedsToken { .. } => {
                if self.login.is_some() {
                    ConnectionState::Connecting
                } else {
                    ConnectionState::Reconnecting
                }
            }
        }
    }
}

impl Active<'_> {
    /// Ends what lives in the session; calls without an answer end with `kind`.
    pub(super) fn end_calls(&mut self, kind: ErrorKind) {
        // Nothing is left to be restored, so nothing of it fails either.
        self.account.pending.drop_errands();
        let link = mem::replace(&mut self.account.link, LinkState::Lost);
        self.cancel_asks(&link);
        let effects = self.account.invitations.end_session();
        effects.events.into_iter().for_each(|event| self.emit(event));
        for id in self.account.pending.ids() {
            if let Some(request) = self.account.pending.remove(id) {
                let is_unknown = kind != ErrorKind::AbortedByLogout && request.may_have_had_effect();
                let kind = if is_unknown { ErrorKind::OutcomeUnknown } else { kind };
                self.finish(id, request, Err(kind.into()));
            }
        }
    }

    pub(super) fn emit(&mut self, event: RtmEvent) {
        self.lasting.emit(event);
    }

    pub(super) fn push(&mut self, output: Output) {
        self.lasting.queue.push_back(output);
    }
}
