//! `leaving`: what a node's leaving costs the others, with many users: no call may hold a core for long, and soon the state of every
//! user is known again. Cores alone: the engine, the bus and the store are in this process, and answer at once.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::ensure;
use benches::clock;
use clap::Parser;
use rtm_codec::{
    AppId, CallLimits, ClientFrame, Command, InstanceId, KeepAlive, Login, QueryPeersOnlineStatus, RequestId,
    ServerFrame, UserId, Wire, limits::ONLINE_QUERY_PEERS,
};
use rtm_core::{
    ConnId, Core, Now, Outgoing, ProjectConfig, StoreDone, StoreFailed,
    cluster::{
        Change, EngineAnswer, EngineJob, EngineWork, NodeId, NodeName, PARTITIONS, PROTO, Posted, Posting, Revised,
        View, partition,
    },
    store::{Backend, Memory, Task},
};

/// Have one of three nodes leave; fail where a call held a core over 5 ms, or a user's state is unknown for over 10 s.
#[derive(Debug, Parser)]
struct Args {
    /// How many users are logged in, a third of them on each node.
    #[arg(long, default_value_t = 1_000_000)]
    users: usize,
}

struct Node {
    id: NodeId,
    core: Core,
    conns: Vec<ConnId>,
}

struct Cluster {
    app_id: AppId,
    nodes: Vec<Node>,
    gone: Vec<Node>,
    view: View,
    entries: HashMap<UserId, Revised>,
    revision: u64,
    store: Memory,
    /// It stands still, but where it is put forward.
    now: Now,
    start: Now,
    /// The longest that each kind of call held a core.
    longest: Vec<(&'static str, Duration)>,
    outputs: Vec<(ConnId, Outgoing)>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut cluster = Cluster::new(3)?;
    for number in 0..args.users {
        cluster.log_in(number % 3, &format!("user-{number:07}"))?;
        cluster.advance(LOGGED_IN_OVER / u32::try_from(args.users)?);
    }
    let asker = cluster.log_in(0, "asker")?;
    let sessions: usize = cluster.nodes.iter().map(|node| node.core.figures().sessions).sum();
    ensure!(sessions == args.users + 1, "{sessions} users are logged in");
    println!("{} users on three nodes", args.users);

    cluster.longest.clear();
    let (begun, start) = (Instant::now(), cluster.since_start());
    cluster.leave(2);
    let questions = cluster.ask_of_all_partitions(asker)?;
    cluster.go_on(begun, |cluster| cluster.answers(asker) == questions)?;
    let opened = begun.elapsed() + cluster.since_start() - start;
    // The users of the node that left are reported offline.
    for step in 0..STEPS * 45 {
        cluster.advance(STEP);
        cluster.hear(step % SIGN_OF_LIFE_EVERY);
        cluster.pump();
    }
    for (what, longest) in &cluster.longest {
        println!("{what:<12} at most {:>8.1} us", longest.as_secs_f64() * 1e6);
    }
    println!("the state of users of all {PARTITIONS} partitions is known after {:.2} s", opened.as_secs_f64());
    let longest = cluster.longest.iter().map(|(_, longest)| *longest).max().unwrap_or_default();
    ensure!(longest <= HELD_AT_MOST, "a call holds a core for {longest:?}");
    ensure!(opened <= OPENED_WITHIN, "users' states are unknown for {opened:?}");
    Ok(())
}

impl Cluster {
    fn new(count: u8) -> anyhow::Result<Self> {
        let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
        let ids: Vec<NodeId> = (0..count)
            .map(|number| Ok(NodeId { name: NodeName::new(&format!("rtm-{number}"))?, incarnation: 1 }))
            .collect::<anyhow::Result<_>>()?;
        let joins: Vec<_> = ids.iter().map(|id| Change::Join(id.clone(), PROTO, 1)).collect();
        let homes: Vec<_> = ids.iter().map(|id| Change::Home(id.clone())).collect();
        let mut view = View::empty(0).next(&joins).next(&homes);
        while view.is_unbalanced() {
            view = view.next(&[]);
        }
        let mut config = ProjectConfig::new(app_id.clone());
        config.limits = CallLimits::unlimited();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let now = Now { instant: Instant::now(), unix_ms: u64::try_from(unix.as_millis())? };
        let node = |(seed, id): (u8, NodeId)| {
            let mut core = Core::new(config.clone(), [seed; 32], now);
            core.join_cluster(id.clone(), view.clone());
            Node { id, core, conns: Vec::new() }
        };
        Ok(Self {
            nodes: (0..count).zip(ids).map(node).collect(),
            gone: Vec::new(),
            app_id,
            view,
            entries: HashMap::new(),
            revision: 0,
            store: Memory::default(),
            now,
            start: now,
            longest: Vec::new(),
            outputs: Vec::new(),
        })
    }

