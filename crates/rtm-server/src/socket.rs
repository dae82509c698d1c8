//! One connection after its WebSocket handshake: a task that owns the socket whole.
//!
//! At each wake-up it reads what there is, hands the frames to the project's core, takes what the core
//! has for it, and writes all of that at once. Between wake-ups it holds no buffer: those it works with
//! belong to the thread.
//!
//! A client that does not read is held back, and nobody else: while more than [`UNSENT_BYTES`] wait for its socket,
//! nothing is taken from its session, whose own bound then acts, and its requests wait here. It is read from all the
//! same until [`HELD_BYTES`] wait: its signs of life and acknowledgements count although its link is slow.

mod ending;
mod login;
mod output;

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtm_codec::{
    ClientFrame, CloseReason, Login, ServerWire, UserId, Wire,
    limits::PACKET_BYTES,
    websocket::{Incoming, WebSocket},
};
use rtm_core::ConnId;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::futures::OwnedNotified,
    time::{Sleep, sleep},
};
use tracing::debug;

use self::ending::CLOSE_TIMEOUT;
#[cfg(feature = "admin")]
use crate::call_times::TimedCall;
use crate::{
    gate::{Gate, Verdict},
    outbox::Outbox,
    peers::{End, Traffic},
    project::Project,
    scratch::Scratch,
    shared::{Guest, Shared},
    stream::Stream,
};

/// A connection's task.
pub(crate) struct Socket {
    stream: Stream,
    websocket: WebSocket,
    wire: ServerWire,
    phase: Phase,
    /// What was read together with the handshake.
    early: Bytes,
    /// Frames that wait until what those before them led to is written.
    pending: VecDeque<ClientFrame>,
    /// Where they wait besides, if somebody decides about them.
    gate: Option<Box<Gate>>,
    /// After how many reloads it was made.
    reloads: u32,
    /// How many bytes were read since frames began to wait.
    held: usize,
    /// What the socket did not take yet.
    outbox: Outbox,
    /// Whether the session has or may have more, but enough is unsent.
    more: bool,
    /// A call whose answer is waited for, to know how long calls take.
    #[cfg(feature = "admin")]
    timed: Option<Box<TimedCall>>,
    /// The deadline of the phase: for the login, for a socket that takes nothing, or for the end.
    timer: Option<Pin<Box<Sleep>>>,
    shared: Arc<Shared>,
    guest: Arc<Guest>,
}

enum Phase {
    /// Before the login. `drain` is when the server goes down, unless that has begun.
    LoggingIn { refused: usize, traffic: Traffic, drain: Option<Pin<Box<OwnedNotified>>> },
    /// Somebody outside decides about the login.
    Judged(Box<Judged>),
    /// In the hands of a project's core, which answers the login and all that follows.
    Handed(Handed),
    /// Our close frame is written, the client's is awaited.
    Closing,
    /// Our close frame is written. What comes is not understood any more, so only the end of it is awaited.
    Failing,
    /// Only what is written has to go out.
    Ending,
}

/// A connection of a project, reported as gone when dropped.
struct Handed {
    project: Arc<Project>,
    conn: ConnId,
    /// Who logs in, until that is answered.
    visitor: Option<Box<Visitor>>,
    wire: Wire,
    end: End,
    traffic: Traffic,
}

/// A login about which somebody outside decides.
struct Judged {
    login: Box<Login>,
    verdict: Verdict,
    since: Instant,
    traffic: Traffic,
}

/// Who logs in, and since when.
struct Visitor {
    user: Option<UserId>,
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody asks how long it took"))]
    since: Instant,
}

impl Socket {
    /// A connection that has just shaken hands. `early` is what was read beyond the handshake.
    pub(crate) fn new(stream: Stream, early: Bytes, wire: Wire, shared: Arc<Shared>, guest: Arc<Guest>) -> Self {
        let timer = Some(Box::pin(sleep(shared.live().login_timeout)));
        let drain = Box::pin(shared.draining.begins());
        Self {
            stream,
            websocket: WebSocket::server(LOGIN_BYTES),
            wire: ServerWire::new(wire),
            phase: Phase::LoggingIn { refused: 0, traffic: Traffic::default(), drain: Some(drain) },
            early,
            pending: VecDeque::new(),
            gate: None,
            reloads: 0,
            held: 0,
            outbox: Outbox::default(),
            more: false,
            #[cfg(feature = "admin")]
            timed: None,
            timer,
            shared,
            guest,
        }
    }

