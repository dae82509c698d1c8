//! The world: its clock, its agenda, and what is in it.

mod cluster;
mod devices;
mod gateway;
mod mishaps;
mod moving;
mod node_mishaps;
mod of_one;
mod pauses;
mod server;
mod tokens;

use std::{
    fmt,
    time::{Duration, Instant},
};

use rtm_codec::{
    AppId, ChannelId, Command, GetChannelAttributes, GetChannelMemberCount, GetMembers, GetUserAttributes, InvalidId,
    UserId,
};
use rtm_connection::ConnectionState;
use rtm_core::{Now, ProjectConfig, Stats, cluster::PROTO};

pub(crate) use self::of_one::{OfOne, Users};
use crate::{
    agenda::{Agenda, Step},
    app::{App, Input},
    check::{Ledger, Violation},
    cluster::Cluster,
    device::Device,
    faults::{Faults, Mishap},
    figures::{Counts, DeviceConfig, DeviceId},
    moving::Moving,
    net::{Direction, SimulatedLink},
    rng::Rng,
    server::Server,
    store::SimulatedStore,
    trace::Trace,
};

/// Devices, a server or several, and the network between them, in virtual time. The same seed and the same calls make the same
/// run, to the last byte.
///
/// Add devices with [`add`](Self::add), say with [`set_faults`](Self::set_faults) what shall go wrong, let time
/// pass with [`run_for`](Self::run_for), and have everything looked over with [`check`](Self::check). The
/// [invariants](crate::Invariant) are watched all the while.
pub struct World {
    pub(crate) now: Duration,
    base: Instant,
    /// How far the wall clock is off.
    pub(crate) wall_offset_ms: i64,
    pub(crate) rng: Rng,
    pub(crate) agenda: Agenda,
    pub(crate) faults: Faults,
    planned_mishaps: [bool; Mishap::ALL.len()],
    pub(crate) project: ProjectConfig,
    pub(crate) devices: Vec<Device>,
    pub(crate) links: Vec<SimulatedLink>,
    /// When the last of all bytes under way arrives.
    pub(crate) last_arrival: Duration,
    pub(crate) servers: Vec<Server>,
    pub(crate) store: SimulatedStore,
    /// What makes several servers one.
    pub(crate) cluster: Option<Box<Cluster>>,
    /// Whether the server is compared with one that is a cluster of one.
    pub(crate) of_one: OfOne,
    pub(crate) moving: Moving,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// A server was killed before its log of events said what the store had failed to keep.
    pub(crate) is_gap_untold: bool,
}

