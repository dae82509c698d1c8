//! The connection: what goes in, what comes out.

use std::{collections::VecDeque, time::Instant};

use rtm_codec::{CallId, CloseReason, Command, ErrorKind, Family, RequestId, ServerFrame, Text, Token, UserId};

use crate::{
    Config, ConnectionState, Credentials, DialError, LocalInvitation, Output, RemoteInvitation, RtmError, Session,
};

/// The connection of one client object.
#[derive(Debug)]
pub struct Connection {
    state: ConnectionState,
    next: RequestId,
    queue: VecDeque<Output>,
}

impl Connection {
    /// A connection that is not logged in. `seed` feeds everything random: ids and the jitter of retries. It should
    /// be random itself, except in tests.
    #[must_use]
    pub fn new(_config: Config, _seed: u64) -> Self {
        Self { state: ConnectionState::Disconnected, next: RequestId(1), queue: VecDeque::new() }
    }

    /// A connection whose `login` goes on with a saved session, if it is of the same user.
    #[must_use]
    pub fn with_session(config: Config, seed: u64, _session: Session) -> Self {
        Self::new(config, seed)
    }

    /// Logs in. Ends with [`Output::LoginResult`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyLogin`] unless the state is `DISCONNECTED`, [`ErrorKind::TooOften`]; nothing happens then,
    /// and no result follows.
    pub fn login(&mut self, _now: Instant, _credentials: Credentials) -> Result<(), RtmError> {
        Err(RtmError::new(ErrorKind::Unsupported, Family::Login))
    }

    /// Logs out. Ends with [`Output::LogoutResult`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] in `DISCONNECTED`; no result follows then.
    pub fn logout(&mut self, _now: Instant) -> Result<(), RtmError> {
        Err(RtmError::new(ErrorKind::NotLoggedIn, Family::Logout))
    }

    /// Makes a call. Ends with exactly one [`Output::Reply`] of the returned number, at once (nothing is sent) or
    /// later. A message whose `message_id` is 0 gets one chosen here.
    pub fn request(&mut self, _now: Instant, command: impl Into<Command>) -> RequestId {
        let id = self.next;
        self.next = id.next();
        let error = RtmError::new(ErrorKind::NotLoggedIn, command.into().family());
        self.queue.push_back(Output::Reply { id, result: Err(error) });
        id
    }

    /// Replaces the token, for the session and for reconnects. Ends with an [`Output::Reply`].
    pub fn renew_token(&mut self, now: Instant, token: Token) -> RequestId {
        self.request(now, rtm_codec::RenewToken { token })
    }

    /// Invites a user to a call. The reply says whether the server took it; what becomes of it follows in events.
    pub fn send_invitation(
        &mut self,
        now: Instant,
        callee_id: UserId,
        content: impl Into<Text>,
    ) -> (LocalInvitation, RequestId) {
        let call_id = CallId::new("0").expect("a digit is visible");
        let content = content.into();
        let invitation =
            LocalInvitation { call_id: call_id.clone(), callee_id: callee_id.clone(), content: content.clone() };
        (invitation, self.request(now, rtm_codec::SendInvitation { call_id, callee_id, content }))
    }

    /// Takes an invitation back.
    pub fn cancel_invitation(
        &mut self,
        now: Instant,
        invitation: &LocalInvitation,
        content: impl Into<Text>,
    ) -> RequestId {
        let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
        self.request(now, rtm_codec::CancelInvitation { call_id, callee_id, content: content.into() })
    }

    /// Accepts an invitation.
    pub fn accept_invitation(
        &mut self,
        now: Instant,
        invitation: &RemoteInvitation,
        response: impl Into<Text>,
    ) -> RequestId {
        let RemoteInvitation { call_id, caller_id, .. } = invitation.clone();
        self.request(now, rtm_codec::AcceptInvitation { call_id, caller_id, response: response.into() })
    }

    /// Refuses an invitation.
    pub fn refuse_invitation(
        &mut self,
        now: Instant,
        invitation: &RemoteInvitation,
        response: impl Into<Text>,
    ) -> RequestId {
        let RemoteInvitation { call_id, caller_id, .. } = invitation.clone();
        self.request(now, rtm_codec::RefuseInvitation { call_id, caller_id, response: response.into() })
    }

    /// The user took `events` more [`Output::Event`]s from the stream (or they were thrown away for it). It lets the
    /// server send more.
    pub fn consumed(&mut self, _now: Instant, _events: u32) {}

    /// The link that [`Output::Dial`] asked for is open. `gateway_session` is the session id that the vendor's
    /// gateway gave, if there was one.
    pub fn handle_opened(&mut self, _now: Instant, _gateway_session: Option<Text>) {}

    /// The link that [`Output::Dial`] asked for could not be made.
    pub fn handle_dial_failed(&mut self, _now: Instant, _error: DialError) {}

    /// A frame came.
    pub fn handle_frame(&mut self, _now: Instant, _frame: ServerFrame) {}

    /// The link is closed or broken; `reason` is what its close code stands for, if that is known.
    pub fn handle_closed(&mut self, _now: Instant, _reason: Option<CloseReason>) {}

    /// Time has passed. May be called at any time; does nothing before the instant of [`Output::Wait`].
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// What to do next. Call it until it returns [`Output::Wait`]; any number of inputs may come before.
    pub fn poll_output(&mut self, _now: Instant) -> Output {
        self.queue.pop_front().unwrap_or(Output::Wait(None))
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// The session, if there is one that can be resumed.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        None
    }

    /// Who is logged in or logging in.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        None
    }
}
