//! What devices do in the world: their links, their applications, and the clock.

use std::{error::Error, sync::Arc, time::Duration};

use rtm_codec::{
    ChannelId, ClientFrame, ClientWire, CloseReason, Command, RequestId, ServerFrame, Text, Token, UserId, Wire,
};
use rtm_connection::{
    ConnectionState, Credentials, LocalInvitation, Output, RtmError, RtmEvent, Target, TransportError,
};

use super::World;
use crate::{
    agenda::Step,
    app::{Calls, Handle, Input},
    device::Socket,
    net::{Arrival, Direction, SimulatedLink},
    trace,
};
impl World {
    /// Carries out what the connection wants, and tells the application, until there is nothing left to do.
    pub(crate) fn drive(&mut self, device: usize) {
        loop {
            self.poll(device);
            let Some(input) = self.devices[device].inputs.pop_front() else { break };
            self.call(device, input);
        }
    }

    fn call(&mut self, device: usize, input: Input) {
        if let Some(mut app) = self.devices[device].app.take() {
            app.handle(&mut Handle::new(self, device), input);
            self.devices[device].app = Some(app);
        }
    }

    fn poll(&mut self, device: usize) {
        let now = self.instant();
        let until = loop {
            let state = &mut self.devices[device];
            match state.connection.poll_output(now) {
                Output::Dial(target) => self.dial(device, &target),
                Output::Ask { id, gateway: _, request } => self.ask(device, id, request),
                Output::CancelAsk(id) => _ = state.asks.remove(&id),
                Output::StoredMessagesLeft { detail } => {
                    self.note(device, || format!("leaves stored messages on the server: {detail}"));
                    self.ledger.handout_lost(self.now, device);
                }
                Output::Send(frame) => self.send(device, &frame),
                Output::Request { id, command } => match state.habits.leaves_out(id, &command) {
                    Some(answer) => state.own_frames.push_back(answer),
                    None => self.send(device, &ClientFrame::Request { id, command: Arc::unwrap_or_clone(command) }),
                },
                Output::Hangup(reason) => self.hang_up(device, reason),
                Output::Event(event) => {
                    self.counts.events += 1;
                    self.counts.gaps += u64::from(matches!(event, RtmEvent::Gap { .. }));
                    self.note(device, || format!("      * {event}"));
                    self.ledger.emitted(self.now, device, &event);
                    self.devices[device].events.push_back(event);
                }
                Output::LoginResult(result) => {
                    self.note(device, || format!("      = login {}", outcome(&result)));
                    self.ledger.login_ended(self.now, device);
                    self.devices[device].inputs.push_back(Input::LoggedIn(result));
                }
                Output::LogoutResult(result) => {
                    self.note(device, || format!("      = logout {}", outcome(&result)));
                    self.ledger.logout_ended(self.now, device);
                    self.devices[device].inputs.push_back(Input::LoggedOut(result));
                }
                Output::Reply { id, result } => {
                    self.note(device, || format!("      = #{id} {}", outcome(&result)));
                    if self.ledger.replied(self.now, device, id, &result) {
                        self.devices[device].inputs.push_back(Input::Reply { id, result });
                    }
                }
                Output::FetchToken => self.devices[device].inputs.push_back(Input::FetchToken),
                Output::Wait(until) => match state.own_frames.pop_front() {
                    Some(frame) => {
                        // The connection does not tell it from what came over the link.
                        self.ledger.bytes_in(self.now, device);
                        self.ledger.frame_in(self.now, device, &frame);
                        self.devices[device].connection.handle_frame(now, frame);
                    }
                    None => break until.map(|until| until.at),
                },
            }
        };
        self.flush(device);
        let at = until.map(|until| self.time_of(until));
        if let Some(at) = at.filter(|_| self.devices[device].timer != at) {
            let late = self.timer_lateness();
            self.agenda.plan(at + late, Step::DeviceTimer { device });
        }
        self.devices[device].timer = at;
        self.plan_reads(device);
    }

