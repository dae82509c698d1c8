//! Encoding and decoding one message event, on both wires and as others do it.
//!
//! Every candidate carries the same message. Ours add what a frame needs: its length, the event's number, and the
//! checking of ids; the rivals do not. What is measured is the time of the thread on its processor, so that a busy
//! machine disturbs little.

#![expect(clippy::exhaustive_enums, clippy::exhaustive_structs, reason = "it is not published")]

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use rtm_codec::{ClientFrame, ClientWire, Packet, RequestId, Seq, ServerFrame, ServerWire, SharedEvent, Text, Wire};

use crate::clock::{batches, now};

mod message;

use message::{BincodeEvent, BorrowedEvent, Envelope, JsonMessage, Message, OwnedEnvelope, ProstEvent};

/// One way to do it.
pub struct Candidate {
    /// What it is called.
    pub name: &'static str,
    run: Box<dyn FnMut(u64) -> Duration>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Candidate {
    /// Does it `iterations` times, and says how long that took.
    pub fn run(&mut self, iterations: u64) -> Duration {
        (self.run)(iterations)
    }

    /// How often it is done in about this time.
    pub fn times_in(&mut self, time: Duration) -> u64 {
        self.run(1000);
        let once = self.run(1000).max(Duration::from_micros(1)) / 1000;
        (time.as_nanos() / once.as_nanos().max(1)) as u64 + 1
    }
}

/// Which way a message goes through a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Into bytes.
    Encode,
    /// Out of them.
    Decode,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Encode, Self::Decode];

    /// The candidates.
    #[must_use]
    pub fn candidates(self, size: Size) -> Vec<Candidate> {
        match self {
            Self::Encode => encoders(size),
            Self::Decode => decoders(size),
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
        })
    }
}

/// The text of a message.
#[derive(Debug, Clone, Copy)]
pub enum Size {
    /// This many bytes of ASCII, with a quote here and there.
    Ascii(usize),
    /// This many bytes of Chinese.
    Chinese(usize),
}

impl Size {
    /// The sizes that are measured.
    pub const ALL: [Self; 7] = [
        Self::Ascii(32),
        Self::Ascii(64),
        Self::Ascii(256),
        Self::Ascii(1024),
        Self::Ascii(4096),
        Self::Ascii(32_768),
        Self::Chinese(4096),
    ];

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Ascii(bytes) | Self::Chinese(bytes) => bytes,
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ascii(bytes) => write!(f, "{bytes} B"),
            Self::Chinese(bytes) => write!(f, "{bytes} B of Chinese"),
        }
    }
}

/// What the project wants of its codec.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// Which way.
    pub way: Way,
    /// At which size.
    pub size: Size,
    /// The candidate of ours.
    pub ours: &'static str,
    /// The one it is held against.
    pub theirs: &'static str,
    /// How much of its time ours may take.
    pub at_most: f64,
}

/// All goals of the codec.
#[must_use]
pub fn goals() -> Vec<Goal> {
    let goal = |way, size, ours, theirs, at_most| Goal { way, size, ours, theirs, at_most };
    let mut goals = Vec::new();
    for size in [Size::Ascii(64), Size::Ascii(1024)] {
        goals.push(goal(Way::Encode, size, NATIVE, BINCODE, 1.1));
        goals.push(goal(Way::Encode, size, NATIVE, PROST, 0.4));
    }
    for (size, at_most) in [
        (Size::Ascii(32), 0.75),
        (Size::Ascii(256), 0.6),
        (Size::Ascii(4096), 0.5),
        (Size::Ascii(32_768), 0.5),
        (Size::Chinese(4096), 0.12),
    ] {
        goals.push(goal(Way::Decode, size, NATIVE, BINCODE, at_most));
    }
    for size in Size::ALL {
        goals.push(goal(Way::Encode, size, VENDOR, JSON_TWICE, 0.5));
        goals.push(goal(Way::Decode, size, VENDOR, JSON_TWICE, 0.6));
    }
    goals
}

