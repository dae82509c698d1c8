//! The values that parcels are made of, as bytes: the parts of a head, in their order, and at most one body.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
    vec,
};

use bincode::{Decode, Encode};
use bytes::Bytes;
use rtm_codec::{
    Answer, AttributeKey, CallId, ChannelAttributes, ChannelId, Epoch, Event, HistoryCursor, InstanceId, MessageId,
    PeerMessage, PeerOnlineState, Refusal, RequestId, Revision, SendOutcome, Seq, ServerFrame, SessionId,
    SessionTicket, Text, UserId, native::ServerCodec,
};

use super::{
    bytes::{ParcelError, ParcelErrorKind, decode_first, decode_first_borrowed, encode_to},
    names::{NodeId, NodeName},
};
use crate::binary::{StateV1, answer, answer_bytes, events, packet};

/// A value that parcels have.
pub(super) trait Field: Sized {
    /// Writes it.
    fn put(&self, out: &mut Output);

    /// Reads it.
    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError>;
}

/// A parcel that is written.
#[derive(Debug)]
pub(super) struct Output {
    head: Vec<u8>,
    /// The answer or packed session of the parcel, if it has one.
    body: Bytes,
    /// The events of the parcel, if it has some: they are its body then.
    events: ServerCodec,
}

/// A parcel that is read.
#[derive(Debug)]
pub(super) struct Input<'a> {
    head: &'a [u8],
    body: Option<Bytes>,
    /// The events in the body that nothing has read yet, once one was.
    events: vec::IntoIter<Event>,
}

impl Default for Output {
    fn default() -> Self {
        Self { head: Vec::with_capacity(HEAD_BYTES), body: Bytes::new(), events: ServerCodec::new() }
    }
}

impl Output {
    fn value(&mut self, value: &impl Encode) {
        encode_to(value, &mut self.head);
    }

    /// The variant of an enum.
    pub(super) fn tag(&mut self, tag: u8) {
        self.head.push(tag);
    }

    fn list<'a, T: Field + 'a>(&mut self, values: impl ExactSizeIterator<Item = &'a T>) {
        self.value(&(values.len() as u64));
        values.for_each(|value| value.put(self));
    }

    /// An event, behind those before it.
    fn event(&mut self, event: Event) {
        self.events.encode(&ServerFrame::Event { seq: Seq(0), event });
    }

    /// The head and the body.
    pub(super) fn finish(mut self) -> (Vec<u8>, Bytes) {
        let events = packet(&mut self.events);
        (self.head, if events.is_empty() { self.body } else { events })
    }
}

impl<'a> Input<'a> {
    pub(super) fn new(head: &'a [u8], body: Bytes) -> Self {
        Self { head, body: Some(body), events: Vec::new().into_iter() }
    }

    fn value<T: Decode<()>>(&mut self) -> Result<T, ParcelError> {
        let (value, read) = decode_first(self.head)?;
        self.head = self.head.get(read..).unwrap_or_default();
        Ok(value)
    }

    fn text(&mut self) -> Result<&'a str, ParcelError> {
        let (text, read) = decode_first_borrowed(self.head)?;
        self.head = self.head.get(read..).unwrap_or_default();
        Ok(text)
    }

    /// The variant of an enum.
    pub(super) fn tag(&mut self) -> Result<u8, ParcelError> {
        let (&tag, rest) = self.head.split_first().ok_or(ParcelErrorKind::Damaged)?;
        self.head = rest;
        Ok(tag)
    }

    /// The body, which nothing has read yet.
    fn body(&mut self) -> Result<Bytes, ParcelError> {
        self.body.take().ok_or_else(|| ParcelErrorKind::Damaged.into())
    }

    /// The next event of the body.
    fn event(&mut self) -> Result<Event, ParcelError> {
        if let Some(body) = self.body.take() {
            self.events = events(body).ok_or(ParcelErrorKind::Damaged)?.into_iter();
        }
        self.events.next().ok_or_else(|| ParcelErrorKind::Damaged.into())
    }

    /// Each value takes a byte at least, so a list is never longer than what is left.
    fn list<T: Field, L: FromIterator<T>>(&mut self) -> Result<L, ParcelError> {
        let length: u64 = self.value()?;
        if length > self.head.len() as u64 {
            return Err(ParcelErrorKind::Damaged.into());
        }
        (0..length).map(|_| T::get(self)).collect()
    }

    /// Everything was read: nothing is left over.
    pub(super) fn end(self) -> Result<(), ParcelError> {
        let is_all = self.head.is_empty() && self.body.is_none_or(|body| body.is_empty()) && self.events.len() == 0;
        if is_all { Ok(()) } else { Err(ParcelErrorKind::Damaged.into()) }
    }
}

/// A struct: its fields in the order in which they are written.
macro_rules! structs {
    ($($name:ident { $($field:ident)* })*) => {$(
        impl $crate::cluster::fields::Field for $name {
            fn put(&self, out: &mut $crate::cluster::fields::Output) {
                let Self { $($field),* } = self;
                $($field.put(out);)*
            }

            fn get(
                input: &mut $crate::cluster::fields::Input<'_>,
            ) -> Result<Self, $crate::cluster::bytes::ParcelError> {
                $(let $field = $crate::cluster::fields::Field::get(input)?;)*
                Ok(Self { $($field),* })
            }
        }
    )*};
}

