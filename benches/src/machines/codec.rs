//! Both wires, both ways.

use std::hint::black_box;

use bytes::Bytes;
use rtm_codec::{
    ClientFrame, ClientWire, Event, MessageId, Packet, PeerMessage, RequestId, RtmMessage, SendMessageToPeer, Seq,
    ServerFrame, ServerWire, SharedEvent, Text, UserId, Wire,
};

use super::{Case, Work};

pub(super) fn cases() -> Vec<Case> {
    let case = |name, prepare| Case { name, prepare };
    vec![
        case("native: encode an event, 64 B", |times| encode(Wire::Native, 64, times)),
        case("native: encode an event, 1 KiB", |times| encode(Wire::Native, 1024, times)),
        case("native: encode an event for one receiver more", |times| encode_shared(Wire::Native, times)),
        case("native: decode an event, 64 B", |times| decode(Wire::Native, 64, times)),
        case("native: decode an event, 1 KiB", |times| decode(Wire::Native, 1024, times)),
        case("native: encode a request", |times| encode_requests(Wire::Native, times)),
        case("native: decode a request", |times| decode_requests(Wire::Native, times)),
        case("vendor: encode an event, 64 B", |times| encode(Wire::Vendor, 64, times)),
        case("vendor: encode an event, 1 KiB", |times| encode(Wire::Vendor, 1024, times)),
        case("vendor: encode an event for one receiver more", |times| encode_shared(Wire::Vendor, times)),
        case("vendor: decode an event, 64 B", |times| decode(Wire::Vendor, 64, times)),
        case("vendor: decode an event, 1 KiB", |times| decode(Wire::Vendor, 1024, times)),
        case("vendor: encode a request", |times| encode_requests(Wire::Vendor, times)),
        case("vendor: decode a request", |times| decode_requests(Wire::Vendor, times)),
    ]
}

fn encode(wire: Wire, bytes: usize, times: usize) -> Work {
    let mut codec = ServerWire::new(wire);
    (0..WARM_UP).for_each(|n| written(&mut codec, &event(n, bytes)));
    let frames: Vec<ServerFrame> = (0..times).map(|n| event(WARM_UP + n, bytes)).collect();
    Work::new(move || {
        frames.iter().for_each(|frame| written(&mut codec, black_box(frame)));
        (frames, codec)
    })
}

fn written(codec: &mut ServerWire, frame: &ServerFrame) {
    codec.encode(frame);
    codec.drain(|packet| _ = black_box(packet));
}

fn encode_shared(wire: Wire, times: usize) -> Work {
    let mut codec = ServerWire::new(wire);
    let ServerFrame::Event { event, .. } = event(0, 64) else { unreachable!("it is an event") };
    let event = SharedEvent::new(event);
    let mut run = move |seqs: std::ops::Range<usize>| {
        for seq in seqs {
            codec.encode_event(Seq(seq as u64), black_box(&event));
            codec.drain(|packet| _ = black_box(packet));
        }
    };
    run(1..WARM_UP);
    Work::new(move || {
        run(WARM_UP..WARM_UP + times);
        run
    })
}

fn decode(wire: Wire, bytes: usize, times: usize) -> Work {
    let mut server = ServerWire::new(wire);
    let packets = (0..times).map(|n| {
        server.encode(&event(n, bytes));
        received(server.take_packet())
    });
    let packets: Vec<Packet> = packets.collect();
    let (mut client, mut frames) = (ClientWire::new(wire), Vec::with_capacity(1));
    Work::each(packets, move |packet| {
        client.decode(packet, &mut frames).expect("a client reads what a server wrote");
        black_box(&mut frames).clear();
    })
}

fn encode_requests(wire: Wire, times: usize) -> Work {
    let mut client = ClientWire::new(wire);
    let mut run = move |frames: &[ClientFrame]| {
        for frame in frames {
            client.encode(black_box(frame));
            client.drain(|packet| _ = black_box(packet));
        }
    };
    run(&requests(0..WARM_UP));
    let frames = requests(WARM_UP..WARM_UP + times);
    Work::new(move || {
        run(&frames);
        (frames, run)
    })
}

fn decode_requests(wire: Wire, times: usize) -> Work {
    let mut client = ClientWire::new(wire);
    let packets = requests(0..times).into_iter().map(|frame| {
        client.encode(&frame);
        received(client.take_packet())
    });
    let packets: Vec<Packet> = packets.collect();
    let (mut server, mut frames) = (ServerWire::new(wire), Vec::with_capacity(1));
    Work::each(packets, move |packet| {
        server.decode(packet, &mut frames).expect("a server reads what a client wrote");
        black_box(&mut frames).clear();
    })
}

/// A packet in memory of its own, as it is when it was received.
fn received(packet: Option<Packet>) -> Packet {
    match packet.expect("a frame was encoded") {
        Packet::Text(text) => Packet::Text(Text::from(text.as_str())),
        Packet::Binary(bytes) => Packet::Binary(Bytes::copy_from_slice(&bytes)),
    }
}

fn event(n: usize, bytes: usize) -> ServerFrame {
    let event = Event::MessageFromPeer(PeerMessage {
        message_id: MessageId(FIRST_ID + n as u64),
        peer_id: UserId::new("alice-0123456").expect("the id has allowed characters"),
        message: message(bytes),
        is_offline_message: false,
        server_received_ts: 1_700_000_000_000 + n as u64,
    });
    ServerFrame::Event { seq: Seq(1000 + n as u64), event }
}

fn requests(numbers: std::ops::Range<usize>) -> Vec<ClientFrame> {
    let request = |n: usize| ClientFrame::Request {
        id: RequestId(1 + n as u64),
        command: SendMessageToPeer {
            message_id: MessageId(FIRST_ID + n as u64),
            peer_id: UserId::new("bob-0123456").expect("the id has allowed characters"),
            message: message(64),
            enable_offline_messaging: false,
            enable_historical_messaging: false,
        }
        .into(),
    };
    numbers.map(request).collect()
}

pub(super) fn message(bytes: usize) -> RtmMessage {
    RtmMessage::text("It's \"just\" a message. ".chars().cycle().take(bytes).collect::<String>())
}

/// Thirteen digits, as the vendor's SDK makes them.
const FIRST_ID: u64 = 1_234_567_890_123;
/// The first of a codec's packets needs memory that the others use again.
const WARM_UP: usize = 16;
