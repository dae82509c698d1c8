//! Frames of any kind to a real server after a good handshake: what WebSocket makes of them, and the socket's task.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use rtm_codec::{ClientFrame, ClientWire, Packet, PacketRef, RequestId, Seq, Text, Wire, native::SUBPROTOCOL};

use crate::{
    call::{Call, Device, Raw},
    http::exchange,
};

/// What a client writes next.
#[derive(Debug, Arbitrary)]
enum Step {
    /// A frame of the protocol as its codec writes it.
    Login(Device),
    Call(Call),
    Ack(u8),
    Ping,
    Logout,
    /// A WebSocket frame: its first byte as it is, its payload masked.
    Frame {
        first: u8,
        mask: [u8; 4],
        payload: Raw,
    },
    /// Bytes below that.
    Raw(Raw),
}

/// A server's socket against any frames: the connection ends, and whatever is said can be read.
pub fn websocket(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok(native) = bool::arbitrary(&mut input) else { return };
    let wire = if native { Wire::Native } else { Wire::Vendor };
    let mut codec = ClientWire::new(wire);
    let mut output = handshake(wire);
    let mut next = 1;
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        let frame = match step {
            Step::Login(device) => ClientFrame::Login(Box::new(device.login())),
            Step::Call(call) => {
                next += 1;
                ClientFrame::Request { id: RequestId(next), command: call.command() }
            }
            Step::Ack(number) => {
                let seq = Seq(number.into());
                ClientFrame::Ack { received: seq, consumed: seq, answered: RequestId(next) }
            }
            Step::Ping => ClientFrame::Ping,
            Step::Logout => ClientFrame::Logout,
            Step::Frame { first, mask, payload: Raw(payload) } => {
                write(first, mask, &payload, &mut output);
                continue;
            }
            Step::Raw(Raw(bytes)) => {
                output.extend(bytes);
                continue;
            }
        };
        codec.encode(&frame);
        codec.drain(|packet| match packet {
            PacketRef::Text(text) => write(FINAL | TEXT, [0; 4], text.as_bytes(), &mut output),
            PacketRef::Binary(bytes) => write(FINAL | BINARY, [0; 4], bytes, &mut output),
        });
        while codec.take_frame().is_some() {}
    }
    let answer = exchange(&output);
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a handshake is answered");
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "a good handshake is taken");
    read(&answer[head + 4..], wire, &mut codec);
}

fn handshake(wire: Wire) -> Vec<u8> {
    let protocol = match wire {
        Wire::Native => format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"),
        _ => String::new(),
    };
    format!(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{protocol}\r\n"
    )
    .into_bytes()
}

/// Appends a client's frame.
fn write(first: u8, mask: [u8; 4], payload: &[u8], output: &mut Vec<u8>) {
    output.push(first);
    match payload.len() {
        len @ 0..126 => output.push(MASKED | len as u8),
        len @ 126..65_536 => {
            output.push(MASKED | 126);
            output.extend((len as u16).to_be_bytes());
        }
        len => {
            output.push(MASKED | 127);
            output.extend((len as u64).to_be_bytes());
        }
    }
    output.extend(mask);
    output.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Reads a server's frames: each whole message is one that the codec can read. The last frame may be cut off.
fn read(mut bytes: &[u8], wire: Wire, codec: &mut ClientWire) {
    let mut frames = Vec::new();
    let mut is_closed = false;
    while let Some((head, rest)) = bytes.split_first_chunk::<2>() {
        assert!(!is_closed, "nothing comes after a close");
        assert_eq!(head[1] & MASKED, 0, "a server masks nothing");
        let (len, rest) = match head[1] {
            126 => match rest.split_first_chunk() {
                Some((len, rest)) => (u16::from_be_bytes(*len).into(), rest),
                None => return,
            },
            127 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len) as usize, rest),
                None => return,
            },
            len => (len.into(), rest),
        };
        let Some((payload, rest)) = rest.split_at_checked(len) else { return };
        bytes = rest;
        let packet = match (head[0], wire) {
            (first, Wire::Vendor) if first == FINAL | TEXT => {
                Packet::Text(Text::from(str::from_utf8(payload).expect("a text is UTF-8")))
            }
            (first, Wire::Native) if first == FINAL | BINARY => Packet::Binary(Bytes::copy_from_slice(payload)),
            (CLOSE, _) => {
                is_closed = true;
                continue;
            }
            (PONG, _) => continue,
            (first, wire) => panic!("a server of the wire {wire:?} sends a frame {first:#x}"),
        };
        codec.decode(packet, &mut frames).expect("what a server writes is readable");
    }
}

const FINAL: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = FINAL | 8;
const PONG: u8 = FINAL | 10;
const MASKED: u8 = 0x80;
const MOST_STEPS: usize = 64;