/// An enum: the tags of its variants, and their fields in the order in which they are written.
macro_rules! enums {
    ($($name:ident { $($tag:literal $variant:ident $({ $($field:ident)* })? $(($part:ident))?)* })*) => {$(
        impl $crate::cluster::fields::Field for $name {
            fn put(&self, out: &mut $crate::cluster::fields::Output) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($part))? => {
                        out.tag($tag);
                        $($($field.put(out);)*)?
                        $($part.put(out);)?
                    })*
                }
            }

            fn get(
                input: &mut $crate::cluster::fields::Input<'_>,
            ) -> Result<Self, $crate::cluster::bytes::ParcelError> {
                Ok(match input.tag()? {
                    $($tag => {
                        $($(let $field = $crate::cluster::fields::Field::get(input)?;)*)?
                        $(let $part = $crate::cluster::fields::Field::get(input)?;)?
                        Self::$variant $({ $($field),* })? $(($part))?
                    })*
                    _ => return Err($crate::cluster::bytes::ParcelErrorKind::Unknown.into()),
                })
            }
        }
    )*};
}

pub(super) use {enums, structs};

/// What bincode writes.
macro_rules! plain {
    ($($name:ty)*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Output) {
                out.value(self);
            }

            fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
                input.value()
            }
        }
    )*};
}

plain!(bool u8 u16 u32 u64);

/// Values that have one value inside.
macro_rules! wrapped {
    ($($name:ident)*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Output) {
                out.value(&self.0);
            }

            fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
                input.value().map(Self)
            }
        }
    )*};
}

wrapped!(SessionId MessageId RequestId Revision Epoch HistoryCursor);

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Output) {
                out.value(&self.as_str());
            }

            fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
                Self::new(input.text()?).map_err(|_| ParcelErrorKind::Damaged.into())
            }
        }
    )*};
}

ids!(AttributeKey CallId ChannelId InstanceId UserId);

structs! {
    NodeId { name incarnation }
}

impl Field for NodeName {
    fn put(&self, out: &mut Output) {
        out.value(&self.as_str());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        Self::told(input.text()?).map_err(|_| ParcelErrorKind::Damaged.into())
    }
}

impl Field for Text {
    fn put(&self, out: &mut Output) {
        out.value(&self.as_str());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        input.text().map(Self::from)
    }
}

impl Field for PeerOnlineState {
    fn put(&self, out: &mut Output) {
        out.value(&StateV1(*self));
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        let StateV1(state) = input.value()?;
        Ok(state)
    }
}

impl Field for SessionTicket {
    fn put(&self, out: &mut Output) {
        self.session.put(out);
        self.epoch.put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        Ok(Self::new(Field::get(input)?, Field::get(input)?))
    }
}

/// In whole nanoseconds.
impl Field for Duration {
    fn put(&self, out: &mut Output) {
        out.value(&u64::try_from(self.as_nanos()).unwrap_or(u64::MAX));
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        input.value().map(Self::from_nanos)
    }
}

impl<T: Field> Field for Box<T> {
    fn put(&self, out: &mut Output) {
        (**self).put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        T::get(input).map(Self::new)
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Output) {
        out.value(&self.is_some());
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        Ok(if input.value()? { Some(T::get(input)?) } else { None })
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, out: &mut Output) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        Ok((A::get(input)?, B::get(input)?))
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Output) {
        out.list(self.iter());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        input.list()
    }
}

impl<T: Field + Ord> Field for BTreeSet<T> {
    fn put(&self, out: &mut Output) {
        out.list(self.iter());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        input.list()
    }
}

/// The parcel's body, as it is.
impl Field for Bytes {
    fn put(&self, out: &mut Output) {
        out.body = self.clone();
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        input.body()
    }
}

/// In the body, as the native wire writes an event.
impl Field for Event {
    fn put(&self, out: &mut Output) {
        out.event(self.clone());
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        input.event()
    }
}

/// In the body, as the native wire tells the receiver of it.
impl Field for PeerMessage {
    fn put(&self, out: &mut Output) {
        out.event(Event::MessageFromPeer(self.clone()));
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        match input.event()? {
            Event::MessageFromPeer(message) => Ok(message),
            _ => Err(ParcelErrorKind::Damaged.into()),
        }
    }
}

/// The body, as the native wire writes an answer of the kind.
macro_rules! answers {
    ($($operation:ident($answer:ty))*) => {$(
        impl Field for Result<$answer, Refusal> {
            fn put(&self, out: &mut Output) {
                let answer = self.clone().map(Answer::$operation);
                out.body = answer_bytes(RequestId(0), &answer);
            }

            fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
                match answer(input.body()?) {
                    Some(Ok(Answer::$operation(answer))) => Ok(Ok(answer)),
                    Some(Err(refusal)) => Ok(Err(refusal)),
                    Some(Ok(_)) | None => Err(ParcelErrorKind::Damaged.into()),
                }
            }
        }
    )*};
}

answers! {
    SendMessageToPeer(SendOutcome)
    GetUserAttributes(BTreeMap<AttributeKey, Text>)
    GetChannelAttributes(ChannelAttributes)
}

impl Field for Refusal {
    fn put(&self, out: &mut Output) {
        Err::<SendOutcome, Self>(self.clone()).put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        let refused: Result<SendOutcome, Self> = Field::get(input)?;
        refused.err().ok_or_else(|| ParcelErrorKind::Damaged.into())
    }
}

impl Field for ChannelAttributes {
    fn put(&self, out: &mut Output) {
        Ok::<Self, Refusal>(self.clone()).put(out);
    }

    fn get(input: &mut Input<'_>) -> Result<Self, ParcelError> {
        let attributes: Result<Self, Refusal> = Field::get(input)?;
        attributes.map_err(|_| ParcelErrorKind::Damaged.into())
    }
}

/// Room for the head of a parcel of a message: ids of two users and numbers.
const HEAD_BYTES: usize = 160;
