//! WebSocket framing, against tungstenite at the other end and byte for byte where the rules say so.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::io::{self, Read, Write};

use async_tungstenite::tungstenite::{
    Error, Message,
    protocol::{Role, WebSocketContext, frame::Utf8Bytes},
};
use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use rtm_codec::{
    Packet, PacketRef,
    websocket::{CloseFrame, Incoming, Violation, WebSocket, accept_key},
};

const MAX: usize = 1024 * 1024;

fn server() -> WebSocket {
    WebSocket::server(MAX)
}

fn client() -> WebSocket {
    let mut number = 0_u32;
    WebSocket::client(MAX, move || {
        number = number.wrapping_mul(0x9e37_79b9).wrapping_add(0x1234_5677);
        number.to_ne_bytes()
    })
}

/// A client's frame, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [1, 0xf2, 0, 0x7a];
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
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn text(text: &str) -> Incoming {
    Incoming::Packet(Packet::Text(text.into()))
}

fn binary(bytes: &[u8]) -> Incoming {
    Incoming::Packet(Packet::Binary(Bytes::copy_from_slice(bytes)))
}

/// All that `chunks` amount to, and what is to be written; or how they break the rules.
fn read<'a>(
    socket: &mut WebSocket,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<Incoming>, Vec<u8>), Violation> {
    let (mut incoming, mut output) = (Vec::new(), Vec::new());
    for mut chunk in chunks {
        while let Some(one) = socket.read(&mut chunk, &mut output)? {
            incoming.push(one);
        }
        assert!(chunk.is_empty(), "bytes are left");
    }
    Ok((incoming, output))
}

fn violation(bytes: &[u8]) -> Violation {
    let whole = read(&mut server(), [bytes]).unwrap_err();
    assert_eq!(read(&mut server(), bytes.chunks(1)).unwrap_err(), whole);
    whole
}

#[test]
fn messages_come_out_whole_however_the_bytes_are_cut() {
    let big = vec![7; 100_000];
    let bytes = [
        frame(0x82, b"one"),
        frame(0x82, &big),
        frame(0x81, "二".as_bytes()),
        frame(0x82, b""),
        frame(0x81, &[b'x'; 126]),
        // In three frames, between two of which there is a ping; the second cuts a character.
        frame(0x01, b"a"),
        frame(0x89, b"hey"),
        frame(0x00, &"é".as_bytes()[..1]),
        frame(0x80, &"é".as_bytes()[1..]),
    ]
    .concat();
    let expected = [binary(b"one"), binary(&big), text("二"), binary(b""), text(&"x".repeat(126)), text("aé")];
    for cut in [1, 2, 3, 5, 13, 1000, 65_536, bytes.len()] {
        let (incoming, output) = read(&mut server(), bytes.chunks(cut)).unwrap();
        assert_eq!(incoming, expected, "cut every {cut} bytes");
        assert_eq!(output, b"\x8a\x03hey", "cut every {cut} bytes");
    }
}

#[test]
fn a_close_is_confirmed_with_its_own_code_and_nothing_is_read_after_it() {
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        let payload = [&u16::to_be_bytes(code)[..], "bye, 再见".as_bytes()].concat();
        let bytes = [frame(0x88, &payload), frame(0x82, b"late"), vec![0xff; 9]].concat();
        let (incoming, output) = read(&mut server(), [&bytes[..]]).unwrap();
        assert_eq!(incoming, [Incoming::Close(Some(CloseFrame { code, reason: "bye, 再见".into() }))]);
        assert_eq!(output, [&[0x88, payload.len() as u8], &payload[..]].concat(), "{code}");
    }
    let (incoming, output) = read(&mut server(), [&frame(0x88, b"")[..]]).unwrap();
    assert_eq!((incoming, output), (vec![Incoming::Close(None)], b"\x88\x00".to_vec()));
}

