//! The WebSocket protocol of one socket, without the socket (RFC 6455): bytes in, packets out, and back.
//!
//! It is written here since the libraries that can be driven without a socket write what users send, tokens too, to the
//! log of the application when that is at its most talkative. Nothing is logged here, and a socket that is idle holds no
//! buffer.

#![expect(clippy::exhaustive_structs, clippy::exhaustive_enums, reason = "RFC 6455 has these and no other")]

pub(crate) mod frame;
mod handshake;
mod violation;

use std::fmt;

use bytes::Bytes;

use self::frame::{Head, OPCODE_BINARY, OPCODE_CLOSE, OPCODE_CONTINUATION, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT};
pub use self::{handshake::accept_key, violation::Violation};
use crate::{Packet, PacketRef, Text, text};

/// One side of a WebSocket, right after the handshake.
pub struct WebSocket {
    role: Role,
    max_message: usize,
    /// The start of a frame's head, until that is whole.
    head: Head,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// What the frames before this one are the start of, if that is not whole yet.
    message: Option<Kind>,
    /// The payload of the message until now.
    payload: Vec<u8>,
    /// How much of it is known to be UTF-8, if it is a text.
    checked: usize,
    /// The payload of a ping or close until now, which may come between two frames of a message.
    control: Vec<u8>,
    closing: Closing,
}

/// What a peer's bytes amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Packet(Packet),
    /// The peer closes, or confirms our close.
    Close(Option<CloseFrame>),
}

/// What a close frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why, as a number of RFC 6455 or an application's own.
    pub code: u16,
    /// Why, in words; at most 123 bytes.
    pub reason: String,
}

enum Role {
    Server,
    /// With the source of the keys that its frames are masked with.
    Client(Box<dyn FnMut() -> [u8; 4] + Send>),
}

#[derive(Clone, Copy)]
struct Frame {
    kind: FrameKind,
    is_final: bool,
    key: [u8; 4],
    /// How much of the payload is still to come.
    missing: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Data(Kind),
    Ping,
    Pong,
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Not,
    /// Our close frame is written.
    Begun,
    /// The peer's has come.
    Done,
}

impl WebSocket {
    /// The server's side. No message of the client may be longer than `max_message` bytes.
    #[must_use]
    pub fn server(max_message: usize) -> Self {
        Self::new(Role::Server, max_message)
    }

    /// The client's side. `key` gives what the next frame is masked with: nobody may be able to guess it.
    #[must_use]
    pub fn client(max_message: usize, key: impl FnMut() -> [u8; 4] + Send + 'static) -> Self {
        Self::new(Role::Client(Box::new(key)), max_message)
    }

    fn new(role: Role, max_message: usize) -> Self {
        Self {
            role,
            max_message,
            head: Head::default(),
            frame: None,
            message: None,
            payload: Vec::new(),
            checked: 0,
            control: Vec::new(),
            closing: Closing::Not,
        }
    }

    /// Allows messages up to `max_message` bytes.
    pub fn set_max_message(&mut self, max_message: usize) {
        self.max_message = max_message;
    }

    /// Takes bytes off `input` until they make a message; `None` when they are used up before.
    /// Answers to pings and closes are appended to `output`. After a close it takes no more.
    ///
    /// # Errors
    ///
    /// [`Violation`] says how the peer breaks the rules. Nothing may be read after it.
    pub fn read(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<Option<Incoming>, Violation> {
        while self.closing != Closing::Done {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.head.read(input)? {
                    Some(head) => self.begin(head)?,
                    None => return Ok(None),
                },
            };
            let is_whole = self.take_payload(frame, input);
            if !is_whole {
                return Ok(None);
            }
            self.frame = None;
            let incoming = match frame.kind {
                FrameKind::Data(kind) => self.end_of_data(kind, frame.is_final)?.map(Incoming::Packet),
                control => self.end_of_control(control, output)?,
            };
            if incoming.is_some() {
                return Ok(incoming);
            }
        }
        *input = &[];
        Ok(None)
    }

    /// Appends `packet` to `output` as one message.
    pub fn write(&mut self, packet: PacketRef<'_>, output: &mut Vec<u8>) {
        match packet {
            PacketRef::Text(text) => self.write_frame(OPCODE_TEXT, text.as_bytes(), output),
            PacketRef::Binary(bytes) => self.write_frame(OPCODE_BINARY, bytes, output),
        }
    }

    /// Appends the close frame: a code, and `reason` as its text, cut to what a close frame holds. Only the first counts.
    pub fn close(&mut self, code: u16, reason: &str, output: &mut Vec<u8>) {
        if self.closing == Closing::Not {
            self.closing = Closing::Begun;
            self.write_close(code, reason, output);
        }
    }