impl World {
    /// A world with an open project, a durable store and no faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let app_id = AppId::new("5e1f0000000000000000000000000001").expect("32 letters and digits");
        Self::with_project(seed, ProjectConfig::new(app_id), true)
    }

    /// A world with this project. Whether the store is `durable` decides what it has after a crash of the server.
    #[must_use]
    pub fn with_project(seed: u64, project: ProjectConfig, durable: bool) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs some instant to start from")]
        let base = Instant::now();
        let mut world = Self {
            now: Duration::ZERO,
            base,
            wall_offset_ms: 0,
            rng: Rng::new(seed),
            agenda: Agenda::default(),
            faults: Faults::none(),
            planned_mishaps: [false; Mishap::ALL.len()],
            ledger: Ledger::new(&project.settings, durable),
            project,
            devices: Vec::new(),
            links: Vec::new(),
            last_arrival: Duration::ZERO,
            servers: vec![Server::new("server")],
            store: SimulatedStore::new(durable),
            cluster: None,
            of_one: OfOne::No,
            moving: Moving::new(seed),
            trace: Trace::default(),
            counts: Counts::default(),
            is_gap_untold: false,
        };
        world.start_server(0);
        world
    }

    /// A world with so many servers that are one, with a durable store. Each starts within some time.
    pub(crate) fn with_cluster(seed: u64, project: ProjectConfig, nodes: usize) -> Self {
        let mut world = Self::with_project(seed, project, true);
        world.servers = (0..nodes).map(|node| Server::new(&format!("n{node}"))).collect();
        world.agenda = Agenda::default();
        let mut cluster = Cluster::new(nodes);
        cluster.first_proto = seed.is_multiple_of(3).then_some(if seed.is_multiple_of(2) { PROTO - 1 } else { 1 });
        world.cluster = Some(Box::new(cluster));
        world.ledger.is_cluster();
        for server in 0..nodes {
            world.plan_start(server);
        }
        world.agenda.plan(LOOK_EVERY, Step::Look);
        world
    }

    /// Whether the server is one of several.
    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// Adds a device of a user and switches it on. A user may have several; only one of them is logged in at a time.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] when `user_id` is none.
    pub fn add(&mut self, user_id: &str, config: DeviceConfig, app: impl App + 'static) -> Result<DeviceId, InvalidId> {
        let user_id = UserId::new(user_id)?;
        let id = self.devices.len();
        self.ledger.add_device(user_id.clone(), &config);
        self.devices.push(Device::new(user_id, config, self.rng.number(), Box::new(app)));
        self.devices[id].inputs.push_back(Input::Start);
        self.drive(id);
        Ok(DeviceId(id))
    }

    /// Says what goes wrong from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        if faults.bandwidth.is_some() {
            self.ledger.narrow_network();
        }
        self.faults = self.compared(faults);
        for (at, mishap) in Mishap::ALL.into_iter().enumerate() {
            if !self.planned_mishaps[at] {
                self.plan_mishap(at, mishap);
            }
        }
    }

    /// Lets time pass.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] of an invariant. The world is of no use after it.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.now + time;
        let mut at_once = 0;
        while let Some((at, step)) = self.agenda.next(until) {
            at_once = if at == self.now { at_once + 1 } else { 0 };
            if at_once > STEPS_AT_ONCE {
                self.ledger.turns_on_the_spot(self.now, &step);
            }
            self.now = at;
            self.counts.steps += 1;
            self.step(step);
            if let Some(violation) = self.violation() {
                return Err(violation);
            }
        }
        self.now = until;
        Ok(())
    }

    /// Looks everything over: asks the server through each device that is logged in for members, counts and
    /// attributes, and compares with what there has to be. To be called when things have been quiet for a while:
    /// some 75 s after the last call and the last fault, every invitation has ended and everybody who is gone is
    /// known to be. Lets 6 s pass, and again 6 s where a session ended meanwhile, as with its token.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] of an invariant.
    pub fn check(&mut self) -> Result<(), Violation> {
        self.check_returns();
        self.check_cluster();
        let mut here = self.here();
        for _ in 0..ASKED_AGAIN {
            self.probe_all(&here);
            self.run_for(Duration::from_secs(6))?;
            let since = std::mem::replace(&mut here, self.here());
            if since == here {
                break;
            }
            // The answers tell of what was.
            self.ledger.forget_probes();
        }
        self.ledger.finish(self.now, &here);
        self.check_store(&here);
        self.check_counts();
        self.check_event_log();
        self.violation().map_or(Ok(()), Err)
    }

    /// Looks whether the store has anything for those who are there.
    fn check_store(&mut self, here: &[(usize, Vec<ChannelId>)]) {
        for (device, _) in here {
            let messages = self.store.stored_for(&self.project.app_id, &self.devices[*device].user_id);
            self.ledger.waits_in_store(self.now, *device, messages);
        }
    }

    /// Looks through the log of events, where one server writes it and has written all.
    fn check_event_log(&mut self) {
        // A new core in the place of another one begins its log anew.
        if self.cluster.is_some() || self.counts.moved_all > 0 || self.is_gap_untold {
            return;
        }
        let Some(core) = self.servers[0].core.as_ref().filter(|core| core.event_figures().waiting == 0) else { return };
        let log = self.store.events(&self.project.app_id);
        self.ledger.log_read(self.now, &log, core.stats().sessions);
    }

    fn violation(&self) -> Option<Violation> {
        let of_nodes = self.cluster.as_ref().and_then(|cluster| cluster.ledger.violation());
        self.ledger.violation().or_else(|| of_nodes.map(Violation::from))
    }

    fn probe_all(&mut self, here: &[(usize, Vec<ChannelId>)]) {
        for (device, channels) in here.iter().cloned() {
            let user_id = self.devices[device].user_id.clone();
            for channel_id in channels.iter().take(PROBED_CHANNELS) {
                self.probe(device, GetMembers { channel_id: channel_id.clone() });
                self.probe(device, GetChannelAttributes { channel_id: channel_id.clone(), keys: None });
            }
            if !channels.is_empty() {
                self.probe(device, GetChannelMemberCount { channel_ids: channels });
            }
            self.probe(device, GetUserAttributes { user_id, keys: None });
            self.drive(device);
        }
    }

    /// Looks over what is left on the server when every user has logged out or is gone for good: nothing. To be
    /// called when the last of them went more than [`resume_within`](rtm_core::Settings::resume_within) ago.
    ///
    /// # Errors
    ///
    /// A [`Violation`] of [`Invariant::Bounds`](crate::Invariant::Bounds).
    pub fn check_emptied(&mut self) -> Result<(), Violation> {
        for core in self.servers.iter().filter_map(|server| server.core.as_ref()) {
            self.ledger.emptied(self.now, &core.stats());
        }
        self.ledger.violation().map_or(Ok(()), Err)
    }

    fn check_returns(&mut self) {
        for device in 0..self.devices.len() {
            let state = &self.devices[device];
            let is_stuck = state.connection.state() == ConnectionState::Reconnecting
                && !self.is_away(device)
                && !(self.has_tokens() && state.habits.is_sdk());
            if is_stuck {
                self.ledger.stays_away(self.now, device);
            }
        }
    }

    /// The devices that are connected, and the channels that each believes to be in.
    fn here(&self) -> Vec<(usize, Vec<ChannelId>)> {
        self.devices
            .iter()
            .enumerate()
            .filter(|(_, state)| state.connection.state() == ConnectionState::Connected)
            .map(|(device, state)| (device, state.connection.channels().cloned().collect()))
            .collect()
    }

    fn probe(&mut self, device: usize, command: impl Into<Command>) {
        let (now, command) = (self.instant(), command.into());
        let id = self.devices[device].connection.request(now, command.clone());
        self.ledger.probe(self.now, device, id, command);
    }

    /// Makes everything well: no more faults, every link moves, the server is up, every application reads. What is
    /// broken stays broken until the devices notice.
    pub fn heal(&mut self) {
        self.trace.line(self.now, "world", || "heals".to_owned());
        self.set_faults(Faults::none());
        self.stop_moving();
        self.heal_cluster();
        for server in 0..self.servers.len() {
            self.server_goes_on(server, self.servers[server].run);
        }
        self.ledger.healed(self.now);
        for link in &mut self.links {
            link.heal(self.now);
        }
        for device in 0..self.devices.len() {
            let state = &mut self.devices[device];
            state.frozen_until = state.frozen_until.min(self.now);
            state.away_until = state.away_until.min(self.now);
            state.reads_from = state.reads_from.min(self.now);
            state.read_at_once();
            self.plan_reads(device);
        }
        // What was put off until later is looked at now as well.
        for link in 0..self.links.len() {
            for direction in [Direction::Up, Direction::Down] {
                self.agenda.plan(self.now, Step::Arrive { link, direction });
            }
        }
        for server in 0..self.servers.len() {
            if !self.servers[server].is_up() && self.servers[server].member.is_none() {
                self.agenda.plan(self.now, Step::ServerStarts { server });
            }
        }
    }

    /// Keeps a trace from now on.
    pub fn start_trace(&mut self) {
        self.trace.start();
    }

    /// The trace so far, a line for each thing that happened.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.lines()
    }

    /// The virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The figures so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The server's own figures; `None` while it is down.
    #[must_use]
    pub fn server_stats(&self) -> Option<Stats> {
        self.servers[0].core.as_ref().map(rtm_core::Core::stats)
    }

    /// The state of a device's connection.
    #[must_use]
    pub fn state(&self, device: DeviceId) -> ConnectionState {
        self.devices[device.0].connection.state()
    }

    /// Now, as an instant.
    pub(crate) fn instant(&self) -> Instant {
        self.base + self.now
    }

    /// An instant of this world as the time since its start.
    pub(crate) fn time_of(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.base)
    }

    /// Now, as the server sees it.
    pub(crate) fn server_now(&self) -> Now {
        let wall = WALL_START_MS.saturating_add_signed(self.wall_offset_ms);
        Now { instant: self.instant(), unix_ms: wall + u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX) }
    }

    pub(crate) fn jump_clock(&mut self, by_ms: i64) {
        self.wall_offset_ms += by_ms;
    }

    pub(crate) fn note(&mut self, device: usize, text: impl FnOnce() -> String) {
        self.trace.line(self.now, self.devices[device].user_id.as_str(), text);
    }

    pub(crate) fn server_line(&mut self, server: usize, text: impl FnOnce() -> String) {
        self.trace.line(self.now, self.servers[server].name.as_str(), text);
    }

    pub(crate) fn plan_mishap(&mut self, at: usize, mishap: Mishap) {
        self.planned_mishaps[at] = self.faults.every(mishap).is_some();
        if let Some(every) = self.faults.every(mishap) {
            let pause = self.rng.about(every);
            self.agenda.plan(self.now + pause, Step::Mishap(mishap));
        }
    }

    fn step(&mut self, step: Step) {
        if let Some(server) = step.server(&self.links)
            && self.servers[server].stands_since.is_some()
        {
            return self.servers[server].put_off.push(step);
        }
        match step {
            Step::DeviceTimer { device } => self.device_timer(device),
            Step::AppTimer { device, tag } => self.app_timer_due(device, tag),
            Step::AppReads { device } => self.app_reads(device),
            Step::DialEnds { device, dial } => self.dial_ends(device, dial),
            Step::Asked { device, server, id, request } => self.asked(device, server, id, &request),
            Step::Told { ask, body } => self.told(ask, body),
            Step::Arrive { link, direction: Direction::Up } => self.arrive_at_server(link),
            Step::Arrive { link, direction: Direction::Down } => self.arrive_at_device(link),
            Step::Broken { link, direction: Direction::Up } => self.broken_for_server(link),
            Step::Broken { link, direction: Direction::Down } => self.broken_for_device(link),
            Step::ServerWrites { link } => self.server_writes(link),
            Step::ServerGivesUp { link } => self.server_gives_up(link),
            Step::ServerTimer { server, run } => self.server_timer(server, run),
            Step::StoreDone { server, run } => self.store_done(server, run),
            Step::DrainCloses { server, run, link } => self.drain_closes(server, run, link),
            Step::ServerEnds { server, run } => self.server_ends(server, run),
            Step::ServerStarts { server } => self.start_server(server),
            Step::ServerGoesOn { server, run } => self.server_goes_on(server, run),
            Step::Move => self.move_some(),
            Step::Node { server, step } => self.node_step(server, *step),
            Step::NodeMishap => self.node_mishap(),
            Step::Look => self.look(),
            Step::Mishap(mishap) => self.mishap(mishap),
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("devices", &self.devices.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// How often a cluster is looked over.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often everything is asked again, where it changes meanwhile.
const ASKED_AGAIN: usize = 3;

/// How many channels of each device are looked over: as many as the call limits allow at once.
const PROBED_CHANNELS: usize = 5;

/// More steps than that at one instant are a world that turns on the spot.
const STEPS_AT_ONCE: u64 = 1_000_000;

/// Some day in 2023.
const WALL_START_MS: u64 = 1_700_000_000_000;
