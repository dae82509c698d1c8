//! What a server does in the world: its sockets and what it asks of the store, and how all that ends and begins again.

use std::time::Duration;

use rtm_codec::{CloseReason, ServerFrame, anyrtc::gateway::GatewayAnswer};
use rtm_core::{Core, EventLogStart, Outgoing, cluster::Standing};

use super::World;
use crate::{
    agenda::Step,
    net::{Arrival, Direction, Written},
    server::Server,
    store::{Outcome, StoreQueue},
};
impl World {
    /// The server's process begins.
    pub(crate) fn start_server(&mut self, server: usize) {
        if self.cluster.is_some() {
            return self.start_member(server);
        }
        if self.servers[server].is_up() {
            return;
        }
        self.server_line(server, || "starts".to_owned());
        let seed = self.rng.bytes();
        let mut core = self.new_core(server, seed);
        core.begin_event_log(self.server_now(), &self.server_name(server), EventLogStart::AfterRestart);
        self.servers[server].core = Some(core);
        self.servers[server].run += 1;
        self.servers[server].timer = None;
        self.join_of_one();
        self.ledger.server_started(self.now);
        self.settle_server(server);
    }

    /// A core with what the store has kept.
    pub(crate) fn new_core(&mut self, server: usize, seed: [u8; 32]) -> Core {
        let now = self.server_now();
        if std::mem::replace(&mut self.servers[server].wall_offset_ms, self.wall_offset_ms) != self.wall_offset_ms {
            self.ledger.clock_was_set(self.now);
        }
        let mut core = Core::new(self.project.clone(), seed, now);
        for (key, value) in self.store.state(&self.project.app_id) {
            core.restore(now, key, value);
        }
        core
    }

    /// What the log of events calls a server, another name at each start.
    pub(crate) fn server_name(&self, server: usize) -> String {
        let Server { name, run, .. } = &self.servers[server];
        format!("{}-{run}", name.as_str())
    }

    /// Takes what the core wants done.
    pub(crate) fn settle_server(&mut self, server: usize) {
        if self.servers[server].is_ending {
            return;
        }
        self.settle_member(server);
        self.settle_of_one();
        let Some(core) = &mut self.servers[server].core else { return };
        let mut answers = Vec::new();
        core.take_http_answers(&mut answers);
        // First, since an answer that arrives makes a job.
        for (id, answer) in answers {
            self.answer_http(server, id, answer.unwrap_or_else(|refusal| GatewayAnswer::Refused(refusal.kind)));
        }
        let run = self.servers[server].run;
        let Some(core) = &mut self.servers[server].core else { return };
        let mut jobs = Vec::new();
        core.take_store_jobs(&mut jobs);
        let mut wakes = Vec::new();
        core.take_wakes(&mut wakes);
        let next = core.next_timeout();
        for job in &jobs {
            self.trace.line(self.now, "store", || format!("is asked: {}", crate::trace::work(&job.work)));
        }
        if self.servers[server].queue.take(&mut jobs) {
            self.plan_store(server);
        }
        let mut links: Vec<usize> =
            wakes.iter().filter_map(|conn| self.servers[server].links.get(conn).copied()).collect();
        // In which order the core wakes them is of no interest, and must not decide what is drawn.
        links.sort_unstable();
        links.into_iter().for_each(|link| self.wake_writer(link));
        let next = next.map(|next| self.time_of(next));
        if let Some(at) = next
            && self.servers[server].timer.is_none_or(|planned| at < planned)
        {
            self.servers[server].timer = Some(at);
            // A core in which a session moved may want to be woken more often.
            let late = if self.moving.is_exact() { Duration::ZERO } else { self.timer_lateness() };
            self.agenda.plan(at.max(self.now) + late, Step::ServerTimer { server, run });
        }
    }

    fn plan_store(&mut self, server: usize) {
        let delay = self.rng.between(&self.faults.store_delay);
        self.agenda.plan(self.now + delay, Step::StoreDone { server, run: self.servers[server].run });
    }

    fn wake_writer(&mut self, link: usize) {
        let socket = &mut self.links[link];
        if socket.is_writing {
            return;
        }
        socket.is_writing = true;
        let most = if self.is_of_one() { Duration::ZERO } else { Duration::from_millis(1) };
        let pause = self.rng.between(&(Duration::ZERO..=most));
        self.agenda.plan(self.now + pause, Step::ServerWrites { link });
    }

    pub(crate) fn accept(&mut self, link: usize) {
        let server = self.links[link].server;
        if self.servers[server].is_up() {
            self.servers[server].logging_in.insert(link);
        }
    }

