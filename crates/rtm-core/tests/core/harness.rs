//! A core with fake connections, a store in memory and virtual time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtm_codec::{
    Answer, AppId, AttributeKey, CallId, CallLimits, ChannelId, ClientFrame, CloseReason, Command, ErrorKind, Event,
    InstanceId, KeepAlive, Login, MessageId, Operation, Refusal, RequestId, Resume, Resumption, SendMessageToPeer, Seq,
    ServerFrame, Text, Token, UserId, Welcome, Wire,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
use rtm_core::{AdminAnswer, AdminCall, ConnId, Core, HttpId, Now, Outgoing, ProjectConfig, Restriction};

use crate::store::MemoryStore;

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// A client of the world: a connection, and what came over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct C(usize);

#[derive(Debug)]
struct Client {
    login: Login,
    conn: ConnId,
    welcome: Option<Welcome>,
    refused: Option<Refusal>,
    closed: Option<CloseReason>,
    hung_up: bool,
    is_kicked: bool,
    /// Whether the socket is there.
    is_open: bool,
    /// Whether it pings as it should while time passes.
    is_alive: bool,
    /// Whether it acknowledges what it receives at once.
    acks: bool,
    received: u64,
    consumed: u64,
    next_request: u64,
    events: Vec<Event>,
    replies: BTreeMap<RequestId, Result<Answer, Refusal>>,
    /// Replies and events in the order in which they came.
    log: Vec<String>,
    pings: u32,
    pongs: u32,
}

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Now,
    pub(crate) store: MemoryStore,
    pub(crate) http: BTreeMap<HttpId, GatewayAnswer>,
    clients: Vec<Client>,
}

pub(crate) fn config() -> ProjectConfig {
    let mut config = ProjectConfig::new(AppId::new(APP_ID).unwrap());
    // Limits have tests of their own; the others are not to run into them.
    config.limits = CallLimits::unlimited();
    config
}

pub(crate) fn login_of(user: &str) -> Login {
    Login {
        app_id: AppId::new(APP_ID).unwrap(),
        user_id: Some(uid(user)),
        token: None,
        instance: InstanceId::new(format!("instance-of-{user}")).unwrap(),
        resume: None,
        keep_alive: KeepAlive::Client { interval_ms: 2000 },
        window: 0,
        abilities: Wire::Native.abilities(),
        gateway_session: None,
    }
}

/// As the vendor's SDK logs in.
pub(crate) fn vendor_login_of(user: &str) -> Login {
    Login {
        keep_alive: KeepAlive::Client { interval_ms: 10_000 },
        abilities: Wire::Vendor.abilities(),
        gateway_session: Some(Text::from(format!("gateway-of-{user}"))),
        ..login_of(user)
    }
}

pub(crate) fn connect(user: Option<&str>, token: Option<Token>) -> GatewayRequest {
    GatewayRequest::Connect { app_id: AppId::new(APP_ID).unwrap(), user_id: user.map(uid), token, tls: false }
}

