//! How values are written in the file, and what is said of those that are wrong.

use std::{fmt, str::FromStr, time::Duration};

use rtm_codec::{CallLimit, LimitedCall};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

/// A value that is written as text and says itself what is wrong with it.
pub(super) struct Parsed<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A list, or its only element.
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                Ok(vec![T::deserialize(de::value::StrDeserializer::new(text))?])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                if all.is_empty() {
                    return Err(de::Error::custom("the list is empty: write something in it, or leave it out"));
                }
                Ok(all)
            }
        }

        deserializer.deserialize_any(List(std::marker::PhantomData)).map(Self)
    }
}

/// A time, written as `10s`, `500ms`, `5m`, `7d`.
pub(super) struct Time(pub(super) Duration);

impl Time {
    /// How it is written, in the largest units.
    pub(super) fn show(time: Duration) -> String {
        quoted(humantime::format_duration(time).to_string().replace(' ', ""))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text =
            text_or(deserializer, "a time in quotes with its unit: \"500ms\", \"10s\", \"5m\", \"24h\" or \"7d\"")?;
        match humantime::parse_duration(&text) {
            Ok(time) if time <= MAX_TIME => Ok(Self(time)),
            Ok(_) | Err(humantime::DurationError::NumberOverflow) => {
                Err(de::Error::custom(format!("{text:?} is longer than a year")))
            }
            Err(_) => Err(de::Error::custom(format!("{text:?} is not a time: write 500ms, 10s, 5m, 24h or 7d"))),
        }
    }
}

/// A text; `expected` is said of anything else.
fn text_or<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<String, D::Error> {
    struct Text(&'static str);

    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_any(Text(expected))
}

/// A number above zero.
pub(super) struct Count(pub(super) usize);

impl Count {
    pub(super) fn show(count: usize) -> String {
        count.to_string()
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer)? {
            0 => Err(de::Error::custom("has to be at least 1")),
            count => Ok(Self(count)),
        }
    }
}

/// A number that may have a fraction.
#[cfg(feature = "otlp")]
pub(super) struct Decimal(pub(super) f64);

#[cfg(feature = "otlp")]
impl Decimal {
    /// How it is written: always as one.
    pub(super) fn show(number: f64) -> String {
        format!("{number:?}")
    }
}

#[cfg(feature = "otlp")]
impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}

/// A size in bytes, written as a number or as `64KiB`, `4MiB`, `1GiB`.
pub(super) struct Size(pub(super) usize);

impl Size {
    pub(super) fn show(bytes: usize) -> String {
        match UNITS.into_iter().rev().find(|(_, size)| bytes != 0 && bytes.is_multiple_of(*size)) {
            Some((unit, size)) => quoted(format!("{}{unit}", bytes / size)),
            None => bytes.to_string(),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = usize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size in bytes: a number, or a text like 64KiB, 4MiB or 1GiB")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<usize, E> {
                usize::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<usize, E> {
                let parts = UNITS.into_iter().find_map(|(unit, bytes)| {
                    let digits = text.strip_suffix(unit)?.trim();
                    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some((digits, bytes))
                });
                let (digits, bytes) = parts.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
                let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(bytes));
                size.ok_or_else(|| E::custom(format!("{text:?} is too large")))
            }
        }

        deserializer.deserialize_any(Bytes).map(Self)
    }
}

/// Yes or no.
pub(super) struct Switch(pub(super) bool);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bool;

        impl Visitor<'_> for Bool {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false, without quotes")
            }

            fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<bool, E> {
                Ok(is_on)
            }
        }

        deserializer.deserialize_any(Bool).map(Self)
    }
}

impl Switch {
    pub(super) fn show(is_on: bool) -> String {
        is_on.to_string()
    }
}

/// A call limit, written as `180/3s`, or `unlimited`.
pub(super) struct Limit(pub(super) CallLimit);

impl Limit {
    pub(super) fn show(limit: CallLimit) -> String {
        quoted(show_limit(limit))
    }
}

/// A call limit in words.
pub(crate) fn show_limit(limit: CallLimit) -> String {
    if limit.is_unlimited() {
        return UNLIMITED.to_owned();
    }
    format!("{}/{}", limit.calls(), humantime::format_duration(limit.per()).to_string().replace(' ', ""))
}

/// Reads a call limit.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn read_limit(text: &str) -> Result<CallLimit, String> {
    if text == UNLIMITED {
        return Ok(CallLimit::UNLIMITED);
    }
    let limit = text.split_once('/').and_then(|(calls, per)| {
        let calls = calls.trim().parse().ok().filter(|&calls| calls > 0 && calls <= MAX_CALLS)?;
        let per = humantime::parse_duration(per.trim()).ok().filter(|per| *per <= MAX_WINDOW)?;
        let per_ms = u32::try_from(per.as_millis()).ok().filter(|&per_ms| per_ms > 0)?;
        Some(CallLimit::new(calls, Duration::from_millis(per_ms.into())))
    });
    limit.ok_or_else(|| {
        format!("{text:?} is not a limit: write 180/3s (1 to {MAX_CALLS} calls, within 1ms to 1h) or {UNLIMITED}")
    })
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_or(deserializer, "a limit in quotes: \"180/3s\" or \"unlimited\"")?;
        read_limit(&text).map(Self).map_err(de::Error::custom)
    }
}

/// The name of a call budget.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Budget(pub(super) LimitedCall);

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        LimitedCall::ALL.into_iter().find(|call| call.as_str() == name).map(Self).ok_or_else(|| {
            let names: Vec<_> = LimitedCall::ALL.iter().map(|call| call.as_str()).collect();
            de::Error::custom(format!("unknown field `{name}`, expected one of {}", names.join(", ")))
        })
    }
}

/// A text in quotes.
pub(super) fn quoted(value: impl fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

const UNLIMITED: &str = "unlimited";
const UNITS: [(&str, usize); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const MAX_TIME: Duration = Duration::from_secs(366 * 24 * 3600);
const MAX_WINDOW: Duration = Duration::from_secs(3600);
/// Each counted call is remembered for its window, by every client.
const MAX_CALLS: u32 = 10_000;
