//! Each limit of the native wire is hit, and each fault is named.

use std::{collections::BTreeMap, time::Duration};

use allocation_counter::measure;
use bytes::Bytes;
use rtm_codec::{
    native::{ClientCodec, ServerCodec},
    *,
};

#[test]
fn a_packet_is_binary_of_version_1_and_holds_frames() {
    let text = Packet::Text("hi".into());
    assert_eq!(ServerCodec::new().decode(text, &mut Vec::new()).unwrap_err().kind(), DecodeErrorKind::MessageType);
    assert_eq!(server_fault(&[]), ("packet", DecodeErrorKind::Truncated));
    assert_eq!(server_fault(&[1]), ("packet", DecodeErrorKind::Truncated));
    assert_eq!(server_fault(&[0, 1, 3]), ("packet", DecodeErrorKind::Version));
    assert_eq!(server_fault(&[2, 1, 3]), ("packet", DecodeErrorKind::Version));
    assert_eq!(server_fault(&[1, 0]), ("frame", DecodeErrorKind::Truncated));
    assert_eq!(server_fault(&[1, 2, 3]), ("packet", DecodeErrorKind::Truncated));
    assert_eq!(server_fault(&[1, 1, 3, 7]), ("packet", DecodeErrorKind::Truncated));
    assert_eq!(server_fault(&[1, 1, 99]), ("frame", DecodeErrorKind::UnknownTag { tag: 99 }));
    assert_eq!(server_decode(&[1, 1, 3]), Ok(vec![ClientFrame::Ping]));
}

#[test]
fn a_packet_has_at_most_a_mebibyte() {
    let mut bytes = vec![1, 252];
    bytes.extend((limits::PACKET_BYTES as u32 - 6).to_le_bytes());
    bytes.resize(limits::PACKET_BYTES, 0);
    bytes[6] = 99;
    assert_eq!(server_fault(&bytes), ("frame", DecodeErrorKind::UnknownTag { tag: 99 }));
    bytes.push(0);
    let too_large = ("packet", DecodeErrorKind::TooLarge { limit: limits::PACKET_BYTES });
    assert_eq!((server_fault(&bytes), client_fault(&bytes)), (too_large, too_large));
}

#[test]
fn a_packet_has_at_most_4096_frames() {
    let pings = |count: usize| [&[1][..], &[1, 3].repeat(count)].concat();
    assert_eq!(server_decode(&pings(4096)).unwrap().len(), 4096);
    assert_eq!(server_fault(&pings(4097)), ("packet", DecodeErrorKind::TooMany { limit: limits::PACKET_FRAMES }));
    let mut codec = ClientCodec::new();
    (0..4097).for_each(|_| codec.encode(&ClientFrame::Ping));
    let packets: Vec<Packet> = std::iter::from_fn(|| codec.take_packet()).collect();
    let mut frames = Vec::new();
    for packet in packets {
        ServerCodec::new().decode(packet, &mut frames).unwrap();
    }
    assert_eq!(frames.len(), 4097);
}

#[test]
fn a_list_has_at_most_4096_entries_and_no_more_than_there_are_bytes() {
    let query = |count: usize| {
        let mut codec = ClientCodec::new();
        let peer_ids = vec![UserId::new("u").unwrap(); count];
        codec.encode(&ClientFrame::Request { id: RequestId(1), command: QueryPeersOnlineStatus { peer_ids }.into() });
        let mut frames = Vec::new();
        ServerCodec::new().decode(codec.take_packet().unwrap(), &mut frames).unwrap();
        frames.remove(0)
    };
    assert!(matches!(query(4096), ClientFrame::Request { .. }));
    assert_eq!(query(4097), bad_request(1, ErrorKind::InvalidArgument, "peer_ids has more than 4096 entries"));
    let claims = [1, 6, 1, 1, 2, 251, 0, 16];
    let allocated = measure(|| {
        let bad = bad_request(1, ErrorKind::InvalidArgument, "peer_ids ends too early");
        assert_eq!(server_decode(&claims), Ok(vec![bad]));
    });
    assert!(allocated.bytes_max < 4096, "{allocated:?}");
    // The members of a channel, in an answer.
    let mut members = vec![1, 251, 0, 0, 2, 1, 0, 18, 251, 1, 16];
    members.extend([1, b'u'].repeat(4097));
    let len = (members.len() - 4) as u16;
    members[2..4].copy_from_slice(&len.to_le_bytes());
    assert_eq!(client_fault(&members), ("answer", DecodeErrorKind::TooMany { limit: limits::LIST_ENTRIES }));
}