    /// Timers are never quite on time.
    pub(crate) fn timer_lateness(&mut self) -> Duration {
        let most = if self.is_of_one() { Duration::ZERO } else { Duration::from_millis(2) };
        self.rng.between(&(Duration::ZERO..=most))
    }

    fn dial(&mut self, device: usize, target: &Target) {
        self.note(device, || match target {
            Target::Gateway(_) => "dials".to_owned(),
            Target::Server { address, .. } => format!("dials {}:{}", address.host, address.port),
        });
        let server = self.dialed(target);
        let dialing = &mut self.devices[device];
        dialing.dials += 1;
        let dial = dialing.dials;
        dialing.socket = Socket::Dialing { dial, server };
        let at = self.now + self.rng.between(&self.faults.delay) * 2;
        self.agenda.plan(at, Step::DialEnds { device, dial });
    }

    /// The server that is reached where a device dials.
    fn dialed(&mut self, target: &Target) -> usize {
        match target {
            Target::Server { address, .. } => usize::from(address.port) % self.servers.len(),
            Target::Gateway(_) => self.some_server(),
        }
    }

    /// The socket is open, or is not to be had.
    pub(crate) fn dial_ends(&mut self, device: usize, dial: u64) {
        let Socket::Dialing { dial: current, server } = self.devices[device].socket else { return };
        if current != dial {
            return;
        }
        if self.put_off(device, |device| Step::DialEnds { device, dial }) || self.is_away(device) {
            return;
        }
        if !self.servers[server].is_up() || self.rng.chance(self.faults.dial_failures) {
            self.dial_failed(device);
            return;
        }
        let link = self.links.len();
        self.counts.links += 1;
        let wire = self.devices[device].wire;
        let mut made = SimulatedLink::new(device, server, wire);
        if self.rng.chance(self.faults.doomed) {
            let direction = if self.rng.chance(500) { Direction::Up } else { Direction::Down };
            made.break_after(direction, self.rng.below(self.faults.cut_after + 1));
        }
        self.links.push(made);
        self.note(device, || format!("has link {link}"));
        self.accept(link);
        self.devices[device].socket = Socket::Open { link, wire: Box::new(ClientWire::new(wire)) };
        self.devices[device].habits.has_socket();
        let now = self.instant();
        self.devices[device].connection.handle_opened(now);
        self.drive(device);
    }

    fn dial_failed(&mut self, device: usize) {
        self.note(device, || "cannot connect".to_owned());
        self.devices[device].socket = Socket::None;
        let now = self.instant();
        let error = TransportError { retry: true, detail: Text::default(), source: None };
        self.devices[device].connection.handle_dial_failed(now, error);
        self.drive(device);
    }

    /// Whether the device's process stands still: then the step is planned for when it goes on.
    pub(crate) fn put_off(&mut self, device: usize, step: impl FnOnce(usize) -> Step) -> bool {
        let until = self.devices[device].frozen_until;
        let is_frozen = until > self.now;
        if is_frozen {
            self.agenda.plan(until, step(device));
        }
        is_frozen
    }

    pub(crate) fn is_away(&self, device: usize) -> bool {
        self.devices[device].away_until > self.now
    }

    fn send(&mut self, device: usize, frame: &ClientFrame) {
        self.note(device, || format!("  -> {}", trace::client_frame(frame)));
        self.ledger.frame_out(self.now, device, frame);
        self.devices[device].habits.sends(frame);
        let Socket::Open { wire, .. } = &mut self.devices[device].socket else { return };
        wire.encode(frame);
        let own: Vec<_> = std::iter::from_fn(|| wire.take_frame()).collect();
        self.devices[device].own_frames.extend(own);
    }

