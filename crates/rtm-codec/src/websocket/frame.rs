//! A WebSocket frame's head and mask, in bytes.

use super::violation::Violation;

/// Opcode, whether it is the last frame of its message, the key of its mask, and how long its payload is.
pub(super) type Header = (u8, bool, Option<[u8; 4]>, u64);

/// The bytes of a head until it is whole.
#[derive(Default)]
pub(super) struct Head {
    bytes: [u8; MAX_HEAD],
    len: u8,
}

impl Head {
    /// Takes a frame's head off `input`; `None` when that is used up before.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Violation> {
        // Nearly always it is there whole.
        if self.len == 0
            && let Some((header, len)) = parse(input)?
        {
            *input = &input[len..];
            return Ok(Some(header));
        }
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.bytes[usize::from(self.len)] = byte;
            self.len += 1;
            if let Some((header, _)) = parse(&self.bytes[..usize::from(self.len)])? {
                self.len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}

/// The head at the start of `bytes` and its length, if it is whole. What is wrong is said as soon as it is seen.
fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first & RESERVED != 0 {
        return Err(Violation::Protocol("a frame has reserved bits set"));
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let (length, after) = match second & !MASKED {
        126 => match bytes.get(2..).and_then(<[u8]>::first_chunk) {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..).and_then(<[u8]>::first_chunk) {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        length => (u64::from(length), 2),
    };
    if length >> 63 != 0 || (after > 2 && length < 126) || (after > 4 && length < 65_536) {
        return Err(Violation::Protocol("a frame's length is not written as it has to be"));
    }
    let (key, len) = if second & MASKED == 0 {
        (None, after)
    } else {
        match bytes.get(after..).and_then(<[u8]>::first_chunk) {
            Some(key) => (Some(*key), after + 4),
            None => return Ok(None),
        }
    };
    Ok(Some(((first & OPCODE, first & FINAL != 0, key, length), len)))
}

/// The head of a whole message or control frame without the key of its mask, and how long that head is.
#[inline]
pub(crate) fn head(opcode: u8, is_masked: bool, payload: usize) -> ([u8; UNMASKED_HEAD], usize) {
    let mut head = [0; UNMASKED_HEAD];
    let masked = if is_masked { MASKED } else { 0 };
    head[0] = FINAL | opcode;
    let len = match payload {
        0..126 => {
            head[1] = masked | payload as u8;
            2
        }
        126..65_536 => {
            head[1] = masked | 126;
            head[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = masked | 127;
            head[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            UNMASKED_HEAD
        }
    };
    (head, len)
}

/// Appends a whole frame to `output`.
pub(super) fn write(opcode: u8, key: Option<[u8; 4]>, payload: &[u8], output: &mut Vec<u8>) {
    output.reserve(payload.len() + MAX_HEAD);
    let (head, len) = head(opcode, key.is_some(), payload.len());
    output.extend_from_slice(&head[..len]);
    output.extend_from_slice(&key.unwrap_or_default()[..if key.is_some() { 4 } else { 0 }]);
    let start = output.len();
    output.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut output[start..], key);
    }
}

/// Masks or unmasks `bytes`.
pub(super) fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(key.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

pub(super) const OPCODE_CONTINUATION: u8 = 0;
pub(super) const OPCODE_TEXT: u8 = 1;
pub(crate) const OPCODE_BINARY: u8 = 2;
pub(super) const OPCODE_CLOSE: u8 = 8;
pub(super) const OPCODE_PING: u8 = 9;
pub(super) const OPCODE_PONG: u8 = 10;
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
/// Two bytes and a length of eight.
const UNMASKED_HEAD: usize = 10;
/// The same and a key of four.
const MAX_HEAD: usize = UNMASKED_HEAD + 4;
