//! Connections: two byte streams each, which delay, stall, deliver in parts, and break at any byte.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use rtm_codec::{Packet, ServerWire, Text, Wire};
use rtm_core::ConnId;

use crate::{faults::Faults, rng::Rng};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the server.
    Up,
    /// To the device.
    Down,
}

/// What an end of a connection reads.
#[derive(Debug)]
pub(crate) enum Arrival {
    Packet(Packet),
    /// The other end closed, with this code. Nothing follows.
    Close(u16),
}

/// A connection between a device and a server.
#[derive(Debug)]
pub(crate) struct SimulatedLink {
    pub(crate) device: usize,
    /// To which server it goes.
    pub(crate) server: usize,
    /// The server's half of the codec.
    pub(crate) server_wire: ServerWire,
    /// The server's name for it, as long as the server has it.
    pub(crate) conn: Option<ConnId>,
    /// Whether the device has it.
    pub(crate) is_held: bool,
    /// When the server let its device in.
    pub(crate) welcomed_at: Option<Duration>,
    /// Whether it is broken: nothing written arrives any more.
    pub(crate) is_cut: bool,
    /// Until when nothing moves.
    pub(crate) stalled_until: Duration,
    /// Since when the server has been waiting for room to write.
    pub(crate) full_since: Option<Duration>,
    /// When the server last wrote anything.
    pub(crate) written_at: Duration,
    /// Since when the server has read of a device that heard nothing for a while, and has not written.
    pub(crate) unshown_since: Option<Duration>,
    /// Whether the server's task is to write soon.
    pub(crate) is_writing: bool,
    up: Pipe,
    down: Pipe,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    under_way: VecDeque<(Duration, Vec<u8>)>,
    bytes_under_way: usize,
    /// Read by the receiver, and not yet a whole packet.
    read: BytesMut,
    busy_until: Duration,
    last_arrival: Duration,
    /// When the receiver last read something.
    read_at: Option<Duration>,
    /// How many bytes may still be written until the connection breaks.
    left: Option<usize>,
}

/// What came of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The bytes are under way: look for them at these times.
    Sent(Vec<Duration>),
    /// So were some, and then the connection broke, perhaps within the packet.
    Broke { last: Option<Duration>, is_torn: bool },
    /// Nobody will ever read them.
    Lost,
}

/// What a cut left of what was under way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// When the rest has arrived.
    pub(crate) last: Duration,
    /// Whether a packet arrives in part.
    pub(crate) is_torn: bool,
}

impl SimulatedLink {
    pub(crate) fn new(device: usize, server: usize, wire: Wire) -> Self {
        Self {
            device,
            server,
            server_wire: ServerWire::new(wire),
            conn: None,
            is_held: true,
            welcomed_at: None,
            is_cut: false,
            stalled_until: Duration::ZERO,
            full_since: None,
            written_at: Duration::ZERO,
            unshown_since: None,
            is_writing: false,
            up: Pipe::default(),
            down: Pipe::default(),
        }
    }

    /// Lets the connection break after this many more bytes in this direction.
    pub(crate) fn break_after(&mut self, direction: Direction, bytes: usize) {
        self.pipe(direction).left = Some(bytes);
    }

    /// Lets the connection last, and move.
    pub(crate) fn heal(&mut self, now: Duration) {
        self.stalled_until = self.stalled_until.min(now);
        for pipe in [&mut self.up, &mut self.down] {
            pipe.left = None;
            pipe.busy_until = pipe.busy_until.min(now);
            pipe.last_arrival = pipe.last_arrival.min(now);
            pipe.under_way.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
        }
    }

    /// When bytes last reached the end of this direction, read or not.
    pub(crate) fn bytes_at(&mut self, now: Duration, direction: Direction) -> Option<Duration> {
        let stalled_until = self.stalled_until;
        let pipe = self.pipe(direction);
        let waiting = pipe.under_way.iter().map(|(at, _)| *at).take_while(|at| *at <= now).last();
        waiting.filter(|_| stalled_until <= now).max(pipe.read_at)
    }

    /// Whether the server's socket takes more.
    pub(crate) fn has_room(&self) -> bool {
        self.down.bytes_under_way < SOCKET_BYTES
    }

