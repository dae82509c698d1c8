//! A driver for random input: it feeds a connection, keeps to the contract of a transport, and checks all that the
//! connection puts out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rtm_codec::{
    AddOrUpdateLocalUserAttributes, Answer, AttributeKey, CallId, CallLimits, ClientFrame, CloseReason, Command,
    ErrorKind, Event, HistoryOf, HistoryPage, JoinChannel, LeaveChannel, LocalInvitationFailureReason, PeerMessage,
    QueryHistory, QueryPeersOnlineStatus, Refusal, RemoteInvitationFailureReason, RequestId, Resumption, SendOutcome,
    Seq, ServerFrame, SubscribePeersOnlineStatus, UnsubscribePeersOnlineStatus, Welcome,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest, StoredCursor, StoredPage},
};
use rtm_connection::{
    AskId, Config, Connection, ConnectionChangeReason as Reason, ConnectionState as State, GatewayConfig,
    LocalInvitation, Output, RemoteInvitation, RtmEvent, Target, TransportError,
};

use crate::peer::{channel, credentials, named, no_route, peer_message, ticket, to_alice, token, user};

/// One input. Which request, invitation or event it is about follows from the number and what there is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Login,
    Logout,
    Send,
    Query,
    History,
    Subscribe(u8),
    Unsubscribe(u8),
    Join(u8),
    Leave(u8),
    Attribute(u8),
    Renew(u8),
    Invite,
    Cancel(u8),
    Accept(u8),
    Refuse(u8),
    Consume(u8),
    NetworkChanged,
    Opened,
    DialFailed(bool),
    Answer(u8),
    RefuseAsk(u8, ErrorKind),
    AskFailed(u8, bool),
    Closed(Option<CloseReason>),
    Welcome(Resumption, Option<u64>),
    Refused(ErrorKind),
    Close(CloseReason),
    Ping,
    Answered(u8),
    RefusedCall(u8, ErrorKind),
    Message(u8),
    Invited(u8),
    Rang(u8),
    LocalEnd(u8),
    RemoteEnd(u8),
    Expiring,
    /// Time, in milliseconds; the connection's own timers are kept.
    Pass(u32),
    /// Time that passes without the driver looking.
    Sleep(u32),
    Drain,
}

/// Drives a connection, and checks all that it puts out.
pub(crate) struct World {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    start: Instant,
    web15: bool,
    /// Requests without a reply.
    open: BTreeSet<RequestId>,
    sent: Vec<(RequestId, Command)>,
    /// Numbers whose answer the link at hand may still bring.
    locals: Vec<LocalInvitation>,
    remotes: Vec<RemoteInvitation>,
    live_locals: BTreeSet<CallId>,
    live_remotes: BTreeSet<CallId>,
    told: State,
    logging_in: u32,
    logging_out: u32,
    linked: bool,
    dialing: bool,
    vendor: bool,
    /// What the gateway has not answered.
    asks: Vec<(AskId, GatewayRequest)>,
    seq: u64,
    acked: (Seq, Seq),
    events: u32,
    pub(crate) trace: Vec<String>,
}

impl World {
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn new(seed: u64, vendor: bool, web15: bool, start: Instant) -> Self {
        let mut config = if vendor { Config::vendor() } else { Config::native() };
        config.web15 = web15;
        config.limits = CallLimits::unlimited();
        config.gateways = vec![GatewayConfig::default(); 1 + (seed % 3) as usize];
        Self {
            connection: Connection::new(config, seed),
            now: start,
            start,
            web15,
            open: BTreeSet::new(),
            sent: Vec::new(),
            locals: Vec::new(),
            remotes: Vec::new(),
            live_locals: BTreeSet::new(),
            live_remotes: BTreeSet::new(),
            told: State::Disconnected,
            logging_in: 0,
            logging_out: 0,
            linked: false,
            dialing: false,
            vendor,
            asks: Vec::new(),
            seq: 0,
            acked: (Seq(0), Seq(0)),
            events: 0,
            trace: Vec::new(),
        }
    }

    fn call(&mut self, command: impl Into<Command>) {
        let id = self.connection.request(self.now, command);
        assert!(self.open.insert(id), "the number of a request comes once");
    }

