//! A scripted server and transport around one connection, with a clock of its own.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use rtm_codec::{
    Answer, AppId, ChannelId, ClientFrame, CloseReason, Command, Epoch, ErrorKind, Event, Login, MessageId,
    PeerMessage, Refusal, RequestId, Resumption, RtmMessage, Seq, ServerFrame, SessionId, SessionTicket, Text, Token,
    UserId, Welcome,
    anyrtc::gateway::{Address, GatewayAnswer, GatewayRequest, StoredPage},
};
use rtm_connection::{
    AskId, Config, Connection, ConnectionChangeReason as Reason, ConnectionState as State, Credentials, Output,
    RtmError, RtmEvent, Target, TransportError,
};

mod expect;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What the connection put out and nobody looked at yet, by kind and in order.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    now: Instant,
    /// Whether pings are answered.
    pub(crate) alive: bool,
    seq: u64,
    wait: Option<Instant>,
    dials: VecDeque<Target>,
    /// Whether the gateway answers as if it had one server and nothing stored; else its requests are kept.
    pub(crate) has_gateway: bool,
    asks: VecDeque<(AskId, GatewayRequest)>,
    /// Which gateway was asked last.
    pub(crate) asked_gateway: usize,
    canceled_asks: VecDeque<AskId>,
    left_stored: usize,
    sent: VecDeque<ClientFrame>,
    hangups: VecDeque<CloseReason>,
    events: VecDeque<RtmEvent>,
    replies: VecDeque<(RequestId, Result<Answer, RtmError>)>,
    logins: VecDeque<Result<(), RtmError>>,
    logouts: VecDeque<Result<(), RtmError>>,
    tokens_needed: usize,
    pings: usize,
    /// Everything but time, in order, for traces.
    pub(crate) trace: Vec<String>,
}

impl Peer {
    pub(crate) fn new(config: Config) -> Self {
        Self::around(Connection::new(config, 7))
    }

    #[allow(clippy::disallowed_methods)]
    pub(crate) fn around(connection: Connection) -> Self {
        Self {
            connection,
            now: Instant::now(),
            alive: true,
            seq: 0,
            wait: None,
            dials: VecDeque::new(),
            has_gateway: true,
            asks: VecDeque::new(),
            asked_gateway: 0,
            canceled_asks: VecDeque::new(),
            left_stored: 0,
            sent: VecDeque::new(),
            hangups: VecDeque::new(),
            events: VecDeque::new(),
            replies: VecDeque::new(),
            logins: VecDeque::new(),
            logouts: VecDeque::new(),
            tokens_needed: 0,
            pings: 0,
            trace: Vec::new(),
        }
    }

    /// Logged in on the native wire, with nothing left to look at.
    pub(crate) fn online() -> Self {
        Self::online_with(Config::native())
    }

    pub(crate) fn online_with(config: Config) -> Self {
        let mut peer = Self::new(config);
        peer.login();
        peer.open();
        peer.welcome(Resumption::New);
        peer.expect_state(State::Connecting, Reason::Login);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        peer.expect_login_ok();
        peer
    }

    // What the user does.

    pub(crate) fn login(&mut self) {
        self.try_login().unwrap();
    }

    pub(crate) fn login_as(&mut self, user_id: &str) {
        self.connection.login(self.now, Credentials { user_id: user(user_id), ..credentials() }).unwrap();
        self.drain();
    }

    pub(crate) fn try_login(&mut self) -> Result<(), RtmError> {
        let result = self.connection.login(self.now, credentials());
        self.drain();
        result
    }

    pub(crate) fn logout(&mut self) -> Result<(), RtmError> {
        let result = self.connection.logout(self.now);
        self.drain();
        result
    }

    pub(crate) fn request(&mut self, command: impl Into<Command>) -> RequestId {
        let id = self.connection.request(self.now, command);
        self.drain();
        id
    }

    pub(crate) fn renew(&mut self, text: &str) -> RequestId {
        let id = self.connection.renew_token(self.now, token(text));
        self.drain();
        id
    }

    pub(crate) fn consume(&mut self, events: u32) {
        self.connection.consumed(self.now, events);
        self.drain();
    }

    /// Anything else, with the time.
    pub(crate) fn with<R>(&mut self, act: impl FnOnce(&mut Connection, Instant) -> R) -> R {
        let result = act(&mut self.connection, self.now);
        self.drain();
        result
    }

    // What the transport and the server do.

