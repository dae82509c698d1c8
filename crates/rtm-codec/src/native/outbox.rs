//! Frames on their way into packets.

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use super::{Output, U16, VERSION, number_bytes};
use crate::{
    Packet, PacketRef, limits,
    websocket::frame::{OPCODE_BINARY, head},
};

/// Writes frames back to back into one buffer, and cuts packets from it.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The packets being built, room for a WebSocket's head before each, and room for more.
    buffer: Vec<u8>,
    /// Where each of them but the last ends.
    ends: Vec<usize>,
    /// Where the last starts.
    start: usize,
    /// Where the last ends so far.
    end: usize,
    /// The frames in the last.
    frames: usize,
    /// Packets that wait to be taken.
    ready: VecDeque<Bytes>,
    /// How much the buffer held last.
    expected: usize,
    /// How many messages were taken and not counted yet.
    taken: u32,
}

/// The frame is larger than a packet may be.
#[derive(Debug)]
pub(super) struct TooLarge;

/// The fields of a frame. They may be written more than once.
pub(super) trait Fields {
    fn write(&self, out: &mut Output<'_>);
}

struct Closure<F>(F);

impl<F: Fn(&mut Output<'_>)> Fields for Closure<F> {
    #[inline(always)]
    fn write(&self, out: &mut Output<'_>) {
        self.0(out);
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            ends: Vec::new(),
            start: GAP,
            end: GAP,
            frames: 0,
            ready: VecDeque::new(),
            expected: 0,
            taken: 0,
        }
    }
}