    /// Writes what was sent.
    fn flush(&mut self, device: usize) {
        let Socket::Open { link, wire, .. } = &mut self.devices[device].socket else { return };
        let link = *link;
        let packets: Vec<_> = std::iter::from_fn(|| wire.take_packet()).collect();
        for packet in packets {
            let written = self.links[link].write(self.now, Direction::Up, &packet, &self.faults, &mut self.rng);
            self.written(link, Direction::Up, &written);
        }
    }

    fn hang_up(&mut self, device: usize, reason: CloseReason) {
        self.note(device, || format!("hangs up: {}", reason.as_str()));
        if reason == CloseReason::KeepAliveTimeout
            && let Some(link) = self.devices[device].link()
        {
            // A device cannot tell that it stood still if that ended just when its timer was due.
            let state = &self.devices[device];
            let may_know = state.frozen_until + READS < self.now || state.late_by > LATE;
            let bytes_at = self.links[link].bytes_at(self.now, Direction::Down).filter(|_| may_know);
            // A link that is broken or stands still shows nothing, whatever is written.
            let socket = &self.links[link];
            let unshown_since = socket.unshown_since.filter(|_| socket.conn.is_some() && !socket.is_cut);
            let unshown_since = unshown_since.map(|since| since.max(socket.stalled_until));
            self.ledger.gave_up(self.now, device, bytes_at, unshown_since);
        }
        self.flush(device);
        if let Some(link) = self.devices[device].link() {
            let code = reason.websocket_code();
            let written = self.links[link].write_close(self.now, Direction::Up, code, &self.faults, &mut self.rng);
            self.links[link].is_held = false;
            self.written(link, Direction::Up, &written);
        }
        self.let_go(device);
    }

    fn let_go(&mut self, device: usize) {
        let state = &mut self.devices[device];
        state.socket = Socket::None;
        state.own_frames.clear();
        state.holds_back = false;
    }

    /// Bytes have come out of a link at a device.
    pub(crate) fn arrive_at_device(&mut self, link: usize) {
        let device = self.links[link].device;
        if self.is_stalled(link, Direction::Down) {
            return;
        }
        if self.devices[device].link() == Some(link) {
            let until = self.devices[device].frozen_until;
            if until > self.now {
                // Its timers are due before it reads.
                let at = until + self.rng.between(&(Duration::ZERO..=READS));
                return self.agenda.plan(at, Step::Arrive { link, direction: Direction::Down });
            }
            // Without flow control on the wire the socket is all there is to hold the server back with.
            let state = &mut self.devices[device];
            if state.wire == Wire::Vendor && state.events.len() >= HELD_EVENTS {
                state.holds_back = true;
                return;
            }
        }
        self.read_link(link);
    }

    fn read_link(&mut self, link: usize) {
        let device = self.links[link].device;
        let mut arrivals = Vec::new();
        let bytes = self.links[link].read(self.now, Direction::Down, &mut arrivals);
        self.make_room(link);
        if bytes > 0 && self.devices[device].link() == Some(link) {
            self.counts.bytes_down += bytes as u64;
            self.ledger.bytes_in(self.now, device);
            if arrivals.is_empty() {
                let now = self.instant();
                self.devices[device].connection.handle_bytes(now);
            }
        }
        let mut close = None;
        for arrival in arrivals {
            let Socket::Open { link: held, wire, .. } = &mut self.devices[device].socket else { return };
            if *held != link {
                return;
            }
            let packet = match arrival {
                Arrival::Packet(packet) => packet,
                Arrival::Close(code) => {
                    close = Some(code);
                    break;
                }
            };
            let mut frames = Vec::new();
            let decoded = wire.decode(packet, &mut frames);
            if let Err(error) = decoded {
                self.ledger.broke_protocol(
                    self.now,
                    device,
                    &format!("the server sent what is not the protocol: {error}"),
                );
                return;
            }
            self.take_frames(device, frames);
        }
        if self.devices[device].link() != Some(link) {
            // What comes over a link that it has left reaches no process, which may stand still.
            return;
        }
        self.drive(device);
        if let Some(code) = close
            && self.devices[device].link() == Some(link)
        {
            self.links[link].is_held = false;
            self.closed(device, CloseReason::from_websocket_code(code));
        }
    }