    /// The dial is expected and succeeds; what was sent before is of no interest. Returns the login that follows.
    pub(crate) fn open(&mut self) -> Login {
        self.expect_dial();
        self.sent.clear();
        self.connection.handle_opened(self.now);
        self.drain();
        match self.sent.pop_front() {
            Some(ClientFrame::Login(login)) => *login,
            other => panic!("a login, not {other:?}"),
        }
    }

    pub(crate) fn dial_failed(&mut self, retry: bool) {
        self.expect_dial();
        self.connection.handle_dial_failed(self.now, no_route(retry));
        self.drain();
    }

    /// The next request to the gateway, whose answer is this.
    pub(crate) fn answer_ask(&mut self, answer: Result<GatewayAnswer, TransportError>) -> GatewayRequest {
        let (id, request) = self.expect_ask();
        self.answer_late(id, answer);
        request
    }

    /// An answer to a request that was looked at already.
    pub(crate) fn answer_late(&mut self, id: AskId, answer: Result<GatewayAnswer, TransportError>) {
        self.connection.handle_asked(self.now, id, answer);
        self.drain();
    }

    /// A part of the answer to a request.
    pub(crate) fn ask_bytes(&mut self, id: AskId) {
        self.connection.handle_ask_bytes(self.now, id);
        self.drain();
    }

    /// A part of a packet.
    pub(crate) fn bytes(&mut self) {
        self.connection.handle_bytes(self.now);
        self.drain();
    }

    pub(crate) fn welcome(&mut self, resumption: Resumption) {
        self.welcome_with(|welcome| welcome.resumption = resumption);
    }

    pub(crate) fn welcome_with(&mut self, change: impl FnOnce(&mut Welcome)) {
        let welcome = self.welcome_frame(change);
        self.frame(welcome);
    }

    pub(crate) fn welcome_frame(&mut self, change: impl FnOnce(&mut Welcome)) -> ServerFrame {
        let mut welcome = Welcome {
            user_id: user("bob"),
            ticket: Some(ticket(1)),
            resumption: Resumption::New,
            token_expires_in_ms: None,
            server_time_ms: 0,
            limits: None,
        };
        change(&mut welcome);
        if welcome.resumption == Resumption::New {
            self.seq = 0;
        }
        ServerFrame::Welcome(Box::new(welcome))
    }

    pub(crate) fn frame(&mut self, frame: ServerFrame) {
        self.connection.handle_frame(self.now, frame);
        self.drain();
    }

    /// Several frames before anything is put out.
    pub(crate) fn frames(&mut self, frames: impl IntoIterator<Item = ServerFrame>) {
        for frame in frames {
            self.connection.handle_frame(self.now, frame);
        }
        self.drain();
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.seq += 1;
        self.frame(ServerFrame::Event { seq: Seq(self.seq), event });
    }

    /// A message from alice.
    pub(crate) fn message(&mut self, text: &str) {
        self.event(Event::MessageFromPeer(peer_message(text)));
    }

    pub(crate) fn reply(&mut self, id: RequestId, answer: Answer) {
        self.frame(ServerFrame::Reply { id, result: Ok(answer) });
    }

