//! The WebSocket protocol of one socket, without the socket: bytes in, packets out, and back.
//!
//! Driving tungstenite's sans-IO context by hand instead of wrapping the stream keeps an idle
//! connection small (no buffer of its own between two packets, no waker proxies) and a busy one fast
//! (reads as large as the caller's buffer, and one write for everything that is queued).

use std::io::{self, Read, Write};

use async_tungstenite::tungstenite::{
    Error, Message,
    error::CapacityError,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::coding::CloseCode},
};
use rtm_codec::{Packet, PacketRef, limits::PACKET_BYTES};

/// One side's protocol state.
pub(crate) struct WebSocket {
    context: WebSocketContext,
    max_message: usize,
    /// Bytes handed to the context.
    given: u64,
    /// Bytes of the frames it made of them, at least: fragments are undercounted. So when the two are
    /// equal, nothing is left inside the context.
    used: u64,
    /// Whether a message made the context's buffer grow.
    grown: bool,
}

/// What a peer's bytes amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message.
    Packet(Packet),
    /// The peer closes, or confirms our close.
    Close,
}

/// A peer that does not speak WebSocket, with a sentence that says how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

impl WebSocket {
    /// The server's side, right after the handshake. No message may be longer than `max_message` bytes.
    pub(crate) fn new(max_message: usize) -> Self {
        Self { context: context(max_message), max_message, given: 0, used: 0, grown: false }
    }

    /// Allows messages up to `max_message` bytes.
    pub(crate) fn set_max_message(&mut self, max_message: usize) {
        self.max_message = max_message;
        self.context.set_config(|config| {
            config.max_message_size = Some(max_message);
            config.max_frame_size = Some(max_message);
        });
    }

