//! Several cores of one project, the bus between them, an engine, and clients that may log in anywhere.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::{
    Answer, AppId, CallLimits, ChannelAttributes, ChannelId, ClientFrame, CloseReason, Command, Event,
    GetChannelMemberCount, GetMembers, InstanceId, JoinChannel, KeepAlive, LeaveChannel, Login, MessageId, Refusal,
    RequestId, Resume, Resumption, Revision, SendChannelMessage, SendMessageToPeer, Seq, ServerFrame, SessionId,
    UserId, Welcome, Wire,
};
use rtm_core::{
    ConnId, Core, EventLogStart, EventValue, LogEntry, LoggedEvent, Now, Outgoing, ProjectConfig, RestKey, StoreAnswer,
    StoreDone, StoreFailed, StoreJob, StoreWork,
    cluster::{
        Change, EngineAnswer, EngineJob, EngineJobId, EngineWork, NodeId, NodeName, PROTO, Parcel, Posted, Posting,
        ProjectParcel, Revised, Ticket, UserEntry, View, partition,
    },
    store::{Backend, LogKey, Memory, StateKey, StateKind, StateValue, Task, read_state},
};

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// A client of the world: a connection, and what came over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct C(usize);

#[derive(Debug)]
struct Client {
    node: usize,
    conn: ConnId,
    login: Login,
    welcome: Option<Welcome>,
    refused: Option<Refusal>,
    closed: Option<CloseReason>,
    is_open: bool,
    /// Since then it says nothing.
    is_silent: bool,
    /// It does not say what it has received.
    has_stopped_acks: bool,
    has_begun: bool,
    received: u64,
    next_request: u64,
    events: Vec<Event>,
    replies: BTreeMap<RequestId, Result<Answer, Refusal>>,
    /// Requests without a reply, which a client repeats in the same session.
    open: BTreeMap<RequestId, Command>,
}

/// The one place that decides: each user's entry and its revision.
#[derive(Debug, Default)]
pub(crate) struct Engine {
    entries: BTreeMap<UserId, Revised>,
    revision: u64,
    /// So many of the next writes are done, and their answers lost.
    pub(crate) loses_answers: usize,
    /// After a lost answer the next read is of the oldest entry that there was.
    pub(crate) reads_old_after_loss: bool,
    pub(crate) reads_old: bool,
    /// The first entry of each user.
    oldest: BTreeMap<UserId, Revised>,
    /// So many of the next jobs are not done at all, and not answered.
    pub(crate) is_deaf: usize,
    /// How many jobs came.
    pub(crate) asked: usize,
    /// Writes are not done, and that is not said.
    pub(crate) refuses_writes: bool,
    /// Writes are done, and answered later.
    pub(crate) is_late: bool,
    /// The same of answers to reading.
    pub(crate) is_late_to_read: bool,
    late: Vec<(usize, EngineJobId, EngineAnswer)>,
}

/// The sender's session, the receiver and the number of a message.
type Numbered = (SessionId, UserId, u64);

/// A parcel, and what its sender is told of it.
type OnTheWay = (ProjectParcel, Option<Ticket>);

pub(crate) struct World {
    pub(crate) cores: Vec<Core>,
    pub(crate) engine: Engine,
    pub(crate) now: Now,
    view: View,
    /// Which version each node speaks.
    protos: Vec<u16>,
    /// For each way from a node of the first version to another: the messages that the other has, and has not answered.
    unanswered: BTreeMap<(usize, usize), BTreeSet<Numbered>>,
    clients: Vec<Client>,
    bus: BTreeMap<(usize, usize), VecDeque<OnTheWay>>,
    /// Links over which nothing comes for now.
    stalled: Vec<(usize, usize)>,
    /// Links whose box takes nothing that may be dropped.
    full: Vec<(usize, usize)>,
    /// Nodes that do not hear of new views for now.
    unseeing: Vec<usize>,
    /// How many parcels went over each link.
    pub(crate) links: BTreeMap<(usize, usize), usize>,
    /// Nodes to which no changes of entries come for now, and what waits for them.
    blind: BTreeMap<usize, Vec<(UserId, Revised)>>,
    /// Nodes that are gone.
    dead: Vec<usize>,
    /// Nodes that run, and are in no view.
    out: Vec<usize>,
    /// Which life of each node this is.
    lives: Vec<u64>,
    /// One for all nodes. While it is held, jobs wait.
    store: Memory,
    /// Nodes do not hear what the store has of channels.
    pub(crate) is_store_unwatched: bool,
    pub(crate) is_store_held: bool,
    /// What the next job does is done, and its node hears that it failed.
    pub(crate) seems_to_fail: bool,
    /// The node that is not answered yet, though what it asks for is done.
    pub(crate) unanswered_by_store: Option<usize>,
    store_answers: Vec<StoreDone>,
    /// What it removes stays, as in a replica that is behind.
    pub(crate) is_store_behind: bool,
    jobs: Vec<(usize, StoreJob)>,
    /// How many parcels were sent.
    pub(crate) parcels: usize,
}

/// The highest tag that version 1 knows.
const TAGS_OF_FIRST: u8 = 22;

