//! A server of the vendor's wire against any messages of a client: one on each line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtm_codec::{ClientFrame, ErrorKind, Packet, Refusal, ServerFrame, Text, vendor::ServerCodec};

fuzz_target!(|text: &str| {
    let (mut codec, mut frames) = (ServerCodec::new(), Vec::new());
    for line in text.lines() {
        if codec.decode(Packet::Text(Text::from(line)), &mut frames).is_err() {
            return;
        }
    }
    // Every call can be refused, and the refusal said.
    for frame in frames {
        if let ClientFrame::Request { id, .. } | ClientFrame::BadRequest { id, .. } = frame {
            codec.encode(&ServerFrame::Reply { id, result: Err(Refusal::from(ErrorKind::Failure)) });
        }
    }
    while codec.take_packet().is_some() {}
    while codec.take_acks().is_some() {}
});
