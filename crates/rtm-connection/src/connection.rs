//! The connection: what goes in, what comes out, and what is remembered in between.

mod calls;
mod frames;
mod login;
mod online;
mod restore;
mod timeouts;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use rtm_codec::{
    AcceptInvitation, CancelInvitation, ChannelId, ClientFrame, CloseReason, Command, InstanceId, MessageId,
    RefuseInvitation, RenewToken, RequestId, SendInvitation, ServerFrame, SessionTicket, Text, Token, UserId,
};

use crate::{
    Config, ConnectionChangeReason, ConnectionState, Credentials, DialError, LocalInvitation, Output, RemoteInvitation,
    RtmError, RtmEvent, Session, backoff::Backoff, intent::Intent, invitation::Invitations, limiter::Limiter,
    link::Link, pending::Pending, recent::Recent, rng::Rng, stream::Stream, token::TokenState,
};

/// The connection of one client object, over any number of logins.
///
/// Three kinds of methods feed it: what the user wants (`login`, `logout`, `request` and those that make a request,
/// `consumed`), what the transport reports (`handle_opened`, `handle_dial_failed`, `handle_frame`, `handle_closed`),
/// and time (`handle_timeout`). Each takes the current instant. What is to be done then comes from
/// [`poll_output`](Self::poll_output), until it says [`Output::Wait`]; any number of inputs may come before that.
/// Getters cost nothing and change nothing.
///
/// # States
///
/// ```text
///                          login                             LOGIN_FAILURE, LOGIN_TIMEOUT,
///              ┌────────────────────────┐                     BANNED_BY_SERVER, LOGOUT
///              │         LOGIN          ▼                    ┌──────────────┐
///        DISCONNECTED              CONNECTING ───────────────┘              │
///              ▲ ▲                      │ server takes the login            │
///              │ └──────────────────────┼────────────────────────────────── ┘
///              │ logout                 ▼ LOGIN_SUCCESS
///              │ LOGOUT            CONNECTED ◄───────────┐
///              ├────────────────────────┤ │              │ server takes the login
///              │                        │ │ link lost    │ LOGIN_SUCCESS
///              │                        │ ▼ INTERRUPTED  │
///              ├────────────────────────┤ RECONNECTING ──┘ retries for ever, with pauses
///              │                        │ │
///              │ logout                 ▼ ▼ REMOTE_LOGIN, TOKEN_EXPIRED, BANNED_BY_SERVER
///              └──────────────────── ABORTED
/// ```
///
/// With [`Config::web15`], `REMOTE_LOGIN` leads to `DISCONNECTED` instead. A token that ends while the state is
/// `RECONNECTING` does not change it: the connection waits for [`renew_token`](Self::renew_token).
///
/// # What ends how
///
/// - A request ends exactly once: by the server's answer, by its deadline ([`ErrorKind::Timeout`]), or with the
///   session. While `RECONNECTING`, requests are taken and wait for the link until their deadline.
/// - When the link comes back and the server still has the session, requests without an answer are sent again with
///   their number, and the server does none of them twice. When it has not, those that may be made twice without harm
///   (reads, and calls that say how something of this user shall be) are sent again, and the others end with
///   [`ErrorKind::OutcomeUnknown`]. Those that were never sent are sent now in any case.
/// - What the user had (subscriptions, channels, its own attributes) is had again after a reconnect, whatever the
///   server still knew. Where that fails, [`RtmEvent::RestoreFailed`] says so.
/// - Events that the server could not keep are a [`RtmEvent::Gap`], which comes right after `CONNECTED`.
/// - Every invitation ends with one event; those that live when their session is lost end with a failure.
/// - After `DISCONNECTED` and `ABORTED` there are no events until the next login.
///
/// [`ErrorKind::Timeout`]: rtm_codec::ErrorKind::Timeout
/// [`ErrorKind::OutcomeUnknown`]: rtm_codec::ErrorKind::OutcomeUnknown
#[derive(Debug)]
pub struct Connection {
    config: Config,
    rng: Rng,
    instance: InstanceId,
    now: Option<Instant>,
    link: Link,
    login: Option<LoginUnderWay>,
    credentials: Option<Credentials>,
    token: TokenState,
    /// The last renewal whose token the login under way presents.
    offered_renewal: Option<RequestId>,
    ticket: Option<SessionTicket>,
    saved: Option<Box<Session>>,
    /// Events of the saved session that were received in another process and never consumed.
    unconsumed: u64,
    attempt: u32,
    backoff: Backoff,
    /// Why the last link was lost, if the server said.
    lost_by: Option<CloseReason>,
    stream: Stream,
    pending: Pending,
    intent: Intent,
    invitations: Invitations,
    recent: Recent,
    /// Until when messages may come again that came over an earlier session.
    repeats_until: Option<Instant>,
    limiter: Limiter,
    next_request: RequestId,
    next_message: u64,
    /// A sign of life is due anyway, so any acknowledgement may go with it.
    ack_anything: bool,
    queue: VecDeque<Output>,
}

