//! Sequences of inputs into the server's core: clients of both wires that send anything, sockets that break, a store that
//! is slow or fails, time, and crashes.

mod socket;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use arbitrary::{Arbitrary as _, Unstructured};
use bytes::Bytes;
use rtm_codec::{
    CallLimits, ClientFrame, CloseReason, Command, HistoryOf, Packet, QueryHistory, RequestId, Resume, Seq, SessionId,
    Text, Token, UserId, Wire,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest},
};
use rtm_server::core::{
    AdminCall, ConnId, Core, HttpId, Now, ProjectConfig, Restriction, StoreDone, StoreFailed, StoreJob,
    store::{Backend, Memory, StateKind, Task, read_state},
};
use rtm_token::{Builder, Certificate};

use self::{
    socket::Socket,
    step::{Numbering, Position, Setup, Step},
};
use crate::{
    call::{Call, Device, Raw, START_MS, Size, app_id, channel, gateway_session, user},
    server::reason,
};

/// The core, its sockets and its store, and what is known of them.
struct World {
    setup: Setup,
    core: Core,
    now: Now,
    sockets: Vec<Socket>,
    /// For each session, how often each request was made and not answered.
    open: BTreeMap<SessionId, BTreeMap<RequestId, u64>>,
    woken: BTreeSet<ConnId>,
    store: Memory,
    jobs: Vec<StoreJob>,
    is_held: bool,
    is_broken: bool,
    asked: BTreeSet<HttpId>,
    handed_out: Vec<HttpId>,
}

/// A server's core against any sequence of inputs.
pub fn session(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok(setup) = Setup::arbitrary(&mut input) else { return };
    let mut world = World::new(setup);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.step(step);
        world.settle();
    }
    world.finish();
}

impl World {
    fn new(setup: Setup) -> Self {
        let now = Now { instant: Instant::now(), unix_ms: START_MS };
        Self {
            setup,
            core: Core::new(config(setup), [7; 32], now),
            now,
            sockets: Vec::new(),
            open: BTreeMap::new(),
            woken: BTreeSet::new(),
            store: Memory::default(),
            jobs: Vec::new(),
            is_held: false,
            is_broken: false,
            asked: BTreeSet::new(),
            handed_out: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Connect { vendor } => {
                if self.sockets.len() < MOST_SOCKETS {
                    let wire = if vendor { Wire::Vendor } else { Wire::Native };
                    self.sockets.push(Socket::new(self.core.connect(), wire));
                }
            }
            Step::Login { socket, device, resume } => self.log_in(socket, device, resume),
            Step::Call { socket, id, call } => {
                let Some(at) = self.find(socket) else { return };
                let socket = &mut self.sockets[at];
                let id = match id {
                    Numbering::Next => socket.next_request,
                    Numbering::Again(back) => socket.next_request.saturating_sub(back.into()),
                    Numbering::Any(number) => number,
                };
                socket.next_request = socket.next_request.max(id.saturating_add(1));
                let own = socket.number;
                let mut command = call.command();
                if let (Call::RenewToken(size), Command::RenewToken(renew)) = (call, &mut command)
                    && let Some(token) = self.token(own, size)
                {
                    renew.token = token;
                }
                self.say(at, &ClientFrame::Request { id: RequestId(id), command });
            }
            Step::Ack { socket, received, consumed, answered } => {
                let Some(at) = self.find(socket) else { return };
                let socket = &self.sockets[at];
                let ack = ClientFrame::Ack {
                    received: Seq(received.from(socket.received)),
                    consumed: Seq(consumed.from(socket.received)),
                    answered: RequestId(answered.from(socket.answered_below())),
                };
                self.say(at, &ack);
            }
            Step::Ping(socket) => self.say_if(socket, &ClientFrame::Ping),
            Step::Pong(socket) => self.say_if(socket, &ClientFrame::Pong),
            Step::Logout(socket) => self.say_if(socket, &ClientFrame::Logout),
            Step::Raw { socket, bytes: Raw(bytes) } => {
                let Some(at) = self.find(socket) else { return };
                let packet = match self.sockets[at].wire {
                    Wire::Native => Packet::Binary(Bytes::from(bytes)),
                    _ => {
                        let Ok(text) = String::from_utf8(bytes) else { return };
                        Packet::Text(Text::from(text))
                    }
                };
                self.packet(at, packet);
            }
            Step::Read(socket) => {
                if let Some(at) = self.find(socket) {
                    self.read(at);
                }
            }
            Step::Disconnect(socket) => {
                if let Some(at) = self.find(socket) {
                    self.disconnect(at);
                }
            }
            Step::Close { socket, reason: why } => {
                if let Some(at) = self.find(socket) {
                    self.core.close(now, self.sockets[at].conn, reason(why));
                }
            }
            Step::Pass(ms) => self.pass(Duration::from_millis(ms.into())),
            Step::Live(seconds) => self.live(seconds),
            Step::Store { held, broken } => (self.is_held, self.is_broken) = (held, broken),
            Step::Gateway { user: caller, token } => {
                let token = token.and_then(|size| self.token(caller, size));
                let connect =
                    GatewayRequest::Connect { app_id: app_id(), user_id: Some(user(caller)), token, tls: false };
                self.ask(connect);
            }
            Step::TakeOffline { user, session } => {
                self.ask(GatewayRequest::OfflineMessages { caller: caller(user, session), page: None });
            }
            Step::Taken(which) => {
                if !self.handed_out.is_empty() {
                    let id = self.handed_out.remove(usize::from(which) % self.handed_out.len());
                    self.core.http_answer_ended(self.now, id, true);
                    // What was not handed out, or was already, is nobody's.
                    self.core.http_answer_ended(self.now, id, false);
                }
            }
            Step::History { user: number, of_peer, whose, limit } => {
                let conversation =
                    if of_peer { HistoryOf::Peer(user(whose)) } else { HistoryOf::Channel(channel(whose)) };
                let limit = limit.into();
                let query = QueryHistory { conversation, from_ts: 0, until_ts: u64::MAX, after: None, limit };
                self.ask(GatewayRequest::History { caller: caller(number, number), query });
            }
            Step::Ban { user: number, seconds } => {
                let until = now.unix_ms + u64::from(seconds) * 1000;
                self.restrict(user(number), Restriction::BannedUntil(until));
            }
            Step::Unban(number) => {
                self.restrict(user(number), Restriction::Unbanned);
            }
            Step::Drain => self.core.drain(self.now),
            Step::Crash => self.crash(),
        }
    }

