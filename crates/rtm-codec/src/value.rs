//! A typed value on a wire of texts: MessagePack read, the same value's JSON written.

use crate::json::Writer;

/// Whether `bytes` are one MessagePack value that can be written as JSON, and nothing more.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    let mut transcode = Transcode { from: Unpack::new(bytes), out: None };
    transcode.value(0).is_some() && transcode.from.rest.is_empty()
}

/// Writes the value in `bytes` as JSON. `bytes` must be a value, by [`is_value`]; of others the beginning is written.
pub(crate) fn write(bytes: &[u8], to: &mut Writer) {
    let _ = Transcode { from: Unpack::new(bytes), out: Some(to) }.value(0);
}

/// The parts of MessagePack, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Unpack<'a> {
    rest: &'a [u8],
}

impl<'a> Unpack<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self, len: usize) -> Option<&'a str> {
        simdutf8::basic::from_utf8(self.bytes(len)?).ok()
    }

    /// A length in 1, 2 or 4 bytes for `width` 0, 1 or 2.
    pub(crate) fn len(&mut self, width: u8) -> Option<usize> {
        usize::try_from(self.unsigned(width)?).ok()
    }

    pub(crate) fn unsigned(&mut self, width: u8) -> Option<u64> {
        Some(match width {
            0 => u8::from_be_bytes(self.take()?).into(),
            1 => u16::from_be_bytes(self.take()?).into(),
            2 => u32::from_be_bytes(self.take()?).into(),
            _ => u64::from_be_bytes(self.take()?),
        })
    }

    pub(crate) fn signed(&mut self, width: u8) -> Option<i64> {
        Some(match width {
            0 => i8::from_be_bytes(self.take()?).into(),
            1 => i16::from_be_bytes(self.take()?).into(),
            2 => i32::from_be_bytes(self.take()?).into(),
            _ => i64::from_be_bytes(self.take()?),
        })
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }
}

struct Transcode<'a, 'w> {
    from: Unpack<'a>,
    out: Option<&'w mut Writer>,
}

impl Transcode<'_, '_> {
    fn value(&mut self, nesting: usize) -> Option<()> {
        let marker = self.from.take::<1>()?[0];
        match marker {
            0x00..=0x7f => self.write(|out| out.number(marker)),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f), nesting)?,
            0x90..=0x9f => self.array(usize::from(marker & 0x0f), nesting)?,
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => self.write(|out| out.raw("null")),
            0xc2 => self.write(|out| out.raw("false")),
            0xc3 => self.write(|out| out.raw("true")),
            0xc4..=0xc6 => {
                let len = self.from.len(marker - 0xc4)?;
                self.bytes(len)?;
            }
            0xca => {
                let number = f32::from_be_bytes(self.from.take()?);
                self.write(|out| out.single(number));
            }
            0xcb => {
                let number = f64::from_be_bytes(self.from.take()?);
                self.write(|out| out.double(number));
            }
            0xcc..=0xcf => {
                let number = self.from.unsigned(marker - 0xcc)?;
                self.write(|out| out.number(number));
            }
            0xd0..=0xd3 => {
                let number = self.from.signed(marker - 0xd0)?;
                self.write(|out| out.number(number));
            }
            0xd9..=0xdb => {
                let len = self.from.len(marker - 0xd9)?;
                self.text(len)?;
            }
            0xdc..=0xdd => {
                let len = self.from.len(marker - 0xdb)?;
                self.array(len, nesting)?;
            }
            0xde..=0xdf => {
                let len = self.from.len(marker - 0xdd)?;
                self.map(len, nesting)?;
            }
            0xe0..=0xff => self.write(|out| out.number(i8::from_be_bytes([marker]))),
            // Extension types, which have no JSON, and the byte that MessagePack never uses.
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return None,
        }
        Some(())
    }

    fn map(&mut self, len: usize, nesting: usize) -> Option<()> {
        if nesting == MAX_NESTING {
            return None;
        }
        self.write(|out| out.raw("{"));
        for i in 0..len {
            if i > 0 {
                self.write(|out| out.raw(","));
            }
            self.key()?;
            self.write(|out| out.raw(":"));
            self.value(nesting + 1)?;
        }
        self.write(|out| out.raw("}"));
        Some(())
    }

    /// JSON's keys are strings; whole numbers and booleans are written as such.
    fn key(&mut self) -> Option<()> {
        let marker = *self.from.rest.first()?;
        match marker {
            0xa0..=0xbf | 0xd9..=0xdb => self.value(0),
            0x00..=0x7f | 0xc2 | 0xc3 | 0xcc..=0xd3 | 0xe0..=0xff => {
                let Some(out) = self.out.as_mut() else {
                    return self.value(0);
                };
                let (mut rest, mut done) = (self.from.rest, None);
                out.nested(|out| {
                    let mut key = Transcode { from: Unpack::new(rest), out: Some(out) };
                    done = key.value(0);
                    rest = key.from.rest;
                });
                self.from.rest = rest;
                done
            }
            _ => None,
        }
    }

    fn array(&mut self, len: usize, nesting: usize) -> Option<()> {
        if nesting == MAX_NESTING {
            return None;
        }
        self.write(|out| out.raw("["));
        for i in 0..len {
            if i > 0 {
                self.write(|out| out.raw(","));
            }
            self.value(nesting + 1)?;
        }
        self.write(|out| out.raw("]"));
        Some(())
    }

    /// Bytes become what JSON libraries make of them: a list of numbers.
    fn bytes(&mut self, len: usize) -> Option<()> {
        let bytes = self.from.bytes(len)?;
        self.write(|out| {
            out.raw("[");
            for (i, byte) in bytes.iter().enumerate() {
                if i > 0 {
                    out.raw(",");
                }
                out.number(*byte);
            }
            out.raw("]");
        });
        Some(())
    }

    fn text(&mut self, len: usize) -> Option<()> {
        let text = self.from.text(len)?;
        self.write(|out| out.string(text));
        Some(())
    }

    fn write(&mut self, write: impl FnOnce(&mut Writer)) {
        if let Some(out) = &mut self.out {
            write(out);
        }
    }
}

