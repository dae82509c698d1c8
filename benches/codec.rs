//! Encoding and decoding one message event, on both wires and as others do it, for texts of five sizes.
//!
//! `cargo bench -p benches --bench codec`, or `… -- decode/256` for a part of it. Every candidate carries
//! the same message; ours add what a frame needs (its length, the event's number, and the checking of
//! ids), the rivals do not.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use prost::Message as _;
use rtm_codec::{
    ClientFrame, ClientWire, Event, MessageId, Packet, PeerMessage, RequestId, RtmMessage, Seq, ServerFrame,
    ServerWire, SharedEvent, Text, UserId, Wire,
};

/// As many are measured at once; what has to be made ready for them is not.
const BATCH: usize = 64;
/// As many different messages take turns.
const MESSAGES: usize = 16;

fn encode(c: &mut Criterion) {
    for (size, messages) in sizes() {
        let mut group = c.benchmark_group(format!("encode/{size}"));
        group.throughput(Throughput::Bytes(messages[0].text.len() as u64));
        let frames: Vec<ServerFrame> = messages.iter().map(Message::frame).collect();
        let events: Vec<SharedEvent> = messages.iter().map(|message| SharedEvent::new(message.event())).collect();

        for (name, wire) in [("native", Wire::Native), ("vendor", Wire::Vendor)] {
            written(&mut group, name, wire, &frames, |codec, frame| {
                codec.encode(frame);
                codec.drain(|packet| _ = black_box(packet));
            });
            written(&mut group, &format!("{name}, each packet taken"), wire, &frames, |codec, frame| {
                codec.encode(frame);
                black_box(codec.take_packet());
            });
            written(&mut group, &format!("{name}, one of many receivers"), wire, &events, |codec, event| {
                codec.encode_event(Seq(1000), event);
                codec.drain(|packet| _ = black_box(packet));
            });
        }

        let (shapes, mut slice) = (messages.each_ref().map(Message::bincode), vec![0; 64 * 1024]);
        each(&mut group, "bincode 2 derive, slice", &shapes, |event| {
            bincode::encode_into_slice(event, &mut slice, bincode::config::standard())
        });
        let (shapes, mut buffer) = (messages.each_ref().map(Message::prost), Vec::with_capacity(64 * 1024));
        each(&mut group, "prost", &shapes, |event| {
            buffer.clear();
            event.encode(&mut buffer)
        });
        let (shapes, mut buffer) = (messages.each_ref().map(Message::json), Vec::with_capacity(128 * 1024));
        each(&mut group, "serde_json", &shapes, |event| {
            buffer.clear();
            serde_json::to_writer(&mut buffer, event)
        });
        let mut buffer = Vec::with_capacity(128 * 1024);
        each(&mut group, "serde_json, two passes", &shapes, |event| {
            buffer.clear();
            let content = serde_json::to_string(event)?;
            serde_json::to_writer(&mut buffer, &Envelope { cmd: "RecvMsgFromPeer", encrypt: false, content: &content })
        });
    }
}

