//! The native wire: WebSocket binary messages of the subprotocol [`SUBPROTOCOL`]. `docs/native-wire.md` describes it
//! for whoever writes a client, and the tests hold that page against this code.
//!
//! A packet is the version byte and one or more frames, each preceded by its length in bytes. Everything
//! is written as bincode 2 writes it in its standard configuration: numbers as varints, lists and texts
//! behind their lengths, enums as a tag and the variant's fields. Tags are given explicitly in `fields.rs`
//! and are never used again for anything else.
//!
//! The wire only ever grows. The length before each frame lets an older reader skip what it does not know: fields
//! at the end of a frame, a frame whose tag says that this is harmless, an event (which becomes [`Event::Gap`]), a call
//! (which is refused as [`ErrorKind::Unsupported`]). Faults that are not of another version end the connection.
//!
//! The bytes are written and read here and not by the `bincode` crate, which takes twice as long for an
//! event of 32 bytes and is no longer maintained; the tests hold them against it.

mod codec;
mod fields;
mod frequent;
mod outbox;
mod values;

use std::{mem, ops::Range, sync::Arc};

use bytes::Bytes;

pub use codec::{ClientCodec, ServerCodec};

use crate::{DecodeError, DecodeErrorKind, InvalidUtf8, Text, limits, text::SHARE_FROM};
#[cfg(doc)]
use crate::{ErrorKind, Event};

/// The WebSocket subprotocol of this wire.
pub const SUBPROTOCOL: &str = "rtm.v1";

/// A value that has a place in a frame.
trait Field: Sized {
    fn put(&self, out: &mut Output<'_>);
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError>;
}

/// Where a frame is written to: room that may turn out too small. What does not fit is counted in `missing` and not
/// written; the whole frame is then written again with more room. So no write has to make room itself.
#[derive(Default)]
struct Output<'b> {
    room: &'b mut [u8],
    missing: usize,
}

impl<'b> Output<'b> {
    #[inline(always)]
    fn new(room: &'b mut [u8]) -> Self {
        Self { room, missing: 0 }
    }

    #[inline(always)]
    fn tag(&mut self, tag: u8) {
        match mem::take(&mut self.room) {
            [byte, room @ ..] => {
                *byte = tag;
                self.room = room;
            }
            [] => self.missing += 1,
        }
    }

    #[inline(always)]
    fn number(&mut self, number: u64) {
        match number {
            0..=SMALL => self.tag(number as u8),
            251..=0xffff => self.wide(U16, (number as u16).to_le_bytes()),
            0x1_0000..=0xffff_ffff => self.wide(U32, (number as u32).to_le_bytes()),
            _ => self.wide(U64, number.to_le_bytes()),
        }
    }

    #[inline(always)]
    fn wide<const N: usize>(&mut self, marker: u8, bytes: [u8; N]) {
        self.tag(marker);
        match mem::take(&mut self.room).split_first_chunk_mut() {
            Some((to, room)) => {
                *to = bytes;
                self.room = room;
            }
            None => self.missing += N,
        }
    }