    /// Bytes have come out of a link at the server.
    pub(crate) fn arrive_at_server(&mut self, link: usize) {
        let server = self.links[link].server;
        if self.is_stalled(link, Direction::Up) {
            return;
        }
        let mut arrivals = Vec::new();
        let is_heard = self.links[link].read(self.now, Direction::Up, &mut arrivals) > 0;
        if is_heard && self.links[link].conn.is_some() {
            self.has_to_show(link);
        }
        let (now, has_session) = (self.server_now(), self.has_session(server, self.links[link].device));
        if is_heard
            && arrivals.is_empty()
            && let (Some(core), Some(conn)) = (&mut self.servers[server].core, self.links[link].conn)
        {
            core.handle_bytes(now, conn);
        }
        for arrival in arrivals {
            let socket = &mut self.links[link];
            let process = &mut self.servers[server];
            let Some(core) = &mut process.core else { return };
            if socket.conn.is_none() && !process.logging_in.contains(&link) {
                return;
            }
            match arrival {
                Arrival::Packet(packet) => {
                    let mut frames = Vec::new();
                    let decoded = socket.server_wire.decode(packet, &mut frames);
                    let is_welcomed = socket.welcomed_at.is_some() && has_session;
                    self.ledger.heard(self.now, socket.device, &frames, !socket.is_held, is_welcomed);
                    if let Err(error) = &decoded {
                        let what = format!("the client sent what is not the protocol: {error}");
                        self.ledger.broke_protocol(self.now, socket.device, &what);
                    }
                    // The first frame is the login, which opens the connection in the core.
                    if !frames.is_empty() && process.logging_in.remove(&link) {
                        let conn = core.connect();
                        socket.conn = Some(conn);
                        process.links.insert(conn, link);
                    }
                    let Some(conn) = socket.conn else { continue };
                    for frame in frames {
                        if let Some(core) = &mut self.servers[server].core {
                            core.handle_frame(now, conn, frame);
                        }
                        self.settle_of_one();
                    }
                    if let Some(core) = self.servers[server].core.as_mut().filter(|_| decoded.is_err()) {
                        core.close(now, conn, CloseReason::ProtocolError);
                    }
                }
                Arrival::Close(_) => self.server_loses(link),
            }
        }
        self.settle_server(server);
    }

    /// A device is heard. If it has heard nothing itself for a while, it has to be shown that.
    fn has_to_show(&mut self, link: usize) {
        let socket = &mut self.links[link];
        if self.now >= socket.written_at + self.ledger.keep_alive(socket.device) / 2 {
            socket.unshown_since.get_or_insert(self.now);
        }
    }

    /// The server's socket is gone.
    fn server_loses(&mut self, link: usize) {
        let server = self.links[link].server;
        let now = self.server_now();
        let socket = &mut self.links[link];
        if self.servers[server].logging_in.remove(&link) {
            return self.ledger.server_lost_link(self.now, socket.device);
        }
        let (Some(conn), Some(core)) = (socket.conn.take(), &mut self.servers[server].core) else { return };
        core.disconnect(now, conn);
        self.servers[server].links.remove(&conn);
        self.ledger.server_lost_link(self.now, socket.device);
    }

    /// The server learns that a link is broken.
    pub(crate) fn broken_for_server(&mut self, link: usize) {
        let server = self.links[link].server;
        self.server_loses(link);
        self.settle_server(server);
    }

    /// The device has read: the server may go on writing.
    pub(crate) fn make_room(&mut self, link: usize) {
        let socket = &mut self.links[link];
        if socket.full_since.is_none() {
            return;
        }
        if socket.has_room() {
            socket.full_since = None;
            self.wake_writer(link);
        } else {
            self.wait_for_room(link);
        }
    }

    fn wait_for_room(&mut self, link: usize) {
        self.links[link].full_since = Some(self.now);
        self.agenda.plan(self.now + STALL_TIMEOUT, Step::ServerGivesUp { link });
    }

    /// A socket that has taken nothing for too long is given up.
    pub(crate) fn server_gives_up(&mut self, link: usize) {
        let server = self.links[link].server;
        if self.links[link].full_since.is_some_and(|since| since + STALL_TIMEOUT <= self.now) {
            self.server_line(server, || format!("gives link {link} up, which takes nothing"));
            self.server_loses(link);
            self.break_link(link, None);
            self.settle_server(server);
        }
    }

