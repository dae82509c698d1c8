//! The native wire under any input: what was written is what is read, and nothing that is not a
//! packet does harm.

use allocation_counter::measure;
use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};
use rtm_codec::{
    ClientFrame, ClientWire, ErrorKind, Packet, PacketRef, Refusal, Seq, ServerFrame, ServerWire, SharedEvent, Wire,
    native::{ClientCodec, ServerCodec},
    websocket::WebSocket,
};

use crate::frames;

proptest! {
    #[test]
    fn a_server_reads_what_a_client_wrote(sent in vec(frames::client_frame(), 1..20)) {
        let (mut client, mut server) = (ClientWire::new(Wire::Native), ServerWire::new(Wire::Native));
        for frame in &sent {
            client.encode(frame);
        }
        let mut received = Vec::new();
        while let Some(packet) = client.take_packet() {
            server.decode(packet, &mut received)?;
        }
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn a_client_reads_what_a_server_wrote(sent in vec(frames::server_frame(), 1..20)) {
        let (mut client, mut server) = (ClientWire::new(Wire::Native), ServerWire::new(Wire::Native));
        for frame in &sent {
            server.encode(frame);
        }
        let mut received = Vec::new();
        while let Some(packet) = server.take_packet() {
            client.decode(packet, &mut received)?;
        }
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn a_shared_event_has_the_bytes_of_its_own(seq: u64, event in frames::event()) {
        let (mut shared, mut own) = (ServerCodec::new(), ServerCodec::new());
        shared.encode_event(Seq(seq), &SharedEvent::new(event.clone()));
        own.encode(&ServerFrame::Event { seq: Seq(seq), event });
        prop_assert_eq!(shared.take_packet(), own.take_packet());
    }

    #[test]
    fn draining_shows_the_packets_that_taking_gives(sent in vec(vec(frames::server_frame(), 0..5), 1..4)) {
        let (mut drained, mut taken) = (ServerWire::new(Wire::Native), ServerWire::new(Wire::Native));
        for frames in &sent {
            for frame in frames {
                drained.encode(frame);
                taken.encode(frame);
            }
            let mut packets = Vec::new();
            drained.drain(|packet| match packet {
                PacketRef::Binary(bytes) => packets.push(Packet::Binary(Bytes::copy_from_slice(bytes))),
                PacketRef::Text(text) => packets.push(Packet::Text(text.into())),
            });
            drained.rest();
            let expected: Vec<Packet> = std::iter::from_fn(|| taken.take_packet()).collect();
            prop_assert_eq!(packets, expected);
        }
    }

    #[test]
    fn messages_of_a_websocket_are_what_it_makes_of_the_packets(
        sent in vec(vec((frames::server_frame(), 0..40_000_usize), 0..30), 1..4),
        mut buffer in vec(any::<u8>(), 0..500),
    ) {
        let (mut drained, mut taken) = (ServerWire::new(Wire::Native), ServerWire::new(Wire::Native));
        let mut socket = WebSocket::server(0);
        taken.lend(&mut buffer);
        for frames in &sent {
            for (frame, len) in frames {
                // Some make a packet full, most are short.
                let long = ServerFrame::Refused(Refusal::new(ErrorKind::Failure, &"x".repeat(len / 1000 * 1000)));
                for frame in [frame, &long] {
                    drained.encode(frame);
                    taken.encode(frame);
                }
            }
            prop_assert_eq!(taken.waiting() > 0, !frames.is_empty());
            let (mut wanted, mut longest) = (Vec::new(), 0);
            drained.drain(|packet| {
                let PacketRef::Binary(bytes) = packet else { panic!("{packet:?}") };
                longest = longest.max(bytes.len());
                socket.write(packet, &mut wanted);
            });
            match taken.take_messages() {
                Some(messages) => prop_assert_eq!(messages, &wanted),
                None => {
                    prop_assert!(longest > 0xffff);
                    let mut drained = Vec::new();
                    taken.drain(|packet| socket.write(packet, &mut drained));
                    prop_assert_eq!(drained, wanted);
                }
            }
            prop_assert_eq!(taken.waiting(), 0);
            prop_assert_eq!(taken.take_packet(), None);
        }
    }

    #[test]
    fn what_is_cut_is_refused_or_ends_with_a_frame(sent in vec(frames::server_frame(), 1..4), cut: Index) {
        let bytes = server_bytes(&sent);
        let mut received = Vec::new();
        let cut = bytes.slice(..cut.index(bytes.len()));
        if ClientCodec::new().decode(Packet::Binary(cut), &mut received).is_ok() {
            prop_assert!(received.len() < sent.len());
        }
        prop_assert!(sent.starts_with(&received));
    }

    #[test]
    fn a_cut_request_is_refused(frame in frames::client_frame(), cut: Index) {
        let bytes = client_bytes(&[frame]);
        let cut = bytes.slice(..cut.index(bytes.len()));
        prop_assert!(ServerCodec::new().decode(Packet::Binary(cut), &mut Vec::new()).is_err());
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        do_no_harm(&[&[1], &bytes[..]].concat());
        do_no_harm(&bytes);
    }

    #[test]
    fn a_changed_packet_does_no_harm(
        client in vec(frames::client_frame(), 1..4),
        server in vec(frames::server_frame(), 1..4),
        changes in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        for bytes in [client_bytes(&client), server_bytes(&server)] {
            let mut bytes = bytes.to_vec();
            for (at, to) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
            do_no_harm(&bytes);
        }
    }

    #[test]
    fn a_lying_length_does_no_harm(frame in frames::server_frame(), at: Index, length: u64) {
        let bytes = server_bytes(&[frame]);
        let at = at.index(bytes.len());
        let length = [&[253][..], &length.to_le_bytes()].concat();
        do_no_harm(&[&bytes[..at], &length, &bytes[at..]].concat());
        do_no_harm(&[&bytes[..at], &length, &bytes[at + 1..]].concat());
    }
}

/// Decodes on both sides. What is set aside is bounded by what came in, whatever lengths it claims:
/// an entry of one byte on the wire takes up to 64 bytes in memory, and a
/// growing list of frames has twice that.
fn do_no_harm(bytes: &[u8]) {
    let packet = Packet::Binary(Bytes::copy_from_slice(bytes));
    let limit = 16 * 1024 + 256 * bytes.len() as u64;
    let (one, other) = (packet.clone(), packet);
    let client = measure(|| drop(ClientCodec::new().decode(one, &mut Vec::new())));
    let server = measure(|| drop(ServerCodec::new().decode(other, &mut Vec::new())));
    assert!(client.bytes_max <= limit, "the client set aside {} bytes for {}", client.bytes_max, bytes.len());
    assert!(server.bytes_max <= limit, "the server set aside {} bytes for {}", server.bytes_max, bytes.len());
}

fn client_bytes(frames: &[ClientFrame]) -> Bytes {
    let mut codec = ClientCodec::new();
    frames.iter().for_each(|frame| codec.encode(frame));
    bytes_of(codec.take_packet())
}

fn server_bytes(frames: &[ServerFrame]) -> Bytes {
    let mut codec = ServerCodec::new();
    frames.iter().for_each(|frame| codec.encode(frame));
    bytes_of(codec.take_packet())
}

fn bytes_of(packet: Option<Packet>) -> Bytes {
    match packet {
        Some(Packet::Binary(bytes)) => bytes,
        packet => panic!("{packet:?} is not of the native wire"),
    }
}