fn decode(c: &mut Criterion) {
    for (size, messages) in sizes() {
        let mut group = c.benchmark_group(format!("decode/{size}"));
        group.throughput(Throughput::Bytes(messages[0].text.len() as u64));

        for (name, wire) in [("native", Wire::Native), ("vendor", Wire::Vendor)] {
            let packets = packets(wire, &messages);
            group.bench_function(name, |b| {
                let mut frames = Vec::new();
                b.iter_custom(|iterations| {
                    let mut codec = ClientWire::new(wire);
                    let mut taken = Duration::ZERO;
                    for batch in batches(iterations) {
                        // The vendor's wire remembers what is not acknowledged.
                        codec.encode(&ClientFrame::Ack {
                            received: Seq(u64::MAX),
                            consumed: Seq(u64::MAX),
                            answered: RequestId(0),
                        });
                        while codec.take_packet().is_some() {}
                        let batch: Vec<Packet> = packets.iter().cycle().take(batch).cloned().collect();
                        let started = Instant::now();
                        for packet in batch {
                            black_box(codec.decode(packet, &mut frames)).expect("a codec reads what its half wrote");
                            black_box(&mut frames).clear();
                        }
                        taken += started.elapsed();
                    }
                    taken
                });
            });
        }

        let standard = bincode::config::standard();
        let encoded = messages
            .each_ref()
            .map(|message| bincode::encode_to_vec(message.bincode(), standard).expect("memory takes everything"));
        each(&mut group, "bincode 2 derive, owned", &encoded, |bytes| {
            bincode::decode_from_slice::<BincodeEvent, _>(bytes, standard)
        });
        each(&mut group, "bincode 2 derive, borrowed", &encoded, |bytes| {
            black_box(bincode::borrow_decode_from_slice::<BorrowedEvent<'_>, _>(bytes, standard)).is_ok()
        });
        let encoded = messages.each_ref().map(|message| message.prost().encode_to_vec());
        each(&mut group, "prost", &encoded, |bytes| ProstEvent::decode(&bytes[..]));
        let encoded = messages.each_ref().map(|message| serde_json::to_string(&message.json()).unwrap_or_default());
        each(&mut group, "serde_json", &encoded, |text| serde_json::from_str::<JsonMessage>(text));
        let encoded = packets(Wire::Vendor, &messages);
        each(&mut group, "serde_json, two passes", &encoded, |packet| {
            let Packet::Text(text) = packet else { return None };
            let envelope: OwnedEnvelope = serde_json::from_str(text).ok()?;
            serde_json::from_str::<JsonMessage>(&envelope.content).ok()
        });
    }
}

/// Measures `run` on one input after the other.
fn each<I, O>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, inputs: &[I], mut run: impl FnMut(&I) -> O) {
    let mut inputs = inputs.iter().cycle();
    group.bench_function(name, |b| b.iter(|| black_box(inputs.next().map(|input| run(black_box(input))))));
}

/// Measures `run` on a server's codec and one input after the other.
fn written<I>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    wire: Wire,
    inputs: &[I],
    mut run: impl FnMut(&mut ServerWire, &I),
) {
    group.bench_function(name, |b| {
        let mut codec = ServerWire::new(wire);
        let mut inputs = inputs.iter().cycle();
        b.iter_custom(|iterations| {
            let mut taken = Duration::ZERO;
            for batch in batches(iterations) {
                if wire == Wire::Vendor {
                    // It remembers what is not acknowledged.
                    codec = ServerWire::new(wire);
                }
                let started = Instant::now();
                for input in inputs.by_ref().take(batch) {
                    run(black_box(&mut codec), black_box(input));
                }
                taken += started.elapsed();
            }
            taken
        });
    });
}

