//! A client of the native wire against any bytes of a server.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rtm_codec::{
    Packet,
    binary::{ClientCodec, ServerCodec},
};

fuzz_target!(|bytes: &[u8]| {
    let mut frames = Vec::new();
    if ClientCodec::new().decode(Packet::Binary(Bytes::copy_from_slice(bytes)), &mut frames).is_err() {
        return;
    }
    // What was read can be written, and is read as the same again.
    let mut server = ServerCodec::new();
    frames.iter().for_each(|frame| server.encode(frame));
    let mut again = Vec::new();
    while let Some(packet) = server.take_packet() {
        ClientCodec::new().decode(packet, &mut again).expect("what a codec wrote is readable");
    }
    assert_eq!(frames, again);
});