    pub(crate) fn frame(&mut self, frame: ServerFrame) {
        // A transport reports frames of an open link only.
        if self.linked {
            self.connection.handle_frame(self.now, frame);
        }
    }

    fn event(&mut self, event: Event) {
        if self.linked {
            self.seq += 1;
            self.frame(ServerFrame::Event { seq: Seq(self.seq), event });
        }
    }

    pub(crate) fn step(&mut self, step: Step) {
        let now = self.now;
        let pick = |which: u8, len: usize| usize::from(which) % len.max(1);
        match step {
            Step::Login => {
                let was = self.connection.state();
                let result = self.connection.login(now, credentials());
                assert_eq!(result.is_ok(), was == State::Disconnected);
                self.logging_in += u32::from(result.is_ok());
            }
            Step::Logout => {
                let was = self.connection.state();
                let result = self.connection.logout(now);
                assert_eq!(result.is_ok(), was != State::Disconnected);
                self.logging_out += u32::from(result.is_ok());
                self.drain();
            }
            Step::Send => self.call(to_alice("hi")),
            Step::History => self.call(QueryHistory {
                conversation: HistoryOf::Peer(user("alice")),
                from_ts: 0,
                until_ts: u64::MAX,
                after: None,
                limit: 10,
            }),
            Step::Query => self.call(QueryPeersOnlineStatus { peer_ids: vec![user("alice")] }),
            Step::Subscribe(n) => self.call(SubscribePeersOnlineStatus { peer_ids: vec![user(&format!("u{n}"))] }),
            Step::Unsubscribe(n) => self.call(UnsubscribePeersOnlineStatus { peer_ids: vec![user(&format!("u{n}"))] }),
            Step::Join(n) => self.call(JoinChannel { channel_id: channel(&format!("c{}", n % 4)) }),
            Step::Leave(n) => self.call(LeaveChannel { channel_id: channel(&format!("c{}", n % 4)) }),
            Step::Attribute(n) => {
                let key = AttributeKey::new(format!("k{n}")).unwrap();
                let attributes = BTreeMap::from([(key, "v".into())]);
                self.call(AddOrUpdateLocalUserAttributes { attributes });
            }
            Step::Renew(n) => {
                let id = self.connection.renew_token(now, token(&format!("t{n}")));
                assert!(self.open.insert(id));
            }
            Step::Invite => {
                let (invitation, id) = self.connection.send_invitation(now, user("alice"), "call?");
                assert!(self.open.insert(id));
                self.locals.push(invitation);
            }
            Step::Cancel(n) => {
                if let Some(invitation) = self.locals.get(pick(n, self.locals.len())).cloned() {
                    let id = self.connection.cancel_invitation(now, &invitation, "");
                    assert!(self.open.insert(id));
                }
            }
            Step::Accept(n) => {
                if let Some(invitation) = self.remotes.get(pick(n, self.remotes.len())).cloned() {
                    let id = self.connection.accept_invitation(now, &invitation, "");
                    assert!(self.open.insert(id));
                }
            }
            Step::Refuse(n) => {
                if let Some(invitation) = self.remotes.get(pick(n, self.remotes.len())).cloned() {
                    let id = self.connection.refuse_invitation(now, &invitation, "");
                    assert!(self.open.insert(id));
                }
            }
            Step::Consume(n) => self.connection.consumed(now, u32::from(n)),
            Step::NetworkChanged => self.connection.network_changed(now),
            Step::Opened => {
                if std::mem::take(&mut self.dialing) {
                    self.linked = true;
                    self.connection.handle_opened(now);
                }
            }
            Step::DialFailed(retry) => {
                if std::mem::take(&mut self.dialing) {
                    self.connection.handle_dial_failed(now, no_route(retry));
                }
            }
            Step::Answer(n) => self.asked(n, |request| {
                Ok(match (request, n % 4) {
                    (_, 3) => GatewayAnswer::TryAgain,
                    (GatewayRequest::Connect { .. }, 2) => named(&[]),
                    (GatewayRequest::Connect { .. }, _) => named(&["dead", "alive"]),
                    (GatewayRequest::OfflineMessages { .. }, _) => {
                        let message = PeerMessage { is_offline_message: true, ..peer_message(&format!("stored {n}")) };
                        let next = n.is_multiple_of(3).then_some(StoredCursor(n as u64));
                        GatewayAnswer::OfflineMessages(StoredPage { messages: vec![message], next })
                    }
                    _ => GatewayAnswer::History(HistoryPage::new(Vec::new(), None)),
                })
            }),
            Step::RefuseAsk(n, kind) => self.asked(n, |_| Ok(GatewayAnswer::Refused(kind))),
            Step::AskFailed(n, retry) => self.asked(n, |_| Err(no_route(retry))),
            Step::Closed(reason) => {
                if std::mem::take(&mut self.linked) {
                    self.sent.clear();
                    self.connection.handle_closed(now, reason);
                }
            }
            Step::Welcome(resumption, token_expires_in_ms) => {
                let was = self.connection.state();
                let welcome = Welcome {
                    user_id: user("bob"),
                    ticket: Some(ticket(1)),
                    resumption,
                    token_expires_in_ms,
                    server_time_ms: 0,
                    limits: None,
                };
                self.frame(ServerFrame::Welcome(Box::new(welcome)));
                if was != State::Connected && self.connection.state() == State::Connected {
                    self.seq = self.connection.session().unwrap().received().0;
                    self.acked = (Seq(0), Seq(0));
                }
            }
            Step::Refused(kind) => self.frame(ServerFrame::Refused(Refusal::from(kind))),
            Step::Close(reason) => self.frame(ServerFrame::Close(reason)),
            Step::Ping => self.frame(ServerFrame::Ping),
            Step::Answered(n) => {
                self.drain();
                if !self.sent.is_empty() {
                    let (id, command) = self.sent.remove(pick(n, self.sent.len()));
                    self.frame(ServerFrame::Reply { id, result: Ok(answer(&command)) });
                }
            }
            Step::RefusedCall(n, kind) => {
                self.drain();
                if !self.sent.is_empty() {
                    let (id, _) = self.sent.remove(pick(n, self.sent.len()));
                    self.frame(ServerFrame::Reply { id, result: Err(Refusal::from(kind)) });
                }
            }
            Step::Message(n) => self.event(Event::MessageFromPeer(peer_message(&n.to_string()))),
            Step::Invited(n) => {
                let call_id = CallId::new(format!("r{n}")).unwrap();
                self.event(Event::RemoteInvitationReceived { call_id, caller_id: user("alice"), content: "".into() });
            }
            Step::Rang(n) => {
                if let Some(LocalInvitation { call_id, callee_id, .. }) =
                    self.locals.get(pick(n, self.locals.len())).cloned()
                {
                    self.event(Event::LocalInvitationReceivedByPeer { call_id, callee_id });
                }
            }
            Step::LocalEnd(n) => {
                if let Some(LocalInvitation { call_id, callee_id, .. }) =
                    self.locals.get(pick(n, self.locals.len())).cloned()
                {
                    let response = "".into();
                    self.event(match n % 3 {
                        0 => Event::LocalInvitationAccepted { call_id, callee_id, response },
                        1 => Event::LocalInvitationRefused { call_id, callee_id, response },
                        _ => {
                            let reason = LocalInvitationFailureReason::PeerOffline;
                            Event::LocalInvitationFailure { call_id, callee_id, reason }
                        }
                    });
                }
            }
            Step::RemoteEnd(n) => {
                let call_id = CallId::new(format!("r{n}")).unwrap();
                let caller_id = user("alice");
                self.event(if n % 2 == 0 {
                    Event::RemoteInvitationCanceled { call_id, caller_id, content: "".into() }
                } else {
                    let reason = RemoteInvitationFailureReason::PeerOffline;
                    Event::RemoteInvitationFailure { call_id, caller_id, reason }
                });
            }
            Step::Expiring => self.event(Event::TokenWillExpire { expires_in_ms: 1000 }),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms.into())),
            Step::Sleep(ms) => self.now += Duration::from_millis(ms.into()),
            Step::Drain => {
                self.drain();
            }
        }
        assert!(!self.connection.state().is_logged_in() || self.connection.user_id().is_some());
    }

    /// The gateway answers one of the requests that it has, or that fails.
    fn asked(&mut self, n: u8, answer: impl FnOnce(&GatewayRequest) -> Result<GatewayAnswer, TransportError>) {
        self.drain();
        if !self.asks.is_empty() {
            let (id, request) = self.asks.remove(usize::from(n) % self.asks.len());
            self.connection.handle_asked(self.now, id, answer(&request));
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(at) = self.drain().filter(|at| *at <= end) {
            assert!(at > self.now, "a wait lies in the future");
            self.now = at;
            self.connection.handle_timeout(at);
            steps += 1;
            assert!(steps < 10_000, "time goes on");
        }
        self.now = end;
        self.drain();
    }

    pub(crate) fn drain(&mut self) -> Option<Instant> {
        let mut acks = 0;
        for _ in 0..100_000 {
            let output = self.connection.poll_output(self.now);
            if !matches!(output, Output::Wait(_)) {
                self.trace.push(format!("{:?} {output:?}", self.now - self.start));
            }
            match output {
                Output::Wait(until) => {
                    assert!(until.is_none_or(|until| until.at > self.now), "a wait lies in the future");
                    assert!(acks <= 1, "one acknowledgement a turn");
                    return until.map(|until| until.at);
                }
                Output::Dial(target) => {
                    assert!(!self.linked, "one link at a time");
                    assert_eq!(
                        matches!(target, Target::Gateway(_)),
                        !self.vendor,
                        "the gateway says where, if there is one"
                    );
                    self.dialing = true;
                }
                Output::Ask { id, gateway: _, request } => {
                    assert!(self.asks.iter().all(|(asked, _)| *asked != id), "a request has a number of its own");
                    self.asks.push((id, *request));
                }
                Output::CancelAsk(id) => {
                    let at = self.asks.iter().position(|(asked, _)| *asked == id).expect("it is under way");
                    self.asks.remove(at);
                }
                Output::StoredMessagesLeft { .. } => assert!(self.vendor),
                Output::Hangup(_) => {
                    self.linked = false;
                    self.dialing = false;
                    self.sent.clear();
                }
                Output::Request { id, command } => {
                    assert!(self.linked, "{command:?} goes over a link");
                    assert!(self.sent.iter().all(|(sent, _)| *sent != id), "sent once over one link");
                    self.sent.push((id, Arc::unwrap_or_clone(command)));
                }
                Output::Send(frame) => {
                    assert!(self.linked, "{frame:?} goes over a link");
                    if let ClientFrame::Ack { received, consumed, .. } = frame {
                        assert!(consumed <= received);
                        assert!(received >= self.acked.0 && consumed >= self.acked.1, "acknowledgements rise");
                        self.acked = (received, consumed);
                        acks += 1;
                    }
                }
                Output::Event(event) => {
                    self.events += 1;
                    self.check_event(event);
                }
                Output::Reply { id, .. } => assert!(self.open.remove(&id), "a request ends once"),
                Output::LoginResult(result) => {
                    self.logging_in = self.logging_in.checked_sub(1).expect("a login ends once");
                    assert_eq!(result.is_ok(), self.told == State::Connected, "the event comes first");
                }
                Output::LogoutResult(_) => {
                    self.logging_out = self.logging_out.checked_sub(1).expect("a logout ends once");
                }
                Output::FetchToken => {}
            }
        }
        panic!("a drain ends");
    }

    fn check_event(&mut self, event: RtmEvent) {
        match event {
            RtmEvent::ConnectionStateChanged { state, reason, .. } => {
                assert!(self.is_arrow(self.told, state, reason), "{:?} -> {state:?}, {reason:?}", self.told);
                self.told = state;
                if !state.is_logged_in() {
                    assert_eq!(self.live_remotes, BTreeSet::new(), "invitations end before their session");
                    assert_eq!(self.live_locals, BTreeSet::new(), "invitations end before their session");
                }
                return;
            }
            RtmEvent::RemoteInvitationReceived { invitation, .. } => {
                assert!(self.live_remotes.insert(invitation.call_id.clone()), "an invitation comes once");
                self.remotes.push(invitation);
            }
            RtmEvent::RemoteInvitationAccepted { invitation, .. }
            | RtmEvent::RemoteInvitationRefused { invitation, .. }
            | RtmEvent::RemoteInvitationCanceled { invitation, .. }
            | RtmEvent::RemoteInvitationFailure { invitation, .. } => {
                assert!(self.live_remotes.remove(&invitation.call_id), "an invitation ends once");
            }
            RtmEvent::LocalInvitationReceivedByPeer { invitation, .. } => {
                assert!(self.live_locals.insert(invitation.call_id), "it rings once");
            }
            RtmEvent::LocalInvitationAccepted { invitation, .. }
            | RtmEvent::LocalInvitationRefused { invitation, .. }
            | RtmEvent::LocalInvitationCanceled { invitation, .. }
            | RtmEvent::LocalInvitationFailure { invitation, .. } => {
                self.live_locals.remove(&invitation.call_id);
                self.locals.retain(|local| local.call_id != invitation.call_id);
            }
            _ => {}
        }
        assert!(self.told.is_logged_in(), "events come while logged in");
    }

    fn is_arrow(&self, from: State, to: State, reason: Reason) -> bool {
        use State::{Aborted, Connected, Connecting, Disconnected, Reconnecting};
        match (from, to) {
            (Disconnected, Connecting) => reason == Reason::Login,
            (Connecting | Reconnecting, Connected) => reason == Reason::LoginSuccess,
            (Connecting, Disconnected) => {
                matches!(reason, Reason::LoginFailure | Reason::LoginTimeout | Reason::BannedByServer | Reason::Logout)
            }
            (Connected, Reconnecting) => reason == Reason::Interrupted,
            (Connected | Reconnecting, Aborted) => match reason {
                Reason::RemoteLogin => !self.web15,
                Reason::BannedByServer => true,
                Reason::TokenExpired => from == Connected,
                _ => false,
            },
            (Connected | Reconnecting, Disconnected) => {
                reason == Reason::Logout || (reason == Reason::RemoteLogin && self.web15)
            }
            (Aborted, Disconnected) => reason == Reason::Logout,
            _ => false,
        }
    }

    /// Nothing is left over when time has ended all that it can end.
    pub(crate) fn finish(&mut self) {
        self.drain();
        assert_eq!(self.told, self.connection.state());
        if self.connection.logout(self.now).is_ok() {
            self.logging_out += 1;
        }
        self.pass(Duration::from_secs(10));
        assert_eq!(self.open, BTreeSet::new(), "every request ends");
        assert!(self.asks.is_empty(), "nothing is asked for nobody");
        assert_eq!((self.logging_in, self.logging_out), (0, 0));
        assert_eq!(self.connection.state(), State::Disconnected);
        assert_eq!(self.drain(), None, "nothing more to wait for");
    }
}