fn batches(iterations: u64) -> impl Iterator<Item = usize> {
    (0..iterations).step_by(BATCH).map(move |done| BATCH.min((iterations - done) as usize))
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

/// The sizes and, for each, messages that differ in everything.
fn sizes() -> Vec<(&'static str, [Message; MESSAGES])> {
    let ascii = |len: usize| {
        move |i: usize| "It's \"just\" a message, as people send them. ".chars().cycle().skip(i).take(len).collect()
    };
    let chinese = |i: usize| "实时消息的内容，与事件流的测试。".chars().cycle().skip(i).take(4096 / 3).collect();
    vec![
        ("32", std::array::from_fn(|i| Message::new(i, ascii(32)(i)))),
        ("256", std::array::from_fn(|i| Message::new(i, ascii(256)(i)))),
        ("4096", std::array::from_fn(|i| Message::new(i, ascii(4096)(i)))),
        ("32768", std::array::from_fn(|i| Message::new(i, ascii(32_768)(i)))),
        ("4096-chinese", std::array::from_fn(|i| Message::new(i, chinese(i)))),
    ]
}

struct Message {
    message_id: u64,
    peer_id: String,
    text: String,
    server_received_ts: u64,
    is_offline_message: bool,
}

impl Message {
    fn new(i: usize, text: String) -> Self {
        Self {
            // Thirteen digits, as the vendor's SDK makes them.
            message_id: 1_234_567_890_123 + 7919 * i as u64,
            peer_id: format!("user-{:07}", i * 31),
            text,
            server_received_ts: 1_700_000_000_000 + i as u64,
            is_offline_message: i.is_multiple_of(3),
        }
    }

    fn event(&self) -> Event {
        Event::MessageFromPeer(PeerMessage {
            message_id: MessageId(self.message_id),
            peer_id: UserId::new(&self.peer_id).expect("the id has allowed characters"),
            message: RtmMessage::text(self.text.as_str()),
            is_offline_message: self.is_offline_message,
            server_received_ts: self.server_received_ts,
        })
    }

    fn frame(&self) -> ServerFrame {
        ServerFrame::Event { seq: Seq(1000), event: self.event() }
    }

    fn bincode(&self) -> BincodeEvent {
        BincodeEvent::MessageFromPeer {
            message_id: self.message_id,
            peer_id: self.peer_id.clone(),
            text: self.text.clone(),
            is_offline_message: self.is_offline_message,
            server_received_ts: self.server_received_ts,
        }
    }

    fn prost(&self) -> ProstEvent {
        ProstEvent {
            kind: Some(ProstKind::MessageFromPeer(ProstMessage {
                message_id: self.message_id,
                peer_id: self.peer_id.clone(),
                text: self.text.clone(),
                is_offline_message: self.is_offline_message,
                server_received_ts: self.server_received_ts,
            })),
        }
    }

    fn json(&self) -> JsonMessage {
        JsonMessage {
            msg_id: self.message_id,
            from_uid: self.peer_id.clone(),
            msg_type: 1,
            msg_body: self.text.clone(),
            svr_ts: self.server_received_ts,
        }
    }
}

/// An enum with our events' variants in kind and number.
#[derive(bincode::Encode, bincode::Decode)]
enum BincodeEvent {
    MessageFromPeer {
        message_id: u64,
        peer_id: String,
        text: String,
        is_offline_message: bool,
        server_received_ts: u64,
    },
    Other(String),
}

#[derive(bincode::BorrowDecode)]
#[expect(dead_code, reason = "only decoded")]
enum BorrowedEvent<'a> {
    MessageFromPeer {
        message_id: u64,
        peer_id: &'a str,
        text: &'a str,
        is_offline_message: bool,
        server_received_ts: u64,
    },
    Other(&'a str),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProstEvent {
    #[prost(oneof = "ProstKind", tags = "1, 2")]
    kind: Option<ProstKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ProstKind {
    #[prost(message, tag = "1")]
    MessageFromPeer(ProstMessage),
    #[prost(string, tag = "2")]
    Other(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProstMessage {
    #[prost(uint64, tag = "1")]
    message_id: u64,
    #[prost(string, tag = "2")]
    peer_id: String,
    #[prost(string, tag = "3")]
    text: String,
    #[prost(bool, tag = "4")]
    is_offline_message: bool,
    #[prost(uint64, tag = "5")]
    server_received_ts: u64,
}

/// The content of the vendor's envelope, as serde has it.
#[derive(serde::Serialize, serde::Deserialize)]
struct JsonMessage {
    #[serde(rename = "MsgId")]
    msg_id: u64,
    #[serde(rename = "FromUId")]
    from_uid: String,
    #[serde(rename = "MsgType")]
    msg_type: u32,
    #[serde(rename = "MsgBody")]
    msg_body: String,
    #[serde(rename = "SvrTS")]
    svr_ts: u64,
}

#[derive(serde::Serialize)]
struct Envelope<'a> {
    #[serde(rename = "Cmd")]
    cmd: &'a str,
    #[serde(rename = "Encrypt")]
    encrypt: bool,
    #[serde(rename = "Content")]
    content: &'a str,
}

#[derive(serde::Deserialize)]
struct OwnedEnvelope {
    #[serde(rename = "Content")]
    content: String,
}

criterion_group! {
    name = codec;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = encode, decode
}
criterion_main!(codec);
