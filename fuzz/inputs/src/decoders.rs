//! Everything that reads bytes of a peer by itself: the codecs of both wires, the gateway's bodies, access tokens.

use bytes::Bytes;
use rtm_codec::{
    ClientFrame, ErrorKind, Packet, Refusal, RequestId, Seq, ServerFrame, Text, anyrtc,
    anyrtc::gateway::{Endpoint, GatewayAnswer, GatewayRequest},
    anyrtc::rest::{ChannelMessageType, HistoryHandle, RestAnswer, RestCall, RestRefusal, RestRoute},
    native,
};
use rtm_token::{Certificate, Policy, explain, verify};

use crate::call::APP_ID;

/// A client of the native wire against any bytes of a server.
pub fn native_client_decode(bytes: &[u8]) {
    let mut frames = Vec::new();
    if native::ClientCodec::new().decode(Packet::Binary(Bytes::copy_from_slice(bytes)), &mut frames).is_err() {
        return;
    }
    // What was read can be written, and is read as the same again.
    let mut server = native::ServerCodec::new();
    frames.iter().for_each(|frame| server.encode(frame));
    let mut again = Vec::new();
    while let Some(packet) = server.take_packet() {
        native::ClientCodec::new().decode(packet, &mut again).expect("what a codec wrote is readable");
    }
    assert_eq!(frames, again);
}

/// A server of the native wire against any bytes of a client.
pub fn native_server_decode(bytes: &[u8]) {
    let mut frames = Vec::new();
    if native::ServerCodec::new().decode(Packet::Binary(Bytes::copy_from_slice(bytes)), &mut frames).is_err() {
        return;
    }
    frames.retain(|frame| !matches!(frame, ClientFrame::BadRequest { .. }));
    // What was read can be written, and is read as the same again.
    let mut client = native::ClientCodec::new();
    frames.iter().for_each(|frame| client.encode(frame));
    assert_eq!(client.take_frame(), None);
    let mut again = Vec::new();
    while let Some(packet) = client.take_packet() {
        native::ServerCodec::new().decode(packet, &mut again).expect("what a codec wrote is readable");
    }
    assert_eq!(frames, again);
}

/// A client of the vendor's wire against any messages of a server: one on each line.
pub fn vendor_client_decode(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (mut codec, mut frames) = (anyrtc::ClientCodec::new(), Vec::new());
    for line in text.lines() {
        if codec.decode(Packet::Text(Text::from(line)), &mut frames).is_err() {
            return;
        }
    }
    codec.encode(&ClientFrame::Ack { received: Seq(u64::MAX), consumed: Seq(u64::MAX), answered: RequestId(u64::MAX) });
    while codec.take_packet().is_some() {}
    while codec.take_frame().is_some() {}
}

/// A server of the vendor's wire against any messages of a client: one on each line.
pub fn vendor_server_decode(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (mut codec, mut frames) = (anyrtc::ServerCodec::new(), Vec::new());
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
    while codec.take_written().is_some() {}
}

/// The gateway's HTTP bodies, both halves, against any bytes.
pub fn vendor_gateway_decode(body: &[u8]) {
    for endpoint in [Endpoint::Gateway, Endpoint::OfflineMessages, Endpoint::ChannelHistory, Endpoint::PeerHistory] {
        if let Ok(request) = GatewayRequest::decode(endpoint, body) {
            assert_eq!(GatewayRequest::decode(endpoint, request.encode().as_bytes()), Ok(request));
        }
        if let Ok(answer) = GatewayAnswer::decode(endpoint, body) {
            let _ = answer.encode();
        }
    }
}

/// Calls of back ends: a line with path and query, and then the body.
pub fn rest_decode(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (target, body) = bytes.split_at(end);
    let Ok(target) = str::from_utf8(target) else { return };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some((_, route)) = RestRoute::find(path) else { return };
    match RestCall::decode(route, query, body.get(1..).unwrap_or_default(), NOW_MS) {
        Ok(Some(RestCall::QueryHistory(search) | RestCall::HistoryPage(search))) => {
            let handle = HistoryHandle { search, asked_ms: NOW_MS };
            assert_eq!(HistoryHandle::decode(&handle.encode()), Some(handle.clone()));
            let _ =
                RestAnswer::Query(handle.search).encode(1, NOW_MS, ChannelMessageType::default(), |_| String::new());
        }
        Ok(_) => {}
        Err(refusal) => drop(RestRefusal::from(refusal).encode(1)),
    }
}

/// Access tokens of any form: explained and verified, never believed.
pub fn token(bytes: &[u8]) {
    let Ok(token) = str::from_utf8(bytes) else { return };
    let certificate = Certificate::new("fedcba9876543210fedcba9876543210").expect("it has the right form");
    if let Ok(explained) = explain(token) {
        let _ = explained.signature(&certificate, Some("alice"));
        let _ = explained.holder.may_be("alice");
    }
    let verified = verify(token, APP_ID, &[certificate], "alice", 1_700_000_000, &Policy::default());
    assert!(verified.is_err(), "nobody signed this");
}

const NOW_MS: u64 = 1_700_000_000_000;
