//! Frames on their way into packets.

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use super::{Output, U16, VERSION, number_bytes};
use crate::{Packet, PacketRef, limits};

/// Writes frames back to back into one buffer, and cuts packets from it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The packets being built.
    buffer: Vec<u8>,
    /// Where each of them but the last ends.
    ends: Vec<usize>,
    /// Where the last starts.
    start: usize,
    /// The frames in the last.
    frames: usize,
    /// Packets that wait to be taken.
    ready: VecDeque<Bytes>,
    /// How much the buffer held last.
    expected: usize,
}

/// The frame is larger than a packet may be.
#[derive(Debug)]
pub(super) struct TooLarge;

impl Outbox {
    /// Appends a frame that `put` writes, which will have `at_least` so many bytes.
    #[inline(always)]
    pub(super) fn frame(
        &mut self,
        tag: u8,
        at_least: usize,
        put: impl FnOnce(&mut Output<'_>),
    ) -> Result<(), TooLarge> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.expected.max(at_least + 128));
        }
        if self.buffer.len() - self.start >= PACKET_TARGET || self.frames == limits::PACKET_FRAMES {
            self.cut(self.buffer.len());
        }
        if self.frames == 0 {
            self.buffer.push(VERSION);
        }
        let head = self.buffer.len();
        // The length comes first and is known last. Most often its own size is known before.
        let body = head + if at_least > 250 { 3 } else { 1 };
        self.buffer.extend_from_slice(&if body - head == 1 { [0, tag, 0, 0] } else { [U16, 0, 0, tag] });
        self.buffer.truncate(body + 1);
        put(&mut Output(&mut self.buffer));
        let size = self.buffer.len() - body;
        match &mut self.buffer[head..body] {
            [short] if size <= 250 => *short = size as u8,
            [_, long @ ..] if (251..=0xffff).contains(&size) && long.len() == 2 => {
                long.copy_from_slice(&(size as u16).to_le_bytes());
            }
            _ => self.head(head, body, size),
        }
        if self.buffer.len() - self.start > limits::PACKET_BYTES {
            self.part(head)?;
        }
        self.frames += 1;
        Ok(())
    }

    /// Makes room for a length of another size than was expected.
    #[cold]
    fn head(&mut self, head: usize, body: usize, size: usize) {
        let (bytes, len) = number_bytes(size as u64);
        self.buffer.splice(head..body, bytes[..len].iter().copied());
    }

    /// Gives the frame from `head` on a packet of its own.
    #[cold]
    fn part(&mut self, head: usize) -> Result<(), TooLarge> {
        let size = self.buffer.len() - head;
        if 1 + size > limits::PACKET_BYTES {
            self.buffer.truncate(if self.frames == 0 { self.start } else { head });
            return Err(TooLarge);
        }
        self.cut(head);
        self.buffer.insert(head, VERSION);
        Ok(())
    }

    #[cold]
    fn cut(&mut self, end: usize) {
        self.ends.push(end);
        self.start = end;
        self.frames = 0;
    }

    /// Shows every packet in order, and keeps the buffer they are in.
    pub(super) fn drain(&mut self, mut write: impl FnMut(PacketRef<'_>)) {
        while let Some(packet) = self.ready.pop_front() {
            write(PacketRef::Binary(&packet));
        }
        let mut start = 0;
        for &end in &self.ends {
            write(PacketRef::Binary(&self.buffer[start..end]));
            start = end;
        }
        self.ends.clear();
        if start < self.buffer.len() {
            write(PacketRef::Binary(&self.buffer[start..]));
        }
        self.expected = self.buffer.len();
        self.buffer.clear();
        self.start = 0;
        self.frames = 0;
    }

    /// Gives back a large buffer.
    pub(super) fn rest(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER {
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
        if self.buffer.is_empty() {
            return None;
        }
        self.start = 0;
        self.frames = 0;
        if self.buffer.capacity() <= KEPT_BUFFER && self.ends.is_empty() {
            let packet = Bytes::copy_from_slice(&self.buffer);
            self.buffer.clear();
            return Some(Packet::Binary(packet));
        }
        // A large buffer is given away and not copied, so a quiet connection holds none.
        self.expected = self.buffer.len();
        let packets = Bytes::from(mem::take(&mut self.buffer));
        if self.ends.is_empty() {
            return Some(Packet::Binary(packets));
        }
        let mut start = 0;
        for end in mem::take(&mut self.ends) {
            self.ready.push_back(packets.slice(start..end));
            start = end;
        }
        if start < packets.len() {
            self.ready.push_back(packets.slice(start..));
        }
        self.ready.pop_front().map(Packet::Binary)
    }
}

/// A packet that has this many bytes is closed.
const PACKET_TARGET: usize = 64 * 1024;
/// The largest buffer that is kept while there is nothing to send.
const KEPT_BUFFER: usize = 1024;