    pub(crate) fn refuse(&mut self, id: RequestId, kind: ErrorKind) {
        self.frame(ServerFrame::Reply { id, result: Err(Refusal::from(kind)) });
    }

    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.frame(ServerFrame::Close(reason));
    }

    /// The link breaks without a word.
    pub(crate) fn cut(&mut self) {
        self.connection.handle_closed(self.now, None);
        self.drain();
    }

    /// The link breaks, is lost for the user, and is opened again. Returns the login that follows.
    pub(crate) fn cut_and_reopen(&mut self) -> Login {
        self.cut();
        self.expect_state(State::Reconnecting, Reason::Interrupted);
        self.until_dial();
        self.open()
    }

    /// The same, with so many events before the news.
    pub(crate) fn cut_and_reopen_after_events(&mut self, events: usize) -> Login {
        self.events.drain(..events);
        self.cut_and_reopen()
    }

    pub(crate) fn reconnect(&mut self, resumption: Resumption) {
        self.cut_and_reopen();
        self.welcome(resumption);
        self.expect_state(State::Connected, Reason::LoginSuccess);
    }

    pub(crate) fn reconnect_quietly(&mut self, resumption: Resumption) {
        self.events.clear();
        self.reconnect(resumption);
    }

    // Time.

    /// Lets time pass, and does what is due on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.wait.filter(|at| *at <= end) {
            assert!(at > self.now, "the wait lies in the past");
            self.now = at;
            self.connection.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.connection.handle_timeout(self.now);
        self.drain();
    }

    /// The process stands still for this long, and then learns what time it is.
    pub(crate) fn stand_still(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
        self.drain();
    }

    /// Lets time pass until the connection wants a link, or asks the gateway.
    pub(crate) fn until_dial(&mut self) -> Duration {
        let start = self.now;
        while self.dials.is_empty() && self.asks.is_empty() {
            let at = self.wait.expect("something to wait for");
            self.pass(at - self.now);
        }
        self.now - start
    }

    fn drain(&mut self) {
        loop {
            let output = self.connection.poll_output(self.now);
            self.trace.push(format!("{output:?}"));
            match output {
                Output::Dial(target) => self.dials.push_back(target),
                Output::Ask { id, gateway: _, request } if self.has_gateway => {
                    let answer = match *request {
                        GatewayRequest::Connect { .. } => named(&["alive"]),
                        GatewayRequest::OfflineMessages { .. } => GatewayAnswer::OfflineMessages(StoredPage::default()),
                        request => panic!("a gateway that is not asked {request:?}"),
                    };
                    self.connection.handle_asked(self.now, id, Ok(answer));
                }
                Output::Ask { id, gateway, request } => {
                    self.asked_gateway = gateway;
                    self.asks.push_back((id, *request));
                }
                Output::CancelAsk(id) => self.canceled_asks.push_back(id),
                Output::StoredMessagesLeft { .. } => self.left_stored += 1,
                Output::Send(ClientFrame::Ping) => {
                    self.pings += 1;
                    if self.alive {
                        self.connection.handle_frame(self.now, ServerFrame::Pong);
                    }
                }
                Output::Send(frame) => self.sent.push_back(frame),
                Output::Request { id, command } => {
                    self.sent.push_back(ClientFrame::Request { id, command: Arc::unwrap_or_clone(command) });
                }
                Output::Hangup(reason) => self.hangups.push_back(reason),
                Output::Event(event) => self.events.push_back(event),
                Output::LoginResult(result) => self.logins.push_back(result),
                Output::LogoutResult(result) => self.logouts.push_back(result),
                Output::Reply { id, result } => self.replies.push_back((id, result)),
                Output::FetchToken => self.tokens_needed += 1,
                Output::Wait(until) => {
                    assert!(until.is_none_or(|until| until.at > self.now), "the wait lies in the past");
                    self.wait = until.map(|until| until.at);
                    self.trace.pop();
                    return;
                }
            }
        }
    }
}

pub(crate) fn app() -> AppId {
    AppId::new("0123456789abcdef0123456789abcdef").unwrap()
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn channel(id: &str) -> ChannelId {
    ChannelId::new(id).unwrap()
}

pub(crate) fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

/// What the gateway answers that knows these servers.
pub(crate) fn named(hosts: &[&str]) -> GatewayAnswer {
    let addresses = hosts.iter().map(|host| Address { host: Text::from(*host), port: 7000 }).collect();
    GatewayAnswer::Connect { session: Text::from("gateway-7"), addresses }
}

pub(crate) fn no_route(retry: bool) -> TransportError {
    TransportError { retry, detail: Text::from("no route"), source: None }
}

pub(crate) fn credentials() -> Credentials {
    Credentials { app_id: app(), user_id: user("bob"), token: Some(token("old")) }
}

pub(crate) fn ticket(session: u8) -> SessionTicket {
    SessionTicket::new(SessionId([session; 16]), Epoch(1))
}

pub(crate) fn peer_message(text: &str) -> PeerMessage {
    PeerMessage {
        message_id: MessageId(u64::from(text.bytes().fold(5381u32, |hash, b| hash.wrapping_mul(33) ^ u32::from(b)))),
        peer_id: user("alice"),
        message: RtmMessage::text(text),
        is_offline_message: false,
        server_received_ts: 1_700_000_000_000,
    }
}

/// What the user sees of [`peer_message`].
pub(crate) fn from_alice(text: &str) -> RtmEvent {
    RtmEvent::message_from_peer(
        user("alice"),
        RtmMessage::text(text),
        rtm_connection::ReceivedMessageProperties::new(false, 1_700_000_000_000),
    )
}

pub(crate) fn to_alice(text: &str) -> rtm_codec::SendMessageToPeer {
    rtm_codec::SendMessageToPeer {
        message_id: MessageId(0),
        peer_id: user("alice"),
        message: RtmMessage::text(text),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    }
}