fn answer(command: &Command) -> Answer {
    match command {
        Command::SendMessageToPeer(_) => Answer::SendMessageToPeer(SendOutcome::Delivered),
        Command::QueryPeersOnlineStatus(_) => Answer::QueryPeersOnlineStatus(Vec::new()),
        Command::SubscribePeersOnlineStatus(_) => Answer::SubscribePeersOnlineStatus(()),
        Command::UnsubscribePeersOnlineStatus(_) => Answer::UnsubscribePeersOnlineStatus(()),
        Command::JoinChannel(_) => Answer::JoinChannel(()),
        Command::LeaveChannel(_) => Answer::LeaveChannel(()),
        Command::AddOrUpdateLocalUserAttributes(_) => Answer::AddOrUpdateLocalUserAttributes(()),
        Command::SetLocalUserAttributes(_) => Answer::SetLocalUserAttributes(()),
        Command::RenewToken(_) => Answer::RenewToken(()),
        Command::SendInvitation(_) => Answer::SendInvitation(()),
        Command::CancelInvitation(_) => Answer::CancelInvitation(()),
        Command::AcceptInvitation(_) => Answer::AcceptInvitation(()),
        Command::RefuseInvitation(_) => Answer::RefuseInvitation(()),
        // Of the wrong kind, which must do no harm either.
        _ => Answer::QueryPeersBySubscriptionOption(Vec::new()),
    }
}