    /// The task of a socket writes what the core has for it.
    pub(crate) fn server_writes(&mut self, link: usize) {
        let server = self.links[link].server;
        self.links[link].is_writing = false;
        let now = self.server_now();
        let is_outside = self.is_outside(server);
        let mut more = true;
        while more {
            let socket = &mut self.links[link];
            let (Some(conn), Some(core)) = (socket.conn, &mut self.servers[server].core) else { return };
            if !socket.has_room() && !socket.is_cut && !core.is_closing(conn) {
                if socket.full_since.is_none() {
                    self.wait_for_room(link);
                }
                break;
            }
            let mut out = Vec::new();
            more = core.take_output(conn, &mut out);
            let mut end = None;
            for outgoing in out {
                match outgoing {
                    Outgoing::Frame(frame) => {
                        if matches!(frame, ServerFrame::Welcome(_)) {
                            socket.welcomed_at = Some(self.now);
                            self.ledger.welcomed(self.now, socket.device);
                            if is_outside {
                                self.ledger.server_is_outside(&[socket.device]);
                            }
                        }
                        socket.server_wire.encode(&frame);
                    }
                    Outgoing::Event(seq, event) => socket.server_wire.encode_event(seq, &event),
                    Outgoing::Close(reason) => {
                        socket.server_wire.encode(&ServerFrame::Close(reason));
                        end = Some((reason.websocket_code(), Some(reason)));
                    }
                    Outgoing::Hangup => end = Some((HANGUP_CODE, None)),
                }
            }
            let packets: Vec<_> = std::iter::from_fn(|| socket.server_wire.take_packet()).collect();
            for packet in packets {
                let written = self.links[link].write(self.now, Direction::Down, &packet, &self.faults, &mut self.rng);
                self.written(link, Direction::Down, &written);
            }
            let socket = &mut self.links[link];
            if let Some(core) = &mut self.servers[server].core {
                while let Some(written) = socket.server_wire.take_written() {
                    core.handle_frame(now, conn, written);
                }
            }
            if let Some((code, reason)) = end {
                let (device, welcomed_at) = (socket.device, socket.welcomed_at);
                self.server_line(server, || {
                    format!("closes link {link}: {}", reason.map_or("refused", CloseReason::as_str))
                });
                let written =
                    self.links[link].write_close(self.now, Direction::Down, code, &self.faults, &mut self.rng);
                self.written(link, Direction::Down, &written);
                self.ledger.server_closed(self.now, device, welcomed_at, reason);
                self.server_loses(link);
                break;
            }
        }
        self.settle_server(server);
    }

    pub(crate) fn server_timer(&mut self, server: usize, run: u64) {
        // Only when the core asked for it: a deadline that it forgot to ask for is to show.
        if run != self.servers[server].run || self.servers[server].timer.is_none_or(|at| at > self.now) {
            return;
        }
        let now = self.server_now();
        self.servers[server].timer = None;
        if let Some(core) = &mut self.servers[server].core {
            core.handle_timeout(now);
        }
        self.settle_server(server);
    }

    /// Whether what a server asks of the store may be done. What a node wants that may be out of the view waits.
    pub(crate) fn may_store(&self, server: usize) -> bool {
        let member = self.servers[server].member.as_ref();
        member.is_none_or(|member| member.node.standing(self.server_now()) == Standing::Member)
    }

    pub(crate) fn store_done(&mut self, server: usize, run: u64) {
        if run != self.servers[server].run || !self.servers[server].is_up() {
            return;
        }
        if self.servers[server].queue.is_under_way() && !self.may_store(server) {
            self.ledger.store_waited(self.now);
            return self.agenda.plan(self.now + SHUT_FOR, Step::StoreDone { server, run });
        }
        let fails = self.rng.chance(self.faults.store_failures) && self.servers[server].queue.is_under_way();
        if fails {
            self.trace.line(self.now, "store", || "fails in part".to_owned());
            self.counts.store_failures += 1;
            self.ledger.store_failed(self.now);
        }
        let now = self.server_now();
        if !fails {
            self.trace.line(self.now, "store", || "has done what it was at".to_owned());
        }
        let rng = &mut self.rng;
        let outcome = || match fails {
            true if rng.chance(300) => Outcome::Fails,
            true if rng.chance(300) => Outcome::SeemsToFail,
            _ => Outcome::IsDone,
        };
        let done = self.store.finish(&self.project.app_id, &mut self.servers[server].queue, outcome);
        self.tell_written();
        for done in done {
            if let Some(core) = &mut self.servers[server].core {
                core.handle_stored(now, done);
            }
            self.settle_of_one();
        }
        if self.servers[server].queue.start() {
            self.plan_store(server);
        }
        self.settle_server(server);
    }

    /// What was written is on its way, or the link broke over it.
    pub(crate) fn written(&mut self, link: usize, direction: Direction, written: &Written) {
        match *written {
            Written::Sent(ref times) => {
                // Those of one direction of a link never overtake each other.
                self.counts.overtakings += u64::from(times.first().is_some_and(|first| *first < self.last_arrival));
                self.last_arrival = times.last().copied().max(Some(self.last_arrival)).unwrap_or_default();
                for &at in times {
                    self.agenda.plan(at, Step::Arrive { link, direction });
                }
            }
            Written::Broke { last, is_torn } => {
                self.counts.torn += u64::from(is_torn);
                if let Some(at) = last {
                    self.agenda.plan(at, Step::Arrive { link, direction });
                }
                self.break_link(link, Some((direction, last)));
            }
            Written::Lost => {}
        }
    }