    fn restrict(&mut self, user_id: UserId, restriction: Restriction) {
        self.core.admin(self.now, AdminCall::Restrict { user_id: Some(user_id), restriction });
    }

    fn ask(&mut self, request: GatewayRequest) {
        let id = self.core.ask(self.now, request);
        assert!(self.asked.insert(id), "the number of an HTTP request comes once");
    }

    fn find(&self, socket: u8) -> Option<usize> {
        (!self.sockets.is_empty()).then(|| usize::from(socket) % self.sockets.len())
    }

    /// A token of so many bytes, or of so many seconds where its form matters.
    fn token(&self, owner: u8, size: Size) -> Option<Token> {
        if !self.setup.secure {
            return Token::new(size.text()).ok();
        }
        let issued = self.now.unix_ms / 1000;
        let life = Duration::from_secs(size.bytes() as u64);
        let (app_id, certificate, user_id) = (app_id(), certificate(), user(owner));
        let builder = Builder::new(app_id.as_str(), &certificate, user_id.as_str(), issued, 42);
        Token::new(builder.ttl(life).build().ok()?).ok()
    }

    fn log_in(&mut self, socket: u8, device: Device, resume: Option<Position>) {
        let Some(at) = self.find(socket) else { return };
        let mut login = device.login();
        login.token = device.token.and_then(|size| self.token(device.user, size));
        let user_id = login.user_id.clone();
        // The last session that this user had, as its client remembers it.
        let last = self.sockets.iter().rfind(|other| other.ticket.is_some() && other.user_id == user_id);
        login.resume = resume.and_then(|position| {
            let last = last?;
            Some(Resume {
                ticket: last.ticket?,
                received: Seq(position.from(last.received)),
                consumed: Seq(position.from(last.received)),
                answered: RequestId(last.answered_below()),
            })
        });
        let next_request = last.filter(|_| login.resume.is_some()).map_or(1, |last| last.next_request);
        let socket = &mut self.sockets[at];
        (socket.number, socket.user_id, socket.next_request) = (device.user, user_id, next_request);
        self.say(at, &ClientFrame::Login(Box::new(login)));
    }