/// The ways to encode a message of this size.
fn encoders(size: Size) -> Vec<Candidate> {
    let messages = Message::all(size);
    let frames: Vec<ServerFrame> = messages.iter().map(Message::frame).collect();
    let events: Vec<SharedEvent> = messages.iter().map(|message| SharedEvent::new(message.event())).collect();
    let shown = |codec: &mut ServerWire| codec.drain(|packet| _ = black_box(packet));
    let encoded = move |codec: &mut ServerWire, frame: &ServerFrame| {
        codec.encode(frame);
        shown(codec);
    };
    let shared = move |codec: &mut ServerWire, event: &SharedEvent| {
        codec.encode_event(Seq(1000), event);
        shown(codec);
    };
    let taken = |codec: &mut ServerWire, frame: &ServerFrame| {
        codec.encode(frame);
        _ = black_box(codec.take_packet());
    };
    let (mut slice, mut prost, mut once, mut twice) = (vec![0; 64 * 1024], vec![], vec![], vec![]);
    vec![
        written(NATIVE, Wire::Native, frames.clone(), encoded),
        copied(&messages),
        written(NATIVE_TAKEN, Wire::Native, frames.clone(), taken),
        written(NATIVE_SHARED, Wire::Native, events.clone(), shared),
        written(VENDOR, Wire::Vendor, frames, encoded),
        written(VENDOR_SHARED, Wire::Vendor, events, shared),
        each(BINCODE, messages.iter().map(Message::bincode), move |event| {
            _ = black_box(bincode::encode_into_slice(event, &mut slice, bincode::config::standard()));
        }),
        each(PROST, messages.iter().map(Message::prost), move |event| {
            prost.clear();
            _ = black_box(event.encode(&mut prost));
        }),
        each(JSON, messages.iter().map(Message::json), move |event| {
            once.clear();
            _ = black_box(serde_json::to_writer(&mut once, event));
        }),
        each(JSON_TWICE, messages.iter().map(Message::json), move |event| {
            twice.clear();
            if let Ok(content) = serde_json::to_string(event) {
                let envelope = Envelope { cmd: "RecvMsgFromPeer", encrypt: false, content: &content };
                _ = black_box(serde_json::to_writer(&mut twice, &envelope));
            }
        }),
    ]
}

/// The ways to decode a message of this size.
fn decoders(size: Size) -> Vec<Candidate> {
    let messages = Message::all(size);
    let standard = bincode::config::standard();
    let bincode: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| bincode::encode_to_vec(message.bincode(), standard).expect("memory takes everything"))
        .collect();
    vec![
        read(NATIVE, Wire::Native, &messages),
        copied(&messages),
        read(VENDOR, Wire::Vendor, &messages),
        each(BINCODE, bincode.clone(), move |bytes| {
            _ = black_box(bincode::decode_from_slice::<BincodeEvent, _>(bytes, standard));
        }),
        each(BINCODE_BORROWED, bincode, move |bytes| {
            _ = black_box(bincode::borrow_decode_from_slice::<BorrowedEvent<'_>, _>(bytes, standard));
        }),
        each(PROST, messages.iter().map(|message| message.prost().encode_to_vec()), |bytes| {
            _ = black_box(ProstEvent::decode(&bytes[..]));
        }),
        each(JSON, messages.iter().map(|message| serde_json::to_vec(&message.json())), |text| {
            if let Ok(text) = text {
                _ = black_box(serde_json::from_slice::<JsonMessage>(text));
            }
        }),
        each(JSON_TWICE, packets(Wire::Vendor, &messages), |packet| {
            if let Packet::Text(text) = packet
                && let Ok(envelope) = serde_json::from_str::<OwnedEnvelope>(text)
            {
                _ = black_box(serde_json::from_str::<JsonMessage>(&envelope.content));
            }
        }),
    ]
}

/// The texts alone, each copied into the same memory.
fn copied(messages: &[Message]) -> Candidate {
    let mut copy = Vec::new();
    each(MEMCPY, messages.iter().map(|message| message.text().to_owned()), move |text| {
        copy.clear();
        copy.extend_from_slice(text.as_bytes());
        black_box(&copy);
    })
}