    /// One wake-up; ready when the connection has ended.
    fn run(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        if !self.pending.is_empty() {
            scratch.pending = std::mem::take(&mut self.pending);
        }
        // What waits in the socket counts before the clock does: it may be this server that stood still.
        let mut result = self.turns(cx, scratch);
        if result.is_pending() && self.look_at_the_clock(cx, scratch) {
            result = self.turns(cx, scratch);
        }
        if result.is_ready() {
            self.ends_unknown(End::Gone);
            // Events that were written count as received, and frames that came count as sent.
            self.finish(scratch);
        }
        scratch.pending.extend(scratch.frames.drain(..));
        if !scratch.pending.is_empty() {
            self.pending = std::mem::take(&mut scratch.pending);
        }
        result
    }

    /// Reads and writes in turns until neither goes on.
    fn turns(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            self.receive(&early, scratch);
        }
        for round in 0..ROUNDS {
            let Ok(mut moved) = self.write(cx, scratch) else { return Poll::Ready(()) };
            if matches!(self.phase, Phase::Ending) && self.outbox.is_flushed() {
                return Poll::Ready(());
            }
            if self.may_read(scratch) {
                match self.read(cx, scratch) {
                    Poll::Ready(Ok(true)) => moved = true,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            let is_held = self.more || !scratch.pending.is_empty();
            if round == 0 || !scratch.frames.is_empty() || (is_held && self.outbox.len() < UNSENT_BYTES) {
                self.exchange(cx, scratch);
            }
            if !scratch.write.is_empty() || self.wire.waiting() > 0 {
                let Ok(written) = self.write(cx, scratch) else { return Poll::Ready(()) };
                moved |= written;
            }
            if self.outbox.is_flushed() {
                // What the client cannot acknowledge itself counts as received once the socket has it.
                scratch.frames.extend(std::iter::from_fn(|| self.wire.take_written()));
                moved |= !scratch.frames.is_empty();
            }
            if matches!(self.phase, Phase::Failing) && self.outbox.is_flushed() {
                // The client closes as well then; until it has, what it sends must not cost it our close frame.
                if let Poll::Ready(Err(_)) = Pin::new(&mut self.stream).poll_shutdown(cx) {
                    return Poll::Ready(());
                }
            }
            if !moved {
                self.rest(cx);
                return Poll::Pending;
            }
        }
        // Others get their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Acts on a deadline that has passed, and on the server's shutting down. Says whether there was anything to do.
    fn look_at_the_clock(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> bool {
        let mut acted = false;
        if let Phase::LoggingIn { drain: drain @ Some(_), .. } = &mut self.phase
            && drain.take_if(|drain| drain.as_mut().poll(cx).is_ready() || self.shared.draining.has_begun()).is_some()
        {
            acted = true;
            self.shared.found_draining.fetch_add(1, Ordering::Relaxed);
            if self.wire.abilities().gives_up {
                // It comes back only where it has been let in before.
                self.timer = Some(Box::pin(sleep(LAST_LOGIN_TIMEOUT)));
            } else {
                self.close(CloseReason::Draining, None, scratch);
            }
        }
        let Some(timer) = &mut self.timer else { return acted };
        if timer.as_mut().poll(cx).is_pending() {
            return acted;
        }
        self.timer = None;
        match self.phase {
            Phase::LoggingIn { drain: Some(_), .. } => self.close(CloseReason::LoginTimeout, None, scratch),
            Phase::LoggingIn { drain: None, .. } => self.close(CloseReason::Draining, None, scratch),
            Phase::Judged(_) => self.close(CloseReason::LoginTimeout, None, scratch),
            Phase::Handed(_) => {
                debug!(remote = %self.guest.remote, "the client takes nothing any more");
                self.abandon();
            }
            Phase::Closing | Phase::Failing | Phase::Ending => self.abandon(),
        }
        true
    }

    /// Whether more may come in: of what a client asks while it takes no answers, only so much is kept.
    fn may_read(&mut self, scratch: &Scratch) -> bool {
        let is_held = !scratch.pending.is_empty() || self.outbox.len() >= UNSENT_BYTES;
        if !is_held {
            self.held = 0;
        }
        let has_room = self.held < HELD_BYTES && scratch.pending.len() < HELD_FRAMES;
        has_room && !matches!(self.phase, Phase::Ending)
    }

    /// Reads what there is; `false` at the end.
    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<io::Result<bool>> {
        let mut buffer = std::mem::take(&mut scratch.read);
        let mut read = ReadBuf::new(&mut buffer);
        let result = Pin::new(&mut self.stream).poll_read(cx, &mut read);
        let filled = read.filled().len();
        if filled > 0 {
            self.held = self.held.saturating_add(filled);
            if let Some(traffic) = self.traffic() {
                traffic.read = traffic.read.saturating_add(filled as u32);
            }
            self.receive(&buffer[..filled], scratch);
            if scratch.frames.is_empty()
                && let Phase::Handed(Handed { project, conn, .. }) = &self.phase
            {
                project.hear(*conn);
            }
        }
        scratch.read = buffer;
        ready!(result)?;
        Poll::Ready(Ok(filled > 0))
    }

    /// Takes in bytes from the socket.
    fn receive(&mut self, mut bytes: &[u8], scratch: &mut Scratch) {
        if matches!(self.phase, Phase::Failing) {
            return;
        }
        let mut packets = 0;
        let violation = loop {
            let written = scratch.write.len();
            match self.websocket.read(&mut bytes, &mut scratch.write) {
                Ok(Some(Incoming::Packet(packet))) => {
                    packets += 1;
                    if matches!(self.phase, Phase::Closing | Phase::Failing | Phase::Ending) {
                        continue;
                    }
                    if let Err(error) = self.wire.decode(packet, &mut scratch.frames) {
                        break (None, error.to_string());
                    }
                }
                Ok(Some(Incoming::Close(_))) => {
                    // What was sent before the close counts, and nothing may come after the answer to that.
                    self.count_packets(packets);
                    let farewell = scratch.write.split_off(written);
                    self.take_frames(scratch);
                    self.finish(scratch);
                    self.pack(scratch);
                    scratch.write.extend(farewell);
                    self.ends_unknown(End::Gone);
                    self.phase = Phase::Ending;
                    self.timer = Some(Box::pin(sleep(CLOSE_TIMEOUT)));
                    return;
                }
                Ok(None) => {
                    self.count_packets(packets);
                    return self.take_frames(scratch);
                }
                Err(violation) => break (Some(violation), violation.to_string()),
            }
        };
        self.count_packets(packets);
        self.take_frames(scratch);
        let (violation, what) = violation;
        debug!(remote = %self.guest.remote, "{what}");
        self.finish(scratch);
        match violation {
            None => self.close(CloseReason::ProtocolError, Some(&what), scratch),
            Some(violation) => {
                self.close_with(CloseReason::ProtocolError, violation.close_code(), &what, scratch);
                self.phase = Phase::Failing;
            }
        }
    }

    /// Does with received frames what can be done without the task's context.
    fn take_frames(&mut self, scratch: &mut Scratch) {
        if matches!(self.phase, Phase::LoggingIn { .. }) {
            let frames = std::mem::take(&mut scratch.frames);
            let mut frames = frames.into_iter();
            while matches!(self.phase, Phase::LoggingIn { .. })
                && let Some(frame) = frames.next()
            {
                self.before_login(frame, scratch);
            }
            scratch.frames.extend(frames);
        }
    }

    /// Hands over the last frames of a connection that ends here.
    fn finish(&mut self, scratch: &mut Scratch) {
        self.look_at_hooks();
        if let Phase::Handed(Handed { project, conn, wire, .. }) = &self.phase {
            scratch.pending.extend(scratch.frames.drain(..));
            if let Some(gate) = &self.gate {
                gate.drop_undecided(&mut scratch.pending);
            }
            project.finish(*conn, *wire, scratch.pending.drain(..));
        }
    }

    /// Hands frames to the core, and makes bytes of what it has for this connection.
    fn exchange(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) {
        if (self.more || !scratch.pending.is_empty() || self.unsent(scratch) >= UNSENT_BYTES)
            && let Phase::Handed(Handed { project, conn, .. }) = &self.phase
            && overtake(scratch)
        {
            project.hear(*conn);
        }
        scratch.pending.extend(scratch.frames.drain(..));
        self.look_at_verdict(cx, scratch);
        if !scratch.pending.is_empty() {
            self.look_at_hooks();
        }
        while let Phase::Handed(Handed { project, conn, wire, traffic, .. }) = &mut self.phase {
            let has_room = self.outbox.len() + scratch.write.len() + self.wire.waiting() < UNSENT_BYTES;
            let free = match &mut self.gate {
                None => scratch.pending.len(),
                Some(gate) => gate.open(cx, &mut scratch.pending, |answer| self.wire.encode(&answer)),
            };
            // So few at once that their answers fit into the session, and that others get their turn.
            let count = if has_room && !self.more { free.min(FRAMES_AT_ONCE) } else { 0 };
            if let Some(gate) = &mut self.gate {
                gate.passed(count);
            }
            #[cfg(feature = "admin")]
            if self.timed.is_none() {
                self.timed = TimedCall::among(scratch.pending.iter().take(count));
            }
            let traffic = (*wire, std::mem::take(traffic));
            let frames = scratch.ahead.drain(..).chain(scratch.pending.drain(..count));
            let out = &mut scratch.outgoing;
            self.more = project.exchange(*conn, traffic, frames, has_room, out, cx.waker()) || !has_room;
            self.encode(scratch);
            let is_done = scratch.pending.is_empty() || free == 0;
            if !has_room || (is_done && !self.more) {
                return;
            }
        }
        if !matches!(self.phase, Phase::Judged(_)) {
            scratch.ahead.clear();
            scratch.pending.clear();
        }
    }

    /// Where bytes are counted, as long as the connection may be one of a project.
    fn traffic(&mut self) -> Option<&mut Traffic> {
        match &mut self.phase {
            Phase::Handed(handed) => Some(&mut handed.traffic),
            Phase::LoggingIn { traffic, .. } => Some(traffic),
            Phase::Judged(judged) => Some(&mut judged.traffic),
            _ => None,
        }
    }

    fn count_packets(&mut self, read: u32) {
        if let Some(traffic) = self.traffic() {
            traffic.packets_read = traffic.packets_read.saturating_add(read);
        }
    }

    /// Makes ready to sleep: has the timer wake this task.
    fn rest(&mut self, cx: &mut Context<'_>) {
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            cx.waker().wake_by_ref();
        }
    }
}

impl Future for Socket {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = Scratch::take();
        let socket = self.get_mut();
        socket.wire.lend(&mut scratch.encode);
        let result = socket.run(cx, &mut scratch);
        socket.wire.lend(&mut scratch.encode);
        scratch.give_back();
        result
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.project.disconnect(self.conn, self.end, (self.wire, self.traffic));
    }
}

/// Lets the frames to which nothing is answered go before those that wait. Of the pings that come meanwhile one waits
/// to be answered, so that they cannot gather. Says whether there was any.
fn overtake(scratch: &mut Scratch) -> bool {
    let mut is_pinged = false;
    for frame in scratch.frames.drain(..) {
        match frame {
            ClientFrame::Ack { .. } | ClientFrame::Written { .. } | ClientFrame::Pong => scratch.ahead.push(frame),
            ClientFrame::Ping => {
                is_pinged = true;
                if !scratch.pending.contains(&ClientFrame::Ping) {
                    scratch.pending.push_back(frame);
                }
            }
            frame => scratch.pending.push_back(frame),
        }
    }
    is_pinged
}

/// What a message may have before its sender is logged in: a token of 16 KiB, in JSON within JSON.
const LOGIN_BYTES: usize = 64 * 1024;
/// What a message may have afterwards.
const MESSAGE_BYTES: usize = PACKET_BYTES;
/// How many times in a row a busy connection goes on before others get their turn.
const ROUNDS: usize = 8;
/// How many frames go to the core under one lock.
const FRAMES_AT_ONCE: usize = 64;
/// With more than this waiting for a socket, its client is held back.
const UNSENT_BYTES: usize = 256 * 1024;
/// How much is read from a client that is held back, and how many of its frames wait, before it is left unread.
const HELD_BYTES: usize = 256 * 1024;
const HELD_FRAMES: usize = 1024;
/// How long the login of a client may take that has connected when the server goes down.
const LAST_LOGIN_TIMEOUT: Duration = Duration::from_secs(1);