    /// Checks what a frame's head says, and makes room for its payload.
    fn begin(&mut self, (opcode, is_final, key, length): frame::Header) -> Result<Frame, Violation> {
        let key = match (&self.role, key) {
            (Role::Server, Some(key)) => key,
            (Role::Client(_), None) => [0; 4],
            (Role::Server, None) => return Err(Violation::Protocol("a frame of the client is unmasked")),
            (Role::Client(_), Some(_)) => return Err(Violation::Protocol("a frame of the server is masked")),
        };
        let kind = match (opcode, self.message) {
            (OPCODE_CONTINUATION, Some(kind)) => FrameKind::Data(kind),
            (OPCODE_CONTINUATION, None) => return Err(Violation::Protocol("there is nothing to continue")),
            (OPCODE_TEXT | OPCODE_BINARY, Some(_)) => {
                return Err(Violation::Protocol("a message begins within another one"));
            }
            (OPCODE_TEXT, None) => FrameKind::Data(Kind::Text),
            (OPCODE_BINARY, None) => FrameKind::Data(Kind::Binary),
            (OPCODE_PING, _) => FrameKind::Ping,
            (OPCODE_PONG, _) => FrameKind::Pong,
            (OPCODE_CLOSE, _) => FrameKind::Close,
            _ => return Err(Violation::Protocol("a frame has a reserved opcode")),
        };
        let missing = if let FrameKind::Data(_) = kind {
            let length =
                usize::try_from(length).ok().filter(|&it| it <= self.max_message.saturating_sub(self.payload.len()));
            let length = length.ok_or(Violation::TooLong { max: self.max_message })?;
            // What is only announced gets no more room than this.
            self.payload.reserve_exact(length.min(ROOM_AT_ONCE));
            length
        } else {
            if length > CONTROL_BYTES as u64 {
                return Err(Violation::Protocol("a control frame is longer than 125 bytes"));
            }
            if !is_final {
                return Err(Violation::Protocol("a control frame is fragmented"));
            }
            length as usize
        };
        let frame = Frame { kind, is_final, key, missing };
        self.frame = Some(frame);
        Ok(frame)
    }

    /// Takes what there is of a frame's payload; says whether that was the last of it.
    fn take_payload(&mut self, mut frame: Frame, input: &mut &[u8]) -> bool {
        let (taken, rest) = input.split_at(frame.missing.min(input.len()));
        *input = rest;
        let payload = if let FrameKind::Data(_) = frame.kind { &mut self.payload } else { &mut self.control };
        let before = payload.len();
        payload.extend_from_slice(taken);
        if frame.key != [0; 4] {
            frame::mask(&mut payload[before..], frame.key);
        }
        frame.missing -= taken.len();
        if frame.missing == 0 {
            return true;
        }
        frame.key.rotate_left(taken.len() % 4);
        self.frame = Some(frame);
        false
    }

    fn end_of_data(&mut self, kind: Kind, is_final: bool) -> Result<Option<Packet>, Violation> {
        if !is_final {
            self.message = Some(kind);
            if kind == Kind::Text {
                self.check_start()?;
            }
            return Ok(None);
        }
        self.message = None;
        self.checked = 0;
        let payload = std::mem::take(&mut self.payload);
        Ok(Some(match kind {
            Kind::Binary => Packet::Binary(Bytes::from(payload)),
            Kind::Text => Packet::Text(Text::from_bytes(payload).map_err(|_| Violation::Utf8)?),
        }))
    }

    /// A text that goes wrong early is refused early. Its last character may be cut in two.
    fn check_start(&mut self) -> Result<(), Violation> {
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::Utf8),
        }
        Ok(())
    }

    fn end_of_control(&mut self, kind: FrameKind, output: &mut Vec<u8>) -> Result<Option<Incoming>, Violation> {
        let payload = std::mem::take(&mut self.control);
        match kind {
            FrameKind::Ping if self.closing == Closing::Not => self.write_frame(OPCODE_PONG, &payload, output),
            FrameKind::Close => {
                let frame = CloseFrame::decode(&payload)?;
                if self.closing == Closing::Not {
                    match &frame {
                        Some(frame) => self.write_close(frame.code, &frame.reason, output),
                        None => self.write_frame(OPCODE_CLOSE, &[], output),
                    }
                }
                self.closing = Closing::Done;
                return Ok(Some(Incoming::Close(frame)));
            }
            _ => {}
        }
        Ok(None)
    }

    fn write_close(&mut self, code: u16, reason: &str, output: &mut Vec<u8>) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(text::prefix(reason, CONTROL_BYTES - 2).as_bytes());
        self.write_frame(OPCODE_CLOSE, &payload, output);
    }

    fn write_frame(&mut self, opcode: u8, payload: &[u8], output: &mut Vec<u8>) {
        let key = match &mut self.role {
            Role::Server => None,
            Role::Client(key) => Some(key()),
        };
        frame::write(opcode, key, payload, output);
    }
}

impl CloseFrame {
    fn decode(payload: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            let none = payload.is_empty().then_some(None);
            return none.ok_or(Violation::Protocol("a close frame has half a code"));
        };
        let code = u16::from_be_bytes(*code);
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err(Violation::Protocol("a close frame has a code that none may have"));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?.to_owned();
        Ok(Some(Self { code, reason }))
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

/// What a ping, pong or close may carry.
const CONTROL_BYTES: usize = 125;
/// How much room a message gets before its bytes are there.
const ROOM_AT_ONCE: usize = 64 * 1024;
