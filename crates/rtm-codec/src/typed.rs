//! Messages that are values of a type of the application's own.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    RtmMessage,
    limits::MESSAGE_BYTES,
    portable::{self, Unportable},
    surrogates::without_halves,
};

/// Why a value is no message, or a message no value of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    kind: ValueErrorKind,
    detail: String,
}

/// The ways in which value and message do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueErrorKind {
    /// The value, or a part of it, would be another one at the receiver: see [`RtmMessage::value`].
    NotPortable,
    /// The value takes more than 32,768 bytes.
    TooLong,
    /// The message is plain bytes, which could be anything.
    NotAValue,
    /// The message is JSON or MessagePack of something else, or neither.
    Malformed,
}

impl RtmMessage {
    /// A value of any serde type as a message, of at most 32,768 bytes. It travels as MessagePack with named fields to
    /// clients on the native wire and as JSON text to those on the vendor's, and is read from either by
    /// [`decode`](Self::decode).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let message = rtm_codec::RtmMessage::value(&("seven", 7))?;
    /// assert_eq!(message.decode::<(String, u8)>()?, ("seven".to_owned(), 7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ValueErrorKind::NotPortable`] for values that JSON and MessagePack cannot both express: NaN and infinite numbers,
    /// 128-bit integers, `Some(None)` and `Some(())`, map keys other than strings, integers and booleans, and more than 64 levels.
    /// [`ValueErrorKind::TooLong`] above 32,768 bytes.
    pub fn value<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        let unportable = |Unportable(detail)| ValueError { kind: ValueErrorKind::NotPortable, detail };
        portable::check(value).map_err(unportable)?;
        // Named fields, so that a reader may know fewer or more fields than the writer, as with JSON.
        let bytes = rmp_serde::to_vec_named(value).map_err(|error| unportable(Unportable(error.to_string())))?;
        if bytes.len() > MESSAGE_BYTES {
            let detail = format!("the value takes {} bytes, and a message has at most {MESSAGE_BYTES}", bytes.len());
            return Err(ValueError { kind: ValueErrorKind::TooLong, detail });
        }
        Ok(Self::Value(bytes.into()))
    }

    /// Reads the message as a value: one that was sent with [`value`](Self::value), or JSON text.
    ///
    /// # Errors
    ///
    /// [`ValueErrorKind::NotAValue`] for a binary message, [`ValueErrorKind::Malformed`] if the message is not a value of this type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ValueError> {
        let malformed = |detail: String| ValueError { kind: ValueErrorKind::Malformed, detail };
        match self {
            Self::Value(bytes) => {
                let mut rest = &bytes[..];
                let value = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))
                    .map_err(|error| malformed(error.to_string()))?;
                if rest.is_empty() { Ok(value) } else { Err(malformed("there are bytes after the value".to_owned())) }
            }
            Self::Text(text) => {
                serde_json::from_str(&without_halves(text)).map_err(|error| malformed(error.to_string()))
            }
            Self::Binary(_) => {
                Err(ValueError { kind: ValueErrorKind::NotAValue, detail: "it is plain bytes".to_owned() })
            }
        }
    }
}

impl ValueError {
    /// Why the value cannot be sent, or the message cannot be read.
    #[must_use]
    pub fn kind(&self) -> ValueErrorKind {
        self.kind
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ValueErrorKind::NotPortable | ValueErrorKind::TooLong => "the value cannot be sent: ",
            ValueErrorKind::NotAValue | ValueErrorKind::Malformed => "the message is not a value of the type: ",
        })?;
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ValueError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Shape {
        Circle {
            r: f64,
        },
        Named {
            name: String,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            note: Option<String>,
        },
    }

    fn refused<T: Serialize>(value: T) -> String {
        let error = RtmMessage::value(&value).unwrap_err();
        assert_eq!(error.kind(), ValueErrorKind::NotPortable, "{error}");
        error.to_string()
    }

    #[test]
    fn a_value_is_read_from_its_compact_form_and_from_json() {
        let shape = Shape::Named { name: "中".to_owned(), note: None };
        assert_eq!(RtmMessage::value(&shape).unwrap().decode::<Shape>().unwrap(), shape);
        let text = RtmMessage::text(r#"{"kind":"circle","r":1.5}"#);
        assert_eq!(text.decode::<Shape>().unwrap(), Shape::Circle { r: 1.5 });
        let cut = RtmMessage::text(r#"{"kind":"named","name":"a\ud83d"}"#).decode::<Shape>();
        assert_eq!(cut.unwrap(), Shape::Named { name: "a\u{fffd}".to_owned(), note: None }, "half an emoji");
        let numbers = (u64::MAX, i64::MIN, Some(0_u8), (), '中');
        assert_eq!(RtmMessage::value(&numbers).unwrap().decode(), Ok(numbers));
        let nested = (vec![None, Some(true)], BTreeMap::from([(-1, 0.5_f32)]));
        assert_eq!(RtmMessage::value(&nested).unwrap().decode(), Ok(nested));
    }

    #[test]
    fn what_would_arrive_as_something_else_is_refused_when_it_is_sent() {
        assert!(refused(f64::NAN).contains("not finite"));
        assert!(refused(vec![1.0_f32, f32::INFINITY]).contains("not finite"));
        assert!(refused(Shape::Circle { r: f64::NEG_INFINITY }).contains("not finite"));
        assert!(refused(1_u128).contains("128 bits"));
        assert!(refused([Some(1_i128)]).contains("128 bits"));
        assert!(refused(Some(None::<u8>)).contains("Some"));
        assert!(refused(BTreeMap::from([("a", Some(Some(())))])).contains("Some"));
        assert!(refused(BTreeMap::from([((1, 2), 3)])).contains("key"));
        assert!(refused(BTreeMap::from([(None::<u8>, 3)])).contains("key"));
        let mut deep = serde_json::json!(0);
        for _ in 0..65 {
            deep = serde_json::json!([deep]);
        }
        assert!(refused(&deep).contains("64 levels"));
        assert!(RtmMessage::value(&deep[0]).is_ok());
    }

    #[test]
    fn a_value_has_at_most_as_many_bytes_as_a_message() {
        assert!(RtmMessage::value(&"x".repeat(32_765)).is_ok());
        assert_eq!(RtmMessage::value(&"x".repeat(32_766)).unwrap_err().kind(), ValueErrorKind::TooLong);
    }

    #[test]
    fn what_is_not_a_value_says_how() {
        let RtmMessage::Value(bytes) = RtmMessage::value(&Shape::Circle { r: 1.0 }).unwrap() else {
            panic!("not a value")
        };
        let mut longer = bytes.to_vec();
        longer.push(0);
        for (message, kind) in [
            (RtmMessage::Binary(bytes.clone()), ValueErrorKind::NotAValue),
            (RtmMessage::Value(longer.into()), ValueErrorKind::Malformed),
            (RtmMessage::Value(bytes.slice(..bytes.len() - 1)), ValueErrorKind::Malformed),
            (RtmMessage::text("hello"), ValueErrorKind::Malformed),
            (RtmMessage::text(r#"{"kind":"square"}"#), ValueErrorKind::Malformed),
            // Deeper than any honest value: refused, not recursed into until the stack ends.
            (RtmMessage::Value(vec![0x91; 32_768].into()), ValueErrorKind::Malformed),
            (RtmMessage::text("[".repeat(32_768)), ValueErrorKind::Malformed),
        ] {
            assert_eq!(message.decode::<Shape>().unwrap_err().kind(), kind);
        }
    }
}
