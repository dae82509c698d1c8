//! What packs and parcels are made of, in bincode: identifiers, states, and events and answers as the native wire writes
//! them, which only ever grows.

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use bytes::Bytes;
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
    packet(codec)
}

/// The event in these bytes.
pub(crate) fn event(bytes: Bytes) -> Option<Event> {
    match frame(bytes)? {
        ServerFrame::Event { event, .. } => Some(event),
        _ => None,
    }
}

/// The bytes of an answer.
pub(crate) fn answer_bytes(id: RequestId, result: &Result<Answer, Refusal>) -> Bytes {
    let mut codec = ServerCodec::new();
    codec.encode(&ServerFrame::Reply { id, result: result.clone() });
    packet(codec)
}

/// The answer in these bytes.
pub(crate) fn answer(bytes: Bytes) -> Option<Result<Answer, Refusal>> {
    match frame(bytes)? {
        ServerFrame::Reply { result, .. } => Some(result),
        _ => None,
    }
}

fn packet(mut codec: ServerCodec) -> Bytes {
    match codec.take_packet() {
        Some(Packet::Binary(bytes)) => bytes,
        _ => Bytes::new(),
    }
}

fn frame(bytes: Bytes) -> Option<ServerFrame> {
    let mut frames = Vec::with_capacity(1);
    ClientCodec::new().decode(Packet::Binary(bytes), &mut frames).ok()?;
    frames.pop().filter(|_| frames.is_empty())
}
