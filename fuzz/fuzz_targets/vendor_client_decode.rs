//! A client of the vendor's wire against any messages of a server: one on each line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtm_codec::{ClientFrame, Packet, RequestId, Seq, Text, vendor::ClientCodec};

fuzz_target!(|text: &str| {
    let (mut codec, mut frames) = (ClientCodec::new(), Vec::new());
    for line in text.lines() {
        if codec.decode(Packet::Text(Text::from(line)), &mut frames).is_err() {
            return;
        }
    }
    codec.encode(&ClientFrame::Ack { received: Seq(u64::MAX), consumed: Seq(u64::MAX), answered: RequestId(u64::MAX) });
    while codec.take_packet().is_some() {}
    while codec.take_frame().is_some() {}
});
