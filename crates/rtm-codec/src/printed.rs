//! How messages are printed: bytes as Base64, and a typed value as what it is.

use std::cell::Cell;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap as _, SerializeSeq as _},
};

use crate::value::{Unpack, is_value};

/// Prints bytes as Base64.
pub(crate) fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

/// Prints MessagePack as the value that it is; what is none, as Base64.
pub(crate) fn value<S: Serializer>(packed: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if is_value(packed) {
        Next(&Cell::new(Unpack::new(packed))).serialize(serializer)
    } else {
        bytes(packed, serializer)
    }
}

/// The next value of those that are left.
struct Next<'c, 'a>(&'c Cell<Unpack<'a>>);

/// What a value's first bytes say of it.
enum Part<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// That many values.
    List(usize),
    /// That many keys, each with its value.
    Map(usize),
}

impl<'a> Part<'a> {
    fn read(from: &mut Unpack<'a>) -> Option<Self> {
        let [marker] = from.take()?;
        Some(match marker {
            0x00..=0x7f => Self::Unsigned(marker.into()),
            0x80..=0x8f => Self::Map((marker & 0x0f).into()),
            0x90..=0x9f => Self::List((marker & 0x0f).into()),
            0xa0..=0xbf => Self::Text(from.text((marker & 0x1f).into())?),
            0xc0 => Self::Null,
            0xc2 | 0xc3 => Self::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let len = from.len(marker - 0xc4)?;
                Self::Bytes(from.bytes(len)?)
            }
            0xca => Self::Single(f32::from_be_bytes(from.take()?)),
            0xcb => Self::Double(f64::from_be_bytes(from.take()?)),
            0xcc..=0xcf => Self::Unsigned(from.unsigned(marker - 0xcc)?),
            0xd0..=0xd3 => Self::Signed(from.signed(marker - 0xd0)?),
            0xd9..=0xdb => {
                let len = from.len(marker - 0xd9)?;
                Self::Text(from.text(len)?)
            }
            0xdc | 0xdd => Self::List(from.len(marker - 0xdb)?),
            0xde | 0xdf => Self::Map(from.len(marker - 0xdd)?),
            0xe0..=0xff => Self::Signed(i8::from_be_bytes([marker]).into()),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return None,
        })
    }
}

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(left) = self;
        let mut from = left.get();
        let part = Part::read(&mut from).ok_or_else(|| S::Error::custom("this is no value"))?;
        left.set(from);
        match part {
            Part::Null => serializer.serialize_unit(),
            Part::Bool(it) => serializer.serialize_bool(it),
            Part::Unsigned(it) => serializer.serialize_u64(it),
            Part::Signed(it) => serializer.serialize_i64(it),
            Part::Single(it) => serializer.serialize_f32(it),
            Part::Double(it) => serializer.serialize_f64(it),
            Part::Text(it) => serializer.serialize_str(it),
            Part::Bytes(it) => bytes(it, serializer),
            Part::List(len) => {
                let mut list = serializer.serialize_seq(Some(len))?;
                for _ in 0..len {
                    list.serialize_element(&Next(left))?;
                }
                list.end()
            }
            Part::Map(len) => {
                let mut map = serializer.serialize_map(Some(len))?;
                for _ in 0..len {
                    map.serialize_key(&Next(left))?;
                    map.serialize_value(&Next(left))?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::RtmMessage;

    fn printed(message: &RtmMessage) -> String {
        serde_json::to_string(message).expect("it can be printed")
    }

    #[test]
    fn a_value_is_printed_as_what_it_is() {
        #[derive(serde::Serialize)]
        struct Move {
            at: (u8, i64, f64),
            by: Option<&'static str>,
            names: BTreeMap<u32, bool>,
            long: String,
        }
        let it = Move { at: (7, -70_000, 0.5), by: None, names: [(3, true)].into(), long: "x".repeat(40) };
        let packed = rmp_serde::to_vec_named(&it).expect("it can be packed");
        let value = serde_json::to_string(&it).expect("it can be written");
        assert_eq!(printed(&RtmMessage::Value(packed.into())), format!("{{\"value\":{value}}}"));
    }

    #[test]
    fn bytes_are_printed_as_base64_also_those_that_are_no_value() {
        assert_eq!(printed(&RtmMessage::binary(&b"\0\xffA"[..])), r#"{"binary":"AP9B"}"#);
        assert_eq!(printed(&RtmMessage::Value(b"\xc1"[..].into())), r#"{"value":"wQ=="}"#);
        // Bytes in a value.
        assert_eq!(printed(&RtmMessage::Value(b"\x91\xc4\x01A"[..].into())), r#"{"value":["QQ=="]}"#);
        assert_eq!(printed(&RtmMessage::text("hi")), r#"{"text":"hi"}"#);
    }
}