    /// Hands frames to the connection.
    fn take_frames(&mut self, device: usize, frames: Vec<ServerFrame>) {
        let now = self.instant();
        for frame in frames {
            self.note(device, || format!("  <- {}", trace::server_frame(&frame)));
            if self.ledger.frame_in(self.now, device, &frame) {
                self.counts.resumed += 1;
            }
            if self.devices[device].habits.drops(&frame) {
                self.note(device, || "     drops it, for want of a listener".to_owned());
                continue;
            }
            self.devices[device].connection.handle_frame(now, frame);
        }
    }

    fn closed(&mut self, device: usize, reason: Option<CloseReason>) {
        self.note(device, || format!("lost its link: {}", reason.map_or("no reason given", CloseReason::as_str)));
        self.let_go(device);
        let now = self.instant();
        self.devices[device].connection.handle_closed(now, reason);
        self.drive(device);
    }

    /// The device learns that its link is broken.
    pub(crate) fn broken_for_device(&mut self, link: usize) {
        let device = self.links[link].device;
        if self.devices[device].link() != Some(link)
            || self.put_off(device, |_| Step::Broken { link, direction: Direction::Down })
        {
            return;
        }
        self.read_link(link);
        if self.devices[device].link() == Some(link) {
            self.links[link].is_held = false;
            self.closed(device, None);
        }
    }

    pub(crate) fn device_timer(&mut self, device: usize) {
        if self.devices[device].timer.is_none_or(|at| at > self.now)
            || self.put_off(device, |device| Step::DeviceTimer { device })
        {
            return;
        }
        let now = self.instant();
        let timer = self.devices[device].timer.take();
        self.devices[device].late_by = self.now - timer.unwrap_or(self.now);
        if self.devices[device].holds_back {
            // Who does not read cannot hear.
            self.ledger.bytes_in(self.now, device);
            self.devices[device].connection.handle_bytes(now);
        }
        self.devices[device].connection.handle_timeout(now);
        self.drive(device);
    }

    pub(crate) fn plan_reads(&mut self, device: usize) {
        let state = &mut self.devices[device];
        if state.events.is_empty() || state.will_read {
            return;
        }
        state.will_read = true;
        let (mean, from) = (state.reads_within, state.reads_from);
        let at = (self.now + self.rng.about(mean)).max(from);
        self.agenda.plan(at, Step::AppReads { device });
    }

    /// The application looks at its events.
    pub(crate) fn app_reads(&mut self, device: usize) {
        if self.put_off(device, |device| Step::AppReads { device }) {
            return;
        }
        let state = &mut self.devices[device];
        state.will_read = false;
        if state.reads_from > self.now {
            return self.plan_reads(device);
        }
        let taken = state.events.len().min(state.reads_at_once);
        for _ in 0..taken {
            let Some(event) = self.devices[device].events.pop_front() else { break };
            self.call(device, Input::Event(event));
        }
        let now = self.instant();
        let state = &mut self.devices[device];
        state.connection.consumed(now, u32::try_from(taken).unwrap_or(u32::MAX));
        if std::mem::take(&mut state.holds_back)
            && let Some(link) = state.link()
        {
            self.agenda.plan(self.now, Step::Arrive { link, direction: Direction::Down });
        }
        self.drive(device);
    }

    pub(crate) fn app_timer_due(&mut self, device: usize, tag: u64) {
        if !self.put_off(device, |device| Step::AppTimer { device, tag }) {
            self.devices[device].inputs.push_back(Input::Timer(tag));
            self.drive(device);
        }
    }

