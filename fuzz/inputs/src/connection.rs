//! Sequences of inputs into a client's connection: a user, a transport and a clock that do anything in any order, and a
//! server that sends anything, well-formed or not, on either wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use rtm_codec::{
    CallId, CallLimits, ClientFrame, ClientWire, CloseReason, Command, ErrorKind, Packet, Refusal, RequestId, Seq,
    ServerFrame, Text, UserId, Wire,
    anyrtc::gateway::{Address, GatewayAnswer, GatewayRequest},
};
use rtm_connection::{
    AskId, Config, Connection, ConnectionChangeReason as Reason, ConnectionState as State, Credentials,
    LocalInvitation, Output, RemoteInvitation, RtmEvent, Target, TransportError,
};

use crate::{
    call::{Call, Raw, Size, app_id, gateway_session, token, user},
    server::{Said, Told, Welcomed, kind, reason},
};

/// One input. Which request or invitation it is about follows from the number and what there is.
#[derive(Debug, Arbitrary)]
enum Step {
    Login {
        user: u8,
        token: Option<Size>,
    },
    Logout,
    Call(Call),
    Invite {
        callee: u8,
        content: Size,
    },
    Cancel(u8),
    Accept(u8),
    Refuse(u8),
    Consume(u16),
    /// The gateway names a server, if it is asked for one, and the dial succeeds.
    Opened {
        only: bool,
    },
    DialFailed {
        kind: u8,
        retry: bool,
    },
    Closed(Option<u8>),
    Welcome(Welcomed),
    Refused(u8),
    Close(u8),
    Ping,
    Pong,
    Reply {
        which: u8,
        said: Said,
    },
    Event {
        jump: u8,
        event: Told,
    },
    /// A packet as it came.
    Raw(Raw),
    /// Time, in milliseconds; the connection's own timers are kept.
    Pass(u16),
    /// Time, in 10 ms, that passes without the driver looking.
    Sleep(u16),
    Drain,
    /// The process ends, and another one goes on with the session.
    Move,
}

/// How the connection is set up.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Setup {
    seed: u64,
    vendor: bool,
    web15: bool,
    limited: bool,
    window: u8,
}

/// Feeds a connection, keeps to the contract of a transport, and checks all that comes out.
struct World {
    setup: Setup,
    connection: Connection,
    wire: ClientWire,
    now: Instant,
    /// Nothing ends for want of an answer before this.
    judges_from: Instant,
    /// Requests without a reply, and when they were made.
    open: BTreeMap<RequestId, Instant>,
    /// What the link at hand carried and nobody answered.
    sent: Vec<(RequestId, Command)>,
    locals: Vec<LocalInvitation>,
    remotes: Vec<RemoteInvitation>,
    live_locals: BTreeSet<CallId>,
    live_remotes: BTreeSet<(UserId, CallId)>,
    told: State,
    logging_in: u32,
    logging_out: u32,
    linked: bool,
    dialing: bool,
    /// What the gateway has not answered.
    asks: Vec<(AskId, GatewayRequest)>,
    seq: u64,
    acked: (Seq, Seq),
}

/// A client's connection against any sequence of inputs.
pub fn connection(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok(setup) = Setup::arbitrary(&mut input) else { return };
    let mut world = World::new(setup);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.step(step);
    }
    world.finish();
}

fn config(setup: Setup) -> Config {
    let mut config = if setup.vendor { Config::vendor() } else { Config::native() };
    config.web15 = setup.web15;
    if !setup.vendor {
        config.window = setup.window.into();
    }
    if !setup.limited {
        config.limits = CallLimits::unlimited();
    }
    config
}

fn wire(setup: Setup) -> ClientWire {
    ClientWire::new(if setup.vendor { Wire::Vendor } else { Wire::Native })
}

impl World {
    fn new(setup: Setup) -> Self {
        Self {
            setup,
            connection: Connection::new(config(setup), setup.seed),
            wire: wire(setup),
            now: Instant::now(),
            judges_from: Instant::now(),
            open: BTreeMap::new(),
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
            asks: Vec::new(),
            seq: 0,
            acked: (Seq(0), Seq(0)),
        }
    }

    fn asked(&mut self, id: RequestId) {
        assert!(self.open.insert(id, self.now).is_none(), "the number of a request comes once");
    }