    #[inline(always)]
    fn raw(&mut self, bytes: &[u8]) {
        match mem::take(&mut self.room).split_at_mut_checked(bytes.len()) {
            Some((to, room)) => {
                to.copy_from_slice(bytes);
                self.room = room;
            }
            None => self.missing += bytes.len(),
        }
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Writes what `put` writes behind its length.
    fn part(&mut self, put: impl Fn(&mut Output<'_>)) {
        // Without any room, all of it is missing.
        let mut counted = Output::default();
        put(&mut counted);
        self.number(counted.missing as u64);
        put(self);
    }
}

/// A number's bytes, and how many of them there are.
#[inline(always)]
fn number_bytes(number: u64) -> ([u8; 9], usize) {
    let (marker, size) = match number {
        0..=SMALL => (number as u8, 1),
        251..=0xffff => (U16, 3),
        0x1_0000..=0xffff_ffff => (U32, 5),
        _ => (U64, 9),
    };
    let mut bytes = [marker; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    (bytes, size)
}

/// Where a frame is read from.
#[derive(Clone, Copy)]
struct Input<'p> {
    unread: &'p [u8],
    /// The packet, where it is large enough to share bytes of.
    packet: Option<&'p Arc<Bytes>>,
}

impl<'p> Input<'p> {
    #[inline(always)]
    fn new(unread: &'p [u8], packet: Option<&'p Arc<Bytes>>) -> Self {
        Self { unread, packet }
    }

    /// Reads a length and as many bytes, which are then read on their own.
    #[inline(always)]
    fn part(&mut self) -> Result<Self, DecodeError> {
        Ok(Self::new(self.bytes()?, self.packet))
    }

    #[inline(always)]
    fn is_at_end(&self) -> bool {
        self.unread.is_empty()
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<u8, DecodeError> {
        let (&tag, unread) = self.unread.split_first().ok_or_else(|| fault(DecodeErrorKind::Truncated))?;
        self.unread = unread;
        Ok(tag)
    }

    #[inline(always)]
    fn number(&mut self) -> Result<u64, DecodeError> {
        match self.tag()? {
            number @ 0..=250 => Ok(number.into()),
            U16 => Ok(u16::from_le_bytes(self.chunk()?).into()),
            U32 => Ok(u32::from_le_bytes(self.chunk()?).into()),
            U64 => Ok(u64::from_le_bytes(self.chunk()?)),
            254.. => Err(fault(DecodeErrorKind::Value)),
        }
    }

    #[inline(always)]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (chunk, unread) = self.unread.split_first_chunk().ok_or_else(|| fault(DecodeErrorKind::Truncated))?;
        self.unread = unread;
        Ok(*chunk)
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'p [u8], DecodeError> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let (bytes, unread) = self.unread.split_at_checked(len).ok_or_else(|| fault(DecodeErrorKind::Truncated))?;
        self.unread = unread;
        Ok(bytes)
    }

    /// Reads a text; a long one shares the packet's bytes.
    #[inline(always)]
    fn text(&mut self) -> Result<Text, DecodeError> {
        let bytes = self.bytes()?;
        match self.text_of(bytes) {
            Ok(text) => Ok(text),
            Err(_) => Err(fault(DecodeErrorKind::Utf8)),
        }
    }

    /// Makes a text of bytes of the packet.
    #[inline(always)]
    fn text_of(&self, bytes: &[u8]) -> Result<Text, InvalidUtf8> {
        match self.packet {
            Some(packet) if is_shared(bytes, packet) => Text::from_frame(packet, range_in(packet, bytes)),
            _ => Text::from_utf8(bytes),
        }
    }

    /// Reads bytes; many of them share the packet's.
    fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.bytes()?;
        Ok(match self.packet {
            Some(packet) if is_shared(bytes, packet) => packet.slice(range_in(packet, bytes)),
            _ => Bytes::copy_from_slice(bytes),
        })
    }

    /// Reads the length of a list, before anything is set aside for it.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.number()?;
        if count > limits::LIST_ENTRIES as u64 {
            return Err(fault(DecodeErrorKind::TooMany { limit: limits::LIST_ENTRIES }));
        }
        let count = count as usize;
        // No entry takes less than a byte.
        if count > self.unread.len() { Err(fault(DecodeErrorKind::Truncated)) } else { Ok(count) }
    }
}

/// Whether a text or bytes share the packet's memory. Short ones are copied, which is faster, and so is a small part of
/// a large packet, which would keep the whole packet in memory.
#[inline(always)]
fn is_shared(bytes: &[u8], packet: &Bytes) -> bool {
    bytes.len() >= SHARE_FROM && bytes.len() >= packet.len() / SHARE_OF
}

/// Where in `packet` its part `bytes` lies.
#[inline(always)]
fn range_in(packet: &Bytes, bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().addr() - packet.as_ptr().addr();
    start..start + bytes.len()
}

/// A fault of a value that is not named yet: the field it is in gives it its name.
#[cold]
fn fault(kind: DecodeErrorKind) -> DecodeError {
    DecodeError::new("", kind)
}

/// The first byte of each packet.
const VERSION: u8 = 1;
/// The largest number that is its own only byte.
const SMALL: u64 = 250;
// What the first byte of a number says of those after it.
const U16: u8 = 251;
const U32: u8 = 252;
const U64: u8 = 253;
/// A part shares its packet's bytes only if it is at least a sixteenth of them.
const SHARE_OF: usize = 16;
