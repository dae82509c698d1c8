//! A server of the native wire against any bytes of a client.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rtm_codec::{
    ClientFrame, Packet,
    binary::{ClientCodec, ServerCodec},
};

fuzz_target!(|bytes: &[u8]| {
    let mut frames = Vec::new();
    if ServerCodec::new().decode(Packet::Binary(Bytes::copy_from_slice(bytes)), &mut frames).is_err() {
        return;
    }
    frames.retain(|frame| !matches!(frame, ClientFrame::BadRequest { .. }));
    // What was read can be written, and is read as the same again.
    let mut client = ClientCodec::new();
    frames.iter().for_each(|frame| client.encode(frame));
    assert_eq!(client.take_frame(), None);
    let mut again = Vec::new();
    while let Some(packet) = client.take_packet() {
        ServerCodec::new().decode(packet, &mut again).expect("what a codec wrote is readable");
    }
    assert_eq!(frames, again);
});