impl Outbox {
    /// Appends a frame whose fields `put` writes.
    #[inline(always)]
    pub(super) fn frame(&mut self, tag: u8, at_least: usize, put: impl Fn(&mut Output<'_>)) -> Result<(), TooLarge> {
        self.append(tag, at_least, &Closure(put))
    }

    /// Appends a frame of at least `at_least` bytes. It is written again where the room was too small.
    #[inline(always)]
    pub(super) fn append(&mut self, tag: u8, at_least: usize, fields: &impl Fields) -> Result<(), TooLarge> {
        if self.end - self.start >= PACKET_TARGET || self.frames == limits::PACKET_FRAMES {
            self.cut(self.end);
        }
        let head = self.end + usize::from(self.frames == 0);
        // The length comes first and is known last. Most often its own size is known before.
        let body = head + if at_least > 250 { 3 } else { 1 };
        let mut room = body + at_least + HEADS;
        let end = loop {
            if self.buffer.len() < room {
                self.grow(room);
            }
            let mut out = Output::new(&mut self.buffer[body..]);
            out.tag(tag);
            fields.write(&mut out);
            let Output { room: left, missing } = out;
            let left = left.len();
            if missing == 0 {
                break self.buffer.len() - left;
            }
            room = self.buffer.len() + missing;
        };
        // It stays before the first frame of a packet. The length of any other frame takes its place.
        self.buffer[self.end] = VERSION;
        let size = end - body;
        match &mut self.buffer[head..body] {
            [short] if size <= 250 => *short = size as u8,
            [marker, long @ ..] if (251..=0xffff).contains(&size) && long.len() == 2 => {
                *marker = U16;
                long.copy_from_slice(&(size as u16).to_le_bytes());
            }
            _ => return self.finish(head, body, end),
        }
        self.end = end;
        if end - self.start > limits::PACKET_BYTES {
            self.part(head)?;
        }
        self.frames += 1;
        Ok(())
    }

    /// What follows goes into another packet.
    pub(super) fn end_packet(&mut self) {
        if self.frames > 0 {
            self.cut(self.end);
        }
    }

    /// Makes the buffer at least so large.
    #[cold]
    fn grow(&mut self, room: usize) {
        self.buffer.resize(room.max(2 * self.buffer.len()).max(self.expected), 0);
    }

    /// Ends a frame whose length takes another size than was expected.
    #[cold]
    fn finish(&mut self, head: usize, body: usize, end: usize) -> Result<(), TooLarge> {
        let (bytes, len) = number_bytes((end - body) as u64);
        let moved = head + len;
        self.end = moved + (end - body);
        if self.buffer.len() < self.end + 1 {
            self.grow(self.end + 1);
        }
        self.buffer.copy_within(body..end, moved);
        self.buffer[head..moved].copy_from_slice(&bytes[..len]);
        if self.end - self.start > limits::PACKET_BYTES {
            self.part(head)?;
        }
        self.frames += 1;
        Ok(())
    }

    /// Gives the frame from `head` on a packet of its own.
    #[cold]
    fn part(&mut self, head: usize) -> Result<(), TooLarge> {
        if 1 + self.end - head > limits::PACKET_BYTES {
            self.end = if self.frames == 0 { self.start } else { head };
            return Err(TooLarge);
        }
        let (end, moved) = (self.end, GAP + 1);
        if self.buffer.len() < end + moved {
            self.grow(end + moved);
        }
        self.buffer.copy_within(head..end, head + moved);
        self.cut(head);
        self.buffer[self.start] = VERSION;
        self.end = end + moved;
        Ok(())
    }

    /// Ends the last packet there, and begins another one.
    #[cold]
    fn cut(&mut self, end: usize) {
        self.ends.push(end);
        (self.start, self.end, self.frames) = (end + GAP, end + GAP, 0);
    }

    /// How many bytes wait to be taken, about.
    pub(super) fn len(&self) -> usize {
        self.end - GAP + self.ready.iter().map(Bytes::len).sum::<usize>()
    }

    fn is_empty(&self) -> bool {
        self.end == GAP
    }

    /// Shows every packet in order, and keeps the buffer they are in.
    #[inline]
    pub(super) fn drain(&mut self, mut write: impl FnMut(PacketRef<'_>)) {
        let mut start = GAP;
        // One look for both, since most often there is neither.
        if self.ready.len() | self.ends.len() != 0 {
            while let Some(packet) = self.ready.pop_front() {
                write(PacketRef::Binary(&packet));
            }
            for end in self.ends.drain(..) {
                write(PacketRef::Binary(&self.buffer[start..end]));
                start = end + GAP;
            }
        }
        if start < self.end {
            write(PacketRef::Binary(&self.buffer[start..self.end]));
        }
        self.clear();
    }

    /// Writes a WebSocket head before each packet in the buffer, as a server does, which masks nothing, and takes all of them. `None`,
    /// with nothing taken, if a packet needs a longer head than there is room for.
    pub(super) fn messages(&mut self) -> Option<&[u8]> {
        let last = (self.start < self.end).then_some(self.end);
        let ends = || self.ends.iter().copied().chain(last);
        let mut starts = std::iter::once(GAP).chain(ends().map(|end| end + GAP));
        let has_room = ends().zip(&mut starts).all(|(end, start)| end - start <= usize::from(u16::MAX));
        if !has_room || !self.ready.is_empty() {
            return None;
        }
        let (mut from, mut to, mut start) = (None, 0, GAP);
        for end in self.ends.drain(..).chain(last) {
            let (head, len) = head(OPCODE_BINARY, false, end - start);
            // A short head leaves a gap before the first message, and no other.
            if from.is_none() {
                to = start - len;
                from = Some(to);
            }
            self.buffer[to..to + len].copy_from_slice(&head[..len]);
            to += len;
            if to < start {
                self.buffer.copy_within(start..end, to);
            }
            to += end - start;
            start = end + GAP;
            self.taken += 1;
        }
        self.clear();
        Some(&self.buffer[from.unwrap_or(to)..to])
    }

    /// How many messages were taken since this was last asked.
    pub(super) fn taken(&mut self) -> u32 {
        mem::take(&mut self.taken)
    }

    fn clear(&mut self) {
        (self.start, self.end, self.frames) = (GAP, GAP, 0);
    }

    /// Exchanges the buffer, if nothing is in it, for the one to write into from now on.
    pub(super) fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.is_empty() {
            mem::swap(&mut self.buffer, buffer);
        }
    }

    /// Gives back a large buffer.
    pub(super) fn rest(&mut self) {
        if self.is_empty() && self.buffer.len() > KEPT_BUFFER {
            self.buffer = Vec::new();
            self.ends = Vec::new();
        }
    }

    /// The next packet.
    pub(super) fn take(&mut self) -> Option<Packet> {
        if let Some(packet) = self.ready.pop_front() {
            if self.ready.is_empty() {
                self.ready = VecDeque::new();
            }
            return Some(Packet::Binary(packet));
        }
        if self.is_empty() {
            return None;
        }
        let written = self.end;
        self.clear();
        if self.buffer.len() <= KEPT_BUFFER && self.ends.is_empty() {
            return Some(Packet::Binary(Bytes::copy_from_slice(&self.buffer[GAP..written])));
        }
        // A large buffer is given away and not copied, so a quiet connection holds none.
        self.expected = written + HEADS;
        let mut buffer = mem::take(&mut self.buffer);
        buffer.truncate(written);
        let packets = Bytes::from(buffer);
        if self.ends.is_empty() {
            return Some(Packet::Binary(packets.slice(GAP..)));
        }
        let mut start = GAP;
        for end in mem::take(&mut self.ends) {
            self.ready.push_back(packets.slice(start..end));
            start = end + GAP;
        }
        if start < packets.len() {
            self.ready.push_back(packets.slice(start..));
        }
        self.ready.pop_front().map(Packet::Binary)
    }
}

/// A packet that has this many bytes is closed. A receiver takes a packet as a whole, so that over a slow link that
/// breaks again and again no more than one is received in vain each time: 2 s at 4 KB/s.
const PACKET_TARGET: usize = 8 * 1024;
/// Room before each packet for the head of a WebSocket message. A server's head has 4 bytes, or 2 for a message below 126 bytes, or
/// 10 for one above 65,535.
const GAP: usize = 4;
/// Room for what is around the text of a message: numbers, ids and lengths.
const HEADS: usize = 192;
/// The largest buffer that is kept while there is nothing to send.
const KEPT_BUFFER: usize = 1024;
