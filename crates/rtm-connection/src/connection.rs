//! The connection: what goes in, what comes out, and what is remembered in between.

mod account;
mod calls;
mod frames;
mod gateway;
mod lasting;
mod login;
mod online;
mod restore;
mod timeouts;
mod tokens;

use std::{
    error::Error,
    mem,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use rtm_codec::{
    AcceptInvitation, CancelInvitation, ChannelId, ClientFrame, CloseReason, Command, RefuseInvitation, RenewToken,
    RequestId, SendInvitation, ServerFrame, Text, Token, UserId, anyrtc::gateway::GatewayAnswer,
};

use self::{
    account::{Account, Active, End},
    lasting::Lasting,
};
use crate::{
    AskId, Config, ConnectionState, LocalInvitation, Output, RemoteInvitation, Session, TransportError, link::LinkState,
};

/// The connection of one client object, over any number of logins.
///
/// Three kinds of methods feed it: what the user wants (`login`, `logout`, `request` and those that make a request,
/// `consumed`, `network_changed`), what the transport and the token provider report (`handle_asked`, `handle_ask_bytes`,
/// `handle_opened`, `handle_dial_failed`, `handle_frame`, `handle_bytes`, `handle_closed`, `handle_token`), and time (`handle_timeout`). Each takes the current instant. What is to be done then comes from
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
/// With [`Config::web15`], `REMOTE_LOGIN` leads to `DISCONNECTED` instead. A token that ends or is refused while the
/// state is `RECONNECTING` does not change it: [`RtmEvent::TokenNeeded`](crate::RtmEvent::TokenNeeded) tells that, and
/// the connection waits for [`renew_token`](Self::renew_token) or the token provider.
///
/// # What ends how
///
/// - Nothing ends for want of an answer right after the process stood still: what came meanwhile is read first, and the
///   link is given up only after two more keep-alive intervals of silence.
/// - A request ends exactly once: by the server's answer, by its deadline ([`ErrorKind::Timeout`]), or with the
///   session. While `RECONNECTING`, requests are taken and wait for the link until their deadline.
/// - When the link comes back and the server still has the session, requests without an answer are sent again with
///   their number, and the server does none of them twice. When the session is lost, requests that may be made twice
///   without harm (reads, and calls that set something of this user's own) are sent again, and the others end with
///   [`ErrorKind::OutcomeUnknown`]. Requests that were never sent are sent in any case.
/// - After a reconnect the connection restores what the user had (subscriptions, channels, its own attributes),
///   whatever the server still knows. Where that fails, [`RtmEvent::RestoreFailed`](crate::RtmEvent::RestoreFailed) says so.
/// - Events that the server could not keep are a [`RtmEvent::Gap`](crate::RtmEvent::Gap), which comes right after `CONNECTED`.
/// - Every invitation ends with one event; those that live when their session is lost end with a failure. A wire without
///   resume does not say whether a session is lost: there they go on until the server tells their end, or for
///   [`Config::invitation_timeout`].
/// - After `DISCONNECTED` and `ABORTED` there are no events until the next login.
///
/// [`ErrorKind::Timeout`]: rtm_codec::ErrorKind::Timeout
/// [`ErrorKind::OutcomeUnknown`]: rtm_codec::ErrorKind::OutcomeUnknown
#[derive(Debug)]
pub struct Connection {
    state: State,
    lasting: Lasting,
}

/// Where the connection stands. What dies with a session lives in its variant and goes with it.
#[derive(Debug)]
enum State {
    /// Not logged in. `saved`: a session that the next login may go on with.
    Out { saved: Option<Box<Session>> },
    /// Logged in, or on the way there.
    In(Box<Account>),
    /// Logged out, which the server has yet to confirm. `confirms`: before it is told, it has to hear over HTTP that stored
    /// messages are here, or they would come again.
    LoggingOut { give_up: Instant, confirms: Option<AskId> },
    /// The server ended the session for good.
    Aborted,
}

impl Connection {
    /// A connection that is not logged in. `seed` feeds everything random: ids and the pauses between retries. It
    /// must be hard to guess, except in tests.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self { state: State::Out { saved: None }, lasting: Lasting::new(config, seed) }
    }

    /// A connection whose first `login` goes on with a saved session, if it is of the same user. Where that login fails, the
    /// next one does, unless the server said that the session is over.
    #[must_use]
    pub fn with_session(config: Config, seed: u64, session: Session) -> Self {
        let mut connection = Self::new(config, seed);
        connection.lasting.next_request = session.next_request;
        connection.state = State::Out { saved: Some(Box::new(session)) };
        connection
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
        let id = self.lasting.take_request_id();
        self.start(now, id, command);
        id
    }

    /// Replaces the token, for the session and for reconnects. Ends with an [`Output::Reply`]; while `RECONNECTING`
    /// that comes when the server took or refused a login with it.
    pub fn renew_token(&mut self, now: Instant, token: Token) -> RequestId {
        self.request(now, RenewToken { token })
    }

    /// Invites a user to a call. The reply says whether the server took the invitation; events tell how it goes on.
    /// If the reply is an error, there is no such invitation.
    pub fn send_invitation(
        &mut self,
        now: Instant,
        callee_id: UserId,
        content: impl Into<Text>,
    ) -> (LocalInvitation, RequestId) {
        let invitation = LocalInvitation { call_id: self.lasting.call_ids.next(), callee_id, content: content.into() };
        let LocalInvitation { call_id, callee_id, content } = invitation.clone();
        (invitation, self.request(now, SendInvitation { call_id, callee_id, content }))
    }

    /// Takes an invitation back. It ends with [`RtmEvent::LocalInvitationCanceled`](crate::RtmEvent::LocalInvitationCanceled) when the server took that, unless
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

    /// Accepts an invitation. It ends with [`RtmEvent::RemoteInvitationAccepted`](crate::RtmEvent::RemoteInvitationAccepted) when the caller's side confirmed
    /// that, and with [`RtmEvent::RemoteInvitationFailure`](crate::RtmEvent::RemoteInvitationFailure) if it did not within 5 s.
    pub fn accept_invitation(
        &mut self,
        now: Instant,
        invitation: &RemoteInvitation,
        response: impl Into<Text>,
    ) -> RequestId {
        let RemoteInvitation { call_id, caller_id, .. } = invitation.clone();
        self.request(now, AcceptInvitation { call_id, caller_id, response: response.into() })
    }

    /// Refuses an invitation. It ends with [`RtmEvent::RemoteInvitationRefused`](crate::RtmEvent::RemoteInvitationRefused).
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
        self.lasting.stream.consume(events);
    }

    /// The network changed, or the machine woke up: pauses that were meant for the network as it was are over. What waits to
    /// connect again does so at once, unless too many tokens were refused lately, and the token provider is asked again. An
    /// open link is asked for a sign of life, and given up if there is none within 2 s. Nothing changes while a link is
    /// being made, without a login, and where the server alone asks for signs of life.
    pub fn network_changed(&mut self, now: Instant) {
        let now = self.advance(now);
        if let Some(mut active) = self.active(now) {
            active.network_changed();
        }
    }

    /// The gateway answered the request of this [`Output::Ask`], or could not be asked. An answer that nobody waits
    /// for any more does nothing.
    pub fn handle_asked(&mut self, now: Instant, id: AskId, result: Result<GatewayAnswer, TransportError>) {
        let now = self.advance(now);
        match self.state {
            State::LoggingOut { confirms: Some(ask), .. } if ask == id => self.tell_logout(now),
            _ => self.turn(now, |active| active.asked(id, result)),
        }
    }

    /// A part of the answer to the request of this [`Output::Ask`] came: over a slow link the rest takes its time.
    pub fn handle_ask_bytes(&mut self, now: Instant, id: AskId) {
        let now = self.advance(now);
        if let Some(mut active) = self.active(now) {
            active.ask_goes_on(id);
        }
    }

    /// The link that the last [`Output::Dial`] asked for is open.
    pub fn handle_opened(&mut self, now: Instant) {
        let now = self.advance(now);
        if let Some(mut active) = self.active(now) {
            active.opened();
        }
    }

    /// The link that the last [`Output::Dial`] asked for could not be made.
    pub fn handle_dial_failed(&mut self, now: Instant, error: TransportError) {
        let now = self.advance(now);
        self.turn(now, |active| active.dial_failed(error));
    }

    /// A frame came.
    pub fn handle_frame(&mut self, now: Instant, frame: ServerFrame) {
        let now = self.advance(now);
        match &self.state {
            State::In(_) => self.turn(now, |active| active.frame(frame)),
            State::LoggingOut { .. } if matches!(frame, ServerFrame::Close(_)) => self.logged_out(true),
            State::Out { .. } | State::LoggingOut { .. } | State::Aborted => {}
        }
    }

    /// Bytes came that make no whole frame yet. They prove that the link lives, also where it is so slow that one frame
    /// takes longer than its silence may last. A driver that reads nothing, since its user is behind, says the same when
    /// its timer is due: it cannot know that the server is silent.
    pub fn handle_bytes(&mut self, now: Instant) {
        let now = self.advance(now);
        let State::In(account) = &mut self.state else { return };
        match &mut account.link {
            LinkState::Online(online) => online.heard(now),
            LinkState::LoggingIn { give_up, .. } => *give_up = now + self.lasting.config.answer_timeout,
            // Of a link that is given up.
            LinkState::Lost
            | LinkState::Asking { .. }
            | LinkState::Dialing { .. }
            | LinkState::Waiting { .. }
            | LinkState::NeedsToken { .. } => {}
        }
    }

    /// The link is closed or broken; `reason` is what its close code stands for, if that is known.
    pub fn handle_closed(&mut self, now: Instant, reason: Option<CloseReason>) {
        self.handle_closed_with(now, reason, Text::default());
    }

    /// The same with the text of the close frame, which is empty if there was none. Where the server cannot take a login yet, it
    /// says there why.
    pub fn handle_closed_with(&mut self, now: Instant, reason: Option<CloseReason>, text: Text) {
        let now = self.advance(now);
        match &self.state {
            State::In(_) => self.turn(now, |active| active.closed(reason, text)),
            State::LoggingOut { .. } => {
                self.lasting.unsend(|_| {});
                self.logged_out(false);
            }
            // A goodbye may wait to be handed to it.
            State::Out { .. } | State::Aborted => self.lasting.unsend(|_| {}),
        }
    }

    /// The token provider gave a token, or why it gave none. A token that comes late is taken all the same.
    pub fn handle_token(&mut self, now: Instant, result: Result<Token, Arc<dyn Error + Send + Sync>>) {
        let now = self.advance(now);
        self.turn(now, |active| active.token_fetched(result));
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
        let mut next = None;
        if self.lasting.queue.is_empty() {
            next = self.next_timeout();
            if next.is_some_and(|next| next.at <= now) {
                self.timeout(now);
                next = self.next_timeout();
            }
        }
        if let Some(output) = self.lasting.queue.pop_front() {
            if matches!(output, Output::Dial(_)) {
                self.dial_asked();
            }
            return output;
        }
        match self.take_ack() {
            Some(ack) => Output::Send(ack),
            None => {
                self.lasting.waits_until = next.map(|next| next.at);
                Output::Wait(next)
            }
        }
    }

    /// The state that the user was told last.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        match &self.state {
            State::Out { .. } | State::LoggingOut { .. } => ConnectionState::Disconnected,
            State::In(account) => account.state(),
            State::Aborted => ConnectionState::Aborted,
        }
    }

    /// The session, if there is one that can be resumed.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.account()?.session(&self.lasting)
    }

    /// Who is logged in or logging in.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        self.account().map(|account| &account.credentials.user_id)
    }

    /// The last token that the server is known to take, of a login or, on a wire that answers it, of a renewal.
    #[must_use]
    pub fn taken_token(&self) -> Option<&Token> {
        self.account()?.token.taken.as_ref()
    }

    /// How long the answer to the last ping took over the open link, if there was one.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match &self.account()?.link {
            LinkState::Online(online) => online.round_trip(),
            _ => None,
        }
    }

    /// The channels that the user is in, in the order of their ids.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelId> {
        self.account().into_iter().flat_map(|account| account.intent.joined())
    }

    /// Time never goes back here, whatever the caller's clock does.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.lasting.now.map_or(now, |latest| latest.max(now));
        self.lasting.now = Some(now);
        if let Some(until) = self.lasting.waits_until
            && now > until
        {
            self.late(now, until);
        }
        now
    }

    /// The driver says later than it was asked to that time has passed. If it is much later, the process was stopped
    /// for a while, or the machine was: what the server sent meanwhile lies in the socket.
    #[cold]
    fn late(&mut self, now: Instant, until: Instant) {
        if now <= until + LATE {
            return;
        }
        self.lasting.waits_until = None;
        // A process that is always late must judge at last.
        if self.lasting.judges_from.is_some_and(|from| until <= from) {
            return;
        }
        self.lasting.judges_from = Some(now + READING);
        if let State::In(account) = &mut self.state
            && let LinkState::Online(online) = &mut account.link
        {
            online.heard(now);
        }
    }

    fn account(&self) -> Option<&Account> {
        match &self.state {
            State::In(account) => Some(account),
            State::Out { .. } | State::LoggingOut { .. } | State::Aborted => None,
        }
    }

    fn active(&mut self, now: Instant) -> Option<Active<'_>> {
        match &mut self.state {
            State::In(account) => Some(Active { account, lasting: &mut self.lasting, now }),
            State::Out { .. } | State::LoggingOut { .. } | State::Aborted => None,
        }
    }

    /// Lets an account do something, over which its session may end.
    #[inline]
    fn turn(&mut self, now: Instant, act: impl FnOnce(&mut Active<'_>) -> ControlFlow<End>) {
        if let Some(mut active) = self.active(now)
            && let ControlFlow::Break(end) = act(&mut active)
        {
            self.end(now, end);
        }
    }

    /// Ends the session and everything in it.
    fn end(&mut self, now: Instant, end: End) {
        let End { error, is_aborted, reason } = end;
        let next = if is_aborted { State::Aborted } else { State::Out { saved: None } };
        let State::In(mut account) = mem::replace(&mut self.state, next) else { return };
        if let State::Out { saved } = &mut self.state {
            *saved = account.session_to_resume(reason, &self.lasting).map(Box::new);
        }
        Active { account: &mut account, lasting: &mut self.lasting, now }.end_calls(error.kind());
        self.lasting.changed(self.state(), reason);
        if account.login.is_some() {
            self.lasting.queue.push_back(Output::LoginResult(Err(error)));
        }
    }

    /// The transport learns of the dial at hand, unless a later one waits behind it.
    fn dial_asked(&mut self) {
        let is_last = !self.lasting.queue.iter().any(|later| matches!(later, Output::Dial(_)));
        if let State::In(account) = &mut self.state
            && let LinkState::Dialing { asked, .. } = &mut account.link
        {
            *asked = is_last;
        }
    }

    fn take_ack(&mut self) -> Option<ClientFrame> {
        let State::In(account) = &mut self.state else { return None };
        let LinkState::Online(online) = &mut account.link else { return None };
        let anything = mem::take(&mut online.acks_anything);
        self.lasting.take_ack(&account.pending, anything)
    }
}

/// How late the driver may say that time has passed. If it is later, it did not run in between.
const LATE: Duration = Duration::from_millis(200);

/// How long reading may take what came while the process stood still.
const READING: Duration = Duration::from_secs(1);