    fn say_if(&mut self, socket: u8, frame: &ClientFrame) {
        if let Some(at) = self.find(socket) {
            self.say(at, frame);
        }
    }

    /// A client sends a frame over its wire.
    fn say(&mut self, at: usize, frame: &ClientFrame) {
        let conn = self.sockets[at].conn;
        for packet in self.sockets[at].encode(frame) {
            // An earlier packet may have ended it.
            if self.sockets.get(at).is_some_and(|socket| socket.conn == conn) {
                self.packet(at, packet);
            }
        }
    }

    /// What a socket's task does with a packet.
    fn packet(&mut self, at: usize, packet: Packet) {
        let (now, conn) = (self.now, self.sockets[at].conn);
        let mut frames = Vec::new();
        let decoded = self.sockets[at].server.decode(packet, &mut frames);
        let mut is_login = false;
        for frame in frames {
            is_login |= matches!(frame, ClientFrame::Login(_));
            self.hand_in(at, frame);
        }
        if decoded.is_err() {
            self.core.close(now, conn, CloseReason::ProtocolError);
        }
        if is_login {
            self.read(at);
        }
    }

    fn hand_in(&mut self, at: usize, frame: ClientFrame) {
        let socket = &mut self.sockets[at];
        if let ClientFrame::Request { id, .. } | ClientFrame::BadRequest { id, .. } = &frame {
            if let Some(session) = socket.session {
                *self.open.entry(session).or_default().entry(*id).or_default() += 1;
            }
            if (socket.session.is_some() || socket.is_provisional) && !self.core.is_closing(socket.conn) {
                socket.unanswered.insert(*id);
            }
        }
        self.core.handle_frame(self.now, socket.conn, frame);
    }

    /// A socket takes what there is for it.
    fn read(&mut self, at: usize) {
        self.take_wakes();
        let conn = self.sockets[at].conn;
        let was_woken = self.woken.remove(&conn);
        let mut out = Vec::new();
        for turn in 0.. {
            assert!(turn < MOST_TURNS, "what a socket is given comes to an end");
            if !self.core.take_output(conn, &mut out) {
                break;
            }
        }
        assert!(out.is_empty() || was_woken, "a socket with output is woken: {out:?}");
        let acks = self.sockets[at].take(out, &mut self.open);
        assert_eq!(self.core.is_closing(conn), self.sockets[at].is_over, "a connection that is closed is told so last");
        if self.setup.small {
            let held = self.sockets[at].unacknowledged_bytes();
            assert!(held <= 2 * SMALL_SESSION + MOST_EVENT, "{held} bytes are kept for a client that reads nothing");
        }
        for ack in acks {
            self.core.handle_frame(self.now, conn, ack);
        }
        if self.sockets[at].is_over {
            self.disconnect(at);
        }
    }

    fn disconnect(&mut self, at: usize) {
        let socket = self.sockets.remove(at);
        self.woken.remove(&socket.conn);
        self.core.disconnect(self.now, socket.conn);
        let mut out = Vec::new();
        assert!(!self.core.take_output(socket.conn, &mut out) && out.is_empty(), "nothing is for who is gone");
    }

    fn take_wakes(&mut self) {
        let mut wakes = Vec::new();
        self.core.take_wakes(&mut wakes);
        // Some may have gone since.
        wakes.retain(|conn| self.sockets.iter().any(|socket| socket.conn == *conn));
        self.woken.extend(wakes);
    }