    /// Writes a packet.
    pub(crate) fn write(
        &mut self,
        now: Duration,
        direction: Direction,
        packet: &Packet,
        faults: &Faults,
        rng: &mut Rng,
    ) -> Written {
        let (kind, body) = match packet {
            Packet::Text(text) => (TEXT, text.as_str().as_bytes()),
            Packet::Binary(bytes) => (BINARY, bytes.as_ref()),
        };
        self.send(now, direction, kind, body, faults, rng)
    }

    /// Writes the end of the stream.
    pub(crate) fn write_close(
        &mut self,
        now: Duration,
        direction: Direction,
        code: u16,
        faults: &Faults,
        rng: &mut Rng,
    ) -> Written {
        self.send(now, direction, CLOSE, &code.to_be_bytes(), faults, rng)
    }

    fn send(
        &mut self,
        now: Duration,
        direction: Direction,
        kind: u8,
        body: &[u8],
        faults: &Faults,
        rng: &mut Rng,
    ) -> Written {
        if direction == Direction::Down {
            (self.written_at, self.unshown_since) = (now, None);
        }
        if self.is_cut {
            return Written::Lost;
        }
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        bytes.push(kind);
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(body);
        let pipe = self.pipe(direction);
        let mut breaks = false;
        let mut is_torn = false;
        if let Some(left) = &mut pipe.left {
            breaks = *left <= bytes.len();
            is_torn = (1..bytes.len()).contains(left);
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        let rest = (bytes.len() > 1 && rng.chance(faults.splits)).then(|| {
            let at = 1 + rng.below(bytes.len() - 1);
            bytes.split_off(at)
        });
        let mut times = Vec::new();
        for part in [bytes].into_iter().chain(rest) {
            // What takes its time arrives bit by bit.
            let most = if faults.bandwidth.is_some() { SEGMENT_BYTES } else { part.len().max(1) };
            times.extend(part.chunks(most).map(|segment| pipe.put(now, segment.to_vec(), faults, rng)));
        }
        if breaks {
            self.is_cut = true;
            return Written::Broke { last: times.last().copied(), is_torn };
        }
        if times.is_empty() { Written::Lost } else { Written::Sent(times) }
    }

    /// Breaks the connection: of what would arrive by `sent_until`, any part at the end is lost, and all that has yet to
    /// leave its sender.
    pub(crate) fn cut(&mut self, direction: Direction, sent_until: Duration, rng: &mut Rng) -> Cut {
        self.is_cut = true;
        let pipe = self.pipe(direction);
        let sent = pipe.under_way.iter().filter(|(at, _)| *at <= sent_until);
        let mut left = rng.below(sent.map(|(_, bytes)| bytes.len()).sum::<usize>() + 1);
        let mut last = Duration::ZERO;
        let mut kept = VecDeque::new();
        for (at, mut bytes) in pipe.under_way.drain(..) {
            bytes.truncate(left);
            left -= bytes.len();
            if bytes.is_empty() {
                break;
            }
            last = at;
            kept.push_back((at, bytes));
        }
        pipe.bytes_under_way = kept.iter().map(|(_, bytes)| bytes.len()).sum();
        pipe.under_way = kept;
        Cut { last, is_torn: pipe.ends_within_a_packet() }
    }

    /// Reads what has arrived until now, and says how many bytes that is. Nobody reads after a close.
    pub(crate) fn read(&mut self, now: Duration, direction: Direction, arrivals: &mut Vec<Arrival>) -> usize {
        let pipe = self.pipe(direction);
        let before = pipe.bytes_under_way;
        while pipe.under_way.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, bytes)) = pipe.under_way.pop_front() else { break };
            pipe.bytes_under_way -= bytes.len();
            pipe.read.extend_from_slice(&bytes);
            pipe.read_at = Some(now);
        }
        while let Some(arrival) = pipe.take() {
            arrivals.push(arrival);
        }
        before - pipe.bytes_under_way
    }

    fn pipe(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

impl Pipe {
    fn put(&mut self, now: Duration, bytes: Vec<u8>, faults: &Faults, rng: &mut Rng) -> Duration {
        let start = now.max(self.busy_until);
        let takes = faults.bandwidth.map_or(Duration::ZERO, |per_second| {
            Duration::from_nanos(bytes.len() as u64 * 1_000_000_000 / u64::from(per_second.max(1)))
        });
        self.busy_until = start + takes;
        let at = (self.busy_until + rng.between(&faults.delay)).max(self.last_arrival);
        self.last_arrival = at;
        self.bytes_under_way += bytes.len();
        self.under_way.push_back((at, bytes));
        at
    }

    /// Whether of all that was read and is under way the end belongs to a packet that is not whole.
    fn ends_within_a_packet(&self) -> bool {
        let mut bytes = self.read.iter().chain(self.under_way.iter().flat_map(|(_, bytes)| bytes));
        loop {
            let head: Vec<u8> = bytes.by_ref().take(HEAD).copied().collect();
            let [_, len @ ..] = &head[..] else { return false };
            let Ok(len) = <[u8; 4]>::try_from(len) else { return true };
            let len = u32::from_be_bytes(len) as usize;
            if bytes.by_ref().take(len).count() < len {
                return true;
            }
        }
    }

    fn take(&mut self) -> Option<Arrival> {
        let head = self.read.get(..HEAD)?;
        let (kind, len) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize);
        if self.read.len() < HEAD + len {
            return None;
        }
        self.read.advance(HEAD);
        let body = self.read.split_to(len).freeze();
        Some(match kind {
            TEXT => Arrival::Packet(Packet::Text(text(body))),
            BINARY => Arrival::Packet(Packet::Binary(body)),
            _ => Arrival::Close(u16::from_be_bytes([body[0], body[1]])),
        })
    }
}