#[test]
fn a_number_that_does_not_fit_is_refused() {
    // Acks whose first number has a marker that stands for no width, and one that promises more.
    assert_eq!(server_fault(&[1, 4, 2, 254, 0, 0]), ("frame", DecodeErrorKind::Value));
    assert_eq!(server_fault(&[1, 4, 2, 255, 0, 0]), ("frame", DecodeErrorKind::Value));
    assert_eq!(server_fault(&[1, 4, 2, 253, 0, 0]), ("frame", DecodeErrorKind::Truncated));
    // A length of 2^64 - 1, of the frame and of a text in it.
    let mut huge = vec![1, 253];
    huge.extend([0xff; 8]);
    assert_eq!(server_fault(&huge), ("packet", DecodeErrorKind::Truncated));
    let mut login = vec![1, 10, 0, 253];
    login.extend([0xff; 8]);
    assert_eq!(server_decode(&login), Ok(vec![bad_request(0, ErrorKind::InvalidArgument, "app_id ends too early")]));
    // A member count over 32 bits.
    let mut event = vec![1, 14, 3, 1, 13, 1, b'r', 253];
    event.extend(0x1_0000_0000u64.to_le_bytes());
    assert_eq!(client_fault(&event), ("member_count", DecodeErrorKind::Value));
}

#[test]
fn a_token_has_at_most_16_kib() {
    let login = |len: usize| {
        let mut codec = ClientCodec::new();
        codec.encode(&ClientFrame::Login(Box::new(Login {
            app_id: AppId::new("0".repeat(32)).unwrap(),
            user_id: None,
            token: Some(Token::new("t".repeat(Token::MAX_LEN)).unwrap()),
            instance: InstanceId::new("i").unwrap(),
            resume: None,
            keep_alive: KeepAlive::Client { interval_ms: 1 },
            window: 0,
            abilities: Wire::Native.abilities(),
            gateway_session: None,
        })));
        let Some(Packet::Binary(bytes)) = codec.take_packet() else { panic!("no packet") };
        // The lengths of the frame and of the token, each in two bytes.
        let mut bytes = bytes.to_vec();
        let more = len - Token::MAX_LEN;
        let at = bytes.windows(3).position(|bytes| bytes == [251, 0, 64]).unwrap();
        bytes.splice(at + 3..at + 3, vec![b't'; more]);
        for at in [2, at + 1] {
            let length = u16::from_le_bytes([bytes[at], bytes[at + 1]]) + more as u16;
            bytes[at..at + 2].copy_from_slice(&length.to_le_bytes());
        }
        server_decode(&bytes)
    };
    assert!(matches!(&login(16_384).unwrap()[..], [ClientFrame::Login(_)]));
    let refused = bad_request(0, ErrorKind::InvalidArgument, "token is longer than 16384 bytes");
    assert_eq!(login(16_385), Ok(vec![refused]));
}

