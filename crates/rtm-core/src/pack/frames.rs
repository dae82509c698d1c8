//! Events and answers inside of a pack: they are written as the native wire writes them, which only ever grows.

use bytes::Bytes;
use rtm_codec::{
    Answer, Event, Packet, Refusal, RequestId, Seq, ServerFrame, SharedEvent,
    native::{ClientCodec, ServerCodec},
};

/// The bytes of an event.
pub(crate) fn event_bytes(event: &SharedEvent) -> Vec<u8> {
    let mut codec = ServerCodec::new();
    codec.encode_event(Seq(0), event);
    packet(codec)
}

/// The event in these bytes.
pub(crate) fn event(bytes: Vec<u8>) -> Option<Event> {
    match frame(bytes)? {
        ServerFrame::Event { event, .. } => Some(event),
        _ => None,
    }
}

/// The bytes of an answer.
pub(crate) fn answer_bytes(id: RequestId, result: &Result<Answer, Refusal>) -> Vec<u8> {
    let mut codec = ServerCodec::new();
    codec.encode(&ServerFrame::Reply { id, result: result.clone() });
    packet(codec)
}

/// The answer in these bytes.
pub(crate) fn answer(bytes: Vec<u8>) -> Option<Result<Answer, Refusal>> {
    match frame(bytes)? {
        ServerFrame::Reply { result, .. } => Some(result),
        _ => None,
    }
}

fn packet(mut codec: ServerCodec) -> Vec<u8> {
    match codec.take_packet() {
        Some(Packet::Binary(bytes)) => bytes.into(),
        _ => Vec::new(),
    }
}

fn frame(bytes: Vec<u8>) -> Option<ServerFrame> {
    let mut frames = Vec::with_capacity(1);
    ClientCodec::new().decode(Packet::Binary(Bytes::from(bytes)), &mut frames).ok()?;
    frames.pop().filter(|_| frames.is_empty())
}