fn text(body: Bytes) -> Text {
    let len = body.len();
    Text::from_frame(&Arc::new(body), 0..len).expect("it was written as text")
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 3;
const HEAD: usize = 5;

/// What a slow network carries at once.
const SEGMENT_BYTES: usize = 1400;

/// So much the sockets of both ends and the network hold before a writer has to wait.
const SOCKET_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_cut_after_any_of_its_bytes_in_either_direction() {
        let (faults, mut rng) = (Faults::none(), Rng::new(1));
        let packets = [Packet::Text(Text::from("{\"Cmd\":\"ping\"}")), Packet::Binary(Bytes::from_static(&[1, 2, 3]))];
        for (packet, direction) in
            packets.iter().flat_map(|packet| [Direction::Up, Direction::Down].map(|direction| (packet, direction)))
        {
            let len = HEAD
                + match packet {
                    Packet::Text(text) => text.len(),
                    Packet::Binary(bytes) => bytes.len(),
                };
            for left in 0..=len {
                let mut link = SimulatedLink::new(0, 0, Wire::Native);
                link.break_after(direction, left);
                let written = link.write(Duration::ZERO, direction, packet, &faults, &mut rng);
                let Written::Broke { last, is_torn } = written else { panic!("{written:?} after {left} bytes") };
                assert_eq!((last.is_some(), is_torn), (left > 0, (1..len).contains(&left)), "after {left} bytes");
                let mut arrivals = Vec::new();
                link.read(Duration::from_secs(1), direction, &mut arrivals);
                assert_eq!(arrivals.len(), usize::from(left == len), "after {left} bytes");
            }
        }
    }

    #[test]
    fn a_cut_leaves_any_number_of_the_bytes_under_way() {
        let (faults, mut rng) = (Faults::none(), Rng::new(1));
        let packet = Packet::Binary(Bytes::from_static(&[0; 7]));
        let mut left = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let mut link = SimulatedLink::new(0, 0, Wire::Native);
            for _ in 0..2 {
                link.write(Duration::ZERO, Direction::Down, &packet, &faults, &mut rng);
            }
            let cut = link.cut(Direction::Down, Duration::from_secs(1), &mut rng);
            left.insert(link.down.bytes_under_way);
            assert_eq!(cut.is_torn, !link.down.bytes_under_way.is_multiple_of(HEAD + 7));
        }
        assert!(left.into_iter().eq(0..=2 * (HEAD + 7)));
    }
}