    fn log_in(&mut self, at: usize, user_id: &str) -> anyhow::Result<ConnId> {
        let conn = self.nodes[at].core.connect();
        self.nodes[at].conns.push(conn);
        let login = Login {
            app_id: self.app_id.clone(),
            user_id: Some(UserId::new(user_id)?),
            token: None,
            instance: InstanceId::new("bench")?,
            resume: None,
            keep_alive: KeepAlive::Client { interval_ms: KEEP_ALIVE_MS },
            window: 0,
            abilities: Wire::Native.abilities(),
            gateway_session: None,
        };
        self.call(at, "login", |core, now| core.handle_frame(now, conn, ClientFrame::Login(Box::new(login))));
        self.pump();
        self.outputs.clear();
        Ok(conn)
    }

    /// A node leaves the view; what it was the home of goes to the others.
    fn leave(&mut self, number: usize) {
        let gone = self.nodes.remove(number);
        self.show(&[Change::Leave(gone.id.clone())]);
        // What is freed at once, the next call that allocates would clean up.
        self.gone.push(gone);
        while self.view.is_unbalanced() {
            self.show(&[]);
        }
    }

    fn show(&mut self, changes: &[Change]) {
        self.view = self.view.next(changes);
        for at in 0..self.nodes.len() {
            let view = self.view.clone();
            self.call(at, "view", |core, now| core.handle_view(now, view));
        }
        self.pump();
    }

    /// Asks for the state of a user of each partition; says how often it asked.
    fn ask_of_all_partitions(&mut self, asker: ConnId) -> anyhow::Result<usize> {
        let mut users = HashMap::new();
        for number in 0_u64.. {
            let user_id = UserId::new(format!("user-{number:07}"))?;
            users.entry(partition(self.app_id.as_str(), user_id.as_str())).or_insert(user_id);
            if users.len() == usize::from(PARTITIONS) {
                break;
            }
        }
        let users: Vec<UserId> = users.into_values().collect();
        let parts: Vec<_> = users.chunks(ONLINE_QUERY_PEERS).collect();
        for (id, peer_ids) in (1..).zip(&parts) {
            let command = Command::from(QueryPeersOnlineStatus { peer_ids: peer_ids.to_vec() });
            let frame = ClientFrame::Request { id: RequestId(id), command };
            self.call(0, "query", |core, now| core.handle_frame(now, asker, frame));
        }
        Ok(parts.len())
    }

    /// How many questions were answered.
    fn answers(&self, asker: ConnId) -> usize {
        let is_answer = |(conn, outgoing): &&(ConnId, Outgoing)| {
            *conn == asker && matches!(outgoing, Outgoing::Frame(ServerFrame::Reply { result: Ok(_), .. }))
        };
        self.outputs.iter().filter(is_answer).count()
    }

    fn go_on(&mut self, begun: Instant, is_done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        while !is_done(self) {
            ensure!(begun.elapsed() < GIVEN_UP_AFTER, "the states of users stay unknown");
            self.advance(Duration::from_millis(1));
            self.pump();
        }
        Ok(())
    }

    fn advance(&mut self, duration: Duration) {
        self.now.instant += duration;
        self.now.unix_ms = self.start.unix_ms + self.since_start().as_millis() as u64;
    }

    fn since_start(&self) -> Duration {
        self.now.instant.duration_since(self.start.instant)
    }

    /// Some of the clients say a word, so that all do in time.
    fn hear(&mut self, turn: usize) {
        for at in 0..self.nodes.len() {
            let conns: Vec<ConnId> =
                self.nodes[at].conns.iter().skip(turn).step_by(SIGN_OF_LIFE_EVERY).copied().collect();
            for conn in conns {
                self.call(at, "a word", |core, now| core.handle_bytes(now, conn));
            }
        }
    }

