//! How what nodes say and keep is written: in bincode, with a limit. Tags are only ever added, at the end; a change of what
//! is there is a new tag.

use bincode::{
    BorrowDecode, Decode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
    error::DecodeError,
};
use thiserror::Error;

use super::names::{NodeId, NodeName};
use crate::binary::Id;

/// These bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}", match kind {
    ParcelErrorKind::TooLarge => "larger than anything that nodes say",
    ParcelErrorKind::Unknown => "from a newer version",
    ParcelErrorKind::Damaged => "damaged",
})]
pub struct ParcelError {
    kind: ParcelErrorKind,
}

/// What is wrong with bytes from another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ParcelErrorKind {
    /// They are, or would be when read, more than is allowed.
    TooLarge,
    /// They have a tag that this version does not know.
    Unknown,
    /// They are cut off, or contradict themselves.
    Damaged,
}

impl ParcelError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> ParcelErrorKind {
        self.kind
    }
}

impl From<ParcelErrorKind> for ParcelError {
    fn from(kind: ParcelErrorKind) -> Self {
        Self { kind }
    }
}

impl Encode for Id<NodeName> {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        self.0.as_str().encode(encoder)
    }
}

impl<C> Decode<C> for Id<NodeName> {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let text = <String as Decode<C>>::decode(decoder)?;
        NodeName::told(&text).map(Self).map_err(|_| DecodeError::Other("this is no name of a node"))
    }
}

bincode::impl_borrow_decode!(Id<NodeName>);

#[derive(Debug, Encode, Decode)]
pub(super) struct NodeIdV1(Id<NodeName>, u64);

impl From<NodeId> for NodeIdV1 {
    fn from(id: NodeId) -> Self {
        Self(Id(id.name), id.incarnation)
    }
}

impl From<NodeIdV1> for NodeId {
    fn from(NodeIdV1(Id(name), incarnation): NodeIdV1) -> Self {
        Self { name, incarnation }
    }
}

/// An enum without parts: its tags are the places of its variants.
macro_rules! tags {
    ($($name:ident: $of:ident { $($variant:ident)* })*) => {$(
        #[derive(Debug, Encode, Decode)]
        enum $name {
            $($variant,)*
        }

        impl From<$of> for $name {
            fn from(value: $of) -> Self {
                match value {
                    $($of::$variant => Self::$variant,)*
                }
            }
        }

        impl From<$name> for $of {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => Self::$variant,)*
                }
            }
        }
    )*};
}

pub(super) use tags;

pub(super) fn encode(value: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_to(value, &mut bytes);
    bytes
}

/// Appends a value.
pub(super) fn encode_to(value: &impl Encode, bytes: &mut Vec<u8>) {
    // The format can say everything, and a vector takes everything.
    let _ = bincode::encode_into_std_write(value, bytes, CONFIG.with_no_limit());
}

/// Reads a value that is all of `bytes`.
pub(super) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, ParcelError> {
    match decode_first(bytes)? {
        (value, read) if read == bytes.len() => Ok(value),
        _ => Err(ParcelErrorKind::Damaged.into()),
    }
}

/// Reads the value that `bytes` begin with, and says how long it is.
pub(super) fn decode_first<T: Decode<()>>(bytes: &[u8]) -> Result<(T, usize), ParcelError> {
    bincode::decode_from_slice(bytes, CONFIG).map_err(|error| unreadable(&error))
}

/// Reads a value that is all of `bytes`, and whose parts stay there.
pub(super) fn decode_borrowed<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<T, ParcelError> {
    match decode_first_borrowed(bytes)? {
        (value, read) if read == bytes.len() => Ok(value),
        _ => Err(ParcelErrorKind::Damaged.into()),
    }
}

/// Reads the value that `bytes` begin with, and whose parts stay there; says how long it is.
pub(super) fn decode_first_borrowed<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(T, usize), ParcelError> {
    bincode::borrow_decode_from_slice(bytes, CONFIG).map_err(|error| unreadable(&error))
}

fn unreadable(error: &DecodeError) -> ParcelError {
    ParcelError::from(match error {
        DecodeError::LimitExceeded => ParcelErrorKind::TooLarge,
        DecodeError::UnexpectedVariant { .. } => ParcelErrorKind::Unknown,
        _ => ParcelErrorKind::Damaged,
    })
}

/// The largest payload: what NATS takes unless it is told otherwise.
pub(super) const PAYLOAD_BYTES: usize = 1024 * 1024;

/// What reading may set aside: a list of lengths takes more room in memory than on the bus.
const CONFIG: Configuration<LittleEndian, Varint, Limit<{ 4 * PAYLOAD_BYTES }>> =
    bincode::config::standard().with_limit::<{ 4 * PAYLOAD_BYTES }>();