    /// Takes bytes off `input` until they make a message; `None` when they are used up before.
    /// Answers to pings and closes are appended to `output`.
    pub(crate) fn read(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<Option<Incoming>, Violation> {
        loop {
            let before = input.len();
            let message = self.context.read(&mut Wire { input, output });
            self.given += (before - input.len()) as u64;
            let message = match message {
                Ok(message) => message,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(Some(Incoming::Close)),
                Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                    return Err(Violation(format!("a message is longer than {} bytes", self.max_message)));
                }
                Err(Error::Utf8(_)) => return Err(Violation("a text message is not valid UTF-8".into())),
                Err(Error::Protocol(error)) => return Err(Violation(error.to_string())),
                Err(_) => return Err(Violation("the WebSocket frames are broken".into())),
            };
            self.used += wire_len(message.len());
            self.grown |= message.len() > GROWN;
            match message {
                Message::Text(text) => return Ok(Some(Incoming::Packet(Packet::Text(text.as_str().into())))),
                Message::Binary(bytes) => return Ok(Some(Incoming::Packet(Packet::Binary(bytes)))),
                // Reading on writes the answer to it.
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Appends `packet` to `output` as one message.
    pub(crate) fn write(packet: PacketRef<'_>, output: &mut Vec<u8>) {
        let (opcode, payload) = match packet {
            PacketRef::Text(text) => (OPCODE_TEXT, text.as_bytes()),
            PacketRef::Binary(bytes) => (OPCODE_BINARY, bytes),
        };
        output.reserve(payload.len() + 10);
        output.push(FINAL | opcode);
        match payload.len() {
            len @ 0..126 => output.push(len as u8),
            len @ 126..65_536 => {
                output.push(126);
                output.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                output.push(127);
                output.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        output.extend_from_slice(payload);
    }

    /// Appends the close frame: a code, and `detail` as its text, cut to what a close frame holds.
    pub(crate) fn close(&mut self, code: u16, detail: &str, output: &mut Vec<u8>) {
        let detail = &detail[..detail.floor_char_boundary(CLOSE_TEXT)];
        let frame = CloseFrame { code: CloseCode::from(code), reason: detail.into() };
        // Writing into memory does not fail; a context that is closed already has nothing to say.
        let _ = self.context.close(&mut Wire { input: &mut &[][..], output }, Some(frame));
    }

    /// Gives back what large messages made this side hold, if nothing of a message is under way.
    pub(crate) fn rest(&mut self) {
        if self.grown && self.given == self.used && self.context.can_write() {
            *self = Self::new(self.max_message);
        }
    }
}

fn context(max_message: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    WebSocketContext::new(Role::Server, Some(config))
}

/// How many bytes a client's unfragmented frame of this payload takes.
fn wire_len(payload: usize) -> u64 {
    let length = match payload {
        0..126 => 0,
        126..65_536 => 2,
        _ => 8,
    };
    (2 + length + 4 + payload) as u64
}

/// The "stream" that the context reads and writes.
struct Wire<'a, 'b> {
    input: &'a mut &'b [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.input.read(buf) }
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a message may have before its sender is logged in: a token of 8 KiB, in JSON within JSON.
pub(crate) const LOGIN_BYTES: usize = 64 * 1024;
/// What a message may have afterwards.
pub(crate) const MESSAGE_BYTES: usize = PACKET_BYTES;
const READ_BUFFER: usize = 1024;
const GROWN: usize = 2 * READ_BUFFER;
const CLOSE_TEXT: usize = 123;
const FINAL: u8 = 0x80;
const OPCODE_TEXT: u8 = 1;
const OPCODE_BINARY: u8 = 2;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A client's frame, masked with zeros.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    fn read_all(socket: &mut WebSocket, mut input: &[u8]) -> (Vec<Incoming>, Vec<u8>) {
        let (mut incoming, mut output) = (Vec::new(), Vec::new());
        while let Some(one) = socket.read(&mut input, &mut output).unwrap() {
            let close = one == Incoming::Close;
            incoming.push(one);
            if close {
                break;
            }
        }
        (incoming, output)
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_are_cut() {
        let big = vec![7; 100_000];
        let bytes = [frame(0x82, b"one"), frame(0x82, &big), frame(0x81, "二".as_bytes())].concat();
        for cut in [1, 2, 13, 1000, 65_536] {
            let mut socket = WebSocket::new(MESSAGE_BYTES);
            let mut incoming = Vec::new();
            for chunk in bytes.chunks(cut) {
                incoming.extend(read_all(&mut socket, chunk).0);
                socket.rest();
            }
            let expected = [
                Packet::Binary(Bytes::from_static(b"one")),
                Packet::Binary(Bytes::from(big.clone())),
                Packet::Text("二".into()),
            ];
            assert_eq!(incoming, expected.map(Incoming::Packet), "cut every {cut} bytes");
        }
    }

    #[test]
    fn fragments_survive_resting() {
        let mut socket = WebSocket::new(MESSAGE_BYTES);
        let part = vec![1; 5000];
        assert_eq!(read_all(&mut socket, &frame(0x82, &part)).0.len(), 1);
        assert_eq!(read_all(&mut socket, &frame(0x02, &part)).0.len(), 0);
        socket.rest();
        assert_eq!(read_all(&mut socket, &frame(0x89, b"ping")).0.len(), 0);
        socket.rest();
        let (incoming, _) = read_all(&mut socket, &frame(0x80, &part));
        assert_eq!(incoming, [Incoming::Packet(Packet::Binary(Bytes::from(vec![1; 10_000])))]);
    }

    #[test]
    fn a_ping_is_answered_and_a_close_confirmed() {
        let mut socket = WebSocket::new(MESSAGE_BYTES);
        let (incoming, output) = read_all(&mut socket, &frame(0x89, b"hey"));
        assert_eq!((incoming, output), (vec![], b"\x8a\x03hey".to_vec()));
        let (incoming, output) = read_all(&mut socket, &frame(0x88, &1000u16.to_be_bytes()));
        assert_eq!((incoming, output), (vec![Incoming::Close], b"\x88\x02\x03\xe8".to_vec()));
    }

    #[test]
    fn a_long_message_is_refused_by_its_header_alone() {
        let mut socket = WebSocket::new(1000);
        let header = &frame(0x82, &[0; 1001])[..8];
        let violation = socket.read(&mut &header[..], &mut Vec::new()).unwrap_err();
        assert_eq!(violation, Violation("a message is longer than 1000 bytes".into()));
        let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert!(WebSocket::new(1000).read(&mut &huge[..], &mut Vec::new()).is_err());
        let fragments = [frame(0x02, &[0; 600]), frame(0x80, &[0; 600])].concat();
        assert!(WebSocket::new(1000).read(&mut &fragments[..], &mut Vec::new()).is_err());
        let mut socket = WebSocket::new(1000);
        socket.set_max_message(1001);
        assert_eq!(read_all(&mut socket, &frame(0x82, &[0; 1001])).0.len(), 1);
    }

    #[test]
    fn what_is_not_websocket_is_named() {
        let broken: [(&[u8], &str); 4] = [
            (b"\x82\x01x", "unmasked"),
            (&frame(0xf2, b"x"), "reserved"),
            (&frame(0x81, b"\xff"), "UTF-8"),
            (&frame(0x80, b"x"), "ontinue"),
        ];
        for (bytes, names) in broken {
            let mut input = bytes;
            let Violation(sentence) = WebSocket::new(1000).read(&mut input, &mut Vec::new()).unwrap_err();
            assert!(sentence.to_lowercase().contains(&names.to_lowercase()), "{sentence}");
        }
    }

    #[test]
    fn written_packets_and_closes_have_the_right_frames() {
        let mut output = Vec::new();
        WebSocket::write(PacketRef::Text("hi"), &mut output);
        WebSocket::write(PacketRef::Binary(&[0; 126]), &mut output);
        WebSocket::write(PacketRef::Binary(&[0; 65_536]), &mut output);
        assert_eq!(&output[..4], b"\x81\x02hi");
        assert_eq!(&output[4..8], [0x82, 126, 0, 126]);
        assert_eq!(&output[8 + 126..][..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        let mut output = Vec::new();
        WebSocket::new(1000).close(1012, &"字".repeat(60), &mut output);
        assert_eq!(output[..4], [0x88, 2 + 123, 0x03, 0xf4]);
        assert_eq!(&output[4..], "字".repeat(41).as_bytes());
    }
}