/// The user's `login`, until it ends.
#[derive(Debug)]
struct LoginUnderWay {
    deadline: Instant,
    last_error: Option<RtmError>,
}

impl Connection {
    /// A connection that is not logged in. `seed` feeds everything random: ids and the pauses between retries. It
    /// must be hard to guess, except in tests.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let config = config.clamped();
        let mut rng = Rng::new(seed);
        let instance = new_instance(&mut rng);
        Self {
            instance,
            now: None,
            link: Link::Idle,
            login: None,
            credentials: None,
            token: TokenState::default(),
            offered_renewal: None,
            ticket: None,
            saved: None,
            unconsumed: 0,
            attempt: 0,
            backoff: Backoff::default(),
            lost_by: None,
            stream: Stream::default(),
            pending: Pending::default(),
            intent: Intent::default(),
            invitations: Invitations::new(rng.next()),
            recent: Recent::new(rng.next()),
            repeats_until: None,
            limiter: Limiter::new(config.limits.clone()),
            next_request: RequestId(1),
            next_message: rng.next(),
            ack_anything: false,
            queue: VecDeque::new(),
            config,
            rng,
        }
    }

    /// A connection whose first `login` goes on with a saved session, if it is of the same user.
    #[must_use]
    pub fn with_session(config: Config, seed: u64, session: Session) -> Self {
        Self {
            instance: session.instance.clone(),
            next_request: session.next_request,
            saved: Some(Box::new(session)),
            ..Self::new(config, seed)
        }
    }

    /// Makes a call. Ends with exactly one [`Output::Reply`] of the returned number, at once (then nothing is sent:
    /// an argument is wrong, the call is made too often, nobody is logged in) or later. A message whose `message_id`
    /// is 0 gets one here.
    pub fn request(&mut self, now: Instant, command: impl Into<Command>) -> RequestId {
        self.request_shared(now, Arc::new(command.into()))
    }

    /// The same as [`request`](Self::request), with a command that lies where it can stay.
    pub fn request_shared(&mut self, now: Instant, command: Arc<Command>) -> RequestId {
        let now = self.advance(now);
        let id = self.take_request_id();
        self.start(now, id, command);
        id
    }

    /// Replaces the token, for the session and for reconnects. Ends with an [`Output::Reply`]; while `RECONNECTING`
    /// that comes when the server took or refused a login with it.
    pub fn renew_token(&mut self, now: Instant, token: Token) -> RequestId {
        self.request(now, RenewToken { token })
    }

    /// Invites a user to a call. The reply says whether the server took it; what becomes of it follows in events.
    /// If the reply is an error, there is no such invitation.
    pub fn send_invitation(
        &mut self,
        now: Instant,
        callee_id: UserId,
        content: impl Into<Text>,
    ) -> (LocalInvitation, RequestId) {
        let invitation =
            LocalInvitation { call_id: self.invitations.next_call_id(), callee_id, content: content.into() };
        let LocalInvitation { call_id, callee_id, content } = invitation.clone();
        (invitation, self.request(now, SendInvitation { call_id, callee_id, content }))
    }

    /// Takes an invitation back. It ends with [`RtmEvent::LocalInvitationCanceled`] when the server took that, unless
    /// the callee was quicker.
    pub fn cancel_invitation(
        &mut self,
        now: Instant,
        invitation: &LocalInvitation,
        content: impl Into<Text>,
    ) -> RequestId {
        let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
        self.request(now, CancelInvitation { call_id, callee_id, content: content.into() })
    }

    /// Accepts an invitation. It ends with [`RtmEvent::RemoteInvitationAccepted`] when the caller's side confirmed
    /// that, and with [`RtmEvent::RemoteInvitationFailure`] if it did not within 5 s.
    pub fn accept_invitation(
        &mut self,
        now: Instant,
        invitation: &RemoteInvitation,
        response: impl Into<Text>,
    ) -> RequestId {
        let RemoteInvitation { call_id, caller_id, .. } = invitation.clone();
        self.request(now, AcceptInvitation { call_id, caller_id, response: response.into() })
    }

    /// Refuses an invitation. It ends with [`RtmEvent::RemoteInvitationRefused`].
    pub fn refuse_invitation(
        &mut self,
        now: Instant,
        invitation: &RemoteInvitation,
        response: impl Into<Text>,
    ) -> RequestId {
        let RemoteInvitation { call_id, caller_id, .. } = invitation.clone();
        self.request(now, RefuseInvitation { call_id, caller_id, response: response.into() })
    }

    /// The user took `events` more [`Output::Event`]s from the stream, or they were thrown away for it: the server
    /// may send as many more. Every event counts, whoever made it.
    pub fn consumed(&mut self, now: Instant, events: u32) {
        self.advance(now);
        self.stream.consume(events);
    }

    /// The link that the last [`Output::Dial`] asked for is open. `gateway_session` is the session id that the
    /// vendor's gateway gave, if there was one.
    pub fn handle_opened(&mut self, now: Instant, gateway_session: Option<Text>) {
        let now = self.advance(now);
        self.opened(now, gateway_session);
    }

    /// The link that the last [`Output::Dial`] asked for could not be made.
    pub fn handle_dial_failed(&mut self, now: Instant, error: DialError) {
        let now = self.advance(now);
        if matches!(self.link, Link::Dialing { asked: true, .. }) {
            self.dial_failed(now, error);
        }
    }

    /// A frame came.
    pub fn handle_frame(&mut self, now: Instant, frame: ServerFrame) {
        let now = self.advance(now);
        self.frame(now, frame);
    }

    /// The link is closed or broken; `reason` is what its close code stands for, if that is known.
    pub fn handle_closed(&mut self, now: Instant, reason: Option<CloseReason>) {
        let now = self.advance(now);
        self.closed(now, reason);
    }

    /// Time has passed. May be called at any time; does nothing before the instant of [`Output::Wait`], so a timer
    /// that is set too early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.timeout(now);
    }

    /// What to do next. Call it until it returns [`Output::Wait`], whose instant always lies after `now`.
    ///
    /// Acknowledgements come last: however many events came before, they go out in one frame.
    pub fn poll_output(&mut self, now: Instant) -> Output {
        let now = self.advance(now);
        if self.queue.is_empty() && self.next_timeout().is_some_and(|at| at <= now) {
            self.timeout(now);
        }
        if let Some(output) = self.queue.pop_front() {
            if matches!(output, Output::Dial(_))
                && let Link::Dialing { asked, .. } = &mut self.link
            {
                *asked = !self.queue.iter().any(|later| matches!(later, Output::Dial(_)));
            }
            return output;
        }
        match self.take_ack() {
            Some(ack) => Output::Send(ack),
            None => Output::Wait(self.next_timeout()),
        }
    }

    /// The state that the user was told last.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        match self.link {
            Link::Idle | Link::LoggingOut { .. } => ConnectionState::Disconnected,
            Link::Online(_) => ConnectionState::Connected,
            Link::Aborted => ConnectionState::Aborted,
            Link::Dialing { .. } | Link::LoggingIn { .. } | Link::Waiting { .. } | Link::NeedsToken => {
                if self.login.is_some() { ConnectionState::Connecting } else { ConnectionState::Reconnecting }
            }
        }
    }

    /// The session, if there is one that can be resumed.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        let (Some(ticket), Some(credentials)) = (self.ticket, &self.credentials) else { return None };
        Some(Session {
            user_id: credentials.user_id.clone(),
            instance: self.instance.clone(),
            ticket,
            received: self.stream.received(),
            consumed: self.stream.consumed(),
            next_request: self.next_request,
            channels: self.intent.joined().cloned().collect(),
            subscriptions: self.intent.subscriptions.clone(),
            attributes: self.intent.attributes.clone(),
        })
    }

    /// Who is logged in or logging in.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        self.credentials.as_ref().map(|credentials| &credentials.user_id)
    }

    /// The channels that the user is in, in the order of their ids.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelId> {
        self.intent.joined()
    }

    /// Time never goes back here, whatever the caller's clock does.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        now
    }

    fn take_request_id(&mut self) -> RequestId {
        let id = self.next_request;
        self.next_request = id.next();
        id
    }

    /// At most 13 decimal digits, as the vendor's wire has it.
    fn take_message_id(&mut self) -> MessageId {
        self.next_message = self.next_message.wrapping_add(1);
        MessageId(1 + self.next_message % 9_999_999_999_999)
    }

    /// Every request below this one is answered.
    fn answered(&self) -> RequestId {
        self.pending.lowest().unwrap_or(self.next_request)
    }

    fn take_ack(&mut self) -> Option<ClientFrame> {
        let Link::Online(_) = self.link else { return None };
        let anything = std::mem::take(&mut self.ack_anything);
        self.stream.take_ack(self.answered(), self.config.window, anything)
    }

    /// Tells the user something that the server did not number.
    fn emit(&mut self, event: RtmEvent) {
        self.stream.push_local();
        self.queue.push_back(Output::Event(event));
    }

    fn changed(&mut self, state: ConnectionState, reason: ConnectionChangeReason) {
        self.emit(RtmEvent::ConnectionStateChanged { state, reason });
    }

    fn send(&mut self, frame: ClientFrame) {
        self.queue.push_back(Output::Send(frame));
    }
}

/// What tells the sessions of one client object, from login to logout, from every other session.
fn new_instance(rng: &mut Rng) -> InstanceId {
    InstanceId::new(format!("{:016x}{:016x}", rng.next(), rng.next())).expect("32 hexadecimal digits")
}