/// How deep a value may be nested.
pub(crate) const MAX_NESTING: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct All {
        unit: (),
        yes: bool,
        small: u8,
        negative: i8,
        numbers: Vec<i64>,
        unsigned: Vec<u64>,
        floats: (f32, f64, f64, f64),
        text: String,
        long: String,
        option: Option<Box<Self>>,
        by_number: BTreeMap<i32, char>,
        shape: Vec<Shape>,
    }

    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle(f32),
        Box { width: u16, height: u32 },
    }

    fn all(option: Option<Box<All>>) -> All {
        All {
            unit: (),
            yes: true,
            small: 7,
            negative: -3,
            numbers: vec![i64::MIN, -70_000, -300, -129, 0, 127, 128, 40_000, i64::MAX],
            unsigned: vec![0, 255, 256, 65_536, u64::MAX],
            floats: (0.1, 1.5e300, -2.0, f64::NAN),
            text: "\"\\\n\u{1} 中 👋".into(),
            long: "x".repeat(70_000),
            option,
            by_number: (-2..40).map(|i| (i * 1000, 'c')).collect(),
            shape: vec![Shape::Point, Shape::Circle(0.25), Shape::Box { width: 3, height: 100_000 }],
        }
    }

    #[test]
    fn a_value_is_written_as_its_json() {
        let value = all(Some(Box::new(all(None))));
        let bytes = rmp_serde::to_vec_named(&value).unwrap();
        assert!(is_value(&bytes));
        let mut out = Writer::default();
        write(&bytes, &mut out);
        let read: serde_json::Value = serde_json::from_str(&out.finish()).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
        assert!(read == expected, "another value than serde_json writes");
    }

    #[test]
    fn what_is_not_one_value_is_none() {
        let one = rmp_serde::to_vec_named(&("a", 1)).unwrap();
        assert!(is_value(&one));
        assert!(!is_value(&[]));
        assert!(!is_value(&one[..one.len() - 1]), "cut");
        assert!(!is_value(&[one.as_slice(), &one].concat()), "two values");
        assert!(!is_value(&[0xc1]), "unused marker");
        assert!(!is_value(&[0xd4, 1, 2]), "extension type");
        assert!(!is_value(&[0xa1, 0xff]), "text that is not UTF-8");
        assert!(!is_value(&[0x81, 0xc0, 0xc0]), "a key that is null");
        assert!(!is_value(&[0xdd, 0xff, 0xff, 0xff, 0xff]), "a length that lies");
        assert!(!is_value(&[0xdb, 0xff, 0xff, 0xff, 0xff, b'x']), "a length that lies");
        assert!(is_value(&[[0x91; 64].as_slice(), &[0]].concat()));
        assert!(!is_value(&[[0x91; 65].as_slice(), &[0]].concat()), "too deep");
        assert!(!is_value(&[0x91; 32_768]), "too deep");
    }
}