#[test]
fn a_bad_call_is_refused_and_the_next_one_read() {
    let join = |channel: &[u8]| {
        let mut frame = vec![(channel.len() + 4) as u8, 1, 7, 15, channel.len() as u8];
        frame.extend(channel);
        frame
    };
    let after = |frame: &[u8]| {
        let mut frames = server_decode(&[&[1], frame, &[1, 3]].concat()).unwrap();
        assert_eq!(frames.pop(), Some(ClientFrame::Ping));
        frames.remove(0)
    };
    let invalid = |detail| bad_request(7, ErrorKind::InvalidArgument, detail);
    assert!(matches!(after(&join(b"room")), ClientFrame::Request { .. }));
    assert_eq!(after(&join(b"")), invalid("channel id is empty"));
    assert_eq!(after(&join(&[b'r'; 65])), invalid("channel id is longer than 64 bytes"));
    assert_eq!(after(&join(b"a'b")), invalid(r#"channel id has '\'' at byte 1, which is not allowed"#));
    assert_eq!(after(&join(b"null")), invalid("channel id is the reserved word \"null\""));
    assert_eq!(after(&join(b"\xff")), invalid("channel_id is not valid UTF-8"));
    assert_eq!(after(&[5, 1, 7, 15, 9, b'r']), invalid("channel_id ends too early"));
    let unknown = bad_request(7, ErrorKind::Unsupported, "command has the unknown tag 200");
    assert_eq!(after(&[3, 1, 7, 200]), unknown);
    // A call without a number cannot be answered.
    assert_eq!(server_fault(&[1, 1, 1]), ("frame", DecodeErrorKind::Truncated));
}

#[test]
fn the_same_attribute_twice_is_refused() {
    let set = [1, 9, 1, 1, 10, 2, 1, b'k', 1, b'v', 1, b'k', 1, b'w'];
    let mut bytes = set.to_vec();
    bytes[1] = (bytes.len() - 2) as u8;
    let bad = bad_request(1, ErrorKind::InvalidArgument, "attributes has a value that is not allowed");
    assert_eq!(server_decode(&bytes), Ok(vec![bad]));
}

#[test]
fn a_client_cannot_claim_that_something_was_written() {
    let mut codec = ClientCodec::new();
    codec.encode(&ClientFrame::Written { up_to: Seq(7) });
    assert_eq!(codec.take_packet(), None);
    assert_eq!(server_fault(&[1, 2, 6, 7]), ("frame", DecodeErrorKind::UnknownTag { tag: 6 }));
}

#[test]
fn limits_of_more_calls_than_are_known_are_taken() {
    let mut bytes = vec![1, 0, 0, 1, b'u', 0, 0, 0, 0, 1, 60];
    bytes.extend([2, 7, 8].repeat(60));
    bytes[1] = (bytes.len() - 2) as u8;
    let Some(ServerFrame::Welcome(welcome)) = client_decode(&bytes).unwrap().pop() else { panic!("no welcome") };
    let limits = welcome.limits.unwrap();
    assert!(LimitedCall::ALL.iter().all(|call| limits.get(*call) == CallLimit::new(7, Duration::from_millis(8))));
}

#[test]
fn a_detail_is_cut_to_256_bytes_between_two_characters() {
    let mut codec = ServerCodec::new();
    codec.encode(&ServerFrame::Refused(Refusal::new(ErrorKind::Failure, &"字".repeat(100))));
    let Some(ServerFrame::Refused(refusal)) = client_read(&mut codec).pop() else { panic!("no refusal") };
    assert_eq!(refusal.detail, *"字".repeat(85));
}

#[test]
fn a_request_too_large_for_a_packet_is_refused_by_the_codec() {
    let mut codec = ClientCodec::new();
    let attributes = BTreeMap::from([(AttributeKey::new("k").unwrap(), "v".repeat(limits::PACKET_BYTES).into())]);
    codec.encode(&ClientFrame::Ping);
    codec.encode(&ClientFrame::Request { id: RequestId(3), command: SetLocalUserAttributes { attributes }.into() });
    codec.encode(&ClientFrame::Pong);
    let Some(ServerFrame::Reply { id, result: Err(refusal) }) = codec.take_frame() else { panic!("no answer") };
    assert_eq!((id, refusal.kind), (RequestId(3), ErrorKind::InvalidArgument));
    assert_eq!(codec.take_frame(), None);
    let mut frames = Vec::new();
    while let Some(packet) = codec.take_packet() {
        ServerCodec::new().decode(packet, &mut frames).unwrap();
    }
    assert_eq!(frames, [ClientFrame::Ping, ClientFrame::Pong]);
}

#[test]
fn an_answer_or_event_too_large_for_a_packet_is_replaced() {
    let message =
        StoredMessage::new(MessageId(1), UserId::new("u").unwrap(), "x".repeat(limits::MESSAGE_BYTES).into(), 1);
    let page = |count| HistoryPage::new(vec![message.clone(); count], None);
    let reply = |count| ServerFrame::Reply { id: RequestId(3), result: Ok(Answer::QueryHistory(page(count))) };
    let mut codec = ServerCodec::new();
    codec.encode(&reply(31));
    codec.encode(&reply(32));
    let frames = client_read(&mut codec);
    assert_eq!(frames[0], reply(31));
    assert!(matches!(&frames[1], ServerFrame::Reply { id: RequestId(3), result: Err(refusal) }
        if refusal.kind == ErrorKind::Failure));

    let attributes = ChannelAttributes::new(
        BTreeMap::from([(
            AttributeKey::new("k").unwrap(),
            ChannelAttribute::new("v".repeat(limits::PACKET_BYTES).into(), UserId::new("u").unwrap(), 1),
        )]),
        Revision(1),
    );
    let event = Event::AttributesUpdated { channel_id: ChannelId::new("c").unwrap(), attributes };
    codec.encode_event(Seq(4), &SharedEvent::new(event.clone()));
    codec.encode(&ServerFrame::Event { seq: Seq(5), event });
    let gap = |seq| ServerFrame::Event { seq: Seq(seq), event: Event::Gap { channel_id: None, lost: Some(1) } };
    assert_eq!(client_read(&mut codec), [gap(4), gap(5)]);
}

#[test]
fn frames_share_packets_of_about_8_kib() {
    let mut codec = ServerCodec::new();
    let sent: Vec<ServerFrame> = (1..=300).map(|seq| message(seq, 1000)).collect();
    sent.iter().for_each(|frame| codec.encode(frame));
    let mut drained = 0;
    let mut draining = ServerCodec::new();
    sent.iter().for_each(|frame| draining.encode(frame));
    draining.drain(|_| drained += 1);
    let packets: Vec<Packet> = std::iter::from_fn(|| codec.take_packet()).collect();
    assert_eq!(packets.len(), drained);
    assert!((30..=40).contains(&packets.len()), "{} packets", packets.len());
    let mut frames = Vec::new();
    for packet in packets {
        assert!(len(&packet) < 10_000);
        ClientCodec::new().decode(packet, &mut frames).unwrap();
    }
    assert_eq!(frames, sent);
}

#[test]
fn what_comes_with_the_answer_to_a_login_does_not_hold_it_up() {
    let welcome = crate::samples::server_frames().swap_remove(0).1;
    assert!(matches!(welcome, ServerFrame::Welcome(_)));
    let sent = [welcome, message(1, 30_000), ServerFrame::Pong];
    let mut codec = ServerCodec::new();
    sent.iter().for_each(|frame| codec.encode(frame));
    let mut first = Vec::new();
    ClientCodec::new().decode(codec.take_packet().unwrap(), &mut first).unwrap();
    assert_eq!(first, sent[..1]);
    assert_eq!(client_read(&mut codec), sent[1..]);
}

#[test]
fn a_frame_that_would_make_a_packet_too_large_gets_its_own() {
    let mut codec = ServerCodec::new();
    let sent = [message(1, 60_000), message(2, limits::PACKET_BYTES - 100), message(3, 5)];
    sent.iter().for_each(|frame| codec.encode(frame));
    let packets: Vec<Packet> = std::iter::from_fn(|| codec.take_packet()).collect();
    let mut frames = Vec::new();
    for packet in packets {
        ClientCodec::new().decode(packet, &mut frames).unwrap();
    }
    assert_eq!(frames, sent);
}

#[test]
fn a_long_text_and_long_bytes_share_their_packet() {
    for (len, shared) in [(1023, false), (1024, true), (20_000, true)] {
        let binary = ServerFrame::Event {
            seq: Seq(2),
            event: Event::ChannelMessage {
                channel_id: ChannelId::new("c").unwrap(),
                message_id: MessageId(1),
                member_id: UserId::new("u").unwrap(),
                message: RtmMessage::Binary(vec![7; len].into()),
                server_received_ts: 1,
            },
        };
        let mut codec = ServerCodec::new();
        codec.encode(&message(1, len));
        codec.encode(&binary);
        let packet = codec.take_packet().unwrap();
        let Packet::Binary(bytes) = &packet else { panic!("no packet") };
        let held = bytes.as_ptr_range();
        let mut frames = Vec::new();
        ClientCodec::new().decode(packet.clone(), &mut frames).unwrap();
        for frame in &frames {
            let start = match frame {
                ServerFrame::Event { event: Event::MessageFromPeer(message), .. } => {
                    message.message.as_text().unwrap().as_ptr()
                }
                ServerFrame::Event {
                    event: Event::ChannelMessage { message: RtmMessage::Binary(bytes), .. }, ..
                } => bytes.as_ptr(),
                frame => panic!("{frame:?}"),
            };
            assert_eq!(held.contains(&start), shared, "{len} bytes");
        }
    }
}

#[test]
fn a_small_part_of_a_large_packet_does_not_keep_it() {
    for (len, shared) in [(1_500, false), (2_500, true)] {
        let mut codec = ServerCodec::new();
        codec.encode(&message(1, len));
        codec.encode(&message(2, 30_000));
        let packet = codec.take_packet().unwrap();
        let Packet::Binary(bytes) = &packet else { panic!("no packet") };
        let held = bytes.as_ptr_range();
        let mut frames = Vec::new();
        ClientCodec::new().decode(packet.clone(), &mut frames).unwrap();
        let ServerFrame::Event { event: Event::MessageFromPeer(message), .. } = &frames[0] else {
            panic!("{frames:?}");
        };
        assert_eq!(held.contains(&message.message.as_text().unwrap().as_ptr()), shared, "{len} bytes");
    }
}

#[test]
fn a_quiet_connection_holds_little_memory_whatever_it_carried() {
    let (small, large) = (message(1, 32), message(2, 30_000));
    let mut codec = ServerCodec::new();
    let held = measure(|| {
        for _ in 0..10 {
            codec.encode(&large);
            codec.encode(&small);
            while codec.take_packet().is_some() {}
        }
        codec.encode(&small);
        while codec.take_packet().is_some() {}
    });
    assert!(held.bytes_current <= 1024, "{held:?}");
}

#[test]
fn a_drained_codec_keeps_its_buffer_until_it_rests() {
    let large = message(1, 30_000);
    let mut codec = ServerCodec::new();
    let held = measure(|| {
        codec.encode(&large);
        codec.drain(|_| ());
    });
    assert!(held.bytes_current > 30_000, "{held:?}");
    let again = measure(|| {
        codec.encode(&large);
        codec.drain(|_| ());
    });
    assert_eq!(again.count_total, 0);
    assert!(measure(|| codec.rest()).bytes_current < -30_000);
}

#[test]
fn a_packet_costs_one_allocation_however_many_small_frames_it_has() {
    let frame = message(1, 32);
    let mut codec = ServerCodec::new();
    let mut round = || {
        (0..8).for_each(|_| codec.encode(&frame));
        assert!(codec.take_packet().is_some());
    };
    round();
    assert_eq!(measure(round).count_total, 1);
}

#[test]
fn events_without_long_texts_are_read_without_allocating() {
    let frame = ServerFrame::Event {
        seq: Seq(1),
        event: Event::MemberJoined {
            channel_id: ChannelId::new("room").unwrap(),
            member_id: UserId::new("alice").unwrap(),
            member_count: 3,
        },
    };
    let mut server = ServerCodec::new();
    (0..8).for_each(|_| server.encode(&frame));
    let packet = server.take_packet().unwrap();
    let (mut client, mut frames) = (ClientCodec::new(), Vec::with_capacity(8));
    let read = measure(|| client.decode(packet, &mut frames).unwrap());
    assert_eq!((frames.len(), read.count_total), (8, 0));
}

fn message(seq: u64, len: usize) -> ServerFrame {
    ServerFrame::Event {
        seq: Seq(seq),
        event: Event::MessageFromPeer(PeerMessage {
            message_id: MessageId(seq),
            peer_id: UserId::new("alice").unwrap(),
            message: "x".repeat(len).into(),
            is_offline_message: false,
            server_received_ts: 1_700_000_000_000,
        }),
    }
}

fn bad_request(id: u64, kind: ErrorKind, detail: &str) -> ClientFrame {
    ClientFrame::BadRequest { id: RequestId(id), refusal: Refusal::new(kind, detail) }
}

fn server_decode(bytes: &[u8]) -> Result<Vec<ClientFrame>, DecodeError> {
    let mut frames = Vec::new();
    ServerCodec::new().decode(Packet::Binary(Bytes::copy_from_slice(bytes)), &mut frames).map(|()| frames)
}

fn client_decode(bytes: &[u8]) -> Result<Vec<ServerFrame>, DecodeError> {
    let mut frames = Vec::new();
    ClientCodec::new().decode(Packet::Binary(Bytes::copy_from_slice(bytes)), &mut frames).map(|()| frames)
}

fn server_fault(bytes: &[u8]) -> (&'static str, DecodeErrorKind) {
    let error = server_decode(bytes).unwrap_err();
    (error.what(), error.kind())
}

fn client_fault(bytes: &[u8]) -> (&'static str, DecodeErrorKind) {
    let error = client_decode(bytes).unwrap_err();
    (error.what(), error.kind())
}

fn client_read(codec: &mut ServerCodec) -> Vec<ServerFrame> {
    let mut frames = Vec::new();
    while let Some(packet) = codec.take_packet() {
        ClientCodec::new().decode(packet, &mut frames).unwrap();
    }
    frames
}

fn len(packet: &Packet) -> usize {
    match packet {
        Packet::Binary(bytes) => bytes.len(),
        Packet::Text(text) => text.len(),
    }
}