    fn requested(&mut self, device: usize, id: RequestId, command: Command) {
        self.counts.requests += 1;
        self.note(device, || format!("#{id} {}", trace::command(&command)));
        self.ledger.issued(self.now, device, id, command);
    }
}

impl Calls for World {
    fn now(&self) -> Duration {
        self.now
    }

    fn user_id(&self, device: usize) -> &UserId {
        &self.devices[device].user_id
    }

    fn wire(&self, device: usize) -> Wire {
        self.devices[device].wire
    }

    fn state(&self, device: usize) -> ConnectionState {
        self.devices[device].connection.state()
    }

    fn channels(&self, device: usize) -> Vec<ChannelId> {
        self.devices[device].connection.channels().cloned().collect()
    }

    fn random(&mut self, end: usize) -> usize {
        self.rng.below(end)
    }

    fn token(&mut self, device: usize, ttl: Duration) -> Option<Token> {
        self.make_token(device, ttl)
    }

    fn login(&mut self, device: usize, token: Option<Token>) -> Result<(), RtmError> {
        let now = self.instant();
        let state = &mut self.devices[device];
        state.habits.logs_in(token.as_ref());
        let credentials = Credentials { app_id: self.project.app_id.clone(), user_id: state.user_id.clone(), token };
        let result = state.connection.login(now, credentials);
        self.note(device, || format!("login() {}", outcome(&result)));
        if result.is_ok() {
            self.ledger.login_called(self.now, device);
        }
        result
    }

    fn logout(&mut self, device: usize) -> Result<(), RtmError> {
        let now = self.instant();
        let result = self.devices[device].connection.logout(now);
        self.note(device, || format!("logout() {}", outcome(&result)));
        if result.is_ok() {
            self.ledger.logout_called(self.now, device);
            let state = &self.devices[device];
            if state.habits.is_sdk() && !state.asks.is_empty() {
                // What is on its way is given up.
                self.ledger.handout_lost(self.now, device);
            }
        }
        result
    }

    fn provide_token(&mut self, device: usize, token: Option<Token>) {
        let now = self.instant();
        self.note(device, || format!("provides {} token", if token.is_some() { "a" } else { "no" }));
        let token = token.ok_or_else(|| Box::<dyn Error + Send + Sync>::from("there is none").into());
        self.devices[device].connection.handle_token(now, token);
    }

    fn request(&mut self, device: usize, command: Command) -> RequestId {
        let now = self.instant();
        let id = self.devices[device].connection.request(now, command.clone());
        self.devices[device].habits.calls(id, &command);
        self.requested(device, id, command);
        id
    }

    fn invite(&mut self, device: usize, callee_id: UserId, content: Text) -> (LocalInvitation, RequestId) {
        let now = self.instant();
        let (invitation, id) = self.devices[device].connection.send_invitation(now, callee_id, content);
        let LocalInvitation { call_id, callee_id, content, .. } = invitation.clone();
        self.requested(device, id, rtm_codec::SendInvitation { call_id, callee_id, content }.into());
        (invitation, id)
    }

    fn set_timer(&mut self, device: usize, pause: Duration, tag: u64) {
        self.agenda.plan(self.now + pause, Step::AppTimer { device, tag });
    }

    fn broken(&mut self, device: usize, detail: String) {
        self.ledger.broke_application(self.now, device, detail);
    }

    fn write_note(&mut self, device: usize, text: String) {
        self.note(device, || text);
    }
}

fn outcome<T: std::fmt::Debug>(result: &Result<T, RtmError>) -> String {
    match result {
        Ok(answer) => format!("Ok {answer:?}"),
        Err(error) => format!("Err {error}"),
    }
}

/// A timer that is so late shows that its process stood still.
const LATE: Duration = Duration::from_millis(200);

/// In so much time a device that stood still reads what has arrived.
const READS: Duration = Duration::from_millis(5);

/// How many events a device holds for its application before it stops to read from a wire without flow control.
const HELD_EVENTS: usize = 64;