#[test]
fn a_close_of_ours_is_cut_to_what_a_frame_holds_and_not_repeated() {
    let (mut socket, mut output) = (server(), Vec::new());
    socket.close(1012, &"字".repeat(60), &mut output);
    assert_eq!(output[..4], [0x88, 2 + 123, 0x03, 0xf4]);
    assert_eq!(&output[4..], "字".repeat(41).as_bytes());
    output.clear();
    socket.close(1000, "again", &mut output);
    // What is on its way still comes, pings are not answered any more, and the confirmation is not confirmed.
    let bytes = [frame(0x82, b"late"), frame(0x89, b"ping"), frame(0x88, &[0x03, 0xf4])].concat();
    let (incoming, answers) = read(&mut socket, [&bytes[..]]).unwrap();
    assert_eq!(incoming, [binary(b"late"), Incoming::Close(Some(CloseFrame { code: 1012, reason: String::new() }))]);
    assert_eq!((output, answers), (vec![], vec![]));
}

#[test]
fn what_is_too_long_is_refused_by_its_head_alone_with_1009() {
    let too_long = Violation::TooLong { max: 1000 };
    assert_eq!(too_long.close_code(), 1009);
    assert_eq!(too_long.to_string(), "a message is longer than 1000 bytes");
    let refused = |bytes: &[u8]| read(&mut WebSocket::server(1000), [bytes]).unwrap_err();
    assert_eq!(refused(&frame(0x82, &[0; 1001])[..8]), too_long);
    // 2^40 bytes.
    assert_eq!(refused(&[0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), too_long);
    assert_eq!(refused(&[frame(0x02, &[0; 600]), frame(0x80, &[0; 401])].concat()), too_long);
    let mut socket = WebSocket::server(1000);
    socket.set_max_message(1001);
    assert_eq!(read(&mut socket, [&frame(0x82, &[0; 1001])[..]]).unwrap().0.len(), 1);
}

#[test]
fn what_is_not_utf_8_is_refused_with_1007_and_not_later_than_with_its_frame() {
    assert_eq!(Violation::Utf8.close_code(), 1007);
    let long = [&[b'x'; 2000][..], b"\xff"].concat();
    let bad: [&[u8]; 7] = [b"\xff", b"abc\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80", &long];
    for bad in bad {
        assert_eq!(violation(&frame(0x81, bad)), Violation::Utf8, "{bad:x?}");
    }
    // In the first and in a later frame of a message that goes on; a cut character may still become whole.
    assert_eq!(violation(&frame(0x01, b"a\xff")), Violation::Utf8);
    assert_eq!(violation(&[frame(0x01, b"\xc3"), frame(0x00, b"\xc3")].concat()), Violation::Utf8);
    assert_eq!(violation(&[frame(0x01, b"\xc3"), frame(0x80, b"")].concat()), Violation::Utf8);
    assert_eq!(violation(&frame(0x88, b"\x03\xe8\xff")), Violation::Utf8);
}

#[test]
fn what_breaks_the_rules_of_frames_is_refused_with_1002() {
    let codes = [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    let closes = codes.map(|code| (frame(0x88, &code.to_be_bytes()), "code"));
    let broken = [
        (b"\x82\x01x".to_vec(), "unmasked"),
        (frame(0xc2, b"x"), "reserved bits"),
        (frame(0xa2, b"x"), "reserved bits"),
        (frame(0x92, b"x"), "reserved bits"),
        (frame(0x83, b"x"), "opcode"),
        (frame(0x8b, b"x"), "opcode"),
        (frame(0x80, b"x"), "continue"),
        ([frame(0x01, b"x"), frame(0x81, b"x")].concat(), "within another"),
        (frame(0x09, b"x"), "fragmented"),
        (frame(0x89, &[0; 126]), "125 bytes"),
        (frame(0x88, b"x"), "half a code"),
        // 60 bytes in 16 bits, 60,000 in 64, and more than there may be.
        (vec![0x82, 0xfe, 0, 60, 0, 0, 0, 0], "length"),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xea, 0x60, 0, 0, 0, 0], "length"),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "length"),
    ];
    for (bytes, names) in broken.into_iter().chain(closes) {
        let violation = violation(&bytes);
        assert_eq!(violation.close_code(), 1002, "{bytes:x?}");
        assert!(violation.to_string().contains(names), "{violation}");
    }
    assert!(matches!(read(&mut client(), [&frame(0x82, b"x")[..]]), Err(Violation::Protocol(_))));
}