    fn frame(&mut self, frame: ServerFrame) {
        // A transport reports frames of an open link only.
        if self.linked {
            self.connection.handle_frame(self.now, frame);
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Login { user: own, token: of_size } => {
                let was = self.connection.state();
                let credentials = Credentials { app_id: app_id(), user_id: user(own), token: of_size.map(token) };
                let result = self.connection.login(now, credentials);
                assert!(result.is_err() || was == State::Disconnected);
                // The limits may be the server's, which it says when it takes a login.
                let is_too_often = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::TooOften);
                assert!(result.is_ok() || was != State::Disconnected || is_too_often, "{result:?}");
                self.logging_in += u32::from(result.is_ok());
            }
            Step::Logout => {
                self.log_out();
                self.drain();
                assert!(self.open.is_empty(), "a logout ends every request");
            }
            Step::Call(call) => {
                let id = self.connection.request(now, call.command());
                self.asked(id);
            }
            Step::Invite { callee, content } => {
                let (invitation, id) = self.connection.send_invitation(now, user(callee), content.text());
                self.asked(id);
                self.locals.push(invitation);
            }
            Step::Cancel(which) => {
                if let Some(invitation) = pick(&self.locals, which) {
                    let id = self.connection.cancel_invitation(now, &invitation, "");
                    self.asked(id);
                }
            }
            Step::Accept(which) => {
                if let Some(invitation) = pick(&self.remotes, which) {
                    let id = self.connection.accept_invitation(now, &invitation, "");
                    self.asked(id);
                }
            }
            Step::Refuse(which) => {
                if let Some(invitation) = pick(&self.remotes, which) {
                    let id = self.connection.refuse_invitation(now, &invitation, "");
                    self.asked(id);
                }
            }
            Step::Consume(events) => self.connection.consumed(now, events.into()),
            Step::Opened { only } => {
                if let Some(id) = self.take_server_ask() {
                    let servers = if only { vec![server(0)] } else { vec![server(0), server(1)] };
                    let answer = GatewayAnswer::Connect { session: gateway_session(0), addresses: servers };
                    self.connection.handle_asked(now, id, Ok(answer));
                    self.drain();
                }
                if std::mem::take(&mut self.dialing) {
                    self.linked = true;
                    self.wire = wire(self.setup);
                    self.connection.handle_opened(now);
                }
            }
            Step::DialFailed { kind: number, retry } => {
                let error = TransportError { retry, detail: Text::from("it is so"), source: None };
                if let Some(id) = self.take_server_ask() {
                    let refused = GatewayAnswer::Refused(kind(number));
                    self.connection.handle_asked(now, id, if retry { Err(error) } else { Ok(refused) });
                } else if std::mem::take(&mut self.dialing) {
                    self.connection.handle_dial_failed(now, error);
                }
            }
            Step::Closed(why) => {
                if std::mem::take(&mut self.linked) {
                    self.sent.clear();
                    self.connection.handle_closed(now, why.map(reason));
                }
            }
            Step::Welcome(welcomed) => {
                self.drain();
                self.frame(ServerFrame::Welcome(Box::new(welcomed.welcome(self.connection.user_id()))));
                // A session that cannot be resumed is none to save; it starts its stream as any other.
                if self.told != State::Connected && self.connection.state() == State::Connected {
                    self.seq = self.connection.session().map_or(0, |session| session.received().0);
                    self.acked = (Seq(0), Seq(0));
                }
            }
            Step::Refused(why) => self.frame(ServerFrame::Refused(Refusal::from(kind(why)))),
            Step::Close(why) => self.frame(ServerFrame::Close(reason(why))),
            Step::Ping => self.frame(ServerFrame::Ping),
            Step::Pong => self.frame(ServerFrame::Pong),
            Step::Reply { which, said } => {
                self.drain();
                if !self.asks.is_empty() {
                    let (id, request) = self.asks.remove(usize::from(which) % self.asks.len());
                    self.connection.handle_asked(now, id, Ok(said.gateway_answer(&request)));
                } else if !self.sent.is_empty() {
                    let (id, command) = self.sent.remove(usize::from(which) % self.sent.len());
                    self.frame(ServerFrame::Reply { id, result: said.result(&command) });
                }
            }
            Step::Event { jump, event } => {
                // Mostly the next one, or one that came before; sometimes one from far away.
                self.seq = match jump {
                    0..200 => self.seq.saturating_add(1),
                    200..240 => self.seq.saturating_sub(u64::from(jump - 200)),
                    240..254 => self.seq.saturating_add(u64::from(jump)),
                    254 => self.seq.saturating_add(u64::MAX / 3),
                    255 => u64::MAX,
                };
                let event = event.event(pick(&self.locals, jump));
                self.frame(ServerFrame::Event { seq: Seq(self.seq), event });
            }
            Step::Raw(Raw(bytes)) => self.raw(bytes),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms.into())),
            Step::Sleep(hundredths) => {
                self.now += Duration::from_millis(10) * u32::from(hundredths);
                self.judges_from = self.now + READING;
            }
            Step::Drain => {
                self.drain();
            }
            Step::Move => self.go_on_elsewhere(),
        }
        let state = self.connection.state();
        assert!(!state.is_logged_in() || self.connection.user_id().is_some());
    }

    /// What a transport does with a packet: what it cannot read ends the link.
    fn raw(&mut self, bytes: Vec<u8>) {
        if !self.linked {
            return;
        }
        let packet = if self.setup.vendor {
            let Ok(text) = String::from_utf8(bytes) else { return };
            Packet::Text(Text::from(text))
        } else {
            Packet::Binary(Bytes::from(bytes))
        };
        let mut frames = Vec::new();
        let decoded = self.wire.decode(packet, &mut frames);
        for frame in frames {
            if let ServerFrame::Event { seq, .. } = &frame {
                self.seq = seq.0;
            }
            self.frame(frame);
            // It may have given the link up.
            self.drain();
        }
        if decoded.is_err() && std::mem::take(&mut self.linked) {
            self.sent.clear();
            self.connection.handle_closed(self.now, Some(CloseReason::ProtocolError));
        }
    }

    /// The request for a server, if the gateway has one.
    fn take_server_ask(&mut self) -> Option<AskId> {
        self.drain();
        let at = self.asks.iter().position(|(_, request)| matches!(request, GatewayRequest::Connect { .. }))?;
        Some(self.asks.remove(at).0)
    }

    fn log_out(&mut self) {
        let was = self.connection.state();
        let result = self.connection.logout(self.now);
        assert_eq!(result.is_ok(), was != State::Disconnected);
        self.logging_out += u32::from(result.is_ok());
    }

    fn go_on_elsewhere(&mut self) {
        self.drain();
        let session = self.connection.session();
        // Whatever is under way ends with its process.
        let fresh = Self::new(self.setup);
        let now = self.now;
        *self = Self { now, ..fresh };
        if let Some(session) = session {
            self.connection = Connection::with_session(config(self.setup), self.setup.seed, session);
            assert_eq!(self.connection.session(), None, "a saved session is none before its login");
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.drain().filter(|at| *at <= end) {
            assert!(at > self.now, "a wait lies in the future");
            self.now = at;
            self.connection.handle_timeout(at);
            turns += 1;
            assert!(turns < MOST_TURNS, "time goes on");
        }
        self.now = end;
        self.drain();
    }

    fn drain(&mut self) -> Option<Instant> {
        let mut acks = 0;
        for _ in 0..MOST_OUTPUTS {
            match self.connection.poll_output(self.now) {
                Output::Wait(until) => {
                    assert!(until.is_none_or(|until| until.at > self.now), "a wait lies in the future");
                    assert!(acks <= 1, "one acknowledgement a turn");
                    let judges = self.judges_from <= self.now;
                    let late = self.open.iter().find(|(_, made)| judges && **made + MOST_TIME <= self.now);
                    assert_eq!(late, None, "a request ends when its time is over");
                    return until.map(|until| until.at);
                }
                Output::Dial(target) => {
                    assert!(!self.linked, "one link at a time");
                    assert_eq!(
                        matches!(target, Target::Gateway(_)),
                        !self.setup.vendor,
                        "the gateway says where, if there is one"
                    );
                    self.dialing = true;
                }
                Output::Ask { id, gateway: _, request } => {
                    assert!(self.asks.iter().all(|(ask, _)| *ask != id), "a request has a number of its own");
                    self.asks.push((id, *request));
                }
                Output::CancelAsk(id) => {
                    let at = self.asks.iter().position(|(ask, _)| *ask == id).expect("it is under way");
                    self.asks.remove(at);
                }
                Output::StoredMessagesLeft { .. } => assert!(self.setup.vendor),
                Output::Hangup(_) => {
                    (self.linked, self.dialing) = (false, false);
                    self.sent.clear();
                }
                Output::Send(frame) => acks += u32::from(self.send(frame)),
                Output::Request { id, command } => {
                    self.send(ClientFrame::Request { id, command: Arc::unwrap_or_clone(command) });
                }
                Output::Event(event) => self.check_event(event),
                Output::Reply { id, result: _ } => assert!(self.open.remove(&id).is_some(), "a request ends once"),
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
        panic!("what is to be done comes to an end");
    }

    /// Carries a frame, as it goes over the wire. Says whether it was an acknowledgement.
    fn send(&mut self, frame: ClientFrame) -> bool {
        assert!(self.linked, "{frame:?} goes over a link");
        self.wire.encode(&frame);
        while self.wire.take_packet().is_some() {}
        while let Some(answer) = self.wire.take_frame() {
            self.connection.handle_frame(self.now, answer);
        }
        match frame {
            ClientFrame::Request { id, command } => {
                assert!(self.sent.iter().all(|(sent, _)| *sent != id), "sent once over one link");
                self.sent.push((id, command));
                false
            }
            ClientFrame::Login(login) => {
                self.acked = login.resume.map_or((Seq(0), Seq(0)), |resume| (resume.received, resume.consumed));
                false
            }
            ClientFrame::Ack { received, consumed, .. } => {
                assert!(consumed <= received, "what is consumed was received");
                assert!(received >= self.acked.0 && consumed >= self.acked.1, "acknowledgements rise");
                self.acked = (received, consumed);
                true
            }
            _ => false,
        }
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
                let key = (invitation.caller_id.clone(), invitation.call_id.clone());
                assert!(self.live_remotes.insert(key), "an invitation comes once");
                self.remotes.push(invitation);
            }
            RtmEvent::RemoteInvitationAccepted { invitation, .. }
            | RtmEvent::RemoteInvitationRefused { invitation, .. }
            | RtmEvent::RemoteInvitationCanceled { invitation, .. }
            | RtmEvent::RemoteInvitationFailure { invitation, .. } => {
                let key = (invitation.caller_id, invitation.call_id);
                assert!(self.live_remotes.remove(&key), "an invitation ends once");
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
                Reason::RemoteLogin => !self.setup.web15,
                Reason::BannedByServer => true,
                Reason::TokenExpired => from == Connected,
                _ => false,
            },
            (Connected | Reconnecting, Disconnected) => {
                reason == Reason::Logout || (reason == Reason::RemoteLogin && self.setup.web15)
            }
            (Aborted, Disconnected) => reason == Reason::Logout,
            _ => false,
        }
    }

    /// Nothing is left over when time has ended all that it can end.
    fn finish(&mut self) {
        self.drain();
        assert_eq!(self.told, self.connection.state());
        self.log_out();
        self.pass(MOST_TIME);
        assert_eq!(self.open, BTreeMap::new(), "every request ends");
        assert_eq!(self.asks, [], "nothing is asked for nobody");
        assert_eq!((self.logging_in, self.logging_out), (0, 0));
        assert_eq!(self.connection.state(), State::Disconnected);
        assert_eq!(self.drain(), None, "nothing more to wait for");
    }
}

fn server(number: u16) -> Address {
    Address { host: Text::from("server"), port: number }
}

fn pick<T: Clone>(from: &[T], which: u8) -> Option<T> {
    from.get(usize::from(which) % from.len().max(1)).cloned()
}

/// The longest time that a call may take.
const MOST_TIME: Duration = Duration::from_secs(10);
/// After it stood still, a connection reads for so long before it ends anything.
const READING: Duration = Duration::from_secs(1);
const MOST_STEPS: usize = 512;
const MOST_TURNS: usize = 10_000;
const MOST_OUTPUTS: usize = 100_000;
