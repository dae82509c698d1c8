//! The native wire: WebSocket binary messages of the subprotocol [`SUBPROTOCOL`].
//!
//! A packet is the version byte and one or more frames, each preceded by its length in bytes. Everything
//! is written as bincode 2 writes it in its standard configuration: numbers as varints, lists and texts
//! behind their lengths, enums as a tag and the variant's fields. Tags are given explicitly in `fields.rs`
//! and are never used again for anything else.
//!
//! The length before each frame lets an older reader pass over what it does not know: an event of a kind
//! that a client cannot read becomes [`Event::Gap`], a call that a server does not know is refused as
//! [`ErrorKind::Unsupported`]. Every other fault ends the connection.

mod codec;
mod fields;
mod values;

use std::{ops::Range, sync::Arc};

use bincode::{
    Decode, Encode,
    config::{self, Configuration, Limit, LittleEndian, Varint},
    de::{
        Decoder, DecoderImpl,
        read::{BorrowReader, Reader},
    },
    enc::{Encoder, EncoderImpl, write::Writer},
    error::{DecodeError as BincodeDecodeError, EncodeError},
};
use bytes::{Bytes, BytesMut};

pub use codec::{ClientCodec, ServerCodec};

use crate::{DecodeError, DecodeErrorKind, Text, limits, text::SHARE_FROM};
#[cfg(doc)]
use crate::{ErrorKind, Event};

/// The WebSocket subprotocol of this wire.
pub const SUBPROTOCOL: &str = "rtm.v1";

/// The first byte of each packet.
const VERSION: u8 = 1;

/// A value that has a place in a frame.
trait Field: Sized {
    /// The number of bytes that `put` writes.
    fn size(&self) -> usize;
    fn put(&self, out: &mut Output<'_>);
    fn get(input: &mut Input<'_>) -> Result<Self, DecodeError>;
}

/// Where a frame is written to.
struct Output<'b>(EncoderImpl<Appender<'b>, Configuration>);

struct Appender<'b>(&'b mut BytesMut);

impl Writer for Appender<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl<'b> Output<'b> {
    fn new(buffer: &'b mut BytesMut) -> Self {
        Self(EncoderImpl::new(Appender(buffer), config::standard()))
    }

    #[inline(always)]
    fn tag(&mut self, tag: u8) {
        self.raw(&[tag]);
    }

    #[inline(always)]
    fn number(&mut self, number: u64) {
        let written = number.encode(&mut self.0);
        debug_assert!(written.is_ok(), "an appender takes everything");
    }

    #[inline(always)]
    fn raw(&mut self, bytes: &[u8]) {
        self.0.writer().0.extend_from_slice(bytes);
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }
}

/// How many bytes a number takes.
#[inline(always)]
fn number_size(number: u64) -> usize {
    match number {
        0..=250 => 1,
        251..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Where a frame is read from.
struct Input<'p> {
    decoder: DecoderImpl<Unread<'p>, Configuration<LittleEndian, Varint, Limit<{ limits::PACKET_BYTES }>>, ()>,
    /// The packet, where it is large enough to share bytes of.
    packet: Option<&'p Arc<Bytes>>,
}

struct Unread<'p>(&'p [u8]);

impl Reader for Unread<'_> {
    #[inline(always)]
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), BincodeDecodeError> {
        bytes.copy_from_slice(self.take_bytes(bytes.len())?);
        Ok(())
    }

    #[inline(always)]
    fn peek_read(&mut self, n: usize) -> Option<&[u8]> {
        self.0.get(..n)
    }

    #[inline(always)]
    fn consume(&mut self, n: usize) {
        self.0 = self.0.get(n..).unwrap_or_default();
    }
}

impl<'p> BorrowReader<'p> for Unread<'p> {
    #[inline(always)]
    fn take_bytes(&mut self, length: usize) -> Result<&'p [u8], BincodeDecodeError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| BincodeDecodeError::UnexpectedEnd { additional: length - self.0.len() })?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'p> Input<'p> {
    fn new(bytes: &'p [u8], packet: Option<&'p Arc<Bytes>>) -> Self {
        Self { decoder: DecoderImpl::new(Unread(bytes), config::standard().with_limit(), ()), packet }
    }

    /// Reads a length and as many bytes, which are then read on their own.
    #[inline]
    fn part(&mut self) -> Result<Self, DecodeError> {
        Ok(Self::new(self.bytes()?, self.packet))
    }

    #[inline(always)]
    fn unread(&mut self) -> usize {
        self.decoder.reader().0.len()
    }

    /// Checks that everything was read.
    #[inline]
    fn end(&mut self) -> Result<(), DecodeError> {
        if self.unread() == 0 { Ok(()) } else { Err(fault(DecodeErrorKind::TrailingBytes)) }
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<u8, DecodeError> {
        Ok(self.raw(1)?[0])
    }

    #[inline(always)]
    fn number(&mut self) -> Result<u64, DecodeError> {
        u64::decode(&mut self.decoder).map_err(|error| match error {
            BincodeDecodeError::UnexpectedEnd { .. } => fault(DecodeErrorKind::Truncated),
            BincodeDecodeError::LimitExceeded => fault(DecodeErrorKind::TooLarge { limit: limits::PACKET_BYTES }),
            _ => fault(DecodeErrorKind::Value),
        })
    }

    #[inline(always)]
    fn raw(&mut self, len: usize) -> Result<&'p [u8], DecodeError> {
        self.decoder.reader().take_bytes(len).map_err(|_| fault(DecodeErrorKind::Truncated))
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'p [u8], DecodeError> {
        let len = self.number()?;
        self.raw(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Reads a text; a long one shares the packet's bytes.
    #[inline]
    fn text(&mut self) -> Result<Text, DecodeError> {
        let bytes = self.bytes()?;
        let text = match self.packet {
            Some(packet) if bytes.len() >= SHARE_FROM => Text::from_frame(packet, range_in(packet, bytes)),
            _ => Text::from_utf8(bytes),
        };
        text.map_err(|_| fault(DecodeErrorKind::Utf8))
    }

    /// Reads the length of a list, before anything is set aside for it.
    #[inline]
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.number()?;
        if count > limits::LIST_ENTRIES as u64 {
            return Err(fault(DecodeErrorKind::TooMany { limit: limits::LIST_ENTRIES }));
        }
        // No entry takes less than a byte.
        let count = count as usize;
        if count > self.unread() { Err(fault(DecodeErrorKind::Truncated)) } else { Ok(count) }
    }

    /// Reads bytes; many of them share the packet's.
    fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.bytes()?;
        Ok(match self.packet {
            Some(packet) if bytes.len() >= SHARE_FROM => packet.slice(range_in(packet, bytes)),
            _ => Bytes::copy_from_slice(bytes),
        })
    }
}

/// Where in `packet` its part `bytes` lies.
#[inline]
fn range_in(packet: &Bytes, bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().addr() - packet.as_ptr().addr();
    start..start + bytes.len()
}

/// A fault of a value that is not named yet: the field it is in gives it its name.
#[cold]
fn fault(kind: DecodeErrorKind) -> DecodeError {
    DecodeError::new("", kind)
}