pub(crate) fn uid(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

pub(crate) fn room(text: &str) -> ChannelId {
    ChannelId::new(text).unwrap()
}

pub(crate) fn call_id(text: &str) -> CallId {
    CallId::new(text).unwrap()
}

pub(crate) fn key(text: &str) -> AttributeKey {
    AttributeKey::new(text).unwrap()
}

pub(crate) fn attributes(entries: &[(&str, &str)]) -> BTreeMap<AttributeKey, Text> {
    entries.iter().map(|(name, value)| (key(name), Text::from(*value))).collect()
}

pub(crate) fn to_peer(id: u64, peer: &str, text: &str) -> SendMessageToPeer {
    SendMessageToPeer {
        message_id: MessageId(id),
        peer_id: uid(peer),
        message: text.into(),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    }
}

pub(crate) fn stored_to_peer(id: u64, peer: &str, text: &str) -> SendMessageToPeer {
    SendMessageToPeer { enable_offline_messaging: true, ..to_peer(id, peer, text) }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time needs some instant to start from")]
    pub(crate) fn with(config: ProjectConfig) -> Self {
        let now = Now { instant: Instant::now(), unix_ms: START_MS };
        Self {
            core: Core::new(config, [7; 32], now),
            now,
            store: MemoryStore::default(),
            http: BTreeMap::new(),
            clients: Vec::new(),
        }
    }

    /// Another core over the same store, as after a crash of the server.
    pub(crate) fn restart(self, config: ProjectConfig) -> Self {
        let mut world = Self { core: Core::new(config, [8; 32], self.now), clients: Vec::new(), ..self };
        for (key, value) in world.store.state() {
            world.core.restore(world.now, key, value);
        }
        world
    }

    /// Opens a connection without a login.
    pub(crate) fn connect(&mut self) -> C {
        let conn = self.core.connect();
        self.clients.push(Client {
            login: login_of("nobody"),
            conn,
            welcome: None,
            refused: None,
            closed: None,
            hung_up: false,
            is_kicked: false,
            is_open: true,
            is_alive: true,
            acks: true,
            received: 0,
            consumed: 0,
            next_request: 1,
            events: Vec::new(),
            replies: BTreeMap::new(),
            log: Vec::new(),
            pings: 0,
            pongs: 0,
        });
        C(self.clients.len() - 1)
    }

    pub(crate) fn try_login(&mut self, login: Login) -> C {
        let client = self.connect();
        self.clients[client.0].login = login.clone();
        self.frame(client, ClientFrame::Login(Box::new(login)));
        client
    }

    pub(crate) fn login_with(&mut self, login: Login) -> C {
        let client = self.try_login(login);
        assert!(self.clients[client.0].welcome.is_some(), "the login was not taken: {:?}", self.refused(client));
        client
    }

    pub(crate) fn login(&mut self, user: &str) -> C {
        self.login_with(login_of(user))
    }

    pub(crate) fn login_vendor(&mut self, user: &str) -> C {
        self.login_with(vendor_login_of(user))
    }

    /// The same client object comes back on another socket with its ticket.
    pub(crate) fn resume(&mut self, client: C) -> C {
        let login = self.resuming(client);
        self.login_again(client, login)
    }

    /// The login with which a client would resume.
    pub(crate) fn resuming(&self, client: C) -> Login {
        let old = &self.clients[client.0];
        let ticket = old.welcome.as_ref().unwrap().ticket.unwrap();
        let answered = RequestId(old.replies.keys().next_back().map_or(1, |last| last.0 + 1));
        let (received, consumed) = (Seq(old.received), Seq(old.consumed));
        Login { resume: Some(Resume { ticket, received, consumed, answered }), ..old.login.clone() }
    }

    /// Logs in with what the client knows of its session; its replies and events go on where they were.
    pub(crate) fn login_again(&mut self, client: C, login: Login) -> C {
        let old = &self.clients[client.0];
        let (acks, next) = (old.acks, old.next_request);
        let new = self.connect();
        let state = &mut self.clients[new.0];
        state.acks = acks;
        if let Some(resume) = &login.resume {
            (state.received, state.consumed, state.next_request) = (resume.received.0, resume.consumed.0, next);
        }
        state.login = login.clone();
        self.frame(new, ClientFrame::Login(Box::new(login)));
        new
    }

    /// Hands a frame to the core, and moves what comes of it.
    pub(crate) fn frame(&mut self, client: C, frame: ClientFrame) {
        self.core.handle_frame(self.now, self.clients[client.0].conn, frame);
        self.pump();
    }

    /// A part of a frame.
    pub(crate) fn bytes(&mut self, client: C) {
        self.core.handle_bytes(self.now, self.clients[client.0].conn);
        self.pump();
    }

    pub(crate) fn request(&mut self, client: C, command: impl Into<Command>) -> RequestId {
        let id = RequestId(self.clients[client.0].next_request);
        self.clients[client.0].next_request += 1;
        self.frame(client, ClientFrame::Request { id, command: command.into() });
        id
    }

    /// A request that is answered at once.
    pub(crate) fn call<T: Operation>(&mut self, client: C, operation: T) -> Result<T::Answer, Refusal> {
        let id = self.request(client, operation);
        let result = self.reply(client, id).expect("there is no answer yet");
        result.map(|answer| T::answer(answer).expect("the answer is another operation's"))
    }

    pub(crate) fn reply(&self, client: C, id: RequestId) -> Option<Result<Answer, Refusal>> {
        self.clients[client.0].replies.get(&id).cloned()
    }

    /// The events that came since they were last taken.
    pub(crate) fn events(&mut self, client: C) -> Vec<Event> {
        std::mem::take(&mut self.clients[client.0].events)
    }

    /// The texts of the messages that came since events were last taken.
    pub(crate) fn texts(&mut self, client: C) -> Vec<String> {
        let text = |event: Event| match event {
            Event::MessageFromPeer(message) => message.message.as_text().map(str::to_owned),
            Event::ChannelMessage { message, .. } => message.as_text().map(str::to_owned),
            _ => None,
        };
        self.events(client).into_iter().filter_map(text).collect()
    }

    /// Replies and events since the start, in order, in short.
    pub(crate) fn log(&self, client: C) -> &[String] {
        &self.clients[client.0].log
    }

    pub(crate) fn welcome(&self, client: C) -> &Welcome {
        self.clients[client.0].welcome.as_ref().expect("not logged in")
    }

    pub(crate) fn is_welcome(&self, client: C) -> bool {
        self.clients[client.0].welcome.is_some()
    }

    pub(crate) fn refused(&self, client: C) -> Option<Refusal> {
        self.clients[client.0].refused.clone()
    }

    /// Whether an operator has ended its session.
    pub(crate) fn is_kicked(&self, client: C) -> bool {
        self.clients[client.0].is_kicked
    }

    pub(crate) fn hung_up(&self, client: C) -> bool {
        self.clients[client.0].hung_up
    }

    pub(crate) fn closed(&self, client: C) -> Option<CloseReason> {
        self.clients[client.0].closed
    }

    pub(crate) fn is_open(&self, client: C) -> bool {
        self.clients[client.0].is_open
    }

    pub(crate) fn pings(&self, client: C) -> u32 {
        self.clients[client.0].pings
    }

    pub(crate) fn pongs(&self, client: C) -> u32 {
        self.clients[client.0].pongs
    }

    pub(crate) fn received(&self, client: C) -> u64 {
        self.clients[client.0].received
    }

    pub(crate) fn conn(&self, client: C) -> ConnId {
        self.clients[client.0].conn
    }

    /// From now on the client acknowledges nothing by itself.
    pub(crate) fn stop_acks(&mut self, client: C) {
        self.clients[client.0].acks = false;
    }

    /// From now on the client is silent, with its socket open.
    pub(crate) fn silence(&mut self, client: C) {
        self.clients[client.0].is_alive = false;
    }

    pub(crate) fn ack(&mut self, client: C, received: u64, consumed: u64) {
        let state = &mut self.clients[client.0];
        state.consumed = state.consumed.max(consumed);
        let answered = RequestId(state.replies.keys().next_back().map_or(1, |last| last.0 + 1));
        self.frame(client, ClientFrame::Ack { received: Seq(received), consumed: Seq(consumed), answered });
    }

    /// The client's socket is lost.
    pub(crate) fn cut(&mut self, client: C) {
        let state = &mut self.clients[client.0];
        assert!(state.is_open, "the socket is closed already");
        state.is_open = false;
        self.core.disconnect(self.now, state.conn);
        self.pump();
    }

    pub(crate) fn logout(&mut self, client: C) {
        self.frame(client, ClientFrame::Logout);
    }

    /// Lets time pass, deadline by deadline; clients that are alive ping every second.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.now.instant + duration;
        while self.now.instant < end {
            let next = (self.now.instant + secs(1)).min(end);
            while let Some(at) = self.core.next_timeout().filter(|at| *at <= next) {
                self.move_to(at);
                self.core.handle_timeout(self.now);
                self.pump();
            }
            self.move_to(next);
            for client in (0..self.clients.len()).map(C) {
                let state = &self.clients[client.0];
                if state.is_open && state.is_alive && state.welcome.is_some() {
                    self.frame(client, ClientFrame::Ping);
                }
            }
        }
        self.core.handle_timeout(self.now);
        self.pump();
    }

    /// Time passes, and nobody calls the core.
    pub(crate) fn stand_still(&mut self, duration: Duration) {
        self.move_to(self.now.instant + duration);
    }

    fn move_to(&mut self, instant: Instant) {
        let passed = instant.saturating_duration_since(self.now.instant);
        self.now.instant += passed;
        self.now.unix_ms += u64::try_from(passed.as_millis()).unwrap();
    }

    /// Asks over HTTP, and lets the store read.
    pub(crate) fn ask(&mut self, request: GatewayRequest) -> (HttpId, GatewayAnswer) {
        let id = self.core.ask(self.now, request);
        self.pump();
        (id, self.http.remove(&id).expect("an answer"))
    }

    /// The vendor's gateway request: a session id, if this user may log in.
    pub(crate) fn gateway(&mut self, user: Option<&str>, token: Option<Token>) -> Result<Text, ErrorKind> {
        match self.ask(connect(user, token)).1 {
            GatewayAnswer::Connect { session, addresses } if addresses.is_empty() => Ok(session),
            GatewayAnswer::Refused(kind) => Err(kind),
            other => panic!("{other:?}"),
        }
    }

    /// An operator calls.
    pub(crate) fn admin(&mut self, call: AdminCall) -> Result<AdminAnswer, Refusal> {
        let id = self.core.admin(self.now, call);
        self.pump();
        self.admin_answer(id).expect("a call of an operator is not answered")
    }

    /// The answer to a call of an operator, if it has come.
    pub(crate) fn admin_answer(&mut self, id: HttpId) -> Option<Result<AdminAnswer, Refusal>> {
        let mut answers = Vec::new();
        self.core.take_admin_answers(&mut answers);
        answers.into_iter().find(|(answered, _)| *answered == id).map(|(_, answer)| answer)
    }

    pub(crate) fn restrict(&mut self, user: Option<&str>, restriction: Restriction) -> bool {
        match self.admin(AdminCall::Restrict { user_id: user.map(uid), restriction }) {
            Ok(AdminAnswer::Restricted { changed }) => changed,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ban(&mut self, user: &str, until: u64) -> bool {
        self.restrict(Some(user), Restriction::BannedUntil(until))
    }

    pub(crate) fn kick(&mut self, user: &str) -> bool {
        self.admin(AdminCall::Kick(uid(user))) == Ok(AdminAnswer::Kicked { had_session: true })
    }

    /// Moves everything: jobs to the store, answers back, output to the clients, acknowledgements back.
    pub(crate) fn pump(&mut self) {
        loop {
            let mut jobs = Vec::new();
            self.core.take_store_jobs(&mut jobs);
            for job in jobs {
                self.store.take(job);
            }
            let done = self.store.finish();
            let mut wakes = Vec::new();
            let is_idle = done.is_empty();
            for done in done {
                self.core.handle_stored(self.now, done);
            }
            let mut answers = Vec::new();
            self.core.take_http_answers(&mut answers);
            let answer =
                |result: Result<_, Refusal>| result.unwrap_or_else(|refusal| GatewayAnswer::Refused(refusal.kind));
            self.http.extend(answers.into_iter().map(|(id, result)| (id, answer(result))));
            self.core.take_wakes(&mut wakes);
            if is_idle && wakes.is_empty() {
                return;
            }
            for conn in wakes {
                if let Some(at) = self.clients.iter().rposition(|client| client.conn == conn && client.is_open) {
                    self.deliver(C(at));
                }
            }
        }
    }

    fn deliver(&mut self, client: C) {
        let mut out = Vec::new();
        let state = &mut self.clients[client.0];
        while self.core.take_output(state.conn, &mut out) {}
        let mut got_events = false;
        for outgoing in out {
            assert!(state.closed.is_none() && !state.hung_up, "something comes after the end: {outgoing:?}");
            match outgoing {
                Outgoing::Frame(ServerFrame::Welcome(welcome)) => {
                    assert!(state.log.is_empty(), "something comes before the welcome");
                    state.log.push(format!("Welcome {:?}", welcome.resumption));
                    if welcome.resumption == Resumption::New {
                        (state.received, state.consumed) = (0, 0);
                    }
                    state.welcome = Some(*welcome);
                }
                Outgoing::Frame(ServerFrame::Refused(refusal)) => state.refused = Some(refusal),
                Outgoing::Frame(ServerFrame::Reply { id, result }) => {
                    state.log.push(format!("Reply {id}"));
                    let before = state.replies.insert(id, result);
                    assert!(before.is_none(), "request {id} is answered twice");
                }
                Outgoing::Frame(ServerFrame::Ping) => {
                    state.pings += 1;
                    if state.is_alive {
                        self.core.handle_frame(self.now, state.conn, ClientFrame::Pong);
                    }
                }
                Outgoing::Frame(ServerFrame::Pong) => state.pongs += 1,
                Outgoing::Frame(frame) => panic!("the core sends no {frame:?}"),
                Outgoing::Event(seq, event) => {
                    assert_eq!(seq.0, state.received + 1, "the events of a session have no holes");
                    state.received = seq.0;
                    got_events = true;
                    state.log.push(name(event.event()));
                    state.events.push(event.event().clone());
                }
                Outgoing::Close(reason) => state.closed = Some(reason),
                Outgoing::Hangup => state.hung_up = true,
            }
        }
        if state.closed.is_some() || state.hung_up {
            state.is_open = false;
            state.is_kicked = self.core.is_kicked(state.conn);
            self.core.disconnect(self.now, state.conn);
        } else if state.acks && got_events {
            state.consumed = state.received;
            let received = Seq(state.received);
            let frame = match state.login.abilities.resume {
                true => ClientFrame::Ack { received, consumed: received, answered: RequestId(1) },
                false => ClientFrame::Written { up_to: received },
            };
            self.core.handle_frame(self.now, state.conn, frame);
        }
    }

    /// A store job's worth of time does not pass by itself any more: see [`MemoryStore`].
    pub(crate) fn hold_store(&mut self) {
        self.store.is_held = true;
    }

    pub(crate) fn release_store(&mut self) {
        self.store.is_held = false;
        self.pump();
    }
}

pub(crate) fn token_login(user: &str, token: &str) -> Login {
    Login { token: Some(Token::new(token).unwrap()), ..login_of(user) }
}

/// The event's name, without its fields.
pub(crate) fn name(event: &Event) -> String {
    let debug = format!("{event:?}");
    debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

pub(crate) fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(name).collect()
}