    /// Whether nothing moves on a link for now: then it is looked at again later.
    pub(crate) fn is_stalled(&mut self, link: usize, direction: Direction) -> bool {
        let until = self.links[link].stalled_until;
        let is_stalled = until > self.now;
        if is_stalled {
            self.agenda.plan(until, Step::Arrive { link, direction });
        }
        is_stalled
    }

    /// The server's process ends from one instruction to the next.
    pub(crate) fn crash_server(&mut self, server: usize) {
        self.node_is_gone(server);
        let may_store = self.may_store(server);
        let process = &mut self.servers[server];
        // What the store failed to keep a moment ago is said of no more.
        let figures = process.core.as_ref().map(Core::event_figures);
        self.is_gap_untold |= figures.is_some_and(|figures| figures.lost > 0 && figures.waiting > 0);
        if process.member.take().is_none() & process.core.take().is_none() {
            return;
        }
        match self.store.is_durable() {
            true => self.counts.crashes += 1,
            false => self.counts.crashes_without_store += 1,
        }
        self.server_line(server, || "crashes".to_owned());
        let app_id = self.project.app_id.clone();
        match may_store {
            true => self.store.crash(&app_id, &mut self.servers[server].queue, &mut self.rng),
            false => self.servers[server].queue = StoreQueue::default(),
        }
        self.tell_written();
        self.server_gone(server);
    }

    fn server_gone(&mut self, server: usize) {
        if self.cluster.is_none() {
            self.ledger.server_gone(self.now);
        }
        self.servers[server].stands_since = None;
        for step in std::mem::take(&mut self.servers[server].put_off) {
            self.agenda.plan(self.now, step);
        }
        self.forget_links(server);
        self.plan_start(server);
    }

    /// The server's sockets are gone.
    pub(crate) fn forget_links(&mut self, server: usize) {
        self.servers[server].asked.clear();
        let logging_in = std::mem::take(&mut self.servers[server].logging_in);
        for link in std::mem::take(&mut self.servers[server].links).into_values().chain(logging_in) {
            self.links[link].conn = None;
            self.break_link(link, None);
        }
    }

    /// The server is told to shut down.
    pub(crate) fn drain_server(&mut self, server: usize) {
        if self.cluster.is_some() {
            return self.drain_member(server);
        }
        let now = self.server_now();
        let process = &mut self.servers[server];
        let Some(core) = process.core.as_mut().filter(|_| process.stands_since.is_none()) else { return };
        core.drain(now);
        self.counts.drains += 1;
        self.server_line(server, || "shuts down".to_owned());
        let run = self.servers[server].run;
        let links: Vec<_> = self.servers[server].links.values().copied().collect();
        for link in links {
            let at = self.now + self.rng.between(&(Duration::ZERO..=DRAIN_TIME));
            self.agenda.plan(at, Step::DrainCloses { server, run, link });
        }
        self.agenda.plan(self.now + DRAIN_TIME * 2, Step::ServerEnds { server, run });
        self.settle_server(server);
    }

    pub(crate) fn drain_closes(&mut self, server: usize, run: u64, link: usize) {
        let now = self.server_now();
        if run == self.servers[server].run
            && let (Some(conn), Some(core)) = (self.links[link].conn, &mut self.servers[server].core)
        {
            core.close(now, conn, CloseReason::Draining);
            self.settle_server(server);
        }
    }

    pub(crate) fn server_ends(&mut self, server: usize, run: u64) {
        if run != self.servers[server].run {
            return;
        }
        let now = self.server_now();
        let Some(mut core) = self.servers[server].core.take() else { return };
        self.server_line(server, || "ends".to_owned());
        core.end_event_log(now);
        let mut jobs = Vec::new();
        core.take_store_jobs(&mut jobs);
        self.servers[server].queue.take(&mut jobs);
        self.store.flush(&self.project.app_id, &mut self.servers[server].queue);
        self.tell_written();
        self.server_gone(server);
    }
}

/// The close code of a refused login: neither of those that a client takes for its own leaving.
const HANGUP_CODE: u16 = 4000;

/// How soon a store that a node may not use is tried again.
const SHUT_FOR: Duration = Duration::from_millis(100);

/// How long a socket may take nothing of what waits for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Over how much time a server that shuts down closes its connections.
const DRAIN_TIME: Duration = Duration::from_secs(2);