    /// Lets the store work, and looks at the figures.
    fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < MOST_TURNS, "the store's work comes to an end");
            self.core.take_store_jobs(&mut self.jobs);
            if self.is_held || self.jobs.is_empty() {
                break;
            }
            let app_id = app_id();
            for StoreJob { id, work } in std::mem::take(&mut self.jobs) {
                let mut done = if self.is_broken {
                    None
                } else {
                    self.store.apply(vec![Task { app_id: &app_id, work }]).pop().and_then(Result::ok)
                };
                let result = done.take().ok_or(StoreFailed);
                self.core.handle_stored(self.now, StoreDone { id, result });
            }
        }
        let mut answers = Vec::new();
        self.core.take_http_answers(&mut answers);
        for (id, answer) in answers {
            assert!(self.asked.remove(&id), "an HTTP request is answered once");
            if let Ok(GatewayAnswer::OfflineMessages(_)) = answer {
                self.handed_out.push(id);
            }
        }
        self.take_wakes();
        let stats = self.core.stats();
        assert_eq!(stats.connections, self.sockets.len(), "every connection is counted, and no other");
        assert!(stats.users <= stats.sessions, "{stats:?}");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        let (mut turns, mut last) = (0, self.now.instant);
        while let Some(at) = self.core.next_timeout().filter(|at| *at <= end) {
            self.move_to(at);
            self.core.handle_timeout(self.now);
            self.settle();
            turns = if self.now.instant > last { 0 } else { turns + 1 };
            last = self.now.instant;
            assert!(turns < MOST_TURNS, "time goes on");
        }
        self.move_to(end);
        self.core.handle_timeout(self.now);
        self.settle();
    }

    fn live(&mut self, seconds: u8) {
        for _ in 0..seconds % 64 {
            self.pass(Duration::from_secs(1));
            self.everybody_is_there();
        }
    }

    /// Each client takes what there is, acknowledges it and gives a sign of life.
    fn everybody_is_there(&mut self) {
        let living: Vec<_> = self.sockets.iter().map(|socket| socket.conn).collect();
        for conn in living {
            for what in 0..3 {
                let Some(at) = self.sockets.iter().position(|socket| socket.conn == conn) else { break };
                let socket = &self.sockets[at];
                let received = if socket.wire == Wire::Vendor { Seq(u64::MAX) } else { Seq(socket.received) };
                let answered = RequestId(socket.answered_below());
                match what {
                    0 => self.read(at),
                    1 if socket.session.is_some() => {
                        self.say(at, &ClientFrame::Ack { received, consumed: received, answered });
                    }
                    2 if socket.session.is_some() => self.say(at, &ClientFrame::Ping),
                    _ => {}
                }
            }
        }
        self.settle();
    }

    fn move_to(&mut self, instant: Instant) {
        let passed = instant.saturating_duration_since(self.now.instant);
        self.now.instant += passed;
        self.now.unix_ms += u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
    }

    /// The server's process ends, and another one begins with what the store has.
    fn crash(&mut self) {
        self.core = Core::new(config(self.setup), [8; 32], self.now);
        for kind in StateKind::ALL {
            for (key, value) in read_state(&mut self.store, &app_id(), kind).unwrap_or_default() {
                self.core.restore(self.now, key, value);
            }
        }
        self.sockets.clear();
        self.open.clear();
        self.woken.clear();
        self.jobs.clear();
        self.asked.clear();
        self.handed_out.clear();
    }

    /// Whoever is there and takes part gets its answers; and nothing stays of those who have gone.
    fn finish(&mut self) {
        (self.is_held, self.is_broken) = (false, false);
        self.settle();
        self.everybody_is_there();
        self.live(12);
        for socket in &self.sockets {
            assert_eq!(socket.unanswered, BTreeSet::new(), "every request is answered while its connection lasts");
        }
        assert_eq!(self.asked, BTreeSet::new(), "every HTTP request is answered");
        while !self.sockets.is_empty() {
            self.disconnect(0);
        }
        self.pass(Duration::from_secs(10 * 60));
        let stats = self.core.stats();
        let left = (stats.connections, stats.users, stats.sessions, stats.channels, stats.invitations);
        assert_eq!(left, (0, 0, 0, 0, 0), "something stays");
    }
}

fn caller(number: u8, session: u8) -> Caller {
    Caller { app_id: app_id(), user_id: user(number), session: gateway_session(session) }
}

fn config(setup: Setup) -> ProjectConfig {
    let mut config = ProjectConfig::new(app_id());
    if setup.secure {
        config.certificates = vec![certificate()];
    }
    if !setup.limited {
        config.limits = CallLimits::unlimited();
    }
    if setup.small {
        config.settings.session_bytes = SMALL_SESSION;
        config.settings.offline_messages = 4;
        config.settings.repeat_ids = 4;
        config.settings.open_invitations = 3;
        config.settings.channel_attributes_bytes = 40_000;
    }
    config
}

fn certificate() -> Certificate {
    Certificate::new("fedcba9876543210fedcba9876543210").expect("it has the right form")
}

const MOST_SOCKETS: usize = 8;
const MOST_STEPS: usize = 512;
const MOST_TURNS: usize = 10_000;
const SMALL_SESSION: usize = 20_000;
/// The event that goes beyond what a session may hold.
const MOST_EVENT: usize = 40_000;
