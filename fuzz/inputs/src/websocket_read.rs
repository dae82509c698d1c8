//! WebSocket frames in pieces of any size: what is read of them, beside what tungstenite reads.

use std::io::{self, Read, Write};

use arbitrary::{Arbitrary, Unstructured};
use async_tungstenite::tungstenite::{
    Error, Message,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};
use rtm_codec::{
    Packet, PacketRef,
    websocket::{Incoming, Violation, WebSocket},
};

use crate::call::Raw;

/// What the peer writes next.
#[derive(Debug, Arbitrary)]
enum Step {
    /// A frame: its first byte as it is, its length in the shortest way or a longer one.
    Frame { first: u8, key: [u8; 4], odd: u8, length: Length, payload: Raw },
    /// Bytes below that.
    Raw(Raw),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Length {
    Shortest,
    In16Bits,
    In64Bits,
}

/// All that came of a peer's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    messages: Vec<Packet>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// There may be more.
    Open,
    Closed(Option<(u16, String)>),
    /// Ours says how.
    Refused(Option<Violation>),
}

/// Both sides against any frames: however these are cut, the same comes of them, and tungstenite agrees.
pub fn websocket_read(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok((is_server, cuts)) = <(bool, [u8; 4])>::arbitrary(&mut input) else { return };
    let mut stream = Vec::new();
    while !input.is_empty() && stream.len() < MOST_BYTES {
        match Step::arbitrary(&mut input) {
            Ok(Step::Frame { first, key, odd, length, payload: Raw(payload) }) => {
                // Nearly all are masked as they have to be, or none would be read behind them.
                let is_masked = is_server != (odd == 0xff);
                let key = is_masked.then_some(key);
                write(first, key, length, &payload, &mut stream);
            }
            Ok(Step::Raw(Raw(raw))) => stream.extend(raw),
            Err(_) => break,
        }
    }
    let in_pieces = pieces(is_server, &stream, cuts);
    let (whole, answers) = read(is_server, [&stream[..]].into_iter());
    assert_eq!((&whole, answers), (&in_pieces.0, in_pieces.1));
    compare(&whole, is_server, stream);
}

/// The same bytes, cut again and again as the numbers say.
fn pieces(is_server: bool, stream: &[u8], cuts: [u8; 4]) -> (Outcome, Vec<u8>) {
    let mut rest = stream;
    let mut cuts = cuts.into_iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let len = usize::from(cuts.next()?).max(1).min(rest.len());
        let (piece, after) = rest.split_at(len);
        rest = after;
        (len > 0).then_some(piece)
    });
    read(is_server, pieces)
}

/// What ours makes of them, and answers.
fn read<'a>(is_server: bool, pieces: impl Iterator<Item = &'a [u8]>) -> (Outcome, Vec<u8>) {
    let mut socket = if is_server { WebSocket::server(MOST) } else { WebSocket::client(MOST, || [1, 2, 3, 4]) };
    let (mut messages, mut answers) = (Vec::new(), Vec::new());
    for mut piece in pieces {
        let end = loop {
            match socket.read(&mut piece, &mut answers) {
                Ok(Some(Incoming::Packet(packet))) => {
                    let len = match packet.as_ref() {
                        PacketRef::Text(text) => text.len(),
                        PacketRef::Binary(bytes) => bytes.len(),
                    };
                    assert!(len <= MOST, "a message is longer than is allowed");
                    messages.push(packet);
                }
                Ok(Some(Incoming::Close(frame))) => break End::Closed(frame.map(|frame| (frame.code, frame.reason))),
                Ok(None) => break End::Open,
                Err(violation) => break End::Refused(Some(violation)),
            }
        };
        assert!(end != End::Open || piece.is_empty(), "bytes are left");
        if end != End::Open {
            return (Outcome { messages, end }, answers);
        }
    }
    (Outcome { messages, end: End::Open }, answers)
}

/// What tungstenite makes of them.
fn read_by_tungstenite(is_server: bool, stream: Vec<u8>) -> Outcome {
    let role = if is_server { Role::Server } else { Role::Client };
    let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
    let (mut socket, mut pipe) = (WebSocketContext::new(role, Some(config)), Pipe(io::Cursor::new(stream)));
    let mut messages = Vec::new();
    loop {
        match socket.read(&mut pipe) {
            Ok(Message::Text(text)) => messages.push(Packet::Text(text.as_str().into())),
            Ok(Message::Binary(bytes)) => messages.push(Packet::Binary(bytes)),
            Ok(Message::Close(frame)) => {
                let close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                return Outcome { messages, end: End::Closed(close) };
            }
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Outcome { messages, end: End::Open };
            }
            Err(_) => return Outcome { messages, end: End::Refused(None) },
        }
    }
}

fn compare(ours: &Outcome, is_server: bool, mut stream: Vec<u8>) {
    if let End::Refused(Some(violation)) = &ours.end {
        if matches!(violation, Violation::Protocol(what) if what.contains("length")) {
            // It takes lengths that are written longer than they have to be, and goes on.
            let theirs = read_by_tungstenite(is_server, stream);
            assert!(theirs.messages.starts_with(&ours.messages), "{ours:?}\n{theirs:?}");
            return;
        }
        // It looks at a frame when that is whole.
        stream.resize(stream.len() + MOST + 64, 0);
    }
    let theirs = read_by_tungstenite(is_server, stream);
    assert_eq!(ours.messages, theirs.messages, "{:?}, {:?}", ours.end, theirs.end);
    match (&ours.end, &theirs.end) {
        (End::Open, End::Open) => {}
        // That code was given out after it was written.
        (End::Closed(Some((BAD_GATEWAY, _))), End::Closed(_)) => {}
        (End::Closed(ours), End::Closed(theirs)) => assert_eq!(ours, theirs),
        // It takes a close with a code that none may have for one with 1002.
        (End::Refused(_), End::Refused(_) | End::Closed(_)) => {}
        (ours, theirs) => panic!("{ours:?}, {theirs:?}"),
    }
}

/// Appends a frame.
fn write(first: u8, key: Option<[u8; 4]>, length: Length, payload: &[u8], stream: &mut Vec<u8>) {
    let masked = if key.is_some() { MASKED } else { 0 };
    stream.push(first);
    match (payload.len(), length) {
        (len @ 0..126, Length::Shortest) => stream.push(masked | len as u8),
        (len @ 0..65_536, Length::Shortest | Length::In16Bits) => {
            stream.push(masked | 126);
            stream.extend((len as u16).to_be_bytes());
        }
        (len, _) => {
            stream.push(masked | 127);
            stream.extend((len as u64).to_be_bytes());
        }
    }
    stream.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    stream.extend(payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// Bytes to read, and nobody who reads what is written.
struct Pipe(io::Cursor<Vec<u8>>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const MASKED: u8 = 0x80;
const BAD_GATEWAY: u16 = 1014;
/// What a message may have.
const MOST: usize = 1000;
const MOST_BYTES: usize = 64 * 1024;