/// `run` on one input after the other.
fn each<I: 'static>(
    name: &'static str,
    inputs: impl IntoIterator<Item = I>,
    mut run: impl FnMut(&I) + 'static,
) -> Candidate {
    let inputs: Vec<I> = inputs.into_iter().collect();
    let run = move |iterations| {
        let started = now();
        for input in inputs.iter().cycle().take(iterations as usize) {
            run(black_box(input));
        }
        now() - started
    };
    Candidate { name, run: Box::new(run) }
}

/// `run` on a server's codec and one input after the other.
fn written<I: 'static>(
    name: &'static str,
    wire: Wire,
    inputs: Vec<I>,
    mut run: impl FnMut(&mut ServerWire, &I) + 'static,
) -> Candidate {
    let mut codec = ServerWire::new(wire);
    let run = move |iterations| {
        batches(iterations)
            .map(|batch| {
                if wire == Wire::Vendor {
                    // It remembers what is not acknowledged.
                    codec = ServerWire::new(wire);
                }
                let started = now();
                for input in inputs.iter().cycle().take(batch) {
                    run(black_box(&mut codec), black_box(input));
                }
                now() - started
            })
            .sum()
    };
    Candidate { name, run: Box::new(run) }
}

/// A client's codec on the packets of a server, each of which it is given to keep.
fn read(name: &'static str, wire: Wire, messages: &[Message]) -> Candidate {
    let (packets, mut codec, mut frames) = (packets(wire, messages), ClientWire::new(wire), Vec::new());
    let run = move |iterations| {
        batches(iterations)
            .map(|batch| {
                // The vendor's wire remembers what is not acknowledged.
                let all = Seq(u64::MAX);
                codec.encode(&ClientFrame::Ack { received: all, consumed: all, answered: RequestId(0) });
                while codec.take_packet().is_some() {}
                let batch: Vec<Packet> = packets.iter().cycle().take(batch).cloned().collect();
                let started = now();
                for packet in batch {
                    black_box(codec.decode(packet, &mut frames)).expect("a codec reads what its other half wrote");
                    black_box(&mut frames).clear();
                }
                now() - started
            })
            .sum()
    };
    Candidate { name, run: Box::new(run) }
}

/// What a server sends for each message, each packet in memory of its own as it is when it was received.
fn packets(wire: Wire, messages: &[Message]) -> Vec<Packet> {
    let mut codec = ServerWire::new(wire);
    let mut packets = Vec::new();
    for message in messages {
        codec.encode(&message.frame());
        while let Some(packet) = codec.take_packet() {
            packets.push(match packet {
                Packet::Text(text) => Packet::Text(Text::from(text.as_str())),
                Packet::Binary(bytes) => Packet::Binary(Bytes::copy_from_slice(&bytes)),
            });
        }
    }
    assert_eq!(packets.len(), messages.len(), "one packet for each message");
    packets
}

/// The text copied, and nothing else.
pub const MEMCPY: &str = "memcpy of the text";
/// A server's native frame into a buffer that is used again and again.
pub const NATIVE: &str = "native";
/// The same, each packet handed out with its own bytes.
pub const NATIVE_TAKEN: &str = "native, each packet taken";
/// An event that is encoded already, for one receiver more.
pub const NATIVE_SHARED: &str = "native, one of many receivers";
/// The vendor's JSON.
pub const VENDOR: &str = "vendor";
/// The vendor's JSON of an event that is encoded already, for one receiver more.
pub const VENDOR_SHARED: &str = "vendor, one of many receivers";
/// bincode 2's derive: encodes into a slice, decodes into owned strings.
pub const BINCODE: &str = "bincode 2 derive";
/// bincode 2's derive into borrowed strings.
pub const BINCODE_BORROWED: &str = "bincode 2 derive, borrowed";
/// prost's derive.
pub const PROST: &str = "prost";
/// serde_json once, without the vendor's envelope.
pub const JSON: &str = "serde_json";
/// serde_json twice, for the message and for the vendor's envelope around it.
pub const JSON_TWICE: &str = "serde_json, two passes";