#[test]
fn the_accept_key_is_that_of_the_rfc() {
    assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn debug_shows_nothing_that_was_sent() {
    let mut socket = server();
    read(&mut socket, [&frame(0x01, b"secret")[..]]).unwrap();
    assert!(!format!("{socket:?}").contains("secret") && !format!("{socket:?}").contains("115"));
}

/// A stream in memory.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.input.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    let length = prop_oneof![0..200_usize, 65_000..66_000_usize, Just(125), Just(126), Just(65_535), Just(65_536)];
    (length, any::<u8>(), any::<bool>()).prop_map(|(length, fill, is_text)| {
        if is_text {
            Packet::Text("é".repeat(length / 2).into())
        } else {
            Packet::Binary(Bytes::from(vec![fill; length]))
        }
    })
}

fn message(packet: &Packet) -> Message {
    match packet {
        Packet::Text(text) => Message::Text(Utf8Bytes::from(text.as_str())),
        Packet::Binary(bytes) => Message::Binary(bytes.clone()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What either side writes the other implementation reads, and the other way round.
    #[test]
    fn tungstenite_reads_what_is_written_and_is_read(packets in vec(packet(), 1..6), cut in 1..5000_usize) {
        for (mut ours, role) in [(server(), Role::Client), (client(), Role::Server)] {
            let (mut theirs, mut pipe) = (WebSocketContext::new(role, None), Pipe::default());
            packets.iter().for_each(|packet| ours.write(packet.as_ref(), &mut pipe.input));
            for packet in &packets {
                prop_assert_eq!(theirs.read(&mut pipe).unwrap(), message(packet));
            }
            for packet in &packets {
                theirs.write(&mut pipe, message(packet)).unwrap();
            }
            theirs.write(&mut pipe, Message::Ping(Bytes::from_static(b"ping"))).unwrap();
            theirs.close(&mut pipe, None).unwrap();
            let (incoming, answers) = read(&mut ours, pipe.output.chunks(cut)).unwrap();
            let mut expected: Vec<_> = packets.iter().cloned().map(Incoming::Packet).collect();
            expected.push(Incoming::Close(None));
            prop_assert_eq!(incoming, expected);
            // The pong and the confirmation of the close.
            pipe.input = answers;
            prop_assert_eq!(theirs.read(&mut pipe).unwrap(), Message::Pong(Bytes::from_static(b"ping")));
            let end = theirs.read(&mut pipe);
            prop_assert!(matches!(end, Ok(Message::Close(None)) | Err(Error::ConnectionClosed)), "{end:?}");
        }
    }

    /// Whatever comes, it neither panics nor takes more room than what was sent needs.
    #[test]
    fn any_bytes_are_taken_or_refused(bytes in vec(any::<u8>(), 0..300), cut in 1..20_usize) {
        let _ = read(&mut server(), bytes.chunks(cut));
        let _ = read(&mut client(), bytes.chunks(cut));
    }
}

#[test]
fn a_client_masks_each_frame_with_a_key_of_its_own() {
    let (mut socket, mut first, mut second) = (client(), Vec::new(), Vec::new());
    socket.write(PacketRef::Text("hello"), &mut first);
    socket.write(PacketRef::Text("hello"), &mut second);
    assert!(first.starts_with(b"\x81\x85") && second.starts_with(b"\x81\x85"));
    assert_ne!(first[2..], second[2..]);
}
