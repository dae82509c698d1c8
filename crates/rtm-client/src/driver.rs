//! The client's task: it owns the connection machine and the link, and lets them meet the user's calls and the clock.

mod delayed;
mod orders;
mod relogin;
mod replies;

use std::{
    collections::VecDeque,
    error::Error,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{FutureExt, future::BoxFuture};
use rtm_codec::{Answer, ErrorKind, Family, RequestId, Text, Token, UserId, Wire};
use rtm_connection::{Connection, ConnectionChangeReason, ConnectionState, Credentials, Output, RtmError, RtmEvent};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{self, JoinSet, yield_now},
};

use self::{
    delayed::{Delayable, DelayedCalls},
    relogin::Relogin,
    replies::{Invited, Renewal, Replies, Waiting},
};
#[cfg(feature = "vendor")]
use crate::gateway::{Asked, Gateway};
use crate::{
    call::{Order, RareOrder, Status},
    events::EventSender,
    link::{Link, Progress},
    network::Network,
    settings::Settings,
    stats::{ClientStats, Figures},
    timer::{WakeUp, now},
    token::TokenProvider,
};

/// The task's state.
pub(crate) struct Driver<N> {
    settings: Arc<Settings>,
    connection: Connection,
    link: Link<N>,
    #[cfg(feature = "vendor")]
    gateway: Gateway<N>,
    /// The last link's goodbye.
    closing: Option<BoxFuture<'static, ()>>,
    wake_up: WakeUp,
    calls: mpsc::UnboundedReceiver<Order>,
    taken_orders: Vec<Order>,
    /// Whether the last handle is gone.
    abandoned: bool,
    /// Who waits for a login and a logout. Each that the connection took ends with one result, in their order.
    logins: VecDeque<oneshot::Sender<Result<(), RtmError>>>,
    logouts: VecDeque<oneshot::Sender<Result<(), RtmError>>>,
    logged_out: Vec<LoggedOut>,
    replies: Replies,
    /// What is made too often and may wait.
    delayed: DelayedCalls,
    next_call: u64,
    relogin: Relogin,
    events: EventSender,
    /// Whether the application has new events, and its turn before the next write.
    lets_reply: bool,
    /// Whether the socket is not read, since the application is behind.
    holds_back: bool,
    status: watch::Sender<Status>,
    /// Whether the state was `RECONNECTING`.
    was_interrupted: bool,
    /// What was counted, but for the bytes.
    counted: ClientStats,
    figures: Arc<Figures>,
    token_provider: Option<TokenProvider>,
    tokens: JoinSet<Result<Token, Arc<dyn Error + Send + Sync>>>,
    /// The last call of the provider, and for whom it was made.
    token_wanted: Option<(task::Id, UserId)>,
}

/// The task's ends of what it shares with the application.
#[derive(Debug)]
pub(crate) struct TaskEnds {
    pub(crate) calls: mpsc::UnboundedReceiver<Order>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) events: EventSender,
    pub(crate) token_provider: Option<TokenProvider>,
}

/// The result of a logout, to be told when the link has said goodbye, so that a program may end then.
#[derive(Debug)]
struct LoggedOut {
    done: oneshot::Sender<Result<(), RtmError>>,
    result: Result<(), RtmError>,
}

impl<N: Network> Driver<N> {
    pub(crate) fn new(settings: Settings, connection: Connection, network: N, ends: TaskEnds) -> Self {
        let TaskEnds { calls, status, figures, events, token_provider } = ends;
        let relogin = Relogin::new(settings.relogin, token_provider.is_some());
        let (settings, network) = (Arc::new(settings), Arc::new(network));
        Self {
            link: Link::new(Arc::clone(&network), Arc::clone(&settings), Arc::clone(&figures)),
            #[cfg(feature = "vendor")]
            gateway: Gateway::new(network),
            settings,
            connection,
            closing: None,
            wake_up: WakeUp::default(),
            calls,
            taken_orders: Vec::new(),
            abandoned: false,
            logins: VecDeque::new(),
            logouts: VecDeque::new(),
            logged_out: Vec::new(),
            replies: Replies::default(),
            delayed: DelayedCalls::default(),
            next_call: 0,
            relogin,
            events,
            lets_reply: false,
            holds_back: false,
            status,
            was_interrupted: false,
            counted: ClientStats::default(),
            figures,
            token_provider,
            tokens: JoinSet::new(),
            token_wanted: None,
        }
    }

