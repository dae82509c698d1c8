//! What packs and parcels are made of, in bincode: identifiers, states, and events and answers as the native wire writes
//! them, which only ever grows.

use std::iter;

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use bytes::{Bytes, BytesMut};
use rtm_codec::{
    Answer, AppId, AttributeKey, CallId, ChannelId, Event, InstanceId, Packet, PeerOnlineState, Refusal, RequestId,
    Seq, ServerFrame, SharedEvent, UserId,
    native::{ClientCodec, ServerCodec},
};

/// An identifier, checked when it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id<T>(pub(crate) T);

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl bincode::Encode for $crate::binary::Id<$name> {
            fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
                bincode::Encode::encode(self.0.as_str(), encoder)
            }
        }

        impl<C> bincode::Decode<C> for $crate::binary::Id<$name> {
            fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
                let text = <String as bincode::Decode<C>>::decode(decoder)?;
                $name::new(&text).map(Self).map_err(|_| bincode::error::DecodeError::Other("an identifier breaks the rules"))
            }
        }

        bincode::impl_borrow_decode!($crate::binary::Id<$name>);
    )*};
}

ids!(AppId AttributeKey CallId ChannelId InstanceId UserId);

/// Whether a user is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StateV1(pub(crate) PeerOnlineState);

impl Encode for StateV1 {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let number: u8 = match self.0 {
            PeerOnlineState::Online => 0,
            PeerOnlineState::Unreachable => 1,
            _ => 2,
        };
        number.encode(encoder)
    }
}

impl<C> Decode<C> for StateV1 {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        match u8::decode(decoder)? {
            0 => Ok(Self(PeerOnlineState::Online)),
            1 => Ok(Self(PeerOnlineState::Unreachable)),
            2 => Ok(Self(PeerOnlineState::Offline)),
            _ => Err(DecodeError::Other("no state has this number")),
        }
    }
}

bincode::impl_borrow_decode!(StateV1);

/// The bytes of an event.
pub(crate) fn event_bytes(event: &SharedEvent) -> Bytes {
    let mut codec = ServerCodec::new();
    codec.encode_event(Seq(0), event);
    packet(&mut codec)
}

/// The event in these bytes.
pub(crate) fn event(bytes: Bytes) -> Option<Event> {
    let mut events = events(bytes)?;
    events.pop().filter(|_| events.is_empty())
}

/// The events in these bytes, in order.
pub(crate) fn events(bytes: Bytes) -> Option<Vec<Event>> {
    let event = |frame| match frame {
        ServerFrame::Event { event, .. } => Some(event),
        _ => None,
    };
    frames(bytes)?.into_iter().map(event).collect()
}

/// The bytes of an answer.
pub(crate) fn answer_bytes(id: RequestId, result: &Result<Answer, Refusal>) -> Bytes {
    let mut codec = ServerCodec::new();
    codec.encode(&ServerFrame::Reply { id, result: result.clone() });
    packet(&mut codec)
}

/// The answer in these bytes.
pub(crate) fn answer(bytes: Bytes) -> Option<Result<Answer, Refusal>> {
    let mut frames = frames(bytes)?;
    match frames.pop().filter(|_| frames.is_empty())? {
        ServerFrame::Reply { result, .. } => Some(result),
        _ => None,
    }
}

/// All that waits in a codec, as one packet, which is as long as it takes.
pub(crate) fn packet(codec: &mut ServerCodec) -> Bytes {
    let Some(Packet::Binary(first)) = codec.take_packet() else { return Bytes::new() };
    let Some(next) = codec.take_packet() else { return first };
    let mut all = BytesMut::from(first);
    for packet in iter::once(next).chain(iter::from_fn(|| codec.take_packet())) {
        // A packet is a version and frames.
        if let Packet::Binary(bytes) = packet {
            all.extend_from_slice(bytes.get(1..).unwrap_or_default());
        }
    }
    all.freeze()
}

fn frames(bytes: Bytes) -> Option<Vec<ServerFrame>> {
    let mut frames = Vec::new();
    ClientCodec::new().decode(Packet::Binary(bytes), &mut frames).ok()?;
    Some(frames)
}