pub(crate) fn uid(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
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

/// The same user with another client object.
pub(crate) fn other_login_of(user: &str) -> Login {
    Login { instance: InstanceId::new(format!("other-of-{user}")).unwrap(), ..login_of(user) }
}

pub(crate) fn node(number: usize) -> NodeId {
    life_of(number, 1)
}

fn life_of(number: usize, incarnation: u64) -> NodeId {
    NodeId { name: NodeName::new(&format!("rtm-{number}")).unwrap(), incarnation }
}

/// The parcel as a node of this version reads it from its bytes.
/// A parcel that NATS carries with the smallest `max_payload` that a node starts with, beside the envelope.
const SMALLEST_PAYLOAD: usize = 63 * 1024;

fn over_the_bus(parcel: &ProjectParcel, proto: u16) -> ProjectParcel {
    let sealed = parcel.seal(&AppId::new(APP_ID).unwrap());
    assert!(sealed.bytes() <= SMALLEST_PAYLOAD, "{} bytes are too many for some buses: {parcel:?}", sealed.bytes());
    let Parcel::Project { head, body, .. } = sealed.open().unwrap() else { panic!("of another core") };
    let known = if proto == 1 { TAGS_OF_FIRST } else { u8::MAX };
    assert!(head[0] <= known, "a node of version {proto} does not know {parcel:?}");
    let read = ProjectParcel::open(&head, body).unwrap();
    assert_eq!(read, *parcel);
    read
}

/// The attributes of a channel that a job writes.
fn written_attributes(work: &StoreWork) -> Option<(ChannelId, ChannelAttributes)> {
    match work {
        StoreWork::Put {
            key: StateKey::ChannelAttributes(channel_id),
            value: StateValue::ChannelAttributes(value),
            ..
        } => Some((channel_id.clone(), value.clone())),
        _ => None,
    }
}

fn new_core(number: usize, now: Now) -> Core {
    let mut config = ProjectConfig::new(AppId::new(APP_ID).unwrap());
    config.limits = CallLimits::unlimited();
    // The SHA-256 of "secret".
    let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    config.rest.keys = vec![RestKey::new("back-end", sha256).unwrap()];
    Core::new(config, [u8::try_from(number).unwrap(); 32], now)
}

impl Engine {
    fn serve(&mut self, job: &EngineJob) -> (EngineAnswer, Option<Revised>) {
        self.asked += 1;
        let none = Revised { entry: None, revision: 0 };
        let present = self.entries.get(&job.user_id).unwrap_or(&none).clone();
        if self.is_deaf > 0 {
            self.is_deaf -= 1;
            return (EngineAnswer::Unknown, None);
        }
        match &job.work {
            EngineWork::Read if std::mem::take(&mut self.reads_old) => {
                (EngineAnswer::Read(self.oldest[&job.user_id].clone()), None)
            }
            EngineWork::Read => (EngineAnswer::Read(present), None),
            EngineWork::Write { .. } if self.refuses_writes => (EngineAnswer::Unknown, None),
            EngineWork::Write { expected, .. } if *expected != present.revision => (EngineAnswer::Conflict, None),
            EngineWork::Write { entry, .. } => {
                self.revision += 1;
                let new = Revised { entry: entry.clone(), revision: self.revision };
                self.entries.insert(job.user_id.clone(), new.clone());
                self.oldest.entry(job.user_id.clone()).or_insert_with(|| new.clone());
                let answer = match self.loses_answers {
                    0 => EngineAnswer::Written(self.revision),
                    _ => {
                        self.loses_answers -= 1;
                        self.reads_old = self.reads_old_after_loss;
                        EngineAnswer::Unknown
                    }
                };
                (answer, Some(new))
            }
        }
    }

    /// It has lost what it wrote last, and has nothing of a user but an older revision.
    pub(crate) fn set_back(&mut self, user: &str, revision: u64) {
        self.entries.insert(uid(user), Revised { entry: None, revision });
    }

    /// Something is written late. Gives what all nodes are to hear.
    pub(crate) fn write(&mut self, user: &str, entry: Option<UserEntry>) -> Revised {
        self.revision += 1;
        let new = Revised { entry, revision: self.revision };
        self.entries.insert(uid(user), new.clone());
        new
    }

    /// The marker of an entry that was removed long ago is gone too.
    pub(crate) fn forget(&mut self, user: &str) {
        self.entries.remove(&uid(user));
    }

    /// What is old of a user is that nothing was kept yet.
    pub(crate) fn was_without(&mut self, user: &str) {
        self.oldest.insert(uid(user), Revised { entry: None, revision: 0 });
    }

    pub(crate) fn entry(&self, user: &str) -> Option<&UserEntry> {
        self.entries.get(&uid(user))?.entry.as_ref()
    }
}

impl World {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::of_versions(&vec![PROTO; nodes])
    }

    /// Nodes that speak these versions.
    #[expect(clippy::disallowed_methods, reason = "virtual time needs some instant to start from")]
    pub(crate) fn of_versions(protos: &[u16]) -> Self {
        let nodes = protos.len();
        let now = Now { instant: Instant::now(), unix_ms: 1_700_000_000_000 };
        let joins: Vec<_> = (0..nodes).map(|number| Change::Join(node(number), protos[number], 1)).collect();
        let homes: Vec<_> = (0..nodes).map(|number| Change::Home(node(number))).collect();
        let mut view = View::empty(0).next(&joins).next(&homes);
        while view.is_unbalanced() {
            view = view.next(&[]);
        }
        let core = |number: usize| {
            let mut core = new_core(number, now);
            core.join_cluster(node(number), view.clone());
            core
        };
        Self {
            cores: (0..nodes).map(core).collect(),
            engine: Engine::default(),
            now,
            view,
            protos: protos.to_vec(),
            unanswered: BTreeMap::new(),
            clients: Vec::new(),
            bus: BTreeMap::new(),
            stalled: Vec::new(),
            full: Vec::new(),
            unseeing: Vec::new(),
            links: BTreeMap::new(),
            blind: BTreeMap::new(),
            dead: Vec::new(),
            out: Vec::new(),
            lives: vec![1; nodes],
            store: Memory::default(),
            is_store_unwatched: false,
            is_store_held: false,
            seems_to_fail: false,
            unanswered_by_store: None,
            store_answers: Vec::new(),
            is_store_behind: false,
            jobs: Vec::new(),
            parcels: 0,
        }
    }

    /// With every other seed, nodes speak one version or the other.
    pub(crate) fn of_seed(seed: u64, nodes: usize) -> Self {
        let is_new = |number: usize| seed.is_multiple_of(2) || (seed >> (number + 1)).is_multiple_of(2);
        let old = if (seed >> 1).is_multiple_of(2) { 1 } else { PROTO - 1 };
        let protos: Vec<_> = (0..nodes).map(|number| if is_new(number) { PROTO } else { old }).collect();
        Self::of_versions(&protos)
    }

    /// The first node that speaks an older version than others might.
    pub(crate) fn oldest(&self) -> Option<usize> {
        (0..self.cores.len()).find(|number| !self.dead.contains(number) && self.protos[*number] < PROTO)
    }

    pub(crate) fn start_login(&mut self, node: usize, login: Login) -> C {
        let conn = self.cores[node].connect();
        self.clients.push(Client {
            node,
            conn,
            login: login.clone(),
            welcome: None,
            refused: None,
            closed: None,
            is_open: true,
            is_silent: false,
            has_stopped_acks: false,
            has_begun: false,
            received: 0,
            next_request: 1,
            events: Vec::new(),
            replies: BTreeMap::new(),
            open: BTreeMap::new(),
        });
        let client = C(self.clients.len() - 1);
        self.cores[node].handle_frame(self.now, conn, ClientFrame::Login(Box::new(login)));
        client
    }

    pub(crate) fn login_with(&mut self, node: usize, login: Login) -> C {
        let client = self.start_login(node, login);
        self.pump();
        assert!(self.clients[client.0].welcome.is_some(), "the login was not taken");
        client
    }

    pub(crate) fn login(&mut self, node: usize, user: &str) -> C {
        self.login_with(node, login_of(user))
    }

    /// The login with which a client would resume.
    pub(crate) fn resuming(&self, client: C) -> Login {
        let old = &self.clients[client.0];
        let ticket = old.welcome.as_ref().unwrap().ticket.unwrap();
        let next = RequestId(old.replies.keys().next_back().map_or(1, |last| last.0 + 1));
        let answered = old.open.keys().next().map_or(next, |first| next.min(*first));
        let received = Seq(old.received);
        Login { resume: Some(Resume { ticket, received, consumed: received, answered }), ..old.login.clone() }
    }

    /// A client comes back on this node.
    pub(crate) fn start_resume(&mut self, node: usize, client: C) -> C {
        let login = self.resuming(client);
        let old = &self.clients[client.0];
        let (received, next) = (old.received, old.next_request);
        let (open, replies) = (old.open.clone(), old.replies.clone());
        let new = self.start_login(node, login);
        let state = &mut self.clients[new.0];
        (state.received, state.next_request) = (received, next);
        (state.open, state.replies) = (open, replies);
        new
    }

    pub(crate) fn resume(&mut self, node: usize, client: C) -> C {
        let new = self.start_resume(node, client);
        self.pump();
        new
    }

    pub(crate) fn cut(&mut self, client: C) {
        let state = &mut self.clients[client.0];
        state.is_open = false;
        let (node, conn) = (state.node, state.conn);
        self.cores[node].disconnect(self.now, conn);
        self.pump();
    }

    pub(crate) fn logout(&mut self, client: C) {
        self.frame(client, ClientFrame::Logout);
        self.pump();
    }

    pub(crate) fn frame(&mut self, client: C, frame: ClientFrame) {
        let (node, conn) = (self.clients[client.0].node, self.clients[client.0].conn);
        self.cores[node].handle_frame(self.now, conn, frame);
    }

    pub(crate) fn request(&mut self, client: C, command: impl Into<Command>) -> RequestId {
        let state = &mut self.clients[client.0];
        let id = RequestId(state.next_request);
        state.next_request += 1;
        let command = command.into();
        state.open.insert(id, command.clone());
        if state.is_open {
            self.frame(client, ClientFrame::Request { id, command });
            self.pump();
        }
        id
    }

    /// The same for several commands that come at once.
    pub(crate) fn requests(
        &mut self,
        client: C,
        commands: impl IntoIterator<Item = impl Into<Command>>,
    ) -> Vec<RequestId> {
        let mut ids = Vec::new();
        for command in commands {
            let (state, command) = (&mut self.clients[client.0], command.into());
            let id = RequestId(state.next_request);
            state.next_request += 1;
            state.open.insert(id, command.clone());
            self.frame(client, ClientFrame::Request { id, command });
            ids.push(id);
        }
        self.pump();
        ids
    }

    /// How many entries a log of the store has.
    pub(crate) fn stored(&mut self, log: &LogKey) -> usize {
        let app_id = AppId::new(APP_ID).unwrap();
        let (log, times) = (log.clone(), 0..u64::MAX);
        let work = StoreWork::Read { log, after: None, times, limit: usize::MAX, max_bytes: usize::MAX };
        match self.store.apply(vec![Task { app_id: &app_id, work }]).remove(0) {
            Ok(StoreAnswer::Entries { entries, .. }) => entries.len(),
            other => panic!("{other:?}"),
        }
    }

    /// What the store has of the revisions of forgotten channels.
    pub(crate) fn kept_forgotten_revision(&mut self) -> Option<Revision> {
        let kept = read_state(&mut self.store, &AppId::new(APP_ID).unwrap(), StateKind::ForgottenRevision).unwrap();
        kept.into_iter().map(|(_, value)| value.revision()).next()
    }

    /// Of how many channels the store has attributes.
    pub(crate) fn kept_attributes(&mut self) -> usize {
        read_state(&mut self.store, &AppId::new(APP_ID).unwrap(), StateKind::ChannelAttributes).unwrap().len()
    }

    /// All cores write the log of events from now on.
    pub(crate) fn begin_event_logs(&mut self) {
        for number in 0..self.cores.len() {
            let name = self.id(number).to_string();
            self.cores[number].begin_event_log(self.now, &name, EventLogStart::AsNode);
        }
        self.pump();
    }

    /// The log of events, each with its type and the texts in it, but for the names of sessions.
    pub(crate) fn event_lines(&mut self) -> Vec<String> {
        let app_id = AppId::new(APP_ID).unwrap();
        let (log, times) = (LogKey::Events, 0..u64::MAX);
        let work = StoreWork::Read { log, after: None, times, limit: usize::MAX, max_bytes: usize::MAX };
        let answer = self.store.apply(vec![Task { app_id: &app_id, work }]).remove(0);
        let Ok(StoreAnswer::Entries { entries, .. }) = answer else { panic!("{answer:?}") };
        let line = |entry| {
            let LogEntry::Event(LoggedEvent { event, .. }) = entry else { panic!("{entry:?}") };
            let mut line = event.event_type().name().to_owned();
            for (name, value) in event.data() {
                if let EventValue::Text(text) = value
                    && name != "session"
                {
                    line.push(' ');
                    line.push_str(&text);
                }
            }
            line
        };
        entries.into_iter().map(|(_, entry)| line(entry)).collect()
    }

    pub(crate) fn reply(&self, client: C, id: RequestId) -> Option<&Result<Answer, Refusal>> {
        self.clients[client.0].replies.get(&id)
    }

    pub(crate) fn texts(&mut self, client: C) -> Vec<String> {
        let text = |event: Event| match event {
            Event::MessageFromPeer(message) => message.message.as_text().map(str::to_owned),
            _ => None,
        };
        std::mem::take(&mut self.clients[client.0].events).into_iter().filter_map(text).collect()
    }

    pub(crate) fn welcome(&self, client: C) -> Option<&Welcome> {
        self.clients[client.0].welcome.as_ref()
    }

    pub(crate) fn refused(&self, client: C) -> Option<&Refusal> {
        self.clients[client.0].refused.as_ref()
    }

    pub(crate) fn closed(&self, client: C) -> Option<CloseReason> {
        self.clients[client.0].closed
    }

    pub(crate) fn is_open(&self, client: C) -> bool {
        self.clients[client.0].is_open && !self.dead.contains(&self.clients[client.0].node)
    }

    fn pings(&self, client: C) -> bool {
        let state = &self.clients[client.0];
        self.is_open(client) && state.welcome.is_some() && !state.is_silent
    }

    /// Whether a client waits for an answer.
    pub(crate) fn is_waiting(&self, client: C) -> bool {
        !self.clients[client.0].open.is_empty()
    }

    pub(crate) fn events(&mut self, client: C) -> Vec<Event> {
        std::mem::take(&mut self.clients[client.0].events)
    }

    pub(crate) fn is_dead(&self, node: usize) -> bool {
        self.dead.contains(&node)
    }

    /// How many sessions there are in all.
    pub(crate) fn sessions(&self) -> usize {
        let alive = (0..self.cores.len()).filter(|number| !self.dead.contains(number));
        alive.map(|number| self.cores[number].stats().sessions).sum()
    }

    /// Nothing comes from one node to another.
    pub(crate) fn stall(&mut self, from: usize, to: usize) {
        self.stalled.push((from, to));
    }

    pub(crate) fn unstall(&mut self) {
        self.stalled.clear();
        self.pump();
    }

    /// A node hears no changes of entries.
    pub(crate) fn blind(&mut self, node: usize) {
        self.blind.entry(node).or_default();
    }

    pub(crate) fn see(&mut self, node: usize) {
        for (user_id, heard) in self.blind.remove(&node).unwrap_or_default() {
            self.cores[node].handle_entry(self.now, &user_id, &heard);
        }
        self.pump();
    }

    /// The engine's answers that were late come.
    pub(crate) fn answer_late(&mut self) {
        (self.engine.is_late, self.engine.is_late_to_read) = (false, false);
        for (number, job, answer) in std::mem::take(&mut self.engine.late) {
            self.cores[number].handle_engine(self.now, job, answer);
        }
        self.pump();
    }

    /// An entry that a node wrote for a session that is over.
    pub(crate) fn entry_of(&self, number: usize) -> UserEntry {
        UserEntry { node: self.id(number), session: SessionId([7; 16]), epoch: self.view.epoch() }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn is_silent(&self, client: C) -> bool {
        self.clients[client.0].is_silent
    }

    /// Whether a client has a new session, and was not asked this before.
    pub(crate) fn begins_anew(&mut self, client: C) -> bool {
        let state = &mut self.clients[client.0];
        let is_new = state.welcome.as_ref().is_some_and(|welcome| welcome.resumption == Resumption::New);
        is_new && !std::mem::replace(&mut state.has_begun, true)
    }

    /// A client says nothing any more, also when its node pings it.
    pub(crate) fn silence(&mut self, client: C) {
        self.clients[client.0].is_silent = true;
    }

    /// A client does not say any more what it has received.
    pub(crate) fn stop_acks(&mut self, client: C) {
        self.clients[client.0].has_stopped_acks = true;
    }

    /// A node joins, as a home.
    pub(crate) fn join(&mut self) {
        self.lives.push(1);
        self.protos.push(PROTO);
        self.cores.push(new_core(self.cores.len(), self.now));
        self.set_view_of_joining(self.cores.len() - 1);
    }

    /// The partitions go to where they should be.
    pub(crate) fn settle_homes(&mut self) {
        while self.view.is_unbalanced() {
            self.set_view(self.view.next(&[]));
            self.advance(millis(50));
        }
    }

    /// The members are others: all nodes hear of it that can.
    fn set_view(&mut self, view: View) {
        self.view = view;
        for at in 0..self.cores.len() {
            if !self.dead.contains(&at) && !self.out.contains(&at) && !self.unseeing.contains(&at) {
                self.show_view(at);
            }
        }
        self.pump();
    }

    /// A node is killed, and put out.
    pub(crate) fn kill(&mut self, number: usize) {
        self.dead.push(number);
        self.set_view(self.view.next(&[Change::Leave(self.id(number))]));
    }

    /// What the store is to read is read before anything is kept.
    pub(crate) fn read_first(&mut self) {
        self.jobs.sort_by_key(|(_, job)| matches!(job.work, StoreWork::Append { .. }));
    }

    /// The post from one node to another begins anew: all that is on its way is lost.
    pub(crate) fn restart_post(&mut self, from: usize, to: usize) {
        for (_, ticket) in self.bus.remove(&(from, to)).unwrap_or_default() {
            if let Some(ticket) = ticket {
                self.cores[from].handle_posted(self.now, ticket, Posted::Dropped);
            }
        }
        self.forget_unanswered(|way| way == (from, to) || way == (to, from));
        let id = self.id(from);
        self.cores[to].handle_restarted(self.now, &id);
        self.pump();
    }

    /// A node is about to leave. It sends 20 clients away each second.
    pub(crate) fn drain(&mut self, number: usize) {
        let sessions = self.cores[number].stats().sessions;
        self.drain_over(number, millis(50) * sessions as u32);
    }

    /// A node is about to leave. Its clients are sent away over this time, who came last first.
    pub(crate) fn drain_over(&mut self, number: usize, over: Duration) {
        self.set_view(self.view.next(&[Change::Drain(self.id(number))]));
        self.cores[number].drain_cluster(self.now, over, |conns| conns.reverse());
        self.pump();
    }

    /// It leaves.
    pub(crate) fn leave_view(&mut self, number: usize) {
        self.dead.push(number);
        self.bus.retain(|(from, _), _| *from != number);
        self.set_view(self.view.next(&[Change::Leave(self.id(number))]));
    }

    /// This life of a node.
    pub(crate) fn id(&self, number: usize) -> NodeId {
        life_of(number, self.lives[number])
    }

    /// A node is put out, though it runs.
    pub(crate) fn put_out(&mut self, number: usize) {
        self.out.push(number);
        self.set_view(self.view.next(&[Change::Leave(self.id(number))]));
    }

    /// It hears so, and forgets everything.
    pub(crate) fn leave_cluster(&mut self, number: usize) {
        self.cores[number].leave_cluster(self.now);
        self.bus.retain(|(from, to), _| *from != number && *to != number);
        self.pump();
    }

    /// It joins again, as a new life of the newest version.
    pub(crate) fn join_again(&mut self, number: usize) {
        self.out.retain(|out| *out != number);
        self.lives[number] += 1;
        self.protos[number] = PROTO;
        self.set_view_of_joining(number);
    }

    fn set_view_of_joining(&mut self, number: usize) {
        let view = self.view.next(&[Change::Join(self.id(number), self.protos[number], 1)]);
        let id = self.id(number);
        self.cores[number].join_cluster(id, view.clone());
        // What its watch of the entries brings first.
        for (user_id, heard) in &self.engine.entries {
            self.cores[number].handle_entry(self.now, user_id, heard);
        }
        self.set_view(view);
        for kind in StateKind::ALL {
            let kept = read_state(&mut self.store, &AppId::new(APP_ID).unwrap(), kind).unwrap();
            kept.into_iter().for_each(|(key, value)| self.cores[number].restore(self.now, key, value));
        }
        self.set_view(self.view.next(&[Change::Home(self.id(number))]));
    }

    /// Answers on these ways are lost.
    fn forget_unanswered(&mut self, is_lost: impl Fn((usize, usize)) -> bool) {
        self.unanswered.retain(|way, _| !is_lost(*way));
    }

    fn show_view(&mut self, number: usize) {
        self.cores[number].handle_view(self.now, self.view.clone());
        let gone: Vec<usize> = (0..self.cores.len()).filter(|at| !self.view.has(&self.id(*at))).collect();
        for (&(from, to), parcels) in &mut self.bus {
            if from != number || !gone.contains(&to) {
                continue;
            }
            for (_, ticket) in std::mem::take(parcels) {
                if let Some(ticket) = ticket {
                    self.cores[from].handle_posted(self.now, ticket, Posted::Left);
                }
            }
        }
        self.forget_unanswered(|(from, to)| gone.contains(&from) || gone.contains(&to));
        // Nobody believes what comes from a node that left.
        self.bus.retain(|(from, to), _| *to != number || !gone.contains(from));
    }

    /// A node hears of no new views.
    pub(crate) fn hide_views(&mut self, number: usize) {
        self.unseeing.push(number);
    }

    pub(crate) fn show_views(&mut self) {
        for number in std::mem::take(&mut self.unseeing) {
            if !self.dead.contains(&number) && !self.out.contains(&number) {
                self.show_view(number);
            }
        }
        self.pump();
    }

    /// The box from one node to another takes no messages to channels.
    pub(crate) fn fill(&mut self, from: usize, to: usize) {
        self.full.push((from, to));
    }

    pub(crate) fn empty(&mut self) {
        self.full.clear();
        self.pump();
    }

    /// The node that is the home of a channel.
    pub(crate) fn home_of(&self, channel: &str) -> usize {
        let home = &self.view.home(partition(APP_ID, channel)).unwrap().id;
        (0..self.cores.len()).find(|at| self.id(*at) == *home).unwrap()
    }

    /// A channel whose home is this node.
    pub(crate) fn channel_at(&self, number: usize) -> String {
        (0..100_000).map(|at| format!("channel-{at}")).find(|name| self.home_of(name) == number).unwrap()
    }

    /// Asks, and gives the answer.
    pub(crate) fn call(&mut self, client: C, command: impl Into<Command>) -> Result<Answer, Refusal> {
        let id = self.request(client, command);
        self.reply(client, id).expect("no answer").clone()
    }

    pub(crate) fn join_channel(&mut self, client: C, channel: &str) {
        assert_eq!(self.call(client, join(channel)), Ok(Answer::JoinChannel(())));
    }

    pub(crate) fn leave(&mut self, client: C, channel: &str) {
        let leave = LeaveChannel { channel_id: cid(channel) };
        assert_eq!(self.call(client, leave), Ok(Answer::LeaveChannel(())));
    }

    /// The members that a client sees, in order.
    pub(crate) fn members(&mut self, client: C, channel: &str) -> Vec<String> {
        let Ok(Answer::GetMembers(all)) = self.call(client, GetMembers { channel_id: cid(channel) }) else {
            panic!("no members");
        };
        let mut all: Vec<_> = all.iter().map(ToString::to_string).collect();
        all.sort();
        all
    }

    pub(crate) fn count(&mut self, client: C, channel: &str) -> u32 {
        let query = GetChannelMemberCount { channel_ids: vec![cid(channel)] };
        match self.call(client, query) {
            Ok(Answer::GetChannelMemberCount(counts)) => counts[&cid(channel)],
            other => panic!("{other:?}"),
        }
    }

    /// The texts of a channel, and how many were said to be missing, since this was last asked.
    pub(crate) fn heard(&mut self, client: C) -> Vec<String> {
        let text = |event: Event| match event {
            Event::ChannelMessage { message, .. } => message.as_text().map(str::to_owned),
            Event::Gap { lost, .. } => Some(format!("gap {lost:?}")),
            _ => None,
        };
        self.events(client).into_iter().filter_map(text).collect()
    }

    /// Who came and went since this was last asked.
    pub(crate) fn comings(&mut self, client: C) -> Vec<String> {
        let coming = |event: Event| match event {
            Event::MemberJoined { member_id, member_count, .. } => Some(format!("+{member_id} {member_count}")),
            Event::MemberLeft { member_id, member_count, .. } => Some(format!("-{member_id} {member_count}")),
            _ => None,
        };
        self.events(client).into_iter().filter_map(coming).collect()
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.now.instant + duration;
        while self.now.instant < end {
            let step = Duration::from_millis(10);
            self.now.instant += step;
            self.now.unix_ms += 10;
            for number in 0..self.cores.len() {
                if !self.dead.contains(&number) {
                    self.cores[number].handle_timeout(self.now);
                }
            }
            for at in 0..self.clients.len() {
                // As a client that is alive does.
                if self.now.unix_ms.is_multiple_of(1000) && self.pings(C(at)) {
                    self.frame(C(at), ClientFrame::Ping);
                }
            }
            self.pump();
        }
    }

    /// Everything that can move, moves.
    pub(crate) fn pump(&mut self) {
        while self.step() {}
    }

    /// One round of what waits.
    pub(crate) fn step(&mut self) -> bool {
        let mut moved = false;
        for number in 0..self.cores.len() {
            if self.dead.contains(&number) {
                continue;
            }
            moved |= self.serve_store(number);
            moved |= self.serve_engine(number);
            let mut parcels = Vec::new();
            self.cores[number].take_parcels(&mut parcels);
            for Posting { to, parcel, ticket } in parcels {
                self.parcels += 1;
                moved = true;
                let Some(to) = (0..self.cores.len()).find(|at| self.id(*at) == to) else {
                    if let Some(ticket) = ticket {
                        self.cores[number].handle_posted(self.now, ticket, Posted::Left);
                    }
                    continue;
                };
                *self.links.entry((number, to)).or_default() += 1;
                let refused = match ticket {
                    Some(_) if self.dead.contains(&to) || self.out.contains(&to) => Some(Posted::Left),
                    Some(_) if self.full.contains(&(number, to)) => Some(Posted::Dropped),
                    _ => None,
                };
                match (refused, ticket) {
                    (Some(posted), Some(ticket)) => self.cores[number].handle_posted(self.now, ticket, posted),
                    _ => self
                        .bus
                        .entry((number, to))
                        .or_default()
                        .push_back((over_the_bus(&parcel, self.protos[to]), ticket)),
                }
            }
            moved |= self.deliver(number);
        }
        for at in 0..self.clients.len() {
            moved |= self.read(at);
        }
        moved
    }

    fn serve_store(&mut self, number: usize) -> bool {
        let mut jobs = Vec::new();
        self.cores[number].take_store_jobs(&mut jobs);
        self.jobs.extend(jobs.into_iter().map(|job| (number, job)));
        if self.is_store_held || self.jobs.is_empty() {
            return false;
        }
        let app_id = AppId::new(APP_ID).unwrap();
        for (number, StoreJob { id, work }) in std::mem::take(&mut self.jobs) {
            let written = written_attributes(&work);
            let mut result = match work {
                StoreWork::Remove { .. } if self.is_store_behind => Ok(StoreAnswer::Done),
                work => self.store.apply(vec![Task { app_id: &app_id, work }]).remove(0).map_err(|_| StoreFailed),
            };
            if let Some((channel_id, value)) = written.filter(|_| !self.is_store_unwatched)
                && result == Ok(StoreAnswer::Done)
            {
                for at in (0..self.cores.len()).filter(|at| !self.dead.contains(at)) {
                    self.cores[at].handle_kept_attributes(self.now, &channel_id, value.clone());
                }
            }
            if std::mem::take(&mut self.seems_to_fail) {
                result = Err(StoreFailed);
            }
            let done = StoreDone { id, result };
            match self.unanswered_by_store == Some(number) {
                true => self.store_answers.push(done),
                false => self.cores[number].handle_stored(self.now, done),
            }
        }
        true
    }

    /// The node that the store has not answered has its answers.
    pub(crate) fn answer_from_store(&mut self) {
        let Some(number) = self.unanswered_by_store.take() else { return };
        for done in std::mem::take(&mut self.store_answers) {
            self.cores[number].handle_stored(self.now, done);
        }
    }

    fn serve_engine(&mut self, number: usize) -> bool {
        let mut jobs = Vec::new();
        self.cores[number].take_engine_jobs(&mut jobs);
        let moved = !jobs.is_empty();
        for job in jobs {
            let (answer, changed) = self.engine.serve(&job);
            let is_late = match job.work {
                EngineWork::Write { .. } => self.engine.is_late,
                EngineWork::Read => self.engine.is_late_to_read,
            };
            match is_late {
                true => self.engine.late.push((number, job.id, answer)),
                false => self.cores[number].handle_engine(self.now, job.id, answer),
            }
            let Some(changed) = changed else { continue };
            for at in (0..self.cores.len()).filter(|at| !self.dead.contains(at)) {
                match self.blind.get_mut(&at) {
                    Some(waiting) => waiting.push((job.user_id.clone(), changed.clone())),
                    None => self.cores[at].handle_entry(self.now, &job.user_id, &changed),
                }
            }
        }
        moved
    }

    fn deliver(&mut self, to: usize) -> bool {
        let mut moved = false;
        for from in 0..self.cores.len() {
            if self.out.contains(&from) || self.out.contains(&to) {
                self.bus.remove(&(from, to));
            }
            if self.stalled.contains(&(from, to)) {
                continue;
            }
            while let Some((parcel, ticket)) = self.bus.get_mut(&(from, to)).and_then(VecDeque::pop_front) {
                let id = self.id(from);
                self.look_at_version(from, to, &parcel);
                self.cores[to].handle_parcel(self.now, &id, parcel);
                if let Some(ticket) = ticket.filter(|_| !self.dead.contains(&from)) {
                    self.cores[from].handle_posted(self.now, ticket, Posted::Taken);
                }
                moved = true;
            }
        }
        moved
    }

    /// A node of the first version is told of each message by itself: it takes what is said of one for that one only.
    fn look_at_version(&mut self, from: usize, to: usize, parcel: &ProjectParcel) {
        if let ProjectParcel::Deliver(deliver) = parcel
            && self.protos[from] < 2
        {
            let message = (deliver.session, deliver.to.clone(), deliver.n);
            self.unanswered.entry((from, to)).or_default().insert(message);
        }
        assert!(parcel.since() <= self.protos[to], "{to} does not know {parcel:?}");
        if self.protos[to] >= 2 {
            return;
        }
        let of = match parcel {
            ProjectParcel::Placed { session, to, n, .. }
            | ProjectParcel::NotHere { session, to, n, .. }
            | ProjectParcel::Missing { session, to, n, .. } => (*session, to.clone(), *n),
            _ => return,
        };
        let unanswered = self.unanswered.entry((to, from)).or_default();
        unanswered.remove(&of);
        let passed_over = unanswered.range((of.0, of.1.clone(), 0)..of).next();
        assert_eq!(passed_over, None, "{to} is not told of it by {parcel:?}");
    }

    fn read(&mut self, at: usize) -> bool {
        let client = &mut self.clients[at];
        let mut out = Vec::new();
        if !client.is_open || self.dead.contains(&client.node) {
            return false;
        }
        while self.cores[client.node].take_output(client.conn, &mut out) {}
        let moved = !out.is_empty();
        let mut got_event = false;
        let mut repeats = Vec::new();
        for outgoing in out {
            match outgoing {
                Outgoing::Frame(ServerFrame::Welcome(welcome)) => {
                    if client.login.resume.as_ref().is_some_and(|resume| welcome.ticket == Some(resume.ticket)) {
                        repeats.extend(client.open.clone());
                    } else {
                        client.received = 0;
                        client.open.clear();
                    }
                    client.welcome = Some(*welcome);
                }
                Outgoing::Frame(ServerFrame::Refused(refusal)) => client.refused = Some(refusal),
                Outgoing::Frame(ServerFrame::Reply { id, result }) => {
                    client.open.remove(&id);
                    client.replies.insert(id, result);
                }
                Outgoing::Frame(_) => {}
                Outgoing::Event(seq, event) => {
                    client.received = seq.0;
                    client.events.push(event.event().clone());
                    got_event = true;
                }
                Outgoing::Close(reason) => client.closed = Some(reason),
                Outgoing::Hangup => client.is_open = false,
            }
        }
        if client.closed.is_some() {
            client.is_open = false;
        }
        let (node, conn, is_open) = (client.node, client.conn, client.is_open);
        if !is_open {
            self.cores[node].disconnect(self.now, conn);
            return true;
        } else if got_event && !client.has_stopped_acks {
            let received = Seq(client.received);
            let ack = ClientFrame::Ack { received, consumed: received, answered: RequestId(0) };
            self.cores[node].handle_frame(self.now, conn, ack);
        }
        for (id, command) in repeats {
            self.cores[node].handle_frame(self.now, conn, ClientFrame::Request { id, command });
        }
        moved
    }
}

pub(crate) fn cid(text: &str) -> ChannelId {
    ChannelId::new(text).unwrap()
}

pub(crate) fn join(channel: &str) -> JoinChannel {
    JoinChannel { channel_id: cid(channel) }
}

pub(crate) fn to_channel(id: u64, channel: &str, text: &str) -> SendChannelMessage {
    SendChannelMessage {
        message_id: MessageId(id),
        channel_id: cid(channel),
        message: text.into(),
        enable_historical_messaging: false,
    }
}

pub(crate) fn stored_to_peer(id: u64, peer: &str, text: &str) -> SendMessageToPeer {
    SendMessageToPeer { enable_offline_messaging: true, ..to_peer(id, peer, text) }
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