    /// Runs until every handle is dropped and the user is logged out.
    pub(crate) async fn run(mut self) {
        loop {
            self.drain();
            if self.abandoned && self.logouts.is_empty() && self.closing.is_none() {
                return;
            }
            // Each source gets its turn, in this order and with a bound, so none can starve another: not the clock
            // under traffic, not the user's calls under a flood of events.
            let mut progress = false;
            poll_fn(|cx| {
                progress |= self.poll_wake_up(cx);
                progress |= self.poll_calls(cx);
                progress |= self.poll_delayed(cx);
                progress |= self.poll_taken(cx);
                progress |= self.poll_token(cx);
                progress |= self.poll_relogin(cx);
                progress |= self.poll_closing(cx);
                #[cfg(feature = "vendor")]
                {
                    progress |= self.poll_gateway(cx);
                }
                if progress {
                    self.drain();
                }
                if std::mem::take(&mut self.lets_reply) {
                    // What the application makes of new events goes into one write with their acknowledgement.
                    // Polled once, it has this task woken after all others had their turn.
                    let _ = pin!(yield_now()).poll(cx);
                    return Poll::Pending;
                }
                progress |= self.poll_link(cx);
                if progress { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// Carries out what the connection wants, until it wants to wait.
    fn drain(&mut self) {
        // Read once for all outputs: reading the clock costs more than most of them do.
        let now = now();
        loop {
            match self.connection.poll_output(now) {
                Output::Dial(target) => self.link.dial(target),
                #[cfg(feature = "vendor")]
                Output::Ask { id, gateway, request } => self.gateway.ask(id, &self.settings.gateways[gateway], request),
                #[cfg(feature = "vendor")]
                Output::CancelAsk(id) => self.gateway.cancel(id),
                // Nobody is asked on the native wire.
                #[cfg(not(feature = "vendor"))]
                Output::Ask { .. } | Output::CancelAsk(_) => {}
                Output::StoredMessagesLeft { detail } => {
                    let detail = detail.as_str();
                    crate::log::stored_left(detail);
                }
                Output::Send(frame) => self.link.send(&frame),
                Output::Request { id, command } => self.link.request(id, &command),
                Output::Hangup(reason) => {
                    if let Some(goodbye) = self.link.close(reason) {
                        self.closing = Some(goodbye);
                    }
                }
                Output::Event(event) => {
                    match &event {
                        RtmEvent::TokenNeeded { error, retry_after, .. } => {
                            crate::log::token_needed(error, retry_after);
                        }
                        RtmEvent::ConnectionStateChanged { state, reason, .. } => {
                            self.state_changed(now, *state, *reason);
                        }
                        _ => {}
                    }
                    self.counted.events += 1;
                    self.events.send(event);
                    self.lets_reply = true;
                }
                Output::LoginResult(result) => {
                    self.events.flush();
                    // Whoever awaited the login and asks for the state is to see where it led.
                    self.tell_status();
                    if let Some(done) = self.logins.pop_front() {
                        // Whoever dropped the future does not want to know.
                        let _ = done.send(result);
                    }
                }
                Output::LogoutResult(result) => {
                    self.logged_out.extend(self.logouts.pop_front().map(|done| LoggedOut { done, result }));
                }
                Output::Reply { id, result } => self.reply(now, id, result),
                Output::FetchToken => self.fetch_token(),
                Output::Wait(until) => {
                    self.events.flush();
                    // Nobody waits for events that were thrown away.
                    if let Some(taken) = self.events.take_taken() {
                        self.connection.consumed(now, taken);
                        continue;
                    }
                    self.wake_up.set(until.map(|until| until.at));
                    break;
                }
            }
        }
        self.tell_status();
        self.publish();
        if matches!(self.connection.state(), ConnectionState::Disconnected | ConnectionState::Aborted) {
            self.tokens.abort_all();
            self.end_delayed(ErrorKind::NotLoggedIn);
        }
        if self.closing.is_none() {
            for LoggedOut { done, result } in self.logged_out.drain(..) {
                let _ = done.send(result);
            }
        }
    }

    /// Ends the calls that wait for their limit.
    fn end_delayed(&mut self, kind: ErrorKind) {
        for Delayable { command, done, .. } in self.delayed.take_all() {
            drop(done.send(Err(RtmError::new(kind, command.family()))));
        }
    }

    fn tell_status(&self) {
        let (state, user_id) = (self.connection.state(), self.connection.user_id());
        self.status.send_if_modified(|status| {
            let modified = status.state != state || status.user_id.as_ref() != user_id;
            if modified {
                *status = Status { state, user_id: user_id.cloned() };
            }
            modified
        });
    }

    fn state_changed(&mut self, now: Instant, state: ConnectionState, reason: ConnectionChangeReason) {
        if state == ConnectionState::Connected
            && let Some(token) = self.connection.taken_token()
        {
            // The vendor's wire does not answer a renewal: a later login tells whether the token is good.
            self.relogin.token_taken(token.clone());
        }
        self.relogin.state_changed(now, state, reason);
        let comes_back = state == ConnectionState::Connected && self.was_interrupted;
        self.counted.reconnects += u64::from(comes_back);
        self.was_interrupted = state == ConnectionState::Reconnecting;
    }

    fn publish(&mut self) {
        let calls = self.replies.len() + self.delayed.len() + self.logins.len() + self.logouts.len();
        self.counted.calls_under_way = calls as u64;
        self.counted.events_waiting = self.events.waiting().into();
        self.counted.round_trip = self.connection.round_trip();
        self.figures.publish(&self.counted);
    }

    fn poll_wake_up(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.wake_up.poll(cx);
        if due {
            let now = now();
            if self.holds_back {
                // What the server sends lies in the socket unread: that is no silence of the server's.
                self.connection.handle_bytes(now);
            }
            self.connection.handle_timeout(now);
        }
        due
    }

    fn poll_link(&mut self, cx: &mut Context<'_>) -> bool {
        // Without flow control on the wire the socket is the only thing to hold the server back with. While
        // a call waits for its answer reading goes on for a while: the application may be awaiting it.
        let waiting = self.events.waiting();
        let window = self.settings.window;
        let idle = self.replies.is_empty() && self.connection.state() == ConnectionState::Connected;
        let patience = if idle { 1 } else { CALL_PATIENCE };
        let read = self.settings.wire == Wire::Native || waiting < window.saturating_mul(patience);
        self.holds_back = !read;
        match self.link.poll(cx, read) {
            Poll::Pending => return false,
            Poll::Ready(Progress::Opened) => self.connection.handle_opened(now()),
            Poll::Ready(Progress::DialFailed(error)) => self.connection.handle_dial_failed(now(), error),
            Poll::Ready(Progress::Frames(frames)) => {
                let now = now();
                for frame in frames.drain(..) {
                    self.connection.handle_frame(now, frame);
                }
            }
            Poll::Ready(Progress::Bytes) => self.connection.handle_bytes(now()),
            Poll::Ready(Progress::Closed(closed)) => {
                crate::log::link_ended(closed.reason, &closed.detail);
                self.connection.handle_closed_with(now(), closed.reason, Text::from(closed.text));
            }
        }
        true
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        if self.abandoned {
            return false;
        }
        let mut calls = std::mem::take(&mut self.taken_orders);
        let taken = self.calls.poll_recv_many(cx, &mut calls, CALLS_A_TURN);
        if taken.is_ready() {
            let now = now();
            for order in calls.drain(..) {
                self.carry_out(now, order);
            }
            if let Poll::Ready(0) = taken {
                self.abandoned = true;
                self.carry_out_rare(now, RareOrder::Logout { done: oneshot::channel().0 });
            }
        }
        self.taken_orders = calls;
        taken.is_ready()
    }

    fn poll_taken(&mut self, cx: &mut Context<'_>) -> bool {
        let taken = self.events.poll_taken(cx);
        if let Some(taken) = taken {
            self.connection.consumed(now(), taken);
        }
        taken.is_some()
    }

    fn poll_token(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(ended)) = self.tokens.poll_join_next_with_id(cx) else { return false };
        let (id, result) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => {
                (error.id(), Err(Arc::from(Box::<dyn Error + Send + Sync>::from("it panicked"))))
            }
            // Its token is no longer wanted.
            Err(_) => return true,
        };
        // A call that has ended cannot be aborted: another user may have logged in since.
        let is_wanted =
            |(wanted, user_id): &(task::Id, UserId)| *wanted == id && self.connection.user_id() == Some(user_id);
        if !self.token_wanted.as_ref().is_some_and(is_wanted) {
            return true;
        }
        if let Err(error) = &result {
            let error = RtmError::new(ErrorKind::ProviderFailed, Family::Login).with_source(Arc::clone(error));
            crate::log::provider_failed(format_args!("{error:#}"));
        }
        self.connection.handle_token(now(), result);
        true
    }

    #[cfg(feature = "vendor")]
    fn poll_gateway(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Asked { id, answer }) = self.gateway.poll(cx) else { return false };
        match answer {
            Some(answer) => self.connection.handle_asked(now(), id, answer),
            None => self.connection.handle_ask_bytes(now(), id),
        }
        true
    }

    fn poll_relogin(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready((user_id, token)) = self.relogin.poll(cx, now) else { return false };
        let now = now();
        if self.connection.state() == ConnectionState::Aborted && self.connection.logout(now).is_ok() {
            self.logouts.push_back(oneshot::channel().0);
        }
        let app_id = self.settings.app_id.clone();
        match self.connection.login_again(now, Credentials { app_id, user_id, token }) {
            Ok(()) => {
                let (done, result) = oneshot::channel();
                self.logins.push_back(done);
                self.relogin.began(result);
            }
            Err(error) => self.relogin.failed(now, &error),
        }
        true
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> bool {
        let done = self.closing.as_mut().is_some_and(|closing| closing.poll_unpin(cx).is_ready());
        if done {
            self.closing = None;
        }
        done
    }

    /// Makes a call that may have to wait.
    fn try_call(&mut self, now: Instant, call: Delayable) {
        let id = self.connection.request_shared(now, Arc::clone(&call.command));
        self.replies.insert(id, Waiting::Delayable(Box::new(call)));
    }

    fn poll_delayed(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.settings.waits_for_limits {
            return false;
        }
        let now = now();
        let due = self.delayed.poll(cx, now);
        let is_due = !due.is_empty();
        due.into_iter().for_each(|call| self.try_call(now, call));
        is_due
    }

    fn reply(&mut self, now: Instant, id: RequestId, result: Result<Answer, RtmError>) {
        // What came before the reply is in the stream before it.
        self.events.flush();
        match self.replies.remove(id) {
            Some(Waiting::Answer(done)) => drop(done.send(result)),
            Some(Waiting::Delayable(call)) => {
                let call = match &result {
                    Err(error) => self.delayed.refused(now, *call, error),
                    Ok(_) => Some(*call),
                };
                if let Some(Delayable { done, .. }) = call {
                    drop(done.send(result));
                }
            }
            Some(Waiting::Invitation(invited)) => {
                let Invited { invitation, done } = *invited;
                drop(done.send(result.map(|_| invitation)));
            }
            Some(Waiting::Renewal(renewal)) => {
                let Renewal { token, done } = *renewal;
                if result.is_ok() {
                    self.relogin.token_taken(token);
                }
                drop(done.send(result));
            }
            None => {}
        }
    }

    fn fetch_token(&mut self) {
        let (Some(provider), Some(user_id)) = (&self.token_provider, self.connection.user_id()) else { return };
        self.tokens.abort_all();
        let (provider, user_id) = (provider.clone(), user_id.clone());
        let whose = user_id.clone();
        // A task of its own, so that what the application does in it cannot hold up or end this one.
        let task = self.tokens.spawn(async move { provider.token(user_id).await });
        self.token_wanted = Some((task.id(), whose));
    }
}

/// How many calls are taken before the other sources get their turn.
const CALLS_A_TURN: usize = 256;

/// How many windows of events the client takes in while the application awaits a call, on a wire without flow control.
const CALL_PATIENCE: u32 = 4;

#[cfg(test)]
mod tests;