    /// Does all that the cores want, until they want nothing more for now.
    fn pump(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for at in 0..self.nodes.len() {
                moved |= self.serve(at);
            }
        }
    }

    fn serve(&mut self, at: usize) -> bool {
        let mut moved = false;
        let now = self.now;
        if self.nodes[at].core.next_timeout().is_some_and(|due| due <= now.instant) {
            self.call(at, "timeout", |core, now| core.handle_timeout(now));
            moved = true;
        }
        let (mut engine_jobs, mut store_jobs, mut parcels, mut wakes) = (vec![], vec![], vec![], vec![]);
        let core = &mut self.nodes[at].core;
        core.take_engine_jobs(&mut engine_jobs);
        core.take_store_jobs(&mut store_jobs);
        core.take_parcels(&mut parcels);
        core.take_wakes(&mut wakes);
        moved |= !(engine_jobs.is_empty() && store_jobs.is_empty() && parcels.is_empty());
        for job in engine_jobs {
            self.decide(at, &job);
        }
        for job in store_jobs {
            let task = Task { app_id: &self.app_id, work: job.work };
            let result = self.store.apply(vec![task]).pop().and_then(Result::ok).ok_or(StoreFailed);
            self.call(at, "store", |core, now| core.handle_stored(now, StoreDone { id: job.id, result }));
        }
        let from = self.nodes[at].id.clone();
        for Posting { to, parcel, ticket } in parcels {
            let there = self.nodes.iter().position(|node| node.id == to);
            if let Some(there) = there {
                self.call(there, "parcel", |core, now| core.handle_parcel(now, &from, parcel));
            }
            if let Some(ticket) = ticket {
                let posted = if there.is_some() { Posted::Taken } else { Posted::Left };
                self.call(at, "posted", |core, now| core.handle_posted(now, ticket, posted));
            }
        }
        for conn in wakes {
            let mut out = Vec::new();
            while self.nodes[at].core.take_output(conn, &mut out) {}
            self.outputs.extend(out.into_iter().map(|outgoing| (conn, outgoing)));
        }
        moved
    }

    /// The engine answers, and all nodes hear of what is written.
    fn decide(&mut self, at: usize, job: &EngineJob) {
        let present = self.entries.get(&job.user_id).cloned().unwrap_or(Revised { entry: None, revision: 0 });
        let answer = match &job.work {
            EngineWork::Read => EngineAnswer::Read(present),
            EngineWork::Write { expected, .. } if *expected != present.revision => EngineAnswer::Conflict,
            EngineWork::Write { entry, .. } => {
                self.revision += 1;
                let written = Revised { entry: entry.clone(), revision: self.revision };
                self.entries.insert(job.user_id.clone(), written.clone());
                for there in 0..self.nodes.len() {
                    self.call(there, "entry", |core, now| core.handle_entry(now, &job.user_id, &written));
                }
                EngineAnswer::Written(self.revision)
            }
        };
        self.call(at, "engine", |core, now| core.handle_engine(now, job.id, answer));
    }

    /// Makes a call, and takes note of how long it held the core: the processor's time, so that a busy machine disturbs little.
    fn call(&mut self, at: usize, what: &'static str, call: impl FnOnce(&mut Core, Now)) {
        let (now, begun) = (self.now, clock::now());
        call(&mut self.nodes[at].core, now);
        let took = clock::now().saturating_sub(begun);
        match self.longest.iter_mut().find(|(name, _)| *name == what) {
            Some((_, longest)) => *longest = took.max(*longest),
            None => self.longest.push((what, took)),
        }
    }
}

const KEEP_ALIVE_MS: u32 = 20_000;
/// Nobody has to say a word before all are there.
const LOGGED_IN_OVER: Duration = Duration::from_secs(8);
const STEP: Duration = Duration::from_millis(1);
/// How many are in a second.
const STEPS: usize = 1000;
/// So many steps are half of the time in which each client has to say a word.
const SIGN_OF_LIFE_EVERY: usize = 10 * STEPS;
const HELD_AT_MOST: Duration = Duration::from_millis(5);
const OPENED_WITHIN: Duration = Duration::from_secs(10);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);
